"""`monitor_sweep.py`: watch a sweep."""

import argparse
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.monitor_options import EPILOG, add_watch, monitor_options
from sweepkit.cli.parsing import CommandLine, Parser

if TYPE_CHECKING:
    from sweepkit.ui.server import Page


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "monitor_sweep.py")


def _watch(parser: Parser, given: argparse.Namespace) -> int:
    options = monitor_options(parser, given)
    from sweepkit.monitor.monitor import watch

    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        return watch(options, _page if options.web else None)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _page(storage: str, output_dir: Path, sweep: str | None, port: int | None) -> "AbstractContextManager[Page]":
    from sweepkit.extras import needed

    needed("web", "--web")
    from sweepkit.ui.options import UiOptions
    from sweepkit.ui.server import served

    return served(UiOptions(output_dir=output_dir, storage=storage, sweep=sweep, port=port))


def _terminate(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that what we started ends with us


_COMMON = ("--all", "--once", "--json", "--until", "--refresh-interval", "--web", "--output-dir", "--storage")
COMMAND = CommandLine(name="watch", add=add_watch, act=_watch, epilog=EPILOG, common=_COMMON)
