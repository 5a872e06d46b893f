"""From what a user hands over (a YAML, a dictionary, a program, a function) to the plan that the commands run."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.errors import Problem, SpecError, SweepKitError
from sweepkit.paths import places_of

if TYPE_CHECKING:
    from sweepkit.runner.options import RunOptions
    from sweepkit.runner.plan import Plan
    from sweepkit.sweep_config.sweep import SweepSpec

_COMMAND = ("${interpreter}", "${program}", "${args_json_file}")
_REPLACED = ("program", "command")  # by a function

Config = Mapping[str, Any] | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a sweep is made of.

    Args:
        config: A sweep's configuration: a mapping as `wandb.sweep` takes it, a YAML file, or a name of one of ours.
        function: What each run calls; None for the configuration's own program.
        name: In place of the configuration's.
        output_dir: Where everything is written; None for the usual place.
        storage: The database; None for the one in `output_dir`.
        extensions: Keys of the YAML's `sweepkit:` that are laid over the configuration's own.
        replaces: The function stands in for a `program` or `command` that the configuration names.
    """

    config: Config
    function: Callable[..., Any] | None = None
    name: str | None = None
    output_dir: str | os.PathLike[str] | None = None
    storage: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    replaces: bool = False

    def folder(self) -> Path:
        """Return where everything is written, absolute."""
        return self.places()[0]

    def places(self) -> tuple[Path, str | None]:
        """Return where everything is written, and the database when it is not the one that is found from here."""
        named = [] if isinstance(self.config, Mapping) else [os.fspath(self.config)]
        folder, storage = places_of(named, None if self.output_dir is None else Path(self.output_dir), self.storage)
        return Path(os.path.abspath(folder)), storage


def read_asked(asked: Asked) -> "SweepSpec":
    """Return the sweep that is asked for; with a function its program is still to come.

    Raises:
        SpecError: All that is wrong with it.
    """
    from sweepkit.paths import CONFIG_DIR
    from sweepkit.sweep_config.read import find_sweep, from_config, read_sweep

    if isinstance(asked.config, Mapping):
        spec = from_config(
            asked.config, source="the sweep's configuration", directory=os.getcwd(), default_name=_own_name(asked)
        )
    else:
        file = find_sweep(os.fspath(asked.config), cwd=Path.cwd(), config_dir=CONFIG_DIR)
        spec = read_sweep(file, shown_as=os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file))
    if asked.function is None and not asked.name and not asked.extensions:
        return spec
    return _laid_over(spec, _changes(asked, spec), asked.extensions)


def _own_name(asked: Asked) -> str:
    """Return what a sweep is called whose configuration does not say it: as its function."""
    name = getattr(asked.function, "__name__", "sweep")
    return name if name.isidentifier() else "sweep"


def _changes(asked: Asked, spec: "SweepSpec") -> dict[str, Any]:
    changes: dict[str, Any] = {"name": asked.name or spec.name}
    if asked.function is None:
        return changes
    given = [key for key in _REPLACED if key in spec.wandb_config]
    if given and not asked.replaces:
        rule = "a sweep runs its program or a function, and both were given"
        raise SpecError([Problem(where=spec.source, key=given[0], rule=rule, hint="leave one of them out")])
    return {**changes, "program": "function.py", "command": list(_COMMAND)}


def _laid_over(spec: "SweepSpec", changes: Mapping[str, Any], extensions: Mapping[str, Any]) -> "SweepSpec":
    """Return a sweep with other keys; its text is made anew, with W&B's meaning of every scalar."""
    from sweepkit.sweep_config.read import read_sweep_text
    from sweepkit.text.yaml import parse
    from sweepkit.text.yaml_text import yaml_text

    own = {**(parse(spec.text).data.get("sweepkit") or {}), **extensions}
    data = {**spec.wandb_config, **changes, **({"sweepkit": own} if own else {})}
    return read_sweep_text(yaml_text(data), source=spec.source, directory=spec.directory, default_name=spec.name)


def plan_asked(asked: Asked, options: "RunOptions") -> "Plan":
    """Return the plan of what is asked for; a function's files are written.

    Raises:
        SweepKitError: All that is wrong with it; a function that cannot be handed to another process.
    """
    from sweepkit.runner.plan import plan_of

    spec = read_asked(asked)
    if asked.function is not None:
        spec = _laid_over(spec, {"program": str(_packed(asked, spec, options.output_dir))}, {})
    return plan_of(options, spec)


def _packed(asked: Asked, spec: "SweepSpec", output_dir: Path) -> Path:
    from sweepkit.functions.arguments import handing_of
    from sweepkit.functions.packing import pack

    assert asked.function is not None
    known = None if spec.extensions.search_space else {parameter.path[0] for parameter in spec.space.parameters}
    call = {"handing": handing_of(asked.function, known).value, "metrics": [item.name for item in spec.objectives]}
    return pack(asked.function, call, sweep=spec.name, output_dir=output_dir).program


def options_of(
    asked: Asked,
    *,
    count: int | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    seed: int | None = None,
    cold: bool = False,
) -> "RunOptions":
    """Return how a sweep is run, as the commands take it.

    Raises:
        SweepKitError: A number is out of range.
    """
    from sweepkit.runner.options import RunOptions

    if count is not None and count < 1:
        raise SweepKitError(f"count: must be at least 1, got {count}; leave it out to run until the sweep is complete")
    return RunOptions(
        output_dir=asked.folder(),
        storage=asked.places()[1],
        count=count,
        fresh=fresh,
        retry_failed=retry_failed,
        seed=seed,
        cold=cold,
    )


def gpu_names(gpus: Sequence[int | str] | None) -> tuple[str, ...] | None:
    """Return GPUs as the commands name them."""
    return None if gpus is None else tuple(str(gpu) for gpu in gpus)
