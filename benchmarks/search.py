"""How well and how cheaply the engines search: ours, Optuna 5's default and W&B's own, on problems made here.

    python benchmarks/search.py --set choosing --seeds 3
    python benchmarks/search.py --set confirmation --engines bayes,optuna,wandb --workers 8 --seeds 20
    python benchmarks/search.py --failures
    python benchmarks/search.py --cost
    python benchmarks/search.py --time             # `sweepkit.cost: time` beside plain, on real trainings
    python benchmarks/search.py --table            # everything measured, into benchmarks/results/search.json

Normalised regret: (best so far - optimum) / (median best of ten random runs - optimum), cut at 1.5; 0 is the optimum, 1
what ten random runs find. Nothing was ever chosen by a problem of the set "confirmation": other functions, other
instances. Every result is a file of its own under `--cells`, by set, workers, engine, problem and seed, so a call that
is interrupted goes on and several go side by side. `bayes` is what the checkout at the head of the path has; `--label
NAME` records it under a name of its own: `git archive b530599e^ code | tar x -C FOLDER`, then `PYTHONPATH=FOLDER/code`
and `--label former` measure what `bayes` was before, Optuna's GPSampler behind our coding.
"""

import argparse
import heapq
import json
import math
import os
import random
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search_cells import Cells
from search_engines import Ours, engine_of
from search_problems import Problem, choosing, confirmation, failing
from search_tables import table_of

from sweepkit.model.runs import RunState, RunView

RESULTS = Path(__file__).resolve().parent / "results"
CELLS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweepkit-benchmarks" / "search"
RUNS = 100
AT = (25, 50, 100)
_COSTED = 62  # proposals; the first two load libraries and learn the hyperparameters from the start


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


def run_set(args: argparse.Namespace, cells: Cells) -> None:
    """Run what is missing of a set."""
    problems = {"choosing": choosing, "confirmation": confirmation}[args.set]()
    for seed in range(args.seeds):
        for problem in problems:
            if args.problems and problem.name not in args.problems.split(","):
                continue
            for name in args.engines.split(","):
                keys = (args.set, str(args.workers), args.label or name, problem.name, str(seed))
                if cells.get(keys) is None or args.again:
                    values, cpu = drive(name, problem, seed, workers=args.workers)
                    found = [*regrets(problem, values, scale_of(problem, cells)), round(1e3 * cpu / len(values), 1)]
                    keep(cells, keys, found)


def scale_of(problem: Problem, cells: Cells) -> float:
    """Return what ten random runs find, measured once."""
    keys = ("scale", problem.name)
    if cells.get(keys) is None:
        cells.put(keys, normal(problem))
    return float(cells.get(keys))


def keep(cells: Cells, keys: tuple[str, ...], found: Any) -> None:
    """Keep a measurement and say it."""
    cells.put(keys, found)
    print(*keys, found, flush=True)


def run_failures(args: argparse.Namespace, cells: Cells) -> None:
    """Count the failed runs of the first and the last fifty."""
    for seed in range(args.seeds):
        for problem in failing():
            if args.problems and problem.name not in args.problems.split(","):
                continue
            for name in args.engines.split(","):
                keys = ("failures", args.label or name, problem.name, str(seed))
                if cells.get(keys) is None or args.again:
                    values, _ = drive(name, problem, seed, workers=1)
                    bad = [not math.isfinite(value) for value in values]
                    best = min((v for v in values if math.isfinite(v)), default=math.inf)
                    keep(cells, keys, [sum(bad[:50]), sum(bad[50:]), round(best - problem.optimum, 4)])


def run_cost(args: argparse.Namespace, cells: Cells) -> None:
    """Measure CPU milliseconds of a proposal in 13 dimensions."""
    problem = choosing()[3]
    draws = Ours(problem, 99, "random")
    told = [draws.ask(number) or {} for number in range(max(args.sizes))]
    for name in args.engines.split(","):
        for size in args.sizes:
            times = sorted(_asked_ms(name, problem, told[:size]))
            found = [statistics.median(times), times[math.ceil(0.95 * len(times)) - 1], times[-1]]
            keep(cells, ("cost", args.label or name, str(size)), [round(ms, 1) for ms in found])


def _asked_ms(name: str, problem: Problem, told: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the CPU milliseconds of each proposal after so many told runs."""
    engine = Ours(problem, 1, None if name == "bayes" else name)
    for number, params in enumerate(told):
        view = RunView(
            number=number, run_id="", params=params, state=RunState.FINISHED, history=(problem.value(params),)
        )
        engine.show(view)
    times = []
    for number in range(len(told), len(told) + _COSTED):
        began = time.process_time()
        params = engine.ask(number)
        times.append(1e3 * (time.process_time() - began))
        engine.tell(number, problem.value(params or {}))
    return times[2:]


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


def run_time(args: argparse.Namespace, cells: Cells) -> None:
    """Search real trainings with and without `sweepkit.cost: time`."""
    for seed in range(args.seeds):
        for problem in trainings():
            if args.problems and problem.name not in args.problems.split(";"):
                continue
            for label, settings in {"plain": {}, "cost: time": {"cost": "time"}}.items():
                keys = ("time", problem.name, label, str(seed))
                if cells.get(keys) is None or args.again:
                    values, runs = timed(problem, seed, **settings)
                    keep(cells, keys, [*(round(value, 5) for value in values), runs])


def main() -> None:
    """Run what the command line asks for."""
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
    parser.add_argument("--table", action="store_true", help="print the tables, write the results")
    parser.add_argument("--out", type=Path, default=RESULTS / "search.json")
    parser.add_argument("--cells", type=Path, default=CELLS, help=f"folder of single results (default: {CELLS})")
    args = parser.parse_args()
    cells = Cells(args.out, args.cells)
    if args.set:
        run_set(args, cells)
    if args.failures:
        run_failures(args, cells)
    if args.cost:
        run_cost(args, cells)
    if args.time:
        run_time(args, cells)
    if args.table:
        results = cells.all()
        args.out.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print("\n".join(table_of(results, BUDGET_S)))


if __name__ == "__main__":
    main()
