"""A JSON schema of the sweep YAML, for editors: they complete keys and mark mistakes while one types.

It is made of the tables that the readers of this room go by. What the reader accepts, the schema accepts; what hangs on
several values at once (min below max, probabilities that sum to 1) only the reader refuses.
"""

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Goal, Impute
from sweepkit.model.seeds import MOST_SEED
from sweepkit.sweep_config.parameters import DISTRIBUTION_KEYS, PARAMETER_NAME
from sweepkit.sweep_config.read import TEXT_KEYS
from sweepkit.sweep_config.sampler import OPTIONS, Option
from sweepkit.sweep_config.sections import EXTENSION_KEYS, SCHEDULER_ENGINES
from sweepkit.sweep_config.stopping_section import (
    AUTO,
    NUMBERS,
    STOPPING_KEYS,
    STOPPING_TYPES,
    WHOLE,
    WHOLE_OF_TYPE,
)
from sweepkit.sweep_config.sweep import Extensions, FailureAction, Method, WandbNaming
from sweepkit.sweep_config.wandb_section import MODES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_TRUTH: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_POSITIVE: Schema = {"type": "number", "exclusiveMinimum": 0}
_SEED: Schema = {"type": "integer", "minimum": 0, "maximum": MOST_SEED}


def sweep_schema() -> Schema:
    """Return the schema of a sweep's YAML, draft 7, as a dictionary for JSON."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A W&B sweep with the extensions of sweepkit",
        **_mapping(
            {
                **dict.fromkeys(TEXT_KEYS, _TEXT),
                "method": _one_of(tuple(Method), "How configurations are chosen."),
                "metric": {"$ref": "#/definitions/metric"},
                "metrics": {"type": "array", "minItems": 2, "items": {"$ref": "#/definitions/metric"}},
                "parameters": {"$ref": "#/definitions/parameters"},
                "early_terminate": _stopping(("hyperband",)),
                "run_cap": _whole(1, "At most this many runs, over all agents."),
                "command": {"type": "array", "description": "The words of the command; ${args} are the parameters."},
                "controller": {
                    "type": "object",
                    "required": ["type"],
                    "properties": {"type": _one_of(("local", "cloud"))},
                },
                "scheduler": _scheduler(),
                "kind": _one_of(("sweep",)),
                "sweepkit": _or_null(_extensions()),
            },
            required=("method",),
        ),
        "definitions": {
            "metric": _metric(),
            "parameters": _parameters(),
            "parameter": _parameter(),
            "stopping": _stopping(STOPPING_TYPES),
        },
    }


def _mapping(properties: Mapping[str, Schema], *, required: Sequence[str] = (), description: str = "") -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "properties": dict(properties),
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _one_of(words: Sequence[str | int], description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "enum": [*map(_plain, words)]}


def _plain(word: str | int) -> str | int:
    return str(word) if isinstance(word, str) else word


def _whole(least: float, description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "type": "integer", "minimum": int(least)}


def _or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be left empty."""
    return (
        {**schema, "type": [schema["type"], "null"]}
        if isinstance(schema.get("type"), str)
        else _any(schema, {"type": "null"})
    )


def _any(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _typed(types: Sequence[str]) -> Schema:
    """Return the schema of a mapping that has a type, and whatever else."""
    return {"type": "object", "required": ["type"], "properties": {"type": _one_of(types)}}


def _metric() -> Schema:
    impute = [item.value for item in Impute]
    return _mapping(
        {
            "name": {**_TEXT, "description": "The name that the program logs."},
            "goal": _one_of(tuple(Goal), "The direction; minimize by default."),
            "target": _NUMBER,
            "impute": _one_of(impute, "What a run without a value counts as."),
            "impute_while_running": _one_of([*impute, "false", False]),
        },
        required=("name",),
    )


def _scheduler() -> Schema:
    texts = dict.fromkeys(("source", "optimizer", "search_space"), _TEXT)
    return {
        **_mapping({"engine": _one_of(SCHEDULER_ENGINES), **texts}, required=("engine",)),
        "dependencies": {"optimizer": ["source"], "search_space": ["source"]},
    }


# --- parameters --------------------------------------------------------------------------------------------------
def _parameters() -> Schema:
    return {
        "type": "object",
        "description": "What varies, or is constant, by name.",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^(?:{PARAMETER_NAME.pattern})$"},
        "additionalProperties": {"$ref": "#/definitions/parameter"},
    }


def _parameter() -> Schema:
    properties = {
        "distribution": _one_of(tuple(Kind)),
        "value": {"description": "A constant."},
        "values": {"type": "array", "minItems": 1, "description": "One of these."},
        "probabilities": {"type": "array", "items": {"type": "number", "minimum": 0}, "description": "Of the values."},
        "min": {**_NUMBER, "description": "The least value."},
        "max": {**_NUMBER, "description": "The greatest value."},
        "q": {**_POSITIVE, "description": "Values are rounded to multiples of this."},
        "mu": {**_NUMBER, "description": "The mean; of log_normal, of the logarithm."},
        "sigma": {"type": "number", "minimum": 0, "description": "The standard deviation."},
        "a": _POSITIVE,
        "b": _POSITIVE,
        "parameters": {"$ref": "#/definitions/parameters"},
    }
    forms = [["distribution"], ["value"], ["values"], ["min", "max"], ["parameters"]]
    return {
        **_mapping(properties),
        "anyOf": [{"required": form} for form in forms],
        "allOf": [
            *map(_of_kind, Kind),
            {"if": {"required": ["parameters"]}, "then": {"maxProperties": 1}},
            *_unnamed(),
        ],
    }


def _of_kind(kind: Kind) -> Schema:
    """Return what a distribution that is named asks for."""
    keys = DISTRIBUTION_KEYS[kind]
    needed = [key for key in keys if key in ("value", "values", "probabilities", "min", "max")]
    named = {"required": ["distribution"], "properties": {"distribution": {"const": kind.value}}}
    return {"if": named, "then": {"required": needed, "propertyNames": {"enum": ["distribution", *keys]}}}


def _unnamed() -> list[Schema]:
    """Return what a distribution that its keys imply asks for."""
    implied = (("value", Kind.CONSTANT), ("values", Kind.CATEGORICAL_W_PROBABILITIES), ("min", Kind.UNIFORM))
    return [
        {
            "if": {"required": [key], "not": {"required": ["distribution"]}},
            "then": {"propertyNames": {"enum": list(DISTRIBUTION_KEYS[kind])}},
        }
        for key, kind in implied
    ]


# --- stopping rules ----------------------------------------------------------------------------------------------
def _stopping(types: Sequence[str]) -> Schema:
    """Return the schema of a stopping rule of one of these types."""
    keys = dict.fromkeys(key for kind in types for key in STOPPING_KEYS[kind])
    rules = [
        {
            "if": {"required": ["type"], "properties": {"type": {"const": kind}}},
            "then": {
                "properties": {key: _setting(kind, key) for key in STOPPING_KEYS[kind]},
                "propertyNames": {"enum": ["type", *STOPPING_KEYS[kind]]},
            },
        }
        for kind in types
    ]
    named = {"type": _one_of(types, "The rule that ends bad runs early."), **{key: {} for key in keys}}
    return {"type": "object", "required": ["type"], "properties": named, "allOf": rules}


def _setting(kind: str, key: str) -> Schema:
    if key in WHOLE:
        whole = _whole(WHOLE_OF_TYPE.get((kind, key), WHOLE[key]))
        return _any(whole, {"const": "auto"}) if key in AUTO else whole
    if key in NUMBERS:
        least, most = NUMBERS[key]
        bounds = {"minimum": least, "maximum": most}
        return {"type": "number", **{name: bound for name, bound in bounds.items() if math.isfinite(bound)}}
    special: Mapping[str, Schema] = {
        "eta": {"type": "number", "exclusiveMinimum": 1},
        "strict": _TRUTH,
        "rule": _any({"const": "auto"}, {"$ref": "#/definitions/stopping"}),
    }
    return special.get(key, _TEXT)


# --- our own key -------------------------------------------------------------------------------------------------
def _extensions() -> Schema:
    meanings = argument_texts(Extensions)
    whole = {"seed": 0, "retries": 0, "gpus_per_run": 0, "cpus_per_run": 1}
    known: dict[str, Schema] = {
        **{key: {"type": "integer", "minimum": least} for key, least in whole.items()},
        "sampler": _sampler(),
        "timeout_s": _POSITIVE,
        "time_budget_s": _POSITIVE,
        "kill_delay_s": {"type": "number", "minimum": 0},
        "runs_per_gpu": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["auto"]}]},
        "min_free_gpu_memory_gb": {"type": "number", "minimum": 0},
        "preload": _TEXTS,
        "prior_runs": _TEXTS,
        "first_points": {"type": "array", "items": {"type": "object", "minProperties": 1}},
        "early_terminate": _any({"const": "auto"}, {"$ref": "#/definitions/stopping"}),
        "audit_stopped": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "base_config": _TEXT,
        "search_space": _TEXT,
        "seed_parameter": {"type": "string", "minLength": 1},
        "holdout": {"type": "object", "minProperties": 1},
        "value": {"type": "string", "pattern": "^(best|last|mean_of_last [1-9][0-9]*)$"},
        "on_failure": {"type": "array", "items": _failure_rule()},
        "wandb": _naming(),
        "seeds_per_run": _seeds(),
        "conditions": _conditions(),
    }
    # A key that has no entry above is taken with any value; a test finds it.
    return _mapping({key: _described(known.get(key, {}), meanings.get(key, "")) for key in EXTENSION_KEYS})


def _described(schema: Schema, text: str) -> Schema:
    """Return the schema of an optional setting with its meaning."""
    optional = _or_null(schema) if schema else {}
    return {"description": text, **optional} if text else optional


def argument_texts(kind: type[Any]) -> dict[str, str]:
    """Return the meaning of each field of a value, from its class's docstring; {} where docstrings were dropped.

    >>> argument_texts(WandbNaming)["tags"]
    "W&B's tags; no commas in them."
    """
    section = inspect.getdoc(kind) or ""
    found = re.findall(r"^    (\w+): (.+(?:\n {8,}.+)*)", section.partition("Args:\n")[2], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _sampler() -> Schema:
    names = {"enum": list(OPTIONS)}
    forms = [
        _mapping(
            {"name": {"const": name}, **{key: _or_null(_option(option)) for key, option in options.items()}},
            required=("name",),
        )
        for name, options in OPTIONS.items()
    ]
    return _any(names, *forms)


def _option(option: Option) -> Schema:
    said: Schema = {"description": option.meaning} if option.meaning else {}
    if option.kind == "choice":
        return {**said, "enum": list(option.choices)}
    if option.kind == "boolean":
        return {**said, **_TRUTH}
    bounds = {"minimum": option.at_least, "maximum": option.at_most, "exclusiveMinimum": option.above}
    return {**said, "type": option.kind, **{name: bound for name, bound in bounds.items() if _is_bound(bound)}}


def _is_bound(bound: float | None) -> bool:
    return bound is not None and math.isfinite(bound)


def _failure_rule() -> Schema:
    return _mapping(
        {
            "match": {**_TEXT, "format": "regex", "description": "A regular expression for the reason or the log."},
            "do": _one_of(tuple(FailureAction)),
            "times": _whole(1),
        },
        required=("match", "do"),
    )


def _naming() -> Schema:
    meanings = argument_texts(WandbNaming)
    known = {"tags": _TEXTS, "mode": _one_of(MODES), "sweep_id": _TRUTH}
    names = [item.name for item in fields(WandbNaming)]
    return _mapping({name: {"description": meanings.get(name, ""), **known.get(name, _TEXT)} for name in names})


def _seeds() -> Schema:
    number = {"type": "integer", "minimum": 2}
    listed = {"type": "array", "minItems": 2, "items": _SEED, "uniqueItems": True}
    settings = {"seeds": _any(number, listed), "stop_worse": _TRUTH, "min_seeds": _whole(1)}
    return _any(number, listed, _mapping(settings, required=("seeds",)))


def _conditions() -> Schema:
    when = {"type": "object", "minProperties": 1, "description": "Other parameters: a value, several, {min, max}."}
    return {"type": "object", "additionalProperties": _mapping({"when": when}, required=("when",))}
