"""The sub-commands around sweeps: init, doctor, schema, completion."""

import argparse
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from sweepkit.called import place_words, typed
from sweepkit.cli.options import add_places
from sweepkit.cli.overview import SUMMARIES
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.errors import SweepKitError
from sweepkit.text.shown import say

_SHELLS = ("bash", "zsh", "tcsh")


def _add_init(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="your program; its options and metrics are read")
    parser.add_argument("--from", dest="old", metavar="NAME", help="begin around the best of a recorded sweep")
    parser.add_argument("--name", metavar="NAME", help="of the new sweep (default: the file's; with --from NAME-next)")
    parser.add_argument("--file", type=Path, metavar="FILE", help="what is written (default: sweep.yaml, NAME.yaml)")
    add_places(parser, output_dir)


def _init(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.files import write_atomically
    from sweepkit.reports.files import relative

    if given.program and given.old:
        parser.error("PROGRAM and --from exclude each other: the old sweep has its program")
    file, text = _followed(given) if given.old else _drafted(given)
    if file.exists():
        raise SweepKitError(f"{relative(file)}: must not be there yet, got a file; name another one by --file")
    write_atomically(file, text)
    place = place_words(given.output_dir, given.storage)
    say(f"{relative(file)}: look at it, then: {typed('run', relative(file), '--dry-run', *place)}")
    return 0


def _drafted(given: argparse.Namespace) -> tuple[Path, str]:
    from sweepkit.housekeeping.draft import draft_of

    file = given.file or Path("sweep.yaml")
    program = None if given.program is None else Path(given.program)
    if program is not None and not program.is_file():
        raise SweepKitError(f"{program}: must be your program's file, got none there")
    named = f"name: {json.dumps(given.name, ensure_ascii=False)}\n" if given.name else ""
    return file, named + draft_of(program, file.absolute().parent)


def _followed(given: argparse.Namespace) -> tuple[Path, str]:
    from sweepkit.housekeeping.find import SweepPlace
    from sweepkit.housekeeping.follow_up import follow_up
    from sweepkit.paths import slug

    place = SweepPlace(output_dir=given.output_dir, storage=given.storage)
    beside = (given.file or Path.cwd() / "sweep.yaml").absolute().parent
    name, text = follow_up(place, given.old, name=given.name, beside=beside)
    return given.file or Path(f"{slug(name)}.yaml"), text


def _add_doctor(parser: Parser, output_dir: Path | None) -> None:
    add_places(parser, output_dir)
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _doctor(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.housekeeping.doctor import Health, findings, is_default
    from sweepkit.housekeeping.find import SweepPlace

    place = SweepPlace(output_dir=given.output_dir, storage=given.storage)
    wrong = False
    for item in findings(place, os.environ, asked=not is_default(given.output_dir)):
        wrong = wrong or item.health is Health.WRONG
        if given.json:
            said = {"part": item.part, "health": item.health, "text": item.text, "remedy": item.remedy}
            say(json.dumps(said, ensure_ascii=False), flush=True)
            continue
        say(f"{item.health:<5}  {item.part}: {item.text}", flush=True)
        if item.remedy:
            say(f"       → {item.remedy}")
    return 1 if wrong else 0


def _schema(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.sweep_config.schema import sweep_schema

    say(json.dumps(sweep_schema(), ensure_ascii=False, indent=1))
    return 0


def completion(commands: Callable[[], Iterable[CommandLine]]) -> CommandLine:
    """Return the command that prints a shell's completion of all commands."""

    def add(parser: Parser, output_dir: Path | None) -> None:
        parser.add_argument("shell", choices=_SHELLS, help="your shell")

    def act(_: Parser, given: argparse.Namespace) -> int:
        import shtab

        say(shtab.complete(_tree(commands()), shell=given.shell))
        return 0

    return CommandLine(
        name="completion",
        add=add,
        act=act,
        epilog="""\
examples:
  eval "$({call} bash)"                           in ~/.bashrc
  {call} zsh > ~/.zfunc/_sweepkit                 with fpath+=~/.zfunc before compinit in ~/.zshrc
""",
    )


def _tree(commands: Iterable[CommandLine]) -> argparse.ArgumentParser:
    """Return one parser with every command below it; what names a file or a folder is completed as one."""
    import shtab

    root = Parser(prog="sweepkit")
    below = root.add_subparsers()
    for command in commands:
        parser = below.add_parser(command.name, help=SUMMARIES[command.name])
        command.add(parser, Path("outputs"))
        for action in parser._actions:
            names = str(action.metavar or "")
            if "FILE" in names or "PROGRAM" in names:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif "DIR" in names:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return root


INIT = CommandLine(
    name="init",
    add=_add_init,
    act=_init,
    epilog="""\
examples:
  {call} train.py               sweep.yaml, with what train.py's options and metrics suggest
  {call} --from my              my-next.yaml: ranges around the three best configurations of the sweep my
""",
)
DOCTOR = CommandLine(
    name="doctor",
    add=_add_doctor,
    act=_doctor,
    epilog="exit codes: 0 nothing is in the way; 1 something is; 2 wrong input\n",
)
SCHEMA = CommandLine(
    name="schema",
    add=lambda *_: None,
    act=_schema,
    epilog="""\
examples:
  {call} > sweep.schema.json

An editor that knows YAML takes it by the first line of a sweep:
  # yaml-language-server: $schema=sweep.schema.json
""",
)
