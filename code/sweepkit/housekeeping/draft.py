"""`sweepkit init`: a first sweep YAML, from the options and the metrics that a program names in its text.

What is found is a proposal for a person to look at: the program is read, never run.
"""

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.model.numbers import is_number
from sweepkit.syntax import parse
from sweepkit.text.yaml_text import scalar

_LOGARITHMIC = re.compile(r"(^|_)(lr|rate|decay|eps|epsilon|alpha|lambda|reg|tol)($|_)|learning|weight_decay")
_SHARES = re.compile(r"dropout|momentum|ratio|prob|smoothing|beta\d?$")
# Options that say where, how or with what chance a program runs, not what it learns.
_ASIDE = re.compile(
    r"seed|path|dir|file|name|output|input|data|device|gpu|worker|port|host|log|verbose|resume|checkpoint|save|wandb"
    r"|project|entity|config|local_rank|rank|num_threads|print|eval_|debug"
)
_LENGTHS = re.compile(r"epoch|step|iter")
_MINIMIZED = re.compile(r"loss|error|err$|mae|mse|rmse|nll|perplexity|ppl|wer|cer|fid|time|latency", re.IGNORECASE)
_TYPES: Mapping[str, type[Any]] = {"int": int, "float": float, "str": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProgramOption:
    """One option of a program.

    Args:
        name: Without its dashes, words joined by `_` as argparse does.
        flag: As it is written on the command line, without its dashes.
        kind: int, float or str.
        default: Its default; None where the text does not show one.
        choices: What it may be; () for anything.
    """

    name: str
    flag: str
    kind: type[Any]
    default: Any = None
    choices: tuple[Any, ...] = ()


def draft(program: str, source: str) -> str:
    """Return a sweep YAML for a program.

    Args:
        program: As the YAML names it.
        source: Its text; "" for one that is not Python.
    """
    options = list(_options(source))
    searched = [(item, node) for item in options if (node := _searched(item))]
    fixed = [item for item in options if _LENGTHS.search(item.name) and item.default is not None]
    metric = _metric(source)
    goal = "minimize" if _MINIMIZED.search(metric or "loss") else "maximize"
    lines = [
        "# yaml-language-server: $schema=sweep.schema.json   (sweepkit schema > sweep.schema.json)",
        f"program: {scalar(program) if ' ' in program else program}",
        "method: bayes                     # grid, random, bayes",
        "metric:",
        f"  name: {scalar(metric or 'val/loss')}" + ("" if metric else "   # the name that your program logs"),
        f"  goal: {goal}",
        "run_cap: 20",
        "parameters:",
    ]
    for item, node in searched:
        default = "   # no default: yours" if item.default is None else f"   # default: {item.default}"
        lines.append(f"  {item.flag}: {node}{default}")
    lines += [f"  {item.flag}: {{value: {scalar(item.default)}}}" for item in fixed]
    if not searched:
        lines += [
            "  lr: {distribution: log_uniform_values, min: 1.0e-5, max: 1.0e-2}   # yours: handed over as --lr=0.001",
            "  batch_size: {values: [8, 16, 32]}",
        ]
    lines += ["# early_terminate: {type: hyperband, min_iter: 3}   # ends bad runs early, when they report often"]
    return "\n".join(lines) + "\n"


def _options(source: str) -> Iterator[_ProgramOption]:
    """Yield the options of `add_argument`, and those of `@click.option` and `@app.option`, in order."""
    for call in _calls(source, ("add_argument", "option")):
        flags = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        flag = next((text for text in flags if text.startswith("--")), None)
        given = {item.arg: item.value for item in call.keywords if item.arg}
        if flag is None or "action" in given or "is_flag" in given:
            continue
        default, choices = _literal(given.get("default")), _literal(given.get("choices"))
        named = given.get("type")
        kind = _TYPES.get(named.id) if isinstance(named, ast.Name) else None
        if kind is None and type(default) in (int, float, str):
            kind = type(default)
        options = tuple(choices) if isinstance(choices, list | tuple) else ()
        plain = flag.removeprefix("--")
        yield _ProgramOption(
            name=plain.replace("-", "_"), flag=plain, kind=kind or str, default=default, choices=options
        )


def _calls(source: str, names: tuple[str, ...]) -> Iterator[ast.Call]:
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) in names]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:  # worked out as the program runs
        return None


def _searched(option: _ProgramOption) -> str:
    """Return the distribution that a program's option may be searched by, "" when it is not searched."""
    if _ASIDE.search(option.name) or _LENGTHS.search(option.name):
        return ""
    if len(option.choices) > 1:
        return "{values: [" + ", ".join(scalar(item) for item in option.choices) + "]}"
    value = option.default
    if value is None:  # the program wants one, or works it out
        rate = "{distribution: log_uniform_values, min: 1.0e-5, max: 1.0e-2}"
        share = rate if _LOGARITHMIC.search(option.name) else "{min: 0.0, max: 1.0}"
        return {float: share, int: "{min: 1, max: 10}"}.get(option.kind, "")
    if option.kind is float and is_number(value):
        return _around(option.name, float(value))
    if option.kind is int and isinstance(value, int) and value > 0:
        listed = sorted({max(1, value // 2), value, value * 2})
        return "{values: [" + ", ".join(map(str, listed)) + "]}"
    return ""


def _around(name: str, value: float) -> str:
    """Return a range around a default: of a share in [0, 1), of a rate over orders of magnitude, else half to twice."""
    if _SHARES.search(name) and 0 <= value < 1:
        return f"{{min: 0.0, max: {scalar(min(0.99, max(0.5, round(value * 1.1, 4))))}}}"
    if value > 0 and (_LOGARITHMIC.search(name) or value <= 0.01):
        power = 10.0 ** math.floor(math.log10(value))
        low, high = float(f"{power / 10:.0e}"), float(f"{power * 100:.0e}")
        return f"{{distribution: log_uniform_values, min: {scalar(low)}, max: {scalar(high)}}}"
    if value > 0:
        return f"{{min: {scalar(value / 2)}, max: {scalar(value * 2)}}}"
    return ""


def _metric(source: str) -> str | None:
    """Return the metric that a program seems to be judged by: of those it logs, one of a validation first."""
    names = []
    for call in _calls(source, ("log", "report", "log_metrics", "dumps")):
        for part in call.args:
            if isinstance(part, ast.Dict):
                names += [
                    key.value for key in part.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
                ]
    judged = [name for name in names if not re.search(r"^_|epoch|step|lr$|time", name)]
    held = [name for name in judged if re.search(r"val|dev|eval|test", name)]
    return next(iter(held or judged), None)


def draft_of(program: Path | None, beside: Path) -> str:
    """Return a sweep YAML for a program's file, which the YAML names from its own folder.

    Args:
        program: The file; None for a YAML to fill in.
        beside: The folder that the YAML goes to.

    Raises:
        OSError: The program cannot be read.
    """
    if program is None:
        return draft("train.py", "")
    text = program.read_text(encoding="utf-8", errors="replace") if program.suffix == ".py" else ""
    absolute, folder = program.resolve(), beside.resolve()
    named = absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute
    return draft(str(named), text)
