"""How often the comparison of models is wrong, and how often it sees what is there: simulated, with known truth.

    python benchmarks/comparison.py            about 5 minutes; writes benchmarks/results/comparison.{md,json}

Over seeds: three models of 3, 5 and 10 seeds each, normal scores, through the very `sweepkit.stats.comparison.compare`
that compare_models.py uses. False positives: no model differs, any of the three pairs is called better. Power: the
first model is better than the last by so many standard deviations of a seed, the third lies halfway; the first pair is
called better. Beside it, on the same data: Welch's t with Holm, and what a plain t test without Holm would have said.

Over examples: two models of 3, 5 and 10 seeds on 499 examples. What a model is good at differs from example to example
(sd 0.07), and so does every run (sd 0.10); seeds have sd 0.003. False positives: the models are equal on new examples,
only this dev set favours one. The two-way test counts that, a test over seeds does not.
"""

from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np
from measuring import Others, machine, machine_text, parser, save, table

from sweepkit.stats.comparison import ComparisonSettings, Conclusion, DecidingTest, compare
from sweepkit.stats.groups import ModelScores, groups_of

SEEDS = (3, 5, 10)
LEVEL = 0.05
_BETTER = (Conclusion.BETTER, Conclusion.BETTER_IF_EQUAL_SD, Conclusion.NEGLIGIBLE)
_SETTINGS = ComparisonSettings(margin=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often a difference was called, in one setting.

    Args:
        setting: In words.
        null: No model differs: the rates are of false positives.
        seeds: Of each model, with commas where they differ.
        repetitions: Simulated comparisons.
        ours: By the verdict of `compare`, "only if sds are equal" included.
        firm: By the verdict "better" alone.
        welch: By Welch's test with Holm.
        plain: By the test over seeds without Holm.
        test: Which test decided.
    """

    setting: str
    null: bool
    seeds: str
    repetitions: int
    ours: float
    firm: float
    welch: float
    plain: float
    test: str

    def error(self) -> float:
        """Return the Monte-Carlo error of `ours`, two standard errors at the level."""
        return 2 * sqrt(LEVEL * (1 - LEVEL) / self.repetitions)


def over_seeds(
    setting: str, seeds: tuple[int, ...], *, means: tuple[float, ...], sds: tuple[float, ...], repetitions: int
) -> Rates:
    """Simulate comparisons of models over their seeds.

    Args:
        setting: In words.
        seeds: Of each model.
        means: Of each; all equal: false positives of any pair count, else the pair of the first two.
        sds: Of each.
        repetitions: How many.
    """
    rng = np.random.default_rng([20260131, *seeds, *(int(1000 * value) for value in (*means, *sds))])
    null = len(set(means)) == 1
    called = np.zeros(4)
    method = DecidingTest.NONE
    names = "abcdefgh"[: len(seeds)]
    for _ in range(repetitions):
        scores = {name: rng.normal(m, s, n).tolist() for name, n, m, s in zip(names, seeds, means, sds, strict=True)}
        found = compare(groups_of(scores), _SETTINGS)
        method = found.method
        pairs = [pair for pair in found.pairs if null or (pair.first, pair.second) == ("a", "b")]
        called[0] += any(pair.kind in _BETTER for pair in pairs)
        called[1] += any(pair.welch_holm is not None and pair.welch_holm < LEVEL for pair in pairs)
        called[2] += any(pair.estimate is not None and pair.estimate.p < LEVEL for pair in pairs)
        called[3] += any(pair.kind is Conclusion.BETTER for pair in pairs)
    ours, welch, plain, firm = called / repetitions
    shown = str(seeds[0]) if len(set(seeds)) == 1 else ", ".join(map(str, seeds))
    return Rates(
        setting=setting,
        null=null,
        seeds=shown,
        repetitions=repetitions,
        ours=float(ours),
        firm=float(firm),
        welch=float(welch),
        plain=float(plain),
        test=method.value,
    )


def over_examples(setting: str, seeds: int, *, difference: float, repetitions: int, examples: int = 499) -> Rates:
    """Simulate comparisons of two models over seeds and examples; `difference` is the true one on new examples."""
    rng = np.random.default_rng([20260201, seeds, int(1e5 * difference), examples])
    called = np.zeros(4)
    for _ in range(repetitions):
        hardness = rng.normal(0.5, 0.2, examples)
        groups = []
        for name, shift in (("a", difference), ("b", 0.0)):
            ability = hardness + rng.normal(shift, 0.07, examples)
            luck = rng.normal(0.0, 0.003, (seeds, 1))
            matrix = ability + luck + rng.normal(0.0, 0.10, (seeds, examples))
            rows = {str(seed): row for seed, row in enumerate(matrix.tolist())}
            groups.append(ModelScores(name=name, scores={s: sum(r) / len(r) for s, r in rows.items()}, examples=rows))
        (pair,) = compare(groups, _SETTINGS).pairs
        right = difference == 0 or pair.first == "a"
        called[0] += right and pair.kind in _BETTER
        called[1] += right and pair.welch_holm is not None and pair.welch_holm < LEVEL
        called[2] += right and pair.seeds_only is not None and pair.seeds_only.p < LEVEL
        called[3] += right and pair.kind is Conclusion.BETTER
    ours, welch, plain, firm = called / repetitions
    return Rates(
        setting=setting,
        null=difference == 0,
        seeds=str(seeds),
        repetitions=repetitions,
        ours=float(ours),
        firm=float(firm),
        welch=float(welch),
        plain=float(plain),
        test=DecidingTest.TWO_WAY.value,
    )


def measure(repetitions: int, examples_repetitions: int) -> list[Rates]:
    """Return the rates of every setting."""
    found = []
    for setting, sds in (
        ("no difference, equal sd", (1.0, 1.0, 1.0)),
        ("no difference, sd 1 : 1 : 3", (1.0, 1.0, 3.0)),
    ):
        for n in SEEDS:
            found.append(over_seeds(setting, (n, n, n), means=(0, 0, 0), sds=sds, repetitions=repetitions))
        for counts in ((5, 5, 3), (10, 10, 3)):
            found.append(over_seeds(setting, counts, means=(0, 0, 0), sds=sds, repetitions=repetitions))
    for gap in (1.0, 2.0, 3.0, 5.0):
        for n in SEEDS:
            means = (gap, 0.0, gap / 2)
            setting = f"difference of {gap:g} sd"
            found.append(over_seeds(setting, (n, n, n), means=means, sds=(1, 1, 1), repetitions=repetitions))
    for setting, gap in (("499 examples, no difference", 0.0), ("499 examples, difference .010", 0.010)):
        for n in SEEDS:
            found.append(over_examples(setting, n, difference=gap, repetitions=examples_repetitions))
    return found


def report(found: list[Rates], facts: dict[str, object]) -> str:
    """Return the tables and the conclusion."""
    head = [
        "setting",
        "seeds",
        "test",
        "verdict better",
        "of these firm",
        "Welch + Holm",
        "t without Holm",
        "comparisons",
    ]
    parts = ["# Comparing models: false positives and power", ""]
    parts += ["`python benchmarks/comparison.py`; what is simulated stands at its head.", ""]
    for title, null in (("False positives (nominal .05)", True), ("Power", False)):
        rows = [
            [r.setting, r.seeds, r.test, f"{r.ours:.3f}", f"{r.firm:.3f}", *_others(r)] for r in found if r.null == null
        ]
        parts += [f"## {title}", "", table(head, rows), ""]
    parts += [conclusion(found), "", machine_text(facts)]
    return "\n".join(parts)


def _others(rates: Rates) -> list[str]:
    return [f"{rates.welch:.3f}", f"{rates.plain:.3f}", str(rates.repetitions)]


def conclusion(found: list[Rates]) -> str:
    """Return whether the false positives of what `compare` chooses stay at the level, in words."""
    nulls = [item for item in found if item.null]
    over = [item for item in nulls if item.ours > LEVEL + item.error()]
    if not over:
        return "False positives of the verdicts: at most .05 plus the Monte-Carlo error in every setting."
    shown = "; ".join(f"{r.setting}, {r.seeds} seeds: {r.ours:.3f}, of which firm {r.firm:.3f}" for r in over)
    return (
        f"False positives of the verdicts exceed .05 by more than the Monte-Carlo error in: {shown}. Where models "
        "scatter unequally the pooled test is too bold: what Welch's test does not confirm reads “better (depends on "
        "equal sd)”, and is not firm. Where the numbers of seeds differ Welch's test itself decides."
    )


def main(argv: list[str] | None = None) -> int:
    """Simulate, print, write; return the exit code."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--repetitions", type=int, default=2000, help="comparisons of each setting (2000)")
    options_parser.add_argument("--examples-repetitions", type=int, default=1000, help="of those over examples (1000)")
    options = options_parser.parse_args(argv)
    facts, others = machine(quiet_s=options.quiet_s), Others()
    found = measure(options.repetitions, options.examples_repetitions)
    others.finish(facts)
    data = {"machine": facts, "rates": [asdict(item) for item in found]}
    save(options.output, "comparison", text=report(found, facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
