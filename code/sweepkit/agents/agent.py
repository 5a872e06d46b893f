"""An agent: one sweep's side of a pool of workers. It asks for runs, judges how they end, records that and notifies.

Any number of agents may work on one sweep; what they know of each other is the record. An agent may be killed at any
line: the next one continues from the record (`reclaim`), repeats nothing that finished and loses nothing.
The workers, which may serve several agents, are in `worker_pool`.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sweepkit.agents.context import AgentContext
from sweepkit.agents.control import CONTROL_PERIOD_S, STOP_ATTEMPTS
from sweepkit.agents.gpu_memory import MemoryGate
from sweepkit.agents.gpu_packer import GpuPacker
from sweepkit.agents.launcher import Exited
from sweepkit.agents.pace import missed_period, shared_period
from sweepkit.agents.reclaim import Reclaimer
from sweepkit.agents.run_cache import has_value, view_of
from sweepkit.agents.slots import Slot
from sweepkit.agents.worker import Execution
from sweepkit.called import place_words, typed
from sweepkit.errors import RecordLostError, StoreError
from sweepkit.model.events import Notice, RunChanged
from sweepkit.model.objectives import RUNTIME, objectives_of
from sweepkit.model.records import STOPPED, Attempt, RunRecord, SweepRecord, SweepState
from sweepkit.model.runs import OPEN, Exhausted, Proposal, RunState, RunView, Wait, count_of
from sweepkit.scheduling.outcome import AttemptOutcome, hopeless, misnamed
from sweepkit.search.base import Engine
from sweepkit.store.base import ClaimTerms
from sweepkit.store.records import SET_ASIDE
from sweepkit.sweep_config.sweep import Method, SweepSpec

PROPOSING_FOR_OTHERS_S = 1.0  # a tenth of how long they wait for their turn
_CHECKPOINT_S = 2.0  # at most so often, and in no worker's way


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
    """What a pool of workers needs of one sweep: `open`, then `take` and `over` for each worker, then `finalize`.

    Args:
        context: What it shares with the attempts that it executes.
        engine: Proposes runs.

    Attributes:
        paused: The sweep is paused in the record.
        running: How many runs this agent executes now.
        taken: How many it took so far.
    """

    def __init__(self, context: AgentContext, engine: Engine) -> None:
        self.context = context
        self.paused = False
        self.running = 0
        self.taken = 0
        self._store = context.store
        self._sweep = context.sweep
        self._spec = context.spec
        self._engine = engine
        self._peers: tuple[Agent, ...] = ()
        self._propose = threading.Lock()
        self._turns_missed = 0  # in a row: too many want to propose
        self._counted: set[str] = set()
        self._end: Finish | None = None
        self._active_s = 0.0
        self._unsettled = False  # a run ended since the last checkpoint of the record
        self._reclaimer = Reclaimer(context, self._recover)
        self._stopped = threading.Event()
        self._packer: GpuPacker | None = None

    def join(self, peers: Sequence["Agent"], changed: threading.Condition, *, packer: GpuPacker | None = None) -> None:
        """Share the slots with the agents of other sweeps, and the condition that is notified when a run ended.

        `packer` says which run a slot that packs gets.
        """
        self._peers = tuple(peers)
        self.context.changed = changed
        self._packer = packer

    def execution(self, slot: Slot, attempt: Attempt, *, gate: MemoryGate | None = None) -> Execution:
        """Return what executes an attempt that `take` returned."""
        return Execution(self.context, slot, attempt, listener=self, gate=gate, packer=self._packer)

    def _recover(self, attempt: Attempt, ended: Exited) -> bool:
        return self.execution(self.context.settings.slots[0], attempt).recover(ended)

    # -- its life -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take in what is recorded, and begin to renew leases and to watch for commands."""
        self._refresh()
        self._write_missing_results()
        self.context.send_unsent()
        for work, name in ((self._heartbeat, "heartbeat"), (self._watch_control, "control")):
            threading.Thread(target=work, daemon=True, name=f"{name}-{self._sweep.name}").start()

    def close(self) -> None:
        """Renew leases and watch the record no more."""
        self._stopped.set()

    def finalize(self) -> Finish:
        """Put the sweep into its final state if nothing is left; return how the work ended."""
        return self.context.retry_while_unavailable(self._finalize)

    def _finalize(self) -> Finish:
        self._refresh()
        self._write_missing_results()
        self.context.send_unsent()
        counts = self._store.counts(self._sweep.sweep_id)
        unfinished = count_of(counts, OPEN)
        limited = self._end is not None and not self._end.complete and not self._end.given_up
        if limited and self._all_made():
            self._end = Finish(complete=True, reason=f"all {len(self.context.runs)} runs of the sweep were made")
        if self._end is not None and self._end.complete and not unfinished:
            self._store.update_sweep(self._sweep.sweep_id, state=SweepState.FINISHED, reason=self._end.reason)
            return self._end
        end = self._unfinished_end()
        record = self._store.sweep(self._sweep.name)
        if record is not None and record.state is SweepState.RUNNING and not counts.get(RunState.RUNNING):
            # Who looks later is to tell a sweep that was left from one whose agents died.
            self._store.update_sweep(self._sweep.sweep_id, reason=end.reason)
        return end

    def _unfinished_end(self) -> Finish:
        """Return how the work ended on a sweep that is not at its end."""
        if self.context.orders.interrupt_level:
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
        orders = self.context.orders
        return bool(orders.interrupt_level or orders.cancelled or (self._end is not None and not self._end.complete))

    def end(self, reason: str) -> None:
        """Take no further run; those under way go on to their end. The first reason counts."""
        if self._end is None:
            self._end = Finish(complete=False, reason=reason)

    def _may_end(self) -> bool:
        """Return whether a worker may leave: nothing can come back as pending, or the agent ends for good."""
        if self._end is None or not self._end.complete:
            return True
        counts = self._store.counts(self._sweep.sweep_id)
        return not count_of(counts, OPEN)

    def _take(self, slot: Slot) -> Attempt | None:
        """Claim a run that waits, or propose a new one. Called with the proposal lock held."""
        if self._count_reached():
            self._end = Finish(complete=False, reason=f"--count {self.context.settings.count} reached")
            return None
        self._reclaimer.reclaim()
        asked_at = time.monotonic()
        if self._packer is not None and slot.packs:
            attempt = self._take_packed(slot, self._packer)
        else:
            excluded, waits = self.context.slots.excluded_runs(slot), bool(self._pending())
            attempt = self._claim(excluded) if waits else None
            if attempt is None and self._end is None:
                asked_at = time.monotonic()
                attempt = self._propose_run(excluded, fresh=not waits)
        if attempt is not None:
            self.context.note_lease([attempt], asked_at=asked_at)
            self.context.held[attempt.attempt_id] = attempt
            self._counted.add(attempt.run.run_id)
            self.context.runs.begin(attempt.run)
        return attempt

    def _claim(self, exclude: Collection[str], *, gpus: Sequence[str] = ()) -> Attempt | None:
        return self._store.claim(self._sweep.sweep_id, **self._terms(exclude, gpus=gpus))

    def _terms(self, exclude: Collection[str], *, gpus: Sequence[str] = ()) -> ClaimTerms:
        """Return who claims a run, which it will not have, and for which GPUs."""
        return {
            "agent_id": self.context.identity,
            "host": self.context.host,
            "lease_s": self.context.settings.lease_s,
            "exclude": exclude,
            "gpus": gpus,
        }

    def _take_packed(self, slot: Slot, packer: GpuPacker) -> Attempt | None:
        """Claim the run that a GPU shall get beside those that it has; new ones are proposed until one fits.

        What is claimed is compared once more with what other agents claimed for the GPU before: the later gives way.
        """
        excluded = self.context.slots.excluded_runs(slot)
        placement = packer.choose(self._store, self._sweep.sweep_id, slot, but=excluded)
        while placement.run_id is None and placement.more and self._end is None:
            if not self._add_run():
                break
            placement = packer.choose(self._store, self._sweep.sweep_id, slot, but=excluded)
        if placement.run_id is None:
            packer.nothing(slot)
            return None
        pending = {view.run_id for view in self._pending()} - {placement.run_id}
        attempt = self._claim(pending | excluded, gpus=packer.gpus(slot))
        if attempt is not None and not packer.keeps(self._store, attempt, slot, placement):
            self._store.release(attempt, reason=f"{slot.device} was taken meanwhile")
            return None
        return attempt

    def _pending(self) -> list[RunView]:
        self._refresh()
        return self.context.runs.pending()

    def _refresh(self) -> None:
        """Take in what changed in the record: for the engine, the target, and what other agents did for the view."""
        for view in self.context.runs.refresh():
            if view.params or not self._spec.space.parameters:  # not of a run that is set aside: its record is damaged
                self._engine.tell(view)
            for values in _values_of(view, self._spec):
                self.check_target(values)  # a target that was reached, by whom and when ever, stays reached
            if view.run_id not in self._counted:
                self.context.emit(RunChanged(view=view))

    def _all_made(self) -> bool:
        """Return whether there are as many runs as run_cap or the space allow."""
        limits = [limit for limit in (self._engine.total(), self._spec.run_cap) if limit is not None]
        return bool(limits) and len(self.context.runs) >= min(limits)

    def _count_reached(self) -> bool:
        return self.context.settings.count is not None and len(self._counted) >= self.context.settings.count

    def _propose_run(self, excluded: Collection[str], *, fresh: bool) -> Attempt | None:
        """Ask the engine for a new run and claim it; None when there is none now, or another agent was faster.

        Where many agents want a run at once one asks for all of them: proposing in turn is slow, claiming is not.
        `fresh`: the record was just looked at.
        """
        with self._store.turn(self._sweep.sweep_id) as turn:
            self._turns_missed = 0 if turn is not None else self._turns_missed + 1
            if turn is None:
                return None
            if (attempt := turn.claim(**self._terms(excluded))) is not None:
                return attempt
            attempt, lost = self._propose_and_claim(fresh=fresh and turn.at_once)
            if lost:  # to one that does not wait for its turn: GPUs that several runs share, or SQLite
                attempt, _ = self._propose_and_claim()
            if attempt is not None:
                self._propose_for(turn.waiting())
            return attempt

    def _propose_for(self, others: int) -> None:
        """Add a run for each of the agents that wait for their turn, as far as that is done soon."""
        until = time.monotonic() + PROPOSING_FOR_OTHERS_S
        while others > 0 and time.monotonic() < until and self._add_proposed():
            others -= 1

    def _propose_and_claim(self, *, fresh: bool = False) -> tuple[Attempt | None, bool]:
        """Ask the engine for a new run and claim it in one transaction; return it, and whether that was in vain."""
        proposed = self._proposed(fresh=fresh)
        if proposed is None:
            return None, False
        number, proposal = proposed
        attempt = self._store.add_and_claim(
            self._sweep.sweep_id,
            number,
            proposal.params,
            agent_id=self.context.identity,
            host=self.context.host,
            lease_s=self.context.settings.lease_s,
            proposal={"reason": proposal.reason, **proposal.info},
            cap=self._spec.run_cap,
        )
        return attempt, attempt is None

    def look_every(self, least_s: float) -> float:
        """Return how long to wait between two looks at the record, in seconds: longer where many agents share it."""
        return shared_period(least_s, self.context.runs.most_running)

    def idle_for(self, least_s: float) -> float:
        """Return how long a worker that found no run waits before it looks again, in seconds."""
        return missed_period(self.look_every(least_s), self._turns_missed)

    def _add_run(self) -> bool:
        """Ask the engine for a new run and let it wait; return whether there is one more."""
        waiting = len(self._pending())
        count = self.context.settings.count
        if count is not None and len(self._counted) + waiting >= count:
            return False
        return self._add_proposed()

    def _add_proposed(self) -> bool:
        """Ask the engine for a new run and let it wait for whoever claims it; return whether there is one more."""
        proposed = self._proposed()
        if proposed is None:
            return False
        number, proposal = proposed
        noted = {"reason": proposal.reason, **proposal.info}
        added = self._store.add_run(
            self._sweep.sweep_id, number, proposal.params, proposal=noted, cap=self._spec.run_cap
        )
        return added is not None

    def _proposed(self, *, fresh: bool = False) -> tuple[int, Proposal] | None:
        """Return a new run's number and what the engine proposes for it; None when there is none now, or no more."""
        if not fresh:
            self._refresh()
        if self._end is not None:
            return None
        number = len(self.context.runs)
        cap = self._spec.run_cap
        if cap is not None and number >= cap:
            self._end = Finish(complete=True, reason=f"run_cap of {cap} reached")
            return None
        proposal = self._engine.ask(number)
        if isinstance(proposal, Exhausted):
            self._end = Finish(complete=True, reason=proposal.reason)
            return None
        if isinstance(proposal, Wait):
            return None
        return number, proposal

    # -- called by workers --------------------------------------------------------------------------------------------

    def ended(self, run: RunRecord, slot: Slot, outcome: AttemptOutcome) -> None:
        """Take note that an attempt of ours is recorded as ended, and draw what follows from it."""
        self._unsettled = True
        for text in self.context.slots.ended(run.run_id, slot, outcome):
            self.context.emit(Notice(text=text, warning=True))
        if outcome.quarantine:  # by what is wrong with the device, which is so for every sweep
            for peer in self._peers:
                peer.exclude_slot(slot, outcome.reason)
        if run.state is RunState.FAILED:
            self._end_if_hopeless(run)
        elif run.state is RunState.FINISHED:
            self._end_if_misnamed(run)
        self._end_if_nothing_works(run, outcome)

    def left(self, attempt: Attempt) -> None:
        """Take note that a worker is done with an attempt, however it ended."""
        if self._packer is not None:
            self._packer.left(self._store, attempt)
        with self._propose:
            self.context.held.pop(attempt.attempt_id, None)
            self.context.lease_ends.pop(attempt.attempt_id, None)
            self.running -= 1
        with self.context.changed:
            self.context.changed.notify_all()

    def _end_if_hopeless(self, run: RunRecord) -> None:
        """End the sweep when `run`, which just failed, is one of its first runs and all of them failed."""
        if not self.context.runs.all_failed(but=run.number):  # found at the first run that did not
            return
        states = [view.state for view in self.context.runs.views() if view.state.done and view.number != run.number]
        limit = self.context.settings.max_initial_failures
        if hopeless([*states, run.state], limit=limit):
            self._give_up(f"the first {len(states) + 1} runs all failed, the last with: {run.reason}", run)

    def _end_if_misnamed(self, run: RunRecord) -> None:
        """End the sweep when its first runs finished and none has a value of its metric, of which the engine learns."""
        objectives = [item for item in self._spec.objectives if item.name != RUNTIME]
        if self._end is not None or not objectives or self.context.runs.any_valued():
            return
        views = [view for view in self.context.runs.views() if view.state is RunState.FINISHED]
        if all(view.number != run.number for view in views):
            views = [*views, view_of(run)]
        why = misnamed(
            [item.name for item in objectives],
            [has_value(view) for view in views],
            sorted({*run.last_metrics, *run.best_metrics}),
            limit=self.context.settings.max_initial_failures,
            learns=self._spec.method in (Method.BAYES, Method.CUSTOM),
        )
        if why:
            self._end = Finish(complete=False, reason=why, given_up=True)

    def _end_if_nothing_works(self, run: RunRecord, outcome: AttemptOutcome) -> None:
        """End when the sweep is to be paused, when whatever is tried fails, or when no slot is left."""
        if outcome.pause_sweep:
            reason = f"paused: {outcome.reason}"
            self._end = Finish(complete=False, reason=reason, given_up=True)
            self.context.retry_while_unavailable(
                lambda: self._store.update_sweep(self._sweep.sweep_id, state=SweepState.PAUSED, reason=reason)
            )
        elif (why := self.context.slots.everything_fails) and self._end is None:
            self._give_up(f"{why}, the last with: {outcome.reason}", run)
        elif self.context.slots.none_left and self._end is None:
            self._give_up(f"every slot was quarantined, the last with: {outcome.reason}", run)

    def exclude_slot(self, slot: Slot, reason: str) -> None:
        """Use a slot no more that another sweep's runs found to be unusable."""
        self.context.slots.exclude(slot.index)
        if self.context.slots.none_left and self._end is None:
            self._end = Finish(
                complete=False, reason=f"every slot was quarantined, the last with: {reason}", given_up=True
            )

    def _give_up(self, reason: str, run: RunRecord) -> None:
        """End, and show the end of the last log once."""
        self._end = Finish(complete=False, reason=reason, given_up=True)
        if shown := str(run.outcome.get("log_tail", "")).strip():
            self.context.emit(Notice(text=f"the log of run {run.run_id} ends with:\n{shown}", warning=True))

    def check_target(self, values: Mapping[str, float]) -> None:
        """End the sweep when a run's values reach every target of its metrics; runs under way go on to their end."""
        aims = [(item, item.target) for item in self._spec.objectives if item.target is not None]
        if not aims or self._end is not None:
            return
        for item, target in aims:
            value = values.get(item.name)
            if value is None or not (value == target or item.goal.better(value, target)):
                return
        reached = "; ".join(f"target {target:g} reached: {item.name} is {values[item.name]:g}" for item, target in aims)
        self._end = Finish(complete=True, reason=reached)

    def _write_missing_results(self) -> None:
        """Write the result files that a kill between record and file left out."""
        self.context.place.paths.root.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        for run in self._store.runs(self._sweep.sweep_id):
            if run.reason.startswith(SET_ASIDE):
                self.context.warn_once(f"run {run.run_id} is {run.reason}")
                continue  # its file, if there is one, may be all that is known of it
            if run.state.done and not self.context.place.paths.result(run.run_id).exists():
                self.context.write_result(run)

    # -- beside the workers -------------------------------------------------------------------------------------------

    def _heartbeat(self) -> None:
        """Renew the leases of our attempts; one that may be another agent's after a whole lease ends itself."""
        renewed_at = time.monotonic()
        while not self._stopped.wait(self.context.settings.lease_s / 4):
            mine = list(self.context.held.values())
            asked_at = time.monotonic()
            try:
                lost = self._store.renew(mine, lease_s=self.context.settings.lease_s) if mine else []
                renewed_at = time.monotonic()
                if mine:
                    ours = [one for one in mine if one.attempt_id not in lost]
                    self.context.launcher.renew(self.context.note_lease(ours, asked_at=asked_at))
                    self.context.back()
                self._reclaimer.look()
            except RecordLostError as error:
                return self._lose_record(error)
            except StoreError as error:
                if self._stopped.is_set():
                    return
                self.context.away(error)
                lost = self._unrenewed(mine, renewed_at)
            self.context.orders.lost_leases = self.context.orders.lost_leases | frozenset(lost)

    def _unrenewed(self, mine: Sequence[Attempt], renewed_at: float) -> list[str]:
        """Let attempts go on whose leases cannot be renewed and that the record still calls ours.

        Args:
            mine: Our attempts.
            renewed_at: When leases were last renewed, in seconds of the monotonic clock.

        Returns:
            Those that are to end themselves: after a whole lease they may be another agent's.
        """
        lease_s, now = self.context.settings.lease_s, time.monotonic()
        if now - renewed_at <= lease_s / 2:
            return []
        lost = self._lost(mine)
        ours = [one for one in mine if one.attempt_id not in lost]
        self.context.launcher.renew(self.context.note_lease(ours, asked_at=now))
        return lost if time.monotonic() - renewed_at > lease_s else []

    def _lost(self, mine: Sequence[Attempt]) -> list[str]:
        """Return which of our attempts may be another agent's, when no lease could be renewed for its whole length.

        A database that can be read and not be written (its disk is full) refuses everybody's writes: what is ours there
        is ours. Of one that does not answer nobody knows.
        """
        try:
            live = {item.attempt_id: item.token for item in self._store.live_attempts(self._sweep.sweep_id)}
        except StoreError:
            live = {}
        return [item.attempt_id for item in mine if live.get(item.attempt_id) != item.token]

    def _watch_control(self) -> None:
        """Watch for commands to the sweep (see `control`), and its time budget; see to the record's main file."""
        before = checkpoint_at = time.monotonic()
        while not self._stopped.wait(self.look_every(CONTROL_PERIOD_S)):
            self.context.disk.full()
            now = time.monotonic()
            self._active_s += 0.0 if self.paused else now - before
            before = now
            budget = self._spec.extensions.time_budget_s
            if budget is not None and self._active_s >= budget:
                self.end(f"the time budget of {budget:g} s is used up")
            try:
                if (record := self._store.sweep(self._sweep.name)) is not None:
                    self._apply_command(record)
                if self._unsettled and now > checkpoint_at:
                    self._unsettled, checkpoint_at = False, now + _CHECKPOINT_S
                    self._store.checkpoint()
            except RecordLostError as error:
                return self._lose_record(error)
            except StoreError:
                pass  # the workers warn of it

    def _lose_record(self, error: RecordLostError) -> None:
        """Take no further run: nothing can be recorded any more. What runs is followed to its end, which is kept."""
        self.context.away(error)
        self._end = Finish(complete=False, reason=str(error), given_up=True)
        with self.context.changed:
            self.context.changed.notify_all()

    def _apply_command(self, record: SweepRecord) -> None:
        """Do what the sweep's state in the record asks; nothing once the agent ends, but end runs one by one."""
        self.context.orders.stopped = record.meta.get(STOP_ATTEMPTS, {})
        if self._ends() and record.state is not SweepState.CANCELLED:
            return
        emit, orders = self.context.emit, self.context.orders
        paused, self.paused = self.paused, record.state is SweepState.PAUSED
        if self.paused and not paused:
            goes_on = typed("resume", self._sweep.name, *place_words(self.context.place.paths.root.parent))
            emit(Notice(text=f"{self._sweep.name} {record.reason}: no run starts until {goes_on}", warning=True))
        elif paused and record.state is SweepState.RUNNING:
            emit(Notice(text=f"{self._sweep.name} goes on"))
        elif record.state is SweepState.FINISHED and self._end is None:
            # Either somebody said so, or another agent found that nothing is left.
            self._end = Finish(complete=record.reason != STOPPED, reason=record.reason)
        elif record.state is SweepState.CANCELLED and not orders.cancelled:
            self._end = Finish(complete=False, reason=record.reason, given_up=True)
            orders.cancelled = True
            emit(Notice(text=f"{self._sweep.name} {record.reason}: ending its running runs", warning=True))
        if self._end is not None or paused != self.paused:
            with self.context.changed:
                self.context.changed.notify_all()


def _values_of(view: RunView, spec: SweepSpec) -> list[dict[str, float]]:
    """Return what a run had of the metrics by name, moment by moment; with several objectives its vector alone."""
    if spec.metric is not None:
        values = [*view.history, *([] if view.summary is None else [view.summary])]
        return [{spec.metric.name: value} for value in values]
    vector = objectives_of(view, spec.metrics) if spec.metrics else None
    return [] if vector is None else [dict(zip((item.name for item in spec.metrics), vector, strict=True))]


def release_all(agent: Agent) -> None:
    """Release every run that an agent still holds: for an agent that ends by an error."""
    for attempt in list(agent.context.held.values()):
        with contextlib.suppress(Exception):
            agent.context.store.release(attempt, reason="its agent ended")
