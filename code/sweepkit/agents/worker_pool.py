"""The workers of a host: a thread for each slot, which serves whichever sweep has the fewest runs under way.

The threads run no user code; that runs only in attempts. One pool, one fork server: heavy imports are warm once, for
all workers and all sweeps.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweepkit.agents.agent import Agent, Finish
from sweepkit.agents.gpu_memory import MemoryGate
from sweepkit.agents.gpu_packer import GpuPacker
from sweepkit.agents.isolation import remove_spares
from sweepkit.agents.slots import Slot
from sweepkit.errors import RecordLostError, StoreError
from sweepkit.model.events import Event, Notice
from sweepkit.store.base import Attempt

_IDLE_S = 0.2
_INTERRUPT_WORDS = {
    1: "waiting for the running runs (Ctrl-C again ends them)",
    2: "ending the running runs",
    3: "killing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSchedule:
    """When workers may begin.

    Args:
        stagger_s: Seconds between the first starts of neighbouring slots, >= 0.
        delay_s: Seconds that a worker rests between two runs, >= 0.
        runs_per_worker: At most this many runs on each slot in this call; None for no limit.
    """

    stagger_s: float = 0.0
    delay_s: float = 0.0
    runs_per_worker: int | None = None


class WorkerPool:
    """Keep the slots of a host busy with the runs of one sweep or several.

    Args:
        agents: One for each sweep; they share this pool's slots.
        slots: What runs may occupy; one worker each.
        schedule: When workers may begin.
        gate: Asks for the memory of a GPU before a run is put on it; None never asks.
        packer: Says what slots that pack get; None where there are none.
        notify: Takes what concerns all sweeps.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        slots: Sequence[Slot],
        *,
        schedule: StartSchedule,
        gate: MemoryGate | None,
        notify: Callable[[Event], None],
        packer: GpuPacker | None = None,
    ) -> None:
        self.agents = tuple(agents)
        self.slots = tuple(slots)
        self.interrupt_level = 0
        self._schedule = schedule
        self._gate = gate
        self._packer = packer
        self._notify = notify
        self._notified_level = 0
        self._began = time.monotonic()
        self._choose = threading.Lock()
        self._changed = threading.Condition()
        self._errors: list[BaseException] = []
        for agent in self.agents:
            agent.join([peer for peer in self.agents if peer is not agent], self._changed, packer=packer)

    def run(self) -> list[Finish]:
        """Work until every sweep is over or `interrupt` was called; return how each ended, in the order of the agents.

        Must run in the main thread when Ctrl-C shall reach it. Raises whatever a worker met.
        """
        threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"worker-{slot.index}") for slot in self.slots
        ]
        try:
            for agent in self.agents:
                agent.open()
            self._began = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)  # short, so that signal handlers run between
                    self._notify_interrupt()
        finally:
            for agent in self.agents:
                agent.close()
            remove_spares()
        if self._errors:
            raise self._errors[0]
        return [agent.finalize() for agent in self.agents]

    def interrupt(self) -> int:
        """Ask all agents to end; return the level reached: 1 waits for their runs, 2 terminates, 3 kills them.

        Safe in a signal handler: it only counts. `run` acts on it and notifies.
        """
        self.interrupt_level = min(3, self.interrupt_level + 1)
        for agent in self.agents:
            agent.context.orders.interrupt_level = self.interrupt_level
        return self.interrupt_level

    def _notify_interrupt(self) -> None:
        """Show the level that `interrupt` reached: not from the handler, which may have stopped us within the view."""
        if (level := self.interrupt_level) > self._notified_level:
            self._notified_level = level
            self._notify(Notice(text=_INTERRUPT_WORDS[level], warning=True))

    # -- one worker ---------------------------------------------------------------------------------------------------

    def _work(self, slot: Slot) -> None:
        """Keep one slot busy until nothing is left for it."""
        made = 0
        may_begin = self._began + slot.index * self._schedule.stagger_s
        try:
            while (job := self._next(slot, may_begin)) is not None:
                agent, attempt = job
                try:
                    agent.execution(slot, attempt, gate=self._gate).run()
                finally:
                    agent.left(attempt)
                made += 1
                if made == self._schedule.runs_per_worker:
                    return self._satisfied(slot)
                may_begin = time.monotonic() + self._schedule.delay_s
        except BaseException as error:  # the main thread raises it; the others end after their runs
            self._errors.append(error)

    def _satisfied(self, slot: Slot) -> None:
        """Leave, and say so to the agents when nobody is left who could go on."""
        with self._choose:
            self.slots = tuple(item for item in self.slots if item.index != slot.index)
            if not self.slots:
                for agent in self.agents:
                    agent.end(f"--runs-per-worker {self._schedule.runs_per_worker} reached")

    def _next(self, slot: Slot, may_begin: float) -> tuple[Agent, Attempt] | None:
        """Return the next run to execute and whose it is, None when this worker shall end. Waits for either."""
        away_since: float | None = None
        while not self._errors and not self.interrupt_level:
            wait_s = _IDLE_S
            try:
                usable = [a for a in self.agents if slot.index not in a.context.slots.quarantined and not a.over()]
                if not usable:
                    return None
                wait_s = min(agent.idle_for(_IDLE_S) for agent in usable)
                rest_s = may_begin - time.monotonic()
                if rest_s > 0:
                    wait_s = min(wait_s, rest_s)
                elif self._admits(slot):
                    if (job := self._take(slot, usable)) is not None:
                        return job
                away_since = None
            except StoreError as error:
                away_since = self._tolerate_outage(error, away_since)
                wait_s = 1.0
            with self._changed:
                self._changed.wait(wait_s)
        return None

    def _admits(self, slot: Slot) -> bool:
        """Return whether a run may be looked for: the slot's GPUs have room, as far as anybody knows."""
        if slot.packs and self._packer is not None:
            return self._packer.admits(slot, self._gate, self._notify)
        return self._gate is None or self._gate.admits(slot, self._notify)

    def _take(self, slot: Slot, usable: list[Agent]) -> tuple[Agent, Attempt] | None:
        """Take a run of the sweep with the fewest under way, then the fewest so far; the first one among equals."""
        with self._choose:
            for agent in sorted(usable, key=lambda item: (item.running, item.taken)):
                if (attempt := agent.take(slot)) is not None:
                    return agent, attempt
        return None

    def _tolerate_outage(self, error: StoreError, away_since: float | None) -> float:
        """Wait for a database that is away, for the length of a lease; return since when. Then raises the error.

        A record that is lost raises at once.

        While a run is under way it is waited for longer: this call will not end before that run is recorded.
        """
        now = time.monotonic()
        since = now if away_since is None else away_since
        patience_s = min(agent.context.settings.lease_s for agent in self.agents)
        waits = now - since <= patience_s or any(agent.context.held for agent in self.agents)
        if isinstance(error, RecordLostError) or not waits:
            raise error
        self.agents[0].context.away(error)
        return since
