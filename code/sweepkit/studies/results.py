"""The files that an optimization leaves: its best parameters, every trial, its numbers, a configuration, figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from sweepkit.analysis.ranking import best_configuration, front_runs, front_volume
from sweepkit.files import write_atomically
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import values_of
from sweepkit.model.records import RunRecord
from sweepkit.model.seeds import is_seed
from sweepkit.paths import slug
from sweepkit.store.mirror import outcome
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.csv_text import csv_text
from sweepkit.text.json_text import json_text
from sweepkit.text.nested_tables import flattened

_BEST_NAME = "best_params.json"
_TRIALS_NAME = "all_trials.csv"
_STATS_NAME = "study_stats.json"
_FRONT_NAME = "pareto_front.csv"
_COUNTED = {"n_completed": ("COMPLETE",), "n_pruned": ("PRUNED",), "n_failed": ("FAIL",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """A study as far as it has come.

    Args:
        name: Of the study; a folder's name, too.
        spec: The sweep that it is.
        runs: Its runs, by number; a run is a trial.
        chosen: The configuration that counts as the best whatever single runs say, of a study whose last phase
            confirmed it; None where the runs decide.
    """

    name: str
    spec: SweepSpec
    runs: Sequence[RunRecord]
    chosen: Mapping[str, Any] | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Return the objectives, one or several."""
        return self.spec.objectives

    def best(self) -> RunRecord | None:
        """Return the best trial by the one objective; None with several, or when no trial has a value."""
        best = self.best_configuration()
        return None if best is None else best.first

    def best_configuration(self) -> Configuration[RunRecord] | None:
        """Return the best trial's configuration, whose value is the mean over its seeds where it has several trials."""
        seed = self.spec.extensions.seed_parameter
        if self.chosen is None:
            return best_configuration(self.runs, self.spec.metric, seed_parameter=seed)
        wanted = _seedless(self.chosen, seed)  # a run of a later stage has these values, and others beside them
        runs = [run for run in self.runs if _seedless(run.params, seed) == wanted]
        confirmed = [
            run for run in runs if len(flattened(run.params)) > len(flattened(self.chosen))
        ] or runs  # with a seed
        return best_configuration(confirmed, self.spec.metric, seed_parameter=seed or "seed")

    def values(self, run: RunRecord) -> tuple[float, ...] | None:
        """Return a trial's value for each objective; None when it has not all of them."""
        return values_of(run, self.metrics)

    def tuned(self, run: RunRecord) -> dict[str, Any]:
        """Return the values of the parameters that are searched, by dotted name; constants are left out."""
        fixed = {p.name for p in self.spec.space.parameters if p.distribution.support_size() == 1}
        kept = None if self.chosen is None else flattened(self.chosen).keys()  # a confirmed one has a seed beside them
        values = flattened(run.params).items()
        return {name: value for name, value in values if name not in fixed and (kept is None or name in kept)}

    def front(self) -> list[RunRecord]:
        """Return the trials that no other one beats, the best on the first one leads; [] with one objective."""
        if not self.spec.metrics:
            return []
        return front_runs(self.runs, self.spec.metrics, seed_parameter=self.spec.extensions.seed_parameter)


def _seedless(params: Mapping[str, Any], seed_parameter: str | None) -> dict[str, Any]:
    return {name: value for name, value in flattened(params).items() if not is_seed(name, seed_parameter)}


def folder_of(output_dir: Path, name: str) -> Path:
    """Return where the files of a study go."""
    return output_dir / slug(name)


def write_results(folder: Path, result: StudyResult) -> list[Path]:
    """Write best_params.json, all_trials.csv and study_stats.json; with several objectives pareto_front.csv, too.

    Returns:
        The files.

    Raises:
        OSError: The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        _BEST_NAME: json_text(_best_params(result), indent=2) + "\n",
        _TRIALS_NAME: _trials_csv(result, result.runs),
        _STATS_NAME: json_text(study_stats(result), indent=2) + "\n",
    }
    if result.spec.metrics:
        texts[_FRONT_NAME] = _trials_csv(result, result.front())
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return [folder / name for name in texts]


def _best_params(result: StudyResult) -> dict[str, Any]:
    """Return the content of best_params.json: the best trial, or with several objectives the front."""
    metrics = result.metrics
    head = {"study_name": result.name, "n_trials": len(result.runs)}
    if result.spec.metrics:
        names = [metric.name for metric in metrics]
        return {
            **head,
            "metrics": {metric.name: metric.goal.value for metric in metrics},
            "pareto_front": [
                {
                    "number": run.number,
                    "run_id": run.run_id,
                    "values": dict(zip(names, result.values(run) or (), strict=False)),
                    "params": result.tuned(run),
                }
                for run in result.front()
            ],
        }
    best = result.best_configuration()
    return {
        "best_params": None if best is None else result.tuned(best.first),
        "best_value": None if best is None else best.value,
        "best_trial_number": None if best is None else best.first.number,
        "best_run_id": None if best is None else best.first.run_id,
        "metric": metrics[0].name if metrics else None,
        "direction": metrics[0].goal.value if metrics else None,
        **head,
    }


def study_stats(result: StudyResult) -> dict[str, Any]:
    """Return the content of study_stats.json: counts, the best, durations in seconds; several objectives: the front.

    A trial that was ended by the pruner is counted as pruned, one that diverged as failed.
    """
    states = [_state(result, run) for run in result.runs]
    best = _best_params(result)
    stats: dict[str, Any] = {"study_name": result.name, "n_trials": len(result.runs)}
    stats |= {key: sum(state in counted for state in states) for key, counted in _COUNTED.items()}
    stats["n_unfinished"] = len(states) - sum(stats[key] for key in _COUNTED)
    if result.spec.metrics:
        seed = result.spec.extensions.seed_parameter
        volume, reference = front_volume(result.runs, result.spec.metrics, seed_parameter=seed)
        stats |= {"metrics": best["metrics"], "n_front": len(best["pareto_front"])}
        stats |= {"hypervolume": volume, "hypervolume_reference": reference}
        stats["pareto_front"] = best["pareto_front"]
    else:
        stats |= {key: best[key] for key in ("best_value", "best_trial_number", "metric", "direction")}
    sampler, rule = result.spec.extensions.sampler, result.spec.early_terminate
    stats |= {"seed": result.spec.extensions.seed, "sampler": None if sampler is None else sampler.name}
    return {**stats, "pruner": None if rule is None else rule.called or rule.type, **_durations(result.runs)}


def _durations(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Return how long the trials took, and from when to when; None where nothing ended."""
    took = [seconds for run in runs if (seconds := run.duration_s) is not None]
    began = [run.started_at for run in runs if run.started_at is not None]
    ended = [run.ended_at for run in runs if run.ended_at is not None]
    numbers = {"sum": math.fsum(took), "mean": fmean(took), "min": min(took), "max": max(took)} if took else {}
    return {
        "duration_s": {name: round(number, 3) for name, number in numbers.items()} or None,
        "began_at": _time(min(began, default=None)),
        "ended_at": _time(max(ended, default=None)),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _state(result: StudyResult, run: RunRecord) -> str:
    """Return Optuna's name of a trial's state."""
    return outcome(run, result.spec.objectives)[0]


def _trials_csv(result: StudyResult, runs: Sequence[RunRecord]) -> str:
    """Return a table with a line for each trial, in the columns of `Study.trials_dataframe()`.

    `value` is the best finite value, as `best_params.json` counts it. With several objectives there are
    `values_<metric>` in its place. Our own columns come last.
    """
    names = [p.name for p in result.spec.space.parameters]
    names += sorted({name for run in runs for name in flattened(run.params)} - set(names))
    columns = ["number", *_valued(result), "datetime_start", "datetime_complete", "duration"]
    columns += [f"params_{name}" for name in names] + ["state", "run_id", "reports", "reason"]
    return csv_text([_row(result, run) for run in runs], columns)


def _valued(result: StudyResult) -> list[str]:
    """Return the columns of the objectives."""
    return [f"values_{metric.name}" for metric in result.spec.metrics] or ["value"]


def _row(result: StudyResult, run: RunRecord) -> dict[str, Any]:
    duration = run.duration_s
    params = {f"params_{name}": "null" if value is None else value for name, value in flattened(run.params).items()}
    return {
        "number": run.number,
        **dict(zip(_valued(result), result.values(run) or (), strict=False)),
        "datetime_start": _time(run.started_at),
        "datetime_complete": _time(run.ended_at),
        "duration": None if duration is None else round(duration, 3),
        **params,
        "state": _state(result, run),
        "run_id": run.run_id,
        "reports": len(run.history),
        "reason": run.reason,
    }


def write_optimized(folder: Path, text: str, *, now: datetime) -> Path:
    """Write a full training configuration as train_optimized_<time>.yaml; the newest one stays when it is the same.

    Args:
        folder: Of the study.
        text: The configuration.
        now: For the name.
    """
    for known in sorted(folder.glob("train_optimized_*.yaml"))[-1:]:
        if known.read_text(encoding="utf-8") == text:
            return known
    file = folder / f"train_optimized_{now:%Y%m%d_%H%M%S}.yaml"
    write_atomically(file, text)
    return file
