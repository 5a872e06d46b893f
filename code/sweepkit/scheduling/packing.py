"""Which run a GPU gets beside those that it has (`runs_per_gpu: auto`). Pure: the agents and the simulation ask it.

1. A GPU without a run of ours takes any run that it can hold: the one that was proposed first.
2. Beside others a run is put only when the memory of all of them is known (`gpu_needs`) and fits together.
3. Of the runs that wait and fit the largest is taken: small ones fill what is left later.
4. A run that more than `_PASSED_OVER` others overtook is waited for: nothing else is put beside until it fits.
5. One run more at once is tried a few times; it stays where it gave at least `_WORTH` × the runs per hour of one fewer,
   else it is undone. Where the two cannot be distinguished yet, each is measured further, in turn.
6. A run that found no memory beside others gets a GPU to itself, and so does everything while its memory is not known.

Every answer carries its reason.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweepkit.scheduling.gpu_needs import Gains, Need

MOST_AT_ONCE = 8  # runs on one GPU: beyond that CUDA's contexts take more than they give
_LOOK_AHEAD = 4  # runs that wait because they do not fit, while further ones are proposed
_KEPT_FREE = 0.02  # of a GPU's memory: what its driver takes for itself grows a little
_PASSED_OVER = 16
_TRIES = 3  # paces with one run more, before it is judged
_ALONE_FIRST = 3  # paces of runs that were alone, before anything is put beside
_WORTH = 1.05
_ERRORS = 1.5  # standard errors by which it must differ from what is worth it
_ENOUGH = 12  # paces of each, after which the better estimate is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A run that waits for a GPU.

    Args:
        run_id: Which.
        number: Its place in the sweep.
        need: What it is expected to need.
        alone: It found no memory beside others, so it gets a GPU to itself.
    """

    run_id: str
    number: int
    need: Need
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRoom:
    """A GPU as it stands.

    Args:
        name: For people: "gpu 0".
        total_mb: Its memory, MiB.
        foreign_mb: What processes hold that are not of our runs, MiB.
        runs: Our runs on it; `memory_mb` of a need is what to keep for it.
        largest: No GPU in use has more memory: what does not fit here fits nowhere.
    """

    name: str
    total_mb: float
    foreign_mb: float
    runs: tuple[Waiting, ...] = ()
    largest: bool = True

    @property
    def taken_mb(self) -> float:
        """Return what is kept for our runs, MiB; those whose memory is not known count nothing."""
        return sum(run.need.memory_mb or 0.0 for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce:
    """How many runs a GPU may have at once, and why."""

    most: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a GPU gets.

    Args:
        run_id: The run to put on it; None for none now.
        reason: Why this one, or why none.
        more: A further run that is proposed now might fit.
    """

    run_id: str | None
    reason: str
    more: bool = False


def most_at_once(gains: Gains, *, limit: int = MOST_AT_ONCE) -> AtOnce:
    """Return how many runs a GPU may have at once, by what more of them gave so far.

    >>> most_at_once(Gains(paces=())).most
    1
    """
    if gains.counts.get(1, 0) < _ALONE_FIRST:
        return AtOnce(most=1, reason=f"the pace of {gains.counts.get(1, 0)} of {_ALONE_FIRST} runs alone is known")
    number = 1
    while number < limit:
        more = number + 1
        if gains.counts.get(more, 0) < _TRIES:
            return AtOnce(most=more, reason=f"{more} at once are tried")
        ratio = gains.of[more] / gains.of[number]
        said = f"{more} at once gave {gains.of[more]:.2f} × the runs per hour, {number} {gains.of[number]:.2f} ×"
        if _unclear(gains, number, ratio):
            turn = number if gains.counts[number] <= gains.counts[more] else more
            return AtOnce(most=turn, reason=f"{said}: not told apart yet")
        if ratio < _WORTH:
            return AtOnce(most=number, reason=said)
        number = more
    return AtOnce(most=limit, reason=f"{gains.of[limit]:.2f} × the runs per hour")


def _unclear(gains: Gains, number: int, ratio: float) -> bool:
    """Return whether it is open if one run more than `number` is worth it, and more paces would help."""
    if min(gains.counts[number], gains.counts[number + 1]) >= _ENOUGH:
        return False
    return abs(math.log(ratio / _WORTH)) <= _ERRORS * gains.errors[number + 1]


def unfit(room: GpuRoom, run: Waiting, at_once: AtOnce) -> str:
    """Return why a run cannot be put on a GPU now, "" when it can."""
    if not room.largest and (run.need.memory_mb or 0.0) > room.total_mb:
        return f"run {run.run_id} needs a larger GPU than {room.name}: {run.need.reason}"
    if not room.runs:
        return ""
    if run.alone:
        return f"run {run.run_id} found no memory beside others, it gets a GPU to itself"
    for other in room.runs:
        if other.alone:
            return f"run {other.run_id} has {room.name} to itself: it found no memory beside others"
        if other.need.memory_mb is None:
            return f"run {other.run_id} has {room.name} to itself: {other.need.reason}"
    if run.need.memory_mb is None:
        return f"run {run.run_id} gets a GPU to itself: {run.need.reason}"
    if len(room.runs) >= at_once.most:
        return f"{room.name} has {len(room.runs)} runs: {at_once.reason}"
    wanted_mb = room.foreign_mb + room.taken_mb + run.need.memory_mb
    if wanted_mb > (1 - _KEPT_FREE) * room.total_mb:
        return f"run {run.run_id} does not fit: {wanted_mb / 1024:.1f} of {room.total_mb / 1024:.1f} GiB on {room.name}"
    return ""


def choose(room: GpuRoom, waiting: Sequence[Waiting], at_once: AtOnce, *, newest: int) -> Placement:
    """Return which of the runs that wait a GPU gets now.

    Args:
        room: The GPU.
        waiting: The runs that may be put on it, by number.
        at_once: How many runs it may have.
        newest: The greatest number of a run that was begun, -1 before the first.
    """
    if room.runs and (len(room.runs) >= at_once.most or any(run.alone for run in room.runs)):
        why = unfit(room, Waiting(run_id="", number=0, need=Need(memory_mb=0.0, reason="")), at_once)
        return Placement(run_id=None, reason=why)
    if not waiting:
        return Placement(run_id=None, reason="no run waits", more=True)
    empty = replace(room, runs=())
    able = [run for run in waiting if not unfit(empty, run, at_once)]
    overtaken = bool(able) and newest - able[0].number > _PASSED_OVER
    fitting = [run for run in (able[:1] if overtaken else able) if not unfit(room, run, at_once)]
    if not fitting:
        held = len(waiting) >= _LOOK_AHEAD or overtaken
        return Placement(run_id=None, reason=unfit(room, (able or waiting)[0], at_once), more=not held)
    if not room.runs:
        return Placement(run_id=fitting[0].run_id, reason=f"{room.name} is empty")
    best = max(fitting, key=lambda run: (run.need.memory_mb or 0.0, -run.number))
    sum_mb = room.taken_mb + (best.need.memory_mb or 0.0)
    said = f"{len(room.runs) + 1} runs on {room.name}: {sum_mb / 1024:.1f} of {room.total_mb / 1024:.1f} GiB are kept"
    return Placement(run_id=best.run_id, reason=f"{said} ({best.need.reason}); {at_once.reason}")


def describe(room: GpuRoom, gains: Gains, at_once: AtOnce) -> str:
    """Return how a GPU stands, for people.

    >>> room, gains = GpuRoom(name="gpu 0", total_mb=81920.0, foreign_mb=0.0), Gains(paces=())
    >>> describe(room, gains, most_at_once(gains))
    '0 runs on gpu 0: 0 of 80 GiB; 1 at once: the pace of 0 of 3 runs alone is known'
    """
    number = len(room.runs)
    memory = f"{room.taken_mb / 1024:.0f} of {room.total_mb / 1024:.0f} GiB"
    gain = gains.of.get(number)
    pace = f", {gain:.1f} × the runs per hour" if gain is not None and number > 1 else ""
    runs = f"{number} run{'' if number == 1 else 's'} on {room.name}"
    return f"{runs}: {memory}{pace}; {at_once.most} at once: {at_once.reason}"
