"""A Python for the workers of pytest-xdist: forked off one process that has imported what their tests import.

    python -m pytest --dist loadscope --tx "5*popen//python=python tests/support/forked_worker.py"

Each worker collects all tests, and the libraries that these import are most of what that costs. The first of the
processes that one pytest starts imports them and forks; those that come later hand their files to it and wait for what
was forked for them to end. Nothing of the project or of pytest is imported beforehand: neither warnings as errors nor
the rewriting of assertions miss anything. What pytest has not rewritten yet, in a fresh checkout all, is rewritten
meanwhile beside it: the workers, which reach each file at the same time, would all do it.
"""

import gc
import importlib
import os
import select
import socket
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).absolute().parents[1]
IMPORTED = (
    "accelerate",
    "alembic.context",
    "anyio",
    "matplotlib.figure",
    "optuna",
    "peft",
    "plotly.graph_objects",
    "rich.console",
    "scipy.optimize",
    "scipy.stats",
    "seaborn",
    "sklearn.ensemble",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "sqlalchemy.orm",
    "torch",
    "transformers",
)
_STANDARD = 3  # input, output, errors
_ANOTHER_COMES_S = 8  # after the last one, where one has crashed: pytest-xdist starts another in its place
_held: list[socket.socket] = []


def _main() -> None:
    """Return in a process that is to run what was asked for; what only waits for one exits here."""
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    address = f"\0sweepkit-tests-{os.getuid()}-{os.getppid()}"  # of the processes that one pytest starts
    try:
        waiting.bind(address)
    except OSError:
        _wait_for_a_worker(waiting, address)
        sys.exit(0)
    waiting.listen()
    rewriting = _started(_rewrite_all)
    _import_all()
    os.waitpid(rewriting, 0)  # its failure costs time alone, and is told on its errors
    _serve(waiting)


def _wait_for_a_worker(asks: socket.socket, address: str) -> None:
    """Have one forked with the files of this process; return when it has ended."""
    for last in (*[False] * 500, True):
        try:
            asks.connect(address)
            break
        except ConnectionRefusedError:  # it is bound, and listens in a moment
            if last:
                raise
            time.sleep(0.01)
    socket.send_fds(asks, [b"files"], range(_STANDARD))
    _let_go()
    asks.recv(1)


def _let_go() -> None:
    """Leave input and output to what was forked: that it has ended is seen by their end."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)


def _started(act: Callable[[], None]) -> int:
    """Do it in a child; return its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except Exception:
            traceback.print_exc()
        os._exit(0)
    return pid


def _rewrite_all() -> None:
    """Keep what pytest makes of each file of tests where pytest looks for it."""
    from _pytest.assertion import rewrite

    for path in () if sys.dont_write_bytecode else sorted(TESTS.rglob("test_*.py")):
        kept = rewrite.get_cache_dir(path) / (path.stem + rewrite.PYC_TAIL)
        if not kept.exists() and rewrite.try_makedirs(kept.parent):
            source_hash, code = rewrite._rewrite_test(path, None)
            rewrite._write_pyc(None, code, source_hash, kept)


def _import_all() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED:
            importlib.import_module(name)
    sys.modules["anyio"].__doc__ = "PYTEST_DONT_REWRITE"  # a plugin, too: pytest warns where it is too late to
    gc.collect()
    gc.freeze()  # pages stay shared


def _serve(waiting: socket.socket) -> None:
    """Fork for this process and for each that asks; return in what was forked, exit when all of that has ended."""
    running = {_forked(None)}
    if 0 in running:
        return waiting.close()
    _let_go()
    crashed = False
    while found := select.select([waiting, *running], [], [], None if running else _ANOTHER_COMES_S)[0]:
        for ready in found:
            if ready in running:
                crashed |= os.waitid(os.P_PIDFD, ready, os.WEXITED).si_status != 0
                os.close(ready)
                running.discard(ready)
                continue
            asks = waiting.accept()[0]
            child = _forked(asks)
            if not child:
                return waiting.close()
            asks.close()
            running.add(child)
        if not running and not crashed:
            break
    sys.exit(0)


def _forked(asks: socket.socket | None) -> int:
    """Return the child's pidfd; in the child 0. There `asks` stays open: the other side sees when it ends."""
    pid = os.fork()
    if pid:
        return os.pidfd_open(pid)
    if asks is not None:
        asks.set_inheritable(False)
        _held.append(asks)
        for number, file in enumerate(socket.recv_fds(asks, 16, _STANDARD)[1]):
            os.dup2(file, number)
            os.close(file)
    return 0


def _run(code: str) -> None:
    """Run what follows -c, as `python -u -c` would."""
    sys.stdout.reconfigure(write_through=True)
    sys.argv = ["-c"]
    sys.path[0] = ""
    sys.modules["forked_worker"] = sys.modules["__main__"]  # what it holds stays
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(code, main.__dict__)


if __name__ == "__main__":
    asked = sys.argv[-1]
    _main()
    _run(asked)
