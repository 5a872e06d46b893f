"""The file that is sent of a run: what its attempts logged, once, in order, and how it ended."""

import json
import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from wandb.proto import wandb_internal_pb2

from sweepkit.model.records import Report
from sweepkit.tracking.run_card import RecordedRunCard, RunCard
from sweepkit.tracking.wandb_log import Exit, LogDecoder, LoggedRow, Summary, decode
from sweepkit.wandb import log_writer as w
from sweepkit.wandb.attempt_reader import AttemptFiles
from sweepkit.wandb.run_file import RunEnd, RunFile
from sweepkit.wandb.sender import UploadedCounts

NOTHING = UploadedCounts()
CARD = RunCard(run_id="r1", project="p", group="그룹", tags=("t",))
PARAMS = {"x": 1, "opt": {"lr": 1e-05}}
END = RunEnd(exit_code=255, tags=("stopped",), notes="stopped: 이유", facts={"state": "stopped"}, summary={"loss": 2.0})


def records(path):
    return LogDecoder().feed(path.read_bytes())


def decoded(path, kind):
    return [record for record in map(decode, records(path)) if isinstance(record, kind)]


def rows(path):
    return [
        (row.step, {k: v for k, v in row.items.items() if not k.startswith("_")}) for row in decoded(path, LoggedRow)
    ]


@pytest.fixture
def attempt(tmp_path):
    """Return what makes an attempt: of reports (dicts), of W&B rows (dicts, with `exit` or without), of neither."""

    def make(ordinal, *, reports=(), wandb=None, ended=True, recorded=(), over=True, run_id="other"):
        folder = tmp_path / f"a{ordinal}"
        file = folder / "wandb" / f"offline-run-1-{ordinal}" / "run-r1.wandb"
        if wandb is not None:
            file.parent.mkdir(parents=True)
            run = {"run_id": run_id, "sweep_id": "sweep9", "tags": ["mine"], "notes": "my note", "config": {}}
            begun = wandb_internal_pb2.Record(run=run)
            w.put(begun.run.config.update, {"x": 1, "own": "말"})
            written = [w.header(), begun, *wandb, *([w.ended(0)] if ended else [])]
            encoder = w.LogEncoder()
            file.write_bytes(encoder.begin() + b"".join(encoder.frame(item.SerializeToString()) for item in written))
            (file.parent / "files").mkdir()
            (file.parent / "files" / "model.txt").write_text(f"of {ordinal}")
        path = tmp_path / f"{ordinal}.jsonl"
        if reports:
            path.write_text("".join(json.dumps(report) + "\n" for report in reports))
        return AttemptFiles(ordinal=ordinal, wandb_dir=folder, reports=path, recorded=lambda: recorded, over=over)

    return make


def made(tmp_path, *attempts, uploaded=NOTHING, end=END):
    file = RunFile(tmp_path / "push", CARD, params=PARAMS, uploaded=uploaded)
    assert file.feed(attempts)
    file.end(end)
    return file.path


def test_reports_become_rows_with_the_programs_step_as_a_column(tmp_path, attempt):
    path = made(tmp_path, attempt(1, reports=[{"loss": 2, "_step": 10}, {"loss": math.nan, "_step": 10}]))
    assert rows(path)[0] == (0, {"loss": 2, "step": 10})
    assert rows(path)[1][0] == 1 and rows(path)[1][1]["loss"] == "NaN"  # W&B's own word for it
    (first, last) = decoded(path, RecordedRunCard)
    assert (first.run_id, first.project, first.group, first.config) == ("r1", "p", "그룹", PARAMS)
    assert (first.tags, last.tags, last.sweep_id) == (("t",), ("t", "stopped"), "")
    assert decoded(path, Exit) == [Exit(exit_code=255)]
    assert decoded(path, Summary)[-1].update == {"sweepkit": {"state": "stopped"}, "loss": 2.0}


def test_what_a_program_told_wandb_is_kept_and_what_ties_it_elsewhere_is_not(tmp_path, attempt):
    logged = [w.history({"loss": 3}, step=0), w.history({"loss": 2, "text": "글"}, step=5)]
    path = made(tmp_path, attempt(1, wandb=logged, reports=[{"loss": 9}]))
    assert rows(path) == [(0, {"loss": 3}), (5, {"loss": 2, "text": "글"})]
    first, last = decoded(path, RecordedRunCard)
    assert (first.run_id, first.sweep_id, first.config) == ("r1", "", {"x": 1, "own": "말"})
    assert last.tags == ("mine", "t", "stopped")
    assert (path.parent / "files" / "model.txt").read_text() == "of 1"
    notes = [record.run.notes for record in map(wandb_internal_pb2.Record.FromString, records(path))]
    assert "my note\n\nstopped: 이유" in notes


def test_a_second_attempt_goes_on_behind_the_first(tmp_path, attempt):
    one = attempt(1, wandb=[w.history({"loss": 3}, step=4)])
    two = attempt(2, wandb=[w.history({"loss": 5}, step=0), w.history({"loss": 4}, step=2)])
    three = attempt(3, wandb=[w.history({"loss": 1}, step=9)])  # went on from a checkpoint
    assert rows(made(tmp_path, one, two, three)) == [
        (4, {"loss": 3}),
        (5, {"loss": 5, "sweepkit/attempt": 2}),
        (7, {"loss": 4, "sweepkit/attempt": 2}),
        (9, {"loss": 1, "sweepkit/attempt": 3}),
    ]


def test_the_file_of_a_killed_program_is_believed_once_it_is_quiet(tmp_path, attempt):
    now = [0.0]
    killed = attempt(1, wandb=[w.history({"loss": 3}, step=0)], ended=False)
    file = RunFile(tmp_path / "push", CARD, params=PARAMS, clock=lambda: now[0])
    assert not file.feed([killed])
    now[0] = 1e12
    assert file.feed([killed]) and file.rows == 1


def test_rows_of_another_hosts_attempt_come_from_the_record(tmp_path, attempt):
    recorded = [Report(seq=0, values={"loss": 1.5}, step=None, time=5.0)]
    assert rows(made(tmp_path, attempt(1, recorded=recorded))) == [(0, {"loss": 1.5})]


def test_of_several_runs_of_a_program_those_that_count_are_sent(tmp_path, attempt):
    first, second, third = (attempt(n, wandb=[w.history({"loss": n}, step=0)]) for n in (1, 2, 3))
    other = attempt(4, wandb=[w.history({"loss": 4}, step=0)], run_id="x")
    notes = tmp_path / "notes"
    whose = zip((first, second, third, other), ((1, 1, 1.0), (2, 0, 2.0), (3, 0, 3.0), (4, 0, 2e9)), strict=True)
    files = [(*who, str(next(each.wandb_dir.rglob("*.wandb")))) for each, who in whose]
    files.append((5, 0, 4.0, "/on/another/host/run-r1.wandb"))
    names = ("pid", "rank", "time", "file")
    notes.write_text("".join(json.dumps(dict(zip(names, note, strict=True))) + "\n" for note in files))
    given = AttemptFiles(**{**_fields(first), "notes": notes, "run_id": "other"})
    assert rows(made(tmp_path, given)) == [(0, {"loss": 2})]  # not rank 1's, the second process's, another run's


def _folds(tmp_path, attempt, *, over):
    """Return the files of an attempt whose one process began the same run three times, one after another."""
    folds = [attempt(n, wandb=[w.history({"loss": 10 * n + i}, step=i) for i in range(2)]) for n in (1, 2, 3)]
    notes = tmp_path / "notes"
    files = [next(fold.wandb_dir.rglob("*.wandb")) for fold in folds]
    lines = [{"pid": 1, "rank": 0, "time": float(n), "file": str(file)} for n, file in enumerate(files)]
    notes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return AttemptFiles(**{**_fields(folds[0]), "notes": notes, "run_id": "other", "over": over})


def test_of_folds_one_after_another_the_last_ones_history_is_sent(tmp_path, attempt):
    folds = _folds(tmp_path, attempt, over=True)
    whole = rows(made(tmp_path, folds))
    assert whole == [(0, {"loss": 30}), (1, {"loss": 31})]  # as at W&B, where the same id begins anew
    assert rows(made(tmp_path, folds, uploaded=UploadedCounts(rows=1))) == whole[1:]  # goes on where it was


def test_folds_that_are_sent_while_they_run_follow_each_other(tmp_path, attempt):
    running = _folds(tmp_path, attempt, over=False)
    file = RunFile(tmp_path / "push", CARD, params=PARAMS)
    file.feed([running])
    assert file.feed([_folds_over(running)])
    file.end(END)
    assert [values["loss"] for _, values in rows(file.path)] == [10, 11, 20, 21, 30, 31]
    assert rows(made(tmp_path, _folds_over(running), uploaded=UploadedCounts(rows=6))) == []  # nothing is sent twice


def _folds_over(running):
    return AttemptFiles(**{**_fields(running), "notes": running.notes, "run_id": "other", "over": True})


def test_a_run_that_logged_nothing_has_its_parameters_and_its_end(tmp_path, attempt):
    path = made(tmp_path, attempt(1))
    assert rows(path) == [] and decoded(path, RecordedRunCard)[0].config == PARAMS and decoded(path, Exit)


def test_reports_that_wait_for_an_empty_wandb_file_are_told_at_the_end(tmp_path, attempt):
    running = attempt(1, wandb=[], reports=[{"loss": 1}], over=False)
    file = RunFile(tmp_path / "push", CARD, params=PARAMS)
    assert not file.feed([running]) and file.rows == 0
    assert file.feed([AttemptFiles(**{**_fields(running), "over": True})]) and file.rows == 1


def _fields(attempt):
    return {name: getattr(attempt, name) for name in ("ordinal", "wandb_dir", "reports", "recorded", "over")}


@given(cut=st.integers(0, 9), losses=st.lists(st.floats(allow_nan=False), min_size=1, max_size=9))
@settings(max_examples=examples(50), deadline=None)
def test_what_a_server_has_and_the_rest_are_the_whole(tmp_path_factory, cut, losses):
    folder = tmp_path_factory.mktemp("run")
    (folder / "r.jsonl").write_text("".join(json.dumps({"loss": loss}) + "\n" for loss in losses))
    files = AttemptFiles(ordinal=1, wandb_dir=folder, reports=folder / "r.jsonl", recorded=tuple, over=True)
    whole = rows(made(folder / "a", files))
    rest = rows(made(folder / "b", files, uploaded=UploadedCounts(rows=cut)))
    assert whole[: min(cut, len(whole))] + rest == whole and len(whole) == len(losses)
    assert decoded(folder / "b" / "push" / "run-r1.wandb", Exit)


@given(st.lists(st.binary(max_size=70_000), max_size=6))
@settings(max_examples=examples(60), deadline=None)
def test_what_is_framed_is_read_back(payloads):
    encoder = w.LogEncoder()
    data = encoder.begin() + b"".join(map(encoder.frame, payloads))
    decoder = LogDecoder()
    assert decoder.feed(data) == payloads and decoder.problems == 0


@given(
    st.dictionaries(st.text(min_size=1), st.one_of(st.integers(), st.floats(allow_nan=False), st.text()), max_size=4)
)
@settings(max_examples=examples(30), deadline=None)
def test_wandbs_own_protobuf_reads_what_is_written(values):
    record = wandb_internal_pb2.Record.FromString(w.history(values, step=3).SerializeToString())
    found = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
    said = {k: "Infinity" if v == math.inf else "-Infinity" if v == -math.inf else v for k, v in values.items()}
    assert found == {**said, "_step": 3} and record.history.step.num == 3


def test_what_has_no_utf8_form_is_sent_as_a_question_mark(tmp_path):
    card = RunCard(run_id="r1", tags=("\ud800",))
    file = RunFile(tmp_path / "push", card, params={"x\ud800": "\ud800"})
    file.end(RunEnd(exit_code=1, notes="\ud800"))
    last = decoded(file.path, RecordedRunCard)[-1]
    assert last.tags == ("?",) and last.config == {"x?": "?"}


def test_a_record_that_is_none_of_wandbs_is_left_out(tmp_path, attempt):
    files = attempt(1, wandb=[w.history({"loss": 3}, step=0)], ended=False)
    (log,) = files.wandb_dir.glob("wandb/*/*.wandb")
    payloads = [*LogDecoder().feed(log.read_bytes()), b"\xff\xff", w.ended(0).SerializeToString()]
    encoder = w.LogEncoder()
    log.write_bytes(encoder.begin() + b"".join(map(encoder.frame, payloads)))
    assert rows(made(tmp_path, files)) == [(0, {"loss": 3})]
