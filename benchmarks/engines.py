"""Empty runs on a cluster's engine: our agents beside Ray Tune on the same Ray, and beside submitit on the same SLURM.

    python benchmarks/engines.py --submitit-python VENV/bin/python         writes results/engines.md and .json
    python benchmarks/engines.py --runs 200 --others-runs 100      where a run of theirs takes seconds

Each engine is started on this host in network and process namespaces of its own (needs root): Ray with 2 cores, SLURM
with two nodes of 2. Two runs at a time; each is a process of its own that runs `programs/empty.py` and keeps the
journal from which all figures come (see peers.py). Ours has one agent of two workers and a PostgreSQL of its own. Ray
Tune needs `ray[tune]`; submitit its own environment, named by --submitit-python.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import CODE, HERE, ROOT, Others, folder, machine, machine_text, parser, save, table, write_empty_sweep
from peers import JOURNAL_ENV, WORKERS, timing

APART = ("unshare", "-n", "-p", "-m", "-f", "--mount-proc", "--kill-child")
EMPTY = HERE / "programs" / "empty.py"
TIMEOUT_S = 1_200
JOURNAL = "journal"  # what Ray runs has the environment of its node, which was there before any contender
_RAY = """\
set -eu
ip link set lo up
ip addr add 10.9.9.1/32 dev lo
export RAY_TMPDIR="$1/r" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled RAY_ADDRESS=10.9.9.1:6399
export RAY_raylet_start_wait_time_s=300 JOURNAL_ENV_NAME="$1/JOURNAL_NAME"
shift
python=$1
"$python" -m ray.scripts.scripts start --head --node-ip-address=10.9.9.1 --port=6399 --num-cpus=2 --num-gpus=0 \\
    --include-dashboard=false --disable-usage-stats >/dev/null 2>&1
"$@"
"""
_TUNE = """\
import sys
import ray
from ray import tune
empty, runs = sys.argv[1:]
def trial(config):
    sys.argv = [empty, f"--x={config['x']}"]
    import runpy
    runpy.run_path(empty, run_name="__main__")
    tune.report({"loss": (config["x"] - 0.3) ** 2})
ray.init(log_to_driver=False)
runs = int(runs)
space = {"x": tune.grid_search([index / runs for index in range(runs)])}
tune.Tuner(trial, param_space=space, run_config=tune.RunConfig(verbose=0)).fit()
"""
_SUBMITIT = """\
import runpy, sys
import submitit
empty, runs, folder = sys.argv[1:]
def trial(x):
    sys.argv = [empty, f"--x={x}"]
    runpy.run_path(empty, run_name="__main__")
executor = submitit.AutoExecutor(folder, cluster="slurm")
executor.update_parameters(slurm_array_parallelism=2, timeout_min=10, cpus_per_task=1)
executor.map_array(trial, [index / int(runs) for index in range(int(runs))])
"""


def commands(engine: str, runs: tuple[int, int], place: Path, submitit_python: str) -> dict[str, list[str]]:
    """Return what each contender is called with, by its name; ours comes first.

    Args:
        engine: Its name.
        runs: How many we make, and how many the others.
        place: A folder.
        submitit_python: An interpreter that has submitit, "" for none.
    """
    sweep = write_empty_sweep(place, EMPTY, runs[0])
    ours = [sys.executable, "-m", "sweepkit", "parallel", str(sweep), "--launcher", engine, "--agents", "1"]
    ours += ["--cpus-per-agent", "2", "--num-workers", str(WORKERS), "--output-dir", str(place / "out")]
    if engine == "ray":
        return {"sweepkit, --launcher ray": ours, "Ray Tune": [sys.executable, "-c", _TUNE, str(EMPTY), str(runs[1])]}
    found = {"sweepkit, --launcher slurm": ours}
    if submitit_python:
        found["submitit, array"] = [submitit_python, "-c", _SUBMITIT, str(EMPTY), str(runs[1]), str(place / "submitit")]
    return found


def measure_inside(engine: str, runs: tuple[int, int], place: Path, submitit_python: str) -> None:
    """Within the namespaces: run the contenders one after the other, and write their timings."""
    told = []
    for number, (name, command) in enumerate(commands(engine, runs, place, submitit_python).items()):
        journal, wanted = place / JOURNAL, runs[0] if number == 0 else runs[1]
        journal.touch()
        env = os.environ | {JOURNAL_ENV: str(journal)}
        if command[0] == sys.executable:
            env["PYTHONPATH"] = str(CODE)
        launched_at = time.time()
        with (place / f"log {number}").open("wb") as log:
            done = subprocess.run(command, env=env, cwd=place, stdout=log, stderr=log, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {(place / f'log {number}').read_text()[-2000:]}")
        _await(lambda journal=journal, wanted=wanted: len(journal.read_text().splitlines()) >= wanted, TIMEOUT_S)
        found = timing(name, journal, runs=wanted, workers=WORKERS, launched_at=launched_at)
        journal.rename(place / f"journal {number}")
        told.append(
            {"name": name, "runs": wanted, "seconds_per_run": found.seconds_per_run, "startup_s": found.startup_s}
        )
    (place / "timings.json").write_text(json.dumps(told))


def _await(is_so: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            raise RuntimeError(f"not all runs ended within {within_s:g} s")
        time.sleep(0.05)


def measure(engine: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the timings of the contenders on one engine."""
    with folder() as place:
        place.chmod(0o755)
        inside = [sys.executable, str(Path(__file__).resolve()), "--inside", engine, "--place", str(place)]
        inside += [
            "--runs",
            str(options.runs),
            "--others-runs",
            str(options.others_runs or options.runs),
            "--submitit-python",
            options.submitit_python,
        ]
        if engine == "ray":
            script = _RAY.replace("JOURNAL_ENV_NAME", JOURNAL_ENV).replace("JOURNAL_NAME", JOURNAL)
            start = ["bash", "-c", script, "ray", str(place)]
        else:
            start = ["bash", str(ROOT / "tests" / "support" / "slurm_cluster.sh"), str(place / "slurm")]
        subprocess.run(["timeout", "-s", "KILL", str(2 * TIMEOUT_S), *APART, *start, *inside], check=True)
        return list(json.loads((place / "timings.json").read_text()))


def report(rows: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Return the table."""
    lines = [
        [row["name"], str(row["runs"]), f"{row['seconds_per_run']:.3f}", f"{row['startup_s']:.1f}"] for row in rows
    ]
    return "\n".join(
        [
            "# Empty runs on a cluster's engine, two at a time",
            "",
            "`python benchmarks/engines.py`. Contenders of one engine ran one after the other on the same cluster.",
            "",
            table(["what", "runs", "s per run", "s to the first run"], lines),
            "",
            machine_text(facts),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    given = parser(__doc__)
    given.add_argument("--runs", type=int, default=60, help="of each contender (60)")
    given.add_argument("--others-runs", type=int, help="of each but ours (as many)")
    given.add_argument("--only", choices=["ray", "slurm"], help="one engine alone")
    given.add_argument("--submitit-python", default="", help="interpreter that has submitit (default: it is left out)")
    given.add_argument("--inside", help=argparse.SUPPRESS)
    given.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = given.parse_args(argv)
    if options.inside:
        measure_inside(options.inside, (options.runs, options.others_runs), options.place, options.submitit_python)
        return 0
    if os.geteuid() or shutil.which("unshare") is None:
        raise SystemExit("needs root and unshare")
    facts, others = machine(quiet_s=options.quiet_s), Others()
    rows = [
        row for engine in ([options.only] if options.only else ["ray", "slurm"]) for row in measure(engine, options)
    ]
    others.finish(facts)
    data = {"machine": facts, "rows": rows}
    save(options.output, "engines", text=report(rows, facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
