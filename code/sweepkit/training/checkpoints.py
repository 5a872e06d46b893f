"""Loading a tokenizer and a sequence-to-sequence model, from a folder of this checkout or by their hub name.

A tokenizer belongs to its checkpoint: retrained on other text it gives other ids, nothing crashes, and the model is
silently worth half (measured: ROUGE-1 .37 instead of .70). So a checkpoint that sweepkit made carries the hash of its
vocabulary in `sweepkit.json`, and a tokenizer that does not match is refused.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError
from sweepkit.paths import ROOT_DIR

METADATA_NAME = "sweepkit.json"
VOCABULARY_KEY = "vocabulary.sha256"


def vocabulary_sha256(vocabulary: Mapping[str, int]) -> str:
    """Return the hash of a vocabulary: which id each token has, whatever the order of the mapping."""
    text = json.dumps(sorted(vocabulary.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resolve(name: str) -> str:
    """Return the folder that `name` means: as written, or below the checkout's root; else the name itself, a hub's.

    Raises:
        DataError: It is written as a path (it begins with "." or "/" or with "data/") and there is no such folder.
    """
    for folder in (Path(name).expanduser(), ROOT_DIR / name):
        if (folder / "config.json").is_file():
            return str(folder)
    if name.startswith((".", "/", "~", "data/")) or Path(name).is_dir():
        raise DataError(f"model.name: must be a checkpoint's folder (with a config.json) or a hub name, got {name!r}")
    return name


def _explain(name: str, error: Exception) -> DataError:
    """Return why a checkpoint could not be loaded, in one sentence, with what to do."""
    first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    if Path(name).is_dir():
        return DataError(f"model.name: the checkpoint in {name} cannot be loaded: {first}")
    return DataError(
        f"model.name: {name!r} is neither a folder nor in the local cache, and the hub did not give it ({first}); "
        "download it once where there is a network, name a folder, or use data/checkpoints/bart-tiny-ko"
    )


def _load(load: Callable[..., Any], name: str, **options: Any) -> Any:
    """Return what `load` makes of a folder or of the local cache; only if that fails, of the hub.

    Without this order every start would ask the hub for news, and wait 25 s for it where there is no network.

    Raises:
        DataError: It cannot be loaded.
    """
    from safetensors import SafetensorError

    try:
        try:
            return load(name, local_files_only=True, **options)
        except (OSError, ValueError):
            if Path(name).is_dir():
                raise
        _ask_hub(name)
        return load(name, **options)
    except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
        raise _explain(name, error) from None


def _ask_hub(name: str) -> None:
    """Ask the hub for the model once, with a time limit: its own download functions try six times, noisily.

    Raises:
        OSError: There is no network, or no such model.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if os.environ.get("HF_HUB_OFFLINE") not in (None, "", "0"):
        raise OSError("HF_HUB_OFFLINE is set")
    try:
        HfApi().model_info(name, timeout=10)
    except HfHubHTTPError:
        raise OSError("it has no model of that name that you may read") from None
    except Exception as error:  # whatever the HTTP library of the day raises when nobody answers
        raise OSError(f"no network: {error}") from None


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of a checkpoint.

    Args:
        name: A folder or a hub name, as `resolve` returns it.

    Raises:
        DataError: It cannot be loaded, or it is not the one that the checkpoint was trained with.
    """
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer.from_pretrained, name)
    _check_vocabulary(name, tokenizer.get_vocab())
    return tokenizer


def _check_vocabulary(name: str, vocabulary: Mapping[str, int]) -> None:
    """Refuse a tokenizer that the checkpoint's own record does not know."""
    record = Path(name) / METADATA_NAME
    if not record.is_file():
        return
    wanted = json.loads(record.read_text(encoding="utf-8")).get(VOCABULARY_KEY)
    got = vocabulary_sha256(vocabulary)
    if wanted is not None and wanted != got:
        raise DataError(
            f"{record}: the tokenizer must be the one this checkpoint was trained with, vocabulary {wanted[:12]}…, "
            f"got {got[:12]}…; restore tokenizer.json or make the checkpoint anew with data/make_checkpoint.py"
        )


def load_model(name: str, overrides: Callable[[Any], Mapping[str, Any]]) -> Any:
    """Return an encoder-decoder model in 32-bit floats, on the CPU, in training mode as from_pretrained leaves it.

    Args:
        name: A folder or a hub name, as `resolve` returns it.
        overrides: Given the model's configuration, returns the fields to set in it before the model is built,
            e.g. {"dropout": 0.1}.

    Raises:
        DataError: It cannot be loaded, is no encoder-decoder, or its configuration has no such field.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    config = _load(AutoConfig.from_pretrained, name)
    if not getattr(config, "is_encoder_decoder", False):
        raise DataError(f"model.name: must be an encoder-decoder model, got {config.model_type!r} in {name}")
    for field, value in overrides(config).items():
        if not hasattr(config, field):
            raise DataError(f"model: a {config.model_type} model has no {field!r} to set")
        setattr(config, field, value)
    # 16-bit checkpoints would otherwise stay, and train, in 16 bits (transformers 5 keeps the stored type).
    return _load(AutoModelForSeq2SeqLM.from_pretrained, name, config=config, dtype=torch.float32)
