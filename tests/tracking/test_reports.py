import json
import math
import os
import threading

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.environ import REPORT_FILE_ENV
from sweepkit.errors import TrackingError
from sweepkit.text.json_text import json_text
from sweepkit.tracking import reports
from sweepkit.tracking.reports import ReportTail, ReportWriter


def plain(found):
    """Reports as comparable values: NaN is equal to itself, and the file's time is left out."""
    return [(r.seq, sorted((k, repr(v)) for k, v in r.values.items()), r.step) for r in found]


def test_what_is_written_is_read_back_with_step_and_time(tmp_path):
    path = tmp_path / "a.jsonl"
    writer = ReportWriter.from_env({REPORT_FILE_ENV: str(path)})
    tail = ReportTail(path)
    assert tail.read() == []
    writer.report({"eval/loss": 0.25, "정확도": 1, "ok": True}, step=3)
    (first,) = tail.read()
    assert dict(first.values) == {"eval/loss": 0.25, "정확도": 1, "ok": 1}
    assert (first.seq, first.step) == (0, 3)
    assert abs(first.time - os.stat(path).st_mtime) < 60
    writer.report({"eval/loss": math.nan})
    writer.report({"eval/loss": -math.inf})
    second, third = tail.read()
    assert math.isnan(second.values["eval/loss"]) and second.step is None
    assert third.values["eval/loss"] == -math.inf and third.seq == 2
    assert tail.read() == [] and tail.problems == [] and tail.bad_lines == 0


def test_no_writer_without_the_variable():
    assert ReportWriter.from_env({}) is None
    assert ReportWriter.from_env({REPORT_FILE_ENV: ""}) is None


def test_messages_are_kept_apart_from_metrics(tmp_path):
    path = tmp_path / "a.jsonl"
    writer = ReportWriter(path)
    writer.message(read=["lr"], _sweepkit_summary={"loss": 0.5})
    tail = ReportTail(path)
    assert tail.read() == []
    assert tail.messages == [{"_sweepkit_read": ["lr"], "_sweepkit_summary": {"loss": 0.5}}]
    with path.open("a") as file:
        file.write('{"loss": 1, "_sweepkit_read": ["wd"]}\n')
    assert [dict(r.values) for r in tail.read()] == [{"loss": 1}]
    assert tail.messages[1] == {"_sweepkit_read": ["wd"]}


def test_foreign_rows_are_flattened_and_freed_of_what_is_no_number(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"eval": {"loss": 1.5, "deep": {"x": 2}}, "name": "bart", "list": [1], "none": None, "text": "0.3"}
    row |= {"hist": {"_type": "histogram", "count": 4}, "big": 10**400, "web": "-Infinity", "_step": 4.0, "_time": 12.5}
    path.write_text(json.dumps(row) + "\n")
    tail = ReportTail(path)
    (report,) = tail.read()
    assert dict(report.values) == {"eval.loss": 1.5, "eval.deep.x": 2, "big": math.inf, "web": -math.inf}
    assert (report.step, report.time) == (4, 12.5)
    assert tail.bad_lines == 0
    assert any("'text' is not a number" in problem and "'0.3'" in problem for problem in tail.problems)


def test_a_row_without_numbers_is_no_report_and_takes_no_seq(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x"}\n{"_step": 1}\n\n  \n{"a": 1}\n')
    tail = ReportTail(path)
    assert plain(tail.read()) == [(0, [("a", "1")], None)]
    assert len(tail.problems) == 1


def test_unusable_steps_and_times_are_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"a": 1, "_step": "x", "_time": NaN}\n{"a": 1, "_step": NaN, "_time": -1}\n{"a": 1, "_step": true}\n'
    )
    os.utime(path, (100.0, 100.0))
    assert [(r.step, r.time) for r in ReportTail(path).read()] == [(None, 100.0)] * 3


@pytest.mark.parametrize(
    "line",
    [b"not json", b"[1, 2]", b"3", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"\x00"],
    ids=["words", "list", "number", "cut", "not utf-8", "deep", "digits", "zero byte"],
)
def test_a_bad_line_is_skipped_counted_and_told(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    tail = ReportTail(path)
    assert [r.values["a"] for r in tail.read()] == [1, 2]
    assert tail.bad_lines == 1
    assert len(tail.problems) == 1 and f"{path}: line 2: skipped" in tail.problems[0]


def test_problems_are_bounded(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"bad\n" * 500)
    tail = ReportTail(path)
    tail.read()
    assert tail.bad_lines == 500 and len(tail.problems) == 21 and "not listed" in tail.problems[-1]


def test_a_torn_tail_waits_and_is_taken_when_final(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    tail = ReportTail(path)
    assert len(tail.read()) == 1
    assert tail.read() == []
    assert [r.values["a"] for r in tail.read(final=True)] == [2]
    assert tail.read(final=True) == [] and tail.bad_lines == 0


def test_a_file_that_was_emptied_is_read_from_its_start(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"half')
    tail = ReportTail(path)
    tail.read()
    path.write_bytes(b'{"a": 3}\n')
    assert plain(tail.read()) == [(2, [("a", "3")], None)]
    assert "shrank" in tail.problems[0]


def test_an_unreadable_file_is_an_error(tmp_path):
    with pytest.raises(TrackingError, match="must be readable"):
        ReportTail(tmp_path).read()  # a folder
    with pytest.raises(TrackingError, match="must be writable"):
        ReportWriter(tmp_path / "missing" / "a.jsonl")


@pytest.mark.parametrize(
    "values", [{"_step": 1}, {"_time": 1}, {"_sweepkit_x": 1}, {"a": "x"}, {"a": None}, {"a": [1]}, {"a": object()}]
)
def test_what_is_no_metric_is_refused_and_nothing_is_written(tmp_path, values):
    path = tmp_path / "a.jsonl"
    with pytest.raises(TrackingError, match=r"a\.jsonl"):
        ReportWriter(path).report(values)
    assert path.read_bytes() == b""


def test_scalars_of_numpy_are_numbers_and_other_json_is_refused(tmp_path):
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "a.jsonl"
    writer = ReportWriter(path)
    writer.report({"f32": numpy.float32(0.5), "i": numpy.int64(3), "f64": numpy.float64(0.25), "arr": numpy.array(2.0)})
    writer.report({})
    (report,) = ReportTail(path).read()
    assert dict(report.values) == {"f32": 0.5, "i": 3.0, "f64": 0.25, "arr": 2.0}
    with pytest.raises(TrackingError, match="JSON form"):
        writer.message(read={1, 2})
    writer.close()
    writer.close()
    with pytest.raises(TrackingError, match="cannot be written"):
        writer.report({"a": 1})


def test_a_lone_surrogate_in_a_name_survives(tmp_path):
    path = tmp_path / "a.jsonl"
    ReportWriter(path).report({"\udc80x": 1})
    assert list(ReportTail(path).read()[0].values) == ["\udc80x"]


def test_after_a_full_disk_only_the_cut_line_is_lost(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    writer = ReportWriter(path)
    write = os.write
    monkeypatch.setattr(reports.os, "write", lambda fd, data: write(fd, data[:5]))
    with pytest.raises(TrackingError, match="disk full"):
        writer.report({"a": 1})
    monkeypatch.undo()
    writer.report({"a": 2})
    tail = ReportTail(path)
    assert [r.values["a"] for r in tail.read()] == [2] and tail.bad_lines == 1


def test_threads_and_processes_share_a_file_without_torn_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    writer = ReportWriter(path)
    pid = os.fork()
    if pid == 0:
        for number in range(300):
            writer.report({"child": number, "pad": 0.123456789})
        os._exit(0)
    threads = [threading.Thread(target=lambda k=k: [writer.report({f"t{k}": n}) for n in range(200)]) for k in range(3)]
    for thread in threads:
        thread.start()
    tail, found = ReportTail(path), []
    while any(thread.is_alive() for thread in threads):
        found += tail.read()
    for thread in threads:
        thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    found += tail.read()
    assert tail.bad_lines == 0 and [r.seq for r in found] == list(range(900))
    assert [r.values["child"] for r in found if "child" in r.values] == list(range(300))


ROWS = st.one_of(
    st.dictionaries(
        st.text(max_size=6),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
            lambda leaf: st.dictionaries(st.text(max_size=3), leaf, max_size=3) | st.lists(leaf, max_size=2),
            max_leaves=5,
        ),
        max_size=4,
    ).map(lambda row: json.dumps(row).encode()),
    st.binary(max_size=30),
    st.just(b"x" * 80),
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(ROWS, max_size=8), st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
def test_however_the_bytes_arrive_the_reports_are_the_same(tmp_path_factory, rows, cuts, newline):
    limit, reports.MAX_LINE_BYTES = reports.MAX_LINE_BYTES, 60
    try:
        data = b"\n".join(rows) + (b"\n" if newline else b"")
        folder = tmp_path_factory.mktemp("split")
        (folder / "whole").write_bytes(data)
        whole = ReportTail(folder / "whole")
        expected = plain(whole.read() + whole.read(final=True))
        parts, found = ReportTail(folder / "parts"), []
        at = 0
        for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
            with open(folder / "parts", "ab") as file:
                file.write(data[at:cut])
            at = cut
            found += parts.read()
        found += parts.read(final=True)
        assert plain(found) == expected
        assert [r.seq for r in found] == list(range(len(found)))
        assert repr(parts.messages) == repr(whole.messages)
        assert parts.bad_lines == whole.bad_lines
        assert [p.partition(": ")[2] for p in parts.problems] == [p.partition(": ")[2] for p in whole.problems]
    finally:
        reports.MAX_LINE_BYTES = limit


def test_nothing_new_costs_one_stat_and_opens_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    ReportWriter(path).report({"a": 1})
    tail = ReportTail(path)
    tail.read()
    calls = []
    stat = os.stat
    monkeypatch.setattr(reports.os, "stat", lambda p: calls.append(p) or stat(p))
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail("opened the file"))
    assert tail.read() == []
    assert len(calls) == 1


def test_a_fact_with_a_lone_surrogate_is_written_as_json_that_reads_back(tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_bytes(rb'{"_sweepkit_facts": {"half \udc80": "\ud800", "pair": "\ud83d\ude00", "loss": NaN}}' + b"\n")
    tail = ReportTail(file)
    tail.read(final=True)
    text = json_text(tail.messages[0])
    (facts,) = json.loads(text.encode()).values()
    assert facts == {"half \udc80": "\ud800", "pair": "😀", "loss": "NaN"}
