"""What each model of a comparison was given: steps, epochs, weights, time, and tuning. Pure.

A model that was tuned beats one that was not for no reason of its own: Dodge et al. (2019), "Show Your Work", EMNLP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sweepkit.analysis.trained import Trained
from sweepkit.model.numbers import is_number
from sweepkit.model.runs import ENDED_WELL


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one model was given.

    Args:
        model: Its name.
        steps: Optimizer steps of its runs, each number once, in order; () when not known.
        epochs: The mean over its runs; None when not known.
        trainable: Weights that were trained; None when not known.
        seconds: A run's mean duration; None when not known.
        sweep: The sweep that its configuration is the best of; None when it does not say.
        tuning_runs: Runs of that sweep; None when its record is not at hand.
    """

    model: str
    steps: tuple[int, ...] = ()
    epochs: float | None = None
    trainable: int | None = None
    seconds: float | None = None
    sweep: str | None = None
    tuning_runs: int | None = None


def budgets(trainings: Sequence[Trained], runs_of_sweep: Mapping[str, int]) -> list[Budget]:
    """Return the budget of every model that has a finished training.

    Args:
        trainings: Of any models.
        runs_of_sweep: How many runs a sweep had, by its name, as far as known.
    """
    found = []
    for model in dict.fromkeys(item.model for item in trainings):
        runs = [item for item in trainings if item.model == model and item.state in ENDED_WELL]
        if not runs:
            continue
        sweep = next((name for name in map(_sweep, runs) if name), None)
        trainable = _numbers(run.facts.get("trainable_parameters") for run in runs)
        found.append(
            Budget(
                model=model,
                steps=tuple(sorted({int(step) for step in _numbers(run.facts.get("steps") for run in runs)})),
                epochs=_mean(_numbers(run.last.get("epoch") for run in runs)),
                trainable=int(trainable[0]) if trainable else None,
                seconds=_mean(_numbers(run.facts.get("duration_s") for run in runs)),
                sweep=sweep,
                tuning_runs=None if sweep is None else runs_of_sweep.get(sweep),
            )
        )
    return found


def budget_sentences(found: Sequence[Budget]) -> list[str]:
    """Return whether the models were given the same, a sentence each; [] for fewer than two models."""
    if len(found) < 2:
        return []
    sentences = [_tuning(found)]
    steps = {item.model: item.steps for item in found if item.steps}
    if len(set(steps.values())) > 1:
        shown = ", ".join(f"{model} {_range(values)}" for model, values in steps.items())
        sentences.append(f"The models were not trained for the same number of steps ({shown}).")
    times = {item.model: item.seconds for item in found if item.seconds}
    if times and max(times.values()) > 1.5 * min(times.values()):
        slow, fast = max(times, key=lambda name: times[name]), min(times, key=lambda name: times[name])
        sentences.append(f"A run of {slow} took {times[slow] / times[fast]:.1f} times as long as one of {fast}.")
    return sentences


def _tuning(found: Sequence[Budget]) -> str:
    tuned = [item for item in found if item.sweep is not None]
    if not tuned:
        return (
            "Tuning: no configuration says how it was tuned, so an equal tuning budget could not be checked; "
            "a best_config.yaml of a sweep says it."
        )
    shown = ", ".join(f"{item.model} {_tuned(item)}" for item in found)
    if len(tuned) < len(found):
        return f"Tuning: not equal ({shown}); a tuned model beats an untuned one for no reason of its own."
    counts = {item.tuning_runs for item in tuned}
    if None in counts:
        return f"Tuning: each is the best of a sweep ({shown}), but not every record is at hand."
    return f"Tuning: {'equal' if len(counts) == 1 else 'not equal'} ({shown})."


def _tuned(item: Budget) -> str:
    if item.sweep is None:
        return "not said"
    return f"{'best' if item.tuning_runs is None else f'best of {item.tuning_runs} runs'} of sweep {item.sweep}"


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _sweep(run: Trained) -> str | None:
    section = run.config.get("reproduces")
    name = section.get("sweep") if isinstance(section, Mapping) else None
    return name if isinstance(name, str) else None


def _numbers(values: Any) -> list[float]:
    return [value for value in values if is_number(value)]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
