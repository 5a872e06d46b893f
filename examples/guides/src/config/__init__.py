"""The guides' configurations: a mapping of sections whose fields are attributes, too."""

from pathlib import Path
from typing import Any

from sweepkit.paths import ROOT_DIR
from sweepkit.training.config.files import find_training_config
from sweepkit.training.config.training import as_dict, read_training_config


class Config(dict[str, Any]):
    """A section or a whole configuration: config.training.learning_rate = 3e-5, config.model.get("name")."""

    def __getattr__(self, name: str) -> Any:
        """Return a field."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name!r}; it has {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field; a name of the guides (batch_size, num_epochs) goes before sweepkit's own."""
        self.pop(name, None)
        self[name] = value


class ConfigLoader:
    """Loads a configuration by the guides' name of an experiment.

    Args:
        config_dir: Where `experiments/NAME.yaml` is looked for before sweepkit's own configurations.
    """

    def __init__(self, config_dir: str | Path = "configs") -> None:
        self.config_dir = Path(config_dir)

    def load(self, name: str) -> Config:
        """Return the configuration of an experiment: "baseline_kobart", a name in config/models/, or a file."""
        own = self.config_dir / "experiments" / f"{name.removesuffix('.yaml')}.yaml"
        file = own if own.is_file() else find_training_config(name)
        if file is None:
            raise FileNotFoundError(f"{name}: no configs/experiments/{name}.yaml, and none in config/models/")
        found = as_dict(read_training_config(file))
        config = Config({key: Config(value) if isinstance(value, dict) else value for key, value in found.items()})
        if (ROOT_DIR / str(config.model.name)).is_dir():
            config.model.name = str(ROOT_DIR / config.model.name)  # transformers looks below the working directory only
        if "wandb" in config:
            config["logging"] = Config(use_wandb=config.wandb.enabled)
        return config
