"""A fork becomes the program: what a fresh interpreter would do between its start and its end."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import random
import signal
import sys
import types
from collections.abc import Iterable
from typing import Any, NoReturn

from sweepkit.agents.warm.ending import exit_status, leave
from sweepkit.agents.warm.shelf import Shelf


def set_environment(env: dict[str, str]) -> None:
    """Make `env` the whole environment, by its few differences: each variable set costs a fork some page copies."""
    for name in [name for name in os.environ if name not in env]:
        del os.environ[name]
    for name, value in env.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    """Replace this process by a fresh one."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them for itself; what it starts shall not
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        os.write(2, f"sweepkit: cannot execute {argv[0]!r}: {error.strerror}\n".encode())
        os._exit(127)


def close_all_files() -> None:
    """Close every descriptor but the standard ones."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.close(int(name))


def run(program: dict[str, Any], argv: list[str], shelf: Shelf, generators: Iterable[Any]) -> NoReturn:
    """Run a script or module as `__main__` and leave as an interpreter does.

    Args:
        program: {"script": its file or None, "module": its name or None, "args": what follows on the command line}.
        argv: The whole command line, for `sys.orig_argv`.
        shelf: What is ready to be imported.
        generators: Random generators that a fresh process would have seeded by the operating system.
    """
    _renew(shelf, generators)
    _command_line(program, argv)
    main = _new_main()
    shared = [*shelf.modules.values(), *(sys.modules[name] for name in shelf.base if name in sys.modules)]
    shelf.forked()
    try:
        if program.get("module"):
            _run_module(program["module"])
        else:
            _run_script(program["script"], main)
    except SystemExit as stop:
        status, by_signal = exit_status(stop.code), 0
    except KeyboardInterrupt as error:
        _print_traceback(error)
        status, by_signal = 1, signal.SIGINT
    except BaseException as error:
        _print_traceback(error)
        status, by_signal = 1, 0
    else:
        status, by_signal = 0, 0
    del main
    leave(status, shared, by_signal=by_signal)


def _command_line(program: dict[str, Any], argv: list[str]) -> None:
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = argv
    first = "-m" if program.get("module") else program["script"]
    sys.argv[:] = [first, *program["args"]]
    if not getattr(sys.flags, "safe_path", False):
        folder = os.getcwd() if program.get("module") else os.path.dirname(os.path.realpath(program["script"]))
        sys.path.insert(0, folder)


def _new_main() -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__.update({"__annotations__": {}, "__builtins__": sys.modules["builtins"]})
    sys.modules["__main__"] = main
    return main


def _run_module(name: str) -> None:
    import runpy

    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def _run_script(script: str, main: types.ModuleType) -> None:
    file = os.path.join(os.getcwd(), script)
    loader = importlib.machinery.SourceFileLoader("__main__", file)
    main.__dict__.update({"__file__": file, "__cached__": None, "__loader__": loader})
    with open(file, "rb") as opened:
        source = opened.read()
    exec(compile(source, file, "exec", dont_inherit=True), main.__dict__)


def _print_traceback(error: BaseException) -> None:
    """Print the traceback without our own frames, as a fresh interpreter would."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _renew(shelf: Shelf, generators: Iterable[Any]) -> None:
    """Give this process what no two processes share: states of generators, keys, the place of temporary files."""
    modules = shelf.modules  # nothing was handed over yet
    if (tempfile := modules.get("tempfile")) is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined]
    random.seed()
    for generator in generators:
        _reseed(generator)
    if (numpy := modules.get("numpy.random")) is not None:
        numpy.seed()
    if (torch := modules.get("torch")) is not None:
        torch.default_generator.seed()
    if (process := modules.get("multiprocessing.process")) is not None:
        process.current_process().authkey = os.urandom(32)


def _reseed(generator: Any) -> None:
    if isinstance(generator, random.Random):
        generator.seed()
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = type(generator.bit_generator)().state


def unseeded_generators(shelf: Shelf) -> list[Any]:
    """Return numpy's generators in the namespaces of modules that nobody gave a seed."""
    numpy = shelf.modules.get("numpy.random")
    if numpy is None:
        return []
    found = []
    for module in list(shelf.modules.values()):
        for value in list(vars(module).values()):
            if isinstance(value, numpy.Generator):
                sequence = getattr(value.bit_generator, "seed_seq", None)
                # The operating system's entropy has 128 bits; a seed that a person wrote is shorter.
                if isinstance(getattr(sequence, "entropy", None), int) and sequence.entropy >= 1 << 64:
                    found.append(value)
    return found
