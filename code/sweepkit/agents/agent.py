"""The agent of a host: it owns slots, asks for runs, executes them, reports and tells.

Any number of agents may work on one sweep; what they know of each other is the record. An agent may be killed at any
line: the next one continues from the record (`reclaim`), repeats nothing that finished and loses nothing.
"""

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sweepkit.agents.board import Board
from sweepkit.agents.flow import Flow
from sweepkit.agents.identity import agent_identity, host_name, surely_dead
from sweepkit.agents.launcher import LocalLauncher, await_fork_server, exited, kill_leftovers
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.results import write_result
from sweepkit.agents.slots import Slot
from sweepkit.agents.worker import Execution, Worker
from sweepkit.errors import StoreError
from sweepkit.scheduling.outcome import Outcome, hopeless
from sweepkit.search.base import Engine
from sweepkit.spec.events import Event, Notice, RunSeen
from sweepkit.spec.records import Attempt, LiveAttempt, RunRecord, SweepRecord, SweepState
from sweepkit.spec.runs import Exhausted, RunState, Wait
from sweepkit.spec.sweep import SweepSpec
from sweepkit.stopping.base import StoppingRule
from sweepkit.store.base import Store

T = TypeVar("T")
_INTERRUPT_WORDS = {
    1: "waiting for the running runs (Ctrl-C again ends them)",
    2: "ending the running runs",
    3: "killing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an agent works.

    Args:
        slots: What runs may occupy; one worker each.
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
        given_up: It ended because runs fail, whatever is tried.
    """

    complete: bool
    reason: str
    given_up: bool = False


class Agent:
    """Execute the runs of one sweep on this host. Use as: `Agent(...).run()`."""

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
        self.board = Board(store, sweep.sweep_id)
        self.interrupt_level = 0
        self._told_level = 0
        self.lost_leases: frozenset[str] = frozenset()
        self._propose = threading.Lock()
        self._changed = threading.Condition()
        self._mine: dict[str, Attempt] = {}
        self._counted: set[str] = set()
        self._errors: list[BaseException] = []
        self._end: Finish | None = None
        self._complained = ""
        self._reclaimed_at = float("-inf")
        self.flow = Flow(settings.slots)

    # -- its life -----------------------------------------------------------------------------------------------------

    def run(self) -> Finish:
        """Work until the sweep is finished, the count is reached, or `interrupt` was called.

        Must run in the main thread when Ctrl-C shall reach it. Raises whatever a worker met.
        """
        self._learn()
        self._write_missing_results()
        threads = [
            threading.Thread(target=Worker(self, slot).run, name=f"worker-{slot.index}") for slot in self.settings.slots
        ]
        heart = threading.Thread(target=self._beat, args=(stop := threading.Event(),), daemon=True, name="heartbeat")
        heart.start()
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)  # short, so that signal handlers run between
                    self._tell_interrupt()
        finally:
            stop.set()
            heart.join()
        if self._errors:
            raise self._errors[0]
        return self._settle()

    def interrupt(self) -> int:
        """Ask the agent to end; return the level reached: 1 waits for its runs, 2 terminates, 3 kills them.

        Safe in a signal handler: it only counts. `run` acts on it and tells.
        """
        self.interrupt_level = min(3, self.interrupt_level + 1)
        return self.interrupt_level

    def _tell_interrupt(self) -> None:
        """Tell the level that `interrupt` reached: not from the handler, which may have stopped us within the view."""
        if (level := self.interrupt_level) > self._told_level:
            self._told_level = level
            self.emit(Notice(text=_INTERRUPT_WORDS[level], warning=True))

    def _settle(self) -> Finish:
        """Put the sweep into its final state if nothing is left."""
        self._learn()
        counts = self.store.counts(self.sweep.sweep_id)
        unfinished = counts.get(RunState.PENDING, 0) + counts.get(RunState.RUNNING, 0)
        if self._end is not None and not self._end.complete and self._all_made():
            self._end = Finish(complete=True, reason=f"all {len(self.board)} runs of the sweep were made")
        if self._end is not None and self._end.complete and not unfinished:
            self.store.update_sweep(self.sweep.sweep_id, state=SweepState.FINISHED, reason=self._end.reason)
            return self._end
        if self.interrupt_level:
            return Finish(complete=False, reason="interrupted")
        if self._end is None:
            return Finish(complete=False, reason="stopped")
        return dataclasses.replace(self._end, complete=False)

    # -- what to do next ----------------------------------------------------------------------------------------------

    def next_attempt(self, slot: Slot) -> Attempt | None:
        """Return the next run to execute, None when this worker shall end. Waits while others hold what is left."""
        while not self.interrupt_level and not self._errors and slot.index not in self.flow.broken:
            with self._propose:
                if self._end is not None and self._may_end():
                    return None
                attempt = self._take(slot)
            if attempt is not None:
                return attempt
            if self._end is not None and self._may_end():
                return None
            with self._changed:
                self._changed.wait(0.2)
        return None

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
        self._reclaim()
        attempt = self.store.claim(
            self.sweep.sweep_id,
            agent_id=self.identity,
            host=self.host,
            lease_s=self.settings.lease_s,
            exclude=self.flow.not_for(slot),
        )
        if attempt is None and self._end is None:
            attempt = self._propose_run()
        if attempt is not None:
            self._mine[attempt.attempt_id] = attempt
            self._counted.add(attempt.run.run_id)
            self.board.begin(attempt.run)
        return attempt

    def _learn(self) -> None:
        """Take in what changed in the record: for the engine, the target, and what other agents did for the view."""
        for view in self.board.refresh():
            self.engine.tell(view)
            for value in (*view.history, *([] if view.summary is None else [view.summary])):
                self.check_target(value)  # a target that was reached, by whom and when ever, stays reached
            if view.run_id not in self._counted:
                self.emit(RunSeen(view=view))

    def _all_made(self) -> bool:
        """Return whether `count` ended just what run_cap or the space would have ended, too."""
        limits = [limit for limit in (self.engine.total(), self.spec.run_cap) if limit is not None]
        return self._count_reached() and bool(limits) and len(self.board) >= min(limits)

    def _count_reached(self) -> bool:
        return self.settings.count is not None and len(self._counted) >= self.settings.count

    def _propose_run(self) -> Attempt | None:
        """Ask the engine for a new run and claim it in the same transaction."""
        self._learn()
        if self._end is not None:
            return None
        number = len(self.board)
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

    def _reclaim(self) -> None:
        """Take back runs whose agent is known to be dead or whose lease is over; at most every quarter lease."""
        now = time.monotonic()
        if now - self._reclaimed_at < self.settings.lease_s / 4:
            return
        self._reclaimed_at = now
        for live in self.store.live_attempts(self.sweep.sweep_id):
            if live.attempt_id in self._mine:
                continue
            if not live.expired and not surely_dead(live.agent_id):
                continue
            if live.host == self.host:
                await_fork_server(live.agent_id)
                kill_leftovers(live.attempt_id)
            if live.host == self.host and self._recovered(live):
                continue
            why = "its agent died" if not live.expired else "its lease ran out"
            if self.store.lose(live.attempt_id, live.token, reason=why):
                self.emit(Notice(text=f"run {live.run_id} is taken up again: {why}"))

    def _recovered(self, live: LiveAttempt) -> bool:
        """Record an attempt of a dead agent that had ended by itself; False when nothing shows that it had."""
        try:
            facts = json.loads(self.place.paths.exit_file(live.attempt_id).read_text())
        except (OSError, ValueError):
            return False
        if facts["status"] < 0:
            return False  # killed: by whom and why, nobody knows any more
        run = next(run for run in self.store.runs(self.sweep.sweep_id) if run.run_id == live.run_id)
        attempt = Attempt(
            attempt_id=live.attempt_id, token=live.token, run=run, ordinal=run.attempts, lease_until=live.lease_until
        )
        self.emit(Notice(text=f"run {live.run_id} had ended when its agent died: its result is taken over"))
        Execution(self, self.settings.slots[0], attempt).recover(exited(facts))
        return True

    # -- told by workers ----------------------------------------------------------------------------------------------

    def ended(self, run: RunRecord, slot: Slot, outcome: Outcome) -> None:
        """Take note that an attempt of ours is recorded as ended, and draw what follows from it."""
        for attempt_id in [key for key, attempt in self._mine.items() if attempt.run.run_id == run.run_id]:
            self._mine.pop(attempt_id, None)
        for text in self.flow.ended(run.run_id, slot, outcome):
            self.emit(Notice(text=text, warning=True))
        if run.state is RunState.FAILED:
            self._end_if_hopeless(run)
        self._end_if_flow_stops(run, outcome)
        with self._changed:
            self._changed.notify_all()

    def _end_if_hopeless(self, run: RunRecord) -> None:
        """End the sweep when `run`, which just failed, is one of its first runs and all of them failed."""
        states = [view.state for view in self.board.views() if view.state.done and view.number != run.number]
        limit = self.settings.max_initial_failures
        if hopeless([*states, run.state], limit=limit):
            self._give_up(f"the first {len(states) + 1} runs all failed, the last with: {run.reason}", run)

    def _end_if_flow_stops(self, run: RunRecord, outcome: Outcome) -> None:
        """End when the sweep is to be paused, when whatever is tried fails, or when no slot is left."""
        if outcome.pause_sweep:
            reason = f"paused: {outcome.reason}"
            self.patiently(lambda: self.store.update_sweep(self.sweep.sweep_id, state=SweepState.PAUSED, reason=reason))
            self._end = Finish(complete=False, reason=reason, given_up=True)
        elif self.flow.everything_fails and self._end is None:
            self._give_up(f"{self.flow.everything_fails}, the last with: {outcome.reason}", run)
        elif len(self.flow.broken) == len(self.settings.slots) and self._end is None:
            self._give_up(f"every slot was taken out, the last with: {outcome.reason}", run)

    def _give_up(self, reason: str, run: RunRecord) -> None:
        """End, and show the end of the last log once."""
        self._end = Finish(complete=False, reason=reason, given_up=True)
        if shown := str(run.outcome.get("log_tail", "")).strip():
            self.emit(Notice(text=f"the log of run {run.run_id} ends with:\n{shown}", warning=True))

    def has_other_slot(self, slot: Slot) -> bool:
        """Return whether a run could be tried on a slot with other devices than this one's."""
        return self.flow.has_other(slot)

    def check_target(self, value: float) -> None:
        """End the sweep when the metric's target is reached; runs under way go on to their end."""
        metric = self.spec.metric
        if metric is None or metric.target is None or self._end is not None:
            return
        if value == metric.target or metric.goal.better(value, metric.target):
            self._end = Finish(complete=True, reason=f"target {metric.target:g} reached: {metric.name} is {value:g}")

    def failed(self, error: BaseException) -> None:
        """Keep what a worker met; the others end after their runs."""
        self._errors.append(error)

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
                self.complain(f"the record cannot be written, trying again: {error}")
                with self._changed:
                    self._changed.wait(1.0)

    # -- leases -------------------------------------------------------------------------------------------------------

    def _beat(self, stop: threading.Event) -> None:
        """Renew the leases of our attempts; an attempt that cannot be renewed for a whole lease ends itself."""
        renewed_at = time.monotonic()
        while not stop.wait(self.settings.lease_s / 4):
            mine = list(self._mine.values())
            try:
                lost = self.store.renew(mine, lease_s=self.settings.lease_s) if mine else []
                renewed_at = time.monotonic()
            except StoreError as error:
                self.complain(f"leases cannot be renewed: {error}")
                overdue = time.monotonic() - renewed_at > self.settings.lease_s
                lost = [attempt.attempt_id for attempt in mine] if overdue else []
            self.lost_leases = self.lost_leases | frozenset(lost)


def release_all(agent: Agent) -> None:
    """Give back every run that an agent still holds: for an agent that ends by an error."""
    for attempt in list(agent._mine.values()):
        with contextlib.suppress(Exception):
            agent.store.release(attempt, reason="its agent ended")
