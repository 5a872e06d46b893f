"""Which modules a program will import, read from its source without running it.

A script's own neighbours are followed (their imports count) but never preloaded: they change while a sweep is being
developed, and a fork must see the newest version. Installed packages are preloaded.
"""

from __future__ import annotations

import ast
import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from sweepkit.agents.warm.surroundings import assigned, changes_late
from sweepkit.syntax import parse

_INSTALLED = tuple(
    {os.path.join(sysconfig.get_path(key), "") for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_PACKAGES = ("site-packages", "dist-packages")  # Debian's name is the second
_OURS = str(Path(__file__).resolve().parent.parent.parent)


@cache
def is_local(file: str, *, besides_sweepkit: bool = False) -> bool:
    """Return whether a module's file may change under us: it is not part of Python or of an installed package.

    Args:
        file: The module's `__file__`.
        besides_sweepkit: Count sweepkit itself as installed.
    """
    if file.startswith(_OURS):
        return not besides_sweepkit
    return not any(name in file for name in _PACKAGES) and not file.startswith(_INSTALLED)


def folders_of_packages(path: list[str]) -> list[str]:
    """Return the entries of `sys.path` into which packages are installed."""
    return [entry for entry in path if os.path.basename(entry.rstrip("/")) in _PACKAGES]


def modules_of_program(
    script: str | None, module: str | None, path: list[str], trees: list[ast.Module] | None = None
) -> list[str]:
    """Return the names to import before a fork, `module:attribute` for `from module import attribute`.

    Args:
        script: The program's file, or None when it is a module.
        module: The module's name (`python -m`), or None.
        path: Where imports are looked up, besides the script's folder.
        trees: Takes the program's own files, parsed, without those of sweepkit.

    Returns:
        Names in the order of the source, each once; [] when the source cannot be read or parsed.
    """
    names: dict[str, None] = {}
    seen: dict[Path, ast.Module | None] = {}
    if module:
        _collect_module(module, [os.getcwd(), *path], names, seen)
    elif script:
        folder = str(Path(script).resolve().parent)
        _collect(Path(script), [folder, *path], names, seen)
    if trees is not None:
        # Ours do nothing before an import that it would notice (benchmarks/warm_start.py compares).
        trees.extend(tree for file, tree in seen.items() if tree is not None and not str(file).startswith(_OURS))
    return list(names)


def assigned_variables(script: str) -> dict[str, str]:
    """Return the variables of the environment that a script sets to a fixed text, whatever else happens.

    Only statements at the top of the file count, such as `os.environ["HF_HOME"] = "/data"`. It is a hint for what to
    import with, not a proof: a fork compares what it finds with what its modules read.
    """
    try:
        tree = parse(Path(script).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    return dict(filter(None, map(assigned, tree.body)))


def is_to_teach(trees: Sequence[ast.Module], names: Iterable[str]) -> bool:
    """Return whether a program's files may change what its imports rely on when it has already done something else.

    What stands at the head of a file, among its imports, comes before anything that must not be done twice. Python's
    own modules rely on nothing that a program sets.

    Args:
        trees: The program's files, its own one first.
        names: What they import, see `modules_of_program`.
    """
    own: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())
    if all(name.partition(":")[0].partition(".")[0] in own for name in names) and not any(map(_is_dynamic, trees)):
        return False
    return changes_late(trees)


def _is_dynamic(tree: ast.Module) -> bool:
    """Return whether a file imports what its import statements do not show."""
    found = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(tree)}
    return bool(found & {"import_module", "__import__", "exec", "run_path", "run_module"})


def constants_of(trees: Iterable[ast.Module]) -> set[str]:
    """Return all texts that stand in a program's files."""
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _collect_module(module: str, path: list[str], names: dict[str, None], seen: dict[Path, ast.Module | None]) -> None:
    """Add what `python -m` imports: the packages around the module, and the module itself."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        found = _find(name, path)
        if found is None:
            return
        if not is_local(found.origin or "") and count < len(parts):
            names[name] = None
        package = name if found.submodule_search_locations else name.rpartition(".")[0]
        _collect(Path(found.origin or ""), path, names, seen, package)
        if count == len(parts) and found.submodule_search_locations and (main := _find(f"{name}.__main__", path)):
            _collect(Path(main.origin or ""), path, names, seen, name)


def _collect(
    file: Path, path: list[str], names: dict[str, None], seen: dict[Path, ast.Module | None], package: str = ""
) -> None:
    """Add the imports of a file; follow the local ones."""
    if file in seen or file.suffix not in ("", ".py"):  # `torchrun` and its like have none
        return
    seen[file] = None
    try:
        seen[file] = tree = parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for module, attribute in _imports(tree, package):
        found = _find(module, path)
        if found is None:
            continue
        origin = found.origin or ""
        if is_local(origin):
            if origin.startswith(_OURS):
                names[module] = None
            inner = module if found.submodule_search_locations else module.rpartition(".")[0]
            _collect(Path(origin), path, names, seen, inner)
            if attribute and (part := _find(f"{module}.{attribute}", path)) is not None:
                _collect(Path(part.origin or ""), path, names, seen, module)
        else:
            names[f"{module}:{attribute}" if attribute else module] = None


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Yield (module, attribute or "") of every import statement, in functions too, but not under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            if base and base != "__future__":
                yield from ((base, "" if alias.name == "*" else alias.name) for alias in node.names)
        else:
            yield from _imports(node, package)


def _find(name: str, path: list[str]) -> importlib.machinery.ModuleSpec | None:
    """Find a module without importing its parents' code when it is local."""
    head, *rest = name.split(".")
    if head in sys.builtin_module_names or not head:
        return None
    return inner_module(importlib.machinery.PathFinder.find_spec(head, path), rest)


def inner_module(
    package: importlib.machinery.ModuleSpec | None, parts: list[str]
) -> importlib.machinery.ModuleSpec | None:
    """Return where a module of a package would be imported from, without importing its parents; None when nowhere.

    Args:
        package: The package; None for none.
        parts: The module's name below it, part by part; [] for the package itself.
    """
    for part in parts:
        if package is None or not package.submodule_search_locations:
            return None
        # By its last name alone: a folder without __init__.py would ask for its parents, which are not imported.
        package = importlib.machinery.PathFinder.find_spec(part, list(package.submodule_search_locations))
    return package
