"""What the look at the hold-out set showed, and what is said of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.ranked import RankedConfiguration
from sweepkit.stats.words import difference_text, gap_text


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutScore:
    """A configuration on the hold-out set.

    Args:
        run_id: Its best run in the sweep.
        scores: One for each fresh seed.
        report: Number of the report, from 1, at which they were read; None where that is not chosen: the last counts, a
            mean of several, or the runs report once at their end.
        runs: How many were made for it.
        example_error: Standard error of the mean by the choice of the hold-out's examples, as each run's best
            evaluation there scattered over them; None where their scores are not known.
        examples: How many they are; 0 where not known.
    """

    run_id: str
    scores: tuple[float, ...]
    report: int | None
    runs: int
    example_error: float | None = None
    examples: int = 0

    @property
    def mean(self) -> float | None:
        """Return the mean score."""
        return math.fsum(self.scores) / len(self.scores) if self.scores else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutResult:
    """The look at the hold-out set: which, when it was opened (UTC, seconds), how often so far, what it showed."""

    parameters: Mapping[str, Any]
    opened_at: float
    opened: int
    looks: tuple[HoldoutScore, ...]
    sweep: str


class Confirmed(Protocol):
    """What is known of a confirmation (`reports.confirmation.Confirmation`) where its hold-out is told."""

    @property
    def goal(self) -> str:
        """Return which way is better."""

    @property
    def members(self) -> Sequence[RankedConfiguration]:
        """Return who raced, best first."""

    @property
    def winner(self) -> str | None:
        """Return the run whose configuration to take."""

    @property
    def spread(self) -> float | None:
        """Return the standard deviation between seeds."""

    @property
    def df(self) -> int | None:
        """Return its degrees of freedom."""

    @property
    def holdout(self) -> HoldoutResult | None:
        """Return what the hold-out set showed."""

    @property
    def no_holdout(self) -> str:
        """Return why it was not opened."""


def holdout_from_plain(found: Mapping[str, Any]) -> HoldoutResult:
    """Return the look that a `confirmation.json` holds, of an older version, too."""
    looks = tuple(
        HoldoutScore(
            run_id=item["run_id"],
            scores=tuple(item["scores"]),
            report=item["report"],
            runs=item["runs"],
            example_error=item.get("example_error"),
            examples=item.get("examples", 0),
        )
        for item in found["looks"]
    )
    return HoldoutResult(**{**found, "looks": looks})


def holdout_lines(race: Confirmed, digits: int) -> list[str]:
    """Return what was seen, what its ± covers, and whether it contradicts the pick.

    Args:
        race: The confirmation.
        digits: Of a score, behind the point.
    """
    if race.holdout is None:
        return [f"hold-out: {race.no_holdout}"] if race.no_holdout else []
    names = {item.run_id: item.name for item in race.members}
    parts = []
    for look in race.holdout.looks:
        score = "no value" if look.mean is None else f"{look.mean:.{digits}f}{_half(race, look, digits)}"
        parts.append(f"{names.get(look.run_id, look.run_id)} {score} ({how_many(len(look.scores), 'seed')})")
    opened = "" if race.holdout.opened == 1 else f"; opened {race.holdout.opened} times, so it is no longer unseen"
    lines = [f"hold-out, the only figure without optimism: {'; '.join(parts)}{opened}"]
    lines += _coverage(race)
    return lines + _contradiction(race, names, digits)


def _coverage(race: Confirmed) -> list[str]:
    """Return what the ± behind the scores stands for; [] where there is none."""
    assert race.holdout is not None
    looks = [look for look in race.holdout.looks if look.scores]
    if race.spread is None or not looks:
        return []
    known = [look for look in looks if look.example_error is not None]
    if len(known) == len(looks):
        count = how_many(known[0].examples, "example")
        return [f"± is a 95 % interval for new examples: the luck of the seeds and that of the {count} are in it"]
    if race.spread == 0:  # no ± is shown: a program that ignores its seed says nothing of how exact that is
        return []
    return [
        "± is the luck of the seeds alone, an interval for this hold-out set: its examples' scores are not known, so "
        "what other examples would say is not in it"
    ]


def _contradiction(race: Confirmed, names: Mapping[str, str], digits: int) -> list[str]:
    """Return that the hold-out prefers another than the pick, [] when it does not."""
    assert race.holdout is not None
    means = {look.run_id: look.mean for look in race.holdout.looks if look.mean is not None}
    if race.winner not in means or len(means) < 2:
        return []
    goal = Goal(race.goal)
    best = next(run_id for run_id, score in means.items() if score == goal.best(list(means.values())))
    if best == race.winner or means[best] == means[race.winner]:
        return []
    gap = gap_text(abs(means[best] - means[race.winner]), digits)
    return [
        f"the hold-out contradicts the pick: {names.get(best, best)} is better there by {gap}; "
        f"{_by_both_sets(race, means, names)}"
    ]


def _by_both_sets(race: Confirmed, holdout: Mapping[str, float], names: Mapping[str, str]) -> str:
    """Return who is better by fresh seeds and hold-out together: on new data that pick is the better one."""
    both = {
        item.run_id: (item.mean + holdout[item.run_id]) / 2
        for item in race.members
        if item.run_id in holdout and item.mean is not None
    }
    ahead = next(run_id for run_id, score in both.items() if score == Goal(race.goal).best(list(both.values())))
    still = "still " if ahead == race.winner else ""
    return f"by the mean of both sets {names.get(ahead, ahead)} is {still}the better one: for new data take that"


def _half(race: Confirmed, look: HoldoutScore, digits: int) -> str:
    """Return half the 95 % interval of a hold-out mean, by the spread between seeds that the race measured.

    The hold-out's own two seeds tell less of it than the race's. The luck of the examples is in it for all or for none.
    """
    from sweepkit.stats.holdout import half_interval
    from sweepkit.stats.student import Pool

    if race.spread is None or race.df is None or race.holdout is None:
        return ""
    spread, seeds = Pool(sd=race.spread, df=race.df), len(look.scores)
    known = all(item.example_error is not None for item in race.holdout.looks if item.scores)
    error = look.example_error if known and look.example_error is not None else 0.0
    half = half_interval(spread, seeds, error=error, examples=look.examples)
    return f" ± {difference_text(half, digits, sign=False)}" if half else ""
