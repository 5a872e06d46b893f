"""The argparse style: a flag for each hyperparameter, all of them handed to `wandb.init`.

    python train_argparse.py --learning_rate 0.1 --batch_size 32

The training is a stand-in: a loss that falls to a floor, faster or slower by the hyperparameters.
"""

import argparse
import math

import wandb


def parse_args() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learning_rate", type=float, default=0.01)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--epochs", type=int, default=4)
    return parser.parse_args()


def train_one_epoch(epoch: int, lr: float, bs: int) -> tuple[float, float]:
    """Return (accuracy, loss) on the training data."""
    loss = math.exp(-lr * epoch) + 1 / bs
    return 1 - loss / 2, loss


def evaluate_one_epoch(epoch: int, lr: float, bs: int) -> tuple[float, float]:
    """Return (accuracy, loss) on the validation data."""
    loss = math.exp(-lr * epoch) + 2 / bs
    return 1 - loss / 2, loss


def main() -> None:
    """Train, logging each epoch."""
    args = parse_args()
    wandb.init(project="my-first-sweep", config=args)
    for epoch in range(1, args.epochs + 1):
        train_acc, train_loss = train_one_epoch(epoch, args.learning_rate, args.batch_size)
        val_acc, val_loss = evaluate_one_epoch(epoch, args.learning_rate, args.batch_size)
        wandb.log(
            {
                "epoch": epoch,
                "train_acc": train_acc,
                "train_loss": train_loss,
                "val_acc": val_acc,
                "val_loss": val_loss,
            }
        )
    wandb.finish()


if __name__ == "__main__":
    main()
