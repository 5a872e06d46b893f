"""A database that takes no writes, and ends that nobody saw: what has ended is recorded, and made once."""

import contextlib
import os
import signal
import sqlite3

import pytest
from pools import Bench
from waiting import wait_until

from sweepkit.agents.kept_end import kept_end
from sweepkit.errors import RecordLostError
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

REPORTS_AND_WAITS = """\
import json, os, sys, time
def report(**values):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        file.write(json.dumps(values) + "\\n")
with open("journal", "a") as journal:
    journal.write("start\\n")
report(loss=2.0)
while not os.path.exists("gate"):
    time.sleep(0.005)
report(loss=1.0)
with open("journal", "a") as journal:
    journal.write("end\\n")
"""


@contextlib.contextmanager
def no_writes(path):
    """Let the record refuse every write to a run, as on a full disk, and answer what is asked."""
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    for table in ("sweeps", "attempts"):
        database.execute(
            f"CREATE TRIGGER {table}_full BEFORE UPDATE ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    try:
        yield
    finally:
        for table in ("sweeps", "attempts"):
            database.execute(f"DROP TRIGGER {table}_full")
        database.close()


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path, lease_s=0.4) as made:
        yield made


def words(bench):
    return (bench.folder / "journal").read_text().split()


def test_a_run_that_ends_while_the_disk_is_full_for_longer_than_a_lease_is_recorded_when_there_is_room(bench):
    running = bench.start(REPORTS_AND_WAITS)
    wait_until(lambda: bench.store.sweep("s") and any(run.history for run in bench.runs()), "the first report")
    with no_writes(bench.storage):
        wait_until(bench.lease_is_over, "the lease to end")
        (bench.folder / "gate").touch()
        wait_until(lambda: words(bench)[-1] == "end", "the run to end")
        (run,) = bench.runs()
        exit_file = bench.paths.exit_file(f"{run.run_id}-1")
        wait_until(lambda: b"status" in exit_file.read_bytes(), "its end to be seen")
    (finish,) = running.join()
    (run,) = bench.runs()
    assert finish.complete and running.error is None
    assert (run.state, run.attempts, run.history) == (RunState.FINISHED, 1, (2.0, 1.0))
    assert words(bench) == ["start", "end"]
    assert len(running.warnings()) == 1, running.warnings()


def test_an_end_that_the_database_does_not_take_before_ctrl_c_is_recorded_by_the_next_call(bench):
    running = bench.start(REPORTS_AND_WAITS)
    wait_until(lambda: bench.store.sweep("s") and any(run.history for run in bench.runs()), "the first report")
    (run,) = bench.runs()
    exit_file = bench.paths.exit_file(f"{run.run_id}-1")
    with no_writes(bench.storage):
        (bench.folder / "gate").touch()
        wait_until(lambda: len(running.warnings()) == 1, "it to say that it waits")
        running.pool.interrupt()
        running.join()
        assert kept_end(exit_file).outcome.state is RunState.FINISHED
    running.launcher.close()
    (finish,) = bench.start(REPORTS_AND_WAITS).join()
    (run,) = bench.runs()
    assert finish.complete
    assert (run.state, run.attempts, run.history) == (RunState.FINISHED, 1, (2.0, 1.0))
    assert run.outcome["device"] == "1 cpu" and run.outcome["exit_code"] == 0
    assert words(bench) == ["start", "end"]


@pytest.mark.slow
@pytest.mark.parametrize("act", ["removed", "replaced", "log removed"])
def test_a_record_that_is_removed_under_a_run_ends_the_sweep_and_loses_nothing(tmp_path, act):
    with Bench(tmp_path) as bench:
        running = bench.start(REPORTS_AND_WAITS, numbers=(0, 1))
        wait_until(lambda: bench.store.sweep("s") and any(run.history for run in bench.runs()), "the first report")
        (first,) = bench.runs()
        removed = bench.storage.with_name("record.db-wal") if act == "log removed" else bench.storage
        removed.unlink()
        if act == "replaced":
            open_store(tmp_path / "another.db").close()
            (tmp_path / "another.db").rename(bench.storage)
        wait_until(lambda: running.warnings(), "it to notice")
        assert len(running.warnings()) == 1, running.warnings()
        (bench.folder / "gate").touch()
        running.join()
        assert isinstance(running.error, RecordLostError)
        exit_file = bench.paths.exit_file(f"{first.run_id}-1")
        assert kept_end(exit_file).outcome.state is RunState.FINISHED
        assert words(bench) == ["start", "end"]  # the second run was not begun
        (copy,) = [file for file in tmp_path.glob("record.db.rescued-*") if running.warnings()[0].count(file.name)]
    for file in tmp_path.glob("record.db*"):
        if file != copy:
            file.unlink()
    copy.rename(tmp_path / "record.db")
    with Bench(tmp_path) as bench:
        running = bench.start(REPORTS_AND_WAITS, numbers=(0, 1))
        running.join()
        runs = bench.runs()
    assert [(run.state, run.attempts, run.history) for run in runs] == [(RunState.FINISHED, 1, (2.0, 1.0))] * 2
    assert words(bench) == ["start", "end"] * 2


def test_a_log_that_is_cut_under_a_run_is_damage_and_is_told(tmp_path):
    with Bench(tmp_path) as bench:
        running = bench.start(REPORTS_AND_WAITS)
        wait_until(lambda: bench.store.sweep("s") and any(run.history for run in bench.runs()), "the first report")
        (first,) = bench.runs()
        os.truncate(bench.storage.with_name("record.db-wal"), 0)
        wait_until(lambda: running.warnings(), "it to notice")
        (bench.folder / "gate").touch()
        running.join()
        assert isinstance(running.error, RecordLostError)
        assert kept_end(bench.paths.exit_file(f"{first.run_id}-1")).outcome.state is RunState.FINISHED


FINISHES_ITS_WANDB_RUN = """\
import os, time, wandb
with open("journal", "a") as journal:
    journal.write("start\\n")
run = wandb.init(mode="offline")
run.log({"loss": 1.0})
run.finish(exit_code=int(os.environ["STATUS"]))
open("finished", "w").close()
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("status", "state"), [(0, RunState.FINISHED), (3, RunState.FAILED)])
def test_the_last_record_of_wandb_is_an_end_where_nobody_saw_the_process_end(tmp_path, monkeypatch, status, state):
    monkeypatch.setenv("STATUS", str(status))
    with Bench(tmp_path) as bench:
        running = bench.start(FINISHES_ITS_WANDB_RUN)
        wait_until((tmp_path / "finished").exists, "its W&B run to be finished")
        os.kill(running.launcher._server.process.pid, signal.SIGKILL)
        running.join()
        (run,) = bench.runs()
    assert (run.state, run.attempts, run.history) == (state, 1, (1.0,))
    assert words(bench) == ["start"]


KILLS_ITS_WANDB_PROCESS_ONCE = """\
import os, psutil, wandb
first = not os.path.exists("journal")
with open("journal", "a") as journal:
    journal.write("start\\n")
run = wandb.init(mode="offline")
if first:
    core = next(child for child in psutil.Process().children() if "wandb-core" in child.name())
    core.kill()
    core.wait()
while first:
    run.log({"loss": 2.0})
run.log({"loss": 1.0})
"""


@pytest.mark.slow
def test_a_run_whose_wandb_process_was_killed_is_tried_again(bench):
    (finish,) = bench.start(KILLS_ITS_WANDB_PROCESS_ONCE).join()
    (run,) = bench.runs()
    assert finish.complete
    assert (run.state, run.attempts, run.failures, run.history) == (RunState.FINISHED, 2, 0, (1.0,))
    first, _ = bench.store.attempts(run.run_id)
    assert first.outcome["failed"]["kind"] == "killed"
