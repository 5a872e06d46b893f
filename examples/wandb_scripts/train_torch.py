"""The PyTorch style: a plain loop, nested parameters, `define_metric`, a summary of one's own. No Keras, no callbacks.

    python train_torch.py

The data are made here: 64 points of a line with a known slope, so that a good run has a loss near zero.
"""

import argparse

import torch
import wandb
from torch import nn


def build_optimizer(model: nn.Module, name: str, lr: float, momentum: float) -> torch.optim.Optimizer:
    """Return the optimizer that the configuration names."""
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    return torch.optim.Adam(model.parameters(), lr=lr)


def main() -> None:
    """Train with `wandb.config`, nested as the sweep's YAML is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    args, _ = parser.parse_known_args()
    defaults = {"epochs": args.epochs, "optimizer": {"name": "adam", "lr": 0.01, "momentum": 0.0}, "seed": 1}
    run = wandb.init(project="my-first-sweep", config=defaults)
    config = run.config
    wandb.define_metric("epoch")
    wandb.define_metric("val/loss", step_metric="epoch", summary="min")

    torch.manual_seed(config.seed)
    x = torch.linspace(-1, 1, 64).unsqueeze(1)
    y = 3 * x + 0.5
    model = nn.Linear(1, 1)
    wandb.watch(model, log_freq=1)
    optimizer = build_optimizer(model, **config.optimizer)
    for epoch in range(config.epochs):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            val_loss = nn.functional.mse_loss(model(x[::4]), y[::4])
        wandb.log({"epoch": epoch, "train/loss": loss.item(), "val/loss": val_loss})  # a tensor is a number too
    run.summary["slope"] = model.weight.item()
    run.finish()


if __name__ == "__main__":
    main()
