"""What the tormentor found, each as a test of its own."""

import contextlib
import signal
import sqlite3

import psutil
import pytest
from snapshots import words_of
from sweeping import PROGRAMS
from waiting import heard, wait_until

from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

pytestmark = pytest.mark.slow

WORDS = words_of(__file__)

SWEEP = f"""\
program: {PROGRAMS / "journal.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  number: {{values: [0, 1]}}
"""


@contextlib.contextmanager
def statements(path):
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        yield database.execute
    finally:
        database.close()


def test_reports_that_the_record_could_not_take_before_the_run_ended_are_recorded_after_it(sweeper):
    sweeper.write(SWEEP)
    storage = sweeper.folder / "record.db"
    open_store(storage).close()
    with statements(storage) as execute:
        execute("CREATE TRIGGER away BEFORE INSERT ON reports BEGIN SELECT RAISE(ABORT, 'away'); END")
    sweeper.env["DURATION"] = "0"
    process = sweeper.parallel("--single-parallel", "s.yaml", "--storage", str(storage), "--num-workers", "1", "--json")
    heard(process, "the database cannot be written, trying again")
    wait_until(lambda: [line[0] for line in sweeper.journal()] == ["start", "end"], "the first run to end")
    with statements(storage) as execute:
        execute("DROP TRIGGER away")
    assert sweeper.ended(process)["s"]["counts"] == {"finished": 2}
    with open_store(storage) as store:
        runs = store.runs(store.sweep("s").sweep_id)
    assert [run.history for run in runs] == [tuple(number + 1 / (step + 1) for step in range(4)) for number in (0, 1)]


def test_a_run_that_ended_before_the_signal_to_end_it_is_finished_and_not_made_again(sweeper):
    sweeper.write(SWEEP)
    sweeper.env |= {"DURATION": "0", "GATES": str(sweeper.folder)}
    storage = sweeper.folder / "record.db"
    options = ["--single-parallel", "s.yaml", "--storage", str(storage), "--num-workers", "1", "--json"]
    process = sweeper.parallel(*options)
    heard(process, '"run_started"')
    wait_until(sweeper.journal, "it to write its first line")
    with statements(storage) as execute:
        execute("BEGIN IMMEDIATE")  # so that the agent waits with the run's next report while all of this happens
        pid = sweeper.journal()[0][2]
        (sweeper.folder / "0").touch()
        wait_until(lambda: not psutil.pid_exists(pid), "the first run to end")
        process.send_signal(signal.SIGTERM)
        heard(process, "ending the running runs")
        execute("ROLLBACK")
    counts = sweeper.ended(process)["s"]["counts"]
    assert counts["finished"] == 1, counts
    (sweeper.folder / "1").touch()
    sweeper.ended(sweeper.parallel(*options))
    assert [number for word, number, _, _ in sweeper.journal() if word == "end"] == [0, 1]


@pytest.mark.parametrize("killed", [False, True], ids=["its end is told late", "its end is found later"])
def test_a_run_that_had_ended_unseen_when_it_was_asked_to_end_is_not_made_again(sweeper, killed):
    """The soak found it: a process that nothing could have told to save has ended by itself if it ended well."""
    sweeper.write(SWEEP)
    sweeper.env |= {"DURATION": "0", "GATES": str(sweeper.folder)}
    options = ["--single-parallel", "s.yaml", "--num-workers", "1", "--json"]
    process = sweeper.parallel(*options)
    heard(process, '"run_started"')
    wait_until(sweeper.journal, "it to write its first line")
    run = psutil.Process(sweeper.journal()[0][2])
    server = run.parent()
    server.suspend()
    (sweeper.folder / "0").touch()
    wait_until(lambda: run.status() == psutil.STATUS_ZOMBIE, "the first run to end unseen")
    process.send_signal(signal.SIGTERM)
    heard(process, "ending the running runs")
    wait_until(lambda: list(sweeper.folder.rglob("*.preempt")), "the run to be asked to end")
    if killed:
        process.kill()
        server.kill()
        process.wait()
    else:
        server.resume()
        assert sweeper.ended(process)["s"]["counts"] == {"finished": 1}
    (sweeper.folder / "1").touch()
    assert sweeper.ended(sweeper.parallel(*options))["s"]["counts"] == {"finished": 2}
    assert [number for word, number, _, _ in sweeper.journal() if word == "end"] == [0, 1]


def test_a_claim_whose_answer_was_lost_is_taken_up_by_the_same_agent(tmp_path):
    from types import SimpleNamespace

    from sweepkit.agents.identity import agent_identity, host_name
    from sweepkit.agents.reclaim import Reclaimer

    me = agent_identity()
    with open_store(tmp_path / "record.db") as store:
        sweep, _ = store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        claims = [
            store.add_and_claim(sweep.sweep_id, number, {}, agent_id=me, host=host_name(), lease_s=60)
            for number in (0, 1)
        ]
        known, unheard = claims
        said = []
        context = SimpleNamespace(
            store=store,
            sweep=sweep,
            host=host_name(),
            identity=me,
            held={known.attempt_id: known},
            runs=SimpleNamespace(most_running=2),
            settings=SimpleNamespace(lease_s=60.0),
            place=SimpleNamespace(paths=SimpleNamespace(exit_file=lambda attempt: tmp_path / attempt)),
            emit=said.append,
        )
        Reclaimer(context, recover=lambda attempt, ended: None).reclaim()
        assert [(run.number, run.state) for run in store.runs(sweep.sweep_id)] == [
            (0, RunState.RUNNING),
            (1, RunState.PENDING),
        ]
    assert WORDS["the-database's-answer"] in said[0].text


def test_a_run_that_fails_on_a_full_disk_is_not_given_up_for_want_of_a_log(sweeper, disk):
    if disk is None:
        pytest.skip("no small disk can be mounted here: a full one is NOT tested")
    sweeper.write(
        f"""\
        import pathlib, sys
        filler = pathlib.Path({str(disk)!r}) / "filler"
        if not pathlib.Path("tried").exists():
            pathlib.Path("tried").touch()
            with open(filler, "wb", buffering=0) as file:
                while file.write(bytes(4096)): pass
        """,
        "fills.py",
    )
    sweeper.write("program: fills.py\nmethod: grid\nparameters: {number: {values: [0]}}\n")
    options = ["--single-parallel", "s.yaml", "--output-dir", str(disk / "out"), "--num-workers", "1", "--json"]
    storage = ["--storage", str(sweeper.folder / "record.db")]
    done = sweeper.parallel(*options, *storage)
    heard(done, "the disk is full")
    (disk / "filler").unlink()
    done.communicate(timeout=60)
    with open_store(sweeper.folder / "record.db") as store:
        (run,) = store.runs(store.sweep("s").sweep_id)
    assert run.state is RunState.PENDING
    assert sweeper.ended(sweeper.parallel(*options, *storage))["s"]["counts"] == {"finished": 1}


def test_a_run_that_failed_on_a_full_disk_is_tried_again_though_its_agent_hears_of_it_when_there_is_room(sweeper, disk):
    if disk is None:
        pytest.skip("no small disk can be mounted here: a full one is NOT tested")
    sweeper.write(
        f"""\
        import os, pathlib
        tried = pathlib.Path("tried")
        if not tried.exists():
            tried.write_text(str(os.getpid()))
            with open(pathlib.Path({str(disk)!r}) / "filler", "wb", buffering=0) as file:
                while file.write(bytes(4096)): pass
        """,
        "fills.py",
    )
    sweeper.write("program: fills.py\nmethod: grid\nparameters: {number: {values: [0]}}\n")
    storage = sweeper.folder / "record.db"
    open_store(storage).close()
    options = ["--single-parallel", "s.yaml", "--output-dir", str(disk / "out"), "--storage", str(storage)]
    options += ["--num-workers", "1", "--json"]
    away = "CREATE TRIGGER {0} BEFORE UPDATE OF pid ON attempts BEGIN SELECT RAISE(ABORT, '{0}'); END"
    with statements(storage) as execute:
        execute(away.format("busy"))  # the agent is kept from hearing of the run's end
        process = sweeper.parallel(*options)
        heard(process, "busy")
        tried = sweeper.folder / "tried"
        # The agent is heard as soon as the process exists, which may be before that has run a line.
        wait_until(lambda: tried.exists() and tried.read_text(), "the program to begin")
        pid = int(tried.read_text())
        wait_until(lambda: not psutil.pid_exists(pid), "the run to fail")
        execute("DROP TRIGGER busy")
        execute(away.format("full"))
        heard(process, "full")
        (disk / "filler").unlink()
        execute("DROP TRIGGER full")
    process.communicate(timeout=60)
    with open_store(storage) as store:
        (run,) = store.runs(store.sweep("s").sweep_id)
    assert (run.state, run.reason) == (RunState.PENDING, "")
    assert sweeper.ended(sweeper.parallel(*options))["s"]["counts"] == {"finished": 1}
