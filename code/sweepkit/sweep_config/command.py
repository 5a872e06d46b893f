"""A sweep's `command` with its macros, made into the argument list of a run.

Source: wandb 0.31.0, `wandb/sdk/launch/sweeps/utils.py` (create_sweep_command, create_sweep_command_args) and
`wandb/wandb_agent.py` (`_command_run`). Rows of docs/wandb_differences.md say where we differ.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sweepkit.model.space import Space
from sweepkit.sweep_config.fields import nearest

_ENV_VAR = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_MACRO = re.compile(r"\$\{([^{}]*)\}")
_JSON_FILE_MACRO = "${args_json_file}"
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PYTHON = re.compile(r"python[0-9.]*")
_PYTHON_FLAG = re.compile(r"-[bBdEIiOqsSuvPx]+")
_QUOTED = re.compile(r"[\s,:#{}\[\]&*!|>'\"%@`$]")


def _args_no_boolean_flags(params: Mapping[str, Any]) -> list[str]:
    """Return `--name` for true, nothing for false, `--name=value` for the rest."""
    return [
        f"--{name}" if value is True else f"--{name}={value}" for name, value in params.items() if value is not False
    ]


_PARAMETER_MACROS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "args": lambda params: [f"--{name}={value}" for name, value in params.items()],
    "args_no_boolean_flags": _args_no_boolean_flags,
    "args_no_hyphens": lambda params: [f"{name}={value}" for name, value in params.items()],
    "args_json": lambda params: [arguments_json(params)],
    "args_no_equals": lambda params: [text for name, value in params.items() for text in (f"--{name}", str(value))],
    "args_append_hydra": lambda params: [f"+{name}={value}" for name, value in params.items()],
    "args_override_hydra": lambda params: [f"++{name}={value}" for name, value in params.items()],
}
_ARGUMENTS = frozenset(f"${{{name}}}" for name in (*_PARAMETER_MACROS, "args_json_file"))  # never a program's name
MACROS = ("env", "interpreter", "program", *_PARAMETER_MACROS, "args_json_file")


def arguments_json(params: Mapping[str, Any]) -> str:
    """Return the parameters as W&B writes them for `${args_json}` and into the file of `${args_json_file}`."""
    return json.dumps(dict(params))


def needs_json_file(command: Iterable[str]) -> bool:
    """Return whether a command asks for the file of `${args_json_file}`."""
    return _JSON_FILE_MACRO in command


def build_command(
    spec_command: Sequence[str],
    *,
    program: str,
    params: Mapping[str, Any],
    interpreter: str,
    env: Mapping[str, str],
    json_file: str,
    optional: Collection[str] | None = (),
) -> tuple[str, ...]:
    """Return the argument list of a run.

    A macro is replaced when it is a whole item. `${envvar:NAME}` and, beyond W&B, `${parameter}` are replaced inside
    any item; a nested parameter is named with dots. A whole item `${…}` that is no macro is dropped, as W&B does;
    `command_warnings` tells of it. An item that names a parameter which is no part of this run is left out.

    Args:
        spec_command: The items of the sweep's command.
        program: The script.
        params: The run's configuration, nested as W&B nests it; arguments keep its order.
        interpreter: What `${interpreter}` stands for.
        env: The environment of `${envvar:NAME}`; a name that is not set is replaced by itself, as W&B does.
        json_file: The path of `${args_json_file}`; its content is `arguments_json(params)`.
        optional: Dotted names of the parameters that are not part of every run; None when any name may be one.

    >>> build_command(["${program}", "${args}"], program="t.py", params={"lr": 0.1}, interpreter="", env={},
    ...               json_file="")
    ('t.py', '--lr=0.1')
    """
    fixed = {
        "env": ["/usr/bin/env"],
        "interpreter": [interpreter],
        "program": [program],
        "args_json_file": [json_file],
    }
    by_name = _dotted(params)
    result: list[str] = []
    for given in spec_command:
        item = _ENV_VAR.sub(lambda match: env.get(match[1], match[1]), str(given))
        name = item[2:-1]
        if _names_absent(item, by_name, optional):
            continue
        if not (item.startswith("${") and item.endswith("}")):
            result.append(_fill(item, by_name))
        elif name in fixed:
            result += fixed[name]
        elif name in _PARAMETER_MACROS:
            result += _PARAMETER_MACROS[name](params)
        elif (filled := _fill(item, by_name)) != item:
            result.append(filled)
    return tuple(result)


def _names_absent(item: str, by_name: Mapping[str, Any], optional: Collection[str] | None) -> bool:
    """Return whether an item stands for a parameter that this run does not have."""
    absent = [name for name in _MACRO.findall(item) if name not in by_name and name not in MACROS]
    return any(optional is None or name in optional for name in absent)


def optional_names(space: Space, *, by_function: bool) -> Collection[str] | None:
    """Return what `build_command` calls optional: the parameters with a condition, None where a function suggests."""
    return None if by_function else {".".join(condition.path) for condition in space.conditions}


def conditional_warnings(command: Sequence[str], optional: Collection[str]) -> list[tuple[int, str]]:
    """Return a sentence for each option whose value is another item that some runs leave out."""
    found: list[tuple[int, str]] = []
    for index in range(1, len(command)):
        flag, item = command[index - 1], command[index]
        if flag.startswith("-") and "=" not in flag and item[:2] == "${" and item[2:-1] in optional:
            rule = f"{item} is left out of runs without it and {flag} stays; write {flag}={item} as one item"
            found.append((index, rule))
    return found


def command_warnings(command: Sequence[str], parameters: Sequence[str]) -> list[tuple[int, str]]:
    """Return what W&B says nothing about: macros that do not exist.

    Args:
        command: The items of the command.
        parameters: The names that `${name}` may refer to, nested ones with dots.

    Returns:
        The index of the item and a sentence, for each macro that is unknown or stands where it is not replaced.
    """
    found: list[tuple[int, str]] = []
    for index, item in enumerate(command):
        rest = _ENV_VAR.sub("", item)
        whole = rest.startswith("${") and rest.endswith("}")
        names = _MACRO.findall(rest)
        if whole and rest[2:-1] in MACROS:
            continue
        known = [name for name in names if name in parameters]
        for name in names:
            if name in parameters:
                continue
            if name in MACROS:
                found.append((index, f"${{{name}}} is replaced only when it is a whole item of the list"))
                continue
            hint = nearest(name, [*MACROS, *parameters])
            fate = "is dropped" if whole and not known else "stays as it is"
            found.append((index, f"${{{name}}} is neither a macro nor a parameter and {fate}; {hint}"))
    return found


def starts_no_program(command: Sequence[str], *, program: str | None) -> tuple[int, str] | None:
    """Return the item at which a command fails to name a program, and how; None when it seems to name one.

    Args:
        command: The items of the command.
        program: The sweep's `program`, which a remedy can name.

    >>> starts_no_program(["${env}", "${args}"], program="train.py")
    (1, 'the command starts no program: its first word is ${args}; train.py is never started')
    >>> starts_no_program(["${interpreter}", "${program}", "${args}"], program="train.py") is None
    True
    """
    # A whole item that is no macro is dropped before the command is run, unless it names a parameter.
    words = list(enumerate(command))
    if words and words[0][1] in ("${env}", "env", "/usr/bin/env"):
        words = words[1:]
        while words and _ASSIGNMENT.match(words[0][1]):
            words = words[1:]
        if words and words[0][1].startswith("-"):
            return None  # an option of env
    last = len(command) - 1
    if not words:
        return last, "the command starts no program: nothing follows the environment"
    index, first = words[0]
    if first in _ARGUMENTS or first.startswith("-"):
        named = "" if program is None else f"; {program} is never started"
        return index, f"the command starts no program: its first word is {first}{named}"
    if first != "${interpreter}" and not _PYTHON.fullmatch(first.rpartition("/")[2]):
        return None
    words = words[1:]
    while words and _PYTHON_FLAG.fullmatch(words[0][1]):
        words = words[1:]
    if words and words[0][1] in ("-m", "-c"):
        words = words[1:]
    if not words:
        return last, f"the command starts no program: nothing follows {first}"
    index, script = words[0]
    if script in _ARGUMENTS or script.startswith("--"):
        return index, f"the command starts no program: {first} is given {script} where its program belongs"
    return None


def parameters_named(command: Sequence[str], parameters: Iterable[str]) -> set[str]:
    """Return the parameters, by their dotted names, that a command hands over by `${name}`, under whatever option.

    >>> sorted(parameters_named(["${program}", "--size=${batch}", "${opt}"], ["batch", "lr", "opt.name"]))
    ['batch', 'opt.name']
    """
    named = {name for item in command for name in _MACRO.findall(item)}
    return {name for name in parameters if any(name == one or name.startswith(f"{one}.") for one in named)}


def names_module(command: Sequence[str]) -> bool:
    """Return whether `${program}` stands where a module's name belongs: `-m ${program}`.

    >>> names_module(["${env}", "${interpreter}", "-m", "${program}", "${args}"])
    True
    """
    return any(
        flag in ("-m", "--module") and item == "${program}" for flag, item in zip(command, command[1:], strict=False)
    )


def command_for(program: str) -> str:
    """Return the `command:` that starts what somebody wrote as `program:` with words after it; "" for a plain file.

    >>> command_for("torchrun --nproc_per_node=4 main.py")
    'command: [torchrun, --nproc_per_node=4, main.py, "${args}"]'
    """
    words = program.split()
    if len(words) < 2:
        return ""
    if words[0].endswith(".py"):
        words = ["${interpreter}", *words]
    quoted = [f'"{word}"' if _QUOTED.search(word) else word for word in [*words, "${args}"]]
    return f"command: [{', '.join(quoted)}]"


def _dotted(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter by its dotted name; a top-level name with dots wins over a nested one."""
    names: dict[str, Any] = dict(params)
    for name, value in params.items():
        if isinstance(value, Mapping):
            for inner, item in _dotted(value).items():
                names.setdefault(f"{name}.{inner}", item)
    return names


def _fill(item: str, by_name: Mapping[str, Any]) -> str:
    """Replace each `${name}` of a parameter; others stay."""
    return _MACRO.sub(lambda match: str(by_name[match[1]]) if match[1] in by_name else match[0], item)
