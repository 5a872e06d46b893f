"""What a run costs the agent, in CPU seconds, when 100, 1,000, 10,000 or 50,000 runs of its sweep are recorded.

    python benchmarks/scale.py                      about ten minutes; writes results/scale.md and scale.json
    python benchmarks/scale.py --sizes 100 1000     smaller ones alone
    python benchmarks/scale.py --profile tpe 10000  where the CPU of one of them goes

The earlier runs are put into a fresh record through the store itself, by what `sweepkit db rebuild` uses. Then a whole
session (engine, stopping rule, record, events, table, result files; two workers) makes further runs, whose processes
are left out: a stand-in for the launcher writes each one's reports and says that it has ended. So what is measured is
what we add, which is all that could grow. The thread that writes `runs.csv` takes a twentieth of the time at most,
however many runs there are; its table is part of the end, which is measured by itself.
"""

import argparse
import contextlib
import dataclasses
import io
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from measuring import Others, folder, machine, machine_text, parser, spread, table, verdict

from sweepkit.agents.launcher import AttemptSpec, Event, Exited, Started
from sweepkit.agents.slots import make_slots
from sweepkit.agents.worker_pool import StartSchedule, WorkerPool
from sweepkit.cli.guard import collecting
from sweepkit.environ import REPORT_FILE_ENV
from sweepkit.model.records import Report, RunRecord, SweepRecord
from sweepkit.model.runs import RunState
from sweepkit.runner.opening import SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.runner.session import open_session
from sweepkit.store.open import open_store
from sweepkit.store.restore import RestoredRun
from sweepkit.store.sql import SqlStore

SIZES = (100, 1_000, 10_000, 50_000)
ENGINES = ("grid", "random", "tpe", "hyperband")
TARGET = 1.5  # times what a run costs among 100
WORKERS = 2
_WARM_UP = 10  # runs that come first and do not count: the first ones read the record and import what engines need
_REPORTS = 3  # of a run; --reports gives another number


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was measured once.

    Args:
        engine: "grid", "random", "tpe", or "hyperband" (random with that stopping rule).
        size: Runs that were recorded before.
        opening_s: CPU seconds until the first run could be claimed.
        run_s: CPU seconds of a further run, the mean over the workers' threads.
        concluding_s: CPU seconds of the end: files, table, best run; without report.html.
    """

    engine: str
    size: int
    opening_s: float
    run_s: float
    concluding_s: float


class StandIn:
    """Starts no process: an attempt has reported and ended as soon as it is submitted."""

    def __init__(self, reports: int) -> None:
        self._reports = reports  # of each run
        self.began_at: float | None = None  # of the process's CPU, when the first run could be claimed
        self.spent: dict[int, list[float]] = {}  # of each worker's CPU at its submits, by thread
        self._count = itertools.count()
        self._random = random.Random(0)

    def submit(self, spec: AttemptSpec) -> "SimpleQueue[Event]":
        """Write the reports of an attempt; return the queue that tells of its end."""
        self.began_at = time.process_time() if self.began_at is None else self.began_at
        if next(self._count) >= _WARM_UP:
            self.spent.setdefault(threading.get_ident(), []).append(time.thread_time())
        rows = [json.dumps({"loss": self._random.random()}) + "\n" for _ in range(self._reports)]
        Path(spec.env[REPORT_FILE_ENV]).write_text("".join(rows), encoding="utf-8")
        queue: SimpleQueue[Event] = SimpleQueue()
        queue.put(Started(pid=os.getpid(), warm=True))
        queue.put(Exited(status=0, duration_s=0.01))
        return queue

    def signal(self, attempt: str, number: int) -> bool:
        """Nothing runs."""
        return False

    def renew(self, ends: Mapping[str, float]) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing runs."""


# -- a record ---------------------------------------------------------------------------------------------------------


def sweep_of(engine: str) -> dict[str, Any]:
    """Return the YAML of a sweep that has room for any of the sizes."""
    if engine == "grid":
        parameters: dict[str, Any] = {"x": {"min": 0, "max": 10**6}}
    else:
        parameters = {
            "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-2},
            "dropout": {"min": 0.0, "max": 0.5},
            "layers": {"min": 1, "max": 12},
            "optimizer": {"values": ["adamw", "sgd", "lion"]},
        }
    stopping = {"early_terminate": {"type": "hyperband", "min_iter": 1}} if engine == "hyperband" else {}
    return {
        "name": "scale",
        "program": "nothing.py",
        "method": "grid" if engine == "grid" else "random" if engine in ("random", "hyperband") else "bayes",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": parameters,
        **stopping,
        **({"sweepkit": {"sampler": "tpe"}} if engine == "tpe" else {}),
    }


def _params(engine: str, number: int, drawn: random.Random) -> dict[str, Any]:
    if engine == "grid":
        return {"x": number}
    return {
        "learning_rate": 10 ** drawn.uniform(-6, -2),
        "dropout": drawn.uniform(0, 0.5),
        "layers": drawn.randint(1, 12),
        "optimizer": drawn.choice(["adamw", "sgd", "lion"]),
    }


def fill(store: SqlStore, sweep: SweepRecord, engine: str, size: int, reports: int) -> None:
    """Put `size` finished runs of so many reports each into the record."""
    drawn = random.Random(size)
    runs = []
    for number in range(size):
        history = tuple(drawn.random() for _ in range(reports))
        run = RunRecord(
            run_id=f"r{number:07d}",
            sweep_id=sweep.sweep_id,
            number=number,
            params=_params(engine, number, drawn),
            state=RunState.FINISHED,
            reason="exit code 0",
            history=history,
            best_metrics={"loss": min(history)},
            last_metrics={"loss": history[-1]},
            attempts=1,
            created_at=1.0,
            started_at=1.0,
            ended_at=2.0,
            outcome={"duration_s": 1.0, "exit_code": 0, "host": "h"},
        )
        told = tuple(Report(seq=seq, values={"loss": value}) for seq, value in enumerate(history))
        runs.append(RestoredRun(run=run, reports=told))
    store.restore(sweep, runs)


# -- a session --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _in(place: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def measure(engine: str, size: int, runs: int, *, reports: int = _REPORTS) -> Cost:
    """Return what `runs` further runs cost when `size` runs are recorded."""
    with folder() as place, _in(place):
        (place / "nothing.py").write_text("", encoding="utf-8")
        (place / "sweep.yaml").write_text(json.dumps(sweep_of(engine)), encoding="utf-8")
        options = RunOptions(output_dir=place / "out", count=runs + _WARM_UP, seed=1)
        plan = make_plan(options, "sweep.yaml")
        slots = make_slots(WORKERS, gpus=(), gpus_per_run=None, cpus_per_run=1)
        (place / "out").mkdir()
        if (known := _records.get((engine == "grid", size))) is not None:
            Path(plan.storage).write_bytes(known)
        with open_store(plan.storage) as store:
            opener = SweepOpener(options, plan, store, slots=slots)
            sweep = store.sweep("scale") or opener.create([])
            if known is None:
                fill(store, sweep, engine, size, reports)
                _records[engine == "grid", size] = _content_of(store, plan.storage)
            store.update_sweep(sweep.sweep_id, text=plan.spec.text)
            _leave_results(place / "out" / "sweep_scale", size)
            return _work(engine, size, opener, reports)


_records: dict[tuple[bool, int], bytes] = {}  # filled ones, by their space and size


def _content_of(store: SqlStore, file: str) -> bytes:
    store.checkpoint()
    return Path(file).read_bytes()


def _leave_results(root: Path, size: int) -> None:
    """Leave the files that those runs would have: a missing one is written at the start."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "runs.csv").touch()
    for number in range(size):
        (root / f"run_r{number:07d}_result.json").touch()


def _work(engine: str, size: int, opener: SweepOpener, reports: int) -> Cost:
    launcher, began = StandIn(reports), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), collecting():  # as each command does
        session = open_session(opener, ())
        agent = session.start(launcher)  # type: ignore[arg-type]
        pool = WorkerPool([agent], opener.slots, schedule=StartSchedule(), gate=None, notify=session.on_event)
        (finish,) = pool.run()
        session.stop_showing()
        ended = time.process_time()
        session.conclude(finish, hurried=True)
    assert launcher.began_at is not None
    spent = launcher.spent.values()
    return Cost(
        engine=engine,
        size=size,
        opening_s=launcher.began_at - began,
        run_s=sum(at[-1] - at[0] for at in spent) / sum(len(at) - 1 for at in spent),
        concluding_s=time.process_time() - ended,
    )


# -- the table --------------------------------------------------------------------------------------------------------


def report(costs: list[Cost], facts: dict[str, Any], reports: int) -> str:
    """Return the table: one line per engine, a column per size, and how much the largest costs more than the least."""
    sizes = sorted({cost.size for cost in costs})
    lines, ratios = [], []
    for engine in dict.fromkeys(cost.engine for cost in costs):
        of_size = {size: [cost for cost in costs if (cost.engine, cost.size) == (engine, size)] for size in sizes}
        medians = [spread([1_000 * cost.run_s for cost in of_size[size]]).median for size in sizes]
        ratios.append(medians[-1] / medians[0])
        opening = spread([cost.opening_s for cost in of_size[sizes[-1]]]).median
        concluding = spread([cost.concluding_s for cost in of_size[sizes[-1]]]).median
        lines.append(
            [engine, *(f"{value:.1f}" for value in medians), f"{ratios[-1]:.2f}", f"{opening:.1f}", f"{concluding:.1f}"]
        )
    most = f"{sizes[-1]:,}"
    header = ["engine", *(f"{size:,} runs" for size in sizes), "last / first", f"opening {most}, s", f"end {most}, s"]
    return "\n".join(
        [
            "# CPU milliseconds of a run by the number of runs that are recorded",
            "",
            "`python benchmarks/scale.py`; median of the repetitions, 2 workers, without the runs' own processes.",
            f"`hyperband` is random search with that stopping rule. Each run has {reports} reports.",
            "",
            table(header, lines),
            "",
            f"The largest ratio is {max(ratios):.2f}; {verdict(max(ratios), at_most=TARGET)}.",
            "",
            machine_text(facts),
        ]
    )


def _profile(engine: str, size: int, runs: int) -> None:
    """Print where the CPU goes, all threads together."""
    import cProfile
    import pstats

    made: list[cProfile.Profile] = []
    plain = threading.Thread.run

    def profiled(thread: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        made.append(profile)
        profile.runcall(plain, thread)

    threading.Thread.run = profiled  # type: ignore[method-assign]
    print(measure(engine, size, runs))
    found = pstats.Stats(*made, stream=sys.stdout)
    found.sort_stats("cumulative").print_stats(45)
    found.sort_stats("tottime").print_stats(25)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options_parser: argparse.ArgumentParser = parser(__doc__)
    options_parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="recorded runs")
    options_parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    options_parser.add_argument("--runs", type=int, default=60, help="further runs of each measurement (60)")
    options_parser.add_argument("--reports", type=int, default=_REPORTS, help="of each run (3)")
    options_parser.add_argument("--repetitions", type=int, default=1, help="of everything, interleaved (1)")
    options_parser.add_argument("--profile", nargs=2, metavar=("ENGINE", "SIZE"), help="print where the CPU goes")
    options = options_parser.parse_args(argv)
    if options.profile:
        _profile(options.profile[0], int(options.profile[1]), options.runs)
        return 0
    facts, others = machine(quiet_s=options.quiet_s), Others()
    costs = [
        measure(engine, size, options.runs, reports=options.reports)
        for _ in range(options.repetitions)
        for engine in options.engines
        for size in options.sizes
    ]
    others.finish(facts)
    text = report(costs, facts, options.reports)
    data = {"machine": facts, "workers": WORKERS, "costs": [dataclasses.asdict(cost) for cost in costs]}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "scale.md").write_text(text + "\n", encoding="utf-8")
    (options.output / "scale.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
