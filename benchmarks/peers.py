"""What a peer adds to each empty isolated run, with 2 workers: the peers' side of the overhead table.

    python benchmarks/peers.py --runs 40 --wandb-runs 8
    python benchmarks/peers.py --only optuna --json

Every peer runs `programs/empty.py`, one new process a run, which keeps a journal of its own beginnings and ends. From
it, and from nothing that a peer says, come

- seconds per run, marginal: the first runs, one for each worker, are where the clock starts; from the end of the last
  of them to the end of the last run of all, divided by the number of runs in between. (Dividing the whole span by the
  number of all runs would forgive each worker its first wait: with 6 runs of `wandb agent`, a third of the truth.)
- start-up: from the launch of the peer's command to the beginning of its first run.

Compare numbers of one machine and one hour only. The peers get their best case: Optuna samples at random (no model is
fitted); the program logs nothing to W&B, whose server is a loopback that answers at once.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
EMPTY_PROGRAM = HERE / "programs" / "empty.py"
JOURNAL_ENV = "BENCHMARK_JOURNAL"
WORKERS = 2
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one peer took.

    Args:
        name: The peer and how it was used.
        runs: Number of runs that ended.
        workers: How many of them at once.
        seconds_per_run: From the end of run number `workers` to the last end, per run after that one.
        startup_s: Launch to the first beginning.
    """

    name: str
    runs: int
    workers: int
    seconds_per_run: float
    startup_s: float


def timing(name: str, journal: Path, *, runs: int, workers: int, launched_at: float) -> Timing:
    """Read a journal of `programs/empty.py`.

    Args:
        name: For the table.
        journal: The file that BENCHMARK_JOURNAL named.
        runs: How many runs there must be; more than `workers`.
        workers: How many of them were made at once.
        launched_at: `time.time()` when the peer was launched.

    Raises:
        RuntimeError: The peer ran more or fewer runs, or several in one process.
    """
    rows = [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []
    processes = {row[2] for row in rows}
    if len(rows) != runs or len(processes) != runs:
        raise RuntimeError(
            f"{name}: {runs} isolated runs were asked for, got {len(rows)} in {len(processes)} processes"
        )
    if runs <= workers:
        raise RuntimeError(f"{name}: more runs than workers are needed, got {runs} and {workers}")
    ends = sorted(float(row[1]) for row in rows)
    return Timing(
        name=name,
        runs=runs,
        workers=workers,
        seconds_per_run=(ends[-1] - ends[workers - 1]) / (runs - workers),
        startup_s=min(float(row[0]) for row in rows) - launched_at,
    )


def optuna_ask_tell(runs: int, *, workers: int = WORKERS) -> Timing:
    """Optuna's ask and tell with a new Python per trial, SQLite storage, one process a worker."""
    name = "Optuna ask/tell, new process per trial, SQLite"
    with _folder() as folder:
        journal = folder / "journal"
        env = os.environ | {JOURNAL_ENV: str(journal)}
        launched_at = time.time()
        _run_all([_optuna_command(folder, "create", 0)], env, folder)  # two first starts at once break each other
        shares = [runs // workers + (index < runs % workers) for index in range(workers)]
        _run_all([_optuna_command(folder, "work", share) for share in shares], env, folder)
        return timing(name, journal, runs=runs, workers=workers, launched_at=launched_at)


def wandb_agent(runs: int, *, workers: int = WORKERS) -> Timing:
    """`wandb agent`, one command a worker, against the loopback backend of the tests."""
    sys.path.insert(0, str(HERE.parent / "tests" / "support"))
    from wandb_backend import WandbBackend

    with _folder() as folder, WandbBackend() as backend:
        journal = folder / "journal"
        values = [index / runs for index in range(runs)]
        sweep = {"method": "grid", "program": str(EMPTY_PROGRAM), "parameters": {"x": {"values": values}}}
        path = f"{backend.environment(folder)['WANDB_ENTITY']}/loopback/{backend.add_sweep(sweep)}"
        env = os.environ | backend.environment(folder) | {JOURNAL_ENV: str(journal)}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"  # the agent runs "python"
        launched_at = time.time()
        _run_all([[sys.executable, "-m", "wandb", "agent", path]] * workers, env, folder)
        return timing("wandb agent, loopback backend", journal, runs=runs, workers=workers, launched_at=launched_at)


def optuna_work(storage: str, runs: int) -> None:
    """Be one Optuna worker: ask, run the program, tell, `runs` times."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="empty", storage=storage, sampler=optuna.samplers.RandomSampler())
    for _ in range(runs):
        trial = study.ask()
        x = trial.suggest_float("x", 0.0, 1.0)
        command = [sys.executable, str(EMPTY_PROGRAM), f"--x={x}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        study.tell(trial, json.loads(done.stdout)["loss"])


def optuna_create(storage: str) -> None:
    """Create the study that the workers load."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name="empty", storage=storage)


def _optuna_command(folder: Path, step: str, runs: int) -> list[str]:
    return [sys.executable, __file__, "--optuna", step, f"sqlite:///{folder / 'study.db'}", "--runs", str(runs)]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run_all(commands: list[list[str]], env: dict[str, str], folder: Path) -> None:
    """Run commands at once and wait for all; raise RuntimeError with the output of one that failed."""
    logs = [folder / f"{time.monotonic_ns()}-{index}.log" for index in range(len(commands))]
    processes = []
    try:
        for command, log in zip(commands, logs, strict=True):
            with log.open("wb") as out:
                started = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
            processes.append(started)
        for process, log in zip(processes, logs, strict=True):
            if process.wait(TIMEOUT_S):
                raise RuntimeError(f"{process.args} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


PEERS: dict[str, Callable[[int], Timing]] = {"optuna": optuna_ask_tell, "wandb": wandb_agent}


def main(argv: list[str] | None = None) -> int:
    """Measure the peers and print a table (or one JSON object a line); return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="runs of each quick peer (default 40)")
    parser.add_argument("--wandb-runs", type=int, default=8, help="runs of wandb agent, 5 s each (default 8)")
    parser.add_argument("--only", choices=sorted(PEERS), action="append", help="measure only this peer; repeatable")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--optuna", nargs=2, metavar=("STEP", "STORAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.optuna:  # this process is a part of the Optuna peer
        step, storage = options.optuna
        optuna_create(storage) if step == "create" else optuna_work(storage, options.runs)
        return 0
    if not options.json:
        print("| peer | runs | workers | s/run | start-up s |\n|---|---|---|---|---|")
    for name in options.only or PEERS:
        found = PEERS[name](options.wandb_runs if name == "wandb" else options.runs)
        if options.json:
            print(json.dumps(asdict(found)), flush=True)
        else:
            numbers = f"{found.runs} | {found.workers} | {found.seconds_per_run:.4f} | {found.startup_s:.1f}"
            print(f"| {found.name} | {numbers} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
