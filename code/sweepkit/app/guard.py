"""What every entry script does with an error: a user's mistake is one message and exit code 2, a bug its traceback."""

import functools
import os
import sys
from collections.abc import Callable, Sequence

from sweepkit.errors import SweepKitError

Main = Callable[[Sequence[str] | None], int]


def guarded(main: Main) -> Main:
    """Print a SweepKitError as its message on stderr and return its exit code; let everything else through."""

    @functools.wraps(main)
    def wrapper(argv: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):
            # UTF-8 whatever the locale: configurations and logs hold Korean text.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="replace")
        try:
            return main(argv)
        except SweepKitError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:
            # The reader (head, less) has left; Python would complain once more while it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141

    return wrapper
