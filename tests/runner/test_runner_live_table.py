"""runs.csv while a sweep runs: one writer, not too often."""

import threading

from waiting import WAIT_S, wait_until

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.runner.live_table import LiveTable
from sweepkit.sweep_config.read import from_config


def made(tmp_path, *, every_s):
    spec = from_config(
        {
            "program": "p.py",
            "method": "grid",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"values": [1]}},
        }
    )
    paths = SweepPaths(tmp_path, "s")
    paths.root.mkdir(parents=True)
    run = RunRecord(run_id="r", sweep_id="s", number=0, params={"x": 1}, state=RunState.FINISHED, history=(0.5,))
    readers = []

    def read():
        readers.append(threading.current_thread().name)
        return [run]

    return LiveTable(paths, spec, read, every_s=every_s), paths, readers


def test_many_ends_at_once_give_one_table_by_one_thread(tmp_path):
    table, paths, readers = made(tmp_path, every_s=WAIT_S)  # however late the last of them is, it is within that
    table.start()
    workers = [threading.Thread(target=table.touch) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wait_until(paths.table.exists, "the table")
    table.close()
    assert readers == [f"table-{paths.root.name}"]
    assert "0.5" in paths.table.read_text()


def test_a_table_that_another_process_has_just_written_is_not_written_again(tmp_path):
    table, paths, readers = made(tmp_path, every_s=0.05)
    for _ in range(3):
        paths.table.write_text("theirs")
        assert table._is_fresh(WAIT_S) and not table._is_fresh(-1.0)
    assert not readers


def test_a_table_that_is_closed_before_a_run_ended_writes_nothing(tmp_path):
    table, paths, readers = made(tmp_path, every_s=0.01)
    table.start()
    table.close()
    assert not readers and not paths.table.exists()
