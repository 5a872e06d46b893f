"""`--backend wandb` with the real client (`wandb.sweep`, `wandb agent`, `wandb.Api`) against the loopback server."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest
from snapshots import words_of
from sweeping import Sweeper
from wandb_backend import API_KEY, ENTITY, PROJECT
from wandb_faults import Fault
from wandb_scheduler import SchedulingBackend

from sweepkit.agents.launcher import carriers
from sweepkit.wandb.agent_process import MARKER_ENV, is_service

WORDS = words_of(__file__)

QUICK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support", "quick_wandb")

# Logs through W&B, writes what it saw; at the learning rate KILLER it kills its agent first, once, and goes on; while a
# file `hold` is there its run does not end.
PROGRAM = """
import os, pathlib, signal, sys, time
import wandb
lr = float(next(word.partition("=")[2] for word in sys.argv if word.startswith("--lr=")))
here = pathlib.Path(__file__).parent
with wandb.init(settings=wandb.Settings(x_disable_stats=True, x_disable_machine_info=True, silent=True)) as run:
    with open(here / "seen", "a") as seen:
        seen.write(f"{lr} {os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ.get('OMP_NUM_THREADS')}\\n")
    if os.environ.get("KILLER") == str(lr) and not (here / "killed").exists():
        (here / "killed").touch()
        os.kill(os.getppid(), signal.SIGKILL)
    for step in range(3):
        run.log({"loss": lr * (3 - step)})
    while (here / "hold").exists():
        time.sleep(0.05)
"""
SWEEP = """
program: p.py
method: grid
metric: {name: loss, goal: minimize}
parameters:
  lr: {values: [1e-1, 0.2, 0.3, 0.4]}
  name: {value: "1e5"}
"""


class Led(Sweeper):
    """A folder with a sweep whose runners reach the loopback server."""

    def __init__(self, folder, backend):
        super().__init__(folder)
        (folder / "w").mkdir(exist_ok=True)
        paths = [QUICK, *filter(None, [self.env.get("PYTHONPATH")])]
        self.env |= backend.environment(folder / "w") | {"PYTHONPATH": os.pathsep.join(paths)}
        del self.env["WANDB_DIR"]
        self.write(PROGRAM, "p.py")
        self.write(SWEEP)

    def seen(self):
        file = self.folder / "seen"
        return sorted(line.split() for line in file.read_text().splitlines()) if file.exists() else []

    def await_seen(self, number, process):
        pause, deadline = threading.Event(), time.monotonic() + 90
        while len(self.seen()) < number:
            assert time.monotonic() < deadline and process.poll() is None, process.communicate(timeout=10)
            pause.wait(0.05)

    def carriers(self, *places):
        """Return what belongs to the sweep's agents and still runs, W&B's helper left out."""
        root = self.folder / "out" / "sweep_s"
        places = places or [f"agent-{index}" for index in range(4)]
        found = [pid for place in places for pid in carriers(f"{MARKER_ENV}={root}#{place}")]
        return [pid for pid in found if not is_service(pid)]

    def losses(self):
        return sorted((result["sweep_params"]["lr"], result["best_metrics"].get("loss")) for result in self.results())


@pytest.fixture
def server():
    with SchedulingBackend() as backend:
        yield backend


@pytest.fixture
def led(tmp_path, server):
    made = Led(tmp_path, server)
    yield made
    for process in list(made.processes):
        process.kill()
        process.communicate()
    for pid in made.carriers():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_two_slots_make_a_sweep_at_w_and_b_though_an_agent_is_killed_and_the_results_are_here(led, server):
    led.env |= {"CUDA_VISIBLE_DEVICES": "4,7", "KILLER": "0.2"}
    led.write(SWEEP.replace(", 0.4]", "]") + "sweepkit: {retries: 2}\n")
    (led.folder / "hold").touch()  # so that neither slot has done all before the other begins
    process = led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--cpus-per-run", "3")
    led.await_seen(2, process)
    (led.folder / "hold").unlink()
    said = led.finished(process)
    (sweep,) = server.sweeps.values()
    assert "sweepkit" not in sweep.config and sweep.config["name"] == "s" and sweep.config["program"] == "p.py"
    assert sweep.config["parameters"]["lr"]["values"] == [0.1, 0.2, 0.3]
    assert WORDS["retries-does-not"] in said and WORDS["was-killed-by"] in said
    assert [(float(lr), threads) for lr, _, threads in led.seen()] == [(lr, "3") for lr in (0.1, 0.2, 0.3)]
    assert {gpu for _, gpu, _ in led.seen()} == {"4", "7"}
    assert {run.state for run in server.runs.values()} == {"finished"} and len(server.runs) == 3
    assert led.losses() == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)]
    by_lr = {result["sweep_params"]["lr"]: result for result in led.results()}
    assert {f"gpu {gpu}" for _, gpu, _ in led.seen()} == {result["device"] for result in by_lr.values()}
    folder = led.folder / "out" / "sweep_s"
    assert (folder / "runs.csv").read_text().splitlines()[1].count("0.1") and (folder / "best_config.yaml").exists()
    assert "best: run" in said and "s: complete" in said

    before = {file: file.read_bytes() for file in folder.glob("run_*_result.json")}
    again = led.finished(led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--cpus-per-run", "3"))
    assert "continuing s: 3 of 3" in again and len(server.sweeps) == 1 and len(server.runs) == 3
    assert {file: file.read_bytes() for file in folder.glob("run_*_result.json")} == before
    everything = [file for file in (led.folder / "out").rglob("*") if file.is_file()]
    assert everything and not [file for file in everything if API_KEY.encode() in file.read_bytes()]

    refused = led.call()
    assert refused.returncode == 2 and WORDS["is-recorded-as"] in refused.stderr


@pytest.mark.slow
@pytest.mark.heavy
def test_ctrl_c_waits_for_the_run_and_the_same_command_goes_on_up_to_a_count(led, server):
    (led.folder / "hold").touch()
    process = led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1")
    led.await_seen(1, process)
    process.send_signal(signal.SIGINT)
    line = ""
    while "waiting for the running runs" not in line:
        line = process.stdout.readline()
        assert line, process.communicate()
    assert process.poll() is None
    (led.folder / "hold").unlink()
    assert "interrupted" in led.finished(process, rc=130)
    assert led.losses() == [(0.1, 0.1)] and len(server.runs) == 1
    led.finished(
        led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1", "--count", "2")
    )
    assert led.losses() == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)] and len(server.sweeps) == 1


@pytest.mark.slow
@pytest.mark.heavy
def test_a_second_ctrl_c_ends_the_runs(led, server):
    (led.folder / "hold").touch()
    process = led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1")
    led.await_seen(1, process)
    process.send_signal(signal.SIGINT)
    line = ""
    while "waiting for the running runs" not in line:
        line = process.stdout.readline()
        assert line, process.communicate()
    process.send_signal(signal.SIGINT)
    led.finished(process, rc=130)
    assert len(server.runs) == 1 and not led.carriers()


@pytest.mark.slow
@pytest.mark.heavy
def test_agents_of_a_runner_that_was_killed_go_on_and_are_taken_over(led, server):
    (led.folder / "hold").touch()
    process = led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1")
    led.await_seen(1, process)
    process.kill()
    led.finished(process, rc=-signal.SIGKILL)
    agents = led.carriers()
    assert agents
    again = led.parallel("--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1")
    line = ""
    while "is taken over" not in line:
        line = again.stdout.readline()
        assert line, again.communicate()
    (led.folder / "hold").unlink()
    led.finished(again)
    assert led.losses() == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4)]
    assert len(server.runs) == 4 and len(led.seen()) == 4 and len(server.agents) == 1


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("state", "rc", "words"), [("FINISHED", 0, "ended the sweep"), ("CANCELED", 1, "cancelled at W&B")]
)
def test_a_sweep_of_others_is_joined_by_its_id_and_ends_when_it_is_ended_at_w_and_b(led, server, state, rc, words):
    config = {"program": "p.py", "method": "grid", "name": "theirs", "metric": {"name": "loss", "goal": "minimize"}}
    sweep_id = server.add_sweep({**config, "parameters": {"lr": {"values": [0.5, 0.6, 0.7]}}})
    (led.folder / "hold").touch()
    process = led.parallel("--wandb-sweep", f"{ENTITY}/{PROJECT}/{sweep_id}", "--num-workers", "1")
    led.await_seen(1, process)
    server.sweeps[sweep_id].state = state
    (led.folder / "hold").unlink()
    assert words in led.finished(process, rc=rc)
    (result,) = led.results("theirs")
    assert result["sweep_params"] == {"lr": 0.5} and result["best_metrics"] == {"loss": 0.5}


@pytest.mark.slow
@pytest.mark.heavy
def test_tpe_is_led_by_the_scheduler_of_w_and_b(led, server):
    led.write(SWEEP.replace("grid", "random").replace("{values: [1e-1, 0.2, 0.3, 0.4]}", "{min: 0.1, max: 1}"))
    led.finished(led.parallel("--single-parallel", "s.yaml", "--sampler", "tpe", "--backend", "wandb", "--count", "3"))
    (sweep,) = server.sweeps.values()
    assert sweep.config["scheduler"] == {"engine": "optuna"} and sweep.config["method"] == "custom"
    assert sweep.config["parameters"]["lr"] == {"min": 0.1, "max": 1, "distribution": "uniform"}
    assert len(led.seen()) == 3 and sum(result["state"] == "finished" for result in led.results()) == 3
    assert not led.carriers("scheduler")


@pytest.mark.slow
def test_no_key_and_a_wrong_key_record_nothing(led):
    for key, words in ((None, "got none in WANDB_API_KEY or netrc"), ("short", "must accept the API key, got: ")):
        led.env.pop("WANDB_API_KEY", None)
        led.env |= {"WANDB_API_KEY": key} if key else {}
        done = led.call("--backend", "wandb")
        assert done.returncode == 2 and words in done.stderr and "short" not in done.stderr.replace("40+", "")
        assert not (led.folder / "out").exists()


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("operation", ["HistoryPage", "GetSweep"])
def test_answers_that_cannot_be_read_for_good_end_it_once_nothing_runs_and_the_same_command_goes_on(
    led, server, operation
):
    options = ["--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1"]
    process = led.parallel(*options, "--count", "2", "--wandb-wait", "3")
    led.await_seen(1, process)
    server.faults.add(Fault(path=operation, status=200, body=b"<html>a proxy's own page</html>"))
    assert "the same command continues" in led.finished(process, rc=1, timeout=300)
    server.faults.clear()
    led.finished(led.parallel(*options), timeout=300)
    assert led.losses() == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4)]


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"drop": "before"}], ids=["500", "429", "reset"])
@pytest.mark.parametrize("operation", ["Heartbeat", "UpsertBucket", "file_stream"])
def test_an_operation_that_fails_for_good_ends_it_and_the_same_command_goes_on(led, server, operation, fault):
    options = ["--single-parallel", "s.yaml", "--backend", "wandb", "--num-workers", "1"]
    server.faults.add(Fault(path=operation, **fault))
    said = led.finished(led.parallel(*options, "--wandb-wait", "3"), rc=1, timeout=300)
    assert "the same command continues" in said and WORDS["nothing-more-is"] in said
    assert len(server.runs) <= 1, "no further run was begun"
    told = re.findall(r"wandb (sync .*)", said)
    assert len(told) == (operation == "file_stream")
    server.faults.clear()
    for words in told:
        subprocess.run([sys.executable, "-m", "wandb", *shlex.split(words)], env=led.env, cwd=led.folder, check=True)
    assert "s: complete" in led.finished(led.parallel(*options), timeout=500)
    assert [loss for _, loss in led.losses()][-3:] == [0.2, 0.3, 0.4]
    if operation != "UpsertBucket":  # there the program of the run itself failed
        assert len(led.losses()) == 4
