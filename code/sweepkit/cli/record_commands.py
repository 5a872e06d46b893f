"""The sub-commands about what is recorded: list, show, export, rm, clean."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.options import add_places, natural
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.errors import SweepKitError
from sweepkit.text.shown import printable, say

if TYPE_CHECKING:
    from sweepkit.housekeeping.find import SweepPlace

_FORMATS = ("csv", "json", "parquet")
_STDOUT = "-"


def _place(given: argparse.Namespace) -> "SweepPlace":
    from sweepkit.housekeeping.find import SweepPlace

    return SweepPlace(output_dir=given.output_dir, storage=given.storage)


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def _add_list(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="only those that have it; repeatable")
    parser.add_argument("--archived", action="store_true", help="those in the archive, too")
    parser.add_argument("--sizes", action="store_true", help="also what each sweep's folder takes on the disk")
    add_places(parser, output_dir)
    _add_json(parser)


def _list(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.overview import listed, listed_text
    from sweepkit.text.json_text import json_text

    rows = listed(_place(given), sizes=given.sizes, tags=given.tag, archived=given.archived)
    say(json_text(rows) if given.json else listed_text(rows, width=_width()))
    return 0


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 200


def _add_show(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, SWEEP:NUMBER, or a sweep: its best run")
    parser.add_argument("--lines", type=natural, default=20, metavar="N", help="of the end of its log (default: 20)")
    add_places(parser, output_dir)
    _add_json(parser)


def _show(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.show import shown, shown_text
    from sweepkit.text.json_text import json_text

    run = shown(_place(given), given.run, lines=given.lines)
    say(json_text(run) if given.json else shown_text(run))
    return 0


def _add_fetch(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, SWEEP:NUMBER, or a sweep: its best run")
    parser.add_argument(
        "--files", action="append", default=[], metavar="PATTERN", help="only these of its folder; repeatable"
    )
    parser.add_argument(
        "--wait", type=natural, default=600, metavar="S", help="for how long its node may be silent (default: 600)"
    )
    add_places(parser, output_dir)
    _add_json(parser)


def _fetch(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.fetch import fetch
    from sweepkit.reports.files import relative
    from sweepkit.text.json_text import json_text

    def tell(text: str) -> None:
        say(text, file=sys.stderr, flush=True)

    got = fetch(_place(given), given.run, patterns=given.files, wait_s=given.wait, say=tell)
    plain = {"event": "fetched", "run_id": got.run_id, "host": got.host, "folder": str(got.folder), "files": got.files}
    came = f"{got.files} files of run {got.run_id} came" if got.files else f"the files of run {got.run_id} are here"
    say(json_text(plain) if given.json else f"{came}: {relative(got.folder)}")
    return 0


def _add_target(parser: Parser) -> None:
    parser.add_argument("target", metavar="SWEEP|RUN", help="a sweep; or a run: its id, or SWEEP:NUMBER")


def _add_tag(parser: Parser, output_dir: Path | None) -> None:
    _add_target(parser)
    parser.add_argument("tags", nargs="+", metavar="TAG", help="words without commas")
    parser.add_argument("--remove", action="store_true", help="take them away")
    add_places(parser, output_dir)


def _tag(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.labels import change_tags

    tags = change_tags(_place(given), given.target, given.tags, remove=given.remove)
    say(f"{given.target}: {', '.join(tags) or 'no tags'}")
    return 0


def _add_note(parser: Parser, output_dir: Path | None) -> None:
    _add_target(parser)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="the note (default: show the one there is)")
    add_places(parser, output_dir)


def _note(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.labels import change_note, shown_note

    place = _place(given)
    text = shown_note(place, given.target) if given.text is None else change_note(place, given.target, given.text)
    say(f"{given.target}: {text or 'no note'}")
    return 0


def _add_archive(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweeps", nargs="+", metavar="NAME|DIR", help="sweeps by name or folder")
    parser.add_argument("--undo", action="store_true", help="take them out of the archive")
    add_places(parser, output_dir)


def _archive(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.labels import archive

    for named in given.sweeps:
        name = archive(_place(given), named, archived=not given.undo)
        say(f"{name}: {'back in the list' if given.undo else 'archived'}")
    return 0


def _add_rename(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweep", metavar="NAME|DIR", help="a sweep's name or folder")
    parser.add_argument("new", metavar="NEW", help="its name from now on")
    add_places(parser, output_dir)


def _rename(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.rename import rename

    old, source = rename(_place(given), given.sweep, given.new)
    line = f"name: {json.dumps(given.new, ensure_ascii=False)}"
    say(f"{old} is {given.new} now; to go on with it by {source} write there: {line}")
    return 0


def _add_export(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweep", nargs="?", metavar="NAME|DIR", help="a sweep's name or folder (default: the only one)")
    form = parser.add_mutually_exclusive_group(required=True)
    for name in ("csv", "json"):
        form.add_argument(
            f"--{name}", nargs="?", const=_STDOUT, metavar="FILE", help=f"as {name.upper()} (default: on stdout)"
        )
    form.add_argument("--parquet", metavar="FILE", help="as Parquet")
    parser.add_argument("--history", action="store_true", help="a row for each report, in place of one for each run")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="CSV: text as it is, without the apostrophe that keeps it from being a formula",
    )
    add_places(parser, output_dir)


def _export(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.export import as_text, exported, write
    from sweepkit.reports.files import relative

    form, file = next((name, getattr(given, name)) for name in _FORMATS if getattr(given, name) is not None)
    if given.raw and form != "csv":
        parser.error(f"--raw is for --csv; leave it out of --{form}")
    table = exported(_place(given), given.sweep, history=given.history)
    if file == _STDOUT:
        text = as_text(table, form, raw=given.raw)
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)  # a file gets what is there
        return 0
    write(table, form, Path(file), raw=given.raw)
    say(f"{relative(Path(file))}: {len(table)} rows")
    return 0


def _agreed(question: str, yes: bool) -> bool:
    """Return whether the user agrees: by --yes, else asked in a terminal.

    Raises:
        SweepKitError: There is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise SweepKitError(f"{question}: must be agreed to, got nobody to ask; give --yes, or --dry-run to look only")
    return input(printable(f"{question}? [y/N] ")).strip().lower() in ("y", "yes")


def _add_removing(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, take nothing away")
    add_places(parser, output_dir)
    _add_json(parser)


def _add_rm(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweeps", nargs="+", metavar="NAME|DIR", help="sweeps by name or folder")
    parser.add_argument("--force", action="store_true", help="also one whose runs are under way")
    _add_removing(parser, output_dir)


def _rm(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.remove import plan_removal, remove

    plans = [plan_removal(_place(given), name, force=given.force) for name in given.sweeps]
    for plan in plans:
        if not given.json:
            say(plan.text)
    if given.dry_run or not _agreed("remove " + ", ".join(plan.name for plan in plans), given.yes):
        return 0
    for plan in plans:
        remove(plan)
        say(json.dumps({"event": "removed", **plan.plain}, ensure_ascii=False) if given.json else f"{plan.name}: gone")
    return 0


def _add_clean(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweeps", nargs="*", metavar="NAME|DIR", help="sweeps by name or folder (default: all)")
    parser.add_argument(
        "--keep-best", type=natural, required=True, metavar="N", help="runs of each sweep that keep their checkpoints"
    )
    _add_removing(parser, output_dir)


def _clean(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.clean import clean, plan_cleaning
    from sweepkit.housekeeping.sizes import in_words

    plans = plan_cleaning(_place(given), given.sweeps, keep=given.keep_best)
    total = sum(plan.bytes for plan in plans)
    if not given.json:
        say("\n".join(plan.text for plan in plans) or "no sweeps")
    if total and not given.dry_run:
        if not _agreed(f"remove checkpoints of {in_words(total)}", given.yes):
            return 0
        for plan in plans:
            clean(plan)
    verb = "would be freed" if given.dry_run else "freed"
    said = {"event": "cleaned", "dry_run": given.dry_run, "bytes": total, "sweeps": [plan.plain for plan in plans]}
    say(json.dumps(said, ensure_ascii=False) if given.json else f"{in_words(total)} {verb}")
    return 0


LIST = CommandLine(
    name="list",
    add=_add_list,
    act=_list,
)
SHOW = CommandLine(
    name="show",
    add=_add_show,
    act=_show,
    epilog="""\
examples:
  {call} ab12cd34       a run, by its id
  {call} my:3           run 3 of the sweep my
  {call} my             the best run of the sweep my
""",
)
FETCH = CommandLine(
    name="fetch",
    add=_add_fetch,
    act=_fetch,
    epilog="""\
examples:
  {call} my                              the folder of the best run, from the node where it ran
  {call} my:3 --files 'best_model/*'     that part of run 3's

For sweeps launched with --no-shared-folder. An agent of that node sends it; after the sweep's end the cluster's engine
is asked to start the sender there.
""",
)
TAG = CommandLine(
    name="tag",
    add=_add_tag,
    act=_tag,
    epilog="""\
examples:
  {call} my baseline            sweepkit list --tag baseline finds it
  {call} my:3 keep              run 3 of it
  {call} my baseline --remove
""",
)
NOTE = CommandLine(
    name="note",
    add=_add_note,
    act=_note,
    epilog="""\
examples:
  {call} my 'the data of May'
  {call} ab12cd34 'loss spikes at step 300'
""",
)
ARCHIVE = CommandLine(
    name="archive",
    add=_add_archive,
    act=_archive,
    epilog="""\
examples:
  {call} my             sweepkit list and the page leave it out; --archived, and a box on the page, show it
  {call} my --undo

Nothing is removed: neither its files nor what is recorded of it.
""",
)
RENAME = CommandLine(name="rename", add=_add_rename, act=_rename)
EXPORT = CommandLine(
    name="export",
    add=_add_export,
    act=_export,
    epilog="""\
examples:
  {call} my --csv runs.csv
  {call} my --json | jq '.[0]'
  {call} my --history --parquet curves.parquet
""",
)
RM = CommandLine(
    name="rm",
    add=_add_rm,
    act=_rm,
)
CLEAN = CommandLine(
    name="clean",
    add=_add_clean,
    act=_clean,
    epilog="""\
examples:
  {call} --keep-best 3 --dry-run      how much there is in all sweeps
  {call} my --keep-best 1 --yes

Checkpoints are what the runs' folders hold under the usual names of weights: files such as *.pt, *.ckpt, *.safetensors,
*.h5, *.onnx, and folders named checkpoint*. Runs that are under way or waiting keep all they have.
""",
)
