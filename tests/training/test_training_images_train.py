"""Training on images for real, in this process: small parts of the digits, a second each."""

import csv
import json
import math
import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.paths import CONFIG_DIR
from sweepkit.training.config.training import (
    ImageConfig,
    PerceiverConfig,
    TrainingConfig,
    apply,
    field_paths,
    read_training_config,
)
from sweepkit.training.images.arrays import read_digits
from sweepkit.training.images.scores import spread
from sweepkit.training.results import best_of
from sweepkit.training.usage import RecordedConfig

pytestmark = pytest.mark.slow

WORDS = words_of(__file__)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # transformers' own, at import
    from memory_bound import Memory

    from sweepkit.training import session
    from sweepkit.training.images.validation import Effort, ImageTrainer
    from sweepkit.training.tasks.base import Listeners, task

CONFIGS = [
    path
    for path in sorted([*CONFIG_DIR.glob("*.yaml"), *CONFIG_DIR.glob("models/*.yaml")])
    if not isinstance(read_training_config(path), TrainingConfig)
]
SMALL = {"max_samples": 200, "batch_size": 32, "epochs": 1, "folds": 1}


class Reporter:
    def __init__(self):
        self.rows, self.messages = [], []

    def report(self, values, step=None):
        self.rows.append({**values, "_step": step})

    def message(self, **message):
        self.messages.append(message)


def go(folder, config=None, **params):
    config = apply(config or ImageConfig(), params)
    recorded, reporter, lines = RecordedConfig(config), Reporter(), []
    listeners = Listeners(say=lines.append, used=lambda: sorted(recorded.read), reporter=reporter)
    outcome = task(config.task)(recorded, folder, listeners)
    return SimpleNamespace(
        folder=folder,
        outcome=outcome,
        rows=reporter.rows,
        messages=reporter.messages,
        lines=lines,
        read=recorded.read,
        last=outcome.history[-1].metrics,
        predictions=list(csv.DictReader(outcome.files["predictions.csv"].splitlines())),
    )


@pytest.mark.parametrize(
    ("config", "images", "least"),
    [
        (apply(ImageConfig(), {"model_name": "convnext"}), 350, 0.8),
        (apply(ImageConfig(), {"model_name": "swin", "epochs": 4}), 250, 0.65),
        (apply(ImageConfig(), {"model_name": "vit", "epochs": 4}), 600, 0.65),
        (apply(PerceiverConfig(), {"epochs": 5, "learning_rate": 4e-3, "depth": 1}), 600, 0.4),
    ],
    ids=["convnext", "swin", "vit", "perceiver"],
)
def test_every_model_learns_the_digits(tmp_path, config, images, least):
    got = go(tmp_path, config, max_samples=images, folds=1, batch_size=16)
    assert got.last["macro_f1"] > least, "chance is 0.1"
    assert 50_000 < got.outcome.facts["parameters"] < 100_000
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    return go(tmp_path_factory.mktemp("folded"), **{**SMALL, "epochs": 2, "folds": 3})


def test_each_fold_is_one_report_of_the_metric(folded):
    metric = [row for row in folded.rows if "eval/macro_f1" in row]
    epochs = [row for row in folded.rows if "fold/macro_f1" in row]
    assert [row["eval/fold"] for row in metric] == [1, 2, 3]
    assert [(row["fold/index"], row["fold/epoch"]) for row in epochs] == [(f, e) for f in (1, 2, 3) for e in (1.0, 2.0)]
    assert not any(name.startswith("eval/") for row in epochs for name in row)
    folds = [row["fold/macro_f1"] for row in epochs if row["fold/epoch"] == 2.0]
    assert [row["eval/fold_macro_f1"] for row in metric] == folds
    for done, row in enumerate(metric, 1):
        assert row["eval/macro_f1"] == pytest.approx(np.mean(folds[:done]))
        assert row["eval/macro_f1_std"] == pytest.approx(spread(folds[:done]))
        assert {"eval/accuracy", "eval/loss"} <= set(row)
    steps = [row["_step"] for row in folded.rows]
    assert steps == sorted(steps) and steps[-1] == folded.outcome.steps == 3 * 2 * 5
    assert {"train/loss", "train/learning_rate"} <= set(epochs[0])
    assert [row["epoch"] for row in metric] == [2.0, 4.0, 6.0]


def test_what_was_used_and_the_first_step_are_told_once_and_before_the_metric(folded):
    assert [next(iter(message)) for message in folded.messages] == [
        "_sweepkit_facts",
        "_sweepkit_first_step",
        "_sweepkit_read",
    ]
    assert folded.messages[0]["_sweepkit_facts"]  # that its last report counts: a mean over all folds
    read = folded.messages[2]["_sweepkit_read"]
    assert {"training.learning_rate", "validation.folds", "model.drop_path"} <= set(read)
    assert not {"validation.val_ratio", "model.heads", "quick_validation.epochs", "data.image_column"} & set(read)


def test_the_outcome_of_folds(folded):
    outcome = folded.outcome
    assert (outcome.metric, outcome.diverged, outcome.device) == ("macro_f1", False, "cpu")
    assert len(outcome.history) == 3
    assert list(folded.folder.iterdir()) == []
    folds = outcome.facts["folds"]
    assert [fold["fold"] for fold in folds] == [1, 2, 3]
    values = [fold["macro_f1"] for fold in folds]
    assert outcome.facts["macro_f1_mean"] == pytest.approx(np.mean(values))
    assert outcome.facts["macro_f1_std"] == pytest.approx(np.std(values, ddof=1))
    assert outcome.history[-1].metrics["macro_f1"] == pytest.approx(outcome.facts["macro_f1_mean"])
    assert outcome.facts["classes"] == list("0123456789")
    assert sum(fold["val_rows"] for fold in folds) == outcome.val_rows == 200
    assert json.dumps(outcome.facts)


def test_the_predictions_hold_each_image_once_with_its_label(folded):
    rows = folded.predictions
    numbers = [int(row["image"]) for row in rows]
    assert len(set(numbers)) == 200 and numbers == sorted(numbers)
    digits = read_digits().labels
    assert all(int(row["label"]) == digits[int(row["image"])] for row in rows)
    for fold in folded.outcome.facts["folds"]:
        own = [row for row in rows if row["fold"] == str(fold["fold"])]
        right = np.mean([row["label"] == row["predicted"] for row in own])
        assert (len(own), right) == (fold["val_rows"], pytest.approx(fold["accuracy"]))


def test_the_console_tells_epochs_and_folds(folded):
    assert [line.split("  ")[0] for line in folded.lines] == ["fold 1/3"] * 3 + ["fold 2/3"] * 3 + ["fold 3/3"] * 3
    assert folded.lines[2].startswith("fold 1/3  mean F1 0.")


def test_one_fold_reports_each_epoch(tmp_path):
    got = go(tmp_path, **{**SMALL, "epochs": 2.5, "val_ratio": 0.3})
    assert [row["epoch"] for row in got.rows] == pytest.approx([1.0, 2.0, 2.5], abs=0.15)
    assert all({"eval/macro_f1", "eval/accuracy", "eval/loss", "train/loss"} <= set(row) for row in got.rows)
    assert not any("fold" in name for row in got.rows for name in row)
    assert [item.metrics["macro_f1"] for item in got.outcome.history] == [row["eval/macro_f1"] for row in got.rows]
    assert len(got.predictions) == got.outcome.val_rows == pytest.approx(60, abs=5)
    assert "validation.val_ratio" in got.read


@pytest.mark.parametrize("config", [ImageConfig(), PerceiverConfig()], ids=["convnext", "perceiver"])
def test_equal_seeds_give_equal_bits_and_others_do_not(tmp_path, config):
    params = {**SMALL, "max_samples": 100, "mixup_alpha": 0.3, "model.dropout": 0.2}
    one, same, other = (go(tmp_path, config, **params, seed=seed) for seed in (7, 7, 8))
    assert one.outcome.history == same.outcome.history
    assert one.predictions == same.predictions
    assert one.outcome.history != other.outcome.history
    assert [row["image"] for row in one.predictions] != [row["image"] for row in other.predictions]


def test_settings_reach_the_training(tmp_path):
    small = {**SMALL, "epochs": 2, "max_samples": 60}
    plain = go(tmp_path, **small)
    changes = {
        "mixup_alpha": 0.5,
        "label_smoothing": 0.2,
        "drop_path": 0.5,
        "dropout": 0.5,
        "grad_clip_norm": 0.01,
        "warmup_epochs": 1.0,
        "weight_decay": 5.0,
        "lr_scheduler_type": "cosine",
        "optim": "sgd",
        "learning_rate": 1e-3,
        "batch_size": 16,
        "layer_scale": 1e-6,
    }
    for name, value in changes.items():
        assert go(tmp_path, **{**small, name: value}).last["loss"] != plain.last["loss"], name
    constant = go(tmp_path, **small, lr_scheduler_type="constant")
    assert "training.warmup_epochs" not in constant.read
    split = go(tmp_path, **{**small, "batch_size": 16, "gradient_accumulation_steps": 2})
    assert split.outcome.steps == plain.outcome.steps
    assert split.last["loss"] == pytest.approx(plain.last["loss"], rel=0.02), "equal but for rounding"


def test_the_evaluation_loss_is_without_smoothing(tmp_path):
    rough, smooth = (go(tmp_path, **SMALL, learning_rate=1e-12, label_smoothing=e) for e in (0.0, 0.5))
    assert smooth.last["loss"] == pytest.approx(rough.last["loss"], rel=1e-5)
    assert smooth.rows[0]["train/loss"] != pytest.approx(rough.rows[0]["train/loss"], rel=1e-3)


@pytest.mark.parametrize("folds", [1, 3])
def test_a_loss_that_is_no_number_ends_the_run_and_is_told(tmp_path, folds):
    got = go(tmp_path, **{**SMALL, "epochs": 3, "folds": folds}, learning_rate=1e30, grad_clip_norm=0.0)
    assert got.outcome.diverged
    assert len(got.outcome.history) == 1
    (row,) = [row for row in got.rows if "eval/macro_f1" in row]
    assert math.isnan(row["eval/macro_f1"]) and not math.isfinite(row["eval/loss"])
    assert best_of(got.outcome.history, "macro_f1") is None


def test_quick_validation_goes_before_the_training(tmp_path):
    params = {
        "quick_validation.enabled": True,
        "quick_validation.epochs": 0.5,
        "quick_validation.batch_size_override": 20,
    }
    full = go(tmp_path, **{**SMALL, "folds": 3})
    quick = go(tmp_path, **{**SMALL, "folds": 3, **params})
    assert [fold["steps"] for fold in quick.outcome.facts["folds"]] == [4, 4]
    assert "training.per_device_train_batch_size" not in quick.read
    rows = {
        name: [row["image"] for row in got.predictions if row["fold"] == "2"]
        for name, got in (("f", full), ("q", quick))
    }
    assert rows["f"] == rows["q"], "its folds are the first of the full validation's"


def test_the_effort_of_a_quick_validation():
    config = apply(ImageConfig(), {"epochs": 10, "warmup_epochs": 2.0, "quick_validation.enabled": True})
    assert Effort.of(config) == Effort(epochs=2.0, warmup_epochs=0.4, batch_size=64, folds=2)
    changes = {"quick_validation.epochs": None, "quick_validation.folds": None, "lr_scheduler_type": "constant"}
    assert Effort.of(apply(config, changes)) == Effort(epochs=10.0, warmup_epochs=0.0, batch_size=64, folds=None)
    full = Effort.of(apply(config, {"quick_validation.enabled": False}))
    assert full == Effort(epochs=10.0, warmup_epochs=2.0, batch_size=64, folds=None)


def test_the_datas_own_test_part_can_be_the_judge(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPKIT_CACHE_DIR", str(tmp_path / "cache"))
    digits = read_digits()
    pixels, labels = digits.pixels[:260], digits.labels[:260]
    np.savez(tmp_path / "d.npz", x_train=pixels[:200], y_train=labels[:200], x_test=pixels[200:], y_test=labels[200:])
    source = str(tmp_path / "d.npz")
    got = go(tmp_path, PerceiverConfig(), source=source, use_test_part=True, epochs=1)
    assert (got.outcome.train_rows, got.outcome.val_rows) == (200, 60)
    assert [row["image"] for row in got.predictions] == [str(row) for row in range(200, 260)]
    assert "validation.folds" not in got.read
    folded = go(tmp_path, PerceiverConfig(), source=source, folds=2, epochs=0.2)
    assert sorted(int(row["image"]) for row in folded.predictions) == list(range(200)), "else it is left alone"
    with pytest.raises(DataError, match=WORDS["part-the-data"]):
        go(tmp_path, use_test_part=True)


def test_saved_models_are_checkpoints_that_score_the_same(tmp_path):
    small = {**SMALL, "max_samples": 100}
    trained = go(tmp_path / "a", **{**small, "epochs": 3}, model_name="vit", save_model=True, dropout=0.1)
    folder = tmp_path / "a" / "model"
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "preprocessor_config.json"}
    again = go(tmp_path / "b", **small, model_name=str(folder), learning_rate=1e-12)
    assert again.last["loss"] == pytest.approx(trained.last["loss"], rel=1e-4)
    assert again.predictions == trained.predictions
    assert not (tmp_path / "b" / "model").exists()
    go(tmp_path / "c", PerceiverConfig(), **{**small, "folds": 2}, save_model=True)
    assert {path.name for path in (tmp_path / "c" / "model").iterdir()} == {"fold_1", "fold_2"}
    said = json.loads((tmp_path / "c" / "model" / "fold_1" / "config.json").read_text(encoding="utf-8"))
    assert said["model"]["latent_dim"] == 64 and len(said["mean"]) == 1


def test_a_vit_says_that_it_has_no_stochastic_depth(tmp_path):
    got = go(tmp_path, **{**SMALL, "epochs": 0.2}, model_name="vit", drop_path=0.1)
    assert got.lines[0] == WORDS["path-a-vit"]
    assert "model.drop_path" not in got.read


def test_a_label_with_one_image_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPKIT_CACHE_DIR", str(tmp_path / "cache"))
    labels = ["cat"] * 4 + ["dog"] * 4 + ["eel"]
    np.savez(tmp_path / "d.npz", images=np.zeros((9, 8, 8)), labels=labels)
    with pytest.raises(DataError, match=WORDS["each-class-must"]):
        go(tmp_path, source=str(tmp_path / "d.npz"), folds=3)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_committed_configuration_trains_in_its_quick_form(path, tmp_path):
    config = read_training_config(path)
    quick = {"quick_validation.enabled": True, "quick_validation.epochs": 0.5, "max_samples": 100}
    if path.stem == "convnext_tiny":  # a checkpoint of a hub and images of the user's own
        with pytest.raises(DataError, match=WORDS["documents'-which-does"]):
            go(tmp_path, config, **quick)
        quick |= {"source": "digits", "model_name": "convnext", "img_size": 8, "bf16": False}
    got = go(tmp_path, config, **quick)
    assert len([row for row in got.rows if "eval/macro_f1" in row]) == min(2, config.validation.folds)
    assert math.isfinite(got.last["loss"])


def test_the_configurations_of_both_tasks_state_every_field_with_its_default():
    from ruamel.yaml import YAML

    for name, kind in (("image_classification", ImageConfig), ("perceiver", PerceiverConfig)):
        path = CONFIG_DIR / f"{name}.yaml"
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        assert document.pop("task") == name
        stated = {f"{section}.{field}" for section, fields in document.items() for field in fields}
        assert stated == {path for path in field_paths(kind) if not path.startswith("reproduces.")}
        assert read_training_config(path) == kind()


def test_the_session_writes_the_result_and_the_predictions(tmp_path, capsys):
    config = apply(PerceiverConfig(), {**SMALL, "output.directory": str(tmp_path)})
    file = tmp_path / "reports.jsonl"
    assert session.run(config, names=["rate", "epochs"], environ={**os.environ, "SWEEPKIT_REPORT_FILE": str(file)}) == 0
    result = json.loads((tmp_path / "results" / "training_results.json").read_text(encoding="utf-8"))
    assert result["best_metrics"]["macro_f1"] == result["macro_f1_mean"]
    assert result["config"]["task"] == "perceiver" and result["parameters"] > 0
    assert (
        (tmp_path / "results" / "predictions.csv")
        .read_text(encoding="utf-8")
        .startswith("image,label,predicted,fold,p_")
    )
    assert "best eval/macro_f1 0." in capsys.readouterr().out.splitlines()[-1]
    read = [row["_sweepkit_read"] for row in map(json.loads, file.read_text().splitlines()) if "_sweepkit_read" in row]
    assert read == [["epochs"]]


def test_a_full_memory_is_answered_within_the_fold_with_the_same_steps(tmp_path, monkeypatch):
    config = apply(ImageConfig(), {**SMALL, "output.directory": str(tmp_path), "dropout": 0.0, "drop_path": 0.0})
    free, full = Memory(), Memory(most_at_once=16)
    results = []
    for memory in (free, full):
        with monkeypatch.context() as patched:
            memory.most = None if memory is free else free.peak // 3
            memory.install(patched.setattr, ImageTrainer)
            assert session.run(config, names=[], environ={}) == 0
        results.append(json.loads((tmp_path / "results" / "training_results.json").read_text(encoding="utf-8")))
    unbound, bound = results
    assert full.refused > 0 and full.peak <= full.most
    assert [fold["out_of_memory"] for fold in unbound["folds"]] == [None] * len(unbound["folds"])
    assert all(fold["out_of_memory"]["per_device_eval_batch_size"] <= 16 for fold in bound["folds"])
    assert bound["steps"] == unbound["steps"]
    assert bound["last_metrics"]["loss"] == pytest.approx(unbound["last_metrics"]["loss"], rel=1e-3)
