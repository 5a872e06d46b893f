"""What a function is, by content: its code and what it takes from around it. Two of equal content are one program."""

import ast
import functools
import hashlib
import inspect
import pickle
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweepkit.syntax import parse

_DIGITS = 12
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_TABLES = ("numpy", "pandas")  # their values are alike in every process when they are pickled


def content_digest(function: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits of what a function does, the same in every process.

    Code counts without comments and layout. What it uses of its own module counts too: functions and classes by their
    code, plain values, arrays and tables by their content, any other object by its type alone.

    >>> content_digest(lambda: 1) == content_digest(lambda: 2)
    False
    """
    reader = _Reader()
    reader.take(function)
    return hashlib.sha256("\n".join(reader.parts).encode("utf-8", "backslashreplace")).hexdigest()[:_DIGITS]


class _Reader:
    """Follows a function to all that it uses."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._seen: set[int] = set()

    def take(self, value: Any) -> None:
        """Note a value by its content."""
        if isinstance(value, _PLAIN):
            self.parts.append(repr(value))
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, functools.partial):
            self._each("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self._each("method", (value.__func__, type(value.__self__), getattr(value.__self__, "__dict__", {})))
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.ModuleType):
            self.parts.append(f"module {value.__name__}")
        else:
            self._object(value)

    def _each(self, word: str, values: Any) -> None:
        self.parts.append(word)
        for value in values:
            self.take(value)

    def _function(self, function: types.FunctionType) -> None:
        self.parts.append(f"def {function.__qualname__}\n{_code(function)}")
        wrapped = getattr(function, "__wrapped__", None)
        cells = [cell.cell_contents for cell in function.__closure__ or () if not _is_empty(cell)]
        self._each("with", (wrapped, function.__defaults__, function.__kwdefaults__, *cells))
        for name in sorted(set(_names(function.__code__))):
            if name in function.__globals__:
                self._global(name, function.__globals__[name], function.__module__)

    def _global(self, name: str, value: Any, module: str) -> None:
        self.parts.append(name)
        if isinstance(value, types.FunctionType | type) and value.__module__ != module:
            self.parts.append(f"{value.__module__}.{value.__qualname__}")
        else:
            self.take(value)

    def _class(self, kind: type) -> None:
        self.parts.append(f"class {kind.__qualname__}")
        if kind.__module__ in ("builtins", *_TABLES):
            return
        for name, member in sorted(vars(kind).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(inner, types.FunctionType):
                self.take(inner)
            elif isinstance(member, _PLAIN) and not name.startswith("__"):
                self._each(name, (member,))

    def _object(self, value: Any) -> None:
        kind = type(value)
        if isinstance(value, Mapping):
            self._each(kind.__name__, (part for pair in value.items() for part in pair))
        elif isinstance(value, list | tuple):
            self._each(kind.__name__, value)
        elif isinstance(value, set | frozenset):
            self.parts += ["set", *sorted(map(repr, value))]
        elif kind.__module__.partition(".")[0] in _TABLES:
            self.parts.append(hashlib.sha256(pickle.dumps(value, protocol=4)).hexdigest())
        elif callable(value) and "__call__" in vars(kind):
            self._each("callable", (kind, getattr(value, "__dict__", {})))
        else:
            self.parts.append(f"{kind.__module__}.{kind.__qualname__}")


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell
    except ValueError:  # a function that names itself before it is bound
        return True


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a code and the functions in it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _code(function: types.FunctionType) -> str:
    """Return a function's code without layout; of one whose source is not there, or no statement, its instructions."""
    try:
        if function.__name__ != "<lambda>":
            return ast.dump(parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError, ValueError):
        pass
    return _instructions(function.__code__)


def _instructions(code: types.CodeType) -> str:
    constants = [_instructions(item) if isinstance(item, types.CodeType) else repr(item) for item in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"
