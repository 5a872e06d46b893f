"""What a call is going to do, checked before anything is written."""

import difflib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweepkit.agents.identity import host_name
from sweepkit.agents.prepare import resolve_program
from sweepkit.environ import CARRIED_FROM_ENV
from sweepkit.errors import NoDocumentError, Problem, SpecError, StoreError
from sweepkit.extras import needed
from sweepkit.model.identity import SweepIdentity
from sweepkit.model.metric import BEST
from sweepkit.model.records import SweepRecord
from sweepkit.model.runs import Proposal
from sweepkit.paths import BASE_CONFIG, CONFIG_DIR, PROGRAM_DIR, SweepPaths, comes_with_us, database
from sweepkit.project import is_project, project_root
from sweepkit.runner.options import RunOptions
from sweepkit.runner.program_source import ProgramSource, child_path, files_of_program, module_file, read_program
from sweepkit.runner.relocation import other_version, relocated
from sweepkit.sweep_config.command import command_for, names_module, starts_no_program
from sweepkit.sweep_config.read import find_sweep, from_config, read_sweep, read_sweep_text
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.yaml import parse, read_text
from sweepkit.training.config.files import find_training_config

if TYPE_CHECKING:
    from sweepkit.search.define_by_run import SpaceFunction
    from sweepkit.store.sql import SqlStore

_T = TypeVar("_T")

TRAINER = PROGRAM_DIR / "trainer.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A valid sweep and where it runs.

    Args:
        spec: The sweep.
        program: The resolved program, "" when the command names none.
        trains: The program is our own trainer: its parameters are known, `base_config` applies.
        base_config: The training configuration, absolute.
        output_dir: Where everything is written, absolute.
        storage: URL or path of the record.
        cwd: Working directory of the attempts.
        joins: The recorded sweep that is worked along on; None for one that this call makes or continues.
        continues: The id of the recorded sweep that is gone on with; None for the newest of its family.
        function: The search space function of a sweep that names one (`sweepkit.search_space`).
        identity: Whose sweep it is; None where its name alone says so, for that comes from the record.
    """

    spec: SweepSpec
    program: str
    trains: bool
    base_config: Path
    output_dir: Path
    storage: str
    cwd: Path
    joins: SweepRecord | None = None
    continues: str | None = None
    function: "SpaceFunction | None" = None
    identity: SweepIdentity | None = None

    @property
    def folder(self) -> Path:
        """Return where the program lies; the working directory of one that is found from there."""
        return Path(self.program).parent if os.path.isabs(self.program) else self.cwd

    def files(self) -> list[str]:
        """Return the program's files and those of its local modules; what the command names when there is none."""
        if names_module(self.spec.command):
            path = [str(self.cwd), *child_path()]
            file = module_file(self.program, path=path)
            return [] if file is None else files_of_program(file, path=path)
        named = [self.program] if self.program else [word for word in self.spec.command if not word.startswith("$")]
        return sorted({file for word in named for file in files_of_program(Path(self.cwd, word))})

    def source(self) -> ProgramSource:
        """Return the source of the program and of the local modules that it imports; empty when it is not Python."""
        if names_module(self.spec.command):
            path = [str(self.cwd), *child_path()]
            file = module_file(self.program, path=path)
            return ProgramSource() if file is None else read_program(file, path=path)
        return read_program(self.program)

    def meta(self, sampler: str | None) -> dict[str, Any]:
        """Return what the record keeps of the plan, so that an agent elsewhere can work along."""
        return {
            "program": self.program,
            "source": self.spec.source,
            "sampler": sampler,
            "value": self.spec.extensions.value or BEST,
            "metrics": [{"name": item.name, "goal": item.goal.value} for item in self.spec.metrics],
            "directory": self.spec.directory,
            "cwd": str(self.cwd),
            "code_dir": str(PROGRAM_DIR),
            "base_config": str(self.base_config) if self.trains else None,
            "base_config_text": self.base_config.read_text(encoding="utf-8") if self.trains else None,
            **({} if self.identity is None else {"identity": self.identity.plain()}),
        }


def storage_of(options: RunOptions) -> str:
    """Return URL or path of the record that the options name."""
    return database(options.storage, options.output_dir)


def open_recorded(storage: str) -> "SqlStore":
    """Return the database at a place, which must be there: looking for a sweep must not make one.

    Raises:
        StoreError: It is not there, or cannot be used.
    """
    from sweepkit.store.open import open_store

    path = storage.removeprefix("sqlite:///") if storage.startswith("sqlite:///") else storage
    if "://" not in path and not Path(path).is_file():
        raise StoreError(
            f"--storage {path}: must be the record of a sweep, got no such file; --output-dir or --storage name it"
        )
    return open_store(storage)


def make_plan(options: RunOptions, sweep: str, *, searches: bool = True) -> Plan:
    """Read and check everything that a call needs; raises SpecError with every problem found.

    Args:
        options: How it is run.
        sweep: The sweep's YAML or its name.
        searches: As `plan_of`.
    """
    cwd = Path.cwd()
    file = find_sweep(sweep, cwd=cwd, config_dir=CONFIG_DIR)
    shown = os.path.relpath(file) if file.is_relative_to(cwd) else str(file)
    try:
        spec = read_sweep(file, shown_as=shown)
    except NoDocumentError:  # it takes seconds to find that of one that is too long: once is enough
        raise
    except SpecError as error:
        problems = [*error.problems, *_of_the_program(file, shown, cwd)]
        raise SpecError(sorted(problems, key=lambda item: item.line or 0)) from None
    plan = plan_of(options, spec, searches=searches)
    return _with_metric_notes(plan) if plan.trains else plan


def _of_the_program(file: Path, shown: str, cwd: Path) -> list[Problem]:
    """Return what is wrong with the program of a YAML that is wrong elsewhere too, so that all is said at once."""
    problems: list[Problem] = []
    try:
        text = read_text(file, where=shown)
        keys = {key: value for key, value in parse(text).data.items() if key in ("program", "command")}
        alone = {"method": "random", "parameters": {"x": {"value": 0}}, **keys}
        spec = replace(from_config(alone, source=shown, directory=str(file.absolute().parent)), text=text)
    except SpecError:  # which is said already
        return []
    if keys:
        _kept(problems, lambda: _check_command(spec), None)
        _kept(problems, lambda: _program(spec, cwd), "")
    return problems


def _kept(problems: list[Problem], check: Callable[[], _T], instead: _T) -> _T:
    """Return what a check returns; `instead` where it refuses, which is noted."""
    try:
        return check()
    except SpecError as error:
        problems += error.problems
        return instead


def _with_metric_notes(plan: Plan) -> Plan:
    """Return a plan for our trainer that warns of a metric which it does not report, or the wrong way up."""
    from sweepkit.training.config.training import read_training_config
    from sweepkit.training.metric_names import metric_notes

    notes = metric_notes(plan.spec.objectives, read_training_config(plan.base_config).task)
    said = [f"{plan.spec.source}: metric: {note}" for note in notes]
    return replace(plan, spec=replace(plan.spec, warnings=(*plan.spec.warnings, *said)))


def plan_of(options: RunOptions, spec: SweepSpec, *, searches: bool = True) -> Plan:
    """Check everything that a call needs of a sweep that was read; raises SpecError with every problem found.

    Args:
        options: How it is run.
        spec: The sweep.
        searches: An engine of ours proposes its configurations; False when a server elsewhere does (W&B).
    """
    from sweepkit.runner.space_function import load_space_function
    from sweepkit.search.make import make_engine

    cwd = Path.cwd()
    problems: list[Problem] = []
    _kept(problems, lambda: _check_command(spec), None)
    spec = _with_trainer(options, spec)
    program = _kept(problems, lambda: _program(spec, cwd), "")
    trains = bool(program) and os.path.realpath(program) == os.path.realpath(TRAINER)
    base_config = _base_config(options, spec)
    if trains:
        needed("train")
        notes = _kept(problems, lambda: _check_training(spec, base_config), list[str]())
        spec = replace(spec, warnings=(*spec.warnings, *notes))
    function = _kept(problems, lambda: load_space_function(spec, cwd=cwd), None) if searches else None
    if problems:
        raise SpecError(problems)
    if searches:
        engine = make_engine(spec, seed=0, sampler=options.sampler, function=function)  # refuses what no engine can do
        if function is not None:
            _check_function(function, engine.ask(0), base_config if trains else None)
    output_dir = Path(os.path.abspath(options.output_dir))
    return Plan(
        spec=spec,
        program=program,
        trains=trains,
        base_config=Path(os.path.abspath(base_config)),
        output_dir=output_dir,
        storage=storage_of(options),
        cwd=cwd,
        function=function,
        identity=_identity(spec, program, cwd),
    )


def _identity(spec: SweepSpec, program: str, cwd: Path) -> SweepIdentity:
    """Return whose sweep it is; our own programs are the same ones in every checkout and installation."""
    own = bool(spec.directory) and not comes_with_us(Path(spec.directory))
    root = project_root(cwd)
    folder = spec.directory if own else str(root) if is_project(root) else ""
    if program and os.path.realpath(program).startswith(os.path.realpath(PROGRAM_DIR) + os.sep):
        program = f"sweepkit:{Path(program).name}"
    elif program and not names_module(spec.command):
        program = os.path.realpath(program)
    file = cwd / spec.source
    return SweepIdentity(
        name=spec.name,
        folder=folder and os.path.realpath(folder),
        yaml=os.path.realpath(file) if own and file.is_file() else "",
        program=program,
        host=host_name(),
    )


def make_join_plan(options: RunOptions, record: SweepRecord) -> Plan:
    """Return the plan of an agent that works along on a recorded sweep: YAML, program and base config are the record's.

    A program of the other host's checkout is looked for in this one's, that of a project that was moved in the project
    of the working directory; a base configuration that is not here, or is
    another one, is written from the record beside the sweep's files when the sweep is run. One whose runs suggest their
    parameters themselves has no engine by this plan alone, see `studies.objective`.

    Raises:
        SpecError: The program is not there.
    """
    from sweepkit.runner.space_function import load_space_function

    record = relocated(record, Path.cwd(), carried_from=os.environ.get(CARRIED_FROM_ENV, ""))
    meta = record.meta
    spec = read_sweep_text(
        record.text, source=f"sweep {record.name}", directory=meta.get("directory") or "", default_name=record.family
    )
    program = str(meta.get("program") or "")
    spec = replace(spec, name=record.family)  # it is recorded under a name of its own where another project had this
    theirs = meta.get("code_dir")
    if theirs and not Path(program).is_file() and Path(program).is_relative_to(theirs):
        program = str(PROGRAM_DIR / Path(program).relative_to(theirs))
    by_file = any("${program}" in item for item in spec.command) and not names_module(spec.command)
    if by_file and not Path(program).is_file():
        rule = "the program of the sweep must be on this host, too"
        other = other_version(record, Path.cwd())
        hint = f"{other}: bring the same one" if other else "copy it there"
        raise SpecError([Problem(where=spec.source, key="program", rule=rule, got=repr(program), hint=hint)])
    output_dir = Path(os.path.abspath(options.output_dir))
    trains = meta.get("base_config_text") is not None
    base_config = Path(meta.get("base_config") or BASE_CONFIG)
    if trains and not _holds(base_config, meta["base_config_text"]):
        base_config = SweepPaths(output_dir, record.name).root / "base_config.yaml"
    cwd = Path(meta.get("cwd") or ".")
    if spec.suggests_itself:
        spec = replace(spec, warnings=())  # they are about a key that nobody wrote
    function = None if spec.suggests_itself else load_space_function(spec, cwd=cwd if cwd.is_dir() else Path.cwd())
    return Plan(
        spec=spec,
        program=program,
        trains=trains,
        base_config=base_config,
        output_dir=output_dir,
        storage=storage_of(options),
        cwd=cwd if cwd.is_dir() else Path.cwd(),
        joins=record,
        continues=record.sweep_id,
        function=function,
    )


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _base_config(options: RunOptions, spec: SweepSpec) -> Path:
    """Return the training configuration: the option's, else the sweep's own, else config/base_config.yaml."""
    if options.base_config is not None:
        return find_training_config(str(options.base_config)) or Path(options.base_config)
    return base_config_of(spec.extensions.base_config, spec.directory)


def base_config_of(name: str | None, directory: str) -> Path:
    """Return the training configuration that a YAML in `directory` names; None means config/base_config.yaml.

    A name that is no file stays as it is: whoever reads it says so.
    """
    if name is None:
        return BASE_CONFIG
    beside = Path(directory or ".", name)
    return beside if beside.is_file() else find_training_config(name) or beside


def _with_trainer(options: RunOptions, spec: SweepSpec) -> SweepSpec:
    """Return a sweep that names no program with our trainer as its program, when a base configuration is there.

    The guides' sweeps are so: what a training configuration belongs to is clear.
    """
    asked = options.base_config is not None or spec.extensions.base_config is not None
    needs = any("${program}" in item for item in spec.command) and not names_module(spec.command)
    if spec.program is not None or not needs or not (asked or _trainer_knows(spec)):
        return spec
    note = f"{spec.source}: no program: {TRAINER.name} is run, which takes these parameters"
    return replace(spec, program=TRAINER.name, warnings=(*spec.warnings, note))


def _trainer_knows(spec: SweepSpec) -> bool:
    """Return whether every parameter of a sweep is a field of the usual base configuration."""
    from sweepkit.training.config.training import route

    return bool(spec.space.parameters) and all(route(parameter.name) for parameter in spec.space.parameters)


def _program(spec: SweepSpec, cwd: Path) -> str:
    """Return the program's file; raises SpecError when the command needs one that is not there."""
    needs = any("${program}" in item for item in spec.command)
    if spec.program is None:
        if not needs:
            return ""
        raise SpecError(
            [
                Problem(
                    where=spec.source,
                    key="program",
                    rule="the command runs ${program}, so a program is needed",
                    hint="add `program: trainer.py`, or a `command:` without ${program}",
                )
            ]
        )
    if names_module(spec.command):
        return _module(spec, cwd)
    found = resolve_program(spec, cwd=cwd, code_dir=PROGRAM_DIR)
    if found is not None:
        return str(found)
    if not needs:
        return spec.program
    places = [place for place in (spec.directory, str(cwd), str(PROGRAM_DIR)) if place]
    other = next((what for place in places if (what := _no_file(Path(place, spec.program)))), "")
    near_it = str(Path(spec.directory or cwd, spec.program).parent)
    known = [path.name for place in [near_it, *places] for path in Path(place).glob("*.py")]
    near = difflib.get_close_matches(Path(spec.program).name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"looked in {', '.join(dict.fromkeys(places))}"
    if _is_module_here(spec.program, cwd):
        hint = f'for a module, command: ["${{env}}", "${{interpreter}}", -m, "${{program}}", {_arguments(spec)}]'
    elif command := command_for(spec.program):
        hint = f"a program is one file; for words after it use {command}"
    if other:
        hint = "name the program itself"
    rule = "must be a file beside the YAML file, in the working directory, or in code/"
    raise _refused_program(spec, rule, hint=hint, other=other)


def _refused_program(spec: SweepSpec, rule: str, *, hint: str, other: str = "") -> SpecError:
    """Return the error for a program that cannot be run; `other`: what is there under its name that is no file."""
    line = _line_of_key("program", spec.text)
    got = f"{spec.program!r}{f', which is {other}' if other else ''}"
    return SpecError([Problem(where=spec.source, line=line, key="program", rule=rule, got=got, hint=hint)])


def _line_of_key(key: str, text: str) -> int | None:
    """Return the line of a key at the top of a YAML file, None when no line shows it so plainly."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if line.startswith(f"{key}:")), None)


def _arguments(spec: SweepSpec) -> str:
    """Return the items of the sweep's command that hand its parameters over, as YAML writes them in a list."""
    said = [item for item in spec.command if item.startswith(("${args", "--"))]
    return ", ".join(f'"{item}"' for item in said or ["${args}"])


def _check_command(spec: SweepSpec) -> None:
    """Refuse a command that can start nothing: every run of it would fail."""
    fault = starts_no_program(spec.command, program=spec.program)
    if fault is None:
        return
    index, rule = fault
    hint = 'write command: ["${env}", "${interpreter}", "${program}", ' + _arguments(spec) + "]"
    key, line = f"command[{index}]", _line_of_key("command", spec.text)
    raise SpecError([Problem(where=spec.source, line=line, key=key, rule=rule, hint=hint)])


def _is_module_here(name: str, cwd: Path) -> bool:
    return _is_dotted(name) and module_file(name, path=[str(cwd)]) is not None


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _module(spec: SweepSpec, cwd: Path) -> str:
    """Return the name of the module that the command runs by `-m`; raises SpecError when it is none.

    Another interpreter than ours may have modules that are not seen here.
    """
    name = spec.program or ""
    rule = "the command runs `-m ${program}`, so it must be the name of a module"
    if not _is_dotted(name) or name.endswith(".py"):
        inside = Path(name).with_suffix("")
        parts = inside.relative_to(cwd).parts if inside.is_absolute() and inside.is_relative_to(cwd) else inside.parts
        dotted_name = ".".join(parts)
        known = _is_dotted(dotted_name) and module_file(dotted_name, path=[str(cwd)]) is not None
        raise _refused_program(spec, rule, hint=f"write {dotted_name}" if known else "or leave out -m")
    if "${interpreter}" in spec.command and module_file(name, path=[str(cwd), *child_path()]) is None:
        hint = f"{cwd} has none of that name, and no package that is installed has"
        if spec.directory and module_file(name, path=[spec.directory]) is not None:
            hint = f"it is in {spec.directory}: run this there, as Python looks modules up in the working directory"
        raise _refused_program(spec, rule, hint=hint)
    return name


def _no_file(path: Path) -> str:
    """Return what is there under that name that is no file, "" when there is a file or nothing."""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}
    try:
        return kinds.get(stat.S_IFMT(path.stat().st_mode), "")
    except OSError:
        return ""


def _check_training(spec: SweepSpec, base_config: Path) -> list[str]:
    """Refuse parameters and values that our trainer does not take, and a wrong base configuration; return notes."""
    from sweepkit.training.config.training import governed, read_training_config, unknown_parameters
    from sweepkit.training.limits import CutLength, beyond_limits

    notes: list[str] = []
    config = read_training_config(base_config, notes)
    problems = unknown_parameters([parameter.name for parameter in spec.space.parameters], type(config))
    beyond = [] if problems else beyond_limits(spec.space, config)
    notes += [str(item) for item in beyond if isinstance(item, CutLength)]
    problems = problems or [item for item in beyond if not isinstance(item, CutLength)]
    for parameter in spec.space.parameters:
        said = governed([parameter.name], type(config))
        if said and parameter.distribution.support_size() != 1:
            rule = "changes nothing here, so searching it is in vain"
            problems.append(Problem(key=parameter.name, rule=rule, hint=said[0].partition("left out: ")[2]))
        notes += said
    if problems:
        raise SpecError([replace(item, where=spec.source, line=_line_of(item.key, spec.text)) for item in problems])
    return notes


def _check_function(function: "SpaceFunction", first: Any, base_config: Path | None) -> None:
    """Refuse a search space function whose first configuration our trainer (given a base configuration) cannot take."""
    if base_config is None or not isinstance(first, Proposal):
        return
    from sweepkit.text.nested_tables import flattened
    from sweepkit.training.config.training import read_training_config, unknown_parameters

    problems = unknown_parameters(list(flattened(first.params)), type(read_training_config(base_config)))
    if problems:
        raise SpecError([replace(item, where=f"{function.file}: {function.name}") for item in problems])


def _line_of(parameter: str, text: str) -> int | None:
    """Return the first line after `parameters:` that has the key, None when no line shows it so plainly."""
    key = re.compile(rf"(?:^|[\s{{,])[\"']?{re.escape(parameter)}[\"']?\s*:")
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        inside = inside or line.startswith("parameters:")
        if inside and key.search(line.removeprefix("parameters:")):
            return number
    return None
