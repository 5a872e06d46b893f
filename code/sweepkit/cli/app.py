"""`sweepkit`: everything that this package does, a sub-command each, in groups."""

import difflib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.overview import GROUPS, SUMMARIES
from sweepkit.errors import SweepKitError
from sweepkit.version import VERSION

if TYPE_CHECKING:
    from sweepkit.cli.parsing import CommandLine


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in ([], ["help"], ["-h"], ["--help"]):
        return _help(words[1:])
    if words[0] in ("--version", "-V"):
        print(f"sweepkit {VERSION}")
        return 0
    return _command(words[0]).run(words[1:])


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


def _help(words: Sequence[str]) -> int:
    """Show a command's help, else that of all."""
    if words:
        _command(words[0]).parser().print_help()
        return 0
    lines = ["W&B sweeps on your own machines: no account, no network."]
    lines += ["usage: sweepkit COMMAND [options]; sweepkit COMMAND --help says more; sweepkit --version", ""]
    for group, commands in GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {name:<12}{summary}" for name, summary in commands.items()]
        lines.append("")
    print("\n".join(lines[:-1]))
    return 0
