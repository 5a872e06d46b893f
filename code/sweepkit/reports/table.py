"""The table of a sweep's runs, as rows, CSV and terminal text."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.program_versions import VERSION, several_versions
from sweepkit.analysis.ranking import (
    configuration_numbers,
    front_volume,
    ranked,
    recorded_configurations,
    recorded_front,
)
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import counted_metrics, counted_report, report_of, value_of, values_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.reports.resources import memory_words, peak_memory_mb
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.csv_text import csv_text
from sweepkit.text.nested_tables import flattened

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

STATE_STYLES = {  # in a terminal
    RunState.FINISHED: "green",
    RunState.STOPPED: "yellow",
    RunState.DIVERGED: "magenta",
    RunState.FAILED: "red",
    RunState.RUNNING: "cyan",
}

_MEMORY = {"gradient_checkpointing", "gradient_accumulation_steps"}
_MOST_OF_FRONT = 10
_HEAD = ("number", "run_id", "name", "state", "value", "configuration", "mean")


def short(value: Any) -> str:
    """Return a value for a narrow place: floats with four significant digits, the rest as JSON.

    >>> short(0.00012345678), short("adamw"), short(True), short(None)
    ('0.0001235', 'adamw', 'true', 'null')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parameter_names(runs: Sequence[RunRecord], leave_out: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Return the dotted parameter names that vary over the runs, in the space's order; all when none varies.

    Args:
        runs: The runs.
        leave_out: Whether a name is passed over.
    """
    flat = [flattened(run.params) for run in runs]
    names = [name for name in dict.fromkeys(name for row in flat for name in row) if not leave_out(name)]
    varying = [name for name in names if len({json.dumps(row.get(name), default=str) for row in flat}) > 1]
    return varying or names


def rows(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return one plain dictionary per run, best first: what `runs.csv` and `--json` show.

    With several objectives `value` gives way to `objective.NAME` of each; `front` says whether no other run beats it.
    Where configurations have several runs `configuration` says which one the run is of, `mean` is over its seeds; where
    runs are of several versions of their program `program_version` says of which.
    """
    means = _means(spec, runs)
    seed = spec.extensions.seed_parameter
    numbers = configuration_numbers(runs, seed) if means else {}
    front = _front_ids(spec, runs)
    changed = several_versions([(run.number, run.outcome) for run in runs])
    full = any(memory_words(run.outcome) for run in runs)
    return [
        {
            "number": run.number,
            "run_id": run.run_id,
            "name": run.name,
            "state": run.state.value,
            **(
                {f"objective.{name}": value for name, value in values_row(run, spec)["values"].items()}
                if spec.metrics
                else {"value": value_of(run, spec.metric), "at_report": report_of(run, spec.metric)}
            ),
            **({"front": run.run_id in front} if spec.metrics else {}),
            **({"configuration": numbers[run.run_id], "mean": means.get(run.run_id)} if means else {}),
            **({"tags": ",".join(tags)} if (tags := run.outcome.get("tags")) else {}),
            **{f"params.{name}": value for name, value in flattened(run.params).items()},
            **_counted(run, spec.metric),
            "reports": len(run.history),
            "duration_s": run.outcome.get("duration_s"),
            "peak_memory_mb": peak_memory_mb(run.outcome),
            **({"memory": memory_words(run.outcome)} if full else {}),
            "attempts": run.attempts,
            **({VERSION: run.outcome.get(VERSION)} if changed else {}),
            "reason": run.reason,
        }
        for run in ranked(runs, spec.objectives, seed_parameter=seed)
    ]


def _counted(run: RunRecord, metric: Metric | None) -> dict[str, float]:
    """Return what the report that counts held, each value under that report's name: `best.loss` or `last.loss`."""
    report = counted_report(run, metric)
    return {f"{report}.{name}": value for name, value in counted_metrics(run, metric).items()}


def _front_ids(spec: SweepSpec, runs: Sequence[RunRecord]) -> set[str]:
    """Return the runs of the configurations on the front of several objectives; empty with one."""
    return {run.run_id for item in _front(spec, runs) for run in item.runs}


def _front(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[Configuration[RunRecord]]:
    if not spec.metrics:
        return []
    return recorded_front(runs, spec.metrics, seed_parameter=spec.extensions.seed_parameter)


def _means(spec: SweepSpec, runs: Sequence[RunRecord]) -> dict[str, float]:
    """Return the mean of a run's configuration by run id; {} where each has one run."""
    if spec.metric is None:
        return {}
    found = recorded_configurations(runs, spec.metric, seed_parameter=spec.extensions.seed_parameter)
    if not any(item.several for item in found):
        return {}
    return {run.run_id: item.values[0] for item in found for run in item.members}


def values_row(run: RunRecord | RunView, spec: SweepSpec) -> dict[str, Any]:
    """Return `{"value": …}` of a run, or `{"values": {name: …}}` with several objectives; None where unknown."""
    if not spec.metrics:
        return {"value": value_of(run, spec.metric)}
    values = values_of(run, spec.metrics) or (None,) * len(spec.metrics)
    return {"values": {metric.name: value for metric, value in zip(spec.metrics, values, strict=True)}}


def values_text(values: Sequence[float] | None, spec: SweepSpec) -> str:
    """Return a value for a line of text, or `name=value` of each objective; "" when unknown."""
    if values is None:
        return ""
    if len(values) == 1:
        return f"{values[0]:.5g}"
    return "  ".join(f"{metric.name}={value:.5g}" for metric, value in zip(spec.metrics, values, strict=True))


def worth_text(item: Configuration[RunRecord], spec: SweepSpec) -> str:
    """Return what a configuration is worth and what that is: a run's values, or the mean over its seeds."""
    text = values_text(item.values, spec)
    return f"{text}, mean over {len(item.runs)} seeds" if len(item.runs) > 1 else text


def front_rows(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return the front of several objectives as `--json` shows it; `values` are means where there are `seeds`."""
    names = [metric.name for metric in spec.metrics]
    return [
        {
            "run_id": item.first.run_id,
            "values": dict(zip(names, item.values, strict=True)),
            **({"seeds": len(item.runs)} if len(item.runs) > 1 else {}),
            "params": dict(item.first.params),
        }
        for item in _front(spec, runs)
    ]


def front_lines(spec: SweepSpec, runs: Sequence[RunRecord]) -> list[str]:
    """Return the front of several objectives in words, at most ten runs of it; [] before there is one."""
    members = _front(spec, runs)
    volume, reference = front_volume(runs, spec.metrics, seed_parameter=spec.extensions.seed_parameter)
    if volume is None or reference is None:
        return []
    goals = ", ".join(f"{metric.name} ({metric.goal.value})" for metric in spec.metrics)
    corner = ", ".join(f"{value:.5g}" for value in reference)
    number = f"{len(members)} run{'s' if len(members) != 1 else ''}"
    lines = [f"front: {number} that no other beats on {goals}; hypervolume {volume:.5g} up to ({corner})"]
    lines += [f"  run {item.first.run_id}  {worth_text(item, spec)}" for item in members[:_MOST_OF_FRONT]]
    return lines + ([f"  … and {len(members) - _MOST_OF_FRONT} more"] if len(members) > _MOST_OF_FRONT else [])


def as_csv(spec: SweepSpec, runs: Sequence[RunRecord]) -> str:
    """Return the rows as CSV text; lists and dictionaries as JSON in their cell, missing values empty."""
    table = rows(spec, runs)
    return csv_text(table, _columns(spec, table))


def _columns(spec: SweepSpec, table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of all columns; a parameter that only some runs have stands where the space has it."""
    names = list(dict.fromkeys(name for row in table for name in row))
    place = {f"params.{parameter.name}": index for index, parameter in enumerate(spec.space.parameters)}
    params = sorted(
        (name for name in names if name.startswith("params.")), key=lambda name: place.get(name, len(place))
    )
    counted = [name for name in names if name.startswith(("best.", "last."))]
    tail = [name for name in names if name not in (*_HEAD, *params, *counted)]
    return [*(name for name in _HEAD if name in names), *params, *counted, *tail]


def _compares_memory(runs: Sequence[RunRecord]) -> bool:
    """Return whether the runs differ in how much memory they may take, or one's was full."""
    names = {name.rpartition(".")[2] for name in parameter_names(runs)}
    return bool(names & _MEMORY) or any(memory_words(run.outcome) for run in runs)


def _peak_text(run: RunRecord) -> str:
    peak = peak_memory_mb(run.outcome)
    return "" if peak is None else f"{peak:.0f}"


def as_rich(spec: SweepSpec, runs: Sequence[RunRecord], *, limit: int = 30) -> "Table":
    """Return the table for a terminal: best first, at most `limit` rows."""
    from rich.table import Table

    from sweepkit.reports.terminal import plain

    metrics = [metric.name for metric in spec.objectives]
    front = _front_ids(spec, runs)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right")
    table.add_column("run", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("state", no_wrap=True)
    if spec.metrics:
        table.add_column("front", no_wrap=True)
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    names = parameter_names(runs)
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("seconds", justify="right", no_wrap=True)
    memory = _compares_memory(runs)
    if memory:
        table.add_column("peak MiB", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for run in ranked(runs, spec.objectives, seed_parameter=spec.extensions.seed_parameter)[:limit]:
        flat = flattened(run.params)
        values = values_of(run, spec.objectives)
        duration = run.outcome.get("duration_s")
        cells: list[str | Text] = [
            str(run.number),
            run.run_id,
            plain(run.name),
            plain(run.state.value, style=STATE_STYLES.get(run.state, "")),
            *(["*" if run.run_id in front else ""] if spec.metrics else []),
            *([""] * len(metrics) if values is None else [f"{value:.5g}" for value in values]),
            *(short(flat[name]) if name in flat else "" for name in names),
            "" if duration is None else f"{duration:.1f}",
            *([_peak_text(run)] if memory else []),
            plain(memory_words(run.outcome) if run.state.value == "finished" else run.reason),
        ]
        table.add_row(*cells)
    return table
