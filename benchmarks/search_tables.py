"""The tables of benchmarks/search.py, in Markdown, with intervals over seeds."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from measuring import table

Found = Mapping[str, Mapping[str, Sequence[float]]]  # by problem and seed: regrets @25, @50, @100, CPU ms a proposal
_DRAWS = 2000
_LAST, _CPU = 2, 3
_AGAINST = "optuna"


def table_of(results: Mapping[str, Any], budget_s: float) -> list[str]:
    """Return the lines of all tables.

    Args:
        results: All that was measured.
        budget_s: Training seconds of a sweep of real trainings.
    """
    lines: list[str] = []
    for which in ("choosing", "confirmation"):
        for workers, engines in sorted(results.get(which, {}).items()):
            lines += ["", f"## {which}, {workers} worker{'s' if workers != '1' else ''}", ""]
            lines += _set_lines(engines)
        lines += _loss_lines(which, results.get(which, {}))
    lines += _failure_lines(results.get("failures", {}))
    lines += _time_lines(results.get("time", {}), budget_s)
    if costs := results.get("cost", {}):
        sizes = sorted({size for found in costs.values() for size in found}, key=int)
        lines += ["", "## CPU ms of a proposal, 13 dimensions: median / 95th percentile / greatest of 60", ""]
        rows = [
            [name, *(" / ".join(map(str, found[size])) if size in found else "–" for size in sizes)]
            for name, found in sorted(costs.items())
        ]
        lines.append(table(["engine", *(f"n = {size}" for size in sizes)], rows))
    return lines


# -- regrets ----------------------------------------------------------------------------------------------------------


def _set_lines(engines: Mapping[str, Found]) -> list[str]:
    """Return the table of a set with so many workers, and that of its problems."""
    head = ["engine", "seeds", "@25", "@50", "@100 [95 %]", "@100 as a part of Optuna's [95 %]", "better on", "worst"]
    rows = [_row(name, found, engines.get(_AGAINST, {})) for name, found in sorted(engines.items())]
    names = sorted(engines)
    problems = sorted({key for found in engines.values() for key in found})
    of_problems = [
        [key, *(f"{_mean(engines[name][key], _LAST):.3f}" if key in engines[name] else "–" for name in names)]
        for key in problems
    ]
    return [table([*head, "CPU ms a proposal"], rows), "", table(["@100", *names], of_problems)]


def _row(name: str, found: Found, optuna: Found) -> list[str]:
    counts = sorted({len(seeds) for seeds in found.values()})
    draws = _drawn(found, 0)
    low, high = np.percentile(draws, [2.5, 97.5])
    middle = [statistics.mean(_mean(seeds, place) for seeds in found.values()) for place in range(4)]
    cells = [name, "–".join(dict.fromkeys(map(str, (counts[0], counts[-1])))), f"{middle[0]:.3f}", f"{middle[1]:.3f}"]
    cells.append(f"{middle[_LAST]:.3f} [{low:.3f}, {high:.3f}]")
    return [*cells, *_against(name, found, optuna), f"{middle[_CPU]:.0f}"]


def _against(name: str, found: Found, optuna: Found) -> list[str]:
    """Return a ratio with its interval, on how many problems it is better, and the greatest loss."""
    both = [key for key in found if key in optuna]
    if name == _AGAINST or not both:
        return ["–"] * 3
    ours, theirs = ({key: side[key] for key in both} for side in (found, optuna))
    low, high = np.percentile(_drawn(ours, 0) / np.maximum(_drawn(theirs, 1), 1e-9), [2.5, 97.5])
    ratio = sum(_mean(ours[key], _LAST) for key in both) / sum(_mean(theirs[key], _LAST) for key in both)
    losses = {key: _mean(ours[key], _LAST) - _mean(theirs[key], _LAST) for key in both}
    worst = max(losses, key=lambda key: losses[key])
    better = f"{sum(loss < 0 for loss in losses.values())} of {len(both)}"
    return [f"{ratio:.2f} [{low:.2f}, {high:.2f}]", better, f"{losses[worst]:+.3f} ({worst})"]


def _drawn(found: Found, seed: int) -> Any:
    """Return the mean over the problems @100, of seeds drawn anew for each, many times."""
    dice = np.random.default_rng(seed)
    columns = [np.array([row[_LAST] for row in seeds.values()]) for seeds in found.values()]
    return np.mean([dice.choice(column, (_DRAWS, len(column))).mean(1) for column in columns], axis=0)


def _mean(found: Mapping[str, Sequence[float]], place: int) -> float:
    return statistics.mean(item[place] for item in found.values())


def _loss_lines(which: str, by_workers: Mapping[str, Mapping[str, Found]]) -> list[str]:
    """Return what many workers lose against one."""
    rows = []
    for workers in sorted(by_workers, key=int):
        for name, found in sorted(by_workers[workers].items()):
            serial = by_workers.get("1", {}).get(name, {})
            if workers != "1" and (both := [key for key in found if key in serial]):
                many, one = ({key: side[key] for key in both} for side in (found, serial))
                low, high = np.percentile(_drawn(many, 0) - _drawn(one, 1), [2.5, 97.5])
                mean = [statistics.mean(_mean(side[key], _LAST) for key in both) for side in (one, many)]
                change = f"{mean[1] / mean[0] - 1:+.0%}" if mean[0] > 0 else "–"
                rows.append([name, workers, *(f"{m:.3f}" for m in mean), change, f"[{low:+.3f}, {high:+.3f}]"])
    if not rows:
        return []
    head = ["engine", "workers", "@100, one worker", "@100, so many", "change", "difference, 95 %"]
    return ["", f"## {which}: what workers beside each other lose", "", table(head, rows)]


# -- failures, durations ----------------------------------------------------------------------------------------------


def _failure_lines(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for problem in sorted({key for item in found.values() for key in item}):
        for name in sorted(found):
            if known := list(found[name].get(problem, {}).values()):
                first, last, above = ([row[place] for row in known] for place in range(3))
                late = f"{min(last)}–{max(last)}, {statistics.mean(last):.1f}"
                over = f"{sum(count > 5 for count in last)} of {len(last)}"
                rows.append([problem, name, f"{min(first)}–{max(first)}", late, over, f"{max(above):.4f}"])
    if not rows:
        return []
    head = ["region", "engine", "first 50", "last 50: range, mean", "seeds above 5", "worst end above the optimum"]
    title = "## Regions where every run fails: failed runs among 100"
    return ["", title, "", table(head, rows)]


def _time_lines(found: Mapping[str, Any], budget_s: float) -> list[str]:
    if not found:
        return []
    rows, title = [], f"## Real trainings: best loss after a part of {budget_s:.0f} CPU seconds of training, means"
    for problem, engines in sorted(found.items()):
        for name, seeds in sorted(engines.items(), reverse=True):
            cells = [f"{statistics.mean(row[k] for row in seeds.values()):.4g}" for k in range(4)]
            rows.append([problem, name, str(len(seeds)), *cells, _duels(name, engines)])
    head = ["training", "engine", "seeds", "a quarter", "a half", "all", "runs", "pairs won / lost at all of it"]
    return ["", title, "", table(head, rows)]


def _duels(name: str, engines: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return how often an engine ended lower than the plain one with the same seed, and higher."""
    plain = engines.get("plain", {})
    pairs = [(row[_LAST], plain[seed][_LAST]) for seed, row in engines[name].items() if seed in plain]
    if name == "plain" or not pairs:
        return ""
    return f"{sum(ours < theirs for ours, theirs in pairs)} / {sum(ours > theirs for ours, theirs in pairs)}"
