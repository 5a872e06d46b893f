"""One sweep of a call: record, engine, agent, view, files, in the order that keeps them consistent."""

import os
import random
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweepkit.agents.agent import Agent, Finish
from sweepkit.agents.context import AgentContext, AgentSettings
from sweepkit.agents.identity import agent_identity, host_name, surely_alive
from sweepkit.agents.launcher import LocalLauncher
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.results import describe_surroundings
from sweepkit.agents.slots import Slot
from sweepkit.analysis.ranking import best_run, front_volume
from sweepkit.analysis.replicates import seed_notice
from sweepkit.errors import ConflictError
from sweepkit.files import write_atomically
from sweepkit.model.events import Event, Notice, RunEnded, RunStarted
from sweepkit.model.records import RunRecord, SweepRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths, slug
from sweepkit.reports.files import relative, write_best_config, write_spec, write_table
from sweepkit.reports.progress import JsonView, PlainView, RichView, Screen, Tally, View, configuration
from sweepkit.reports.seeds_table import best_in_words, best_parameters, best_row, sweep_rich
from sweepkit.reports.table import front_lines, front_rows, rows, values_row
from sweepkit.runner.plan import Plan
from sweepkit.runner.preflight import first_run_warnings
from sweepkit.runner.prior import prior_views
from sweepkit.runner.sweep_report import report_at_end
from sweepkit.search.base import Engine
from sweepkit.search.make import make_engine
from sweepkit.stopping.make import make_rule
from sweepkit.store.base import Store
from sweepkit.sweep_config.change import compare
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text.json_text import json_text

_TABLE_EVERY_S = 5.0


class Session:
    """Run one sweep: `check`, `open`, `start`, `conclude`, in this order.

    Args:
        options: The command line.
        plan: What to run.
        store: The record.
        slots: What runs may occupy.
        screen: The terminal's display, which sweeps share; None prints plain lines.
        named: Several sweeps are shown: each line tells whose it is.
    """

    at_wandb = False  # W&B's server leads the sweep: see `wandb.backend`

    def __init__(
        self,
        options: Namespace,
        plan: Plan,
        store: Store,
        *,
        slots: tuple[Slot, ...],
        screen: Screen | None = None,
        named: bool = False,
    ) -> None:
        self.options = options
        self.plan = plan
        self.spec = plan.spec
        self.store = store
        self.slots = slots
        self.screen = screen
        self.named = named
        self.sampler: str | None = options.sampler
        self.mirror: Any = None
        self.hurried = False  # who called has asked twice to end, or the machine goes: no report is written
        self.agent: Agent
        self._checked_first_run = False
        self._table_written_at = 0.0

    def check(self) -> None:
        """Refuse what can be refused before anything is recorded."""
        self._prior = prior_views(self.plan, self.store)
        if self.plan.joins is None:
            self._check_others()

    def open(self) -> None:
        """Make or continue the record; make the files' folder, the engine and the view."""
        self.sweep, self.notes = self._open_sweep()
        self.paths = self._paths(self.sweep)
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        write_spec(self.paths, self.spec)
        self._write_base_config()
        self.engine = make_engine(
            self.spec, seed=self.sweep.seed, sampler=self.sampler, prior=self._prior, function=self.plan.function
        )
        self.view = self._make_view(self._tally(self.engine))

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
        self._start_mirror()
        self.view.open()
        return self.agent

    def stop_showing(self) -> None:
        """Let go of the terminal and of the mirror."""
        if self.mirror is not None:
            self.mirror.stop()
        self.view.close()

    # -- the record ---------------------------------------------------------------------------------------------------

    def _open_sweep(self) -> tuple[SweepRecord, list[str]]:
        """Return the sweep to work on, made, continued or extended, and what to tell about it."""
        if self.plan.joins is not None:
            return self._join(self.plan.joins)
        family = self.store.sweeps(family=self.spec.name)
        notes = list(self.spec.warnings)
        if family and not self.options.fresh:
            sweep = self._continue(family[-1], notes)
        else:
            sweep = self._create(family)
            if family:
                notes.append(f"starting anew as {sweep.name}; {family[-1].name} is kept")
        if self.options.retry_failed:
            again = self.store.retry(sweep.sweep_id, [RunState.FAILED])
            notes.append(f"{len(again)} failed run{'s are' if len(again) != 1 else ' is'} tried again")
        meta = {**self.plan.meta(self.sampler), self._runners_key(): self._runners(sweep.meta)}
        return self.store.update_sweep(sweep.sweep_id, state=SweepState.RUNNING, reason="", meta=meta), notes

    def _paths(self, sweep: SweepRecord) -> SweepPaths:
        return SweepPaths(self.plan.output_dir, sweep.name)

    def _join(self, sweep: SweepRecord) -> tuple[SweepRecord, list[str]]:
        """Work along: nothing of the record is changed."""
        self._check_leader(sweep)
        if sweep.state in (SweepState.FINISHED, SweepState.CANCELLED):
            raise ConflictError(
                f"--join {sweep.name}: needs a sweep that runs or is paused, got one that is {sweep.state.value} "
                f"({sweep.reason}); start it again by its YAML"
            )
        for option in ("fresh", "retry_failed", "sampler", "seed", "base_config"):
            if getattr(self.options, option) not in (None, False):
                shown = option.replace("_", "-")
                raise ConflictError(
                    f"--join {sweep.name}: takes all of the search from the record; leave --{shown} out"
                )
        self.sampler = sweep.meta.get("sampler")
        counts = self.store.counts(sweep.sweep_id)
        done = sum(number for state, number in counts.items() if state.done)
        return sweep, [f"working along on {sweep.name}: {done} of {sum(counts.values())} recorded runs are done"]

    # -- other runners of this host -----------------------------------------------------------------------------------

    def _runners_key(self) -> str:
        return f"runners of {host_name()}"

    def _ways(self) -> dict[str, Any]:
        """Return the options that a second runner of a sweep on this host must have alike."""
        return {
            "workers": len(self.slots),
            "slots": "; ".join(slot.device for slot in self.slots),
            "--cold": bool(self.options.cold),
            "--base-config": str(self.plan.base_config) if self.plan.trains else None,
            "--output-dir": str(self.plan.output_dir),
        }

    def _runners(self, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the runners of the sweep on this host that live, and this one."""
        known = [item for item in meta.get(self._runners_key(), []) if surely_alive(item["agent"])]
        mine = agent_identity()
        return [*(item for item in known if item["agent"] != mine), {"agent": mine, "ways": self._ways()}]

    def _check_others(self) -> None:
        """Refuse to be a second runner of the sweep on this host with other options: which of them would hold?"""
        family = self.store.sweeps(family=self.spec.name)
        if not family or self.options.fresh:
            return
        ways = self._ways()
        for other in self._runners(family[-1].meta):
            theirs = other["ways"]
            differences = [f"{key}: {theirs.get(key)} → {ways[key]}" for key in ways if theirs.get(key) != ways[key]]
            if differences:
                pid = other["agent"].split("|")[3]
                raise ConflictError(
                    f"sweep {family[-1].name}: process {pid} runs it on this host with other options:\n  "
                    + "\n  ".join(differences)
                    + f"\nuse the same ones, or work along: parallel_sweep_runner.py --join {family[-1].name}"
                )

    def _check_leader(self, sweep: SweepRecord) -> None:
        """Refuse to lead a sweep that W&B leads, and the other way round: two would propose configurations."""
        if ("wandb" in sweep.meta) != self.at_wandb:
            leader, option = ("this program", "leave it out") if self.at_wandb else ("W&B", "give it here too")
            raise ConflictError(
                f"sweep {sweep.name}: is recorded as one that {leader} leads, so --backend wandb must stay as it was; "
                f"{option}, or start anew with --fresh"
            )

    def _create(self, family: list[SweepRecord]) -> SweepRecord:
        seed = self.options.seed if self.options.seed is not None else self.spec.extensions.seed
        generation, name = self._free_name(family)
        metric = self.spec.metric
        sweep, _ = self.store.create_sweep(
            name,
            text=self.spec.text,
            seed=random.SystemRandom().randrange(2**31) if seed is None else seed,
            metric=metric.name if metric else None,
            goal=metric.goal.value if metric else None,
            family=self.spec.name,
            generation=generation,
            meta=self.plan.meta(self.sampler),
        )
        return sweep

    def _free_name(self, family: list[SweepRecord]) -> tuple[int, str]:
        """Return the next generation of a family and its name, whose folder is no other family's.

        A later generation passes over what is taken. Raises ConflictError when the first one's folder is.
        """
        owners = {slug(sweep.name): sweep.name for sweep in self.store.sweeps() if sweep.family != self.spec.name}
        generation = family[-1].generation + 1 if family else 1
        if generation == 1:
            if (owner := owners.get(slug(self.spec.name))) is not None:
                raise ConflictError(
                    f"{self.spec.source}: name: a sweep needs a folder of its own, but sweep_{slug(self.spec.name)} "
                    f"is that of sweep {owner!r}, got {self.spec.name!r}; give this one another `name:`"
                )
            return generation, self.spec.name
        while slug(name := f"{self.spec.name}-{generation}") in owners:
            generation += 1
        return generation, name

    def _continue(self, sweep: SweepRecord, notes: list[str]) -> SweepRecord:
        """Continue a recorded sweep; refuse a changed YAML unless it only extends the recorded one."""
        self._check_leader(sweep)
        recorded = read_sweep_text(
            sweep.text, source=self.spec.source, directory=self.spec.directory, default_name=sweep.family
        )
        change = compare(recorded, self.spec)
        differences = list(change.lines)
        for option, now, before in (
            ("--seed", self.options.seed, sweep.seed),
            ("--sampler", self.options.sampler, sweep.meta.get("sampler")),
        ):
            if now is not None and now != before:
                differences.append(f"{option}: {before} → {now}")
        if change.kind == "differs" or len(differences) > len(change.lines):
            raise ConflictError(
                f"{self.spec.source}: sweep {sweep.name} is already recorded with another configuration:\n  "
                + "\n  ".join(differences)
                + "\nrun with --fresh to start anew (the old sweep is kept), or undo the change"
            )
        if self.sampler is None:
            self.sampler = sweep.meta.get("sampler")
        counts = self.store.counts(sweep.sweep_id)
        if counts:
            done = sum(number for state, number in counts.items() if state.done)
            notes.append(f"continuing {sweep.name}: {done} of {sum(counts.values())} recorded runs are done")
        if change.kind == "extends":
            notes.append("the sweep was extended: " + "; ".join(differences))
            return self.store.update_sweep(sweep.sweep_id, text=self.spec.text)
        return sweep

    # -- composition --------------------------------------------------------------------------------------------------

    def _tally(self, engine: Engine) -> Tally:
        total, cap = engine.total(), self.spec.run_cap
        return Tally(
            self.spec,
            self.store.runs(self.sweep.sweep_id),
            total=cap if total is None else min(total, cap or total),
            workers=len(self.slots),
        )

    def _write_base_config(self) -> None:
        """Write the base configuration of a sweep that was begun elsewhere, when it is not here."""
        if self.plan.joins is not None and self.plan.trains and self.plan.base_config.parent == self.paths.root:
            write_atomically(self.plan.base_config, self.plan.joins.meta["base_config_text"])

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
        runs = self.store.runs(self.sweep.sweep_id)
        write_table(self.paths, self.spec, runs)
        base = self.plan.base_config if self.plan.trains else None
        best_file = write_best_config(self.paths, self.spec, runs, base_config=base)
        report = None if self.hurried else report_at_end(self.paths, self.spec, self.sweep, runs)
        if self.options.json:
            self._print_json(finish, runs, report)
        else:
            self._print_text(finish, runs, best_file, report)
        return 1 if finish.given_up else 0

    def _print_json(self, finish: Finish, runs: list[RunRecord], report: Path | None) -> None:
        best = best_run(runs, self.spec.objectives, seed_parameter=self.spec.extensions.seed_parameter)
        summary: dict[str, Any] = {
            "event": "sweep_ended",
            "sweep": self.sweep.name,
            "complete": finish.complete,
            "reason": finish.reason,
            "counts": {state.value: number for state, number in self.store.counts(self.sweep.sweep_id).items()},
            "best": None
            if best is None
            else {
                "run_id": best.run_id,
                **values_row(best, self.spec),
                **best_row(self.spec, runs),
                "params": dict(best.params),
            },
            **self._front(runs),
            "runs": rows(self.spec, runs),
            "directory": str(self.paths.root),
            "report": None if report is None else str(report),
        }
        sys.stdout.write(json_text(summary) + "\n")

    def _front(self, runs: list[RunRecord]) -> dict[str, Any]:
        """Return the front of a sweep with several objectives and its hypervolume; {} of any other."""
        if not self.spec.metrics:
            return {}
        volume, reference = front_volume(runs, self.spec.metrics, seed_parameter=self.spec.extensions.seed_parameter)
        return {
            "front": front_rows(self.spec, runs),
            "hypervolume": volume,
            "reference": reference,
        }

    def _print_text(self, finish: Finish, runs: list[RunRecord], best_file: Path | None, report: Path | None) -> None:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=False)
        console.print()
        table, left = sweep_rich(self.spec, runs)
        console.print(table)
        if left:
            console.print(f"… and {left} more in {relative(self.paths.table)}", markup=False)
        if notice := seed_notice(self.spec, runs):
            console.print(f"warning: {notice}", style="yellow", markup=False)
        console.print()
        best = best_run(runs, self.spec.objectives, seed_parameter=self.spec.extensions.seed_parameter)
        if self.spec.metrics:
            for line in front_lines(self.spec, runs):
                console.print(line, style="bold green", markup=False)
        elif best is not None and self.spec.metric is not None:
            console.print(f"best: {best_in_words(self.spec, runs)}", style="bold green", markup=False)
            console.print(f"      {configuration(best_parameters(self.spec, runs))}", markup=False)
        console.print(
            f"{self.sweep.name}: {'complete' if finish.complete else 'not complete'}, {finish.reason}", markup=False
        )
        console.print(f"files: {relative(self.paths.root)}/ (runs.csv, run_*_result.json, logs/)", markup=False)
        if best_file is not None:
            console.print(
                f"{'configurations of the front' if self.spec.metrics else 'best configuration'}: "
                f"{relative(best_file)}",
                markup=False,
            )
        if report is not None:
            console.print(f"report: {relative(report)}", markup=False)
        if not finish.complete:
            console.print("the same command continues" if self.plan.joins is None else "others may go on", markup=False)
