"""What of a source changes the surroundings of imports: the environment, `sys.path`, `sys.modules`, the folder.

It is read, not run: a hint. What it overlooks a fork notices when it imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

# Of modules whose call is such a change: `os.chdir`, `load_dotenv`, hydra's `main`, `monkeypatch` and their like.
_CHANGES = frozenset(
    {"chdir", "fchdir", "putenv", "unsetenv", "addsitedir", "load_dotenv", "find_dotenv", "dotenv_values", "hydra"}
)
_READS = frozenset({"get", "items", "keys", "values", "copy", "index", "count"})
_READERS = frozenset(
    {"dict", "len", "list", "print", "sorted", "str", "repr", "set", "any", "all", "enumerate", "tuple"}
)
_READING = (ast.Compare, ast.Dict, ast.FormattedValue, ast.For, ast.comprehension, ast.BinOp, ast.Starred)
_SHARED: dict[str, tuple[str, ...]] = {"os": ("environ", "environb"), "sys": ("path", "modules")}
# What such calls work out, they have from their arguments and from where things are.
_PURE = frozenset({"str", "Path", "PurePath", "len", "int", "join", "dirname", "abspath", "realpath", "normpath"}) | {
    *(
        "expanduser",
        "resolve",
        "absolute",
        "joinpath",
        "with_name",
        "as_posix",
        "format",
        "getcwd",
        "cwd",
        "get",
        "split",
    ),
    *("getenv", "insert", "append", "extend", "update", "setdefault", "pop"),
}


def changes_late(trees: Sequence[ast.Module]) -> bool:
    """Return whether a program may change the surroundings of its imports when it may have done something else before.

    What stands at the head of its own file, among its imports, comes before anything that must not be done twice.

    Args:
        trees: Its files, its own file first, then what it imports of its neighbours.
    """
    return any(_changes_anything(tree, tree.body[_length_of_head(tree.body) * (tree is trees[0]) :]) for tree in trees)


def _changes_anything(tree: ast.Module, body: list[ast.stmt]) -> bool:
    """Return whether a part of a file may change them, or the file gives them names by which nobody knows them."""
    if any(map(_gives_another_name, ast.walk(tree))):
        return True
    sys_names = {"sys"} | {alias.asname for alias in _aliases(tree) if alias.name == "sys" and alias.asname}
    return any(_changes(node, sys_names) for statement in body for node in ast.walk(statement))


def assigned(node: ast.stmt) -> tuple[str, str] | None:
    """Return (variable, value) of a statement like `os.environ["A"] = "b"`, None for any other."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript):
        target, value = node.targets[0], node.value
        if isinstance(target.slice, ast.Constant) and isinstance(value, ast.Constant) and _is_environ(target.value):
            if isinstance(target.slice.value, str) and isinstance(value.value, str):
                return target.slice.value, value.value
    return None


def _is_environ(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "environ" and isinstance(node.value, ast.Name) and node.value.id == "os"
    return isinstance(node, ast.Name) and node.id == "environ"


def _aliases(tree: ast.Module) -> Iterator[ast.alias]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from node.names


def _gives_another_name(node: ast.AST) -> bool:
    """Return whether it makes what all share known by a name that `_is_shared` does not look for."""
    if isinstance(node, ast.ImportFrom) and not node.level and node.module in _SHARED:
        names = _SHARED[node.module]
        return any(alias.name in names and (alias.asname or alias.name) != "environ" for alias in node.names)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"getattr", "setattr", "delattr"}:
        owner, asked = (*node.args, None, None)[:2]
        names = _SHARED.get(getattr(owner, "id", ""), ())
        return bool(names) and (not isinstance(asked, ast.Constant) or asked.value in names)
    return False


def _length_of_head(body: list[ast.stmt]) -> int:
    for number, node in enumerate(body):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_plain(node):
            return number
    return len(body)


def _is_plain(node: ast.stmt) -> bool:
    """Return whether a statement only works out values, sets a variable to a fixed text, or changes `sys.path`."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)):
        return False
    if assigned(node) is not None:
        return True
    parts = list(ast.walk(node))
    calls = [part.func for part in parts if isinstance(part, ast.Call)]
    return all(getattr(call, "attr", getattr(call, "id", "")) in _PURE for call in calls) and not any(
        isinstance(part, (ast.Await, ast.Yield, ast.YieldFrom)) or _changes(part, set()) for part in parts
    )


def _changes(node: ast.AST, sys_names: set[str]) -> bool:
    """Return whether a node may change the environment, `sys.path`, `sys.modules` or the working directory."""
    if isinstance(node, ast.Name):
        return node.id in _CHANGES
    if isinstance(node, ast.Attribute) and node.attr in _CHANGES:
        return True
    if isinstance(node, ast.alias):
        return node.name.partition(".")[0] in _CHANGES
    return any(_is_shared(child, sys_names) and not _only_reads(node) for child in ast.iter_child_nodes(node))


def _is_shared(node: ast.AST, sys_names: set[str]) -> bool:
    """Return whether it is `os.environ`, `sys.path` or `sys.modules`, or a bare `environ`."""
    if isinstance(node, ast.Attribute):
        of_sys = isinstance(node.value, ast.Name) and node.value.id in sys_names
        return node.attr in _SHARED["os"] or (of_sys and node.attr in _SHARED["sys"])
    return isinstance(node, ast.Name) and node.id == "environ"


def _only_reads(node: ast.AST) -> bool:
    """Return whether a node that has such a mapping as its child leaves it as it is."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Attribute):
        return node.attr in _READS
    if isinstance(node, ast.keyword):
        return node.arg == "env"
    if isinstance(node, ast.Call):  # of a function that takes it
        return getattr(node.func, "id", "") in _READERS
    return isinstance(node, _READING)
