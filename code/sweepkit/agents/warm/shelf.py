"""Modules imported once, kept aside, and handed to the forks that import them.

A fork begins with the modules of a bare interpreter. What was imported for it lies on a shelf; a finder hands a module
over when the program imports it, together with all that this import would have brought, after asking whether what the
import relied on (`watch`) holds in this process as well. When it does not, nothing is handed over: the program goes on
in a fresh process, executed in this one's place.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

from sweepkit.agents.warm import known
from sweepkit.agents.warm.lessons import Circumstances, here
from sweepkit.agents.warm.watch import NOTHING, ImportWatch, stamp

_SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)


class Mismatch(NamedTuple):
    """What does not hold in a process: the kind, the modules that rely on it, and the words for it.

    Attributes:
        kind: "env", "cwd", "path", "replaced", or why no process may use it ("argv", "pid", "random", "effect").
        module: The first module that relies on it.
        variable: The variable's name when `kind` is "env", else "".
        value: Its value in the process, None when it is not set there.
        reason: For people.
    """

    kind: str
    module: str
    variable: str
    value: str | None
    reason: str


class ImportGroup(NamedTuple):
    """All modules that the import of one brings, in the order of their import, what they rely on and what they did.

    Worked out in the server: a fork that asked thousands of modules would copy a page of memory for each.
    """

    modules: dict[str, types.ModuleType]
    tops: frozenset[str]  # their top-level names
    missing: dict[str, str]  # top-level names that were looked for in vain, with the module that did
    env: dict[str, list[tuple[str, str | None]]]  # by variable: (module that read it, value it saw)
    odd: frozenset[str]  # variables of which one of them saw another value than the process began with
    sets: dict[str, list[str | None]]  # variables that they set, with the values
    prefixes: tuple[tuple[str, str], ...]  # (module, prefix of variables)
    cwd: tuple[str, str] | None  # (module, folder it saw)
    main: tuple[tuple[str, str, Any], ...]  # (attribute of `__main__`, module that read it, value it saw)
    unlike: tuple[str, str] | None  # (module, what)
    files: tuple[tuple[str, str, tuple[int, int]], ...]  # (module, file that it read, its stamp then)
    acts: tuple[tuple[str, Callable[[], None]], ...]  # (module, what its import did), in the order of time


@contextlib.contextmanager
def in_place(module: types.ModuleType) -> Iterator[types.ModuleType]:
    """Let a module of ours be in `sys.modules` for a while, from where C takes it; yield the one that is there.

    One alone: who puts all back, as `Shelf.lent`, copies their pages.
    """
    name = module.__name__
    aside = name not in sys.modules
    try:
        yield sys.modules.setdefault(name, module)
    finally:
        if aside:
            del sys.modules[name]


class Shelf:
    """The modules kept aside, and the finder that hands them over.

    Args:
        watch: What is known of their imports.
        base: Names of the modules that a bare interpreter has.
        path: `sys.path` without the program's own folder.
        refuse: Called in a fork when something does not hold; it never returns.

    Attributes:
        modules: What lies ready, by name.
        known: Names of all modules that were ever here.
        shared: `id`s of the modules that all forks have alike.
    """

    def __init__(
        self, watch: ImportWatch, base: Iterable[str], path: list[str], refuse: Callable[[Mismatch], NoReturn]
    ) -> None:
        self.watch = watch
        self.base = frozenset(base)
        self.path = list(path)
        self.environ: dict[str, str] = dict(os.environ)
        self.modules: dict[str, types.ModuleType] = {}
        self.known = set(sys.modules)
        self.shared = {id(sys.modules[name]) for name in self.base if name in sys.modules and name != "__main__"}
        self._refuse = refuse
        self._groups: dict[str, ImportGroup] = {}
        self._detached: dict[str, tuple[types.ModuleType, str]] = {}
        self._listed: dict[str, set[str]] = {}
        self._forked = False
        self.wanted: list[str] = []  # what a fork imports and is not here, in the order in which it asks for it
        self.asked: Callable[[str], None] = self.wanted.append
        self.worked_out: list[str] = []  # imports whose groups a fork had to work out
        self.broken = False  # compiled modules remain of an import that failed: they cannot be loaded again
        sys.meta_path.insert(0, self)

    # -- in the server ------------------------------------------------------------------------------------------------

    def put(self) -> None:
        """Move every module beyond a bare interpreter's to the shelf.

        Called before each fork: the server itself takes modules down, as `os.wait4` imports `resource`.
        """
        beyond = [name for name in sys.modules if name not in self.base and name != "__main__"]
        moved = [name for name in beyond if not self._came_with_nobody(name)]
        for name in moved:
            self.modules[name] = sys.modules.pop(name)
        if moved:
            self.known.update(beyond)
            self.shared.update(id(self.modules[name]) for name in moved)
            self._detach()

    def _drop_remains(self) -> None:
        """Drop what an import left that failed halfway: modules of packages that are not there."""
        remains = [name for name in self.modules if "." in name and not self._has_package(name)]
        self.broken = self.broken or any(_is_extension(self.modules[name]) for name in remains)
        for name in remains:
            del self.modules[name]
        self.known.difference_update(remains)

    def _has_package(self, name: str) -> bool:
        top = name.partition(".")[0]
        return top in self.modules or top in sys.modules

    def _came_with_nobody(self, name: str) -> bool:
        """Return whether a module put itself into `sys.modules` and belongs to none that was imported; it stays there.

        One that belongs to a package comes with it: `torch._C._distributed`, which `torch._C` makes.
        """
        if name in self.watch.looked_for or name in self.watch.before:
            return False
        package = name.rpartition(".")[0]
        if package not in self.modules and package not in sys.modules or package in self.base:
            return True
        self.watch[package].needs.add(name)
        return False

    def take_back(self) -> None:
        """Put everything back into `sys.modules`, to import more beside it."""
        for name, module in self.modules.items():
            sys.modules.setdefault(name, module)
        for name, (parent, tail) in self._detached.items():
            setattr(parent, tail, self.modules[name])
        self.modules.clear()
        self._detached.clear()
        self._groups.clear()

    @contextlib.contextmanager
    def lent(self) -> Iterator[dict[str, types.ModuleType]]:
        """Let the modules be in `sys.modules` for a while: what is called of them may import them."""
        before = dict(sys.modules)
        try:
            for name, module in self.modules.items():
                sys.modules.setdefault(name, module)
            yield self.modules
        finally:
            for name in sys.modules.keys() - before.keys():
                del sys.modules[name]

    def prepare(self, names: Iterable[str]) -> None:
        """Drop what failed imports left, and work the groups of these imports out before the forks need them."""
        self._drop_remains()
        for name in self.watch.avoid & self.watch.before:  # the server's own: a run imports another copy
            self.modules.pop(name, None)
        for entry in list(sys.path_importer_cache):  # a fresh process has looked at its own path only
            if entry not in self.path:
                del sys.path_importer_cache[entry]
        self._groups = {name: self._make_group(name) for name in names if name in self.modules}

    def work_out(self, names: Iterable[str]) -> None:
        """Work the groups of further imports out, which forks had to."""
        for name in names:
            if name in self.modules and name not in self._groups:
                self._groups[name] = self._make_group(name)

    def says(self, module: str, kind: str) -> str:
        """Return the words for why a module cannot be shared."""
        return f"{module} {_SAYS.get(kind, 'needs such a module')} when it is imported"

    def spoiled(self) -> dict[str, str]:
        """Return the modules that no fork may use, with all that need them: name to the reason's kind."""
        found: dict[str, str] = {}
        for name in self.modules:
            unlike = self._unlike(name)
            if unlike:
                found[name] = unlike
        here = self.dependents({**dict.fromkeys(self.watch.avoid, "avoided"), **found})
        return {name: kind for name, kind in here.items() if name in self.modules}

    def dependents(self, names: dict[str, str]) -> dict[str, str]:
        """Return modules with all those that need them, directly or not."""
        needed_by: dict[str, set[str]] = {}
        for name in self.modules:
            for need in self._needs(name):
                needed_by.setdefault(need, set()).add(name)
        found, todo = dict(names), list(names)
        while todo:
            name = todo.pop()
            for other in needed_by.get(name, ()):
                if other not in found:
                    found[other] = found[name]
                    todo.append(other)
        return found

    def overshadowed(self, folder: str) -> list[Mismatch]:
        """Return what a process would import from a program's folder, which comes before all others, instead."""
        names = _names_in(folder)
        found = []
        for name, module in self.modules.items() if names else ():
            if name in names and (home := _home(module)) is not None and os.path.realpath(home) != folder:
                found.append(Mismatch("path", name, "", None, f"{folder} has a module {name} of its own"))
            seen = self.watch.of.get(name)
            for top in () if seen is None else sorted(names & {_top(need) for need in (*seen.needs, *seen.asks)}):
                if self._is_missing(top):
                    reason = f"{name} looks for a module {top}, and {folder} has one"
                    found.append(Mismatch("path", name, "", None, reason))
        return found

    def reads_below(self, folder: str) -> list[Mismatch]:
        """Return what reads a file of a program's folder when it is imported: the program may change it before."""
        start = os.path.join(folder, "")
        return [
            Mismatch("file", name, "", None, f"{name} reads {file} when it is imported")
            for name in self.modules
            if (seen := self.watch.of.get(name)) is not None
            for file in seen.files
            if file.startswith(start)
        ]

    def readers(self, variable: str) -> dict[str, str]:
        """Return the modules that read a variable of the environment when they are imported."""
        return {name: "env" for name in self.modules if (seen := self.watch.of.get(name)) and variable in seen.env}

    def _detach(self) -> None:
        """Take modules out of their packages' namespaces that the package's own import does not bring."""
        for name, before in self.watch.later.items():
            module = self.modules.get(name)
            package, _, tail = name.rpartition(".")
            parent = self.modules.get(package) or sys.modules.get(package)
            if module is not None and parent is not None and parent.__dict__.get(tail) is module:
                delattr(parent, tail)
                if before is not NOTHING:
                    setattr(parent, tail, before)
                self._detached[name] = (parent, tail)

    # -- in a fork ----------------------------------------------------------------------------------------------------

    def forked(self) -> None:
        """Say that this is a fork: from here on what does not hold is refused."""
        self._forked = True

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Say that a module is here: part of the import protocol. Who only asks changes nothing."""
        module = self.modules.get(name)
        if module is None:
            self.asked(name)
            return None
        return _spec(name, module, self._hand_over)

    def _hand_over(self, name: str) -> None:
        """Put a module's companions into `sys.modules` and do here what their imports did; its loader puts itself."""
        group = self._groups.get(name)
        if group is None:
            self.worked_out.append(name)
            group = self._make_group(name)
        if self._forked and (wrong := next(self.failures(name, here()), None)) is not None:
            self._refuse(wrong)
        loaded = sys.modules
        taken = self.modules
        due = [act for other, act in group.acts if other in taken]
        for other, value in group.modules.items():
            if taken.pop(other, None) is None:
                continue
            if other != name:
                loaded[other] = value
            if (place := self._detached.pop(other, None)) is not None and other != name:
                setattr(place[0], place[1], value)
        for act in due:
            act()

    def failures(self, name: str, now: Circumstances) -> Iterator[Mismatch]:
        """Yield what does not hold in these circumstances for a module and all that its import brings."""
        group = self._groups.get(name) or self._make_group(name)
        if group.unlike is not None:
            module, what = group.unlike
            yield Mismatch(what, module, "", None, self.says(module, what))
        changed = {variable for variable, _ in now.env.items() ^ self.environ.items()}
        for variable in sorted(group.env.keys() & (changed | group.odd)):  # the others hold
            for module, value in group.env[variable]:
                if (
                    now.env.get(variable) != value
                    and module in self.modules
                    and value not in group.sets.get(variable, ())
                ):
                    yield self._variable(module, variable, now)
        for module, prefix in group.prefixes:
            for variable in changed if module in self.modules else ():
                if variable.startswith(prefix):
                    yield self._variable(module, variable, now)
        for attribute, module, value in group.main:
            if now.main.get(attribute) != value and module in self.modules:
                yield Mismatch("main", module, "", None, self.says(module, "main"))
        if group.cwd is not None and group.cwd[0] in self.modules and now.cwd != group.cwd[1]:
            yield Mismatch(
                "cwd", group.cwd[0], "", None, f"{group.cwd[0]} reads the working directory when it is imported"
            )
        for other, file, then in group.files:
            if other in self.modules and stamp(file) != then:
                yield Mismatch("file", other, "", None, f"{other} reads {file} when it is imported")
        yield from self._native_variables(group, now, changed)
        yield from self._shadowed(group, now)
        for other in now.loaded.keys() & group.modules.keys():
            if now.loaded[other] is not group.modules[other]:
                yield Mismatch(
                    "replaced", other, "", None, f"the program put a module of its own in the place of {other}"
                )

    def _variable(self, module: str, variable: str, now: Circumstances) -> Mismatch:
        return Mismatch(
            "env", module, variable, now.env.get(variable), f"{module} reads {variable} when it is imported"
        )

    def _native_variables(self, group: ImportGroup, now: Circumstances, changed: set[str]) -> Iterator[Mismatch]:
        """Yield variables that native libraries read when they are loaded, and that the program changed meanwhile."""
        for variable in sorted(variable for variable in changed if variable.startswith(_NATIVE)):
            value = now.env.get(variable)
            by_packages = self.watch.written.get(variable, ())  # sklearn sets KMP_DUPLICATE_LIB_OK for what follows it
            if value not in by_packages:
                for name, module in group.modules.items():
                    if name in self.modules and _is_extension(module) and not _of_python(module):
                        reason = f"native libraries read {variable} when {name} loads them"
                        yield Mismatch("env", name, variable, value, reason)
                        break

    def _shadowed(self, group: ImportGroup, now: Circumstances) -> Iterator[Mismatch]:
        """Yield modules that an import here would find elsewhere: `sys.path` is not what it was."""
        if now.path == self.path:
            return
        known = set(self.path)
        for place, entry in enumerate(now.path):
            if entry in known:
                continue
            names = self._names_in(entry)
            for top in names & group.missing.keys():
                who = group.missing[top]
                yield Mismatch("path", who, "", None, f"{who} looks for a module {top}, and {entry} has one")
            for top in names & group.tops:
                home = _home(group.modules.get(top))
                if home is not None and home not in now.path[: place + 1]:
                    yield Mismatch("path", top, "", None, f"{entry} has a module {top} of its own")
        missing = known.difference(now.path)
        if missing:
            for name, module in group.modules.items():
                if "." not in name and _home(module) in missing:
                    yield Mismatch("path", name, "", None, f"the program took {_home(module)} from sys.path")

    def _names_in(self, entry: str) -> set[str]:
        found = self._listed.get(entry)
        if found is None:
            found = self._listed[entry] = _names_in(entry)
        return found

    # -- what belongs together ----------------------------------------------------------------------------------------

    def _needs(self, name: str) -> set[str]:
        """Return what a module imported; its package always counts."""
        seen = self.watch.of.get(name)
        needs = set() if seen is None else seen.needs
        package = name.rpartition(".")[0]
        return needs | {package} if package else needs

    def _reach(self, name: str) -> set[str]:
        found, todo = {name}, [name]
        while todo:
            for need in self._needs(todo.pop()):
                if need not in found and need in self.modules:
                    found.add(need)
                    todo.append(need)
        return found

    def _make_group(self, name: str) -> ImportGroup:
        reach = self._reach(name)
        modules = {other: module for other, module in self.modules.items() if other in reach}
        env: dict[str, list[tuple[str, str | None]]] = {}
        prefixes: list[tuple[str, str]] = []
        files: list[tuple[str, str, tuple[int, int]]] = []
        acts: list[tuple[int, str, Callable[[], None]]] = []
        main: list[tuple[str, str, Any]] = []
        cwd = unlike = None
        missing: dict[str, str] = {}
        sets: dict[str, list[str | None]] = {}
        for other in modules:
            seen = self.watch.of.get(other)
            if seen is None:
                continue
            missing.update((top, other) for name in (*seen.needs, *seen.asks) if self._is_missing(top := _top(name)))
            if seen.whole_env and other in known.PREFIXES:
                prefixes.append((other, known.PREFIXES[other]))
            else:
                for variable, value in seen.env.items():
                    if (other, variable) not in known.ASKED_AGAIN:
                        env.setdefault(variable, []).append((other, value))
            files.extend((other, file, then) for file, then in seen.files.items())
            for variable, value in seen.sets:
                sets.setdefault(variable, []).append(value)
            main.extend((attribute, other, value) for attribute, value in seen.main.items())
            acts.extend((number, other, act) for number, act in seen.acts)
            if seen.cwd is not None and cwd is None:
                cwd = (other, seen.cwd)
            if unlike is None and (what := self._unlike(other)):
                unlike = (other, what)
        tops = frozenset(other.partition(".")[0] for other in modules)
        return ImportGroup(
            modules,
            tops,
            missing,
            env,
            frozenset(
                variable
                for variable, readers in env.items()
                if any(value != self.environ.get(variable) for _, value in readers)
            ),
            sets,
            tuple(prefixes),
            cwd,
            tuple(main),
            unlike,
            tuple(files),
            tuple((other, act) for _, other, act in sorted(acts, key=itemgetter(0))),
        )

    def _is_missing(self, top: str) -> bool:
        return top not in self.modules and top not in self.base and top not in sys.builtin_module_names

    def _unlike(self, name: str) -> str:
        seen = self.watch.of.get(name)
        if seen is None:
            return ""
        if seen.whole_env and name not in known.PREFIXES:
            return "environment"
        return next((what for what in seen.unlike if not known.is_harmless(name, what)), "")


_SAYS = {
    "argv": "reads the command line",
    "pid": "reads the process's id",
    "random": "draws random numbers",
    "fork": "does something at each fork",
    "effect": "makes files or takes signals",
    "path": "looks at sys.path",
    "threads": "starts threads",
    "main": "looks at the program",
    "environment": "reads the whole environment",
}
# What libraries outside Python read as they are loaded. CUDA's are read later, when a context is made.
_NATIVE = (
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "GOMP_",
    "KMP_",
    "NUMEXPR_",
    "VECLIB_",
    "BLIS_",
    "LD_",
    "MALLOC_",
    "RAYON_",
    "TF_",
    "XLA_",
)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _names_in(entry: str) -> set[str]:
    """Return the names of the modules in a folder; none of a zip file, or of nothing at all."""
    try:
        return {item.partition(".")[0] for item in os.listdir(entry or ".") if _is_module(entry, item)}
    except OSError:
        return set()


def _is_module(entry: str, item: str) -> bool:
    """Return whether an item of a folder on `sys.path` goes before a module of that name further down.

    A folder without `__init__` does not: it would be a namespace package, W&B's own `wandb/` for instance.
    """
    if item.endswith((".py", ".pyc", *_SUFFIXES)):
        return True
    folder = os.path.join(entry, item)
    return "." not in item and any(
        os.path.exists(os.path.join(folder, "__init__" + ending)) for ending in (".py", ".pyc", *_SUFFIXES)
    )


def _is_extension(module: types.ModuleType) -> bool:
    """Return whether a module is compiled: it cannot be loaded twice in one process."""
    return (getattr(module, "__file__", None) or "").endswith(_SUFFIXES)


def _of_python(module: types.ModuleType) -> bool:
    return "lib-dynload" in (getattr(module, "__file__", None) or "")


def _home(module: types.ModuleType | None) -> str | None:
    """Return the entry of `sys.path` in which a top-level module was found, None for built-in ones."""
    file: str | None = getattr(module, "__file__", None)
    if not file:
        return None
    folder = os.path.dirname(file)
    return os.path.dirname(folder) if os.path.basename(file).startswith("__init__.") else folder


class _Kept:
    """A loader that has nothing to load: the module is there."""

    def __init__(self, module: types.ModuleType, hand_over: Callable[[str], None]) -> None:
        self.module = module
        self.spec = getattr(module, "__spec__", None)
        self.hand_over = hand_over

    def create_module(self, spec: Any) -> types.ModuleType:
        self.hand_over(spec.name)
        # The import system looks for `__path__` and the like in a module that it takes for an empty one.
        self.asks = self.module.__dict__.pop("__getattr__", None)
        return self.module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self.spec
        if self.asks is not None:
            self.module.__dict__["__getattr__"] = self.asks


def _spec(name: str, module: types.ModuleType, hand_over: Callable[[str], None]) -> importlib.machinery.ModuleSpec:
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    loader: Any = _Kept(module, hand_over)
    spec = importlib.machinery.ModuleSpec(name, loader, origin=origin)
    spec.submodule_search_locations = getattr(loader.spec, "submodule_search_locations", None)
    return spec
