"""A sweep as a table: parameters as columns that know their scale, runs as rows. What every figure and test reads.

Pure. `from_runs` makes one from the record, `from_frame` (in `foreign`) from a frame of any other tool. A parameter
that a run does not have (it is conditional, and its condition was not met) is absent from the row; a null is a value.
"""

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sweepkit.model.configurations import Configuration, best_first, configuration_key, configurations
from sweepkit.model.distributions import Kind
from sweepkit.model.metric import BEST, Metric
from sweepkit.model.numbers import fits_float, is_finite
from sweepkit.model.objectives import counted_metrics, counted_report, report_of, values_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import is_seed
from sweepkit.model.space import Parameter, Space
from sweepkit.sweep_config.sweep import EarlyTerminate, Method, SweepSpec

if TYPE_CHECKING:
    import pandas as pd

_LOG_KINDS = frozenset(kind for kind in Kind if "log" in kind.value)
_DECADES = 99.0  # choices and foreign columns that span this ratio are shown on a logarithmic axis
_DECADE = 9.99
_ROUNDED = 1.3  # steps as 1, 3, 10 and 1, 2, 5, 10: up to 1.25 from one ratio to the next
ATTRS = "sweepkit"  # what a frame knows of its table stands under this key of its `attrs`


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One parameter.

    Args:
        name: Dotted name, unique in the table.
        numeric: Its values are numbers (bool is none); otherwise they are categories.
        log: Numbers that are searched, and shown, on a logarithmic axis; all are positive then.
        conditional: Some run does not have it.
        levels: The categories in the order of the space, then of appearance, as text; () for numbers.
        low, high: Bounds of the search; None where the space has none or is unknown.
        searched: The space has it with more than one value; True for foreign tables.
        seed: It holds seeds (`model.seeds.is_seed`), which make no other configuration.
    """

    name: str
    numeric: bool
    log: bool = False
    conditional: bool = False
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    searched: bool = True
    seed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run.

    Args:
        number: 0-based, unique.
        run_id: Its id as the tool spells it.
        state: Where it stands.
        params: Column name → number (int, float) or level (text); absent where the run does not have it.
        value: The metric by the rule of its value (`Metric.value`: best over the run, say); None without a finite one.
        objectives: The value of each metric of the table, or None when one is missing; `(value,)` with one metric.
        metrics: Further finite numbers, by name.
        counted: Which report those are of, "best" or "last".
        duration_s: Of its last attempt, None when nobody knows.
        attempts: Made so far.
        reports: Values of the metric that it reported; 0 when nobody knows.
        at: The report, from 1, that `value` is of; None where it is of several, of none, or nobody knows.
        last: The metric at its last report; None when nobody knows.
        seed: The seed that it trained with, None when nobody knows.
        reason: Why it is in that state; may be "".
        order: Position in time: runs are compared by when they ended; ties by number.
        facts: Host, device and so on, as recorded.
        configuration: What its configuration is known by (`model.configurations.configuration_key`).
        seeds: How many runs `value` is the mean of: more than 1 only in `RunTable.ranked`.
        name: Its name for people; "" when nobody knows.
        history: Values of the metric in the order in which it reported them; () when nobody knows.
        steps, times: The program's own step, and seconds since the first report, of each value of `history`; () when
            nobody knows.
    """

    number: int
    run_id: str
    state: RunState
    params: Mapping[str, float | str]
    value: float | None
    objectives: tuple[float, ...] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    counted: str = BEST
    duration_s: float | None = None
    attempts: int = 1
    reports: int = 0
    at: int | None = None
    last: float | None = None
    seed: int | None = None
    reason: str = ""
    order: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    configuration: Hashable | None = None
    seeds: int = 1
    name: str = ""
    history: Sequence[float] = ()
    steps: Sequence[float] = ()
    times: Sequence[float] = ()

    def objective(self, index: int) -> float | None:
        """Return the value of a metric by its place in the table's."""
        return self.value if index == 0 else self.objectives[index] if self.objectives else None

    @property
    def counts(self) -> bool:
        """Return whether it ended with a value: by itself, or by a stopping rule."""
        return self.state.ended_well and self.value is not None


@dataclass(frozen=True, kw_only=True)  # no slots: what every figure asks for is worked out once
class RunTable:
    """A sweep's runs by number.

    Args:
        name: The sweep.
        metrics: What is optimized, first the one that `Row.value` holds; () when the sweep names none.
        columns: The parameters, in the space's order.
        rows: The runs.
        method: How configurations were proposed ("random", "bayes", …), "" when nobody knows.
        stopping: The rule that ended runs early; None without one.
    """

    name: str
    metrics: tuple[Metric, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    method: str = ""
    stopping: EarlyTerminate | None = None

    @property
    def metric(self) -> Metric | None:
        """Return the first metric."""
        return self.metrics[0] if self.metrics else None

    @property
    def exchangeable(self) -> bool:
        """Return whether the order of the runs means nothing: proposals did not depend on results."""
        return self.method in (Method.GRID, Method.RANDOM, "qmc")

    def column(self, name: str) -> Column:
        """Return a column by name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def by(self, name: str) -> "RunTable":
        """Return the table as that of one of its metrics: `Row.value` is each run's value of it.

        Args:
            name: A metric of the table.

        Raises:
            KeyError: It has none of that name.
        """
        place = next((at for at, metric in enumerate(self.metrics) if metric.name == name), None)
        if place is None:
            raise KeyError(name)
        if len(self.metrics) == 1:
            return self
        return replace(self, metrics=(self.metrics[place],), rows=tuple(_by(row, place, name) for row in self.rows))

    def configurations(self) -> list[Configuration[Row]]:
        """Return the configurations that ended with a value, best first (`model.configurations.best_first`)."""
        return list(self._configurations)

    def ranked(self) -> list[Row]:
        """Return the configurations as rows: of one with several runs that of the first that counts, with the means."""
        return list(self._ranked)

    @cached_property
    def _configurations(self) -> list[Configuration[Row]]:
        found = configurations(
            sorted((row for row in self.rows if row.counts), key=_number),
            key=lambda row: row.configuration,
            state=lambda row: row.state,
            values=lambda row: row.objectives,
        )
        return best_first(found, self.metrics, _number)

    @cached_property
    def _ranked(self) -> list[Row]:
        return [
            replace(item.first, value=item.value, objectives=item.values, seeds=len(item.runs))
            for item in self._configurations
        ]

    def best_first(self) -> list[Row]:
        """Return all runs, those of the best configuration first; those whose value does not count come last."""
        best = [row for item in self.configurations() for row in item.members]
        placed = {row.number for row in best}
        return [*best, *(row for row in self.rows if row.number not in placed)]

    def to_frame(self) -> "pd.DataFrame":
        """Return the runs as a frame, a row each, by number; `from_frame` makes a table of it again.

        The columns are those of `runs.csv`: number, run_id, name, state, `value` or with several metrics
        `objective.NAME` of each, `params.NAME`, `best.NAME` (`last.NAME` where the last report counts), duration_s,
        attempts, seed, reason. Numbers are Int64 or Float64, as they are where neither holds them exactly, categories
        categorical in the order of the space, the rest is text. NA is what a run does not have: a null is "null".

        Example:
            >>> frame = table.to_frame()                                    # doctest: +SKIP
            >>> frame.groupby("params.optimizer")["value"].median()         # doctest: +SKIP
        """
        import pandas as pd

        columns = {name: pd.array(values, dtype=dtype) for name, values, dtype in self._frame_columns()}
        frame = pd.DataFrame(columns)
        frame.attrs[ATTRS] = {"name": self.name, "method": self.method}
        if self.metric is not None:
            frame.attrs[ATTRS] |= {"metric": self.metric.name, "goal": self.metric.goal.value}
        return frame

    def _frame_columns(self) -> Iterator[tuple[str, list[Any], Any]]:
        """Yield name, values with None for missing, and dtype of each column of the frame."""
        import pandas as pd

        rows = self.rows
        yield "number", [row.number for row in rows], "Int64"
        yield "run_id", [row.run_id for row in rows], "string"
        if any(row.name for row in rows):
            yield "name", [row.name for row in rows], "string"
        yield "state", [row.state.value for row in rows], "string"
        if len(self.metrics) > 1:
            for place, metric in enumerate(self.metrics):
                yield f"objective.{metric.name}", [row.objective(place) for row in rows], "Float64"
        else:
            yield "value", [row.value for row in rows], "Float64"
        for column in self.columns:
            cells = [row.params.get(column.name) for row in rows]
            dtype = _numbers_dtype(cells) if column.numeric else pd.CategoricalDtype(list(column.levels))
            yield f"params.{column.name}", cells, dtype
        for report, name in dict.fromkeys((row.counted, name) for row in rows for name in row.metrics):
            held = [row.metrics.get(name) if row.counted == report else None for row in rows]
            yield f"{report}.{name}", held, "Float64"
        yield "duration_s", [row.duration_s for row in rows], "Float64"
        yield "attempts", [row.attempts for row in rows], "Int64"
        seeds = [row.seed for row in rows]
        yield "seed", seeds, _numbers_dtype(seeds)
        yield "reason", [row.reason for row in rows], "string"

    def finished(self) -> list[Row]:
        """Return the runs with a value at full budget: those that ended by themselves."""
        return [row for row in self.rows if row.state is RunState.FINISHED and row.value is not None]

    def varying(self) -> list[Column]:
        """Return the columns in which runs differ (having it or not counts); all of them when none does."""
        return list(self._varying)

    @cached_property
    def _varying(self) -> list[Column]:  # asked for some thirty times by a report
        return [column for column in self.columns if self._differs(column.name)] or list(self.columns)

    def _differs(self, name: str) -> bool:
        values = (row.params.get(name) for row in self.rows)
        first = next(values, None)
        return any(value != first for value in values)


def _by(row: Row, place: int, name: str) -> Row:
    """Return the run as one of a sweep of that metric alone; what it reported of it must be read again."""
    value, last = row.objective(place), row.metrics.get(name)
    objectives = None if value is None else (value,)
    return replace(row, value=value, objectives=objectives, last=last, at=None, history=(), steps=(), times=())


def _number(row: Row) -> int:
    return row.number


def _numbers_dtype(values: Sequence[Any]) -> str:
    """Return the dtype that holds numbers, None among them, exactly: of 64 bits, else Python's own."""
    numbers = [value for value in values if value is not None]
    if all(isinstance(value, int) and abs(value) < 2**63 for value in numbers):
        return "Int64"
    return "Float64" if all(fits_float(value) and float(value) == value for value in numbers) else "object"


# What rows were made of, and they: number of the run → (run, what all rows depend on, row).
KeptRows = dict[int, tuple[RunRecord, Hashable, Row]]


def from_runs(spec: SweepSpec, runs: Sequence[RunRecord], *, kept: KeptRows | None = None) -> RunTable:
    """Return the table of a recorded sweep.

    With several metrics a run's objectives are what `model.objectives.objectives_of` says.

    Args:
        spec: The sweep.
        runs: Its runs.
        kept: Rows of earlier tables of this sweep; those of runs that are the same objects are taken from it, and new
            ones are put in.
    """
    metrics, seed_parameter = spec.objectives, spec.extensions.seed_parameter
    flat = [_flatten(spec.space, run.params) for run in runs]
    names = list(dict.fromkeys([*(p.name for p in spec.space.parameters), *(name for row in flat for name in row)]))
    by_name = {parameter.name: parameter for parameter in spec.space.parameters}
    columns = []
    for name in names:
        values = [row[name] for row in flat if name in row]
        column = _column(name, by_name.get(name), values, missing=len(values) < len(flat))
        columns.append(replace(column, seed=is_seed(name, seed_parameter)))
    rows, kept = [], {} if kept is None else kept
    by = (tuple((c.name, c.numeric) for c in columns), tuple(metrics), seed_parameter)
    for run, named in zip(runs, flat, strict=True):
        before = kept.get(run.number)
        if before is None or before[0] is not run or before[1] != by:
            params = {c.name: _cell(named[c.name], c) for c in columns if c.name in named}
            before = kept[run.number] = (run, by, _row(run, params, metrics, seed_parameter))
        rows.append(before[2])
    return RunTable(
        name=spec.name,
        metrics=tuple(metrics),
        columns=tuple(columns),
        rows=tuple(sorted(rows, key=lambda row: row.number)),
        method=proposed_by(spec),
        stopping=spec.early_terminate or spec.extensions.early_terminate,
    )


def proposed_by(spec: SweepSpec) -> str:
    """Return how a sweep's configurations are proposed, as `RunTable.method` says it."""
    sampler = spec.extensions.sampler
    return spec.method.value if sampler is None else sampler.name


def _flatten(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a nested configuration by dotted name; what the space has as one value (a mapping, say) stays one."""
    leaves = {parameter.path for parameter in space.parameters}
    flat: dict[str, Any] = {}

    def walk(node: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key, value in node.items():
            here = (*path, str(key))
            if isinstance(value, Mapping) and value and here not in leaves:
                walk(value, here)
            else:
                flat[".".join(here)] = value

    walk(params, ())
    return flat


def text_of(value: Any) -> str:
    """Return a value as a category's name: text as it is, the rest as JSON.

    >>> text_of("adamw"), text_of(True), text_of(None), text_of([1, 2])
    ('adamw', 'true', 'null', '[1, 2]')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cell(value: Any, column: Column) -> float | str:
    """Return a value as its column holds it."""
    return value if column.numeric else text_of(value)


def _wide(values: Sequence[float]) -> bool:
    """Return whether numbers belong on a logarithmic axis: all positive, and over two decades or evenly spaced there.

    Evenly is also 1, 3, 10, 30, as people round steps of a decade.

    >>> _wide([1e-5, 1e-3]), _wide([4, 8, 16, 32]), _wide([1e-4, 3e-4, 1e-3, 3e-3]), _wide([1, 2, 3]), _wide([0, 1e6])
    (True, True, True, False, False)
    """
    points = sorted(set(values))
    if len(points) < 2 or points[0] <= 0:
        return False
    ratios = [b / a for a, b in zip(points, points[1:], strict=False)]
    spread, uneven = points[-1] / points[0], max(ratios) / min(ratios)
    even = len(points) > 2 and (uneven < 1 + 1e-6 or (uneven < _ROUNDED and spread > _DECADE))
    return spread >= _DECADES or even


def numbers_column(name: str, values: Sequence[float], *, missing: bool) -> Column:
    """Return the column of numbers of which nothing but the values is known."""
    return Column(name=name, numeric=True, log=_wide(values), conditional=missing, seed=is_seed(name))


def levels_column(name: str, values: Sequence[Any], *, missing: bool, first: Sequence[Any] = ()) -> Column:
    """Return the column of categories: `first` in their order, then the others as they appear."""
    levels = tuple(dict.fromkeys(text_of(value) for value in [*first, *values]))
    return Column(name=name, numeric=False, conditional=missing, levels=levels, seed=is_seed(name))


def _column(name: str, parameter: Parameter | None, values: Sequence[Any], *, missing: bool) -> Column:
    numeric = all(is_finite(value) for value in values)
    if parameter is None:
        if numeric and values:
            return numbers_column(name, values, missing=missing)
        return levels_column(name, values, missing=missing)
    given = parameter.distribution
    searched = given.support_size() != 1
    if not numeric or any(not is_finite(value) for value in given.values):
        return replace(levels_column(name, values, missing=missing, first=given.values), searched=searched)
    bounds = _bounds(parameter)
    if given.values:
        log = _wide(given.values)
    else:
        log = given.kind in _LOG_KINDS and all(value > 0 for value in values)
    low, high = bounds if bounds is not None else (None, None)
    return Column(name=name, numeric=True, log=log, conditional=missing, low=low, high=high, searched=searched)


def _bounds(parameter: Parameter) -> tuple[float, float] | None:
    given = parameter.distribution
    if given.values:
        return float(min(given.values)), float(max(given.values))
    bounds = given.bounds()
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


def _row(
    run: RunRecord, params: Mapping[str, float | str], metrics: Sequence[Metric], seed_parameter: str | None
) -> Row:
    metric = metrics[0] if len(metrics) == 1 else None
    reported = {**run.last_metrics, **counted_metrics(run, metric)}
    finite = [float(value) for value in run.history if math.isfinite(value)]
    objectives = values_of(run, metrics)
    duration = run.outcome.get("duration_s")
    seed = run.outcome.get("seed")
    return Row(
        number=run.number,
        run_id=run.run_id,
        state=run.state,
        params=params,
        value=objectives[0] if objectives else None,
        objectives=objectives,
        metrics={name: float(item) for name, item in reported.items() if math.isfinite(item)},
        counted=counted_report(run, metric),
        duration_s=float(duration) if is_finite(duration) else None,
        attempts=run.attempts,
        reports=len(run.history),
        at=report_of(run, metric),
        last=finite[-1] if finite else None,
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        reason=run.reason,
        order=run.ended_at if run.ended_at is not None else math.inf,
        facts=run.outcome,
        configuration=configuration_key(run, seed_parameter),
        name=run.name,
        history=run.history,
    )
