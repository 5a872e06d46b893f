"""Which modules a program will import, read from its source without running it.

A script's own neighbours are followed (their imports count) but never preloaded: they change while a sweep is being
developed, and a fork must see the newest version. Installed packages are preloaded.
"""

import ast
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_INSTALLED = tuple(
    {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")} | {sys.base_prefix, sys.prefix}
)
_OURS = str(Path(__file__).resolve().parent.parent)


@cache
def is_local(file: str, *, besides_sweepkit: bool = False) -> bool:
    """Return whether a module's file may change under us: it is not part of Python or of an installed package.

    Args:
        file: The module's `__file__`.
        besides_sweepkit: Count sweepkit itself as installed.
    """
    if file.startswith(_OURS):
        return not besides_sweepkit
    return "site-packages" not in file and not file.startswith(_INSTALLED)


def modules_of_program(script: str | None, module: str | None, path: list[str]) -> list[str]:
    """Return the names to import before a fork, `module:attribute` for `from module import attribute`.

    Args:
        script: The program's file, or None when it is a module.
        module: The module's name (`python -m`), or None.
        path: Where imports are looked up, besides the script's folder.

    Returns:
        Names in the order of the source, each once; [] when the source cannot be read or parsed.
    """
    if module:
        spec = importlib.util.find_spec(module)
        script = spec.origin if spec else None
    if not script:
        return []
    folder = str(Path(script).resolve().parent)
    names: dict[str, None] = {}
    _collect(Path(script), [folder, *path], names, set())
    return list(names)


def _collect(file: Path, path: list[str], names: dict[str, None], seen: set[Path], package: str = "") -> None:
    """Add the imports of a file; follow the local ones."""
    if file in seen or file.suffix not in ("", ".py"):  # `torchrun` and its like have none
        return
    seen.add(file)
    try:
        tree = ast.parse(file.read_bytes())
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
    if head in sys.builtin_module_names:
        return None
    found = importlib.machinery.PathFinder.find_spec(head, path)
    for part in rest:
        if found is None or not found.submodule_search_locations:
            return None
        head = f"{head}.{part}"
        found = importlib.machinery.PathFinder.find_spec(head, list(found.submodule_search_locations))
    return found
