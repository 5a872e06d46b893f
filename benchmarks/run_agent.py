"""Run a sweep with a number of workers: what `sweep_runner.py` does with one. The benchmarks start it.

    python benchmarks/run_agent.py 2 --sweep-config my.yaml --output-dir /tmp/out

With BENCHMARK_MEMORY it writes to that file, as JSON, the resident memory of its own process in MiB: once the sweep is
read and checked, when the sweep has ended, and at its largest.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "code"))  # this checkout, whatever is installed
from sweepkit.cli.guard import guarded
from sweepkit.cli.sweep_runner import parse
from sweepkit.paths import default_output_dir
from sweepkit.runner.plan import make_plan


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep; return the exit code of `sweep_runner.py`."""
    workers, *words = sys.argv[1:] if argv is None else argv
    command = parse(words, output_dir=default_output_dir())
    plan = make_plan(command.run, str(command.sweep))
    from sweepkit.agents.slots import make_slots, visible_gpus
    from sweepkit.runner.call import Call

    memory = {"planned_mib": memory_mib("VmRSS")}
    # A benchmark that simulates GPUs names them; those of the machine would make no difference but their number.
    gpus = visible_gpus(os.environ) if "CUDA_VISIBLE_DEVICES" in os.environ else ()
    shared = -(-int(workers) // len(gpus)) if gpus else 1
    slots = make_slots(int(workers), gpus=gpus, gpus_per_run=None, cpus_per_run=None, runs_per_gpu=shared)
    with Call(command.run, [plan], slots=slots) as call:
        code = call.run()
        memory |= {"ended_mib": memory_mib("VmRSS"), "largest_mib": memory_mib("VmHWM")}
    if file := os.environ.get("BENCHMARK_MEMORY"):
        Path(file).write_text(json.dumps(memory), encoding="utf-8")
    return code


def memory_mib(field: str, process: int | str = "self") -> float:
    """Return a process's `VmRSS` (resident now) or `VmHWM` (its largest so far) in MiB, as /proc tells it."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"/proc/{process}/status has no {field}: the process is gone")


if __name__ == "__main__":
    raise SystemExit(main())
