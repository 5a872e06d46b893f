"""How often parameter importance is right: sweeps whose truth is known, every estimator on the same runs.

    python benchmarks/importance.py                        20 sweeps of each kind at 30 and 100 runs, some minutes
    python benchmarks/importance.py --repetitions 2 --kinds A --sizes 30

Each sweep logs ten parameters: learning_rate (log), batch_size, weight_decay (log), warmup, dropout, label_smoothing,
beams, scheduler (six levels), use_lora, and lora_r, which only runs with use_lora have. The metric is made of them and
of noise:

    A  learning rate .70 of the variance (a parabola of its logarithm, the best value inside), batch size .11, noise .20
    B  learning rate .52, one bad scheduler .29, batch size .05, noise .14
    D  the best learning rate moves with the batch size: neither explains much without the other
    N  noise only

right   the parameters that matter stand above all others, in their true order (D: either order)
first   the learning rate stands first (D: it or the batch size)
nulls   the share of all positive importance that parameters without any effect were given
clear   how often a parameter without any effect was called clear; the forest only, the others have no verdict
power   how often each parameter that matters was called clear
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np
from measuring import parser, save, table

from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.importance import importances
from sweepkit.analysis.importance_result import Importance, Verdict

KINDS = ("A", "B", "D", "N")
TRUE_ORDER: dict[str, tuple[str, ...]] = {
    "A": ("learning_rate", "batch_size"),
    "B": ("learning_rate", "scheduler", "batch_size"),
    "D": ("learning_rate", "batch_size"),
    "N": (),
}
ESTIMATORS = ("forest", "mdi", "gp", "eps_squared", "fanova", "ped_anova")
_SLOW = 8  # sweeps for fanova, at most
_SCHEDULERS = ("cosine", "linear", "constant", "polynomial", "inverse_sqrt", "cyclic")


def configurations(n: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Return n random configurations."""
    found = []
    for _ in range(n):
        row: dict[str, object] = {
            "learning_rate": float(10 ** rng.uniform(-6, -2)),
            "batch_size": int(rng.choice([4, 8, 16, 32])),
            "weight_decay": float(10 ** rng.uniform(-6, -1)),
            "warmup": float(rng.uniform(0, 0.2)),
            "dropout": float(rng.uniform(0, 0.5)),
            "label_smoothing": float(rng.uniform(0, 0.2)),
            "beams": int(rng.integers(1, 9)),
            "scheduler": str(rng.choice(_SCHEDULERS)),
            "use_lora": bool(rng.integers(2)),
        }
        if row["use_lora"]:
            row["lora_r"] = int(rng.choice([4, 8, 16, 32]))
        found.append(row)
    return found


def _u(row: dict[str, object]) -> float:
    """Return the logarithm of the learning rate, uniform on [-1, 1]."""
    return (float(np.log10(row["learning_rate"])) + 4) / 2  # type: ignore[arg-type]


def _b(row: dict[str, object]) -> float:
    """Return the logarithm of the batch size: -1.5, -0.5, 0.5 or 1.5."""
    return float(np.log2(row["batch_size"])) - 3.5  # type: ignore[call-overload]


def _parabola(row: dict[str, object]) -> float:
    """Return a parabola with its best value inside the range, off the middle, with variance 1."""
    return -((_u(row) - 0.2) ** 2) / float(np.sqrt(4 / 45 + 4 * 0.04 / 3))


def _batch(row: dict[str, object]) -> float:
    return _b(row) / float(np.sqrt(1.25))


def _bad(row: dict[str, object]) -> float:
    return -(float(row["scheduler"] == _SCHEDULERS[-1]) - 1 / 6) / float(np.sqrt(5 / 36))


def _moving(row: dict[str, object]) -> float:
    return -((_u(row) - 0.4 * _b(row)) ** 2) / 0.45


TRUTHS: dict[str, Callable[[dict[str, object], float], float]] = {
    "A": lambda row, noise: 0.70**0.5 * _parabola(row) + 0.11**0.5 * _batch(row) + 0.20**0.5 * noise,
    "B": lambda row, noise: (
        0.52**0.5 * _parabola(row) + 0.29**0.5 * _bad(row) + 0.05**0.5 * _batch(row) + 0.14**0.5 * noise
    ),
    "D": lambda row, noise: _moving(row) + 0.15**0.5 * noise,
    "N": lambda row, noise: noise,
}


def sweep(kind: str, n: int, seed: int) -> list[dict[str, object]]:
    """Return a sweep of n runs as plain rows with their `value`."""
    rng = np.random.default_rng([ord(kind), n, seed])
    rows = configurations(n, rng)
    return [row | {"value": TRUTHS[kind](row, float(rng.normal()))} for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One sweep by one estimator."""

    kind: str
    n: int
    seed: int
    estimator: str
    right: bool
    first: bool
    nulls: float
    false_alarms: float
    clear: tuple[bool, ...]
    r2: float | None
    seconds: float


def judge(kind: str, n: int, seed: int, estimator: str) -> Judged:
    """Return how one estimator fares on one sweep."""
    data = from_rows(sweep(kind, n, seed), name=kind)
    began = time.process_time()
    result = importances(data, estimator=estimator, seed=seed)
    seconds = time.process_time() - began
    true = TRUE_ORDER[kind]
    names = [share.name for share in result.shares]
    head = tuple(names[: len(true)])
    right = set(head) == set(true) if kind == "D" else head == true
    positive = {share.name: max(0.0, share.value) for share in result.shares}
    whole = sum(positive.values())
    nulls = [share for share in result.shares if share.name not in true]
    return Judged(
        kind=kind,
        n=n,
        seed=seed,
        estimator=estimator,
        right=right,
        first=bool(true) and names[0] in (true if kind == "D" else true[:1]),
        nulls=sum(positive[share.name] for share in nulls) / whole if whole else 0.0,
        false_alarms=fmean(share.verdict is Verdict.CLEAR for share in nulls),
        clear=tuple(_clear(result, name) for name in true),
        r2=result.r2,
        seconds=seconds,
    )


def _clear(result: Importance, name: str) -> bool:
    return any(share.name == name and share.verdict is Verdict.CLEAR for share in result.shares)


def rows_of(judged: Sequence[Judged]) -> list[list[str]]:
    """Return the table's rows: one for each kind, size and estimator."""
    found = []
    for key in dict.fromkeys((item.kind, item.n, item.estimator) for item in judged):
        here = [item for item in judged if (item.kind, item.n, item.estimator) == key]
        forest = key[2] == "forest"
        true = TRUE_ORDER[key[0]]
        power = ", ".join(f"{name} {fmean(item.clear[at] for item in here):.2f}" for at, name in enumerate(true))
        found.append(
            [
                key[0],
                str(key[1]),
                key[2],
                f"{fmean(item.right for item in here):.2f}" if true else "–",
                f"{fmean(item.first for item in here):.2f}" if true else "–",
                f"{fmean(item.nulls for item in here):.2f}" if true else "–",
                f"{fmean(item.false_alarms for item in here):.3f}" if forest else "–",
                power if forest and true else "–",
                f"{np.median([item.r2 for item in here if item.r2 is not None]):.2f}"
                if here[0].r2 is not None
                else "–",
                f"{np.median([item.seconds for item in here]):.2f}",
            ]
        )
    return found


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--repetitions", type=int, default=20, help="sweeps of each kind and size (default: 20)")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    made.add_argument("--sizes", nargs="+", type=int, default=[30, 100], help="runs of a sweep (default: 30 100)")
    made.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    return made.parse_args()


def main() -> int:
    """Run the benchmark; return 1 when noise was called clear more often than in 1 of 20 cases, else 0."""
    options = _options()
    judged: list[Judged] = []
    for kind in options.kinds:
        for n in options.sizes:
            for estimator in options.estimators:
                many = min(options.repetitions, _SLOW) if estimator == "fanova" else options.repetitions
                judged.extend(judge(kind, n, seed, estimator) for seed in range(many))
                alarm = _write(options, judged)  # after each line: a run that is cut short leaves what it has
    return int(alarm > 0.05)


def _write(options: argparse.Namespace, judged: Sequence[Judged]) -> float:
    """Write the tables; return how often noise was called clear."""
    head = [
        "truth",
        "runs",
        "estimator",
        "right",
        "first",
        "nulls",
        "false alarm per null",
        "clear",
        "R²",
        "CPU seconds",
    ]
    noise = [item.false_alarms for item in judged if item.estimator == "forest"]
    alarm = fmean(noise) if noise else 0.0
    text = "\n\n".join(
        [
            "# Parameter importance on sweeps whose truth is known",
            f"{options.repetitions} sweeps for each line (fanova: at most {_SLOW}), "
            f"`python benchmarks/importance.py --repetitions {options.repetitions}`; what the columns mean stands "
            "at the head "
            "of that file.",
            table(head, rows_of(judged)),
            f"A parameter without any effect was called clear in {alarm:.3f} of the cases, over all truths.",
        ]
    )
    save(options.output, "importance", text=text, data={"sweeps": [asdict(item) for item in judged]})
    return alarm


if __name__ == "__main__":
    raise SystemExit(main())
