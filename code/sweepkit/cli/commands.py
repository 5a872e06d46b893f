"""Every command of `sweepkit`, by its name."""

from collections.abc import Mapping

from sweepkit.cli import analyze_sweep, db, monitor_sweep, parameter_importance, report, trainer, ui
from sweepkit.cli.parsing import CommandLine
from sweepkit.cli.record_commands import ARCHIVE, CLEAN, EXPORT, FETCH, LIST, NOTE, RENAME, RM, SHOW, TAG
from sweepkit.cli.run_commands import (
    AGENT,
    CANCEL,
    COMPARISON,
    CONFIRMATION,
    LAUNCH,
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

COMMANDS: Mapping[str, CommandLine] = {
    command.name: command
    for command in (
        *(RUN, PARALLEL, LAUNCH, AGENT, RETRY, OPTIMIZE, trainer.COMMAND),
        *(PAUSE, RESUME, STOP, CANCEL),
        *(monitor_sweep.COMMAND, ui.COMMAND, LIST, SHOW, FETCH),
        *(analyze_sweep.COMMAND, parameter_importance.COMMAND, report.COMMAND, CONFIRMATION, COMPARISON, T_TEST),
        *(TAG, NOTE, ARCHIVE, RENAME, EXPORT, PUSH, CLEAN, RM, db.COMMAND),
        *(INIT, DOCTOR, SCHEMA, completion(lambda: COMMANDS.values())),
    )
}
