"""The source of a program as it stands on disk: its file, and the local modules that it imports.

Nothing is imported to find it.
"""

import ast
import contextlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

from sweepkit.agents.warm.preload import inner_module, is_local
from sweepkit.paths import CODE_DIR, INSTALLED
from sweepkit.syntax import parse

_MOST_FILES = 400
_WITHOUT_FILE = ("built-in", "frozen")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSource:
    """What is known of a program's source.

    Args:
        texts: Text by file: the program's, the modules beside it, and the local modules that any of them imports.
        trees: The syntax tree of each file that the program reaches by imports, those beside it left out.
        installed: The installed packages and modules of Python that these import, by the first part of their names.
        elsewhere: Likewise those that are not found here: the program's own interpreter may have them.
        unknown: Why more may belong to the program than was found, in words; "" when all was.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    trees: Mapping[str, ast.Module] = field(default_factory=dict)
    installed: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    unknown: str = ""

    @property
    def text(self) -> str:
        """Return all of it."""
        return "\n".join(self.texts.values())


def child_path() -> list[str]:
    """Return where a child of this interpreter looks up modules, besides its program's folder."""
    ours = "" if INSTALLED else str(CODE_DIR)  # installed, we stand among all other packages
    return [entry for entry in sys.path if entry and entry != ours]


def module_file(module: str, *, path: Sequence[str]) -> str | None:
    """Return the file that `python -m module` runs, None when there is no such module.

    Args:
        module: Its dotted name.
        path: Where modules are looked up, in order; what installed packages add by themselves comes last.
    """
    found = _find_module(module, path)
    if found is not None and found.submodule_search_locations is not None:
        found = _find_module(f"{module}.__main__", path)
    return None if found is None else found.origin


def _find_module(name: str, path: Sequence[str]) -> importlib.machinery.ModuleSpec | None:
    """Return where a module would be imported from, without importing its parents; None when nowhere."""
    head, *rest = name.split(".")
    if head in sys.builtin_module_names:
        return importlib.machinery.BuiltinImporter.find_spec(head)
    found = importlib.machinery.PathFinder.find_spec(head, [*path])
    if found is None and head not in sys.modules:
        found = importlib.util.find_spec(head)  # an editable installation answers here only
    return inner_module(found, rest)


def read_program(program: str | Path, *, path: Sequence[str] | None = None) -> ProgramSource:
    """Return the source of a program; empty unless it is Python by its name.

    Args:
        program: Its file.
        path: Where it looks up modules; by default as an interpreter of ours that is given the file.
    """
    file = Path(program)
    if file.suffix != ".py":
        return ProgramSource()
    reader = _Reader([str(file.resolve().parent), *child_path()] if path is None else [*path])
    reader.follow(file, package="")
    besides = (one for one in sorted(file.parent.glob("*.py")) if one.is_file())  # a named pipe would never end
    for beside in islice(besides, _MOST_FILES):
        reader.read(beside)
    return ProgramSource(
        texts=reader.texts,
        trees=reader.trees,
        installed=frozenset(reader.installed),
        elsewhere=frozenset(reader.elsewhere),
        unknown=reader.unknown,
    )


def files_of_program(program: str | Path, *, path: Sequence[str] | None = None) -> list[str]:
    """Return a program's file and the local modules that it imports, resolved and sorted; [] when it is not there.

    Args:
        program: Its file, Python or not.
        path: As `read_program` takes it.
    """
    file = Path(program)
    if not file.is_file():
        return []
    if file.suffix != ".py":
        return [str(file.resolve())]
    reader = _Reader([str(file.resolve().parent), *child_path()] if path is None else [*path], whole=False)
    reader.follow(file, package="")
    return sorted(reader.texts)


class _Reader:
    """Follows imports from file to file.

    Args:
        path: Where modules are looked up.
        whole: Keep whole trees; else those of the import statements alone, which takes a hundredth of the time.
    """

    def __init__(self, path: list[str], *, whole: bool = True) -> None:
        self.path = path
        self.parse = parse if whole else _parsed_imports
        self.find = cache(self._find)  # hundreds of files import the same modules, and each look goes through folders
        self.met: set[tuple[str, bool]] = set()
        self.texts: dict[str, str] = {}
        self.trees: dict[str, ast.Module] = {}
        self.installed: set[str] = set()
        self.elsewhere: set[str] = set()
        self.unknown = ""

    def _find(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """Return where a module would be imported from, None when nowhere."""
        package, _, last = name.rpartition(".")
        return inner_module(self.find(package), [last]) if package else _find_module(name, self.path)

    def read(self, file: Path) -> str:
        key = str(file.resolve())
        if key not in self.texts:
            try:
                self.texts[key] = file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                self.unknown = self.unknown or f"{file} cannot be read ({error.strerror})"
                self.texts[key] = ""
        return self.texts[key]

    def follow(self, file: Path, *, package: str) -> None:
        """Read a file of the program and what it imports; `package` is what its relative imports start from."""
        key = str(file.resolve())
        if key in self.trees:
            return
        if len(self.trees) >= _MOST_FILES:
            self.unknown = self.unknown or f"it has more than {_MOST_FILES} files"
            return
        text = self.read(file)
        try:
            self.trees[key] = tree = self.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            self.unknown = self.unknown or f"{file} is not Python"
            return
        for name, optional in _imported(tree, package):
            self._import(name, optional=optional)

    def _import(self, name: str, *, optional: bool) -> None:
        """Follow one name; `optional`: it may be an attribute of the module before its last dot."""
        if (name, optional) in self.met:
            return
        self.met.add((name, optional))
        top = name.partition(".")[0]
        first = self.find(top)
        if first is None:
            self.elsewhere.add(top)
            self.unknown = self.unknown or f"{name} is not found"
            return
        place = next(iter(first.submodule_search_locations or ()), first.origin or "built-in")
        if place in _WITHOUT_FILE or not is_local(place, besides_sweepkit=True):
            self.installed.add(top)
            return
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            inner = ".".join(parts[:count])
            found = self.find(inner)
            if found is None:
                if not (optional and count == len(parts)):
                    self.unknown = self.unknown or f"{name} is not found"
                return
            folder = found.submodule_search_locations
            if found.origin is None:
                continue  # a folder without __init__.py
            if not found.origin.endswith(".py"):
                self.unknown = self.unknown or f"{found.origin} is not Python"
                return
            self.follow(Path(found.origin), package=inner if folder is not None else inner.rpartition(".")[0])


# From an import at the beginning of a statement to the end of its line, of its parentheses or of its continued lines.
_STATEMENT = re.compile(
    r"(?:^|[:;])[ \t]*((?:import|from)\b(?:[^(\n\\#]|\\\n)*(?:\((?:#[^\n]*|[^)#])*\))?)", re.MULTILINE
)


def _parsed_imports(text: str) -> ast.Module:
    """Return the import statements of a source as a module; text in a string that reads like one counts as one."""
    found = ast.Module(body=[], type_ignores=[])
    for statement in _STATEMENT.findall(text):
        with contextlib.suppress(SyntaxError, ValueError):
            found.body += parse(statement.strip()).body
    return found


def _imported(tree: ast.Module, package: str) -> Iterator[tuple[str, bool]]:
    """Yield the absolute name of everything that a file imports, and whether its last part may be an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                base = ".".join([*parts[: max(0, len(parts) - node.level + 1)], *([base] if base else [])])
            if base:
                yield from (
                    (base, False) if alias.name == "*" else (f"{base}.{alias.name}", True) for alias in node.names
                )
