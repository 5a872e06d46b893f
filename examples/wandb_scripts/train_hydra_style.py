"""The Hydra style: `key=value` and `group.key=value` over a tree of defaults.

    python train_hydra_style.py optimizer.lr=0.1 model.depth=3 +tag=none

Hydra itself is not needed to show it: what counts is the form of the arguments.
"""

import ast
import copy
import sys
from typing import Any

import wandb

DEFAULTS: dict[str, Any] = {"optimizer": {"name": "adam", "lr": 0.01}, "model": {"depth": 2}, "seed": 0}


def compose(overrides: list[str]) -> dict[str, Any]:
    """Return the defaults with the overrides laid over them."""
    config = copy.deepcopy(DEFAULTS)
    for override in overrides:
        key, _, text = override.lstrip("+").partition("=")
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text
        *groups, leaf = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return config


def main(overrides: list[str]) -> None:
    """Train."""
    config = compose(overrides)
    run = wandb.init(project="my-first-sweep", config=config, job_type="train")
    run.define_metric("epoch")
    run.define_metric("eval/*", step_metric="epoch")
    accuracy = 0.0
    for epoch in range(3):
        gain = config["optimizer"]["lr"] * config["model"]["depth"]
        accuracy = 1 - (1 - gain) ** (epoch + 1)
        run.log({"epoch": epoch, "eval/accuracy": accuracy, "eval/error": 1 - accuracy})
    run.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
