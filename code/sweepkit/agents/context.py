"""What an agent and the attempts that it executes share: the record, the place, the rule, the launcher, what to obey.

Whoever executes or recovers an attempt is handed this, and an `AttemptListener` for what its end means for the sweep;
it never sees the agent.
"""

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sweepkit.agents.identity import agent_identity, host_name
from sweepkit.agents.launcher import AttemptLauncher
from sweepkit.agents.packages import PackageVersions
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.results import carried_files, write_result
from sweepkit.agents.run_cache import RunCache
from sweepkit.agents.slot_policy import DiskWatch, SlotPolicy
from sweepkit.agents.slots import Slot
from sweepkit.agents.unsent import forget_unsent, note_unsent, send_unsent
from sweepkit.errors import RecordLostError, StoreError
from sweepkit.model.events import Event, Notice
from sweepkit.model.records import Attempt, RunRecord, SweepRecord
from sweepkit.scheduling.outcome import AttemptOutcome
from sweepkit.stopping.base import StoppingRule
from sweepkit.store.base import Store
from sweepkit.sweep_config.sweep import SweepSpec

T = TypeVar("T")
_AWAY = (
    "the database cannot be written, trying again (no run is started; one that ends is kept until it is recorded, or "
    "until Ctrl-C)"
)

# An attempt stands still a little before others may take its run: it takes a moment to stop all of its processes.
_OF_A_LEASE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How an agent works.

    Args:
        slots: What runs may occupy.
        count: At most this many runs in this call; None for no limit.
        lease_s: How long a run stays ours without a sign of life, in seconds; renewed every quarter of it.
        poll_s: How often a run's reports are read, in seconds.
        max_initial_failures: The sweep ends when this many runs ended and all failed; 0 never (W&B: 5).
        carries_files: The record carries each run's result and log: no folder is shared with who looks at them.
    """

    slots: tuple[Slot, ...]
    count: int | None = None
    lease_s: float = 60.0
    poll_s: float = 0.02
    max_initial_failures: int = 5
    carries_files: bool = False


@dataclass(slots=True)
class _AgentOrders:
    """What running attempts obey. Written by the agent and by the pool, read by every worker.

    Args:
        interrupt_level: 1 takes no further run, 2 terminates the running ones, 3 kills them.
        cancelled: The sweep was cancelled: as level 2, for this sweep alone.
        lost_leases: Attempts that are no longer ours, by id.
        stopped: Attempts that somebody asked to end: id → why.
    """

    interrupt_level: int = 0
    cancelled: bool = False
    lost_leases: frozenset[str] = frozenset()
    stopped: Mapping[str, str] = field(default_factory=dict)

    @property
    def terminates(self) -> bool:
        """Return whether the running runs shall be ended."""
        return self.interrupt_level >= 2 or self.cancelled


class AttemptListener(Protocol):
    """Whoever draws from an attempt what follows for its sweep: the agent."""

    def check_target(self, values: Mapping[str, float]) -> None:
        """Take note of a run's newest metric values, by name."""
        ...

    def ended(self, run: RunRecord, slot: Slot, outcome: AttemptOutcome) -> None:
        """Take note that an attempt of `run` on `slot` is recorded as ended."""
        ...


class AgentContext:
    """One agent's side of one sweep; any thread may use it.

    Args:
        store: The record.
        sweep: Which sweep.
        place: What all its attempts share: files, program, environment.
        rule: Ends runs early; None ends none.
        launcher: Starts attempts.
        settings: How the agent works.
        surroundings: What every result file carries: versions, commit, host.
        emit: Takes what happens, for the user.
        program_version: Returns which version of the program stands there now; "" when nobody knows.
        packages: Returns which packages the environments of its runs have; None asks for none.

    Attributes:
        orders: What running attempts obey.
        runs: The sweep's runs as this agent sees them.
        slots: Which run may go to which slot.
        disk: Whether the disk of the sweep's files is full, now or lately.
        held: The attempts that this agent has claimed and not ended, by id.
        lease_ends: Until when they may run, by id, in seconds of the monotonic clock.
        changed: Notified when a run ended; a pool shares one among its agents.
        identity, host: Who this agent is and where.
    """

    def __init__(
        self,
        *,
        store: Store,
        sweep: SweepRecord,
        place: Workplace,
        rule: StoppingRule | None,
        launcher: AttemptLauncher,
        settings: AgentSettings,
        surroundings: Mapping[str, Any],
        emit: Callable[[Event], None],
        program_version: Callable[[], str] = lambda: "",
        packages: PackageVersions | None = None,
    ) -> None:
        self.store = store
        self.sweep = sweep
        self.place = place
        self.spec: SweepSpec = place.spec
        self.rule = rule
        self.launcher = launcher
        self.settings = settings
        self.emit = emit
        self.program_version = program_version
        self.packages = packages
        self.host = host_name()
        self.identity = agent_identity()
        self.orders = _AgentOrders()
        self.runs = RunCache(store, sweep.sweep_id, instances=self.spec.instance_names)
        self.slots = SlotPolicy(settings.slots)
        self.disk = DiskWatch(place.paths.logs)
        self.held: dict[str, Attempt] = {}
        self.lease_ends: dict[str, float] = {}
        self.changed = threading.Condition()
        self._surroundings = surroundings
        self._warned: set[str] = set()
        self._outage = threading.Lock()
        self._is_away = False

    def note_lease(self, attempts: Sequence[Attempt], *, asked_at: float) -> dict[str, float]:
        """Take note of leases that the record has begun or prolonged; return until when the attempts may run.

        Args:
            attempts: They.
            asked_at: When the record was asked, in seconds of the monotonic clock: no lease ends earlier than one that
                began then.
        """
        ends = {attempt.attempt_id: asked_at + _OF_A_LEASE * self.settings.lease_s for attempt in attempts}
        self.lease_ends.update(ends)
        return ends

    def write_result(self, run: RunRecord) -> None:
        """Write the result file of a run that is done."""
        paths, metric = self.place.paths, self.spec.metric
        write_result(paths, run, seed=self.sweep.seed, surroundings=self._surroundings, metric=metric)

    def carry_files(self, run: RunRecord, attempt_id: str) -> None:
        """Put the files of a run that is done into the record, where that is asked for.

        Raises:
            OSError: They cannot be read.
            StoreError: The record is away for longer than a lease.
        """
        if not self.settings.carries_files:
            return
        for name, data in carried_files(self.place.paths, run, attempt_id).items():
            self.retry_while_unavailable(functools.partial(self.store.keep_file, run.run_id, name, data))
        forget_unsent(self.place.paths, attempt_id)

    def note_unsent(self, attempt_id: str) -> None:
        """Note, where files are carried, that those of an attempt are to be: its end is about to be recorded."""
        if not self.settings.carries_files:
            return
        try:
            note_unsent(self.place.paths, attempt_id, self._surroundings)
        except OSError as error:
            self.disk.full()
            self.warn_once(f"what is not sent yet cannot be noted: {error}")

    def send_unsent(self) -> None:
        """Send what agents of this host that were killed have left; what does not succeed is left to the next one."""
        if not self.settings.carries_files:
            return
        try:
            send_unsent(self.store, self.sweep, self.place.paths)
        except (OSError, StoreError) as error:
            self.warn_once(f"the files of some runs stay on {self.host}: {error}")

    def warn_once(self, text: str) -> None:
        """Show a fault to the user once, not at every poll."""
        with self._outage:
            if text in self._warned:
                return
            self._warned.add(text)
        self.emit(Notice(text=text, warning=True))

    def away(self, error: StoreError) -> None:
        """Take note that the database refuses or does not answer; the user hears of it once, until it is `back`."""
        if isinstance(error, RecordLostError):
            return self.warn_once(str(error))
        self.disk.full()  # to be remembered when an attempt is judged
        with self._outage:
            if self._is_away:
                return
            self._is_away = True
        self.emit(Notice(text=f"{_AWAY}: {error}", warning=True))

    def back(self) -> None:
        """Take note that the database has taken a write."""
        if self._is_away:  # by far most calls find it False, and need no lock
            with self._outage:
                self._is_away = False

    def retry_while_unavailable(self, write: Callable[[], T], *, ended: bool = False) -> T:
        """Return what `write` returns, tried every second while the database is away.

        Args:
            write: What asks the database.
            ended: A run has ended and its end is to be recorded: that is tried until Ctrl-C, for the work is done.
                Anything else is given up after the length of a lease, or when Ctrl-C ends the running runs.

        Raises:
            StoreError: It was still away after that.
            RecordLostError: At once: it will not come back.
        """
        deadline = time.monotonic() + self.settings.lease_s
        while True:
            try:
                return write()
            except StoreError as error:
                self.away(error)
                leaves = isinstance(error, RecordLostError) or self.orders.interrupt_level >= (
                    2 if self.held and not ended else 1
                )
                if leaves or (not ended and time.monotonic() > deadline):
                    raise
                with self.changed:
                    self.changed.wait(1.0)
