"""Argparse for all our command lines, and what a command is. Imports nothing heavy: `--help` answers at once."""

import argparse
import difflib
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.cli.overview import SUMMARIES
from sweepkit.paths import places_of
from sweepkit.text.shown import printable

_PROGRAM = "sweepkit"
_HELP_COLUMN = 34
_SHORT_COLUMN = 24


class Parser(argparse.ArgumentParser):
    """An argument parser that knows the nearest word of a mistyped option or choice.

    Options may be written with - or _ between their words.

    Attributes:
        elsewhere: Says of an option that this command has not which one has it; "" for none.
    """

    elsewhere: Callable[[str], str] = staticmethod(lambda _: "")
    _rare: Collection[argparse.Action] = ()
    _short_epilog = ""

    def shorten(self, common: Collection[str], epilog: str) -> None:
        """Let --help show these options alone, and --help-all every one.

        Args:
            common: Options as they are typed.
            epilog: What --help ends with in place of the whole epilog.
        """
        self.add_argument(
            "--help-all",
            action=_HelpAll,
            nargs=0,
            dest=argparse.SUPPRESS,
            default=argparse.SUPPRESS,
            help="show all options, and more of what it does",
        )
        kept = {*common, "--help", "--help-all"}
        self._rare = [item for item in self._actions if item.option_strings and kept.isdisjoint(item.option_strings)]
        self._short_epilog = epilog

    def format_help(self) -> str:
        """Return what --help shows."""
        if not self._rare:
            return super().format_help()
        said, whole, formatter = [item.help for item in self._rare], self.epilog, self.formatter_class
        try:
            self.formatter_class = _ShortFormatter
            for item in self._rare:
                item.help = argparse.SUPPRESS
            self.epilog = self._short_epilog
            return super().format_help()
        finally:
            self.epilog, self.formatter_class = whole, formatter
            for item, text in zip(self._rare, said, strict=True):
                item.help = text

    def format_whole_help(self) -> str:
        """Return what --help-all shows."""
        return super().format_help()

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Read a command line; argparse exits with code 2 on a wrong one."""
        words = [_dashed(word) for word in (sys.argv[1:] if args is None else args)]
        self._refuse_unknown(words)
        given = super().parse_args(words, namespace)
        if any(isinstance(action, OutputFolder) for action in self._actions):
            given.output_dir, given.storage = places_of(_named(given), given.output_dir, given.storage)
        return given

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse an option that there is not, before argparse misses a required one in its place."""
        known = list(self._option_string_actions)
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                owner = self.elsewhere(name)
                hint = f"; it is an option of {owner}" if owner else _near(name, known)
                self.error(f"unrecognized arguments: {name}{hint}")

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message), file)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            choices = [str(choice) for choice in action.choices or ()]
            raise argparse.ArgumentError(action, f"{error.message}{_near(str(value), choices)}") from None


class _HelpAll(argparse.Action):
    """The option --help-all: all of the help."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        assert isinstance(parser, Parser)
        parser._print_message(parser.format_whole_help(), sys.stdout)
        parser.exit()


class OutputFolder(argparse._StoreAction):
    """The option --output-dir of whatever looks for results; without it the project of what is named says where."""


def _named(given: argparse.Namespace) -> list[str]:
    """Return the words of a command line that may name sweeps."""
    values = [getattr(given, name, None) for name in ("sweep", "sweep_config", "single_parallel")]
    return [*filter(None, values), *(getattr(given, "sweeps", None) or ())]


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
    """Help with the epilog as it is written where the terminal is wide enough, and most options on one line."""

    def __init__(self, prog: str, column: int = _HELP_COLUMN) -> None:
        super().__init__(prog, max_help_position=column)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(line for given in text.splitlines() for line in _fitted(f"{indent}{given}", width))


class _ShortFormatter(_HelpFormatter):
    """Help on one screen: what is said of an option begins further left."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, _SHORT_COLUMN)


def _fitted(line: str, width: int) -> list[str]:
    """Return a line as lines of at most `width` columns where words allow it; what continues it is indented.

    >>> _fitted("  sweepkit run my.yaml   what is long", 30)
    ['  sweepkit run my.yaml   what', '      is long']
    """
    if len(line) <= width:
        return [line]
    start = line[: len(line) - len(line.lstrip())]
    more = f"{start}    " if start else ""
    return textwrap.wrap(
        line, width, subsequent_indent=more, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def make_parser(name: str, description: str, epilog: str, *, kind: type[Parser] = Parser) -> Parser:
    """Return a parser that shows its epilog as it is written.

    Args:
        name: How the command is called: "sweepkit run", or a script's file name.
        description: What it does.
        epilog: What --help ends with; `{call}` in it becomes what a user types to call the command. What follows a
            line `{more}` is for --help-all.
        kind: The parser's class.
    """
    call = name if name.startswith(_PROGRAM) else f"python {name}"
    return kind(
        prog=Path(name).name if name.endswith(".py") else name,
        description=description,
        epilog=epilog.replace("{more}\n", "").replace("{call}", call),
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
        common: The options that the sub-command's --help shows, as they are typed; () for all.
        kind: The class of its parser.
    """

    add: Callable[[Parser, Path | None], None]
    act: Callable[[Parser, argparse.Namespace], int]
    epilog: str = ""
    name: str = ""
    summary: str = ""
    common: tuple[str, ...] = ()
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
        if not called and self.common:
            short = self.epilog.partition("{more}\n")[0].replace("{call}", parser.prog)
            parser.shorten(self.common, short.rstrip("\n") + "\n")
        return parser

    def run(
        self, argv: Sequence[str] | None, called: str = "", *, elsewhere: Callable[[str], str] | None = None
    ) -> int:
        """Read a command line and do what it says; return the exit code.

        Args:
            argv: The words after the command; None for those of this process.
            called: As for `parser`.
            elsewhere: As `Parser` has it.
        """
        parser = self.parser(called)
        parser.elsewhere = elsewhere or parser.elsewhere
        return self.act(parser, parser.parse_args(argv))
