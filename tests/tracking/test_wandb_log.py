import json
import math
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from depth import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweepkit import paths
from sweepkit.tracking.run_card import RecordedRunCard
from sweepkit.tracking.wandb_file import WandbTail
from sweepkit.tracking.wandb_log import (
    ConfigChange,
    Exit,
    LogDecoder,
    LoggedRow,
    MetricDefined,
    Preempting,
    Summary,
    decode,
)

BLOCK = 32 * 1024


def log(payloads):
    """A log as LevelDB's documentation says it: written here again, so that writer and reader cannot err together."""
    out = bytearray(b":W&B\xe1\xbe\x00")
    for payload in payloads:
        first, rest = True, payload
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += b"\0" * left
                left = BLOCK
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
            first = False
            if not rest:
                break
    return bytes(out)


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sub(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def item(path, value):
    names = b"".join(sub(2, name.encode()) for name in path)
    return names + sub(16, json.dumps(value).encode())


def history(step, **values):
    items = b"".join(sub(1, item(name.split("__"), value)) for name, value in values.items())
    return sub(2, items + sub(2, (varint(8) + varint(step)) if step else b""))


PAYLOADS = st.lists(
    st.one_of(st.binary(max_size=60), st.integers(BLOCK - 40, BLOCK + 40).map(bytes), st.just(b"x" * (3 * BLOCK))),
    max_size=6,
)


@settings(max_examples=examples(80), deadline=None)
@given(PAYLOADS, st.lists(st.integers(0, 10**6), max_size=10))
def test_records_come_whole_however_the_bytes_arrive(payloads, cuts):
    data = log(payloads)
    decoder, found, at = LogDecoder(), [], 0
    for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        found += decoder.feed(data[at:cut])
        at = cut
    assert found == payloads and decoder.problems == 0


@settings(max_examples=examples(60), deadline=None)
@given(PAYLOADS, st.integers(0, 10**6))
def test_a_torn_file_gives_a_prefix_of_its_records(payloads, cut):
    data = log(payloads)
    decoder = LogDecoder()
    found = decoder.feed(data[: cut % (len(data) + 1)])
    assert found == payloads[: len(found)] and decoder.problems == 0


def test_damage_costs_its_block_and_no_more():
    payloads = [bytes([n]) * 10_000 for n in range(12)]
    data = bytearray(log(payloads))
    data[100] ^= 1
    decoder = LogDecoder()
    found = decoder.feed(bytes(data))
    assert decoder.problems == 1
    # The first block is lost with the record that begins in it; all that begin in a later block are there.
    assert found == payloads[4:]


@settings(max_examples=examples(60), deadline=None)
@given(PAYLOADS, st.lists(st.integers(0, 10**6), min_size=1, max_size=6), st.integers(7, 10**6))
def test_damage_is_skipped_alike_however_the_bytes_arrive(payloads, cuts, where):
    data = bytearray(log([*payloads, b"y" * 2 * BLOCK, b"last"]))
    data[max(7, where % len(data))] ^= 0x55
    whole, parts, found, at = LogDecoder(), LogDecoder(), [], 0
    expected = whole.feed(bytes(data))
    for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        found += parts.feed(bytes(data[at:cut]))
        at = cut
    assert found == expected and parts.problems == whole.problems
    left = iter([*payloads, b"y" * 2 * BLOCK, b"last"])
    assert all(payload in left for payload in found)  # none is invented, and their order is kept


@pytest.mark.parametrize("head", [b"SQLite ", b":W&B\xe1\xbe\x09", b":W&B\0\0\0"])
def test_other_files_are_refused(head):
    with pytest.raises(ValueError, match=r"a \.wandb file must"):
        LogDecoder().feed(head)


def test_records_are_decoded_as_wandb_nests_them():
    row = decode(varint(8) + varint(3) + history(7, loss=0.5, eval__f1=1, nan="NaN", _timestamp=12.5))
    assert row == LoggedRow(items={"loss": 0.5, "eval": {"f1": 1}, "nan": "NaN", "_timestamp": 12.5}, step=7)
    assert decode(history(0, a=1)).step == 0
    summary = sub(3, sub(1, item(["loss", "max"], 2)) + sub(2, item(["old"], None)))
    assert decode(summary) == Summary(update={"loss": {"max": 2}}, remove=("old",))
    run = sub(1, b"r1") + sub(3, b"p") + sub(6, "스윕".encode()) + sub(4, sub(1, item(["lr"], 0.1)))
    assert decode(sub(17, run)) == RecordedRunCard(run_id="r1", project="p", group="스윕", config={"lr": 0.1})
    assert decode(sub(18, b"")) == Exit(exit_code=0)
    assert decode(sub(18, varint(8) + varint(-9))) == Exit(exit_code=-9)
    assert decode(sub(5, sub(1, item(["_wandb"], {})) + sub(1, item(["x"], 1)))) == ConfigChange(update={"x": 1})
    assert decode(sub(7, b"stats")) is None and decode(b"") is None


def test_values_in_wandbs_typed_form_are_read_too():
    def typed(name, data):
        return sub(1, sub(1, name.encode()) + data)

    items = typed("i", varint(5 << 3) + varint(9)) + typed("d", varint(6 << 3 | 1) + struct.pack("<d", 0.25))
    items += typed("b", varint(4 << 3) + b"\x01") + typed("t", sub(7, b"x")) + typed("j", sub(8, b'{"k": 1}'))
    assert decode(sub(2, items)).items == {"i": -5, "d": 0.25, "b": True, "t": "x", "j": {"k": 1}}


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=60), st.sampled_from([2, 3, 5, 17, 18, 23]))
@example(b"8\x81\xcb\xb6\xb7?", 3)  # a number of 17 thousand millions where a text belongs
def test_garbage_is_a_value_error_and_nothing_else(data, number):
    for payload in (data, sub(number, data), sub(number, sub(1, data))):
        try:
            decode(payload)
        except ValueError:
            pass


def run_file(directory, name="offline-run-20260101_000000-r1", run_id="r1"):
    folder = directory / "wandb" / name
    folder.mkdir(parents=True)
    return folder / f"run-{run_id}.wandb"


def test_the_tail_reads_a_growing_file_row_by_row(tmp_path):
    tail = WandbTail(tmp_path)
    assert tail.read() == []
    path = run_file(tmp_path)
    assert tail.read() == []  # the folder is there, its file is not yet
    payloads = [
        sub(17, sub(1, b"r1") + sub(6, b"g")),
        history(0, loss=1.5, eval__f1=0.5, name="x", _timestamp=100.5, _runtime=3, _step=0),
        history(4, loss="NaN"),
        history(5, name="only text"),
        sub(3, sub(1, item(["best"], 2)) + sub(1, item(["_runtime"], 9)) + sub(1, item(["gone"], 1))),
        sub(3, sub(2, item(["gone"], None))),
        sub(18, varint(8) + varint(3)),
    ]
    data = log(payloads)
    reports = []
    for end in range(1, len(data) + 1):
        with path.open("ab") as file:
            file.write(data[end - 1 : end])
        reports += tail.read()
    first, second = reports
    assert dict(first.values) == {"loss": 1.5, "eval.f1": 0.5}
    assert (first.seq, first.step, first.time) == (0, 0, 100.5)
    assert math.isnan(second.values["loss"]) and (second.seq, second.step) == (1, 4)
    assert tail.summary == {"best": 2} and tail.exit_code == 3 and tail.run.group == "g"
    assert tail.problems == []


def test_earlier_attempts_in_the_same_folder_are_left_out_on_request(tmp_path):
    run_file(tmp_path, "offline-run-20260101_000000-r1").write_bytes(log([history(1, old=1)]))
    tail = WandbTail(tmp_path, skip_existing=True)
    assert tail.read() == []
    run_file(tmp_path, "offline-run-20260101_000001-r1").write_bytes(log([history(1, new=1)]))
    (report,) = tail.read()
    assert dict(report.values) == {"new": 1}
    both = WandbTail(tmp_path)
    assert [list(r.values) for r in both.read()] == [["old"], ["new"]]


def test_a_script_may_start_several_runs_and_the_last_exit_counts(tmp_path):
    tail = WandbTail(tmp_path)
    start = sub(17, sub(1, b"r"))
    run_file(tmp_path, "offline-run-1-r").write_bytes(log([start, history(1, a=1), sub(18, varint(8) + b"\x01")]))
    assert tail.settled and len(tail.read()) == 1 and tail.exit_code == 1 and tail.settled
    os.utime(tmp_path / "wandb", (1.0, 1.0))
    assert tail.read() == []
    second = run_file(tmp_path, "run-2-r")  # as W&B names it online
    second.write_bytes(log([start, history(1, a=2)]))
    assert [r.values["a"] for r in tail.read()] == [2] and tail.exit_code is None and not tail.settled
    second.unlink()
    assert tail.read() == []


def noted(directory, *notes):
    """Write notes as the hook does: (pid, rank, time, file)."""
    names = ("pid", "rank", "time", "file")
    text = "".join(json.dumps(dict(zip(names, map(jsonable, note), strict=True))) + "\n" for note in notes)
    (directory / "notes").write_text(text)
    return directory / "notes"


def jsonable(value):
    return str(value) if isinstance(value, Path) else value


def whole_run(directory, name, *values, run_id="r", code=0):
    path = run_file(directory, name)
    rows = [history(step, a=value) for step, value in enumerate(values)]
    path.write_bytes(log([sub(17, sub(1, run_id.encode())), *rows, sub(18, varint(8) + bytes([code]))]))
    return path


def values_of(reports):
    return [report.values["a"] for report in reports]


def test_a_later_run_of_a_script_begins_a_new_history(tmp_path):
    whole_run(tmp_path, "offline-run-1-r", 1, 2, code=1)
    tail = WandbTail(tmp_path, run_id="r")
    assert values_of(tail.read()) == [1, 2] and (tail.histories, tail.exit_code) == (1, 1)
    whole_run(tmp_path, "offline-run-2-r", 3)
    whole_run(tmp_path, "offline-run-3-r", 4, 5)
    assert values_of(tail.read()) == [4, 5] and (tail.histories, tail.exit_code) == (3, 0)
    assert not tail.shared


def test_of_processes_that_write_one_run_at_a_time_one_counts_rank_0_if_there_are_ranks(tmp_path):
    path = whole_run(tmp_path, "offline-run-1-r", 1, 2)
    began = path.stat().st_mtime
    other = whole_run(tmp_path, "offline-run-1-r-7", 3)
    for first, second, counts in (
        ((1, 0, began - 9, path), (7, 0, began - 5, other), [1, 2]),  # the second began before the first had ended
        ((1, 1, began - 9, path), (7, 0, began - 5, other), [3]),
        ((1, 0, began - 9, path), (7, 1, began + 5, other), [1, 2]),
        ((7, 0, began - 9, path), (7, 0, began - 5, other), [3]),  # one process, one run after the other
    ):
        tail = WandbTail(tmp_path, notes=noted(tmp_path, first, second))
        assert values_of(tail.read(final=True)) == counts
        assert tail.shared == (first[0] != second[0])


def test_a_run_of_another_id_counts_only_when_there_is_no_other_at_the_end(tmp_path):
    path = whole_run(tmp_path, "offline-run-1-x", 1, run_id="x", code=1)
    tail = WandbTail(tmp_path, run_id="r", notes=noted(tmp_path, (1, 0, 5.0, None), (1, 0, 5.0, path)))
    assert tail.read() == [] and tail.run is None
    assert values_of(tail.read(final=True)) == [1] and (tail.run.run_id, tail.exit_code) == ("x", 1)
    own = whole_run(tmp_path / "own", "offline-run-1-r", 2)
    tail = WandbTail(tmp_path, run_id="r", notes=noted(tmp_path, (1, 0, 5.0, path), (2, 0, 6.0, own)))
    assert values_of(tail.read()) == [2] and (tail.run.run_id, tail.exit_code, tail.shared) == ("r", 0, False)
    assert tail.read(final=True) == []


def test_notes_say_where_runs_are_and_what_they_do_not_name_is_another_programs(tmp_path):
    whole_run(tmp_path, "offline-run-1-r", 1)
    elsewhere = whole_run(tmp_path / "else", "offline-run-1-r", 2)
    assert values_of(WandbTail(tmp_path, notes=noted(tmp_path, (1, 0, 5.0, elsewhere))).read()) == [2]
    assert values_of(WandbTail(tmp_path, notes=noted(tmp_path, (1, 0, 5.0, ""))).read()) == [1]  # it cannot say
    (tmp_path / "notes").write_text('no note\n{"pid": 1}\n[]\n')
    assert values_of(WandbTail(tmp_path, notes=tmp_path / "notes").read()) == [1]


def test_a_run_elsewhere_is_found_by_what_the_client_says_of_it(tmp_path):
    elsewhere = tmp_path / "else" / "where"
    written = run_file(elsewhere)
    written.write_bytes(log([sub(17, sub(1, b"r1")), history(1, a=1)]))
    output = tmp_path / "output"
    tail = WandbTail(tmp_path / "nothing", log=output, cwd=str(tmp_path))
    assert tail.read() == []
    output.write_bytes(b"begins\n")
    assert tail.read() == []
    saved = f"\x1b[34mwandb\x1b[0m: Run data is saved locally in \x1b[1m{written.parent.relative_to(tmp_path)}"
    with open(output, "ab") as file:
        file.write(saved.encode()[:-3])
        file.flush()
        assert tail.read() == []  # half a line
        file.write(saved.encode()[-3:] + b"\x1b[0m\n")
    assert [r.values for r in tail.read()] == [{"a": 1}] and tail.read() == []
    assert WandbTail(tmp_path / "nothing").read() == []


def test_a_mark_of_preemption_holds_until_another_run_begins(tmp_path):
    start, mark = sub(17, sub(1, b"r")), sub(23, b"")
    assert decode(mark) == Preempting()
    first = log([start, mark, history(1, a=1), sub(17, sub(1, b"r") + sub(8, b"renamed"))])
    run_file(tmp_path, "offline-run-1-r").write_bytes(first)
    tail = WandbTail(tmp_path)
    tail.read()
    assert tail.preempting and tail.run.name == "renamed"
    run_file(tmp_path, "offline-run-2-r").write_bytes(log([start]))
    tail = WandbTail(tmp_path)
    tail.read()
    assert not tail.preempting


def test_a_damaged_record_and_a_foreign_file_are_told(tmp_path):
    run_file(tmp_path, "offline-run-1-r").write_bytes(log([b"\xff\xff", history(1, a=1)]))
    run_file(tmp_path, "offline-run-2-r").write_bytes(b"not a log at all")
    tail = WandbTail(tmp_path)
    assert len(tail.read()) == 1
    assert len(tail.problems) == 2 and "skipped" in tail.problems[0] and "must begin" in tail.problems[1]
    with (tmp_path / "wandb" / "offline-run-2-r" / "run-r1.wandb").open("ab") as file:
        file.write(b"more of it")
    assert tail.read() == [] and len(tail.problems) == 2


def test_a_run_is_found_although_its_folder_looks_as_old_as_before(tmp_path):
    tail, root = WandbTail(tmp_path), tmp_path / "wandb"
    path = run_file(tmp_path, "offline-run-1-r")
    os.utime(root, (1.0, 1.0))
    assert tail.read() == []
    path.write_bytes(log([history(1, a=1)]))  # made inside the run's folder: the time of the outer one stays
    assert len(tail.read()) == 1
    os.utime(root)
    now = root.stat().st_mtime_ns
    assert tail.read() == []
    run_file(tmp_path, "offline-run-2-r").write_bytes(log([history(1, a=2)]))
    os.utime(root, ns=(now, now))  # within one tick of the kernel's clock
    assert [r.values["a"] for r in tail.read()] == [2]


def defined(name="", pattern="", kinds=(), goal=0):
    said = b"".join(varint(kind << 3) + varint(1) for kind in kinds)
    parts = (sub(1, name.encode()) if name else b"") + (sub(2, pattern.encode()) if pattern else b"")
    return sub(12, parts + sub(7, said) + (varint(8 << 3) + varint(goal) if goal else b""))


def test_what_define_metric_says_is_found_by_name_before_any_pattern(tmp_path):
    path = run_file(tmp_path, "offline-run-1-r")
    said = [defined(pattern="v*", kinds=[3]), defined(pattern="val/*", kinds=[5]), defined("val/f1", kinds=[4], goal=2)]
    path.write_bytes(log([*said, defined("val/f1x"), history(1, a=1)]))
    tail = WandbTail(tmp_path)
    tail.read()
    assert tail.definition("val/f1") == MetricDefined(name="val/f1", kinds=("best",), goal="maximize")
    assert [
        tail.definition(name) and tail.definition(name).kinds for name in ("val/loss", "value", "a", "val/f1x")
    ] == [
        ("last",),
        ("mean",),
        None,
        ("last",),  # it says nothing of its summary, the pattern does
    ]


WRITER = """
import sys, wandb
from wandb.proto import wandb_internal_pb2 as pb
run = wandb.init(config={"층": {"깊이": [1, 2]}})
run.define_metric("m3", summary="max")
run.define_metric("m4", summary="last,max")
run.define_metric("val/*", summary="mean")
for step in range(250):
    row = {f"m{k}": k + step / 7 for k in range(12)}
    wandb.log({**row, "deep": {"er": {"x": float("inf")}}, "big": 2**70, "t": True, "글": "말" * (step % 50)})
run.summary["long"] = "x" * 90_000
wandb.finish(5)
wandb.teardown()  # its helper writes the last of it as it ends
"""

JUDGE = """
import glob, json
sys.path.insert(0, sys.argv[2])
(path,) = glob.glob(sys.argv[1] + "/wandb/offline-run-*/run-r1.wandb")
from sweepkit.tracking.wandb_log import LogDecoder, decode, LoggedRow, Summary, Exit, ConfigChange
from wandb.proto import wandb_internal_pb2 as pb

def tree(items):
    found = {}
    for item in items:
        path, at = list(item.nested_key) or [item.key], found
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = json.loads(item.value_json)
    return found

counts = {}
decoder = LogDecoder()
for payload in decoder.feed(open(path, "rb").read()):
    record, ours = pb.Record.FromString(payload), decode(payload)
    kind = record.WhichOneof("record_type")
    counts[kind] = counts.get(kind, 0) + 1
    if kind == "history":
        assert ours == LoggedRow(items=tree(record.history.item), step=record.history.step.num), (ours, record)
    elif kind == "summary":
        assert ours.update == tree(record.summary.update) and not ours.remove
    elif kind == "run":
        config = tree(record.run.config.update)
        config.pop("_wandb", None)
        assert (ours.run_id, ours.config) == (record.run.run_id, config)
    elif kind == "exit":
        assert ours == Exit(exit_code=record.exit.exit_code)
    elif kind == "metric":
        said = record.metric
        kinds = {field.name for field, _ in said.summary.ListFields()}
        goal = {0: "", 1: "minimize", 2: "maximize"}[said.goal]
        assert (ours.name, ours.pattern, {*ours.kinds}, ours.goal) == (said.name, said.glob_name, kinds, goal)
    elif kind == "config":
        assert isinstance(ours, ConfigChange)
    else:
        assert ours is None, kind
print(json.dumps([counts, decoder.problems]))
"""


@pytest.mark.slow
def test_our_reader_agrees_with_wandbs_own_messages_on_a_file_of_many_blocks(tmp_path):
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true", "WANDB_RUN_ID": "r1"}
    command = [sys.executable, "-c", WRITER + JUDGE, str(tmp_path), paths.CODE_DIR]  # W&B is imported once for both
    done = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "wandb").glob("offline-run-*/run-r1.wandb")
    assert path.stat().st_size > 5 * BLOCK
    counts, problems = json.loads(done.stdout.splitlines()[-1])
    assert (counts["history"], counts["exit"], counts["run"], problems) == (250, 1, 1, 0)
    tail = WandbTail(tmp_path)
    reports = tail.read()
    assert [r.step for r in reports] == list(range(250)) and tail.exit_code == 5 and tail.settled
    assert reports[-1].values == {f"m{k}": k + 249 / 7 for k in range(12)} | {
        "deep.er.x": math.inf,
        "big": 2.0**70,
        "t": 1,
    }
    assert counts["metric"] >= 3 and tail.definition("val/loss").kinds == ("mean",)
    assert (tail.definition("m4").kinds, tail.definition("m3").kinds) == (("max", "last"), ("max",))
    assert tail.definition("m5") is None
    assert tail.run.config == {"층": {"깊이": [1, 2]}} and tail.summary["m3.max"] == 3 + 249 / 7
