"""Writing a trained model so that its folder can be named as `model.name`."""

from pathlib import Path

from sweepkit.training.checkpoints import METADATA_NAME, PROMPT_KEY, VOCABULARY_KEY, vocabulary_sha256
from sweepkit.training.models.loading import Loaded
from sweepkit.training.results import write_json


def save(loaded: Loaded, folder: Path, *, merge: bool) -> None:
    """Write weights, tokenizer, and what belongs to them (the vocabulary's hash, the prompt).

    Args:
        loaded: Trained. With adapters and `merge` its model is taken apart by this.
        folder: Made if need be.
        merge: Fold adapters into the weights: an ordinary checkpoint. Else only the adapters are written.

    Raises:
        OSError: The folder cannot be written.
    """
    if "lora_targets" not in loaded.facts:
        loaded.model.save_pretrained(str(folder))
    else:
        from sweepkit.training.models.lora import merged, save_adapters

        if merge:
            merged(loaded.model).save_pretrained(str(folder))
        else:
            save_adapters(loaded.model, folder)
    loaded.tokenizer.save_pretrained(str(folder))
    record = {VOCABULARY_KEY: vocabulary_sha256(loaded.tokenizer.get_vocab()), "made_by": "trainer.py"}
    if loaded.prompt is not None:
        record[PROMPT_KEY] = loaded.prompt
    write_json(folder / METADATA_NAME, record)
