"""Low-rank adapters through peft: which modules get them, how they are saved, and how they are folded into a model.

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021.
"""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers.pytorch_utils import Conv1D

from sweepkit.errors import DataError
from sweepkit.training.config.training_sections import LoraSection
from sweepkit.training.models.families import FamilyKind
from sweepkit.training.models.vocabulary import grow

# Query and value projections by what families call them; Hu et al. section 7.1 find these two the best for their size.
# Where one module projects query, key and value together, that one.
_ATTENTION = (("q_proj", "v_proj"), ("q", "v"), ("query", "value"), ("c_attn",), ("query_key_value",), ("qkv_proj",))


def _linear_names(model: Any) -> dict[str, list[str]]:
    """Return the linear modules of a model by their last name, without the one that makes logits.

    Args:
        model: Of transformers; GPT-2's Conv1D is linear too.
    """
    head = model.get_output_embeddings()
    names: dict[str, list[str]] = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head:
            names.setdefault(path.rpartition(".")[2], []).append(path)
    return names


def _targets(model: Any, wanted: str) -> list[str]:
    """Return the last names of the modules that get adapters, sorted.

    Args:
        model: Of transformers.
        wanted: "attention", "all-linear", or names separated by commas.

    Raises:
        DataError: The model has no such linear module; the message lists those that it has.
    """
    there = _linear_names(model)
    known = f"the linear modules of this {model.config.model_type} model are {', '.join(sorted(there))}"
    if wanted == "all-linear":
        return sorted(there)
    if wanted == "attention":
        found = next((list(names) for names in _ATTENTION if all(name in there for name in names)), None)
        if found is None:
            raise DataError(f"lora.target_modules: 'attention' finds no query and value projections; {known}")
        return sorted(found)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        raise DataError(
            f"lora.target_modules: must be attention, all-linear, or names of linear modules, got "
            f"{', '.join(unknown) or repr(wanted)}; {known}"
        )
    return sorted(set(names))


def adapt(model: Any, lora: LoraSection, kind: FamilyKind, new_tokens: tuple[int, ...], name: str) -> Any:
    """Return the model with adapters, which alone are trained; and the embeddings of new tokens.

    Args:
        model: Of transformers; changed in place, all its weights frozen.
        lora: Rank, scale, dropout, targets.
        kind: How it is fed.
        new_tokens: Ids that the vocabulary got just now: frozen, their embeddings would stay what they began as.
        name: The checkpoint as the user named it, which saved adapters will ask for.

    Raises:
        DataError: The model has no such modules.
    """
    names = _targets(model, lora.target_modules)
    modules = dict(model.named_modules())
    # peft wants to be told that GPT-2 keeps its weights transposed.
    transposed = all(isinstance(modules[path], Conv1D) for part in names for path in _linear_names(model)[part])
    config = LoraConfig(
        task_type=TaskType.SEQ_2_SEQ_LM if kind is FamilyKind.SEQ2SEQ else TaskType.CAUSAL_LM,
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft's annotation; it only divides by it
        lora_dropout=lora.dropout,
        target_modules=names,
        fan_in_fan_out=transposed,
        trainable_token_indices=_token_rows(model, new_tokens),
        bias="none",
    )
    adapted: Any = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = name
    return adapted


def _token_rows(model: Any, new_tokens: tuple[int, ...]) -> dict[str, list[int]] | None:
    """Return the rows to train of each embedding that tokens have, by module name; None when no token is new."""
    if not new_tokens:
        return None
    embeddings = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not embeddings[0].weight:
        embeddings.append(head)
    paths = {id(module): path for path, module in model.named_modules()}
    return {paths[id(module)].rpartition(".")[2]: list(new_tokens) for module in embeddings}


def merged(model: Any) -> Any:
    """Return the plain model with the adapters folded into its weights; the adapted one cannot be used any more."""
    return model.merge_and_unload()


def save_adapters(model: Any, folder: Path) -> None:
    """Write the adapters, and the configuration of the model that they belong to, into a folder.

    Args:
        model: As `adapt` returned it.
        folder: Made if need be; `checkpoints.load_model` loads it.
    """
    # New embeddings are saved as part of the adapters; peft would otherwise ask the hub whether the vocabulary grew.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    model.get_base_model().config.save_pretrained(str(folder))


def fold(model: Any, folder: str) -> Any:
    """Return a model with the adapters of a folder folded into its weights.

    Args:
        model: The one that they were trained on; changed in place.
        folder: With adapter_config.json and the adapters' weights.

    Raises:
        DataError: They do not fit.
    """
    try:
        config: Any = LoraConfig.from_pretrained(folder)
        rows = config.trainable_token_indices or {}
        new = sorted({row for part in (rows.values() if isinstance(rows, dict) else [rows]) for row in part})
        grow(model, new)
        folded: Any = merged(PeftModel.from_pretrained(model, folder))
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise DataError(f"model.name: the adapters in {folder} do not fit the checkpoint below them: {first}") from None
    return folded.requires_grad_(True)  # peft froze it
