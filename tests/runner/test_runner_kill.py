"""Kill -9 the runner at random moments and start it again: nothing lost, nothing repeated, nothing left over."""

import random
import signal
import subprocess

import psutil
import pytest
from sweeping import PROGRAMS, Sweeper
from waiting import wait_until

RUNS = 40
KILLS = 20
SWEEP = f"""\
program: {PROGRAMS / "journal.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  number: {{values: {list(range(RUNS))}}}
"""


def strays(folder):
    """Return the living processes that belong to a sweep of that folder."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("JOURNAL", "").startswith(str(folder))
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill_at_random_moments(sweeper, dice):
    """Start the runner again and again and kill it; return how often it was killed before it was done."""
    kills = 0
    for _ in range(KILLS):
        with sweeper.start() as process:
            try:
                process.wait(timeout=dice.uniform(0.3, 1.2))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        wait_until(lambda: not strays(sweeper.folder), "all of its processes to end")
    return kills


def check(sweeper, summary, kills):
    """Let the journal judge: every configuration was completed, and none again after its end was known."""
    results = sweeper.results()
    assert sorted(result["sweep_params"]["number"] for result in results) == list(range(RUNS))
    assert {result["state"] for result in results} == {"finished"}
    assert summary["counts"] == {"finished": RUNS}
    assert len(summary["runs"]) == RUNS
    journal = sweeper.journal()
    pids = {}
    for result in results:
        number = result["sweep_params"]["number"]
        ends = [entry for entry in journal if entry[:2] == ("end", number)]
        starts = [entry for entry in journal if entry[:2] == ("start", number)]
        assert ends, f"run {number} never completed"
        assert len(starts) <= result["attempts"]
        # Nothing started once an end was recorded; a process killed between its last line and its exit may be repeated.
        assert max(entry[3] for entry in starts) <= ends[-1][3]
        pids[number] = len(ends)
    assert sum(pids.values()) <= RUNS + kills, f"completed more than once: {pids}"
    for result in results:
        assert result["best_metrics"]["loss"] == result["sweep_params"]["number"] + 0.25


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
def test_forty_runs_survive_twenty_kills(tmp_path, seed):
    sweeper = Sweeper(tmp_path)
    sweeper.write(SWEEP)
    sweeper.env["DURATION"] = "0.12"
    kills = kill_at_random_moments(sweeper, random.Random(seed))
    summary = sweeper.summary()
    assert kills >= 5
    check(sweeper, summary, kills)
    assert not strays(tmp_path)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(300)
@pytest.mark.heavy
def test_forty_runs_survive_twenty_kills_on_postgresql(tmp_path, postgres_database):
    sweeper = Sweeper(tmp_path)
    sweeper.write(SWEEP)
    sweeper.env["DURATION"] = "0.12"
    sweeper.options = ["--storage", postgres_database]
    kills = kill_at_random_moments(sweeper, random.Random(2))
    summary = sweeper.summary()
    assert kills >= 5
    check(sweeper, summary, kills)
