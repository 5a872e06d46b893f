"""Studies that a user made: their own directions and objectives hold, and no number of trials is no limit."""

import json
import warnings

import optuna
import pytest
from optuna.trial import TrialState

from sweepkit.cli import seed_ttest
from sweepkit.errors import SpecError
from sweepkit.model.metric import Goal
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.studies.optimizer import NoResultError, OptunaOptimizer
from sweepkit.studies.results import StudyResult
from sweepkit.studies.yaml.optuna_config import read_optuna_text
from sweepkit.studies.yaml.optuna_sweep import sweep_dict
from sweepkit.sweep_config.read import from_config

SPACE = "search_space: {learning_rate: {type: loguniform, low: 1e-4, high: 1e-2}}\n"


@pytest.fixture
def optimizer(tmp_path):
    return OptunaOptimizer("tiny_bart_lora", output_dir=tmp_path)


def made(direction=None, directions=None, count=12):
    study = optuna.create_study(direction=direction, directions=directions)
    several = directions is not None

    def objective(trial):
        x = trial.suggest_float("x", -1, 1)
        return [x, x * x][: len(directions)] if several else x

    study.optimize(objective, n_trials=count)
    return study


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_is_the_studys_own(optimizer, tmp_path, direction):
    optimizer.study = made(direction)
    assert optimizer.get_best_value() == optimizer.study.best_value
    assert optimizer.get_best_params() == optimizer.study.best_params
    optimizer.save_results(tmp_path / "results")
    best = json.loads((tmp_path / "results" / "best_params.json").read_text(encoding="utf-8"))
    assert best["direction"] == direction and best["best_value"] == optimizer.study.best_value


def test_several_objectives_have_a_front_and_no_single_best(optimizer, tmp_path):
    optimizer.study = made(directions=["maximize", "minimize"])
    for ask in (optimizer.get_best_value, optimizer.get_best_params):
        with pytest.raises(NoResultError, match="2 objectives"):
            ask()
    names = {file.name for file in optimizer.save_results(tmp_path / "results")}
    assert "pareto_front.csv" in names
    stats = json.loads((tmp_path / "results" / "study_stats.json").read_text(encoding="utf-8"))
    assert stats["n_front"] == len(optimizer.study.best_trials)
    assert optimizer.plot_optimization_history(tmp_path / "plots")


def test_a_study_that_goes_on_is_asked_again_and_keeps_its_name(optimizer, tmp_path):
    optimizer.study = optuna.create_study(study_name="its own")
    for shift in (0, -1):
        optimizer.study.optimize(lambda trial, shift=shift: trial.suggest_float("x", 0, 1) + shift, n_trials=2)
        assert optimizer.get_best_value() == optimizer.study.best_value
        assert optimizer.get_best_params() == optimizer.study.best_params
    optimizer.save_results(tmp_path / "results")
    for name in ("best_params.json", "study_stats.json"):
        assert json.loads((tmp_path / "results" / name).read_text(encoding="utf-8"))["study_name"] == "its own"


@pytest.mark.parametrize("study", [{"direction": "minimize"}, {"directions": ["maximize", "maximize"]}])
def test_a_study_that_goes_another_way_is_refused_before_any_training(optimizer, study):
    with pytest.raises(SpecError, match="optuna.create_study\\(direction='maximize'\\)"):
        optuna.create_study(**study).optimize(optimizer.objective, n_trials=1)


def test_a_study_without_trials_leaves_no_file(optimizer, tmp_path):
    optimizer.study = optuna.create_study()
    with pytest.raises(NoResultError):
        optimizer.save_results(tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_no_number_of_trials_is_no_limit_where_there_is_one_of_time(tmp_path):
    assert "run_cap" not in sweep_dict(read_optuna_text(f"optuna: {{n_trials: null, timeout: 60}}\n{SPACE}"))
    assert sweep_dict(read_optuna_text(f"optuna: {{n_trials: null}}\n{SPACE}"))["run_cap"] == 20
    assert OptunaOptimizer(n_trials=None, timeout=60, output_dir=tmp_path).spec.run_cap is None
    with pytest.raises(SpecError, match="n_trials"):
        OptunaOptimizer(n_trials=None, output_dir=tmp_path)


PHASES = f"{SPACE}phases: [explore, {{name: confirm, top: 1, seeds: 2}}]\n"


def test_a_number_of_trials_counts_in_phases_or_is_refused():
    config = read_optuna_text(PHASES, n_trials=8)
    assert config.phases[0].n_trials == 4 and config.n_trials == 8
    own = PHASES.replace("[explore,", "[{name: explore, n_trials: 3},")
    assert read_optuna_text(own).phases[0].n_trials == 3
    with pytest.raises(SpecError, match="phases\\[0\\].n_trials"):
        read_optuna_text(own, n_trials=8)


def test_the_best_of_phases_is_what_was_confirmed():
    spec = from_config(sweep_dict(read_optuna_text(SPACE)))
    lucky = run_with(0, {"learning_rate": 0.1}, 0.9)
    confirmed = [run_with(1 + seed, {"learning_rate": 0.2, "seed": seed}, 0.5 + seed / 10) for seed in (0, 1)]
    result = StudyResult(name="s", spec=spec, runs=[lucky, *confirmed], chosen={"learning_rate": 0.2})
    best = result.best_configuration()
    assert best.value == pytest.approx(0.55) and result.tuned(best.first) == {"learning_rate": 0.2}


def test_the_best_of_stages_is_no_run_of_a_later_stage_that_keeps_its_values():
    spec = from_config(sweep_dict(read_optuna_text(SPACE)))
    first = [run_with(0, {"learning_rate": 0.1}, 0.4), run_with(1, {"learning_rate": 0.2}, 0.6)]
    later = [run_with(2, {"learning_rate": 0.2, "warmup_ratio": 0.1}, 0.3)]
    result = StudyResult(name="s", spec=spec, runs=[*first, *later], chosen={"learning_rate": 0.2})
    best = result.best_configuration()
    assert (best.value, best.first.number) == (0.6, 1)


def run_with(number, params, value):
    return RunRecord(
        run_id=f"r{number}",
        sweep_id="s",
        number=number,
        params=params,
        state=RunState.FINISHED,
        history=(value,),
        best_metrics={"eval/rougeL_f1": value},
    )


def test_the_median_rule_is_called_so():
    config = read_optuna_text(f"{SPACE}pruning: {{type: MedianPruner, n_startup_trials: 1}}\n")
    rule = from_config(sweep_dict(config)).extensions.early_terminate
    decision = make_stopping_rule(rule)
    assert decision.reason.startswith("median: ")


def make_stopping_rule(rule):
    from sweepkit.model.runs import RunView
    from sweepkit.stopping.percentile import Percentile

    view = RunView(number=0, run_id="r", params={}, state=RunState.RUNNING, history=(0.5,))
    return Percentile(rule, Goal.MAXIMIZE).decide(view, [])


@pytest.mark.slow
def test_a_study_with_many_left_out_is_told_by_counts_and_trials_without_the_parameter_are_no_group(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/s.db"
    study = optuna.create_study(storage=url, study_name="s", direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the choices that are lists, which this study has
        for number in range(30):
            trial = study.ask()
            trial.suggest_categorical("model", ["a", "b"])
            trial.suggest_categorical("layers", [[1, 2], [3]])
            pruned = number % 2
            study.tell(trial, state=TrialState.PRUNED if pruned else None, values=None if pruned else float(number))
        study.enqueue_trial({"model": "a"})
        study.ask()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert seed_ttest.main(["--sweep", f"optuna:{url}#s", "--by", "model", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not [item for item in said if "categorical" in str(item.message)]
    assert {model["name"] for model in found["models"]} == {"a", "b"}
    assert sum(model["n"] for model in found["models"]) == 15
    assert len([note for note in found["notes"] if "left out" in note]) == 2
