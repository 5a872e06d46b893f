"""`wandb agent` processes, one for each slot: started, watched, started again when they die, ended in three tiers.

W&B's server decides which run comes next; each agent asks it, and makes one run at a time. This module sees processes
and files only: how many runs an agent began is the number of parameter files that it wrote, and what belongs to a slot
is whatever carries its marker in its environment. So nothing is lost with this process: the agents of a runner that was
killed go on, and the next runner of the same folder takes them over. Nor with an agent: its run goes on, and the slot
waits for it before another agent is started there.
"""

import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweepkit.agents.descent import send
from sweepkit.agents.isolation import isolating_environment, remove_temp_dir
from sweepkit.agents.slots import Slot
from sweepkit.model.events import Event, Notice
from sweepkit.wandb.agent_process import (
    Command,
    Order,
    PlacedProcess,
    describe_exit,
    give_up_reason,
    interrupt_pending,
    is_service,
    place_of,
)

_CHECK_S = 1.0
_BETWEEN_SIGNALS_S = 0.5  # Python takes two that come at once for one
_LONGEST_REST_S = 30.0
INTERRUPTED = "interrupted"
NO_MORE = "W&B has no further run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is done in a call.

    Args:
        count: Runs of all agents together; None for as many as W&B has.
        runs_per_worker: Runs of one slot; None for no limit.
        restarts: How often in a row an agent may die without having ended a run, before its slot is given up.
        stagger_s: Seconds between the first starts of neighbouring slots.
        kill_delay_s: Seconds between the second tier (terminate) and SIGKILL.
    """

    count: int | None = None
    runs_per_worker: int | None = None
    restarts: int = 3
    stagger_s: float = 0.0
    kill_delay_s: float = 30.0


class AgentSlot:
    """A slot and what goes on in it. `closed` says why nothing more is started there, "" while something may be.

    Attributes:
        process: The agent.
        share: The runs that the agent was started for, None for any number.
        before: The slot's runs when the agent was started.
        made: The runs of this call's earlier agents.
        deaths: Agents that died in a row.
        lingering: The agent is gone, its run goes on.
        asked: Since when W&B is asked what it wants, None when it is not.
        signals: How many interrupts the agent got.
    """

    def __init__(self, command: Command, slot: Slot, not_before: float) -> None:
        self.slot = slot
        self.process = PlacedProcess(command, place_of(slot))
        self.not_before = not_before
        self.share: int | None = None
        self.before: frozenset[str] = frozenset()
        self.made = 0
        self.deaths = 0
        self.lingering = False
        self.checked_at = -math.inf
        self.asked: float | None = None
        self.died = False
        self.signals = 0
        self.signalled_at = -math.inf
        self.closed = ""
        self.gave_up = False

    @property
    def busy(self) -> bool:
        """Return whether anything runs in the slot."""
        return self.process.runs or self.lingering


class WandbAgents:
    """Keep one agent in each slot until W&B, the limits or Ctrl-C end it. Call `tick` often; it never blocks.

    Args:
        command: What is started.
        slots: Where.
        limits: How much.
        order: What W&B wants, as known at a moment of the monotonic clock or later; None while nobody knows.
        emit: Takes what the user should know.
    """

    def __init__(
        self,
        command: Command,
        slots: Sequence[Slot],
        *,
        limits: Limits,
        order: Callable[[float], Order | None],
        emit: Callable[[Event], None],
    ) -> None:
        self.command = command
        self.limits = limits
        self.interrupt_level = 0
        self._order = order
        self._emit = emit
        self._no_more = ""
        self._terminated_at = math.inf
        began = time.monotonic()
        self.agent_slots = [AgentSlot(command, slot, began + slot.index * limits.stagger_s) for slot in slots]

    # -- what the caller asks -----------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take over what a killed runner of this folder left; once, before the first `tick`."""
        for agent in self.agent_slots:
            agent.before = self.command.run_ids(agent.slot)
            if agent.process.adopt():
                self._notify(agent, f"the agent of an earlier call (process {agent.process.pid}) is taken over")
            elif self._processes(agent):
                agent.lingering = True
                self._notify(agent, "a run of an earlier call goes on; the slot waits for it")

    def tick(self) -> bool:
        """Do what is due; return whether anything is left to do."""
        now = time.monotonic()
        for agent in self.agent_slots:
            self._pass_signal(agent, now)
            if agent.process.runs:
                self._poll(agent, now)
            elif agent.lingering:
                self._await_leftovers(agent, now)
            elif agent.closed:
                continue
            elif self.interrupt_level or self._no_more:
                agent.closed = INTERRUPTED if self.interrupt_level else self._no_more
            elif agent.asked is not None:
                self._apply_order(agent)
            elif now >= agent.not_before:
                self._start(agent)
        if now - self._terminated_at > self.limits.kill_delay_s:
            self.kill()
        return any(agent.busy or not agent.closed for agent in self.agent_slots)

    def interrupt(self) -> int:
        """Ask for the next tier: 1 waits for the running runs, 2 terminates, 3 kills them. Safe in a signal handler."""
        self.interrupt_level = min(3, self.interrupt_level + 1)
        return self.interrupt_level

    def end(self, reason: str) -> None:
        """Start no further run; those that run go on to their end."""
        self._no_more = self._no_more or reason

    def drain(self, reason: str) -> None:
        """Start no further run, and have the agents that go on ask for none: W&B's own end after their run."""
        self.end(reason)
        for agent in self.agent_slots:
            if agent.process.runs and not agent.signals:
                agent.signals, agent.signalled_at = 1, time.monotonic()
                send(agent.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill everything of every slot, at once."""
        for agent in self.agent_slots:
            agent.process.kill()

    @property
    def busy(self) -> bool:
        """Return whether anything runs in any slot."""
        return any(agent.busy for agent in self.agent_slots)

    @property
    def reasons(self) -> list[str]:
        """Return why slots are closed, each reason once."""
        return list(dict.fromkeys(agent.closed for agent in self.agent_slots if agent.closed))

    @property
    def given_up(self) -> bool:
        """Return whether every slot was given up because its agents died or its runs failed."""
        return all(agent.gave_up for agent in self.agent_slots)

    # -- an agent's life ----------------------------------------------------------------------------------------------

    def _start(self, agent: AgentSlot) -> None:
        share = self._share(agent)
        if share == 0:
            agent.closed = self._limit_reached(agent)
            return  # another agent may die and leave its share
        command = self.command
        agent.share, agent.before, agent.signals, agent.died = share, command.run_ids(agent.slot), 0, False
        counted = [] if share is None else ["--count", str(share)]
        agent.process.start(
            [*command.agent, *counted, command.sweep],
            cwd=command.cwd,
            env={**agent.slot.environment(command.env), **self._isolation(agent)},
        )

    def _isolation(self, agent: AgentSlot) -> dict[str, str]:
        """Return what keeps a slot's runs apart from those beside them: temporary files, compilers' caches, ports."""
        cache = self.command.folder.parent / "cache"
        return isolating_environment(
            self.command.temp_name(agent.process.place), agent.slot.index, cache=cache, inherited=self.command.env
        )

    def _poll(self, agent: AgentSlot, now: float) -> None:
        ended, code = agent.process.poll()
        if not ended:
            return
        made = len(self.command.run_ids(agent.slot) - agent.before)
        agent.made += made
        share, agent.share = agent.share, None
        agent.before = self.command.run_ids(agent.slot)
        self._ended(agent, code, made, full=share is not None and made >= share)
        agent.asked = now if agent.asked is not None else None

    def _ended(self, agent: AgentSlot, code: int | None, made: int, *, full: bool) -> None:
        """Work out what an agent's end means for its slot."""
        text = agent.process.log_tail()
        if code:
            agent.lingering = True
            if self.interrupt_level or self._no_more:
                return
            agent.died, agent.asked = True, 0.0
            agent.deaths = 1 if made > 1 else agent.deaths + 1
            words = describe_exit(code, text)
            if agent.deaths > self.limits.restarts:
                return self._give_up(agent, f"its agent died {agent.deaths} times in a row; the last one {words}")
            agent.not_before = time.monotonic() + min(_LONGEST_REST_S, 2.0 ** (agent.deaths - 1))
            return self._notify(agent, f"its agent {words}; another one is started", warning=True)
        agent.deaths = 0
        remove_temp_dir(self.command.temp_name(agent.process.place))
        if code == 0 and (why := give_up_reason(text)):
            return self._give_up(agent, f"W&B's agent gave up: {why} See {agent.process.log}")
        if not full:
            agent.asked = 0.0
        return None

    def _apply_order(self, agent: AgentSlot) -> None:
        """Go on, wait or close, as W&B wants it of a slot whose agent has ended before its share was done."""
        assert agent.asked is not None
        order = self._order(agent.asked)
        if order is None:
            return
        if order is Order.PAUSE:
            agent.asked, agent.died = time.monotonic(), True  # when it goes on, so does the slot
        elif order is Order.WORK and agent.died:
            agent.asked = None
        else:
            agent.closed = NO_MORE

    def _await_leftovers(self, agent: AgentSlot, now: float) -> None:
        """Let a run whose agent is gone end by itself: it reports its end to W&B without its agent."""
        if now - agent.checked_at < _CHECK_S:
            return
        agent.checked_at = now
        pids = self._processes(agent)
        if not pids:
            agent.lingering = False
            remove_temp_dir(self.command.temp_name(agent.process.place))
        elif self.interrupt_level >= 2:
            for pid in pids:
                send(pid, signal.SIGTERM)

    def _pass_signal(self, agent: AgentSlot, now: float) -> None:
        """Pass a Ctrl-C on to an agent, which counts them as we do; one after the other, for signals do not queue."""
        if self.interrupt_level >= 2 and self._terminated_at == math.inf:
            self._terminated_at = now
        if self.interrupt_level >= 3 and agent.signals < 3:
            agent.signals = 3
            agent.process.kill()
        if agent.signals >= self.interrupt_level or now - agent.signalled_at < _BETWEEN_SIGNALS_S:
            return
        if agent.process.runs and interrupt_pending(agent.process.pid):
            return
        agent.signals, agent.signalled_at = agent.signals + 1, now
        if agent.process.runs:
            send(agent.process.pid, signal.SIGINT)

    # -- limits -------------------------------------------------------------------------------------------------------

    def _share(self, agent: AgentSlot) -> int | None:
        """Return how many runs an agent is started for: None for any number, 0 for none now.

        With a limit over all slots, half of an even part of what is left (guided self-scheduling: Polychronopoulos and
        Kuck 1987, with a factor): whoever is fast comes back for more, and nobody ends much later than the others.
        """
        own = None if self.limits.runs_per_worker is None else self.limits.runs_per_worker - agent.made
        if self.limits.count is None:
            return own
        left = self.limits.count - sum(self._taken(other) for other in self.agent_slots)
        agent_slots = sum(not other.closed for other in self.agent_slots)
        part = left if agent_slots <= 1 else math.ceil(left / (2 * agent_slots))
        return max(0, min(part, left if own is None else own))

    def _taken(self, agent: AgentSlot) -> int:
        """Return how many runs a slot has made, or will make, of those that `count` allows."""
        if not agent.process.runs:
            return agent.made
        begun = len(self.command.run_ids(agent.slot) - agent.before)
        return agent.made + (begun if agent.share is None else agent.share)

    def _limit_reached(self, agent: AgentSlot) -> str:
        """Return the limit by which nothing can be left for a slot that has nothing now, "" while something may be."""
        own = self.limits.runs_per_worker
        if own is not None and agent.made >= own:
            return f"--runs-per-worker {own} reached"
        busy = any(other.busy for other in self.agent_slots)
        return "" if busy else f"--count {self.limits.count} reached"

    # -- words --------------------------------------------------------------------------------------------------------

    def _processes(self, agent: AgentSlot) -> list[int]:
        """Return the processes of a slot, W&B's own helper left out."""
        return [pid for pid in agent.process.pids() if not is_service(pid)]

    def _give_up(self, agent: AgentSlot, reason: str) -> None:
        agent.closed, agent.gave_up, agent.asked = reason, True, None
        self._notify(agent, f"{reason}; the slot gets no further run", warning=True)

    def _notify(self, agent: AgentSlot, text: str, *, warning: bool = False) -> None:
        self._emit(Notice(text=f"[{agent.slot.device}] {text}", warning=warning))
