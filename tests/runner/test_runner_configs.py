"""Every committed configuration does what its first lines say."""

import json
import re
import shlex

import pytest

from sweepkit.cli import parallel_sweep_runner, sweep_runner
from sweepkit.paths import CODE_DIR, CONFIG_DIR, ROOT_DIR
from sweepkit.sweep_config.read import read_sweep
from sweepkit.training.config.training import read_training_config

SWEEPS = sorted((CONFIG_DIR / "sweep").glob("*.yaml"))
TRAININGS = sorted([*CONFIG_DIR.glob("*.yaml"), *(CONFIG_DIR / "models").glob("*.yaml")])
RUNS = {"first_sweep": 8, "first_sweep_kobart": 8, "bayes_sweep": 20, "random_sweep": 20, "tpe_sweep": 20}
RUNS |= {"convnext_sweep": 12, "image_sweep": 9, "perceiver_sweep": 10}
IMAGES = ("convnext_sweep", "image_sweep", "perceiver_sweep")
RUNS |= {"memory_optimization_sweep": 12, "advanced_bayesian_sweep": 100, "advanced_bayesian_sweep_tiny": 100}
LARGE = ("first_sweep_kobart", "advanced_bayesian_sweep")
MAINS = {"sweep_runner.py": sweep_runner.main, "parallel_sweep_runner.py": parallel_sweep_runner.main}


def commands(path):
    """Return the commands of the comment at a file's top, without what is said about them."""
    head = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))
    assert head, f"{path.name} does not open with a comment"
    lines = [line.removeprefix("#").strip() for line in head[0].splitlines()]
    return [shlex.split(re.split(r"\s{2,}", line)[0])[1:] for line in lines if line.startswith("python ")]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_dry_runs_by_its_own_commands(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(CODE_DIR)
    given = commands(path)
    assert given and any("--dry-run" in command for command in given)
    for script, *options in given:
        main = MAINS[script]
        if "--confirm" in options:  # needs the recorded sweep
            assert options == ["--confirm", path.stem]
            continue
        said = {"--dry-run", "--json"} - set(options)
        assert main([*options, *said, "--output-dir", str(tmp_path / "out")]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["runs"] == RUNS[path.stem]
        assert all(command[2] == str(CODE_DIR / "trainer.py") for command in plan["commands"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_runs_warm_and_small_models_keep_to_one_core(path):
    extensions = read_sweep(path).extensions
    images = "images." if path.stem in IMAGES else ""
    assert extensions.preload == (f"sweepkit.training.{images}preload",)
    assert extensions.cpus_per_run == (None if path.stem in LARGE else 1)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_setting_of_a_sweep_has_its_reason(path):
    """A line that sets a value says why, except those whose name says all."""
    plain = re.compile(r"\s*(name: \w+_sweep(_kobart|_tiny)?|distribution: uniform)$|\s*[\w.]+:$")
    body = path.read_text(encoding="utf-8").partition("\n\n")[2].splitlines()
    assert [line for line in body if line.strip() and "#" not in line and not plain.match(line)] == []


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_every_training_configuration_is_read_and_its_commands_name_what_is_there(path):
    config = read_training_config(path)
    if config.task == "summarization":
        assert (ROOT_DIR / config.data.train_file).is_file() and (ROOT_DIR / config.data.val_file).is_file()
    given = commands(path)
    assert any(command[0] == "trainer.py" for command in given)
    for script, *options in given:
        assert (CODE_DIR / script).is_file()
        for option in options:
            if option.startswith("../"):
                assert (CODE_DIR / option).is_file()
