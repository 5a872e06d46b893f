"""Where a sweep stands, from its runs and live attempts: counts, best so far, what runs, time left, whether it stalls.

Pure. `row_of` keeps of a run what a picture of the sweep needs, so that a picture of thousands of runs looks at their
histories only when they change.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, NamedTuple

from sweepkit.analysis.ranking import front_of
from sweepkit.model.configurations import Configuration, best_first, configuration_key, configurations
from sweepkit.model.metric import Metric
from sweepkit.model.numbers import mean
from sweepkit.model.objectives import value_of, values_of
from sweepkit.model.pace import spacing_s, window
from sweepkit.model.records import STOPPED, RunRecord, SweepRecord, SweepState, packing_of
from sweepkit.model.runs import ENDED_WELL, OPEN, Decision, RunState, count_of
from sweepkit.model.watched import WatchedAttempt
from sweepkit.sweep_config.sweep import Method, SweepSpec

_SILENT_INTERVALS = 10  # a run is silent after so many of its usual intervals between reports …
SILENT_S = 300.0  # … and not before so many seconds
IDLE_S = 60.0  # a sweep with work left and no attempt is left alone after so many seconds
# Between the end of the last run and the word of its runner that the sweep is finished there are moments.
_SAYS_SO_WITHIN_S = 10.0


class WatchedRun(NamedTuple):
    """One run in short.

    Args:
        number, run_id, params, state, reason, attempts, failures: As recorded.
        value: Its best finite value of the metric, or None.
        values: With several objectives its value of each, or () while one is unknown.
        configuration: What its configuration is known by (`model.configurations.configuration_key`).
        seeds: How many runs `value` is the mean of: more than 1 only in `Snapshot.best` and `front`.
        newest: Its newest value of the metric, finite or not, or None.
        begun_at: When it was last begun (made, before it began), seconds since the epoch.
        ended_at: When it ended; None before.
        duration_s: How long its last attempt took; None before it is done, or when nobody knows.
        reports: How often it reported; 0 when nobody knows.
    """

    number: int
    run_id: str
    params: Mapping[str, Any]
    state: RunState
    reason: str
    attempts: int
    failures: int
    value: float | None
    newest: float | None
    begun_at: float
    ended_at: float | None
    duration_s: float | None
    reports: int
    values: tuple[float, ...] = ()
    configuration: Hashable | None = None
    seeds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A point of the best-so-far curve: the `done`-th run (from 1) that ended with a value was better than all before.

    `at` is in seconds since the epoch.
    """

    done: int
    run_id: str
    value: float
    at: float


def best_by_stretch(curve: Sequence[Improvement], runs: int, most: int) -> list[float]:
    """Return the best value so far after each of at most `most` equal stretches of so many runs; [] without a curve.

    >>> points = [Improvement(done=n, run_id="", value=v, at=0.0) for n, v in ((1, 3.0), (3, 1.0))]
    >>> best_by_stretch(points, 4, 10), best_by_stretch(points, 4, 2)
    ([3.0, 3.0, 1.0, 1.0], [3.0, 1.0])
    """
    if not curve:
        return []
    found, newest, stretches = [], 0, min(most, max(runs, 1))
    for stretch in range(1, stretches + 1):
        done = -(-stretch * runs // stretches)
        while newest + 1 < len(curve) and curve[newest + 1].done <= done:
            newest += 1
        found.append(curve[newest].value)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRun:
    """A run with a live attempt.

    Args:
        row: The run.
        live: Its attempt.
        duration_s: Since the attempt's process started (was claimed, before), >= 0.
        age_s: Since its newest report, >= 0; None without one.
        margin: How far it is from being stopped, in units of the metric (positive: safe), None without one.
        verdict: What the stopping rule says of it, in words; "" without a rule.
    """

    row: WatchedRun
    live: WatchedAttempt
    duration_s: float
    age_s: float | None
    margin: float | None
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A sweep at one moment.

    Args:
        name, state, reason: Of the sweep, as recorded.
        metric: What is optimized, or None.
        now: Seconds since the epoch, by the record's clock.
        elapsed_s: From the sweep's making to now, or to its last run's end once it has ended.
        total: Runs that it will have, or has had when it ended by itself; None when nobody knows.
        counts: Runs by state; absent: none.
        best: The best run that finished or was stopped, or None.
        mean: Mean value of those runs, None without one; `valued` is their number.
        curve: How the best value came about, oldest first.
        running: Runs with a live attempt, by number.
        workers: Live attempts whose lease holds.
        eta_s: Seconds until all runs are done at the mean pace so far; None when nobody can know.
        failures: The last runs that failed or diverged, newest first.
        stalled: Why the sweep does not go on though it should, "" when it does.
        idle: Why its last agent left work undone, "" while there is one, and when it died without a word.
        ended: Nothing more will happen by itself.
        metrics: Several objectives; () otherwise.
        front: With several objectives the runs that no other beats, the best on the first one first.
        packing: How each GPU stands that several runs share, a sentence each (`runs_per_gpu: auto`).
    """

    name: str
    state: SweepState
    reason: str
    metric: Metric | None
    now: float
    elapsed_s: float
    total: int | None
    counts: Mapping[RunState, int]
    best: WatchedRun | None
    mean: float | None
    valued: int
    curve: tuple[Improvement, ...]
    running: tuple[RunningRun, ...]
    workers: int
    eta_s: float | None
    failures: tuple[WatchedRun, ...]
    stalled: str
    ended: bool
    metrics: tuple[Metric, ...] = ()
    front: tuple[WatchedRun, ...] = ()
    idle: str = ""
    packing: tuple[str, ...] = ()

    @property
    def leading(self) -> RunningRun | None:
        """Return the running run that has had a better value than the best one so far, the best of such."""
        metric, best = self.metric, self.best
        if metric is None or best is None or best.value is None or best.seeds > 1:  # one run does not beat a mean
            return None
        values = [(run.row.value, run) for run in self.running if run.row.value is not None]
        better = [(value, run) for value, run in values if metric.goal.better(value, best.value)]
        return min(better, key=lambda pair: metric.goal.sign * pair[0])[1] if better else None

    @property
    def standing(self) -> str:
        """Return where it stands in a word: its state as recorded, or that nobody works on it."""
        return "stalled" if self.stalled else "idle" if self.idle else self.state.value

    @property
    def done(self) -> int:
        """Return how many runs are done."""
        return sum(number for state, number in self.counts.items() if state.done)

    @property
    def failed(self) -> int:
        """Return how many runs ended and have no value that counts: failed and diverged ones."""
        return sum(number for state, number in self.counts.items() if state.ended_badly)

    @property
    def first(self) -> WatchedRun | None:
        """Return the best; of several objectives the one of the front that is best on the first of them."""
        if self.best is not None or not self.front:
            return self.best
        return self.front[0]._replace(value=self.front[0].values[0])

    @property
    def ranked_by(self) -> Metric | None:
        """Return the metric of `first`."""
        return next(iter(self.metrics), None) if self.metric is None else self.metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """All that a snapshot is made of.

    Args:
        sweep: The sweep.
        metric: What is optimized, or None.
        total: Runs that it will have, None when nobody knows.
        rows: All its runs.
        live: Its live attempts.
        now: Seconds since the epoch, by the record's clock.
        idle_since: When its last attempt ended, None while one is live or when none was made.
        verdicts: What the stopping rule says of running runs, by run id.
        metrics: Several objectives; () otherwise.
    """

    sweep: SweepRecord
    metric: Metric | None
    total: int | None
    rows: Sequence[WatchedRun]
    live: Sequence[WatchedAttempt]
    now: float
    idle_since: float | None = None
    verdicts: Mapping[str, Decision] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()


def total_of(spec: SweepSpec) -> int | None:
    """Return how many runs a sweep will have: the grid's points with each seed, at most `run_cap`; None: unbounded."""
    total = None
    if spec.method is Method.GRID:
        from sweepkit.search.grid import GridEngine

        seeds = spec.extensions.seeds_per_run
        total = GridEngine(spec.space).total() * (1 if seeds is None else len(seeds.seeds))
    limits = [limit for limit in (total, spec.run_cap) if limit is not None]
    return min(limits) if limits else None


def row_of(
    run: RunRecord, metric: Metric | None, metrics: Sequence[Metric] = (), *, seed_parameter: str | None = None
) -> WatchedRun:
    """Return a run in short."""
    reports = run.outcome.get("reports") if run.state.done else None
    return WatchedRun(
        number=run.number,
        run_id=run.run_id,
        params=run.params,
        state=run.state,
        reason=run.reason,
        attempts=run.attempts,
        failures=run.failures,
        value=value_of(run, metric),
        newest=_newest(run, metric or (metrics[0] if metrics else None)),
        begun_at=run.created_at if run.started_at is None else run.started_at,
        ended_at=run.ended_at,
        duration_s=run.duration_s,
        reports=reports if isinstance(reports, int) else len(run.history),
        values=(values_of(run, metrics) or ()) if metrics else (),
        configuration=configuration_key(run, seed_parameter),
    )


def _newest(run: RunRecord, metric: Metric | None) -> float | None:
    if metric is None:
        return None
    return run.history[-1] if run.history else run.last_metrics.get(metric.name)


def snapshot(watched: Watched, *, failures: int = 20) -> Snapshot:
    """Return where a sweep stands; the last `failures` failed runs are named."""
    sweep, rows = watched.sweep, watched.rows
    counts = _counts(rows)
    valued = _valued(rows)
    values = [row.value for row in valued if row.value is not None]
    ended = _ended(watched, counts)
    ends = [row.ended_at for row in rows if row.ended_at is not None]
    until = max(ends) if ended and ends else watched.now
    found = _configurations(valued, watched.metric)
    workers = sum(not live.expired for live in watched.live)
    return Snapshot(
        name=sweep.name,
        state=sweep.state,
        reason=sweep.reason,
        metric=watched.metric,
        now=watched.now,
        elapsed_s=max(0.0, until - sweep.created_at),
        total=_total(watched, ended),
        counts=counts,
        best=_best(found, watched.metric),
        mean=mean(values) if values else None,
        valued=len(values),
        curve=_curve(found, watched.metric),
        running=_running(watched),
        workers=workers,
        eta_s=None if ended else _eta_s(watched, workers),
        failures=_failures(rows, failures),
        stalled="" if ended else stalled(watched),
        idle="" if ended else _idle(watched),
        ended=ended,
        metrics=watched.metrics,
        front=_front(rows, watched.metrics),
        packing=() if ended else packing_of(sweep.meta),
    )


def _total(watched: Watched, ended: bool) -> int | None:
    """Return how many runs it will have: of one that ended as it should, those that it has."""
    by_itself = watched.sweep.state is SweepState.FINISHED and watched.sweep.reason != STOPPED
    return len(watched.rows) if ended and by_itself else watched.total


def _counts(rows: Iterable[WatchedRun]) -> dict[RunState, int]:
    states = [row.state for row in rows]
    return {state: number for state in RunState if (number := states.count(state))}


def _done(rows: Iterable[WatchedRun]) -> int:
    return sum(number for state, number in _counts(rows).items() if state.done)


def _front(rows: Iterable[WatchedRun], metrics: Sequence[Metric]) -> tuple[WatchedRun, ...]:
    """Return the configurations that no other one beats on several objectives, each as the run that stands for it."""
    if not metrics:
        return ()
    found = configurations(
        sorted((row for row in rows if row.state.ended_well), key=_number),
        key=lambda row: row.configuration,
        state=lambda row: row.state,
        values=lambda row: row.values or None,
    )
    members = front_of(found, metrics, _number)
    return tuple(item.first._replace(values=item.values, seeds=len(item.runs)) for item in members)


def _number(row: WatchedRun) -> int:
    return row.number


def _ended(watched: Watched, counts: Mapping[RunState, int]) -> bool:
    if any(not live.expired for live in watched.live) or watched.sweep.state is SweepState.PAUSED:
        return False
    if watched.sweep.state is not SweepState.RUNNING:
        return True
    # Its runner was killed after the last run, before it could say so; or W&B's server, which does not say so at once.
    open_runs = count_of(counts, OPEN)
    made = watched.total is not None and not open_runs and len(watched.rows) >= max(1, watched.total)
    last = max((row.ended_at for row in watched.rows if row.ended_at is not None), default=-math.inf)
    return made and watched.now - last >= _SAYS_SO_WITHIN_S


def _valued(rows: Iterable[WatchedRun]) -> list[WatchedRun]:
    """Return the runs whose value counts, in the order in which they ended."""
    found = [row for row in rows if row.state.ended_well and row.value is not None]
    return sorted(found, key=lambda row: (_end(row), row.number))


def _end(row: WatchedRun) -> float:
    return row.begun_at if row.ended_at is None else row.ended_at


def _configurations(valued: Sequence[WatchedRun], metric: Metric | None) -> list[tuple[int, Configuration[WatchedRun]]]:
    """Return what may be the best, in order of its end: how many runs with a value had ended by then, and it.

    A configuration has ended with the last of its runs that count. Its runs stand in the order of their numbers.
    """
    if metric is None:
        return []
    place = {row.number: done for done, row in enumerate(valued, 1)}
    found = configurations(
        sorted(_contenders(valued, metric), key=_number),
        key=lambda row: row.configuration,
        state=lambda row: row.state,
        values=lambda row: None if row.value is None else (row.value,),
    )
    ended = [(max(place[row.number] for row in item.runs), item) for item in found if item.contends]
    return sorted(ended, key=lambda pair: pair[0])


def _contenders(valued: Iterable[WatchedRun], metric: Metric) -> Iterator[WatchedRun]:
    """Yield the runs without those that are a configuration of their own and worse than such a one that ended before.

    They neither are the best nor ever were.
    """
    sign, best = metric.goal.sign, math.inf
    for row in valued:
        if row.configuration is not None or row.value is None:
            yield row
        elif (signed := sign * row.value) <= best:
            best = signed
            yield row


def _best(found: Sequence[tuple[int, Configuration[WatchedRun]]], metric: Metric | None) -> WatchedRun | None:
    if metric is None or not found:
        return None
    best = best_first([item for _, item in found], [metric], _number)[0]
    ended_at = max(best.runs, key=_end).ended_at
    return best.first._replace(value=best.value, ended_at=ended_at, seeds=len(best.runs))


def _curve(found: Sequence[tuple[int, Configuration[WatchedRun]]], metric: Metric | None) -> tuple[Improvement, ...]:
    points: list[Improvement] = []
    for done, item in found:
        if metric is not None and (not points or metric.goal.better(item.value, points[-1].value)):
            at = max(map(_end, item.runs))
            points.append(Improvement(done=done, run_id=item.first.run_id, value=item.value, at=at))
    return tuple(points)


def _running(watched: Watched) -> tuple[RunningRun, ...]:
    by_id = {row.run_id: row for row in watched.rows}
    found = []
    for live in watched.live:
        if (row := by_id.get(live.run_id)) is None:
            continue
        verdict = watched.verdicts.get(live.run_id)
        began = live.claimed_at if live.started_at is None else live.started_at
        age_s = None if live.last_report_at is None else max(0.0, watched.now - live.last_report_at)
        found.append(
            RunningRun(
                row=row,
                live=live,
                duration_s=max(0.0, watched.now - began),
                age_s=age_s,
                margin=None if verdict is None else verdict.margin,
                verdict="" if verdict is None else verdict.reason,
            )
        )
    return tuple(sorted(found, key=lambda run: run.row.number))


def _failures(rows: Iterable[WatchedRun], limit: int) -> tuple[WatchedRun, ...]:
    found = [row for row in rows if row.state.ended_badly]
    return tuple(sorted(found, key=lambda row: (_end(row), row.number), reverse=True)[:limit])


def _eta_s(watched: Watched, workers: int) -> float | None:
    """Return the time that the rest takes: every run as long as the done ones on average, less what already ran.

    Or at the pace of the newest ends when that is slower: what lies between two runs counts, too.
    """
    durations = [row.duration_s for row in watched.rows if row.duration_s is not None]
    if watched.total is None or not workers or not durations:
        return None
    mean_s = fmean(durations)
    done = _done(watched.rows)
    running = [run for run in _running(watched) if not run.live.expired]
    waiting = max(0, watched.total - done - len(running))
    left_s = sum(max(0.0, mean_s - run.duration_s) for run in running)
    ends = sorted(row.ended_at for row in watched.rows if row.ended_at is not None)
    spacing = spacing_s(ends[-window(workers) - 1 :], watched.now, workers) or 0.0
    return max((waiting * mean_s + left_s) / workers, waiting * spacing)


def usual_interval_s(rows: Iterable[WatchedRun], live: Iterable[WatchedAttempt]) -> float | None:
    """Return the median over runs of the mean time between their reports, in seconds; None before anything is known.

    A done run that never reported counts with its whole duration: such programs are silent all the time.
    """
    intervals = [row.duration_s / max(1, row.reports) for row in rows if row.duration_s is not None]
    for attempt in live:
        if attempt.reports > 1 and attempt.first_report_at is not None and attempt.last_report_at is not None:
            intervals.append(max(0.0, attempt.last_report_at - attempt.first_report_at) / (attempt.reports - 1))
    return median(intervals) if intervals else None


def stalled(watched: Watched) -> str:
    """Return why a sweep that should go on does not, "" when it does (or is paused, cancelled, finished).

    It stalls when the leases of all its live attempts are over, when none of these has given a sign for ten usual
    intervals between reports and at least five minutes, or when there is work and no attempt for more than a minute.
    """
    sweep, live, now = watched.sweep, watched.live, watched.now
    if sweep.state is not SweepState.RUNNING:
        return ""
    if not live:
        return "" if sweep.reason else _left_alone(watched)
    hosts = ", ".join(sorted({attempt.host for attempt in live}))
    if all(attempt.expired for attempt in live):
        return f"the lease of every running run is over: the agent on {hosts} died or cannot reach the record"
    interval_s = usual_interval_s(watched.rows, live)
    allowed_s = max(SILENT_S, _SILENT_INTERVALS * (interval_s or 0.0))
    silent_s = now - max(_sign_at(attempt) for attempt in live)
    if silent_s <= allowed_s:
        return ""
    usual = "" if interval_s is None else f" (usual: every {interval_s:.3g} s)"
    return f"no running run has reported for {silent_s:.0f} s{usual}: look at their logs on {hosts}"


def _sign_at(attempt: WatchedAttempt) -> float:
    """Return when an attempt last gave a sign of progress: a report, its start, its claim."""
    times = (attempt.last_report_at, attempt.started_at, attempt.claimed_at)
    return max(at for at in times if at is not None)


def _idle(watched: Watched) -> str:
    """Return why nothing runs in a sweep whose last agent said why it went (`--count`, Ctrl-C), "" in any other."""
    sweep, left = watched.sweep, _left(watched)
    if sweep.state is not SweepState.RUNNING or watched.live or not sweep.reason or left == 0:
        return ""
    return f"{sweep.reason}; {_rest(left)}"


def _left(watched: Watched) -> int | None:
    """Return how many runs are left, None when nobody knows."""
    done = _done(watched.rows)
    return None if watched.total is None else max(watched.total, len(watched.rows)) - done


def _rest(left: int | None) -> str:
    return "runs are left" if left is None else f"{left} run{'s are' if left != 1 else ' is'} left"


def _left_alone(watched: Watched) -> str:
    left = _left(watched)
    if left == 0 and watched.rows:
        return ""
    begun = [row.begun_at for row in watched.rows]
    ends = [at for row in watched.rows if (at := row.ended_at) is not None]
    last = [] if watched.idle_since is None else [watched.idle_since]
    idle_s = watched.now - max([watched.sweep.created_at, *begun, *ends, *last])
    if idle_s <= IDLE_S:
        return ""
    how = watched.sweep.meta.get("restart", "start its sweep runner again, it continues")
    return f"nothing has run for {idle_s:.0f} s and {_rest(left)}: {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchExit:
    """What a monitor that waits leaves with: the exit code and why."""

    code: int
    reason: str


DONE, FAILED, STALLED = 0, 3, 4


def verdict(snapshots: Sequence[Snapshot], until: Iterable[str]) -> WatchExit | None:
    """Return what ends the waiting for `until` ("done", "failed", "stalled", any of them), None to wait on.

    Whatever is waited for, the end of all sweeps ends the waiting: 0 when they are done; 3 when one was cancelled or
    has runs but no result, and, waiting for "failed", when any run failed. A failed run is 3 and a
    stalled sweep 4, each only when it is waited for.
    """
    wanted = set(until)
    if "failed" in wanted and (reason := next(filter(None, map(_failed, snapshots)), "")):
        return WatchExit(code=FAILED, reason=reason)
    if snapshots and all(item.ended for item in snapshots):
        reason = next(filter(None, map(_in_vain, snapshots)), "")
        return WatchExit(code=FAILED, reason=reason) if reason else WatchExit(code=DONE, reason="done")
    if "stalled" in wanted and (item := next((item for item in snapshots if item.stalled or item.idle), None)):
        why = f"stalled: {item.stalled}" if item.stalled else f"idle: {item.idle}"
        return WatchExit(code=STALLED, reason=f"{item.name}: {why}")
    return None


def _failed(item: Snapshot) -> str:
    failed = item.counts.get(RunState.FAILED, 0)
    if not failed:
        return ""
    newest = next((row for row in item.failures if row.state is RunState.FAILED), None)
    return f"{item.name}: {failed} failed" + (f", the last, run {newest.run_id}: {newest.reason}" if newest else "")


def _in_vain(item: Snapshot) -> str:
    if item.state is SweepState.CANCELLED:
        return f"{item.name}: cancelled{': ' + item.reason if item.reason else ''}"
    good = count_of(item.counts, ENDED_WELL)
    if item.done and not good:
        return f"{item.name}: none of its {item.done} runs finished well"
    if item.done and ((item.metric is not None and not item.valued) or (item.metrics and not item.front)):
        names = [metric.name for metric in item.metrics or (item.metric,) if metric is not None]
        return f"{item.name}: none of its {item.done} runs has a value of {', '.join(names)}"
    return ""
