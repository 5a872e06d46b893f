"""The full training configuration as a value, how a YAML file becomes one, and where a sweep parameter goes in it.

Fields that transformers has keep transformers' names; all others have their unit in the name. Defaults live here only.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweepkit.errors import Problem, SpecError

OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "rmsprop", "adagrad")
SCHEDULES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")


def _field(
    default: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Return a dataclass field that knows the range of its value."""
    bounds = {"least": least, "above": above, "most": most, "below": below, "choices": tuple(choices)}
    return field(default=default, metadata=bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """Which model is trained.

    Args:
        name: A checkpoint's folder (relative to the root of the checkout, or absolute) or a hub name.
        dropout_rate: Probability in [0, 1), set on the loaded model; None keeps the checkpoint's own.
        attention_dropout: The same, of attention weights.
    """

    name: str = "data/checkpoints/bart-tiny-ko"
    dropout_rate: float | None = _field(None, least=0, below=1)
    attention_dropout: float | None = _field(None, least=0, below=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """What it is trained and scored on.

    Args:
        train_file: UTF-8 CSV with a header.
        val_file: The same columns; scored at every evaluation.
        dialogue_column: Column of the input text.
        summary_column: Column of the wanted text.
        max_train_samples: Use the first so many rows, >= 1; None for all.
        max_val_samples: The same for the validation file.
        normalize_text: Make quotes, repetitions and white space uniform, in data and predictions alike.
    """

    train_file: str = "data/train.csv"
    val_file: str = "data/dev.csv"
    dialogue_column: str = "dialogue"
    summary_column: str = "summary"
    max_train_samples: int | None = _field(None, least=1)
    max_val_samples: int | None = _field(None, least=1)
    normalize_text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSection:
    """Longest sequences, in tokens; what is longer is cut.

    Args:
        encoder_max_len: Of the dialogue, >= 8.
        decoder_max_len: Of the summary, and of what is generated, >= 4.
    """

    encoder_max_len: int = _field(256, least=8)
    decoder_max_len: int = _field(64, least=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """transformers' Seq2SeqTrainingArguments by their own names and meanings, as far as they are offered here.

    Args:
        learning_rate: Peak rate, > 0.
        per_device_train_batch_size: Dialogues a step and device, >= 1.
        per_device_eval_batch_size: Dialogues generated at once, >= 1.
        gradient_accumulation_steps: Batches per optimizer step, >= 1.
        num_train_epochs: Passes over the training data, > 0; a fraction is allowed.
        max_steps: Optimizer steps in place of epochs when >= 1; -1 for epochs.
        warmup_ratio: Part of the steps with a rising rate, in [0, 1).
        weight_decay: >= 0.
        max_grad_norm: Gradients are scaled down to this norm; 0 for never.
        lr_scheduler_type: How the rate falls.
        label_smoothing_factor: In [0, 1); eval/loss is measured without it, so that runs stay comparable.
        optim: The optimizer.
        fp16: Half precision (CUDA).
        bf16: bfloat16.
        gradient_checkpointing: Recompute activations: less memory, about a third slower.
        eval_strategy: When to evaluate: every eval_steps, every epoch, or only at the end ("no").
        eval_steps: Steps between evaluations when >= 1; below 1 a part of all steps, so 0.125 makes 8 evaluations.
        predict_with_generate: Generate summaries and score them; without it only the loss is known.
        save_model: Keep the trained model under the output directory.
        use_cpu: Use no GPU though there is one.
        seed: Of everything random in the training, >= 0.
    """

    learning_rate: float = _field(3e-3, above=0)
    per_device_train_batch_size: int = _field(16, least=1)
    per_device_eval_batch_size: int = _field(64, least=1)
    gradient_accumulation_steps: int = _field(1, least=1)
    num_train_epochs: float = _field(2.0, above=0)
    max_steps: int = _field(-1, least=-1)
    warmup_ratio: float = _field(0.1, least=0, below=1)
    weight_decay: float = _field(0.01, least=0)
    max_grad_norm: float = _field(1.0, least=0)
    lr_scheduler_type: str = _field("linear", choices=SCHEDULES)
    label_smoothing_factor: float = _field(0.0, least=0, below=1)
    optim: str = _field("adamw_torch_fused", choices=OPTIMIZERS)
    fp16: bool = False
    bf16: bool = False
    gradient_checkpointing: bool = False
    eval_strategy: str = _field("steps", choices=("steps", "epoch", "no"))
    eval_steps: float = _field(0.125, above=0)
    predict_with_generate: bool = True
    save_model: bool = False
    use_cpu: bool = False
    seed: int = _field(42, least=0, most=2**32 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSection:
    """How summaries are generated when the model is scored.

    Args:
        num_beams: Width of the search, >= 1; 1 takes the likeliest token each time.
        length_penalty: > 0 prefers longer summaries; only with more than one beam.
        no_repeat_ngram_size: No n-gram of this length occurs twice; 0 for no such rule.
    """

    num_beams: int = _field(1, least=1)
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = _field(0, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """How summaries are scored: `rouge_tokenizer` decides what a word is, and stands in every result."""

    rouge_tokenizer: str = _field("unicode", choices=("unicode", "whitespace", "character"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbSection:
    """Recording the run with W&B as well. Off by default: it costs a second a run.

    Args:
        enabled: Whether to.
        project: W&B's project.
        mode: "offline" writes below the output directory and needs no account.
    """

    enabled: bool = False
    project: str = "sweepkit"
    mode: str = _field("offline", choices=("offline", "online", "disabled"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSection:
    """Where results go: `directory`, or None for outputs/<model>_seed<seed>."""

    directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a training; equal configurations give equal results on one machine."""

    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    tokenizer: TokenizerSection = field(default_factory=TokenizerSection)
    training: TrainingSection = field(default_factory=TrainingSection)
    generation: GenerationSection = field(default_factory=GenerationSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    wandb: WandbSection = field(default_factory=WandbSection)
    output: OutputSection = field(default_factory=OutputSection)


@dataclass(frozen=True, slots=True)
class _Known:
    """One field of the configuration: its dotted path, its type without None, whether None is allowed, its range."""

    path: str
    kind: type
    optional: bool
    bounds: Mapping[str, Any]


def _fields() -> Iterator[_Known]:
    """Yield every field of every section, in order."""
    for section, section_type in typing.get_type_hints(TrainingConfig).items():
        hints = typing.get_type_hints(section_type)
        for item in dataclasses.fields(section_type):
            hint = hints[item.name]
            optional = isinstance(hint, types.UnionType)
            kind = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
            yield _Known(f"{section}.{item.name}", kind, optional, item.metadata)


_KNOWN: Mapping[str, _Known] = {known.path: known for known in _fields()}
# A sweep parameter of these sections may be named without its section. The others' field names say too little alone.
_BARE_SECTIONS = ("data", "tokenizer", "training", "generation", "metrics")
_BARE: Mapping[str, str] = {
    **{path.split(".")[1]: path for path in _KNOWN if path.split(".")[0] in _BARE_SECTIONS},
    **{path.split(".")[1]: path for path in _KNOWN if path.startswith("model.") and path != "model.name"},
}


def field_paths() -> tuple[str, ...]:
    """Return the dotted path of every field."""
    return tuple(_KNOWN)


def route(name: str) -> str | None:
    """Return the dotted path that a sweep parameter sets, or None when there is none.

    >>> route("num_beams"), route("training.learning_rate"), route("lerning_rate")
    ('generation.num_beams', 'training.learning_rate', None)
    """
    return name if name in _KNOWN else _BARE.get(name)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the hint `did you mean "…"?` with the known name nearest to `name`, or ""."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""


def unknown_parameters(names: Sequence[str]) -> list[Problem]:
    """Return one problem for each sweep parameter that no field of the configuration takes."""
    hints = [*_BARE, *_KNOWN]
    return [
        Problem(
            key=name,
            rule="must be a field of the training configuration",
            got=repr(name),
            hint=nearest(name, hints) or "see config/base_config.yaml for the names",
        )
        for name in names
        if route(name) is None
    ]


def _number(text: str) -> Any:
    """Return the number written in `text`, or the text itself."""
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


_WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "~": None}


def _coerce(known: _Known, value: Any, from_text: bool) -> Any:
    """Return the value in the type of its field.

    Args:
        known: The field.
        value: What was given.
        from_text: It comes from a command line, where everything is text.

    Raises:
        TypeError: It has another type; the message is the rule that it breaks.
    """
    if from_text and isinstance(value, str) and (known.kind is not str or known.optional):
        value = _WORDS.get(value.lower(), value)
        if isinstance(value, str) and known.kind in (int, float):
            value = _number(value)
    if value is None and known.optional:
        return None
    if known.kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if known.kind is int and isinstance(value, float) and value.is_integer():
        return int(value)  # a q_uniform of a sweep gives 8.0
    if isinstance(value, known.kind) and not (known.kind is int and isinstance(value, bool)):
        return value
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[known.kind]
    raise TypeError(f"must be {words}{' or null' if known.optional else ''}")


def _range_rule(known: _Known, value: Any) -> str:
    """Return the rule that a value of the right type breaks, or ""."""
    bounds = known.bounds
    if not bounds or value is None:
        return ""
    if bounds["choices"] and value not in bounds["choices"]:
        return f"must be one of {', '.join(bounds['choices'])}"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    checks = (
        ("least", "at least", lambda limit: value >= limit),
        ("above", "above", lambda limit: value > limit),
        ("most", "at most", lambda limit: value <= limit),
        ("below", "below", lambda limit: value < limit),
    )
    broken = [
        f"{words} {bounds[name]}"
        for name, words, holds in checks
        if bounds[name] is not None and not holds(bounds[name])
    ]
    return f"must be {' and '.join(broken)}" if broken else ""


def _hint(known: _Known, value: Any) -> str:
    """Return what to do about a refused value, where there is something better to say than the rule."""
    if known.path == "training.optim" and isinstance(value, str):
        return "transformers 5 dropped adamw_hf, use adamw_torch" if value == "adamw_hf" else nearest(value, OPTIMIZERS)
    if isinstance(value, str) and isinstance(_number(value), int | float) and known.kind in (int, float):
        return "remove the quotes"
    return nearest(value, known.bounds.get("choices", ())) if isinstance(value, str) else ""


def _check(path: str, value: Any, from_text: bool) -> tuple[Any, Problem | None]:
    """Return the value in its field's type, or the problem with it."""
    known = _KNOWN[path]
    try:
        converted = _coerce(known, value, from_text)
        rule = _range_rule(known, converted)
    except TypeError as error:
        converted, rule = value, str(error)
    if rule:
        return None, Problem(key=path, rule=rule, got=repr(value), hint=_hint(known, value))
    return converted, None


def _together(values: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of values that are right alone but not together."""
    problems = []
    if values.get("training.fp16") and values.get("training.bf16"):
        problems.append(Problem(key="training.bf16", rule="must be false when training.fp16 is true", got="both true"))
    if values.get("training.max_steps") == 0:
        problems.append(Problem(key="training.max_steps", rule="must be -1 (use epochs) or at least 1", got="0"))
    steps = values.get("training.eval_steps", 1.0)
    if steps > 1 and steps != int(steps):
        problems.append(
            Problem(
                key="training.eval_steps",
                rule="must be whole when above 1 (steps), or a fraction below 1",
                got=repr(steps),
            )
        )
    return problems


def _values(config: TrainingConfig) -> dict[str, Any]:
    """Return every value by its dotted path."""
    return {path: getattr(getattr(config, path.split(".")[0]), path.split(".")[1]) for path in _KNOWN}


def _build(values: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration with these values, the others at their defaults."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, name = path.split(".")
        sections.setdefault(section, {})[name] = value
    kinds = typing.get_type_hints(TrainingConfig)
    return TrainingConfig(**{section: kinds[section](**given) for section, given in sections.items()})


def apply(config: TrainingConfig, params: Mapping[str, Any], *, from_text: bool = False) -> TrainingConfig:
    """Return the configuration with sweep parameters set, each in the field that `route` names.

    Args:
        config: Where they are set; it stays as it is.
        params: Values by bare or dotted name. A whole number becomes a float where one is due, 8.0 becomes 8.
        from_text: The values come from a command line: "1e-4", "true" and "none" are read as what they mean.

    Raises:
        SpecError: Unknown names, wrong types, values out of range: all of them at once.

    >>> apply(TrainingConfig(), {"num_beams": "4"}, from_text=True).generation.num_beams
    4
    """
    problems = unknown_parameters(list(params))
    values = _values(config)
    for name, given in params.items():
        path = route(name)
        if path is None:
            continue
        value, problem = _check(path, given, from_text)
        if problem is not None:
            problems.append(problem)
        else:
            values[path] = value
    problems += [] if problems else _together(values)
    if problems:
        raise SpecError(problems)
    return _build(values)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested parameters by dotted name, as W&B nests them.

    >>> flatten({"training": {"learning_rate": 0.1}, "num_beams": 2})
    {'training.learning_rate': 0.1, 'num_beams': 2}
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


Lines = Mapping[tuple[str, ...], int]


def _load_yaml(path: Path) -> tuple[Any, Lines]:
    """Return a YAML 1.2 document and the 1-based line of each key, by the path of keys to it.

    Raises:
        SpecError: There is no such file, it is not UTF-8, or it is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(
            [Problem(where=where, rule="must be a file that can be read", got=error.strerror or "")]
        ) from None
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem(where=where, rule="must be UTF-8", got=f"byte {error.object[error.start]:#x}")]
        ) from None
    try:
        lines: dict[tuple[str, ...], int] = {}
        _collect_lines(YAML(typ="rt", pure=True).load(text), (), lines)
        return YAML(typ="safe", pure=True).load(text), lines
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        said = (error.problem or "").splitlines()
        raise SpecError([Problem(where=where, line=line, rule="must be YAML", got=said[0] if said else "")]) from None
    except YAMLError as error:
        raise SpecError([Problem(where=where, rule="must be YAML", got=str(error).splitlines()[0])]) from None


def _collect_lines(node: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    """Note the line of every key below `node`, a mapping as ruamel's round-trip loader gives it."""
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        here = (*path, str(key))
        lines[here] = node.lc.key(key)[0] + 1  # type: ignore[attr-defined]
        _collect_lines(value, here, lines)


def from_mapping(data: Any, *, where: str = "", lines: Lines | None = None) -> TrainingConfig:
    """Return the configuration that a nested mapping describes; what it leaves out keeps its default.

    Args:
        data: Sections of fields, as a YAML file holds them; None (an empty file) is all defaults.
        where: The file, for messages.
        lines: The line of each key in it.

    Raises:
        SpecError: Every problem at once.
    """
    lines = lines or {}
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise SpecError([Problem(where=where, rule="must hold sections such as training:", got=type(data).__name__)])
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    sections = tuple(item.name for item in dataclasses.fields(TrainingConfig))

    def note(problem: Problem, keys: tuple[str, ...]) -> None:
        problems.append(dataclasses.replace(problem, where=where, line=lines.get(keys)))

    for section, given in data.items():
        keys = (str(section),)
        if section not in sections:
            note(Problem(key=str(section), rule="is not a section", hint=_section_hint(str(section), sections)), keys)
        elif given is not None and not isinstance(given, Mapping):
            note(Problem(key=str(section), rule="must hold fields", got=repr(given)), keys)
        else:
            for name, value in (given or {}).items():
                path = f"{section}.{name}"
                if path not in _KNOWN:
                    note(Problem(key=path, rule="is not a field", hint=nearest(path, list(_KNOWN))), (*keys, str(name)))
                    continue
                values[path], problem = _check(path, value, from_text=False)
                if problem is not None:
                    note(problem, (*keys, str(name)))
    for problem in [] if problems else _together(values):
        note(problem, tuple(problem.key.split(".")))
    if problems:
        raise SpecError(problems)
    return _build(values)


def _section_hint(name: str, sections: Sequence[str]) -> str:
    """Return where a top-level key belongs: under its section if it is a field, else the nearest section."""
    path = route(name)
    if path is not None:
        return f"it belongs under {path.split('.')[0]}:"
    return nearest(name, sections) or f"the sections are {', '.join(sections)}"


def read_training_config(path: Path) -> TrainingConfig:
    """Return the configuration in a YAML 1.2 file (`1e-5` is a number).

    Raises:
        SpecError: The file cannot be read, or any key or value is wrong: all at once, each with its line.
    """
    data, lines = _load_yaml(path)
    return from_mapping(data, where=str(path), lines=lines)


def as_dict(config: TrainingConfig) -> dict[str, dict[str, Any]]:
    """Return the configuration as nested plain values, sections in order."""
    return dataclasses.asdict(config)


def _scalar(value: Any) -> str:
    """Return one value as YAML; floats keep a point, so that YAML 1.1 readers too see numbers."""
    import json

    if isinstance(value, float):
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa
    return json.dumps(value, ensure_ascii=False)


def to_yaml(config: TrainingConfig) -> str:
    """Return the configuration as a YAML file that `read_training_config` reads back to an equal value."""
    lines: list[str] = []
    for section, values in as_dict(config).items():
        lines.append(f"{section}:")
        lines += [f"  {name}: {_scalar(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"
