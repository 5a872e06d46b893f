"""`monitor_sweep.py`: watch a sweep."""

import signal
from collections.abc import Sequence
from types import FrameType

from sweepkit.cli.guard import guarded
from sweepkit.cli.monitor_options import parse
from sweepkit.paths import default_output_dir


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv, output_dir=default_output_dir())
    from sweepkit.monitor.monitor import watch

    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        return watch(options)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that what we started ends with us
