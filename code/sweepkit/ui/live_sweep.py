"""One sweep as the page shows it: read again where it changed, everything derived kept until the next change."""

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.agents.control import ASKED, noted
from sweepkit.analysis.columns import direction_of
from sweepkit.analysis.curves import curve_rows, with_reports
from sweepkit.analysis.lead import lead
from sweepkit.analysis.lead_words import called, verdict
from sweepkit.analysis.progress import Snapshot, best_by_stretch
from sweepkit.analysis.summary import reasons
from sweepkit.analysis.table import KeptRows, Row, RunTable, from_runs
from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.labels import run_note, run_tags, sweep_note, sweep_tags
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import Report, RunRecord, SweepRecord
from sweepkit.model.runs import ENDED_BADLY, RunState
from sweepkit.model.watched import PollResult
from sweepkit.monitor.follow import Follower
from sweepkit.monitor.render import Picture, plain
from sweepkit.monitor.usage import GpuUsage, ProcessUsage
from sweepkit.paths import SweepPaths
from sweepkit.reports.figures.base import Drawn
from sweepkit.reports.figures.curves import CurveStyle
from sweepkit.reports.figures.library import figure
from sweepkit.store.watch import Watch
from sweepkit.text.nested_tables import flattened
from sweepkit.text.yaml import parse

if TYPE_CHECKING:
    from sweepkit.analysis.importance_result import Importance
    from sweepkit.model.ranked import ConfirmationRun

_AGGREGATIONS = ("best", "last", "min", "max")  # what may stand for the reports of a metric
_FIRST_FIGURES = ("curves", "history", "parallel")
_MOST_CURVES = 150
_POINTS = 50
_FEWEST_FOR_IMPORTANCE = 20
_MOST_RUNS_IN_FAILURE = 30
_SPARK = 40
_TIMES_S = 2.0  # between two pictures of a sweep of which nothing but times changed


class _Tee:
    """Polls, and remembers the runs that passed."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.runs: dict[int, RunRecord] = {}
        self.found: PollResult | None = None
        self._ahead: PollResult | None = None
        self._shown_at = time.monotonic()

    def poll(self, sweep_id: str, since: int = 0, *, in_short: bool = False) -> PollResult | None:
        """Return what changed after a change counter, never in short: runs are remembered whole."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            return ahead
        found = self._watch.poll(sweep_id, since)
        if found is not None:
            self.found = found
            self.runs.update((run.number, run) for run in found.changed)
        return found

    def changed(self) -> bool:
        """Return whether anything did since the newest poll, and keep that for the next one to be asked for.

        While something runs times go on: then it is so at least every `_TIMES_S`, and not at each of the looks of those
        who wait for a report, since a picture of thousands of runs takes a tenth of a second.
        """
        before = self.found
        if before is None:
            return True
        ahead = self._ahead = self.poll(before.sweep.sweep_id, before.change)
        if ahead is None or ahead.changed or ahead.live != before.live or ahead.sweep != before.sweep:
            self._shown_at = time.monotonic()
            return True
        if ahead.live and time.monotonic() - self._shown_at > _TIMES_S:
            self._shown_at = time.monotonic()
            return True
        self._ahead = None
        return False


class LiveSweep:
    """One sweep; any thread may use it.

    Args:
        watch: The record, opened for reading.
        sweep_id: Which sweep.
        output_dir: The folder of the sweeps' files.
    """

    def __init__(self, watch: Watch, sweep_id: str, output_dir: Path) -> None:
        self.lock = threading.RLock()
        self._forest = threading.Lock()
        self._watch = watch
        self._output_dir = output_dir
        self._tee = _Tee(watch)
        self._follower = Follower(self._tee, sweep_id)
        self._processes, self._gpus = ProcessUsage(), GpuUsage()
        self._derived: dict[Any, tuple[Any, Any]] = {}
        self._rows: KeptRows = {}
        self._raced: tuple[list[Any], dict[str, Any] | None] | None = None
        self._reports: dict[str, tuple[int, Sequence[Report]]] = {}
        self._importance: dict[tuple[str | None, str], tuple[int, Importance | None]] = {}
        self.snapshot: Snapshot = self._follower.snapshot()

    def refresh(self) -> int:
        """Read what changed; return the change counter.

        Raises:
            SweepKitError: The sweep is gone, or the record cannot be read now.
        """
        with self.lock:
            if self._tee.changed():
                self.snapshot = self._follower.snapshot()
            return self.change

    @property
    def found(self) -> PollResult:
        """Return the newest poll."""
        assert self._tee.found is not None
        return self._tee.found

    @property
    def change(self) -> int:
        """Return the sweep's change counter as of the newest poll."""
        return self.found.change

    @property
    def name(self) -> str:
        """Return the sweep's name."""
        return self.found.sweep.name

    @property
    def paths(self) -> SweepPaths:
        """Return its files."""
        return SweepPaths(self._output_dir.absolute(), self.name)

    @property
    def runs(self) -> list[RunRecord]:
        """Return its runs by number."""
        with self.lock:
            return [self._tee.runs[number] for number in sorted(self._tee.runs)]

    def run(self, run_id: str) -> RunRecord:
        """Return a run by its id. Raises SweepKitError: there is none."""
        found = next((run for run in self.runs if run.run_id == run_id), None)
        if found is None:
            raise SweepKitError(f"sweep {self.name}: the run must be one of it, got {run_id!r}")
        return found

    @property
    def ended(self) -> tuple[int, int, str]:
        """Return what says whether a run ended or began again, or the YAML changed: most reports do neither."""
        done = [run.change for run in self._tee.runs.values() if run.state.done]
        return len(done), max(done, default=0), self.found.sweep.text

    def _kept(self, key: Any, make: Callable[[], Any], *, by_ended: bool = False) -> Any:
        """Return what was made of the sweep as it is now, made now where it changed.

        Args:
            key: What it is.
            make: Makes it.
            by_ended: It depends on runs that ended alone.
        """
        change = self.ended if by_ended else self.change
        held = self._derived.get(key)
        if held is None or held[0] != change:
            held = (change, make())
            self._derived[key] = held
        return held[1]

    @property
    def table(self) -> RunTable:
        """Return its runs as a table; of a YAML that we cannot read, one without a space."""
        with self.lock:
            return self._kept("table", self._table)  # type: ignore[no-any-return]

    def _table(self) -> RunTable:
        spec = self._follower.spec
        if spec is None:
            raise SweepKitError(f"sweep {self.name}: its YAML must be one that this sweepkit reads, got another one")
        return from_runs(spec, self.runs, kept=self._rows)

    def view(self, metric: str | None = None, how: str = "best") -> RunTable:
        """Return its runs as a table of one metric: what every panel of the page shows.

        Args:
            metric: The one that was chosen: an objective, or whatever else runs reported; None for the first objective.
            how: What stands for its reports: "best" (by the sweep's own rule; of another metric at the report at which
                the sweep's was best), "last", "min" or "max".

        Raises:
            SweepKitError: No run reported that metric, `how` is none of these, or the YAML cannot be read.
        """
        if how not in _AGGREGATIONS:
            raise SweepKitError(f"rows: how must be best, last, min or max, got {how!r}")
        with self.lock:
            chosen = metric or (self.table.metric.name if self.table.metric else None)
            if chosen is None:
                return self.table
            return self._kept(("view", chosen, how), lambda: self._view(chosen, how))  # type: ignore[no-any-return]

    def _view(self, name: str, how: str) -> RunTable:
        table = self.table
        objective = next((item for item in table.metrics if item.name == name), None)
        own = objective is not None and len(table.metrics) == 1
        if objective is not None and how == "best":
            return table.by(name)
        if objective is None and name not in self.metrics():
            raise SweepKitError(f"metric: must be one of {', '.join(self.metrics())}, got {name!r}")
        taken = objective or Metric(name=name, goal=direction_of(name) or Goal.MAXIMIZE)
        rows = []
        for row in table.rows:
            value = self._aggregated(row, name, how, own=own)
            objectives = None if value is None else (value,)
            row = row if own else replace(row, history=(), at=None, last=row.metrics.get(name))
            rows.append(replace(row, value=value, objectives=objectives))
        return replace(table, metrics=(taken,), rows=tuple(rows), stopping=table.stopping if own else None)

    def _aggregated(self, row: Row, name: str, how: str, *, own: bool) -> float | None:
        """Return what stands for a run's reports of a metric; None of a run that did not end well, or without one."""
        if not row.state.ended_well:
            return None
        if own and row.history:
            finite = [value for value in row.history if math.isfinite(value)]
            pick = {"min": min, "max": max}.get(how)
            return None if not finite else finite[-1] if pick is None else pick(finite)
        value = self._metrics(self._tee.runs[row.number], how).get(name)
        return value if value is not None and math.isfinite(value) else None

    def metrics(self) -> list[str]:
        """Return the names of what runs reported, those that are optimized first."""
        with self.lock:
            return self._kept("metrics", self._metric_names)  # type: ignore[no-any-return]

    def _metric_names(self) -> list[str]:
        reported = dict.fromkeys(name for run in self.runs for name in run.last_metrics)
        first = [metric.name for metric in self.table.metrics]
        return [*(name for name in first if name in reported), *(name for name in reported if name not in first)]

    def best_number(self, metric: str | None = None) -> int | None:
        """Return the number of the best run by a metric of the sweep, None before there is one."""
        best = self.snapshot.best
        if best is not None or not self.snapshot.metrics:
            return None if best is None else best.number
        ranked = self.view(metric).ranked()
        return ranked[0].number if ranked else None

    # -- what the page asks for ---------------------------------------------------------------------------------------

    def line(self) -> dict[str, Any]:
        """Return the sweep's line in the list of sweeps."""
        item, sweep = self.snapshot, self.found.sweep
        return {
            "name": sweep.name,
            "family": sweep.family,
            "state": item.state.value,
            "reason": item.reason,
            "standing": item.standing,
            "stalled": item.stalled,
            "idle": item.idle,
            "created_at": sweep.created_at,
            "now": item.now,
            "total": item.total,
            "done": item.done,
            "failed": item.failed,
            "counts": {state.value: count for state, count in item.counts.items()},
            "metric": None if item.ranked_by is None else item.ranked_by.name,
            "goal": None if item.ranked_by is None else item.ranked_by.goal.value,
            "best": None if item.first is None else item.first.value,
            "metrics": [metric.name for metric in item.metrics],
            "front": len(item.front),
            "spark": best_by_stretch(item.curve, item.valued, _SPARK),
            "tags": sweep_tags(sweep, self._follower.spec),
            "note": sweep_note(sweep, self._follower.spec),
            "archived": bool(noted(sweep, "archived")),
            "workers": item.workers,
            "eta_s": item.eta_s,
        }

    def prepare(self) -> None:
        """Make what the sweep's view shows first, so that it is there when somebody asks."""
        self.overview()
        for kind in _FIRST_FIGURES:
            self.figure(kind)

    def overview(self) -> dict[str, Any]:
        """Return all of a sweep's page but its runs and figures."""
        with self.lock:
            uses = self._processes.of(self.found.live)
            shown = plain(Picture(sweeps=(self.snapshot,), uses=uses, gpus=tuple(self._gpus.read())))
            said = {**shown["sweeps"][0], **self.line(), "gpus": shown["gpus"], "change": self.change}
            said |= {key: shown["sweeps"][0].get(key) for key in ("best", "metric", "metrics", "front")}
            said["running"] = [{**item, **self._rate(item)} for item in said["running"]]
            judged: dict[str, Any] = self._kept("overview", self._judged, by_ended=True)
            return {**said, **self._as_asked(), **judged, "confirmation": self.confirmation()}

    def _rate(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return when a running run will end, by how long the finished ones took; None where nobody can know."""
        took = self._kept("took", self._usual_duration)
        return {"eta_s": None if took is None else max(0.0, took - float(item["duration_s"] or 0.0))}

    def _usual_duration(self) -> float | None:
        from statistics import median

        took = [run.duration_s for run in self.runs if run.state is RunState.FINISHED]
        known = [seconds for seconds in took[-200:] if seconds is not None]
        return median(known) if known else None

    def _as_asked(self) -> dict[str, Any]:
        sweep = self.found.sweep
        return {
            "yaml": sweep.text,
            "settings": _settings(sweep.text),
            "ended_runs": self.ended[:2],
            "asked": list(sweep.meta.get(ASKED, []))[-50:],
            "generation": sweep.generation,
            "program": str(sweep.meta.get("program") or ""),
        }

    def _judged(self) -> dict[str, Any]:
        said: dict[str, Any] = {"verdict": "", "chances": [], "failures": []}
        try:
            table = self.table
        except SweepKitError as error:
            return {**said, "verdict": str(error)}
        if len(table.metrics) > 1:
            names = ", ".join(f"{metric.name} ({metric.goal.value}d)" for metric in table.metrics)
            said["verdict"] = f"{len(self.snapshot.front)} runs that none beats in everything: the front of {names}"
        elif (found := lead(table)) is not None:
            said["verdict"] = verdict(found)
        if len(table.metrics) < 2 and any(len(item.runs) > 1 for item in table.configurations()):
            from sweepkit.analysis.chances import chances  # scipy: only where there is something to compute

            said["chances"] = [{"of": called(item), "chance": chance} for item, chance in chances(table)]
        said["failures"] = [
            {
                "reason": group.reason,
                "count": len(group.rows),
                "runs": [
                    {"id": row.run_id, "number": row.number, "log": str(row.facts.get("log_tail", ""))[-4000:]}
                    for row in group.rows[:_MOST_RUNS_IN_FAILURE]
                ],
            }
            for group in reasons(table, ENDED_BADLY)
        ]
        return said

    def _race(self) -> SweepRecord | None:
        """Return the newest sweep that confirms this one, None without one."""
        from sweepkit.confirm.plan import confirmation_name, setup_of  # the runner's rooms: only where one looks

        found = self._watch.sweeps(family=confirmation_name(self.name))
        return next((record for record in reversed(found) if setup_of(record) is not None), None)

    def race_change(self) -> list[Any]:
        """Return what says whether anything changed in the race of `--confirm`."""
        race = self._race()
        if race is None:
            return [self._file_of_race()]
        counts = {state.value: count for state, count in self._watch.counts(race.sweep_id).items()}
        return [race.name, race.state.value, counts, self._file_of_race()]

    def _file_of_race(self) -> float:
        file = self.paths.confirmation
        return file.stat().st_mtime if file.is_file() else 0.0

    def confirmation(self) -> dict[str, Any] | None:
        """Return the race of `--confirm`, while it goes on and afterwards; None where there was none."""
        with self.lock:
            change = self.race_change()
            if self._raced is None or self._raced[0] != change:
                self._raced = (change, self._raced_now())
            return self._raced[1]

    def _raced_now(self) -> dict[str, Any] | None:
        from sweepkit.confirm.result import watched
        from sweepkit.reports.confirmation import cells_of, from_plain, headline, read_confirmation, verdict

        race, spec = self._race(), self._follower.spec
        kept = read_confirmation(self.paths.root) if self.paths.confirmation.is_file() else None
        if kept is not None and (race is None or kept["confirmation"] == race.name):
            said, state, following = from_plain(kept), "finished", tuple[str, ...]()
        elif race is not None and spec is not None:
            live = watched(self._watch, spec, race)
            said, state, following = live.confirmation, live.state, live.next
        else:
            return None
        table = cells_of(said)
        return {
            "sweep": None if race is None else race.name,
            "state": state,
            "head": headline(said),
            "verdict": verdict(said),
            "done": said.runs,
            "most": sum(keep * each for keep, each in said.rounds),
            "next": list(following),
            "heads": table.heads,
            "rows": [
                {"run": item.run_id, "cells": cells, "chance": item.chance, "seeds": [_seed(one) for one in item.fresh]}
                for item, cells in zip(said.members, table.rows, strict=True)
            ],
        }

    def rows(
        self, since: int = 0, how: str = "best", metric: str | None = None, of: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return runs changed after a change counter as rows of columns.

        Args:
            since: 0 for all.
            how: What stands for a metric's reports: "best" (of the report at which the sweep's metric was best),
                "last", "min" or "max".
            metric: As for `view`.
            of: By metric what stands for its reports, where that is not `how`.

        Raises:
            SweepKitError: `how` is none of these, or no run reported such a metric.
        """
        of = of or {}
        with self.lock:
            first = None if self.table.metric is None else self.table.metric.name
            table = self.view(metric, of.get(metric or first or "", how))
            front = {row.number for row in self.snapshot.front}
            changed = {run.number: run for run in self.runs if run.change > since}
            return {
                "change": self.change,
                "total": len(table.rows),
                "metric": None if table.metric is None else table.metric.name,
                "goal": None if table.metric is None else table.metric.goal.value,
                "params": [
                    {"name": c.name, "numeric": c.numeric, "log": c.log, "levels": list(c.levels)}
                    for c in table.columns
                ],
                "varying": [column.name for column in table.varying()],
                "metrics": self.metrics(),
                "objectives": [item.name for item in self.snapshot.metrics],
                "rows": [
                    {
                        "number": row.number,
                        "id": row.run_id,
                        "name": row.name,
                        "state": row.state.value,
                        "value": row.value if row.value is not None else _newest(row),
                        **({"front": row.number in front} if self.snapshot.metrics else {}),
                        "params": dict(row.params),
                        "metrics": self._metrics(changed[row.number], how, of),
                        "duration_s": row.duration_s,
                        "attempts": row.attempts,
                        "reports": row.reports,
                        "ended_at": changed[row.number].ended_at,
                        "started_at": changed[row.number].started_at,
                        "reason": "" if row.state is RunState.FINISHED else row.reason,
                        "seed": row.seed,
                        "host": str(row.facts.get("host") or ""),
                        **self._noted(changed[row.number]),
                    }
                    for row in table.rows
                    if row.number in changed
                ],
            }

    def _noted(self, run: RunRecord) -> dict[str, Any]:
        """Return {} of a run without note and tags."""
        note, tags = run_note(self.found.sweep, run), run_tags(self.found.sweep, run)
        return {"note": {"note": note, "tags": tags}} if note or tags else {}

    def _metrics(self, run: RunRecord, how: str, of: Mapping[str, str] | None = None) -> dict[str, float]:
        found = self._all_metrics(run, how)
        for other in {*(of or {}).values()} - {how}:
            values = self._all_metrics(run, other)
            found |= {name: values[name] for name, wanted in (of or {}).items() if wanted == other and name in values}
        return found

    def _all_metrics(self, run: RunRecord, how: str) -> dict[str, float]:
        if how in ("best", "last"):
            return dict(run.best_metrics if how == "best" and run.best_metrics else run.last_metrics)
        pick = min if how == "min" else max
        found: dict[str, float] = {}
        for report in self.reports(run):
            for name, value in report.values.items():
                if value == value:
                    found[name] = pick(found[name], value) if name in found else value
        return found

    def reports(self, run: RunRecord) -> Sequence[Report]:
        """Return what a run's last attempt reported."""
        held = self._reports.get(run.run_id)
        if held is None or held[0] != run.change:
            if len(self._reports) > 2 * _MOST_CURVES:  # what was looked at once is not kept for ever
                self._reports.clear()
            held = (run.change, self._watch.reports(run.run_id))
            self._reports[run.run_id] = held
        return held[1]

    def figure(
        self,
        kind: str,
        *,
        runs: frozenset[int] | None = None,
        metric: str | None = None,
        how: str = "best",
        **wanted: Any,
    ) -> Drawn:
        """Return a figure of all runs, or of those with these numbers, by a metric as `view` takes it.

        Raises:
            SweepKitError: There is no such figure, or no such metric.
        """
        if kind == "importance":  # takes its time, and others go on meanwhile
            return figure(kind, self.view(metric, how), importance=self.importance(metric, how))
        with self.lock:
            whole = self.table if kind == "pareto" else self.view(metric, how)
            if runs is None and not wanted:
                key = ("figure", kind, whole.metrics, how)
                of_ended = kind != "curves"
                return self._kept(key, lambda: self._figure(kind, whole, None, {}), by_ended=of_ended)  # type: ignore[no-any-return]
            return self._figure(kind, whole, runs, wanted)

    def _figure(self, kind: str, whole: RunTable, runs: frozenset[int] | None, wanted: Mapping[str, Any]) -> Drawn:
        return replace(self._drawn(kind, whole, runs, wanted), rows=())  # the CSV beside it: no page has one

    def _drawn(self, kind: str, whole: RunTable, runs: frozenset[int] | None, wanted: Mapping[str, Any]) -> Drawn:
        table = _chosen(whole, runs)
        if kind == "curves":
            rows = curve_rows(table, _MOST_CURVES)
            by_number = {run.number: run for run in self.runs}
            # All runs stay in the table: the stopping rule's line is that of the sweep, whatever is brushed.
            said = with_reports(whole, {row.run_id: self.reports(by_number[row.number]) for row in rows})
            look = CurveStyle(runs=frozenset(row.number for row in rows), points=_POINTS)
            return figure(kind, said, look=look)
        return figure(kind, table, **wanted)

    def importance(self, metric: str | None = None, how: str = "best") -> "Importance":
        """Return what mattered; reckoned again when a tenth more runs have finished.

        A process of its own does it and ends: a forest's libraries are three times as large as this server.

        Raises:
            SweepKitError: Too few runs have finished.
        """
        with self._forest:
            table = self.view(metric, how)
            finished = len(table.finished())
            key = (None if table.metric is None else table.metric.name, how)
            at, found = self._importance.get(key, (-1, None))
            if finished < _FEWEST_FOR_IMPORTANCE:
                raise SweepKitError(f"importance: needs {_FEWEST_FOR_IMPORTANCE} finished runs, got {finished}")
            if found is None or finished >= 1.1 * at:
                slim = replace(table, rows=tuple(replace(row, history=(), facts={}) for row in table.rows))
                with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
                    found = pool.submit(_importance_of, slim).result()
                self._importance[key] = (finished, found)
            return found


def _chosen(table: RunTable, runs: frozenset[int] | None) -> RunTable:
    """Return the table of those of its runs."""
    if runs is None:
        return table
    return replace(table, rows=tuple(row for row in table.rows if row.number in runs))


def _importance_of(table: RunTable) -> "Importance":
    from sweepkit.analysis.importance import importances

    return importances(table)


def _settings(text: str) -> dict[str, str]:
    """Return what a sweep's YAML says by dotted key, values as JSON; {} of one that cannot be read."""
    try:
        found = parse(text).data
    except SweepKitError:
        return {}
    values = flattened(found) if isinstance(found, Mapping) else {}
    return {key: json.dumps(value, ensure_ascii=False, default=str) for key, value in values.items()}


def _newest(row: Row) -> float | None:
    """Return the newest value of a run that has none that counts."""
    newest = row.history[-1] if row.history else row.last
    return newest if newest is not None and newest == newest else None


def _seed(run: "ConfirmationRun") -> str:
    value = "no value" if run.value is None else f"{run.value:.5g}"
    return f"seed {run.seed}: {value}"
