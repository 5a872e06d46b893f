"""Read a W&B sweep from YAML (or from a dictionary) into a `SweepSpec`, reporting every problem at once.

What W&B's schema accepts is accepted, what it refuses is refused, except the rows of docs/wandb_differences.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sweepkit.errors import Problem, SpecError
from sweepkit.model.metric import BEST
from sweepkit.model.numbers import fits_float
from sweepkit.model.records import SweepRecord, metric_of
from sweepkit.model.space import Space
from sweepkit.paths import first_there
from sweepkit.sweep_config import sections
from sweepkit.sweep_config.checker import Checker, described
from sweepkit.sweep_config.command import MACROS, command_warnings, conditional_warnings
from sweepkit.sweep_config.conditions import read_conditions
from sweepkit.sweep_config.fields import ELSEWHERE, TEXT, Field, chosen, whole
from sweepkit.sweep_config.first_points import check_first_points
from sweepkit.sweep_config.parameters import read_space
from sweepkit.sweep_config.run_length import warn_of_length
from sweepkit.sweep_config.sampler import LEARN_COST, NEED_A_METRIC, NEED_ALL, ONE_METRIC, WITHOUT_ALL
from sweepkit.sweep_config.seeds_section import check_seeds
from sweepkit.sweep_config.stopping_section import read_early_terminate
from sweepkit.sweep_config.sweep import (
    DEFAULT_COMMAND,
    EarlyTerminate,
    Extensions,
    Method,
    Scheduler,
    SweepSpec,
)
from sweepkit.text.yaml import MAX_DEPTH, Document, KeyPath, dotted, parse, read_text

_MOST_BITS = 14_000  # Python writes no int of more than 4300 digits
_SUFFIXES = (".yaml", ".yml")
TEXT_KEYS = ("name", "description", "program", "entity", "project", "apiVersion", "job", "image_uri")
SWEEP: Mapping[str, Field] = {
    **dict.fromkeys(TEXT_KEYS, TEXT),
    "kind": chosen(("sweep",)),
    "method": Field(choices=tuple(Method), meaning="How configurations are chosen."),
    "run_cap": whole(1, "At most this many runs, over all agents."),
    **dict.fromkeys(
        (
            *("parameters", "metric", "metrics", "early_terminate", "command", "controller", "scheduler"),
            "sweepkit",
        ),
        ELSEWHERE,
    ),
}
_METHODS_OF_ENGINE: Mapping[str, tuple[Method, ...]] = {
    "wandb": (Method.GRID, Method.RANDOM, Method.BAYES),
    "optuna": (Method.CUSTOM,),
    "ax": (Method.CUSTOM,),
}


def read_sweep(path: Path, *, shown_as: str = "") -> SweepSpec:
    """Read a sweep from a YAML file.

    Args:
        path: The file.
        shown_as: The file as the user named it, for messages; the path itself by default.

    Returns:
        The sweep; its name is the file's stem unless the YAML gives one.

    Raises:
        SpecError: The file cannot be read, or all that is wrong with it.
    """
    where = shown_as or str(path)
    text = read_text(path, where=where)
    directory = str(path.resolve().parent)
    return read_sweep_text(text, source=where, directory=directory, default_name=path.stem)


def read_sweep_text(text: str, *, source: str = "", directory: str = "", default_name: str = "sweep") -> SweepSpec:
    """Read a sweep from YAML text.

    Args:
        text: The YAML.
        source: Where it came from, for messages.
        directory: Absolute folder that a relative `program` is looked up in first; "" for none.
        default_name: The sweep's name unless the YAML gives one.

    Raises:
        SpecError: All that is wrong with it.
    """
    document = parse(text, where=source)
    return _read(document, _Origin(text=text, source=source, directory=directory, default_name=default_name))


def read_recorded(sweep: SweepRecord, *, source: str = "", directory: str = "") -> SweepSpec:
    """Read the YAML of a recorded sweep, whatever it holds, as `read_accepted` does.

    Args:
        sweep: The sweep; its metric counts where the YAML's cannot be read.
        source: Where it came from, for messages; its name by default.
        directory: As of `read_sweep_text`.
    """
    found = read_accepted(sweep.text, source=source or sweep.name, directory=directory, default_name=sweep.family)
    return found if found.objectives else replace(found, metric=metric_of(sweep))


def read_accepted(text: str, *, source: str = "", directory: str = "", default_name: str = "sweep") -> SweepSpec:
    r"""Read a YAML that a sweepkit has run once, whatever this version thinks of it.

    What is refused now (rules are added, files are damaged) is left out and stands in `refused`, so that such a sweep
    can be listed, shown, analysed and removed all the same. To run one, `read_sweep_text` it; the arguments are its.

    >>> read_accepted("method: grid\nparameters: {lr: {values: [1, 2]}}\nrun_cap: 0\n", source="s").refused
    ('s:3: run_cap: must be at least 1, got 0',)
    """
    origin = _Origin(text=text, source=source, directory=directory, default_name=default_name)
    try:
        return _found(parse(text, where=source), origin)[1]
    except SpecError as error:
        return replace(_found(Document(data={}), origin)[1], refused=tuple(map(str, error.problems)))


def from_config(
    config: Mapping[str, Any], *, source: str = "", directory: str = "", default_name: str = "sweep"
) -> SweepSpec:
    """Read a sweep from a dictionary such as `wandb.sweep` takes.

    Tuples count as lists. The text of the sweep is the dictionary as JSON, which is YAML too.

    Raises:
        SpecError: All that is wrong with it.
    """
    problems: list[Problem] = []
    data = _plain(config, (), source, problems)
    if not isinstance(data, dict):
        rule = "a sweep must be a mapping of keys to values"
        raise SpecError([Problem(where=source, rule=rule, got=type(config).__name__)])
    if problems:
        raise SpecError(problems)
    text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    origin = _Origin(text=text, source=source, directory=directory, default_name=default_name)
    return _read(Document(data=data), origin)


def find_sweep(name_or_path: str, *, cwd: Path, config_dir: Path) -> Path:
    """Return the file of a sweep.

    Args:
        name_or_path: A path, absolute or relative to `cwd`; else a bare name, with or without its suffix, of a file
            in `config_dir/sweep`.
        cwd: The working directory.
        config_dir: The folder whose folder `sweep` holds the sweeps.

    Raises:
        SpecError: There is no such file; the nearest existing names are said.
    """
    given = cwd / name_or_path
    folder = config_dir / "sweep"
    candidates = [given]
    candidates += [given.with_name(given.name + suffix) for suffix in _SUFFIXES] if given.name else []
    if name_or_path == Path(name_or_path).name:  # a bare name
        candidates += [folder / name_or_path, *(folder / (name_or_path + suffix) for suffix in _SUFFIXES)]
    if (found := first_there(candidates)) is not None:
        return found
    if kind := _special(given):
        raise SpecError([Problem(where=name_or_path, rule="must be a file", got=kind, hint="write the sweep into one")])
    stem = given.name.removesuffix(".yaml").removesuffix(".yml")
    existing = sorted({file.stem for file in folder.glob("*") if file.suffix in _SUFFIXES and file.is_file()})
    near = get_close_matches(stem, existing, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"known sweeps: {', '.join(existing)}" if existing else f"there is no sweep in {folder}"
    rule = f"no such sweep, neither as a file nor in {folder}"
    raise SpecError([Problem(where=name_or_path, rule=rule, hint=hint)])


def _special(path: Path) -> str:
    """Return what a path is that nothing can be read from twice, "" for a file, a folder and nothing."""
    try:
        return "a named pipe" if path.is_fifo() else "a socket" if path.is_socket() else ""
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Where a sweep comes from."""

    text: str
    source: str
    directory: str
    default_name: str


def _plain(value: Any, path: KeyPath, where: str, problems: list[Problem]) -> Any:
    """Return a value made of JSON's types only, as a copy; what is none is noted."""
    if len(path) > MAX_DEPTH:
        problems.append(Problem(where=where, key=dotted(path[:3]), rule=f"nesting goes deeper than {MAX_DEPTH} levels"))
        return None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                rule = "a key must be a string"
                problems.append(Problem(where=where, key=dotted(path), rule=rule, got=repr(key)))
        return {key: _plain(item, (*path, key), where, problems) for key, item in value.items() if isinstance(key, str)}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index), where, problems) for index, item in enumerate(value)]
    if _in_json(value):
        return value
    got = f"a value of type {type(value).__name__}" if isinstance(value, int) else f"{value!r} ({type(value).__name__})"
    problems.append(Problem(where=where, key=dotted(path), rule="must be a value that JSON has", got=got))
    return None


def _in_json(value: Any) -> bool:
    """Return whether a scalar is one that JSON has, and that can be written as UTF-8 text."""
    if isinstance(value, str):
        return type(value) is str and not any("\ud800" <= character <= "\udfff" for character in value)
    if type(value) is int:
        return value.bit_length() < _MOST_BITS
    return value is None or type(value) is bool or (type(value) is float and fits_float(value))


def _read(document: Document, origin: _Origin) -> SweepSpec:
    """Read a sweep; raise everything that is wrong at once."""
    check, found = _found(document, origin)
    if problems := check.problems():
        raise SpecError(problems)
    return found


def _found(document: Document, origin: _Origin) -> tuple[Checker, SweepSpec]:
    """Read all sections, then the rules between them; return what is wrong, and the sweep without what is refused."""
    check = Checker(document, where=origin.source)
    data = document.data
    _refuse_macros_as_keys(check, data)
    found = check.section({key: data[key] for key in data if key in SWEEP or key not in MACROS}, (), SWEEP, "a sweep")
    method = _method(check, data, found)
    metric = sections.read_metric(check, data["metric"], ("metric",)) if "metric" in data else None
    metrics = sections.read_metrics(check, data["metrics"], ("metrics",)) if "metrics" in data else ()
    scheduler = sections.read_scheduler(check, data["scheduler"], ("scheduler",)) if "scheduler" in data else None
    controller = sections.read_controller(check, data["controller"], ("controller",)) if "controller" in data else None
    extensions = sections.read_extensions(check, data.get("sweepkit"), ("sweepkit",))
    early_terminate = _early_terminate(check, data, extensions)
    space = _space(check, data, method, extensions)
    command = _command(check, data, space, extensions)
    _check_method(check, data, method, scheduler)
    _check_objective(check, data, method, scheduler, extensions)
    check_seeds(check, data, space, extensions)
    check_first_points(check, space, extensions)
    _warn_of_gpus(check, extensions)
    warn_of_length(check, space, early_terminate, ours=extensions.early_terminate is not None)
    _warn_of_readers(check)
    return check, SweepSpec(
        name=found.get("name") or origin.default_name,
        method=method or Method.CUSTOM,  # a missing method is a problem
        space=space,
        **{key: found.get(key) for key in ("program", "description", "entity", "project")},
        command=command,
        metric=None if metric is None else replace(metric, value=extensions.value or BEST),
        metrics=metrics,
        early_terminate=early_terminate,
        run_cap=found.get("run_cap"),
        controller=controller,
        scheduler=scheduler,
        extensions=extensions,
        source=origin.source,
        directory=origin.directory,
        text=origin.text,
        wandb_config=_wandb_config(_meant(data, (), check.taken)),
        warnings=tuple(check.warnings),
        refused=tuple(map(str, check.problems())),
        reader_note=_reader_note(check),
    )


def _warn_of_readers(check: Checker) -> None:
    """Warn of every scalar that W&B's reader takes for something else, where its meaning was not taken."""
    for path in check.document.yaml11:
        if path[:1] != ("sweepkit",) and path not in check.taken and path not in check.warned:
            check.warn_of_readers(path, _at(check.document.data, path))
    for path, theirs in check.document.keys11.items():
        if path[:1] != ("sweepkit",):
            check.warn(
                path, f"the key {path[-1]} is a string here, W&B's reader takes it for {described(theirs)}; quote it"
            )


def _at(data: Any, path: KeyPath) -> Any:
    for key in path:
        data = data[key]
    return data


def _meant(value: Any, path: KeyPath, taken: Mapping[KeyPath, Any]) -> Any:
    """Return a copy of a document in which each value that was taken as W&B's reader reads it is that one."""
    if isinstance(value, dict):
        return {key: _meant(item, (*path, key), taken) for key, item in value.items()}
    if isinstance(value, list):
        return [_meant(item, (*path, index), taken) for index, item in enumerate(value)]
    return taken.get(path, value)


def _reader_note(check: Checker) -> str:
    """Return a sentence about the numbers that W&B's reader takes for strings, "" when there are none."""
    if not check.numbers_here:
        return ""
    path, text = next(iter(check.numbers_here.items()))
    line = check.document.line(path)
    place = dotted(path) if line is None else f"line {line}"
    others = len(check.numbers_here) - 1
    more = f" (and {others} more)" if others else ""
    better = re.sub(r"^([-+]?)\.", r"\g<1>0.", re.sub(r"(?i)^([-+]?\d+)e", r"\1.0e", text))
    better = re.sub(r"(?i)e(\d)", r"e+\1", better)
    return f"{text} in {place}{more} is a number here, a string to W&B's own reader; write {better} for a file of both"


def _refuse_macros_as_keys(check: Checker, data: Mapping[str, Any]) -> None:
    """Refuse `args_no_hyphens: true` and its like, and say where the macro belongs."""
    for key in data:
        if key in MACROS and key not in SWEEP:
            items = [
                f"${{{key}}}" if item == "${args}" and key.startswith("args") else item for item in DEFAULT_COMMAND
            ]
            hint = f"it is a macro of the command: write command: {json.dumps(items)}"
            check.refuse((key,), f"{key} is not a key of a sweep", got=data[key], hint=hint)


def _wandb_config(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dictionary for W&B: without our key, and with the one value that its schema wants as a string."""
    config = {key: value for key, value in data.items() if key != "sweepkit"}
    for key, holder in (("metric", [config.get("metric")]), ("metrics", config.get("metrics"))):
        if isinstance(holder, list) and any(isinstance(item, dict) for item in holder):
            mended = [_mend_metric(item) for item in holder]
            config[key] = mended[0] if key == "metric" else mended
    return config


def _mend_metric(metric: Any) -> Any:
    if isinstance(metric, dict) and metric.get("impute_while_running") is False:
        return {**metric, "impute_while_running": "false"}
    return metric


def _method(check: Checker, data: Mapping[str, Any], found: Mapping[str, Any]) -> Method | None:
    if "method" not in data:
        check.refuse((), "a sweep needs a method", hint=f"add method: {', '.join(Method)}")
        return None
    return Method(found["method"]) if "method" in found else None


def _space(check: Checker, data: Mapping[str, Any], method: Method | None, extensions: Extensions) -> Space:
    """Read the parameters, which only a search space that is a program can stand in for, and their conditions."""
    tree = check.mapping(data, (), "parameters")
    scheduler, own = data.get("scheduler"), data.get("sweepkit")
    has_search_space = isinstance(scheduler, dict) and bool(scheduler.get("search_space"))
    space = Space(parameters=())
    if tree is not None:
        space = read_space(check, tree, ("parameters",), grid=method is Method.GRID)
    elif "parameters" not in data and not has_search_space and extensions.search_space is None:
        hint = "write parameters: {lr: {min: 0.0001, max: 0.1}}, or name a function under sweepkit.search_space"
        check.refuse((), "a sweep needs parameters", hint=hint)
    conditions = own.get("conditions") if isinstance(own, dict) else None
    place: KeyPath = ("sweepkit", "conditions")
    if conditions is not None and extensions.search_space is not None:
        rule = "conditions and search_space cannot both be given"
        check.refuse(place, rule, hint="the function itself decides what it suggests")
        return space
    space = read_conditions(check, conditions, place, space, grid=method is Method.GRID, tree=tree)
    _check_conditional(check, method, space, extensions)
    return space


def _check_conditional(check: Checker, method: Method | None, space: Space, extensions: Extensions) -> None:
    """Refuse what cannot search a space whose parameters are not in every run; say what searches instead."""
    sampler = extensions.sampler.name if extensions.sampler else ""
    function = extensions.search_space is not None and sampler in (*NEED_ALL, "gp", "nsga")
    if function or (space.conditions and sampler in NEED_ALL):
        rule = f"{sampler} needs all parameters in every run, and here some runs lack some"
        check.refuse(("sweepkit", "sampler"), rule, got=sampler, hint=WITHOUT_ALL)
    if extensions.search_space is not None:
        place: KeyPath = ("sweepkit", "search_space")
        for parameter in space.parameters:
            if parameter.distribution.support_size() != 1:
                rule = f"beside a search_space function parameters are fixed, but {parameter.name} varies"
                check.refuse(("parameters", *parameter.path), rule, hint="write value:, or suggest it in the function")
        if method is Method.GRID:
            check.refuse(place, "a grid cannot enumerate a function", hint="use method: bayes or random")
        check.warn(place, "wandb.ai does not know search spaces that are functions: this sweep runs here only")
        if method is Method.BAYES and extensions.sampler is None:
            check.warn(("method",), "a Gaussian process needs to know all parameters beforehand: TPE searches instead")


def _warn_of_gpus(check: Checker, extensions: Extensions) -> None:
    """Say what sharing GPUs means where a run has none, or several."""
    each, place = extensions.gpus_per_run, ("sweepkit", "runs_per_gpu")
    if extensions.runs_per_gpu is None or each in (None, 1):
        return
    if each == 0:
        check.warn(place, "counts for nothing, as gpus_per_run: 0 hides all GPUs from runs; leave one of them out")
    elif extensions.runs_per_gpu != 1:
        check.warn(place, f"runs share groups of {each} GPUs, as gpus_per_run says: each of them is on all {each}")


def _command(check: Checker, data: Mapping[str, Any], space: Space, extensions: Extensions) -> tuple[str, ...]:
    """Read the command; its items become strings as W&B makes them, and an empty one is W&B's default."""
    given = data.get("command", [])
    if not isinstance(given, list):
        hint = "write each word as an item of a list" if isinstance(given, str) else ""
        check.refuse(("command",), "must be a list", got=given, hint=hint)
        return DEFAULT_COMMAND
    given = [_command_item(check, index, item) for index, item in enumerate(given)]
    for index, item in enumerate(given):
        if item is None or isinstance(item, list | dict):
            check.warn(("command", index), f"the item is not a string and reaches the program as {str(item)!r}")
    command = tuple(str(item) for item in given) or DEFAULT_COMMAND
    # Without parameters here a search_space names them, and nothing can be said about ${name}.
    names = sorted({parameter.path[0] for parameter in space.parameters} | {p.name for p in space.parameters})
    if names and extensions.seeds_per_run is not None and extensions.seed_parameter is not None:
        names.append(extensions.seed_parameter)
    if names and extensions.search_space is None:
        for index, sentence in command_warnings(command, names):
            check.warn(("command", index), sentence)
    for index, sentence in conditional_warnings(command, [".".join(item.path) for item in space.conditions]):
        check.warn(("command", index), sentence)
    return command


def _command_item(check: Checker, index: int, item: Any) -> Any:
    """Return an item of the command as W&B's reader reads it, and warn of what nobody may have meant."""
    path: KeyPath = ("command", index)
    theirs = check.at_wandb(path, item, (str, int, float, bool))
    if isinstance(item, str) and not isinstance(theirs, str):
        check.warn(
            path, f"{item} reaches the program as {theirs}, as at W&B; quote it to hand it over as it is written"
        )
    return theirs


def _early_terminate(check: Checker, data: Mapping[str, Any], extensions: Extensions) -> EarlyTerminate | None:
    """Return the one stopping rule in force."""
    rule: EarlyTerminate | None = None
    if "early_terminate" in data:
        path = ("early_terminate",)
        rule = read_early_terminate(check, data["early_terminate"], path, ("hyperband",))
        if "scheduler" in data:
            check.refuse(path, "early_terminate and scheduler cannot both be given", hint="the scheduler stops runs")
        if extensions.early_terminate is not None:
            check.refuse(path, "early_terminate and sweepkit.early_terminate cannot both be given", hint="keep one")
    rule = rule or extensions.early_terminate
    if rule is not None and "metric" not in data:
        place: KeyPath = ("early_terminate",) if "early_terminate" in data else ("sweepkit", "early_terminate")
        several = "leave it out: runs of a sweep with several metrics are not ended early"
        hint = several if "metrics" in data else "add metric: {name: …, goal: …}"
        check.refuse(place, "early_terminate needs a metric", hint=hint)
    named = "early_terminate" in data or (isinstance(own := data.get("sweepkit"), dict) and "early_terminate" in own)
    if extensions.audit_stopped is not None and (not named or (rule is not None and rule.type == "none")):
        hint = "add early_terminate: auto under `sweepkit:`, or leave it out"
        text = "audit_stopped needs a stopping rule: it finishes runs that the rule would end"
        check.refuse(("sweepkit", "audit_stopped"), text, got=extensions.audit_stopped, hint=hint)
    return rule


def _check_method(check: Checker, data: Mapping[str, Any], method: Method | None, scheduler: Scheduler | None) -> None:
    """Refuse methods, engines and controllers that do not go together."""
    if method is Method.CUSTOM and "scheduler" not in data:
        rule = "method custom needs a scheduler"
        check.refuse(("method",), rule, got=method.value, hint="add scheduler: {engine: optuna}")
    if scheduler is not None and method is not None and method not in _METHODS_OF_ENGINE[scheduler.engine]:
        allowed = " or ".join(_METHODS_OF_ENGINE[scheduler.engine])
        check.refuse(("scheduler", "engine"), f"engine {scheduler.engine} needs method {allowed}", got=method.value)
    controller = data.get("controller")
    if "scheduler" in data and isinstance(controller, dict) and controller.get("type") == "local":
        check.refuse(("controller",), "controller local and scheduler cannot both be given", hint="keep the scheduler")


def _check_objective(
    check: Checker,
    data: Mapping[str, Any],
    method: Method | None,
    scheduler: Scheduler | None,
    extensions: Extensions,
) -> None:
    """Refuse objectives that are missing, or that the method cannot take."""
    if "metric" in data and "metrics" in data:
        check.refuse(("metrics",), "metric and metrics cannot both be given", hint="metrics is for several objectives")
    elif "metrics" in data and method not in (None, Method.CUSTOM):
        check.refuse(("metrics",), f"metrics needs method custom, the method is {method}", hint="use metric")
    has_objective = "metric" in data or "metrics" in data
    add = "add metric: {name: …, goal: …}"
    if method is Method.BAYES and "metric" not in data:
        check.refuse(("method",), "method bayes needs a metric", got=method.value, hint=add)
    elif method is Method.CUSTOM and scheduler is not None and scheduler.source is None and not has_objective:
        check.refuse(("method",), "method custom needs a metric or metrics", got=method.value, hint=add)
    sampler = extensions.sampler.name if extensions.sampler else None
    if sampler is not None and sampler != "grid" and method is Method.GRID:
        check.refuse(("sweepkit", "sampler"), "a grid has no sampler", got=sampler, hint="use method: random or bayes")
    elif sampler in NEED_A_METRIC and not has_objective:
        check.refuse(("sweepkit", "sampler"), f"sampler {sampler} needs a metric", got=sampler, hint=add)
    elif extensions.cost is not None and (sampler or "auto") not in LEARN_COST:
        hint = f"use sampler {' or '.join(LEARN_COST)}"
        check.refuse(("sweepkit", "cost"), f"sampler {sampler} learns no durations", got=extensions.cost, hint=hint)
    elif extensions.cost is not None and sampler is None and method is not Method.BAYES:
        rule = f"method {method} learns no durations"
        check.refuse(("sweepkit", "cost"), rule, got=extensions.cost, hint="use method: bayes")
    elif extensions.cost is not None and "metric" not in data:
        check.refuse(("sweepkit", "cost"), "cost needs one metric", got=extensions.cost, hint=add)
    elif sampler in ONE_METRIC and "metrics" in data:
        hint = "use tpe, nsga, gp, random, qmc or auto"
        check.refuse(("sweepkit", "sampler"), f"sampler {sampler} optimizes one metric only", got=sampler, hint=hint)
