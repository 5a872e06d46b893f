"""The supervisor of W&B agents, with a stand-in for `wandb agent` that writes what the real one writes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from snapshots import words_of
from waiting import wait_until

from sweepkit.agents.descent import start_time
from sweepkit.agents.launcher import carriers
from sweepkit.agents.slots import Slot
from sweepkit.wandb.agent_process import MARKER_ENV, Command, Order, describe_exit, give_up_reason, is_agent, place_of
from sweepkit.wandb.agents import INTERRUPTED, NO_MORE, Limits, WandbAgents

WORDS = words_of(__file__)

# Called as the real one: AGENT -m wandb agent [--count N] PATH. `plan` holds a line for each start: what it does.
STAND_IN = """
import os, pathlib, signal, subprocess, sys, time
words = sys.argv[1:]
count = int(words[words.index("--count") + 1]) if "--count" in words else 99
home = pathlib.Path(os.environ["WANDB_DIR"])
folder = home / "wandb" / "sweep-id1"
folder.mkdir(parents=True, exist_ok=True)
plan = home.parent.parent / "plan"
lines = plan.read_text().splitlines() if plan.exists() else []
plan.write_text("\\n".join(lines[1:]))
what = lines[0] if lines else ""
with open(home.parent.parent / "starts", "a") as file:
    file.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES', '-')} {count} {os.environ['OMP_NUM_THREADS']}\\n")
def run():
    name = f"{os.getpid()}x{time.monotonic_ns()}"
    (folder / f"config-{name}.yaml").write_text("wandb_version: 1")
if what == "die":
    print("ValueError: no such luck", flush=True)
    sys.exit(1)
if what == "give up":
    print("Detected 3 failed runs in the first 60 seconds, shutting down.", flush=True)
    sys.exit(0)
if what == "lose":  # the agent is killed, its run goes on
    run()
    child = "import time, pathlib; time.sleep(0.8); pathlib.Path(%r).touch()" % str(home.parent.parent / "ended")
    subprocess.Popen([sys.executable, "-c", child])
    os.kill(os.getpid(), signal.SIGKILL)
if what == "wait":  # one run that ends at the second Ctrl-C
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    run()
    (home.parent.parent / "waits").touch()
    while len(seen) < 2:
        time.sleep(0.02)
    sys.exit(0)
if what == "stubborn":  # and its run leaves a daemon that forgot whose it is
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={}, start_new_session=True)
    (home.parent.parent / "daemon").write_text(str(daemon.pid))
    run()
    (home.parent.parent / "waits").touch()
    time.sleep(60)
for _ in range(min(count, 3)):
    run()
"""


class Office:
    """Agents on slots of a folder, and what was told."""

    def __init__(self, folder, slots=1, order=Order.END, plan=(), **limits):
        script = folder / "agent.py"
        script.write_text(STAND_IN)
        (folder / "plan").write_text("\n".join(plan))
        self.folder = folder
        self.said = []
        self.asked = 0
        self.answer = order
        env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        self.command = Command(
            agent=(sys.executable, str(script), "-m", "wandb", "agent"),
            sweep="e/p/id1",
            cwd=str(folder),
            env=env,
            folder=folder,
        )
        self.slots = [Slot(index=index, gpus=(str(index),), cpus=3) for index in range(slots)]
        self.agents = WandbAgents(
            self.command, self.slots, limits=Limits(**limits), order=self._order, emit=self.said.append
        )

    def _order(self, since):
        self.asked += 1
        return self.answer if self.asked % 2 == 0 else None  # nobody knows at first

    def run(self, until=lambda: False, limit_s=90.0):
        pause, deadline = threading.Event(), time.monotonic() + limit_s
        while (busy := self.agents.tick()) and not until():
            assert time.monotonic() < deadline, self.said
            pause.wait(0.02)
        return busy

    def await_file(self, name):
        self.run(until=(self.folder / name).exists)
        assert (self.folder / name).exists(), self.said

    def starts(self):
        file = self.folder / "starts"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def words(self):
        return " | ".join(notice.text for notice in self.said)


@pytest.fixture
def office(tmp_path):
    made = []

    def make(*args, **kwargs):
        made.append(Office(tmp_path, *args, **kwargs))
        return made[-1]

    yield make
    for item in made:
        item.agents.kill()
        for agent in item.agents.agent_slots:
            if agent.process.child is not None:
                agent.process.child.wait(20)


def begun(office):
    return sorted(len(office.command.run_ids(slot)) for slot in office.slots)


def test_each_slot_gets_an_agent_that_sees_its_gpu_and_its_threads(office):
    here = office(slots=2)
    assert here.run() is False
    assert sorted(here.starts()) == [["0", "99", "3"], ["1", "99", "3"]]
    assert begun(here) == [3, 3] and here.agents.reasons == [NO_MORE] and not here.agents.given_up
    assert set(here.command.placements(here.slots).values()) == set(here.slots)


@pytest.mark.parametrize(("count", "slots"), [(1, 3), (5, 2), (7, 3)])
def test_a_count_is_made_exactly_whoever_makes_it(office, count, slots):
    here = office(slots=slots, count=count)
    here.run()
    assert sum(begun(here)) == count and here.agents.reasons == [f"--count {count} reached"]


def test_runs_per_worker_holds_for_each_slot(office):
    here = office(slots=2, runs_per_worker=2)
    here.run()
    assert begun(here) == [2, 2] and here.agents.reasons == ["--runs-per-worker 2 reached"]


def test_the_lower_of_two_limits_holds(office):
    here = office(slots=2, runs_per_worker=1, count=5)
    here.run()
    assert begun(here) == [1, 1]


def test_an_agent_that_dies_is_replaced_and_leaves_its_share_to_others(office):
    here = office(plan=["die", "die"], order=Order.WORK, count=3)
    here.run()
    assert begun(here) == [3] and len(here.starts()) >= 3
    assert WORDS["ended-with-exit"] in here.words()


def test_a_slot_whose_agents_only_die_is_given_up_with_the_reason(office):
    here = office(plan=["die"] * 9, order=Order.WORK, restarts=1)
    here.run()
    assert here.agents.given_up and len(here.starts()) == 2
    assert here.agents.reasons == [WORDS["times-in-a"]]


def test_a_dead_agent_is_not_replaced_once_w_and_b_has_ended_the_sweep(office):
    here = office(plan=["die"], order=Order.END)
    here.run()
    assert len(here.starts()) == 1 and here.agents.reasons == [NO_MORE]


def test_an_agent_that_gives_up_because_its_runs_fail_is_not_replaced(office):
    here = office(plan=["give up"], order=Order.WORK)
    here.run()
    assert here.agents.given_up and len(here.starts()) == 1
    assert WORDS["failed-runs-in"] in here.agents.reasons[0]


def test_a_paused_sweep_is_waited_for(office):
    here = office(order=Order.PAUSE)
    here.run(until=lambda: here.asked > 6)
    assert len(here.starts()) == 1
    here.answer = Order.WORK
    here.run(until=lambda: len(here.starts()) == 2)
    here.answer = Order.END
    assert here.run() is False


def test_the_run_of_a_killed_agent_goes_on_and_its_slot_waits_for_it(office):
    here = office(plan=["lose"], order=Order.WORK, count=2)
    here.run(until=lambda: len(here.starts()) == 2)
    assert (here.folder / "ended").exists(), "the second agent was started beside the run of the first"
    here.run()
    assert begun(here) == [2] and WORDS["was-killed-by"] in here.words()


def test_the_first_interrupt_waits_and_the_second_terminates(office):
    here = office(plan=["wait"])
    here.await_file("waits")
    here.agents.interrupt()
    assert here.run(until=lambda: here.agents.agent_slots[0].signals == 1) is True
    here.run(until=lambda: True)
    assert here.agents.agent_slots[0].busy
    here.agents.interrupt()
    assert here.run() is False
    assert here.agents.reasons == [INTERRUPTED] and begun(here) == [1]


@pytest.mark.parametrize("level", [2, 3])
def test_what_does_not_end_is_killed_at_the_third_interrupt_or_after_the_delay(office, level):
    here = office(plan=["stubborn"], kill_delay_s=0.2)
    here.await_file("waits")
    for _ in range(level):
        here.agents.interrupt()
    assert here.run() is False
    assert not carriers(here.command.marker(place_of(here.slots[0])))
    assert start_time(int((here.folder / "daemon").read_text())) == ""


def test_no_agent_is_started_after_the_end_was_asked_for(office):
    here = office(slots=2, stagger_s=60.0)
    here.run(until=lambda: (here.folder / "starts").exists())
    here.agents.end("enough")
    here.run()
    assert len(here.starts()) == 1 and "enough" in here.agents.reasons


def test_agents_of_a_killed_runner_are_taken_over(office, tmp_path):
    first = office(plan=["wait"])
    first.await_file("waits")
    second = office(order=Order.END)
    second.agents.adopt()
    pid = first.agents.agent_slots[0].process.pid
    assert f"the agent of an earlier call (process {pid}) is taken over" in second.words()
    assert is_agent(pid) and not is_agent(os.getpid())
    second.agents.interrupt()
    second.run(until=lambda: second.agents.agent_slots[0].signals == 1)
    second.agents.interrupt()
    assert second.run() is False
    first.agents.agent_slots[0].process.child.wait(20)
    assert len(second.starts()) == 1


def test_a_run_left_by_a_killed_agent_of_a_killed_runner_is_waited_for(office, tmp_path):
    here = office(order=Order.END)
    name, _, value = here.command.marker("agent-0").partition("=")
    assert name == MARKER_ENV
    left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, name: value})
    try:
        # Between fork and exec its environment is still ours.
        wait_until(lambda: carriers(f"{name}={value}"), "the run to be one")
        here.agents.adopt()
        assert WORDS["a-run-of"] in here.words()
        here.run(until=lambda: here.agents.agent_slots[0].checked_at > 0)
        assert not (here.folder / "starts").exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            left.send_signal(signal.SIGKILL)
        left.communicate()
    here.run()
    assert len(here.starts()) == 1


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1, "", "ended with exit code 1"),
        (-15, "x", "was killed by SIGTERM"),
        (-200, "x", "was killed by signal 200"),
        (2, "a\n" + "x" * 500 + "\n\n", "ended with exit code 2: " + "x" * 240),
    ],
)
def test_how_a_process_ended_in_words(code, text, words):
    assert describe_exit(code, text) == words


def test_why_an_agent_gave_up():
    assert give_up_reason("…ERROR - Detected 5 consecutive failed runs, shutting down.\nx").startswith("Detected 5")
    assert give_up_reason("Detected nothing") == ""


def test_two_folders_that_work_on_one_sweep_have_temporary_files_of_their_own(tmp_path):
    here, there = (
        Command(agent=("a",), sweep="e/p/s", cwd="/", env={}, folder=tmp_path / name) for name in ("here", "there")
    )
    assert here.temp_name("agent-0") == here.temp_name("agent-0") != here.temp_name("agent-1")
    assert here.temp_name("agent-0") != there.temp_name("agent-0")
