"""The recorded sweeps and runs that a user names."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.errors import SweepKitError
from sweepkit.paths import SweepPaths
from sweepkit.runner.find_sweep import choose, locate
from sweepkit.store.named import sweep_meant

if TYPE_CHECKING:
    from sweepkit.model.records import RunRecord, SweepRecord
    from sweepkit.model.watched import PollResult
    from sweepkit.store.watch import Watch
    from sweepkit.sweep_config.sweep import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlace:
    """Where sweeps are.

    Args:
        output_dir: The folder of their files.
        storage: The database; None for the usual one.
    """

    output_dir: Path
    storage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A sweep as its record has it now.

    Args:
        sweep: The sweep.
        spec: Its YAML, read.
        poll: Its runs and its live attempts.
        paths: Its files.
    """

    sweep: "SweepRecord"
    spec: "SweepSpec"
    poll: "PollResult"
    paths: SweepPaths

    @property
    def runs(self) -> "list[RunRecord]":
        """Return its runs, by number."""
        return list(self.poll.changed)

    @property
    def running(self) -> int:
        """Return how many of its runs are under way by the leases of their agents."""
        return sum(not live.expired for live in self.poll.live)


@contextmanager
def opened(place: SweepPlace, named: str | None = None) -> "Iterator[tuple[Watch, Path, str | None]]":
    """Open a database for reading; yield it, the folder of its sweeps, and the name that `named` stands for.

    Args:
        place: Where sweeps are.
        named: A sweep, its folder, or a folder with a database; None for nothing.

    Raises:
        SweepKitError: There is no database, or the folder is no sweep's.
    """
    from sweepkit.store.watch import open_watch

    storage, output_dir, wanted = locate(named, output_dir=place.output_dir, storage=place.storage)
    watch = open_watch(storage)
    try:
        yield watch, output_dir, wanted
    finally:
        watch.close()


def recorded(watch: "Watch", sweep: "SweepRecord", output_dir: Path, *, in_short: bool = False) -> Recorded:
    """Return a sweep as its record has it now.

    Args:
        watch: The database.
        sweep: Which one.
        output_dir: The folder of its files.
        in_short: Most of its runs stand in `poll.ended`, and are not among `runs` (see `Watch.poll`).
    """
    from sweepkit.sweep_config.read import read_recorded

    poll = watch.poll(sweep.sweep_id, in_short=in_short)
    if poll is None:
        raise SweepKitError(f"sweep {sweep.name}: must be in the database, got none: it was removed just now")
    spec = read_recorded(sweep, source=f"sweep {sweep.name}")
    return Recorded(sweep=poll.sweep, spec=spec, poll=poll, paths=SweepPaths(output_dir.absolute(), sweep.name))


def find_sweep(place: SweepPlace, named: str | None) -> Recorded:
    """Return the sweep of a name; without one the only sweep.

    Raises:
        SweepKitError: There is none, or several could be meant.
    """
    with opened(place, named) as (watch, output_dir, wanted):
        sweep = choose(watch.sweeps(), wanted, output_dir=output_dir, label=watch.label)
        return recorded(watch, sweep, output_dir)


def find_run(watch: "Watch", output_dir: Path, named: str) -> "tuple[Recorded, RunRecord]":
    """Return the run that is meant, and its sweep.

    Args:
        watch: The database.
        output_dir: The folder of its sweeps.
        named: A run's id or the first letters of it; SWEEP:NUMBER; or a sweep, whose best run is meant.

    Raises:
        SweepKitError: There is none, or several could be meant.
    """
    sweeps = watch.sweeps()
    name, colon, number = named.rpartition(":")
    if (sweep := sweep_meant(sweeps, named)) is not None:
        return _best(recorded(watch, sweep, output_dir))
    if colon and number.isdecimal() and (sweep := sweep_meant(sweeps, name)) is not None:
        return _numbered(recorded(watch, sweep, output_dir), int(number))
    found = [recorded(watch, sweep, output_dir) for sweep in sweeps]
    meant = [(item, run) for item in found for run in item.runs if run.run_id.startswith(named)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(run.run_id for _, run in meant[:10])
        raise SweepKitError(f"run {named!r}: must be one run, got {len(meant)}: {ids}; give more of its id")
    known = [sweep.name for sweep in sweeps] + [run.run_id for item in found for run in item.runs]
    near = difflib.get_close_matches(named, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "name a run by its id, as SWEEP:NUMBER, or a sweep for its best"
    raise SweepKitError(f"{watch.label}: the run must be in the database, got {named!r}; {hint}")


def _numbered(found: Recorded, number: int) -> "tuple[Recorded, RunRecord]":
    run = next((run for run in found.runs if run.number == number), None)
    if run is None:
        numbers = f"0 to {len(found.runs) - 1}" if found.runs else "of a run, of which there are none"
        raise SweepKitError(f"sweep {found.sweep.name}: the run's number must be {numbers}, got {number}")
    return found, run


def best_run(found: Recorded) -> "RunRecord | None":
    """Return the first run of the best configuration; None before there is one. Of several metrics the first counts."""
    from sweepkit.analysis.ranking import best_configuration

    if found.spec.metrics:
        from sweepkit.analysis.table import from_runs

        ranked = from_runs(found.spec, found.runs).by(found.spec.metrics[0].name).ranked()
        return next((run for run in found.runs if ranked and run.run_id == ranked[0].run_id), None)
    best = best_configuration(found.runs, found.spec.metric, seed_parameter=found.spec.extensions.seed_parameter)
    return None if best is None else best.first


def _best(found: Recorded) -> "tuple[Recorded, RunRecord]":
    run = best_run(found) or next(iter(found.runs), None)
    if run is None:
        raise SweepKitError(f"sweep {found.sweep.name}: must have a run to show, got none")
    return found, run
