"""A search in phases: one sweep after the other, each made from the runs before it.

What a phase is narrowed or fixed to is part of its sweep's own text in the record, so the same command continues at
any point: a phase that is recorded is taken as recorded, and one that is not follows from the same runs to the same
sweep. The files under `outputs/phases_<study>/` show it; they decide nothing.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, cast

from sweepkit.called import continuing
from sweepkit.errors import SweepKitError
from sweepkit.files import write_atomically
from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.metric import Metric
from sweepkit.model.records import SweepRecord, SweepState
from sweepkit.model.runs import none_worked
from sweepkit.model.space import Parameter, Space
from sweepkit.paths import slug
from sweepkit.reports.files import relative
from sweepkit.reports.table import short
from sweepkit.runner.call import Call, MakeUploads, slots_of
from sweepkit.runner.dry_run import DryRun, dry_run, existing_database
from sweepkit.runner.exit_codes import NO_RESULT
from sweepkit.runner.options import RunOptions, SlotOptions
from sweepkit.runner.own_sweep import settled, sweeps_of
from sweepkit.runner.plan import Plan, make_plan, storage_of
from sweepkit.studies.narrowing import changes, conditions_tree, narrowed, stage_space, with_constants
from sweepkit.studies.phase_results import (
    WORDS,
    ConfirmedConfiguration,
    PhaseResult,
    PhasesOutcome,
    best_configuration,
    best_first,
    by_mean,
    constants_text,
    plain,
    summary_lines,
)
from sweepkit.studies.plan import make_plan_of
from sweepkit.studies.yaml.optuna_sweep import full_parameters, space_of, sweep_dict
from sweepkit.studies.yaml.optuna_values import OptunaConfig, Phase, PhaseKind
from sweepkit.sweep_config.change import ChangeKind, compare
from sweepkit.sweep_config.read import read_recorded, read_sweep_text
from sweepkit.text.shown import say
from sweepkit.text.yaml_text import yaml_text

if TYPE_CHECKING:
    from sweepkit.store.base import Store

_ONE_SLOT = SlotOptions(num_workers=1)


def run_phases(
    options: RunOptions, config: OptunaConfig, *, slots: SlotOptions = _ONE_SLOT, uploads: MakeUploads | None = None
) -> PhasesOutcome:
    """Run the phases of a study, or continue where it stopped; show and save what each is made of.

    Args:
        options: How the sweeps of the phases are run.
        config: The study; it has phases.
        slots: What runs may occupy.
        uploads: As `runner.call.Call` takes it.

    Raises:
        SweepKitError: A phase has no run to go on from, or its sweep is recorded otherwise.
    """
    search = _Search(options, config, slots, uploads)
    results: list[PhaseResult] = []
    code, complete = 0, True
    for index in range(len(config.phases)):
        if search.may_make_no_more:
            complete = False
            break
        code, complete, result = search.phase(index, results)
        results.append(result)
        if code or not complete:
            complete = complete and len(results) == len(config.phases)
            break
    params, sweep = best_configuration(results, search.metric)
    done = PhasesOutcome(code=code, complete=complete, results=tuple(results), params=params, sweep=sweep)
    search.conclude(done)
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseAhead:
    """A phase as it would be run.

    Args:
        phase: The phase.
        runs: How many runs it has.
        sweeps: What its sweeps would run; () while that hangs on the phases before.
    """

    phase: Phase
    runs: int
    sweeps: tuple[DryRun, ...] = ()


def phases_ahead(options: RunOptions, config: OptunaConfig, *, slots: SlotOptions = _ONE_SLOT) -> Iterator[PhaseAhead]:
    """Yield the phases of a study as `run_phases` would run them; nothing is made.

    What a phase searches is known once all phases before it are done.
    """
    search = _Search(options, config, slots, None)
    results: list[PhaseResult] = []
    with existing_database(storage_of(options)) as store:
        for number, phase in enumerate(config.phases):
            confirms = phase.kind is PhaseKind.CONFIRM
            runs = phase.top * (len(phase.seeds) or phase.n_seeds) if confirms else phase.n_trials
            if len(results) < number:
                yield PhaseAhead(phase=phase, runs=runs)
                continue
            shown, result = search.ahead(phase, results, store)
            results += [] if result is None else [result]
            yield PhaseAhead(phase=phase, runs=sum(item.runs or 0 for item in shown) or runs, sweeps=tuple(shown))


class _Search:
    """The phases of one study in one call."""

    def __init__(
        self, options: RunOptions, config: OptunaConfig, slots: SlotOptions, uploads: MakeUploads | None
    ) -> None:
        self.options, self.config, self.slots, self.uploads = options, config, slots, uploads
        objective = config.objectives[0]
        self.metric = Metric(name=objective.metric, goal=objective.goal)
        self.folder = File(options.output_dir).absolute() / f"phases_{slug(config.study_name)}"
        self._worked_s = 0.0
        self._runs_made = 0

    @property
    def may_make_no_more(self) -> bool:
        """Return whether the call has made as many runs as it may (--count), or has used up the study's time."""
        late = self.config.timeout_s is not None and self._worked_s >= self.config.timeout_s
        return late or (self.options.count is not None and self._runs_made >= self.options.count)

    def phase(self, index: int, before: Sequence[PhaseResult]) -> tuple[int, bool, PhaseResult]:
        """Run one phase to its end; return the exit code, whether it is complete, and what came of it."""
        from sweepkit.store.open import open_store

        phase = self.config.phases[index]
        with open_store(storage_of(self.options)) as store:
            sweeps = self._sweeps(phase, before, store)
            fresh = any(self._is_of_another_search(store, sweep["name"], before) for sweep in sweeps)
        lines = self._lines(phase, before, sweeps)
        files = [self._write(index, sweep, lines) for sweep in sweeps]
        options = self._options(phase, fresh=fresh)
        plans = [make_plan(options, str(file)) for file in files]
        self._show_begin(index, lines)
        with open_store(storage_of(self.options)) as store:
            plans = [settled(plan, store) for plan in plans]
            again = all(self._is_done(store, plan, before) for plan in plans)
            had = 0 if fresh else self._count(store, plans)
        code = 0 if again else self._run(options, [self._timed(plan) for plan in plans])
        with open_store(storage_of(self.options)) as store:
            self._runs_made += self._count(store, plans) - had
            records = [family[-1] for plan in plans if (family := store.sweeps(family=plan.spec.name))]
            complete = len(records) == len(plans) and all(_ended(record) for record in records)
            result = self._result(phase, lines, records, store)
        if again:
            code = NO_RESULT if result.best is None else 0
            self._say(f"done before: {len(result.runs)} runs")
        return code, complete, result

    def ahead(
        self, phase: Phase, before: Sequence[PhaseResult], store: "Store | None"
    ) -> tuple[list[DryRun], PhaseResult | None]:
        """Return what a phase would run, and what came of it where it is done."""
        sweeps = self._sweeps(phase, before, cast("Store", store))  # of a first phase, which asks no database
        fresh = store is not None and any(self._is_of_another_search(store, s["name"], before) for s in sweeps)
        options = self._options(phase, fresh=fresh)
        made = [make_plan_of(sweep, options, directory=self.config.directory) for sweep in sweeps]
        plans = [self._as_written(plan, store) for plan in made]
        slots = slots_of(self.slots, plans)[0]
        shown = [dry_run(plan, slots=slots, options=options) for plan in plans]
        if store is None or not all(self._is_done(store, plan, before) for plan in plans):
            return shown, None
        records = [store.sweeps(family=plan.spec.name)[-1] for plan in plans]
        return shown, self._result(phase, (), records, store)

    def _as_written(self, plan: Plan, store: "Store | None") -> Plan:
        """Return the plan of a phase as it would be of the file that is written for it."""
        assert plan.identity is not None
        plan = replace(plan, identity=replace(plan.identity, folder=str(self.folder.resolve())))
        return plan if store is None else settled(plan, store)

    # -- what a phase is made of --------------------------------------------------------------------------------------

    def _sweeps(self, phase: Phase, before: Sequence[PhaseResult], store: "Store") -> list[dict[str, Any]]:
        """Return the sweeps of a phase: as recorded, else made from the runs before."""
        if phase.kind is PhaseKind.CONFIRM:
            return self._confirming(phase, before, store)
        name = f"{self.config.study_name}-{phase.name}"
        recorded = self._recorded(store, name, before) if before else None
        space = self._recorded_space(recorded) if recorded else self._space(phase, before, store)
        more: dict[str, Any] = {}
        if phase.kind is PhaseKind.FOCUS:  # what the phase before has seen inside the ranges teaches the sampler
            more["prior_runs"] = list(before[-1].sweeps)
            more["conditions"] = conditions_tree(space) or None  # what is left of them in the narrowed space
        sampler = phase.sampler or self.config.sampler
        if sampler["name"] == "grid":
            more["early_terminate"] = None
        description = self._description(phase, before)
        sweep = sweep_dict(
            self.config,
            name=name,
            n_trials=phase.n_trials,
            space=space,
            sampler=sampler,
            extensions=more,
            description=description,
        )
        return [sweep]

    def _space(self, phase: Phase, before: Sequence[PhaseResult], store: "Store") -> Space:
        """Return what a phase searches, from the runs before it."""
        listed = (phase.sampler or self.config.sampler)["name"] == "grid"
        whole = space_of(self.config, listed=listed)
        if phase.kind is PhaseKind.EXPLORE:
            return whole
        if phase.kind is PhaseKind.STAGE:
            best = best_first((run for result in before for run in result.runs), self.metric)
            flat = whole.flatten(best[0][0].params) if best else {}
            return stage_space(whole, [*phase.parameters, *self.config.constants], flat)
        last = before[-1]
        space = self._recorded_space(self._sweep(store, last.sweeps[-1]))
        configurations = _distinct(
            [space.flatten(run.params) for run, _ in best_first(last.runs, self.metric)], phase.top
        )
        if not configurations:
            raise SweepKitError(
                f"phase {phase.name}: a focus needs a run with a value of {self.metric.name}, got none in "
                f"{last.sweeps[-1]}; look at its logs, or start anew with --fresh"
            )
        return narrowed(space, configurations, margin=phase.margin)

    def _confirming(self, phase: Phase, before: Sequence[PhaseResult], store: "Store") -> list[dict[str, Any]]:
        """Return a sweep for each of the best configurations: its values fixed, seeds listed."""
        valued = best_first((run for result in before for run in result.runs), self.metric)
        candidates = _distinct([{(key,): value for key, value in run.params.items()} for run, _ in valued], phase.top)
        if not candidates:
            raise SweepKitError(
                f"phase {phase.name}: nothing to confirm, no run before it has a value of {self.metric.name}; "
                "look at their logs, or start anew with --fresh"
            )
        first = self.config.base_seed + 1
        seeds = phase.seeds or tuple(range(first, first + phase.n_seeds))
        kind = Kind.CATEGORICAL if len(seeds) > 1 else Kind.CONSTANT
        seed = Parameter(path=("seed",), distribution=Distribution(kind=kind, values=seeds))
        sweeps = []
        for rank, flat in enumerate(candidates, 1):
            params = {path[0]: value for path, value in flat.items() if path[0] not in ("seed", "training.seed")}
            params = full_parameters(self.config, params) if phase.full else params
            name = f"{self.config.study_name}-{phase.name}-{rank}"
            recorded = self._recorded(store, name, before)
            space = with_constants(Space(parameters=(seed,)), params)
            sweeps.append(
                sweep_dict(
                    self.config,
                    name=name,
                    space=self._recorded_space(recorded) if recorded else space,
                    sampler={"name": "grid"},
                    extensions={"early_terminate": None, "conditions": None},
                    description=self._description(phase, before),
                )
            )
        return sweeps

    def _description(self, phase: Phase, before: Sequence[PhaseResult]) -> str:
        """Return what a sweep says of itself; its end names the sweep it was made from."""
        index = self.config.phases.index(phase) + 1
        after = f", after {before[-1].sweeps[-1]}" if before else ""
        return f"phase {index} of {len(self.config.phases)} of {self.config.study_name}: {phase.name}{after}"

    def _lines(self, phase: Phase, before: Sequence[PhaseResult], sweeps: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what a phase draws otherwise than the whole search space does, for people."""
        if phase.kind is PhaseKind.CONFIRM:
            return [f"{sweep['name']}: {constants_text(sweep['parameters'])}" for sweep in sweeps]
        space = read_sweep_text(yaml_text(sweeps[0])).space
        return changes(space_of(self.config), space)

    # -- the record ---------------------------------------------------------------------------------------------------

    def _recorded(self, store: "Store", name: str, before: Sequence[PhaseResult]) -> SweepRecord | None:
        """Return the sweep of a phase when it is recorded and was made from the phase before; None to make it anew."""
        family = sweeps_of(store, name, self.folder)
        if not family or self.options.fresh:
            return None
        description = read_recorded(family[-1]).description or ""
        after = f", after {before[-1].sweeps[-1]}" if before else ""
        return family[-1] if description.endswith(after) else None

    def _is_of_another_search(self, store: "Store", name: str, before: Sequence[PhaseResult]) -> bool:
        """Return whether there is a sweep of the name that this search does not go on with."""
        return bool(sweeps_of(store, name, self.folder)) and self._recorded(store, name, before) is None

    def _recorded_space(self, record: SweepRecord) -> Space:
        return read_recorded(record).space

    def _sweep(self, store: "Store", name: str) -> SweepRecord:
        record = store.sweep(name)
        if record is None:
            raise SweepKitError(
                f"sweep {name}: must be in the database {storage_of(self.options)}, got none of that name"
            )
        return record

    def _is_done(self, store: "Store", plan: Plan, before: Sequence[PhaseResult]) -> bool:
        """Return whether a phase needs nothing more: ended, with this very text, and nothing is to be tried again."""
        record = self._recorded(store, plan.spec.name, before)
        if record is None or not _ended(record) or self.options.retry_failed:
            return False
        if none_worked(store.counts(record.sweep_id)):  # its program was broken, and may be mended
            return False
        spec = read_recorded(record, directory=plan.spec.directory)
        return compare(spec, plan.spec).kind is ChangeKind.SAME

    def _count(self, store: "Store", plans: Sequence[Plan]) -> int:
        """Return how many runs of the sweeps are done."""
        families = [store.sweeps(family=plan.spec.name) for plan in plans]
        counts = [store.counts(family[-1].sweep_id) for family in families if family]
        return sum(number for count in counts for state, number in count.items() if state.done)

    def _result(
        self, phase: Phase, lines: Sequence[str], records: Sequence[SweepRecord], store: "Store"
    ) -> PhaseResult:
        by_sweep = {record.name: store.runs(record.sweep_id) for record in records}
        runs = [run for found in by_sweep.values() for run in found]
        confirmed = []
        for name, found in by_sweep.items() if phase.kind is PhaseKind.CONFIRM else ():
            values = tuple(value for _, value in best_first(found, self.metric))
            params = {key: value for key, value in found[0].params.items() if key != "seed"} if found else {}
            confirmed.append(ConfirmedConfiguration(sweep=name, params=params, values=values))
        valued = best_first(runs, self.metric)
        return PhaseResult(
            phase=phase,
            sweeps=tuple(by_sweep),
            lines=tuple(lines),
            runs=tuple(runs),
            best=valued[0] if valued else None,
            confirmed=by_mean(confirmed, self.metric),
        )

    # -- running it ---------------------------------------------------------------------------------------------------

    def _run(self, options: RunOptions, plans: Sequence[Plan]) -> int:
        began = time.monotonic()
        try:
            with Call(options, plans, slots=slots_of(self.slots, plans)[0], uploads=self.uploads) as call:
                return call.run()
        finally:
            self._worked_s += time.monotonic() - began

    def _options(self, phase: Phase, *, fresh: bool) -> RunOptions:
        """Return how one phase is run: with what is left of the runs that the call may make."""
        options = self.options
        count = None if options.count is None else options.count - self._runs_made
        sampler = None if phase.kind is PhaseKind.CONFIRM else options.sampler  # the seeds are a grid
        return replace(options, fresh=fresh, count=count, sampler=sampler)

    def _timed(self, plan: Plan) -> Plan:
        """Return the plan with what is left of the study's time: the text keeps the whole, which the user gave."""
        if self.config.timeout_s is None:
            return plan
        left = max(self.config.timeout_s - self._worked_s, 0.001)
        extensions = replace(plan.spec.extensions, time_budget_s=left)
        return replace(plan, spec=replace(plan.spec, extensions=extensions))

    def _write(self, index: int, sweep: Mapping[str, Any], lines: Sequence[str]) -> File:
        """Write a phase's sweep as it is run, what was changed for it at its head."""
        self.folder.mkdir(parents=True, exist_ok=True)
        head = "\n".join([f"Made by optimize.py from {self.config.source or 'a configuration'}.", *lines])
        name = str(sweep["name"]).removeprefix(f"{self.config.study_name}-")
        path = self.folder / f"{index + 1}-{slug(name)}.yaml"
        write_atomically(path, yaml_text(sweep, head=head))
        return path

    # -- what the user sees -------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if not self.options.json:
            say(text)

    def _show_begin(self, index: int, lines: Sequence[str]) -> None:
        phase, total = self.config.phases[index], len(self.config.phases)
        if self.options.json:
            begun = {"event": "phase", "phase": phase.name, "number": index + 1, "of": total, "changed": list(lines)}
            say(json.dumps(begun, ensure_ascii=False))
            return
        self._say(f"\nphase {index + 1} of {total}: {phase.name} ({WORDS[phase.kind]})")
        for line in lines:
            self._say(f"  {line}")

    def conclude(self, outcome: PhasesOutcome) -> None:
        """Write the summary of all phases, and show it."""
        summary = [plain(result) for result in outcome.results]
        done = {"study": self.config.study_name, "complete": outcome.complete, "phases": summary}
        done |= {"best": dict(outcome.params), "sweep": outcome.sweep}
        write_atomically(self.folder / "summary.json", json.dumps(done, ensure_ascii=False, indent=2) + "\n")
        if self.options.json:
            say(json.dumps({"event": "phases_ended", **done}, ensure_ascii=False))
            return
        self._say(f"\n{self.config.study_name}: {len(self.config.phases)} phases by {self.metric.name}")
        for result in outcome.results:
            for line in summary_lines(result):
                self._say(f"  {line}")
        if outcome.params:
            self._say(f"best configuration, from {outcome.sweep}:")
            self._say("  " + ", ".join(f"{name}={short(value)}" for name, value in outcome.params.items()))
        self._say(f"files: {relative(self.folder)}/ (the sweep of each phase, summary.json)")
        if not outcome.complete:
            command = continuing()
            self._say("the same command continues" + (f": {command}" if command else ""))


def _ended(record: SweepRecord) -> bool:
    """Return whether a sweep has made all its runs; not one that somebody stopped."""
    from sweepkit.model.records import STOPPED

    return record.state is SweepState.FINISHED and record.reason != STOPPED


def _distinct(
    configurations: Sequence[Mapping[tuple[str, ...], Any]], most: int
) -> list[Mapping[tuple[str, ...], Any]]:
    """Return the first `most` different configurations, in order."""
    seen = set()
    found = []
    for flat in configurations:
        key = content_key({".".join(path): value for path, value in flat.items()})
        if key not in seen:
            seen.add(key)
            found.append(flat)
    return found[:most]
