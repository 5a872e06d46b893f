"""`--backend wandb`: W&B's server leads the sweep, real `wandb agent` processes make its runs on our slots.

The sweep is made at W&B from the same YAML, once: the record remembers where it is, so the same command goes on with
it. What W&B has of its runs comes into our record and files while it runs, so table, analysis, comparison and monitor
read it as any other. Nothing of the search is decided here.
"""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sweepkit.agents.agent import Finish
from sweepkit.agents.descent import send
from sweepkit.agents.results import describe_surroundings
from sweepkit.agents.slots import Slot
from sweepkit.errors import ConflictError
from sweepkit.model.events import Notice
from sweepkit.model.records import SweepRecord, SweepState
from sweepkit.paths import python
from sweepkit.reports.progress import Screen
from sweepkit.runner.interrupts import Interrupts
from sweepkit.runner.leader import Leader
from sweepkit.runner.opening import OpenSweep, SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import Plan, make_plan, plan_of
from sweepkit.runner.session import Session
from sweepkit.search.grid import GridEngine
from sweepkit.store.open import open_store
from sweepkit.sweep_config.sweep import Method
from sweepkit.text.shown import say
from sweepkit.wandb.agent_process import Command
from sweepkit.wandb.agent_silence import SilenceWatch, unsent_folder
from sweepkit.wandb.agents import INTERRUPTED, Limits, WandbAgents
from sweepkit.wandb.backend_plan import (
    agent_environment,
    agents_folder,
    check_sweep,
    dry_run_text,
    lock_folder,
    notes_of,
    sent_config,
)
from sweepkit.wandb.importer import Collector, Importer, ImportTarget
from sweepkit.wandb.scheduler import SchedulerProcess

_TICK_S = 0.1
_HURRIED_S = 3.0
_SETTLE_S = 30.0  # W&B may take a while to count a run that has just ended
_INTERRUPT_WORDS = {
    1: "waiting for the running runs (Ctrl-C again ends them)",
    2: "ending the running runs",
    3: "killing",
}

Slots = tuple[Slot, ...]


def run_backend(
    options: RunOptions,
    *,
    sweep: str | None,
    wandb_sweep: str | None,
    slots_of: Callable[[Plan], tuple[Slots, list[str]]],
    limits: Limits,
) -> int:
    """Run a sweep that W&B leads; return the exit code.

    Args:
        options: How it is run; see `check_options`.
        sweep: The sweep's YAML or its name; None joins one that is at W&B already.
        wandb_sweep: Which one is joined: entity/project/id or the URL of its page; None with `sweep`.
        slots_of: What a plan's runs may occupy, and notices of it.
        limits: How much is done.

    Raises:
        SweepKitError: Something the user can mend stands in the way; nothing was started.
    """
    path = None
    if wandb_sweep is not None:
        plan, path = _joined_plan(options, wandb_sweep)
    else:
        assert sweep is not None
        plan = make_plan(options, sweep, searches=False)
        check_sweep(plan.spec, sampler=options.sampler)
    slots, notes = slots_of(plan)
    if options.dry_run:
        config = None if path is not None else sent_config(plan, sampler=options.sampler)
        say(dry_run_text(plan, config, slots, as_json=options.json, path=path))
        return 0
    from sweepkit.wandb.sweeps import check_login

    check_login()
    with open_store(plan.storage) as store:
        plan = plan if path is not None else settled(plan, store)
        opener = SweepOpener(options, plan, store, slots=slots, leader=Leader(at_wandb=True))
        if path is None:
            opener.check_others()
        opened = _open_sweep(opener, path)
        with lock_folder(opened.paths.root, opened.sweep.name):  # as long as this runner leads it
            if not opened.sweep.meta["wandb"].get("path"):
                opened = _create_at_wandb(opened)
            opened.write_inputs()
            return _led(opened, limits, notes).work()


def _joined_plan(options: RunOptions, wandb_sweep: str) -> tuple[Plan, str]:
    """Return the plan of a sweep that is at W&B already, and its path."""
    from sweepkit.sweep_config.read import from_config
    from sweepkit.wandb.client import sweep_path
    from sweepkit.wandb.reader import fetch_sweep
    from sweepkit.wandb.sweeps import check_login

    if options.fresh or options.sampler:
        raise ConflictError(
            f"--wandb-sweep {wandb_sweep}: takes all of the search from W&B; leave --fresh and --sampler out"
        )
    path = sweep_path(wandb_sweep, entity=os.environ.get("WANDB_ENTITY"), project=os.environ.get("WANDB_PROJECT"))
    check_login()
    fetched = fetch_sweep(path)
    spec = from_config(fetched.config, source=f"wandb:{path}", default_name=fetched.record.name)
    return plan_of(options, spec, searches=False), path


# -- the record and W&B -----------------------------------------------------------------------------------------------


def _open_sweep(opener: SweepOpener, joined_path: str | None) -> OpenSweep:
    """Return the sweep, made or gone on with.

    Args:
        opener: Of its record.
        joined_path: Where it is at W&B, when others made it; None for one that this command makes or goes on with.
    """
    store, spec = opener.store, opener.spec
    if joined_path is None:
        opened = opener.open()
        return replace(opened, notes=(*opened.notes, *notes_of(spec)))
    recorded = store.sweeps()  # once: of two commands that find none both get the one that the first of them makes
    known = [item for item in recorded if item.meta.get("wandb", {}).get("path") == joined_path]
    if known:
        sweep = store.update_sweep(known[0].sweep_id, state=SweepState.RUNNING, reason="")
    else:
        sweep = opener.create([item for item in recorded if item.family == spec.name])
        sweep = store.update_sweep(sweep.sweep_id, meta={"wandb": {"path": joined_path, "joined": True}})
    return opener.take_up(sweep, spec.warnings)


def _create_at_wandb(opened: OpenSweep) -> OpenSweep:
    """Make the sweep at W&B; return it with its place there in the record."""
    from sweepkit.wandb.sweeps import create_sweep

    spec = opened.plan.spec
    config = sent_config(opened.plan, sampler=opened.sampler)
    made = create_sweep(
        config,
        entity=os.environ.get("WANDB_ENTITY") or spec.entity,
        project=os.environ.get("WANDB_PROJECT") or spec.project,
    )
    where = {"path": made.path, "url": made.url, "scheduler": "scheduler" in config}
    sweep = opened.store.update_sweep(opened.sweep.sweep_id, meta={"wandb": where})
    return replace(opened, sweep=sweep, notes=(*opened.notes, *made.warnings))


def _make_command(opened: OpenSweep) -> Command:
    plan, meta = opened.plan, opened.sweep.meta["wandb"]
    spec = plan.spec
    joined = bool(meta.get("joined"))
    source = spec.scheduler.source if spec.scheduler else None
    beside = source is not None and Path(spec.directory or ".", source).is_file()
    wandb = (python(), "-m", "wandb")
    batch = str(len(opened.slots))
    return Command(
        agent=(*wandb, "agent"),
        sweep=meta["path"],
        cwd=str(agents_folder(plan) if joined else plan.cwd),
        env=agent_environment(plan, opened.paths, meta["path"]),
        folder=opened.paths.root,
        scheduler=(*wandb, "sweep-scheduler", "--batch-size", batch, "--poll-interval", "5"),
        scheduler_cwd=spec.directory if beside else str(plan.cwd),
    )


def _led(opened: OpenSweep, limits: Limits, notes: Sequence[str]) -> "_WandbLedSweep":
    """Return a sweep that is at W&B, ready to work, with what W&B has of it already: it must answer now."""
    from sweepkit.wandb.reader import open_wandb_watch

    plan, command = opened.plan, _make_command(opened)
    target = ImportTarget(
        store=opened.store,
        sweep=opened.sweep,
        paths=opened.paths,
        surroundings=describe_surroundings(os.path.dirname(plan.program)),
        placements=lambda: command.placements(opened.slots),
    )
    importer = Importer(open_wandb_watch(command.sweep), target)
    importer.missing_results()
    importer.poll()
    total = GridEngine(plan.spec.space).total() if plan.spec.method is Method.GRID else None
    screen = Screen() if sys.stdout.isatty() and not opened.options.json else None
    session = Session(opened, total=total, screen=screen)  # counts what was found
    return _WandbLedSweep(session, command, importer, limits=limits, notes=notes)


class _WandbLedSweep:
    """The agents of a sweep that W&B leads, and what comes of them.

    Args:
        session: Its files and view.
        command: How its agents are started.
        importer: Takes in what W&B has of it.
        limits: How much is done.
        notes: Notices that come first.
    """

    def __init__(
        self, session: Session, command: Command, importer: Importer, *, limits: Limits, notes: Sequence[str] = ()
    ) -> None:
        self.session = session
        self.command = command
        self.importer = importer
        self.notes = list(notes)
        self.interrupts = Interrupts()
        self.unanswered = ""  # why it was given up to wait for W&B's answers
        self.collector = Collector(importer, session.on_event)
        self.agents = WandbAgents(
            command, session.slots, limits=limits, order=self.collector.order, emit=session.on_event
        )
        processes = [agent.process for agent in self.agents.agent_slots]
        self.silence = SilenceWatch(command, processes, patience_s=session.options.wandb_wait)
        self._stuck: set[str] = set()
        leads = session.sweep.meta["wandb"].get("scheduler", False)
        self.scheduler = SchedulerProcess(command, session.on_event) if leads else None

    def work(self) -> int:
        """Run agents until W&B, the limits or Ctrl-C end them; return the exit code."""
        self.session.start_showing()
        try:
            self._notify_first()
            self._supervise()
            settled = self._settle()
        except BaseException:
            self.agents.interrupt_level = 3
            self.agents.tick()
            self.agents.kill()
            raise
        finally:
            self.session.stop_showing()
        finish = self._finish(settled)
        code = self.session.conclude(finish)
        if self.interrupts.preempted:
            return code if finish.complete else self.session.options.preempted_exit_code
        return 130 if self.agents.interrupt_level else code

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _notify_first(self) -> None:
        meta = self.session.sweep.meta["wandb"]
        notes = [*self.notes, f"W&B leads this sweep: {meta.get('url') or meta['path']}", *self.session.notes]
        if self.session.spec.scheduler is not None and meta.get("joined"):
            notes.append(f"its scheduler must run, once: wandb sweep-scheduler {meta['path']}")
        for note in notes:
            self.session.on_event(Notice(text=note))

    def _supervise(self) -> None:
        """Let agents and scheduler run to their end."""
        state = self.importer.state
        over = state is not None and state.over
        self.agents.adopt()
        if over:
            self.agents.end("W&B has ended the sweep")
        elif self.scheduler is not None:
            self.scheduler.adopt()
        with self.interrupts.passed_to(self.agents):
            try:
                self.collector.start()
                self._loop(over=over)
            finally:
                self.collector.stop()

    def _loop(self, *, over: bool) -> None:
        pause = threading.Event()
        notified, known = 0, len(self.command.placements(self.session.slots))
        leads = self.scheduler is not None and not over
        while True:
            busy = self.agents.tick()
            if leads and self.scheduler is not None:
                if not busy:
                    self.scheduler.stop()
                leads = self.scheduler.tick()
                if self.scheduler.failed:
                    self.agents.end(self.scheduler.failed)
            if not busy and not leads:
                return
            if (level := self.agents.interrupt_level) > notified:
                notified = level
                self.session.on_event(Notice(text=_INTERRUPT_WORDS[level], warning=True))
            if (begun := len(self.command.placements(self.session.slots))) != known:
                known = begun
                self.collector.soon()
            self.collector.check()
            self._give_up_a_silent_server()
            pause.wait(_TICK_S)

    def _give_up_a_silent_server(self) -> None:
        """End, where nothing runs that waiting would keep, when what W&B answers could not be read for too long."""
        if not self.agents.busy and self._ends_unread():
            return
        if not self.agents.interrupt_level and self.silence.look(work_wanted=self._wants_work()):
            for run in self.silence.stuck:
                self._end_unanswered(f"W&B must take what runs log: {run.fault}")
                again = run.run_id in self._stuck
                self._stuck.add(run.run_id)
                for pid in run.pids:  # its program has ended, and what it logged is in its folder
                    send(pid, signal.SIGKILL if again else signal.SIGTERM)
            if self.silence.start_fault:
                self._end_unanswered(f"W&B must take new runs: {self.silence.start_fault}")
            if self.silence.idle_fault:
                self._end_unanswered(f"W&B must answer its agents: {self.silence.idle_fault}")
                self.agents.kill()

    def _ends_unread(self) -> bool:
        """End when no answer could be read for as long as the user waits for W&B; return whether it came to that."""
        fault = self.collector.fault(self.session.options.wandb_wait)
        if fault:
            self._end_unanswered(f"W&B must say what it wants: {fault}")
        return bool(fault)

    def _wants_work(self) -> bool:
        return self.scheduler is None and self.importer.state is SweepState.RUNNING

    def _end_unanswered(self, reason: str) -> None:
        if not self.unanswered:
            self.unanswered = reason
            self.session.on_event(Notice(text=f"{reason}; nothing more is started", warning=True))
        self.agents.drain(reason)

    def _settle(self) -> bool:
        """Poll until W&B counts no run of this host as running; return whether it came to that.

        What cannot be read for as long as the user waits for W&B ends it, too: whatever limit ended the agents before.
        """
        pause = threading.Event()
        hurried = self.agents.interrupt_level or self.unanswered
        deadline = time.monotonic() + (_HURRIED_S if hurried else _SETTLE_S)
        while True:
            if self.collector.poll() and not self.importer.running():
                return True
            if (not hurried and self._ends_unread()) or time.monotonic() >= deadline:
                return False
            pause.wait(2.0)

    # -- its end ------------------------------------------------------------------------------------------------------

    def _finish(self, settled: bool) -> Finish:
        """Record where the sweep stands at W&B; return how this call ended."""
        state = self.importer.state or SweepState.RUNNING
        reasons = [reason for reason in self.agents.reasons if reason != INTERRUPTED]
        if self.unanswered and self.unanswered not in reasons:
            reasons.append(self.unanswered)
        if self.agents.interrupt_level:
            reason = "preempted" if self.interrupts.preempted else "interrupted"
        elif state is SweepState.CANCELLED:
            reason = "cancelled at W&B"
        elif state is SweepState.FINISHED:
            reason = "W&B has ended the sweep"
        else:
            reason = "; ".join(reasons) or "no agent is left"
        if not settled:
            self._tell_what_is_not_there()
            reason += "; W&B still counts runs as running: the same command later collects them"
        self.session.store.update_sweep(
            self.session.sweep.sweep_id, state=state, reason=reason if state.value != "running" else ""
        )
        failed = bool(self.unanswered or (self.scheduler and self.scheduler.failed))
        given_up = self.agents.given_up or failed or state is SweepState.CANCELLED
        return Finish(complete=state is SweepState.FINISHED, reason=reason, given_up=given_up)

    def _tell_what_is_not_there(self) -> None:
        """Name the folders of runs that have ended here and not at W&B, which W&B's own command can send."""
        found = [unsent_folder(self.command, run_id) for run_id in self.importer.running()]
        folders = [str(folder) for folder in found if folder is not None]
        if folders and not self.agents.interrupt_level:
            runs = f"{len(folders)} run" + ("s" if len(folders) > 1 else "")
            command = (
                f"wandb sync --include-online {shlex.join(folders)}"  # left out, it passes over them: they were online
            )
            text = f"W&B does not have the end of {runs}; send what they logged: {command}"
            self.session.on_event(Notice(text=text, warning=True))


def control_at_wandb(sweep: SweepRecord, command: str) -> None:
    """Ask W&B to pause, resume, stop or cancel a recorded sweep that it leads. Raises TrackingError."""
    from sweepkit.wandb.sweeps import set_sweep_state

    set_sweep_state(sweep.meta["wandb"]["path"], command)
