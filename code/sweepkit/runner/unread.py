"""Which parameters of a run no line of the program can have read. Pure.

What is said is true or not said at all. A name that stands nowhere in the program's source is read all the same by
`Model(**config)`, `vars(args)`, `config[key]`, a parser inside a library, a child that is handed the command line.
So every use of what holds the parameters is followed through the source, and any use that is not plainly a single
parameter's, a record of all of them for W&B or the log, or a call of a function that can be followed too,
ends in silence.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sweepkit.runner.program_source import ProgramSource
from sweepkit.sweep_config.command import parameters_named

# Packages that neither read a command line nor ask W&B for a run's configuration unless one of _READERS is named.
_INNOCENT = frozenset(
    """
    __future__ abc argparse array asyncio atexit base64 bisect builtins collections colorsys concurrent contextlib copy
    csv ctypes dataclasses datetime decimal difflib enum errno faulthandler fractions functools gc glob gzip hashlib
    heapq inspect io itertools json logging lzma math multiprocessing numbers operator os pathlib pickle platform pprint
    queue random re resource shutil signal socket statistics string struct sys tarfile tempfile textwrap threading time
    timeit traceback types typing unicodedata urllib uuid warnings weakref zipfile zlib
    wandb numpy pandas scipy sklearn torch torchvision torchaudio torchmetrics matplotlib seaborn plotly tqdm PIL cv2
    tensorflow keras jax flax optax lightgbm xgboost catboost datasets evaluate tokenizers sentencepiece transformers
    peft accelerate einops timm nltk rouge rouge_score requests psutil yaml safetensors huggingface_hub
    typing_extensions
    """.split()
)
# Words that show another way to the parameters than the ones which are followed.
_READERS = re.compile(
    r"\b(?:HfArgumentParser|parse_args_into_dataclasses|fromfile_prefix_chars|\w*SWEEP_PARAM_PATH|SWEEPKIT_(?!REPORT_FILE\b)\w+|sweepkit"
    r"|subprocess|popen|runpy|importlib|__import__|globals|locals|flags|wandb\.agent|orig_argv|cmdline"
    r"|os\.(?:system|exec\w+|spawn\w+|posix_spawn\w*)|torch\.distributed\.(?:run|launch\w*))\b"
    r"|(?<![\w.])(?:eval|exec)\("
)
_PARSED = ("parse_args", "parse_known_args", "parse_intermixed_args", "parse_known_intermixed_args")
# Calls that hand all parameters to a person or to W&B, which changes nothing of the run.
_SHOWS = frozenset({"print", "pprint", "log", "info", "debug", "warning", "len", "type", "isinstance", "update"})
_COPIES = frozenset({"dict", "copy", "deepcopy", "Namespace", "SimpleNamespace"})


def unread(params: Mapping[str, Any], source: ProgramSource, command: Sequence[str]) -> list[str]:
    """Return the parameters that the program surely did not use, by their dotted names.

    Args:
        params: The run's parameters by dotted name.
        source: The program's source.
        command: The items of the sweep's command.
    """
    if not source.trees or source.unknown or not source.installed <= _INNOCENT:
        return []
    reached = "\n".join(source.texts[file] for file in source.trees)
    if any("${args_json" in item for item in command) or _READERS.search(reached):
        return []
    named = parameters_named(command, params)
    left = [name for name in params if name not in named and not _stands_in(source.text, name)]
    return left if left and not _escapes(source, params) else []


def _stands_in(text: str, name: str) -> bool:
    """Return whether a parameter's own name, or an option that it abbreviates, stands in a source."""
    own = name.rpartition(".")[2]
    spelled = "[-_]".join(re.escape(part) for part in re.split("[-_]", own))
    # In any case: SEED in the environment is the parameter `seed` too.
    return re.search(rf"(?<!\w){spelled}(?!\w)|(?<![\w-])--?{spelled}", text, re.IGNORECASE) is not None


def _escapes(source: ProgramSource, params: Mapping[str, Any]) -> bool:
    """Return whether what holds the parameters is used in a way that may read any of them."""
    groups = {part for name in params for part in name.split(".")[:-1]}
    program = _Program(list(source.trees.values()), groups, source.installed)
    program.finalize()
    return any(program.escapes(tree) for tree in program.trees)


class _Program:
    """Names, attributes and functions of a program that may hold all its parameters, whatever their scope."""

    def __init__(self, trees: Sequence[ast.Module], groups: set[str], installed: Collection[str]) -> None:
        self.trees = trees
        self.installed = installed
        self.foreign: set[str] = set()  # names that files import from installed packages
        self.groups = groups  # names of nested parameters: what is read by them holds several
        self.names: set[str] = set()
        self.attributes: set[str] = {"config", "argv"}  # wandb.config, run.config, sys.argv
        self.returning: set[str] = set(_PARSED)
        self.functions: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.ClassDef):
                made = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
                self.functions.setdefault(node.name, []).extend(made)

    def finalize(self) -> None:
        """Follow the parameters through assignments, calls and returns until nothing new is found."""
        size = -1
        while size != (size := len(self.names) + len(self.attributes) + len(self.returning)):
            for tree in self.trees:
                for node in ast.walk(tree):
                    self._follow(node)

    def holds(self, node: ast.AST | None) -> bool:
        """Return whether an expression may hold all parameters, or a group of them."""
        if isinstance(node, ast.Name):
            return node.id in self.names
        if isinstance(node, ast.Attribute):
            return node.attr in self.attributes or (node.attr in self.groups and self.holds(node.value))
        if isinstance(node, _COMPREHENSION):
            return any(self.holds(part.iter) for part in node.generators)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            return self.holds(node.value)
        if isinstance(node, ast.Subscript):
            constant = node.slice.value if isinstance(node.slice, ast.Constant) else None
            of_parse_known = isinstance(constant, int) and self.holds(node.value)
            return of_parse_known or (constant in self.groups and self.holds(node.value))
        if isinstance(node, ast.Call):
            called = _called(node)
            if called == "get" and isinstance(node.func, ast.Attribute) and self.holds(node.func.value):
                return _constant(node.args[:1]) in self.groups
            return called in self.returning or (called in _COPIES and any(map(self.holds, _arguments(node))))
        if isinstance(node, ast.NamedExpr):
            return self.holds(node.value)
        return False

    def _follow(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign | ast.AnnAssign) and self.holds(node.value):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._take(target)
        elif isinstance(node, ast.NamedExpr) and self.holds(node.value):
            self._take(node.target)
        elif isinstance(node, ast.Call):
            for function in self.functions.get(_called(node), ()):
                self._enter(node, function)
            if _called(node) == "update" and isinstance(node.func, ast.Attribute) and any(map(self.holds, node.args)):
                self._take(node.func.value)
        elif isinstance(node, ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            returned = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return)]
            if any(self.holds(value) for value in returned):
                self.returning.add(node.name)

    def _import(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name
            if not node.level and (node.module or "").partition(".")[0] in self.installed:
                self.foreign.add(bound)
            if alias.name in self.attributes:
                self.names.add(bound)
            if alias.name in self.returning:
                self.returning.add(bound)
            if alias.name in self.functions:
                self.functions.setdefault(bound, self.functions[alias.name])

    def _take(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.names.add(target.id)
            self.attributes.add(target.id)  # another file may name it as this one's attribute
        elif isinstance(target, ast.Attribute):
            self.attributes.add(target.attr)
        elif isinstance(target, ast.Tuple | ast.List):  # args, rest = parser.parse_known_args()
            for item in target.elts:
                self._take(item)

    def _enter(self, call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Let a function's parameters hold what a call of it hands over."""
        taken = [item.arg for item in (*function.args.posonlyargs, *function.args.args)]
        if taken[:1] in (["self"], ["cls"]):
            taken = taken[1:]
        self.names.update(name for name, value in zip(taken, call.args, strict=False) if self.holds(value))
        self.names.update(item.arg for item in call.keywords if item.arg is not None and self.holds(item.value))

    def escapes(self, tree: ast.Module) -> bool:
        """Return whether a file uses what holds the parameters in a way that is not followed."""
        allowed = {id(node) for parent in ast.walk(tree) for node in self._allowed(parent)}
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        return any(
            (id(node) not in allowed and self.holds(node)) or (id(node) not in called and self._names_source(node))
            for node in ast.walk(tree)
            if isinstance(node, ast.expr)
        )

    def _names_source(self, node: ast.expr) -> bool:
        """Return whether an expression is a function, not called there, that returns the parameters."""
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        return name in self.returning

    def _allowed(self, parent: ast.AST) -> Iterator[ast.AST]:
        """Yield the parts of a node that may hold the parameters without any being read unseen."""
        if isinstance(parent, ast.Attribute) and parent.attr not in _WHOLE:
            yield parent.value  # config.lr
        elif isinstance(parent, ast.Subscript) and isinstance(parent.slice, ast.Constant | ast.Slice):
            yield parent.value
        elif isinstance(parent, _COMPREHENSION) and _only_cuts(parent):
            yield from (part.iter for part in parent.generators)
        elif isinstance(parent, ast.Expr | ast.Return) and parent.value is not None:
            yield parent.value
        elif isinstance(parent, ast.Compare) and all(isinstance(op, _MEMBERSHIP) for op in parent.ops):
            yield from parent.comparators
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            yield from _targets_and_value(parent)
        elif isinstance(parent, ast.Call):
            yield from self._allowed_in_call(parent)

    def _allowed_in_call(self, call: ast.Call) -> Iterator[ast.AST]:
        called = _called(call)
        if called == "get" and isinstance(call.func, ast.Attribute) and _constant(call.args[:1]) is not None:
            yield call.func.value  # config.get("lr")
        if called in ("getattr", "hasattr", "setattr"):
            if _constant(call.args[1:2]) is not None:
                yield from call.args[:1]
            return
        plain = [item for item in call.args if not isinstance(item, ast.Starred)]
        named = [item.value for item in call.keywords if item.arg is not None]
        if called in _SHOWS or called in _COPIES or called in _PARSED:
            yield from (*plain, *named)
        if called == "init" and ast.unparse(call.func) == "wandb.init":
            yield from (*plain, *named)
        functions = self.functions.get(called, ()) if self._is_own(call.func) else ()
        if functions and not any(item.args.vararg or item.args.kwarg for item in functions):
            yield from (*plain, *named)
            yield call.func

    def _is_own(self, function: ast.expr) -> bool:
        """Return whether what is called is surely a function of these files, if any of them has that name."""
        if isinstance(function, ast.Name):
            return function.id not in self.foreign
        return isinstance(function, ast.Attribute) and ast.unparse(function.value) == "self"


_COMPREHENSION = (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)
_CUTS = frozenset("split rsplit partition rpartition strip lstrip rstrip removeprefix startswith replace".split())
_MEMBERSHIP = (ast.In, ast.NotIn, ast.Is, ast.IsNot)
# What reads all of a configuration, or hands all of it out.
_WHOLE = frozenset(
    "get items keys values as_dict asdict __dict__ _get_kwargs pop popitem copy to_dict __getitem__".split()
)


def _only_cuts(node: ast.AST) -> bool:
    """Return whether a comprehension does nothing but cut words: `dict(word.split("=") for word in sys.argv[1:])`."""
    calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    return all(isinstance(call.func, ast.Attribute) and call.func.attr in _CUTS for call in calls)


def _targets_and_value(node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> Iterator[ast.AST]:
    """Yield what a binding binds and to what, when it binds names, attributes or a pair of them."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        yield target
        if isinstance(target, ast.Tuple | ast.List):
            yield from target.elts
    if node.value is not None:
        yield node.value


def _called(call: ast.Call) -> str:
    """Return the last name of what a call calls, "" when it has none."""
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(item.value for item in call.keywords)]


def _constant(nodes: Sequence[ast.expr]) -> str | None:
    """Return the string that stands there, None when there is none or it is computed."""
    value = nodes[0].value if nodes and isinstance(nodes[0], ast.Constant) else None
    return value if isinstance(value, str) else None
