"""A run never runs twice at once and nothing of it outlives it, whoever is frozen or killed: by the programs' journal.

pytest -m heavy tests/chaos/test_chaos_descent.py       all of it, with the lease that users have, too
"""

import itertools
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import sweeping
from sweeping import PROGRAMS

from sweepkit.agents import descent
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

KINDS = {"program", "pool", "daemon", "executed"}
SHORT_LEASE_S, LEASE_S = 6.0, 60.0
SWEEP = f"""\
program: {PROGRAMS / "brood.py"}
method: grid
parameters: {{number: {{values: [NUMBERS]}}}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Sweep:
    """A sweep, of one run mostly, and who takes part in it."""

    def __init__(self, sweeper, storage, lease_s, monkeypatch, *, numbers="0"):
        self.sweeper, self.storage = sweeper, storage
        sweeper.write(SWEEP.replace("NUMBERS", numbers))
        if lease_s != LEASE_S:
            sweeper.env |= {"LEASE_S": str(lease_s), "PYTHONPATH": str(Path(sweeping.CODE_DIR))}
            monkeypatch.setattr(sweeping, "PARALLEL", Path(__file__).parents[1] / "support" / "short_lease.py")

    def agent(self, *options, workers=1):
        return self.sweeper.parallel(*options, "--storage", str(self.storage), "--num-workers", str(workers), "--json")

    def journal(self):
        """Return the whole lines of the journal: attempt, who, pid; one that is being written is left out."""
        path = self.sweeper.folder / "journal"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        lines = [line for line in whole.splitlines() if len(line.split()) == 3]
        return [(name, who, int(pid)) for name, who, pid in (line.split() for line in lines)]

    def await_attempt(self, ordinal, process):
        """Wait until all of an attempt's processes journal; return its id and their pids."""
        deadline = time.monotonic() + 200
        while True:
            mine = {who: (name, pid) for name, who, pid in self.journal() if name.endswith(f"-{ordinal}")}
            if set(mine) == KINDS:
                return next(name for name, _ in mine.values()), [pid for _, pid in mine.values()]
            assert time.monotonic() < deadline and process.poll() is None, (mine, process.communicate(timeout=5))
            time.sleep(0.02)

    def await_runs(self, count, process):
        """Wait until all processes of so many first attempts journal; return their pids by number and kind."""
        names = set()
        while len(names) < count:
            names = {name for name, _, _ in self.journal()}
            assert process.poll() is None
            time.sleep(0.02)
        while not all({who for name, who, _ in self.journal() if name == mine} == KINDS for mine in names):
            assert process.poll() is None
            time.sleep(0.02)
        with open_store(self.storage) as store:
            numbers = {f"{run.run_id}-1": run.number for run in store.runs(store.sweep("s").sweep_id)}
        return {numbers[mine]: {who: pid for name, who, pid in self.journal() if name == mine} for mine in names}

    def servers(self, agent):
        """Return the undertaker and the fork server of an agent."""
        (undertaker,) = psutil.Process(agent.pid).children()
        (server,) = undertaker.children()
        return [undertaker.pid, server.pid]

    def judge(self):
        """Fail unless the second attempt began when all of the first had ended, and nothing is left of either."""
        names = [name for name, _, _ in self.journal()]
        attempts = [name for name, _ in itertools.groupby(names)]
        assert len(attempts) == 2 and attempts[0].endswith("-1") and attempts[1].endswith("-2"), attempts
        left = [pid for name in attempts for pid in descent.family(name, ATTEMPT_ENV)]
        left += [pid for pid in {pid for _, _, pid in self.journal()} if descent.start_time(pid)]
        assert left == []
        with open_store(self.storage) as store:
            (run,) = store.runs(store.sweep("s").sweep_id)
        assert (run.state, run.attempts) == (RunState.FINISHED, 2)


def freeze_and_thaw(sweep, frozen, *options, host=""):
    """Freeze who is named for longer than the lease, let a second agent come, thaw when that has begun.

    With `host` the second agent is on another machine, and touches no process of the first.
    """
    first = sweep.agent("--single-parallel", "s.yaml", *options)
    _, programs = sweep.await_attempt(1, first)
    pids = {"agent": [first.pid], "servers": sweep.servers(first), "programs": programs}
    victims = [pid for who in frozen for pid in pids[who]]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    sweep.sweeper.env |= {"HOST": host}
    second = sweep.agent("--join", "s", *options)
    sweep.await_attempt(2, second)
    for pid in victims:
        descent.send(pid, signal.SIGCONT)
    assert sweep.sweeper.ended(second)["s"]["counts"] == {"finished": 1}
    assert sweep.sweeper.ended(first)["s"]["counts"] == {"finished": 1}
    sweep.judge()


def kill_together(sweep, *options):
    """Kill the agent, its fork server and the undertaker at once; continue the sweep."""
    first = sweep.agent("--single-parallel", "s.yaml", *options)
    sweep.await_attempt(1, first)
    victims = [first.pid, *sweep.servers(first)]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # none of them can do anything between
        for pid in victims:
            os.kill(pid, number)
    first.communicate()
    sweep.sweeper.processes.remove(first)
    second = sweep.agent("--single-parallel", "s.yaml", *options)
    assert sweep.sweeper.ended(second)["s"]["counts"] == {"finished": 1}
    sweep.judge()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def storage(request, tmp_path):
    """Where the record is kept."""
    return tmp_path / "record.db" if request.param == "sqlite" else request.getfixturevalue("postgres_database")


FREEZES = {"agent": ["agent"], "agent+server": ["agent", "servers"], "all": ["agent", "servers", "programs"]}
heavy = pytest.mark.heavy


@pytest.mark.parametrize(
    ("frozen", "cold", "lease_s"),
    [
        pytest.param("agent", (), SHORT_LEASE_S, id="agent"),
        pytest.param("agent+server", (), SHORT_LEASE_S, id="agent+server", marks=heavy),
        pytest.param("all", (), SHORT_LEASE_S, id="all", marks=heavy),
        pytest.param("agent", ("--cold",), SHORT_LEASE_S, id="agent-cold", marks=heavy),
        pytest.param("agent+server", ("--cold",), SHORT_LEASE_S, id="agent+server-cold", marks=heavy),
        pytest.param("all", ("--cold",), SHORT_LEASE_S, id="all-cold", marks=heavy),
        pytest.param("agent", (), LEASE_S, id="agent-60s", marks=heavy),
        pytest.param("agent+server", (), LEASE_S, id="agent+server-60s", marks=heavy),
        pytest.param("all", (), LEASE_S, id="all-60s", marks=heavy),
    ],
)
def test_a_frozen_agents_run_does_not_run_twice_at_once(sweeper, storage, monkeypatch, frozen, cold, lease_s):
    freeze_and_thaw(Sweep(sweeper, storage, lease_s, monkeypatch), FREEZES[frozen], *cold)


@pytest.mark.postgres
@pytest.mark.parametrize("cold", [(), pytest.param(("--cold",), marks=heavy)], ids=["warm", "cold"])
def test_a_frozen_agents_run_does_not_run_on_another_host_as_well(sweeper, postgres_database, monkeypatch, cold):
    sweep = Sweep(sweeper, postgres_database, SHORT_LEASE_S, monkeypatch)
    freeze_and_thaw(sweep, FREEZES["agent"], *cold, host="another")


def test_a_frozen_agent_that_nobody_relieves_loses_nothing(sweeper, monkeypatch):
    sweep = Sweep(sweeper, sweeper.folder / "record.db", SHORT_LEASE_S, monkeypatch)
    sweeper.env["GATES"] = str(sweeper.folder)
    agent = sweep.agent("--single-parallel", "s.yaml")
    _, pids = sweep.await_attempt(1, agent)
    agent.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 60
    while not all(map(descent.is_stopped, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    agent.send_signal(signal.SIGCONT)
    (sweeper.folder / "0").touch()
    assert sweeper.ended(agent)["s"]["counts"] == {"finished": 1}
    assert {name[-2:] for name, _, _ in sweep.journal()} == {"-1"}


@pytest.mark.parametrize("cold", [(), pytest.param(("--cold",), marks=heavy)], ids=["warm", "cold"])
def test_a_run_takes_its_daemons_along_and_not_its_neighbours(sweeper, storage, monkeypatch, cold):
    sweep = Sweep(sweeper, storage, LEASE_S, monkeypatch, numbers="0, 1")
    sweeper.env["GATES"] = str(sweeper.folder)
    agent = sweep.agent("--single-parallel", "s.yaml", *cold, workers=2)
    runs = sweep.await_runs(2, agent)
    assert sorted(runs) == [0, 1]
    (sweeper.folder / "0").touch()
    assert any('"run_ended"' in line for line in agent.stdout)
    # At once: an end is told when nothing is left.
    assert [{who for who, pid in runs[number].items() if descent.start_time(pid)} for number in (0, 1)] == [
        set(),
        KINDS,
    ]
    (sweeper.folder / "1").touch()
    assert sweep.sweeper.ended(agent)["s"]["counts"] == {"finished": 2}
    assert not any(descent.start_time(pid) for pid in runs[1].values())


@pytest.mark.parametrize("cold", [(), pytest.param(("--cold",), marks=heavy)], ids=["warm", "cold"])
def test_nothing_of_a_killed_attempt_lives_when_its_run_begins_again(sweeper, storage, monkeypatch, cold):
    kill_together(Sweep(sweeper, storage, LEASE_S, monkeypatch), *cold)
