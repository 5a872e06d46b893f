"""Where a Gaussian process would look next: the best expected improvement, weighed with the chance to fail.

Sources: the logarithm of the expected improvement: Ament et al. 2023 (arXiv:2310.20708); times the probability of
feasibility: Gelbart et al. 2014 (arXiv:1403.5607), which `failures` knows; per second: Snoek et al. 2012
(arXiv:1206.2944); several objectives: Knowles 2006 (ParEGO), an augmented Tchebycheff sum with weights drawn for each
proposal; pending runs: their mean is believed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr  # type: ignore[import-untyped]
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from sweepkit.search.failures import Failures
from sweepkit.search.gaussian_process import GaussianProcess, Hyperparameters, fit
from sweepkit.search.gp_space import Floats, GpSpace

_DRAWS = 400  # rows all over the space that are looked at
_STARTS, _AROUND = 8, 24  # from where the search goes on, and how many neighbours of each it looks at, each time
_STEPS = (0.3, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002)
_RETURNED = 64
_DIGITS = 9  # scores are compared so far: the last bits depend on the BLAS
_CLIP = 4.0  # a value that is worse than the median by more than this many quartile distances is cut
_FORBIDDEN = 100.0  # beyond an even chance no improvement outweighs it
_NO_NOISE = 1e-6
_RISKS = (0.5, 0.2, 0.1, 0.05, 0.02)  # the chance to fail that is taken, by how many of the newest runs failed
_FEWEST_TIMED = 5  # finished runs before durations are learned
# Likewise: how near to a failed run is too near, as the part of the way there from one that did not fail,
_NEAR = (0.8, 0.8, 0.7, 0.5, 0.35)
_BETWEEN = 0.501  # when none failed lately, choices seen in bad company alone may be tried no nearer to failed runs
_DOUBTS = (0.0, 0.01, 0.02, 0.03, 0.05)  # and the standard deviations by which an edge may lie nearer than thought.


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The runs that a proposal is made from.

    Args:
        rows: Of the runs with a value, shape (n, p).
        losses: What they reached, less is better, shape (n, objectives).
        pending: Rows of the runs whose value is still to come, shape (m, p).
        failed: Rows of the runs that ended without a value, shape (k, p).
        seconds: How long the runs with a value took, NaN where nobody knows, shape (n,); None: it does not matter.
        lately: How many of the newest ended runs failed.
        taught: Of the runs with a value, the places of those that the hyperparameters are learned from.
        doubt: How little the value of each says of what the run would have reached: the variance of what is wrong with
            it, over that of all values, shape (n,); None: nothing is.
    """

    rows: Floats
    losses: Floats
    pending: Floats
    failed: Floats
    taught: Sequence[int]
    lately: int = 0
    seconds: Floats | None = None
    doubt: Floats | None = None


class GpSearch:
    """Proposes rows. What it remembers is a memo: equal runs give equal rows, in a fresh one too.

    Args:
        space: Of the rows.
        noisy: Learn the noise of the values.
    """

    def __init__(self, space: GpSpace, *, noisy: bool = True) -> None:
        self._space = space
        self._noise = None if noisy else _NO_NOISE
        self._memo: dict[str, tuple[bytes, Hyperparameters]] = {}
        self._threads = ThreadpoolController()

    def propose(self, shown: Shown, seed: int, only: Floats | None = None) -> Floats:
        """Return rows to try, the best first, at most 64.

        Args:
            shown: The runs; at least one has a value.
            seed: Of the draws.
            only: The rows that may be proposed, shape (k, p); None: any.
        """
        with self._threads.limit(limits=1):
            generator = np.random.default_rng(seed)
            score = self._score(shown, generator)
            if only is not None:
                return only[_best_first(score(only))[:_RETURNED]]
            return self._searched(shown, generator, score)

    def chance(self, shown: Shown, rows: Floats) -> Floats:
        """Return the chance of rows to end with a value, in (0, 1), shape (n,)."""
        with self._threads.limit(limits=1):
            return np.exp(self._sure(shown).at(rows))

    def _score(self, shown: Shown, generator: np.random.Generator) -> "_Score":
        losses = _scalar(shown.losses, generator)
        values = _standardised(losses)
        taught, doubt = shown.taught, shown.doubt
        learned = None if doubt is None else doubt[taught]
        known = self._known("values", shown.rows[taught], _standardised(losses[taught]), self._noise, learned)
        rows = np.concatenate([shown.rows, shown.pending])
        values = np.append(values, np.full(len(shown.pending), np.nan))
        doubt = None if doubt is None else np.append(doubt, np.zeros(len(shown.pending)))
        process = GaussianProcess(self._space, rows, values, known, doubt)
        return _Score(process, float(process.at(shown.rows)[0].min()), self._sure(shown), self._durations(shown))

    def _durations(self, shown: Shown) -> "_Durations | None":
        known = np.array([], dtype=int) if shown.seconds is None else np.flatnonzero(shown.seconds > 0)
        if shown.seconds is None or len(known) < _FEWEST_TIMED:
            return None
        logs = np.log(shown.seconds[known])
        middle, spread = float(logs.mean()), max(float(logs.std()), 1e-6)
        values = (logs - middle) / spread
        taught = np.isin(known, shown.taught)
        taught = taught if taught.sum() >= _FEWEST_TIMED else np.ones(len(known), dtype=bool)
        learned = self._known("seconds", shown.rows[known[taught]], values[taught], None)
        return _Durations(GaussianProcess(self._space, shown.rows[known], values, learned), values, spread)

    def _sure(self, shown: Shown) -> "_Sure":
        failures = Failures(self._space, shown.rows, shown.failed) if len(shown.failed) else None
        return _Sure(failures, min(shown.lately, len(_RISKS) - 1))

    def _known(
        self, name: str, rows: Floats, values: Floats, noise: float | None, doubt: Floats | None = None
    ) -> Hyperparameters:
        key = np.column_stack([rows, np.round(values, _DIGITS)]).tobytes() + (b"" if doubt is None else doubt.tobytes())
        if name not in self._memo or self._memo[name][0] != key:
            self._memo[name] = key, fit(self._space, rows, values, noise=noise, doubt=doubt)
        return self._memo[name][1]

    def _searched(self, shown: Shown, generator: np.random.Generator, score: "_Score") -> Floats:
        space = self._space
        order = np.argsort(shown.losses[:, 0], kind="stable")[:_STARTS]
        around = np.repeat(shown.rows[order], _AROUND, axis=0)
        rows = np.concatenate(
            [
                space.draws(generator.random((_DRAWS, space.width))),
                space.neighbours(around, generator, 0.1),
                space.neighbours(around, generator, 0.02),
            ]
        )
        rows = _without(rows, shown.rows, shown.pending)
        scores = score(rows)
        seen, marks = [rows], [scores]
        best = _best_first(scores)[:_STARTS]
        starts, heights = rows[best], scores[best]
        for step in _STEPS:
            around = space.neighbours(np.repeat(starts, _AROUND, axis=0), generator, step)
            scores = score(around)
            seen.append(around)
            marks.append(scores)
            table = scores.reshape(len(starts), _AROUND)
            chosen = table.argmax(1)
            better = table[np.arange(len(starts)), chosen] > heights
            places = np.arange(len(starts)) * _AROUND + chosen
            starts = np.where(better[:, None], around[places], starts)
            heights = np.where(better, scores[places], heights)
        rows, scores = np.concatenate(seen), np.concatenate(marks)
        return rows[_best_first(scores)[:_RETURNED]]


class _Score:
    """The logarithm of the expected improvement times the chance of a value, per second where seconds matter."""

    def __init__(
        self, process: GaussianProcess, best: float, sure: "_Sure", durations: "_Durations | None" = None
    ) -> None:
        self._process, self._best, self._sure, self._durations = process, best, sure, durations

    def __call__(self, rows: Floats) -> Floats:
        mean, variance = self._process.at(rows)
        deviation = np.sqrt(variance)
        gain = _log_improvement((self._best - mean) / deviation) + np.log(deviation)
        if self._durations is not None:
            gain = gain - self._durations.at(rows)
        return np.round(gain + self._sure.at(rows), _DIGITS)


class _Durations:
    """The logarithm of how long runs take, up to a constant; never beyond what was seen.

    Args:
        process: Over standardised logarithms.
        seen: Those of the runs.
        spread: Their standard deviation before.
    """

    def __init__(self, process: GaussianProcess, seen: Floats, spread: float) -> None:
        self._process, self._spread = process, spread
        self._least, self._most = float(seen.min()), float(seen.max())

    def at(self, rows: Floats) -> Floats:
        found: Floats = self._spread * np.clip(self._process.at(rows)[0], self._least, self._most)
        return found


class _Sure:
    """The logarithm of the chance to end with a value; 0 while nothing failed.

    Args:
        failures: Where runs fail.
        caution: Which of the risks is taken.
    """

    def __init__(self, failures: Failures | None, caution: int) -> None:
        self._failures, self._calm = failures, caution == 0
        self._risk, self._near, self._doubt = _RISKS[caution], _NEAR[caution], _DOUBTS[caution]

    def at(self, rows: Floats) -> Floats:
        if self._failures is None:
            return np.zeros(len(rows))
        mean, deviation, near = self._failures.at(rows)
        chance = (1 + mean + self._doubt * deviation) / 2  # to fail; beyond both sides below 0 and above 1
        chance = np.maximum(chance, near - self._near + self._risk)
        if self._calm:
            tried = (near <= _BETWEEN) & self._failures.unproven(rows)
            chance = np.where(tried, np.minimum(chance, self._risk), chance)
        found: Floats = np.log1p(-np.clip(chance, 0.0, 0.5)) - _FORBIDDEN * np.maximum(chance - self._risk, 0.0)
        return found


def _log_improvement(z: Floats) -> Floats:
    """Return log(phi(z) + z Phi(z)), exact where the sum is far below the smallest float.

    >>> np.round(_log_improvement(np.array([0.0, -10.0, -1e4])), 3).tolist()
    [-0.919, -55.553, -50000019.34]
    """
    near = np.exp(-0.5 * np.square(np.maximum(z, -1.0))) / np.sqrt(2 * np.pi)
    near = near + np.maximum(z, -1.0) * np.exp(log_ndtr(np.maximum(z, -1.0)))
    t = np.clip(-z, 1.0, 1e150)
    ratio = 1 - np.sqrt(np.pi / 2) * t * erfcx(t / np.sqrt(2))  # loses its digits far out, where 1 / t² is exact
    far = (
        -0.5 * np.square(t)
        - 0.5 * np.log(2 * np.pi)
        + np.where(t > 1e3, -2 * np.log(t), np.log(np.maximum(ratio, 1e-30)))
    )
    found: Floats = np.where(z > -1.0, np.log(near), far)
    return found


def _standardised(losses: Floats) -> Floats:
    """Return losses with mean 0 and deviation 1, bad outliers cut; zeros when all are equal. Any finite ones go."""
    losses = np.clip(losses, -1e100, 1e100)
    scale = max(float(np.abs(losses).max()), 1e-300)
    losses = losses / scale
    best, quarter, middle = np.quantile(losses, [0.0, 0.25, 0.5])
    spread = middle - best
    if 0 < 1000 * (quarter - best) < spread:
        spread = quarter - best
    if spread > 0:
        losses = np.minimum(losses, best + _CLIP * spread)
    deviation = float(losses.std())
    return (losses - losses.mean()) / deviation if deviation > 1e-14 else np.zeros(len(losses))


def _scalar(losses: Floats, generator: np.random.Generator) -> Floats:
    """Return one loss for each run; of several the greatest weighted one, with weights drawn here."""
    if losses.shape[1] == 1:
        return losses[:, 0]
    weights = generator.dirichlet(np.ones(losses.shape[1]))
    columns = np.column_stack([_standardised(column) for column in losses.T])
    columns = weights * (columns - columns.min(0))
    found: Floats = columns.max(1) + 0.05 * columns.sum(1)
    return found


def _best_first(scores: Floats) -> NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")


def _without(rows: Floats, *others: Floats) -> Floats:
    """Return rows without those among others; all of them when none is left."""
    known = {row.tobytes() for other in others for row in other}
    kept = [row.tobytes() not in known for row in rows]
    return rows[kept] if any(kept) else rows
