"""`sweepkit`: everything that this package does, a sub-command each, in groups."""

import difflib
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.overview import GROUPS, SUMMARIES
from sweepkit.errors import SweepKitError
from sweepkit.text.shown import say
from sweepkit.version import VERSION

if TYPE_CHECKING:
    from sweepkit.cli.parsing import CommandLine

_NAME_COLUMNS = 14
_MOST_OWNERS = 3


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in ([], ["help"], ["-h"], ["--help"]):
        return _help(words[1:])
    if words[0] in ("--version", "-V"):
        say(f"sweepkit {VERSION}")
        return 0
    return _command(words[0]).run(words[1:], elsewhere=_owner)


def _command(word: str) -> "CommandLine":
    """Return the command of a name.

    Raises:
        SweepKitError: There is none; names the nearest.
    """
    if word in SUMMARIES:
        from sweepkit.cli.commands import COMMANDS

        return COMMANDS[word]
    near = difflib.get_close_matches(word, SUMMARIES, n=1)
    hint = f"did you mean sweepkit {near[0]}?" if near else "sweepkit --help lists them"
    raise SweepKitError(f"sweepkit: must be called with one of its commands, got {word!r}; {hint}")


def _owner(option: str) -> str:
    """Return the commands that have an option, as one types them; "" when none has it."""
    from sweepkit.cli.commands import COMMANDS

    found = [name for name, item in COMMANDS.items() if option in item.parser()._option_string_actions]
    shown = [f"sweepkit {name}" for name in found[:_MOST_OWNERS]]
    return ", ".join(shown) + " and others" if len(found) > _MOST_OWNERS else " and ".join(shown)


def _first_clauses(text: str, room: int) -> str:
    """Return the clauses at the beginning of a sentence that fit into so many columns.

    >>> _first_clauses("Watch a sweep: counts, best so far, failures.", 30)
    'Watch a sweep: counts'
    """
    if len(text) <= room:
        return text
    ends = [found.start() for found in re.finditer(r"[,:;.] ", text) if found.start() <= room]
    return text[: ends[-1]] if ends else textwrap.shorten(text, max(room, 20), placeholder=" …")


def _help(words: Sequence[str]) -> int:
    """Show a command's help, else that of all."""
    if words:
        _command(words[0]).parser().print_help()
        return 0
    room = shutil.get_terminal_size().columns - _NAME_COLUMNS
    lines = ["usage: sweepkit COMMAND [options]", "W&B sweeps on your own machines: no account, no network."]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<12}{_first_clauses(summary, room)}" for name, summary in commands.items()]
    say("\n".join([*lines, "sweepkit COMMAND --help says more; sweepkit --version."]))
    return 0
