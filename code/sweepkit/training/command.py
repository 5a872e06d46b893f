"""What a training is asked for, as a value; made into a configuration, the configuration into a training."""

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweepkit.environ import RUN_DIR_ENV, SEED_ENV
from sweepkit.errors import SpecError, SweepKitError
from sweepkit.extras import needed
from sweepkit.text.shown import say
from sweepkit.training.config.files import config_file, preset_file
from sweepkit.training.config.spellings import short_model
from sweepkit.training.config.training import (
    TASKS,
    AnyConfig,
    apply,
    apply_preset,
    flatten,
    governed,
    read_training_config,
    route,
)
from sweepkit.training.config.training_schema import schema_of
from sweepkit.training.config.unused import unused_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerOptions:
    """The command line of trainer.py.

    Args:
        config: A configuration's path, or its name in config/; None for the environment's, else base_config.
        preset: A preset's name or path, laid over the configuration.
        train_data: In place of data.train_file.
        val_data: In place of data.val_file.
        assignments: NAME=VALUE, each sets one field.
        seed: In place of training.seed and of the environment's SEED.
        output_dir: In place of output.directory.
        parameters: What a sweep sets, by dotted name; texts are read as their fields want them.
    """

    config: str | None = None
    preset: str | None = None
    train_data: str | None = None
    val_data: str | None = None
    assignments: tuple[str, ...] = ()
    seed: str | None = None
    output_dir: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def train(options: TrainerOptions, environ: Mapping[str, str]) -> int:
    """Check everything that can be checked without torch, train; return the exit code as `session.run` does.

    Raises:
        SweepKitError: Something the user can mend stands in the way.
    """
    notes: list[str] = []
    file = config_file(options.config, environ)
    config = written = read_training_config(file, notes)
    given = _unique([*_overrides(options), *options.parameters.items()], type(config))
    if options.preset is not None:
        config = apply_preset(config, preset_file(options.preset), notes)
    if environ.get(SEED_ENV):
        try:
            config = apply(config, {"seed": environ[SEED_ENV]}, from_text=True)
        except SpecError as error:
            raise SweepKitError(f"environment variable {SEED_ENV}: {error}") from None
    config = apply(config, given, from_text=True)
    notes += governed(given, type(config))
    notes += _unused(config, given, environ)
    for note in dict.fromkeys(notes):
        say(note, file=sys.stderr)
    needed("train")
    from sweepkit.training.session import run

    # A sweep may well have a parameter named seed, which the command line takes for the option.
    names = [*options.parameters, *(() if options.seed is None else ("seed",))]
    return run(config, names=names, environ=environ, written=written, model=short_model(file.stem))


def _unused(config: AnyConfig, given: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each field that changes nothing; refuse those that the command line gives.

    In a run of a sweep it is said only: what is drawn beside it decides whether a parameter matters.

    Raises:
        SpecError: All that are refused.
    """
    found = unused_fields(config)
    asked = {route(name, type(config)) for name in given}
    refused = [problem for problem in found if problem.key in asked]
    if refused and not environ.get(RUN_DIR_ENV):
        raise SpecError(refused)
    return [str(problem) for problem in found]


def _overrides(options: TrainerOptions) -> list[tuple[str, Any]]:
    """Return what the named options set, as dotted names and texts."""
    named = (
        ("data.train_file", options.train_data),
        ("data.val_file", options.val_data),
        ("seed", options.seed),
        ("output.directory", options.output_dir),
    )
    pairs: list[tuple[str, Any]] = [(path, value) for path, value in named if value is not None]
    for assignment in options.assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SweepKitError(f"trainer.py: --set must be NAME=VALUE, got {assignment!r}")
        pairs.append((name, value))
    return pairs


def parse_parameters(words: Sequence[str]) -> dict[str, Any]:
    """Return sweep parameters as the `command` macros pass them, by name.

    Understood are `--name=value` (${args}), `name=value` (${args_no_hyphens}), a bare `--flag` (true,
    ${args_no_boolean_flags}), `--name value`, and one JSON object (${args_json}). A value that is a Python or JSON
    dictionary is a group of nested parameters: its names become dotted.

    Raises:
        SweepKitError: A word is none of these, or a name is given twice.

    >>> parse_parameters(["--learning_rate=1e-4", "num_beams=2", "--fp16", "--training={'seed': 3}"])
    {'learning_rate': '1e-4', 'num_beams': '2', 'fp16': 'true', 'training.seed': 3}
    """
    given: list[tuple[str, Any]] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("{"):
            given += flatten(_mapping(word)).items()
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        if not name or not (equals or word.startswith("--")):
            raise SweepKitError(f"trainer.py: an argument must be --NAME=VALUE, got {word!r}; see --help")
        if not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") and "=" not in waiting[0] else "true"
        nested = value.startswith("{") and not _is_text(name)
        given += flatten({name: _mapping(value)}).items() if nested else [(name, value)]
    return _once(given)


def _is_text(name: str) -> bool:
    """Return whether a parameter is a text, which may begin with a brace as a prompt does."""
    schemas = [schema_of(kind) for kind in TASKS.values()]
    fields = [schema.known[path] for schema in schemas if (path := schema.route(name)) is not None]
    return any(field.kind == "string" for field in fields)


def _once(given: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a mapping; a name given twice is refused."""
    names = [name for name, _ in given]
    for name in names:
        if names.count(name) > 1:
            raise SweepKitError(f"trainer.py: --{name} must be given once")
    return dict(given)


def _mapping(text: str) -> dict[str, Any]:
    """Return a dictionary written as Python or as JSON."""
    for read in (ast.literal_eval, json.loads):
        try:
            value = read(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, dict):
            return value
    raise SweepKitError(f"trainer.py: nested parameters must be a Python or JSON dictionary, got {text!r}")


def _unique(given: Sequence[tuple[str, Any]], kind: type[AnyConfig]) -> dict[str, Any]:
    """Return the pairs as a mapping; a field given twice, in whatever spelling, is refused."""
    seen: dict[str, str] = {}
    for name, _ in given:
        path = route(name, kind) or name
        if path in seen:
            raise SweepKitError(f"trainer.py: {path} must be given once, got --{seen[path]} and --{name}")
        seen[path] = name
    return dict(given)
