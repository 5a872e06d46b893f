"""Runs of earlier sweeps that an engine is told first (`sweepkit.prior_runs`)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweepkit.agents.run_cache import view_of
from sweepkit.errors import DataError, Problem, SpecError
from sweepkit.model.objectives import OUTCOME
from sweepkit.model.runs import RunState, RunView
from sweepkit.runner.plan import Plan
from sweepkit.search.define_by_run import SUGGESTIONS
from sweepkit.store.base import Store
from sweepkit.text.csv_text import read_csv


def prior_views(plan: Plan, store: Store) -> list[RunView]:
    """Return the finished runs of every source under `sweepkit.prior_runs`, numbered anew.

    A source is a result file, a `runs.csv`, or the name of a recorded sweep. Raises SpecError for one that is none.
    """
    views: list[RunView] = []
    problems = []
    for source in plan.spec.extensions.prior_runs:
        found = _views(plan, store, source)
        if found is None:
            problems.append(
                Problem(
                    where=plan.spec.source,
                    key="sweepkit.prior_runs",
                    rule="must be a recorded sweep, a run_*_result.json or a runs.csv",
                    got=repr(source),
                )
            )
        else:
            views.extend(found)
    if problems:
        raise SpecError(problems)
    return [
        RunView(
            number=number,
            run_id=view.run_id,
            params=view.params,
            state=view.state,
            history=view.history,
            summary=view.summary,
            objectives=view.objectives,
            value_rule=view.value_rule,
            info={key: view.info[key] for key in (SUGGESTIONS,) if key in view.info},  # the rest belongs to that sweep
        )
        for number, view in enumerate(views)
        if view.state.done
    ]


def _views(plan: Plan, store: Store, source: str) -> list[RunView] | None:
    record = store.sweep(source)
    if record is not None:
        return [view_of(run) for run in store.runs(record.sweep_id)]
    for folder in (Path(plan.spec.directory or "."), plan.cwd):
        file = folder / source
        if file.is_file():
            try:
                return list(_from_csv(plan, file) if file.suffix == ".csv" else _from_json(plan, file))
            except (DataError, OSError, ValueError, LookupError, TypeError, AttributeError):
                return None  # a file, but not one of those that a sweep leaves
    return None


def _from_json(plan: Plan, file: Path) -> Iterator[RunView]:
    result = json.loads(file.read_text(encoding="utf-8"))
    names = [metric.name for metric in plan.spec.objectives]
    values = result["best_metrics"] if plan.spec.metric else result.get(OUTCOME, {})
    view = _view(result["run_id"], result["sweep_params"], result["state"], [values.get(name) for name in names])
    yield replace(view, info=result.get("proposal") or {})


def _from_csv(plan: Plan, file: Path) -> Iterator[RunView]:
    for row in read_csv(file).to_dict("records"):
        flat = {name.removeprefix("params."): _cell(text) for name, text in row.items() if name.startswith("params.")}
        params = plan.spec.space.nest(
            {p.path: flat[p.name] for p in plan.spec.space.parameters if flat.get(p.name) is not None}
        )
        columns = [f"objective.{item.name}" for item in plan.spec.metrics] or ["value"]
        values = [float(row[column]) if row[column] else None for column in columns]
        yield _view(row["run_id"], params, row["state"], values)


def _cell(text: str) -> Any:
    if text == "":
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _view(run_id: str, params: dict[str, Any], state: str, values: list[float | None]) -> RunView:
    """Return a run that has one value, or one for each of several objectives."""
    view = RunView(number=0, run_id=run_id, params=params, state=RunState(state))
    if len(values) == 1:
        return replace(view, summary=values[0])
    return replace(view, objectives=tuple(() if value is None else (value,) for value in values))
