"""Real sweeps of spaces whose parameters are not in every run: conditions in YAML, and search space functions."""

import csv
import shutil
import sys

import optuna
import pytest
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.errors import SpecError
from sweepkit.paths import ROOT_DIR
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.runner.space_function import load_space_function
from sweepkit.search.define_by_run import SpaceFunctionError
from sweepkit.sweep_config.read import read_sweep

WORDS = words_of(__file__)

GRID = """
    program: show.py
    method: grid
    metric: {name: loss}
    command: ["${interpreter}", "${program}", "${args}", "--copy=${momentum}"]
    parameters:
      x: {values: [1, 2]}
      optimizer: {values: [adamw, sgd]}
      momentum: {values: [0.5, 0.9]}
    sweepkit:
      seed: 5
      conditions:
        momentum: {when: {optimizer: sgd}}
"""
SPACE = """
    def space(trial):
        mode = trial.suggest_categorical("kind", ["plain", "tuned"])
        x = trial.suggest_float("x", 0.5, 4.0)
        if mode == "tuned":
            trial.suggest_int("rank", 1, 3)
"""
FUNCTION = """
    program: loss.py
    method: random
    metric: {name: loss}
    run_cap: 4
    parameters: {fixed: {value: 7}}
    sweepkit: {search_space: "my_space:space", seed: 5}
"""


@pytest.fixture
def sweeper(tmp_path):
    shutil.copy(PROGRAMS / "loss.py", tmp_path)
    return Sweeper(tmp_path)


@pytest.mark.slow
def test_runs_of_a_grid_with_conditions_have_their_active_parameters_alone(sweeper):
    sweeper.write("import runpy, sys\nprint(*sys.argv[1:])\nrunpy.run_path('loss.py')\n", "show.py")
    sweeper.write(GRID)
    url = f"sqlite:///{sweeper.folder}/optuna.db"
    assert sweeper.summary("--count", "2", "--optuna-storage", url)["counts"] == {"finished": 2}
    done = sweeper.summary("--optuna-storage", url)  # and goes on where it was
    assert done["complete"] and done["counts"] == {"finished": 6}
    results = sorted(sweeper.results(), key=lambda result: result["number"])
    found = [(r["sweep_params"]["optimizer"], r["sweep_params"].get("momentum")) for r in results]
    assert found == [("adamw", None)] * 2 + [("sgd", 0.5)] * 2 + [("sgd", 0.9)] * 2  # W&B's order
    for result in results:
        active = "momentum" in result["sweep_params"]
        assert active == (result["sweep_params"]["optimizer"] == "sgd")
        (log,) = (sweeper.folder / "out/sweep_s/logs").glob(f"{result['run_id']}-1.log")
        expected = [f"--{name}={value}" for name, value in result["sweep_params"].items()]
        expected += [f"--copy={result['sweep_params']['momentum']}"] if active else []
        assert log.read_text().split() == expected
    with open(sweeper.folder / "out/sweep_s/runs.csv", encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [row["params.momentum"] == "" for row in table] == [row["params.optimizer"] == "adamw" for row in table]
    study = optuna.load_study(study_name="s", storage=url)
    assert {trial.number: dict(trial.params) for trial in study.trials} == {
        result["number"]: result["sweep_params"] for result in results
    }


@pytest.mark.slow
def test_a_function_is_swept_resumed_and_mirrored(sweeper):
    sweeper.write(SPACE, "my_space.py")
    sweeper.write(FUNCTION)
    url = f"sqlite:///{sweeper.folder}/optuna.db"
    assert sweeper.summary("--count", "2", "--optuna-storage", url)["counts"] == {"finished": 2}
    assert sweeper.summary("--optuna-storage", url)["counts"] == {"finished": 4}
    params = [r["sweep_params"] for r in sorted(sweeper.results(), key=lambda result: result["number"])]
    assert all(item["fixed"] == 7 and ("rank" in item) == (item["kind"] == "tuned") for item in params)
    for trial, item in zip(optuna.load_study(study_name="s", storage=url).trials, params, strict=True):
        assert trial.params == {name: value for name, value in item.items() if name != "fixed"}  # it is no choice
        assert trial.distributions["x"] == optuna.distributions.FloatDistribution(0.5, 4.0)
        assert {name for name in trial.user_attrs if name.startswith("param:")} <= {"param:fixed"}


@pytest.mark.slow
def test_a_function_that_raises_later_ends_the_call_with_its_message_and_the_record_goes_on(sweeper):
    good = "def space(trial):\n    {}return {{'x': trial.suggest_float('x', 1, 2)}}\n"
    bad = good.format("if trial.number == 2:\n        raise ValueError('no more')\n    ")
    (sweeper.folder / "my_space.py").write_text(bad)
    sweeper.write(FUNCTION)
    done = sweeper.call()
    assert done.returncode == 2, done.stdout + done.stderr
    assert WORDS["space-must-not"] in done.stderr
    assert "Traceback" not in done.stderr
    (sweeper.folder / "my_space.py").write_text(good.format(""))
    assert sweeper.summary()["counts"] == {"finished": 4}


def plan_of(sweeper, monkeypatch, text=FUNCTION):
    monkeypatch.chdir(sweeper.folder)
    sweeper.write(text)
    return make_plan(RunOptions(output_dir=sweeper.folder / "out"), "s.yaml")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "s.yaml:7: sweepkit.search_space: must be a Python file beside the YAML file"),
        ("def spaces(trial): ...", "my_space.py must have a function space, got none; did you mean spaces?"),
        ("space = 3", "must have a function space"),
        ("def space(): ...", "the function must take one argument, the trial, got def space()"),
        ("def space(trial):", "my_space.py must be a module that can be imported, got IndentationError (line 1)"),
        ("\nimport nothing_like_it", "got ModuleNotFoundError (line 2): No module named 'nothing_like_it'"),
    ],
)
def test_a_module_that_is_not_good_is_refused_before_anything_is_written(sweeper, monkeypatch, source, said):
    if source is not None:
        (sweeper.folder / "my_space.py").write_text(source)
    with pytest.raises(SpecError) as caught:
        plan_of(sweeper, monkeypatch)
    assert said in str(caught.value)
    assert not (sweeper.folder / "out").exists()


def test_a_function_is_tried_before_anything_is_written(sweeper, monkeypatch):
    (sweeper.folder / "my_space.py").write_text("def space(trial): return {'a': 1}")
    with pytest.raises(SpaceFunctionError, match=WORDS["must-suggest-at"]):
        plan_of(sweeper, monkeypatch)
    text = FUNCTION.replace("loss.py", "trainer.py").replace("fixed: {value: 7}", "num_train_epochs: {value: 1}")
    (sweeper.folder / "my_space.py").write_text("def space(trial): trial.suggest_float('learning_rat', 0, 1)")
    with pytest.raises(SpecError, match=WORDS["rat-must-be"]):
        plan_of(sweeper, monkeypatch, text)


def test_a_module_may_import_its_neighbours_and_leaves_nothing_behind(sweeper, monkeypatch):
    (sweeper.folder / "ranges_of_mine.py").write_text("TOP = 3")
    (sweeper.folder / "my_space.py").write_text(
        "from ranges_of_mine import TOP\ndef space(trial): return {'x': trial.suggest_int('x', 1, TOP)}"
    )
    plan = plan_of(sweeper, monkeypatch)
    assert plan.function is not None and plan.function.file == str((sweeper.folder / "my_space.py").resolve())
    assert not list(sweeper.folder.glob("__pycache__/my_space*"))
    assert str(sweeper.folder.resolve()) not in sys.path


def test_the_example_suggests_other_parameters_for_each_model():
    spec = read_sweep(ROOT_DIR / "examples" / "bart_llama.yaml")
    function = load_space_function(spec, cwd=ROOT_DIR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [function.call(study.ask()) for _ in range(20)]
    kinds = {params["model.name"].rpartition("/")[2]: set(params) for params in found if params.get("num_beams") != 1}
    assert kinds["bart-tiny-ko"] == {"model.name", "learning_rate", "num_beams", "length_penalty"}
    assert kinds["gpt2-tiny-ko"] == {"model.name", "learning_rate", "temperature", "top_p"}
    assert all((ROOT_DIR / params["model.name"]).is_dir() for params in found)
