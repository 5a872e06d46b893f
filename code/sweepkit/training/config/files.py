"""Which file a training configuration or a preset is: a path, or a name in config/."""

from collections.abc import Mapping
from pathlib import Path

from sweepkit.environ import BASE_CONFIG_ENV
from sweepkit.errors import Problem, SpecError
from sweepkit.paths import BASE_CONFIG, CONFIG_DIR, find_config
from sweepkit.sweep_config.fields import suggestion
from sweepkit.training.config.spellings import config_names


def find_training_config(name: str) -> Path | None:
    """Return a training configuration: a file, or a name in config/ or config/models/; None when there is none.

    A model's short name means its configuration: "kobart", "baseline_kobart" and "optimal_kobart" are one.

    >>> find_training_config("kobart").name
    'optimal_kobart.yaml'
    """
    named = (find_config(each, folder=CONFIG_DIR / "models") for each in config_names(name))
    return find_config(name) or next((file for file in named if file is not None), None)


def config_file(name: str | None, environ: Mapping[str, str]) -> Path:
    """Return the configuration file: as given, else the sweep's base config, else config/base_config.yaml.

    A bare name such as "quick_test" means the file in config/, "models/optimal_t5" the one in config/models/.
    """
    chosen = name or environ.get(BASE_CONFIG_ENV)
    if not chosen:
        return BASE_CONFIG
    found = find_training_config(chosen)
    if found is None:
        raise SpecError([Problem(where=chosen, rule="must be a configuration file, which does not exist")])
    return found


def preset_file(name: str) -> Path:
    """Return a preset's file: one of config/presets/ by name, or a path."""
    known = sorted(path.stem for path in (CONFIG_DIR / "presets").glob("*.yaml"))
    file = find_config(name, folder=CONFIG_DIR / "presets")
    if file is None:
        rule = f"must be one of {', '.join(known)}, or a YAML file"
        raise SpecError([Problem(where="--preset", rule=rule, got=repr(name), hint=suggestion(name, known))])
    return file
