"""Which fields of a configuration a program really used: a view of it that remembers what was read."""

import dataclasses
from typing import Any, Generic, TypeVar, cast

from sweepkit.training.config.training import AnyConfig

Config = TypeVar("Config", bound=AnyConfig)


class _Section:
    """One section, seen through; every field that is read is noted under its dotted path."""

    def __init__(self, values: Any, name: str, read: set[str]) -> None:
        self._values, self._name, self._read = values, name, read

    def __getattr__(self, field: str) -> Any:
        """Return a field of the section and note it."""
        value = getattr(self._values, field)
        self._read.add(f"{self._name}.{field}")
        return value


class RecordedConfig(Generic[Config]):
    """A configuration that can be read as one, and the set of what was.

    Attributes:
        config: To be read like the configuration itself.
        raw: The same configuration; reading it notes nothing. For writing all of it down.
        read: Dotted paths of the fields read so far.

    >>> from sweepkit.training.config.training import TrainingConfig
    >>> recorded = RecordedConfig(TrainingConfig())
    >>> _ = recorded.config.generation.num_beams
    >>> recorded.read
    {'generation.num_beams'}
    """

    def __init__(self, config: Config) -> None:
        self.raw = config
        self.read: set[str] = set()
        self.config = cast(Config, _Top(config, self.read))


class _Top:
    """The configuration itself, its sections seen through."""

    def __init__(self, config: AnyConfig, read: set[str]) -> None:
        self.task = config.task
        for item in dataclasses.fields(config):
            setattr(self, item.name, _Section(getattr(config, item.name), item.name, read))
