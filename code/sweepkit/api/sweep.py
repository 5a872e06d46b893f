"""A sweep in Python: make it, run it, look at what it came to."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sweepkit.api.plans import Asked, Config, gpu_names, options_of, plan_asked, read_asked
from sweepkit.errors import ConflictError, SweepKitError

if TYPE_CHECKING:
    import pandas as pd

    from sweepkit.housekeeping.find import Recorded, SweepPlace
    from sweepkit.reports.source import Source
    from sweepkit.runner.options import RunOptions
    from sweepkit.runner.plan import Plan
    from sweepkit.studies.objective import EndedStudy


@dataclass(frozen=True, slots=True, kw_only=True)
class BestRun:
    """The best configuration of a sweep.

    Args:
        run_id: Its run; of several with different seeds the first.
        number: That run's position in the sweep, from 0.
        params: The configuration, nested as the YAML has it.
        value: Its value of the metric; the mean over its runs where it has several.
        metrics: All that was reported with the value: when the metric was best, or last where the last report counts.
        runs: How many runs the value is of.
    """

    run_id: str
    number: int
    params: Mapping[str, Any]
    value: float
    metrics: Mapping[str, float]
    runs: int


class Sweep:
    """One sweep; made by `sweepkit.sweep` and `sweepkit.open`.

    Attributes:
        name: Its name in the database: the configuration's, with a number behind it when it was started `fresh`.
    """

    def __init__(self, asked: Asked, *, name: str, recorded: bool) -> None:
        self.name = name
        self._asked = asked
        self._recorded = recorded  # by this name, and not only by its configuration

    def __repr__(self) -> str:
        return f"<sweepkit.Sweep {self.name!r}: {self.state}>"

    def run(
        self,
        count: int | None = None,
        workers: int | None = None,
        gpus: Sequence[int | str] | None = None,
        *,
        fresh: bool = False,
        retry_failed: bool = False,
        seed: int | None = None,
        cold: bool = False,
    ) -> Self:
        """Run the sweep, or go on with it, until it is complete; show progress as the command does.

        Ctrl-C waits for the running runs, again ends them, a third time kills them; then KeyboardInterrupt is raised.
        What was done stays recorded, and the same call goes on.

        Args:
            count: At most this many runs in this call, >= 1.
            workers: Runs at once; None for one, or for one on each of `gpus`.
            gpus: Use these only, by index or UUID.
            fresh: Start anew under a new name; what there is stays.
            retry_failed: Run the failed runs again, too.
            seed: Of the search, >= 0; None for the configuration's, else one is drawn and recorded.
            cold: Start each run in a fresh process.

        Returns:
            The sweep itself.

        Raises:
            SweepKitError: What is wrong with the configuration; it is recorded as another one (ConflictError).
        """
        from sweepkit.api.calls import run_plan, slot_options, slots_for

        options = options_of(self._asked, count=count, fresh=fresh, retry_failed=retry_failed, seed=seed, cold=cold)
        plan = self._plan(options)
        if plan.spec.suggests_itself:
            from sweepkit.studies.objective import run_recorded_objective
            from sweepkit.wandb.upload_client import Online

            places = slot_options(workers, gpu_names(gpus))
            self._ended(run_recorded_objective(plan, options, places, uploads=Online))
            return self
        if not fresh:
            self._check_program(plan)
        slots, notes = slots_for(plan, workers, gpu_names(gpus))
        self.name, self._recorded = run_plan(options, plan, slots, notes=notes), True
        return self

    def _ended(self, study: "EndedStudy") -> None:
        """Take what a call came to that went on with the study of an objective."""
        from sweepkit.api.calls import end_as_asked

        self.name, self._recorded = study.result.name, True
        end_as_asked(study.code, preempted=study.preempted)

    def _plan(self, options: "RunOptions") -> "Plan":
        """Return what is run: the configuration, or what the record has of a sweep that was opened by its name."""
        if self._asked.config != "":
            return plan_asked(self._asked, options)
        from dataclasses import replace

        from sweepkit.agents.control import find_sweep_record
        from sweepkit.runner.plan import make_join_plan, open_recorded, storage_of

        with open_recorded(storage_of(options)) as store:
            return replace(make_join_plan(options, find_sweep_record(store, self.name)), joins=None)

    def _check_program(self, plan: "Plan") -> None:
        """Refuse to go on with a function that is not the recorded one: its runs cannot be compared."""
        if self._asked.function is None:
            return
        found = self._find()
        if found is None or found.sweep.meta.get("directory") != plan.spec.directory:
            return  # a sweep of another folder is not this one, whatever it is called
        if found.sweep.meta.get("program") in (None, plan.program):
            return
        name = getattr(self._asked.function, "__name__", "the function")
        raise ConflictError(
            f"sweep {found.sweep.name}: must go on with the function that it was begun with, got another version of "
            f"{name}; run(fresh=True) starts anew and keeps the old one, or give this one another name"
        )

    # -- what it came to ----------------------------------------------------------------------------------------------

    def runs(self) -> "pd.DataFrame":
        """Return one row a run: state, reason, value, `params.*`, `best.*` and `last.*` of each metric, times."""
        from sweepkit.api.frames import runs_frame
        from sweepkit.housekeeping.export import exported

        self._must_be_recorded()
        return runs_frame(exported(self._place(), self.name, history=False))

    def history(self) -> "pd.DataFrame":
        """Return one row for each metric of each report: number, run_id, report, step, time, metric, value."""
        from sweepkit.api.frames import history_frame
        from sweepkit.housekeeping.export import exported

        self._must_be_recorded()
        return history_frame(exported(self._place(), self.name, history=True))

    @property
    def best(self) -> BestRun | None:
        """Return the best configuration so far; None before a run has a value. Of several metrics the first counts."""
        from sweepkit.analysis.ranking import best_configuration
        from sweepkit.model.objectives import counted_metrics

        found = self._find()
        metric = None if found is None else found.spec.metric or next(iter(found.spec.metrics), None)
        if found is None or metric is None:
            return None
        best = best_configuration(found.runs, metric, seed_parameter=found.spec.extensions.seed_parameter)
        if best is None:
            return None
        run = best.first
        return BestRun(
            run_id=run.run_id,
            number=run.number,
            params=dict(run.params),
            value=best.value,
            metrics=dict(counted_metrics(run, metric)),
            runs=len(best.runs),
        )

    @property
    def state(self) -> str:
        """Return where it stands: "running", "paused", "finished" or "cancelled"; "new" before its first run."""
        found = self._find()
        return "new" if found is None else found.sweep.state.value

    @property
    def storage(self) -> str | None:
        """Return the database that it was given; None for the usual one."""
        return self._asked.storage

    @property
    def folder(self) -> Path:
        """Return where its files are."""
        from sweepkit.paths import SweepPaths

        return SweepPaths(self._asked.folder(), self.name).root

    def stop(self) -> None:
        """Let no further run start, wherever it runs; those under way go on to their end. One that has ended stays so.

        Raises:
            SweepKitError: It was never run.
        """
        from sweepkit.agents.control import SweepCommand, ask
        from sweepkit.runner.plan import open_recorded, storage_of

        self._must_be_recorded()
        with open_recorded(storage_of(options_of(self._asked))) as store:
            with contextlib.suppress(ConflictError):  # it has ended
                ask(store, self.name, SweepCommand.STOP)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the report, one HTML file that needs no network; return it.

        Args:
            path: The file; None for `report.html` in the sweep's folder.
        """
        from sweepkit.analysis.importance import importances
        from sweepkit.runner.sweep_report import REPORT_NAME, write_sweep_report

        source = self._source()
        importance = importances(source.table) if source.table.metrics else None
        file = Path(os.path.abspath(source.folder / REPORT_NAME if path is None else path))
        file.parent.mkdir(parents=True, exist_ok=True)
        return write_sweep_report(source, file, importance=importance)

    def figure(self, kind: str = "history") -> Any:
        """Return a plotly figure.

        Args:
            kind: "history" (value by run), "curves" (the metric while the runs ran), "parallel" (coordinates),
                "importance", "slices" (value by each parameter) or "pareto" (of several metrics).
        """
        from sweepkit.api.figures import curves, figure_of

        source = self._source()
        return curves(source, self.history()) if kind == "curves" else figure_of(source, kind)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: name, state and the best runs."""
        from html import escape

        head = f"<b>{escape(self.name)}</b>: {self.state}"
        return head if self._find() is None else f"{head}{self.runs().head(10).to_html(max_rows=10)}"

    # -- the record ---------------------------------------------------------------------------------------------------

    def _place(self) -> "SweepPlace":
        from sweepkit.housekeeping.find import SweepPlace

        return SweepPlace(output_dir=self._asked.folder(), storage=self._asked.places()[1])

    def _find(self) -> "Recorded | None":
        """Return the sweep as recorded now, by its configuration the newest of its family; None when it is not."""
        from sweepkit.errors import StoreError
        from sweepkit.housekeeping.find import opened, recorded
        from sweepkit.store.named import sweep_meant

        try:
            with opened(self._place()) as (watch, output_dir, _):
                if self._recorded:
                    found = watch.sweep(self.name)
                else:
                    found = sweep_meant(watch.sweeps(), self.name, newest=True)
                return None if found is None else recorded(watch, found, output_dir)
        except StoreError:
            return None

    def _must_be_recorded(self) -> None:
        """Take the recorded name; refuse where nothing has run."""
        found = self._find()
        if found is None:
            raise SweepKitError(f"sweep {self.name}: must have been run to be looked at, got none; call run()")
        self.name, self._recorded = found.sweep.name, True

    def _source(self) -> "Source":
        from sweepkit.sources.options import SourceOptions
        from sweepkit.sources.table_sources import load

        self._must_be_recorded()
        options = SourceOptions(output_dir=self._asked.folder(), sweep=self.name, storage=self._asked.places()[1])
        return load(options)


def sweep(
    config: Config,
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    first_points: Sequence[Mapping[str, Any]] = (),
    output_dir: str | os.PathLike[str] | None = None,
    storage: str | None = None,
) -> Sweep:
    """Return a sweep; `run()` runs it, and goes on with it.

    Args:
        config: As `wandb.sweep` takes it: a mapping, a YAML file, or the name of a sweep that comes with us.
        function: What each run calls, in a process of its own: `train(config)` with the parameters as a dictionary,
            `train(lr, epochs)` with those that it names, or `train()`, which asks `wandb.init().config`. What it
            returns (a number, or names with numbers) is the metric unless it reports by itself. None runs the
            configuration's `program`.
        name: In place of the configuration's name; a mapping without one is called like its function.
        first_points: Configurations that are run first.
        output_dir: Where everything is written; None for the usual place.
        storage: The database: a file, or a URL of SQLite or PostgreSQL; None for the one in `output_dir`.

    Raises:
        SpecError: All that is wrong with the configuration.

    >>> sweep({"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}}, function=abs, name="mine").name
    'mine'
    """
    extensions = {"first_points": [dict(point) for point in first_points]} if first_points else {}
    asked = Asked(
        config=config,
        function=function,
        name=name,
        output_dir=output_dir,
        storage=storage,
        extensions=extensions,
    )
    return Sweep(asked, name=read_asked(asked).name, recorded=False)


def open(name: str, *, output_dir: str | os.PathLike[str] | None = None, storage: str | None = None) -> Sweep:
    """Return a recorded sweep by its name or folder; `run()` goes on with it, with the program that it has.

    Args:
        name: As `list_sweeps` names it.
        output_dir: Where it was written; None for the usual place.
        storage: The database; None for the one in `output_dir`.

    Raises:
        SweepKitError: There is none; the nearest names are said.
    """
    from sweepkit.housekeeping.find import SweepPlace, find_sweep

    asked = Asked(config="", output_dir=output_dir, storage=storage)
    found = find_sweep(SweepPlace(output_dir=asked.folder(), storage=storage), name)
    return Sweep(asked, name=found.sweep.name, recorded=True)


def list_sweeps(*, output_dir: str | os.PathLike[str] | None = None, storage: str | None = None) -> "pd.DataFrame":
    """Return one row a sweep, the newest first: name, state, runs, metric, best value and its parameters.

    Args:
        output_dir: The folder of the sweeps; None for the usual place.
        storage: The database; None for the one in `output_dir`.

    Raises:
        SweepKitError: There is no database.
    """
    import pandas as pd

    from sweepkit.housekeeping.find import SweepPlace
    from sweepkit.housekeeping.overview import listed

    asked = Asked(config="", output_dir=output_dir, storage=storage)
    rows = listed(SweepPlace(output_dir=asked.folder(), storage=storage))
    flat = [
        {**row, "best": (row["best"] or {}).get("value"), "params": (row["best"] or {}).get("params")} for row in rows
    ]
    frame = pd.DataFrame(flat)
    if "created_at" in frame:
        frame["created_at"] = pd.to_datetime(frame["created_at"], unit="s", utc=True)
    return frame
