"""The configurations of a sweep of which some have several runs: means, spread, what became of them.

Pure. Everything is worked out from the recorded runs, as the engine does (`search.seeded`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sweepkit.analysis.ranking import configuration_numbers, ranked, recorded_configurations
from sweepkit.model.configurations import Configuration, configuration_of, finished_scores
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import seed_of_run
from sweepkit.stats.groups import sd
from sweepkit.sweep_config.sweep import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRuns:
    """One configuration and the runs of its seeds.

    Args:
        number: 0-based, in order of proposal.
        runs: One for each seed that it got, by number.
        worth: What it is worth; None while no seed of it has a value.
        note: What became of it, in words; "" when all its seeds finished.
    """

    number: int
    runs: tuple[RunRecord, ...]
    worth: Configuration[RunRecord] | None
    note: str

    @property
    def sd(self) -> float | None:
        """Return the standard deviation of the first objective between seeds, None under two that count."""
        scores = () if self.worth is None else self.worth.scores
        return sd(scores) if len(scores) > 1 else None

    @property
    def seconds(self) -> float | None:
        """Return how long its runs took together; None when nobody knows."""
        took = [float(run.outcome["duration_s"]) for run in self.runs if run.outcome.get("duration_s") is not None]
        return sum(took) if took else None


def seed_runs(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[SeedRuns]:
    """Return the configurations of a sweep in which some have several runs, best first; [] of any other."""
    seed = spec.extensions.seed_parameter
    numbers = configuration_numbers(runs, seed)
    if not numbers:
        return []
    groups: dict[int, list[RunRecord]] = {}
    for run in ranked(runs, spec.objectives, seed_parameter=seed):
        groups.setdefault(numbers[run.run_id], []).append(run)
    found = recorded_configurations(runs, spec.objectives, seed_parameter=seed)
    by_run = {run.run_id: item for item in found for run in item.members}
    worse = worse_configurations(spec, runs)
    return [
        SeedRuns(
            number=number,
            runs=tuple(sorted(members, key=lambda run: run.number)),
            worth=next((by_run[run.run_id] for run in members if run.run_id in by_run), None),
            note=_note(spec, members, worse.get(number, "")),
        )
        for number, members in groups.items()
    ]


def worse_configurations(spec: SweepSpec, runs: Sequence[RunRecord]) -> dict[int, str]:
    """Return the configurations that are clearly worse than the best one, with the reason; {} where none may be."""
    seeds = spec.extensions.seeds_per_run
    if seeds is None or not seeds.stop_worse or spec.metric is None:
        return {}
    from sweepkit.stats.seed_race import clearly_worse

    groups: dict[int, list[RunRecord]] = {}
    for run in runs:
        if (number := configuration_of(run)) is not None:
            groups.setdefault(number, []).append(run)
    scores = {number: found for number in sorted(groups) if (found := finished_scores(groups[number], spec.metric))}
    return clearly_worse(scores, spec.metric.goal, min_seeds=seeds.min_seeds)


def _note(spec: SweepSpec, runs: Sequence[RunRecord], worse: str) -> str:
    """Return what became of a configuration that has not all its seeds finished."""
    parts = []
    for run in sorted(runs, key=lambda run: run.number):
        if run.state is not RunState.FINISHED:
            seed = seed_of_run(run, spec.extensions.seed_parameter)
            parts.append(f"seed {seed} {run.state.value}" + (f": {run.reason}" if run.reason else ""))
    seeds = spec.extensions.seeds_per_run
    if worse and seeds is not None and len(runs) < len(seeds.seeds):
        parts.append(worse)
    return "; ".join(parts)


def seed_notice(spec: SweepSpec, runs: Sequence[RunRecord]) -> str:
    """Return a warning when a program seems to ignore its seed: every configuration scores the same with all seeds."""
    several = [
        item.each
        for item in recorded_configurations(runs, spec.objectives, seed_parameter=spec.extensions.seed_parameter)
        if len(item.each) > 1
    ]
    if len(several) < 2 or any(len(set(each)) > 1 for each in several):
        return ""
    name = spec.extensions.seed_parameter
    way = "the variable SEED" if name is None else f"the parameter {name} and the variable SEED"
    return f"all seeds of each configuration came to the same value: does the program take its seed ({way})?"
