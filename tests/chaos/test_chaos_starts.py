"""Many agents at once on one record: first starts, and short runs that all want to write.

SWEEPKIT_MANY=1 makes it 20 first starts instead of 5, and 1,000 runs instead of 48.
"""

import os
from collections import Counter

import pytest
from sweeping import PROGRAMS
from waiting import wait_until

from sweepkit.store.open import open_store

MANY = os.environ.get("SWEEPKIT_MANY") == "1"
STARTS = 20 if MANY else 5
EMPTY_RUNS = 1000 if MANY else 48
SWEEP = """\
program: {program}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  number: {{values: {numbers}}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 if MANY else 240)]


def write(sweeper, runs, name):
    sweeper.write(SWEEP.format(program=PROGRAMS / "journal.py", numbers=list(range(runs))), f"{name}.yaml")
    sweeper.env["DURATION"] = "0"


def exactly_once(sweeper, runs):
    journal = Counter((word, number) for word, number, _, _ in sweeper.journal())
    assert journal == {(word, number): 1 for word in ("start", "end") for number in range(runs)}


def first_starts(sweeper, storages):
    """Start two agents at once on each of these new records."""
    for turn, storage in enumerate(storages):
        write(sweeper, 4, f"s{turn}")
        options = ["--single-parallel", f"s{turn}.yaml", "--storage", str(storage), "--num-workers", "2", "--json"]
        both = [sweeper.parallel(*options) for _ in range(2)]
        for process in both:
            assert sweeper.ended(process)[f"s{turn}"]["counts"] == {"finished": 4}
        exactly_once(sweeper, 4)
        (sweeper.folder / "journal").unlink()


@pytest.mark.heavy
def test_two_first_starts_at_once_on_a_fresh_file_both_work_every_time(sweeper):
    first_starts(sweeper, [sweeper.folder / f"{turn}.db" for turn in range(STARTS)])


@pytest.mark.postgres
@pytest.mark.heavy
def test_two_first_starts_at_once_on_a_fresh_database_both_work_every_time(sweeper, postgres):
    first_starts(sweeper, [postgres.new_database() for _ in range(STARTS)])


def test_eight_agents_share_one_file_and_it_is_never_locked(sweeper):
    write(sweeper, EMPTY_RUNS, "s")
    storage = sweeper.folder / "record.db"
    options = ["--single-parallel", "s.yaml", "--storage", str(storage), "--num-workers", "1"]
    sweeper.env["GATES"] = str(sweeper.folder)
    agents = [sweeper.parallel(*options) for _ in range(8)]
    wait_until(lambda: len(sweeper.journal()) == len(agents), "each agent to be at work")
    for number in range(EMPTY_RUNS):
        (sweeper.folder / str(number)).touch()
    outputs = [sweeper.finished(agent, timeout=600) for agent in agents]
    assert not [output for output in outputs if "locked" in output or "trying again" in output]
    exactly_once(sweeper, EMPTY_RUNS)
    with open_store(storage) as store:
        runs = store.runs(store.sweep("s").sweep_id)
        assert len(runs) == EMPTY_RUNS and {run.attempts for run in runs} == {1}
        at_work = {attempt.agent_id for run in runs for attempt in store.attempts(run.run_id)}
    assert len(at_work) == len(agents)
