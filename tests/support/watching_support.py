"""Sweeps, runs and live attempts as a monitor is given them, with what a test does not care for filled in."""

from sweepkit.analysis.progress import Watched, row_of
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord, SweepRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.model.watched import WatchedAttempt

NOW = 1_800_000_000.0
LOSS = Metric(name="loss", goal=Goal.MINIMIZE)


def record(**fields):
    defaults = {"sweep_id": "sweep", "name": "s", "family": "s", "generation": 1, "text": "", "seed": 1, "reason": ""}
    defaults |= {"state": SweepState.RUNNING, "created_at": NOW - 3000, "metric": "loss", "goal": "minimize"}
    return SweepRecord(**{**defaults, **fields})


def run(number, state=RunState.FINISHED, history=(), **fields):
    defaults = {"params": {"x": number}, "attempts": 1, "created_at": NOW - 2500}
    if state.done:
        defaults["ended_at"] = NOW - 1000 + number
    defaults |= fields
    return RunRecord(run_id=f"r{number}", sweep_id="sweep", number=number, state=state, history=history, **defaults)


def attempt(of, **fields):
    defaults = {"attempt_id": f"{of.run_id}-1", "ordinal": 1, "agent_id": "a", "host": "node1", "pid": 4711}
    defaults |= {"device": "gpu 0", "claimed_at": NOW - 60, "started_at": NOW - 60, "expired": False, "reports": 0}
    defaults |= {"step": None, "first_report_at": None, "last_report_at": None}
    if "started_at" in fields and "claimed_at" not in fields:
        defaults["claimed_at"] = fields["started_at"]
    return WatchedAttempt(run_id=of.run_id, **{**defaults, **fields})


def watched(runs, *, metric=LOSS, sweep=None, total=None, live=(), idle_since=None, verdicts=None):
    return Watched(
        sweep=sweep or record(),
        metric=metric,
        total=total,
        rows=[row_of(item, metric) for item in runs],
        live=list(live),
        now=NOW,
        idle_since=idle_since,
        verdicts=verdicts or {},
    )
