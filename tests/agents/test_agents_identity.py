"""Whether an agent still lives, told from its identity alone."""

import os
import subprocess
import sys

from sweepkit.agents.identity import agent_identity, surely_dead


def test_this_process_lives():
    assert not surely_dead(agent_identity())


def test_a_child_is_dead_once_it_has_ended_even_before_it_is_waited_for():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = agent_identity(child.pid)
        assert not surely_dead(identity)
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie, not yet reaped
        assert surely_dead(identity)
    assert surely_dead(identity)


def test_a_process_that_got_the_number_of_a_dead_one_is_another():
    host, boot, namespace, pid, start = agent_identity().split("|")
    assert surely_dead("|".join([host, boot, namespace, pid, str(int(start) + 1)]))


def test_nothing_is_known_of_other_hosts_and_containers_and_a_reboot_kills():
    host, boot, namespace, pid, _ = agent_identity().split("|")
    assert not surely_dead("|".join(["elsewhere", boot, namespace, pid, "0"]))
    assert not surely_dead("|".join([host, boot, "pid:[1]", pid, "0"]))
    assert surely_dead("|".join([host, "another-boot", namespace, pid, "0"]))
