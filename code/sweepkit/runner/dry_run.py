"""`--dry-run`: what a sweep would run, without writing anything."""

import os
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.agents.run_cache import view_of
from sweepkit.agents.slots import Slot
from sweepkit.agents.warm_command import CommandStart, command_start
from sweepkit.called import again
from sweepkit.model.runs import Proposal, RunState, RunView
from sweepkit.paths import python
from sweepkit.reports.progress import clock, configuration
from sweepkit.runner.opening import SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import Plan
from sweepkit.runner.prior import prior_views
from sweepkit.search.base import Engine
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.command import build_command, optional_names
from sweepkit.sweep_config.sweep import SweepSpec

if TYPE_CHECKING:
    from sweepkit.model.records import RunRecord, SweepRecord
    from sweepkit.store.base import Store

MOST_SHOWN = 100
_BLIND = ("random", "qmc")  # what has been found changes nothing of what they propose


class Certainty(StrEnum):
    """How sure it is that shown configurations are those that will be made."""

    SURE = "sure"
    DRAWN = "drawn"  # by a seed that this call does not keep
    LEARNS = "learns"  # sure until results are known


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would be run.

    Args:
        name: The sweep's name, the one that goes on where it is recorded.
        runs: How many runs it has in all, None when unbounded.
        first: The first configurations that are made now, nested, at most 100: those that wait, then new ones.
        commands: Their commands.
        slots: What runs may occupy.
        mean_s: Mean duration of a run that ended well in seconds, None when none did.
        warnings: What the user should know.
        done: How many runs are done and not made again.
        under_way: How many are recorded as running, here or elsewhere.
        failed: How many of those that are done failed.
        most: How many runs this call makes at most, and by which option; None without a limit.
        certain: How sure `first` is.
        seed: The search's seed: the recorded or asked for one, else one that was drawn for this.
        seeds: What `sweepkit.seeds_per_run` asks for, in words; "" without it.
        note: What to write where W&B's own reader shall read the file too; "" when it reads the same.
        fresh: Why each run is a fresh process, in words; "" when runs are forked from a warm one.
    """

    name: str
    runs: int | None
    first: tuple[Mapping[str, Any], ...]
    commands: tuple[tuple[str, ...], ...]
    slots: tuple[Slot, ...]
    mean_s: float | None
    warnings: tuple[str, ...]
    done: int = 0
    under_way: int = 0
    failed: int = 0
    most: tuple[int, str] | None = None
    certain: Certainty = Certainty.SURE
    seed: int = 0
    seeds: str = ""
    fresh: str = ""
    note: str = ""

    @property
    def left(self) -> int | None:
        """Return how many runs are left to end, those under way too; None when unbounded."""
        return None if self.runs is None else self.runs - self.done

    def plain(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "runs": self.runs,
            "left": self.left,
            "certain": self.certain.value,
            "seed": self.seed,
            "first": [dict(params) for params in self.first],
            "commands": [list(command) for command in self.commands],
            **({"fresh": self.fresh} if self.fresh else {}),
            "slots": [{"index": s.index, "gpus": list(s.gpus), "cpus": s.cpus} for s in self.slots],
        }

    def estimate_s(self) -> float | None:
        """Return the seconds that the rest takes at the measured mean, None when nothing was measured."""
        if self.mean_s is None or self.left is None:
            return None
        runs = self.left if self.most is None else min(self.left, self.most[0])
        return round(self.mean_s * runs / len(self.slots), 1)


def dry_run(
    plan: Plan, *, slots: tuple[Slot, ...], options: RunOptions | None = None, most: tuple[int, str] | None = None
) -> DryRun:
    """Work out what would be run; engines that learn from results are asked as if every run were still running.

    Args:
        plan: The sweep.
        slots: What runs may occupy.
        options: How it would be run; None for the defaults.
        most: How many runs the call makes at most, and by which option.

    Raises:
        ConflictError: The sweep is recorded with another configuration.
    """
    options = options or RunOptions(output_dir=plan.output_dir, storage=plan.storage)
    with existing_database(plan.storage) as store:
        plan = plan if store is None else settled(plan, store)
        prior = prior_views(plan, store)
        found = _Standing() if store is None else _standing(SweepOpener(options, plan, store, slots=slots))
    spec, sweep, views = plan.spec, found.sweep, found.views
    seed, sampler, certain = _search(options, spec, sweep)
    engine = make_engine(spec, seed=seed, sampler=sampler, prior=prior, function=plan.function)
    total = engine.total()
    runs = spec.run_cap if total is None else min(total, spec.run_cap or total)
    first = _first(engine, views, runs=runs, most=MOST_SHOWN if most is None else min(MOST_SHOWN, most[0]))
    commands = tuple(_command(plan, params) for params in first)
    start = command_start(commands[0], env=os.environ, cwd=str(plan.cwd)) if commands else CommandStart()
    return DryRun(
        name=spec.name if sweep is None else sweep.name,
        runs=runs,
        first=first,
        commands=commands,
        slots=slots,
        mean_s=found.mean_s,
        warnings=(*spec.warnings, start.missing) if start.missing else spec.warnings,
        done=sum(view.state.done for view in views),
        under_way=sum(view.state is RunState.RUNNING for view in views),
        failed=sum(map(_failed, views)),
        most=most,
        certain=certain,
        seed=seed,
        seeds=_seeds(spec),
        note=spec.reader_note,
        fresh="" if start.missing else start.fresh,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """The recorded sweep that a call would go on with, its runs as the call would find them, and a run's mean time."""

    sweep: "SweepRecord | None" = None
    views: tuple[RunView, ...] = ()
    mean_s: float | None = None


def _standing(opener: SweepOpener) -> _Standing:
    sweep = opener.recorded()
    if sweep is None:
        return _Standing()
    runs = opener.store.runs(sweep.sweep_id)
    again = opener.options.retry_failed or opener.nothing_works(sweep)
    views = (replace(view, state=RunState.PENDING) if again and _failed(view) else view for view in map(view_of, runs))
    return _Standing(sweep=sweep, views=tuple(views), mean_s=_mean_s(runs))


def _first(engine: Engine, views: Sequence[RunView], *, runs: int | None, most: int) -> tuple[Mapping[str, Any], ...]:
    """Return the first configurations that are made: those that wait, then what the engine proposes."""
    for view in views:
        engine.tell(view)
    found = [view.params for view in views if view.state is RunState.PENDING]
    for number in count(len(views)):
        if len(found) >= most or (runs is not None and number >= runs):
            break
        proposal = engine.ask(number)
        if not isinstance(proposal, Proposal):
            break
        found.append(proposal.params)
        view = RunView(number=number, run_id=f"dry{number}", params=proposal.params, state=RunState.RUNNING)
        engine.tell(replace(view, info=proposal.info))
    return tuple(found[:most])


def _failed(view: RunView) -> bool:
    return view.state is RunState.FAILED


def _drawn() -> int:
    """Return a seed for the search as a sweep without one draws it, short enough to be typed."""
    return random.SystemRandom().randrange(10**6)


def _search(options: RunOptions, spec: SweepSpec, sweep: "SweepRecord | None") -> tuple[int, str | None, Certainty]:
    """Return seed and sampler of the search, and how sure it is to propose the same when the sweep is run."""
    asked = options.seed if options.seed is not None else spec.extensions.seed
    seed = sweep.seed if sweep is not None else asked
    sampler = options.sampler or (sweep.meta.get("sampler") if sweep is not None else None)
    certain = _certainty(spec, sampler, seeded=seed is not None)
    return _drawn() if seed is None else seed, sampler, certain


def _certainty(spec: SweepSpec, sampler: str | None, *, seeded: bool) -> Certainty:
    """Return how sure the shown configurations are those that will be made."""
    own = spec.extensions.sampler
    engine = sampler or (own.name if own is not None else spec.method.value)
    if engine == "grid":
        return Certainty.SURE
    if not seeded:
        return Certainty.DRAWN
    return Certainty.SURE if engine in _BLIND else Certainty.LEARNS


@contextmanager
def existing_database(storage: str) -> "Iterator[Store | None]":
    """Open the database that a sweep may be recorded in, None where there is none yet: nothing is made."""
    from sweepkit.store.open import open_store

    if "://" not in storage and not Path(storage).exists():
        yield None
        return
    with open_store(storage) as store:
        yield store


def _mean_s(runs: "Sequence[RunRecord]") -> float | None:
    """Return the mean duration of the runs that ended well: one that failed at once says nothing of the others."""
    durations = [took for run in runs if run.state.ended_well and (took := run.duration_s) is not None]
    return sum(durations) / len(durations) if durations else None


def _seeds(spec: SweepSpec) -> str:
    """Return what is asked for each configuration, in words."""
    asked = spec.extensions.seeds_per_run
    if asked is None:
        return ""
    said = f"each configuration with {len(asked.seeds)} seeds ({', '.join(map(str, asked.seeds[:10]))}"
    said += ", …)" if len(asked.seeds) > 10 else ")"
    if asked.stop_worse and spec.metric is not None and asked.min_seeds < len(asked.seeds):
        said += (
            f"; after {asked.min_seeds} only while it is not clearly worse than the best, so there may be fewer runs"
        )
    return said


def _command(plan: Plan, params: Mapping[str, Any]) -> tuple[str, ...]:
    return build_command(
        plan.spec.command,
        program=plan.program,
        params=params,
        interpreter=python(),
        env=os.environ,
        json_file="parameters.json",
        optional=optional_names(plan.spec.space, by_function=plan.spec.extensions.search_space is not None),
    )


def dry_run_text(report: DryRun) -> str:
    """Return the report for a person: the first five configurations and commands."""
    lines = [_head(report)]
    lines += [report.seeds] if report.seeds else []
    lines += [f"each run is a fresh process: {report.fresh}"] if report.fresh else []
    lines += [f"warning: {warning}" for warning in report.warnings]
    lines += [f"note: {report.note}"] if report.note else []
    lines += _certain(report)
    for number, (params, command) in enumerate(zip(report.first[:5], report.commands[:5], strict=True)):
        lines.append(f"  {number}  {configuration(params)}")
        lines.append(f"     {shlex.join(command)}")
    if len(report.first) > 5 or report.left is None or report.left - report.under_way > len(report.first):
        lines.append("  …")
    lines += _at_its_end(report)
    lines.append("slots: " + "; ".join(f"{slot.index}: {slot.device}" for slot in report.slots))
    estimate = report.estimate_s()
    if report.left == 0:
        pass
    elif estimate is not None:
        lines.append(f"estimate: {clock(estimate)} at {report.mean_s:.1f} s a run, as measured so far")
    else:
        lines.append("estimate: none before one run of this sweep was measured")
    return "\n".join(lines)


def _head(report: DryRun) -> str:
    """Return how many runs there are, and how many are left."""
    line = f"sweep {report.name}: {'unbounded' if report.runs is None else report.runs} runs"
    if report.done or report.under_way:
        line += f", {report.done} done"
        line += f", {report.under_way} under way" if report.under_way else ""
        line += "" if report.left is None else f", {report.left} left"
    if report.most is not None and (report.left is None or report.most[0] < report.left):
        line += f"; this call makes at most {report.most[0]} ({report.most[1]})"
    return line


def _at_its_end(report: DryRun) -> list[str]:
    """Return what can be done with a sweep that has nothing left to run, [] of any other."""
    if report.left != 0:
        return []
    option = "--retry-failed" if report.failed else "--fresh"
    does = f"runs the {report.failed} failed ones again" if report.failed else "starts anew"
    command = again(option, without=("--dry-run",))
    return [f"nothing is left to run; {option} {does}" + (f": {command}" if command else "")]


def _certain(report: DryRun) -> list[str]:
    """Return how sure the configurations are that follow."""
    if not report.first:
        return []
    if report.certain is Certainty.DRAWN:
        command = again("--seed", str(report.seed), without=("--dry-run",))
        keeps = f"--seed {report.seed} keeps these" + (f": {command}" if command else "")
        return [f"for example, as the search's seed is drawn when the sweep begins; {keeps}"]
    if report.certain is Certainty.LEARNS:
        return [f"by seed {report.seed}, as far as no result is known; then results decide"]
    return []
