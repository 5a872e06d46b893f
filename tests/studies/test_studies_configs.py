"""Every file of config/optuna/ is valid, opens with the command that uses it, and its first configuration trains."""

import re

import pytest
from quick_forms import check

from sweepkit.paths import BASE_CONFIG, CODE_DIR, CONFIG_DIR, find_config
from sweepkit.search.random import RandomEngine
from sweepkit.studies.yaml.optuna_config import read_optuna_config
from sweepkit.studies.yaml.optuna_sweep import full_parameters, sweep_dict
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text.yaml_text import yaml_text
from sweepkit.training.config.training import apply, flatten, read_training_config

FILES = sorted((CONFIG_DIR / "optuna").glob("*.yaml"))
FIFTEEN = {
    *("lora_r", "lora_alpha", "lora_dropout", "learning_rate", "batch_size", "num_epochs", "warmup_ratio"),
    *("weight_decay", "scheduler_type", "temperature", "top_p", "num_beams", "length_penalty", "hidden_dropout"),
    "attention_dropout",
}


def test_the_configurations_of_the_guide_are_there():
    names = "optuna_config optuna_fast_config prototype balanced ultimate convnext_specialized perceiver_tutorial"
    assert {*names.split(), "multi_objective", "phases"} <= {path.stem for path in FILES}


def test_the_default_space_is_the_fifteen_parameters_of_the_guide():
    config = read_optuna_config(CONFIG_DIR / "optuna" / "optuna_config.yaml")
    assert {parameter.name for parameter in config.parameters} == FIFTEEN
    base = read_training_config(find_config(config.base_config))
    assert base.lora.enabled  # else lora_* would do nothing


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_is_valid_and_says_how_it_is_used(path):
    config = read_optuna_config(path)
    assert config.notes == () and config.study_name == path.stem and config.seed is not None
    text = path.read_text(encoding="utf-8")
    head = re.match(r"(#.*\n)+", text)[0]
    assert f"cd {CODE_DIR.name}\n" in head and f"python optimize.py --config {path.stem}" in head
    spec = read_sweep_text(yaml_text(sweep_dict(config)))
    # A searched number of epochs under a rule that compares runs report by report is told, and nothing else is.
    assert [said for said in spec.warnings if "parameters.num_epochs: sets how long a run is" not in said] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_first_configuration_of_every_study_trains(path, tmp_path, monkeypatch):
    monkeypatch.chdir(CODE_DIR)
    study = read_optuna_config(path)
    space = read_sweep_text(yaml_text(sweep_dict(study))).space
    first = full_parameters(study, flatten(RandomEngine(space, seed=1).ask(0).params))
    base = find_config(study.base_config) if study.base_config else BASE_CONFIG
    config = apply(read_training_config(base), first)
    check(config, tmp_path, monkeypatch)
