"""A pool of workers in the process of the test, with a lease as short as a test wants it."""

import os
import threading
from types import SimpleNamespace

from waiting import WAIT_S

from sweepkit.agents.agent import Agent
from sweepkit.agents.context import AgentContext, AgentSettings
from sweepkit.agents.launcher import LocalLauncher
from sweepkit.agents.prepare import Workplace
from sweepkit.agents.slots import make_slots
from sweepkit.agents.worker_pool import StartSchedule, WorkerPool
from sweepkit.model.events import Notice
from sweepkit.paths import SweepPaths
from sweepkit.reports.files import write_identity, write_spec
from sweepkit.search.make import make_engine
from sweepkit.stopping.make import make_rule
from sweepkit.store.open import open_store
from sweepkit.sweep_config.read import from_config


class Bench:
    """A sweep of one program in a folder, on a record of its own. A context manager: it leaves no process."""

    def __init__(self, folder, *, storage=None, lease_s=60.0):
        self.folder, self.lease_s = folder, lease_s
        self.storage = storage or folder / "record.db"
        self.store = open_store(self.storage)
        self.paths = SweepPaths(folder, "s")
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        self.launchers, self.stores = [], [self.store]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for launcher in self.launchers:
            launcher.close()
        for store in self.stores:
            store.close()

    def start(self, program, *, numbers=(0,), workers=1, slots=None, packer=None, stops=None):
        """Start a pool on the sweep, made when it is not there; return it as an object with what a test looks at."""
        path = self.folder / "program.py"
        path.write_text(program, encoding="utf-8")
        spec = from_config(
            {
                "program": str(path),
                "method": "grid",
                "metric": {"name": "loss", "goal": "minimize"},
                "parameters": {"number": {"values": list(numbers)}},
                **({} if stops is None else {"sweepkit": {"early_terminate": stops}}),
            }
        )
        sweep, _ = self.store.create_sweep("s", text=spec.text, seed=0, metric="loss", goal="minimize")
        write_spec(self.paths, spec)
        write_identity(self.paths, sweep)
        slots = slots or make_slots(workers, gpus=(), gpus_per_run=None, cpus_per_run=1)
        events = []
        launcher = LocalLauncher(log=self.paths.logs / "forkserver.log", notify=events.append)
        self.launchers.append(launcher)
        self.stores.append(open_store(self.storage))
        context = AgentContext(
            store=self.stores[-1],
            sweep=sweep,
            place=Workplace(
                spec=spec,
                paths=self.paths,
                program=str(path),
                cwd=str(self.folder),
                base_config=None,
                inherited={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            ),
            rule=None if stops is None else make_rule(spec, study="s"),
            launcher=launcher,
            settings=AgentSettings(slots=slots, lease_s=self.lease_s),
            surroundings={},
            emit=events.append,
        )
        pool = WorkerPool(
            [Agent(context, make_engine(spec, seed=0))],
            slots,
            schedule=StartSchedule(),
            gate=None,
            notify=events.append,
            packer=packer,
        )
        return _Running(self, sweep, context, pool, launcher, events)

    def runs(self):
        return self.store.runs(self.store.sweep("s").sweep_id)

    def lease_is_over(self):
        live = self.store.live_attempts(self.store.sweep("s").sweep_id)
        return bool(live) and all(item.expired for item in live)

    def statements(self, *statements):
        """Change the record by hand, as a disk's fault would: on SQLite and PostgreSQL alike."""
        with self.store._session._writer.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


class _Running(SimpleNamespace):
    """A pool at work in a thread of its own."""

    def __init__(self, bench, sweep, context, pool, launcher, events):
        super().__init__(bench=bench, sweep=sweep, context=context, pool=pool, launcher=launcher, events=events)
        self.error = None
        self.finishes = []
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        try:
            self.finishes = self.pool.run()
        except BaseException as error:
            self.error = error

    def warnings(self):
        return [event.text for event in self.events if isinstance(event, Notice) and event.warning]

    def join(self):
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive(), self.events
        return self.finishes
