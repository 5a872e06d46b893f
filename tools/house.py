"""Measure the code as a house: its size, its functions, its arrows, its names, and the ways that data take through it.

    python tools/house.py              # the table
    python tools/house.py --names      # also each circle, name used twice and public name without a reader

Everything is read from the syntax trees; nothing of the package is imported. `tests/test_architecture.py` holds what
must stay at zero, with the functions of this file.
"""

import argparse
import ast
import contextlib
import io
import re
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "code"
PACKAGE = CODE / "sweepkit"
# Whoever may read a public name of the package: the package itself, the scripts, and what shows how it is used.
READERS = ("code", "analysis", "benchmarks", "data", "examples", "tests")

# The two ways that a newcomer follows first, as docs/architecture.md walks them: what opens its part of the page.
WAYS = {
    "YAML → child process": "from the YAML to the child process",
    "metric → rule → record": "from a metric to the record",
}
_STEP = re.compile(r"`([a-z_/]+\.py)`(?: `(\w+)`)?(?: and `([a-z_/]+\.py)` `(\w+)`)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines of a file or of many: `physical` is the sum of the four others."""

    code: int = 0
    docstring: int = 0
    comment: int = 0
    blank: int = 0

    @property
    def physical(self) -> int:
        """Return all lines."""
        return self.code + self.docstring + self.comment + self.blank

    def __add__(self, other: "Lines") -> "Lines":
        """Return the lines of both."""
        return Lines(
            code=self.code + other.code,
            docstring=self.docstring + other.docstring,
            comment=self.comment + other.comment,
            blank=self.blank + other.blank,
        )


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_bytes())


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    r"""Yield every statement, however deep: what imports is one, and most of a tree are expressions.

    >>> [type(node).__name__ for node in statements(ast.parse("if a:\n  import b\nelse:\n  c"))]
    ['If', 'Import', 'Expr']
    """
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        for node in getattr(tree, name, ()):
            yield node
            yield from statements(node)


@cache
def modules() -> Mapping[str, Path]:
    """Return every module of the package by its dotted name."""
    return {
        ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def count_lines(path: Path) -> Lines:
    """Return the lines of a file; a line with code and a comment is code, a docstring's lines count whole."""
    text = path.read_text(encoding="utf-8")
    documented = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                documented |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code, comments = set(), set()
    skipped = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        span = set(range(token.start[0], token.end[0] + 1))
        if token.type == tokenize.COMMENT:
            comments |= span
        elif token.type not in skipped:
            code |= span
    code -= documented
    comments -= code | documented
    every = len(text.splitlines())
    return Lines(
        code=len(code),
        docstring=len(documented),
        comment=len(comments),
        blank=every - len(code | documented | comments),
    )


def function_lengths(paths: Iterable[Path]) -> list[tuple[int, str]]:
    """Return the length of every function without its docstring, in lines, with its place, shortest first."""
    found = []
    for path in paths:
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                length -= (first.end_lineno or first.lineno) - first.lineno + 1
            found.append((length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return sorted(found)


@cache
def imports_of(path: Path, *, top_level: bool = False) -> frozenset[str]:
    """Return the modules of the package that a file imports: at its top, in functions, under TYPE_CHECKING.

    Args:
        path: The file.
        top_level: Count only what is imported as soon as the module is.
    """
    known = modules()
    names = set()
    tree = tree_of(path)
    for node in tree.body if top_level else statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            names |= below or {node.module}
    return frozenset(name for name in names if name in known)


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972), sorted.

    >>> circles({"a": ["b"], "b": ["a"], "c": ["a"]})
    [['a', 'b']]
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph.get(name, ()):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = []
            while not component or component[-1] != name:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for name in graph:
        if name not in index:
            visit(name)
    return sorted(found)


def module_graph() -> dict[str, frozenset[str]]:
    """Return which modules each module imports."""
    return {name: imports_of(path) - {name} for name, path in modules().items()}


def room(module: str) -> str:
    """Return the folder right below the package that a module stands in, or its own name.

    >>> room("sweepkit.training.models.lora"), room("sweepkit.errors"), room("sweepkit")
    ('training', 'errors', 'sweepkit')
    """
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def folder_graph() -> dict[str, set[str]]:
    """Return which folders each folder imports; a nested folder belongs to the one right below the package."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name, others in module_graph().items():
        graph[room(name)] |= {room(other) for other in others} - {room(name)}
    return dict(graph)


def class_places() -> dict[str, list[str]]:
    """Return where each class of the package is defined, nested ones included, private ones left out."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, path in modules().items():
        for node in statements(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    return dict(places)


def public_names(path: Path) -> Iterator[str]:
    """Yield the public names that a module defines at its top: functions, classes, constants, types."""
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def unread_names(readers: Iterable[str] = READERS) -> list[str]:
    """Return the public names, as module.name, that no other file reads.

    A file reads a name when it imports it from the module, or imports the module and takes an attribute of that name.
    What stands in the signature of a name that is read (a parameter's type, a field's, a base class) is read with it:
    its values travel, and who annotates them needs the name.
    """
    read: set[tuple[str, str]] = set()
    known = modules()
    for head in readers:
        for path in (ROOT / head).rglob("*.py"):
            read |= {pair for pair in _reads(path) if known.get(pair[0]) != path}
    unread = []
    for module, path in known.items():
        own = {name for name in public_names(path) if (module, name) in read}
        while further := {name for one in own for name in _signatures(path).get(one, ())} - own:
            own |= further
        unread += [f"{module}.{name}" for name in public_names(path) if name not in own]
    return unread


@cache
def _signatures(path: Path) -> dict[str, frozenset[str]]:
    """Return which names of its module each top-level definition shows: bases, decorators, annotations."""
    shown = {}
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            shown[node.name] = frozenset(_names_in(_shown_parts(node)))
        elif isinstance(node, ast.Assign | ast.AnnAssign):  # a type alias shows what it stands for
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = frozenset(_names_in([node.value] if node.value else []))
            shown |= {target.id: names for target in targets if isinstance(target, ast.Name)}
    return shown


def _shown_parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a definition that its callers see, its body's statements left out."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.args
        yield from [node.returns] if node.returns else []
    elif isinstance(node, ast.ClassDef):
        yield from node.bases
        for item in node.body:
            if isinstance(item, ast.AnnAssign):
                yield item.annotation
            yield from _shown_parts(item)


def _names_in(parts: Iterable[ast.AST]) -> Iterator[str]:
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                with contextlib.suppress(SyntaxError, ValueError):  # most are quoted annotations
                    yield from _names_in([ast.parse(node.value, mode="eval")])


def _reads(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for every name of the package that a file reads from a module."""
    known = modules()
    whole: set[str] = set()
    tree = tree_of(path) if path.is_relative_to(PACKAGE) else ast.parse(path.read_bytes())  # read once, and not kept
    for node in statements(tree):
        if isinstance(node, ast.Import):
            whole |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name
                if (below := f"{node.module}.{alias.name}") in known:
                    whole.add(below)
    if whole:
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        yield from ((module, name) for module in whole for name in attributes)


def ways() -> dict[str, list[tuple[str, str]]]:
    """Return the steps of each way as docs/architecture.md tells them: file below the package, name in it or ""."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = {}
    for way, opening in WAYS.items():
        part = text.split(opening, 1)[1].split("\n\n", 2)[1]  # the numbered list; what stands below is not on the way
        steps = [pair for a, b, c, d in _STEP.findall(part) for pair in ((a, b), (c, d)) if pair[0]]
        found[way] = [(file, name) for file, name in steps if (PACKAGE / file).exists()]
    return found


def table() -> Iterator[tuple[str, str]]:
    """Yield the measures in words and numbers."""
    paths = [*modules().values()]
    lines = sum((count_lines(path) for path in paths), Lines())
    yield "modules", str(len(paths))
    yield "lines", f"{lines.physical}"
    for kind in ("code", "docstring", "comment", "blank"):
        yield f"  {kind}", str(getattr(lines, kind))
    lengths = [length for length, _ in function_lengths(paths)]
    cuts = statistics.quantiles(lengths, n=100, method="inclusive")
    yield "functions", str(len(lengths))
    yield "  lines, median / p90 / p99 / max", f"{cuts[49]:.0f} / {cuts[89]:.0f} / {cuts[98]:.0f} / {lengths[-1]}"
    yield "import circles, of modules", str(len(circles(module_graph())))
    yield "import circles, of folders", str(len(circles(folder_graph())))
    yield "class names used twice", str(sum(len(places) > 1 for places in class_places().values()))
    yield "public names", str(sum(1 for path in paths for _ in public_names(path)))
    yield "  without a reader outside their module", str(len(unread_names()))
    for name in ("app", "cli"):
        if (PACKAGE / name).is_dir():
            own = [path for path in paths if path.is_relative_to(PACKAGE / name)]
            yield f"lines of {name}/", str(sum((count_lines(path) for path in own), Lines()).physical)
    for way, steps in ways().items():
        yield f"files on the way {way}", str(len({file for file, _ in steps}))


def details() -> Iterator[str]:
    """Yield what stands behind the numbers that should be zero, the longest functions, and the ways."""
    for name, graph in (("modules", module_graph()), ("folders", folder_graph())):
        yield from (f"circle of {name}: {' ↔ '.join(found)}" for found in circles(graph))
    for name, places in sorted(class_places().items()):
        if len(places) > 1:
            yield f"class twice: {name}: {', '.join(places)}"
    yield from (f"no reader: {name}" for name in unread_names())
    yield from (f"long: {length} {place}" for length, place in function_lengths(modules().values())[-10:])
    for way, steps in ways().items():
        yield from (f"{way}: {file} {name}" for file, name in steps)


def main() -> int:
    """Print the measures."""
    parser = argparse.ArgumentParser(description="Measure the code as a house.")
    parser.add_argument("--names", action="store_true", help="show what stands behind the numbers")
    options = parser.parse_args()
    for name, value in table():
        print(f"{name:45} {value:>24}")
    if options.names:
        print("\n".join(["", *details()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
