"""What changed between two versions of a sweep, and whether the runs already made still belong to it.

A sweep of the same name continues when nothing changed, or when the new version only extends the old one: then every
run made so far is one that the new version could have made. Anything else would mix two searches in one record.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.space import Condition, Path
from sweepkit.sweep_config.sweep import Method, Sampler, Seeds, SweepSpec

_ABSENT: Any = object()


class ChangeKind(StrEnum):
    """How a new version of a sweep relates to the old one."""

    SAME = "same"  # nothing that matters; comments, order and layout of the YAML do not
    EXTENDS = "extends"  # the runs so far belong to the new version too
    DIFFERS = "differs"  # another search


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The difference between two versions of a sweep.

    Args:
        kind: The verdict.
        lines: Every difference, as `parameters.lr.values: [0.1] → [0.1, 0.2]`.
        breaking: Those of `lines` that make it another search; empty unless `kind` is DIFFERS.
    """

    kind: ChangeKind
    lines: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()


def compare(old: SweepSpec, new: SweepSpec) -> Change:
    """Compare two versions of a sweep.

    More values of a categorical parameter, wider numeric bounds, a larger or no `run_cap` or time limit, more
    retries, prior runs and seeds extend; so does what decides nothing about a run (description, entity, project,
    controller, Launch keys, preload, the grace before a kill, cores of a slot, a call's time budget, the hold-out set,
    when a configuration gets no further seed). All else differs.
    """
    collected = _Differences()
    _compare_top(collected, old, new)
    _compare_spaces(collected, old, new)
    _compare_extensions(collected, old, new)
    if collected.breaking:
        kind = ChangeKind.DIFFERS
    else:
        kind = ChangeKind.EXTENDS if collected.lines else ChangeKind.SAME
    return Change(kind=kind, lines=tuple(collected.lines), breaking=tuple(collected.breaking))


class _Differences:
    """Collects lines, and which of them break."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.breaking: list[str] = []

    def note(self, key: str, old: Any, new: Any, *, extends: bool = False, typed: bool = False) -> None:
        """Note `key: old → new` unless the two are equal; `typed` says 1 from 1.0."""
        if _canonical(old) == _canonical(new) and not (typed and type(old) is not type(new)):
            return
        line = f"{key}: {_text(old)} → {_text(new)}"
        self.lines.append(line)
        if not extends:
            self.breaking.append(line)


def _compare_top(collected: _Differences, old: SweepSpec, new: SweepSpec) -> None:
    for key in ("name", "method", "program", "command"):
        collected.note(key, getattr(old, key), getattr(new, key))
    for key in ("metric", "early_terminate", "scheduler"):
        if key == "early_terminate" and (old.extensions.early_terminate or new.extensions.early_terminate):
            key_shown = "sweepkit.early_terminate" if new.extensions.early_terminate else key
            _note_record(collected, key_shown, old.early_terminate, new.early_terminate)
            continue
        _note_record(collected, key, getattr(old, key), getattr(new, key))
    collected.note("metrics", [_record(item) for item in old.metrics], [_record(item) for item in new.metrics])
    collected.note("run_cap", old.run_cap, new.run_cap, extends=_at_most(old.run_cap, new.run_cap))
    for key in ("description", "entity", "project", "controller"):
        collected.note(key, getattr(old, key), getattr(new, key), extends=True)
    for key in ("apiVersion", "kind", "job", "image_uri"):
        collected.note(key, old.wandb_config.get(key), new.wandb_config.get(key), extends=True)


def _note_record(collected: _Differences, key: str, old: Any, new: Any) -> None:
    """Note field by field what differs between two records, or that one came or went."""
    if old is None or new is None:
        collected.note(key, None if old is None else _record(old), None if new is None else _record(new))
        return
    for item in fields(old):
        collected.note(f"{key}.{item.name}", getattr(old, item.name), getattr(new, item.name))


def _compare_spaces(collected: _Differences, old: SweepSpec, new: SweepSpec) -> None:
    before: dict[Path, Distribution] = {item.path: item.distribution for item in old.space.parameters}
    after: dict[Path, Distribution] = {item.path: item.distribution for item in new.space.parameters}
    for path in sorted({*before, *after}):
        key = "parameters." + ".".join(path)
        if path not in before:
            collected.note(key, _ABSENT, _described(after[path]))
        elif path not in after:
            collected.note(key, _described(before[path]), _ABSENT)
        else:
            _compare_distributions(collected, key, before[path], after[path], grid=new.method is Method.GRID)
    conditions = [{".".join(item.path): item for item in spec.space.conditions} for spec in (old, new)]
    for name in sorted({*conditions[0], *conditions[1]}):
        was, now = (_described_condition(side[name]) if name in side else _ABSENT for side in conditions)
        collected.note(f"sweepkit.conditions.{name}", was, now)


def _compare_distributions(
    collected: _Differences, key: str, old: Distribution, new: Distribution, *, grid: bool
) -> None:
    listed = (Kind.CONSTANT, Kind.CATEGORICAL)
    if old.kind is new.kind is Kind.CONSTANT:
        collected.note(f"{key}.value", old.values[0], new.values[0])
    elif old.kind in listed and new.kind in listed:
        # 1 and 1.0 are one point of a grid, true and 1 are two; so W&B's engine has it.
        kept = {_canonical(value) for value in old.values} <= {_canonical(value) for value in new.values}
        collected.note(f"{key}.values", list(old.values), list(new.values), extends=kept)
    elif old.kind is not new.kind:
        collected.note(key, _described(old), _described(new))
    else:
        wider = _wider(old, new, grid=grid)
        for item in fields(old):
            before, after = getattr(old, item.name), getattr(new, item.name)
            extends = wider and item.name in ("min", "max")
            # A whole q draws ints, a decimal one floats.
            collected.note(f"{key}.{item.name}", before, after, extends=extends, typed=item.name == "q")


def _wider(old: Distribution, new: Distribution, *, grid: bool) -> bool:
    """Return whether the new bounds hold the old ones; for a grid, whether the old points are among the new."""
    if old.min is None or old.max is None or new.min is None or new.max is None:
        return False
    if new.min > old.min or new.max < old.max:
        return False
    if not grid or old.kind is Kind.INT_UNIFORM:
        return True
    # A grid of q_uniform counts in steps of q from min: the old points stay when min moved by whole steps.
    steps = (old.min - new.min) / (old.q or 1.0)
    return abs(steps - round(steps)) < 1e-9


def _compare_extensions(collected: _Differences, old: SweepSpec, new: SweepSpec) -> None:
    judges: Mapping[str, Callable[[Any, Any], bool]] = {
        "retries": lambda before, after: bool(after >= before),
        "timeout_s": _at_most,
        "time_budget_s": lambda before, after: True,
        "min_free_gpu_memory_gb": lambda before, after: True,
        "prior_runs": lambda before, after: set(before) <= set(after),
        "kill_delay_s": lambda before, after: True,
        "preload": lambda before, after: True,
        "cpus_per_run": lambda before, after: True,
        "runs_per_gpu": lambda before, after: True,
        "on_failure": lambda before, after: True,
        "wandb": lambda before, after: True,
        "seeds_per_run": _more_seeds,
        "holdout": lambda before, after: True,
    }
    for item in fields(old.extensions):
        if item.name == "early_terminate":
            continue  # compared as the rule in force
        before, after = getattr(old.extensions, item.name), getattr(new.extensions, item.name)
        if item.name == "sampler":
            before, after = _sampler(before), _sampler(after)
        extends = judges[item.name](before, after) if item.name in judges else False
        collected.note(f"sweepkit.{item.name}", before, after, extends=extends)


def _more_seeds(before: Seeds | None, after: Seeds | None) -> bool:
    """Return whether every seed that runs may have had is still one; when a configuration is worse decides no run."""
    return before is not None and after is not None and set(before.seeds) <= set(after.seeds)


def _sampler(sampler: Sampler | None) -> Any:
    """Return a sampler as the YAML would write it."""
    if sampler is None or not sampler.options:
        return sampler and sampler.name
    return {"name": sampler.name, **sampler.options}


def _at_most(old: float | None, new: float | None) -> bool:
    """Return whether a limit stayed or became looser; None is no limit."""
    return new is None or (old is not None and new >= old)


def _record(value: Any) -> dict[str, Any]:
    """Return the fields of a record that are set."""
    named = {item.name: getattr(value, item.name) for item in fields(value)}
    return {key: item for key, item in named.items() if item is not None}


def _described(distribution: Distribution) -> dict[str, Any]:
    """Return a distribution as the YAML would write it."""
    named = _record(distribution)
    values = named.pop("values", ())
    kind = named.pop("kind")
    if distribution.kind is Kind.CONSTANT:
        return {"value": values[0]}
    if distribution.kind in (Kind.CATEGORICAL, Kind.CATEGORICAL_W_PROBABILITIES):
        return {"values": list(values), **named}
    return {"distribution": str(kind), **named}


def _described_condition(condition: Condition) -> dict[str, Any]:
    """Return a condition as the YAML would write it."""
    when: dict[str, Any] = {}
    for clause in condition.clauses:
        bounds = {"min": clause.low, "max": clause.high}
        shape = list(clause.choices) or {key: value for key, value in bounds.items() if value is not None}
        when[".".join(clause.path)] = shape
    return {"when": when}


def _canonical(value: Any) -> str:
    """Return a text that is equal for equal values: 1 and 1.0 are, true and 1 are not; key order does not count."""
    return "absent" if value is _ABSENT else json.dumps(_whole(value), sort_keys=True, ensure_ascii=False)


def _whole(value: Any) -> Any:
    """Replace whole floats by ints, tuples by lists, records by mappings, everywhere in a value."""
    if is_dataclass(value):
        return _whole(_record(value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    return value


def _text(value: Any) -> str:
    """Return a value for people."""
    if value is _ABSENT or value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_record)
