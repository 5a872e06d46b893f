"""W&B's own processes that wait for a server that fails for good: found by the logs of its client."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from sweepkit.wandb.agent_process import Command, PlacedProcess
from sweepkit.wandb.agent_silence import (
    SilenceWatch,
    _run_folder,
    _start_fault,
    _stuck_run,
    _unanswered,
    unsent_folder,
)

RETRY = {"msg": "api: retrying HTTP error", "status": 500, "body": "status 500"}
FINE = {"msg": "api: all is well"}
PID = 4_200_000  # beyond what Linux gives


def logged(file, *entries, pid=PID):
    """Write a log of W&B's helper: each entry so many seconds ago."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"msg": "main: starting server", "pid": pid}]
    for ago_s, entry in entries:
        at = datetime.fromtimestamp(time.time() - ago_s, UTC).isoformat(timespec="microseconds")
        lines.append({"time": at.replace("+00:00", "999Z"), **entry})
    file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([(60, RETRY), (40, RETRY), (2, RETRY)], "HTTP 500: status 500"),
        ([(60, RETRY), (2, RETRY), (1, {"msg": "connection: cancelling request"})], "HTTP 500: status 500"),
        ([(4, RETRY), (2, RETRY)], ""),  # not for long
        ([(900, RETRY), (2, RETRY)], ""),  # another fault, long ago
        ([(60, RETRY), (40, FINE), (2, RETRY)], ""),
        ([(60, RETRY), (2, FINE)], ""),
        ([], ""),
    ],
)
def test_a_question_that_fails_again_and_again_is_told(tmp_path, entries, fault):
    logged(tmp_path / "wandb" / "logs" / "core-debug-1.log", *entries)
    logged(tmp_path / "wandb" / "logs" / "core-debug-2.log", (60, RETRY), (1, RETRY), pid=PID + 1)
    assert _unanswered(PID, {"WANDB_CACHE_DIR": str(tmp_path)}, for_s=10.0) == fault


def command(folder):
    return Command(agent=(), sweep="e/p/s", cwd=".", env={"WANDB_CACHE_DIR": str(folder)}, folder=folder)


def ended_run(made, run_id, *entries, ended=True):
    """Leave what W&B's client leaves of a run; return its folder."""
    place = made.wandb_dir("agent-0") / "wandb"
    (place / "sweep-s").mkdir(parents=True, exist_ok=True)
    (place / "sweep-s" / f"config-{run_id}.yaml").touch()
    folder = place / f"run-20260101_000000-{run_id}"
    logged(folder / "logs" / "debug-internal.log", *entries)
    (folder / "logs" / "debug.log").write_text("finishing run e/p/r\n" if ended else "run started\n")
    return folder


def test_a_run_that_has_ended_and_sends_in_vain_is_stuck_and_no_other(tmp_path):
    made = command(tmp_path)
    assert _stuck_run(made, "agent-0", (1,), for_s=0.0) is None
    ended_run(made, "aaaa", (9, RETRY), (1, RETRY), ended=False)
    assert _stuck_run(made, "agent-0", (1,), for_s=0.0) is None
    folder = ended_run(made, "aaaa", (9, RETRY), (1, RETRY))
    found = _stuck_run(made, "agent-0", (1,), for_s=0.0)
    assert (found.run_id, found.folder, found.pids, found.fault) == ("aaaa", folder, (1,), "HTTP 500: status 500")
    assert _stuck_run(made, "agent-0", (1,), for_s=600.0) is None
    later = made.wandb_dir("agent-0") / "wandb" / "sweep-s" / "config-bbbb.yaml"  # the next run has begun
    later.touch()
    os.utime(later, (time.time() + 5, time.time() + 5))
    assert _stuck_run(made, "agent-0", (1,), for_s=0.0) is None
    assert _run_folder(made, "aaaa") == folder and _run_folder(made, "bbbb") is None


def test_a_run_that_the_server_does_not_let_begin_is_told_while_it_waits(tmp_path):
    made = command(tmp_path)
    folder = ended_run(made, "aaaa", (9, RETRY), (1, RETRY), ended=False)
    log = folder / "logs" / "debug.log"
    assert _start_fault(made, "agent-0", for_s=0.0) == "" and unsent_folder(made, "aaaa") == folder
    log.write_text("communicating run to backend with 90.0 second timeout\n")
    assert _start_fault(made, "agent-0", for_s=5.0) == "HTTP 500: status 500"
    assert _start_fault(made, "agent-0", for_s=60.0) == "" and unsent_folder(made, "aaaa") is None
    log.write_text("communicating run to backend with 90.0 second timeout\nrun started, returning control\n")
    assert _start_fault(made, "agent-0", for_s=5.0) == ""


@pytest.fixture
def idle_agent(tmp_path):
    """An agent that lives and has no run."""
    process = PlacedProcess(command(tmp_path), "agent-0")
    process.child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.pid = process.child.pid
    yield process
    process.child.communicate()


def test_an_idle_agent_is_at_fault_by_its_log_alone(tmp_path, idle_agent):
    watch = SilenceWatch(idle_agent.command, [idle_agent], patience_s=0.0)
    log = tmp_path / "wandb" / "logs" / "core-debug-1.log"
    logged(log, (9, FINE), pid=idle_agent.pid)
    assert not watch.look(work_wanted=True)
    logged(log, (9, RETRY), (1, RETRY), pid=idle_agent.pid)
    assert not watch.look(work_wanted=True), "it has just looked"
    watch = SilenceWatch(idle_agent.command, [idle_agent], patience_s=0.0)
    assert watch.look(work_wanted=False)
    assert (watch.idle_fault, watch.stuck) == ("HTTP 500: status 500", [])
