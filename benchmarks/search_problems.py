"""The problems of benchmarks/search.py: made here, optimum known, for choosing, for confirmation, and failing ones.

Sources: the functions of Hansen et al. 2009 (bbob) with arities as in Tusar et al. 2019 (bbob-mixint), simplified: each
has a shift and, where it says so, a rotation drawn by the instance.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One function to minimize.

    Args:
        name: Its name.
        parameters: As W&B's YAML has them.
        value: The loss of a flat configuration; NaN: the run fails.
        optimum: Its least value.
        conditions: As `sweepkit.conditions`.
    """

    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    value: Callable[[Mapping[str, Any]], float]
    optimum: float = 0.0
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def config(self, **settings: Any) -> dict[str, Any]:
        """Return the sweep's YAML, with settings of `sweepkit:`."""
        if self.conditions:
            settings["conditions"] = dict(self.conditions)
        extensions = {"sweepkit": settings} if settings else {}
        metric = {"name": "loss", "goal": "minimize"}
        return {
            "program": "p.py",
            "method": "bayes",
            "metric": metric,
            "parameters": dict(self.parameters),
            **extensions,
        }


# -- problems ---------------------------------------------------------------------------------------------------------


def _sphere(z: np.ndarray) -> float:
    return float(z @ z)


def _ellipsoid(z: np.ndarray) -> float:
    return float((10 ** (3 * np.arange(len(z)) / max(1, len(z) - 1))) @ z**2)


def _rastrigin(z: np.ndarray) -> float:
    return float(10 * (len(z) - np.cos(2 * np.pi * z).sum()) + z @ z)


def _rosenbrock(z: np.ndarray) -> float:
    z = 0.5 * z + 1
    return float((100 * (z[1:] - z[:-1] ** 2) ** 2 + (z[:-1] - 1) ** 2).sum())


def _steps(z: np.ndarray) -> float:
    return float(
        (10 ** (2 * np.arange(len(z)) / max(1, len(z) - 1))) @ np.floor(np.abs(z) + 0.5) ** 2 + 0.01 * abs(z[0])
    )


def _sector(z: np.ndarray) -> float:
    return float((np.where(z > 0, 30.0, 1.0) * np.abs(z)).sum() ** 0.9)


def _powers(z: np.ndarray) -> float:
    return float(np.sqrt((np.abs(z) ** (2 + 4 * np.arange(len(z)) / max(1, len(z) - 1))).sum()))


def _ackley(z: np.ndarray) -> float:
    return float(20 + math.e - 20 * np.exp(-0.2 * np.sqrt((z @ z) / len(z))) - np.exp(np.cos(2 * np.pi * z).mean()))


def mixed(name: str, f: Callable[[np.ndarray], float], arities: Sequence[int], seed: int, *, turn: bool) -> Problem:
    """Return a function over [-5, 5]: arity 0 is real, -1 real on a logarithmic scale, another an integer's values."""
    dice = np.random.default_rng(seed)
    d = len(arities)
    places = dice.uniform(-4, 4, d)
    for i, arity in enumerate(arities):
        if arity > 0:
            places[i] = -5 + 10 * dice.integers(0, arity) / (arity - 1)
    rotation = np.linalg.qr(dice.standard_normal((d, d)))[0] if turn else np.eye(d)
    parameters: dict[str, dict[str, Any]] = {}
    for i, arity in enumerate(arities):
        if arity == 0:
            parameters[f"x{i:02}"] = {"min": -5.0, "max": 5.0}
        elif arity < 0:
            parameters[f"x{i:02}"] = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0}
        else:
            parameters[f"x{i:02}"] = {"min": 0, "max": arity - 1}

    def value(params: Mapping[str, Any]) -> float:
        x = [
            v if arity == 0 else 2 * math.log10(v) + 5 if arity < 0 else -5 + 10 * v / (arity - 1)
            for v, arity in zip((params[f"x{i:02}"] for i in range(d)), arities, strict=True)
        ]
        return f(rotation @ (np.array(x) - places))

    return Problem(name=name, parameters=parameters, value=value)


def table(name: str, sizes: Sequence[int], seed: int, *, ordered: bool) -> Problem:
    """Return a table of choices: effects of each, of pairs, a ceiling; ordered ones are numbers with plateaus."""
    dice = np.random.default_rng(seed)
    d = len(sizes)
    if ordered:  # a value's effect: a valley whose floor and slopes are rounded to few levels
        alone = [np.round(3 * (np.arange(k) / (k - 1) - dice.uniform(0.1, 0.9)) ** 2, 1) for k in sizes]
    else:
        alone = [dice.exponential(1.0, k) for k in sizes]
    pairs = {
        (i, j): 0.7 * dice.exponential(1.0, (sizes[i], sizes[j])) for i in range(d) for j in range(i) if (i + j) % 2
    }
    names = [f"c{i}" for i in range(d)]
    values = [[2**v for v in range(k)] if ordered else [f"v{v}" for v in range(k)] for k in sizes]
    places = [{value: place for place, value in enumerate(listed)} for listed in values]

    def at(where: Sequence[int]) -> float:
        total = sum(alone[i][v] for i, v in enumerate(where)) + sum(
            t[where[i], where[j]] for (i, j), t in pairs.items()
        )
        return float(np.round(total, 1 if ordered else 6))

    best = min(at(where) for where in product(*(range(k) for k in sizes)))
    return Problem(
        name=name,
        parameters={key: {"values": listed} for key, listed in zip(names, values, strict=True)},
        value=lambda params: at([places[i][params[key]] for i, key in enumerate(names)]),
        optimum=best,
    )


def branches(name: str, seed: int) -> Problem:
    """Return a conditional problem: three optimizers, each with settings of its own."""
    dice = np.random.default_rng(seed)
    kinds = ("adam", "sgd", "lion")
    base = dict(zip(kinds, dice.uniform(0, 0.4, 3), strict=True))
    places = {kind: dice.uniform(0.2, 0.8, 3) for kind in kinds}
    parameters: dict[str, dict[str, Any]] = {"kind": {"values": list(kinds)}, "width": {"min": 1, "max": 16}}
    for kind in kinds:
        parameters[f"{kind}_lr"] = {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1}
        parameters[f"{kind}_m"] = {"min": 0.0, "max": 1.0}

    def value(params: Mapping[str, Any]) -> float:
        kind = params["kind"]
        lr = (math.log10(params[f"{kind}_lr"]) + 5) / 4
        x = np.array([lr, params[f"{kind}_m"], (params["width"] - 1) / 15])
        return float(base[kind] + 4 * ((x - places[kind]) ** 2 * [4, 1, 1]).sum())

    grid = [min(4 * ((w / 15) - places[kind][2]) ** 2 for w in range(16)) + base[kind] for kind in kinds]
    conditions = {f"{kind}_{part}": {"when": {"kind": kind}} for kind in kinds for part in ("lr", "m")}
    return Problem(name=name, parameters=parameters, value=value, optimum=float(min(grid)), conditions=conditions)


def choosing() -> list[Problem]:
    """Return the problems that settings may be chosen by."""
    return [
        mixed("sphere5-mixint", _sphere, (2, 4, 8, 16, 0), 1, turn=False),
        mixed("ellipsoid6", _ellipsoid, (0,) * 6, 2, turn=True),
        mixed("rastrigin5-mixint", _rastrigin, (0, 0, 11, 11, 6), 3, turn=False),
        mixed("ackley13-mixed", _ackley, (-1, -1, 0, 0, 0, 5, 5, 9, 17, 2, 3, 0, 0), 4, turn=False),
        table("choices6", (5,) * 6, 5, ordered=False),
        table("ordinal5", (4, 6, 8, 8, 10), 6, ordered=True),
        branches("branches-a", 7),
    ]


def confirmation() -> list[Problem]:
    """Return the problems that nothing is ever chosen by."""
    return [
        mixed("rosenbrock5", _rosenbrock, (0,) * 5, 101, turn=False),
        mixed("steps8-mixint", _steps, (0, 0, 4, 8, 16, 16, 0, 0), 102, turn=True),
        mixed("sector6-mixint", _sector, (0, 0, 0, 8, 16, 4), 103, turn=False),
        mixed("powers10", _powers, (0, -1) * 5, 104, turn=True),
        table("choices8", (4,) * 8, 105, ordered=False),
        table("ordinal4", (12, 7, 9, 11), 106, ordered=True),
        branches("branches-b", 107),
        mixed("ellipsoid13-mixed", _ellipsoid, (-1, 0, 3, 3, 9, 0, 0, 5, 17, -1, 2, 2, 0), 108, turn=False),
    ]


def failing() -> list[Problem]:
    """Return problems with a region where every run fails."""

    def edge(p: Mapping[str, Any]) -> float:
        lr = math.log10(p["lr"])
        return (
            math.nan
            if lr > -1.5 + 0.5 * (p["m"] - 0.5)
            else 0.3 - 0.2 * (lr + 1.5) + (p["m"] - 0.6) ** 2 + 0.2 * p["d"]
        )

    def memory(p: Mapping[str, Any]) -> float:
        used = p["width"] * p["batch"]
        return math.nan if used > 4096 else 1 - math.log2(used) / 12 + (math.log10(p["lr"]) + 3) ** 2 / 4

    def choices(p: Mapping[str, Any]) -> float:
        broken = p["opt"] in ("b", "d") or p["act"] == "z"
        cost = {"a": 0.3, "c": 0.0, "e": 0.2}.get(p["opt"], -0.2)
        return math.nan if broken else cost + (math.log10(p["lr"]) + 3) ** 2 / 4 + 0.1 * (p["act"] == "y")

    rate = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0}
    unit = {"min": 0.0, "max": 1.0}
    best = minimize_edge()
    return [
        Problem(name="diverging edge", parameters={"lr": rate, "m": unit, "d": unit}, value=edge, optimum=best),
        Problem(
            name="out of memory",
            parameters={"lr": rate, "width": {"min": 8, "max": 512}, "batch": {"values": [4, 8, 16, 32, 64]}},
            value=memory,
        ),
        Problem(
            name="failing choices",
            parameters={"lr": rate, "opt": {"values": list("abcde")}, "act": {"values": list("xyz")}},
            value=choices,
        ),
    ]


def minimize_edge() -> float:
    """Return the least value along the edge: lr as large as the momentum allows."""
    return min(0.3 - 0.1 * (m - 0.5) + (m - 0.6) ** 2 for m in np.linspace(0, 1, 100_001).tolist())
