"""`trainer.py`: arguments into a configuration, the configuration into a training. Imports torch only to train."""

import argparse
import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sweepkit.cli.guard import guarded
from sweepkit.environ import BASE_CONFIG_ENV, SEED_ENV
from sweepkit.errors import Problem, SpecError, SweepKitError
from sweepkit.paths import BASE_CONFIG, CONFIG_DIR, find_config

if TYPE_CHECKING:
    from sweepkit.training.config.training import AnyConfig


class _Parser(argparse.ArgumentParser):
    """Argparse whose complaints are SweepKitErrors, told like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise SweepKitError(f"trainer.py: {message}; see --help")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of what is not a field of the configuration."""
    main_module = sys.modules.get("__main__")
    parser = _Parser(
        prog="trainer.py",
        description=(getattr(main_module, "__doc__", None) or __doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="trainer.py [--config FILE] [--preset NAME] [--train-data FILE] [--val-data FILE] [--set NAME=VALUE …] "
        "[--seed N] [--output-dir DIR] [--NAME=VALUE …]",
    )
    parser.add_argument("--config", metavar="FILE", help="a path, or a name in config/ (default: base_config)")
    parser.add_argument(
        "--preset", metavar="NAME", help="lay quick, balanced, best (config/presets/) or a file of yours over it"
    )
    parser.add_argument("--train-data", metavar="FILE", help="in place of data.train_file")
    parser.add_argument("--val-data", metavar="FILE", help="in place of data.val_file")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="set one field; repeatable")
    parser.add_argument("--seed", metavar="N", help="in place of training.seed and of the environment's SEED")
    parser.add_argument("--output-dir", metavar="DIR", help="default: outputs/<model>_seed<seed>")
    return parser


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
    from sweepkit.training.config.training import flatten

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
        given += flatten({name: _mapping(value)}).items() if value.startswith("{") else [(name, value)]
    return _once(given)


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


def _unique(given: Sequence[tuple[str, Any]], kind: "type[AnyConfig]") -> dict[str, Any]:
    """Return the pairs as a mapping; a field given twice, in whatever spelling, is refused."""
    from sweepkit.training.config.training import route

    seen: dict[str, str] = {}
    for name, _ in given:
        path = route(name, kind) or name
        if path in seen:
            raise SweepKitError(f"trainer.py: {path} must be given once, got --{seen[path]} and --{name}")
        seen[path] = name
    return dict(given)


def config_file(name: str | None, environ: Mapping[str, str]) -> Path:
    """Return the configuration file: as given, else the sweep's base config, else config/base_config.yaml.

    A bare name such as "quick_test" means the file in config/, "models/optimal_t5" the one in config/models/.
    """
    chosen = name or environ.get(BASE_CONFIG_ENV)
    if not chosen:
        return BASE_CONFIG
    found = find_config(chosen)
    if found is None:
        raise SpecError([Problem(where=chosen, rule="must be a configuration file, which does not exist")])
    return found


def preset_file(name: str) -> Path:
    """Return a preset's file: one of config/presets/ by name, or a path."""
    from sweepkit.sweep_config.checker import suggestion

    known = sorted(path.stem for path in (CONFIG_DIR / "presets").glob("*.yaml"))
    file = find_config(name, folder=CONFIG_DIR / "presets")
    if file is None:
        rule = f"must be one of {', '.join(known)}, or a YAML file"
        raise SpecError([Problem(where="--preset", rule=rule, got=repr(name), hint=suggestion(name, known))])
    return file


def _overrides(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """Return what the named options set, as dotted names and texts."""
    named = (
        ("data.train_file", options.train_data),
        ("data.val_file", options.val_data),
        ("seed", options.seed),
        ("output.directory", options.output_dir),
    )
    pairs: list[tuple[str, Any]] = [(path, value) for path, value in named if value is not None]
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SweepKitError(f"trainer.py: --set must be NAME=VALUE, got {assignment!r}")
        pairs.append((name, value))
    return pairs


def _run(argv: Sequence[str] | None) -> int:
    """Parse, check everything that can be checked without torch, train."""
    options, words = _parser().parse_known_args(argv)
    from sweepkit.training.config.training import apply, apply_preset, read_training_config

    params = parse_parameters(words)
    config = written = read_training_config(config_file(options.config, os.environ))
    given = _unique([*_overrides(options), *params.items()], type(config))
    if options.preset is not None:
        config = apply_preset(config, preset_file(options.preset))
    if os.environ.get(SEED_ENV):
        try:
            config = apply(config, {"seed": os.environ[SEED_ENV]}, from_text=True)
        except SpecError as error:
            raise SweepKitError(f"environment variable {SEED_ENV}: {error}") from None
    config = apply(config, given, from_text=True)
    from sweepkit.training.session import run

    # A sweep may well have a parameter named seed, which argparse takes for the option.
    names = [*params, *(() if options.seed is None else ("seed",))]
    return run(config, names=names, environ=os.environ, written=written)


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the trainer.

    Args:
        argv: Arguments without the program's name; None for the process's own.

    Returns:
        0 when trained, 2 when something the user can mend stood in the way (its message is on stderr), 130 on Ctrl-C,
        143 when its agent gave the run back and it is saved.
    """
    return _run(argv)
