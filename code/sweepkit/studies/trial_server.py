"""Answers the trials of a study while they run: a socket of this agent, a thread for each connection."""

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from io import BufferedRWPair
from typing import Any, Self

from sweepkit.errors import SweepKitError
from sweepkit.model.runs import RunView
from sweepkit.search.objective_engine import ObjectiveEngine


class TrialServer:
    """A context manager: it serves from its beginning to its end.

    Args:
        engine_of: Returns who keeps the study; trials ask when it is there.
        view_of: Returns a run as it is recorded, by its id.

    Attributes:
        address: The socket's file; nobody but this user can reach it.
    """

    def __init__(self, engine_of: Callable[[], ObjectiveEngine], view_of: Callable[[str], RunView]) -> None:
        self._engine_of = engine_of
        self._view_of = view_of
        self._folder = tempfile.mkdtemp(prefix="sweepkit-study-")  # of mode 0700, and short: a socket's path is limited
        self.address = os.path.join(self._folder, "trials")
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(self.address)
        self._listener.listen()
        threading.Thread(target=self._accept, name="trials", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that accepts
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), name="trial", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as line:
            self._answer_all(line)

    def _answer_all(self, line: "BufferedRWPair[Any, Any]") -> None:
        number = -1
        for question in line:
            asked = json.loads(question)
            try:
                if asked["op"] == "begin":
                    view = self._view_of(asked["run"])
                    self._engine_of().begin(view)
                    number = view.number
                    answer: dict[str, Any] = {"number": number}
                else:
                    answer = self._answer(number, asked)
            except Exception as error:  # noqa: BLE001 - a sampler's or a pruner's own, which is the trial's to show
                said = str(error) if isinstance(error, SweepKitError) else f"{type(error).__name__}: {error}"
                answer = {"error": said}
            line.write(json.dumps(answer).encode() + b"\n")
            line.flush()

    def _answer(self, number: int, asked: dict[str, Any]) -> dict[str, Any]:
        engine = self._engine_of()
        if asked["op"] == "suggest":
            return {"internal": engine.suggest(number, asked["name"], asked["distribution"])}
        if asked["op"] == "report":
            engine.report(number, asked["value"], asked["step"])
            return {}
        if asked["op"] == "should_prune":
            return {"prune": engine.should_prune(number)}
        engine.set_user_attr(number, asked["key"], asked["value"])
        return {}
