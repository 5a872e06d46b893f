"""How much GPU memory a run will need, and what runs beside each other cost, from what runs were measured to do. Pure.

**Memory.** A run's memory grows with some of its parameters (batch, length, width, layers, …) and with each of them at
most as some power. So every run that was measured bounds another one's memory from above: what it took, times `(new /
old) ** power` for each parameter that is greater in the new run, and nothing off for those that are smaller. The least
of these bounds is the expectation. It needs no form of the law, only that it is monotone. On top comes a margin: each
measured run is expected from all the others, and the ratio of what it took to that is the error; its 95 % quantile (the
conformal one: rounded up, and beyond the greatest where runs are few) multiplies every expectation. So of the runs that
are like those measured at most one in twenty needs more than it was given.

Which parameters matter is known by their names, then by the data (Kendall's τ, correlation ratio). Parameters that
are no numbers divide the runs into kinds that are not compared with each other.

**Pace.** Seconds per unit of work (a report, or a whole run) of runs that were N at once are regressed, in logarithms,
on the parameters that matter and on N; what N costs then gives the runs per hour of a GPU that has N at once.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from sweepkit.model.numbers import is_number
from sweepkit.text.nested_tables import flattened

ERROR_RATE = 0.05  # of the runs like those measured, that need more than `Need.memory_mb`
_LEAST_MEASURED = 3  # of one kind, before anything is expected of others
_REMEMBERED = 64  # of one kind, the newest: errors take the square of it
_LEAST_MARGIN = 1.03  # allocators round up, and NVML shows what it shows
_FEW_MARGIN = 1.2  # at least, where there are too few runs for the quantile
_LEARNED_FROM = 8  # runs, before data say which parameters matter
_TAU = 0.6
_CORRELATION_RATIO = 0.6
_RIDGE = 0.05
# Which parameters memory grows with by their names, and with which power at most; attention's is the square of length.
_GROWS = (
    (re.compile(r"accum|warmup|(^|_)(steps|epochs|iters?|workers|seed)($|_)|dropout|learning_rate|decay"), 0.0),
    (re.compile(r"batch|(^|_)bs($|_)|beams"), 1.0),
    (re.compile(r"len($|_)|length|seq|tokens|context|resolution|image_size|img_size|input_size|crop"), 2.0),
    (re.compile(r"hidden|width|(^|_)dim($|_)|d_model|d_ff|ffn|embed|units|channels|filters|latent|neurons"), 2.0),
    (re.compile(r"layers|depth|blocks|heads|vocab|experts|(^|_)rank($|_)|lora_r($|_)|stages"), 1.0),
)
_UNKNOWN_POWER = 2.0
# What divides runs into kinds by its name. Others do once the data show it.
_KINDS = re.compile(
    r"model|arch|backbone|encoder|checkpoint|optim|precision|dtype|fp16|bf16|amp|quant|lora|attn|attention|compile|task"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run took of a GPU.

    Args:
        params: Its configuration, nested or dotted.
        memory_mb: The most memory that it held, MiB.
    """

    params: Mapping[str, Any]
    memory_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a run is expected to need of a GPU.

    Args:
        memory_mb: Memory to keep for it, the margin included, MiB; None when nothing can be expected.
        reason: Why so much, or why nothing.
    """

    memory_mb: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a run was while so many runs were at once on its GPU.

    Args:
        params: Its configuration, nested or dotted.
        at_once: Runs on the GPU, this one included, >= 1.
        unit_s: Seconds per unit of work, > 0.
        of_reports: The unit is a report of the program, else the whole run.
    """

    params: Mapping[str, Any]
    at_once: int
    unit_s: float
    of_reports: bool = True


class NeedModel:
    """Expects memory of runs from that of others.

    >>> seen = [Measured(params={"batch_size": b}, memory_mb=1000.0 + 100 * b) for b in (4, 8, 16)]
    >>> NeedModel(seen).need({"batch_size": 8}).memory_mb
    2160.0
    >>> NeedModel(seen[:2]).need({"batch_size": 8}).memory_mb is None
    True
    """

    def __init__(self, measured: Sequence[Measured]) -> None:
        flat = [(flattened(item.params, keep_empty=False), item.memory_mb) for item in measured if item.memory_mb > 0]
        self._kinds = _kind_names(flat)
        self._powers = _powers(flat, [self._kind(params) for params, _ in flat])
        self._of_kind: dict[tuple[str, ...], list[tuple[dict[str, float], float]]] = {}
        for params, memory_mb in flat:
            rows = self._of_kind.setdefault(self._kind(params), [])
            rows.append((self._sizes(params), memory_mb))
            del rows[:-_REMEMBERED]
        self._margins: dict[tuple[str, ...], float] = {}

    def need(self, params: Mapping[str, Any]) -> Need:
        """Return what a run with these parameters is expected to need."""
        flat = flattened(params, keep_empty=False)
        kind = self._kind(flat)
        rows = self._of_kind.get(kind, [])
        if len(rows) < _LEAST_MEASURED:
            named = f" with {', '.join(kind)}" if kind else ""
            return Need(memory_mb=None, reason=f"{len(rows)} of {_LEAST_MEASURED} runs{named} were measured")
        if kind not in self._margins:
            self._margins[kind] = _margin(rows, self._powers)
        expected, margin = _expected(rows, self._sizes(flat), self._powers), self._margins[kind]
        reason = f"{expected / 1024:.1f} GiB by {len(rows)} measured runs, and {margin - 1:.0%} for the error seen"
        return Need(memory_mb=round(expected * margin, 1), reason=reason)

    def _sizes(self, params: Mapping[str, Any]) -> dict[str, float]:
        return {name: float(params[name]) for name in self._powers if _is_number(params.get(name))}

    def _kind(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(f"{name} {params[name]}" for name in self._kinds if name in params)


def _is_number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value) and value > 0


def _expected(
    rows: Sequence[tuple[dict[str, float], float]], sizes: dict[str, float], powers: dict[str, float]
) -> float:
    """Return the least of the bounds that measured runs set."""
    return min(memory_mb * _growth(seen, sizes, powers) for seen, memory_mb in rows)


def _growth(seen: dict[str, float], sizes: dict[str, float], powers: dict[str, float]) -> float:
    """Return by which factor memory grows at most from one run to another, >= 1; what one does not have is as great."""
    grows = 1.0
    for name, value in sizes.items():
        old, power = seen.get(name, value), powers[name]
        if power > 0 and value > old:
            grows *= (value / old) ** power
        elif power < 0 and value < old:
            grows *= (old / value) ** -power
    return grows


def _margin(rows: Sequence[tuple[dict[str, float], float]], powers: dict[str, float]) -> float:
    """Return what to multiply expectations with, so that they are exceeded at `ERROR_RATE`."""
    errors = sorted(
        memory_mb / _expected([*rows[:place], *rows[place + 1 :]], sizes, powers)
        for place, (sizes, memory_mb) in enumerate(rows)
    )
    rank = math.ceil((len(errors) + 1) * (1 - ERROR_RATE))
    if rank > len(errors):  # too few: beyond the greatest error seen
        return max(_FEW_MARGIN, _FEW_MARGIN * errors[-1])
    return max(_LEAST_MARGIN, errors[rank - 1])


# -- which parameters matter ------------------------------------------------------------------------------------------

_Flat = Sequence[tuple[dict[str, Any], float]]


def _named_power(name: str) -> float | None:
    """Return the power that a parameter's name implies: 0 for one that memory does not grow with, None for no hint."""
    lowered = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2]).lower()
    return next((power for hint, power in _GROWS if hint.search(lowered)), None)


def _powers(flat: _Flat, kinds: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """Return the numbers that memory follows, each with the power of it at most; below 0 where it falls."""
    powers: dict[str, float] = {}
    for name in sorted({name for params, _ in flat for name in params}):
        rows = [
            (float(params[name]), memory_mb, kind)
            for (params, memory_mb), kind in zip(flat, kinds, strict=True)
            if _is_number(params.get(name))
        ]
        if not rows or (power := _named_power(name)) == 0:
            continue
        if power is None:
            tau = _kendall(rows[-_REMEMBERED:])
            power = math.copysign(_UNKNOWN_POWER, tau) if abs(tau) >= _TAU else 0.0
        if power:
            powers[name] = power
    return powers


def _kendall(rows: Sequence[tuple[float, float, tuple[str, ...]]]) -> float:
    """Return Kendall's τ of a number and memory, over pairs of a kind; 0 where they are too few to say."""
    signs = [(a - c) * (b - d) for (a, b, kind), (c, d, other) in combinations(rows, 2) if a != c and kind == other]
    if not signs or len(rows) < _LEARNED_FROM or len({row[0] for row in rows}) < 3:
        return 0.0
    return sum((sign > 0) - (sign < 0) for sign in signs) / len(signs)


def _kind_names(flat: _Flat) -> list[str]:
    """Return the parameters that divide runs into kinds."""
    names = {name for params, _ in flat for name, value in params.items() if isinstance(value, str | bool)}
    return [name for name in sorted(names) if _KINDS.search(name.lower()) or _divides(name, flat[-_REMEMBERED:])]


def _divides(name: str, flat: _Flat) -> bool:
    """Return whether most of what memory differs by follows the values of a parameter."""
    groups: dict[str, list[float]] = {}
    for params, memory_mb in flat:
        groups.setdefault(str(params.get(name)), []).append(math.log(memory_mb))
    everything = [value for group in groups.values() for value in group]
    if len(everything) < _LEARNED_FROM or not 1 < len(groups) <= len(everything) / 3:
        return False
    within = sum(_scatter(group) for group in groups.values())
    whole = _scatter(everything)
    return whole > 1e-4 * len(everything) and 1 - within / whole >= _CORRELATION_RATIO


def _scatter(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


# -- pace -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gains:
    """The runs per hour of a GPU with N runs at once, as a multiple of one at a time.

    Args:
        paces: How fast runs were; those measured by reports count where there are any, else whole runs.
    """

    paces: tuple[Pace, ...]

    @cached_property
    def counts(self) -> dict[int, int]:
        """Return how many paces there are of each number of runs at once."""
        numbers = [pace.at_once for pace in self._used]
        return {number: numbers.count(number) for number in sorted(set(numbers))}

    @cached_property
    def of(self) -> dict[int, float]:
        """Return the multiple by number of runs at once; 1 has 1.0, absent is what was not tried. {} without one."""
        if 1 not in self.counts:
            return {}
        return {number: number * math.exp(-self._costs.get(number, (0.0, 0.0))[0]) for number in self.counts}

    @cached_property
    def errors(self) -> dict[int, float]:
        """Return the standard error of the logarithm of `of`; infinite where there are too few paces to know."""
        return {number: error for number, (_, error) in self._costs.items()}

    @cached_property
    def _used(self) -> list[Pace]:
        by_reports = [pace for pace in self.paces if pace.of_reports]
        return (by_reports or list(self.paces))[-4 * _REMEMBERED :]

    @cached_property
    def _costs(self) -> dict[int, tuple[float, float]]:
        """Return the logarithm of how much slower a run is among N than alone, with its standard error.

        By least squares with a little ridge.
        """
        import numpy as np

        flat = [flattened(pace.params, keep_empty=False) for pace in self._used]
        names = [
            name
            for name in sorted({name for params in flat for name in params if _named_power(name)})
            if all(_is_number(params.get(name)) for params in flat) and len({params[name] for params in flat}) > 1
        ]
        sizes = np.log([[float(params[name]) for name in names] for params in flat]).reshape(len(flat), len(names))
        levels = [number for number in self.counts if number > 1]
        among = [[float(pace.at_once == number) for number in levels] for pace in self._used]
        left = np.hstack([np.ones((len(flat), 1)), sizes - sizes.mean(axis=0), np.array(among).reshape(len(flat), -1)])
        penalty = np.diag([0.0, *[_RIDGE] * len(names), *[0.0] * len(levels)])
        right = np.log([pace.unit_s for pace in self._used])
        inverse = np.linalg.pinv(left.T @ left + penalty)
        found = inverse @ left.T @ right
        free = len(flat) - left.shape[1]
        variance = float(np.sum((right - left @ found) ** 2)) / free if free > 0 else math.inf
        errors = np.sqrt(np.diag(inverse).clip(0.0))  # of unit variance
        return {
            number: (float(found[place]), math.sqrt(variance) * float(errors[place]))
            for place, number in enumerate(levels, start=1 + len(names))
        }
