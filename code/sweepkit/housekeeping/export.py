"""`sweepkit export`: the runs of a sweep, or all that they reported, as CSV, JSON or Parquet."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweepkit.errors import SweepKitError
from sweepkit.extras import installed
from sweepkit.files import replacing
from sweepkit.housekeeping.find import Recorded, SweepPlace, opened, recorded
from sweepkit.housekeeping.labels import note_of, tags_of
from sweepkit.model.records import RunRecord
from sweepkit.reports.table import rows
from sweepkit.runner.find_sweep import choose


def exported(place: SweepPlace, named: str | None, *, history: bool) -> list[dict[str, Any]]:
    """Return one row a run, best first; or one row a report, by run and order.

    A run's row is that of `runs.csv` with its times, host and device: `params.NAME`, `best.NAME`, `last.NAME`, …

    Args:
        place: Where sweeps are.
        named: A sweep, or its folder; None for the only one.
        history: One row a report: number, run_id, report, step, time, and what was reported.

    Raises:
        SweepKitError: There is no such sweep.
    """
    with opened(place, named) as (watch, output_dir, wanted):
        found = recorded(watch, choose(watch.sweeps(), wanted, output_dir=output_dir, label=watch.label), output_dir)
        if history:
            return [
                {
                    "number": run.number,
                    "run_id": run.run_id,
                    "report": report.seq,
                    "step": report.step,
                    "time": report.time,
                    **report.values,
                }
                for run in found.runs
                for report in watch.reports(run.run_id)
            ]
    more = {run.run_id: _more(found, run) for run in found.runs}
    return [{**row, **more[row["run_id"]]} for row in rows(found.spec, found.runs)]


def _more(found: Recorded, run: RunRecord) -> dict[str, Any]:
    """Return what `runs.csv` has not of a run."""
    return {
        **{f"last.{name}": value for name, value in run.last_metrics.items()},
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "host": run.outcome.get("host"),
        "device": run.outcome.get("device"),
        "tags": ",".join(tags_of(found, run)),
        "note": note_of(found, run),
    }


def as_text(table: Sequence[dict[str, Any]], form: str, *, raw: bool = False) -> str:
    """Return rows as CSV or JSON text; `raw`: see `csv_text`."""
    from sweepkit.text.csv_text import csv_text
    from sweepkit.text.json_text import json_text

    if form == "csv":
        return csv_text(table, raw=raw)
    return json_text(list(table), indent=1) + "\n"


def write(table: Sequence[dict[str, Any]], form: str, file: Path, *, raw: bool = False) -> None:
    """Write rows to a file, in one step; `raw`: see `csv_text`.

    Raises:
        SweepKitError: Parquet is asked for and pyarrow is not installed.
        OSError: The file cannot be written.
    """
    if form != "parquet":
        with replacing(file) as new:
            new.write_text(as_text(table, form, raw=raw), encoding="utf-8")
        return
    if not installed("pyarrow"):
        raise SweepKitError("--parquet: needs the package pyarrow, got none; pip install pyarrow, or take --csv")
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    def array(values: list[Any]) -> Any:
        try:
            return pa.array(_column(values))
        except (pa.ArrowInvalid, OverflowError):  # an integer beyond 64 bits
            return pa.array([None if value is None else json.dumps(value, ensure_ascii=False) for value in values])

    names = list(dict.fromkeys(name for row in table for name in row))
    columns = {name: array([row.get(name) for row in table]) for name in names}
    with replacing(file) as new:
        parquet.write_table(pa.table(columns), new)


def _column(values: list[Any]) -> list[Any]:
    """Return a column of one kind: numbers, truth values or texts as they are, anything else as JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) <= 1 and not kinds & {list, dict, tuple}:
        return values
    return [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values
    ]
