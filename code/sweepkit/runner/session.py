"""One sweep of a call: record, engine, agent, view, files, in the order that keeps them consistent."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweepkit.agents.agent import Agent, Finish
from sweepkit.agents.context import AgentContext, AgentSettings
from sweepkit.agents.identity import host_name
from sweepkit.agents.launcher import HostLauncher
from sweepkit.agents.packages import PackageVersions
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.results import describe_surroundings
from sweepkit.analysis.ranking import best_configuration
from sweepkit.called import continuing
from sweepkit.environ import CARRY_FILES_ENV
from sweepkit.errors import StoreError
from sweepkit.model.events import Event, Notice, RunEnded, RunStarted
from sweepkit.model.identity import ProgramVersion, versions_in
from sweepkit.model.objectives import has_result
from sweepkit.model.records import Report, RunRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.reports.files import relative, write_best_config, write_table
from sweepkit.reports.next_steps import NextSteps
from sweepkit.reports.progress import JsonView, PlainView, RichView, Screen, Tally, View
from sweepkit.reports.sweep_end import SweepEnd, show_end
from sweepkit.runner.exit_codes import exit_code
from sweepkit.runner.live_table import LiveTable
from sweepkit.runner.notify import notify
from sweepkit.runner.opening import OpenSweep, SweepOpener
from sweepkit.runner.preflight import first_run_warnings
from sweepkit.runner.program_version import ProgramWatch
from sweepkit.runner.sweep_report import report_at_end
from sweepkit.search.base import Engine
from sweepkit.search.make import make_engine
from sweepkit.stopping.make import make_rule
from sweepkit.text.json_text import json_text
from sweepkit.text.shown import say
from sweepkit.version import VERSION

if TYPE_CHECKING:
    from sweepkit.runner.mirroring import Mirror


def open_session(
    opener: SweepOpener, prior: Sequence[RunView], *, screen: Screen | None = None, named: bool = False
) -> "Session":
    """Return a sweep that is opened, with its engine.

    Args:
        opener: Makes, continues or joins it.
        prior: Earlier runs that its own engine is told first.
        screen: As `Session` takes it.
        named: Likewise.

    Raises:
        ConflictError: It is recorded as another one, or another one has its place.
    """
    opened = opener.open()
    opened.write_inputs()
    plan, sweep = opened.plan, opened.sweep
    if opened.leader.make_engine is not None:
        engine = opened.leader.make_engine(sweep)
    else:
        engine = make_engine(plan.spec, seed=sweep.seed, sampler=opened.sampler, prior=prior, function=plan.function)
    return Session(opened, engine=engine, total=engine.total(), screen=screen, named=named)


class Session:
    """Run one sweep that is open: `start`, or `start_showing` where W&B leads; `stop_showing`; `conclude`.

    Args:
        opened: Its record, its files, and how it is run.
        engine: What proposes its configurations; None where W&B's server does.
        total: How many configurations there are; None where there is no end of them.
        screen: The terminal's display, which sweeps share; None prints plain lines.
        named: Several sweeps are shown: each line says whose it is.

    Attributes:
        sweep: Its record, as it stood when it was opened.
    """

    def __init__(
        self,
        opened: OpenSweep,
        *,
        engine: Engine | None = None,
        total: int | None = None,
        screen: Screen | None = None,
        named: bool = False,
    ) -> None:
        self.options, self.plan, self.spec = opened.options, opened.plan, opened.plan.spec
        self.store, self.slots, self.leader = opened.store, opened.slots, opened.leader
        self.sweep, self.paths, self.notes = opened.sweep, opened.paths, opened.notes
        self.engine = engine
        self.view = self._make_view(self._tally(total), screen, named=named)
        self._mirror: Mirror | None = None
        self._checked_first_run = not self.leader.ranks
        self._table = LiveTable(self.paths, self.spec, lambda: self.store.runs(self.sweep.sweep_id))

    def start_showing(self) -> None:
        """Take the terminal, start the mirror and the table."""
        self._start_mirror()
        self._table.start()
        self.view.open()

    def start(self, launcher: HostLauncher) -> Agent:
        """Return the agent, ready to work; show the sweep."""
        program = ProgramWatch(self.plan.files, self.plan.folder, self._on_program_change)
        self._note_version(program.version())
        context = AgentContext(
            store=self.store,
            sweep=self.sweep,
            place=self._workplace(),
            rule=self.leader.rule or (make_rule(self.spec, study=self.sweep.name) if self.spec.objectives else None),
            launcher=launcher,
            settings=AgentSettings(
                slots=self.slots, count=self.options.count, carries_files=bool(os.environ.get(CARRY_FILES_ENV))
            ),
            surroundings={**describe_surroundings(str(self.plan.folder)), "package_versions": {}, "sweepkit": VERSION},
            emit=self.on_event,
            program_version=lambda: program.version().digest,
            packages=PackageVersions(self._imported, str(self.plan.cwd)),
        )
        assert self.engine is not None, "W&B leads it"
        agent = Agent(context, self.engine)
        self.start_showing()
        return agent

    def _imported(self) -> frozenset[str]:
        source = self.plan.source()
        return source.installed | source.elsewhere

    def _on_program_change(self, before: ProgramVersion, now: ProgramVersion) -> None:
        """Record a version of the program that was not there when the sweep was opened, and say so."""
        self._note_version(now)
        files = ", ".join(now.changed(before))
        said = f"the program has changed ({files}): further runs are of its version {now.digest}"
        self.on_event(Notice(text=said, warning=True))

    def _note_version(self, version: ProgramVersion) -> None:
        """Record a version of the program, unless it is the one with which the sweep was opened."""
        known = versions_in(self.sweep)
        if version.digest and (not known or known[-1].digest != version.digest):
            with contextlib.suppress(StoreError):  # the runs that are of it have its digest all the same
                self.store.update_sweep(self.sweep.sweep_id, meta=version.meta())

    def stop_showing(self) -> None:
        """Let go of the terminal, of the mirror and of the table."""
        self._table.close()
        if self._mirror is not None:
            self._mirror.stop()
        self.view.close()

    # -- composition --------------------------------------------------------------------------------------------------

    def _workplace(self) -> Workplace:
        return Workplace(
            spec=self.spec,
            paths=self.paths,
            program=self.plan.program,
            cwd=str(self.plan.cwd),
            base_config=str(self.plan.base_config) if self.plan.trains else None,
            inherited=dict(os.environ),
            more=self.leader.env,
        )

    def _tally(self, total: int | None) -> Tally:
        cap = self.spec.run_cap
        return Tally(
            self.spec,
            self.store.runs(self.sweep.sweep_id),
            total=cap if total is None else min(total, cap or total),
            workers=len(self.slots),
        )

    def _make_view(self, tally: Tally, screen: Screen | None, *, named: bool) -> View:
        name = self.sweep.name if named else ""
        if self.options.json:
            return JsonView(tally, sweep=name)
        if screen is not None:
            return RichView(tally, self.sweep.name, screen, named=named)
        return PlainView(tally, sweep=name)

    def _start_mirror(self) -> None:
        if self.options.optuna_storage:
            from sweepkit.runner.mirroring import Mirror

            self._mirror = Mirror(
                self.plan.storage,
                self.sweep.sweep_id,
                self.options.optuna_storage,
                self.spec.space,
                self.on_event,
                lock=self.paths.root / "mirror.lock",
            )

    # -- while it runs ------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Show an event; look at the first run that ended; keep the table fresh."""
        self.view(event)
        if isinstance(event, RunStarted) and self.options.verbose:
            log = relative(self.paths.log(f"{event.run.run_id}-{event.ordinal}"))
            self.view(Notice(text=f"run {event.run.number} {event.run.run_id}: log {log}"))
        if not isinstance(event, RunEnded) or not event.run.state.done:
            return
        if not self._checked_first_run and event.run.state is not RunState.FAILED:
            self._checked_first_run = True
            for warning in first_run_warnings(self.spec, event.run, event.messages, self.plan.source):
                self.view(Notice(text=warning, warning=True))
        self._table.touch()

    # -- its end ------------------------------------------------------------------------------------------------------

    def conclude(self, finish: Finish, *, hurried: bool = False) -> int:
        """Write the sweep's files, show the table and the best run; return the exit code of a call that just ran it.

        Args:
            finish: How it ended.
            hurried: Who called has asked twice to end, or the machine goes: no report is written.
        """
        runs = self.store.runs(self.sweep.sweep_id)
        write_table(self.paths, self.spec, runs)
        if self.leader.ranks:
            self._conclude_best(finish, runs, hurried=hurried)
        if self.options.notify is not None and (wrong := notify(self.options.notify, self._notification(finish, runs))):
            say(f"warning: {wrong}", file=sys.stderr)
        return exit_code(finish, has_result=has_result(runs, self.spec.objectives))

    def _notification(self, finish: Finish, runs: list[RunRecord]) -> dict[str, Any]:
        """Return what `--notify` says of the end."""
        best = best_configuration(runs, self.spec.objectives, seed_parameter=self.spec.extensions.seed_parameter)
        steps = self.next_steps(finish)
        state = "complete" if steps.whole else "ended" if finish.complete else "not complete"
        words = f"{self.sweep.name}: {state}, {finish.reason}"
        if best is not None and self.spec.metric is not None:
            words += f"; best {self.spec.metric.name} = {best.value:.5g} (run {best.first.run_id})"
        return {
            "text": words,
            "sweep": self.sweep.name,
            "complete": steps.whole,
            "reason": finish.reason,
            "given_up": finish.given_up,
            "counts": dict(Counter(run.state.value for run in runs)),
            "best": None if best is None else {"run_id": best.first.run_id, "params": dict(best.first.params)},
            "directory": str(self.paths.root),
            "host": host_name(),
        }

    def next_steps(self, finish: Finish) -> NextSteps:
        """Return how to go on with the sweep after this call."""
        return NextSteps(
            name=self.sweep.name,
            spec=self.spec,
            runs=self.store.runs(self.sweep.sweep_id),
            complete=finish.complete,
            command=continuing(),
            fresh=self.options.fresh,
            joined=self.plan.joins is not None,
            retries=not self.leader.at_wandb,
        )

    def _reports(self, run_ids: Sequence[str]) -> Mapping[str, Sequence[Report]]:
        return {run_id: self.store.reports(run_id) for run_id in run_ids}

    def _conclude_best(self, finish: Finish, runs: list[RunRecord], *, hurried: bool) -> None:
        """Write what is known of the best run, and show it."""
        base = self.plan.base_config if self.plan.trains else None
        best_file = write_best_config(self.paths, self.spec, runs, base_config=base)
        end = SweepEnd(
            name=self.sweep.name,
            spec=self.spec,
            paths=self.paths,
            runs=runs,
            complete=finish.complete,
            reason=finish.reason,
            steps=self.next_steps(finish),
            best_file=best_file,
            report=None if hurried else report_at_end(self.paths, self.spec, self.sweep, runs, self._reports),
        )
        if self.options.json:
            say(json_text(end.plain()))
        else:
            show_end(end)
