"""How busy 8 workers are kept with runs of 2 s, and the memory of each further worker.

    python benchmarks/idle.py            about 2 minutes; writes benchmarks/results/idle.{md,json}

The GPUs are simulated: CUDA_VISIBLE_DEVICES names eight, and `programs/sleeping.py` never looks at its own. The
program's journal is the clock. A slot is busy from the first line of a run to its last one, and idle in between: while
the program's process ends, its result is recorded, the next run is proposed, claimed and forked. The share is taken
from each slot's first line to its last one. Memory is that of the agent at its largest, and what only a run's own
process holds. The last line of the table is for a fork server that has imported what trainer.py needs: forking and
ending a process with 400 MiB of shared pages costs more CPU, and eight runs of equal length do it all at once.
"""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from measuring import Others, folder, machine, machine_text, parser, run_agent, save, spread, table, verdict
from peers import EMPTY_PROGRAM, JOURNAL_ENV

TARGET_SHARE = 0.97
NOTHING = "json"  # which every interpreter has imported
PRELOAD = "sweepkit.training.preload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One sweep.

    Args:
        workers: Slots.
        preload: What the fork server had imported.
        runs: Runs made.
        busy: Share of the slots' time in which a program ran, 0 to 1.
        gaps_s: Seconds between two runs of a slot, all of them.
        agent_mib: Resident memory of the agent at its largest.
        private_mib: What each run's process holds alone.
    """

    workers: int
    preload: str
    runs: int
    busy: float
    gaps_s: list[float]
    agent_mib: float
    private_mib: list[float]


def measure(workers: int, rounds: int, sleep_s: float, preload: str) -> Measured:
    """Run `rounds` runs on each of `workers` simulated GPUs; RuntimeError when one is lost or run twice."""
    runs = workers * rounds
    with folder() as place:
        sweep = {
            "name": "sleeping",
            "program": str(EMPTY_PROGRAM.with_name("sleeping.py")),
            "method": "grid",
            "parameters": {"x": {"values": list(range(runs))}},
            "sweepkit": {"preload": [preload]},
        }
        file = place / "sleeping.yaml"
        file.write_text(json.dumps(sweep), encoding="utf-8")
        journal, memory = place / "journal", place / "memory"
        env = {
            JOURNAL_ENV: str(journal),
            "BENCHMARK_MEMORY": str(memory),
            "CUDA_VISIBLE_DEVICES": ",".join(str(index) for index in range(workers)),
            "SLEEP_S": str(sleep_s),
        }
        run_agent(file, workers=workers, env=env)
        lines = [line.split() for line in journal.read_text(encoding="ascii").splitlines()]
        agent_mib = json.loads(memory.read_text(encoding="utf-8"))["largest_mib"]
    if len(lines) != runs:
        raise RuntimeError(f"{runs} runs were asked for, {len(lines)} were made")
    slots: dict[str, list[tuple[float, float]]] = {}
    for began, ended, gpu, _ in lines:
        slots.setdefault(gpu, []).append((float(began), float(ended)))
    for spans in slots.values():
        spans.sort()
    busy_s = sum(end - start for spans in slots.values() for start, end in spans)
    whole_s = sum(spans[-1][1] - spans[0][0] for spans in slots.values())
    return Measured(
        workers=workers,
        preload=preload,
        runs=runs,
        busy=busy_s / whole_s,
        gaps_s=[after[0] - before[1] for spans in slots.values() for before, after in pairwise(spans)],
        agent_mib=agent_mib,
        private_mib=[float(line[3]) for line in lines],
    )


def report(found: list[Measured], sleep_s: float, facts: dict[str, Any]) -> str:
    """Return the table, one line for each number of workers."""
    rows = [
        [
            str(item.workers),
            "nothing" if item.preload == NOTHING else item.preload,
            str(item.runs),
            f"{100 * item.busy:.1f} %",
            spread(item.gaps_s).text(3),
            f"{item.agent_mib:.0f}",
            spread(item.private_mib).text(1),
        ]
        for item in found
    ]
    header = [
        "workers",
        "imported",
        "runs",
        "slots busy",
        "s between runs: median (range)",
        "agent MiB",
        "a run's own MiB",
    ]
    plain = [item for item in found if item.preload == NOTHING]
    few, many, heavy = plain[0], plain[-1], found[-1]
    further = (many.agent_mib - few.agent_mib) / max(1, many.workers - few.workers)
    return "\n".join(
        [
            f"# Slots kept busy with runs of {sleep_s:g} s",
            "",
            "`python benchmarks/idle.py`; what is measured stands in [README.md](../README.md).",
            "",
            table(header, rows),
            "",
            f"{many.workers} workers are busy {100 * many.busy:.1f} % of the time; "
            f"{verdict(many.busy, at_least=TARGET_SHARE)}.",
            f"A further worker adds {further:.2f} MiB to the agent, and while it runs something the run's own: "
            f"{spread(many.private_mib).median:.1f} MiB, with all that trainer.py imports "
            f"{spread(heavy.private_mib).median:.1f} MiB before its first tensor.",
            "",
            machine_text(facts),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--workers", type=int, nargs="+", default=[1, 8], help="numbers of slots (1 8)")
    options_parser.add_argument("--rounds", type=int, default=12, help="runs of each slot (12)")
    options_parser.add_argument("--sleep-s", type=float, default=2.0, help="seconds of a run (2)")
    options_parser.add_argument("--preload", default=PRELOAD, help=f"imported for the last line ({PRELOAD})")
    options = options_parser.parse_args(argv)
    facts, others = machine(quiet_s=options.quiet_s), Others()
    cases = [*((workers, NOTHING) for workers in options.workers), (options.workers[-1], options.preload)]
    found = [measure(workers, options.rounds, options.sleep_s, preload) for workers, preload in cases]
    others.finish(facts)
    data = {"machine": facts, "sleep_s": options.sleep_s, "measured": [asdict(item) for item in found]}
    save(options.output, "idle", text=report(found, options.sleep_s, facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
