"""Every configuration under config/ trains on a few rows for two steps, and so does the first run of every sweep."""

import pytest
from quick_forms import check

from sweepkit.agents.slots import Slot
from sweepkit.paths import BASE_CONFIG, CODE_DIR, CONFIG_DIR
from sweepkit.runner.dry_run import dry_run
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.training.config.training import apply, apply_preset, flatten, read_training_config

CONFIGS = sorted([*CONFIG_DIR.glob("*.yaml"), *(CONFIG_DIR / "models").glob("*.yaml")])
PRESETS = sorted((CONFIG_DIR / "presets").glob("*.yaml"))
SWEEPS = sorted((CONFIG_DIR / "sweep").glob("*.yaml"))


def name_of(path):
    return str(path.relative_to(CONFIG_DIR).with_suffix(""))


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_configuration_trains_in_its_quick_form(path, tmp_path, monkeypatch):
    check(read_training_config(path), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", PRESETS, ids=name_of)
def test_every_preset_trains_over_the_base_configuration(path, tmp_path, monkeypatch):
    config = apply_preset(read_training_config(BASE_CONFIG), path)
    check(config, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", SWEEPS, ids=name_of)
def test_the_first_run_of_every_sweep_trains(path, tmp_path, monkeypatch):
    monkeypatch.chdir(CODE_DIR)
    options = RunOptions(output_dir=tmp_path / "out", seed=1)
    plan = make_plan(options, path.stem)
    first = dry_run(plan, slots=(Slot(index=0, gpus=(), cpus=1),), options=options).plain()["first"][0]
    config = apply(read_training_config(plan.base_config), flatten(first))
    check(config, tmp_path, monkeypatch)
