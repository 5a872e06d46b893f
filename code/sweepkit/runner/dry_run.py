"""`--dry-run`: what a sweep would run, without writing anything."""

import dataclasses
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sweepkit.agents.slots import Slot
from sweepkit.agents.warm_command import CommandStart, command_start
from sweepkit.model.runs import Proposal, RunState, RunView
from sweepkit.paths import python
from sweepkit.reports.progress import clock, configuration
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import Plan
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.command import build_command, optional_names
from sweepkit.sweep_config.sweep import SweepSpec

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would be run.

    Args:
        name: The sweep's name.
        runs: How many runs, None when unbounded.
        first: The first configurations, nested, at most 100.
        commands: Their commands.
        slots: What runs may occupy.
        mean_s: Mean duration of a measured run in seconds, None when none was measured.
        warnings: What the user should know.
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
    seeds: str = ""
    fresh: str = ""
    note: str = ""

    def plain(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "runs": self.runs,
            "first": [dict(params) for params in self.first],
            "commands": [list(command) for command in self.commands],
            **({"fresh": self.fresh} if self.fresh else {}),
            "slots": [{"index": s.index, "gpus": list(s.gpus), "cpus": s.cpus} for s in self.slots],
        }

    def estimate_s(self) -> float | None:
        """Return the seconds the whole sweep takes at the measured mean, None when nothing was measured."""
        if self.mean_s is None or self.runs is None:
            return None
        return round(self.mean_s * self.runs / len(self.slots), 1)


def dry_run(plan: Plan, *, slots: tuple[Slot, ...], sampler: str | None = None, seed: int | None = None) -> DryRun:
    """Work out what would be run; engines that learn from results are asked as if every run were still running."""
    spec = plan.spec
    chosen = seed if seed is not None else spec.extensions.seed
    engine = make_engine(spec, seed=0 if chosen is None else chosen, sampler=sampler, function=plan.function)
    total = engine.total()
    runs = spec.run_cap if total is None else min(total, spec.run_cap or total)
    first: list[Mapping[str, Any]] = []
    for number in count():
        if number >= min(MOST_SHOWN, runs if runs is not None else MOST_SHOWN):
            break
        proposal = engine.ask(number)
        if not isinstance(proposal, Proposal):
            break
        first.append(proposal.params)
        view = RunView(number=number, run_id=f"dry{number}", params=proposal.params, state=RunState.RUNNING)
        engine.tell(dataclasses.replace(view, info=proposal.info))
    commands = tuple(_command(plan, params) for params in first)
    start = command_start(commands[0], env=os.environ, cwd=str(plan.cwd)) if commands else CommandStart()
    return DryRun(
        name=spec.name,
        runs=runs,
        first=tuple(first),
        commands=commands,
        slots=slots,
        mean_s=_measured_mean_s(plan),
        warnings=(*spec.warnings, start.missing) if start.missing else spec.warnings,
        seeds=_seeds(spec),
        note=spec.reader_note,
        fresh="" if start.missing else start.fresh,
    )


def _seeds(spec: SweepSpec) -> str:
    """Return what is asked for each configuration, in words."""
    asked = spec.extensions.seeds_per_run
    if asked is None:
        return ""
    told = f"each configuration with {len(asked.seeds)} seeds ({', '.join(map(str, asked.seeds[:10]))}"
    told += ", …)" if len(asked.seeds) > 10 else ")"
    if asked.stop_worse and spec.metric is not None and asked.min_seeds < len(asked.seeds):
        told += (
            f"; after {asked.min_seeds} only while it is not clearly worse than the best, so there may be fewer runs"
        )
    return told


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


def _measured_mean_s(plan: Plan) -> float | None:
    """Return the mean duration of the recorded runs of this sweep; nothing is created to find it."""
    from sweepkit.store.open import open_store

    if "://" not in plan.storage and not Path(plan.storage).exists():
        return None
    store = open_store(plan.storage)
    try:
        family = store.sweeps(family=settled(plan, store).spec.name)
        if not family:
            return None
        durations = [
            float(run.outcome["duration_s"])
            for run in store.runs(family[-1].sweep_id)
            if run.state.done and "duration_s" in run.outcome
        ]
    finally:
        store.close()
    return sum(durations) / len(durations) if durations else None


def dry_run_text(report: DryRun) -> str:
    """Return the report for a person: the first five configurations and commands."""
    lines = [f"sweep {report.name}: {'unbounded' if report.runs is None else report.runs} runs"]
    lines += [report.seeds] if report.seeds else []
    lines += [f"each run is a fresh process: {report.fresh}"] if report.fresh else []
    lines += [f"warning: {warning}" for warning in report.warnings]
    lines += [f"note: {report.note}"] if report.note else []
    for number, (params, command) in enumerate(zip(report.first[:5], report.commands[:5], strict=True)):
        lines.append(f"  {number}  {configuration(params)}")
        lines.append(f"     {shlex.join(command)}")
    if report.runs is None or report.runs > 5:
        lines.append("  …")
    lines.append("slots: " + "; ".join(f"{slot.index}: {slot.device}" for slot in report.slots))
    estimate = report.estimate_s()
    if estimate is not None:
        lines.append(f"estimate: {clock(estimate)} at {report.mean_s:.1f} s a run, as measured so far")
    else:
        lines.append("estimate: none before one run of this sweep was measured")
    return "\n".join(lines)
