"""Pictures of a sweep's snapshot: for a terminal of any width, as plain text, as one JSON object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.progress import Improvement, RunningRun, Snapshot, WatchedRun, best_by_stretch
from sweepkit.model.numbers import distinct_texts
from sweepkit.model.runs import RunState
from sweepkit.model.watched import GpuUse, ProcessUse
from sweepkit.reports.progress import clock, configuration, whose
from sweepkit.reports.table import STATE_STYLES
from sweepkit.reports.terminal import make_console
from sweepkit.text.canvas import Line, Span, plotted
from sweepkit.text.json_text import picked
from sweepkit.text.shown import bar

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_MOST_OF_FRONT = 5
_MOST_CURVE = 60
_MOST_PLOTTED, _LOWEST_PLOT, _HIGHEST_PLOT = 140, 4, 14  # columns and lines of the learning curves
_NARROWEST_PLOT, _BETWEEN_PLOTS = 36, 3  # columns: of several metrics as many lie side by side as have room
_DIGITS = 5
_MOST_FAILURES = 5
_HOW = "its sweep runner, started again, continues it"
_MOST_BEST = 4  # lines of the best configuration
_BESIDE_RUNNING = 10  # lines of a picture that show neither running runs nor what may be absent, and the cursor's


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is shown at one refresh.

    Args:
        sweeps: The sweeps.
        uses: What attempts of this machine use, by run id.
        gpus: What this machine's GPUs use; () where nobody can know.
        curves: Learning curves of the one sweep that is shown, by metric, those to draw over the others last; {} of
            several sweeps.
        notes: Sentences for the user: a record that cannot be read now, the dashboard's address.
    """

    sweeps: Sequence[Snapshot]
    uses: Mapping[str, ProcessUse] = field(default_factory=dict)
    gpus: Sequence[GpuUse] = ()
    notes: Sequence[str] = ()
    curves: Mapping[str, Sequence[Line]] = field(default_factory=dict)


def as_rich(picture: Picture, *, width: int, height: int | None = None) -> "RenderableType":
    """Return a picture for a console.

    Args:
        picture: What to show.
        width: Columns; no line is longer. The least that is of use is about 40.
        height: Lines of the terminal: running runs beyond it are counted; None shows them all.
    """
    from rich.console import Group

    if len(picture.sweeps) == 1:
        lines = _one(picture.sweeps[0], picture, width, height)
    else:
        lines = _several(picture, width, height)
    if picture.gpus:
        lines += [_gpu_line(gpu) for gpu in picture.gpus]
    lines += [_line(note, "yellow") for note in picture.notes]
    return Group(*lines)


def as_text(picture: Picture, *, width: int = 120) -> str:
    """Return a picture as plain text, its lines at most `width` columns wide."""
    import io

    out = io.StringIO()
    console = make_console(width=width, file=out, color_system=None, highlight=False, legacy_windows=False)
    console.print(as_rich(picture, width=width))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


# -- one sweep ---------------------------------------------------------------------------------------------------------


def _one(item: Snapshot, picture: Picture, width: int, height: int | None) -> "list[RenderableType]":
    lines: list[RenderableType] = [_title(item), _bar(item, width), _counts(item)]
    if item.metric is not None:
        lines.append(_metric_line(item))
        lines += _leading_lines(item)
    lines += _front_lines(item)
    best = _best_lines(item, width)
    lines += best
    if item.curve:
        lines.append(_curve_line(item, width))
    lines += [_line(said, "cyan") for said in item.packing]
    failures = _failure_lines(item)
    beside = (
        len(failures)
        + len(item.packing)
        + len(picture.gpus)
        + len(picture.notes)
        + (2 if item.stalled or item.idle else 0)
    )
    beside += len(_leading_lines(item)) + max(0, len(best) - 1)
    limit = None if height is None else max(1, height - _BESIDE_RUNNING - beside)
    lines += _running_lines(item.running, picture.uses, width, limit)
    lines += failures
    if item.stalled:
        lines.append(_wrapped(f"stalled: {item.stalled}", "bold red"))
    if item.idle:
        lines.append(_wrapped(f"idle: {item.idle}; {_HOW}", "yellow"))
    if height is not None:
        lines += _curve_lines(picture, item, width, height - len(lines) - len(picture.gpus) - len(picture.notes) - 2)
    return lines


def _curve_lines(picture: Picture, item: Snapshot, width: int, room: int) -> "list[RenderableType]":
    """Return learning curves in the lines that are left, [] where they are too few to see something."""
    from rich.text import Text

    if room < _LOWEST_PLOT + 3:
        return []
    fit = max(1, (width + _BETWEEN_PLOTS) // (_NARROWEST_PLOT + _BETWEEN_PLOTS))
    shown = list(picture.curves.items())[:fit]
    each = min(width, _MOST_PLOTTED) if len(shown) < 2 else (width + _BETWEEN_PLOTS) // len(shown) - _BETWEEN_PLOTS
    high = min(room - 3, _HIGHEST_PLOT)
    plots = {name: found for name, lines in shown if (found := plotted(lines, width=each, height=high))}
    if not plots:
        return []
    bold = "on the front" if item.metrics else "the best run"
    heads = [[(f"{_clipped(name, each - 30)} by report; bold: {bold}", "dim")] for name in plots]
    rows = [heads, *zip(*plots.values(), strict=True)]
    drawn = [Text.assemble(*_beside(row, each), no_wrap=True, overflow="crop") for row in rows]
    return [_line(""), *drawn]


def _clipped(text: str, wide: int) -> str:
    """Return text cut to so many columns, at least one."""
    from rich.cells import cell_len, set_cell_size

    text = _printable(text)
    return text if cell_len(text) <= wide else set_cell_size(text, max(0, wide - 1)).rstrip() + "…"


def _beside(parts: "Sequence[Sequence[Span]]", each: int) -> "list[Span]":
    """Return lines of spans side by side, each but the last as wide as a plot and what lies between two."""
    from rich.cells import cell_len

    found: list[Span] = []
    for part in parts[:-1]:
        wide = sum(cell_len(text) for text, _ in part)
        found += [*part, (" " * max(1, each + _BETWEEN_PLOTS - wide), "")]
    return [*found, *parts[-1]]


def _best_lines(item: Snapshot, width: int) -> "list[RenderableType]":
    """Return the best configuration, no parameter cut, in at most `_MOST_BEST` lines; [] before there is one."""
    from rich.cells import cell_len

    if item.best is None:
        return []
    which = "best run" if item.best.seeds == 1 else "first run of the best configuration"
    lines = [f"{which}, {item.best.run_id}:"]
    for word in configuration(item.best.params).split("  "):
        longer = f"{lines[-1]}{' ' if lines[-1].endswith(':') else '  '}{word}"
        if cell_len(longer) <= width or len(lines) == _MOST_BEST:
            lines[-1] = longer
        else:
            lines.append(f"  {word}")
    return [_line(line, "bold green") for line in lines]


def _title(item: Snapshot) -> "Text":
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(_printable(item.name), "bold")
    text.append(f"  {item.standing}", "yellow" if item.idle else "cyan" if not item.ended else "green")
    text.append(f"  {item.done}/{'?' if item.total is None else item.total} done  {clock(item.elapsed_s)}")
    if item.eta_s is not None:
        text.append(f"  {clock(item.eta_s)} left")
    if item.reason and not item.idle:
        text.append(f"  ({_printable(item.reason)})", "dim")
    return text


def _bar(item: Snapshot, width: int) -> "Text":
    """Return a bar of the states, each at its share of all runs; what is not yet made or pending is shaded."""
    from rich.text import Text

    columns = max(10, min(width, 100))
    whole = max(item.total or 0, sum(item.counts.values()), 1)
    text = Text(no_wrap=True, overflow="crop")
    filled, runs = 0, 0
    for state, style in STATE_STYLES.items():
        runs += item.counts.get(state, 0)
        until = columns * runs // whole
        text.append("█" * (until - filled), style)
        filled = until
    text.append("░" * (columns - filled), "dim")
    return text


def _counts(item: Snapshot) -> "Text":
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for state in (*STATE_STYLES, RunState.PENDING):
        if number := item.counts.get(state, 0):
            text.append(("  " if text else "") + f"{number} {state.value}", STATE_STYLES.get(state, "dim"))
    if not text:
        text.append("no run yet", "dim")
    return text


def _of(row: WatchedRun, *, number: bool = False) -> str:
    """Return whose value the best one is: a run's, or the mean of a configuration's seeds."""
    run = f"run {row.number} {row.run_id}" if number else f"run {row.run_id}"
    return whose(row.configuration, row.seeds, run)


def _metric_line(item: Snapshot) -> "Text":
    assert item.metric is not None
    words = f"{item.metric.name} ({item.metric.goal.value})"
    if item.best is None or item.best.value is None or item.mean is None:
        return _line(f"{words}: no run has ended with a value")
    best, mean = distinct_texts([item.best.value, item.mean])
    return _line(f"{words}  best {best} ({_of(item.best, number=True)})  mean {mean} of {item.valued}")


def _leading_lines(item: Snapshot) -> "list[RenderableType]":
    """Return that a running run is better than the best that has ended, [] when none is."""
    run = item.leading
    if run is None or run.row.value is None or item.best is None or item.best.value is None:
        return []
    shown, _ = distinct_texts([run.row.value, item.best.value])
    which = f"run {run.row.number} {run.row.run_id}"
    return [_line(f"still running and better: {shown} ({which}): {configuration(run.row.params)}", "bold cyan")]


def _front_lines(item: Snapshot) -> "list[RenderableType]":
    """Return the front of a sweep with several objectives, at most five runs of it."""
    if not item.metrics:
        return []
    goals = ", ".join(f"{metric.name} ({metric.goal.value})" for metric in item.metrics)
    if not item.front:
        return [_line(f"{goals}: no run has ended with a value of each")]
    lines: list[RenderableType] = [_line(f"front of {len(item.front)} on {goals}", "bold green")]
    for row in item.front[:_MOST_OF_FRONT]:
        values = "  ".join(f"{value:.5g}" for value in row.values)
        values += f", mean over {row.seeds} seeds" if row.seeds > 1 else ""
        lines.append(_line(f"  run {row.number} {row.run_id}: {values}  {configuration(row.params)}", "green"))
    if len(item.front) > _MOST_OF_FRONT:
        lines.append(_line(f"  … and {len(item.front) - _MOST_OF_FRONT} more of the front", "dim"))
    return lines


def _curve_line(item: Snapshot, width: int) -> "Text":
    first, last = item.curve[0].value, item.curve[-1].value
    ends = f"  {first:.5g} → {last:.5g}" if len(item.curve) > 1 else f"  {last:.5g}"
    columns = max(5, min(_MOST_CURVE, width - len("best so far  ") - len(ends)))
    return _line(f"best so far  {sparkline(item.curve, item.valued, columns)}{ends}", "green")


def sparkline(curve: Sequence[Improvement], runs: int, columns: int) -> str:
    """Return the best value after each of `runs` runs as bars, at most `columns` of them: the greater, the higher.

    >>> points = [Improvement(done=n, run_id="", value=v, at=0.0) for n, v in ((1, 3.0), (3, 1.0))]
    >>> sparkline(points, 4, 10)
    '██▁▁'
    """
    values = best_by_stretch(curve, runs, columns)
    return "".join(bar(value, min(values), max(values)) for value in values)


# -- running runs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the table of running runs; those of the greatest `rank` go first where the width is short."""

    head: str
    cells: list[str]
    rank: int
    right: bool = True


def _running_lines(
    running: Sequence[RunningRun], uses: Mapping[str, ProcessUse], width: int, limit: int | None
) -> "list[RenderableType]":
    if not running:
        return []
    shown = running if limit is None else running[:limit]
    columns = _columns(shown, uses)
    lines: list[RenderableType] = [_line("")]
    lines += _table(columns, width, [_running_style(run) for run in shown])
    if len(shown) < len(running):
        lines.append(_line(f"… and {len(running) - len(shown)} more running", "dim"))
    return lines


def _running_style(run: RunningRun) -> str:
    return "red" if run.live.expired else "cyan"


def _columns(running: Sequence[RunningRun], uses: Mapping[str, ProcessUse]) -> list[_Column]:
    several_hosts = len({run.live.host for run in running}) > 1
    columns = [
        _Column("run", [f"{run.row.number} {run.row.run_id}" for run in running], 0),
        _Column("slot", [_slot(run, several_hosts) for run in running], 2, right=False),
        _Column("try", [str(run.live.ordinal) for run in running], 7),
        _Column("reports", [str(run.live.reports) for run in running], 7),
        _Column("step", ["-" if run.live.step is None else str(run.live.step) for run in running], 4),
        _Column("metric", _distinct_texts([run.row.newest for run in running]), 1),
        _Column("age", ["-" if run.age_s is None else clock(run.age_s) for run in running], 3),
        _Column("margin", ["n/a" if run.margin is None else f"{run.margin:+.3g}" for run in running], 6),
        _Column("time", [clock(run.duration_s) for run in running], 5),
    ]
    if uses:
        mine = [uses.get(run.row.run_id) for run in running]
        percents = ["-" if use is None or use.cpu_percent is None else f"{use.cpu_percent:.0f} %" for use in mine]
        columns.append(_Column("cpu", percents, 8))
        columns.append(_Column("memory", ["-" if use is None else _memory(use.memory_mb) for use in mine], 9))
    notes = ["its lease is over" if run.live.expired else configuration(run.row.params) for run in running]
    columns.append(_Column("", notes, 10, right=False))
    return columns


def _distinct_texts(values: Sequence[float | None]) -> list[str]:
    """Return values with the digits in which they differ, "-" for none."""
    texts = iter(distinct_texts([value for value in values if value is not None], digits=_DIGITS))
    return ["-" if value is None else next(texts) for value in values]


def _slot(run: RunningRun, several_hosts: bool) -> str:
    device = run.live.device or "starting"
    return f"{device} @{run.live.host}" if several_hosts else device


def _memory(mb: float) -> str:
    """Return an amount of memory for people.

    >>> _memory(312.4), _memory(20480)
    ('312 MiB', '20.0 GiB')
    """
    return f"{mb:.0f} MiB" if mb < 1024 else f"{mb / 1024:.1f} GiB"


def _table(columns: Sequence[_Column], width: int, styles: Sequence[str]) -> "list[RenderableType]":
    """Return a table's lines, the least important columns left out until it fits; the last is cut where it ends."""
    from rich.cells import cell_len, set_cell_size

    def wide(column: _Column) -> int:
        return max(cell_len(text) for text in (column.head, *column.cells))

    *fixed, open_ended = columns
    kept = min(wide(open_ended), width // 2)  # what is looked for, the parameters, keeps its room
    for rank in range(9, 0, -1):
        if sum(wide(column) + 2 for column in fixed) + kept <= width:
            break
        fixed = [column for column in fixed if column.rank < rank]

    def line(texts: Sequence[str], last: str) -> str:
        parts = []
        for column, text in zip(fixed, texts, strict=True):
            room = wide(column)
            parts.append(" " * (room - cell_len(text)) + text if column.right else set_cell_size(text, room))
        return "  ".join([*parts, last]).rstrip()

    head = _line(line([column.head for column in fixed], open_ended.head), "bold")
    rows = [
        _line(line([column.cells[i] for column in fixed], open_ended.cells[i]), style) for i, style in enumerate(styles)
    ]
    return [head, *rows]


# -- the rest ----------------------------------------------------------------------------------------------------------


def _failure_lines(item: Snapshot) -> "list[RenderableType]":
    """Return the last failures, the newest first; those with one reason share a line."""
    if not item.failures:
        return []
    groups: dict[tuple[RunState, str], list[WatchedRun]] = {}
    for row in item.failures:
        reason = " ".join(row.reason.split()) or "no reason recorded"
        groups.setdefault((row.state, reason), []).append(row)
    lines: list[RenderableType] = [_line(""), _line("last failures", "bold")]
    for (state, reason), rows in list(groups.items())[:_MOST_FAILURES]:
        ended_at = rows[0].ended_at
        ago = "" if ended_at is None else f"  {clock(max(0.0, item.now - ended_at))} ago"
        alike = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        lines.append(
            _line(f"  {rows[0].number} {rows[0].run_id}{alike}  {state.value}{ago}  {reason}", STATE_STYLES[state])
        )
    return lines


def _gpu_line(gpu: GpuUse) -> "Text":
    busy = "  - %" if gpu.percent is None else f"{gpu.percent:3.0f} %"
    return _line(f"gpu {gpu.index}  {busy}  {_memory(gpu.memory_mb)} of {_memory(gpu.total_mb)}  {gpu.name}")


def _several(picture: Picture, width: int, height: int | None) -> "list[RenderableType]":
    """Return one line a sweep, those that go on first, then what runs in them."""
    if not picture.sweeps:
        return [_line("no sweep yet", "dim")]
    order = sorted(picture.sweeps, key=lambda item: (item.ended, item.name))
    shown = order if height is None else order[: max(1, height // 2)]
    columns = [
        _Column("sweep", [item.name for item in shown], 0, right=False),
        _Column("state", [item.standing for item in shown], 3, right=False),
        _Column("done", [f"{item.done}/{'?' if item.total is None else item.total}" for item in shown], 1),
        _Column("running", [str(item.workers) for item in shown], 4),
        _Column("failed", [str(item.failed) for item in shown], 5),
        _Column("best", ["-" if item.first is None else f"{item.first.value:.5g}" for item in shown], 2),
        _Column("mean", ["-" if item.mean is None else f"{item.mean:.5g}" for item in shown], 7),
        _Column("left", ["-" if item.eta_s is None else clock(item.eta_s) for item in shown], 6),
        _Column("", [_remark(item) for item in shown], 10, right=False),
    ]
    lines = _table(columns, width, ["red" if item.stalled else "dim" if item.ended else "cyan" for item in shown])
    if len(shown) < len(order):
        lines.append(_line(f"… and {len(order) - len(shown)} more sweeps", "dim"))
    room = None if height is None else max(1, (height - len(lines)) // 2)
    for item in [item for item in shown if item.running]:
        lines += [_line(""), _line(item.name, "bold"), *_running_lines(item.running, picture.uses, width, room)[1:]]
    return lines


def _remark(item: Snapshot) -> str:
    return item.stalled or item.idle or (item.metric.name if item.metric else "")


def _line(text: str, style: str = "") -> "Text":
    """Return one line: never wrapped, cut with an ellipsis where the terminal ends, whatever a name holds."""
    from rich.text import Text

    return Text(_printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _printable(text: str) -> str:
    """Return a text on one line, without what would move the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


def _wrapped(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(_printable(text), style=style)


def headline(item: Snapshot) -> str:
    """Return where a sweep stands in one sentence; it changes when the sweep does, not with time alone."""
    parts = [f"{item.done}/{'?' if item.total is None else item.total} done"]
    parts += [f"{number} {state.value}" for state, number in sorted(item.counts.items()) if number]
    if item.best is not None:
        parts.append(f"best {item.best.value:.5g} ({_of(item.best)})")
    if item.stalled or item.idle:
        parts.append(item.standing)
    return f"{item.name}: {item.state.value}, {', '.join(parts)}"


def plain(picture: Picture) -> dict[str, Any]:
    """Return a picture as one JSON object; monitor_sweep.py --help documents its fields."""
    return {
        "time": max((item.now for item in picture.sweeps), default=None),
        "sweeps": [_plain_sweep(item, picture.uses) for item in picture.sweeps],
        "gpus": [
            {
                **picked(gpu, "index", "name", "percent"),
                "memory_mb": round(gpu.memory_mb),
                "total_mb": round(gpu.total_mb),
            }
            for gpu in picture.gpus
        ],
        "notes": list(picture.notes),
    }


def _plain_sweep(item: Snapshot, uses: Mapping[str, ProcessUse]) -> dict[str, Any]:
    return {
        **picked(item, "name", "state", "reason", "ended"),
        "stalled": item.stalled or None,
        "idle": item.idle or None,
        **({"packing": list(item.packing)} if item.packing else {}),
        "metric": None if item.metric is None else picked(item.metric, "name", "goal"),
        **picked(item, "total", "done"),
        "counts": {state.value: item.counts.get(state, 0) for state in RunState},
        "best": None if item.best is None else _plain_best(item.best),
        **_plain_front(item),
        **picked(item, "mean", "valued"),
        "curve": [[point.done, point.value, point.run_id] for point in item.curve],
        "workers": item.workers,
        "elapsed_s": _rounded(item.elapsed_s, 3),
        "eta_s": _rounded(item.eta_s, 3),
        "running": [_plain_running(run, uses.get(run.row.run_id), leads=run is item.leading) for run in item.running],
        "failures": [picked(row, "run_id", "number", "state", "reason", "ended_at") for row in item.failures],
    }


def _plain_best(best: WatchedRun) -> dict[str, Any]:
    return {
        **picked(best, "run_id", "number", "value", "params"),
        **({"configuration": best.configuration} if isinstance(best.configuration, int) else {}),
        **({"seeds": best.seeds} if best.seeds > 1 else {}),
    }


def _plain_front(item: Snapshot) -> dict[str, Any]:
    """Return the objectives and the front of a sweep that has several, {} of any other."""
    if not item.metrics:
        return {}
    names = [metric.name for metric in item.metrics]
    return {
        "metrics": [picked(metric, "name", "goal") for metric in item.metrics],
        "front": [
            {
                **picked(row, "run_id", "number", "params"),
                "values": dict(zip(names, row.values, strict=True)),
                **(picked(row, "seeds") if row.seeds > 1 else {}),
            }
            for row in item.front
        ],
    }


def _plain_running(run: RunningRun, use: ProcessUse | None, *, leads: bool) -> dict[str, Any]:
    return {
        **picked(run.row, "run_id", "number", "params"),
        "attempt": run.live.ordinal,
        **picked(run.live, "host", "device", "pid", "reports", "step"),
        "value": run.row.newest,
        "best": run.row.value,
        "leads": leads,
        "age_s": _rounded(run.age_s, 3),
        "duration_s": _rounded(run.duration_s, 3),
        **picked(run, "margin", "verdict"),
        "lease_over": run.live.expired,
        "cpu_percent": None if use is None else _rounded(use.cpu_percent, 1),
        "memory_mb": None if use is None else _rounded(use.memory_mb, 1),
    }


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


def at_clock(seconds: float) -> str:
    """Return a moment as the local time of day, for lines of a log."""
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")
