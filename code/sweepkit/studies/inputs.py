"""What a Python caller hands over, a configuration and data sets in any of their usual forms, as files that train."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError, Problem, SpecError
from sweepkit.files import write_atomically
from sweepkit.paths import BASE_CONFIG
from sweepkit.training.config.files import find_training_config
from sweepkit.training.config.training import (
    AnyConfig,
    ImageConfig,
    PerceiverConfig,
    TrainingConfig,
    apply,
    field_paths,
    flatten,
    read_training_config,
    route,
    to_yaml,
)

# What the guides' configurations call otherwise, beside the names that a sweep may use (`ALIASES`).
_GUIDE_NAMES = {
    "model.hidden_dropout_prob": "model.dropout_rate",
    "model.attention_dropout_prob": "model.attention_dropout",
    "logging.use_wandb": "wandb.enabled",
    "logging.wandb_project": "wandb.project",
}


def config_of(config: Any) -> AnyConfig:
    """Return a training configuration.

    Args:
        config: One already; a path or a name in config/ or config/models/; a mapping of sections, also in the guides'
            names, which is laid over config/base_config.yaml; None for that file itself.

    Raises:
        SpecError: It is none of these, is not there, or is wrong: every problem at once.
    """
    if isinstance(config, TrainingConfig | ImageConfig | PerceiverConfig):
        return config
    if config is None:
        return read_training_config(BASE_CONFIG)
    if isinstance(config, str | os.PathLike):
        name = os.fspath(config)
        found = find_training_config(name)
        if found is None:
            rule = "must be a training configuration: a file, or a name in config/ or config/models/"
            raise SpecError([Problem(where="config", rule=rule, got=repr(name))])
        return read_training_config(found)
    if isinstance(config, Mapping):
        return apply(read_training_config(BASE_CONFIG), _by_field(config))
    rule = "must be a path, a mapping of sections or a TrainingConfig"
    raise SpecError([Problem(where="config", rule=rule, got=type(config).__name__)])


def _by_field(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping's values by the dotted paths of their fields; unknown names stay, to be refused by them."""
    known = set(field_paths(TrainingConfig))
    values: dict[str, Any] = {}
    for name, value in flatten(config).items():
        if name == "task":
            continue
        bare = name.rpartition(".")[2]
        path = name if name in known else _GUIDE_NAMES.get(name) or route(bare)
        values[path or name] = value
    return values


def with_data(config: AnyConfig, train: Any, val: Any, folder: Path) -> AnyConfig:
    """Return the configuration with data sets in place of its own.

    Args:
        config: For summarization when a data set is given.
        train: A path; rows as mappings or (dialogue, summary) pairs; a pandas frame; a Hugging Face data set; None
            keeps the configuration's own.
        val: The same.
        folder: Where rows are written, as JSON lines named by their content: equal data make equal files.

    Raises:
        DataError: A data set has no rows, or one lacks a column that the configuration names.
    """
    if train is None and val is None:
        return config
    if not isinstance(config, TrainingConfig):
        raise DataError(f"train_dataset: must be None for task {config.task}, its data are named in the configuration")
    given = {"data.train_file": ("train", train), "data.val_file": ("val", val)}
    files = {
        path: str(_file_of(data, name, config, folder)) for path, (name, data) in given.items() if data is not None
    }
    return apply(config, files)


def _file_of(data: Any, name: str, config: TrainingConfig, folder: Path) -> Path:
    """Return the file of a data set, written when it was none."""
    if isinstance(data, str | os.PathLike):
        path = Path(os.path.abspath(os.fspath(data)))
        if not path.is_file():
            raise DataError(f"{name}_dataset: must be a file or rows, got {os.fspath(data)!r}, which does not exist")
        return path
    columns = [config.data.dialogue_column, config.data.summary_column]
    extra = config.data.reference_columns if name == "val" else ()
    lines = [json.dumps(row, ensure_ascii=False, default=str) for row in _rows(data, name, columns, extra)]
    if not lines:
        raise DataError(f"{name}_dataset: must have rows, got none")
    return _written(folder, name, ".jsonl", "\n".join(lines) + "\n")


def _rows(data: Any, name: str, columns: list[str], extra: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Yield the rows of a data set with the columns that are wanted."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas; its frames iterate over column names
        data = data.to_dict(orient="records")
    if not isinstance(data, Iterable) and not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        rule = "must be a path, rows, a pandas frame or a data set"
        raise DataError(f"{name}_dataset: {rule}, got {type(data).__name__}")
    items = data if isinstance(data, Iterable) else (data[index] for index in range(len(data)))
    for number, row in enumerate(items):
        if isinstance(row, tuple | list) and len(row) == 2:
            row = dict(zip(columns, row, strict=True))
        if not isinstance(row, Mapping):
            raise DataError(f"{name}_dataset: row {number} must be a mapping or a pair, got {type(row).__name__}")
        missing = [column for column in columns if column not in row]
        if missing:
            found = ", ".join(map(str, row))
            raise DataError(
                f"{name}_dataset: row {number} must have the column {missing[0]!r}, got {found}; "
                "set data.dialogue_column and data.summary_column"
            )
        yield {column: row[column] for column in (*columns, *extra) if column in row}


def write_config(config: AnyConfig, folder: Path) -> Path:
    """Write a configuration as a file named by its content, so that another one is never taken for it."""
    return _written(folder, "base", ".yaml", to_yaml(config))


def _written(folder: Path, name: str, suffix: str, text: str) -> Path:
    """Write a text as a file named by its content; return the file, absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}{suffix}"
    if not file.exists():
        write_atomically(file, text)
    return Path(os.path.abspath(file))
