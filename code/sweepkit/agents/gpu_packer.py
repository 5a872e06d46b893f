"""Several runs on one GPU (`runs_per_gpu: auto`): what `scheduling.packing` decides, from the record and the driver.

**Agreement.** Whoever claims a run for a GPU says so in the claim, and reads back who else has: all agents of a host
see the same attempts, in the order of their claims. A claim that does not fit beside the earlier ones gives way.
Nothing is kept in memory that another agent would have to know: needs and paces follow from the runs of the record.

**Measured** is the memory of an attempt's own processes where the driver names them (it cannot in a container of
another PID namespace), what the trainer's allocator had reserved, and, while a run has its GPU to itself, by how much
the GPU's free memory fell. The greatest counts. Paces are told by the reports, of each time with so many runs on the
GPU.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweepkit.agents import descent
from sweepkit.agents.gpu_memory import Memory, MemoryGate, Nvml
from sweepkit.agents.slots import Slot
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.errors import StoreError
from sweepkit.model.events import Event
from sweepkit.model.records import Attempt, GpuAttempt, RunRecord, packing_key
from sweepkit.model.runs import RunState
from sweepkit.scheduling.failures import FailureKind
from sweepkit.scheduling.gpu_needs import Gains, Measured, NeedModel, Pace
from sweepkit.scheduling.packing import AtOnce, GpuRoom, Placement, Waiting, choose, describe, most_at_once, unfit
from sweepkit.store.base import Store

_PACKING = "packing"  # the key of an attempt's outcome that has what was measured
_MIB = 2**20
_CONTEXT_MB = 600.0  # of a CUDA context and its libraries, which an allocator does not count
_ASK_EVERY_S = 0.2
_LEAST_SHARE = 0.2  # of a run's reports or time with so many at once, for a pace of its own


class _SweepNeeds:
    """What the runs of one sweep need and how fast they are, as the record has it; refreshed by its change counter."""

    def __init__(self, store: Store, sweep_id: str) -> None:
        self._store, self._sweep_id = store, sweep_id
        self._change = 0
        self._runs: dict[str, RunRecord] = {}
        self._model: NeedModel | None = None
        self._gains: dict[str, Gains] = {}
        self.newest = -1  # the greatest number of a run that was begun

    def refresh(self) -> None:
        """Take in what changed in the record. Raises StoreError."""
        for run in self._store.runs(self._sweep_id, since=self._change):
            self._runs[run.run_id] = run
            self._change = max(self._change, run.change)
            if run.attempts:
                self.newest = max(self.newest, run.number)
            if run.state.done:
                self._model, self._gains = None, {}

    def pending(self, but: Collection[str]) -> list[Waiting]:
        """Return the runs that wait, by number, those in `but` left out."""
        found = [run for run in self._runs.values() if run.state is RunState.PENDING and run.run_id not in but]
        return [self.waiting(run) for run in sorted(found, key=lambda run: run.number)]

    def waiting(self, run: RunRecord) -> Waiting:
        """Return a run with its expected need."""
        if self._model is None:
            self._model = NeedModel(self._measured())
        need = self._model.need(run.params)
        return Waiting(run_id=run.run_id, number=run.number, need=need, alone=_was_crowded_out(run))

    def gains(self, device: str) -> Gains:
        """Return how fast runs were on a GPU, named by its kind."""
        if device not in self._gains:
            self._gains[device] = Gains(paces=tuple(self._paces(device)))
        return self._gains[device]

    def _measured(self) -> list[Measured]:
        found = [(run, memory_mb) for run in self._done() if (memory_mb := _memory_of(run)) is not None]
        return [Measured(params=run.params, memory_mb=memory_mb) for run, memory_mb in found]

    def _paces(self, device: str) -> list[Pace]:
        found = []
        for run in self._done():
            noted = run.outcome.get(_PACKING, {})
            for at_once, unit_s, of_reports in noted.get("paces", ()) if noted.get("device") == device else ():
                found.append(Pace(params=run.params, at_once=at_once, unit_s=unit_s, of_reports=of_reports))
        return found

    def _done(self) -> list[RunRecord]:
        done = [run for run in self._runs.values() if run.state.done]
        return sorted(done, key=lambda run: (run.ended_at or 0.0, run.number))


def _was_crowded_out(run: RunRecord) -> bool:
    """Return whether a run's last attempt found no memory beside others."""
    return bool(run.outcome.get("failed", {}).get("kind") == FailureKind.CROWDED_OUT.value)


def _memory_of(run: RunRecord) -> float | None:
    """Return the memory that a run that is done was seen to need, MiB; None when nothing can be learned."""
    noted, facts = run.outcome.get(_PACKING, {}), run.outcome.get("facts", {})
    answered = (facts.get("out_of_memory") or {}).get("events")  # 0: it began with what an earlier run found to fit
    full = run.outcome.get("failed", {}).get("kind") == FailureKind.OUT_OF_MEMORY.value or answered
    if full:  # it would have taken more: what it had to itself is the least
        return None if noted.get("most_at_once", 1) > 1 else noted.get("total_mb")
    if not run.state.done or run.state is RunState.FAILED:
        return None
    peaks = facts.get("peak_memory_bytes")
    reserved = peaks.get("gpu_reserved", 0) / _MIB if isinstance(peaks, Mapping) else 0.0
    most = max(run.outcome.get("peak_gpu_memory_mb", 0.0), reserved + _CONTEXT_MB if reserved else 0.0)
    return most or None


@dataclass(slots=True)
class _Watched:
    """A running attempt of ours and what is measured of it."""

    slot: Slot
    placement: Placement
    sampled_at: float
    free_before: Mapping[str, int]
    most_mb: float = 0.0
    most_at_once: int = 1
    reports: int = 0
    spent: dict[int, list[float]] = field(default_factory=dict)  # by runs at once: seconds, reports


class GpuPacker:
    """Says which run a GPU gets beside others, for all agents of this process; thread-safe.

    Args:
        reader: Knows the GPUs' memory and who holds it.
        slots: All slots; those of a GPU share it.
        host: This host, as the record names it.
        clock: Seconds, monotonic.
        sample_every_s: Seconds between two measurements of a running attempt.
    """

    def __init__(
        self,
        reader: Nvml,
        slots: Sequence[Slot],
        *,
        host: str,
        clock: Callable[[], float] = time.monotonic,
        sample_every_s: float = 1.0,
    ) -> None:
        self._every_s = sample_every_s
        self._reader, self._slots, self._host, self._clock = reader, tuple(slots), host, clock
        self._names = {gpu: reader.uuid(gpu) for slot in slots for gpu in slot.gpus}
        self._lock = threading.RLock()
        self._sweeps: dict[str, _SweepNeeds] = {}
        self._watched: dict[str, _Watched] = {}
        self._there: tuple[float, list[GpuAttempt]] = (-1.0, [])
        self._refused: dict[tuple[str, ...], float] = {}
        self._recorded_rooms: dict[str, str] = {}

    # -- before a run -------------------------------------------------------------------------------------------------

    def admits(self, slot: Slot, gate: MemoryGate | None, notify: Callable[[Event], None]) -> bool:
        """Return whether to look for a run for a slot now: not again at once when there was none for its GPU.

        A GPU without a run of ours must have the memory free that one alone is given; strangers are waited for.
        """
        if self._clock() - self._refused.get(slot.gpus, -1.0) < _ASK_EVERY_S:
            return False
        with self._lock:
            if gate is None or any(item.slot.gpus == slot.gpus for item in self._watched.values()):
                return True
            first = next(item for item in self._slots if item.gpus == slot.gpus)
            if gate.admits(replace(slot, index=first.index, shares=1), notify):
                return True
            self._refused[slot.gpus] = self._clock()
            return False

    def gpus(self, slot: Slot) -> tuple[str, ...]:
        """Return the names of a slot's GPUs that all agents of this host have for them."""
        return tuple(self._names[gpu] for gpu in slot.gpus)

    def choose(self, store: Store, sweep_id: str, slot: Slot, *, but: Collection[str]) -> Placement:
        """Return which waiting run of a sweep a slot gets, those in `but` left out. Raises StoreError."""
        with self._lock:
            needs = self._needs(store, sweep_id)
            room, at_once = self._room(store, sweep_id, slot), self._at_once(needs, slot)
            placement = choose(room, needs.pending(but), at_once, newest=needs.newest)
            if placement.run_id is None and not placement.more:
                self._refused[slot.gpus] = self._clock()
            return placement

    def nothing(self, slot: Slot) -> None:
        """Take note that there was no run for a slot: its GPU is not asked for again at once."""
        self._refused[slot.gpus] = self._clock()

    def keeps(self, store: Store, attempt: Attempt, slot: Slot, placement: Placement) -> bool:
        """Return whether a claimed run may stay: it fits beside what was claimed before it. Then it is watched."""
        with self._lock:
            sweep_id = attempt.run.sweep_id
            needs = self._needs(store, sweep_id)
            room = self._room(store, sweep_id, slot, before=attempt.attempt_id)
            why = unfit(room, needs.waiting(attempt.run), self._at_once(needs, slot))
            if why:
                return False
            if attempt.run.run_id != placement.run_id:
                placement = Placement(run_id=attempt.run.run_id, reason=f"it fits on {room.name}")
            free = {gpu: memory.free for gpu, memory in self._memories(slot).items()}
            self._watched[attempt.attempt_id] = _Watched(slot, placement, self._clock(), free)
            for watched in self._watched.values():  # before the next sample: a run may fail at once
                if watched.slot.gpus == slot.gpus:
                    watched.most_at_once = max(watched.most_at_once, len(room.runs) + 1)
            self._record_room(store, sweep_id, slot)
            return True

    # -- while it runs ------------------------------------------------------------------------------------------------

    def sample(self, store: Store, attempt_id: str, reports: int) -> None:
        """Measure a running attempt, at most once a second."""
        now = self._clock()
        watched = self._watched.get(attempt_id)
        if watched is None or now - watched.sampled_at < self._every_s:
            return
        with self._lock, contextlib.suppress(StoreError):
            self._measure(store, attempt_id, watched, reports, now)

    def _measure(self, store: Store, attempt_id: str, watched: _Watched, reports: int, now: float) -> None:
        there = [item.attempt_id for item in self._on(store, watched.slot)]
        at_once = max(1, len(there))
        watched.most_at_once = max(watched.most_at_once, at_once)
        spent = watched.spent.setdefault(at_once, [0.0, 0.0])
        spent[0] += now - watched.sampled_at
        spent[1] += reports - watched.reports
        watched.sampled_at, watched.reports = now, reports
        for gpu, memory in self._memories(watched.slot).items():
            held = _held_by([attempt_id], self._reader.held(gpu)) / _MIB
            if watched.most_at_once == 1 and not held:
                held = (watched.free_before.get(gpu, memory.free) - memory.free) / _MIB
            watched.most_mb = max(watched.most_mb, held)

    def beside(self, store: Store, attempt_id: str) -> bool:
        """Return whether an attempt of ours ever had others beside it on its GPU. Raises StoreError."""
        watched = self._watched.get(attempt_id)
        if watched is None:
            return False
        with self._lock:
            return watched.most_at_once > 1 or len(self._on(store, watched.slot, anew=True)) > 1

    def facts(self, store: Store, attempt_id: str, duration_s: float, reports: int) -> dict[str, Any]:
        """Return what the record keeps of an attempt that has ended; {} of one that was not placed here."""
        watched = self._watched.get(attempt_id)
        if watched is None:
            return {}
        with self._lock, contextlib.suppress(StoreError):
            self._measure(store, attempt_id, watched, reports, self._clock())
        totals = [memory.total / _MIB for memory in self._memories(watched.slot).values()]
        noted = {
            "reason": watched.placement.reason,
            "device": self._kind(watched.slot),
            "most_at_once": watched.most_at_once,
            "total_mb": round(min(totals, default=0.0), 1),
            "paces": _paces_of(watched.spent, duration_s),
        }
        peak = {"peak_gpu_memory_mb": round(watched.most_mb, 1)} if watched.most_mb > 0 else {}
        return {_PACKING: noted, **peak}

    def left(self, store: Store, attempt: Attempt) -> None:
        """Take note that an attempt is over, however it ended."""
        with self._lock:
            watched = self._watched.pop(attempt.attempt_id, None)
            self._refused.clear()
            self._there = (-1.0, [])
            if watched is not None:
                self._record_room(store, attempt.run.sweep_id, watched.slot)

    # -- what there is ------------------------------------------------------------------------------------------------

    def _needs(self, store: Store, sweep_id: str) -> _SweepNeeds:
        needs = self._sweeps.setdefault(sweep_id, _SweepNeeds(store, sweep_id))
        needs.refresh()
        return needs

    def _on(self, store: Store, slot: Slot, *, anew: bool = False) -> list[GpuAttempt]:
        """Return the live attempts on a slot's GPUs, of all agents of this host, by the time of their claims."""
        asked_at, there = self._there
        if anew or self._clock() - asked_at >= self._every_s:
            there = store.gpu_attempts(self._host)
            self._there = (self._clock(), there)
        mine = set(self.gpus(slot))
        return [item for item in there if mine & set(item.gpus)]

    def _room(self, store: Store, sweep_id: str, slot: Slot, *, before: str = "") -> GpuRoom:
        """Return how a slot's GPUs stand: of several the least memory; without the attempt `before` and later ones."""
        there = self._on(store, slot, anew=True)
        names = [item.attempt_id for item in there]
        there = there[: names.index(before)] if before in names else there
        memories = self._memories(slot)
        total_mb = min((memory.total / _MIB for memory in memories.values()), default=0.0)
        runs = tuple(self._occupant(store, item, slot) for item in there)
        kept_mb = sum(run.need.memory_mb or 0.0 for run in runs)
        foreign_mb = max(
            (self._foreign_mb(names, gpu, memory, kept_mb) for gpu, memory in memories.items()), default=0.0
        )
        largest = total_mb >= max(self._total_mb(item) for item in self._slots if item.gpus)
        return GpuRoom(name=slot.device, total_mb=total_mb, foreign_mb=foreign_mb, runs=runs, largest=largest)

    def _occupant(self, store: Store, item: GpuAttempt, slot: Slot) -> Waiting:
        """Return a run on a GPU with what to keep for it: what it is expected to need, or holds already."""
        needs = self._sweeps.get(item.run.sweep_id) or self._needs(store, item.run.sweep_id)
        run = needs.waiting(item.run)
        held_mb = max((_held_by([item.attempt_id], self._reader.held(gpu)) / _MIB for gpu in slot.gpus), default=0.0)
        if run.need.memory_mb is None or run.need.memory_mb >= held_mb:
            return run
        return replace(run, need=replace(run.need, memory_mb=held_mb, reason="what it holds now"))

    def _foreign_mb(self, ours: Sequence[str], gpu: str, memory: Memory, kept_mb: float) -> float:
        """Return what others hold; where the driver does not name our processes, all that we did not keep for ours."""
        used_mb = (memory.total - memory.free) / _MIB
        held_mb = _held_by(ours, self._reader.held(gpu)) / _MIB
        return max(0.0, used_mb - (held_mb or kept_mb))

    def _memories(self, slot: Slot) -> dict[str, Memory]:
        found = {gpu: self._reader.read(gpu) for gpu in slot.gpus}
        return {gpu: memory for gpu, memory in found.items() if memory is not None}

    def _total_mb(self, slot: Slot) -> float:
        return min((memory.total / _MIB for memory in self._memories(slot).values()), default=0.0)

    def _kind(self, slot: Slot) -> str:
        """Return what paces are compared within: GPUs of one size on this host."""
        return f"{self._host} {self._total_mb(slot):.0f} MiB{' with MPS' if _mps_runs(os.environ) else ''}"

    def _at_once(self, needs: _SweepNeeds, slot: Slot) -> AtOnce:
        return most_at_once(needs.gains(self._kind(slot)), limit=slot.shares)

    def _record_room(self, store: Store, sweep_id: str, slot: Slot) -> None:
        """Write how a GPU stands into the sweep's record, for monitor and page; a database that is away is not."""
        with contextlib.suppress(StoreError):
            needs = self._needs(store, sweep_id)
            room = self._room(store, sweep_id, slot)
            said = describe(room, needs.gains(self._kind(slot)), self._at_once(needs, slot))
            key = packing_key(self._host, slot.device)
            if self._recorded_rooms.get(f"{sweep_id} {key}") != said:
                store.update_sweep(sweep_id, meta={key: said})
                self._recorded_rooms[f"{sweep_id} {key}"] = said


def _held_by(attempts: Sequence[str], held: Mapping[int, int]) -> int:
    """Return the bytes that the processes of attempts hold of a GPU, by what each process holds."""
    return sum(
        size for pid, size in held.items() if any(descent.belongs(pid, attempt, ATTEMPT_ENV) for attempt in attempts)
    )


def _paces_of(spent: Mapping[int, Sequence[float]], duration_s: float) -> list[tuple[int, float, bool]]:
    """Return a run's paces from what it spent with so many runs at once: runs at once, seconds per unit, of reports.

    Args:
        spent: By runs at once: seconds, and reports that came in them.
        duration_s: Of the whole run.

    >>> _paces_of({1: [10.0, 5], 2: [30.0, 10]}, 40.0)
    [(1, 2.0, True), (2, 3.0, True)]
    >>> _paces_of({1: [10.0, 0], 2: [30.0, 1]}, 40.0)
    [(2, 40.0, False)]
    """
    reports = sum(number for _, number in spent.values())
    if reports < 3:
        seconds = sum(time_s for time_s, _ in spent.values())
        mean = sum(at_once * time_s for at_once, (time_s, _) in spent.items()) / seconds if seconds else 1.0
        return [(max(1, round(mean)), round(duration_s, 4), False)]
    counted = {at_once: pair for at_once, pair in spent.items() if pair[1] >= max(2, _LEAST_SHARE * reports)}
    return [(at_once, round(time_s / number, 6), True) for at_once, (time_s, number) in sorted(counted.items())]


def _mps_runs(env: Mapping[str, str]) -> bool:
    """Return whether NVIDIA's Multi-Process Service serves this host: our runs inherit it, and kernels run at once."""
    pipes = Path(env.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
    with contextlib.suppress(OSError):
        return (pipes / "control").exists()
    return False


def make_packer(slots: Sequence[Slot], *, host: str, reader: Nvml | None) -> GpuPacker | None:
    """Return the packer of this process; None where no slot packs or no GPU can be asked."""
    if reader is None or not any(slot.packs for slot in slots):
        return None
    return GpuPacker(reader, slots, host=host)
