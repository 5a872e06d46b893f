"""Where runs fail: a function over rows, at most -1 where runs ended with a value and at least 1 where they failed.

Of all such functions the smoothest one: a support vector machine with squared hinge loss, its kernel a plane plus a
Matern process. The plane finds an edge that runs straight through the space from few failures, the process bends it. In
between, the function tells where in the gap between both sides a row lies: an edge has no noise, so a row that goes a
tenth of the gap fails once in ten.

Source: Chapelle 2007, "Training a Support Vector Machine in the Primal", for the loss; its dual with the offset in the
kernel is a least squares problem with weights >= 0 (Lawson and Hanson 1974).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize  # type: ignore[import-untyped]

from sweepkit.search.gaussian_process import correlation
from sweepkit.search.gp_space import Floats, GpSpace

_PLANE, _BENT = 3e4, 1e3  # prior variances: an edge is straight before it is bent
_SCALE = 0.5  # length scale of what is bent, where a range is 1
_LOSS = 1e-4  # added to the diagonal: how much of a hinge may stay open


class Failures:
    """The function.

    Args:
        space: Of the rows.
        good: Rows of the runs that ended with a value, shape (n, p).
        failed: Rows of those that did not, shape (k, p); k >= 1.
    """

    def __init__(self, space: GpSpace, good: Floats, failed: Floats) -> None:
        self._space = space
        self._features = space.features(np.concatenate([good, failed]))
        self._good = len(good)
        labels = np.append(np.full(len(good), -1.0), np.full(len(failed), 1.0))
        kernel = self._kernels(self._features)[0]
        self._weights = _machine(kernel, labels)
        held = self._held = np.flatnonzero(self._weights)
        self._factor = linalg.cholesky(kernel[np.ix_(held, held)] + _LOSS * np.eye(len(held)), lower=True)

    def at(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the function at rows, its standard deviation, and how near failed runs are, each of shape (n,).

        The last is 0 where a run ended with a value, 1 where one failed, and 0.5 where both are as far.
        """
        features = self._space.features(rows)
        kernel, squares = self._kernels(features)
        half = linalg.solve_triangular(self._factor, kernel[:, self._held].T, lower=True, check_finite=False)
        variance = np.maximum(self._prior(features) - np.einsum("ij,ij->j", half, half), 0.0)
        good = np.sqrt(squares[:, : self._good].min(1, initial=1e6))
        failed = np.sqrt(squares[:, self._good :].min(1))
        return kernel @ self._weights, np.sqrt(variance), good / np.maximum(good + failed, 1e-300)

    def unproven(self, rows: Floats) -> NDArray[np.bool_]:
        """Return of which rows a choice stands in no run that ended with a value, shape (n,)."""
        chosen, own = self._space.features(rows)[1], self._features[1][: self._good]
        found = np.zeros(len(rows), dtype=bool)
        for column, other in zip(chosen.T, own.T, strict=True):
            found |= ~np.isin(column, other)
        return found

    def _prior(self, features: tuple[Floats, Floats]) -> Floats:
        ordered, matched = features
        found: Floats = _PLANE * (1 + np.square(2 * ordered - 1).sum(1) + matched.shape[1]) + _BENT
        return found

    def _kernels(self, features: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """Return the kernel between features and the runs', and the squared distances."""
        (a, chosen), (b, own) = features, self._features
        a, b = 2 * a - 1, 2 * b - 1
        equal = np.zeros((len(a), len(b)))
        for column, other in zip(chosen.T, own.T, strict=True):
            equal += column[:, None] == other
        product = a @ b.T
        apart = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * product
        squares = np.maximum(apart / 4, 0.0) + (chosen.shape[1] - equal)
        return _PLANE * (1 + product + equal) + _BENT * correlation(squares / _SCALE**2), squares


def _machine(kernel: Floats, labels: Floats) -> Floats:
    """Return the weights of the rows: the least squares with weights >= 0 that the machine's dual is."""
    signed = kernel * np.outer(labels, labels)
    factor = linalg.cholesky(signed + _LOSS * np.eye(len(labels)), check_finite=False)
    target = linalg.solve_triangular(factor, np.ones(len(labels)), trans=1, check_finite=False)
    weights, _ = optimize.nnls(factor, target, maxiter=100 * len(labels))
    found: Floats = weights * labels
    return found
