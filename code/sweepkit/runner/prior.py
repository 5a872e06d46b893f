"""Runs of earlier sweeps that an engine is told first (`sweepkit.prior_runs`)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweepkit.agents.run_cache import view_of
from sweepkit.analysis.cells import column_values, require_numbers, run_states, without_words
from sweepkit.analysis.columns import bare, column_of
from sweepkit.errors import DataError, Problem, SpecError
from sweepkit.model.objectives import OUTCOME
from sweepkit.model.runs import RunState, RunView
from sweepkit.runner.plan import Plan
from sweepkit.search.define_by_run import SUGGESTIONS
from sweepkit.store.base import Store
from sweepkit.text.table_files import DELIMITER, read_table


def prior_views(plan: Plan, store: Store | None) -> list[RunView]:
    """Return the finished runs of every source under `sweepkit.prior_runs`, numbered anew.

    A source is a result file, a `runs.csv`, or the name of a recorded sweep (none without a database). Raises
    SpecError for one that is none.
    """
    views: list[RunView] = []
    problems = []
    for source in plan.spec.extensions.prior_runs:
        found, why = None, ""
        try:
            found = _views(plan, store, source)
        except DataError as error:  # a table, but a cell or a column of it cannot be read
            why = f": {error}"
        if found is None:
            problems.append(
                Problem(
                    where=plan.spec.source,
                    key="sweepkit.prior_runs",
                    rule="must be a recorded sweep, a run_*_result.json or a runs.csv",
                    got=f"{source!r}{why}",
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
            mean_over=view.mean_over,
            info={key: view.info[key] for key in (SUGGESTIONS,) if key in view.info},  # the rest belongs to that sweep
        )
        for number, view in enumerate(views)
        if view.state.done
    ]


def _views(plan: Plan, store: Store | None, source: str) -> list[RunView] | None:
    record = None if store is None else store.sweep(source)
    if store is not None and record is not None:
        return [view_of(run) for run in store.runs(record.sweep_id)]
    for folder in (Path(plan.spec.directory or "."), plan.cwd):
        file = folder / source
        if file.is_file():
            try:
                return list(_from_table(plan, file) if file.suffix != ".json" else _from_json(plan, file))
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                return None  # a file, but not one of those that a sweep leaves
    return None


def _from_json(plan: Plan, file: Path) -> Iterator[RunView]:
    result = json.loads(file.read_text(encoding="utf-8"))
    names = [metric.name for metric in plan.spec.objectives]
    values = result["best_metrics"] if plan.spec.metric else result.get(OUTCOME, {})
    view = _view(
        result["run_id"], result["sweep_params"], RunState(result["state"]), [values.get(name) for name in names]
    )
    yield replace(view, info=result.get("proposal") or {})


def _from_table(plan: Plan, file: Path) -> Iterator[RunView]:
    """Yield the finished rows of a table of any tool: our runs.csv, Optuna's, MLflow's, W&B's, a spreadsheet's."""
    frame = read_table(file)
    mark = frame.attrs.get(DELIMITER, "")
    columns = {str(name): column_values(str(name), list(frame[name]), mark)[0] for name in frame.columns}
    known = {parameter.name: parameter for parameter in plan.spec.space.parameters}
    places = {bare(name): name for name in columns if bare(name) in known}
    scores = [_score_column(columns, item.name, several=bool(plan.spec.metrics)) for item in plan.spec.objectives]
    states, _ = run_states(columns, columns[scores[0]], str(file))
    values_of = {name: without_words(columns[name]) for name in scores}
    for name, found in values_of.items():
        require_numbers(name, found, str(file))
    for row in range(len(frame)):
        flat = {name: value for name, at in places.items() if (value := columns[at][row]) is not None}
        params = plan.spec.space.nest({known[name].path: value for name, value in flat.items()})
        values = [None if values_of[name][row] is None else float(values_of[name][row]) for name in scores]
        name = str(columns.get("run_id", columns.get("number", range(len(frame))))[row])
        yield _view(name, params, states[row], values)


def _score_column(columns: Mapping[str, Any], metric: str, *, several: bool) -> str:
    """Return the column of a metric; of one metric `value`, as we and Optuna call it. Raises DataError without one."""
    named = [f"objective.{metric}", metric] if several else ["value", metric]
    found = next((column for name in named if (column := column_of(list(columns), name)) is not None), None)
    if found is None:
        raise DataError(f"must have a column of {metric}, got {', '.join(columns)}")
    return found


def _view(run_id: str, params: dict[str, Any], state: RunState, values: list[float | None]) -> RunView:
    """Return a run that has one value, or one for each of several objectives."""
    view = RunView(number=0, run_id=run_id, params=params, state=state)
    if len(values) == 1:
        return replace(view, summary=values[0])
    return replace(view, objectives=tuple(() if value is None else (value,) for value in values))
