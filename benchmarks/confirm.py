"""The winner's curse, and what a confirmation does about it: sweeps whose truth is known, winners picked in five ways.

    python benchmarks/confirm.py                        1,000 sweeps of each kind, some minutes
    python benchmarks/confirm.py --repetitions 200

A sweep tries 50 configurations once each. The score of a run is the truth of its configuration (normal, standard
deviation .0070) + v (the luck of the configuration with the validation data, the same for every seed) + e (the luck of
the seed). What is told of the pick is compared with its truth. All but the first line pay for 65 runs.

    maximum of 50            the best of the sweep, and its score: what is done without a confirmation
    maximum of 65            the same with 15 further configurations in place of a confirmation
    top 5, 3 seeds each      picked by all of its runs; told is the mean of the three new ones
    race, to the end         `stats.race` through `search.race`: 5 x 1, 3 x 2, 2 x 2 fresh seeds; told is the fresh mean
    race                     the same, ended as soon as one is the best with a chance of .95: what `--confirm` does
    race, both sets          then two runs of each of the two leaders on a hold-out set with luck of its own: the better
                             by the mean of both sets, which `--confirm` names where the hold-out contradicts its pick

right   the pick is the best of the 50
regret  how much worse than the best of the 50 it is, in 1e-4
bias    how much better than its truth it is told to be, in 1e-4
hold-out  the bias of its score on data that no choice was made by
runs    fresh runs that were made
stated  the chance to be the best of the five that the race gave its pick, and "held": how often it was

Then other worlds (worlds.py): where true scores and seeds scatter otherwise. Told against held with ± standard error,
and against the chance that one who knows the laws would tell from the same scores, whose mean is what is to be told,
and what regret is left of the maximum's, beside that of an oracle that knows the laws. At last how often the interval
of a hold-out score holds it on new examples (holdout.py).
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev

import numpy as np
from holdout import coverage_table
from measuring import Others, machine, machine_text, parser, save, table
from numpy.typing import NDArray
from worlds import WORLDS, Raced, bins, raced

from sweepkit.model.runs import Proposal, RunState, RunView
from sweepkit.search.race import RaceEngine
from sweepkit.stats.race import BUDGET, CANDIDATES, End, Place, Race, plan_rounds

CELLS = {"e .003": (0.003, 0.0), "e .003, v .003": (0.003, 0.003), "e .006, v .003": (0.006, 0.003)}
SPREAD = 0.0070
TRIED = 50
_FEWEST = 20  # sweeps of a bin
PROCEDURES = ("maximum of 50", "maximum of 65", "top 5, 3 seeds each", "race, to the end", "race, both sets", "race")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One sweep's truth: of 65 configurations, the first 50 of which the sweep tries.

    Args:
        truth: On average over seeds and data.
        here: On average over seeds with this validation data.
        first: The score of each with the sweep's seed.
        noise: Standard deviation between seeds.
        luck: Standard deviation of `here` around `truth`.
        rng: Further runs are drawn from it.
    """

    truth: Floats
    here: Floats
    first: Floats
    noise: float
    luck: float
    rng: np.random.Generator

    def again(self, configuration: int) -> float:
        """Return the score of one further run with a fresh seed."""
        return float(self.here[configuration] + self.noise * self.rng.normal())

    def hold_out(self, configuration: int, seeds: int = 1) -> float:
        """Return the mean score of some runs on other data."""
        noise = self.noise / math.sqrt(seeds)
        return float(self.truth[configuration] + self.luck * self.rng.normal() + noise * self.rng.normal())


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """What a procedure picked, and told of it.

    Args:
        cell, procedure: Which.
        right: It is the best of the 50.
        regret, bias: See the head.
        hold_out: Bias of one run on other data.
        runs: Fresh runs.
        stated: The chance to be the best of the five that was told; None where none is.
        held: It is the best of the five.
    """

    cell: str
    procedure: str
    right: bool
    regret: float
    bias: float
    hold_out: float
    runs: int
    stated: float | None = None
    held: bool = False


def world(cell: str, seed: int) -> World:
    """Return one sweep."""
    noise, luck = CELLS[cell]
    rng = np.random.default_rng([list(CELLS).index(cell), seed])
    truth = SPREAD * rng.normal(size=TRIED + BUDGET)
    here = truth + luck * rng.normal(size=truth.shape)
    first = here + noise * rng.normal(size=truth.shape)
    return World(truth=truth, here=here, first=first, noise=noise, luck=luck, rng=rng)


def judge(cell: str, procedure: str, seed: int) -> Picked:
    """Return what one procedure makes of one sweep."""
    made = world(cell, seed)
    pick, said, runs, more = _PICK[procedure](made, seed)
    stated, field = more
    best = float(made.truth[:TRIED].max())
    return Picked(
        cell=cell,
        procedure=procedure,
        right=pick < TRIED and made.truth[pick] == best,
        regret=best - float(made.truth[pick]),
        bias=said - float(made.truth[pick]),
        hold_out=made.hold_out(pick) - float(made.truth[pick]),
        runs=runs,
        stated=stated,
        held=bool(field) and made.here[pick] == max(made.here[list(field)]),
    )


_Found = tuple[int, float, int, tuple[float | None, Sequence[int]]]


def _maximum(tried: int) -> Callable[[World, int], _Found]:
    def pick(made: World, seed: int) -> _Found:
        found = int(np.argmax(made.first[:tried]))
        return found, float(made.first[found]), 0, (None, ())

    return pick


def _top(made: World) -> list[int]:
    return [int(place) for place in np.argsort(-made.first[:TRIED])[:CANDIDATES]]


def _three_each(made: World, seed: int) -> _Found:
    field = _top(made)
    fresh = {place: [made.again(place) for _ in range(3)] for place in field}
    pick = max(field, key=lambda place: fmean([made.first[place], *fresh[place]]))
    return pick, fmean(fresh[pick]), 15, (None, ())


def _places(made: World, seed: int, level: float) -> tuple[list[int], Sequence[Place], int]:
    """Return who raced, how the race ended, best first, and its runs."""
    field = _top(made)
    race = Race(
        sweep=tuple((float(made.first[place]),) for place in field),
        rounds=plan_rounds(len(field), BUDGET),
        everyone=tuple((float(score),) for score in made.first[:TRIED]),
        level=level,
        seed=seed,
    )
    scores = run_race(race, lambda candidate: made.again(field[candidate]))
    return field, race.standing(scores).places, len(scores)


def _raced(level: float) -> Callable[[World, int], _Found]:
    def pick(made: World, seed: int) -> _Found:
        field, places, runs = _places(made, seed, level)
        assert places[0].mean is not None
        return field[places[0].candidate], places[0].mean, runs, (places[0].chance, field)

    return pick


def _both_sets(made: World, seed: int) -> _Found:
    field, places, runs = _places(made, seed, 0.95)
    means = {field[place.candidate]: place.mean or -math.inf for place in places[:2]}
    both = {at: fresh + made.hold_out(at, seeds=2) for at, fresh in means.items()}
    pick = max(both, key=lambda at: both[at])
    return pick, means[pick], runs + 4, (None, ())


def run_race(race: Race, score: Callable[[int], float]) -> dict[tuple[int, int], float | None]:
    """Return the scores of a race that the real engine ran, one run after the other."""

    def decide(ended: object) -> tuple[Sequence[tuple[int, int]], str]:
        step = race.next(scores)
        return ((), step.reason) if isinstance(step, End) else (step.runs, f"round {step.round + 1}")

    scores: dict[tuple[int, int], float | None] = {}
    engine = RaceEngine(decide, lambda candidate, repeat: {"candidate": candidate}, total=race.total())
    while isinstance(proposal := engine.ask(len(scores)), Proposal):
        pair = (proposal.info["candidate"], proposal.info["repeat"])
        scores[pair] = score(pair[0])
        view = RunView(
            number=len(scores) - 1,
            run_id=str(len(scores)),
            params=proposal.params,
            state=RunState.FINISHED,
            info=proposal.info,
        )
        engine.tell(view)
    return scores


_PICK: dict[str, Callable[[World, int], _Found]] = {
    "maximum of 50": _maximum(TRIED),
    "maximum of 65": _maximum(TRIED + BUDGET),
    "top 5, 3 seeds each": _three_each,
    "race, to the end": _raced(1.0),
    "race, both sets": _both_sets,
    "race": _raced(0.95),
}


def rows_of(judged: Sequence[Picked]) -> list[list[str]]:
    """Return the table's rows: one for each cell and procedure, standard errors after ±."""
    found = []
    for cell, procedure in dict.fromkeys((item.cell, item.procedure) for item in judged):
        here = [item for item in judged if (item.cell, item.procedure) == (cell, procedure)]
        stated = [item for item in here if item.stated is not None]
        found.append(
            [
                f"{cell}: {procedure}",
                f"{fmean(item.right for item in here):.2f}",
                _text([item.regret for item in here]),
                _text([item.bias for item in here], sign="+"),
                _text([item.hold_out for item in here], sign="+"),
                f"{fmean(item.runs for item in here):.1f}",
                f"{fmean(item.stated or 0.0 for item in stated):.2f}" if stated else "–",
                f"{fmean(item.held for item in stated):.2f}" if stated else "–",
            ]
        )
    return found


def _text(values: Sequence[float], *, sign: str = "") -> str:
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{1e4 * fmean(values):{sign}.1f} ± {1e4 * error:.1f}"


def calibration(judged: Sequence[Picked]) -> list[list[str]]:
    """Return how often a pick was the best of the five, by the chance that it was given."""
    bounds = (0.0, 0.5, 0.7, 0.85, 0.95, 1.01)
    stated = [item for item in judged if item.stated is not None and item.procedure == PROCEDURES[-1]]
    found = []
    for low, high in zip(bounds, bounds[1:], strict=False):
        here = [item for item in stated if low <= (item.stated or 0.0) < high]
        if here:
            said, held = fmean(item.stated or 0.0 for item in here), fmean(item.held for item in here)
            found.append([f"{low:.2f} to {min(high, 1.0):.2f}", str(len(here)), f"{said:.2f}", f"{held:.2f}"])
    return found


def worlds_calibration(found: Mapping[str, Sequence[Raced]]) -> list[list[str]]:
    """Return told against held for each world and bin with at least 20 sweeps; ± the standard error."""
    rows = []
    for name, sweeps in found.items():
        for here in bins(sweeps):
            if len(here) >= _FEWEST:
                told, held = fmean(item.told for item in here), fmean(item.held for item in here)
                error = math.sqrt(told * (1 - told) / len(here))
                known = fmean(item.known for item in here)
                sure = stdev(item.known for item in here) / math.sqrt(len(here))
                shown = (f"{told:.2f}", f"{held:.2f} ± {error:.2f}", f"{known:.2f} ± {sure:.2f}")
                rows.append([name, str(len(here)), *shown])
    return rows


def worlds_regret(found: Mapping[str, Sequence[Raced]]) -> list[list[str]]:
    """Return the regret of the maximum, of the race and of the oracle, and how many times less the latter two are."""
    rows = []
    for name, sweeps in found.items():
        maximum, race, oracle = (fmean(getattr(item, who) for item in sweeps) for who in ("maximum", "race", "oracle"))
        if name == "all equal":
            continue  # there is none
        cuts = [f"{maximum / left:.1f}" if left else "–" for left in (race, oracle)]
        rows.append([name, str(len(sweeps)), *(f"{1e4 * left:.1f}" for left in (maximum, race, oracle)), *cuts])
    return rows


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--worlds", type=int, default=400, help="sweeps of each world (default: 400)")
    made.add_argument("--repetitions", type=int, default=1000, help="sweeps of each kind (default: 1000)")
    return made.parse_args()


def main() -> int:
    """Run the benchmark; return 1 unless the race beats picking the maximum in every cell (see `beats`)."""
    options = _options()
    facts = machine(quiet_s=0.0)  # nothing is timed
    others = Others()
    judged = [
        judge(cell, procedure, seed)
        for cell in CELLS
        for procedure in PROCEDURES
        for seed in range(options.repetitions)
    ]
    found = {name: [raced(name, seed) for seed in range(options.worlds)] for name in WORLDS}
    others.finish(facts)
    head = ["kind of sweep: procedure", "right", "regret", "bias", "hold-out bias", "runs", "stated", "held"]
    text = "\n\n".join(
        [
            "# The winner's curse, and what a confirmation does about it",
            f"{options.repetitions} sweeps of each kind, `python benchmarks/confirm.py --repetitions "
            f"{options.repetitions}`; what the columns mean stands at the head of the script. e: standard deviation "
            "between seeds; v: of the validation data's luck. Regret and bias in 1e-4, ± standard error.",
            table(head, rows_of(judged)),
            "How often the race's pick was the best of the five, by the chance that it was told to have:",
            table(["told", "races", "mean", "held"], calibration(judged)),
            f"Other worlds, {options.worlds} sweeps each: how often the pick was the best of the five, by the chance "
            "that it was told to have (bins with 20 sweeps and more, ± one standard error of what was told).",
            table(["true scores", "races", "told", "held", "by who knows the laws"], worlds_calibration(found)),
            "And their regret in 1e-4: of the maximum, of the race, and of an oracle that knows how true scores and "
            "seeds scatter and runs one seed at a time. Where the oracle does not cut it three times, 15 runs are too "
            "few.",
            table(
                ["true scores", "races", "maximum", "race", "oracle", "cut by the race", "cut by the oracle"],
                worlds_regret(found),
            ),
            "How often the 95 % interval behind a hold-out score holds the score on endlessly many new examples "
            "(`holdout.py`): by the luck of the seeds alone, and with that of the examples, which are drawn again.",
            coverage_table(2 * options.repetitions),
            machine_text(facts),
        ]
    )
    save(
        options.output,
        "confirm",
        text=text,
        data={
            "machine": facts,
            "lines": [summary(judged, *key) for key in keys()],
            "worlds": {name: [means(sweeps) for sweeps in bins(all_of) if sweeps] for name, all_of in found.items()},
        },
    )
    return int(not all(beats(judged, cell) for cell in CELLS))


def means(sweeps: Sequence[Raced]) -> dict[str, float]:
    """Return the mean of each number of sweeps, and how many they are."""
    columns = [asdict(item) for item in sweeps]
    found = {name: fmean(item[name] for item in columns) for name in columns[0] if name != "n"}
    return {"sweeps": len(sweeps), **found}


def keys() -> list[tuple[str, str]]:
    """Return every kind of sweep with every procedure."""
    return [(cell, procedure) for cell in CELLS for procedure in PROCEDURES]


def summary(judged: Sequence[Picked], cell: str, procedure: str) -> dict[str, object]:
    """Return the means of a line of the table."""
    here = [asdict(item) for item in judged if (item.cell, item.procedure) == (cell, procedure)]
    names = ("right", "regret", "bias", "hold_out", "runs")
    return {"cell": cell, "procedure": procedure, "sweeps": len(here)} | {
        name: fmean(float(item[name]) for item in here) for name in names
    }


def beats(judged: Sequence[Picked], cell: str) -> bool:
    """Return whether the race has less regret than the maximum of the same 50, and less bias than either maximum.

    The 15 further configurations of the maximum of 65 hold now and then a better one than all 50, so its regret is not
    the race's to beat; what it tells of its pick is.
    """
    race, fifty, more = (summary(judged, cell, name) for name in ("race", *PROCEDURES[:2]))
    less_regret = race["regret"] < fifty["regret"]  # type: ignore[operator]
    return less_regret and all(race["bias"] < item["bias"] for item in (fifty, more))  # type: ignore[operator]


if __name__ == "__main__":
    raise SystemExit(main())
