"""A JSON schema of the sweep YAML, for editors: they complete keys and mark mistakes while one types.

It is made of the tables that the readers of this room go by. What the reader accepts, the schema accepts; what hangs on
several values at once (min below max, probabilities that sum to 1) only the reader refuses.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.model.distributions import Kind
from sweepkit.model.seeds import MOST_SEED
from sweepkit.sweep_config.fields import Field, holds
from sweepkit.sweep_config.parameters import DISTRIBUTION_KEYS, PARAMETER_NAME
from sweepkit.sweep_config.read import SWEEP
from sweepkit.sweep_config.sampler import OPTIONS
from sweepkit.sweep_config.sections import CONTROLLER, EXTENSIONS, FAILURE_RULE, METRIC, SCHEDULER
from sweepkit.sweep_config.seeds_section import SEEDS
from sweepkit.sweep_config.stopping_section import STOPPING_KEYS, STOPPING_TYPES
from sweepkit.sweep_config.sweep import Extensions, WandbNaming
from sweepkit.sweep_config.wandb_section import WANDB_NAMING

Schema = dict[str, Any]

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
                **_section(SWEEP),
                "metric": {"$ref": "#/definitions/metric"},
                "metrics": {"type": "array", "minItems": 2, "items": {"$ref": "#/definitions/metric"}},
                "parameters": {"$ref": "#/definitions/parameters"},
                "early_terminate": _stopping(("hyperband",)),
                "command": {"type": "array", "description": "The words of the command; ${args} are the parameters."},
                "controller": {"type": "object", "required": ["type"], "properties": _section(CONTROLLER)},
                "scheduler": _scheduler(),
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


_TYPES: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "strings": {"type": "array", "items": {"type": "string"}},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "float": {"type": "number"},
    "mapping": {"type": "object"},
    "any": {},
}


def _section(section: Mapping[str, Field]) -> dict[str, Schema]:
    """Return the schema of each key of a section, as its field declares it."""
    return {key: _of_field(field) for key, field in section.items()}


def _of_field(field: Field) -> Schema:
    """Return the schema of what a field may hold; rules in words (`fault`) are not in it."""
    said: Schema = {"description": field.meaning} if field.meaning else {}
    if field.choices:
        return {**said, "enum": [*map(_plain, field.choices)]}
    bounds = {
        "minimum": field.at_least,
        "exclusiveMinimum": field.above,
        "maximum": field.at_most,
        "exclusiveMaximum": field.below,
    }
    schema = {**said, **_TYPES[field.kind], **{name: bound for name, bound in bounds.items() if holds(bound)}}
    return _any(schema, {"enum": list(field.words)}) if field.words else schema


def _one_of(words: Sequence[str | int], description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "enum": [*map(_plain, words)]}


def _plain(word: str | int) -> str | int:
    return str(word) if isinstance(word, str) else word


def _or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be left empty."""
    return (
        {**schema, "type": [schema["type"], "null"]}
        if isinstance(schema.get("type"), str)
        else _any(schema, {"type": "null"})
    )


def _any(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _metric() -> Schema:
    running = _one_of([*METRIC["impute_while_running"].choices, False])  # people write the boolean
    return _mapping({**_section(METRIC), "impute_while_running": running}, required=("name",))


def _scheduler() -> Schema:
    return {
        **_mapping(_section(SCHEDULER), required=("engine",)),
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
    if key == "rule":
        return _any({"const": "auto"}, {"$ref": "#/definitions/stopping"})
    return _of_field(STOPPING_KEYS[kind][key])


# --- our own key -------------------------------------------------------------------------------------------------
def _extensions() -> Schema:
    meanings = argument_texts(Extensions)
    known: dict[str, Schema] = {
        **_section(EXTENSIONS),
        "sampler": _sampler(),
        "first_points": {"type": "array", "items": {"type": "object", "minProperties": 1}},
        "early_terminate": _any({"const": "auto"}, {"$ref": "#/definitions/stopping"}),
        "seed_parameter": {"type": "string", "minLength": 1},
        "holdout": {"type": "object", "minProperties": 1},
        "value": {"type": "string", "pattern": "^(best|last|mean_of_last [1-9][0-9]*)$"},
        "on_failure": {"type": "array", "items": _failure_rule()},
        "wandb": _naming(),
        "seeds_per_run": _seeds(),
        "conditions": _conditions(),
    }
    return _mapping({key: _described(schema, meanings.get(key, "")) for key, schema in known.items()})


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
            {
                "name": {"const": name},
                **{key: _or_null(schema) for key, schema in _section(options).items()},
            },
            required=("name",),
        )
        for name, options in OPTIONS.items()
    ]
    return _any(names, *forms)


def _failure_rule() -> Schema:
    known = _section(FAILURE_RULE)
    return _mapping({**known, "match": {**known["match"], "format": "regex"}}, required=("match", "do"))


def _naming() -> Schema:
    meanings = argument_texts(WandbNaming)
    known = _section(WANDB_NAMING)
    return _mapping({name: {"description": meanings.get(name, ""), **schema} for name, schema in known.items()})


def _seeds() -> Schema:
    number = {"type": "integer", "minimum": 2}
    listed = {"type": "array", "minItems": 2, "items": _SEED, "uniqueItems": True}
    return _any(number, listed, _mapping({**_section(SEEDS), "seeds": _any(number, listed)}, required=("seeds",)))


def _conditions() -> Schema:
    when = {"type": "object", "minProperties": 1, "description": "Other parameters: a value, several, {min, max}."}
    return {"type": "object", "additionalProperties": _mapping({"when": when}, required=("when",))}
