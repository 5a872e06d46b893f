"""A runner's side of sending a sweep to W&B while it runs, or afterwards: it starts `wandb_uploader` and listens.

Runs always log to this machine's disk (`WANDB_MODE=offline`); what they log is sent from there by another process. So
a server that fails, is slow or is not there costs the runs nothing, and loses nothing.
"""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from sweepkit.called import place_words, typed
from sweepkit.errors import TrackingError
from sweepkit.paths import CODE_DIR, python
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import Plan
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.shown import say

_ACCESS_S = 60.0  # W&B's import on a busy machine, and its question to the server
_HURRY_S = 5.0


def _wants_online(options: RunOptions, spec: SweepSpec) -> bool:
    """Return whether a sweep is sent while it runs: the option, else the YAML's `sweepkit.wandb.mode`."""
    if options.wandb is not None:
        return options.wandb == "online"
    return spec.extensions.wandb is not None and spec.extensions.wandb.mode == "online"


def target_of(spec: SweepSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return entity and project as `wandb sweep` finds them: the environment's, else the YAML's, else W&B's default."""
    return {
        "entity": environ.get("WANDB_ENTITY") or spec.entity or "",
        "project": environ.get("WANDB_PROJECT") or spec.project or "uncategorized",
    }


class Uploading:
    """The process that sends. Made by `start`; `close` it.

    Attributes:
        ended: What it reported at its end, None before.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._errors = tempfile.TemporaryFile()
        self._first: SimpleQueue[dict[str, str]] = SimpleQueue()
        self._over = threading.Event()
        self.ended: dict[str, Any] | None = None
        path = os.pathsep.join(filter(None, (str(CODE_DIR), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [python(), "-m", "sweepkit.wandb.upload_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"},
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the runner's to interpret
        )
        threading.Thread(target=self._listen, name="uploader", daemon=True).start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        if self.ended is None:
            self.ended = {"sweeps": {}, "reason": f"the sending process ended: {self._last_words()}"}
        self._first.put({"access": "away", "text": f"W&B's client must start, got: {self.ended['reason']}"})
        self._over.set()

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "access":
            self._first.put(event)
        elif event["event"] == "note":
            self._notify(f"W&B: {event['text']}")
        elif event["event"] == "end":
            self.ended = event
            self._over.set()

    def access(self, option: str) -> dict[str, str]:
        """Return what the server says of the key (see `wandb_send.Answer`); `option` is what the user gave.

        Raises:
            TrackingError: There is no key, or the server refuses it.
        """
        try:
            event = self._first.get(timeout=_ACCESS_S)
        except Empty:
            return {"access": "away", "text": f"W&B's client must start, got nothing for {_ACCESS_S:g} s"}
        if event["access"] in ("no key", "refused"):
            raise TrackingError(f"{option}: {event['text']}")
        return event

    def go(self, *, storage: str, output_dir: str, sweeps: Sequence[Mapping[str, str]], live: bool) -> None:
        """Order what to send: for each sweep its `name`, `entity` and `project`."""
        self._order(storage=storage, output_dir=output_dir, sweeps=list(sweeps), live=live)

    def finish(self, patience_s: float, *, hurried: Callable[[], bool]) -> dict[str, Any]:
        """Let it send the rest and return what it reported at its end.

        Args:
            patience_s: How long it may wait for a server that takes nothing.
            hurried: Asked now and then: True ends it at once.
        """
        self._order(finish=patience_s)
        stopped = False
        while not self._over.wait(0.2):
            if hurried() and not stopped:
                stopped = True
                self._order(stop=True)
        return self.ended or {"sweeps": {}, "reason": ""}

    def close(self) -> None:
        """End the process; what it has not sent stays where it is."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        if self.ended is None:
            self._process.kill()
        try:
            self._process.wait(timeout=_HURRY_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _order(self, **order: Any) -> None:
        with contextlib.suppress(OSError):  # it is gone: its end says so
            if self._process.stdin:
                self._process.stdin.write(json.dumps(order) + "\n")
                self._process.stdin.flush()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_HURRY_S)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


class Online:
    """What `--wandb online` adds to a call of a runner: `start`, `begin`, `go`, `finish`, `close`, in this order.

    Args:
        options: How the sweeps are run.
        plans: The sweeps of the call.
        notify: Shows a warning.
    """

    def __init__(self, options: RunOptions, plans: Sequence[Plan], notify: Callable[[str], None]) -> None:
        self._plans = [plan for plan in plans if _wants_online(options, plan.spec)]
        self._patience_s = options.wandb_wait
        self._notify = notify
        self._place = place_words(options.output_dir, options.storage)
        self._uploading: Uploading | None = None

    def start(self) -> None:
        """Start the process that sends: W&B's import takes a second, in which other things can be checked."""
        if self._plans:
            self._uploading = Uploading(self._notify)

    def begin(self) -> list[str]:
        """Ask for access before anything is recorded; return notices. Raises TrackingError: no key, a bad one."""
        event = self._uploading.access("--wandb online") if self._uploading else {"access": "granted"}
        if event["access"] != "away":
            return []
        return [f"W&B: {event['text']}; the runs log to this disk, and are sent when it answers"]

    def go(self, names: Mapping[str, str]) -> None:
        """Let the sweeps be sent; `names` gives each plan's name in the record."""
        if self._uploading is not None:
            plan = self._plans[0]
            sweeps = [{"name": names[plan.spec.name], **target_of(plan.spec, os.environ)} for plan in self._plans]
            self._uploading.go(storage=plan.storage, output_dir=str(plan.output_dir), sweeps=sweeps, live=True)

    def finish(self, *, hurried: Callable[[], bool], preempted: bool) -> None:
        """Wait until all is sent, a while longer than the server is of use; notify what is left and how to send it."""
        if self._uploading is None:
            return
        end = self._uploading.finish(_HURRY_S if preempted else self._patience_s, hurried=hurried)
        for line in _unsent_lines(end, [plan.spec.name for plan in self._plans], self._place):
            self._notify(line)

    def close(self) -> None:
        """End the process that sends."""
        if self._uploading is not None:
            self._uploading.close()


def _unsent_lines(end: Mapping[str, Any], names: Sequence[str], place: Sequence[str] = ()) -> list[str]:
    """Return notices of the runs that are not at W&B, a line for each sweep; [] when all are."""
    if not end["sweeps"]:
        return [f"W&B: {end['reason']}; send what is left: {typed('push', name, *place)}" for name in names]
    lines = []
    for name, counts in end["sweeps"].items():
        if number := len(counts["unsent"]):
            runs = f"{number} run{'' if number == 1 else 's'}"
            why = f": {end['reason']}" if end["reason"] else ""
            lines.append(f"W&B: {runs} of {name} not sent yet{why}; send them: {typed('push', name, *place)}")
    return lines


def stdout_line(event: Mapping[str, Any]) -> None:
    """Write one JSON object a line on stdout."""
    say(json.dumps(event, ensure_ascii=False))
