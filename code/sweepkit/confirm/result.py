"""What the record has of a confirmation: scores, standing, the look at the hold-out set. Nothing is run here."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.confirm.plan import RacePlan, Setup, setup_of
from sweepkit.model.metric import BEST, Metric
from sweepkit.model.objectives import counted_report, report_of, value_of
from sweepkit.model.ranked import ConfirmationRun, RankedConfiguration
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.model.seeds import seed_of_run
from sweepkit.paths import SweepPaths
from sweepkit.reports.confirmation import Confirmation
from sweepkit.reports.examples import examples_error
from sweepkit.reports.holdout import HoldoutResult, HoldoutScore
from sweepkit.search.race import Pair, pair_of
from sweepkit.sweep_config.sweep import SweepSpec

if TYPE_CHECKING:
    from sweepkit.stats.race import Place, RaceStanding
    from sweepkit.store.base import Store


def score_of(run: RunView | RunRecord, metric: Metric | None, sign: float) -> float | None:
    """Return what a run scored, more being better; None of one that did not run to its end or has no value."""
    value = value_of(run, metric) if run.state is RunState.FINISHED else None
    return None if value is None else sign * value


def scores_of(runs: Sequence[RunRecord], metric: Metric | None, setup: Setup) -> dict[Pair, float | None]:
    """Return the scores of the runs that are done, more being better."""
    return {
        pair: score_of(run, metric, setup.sign)
        for run in runs
        if run.state.done and (pair := pair_of(run.proposal)) is not None
    }


def holdout_result(
    store: "Store", seen: SweepRecord, record: SweepRecord, plan: RacePlan, opened: int, output_dir: Path
) -> HoldoutResult:
    """Return what the look showed.

    Where the best report counts, a run's hold-out score is that of the report at which the fresh runs were best on the
    sweep's own data, by their median: the best report on the hold-out set would be a choice made by it. Where the last
    one counts, or a mean, it is the run's value: of several folds an earlier report has but some of them.

    What the choice of examples makes is read from what trainer.py wrote of each example, of its best evaluation there:
    they scatter alike in the others.
    """
    metric = plan.spec.metric
    fresh_runs = store.runs(record.sweep_id)
    confirmed = setup_of(record)
    assert confirmed is not None and metric is not None
    looks = []
    for index, candidate in enumerate(plan.setup.candidates):
        place = next(at for at, item in enumerate(confirmed.candidates) if item.run_id == candidate.run_id)
        mine = [run for run in fresh_runs if (pair := pair_of(run.proposal)) and pair[0] == place]
        best = [at for run in mine if counted_report(run, metric) == BEST and (at := report_of(run, metric))]
        report = statistics.median_low(best) if best else None
        runs = [run for run in store.runs(seen.sweep_id) if (pair := pair_of(run.proposal)) and pair[0] == index]
        valued = [(run, value) for run in runs if (value := _value_at(run, report, metric)) is not None]
        paths = SweepPaths(output_dir, seen.name)
        folders = [paths.run_dir(run.run_id) / "results" for run, _ in valued]
        error, examples = (folders and examples_error(folders, plan.setup.metric)) or (None, 0)
        looks.append(
            HoldoutScore(
                run_id=candidate.run_id,
                scores=tuple(value for _, value in valued),
                report=report,
                runs=len(runs),
                example_error=error,
                examples=examples,
            )
        )
    return HoldoutResult(
        parameters=dict(plan.setup.fixed), opened_at=seen.created_at, opened=opened, looks=tuple(looks), sweep=seen.name
    )


def _value_at(run: RunRecord, report: int | None, metric: Metric) -> float | None:
    """Return a finished run's value at a report (from 1), its last one when it made fewer; None: by the run's rule."""
    if run.state is not RunState.FINISHED:
        return None
    if report is None or not run.history or counted_report(run, metric) != BEST:
        return value_of(run, metric)
    value = run.history[min(report, len(run.history)) - 1]
    return value if math.isfinite(value) else None


def standing_of(store: "Store", record: SweepRecord, setup: Setup, metric: Metric | None) -> "RaceStanding":
    """Return where everybody stands by the runs that are recorded."""
    return setup.race(record.seed).standing(scores_of(store.runs(record.sweep_id), metric, setup))


def describe(store: "Store", spec: SweepSpec, record: SweepRecord, look: HoldoutResult | str) -> Confirmation:
    """Return a confirmation as it stands in the record.

    Args:
        store: The record; it is only read.
        spec: The sweep that is confirmed.
        record: The sweep that confirms it.
        look: What the hold-out set showed, or why it was not opened.
    """
    setup = setup_of(record)
    assert setup is not None
    runs = store.runs(record.sweep_id)
    standing = standing_of(store, record, setup, spec.metric)
    members = []
    seedless = standing.spread is not None and standing.spread.sd == 0  # no chance is known where nothing scatters
    for place in standing.places:
        mine = [run for run in runs if (pair := pair_of(run.proposal)) and pair[0] == place.candidate]
        members.append(_raced(setup, place, setup.candidates[place.candidate], mine, spec, seedless=seedless))
    return Confirmation(
        sweep=setup.sweep,
        confirmation=record.name,
        metric=setup.metric,
        goal=setup.goal,
        configurations=setup.configurations,
        budget=setup.budget,
        rounds=setup.rounds,
        seeds=setup.seeds,
        seed_parameter=".".join(setup.seed_path) or None,
        rope=setup.rope,
        model=setup.model,
        runs=sum(run.state.done for run in runs),
        members=tuple(members),
        spread=standing.spread.sd if standing.spread else None,
        df=standing.spread.df if standing.spread else None,
        fallback=standing.fallback,
        end=standing.end.reason if standing.end else None,
        equal=tuple(setup.candidates[c].run_id for c in standing.end.equal) if standing.end else (),
        holdout=look if isinstance(look, HoldoutResult) else None,
        no_holdout="" if isinstance(look, HoldoutResult) else look,
        best_of_reports=spec.metric is not None and spec.metric.value == BEST,
    )


def _raced(
    setup: Setup,
    place: "Place",
    candidate: RankedConfiguration,
    runs: Sequence[RunRecord],
    spec: SweepSpec,
    *,
    seedless: bool,
) -> RankedConfiguration:
    """Return where a configuration stands, in the metric's own direction."""
    sign = setup.sign
    low, high = (place.low, place.high) if sign > 0 else (place.high, place.low)
    seconds = [took for run in runs if (took := run.duration_s) is not None]

    def own_way(value: float | None) -> float | None:
        return None if value is None else sign * value

    name = spec.extensions.seed_parameter
    return replace(
        candidate,
        fresh=tuple(
            ConfirmationRun(
                run_id=run.run_id,
                seed=seed_of_run(run, name),
                value=own_way(score_of(run, spec.metric, sign)),
                reports=len(run.history),
                last=next((value for value in reversed(run.history) if math.isfinite(value)), None),
            )
            for run in runs
            if run.state.done
        ),
        mean=own_way(place.mean),
        low=own_way(low),
        high=own_way(high),
        optimism=place.optimism,
        estimate=own_way(place.estimate),
        chance=None if seedless else place.chance,
        tied=place.tied,
        lost=place.lost,
        rounds=place.rounds,
        duration_s=statistics.median(seconds) if seconds else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceWatch:
    """A race that may be under way.

    Args:
        confirmation: How it stands.
        state: The state of the sweep that makes its runs.
        next: What it does next, in words.
    """

    confirmation: Confirmation
    state: str
    next: tuple[str, ...]


def watched(store: "Store", spec: SweepSpec, record: SweepRecord) -> RaceWatch:
    """Return a race as it stands in the record, and what comes next.

    Args:
        store: The record; it is only read.
        spec: The sweep that is confirmed.
        record: The sweep that confirms it.
    """
    from sweepkit.stats.race import Step

    setup = setup_of(record)
    assert setup is not None
    runs = store.runs(record.sweep_id)
    step = setup.race(record.seed).next(scores_of(runs, spec.metric, setup))
    words: list[str] = []
    if isinstance(step, Step):
        keep, each = setup.rounds[step.round]
        words.append(f"round {step.round + 1} of {len(setup.rounds)}: {keep} configurations, {each} fresh seeds each")
        running = {pair_of(run.proposal) for run in runs if run.state is RunState.RUNNING}
        for candidate, repeat in step.runs:
            what = "runs now" if (candidate, repeat) in running else "waits"
            words.append(f"run {setup.candidates[candidate].number} with seed {setup.seeds[repeat]} {what}")
    confirmation = describe(
        store, spec, record, "the race is not over" if words else "it is told at the end of --confirm"
    )
    return RaceWatch(confirmation=confirmation, state=record.state.value, next=tuple(words))
