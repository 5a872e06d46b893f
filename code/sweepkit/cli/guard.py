"""What every entry script does with an error: a user's mistake is one message and exit code 2, a bug its traceback."""

import contextlib
import errno
import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sweepkit.errors import SweepKitError
from sweepkit.extras import installed, missing
from sweepkit.paths import INSTALLED, ROOT_DIR
from sweepkit.text.shown import say

_HINT = "free some space and run the same command again"
_OF_THE_MACHINE = {
    errno.ENOSPC: f"the disk must have room; {_HINT}",
    errno.EDQUOT: f"the quota must have room; {_HINT}",
    errno.EROFS: "the file system must take writes; name another place",
    errno.EACCES: "the file must be open to you; change its permissions, or name another place",
    errno.EMFILE: "more files must be openable at once (ulimit -n; 64 are enough for a few workers)",
    errno.ENFILE: "more files must be openable at once on this machine (sysctl fs.file-max)",
    errno.ENAMETOOLONG: "the path must be short enough; name another --output-dir",
}

_NEEDED = ("ruamel.yaml", "sqlalchemy", "rich")  # what every command needs; cheap to look for

Main = Callable[[Sequence[str] | None], int]
# Objects made, collections of the young and of the middle ones: until the next collection. A record is large and has
# no cycles: with the usual numbers a fourth of the CPU of a sweep of 50,000 runs went to looking for some.
_SELDOM = (50_000, 20, 100)
_USUALLY = gc.get_threshold()


@contextlib.contextmanager
def collecting(*, seldom: bool = True) -> Iterator[None]:
    """Look for cyclic garbage seldom within the block, as is right for much data that lives long, or as usual."""
    before = gc.get_threshold()
    gc.set_threshold(*(_SELDOM if seldom else _USUALLY))
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _guard(main: Main, *, trains: bool) -> Main:
    """Print a SweepKitError as its message on stderr and return its exit code; let everything else through.

    A package of an extra that is not there is such a message, too, wherever it was wanted.

    Args:
        main: What is called.
        trains: It trains models in this process: a cycle of its may hold a GPU's memory, which must not wait.
    """

    @functools.wraps(main)
    def wrapper(argv: Sequence[str] | None = None) -> int:
        _open_standard_streams()
        for stream in (sys.stdout, sys.stderr):
            # UTF-8 whatever the locale: configurations and logs hold Korean text.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="replace")
        try:
            if argv is None:
                _find_requirements()
            with collecting(seldom=not trains):
                return main(argv)
        except SweepKitError as error:
            say(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except ModuleNotFoundError as error:
            if not (line := missing(error)):
                raise
            say(f"error: {line}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            say("interrupted", file=sys.stderr)  # before the first run, or after the last one
            return 130
        except BrokenPipeError:
            # The reader (head, less) has left; Python would complain once more while it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as error:
            if error.errno not in _OF_THE_MACHINE:
                raise
            place = f"{error.filename}: " if error.filename else ""
            said = f"error: {place}{_OF_THE_MACHINE[error.errno]}, got: {error.strerror}"
            say(said, file=sys.stderr)
            return 2

    return wrapper


guarded = functools.partial(_guard, trains=False)
guarded_training = functools.partial(_guard, trains=True)


def _open_standard_streams() -> None:
    """Open what the caller closed of stdin, stdout and stderr (cron, daemons, `>&-`): what is said goes nowhere.

    Left closed, the next file that is opened would take the number, and be written to by whoever prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)


def _find_requirements() -> None:
    """Go on in the checkout's own virtual environment when this interpreter lacks the packages; else say what to do.

    So `python sweep_runner.py` works after README's first command in any shell, not only where it was run.
    """
    lacking = [name for name in _NEEDED if not installed(name)]
    if not lacking:
        return
    own = ROOT_DIR / ".venv" / "bin" / "python"
    if not INSTALLED and own.exists() and Path(sys.prefix) != ROOT_DIR / ".venv":
        sys.stdout.flush()
        as_module = Path(sys.argv[0]).name == "__main__.py"  # run as a file, its folder would stand before all packages
        os.execv(own, [str(own), *(["-m", "sweepkit", *sys.argv[1:]] if as_module else sys.argv)])
    remedy = "pip install sweepkit again" if INSTALLED else "run the first command of README.md"
    raise SweepKitError(
        f"{sys.executable}: the packages that we need must be installed, got none of: {', '.join(lacking)}; {remedy}"
    )
