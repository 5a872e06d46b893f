"""Find and load the search space function that a sweep names (`sweepkit.search_space`)."""

import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from sweepkit.errors import Problem, SpecError
from sweepkit.paths import PROGRAM_DIR
from sweepkit.search.define_by_run import SpaceFunction
from sweepkit.sweep_config.sweep import SweepSpec


def load_space_function(spec: SweepSpec, *, cwd: Path) -> SpaceFunction | None:
    """Return the function of a sweep, loaded anew; None when the sweep names none.

    The module is a file beside the YAML, in the working directory or in code/, the first that is there.

    Raises:
        SpecError: No such module or function, it cannot be imported, or it does not take one argument.
    """
    named = spec.extensions.search_space
    if named is None:
        return None
    module_name, _, name = named.partition(":")
    if spec.suggests_itself:
        hint = "start it once more by `sweepkit optimize` or sweepkit.optimize(), which works along"
        raise _refused(spec, "an objective suggests its parameters while it runs, asked of its own study", named, hint)
    file = _find(spec, module_name, cwd)
    module = _run(spec, file)
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        near = get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]}?" if near else f"its functions: {', '.join(own) or 'none'}"
        raise _refused(spec, f"{file.name} must have a function {name}", "none", hint)
    _check_signature(spec, function, name)
    return SpaceFunction(call=function, name=named, file=str(file))


def _find(spec: SweepSpec, module: str, cwd: Path) -> Path:
    relative = Path(*module.split(".")).with_suffix(".py")
    places = list(dict.fromkeys(Path(place) for place in (spec.directory, cwd, PROGRAM_DIR) if str(place)))
    for place in places:
        if (place / relative).is_file():
            return (place / relative).resolve()
    known = [file.stem for place in places for file in (place / relative).parent.glob("*.py")]
    near = get_close_matches(relative.stem, known, n=1)
    looked = f"looked for {relative} in {', '.join(map(str, places))}"
    raise _refused(
        spec,
        "must be a Python file beside the YAML file, in the working directory, or in code/",
        repr(module),
        f"did you mean {near[0]}?" if near else looked,
    )


def _run(spec: SweepSpec, file: Path) -> ModuleType:
    """Return the module of a file, executed now; its folder is importable while it is."""
    name = f"sweepkit_space_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(file.parent))
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)  # no __pycache__ beside the user's file
    except Exception as error:
        rule = f"{file.name} must be a module that can be imported"
        raise _refused(spec, rule, f"{type(error).__name__}{_line(error, str(file))}: {error}", "") from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def _line(error: Exception, file: str) -> str:
    """Return the last line of a file that an error came through, " (line N)"."""
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno})"
    number, frame = None, error.__traceback__
    while frame is not None:
        number = frame.tb_lineno if frame.tb_frame.f_code.co_filename == file else number
        frame = frame.tb_next
    return "" if number is None else f" (line {number})"


def _check_signature(spec: SweepSpec, function: Callable[..., Any], name: str) -> None:
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        got = f"def {name}{inspect.signature(function)}"
        raise _refused(spec, "the function must take one argument, the trial", got, f"def {name}(trial):") from None
    except ValueError:  # a built-in that does not tell
        return


def _refused(spec: SweepSpec, rule: str, got: str, hint: str) -> SpecError:
    key = re.compile(r"^\s*[\"']?search_space[\"']?\s*:|[{,]\s*search_space\s*:")
    line = next((number for number, text in enumerate(spec.text.splitlines(), 1) if key.search(text)), None)
    return SpecError(
        [Problem(where=spec.source, line=line, key="sweepkit.search_space", rule=rule, got=got, hint=hint)]
    )
