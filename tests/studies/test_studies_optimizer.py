"""The guide's seven tests of OptunaOptimizer, training for real; its trials in this process and in transformers."""

import contextlib
import csv
import gc
import json
import warnings
import weakref

import optuna
import pytest
import yaml
from small_study import SMALL, SPACE, rows
from snapshots import words_of

from sweepkit.cli.trainer import main
from sweepkit.errors import DataError, SpecError
from sweepkit.studies import optimizer as optimizer_module
from sweepkit.studies.optimizer import NoResultError, OptunaOptimizer, create_optuna_optimizer
from sweepkit.studies.yaml.study_sweep import study_sweep
from sweepkit.training.config.training import TrainingConfig, read_training_config

WORDS = words_of(__file__)

NAMES = {
    "lora_r", "lora_alpha", "lora_dropout", "learning_rate", "batch_size", "num_epochs", "warmup_ratio", "weight_decay",
    "scheduler_type", "temperature", "top_p", "num_beams", "length_penalty", "hidden_dropout", "attention_dropout",
}  # fmt: skip
# As the guide writes it, with the names of its own classes.
GUIDE = {
    "model": {"name": "test_model", "hidden_dropout_prob": 0.1, "attention_dropout_prob": 0.1},
    "training": {
        "learning_rate": 5e-5, "batch_size": 16, "num_epochs": 3, "warmup_ratio": 0.1, "weight_decay": 0.01,
        "scheduler_type": "linear",
    },
    "generation": {"temperature": 1.0, "top_p": 0.9, "num_beams": 4, "length_penalty": 1.0},
    "lora": {"r": 16, "alpha": 32, "dropout": 0.05},
    "logging": {"use_wandb": False},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _library_warnings(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("SWEEPKIT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def small(folder, **settings):
    given = {"n_trials": 3, "search_space": SPACE, "output_dir": folder, "study_name": "small", **settings}
    return OptunaOptimizer(SMALL, rows(0, 8), rows(8, 12), **given)


# A training of a moment in the place of trainer.py, with a report an epoch; the one that is to be pruned goes on
# until it is.
TRIAL = """
import json, os, sys, time

given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
with open(os.environ["SWEEPKIT_RUN_DIR"] + "/argv.json", "w") as file:
    json.dump(sys.argv[1:], file)
step, rate = 0, float(given["learning_rate"])
while step < (2000 if rate == 0.001 else int(given.get("num_epochs", 1))):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as reports:
        print(json.dumps({"eval/rougeL_f1": rate, "_step": step}), file=reports)
    step += 1
    time.sleep(0.01)
"""


def light(study, program):
    sweep = study_sweep(study)
    return {**sweep, "program": str(program), "sweepkit": {**sweep["sweepkit"], "preload": []}}


@contextlib.contextmanager
def light_trials(folder):
    """Let trials run TRIAL, written into that folder, by agents as ever; the studies that are run are listed."""
    (folder / "trial.py").write_text(TRIAL)
    studies = []

    def lightened(study):
        studies.append(study)
        return light(study, folder / "trial.py")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(optimizer_module, "study_sweep", lightened)
        yield studies


@pytest.fixture(scope="module")
def optimized(tmp_path_factory):
    """An optimizer that has run three light trials by agents, and the study it returned."""
    folder = tmp_path_factory.mktemp("optimized")
    optimizer = small(folder, pruner="none")
    with warnings.catch_warnings(), light_trials(folder) as studies:
        warnings.simplefilter("ignore")
        study = optimizer.optimize()
    optimizer.base_config = studies[-1].base_config
    return optimizer, study


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An optimizer whose three trials have trained for real, by agents (9 s of CPU)."""
    optimizer = small(tmp_path_factory.mktemp("trained"), pruner="none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optimizer, optimizer.optimize()


# -- the guide's seven ------------------------------------------------------------------------------------------------


def test_initialization():
    optimizer = create_optuna_optimizer(config=GUIDE, n_trials=10, study_name="test_study")
    assert (optimizer.study_name, optimizer.n_trials, optimizer.direction) == ("test_study", 10, "maximize")
    assert optimizer.metric.name == "eval/rougeL_f1"
    config = optimizer.training_config()
    assert (config.model.name, config.model.dropout_rate, config.model.attention_dropout) == ("test_model", 0.1, 0.1)
    assert (config.training.per_device_train_batch_size, config.training.num_train_epochs) == (16, 3.0)
    assert (config.lora.alpha, config.wandb.enabled) == (32.0, False)
    for wrong in ({"direction": "up"}, {"pruner": "hedge"}, {"config": {"training": {"lerning_rate": 1}}}):
        with pytest.raises(SpecError):
            OptunaOptimizer(**wrong)


def test_search_space():
    optimizer = OptunaOptimizer(GUIDE, n_trials=1)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    samples = [optimizer.create_search_space(study.ask()) for _ in range(40)]
    assert all(set(sample) == NAMES for sample in samples)
    ranges = {
        "lora_dropout": (0.0, 0.2), "learning_rate": (1e-6, 1e-4), "num_epochs": (3, 10), "warmup_ratio": (0.0, 0.2),
        "weight_decay": (0.0, 0.1), "temperature": (0.1, 1.0), "top_p": (0.5, 1.0), "length_penalty": (0.5, 2.0),
        "hidden_dropout": (0.0, 0.3), "attention_dropout": (0.0, 0.3),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        values = [sample[name] for sample in samples]
        assert low <= min(values) < max(values) <= high, name
    choices = {
        "lora_r": {8, 16, 32, 64}, "lora_alpha": {16, 32, 64, 128}, "batch_size": {8, 16, 32, 64},
        "num_beams": {2, 4, 6, 8}, "scheduler_type": {"linear", "cosine", "cosine_with_restarts", "polynomial"},
    }  # fmt: skip
    for name, wanted in choices.items():
        assert {sample[name] for sample in samples} == wanted, name
    rates = OptunaOptimizer(None).create_search_space(study.ask())["learning_rate"]
    assert 1e-4 <= rates <= 1e-2  # the embedded model


@pytest.mark.slow
def test_objective_trains_reports_and_is_pruned(tmp_path):
    optimizer = small(tmp_path)

    class Second(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 1

    study = optuna.create_study(direction="maximize", pruner=Second())
    study.enqueue_trial({"learning_rate": 5e-3, "lora_r": 4, "num_epochs": 2})
    study.enqueue_trial({"learning_rate": 5e-3, "lora_r": 4, "num_epochs": 2})
    study.optimize(optimizer.objective, n_trials=2)
    first, second = study.trials
    assert first.state.name == "COMPLETE" and list(first.intermediate_values) == [0, 1]
    assert first.value == max(first.intermediate_values.values())
    assert second.state.name == "PRUNED" and list(second.intermediate_values) == [0]  # in the middle of its training
    assert second.intermediate_values[0] == first.intermediate_values[0]
    assert _models() == []
    optimizer.study = study
    assert optimizer.get_best_value() == study.best_value
    assert optimizer.get_best_params() == study.best_params
    optimizer.save_results(tmp_path / "own")
    stats = json.loads((tmp_path / "own" / "study_stats.json").read_text())
    assert (stats["n_completed"], stats["n_pruned"], stats["best_trial_number"]) == (1, 1, 0)
    (config,) = (tmp_path / "own").glob("train_optimized_*.yaml")
    assert read_training_config(config).lora.r == 4


def _optimized(optimizer, study):
    assert isinstance(study, optuna.Study) and study.study_name == "small"
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert all(set(SPACE) <= set(trial.params) for trial in study.trials)
    for trial in study.trials:
        assert len(trial.intermediate_values) == trial.params["num_epochs"]  # a report an epoch
    again = small(optimizer.output_dir, pruner="none")
    assert [trial.values for trial in again.optimize().trials] == [trial.values for trial in study.trials]


@pytest.mark.slow
def test_optimize(optimized):
    with light_trials(optimized[0].output_dir):
        _optimized(*optimized)


@pytest.mark.heavy
def test_optimize_by_real_trainings(trained):
    _optimized(*trained)


@pytest.mark.slow
def test_best_params_and_value(optimized):
    optimizer, study = optimized
    assert optimizer.get_best_value() == study.best_value
    best = optimizer.get_best_params()
    assert set(best) == set(SPACE) and best == {name: study.best_params[name] for name in SPACE}


@pytest.mark.slow
def test_save_results(optimized, tmp_path):
    optimizer, study = optimized
    files = optimizer.save_results(tmp_path)
    best = json.loads((tmp_path / "best_params.json").read_text())
    assert best["best_value"] == study.best_value and best["best_params"] == optimizer.get_best_params()
    stats = json.loads((tmp_path / "study_stats.json").read_text())
    assert (stats["n_trials"], stats["n_completed"], stats["n_pruned"], stats["n_failed"]) == (3, 3, 0, 0)
    assert stats["best_trial_number"] == study.best_trial.number and stats["duration_s"]["mean"] > 0
    with open(tmp_path / "all_trials.csv", encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [int(row["number"]) for row in table] == [0, 1, 2]
    assert [float(row["value"]) for row in table] == [trial.value for trial in study.trials]
    assert {row["state"] for row in table} == {"COMPLETE"}
    assert float(table[0]["params_learning_rate"]) == study.trials[0].params["learning_rate"]
    assert files


@pytest.mark.slow
def test_plots(optimized, tmp_path):
    optimizer, _ = optimized
    wanted = {"optimization_history.html", "param_importances.html", "parallel_coordinate.html"}
    made = {file.name for file in optimizer.plot_optimization_history(tmp_path)}
    assert wanted | {"optuna_study_report.html"} <= made
    assert wanted <= {file.name for file in optimizer.folder.glob("*.html")}  # optimize() wrote them, too
    report = (tmp_path / "optuna_study_report.html").read_text(encoding="utf-8")
    assert "small" in report and "<script src=" not in report


# -- beyond them ------------------------------------------------------------------------------------------------------


def _best_by_the_trainer(optimizer, folder):
    """Return the best value of the trainer's command line with the configuration that the optimizer saves."""
    config = optimizer.save_results(folder)[-1]
    assert config.name.startswith("train_optimized_")
    assert main(["--config", str(config), "--output-dir", str(folder / "run")]) == 0
    result = json.loads((folder / "run" / "results" / "training_results.json").read_text())
    return result["best_metrics"]["rougeL_f1"]


@pytest.mark.slow
def test_what_a_trial_of_agents_is_called_with_trains_as_its_objective_does(optimized, tmp_path, monkeypatch):
    optimizer, _ = optimized
    argv = json.loads(next(optimizer.output_dir.rglob("argv.json")).read_text())
    monkeypatch.setenv("SWEEPKIT_RUN_DIR", str(tmp_path / "run"))
    assert main(["--config", optimizer.base_config, *argv]) == 0
    monkeypatch.delenv("SWEEPKIT_RUN_DIR")
    result = json.loads((tmp_path / "run" / "results" / "training_results.json").read_text())
    given = dict(word.lstrip("-").split("=", 1) for word in argv)
    params = {name: yaml.safe_load(given[name]) for name in SPACE}
    own = optuna.create_study(direction="maximize")
    own.enqueue_trial(params)
    own.optimize(small(tmp_path / "own").objective, n_trials=1)
    assert own.best_params == pytest.approx(params)
    assert result["best_metrics"]["rougeL_f1"] == pytest.approx(own.best_value, abs=1e-9)
    saving = small(tmp_path / "own")
    saving.study = own
    assert _best_by_the_trainer(saving, tmp_path / "saved") == pytest.approx(own.best_value, abs=1e-9)


@pytest.mark.heavy
def test_the_optimized_configuration_trains_to_the_best_value(trained, tmp_path, capsys):
    optimizer, study = trained
    assert _best_by_the_trainer(optimizer, tmp_path) == pytest.approx(study.best_value, abs=1e-9)
    assert "reproduce" in capsys.readouterr().out


def _models():
    """Return the models of transformers that live."""
    gc.collect()
    return [item for item in gc.get_objects() if any(kind.__name__ == "PreTrainedModel" for kind in type(item).__mro__)]


@pytest.mark.slow
def test_a_model_is_gone_after_an_error_that_is_kept(tmp_path, monkeypatch):
    from sweepkit.training.tasks import summarization

    seen = []

    class Failing(summarization.FittingSummarizer):
        def evaluate(self, *args, **kwargs):
            seen.append(weakref.ref(self.model))
            raise RuntimeError("no evaluation")

    monkeypatch.setattr(summarization, "FittingSummarizer", Failing)
    with pytest.raises(RuntimeError, match="no evaluation") as kept:
        small(tmp_path).objective(optuna.create_study(direction="maximize").ask())
    assert seen and seen[0]() is None, kept.value
    assert _models() == []


@pytest.mark.slow
def test_transformers_own_search_takes_the_space_and_the_storage(tmp_path):
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    from sweepkit.training.dataset import load as load_data
    from sweepkit.training.models.batches import Seq2SeqCollator
    from sweepkit.training.models.loading import load

    optimizer = OptunaOptimizer(SMALL, rows(0, 8), rows(8, 12), output_dir=tmp_path)
    config = optimizer.training_config()
    loaded = load(config)
    train, val = load_data(config, loaded.tokenizer, prompt=None, cache_dir=tmp_path / "cache", say=print)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path / "hf"), report_to="none", save_strategy="no", eval_strategy="epoch", use_cpu=True,
        warmup_steps=0.0, disable_tqdm=True, max_steps=2,
    )  # fmt: skip
    trainer = Seq2SeqTrainer(
        args=arguments, model_init=optimizer.model_init, train_dataset=train, eval_dataset=val,
        data_collator=Seq2SeqCollator(loaded.tokenizer.pad_token_id, loaded.model),
    )  # fmt: skip
    best = trainer.hyperparameter_search(
        n_trials=2, backend="optuna", direction="minimize", hp_space=optimizer.hp_space, storage=optimizer.storage,
        study_name="transformers",
    )  # fmt: skip
    study = optuna.load_study(study_name="transformers", storage=optimizer.storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    assert set(study.trials[0].params) == NAMES
    assert best.objective == min(trial.value for trial in study.trials)
    last = study.trials[-1].params
    assert trainer.args.learning_rate == last["learning_rate"]
    assert trainer.args.per_device_train_batch_size == last["batch_size"]
    assert trainer.args.warmup_steps == last["warmup_ratio"]
    assert trainer.args.lr_scheduler_type.value == last["scheduler_type"]
    assert optimizer.model_init(optuna.trial.FixedTrial(last)).peft_config["default"].r == last["lora_r"]


def test_nothing_is_known_before_a_trial():
    optimizer = OptunaOptimizer(GUIDE)
    for ask in (optimizer.get_best_params, optimizer.get_best_value, optimizer.save_results):
        with pytest.raises(NoResultError, match="call optimize"):
            ask()
    with pytest.raises(ValueError):
        optimizer.get_best_value()


def test_a_study_of_ones_own_is_saved_without_our_parameters(tmp_path):
    optimizer = OptunaOptimizer(GUIDE)
    study = optuna.create_study(direction="maximize")
    for other, value in enumerate((0.4, 0.5, float("nan")), 1):
        study.enqueue_trial({"other": other})  # trials of equal parameters would be one configuration
        trial = study.ask()
        trial.suggest_int("other", 1, 3)
        study.tell(trial, value)
    optimizer.study = study
    optimizer.save_results(tmp_path)
    stats = json.loads((tmp_path / "study_stats.json").read_text())
    assert (stats["n_completed"], stats["n_failed"], stats["best_value"]) == (2, 1, 0.5)


def test_the_best_trial_of_a_study_of_ones_own_is_a_single_one(tmp_path):
    optimizer = OptunaOptimizer(GUIDE)
    study = optuna.create_study(direction="maximize")
    for value in (0.1, 0.5):  # the same configuration twice: Optuna names the better trial, and no mean
        trial = study.ask()
        trial.suggest_int("other", 1, 1)
        study.tell(trial, value)
    optimizer.study = study
    assert optimizer.get_best_value() == study.best_value == 0.5
    optimizer.save_results(tmp_path)
    assert json.loads((tmp_path / "best_params.json").read_text())["best_trial_number"] == study.best_trial.number == 1


def test_data_sets_in_their_usual_forms_become_the_same_file(tmp_path):
    import pandas

    some = [{"dialogue": f"안녕 {number}", "summary": "인사"} for number in range(3)]

    class Indexed:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return some[index]

    pairs = [(row["dialogue"], row["summary"]) for row in some]
    files = set()
    for data in (some, pairs, pandas.DataFrame(some), Indexed(), iter(some)):
        config = OptunaOptimizer(None, data, output_dir=tmp_path).training_config()
        files.add(config.data.train_file)
        assert config.data.val_file == "data/dev.csv"
    (file,) = files
    assert [json.loads(line) for line in open(file, encoding="utf-8")] == some
    with pytest.raises(DataError, match="column 'summary'"):
        OptunaOptimizer(None, [{"dialogue": "a"}], output_dir=tmp_path).training_config()
    with pytest.raises(DataError, match="does not exist"):
        OptunaOptimizer(None, "nowhere.csv", output_dir=tmp_path).training_config()


def test_a_configuration_in_its_usual_forms():
    config = TrainingConfig()
    assert OptunaOptimizer(config).training_config() is config
    assert OptunaOptimizer("tiny_t5").training_config().model.name.endswith("t5-tiny-ko")
    with pytest.raises(SpecError, match=WORDS["must-be-a"]):
        OptunaOptimizer(3)
    with pytest.raises(SpecError, match=WORDS["guide-are-those"]):
        OptunaOptimizer("perceiver")


# -- a space, a sampler, a pruner of one's own ------------------------------------------------------------------------


class Conditional(OptunaOptimizer):
    """As the guide's section on conditional spaces writes it."""

    def create_search_space(self, trial):
        params = {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)}
        if "bart" in self.config.model.name.lower():
            params["num_epochs"] = trial.suggest_int("num_epochs", 1, 2)
            if params["num_epochs"] == 2:
                params["lora_r"] = trial.suggest_categorical("lora_r", [2, 4])
        return params


class Second(optuna.pruners.BasePruner):
    """Prunes the second trial at its first report."""

    def prune(self, study, trial):
        return trial.number == 1


@pytest.mark.slow
def test_a_subclass_with_its_own_space_sampler_and_pruner(tmp_path):
    settings = {"n_trials": 4, "output_dir": tmp_path, "study_name": "own"}
    data = (rows(0, 8), rows(8, 12))
    optimizer = Conditional(SMALL, *data, **settings, sampler=optuna.samplers.RandomSampler(seed=3), pruner=Second())
    optimizer.enqueue_trial({"num_epochs": 2, "lora_r": 4})
    optimizer.enqueue_trial({"num_epochs": 2, "learning_rate": 0.001})
    with light_trials(tmp_path):
        study = optimizer.optimize()
    trials = study.trials
    assert len(trials) == 4 and (trials[0].params["num_epochs"], trials[0].params["lora_r"]) == (2, 4)
    assert trials[1].params["learning_rate"] == 0.001 and trials[1].state.name == "PRUNED"
    assert all(("lora_r" in trial.params) == (trial.params["num_epochs"] == 2) for trial in trials)
    assert optimizer.get_best_value() == study.best_value


def test_a_space_with_parameters_that_the_trainer_has_not():
    class Wrong(OptunaOptimizer):
        def create_search_space(self, trial):
            return {"lerning_rate": trial.suggest_float("lerning_rate", 0, 1)}

    with pytest.raises(SpecError, match="lerning_rate"):
        Wrong(GUIDE)


def test_enqueued_trials_are_the_first_points_of_the_sweep():
    optimizer = OptunaOptimizer(None, n_trials=3)
    optimizer.enqueue_trial({"lora_r": 8})
    sweep = optimizer._sweep("base_config")
    assert sweep["sweepkit"]["first_points"] == [{"lora_r": 8}] and sweep["sweepkit"]["sampler"] == "tpe"
