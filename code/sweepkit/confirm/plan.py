"""What a confirmation is going to run: which configurations, with which seeds, as which sweep. Nothing is written here.

All of it is kept with the confirmation's own sweep in the record, so that the same command goes on with the same race
whatever became of the sweep in between.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from sweepkit.confirm.options import ConfirmOptions
from sweepkit.confirm.sweep_text import confirming_text, own_seed_path, passes, passes_all
from sweepkit.errors import ConflictError, SweepKitError
from sweepkit.model.ranked import RankedConfiguration
from sweepkit.model.records import CONFIRMATION_KEY, RunRecord, SweepRecord
from sweepkit.model.seeds import is_seed, parameter_path, seed_of_run, with_value, without_value
from sweepkit.model.space import Path
from sweepkit.paths import SweepPaths
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import Plan, make_join_plan
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.sweep_config.sweep import SweepSpec

if TYPE_CHECKING:
    from sweepkit.stats.race import Race
    from sweepkit.store.base import Store

_FIRST_SEED = 1001
_BUDGET = 15  # runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A race over configurations of a sweep.

    Args:
        sweep: Name of the sweep.
        metric, goal: What is compared.
        candidates: Who races.
        everyone: The scores at full budget of each of the sweep's configurations.
        configurations: How many the sweep tried that have a value.
        budget: Runs at most.
        rounds: For each round how many go on, and how many seeds each of them runs.
        seeds: Fresh ones, in the order in which every configuration gets them.
        seed_path: The parameter that holds the seed; (): the environment's SEED alone.
        rope: Configurations closer than this are equal; None: none are.
        model: The model that named candidates, in words; "".
        fixed: Parameters that are the same for all runs, by dotted name: those of a hold-out set.
        of: Name of the confirmation that a hold-out look belongs to; "" for a confirmation.
    """

    sweep: str
    metric: str
    goal: str
    candidates: tuple[RankedConfiguration, ...]
    everyone: tuple[tuple[float, ...], ...]
    configurations: int
    budget: int
    rounds: tuple[tuple[int, int], ...]
    seeds: tuple[int, ...]
    seed_path: Path
    rope: float | None = None
    model: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""

    @property
    def sign(self) -> float:
        """Return what a score is multiplied by so that more is better."""
        return 1.0 if self.goal == "maximize" else -1.0

    def race(self, seed: int) -> "Race":
        """Return the rules of the race.

        Args:
            seed: Of its draws.
        """
        from sweepkit.stats.race import Race, Round

        return Race(
            sweep=tuple(tuple(self.sign * score for score in item.scores) for item in self.candidates),
            rounds=tuple(Round(keep=keep, each=each) for keep, each in self.rounds),
            everyone=tuple(tuple(self.sign * score for score in scores) for scores in self.everyone),
            rope=self.rope,
            seed=seed,
        )

    def total(self) -> int:
        """Return the most runs that it takes."""
        return sum(keep * each for keep, each in self.rounds)

    def params(self, spec: SweepSpec, candidate: int, repeat: int) -> dict[str, Any]:
        """Return the parameters of a run."""
        params = dict(self.candidates[candidate].params)
        for name, value in self.fixed.items():
            params = with_value(params, parameter_path(name, spec.space), value)
        return with_value(params, self.seed_path, self.seeds[repeat]) if self.seed_path else params

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it; `setup_of` reads it back."""
        found = dataclasses.asdict(self)
        del found["candidates"]
        return {**found, "entrants": [_entry(item) for item in self.candidates]}


def setup_of(record: SweepRecord) -> Setup | None:
    """Return the race that a sweep's record holds; None when it holds none."""
    said = record.meta.get(CONFIRMATION_KEY)
    if not isinstance(said, Mapping):
        return None
    kept = {name: value for name, value in said.items() if name != "entrants"}
    return Setup(
        **{
            **kept,
            "candidates": tuple(map(_candidate, said["entrants"])),
            "everyone": tuple(tuple(scores) for scores in said["everyone"]),
            "rounds": tuple((keep, each) for keep, each in said["rounds"]),
            "seeds": tuple(said["seeds"]),
            "seed_path": tuple(said["seed_path"]),
        }
    )


def _entry(item: RankedConfiguration) -> dict[str, Any]:
    """Return a candidate as the record and `--dry-run --json` have it."""
    return {
        "run_id": item.run_id,
        "number": item.number,
        "params": dict(item.params),
        "rank": item.sweep_rank,
        "by_model": item.by_model,
        "scores": item.scores,
        "value": item.sweep_score,
        "alike": item.alike,
    }


def _candidate(entry: Mapping[str, Any]) -> RankedConfiguration:
    """Return the candidate that `_entry` wrote."""
    return RankedConfiguration(
        run_id=entry["run_id"],
        number=entry["number"],
        params=entry["params"],
        sweep_rank=entry["rank"],
        by_model=entry["by_model"],
        scores=tuple(entry["scores"]),
        sweep_score=entry["value"],
        alike=tuple(entry["alike"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RacePlan(Plan):
    """A plan whose record keeps the race, too."""

    setup: Setup

    def meta(self, sampler: str | None) -> dict[str, Any]:
        """Return what the record keeps."""
        return {**Plan.meta(self, sampler), CONFIRMATION_KEY: self.setup.plain()}


# -- a new race -------------------------------------------------------------------------------------------------------


def new_setup(asked: ConfirmOptions, store: "Store", parent: SweepRecord, plan: Plan) -> Setup:
    """Return the race of a sweep's best configurations.

    Args:
        asked: How it is confirmed.
        store: The record.
        parent: The sweep.
        plan: How the sweep's runs are made.

    Raises:
        SweepKitError: The sweep has no single metric, or no run with a value.
    """
    from sweepkit.analysis.candidates import choose_candidates
    from sweepkit.analysis.table import from_runs
    from sweepkit.stats.race import plan_rounds

    spec = plan.spec
    budget = _BUDGET if asked.budget is None else asked.budget
    if spec.metric is None:
        got = f"{len(spec.metrics)} of them" if spec.metrics else "none"
        raise SweepKitError(f"--confirm {parent.name}: needs a sweep with one metric to compare by, got {got}")
    runs = store.runs(parent.sweep_id)
    named = spec.extensions.seed_parameter
    named_path = None if named is None else parameter_path(named, spec.space)
    alike = [item.path for item in spec.space.parameters if is_seed(item.name)]
    own = own_seed_path(spec.space, named_path, alike)
    selection = choose_candidates(from_runs(spec, runs), seed=parent.seed)
    if not selection.candidates:
        raise SweepKitError(
            f"--confirm {parent.name}: needs runs that ended with a value of {spec.metric.name}, got none of "
            f"{len(runs)}; run the sweep first"
        )
    rounds = plan_rounds(len(selection.candidates), budget)
    chosen = selection.candidates[: rounds[0].keep]
    used = used_seeds(store, parent, runs, plan)
    return Setup(
        sweep=parent.name,
        metric=spec.metric.name,
        goal=spec.metric.goal.value,
        candidates=_as_run(chosen, {run.number: run for run in runs}, own),
        everyone=tuple(item.scores for item in selection.configurations if not item.stopped),
        configurations=len(selection.configurations),
        budget=budget,
        rounds=tuple((item.keep, item.each) for item in rounds),
        seeds=fresh_seeds(used, sum(item.each for item in rounds), first=asked.seeds_from),
        seed_path=own or _seed_path(plan, named_path),
        rope=asked.rope,
        model=selection.model,
    )


def _as_run(
    chosen: Sequence[RankedConfiguration], runs: Mapping[int, RunRecord], seed_path: Path | None
) -> tuple[RankedConfiguration, ...]:
    """Return the candidates with the parameters of their best runs as the program gets them, without the seed."""

    def params(run: RunRecord) -> dict[str, Any]:
        return dict(run.params) if seed_path is None else without_value(run.params, seed_path)

    return tuple(dataclasses.replace(item, params=params(runs[item.number])) for item in chosen)


def _seed_path(plan: Plan, named: Path | None) -> Path:
    """Return the parameter that gets the seed where the sweep had none; () where the program would refuse it.

    A program that never names it takes no such argument: most end at once with one that they do not know.
    """
    if named is None or plan.trains or not passes_all(plan.spec):
        return named or ()
    source = plan.source()
    known = re.search(rf"\b{re.escape(named[-1].rpartition('.')[2])}\b", source.text)
    return named if known or not source.texts else ()


def used_seeds(store: "Store", parent: SweepRecord, runs: Sequence[RunRecord], plan: Plan) -> set[int]:
    """Return the seeds that runs of the sweep, or of an earlier confirmation of it, were made with."""
    name = plan.spec.extensions.seed_parameter
    used = {seed for run in runs if (seed := seed_of_run(run, name)) is not None}
    used |= {seed for run in runs if isinstance(seed := run.outcome.get("seed"), int)}
    if plan.trains:
        from sweepkit.training.config.training import read_training_config

        used.add(read_training_config(plan.base_config).training.seed)
    for family in (confirmation_name(parent.name), holdout_name(parent.name)):
        for record in store.sweeps(family=family):
            setup = setup_of(record)
            used |= set(setup.seeds) if setup is not None else set()
    return used


def fresh_seeds(used: set[int], count: int, *, first: int | None = None) -> tuple[int, ...]:
    """Return the first `count` whole numbers from `first` (1001) on that are not used.

    >>> fresh_seeds({1002}, 3)
    (1001, 1003, 1004)
    """
    found: list[int] = []
    seed = _FIRST_SEED if first is None else first
    while len(found) < count:
        if seed not in used:
            found.append(seed)
        seed += 1
    return tuple(found)


# -- the sweeps -------------------------------------------------------------------------------------------------------


def confirmation_name(sweep: str) -> str:
    """Return the name of the sweep that confirms another."""
    return f"{sweep}-confirm"


def holdout_name(sweep: str) -> str:
    """Return the name of the sweep that scores the winners of another on its hold-out set."""
    return f"{sweep}-holdout"


def plan_of_parent(options: RunOptions, parent: SweepRecord) -> Plan:
    """Return how the runs of a recorded sweep are made on this host, with the base configuration that they had."""
    if setup_of(parent) is not None:
        raise ConflictError(f"--confirm {parent.name}: is itself a confirmation; name the sweep that it confirms")
    plan = dataclasses.replace(make_join_plan(options, parent), joins=None)
    if plan.spec.suggests_itself:
        raise SweepKitError(
            f"--confirm {parent.name}: needs a sweep that gives its runs their parameters, got a study, whose "
            "objective suggests them itself; give its best values to a sweep of a program with a seed, and confirm that"
        )
    return plan


def race_plan(plan: Plan, setup: Setup, *, text: str | None = None) -> RacePlan:
    """Return the sweep of a race.

    Args:
        plan: How the runs of the sweep that is confirmed are made.
        setup: The race.
        text: Its YAML as recorded; None makes it.
    """
    name = holdout_name(setup.sweep) if setup.of else confirmation_name(setup.sweep)
    values: dict[Path, Sequence[Any]] = {setup.seed_path: setup.seeds} if setup.seed_path else {}
    values |= {parameter_path(key, plan.spec.space): [value] for key, value in setup.fixed.items()}
    if text is None:
        what = "the hold-out set, for the winners" if setup.of else "its best configurations with fresh seeds"
        description = f"{setup.sweep}: {what}"
        text = confirming_text(plan.spec, name=name, description=description, runs=setup.total(), values=values)
    spec = read_sweep_text(text, source=name, directory=plan.spec.directory, default_name=name)
    known = {item.name: getattr(plan, item.name) for item in dataclasses.fields(Plan)}
    return RacePlan(**{**known, "spec": spec, "function": None}, setup=setup)


def keep_base_config(plan: Plan, parent: SweepRecord) -> None:
    """Write the base configuration that the sweep's runs had, where the file they had it from has changed since."""
    from sweepkit.files import write_atomically

    folder = SweepPaths(plan.output_dir, parent.name).root
    text = parent.meta.get("base_config_text")
    if plan.trains and isinstance(text, str) and plan.base_config == folder / "base_config.yaml":
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(plan.base_config, text)


# -- the hold-out set -------------------------------------------------------------------------------------------------


def holdout_parameters(asked: ConfirmOptions, plan: Plan) -> dict[str, Any]:
    """Return the parameters that name the hold-out set: the option's, else the sweep's own; {} without one.

    Raises:
        SweepKitError: An option is no NAME=VALUE, the trainer knows no such name, the command does not hand it on, or
            a file that is named is not there.
    """
    from sweepkit.text.yaml import parse

    given: dict[str, Any] = {}
    for assignment in asked.holdout:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise SweepKitError(f"--holdout: must be NAME=VALUE, got {assignment!r}")
        given[name] = parse(f"value: {value}", where="--holdout").data["value"]
    found = given or dict(plan.spec.extensions.holdout)
    where = "--holdout" if given else "sweepkit.holdout"
    for name in found:
        reads_file = "wandb" in plan.source().text
        if not reads_file and not passes(plan.spec, parameter_path(name, plan.spec.space)):
            raise SweepKitError(
                f"{where}: {name} must reach the program, but the sweep's command has neither ${{args}} nor "
                f"${{{name}}}; add one of them to `command:`"
            )
    if plan.trains:
        _check_training(found, plan, where)
    return found


def _check_training(found: Mapping[str, Any], plan: Plan, where: str) -> None:
    """Refuse what our trainer would refuse, before any run is made."""
    from sweepkit.training.config.training import apply, read_training_config

    config = apply(read_training_config(plan.base_config), found)
    file = getattr(config.data, "val_file", None)
    if any(name.rpartition(".")[2] == "val_file" for name in found) and file is not None:
        from sweepkit.paths import ROOT_DIR

        places = [File(plan.cwd, file), File(ROOT_DIR, file)]
        if not any(place.is_file() for place in places):
            near = difflib.get_close_matches(str(file), [os.path.relpath(p, ROOT_DIR) for p in ROOT_DIR.glob("data/*")])
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SweepKitError(f"{where}: val_file must be a file, got {file!r}, which is not there{hint}")
