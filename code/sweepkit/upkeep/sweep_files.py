"""A sweep as its folder has it: what a record can be made from when there is none.

| file | what it says |
|---|---|
| `sweep.json` | the sweep's id, name, family, seed, configuration, and what else only the record knew |
| `sweep.yaml` | its configuration, once more |
| `run_*_result.json` | a run that is done, with all that came of it |
| `logs/*.reports.jsonl`, `runs/*/*/wandb/*/*.wandb` | what an attempt reported: its run's history |
| `logs/*.params.yaml`, `logs/*.exit.json` | an attempt whose run has no result: its values, and how it ended |
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweepkit.agents.exit_file import read_end
from sweepkit.agents.kept_end import kept_end
from sweepkit.agents.prepare import run_card
from sweepkit.agents.results import AGAIN
from sweepkit.errors import Problem, SpecError, SweepKitError
from sweepkit.model.records import Report, RunRecord, SweepRecord, SweepState
from sweepkit.model.run_names import run_name
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.store.records import new_id
from sweepkit.store.restore import RestoredRun
from sweepkit.sweep_config.read import read_accepted, read_sweep_text
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.json_text import read_object
from sweepkit.text.yaml import parse
from sweepkit.tracking.reports import ReportTail
from sweepkit.tracking.wandb_file import WandbTail

_PAUSED = "made again from its files; start it by its YAML to go on"
# Fields of a result file that are no part of the run's outcome.
_FIELDS = frozenset(
    "run_id number name sweep_params state reason best_metrics last_metrics summary history_file attempts failures "
    "logged_metrics sweep_seed proposal started_at ended_at package_versions git_commit code_hash sweepkit".split()
)
_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBER = re.compile(r"# run (\d+)\n")


@dataclass(slots=True)
class FoundSweep:
    """What the files of a folder say.

    Args:
        sweep: The sweep.
        runs: Its runs.
        unknown: What they do not say, or what could not be read; sentences.
    """

    sweep: SweepRecord
    runs: list[RestoredRun] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def sweep_folders(output_dir: Path) -> list[Path]:
    """Return the folders of sweeps below an output folder: those with anything that a sweep is known by."""
    known_by = ("sweep.yaml", "sweep.json", "run_*_result.json")
    found = {file.parent for name in known_by for file in output_dir.glob(f"sweep_*/{name}")}
    return sorted(folder for folder in found if not folder.is_symlink())  # its file's name, for one called otherwise


def read_folder(folder: Path) -> FoundSweep:
    """Return the sweep that a folder holds.

    Raises:
        SweepKitError: Neither of the files that have its configuration can be read.
    """
    paths = SweepPaths(folder.parent, folder.name.removeprefix("sweep_"))
    identity = read_object(paths.identity) or {}
    spec = _spec(paths, identity.pop("text", None))
    results, unreadable = _results(folder)
    found = FoundSweep(_sweep(paths, spec, results, identity), unknown=unreadable)
    if not identity:
        found.unknown.append(
            f"{folder.name}: no sweep.json: its id, the time it was made and its program are not known"
        )
    for result in results:
        try:
            found.runs.append(_done(paths, spec, found, result))
        except (KeyError, TypeError, ValueError, AttributeError):
            found.unknown.append(f"run {result['run_id']}: its result file holds values of other kinds; it is left out")
    found.runs += _begun(paths, spec, found, {str(result["run_id"]) for result in results})
    return found


def _spec(paths: SweepPaths, kept: Any) -> SweepSpec:
    """Return a sweep's configuration from its YAML, or from the text that sweep.json keeps of it.

    Raises:
        SweepKitError: Neither can be read.
    """
    name = paths.root.name.removeprefix("sweep_")
    try:
        return read_sweep_text(paths.spec.read_text(encoding="utf-8"), source=str(paths.spec), default_name=name)
    except (OSError, UnicodeDecodeError, SpecError) as error:
        if isinstance(kept, str):
            return read_accepted(kept, source=str(paths.identity), default_name=name)
        hint = "put the YAML that the sweep was begun with there, and repair again"
        rule = "must be the sweep's configuration"
        raise SpecError([Problem(where=str(paths.spec), rule=rule, got=str(error), hint=hint)]) from None


def _sweep(
    paths: SweepPaths, spec: SweepSpec, results: list[dict[str, Any]], identity: Mapping[str, Any]
) -> SweepRecord:
    name = paths.root.name.removeprefix("sweep_")
    known: dict[str, Any] = {
        "sweep_id": new_id(),
        "name": name,
        "family": spec.name,
        "generation": int(later[1]) if (later := re.fullmatch(re.escape(spec.name) + r"-(\d+)", name)) else 1,
        "seed": next((result["sweep_seed"] for result in results if "sweep_seed" in result), 0),
        "created_at": min((result.get("started_at") or math.inf for result in results), default=0.0),
        "metric": spec.metric.name if spec.metric else None,
        "goal": spec.metric.goal.value if spec.metric else None,
        "meta": {},
        **identity,
    }
    if not math.isfinite(known["created_at"]):
        known["created_at"] = 0.0
    return SweepRecord(text=spec.text, state=SweepState.PAUSED, reason=_PAUSED, **known)


def _results(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the result files that can be read, by number, and a sentence for each that cannot."""
    found, unknown = [], []
    for file in sorted(folder.glob("run_*_result.json")):
        result = read_object(file)
        if result is None or not {"run_id", "number", "sweep_params", "state"} <= result.keys():
            unknown.append(f"{folder.name}/{file.name}: cannot be read; its run is not done")
        elif result["state"] not in {state.value for state in RunState}:
            unknown.append(f"{folder.name}/{file.name}: an unknown state, {result['state']!r}; its run is not done")
        else:
            found.append(result)
    return sorted(found, key=lambda result: int(result["number"])), unknown


def _done(paths: SweepPaths, spec: SweepSpec, found: FoundSweep, result: Mapping[str, Any]) -> RestoredRun:
    """Return a run from its result file, and the history from what its last attempt reported."""
    run_id, attempts = str(result["run_id"]), int(result.get("attempts", 1))
    best, summary = _logged(result, "best_metrics"), result.get("summary")
    metric = spec.metric.name if spec.metric else None
    run = RunRecord(
        run_id=run_id,
        sweep_id=found.sweep.sweep_id,
        number=int(result["number"]),
        params=result["sweep_params"],
        state=RunState(result["state"]),
        reason=str(result.get("reason", "")),
        summary=None if summary is None else _number(summary),
        best_metrics=best,
        last_metrics=_logged(result, "last_metrics"),
        attempts=attempts,
        failures=int(result.get("failures", 0)),
        proposal=result.get("proposal") or {},
        created_at=result.get("started_at") or 0.0,
        started_at=result.get("started_at"),
        ended_at=result.get("ended_at"),
        outcome={**_known_of(paths, result), **_outcome(result)},
    )
    reports = _reports(paths, spec, found.sweep, run)
    if not reports and metric in best and summary is None:
        # A value without its history: the run counts as it did, and nobody draws a curve that was not.
        run = replace(run, summary=best[metric])
        found.unknown.append(f"run {run_id}: what it reported is gone; its best value is known, its history is not")
    return RestoredRun(run=run, reports=reports)


def _outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result says beside what a record has fields for."""
    return {name: value for name, value in result.items() if name not in _FIELDS and not name.startswith(AGAIN)}


def _logged(result: Mapping[str, Any], key: str) -> dict[str, float]:
    """Return the metrics of a result by the names that the program logged, without the bare ones beside them."""
    found = _numbers(result.get(key))
    names = result.get("logged_metrics")
    return found if names is None else {name: value for name, value in found.items() if name in names}


def _known_of(paths: SweepPaths, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name, the history's file and the packages that a result has of the attempt: others follow from it."""
    run_id, name, file = str(result["run_id"]), result.get("name"), result.get("history_file")
    said: dict[str, Any] = {}
    if name and name != run_name(run_id, int(result["number"])):
        said["name"] = str(name)
    if result.get("interpreter"):  # they are those of the run; what older results name are its agent's
        said["package_versions"] = result.get("package_versions") or {}
    if file and paths.root / file != paths.reports(f"{run_id}-{int(result.get('attempts', 1))}"):
        said["history_file"] = str(file)
    return said


def _numbers(metrics: Any) -> dict[str, float]:
    """Return metrics as they were before they were written as JSON."""
    return {str(name): _number(value) for name, value in dict(metrics or {}).items()}


def _number(value: Any) -> float:
    return _SPELLED[value] if isinstance(value, str) else float(value)


def _reports(paths: SweepPaths, spec: SweepSpec, sweep: SweepRecord, run: RunRecord) -> tuple[Report, ...]:
    """Return what a run's last attempt reported, by the rule of a sweep that runs: to us, else to W&B."""
    attempt_id = f"{run.run_id}-{run.attempts}"
    reports = ReportTail(paths.reports(attempt_id)).read(final=True)
    if not reports:
        reports = WandbTail(
            paths.wandb_dir(run.run_id, attempt_id),
            notes=paths.wandb_notes(attempt_id),
            log=paths.log(attempt_id),
            cwd=str(sweep.meta.get("cwd", "")),
            run_id=run_card(spec, sweep.name, run, project=spec.project or "").only_id,
        ).read(final=True)
    return tuple(replace(report, seq=seq) for seq, report in enumerate(reports))


def _begun(paths: SweepPaths, spec: SweepSpec, found: FoundSweep, done: set[str]) -> list[RestoredRun]:
    """Return the runs that were begun and have no result: ended and unrecorded, or to be made again."""
    last: dict[str, int] = {}
    for file in paths.logs.glob("*.params.yaml"):
        run_id, _, ordinal = file.name.removesuffix(".params.yaml").rpartition("-")
        if ordinal.isdigit() and run_id not in done:
            last[run_id] = max(last.get(run_id, 0), int(ordinal))
    runs = []
    for run_id, newest in sorted(last.items()):
        try:
            runs.append(_undone(paths, spec, found, (run_id, newest)))
        except (OSError, SweepKitError, KeyError, TypeError, AttributeError):
            found.unknown.append(f"run {run_id}: it was begun, but its values cannot be read; it is left out")
    return runs


def _undone(paths: SweepPaths, spec: SweepSpec, found: FoundSweep, newest: tuple[str, int]) -> RestoredRun:
    """Return a run that has no result, by its id and the number of its last attempt."""
    run_id, ordinal = newest
    attempt_id = f"{run_id}-{ordinal}"
    text = paths.parameters(attempt_id).read_text(encoding="utf-8")
    values = parse(text).data
    params = {name: item["value"] for name, item in values.items() if name != "wandb_version"}
    number = _NUMBER.match(text)
    state, reason, outcome, failure = _end(paths.exit_file(attempt_id))
    run = RunRecord(
        run_id=run_id,
        sweep_id=found.sweep.sweep_id,
        number=int(number[1]) if number else 1 << 40,  # not known: after the others
        params=params,
        state=state,
        reason=reason if state.done else "",
        attempts=ordinal,
        failures=int(failure),
        started_at=paths.parameters(attempt_id).stat().st_mtime,
        ended_at=paths.exit_file(attempt_id).stat().st_mtime if state.done else None,
        outcome=outcome,
    )
    if not state.done:
        found.unknown.append(f"run {run_id}: nothing tells how it ended; it is made again")
        return RestoredRun(run=run)
    return RestoredRun(run=run, reports=_reports(paths, spec, found.sweep, run))


def _end(exit_file: Path) -> tuple[RunState, str, dict[str, Any], bool]:
    """Return what an exit file makes of a run: state, reason, outcome, whether it counts against the retries."""
    kept, facts = kept_end(exit_file), read_end(exit_file) or {}
    status = facts.get("status")
    outcome: dict[str, Any] = {
        "exit_code": status if isinstance(status, int) and status >= 0 else None,
        "signal": -status if isinstance(status, int) and status < 0 else None,
        **{name: facts[name] for name in ("duration_s", "peak_memory_mb", "cpu_s") if name in facts},
    }
    if kept is not None:
        return kept.outcome.state, kept.outcome.reason, {**outcome, **kept.facts}, kept.outcome.failure
    if status == 0:
        return RunState.FINISHED, "exit code 0", outcome, False
    return RunState.PENDING, "", {}, False
