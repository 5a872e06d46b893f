"""What a program says and asks inside a run, by `import sweepkit`; outside a sweep nothing happens.

sweepkit.report({"val/loss": loss}, step=epoch)
if sweepkit.should_stop():
    save_and_leave()
"""

import os
import signal
import threading
from collections.abc import Mapping

from sweepkit.environ import PREEMPT_FILE_ENV, REPORT_FILE_ENV
from sweepkit.tracking.reports import ReportWriter

_writers: dict[str, ReportWriter] = {}  # by file: a fork of the program has the same, an attempt its own
_state = {"reported": False, "listens": False, "asked": False}


def report(values: Mapping[str, float], step: int | None = None) -> None:
    """Report metrics of the run that this process is; outside a sweep nothing happens.

    Args:
        values: Name to number; NumPy's and torch's scalars are numbers too, NaN and infinities are kept.
        step: The program's own step or epoch, or None.

    Raises:
        TrackingError: A name is reserved, a value is no number, or the report cannot be written.

    >>> report({"val/loss": 0.3}, step=1)
    """
    file = writer()
    if file is not None:
        _state["reported"] = _state["reported"] or bool(values)
        file.report(values, step)


def should_stop() -> bool:
    """Return whether this run shall end: its stopping rule ended it, or its machine is wanted back.

    From the first call on the run ends itself: it is asked by SIGTERM, which then no longer ends the process at once.
    It has `sweepkit.kill_delay_s` seconds (30) to save and to leave. Outside a sweep the answer is False.
    """
    if not os.environ.get(REPORT_FILE_ENV):
        return False
    if not _state["listens"] and threading.current_thread() is threading.main_thread():
        _state["listens"] = True
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # a program's own handler stays
            signal.signal(signal.SIGTERM, lambda *_: _state.update(asked=True))
    preempted = os.environ.get(PREEMPT_FILE_ENV)
    return _state["asked"] or bool(preempted and os.path.exists(preempted))


def has_reported() -> bool:
    """Return whether this process has reported anything."""
    return _state["reported"]


def writer() -> ReportWriter | None:
    """Return what writes the reports of this run, None outside a sweep."""
    file = os.environ.get(REPORT_FILE_ENV)
    if not file:
        return None
    if file not in _writers:
        _writers[file] = ReportWriter(file)
    return _writers[file]
