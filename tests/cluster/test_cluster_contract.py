"""What every engine of a cluster promises: the same tests for a fake, for processes of this host, for Ray and SLURM.

The real clusters are those of CLUSTER_ENGINE ("ray" or "slurm"), within which test_cluster_ray.py and
test_cluster_slurm.py run this file: two nodes with 2 cores each, of one GPU (Ray) or two (SLURM).
"""

import contextlib
import os
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from waiting import wait_until

from sweepkit.agents.descent import start_time
from sweepkit.cluster import processes
from sweepkit.cluster.engine import AgentState, EngineError
from sweepkit.cluster.processes import ProcessEngine

REAL = os.environ.get("CLUSTER_ENGINE", "")
ENGINES = [REAL] if REAL else ["processes", "fake"]
RUN_PROGRAMS = [name for name in ENGINES if name != "fake"]
HAVE_ROOM_FOR_TWO = [name for name in ENGINES if name != "processes"]
MOST_GPUS = {"ray": 1}  # on a node; two elsewhere
HERE = (AgentState.PENDING, AgentState.RUNNING)


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path):
    made = make(request.param, tmp_path)
    yield made
    for name in made.names("sweepkit-s-"):
        made.stop(name)
    wait_until(lambda: not made.names("sweepkit-s-"), "the end of the agents")


def make(name, tmp_path):
    if name == "ray":
        from sweepkit.cluster.on_ray import RayEngine

        return RayEngine()
    if name == "slurm":
        from sweepkit.cluster.slurm import SlurmEngine

        return SlurmEngine()
    return ProcessEngine(tmp_path / "agents") if name == "processes" else FakeEngine()


def state(engine, number=0):
    return engine.poll([f"sweepkit-s-{number}"])[f"sweepkit-s-{number}"].state


def begin(engine, job):
    engine.submit(job)
    wait_until(lambda: engine.poll([job.name])[job.name].state is AgentState.RUNNING, "an agent to begin")


def test_an_agent_is_there_from_its_submission_until_it_is_stopped(engine, job):
    assert state(engine) is AgentState.GONE
    engine.submit(job())
    assert state(engine) in HERE
    assert engine.names("sweepkit-s-") == {"sweepkit-s-0"} and engine.names("sweepkit-t-") == set()
    engine.stop("sweepkit-s-0")
    wait_until(lambda: state(engine) is AgentState.GONE, "its end")
    wait_until(lambda: engine.names("sweepkit-s-") == set(), "its name to be free")


def test_a_name_is_placed_once(engine, job, tmp_path):
    begin(engine, job())
    engine.submit(job(program="open('second', 'w')"))
    assert state(engine) is AgentState.RUNNING and engine.names("") == {"sweepkit-s-0"}
    assert not (tmp_path / "second").exists()


def test_one_that_ended_may_be_placed_again_where_it_was(engine, job):
    """What it had is free again: with all GPUs of a node, twice, there would be no room for another one."""
    for _ in range(2):
        begin(engine, job(gpus=0 if isinstance(engine, ProcessEngine) else MOST_GPUS.get(REAL, 2), cpus=2))
        engine.stop("sweepkit-s-0")
        wait_until(lambda: state(engine) is AgentState.GONE, "its end")


def test_stopping_who_is_not_there_is_fine(engine):
    engine.stop("sweepkit-s-9")


def test_what_can_never_be_placed_is_refused(engine, job, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    most = MOST_GPUS.get(REAL, 2)
    engine.check(job(gpus=most))
    with pytest.raises(EngineError):
        engine.check(job(gpus=most + 1))


@pytest.mark.parametrize("engine", HAVE_ROOM_FOR_TWO, indirect=True)
def test_who_finds_no_room_waits_for_it_and_is_taken_back(engine, job):
    for number in range(4):
        engine.submit(job(number, gpus=1, cpus=2))
    names = [f"sweepkit-s-{number}" for number in range(4)]

    def where():
        found = engine.poll(names)
        return {wanted: {name for name in names if found[name].state is wanted} for wanted in AgentState}

    wait_until(lambda: len(where()[AgentState.RUNNING]) == 2, "two agents to begin")
    there = where()
    assert len(there[AgentState.PENDING]) == 2
    taken_back, left = sorted(there[AgentState.PENDING])
    engine.stop(taken_back)
    wait_until(lambda: taken_back in where()[AgentState.GONE], "the one that waited to be gone")
    engine.stop(sorted(there[AgentState.RUNNING])[0])
    wait_until(lambda: left in where()[AgentState.RUNNING], "the other one to have its place")


@pytest.mark.parametrize("engine", RUN_PROGRAMS, indirect=True)
def test_an_agent_that_ends_by_itself_is_gone_and_what_it_was_given_came_to_it(engine, job):
    program = "import os; print(os.environ['PGPASSWORD'], os.getcwd())"
    asked = job(program=program, env={"PGPASSWORD": "secret"})
    engine.submit(asked)
    wait_until(lambda: state(engine) is AgentState.GONE, "its end")
    wait_until(lambda: asked.log.exists() and asked.log.read_text().split() == ["secret", str(asked.cwd)], "its log")


@pytest.mark.skipif(bool(REAL), reason="about processes of this host")
def test_a_process_that_ended_before_anybody_looked_at_it_is_gone(job, tmp_path, monkeypatch):
    def looked_at_late(pid):
        with contextlib.suppress(ChildProcessError):  # it is buried by then
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return start_time(pid)

    monkeypatch.setattr(processes, "start_time", looked_at_late)
    engine = ProcessEngine(tmp_path / "agents")
    engine.submit(job(program="pass"))
    assert state(engine) is AgentState.GONE and engine.names("") == set()


@pytest.mark.parametrize("engine", RUN_PROGRAMS, indirect=True)
def test_no_process_shows_what_an_agent_was_given(engine, job):
    begin(engine, job(env={"PGPASSWORD": "a-very-secret-word"}))
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert b"a-very-secret-word" not in file.read_bytes(), file
        except OSError:
            continue
