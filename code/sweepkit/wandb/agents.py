"""`wandb agent` processes, one for each slot: started, watched, started again when they die, ended in three tiers.

W&B's server decides which run comes next; each agent asks it, and makes one run at a time. This module sees processes
and files only: how many runs an agent began is the number of parameter files that it wrote, and what belongs to a slot
is whatever carries its marker in its environment. So nothing is lost with this process: the agents of a runner that was
killed go on, and the next runner of the same folder takes them over. Nor with an agent: its run goes on, and the slot
waits for it before another agent is started there.
"""

import math
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweepkit.agents.identity import agent_identity, surely_alive
from sweepkit.agents.isolation import isolating_environment, remove_temp_dir
from sweepkit.agents.launcher import carriers
from sweepkit.agents.slots import Slot
from sweepkit.model.events import Event, Notice
from sweepkit.wandb.agent_process import (
    Command,
    Order,
    ending,
    interrupt_pending,
    is_agent,
    is_service,
    place_of,
    said,
    send,
    why_gave_up,
)

_LOOK_S = 1.0
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


class Seat:
    """A slot and what goes on in it. `closed` says why nothing more is started there, "" while something may be.

    Attributes:
        process: The agent, when this process started it.
        adopted: The identity of an agent that an earlier runner started, else "".
        share: The runs that the agent was started for, None for any number.
        before: The slot's runs when the agent was started.
        made: The runs of this call's earlier agents.
        deaths: Agents that died in a row.
        lingering: The agent is gone, its run goes on.
        asked: Since when W&B is asked what it wants, None when it is not.
        told: How many interrupts the agent got.
    """

    def __init__(self, slot: Slot, not_before: float) -> None:
        self.slot = slot
        self.place = place_of(slot)
        self.not_before = not_before
        self.process: subprocess.Popen[bytes] | None = None
        self.adopted = ""
        self.pid = 0
        self.share: int | None = None
        self.before: frozenset[str] = frozenset()
        self.log_from = 0
        self.made = 0
        self.deaths = 0
        self.lingering = False
        self.looked_at = -math.inf
        self.asked: float | None = None
        self.died = False
        self.told = 0
        self.told_at = -math.inf
        self.closed = ""
        self.gave_up = False

    @property
    def runs(self) -> bool:
        """Return whether an agent runs."""
        return self.process is not None or bool(self.adopted)

    @property
    def busy(self) -> bool:
        """Return whether anything runs in the slot."""
        return self.runs or self.lingering


class WandbAgents:
    """Keep one agent in each slot until W&B, the limits or Ctrl-C end it. Call `tick` often; it never blocks.

    Args:
        command: What is started.
        slots: Where.
        limits: How much.
        order: What W&B wants, as heard at a moment of the monotonic clock or later; None while nobody knows.
        emit: Told what the user should know.
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
        self.seats = [Seat(slot, began + slot.index * limits.stagger_s) for slot in slots]

    # -- what the caller asks -----------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take over what a killed runner of this folder left; once, before the first `tick`."""
        for seat in self.seats:
            pids = self._processes(seat)
            agents = [pid for pid in pids if is_agent(pid)]
            seat.before = self.command.begun(seat.slot)
            if agents:
                seat.pid, seat.adopted = agents[0], agent_identity(agents[0])
                self._tell(seat, f"the agent of an earlier call (process {agents[0]}) is taken over")
            elif pids:
                seat.lingering = True
                self._tell(seat, "a run of an earlier call goes on; the slot waits for it")

    def tick(self) -> bool:
        """Do what is due; return whether anything is left to do."""
        now = time.monotonic()
        for seat in self.seats:
            self._pass_on(seat, now)
            if seat.runs:
                self._poll(seat, now)
            elif seat.lingering:
                self._await_leftovers(seat, now)
            elif seat.closed:
                continue
            elif self.interrupt_level or self._no_more:
                seat.closed = INTERRUPTED if self.interrupt_level else self._no_more
            elif seat.asked is not None:
                self._obey(seat)
            elif now >= seat.not_before:
                self._start(seat)
        if now - self._terminated_at > self.limits.kill_delay_s:
            self.kill()
        return any(seat.busy or not seat.closed for seat in self.seats)

    def interrupt(self) -> int:
        """Ask for the next tier: 1 waits for the running runs, 2 terminates, 3 kills them. Safe in a signal handler."""
        self.interrupt_level = min(3, self.interrupt_level + 1)
        return self.interrupt_level

    def end(self, reason: str) -> None:
        """Start no further run; those that run go on to their end."""
        self._no_more = self._no_more or reason

    def kill(self) -> None:
        """Kill everything of every slot, at once."""
        for seat in self.seats:
            for pid in carriers(self.command.marker(seat.place)):
                send(pid, signal.SIGKILL)

    @property
    def reasons(self) -> list[str]:
        """Return why slots are closed, each reason once."""
        return list(dict.fromkeys(seat.closed for seat in self.seats if seat.closed))

    @property
    def given_up(self) -> bool:
        """Return whether every slot was given up because its agents died or its runs failed."""
        return all(seat.gave_up for seat in self.seats)

    # -- an agent's life ----------------------------------------------------------------------------------------------

    def _start(self, seat: Seat) -> None:
        share = self._share(seat)
        if share == 0:
            if self._limit_holds(seat):
                seat.closed = self._limit_words(seat)
            return  # another agent may die and leave its share
        command = self.command
        log = command.log(seat.place)
        command.wandb_dir(seat.place).mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        seat.share, seat.before, seat.told, seat.died = share, command.begun(seat.slot), 0, False
        counted = [] if share is None else ["--count", str(share)]
        with open(log, "ab") as out:
            seat.log_from = out.tell()
            seat.process = subprocess.Popen(
                [*command.agent, *counted, command.sweep],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=command.cwd,
                env={**command.environment(seat.place), **seat.slot.environment(command.env), **self._apart(seat)},
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on, tier by tier
            )
        seat.pid = seat.process.pid

    def _apart(self, seat: Seat) -> dict[str, str]:
        """Return what keeps a slot's runs apart from those beside them: temporary files, compilers' caches, ports."""
        cache = self.command.folder.parent / "cache"
        return isolating_environment(self._temp_name(seat), seat.slot.index, cache=cache, inherited=self.command.env)

    def _temp_name(self, seat: Seat) -> str:
        return f"{self.command.sweep.rpartition('/')[2]}-{seat.place}"

    def _poll(self, seat: Seat, now: float) -> None:
        if seat.adopted:
            if surely_alive(seat.adopted):
                return
            code: int | None = None  # not our child: nobody tells
        elif seat.process is not None:
            code = seat.process.poll()
            if code is None:
                return
        made = len(self.command.begun(seat.slot) - seat.before)
        seat.made += made
        share, seat.share = seat.share, None
        seat.process, seat.adopted, seat.before = None, "", self.command.begun(seat.slot)
        self._ended(seat, code, made, full=share is not None and made >= share)
        seat.asked = now if seat.asked is not None else None

    def _ended(self, seat: Seat, code: int | None, made: int, *, full: bool) -> None:
        """Work out what an agent's end means for its slot."""
        text = said(self.command.log(seat.place), seat.log_from)
        if code:
            seat.lingering = True
            if self.interrupt_level:
                return
            seat.died, seat.asked = True, 0.0
            seat.deaths = 1 if made > 1 else seat.deaths + 1
            words = ending(code, text)
            if seat.deaths > self.limits.restarts:
                return self._give_up(seat, f"its agent died {seat.deaths} times in a row; the last one {words}")
            seat.not_before = time.monotonic() + min(_LONGEST_REST_S, 2.0 ** (seat.deaths - 1))
            return self._tell(seat, f"its agent {words}; another one is started", warning=True)
        seat.deaths = 0
        remove_temp_dir(self._temp_name(seat))
        if code == 0 and (why := why_gave_up(text)):
            return self._give_up(seat, f"W&B's agent gave up: {why} See {self.command.log(seat.place)}")
        if not full:
            seat.asked = 0.0
        return None

    def _obey(self, seat: Seat) -> None:
        """Go on, wait or close, as W&B wants it of a slot whose agent has ended before its share was done."""
        assert seat.asked is not None
        order = self._order(seat.asked)
        if order is None:
            return
        if order is Order.PAUSE:
            seat.asked, seat.died = time.monotonic(), True  # when it goes on, so does the slot
        elif order is Order.WORK and seat.died:
            seat.asked = None
        else:
            seat.closed = NO_MORE

    def _await_leftovers(self, seat: Seat, now: float) -> None:
        """Let a run whose agent is gone end by itself: it tells W&B of its end without its agent."""
        if now - seat.looked_at < _LOOK_S:
            return
        seat.looked_at = now
        pids = self._processes(seat)
        if not pids:
            seat.lingering = False
            remove_temp_dir(self._temp_name(seat))
        elif self.interrupt_level >= 2:
            for pid in pids:
                send(pid, signal.SIGTERM)

    def _pass_on(self, seat: Seat, now: float) -> None:
        """Pass a Ctrl-C on to an agent, which counts them as we do; one after the other, for signals do not queue."""
        if self.interrupt_level >= 2 and self._terminated_at == math.inf:
            self._terminated_at = now
        if self.interrupt_level >= 3 and seat.told < 3:
            seat.told = 3
            for pid in carriers(self.command.marker(seat.place)):
                send(pid, signal.SIGKILL)
        if seat.told >= self.interrupt_level or now - seat.told_at < _BETWEEN_SIGNALS_S:
            return
        if seat.runs and interrupt_pending(seat.pid):
            return
        seat.told, seat.told_at = seat.told + 1, now
        if seat.runs:
            send(seat.pid, signal.SIGINT)

    # -- limits -------------------------------------------------------------------------------------------------------

    def _share(self, seat: Seat) -> int | None:
        """Return how many runs an agent is started for: None for any number, 0 for none now.

        With a limit over all slots, half of an even part of what is left (guided self-scheduling: Polychronopoulos and
        Kuck 1987, with a factor): whoever is fast comes back for more, and nobody ends much later than the others.
        """
        own = None if self.limits.runs_per_worker is None else self.limits.runs_per_worker - seat.made
        if self.limits.count is None:
            return own
        left = self.limits.count - sum(self._taken(other) for other in self.seats)
        seats = sum(not other.closed for other in self.seats)
        part = left if seats <= 1 else math.ceil(left / (2 * seats))
        return max(0, min(part, left if own is None else own))

    def _taken(self, seat: Seat) -> int:
        """Return how many runs a slot has made, or will make, of those that `count` allows."""
        if not seat.runs:
            return seat.made
        begun = len(self.command.begun(seat.slot) - seat.before)
        return seat.made + (begun if seat.share is None else seat.share)

    def _limit_holds(self, seat: Seat) -> bool:
        """Return whether nothing can be left for a slot that has nothing now."""
        if self.limits.runs_per_worker is not None and seat.made >= self.limits.runs_per_worker:
            return True
        return not any(other.busy for other in self.seats)

    def _limit_words(self, seat: Seat) -> str:
        if self.limits.runs_per_worker is not None and seat.made >= self.limits.runs_per_worker:
            return f"--runs-per-worker {self.limits.runs_per_worker} reached"
        return f"--count {self.limits.count} reached"

    # -- words --------------------------------------------------------------------------------------------------------

    def _processes(self, seat: Seat) -> list[int]:
        """Return the processes of a slot, W&B's own helper left out."""
        return [pid for pid in carriers(self.command.marker(seat.place)) if not is_service(pid)]

    def _give_up(self, seat: Seat, reason: str) -> None:
        seat.closed, seat.gave_up, seat.asked = reason, True, None
        self._tell(seat, f"{reason}; the slot gets no further run", warning=True)

    def _tell(self, seat: Seat, text: str, *, warning: bool = False) -> None:
        self._emit(Notice(text=f"[{seat.slot.device}] {text}", warning=warning))
