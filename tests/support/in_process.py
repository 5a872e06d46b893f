"""A training in the process of the test: seconds of imports are paid once, and its parts can be looked at."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sweepkit.training.config.training import TrainingConfig, apply, from_mapping

# The first rows of data/train.csv and data/dev.csv: a data file is tokenized whole, and 700 dialogues cost more than a
# training on 16.
_DIALOGUES = Path(__file__).parent / "dialogues"
NEW_TOKENS = 8  # that an evaluation generates at most: a third of a training with 24 of them


def config_for(folder: Any, **changes: Any) -> TrainingConfig:
    """Return a configuration of three steps on 16 dialogues; `lora__r=2` sets lora.r."""
    base = from_mapping(
        {
            "model": {"name": str(folder)},
            "data": {
                "train_file": str(_DIALOGUES / "train.csv"),
                "val_file": str(_DIALOGUES / "dev.csv"),
                "max_train_samples": 16,
                "max_val_samples": 6,
                "allow_small_val": True,
            },
            "tokenizer": {"encoder_max_len": 128, "decoder_max_len": NEW_TOKENS},
            "training": {"max_steps": 3, "eval_steps": 2.0, "per_device_train_batch_size": 4, "use_cpu": True},
        }
    )
    named = {name.replace("__", "."): value for name, value in changes.items()}
    config = apply(base, named, from_text=False)
    assert isinstance(config, TrainingConfig)
    return config


def train(config: TrainingConfig, output_dir: Any) -> SimpleNamespace:
    """Train; return the outcome, the lines said, the fields read, and the Trainer that did it."""
    from sweepkit.training.tasks import summarization
    from sweepkit.training.tasks.base import Listeners
    from sweepkit.training.usage import RecordedConfig

    made: list[Any] = []

    class Seen(summarization.FittingSummarizer):
        """The Trainer, kept to be looked at."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    lines: list[str] = []
    recorded = RecordedConfig(config)
    output_dir.mkdir(parents=True, exist_ok=True)
    real, summarization.FittingSummarizer = summarization.FittingSummarizer, Seen  # type: ignore[misc]
    try:
        outcome = summarization.train(recorded, output_dir, Listeners(say=lines.append, used=list))
    finally:
        summarization.FittingSummarizer = real  # type: ignore[misc]
    return SimpleNamespace(outcome=outcome, lines=lines, read=recorded.read, trainer=made[-1])
