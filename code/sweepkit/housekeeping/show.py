"""`sweepkit show RUN`: its configuration, its curve, its attempts with their reasons, the end of its log."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.program_versions import VERSION
from sweepkit.files import last_bytes
from sweepkit.housekeeping.find import SweepPlace, best_run, find_run, opened
from sweepkit.housekeeping.labels import note_of, tags_of
from sweepkit.model.identity import versions_in
from sweepkit.model.objectives import metrics_in, values_of
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.reports.files import relative
from sweepkit.reports.table import short
from sweepkit.store.watch import Watch
from sweepkit.text.canvas import Line, plotted
from sweepkit.text.nested_tables import flattened
from sweepkit.text.shown import bar, printable

if TYPE_CHECKING:
    from sweepkit.model.metric import Metric

_COLUMNS = 60
_LINES = 8  # of a curve
_FEWEST_TO_PLOT = 3  # reports
_READ_BYTES = 64 * 1024  # of the end of a log


def shown(place: SweepPlace, named: str, *, lines: int) -> dict[str, Any]:
    """Return what is known of a run.

    Args:
        place: Where sweeps are.
        named: As `find_run` takes it.
        lines: Lines of the end of its last attempt's log, >= 0.

    Raises:
        SweepKitError: There is no such run.
    """
    with opened(place) as (watch, output_dir, _):
        found, run = find_run(watch, output_dir, named)
        attempts = watch.attempts(run.run_id)
        metrics = metrics_in(found.spec.objectives)
        metric = metrics[0] if metrics else None
        best = best_run(found)
        best = None if best is None or best.run_id == run.run_id else best
        history = _history(watch, run, metric)
        behind = [] if best is None else _history(watch, best, metric)
    values = values_of(run, metrics)
    log = found.paths.log(attempts[-1].attempt_id) if attempts else None
    return {
        "sweep": found.sweep.name,
        "run_id": run.run_id,
        "number": run.number,
        "state": run.state.value,
        "reason": run.reason,
        "params": dict(run.params),
        "tags": tags_of(found, run),
        "note": note_of(found, run),
        "metric": None if metric is None else metric.name,
        "goal": None if metric is None else metric.goal.value,
        "value": values[0] if values else None,
        **({"values": _named(metrics, values)} if len(metrics) > 1 else {}),
        "history": history,
        "best": None if best is None else _beside(best, metrics, behind),
        "best_metrics": dict(run.best_metrics),
        "last_metrics": dict(run.last_metrics),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "outcome": dict(run.outcome),
        "program": _program(found.sweep, run),
        "attempts": [
            {
                "attempt_id": attempt.attempt_id,
                "state": attempt.state.value,
                "reason": attempt.reason,
                "host": attempt.host,
                "device": attempt.device,
                "pid": attempt.pid,
                "duration_s": _lasted(attempt.started_at or attempt.claimed_at, attempt.ended_at),
            }
            for attempt in attempts
        ],
        "folder": str(found.paths.run_dir(run.run_id)),
        "log": None if log is None else str(log),
        "log_tail": [] if log is None else _tail(log, lines),
    }


def _program(sweep: SweepRecord, run: RunRecord) -> dict[str, Any] | None:
    """Return the version of the program that a run is of, and what has changed since; None when nobody knows."""
    digest, versions = run.outcome.get(VERSION), versions_in(sweep)
    mine = next((version for version in versions if version.digest == digest), None)
    if mine is None:
        return None if digest is None else {"version": digest, "changed": []}
    return {"version": digest, "changed": versions[-1].changed(mine)}


def _history(watch: Watch, run: RunRecord, metric: "Metric | None") -> list[float]:
    """Return what a run reported of a metric; of several the record keeps no history beside the reports themselves."""
    if run.history or metric is None:
        return list(run.history)
    return [float(report.values[metric.name]) for report in watch.reports(run.run_id) if metric.name in report.values]


def _named(metrics: "Sequence[Metric]", values: Sequence[float] | None) -> list[dict[str, Any]]:
    held: Sequence[float | None] = values or [None] * len(metrics)
    return [
        {"metric": metric.name, "goal": metric.goal.value, "value": value}
        for metric, value in zip(metrics, held, strict=True)
    ]


def _beside(best: RunRecord, metrics: "Sequence[Metric]", history: Sequence[float]) -> dict[str, Any]:
    values = values_of(best, metrics)
    return {"run_id": best.run_id, "value": values[0] if values else None, "history": list(history)}


def _lasted(began: float, ended: float | None) -> float | None:
    return None if ended is None else ended - began


def _tail(file: Path, lines: int) -> list[str]:
    """Return the last lines of a file, [] where it is not there; of the last 64 KiB at most."""
    text = last_bytes(file, _READ_BYTES).decode("utf-8", "replace")
    return text.splitlines()[-lines:] if lines else []


def shown_text(run: dict[str, Any]) -> str:
    """Return it as text for a terminal, which nothing that a program wrote steers."""
    took = run["outcome"].get("duration_s")
    lines = [f"run {run['run_id']}, number {run['number']} of sweep {run['sweep']}: {run['state']}"]
    lines += [f"  {run['reason']}"] if run["reason"] else []
    lines += [f"  took {took:.1f} s"] if took is not None else []
    if program := run["program"]:
        changed = f"; changed since: {', '.join(program['changed'])}" if program["changed"] else ""
        lines += [f"  program version {program['version']}{changed}"]
    if interpreter := run["outcome"].get("interpreter"):
        packages = run["outcome"].get("package_versions") or {}
        lines += [f"  {interpreter}: {', '.join(f'{name} {version}' for name, version in packages.items())}"]
    lines += [f"  tags: {', '.join(run['tags'])}"] if run["tags"] else []
    lines += [f"  note: {run['note']}"] if run["note"] else []
    lines += ["", "configuration"]
    lines += [f"  {name}: {_exactly(value)}" for name, value in flattened(run["params"]).items()]
    if run["metric"] is not None:
        one = {"metric": run["metric"], "goal": run["goal"], "value": run["value"]}
        lines += ["", *(_valued(item) for item in run.get("values", [one]))]
        lines += _curve_lines(run["history"], run.get("best"))
    shown_names = {run["metric"], *(item["metric"] for item in run.get("values", ()))}
    others = {name: value for name, value in run["last_metrics"].items() if name not in shown_names}
    lines += ["", "last values"] if others else []
    lines += [f"  {name}: {short(float(value))}" for name, value in others.items()]
    lines += ["", "attempts"]
    lines += [_attempt_line(item) for item in run["attempts"]] or ["  none yet"]
    if run["log"] is not None:
        lines += ["", f"log: {relative(Path(run['log']))}", *(f"  {line}" for line in run["log_tail"])]
    return printable("\n".join(lines))


def _valued(item: Mapping[str, Any]) -> str:
    value = "none" if item["value"] is None else f"{item['value']:.6g}"
    return f"{item['metric']} ({item['goal']}): {value}"


def _exactly(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _curve_lines(history: Sequence[float], best: Mapping[str, Any] | None) -> list[str]:
    """Return the run's curve, the best run's behind it."""
    if not history:
        return []
    plural = "" if len(history) == 1 else "s"
    said = [f"  {_sparkline(history)}  {history[0]:.5g} → {history[-1]:.5g} in {len(history)} report{plural}"]
    if len(history) < _FEWEST_TO_PLOT:
        return said
    behind = [Line(values=best["history"], style="behind")] if best else []
    drawn = plotted([*behind, Line(values=history, style="own")], width=_COLUMNS + 12, height=_LINES)
    dots = [[(_thin(text) if style == "behind" else text) for text, style in line] for line in drawn]
    said += ["", *(f"  {''.join(line)}".rstrip() for line in dots)]
    return said + ([f"  behind it, dotted: the best run, {best['run_id']}"] if best else [])


def _thin(text: str) -> str:
    """Return braille with one dot in each character: a line that lies behind another without colours.

    >>> _thin("⣀ ⡠")
    '⢀ ⡀'
    """
    return "".join(chr(0x2800 + (1 << (ord(char) - 0x2800).bit_length() - 1)) if char != " " else " " for char in text)


def _attempt_line(item: dict[str, Any]) -> str:
    where = " ".join(filter(None, (item["host"], item["device"])))
    took = "" if item["duration_s"] is None else f", {item['duration_s']:.1f} s"
    why = f": {item['reason']}" if item["reason"] else ""
    return f"  {item['attempt_id']}  {item['state']}  {where}{took}{why}"


def _sparkline(values: Sequence[float]) -> str:
    """Return values in order as a line of blocks, one a column at most; what is no number is a cross.

    Where there are more values than columns each column is the mean of its values.

    >>> _sparkline([1.0, 2.0, 3.0, float("nan")])
    '▁▅█✕'
    """
    parts = min(_COLUMNS, len(values))
    cut = [values[len(values) * n // parts : len(values) * (n + 1) // parts] for n in range(parts)]
    means = [sum(part) / len(part) for part in cut]
    numbers = [value for value in means if math.isfinite(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    return "".join(bar(value, low, high) if math.isfinite(value) else "✕" for value in means)
