"""What the import of each module relied on and did, watched while a fork server imports for its forks.

A fork may use a module that was imported for it only if the import would have seen and done the same in the fork. So
while modules are imported, this notes for each of them

* what it read that may differ between two processes: variables of the environment, `sys.argv`, the working directory,
  the process's id, randomness of the operating system;
* what it did that a process does for itself: exit handlers, temporary folders, signal handlers, variables it set;
* which other modules it imported.

A read or an act belongs to the module whose body is being executed, innermost first: what `argparse` reads while
`pkg.config` is executed, `pkg.config` read.
"""

from __future__ import annotations

import atexit
import builtins
import importlib.machinery
import io
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sweepkit.agents.warm import known, shared
from sweepkit.agents.warm.compiled import CompiledImports
from sweepkit.agents.warm.patches import Patches
from sweepkit.agents.warm.traces import Traces

# What is read there is the same for all processes of a host, or is Python's own.
_SAME_FOR_ALL = tuple({"/dev/", "/etc/", "/proc/", "/sys/", "/usr/", sys.prefix, sys.base_prefix})

# A compiled module that imports as it is loaded seems to be these.
_MACHINERY = frozenset(
    {"importlib._bootstrap", "importlib._bootstrap_external", "_frozen_importlib", "_frozen_importlib_external"}
)
_CREATES_COMPILED = importlib.machinery.ExtensionFileLoader.create_module.__code__
_EXECUTES_COMPILED = importlib.machinery.ExtensionFileLoader.exec_module.__code__


def stamp(file: str) -> tuple[int, int]:
    """Return a file's time (ns) and size (bytes); zeros when there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


_OURS = ("sweepkit.agents",)
_ALL_READS = (
    "__getitem__",
    "__iter__",
    "__len__",
    "__contains__",
    "__eq__",
    "__reversed__",
    "copy",
    "index",
    "count",
    "pop",
)
# They read `sys.path` to import, or to find what is installed.
_READ_PATHS = (
    *("importlib", "_frozen_importlib", "pkgutil", "pkg_resources", "zipimport", "site", "_distutils_hack"),
    "sweepkit",
)


_NUMBERS = itertools.count()
NOTHING = object()


class Observed:
    """What the import of one module relied on and did.

    Attributes:
        env: Variables that it read, each with the value it saw (None: not set).
        whole_env: It went through the whole environment.
        cwd: The working directory that it saw, None when it did not look.
        unlike: Why no other process may use it as it is ("argv", "pid", ...); empty when nothing stands against it.
        sets: Variables that it set (None: deleted), in order.
        files: Files that it read, beside those of Python and of packages, with their time and size.
        acts: What a process that shares the module is to do as well, each with its place among the acts of all modules:
            set variables, register exit handlers, make temporary folders, filter warnings, say something, ...
        main: Attributes of `__main__` that it read, each with the value it saw (None: there was none).
        needs: Names of modules that it imported or tried to, at its top or in functions called meanwhile.
        asks: Names of modules that it asked for whether they could be imported.
    """

    __slots__ = (*("acts", "asks", "cwd", "env", "files", "main", "needs", "sets", "unlike", "whole_env"),)

    def __init__(self) -> None:
        self.env: dict[str, str | None] = {}
        self.whole_env = False
        self.cwd: str | None = None
        self.unlike: dict[str, None] = {}  # a set that keeps its order
        self.sets: list[tuple[str, str | None]] = []
        self.files: dict[str, tuple[int, int]] = {}
        self.acts: list[tuple[int, Callable[[], None]]] = []
        self.main: dict[str, Any] = {}
        self.needs: set[str] = set()
        self.asks: set[str] = set()

    def note_file(self, file: Any) -> None:
        """Note that it read a file."""
        path = os.fsdecode(file)
        whole = os.path.realpath(path)
        if not whole.startswith(_SAME_FOR_ALL) and "site-packages" not in whole:
            self.files.setdefault(whole, stamp(whole))
            if not os.path.isabs(path):
                self.cwd = os.path.realpath(".")

    def absorb(self, other: Observed) -> None:
        """Take what another module relied on and did, whose import failed."""
        self.env = {**other.env, **self.env}
        self.main = {**other.main, **self.main}
        self.whole_env = self.whole_env or other.whole_env
        self.cwd = self.cwd or other.cwd
        for name in ("unlike", "files", "needs", "asks"):
            getattr(self, name).update(getattr(other, name))
        self.sets.extend(other.sets)
        self.acts.extend(other.acts)

    def does(self, act: Callable[[], None]) -> None:
        """Note what it did, in a form that does the same in a process that shares the module."""
        self.acts.append((next(_NUMBERS), act))


def _set_variable(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def _at_exit(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    atexit.register(function, *arguments, **named)


def _at_threads_exit(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    threading._register_atexit(function, *arguments, **named)  # type: ignore[attr-defined]


def _make_folder(reference: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Make a temporary folder anew, in place: others hold this very object."""
    folder = reference()
    if folder is not None and folder._finalizer.detach() is not None:
        folder.__init__(*arguments, **named)


class ImportWatch:
    """Watch every import between `start` and `stop`; may be started again, and goes on with what it knows.

    Attributes:
        of: What is known of each module, by its name. A module without an entry relied on nothing and did nothing.
        base: Modules that a bare interpreter has.
        before: Other modules that were there before anything was watched.
        looked_for: Modules that somebody imported; others put themselves into `sys.modules`, as C extensions do.
        later: Modules of packages that were imported when the package's own import was over, with what the package had
            under their last names by then, by its import (`NOTHING`: nothing).
        served: Modules that their package's `__getattr__` imports, as `numpy.random`: who asks for one needs it.
        unseeded: Generators of Python's `random` that were seeded by the operating system meanwhile.
        main: What the namespace of `__main__` holds before the program's first line.
        written: Variables that modules set, with the values (None: deleted).
        avoid: Modules that shall not be imported now: whoever asks for one is told that it is not there.

    Example:
        >>> watch = ImportWatch()
        >>> watch.start()
        >>> import colorsys
        >>> watch.stop()
    """

    def __init__(self) -> None:
        self.of: dict[str, Observed] = {}
        self.base: frozenset[str] = frozenset()
        self.before: frozenset[str] = frozenset()
        self.unseeded: list[random.Random] = []
        self.avoid: frozenset[str] = frozenset()
        self.refused: set[str] = set()
        self.main: dict[str, Any] = {}
        self.later: dict[str, Any] = {}
        self.looked_for: set[str] = set()
        self.served: set[str] = set()
        self._undo: list[Callable[[], None]] = []
        self._ours: dict[int, Any] = {}  # ours in the place of others, by their ids
        self.written: dict[str, list[str | None]] = {}
        self._drew: Any = None
        self._patches = Patches(lambda module, act: self[module].does(act))

    def __getitem__(self, module: str) -> Observed:
        seen = self.of.get(module)
        if seen is None:
            seen = self.of[module] = Observed()
        return seen

    def begin_with(self, base: Iterable[str], imports: list[tuple[Any, ...]]) -> None:
        """Take note of modules that are there, and of what was asked of `__import__` for them.

        Args:
            base: Names of the modules that a bare interpreter has.
            imports: (name, globals, fromlist, level) of each call; emptied.
        """
        self.base = frozenset(base)
        self.before = frozenset(sys.modules) - self.base
        for name, namespace, fromlist, level in imports:
            self._note_import(name, namespace, fromlist, level)
        imports.clear()
        for name in self.before:
            package = name.rpartition(".")[0]
            spec = getattr(sys.modules[name], "__spec__", None)
            if package and getattr(spec, "name", None) != name:  # its package put it there, as `typing.io`
                self[package].needs.add(name)

    def _note_import(self, name: str, namespace: dict[str, Any], fromlist: Any, level: int) -> None:
        importer = namespace.get("__name__")
        absolute = _absolute(name, namespace, level)
        if importer in _MACHINERY or absolute in self.served:
            importer = _executing()
        if importer is None:
            return
        needs = self[importer].needs
        needs.add(absolute)
        for item in fromlist or ():
            part = f"{absolute}.{item}"
            if part in sys.modules:
                needs.add(part)

    def withdraw_served(self) -> None:
        """Take out of their packages what these import when they are asked for it: the next body is to ask as well."""
        for name in self.served:
            package, _, tail = name.rpartition(".")
            names = getattr(sys.modules.get(package), "__dict__", {})
            if tail in names and names[tail] is sys.modules.get(name):
                del names[tail]

    def _put_back(self, name: str) -> None:
        """Put such a module into its package again, as its first import did."""
        package, _, tail = name.rpartition(".")
        if name in sys.modules and package in sys.modules:
            sys.modules[package].__dict__.setdefault(tail, sys.modules[name])

    # -- putting the observers in and out -----------------------------------------------------------------------------

    def start(self) -> None:
        """Put the observers in the place of what they observe."""
        tempfile.tempdir = None  # it was the first run's, which may have ended
        self._patches.start()
        self._watch_environment()
        self._watch_list("argv", _ALL_READS)
        self._watch_list("path", _ALL_READS, beneath=_READ_PATHS)
        self._watch_main()
        self._watch_imports()
        self._watch_handlers()
        self._replace(os, "getcwd", self._cwd(os.getcwd))
        self._replace(
            os, "getpid", self._never("pid", os.getpid, beneath=("random", "tempfile", "threading", "logging"))
        )
        self._replace(os, "urandom", self._never("random", os.urandom, beneath=("random", "tempfile")))
        self._replace(random, "_urandom", self._system_random(random._urandom))  # type: ignore[attr-defined]
        for name in ("mkdtemp", "mkstemp"):
            self._replace(tempfile, name, self._never("effect", getattr(tempfile, name), beneath=("tempfile",)))
        self._replace(tempfile.TemporaryDirectory, "__init__", self._folder(tempfile.TemporaryDirectory.__init__))
        self._replace(signal, "signal", self._never("effect", signal.signal))
        self._watch_generators()
        self._watch_bodies()
        for name in {**shared.REGISTRATIONS, **shared.EFFECTS}:
            self._watch_shared(sys.modules.get(name))
        self._watch_files()
        self._replace(os, "register_at_fork", self._never("fork", os.register_at_fork))

    def stop(self) -> None:
        """Put back what was there before, in the modules that took one of ours by its name too."""
        while self._undo:
            self._undo.pop()()
        self._patches.stop()
        for name in self.served:
            self._put_back(name)
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", {})
            for name, value in list(names.items()):
                if type(value) is types.FunctionType and (real := self._ours.get(id(value))) is not None:
                    names[name] = real
        self._ours.clear()

    def _replace(self, owner: Any, name: str, new: Any) -> None:
        old = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
        setattr(owner, name, new)
        if isinstance(owner, types.ModuleType):
            self._ours[id(new)] = old
        self._undo.append(lambda: setattr(owner, name, old))

    def _watch_generators(self) -> None:
        """Note Python's generators that nobody gave a seed; whose module draws from one has drawn for all forks."""
        seed, watch = random.Random.seed, self
        made: list[tuple[random.Random, Any, str]] = []

        def seeding(self: random.Random, a: Any = None, *rest: Any, **named: Any) -> None:
            seed(self, a, *rest, **named)
            if a is None:
                watch.unseeded.append(self)
                if not _is_beneath({"tempfile"}, 3) and (module := _executing()) is not None:  # names of its own
                    made.append((self, self.getstate(), module))

        def judge() -> None:
            for generator, state, module in made:
                if generator.getstate() != state:
                    watch[module].unlike["random"] = None

        self._replace(random.Random, "seed", seeding)
        self._undo.append(judge)

    def _system_random(self, real: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Return `real` that marks the module being executed, but for the 128 bits that seed numpy's generators."""

        def urandom(size: int) -> bytes:
            of_numpy = size == 16 and sys._getframe(1).f_code.co_name == "getrandbits"
            if not of_numpy and (module := _executing()) is not None:
                self[module].unlike["random"] = None
            return real(size)

        return urandom

    # -- the observers ------------------------------------------------------------------------------------------------

    def _watch_environment(self) -> None:
        watch = self

        class Environ(os._Environ):  # type: ignore[type-arg]
            def __getitem__(self, key: Any) -> Any:
                watch._read(key, self._data.get(self.encodekey(key)) if isinstance(key, str) else None)  # type: ignore[attr-defined]
                return super().__getitem__(key)

            def __iter__(self) -> Any:
                if (module := _executing()) is not None:
                    watch[module].whole_env = True
                return super().__iter__()

            def __setitem__(self, key: Any, value: Any) -> None:
                super().__setitem__(key, value)
                watch._write(key, value)

            def __delitem__(self, key: Any) -> None:
                super().__delitem__(key)
                watch._write(key, None)

        environ = os.environ
        environ.__class__ = Environ

        def undo() -> None:
            environ.__class__ = os._Environ

        self._undo.append(undo)

    def _read(self, key: Any, raw: bytes | None) -> None:
        if (
            sys._getframe(3).f_globals.get("__name__") == "tempfile"
            or sys._getframe(4).f_globals.get("__name__") == "tempfile"
        ):
            return  # where temporary files go is asked again in a fork
        module = _executing()
        if module is not None and isinstance(key, str) and all(key != mine for mine, _ in self[module].sets):
            self[module].env.setdefault(key, None if raw is None else os.fsdecode(raw))

    def _write(self, key: Any, value: Any) -> None:
        module = _executing()
        if module is not None:
            self.written.setdefault(key, []).append(value)
            self[module].sets.append((key, value))
            self[module].does(partial(_set_variable, key, value))

    def _watch_list(self, name: str, reads: tuple[str, ...], *, beneath: tuple[str, ...] = ()) -> None:
        """Note who reads a list of `sys`; it does not count when modules whose names begin with `beneath` do."""
        watch = self

        def noting(method_name: str) -> Any:
            real = getattr(list, method_name)

            def method(self: Any, *arguments: Any) -> Any:
                caller = str(sys._getframe(1).f_globals.get("__name__"))
                if not (beneath and caller.startswith(beneath)) and (module := _executing()) is not None:
                    watch[module].unlike[name] = None
                return real(self, *arguments)

            return method

        kind = type("list", (list,), {read: noting(read) for read in reads})
        before = getattr(sys, name)
        watched = kind(before)
        setattr(sys, name, watched)

        def undo() -> None:
            if getattr(sys, name) is watched:
                before[:] = list.copy(watched)
                setattr(sys, name, before)

        self._undo.append(undo)

    def _watch_main(self) -> None:
        """Put a `__main__` like the program's into `sys.modules`, and note who reads what of it."""
        watch = self

        class Main(types.ModuleType):
            def __getattribute__(self, name: str) -> Any:
                module = _executing()
                if module is not None and name not in ("__dict__", "__class__"):
                    watch[module].main[name] = watch.main.get(name)
                return super().__getattribute__(name)

        main = Main("__main__")
        types.ModuleType.__getattribute__(main, "__dict__").update(self.main)
        before = sys.modules["__main__"]
        sys.modules["__main__"] = main

        def undo() -> None:
            sys.modules["__main__"] = before

        self._undo.append(undo)

    def _watch_imports(self) -> None:
        real = builtins.__import__

        def importing(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
            if (absolute := _absolute(name, globals or {}, level)) in self.served:
                self._put_back(absolute)
            module = real(name, globals, locals, fromlist, level)
            self._note_import(name, globals or {}, fromlist, level)
            return module

        self._replace(builtins, "__import__", importing)
        imports = CompiledImports(_executing, lambda importer, name: self[importer].needs.add(name))
        for step in ("create_module", "exec_module"):
            self._replace(importlib.machinery.ExtensionFileLoader, step, self._bringing(step, imports))
        self._undo.append(imports.stop)
        finder = _Finder(self)
        sys.meta_path.insert(0, finder)
        self._undo.append(lambda: sys.meta_path.remove(finder))

    def _bringing(self, step: str, imports: CompiledImports) -> Callable[..., Any]:
        """Return a step of loading a compiled module that notes what this imports and puts into `sys.modules`."""
        real = getattr(importlib.machinery.ExtensionFileLoader, step)

        def loading(loader: Any, module: Any) -> Any:
            before = len(sys.modules)
            with imports.of(loader.name):
                made = real(loader, module)
            if len(sys.modules) > before:
                for name in [
                    name for name in itertools.islice(reversed(sys.modules), 50) if name not in self.looked_for
                ]:
                    if name not in self.before and name not in self.base:
                        self[loader.name].needs.add(name)
                        self.looked_for.add(name)
            return made

        return loading

    def _watch_handlers(self) -> None:
        """Keep the exit handlers of libraries for the forks that import them; those of Python itself are everyone's."""

        def keeping(real: Callable[..., Any], later: Callable[..., None]) -> Callable[..., Any]:
            def register(function: Any, *arguments: Any, **named: Any) -> Any:
                module = _executing()
                if module is None or getattr(function, "__module__", None) == "weakref":
                    return real(function, *arguments, **named)
                self[module].does(partial(later, function, arguments, named))
                return function

            return register

        self._replace(atexit, "register", keeping(atexit.register, _at_exit))
        if hasattr(threading, "_register_atexit"):
            self._replace(threading, "_register_atexit", keeping(threading._register_atexit, _at_threads_exit))

    def _watch_bodies(self) -> None:
        """Look before and after each body at what all modules share, and put the warning filters back in the end."""

        def changed(module: str, what: str) -> None:
            self[module].unlike[what] = None

        def finding(finalizer: Any, *arguments: Any, **named: Any) -> None:
            start(finalizer, *arguments, **named)
            if (module := _executing()) is not None:
                self[module].does(lambda: setattr(finalizer, "atexit", True))

        def failed(module: str) -> None:  # what it saw, whoever imported it relies on
            if (importer := _executing()) is not None and module in self.of:
                self[importer].absorb(self.of[module])

        watch = self
        traces = Traces(changed, lambda module, act: self[module].does(act))
        loader = importlib.machinery.SourceFileLoader
        real, start = loader.exec_module, weakref.finalize.__init__
        filters = list(warnings.filters)

        def exec_module(self: Any, module: types.ModuleType) -> None:
            watch.looked_for.add(module.__name__)
            if (importer := _executing()) is not None:  # by `importlib.util`, say, lazily
                watch[importer].needs.add(module.__name__)
            watch.withdraw_served()
            traces.enter(module.__name__)
            try:
                real(self, module)
            except BaseException:
                failed(module.__name__)
                raise
            finally:
                traces.leave()
                watch._patches.look_at(module)
                watch._watch_shared(module)
                if sys.modules.pop("__mp_main__", None) is not None:  # what `multiprocessing` calls the program
                    watch[module.__name__].does(_name_program_again)

        def warn(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **more: Any) -> None:
            module = _executing()
            if module is None or more:
                warnings_warn(message, category, stacklevel + 1, source, **more)
                return
            traces.look_again()
            self[module].does(_warning(message, category, stacklevel))

        warnings_warn = warnings.warn
        self._replace(warnings, "warn", warn)
        traces.look()
        self._undo.append(lambda: delattr(loader, "exec_module"))
        loader.exec_module = exec_module  # type: ignore[method-assign]
        self._replace(weakref.finalize, "__init__", finding)

        def undo() -> None:
            warnings.filters[:] = filters  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined]

        self._undo.append(undo)

    def _watch_shared(self, module: types.ModuleType | None) -> None:
        """Watch the functions of a module of the standard library that change what all modules share."""
        if module is None:
            return
        for name in shared.REGISTRATIONS.get(module.__name__, ()):
            self._replace(module, name, self._putting_off(module.__name__, name, getattr(module, name)))
        for name in shared.EFFECTS.get(module.__name__, ()):
            if (real := getattr(module, name, None)) is not None:
                self._replace(module, name, self._changing(name, real))

    def _putting_off(self, owner: str, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def register(*arguments: Any, **named: Any) -> Any:
            module = None if shared.only_asks(name, arguments) else _executing()
            if module is None:
                return real(*arguments, **named)
            self[module].does(shared.again(owner, name, arguments, named))
            return None

        return register

    def _changing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **named: Any) -> Any:
            if not shared.only_asks(name, arguments) and (module := _executing()) is not None:
                self[module].unlike["effect"] = None
            return real(*arguments, **named)

        return change

    def _watch_files(self) -> None:
        """Note who reads or writes a file, starts a process or keeps a socket.

        What would be written is not, and a socket that is closed or a process that has ended by the end is no matter.
        """
        real = builtins.open

        def opening(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            unread = isinstance(file, int) or file == os.devnull or _is_shown()
            module = None if unread else _executing()
            if module is not None and _is_cache(file):
                return real(file, mode, *arguments, **named)  # as the first process of a host would
            if module is not None and set(mode) & set("wax+"):
                self[module].unlike["effect"] = None
                raise PermissionError(f"{file} is not written: {module} is imported for others")
            if module is not None:
                self[module].note_file(file)
            return real(file, mode, *arguments, **named)

        self._replace(builtins, "open", opening)
        self._replace(io, "open", opening)
        kept: list[tuple[str, Any]] = []
        for owner in (subprocess.Popen, socket.socket):
            self._replace(owner, "__init__", self._keeping(owner.__init__, kept))

        def judge() -> None:
            for module, reference in kept:
                item = reference()
                lives = item is not None and (item.poll() is None if hasattr(item, "poll") else item.fileno() != -1)
                if lives:
                    self[module].unlike["effect"] = None
            for thread, module in threads:
                if thread.is_alive():
                    self[module].unlike["threads"] = None

        self._undo.append(judge)
        threads: list[tuple[threading.Thread, str]] = []
        start = threading.Thread.start

        def starting(thread: threading.Thread) -> None:
            start(thread)
            if (module := _executing()) is not None:
                threads.append((thread, module))

        self._replace(threading.Thread, "start", starting)

    def _keeping(self, real: Callable[..., None], kept: list[tuple[str, Any]]) -> Callable[..., None]:
        def init(self: Any, *arguments: Any, **named: Any) -> None:
            real(self, *arguments, **named)
            if (module := _executing()) is not None:
                kept.append((module, weakref.ref(self)))

        return init

    def _cwd(self, real: Callable[[], str]) -> Callable[[], str]:
        def getcwd() -> str:
            found = real()
            module = _executing()
            if module in known.KEEP_FOLDER:
                self[module].does(partial(_keep_folder, sys.modules[module], known.KEEP_FOLDER[module]))
            elif module is not None and not _is_beneath({"inspect", "tempfile"}, 4):  # they look for what is the same
                self[module].cwd = found
            return found

        return getcwd

    def _folder(self, real: Callable[..., None]) -> Callable[..., None]:
        watch = self

        def init(self: Any, *arguments: Any, **named: Any) -> None:
            real(self, *arguments, **named)
            if (module := _executing()) is not None:
                watch[module].does(partial(_make_folder, weakref.ref(self), arguments, named))

        return init

    def _never(self, what: str, real: Callable[..., Any], *, beneath: tuple[str, ...] = ()) -> Callable[..., Any]:
        """Return `real` that marks the module being executed; not when a module of `beneath` calls it for itself."""

        def observed(*arguments: Any, **named: Any) -> Any:
            caller = sys._getframe(1).f_globals.get("__name__")
            if caller not in beneath and (module := _executing()) is not None:
                self[module].unlike[what] = None
            return real(*arguments, **named)

        return observed


class _Finder:
    """Stands before all finders, finds nothing, and sees who asks for a module that is not there yet."""

    def __init__(self, watch: ImportWatch) -> None:
        self._watch = watch

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        only_asks = sys._getframe(2).f_globals.get("__name__") == "importlib.util"  # find_spec
        if not only_asks and _is_served(name):
            self._watch.served.add(name)
        for importer in (None if name in self._watch.served else _asking(), _executing()):
            if importer is not None and importer != name:
                seen = self._watch[importer]
                (seen.asks if only_asks else seen.needs).add(name)
        if only_asks:
            return
        self._watch.looked_for.add(name)
        parent, _, tail = name.rpartition(".")
        package = sys.modules.get(parent)
        if package is not None and not getattr(package.__spec__, "_initializing", False):
            self._watch.later.setdefault(name, package.__dict__.get(tail, NOTHING))
        if name in self._watch.avoid:
            self._watch.refused.update(_all_executing())
            raise ModuleNotFoundError(f"{name} is left to the runs", name=name)


def _is_shown() -> bool:
    """Return whether what opens a file is `tokenize`: for the source lines of frames, ours among them.

    `torch` asks for such of each that it is imported by. `tokenize` has the real `open` where a server's own modules
    brought it before the watch began, and this one where a program's did.
    """
    return sys._getframe(2).f_globals.get("__name__") == "tokenize"


def _is_cache(file: Any) -> bool:
    """Return whether a file lies where libraries keep for all processes what takes long to work out."""
    path = os.path.realpath(os.fsdecode(file))
    environ = os.environ._data  # type: ignore[attr-defined]  # not through what notes who reads it
    given = [os.fsdecode(environ.get(name, b"")) for name in (b"XDG_CACHE_HOME", b"MPLCONFIGDIR")]
    return "/.cache/" in path or any(path.startswith(os.path.join(os.path.realpath(at), "")) for at in given if at)


def _warning(message: Any, category: Any, stacklevel: int) -> Callable[[], None]:
    """Return what warns in a fork as an import warned: of the line there, or of the line that imports."""
    if isinstance(message, Warning):
        category = type(message)
    frame: types.FrameType | None = sys._getframe(2)
    for _ in range(stacklevel - 1):
        frame = frame and frame.f_back
        while frame is not None and (_is_import_system(frame) or frame.f_globals.get("__name__") == __name__):
            frame = frame.f_back
    place = None if frame is None or _is_the_servers(frame) else frame

    def again() -> None:
        at: types.FrameType | None = place
        line = 1 if place is None else lineno
        if at is None:
            at = _importing()
            line = 1 if at is None else at.f_lineno
        names = sys.__dict__ if at is None else at.f_globals
        file = "sys" if at is None else at.f_code.co_filename
        registry = names.setdefault("__warningregistry__", {})
        warnings.warn_explicit(message, category or UserWarning, file, line, names.get("__name__", "sys"), registry)

    lineno = 0 if place is None else place.f_lineno
    return again


def _importing() -> types.FrameType | None:
    """Return the frame that imports: the first below this one that is neither ours nor the import system's."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and (_is_import_system(frame) or str(frame.f_globals.get("__name__")).startswith(_OURS)):
        frame = frame.f_back
    return frame


def _is_import_system(frame: types.FrameType) -> bool:
    """Return whether warnings pass a frame by: not `importlib.import_module`, nor its utilities."""
    return frame.f_code.co_filename.startswith("<frozen importlib._bootstrap")


def _is_the_servers(frame: types.FrameType) -> bool:
    """Return whether a frame is the server's, or that of `importlib.import_module` which the server called."""
    ours = (one.f_globals.get("__name__") for one in (frame, frame.f_back) if one is not None)
    return any(str(name).startswith(_OURS) for name in ours)


def _absolute(name: str, globals: dict[str, Any], level: int) -> str:
    if not level:
        return name
    package = globals.get("__package__") or globals.get("__name__", "").rpartition(".")[0]
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return f"{base}.{name}" if name else base


def _executing() -> str | None:
    """Return the module whose body is being executed, innermost, a compiled one's too; None when none is."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and (name := _name_of(frame)) is not None:
            return name
        if code is _CREATES_COMPILED or code is _EXECUTES_COMPILED:
            return str(frame.f_locals["self"].name)
        frame = frame.f_back
    return None


def _is_beneath(names: set[str], most: int) -> bool:
    """Return whether one of the modules called what our caller stands for, directly or by so many others."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None and most:
        if frame.f_globals.get("__name__") in names:
            return True
        frame, most = frame.f_back, most - 1
    return False


def _name_program_again() -> None:
    sys.modules["__mp_main__"] = sys.modules["__main__"]


def _keep_folder(module: types.ModuleType, attribute: str) -> None:
    setattr(module, attribute, os.path.abspath(os.getcwd()))


def _all_executing() -> set[str]:
    """Return all modules whose bodies are being executed."""
    found: set[str] = set()
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>" and (name := _name_of(frame)) is not None:
            found.add(name)
        frame = frame.f_back
    return found


def _asking() -> str | None:
    """Return the module whose code, at its top or in a function, asked for an import."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if (name := _name_of(frame)) is not None:
            return name
        frame = frame.f_back
    return None


def _is_served(name: str) -> bool:
    """Return whether a module is imported because its package was asked for an attribute of that name."""
    package, _, tail = name.rpartition(".")
    if not package:
        return False
    frame, most = sys._getframe(2), 12
    while frame is not None and most:
        if frame.f_code.co_name == "__getattr__" and tail in frame.f_locals.values():
            names = frame.f_locals
            return frame.f_globals.get("__name__") == package or names.get("self") is sys.modules.get(package)
        frame, most = frame.f_back, most - 1  # type: ignore[assignment]
    return False


def _name_of(frame: types.FrameType) -> str | None:
    """Return the name of a frame's module, None for the import machinery and for ourselves."""
    if frame.f_code.co_filename.startswith("<frozen importlib"):
        return None
    name = frame.f_globals.get("__name__")
    return None if name in (None, "__main__", __name__, "importlib") or not isinstance(name, str) else name
