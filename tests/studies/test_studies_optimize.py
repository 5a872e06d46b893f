"""optimize.py as a user runs it: its command line, killed and continued, started twice, on PostgreSQL."""

import json
import os
import signal
import subprocess
import sys

import optuna
import pytest
from small_study import write_small
from snapshots import words_of

from sweepkit.cli.optimize import main
from sweepkit.cli.optimize_options import parse
from sweepkit.paths import CODE_DIR, default_output_dir
from sweepkit.studies.plan import guide_study
from sweepkit.studies.yaml.study_sweep import PRUNERS, study_sweep
from sweepkit.sweep_config.read import from_config

WORDS = words_of(__file__)


class Optimizer:
    """A folder in which optimize.py is run on a small training."""

    def __init__(self, folder):
        self.folder = folder
        base = write_small(folder)
        self.command = [
            sys.executable, str(CODE_DIR / "optimize.py"), "--experiment", "try", "--base-config", str(base),
            "--output_dir", "out", "--json",
        ]  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self.env = {**kept, "PYTHONPATH": str(CODE_DIR), "COLUMNS": "80"}

    def start(self, *options):
        return subprocess.Popen(
            [*self.command, *options], cwd=self.folder, env=self.env, text=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ended(self, process):
        """Wait for the end; return the events."""
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, out + err
        return [json.loads(line) for line in out.splitlines()]


def last(events, kind):
    return [event for event in events if event["event"] == kind][-1]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.heavy
def test_a_killed_study_is_continued_and_then_extended(tmp_path):
    optimizer = Optimizer(tmp_path)
    process = optimizer.start("--n_trials", "2")
    with process:
        for line in process.stdout:
            if json.loads(line)["event"] == "run_ended":
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    events = optimizer.ended(optimizer.start("--n-trials", "3"))  # continued, and one more
    sweep, study = last(events, "sweep_ended"), last(events, "study_ended")
    assert sweep["counts"] == {"finished": 3}
    assert study["study_name"] == "optuna_try" and study["n_completed"] == 3 and study["n_unfinished"] == 0
    first = next(run for run in sweep["runs"] if run["number"] == 0)
    assert first["attempts"] == 1  # what had ended was not repeated
    loaded = optuna.load_study(study_name="optuna_try", storage=f"sqlite:///{tmp_path / 'out' / 'optuna.db'}")
    assert [trial.state.name for trial in loaded.trials] == ["COMPLETE"] * 3
    assert loaded.best_value == study["best_value"] and loaded.best_trial.number == study["best_trial_number"]
    folder = tmp_path / "out" / "optuna_try"
    assert {"best_params.json", "all_trials.csv", "study_stats.json", "optuna_study_report.html"} <= {
        file.name for file in folder.iterdir()
    }
    assert [str(file) for file in folder.glob("train_optimized_*.yaml")] == [study["config"]]


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(300)
@pytest.mark.heavy  # agents on PostgreSQL: test_runner_parallel.py; the mirror there: test_store_mirror.py
def test_two_processes_work_on_one_study_in_postgresql(tmp_path, postgres_database):
    optimizer = Optimizer(tmp_path)
    command = ("--n_trials", "4", "--pruner", "none", "--optuna-storage", postgres_database)
    processes = [optimizer.start(*command) for _ in range(2)]
    endings = [last(optimizer.ended(process), "sweep_ended") for process in processes]
    for sweep in endings:
        assert sweep["counts"] == {"finished": 4}
        assert [run["attempts"] for run in sweep["runs"]] == [1] * 4
    assert len({run["run_id"] for sweep in endings for run in sweep["runs"]}) == 4
    from sweepkit.store.mirror import load_study

    study = load_study(postgres_database, "optuna_try")
    assert [(trial.number, trial.state.name) for trial in study.trials] == [(n, "COMPLETE") for n in range(4)]
    assert study.best_value == max(run["value"] for run in endings[0]["runs"])
    assert not (tmp_path / "out" / "optuna.db").exists()
    study._storage.remove_session()
    study._storage._backend.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.heavy  # the same of a program without imports: test_runner_parallel.py
def test_two_processes_with_a_gpu_each_work_on_one_study(tmp_path):
    optimizer = Optimizer(tmp_path)
    processes = []
    for gpu in ("0", "1"):  # as guides start them: the same command, another CUDA_VISIBLE_DEVICES
        optimizer.env["CUDA_VISIBLE_DEVICES"] = gpu
        processes.append(optimizer.start("--n_trials", "3", "--pruner", "none"))
    try:
        for process in processes:
            events = optimizer.ended(process)
            assert last(events, "sweep_ended")["counts"] == {"finished": 3}
            assert last(events, "study_ended")["n_completed"] == 3
    finally:
        for process in processes:
            process.kill()
    assert {run["attempts"] for run in last(events, "sweep_ended")["runs"]} == {1}
    loaded = optuna.load_study(study_name="optuna_try", storage=f"sqlite:///{tmp_path / 'out' / 'optuna.db'}")
    assert [(trial.number, trial.state.name) for trial in loaded.trials] == [(n, "COMPLETE") for n in range(3)]


# -- the command line -------------------------------------------------------------------------------------------------


def refused(capsys, *argv):
    assert main(list(argv)) == 2
    return capsys.readouterr().err


def test_both_spellings_of_options():
    dashes = parse(["--n-trials=7", "--output-dir", "a_b", "--n-jobs", "-1"], output_dir=default_output_dir())
    lines = parse(["--n_trials", "7", "--output_dir=a_b", "--n_jobs", "-1"], output_dir=default_output_dir())
    assert dashes == lines
    assert (dashes.n_trials, str(dashes.output_dir), dashes.n_jobs) == (7, "a_b", -1)


def test_a_dry_run_shows_the_fifteen_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--dry-run", "--json", "--output-dir", "out", "--n_trials", "5"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["runs"] == 5 and len(said["first"][0]) == 16  # and an evaluation after every epoch
    assert said["first"][0]["eval_strategy"] == "epoch"
    assert not list(tmp_path.iterdir())


def test_what_an_experiment_is(capsys):
    study, notes = guide_study(parse(["--experiment", "tiny_t5"], output_dir=default_output_dir()))
    assert (study.base_config, study.name) == ("models/tiny_t5", "optuna_tiny_t5")
    assert study.fixed == {"use_lora": True, "eval_strategy": "epoch"}
    study, notes = guide_study(parse(["--experiment", "my_own_try"], output_dir=default_output_dir()))
    assert (study.base_config, study.name) == ("models/tiny_bart_lora", "optuna_my_own_try")
    assert WORDS["no-configuration-is"] in notes[0]
    assert "did you mean 'optimal_kobart'?" in refused(capsys, "--experiment", "optimal_kobat", "--dry-run")
    study, _ = guide_study(parse(["--experiment", "optimal_kobart"], output_dir=default_output_dir()))
    assert study.parameters["learning_rate"] == {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-4}


def test_what_cannot_be_is_refused_before_anything_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert WORDS["guide-are-those"] in refused(capsys, "--base-config", "perceiver", "--output-dir", "o")
    assert WORDS["must-be-an"] in refused(capsys, "--config", "nowhere", "--output-dir", "o")
    assert "no such file" in refused(capsys, "--resume", "--output-dir", "o")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pruner", sorted(PRUNERS))
def test_each_pruner_is_a_rule_of_a_sweep(pruner):
    study, _ = guide_study(parse(["--pruner", pruner, "--wandb"], output_dir=default_output_dir()))
    sweep = study_sweep(study)
    assert study.fixed["wandb.enabled"] is True
    spec = from_config(sweep)
    kind = spec.early_terminate.type if spec.early_terminate else "none"
    assert kind == {"hyperband": "optuna_hyperband", "median": "percentile"}.get(pruner, pruner)
    assert (spec.extensions.wandb.group, spec.extensions.wandb.name) == ("optuna_search", "trial_{number}")


def test_a_timeout_is_the_time_budget_of_a_call():
    study, _ = guide_study(
        parse(["--timeout", "60", "--seed", "3", "--sampler", "gp"], output_dir=default_output_dir())
    )
    extensions = from_config(study_sweep(study)).extensions
    assert (extensions.time_budget_s, extensions.seed) == (60.0, 3)
