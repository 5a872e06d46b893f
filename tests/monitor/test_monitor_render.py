"""The pictures of a snapshot: what stands in them, and that no line is wider than the terminal."""

import io
import json
import math
import os

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from snapshots import words_of
from watching_support import NOW, attempt, record, run, watched

from sweepkit.analysis.progress import Improvement, snapshot, verdict
from sweepkit.model.records import SweepState
from sweepkit.model.runs import Decision, RunState
from sweepkit.model.watched import GpuUse, ProcessUse
from sweepkit.monitor.render import Picture, as_rich, as_text, headline, plain, sparkline
from sweepkit.text.canvas import Line
from sweepkit.text.json_text import json_text

WORDS = words_of(__file__)

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79.1 GiB in all"


def busy(workers=3):
    runs = [run(n, RunState.FINISHED, (8.0 - n,), outcome={"duration_s": 60.0}) for n in range(6)]
    runs += [run(6, RunState.STOPPED, (9.0,)), run(7, RunState.FAILED, reason=OOM)]
    runs += [
        run(8 + n, RunState.RUNNING, (5.0, 4.5), params={"모델": "한국어-바트", "lr": 0.1}) for n in range(workers)
    ]
    live = [
        attempt(r, device=f"gpu {n}", reports=2, step=200, last_report_at=NOW - 3)
        for n, r in enumerate(runs)
        if r.state is RunState.RUNNING
    ]
    verdicts = {"r8": Decision(stop=False, reason="hyperband: …", margin=0.5)}
    item = snapshot(watched(runs, total=40, live=live, verdicts=verdicts, sweep=record(name="요약 스윕")))
    uses = {"r8": ProcessUse(cpu_percent=98.4, memory_mb=2150)}
    gpus = (GpuUse(index=0, name="NVIDIA H200", percent=87, memory_mb=20_000, total_mb=141_000),)
    return Picture(sweeps=(item,), uses=uses, gpus=gpus, notes=("dashboard: http://127.0.0.1:8080/dashboard/",))


def lines_at(picture, width, height=None):
    console = Console(width=width, record=True, file=open(os.devnull, "w"), color_system=None)
    with console.file:
        console.print(as_rich(picture, width=width, height=height))
        return console.export_text().splitlines()


def test_eighty_columns_show_all_that_matters():
    lines = lines_at(busy(), 80)
    text = "\n".join(lines)
    assert lines[0].startswith("요약 스윕  running  8/40 done")
    assert "left" in lines[0]
    assert lines[2] == "6 finished  1 stopped  1 failed  3 running"
    assert lines[3] == "loss (minimize)  best 3 (run 5 r5)  mean 6 of 7"
    assert "best so far" in text and "8 → 3" in text
    head = next(line for line in lines if line.lstrip().startswith("run  slot"))
    for word in ("slot", "step", "metric", "age", "margin", "time"):
        assert word in head
    row = next(line for line in lines if "r8" in line and "gpu 8" in line)
    assert "200" in row and "4.5" in row and "3 s" in row and "+0.5" in row
    assert "n/a" in next(line for line in lines if "r9" in line and "gpu 9" in line)
    assert "torch.OutOfMemoryError" in text and "failed" in text
    assert "gpu 0   87 %  19.5 GiB of 137.7 GiB  NVIDIA H200" in text


def test_wide_terminals_show_more():
    text = "\n".join(lines_at(busy(), 160))
    assert "98 %" in text and "2.1 GiB" in text and "모델=한국어-바트" in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_no_line_wraps_and_columns_align(width):
    picture = busy()
    lines = lines_at(picture, width)
    assert max(map(cell_len, lines)) <= width
    # one line for each thing: a wrapped one would make more
    assert len(lines) == len(lines_at(picture, 300))


def test_hangul_is_two_columns_wide_and_still_aligns():
    runs = [run(0, RunState.RUNNING), run(1, RunState.RUNNING)]
    live = [attempt(runs[0], device="그래픽 0", step=7), attempt(runs[1], device="gpu 1", step=8)]
    lines = lines_at(Picture(sweeps=(snapshot(watched(runs, live=live)),)), 120)
    first, second = (next(line for line in lines if device in line) for device in ("그래픽 0", "gpu 1"))
    assert cell_len(first[: first.index("n/a")]) == cell_len(second[: second.index("n/a")])


def test_a_low_terminal_shows_some_running_runs_and_counts_the_rest():
    lines = lines_at(busy(workers=40), 100, height=24)
    assert len(lines) <= 24
    assert any("more running" in line for line in lines)
    assert len(lines_at(busy(workers=40), 100)) > 40


def test_alike_failures_share_a_line():
    runs = [run(n, RunState.FAILED, reason="ValueError: no") for n in range(9)] + [
        run(9, RunState.FAILED, reason="else")
    ]
    lines = lines_at(Picture(sweeps=(snapshot(watched(runs)),)), 120)
    assert sum("ValueError: no" in line for line in lines) == 1
    assert "8 r8 and 8 more" in next(line for line in lines if "ValueError" in line)
    assert any("else" in line for line in lines)


def test_a_stall_is_said():
    item = snapshot(watched([run(0, RunState.PENDING)], total=4, idle_since=NOW - 100))
    assert WORDS["stalled-nothing-has"] in as_text(Picture(sweeps=(item,)))
    assert headline(item) == "s: running, 0/4 done, 1 pending, stalled"


def test_a_sweep_that_its_runner_left_is_idle_and_not_stalled():
    item = snapshot(watched([run(0)], total=4, idle_since=NOW - 100, sweep=record(reason="--count 1 reached")))
    assert (item.stalled, item.ended) == ("", False) and item.idle.startswith("--count 1 reached; 3 ")
    assert headline(item) == "s: running, 1/4 done, 1 finished, idle"
    assert as_text(Picture(sweeps=(item,))).splitlines()[0].startswith("s  idle  1/4 done")
    assert plain(Picture(sweeps=(item,)))["sweeps"][0]["idle"] == item.idle
    assert verdict([item], ["done"]) is None and verdict([item], ["stalled"]).code == 4


def leading(value):
    runs = [run(0, history=(0.11123,)), run(1, history=(0.3,)), run(2, RunState.RUNNING, (value, 9.0))]
    return snapshot(watched(runs, total=4, live=[attempt(runs[2], reports=2, last_report_at=NOW)]))


def test_a_running_run_that_is_better_than_the_best_is_shown_with_the_digits_that_tell_them_apart():
    lines = lines_at(Picture(sweeps=(leading(0.1112299),)), 80)
    assert any("0.11123 (run 0 r0)" in line for line in lines)
    (line,) = [line for line in lines if "0.1112299 (run 2 r2)" in line]
    assert "x=2" in line
    for value, leads in ((0.1112299, True), (0.2, False)):
        (shown,) = plain(Picture(sweeps=(leading(value),)))["sweeps"][0]["running"]
        assert shown["leads"] is leads


def test_eighty_columns_show_the_parameters():
    params = {"learning_rate": 0.0001234, "batch": 32}
    runs = [run(n, RunState.RUNNING, (5.0,), params=params) for n in range(2)]
    live = [attempt(r, device="gpu 0", reports=2, step=200, last_report_at=NOW) for r in runs]
    uses = {"r0": ProcessUse(cpu_percent=98.4, memory_mb=2150)}
    lines = lines_at(Picture(sweeps=(snapshot(watched(runs, live=live)),), uses=uses), 80)
    assert sum("learning_rate=0.0001234  batch=32" in line for line in lines) == 2


def test_several_sweeps_are_a_line_each_those_that_run_first():
    going = busy().sweeps[0]
    over = snapshot(watched([run(0, history=(1.0,))], sweep=record(name="a-first", state=SweepState.FINISHED)))
    lines = lines_at(Picture(sweeps=(over, going)), 80)
    assert [line.split("  ")[0].strip() for line in lines[1:3]] == ["요약 스윕", "a-first"]
    assert max(map(cell_len, lines)) <= 80
    assert as_text(Picture(sweeps=())) == "no sweep yet"


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(names, names, st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([80, 120]))
@settings(max_examples=examples(60), deadline=None)
def test_no_text_of_a_sweep_breaks_the_picture(name, reason, value, width):
    runs = [run(0, RunState.RUNNING, (value,), params={name: reason}), run(1, RunState.FAILED, reason=reason)]
    sweep = record(name=name, reason=reason, metric=name or "m")
    item = snapshot(watched(runs, live=[attempt(runs[0], device=name, host=reason)], sweep=sweep))
    lines = as_text(Picture(sweeps=(item,)), width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 10


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=30, unique=True), st.integers(0, 200), st.integers(1, 80))
def test_a_curve_is_as_long_as_it_may_be_and_ends_at_the_last_value(found, more, columns):
    descending = sorted(found, reverse=True)
    curve = [Improvement(done=n, run_id="", value=value, at=0.0) for n, value in enumerate(descending, 1)]
    bars = sparkline(curve, len(found) + more, columns)
    assert len(bars) == min(columns, len(found) + more)
    assert bars == "".join(sorted(bars, reverse=True))
    if len(set(bars)) > 1:
        assert (bars[0], bars[-1]) == ("█", "▁")


def test_json_has_the_documented_fields_and_is_json_with_nan_too():
    picture = busy()
    said = plain(picture)
    (sweep,) = said["sweeps"]
    assert set(said) == {"time", "sweeps", "gpus", "notes"}
    assert sweep["counts"] == {
        "pending": 0,
        "running": 3,
        "finished": 6,
        "stopped": 1,
        "diverged": 0,
        "failed": 1,
    }
    assert sweep["best"] == {"run_id": "r5", "number": 5, "value": 3.0, "params": {"x": 5}}
    assert sweep["curve"][0] == [1, 8.0, "r0"] and sweep["curve"][-1][1] == 3.0
    assert sweep["running"][0]["margin"] == 0.5 and sweep["running"][0]["cpu_percent"] == 98.4
    assert sweep["running"][1]["cpu_percent"] is None
    assert sweep["failures"][0]["reason"] == OOM
    runs = [run(0, RunState.RUNNING, (math.nan,))]
    odd = plain(Picture(sweeps=(snapshot(watched(runs, live=[attempt(runs[0])])),)))
    assert json.loads(json_text(odd))["sweeps"][0]["running"][0]["value"] == "NaN"


def test_learning_curves_fill_the_lines_that_are_left_and_no_others():
    item = snapshot(watched([run(n, RunState.FINISHED) for n in range(3)]))
    curves = [Line(values=[3.0, 2.0, 1.0], style="blue"), Line(values=[2.0, 1.5, 1.0], style="bold")]
    for height in (8, 12, 24, 40):
        console = Console(width=80, height=height, record=True, file=io.StringIO())
        console.print(as_rich(Picture(sweeps=(item,), curves={"m": curves}), width=80, height=height))
        lines = console.export_text().splitlines()
        assert len(lines) < height
        assert any("┤" in line for line in lines) == (height > 12)


@pytest.mark.parametrize(("width", "plots"), [(60, 1), (80, 2), (200, 2)])
def test_the_curves_of_several_metrics_lie_side_by_side_where_they_have_room(width, plots):
    item = snapshot(watched([run(n, RunState.FINISHED) for n in range(3)]))
    curves = {name: [Line(values=[3.0, 2.0, 1.0], style="bold")] for name in ("품질" * 30, "loss")}
    console = Console(width=width, height=40, record=True, file=io.StringIO())
    console.print(as_rich(Picture(sweeps=(item,), curves=curves), width=width, height=40))
    lines = console.export_text().splitlines()
    assert {line.count("┤") for line in lines} == {0, plots}
    assert all(cell_len(line) <= width for line in lines)
    # Each name stands above the scale of its plot.
    head = next(line for line in lines if "by report" in line)
    scale = next(line for line in lines if "┤" in line)
    if plots == 2:
        assert cell_len(head[: head.index("loss")]) + scale.index("┤") == scale.rindex("┤")


@pytest.mark.parametrize("width", [80, 200])
def test_no_parameter_of_the_best_run_is_cut(width):
    params = {f"training.parameter_{place}": f"value-{place}" for place in range(6)}
    item = snapshot(watched([run(0, RunState.FINISHED, (1.0,), params=params)], sweep=record(name="s")))
    lines = as_text(Picture(sweeps=(item,)), width=width).splitlines()
    assert {f"{name}={value}" for name, value in params.items()} <= set(" ".join(lines).split())
    assert max(map(cell_len, lines)) <= width
