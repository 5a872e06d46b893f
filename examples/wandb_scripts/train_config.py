"""The `wandb.config` style: no command line at all; whoever starts the script says what is in the configuration.

python train_config.py
"""

import numpy as np
import wandb

DEFAULTS = {"lr": 0.05, "hidden": 16, "dropout": 0.0, "use_bias": True, "epochs": 3}


def train() -> None:
    """Train with what `wandb.config` holds: the defaults alone, or a sweep's values over them."""
    with wandb.init(project="my-first-sweep", config=DEFAULTS) as run:
        config = wandb.config
        rng = np.random.default_rng(0)
        noise = rng.normal(size=config.epochs) * config.dropout
        for epoch in range(config.epochs):
            train_loss = 1.0 / (1 + config.lr * config.hidden * (epoch + 1))
            wandb.log({"train": {"loss": train_loss, "lr": config.lr}}, commit=False)  # the row goes on …
            val_loss = train_loss + abs(noise[epoch]) + (0 if config.use_bias else 0.25)
            wandb.log({"val": {"loss": val_loss}})  # … and is complete here
        run.summary["params"] = config.hidden * 10 + (config.hidden if config.use_bias else 0)


if __name__ == "__main__":
    train()
