"""The metrics that our trainer reports, by task: what a sweep may optimize, and which way each is better. Pure."""

from collections.abc import Mapping, Sequence

from sweepkit.model.metric import Goal, Metric
from sweepkit.sweep_config.fields import suggestion

_UP, _DOWN = Goal.MAXIMIZE, Goal.MINIMIZE
_ROUGE = ("rougeL_f1", "rouge_combined_f1", "rouge1_f1", "rouge2_f1", "composite_score", "coverage")
_SUMMARIES = {**{f"eval/{name}": _UP for name in _ROUGE}, "eval/loss": _DOWN, "eval/repetition_rate": _DOWN}
_IMAGES = {"eval/macro_f1": _UP, "eval/accuracy": _UP, "eval/loss": _DOWN, "eval/macro_f1_std": _DOWN}
_BESIDE = ("eval/avg_length", "train/loss", "train/learning_rate", "epoch")  # reported, and seldom what one optimizes
# What each task's trainer reports, the default first, and which way is better.
REPORTED: Mapping[str, Mapping[str, Goal]] = {
    "summarization": _SUMMARIES,
    "image_classification": _IMAGES,
    "perceiver": _IMAGES,
}


def likely(name: str, known: Mapping[str, Goal]) -> str:
    """Return `did you mean X?` for the metric that a name may mean, "" when none is near.

    >>> likely("rouge1", REPORTED["summarization"]), likely("eval_rougeL", REPORTED["summarization"])
    ('did you mean eval/rouge1_f1?', 'did you mean eval/rougeL_f1?')
    """
    bare = name.removeprefix("eval/").removeprefix("eval_").lower()
    longer = next((metric for metric in known if metric.removeprefix("eval/").lower().startswith(bare)), None)
    return suggestion(f"eval/{bare}", known) if longer is None else f"did you mean {longer}?"


def _unreported(name: str, known: Mapping[str, Goal]) -> str:
    """Return that the trainer reports no metric of that name and which may be meant; "" when it does, or may."""
    if not known or name in known or f"eval/{name}" in known or name in _BESIDE or name.startswith(("_", "eval/fold_")):
        return ""
    return f"{name} is not among what the trainer reports: {likely(name, known) or ', '.join(known)}"


def against_nature(name: str, goal: Goal, known: Mapping[str, Goal]) -> str:
    """Return that the other direction makes a model better; "" when it does not, or nobody knows.

    >>> against_nature("eval/rougeL_f1", Goal.MINIMIZE, REPORTED["summarization"])
    'eval/rougeL_f1 is to minimize, but maximize makes a model better'
    """
    natural = known.get(name, known.get(f"eval/{name}"))
    return "" if natural in (None, goal) else f"{name} is to {goal.value}, but {natural.value} makes a model better"


def metric_notes(metrics: Sequence[Metric], task: str) -> list[str]:
    """Return what is odd about metrics that a training of a task shall be searched for, a sentence each."""
    known = REPORTED.get(task, {})
    said = (_unreported(item.name, known) or against_nature(item.name, item.goal, known) for item in metrics)
    return [sentence for sentence in said if sentence]
