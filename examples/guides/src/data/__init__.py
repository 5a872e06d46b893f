"""The guides' data: frames of dialogues, and a data set that OptunaOptimizer and a torch loader take."""

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweepkit.training.data import Columns, locate, read
from sweepkit.training.dataset import split
from sweepkit.training.text import normalize

if TYPE_CHECKING:
    import pandas as pd

_SEED = 42


def load_and_preprocess_data(path: str, split_ratio: float = 0.9) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return training and validation rows, normalized: columns `dialogue` and `summary`.

    Args:
        path: CSV, JSON lines or Parquet.
        split_ratio: Part that is trained on, in (0, 1). Equal dialogues stay on one side.
    """
    import pandas as pd

    examples = list(read(locate(path, "path"), Columns(dialogue="dialogue", references=("summary",))))
    frame = pd.DataFrame(
        {
            "dialogue": [normalize(example.dialogue) for example in examples],
            "summary": [normalize(example.references[0]) for example in examples],
        }
    )
    train, val = split(
        [zlib.crc32(text.encode()) for text in frame["dialogue"]], round(len(frame) * (1 - split_ratio)), _SEED
    )
    return frame.iloc[train].reset_index(drop=True), frame.iloc[val].reset_index(drop=True)


class DialogueSummarizationDataset:
    """Dialogues and summaries, and their tokens.

    Args:
        dialogues: Texts.
        summaries: As many.
        tokenizer: Of transformers.
        config: With tokenizer.encoder_max_len and decoder_max_len.
    """

    def __init__(self, dialogues: Sequence[str], summaries: Sequence[str], tokenizer: Any, config: Any) -> None:
        if len(dialogues) != len(summaries):
            raise ValueError(f"as many summaries as dialogues are needed, got {len(dialogues)} and {len(summaries)}")
        self.dialogues, self.summaries = list(dialogues), list(summaries)
        self.tokenizer, self.config = tokenizer, config

    def __len__(self) -> int:
        """Return the number of dialogues."""
        return len(self.dialogues)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Return a dialogue and its summary, as texts and as tokens."""
        lengths = self.config.tokenizer
        dialogue, summary = self.dialogues[index], self.summaries[index]
        ids = self.tokenizer(dialogue, truncation=True, max_length=lengths.encoder_max_len)
        labels = self.tokenizer(text_target=summary, truncation=True, max_length=lengths.decoder_max_len)
        return {"dialogue": dialogue, "summary": summary, **ids, "labels": labels["input_ids"]}
