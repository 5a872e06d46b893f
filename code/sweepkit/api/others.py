"""The other commands as functions: confirm and compare."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.api.plans import Asked, gpu_names, options_of
from sweepkit.api.sweep import Sweep
from sweepkit.errors import SweepKitError

if TYPE_CHECKING:
    from sweepkit.compare.text import ComparisonReport
    from sweepkit.reports.confirmation import Confirmation


def confirm(
    sweep: Sweep | str,
    *,
    budget: int | None = None,
    rope: float | None = None,
    workers: int | None = None,
    gpus: Sequence[int | str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    storage: str | None = None,
) -> "Confirmation | None":
    """Run the best of a sweep again with fresh seeds, as a race, and say which one to take.

    Args:
        sweep: It, or its name.
        budget: Runs at most, >= 1; None for 15.
        rope: Closer than this counts as equal, in units of the metric, >= 0.
        workers: Runs at once; None for one, or for one on each of `gpus`.
        gpus: Use these only, by index or UUID.
        output_dir: Where the sweep was written; None for its own or the usual place.
        storage: The database; None for its own or the usual one.

    Returns:
        What came of it: `winner`, and for each configuration its fresh values with an interval; None when it was ended
        before anything was known.

    Raises:
        SweepKitError: There is no such sweep, or nothing to confirm.
    """
    from sweepkit.api.calls import slots_for
    from sweepkit.confirm.confirm import confirm as race
    from sweepkit.confirm.options import ConfirmOptions
    from sweepkit.paths import SweepPaths
    from sweepkit.reports.confirmation import from_plain, read_confirmation
    from sweepkit.wandb.upload_client import Online

    asked, name = _meant(sweep, output_dir, storage)
    race(
        options_of(asked),
        ConfirmOptions(sweep=name, budget=budget, rope=rope),
        slots_for=lambda plan: slots_for(plan, workers, gpu_names(gpus)),
        uploads=Online,
    )
    found = read_confirmation(SweepPaths(asked.folder(), name).root)
    return None if found is None else from_plain(found)


def _meant(sweep: Sweep | str, output_dir: str | os.PathLike[str] | None, storage: str | None) -> tuple[Asked, str]:
    if isinstance(sweep, Sweep):
        return Asked(config="", output_dir=sweep.folder.parent, storage=storage or sweep.storage), sweep.name
    return Asked(config="", output_dir=output_dir, storage=storage), sweep


def compare(
    models: Sequence[str | os.PathLike[str]],
    *,
    seeds: Sequence[int] = (),
    metric: str | None = None,
    rope: float = 0.005,
    alpha: float = 0.05,
    paired: bool = False,
    workers: int | None = None,
    gpus: Sequence[int | str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    storage: str | None = None,
) -> "ComparisonReport":
    """Train models with several seeds each, or take what is trained, and say which is better.

    Args:
        models: Training configurations: names in config/models/, or files; at least two.
        seeds: Each model is trained with each of them; () for 42, 123 and 456.
        metric: The score; None for the usual one.
        rope: Closer than this counts as equal, in units of the score, >= 0.
        alpha: Level of all pairs together, above 0 and below 0.5.
        paired: Pair by seed.
        workers: Trainings at once; None for all GPUs, else one per two cores.
        gpus: Use these only, by index or UUID.
        output_dir: Where everything is written; None for the usual place.
        storage: The database; None for the one in `output_dir`.

    Raises:
        SweepKitError: A configuration is wrong, or no training has finished.
    """
    from sweepkit.api.calls import slot_options
    from sweepkit.compare.options import ComparisonOptions, StatisticsOptions
    from sweepkit.compare.run import reported, train_models

    statistics = StatisticsOptions(metric=metric, rope=rope, alpha=alpha, paired=paired)
    named = tuple(os.fspath(model) for model in models)
    options = ComparisonOptions(models=named, seeds=tuple(seeds), statistics=statistics)
    asked = Asked(config="", output_dir=output_dir, storage=storage)
    compared = train_models(options, options_of(asked), slot_options(workers, gpu_names(gpus)))
    if not compared.finished:
        reasons = "; ".join(f"{item.model} seed {item.seed}: {item.reason}" for item in compared.trainings[:3])
        raise SweepKitError(f"compare: at least one training must finish, got none: {reasons or 'it was interrupted'}")
    return reported(compared, statistics, Path(asked.folder()))[0]
