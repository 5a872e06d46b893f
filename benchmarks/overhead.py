"""Seconds that each empty isolated run costs, with 2 workers: sweepkit warm, sweepkit cold, and the peers.

    python benchmarks/overhead.py                          about 4 minutes; writes benchmarks/results/overhead.{md,json}
    python benchmarks/overhead.py --runs 100 --wandb-runs 0    without `wandb agent`, which takes most of the time

Every contender runs `programs/empty.py` in a process of its own for each run, and the program's own journal is the only
clock; `peers.py` says how it is read. Ours is the whole agent: grid, SQLite record with a transaction for every step of
a run, report, stopping rule, result file, log, progress lines. The repetitions are interleaved (ours, cold, Optuna,
`wandb agent`, ours, …), so that a slower minute of the machine is everybody's.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from measuring import (
    Others,
    folder,
    machine,
    machine_text,
    parser,
    run_agent,
    save,
    spread,
    table,
    verdict,
    write_empty_sweep,
)
from peers import EMPTY_PROGRAM, JOURNAL_ENV, WORKERS, Timing, optuna_ask_tell, timing, wandb_agent

TARGET_S = 0.010
WARM = "sweepkit"
COLD = "sweepkit --cold (a fresh Python per run)"


def sweepkit_agent(runs: int, *, cold: bool = False, workers: int = WORKERS) -> Timing:
    """Run the real agent over the empty program; RuntimeError when it lost, repeated or shared a process."""
    with folder() as place:
        journal = place / "journal"
        sweep = write_empty_sweep(place, EMPTY_PROGRAM, runs)
        launched_at = time.time()
        run_agent(sweep, *(["--cold"] if cold else []), workers=workers, env={JOURNAL_ENV: str(journal)})
        name = COLD if cold else WARM
        return timing(name, journal, runs=runs, workers=workers, launched_at=launched_at)


def contenders(runs: tuple[int, ...], peer_runs: int, wandb_runs: int) -> list[Callable[[], Timing]]:
    """Return what one repetition measures, in its order. A number of 0 leaves a contender out."""
    found: list[Callable[[], Timing]] = []
    for number in runs:
        found.append(lambda number=number: sweepkit_agent(number))
    found.append(lambda: sweepkit_agent(runs[0], cold=True))
    if peer_runs:
        found.append(lambda: optuna_ask_tell(peer_runs))
    if wandb_runs:
        found.append(lambda: wandb_agent(wandb_runs))
    return found


def report(timings: list[Timing], facts: dict[str, Any]) -> str:
    """Return the table: one line per contender and number of runs, in the order of their first measurement."""
    groups: dict[tuple[str, int], list[Timing]] = {}
    for found in timings:
        groups.setdefault((found.name, found.runs), []).append(found)
    ours = spread([found.seconds_per_run for found in timings if found.name == WARM])
    rows = []
    for (name, runs), members in groups.items():
        cost = spread([found.seconds_per_run for found in members])
        startup = spread([found.startup_s for found in members])
        ratio = f"{cost.median / ours.median:.1f}"
        rows.append([name, str(runs), str(cost.count), cost.text(4), f"{startup.median:.1f}", ratio])
    header = ["contender", "runs", "repetitions", "s per run: median (range)", "start-up s", "times ours"]
    return "\n".join(
        [
            "# Overhead per empty isolated run, 2 workers",
            "",
            "`python benchmarks/overhead.py`; what is measured stands in [README.md](../README.md).",
            "",
            table(header, rows),
            "",
            f"Ours, median over all its repetitions: {ours.median:.4f} s per run; "
            f"{verdict(ours.median, at_most=TARGET_S)}.",
            "",
            machine_text(facts),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--runs", type=int, nargs="+", default=[200, 400], help="runs of ours (200 400)")
    options_parser.add_argument("--peer-runs", type=int, default=40, help="runs of Optuna (40); 0 leaves it out")
    options_parser.add_argument("--wandb-runs", type=int, default=6, help="runs of wandb agent (6); 0 leaves it out")
    options_parser.add_argument("--repetitions", type=int, default=3, help="of everything, interleaved (3)")
    options = options_parser.parse_args(argv)
    facts, others = machine(quiet_s=options.quiet_s), Others()
    timings = [
        measure()
        for _ in range(options.repetitions)
        for measure in contenders(tuple(options.runs), options.peer_runs, options.wandb_runs)
    ]
    others.finish(facts)
    data = {"machine": facts, "workers": WORKERS, "timings": [dataclasses.asdict(found) for found in timings]}
    save(options.output, "overhead", text=report(timings, facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
