"""A race of a few configurations over fresh seeds: who runs next, who drops out, when it is over, who won.

The best of many single runs looks better than it is (the winner's curse), so the best few are run again with seeds that
the sweep has not seen: 5 configurations once, the best 3 twice more, the best 2 twice more, with the default budget of
15 runs. The sweep's own score counts when the winner is picked, not when his score is said.

The chance to be the best, who goes on and the interval of a mean follow from what the true means of the sweep's
configurations may be, given all scores (`stats.true_means`): without it the sweep's luckiest run would count in full,
and one collapsed seed as much as three good ones. How near the chances are to what holds: `benchmarks/truth.py`.

Everything here is oriented: a larger score is better. Arrays in, values out; the draws come from `Race.seed`.

Sources: Karnin, Koren and Somekh 2013, "Almost Optimal Exploration in Multi-Armed Bandits", ICML (sequential halving);
Lopez-Ibanez et al. 2016, "The irace package", Operations Research Perspectives 3:43-58 (racing over instances, here
seeds). Which racer is taken hardly matters; that there is one does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sweepkit.model.numbers import mean
from sweepkit.stats.student import Pool, pool, quantile
from sweepkit.stats.true_means import TrueMeans, true_means
from sweepkit.stats.words import chance_text

CANDIDATES = 5
BUDGET = 15
_LEVEL = 0.95
_NO_SPREAD = 1e-12  # of the scores: seeds change nothing but the last digits
_ALONE = 5  # runs of a single candidate at most: they race against nobody

Pair = tuple[int, int]  # a candidate and which of its fresh seeds, both from 0
Scores = Mapping[Pair, float | None]  # of every run that ended; None: it has no value (it failed or diverged)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How many candidates go on, >= 1, and how many further seeds each of them runs, >= 1."""

    keep: int
    each: int


def plan_rounds(candidates: int, budget: int) -> tuple[Round, ...]:
    """Return the rounds of at most `budget` runs; each halves the field down to two.

    Args:
        candidates: >= 1; when the budget is smaller, only as many as it has runs take part.
        budget: Runs in all, >= 1. Twice the budget gives every round twice the seeds.

    >>> [(r.keep, r.each) for r in plan_rounds(5, 15)], [(r.keep, r.each) for r in plan_rounds(5, 10)]
    ([(5, 1), (3, 2), (2, 2)], [(5, 1), (3, 1), (2, 1)])
    """
    keeps = [min(candidates, budget)]
    if keeps[0] == 1:
        return (Round(keep=1, each=min(budget, _ALONE)),)
    while keeps[-1] > 2:
        keeps.append(math.ceil(keeps[-1] / 2))
    each, left, times = [0] * len(keeps), budget, 0
    while left >= min(keeps):
        times += 1
        for index, keep in enumerate(keeps):
            target = times if index == 0 else 2 * times
            while each[index] < target and keep <= left:
                each[index] += 1
                left -= keep
    return tuple(Round(keep=keep, each=many) for keep, many in zip(keeps, each, strict=True) if many)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The runs that a round still lacks, those under way included.

    Args:
        round: From 0.
        runs: In the order in which they are to be made.
    """

    round: int
    runs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The race is over, and why.

    Args:
        reason: In words.
        kind: "budget": all runs are made; "chance": one is the best; "rope": those that are left are equal; "seedless":
            seeds change nothing, so that further ones tell nothing.
        equal: Of kind "rope": the candidates that are left, by chance to be the best.
    """

    reason: str
    kind: Literal["budget", "chance", "rope", "seedless"]
    equal: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one candidate stands.

    Args:
        candidate: Its position, from 0.
        sweep: Its mean score in the sweep; None when that was measured at another budget.
        fresh: Its scores with fresh seeds, in the order of the seeds.
        lost: Fresh runs that ended without a value.
        mean: Of the fresh scores; None without one.
        low, high: 95 % interval of its true score, by the fresh runs alone and with the sweep's; it holds `mean`. None
            without a fresh score, or where no spread is known.
        estimate: What its true score is expected to be, by the same.
        chance: To be the best of the candidates; None when no spread is known.
        tied: It cannot be distinguished from the leader, or is the leader.
        rounds: Rounds that it took part in.
    """

    candidate: int
    sweep: float | None
    fresh: tuple[float, ...]
    lost: int
    mean: float | None
    low: float | None
    high: float | None
    estimate: float | None
    chance: float | None
    tied: bool
    rounds: int

    @property
    def optimism(self) -> float | None:
        """Return by how much the sweep flattered it: sweep score minus fresh mean."""
        return None if self.sweep is None or self.mean is None else self.sweep - self.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceStanding:
    """What a race has come to.

    Args:
        places: Best first.
        spread: The standard deviation between seeds, None when no candidate has two scores.
        end: Why it is over; None while it goes on.
        fallback: `spread` is made of sweep and fresh scores together: no candidate has two fresh ones.
    """

    places: tuple[Place, ...]
    spread: Pool | None
    end: End | None
    fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """The rules of one race; what it needs beside the scores of its runs.

    Args:
        sweep: For each candidate its scores in the sweep that count; () when they were measured at another budget.
        rounds: See `plan_rounds`; the first has all candidates.
        everyone: The scores of each of the sweep's configurations, the candidates included.
        rope: Configurations closer than this are equal, >= 0; None: none are.
        level: Chance at which the race ends early, in (0.5, 1).
        seed: Of the draws, >= 0.
    """

    sweep: tuple[tuple[float, ...], ...]
    rounds: tuple[Round, ...]
    everyone: tuple[tuple[float, ...], ...] = ()
    rope: float | None = None
    level: float = _LEVEL
    seed: int = 0
    _cache: dict[object, "End | None"] = field(default_factory=dict, init=False, compare=False, repr=False)

    def total(self) -> int:
        """Return the most runs that it can take."""
        return sum(item.keep * item.each for item in self.rounds)

    def next(self, scores: Scores) -> Step | End:
        """Return what is to be run now, or why nothing is; it depends on the scores of whole rounds only.

        So it does not matter in which order runs end, and a race that is read back from a record goes on alike.
        """
        active, had = tuple(range(self.rounds[0].keep)), [0] * len(self.sweep)
        for number, item in enumerate(self.rounds):
            known = _before(scores, had)
            raced, active = active, self._cut(active, known, item.keep)
            wanted = [(c, had[c] + k) for k in range(item.each) for c in active]
            missing = tuple(pair for pair in wanted if pair not in scores)
            if missing:
                fresh_round = number > 0 and len(missing) == len(wanted)
                end = self._early(raced, known) if fresh_round else None
                return end if end is not None else Step(round=number, runs=missing)
            for candidate in active:
                had[candidate] += item.each
        return End(reason=f"all {self.total()} runs of the race are made", kind="budget")

    def standing(self, scores: Scores) -> RaceStanding:
        """Return where everybody stands, best first: the later a candidate dropped out, the higher its place."""
        step = self.next(scores)
        reached = self._reached(scores)
        values = _values(scores, len(self.sweep))
        lost = _losses(scores, len(self.sweep))
        spread, fallback = self._spread(values)
        found = self._posterior(values, spread) if spread is not None else None
        drawn = None if found is None else found.draws
        runs = [c for c in range(len(self.sweep)) if values[c]]
        able = [c for c in runs if lost[c] == min((lost[i] for i in runs), default=0)]
        estimates = self._estimates(values, found)
        order = sorted(
            range(len(self.sweep)),
            key=lambda c: (-reached[c], not values[c], lost[c], -_or(estimates[c], -math.inf), c),
        )
        leader = next((c for c in order if c in able), None)
        chances = _best_shares(drawn, able) if drawn is not None and able else {}
        places = tuple(
            Place(
                candidate=c,
                sweep=mean(self.sweep[c]) if self.sweep[c] else None,
                fresh=tuple(values[c]),
                lost=lost[c],
                mean=mean(values[c]) if values[c] else None,
                **_interval(values[c], spread, None if drawn is None else drawn[:, c]),
                estimate=estimates[c],
                chance=None if drawn is None else chances.get(c, 0.0),
                tied=leader is not None and (c == leader or (c in able and self._tied(drawn, leader, c))),
                rounds=reached[c],
            )
            for c in order
        )
        end = step if isinstance(step, End) else None
        return RaceStanding(places=places, spread=spread, end=end, fallback=fallback)

    # -- how it is decided --------------------------------------------------------------------------------------------

    def _cut(self, active: tuple[int, ...], known: Scores, keep: int) -> tuple[int, ...]:
        """Return the `keep` active candidates whose true scores are expected to be the best, best first."""
        if not known:
            return active[:keep]
        values, lost = _values(known, len(self.sweep)), _losses(known, len(self.sweep))
        spread, _ = self._spread(values)
        estimates = self._estimates(values, None if spread is None else self._posterior(values, spread))
        return tuple(sorted(active, key=lambda c: (not values[c], lost[c], -_or(estimates[c], 0.0), c))[:keep])

    def _early(self, raced: tuple[int, ...], known: Scores) -> End | None:
        """Return the end of a race that is decided before its budget is used up; None when it is not.

        Args:
            raced: Who took part in the last round.
            known: The scores of all rounds so far.
        """
        key = (raced, tuple(sorted(known.items(), key=lambda item: item[0])))
        if key not in self._cache:  # asked again for every run of the round
            self._cache[key] = self._decided(raced, known)
        return self._cache[key]

    def _decided(self, raced: tuple[int, ...], known: Scores) -> End | None:
        values, lost = _values(known, len(self.sweep)), _losses(known, len(self.sweep))
        spread, fallback = self._spread(values)
        able = [c for c in range(len(self.sweep)) if values[c] and lost[c] == 0]
        left = [c for c in raced if c in able]
        if len(raced) < 2 or not left or fallback or spread is None:
            return None
        if _seedless(spread, values):
            return End(reason="every seed gave the same value: further ones tell nothing", kind="seedless")
        drawn = self._posterior(values, spread).draws
        chances = _best_shares(drawn, able)
        leader = max(left, key=lambda c: (chances[c], -c))
        if chances[leader] > self.level:
            said = chance_text(chances[leader])
            return End(reason=f"decided: the first is the best with a chance of {said}", kind="chance")
        others = [c for c in left if c != leader]
        if self.rope is not None and all(_within(drawn, leader, c, self.rope) > self.level for c in others):
            equal = tuple(sorted(left, key=lambda c: (-chances[c], c)))
            return End(reason=f"all that are left differ by less than {self.rope:g}", kind="rope", equal=equal)
        return None

    def _tied(self, drawn: Floats | None, leader: int, candidate: int) -> bool:
        """Return whether the data leave it open which of two is better: a chance of .05 or more, or the rope."""
        if drawn is None:
            return True
        gap = drawn[:, candidate] - drawn[:, leader]
        better = float(np.mean(gap > 0) + 0.5 * np.mean(gap == 0))
        return better >= 1 - _LEVEL or (self.rope is not None and _within(drawn, leader, candidate, self.rope) > _LEVEL)

    # -- the model ----------------------------------------------------------------------------------------------------

    def _spread(self, values: Sequence[Sequence[float]]) -> tuple[Pool | None, bool]:
        """Return the standard deviation between seeds, and whether sweep scores had to help."""
        repeated = [scores for scores in self.everyone if len(scores) > 1]
        found = pool([*values, *repeated])
        if found is not None:
            return found, False
        return pool([[*mine, *fresh] for mine, fresh in zip(self.sweep, values, strict=True)]), True

    def _posterior(self, values: Sequence[Sequence[float]], spread: Pool) -> TrueMeans:
        """Return what the true scores may be; NaN for a candidate without any score."""
        every = [[*mine, *fresh] for mine, fresh in zip(self.sweep, values, strict=True)]
        scored = [at for at, item in enumerate(every) if item]
        if _seedless(spread, every):
            means = np.array([mean(item) if item else np.nan for item in every])
            return TrueMeans(draws=means[None, :], means=means)
        found = true_means(
            [every[at] for at in scored],
            self._others(values),
            sd=spread.sd,
            df=spread.df,
            seed=(self.seed, sum(map(len, values))),
        )
        draws = np.full((len(found.draws), len(every)), np.nan)
        means = np.full(len(every), np.nan)
        draws[:, scored], means[scored] = found.draws, found.means
        return TrueMeans(draws=draws, means=means)

    def _others(self, values: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
        """Return the scores of the sweep's configurations that do not race."""
        left = [item for item in self.everyone if item]
        for mine, fresh in zip(self.sweep, values, strict=True):
            own = mine or tuple(fresh)
            if own in left:
                left.remove(own)
        return left

    def _estimates(self, values: Sequence[Sequence[float]], found: TrueMeans | None) -> list[float | None]:
        """Return what every candidate's true score is expected to be; the plain mean where no spread is known."""
        every = [[*mine, *fresh] for mine, fresh in zip(self.sweep, values, strict=True)]
        if found is None:
            return [mean(item) if item else None for item in every]
        return [float(value) if item else None for value, item in zip(found.means, every, strict=True)]

    def _reached(self, scores: Scores) -> list[int]:
        """Return how many rounds each candidate takes part in, as far as the race is."""
        active, had = tuple(range(self.rounds[0].keep)), [0] * len(self.sweep)
        reached = [0] * len(self.sweep)
        for item in self.rounds:
            known = _before(scores, had)
            active = self._cut(active, known, item.keep)
            wanted = [(c, had[c] + k) for k in range(item.each) for c in active]
            if not any(pair in scores for pair in wanted):
                break
            for candidate in active:
                reached[candidate] += 1
                had[candidate] += item.each
            if any(pair not in scores for pair in wanted):
                break
        return reached


def _seedless(spread: Pool, groups: Sequence[Sequence[float]]) -> bool:
    """Return whether seeds change nothing but the last digits."""
    return spread.sd <= _NO_SPREAD * max((abs(score) for item in groups for score in item), default=0.0)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _before(scores: Scores, had: Sequence[int]) -> dict[Pair, float | None]:
    """Return the scores of the rounds before this one."""
    return {pair: score for pair, score in scores.items() if pair[1] < had[pair[0]]}


def _values(scores: Scores, count: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in range(count)]
    for (candidate, _), score in sorted(scores.items(), key=lambda item: item[0]):
        if score is not None:
            found[candidate].append(score)
    return found


def _losses(scores: Scores, count: int) -> list[int]:
    lost = [0] * count
    for (candidate, _), score in scores.items():
        lost[candidate] += score is None
    return lost


def _interval(values: Sequence[float], spread: Pool | None, drawn: Floats | None) -> dict[str, float | None]:
    """Return the 95 % interval of a true score: half way between two, and it holds the mean of its fresh runs.

    That of the fresh runs alone, by Student's t, is too narrow for a pick, which is the luckiest of near equals; that
    of all scores together rests on a law that few scores tell. Either holds .90 where the other holds .95; simulated,
    their middle holds .95 and from the lower to the higher end .975.
    """
    if not values or spread is None or drawn is None:
        return {"low": None, "high": None}
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    half = quantile((1 + _LEVEL) / 2, spread.df) * spread.sd / math.sqrt(len(values))
    centre = mean(values)
    low, high = (float(low) + centre - half) / 2, (float(high) + centre + half) / 2
    return {"low": min(low, centre), "high": max(high, centre)}


def _best_shares(drawn: Floats, able: Sequence[int]) -> dict[int, float]:
    """Return how often each of some candidates is the best of them; equal ones share."""
    chosen = drawn[:, list(able)]
    top = chosen == chosen.max(axis=1, keepdims=True)
    shares = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
    return {candidate: float(share) for candidate, share in zip(able, shares, strict=True)}


def _within(drawn: Floats, leader: int, candidate: int, rope: float) -> float:
    """Return the chance that two candidates differ by less than the rope."""
    return float(np.mean(np.abs(drawn[:, candidate] - drawn[:, leader]) < rope))
