"""Other ways to measure importance, to compare with the forest's; each returns one number per parameter. Pure.

    eps_squared  rank statistic over quantile bins, without a model: what is shown when there are too few runs for one
    mdi          mean decrease in impurity of the forest, summed over a parameter's columns; sums to 1 even when the
    forest
                 predicts nothing, and favours parameters with many values
    gp           the drop of R² on held-out fifths when a parameter is shuffled, of a Gaussian process with one length
    scale
                 per column: best for fewer than 60 runs of a smooth continuous space
    fanova, ped_anova
                 Optuna's (`search.importances`)

Sources: Tomczak and Tomczak 2014, Trends in Sport Sciences 1(21):19–25 (epsilon squared, here bias-corrected);
Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", section 5.1 (length scales); Hutter, Hoos and
Leyton-Brown 2014 (fANOVA); Watanabe, Bansal and Hutter 2023 (PED-ANOVA).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweepkit.analysis.association import ranks
from sweepkit.analysis.encoding import Design, Floats, Group
from sweepkit.analysis.forest import grow
from sweepkit.model.metric import Goal

_FOLDS = 5
_SHUFFLES = 20
_TREES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceEstimate:
    """One number per parameter.

    Args:
        values: Shape (number of groups,), in the design's order.
        r2: Of held-out predictions; None without a model.
        note: What the reader must know of this estimate; may be "".
    """

    values: Floats
    r2: float | None = None
    note: str = ""


def eps_squared(
    design: Design, goal: Goal = Goal.MAXIMIZE, rng: np.random.Generator | None = None
) -> ImportanceEstimate:
    """Return Kruskal and Wallis's H over bins as a share: (H - k + 1) / (n - k), at least 0; k bins, n runs.

    Numbers are cut into 2 to 5 bins of equal counts, categories are their levels; runs without the parameter are a bin.
    """
    return ImportanceEstimate(values=np.array([_epsilon(design, group) for group in design.groups]))


def _epsilon(design: Design, group: Group) -> float:
    n = design.n
    bins = _bins(design, group)
    _, numbered = np.unique(bins, return_inverse=True)
    k = int(numbered.max()) + 1
    if k < 2 or n <= k:
        return 0.0
    r = ranks(design.y)
    spread = float(np.var(r))  # n (n² - 1) / 12 without ties
    sizes = np.bincount(numbered)
    means = np.bincount(numbered, weights=r) / sizes
    h = (n - 1) * float(np.sum(sizes * (means - r.mean()) ** 2)) / (n * spread) if spread > 0 else 0.0
    return max(0.0, (h - k + 1) / (n - k))


def _bins(design: Design, group: Group) -> Floats:
    block = design.x[:, group.at].astype(float)
    if not group.column.numeric:
        return np.asarray(block @ (2.0 ** np.arange(block.shape[1])), dtype=float)
    values = block[:, 0]
    active = values[group.active]
    count = int(np.clip(len(active) // 5, 2, 5))
    if len(np.unique(active)) <= count:
        return values
    inner = np.quantile(active, np.linspace(0, 1, count + 1)[1:-1])
    return np.where(group.active, np.searchsorted(inner, values, side="right"), -1).astype(float)


def mdi(design: Design, goal: Goal, rng: np.random.Generator) -> ImportanceEstimate:
    """Return the mean decrease in impurity of a forest of 200 trees, summed over each parameter's columns."""
    grown = grow(design.x, design.y, (), trees=_TREES, rng=rng)
    values = np.array([grown.impurity[group.at].sum() for group in design.groups])
    note = "mdi: impurity sums to 1 whatever the forest knows, and favours parameters with many values"
    return ImportanceEstimate(values=values, r2=grown.r2, note=note)


def gp(design: Design, goal: Goal, rng: np.random.Generator) -> ImportanceEstimate:
    """Return the rise of the squared error on held-out fifths when a parameter is shuffled, over twice the variance."""
    x = _standardized(design.x)
    variance = float(np.var(design.y))
    y = (design.y - design.y.mean()) / np.sqrt(variance)
    order = rng.permutation(design.n)
    rises, errors = np.zeros(len(design.groups)), 0.0
    for fold in np.array_split(order, _FOLDS):
        rest = np.setdiff1d(order, fold)
        predict = _fitted(x[rest], y[rest])
        base = (predict(x[fold]) - y[fold]) ** 2
        errors += float(base.sum())
        for index, group in enumerate(design.groups):
            here = np.flatnonzero(group.active[fold])
            if len(here) < 2:
                continue
            many = np.repeat(x[fold][None], _SHUFFLES, axis=0)
            for copy in many:
                copy[np.ix_(here, group.at)] = x[fold][np.ix_(rng.permutation(here), group.at)]
            shuffled = (predict(many.reshape(-1, x.shape[1])).reshape(_SHUFFLES, -1) - y[fold]) ** 2
            rises[index] += float(shuffled.mean(axis=0).sum() - base.sum())
    note = "gp: a smooth model; a run without a conditional parameter is placed below its range"
    return ImportanceEstimate(values=rises / (2 * design.n), r2=1.0 - errors / design.n, note=note)


def smoothed(x: NDArray[np.float32], y: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return a Gaussian process's mean at its own points, shape (n,), and R² of its held-out fifths.

    Args:
        x: Shape (n, p), finite, n >= 10, p >= 1.
        y: Shape (n,), finite, not all equal.
        rng: The fifths are drawn from it.
    """
    points, centre, scale = _standardized(x), float(y.mean()), float(y.std())
    target = (y - centre) / scale
    order = rng.permutation(len(y))
    errors = 0.0
    for fold in np.array_split(order, _FOLDS):
        rest = np.setdiff1d(order, fold)
        errors += float(np.sum((_fitted(points[rest], target[rest])(points[fold]) - target[fold]) ** 2))
    return centre + scale * _fitted(points, target)(points), 1.0 - errors / len(y)


def _standardized(x: NDArray[np.float32]) -> Floats:
    points = x.astype(float)
    spread = points.std(axis=0)
    return np.asarray((points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0), dtype=float)


def _fitted(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Return the mean of a Gaussian process as a function."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel  # type: ignore[import-untyped]

    scales = RBF(length_scale=np.full(x.shape[1], 3.0), length_scale_bounds=(0.1, 1e3))
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * scales + WhiteKernel(0.3, (1e-4, 1e1))
    model = GaussianProcessRegressor(kernel, alpha=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a scale at its bound is a parameter without effect
        model.fit(x, y)
    return lambda points: np.asarray(model.predict(points), dtype=float)


def _optuna(name: str) -> Callable[[Design, Goal, np.random.Generator], ImportanceEstimate]:
    def estimate(design: Design, goal: Goal, rng: np.random.Generator) -> ImportanceEstimate:
        from sweepkit.search.importances import ImportanceAxis, optuna_importances

        axes = [
            ImportanceAxis(name=g.name, numeric=g.column.numeric, values=_axis_values(design, g)) for g in design.groups
        ]
        found = optuna_importances(name, axes, design.y.tolist(), goal=goal, seed=int(rng.integers(2**31)))
        values = np.array([found.get(group.name, 0.0) for group in design.groups])
        missing = [group.name for group in design.groups if group.name not in found]
        note = f"{name}: Optuna leaves out conditional parameters: {', '.join(missing)}" if missing else ""
        return ImportanceEstimate(values=values, note=note)

    return estimate


def _axis_values(design: Design, group: Group) -> tuple[float | None, ...]:
    """Return a parameter as one number per configuration: itself (log10), or its level's number; None without it."""
    block = design.x[:, group.at].astype(float)
    if group.column.numeric:
        numbers = block[:, 0]
    else:
        _, numbers = np.unique(block @ (2.0 ** np.arange(block.shape[1])), return_inverse=True)
    return tuple(float(v) if has else None for v, has in zip(numbers, group.active, strict=True))


ESTIMATORS: dict[str, Callable[[Design, Goal, np.random.Generator], ImportanceEstimate]] = {
    "eps_squared": eps_squared,
    "mdi": mdi,
    "gp": gp,
    "fanova": _optuna("fanova"),
    "ped_anova": _optuna("ped_anova"),
}
