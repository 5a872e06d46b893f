"""Whether a training came to what an earlier one came to, and what differs between the two. Pure.

Metrics are compared as they are, to the last bit: on one machine and device, equal settings and libraries give equal
numbers, so anything less than equality has a cause.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweepkit.training.config.reproduces_section import ReproducesSection
from sweepkit.training.config.training import AnyConfig, as_dict, flatten

SECTION = "reproduces"
# Settings that change nothing about what is trained or how it is scored.
_WITHOUT_EFFECT = ("task", "output.", "wandb.", f"{SECTION}.", "training.save_model")
Row = tuple[int | None, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What came of training a run again.

    Args:
        reproduced: Whether the value was met exactly.
        expected: The run's value.
        got: This training's value at the same place, or the nearest one; None when it reported none.
        differs: What differs between then and now, each in words.
        line: All of it, for the user.
    """

    reproduced: bool
    expected: float
    got: float | None
    differs: tuple[str, ...]
    line: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as it stands in the result file."""
        return {
            "reproduced": self.reproduced,
            "expected": self.expected,
            "got": self.got,
            "differs": list(self.differs),
        }


def section_of(config: AnyConfig) -> ReproducesSection | None:
    """Return what a configuration must come to; None when it says nothing that could be compared."""
    section = getattr(config, SECTION, None)
    if not isinstance(section, ReproducesSection) or section.metric is None or section.value is None:
        return None
    return section


def _settings(config: AnyConfig) -> dict[str, Any]:
    """Return the settings that a result hangs on, by dotted path."""
    values = flatten(as_dict(config))
    return {path: value for path, value in values.items() if not path.startswith(_WITHOUT_EFFECT)}


def digest(config: AnyConfig) -> str:
    """Return a short digest of the settings that a result hangs on; equal for equal ones."""
    text = json.dumps(_settings(config), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def expectation(config: AnyConfig, surroundings: Mapping[str, Any], **known: Any) -> ReproducesSection:
    """Return the section that goes with a configuration.

    Args:
        config: The run's settings.
        surroundings: What is known of where it ran: device, processor, threads, versions and data, as the result file
            has them; what is missing stays unknown.
        known: The section's other fields.
    """
    return ReproducesSection(
        device=surroundings.get("device"),
        processor=surroundings.get("processor"),
        threads=surroundings.get("threads"),
        versions=tuple(f"{name} {version}" for name, version in (surroundings.get("versions") or {}).items()),
        data=tuple(f"{name} {value}" for name, value in (surroundings.get("data") or {}).items()),
        seed=config.training.seed,
        config=digest(config),
        **known,
    )


def differences(
    section: ReproducesSection, config: AnyConfig, surroundings: Mapping[str, Any], written: AnyConfig | None
) -> tuple[str, ...]:
    """Return what differs between the run and this training, each in words.

    Args:
        section: What is known of the run.
        config: This training's settings.
        surroundings: Where it runs, as in `expectation`.
        written: The settings as the file has them, before a command line or a preset changed any; None for `config`.
    """
    before, now = _settings(config if written is None else written), _settings(config)
    found = [f"{path} set by this call to {now[path]}, was {before[path]}" for path in now if now[path] != before[path]]
    if section.config is not None and section.config != digest(config if written is None else written):
        found.append("the settings in the file are not those that the run had")
    for name in ("device", "processor", "threads"):
        then, here = getattr(section, name), surroundings.get(name)
        if then is not None and then != here:
            found.append(f"{name} {then} → {here}")
    found += _changed(section.versions, surroundings.get("versions") or {}, "{name} {then} → {here}")
    return (*found, *_changed(section.data, surroundings.get("data") or {}, "{name} has other contents"))


def _changed(then: Sequence[str], now: Mapping[str, Any], words: str) -> list[str]:
    """Return the items "name value" whose value is another now, in words."""
    pairs = [item.rpartition(" ") for item in then]
    return [
        words.format(name=name, then=value, here=now.get(name, "none"))
        for name, _, value in pairs
        if str(now.get(name)) != value
    ]


def compare(section: ReproducesSection, rows: Sequence[Row], differs: Sequence[str]) -> Reproduction:
    """Return whether a training met its expectation: the same value, to the last bit, in the same evaluation.

    Args:
        section: With metric and value; without a step any evaluation may have the value.
        rows: What the training reported, each with its step, in order.
        differs: What differs, for the message.

    >>> known = ReproducesSection(run_id="ab12", metric="eval/loss", value=0.5, step=10)
    >>> compare(known, [(5, {"eval/loss": 0.7}), (10, {"eval/loss": 0.5})], []).line
    'reproduced: eval/loss 0.5 is the value of run ab12 (step 10)'
    """
    assert section.metric is not None and section.value is not None  # section_of has seen to it
    expected = section.value
    values = [(step, row[section.metric]) for step, row in rows if math.isfinite(row.get(section.metric, math.nan))]
    here = [value for step, value in values if section.step is None or step == section.step]
    got = min(here or [value for _, value in values], key=lambda value: abs(value - expected), default=None)
    reproduced = expected in here
    place = "" if section.step is None else f" (step {section.step})"
    if section.state == "stopped":
        place += ", which was stopped early; this training went on"
    if reproduced:
        line = f"reproduced: {section.metric} {expected!r} is the value of run {section.run_id}{place}"
        line += f"; though {', '.join(differs)}" if differs else ""
    else:
        now = f"{section.metric} is {got!r}" if got is not None else f"no {section.metric} was reported"
        line = f"not reproduced: {now} instead of {expected!r} of run {section.run_id}{place}; what differs: "
        line += "; ".join(differs) or f"nothing that is recorded{_GPU if _on_gpu(section) else ''}"
    return Reproduction(reproduced=reproduced, expected=expected, got=got, differs=tuple(differs), line=line)


_GPU = " (on a GPU some sums are added in no fixed order)"


def _on_gpu(section: ReproducesSection) -> bool:
    """Return whether the run used a GPU."""
    return (section.device or "").startswith("cuda")
