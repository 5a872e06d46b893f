"""Classify handwritten digits with a small convolutional network in plain PyTorch.

    python digits.py --lr 1e-3 --channels 16 --dropout 0.2

A training script as people write them: argparse, a loop, `wandb.log`. It knows nothing of sweepkit, and digits.yaml
sweeps over it as it is. The data are scikit-learn's own (1,797 real digits of 8 by 8 pixels): nothing is downloaded.
"""

import argparse

import torch
import wandb
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it


def parse() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate of AdamW")
    parser.add_argument("--channels", type=int, default=16, help="of the first of two convolutions")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Net(nn.Module):
    """Two convolutions and a linear layer: images of shape (batch, 1, 8, 8) to logits of shape (batch, 10)."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * channels * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        hidden = F.max_pool2d(F.relu(self.first(images)), 2)
        hidden = F.max_pool2d(F.relu(self.second(hidden)), 2)
        return self.head(self.dropout(hidden.flatten(1)))


def data(seed: int) -> list[torch.Tensor]:
    """Return training images, validation images, training labels, validation labels."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    return train_test_split(images, labels, test_size=0.25, random_state=seed, stratify=labels)


def main() -> None:
    """Train, logging each epoch."""
    args = parse()
    run = wandb.init(project="digits", config=vars(args))
    torch.manual_seed(args.seed)
    train_x, val_x, train_y, val_y = data(args.seed)
    model = Net(args.channels, args.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    steps = args.epochs * -(-len(train_x) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps)
    for epoch in range(args.epochs):
        model.train()
        for rows in torch.randperm(len(train_x)).split(args.batch_size):
            loss = F.cross_entropy(model(train_x[rows]), train_y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            logits = model(val_x)
        wandb.log(
            {
                "epoch": epoch,
                "train/loss": loss.item(),
                "val/loss": F.cross_entropy(logits, val_y).item(),
                "val/macro_f1": f1_score(val_y, logits.argmax(1), average="macro"),
            }
        )
    run.finish()


if __name__ == "__main__":
    main()
