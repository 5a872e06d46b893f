"""A Gaussian process in numpy: Matern-5/2 with a length scale for each group of distances, a mean and noise.

Sources: Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", sections 2.7 (the mean), 4.2 (Matern),
5.4 (the marginal likelihood and its gradient); length scales that grow with the root of the number of parameters:
Hvarfner et al. 2024 (arXiv:2402.02229).

The hyperparameters are those of the greatest posterior density from one start, rounded to 0.01 on their logarithmic
scale: so a last bit that another BLAS rounds otherwise does not change what is proposed.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize  # type: ignore[import-untyped]

from sweepkit.search.gp_space import Floats, GpSpace

_STEPS = 20  # of the optimizer
_JITTERS = (0.0, 1e-6, 1e-4, 1e-2)  # added to the noise until the matrix can be factored
_SCALE_SPREAD, _MINOR_SCALE = 1.0, 1.0  # of the priors on logarithmic scales: standard deviation, more for the matched
_NOISE, _NOISE_SPREAD = np.log(1e-3), 1.5
_LEAST_NOISE = 1e-6
_LEAST_SCALE = 0.05  # where a range is 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Natural logarithms, in units of standardised values.

    Args:
        scales: Length scale of each group, shape (groups,).
        signal: Variance of the function.
        noise: Variance of the noise.
    """

    scales: Floats
    signal: float
    noise: float


def fit(
    space: GpSpace, rows: Floats, values: Floats, *, noise: float | None = None, doubt: Floats | None = None
) -> Hyperparameters:
    """Return the hyperparameters of the greatest posterior density.

    Args:
        space: Gives the distances.
        rows: Where, shape (n, p).
        values: What, about standardised, finite; shape (n,).
        noise: Its variance, > 0; None: it is learned.
        doubt: Variance of what is known to be wrong with each value beside it, >= 0, shape (n,); None: nothing.
    """
    distances = _distances(space, rows)
    groups = len(distances)
    center = _prior_center(space, noise)
    spread = np.array([*[_SCALE_SPREAD] * groups, 1.0, _NOISE_SPREAD])
    low = np.array([*[np.log(_LEAST_SCALE)] * groups, -3.0, np.log(_LEAST_NOISE if noise is None else noise)])
    high = np.array([*[6.0] * groups, 3.0, 0.5 if noise is None else low[-1]])

    def cost(theta: Floats) -> tuple[float, Floats]:
        found, slope = _likelihood(distances, values, theta, doubt)
        away = (theta - center) / spread
        return 0.5 * float(away @ away) - found, away / spread - slope

    options = {"maxiter": _STEPS, "maxls": 10}
    bounds = list(zip(low, high, strict=True))
    found = optimize.minimize(
        cost, np.clip(center, low, high), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    theta = np.round(found.x if np.all(np.isfinite(found.x)) else center, 2)
    return Hyperparameters(scales=theta[:groups], signal=float(theta[-2]), noise=float(theta[-1]))


class GaussianProcess:
    """The posterior of a function at some rows.

    Args:
        space: Gives the distances.
        rows: Where, shape (n, p); n >= 1.
        values: What, shape (n,); NaN where the value is still to come: there the mean of the others stands in.
        known: Hyperparameters.
        doubt: As for `fit`.
    """

    def __init__(
        self, space: GpSpace, rows: Floats, values: Floats, known: Hyperparameters, doubt: Floats | None = None
    ) -> None:
        self._space = space
        self._weights = np.exp(-2 * known.scales)
        self._signal = float(np.exp(known.signal))
        least = float(np.exp(known.noise))
        noise: float | Floats = least if doubt is None else least + doubt
        self._features = space.features(rows)
        there = np.isfinite(values)
        covariance = self._covariance(rows[there])[:, there]
        factor = _factor(covariance, noise if isinstance(noise, float) else noise[there])
        ones = linalg.cho_solve((factor, True), np.ones(len(covariance)))
        solved = linalg.cho_solve((factor, True), values[there])
        self.mean = float(values[there] @ ones) / float(ones.sum())
        self._alpha = np.zeros(len(values))
        self._alpha[there] = solved - self.mean * ones
        full = factor if there.all() else _factor(self._covariance(rows), noise)
        self._inverse = linalg.solve_triangular(full, np.eye(len(values)), lower=True, check_finite=False)

    def at(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the variance of the function (without noise) at rows; each of shape (n,)."""
        covariance = self._covariance(rows)
        half = covariance @ self._inverse.T
        variance = np.maximum(self._signal - np.einsum("ij,ij->i", half, half), 1e-10 * self._signal)
        return self.mean + covariance @ self._alpha, variance

    def _covariance(self, rows: Floats) -> Floats:
        """Return the covariances of rows with those of the process, shape (n, own)."""
        (ordered, matched), (own_ordered, own_matched) = self._space.features(rows), self._features
        split = ordered.shape[1]
        root = np.sqrt(self._weights[:split])
        a, b = ordered * root, own_ordered * root
        squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
        for weight, column, own in zip(self._weights[split:], matched.T, own_matched.T, strict=True):
            squares += weight * (column[:, None] != own)
        found = correlation(np.maximum(squares, 0.0, out=squares))
        found *= self._signal
        return found


def _prior_center(space: GpSpace, noise: float | None) -> Floats:
    scale = np.log(0.5) + 0.25 * np.log(max(1, space.width))
    return np.array([*(scale + _MINOR_SCALE * space.minor), 0.0, _NOISE if noise is None else np.log(noise)])


def _distances(space: GpSpace, rows: Floats) -> Floats:
    """Return the distances of each group, shape (groups, n, n)."""
    ordered, matched = space.features(rows)
    apart = (ordered.T[:, :, None] - ordered.T[:, None, :]) ** 2
    unequal = (matched.T[:, :, None] != matched.T[:, None, :]).astype(float)
    return np.concatenate([apart, unequal])


def correlation(squares: Floats) -> Floats:
    """Return the correlation at squared distances: Matern-5/2, with as few matrices beside it as can be."""
    root, decay = _root_and_decay(squares)
    found = 1 + root
    root *= root
    root /= 3
    found += root
    found *= decay
    return found


def _with_slope(squares: Floats) -> tuple[Floats, Floats]:
    """Return the correlation at squared distances, and its derivative by them."""
    root, decay = _root_and_decay(squares)
    slope = 1 + root
    root *= root
    root /= 3
    root += slope
    root *= decay
    decay *= -5 / 6
    slope *= decay
    return root, slope


def _root_and_decay(squares: Floats) -> tuple[Floats, Floats]:
    root = 5 * squares
    np.sqrt(root, out=root)
    decay = -root
    np.exp(decay, out=decay)
    return root, decay


def _factor(covariance: Floats, noise: float | Floats) -> Floats:
    """Return the lower Cholesky factor of a covariance with noise, more of it where the matrix is singular."""
    scale = float(np.max(np.diag(covariance)))
    for jitter in _JITTERS:
        shifted = covariance.copy()
        shifted.flat[:: len(covariance) + 1] += noise + (jitter + 1e-9) * scale
        try:
            factor: Floats = linalg.cholesky(shifted, lower=True, check_finite=False)
        except linalg.LinAlgError:
            continue
        return factor
    raise linalg.LinAlgError("a covariance could not be factored, whatever noise was added")


def _inverse(factor: Floats) -> Floats:
    """Return the inverse of the matrix that a lower Cholesky factor is of; half the work of solving for it."""
    lower, _ = linalg.lapack.dpotri(factor, lower=1)
    lower = np.tril(lower)
    found: Floats = lower + np.tril(lower, -1).T
    return found


def _likelihood(distances: Floats, values: Floats, theta: Floats, doubt: Floats | None = None) -> tuple[float, Floats]:
    """Return the logarithm of the marginal likelihood and its gradient."""
    groups, n = len(distances), len(values)
    weights = np.exp(-2 * theta[:groups])
    signal, noise = np.exp(theta[-2]), np.exp(theta[-1])
    flat = distances.reshape(groups, n * n)
    equal, slope = _with_slope((weights @ flat).reshape(n, n))
    factor = _factor(signal * equal, float(noise) if doubt is None else noise + doubt)
    inverse = _inverse(factor)
    ones = inverse.sum(0)
    centered = values - float(values @ ones) / float(ones.sum())
    alpha = inverse @ centered
    found = -0.5 * float(centered @ alpha) - float(np.log(np.diag(factor)).sum())
    pull = np.outer(alpha, alpha)
    pull -= inverse
    pull *= 0.5
    slope *= pull
    by_scale = -2 * weights * (flat @ slope.reshape(-1)) * signal
    by_signal = signal * float(np.vdot(pull, equal))
    return found, np.array([*by_scale, by_signal, noise * float(np.trace(pull))])
