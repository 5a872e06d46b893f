"""examples/wandb_scripts/: W&B scripts of five public styles, swept by the command that their YAML begins with.

Each under a filter that kills whoever opens a socket to anywhere, warm and cold, with the exact results expected.
"""

import math
import os
import shlex
import sys
import warnings

import numpy as np
import pytest
import warm
import yaml
from sweeping import PROGRAMS, Sweeper

from sweepkit.paths import CODE_DIR, ROOT_DIR
from sweepkit.tracking.wandb_file import WandbTail

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package warns of a pydantic field at import
    from sweeps.config import schema_violations_from_proposed_config

SCRIPTS = ROOT_DIR / "examples" / "wandb_scripts"
NO_NETWORK = PROGRAMS.parent / "no_network.py"
HEAVY = {False: (), True: pytest.mark.heavy}  # torch's optimizers import for two seconds, twice when warm
W0, B0 = 0.5152631998062134, -0.44137823581695557  # nn.Linear(1, 1) after torch.manual_seed(1)
STYLES = ["train_argparse", "train_config", "train_hydra_style", "train_json_file", "train_torch"]


def argparse_losses(rate):
    return [math.exp(-rate * epoch) + 2 / 64 for epoch in range(1, 5)]


def scores(width):
    return [sum(width * 0.1 / (1 + batch) for batch in range(stop)) for stop in (2, 4)]


def line_fit(rate):
    """Return the losses at every fourth point, and the slope, of gradient descent with momentum 0.5 from W0, B0."""
    x = np.linspace(-1, 1, 64)
    y = 3 * x + 0.5
    point, velocity = np.array([W0, B0]), np.zeros(2)
    losses = []
    for _ in range(5):
        error = point[0] * x + point[1] - y
        velocity = 0.5 * velocity + 2 * np.array([(error * x).mean(), error.mean()])
        point = point - rate * velocity
        losses.append(float(((point[0] * x + point[1] - y)[::4] ** 2).mean()))
    return losses, float(point[0])


# By style: what tells its two runs apart; and for each the metric's history, W&B's configuration, some of its summary.
EXPECTED = {
    "train_argparse": {
        rate: (
            argparse_losses(rate),
            {"learning_rate": rate, "batch_size": 64, "optimizer": "sgd", "epochs": 4},
            {"epoch": 4, "train_loss": argparse_losses(rate)[-1] - 1 / 64},
        )
        for rate in (0.1, 0.01)
    },
    "train_config": {
        bias: (
            [1 / (1 + 2 * epoch) + (0 if bias else 0.25) for epoch in (1, 2, 3)],
            {"lr": 0.5, "hidden": 4, "use_bias": bias, "dropout": 0.0, "epochs": 3},
            {"params": 44 if bias else 40, "train.lr": 0.5},
        )
        for bias in (True, False)
    },
    "train_hydra_style": {
        rate: (
            [1 - (1 - 2 * rate) ** epoch for epoch in (1, 2, 3)],
            {
                "optimizer": {"name": "sgd", "lr": rate},
                "model": {"depth": 2},
                "seed": 0,
                "optimizer.lr": rate,
                "optimizer.name": "sgd",
                "model.depth": 2,
            },
            {"epoch": 2, "eval/error": (1 - 2 * rate) ** 3},
        )
        for rate in (0.05, 0.2)
    },
    "train_json_file": {
        layers: (
            scores(sum(layers)),
            {"layers": list(layers), "lr": 0.1, "note": None},
            {"loss": 1 / (1 + scores(sum(layers))[-1])},
        )
        for layers in ((4, 2), (8,))
    },
    "train_torch": {
        rate: (
            line_fit(rate)[0],
            {"epochs": 5, "optimizer": {"name": "sgd", "lr": rate, "momentum": 0.5}, "seed": 1},
            {"val/loss.min": min(line_fit(rate)[0]), "slope": line_fit(rate)[1], "epoch": 4},
        )
        for rate in (0.05, 0.5)
    },
}
TOLERANCE = {"train_torch": 1e-5}  # it computes in 32 bits


def which(style, params):
    """Return what tells a run of a style from the other."""
    match style:
        case "train_argparse":
            return params["learning_rate"]
        case "train_config":
            return params["use_bias"]
        case "train_hydra_style":
            return params["optimizer.lr"]
        case "train_json_file":
            return tuple(params["layers"])
    return params["optimizer"]["lr"]


def command_of(style):
    """Return the command that the YAML begins with; it is meant for the folder code/."""
    lines = (SCRIPTS / f"{style}.yaml").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if "sweep_runner.py" in line)
    interpreter, *command = shlex.split(line.lstrip("# "))
    assert interpreter == "python"
    return [sys.executable, *command]


def swept(style, folder, *options):
    """Run the command of a style's YAML; return its results and W&B's file of each."""
    sweeper = Sweeper(folder)
    command = [sys.executable, str(NO_NETWORK), *command_of(style), "--output-dir", str(folder / "out"), *options]
    done = warm.run(command, timeout=110, cwd=CODE_DIR, env=sweeper.env)
    assert done.returncode == 0, done.stdout + done.stderr
    (root,) = (folder / "out").glob("sweep_*")
    results = sweeper.results(root.name.removeprefix("sweep_"))
    return [(result, WandbTail(root / "runs" / result["run_id"] / f"{result['run_id']}-1")) for result in results]


def check(style, result, tail):
    """Hold one run against what its parameters must give."""
    history, config, summary = EXPECTED[style][which(style, result["sweep_params"])]
    about = {"rel": 1e-12, "abs": TOLERANCE.get(style, 0)}
    metric = yaml.safe_load((SCRIPTS / f"{style}.yaml").read_text(encoding="utf-8"))["metric"]
    reports = tail.read()
    said = [report.values[metric["name"]] for report in reports if metric["name"] in report.values]
    assert said == pytest.approx(history, **about)
    assert (result["state"], result["reason"], result["attempts"]) == ("finished", "exit code 0", 1)
    assert result["reports"] == len(reports)
    best = min(history) if metric["goal"] == "minimize" else max(history)
    assert result["best_metrics"][metric["name"]] == pytest.approx(best, **about)
    assert tail.run.config == config
    assert {name: result["summary_metrics"][name] for name in summary} == pytest.approx(summary, **about)
    assert (tail.run.run_id, tail.exit_code) == (result["run_id"], 0)


@pytest.mark.slow
@pytest.mark.parametrize("style", [pytest.param(style, marks=HEAVY[style == "train_torch"]) for style in STYLES])
def test_a_script_of_each_style_is_swept_warm(style, tmp_path):
    runs = swept(style, tmp_path)
    assert {which(style, result["sweep_params"]) for result, _ in runs} == set(EXPECTED[style])
    for result, tail in runs:
        check(style, result, tail)
        assert result["warm"]


@pytest.mark.slow
def test_a_script_is_swept_cold(tmp_path):
    """One run of the cheapest; each style, PyTorch's too, is heavy."""
    ((result, tail),) = swept("train_config", tmp_path, "--cold", "--count", "1")
    check("train_config", result, tail)
    assert not result["warm"]


@pytest.mark.heavy
@pytest.mark.parametrize("style", STYLES)
def test_a_script_of_each_style_has_the_same_results_cold(style, tmp_path):
    runs = swept(style, tmp_path, "--cold")
    assert {which(style, result["sweep_params"]) for result, _ in runs} == set(EXPECTED[style])
    for result, tail in runs:
        check(style, result, tail)
        assert not result["warm"]


@pytest.mark.parametrize("style", STYLES)
def test_the_scripts_know_nothing_of_sweepkit_and_their_yaml_is_wandb_s(style):
    assert "sweepkit" not in (SCRIPTS / f"{style}.py").read_text(encoding="utf-8")
    text = (SCRIPTS / f"{style}.yaml").read_text(encoding="utf-8")
    assert os.path.samefile(CODE_DIR / command_of(style)[-1], SCRIPTS / f"{style}.yaml")
    assert "sweepkit" not in yaml.safe_load(text)
    assert schema_violations_from_proposed_config(yaml.safe_load(text)) == []
