"""What is paid before anything runs, and what stays resident: `--help`, `--dry-run`, memory of agent and fork server.

    python benchmarks/startup.py               about a minute; writes benchmarks/results/startup.{md,json}

Times are of whole processes, from launch to exit, beside the bare interpreter (`python -c pass`). Memory is the
kernel's VmRSS, in MiB, shared pages counted; the agent's largest is its VmHWM.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measuring import (
    CODE,
    Others,
    Spread,
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
from peers import EMPTY_PROGRAM, WORKERS
from run_agent import memory_mib

from sweepkit.agents.launcher import AttemptSpec, LocalLauncher, WarmProgram

HELP_TARGET_S = 0.3
MEMORY_ENV = "BENCHMARK_MEMORY"
TRAINING_PRELOAD = "sweepkit.training.preload"


def seconds(command: list[str]) -> float:
    """Return how long a command takes; raises RuntimeError with its messages when it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=CODE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return took


def commands() -> dict[str, list[str]]:
    """Return what is timed: the bare interpreter, `--help` of every entry script, a dry run."""
    scripts = sorted(CODE.glob("*.py"))
    found = {"python -c pass": [sys.executable, "-c", "pass"]}
    found |= {f"{script.name} --help": [sys.executable, str(script), "--help"] for script in scripts}
    dry = "sweep_runner.py --sweep-config first_sweep --dry-run"
    return found | {dry: [sys.executable, str(CODE / "sweep_runner.py"), *dry.split()[1:]]}


def measure_times(repetitions: int) -> dict[str, list[float]]:
    """Return the seconds of every command, interleaved, after one turn that fills the caches."""
    took: dict[str, list[float]] = {name: [] for name in commands()}
    for turn in range(repetitions + 1):
        for name, command in commands().items():
            value = seconds(command)
            if turn:
                took[name].append(value)
    return took


def agent_memory(runs: int) -> dict[str, float]:
    """Return the agent's resident memory over a sweep of empty runs, in MiB; see `run_agent.py` for the names."""
    with folder() as place:
        file = place / "memory.json"
        run_agent(write_empty_sweep(place, EMPTY_PROGRAM, runs), workers=WORKERS, env={MEMORY_ENV: str(file)})
        found: dict[str, float] = json.loads(file.read_text())
        return found


def fork_server_memory(preload: str) -> dict[str, float]:
    """Return the fork server's resident memory before and after it imports `preload`, in MiB."""
    with folder() as place:
        before = set(children())
        launcher = LocalLauncher(log=place / "forkserver.log", preload=(preload,))
        try:
            run_empty(launcher, place, "cold", warm=False)  # the first attempt starts the server
            (undertaker,) = set(children()) - before
            (server,) = map(int, Path(f"/proc/{undertaker}/task/{undertaker}/children").read_text().split())
            found = {"before_mib": memory_mib("VmRSS", server)}
            run_empty(launcher, place, "warm", warm=True)
            return found | {"after_mib": memory_mib("VmRSS", server)}
        finally:
            launcher.close()


def run_empty(launcher: LocalLauncher, place: Path, name: str, *, warm: bool) -> None:
    """Run the empty program once and wait for its end; raises RuntimeError when it fails."""
    program = WarmProgram(script=str(EMPTY_PROGRAM), module=None, args=("--x=0.5",)) if warm else None
    spec = AttemptSpec(
        attempt_id=name,
        argv=(sys.executable, str(EMPTY_PROGRAM), "--x=0.5"),
        env=dict(os.environ),
        cwd=str(place),
        log=place / f"{name}.log",
        exit_file=place / f"{name}.exit.json",
        warm=program,
    )
    queue = launcher.submit(spec)
    started, ended = queue.get(), queue.get()
    if getattr(ended, "status", None) != 0 or getattr(started, "warm", None) is not warm:
        raise RuntimeError(f"{name}: {started} {ended}\n{spec.log.read_text()}")


def children() -> list[int]:
    """Return this process's children."""
    return [int(word) for task in os.listdir("/proc/self/task") for word in _children_of_thread(task)]


def _children_of_thread(task: str) -> list[str]:
    return Path(f"/proc/self/task/{task}/children").read_text().split()


def measure_memory(runs: int) -> dict[str, list[float]]:
    """Return the memory table: what is measured, and its values in MiB (one each)."""
    agent = agent_memory(runs)
    plain, training = fork_server_memory("json"), fork_server_memory(TRAINING_PRELOAD)
    return {
        "agent, sweep read and checked": [agent["planned_mib"]],
        f"agent, after {runs} empty runs with {WORKERS} workers": [agent["ended_mib"]],
        f"agent, its largest over these {runs} runs": [agent["largest_mib"]],
        "fork server before its warm-up": [plain["before_mib"], training["before_mib"]],
        "fork server, warm for empty.py": [plain["after_mib"]],
        "fork server, warm for trainer.py (torch, transformers)": [training["after_mib"]],
    }


def report(times: dict[str, list[float]], memory: dict[str, list[float]], facts: dict[str, Any]) -> str:
    """Return both tables."""
    spreads: dict[str, Spread] = {name: spread(values) for name, values in times.items()}
    helps = [found.median for name, found in spreads.items() if name.endswith("--help")]
    return "\n".join(
        [
            "# Start-up and memory",
            "",
            "`python benchmarks/startup.py`; what is measured stands in [README.md](../README.md).",
            "",
            table(
                ["command", "times", "s: median (range)"],
                [[f"`{name}`", str(found.count), found.text(3)] for name, found in spreads.items()],
            ),
            "",
            f"Slowest `--help`: {max(helps):.3f} s; {verdict(max(helps), at_most=HELP_TARGET_S)}.",
            "",
            table(
                ["process", "MiB resident"], [[name, f"{spread(values).median:.0f}"] for name, values in memory.items()]
            ),
            "",
            machine_text(facts),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--repetitions", type=int, default=7, help="of each command, interleaved (7)")
    options_parser.add_argument("--runs", type=int, default=100, help="empty runs of the agent (100)")
    options = options_parser.parse_args(argv)
    facts, others = machine(quiet_s=options.quiet_s), Others()
    times = measure_times(options.repetitions)
    memory = measure_memory(options.runs)
    others.finish(facts)
    data = {"machine": facts, "seconds": times, "mib": memory}
    save(options.output, "startup", text=report(times, memory, facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
