"""What the benchmarks share: the machine in words, quiet moments, medians, sweeps in a folder, committed tables.

Importing it puts this checkout's `code/` first on the path, so that what is measured is this checkout, whatever is
installed.
"""

import argparse
import atexit
import contextlib
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CODE = ROOT / "code"
sys.path.insert(0, str(CODE))
RESULTS = HERE / "results"
RUN_AGENT = HERE / "run_agent.py"
QUIET = 0.05  # a machine is quiet when others use less than this part of it
_SAMPLE_S = 1.0
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Several measurements of one thing.

    Args:
        median: Their median.
        least: The smallest.
        most: The largest.
        count: How many.
    """

    median: float
    least: float
    most: float
    count: int

    def text(self, digits: int) -> str:
        """Return "median (least … most)"."""
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} … {self.most:.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median and range of at least one measurement.

    >>> spread([3.0, 1.0, 2.0]).text(1)
    '2.0 (1.0 … 3.0)'
    """
    return Spread(median=statistics.median(values), least=min(values), most=max(values), count=len(values))


# -- the machine ------------------------------------------------------------------------------------------------------


def busy() -> float:
    """Return the part of all cores, 0 to 1, that was in use (by others, or by the host under us) during a second."""
    before = _cpu_times()
    time.sleep(_SAMPLE_S)
    after = _cpu_times()
    total = sum(after) - sum(before)
    idle = sum(after[3:5]) - sum(before[3:5])  # idle and waiting for disks
    return 1.0 - idle / total if total else 0.0


class Others:
    """How much of the machine other processes use while ours measure. Make it before; `finish` after."""

    def __init__(self) -> None:
        self._all, self._ours = _cpu_times(), _own_seconds()

    def finish(self, facts: dict[str, Any]) -> None:
        """Add `busy_by_others` (0 to 1 of all cores, about: orphans of ours count as others) and the load average."""
        now, ticks = _cpu_times(), os.sysconf("SC_CLK_TCK")
        total = (sum(now) - sum(self._all)) / ticks
        idle = (sum(now[3:5]) - sum(self._all[3:5])) / ticks
        others = total - idle - (_own_seconds() - self._ours)
        facts["busy_by_others"] = round(max(0.0, others / total), 3) if total else 0.0
        facts["load_average_after"] = [round(value, 2) for value in os.getloadavg()]


def _own_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _cpu_times() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def machine(*, quiet_s: float) -> dict[str, Any]:
    """Wait for a quiet moment and describe the machine in it.

    Args:
        quiet_s: How long to wait at most until others use less than `QUIET` of it; measured all the same afterwards.
    """
    deadline = time.monotonic() + quiet_s
    while (used := busy()) > QUIET and time.monotonic() < deadline:
        pass
    model = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model[0] if model else platform.machine(),
        "memory_gib": round(memory / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "busy_before": round(used, 3),
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    }


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def machine_text(facts: dict[str, Any]) -> str:
    """Return the machine as the sentence under a table."""
    load = ", ".join(f"{value:.2f}" for value in facts["load_average_before"])
    return (
        f"Measured {facts['measured_at']} on {facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, "
        f"{facts['system']}, Python {facts['python']}. Before: load average {load}; {facts['busy_before']:.0%} of the "
        f"cores in use by others; while it measured, {facts['busy_by_others']:.0%}."
    )


# -- sweeps -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for one measurement; it is removed when the benchmark ends.

    Not at once: ext4 uses no inode again for a minute after its file was removed, and passes each of those that wait
    whenever it makes a file there. What one measurement removes would slow down the next one, by half in empty runs.
    """
    yield Path(_folders.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True)))


_folders = contextlib.ExitStack()
atexit.register(_folders.close)


def write_empty_sweep(place: Path, program: Path, runs: int) -> Path:
    """Write a grid of `runs` different values of `x` for `programs/empty.py`; return its file."""
    sweep = {
        "name": "empty",
        "program": str(program),
        "method": "grid",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"values": [index / runs for index in range(runs)]}},
    }
    file = place / "empty.yaml"
    file.write_text(json.dumps(sweep), encoding="utf-8")  # JSON is YAML
    return file


def run_agent(sweep: Path, *options: str, workers: int, env: dict[str, str]) -> None:
    """Run a sweep by the real agent, its output beside the sweep's file.

    Raises:
        RuntimeError: It ended with another code than 0; its last lines are in the message.
    """
    command = [sys.executable, str(RUN_AGENT), str(workers), "--sweep-config", str(sweep)]
    done = subprocess.run(
        [*command, "--output-dir", str(sweep.parent / "out"), *options],
        env=os.environ | env,
        cwd=sweep.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"the agent ended with {done.returncode}:\n{done.stdout[-2000:]}")


# -- tables -----------------------------------------------------------------------------------------------------------


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, default=RESULTS, help="folder of the tables (default: benchmarks/results)")
    made.add_argument("--quiet-s", type=float, default=120.0, help="wait so long for a quiet machine (default: 120)")
    return made


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns after the first are aligned to the right.

    >>> print(table(["what", "s"], [["a", "1"]]))
    | what | s |
    |---|---:|
    | a | 1 |
    """
    line = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join([f"| {' | '.join(header)} |", line, *(f"| {' | '.join(row)} |" for row in rows)])


def save(output: Path, name: str, *, text: str, data: dict[str, Any]) -> None:
    """Write `<name>.md` and `<name>.json` into `output`, and print the former."""
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (output / f"{name}.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(text, flush=True)


def verdict(value: float, *, at_most: float | None = None, at_least: float | None = None) -> str:
    """Return whether a figure meets its target, in words."""
    if at_most is not None:
        return f"target at most {at_most:g}: {'met' if value <= at_most else 'missed'}"
    return f"target at least {at_least:g}: {'met' if at_least is not None and value >= at_least else 'missed'}"
