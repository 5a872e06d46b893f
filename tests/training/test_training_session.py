"""The shell around a training, with a task that only reports."""

import json
import os

import pytest
from snapshots import words_of

from sweepkit.training import environment, session
from sweepkit.training.config.reproduction import expectation
from sweepkit.training.config.training import TrainingConfig, apply
from sweepkit.training.results import Evaluation
from sweepkit.training.tasks.base import Outcome

WORDS = words_of(__file__)

VALUE = 0.1 + 0.2


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a training whose second evaluation has VALUE; return its last line, its result and the threads it had."""
    threads = []

    def train(recorded, output_dir, listeners):
        threads.append(environment.thread_count())
        history = [Evaluation(step=step, epoch=1.0, metrics={"loss": loss}) for step, loss in ((5, 0.9), (10, VALUE))]
        for evaluation in history:
            listeners.reporter.report({"eval/loss": evaluation.metrics["loss"]}, evaluation.step)
        return Outcome(history=history, metric="loss", diverged=False, device="cpu", train_rows=1, val_rows=1, steps=10)

    monkeypatch.setattr(session, "task", lambda name: train)

    def call(config, environ=None, **given):
        config = apply(config, {"output.directory": str(tmp_path), "use_cpu": True})
        assert session.run(config, names=[], environ=environ if environ is not None else os.environ, **given) == 0
        result = json.loads((tmp_path / "results" / "training_results.json").read_text(encoding="utf-8"))
        return capsys.readouterr().out.splitlines()[-1], result, threads[-1]

    return call


def expecting(value, **known):
    config = apply(TrainingConfig(), {"use_cpu": True})
    surroundings = {**environment.surroundings(config), **known}
    section = expectation(config, surroundings, run_id="ab12", metric="eval/loss", value=value, step=10)
    return TrainingConfig(training=config.training, reproduces=section)


def test_a_plain_training_says_nothing_of_it(call):
    line, result, _ = call(TrainingConfig())
    assert line.startswith("trained in ") and "reproduction" not in result
    assert len(result["data"]["data.train_file"]) == 64
    assert result["processor"] and result["threads"] == 1
    assert result["device"] == "cpu"


def test_the_same_value_is_reproduced(call):
    line, result, _ = call(expecting(VALUE))
    assert line == f"reproduced: eval/loss {VALUE!r} is the value of run ab12 (step 10)"
    assert result["reproduction"] == {"reproduced": True, "expected": VALUE, "got": VALUE, "differs": []}


def test_another_value_is_not_though_it_is_the_next_float(call):
    line, result, _ = call(expecting(0.3))
    assert line.startswith(f"not reproduced: eval/loss is {VALUE!r} instead of 0.3 of run ab12")
    assert result["reproduction"]["reproduced"] is False


def test_the_runs_threads_are_used_unless_the_user_says_how_many(call, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    _, result, threads = call(expecting(VALUE, threads=3))
    assert (result["threads"], threads, result["reproduction"]["differs"]) == (3, 3, [])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    _, result, threads = call(expecting(VALUE, threads=3))
    assert (result["threads"], threads, result["reproduction"]["differs"]) == (2, 2, ["threads 3 → 2"])


def test_a_call_that_changes_settings_is_told(call):
    written = expecting(0.5)
    line, _, _ = call(apply(written, {"num_beams": 4}), written=written)
    assert line.endswith(WORDS["beams-set-by"])


def test_a_run_of_a_sweep_over_such_a_configuration_compares_nothing(call, tmp_path):
    line, result, _ = call(expecting(0.5), environ={"SWEEPKIT_RUN_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert line.startswith("trained in ") and "reproduction" not in result


@pytest.mark.parametrize("reports", [0, 1, 3])
def test_where_it_ran_is_written_with_the_first_report(call, tmp_path, monkeypatch, reports):
    def stopped(recorded, output_dir, listeners):
        for step in range(reports):
            listeners.reporter.report({"eval/loss": 1.0}, step)
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "task", lambda name: stopped)
    with pytest.raises(KeyboardInterrupt):
        session.run(
            apply(TrainingConfig(), {"output.directory": str(tmp_path), "use_cpu": True}), names=[], environ=os.environ
        )
    file = tmp_path / "results" / "surroundings.json"
    assert file.exists() == (reports > 0)  # bad data or a missing checkpoint leave nothing
    found = json.loads(file.read_text(encoding="utf-8")) if reports else None
    assert found is None or {"device", "processor", "threads", "versions", "data"} == set(found)
    assert not (tmp_path / "results" / "training_results.json").exists()


def test_a_data_file_that_is_not_there_is_left_to_the_training():
    config = apply(TrainingConfig(), {"train_file": "none.csv", "val_file": None})
    assert environment.data_digests(config) == {}


def test_peaks_are_those_of_all_gpus_since_the_start(monkeypatch):
    import torch

    peaks = {"allocated": {0: 3, 1: 4}, "reserved": {0: 5, 1: 6}}
    forgotten = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", peaks["allocated"].__getitem__)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", peaks["reserved"].__getitem__)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
    environment._forget_peaks()
    assert forgotten == [0, 1]
    got = environment.peak_memory_bytes()
    assert (got["gpu"], got["gpu_reserved"]) == (7, 11) and got["cpu"] > 0
