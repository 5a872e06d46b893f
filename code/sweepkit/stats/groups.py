"""What is compared: the scores of a model's seeds, cleaned and described, and what a reader must know of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweepkit.model.numbers import how_many, mean

_SAME = 1e-12  # a spread below this part of the values is rounding, not noise


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScores:
    """The runs of one model.

    Args:
        name: Of the model.
        scores: One score per seed, by seed (any text that names the run). NaN and infinities are left out and counted.
        examples: For each of these seeds the score of every example, in the same order for all seeds and all groups;
            None when they are not known.
    """

    name: str
    scores: Mapping[str, float]
    examples: Mapping[str, Sequence[float]] | None = None

    def finite(self) -> dict[str, float]:
        """Return the scores that are finite, by seed."""
        return {seed: float(score) for seed, score in self.scores.items() if math.isfinite(score)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSummary:
    """A model's scores in numbers.

    Args:
        name: Of the model.
        n: Finite scores.
        left_out: Scores that are not finite.
        seeds: Of the finite ones.
        mean, least, most: None when n is 0.
        sd: With n - 1 below the line; None when n < 2.
        low, high: 95 % confidence interval of the mean; None where no noise is known.
    """

    name: str
    n: int
    left_out: int
    seeds: tuple[str, ...]
    mean: float | None = None
    sd: float | None = None
    least: float | None = None
    most: float | None = None
    low: float | None = None
    high: float | None = None


def groups_of(scores: Mapping[str, Sequence[float]]) -> list[ModelScores]:
    """Return groups of scores whose seeds are their places: "1", "2", ….

    >>> groups_of({"a": [0.5, 0.75]})[0].scores
    {'1': 0.5, '2': 0.75}
    """
    return [
        ModelScores(name=name, scores={str(place): float(value) for place, value in enumerate(values, start=1)})
        for name, values in scores.items()
    ]


def sd(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1) of at least two values; 0 when they differ by rounding only."""
    middle = mean(values)
    found = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))
    return 0.0 if found <= _SAME * max(abs(value) for value in values) else found


def describe(group: ModelScores) -> ScoreSummary:
    """Return a group's numbers, without an interval."""
    finite = group.finite()
    values = list(finite.values())
    left_out = len(group.scores) - len(values)
    if not values:
        return ScoreSummary(name=group.name, n=0, left_out=left_out, seeds=())
    return ScoreSummary(
        name=group.name,
        n=len(values),
        left_out=left_out,
        seeds=tuple(finite),
        mean=mean(values),
        sd=sd(values) if len(values) > 1 else None,
        least=min(values),
        most=max(values),
    )


def data_notes(groups: Sequence[ModelScores], models: Sequence[ScoreSummary], *, paired: bool) -> tuple[str, ...]:
    """Return what a reader must know of the data, a sentence each.

    Args:
        groups: What is compared.
        models: Their summaries, in the same order.
        paired: Whether the scores are paired by seed.
    """
    notes = [
        f"{item.name}: {how_many(item.left_out, 'score')} of {item.n + item.left_out} not finite, left out"
        for item in models
        if item.left_out
    ]
    usable = [item for item in models if item.n]
    if not usable:
        return (*notes, "no model has a finite score: nothing can be compared")
    if len(usable) == 1:
        notes.append(f"only {usable[0].name} has a finite score: there is nothing to compare it with")
    for item in usable:
        if item.n == 1:
            notes.append(
                f"{item.name}: one seed says nothing about the noise between seeds; train at least two, better five"
            )
        elif item.sd == 0:
            notes.append(
                f"{item.name}: every seed gave the same score; the seed reaches nothing, or the score is coarse"
            )
    counts = {item.n for item in usable}
    if len(counts) > 1 and len(usable) > 1:
        shown = ", ".join(f"{item.name} {item.n}" for item in usable)
        notes.append(f"the numbers of seeds differ ({shown}): each model keeps its own spread (Welch)")
    twins = [
        (one.name, two.name)
        for place, one in enumerate(groups)
        for two in groups[place + 1 :]
        if len(one.finite()) > 1 and one.finite() == two.finite()
    ]
    notes += [f"{one} and {two} have the very same scores: are they the same runs?" for one, two in twins]
    if paired and len(usable) > 1:
        notes.append("paired by seed, as asked: that is sound only where the same seed means the same to both")
    return tuple(notes)
