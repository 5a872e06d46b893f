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
from sweepkit.text.shown import say

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
  {call} start                                     a PostgreSQL of this project's own, for agents on several hosts

A sweep's end makes a copy, too: outputs/sweepkit.db.backup, and the one before as .backup-older.
No command throws anything away: a damaged file is kept as sweepkit.db.damaged-TIME.
"""
_ACTIONS = {
    "backup": "copy it: SQLite's own backup, PostgreSQL's pg_dump",
    "check": "read all of it and name each damaged cell by table, row and column",
    "repair": "put back the newest whole copy where it is damaged or gone, then add what its sweeps' files have",
    "rebuild": "make it from the files of its sweeps",
    "start": "start a PostgreSQL in DIR/postgres, made first if it is not there, and print its --storage",
    "stop": "stop that PostgreSQL; its data stay",
    "status": "say whether that PostgreSQL runs",
}
_SERVER = ("start", "stop", "status")


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
    if given.action in _SERVER and given.storage is not None:
        parser.error(f"--storage names another database; leave it out of {given.action}, which is of DIR/postgres")
    if given.action in _SERVER:
        return _serve(given.action, given.output_dir, as_json=given.json)
    from sweepkit.upkeep import record

    storage = database(given.storage, given.output_dir)
    if given.action == "backup":
        from sweepkit.store.backup import back_up

        said = record.Upkeep(done=[f"copied to {back_up(storage, given.to)}"])
    elif given.action == "check":
        said = record.check(storage)
    elif given.action == "repair":
        said = record.repair(storage, given.output_dir.absolute())
    else:
        said = record.rebuild(storage, given.output_dir.absolute())
    _print(said, given.action, as_json=given.json)
    return 1 if said.faults else 0


def _serve(action: str, output_dir: Path, *, as_json: bool) -> int:
    """Start or stop the project's own PostgreSQL, or look at it; return the exit code: 1 when it does not run."""
    from sweepkit.cluster.postgres import NOT_ENCRYPTED, ProjectPostgres

    server = ProjectPostgres(output_dir / "postgres")
    ran = server.running()
    if action == "start":
        server.start()
    elif action == "stop":
        server.stop()
    runs = server.running()
    url = server.url() if runs else None
    if as_json:
        told = {"action": action, "running": runs, "storage": url, "encrypted": server.encrypts if runs else None}
        say(json.dumps(told, ensure_ascii=False))
    elif url is not None:
        say(f"{'runs' if ran else 'started'}: --storage '{url}'")
        say(f"its data are in {server.data} on this host: what is recorded is lost with that folder")
        if not server.encrypts:
            say(NOT_ENCRYPTED)
    else:
        say("stopped" if action == "stop" and ran else "does not run")
    return 0 if runs or action == "stop" else 1


def _print(said: "Upkeep", action: str, *, as_json: bool) -> None:
    """Show what was found or done."""
    if as_json:
        lines = {"action": action, "done": said.done, "faults": said.faults, "unknown": said.unknown}
        say(json.dumps(lines, ensure_ascii=False))
        return
    say("\n".join(said.done))
    for title, sentences in (("damaged", said.faults), ("not known", said.unknown)):
        if sentences:
            say(f"{title}:\n  " + "\n  ".join(sentences))


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "db.py")


COMMAND = CommandLine(name="db", add=_add, act=_act, epilog=_EPILOG)
