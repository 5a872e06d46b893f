"""Every way of W&B's client to log, to end and to be preempted, in programs that know nothing of sweepkit: offline,
under a filter that kills whoever opens a socket to anywhere, and with two keys that must turn up nowhere.
"""

import math
import os
import sys

import pytest
import warm
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.tracking.wandb_file import WandbTail

WORDS = words_of(__file__)

NO_NETWORK = PROGRAMS.parent / "no_network.py"
KEYS = {"environment": "5ec2e7" * 6 + "0001", "netrc": "5ec2e7" * 6 + "0002"}
SWEEP = f"""
program: {PROGRAMS}/wandb_ways.py
method: grid
project: summaries
metric: {{name: loss}}
parameters:
  mode: {{values: [log, summary, config, caught, finished_badly, leaves, preempted, marked, runaway]}}
sweepkit:
  early_terminate: {{type: threshold, upper: 1000}}
  kill_delay_s: 5
"""


class Ways:
    """The sweep that was run: its results by mode, and W&B's own files of each."""

    def __init__(self, folder, *options):
        self.sweeper = Sweeper(folder)
        home = folder / "home"
        home.mkdir()
        netrc = home / ".netrc"
        netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {KEYS['netrc']}\n")
        netrc.chmod(0o600)
        (folder / "temporary").mkdir()
        (folder / "elsewhere").mkdir()  # where one of the ways has W&B write
        self.sweeper.env |= {
            "HOME": str(home),
            "NETRC": str(netrc),
            "TMPDIR": str(folder / "temporary"),
            "WANDB_API_KEY": KEYS["environment"],
        }
        self.sweeper.write(SWEEP)
        command = [sys.executable, str(NO_NETWORK), *self.sweeper.command("--json", *options)]
        self.done = warm.run(command, timeout=600, cwd=folder, env=self.sweeper.env)
        assert self.done.returncode == 0, self.done.stdout + self.done.stderr
        self.results = {result["sweep_params"]["mode"]: result for result in self.sweeper.results()}

    def tail(self, mode, ordinal=1):
        run_id = self.results[mode]["run_id"]
        return WandbTail(self.sweeper.folder / "out" / "sweep_s" / "runs" / run_id / f"{run_id}-{ordinal}")

    def rows(self, mode):
        return [(report.step, dict(report.values)) for report in self.tail(mode).read()]

    def said(self, *words):
        """Return state and the given entries of every result."""
        return {mode: tuple(result[word] for word in ("state", *words)) for mode, result in self.results.items()}


@pytest.fixture(scope="module", params=["warm", pytest.param("cold", marks=pytest.mark.heavy)])
def ways(request, tmp_path_factory):
    return Ways(tmp_path_factory.mktemp(request.param), *(["--cold"] if request.param == "cold" else []))


@pytest.mark.slow
def test_each_run_ends_in_the_state_that_it_has_at_wandb(ways):
    left = "exit code 1: 나갑니다"
    assert ways.said("reason") == {
        "log": ("finished", "exit code 0"),
        "summary": ("finished", "exit code 0"),
        "config": ("finished", "exit code 0"),
        "caught": ("failed", WORDS["b-run-was"]),
        "finished_badly": ("failed", WORDS["b-run-was-finished"]),
        "leaves": ("failed", left),
        "preempted": ("finished", "exit code 0"),
        "marked": ("finished", "exit code 0"),
        "runaway": ("stopped", ways.results["runaway"]["reason"]),
    }
    assert "1000" in ways.results["runaway"]["reason"]
    assert {mode: result["attempts"] for mode, result in ways.results.items() if result["attempts"] != 1} == {
        "preempted": 2
    }


def test_what_is_logged_in_any_way_is_read_as_wandb_means_it(ways):
    assert ways.rows("log") == [
        (0, {"loss": 5, "ok": 1}),
        (1, {"deep.er": 1.5, "loss": 4}),
        (7, {"loss": 2, "extra": 1}),  # W&B: a row with a step of its own is open until a later step, or a plain log
        (8, {"loss": 2.5}),
    ]
    log = ways.results["log"]
    assert (log["best_metrics"]["loss"], log["summary"], log["reports"]) == (2, 2.5, 4)
    assert log["summary_metrics"] == {"loss": 2.5, "ok": 1, "deep.er": 1.5, "extra": 1}


def test_a_script_may_have_wandb_write_into_a_folder_of_its_own(ways):
    assert list((ways.sweeper.folder / "elsewhere").rglob("run-*.wandb"))
    assert ways.results["leaves"]["last_metrics"] == {"loss": 9} and ways.results["leaves"]["summary"] == 9


def test_a_summary_is_what_the_script_makes_of_it(ways):
    result = ways.results["summary"]
    assert result["summary_metrics"] == {
        "epoch": 2,
        "loss.min": 1,
        "loss.max": 3,
        "loss.mean": 2,
        "best.epoch": 1,
        "params": 12,
    }
    assert result["best_metrics"]["loss"] == 1 and result["last_metrics"]["loss"] == 2
    assert result["summary"] is None  # W&B keeps no plain value of a metric whose summary is defined


def test_the_sweep_s_parameters_are_locked_and_the_run_is_the_sweep_s(ways):
    tail = ways.tail("config")
    tail.read()
    assert tail.run.config == {"mode": "config", "size": 3, "late": [1, 2]}
    assert (tail.run.run_id, tail.run.project, tail.run.group) == (ways.results["config"]["run_id"], "summaries", "s")
    assert tail.run.name == "이름" == ways.results["config"]["name"]
    assert len(tail.run.sweep_id) == 8  # our own id of the sweep
    assert ways.results["config"]["last_metrics"] == {"loss": 6, "key": 40}  # the environment is passed on as it is


def test_a_preempted_run_is_resumed_and_keeps_what_it_had_logged(ways):
    result = ways.results["preempted"]
    assert result["reports"] == 4 and result["last_metrics"] == {"epoch": 3, "loss": 3}
    assert result["best_metrics"]["loss"] == 0.5  # of the first attempt
    first, second = ways.tail("preempted"), ways.tail("preempted", 2)
    assert [report.values["epoch"] for report in first.read()] == [0, 1] and first.preempting
    assert [report.values["epoch"] for report in second.read()] == [2, 3] and not second.preempting
    assert not ways.tail("marked").preempting and ways.results["marked"]["attempts"] == 1


def test_the_rule_ends_a_run_by_what_it_logs_while_it_runs(ways):
    result = ways.results["runaway"]
    assert result["reports"] >= 5 and result["duration_s"] < 60
    assert math.isclose(result["last_metrics"]["loss"], 10_000)


def test_the_metrics_are_found_again_from_the_result(ways):
    for result in ways.results.values():
        path = ways.sweeper.folder / "out" / "sweep_s" / result["history_file"]
        assert path.suffix == ".wandb" and path.stat().st_size > 0


def test_no_key_is_written_anywhere(ways):
    read = 0
    for folder, _, names in os.walk(ways.sweeper.folder):
        for name in names:
            path = os.path.join(folder, name)
            if name == ".netrc" or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                data = file.read()
            read += 1
            for place, key in KEYS.items():
                assert key.encode() not in data, f"{path} holds the key of the {place}"
    names = {name for _, _, found in os.walk(ways.sweeper.folder) for name in found}
    assert read > 40 and {"sweepkit.db", "cmdlines", "runs.csv"} <= names
    assert any(name.endswith(".wandb") for name in names) and any(name.endswith("debug-core.log") for name in names)
    assert b"wandb-core" in (ways.sweeper.folder / "cmdlines").read_bytes()
    for key in KEYS.values():
        assert key not in ways.done.stdout + ways.done.stderr


@pytest.mark.parametrize("started", ["forked", "executed"])
def test_the_filter_kills_who_opens_a_socket_to_anywhere(started, tmp_path):
    text = "import socket, sys; socket.socketpair(); print('sweepkit' in sys.modules, flush=True); socket.socket()"
    (tmp_path / "p.py").write_text(text)
    program = [str(tmp_path / "p.py")] if started == "forked" else ["-c", text]
    command = [sys.executable, str(NO_NETWORK), sys.executable, *program]
    done = warm.run(command, timeout=60, env={**os.environ, "PYTHONWARNINGS": "default"})
    assert (done.returncode, done.stdout) == (-31, f"{started == 'forked'}\n")  # SIGSYS
