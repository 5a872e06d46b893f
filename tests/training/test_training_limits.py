"""What is known of a sweep's values before its first run: limits of fields, of the model, of the data."""

import json
import subprocess
import sys

import pytest

from sweepkit.paths import CODE_DIR, DATA_DIR
from sweepkit.sweep_config.read import from_config
from sweepkit.training.config.training import TrainingConfig, apply, from_mapping
from sweepkit.training.limits import beyond_limits

BART, GPT2, T5 = (str(DATA_DIR / "checkpoints" / name) for name in ("bart-tiny-ko", "gpt2-tiny-ko", "t5-tiny-ko"))


def space(parameters):
    return from_config({"method": "random", "parameters": parameters}).space


def problems(parameters, **base):
    config = apply(TrainingConfig(), {name.replace("__", "."): value for name, value in base.items()})
    return [(item.key, item.rule, item.got) for item in beyond_limits(space(parameters), config)]


@pytest.mark.parametrize(
    ("parameters", "key", "rule", "got"),
    [
        ({"encoder_max_len": {"values": [128, 768]}}, "encoder_max_len", "256 positions", "768"),
        ({"max_input_length": {"min": 64, "max": 512}}, "max_input_length", "256 positions", "512"),
        ({"tokenizer": {"parameters": {"decoder_max_len": {"value": 300}}}}, "tokenizer.decoder_max_len", "256", "300"),
        ({"num_epochs": {"values": [0, 1]}}, "num_epochs", "above 0", "0"),
        ({"dropout": {"min": 0.0, "max": 1.0}}, "dropout", "below 1", "1.0"),
        ({"batch_size": {"min": 8.0, "max": 32.0}}, "batch_size", "whole number", ""),
        ({"batch_size": {"values": [16, 2048]}}, "batch_size", "600 rows", "2048"),
        ({"max_train_samples": {"values": [8, 100]}, "batch_size": {"value": 16}}, "batch_size", "8 rows", "16"),
        ({"encoder_layers": {"values": [1, 6]}}, "encoder_layers", "at most the 2", "6"),
        ({"model": {"parameters": {"name": {"value": "./nowhere"}}}}, "model.name", "folder", ""),
        (
            {"data": {"parameters": {"train_file": {"value": "nowhere.csv"}}}, "batch_size": {"value": 8}},
            *("data.train_file", "exist", ""),
        ),
    ],
)
def test_a_value_that_no_training_takes_is_one_problem(parameters, key, rule, got):
    ((told_key, told_rule, told_got),) = problems(parameters, tokenizer__encoder_max_len=128)
    assert told_key == key and rule in told_rule and got in told_got


def test_all_of_them_are_told_at_once():
    found = problems({"num_epochs": {"value": 0}, "batch_size": {"value": 2048}, "encoder_max_len": {"value": 768}})
    assert sorted(key for key, _, _ in found) == ["batch_size", "encoder_max_len", "num_epochs"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"encoder_max_len": {"values": [8, 256]}, "batch_size": {"values": [1, 600]}},
        {"learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}},
        {"learning_rate": {"distribution": "normal", "mu": 0.01, "sigma": 0.001}},  # it has no ends
        {"batch_size": {"distribution": "q_uniform", "min": 8, "max": 32, "q": 8}},
    ],
)
def test_what_a_training_takes_is_no_problem(parameters):
    assert problems(parameters) == []


@pytest.mark.parametrize(
    ("model", "lengths", "beyond"), [(T5, (5000, 64), False), (GPT2, (200, 100), True), (BART, (200, 100), False)]
)
def test_a_model_without_positions_has_no_limit_and_one_that_continues_has_one_for_both(model, lengths, beyond):
    encoder, decoder = lengths
    found = problems({"encoder_max_len": {"value": encoder}}, model__name=model, tokenizer__decoder_max_len=decoder)
    assert bool(found) is beyond, found


def test_the_configurations_own_value_is_told_by_its_field():
    ((key, _, got),) = problems({"learning_rate": {"value": 0.1}}, tokenizer__encoder_max_len=1024)
    assert (key, got) == ("tokenizer.encoder_max_len", "1024")


def test_which_models_and_lengths_meet_is_a_question_of_the_conditions():
    config = {
        "method": "random",
        "parameters": {
            "model": {"parameters": {"name": {"values": [BART, T5]}}},
            "encoder_max_len": {"values": [128, 1024]},
        },
        "sweepkit": {"conditions": {"encoder_max_len": {"when": {"model.name": [T5]}}}},
    }
    assert beyond_limits(from_config(config).space, TrainingConfig()) == []


def test_images_have_the_limits_of_their_fields():
    config = from_mapping({"task": "image_classification"})
    ((item),) = beyond_limits(space({"num_epochs": {"value": 0}}), config)
    assert item.key == "num_epochs"


def test_no_library_of_models_is_imported():
    program = """
import json, sys
from sweepkit.sweep_config.read import from_config
from sweepkit.training.config.training import TrainingConfig
from sweepkit.training.limits import beyond_limits
space = from_config({"method": "grid", "parameters": {"encoder_max_len": {"values": [768]}}}).space
print(json.dumps([len(beyond_limits(space, TrainingConfig())), *({"torch", "transformers"} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=CODE_DIR, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1]
