"""What the Gaussian process sees of a configuration: a row of numbers, one for each parameter that varies.

A number is a position in [0, 1] on the parameter's own scale, or the index of an unordered choice. Parameters with few
values keep to theirs. Where a condition makes a parameter inactive it stands at a place of rest (0.5, or choice 0), as
in SMAC: that it is inactive the process knows from its parents, which are in the row too.

Distances come in groups, each with a length scale of its own: the square of the difference for an ordered parameter,
"equal or not" for a choice. A parameter with few ordered values has both: on a plateau neighbours are alike, and a
value may stand out from both of its neighbours.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweepkit.model.space import Path, Space
from sweepkit.search.coding import Coding, Scale

Floats = NDArray[np.float64]

_MOST_LISTED = 1000  # values that a parameter keeps to; beyond, it is as good as continuous
_FEW = 12  # ordered values of which each may stand out
_REST = 0.5


class GpSpace:
    """Rows of the parameters that vary, their distances, draws and neighbours.

    Args:
        space: The space.
        codings: Of the parameters that vary.
        fixed: The values of the others.

    Attributes:
        choices: By column, whether it holds the index of an unordered choice, shape (p,).
        ordered: The columns with a squared difference.
        matched: The columns with "equal or not".
    """

    def __init__(self, space: Space, codings: Sequence[Coding], fixed: Mapping[Path, Any]) -> None:
        self._space = space
        self._codings = tuple(codings)
        self._fixed = dict(fixed)
        self.choices = np.array([coding.scale is Scale.CHOICE for coding in codings], dtype=bool)
        self._levels = [_levels(coding) for coding in self._codings]
        self._ranks = [_ranks(coding) for coding in self._codings]
        few = [levels is not None and 2 < len(levels) <= _FEW for levels in self._levels]
        self.ordered = [i for i, choice in enumerate(self.choices) if not choice or self._ranks[i] is not None]
        self.matched = [i for i, choice in enumerate(self.choices) if choice or few[i]]
        self.minor = np.array([False] * len(self.ordered) + [i in self.ordered for i in self.matched], dtype=bool)

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(self._codings)

    def row(self, codes: Sequence[float | int | None]) -> Floats:
        """Return the row of a configuration's codes, None for an inactive parameter; shape (p,)."""
        rest = [0.0 if choice else _REST for choice in self.choices]
        values = [
            rest[i] if code is None else float(code) if self.choices[i] else _position(self._codings[i], code)
            for i, code in enumerate(codes)
        ]
        row: Floats = self.kept(np.array([values], dtype=float))[0]
        return row

    def flat(self, row: Floats) -> dict[Path, Any]:
        """Return the configuration of a row by path, its inactive parameters left out."""
        flat = dict(self._fixed)
        for i, coding in enumerate(self._codings):
            flat[coding.path] = self._value(i, float(row[i]))
        return self._space.prune(flat)

    def kept(self, rows: Floats) -> Floats:
        """Return rows moved to values that there are, inactive parameters at rest; shape (n, p)."""
        rows = rows.copy()
        for i, levels in enumerate(self._levels):
            if levels is not None:
                rows[:, i] = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, rows[:, i])]
        return self._at_rest(rows) if self._space.conditions else rows

    def features(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return the columns that differences are taken of, shape (n, ordered), and those compared, (n, matched)."""
        ordered = rows[:, self.ordered].copy()
        for place, i in enumerate(self.ordered):
            if (ranks := self._ranks[i]) is not None:
                ordered[:, place] = ranks[rows[:, i].astype(int)]
        return ordered, rows[:, self.matched]

    def draws(self, units: Floats) -> Floats:
        """Return rows from numbers in [0, 1), shape (n, p)."""
        rows = units.copy()
        for i, levels in enumerate(self._levels):
            if levels is not None:
                rows[:, i] = levels[(units[:, i] * len(levels)).astype(int)]
            elif self.choices[i]:
                rows[:, i] = np.floor(units[:, i] * (self._codings[i].high + 1))
        return self.kept(rows)

    def neighbours(self, rows: Floats, generator: np.random.Generator, step: float) -> Floats:
        """Return one neighbour of each row: one parameter or some changed, by steps of about `step`; shape (n, p)."""
        n, p = rows.shape
        some = generator.random((n, 1)) < 0.5
        chosen = generator.random((n, p)) < np.where(some, max(2.0 / p, 0.3), 0.0)
        chosen[np.arange(n), generator.integers(0, p, n)] = True
        moves = step * generator.standard_normal((n, p))
        units = generator.random((n, p))
        moved = rows + np.where(chosen, moves, 0.0)
        for i, levels in enumerate(self._levels):
            if self.choices[i]:
                drawn = np.floor(units[:, i] * (self._codings[i].high + 1))
                moved[:, i] = np.where(chosen[:, i], drawn, rows[:, i])
            elif levels is not None:  # at least to the next one
                place = np.searchsorted(levels, rows[:, i])
                by = np.sign(moves[:, i]) * np.maximum(1.0, np.round(np.abs(moves[:, i]) * (len(levels) - 1)))
                place = np.clip(place + np.where(chosen[:, i], by, 0.0).astype(int), 0, len(levels) - 1)
                moved[:, i] = levels[place]
            else:
                moved[:, i] = np.clip(moved[:, i], 0.0, 1.0)
        return self.kept(moved)

    def _value(self, i: int, at: float) -> Any:
        coding = self._codings[i]
        return coding.decode(int(at) if self.choices[i] else _code(coding, at))

    def _at_rest(self, rows: Floats) -> Floats:
        columns = {coding.path: i for i, coding in enumerate(self._codings)}
        active: dict[Path, NDArray[np.bool_]] = {}
        everywhere = np.ones(len(rows), dtype=bool)
        for condition in self._space.conditions:
            holds = everywhere.copy()
            for clause in condition.clauses:
                holds &= active.get(clause.path, everywhere)
                if (i := columns.get(clause.path)) is None:
                    holds &= clause.holds(self._fixed[clause.path])
                    continue
                known, where = np.unique(rows[:, i], return_inverse=True)
                values = map(partial(self._value, i), known.tolist())
                holds &= np.array([clause.holds(value) for value in values], dtype=bool)[where]
            active[condition.path] = holds
            if (i := columns.get(condition.path)) is not None:
                rows[~holds, i] = 0.0 if self.choices[i] else _REST
        return rows


def _levels(coding: Coding) -> Floats | None:
    """Return the positions of a parameter with few ordered values, ascending; None for any other."""
    size = coding.distribution.support_size()
    if coding.scale is Scale.CHOICE or size is None or size > _MOST_LISTED:
        return None
    codes = [coding.encode(value) for value in coding.distribution.support_values()]
    return np.unique([_position(coding, code) for code in codes if code is not None])


def _ranks(coding: Coding) -> Floats | None:
    """Return the place in order, in [0, 1], of each of a list of numbers; None where the choices are no numbers."""
    if coding.scale is not Scale.CHOICE:
        return None
    values = coding.distribution.support_values()
    if len(values) < 3 or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    order = np.argsort(np.argsort(np.array(values, dtype=float)))
    ranks: Floats = order / (len(values) - 1)
    return ranks


def _position(coding: Coding, code: float | int) -> float:
    low, high = float(coding.low), float(coding.high)
    if coding.scale is Scale.LOG:
        low, high, code = log(low), log(high), log(code)
    return min(max((code - low) / (high - low), 0.0), 1.0) if high > low else _REST


def _code(coding: Coding, at: float) -> float | int:
    low, high = float(coding.low), float(coding.high)
    if coding.scale is Scale.LOG:
        return exp(log(low) + at * (log(high) - log(low)))
    code = low + at * (high - low)
    return round(code) if coding.scale is Scale.INTEGER else code
