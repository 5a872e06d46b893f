"""Loading a tokenizer and a model, from a folder of this checkout or by their hub name.

A tokenizer belongs to its checkpoint: retrained on other text it gives other ids, nothing crashes, and the model is
silently worth half (measured: ROUGE-1 .37 instead of .70). So a checkpoint that sweepkit made carries the hash of its
vocabulary in `sweepkit.json`, and a tokenizer that does not match is refused.

A folder of adapters (adapter_config.json, as `lora.merge: false` leaves it) is a checkpoint like any other: the model
below it is loaded, then the adapters are folded into its weights.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError
from sweepkit.paths import as_written_or_ours
from sweepkit.training.config.spellings import full_checkpoint
from sweepkit.training.models.families import LAYER_FIELDS, FamilyKind, kind_of, set_fields

METADATA_NAME = "sweepkit.json"
VOCABULARY_KEY = "vocabulary.sha256"
PROMPT_KEY = "prompt"
_ADAPTERS_NAME = "adapter_config.json"
# Classes that say no more than: see tokenizer.json. (Beside a Qwen2 model AutoTokenizer would still make another.)
_AS_THE_FILE_SAYS = (None, "", "PreTrainedTokenizerFast", "TokenizersBackend")
# What tokenizers call their special tokens, where they do not say which these are; the first in the vocabulary is it.
_SPECIAL_TOKENS: Mapping[str, tuple[str, ...]] = {
    "eos_token": ("</s>", "<|endoftext|>", "<|im_end|>", "<eos>", "[EOS]", "[SEP]"),
    "bos_token": ("<s>", "<|startoftext|>", "<bos>", "[BOS]", "[CLS]"),
    "unk_token": ("<unk>", "[UNK]"),
    "pad_token": ("<pad>", "[PAD]"),
    "mask_token": ("<mask>", "[MASK]"),
}


def vocabulary_sha256(vocabulary: Mapping[str, int]) -> str:
    """Return the hash of a vocabulary: which id each token has, whatever the order of the mapping."""
    text = json.dumps(sorted(vocabulary.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resolve(name: str) -> str:
    """Return the folder that `name` means: as written, or below the checkout's root; else a hub's name.

    Short names (kobart, kogpt2, t5, ke-t5, mt5, efficientnet_b0 …) are made whole.

    Raises:
        DataError: It is written as a path (it begins with "." or "/" or with "data/") and there is no such folder.
    """
    folder = as_written_or_ours(
        name, lambda path: any((path / file).is_file() for file in ("config.json", _ADAPTERS_NAME))
    )
    if folder is not None:
        return str(folder)
    if name.startswith((".", "/", "~", "data/")) or Path(name).is_dir():
        raise DataError(f"model.name: must be a checkpoint's folder (with a config.json) or a hub name, got {name!r}")
    return full_checkpoint(name)


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
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
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


def unavailable(name: str) -> str | None:
    """Return why a checkpoint cannot be had, in words; None when it is on this machine, or the hub offers it.

    Args:
        name: As the configuration has it.
    """
    try:
        found = resolve(name)
    except DataError as error:
        return str(error)
    if Path(found).is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        if any(isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", _ADAPTERS_NAME)):
            return None
        _ask_hub(name)
    except (OSError, ValueError) as error:
        return (
            f"{name} is not on this machine, and the hub did not give it ({str(error).strip().splitlines()[0][:120]})"
        )
    return None


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of a checkpoint, its special tokens defined as far as its vocabulary has them.

    Args:
        name: A folder or a hub name, as `resolve` returns it.

    Raises:
        DataError: It cannot be loaded, or it is not the one that the checkpoint was trained with.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    below = _adapted(name)
    if below is not None and not (Path(name) / "tokenizer.json").is_file():
        return load_tokenizer(below)
    tokenizer = None
    if _load(get_tokenizer_config, name).get("tokenizer_class") in _AS_THE_FILE_SAYS:
        # Nothing says which class it is, and transformers would guess it from the model: skt/kogpt2-base-v2 becomes a
        # GPT-2 tokenizer, which loses syllables and adds <|endoftext|>. tokenizer.json tells all there is to tell.
        with contextlib.suppress(DataError):
            tokenizer = _load(PreTrainedTokenizerFast.from_pretrained, name)
    tokenizer = tokenizer if tokenizer is not None else _load(AutoTokenizer.from_pretrained, name)
    _check_vocabulary(name, tokenizer.get_vocab())
    if tokenizer.eos_token is None:
        _define_special_tokens(tokenizer, name)
    return tokenizer


def _define_special_tokens(tokenizer: Any, name: str) -> None:
    """Give a tokenizer the special tokens that it does not name but its vocabulary has.

    The model's configuration says their ids (for skt/kogpt2-base-v2 `</s>` is both the begin and the end), and where
    it does not, their usual names do.
    """
    from transformers import PretrainedConfig  # transformers 4 knows it by this name alone

    vocabulary = tokenizer.get_vocab()
    given, _ = _load(PretrainedConfig.get_config_dict, name)
    usual = {token for tokens in _SPECIAL_TOKENS.values() for token in tokens}
    for role, tokens in _SPECIAL_TOKENS.items():
        token_id = given.get(f"{role}_id")
        named = tokenizer.convert_ids_to_tokens(token_id) if isinstance(token_id, int) else None
        # An id that means an ordinary word is a default of the model's class, not of this vocabulary.
        token = named if named in usual else next((token for token in tokens if token in vocabulary), None)
        if token is not None and getattr(tokenizer, role) is None:
            setattr(tokenizer, role, token)


def _check_vocabulary(name: str, vocabulary: Mapping[str, int]) -> None:
    """Refuse a tokenizer that the checkpoint's own record does not know."""
    wanted = metadata(name).get(VOCABULARY_KEY)
    got = vocabulary_sha256(vocabulary)
    if wanted is not None and wanted != got:
        raise DataError(
            f"{Path(name) / METADATA_NAME}: the tokenizer must be the one this checkpoint was trained with, vocabulary "
            f"{wanted[:12]}…, got {got[:12]}…; restore tokenizer.json or make the checkpoint anew with "
            "data/make_checkpoint.py"
        )


def metadata(name: str) -> dict[str, Any]:
    """Return what a checkpoint's sweepkit.json says; empty where there is none, as for a hub name."""
    record = Path(name) / METADATA_NAME
    if not record.is_file():
        return {}
    content: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return content


def _adapted(name: str) -> str | None:
    """Return the checkpoint below a folder of adapters, as `resolve` returns it; None when it holds no adapters.

    Raises:
        DataError: It does not say which checkpoint, or there is none.
    """
    file = Path(name) / _ADAPTERS_NAME
    if not file.is_file():
        return None
    base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise DataError(f"{file}: must name the checkpoint below the adapters as base_model_name_or_path")
    return resolve(str(base))


def load_model(name: str, overrides: Callable[[Any], Mapping[str, Any]]) -> Any:
    """Return an encoder-decoder or a decoder-only model in 32-bit floats, on the CPU.

    It is in evaluation mode, as from_pretrained leaves it. Every weight comes from the checkpoint: one that the
    checkpoint lacks would be random. Layers beyond those that the overrides leave are dropped.

    Args:
        name: A folder or a hub name, as `resolve` returns it.
        overrides: Given the model's configuration, returns the fields to set in it before the model is built,
            e.g. {"dropout": 0.1}.

    Raises:
        DataError: It cannot be loaded, writes no text, lacks weights, or its configuration has no such field.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    below = _adapted(name)
    if below is not None:
        from sweepkit.training.models.lora import fold

        return fold(load_model(below, lambda loaded: _as_adapted(name, loaded, overrides)), name)
    config = _load(AutoConfig.from_pretrained, name)
    loader: Any = AutoModelForSeq2SeqLM if kind_of(config, name) is FamilyKind.SEQ2SEQ else AutoModelForCausalLM
    set_fields(config, overrides(config))
    # 16-bit checkpoints would otherwise stay, and train, in 16 bits (transformers 5 keeps the stored type).
    model, report = _load(loader.from_pretrained, name, config=config, dtype=torch.float32, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:
        named = ", ".join(missing[:3]) + ", …" * (len(missing) > 3)
        raise DataError(
            f"model.name: the checkpoint in {name} must have every weight of a {type(model).__name__}, "
            f"but {len(missing)} are missing and would be random: {named}"
        )
    return model


def _as_adapted(name: str, loaded: Any, overrides: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Give the configuration below adapters the layers that they were trained on; return the overrides for it."""
    from transformers import AutoConfig

    if (Path(name) / "config.json").is_file():
        trained = _load(AutoConfig.from_pretrained, name)
        set_fields(loaded, {field: getattr(trained, field) for field in LAYER_FIELDS if hasattr(loaded, field)})
    return overrides(loaded)
