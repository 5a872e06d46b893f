"""What several runs on a GPU give (`runs_per_gpu: auto`), on simulated GPUs: the real decisions.

    python benchmarks/packing.py                        20 sweeps of each kind, some minutes
    python benchmarks/packing.py --repetitions 5

A sweep tries 60 configurations of batch and length. A run's memory grows with both, and what is measured of it is off
by the noise (standard deviation of the logarithm); it keeps a share of the GPU's compute busy, which runs divide among
them, and each further run at once costs all of them 2 %.

runs per hour     as a multiple of one run at a time on the same GPUs: median and range over the sweeps; the least of
                  them must meet the target
beside            placements beside others, of all runs
no memory         of those, that found no memory and were tried again alone; the margin's rate is 5 %
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import Others, machine, machine_text, parser, save, spread, table, verdict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from simulated_gpu import runs_per_hour, works

RUNS = 60
TWO = (81_920.0, 24_576.0)
# By name: of the runs, of the GPUs, and what it must be at least.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "small runs": ({"load": (0.1, 0.3)}, {}, 1.5),
    "small and large": ({"load": (0.1, 0.5), "unit_mb": 400}, {"memory_noise": 0.05}, 1.0),
    "memory off by 25 %": ({"load": (0.1, 0.3), "unit_mb": 300, "base_mb": 6_000}, {"memory_noise": 0.25}, 1.0),
    "GPUs of 80 and 24 GiB": ({"load": (0.1, 0.3), "unit_mb": 100}, {"gpus": TWO, "memory_noise": 0.05}, 1.5),
    "compute is full": ({"load": (1.0, 1.0)}, {"overhead": 0.05}, 0.95),
    "memory is full": ({"base_mb": 45_000}, {}, 0.95),
}


def measure(name: str, repetitions: int) -> list[dict[str, Any]]:
    """Return what each sweep of a kind came to."""
    of_runs, of_gpus, _ = KINDS[name]
    found = []
    for seed in range(repetitions):
        outcome, gain = runs_per_hour(works(RUNS, seed=seed, **of_runs), seed=seed, **of_gpus)
        found.append({"gain": gain, "beside": outcome.placed_beside, "no_memory": outcome.out_of_memory})
    return found


def row(name: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the line of a kind."""
    beside, failed = (sum(item[key] for item in found) for key in ("beside", "no_memory"))
    gains = spread([item["gain"] for item in found])
    share = f"{failed / beside:.1%}" if beside else "none"
    return [name, gains.text(2), f"{beside / len(found):.0f}", share, verdict(gains.least, at_least=KINDS[name][2])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, write the table, and return 0 when every kind meets its target."""
    options = parser(__doc__)
    options.add_argument("--repetitions", type=int, default=20, metavar="N", help="sweeps of each kind (default: 20)")
    given = options.parse_args(arguments)
    facts = machine(quiet_s=0)  # nothing here is a time
    others = Others()
    measured = {name: measure(name, given.repetitions) for name in KINDS}
    others.finish(facts)
    rows = [row(name, found) for name, found in measured.items()]
    head = ["of " + str(RUNS) + " runs", "runs per hour ×", "beside", "no memory", "target"]
    text = f"# Several runs on a GPU, simulated\n\n{table(head, rows)}\n\n{machine_text(facts)}"
    save(given.output, "packing", text=text, data={"machine": facts, "measured": measured})
    return 0 if all("met" in line[-1] for line in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
