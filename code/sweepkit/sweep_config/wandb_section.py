"""The `sweepkit.wandb` section: how each run of a sweep appears in W&B."""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import TRUTH, Field, chosen
from sweepkit.sweep_config.sweep import WandbNaming
from sweepkit.text.yaml import KeyPath

_LONGEST = 128  # characters; W&B refuses longer groups, names and job types


def _named(*known: str) -> Field:
    """Return the field of a text that W&B takes, in which these names may stand in braces."""

    def fault(text: str) -> str:
        if not text.strip() or len(text) > _LONGEST:
            return f"must have 1 to {_LONGEST} characters"
        return _template_fault(text, known) if known else ""

    return Field(fault=fault)


def _tag_fault(tag: str) -> str:
    return "a tag must not be empty or hold a comma" if "," in tag or not tag.strip() else ""


WANDB_NAMING: Mapping[str, Field] = {
    "group": _named("sweep"),
    "name": _named("number", "run_id", "sweep"),
    "job_type": _named(),
    "tags": Field(kind="strings", fault=_tag_fault),
    "mode": chosen(("online", "offline", "disabled")),
    "sweep_id": TRUTH,
}


def read_wandb_naming(check: Checker, node: Any, path: KeyPath) -> WandbNaming | None:
    """Read the section; None after refusing it."""
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping", got=node, hint='write {group: optuna_search, name: "trial_{number}"}')
        return None
    return WandbNaming(**check.section(node, path, WANDB_NAMING, "sweepkit.wandb"))


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
