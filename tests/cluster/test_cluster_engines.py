"""A fleet of agents on a fake cluster, the keeper of one agent, and processes of this host as a cluster."""

import os
import signal
import subprocess
import sys

import pytest
from fake_engine import FakeEngine

from sweepkit.cluster.engine import AgentState
from sweepkit.cluster.fleet import Fleet
from sweepkit.cluster.processes import ProcessEngine


def test_a_process_that_has_the_number_of_an_agent_is_not_it(tmp_path, job):
    engine = ProcessEngine(tmp_path / "agents")
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "sweepkit-s-0.json").write_text(f'{{"pid": {os.getpid()}, "start": "1"}}')
    assert engine.poll(["sweepkit-s-0"])["sweepkit-s-0"].state is AgentState.GONE
    engine.stop("sweepkit-s-0")  # and we live


# -- a fleet ----------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fleet(job, clock):
    made = Fleet(FakeEngine(), [job(number) for number in range(3)], clock=clock)
    made.place()
    return made


def test_a_fleet_tells_where_its_agents_are(fleet):
    view = fleet.look(over=False)
    assert [view.count(state) for state in AgentState] == [1, 2, 0, 0]
    assert not view.ended and view.placed == ()


def test_an_agent_that_ends_is_placed_again_while_the_sweep_goes_on(fleet, clock):
    fleet.engine.stop("sweepkit-s-1")
    assert fleet.look(over=True).placed == ()
    assert fleet.look(over=False).placed == ()  # the engine may not show yet what it was given
    clock.now += 60
    assert fleet.look(over=False).placed == ("sweepkit-s-1",)
    assert fleet.look(over=False).placed == ()


def test_an_engine_that_does_not_answer_is_no_proof_that_anybody_ended(fleet, clock):
    fleet.engine.silent = True
    clock.now += 600
    view = fleet.look(over=False)
    assert view.placed == () and not view.ended and view.count(AgentState.UNKNOWN) == 3


def test_agents_that_end_again_and_again_are_given_up(fleet, clock):
    for _ in range(40):
        for name in list(fleet.engine.jobs):
            fleet.engine.stop(name)
        clock.now += 60
        view = fleet.look(over=False)
    assert set(view.lost) == {"sweepkit-s-0", "sweepkit-s-1", "sweepkit-s-2"}
    assert len(fleet.engine.submitted) == 3 * 20


def test_what_an_earlier_call_placed_is_found_and_stopped_too(fleet, job):
    fleet.engine.submit(job(7))
    assert fleet.strangers() == {"sweepkit-s-7"}
    fleet.stop(AgentState.PENDING)
    assert fleet.engine.names("") == {"sweepkit-s-0", "sweepkit-s-1"}
    fleet.stop()
    assert fleet.engine.names("") == set()


# -- the keeper -------------------------------------------------------------------------------------------------------

KEEPER = """\
import signal, sys
from sweepkit.cluster import keeper
class Keeper(keeper._Keeper):
    over = False
    def _is_over(self):
        return Keeper.over
    def _rest(self, seconds):
        pass
keeper._SOON_S, keeper._PATIENCE_S = float(sys.argv[1]), 0.5
made = Keeper("s", "record", sys.argv[3:], give_up_after=3, notified_all=sys.argv[2] == "all")
raise SystemExit(made.run())
"""
AGENT = """\
import os, signal, sys
def end(number, _):
    os.write(1, b"asked\\n")  # print may be at work where the signal comes
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("agent", os.getpid(), flush=True)
while True:
    signal.pause()
"""


def keeper(*words, soon_s=30):
    return subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(soon_s), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_keeper_gives_up_on_agents_that_end_at_once():
    process = keeper("one", sys.executable, "-c", "print('agent')")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out.split() == ["agent"] * 3
    assert "given up" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_keeper_that_is_asked_to_end_has_its_agent_end_and_says_that_the_sweep_goes_on(number):
    process = keeper("one", sys.executable, "-c", AGENT)
    assert process.stdout.readline().startswith("agent")
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out.split()) == (75, ["asked"])


def test_where_all_processes_are_told_the_agent_is_told_by_the_keeper_only_if_it_goes_on():
    process = keeper(
        "all",
        sys.executable,
        "-c",
        AGENT.replace("sys.exit(0)", "asked.append(1)\n    len(asked) == 2 and sys.exit(0)").replace(
            "def end", "asked = []\ndef end"
        ),
    )
    agent = int(process.stdout.readline().split()[1])
    process.send_signal(signal.SIGTERM)
    os.kill(agent, signal.SIGTERM)  # as SLURM does
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out.split()) == (75, ["asked", "asked"])  # it went on: after a while it is told again


def test_an_agent_is_told_when_its_keeper_is_killed():
    process = keeper("one", sys.executable, "-c", AGENT)
    process.stdout.readline()
    process.kill()
    assert process.stdout.readline() == "asked\n"
    process.communicate(timeout=60)
