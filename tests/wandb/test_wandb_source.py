"""The monitor and the analysis scripts in front of a W&B server, as a user starts them."""

import json
import os
import subprocess
import sys
import types
from dataclasses import replace

import pytest
import warm
from snapshots import words_of
from wandb_backend import API_KEY, ENTITY, PROJECT, BackendRun, WandbBackend

from sweepkit.analysis.progress import Watched, stalled
from sweepkit.errors import DataError
from sweepkit.model.records import RunRecord, metrics_of
from sweepkit.model.runs import RunState
from sweepkit.monitor.monitor import polite_s
from sweepkit.paths import CODE_DIR
from sweepkit.sweep_config.sweep import Method
from sweepkit.wandb import reader
from sweepkit.wandb.source import check_metric, is_wandb, spec_of

WORDS = words_of(__file__)

ANALYSIS = CODE_DIR.parent / "analysis"
CONFIG = {
    "method": "grid",
    "name": "요약",
    "program": "train.py",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"x": {"values": [1, 2, 3, 4, 5]}, "model": {"values": ["kobart", "t5"]}},
    "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2},
}
BEGAN = 1_767_225_600.0  # 2026-01-01T00:00:00Z, the backend's only time


def add_run(backend, sweep_id, name, state, values, **params):
    rows = [{"loss": v, "_step": n, "_timestamp": BEGAN + 10 * n} for n, v in enumerate(values)]
    summary = {**rows[-1], "_runtime": 10.0 * len(values)} if rows else {}
    run = BackendRun(name, PROJECT, sweep_id, state=state, config=params, history=rows, summary=summary)
    backend.runs[name] = run
    return run


def sweep_of(backend):
    sweep_id = backend.add_sweep(CONFIG)
    backend.sweeps[sweep_id].state = "RUNNING"
    add_run(backend, sweep_id, "run-a", "finished", [3.0, 1.0], x=1, model="kobart")
    add_run(backend, sweep_id, "run-b", "failed", [9.0, 9.5], x=2, model="kobart")
    add_run(backend, sweep_id, "run-c", "running", [4.0, 2.0, 2.5], x=3, model="kobart")
    add_run(backend, sweep_id, "run-d", "killed", [8.0, 7.0], x=4, model="kobart")
    return sweep_id, f"{ENTITY}/{PROJECT}/{sweep_id}"


class Client:
    """A folder in which the scripts are started, in front of a backend."""

    def __init__(self, backend, folder):
        self.folder = folder
        (folder / "wandb-files").mkdir()
        # Without retries of the client's own: the monitor's are meant.
        patience = {"WANDB_X_GRAPHQL_RETRY_MAX": "0", "PYTHONWARNINGS": "default"}
        self.env = os.environ | backend.environment(folder / "wandb-files") | patience

    def start(self, script, *options):
        command = [sys.executable, str(script), *options]
        return warm.WarmPopen(
            command, env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, script, *options):
        out, err = (process := self.start(script, *options)).communicate(timeout=100)
        assert API_KEY not in out + err and "Traceback" not in err
        return process.returncode, out, err


@pytest.mark.slow
def test_the_monitor_shows_a_sweep_waits_out_a_server_in_trouble_and_ends_with_the_sweep(tmp_path):
    with WandbBackend() as backend:
        sweep_id, path = sweep_of(backend)
        client = Client(backend, tmp_path)
        page = f"{backend.url}/{ENTITY}/{PROJECT}/sweeps/{sweep_id}"
        script, options = CODE_DIR / "monitor_sweep.py", ("--json", "--until", "done", "--refresh-interval", "2")
        with client.start(script, "--wandb", page, *options) as monitor:
            (sweep,) = json.loads(monitor.stdout.readline())["sweeps"]
            assert (sweep["name"], sweep["total"], sweep["done"]) == ("요약", 10, 3)
            assert sweep["best"]["run_id"] == "run-a" and sweep["best"]["value"] == 1.0
            assert (
                sweep["running"][0]["margin"] == 5.0
            )  # hyperband at report 2: 2.0 against 7.0, the third best of four
            assert [run["run_id"] for run in sweep["failures"]] == ["run-b"]
            real = backend.graphql
            backend.graphql = lambda query, _: {"errors": [{"message": "out of order"}]}
            pictures = (json.loads(line) for line in monitor.stdout)
            troubled = next(item for item in pictures if any("trying again" in note for note in item["notes"]))
            assert troubled["sweeps"][0]["best"]["run_id"] == "run-a"  # what was known stays shown
            assert any("out of order" in note for note in troubled["notes"])
            add_run(backend, sweep_id, "run-c", "finished", [4.0, 2.0, 2.5, 0.5], x=3, model="kobart")
            backend.sweeps[sweep_id].state = "FINISHED"
            backend.graphql = real
            last = [*pictures][-1]
            assert monitor.wait(timeout=60) == 0 and monitor.stderr.read() == ""
            assert (last["sweeps"][0]["state"], last["sweeps"][0]["best"]["value"], last["notes"]) == (
                "finished",
                0.5,
                [],
            )
    assert [item.name for item in tmp_path.iterdir()] == ["wandb-files"]


@pytest.mark.slow
def test_the_analysis_scripts_read_a_sweep_at_wandb(tmp_path):
    with WandbBackend() as backend:
        sweep_id = backend.add_sweep(CONFIG)
        for n in range(6):
            for model, shift in (("kobart", 0.0), ("t5", 2.0)):
                values = [shift + 3 + n / 10, shift + 1 + n / 10]
                add_run(backend, sweep_id, f"{model}{n}", "finished", values, x=n % 5 + 1, model=model)
        add_run(backend, sweep_id, "lost", "crashed", [], x=1, model="t5")
        source = f"wandb:{ENTITY}/{PROJECT}/{sweep_id}"
        client = Client(backend, tmp_path)
        options = ("--json", "--estimator", "eps_squared", "--output-dir", "out")
        code, out, err = client.call(ANALYSIS / "parameter_importance.py", source, *options)
        assert code == 0 and WORDS["runs-that-ended"] in err
        shares = {share["name"]: share["value"] for share in json.loads(out)["shares"]}
        assert shares["model"] > shares["x"]
        assert (tmp_path / "out" / f"analysis_요약-{sweep_id}" / "importance.json").exists()
        code, out, _ = client.call(ANALYSIS / "seed_ttest.py", "--sweep", source, "--by", "model", "--json")
        assert code == 0 and json.loads(out)["metric"] == "loss"
        code, _, err = client.call(ANALYSIS / "parameter_importance.py", source, "--storage", "x.db")
        assert code == 2 and WORDS["storage-is-for"] in err


def fetched(config, metric="loss", expected=None):
    there = types.SimpleNamespace(config=config, name="이름", state="RUNNING", expected_run_count=expected, _attrs={})
    return reader.sweep_of("e/p/s", there, metric=metric, goal="minimize")


def test_a_yaml_that_only_wandb_takes_is_read_parameter_by_parameter():
    spec, refused = spec_of(fetched(CONFIG))
    assert refused == "" and (spec.name, spec.method) == ("이름", Method.GRID)
    parameters = {
        "학습률": {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
        "모델": {"parameters": {"층": {"values": [1, 2]}, "1st": {"min": 0, "max": 9}}},
        "odd": {"min": 5, "max": 1},
    }
    spec, refused = spec_of(fetched({"method": "newest", "imports": 1, "parameters": parameters}))
    assert spec.method is Method.CUSTOM and refused != ""
    assert [(p.path, p.distribution.bounds()) for p in spec.space.parameters if not p.distribution.values] == [
        (("모델", "1st"), (0, 9)),
        (("학습률",), (1e-5, 0.1)),
    ]
    assert [p.path for p in spec.space.parameters if p.distribution.values] == [("모델", "층")]


def test_a_metric_that_no_run_logged_is_refused_with_the_nearest_name():
    runs = (
        RunRecord(run_id="r", sweep_id="s", number=0, params={}, state=RunState.FINISHED, last_metrics={"loss": 1}),
    )
    check_metric(replace(fetched(CONFIG), runs=runs), "loss")
    check_metric(fetched(CONFIG), "los")  # no run has logged anything yet
    with pytest.raises(DataError, match=WORDS["los'-did-you"]):
        check_metric(replace(fetched(CONFIG), runs=runs), "los")
    with pytest.raises(DataError, match="they logged loss"):
        check_metric(replace(fetched(CONFIG), runs=runs), "accuracy")


def test_a_sweep_at_wandb_that_nobody_works_on_is_stalled_and_says_which_agent_to_start():
    sweep = fetched(CONFIG, expected=10)
    assert (sweep.record.sweep_id, sweep.record.meta["total"]) == ("e/p/s", 10)
    said = stalled(Watched(sweep=sweep.record, metric=None, total=10, rows=[], live=[], now=1000.0))
    assert said == WORDS["nothing-has-run"]


def test_several_metrics_of_a_sweep_are_its_objectives():
    several = [{"name": "loss"}, {"name": "acc", "goal": "maximize"}]
    record = fetched({"method": "custom", "metrics": several}).record
    assert [(metric.name, metric.goal) for metric in metrics_of(record)] == [("loss", "minimize"), ("acc", "maximize")]


def test_which_sources_are_at_wandb():
    assert is_wandb("wandb:team/p/ab") and is_wandb("https://wandb.ai/team/p/sweeps/ab")
    assert not any(map(is_wandb, ("first_sweep", "wandb.csv", "optuna:sqlite:///x.db#s", "outputs/sweep_wandb")))


def test_a_server_in_trouble_is_asked_less_and_less_often():
    assert [polite_s(10.0, misses) for misses in range(7)] == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert polite_s(600.0, 5) == 600.0
