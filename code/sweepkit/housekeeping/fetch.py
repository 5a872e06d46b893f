"""`sweepkit fetch RUN`: what a run wrote on a node without a shared folder (its checkpoints), brought here."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.find import Recorded, SweepPlace, find_run, opened
from sweepkit.paths import slug
from sweepkit.reports.files import relative
from sweepkit.runner.find_sweep import locate

if TYPE_CHECKING:
    from sweepkit.cluster.engine import AgentJob, ClusterEngine
    from sweepkit.cluster.run_folders import Arrived
    from sweepkit.model.records import RunRecord
    from sweepkit.store.base import Store

_ASK_EVERY_S = 1.0
_KEEPER_WITHIN_S = 75.0  # an agent of that node looks every half a minute; then the node is asked for by itself
_LOOK_EVERY_S = 10.0  # at the engine's queue; it may need a while to show what it was given
_AT_MOST = 5  # senders of one call: one that is killed midway is placed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came.

    Args:
        run_id: The run.
        host: Where it ran; None when nobody knows.
        folder: Where its files are now.
        files: How many came just now; 0 when they were here.
    """

    run_id: str
    host: str | None
    folder: Path
    files: int


def fetch(
    place: SweepPlace, named: str, *, patterns: Sequence[str] = (), wait_s: float, say: Callable[[str], None]
) -> Fetched:
    """Bring the folder of a run here, unless it is here.

    Args:
        place: Where sweeps are.
        named: As `find_run` takes it.
        patterns: What of the folder, as `fnmatch` takes paths in it; () for all.
        wait_s: How long the node may take to begin, and between two parts, in seconds.
        say: Takes a line on how far it has come.

    Raises:
        SweepKitError: There is no such run, it has not ended, its node has nothing of it or does not answer in time.
        OSError: It cannot be written here.
    """
    from sweepkit.cluster.bring import RunFiles
    from sweepkit.cluster.run_folders import lay_down
    from sweepkit.store.open import open_store

    with opened(place) as (watch, output_dir, _):
        found, run = find_run(watch, output_dir, named)
        attempts = watch.attempts(run.run_id)
    host = attempts[-1].host if attempts else None
    folder = found.paths.run_dir(run.run_id)
    if not run.state.done:
        raise SweepKitError(f"run {run.run_id}: must have ended, got {run.state.value}: its files may change")
    if folder.is_dir() and any(path.is_file() for path in folder.rglob("*")) and not patterns:
        return Fetched(run_id=run.run_id, host=host, folder=folder, files=0)
    storage, _, _ = locate(None, output_dir=place.output_dir, storage=place.storage)
    with open_store(storage) as store:
        call = _Call(store, storage, output_dir, found, run, host, say)
        call.bring(patterns, wait_s)
        files = lay_down(store, run.run_id, folder)
        RunFiles(store, found.sweep.sweep_id, found.paths).bring()  # the sender has sent what killed agents left
        return Fetched(run_id=run.run_id, host=host, folder=folder, files=files)


class _Call:
    """One run that is waited for."""

    def __init__(
        self,
        store: "Store",
        storage: str,
        output_dir: Path,
        found: Recorded,
        run: "RunRecord",
        host: str | None,
        say: Callable[[str], None],
    ) -> None:
        self.store, self.storage, self.output_dir = store, storage, output_dir
        self.found, self.run, self.host, self.say = found, run, host, say

    def bring(self, patterns: Sequence[str], wait_s: float) -> None:
        """Ask for the run's folder, and wait until it is whole in the record."""
        from sweepkit.cluster.run import placing_engine
        from sweepkit.cluster.run_folders import arrived, forget, want

        engine = placing_engine(self.store, self.found.sweep.sweep_id, self.output_dir)
        if engine is None:
            raise SweepKitError(
                f"run {self.run.run_id}: its files must be on a node without a shared folder, got a sweep that shares "
                f"one; they are in {relative(self.found.paths.run_dir(self.run.run_id))} on {self.host or 'its host'}"
            )
        want(self.store, self.found.sweep.sweep_id, self.run.run_id, patterns)
        moved = time.monotonic()
        sender = _Sender(engine, self._job(), self.say)
        last: Arrived | None = None
        while not (now := arrived(self.store, self.run.run_id)).whole:
            if now != last:
                last, moved = now, time.monotonic()
                self._show(now)
            silent_s = time.monotonic() - moved
            if not self.found.poll.live or silent_s > _KEEPER_WITHIN_S:  # over: its keepers are gone, too
                sender.see_to_it()
            if silent_s > wait_s:
                raise SweepKitError(
                    f"run {self.run.run_id}: {self.host or 'its node'} must send its files within {wait_s:g} s, got "
                    f"{'nothing' if now.of is None else 'no further part'}; they stay asked for: the same command goes "
                    "on waiting"
                )
            time.sleep(_ASK_EVERY_S)
        if now.refused:
            forget(self.store, self.run.run_id)
            raise SweepKitError(f"run {self.run.run_id}: its node must have such files, got none: {now.refused}")

    def _show(self, now: "Arrived") -> None:
        if now.of is not None:
            self.say(f"run {self.run.run_id}: {now.parts} of about {now.of} parts are here")

    def _job(self) -> "AgentJob":
        from sweepkit.cluster.engine import AgentJob
        from sweepkit.cluster.run import our_command, record_environ

        name = f"sweepkit-fetch-{slug(self.found.sweep.name)}-{self.run.run_id}"
        folder = Path(tempfile.gettempdir())
        return AgentJob(
            name=name,
            argv=(*our_command("sweepkit.cluster.run_folders"), self.found.sweep.name, self.run.run_id),
            env=record_environ(self.storage, self.output_dir),
            cwd=folder,
            log=folder / f"{name}.log",
            cpus=1,
            node=self.host or "",
        )


class _Sender:
    """The sender that a cluster's engine is asked for; one that ended before all was sent is asked for again.

    Args:
        engine: The cluster.
        job: The sender, placed on the node that has the files.
        say: Takes a line when it is placed.
    """

    def __init__(self, engine: "ClusterEngine", job: "AgentJob", say: Callable[[str], None]) -> None:
        self._engine, self._job, self._say = engine, job, say
        self._times = 0
        self._looked_at = -_LOOK_EVERY_S  # seconds of the monotonic clock

    def see_to_it(self) -> None:
        """Place it unless it is there; after some times no more.

        Raises:
            EngineError: The engine refuses.
        """
        from sweepkit.cluster.engine import AgentState

        if self._times >= _AT_MOST or time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        if self._engine.poll([self._job.name])[self._job.name].state is not AgentState.GONE:
            return
        self._times += 1
        self._engine.submit(self._job)
        again = " again" if self._times > 1 else ""
        self._say(f"{self._engine.name} is asked{again} to send it from {self._job.node or 'its node'}")
