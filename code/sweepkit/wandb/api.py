"""A sweep on a W&B server, read whole through W&B's public API (`wandb.Api`); nothing is written.

`fetch_sweep` reads it once; `sweepkit.wandb.reader` looks again and again. All histories are read with
`scan_history`, row by row: what W&B's `history` gives is a sample. The user's key is taken by the client from its own
places (environment, netrc); nothing here holds it and no message repeats it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.model.records import RunRecord, SweepRecord, SweepState
from sweepkit.text.json_text import json_text
from sweepkit.wandb.client import client_errors, connect, raw_run
from sweepkit.wandb.rows import SearchTarget, run_record, seconds, sweep_state

__all__ = ["FetchedSweep", "fetch_sweep", "fetched", "searched_by"]

# What the client and the server put into a sweep's configuration for themselves.
_ADDED = frozenset({"_wandb", "wandb_version", "settings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSweep:
    """One sweep as W&B's server has it.

    Args:
        path: entity/project/id.
        sweep_id: Its id, the last part of the path.
        name: Its display name, or that of its YAML, or its id.
        url: Its page.
        text: Its YAML as JSON, which is YAML too, without what W&B added.
        config: The same as a mapping.
        state: Where it stands.
        wandb_state: W&B's own word for that.
        metric: What is optimized (the first of several), or None. `goal` likewise: "minimize" or "maximize".
        created_at: Seconds since the epoch, 0 when W&B does not say.
        expected: Runs that it will have, None when W&B knows no end.
        runs: In the order in which W&B made them; `number` counts them from 0, `run_id` is W&B's.
    """

    path: str
    sweep_id: str
    name: str
    url: str
    text: str
    config: Mapping[str, Any]
    state: SweepState
    wandb_state: str
    metric: str | None
    goal: str | None
    created_at: float
    expected: int | None
    runs: tuple[RunRecord, ...] = ()

    def record(self) -> SweepRecord:
        """Return the sweep as a record's; its `sweep_id` is the path."""
        several = [
            {"name": item.get("name"), "goal": item.get("goal") or "minimize"}
            for item in self.config.get("metrics") or ()
            if isinstance(item, Mapping)
        ]
        meta: dict[str, Any] = {"restart": f"start an agent for it: wandb agent {self.path}"}
        meta |= {} if self.expected is None else {"total": self.expected}
        return SweepRecord(
            sweep_id=self.path,
            name=self.name,
            family=self.name,
            generation=1,
            text=self.text,
            seed=0,
            state=self.state,
            reason="",
            created_at=self.created_at,
            metric=self.metric,
            goal=self.goal,
            meta=meta | ({"metrics": several} if several else {}),
        )


def fetch_sweep(path: str, *, metric: str | None = None, goal: str | None = None) -> FetchedSweep:
    """Return a sweep with all its runs and their whole histories.

    Args:
        path: entity/project/id, with or without `sweeps/` before the id, or the URL of its page.
        metric: Whose history the runs carry, instead of the sweep's own metric.
        goal: Its direction, "minimize" or "maximize"; None for what the sweep says, which then must name the metric.

    Raises:
        TrackingError: The path has another form, wandb is not installed, there is no key or the server refuses it,
            there is no such sweep, or the server cannot be reached.
    """
    server = connect(path)
    with client_errors(server.path):
        sweep = fetched(server.path, server.sweep(), metric=metric, goal=goal)
        searched = searched_by(sweep)
        found = server.runs()
        told = server.histories(found, searched, {})
        runs = tuple(
            run_record(raw_run(run), told[run.id], searched, number=number, sweep_id=sweep.path)
            for number, run in enumerate(found)
        )
    return replace(sweep, runs=runs)


def fetched(path: str, sweep: Any, *, metric: str | None = None, goal: str | None = None) -> FetchedSweep:
    """Return a sweep of the client as a value, without its runs.

    Args:
        path: entity/project/id.
        sweep: A `wandb.apis.public.Sweep`.
        metric: As `fetch_sweep` takes it.
        goal: Likewise.

    Raises:
        TrackingError: The sweep does not name the metric, and there is no goal.
    """
    given: Mapping[str, Any] = sweep.config or {}
    config = {key: value for key, value in given.items() if key not in _ADDED and value is not None}
    several = [item for item in config.get("metrics") or () if isinstance(item, Mapping)]
    own = config.get("metric") or (several[0] if several else {})
    name = metric or own.get("name")
    if goal is None and name is not None and name not in {item.get("name") for item in [own, *several]}:
        raise TrackingError(
            f"wandb {path}: a metric that the sweep does not name must come with its goal, got {name!r} alone; "
            "give --goal maximize or --goal minimize, too"
        )
    expected = sweep.expected_run_count
    return FetchedSweep(
        path=path,
        sweep_id=path.rpartition("/")[2],
        name=str(sweep.name),
        url=str(sweep.url),
        text=json_text(config, indent=2) + "\n",
        config=config,
        state=sweep_state(str(sweep.state)),
        wandb_state=str(sweep.state),
        metric=name,
        goal=(goal or _goal_of(name, [own, *several])) if name else None,
        created_at=seconds(sweep._attrs.get("createdAt")) or 0.0,
        expected=None if expected is None else int(expected),
    )


def searched_by(sweep: FetchedSweep) -> SearchTarget:
    """Return what a sweep searches and for what."""
    parameters = sweep.config.get("parameters")
    return SearchTarget(
        metric=sweep.metric,
        maximize=sweep.goal == "maximize",
        parameters=parameters if isinstance(parameters, Mapping) else None,
    )


def _goal_of(name: str, known: list[Mapping[str, Any]]) -> str:
    """Return the direction of a metric; W&B minimizes what says nothing else."""
    goals = (str(item.get("goal")) for item in known if item.get("name") == name)
    return "maximize" if "maximize" in goals else "minimize"
