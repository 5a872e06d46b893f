"""The guides' seven checks of OptunaOptimizer: python src/tests/test_optuna.py"""

import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
import optuna  # noqa: E402

from src.optimization import OptunaOptimizer, create_optuna_optimizer  # noqa: E402

_FOLDER = tempfile.mkdtemp()


def _optimizer(**more):
    return OptunaOptimizer("tiny_bart_lora", n_trials=2, study_name="checks", output_dir=_FOLDER, **more)


def check_initialization():
    assert _optimizer().n_trials == 2


def check_search_space():
    trial = optuna.create_study().ask()
    assert len(_optimizer().create_search_space(trial)) == 15


def check_ranges():
    values = _optimizer().create_search_space(optuna.create_study().ask())
    assert values["lora_r"] in (8, 16, 32, 64) and 0.0 <= values["lora_dropout"] <= 0.2


def check_sampler_and_pruner():
    optimizer = _optimizer(sampler="tpe", pruner="median")
    assert optimizer.spec.early_terminate is not None


def _study():
    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("learning_rate", 1e-4, 1e-2), n_trials=3)
    return study


def check_best_params():
    optimizer = _optimizer()
    optimizer.study = _study()
    assert optimizer.get_best_params() == optimizer.study.best_params


def check_results():
    optimizer = _optimizer()
    optimizer.study = _study()
    names = {file.name for file in optimizer.save_results(Path(_FOLDER, "results"))}
    assert {"best_params.json", "all_trials.csv", "study_stats.json"} <= names


def check_create_optuna_optimizer():
    assert isinstance(create_optuna_optimizer("tiny_bart_lora", output_dir=_FOLDER), OptunaOptimizer)


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    checks = [function for name, function in globals().items() if name.startswith("check_")]
    for check in checks:
        check()
        print(f"passed: {check.__name__.removeprefix('check_')}")
    print(f"{len(checks)}/{len(checks)} passed")


if __name__ == "__main__":
    main()
