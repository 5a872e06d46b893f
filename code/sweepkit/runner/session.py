"""One sweep of a call: record, engine, agent, view, files, in the order that keeps them consistent."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from sweepkit.agents.agent import Agent, Finish
from sweepkit.agents.context import AgentContext, AgentSettings
from sweepkit.agents.launcher import LocalLauncher
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.results import describe_surroundings
from sweepkit.agents.slots import Slot
from sweepkit.files import write_atomically
from sweepkit.model.events import Event, Notice, RunEnded, RunStarted
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.reports.files import relative, write_best_config, write_spec, write_table
from sweepkit.reports.progress import JsonView, PlainView, RichView, Screen, Tally, View
from sweepkit.reports.sweep_end import SweepEnd, show_end
from sweepkit.runner.leader import Leader
from sweepkit.runner.opening import SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import Plan
from sweepkit.runner.preflight import first_run_warnings
from sweepkit.runner.prior import prior_views
from sweepkit.runner.sweep_report import report_at_end
from sweepkit.search.make import make_engine
from sweepkit.stopping.make import make_rule
from sweepkit.store.base import Store
from sweepkit.text.json_text import json_text

_TABLE_EVERY_S = 5.0


class Session:
    """Run one sweep: `check`, `open`, `start`, `conclude`, in this order.

    Args:
        options: How it is run.
        plan: What to run.
        store: The record.
        slots: What runs may occupy.
        screen: The terminal's display, which sweeps share; None prints plain lines.
        named: Several sweeps are shown: each line tells whose it is.
        leader: Who says which configurations are run.

    Attributes:
        sweep: Its record, once begun.
        paths: Its files, likewise.
        notes: What to tell first, likewise.
        finish: How it ended, once concluded.
    """

    sweep: SweepRecord
    paths: SweepPaths
    notes: list[str]
    finish: Finish
    view: View
    agent: Agent

    def __init__(
        self,
        options: RunOptions,
        plan: Plan,
        store: Store,
        *,
        slots: tuple[Slot, ...],
        screen: Screen | None = None,
        named: bool = False,
        leader: Leader | None = None,
    ) -> None:
        self.options = options
        self.plan = plan
        self.spec = plan.spec
        self.store = store
        self.slots = slots
        self.screen = screen
        self.named = named
        self.leader = leader or Leader()
        self.opener = SweepOpener(options, plan, store, slots=slots, at_wandb=self.leader.at_wandb)
        self.mirror: Any = None
        self.hurried = False  # who called has asked twice to end, or the machine goes: no report is written
        self._checked_first_run = not self.leader.ranks
        self._table_written_at = 0.0

    def check(self) -> None:
        """Refuse what can be refused before anything is recorded."""
        self._prior = prior_views(self.plan, self.store)
        if self.plan.joins is None:
            self.opener.check_others()

    def open(self) -> None:
        """Make or continue the record; make the files' folder, the engine and the view."""
        self.begin(*self.opener.open())
        self.write_inputs()
        if self.leader.make_engine is not None:
            self.engine = self.leader.make_engine(self.sweep)
        else:
            self.engine = make_engine(
                self.spec,
                seed=self.sweep.seed,
                sampler=self.opener.sampler,
                prior=self._prior,
                function=self.plan.function,
            )
        self.show(total=self.engine.total())

    def begin(self, sweep: SweepRecord, notes: Sequence[str] = ()) -> None:
        """Take up a sweep that is recorded: make its files' folder.

        Args:
            sweep: Its record.
            notes: What to tell first.
        """
        self.sweep, self.notes = sweep, list(notes)
        self.paths = SweepPaths(self.plan.output_dir, sweep.name)
        self.paths.logs.mkdir(parents=True, exist_ok=True)

    def write_inputs(self) -> None:
        """Write the sweep's YAML; and its base configuration, when it was begun elsewhere and that is not here."""
        write_spec(self.paths, self.spec)
        if self.plan.joins is not None and self.plan.trains and self.plan.base_config.parent == self.paths.root:
            write_atomically(self.plan.base_config, self.plan.joins.meta["base_config_text"])

    def show(self, *, total: int | None) -> None:
        """Make the view; `start_showing` lets it take the terminal.

        Args:
            total: How many configurations there are; None where there is no end of them.
        """
        cap = self.spec.run_cap
        tally = Tally(
            self.spec,
            self.store.runs(self.sweep.sweep_id),
            total=cap if total is None else min(total, cap or total),
            workers=len(self.slots),
        )
        self.view = self._make_view(tally)

    def start_showing(self) -> None:
        """Take the terminal, start the mirror."""
        self._start_mirror()
        self.view.open()

    def start(self, launcher: LocalLauncher) -> Agent:
        """Return the agent, ready to work; show the sweep."""
        context = AgentContext(
            store=self.store,
            sweep=self.sweep,
            place=self._workplace(),
            rule=make_rule(self.spec, study=self.sweep.name) if self.spec.objectives else None,
            launcher=launcher,
            settings=AgentSettings(slots=self.slots, count=self.options.count),
            surroundings=describe_surroundings(os.path.dirname(self.plan.program)),
            emit=self.on_event,
        )
        self.agent = Agent(context, self.engine)
        self.start_showing()
        return self.agent

    def stop_showing(self) -> None:
        """Let go of the terminal and of the mirror."""
        if self.mirror is not None:
            self.mirror.stop()
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
        )

    def _make_view(self, tally: Tally) -> View:
        name = self.sweep.name if self.named else ""
        if self.options.json:
            return JsonView(tally, sweep=name)
        if self.screen is not None:
            return RichView(tally, self.sweep.name, self.screen, named=self.named)
        return PlainView(tally, sweep=name)

    def _start_mirror(self) -> None:
        if self.options.optuna_storage:
            from sweepkit.runner.mirroring import Mirror

            self.mirror = Mirror(
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
            for warning in first_run_warnings(self.spec, event.run, event.messages, self.plan.program):
                self.view(Notice(text=warning, warning=True))
        if time.monotonic() - self._table_written_at > _TABLE_EVERY_S:
            self._table_written_at = time.monotonic()
            write_table(self.paths, self.spec, self.store.runs(self.sweep.sweep_id))

    # -- its end ------------------------------------------------------------------------------------------------------

    def conclude(self, finish: Finish) -> int:
        """Write the sweep's files, show the table and the best run; return the exit code of a call that just ran it."""
        self.finish = finish
        runs = self.store.runs(self.sweep.sweep_id)
        write_table(self.paths, self.spec, runs)
        if self.leader.ranks:
            self._conclude_best(finish, runs)
        return 1 if finish.given_up else 0

    def _conclude_best(self, finish: Finish, runs: list[RunRecord]) -> None:
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
            joined=self.plan.joins is not None,
            best_file=best_file,
            report=None if self.hurried else report_at_end(self.paths, self.spec, self.sweep, runs),
        )
        if self.options.json:
            sys.stdout.write(json_text(end.plain()) + "\n")
        else:
            show_end(end)
