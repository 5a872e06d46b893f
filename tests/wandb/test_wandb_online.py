"""Local sweeps on a W&B server that fails: the runs go on, and what they logged arrives once, sooner or later.

Each test prints what was lost; `pytest -rP` shows the table, which docs/wandb_online.md keeps.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm
from snapshots import words_of
from sweeping import RUNNER, Sweeper
from wandb_backend import API_KEY, WandbBackend
from wandb_faults import Fault

from sweepkit.model.runs import RunState
from sweepkit.store.watch import open_watch

WORDS = words_of(__file__)

SWEEP = """
    name: 스윕
    program: p.py
    method: grid
    metric: {name: loss, goal: minimize}
    parameters:
      x: {values: [%s]}
      opt: {parameters: {lr: {value: 1e-5}}}
    sweepkit: {retries: 0}
"""
# Reports three rows, later ones after the parent of the test let it go on (a file), and ends as its x says.
PROGRAM = """
import json, os, sys, time
x = int(next(a for a in sys.argv if a.startswith("--x=")).split("=")[1])
for i in range(3):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        file.write(json.dumps({"loss": x / (i + 1), "acc": float("nan") if i == 1 else i, "_step": 10 * i}) + "\\n")
    while i == 1 and os.path.exists("hold"):
        time.sleep(0.02)
sys.exit(3 if x == 4 else 0)
"""
WANDB_PROGRAM = """
import os, sys, wandb
run = wandb.init(tags=["mine"])
for i in range(3):
    run.log({"loss": run.config.x / (i + 1), "text": "한국어"})
if run.config.x == 2:
    os.kill(os.getpid(), 9)
"""
STATES = {RunState.FINISHED: "finished", RunState.FAILED: "failed", RunState.STOPPED: "killed"}
EAGER = {
    "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "0.2",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MIN_SECONDS": "0.2",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "0.5",
    "WANDB_X_FILE_STREAM_TIMEOUT_SECONDS": "2",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MIN_SECONDS": "0.2",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "0.5",
}
pytestmark = pytest.mark.slow


class OnlineSweeper(Sweeper):
    """A sweep that knows its W&B server."""

    def __init__(self, folder, backend, values, program=PROGRAM):
        super().__init__(folder)
        (folder / "home").mkdir()
        self.env |= backend.environment(folder / "home") | EAGER
        del self.env["WANDB_MODE"]
        self.write(SWEEP % ", ".join(map(str, values)))
        self.write(program, "p.py")

    def begin(self, *options):
        return self.parallel(
            "--single-parallel", "s.yaml", "--num-workers", "2", "--wandb", "online", "--cold", *options
        )

    def push(self, *options, timeout=100):
        command = [sys.executable, str(RUNNER), "--push", "스윕", "--output-dir", "out", *options]
        return warm.run(command, timeout=timeout, cwd=self.folder, env=self.env)

    def record(self):
        """Return the runs with the rows of all their attempts in order, as (run, [row, …])."""
        record = open_watch(self.folder / "out" / "sweepkit.db")
        try:
            sweep = record.sweep("스윕")
            return [
                (run, [row for n in range(run.attempts) for row in self.logged(record, f"{run.run_id}-{n + 1}")])
                for run in record.runs(sweep.sweep_id)
            ]
        finally:
            record.close()

    def logged(self, record, attempt_id):
        """Return what an attempt logged: its report file (an agent may have died before its end), or the record."""
        file = self.folder / "out" / "sweep_스윕" / "logs" / f"{attempt_id}.reports.jsonl"
        if file.exists():
            return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        run_id = attempt_id.rpartition("-")[0]
        return [dict(report.values) for report in record.reports(run_id, attempt_id=attempt_id)]


def lost(sweeper, backend, names=("loss", "acc")):
    """Return for each run what of it is not at the server as it is in the record, in words; all empty: nothing."""
    found = {}
    for run, rows in sweeper.record():
        there = backend.runs.get(run.run_id)
        if there is None:
            found[run.run_id] = ["everything"]
            continue
        said = [[_number(row.get(name)) for name in names] for row in there.history]
        kept = [[_number(row.get(name)) for name in names] for row in rows]
        missing = [f"rows: {len(said)} of {len(kept)}"] if said != kept else []
        missing += there.conflicts
        missing += [] if [row["_step"] for row in there.history] == list(range(len(rows))) else ["steps"]
        missing += [] if there.state == STATES[run.state] else [f"state {run.state} is {there.state}"]
        missing += [] if there.summary.get("sweepkit", {}).get("reason") == run.reason else ["reason"]
        missing += [] if there.config == dict(run.params) else ["parameters"]
        missing += [] if there.group == "스윕" else ["group"]
        found[run.run_id] = missing
    return found


def _number(value):
    return repr(float(value)) if value is not None else None


def tell(fault, sweeper, backend, hits=None):
    """Print a line of the fault table, and check that nothing was lost."""
    missing = lost(sweeper, backend)
    rows = sum(len(rows) for _, rows in sweeper.record())
    at_server = sum(len(run.history) for run in backend.runs.values())
    resent = sum(run.resent for run in backend.runs.values())
    hit = sum(backend.faults.hits.values()) if hits is None else hits
    total = [item for items in missing.values() for item in items]
    print(f"| {fault} | {hit} | {rows} | {at_server} | {resent} | {total or 'nothing'} |")
    assert not any(missing.values()), missing


TRANSIENT = {
    "answer 429, Retry-After: 1": lambda: Fault(status=429, headers=(("Retry-After", "1"),), times=2),
    "answer 500": lambda: Fault(status=500, times=3),
    "slow answer, within the client's patience": lambda: Fault(delay_s=1.0, times=2),
    "slow answer, beyond it: taken, and sent again": lambda: Fault(delay_s=3.0, times=1),
    "connection dropped before it was taken": lambda: Fault(drop="before", times=2),
    "connection dropped in mid-answer: taken, and sent again": lambda: Fault(drop="after", times=2),
}


def test_faults_that_pass_each_on_a_run_of_its_own(tmp_path):
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, range(1, 7))
        faults = {word: make() for word, make in TRANSIENT.items()}
        backend.faults.one_each(*faults.values())
        out = sweeper.finished(sweeper.begin("--wandb-wait", "60"))
        words = {id(fault): word for word, fault in faults.items()}
        missing = lost(sweeper, backend)
        for run, rows in sweeper.record():
            there, fault = backend.runs[run.run_id], backend.faults.met[run.run_id]
            said = f"{len(rows)} | {len(there.history)} | {there.resent} | {missing[run.run_id] or 'nothing'}"
            print(f"| {words[id(fault)]} | {said} |")
            assert not fault.times, "the fault was met"
        assert not any(missing.values()), missing
        assert set(backend.faults.hits) == {"429", "500", "slow", "drop before", "drop after"}
        assert "--push" not in out
        before = sum(backend.operations.values()), dict(backend.requests)
        done = sweeper.push()
        assert done.returncode == 0 and "6 runs are at" in done.stdout, done.stderr
        assert (sum(backend.operations.values()) - 1, dict(backend.requests)) == before, "only the key was checked"
    failed = next(run for run in backend.runs.values() if run.config["x"] == 4)
    assert (failed.exit_code, failed.tags) == (3, ["failed"]) and failed.notes.startswith("failed: exit code 3")
    assert API_KEY not in out + done.stdout + done.stderr
    kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and API_KEY.encode() in path.read_bytes()]
    assert not kept


@pytest.mark.heavy
def test_a_key_that_expires_while_the_runs_log(tmp_path):
    (tmp_path / "hold").touch()
    with WandbBackend() as backend:
        backend.keys = {API_KEY}
        sweeper = OnlineSweeper(tmp_path, backend, [1, 2])
        process = sweeper.begin("--wandb-wait", "1")
        wait_for(lambda: sum(len(run.history) for run in list(backend.runs.values())) == 4)  # live: both are held
        assert {run.state for run in backend.runs.values()} == {"running"}
        backend.keys = set()
        (tmp_path / "hold").unlink()
        out = sweeper.finished(process)
        assert WORDS["must-accept-the"] in out
        assert re.search(r"send them: \S*python\S* \S*sweep_runner\.py --push 스윕", out)
        refused = sweeper.push()
        assert refused.returncode == 2 and "--push: " in refused.stderr and "API key" in refused.stderr
        backend.keys = {API_KEY}
        assert sweeper.push().returncode == 0
        tell("key expires in mid-stream (401); --push later", sweeper, backend, hits="all")


@pytest.mark.heavy
def test_a_server_that_is_away_from_start_to_end(tmp_path):
    backend = WandbBackend()
    port = backend._server.server_address[1]
    backend._server.server_close()
    sweeper = OnlineSweeper(tmp_path, backend, [1, 4])
    out = sweeper.finished(sweeper.begin("--wandb-wait", "0"))
    assert "must answer" in out and "2 runs of 스윕 not sent yet" in out
    away = sweeper.push()
    assert away.returncode == 2 and "must answer" in away.stderr
    with WandbBackend(port=port) as backend:
        assert sweeper.push().returncode == 0
        tell("server away from start to end; --push later", sweeper, backend, hits="all")


def test_no_key_and_a_wrong_key_are_told_before_anything_is_recorded(tmp_path):
    with WandbBackend() as backend:
        backend.keys = {API_KEY}
        sweeper = OnlineSweeper(tmp_path, backend, [1])
        sweeper.env["WANDB_API_KEY"] = "x" * 40
        wrong = sweeper.finished(sweeper.begin(), rc=2)
        del sweeper.env["WANDB_API_KEY"]
        none = sweeper.finished(sweeper.begin(), rc=2)
    assert "--wandb online: " in wrong and WORDS["must-accept-the-api"] in wrong
    assert WORDS["got-none-in"] in none and "x" * 40 not in wrong
    record = open_watch(tmp_path / "out" / "sweepkit.db")
    assert record.sweeps() == [] and not list((tmp_path / "out").glob("sweep_*"))
    record.close()


def processes_of(pid):
    """Return the ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.heavy
def test_a_runner_and_a_push_that_are_killed_in_the_middle(tmp_path):
    (tmp_path / "hold").touch()
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, [1, 2, 3, 4])
        process = sweeper.begin("--wandb-wait", "1")
        wait_for(lambda: sum(len(run.history) for run in list(backend.runs.values())) == 4)
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        (tmp_path / "hold").unlink()
        done = sweeper.call("--wandb", "offline", "--cold")  # finishes the sweep without W&B
        assert done.returncode == 0, done.stderr
        backend.faults.add(Fault(path="file_stream", delay_s=0.5))
        begun = backend.requests["file_stream"]
        command = [sys.executable, str(RUNNER), "--push", "스윕", "--output-dir", "out"]
        push = subprocess.Popen(command, cwd=tmp_path, env=sweeper.env)
        wait_for(lambda: backend.requests["file_stream"] > begun + 1)
        uploader = processes_of(push.pid)
        for pid in [push.pid, *uploader]:
            os.kill(pid, signal.SIGKILL)
        push.wait()
        backend.faults.clear()
        assert sweeper.push().returncode == 0
        tell("SIGKILL of the runner, then of a push; --push again", sweeper, backend, hits="2")


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_more_runs_than_a_page_arrive_once_though_the_push_is_killed_again_and_again(tmp_path):
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, range(5, 125))
        sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "2", "--wandb", "offline"))
        command = [sys.executable, str(RUNNER), "--push", "스윕", "--output-dir", "out"]
        for wanted in (20, 60):
            backend.faults.add(Fault(path="file_stream", drop="after", times=3))
            push = subprocess.Popen(command, cwd=tmp_path, env=sweeper.env)
            wait_for(lambda wanted=wanted: len(backend.runs) > wanted)
            for pid in [push.pid, *processes_of(push.pid)]:
                os.kill(pid, signal.SIGKILL)
            push.wait()
        backend.faults.clear()
        assert sweeper.push(timeout=400).returncode == 0
        assert len(backend.runs) == 120
        tell("120 runs, the push killed twice; --push again", sweeper, backend, hits="2")


@pytest.mark.heavy
def test_programs_of_wandb_one_of_them_killed(tmp_path):
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, [1, 2], WANDB_PROGRAM)
        del sweeper.env["WANDB_X_SAVE_REQUIREMENTS"]
        sweeper.finished(sweeper.begin("--wandb-wait", "60"))
        missing = lost(sweeper, backend, names=("loss",))
        assert not any(missing.values()), missing
        killed = next(run for run in backend.runs.values() if run.config["x"] == 2)
        assert [row["text"] for row in killed.history] == ["한국어"] * len(killed.history)
        assert killed.tags == ["mine", "failed"] and "SIGKILL" in killed.notes and "requirements.txt" in killed.files


@pytest.mark.heavy
def test_a_run_that_was_deleted_at_the_server_costs_the_others_nothing(tmp_path):
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, [1, 2, 3])
        backend.faults.one_each(Fault(status=404))
        out = sweeper.finished(sweeper.begin("--wandb-wait", "1"))
        assert "1 run of 스윕 not sent yet" in out
        assert sum(bool(items) for items in lost(sweeper, backend).values()) == 1
        backend.faults.clear()
        assert sweeper.push().returncode == 0
        tell("one run is refused for good (404); --push later", sweeper, backend)


@pytest.mark.heavy
@pytest.mark.parametrize("status", [500, 429])
@pytest.mark.parametrize("path", ["UpsertBucket", "RunResumeStatus", "file_stream"])
def test_one_operation_that_fails_for_good_ends_the_waiting(tmp_path, path, status):
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, [1])
        backend.faults.add(Fault(path=path, status=status))
        out = sweeper.finished(sweeper.begin("--wandb-wait", "6"))
        assert "1 run of 스윕 not sent yet" in out
        backend.faults.clear()
        assert sweeper.push().returncode == 0
        tell(f"{path} answers {status} for good; --push later", sweeper, backend)


@pytest.mark.heavy
def test_a_run_that_is_stopped_on_the_page_of_w_and_b_stops_here_and_the_others_go_on(tmp_path):
    (tmp_path / "hold").touch()
    with WandbBackend() as backend:
        sweeper = OnlineSweeper(tmp_path, backend, [1, 2])
        process = sweeper.begin("--wandb-wait", "60")
        wait_for(lambda: sum(len(run.history) for run in list(backend.runs.values())) == 4)
        stopped = next(run for run in backend.runs.values() if run.config["x"] == 2)
        stopped.stopped = True
        wait_for(lambda: stopped.state == "killed", timeout_s=100)
        (tmp_path / "hold").unlink()
        sweeper.finished(process)
        assert not any(lost(sweeper, backend).values())
        states = {run.params["x"]: (run.state, run.reason) for run, _ in sweeper.record()}
        assert states[1][0] is RunState.FINISHED
        assert states[2] == (RunState.STOPPED, "stopped by hand by somebody at W&B")


def wait_for(condition, timeout_s=60):
    """Wait until something holds; fails when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
