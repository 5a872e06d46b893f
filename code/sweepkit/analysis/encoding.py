"""From a table of runs to the numbers that a model takes: which runs, which parameters, one group of columns each.

Cleaning keeps the runs that finished at full budget with a finite value (an early-stopped run was scored at another
budget), drops what cannot be a cause (constants, seeds, ids, paths), and averages the runs of one configuration, which
differ in their seed only. Nothing is imputed, and what was left out is counted.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.model.distributions import content_key
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import is_seed

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Names (their last part) that identify a run, or say where its files lie.
_BOOKKEEPING = re.compile(
    r"^((run|trial|exp|experiment|job|sweep)_?(id|name)|id|"
    r"uuid|.*_(dir|directory|path|folder|file|prefix)|(dir|path|folder|outdir|logdir|project|entity|group|tags|notes))$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One parameter as columns of the matrix.

    Args:
        column: The parameter.
        at: Positions of its columns.
        active: Shape (n,): the configurations that have it.
    """

    column: Column
    at: NDArray[np.intp]
    active: Bools

    @property
    def name(self) -> str:
        """Return the parameter's name."""
        return self.column.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is modelled.

    Args:
        x: Shape (n, p), float32, finite.
        y: Shape (n,), the mean value of each configuration, or each run's own.
        groups: One per parameter, in the table's order.
        runs: Runs that went in.
        left_out: Why runs did not → how many.
        dropped: Parameters left out → why.
        replicates: Runs beyond the first of their configuration.
    """

    x: NDArray[np.float32]
    y: Floats
    groups: tuple[Group, ...]
    runs: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    replicates: int = 0

    @property
    def n(self) -> int:
        """Return the number of configurations."""
        return len(self.y)

    def part(self, at: NDArray[np.intp]) -> "Design":
        """Return some of the configurations, by position; `runs` counts each of them once."""
        groups = tuple(replace(group, active=group.active[at]) for group in self.groups)
        return replace(self, x=self.x[at], y=self.y[at], groups=groups, runs=len(at))


def as_float32(x: Floats) -> NDArray[np.float32]:
    """Return numbers as float32, those beyond its range at its ends: a tree looks at their order alone."""
    largest = float(np.finfo(np.float32).max)
    return np.ascontiguousarray(np.clip(x, -largest, largest), dtype=np.float32)


def bookkeeping(name: str) -> bool:
    """Return whether a parameter's name says that it is a seed, an id or a path, which cannot be a cause.

    >>> bookkeeping("trainer.seed"), bookkeeping("output_dir"), bookkeeping("seed_layers")
    (True, True, False)
    """
    return is_seed(name) or _BOOKKEEPING.match(name.replace("/", ".").rpartition(".")[2]) is not None


def causes(table: RunTable) -> list[Column]:
    """Return the columns in which runs differ and that can be a cause; all varying ones when that leaves none."""
    varying = table.varying()
    return [column for column in varying if not (column.seed or bookkeeping(column.name))] or varying


def encode(table: RunTable, *, averaged: bool = True) -> Design:
    """Return the design of a table for its first metric.

    Args:
        table: The runs.
        averaged: The runs of one configuration are one row with their mean; else each is a row, by number.
    """
    rows = table.finished()
    values = [float(row.value or 0.0) for row in rows]
    kept, dropped = _columns(table, rows)
    groups_of_rows = _alike(rows, kept) if averaged else [[index] for index in range(len(rows))]
    first = [rows[group[0]] for group in groups_of_rows]
    y = np.array([np.mean([values[index] for index in group]) for group in groups_of_rows], dtype=float)
    blocks, groups, start = [], [], 0
    for column in kept:
        block, active = encoded(column, first)
        blocks.append(block)
        groups.append(Group(column=column, at=np.arange(start, start + block.shape[1]), active=active))
        start += block.shape[1]
    x = np.hstack(blocks) if blocks else np.zeros((len(first), 0))
    return Design(
        x=as_float32(x),
        y=y,
        groups=tuple(groups),
        runs=len(rows),
        left_out=_left_out(table, len(rows)),
        dropped=dropped,
        replicates=len(rows) - len(first),
    )


def encoded(column: Column, rows: Sequence[Row]) -> tuple[Floats, Bools]:
    """Return a parameter as columns, shape (n, k), and which rows have it, shape (n,).

    Numbers are one column (log10 where the parameter is logarithmic), an absent one lies below all others; categories
    are one column of 0 and 1 per level, two levels one column, an absent one all zeros and a column of its own.
    """
    active = np.array([column.name in row.params for row in rows], dtype=bool)
    if column.numeric:
        raw = np.array([float(row.params.get(column.name, np.nan)) for row in rows])
        raw = np.where(active, raw, 1.0)
        numbers = np.log10(raw) if column.log else raw
        if not active.all() and active.any():
            low, high = numbers[active].min(), numbers[active].max()
            numbers = np.where(active, numbers, low - (high - low or 1.0))
        return numbers[:, None], active
    present = [level for level in column.levels if any(row.params.get(column.name) == level for row in rows)]
    if active.all() and len(present) == 2:
        present = present[1:]
    block = np.array([[float(row.params.get(column.name) == level) for level in present] for row in rows])
    block = block.reshape(len(rows), len(present))
    if not active.all():
        block = np.hstack([block, (~active)[:, None].astype(float)])
    return block, active


def _alike(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[int]]:
    """Return the positions of the rows that agree in all these columns, grouped, in order of appearance.

    A model cannot tell them apart, though they may be of several configurations: what cannot be a cause is left out.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        known = tuple(content_key(row.params[c.name]) if c.name in row.params else None for c in columns)
        groups.setdefault(known, []).append(index)
    return list(groups.values())


def _left_out(table: RunTable, used: int) -> dict[str, int]:
    words = {
        RunState.STOPPED: "stopped early",
        RunState.DIVERGED: "diverged",
        RunState.FAILED: "failed",
        RunState.RUNNING: "still running",
        RunState.PENDING: "not begun",
    }
    counts = {word: sum(row.state is state for row in table.rows) for state, word in words.items()}
    counts["finished without a value"] = sum(row.state is RunState.FINISHED for row in table.rows) - used
    return {word: count for word, count in counts.items() if count}


_ALIKE = ("no run has a value of a whole run", "only one run finished", "the same in every run")  # of 0, 1, more runs


def _columns(table: RunTable, rows: Sequence[Row]) -> tuple[list[Column], dict[str, str]]:
    """Return the parameters to model, and those left out with the reason."""
    kept, dropped = [], {}
    for column in table.columns:
        values = [row.params.get(column.name) for row in rows]
        distinct = len(set(values))
        if column.seed or bookkeeping(column.name):
            dropped[column.name] = "a seed, an id or a path"
        elif distinct < 2:
            dropped[column.name] = _ALIKE[min(len(rows), 2)]
        elif not column.numeric and len(rows) > 4 and distinct > max(10, 0.5 * len(rows)):
            dropped[column.name] = "nearly a different text in every run"
        else:
            kept.append(column)
    return kept, dropped
