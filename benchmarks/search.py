"""How well and how cheaply the engines search: ours, Optuna 5's default and W&B's own, on problems made here.

    python benchmarks/search.py --set choosing --seeds 3
    python benchmarks/search.py --set confirmation --engines bayes,optuna --workers 8
    python benchmarks/search.py --failures
    python benchmarks/search.py --cost
    python benchmarks/search.py --time             # `sweepkit.cost: time` beside plain, on real trainings
    python benchmarks/search.py --table            # from benchmarks/results/search.json

Normalised regret: (best so far - optimum) / (median best of ten random runs - optimum), cut at 1.5; 0 is the optimum, 1
what ten random runs find. Nothing was ever chosen by a problem of the set "confirmation": other functions, other
instances. Every result is added to the JSON file under set, workers, engine, problem and seed, so a call that is
interrupted goes on. `bayes` is what the checkout at the head of the path has; `--label NAME` records it under a name of
its own.

Sources: the functions of Hansen et al. 2009 (bbob) with arities as in Tusar et al. 2019 (bbob-mixint), simplified: each
has a shift and, where it says so, a rotation drawn by the instance.
"""

import argparse
import heapq
import json
import math
import random
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sweepkit.model.runs import Exhausted, RunState, RunView
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.read import from_config

RESULTS = Path(__file__).resolve().parent / "results"
RUNS = 100
AT = (25, 50, 100)


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


# -- engines ----------------------------------------------------------------------------------------------------------


class Ours:
    """One of the product's engines."""

    def __init__(self, problem: Problem, seed: int, sampler: str | None, **settings: Any) -> None:
        self._engine = make_engine(from_config(problem.config(**settings)), seed=seed, sampler=sampler)
        self._runs: dict[int, RunView] = {}

    def ask(self, number: int) -> dict[str, Any] | None:
        """Return a configuration, None when there is none left."""
        found = self._engine.ask(number)
        if isinstance(found, Exhausted):
            return None
        params = dict(found.params)
        self._runs[number] = RunView(
            number=number, run_id=str(number), params=params, state=RunState.RUNNING, info=found.info
        )
        self._engine.tell(self._runs[number])
        return params

    def tell(self, number: int, value: float, seconds: float | None = None) -> None:
        """Take a value in; NaN: failed."""
        good = math.isfinite(value)
        state, history = (RunState.FINISHED, (value,)) if good else (RunState.FAILED, ())
        self._engine.tell(replace(self._runs[number], state=state, history=history, seconds=seconds))


class Optuna:
    """Optuna's default sampler on a live study."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._problem = problem
        self._trials: dict[int, Any] = {}

    def ask(self, number: int) -> dict[str, Any]:
        """Return a configuration."""
        trial = self._trials[number] = self._study.ask()
        params: dict[str, Any] = {}
        for name, item in self._problem.parameters.items():
            when = self._problem.conditions.get(name, {}).get("when", {})
            if all(params[parent] == wanted for parent, wanted in when.items()):
                params[name] = _suggested(trial, name, item)
        return params

    def tell(self, number: int, value: float) -> None:
        """Take a value in; NaN: failed."""
        import optuna

        if math.isfinite(value):
            self._study.tell(self._trials[number], value)
        else:
            self._study.tell(self._trials[number], state=optuna.trial.TrialState.FAIL)


def _suggested(trial: Any, name: str, item: Mapping[str, Any]) -> Any:
    if "values" in item:
        return trial.suggest_categorical(name, item["values"])
    if isinstance(item["min"], int):
        return trial.suggest_int(name, item["min"], item["max"])
    return trial.suggest_float(name, item["min"], item["max"], log="distribution" in item)


class Wandb:
    """W&B's own engine, the package `sweeps`."""

    def __init__(self, problem: Problem, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sweeps

        self._sweeps = sweeps
        self._config = {key: value for key, value in problem.config().items() if key not in ("sweepkit", "program")}
        self._runs: dict[int, Any] = {}
        self._random = np.random.RandomState(seed)

    def ask(self, number: int) -> dict[str, Any]:
        """Return a configuration."""
        np.random.set_state(self._random.get_state())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = self._sweeps.next_run(self._config, list(self._runs.values()))
        self._random.set_state(np.random.get_state())
        self._runs[number] = self._sweeps.SweepRun(name=str(number), state="running", config=run.config)
        return {key: item["value"] for key, item in run.config.items()}

    def tell(self, number: int, value: float) -> None:
        """Take a value in; NaN: failed."""
        good = math.isfinite(value)
        summary = {"loss": value} if good else {}
        run = self._runs[number]
        self._runs[number] = self._sweeps.SweepRun(
            name=str(number), state="finished" if good else "failed", config=run.config, summary_metrics=summary
        )


def engine_of(name: str, problem: Problem, seed: int) -> Any:
    """Return an engine by its name in the tables."""
    if name == "optuna":
        return Optuna(problem, seed)
    return Wandb(problem, seed) if name == "wandb" else Ours(problem, seed, None if name == "bayes" else name)


# -- driving ----------------------------------------------------------------------------------------------------------


def drive(name: str, problem: Problem, seed: int, *, workers: int, runs: int = RUNS) -> tuple[list[float], float]:
    """Return the values in order of their end, and the CPU seconds of all proposals.

    Workers live in virtual time: the durations are lognormal, drawn by the seed.
    """
    engine = engine_of(name, problem, seed)
    dice = random.Random(seed)
    ends: list[tuple[float, int, float]] = []
    values: list[float] = []
    now, cpu, asked = 0.0, 0.0, 0
    while len(values) < runs:
        while len(ends) < workers and asked < runs:
            began = time.process_time()
            params = engine.ask(asked)
            cpu += time.process_time() - began
            if params is None:
                return values, cpu
            heapq.heappush(ends, (now + dice.lognormvariate(0, 0.5), asked, problem.value(params)))
            asked += 1
        now, number, value = heapq.heappop(ends)
        engine.tell(number, value)
        values.append(value)
    return values, cpu


def normal(problem: Problem) -> float:
    """Return what ten random runs find: the median over 200 tries."""
    found = []
    for seed in range(200):
        engine = Ours(problem, seed, "random")
        values = [problem.value(engine.ask(number) or {}) for number in range(10)]
        found.append(min((v for v in values if math.isfinite(v)), default=math.inf))
    return statistics.median(found)


def regrets(problem: Problem, values: Sequence[float], scale: float) -> list[float]:
    """Return the normalised regret at 25, 50 and 100 runs."""
    found = []
    for at in AT:
        best = min((v for v in values[:at] if math.isfinite(v)), default=math.inf)
        found.append(round(min(1.5, max(0.0, (best - problem.optimum) / (scale - problem.optimum))), 4))
    return found


def run_set(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Run what is missing of a set."""
    for problem in {"choosing": choosing, "confirmation": confirmation}[args.set]():
        if args.problems and problem.name not in args.problems.split(","):
            continue
        scale = results.setdefault("scale", {}).setdefault(problem.name, None) or normal(problem)
        results["scale"][problem.name] = scale
        for name in args.engines.split(","):
            label = args.label or name
            place = results.setdefault(args.set, {}).setdefault(str(args.workers), {}).setdefault(label, {})
            for seed in range(args.seeds):
                known = place.setdefault(problem.name, {})
                if str(seed) in known and not args.again:
                    continue
                values, cpu = drive(name, problem, seed, workers=args.workers)
                known[str(seed)] = [*regrets(problem, values, scale), round(1e3 * cpu / len(values), 1)]
                print(args.set, args.workers, label, problem.name, seed, known[str(seed)], flush=True)
                save(args.out, results)


def run_failures(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Count the failed runs of the first and the last fifty."""
    for problem in failing():
        for name in args.engines.split(","):
            known = results.setdefault("failures", {}).setdefault(args.label or name, {}).setdefault(problem.name, {})
            for seed in range(args.seeds):
                if str(seed) in known and not args.again:
                    continue
                values, _ = drive(name, problem, seed, workers=1)
                bad = [not math.isfinite(value) for value in values]
                best = min((v for v in values if math.isfinite(v)), default=math.inf)
                known[str(seed)] = [sum(bad[:50]), sum(bad[50:]), round(best - problem.optimum, 4)]
                print("failures", args.label or name, problem.name, seed, known[str(seed)], flush=True)
                save(args.out, results)


def run_cost(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure CPU milliseconds of a proposal in 13 dimensions."""
    problem = choosing()[3]
    draws = Ours(problem, 99, "random")
    told = [draws.ask(number) or {} for number in range(max(args.sizes) + 20)]
    for name in args.engines.split(","):
        for size in args.sizes:
            engine = Ours(problem, 1, None if name == "bayes" else name)
            for number, params in enumerate(told[:size]):
                view = RunView(
                    number=number, run_id="", params=params, state=RunState.FINISHED, history=(problem.value(params),)
                )
                engine._engine.tell(view)
            times = []
            for number in range(size, size + 20):
                began = time.process_time()
                engine.ask(number)
                times.append(1e3 * (time.process_time() - began))
                engine.tell(number, problem.value(engine._runs[number].params))
            times = sorted(times[2:])  # a library is loaded, the hyperparameters are learned from the start
            found = [round(statistics.median(times), 1), round(times[-1], 1)]
            results.setdefault("cost", {}).setdefault(args.label or name, {})[str(size)] = found
            print("cost", name, size, found, flush=True)
            save(args.out, results)


# -- real trainings, whose duration depends on the configuration ------------------------------------------------------

BUDGET_S = 12.0  # CPU seconds of training in a sweep


def trainings() -> list[Problem]:
    """Return real trainings of scikit-learn; the loss is that of held-out examples."""
    from sklearn.datasets import load_digits, make_friedman1
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    x, y = make_friedman1(1500, noise=1.0, random_state=3)
    images, digits = load_digits(return_X_y=True)

    def boosting(p: Mapping[str, Any]) -> float:
        trees = {**p, "n_estimators": int(p["n_estimators"])}
        model = GradientBoostingRegressor(**trees, random_state=0).fit(x[:700], y[:700])
        return float(((model.predict(x[700:]) - y[700:]) ** 2).mean())

    def network(p: Mapping[str, Any]) -> float:
        model = MLPClassifier(
            (int(p["width"]),),
            alpha=p["alpha"],
            learning_rate_init=p["lr"],
            max_iter=int(p["epochs"]),
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            model.fit(images[:600], digits[:600])
        return float(log_loss(digits[600:], model.predict_proba(images[600:])))

    forests = {
        "n_estimators": {"distribution": "q_log_uniform_values", "min": 10, "max": 500},
        "max_depth": {"min": 1, "max": 8},
        "learning_rate": {"distribution": "log_uniform_values", "min": 0.01, "max": 0.5},
        "subsample": {"min": 0.2, "max": 1.0},
    }
    layers = {
        "width": {"distribution": "q_log_uniform_values", "min": 4, "max": 400},
        "epochs": {"distribution": "q_log_uniform_values", "min": 2, "max": 60},
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
        "alpha": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1.0},
    }
    return [
        Problem(name="friedman, boosting", parameters=forests, value=boosting),
        Problem(name="digits, network", parameters=layers, value=network),
    ]


def timed(problem: Problem, seed: int, **settings: Any) -> tuple[list[float], int]:
    """Return the best loss after a quarter, a half and all of the budget, and the number of runs."""
    engine, spent, best, number = Ours(problem, seed, None, **settings), 0.0, math.inf, 0
    found = dict.fromkeys((0.25, 0.5, 1.0), math.nan)
    while spent < BUDGET_S:
        params = engine.ask(number) or {}
        began = time.process_time()
        value = problem.value(params)
        took = time.process_time() - began
        engine.tell(number, value, took)
        spent, number = spent + took, number + 1
        best = min(best, value) if spent <= BUDGET_S else best
        for part in found:
            if spent <= part * BUDGET_S:
                found[part] = best
    return list(found.values()), number


def run_time(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Search real trainings with and without `sweepkit.cost: time`."""
    for problem in trainings():
        if args.problems and problem.name not in args.problems.split(";"):
            continue
        for seed in range(args.seeds):
            for label, settings in {"plain": {}, "cost: time": {"cost": "time"}}.items():
                known = results.setdefault("time", {}).setdefault(problem.name, {}).setdefault(label, {})
                if str(seed) in known and not args.again:
                    continue
                values, runs = timed(problem, seed, **settings)
                known[str(seed)] = [*(round(value, 5) for value in values), runs]
                print("time", problem.name, label, seed, known[str(seed)], flush=True)
                save(args.out, results)


# -- the table --------------------------------------------------------------------------------------------------------


def save(path: Path, results: dict[str, Any]) -> None:
    """Write the results."""
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def table_of(results: dict[str, Any]) -> list[str]:
    """Return the lines of all tables."""
    lines: list[str] = []
    for which in ("choosing", "confirmation"):
        for workers, engines in sorted(results.get(which, {}).items()):
            lines += ["", f"## {which}, {workers} worker{'s' if workers != '1' else ''}", ""]
            lines += ["| engine | seeds | problems | @25 | @50 | @100 | better than Optuna @100 | CPU ms a proposal |"]
            lines += ["|---|---|---|---|---|---|---|---|"]
            lines += [_line(name, found, engines.get("optuna", {})) for name, found in sorted(engines.items())]
            lines += ["", *_by_problem(engines)]
    lines += _failure_lines(results.get("failures", {}))
    lines += _time_lines(results.get("time", {}))
    if costs := results.get("cost", {}):
        sizes = sorted({size for found in costs.values() for size in found}, key=int)
        lines += ["", "## CPU ms of a proposal, 13 dimensions: median / greatest of 18", ""]
        lines += ["| engine | " + " | ".join(f"n = {size}" for size in sizes) + " |", "|---|" + "---|" * len(sizes)]
        for name, found in sorted(costs.items()):
            cells = [" / ".join(map(str, found[size])) if size in found else "–" for size in sizes]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _mean(found: Mapping[str, Sequence[float]], place: int) -> float:
    return statistics.mean(item[place] for item in found.values())


def _line(name: str, found: Mapping[str, Any], optuna: Mapping[str, Any]) -> str:
    cells = [statistics.mean(_mean(item, place) for item in found.values()) for place in range(4)]
    both = [key for key in found if key in optuna]
    wins = sum(_mean(found[key], 2) < _mean(optuna[key], 2) for key in both)
    seeds = sorted({len(item) for item in found.values()})
    counts = "–".join(map(str, seeds))
    against = "–" if name == "optuna" else f"{wins} of {len(both)}"
    middle = " | ".join(f"{cell:.3f}" for cell in cells[:3])
    return f"| {name} | {counts} | {len(found)} | {middle} | {against} | {cells[3]:.0f} |"


def _by_problem(engines: Mapping[str, Any]) -> list[str]:
    names = sorted(engines)
    problems = sorted({key for found in engines.values() for key in found})
    lines = ["| @100 | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for problem in problems:
        cells = [f"{_mean(engines[name][problem], 2):.3f}" if problem in engines[name] else "–" for name in names]
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    return lines


def _failure_lines(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    lines = ["", "## Regions where every run fails: failed among the first / last 50 of 100, end above the optimum", ""]
    names = sorted(found)
    lines += ["| region | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for problem in sorted({key for item in found.values() for key in item}):
        cells = []
        for name in names:
            rows = list(found[name].get(problem, {}).values())
            spans = [f"{min(r[k] for r in rows)}–{max(r[k] for r in rows)}" for k in range(3)] if rows else ["–"]
            cells.append(f"{spans[0]} / {spans[1]}, {spans[2]}" if rows else "–")
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    return lines


def _time_lines(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    lines = ["", f"## Real trainings: best loss after a part of {BUDGET_S:.0f} CPU seconds of training, means", ""]
    lines += ["| training | engine | seeds | a quarter | a half | all | runs |", "|---|---|---|---|---|---|---|"]
    for problem, engines in sorted(found.items()):
        for name, rows in sorted(engines.items(), reverse=True):
            cells = [f"{statistics.mean(row[k] for row in rows.values()):.4g}" for k in range(4)]
            lines.append(f"| {problem} | {name} | {len(rows)} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Run what the command line asks for, and write the table anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--set", choices=("choosing", "confirmation"))
    parser.add_argument("--engines", default="bayes,optuna")
    parser.add_argument("--problems", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--label", default="")
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument(
        "--sizes", type=lambda text: [int(part) for part in text.split(",")], default=[20, 100, 300, 1000]
    )
    parser.add_argument("--again", action="store_true", help="run anew what is recorded")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "search.json")
    args = parser.parse_args()
    results = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    if args.set:
        run_set(args, results)
    if args.failures:
        run_failures(args, results)
    if args.cost:
        run_cost(args, results)
    if args.time:
        run_time(args, results)
    if args.table:
        print("\n".join(table_of(results)))


if __name__ == "__main__":
    main()
