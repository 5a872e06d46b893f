"""Argparse for all our command lines, and what a command is. Imports nothing heavy: `--help` answers at once."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.cli.overview import SUMMARIES
from sweepkit.paths import database, default_output_dir, home_of
from sweepkit.project import project_root

_PROGRAM = "sweepkit"
_HELP_COLUMN = 34


class Parser(argparse.ArgumentParser):
    """An argument parser that knows the nearest word of a mistyped option or choice.

    Options may be written with - or _ between their words.
    """

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Read a command line; argparse exits with code 2 on a wrong one."""
        words = [_dashed(word) for word in (sys.argv[1:] if args is None else args)]
        self._refuse_unknown(words)
        given = super().parse_args(words, namespace)
        if any(isinstance(action, OutputFolder) for action in self._actions):
            _fill_places(given)
        return given

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse an option that there is not, before argparse misses a required one in its place."""
        known = list(self._option_string_actions)
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                self.error(f"unrecognized arguments: {name}{_near(name, known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            choices = [str(choice) for choice in action.choices or ()]
            raise argparse.ArgumentError(action, f"{error.message}{_near(str(value), choices)}") from None


class OutputFolder(argparse._StoreAction):
    """The option --output-dir of whatever looks for results; without it the project of what is named says where."""


def _fill_places(given: argparse.Namespace) -> None:
    """Set the output folder that nobody named, and the database where another project than that of here is meant."""
    here = Path.cwd()
    folders = {file.parent for word in _named(given) if (file := _yaml(word)) is not None}
    sweep = next(iter(folders)) if len(folders) == 1 else None
    if given.output_dir is None:
        given.output_dir = default_output_dir(sweep=sweep)
    home = home_of(sweep, here)
    if not given.storage and project_root(home) != project_root(here):
        given.storage = database(None, given.output_dir, home=home)


def _named(given: argparse.Namespace) -> list[str]:
    """Return the words of a command line that may name sweeps."""
    values = [getattr(given, name, None) for name in ("sweep", "sweep_config", "single_parallel")]
    return [*filter(None, values), *(getattr(given, "sweeps", None) or ())]


def _yaml(word: str) -> Path | None:
    """Return the YAML file that a word names, as a sweep is found by its name; None for any other word."""
    try:
        return next((file for end in ("", ".yaml", ".yml") if _is_yaml(file := Path(word + end).absolute())), None)
    except (OSError, ValueError):  # a URL, or a name too long for the file system
        return None


def _is_yaml(file: Path) -> bool:
    return file.suffix in (".yaml", ".yml") and file.is_file()


def _dashed(word: str) -> str:
    """Return an option with dashes between its words, its value untouched.

    >>> _dashed("--n_trials=5"), _dashed("--n-jobs"), _dashed("my_name"), _dashed("--study_name=a_b")
    ('--n-trials=5', '--n-jobs', 'my_name', '--study-name=a_b')
    """
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _near(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help with the epilog as it is written, and most options on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_HELP_COLUMN)


def make_parser(name: str, description: str, epilog: str, *, kind: type[Parser] = Parser) -> Parser:
    """Return a parser that shows its epilog as it is written.

    Args:
        name: How the command is called: "sweepkit run", or a script's file name.
        description: What it does.
        epilog: What --help ends with; `{call}` in it becomes what a user types to call the command.
        kind: The parser's class.
    """
    call = name if name.startswith(_PROGRAM) else f"python {name}"
    return kind(
        prog=Path(name).name if name.endswith(".py") else name,
        description=description,
        epilog=epilog.replace("{call}", call),
        formatter_class=_HelpFormatter,
    )


def _shown(positional: argparse.Action) -> str:
    """Return an argument as a line of usage shows it."""
    choices = "{" + ",".join(map(str, positional.choices)) + "}" if positional.choices else ""
    name = str(positional.metavar or choices or positional.dest)
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(positional.nargs), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """One thing that a user can ask for: a sub-command of `sweepkit`, a script, or both.

    Args:
        add: Adds its arguments to a parser; the folder is the default of --output-dir, None for the project's.
        act: Does it; returns the exit code.
        epilog: As for `make_parser`.
        name: Its word in `sweepkit WORD`, which the overview has; "" for a script alone.
        summary: Of a script alone: what it does, one line.
        kind: The class of its parser.
    """

    add: Callable[[Parser, Path | None], None]
    act: Callable[[Parser, argparse.Namespace], int]
    epilog: str = ""
    name: str = ""
    summary: str = ""
    kind: type[Parser] = Parser

    def parser(self, called: str = "", *, output_dir: Path | None = None) -> Parser:
        """Return its parser.

        Args:
            called: The script's name, as it is called; "" for the sub-command.
            output_dir: The default of --output-dir; None for the project's.
        """
        text = self.summary or SUMMARIES[self.name]
        parser = make_parser(called or f"{_PROGRAM} {self.name}", text, self.epilog, kind=self.kind)
        self.add(parser, output_dir)
        if not called and parser.usage is None:  # the options stand below, each on its line
            parser.usage = " ".join(["%(prog)s [options]", *map(_shown, parser._get_positional_actions())])
        return parser

    def run(self, argv: Sequence[str] | None, called: str = "") -> int:
        """Read a command line and do what it says; return the exit code."""
        parser = self.parser(called)
        return self.act(parser, parser.parse_args(argv))
