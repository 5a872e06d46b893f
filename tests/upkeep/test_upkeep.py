"""The record copied, checked, mended, and made again from the files of a sweep; on both databases."""

import contextlib
import dataclasses
import json
import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from pools import Bench
from sweeping import in_this_process
from waiting import wait_until

from sweepkit.cli import db
from sweepkit.errors import ConflictError, StoreError
from sweepkit.model.records import AttemptState, SweepState
from sweepkit.model.runs import RunState
from sweepkit.store.backup import back_up, copies_of, copy_beside
from sweepkit.store.cells import ATTEMPT_CELLS
from sweepkit.store.open import open_store
from sweepkit.store.watch import open_watch
from sweepkit.upkeep.record import check, rebuild, repair

pytestmark = pytest.mark.slow

PROGRAM = """\
import json, os, sys
number = int(sys.argv[1].partition("=")[2])
with open("journal", "a") as journal:
    journal.write(f"{number}\\n")
for step in range(3):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        # A report that tells no time is given that of the file as it is read: a later one where a record is made again.
        told = {"loss": number / (step + 1), "other": float("nan"), "_step": step, "_time": 1e9 + step}
        file.write(json.dumps(told) + "\\n")
if number == 2:
    raise ValueError("no")
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def storage(request, tmp_path):
    """The URL or the path of a record that does not exist yet; each call gives another one."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").new_database
    numbers = iter(range(9))
    return lambda: tmp_path / f"record{next(numbers)}.db"


@pytest.fixture
def sweep(tmp_path, storage):
    """A sweep of three runs that is over, on a record of its own."""
    with Bench(tmp_path, storage=storage()) as bench:
        bench.start(PROGRAM, numbers=(1, 2, 3)).join()
        yield bench


def facts(runs):
    """Return what must be the same in a record that was made again: all but what the record counts for itself."""
    return [repr(dataclasses.replace(run, change=0, created_at=0.0)) for run in runs]


def test_a_record_made_again_from_the_files_of_its_sweep_is_the_one_that_was(sweep, storage):
    before, url = sweep.runs(), storage()
    said = rebuild(str(url), sweep.folder)
    assert (said.faults, said.unknown) == ([], [])
    with open_store(url) as store:
        (made,) = store.sweeps()
        was = sweep.store.sweep("s")
        assert (made.sweep_id, made.seed, made.text, made.meta, made.created_at) == (
            was.sweep_id, was.seed, was.text, was.meta, was.created_at,
        )  # fmt: skip
        assert made.state is SweepState.PAUSED
        runs = store.runs(made.sweep_id)
        assert facts(runs) == facts(before)
        for run in runs:
            assert [repr(row) for row in store.reports(run.run_id)] == [
                repr(row) for row in sweep.store.reports(run.run_id)
            ]
            (attempt,) = store.attempts(run.run_id)
            (known,) = sweep.store.attempts(run.run_id)
            assert (attempt.state, attempt.reason, attempt.outcome) == (known.state, known.reason, known.outcome)
        assert store.add_run(made.sweep_id, 3, {}) is None  # it is paused: who starts it by its YAML sets it running
        store.update_sweep(made.sweep_id, state=SweepState.RUNNING)
        assert store.add_run(made.sweep_id, 3, {}) is not None


def test_a_name_that_a_program_gave_its_run_is_kept_where_the_record_is_made_again(sweep, storage):
    first, second, _ = sweep.runs()
    file = sweep.paths.result(first.run_id)
    logged = "runs/1/wandb/run-1.wandb"
    file.write_text(json.dumps({**json.loads(file.read_text()), "name": "mine", "history_file": logged}))
    url = storage()
    rebuild(str(url), sweep.folder)
    with open_store(url) as store:
        runs = store.runs(store.sweep("s").sweep_id)
    assert (runs[0].name, runs[0].outcome["history_file"]) == ("mine", logged)
    assert runs[1].name == second.name and not {"name", "history_file"} & runs[1].outcome.keys()


def test_a_record_with_sweeps_is_not_made_anew(sweep):
    with pytest.raises(ConflictError):
        rebuild(str(sweep.storage), sweep.folder)


def test_a_run_without_a_result_is_taken_from_its_last_attempt_or_made_again(sweep, storage):
    first, second, third = sweep.runs()
    sweep.paths.result(first.run_id).unlink()
    sweep.paths.result(third.run_id).unlink()
    sweep.paths.exit_file(f"{third.run_id}-1").write_text(" " * 100)
    url = storage()
    said = rebuild(str(url), sweep.folder)
    assert len(said.unknown) == 1 and third.run_id in said.unknown[0]
    with open_store(url) as store:
        runs = store.runs(store.sweep("s").sweep_id)
        assert [(run.number, run.run_id, run.params) for run in runs] == [
            (run.number, run.run_id, run.params) for run in (first, second, third)
        ]
        assert [run.state for run in runs] == [RunState.FINISHED, RunState.FAILED, RunState.PENDING]
        assert runs[0].history == first.history
        assert store.attempts(third.run_id)[0].state is AttemptState.LOST
    with Bench(sweep.folder, storage=url) as bench:
        bench.store.update_sweep(bench.store.sweep("s").sweep_id, state=SweepState.RUNNING)
        bench.start(PROGRAM, numbers=(1, 2, 3)).join()
        (again,) = [run for run in bench.runs() if run.run_id == third.run_id]
        assert (again.state, again.attempts) == (RunState.FINISHED, 2)
    assert (sweep.folder / "journal").read_text().split() == ["1", "2", "3", "3"]


def test_a_run_whose_reports_are_gone_keeps_its_value_and_it_is_said(sweep, storage):
    first, *_ = sweep.runs()
    sweep.paths.reports(f"{first.run_id}-1").unlink()
    url = storage()
    said = rebuild(str(url), sweep.folder)
    assert [first.run_id in text for text in said.unknown] == [True]
    with open_store(url) as store:
        run, *_ = store.runs(store.sweep("s").sweep_id)
    assert (run.history, run.summary, run.best_metrics["loss"]) == ((), 1 / 3, 1 / 3)


CELLS = {
    "params": "not json",
    "state": "finnished",
    "history": "1.0,oops",
    "outcome": '{"host": ',
    "best_metrics": "[]",
    "summary": "x",
}


@pytest.mark.parametrize("column", list(CELLS))
def test_a_damaged_cell_is_named_its_run_set_aside_and_mended_from_its_files(sweep, column):
    before = sweep.runs()
    run_id = before[0].run_id
    sweep.statements(f"UPDATE runs SET {column} = '{CELLS[column]}' WHERE run_id = '{run_id}'")
    damaged, *others = sweep.runs()
    assert damaged.state is RunState.FAILED and f"runs.{column} of {run_id}" in damaged.reason
    assert facts(others) == facts(before[1:])
    said = check(str(sweep.storage))
    assert len(said.faults) == 1 and f"runs.{column} of {run_id}" in said.faults[0]
    assert repair(str(sweep.storage), sweep.folder).faults == []
    assert facts(sweep.runs()) == facts(before)
    assert check(str(sweep.storage)).faults == []


def test_a_number_of_a_file_that_is_none_is_a_damaged_cell_too(tmp_path):
    with Bench(tmp_path, storage=tmp_path / "sweepkit.db") as bench:
        bench.start(PROGRAM, numbers=(1, 2, 3)).join()
        before = bench.runs()
        for column in ("created_at", "started_at", "ended_at", "attempts", "failures"):
            for value in ("'x'", "x'00ff'", "1e300"):
                of_a_number_that_is_none(bench, column, value, before)


def of_a_number_that_is_none(bench, column, value, before):
    run_id = before[0].run_id
    bench.statements(f"UPDATE runs SET {column} = {value} WHERE run_id = '{run_id}'")
    damaged, *others = bench.runs()
    assert damaged.state is RunState.FAILED and f"runs.{column} of {run_id}" in damaged.reason
    assert facts(others) == facts(before[1:])
    with open_watch(bench.storage) as watch:
        short = watch.poll(damaged.sweep_id, in_short=True)
        numbers = [run.state for run in short.changed if run.run_id == run_id]
        assert numbers == [RunState.FAILED] or column == "created_at"  # which is not looked at in short
    assert len(check(str(bench.storage)).faults) == 1
    assert repair(str(bench.storage), bench.folder).faults == []
    assert facts(bench.runs()) == facts(before)


def test_other_damaged_cells_are_named_and_their_sweep_is_readable(sweep):
    first, *_ = sweep.runs()
    attempt = f"{first.run_id}-1"
    sweep.statements(
        f"UPDATE attempts SET outcome = '{{' WHERE attempt_id = '{attempt}'",
        f"UPDATE reports SET metrics = 'x' WHERE attempt_id = '{attempt}' AND seq = 1",
    )
    assert [report.values.get("loss") for report in sweep.store.reports(first.run_id)] == [1.0, None, 1 / 3]
    assert "attempts.outcome" in sweep.store.attempts(first.run_id)[0].reason
    assert sorted(text.split()[0] for text in check(str(sweep.storage)).faults) == [
        "attempts.outcome",
        "reports.metrics",
    ]
    repair(str(sweep.storage), sweep.folder)
    assert check(str(sweep.storage)).faults == []
    assert [report.values["loss"] for report in sweep.store.reports(first.run_id)] == [1.0, 0.5, 1 / 3]


def test_the_damaged_cells_of_an_attempt_are_mended_from_its_run(tmp_path):
    with Bench(tmp_path, storage=tmp_path / "sweepkit.db") as bench:
        bench.start(PROGRAM, numbers=(1,)).join()
        (run,) = bench.runs()
        (before,) = bench.store.attempts(run.run_id)
        for column in ATTEMPT_CELLS:
            bench.statements(f"UPDATE attempts SET {column} = x'00'")
            assert len(check(str(bench.storage)).faults) == 1
            assert repair(str(bench.storage), bench.folder).faults == []
            (after,) = bench.store.attempts(run.run_id)
            assert check(str(bench.storage)).faults == []
            assert column in UNKNOWN or getattr(after, column) == pytest.approx(getattr(before, column), abs=1.0)
            bench.statements(f"UPDATE attempts SET agent_id = '{before.agent_id}', host = '{before.host}'")
            bench.statements(f"UPDATE attempts SET pid = {before.pid}, lease_until = {before.lease_until}")


UNKNOWN = {"agent_id", "pid", "lease_until"}  # of an attempt that is over nobody needs them


@pytest.mark.parametrize("damaged", ["'x'", "x'00'", "1e300"])
def test_a_lease_that_cannot_be_read_is_over_and_repair_leaves_none(tmp_path, damaged):
    with open_store(tmp_path / "sweepkit.db") as store:
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        store.add_run(sweep, 0, {"x": 1})
        claim = store.claim(sweep, agent_id="a", host="h", lease_s=60.0, gpus=("GPU-1",))
        assert [live.expired for live in store.live_attempts(sweep)] == [False]
        assert len(store.gpu_attempts("h")) == 1
        with store._session._writer.begin() as connection:
            connection.exec_driver_sql(f"UPDATE attempts SET lease_until = {damaged}")
        assert [live.expired for live in store.live_attempts(sweep)] == [True]
        assert store.gpu_attempts("h") == []
        assert [cell.column for cell in store.mend_attempts()] == ["lease_until"]
        (live,) = store.live_attempts(sweep)
        assert live.expired and isinstance(live.lease_until, float)
        assert store.lose(live.attempt_id, live.token, reason="its lease ran out")
        again = store.claim(sweep, agent_id="b", host="h", lease_s=60.0)
        assert again.ordinal == claim.ordinal + 1


@pytest.mark.parametrize("state", ["ended", "live"])
def test_a_number_of_an_attempt_that_is_none_is_named_and_its_sweep_is_readable(tmp_path, state):
    with open_store(tmp_path / "sweepkit.db") as store:
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        run = store.add_run(sweep, 0, {"x": 1})
        claim = store.claim(sweep, agent_id="a", host="h", lease_s=60.0)
        if state == "ended":
            store.finish(claim, RunState.FINISHED, reason="exit code 0")
        for column in ("ordinal", "pid", "claimed_at", "started_at", "ended_at", "lease_until"):
            with store._session._writer.begin() as connection:
                before = connection.exec_driver_sql(f"SELECT {column} FROM attempts").scalar()
                connection.exec_driver_sql(f"UPDATE attempts SET {column} = 'x'")
            (cell,) = store.damaged_cells()
            assert (cell.table, cell.column) == ("attempts", column)
            assert f"attempts.{column}" in store.attempts(claim.run.run_id)[0].reason
            with open_watch(tmp_path / "sweepkit.db") as watch:
                poll = watch.poll(sweep)
                assert len(poll.live) == (state == "live") and isinstance(poll.idle_since, float | None)
            with store._session._writer.begin() as connection:
                connection.exec_driver_sql(f"UPDATE attempts SET {column} = ?", (before,))
        assert run and store.damaged_cells() == []


def test_a_damaged_pending_run_is_never_executed(tmp_path, storage):
    with open_store(storage()) as store:
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        for number in (0, 1):
            store.add_run(sweep, number, {"x": number})
        with store._session._writer.begin() as connection:
            connection.exec_driver_sql("UPDATE runs SET params = '{' WHERE number = 0")
        claims = [store.claim(sweep, agent_id="a", host="h", lease_s=60.0) for _ in range(3)]
        assert [claim and claim.run.number for claim in claims] == [None, 1, None]
        assert [run.state for run in store.runs(sweep)] == [RunState.FAILED, RunState.RUNNING]


def test_a_damaged_sweep_is_named_and_the_others_are_listed(storage):
    with open_store(storage()) as store:
        for name in ("a", "b"):
            store.create_sweep(name, text="", seed=0, metric=None, goal=None)
        with store._session._writer.begin() as connection:
            connection.exec_driver_sql("UPDATE sweeps SET meta = '{' WHERE name = 'a'")
        assert [sweep.name for sweep in store.sweeps()] == ["b"]
        with pytest.raises(StoreError, match=r"sweeps\.meta"):
            store.sweep("a")


# --- a file ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def file_sweep(tmp_path):
    with Bench(tmp_path, storage=tmp_path / "sweepkit.db") as bench:
        bench.start(PROGRAM, numbers=(1, 2, 3)).join()
        before = bench.runs()
    return tmp_path, before


def runs_of(folder):
    with open_store(folder / "sweepkit.db") as store:
        return store.runs(store.sweep("s").sweep_id)


@pytest.mark.parametrize("copied", [True, False], ids=["with a copy", "without"])
@pytest.mark.parametrize("act", ["first page", "last page", "half", "gone", "emptied"])
def test_a_file_that_is_damaged_or_gone_is_mended(file_sweep, act, copied):
    folder, before = file_sweep
    path = folder / "sweepkit.db"
    if copied:
        copy_beside(path)
    size = path.stat().st_size
    if act == "gone":
        path.unlink()
    elif act in ("half", "emptied"):
        os.truncate(path, size // 2 if act == "half" else 0)
    else:
        with path.open("r+b") as file:
            file.seek(0 if act == "first page" else size - 4096)
            file.write(os.urandom(4096) if act == "last page" else bytes(4096))
    if act in ("half", "first page"):
        with pytest.raises(StoreError, match=r"db\.py repair"):
            open_store(path)
    said = repair(str(path), folder)
    assert said.faults == []
    assert facts(runs_of(folder)) == facts(before)
    if act in ("half", "first page"):
        assert [file for file in folder.glob("sweepkit.db.damaged-*") if not file.name.endswith(("-wal", "-shm"))]


def without(path, table):
    """Write over the page of a table, which SQLite finds when it reads that one."""
    copy = path.with_name("copy")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    os.replace(copy, path)  # a connection that is closed later writes its pages into the file that was
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.parametrize("gone", ["sweep.yaml", "sweep.json", "damaged sweep.yaml"])
def test_either_of_the_files_that_have_its_configuration_makes_a_sweep_again(file_sweep, gone):
    """The soak found it: an empty record and exit code 0, though each run had its file."""
    folder, before = file_sweep
    path, file = folder / "sweepkit.db", folder / "sweep_s" / gone.rpartition(" ")[2]
    without(path, "sweeps")
    if gone.startswith("damaged"):
        file.write_bytes(b"\xff\xfe: [")
    else:
        file.unlink()
    assert repair(str(path), folder).faults == []
    made = facts(runs_of(folder))
    known = [line.replace(before[0].sweep_id, runs_of(folder)[0].sweep_id) for line in facts(before)]
    assert made == known and (gone == "sweep.json") == (runs_of(folder)[0].sweep_id != before[0].sweep_id)


def test_what_a_repair_could_not_make_again_is_told(file_sweep):
    folder, _ = file_sweep
    path = folder / "sweepkit.db"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    without(path, "runs")  # that of its sweeps can be read
    (said,) = repair(str(path), elsewhere).faults
    assert said.startswith("sweep s: ") and "--output-dir" in said
    without(path, "sweeps")
    (said,) = repair(str(path), elsewhere).faults
    assert str(elsewhere) in said and "--output-dir" in said
    for name in ("sweep.yaml", "sweep.json"):
        (folder / "sweep_s" / name).unlink()
    path.unlink()
    assert "put the YAML" in repair(str(path), folder).faults[0]


def test_a_record_that_runners_of_this_host_work_with_is_not_mended(tmp_path):
    with Bench(tmp_path) as bench:
        running = bench.start("import os, time\nwhile not os.path.exists('gate'): time.sleep(0.005)\n")
        wait_until(lambda: bench.store.sweep("s") and bench.runs(), "it to begin")
        with pytest.raises(ConflictError, match=str(os.getpid())):
            repair(str(bench.storage), tmp_path)
        (tmp_path / "gate").touch()
        running.join()


def test_a_copy_is_the_record_of_one_moment_while_it_is_written(tmp_path):
    path = tmp_path / "sweepkit.db"
    with open_store(path) as store:
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        for number in range(50):
            store.add_run(sweep, number, {"x": number})
        for target in (None, tmp_path / "elsewhere" / "copy.db"):
            with open_store(shutil.copy(back_up(path, target), tmp_path / "read.db")) as copy:
                assert len(copy.runs(sweep)) == 50
    assert copies_of(path) == [tmp_path / "sweepkit.db.backup"]
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["copy.db"]
    with pytest.raises(StoreError):
        back_up(path, path)
    with pytest.raises(StoreError):
        back_up(tmp_path / "none.db")


def test_copies_made_at_the_same_moment_are_whole_all_of_them(tmp_path):
    path = tmp_path / "sweepkit.db"
    with open_store(path) as store:
        store.create_sweep("s", text="", seed=0, metric=None, goal=None)
    with ThreadPoolExecutor(4) as pool:
        made = [copy.result() for copy in [pool.submit(copy_beside, path) for _ in range(16)]]
    assert set(made) == {tmp_path / "sweepkit.db.backup"}
    for copy in copies_of(path):
        with open_store(copy) as store:
            assert store.sweep("s")


def test_cp_of_the_file_alone_holds_what_ended_before_the_last_checkpoint(tmp_path):
    path = tmp_path / "sweepkit.db"
    with open_store(path) as store:
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        for number in range(50):
            store.add_run(sweep, number, {"x": number})
        store.checkpoint()
        shutil.copy(path, tmp_path / "copy.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM runs").fetchone() == (50,)


@pytest.mark.postgres
@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")
def test_a_database_of_a_server_is_copied_by_pg_dump(tmp_path, postgres):
    url = postgres.new_database()
    with open_store(url) as store:
        store.create_sweep("s", text="", seed=0, metric=None, goal=None)
    assert back_up(url, tmp_path / "copy.dump").read_bytes()[:5] == b"PGDMP"
    with pytest.raises(StoreError, match="--to"):
        back_up(url)


def test_the_commands_say_what_they_did_and_exit_by_it(file_sweep):
    folder, _ = file_sweep

    def called(*words):
        done = in_this_process(db.main, [*words, "--output-dir", str(folder), "--json"], folder)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    assert called("check")[0] == 0
    assert called("backup")[1]["done"] == [f"copied to {folder / 'sweepkit.db.backup'}"]
    with contextlib.closing(sqlite3.connect(folder / "sweepkit.db", isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET params = 'x' WHERE number = 1")
    code, said = called("check")
    assert code == 1 and "runs.params" in said["faults"][0]
    assert called("repair")[0] == 0 and called("check")[0] == 0
    assert called("rebuild")[0] == 2  # there is a record
    (folder / "sweepkit.db").unlink()
    assert called("check")[0] == 2
    assert called("rebuild")[0] == 0 and called("check")[0] == 0
    assert called("check", "--to", "x")[0] == 2
