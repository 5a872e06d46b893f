import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from phased import PROGRAM, phased
from snapshots import words_of

from sweepkit.errors import ConflictError
from sweepkit.runner.options import RunOptions
from sweepkit.store.open import open_store
from sweepkit.studies.phases import phases_ahead
from sweepkit.studies.yaml import optuna_sweep
from sweepkit.studies.yaml.optuna_config import read_optuna_config
from sweepkit.sweep_config.read import read_sweep_text

WORDS = words_of(__file__)
PHASED = str(Path(__file__).parents[1] / "support" / "phased.py")

STUDY = """\
optuna: {{study_name: s, n_trials: 6, seed: 1, metric: loss, sampler: random}}
search_space:
  learning_rate: {{type: loguniform, low: 1e-5, high: 0.1}}
  batch_size: {{type: categorical, choices: [8, 16, 32]}}
sweepkit: {{preload: []}}
phases: {phases}
"""
FOCUS = "[{name: explore, n_trials: 5}, {name: focus, n_trials: 3, top: 2}, {name: confirm, top: 2, seeds: 2}]"
SHORT = "[{name: explore, n_trials: 2}, {name: focus, n_trials: 2, top: 1}]"
STAGES = "[{name: one, parameters: [learning_rate], n_trials: 3}, {name: two, parameters: rest, n_trials: 2}]"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Return a function that runs the phases of a study in tmp_path."""
    monkeypatch.setenv("JOURNAL", str(tmp_path / "journal"))
    monkeypatch.chdir(tmp_path)

    def run(phases, *options):
        path = tmp_path / "study.yaml"
        path.write_text(STUDY.format(phases=phases), encoding="utf-8")
        return phased(path, tmp_path / "out", *options)

    return run


def starts(folder):
    lines = (folder / "journal").read_text(encoding="utf-8").splitlines()
    return [json.loads(line.split(" ", 2)[2]) for line in lines if line.startswith("start")]


def recorded(folder, name):
    with open_store(folder / "out" / "sweepkit.db") as store:
        sweep = store.sweep(name)
        return read_sweep_text(sweep.text), store.runs(sweep.sweep_id)


@pytest.mark.slow
def test_the_dry_run_shows_each_phase_as_it_is_run_and_what_hangs_on_others_as_such(study, tmp_path, monkeypatch):
    monkeypatch.setattr(optuna_sweep, "PROGRAM", str(PROGRAM))
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(phases=STAGES), encoding="utf-8")

    def ahead():
        options = RunOptions(output_dir=tmp_path / "out")
        return list(phases_ahead(options, read_optuna_config(path)))

    one, two = ahead()
    assert (one.runs, two.runs, two.sweeps) == (3, 2, ()) and not (tmp_path / "out").exists()
    outcome = study(STAGES, "--count", "3")
    assert [run.params for run in outcome.results[0].runs] == list(one.sweeps[0].first)
    one, two = ahead()  # now the second phase follows from the first
    assert (one.sweeps[0].left, two.sweeps[0].left) == (0, 2)
    assert [run.params for run in study(STAGES).results[1].runs] == list(two.sweeps[0].first)


@pytest.mark.slow
def test_explore_focus_confirm_and_a_second_call_that_repeats_nothing(study, tmp_path, capsys):
    outcome = study(FOCUS)
    assert (outcome.code, outcome.complete) == (0, True)
    assert [result.sweeps for result in outcome.results] == [
        ("s-explore",),
        ("s-focus",),
        ("s-confirm-1", "s-confirm-2"),
    ]
    explore, runs = recorded(tmp_path, "s-explore")
    focus, focus_runs = recorded(tmp_path, "s-focus")
    best = [run.params["learning_rate"] for run in sorted(runs, key=lambda run: run.history[0])[:2]]
    (lr,) = [item.distribution for item in focus.space.parameters if item.name == "learning_rate"]
    assert 1e-5 <= lr.min <= min(best) <= max(best) <= lr.max <= 0.1 and lr.max / lr.min < 1e4
    assert all(lr.contains(run.params["learning_rate"]) for run in focus_runs) and len(focus_runs) == 3
    assert focus.extensions.prior_runs == ("s-explore",)
    made = starts(tmp_path)
    assert len(made) == 5 + 3 + 4
    assert sorted(item["seed"] for item in made[-4:]) == ["43", "43", "44", "44"]  # fresh: the training's own is 42
    assert outcome.sweep in ("s-confirm-1", "s-confirm-2") and "seed" not in outcome.params
    shown = capsys.readouterr().out
    assert "phase 2 of 3: focus" in shown and "learning_rate: 1e-05 … 0.1 (log) → " in shown
    assert "learning_rate: 1e-05 … 0.1 (log) → " in (tmp_path / "out/phases_s/2-focus.yaml").read_text(encoding="utf-8")
    again = study(FOCUS)
    assert again.params == outcome.params and len(starts(tmp_path)) == 12
    assert capsys.readouterr().out.count("done before") == 3


@pytest.mark.slow
def test_two_processes_with_a_gpu_each_work_on_the_phases_of_one_study(study, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.format(phases=FOCUS), encoding="utf-8")
    command = [sys.executable, PHASED, "study.yaml", "out", "--json"]
    processes = [
        warm.WarmPopen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": gpu, "DURATION": "0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for gpu in ("0", "1")
    ]
    try:
        for process in processes:
            out, err = process.communicate(timeout=110)
            assert process.returncode == 0, out[-3000:] + err
            end = json.loads(out.splitlines()[-1])
            assert end["complete"] and [phase["runs"] for phase in end["phases"]] == [5, 3, 4]
    finally:
        for process in processes:
            process.kill()
    assert len(starts(tmp_path)) == 12  # none twice


@pytest.mark.slow
def test_stages_keep_what_the_stages_before_have_found(study, tmp_path):
    outcome = study(STAGES, "--json")
    assert outcome.complete
    one, first = recorded(tmp_path, "s-one")
    assert [item.name for item in one.space.parameters] == ["learning_rate"]
    two, second = recorded(tmp_path, "s-two")
    best = min(first, key=lambda run: run.history[0])
    assert {run.params["learning_rate"] for run in second} == {best.params["learning_rate"]}
    assert [item.distribution.kind.value for item in two.space.parameters] == ["categorical", "constant"]
    summary = json.loads((tmp_path / "out/phases_s/summary.json").read_text(encoding="utf-8"))
    assert [phase["runs"] for phase in summary["phases"]] == [3, 2] and summary["best"] == dict(outcome.params)


@pytest.mark.slow
def test_a_call_that_may_make_few_runs_stops_between_phases_and_the_next_goes_on(study, tmp_path):
    part = study(SHORT, "--count", "3")
    assert not part.complete and len(starts(tmp_path)) == 3
    assert [len(result.runs) for result in part.results] == [2, 1]
    before, _ = recorded(tmp_path, "s-focus")
    assert study(SHORT).complete
    after, runs = recorded(tmp_path, "s-focus")
    assert after.space == before.space and len(runs) == 2 and len(starts(tmp_path)) == 4


@pytest.mark.slow
def test_fresh_makes_all_phases_anew_and_goes_on_with_those(study, tmp_path):
    study(SHORT)
    assert not study(SHORT, "--fresh", "--seed", "7", "--count", "2").complete
    outcome = study(SHORT)
    assert [result.sweeps for result in outcome.results] == [("s-explore-2",), ("s-focus-2",)]
    focus, _ = recorded(tmp_path, "s-focus-2")
    assert focus.extensions.prior_runs == ("s-explore-2",)


@pytest.mark.slow
def test_another_search_under_the_same_name_is_refused(study):
    study("[{name: explore, n_trials: 2}, {name: focus, n_trials: 1}]")
    with pytest.raises(ConflictError, match=WORDS["already-recorded-with"]):
        study("[{name: explore, n_trials: 1}, {name: focus, n_trials: 1}]")


def test_a_phase_without_a_value_to_go_on_from_is_the_last_one(study, monkeypatch):
    monkeypatch.setenv("SILENT", "1")
    for kind in ("focus", "confirm", "confirm"):  # at last nothing is run, and the code is the same
        outcome = study(f"[{{name: explore, n_trials: 1}}, {kind}]")
        assert (outcome.code, outcome.complete, len(outcome.results)) == (3, False, 1)


def test_the_studys_time_is_that_of_all_phases(study, tmp_path):
    path = tmp_path / "late.yaml"
    text = STUDY.format(phases=FOCUS).replace("n_trials: 6,", "n_trials: 6, timeout: 0.0001,")
    path.write_text(text, encoding="utf-8")
    outcome = phased(path, tmp_path / "out")
    assert (outcome.code, outcome.complete, len(outcome.results)) == (0, False, 1)
    assert "time_budget_s: 0.0001" in (tmp_path / "out/phases_s/1-explore.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_and_repeats_nothing(study, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(phases=FOCUS), encoding="utf-8")
    env = {**os.environ, "PYTHONWARNINGS": "default", "DURATION": "0.15"}
    command = [sys.executable, PHASED, str(path), str(tmp_path / "out")]
    for wanted in (2, 6, 10):  # in the middle of each phase
        with warm.WarmPopen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            ended = 0
            for line in process.stdout:
                ended += line.startswith("run ")
                done = sum(1 for _ in starts(tmp_path)) if (tmp_path / "journal").exists() else 0
                if done >= wanted:
                    process.send_signal(signal.SIGKILL)
                    break
            process.wait()
    done = warm.run(command, env=env, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, count in (("s-explore", 5), ("s-focus", 3), ("s-confirm-1", 2), ("s-confirm-2", 2)):
        _, runs = recorded(tmp_path, name)
        assert [run.state.value for run in runs] == ["finished"] * count
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        assert {sweep.name for sweep in store.sweeps()} == {"s-explore", "s-focus", "s-confirm-1", "s-confirm-2"}
