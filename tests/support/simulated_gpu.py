"""GPUs that exist in numbers only: memory that fills up as a run goes on, compute that runs share, noise.

The placement is asked of `sweepkit.scheduling.packing` as the agents ask it; only what is measured is simulated.
"""

import math
import random
from dataclasses import dataclass, field

from sweepkit.scheduling.gpu_needs import Gains, Measured, Need, NeedModel, Pace
from sweepkit.scheduling.packing import AtOnce, GpuRoom, Waiting, choose, most_at_once

CONTEXT_MB = 500.0


@dataclass(frozen=True, kw_only=True)
class Work:
    """A run as it truly is.

    Args:
        params: What the packer sees of it.
        memory_mb: The most it holds.
        load: The share of a GPU's compute that it keeps busy when it is alone, in (0, 1].
        alone_s: How long it takes alone.
    """

    params: dict
    memory_mb: float
    load: float
    alone_s: float


@dataclass
class Going:
    """A run on a GPU."""

    number: int
    work: Work
    left: float = 1.0  # of its work
    paces: dict = field(default_factory=dict)  # runs at once → [seconds, work]
    packed: bool = False


@dataclass
class Outcome:
    """What a simulation came to."""

    seconds: float = 0.0
    placed_beside: int = 0
    out_of_memory: int = 0
    most_at_once: dict = field(default_factory=dict)  # by GPU, at the end
    reasons: list = field(default_factory=list)


def speed(loads, overhead=0.02):
    """Return how fast runs are together, as a share of alone: compute is divided, and every further one costs a bit."""
    return min(1.0, 1.0 / sum(loads)) * (1.0 - overhead) ** (len(loads) - 1)


class Simulation:
    """Runs on GPUs, one at a time or packed.

    Args:
        works: The runs, in the order of their proposal.
        gpus: Memory of each GPU, MiB.
        packs: False gives each GPU one run at a time.
        memory_noise, pace_noise: Standard deviations of the logarithm of what is measured of the truth.
        overhead: What each further run at once costs all of them, as a share.
        seed: Of the noise.
    """

    def __init__(
        self, works, *, gpus=(81_920.0,), packs=True, memory_noise=0.0, pace_noise=0.03, overhead=0.02, seed=0
    ):
        self.works, self.totals, self.packs = list(works), list(gpus), packs
        self.noise = (memory_noise, pace_noise)
        self.overhead, self.random = overhead, random.Random(seed)
        self.gpus = [[] for _ in gpus]
        most = 0.9 * max(self.totals)  # every run fits some GPU
        self.held = [min(most, work.memory_mb * self._noise(memory_noise)) for work in self.works]
        self.proposed, self.newest = 0, -1
        self.waiting, self.alone, self.too_large = [], set(), set()
        self.remembered = {}
        self.measured, self.paces = [], [[] for _ in gpus]
        self.outcome = Outcome()

    def _noise(self, sigma):
        return math.exp(self.random.gauss(0.0, sigma)) if sigma else 1.0

    def run(self):
        while True:
            for gpu in range(len(self.gpus)):
                while self._place(gpu):
                    pass
            if not any(self.gpus):
                assert not self.waiting and self.proposed == len(self.works)
                self.outcome.most_at_once = {gpu: self._at_once(gpu).most for gpu in range(len(self.gpus))}
                return self.outcome
            self._go_on()

    # -- what the agents do ------------------------------------------------------------------------------------------

    def _at_once(self, gpu):
        if not self.packs:
            return AtOnce(most=1, reason="one at a time")
        return self._remember(("pace", gpu, len(self.paces[gpu])), lambda: self._learned(gpu))

    def _learned(self, gpu):
        return most_at_once(Gains(paces=tuple(self.paces[gpu])))

    def _remember(self, key, make):
        if key not in self.remembered:
            self.remembered[key] = make()
        return self.remembered[key]

    def _waits(self, number, model):
        need = Need(memory_mb=None, reason="")
        if self.packs:
            key = ("need", number, len(self.measured))
            need = self._remember(key, lambda: model.need(self.works[number].params))
        return Waiting(run_id=str(number), number=number, need=need, alone=number in self.alone)

    def _place(self, gpu):
        model = self._remember(("model", len(self.measured)), lambda: NeedModel(self.measured))
        room = GpuRoom(
            name=f"gpu {gpu}",
            total_mb=self.totals[gpu],
            foreign_mb=0.0,
            largest=self.totals[gpu] == max(self.totals),
            runs=tuple(self._waits(going.number, model) for going in self.gpus[gpu]),
        )
        while True:
            allowed = [number for number in sorted(self.waiting) if (number, gpu) not in self.too_large]
            waiting = [self._waits(number, model) for number in allowed]
            placed = choose(room, waiting, self._at_once(gpu), newest=self.newest)
            if placed.run_id is not None:
                number = int(placed.run_id)
                self.waiting.remove(number)
                self.newest = max(self.newest, number)
                self.outcome.reasons.append(placed.reason)
                self.outcome.placed_beside += bool(room.runs)
                self.gpus[gpu].append(Going(number, self.works[number]))
                for going in self.gpus[gpu]:
                    going.packed = going.packed or bool(room.runs)
                return True
            if not placed.more or self.proposed == len(self.works):
                return False
            self.waiting.append(self.proposed)
            self.proposed += 1

    # -- what the world does -----------------------------------------------------------------------------------------

    def _go_on(self):
        """Go on to the next moment at which a run ends or holds its most memory (at a tenth of its work)."""
        rates, steps = {}, []
        for gpu in self.gpus:
            together = speed([going.work.load for going in gpu], self.overhead) if gpu else 1.0
            for going in gpu:
                rates[going.number] = together / going.work.alone_s
                until = going.left - 0.9 if going.left > 0.9 else going.left
                steps.append(until / rates[going.number])
        step = min(steps)
        self.outcome.seconds += step
        for index, gpu in enumerate(self.gpus):
            for going in gpu:
                done = rates[going.number] * step
                pace = going.paces.setdefault(len(gpu), [0.0, 0.0])
                pace[0], pace[1] = pace[0] + step, pace[1] + done
                going.left = max(0.0, going.left - done)
                if abs(going.left - 0.9) < 1e-9:
                    going.left = 0.9
            self._fill(index)
            for going in [item for item in gpu if item.left <= 1e-9]:
                self._end(index, going)

    def _fill(self, index):
        """Let the newest run that wants its memory fail while all of it is more than there is."""
        gpu = self.gpus[index]
        while sum(self.held[item.number] if item.left <= 0.9 else CONTEXT_MB for item in gpu) > self.totals[index]:
            victim = next(item for item in reversed(gpu) if item.left <= 0.9)
            gpu.remove(victim)
            if victim.packed:
                self.outcome.out_of_memory += 1
                self.alone.add(victim.number)
            else:  # on a GPU that is too small for it: known from now on, as an agent tries it elsewhere
                assert self.totals[index] < max(self.totals)
                self.too_large.add((victim.number, index))
            self.waiting.append(victim.number)

    def _end(self, index, going):
        self.gpus[index].remove(going)
        measured = self.held[going.number]
        self.measured.append(Measured(params=going.work.params, memory_mb=measured))
        for at_once, (seconds, done) in going.paces.items():
            if done > 0.2:
                unit_s = seconds / done * self._noise(self.noise[1])
                self.paces[index].append(Pace(params=going.work.params, at_once=at_once, unit_s=unit_s))


def works(count, *, seed, base_mb=600.0, unit_mb=4.0, load=(0.1, 0.3), power=1.0, seconds=60.0):
    """Return runs of a search over batch, length and learning rate; memory grows with batch × length ** power."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        batch, length = draw.choice((4, 8, 16, 32)), draw.choice((64, 128, 256))
        size = batch * (length / 64) ** power
        params = {
            "batch_size": batch,
            "max_length": length,
            "lr": 10 ** draw.uniform(-5, -3),
            "seed": draw.randrange(9),
        }
        low, high = load
        share = low + (high - low) * min(1.0, size / (32 * 4**power))
        found.append(
            Work(params=params, memory_mb=base_mb + unit_mb * size, load=share, alone_s=seconds * (0.5 + size / 64))
        )
    return found


def runs_per_hour(works_, **options):
    """Return the outcome of packing and its runs per hour as a multiple of one at a time."""
    packed = Simulation(works_, **options).run()
    single = Simulation(works_, **options | {"packs": False}).run()
    return packed, single.seconds / packed.seconds
