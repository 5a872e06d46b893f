"""Pack a function as a program: a folder with a script that calls it, so that whatever runs a sweep's program runs it.

function.py    the script: all packed functions have the same, but for what they import
function.pkl   the function; one of `__main__`, of a notebook or a REPL whole, one of a module by its name
call.json      how it is called, and where its modules are found
"""

import contextlib
import importlib
import inspect
import json
import os
import pickle
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.errors import SweepKitError
from sweepkit.files import write_atomically
from sweepkit.functions.content import content_digest
from sweepkit.paths import CODE_DIR, FUNCTIONS_FOLDER, slug

_PROGRAM = "function.py"
PICKLE = "function.pkl"
CALL = "call.json"
_NAMELESS = "<dynamic-code>"  # what cloudpickle calls the file of every code
_SCRIPT = '''\
"""One call of the function {name}, for one run of a sweep. Written by sweepkit; what is edited here is lost."""


def _imports():
    """What the function imports, so that it is imported once for all runs. Never called."""
{imports}

if __name__ == "__main__":
    import sys

    sys.path.append({code!r})
    from sweepkit.functions.calling import call

    sys.path.pop()
    call(__file__)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFunction:
    """A function as a program.

    Args:
        program: The script, absolute.
        name: The function's name.
        digest: Of its content; two of equal digest are one program.
    """

    program: Path
    name: str
    digest: str


def pack(
    function: Callable[..., Any], call: Mapping[str, Any], *, sweep: str, output_dir: Path, more: Sequence[Any] = ()
) -> PackedFunction:
    """Write the files of a function; return its program. The same function again gives the same program.

    Args:
        function: Any callable.
        call: How it is called, as `functions.calling` reads it; JSON.
        sweep: The sweep's name: each sweep has folders of its own.
        output_dir: Where the sweep's files go.
        more: What makes it another program as well, by content.

    Raises:
        SweepKitError: It holds something that cannot be handed to another process.
    """
    digest = content_digest(_with(function, more)) if more else content_digest(function)
    name = getattr(function, "__name__", type(function).__name__)
    folder = Path(os.path.abspath(output_dir)) / FUNCTIONS_FOLDER / f"{slug(sweep)}-{digest}"
    data = _pickled(function, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PICKLE, data)
    how = {**call, "name": name, "path": _search_path(), "sources": _sources(function)}
    write_atomically(folder / CALL, json.dumps(how, ensure_ascii=False, indent=1))
    modules = _imported(function) | ({"sweepkit.functions.objective"} if call.get("handing") == "trial" else set())
    imports = [f"    import {module}\n" for module in sorted(modules)] or ["    pass\n"]
    script = _SCRIPT.format(name=name, imports="".join(imports), code=str(CODE_DIR))
    write_atomically(folder / _PROGRAM, script)
    return PackedFunction(program=folder / _PROGRAM, name=name, digest=digest)


def _with(function: Callable[..., Any], more: Sequence[Any]) -> Callable[..., Any]:
    """Return a stand-in of which the content is that of a function and of further values."""
    import functools

    return functools.partial(function, *more)


def _pickled(function: Callable[..., Any], name: str) -> bytes:
    from io import BytesIO

    import cloudpickle

    table = cloudpickle.CloudPickler.dispatch_table
    reduce_code = table[types.CodeType]

    def with_its_file(code: types.CodeType) -> tuple[Any, ...]:
        """Keep the name of a code's file, which cloudpickle drops: tracebacks shall show lines of the source."""
        kind, values = reduce_code(code)
        return kind, tuple(code.co_filename if value == _NAMELESS else value for value in values)

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # the pickler reads the table when it is made
        dispatch_table = ChainMap({types.CodeType: with_its_file}, table)

        def reducer_override(self, value: Any) -> Any:
            """Hand a module of a class of its own over by its name, too: lazy packages are such modules."""
            if isinstance(value, types.ModuleType) and type(value) is not types.ModuleType:
                return importlib.import_module, (value.__name__,)
            return super().reducer_override(value)

    data = BytesIO()
    try:
        with _whole_where_unfinished(function):
            Pickler(data).dump(function)
        return data.getvalue()
    except (pickle.PicklingError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise SweepKitError(
            f"{name}: a function and all that it uses must be handed to another process, got: {error}; make such "
            "objects (open files, locks, connections, loggers' handlers) inside the function"
        ) from error


@contextlib.contextmanager
def _whole_where_unfinished(function: Callable[..., Any]) -> Iterator[None]:
    """Hand a function over whole whose module is being imported: a run that imported it would start the sweep again."""
    import cloudpickle

    module = sys.modules.get(getattr(inspect.unwrap(function), "__module__", None) or "")
    spec = getattr(module, "__spec__", None)
    if module is None or not getattr(spec, "_initializing", False):
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _search_path() -> list[str]:
    """Return where this process finds modules, absolute; "" stands for the working directory."""
    return [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]


def _codes(function: Callable[..., Any]) -> Iterator[tuple[types.CodeType, Mapping[str, Any]]]:
    """Yield the code of a function and of what it uses of its own module, each with its globals."""
    waiting: list[Any] = [function]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        value = getattr(value, "func", None) or getattr(value, "__func__", None) or value
        if isinstance(value, type):
            waiting += [item for item in vars(value).values() if isinstance(item, types.FunctionType)]
        if not isinstance(value, types.FunctionType) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value.__code__, value.__globals__
        names = {name for code in _nested(value.__code__) for name in code.co_names}
        found = [value.__globals__[name] for name in names if name in value.__globals__]
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_bound(cell)]
        waiting += [item for item in (*found, *cells) if getattr(item, "__module__", None) == value.__module__]


def _is_bound(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _imported(function: Callable[..., Any]) -> set[str]:
    """Return the modules that a function uses: by import statements in it, and those that it finds around it."""
    import dis

    found: set[str] = set()
    for code, around in _codes(function):
        for inner in _nested(code):
            levels: list[Any] = []
            for step in dis.get_instructions(inner):
                if step.opname == "IMPORT_NAME" and levels[-2:-1] != [1]:
                    found.add(str(step.argval))
                levels.append(step.argval)
            values = [around[name] for name in inner.co_names if name in around]
            found |= {value.__name__ for value in values if isinstance(value, types.ModuleType)}
            found |= {str(getattr(value, "__module__", None) or "") for value in values if callable(value)}
    return {name for name in found if name and name not in ("__main__", "builtins") and _is_dotted(name)}


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _sources(function: Callable[..., Any]) -> dict[str, str]:
    """Return the text of source files that are no files, such as cells of a notebook: tracebacks show their lines."""
    found: dict[str, str] = {}
    for code, _ in _codes(function):
        if not os.path.exists(code.co_filename) and code.co_filename not in found:
            try:
                found[code.co_filename] = "".join(inspect.findsource(code)[0])
            except (OSError, TypeError, IndexError):
                continue
    return found
