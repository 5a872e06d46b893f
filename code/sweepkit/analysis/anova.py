"""A Gaussian process made of one part for each set of parameters, and what of it may be said in any design. Pure.

The kernel is 1 + [(1 + r w₁ k₁)(1 + r w₂ k₂)… - 1] / r, where each k averages to zero over its parameter's range: main
effects w k, interactions of two r w w k k, of three r² www kkk. So the mean falls apart into main effects and
interactions, and their variances over the *whole* declared range have a closed form: shares of the variance that do not
depend on where an engine looked. The interactions have a scale of their own: a value that an engine tried a few times
only shows its effect if that may be the same elsewhere, and with one scale for all the model took it for an
interaction. Who matters stood on top of 100 runs of TPE in .60 of 20 sweeps with one scale, in .65 with two, of two
additive effects and of three alike (in .72 and .69, .81 and .81 of the 32 sweeps that the scale was chosen on); an F
test that knows the effects' form finds .75 and .65 (benchmarks/truth.py). Not better were other lengths (.25 to 1.4, or
several weighed by their evidence), a Matérn kernel, pairs alone, and hyperparameters integrated over (Laplace); an
additive polynomial, which has to extrapolate, was worse (.30 to .50).

A verdict must hold though an engine chose each run by what it had seen. Such runs cannot be exchanged, and a lucky run
draws others after it, so permutations and shadows call chance an effect. What holds in every design is prediction: the
noise of a run is not known before it. Each run is predicted from those before it, once with the parameter and once
without, and the gain in logarithmic score (Student's t with 4 degrees of freedom, one scale for both) is summed up. For
a parameter without effect the exponential of the sum has expectation 1 at most, whoever chose the runs, so it ever
passes 1 / alpha with probability alpha at most (Ville's inequality): an e-value. What is an approximation is that the
model without the parameter is right; how often it errs is measured in benchmarks/truth.py.

Sources: Durrande, Ginsbourger, Roustant and Carraro 2013, "ANOVA kernels and RKHS of zero mean functions", Journal of
Multivariate Analysis 115:57–67; Duvenaud, Nickisch and Rasmussen 2011, "Additive Gaussian Processes", Advances in
Neural Information Processing Systems 24 (a scale for each order of interaction); Dawid 1984, "The prequential
approach", J. Royal Statistical Society A 147:278–292; Ramdas, Grünwald, Vovk and Shafer 2023, "Game-theoretic
statistics and safe anytime-valid inference", Statistical Science 38:576–601; Rasmussen and Williams 2006, "Gaussian
Processes for Machine Learning", sections 5.4.1 and 5.4.2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweepkit.analysis.encoding import Design, Floats, Group

_GRID = 33  # points of a continuous range
_DISCRETE = 12  # distinct values up to which a parameter's range is these values
_LENGTH = 0.35  # of the kernel, on a range of 1
_START = 10  # runs before the first that is predicted
_GROWTH = 1.5  # the model is fitted anew whenever there are so many times as many runs
_LAST_FIT = 200  # and not with more runs than that: what is known by then changes little
_MOST = 600  # runs that are looked at: of more, the first half of so many, and evenly spaced ones
_PRIOR_RUNS = 5  # what the first predicted scale weighs against the errors seen
_FREEDOM = 4.0  # of Student's t: one outlier gains or loses little
_JITTER = 1e-6
# Mean and standard deviation of the normal priors on the logarithms of noise, interactions and weights; their bounds.
_CENTRE, _WIDTH = (-1.0, -2.0, -2.5), 2.0
_BOUNDS = ((-7.0, 1.0), (-7.0, 4.0), (-9.0, 5.0))
_BEGIN = (-1.0, 1.0, -2.5)  # strong interactions: from weak ones a parity of three has no slope to follow

_Kernel = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnovaFit:
    """What the model says.

    Args:
        shares: Shape (parameters,): the share of the mean's variance over the declared ranges that needs the parameter,
            alone or with others (Sobol's total index), in [0, 1].
        r2: Of each run predicted from all others, at most 1.
        evidence: Shape (parameters,): the largest logarithm of the e-value against "no effect"; None where not asked.
        looked: Rows of the design that went in: all, or of more than 600 the first 300 and evenly spaced ones.
    """

    shares: Floats
    r2: float
    evidence: Floats | None
    looked: int


def anova(design: Design, *, judge: bool = True) -> AnovaFit:
    """Return shares, fit and evidence of each parameter of a design.

    Args:
        design: A row per run, in the order in which the runs were proposed, n >= 3, y not all equal.
        judge: Work out the evidence too, which takes as many fits as there are parameters.
    """
    at = _looked_at(design.n)
    y = design.y[at]
    found = [_part(design, group, at) for group in design.groups]
    kernels, spreads = np.array([kernel for kernel, _ in found]), np.array([spread for _, spread in found])
    z = (y - y.mean()) / y.std()
    small = np.linspace(0, len(y) - 1, min(len(y), _LAST_FIT)).round().astype(int)
    theta = _fitted(kernels[:, small[:, None], small], z[small])
    inverse = np.linalg.inv(_covariance(theta, kernels))
    alpha = inverse @ z
    left_out = alpha / np.diag(inverse)
    return AnovaFit(
        shares=_totals(alpha, np.exp(theta[1] + theta[2:]), spreads),
        r2=1.0 - float(left_out @ left_out) / len(y),
        evidence=_evidence(kernels, y) if judge and len(y) > _START + 3 else None,
        looked=len(y),
    )


def _looked_at(n: int) -> NDArray[np.int64]:
    """Return which runs are looked at: all, or of many the first half of `_MOST` and evenly spaced later ones.

    An engine tries the whole range at first and one place later, so the first runs tell the most of a parameter.
    Chosen by place alone, so that what is said of the evidence holds.
    """
    first = np.arange(min(n, _MOST if n <= _MOST else _MOST // 2))
    later = np.linspace(len(first), n - 1, _MOST - len(first)).round().astype(np.int64) if n > _MOST else first[:0]
    return np.concatenate([first, later])


# -- kernels -----------------------------------------------------------------------------------------------------------


def _part(design: Design, group: Group, at: np.ndarray) -> tuple[Floats, Floats]:
    """Return a parameter's kernel at the runs, and the mean over its range of products of its rows: (n, n) both.

    Both are 0 where one of two runs does not have the parameter, and its range counts as much as runs have it.
    """
    values, support, kernel = _axis(design, group)
    values, active = values[at], group.active[at].astype(float)
    among, between = kernel(support, support), kernel(values, support)
    within, whole = among.mean(axis=1), among.mean()
    scale = float(np.mean(np.diag(among) - within**2 / whole)) or 1.0
    mine = between.mean(axis=1)
    both = np.outer(active, active) / scale
    cross = between - np.outer(mine, within) / whole
    share = float(active.mean())
    product = share * both / scale * (cross @ cross.T) / len(support)
    return both * (kernel(values, values) - np.outer(mine, mine) / whole), product


def _axis(design: Design, group: Group) -> tuple[Floats, Floats, _Kernel]:
    """Return a parameter's values at all runs, those of its range, and the kernel before it is centred."""
    block = design.x[:, group.at].astype(float)
    if not group.column.numeric:
        _, level = np.unique(block, axis=0, return_inverse=True)
        levels = level.ravel().astype(float)
        return levels, np.unique(levels[group.active]), lambda a, b: (a[:, None] == b[None, :]).astype(float)
    column, values = group.column, block[:, 0]
    low, high = float(values[group.active].min()), float(values[group.active].max())
    if column.low is not None and column.high is not None and (not column.log or column.low > 0):
        ends = [float(np.log10(end)) if column.log else float(end) for end in (column.low, column.high)]
        low, high = min(low, ends[0]), max(high, ends[1])
    unit = (values - low) / ((high - low) or 1.0)
    distinct = np.unique(unit[group.active])
    support = distinct if len(distinct) <= _DISCRETE else np.linspace(0.0, 1.0, _GRID)
    return unit, support, lambda a, b: np.exp(-0.5 * ((a[:, None] - b[None, :]) / _LENGTH) ** 2)


# -- the model ---------------------------------------------------------------------------------------------------------


def _covariance(theta: Floats, kernels: Floats) -> Floats:
    """Return the covariance of the runs, noise included; theta: logarithms of noise, interactions and weights."""
    noise, apart, weights = np.exp(theta[0]), np.exp(theta[1]), np.exp(theta[2:])
    effects = (np.prod(1 + (apart * weights)[:, None, None] * kernels, axis=0) - 1) / apart
    return _with_noise(effects, noise)


def _with_noise(effects: Floats, noise: float) -> Floats:
    """Return the covariance of values from that of their effects; the jitter grows with it, as rounding does."""
    jitter = _JITTER * (1 + float(np.mean(np.diag(effects))))
    return np.asarray(1 + effects + (noise + jitter) * np.eye(len(effects)))


def _fitted(kernels: Floats, y: Floats, start: Floats | None = None) -> Floats:
    """Return the theta of the largest posterior density, for standardized values."""
    from scipy.linalg import cho_factor, cho_solve  # type: ignore[import-untyped]
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    centre = np.array([*_CENTRE[:2], *[_CENTRE[2]] * len(kernels)])
    eye = np.eye(len(y))

    def loss(theta: Floats) -> tuple[float, Floats]:
        noise, apart, weights = np.exp(theta[0]), np.exp(theta[1]), np.exp(theta[2:])
        terms = 1 + (apart * weights)[:, None, None] * kernels
        product = np.prod(terms, axis=0) / apart
        effects = product - 1 / apart
        factor = cho_factor(_with_noise(effects, noise), lower=True, check_finite=False)
        alpha = cho_solve(factor, y, check_finite=False)
        outer = cho_solve(factor, eye, check_finite=False) - np.outer(alpha, alpha)
        # d product / d log w = product (1 - 1 / (1 + r w k)); a term of 0 makes the product 0 with it
        ratio = 1 - 1 / np.where(np.abs(terms) > 1e-9, terms, 1.0)
        by_weight = np.einsum("ij,kij->k", outer * product, ratio)
        slopes = [noise * np.trace(outer), by_weight.sum() - np.sum(outer * effects), *by_weight]
        away = (theta - centre) / _WIDTH
        value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * away @ away
        return float(value), 0.5 * np.array(slopes) + away / _WIDTH

    bounds = [*_BOUNDS[:2], *[_BOUNDS[2]] * len(kernels)]
    begin = np.array([*_BEGIN[:2], *[_BEGIN[2]] * len(kernels)]) if start is None else start
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    return np.asarray(found.x, dtype=float)


def _totals(alpha: Floats, weights: Floats, spreads: Floats) -> Floats:
    """Return Sobol's total index of each parameter: the mean's variance less what is left without the parameter."""
    terms = 1 + (weights**2)[:, None, None] * spreads
    whole = float(alpha @ (np.prod(terms, axis=0) - 1) @ alpha)
    if whole <= 0:
        return np.zeros(len(weights))
    without = [float(alpha @ (np.prod(np.delete(terms, j, 0), axis=0) - 1) @ alpha) for j in range(len(weights))]
    return np.clip(1 - np.array(without) / whole, 0.0, 1.0)


# -- evidence ----------------------------------------------------------------------------------------------------------


def _evidence(kernels: Floats, y: Floats) -> Floats:
    """Return for each parameter the largest sum so far of what it gains in predicting the next runs."""
    means, scales = _foreseen(kernels, y)
    after = y[_START:]
    found = []
    for index in range(len(kernels)):
        others, own = _foreseen(np.delete(kernels, index, 0), y)
        errors = after - others
        scale = np.maximum(scales, own)
        # An engine narrows down, and a model of few runs is too sure: the errors seen so far count as well.
        squares = _PRIOR_RUNS * scale[0] ** 2 + np.concatenate([[0.0], np.cumsum(errors**2)[:-1]])
        scale = np.maximum(scale, np.sqrt(squares / (_PRIOR_RUNS + np.arange(len(errors)))))
        gains = _log_t(after - means, scale) - _log_t(errors, scale)
        found.append(float(np.cumsum(gains).max()))
    return np.array(found)


def _log_t(errors: Floats, scale: Floats) -> Floats:
    """Return the logarithm of Student's density without its constant."""
    return np.asarray(-(_FREEDOM + 1) / 2 * np.log1p((errors / scale) ** 2 / _FREEDOM))


def _foreseen(kernels: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each run from `_START` on, as the runs before it foretell it.

    One Cholesky factor L holds all of them: L⁻¹ y are the errors in standard deviations, its diagonal these.
    """
    means, scales, theta = [], [], None
    edges = [_START]
    while edges[-1] * _GROWTH < min(len(y) - 4, _LAST_FIT):
        edges.append(int(edges[-1] * _GROWTH))
    for begin, end in zip(edges, [*edges[1:], len(y)], strict=True):
        centre, spread = float(y[:begin].mean()), float(y[:begin].std()) or 1.0
        z = (y[:end] - centre) / spread
        theta = _fitted(kernels[:, :begin, :begin], z[:begin], theta)
        lower = np.linalg.cholesky(_covariance(theta, kernels[:, :end, :end]))
        sd = np.diag(lower)[begin:]
        errors = np.linalg.solve(lower, z)[begin:] * sd
        means.append(y[begin:end] - errors * spread)
        scales.append(sd * spread)
    return np.concatenate(means), np.concatenate(scales)
