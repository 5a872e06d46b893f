"""Limits of a sweep's values that are known before its first run: of fields, of the model, of the data.

Only small files are read, the checkpoint's config.json and as many rows of data as the largest batch: no library of
models is imported, so that a sweep begins at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sweepkit.errors import DataError, Problem
from sweepkit.model.distributions import Distribution
from sweepkit.model.space import Space
from sweepkit.text.json_text import read_object
from sweepkit.training.checkpoints import resolve
from sweepkit.training.config.training import AnyConfig, TrainingConfig
from sweepkit.training.config.training_schema import schema_of
from sweepkit.training.data import locate
from sweepkit.training.models.families import positions
from sweepkit.training.readers import rows

_ENCODER, _DECODER = "tokenizer.encoder_max_len", "tokenizer.decoder_max_len"
_BATCH, _ROWS = "training.per_device_train_batch_size", "data.max_train_samples"
_INSIDE = 0.381  # a quantile at no round value: what a range draws between its ends has the ends' type, or has not


class CutLength(Problem):
    """An encoder's dialogues that a sweep's training cuts, since the model has no more positions: said, not refused."""

    __slots__ = ()


def beyond_limits(space: Space, config: AnyConfig) -> list[Problem]:
    """Return a problem for each parameter that can have a value which no training can take.

    Args:
        space: What is searched; its names are fields of the configuration.
        config: What the values are laid over.

    Returns:
        Problems whose key is the parameter's name, or the field where the configuration's own value is beyond.
    """
    schema = schema_of(type(config))
    named = {schema.route(item.name): item for item in space.parameters}
    values = {path: _extremes(item.distribution) for path, item in named.items() if path is not None}
    found = [
        replace(problem, key=named[path].name)
        for path, given in values.items()
        for problem in _first(schema.check(path, value, from_text=isinstance(value, str))[1] for value in given)
    ]
    if not isinstance(config, TrainingConfig):
        return found
    wanted = _Wanted(config, values, conditional=bool(space.conditions))
    problems = [*_of_the_model(wanted), *_of_the_data(wanted)]
    others = [replace(item, key=named[item.key].name if item.key in named else item.key) for item in problems]
    said = {problem.key for problem in found}
    return [*found, *(problem for problem in others if problem.key not in said)]


def _extremes(distribution: Distribution) -> tuple[Any, ...]:
    """Return the values that show whether all are within limits: the choices, or the ends of a range and one inside.

    () of the normal kinds, which have no ends.
    """
    if distribution.values:
        return distribution.values
    bounds = distribution.bounds()
    return () if bounds is None else (distribution.ppf(0.0), distribution.ppf(_INSIDE), distribution.ppf(1.0))


def _first(problems: Iterator[Problem | None]) -> list[Problem]:
    """Return the first problem there is: a parameter's values break one rule."""
    return [problem for problem in [next((item for item in problems if item is not None), None)] if problem is not None]


class _Wanted:
    """The values that a field can have in a sweep: what is searched, else the configuration's own."""

    def __init__(self, config: TrainingConfig, searched: Mapping[str, Sequence[Any]], *, conditional: bool) -> None:
        self.config, self.searched = config, searched
        self.conditional = conditional  # which values meet is then a question of the conditions

    def of(self, path: str) -> list[Any]:
        """Return the values of a field; [] of one without ends."""
        if path in self.searched:
            return list(self.searched[path])
        section, name = path.split(".")
        return [getattr(getattr(self.config, section), name)]

    def most(self, path: str) -> float | None:
        """Return the greatest number that a field can have, None where it has none."""
        numbers = [value for value in self.of(path) if isinstance(value, int | float)]
        return max(numbers, default=None)


def _of_the_model(wanted: _Wanted) -> Iterator[Problem]:
    """Yield what goes beyond the models that may be trained."""
    names = [str(name) for name in wanted.of("model.name")]
    for name in names:
        try:
            loaded = _published(resolve(name))
        except DataError as error:
            yield Problem(key="model.name", rule=str(error).removeprefix("model.name: "))
            continue
        if loaded is None or (wanted.conditional and len(names) > 1):
            continue
        yield from _too_long(wanted, name, loaded)
        for part, fields in (("encoder", ("encoder_layers", "num_layers")), ("decoder", ("decoder_layers",))):
            there = next((found for field in fields if isinstance(found := getattr(loaded, field, None), int)), None)
            count = wanted.most(f"model.{part}_layers")
            if there is not None and count is not None and count > there:
                rule = f"must be at most the {there} that {name} has"
                yield Problem(key=f"model.{part}_layers", rule=rule, got=f"{count:g}", hint="lower it")


def _too_long(wanted: _Wanted, name: str, loaded: Any) -> Iterator[Problem]:
    """Yield the lengths that a model has no positions for, as the training itself would refuse them."""
    there = positions(loaded)
    dialogue, summary = wanted.most(_ENCODER), wanted.most(_DECODER)
    if there is None or dialogue is None or summary is None:
        return
    hint = "lower it, or train a model of more positions (model.name)"
    rule = f"must be at most the {there} positions of {name}"
    beyond = [(path, length) for path, length in ((_ENCODER, dialogue), (_DECODER, summary)) if length > there]
    for path, length in beyond:
        if path == _ENCODER and not _continues(loaded):
            yield CutLength(key=path, rule=f"is cut to the {there} positions of {name}", got=f"{length:g}", hint=hint)
        else:
            yield Problem(key=path, rule=rule, got=f"{length:g}", hint=hint)
    if not beyond and _continues(loaded) and dialogue + summary > there and not wanted.conditional:
        both = f"{dialogue:g} and {summary:g} of {_DECODER}"
        yield Problem(key=_ENCODER, rule=f"{rule}, with the summary", got=both, hint=hint)


def _continues(loaded: Any) -> bool:
    """Return whether a model is decoder-only: dialogue and summary share its positions."""
    made = [str(name) for name in getattr(loaded, "architectures", None) or ()]
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in made)


def _published(place: str) -> Any:
    """Return a checkpoint's config.json as an object, None where it is not on this machine."""
    file: Path | None = Path(place) / "config.json"
    if not Path(place).is_dir():
        from huggingface_hub import try_to_load_from_cache

        try:
            cached = try_to_load_from_cache(place, "config.json")
        except ValueError:  # no name of the hub's: the training says so
            return None
        file = Path(cached) if isinstance(cached, str) else None
    content = None if file is None else read_object(file)
    if content is None:
        return None
    if content.get("model_type") == "gpt2":  # transformers reads its n_positions so
        content.setdefault("max_position_embeddings", content.get("n_positions"))
    return SimpleNamespace(**content)


def _of_the_data(wanted: _Wanted) -> Iterator[Problem]:
    """Yield searched batches that are larger than the data: every such size is the same training."""
    batch = wanted.most(_BATCH) if _BATCH in wanted.searched else None
    if batch is None:
        return
    for name in wanted.of("data.train_file"):
        data = wanted.config.data
        try:
            file = locate(str(name), "data.train_file")
            there = sum(1 for _ in islice(rows(file, [data.dialogue_column], data.delimiter), int(batch)))
        except DataError as error:
            yield Problem(key="data.train_file", rule=str(error).removeprefix("data.train_file: "))
            continue
        limits = [value for value in wanted.of(_ROWS) if isinstance(value, int | float)]
        used = min([there, *map(int, limits)])
        if batch > used:
            hint = "lower it, give more data, or raise data.max_train_samples"
            yield Problem(key=_BATCH, rule=f"must be at most the {used} rows of {name}", got=f"{batch:g}", hint=hint)
