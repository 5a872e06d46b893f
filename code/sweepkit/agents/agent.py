"""An agent: one sweep's side of a pool of workers. It asks for runs, judges how they end, reports and tells.

Any number of agents may work on one sweep; what they know of each other is the record. An agent may be killed at any
line: the next one continues from the record (`reclaim`), repeats nothing that finished and loses nothing.
The workers, which may serve several agents, are in `pool`.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sweepkit.agents.control import LOOK_S, STOPPED
from sweepkit.agents.identity import agent_identity, host_name
from sweepkit.agents.launcher import LocalLauncher
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.reclaim import Reclaimer
from sweepkit.agents.results import write_result
from sweepkit.agents.run_cache import RunCache
from sweepkit.agents.slot_policy import DiskWatch, SlotPolicy
from sweepkit.agents.slots import Slot
from sweepkit.errors import StoreError
from sweepkit.scheduling.outcome import Outcome, hopeless
from sweepkit.search.base import Engine
from sweepkit.spec.events import Event, Notice, RunSeen
from sweepkit.spec.objectives import objectives_of
from sweepkit.spec.records import Attempt, RunRecord, SweepRecord, SweepState
from sweepkit.spec.runs import Exhausted, RunState, RunView, Wait
from sweepkit.spec.sweep import SweepSpec
from sweepkit.stopping.base import StoppingRule
from sweepkit.store.base import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an agent works.

    Args:
        slots: What runs may occupy.
        count: At most this many runs in this call; None for no limit.
        lease_s: How long a run stays ours without a sign of life, in seconds; renewed every quarter of it.
        poll_s: How often a run's reports are looked at, in seconds.
        max_initial_failures: The sweep ends when this many runs ended and all failed; 0 never (W&B: 5).
    """

    slots: tuple[Slot, ...]
    count: int | None = None
    lease_s: float = 60.0
    poll_s: float = 0.02
    max_initial_failures: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How an agent's work ended.

    Args:
        complete: The sweep is finished: nothing is left to run.
        reason: Why the agent ended, in words.
        given_up: It ended because runs fail, whatever is tried, or because the sweep was cancelled.
    """

    complete: bool
    reason: str
    given_up: bool = False


class Agent:
    """What a pool of workers needs of one sweep: `open`, then `take` and `over` for each worker, then `settle`.

    Attributes:
        interrupt_level: 1 takes no further run, 2 terminates the running ones, 3 kills them.
        cancelled: The sweep was cancelled: as level 2, for this sweep alone.
        paused: The sweep is paused in the record.
        running: How many runs this agent executes now.
        mates: The agents of other sweeps that use the same slots.
        changed: Notified when a run ended; a pool shares one among its agents.
    """

    def __init__(
        self,
        *,
        store: Store,
        sweep: SweepRecord,
        place: Workplace,
        engine: Engine,
        rule: StoppingRule | None,
        launcher: LocalLauncher,
        settings: Settings,
        surroundings: Mapping[str, Any],
        emit: Callable[[Event], None],
    ) -> None:
        self.store = store
        self.sweep = sweep
        self.place = place
        self.spec: SweepSpec = place.spec
        self.engine = engine
        self.rule = rule
        self.launcher = launcher
        self.settings = settings
        self.surroundings = surroundings
        self.emit = emit
        self.host = host_name()
        self.identity = agent_identity()
        self.runs = RunCache(store, sweep.sweep_id, instances=self.spec.instance_names)
        self.interrupt_level = 0
        self.cancelled = False
        self.paused = False
        self.running = 0
        self.taken = 0
        self.mates: tuple[Agent, ...] = ()
        self.changed = threading.Condition()
        self.lost_leases: frozenset[str] = frozenset()
        self._propose = threading.Lock()
        self.mine: dict[str, Attempt] = {}
        self._counted: set[str] = set()
        self._end: Finish | None = None
        self._complained = ""
        self._active_s = 0.0
        self._reclaimer = Reclaimer(self)
        self._stopped = threading.Event()
        self.slots = SlotPolicy(settings.slots)
        self.disk = DiskWatch(place.paths.logs)

    # -- its life -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take in what is recorded, and begin to renew leases and to look for what is asked of the sweep."""
        self._learn()
        self._write_missing_results()
        for work, name in ((self._beat, "heartbeat"), (self._look_on, "look")):
            threading.Thread(target=work, daemon=True, name=f"{name}-{self.sweep.name}").start()

    def close(self) -> None:
        """Renew and look no more."""
        self._stopped.set()

    def settle(self) -> Finish:
        """Put the sweep into its final state if nothing is left; return how the work ended."""
        return self.patiently(self._settle)

    def _settle(self) -> Finish:
        self._learn()
        self._write_missing_results()
        counts = self.store.counts(self.sweep.sweep_id)
        unfinished = counts.get(RunState.PENDING, 0) + counts.get(RunState.RUNNING, 0)
        limited = self._end is not None and not self._end.complete and not self._end.given_up
        if limited and self._all_made():
            self._end = Finish(complete=True, reason=f"all {len(self.runs)} runs of the sweep were made")
        if self._end is not None and self._end.complete and not unfinished:
            self.store.update_sweep(self.sweep.sweep_id, state=SweepState.FINISHED, reason=self._end.reason)
            return self._end
        if self.interrupt_level:
            return Finish(complete=False, reason="interrupted")
        if self._end is None:
            return Finish(complete=False, reason="stopped")
        return dataclasses.replace(self._end, complete=False)

    # -- what to do next ----------------------------------------------------------------------------------------------

    def take(self, slot: Slot) -> Attempt | None:
        """Return a run to execute on a slot, None when there is none now: others hold what is left, or it is over."""
        with self._propose:
            if self.paused or self._ends():
                return None
            attempt = self._take(slot)
            if attempt is not None:
                self.running += 1
                self.taken += 1
            return attempt

    def over(self) -> bool:
        """Return whether no worker will ever have a further run of this agent."""
        return self._ends() or (self._end is not None and self._may_end())

    def _ends(self) -> bool:
        return bool(self.interrupt_level or self.cancelled or (self._end is not None and not self._end.complete))

    @property
    def terminates(self) -> bool:
        """Return whether the running runs shall be ended."""
        return self.interrupt_level >= 2 or self.cancelled

    def end(self, reason: str) -> None:
        """Take no further run; those under way go on to their end. The first reason counts."""
        if self._end is None:
            self._end = Finish(complete=False, reason=reason)

    def _may_end(self) -> bool:
        """Return whether a worker may leave: nothing can come back as pending, or the agent ends for good."""
        if self._end is None or not self._end.complete:
            return True
        counts = self.store.counts(self.sweep.sweep_id)
        return not counts.get(RunState.PENDING) and not counts.get(RunState.RUNNING)

    def _take(self, slot: Slot) -> Attempt | None:
        """Claim a run that waits, or propose a new one. Called with the proposal lock held."""
        if self._count_reached():
            self._end = Finish(complete=False, reason=f"--count {self.settings.count} reached")
            return None
        self._reclaimer.look()
        attempt = self.store.claim(
            self.sweep.sweep_id,
            agent_id=self.identity,
            host=self.host,
            lease_s=self.settings.lease_s,
            exclude=self.slots.not_for(slot),
        )
        if attempt is None and self._end is None:
            attempt = self._propose_run()
        if attempt is not None:
            self.mine[attempt.attempt_id] = attempt
            self._counted.add(attempt.run.run_id)
            self.runs.begin(attempt.run)
        return attempt

    def _learn(self) -> None:
        """Take in what changed in the record: for the engine, the target, and what other agents did for the view."""
        for view in self.runs.refresh():
            self.engine.tell(view)
            for values in _values_of(view, self.spec):
                self.check_target(values)  # a target that was reached, by whom and when ever, stays reached
            if view.run_id not in self._counted:
                self.emit(RunSeen(view=view))

    def _all_made(self) -> bool:
        """Return whether there are as many runs as run_cap or the space allow."""
        limits = [limit for limit in (self.engine.total(), self.spec.run_cap) if limit is not None]
        return bool(limits) and len(self.runs) >= min(limits)

    def _count_reached(self) -> bool:
        return self.settings.count is not None and len(self._counted) >= self.settings.count

    def _propose_run(self) -> Attempt | None:
        """Ask the engine for a new run and claim it in the same transaction."""
        self._learn()
        if self._end is not None:
            return None
        number = len(self.runs)
        cap = self.spec.run_cap
        if cap is not None and number >= cap:
            self._end = Finish(complete=True, reason=f"run_cap of {cap} reached")
            return None
        proposal = self.engine.ask(number)
        if isinstance(proposal, Exhausted):
            self._end = Finish(complete=True, reason=proposal.reason)
            return None
        if isinstance(proposal, Wait):
            return None
        return self.store.add_and_claim(
            self.sweep.sweep_id,
            number,
            proposal.params,
            agent_id=self.identity,
            host=self.host,
            lease_s=self.settings.lease_s,
            proposal={"reason": proposal.reason, **proposal.info},
            cap=cap,
        )

    # -- told by workers ----------------------------------------------------------------------------------------------

    def ended(self, run: RunRecord, slot: Slot, outcome: Outcome) -> None:
        """Take note that an attempt of ours is recorded as ended, and draw what follows from it."""
        for text in self.slots.ended(run.run_id, slot, outcome):
            self.emit(Notice(text=text, warning=True))
        if outcome.quarantine:  # by what is wrong with the device, which is so for every sweep
            for mate in self.mates:
                mate.without(slot, outcome.reason)
        if run.state is RunState.FAILED:
            self._end_if_hopeless(run)
        self._end_if_flow_stops(run, outcome)

    def left(self, attempt: Attempt) -> None:
        """Take note that a worker is done with an attempt, however it ended."""
        with self._propose:
            self.mine.pop(attempt.attempt_id, None)
            self.running -= 1
        with self.changed:
            self.changed.notify_all()

    def _end_if_hopeless(self, run: RunRecord) -> None:
        """End the sweep when `run`, which just failed, is one of its first runs and all of them failed."""
        states = [view.state for view in self.runs.views() if view.state.done and view.number != run.number]
        limit = self.settings.max_initial_failures
        if hopeless([*states, run.state], limit=limit):
            self._give_up(f"the first {len(states) + 1} runs all failed, the last with: {run.reason}", run)

    def _end_if_flow_stops(self, run: RunRecord, outcome: Outcome) -> None:
        """End when the sweep is to be paused, when whatever is tried fails, or when no slot is left."""
        if outcome.pause_sweep:
            reason = f"paused: {outcome.reason}"
            self._end = Finish(complete=False, reason=reason, given_up=True)
            self.patiently(lambda: self.store.update_sweep(self.sweep.sweep_id, state=SweepState.PAUSED, reason=reason))
        elif self.slots.everything_fails and self._end is None:
            self._give_up(f"{self.slots.everything_fails}, the last with: {outcome.reason}", run)
        elif len(self.slots.broken) == len(self.settings.slots) and self._end is None:
            self._give_up(f"every slot was taken out, the last with: {outcome.reason}", run)

    def without(self, slot: Slot, reason: str) -> None:
        """Use a slot no more that another sweep's runs found to be unusable."""
        self.slots.exclude(slot.index)
        if len(self.slots.broken) == len(self.settings.slots) and self._end is None:
            self._end = Finish(
                complete=False, reason=f"every slot was taken out, the last with: {reason}", given_up=True
            )

    def _give_up(self, reason: str, run: RunRecord) -> None:
        """End, and show the end of the last log once."""
        self._end = Finish(complete=False, reason=reason, given_up=True)
        if shown := str(run.outcome.get("log_tail", "")).strip():
            self.emit(Notice(text=f"the log of run {run.run_id} ends with:\n{shown}", warning=True))

    def has_other_slot(self, slot: Slot) -> bool:
        """Return whether a run could be tried on a slot with other devices than this one's."""
        return self.slots.has_other(slot)

    def check_target(self, values: Mapping[str, float]) -> None:
        """End the sweep when a run's values reach every target of its metrics; runs under way go on to their end."""
        aims = [(item, item.target) for item in self.spec.objectives if item.target is not None]
        if not aims or self._end is not None:
            return
        for item, target in aims:
            value = values.get(item.name)
            if value is None or not (value == target or item.goal.better(value, target)):
                return
        reached = "; ".join(f"target {target:g} reached: {item.name} is {values[item.name]:g}" for item, target in aims)
        self._end = Finish(complete=True, reason=reached)

    def write_result(self, run: RunRecord) -> None:
        """Write the result file of a run that is done."""
        write_result(self.place.paths, run, seed=self.sweep.seed, surroundings=self.surroundings)

    def _write_missing_results(self) -> None:
        """Write the result files that a kill between record and file left out."""
        for run in self.store.runs(self.sweep.sweep_id):
            if run.state.done and not self.place.paths.result(run.run_id).exists():
                self.write_result(run)

    def complain(self, text: str) -> None:
        """Tell a fault once, not at every poll."""
        if text != self._complained:
            self._complained = text
            self.emit(Notice(text=text, warning=True))

    def patiently(self, write: Callable[[], T]) -> T:
        """Do a write, again and again for the length of a lease while the store is away."""
        deadline = time.monotonic() + self.settings.lease_s
        while True:
            try:
                return write()
            except StoreError as error:
                if time.monotonic() > deadline:
                    raise
                self.disk.full()  # to be remembered when an attempt is judged
                self.complain(f"the record cannot be written, trying again: {error}")
                with self.changed:
                    self.changed.wait(1.0)

    # -- beside the workers -------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Renew the leases of our attempts; an attempt that cannot be renewed for a whole lease ends itself."""
        renewed_at = time.monotonic()
        while not self._stopped.wait(self.settings.lease_s / 4):
            mine = list(self.mine.values())
            try:
                lost = self.store.renew(mine, lease_s=self.settings.lease_s) if mine else []
                renewed_at = time.monotonic()
            except StoreError as error:
                if self._stopped.is_set():
                    return
                self.complain(f"leases cannot be renewed: {error}")
                overdue = time.monotonic() - renewed_at > self.settings.lease_s
                lost = [attempt.attempt_id for attempt in mine] if overdue else []
            self.lost_leases = self.lost_leases | frozenset(lost)

    def _look_on(self) -> None:
        """Look for what is asked of the sweep (see `control`), and at its time budget."""
        before = time.monotonic()
        while not self._stopped.wait(LOOK_S):
            self.disk.full()
            now = time.monotonic()
            self._active_s += 0.0 if self.paused else now - before
            before = now
            budget = self.spec.extensions.time_budget_s
            if budget is not None and self._active_s >= budget:
                self.end(f"the time budget of {budget:g} s is used up")
            with contextlib.suppress(StoreError):  # the workers complain
                if (record := self.store.sweep(self.sweep.name)) is not None:
                    self._obey(record)

    def _obey(self, record: SweepRecord) -> None:
        """Do what the sweep's state in the record asks; nothing once the agent ends."""
        if self._ends() and record.state is not SweepState.CANCELLED:
            return
        paused, self.paused = self.paused, record.state is SweepState.PAUSED
        if self.paused and not paused:
            self.emit(Notice(text=f"{self.sweep.name} {record.reason}: no run starts until --resume", warning=True))
        elif paused and record.state is SweepState.RUNNING:
            self.emit(Notice(text=f"{self.sweep.name} goes on"))
        elif record.state is SweepState.FINISHED and self._end is None:
            # Either somebody said so, or another agent found that nothing is left.
            self._end = Finish(complete=record.reason != STOPPED, reason=record.reason)
        elif record.state is SweepState.CANCELLED and not self.cancelled:
            self._end = Finish(complete=False, reason=record.reason, given_up=True)
            self.cancelled = True
            self.emit(Notice(text=f"{self.sweep.name} {record.reason}: ending its running runs", warning=True))
        if self._end is not None or paused != self.paused:
            with self.changed:
                self.changed.notify_all()


def _values_of(view: RunView, spec: SweepSpec) -> list[dict[str, float]]:
    """Return what a run had of the metrics by name, moment by moment; with several objectives its vector alone."""
    if spec.metric is not None:
        values = [*view.history, *([] if view.summary is None else [view.summary])]
        return [{spec.metric.name: value} for value in values]
    vector = objectives_of(view, spec.metrics) if spec.metrics else None
    return [] if vector is None else [dict(zip((item.name for item in spec.metrics), vector, strict=True))]


def release_all(agent: Agent) -> None:
    """Give back every run that an agent still holds: for an agent that ends by an error."""
    for attempt in list(agent.mine.values()):
        with contextlib.suppress(Exception):
            agent.store.release(attempt, reason="its agent ended")
