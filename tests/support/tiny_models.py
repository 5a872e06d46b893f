"""Untrained models of every family, a few thousand weights each, with the embedded checkpoint's tokenizer."""

import json
import shutil
from pathlib import Path
from typing import Any

from sweepkit.paths import DATA_DIR

BART = DATA_DIR / "checkpoints" / "bart-tiny-ko"
FAMILIES = ("bart", "t5", "mt5", "gpt2", "llama", "qwen2")
SEQ2SEQ = ("bart", "t5", "mt5")
CAUSAL = ("gpt2", "llama", "qwen2")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
SPECIAL = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}


def _config(family: str) -> Any:
    """Return a small configuration: two layers (three for decoder-only models), width 32, 256 positions."""
    import transformers

    wide: dict[str, Any] = {"vocab_size": 1000, **SPECIAL}
    if family in ("t5", "mt5"):
        kind = transformers.T5Config if family == "t5" else transformers.MT5Config
        del wide["bos_token_id"]  # T5 has no token to begin with
        return kind(
            **wide, d_model=32, d_ff=64, d_kv=16, num_heads=2, num_layers=2, num_decoder_layers=2,
            decoder_start_token_id=1,
        )  # fmt: skip
    if family == "gpt2":
        return transformers.GPT2Config(**wide, n_embd=32, n_layer=3, n_head=2, n_positions=256, initializer_range=0.2)
    if family == "bert":
        return transformers.BertConfig(
            vocab_size=1000, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        )
    kind = transformers.LlamaConfig if family == "llama" else transformers.Qwen2Config
    return kind(
        **wide, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
    )  # fmt: skip


def make(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint of a family; "bart" is a copy of the embedded one, "bert" can write no text."""
    import torch
    import transformers

    if family == "bart":
        shutil.copytree(BART, folder)
        return folder
    config = _config(family)
    auto = {"bert": transformers.AutoModelForMaskedLM}.get(
        family,
        transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        auto.from_config(config).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(BART / name, folder / name)
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None takes a key out."""
    content = json.loads(file.read_text(encoding="utf-8"))
    content = {name: value for name, value in {**content, **changes}.items() if value is not None}
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
