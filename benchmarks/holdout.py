"""How often the interval behind a hold-out score holds the score on endlessly many new examples.

    python benchmarks/holdout.py [--repetitions 2000]      half a minute; `confirm.py` has the same table

A sweep's pick is run twice with fresh seeds on a hold-out set of some examples. Its score of an example is the truth,
+ what the example is (the same for every seed), + the luck of the seed, + what the seed makes of the example. Once that
is a mean (as ROUGE is), once the margin by which a class is right, scored as macro F1 and accuracy. The spread between
seeds is that of a race, of 10 degrees of freedom: as far as the seeds' scores on its own set scatter.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from measuring import table
from numpy.typing import NDArray

from sweepkit.stats.holdout import class_error, half_interval, mean_error
from sweepkit.stats.student import Pool

_SEEDS, _DF = 2, 10
_CLASSES = np.array(["a", "b", "c"])
_ENDLESS = 400_000
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of hold-out.

    Args:
        examples: How many.
        luck: Standard deviation of the score by the choice of examples.
        noise: By the seed.
        own: By what a seed makes of single examples.
        metric: "mean", "macro_f1" or "accuracy".
    """

    examples: int
    luck: float
    noise: float
    own: float = 0.0
    metric: str = "mean"


KINDS: Mapping[str, Kind] = {
    "mean, the examples' luck equals the seeds'": Kind(examples=500, luck=0.003, noise=0.003),
    "mean, three times the seeds'": Kind(examples=500, luck=0.009, noise=0.003),
    "mean, a third of it": Kind(examples=500, luck=0.001, noise=0.003),
    "mean, seeds differ by single examples alone": Kind(examples=500, luck=0.003, noise=0.0, own=0.003),
    "mean, 60 examples": Kind(examples=60, luck=0.009, noise=0.003),
    "macro F1, 300 images": Kind(examples=300, luck=0.06, noise=0.02, own=0.03, metric="macro_f1"),
    "macro F1, 60 images": Kind(examples=60, luck=0.12, noise=0.02, own=0.06, metric="macro_f1"),
    "accuracy, 300 images": Kind(examples=300, luck=0.06, noise=0.02, own=0.03, metric="accuracy"),
}


def coverage(name: str, repetitions: int) -> tuple[float, float, float]:
    """Return how often the interval by seeds alone holds the truth, the one of both parts, and the latter's half."""
    kind = KINDS[name]
    rng = np.random.default_rng([list(KINDS).index(name), repetitions])
    draw = _means if kind.metric == "mean" else _classes
    truth = 0.0 if kind.metric == "mean" else _endless(kind, rng)
    sd = _seed_sd(kind, draw, rng)
    held, halves = np.zeros(2), []
    for seed in range(repetitions):
        scores, error = draw(kind, rng, _SEEDS, seed)
        spread = Pool(sd=sd * math.sqrt(rng.chisquare(_DF) / _DF), df=_DF)
        alone = half_interval(spread, _SEEDS)
        both = half_interval(spread, _SEEDS, error=error, examples=kind.examples)
        held += abs(float(scores.mean()) - truth) <= np.array([alone, both])
        halves.append(both)
    alone, whole = held / repetitions
    return float(alone), float(whole), float(np.mean(halves))


_Draw = Callable[[Kind, np.random.Generator, int, int], tuple[_Floats, float]]


def _seed_sd(kind: Kind, draw: _Draw, rng: np.random.Generator) -> float:
    """Return the standard deviation between seeds on one set, averaged over sets."""
    variances = [draw(kind, rng, 8, seed)[0].var(ddof=1) for seed in range(60)]
    return math.sqrt(float(np.mean(variances)))


def _margins(kind: Kind, rng: np.random.Generator, seeds: int) -> _Floats:
    root = math.sqrt(kind.examples)
    common = kind.luck * root * rng.normal(size=kind.examples)
    own = kind.own * root * rng.normal(size=(seeds, kind.examples))
    return common + kind.noise * rng.normal(size=(seeds, 1)) + own


def _means(kind: Kind, rng: np.random.Generator, seeds: int, seed: int) -> tuple[_Floats, float]:
    matrix = _margins(kind, rng, seeds)
    return matrix.mean(axis=1), mean_error(matrix)


def _classes(kind: Kind, rng: np.random.Generator, seeds: int, seed: int) -> tuple[_Floats, float]:
    labels = rng.integers(3, size=kind.examples)
    right = _margins(kind, rng, seeds) + 1.0 > 0
    guessed = np.where(right, labels, (labels + rng.integers(1, 3, size=right.shape)) % 3)
    scores = np.array([_score(labels, one, kind.metric) for one in guessed])
    names = [list(_CLASSES[one]) for one in guessed]
    return scores, class_error(list(_CLASSES[labels]), names, kind.metric, seed=seed) if seeds == _SEEDS else 0.0


def _score(labels: NDArray[np.int64], guessed: NDArray[np.int64], metric: str) -> float:
    if metric == "accuracy":
        return float((labels == guessed).mean())
    hits = np.bincount(labels[labels == guessed], minlength=3)
    total = np.bincount(labels, minlength=3) + np.bincount(guessed, minlength=3)
    return float((2.0 * hits / total).mean())


def _endless(kind: Kind, rng: np.random.Generator) -> float:
    """Return the score on endlessly many examples and seeds: all classes are alike, so both scores are the same."""
    spread = math.sqrt(kind.examples * (kind.luck**2 + kind.own**2) + kind.noise**2)
    return float((1.0 + spread * rng.normal(size=_ENDLESS * 10) > 0).mean())


def coverage_table(repetitions: int) -> str:
    """Return the table; kinds that need draws of classes get a fifth of the repetitions."""
    rows = []
    for name, kind in KINDS.items():
        count = repetitions if kind.metric == "mean" else max(1, repetitions // 5)
        alone, both, _ = coverage(name, count)
        rows.append([name, str(count), f"{alone:.3f}", f"{both:.3f}", f"{math.sqrt(0.95 * 0.05 / count):.3f}"])
    return table(["hold-out, 2 seeds", "picks", "seeds alone", "seeds and examples", "standard error"], rows)


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repetitions", type=int, default=2000, help="picks of each kind (default: 2000)")
    print(coverage_table(options.parse_args().repetitions))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
