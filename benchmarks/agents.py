"""What one PostgreSQL does for 64, 256 and 1,000 agents of one sweep that has 100,000 runs of 20 reports.

    python benchmarks/agents.py                     some 6 minutes; writes results/agents.md and results/agents.json
    python benchmarks/agents.py --agents 64         one size alone
    python benchmarks/agents.py --recorded 1000     fewer recorded runs

The database is that of `sweepkit db start`. Agents are stubs: threads that make an agent's calls of the record by the
real store, each with connections of its own, and run nothing. Three phases for each size: all join at once, until each
has claimed a run; runs of `--run-s` seconds with 20 reports, at an agent's own pace (commands, leases, reports, the
next run); runs back to back, as fast as the record takes them. Whatever the machine does beside it, the database's CPU
for a call stays what it is: seconds say little where clients and database share the cores.
"""

import argparse
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from measuring import Others, folder, machine, machine_text, parser, save, table

from sweepkit.agents.agent import PROPOSING_FOR_OTHERS_S
from sweepkit.agents.control import CONTROL_PERIOD_S
from sweepkit.agents.pace import missed_period, reclaim_period, shared_period
from sweepkit.cluster.postgres import ProjectPostgres
from sweepkit.errors import StoreError
from sweepkit.model.records import Attempt, Report
from sweepkit.model.runs import RunState
from sweepkit.search.random import RandomEngine
from sweepkit.store.open import open_store
from sweepkit.store.sql import SqlStore
from sweepkit.store.url import parse_url, postgresql_url
from sweepkit.sweep_config.read import read_sweep_text

SIZES = (64, 256, 1_000)
REPORTS = 20
PROCESSES = 4  # at least; among hundreds of threads who has the turn may wait for the interpreter
_PER_PROCESS = 25
LEASE_S = 60.0
SWEEP = """\
program: nothing.py
method: random
metric: {name: loss, goal: minimize}
parameters: {lr: {min: 0.0, max: 1.0}, layers: {min: 1, max: 12}, dropout: {min: 0.0, max: 0.5}}
"""
_COPIES = (
    "INSERT INTO runs SELECT {columns} FROM runs, generate_series(1, {count} - 1) i WHERE number = 0",
    "INSERT INTO attempts SELECT {columns} FROM attempts, generate_series(1, {count} - 1) i",
    "INSERT INTO reports SELECT {columns} FROM reports, generate_series(1, {count} - 1) i",
)
_OF_COPY = {"number": "i", "change": "i", "run_id": "'r' || i", "attempt_id": "'r' || i || '-1'"}


@dataclasses.dataclass(slots=True)
class Told:
    """What one process of agents measured.

    Args:
        took: Seconds of each call, by its name.
        refused: Errors of the database, by their first line.
        begin: Change number and runs of the sweep when the agents were made.
        races: How often the next run's number was another agent's, and how often not.
    """

    took: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    begin: tuple[int, int] = (0, 0)
    races: list[int] = dataclasses.field(default_factory=lambda: [0, 0])


class Stub:
    """One agent without a process to run."""

    def __init__(self, url: str, number: int, told: Told) -> None:
        self.number, self.told = number, told
        self.store: SqlStore = open_store(url)
        sweep = self.store.sweep("many")
        assert sweep is not None
        self.sweep = sweep
        self.engine = RandomEngine(read_sweep_text(sweep.text).space, seed=1)
        self.change, self.count, self.agents = -1, 0, 1
        self.reclaim_at, self.missed = float("-inf"), 0
        self.attempt: Attempt | None = None

    def timed(self, name: str, call: Callable[[], Any]) -> Any:
        """Return what a call returns, or None where the database refuses; its seconds are kept."""
        began = time.perf_counter()
        try:
            return call()
        except StoreError as error:
            said = str(error).rpartition(": ")[2][:80]
            self.told.refused[said] = self.told.refused.get(said, 0) + 1
            return None
        finally:
            self.told.took.setdefault(name, []).append(time.perf_counter() - began)

    def join(self) -> None:
        """Try until there is a run."""
        self.timed("join", self._until_claimed)

    def _until_claimed(self) -> None:
        while self.attempt is None:
            self.claim()
            if self.attempt is None:
                time.sleep(
                    missed_period(shared_period(0.2, self.agents), self.missed)
                )  # as a worker that found nothing

    def claim(self) -> None:
        """Do as an agent with a free slot."""
        self.attempt = self.timed("claim", self._claim)

    def _claim(self) -> Attempt | None:
        if time.monotonic() >= self.reclaim_at:
            self.store.live_attempts(self.sweep.sweep_id)
            self.reclaim_at = time.monotonic() + min(reclaim_period(2.0, self.agents), LEASE_S / 4)
        who = {"agent_id": f"agent {self.number}", "host": f"n{self.number}", "lease_s": LEASE_S}
        found = self.store.claim(self.sweep.sweep_id, **who)
        if found is not None:
            return found
        with self.store.turn(self.sweep.sweep_id) as turn:
            self.missed = 0 if turn is not None else self.missed + 1
            if turn is None:
                return None
            if (found := turn.claim(**who)) is not None:
                return found
            made = self._propose(who) or self._propose(who)
            if made is not None:
                self._propose_for(turn.waiting())
            return made

    def _propose(self, who: dict[str, Any]) -> Attempt | None:
        made = self.store.add_and_claim(self.sweep.sweep_id, **self._proposed(), **who)
        self.told.races[made is not None] += 1
        return made

    def _propose_for(self, others: int) -> None:
        until = time.monotonic() + PROPOSING_FOR_OTHERS_S
        while others > 0 and time.monotonic() < until:
            made = self.store.add_run(self.sweep.sweep_id, **self._proposed()) is not None
            self.told.races[made] += 1
            others -= 1

    def _proposed(self) -> dict[str, Any]:
        self._refresh()
        proposal = self.engine.ask(self.count)
        return {"number": self.count, "params": proposal.params, "proposal": {"reason": proposal.reason}}

    def _refresh(self) -> None:
        if self.change < 0:  # what a real agent reads once, at its start: not a thousand times on one machine
            self.change, self.count = self.told.begin
        changed = self.store.runs(self.sweep.sweep_id, since=self.change)
        self.change = max([self.change, *(run.change for run in changed)])
        self.count = max([self.count, *(run.number + 1 for run in changed)])
        self.agents = max(self.agents, sum(run.state is RunState.RUNNING for run in changed))

    def report(self, seq: int) -> None:
        """Report one value."""
        attempt = self.attempt
        if attempt is not None:
            row = [Report(seq=seq, values={"loss": random.random()})]
            self.timed("report", lambda: self.store.report(attempt, row, metric="loss", goal="minimize"))

    def finish(self) -> None:
        """End the run."""
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            end = {"reason": "exit code 0", "outcome": {"duration_s": 1.0}}
            self.timed("finish", lambda: self.store.finish(attempt, RunState.FINISHED, **end))

    def renew(self) -> None:
        """Do as the heartbeat: renew, and look how all leases stand."""
        if self.attempt is not None:
            mine = [self.attempt]
            self.timed("renew", lambda: self.store.renew(mine, lease_s=LEASE_S))
            self.timed("leases", lambda: self.store.live_attempts(self.sweep.sweep_id))

    def control(self) -> None:
        """Look for commands."""
        self.timed("control", lambda: self.store.sweep("many"))

    def paced(self, until: float, run_s: float) -> None:
        """Run at an agent's pace until a moment of the monotonic clock; the first run is midway."""
        began = time.monotonic()
        done = random.randrange(REPORTS)
        seq = itertools.count()
        due = {"report": began + random.random() * run_s / REPORTS, "control": began + random.random() * 0.5}
        due["renew"] = began + random.random() * LEASE_S / 4
        while (at := min(due.values())) < until:
            time.sleep(max(0.0, at - time.monotonic()))
            kind = min(due, key=lambda name: due[name])
            if kind == "control":
                self.control()
                due[kind] = time.monotonic() + shared_period(CONTROL_PERIOD_S, self.agents)
            elif kind == "renew":
                self.renew()
                due[kind] = time.monotonic() + LEASE_S / 4
            else:
                self.report(next(seq))
                done += 1
                due[kind] = at + run_s / REPORTS
                if done >= REPORTS:
                    self.finish()
                    self._until_claimed()
                    done, seq = 0, itertools.count()

    def hurried(self, until: float) -> None:
        """Make runs back to back until a moment of the monotonic clock."""
        while time.monotonic() < until:
            for seq in range(REPORTS):
                self.report(seq)
            self.finish()
            self._until_claimed()


def _agents(url: str, numbers: range, start: Any, phase: Any, answers: Any, options: argparse.Namespace) -> None:
    """One process of agents: make them, and go through the phases with the others."""
    threading.stack_size(512 << 10)
    told = Told()
    stubs: list[Stub] = []
    began = (options.recorded + 100, options.recorded)
    for number in numbers:
        with contextlib.suppress(StoreError):
            stubs.append(Stub(url, number, told))
    answers.put(("open", len(stubs), told))
    for name in ("join", "paced", "hurried"):
        start.wait()
        until = time.monotonic() + (options.paced_s if name == "paced" else options.hurried_s)
        told = Told(begin=began)
        works: dict[str, Callable[[Stub], None]] = {
            "join": Stub.join,
            "paced": lambda stub, until=until: stub.paced(until, options.run_s),
            "hurried": lambda stub, until=until: stub.hurried(until),
        }
        threads = []
        for stub in stubs:
            stub.told = told
            threads.append(threading.Thread(target=works[name], args=(stub,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers.put((name, len(stubs), told))
        phase.wait()
    for stub in stubs:
        stub.store.close()


# -- the database -----------------------------------------------------------------------------------------------------


def fill(url: str, count: int) -> None:
    """Put `count` finished runs of 20 reports into the sweep, copies of one."""
    with open_store(url) as store:
        sweep, _ = store.create_sweep("many", text=SWEEP, seed=1, metric="loss", goal="minimize")
        run = store.add_run(sweep.sweep_id, 0, {"lr": 0.5, "layers": 3, "dropout": 0.25})
        assert run is not None
        attempt = store.claim(sweep.sweep_id, agent_id="a", host="n", lease_s=LEASE_S)
        assert attempt is not None
        rows = [Report(seq=seq, values={"loss": 1 / (seq + 1)}) for seq in range(REPORTS)]
        store.report(attempt, rows, metric="loss", goal="minimize")
        store.finish(attempt, RunState.FINISHED, reason="exit code 0", outcome={"duration_s": 1.0})
    engine = sa.create_engine(postgresql_url(parse_url(url)))
    with engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")  # no look at each row's parent
        for statement, name in zip(_COPIES, ("runs", "attempts", "reports"), strict=True):
            columns = [column["name"] for column in sa.inspect(connection).get_columns(name)]
            words = ", ".join(_OF_COPY.get(column, f"{name}.{column}") for column in columns)
            connection.exec_driver_sql(statement.format(columns=words, count=count))
        connection.exec_driver_sql(f"UPDATE sweeps SET n_runs = {count}, change = {count} + 100")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def database_cpu(server: ProjectPostgres) -> float:
    """Return the CPU seconds of a server and of all its sessions, those that ended too."""
    first = int((server.data / "postmaster.pid").read_text().split()[0])
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = file.read_text().rpartition(")")[2].split()
            if int(file.parent.name) == first:
                ticks += sum(map(int, words[11:15]))
            elif int(words[1]) == first:
                ticks += sum(map(int, words[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(server: ProjectPostgres, url: str, agents: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what was measured with so many agents, phase by phase."""
    context = multiprocessing.get_context("spawn")
    processes = min(agents, max(PROCESSES, agents // _PER_PROCESS))
    start, phase, answers = context.Barrier(processes + 1), context.Barrier(processes + 1), context.Queue()
    shares = [range(agents)[number::processes] for number in range(processes)]
    workers = [context.Process(target=_agents, args=(url, share, start, phase, answers, options)) for share in shares]
    for worker in workers:
        worker.start()
    for name in ("open", "join", "paced", "hurried"):
        if name != "open":
            start.wait()
        cpu, began = database_cpu(server), time.monotonic()
        told = [answers.get(timeout=900) for _ in workers]
        wall_s = time.monotonic() - began
        yield _row(name, agents, told, wall_s, database_cpu(server) - cpu)
        if name != "open":
            phase.wait()
    for worker in workers:
        worker.join()


def _row(name: str, agents: int, told: list[Any], wall_s: float, cpu_s: float) -> dict[str, Any]:
    took: dict[str, list[float]] = {}
    refused: dict[str, int] = {}
    for _, _, one in told:
        for call, seconds in one.took.items():
            took.setdefault(call, []).extend(seconds)
        for words, count in one.refused.items():
            refused[words] = refused.get(words, 0) + count
    quantiles = {call: (statistics.median(item), sorted(item)[int(0.99 * len(item))]) for call, item in took.items()}
    return {
        "phase": name,
        "agents": agents,
        "there": sum(count for _, count, _ in told),
        "wall_s": round(wall_s, 2),
        "database_cpu_s": round(cpu_s, 2),
        "calls": {call: len(item) for call, item in took.items()},
        "median_s": {call: round(item[0], 4) for call, item in quantiles.items()},
        "p99_s": {call: round(item[1], 4) for call, item in quantiles.items()},
        "races": [sum(one.races[index] for _, _, one in told) for index in (0, 1)],
        "refused": refused,
    }


# -- the table --------------------------------------------------------------------------------------------------------


def report(rows: list[dict[str, Any]], facts: dict[str, Any], options: argparse.Namespace) -> str:
    """Return the tables."""
    sizes = list(dict.fromkeys(row["agents"] for row in rows))
    of = {(row["phase"], row["agents"]): row for row in rows}
    lines = [_line(size, of) for size in sizes]
    header = [
        "agents",
        "connected",
        "all have a run, s",
        "proposals for it",
        "database, cores",
        "claim, ms",
        "report, ms",
        "commands, ms",
        "runs/s back to back",
        "database, ms CPU a run",
    ]
    return "\n".join(
        [
            f"# Agents of one sweep on one PostgreSQL, {options.recorded:,} runs recorded",
            "",
            f"`python benchmarks/agents.py`; stubs, {_PER_PROCESS} a process, beside the database on the same cores.",
            f"Columns 5 to 8: runs of {options.run_s:g} s with {REPORTS} reports, for {options.paced_s:g} s (median / "
            f"99th percentile); the last two: runs back to back for {options.hurried_s:g} s.",
            "",
            table(header, lines),
            "",
            machine_text(facts),
        ]
    )


def _line(agents: int, of: dict[tuple[str, int], dict[str, Any]]) -> list[str]:
    """Return the cells of a number of agents; of a phase that did not end before the script was ended, dashes."""
    there, join, paced, hurried = (of.get((name, agents)) for name in ("open", "join", "paced", "hurried"))
    runs = hurried["calls"].get("finish", 0) if hurried else 0
    return [
        f"{agents:,}",
        f"{there['there']:,}" if there else "–",
        f"{join['wall_s']:.1f}" if join else "–",
        f"{sum(join['races']) / max(1, agents):.1f}" if join else "–",
        f"{paced['database_cpu_s'] / paced['wall_s']:.2f}" if paced else "–",
        *(_pair(paced, call) for call in ("claim", "report", "control")),
        f"{runs / hurried['wall_s']:.1f}" if hurried else "–",
        f"{1_000 * hurried['database_cpu_s'] / max(1, runs):.0f}" if hurried else "–",
    ]


def _pair(row: dict[str, Any] | None, call: str) -> str:
    if row is None or call not in row["median_s"]:
        return "–"
    return f"{1_000 * row['median_s'][call]:.0f} / {1_000 * row['p99_s'][call]:.0f}"


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    given = parser(__doc__)
    given.add_argument("--agents", type=int, nargs="+", default=list(SIZES))
    given.add_argument("--recorded", type=int, default=100_000, help="finished runs in the sweep (100,000)")
    given.add_argument("--run-s", type=float, default=60.0, help="length of a run at an agent's pace (60)")
    given.add_argument("--paced-s", type=float, default=40.0, help="how long that is measured (40)")
    given.add_argument("--hurried-s", type=float, default=15.0, help="how long runs are made back to back (15)")
    options = given.parse_args(argv)
    facts, others = machine(quiet_s=options.quiet_s), Others()
    rows: list[dict[str, Any]] = []
    with folder() as place:
        place.chmod(0o755)
        server = ProjectPostgres(place / "postgres")
        url = server.start()
        try:
            fill(url, options.recorded)
            for agents in options.agents:
                for row in measure(server, url, agents, options):
                    print(row, flush=True)
                    rows.append(row)
                    _keep(rows, facts, others, options)  # what was measured stands there if the rest is cut off
        finally:
            server.stop()
    return 0


def _keep(rows: list[dict[str, Any]], facts: dict[str, Any], others: Others, options: argparse.Namespace) -> None:
    others.finish(facts)
    save(options.output, "agents", text=report(rows, facts, options), data={"machine": facts, "rows": rows})


if __name__ == "__main__":
    raise SystemExit(main())
