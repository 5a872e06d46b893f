"""Open a sweep in the database: make it, go on with it, extend it, or work along on one that others run."""

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweepkit.agents.environments import in_words, keep_environment, package_differences
from sweepkit.agents.identity import agent_identity, host_name, surely_alive
from sweepkit.agents.slots import Slot
from sweepkit.analysis.program_versions import VERSION
from sweepkit.called import place_words, typed
from sweepkit.errors import ConflictError
from sweepkit.files import write_atomically
from sweepkit.model.identity import ProgramVersion, versions_in
from sweepkit.model.records import SweepRecord, SweepState
from sweepkit.model.runs import RunState, none_worked
from sweepkit.paths import SweepPaths, slug
from sweepkit.reports.files import write_identity, write_spec
from sweepkit.runner.leader import Leader
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import is_ours
from sweepkit.runner.plan import Plan
from sweepkit.runner.program_version import version_of
from sweepkit.store.backup import sqlite_file
from sweepkit.store.base import Store
from sweepkit.store.named import newer_of
from sweepkit.sweep_config.change import ChangeKind, compare
from sweepkit.sweep_config.read import read_recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSweep:
    """A sweep of a call whose record is open.

    Args:
        options: How it is run.
        plan: The sweep.
        store: The database.
        slots: What its runs may occupy.
        leader: Who says which configurations are run.
        sweep: Its record.
        paths: Its files, in a folder that is there.
        notes: Notices that come first.
        sampler: What searches in place of the method's own engine: the option's, else the recorded one; None without
            any.
    """

    options: RunOptions
    plan: Plan
    store: Store
    slots: tuple[Slot, ...]
    leader: Leader
    sweep: SweepRecord
    paths: SweepPaths
    notes: tuple[str, ...]
    sampler: str | None

    def write_inputs(self) -> None:
        """Write the sweep's YAML; and its base configuration, when it was begun elsewhere and that is not here."""
        write_spec(self.paths, self.plan.spec)
        self._link_file_name()
        if self.plan.joins is not None and self.plan.trains and self.plan.base_config.parent == self.paths.root:
            write_atomically(self.plan.base_config, self.plan.joins.meta["base_config_text"])

    def _link_file_name(self) -> None:
        """Let the results of config/sweep/NAME.yaml be found under its file's name, too, when the YAML names another.

        The guides look there. A folder of that name that is there stays; so does a file system without links.
        """
        folder, file = Path(self.plan.spec.directory), Path(self.plan.spec.source)
        if (folder.parent.name, folder.name) != ("config", "sweep") or file.suffix not in (".yaml", ".yml"):
            return
        alias = SweepPaths(self.plan.output_dir, file.stem).root
        if alias == self.paths.root or (alias.exists() and not alias.is_symlink()):
            return
        with contextlib.suppress(OSError):
            alias.unlink(missing_ok=True)
            alias.symlink_to(self.paths.root.name, target_is_directory=True)


class SweepOpener:
    """What a call does with the record of its sweep before any run is made.

    Args:
        options: How it is run.
        plan: The sweep.
        store: The database.
        slots: What its runs may occupy.
        leader: Who says which configurations are run; None for the engine that its method or sampler names.
    """

    def __init__(
        self, options: RunOptions, plan: Plan, store: Store, *, slots: tuple[Slot, ...], leader: Leader | None = None
    ) -> None:
        self.options = options
        self.plan = plan
        self.spec = plan.spec
        self.store = store
        self.slots = slots
        self.leader = leader or Leader()

    def open(self) -> OpenSweep:
        """Return the sweep to work on: made, continued, extended or joined.

        Raises:
            ConflictError: It is recorded as another one, or another one has its place.
        """
        if self.plan.joins is not None:
            return self._join(self.plan.joins)
        # Looked at once: who finds none makes the first, or gets the one that another process has made meanwhile.
        family = self.store.sweeps(family=self.spec.name)
        known = self._known(family)
        notes = list(self.spec.warnings)
        if known is not None:
            sweep = self._continue(known, notes)
        else:
            sweep = self.create(family)
            if family:
                notes.append(f"starting anew as {sweep.name}; {family[-1].name} is kept")
        if self.options.retry_failed or self.nothing_works(sweep):
            again = self.store.retry(sweep.sweep_id, [RunState.FAILED])
            why = "" if self.options.retry_failed else ": none has worked so far"
            notes.append(f"{len(again)} failed run{'s are' if len(again) != 1 else ' is'} tried again{why}")
        sampler = self._sampler(sweep)
        version = version_of(self.plan.files(), self.plan.folder)
        self._warn_of_change(sweep, version, notes)
        if not sqlite_file(self.plan.storage):  # agents of other hosts may join
            keep_environment(self.store, sweep.sweep_id)
        seen = version.meta() if version.digest else {}
        meta = {**self.plan.meta(sampler), **seen, self._runners_key(): self._runners(sweep.meta)}
        if self.plan.continues == sweep.sweep_id:
            del meta["source"]  # its YAML's file stays known, by which `analyze my.yaml` finds it
        sweep = self.store.update_sweep(sweep.sweep_id, state=SweepState.RUNNING, reason="", meta=meta)
        return self.take_up(sweep, notes)

    def _known(self, family: Sequence[SweepRecord]) -> SweepRecord | None:
        """Return the sweep of a family that this call goes on with; None where it makes one."""
        if self.options.fresh:
            return None
        very = [sweep for sweep in family if sweep.sweep_id == self.plan.continues]
        return next(iter(very or family[-1:]), None)

    def _warn_of_change(self, sweep: SweepRecord, version: ProgramVersion, notes: list[str]) -> None:
        """Note when the program is another one than that of runs which the sweep has."""
        known = versions_in(sweep)
        if not known or known[-1].digest == version.digest:
            return
        runs = [run for run in self.store.runs(sweep.sweep_id) if run.state.done]
        older = sum(run.outcome.get(VERSION, version.digest) != version.digest for run in runs)
        if older:
            files = ", ".join(version.changed(known[-1]))
            notes.append(
                f"the program has changed since ({files}): {older} of {len(runs)} runs are of earlier versions, as "
                "program_version in runs.csv marks them; --fresh starts anew"
            )

    def nothing_works(self, sweep: SweepRecord) -> bool:
        """Return whether all runs that ended failed, and none is under way: its program was broken, and may be mended.

        W&B runs no failed run again.
        """
        states = self.store.counts(sweep.sweep_id)
        return none_worked(states) and RunState.RUNNING not in states and not self.leader.at_wandb

    def take_up(self, sweep: SweepRecord, notes: Sequence[str] = ()) -> OpenSweep:
        """Return a recorded sweep as one to work on; make its files' folder.

        Args:
            sweep: Its record, as it stands.
            notes: Notices that come first.
        """
        paths = SweepPaths(self.plan.output_dir, sweep.name)
        paths.logs.mkdir(parents=True, exist_ok=True)
        write_identity(paths, sweep)
        return OpenSweep(
            options=self.options,
            plan=self.plan,
            store=self.store,
            slots=self.slots,
            leader=self.leader,
            sweep=sweep,
            paths=paths,
            notes=tuple(notes),
            sampler=self._sampler(sweep),
        )

    def _sampler(self, sweep: SweepRecord) -> str | None:
        """Return what searches in place of the method's own engine: the option's, else the recorded one."""
        return self.options.sampler if self.options.sampler is not None else sweep.meta.get("sampler")

    def _join(self, sweep: SweepRecord) -> OpenSweep:
        """Work along: nothing of the record is changed."""
        self._check_leader(sweep)
        if sweep.state.over:
            newer = newer_of(self.store.sweeps(), sweep)
            hint = "start it again as it was begun" if newer is None else f"the newest of its name is {newer.name}"
            raise ConflictError(
                f"--join {sweep.name}: needs a sweep that runs or is paused, got one that is {sweep.state.value} "
                f"({sweep.reason}); {hint}"
            )
        asked = {
            "--fresh": self.options.fresh,
            "--retry-failed": self.options.retry_failed,
            "--sampler": self.options.sampler is not None,
            "--seed": self.options.seed is not None,
            "--base-config": self.options.base_config is not None,
        }
        if given := [option for option, is_given in asked.items() if is_given]:
            raise ConflictError(f"--join {sweep.name}: takes all of the search from the record; leave {given[0]} out")
        counts = self.store.counts(sweep.sweep_id)
        done = sum(number for state, number in counts.items() if state.done)
        total = sum(counts.values())
        notes = [f"working along on {sweep.name}: {done} of {total} recorded runs are done"]
        return self.take_up(sweep, [*notes, *self._differences_here(sweep)])

    def _differences_here(self, sweep: SweepRecord) -> list[str]:
        """Return what differs here: the program from its newest version, the packages from those at the start."""
        known, ours = versions_in(sweep), version_of(self.plan.files(), self.plan.folder)
        said = []
        if known and known[-1].digest != ours.digest:
            files = ", ".join(ours.changed(known[-1]))
            said.append(
                f"the program here is another version than the newest of {sweep.name} ({files}); program_version in "
                "runs.csv marks what runs here"
            )
        if not sqlite_file(self.plan.storage) and (differences := package_differences(self.store, sweep.sweep_id)):
            said.append(f"the packages here differ from where {sweep.name} was started: {in_words(differences)}")
        return said

    # -- other runners of this host -----------------------------------------------------------------------------------

    def _place(self) -> list[str]:
        return place_words(self.options.output_dir, self.options.storage)

    def _runners_key(self) -> str:
        return f"runners of {host_name()}"

    def _ways(self) -> dict[str, Any]:
        """Return what a second runner of a sweep on this host must have alike, and the GPUs, which it need not."""
        return {
            "workers": len(self.slots),
            "slots": "; ".join(slot.device for slot in self.slots),
            "gpus": sorted({gpu for slot in self.slots for gpu in slot.gpus}),
            "--cold": self.options.cold,
            "--base-config": str(self.plan.base_config) if self.plan.trains else None,
            "--output-dir": str(self.plan.output_dir),
        }

    def _runners(self, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the runners of the sweep on this host that live, and this one."""
        known = [item for item in meta.get(self._runners_key(), []) if surely_alive(item["agent"])]
        mine = agent_identity()
        return [*(item for item in known if item["agent"] != mine), {"agent": mine, "ways": self._ways()}]

    def check_others(self) -> None:
        """Refuse to be a second runner of the sweep on this host with other options: which of them would hold?

        Who works along may have other options.

        Raises:
            ConflictError: Another process runs it here, with other options.
        """
        if self.plan.joins is not None:
            return
        known = self._known(self.store.sweeps(family=self.spec.name))
        if known is None:
            return
        ways = self._ways()
        for other in self._runners(known.meta):
            differences = _differences(other["ways"], ways)
            if differences:
                pid = other["agent"].split("|")[3]
                raise ConflictError(
                    f"sweep {known.name}: process {pid} runs it on this host with other options:\n  "
                    + "\n  ".join(differences)
                    + f"\nuse the same ones, or work along: {typed('agent', known.name, *self._place())}"
                )

    def _check_leader(self, sweep: SweepRecord) -> None:
        """Refuse to lead a sweep that W&B leads, and the other way round: two would propose configurations."""
        at_wandb = self.leader.at_wandb
        if ("wandb" in sweep.meta) != at_wandb:
            leader, option = ("this program", "leave it out") if at_wandb else ("W&B", "give it here too")
            raise ConflictError(
                f"sweep {sweep.name}: is recorded as one that {leader} leads, so --backend wandb must stay as it was; "
                f"{option}, or start anew with --fresh"
            )

    def create(self, family: list[SweepRecord]) -> SweepRecord:
        """Return a new sweep, recorded as led by W&B from its first moment where W&B leads.

        Args:
            family: The sweeps of the same name that were there when this call looked, the oldest first.

        Raises:
            ConflictError: Its folder is another sweep's.
        """
        seed = self.options.seed if self.options.seed is not None else self.spec.extensions.seed
        generation, name = self._free_name(family)
        self._refuse_unrecorded(name)
        metric = self.spec.metric
        sweep, made = self.store.create_sweep(
            name,
            text=self.spec.text,
            seed=random.SystemRandom().randrange(2**31) if seed is None else seed,
            metric=metric.name if metric else None,
            goal=metric.goal.value if metric else None,
            family=self.spec.name,
            generation=generation,
            meta={**self.plan.meta(self.options.sampler), **({"wandb": {}} if self.leader.at_wandb else {})},
        )
        if not made and not is_ours(sweep, self.plan):
            raise ConflictError(f"sweep {name}: another project has begun one of that name just now; start this again")
        return sweep

    def _free_name(self, family: list[SweepRecord]) -> tuple[int, str]:
        """Return the next generation of a family and its name, whose folder is no other family's.

        A later generation passes over what is taken. Raises ConflictError when the first one's folder is.
        """
        owners = {slug(sweep.name): sweep.name for sweep in self.store.sweeps() if sweep.family != self.spec.name}
        generation = family[-1].generation + 1 if family else 1
        if generation == 1 and self.options.fresh and self._unrecorded(self.spec.name):
            generation = 2
        if generation == 1:
            if (owner := owners.get(slug(self.spec.name))) is not None:
                raise ConflictError(
                    f"{self.spec.source}: name: a sweep needs a folder of its own, but sweep_{slug(self.spec.name)} "
                    f"is that of sweep {owner!r}, got {self.spec.name!r}; give this one another `name:`"
                )
            return generation, self.spec.name
        while slug(name := f"{self.spec.name}-{generation}") in owners or self._unrecorded(name):
            generation += 1
        return generation, name

    def _unrecorded(self, name: str) -> int:
        """Return how many results lie in the folder of a sweep that is not recorded."""
        return len(list(SweepPaths(self.plan.output_dir, name).root.glob("run_*_result.json")))

    def _refuse_unrecorded(self, name: str) -> None:
        """Refuse to begin a sweep anew in the folder of one whose record is gone.

        Raises:
            ConflictError: Its folder holds results.
        """
        # In this order: whoever has recorded it since wrote the results after that.
        if (found := self._unrecorded(name)) and self.store.sweep(name) is None:
            folder = SweepPaths(self.plan.output_dir, name).root
            results = f"{found} result{'s' if found > 1 else ''}"
            raise ConflictError(
                f"{folder}: a sweep that begins needs a folder without results, got {results} of one that "
                f"the database does not know; `{typed('db', 'repair', *self._place())}` records what lies there, "
                "--storage names its own database, --fresh begins another folder"
            )

    def _continue(self, sweep: SweepRecord, notes: list[str]) -> SweepRecord:
        """Continue a recorded sweep; refuse a changed YAML unless it only extends the recorded one."""
        change, differences = self._compared(sweep)
        counts = self.store.counts(sweep.sweep_id)
        if counts:
            done = sum(number for state, number in counts.items() if state.done)
            notes.append(f"continuing {sweep.name}: {done} of {sum(counts.values())} recorded runs are done")
        if change is ChangeKind.EXTENDS:
            if self.leader.at_wandb:
                raise ConflictError(
                    f"{self.spec.source}: sweep {sweep.name} has been made at W&B, which takes no extension of it; "
                    "undo the change, or start anew with --fresh"
                )
            notes.append("the sweep was extended: " + "; ".join(differences))
            return self.store.update_sweep(sweep.sweep_id, text=self.spec.text)
        return sweep

    def recorded(self) -> SweepRecord | None:
        """Return the sweep that a call would go on with, None where it would make one; nothing is changed.

        Raises:
            ConflictError: It is recorded with another configuration.
        """
        known = self._known(self.store.sweeps(family=self.spec.name))
        if known is not None:
            self._compared(known)
        return known

    def _compared(self, sweep: SweepRecord) -> tuple[ChangeKind, list[str]]:
        """Return how the YAML differs from that of a recorded sweep, which may only be extended."""
        self._check_leader(sweep)
        recorded = read_recorded(sweep, source=self.spec.source, directory=self.spec.directory)
        change = compare(replace(recorded, name=self.spec.name), self.spec)  # whose it is has been settled
        differences = list(change.lines)
        for option, now, before in (
            ("--seed", self.options.seed, sweep.seed),
            ("--sampler", self.options.sampler, sweep.meta.get("sampler")),
        ):
            if now is not None and now != before:
                differences.append(f"{option}: {before} → {now}")
        if change.kind == "differs" or len(differences) > len(change.lines):
            raise ConflictError(
                f"{self.spec.source}: sweep {sweep.name} is already recorded with another configuration:\n  "
                + "\n  ".join(differences)
                + "\nrun with --fresh to start anew (the old sweep is kept), or undo the change"
            )
        return change.kind, differences


def _differences(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """Return in which options two runners of a sweep on one host differ; who has other GPUs is a further worker."""
    free = {"gpus"}
    if _apart(theirs.get("gpus") or (), mine["gpus"]):
        free |= {"workers", "slots"}
    return [
        f"{key}: {theirs.get(key)} → {mine[key]}" for key in mine if key not in free and theirs.get(key) != mine[key]
    ]


def _apart(some: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether two sets of GPUs surely share none: an index and a UUID may be the same one.

    >>> _apart(["0"], ["1", "2"]), _apart(["0"], ["0", "1"]), _apart(["0"], ["GPU-8f2a"]), _apart([], ["0"])
    (True, False, False, False)
    """
    kinds = {gpu.isdigit() for gpu in (*some, *others)}
    return bool(some) and bool(others) and len(kinds) == 1 and not set(some) & set(others)
