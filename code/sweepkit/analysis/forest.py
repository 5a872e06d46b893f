"""A random forest that says how much of the variance hangs on each group of columns. Arrays in, arrays out.

Grouped out-of-bag permutation: in every tree, on the rows that it was not grown on, the columns of one group are
shuffled together among the rows where the group is active; the rise of the squared error, averaged over trees and
divided by twice the variance, is the share of the variance that the group accounts for, alone or with others (its total
share: groups that interact are counted in both, so shares may add to more than 1).

Sources: Breiman 2001, "Random Forests", Machine Learning 45, section 10 (out-of-bag permutation); Ishwaran and Lu 2019,
Statistics in Medicine 38:558–582 (subsampling, not bootstrapping, for intervals: copies of a row that land in and out
of a bag leak). Measured beside nine other estimators in benchmarks/importance.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MIN_LEAF = 3
_MAX_FEATURES = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffle:
    """What is shuffled together.

    Args:
        at: Positions of the columns.
        blocks: Shape (n,), small integers: rows are exchanged within a block only; -1: not shuffled.
    """

    at: NDArray[np.intp]
    blocks: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """What one forest says.

    Args:
        shares: Shape (number of shuffles,): the share of the variance of each.
        r2: Out-of-bag R², at most 1; negative when the mean of all rows predicts better.
        impurity: Shape (p,): sklearn's mean decrease in impurity, summing to 1 (0 when no tree ever split).
        predicted: Shape (n,): the out-of-bag prediction of each row, NaN for one that was in every bag.
    """

    shares: Floats
    r2: float
    impurity: Floats
    predicted: Floats


def grow(
    x: NDArray[np.float32], y: Floats, shuffles: Sequence[Shuffle], *, trees: int, rng: np.random.Generator
) -> Grown:
    """Grow a forest and measure every shuffle.

    Args:
        x: Shape (n, p), finite; n >= 2.
        y: Shape (n,), finite.
        shuffles: What to measure.
        trees: How many trees, >= 1.
        rng: Bags, features and shuffles are drawn from it.
    """
    import sklearn  # type: ignore[import-untyped]
    from sklearn.tree import DecisionTreeRegressor  # type: ignore[import-untyped]

    n, p = x.shape
    blocks = np.array([shuffle.blocks for shuffle in shuffles], dtype=np.intp).reshape(len(shuffles), n)
    moved = np.zeros((len(shuffles), p), dtype=bool)
    for index, shuffle in enumerate(shuffles):
        moved[index, shuffle.at] = True
    variance = float(np.var(y))
    rises, impurity = np.zeros(len(shuffles)), np.zeros(p)
    total, votes, grown = np.zeros(n), np.zeros(n), 0
    draws = np.random.RandomState(int(rng.integers(2**31)))  # shared: making one costs as much as growing a small tree
    target = np.ascontiguousarray(y[:, None])
    # Two hundred trees of sixty rows: checking the arguments anew for each would take as long as the trees.
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        for _ in range(trees):
            weight = np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
            out = np.flatnonzero(weight == 0)
            if len(out) == 0:
                continue
            tree = DecisionTreeRegressor(min_samples_leaf=_MIN_LEAF, max_features=_MAX_FEATURES, random_state=draws)
            tree.fit(x, target, sample_weight=weight, check_input=False)
            stack = _shuffled(x[out], blocks[:, out], moved, rng)
            guesses = tree.tree_.predict(stack.reshape(-1, p)).reshape(len(shuffles) + 1, len(out))
            errors = ((guesses - y[out]) ** 2).mean(axis=1)
            rises += errors[1:] - errors[0]
            total[out] += guesses[0]
            votes[out] += 1
            impurity += tree.tree_.compute_feature_importances(normalize=True)
            grown += 1
    shares = rises / (2 * variance * grown) if variance > 0 and grown else np.zeros(len(shuffles))
    whole = impurity.sum()
    predicted = np.divide(total, votes, out=np.full(n, np.nan), where=votes > 0)
    impurity = impurity / whole if whole > 0 else impurity
    return Grown(shares=shares, r2=_r2(y, total, votes), impurity=impurity, predicted=predicted)


def _shuffled(
    rows: NDArray[np.float32], blocks: NDArray[np.intp], moved: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the rows as they are and once for each shuffle, shape (1 + shuffles, rows, p).

    Args:
        rows: Shape (rows, p).
        blocks: Shape (shuffles, rows): rows are exchanged within a block, those of -1 stay.
        moved: Shape (shuffles, p): the columns that are exchanged.
        rng: What the exchanges are drawn from.
    """
    keys = np.where(blocks >= 0, blocks + rng.random(blocks.shape), -1.0)
    drawn = np.argsort(keys, axis=1, kind="stable")
    in_turn = np.argsort(blocks, axis=1, kind="stable")  # the same blocks one after the other, each in its own order
    order = np.empty_like(drawn)
    np.put_along_axis(order, in_turn, drawn, axis=1)
    stack = np.where(moved[:, None, :], rows[order], rows[None])
    return np.concatenate([rows[None], stack])


def _r2(y: Floats, total: Floats, votes: Floats) -> float:
    """Return R² of the out-of-bag means, over the rows that have one."""
    known = votes > 0
    if not known.any():
        return 0.0
    spread = float(np.sum((y[known] - y[known].mean()) ** 2))
    if spread <= 0:
        return 0.0
    return 1.0 - float(np.sum((y[known] - total[known] / votes[known]) ** 2)) / spread
