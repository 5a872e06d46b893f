"""The process that sends sweeps to a W&B server: `python -m sweepkit.wandb.upload_process`, started by `wandb_online`.

A process of its own, because no fault of a server, of its network or of W&B's client may reach the agent or a run. It
reads the record and the runs' files, and writes beside them what was sent; in the record only that a run shall end
which somebody stopped on W&B's page. It takes orders as lines of JSON on
stdin, and reports what it did on stdout:

    → (started)           ← {"event": "access", "access": "granted", …}   whether there is a key, and a server takes it
    → {"storage": …}      ← {"event": "note", "text": …}                  what to send; faults, each once
    → {"finish": 30}                                                       no run goes on: send the rest, then end
    → {"stop": true}      ← {"event": "end", "sweeps": {…}, …}             end now; the end of stdin means finish

Its arguments hold nothing, and no line holds a key.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.agents.control import stop_run
from sweepkit.errors import ConflictError, SweepKitError, TrackingError
from sweepkit.files import hold
from sweepkit.model.records import SweepRecord
from sweepkit.paths import SweepPaths
from sweepkit.store.open import open_store
from sweepkit.store.watch import Watch, open_watch
from sweepkit.sweep_config.read import read_recorded
from sweepkit.text.shown import say
from sweepkit.wandb.access import Access
from sweepkit.wandb.sender import Sender

if TYPE_CHECKING:
    from sweepkit.wandb.sweep_upload import SweepUpload

_POLL_S = 0.5
_PATIENCE_S = 30.0
_SERVICE_LIVES_S = 6.0  # measured: 4 to 5
_TRIES = 3  # of each run, by a server that takes our key


class _Orders:
    """What the parent asks, read in a thread. `changed` is set with each line.

    Attributes:
        patience_s: How long to wait for a server at the end, once that was ordered; None before.
        stopped: End now.
    """

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.patience_s: float | None = None
        self.stopped = False
        self._job: dict[str, Any] | None = None
        self._known = threading.Event()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._apply(json.loads(line))
        self._apply({"finish": _PATIENCE_S})  # the parent is gone
        self._known.set()

    def _apply(self, order: Mapping[str, Any]) -> None:
        if "storage" in order:
            self._job = dict(order)
            self._known.set()
        if "finish" in order and self.patience_s is None:
            self.patience_s = float(order["finish"])
        if order.get("stop"):
            self.stopped = True
            self._known.set()
        self.changed.set()

    def job(self) -> dict[str, Any] | None:
        """Wait for what to send; None when there is nothing."""
        self._known.wait()
        return None if self.stopped else self._job


class _Uploader:
    """Sends the sweeps of a job until it may end.

    Args:
        sender: W&B's service.
        job: `storage`, `output_dir`, `live`, and for each of `sweeps` its `name`, `entity` and `project`.
        record: The record, for reading.
        orders: What the parent asks.
    """

    def __init__(self, sender: Sender, job: Mapping[str, Any], record: Watch, orders: _Orders) -> None:
        self._sender = sender
        self._orders = orders
        self._notified: set[str] = set()
        self._ours: set[str] = set()
        self._stepped: set[str] = set()
        self._uploads = {item["name"]: self._upload(job, item, record) for item in job["sweeps"]}
        self._taken: dict[str, object] | None = None  # what the server had of the runs that are left, when last asked
        self._locks = {
            item["name"]: _UploadLock(SweepPaths(Path(job["output_dir"]), item["name"]).wandb_lock)
            for item in job["sweeps"]
        }

    def _upload(self, job: Mapping[str, Any], item: Mapping[str, str], record: Watch) -> "SweepUpload":
        # Late: it imports W&B, which by now is known to be there and to print nothing.
        from sweepkit.wandb.sweep_upload import SweepUpload, UploadTarget

        sweep = record.sweep(item["name"])
        if sweep is None:
            raise TrackingError(f"sweep {item['name']}: must be in the record, got none of that name")
        return SweepUpload(
            record=record,
            sweep=sweep,
            spec=read_recorded(sweep, directory=sweep.meta.get("directory") or ""),
            paths=SweepPaths(Path(job["output_dir"]), sweep.name),
            sender=self._sender,
            target=UploadTarget(server=self._sender.server, entity=item["entity"], project=item["project"]),
            live=bool(job["live"]),
            warn=self._warn,
            stop=partial(self._stop, job["storage"], sweep),
        )

    def _stop(self, storage: str, sweep: SweepRecord, run_id: str) -> None:
        """Have a run end that somebody stopped at the server, as if he had done it here."""
        with contextlib.suppress(ConflictError), open_store(storage) as store:  # it has just ended
            stop_run(store, store.sweep(sweep.name) or sweep, run_id, who="somebody at W&B")

    def run(self) -> str:
        """Send until nothing is left or it may not go on; return why it ended, "" when all is sent."""
        progress, since = -1, time.monotonic()
        while not self._orders.stopped:
            self._orders.changed.clear()
            patience_s = self._orders.patience_s
            finishing = patience_s is not None
            self._step(finishing=finishing)
            if not finishing:
                since = time.monotonic()
            elif self._all_sent():
                return ""
            elif self._taken is None:
                self._taken = self._taken_now()  # what there is more after the patience is what the server takes
            now = sum(upload.progress for upload in self._uploads.values())
            if now != progress:
                progress, since = now, time.monotonic()
            if patience_s is not None and time.monotonic() - since > patience_s:
                if reason := self._hopeless(patience_s):
                    return reason
                since = time.monotonic()
            self._orders.changed.wait(_POLL_S)
        return "it was stopped"

    def _all_sent(self) -> bool:
        """Return whether every sweep was stepped through just now, and nothing of it is left."""
        stepped = len(self._stepped) == len(self._uploads)
        return stepped and not any(upload.unsent_now() for upload in self._uploads.values())

    def _step(self, *, finishing: bool) -> None:
        self._stepped.clear()
        for name, upload in self._uploads.items():
            if not self._locks[name].take():
                self._notify(f"{name} is, or was just, being sent to W&B by another process here; waiting for it")
                continue
            if name not in self._ours:
                self._ours.add(name)
                upload.read_sent()  # by whoever had it before
            try:
                upload.step(finishing=finishing)
                self._stepped.add(name)
            except (SweepKitError, OSError) as error:  # a full disk, a record that is away: tried again
                self._notify(f"{name} cannot be sent to W&B for now: {error}")

    def _held_elsewhere(self) -> str:
        held = [name for name, lock in self._locks.items() if not lock.take()]
        return f"another process of this host sends {', '.join(held)}" if held else ""

    def _hopeless(self, patience_s: float) -> str:
        """Return why waiting longer is of no use; "" when it may be.

        A server that answers and takes nothing is no hope: W&B's client tries again in silence for hours. So what
        counts is what the server has of the runs that are left, from one asking to the next.
        """
        answer = self._sender.check()
        if answer.access is not Access.GRANTED:
            return answer.text
        tries = [upload.fewest_failures() for upload in self._uploads.values()]
        held = self._held_elsewhere()
        if held or min(tries) >= _TRIES:
            return held or f"the server refused what is left, {_TRIES} times"
        before, self._taken = self._taken, self._taken_now()
        if before != self._taken:
            return ""
        return f"the server answers, and has taken nothing of what is left for {patience_s:g} s"

    def _taken_now(self) -> dict[str, object]:
        return {name: upload.taken() for name, upload in self._uploads.items()}

    def _notify(self, text: str) -> None:
        if text not in self._notified:
            self._notified.add(text)
            _send_event(event="note", text=text)

    def _warn(self, text: str) -> None:
        """Notify what W&B's client raised, and first what is behind it when it is the key or the network."""
        answer = self._sender.check()
        if answer.access is Access.GRANTED:
            self._notify(text)
        else:
            self._notify(f"{answer.text}; the runs go on, what they log is kept here")

    def end(self, reason: str) -> None:
        """Report what came of it."""
        sweeps = {
            name: {"sent": upload.sent, "unsent": upload.unsent(), "alive": upload.alive}
            for name, upload in self._uploads.items()
        }
        if not reason:
            for lock in self._locks.values():
                lock.give_back()
        _send_event(event="end", sweeps=sweeps, reason=reason)


class _UploadLock:
    """A file that one process of a host holds; the system frees it when the process dies.

    W&B's service outlives a killed process by seconds in which it may still send: whoever takes the file over from a
    process that did not give it back waits for that.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._held: Any = None
        self._from = 0.0

    def take(self) -> bool:
        """Return whether it is ours now."""
        if self._held is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = hold(self._path)
            if file is None:
                return False
            self._held = file  # until the process ends
            file.seek(0)
            self._from = self._clock() + (_SERVICE_LIVES_S if file.read() else 0.0)
            file.write("sending\n")
            file.flush()
        return self._clock() >= self._from

    def give_back(self) -> None:
        """Mark that nothing of ours is under way any more."""
        if self._held is not None:
            self._held.truncate(0)


def _send_event(**event: Any) -> None:
    """Send the parent an event; one that is gone gets nothing."""
    try:
        say(json.dumps(event, ensure_ascii=False))
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process


def _main() -> int:
    """Do what the parent asks; return the exit code."""
    orders = _Orders()
    folder = Path(tempfile.mkdtemp(prefix="sweepkit-wandb-"))
    try:
        return _work(orders, folder)
    except (SweepKitError, OSError) as error:
        _send_event(event="end", sweeps={}, reason=str(error))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work(orders: _Orders, folder: Path) -> int:
    try:
        sender = Sender(folder)
    except TrackingError as error:
        _send_event(event="access", access=Access.NO_KEY.value, text=str(error), server="", entity="")
        return 2
    answer = sender.check()
    _send_event(
        event="access", access=answer.access.value, text=answer.text, server=answer.server, entity=answer.entity
    )
    job = orders.job()
    if job is None:
        return 0
    with contextlib.closing(open_watch(job["storage"])) as record:
        uploader = _Uploader(sender, job, record, orders)
        uploader.end(uploader.run())
    return 0


if __name__ == "__main__":
    status = _main()
    sys.stdout.flush()
    os._exit(status)  # W&B's hook at exit would wait for a server that is away; its service ends with us
