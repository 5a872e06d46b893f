"""Is what is printed true? Each claim of console and report on sweeps whose truth is known: told against held.

    python benchmarks/truth.py              every claim, about 10 minutes of CPU
    python benchmarks/truth.py --quick      the gross cells, about a minute; exit code 1 where one is missed
    python benchmarks/truth.py --only lead comparison

A line of the table is a claim, a truth, how many runs or seeds, what the sentence promises ("at most .05"), how often
it held in so many repetitions, and whether that keeps the promise within twice its Monte-Carlo error. Lines without a
promise are figures beside a claim: how often what is there is seen. Truths are others than the tests'.

importance   sweeps of our own TPE and Gaussian process, and random ones of 1,000 runs; A learning rate and batch
             size, B one bad scheduler too, D an interaction, C a conditional parameter, F a column that goes with the
             learning rate (r .9), N noise alone
matrix       the same sweeps: parameters or metrics that chance links are not shown as beyond it
lead         best against second with several seeds, and the noise that is said with one
looks        a metric that is noise, runs of 2 to 40 reports
failures     failures at random, and all of one corner
audit        the interval of a stopping rule's false stops, by the exact binomial
comparison   models that do not differ, or by the margin
confirmation the chance to be the best on this validation set, by bins; the regret that is left, beside that of an
             oracle that knows how means and seeds scatter (oracle.py): no procedure is expected to leave less
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from measuring import parser, table
from scipy.stats import binom  # type: ignore[import-untyped]
from scipy.stats import f as fisher  # type: ignore[import-untyped]
from worlds import WORLDS, Raced, bins, raced

from sweepkit.analysis.association import associations
from sweepkit.analysis.failures import failure_places
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.importance import ForestEffort, importances
from sweepkit.analysis.importance_result import Verdict
from sweepkit.analysis.lead import Sureness, lead
from sweepkit.analysis.looks import unequal_looks
from sweepkit.analysis.table import RunTable, from_runs
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import Proposal, RunState, RunView
from sweepkit.search.make import make_engine
from sweepkit.stats.comparison import ComparisonSettings, Conclusion, compare
from sweepkit.stats.groups import ModelScores
from sweepkit.stats.shares import clopper_pearson
from sweepkit.stats.top_two import lead_quantile
from sweepkit.sweep_config.read import read_sweep_text

_SPACE = """
method: bayes
metric: {name: value, goal: maximize}
sweepkit: {sampler: tpe}
parameters:
  lr: {distribution: log_uniform_values, min: 1.0e-6, max: 1.0e-2}
  batch: {values: [4, 8, 16, 32]}
  weight_decay: {distribution: log_uniform_values, min: 1.0e-6, max: 1.0e-1}
  dropout: {min: 0.0, max: 0.5}
  warmup: {min: 0.0, max: 0.2}
  layers: {distribution: int_uniform, min: 2, max: 8}
  scheduler: {values: [cosine, linear, constant, polynomial]}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How often a claim held.

    Args:
        claim, truth: Which.
        n: Runs of a sweep, or seeds.
        share: How often what `claim` names happened, in [0, 1].
        times: Of so many.
        most, least: What is promised; None where nothing is.
    """

    claim: str
    truth: str
    n: int
    share: float
    times: int
    most: float | None = None
    least: float | None = None

    @property
    def error(self) -> float:
        """Return twice the Monte-Carlo error at what is promised."""
        promised = self.most if self.most is not None else self.least if self.least is not None else self.share
        return 2 * float(np.sqrt(max(promised * (1 - promised), 1e-9) / max(1, self.times)))

    @property
    def kept(self) -> bool:
        """Return whether the promise is kept within that error."""
        low = self.least is None or self.share >= self.least - self.error
        return low and (self.most is None or self.share <= self.most + self.error)


def counted(claim: str, truth: str, n: int, happened: Sequence[bool], **promised: float | None) -> Held:
    """Return how often a claim's event happened; `promised`: most, least."""
    return Held(claim=claim, truth=truth, n=n, share=fmean(happened), times=len(happened), **promised)


# -- engine-led sweeps -------------------------------------------------------------------------------------------------

Params = dict[str, float | int | str]


def _u(p: Params) -> float:
    return (float(np.log10(float(p["lr"]))) + 4) / 2


def _parabola(p: Params) -> float:
    return -((_u(p) - 0.2) ** 2) / float(np.sqrt(4 / 45 + 4 * 0.04 / 3))


def _b(p: Params) -> float:
    return (float(np.log2(float(p["batch"]))) - 3.5) / float(np.sqrt(1.25))


def _bad(p: Params) -> float:
    return -(float(p["scheduler"] == "polynomial") - 0.25) / float(np.sqrt(3 / 16))


def _only_if(p: Params) -> float:
    return (_u(p) if p["scheduler"] in ("cosine", "linear") else 0.0) + _parabola(p)


TRUTHS: dict[str, tuple[Callable[[Params, float], float], tuple[str, ...]]] = {
    "A": (lambda p, e: 0.70**0.5 * _parabola(p) + 0.11**0.5 * _b(p) + 0.20**0.5 * e, ("lr", "batch")),
    "B": (
        lambda p, e: 0.52**0.5 * _parabola(p) + 0.29**0.5 * _bad(p) + 0.05**0.5 * _b(p) + 0.14**0.5 * e,
        ("lr", "scheduler", "batch"),
    ),
    "C": (lambda p, e: 0.8 * _only_if(p) + 0.45 * e, ("lr", "scheduler")),
    "D": (lambda p, e: -((_u(p) - 0.45 * _b(p)) ** 2) / 0.45 + 0.15**0.5 * e, ("lr", "batch")),
    "F": (lambda p, e: 0.8**0.5 * _parabola(p) + 0.2**0.5 * e, ("lr",)),
    "N": (lambda p, e: e, ()),
}


_KNOWN = ("A", "B", "C", "D")  # truths whose form least squares can be told


def led(kind: str, n: int, seed: int, method: str = "tpe") -> RunTable:
    """Return a sweep of our own TPE, of our own Gaussian process ("bayes"), or a random one, as the record gives it."""
    rng = np.random.default_rng([ord(kind), n, seed, 77])
    space = _SPACE if method == "tpe" else _SPACE.replace("bayes", method).replace("sweepkit: {sampler: tpe}", "")
    spec = read_sweep_text(space)
    engine, runs = make_engine(spec, seed=seed), []
    for number in range(n):
        proposal = engine.ask(number)
        assert isinstance(proposal, Proposal)
        params: Params = dict(proposal.params)
        value = TRUTHS[kind][0](params, float(rng.normal()))
        done = RunState.FINISHED
        engine.tell(RunView(number=number, run_id=f"r{number}", params=params, state=done, history=(value,)))
        if kind == "F":  # logged beside it, and moved with it
            params = params | {"lr_head": float(10 ** (np.log10(float(params["lr"])) * 0.9 + 0.45 * rng.normal()))}
        runs.append(
            RunRecord(run_id=f"r{number}", sweep_id=kind, number=number, params=params, state=done, history=(value,))
        )
    return from_runs(spec, runs)


def importance(quick: bool) -> Iterator[Held]:
    """Yield how often a parameter without effect is clear, and what is seen, and the matrix of the same sweeps."""
    sizes = {60: 6} if quick else {30: 16, 100: 20, 300: 3}
    for kind in ("A", "N") if quick else TRUTHS:
        for n, times in sizes.items():
            yield from _judged(kind, n, times)
    if not quick:
        for kind in TRUTHS:
            yield from _judged(kind, 100, 6, "bayes")
        # beyond 250 configurations a refit of the forest has fewer trees
        yield from _judged("A", 1000, 1)
        for kind in ("A", "N"):
            yield from _judged(kind, 1000, 3, "random")


def _judged(kind: str, n: int, times: int, method: str = "tpe") -> Iterator[Held]:
    """Yield what is said of one kind of sweeps."""
    real, where = TRUTHS[kind][1], f"{kind}, {method}"
    tables = [led(kind, n, seed, method) for seed in range(times)]
    found = [importances(item) for item in tables]
    clear = [{share.name for share in result.shares if share.verdict is Verdict.CLEAR} for result in found]
    names = {share.name for result in found for share in result.shares}
    nulls = [name in seen for seen in clear for name in sorted(names - set(real))]
    yield counted('"clear" of a null', where, n, nulls, most=0.02)
    for name in real:
        yield counted(f'"clear" of {name}', where, n, [name in seen for seen in clear])
    if real:
        yield counted("what matters on top", where, n, [set(result.top(len(real))) == set(real) for result in found])
    if kind in _KNOWN:
        knows = [set(_by_known_form(item, kind)[: len(real)]) == set(real) for item in tables]
        yield counted("the same by an F test that knows the form", where, n, knows)
    if kind == "F":
        yield counted("both of r .9 clear", where, n, [{"lr", "lr_head"} <= seen for seen in clear], most=0.0)
    cells = [any(cell.shown for cell in associations(item).cells) for item in tables]
    yield counted("a cell beyond chance", where, n, cells, most=0.05 if method != "random" or not real else None)


def _by_known_form(table: RunTable, kind: str) -> list[str]:
    """Return the parameters by evidence, the strongest first, by who knows the form of a truth's effects.

    Least squares over the runs for a parabola of lr, straight lines, a level of each scheduler, and the products that
    the truth has; a parameter's evidence is the p of the F test of all terms that hold it. No estimator that has to
    learn the form is expected to do better. Shares of what is fitted would be no bound: coefficients of what was tried
    three times are wide of the mark, which makes a large share of an effect that is not there.
    """
    x = np.array([list(_features(row.params, kind).values()) for row in table.rows])
    y = np.array([row.value for row in table.rows])
    terms = list(_features(table.rows[0].params, kind))
    whole, rank = _residual(x, y)
    found = {}
    for name in sorted({part for term in terms[1:] for part in term}):
        rest, smaller = _residual(x[:, [at for at, term in enumerate(terms) if name not in term]], y)
        freed = max(1, rank - smaller)
        found[name] = float(fisher.sf((rest - whole) / freed / (whole / (len(y) - rank)), freed, len(y) - rank))
    return sorted(found, key=lambda name: found[name])


def _residual(x: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """Return what least squares leave, and the rank of the columns."""
    weights, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    return float(np.sum((y - x @ weights) ** 2)), int(rank)


_SCHEDULERS = ("cosine", "linear", "constant", "polynomial")
_Term = tuple[str, ...]  # the parameters in it; one name several times tells it from others of the same


def _features(params: Mapping[str, Any], kind: str) -> dict[_Term, float]:
    """Return what a truth is a weighted sum of, but for noise, at some parameters."""
    p = dict(params)
    u, b, acts = _u(p), _b(p), float(p["scheduler"] in ("cosine", "linear"))
    found: dict[_Term, float] = {(): 1.0, ("lr",): u, ("lr", "lr"): u**2, ("batch",): b}
    found |= {("scheduler",) * at: float(p["scheduler"] == name) for at, name in enumerate(_SCHEDULERS[:-1], 1)}
    found |= {(name,): float(p[name]) for name in ("dropout", "warmup", "layers")}
    found[("weight_decay",)] = float(np.log10(float(p["weight_decay"])))
    if kind == "C":
        found["lr", "scheduler"] = u * acts
    if kind == "D":
        found |= {("batch", "batch"): b**2, ("lr", "batch"): u * b}
    return found


# -- best against second -----------------------------------------------------------------------------------------------


def _seeded(means: Sequence[float], seeds: int, draw: Callable[[int], np.ndarray], sds: Sequence[float]) -> RunTable:
    return from_rows(
        [
            {
                "params.a": index,
                "params.seed": seed,
                "value": float(mean + sds[index] * draw(1)[0]),
                "number": index * seeds + seed,
            }
            for index, mean in enumerate(means)
            for seed in range(seeds)
        ]
    )


# What the best is, its lead over the second, the spreads, and how seeds scatter.
_LEADS: dict[str, tuple[Sequence[float], Sequence[float], str]] = {
    "all equal": ([0.0] * 9, [1.0] * 9, "normal"),
    "two best equal": ([0.0, 0.0, *[-9.0] * 7], [1.0] * 9, "normal"),
    "two best equal, t with 3 df": ([0.0, 0.0, *[-9.0] * 7], [1.0] * 9, "tails"),
    "two best equal, steps of 1 sd": ([0.0, 0.0, *[-9.0] * 7], [1.0] * 9, "steps"),
    "two best equal, near a bound": ([0.0, 0.0, *[-9.0] * 7], [1.0] * 9, "bound"),
    "two best equal, their sds 3 : 1": ([0.0, 0.0, *[-30.0] * 7], [3.0, *[1.0] * 8], "normal"),
    "two best equal, both sds threefold": ([0.0, 0.0, *[-30.0] * 7], [3.0, 3.0, *[1.0] * 7], "normal"),
    "best by 3 sd": ([3.0, *[0.0] * 8], [1.0] * 9, "normal"),
    "best by 5 sd": ([5.0, *[0.0] * 8], [1.0] * 9, "normal"),
}


def _law(name: str, rng: np.random.Generator) -> Callable[[int], np.ndarray]:
    """Return how seeds scatter, with a standard deviation of about 1."""
    return {
        "normal": lambda n: rng.normal(size=n),
        "tails": lambda n: rng.standard_t(3, size=n) / 3**0.5,
        "steps": lambda n: np.round(rng.normal(size=n)),
        "bound": lambda n: 1 - rng.exponential(size=n),
        "collapse": lambda n: rng.normal(size=n) - 8.0 * (rng.random(n) < 0.1),
    }[name]


def leads(quick: bool) -> Iterator[Held]:
    """Yield how often a lead is called beyond the noise, and the lead that luck makes with the noise that is said."""
    times = 150 if quick else 600
    for index, (name, (means, sds, law)) in enumerate(_LEADS.items()):
        draw = _law(law, np.random.default_rng([1, index]))
        for seeds in (3,) if quick else (2, 3, 5):
            found = [lead(_seeded(means, seeds, draw, sds)) for _ in range(times)]
            beyond = [item is not None and item.sureness is Sureness.BEYOND for item in found]
            alone = [item is not None and item.alone for item in found]
            alike = len(set(sds)) == 1
            most = None if name.startswith("best") or not alike else 0.05
            claim = '"beyond what seeds explain"'
            yield counted(claim + (" or on condition" if most is None else ""), name, seeds, beyond, most=most)
            yield counted(
                f"{claim} without a condition", name, seeds, alone, most=None if name.startswith("best") else 0.05
            )
    for count in (5, 40):
        drawn = np.sort(np.random.default_rng(count).normal(size=(20_000, count)), axis=1)
        share = float(np.mean(drawn[:, -1] - drawn[:, -2] > lead_quantile(count)))
        yield Held(
            claim='"luck makes such a lead in 1 of 20"',
            truth="all equal",
            n=count,
            share=share,
            times=20_000,
            most=0.05,
            least=0.05,
        )


# -- reports, failures -------------------------------------------------------------------------------------------------


def _noise(seed: int) -> RunTable:
    """Return 50 random runs whose metric is noise at each of 2 to 40 epochs."""
    parameters = "{epochs: {values: [2, 40]}}"
    spec = read_sweep_text(f"method: random\nmetric: {{name: acc, goal: maximize}}\nparameters: {parameters}")
    rng = np.random.default_rng([5, seed])
    runs = []
    for number in range(50):
        epochs = int(rng.choice([2, 5, 10, 20, 40]))
        runs.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="s",
                number=number,
                params={"epochs": epochs, "lr": float(rng.uniform()), "dropout": float(rng.uniform())},
                state=RunState.FINISHED,
                history=tuple(map(float, rng.normal(size=epochs))),
            )
        )
    return from_runs(spec, runs)


def looks(quick: bool) -> Iterator[Held]:
    """Yield how often noise with more reports is called an effect, and whether it is warned of."""
    tables = [_noise(seed) for seed in range(4 if quick else 12)]
    effort = ForestEffort(trees=100, refit_trees=50, subsamples=20)
    clear = [s.verdict is Verdict.CLEAR for item in tables for s in importances(item, effort=effort).shares]
    yield counted("unequal looks are warned of", "noise", 50, [unequal_looks(t) is not None for t in tables], least=1.0)
    yield counted('"clear" of a null', "noise, 2 to 40 reports", 50, clear, most=0.02)


def failures(quick: bool) -> Iterator[Held]:
    """Yield how often a place is told where runs fail at random, and where all of a corner do."""
    times = 60 if quick else 300
    for name, corner in (("at random", False), ("one corner", True)):
        found = []
        for seed in range(times):
            rng = np.random.default_rng([6, int(corner), seed])
            rows = []
            for number in range(40):
                params = {"batch": int(rng.choice([8, 16, 32, 64])), "model": str(rng.choice(["s", "m", "l"]))}
                params |= {"lr": float(rng.uniform())}
                hot = params["batch"] >= 32 and params["model"] == "l"
                fails = hot if corner else rng.random() < 0.2
                row = {f"params.{key}": value for key, value in params.items()} | {"number": number}
                rows.append(row | {"value": None if fails else 1.0, "state": "failed" if fails else "finished"})
            found.append(bool(failure_places(from_rows(rows))))
        most = None if corner else 0.05
        yield counted("a place of failures is told", name, 40, found, most=most)
    yield counted("its interval holds the share", "7 of 10 of one corner", 120, list(_shares_held(times)), least=0.95)


def _shares_held(times: int) -> Iterator[bool]:
    """Yield whether the interval holds the share of failures where the place that is told is the one that fails."""
    for seed in range(times):
        rng = np.random.default_rng([16, seed])
        rows = []
        for number in range(120):
            lr, model = float(rng.uniform()), str(rng.choice(["s", "m", "l"]))
            fails = rng.random() < (0.7 if model == "l" else 0.05)
            row = {"params.lr": lr, "params.model": model, "number": number}
            rows.append(row | {"value": None if fails else 1.0, "state": "failed" if fails else "finished"})
        yield from (
            place.low <= 0.7 <= place.high for place in failure_places(from_rows(rows)) if place.words == "model = l"
        )


def audit(quick: bool) -> Iterator[Held]:
    """Yield how often the interval of the false-stop rate holds the rate, and how wide it is."""
    for rate in (0.0, 0.05, 0.2, 0.5):
        for audited in (5, 20) if quick else (3, 5, 10, 20, 50):
            chances = binom.pmf(np.arange(audited + 1), audited, rate)  # exact: nothing is drawn
            ends = [clopper_pearson(false, audited, 0.05) for false in range(audited + 1)]
            held = float(sum(p for p, (low, high) in zip(chances, ends, strict=True) if low <= rate <= high))
            yield Held(
                claim="the interval of the false-stop rate holds it",
                truth=f"{rate:.0%} of the stops are false",
                n=audited,
                share=held,
                times=1_000_000,
                least=0.95,
            )


# -- models ------------------------------------------------------------------------------------------------------------

_CELLS: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "2 models, 10 and 2 seeds": ((10, 2), (1, 1)),
    "3 models, 10, 2, 2, sd 1:3:3": ((10, 2, 2), (1, 3, 3)),
    "2 models, sd 1:5": ((3, 3), (1, 5)),
    "2 models, 10 and 3 seeds, sd 1:2": ((10, 3), (1, 2)),
    "3 models, 3, 3, 2": ((3, 3, 2), (1, 1, 1)),
    "3 models, sd 1:1:10": ((3, 3, 3), (1, 1, 10)),
    "8 models, one sd x 6": ((3,) * 8, (6, *[1] * 7)),
    "3 models": ((3,) * 3, (1,) * 3),
    "8 models": ((5,) * 8, (1,) * 8),
}


def comparison(quick: bool) -> Iterator[Held]:
    """Yield how often equals are called better, unequal ones equal, and whether all intervals hold the truth."""
    times = 150 if quick else 600
    firm = (Conclusion.BETTER, Conclusion.NEGLIGIBLE)
    any_kind = (*firm, Conclusion.BETTER_IF_EQUAL_SD)
    for index, (name, (sizes, sds)) in enumerate(_CELLS.items()):
        rng = np.random.default_rng([7, index])
        drawn = [_compared(rng, sizes, sds, 0.0) for _ in range(times)]
        better = [any(pair.kind in firm for pair in found.pairs) for found in drawn]
        yield counted('"better" of equals', name, min(sizes), better, most=0.05)
        either = [any(pair.kind in any_kind for pair in found.pairs) for found in drawn]
        yield counted('"better" of equals, "only if sds are equal" too', name, min(sizes), either, most=0.05)
        if len(set(sds)) == 1 and len(set(sizes)) == 1:
            held = [all(_inside(pair) for pair in found.pairs) for found in drawn]
            yield counted("all intervals hold 0", name, min(sizes), held, least=0.95)
    yield from _laws(times)
    for count in (3, 8):
        rng = np.random.default_rng([8, count])
        wrong = []
        for _ in range(times):
            found = _compared(rng, (10,) * count, (0.4,) * count, 1.0, [float(k % 2) for k in range(count)])
            close = (Conclusion.EQUAL, Conclusion.NEGLIGIBLE)
            wrong.append(any(p.kind in close and (int(p.first[1]) + int(p.second[1])) % 2 for p in found.pairs))
        yield counted('"equal" at the margin', f"{count} models", 10, wrong, most=0.05)


def _laws(times: int) -> Iterator[Held]:
    """Yield how often equals are called better where seeds do not scatter normally."""
    for index, law in enumerate(("tails", "steps", "bound", "collapse")):
        draw = _law(law, np.random.default_rng([15, index]))
        drawn = [
            compare(
                [ModelScores(name=f"m{i}", scores={str(k): float(x) for k, x in enumerate(draw(4))}) for i in range(4)],
                ComparisonSettings(margin=0.0),
            )
            for _ in range(times)
        ]
        better = [any(pair.kind in (Conclusion.BETTER, Conclusion.NEGLIGIBLE) for pair in one.pairs) for one in drawn]
        yield counted('"better" of equals', f"4 models, {law}", 4, better, most=0.05)


def _compared(rng, sizes, sds, margin, means=None):  # type: ignore[no-untyped-def]
    groups = [
        ModelScores(
            name=f"m{i}", scores={str(k): float((means[i] if means else 0.0) + sd * rng.normal()) for k in range(n)}
        )
        for i, (n, sd) in enumerate(zip(sizes, sds, strict=True))
    ]
    return compare(groups, ComparisonSettings(margin=margin))


def _inside(pair) -> bool:  # type: ignore[no-untyped-def]
    low, high = pair.estimate.interval(pair.level)
    return bool(low <= 0 <= high)


# -- confirmation ------------------------------------------------------------------------------------------------------

_FEWEST = 20  # races told a chance in one bin


def confirmation(quick: bool) -> Iterator[Held]:
    """Yield the chance that is told on this validation set and how often it held, and what regret is left."""
    times = 60 if quick else 250
    every: list[Raced] = []
    for name in WORLDS:
        found = [raced(name, seed) for seed in range(times)]
        yield from _by_chance(name, found)
        yield counted("the pick's 95 % interval holds its score", name, found[0].n, [item.covers for item in found])
        every += found
        if name != "all equal":
            maximum = fmean(item.maximum for item in found)
            for claim, left in (
                ("regret left of the maximum's", fmean(item.race for item in found)),
                ("the same by an oracle", fmean(item.oracle for item in found)),
            ):
                yield Held(claim=claim, truth=name, n=found[0].n, share=left / maximum, times=times)
    yield from _by_chance("all of these together", every)


def _by_chance(truth: str, found: Sequence[Raced]) -> Iterator[Held]:
    """Yield how often a pick was the best of its five, by the chance that was told."""
    for here in bins(found):
        if len(here) >= _FEWEST:
            said = fmean(item.told for item in here)
            yield counted(f"best of 5 here, told {said:.2f}", truth, found[0].n, [item.held for item in here])
            known, where = fmean(item.known for item in here), f"{truth}, told {said:.2f}"
            yield Held(claim="the same by who knows the laws", truth=where, n=found[0].n, share=known, times=len(here))


SECTIONS: dict[str, Callable[[bool], Iterator[Held]]] = {
    "lead": leads,
    "looks": looks,
    "failures": failures,
    "audit": audit,
    "comparison": comparison,
    "confirmation": confirmation,
    "importance": importance,
}


def rows_of(found: Sequence[Held]) -> list[list[str]]:
    """Return the table's rows."""
    return [
        [
            item.claim,
            item.truth,
            str(item.n),
            _promise(item),
            f"{item.share:.3f}",
            str(item.times),
            "" if item.most is None and item.least is None else "yes" if item.kept else "NO",
        ]
        for item in found
    ]


def _promise(item: Held) -> str:
    parts = [f"at least {item.least:g}"] if item.least is not None else []
    return " and ".join([*parts, *([f"at most {item.most:g}"] if item.most is not None else [])])


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--quick", action="store_true", help="the gross cells alone")
    made.add_argument("--only", nargs="+", choices=tuple(SECTIONS), default=list(SECTIONS))
    return made.parse_args()


def main() -> int:
    """Run the benchmark; return 1 where a promise is not kept, else 0."""
    options = _options()
    found = _earlier(options)
    fresh: list[Held] = []
    for name in options.only:
        found[name] = []
        for item in SECTIONS[name](options.quick):
            fresh.append(item)
            found[name].append(item)
            _write(options, found)  # after each line: a run that is cut short leaves what it has
    print((options.output / "truth.md").read_text(encoding="utf-8"), flush=True)
    return int(not all(item.kept for item in fresh))


def _earlier(options: argparse.Namespace) -> dict[str, list[Held]]:
    """Return what the file has of the sections that are not measured now."""
    file = options.output / "truth.json"
    line = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {
        name: [Held(**item) for item in line.get("sections", {}).get(name, [])]
        for name in SECTIONS
        if name not in options.only
    }


def _write(options: argparse.Namespace, found: Mapping[str, Sequence[Held]]) -> None:
    head = ["what is said or shown", "truth", "n", "promised", "held", "of", "kept"]
    how = (
        "`python benchmarks/truth.py --quick`, more cells without it; what the columns mean stands at the head of that "
        "file, what each sentence rests on in docs/claims.md."
    )
    rows = rows_of([item for name in SECTIONS for item in found.get(name, ())])
    options.output.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(["# Is what is printed true?", how, table(head, rows)])
    (options.output / "truth.md").write_text(text + "\n", encoding="utf-8")
    sections = {name: [asdict(item) for item in items] for name, items in found.items()}
    (options.output / "truth.json").write_text(json.dumps({"sections": sections}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
