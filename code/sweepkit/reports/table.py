"""The table of a sweep's runs, as rows, CSV and terminal text."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.ranking import ranked, value_of
from sweepkit.spec.records import RunRecord
from sweepkit.spec.sweep import SweepSpec

if TYPE_CHECKING:
    from rich.table import Table

_HEAD = ("number", "run_id", "state", "value")
_STYLES = {"finished": "green", "stopped": "yellow", "diverged": "magenta", "failed": "red", "running": "cyan"}


def dotted(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration with dotted names.

    >>> dotted({"opt": {"lr": 0.1}, "seed": 1})
    {'opt.lr': 0.1, 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            flat.update(dotted(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def short(value: Any) -> str:
    """Return a value for a narrow place: floats with four significant digits, the rest as JSON.

    >>> short(0.00012345678), short("adamw"), short(True), short(None)
    ('0.0001235', 'adamw', 'true', 'null')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parameter_names(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[str]:
    """Return the dotted parameter names that vary over the runs, in the space's order; all when none varies."""
    flat = [dotted(run.params) for run in runs]
    names = list(dict.fromkeys(name for row in flat for name in row))
    varying = [name for name in names if len({json.dumps(row.get(name), default=str) for row in flat}) > 1]
    return varying or names


def rows(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return one plain dictionary per run, best first: what `runs.csv` and `--json` show."""
    return [
        {
            "number": run.number,
            "run_id": run.run_id,
            "state": run.state.value,
            "value": value_of(run, spec.metric),
            **{f"params.{name}": value for name, value in dotted(run.params).items()},
            **{f"best.{name}": value for name, value in run.best_metrics.items()},
            "duration_s": run.outcome.get("duration_s"),
            "attempts": run.attempts,
            "reason": run.reason,
        }
        for run in ranked(runs, spec.metric)
    ]


def as_csv(spec: SweepSpec, runs: Sequence[RunRecord]) -> str:
    """Return the rows as CSV text; lists and dictionaries as JSON in their cell, missing values empty."""
    table = rows(spec, runs)
    columns = _columns(spec, table)
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow(
            {
                name: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else value
                for name, value in row.items()
            }
        )
    return out.getvalue()


def _columns(spec: SweepSpec, table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of all columns; a parameter that only some runs have stands where the space has it."""
    names = list(dict.fromkeys(name for row in table for name in row))
    place = {f"params.{parameter.name}": index for index, parameter in enumerate(spec.space.parameters)}
    params = sorted(
        (name for name in names if name.startswith("params.")), key=lambda name: place.get(name, len(place))
    )
    best = [name for name in names if name.startswith("best.")]
    tail = [name for name in names if name not in (*_HEAD, *params, *best)]
    return [*(name for name in _HEAD if name in names), *params, *best, *tail]


def as_rich(spec: SweepSpec, runs: Sequence[RunRecord], *, limit: int = 30) -> "Table":
    """Return the table for a terminal: best first, at most `limit` rows."""
    from rich.table import Table
    from rich.text import Text

    metric = spec.metric.name if spec.metric else None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if metric:
        table.add_column(metric, justify="right", no_wrap=True)
    names = parameter_names(spec, runs)
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for run in ranked(runs, spec.metric)[:limit]:
        flat = dotted(run.params)
        value = value_of(run, spec.metric)
        duration = run.outcome.get("duration_s")
        cells: list[str | Text] = [
            str(run.number),
            run.run_id,
            Text(run.state.value, style=_STYLES.get(run.state.value, "")),
            *(["" if value is None else f"{value:.5g}"] if metric else []),
            *(short(flat[name]) if name in flat else "" for name in names),
            "" if duration is None else f"{duration:.1f}",
            "" if run.state.value == "finished" else Text(run.reason),
        ]
        table.add_row(*cells)
    return table
