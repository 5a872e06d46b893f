"""Keep the Optuna mirror of a sweep up to date in the background; it is derived, and its faults end no sweep."""

import threading
from collections.abc import Callable
from pathlib import Path

from sweepkit.files import locked
from sweepkit.model.events import Event, Notice
from sweepkit.model.space import Space
from sweepkit.store.mirror import sync_mirror
from sweepkit.store.open import open_store

_EVERY_S = 2.0


class Mirror:
    """A thread that mirrors a sweep every two seconds, and once more when it is stopped.

    Args:
        storage: The record.
        sweep_id: Of the sweep.
        optuna_storage: Where it is mirrored.
        space: Of the sweep.
        emit: Told when it does not work.
        lock: A file by which processes of one host take turns: two that write at once would write a run twice.
    """

    def __init__(
        self,
        storage: str,
        sweep_id: str,
        optuna_storage: str,
        space: Space,
        emit: Callable[[Event], None],
        *,
        lock: Path,
    ) -> None:
        self._store = open_store(storage)
        self._sweep_id = sweep_id
        self._optuna_storage = optuna_storage
        self._space = space
        self._lock = lock
        self._emit = emit
        self._stop = threading.Event()
        self._warned = ""
        self._thread = threading.Thread(target=self._keep, name="mirror", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._sync()

    def _sync(self) -> None:
        try:
            with locked(self._lock):
                sync_mirror(self._store, self._sweep_id, self._optuna_storage, self._space)
        except Exception as error:  # any fault of the other storage: said once, the sweep goes on
            if str(error) != self._warned:
                self._warned = str(error)
                self._emit(Notice(text=f"the Optuna mirror is behind: {error}", warning=True))

    def stop(self) -> None:
        """Mirror what is left and end the thread."""
        self._stop.set()
        self._thread.join()
        self._sync()
        self._store.close()
