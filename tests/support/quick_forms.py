"""Train any configuration on a few rows for two steps, and see that it evaluated."""

import json
import warnings

import pytest

from sweepkit.errors import DataError
from sweepkit.training.config.training import apply

# What a few rows and steps need; everything else stays as the file has it.
SMALL = {
    "summarization": {
        "max_train_samples": 16,
        "max_val_samples": 4,
        "allow_small_val": True,
        "max_steps": 2,
        "tokenizer.decoder_max_len": 12,  # an untrained model generates up to it, at each evaluation
        "save_model": False,
        "wandb.enabled": False,
    },
    "image_classification": {
        "max_samples": 120,
        "quick_validation.enabled": True,
        "quick_validation.epochs": 1,
        "quick_validation.folds": 2,
        "wandb.enabled": False,
    },
}
SMALL["perceiver"] = SMALL["image_classification"]


def on_hub(config):
    """Return whether the model must come from the hub, which no test has."""
    name = config.model.name
    return "/" in name and not name.startswith("data/") if config.task != "perceiver" else False


def train(config, folder, monkeypatch):
    """Train in this process; return the result file's content."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, at import
        from sweepkit.training.session import run
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    small = apply(config, {**SMALL[config.task], "output.directory": str(folder)})
    assert run(small, names=[], environ={}) == 0
    return json.loads((folder / "results" / "training_results.json").read_text(encoding="utf-8"))


def check(config, folder, monkeypatch):
    """Train, and see that it evaluated; a model of the hub is asked for by its name."""
    if on_hub(config):
        if config.task == "image_classification":
            config = apply(config, {"data.source": "digits"})  # the file names a folder that the user is to have
        with pytest.raises(DataError) as caught:
            train(config, folder, monkeypatch)
        assert config.model.name in str(caught.value)
        return
    result = train(config, folder, monkeypatch)
    assert result["state"] == "finished"
    assert result["steps"] >= 2
    metric = "rouge_combined_f1" if config.task == "summarization" else "macro_f1"
    assert 0 <= result["best_metrics"][metric] <= 1
