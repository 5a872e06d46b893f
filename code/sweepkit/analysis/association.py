"""How two columns go together, numbers and categories alike, and which of many such values are more than chance. Pure.

Spearman's correlation between ordered columns; the correlation ratio between a category and numbers (ranks); Cramér's V
with its bias corrected between two categories. None is a measure of importance: an optimum inside the range has
correlation 0.

Sources: Spearman 1904; Kelley 1935 (unbiased correlation ratio); Bergsma 2013, "A bias-correction for Cramér's V",
Journal of the Korean Statistical Society 42:323–328; Bonferroni's line for the pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweepkit.analysis.encoding import bookkeeping
from sweepkit.analysis.table import Column, Row, RunTable

Floats = NDArray[np.float64]


def ranks(values: ArrayLike) -> Floats:
    """Return the ranks from 1, ties at their mean.

    >>> ranks([10.0, 30.0, 10.0]).tolist()
    [1.5, 3.0, 1.5]
    """
    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse], dtype=float)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's correlation; 0 when a column is constant or there are fewer than 2 values."""
    x, y = ranks(a), ranks(b)
    if len(x) < 2:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread > 0 else 0.0


def threshold(n: int, pairs: int, alpha: float = 0.05) -> float:
    """Return the |correlation| that the largest of `pairs` independent ones passes with probability alpha at most.

    n: Rows; 1.0 below 4, where nothing can pass.
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    if n < 4:
        return 1.0
    critical = float(t.isf(alpha / (2 * max(1, pairs)), n - 2))
    return critical / float(np.sqrt(n - 2 + critical**2))


def correlation_ratio(levels: Sequence[str], values: ArrayLike) -> tuple[float, float]:
    """Return (eta, p): the ratio over the values' ranks, in [0, 1], unbiased (0 when below chance), and its F test."""
    from scipy.stats import f

    y = ranks(values)
    _, group = np.unique(np.asarray(levels, dtype=str), return_inverse=True)
    n, k = len(y), int(group.max()) + 1 if len(y) else 0
    total = float(np.sum((y - y.mean()) ** 2)) if n else 0.0
    if k < 2 or n - k < 1 or total == 0:
        return 0.0, 1.0
    means = np.bincount(group, weights=y) / np.bincount(group)
    within = float(np.sum((y - means[group]) ** 2))
    if within <= 1e-12 * total:
        return 1.0, 0.0
    eta2 = 1.0 - within / (n - k) / (total / (n - 1))
    p = float(f.sf((total - within) / (k - 1) / (within / (n - k)), k - 1, n - k))
    return float(np.sqrt(max(0.0, eta2))), p


def cramers_v(a: Sequence[str], b: Sequence[str]) -> tuple[float, float]:
    """Return (V, p): Cramér's V in [0, 1] with its bias corrected, and the chi-square test's p."""
    from scipy.stats import chi2

    _, x = np.unique(np.asarray(a, dtype=str), return_inverse=True)
    _, y = np.unique(np.asarray(b, dtype=str), return_inverse=True)
    n = len(x)
    if n < 2 or x.max() == 0 or y.max() == 0:
        return 0.0, 1.0
    counts = np.zeros((int(x.max()) + 1, int(y.max()) + 1))
    np.add.at(counts, (x, y), 1)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / n
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    r, k = counts.shape
    freedom = (r - 1) * (k - 1)
    phi2 = max(0.0, statistic / n - freedom / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    least = min(rows, columns) - 1
    v = float(np.sqrt(phi2 / least)) if least > 0 else 0.0
    return min(1.0, v), float(chi2.sf(statistic, freedom))


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """One cell of the matrix.

    Args:
        a, b: The columns' names.
        kind: "spearman", "eta" (correlation ratio) or "cramer".
        value: In [-1, 1] for spearman, [0, 1] for the others.
        n: Runs that have both.
        shown: It passes Bonferroni's line over all cells (5 %); never of runs that an engine chose.
    """

    a: str
    b: str
    kind: str
    value: float
    n: int
    shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Associations:
    """The matrix.

    Args:
        names: The columns in order.
        cells: One for each pair, a before b.
        line: The |correlation| over all runs that chance seldom passes; None where no cell can be judged: an engine
            chose the runs by what it had seen, so parameters go together, and with the metric, by its doing.
        n: Runs.
    """

    names: tuple[str, ...]
    cells: tuple[Association, ...]
    line: float | None
    n: int


def associations(table: RunTable) -> Associations:
    """Return how parameters and metric go together over the finished runs; no constants, seeds and paths."""
    rows = table.finished()
    columns = [column for column in table.columns if _varies(column, rows) and not bookkeeping(column.name)]
    metric = table.metric
    if metric is not None and len({row.value for row in rows}) > 1:
        columns.append(Column(name=metric.name, numeric=True))
    values = [
        [row.value for row in rows]
        if metric is not None and column.name == metric.name and index == len(columns) - 1
        else [row.params.get(column.name) for row in rows]
        for index, column in enumerate(columns)
    ]
    pairs = [(i, j) for i in range(len(columns)) for j in range(i + 1, len(columns))]
    cells = [_cell((columns[i], columns[j]), (values[i], values[j]), len(pairs)) for i, j in pairs]
    adaptive = bool(table.method) and not table.exchangeable
    if adaptive:
        cells = [replace(cell, shown=False) for cell in cells]
    return Associations(
        names=tuple(column.name for column in columns),
        cells=tuple(cells),
        line=None if adaptive else threshold(len(rows), max(1, len(pairs))),
        n=len(rows),
    )


def _varies(column: Column, rows: Sequence[Row]) -> bool:
    return len({row.params[column.name] for row in rows if column.name in row.params}) > 1


def _cell(columns: tuple[Column, Column], values: tuple[Sequence[object], Sequence[object]], pairs: int) -> Association:
    """Return one cell, over the runs that have both values."""
    a, b = columns
    both = [(x, y) for x, y in zip(*values, strict=True) if x is not None and y is not None]
    left, right = [x for x, _ in both], [y for _, y in both]
    n = len(both)
    if a.numeric and b.numeric:
        value = spearman(np.array(left, dtype=float), np.array(right, dtype=float)) if n > 1 else 0.0
        shown = n >= 4 and abs(value) >= threshold(n, pairs)
        return Association(a=a.name, b=b.name, kind="spearman", value=value, n=n, shown=shown)
    if a.numeric or b.numeric:
        levels, numbers = (right, left) if a.numeric else (left, right)
        value, p = correlation_ratio([str(x) for x in levels], np.array(numbers, dtype=float)) if n else (0.0, 1.0)
        return Association(a=a.name, b=b.name, kind="eta", value=value, n=n, shown=n >= 4 and p < 0.05 / pairs)
    value, p = cramers_v([str(x) for x in left], [str(x) for x in right])
    return Association(a=a.name, b=b.name, kind="cramer", value=value, n=n, shown=n >= 4 and p < 0.05 / pairs)
