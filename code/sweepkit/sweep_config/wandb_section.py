"""The `sweepkit.wandb` section: how each run of a sweep appears in W&B."""

from collections.abc import Sequence
from dataclasses import fields
from string import Formatter
from typing import Any

from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.sweep import WandbNaming
from sweepkit.text.yaml import KeyPath

_KEYS = tuple(item.name for item in fields(WandbNaming))
_MODES = ("online", "offline", "disabled")
_FIELDS = {"name": ("number", "run_id", "sweep"), "group": ("sweep",)}
_LONGEST = 128  # characters; W&B refuses longer groups, names and job types


def read_wandb_naming(check: Checker, node: Any, path: KeyPath) -> WandbNaming | None:
    """Read the section; None after refusing it."""
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping", got=node, hint='write {group: optuna_search, name: "trial_{number}"}')
        return None
    check.known_keys(node, path, _KEYS, "sweepkit.wandb")
    texts = {key: check.string(node, path, key) for key in ("group", "name", "job_type")}
    for key, text in texts.items():
        if text is None:
            continue
        fault = _template_fault(text, _FIELDS[key]) if key in _FIELDS else ""
        if not text.strip() or len(text) > _LONGEST:
            fault = f"must have 1 to {_LONGEST} characters"
        if fault:
            check.refuse((*path, key), fault, got=text)
            texts[key] = None
    tags = check.strings(node, path, "tags")
    for index, tag in enumerate(tags):
        if "," in tag or not tag.strip():
            check.refuse((*path, "tags", index), "a tag must not be empty or hold a comma", got=tag)
    mode, sweep_id = check.choice(node, path, "mode", _MODES), check.boolean(node, path, "sweep_id")
    return WandbNaming(**texts, tags=tags, mode=mode, sweep_id=sweep_id)


def _template_fault(text: str, known: Sequence[str]) -> str:
    """Return what is wrong with a template, in words; "" when nothing is."""
    shown = ", ".join(f"{{{name}}}" for name in known)
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
        if any(name not in known for name in names):
            return f"may use {shown} only"
        text.format(sweep="s", run_id="r", number=0)
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        return f"must be a template of text and {shown}, {error}"
    return ""
