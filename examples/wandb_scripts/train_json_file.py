"""The JSON style: all hyperparameters in one file, whose name is the only argument.

python train_json_file.py --config-file parameters.json
"""

import argparse
import json
from pathlib import Path

import wandb


def main() -> None:
    """Train with the file's values; steps are told by hand, as training loops that count batches do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", type=Path, required=True)
    config = json.loads(parser.parse_args().config_file.read_text(encoding="utf-8"))
    run = wandb.init(project="my-first-sweep", config=config)
    score, widths = 0.0, config["layers"]
    for batch in range(4):
        score += sum(widths) * config["lr"] / (1 + batch)
        wandb.log({"loss": 1 / (1 + score)}, step=10 * batch)
        if batch % 2:
            wandb.log({"score": score}, step=10 * batch)  # the same step: the same row
    wandb.summary["score"] = round(score, 6)
    if config["note"] is not None:
        raise ValueError(f"{run.id}: a note was not expected: {config['note']!r}")
    run.finish()


if __name__ == "__main__":
    main()
