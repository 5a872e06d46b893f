"""Train models with several seeds each and compare them: what the command and `sweepkit.compare` share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweepkit.analysis.trained import Trained
from sweepkit.compare.options import ComparisonOptions, StatisticsOptions
from sweepkit.compare.report import make_report, write_files
from sweepkit.compare.text import ComparisonReport
from sweepkit.compare.train import (
    LEADER,
    check_checkpoints,
    choose,
    make_comparison_plan,
    metric_of,
    runs_of_sweeps,
    trainings_of,
)
from sweepkit.paths import slug
from sweepkit.runner.call import Call, slots_of
from sweepkit.runner.options import RunOptions, SlotOptions
from sweepkit.runner.plan import Plan

_SEEDS = (42, 123, 456)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Trainings to compare.

    Args:
        code: The exit code of the call that made them.
        name: Of their sweep.
        metric: The score.
        trainings: All of them, also those that failed or are still to come.
        notes: What must be known beside.
        steps: How to go on, a line each.
        preempted: The machine was asked for back meanwhile.
    """

    code: int
    name: str
    metric: str
    trainings: Sequence[Trained]
    notes: Sequence[str]
    steps: Sequence[str] = ()
    preempted: bool = False

    @property
    def finished(self) -> int:
        """Return how many trainings have finished."""
        return sum(item.state == "finished" for item in self.trainings)


def plan_of_comparison(options: ComparisonOptions, run: RunOptions) -> Plan:
    """Return the plan of the trainings that a comparison asks for. Raises SweepKitError: all that is wrong with it."""
    options = _with_seeds(options)
    return make_comparison_plan(choose(options), options, run)


def _with_seeds(options: ComparisonOptions) -> ComparisonOptions:
    """Return a comparison with the usual seeds where it names none."""
    return replace(options, seeds=options.seeds or _SEEDS)


def train_models(options: ComparisonOptions, run: RunOptions, slots: SlotOptions) -> Compared:
    """Train what is not trained yet.

    Args:
        options: Which models, with which seeds.
        run: How.
        slots: What trainings may occupy.

    Raises:
        SweepKitError: A configuration is wrong, or a checkpoint is not there.
    """
    options = _with_seeds(options)
    choices = choose(options)
    plan = make_comparison_plan(choices, options, run)
    places, notes = slots_of(slots, [plan])
    check_checkpoints(choices)
    with Call(run, [plan], slots=places, notes=notes, leader=LEADER) as call:
        code = call.run()
        session = call.sessions[0]
        trainings = trainings_of(session, choices, options.seeds)
        name, preempted = session.sweep.name, call.preempted
        steps = session.next_steps(call.finishes[0]).lines()
    wanted = len(choices) * len(options.seeds)
    compared = Compared(
        code=code,
        name=name,
        metric=metric_of(options.statistics, choices[0].config.task),
        trainings=trainings,
        notes=(),
        steps=steps,
        preempted=preempted,
    )
    if compared.finished == wanted:
        return compared
    return replace(compared, notes=(f"{compared.finished} of {wanted} trainings are finished",))


def reported(compared: Compared, statistics: StatisticsOptions, folder: Path) -> tuple[ComparisonReport, list[Path]]:
    """Return the comparison and the files that it was written to.

    Args:
        compared: At least one training that finished.
        statistics: How they are compared.
        folder: Of the sweeps; the files go there.
    """
    sweeps = runs_of_sweeps(compared.trainings, folder)
    report = make_report(
        compared.trainings, statistics, metric=compared.metric, notes=list(compared.notes), sweeps=sweeps
    )
    return report, write_files(report, folder / f"comparison_{slug(compared.name.removeprefix('compare-'))}")
