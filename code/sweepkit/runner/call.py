"""One call of a runner: the sweeps that it runs share one record, one set of slots, one fork server, one terminal."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Protocol, TypeVar

from sweepkit.agents.agent import Finish, release_all
from sweepkit.agents.gpu_memory import make_gate, open_nvml
from sweepkit.agents.gpu_packer import make_packer
from sweepkit.agents.identity import agent_identity, check_proc, host_name
from sweepkit.agents.launcher import HostLauncher
from sweepkit.agents.slots import Slot, choose_gpus, make_slots, slot_notes
from sweepkit.agents.worker_pool import StartSchedule, WorkerPool
from sweepkit.errors import ConflictError, StoreError
from sweepkit.model.events import Notice
from sweepkit.model.runs import RunView
from sweepkit.reports.notebook import make_screen
from sweepkit.runner.exit_codes import INTERRUPTED
from sweepkit.runner.interrupts import Interrupts
from sweepkit.runner.leader import Leader
from sweepkit.runner.opening import SweepOpener
from sweepkit.runner.options import RunOptions, SlotOptions
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import Plan
from sweepkit.runner.prior import prior_views
from sweepkit.runner.session import Session, open_session
from sweepkit.store.backup import copy_beside, sqlite_file
from sweepkit.store.open import open_store


class Uploads(Protocol):
    """What sends the runs of a call elsewhere while they log: its methods are called in this order."""

    def start(self) -> None:
        """Begin what takes a while."""

    def begin(self) -> Sequence[str]:
        """Ask for access before anything is recorded; return notices. Raises TrackingError without any."""
        ...

    def go(self, names: Mapping[str, str]) -> None:
        """Send the sweeps; `names` gives each plan's name in the record."""

    def finish(self, *, hurried: Callable[[], bool], preempted: bool) -> None:
        """Wait until all is sent, or `hurried` returns True; there is little time when `preempted`."""

    def close(self) -> None:
        """End it."""


_Setting = TypeVar("_Setting", bound=int | str)

# Makes the uploads of a call from its options, its sweeps, and what shows a warning; None when nothing is sent.
MakeUploads = Callable[[RunOptions, Sequence[Plan], Callable[[str], None]], Uploads | None]


class Call:
    """Run sweeps with a number of workers. A context manager: it closes what it opened.

    Args:
        options: How they are run.
        plans: The sweeps, of different names; they share one record.
        slots: What runs may occupy; see `slots_of`.
        schedule: When workers may begin.
        notes: Notices that come first.
        uploads: Makes what sends runs elsewhere while they log; None sends nothing.
        leader: Who says which configurations are run; None for each sweep's own engine.

    Attributes:
        sessions: The sweeps, once they are open; [] before.
        finishes: How each of them ended, once all have; [] before.
    """

    def __init__(
        self,
        options: RunOptions,
        plans: Sequence[Plan],
        *,
        slots: tuple[Slot, ...],
        schedule: StartSchedule | None = None,
        notes: Sequence[str] = (),
        uploads: MakeUploads | None = None,
        leader: Leader | None = None,
    ) -> None:
        check_proc()
        self.storage = plans[0].storage
        self.store = open_store(self.storage)
        plans = [settled(plan, self.store) for plan in plans]
        self.slots = slots
        self.schedule = schedule or StartSchedule()
        self.notes = list(notes)
        self.launcher: HostLauncher | None = None
        self.cold = options.cold
        self.interrupts = Interrupts()
        self.preempted_exit_code = options.preempted_exit_code
        self.screen = make_screen(json=options.json)
        self.uploads = uploads(options, plans, self._warn) if uploads is not None else None
        self.openers = [SweepOpener(options, plan, self.store, slots=slots, leader=leader) for plan in plans]
        self.sessions: list[Session] = []
        self.finishes: list[Finish] = []

    def _warn(self, text: str) -> None:
        if self.sessions:
            self.sessions[0].on_event(Notice(text=text, warning=True))
        else:
            self.notes.append(text)  # nothing is shown yet

    def __enter__(self) -> "Call":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.uploads is not None:
            self.uploads.close()
        if self.launcher is not None:
            self.launcher.close()
        self.store.close()

    def run(self) -> int:
        """Run the sweeps; return the exit code."""
        if self.uploads is not None:
            self.uploads.start()
        priors = [self._check(opener) for opener in self.openers]  # may refuse: nothing is recorded yet
        self.notes += self.uploads.begin() if self.uploads is not None else ()  # likewise
        named = len(self.openers) > 1
        self.sessions = [
            open_session(opener, prior, screen=self.screen, named=named)
            for opener, prior in zip(self.openers, priors, strict=True)
        ]
        if self.uploads is not None:
            self.uploads.go({session.spec.name: session.sweep.name for session in self.sessions})
        self._notify_notes()
        first = self.sessions[0]
        self.launcher = HostLauncher(
            log=first.paths.logs / "forkserver.log",
            preload=tuple(dict.fromkeys(name for item in self.sessions for name in item.spec.extensions.preload)),
            cold=self.cold,
            env=self.slots[0].threads(os.environ),
            owner=agent_identity(),
            notify=lambda text: first.on_event(Notice(text=text)),
        )
        pool = WorkerPool(
            [session.start(self.launcher) for session in self.sessions],
            self.slots,
            schedule=self.schedule,
            gate=make_gate(self.slots, least_gb=self._least_gb()),
            packer=make_packer(self.slots, host=host_name(), reader=open_nvml()),
            notify=first.on_event,
        )
        self.finishes = self._work(pool)
        ended = zip(self.sessions, self.finishes, strict=True)
        codes = [session.conclude(finish, hurried=pool.interrupt_level > 1) for session, finish in ended]
        if pool.interrupt_level and not self.interrupts.preempted:
            return INTERRUPTED
        return self.preempted_exit_code if self.preempted else max(codes)

    @property
    def preempted(self) -> bool:
        """Return whether SIGTERM ended it before its sweeps were at their end."""
        return self.interrupts.preempted and not all(finish.complete for finish in self.finishes)

    def _check(self, opener: SweepOpener) -> list[RunView]:
        """Refuse what can be refused before anything is recorded; return the runs that an engine is told first."""
        prior = prior_views(opener.plan, self.store)
        opener.check_others()
        return prior

    def _least_gb(self) -> float | None:
        wanted = [session.spec.extensions.min_free_gpu_memory_gb for session in self.sessions]
        return max((item for item in wanted if item is not None), default=None)

    def _work(self, pool: WorkerPool) -> list[Finish]:
        with self.interrupts.passed_to(pool):
            try:
                finishes = pool.run()
                if any(finish.complete for finish in finishes):
                    self._copy_record()
                level = pool.interrupt_level
                if self.uploads is not None:
                    preempted = self.interrupts.preempted
                    self.uploads.finish(hurried=lambda: pool.interrupt_level > level, preempted=preempted)
                return finishes
            except BaseException:
                if self.launcher is not None:
                    self.launcher.close()
                for agent in pool.agents:
                    release_all(agent)
                raise
            finally:
                for session in self.sessions:
                    session.stop_showing()

    def _copy_record(self) -> None:
        """Copy a record that is a file, now that a sweep is over: what is lost with it later is little."""
        path = sqlite_file(self.storage)
        try:
            if path is not None:
                copy_beside(path)
        except StoreError as error:
            self._warn(str(error))

    def _notify_notes(self) -> None:
        for note in self.notes:
            self.sessions[0].on_event(Notice(text=note))
        for session in self.sessions:
            for note in session.notes:
                session.on_event(Notice(text=note))


def slots_of(options: SlotOptions, plans: Sequence[Plan], *, packs: bool = True) -> tuple[tuple[Slot, ...], list[str]]:
    """Return the slots that `parallel_sweep_runner.py` is asked for, and notices of them.

    Without `packs`, or where no GPU can be asked, `runs_per_gpu: auto` is one run on each GPU.

    Raises:
        SweepKitError: A GPU cannot be seen, or there are more workers than the GPUs have room for.
        ConflictError: The sweeps want slots of different kinds.
    """
    gpus = choose_gpus(options.gpus, os.environ)
    gpus_per_run = _shared(options.gpus_per_run, plans, "gpus_per_run")
    shared: int | Literal["auto"] = _shared(options.runs_per_gpu, plans, "runs_per_gpu") or 1
    notes = []
    if shared == "auto" and gpus and not (packs and open_nvml()):
        why = "nvidia-ml-py or the driver is missing" if packs else "W&B leads the sweep"
        notes.append(f"sweepkit.runs_per_gpu: auto is one run on each GPU here: {why}")
        shared = 1
    slots = make_slots(
        options.num_workers,
        gpus=gpus,
        gpus_per_run=gpus_per_run,
        cpus_per_run=_shared(options.cpus_per_run, plans, "cpus_per_run"),
        runs_per_gpu=shared,
    )
    return slots, [*notes, *slot_notes(slots, gpus)]


def one_slot(plan: Plan) -> tuple[Slot, ...]:
    """Return the slot of `sweep_runner.py`."""
    extensions = plan.spec.extensions
    return make_slots(
        1,
        gpus=choose_gpus(None, os.environ),
        gpus_per_run=extensions.gpus_per_run,
        cpus_per_run=extensions.cpus_per_run,
    )


def _shared(option: _Setting | None, plans: Sequence[Plan], key: str) -> _Setting | None:
    """Return a setting of the slots: the option, else what the sweeps agree on."""
    if option is not None:
        return option
    wanted: dict[_Setting | None, str] = {getattr(plan.spec.extensions, key): plan.spec.name for plan in plans}
    if len(wanted) > 1:
        listed = ", ".join(f"{name}: {value}" for value, name in wanted.items())
        shown = key.replace("_", "-")
        raise ConflictError(f"sweepkit.{key}: sweeps that share workers must agree, got {listed}; give --{shown}")
    return next(iter(wanted))
