"""`sweepkit db`: the database of sweeps copied, checked, repaired, made again from the sweeps' files."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import make_parser
from sweepkit.paths import OUTPUT_DIR, STORE_NAME

if TYPE_CHECKING:
    from sweepkit.upkeep.record import Upkeep

_SUMMARY = "Look after the database of sweeps: copy, check, repair it, or make it again from the sweeps' files."
_EPILOG = """\
examples:
  python db.py backup                                    copy it, while sweeps run, too
  python db.py backup --to /backups/sweeps.db
  python db.py backup --storage postgresql://user@host/sweeps --to sweeps.dump      (by pg_dump; pg_restore reads it)
  python db.py check                                     read all of it; exit code 1 when something is damaged
  python db.py repair                                    mend it, by a copy and by the files of its sweeps
  python db.py rebuild                                   make it from the files of its sweeps alone

A sweep's end makes a copy, too: outputs/sweepkit.db.backup, and the one before as .backup-older.
No command throws anything away: a damaged file is kept as sweepkit.db.damaged-TIME.
"""
_ACTIONS = {
    "backup": "copy it: SQLite's own backup, PostgreSQL's pg_dump",
    "check": "read all of it and name each damaged cell by table, row and column",
    "repair": "put back the newest whole copy where it is damaged or gone, then add what its sweeps' files have",
    "rebuild": "make it from the files of its sweeps",
}


def _add_arguments(parser: argparse.ArgumentParser, output_dir: Path) -> None:
    """Add what `db` takes to a parser; the folder is the default of --output-dir."""
    actions = "; ".join(f"{name}: {what}" for name, what in _ACTIONS.items())
    parser.add_argument("action", choices=list(_ACTIONS), metavar="ACTION", help=actions)
    parser.add_argument(
        "--output-dir", type=Path, default=output_dir, metavar="DIR", help="where sweeps are (outputs/)"
    )
    parser.add_argument("--storage", metavar="URL", help="the database: a file, sqlite:///FILE or postgresql://…")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="backup: the file to write (default: beside the database)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _act(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Do what a command line of `db` says; return the exit code."""
    if given.to is not None and given.action != "backup":
        parser.error(f"--to is backup's; leave it out of {given.action}")
    from sweepkit.upkeep import record

    storage = given.storage or str(given.output_dir.absolute() / STORE_NAME)
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
    parser = make_parser("db.py", _SUMMARY, _EPILOG)
    _add_arguments(parser, OUTPUT_DIR)
    return _act(parser, parser.parse_args(argv))
