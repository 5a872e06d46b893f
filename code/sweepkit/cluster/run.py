"""Run a sweep by agents on a cluster: record it, place them, and watch until it is over, or leave."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sweepkit.agents.agent import Finish
from sweepkit.agents.environments import differing_nodes
from sweepkit.called import typed
from sweepkit.cluster.bring import RunFiles
from sweepkit.cluster.code_archive import pack
from sweepkit.cluster.engine import AgentJob, AgentState, ClusterEngine
from sweepkit.cluster.fleet import Fleet, FleetView
from sweepkit.cluster.node import CODE_ENV, OUTPUT_WORD, keep_project
from sweepkit.cluster.options import ClusterOptions
from sweepkit.cluster.postgres import NOT_ENCRYPTED, ProjectPostgres
from sweepkit.environ import CARRIED_FROM_ENV, STORAGE_ENV
from sweepkit.errors import StoreError
from sweepkit.model.events import Notice
from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR, INSTALLED, STORE_NAME, slug
from sweepkit.project import project_root
from sweepkit.reports.files import relative
from sweepkit.runner.exit_codes import INTERRUPTED
from sweepkit.runner.interrupts import Interrupts
from sweepkit.runner.opening import OpenSweep, SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import Plan
from sweepkit.runner.session import Session
from sweepkit.store.backup import sqlite_file
from sweepkit.store.base import Store
from sweepkit.store.open import open_store

_LOOK_EVERY_S = 2.0
_NOTIFY_EVERY_S = 60.0  # although nothing changed
_LAUNCH = "launch"  # a file of the sweep: what placed its agents


def run_on_cluster(options: RunOptions, plan: Plan, asked: ClusterOptions) -> int:
    """Run a sweep by agents that are placed on a cluster; return the exit code.

    Args:
        options: How it is run.
        plan: The sweep.
        asked: Where its agents are placed.

    Raises:
        StoreError: Its record cannot be reached from other hosts.
        EngineError: The engine is not there, or refuses.
        ConflictError: The sweep is recorded as another one.
    """
    engine = _make_engine(asked, plan.output_dir)
    engine.check(_asked_job(asked))  # before a database is started and a sweep recorded for agents that never come
    storage, said = _reachable(plan, asked)
    with open_store(storage) as store:
        opened = SweepOpener(options, settled(replace(plan, storage=storage), store), store, slots=()).open()
        opened.write_inputs()
        code = "" if asked.shares_folder else _carry_project(opened, store, asked)
        call = _ClusterCall(opened, store, asked, engine, code)
        return call.run((said, *opened.notes) if said else opened.notes)


def _reachable(plan: Plan, asked: ClusterOptions) -> tuple[str, str]:
    """Return the record's URL for agents elsewhere, and what is to be said of it; "" for nothing.

    Where none is named, the project's own PostgreSQL is started on this host.

    Raises:
        StoreError: It is a file, and the agents may be on other hosts.
        PostgresError: The project's own cannot be started.
    """
    if asked.launcher == "local" or sqlite_file(plan.storage) is None:
        return plan.storage, ""
    if plan.storage != str(plan.output_dir / STORE_NAME):
        raise StoreError(
            f"--launcher {asked.launcher}: agents on several hosts need a database that all of them reach, got the "
            f"file {plan.storage}; leave --storage out for a PostgreSQL of the project's own on this host, or name "
            "yours: --storage postgresql://user@host/database"
        )
    server = ProjectPostgres(plan.output_dir / "postgres")
    url = server.start()
    said = [
        f"the record is a PostgreSQL on this host, in {relative(server.folder)}/: while this host is down, no run is "
        "claimed or ended",
        f"{typed('db', 'stop')} ends it",
        f"elsewhere, --storage '{url}' shows the sweep",
    ]
    return url, "; ".join(said if server.encrypts else [*said, NOT_ENCRYPTED])


def _carry_project(opened: OpenSweep, store: Store, asked: ClusterOptions) -> str:
    """Put the project's code into the record, and what places the agents; return the code's digest.

    Raises:
        CodeArchiveError: It cannot be packed.
        StoreError: The record refuses.
    """
    plan = opened.plan
    digest, data = pack(project_root(plan.folder), without=[plan.output_dir])
    keep_project(store, opened.sweep.sweep_id, digest, data)
    placed = {"launcher": asked.launcher, "address": asked.address}
    store.keep_file(opened.sweep.sweep_id, _LAUNCH, json.dumps(placed).encode())
    return digest


def placing_engine(store: Store, sweep_id: str, output_dir: Path) -> ClusterEngine | None:
    """Return the engine that placed the agents of a sweep that shares no folder; None of any other sweep.

    Args:
        store: The record.
        sweep_id: The sweep.
        output_dir: The folder of results on this host.

    Raises:
        EngineError: It is not there.
    """
    kept = store.kept_file(sweep_id, _LAUNCH)
    return None if kept is None else _make_engine(ClusterOptions(**json.loads(kept)), output_dir)


def record_environ(storage: str, output_dir: Path) -> dict[str, str]:
    """Return how a process on a node without a shared folder knows the record: its password too, where no file says it.

    Args:
        storage: The record's URL or path on this host.
        output_dir: The folder of results on this host.
    """
    server = ProjectPostgres(output_dir / "postgres")
    if server.running() and storage == server.url():
        return {STORAGE_ENV: server.url(names_passfile=False), "PGPASSWORD": server.password()}
    return {STORAGE_ENV: storage}


def _environ(plan: Plan, code: str) -> dict[str, str]:
    """Return what agents know by their environment: the record, its password where no file says it, the code."""
    if not code:
        return {STORAGE_ENV: plan.storage}
    carried = {CODE_ENV: code, CARRIED_FROM_ENV: str(project_root(plan.folder))}
    return {**record_environ(plan.storage, plan.output_dir), **carried}


def _make_engine(asked: ClusterOptions, output_dir: Path) -> ClusterEngine:
    """Return the engine that is asked for; that of this host remembers its agents below `output_dir`."""
    if asked.launcher == "slurm":
        from sweepkit.cluster.slurm import SlurmEngine

        return SlurmEngine()
    if asked.launcher == "ray":
        from sweepkit.cluster.on_ray import RayEngine

        return RayEngine(asked.address)
    from sweepkit.cluster.processes import ProcessEngine

    return ProcessEngine(output_dir / "agents")


class _ClusterCall:
    """One call: a sweep that is open, and its agents.

    Attributes:
        interrupt_level: 0 watches; from 1 on the agents are asked to end; the signal after that does not wait for them.
    """

    def __init__(
        self, opened: OpenSweep, store: Store, asked: ClusterOptions, engine: ClusterEngine, code: str
    ) -> None:
        self.opened, self.store, self.asked, self.engine = opened, store, asked, engine
        self.session = Session(opened)
        self.fleet = Fleet(engine, _jobs_of(opened, asked, code))
        self.code = code
        self.noted_nodes: set[str] = set()  # nodes
        self.files = RunFiles(store, opened.sweep.sweep_id, opened.paths)
        self.interrupts = Interrupts()
        self.interrupt_level = 0
        self.line = ""
        self.notified_at = 0.0

    def run(self, notes: Sequence[str]) -> int:
        """Place the agents, and watch them if that is asked for; return the exit code.

        Args:
            notes: What is said first.
        """
        for note in notes:
            self._note(note)
        self.fleet.place()
        if strangers := self.fleet.strangers():
            said = "agent of an earlier call is" if len(strangers) == 1 else "agents of an earlier call are"
            self._note(f"{len(strangers)} {said} there, too: {', '.join(sorted(strangers))}")
        count = len(self.fleet.jobs)
        log = self.fleet.jobs[0].log
        logs = f"{log.with_stem(log.stem[:-1] + 'N')} of their nodes" if self.code else f"{relative(log.parent)}/"
        self._note(f"{count} agent{'s' if count > 1 else ''} asked of {self.engine.name}; their logs are in {logs}")
        if self.code:
            self._note(f"the project's code travels in the record ({self.code[:12]}), results and logs come back so")
        name = self.opened.sweep.name
        if not self.asked.wait:
            self._note(f"watch them: {typed('watch', name)}; end them: {typed('cancel', name)}")
            return 0
        with self.interrupts.passed_to(self):
            return self._watch()

    def interrupt(self) -> int:
        """Take note of a signal; return how many there were. A SIGTERM that comes first counts as two."""
        self.interrupt_level += 1
        return self.interrupt_level

    def _watch(self) -> int:
        while True:
            over, words = self._stand()
            if self.interrupt_level:
                return self._end()
            view = self.fleet.look(over=over)
            self._show(view, words)
            self._bring()
            if len(view.lost) == len(self.fleet.jobs):
                self._note(f"no agent stays alive; the end of a log in {self.fleet.jobs[0].log.parent} says why", True)
                return self._conclude(Finish(complete=False, reason="its agents end", given_up=True))
            if over:
                return self._over()
            self._pause(_LOOK_EVERY_S)

    def _bring(self) -> None:
        """Lay down what the record carries from nodes that share no folder, and say what is different there."""
        if not self.code:
            return
        try:
            self.files.bring()
            for node, words in differing_nodes(self.store, self.opened.sweep.sweep_id, but=self.noted_nodes).items():
                self.noted_nodes.add(node)
                self._note(f"{node} differs from this host: {words}", warning=True)
        except StoreError:
            return  # said by `_stand`
        except OSError as error:
            self._note(f"the files of runs cannot be written, tried again: {error}", warning=True)

    def _over(self) -> int:
        """The sweep is over: agents that still wait for room are not needed any more, others end by themselves."""
        self.fleet.stop(AgentState.PENDING)
        self._bring()
        if self.code and (count := self.files.awaited):
            said = f"the files of {count} run{'s' if count > 1 else ''} have not come yet"
            self._note(f"{said}; the same command brings them, or {typed('fetch', self.opened.sweep.name)}")
        sweep = self.store.sweep(self.opened.sweep.name)
        reason = sweep.reason if sweep is not None else ""
        return self._conclude(Finish(complete=True, reason=reason))

    def _end(self) -> int:
        """Ask the agents to end, and wait until they have released their runs; the next Ctrl-C does not wait."""
        self._note("ending the agents; their runs are released (again: do not wait for them)")
        self.fleet.stop()
        came = 2 if self.interrupts.preempted else 1
        while self.interrupt_level <= came:
            if self.fleet.look(over=True).ended:
                break
            self._pause(_LOOK_EVERY_S / 4)
        self._bring()
        self._conclude(Finish(complete=False, reason="interrupted"), hurried=True)
        return self.session.options.preempted_exit_code if self.interrupts.preempted else INTERRUPTED

    def _conclude(self, finish: Finish, *, hurried: bool = False) -> int:
        return self.session.conclude(finish, hurried=hurried)

    def _stand(self) -> tuple[bool, str]:
        """Return whether the sweep is over, and where it stands in words."""
        try:
            sweep = self.store.sweep(self.opened.sweep.name)
            counts = self.store.counts(self.opened.sweep.sweep_id)
        except StoreError as error:
            return False, f"the database cannot be asked: {error}"
        done = sum(number for state, number in counts.items() if state.done)
        running = counts.get(RunState.RUNNING, 0)
        failed = counts.get(RunState.FAILED, 0)
        words = f"{done} run{'s' if done != 1 else ''} done{f' ({failed} failed)' if failed else ''}, {running} running"
        return sweep is not None and sweep.state.over, words

    def _show(self, view: FleetView, words: str) -> None:
        text, now = f"{view.text()}; {words}", time.monotonic()
        if text != self.line or now - self.notified_at > _NOTIFY_EVERY_S:
            self.line, self.notified_at = text, now
            self._note(text)

    def _note(self, text: str, warning: bool = False) -> None:
        self.session.on_event(Notice(text=text, warning=warning))

    def _pause(self, seconds: float) -> None:
        until, seen = time.monotonic() + seconds, self.interrupt_level
        while self.interrupt_level == seen and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))


def _asked_job(asked: ClusterOptions) -> AgentJob:
    """Return what every agent asks of the engine, without the sweep."""
    return AgentJob(
        name="sweepkit",
        argv=("true",),
        gpus=asked.gpus_per_agent,
        cpus=asked.cpus_per_agent,
        nodes=asked.nodes_per_agent,
        time_limit_s=asked.time_limit_s,
        extra=asked.extra,
    )


def _jobs_of(opened: OpenSweep, asked: ClusterOptions, code: str) -> list[AgentJob]:
    """Return the agents of a sweep: their names are the same in every call, so that none is placed twice.

    Args:
        opened: The sweep.
        asked: What is asked of the cluster.
        code: The digest of the project's archive in the record; "" where the folder is shared.
    """
    sweep, paths = opened.sweep, opened.paths
    logs = paths.root / "agents" / "agent"
    if code:
        logs = Path(tempfile.gettempdir()) / f"sweepkit-{sweep.sweep_id}"
    logs.parent.mkdir(parents=True, exist_ok=True)
    output_dir = str(opened.plan.output_dir) if asked.shares_folder else OUTPUT_WORD
    words = [*our_command("sweepkit.cli.app"), "agent", sweep.name, "--output-dir", output_dir]
    if asked.nodes_per_agent > 1:
        words += ["--num-workers", "1"]
    command = [*our_command("sweepkit.cluster.keeper"), sweep.name, *words, *asked.agent_words]
    return [
        replace(
            _asked_job(asked),
            name=f"sweepkit-{slug(sweep.name)}-{sweep.sweep_id}-{number}",
            argv=tuple(command),
            env=_environ(opened.plan, code),
            cwd=Path(tempfile.gettempdir()) if code else opened.plan.cwd,
            log=logs.with_name(f"{logs.name}-{number}.log"),
        )
        for number in range(asked.agents)
    ]


def our_command(module: str) -> list[str]:
    """Return the command that runs `main` of a module of ours on a node.

    There, too, a checkout stands at this path; PYTHONPATH would lead the runs' own interpreters astray.
    """
    place = "" if INSTALLED else f"import sys; sys.path.insert(0, {str(CODE_DIR)!r}); "
    return [sys.executable, "-c", f"{place}from {module} import main; raise SystemExit(main())"]
