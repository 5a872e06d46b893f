"""A fork becomes the program: what a fresh interpreter would do between its start and its end."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.machinery
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from sweepkit.agents.warm.ending import exit_status, leave, report
from sweepkit.agents.warm.frames import hide_outermost
from sweepkit.agents.warm.preload import inner_module
from sweepkit.agents.warm.shelf import Shelf, in_place
from sweepkit.agents.warm.watch import stamp


class Environment:
    """The whole environment of a process to be, made in the server: what a fork allocates costs it a page each.

    Attributes:
        block: Its variables as C has them, `name=value`.
    """

    def __init__(self, env: dict[str, str]) -> None:
        coding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # as `os.fsencode` does
        self._data = {name.encode(coding, errors): value.encode(coding, errors) for name, value in env.items()}
        self.block = [name + b"=" + value for name, value in self._data.items()]
        # The C library changes such a list in place, and takes one of its own when it is to be longer.
        kind = _Entries if len(self.block) < _MADE else ctypes.c_char_p * (len(self.block) + 1)
        self._entries = kind(*self.block)

    def take(self) -> None:
        """Make it the whole environment of this process, in its order, as a fresh process has it.

        At once: variable by variable it takes a tenth of a short run.
        """
        os.environ._data.clear()  # type: ignore[attr-defined]
        os.environ._data.update(self._data)  # type: ignore[attr-defined]
        _environment[:] = [self._entries]
        ctypes.c_void_p.in_dll(_libc, "environ").value = ctypes.addressof(self._entries)


_libc = ctypes.CDLL(None)
_environment: list[Any] = []  # what the C library's `environ` points to
_MADE = 512
_Entries = ctypes.c_char_p * _MADE  # made in the server: a fork that makes a type copies thirty pages of memory


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


class Begun(BaseException):
    """A fork that is about to be the program: raised in it, so that no frame of the server lies below the program's.

    Whoever catches it calls `call(*arguments)`, hands what that raises to `failed`, and then calls `leave`.

    Attributes:
        call: What runs the program.
        arguments: Its arguments.
    """

    def __init__(
        self,
        call: Callable[..., object],
        arguments: tuple[Any, ...],
        shared: set[int],
        on_exit: Callable[[], None],
        ended: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.args = ()  # an exception keeps them: the program's namespace would never be freed
        self.call, self.arguments = call, arguments
        self._shared, self._on_exit, self._ended = shared, on_exit, ended
        self._status = self._by_signal = 0
        self._below = hide_outermost()

    def _flush(self) -> None:
        """Flush what a script wrote, as an interpreter does when its last line was executed: `flush_io`."""
        for name in ("stderr", "stdout") if self.call is exec else ():
            with contextlib.suppress(BaseException):
                getattr(sys, name).flush()

    def failed(self, error: BaseException) -> None:
        """Say what an uncaught exception says, and remember the exit status that it makes."""
        self._flush()
        if isinstance(error, SystemExit):
            self._status = exit_status(error.code)
            return
        self._status = 1
        self._by_signal = signal.SIGINT if isinstance(error, KeyboardInterrupt) else 0
        trace = error.__traceback__
        if trace is not None and trace.tb_frame.f_code is self._below:  # a fresh process has none there
            trace = trace.tb_next
        error = error.with_traceback(trace)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
        report(type(error), error, trace)

    def leave(self) -> NoReturn:
        """End as an interpreter does."""
        if not self._status:
            self._flush()
        self.arguments = ()
        leave(self._status, self._shared, on_exit=self._on_exit, ended=self._ended, by_signal=self._by_signal)


def begin(
    program: dict[str, Any],
    request: dict[str, Any],
    shelf: Shelf,
    generators: Iterable[Any],
    compiled: Compiled,
    on_exit: Callable[[], None],
    ended: Callable[[int], None],
) -> NoReturn:
    """Raise `Begun` for a script or module that is to run as `__main__` in this fork.

    Args:
        program: {"script": its file or None, "module": its name or None, "args": what follows on the command line,
            "argv": the interpreter's command line}.
        request: {"argv": the whole command, "env": the whole environment}.
        shelf: What is ready to be imported.
        generators: Random generators that a fresh process would have seeded by the operating system.
        compiled: Scripts that need not be compiled again.
        on_exit: Called at the end of the program, when its exit handlers have run.
        ended: Called as the last act of this process, and of any fork of it that ends so; see `leave`.
    """
    _renew(shelf, generators)
    _command_line(program)
    sys.modules["__main__"] = main = _new_main()
    call: Callable[..., object]
    arguments: tuple[Any, ...]
    if program.get("module"):
        import runpy

        call, arguments = runpy._run_module_as_main, (program["module"],)  # type: ignore[attr-defined]
    else:
        try:
            call, arguments = exec, (_code_of(program["script"], main, compiled), main.__dict__)
        except (SyntaxError, ValueError, OSError):  # the interpreter, which reads the file itself, has its own words
            close_all_files()
            execute(request["argv"], request["env"])
    shelf.forked()
    raise Begun(call, arguments, shelf.shared, on_exit, ended)


def _command_line(program: dict[str, Any]) -> None:
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = program["argv"]
    first = "-m" if program.get("module") else program["script"]
    sys.argv[:] = [first, *program["args"]]
    if not getattr(sys.flags, "safe_path", False):
        folder = os.getcwd() if program.get("module") else os.path.dirname(os.path.realpath(program["script"]))
        sys.path.insert(0, folder)


def main_of(script: str | None, module: str | None, path: list[str]) -> dict[str, Any]:
    """Return what the namespace of `__main__` holds when the first line of a program is executed.

    Args:
        script: Its file, or None.
        module: Its name (`python -m`), or None.
        path: `sys.path` without its folder.
    """
    main = _new_main()
    if script:
        _set_file(os.path.join(os.getcwd(), script), main)
    elif module:
        parts = module.split(".")
        spec = inner_module(importlib.machinery.PathFinder.find_spec(parts[0], [os.getcwd(), *path]), parts[1:])
        if spec is not None and spec.submodule_search_locations is not None:
            spec = inner_module(spec, ["__main__"])
        main.__dict__.update({"__file__": spec and spec.origin, "__cached__": spec and spec.cached})
    return dict(main.__dict__)


def _new_main() -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__.update({"__annotations__": {}, "__builtins__": sys.modules["builtins"]})
    return main


def _set_file(file: str, main: types.ModuleType) -> None:
    loader = importlib.machinery.SourceFileLoader("__main__", file)
    main.__dict__.update({"__file__": file, "__cached__": None, "__loader__": loader})


class Compiled:
    """The code of scripts, by their file and content: compiled in the server, used by its forks."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, bytes], types.CodeType] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def keep(self, file: str) -> bool:
        """Compile a script as it is now, unless the compiler has anything to say: that is said in each run.

        Returns:
            Whether it is another one than the last time.
        """
        now = stamp(file)
        if self._stamps.get(file) == now:
            return False
        self._stamps[file] = now
        try:
            with open(file, "rb") as opened:
                source = opened.read()
            with _warnings_as_errors():
                self._codes[file, source] = compile(source, file, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError, Warning, RecursionError, MemoryError):
            pass
        return True

    def code(self, file: str, source: bytes) -> types.CodeType:
        """Return the code of a script that holds this."""
        return self._codes.get((file, source)) or compile(source, file, "exec", dont_inherit=True)


@contextlib.contextmanager
def _warnings_as_errors() -> Iterator[None]:
    """Let what the compiler warns of be an error. It asks `sys.modules` how, where the server has its modules aside."""
    with in_place(warnings) as asked, warnings.catch_warnings(module=asked):
        asked.simplefilter("error")
        yield


def _code_of(script: str, main: types.ModuleType, compiled: Compiled) -> types.CodeType:
    """Return a script's code, after telling `main` whose it is."""
    file = os.path.join(os.getcwd(), script)
    _set_file(file, main)
    sys.path_importer_cache.setdefault(file, None)  # it was asked whether it is a folder
    with open(file, "rb") as opened:
        source = opened.read()
    return compiled.code(file, source)


def _renew(shelf: Shelf, generators: Iterable[Any]) -> None:
    """Give this process what no two processes share: states of generators, keys, the place of temporary files."""
    modules = shelf.modules  # nothing was handed over yet; `random` seeds itself anew in a fork
    if (tempfile := modules.get("tempfile")) is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined]
    with contextlib.suppress(AttributeError):
        threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
    if (process := modules.get("multiprocessing.process")) is not None:
        process.current_process().authkey = os.urandom(32)
    if generators or "numpy.random" in modules or "torch" in modules:  # who looks at all modules copies their pages
        with shelf.lent():
            _reseed_all(modules, generators)


def _reseed_all(modules: dict[str, Any], generators: Iterable[Any]) -> None:
    for generator in generators:
        _reseed(generator)
    if (numpy := modules.get("numpy.random")) is not None:
        numpy.seed()
    if (torch := modules.get("torch")) is not None:
        torch.default_generator.seed()


def _reseed(generator: Any) -> None:
    if hasattr(generator, "seed"):
        generator.seed()
    else:  # numpy's Generator
        generator.bit_generator.state = type(generator.bit_generator)().state


def unseeded_generators(shelf: Shelf) -> list[Any]:
    """Return numpy's generators in the namespaces of modules that nobody gave a seed.

    A module that has drawn from one already is marked: what it drew would be the same in all forks.
    """
    with shelf.lent() as modules:
        return [] if "numpy.random" not in modules else _unseeded(modules["numpy.random"], shelf)


def _unseeded(numpy: Any, shelf: Shelf) -> list[Any]:
    found = []
    for name, module in list(shelf.modules.items()):
        for value in list(vars(module).values()):
            # Not isinstance, which asks an object for its class: some warn then.
            if issubclass(type(value), (numpy.Generator, numpy.RandomState)):
                bits = value.bit_generator if issubclass(type(value), numpy.Generator) else value._bit_generator
                entropy = getattr(getattr(bits, "seed_seq", None), "entropy", None)
                # The operating system's entropy has 128 bits; a seed that a person wrote is shorter.
                if isinstance(entropy, int) and entropy >= 1 << 64:
                    found.append(value)
                    if str(type(bits)(bits.seed_seq).state) != str(bits.state):
                        shelf.watch[name].unlike["random"] = None
    return found
