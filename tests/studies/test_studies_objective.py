"""One's own Optuna objective: as `study.optimize` runs it, and recorded, parallel, resumed as any sweep."""

import json
import os
import sys
import warnings

import optuna
import pytest
import warm
from sweeping import PROGRAMS, in_this_process
from waiting import killed_after

import sweepkit
from sweepkit.cli import app
from sweepkit.errors import ConflictError, SweepKitError
from sweepkit.model.records import SweepState
from sweepkit.search.objective_trial import ObjectiveTrial
from sweepkit.store.mirror import load_study
from sweepkit.store.open import open_store
from sweepkit.studies.objective import _recorded_settings, load_objective


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_objective():
    def objective(trial):
        import optuna

        x = trial.suggest_float("x", -10, 10)
        kind = trial.suggest_categorical("kind", ["plain", "scaled", (1, 2)])
        if kind == "plain":
            y = trial.suggest_int("y", 0, 8, step=2)
        else:
            y = trial.suggest_loguniform("z", 1e-3, 1.0) + trial.suggest_uniform("u", 0, 1)
        assert trial.params["x"] == x and "x" in trial.distributions
        trial.set_user_attr("kind", str(kind))
        for step in range(4):
            trial.report((x - 2) ** 2 + y + step, step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return (x - 2) ** 2 + y

    return objective


def shown(trial):
    params = {name: repr(value) if isinstance(value, tuple) else value for name, value in trial.params.items()}
    return trial.number, trial.state.name, trial.values, params, trial.intermediate_values, trial.user_attrs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("objective")


@pytest.fixture(scope="module")
def done(folder):
    settings = {"sampler": optuna.samplers.TPESampler(seed=5), "pruner": optuna.pruners.MedianPruner(3)}
    return sweepkit.optimize(make_objective(), 14, **settings, output_dir=folder)


@pytest.mark.slow
def test_it_is_what_optuna_does(done):
    theirs = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=5), pruner=optuna.pruners.MedianPruner(3))
    theirs.optimize(make_objective(), n_trials=14)
    assert [shown(trial) for trial in done.study.trials] == [shown(trial) for trial in theirs.trials]
    assert {trial.state.name for trial in theirs.trials} == {"COMPLETE", "PRUNED"}
    assert (done.best.value, done.best.number) == (theirs.best_value, theirs.best_trial.number)


def test_it_is_recorded_as_a_sweep(done):
    runs = done.runs()
    assert {"params.x", "params.kind", "params.y", "params.z"} <= set(runs.columns)
    pruned = [trial.number for trial in done.study.trials if trial.state.name == "PRUNED"]
    assert list(runs[runs["state"] == "stopped"]["number"]) == pruned
    assert runs[runs["state"] == "stopped"]["value"].isna().all()
    assert all(reason.startswith("pruned at step") for reason in runs[runs["state"] == "stopped"]["reason"])
    curves = done.history().query("metric == 'intermediate'")
    assert len(curves) == sum(len(trial.intermediate_values) for trial in done.study.trials)
    assert done.report().is_file() and done.figure("parallel").data


@pytest.mark.slow
def test_it_goes_on_with_several_workers(done, folder):
    before = [shown(trial) for trial in done.study.trials]
    more = sweepkit.optimize(make_objective(), 20, name="objective", workers=2, seed=None, output_dir=folder)
    assert [shown(trial) for trial in more.study.trials][:14] == before and len(more.study.trials) == 20
    assert len({str(trial.params) for trial in more.study.trials}) == 20
    assert len(more.run().study.trials) == 20  # by the objective that it was begun with: all are made
    assert len(sweepkit.open("objective", output_dir=folder).run().runs()) == 20
    with pytest.raises(ConflictError):
        sweepkit.optimize(lambda trial: trial.suggest_int("n", 0, 3), 20, name="objective", output_dir=folder)


@pytest.mark.slow
def test_first_points_several_values_and_a_failure(folder):
    def two(trial):
        n = trial.suggest_int("n", 0, 100)
        if n == 7:
            raise RuntimeError("seven")
        return n, -n

    done = sweepkit.optimize(
        two,
        4,
        directions=["minimize", "maximize"],
        first_points=[{"n": 50}, {"n": 7}],
        sampler="random",
        seed=0,
        output_dir=folder,
    )
    trials = done.study.trials
    assert trials[0].params == {"n": 50} and trials[0].values == [50.0, -50.0]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert done.study.best_trials and "RuntimeError" in done.runs()["reason"][1]


FILE = """
import os, time
import optuna

RUNS = []

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 3 and os.environ.get("WAIT"):
        time.sleep(100)
    return x

def other(study):
    return 0

study = optuna.create_study()
study.optimize(objective, n_trials=1000)
raise SystemExit("not run")
"""


@pytest.mark.slow
def test_the_command_and_that_it_resumes_after_a_kill(tmp_path):
    (tmp_path / "tune.py").write_text(FILE)
    env = {**os.environ, "PYTHONWARNINGS": "default", "SWEEPKIT_OUTPUT_DIR": str(tmp_path / "out")}
    tool = [sys.executable, str(PROGRAMS / "tool.py")]
    command = [*tool, "optimize", "tune.py:objective", "--n-trials", "6", "--seed", "1"]
    command += ["--direction", "maximize"]
    killed_after("run   2", command, start=warm.WarmPopen, cwd=tmp_path, env={**env, "WAIT": "1"})
    before = sweepkit.open("tune_objective", output_dir=tmp_path / "out").runs()
    assert list(before["state"][:3]) == ["finished"] * 3
    again = warm.run(command, cwd=tmp_path, env=env, timeout=100)
    assert again.returncode == 0, again.stdout + again.stderr
    after = sweepkit.open("tune_objective", output_dir=tmp_path / "out").runs()
    assert list(after["state"]) == ["finished"] * 6 and after["params.x"].nunique() == 6
    known = before["params.x"].dropna()
    assert list(after["params.x"][: len(known)]) == list(known)
    study = load_study(f"sqlite:///{tmp_path / 'out' / 'optuna.db'}", "tune_objective")
    assert len(study.trials) == 6 and study.best_value == max(trial.params["x"] for trial in study.trials)
    assert (tmp_path / "out" / "tune_objective" / "best_params.json").is_file()


@pytest.mark.slow
def test_a_recorded_study_is_gone_on_with_and_worked_along_on_by_its_name(tmp_path):
    def asked(*words):
        return in_this_process(app.main, [*words, "--output-dir", "out"], tmp_path)

    (tmp_path / "tune.py").write_text(
        "import os\n\n\ndef objective(trial):\n    x = trial.suggest_float('x', 0, 1)\n"
        f"    assert os.path.exists({str(tmp_path / 'mended')!r}), 'typo'\n    return x\n"
    )
    begun = asked("optimize", "tune.py:objective", "--n-trials", "2", "--sampler", "random")
    assert begun.returncode in (1, 3), begun.stderr
    (tmp_path / "mended").touch()
    assert json.loads(asked("retry", "tune_objective", "--dry-run", "--json").stdout)["runs"] == 2
    done = asked("retry", "tune_objective", "--json")
    assert done.returncode == 0, done.stderr
    sweep = sweepkit.open("tune_objective", output_dir=tmp_path / "out")
    assert list(sweep.runs()["state"]) == ["finished"] * 2
    assert asked("agent", "tune_objective").returncode == 2  # it has ended
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        recorded = store.sweep("tune_objective")
        assert recorded.meta["study"]["sampler"] == "random"
        text = recorded.text.replace('"run_cap": 2', '"run_cap": 3')
        store.update_sweep(recorded.sweep_id, text=text, state=SweepState.RUNNING)
    along = asked("agent", "tune_objective", "--json")
    assert along.returncode == 0, along.stderr
    assert list(sweep.runs()["state"]) == ["finished"] * 3
    for words in (("confirm", "tune_objective"), ("init", "--from", "tune_objective")):
        refused = asked(*words)
        assert refused.returncode == 2 and "objective" in refused.stderr
    assert "sweepkit confirm" not in asked("analyze", "tune_objective").stdout


def test_a_study_that_searches_by_an_object_of_a_script_is_gone_on_with_by_that_script(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        sweep, _ = store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        sweep = store.update_sweep(sweep.sweep_id, meta={"study": {"sampler": None, "pruner": "none"}})
    with pytest.raises(SweepKitError, match="sampler"):
        _recorded_settings(sweep)


@pytest.mark.parametrize(
    "named, word", [("tune.py:objectiv", "'objective'"), ("no.py:objective", "no.py"), ("tune.py", "FILE.py:FUNCTION")]
)
def test_an_objective_that_is_not_there(tmp_path, monkeypatch, named, word):
    (tmp_path / "tune.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SweepKitError, match=word):
        load_objective(named)


def test_the_dry_run_leaves_nothing(tmp_path):
    (tmp_path / "tune.py").write_text(FILE)
    options = ["--n-trials", "7", "--n-jobs", "2", "--dry-run", "--json", "--output-dir", "out"]
    done = in_this_process(app.main, ["optimize", "tune.py:objective", *options], tmp_path)
    said = json.loads(done.stdout)
    assert (done.returncode, said["runs"], len(said["slots"])) == (0, 7, 2), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".pyc") in (
        ["tune.py"],
        ["__pycache__", "tune.py"],
    )


def test_options_of_our_own_trainer(tmp_path):
    (tmp_path / "tune.py").write_text(FILE)
    done = in_this_process(app.main, ["optimize", "tune.py:objective", "--base-config", "kobart"], tmp_path)
    assert done.returncode == 2 and "--base-config" in done.stderr


def test_a_trial_refuses_what_optunas_refuses():
    trial = ObjectiveTrial(0, lambda question: {"internal": 0.0, "prune": False})
    for wrong, error in (((lambda: trial.report("a", 0)), TypeError), ((lambda: trial.report(1, -1)), ValueError)):
        with pytest.raises(error):
            wrong()
    assert trial.suggest_discrete_uniform("q", 0, 1, 0.5) == 0
    with pytest.raises(ValueError):
        trial.suggest_categorical("q", [1])
    with pytest.raises(ValueError):
        trial.suggest_float("low", 2, 1)
    with pytest.warns(UserWarning):
        trial.report(1.0, 1)
        trial.report(2.0, 1)
    assert trial.number == 0 and not trial.should_prune() and trial.datetime_start is None
