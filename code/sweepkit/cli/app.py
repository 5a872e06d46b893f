"""`sweepkit`: everything that this package does, a sub-command each, in groups."""

import difflib
import sys
from collections.abc import Sequence

from sweepkit.cli import analyze_sweep, monitor_sweep, parameter_importance, report, trainer
from sweepkit.cli.guard import guarded
from sweepkit.cli.parsing import CommandLine
from sweepkit.cli.record_commands import CLEAN, EXPORT, LIST, RM, SHOW
from sweepkit.cli.run_commands import (
    AGENT,
    CANCEL,
    COMPARISON,
    CONFIRMATION,
    OPTIMIZE,
    PARALLEL,
    PAUSE,
    PUSH,
    RESUME,
    RETRY,
    RUN,
    STOP,
    T_TEST,
)
from sweepkit.cli.setup_commands import DOCTOR, INIT, SCHEMA, completion
from sweepkit.errors import SweepKitError
from sweepkit.version import VERSION

_GROUPS: tuple[tuple[str, tuple[CommandLine, ...]], ...] = (
    ("run", (RUN, PARALLEL, AGENT, RETRY, OPTIMIZE, trainer.COMMAND)),
    ("steer", (PAUSE, RESUME, STOP, CANCEL)),
    ("look", (monitor_sweep.COMMAND, LIST, SHOW)),
    (
        "understand",
        (analyze_sweep.COMMAND, parameter_importance.COMMAND, report.COMMAND, CONFIRMATION, COMPARISON, T_TEST),
    ),
    ("keep", (EXPORT, PUSH, CLEAN, RM)),
    ("set up", (INIT, DOCTOR, SCHEMA, completion(lambda: _COMMANDS.values()))),
)
_COMMANDS: dict[str, CommandLine] = {command.name: command for _, commands in _GROUPS for command in commands}


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


def _command(word: str) -> CommandLine:
    """Return the command of a name.

    Raises:
        SweepKitError: There is none; names the nearest.
    """
    if word in _COMMANDS:
        return _COMMANDS[word]
    near = difflib.get_close_matches(word, _COMMANDS, n=1)
    hint = f"did you mean sweepkit {near[0]}?" if near else "sweepkit --help lists them"
    raise SweepKitError(f"sweepkit: must be called with one of its commands, got {word!r}; {hint}")


def _help(words: Sequence[str]) -> int:
    """Show a command's help, else that of all."""
    if words:
        _command(words[0]).parser().print_help()
        return 0
    lines = ["usage: sweepkit COMMAND [options]", "", "W&B sweeps on your own machines: no account, no network.", ""]
    for group, commands in _GROUPS:
        lines.append(f"{group}:")
        lines += [f"  {command.name:<12}{command.summary}" for command in commands]
        lines.append("")
    print("\n".join([*lines, "sweepkit COMMAND --help says more; sweepkit --version."]))
    return 0
