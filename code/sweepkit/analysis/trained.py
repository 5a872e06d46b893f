"""Finished trainings as a comparison takes them: which model, which seed, which scores, and may they be compared."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweepkit.analysis.columns import direction_of
from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import is_number
from sweepkit.model.runs import ENDED_WELL
from sweepkit.stats.groups import ModelScores

_NAMED = 10  # trainings that are left out and named one by one
_NOT_THE_MODEL = ("training.seed", "output.directory", "metrics.prediction_samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The scores of every validation example of one training.

    Args:
        key: Equal for trainings that were scored on the same examples in the same order.
        columns: By metric, a score per example.
    """

    key: str
    columns: Mapping[str, Sequence[float]]


BEST_EVALUATION = "best evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One training.

    Args:
        model: What it counts as.
        seed: Which repetition it is, as text.
        where: Its file, for messages.
        best: Metrics of the evaluation that counts, by short name ("rouge1_f1"); `last` of its last one.
        counted: What `best` is of the run's evaluations: "best evaluation", "last evaluation", "mean over 5 folds".
        state: "finished", "diverged", "failed", …; only finished and stopped ones are compared.
        reason: Why it is in another state.
        config: The training configuration, in sections; {} when it is not known.
        facts: steps, duration_s, trainable_parameters, train_rows, val_rows, rouge_tokenizer, data, … as far as known.
        examples: Of the best evaluation, or None.
    """

    model: str
    seed: str
    where: str = ""
    best: Mapping[str, Any] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)
    counted: str = BEST_EVALUATION
    state: str = "finished"
    reason: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    examples: Examples | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """Trainings by model, ready to be compared.

    Args:
        metric: The short name of the score.
        groups: A group per model, in the order of their first training.
        notes: What was left out and why, a sentence each.
        mismatches: Why the scores do not mean the same thing; () when they may be compared.
    """

    metric: str
    groups: tuple[ModelScores, ...]
    notes: tuple[str, ...]
    mismatches: tuple[str, ...]


def short_name(metric: str) -> str:
    """Return a metric's name in a result file.

    >>> short_name("eval/rouge_combined_f1"), short_name("eval_loss")
    ('rouge_combined_f1', 'loss')
    """
    for prefix in ("eval/", "eval_", "best.eval/", "last.eval/"):
        metric = metric.removeprefix(prefix)
    return metric


def lower_is_better(metric: str) -> bool:
    """Return whether a metric of this name is an error or a loss.

    >>> lower_is_better("eval/loss"), lower_is_better("rouge1_f1")
    (True, False)
    """
    return direction_of(metric) is Goal.MINIMIZE


def group(trainings: Sequence[Trained], metric: str, *, last: bool = False) -> Grouped:
    """Return the trainings by model with their scores.

    Args:
        trainings: Of any models and seeds.
        metric: With or without "eval/".
        last: Take the last evaluation, in place of the best one.

    Raises:
        SweepKitError: None has the metric, or a model has a seed twice.
    """
    name = short_name(metric)
    _check_twice(trainings)
    done = [item for item in trainings if item.state in ENDED_WELL]
    known = sorted({key for item in done for key in (*item.best, *item.last)} - {"step", "epoch"})
    if done and name not in known:
        raise SweepKitError(f"--metric: must be one of {', '.join(known) or '(none was found)'}, got {metric!r}")
    notes = _left_out(trainings)
    counted, why = _examples(done, name, last=last)
    notes += [] if why is None else [why]
    groups = []
    for model in dict.fromkeys(item.model for item in trainings):
        runs = [item for item in done if item.model == model]
        groups.append(
            ModelScores(
                name=model,
                scores={run.seed: _score(run, name, last) for run in runs},
                examples={run.seed: run.examples.columns[name] for run in runs if run.examples} if counted else None,
            )
        )
    return Grouped(metric=name, groups=tuple(groups), notes=tuple(notes), mismatches=tuple(mismatches(done)))


def _score(run: Trained, name: str, last: bool) -> float:
    value = (run.last if last else run.best).get(name)
    return float(value) if is_number(value) else math.nan


def _check_twice(trainings: Sequence[Trained]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for item in trainings:
        other = seen.setdefault((item.model, item.seed), item.where)
        if other is not item.where:
            raise SweepKitError(
                f"{item.model} seed {item.seed}: must be trained once, got {other} and {item.where}; name only one of "
                "them"
            )


def _left_out(trainings: Sequence[Trained]) -> list[str]:
    """Return who is left out and why: each by its seed, or by counts where they are many."""
    out = [item for item in trainings if item.state not in ENDED_WELL]
    if len(out) <= _NAMED:
        return [
            f"{item.model} seed {item.seed}: {item.state}, left out" + (f" ({item.reason})" if item.reason else "")
            for item in out
        ]
    return [
        f"{model}: {', '.join(f'{count} {state}' for state, count in counts.items())}, left out"
        for model in dict.fromkeys(item.model for item in out)
        if (counts := Counter(item.state for item in out if item.model == model))
    ]


def _examples(done: Sequence[Trained], name: str, *, last: bool) -> tuple[bool, str | None]:
    """Return whether the examples' scores can be used, and why not where that is worth a sentence."""
    with_them = [item for item in done if item.examples is not None]
    if last or not with_them:
        return False, None
    if len(with_them) < len(done):
        missing = next(item for item in done if item.examples is None)
        return (
            False,
            f"{missing.model} seed {missing.seed} has no scores of single examples: noise of examples not counted",
        )
    if len({item.examples.key for item in with_them if item.examples}) > 1:
        return False, "the validation examples are not the same in all runs: the noise of examples is not counted"
    for item in with_them:
        column = item.examples.columns.get(name) if item.examples else None
        if column is None:
            return False, f"{name} is not a score of single examples: the noise of examples is not counted"
        if not math.isclose(math.fsum(column) / len(column), _score(item, name, False), rel_tol=1e-6, abs_tol=1e-9):
            return (
                False,
                f"{item.model} seed {item.seed}: its examples do not average to its {name}: they are not counted",
            )
    return True, None


# -- may they be compared? --------------------------------------------------------------------------------------------


def mismatches(done: Sequence[Trained]) -> list[str]:
    """Return why scores of different models do not mean the same thing, a sentence each."""
    asked: tuple[tuple[str, Callable[[Trained], Any]], ...] = (
        (
            "validation data",
            lambda run: _path(run.facts, "data", "data.val_file") or _path(run.config, "data", "val_file"),
        ),
        ("number of validation examples", lambda run: run.facts.get("val_rows")),
        ("tokenizer of ROUGE", lambda run: run.facts.get("rouge_tokenizer")),
        ("treatment of several references", lambda run: _path(run.config, "metrics", "multi_reference")),
    )
    found = []
    for what, of in asked:
        values = {run.model: str(of(run)) for run in done if of(run) is not None}
        if len(set(values.values())) > 1:
            shown = ", ".join(f"{model}: {value[:12]}" for model, value in values.items())
            found.append(f"the {what} differs ({shown})")
    return found


def uneven_seeds(done: Sequence[Trained]) -> list[str]:
    """Return one sentence for each model whose runs differ in more than their seed."""
    found = []
    for model in dict.fromkeys(item.model for item in done):
        flat = [_flat(item.config) for item in done if item.model == model and item.config]
        names = {name for config in flat for name in config} - set(_NOT_THE_MODEL)
        differ = sorted(
            name
            for name in names
            if not name.startswith("reproduces.") and len({repr(config.get(name)) for config in flat}) > 1
        )
        if differ:
            found.append(f"{model}: its runs differ in more than the seed: {', '.join(differ)}")
    return found


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, values in config.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
    }


def _path(mapping: Mapping[str, Any], section: str, name: str) -> Any:
    inner = mapping.get(section)
    return inner.get(name) if isinstance(inner, Mapping) else None
