"""`sweepkit db`: the database of sweeps copied, checked, repaired, made again from the sweeps' files."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import add_places
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.paths import database

if TYPE_CHECKING:
    from sweepkit.upkeep.record import Upkeep

_EPILOG = """\
examples:
  {call} backup                                    copy it, while sweeps run, too
  {call} backup --to /backups/sweeps.db
  {call} backup --storage postgresql://user@host/sweeps --to sweeps.dump      (by pg_dump; pg_restore reads it)
  {call} check                                     read all of it; exit code 1 when something is damaged
  {call} repair                                    mend it, by a copy and by the files of its sweeps
  {call} rebuild                                   make it from the files of its sweeps alone

A sweep's end makes a copy, too: outputs/sweepkit.db.backup, and the one before as .backup-older.
No command throws anything away: a damaged file is kept as sweepkit.db.damaged-TIME.
"""
_ACTIONS = {
    "backup": "copy it: SQLite's own backup, PostgreSQL's pg_dump",
    "check": "read all of it and name each damaged cell by table, row and column",
    "repair": "put back the newest whole copy where it is damaged or gone, then add what its sweeps' files have",
    "rebuild": "make it from the files of its sweeps",
}


def _add(parser: Parser, output_dir: Path | None) -> None:
    actions = "; ".join(f"{name}: {what}" for name, what in _ACTIONS.items())
    parser.add_argument("action", choices=list(_ACTIONS), metavar="ACTION", help=actions)
    add_places(parser, output_dir)
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="backup: the file to write (default: beside the database)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _act(parser: Parser, given: argparse.Namespace) -> int:
    if given.to is not None and given.action != "backup":
        parser.error(f"--to is backup's; leave it out of {given.action}")
    from sweepkit.upkeep import record

    storage = database(given.storage, given.output_dir)
    if given.action == "backup":
        from sweepkit.store.backup import back_up

        told = record.Upkeep(done=[f"copied to {back_up(storage, given.to)}"])
    elif given.action == "check":
        told = record.check(storage)
    elif given.action == "repair":
        told = record.repair(storage, given.output_dir.absolute())
    else:
        told = record.rebuild(storage, given.output_dir.absolute())
    _print(told, given.action, as_json=given.json)
    return 1 if told.faults else 0


def _print(told: "Upkeep", action: str, *, as_json: bool) -> None:
    """Show what was found or done."""
    if as_json:
        lines = {"action": action, "done": told.done, "faults": told.faults, "unknown": told.unknown}
        print(json.dumps(lines, ensure_ascii=False))
        return
    print("\n".join(told.done))
    for title, sentences in (("damaged", told.faults), ("not known", told.unknown)):
        if sentences:
            print(f"{title}:\n  " + "\n  ".join(sentences))


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "db.py")


COMMAND = CommandLine(name="db", add=_add, act=_act, epilog=_EPILOG)
