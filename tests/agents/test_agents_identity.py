"""Who is surely dead, with real processes."""

import os
import subprocess
import sys

import pytest

from sweepkit.agents.identity import agent_identity, host_name, surely_dead


@pytest.fixture
def child():
    """A process that waits until its standard input closes."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def other(identity, position, value):
    parts = identity.split("|")
    parts[position] = value
    return "|".join(parts)


def test_a_process_that_runs_is_not_dead(child):
    assert not surely_dead(agent_identity())
    assert not surely_dead(agent_identity(child.pid))
    assert agent_identity() == agent_identity() != agent_identity(child.pid)
    assert agent_identity().startswith(f"{host_name()}|")


def test_a_killed_process_is_dead_before_and_after_it_is_reaped(child):
    identity = agent_identity(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # waits for its end and leaves the zombie
    assert surely_dead(identity)
    child.wait()
    assert surely_dead(identity)


def test_a_pid_in_use_again_is_another_process():
    assert surely_dead(other(agent_identity(), 4, "1"))


def test_before_the_last_boot_everything_is_dead():
    assert surely_dead(other(agent_identity(), 1, "another-boot"))


def test_nothing_is_known_of_another_host_or_container(child):
    identity = agent_identity(child.pid)
    child.kill()
    child.wait()
    assert not surely_dead(other(identity, 0, "another-host"))
    assert not surely_dead(other(identity, 2, "pid:[1]"))
