"""Sweeps whose true scores and seeds scatter in known ways, each confirmed by the real race and by an oracle.

A world is a law of true scores and one of seeds; 50 configurations (12 in one), each run once with a standard deviation
of .003 between seeds, then the race of 15 fresh runs. The oracle (oracle.py) knows both laws and runs one seed at a
time: no procedure can be expected to leave less regret.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from oracle import oracle_chance, oracle_pick
from scipy.special import ndtr  # type: ignore[import-untyped]

from sweepkit.stats.race import End, Race, plan_rounds

SD = 0.003  # between seeds
BOUNDS = (0.0, 0.5, 0.7, 0.85, 0.95, 1.01)  # of the chance that is told


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How true means and seeds scatter.

    Args:
        draw: True means of a sweep's configurations.
        upto: Their distribution function.
        collapsing: Share of seeds that score .02 less.
    """

    draw: Callable[[np.random.Generator], np.ndarray]
    upto: Callable[[np.ndarray], np.ndarray]
    collapsing: float = 0.0

    def seeds(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Return what seeds add to a true mean."""
        normal = SD * rng.normal(size=size)
        return normal - 0.02 * (rng.random(size) < self.collapsing) if self.collapsing else normal

    def likely(self, off: np.ndarray) -> np.ndarray:
        """Return the density of what a seed adds, up to a factor."""
        near, far = np.exp(-0.5 * (off / SD) ** 2), np.exp(-0.5 * ((off + 0.02) / SD) ** 2)
        return (1 - self.collapsing) * near + self.collapsing * far


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """One confirmed sweep.

    Args:
        n: Its configurations.
        told: The chance to be the best of the five that the race told its pick to have.
        held: It is.
        known: The chance by who knows how true means and seeds scatter, from the same scores. Its mean is what `held`
            is on average, and it varies far less: so few sweeps tell whether what is told is right.
        covers: Its 95 % interval holds its true score.
        maximum, race, oracle: The regret of the sweep's maximum, of the race's pick, of the oracle's.
    """

    n: int
    told: float
    held: bool
    known: float
    covers: bool
    maximum: float
    race: float
    oracle: float


def _normal(x: np.ndarray) -> np.ndarray:
    return ndtr(x / 0.007)


WORLDS: dict[str, World] = {
    "normal": World(draw=lambda rng: 0.007 * rng.normal(size=50), upto=_normal),
    "exponential tail": World(
        draw=lambda rng: -0.007 * rng.exponential(size=50), upto=lambda x: np.exp(np.minimum(x, 0.0) / 0.007)
    ),
    "engine-led": World(
        draw=lambda rng: np.concatenate([0.007 * rng.normal(size=15), 0.01 + 0.002 * rng.normal(size=35)]),
        upto=lambda x: 0.3 * _normal(x) + 0.7 * ndtr((x - 0.01) / 0.002),
    ),
    "all equal": World(draw=lambda rng: 1e-9 * rng.normal(size=50), upto=lambda x: ndtr(x / 1e-4)),
    "30 % far below": World(
        draw=lambda rng: np.where(rng.random(50) < 0.3, -0.1, 0.0) + 0.007 * rng.normal(size=50),
        upto=lambda x: 0.7 * _normal(x) + 0.3 * _normal(x + 0.1),
    ),
    "12 configurations": World(draw=lambda rng: 0.007 * rng.normal(size=12), upto=_normal),
    "normal, 1 of 10 seeds collapses": World(
        draw=lambda rng: 0.007 * rng.normal(size=50), upto=_normal, collapsing=0.1
    ),
}


def raced(name: str, seed: int) -> Raced:
    """Return one sweep of a world, confirmed."""
    world = WORLDS[name]
    rng = np.random.default_rng([9, list(WORLDS).index(name), seed])
    truth = world.draw(rng)
    first = truth + world.seeds(rng, len(truth))
    told, pick, five, covers, scores = _race(truth, first, world, rng, seed)
    chance = oracle_chance(scores, five.index(pick), world.upto, world.likely)
    known = oracle_pick(first, world.upto, world.likely, partial(_one_more, truth, world, rng))
    maximum, race, oracle = (float(truth.max() - truth[at]) for at in (int(np.argmax(first)), pick, known))
    held = bool(truth[pick] == truth[five].max())
    return Raced(
        n=len(truth), told=told, held=held, known=chance, covers=bool(covers), maximum=maximum, race=race, oracle=oracle
    )


def bins(found: Sequence[Raced]) -> list[list[Raced]]:
    """Return the sweeps by the chance that was told, one list for each two neighbours of `BOUNDS`."""
    ends = zip(BOUNDS, BOUNDS[1:], strict=False)
    return [[item for item in found if low <= item.told < high] for low, high in ends]


def _one_more(truth: np.ndarray, world: World, rng: np.random.Generator, at: int) -> float:
    return float(truth[at] + world.seeds(rng, 1)[0])


def _race(
    truth: np.ndarray, first: np.ndarray, world: World, rng: np.random.Generator, seed: int
) -> tuple[float, int, list[int], bool, list[list[float]]]:
    """Return the chance that the pick was told, it, the five, whether its interval holds its mean, and their scores."""
    top = [int(at) for at in np.argsort(-first)[:5]]
    sweep = tuple((float(first[at]),) for at in top)
    race = Race(sweep=sweep, rounds=plan_rounds(5, 15), everyone=tuple((float(x),) for x in first), seed=seed)
    scores: dict[tuple[int, int], float | None] = {}
    while not isinstance(step := race.next(scores), End):
        for candidate, which in step.runs:
            scores[candidate, which] = _one_more(truth, world, rng, top[candidate])
    best = race.standing(scores).places[0]
    pick = top[best.candidate]
    assert best.low is not None and best.high is not None
    every = [[float(first[at]), *(scores[k] or 0.0 for k in sorted(scores) if k[0] == c)] for c, at in enumerate(top)]
    return best.chance or 0.0, pick, top, best.low <= truth[pick] <= best.high, every
