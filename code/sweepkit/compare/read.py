"""Read trainings to compare: from result folders, from a recorded sweep, from a CSV of any tool."""

import glob
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweepkit.analysis.cells import column_values, is_empty, require_numbers, run_states, state_column, without_words
from sweepkit.analysis.columns import bare, column_of, direction_of
from sweepkit.analysis.trained import BEST_EVALUATION, Trained, short_name
from sweepkit.called import typed
from sweepkit.errors import DataError, SweepKitError
from sweepkit.model.metric import BEST, Metric, mean_of_last
from sweepkit.model.numbers import how_many
from sweepkit.model.objectives import counted_metrics, value_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.reports.examples import EXAMPLES, read_examples
from sweepkit.reports.files import relative
from sweepkit.reports.table import short
from sweepkit.runner.find_sweep import metric_beside
from sweepkit.text.nested_tables import flattened
from sweepkit.text.table_files import DELIMITER, READ_AS, is_table, read_table

RESULT = "training_results.json"
_FOLDER = re.compile(r"(?P<model>.+?)[-_]seed[-_]?(?P<seed>\d+)")
_FACTS = (
    "steps",
    "duration_s",
    "trainable_parameters",
    "parameters",
    "train_rows",
    "val_rows",
    "rouge_tokenizer",
    "data",
    "device",
    "versions",
    "architecture",
)


# -- result folders ---------------------------------------------------------------------------------------------------


def read_results(patterns: Sequence[str]) -> list[Trained]:
    """Return the trainings below the folders that match; in the order of their paths.

    Args:
        patterns: Folders, files, or patterns such as `outputs/*_seed*`.

    Raises:
        DataError: Nothing matches, or a file is no result.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(os.path.expanduser(pattern))) or ([pattern] if Path(pattern).exists() else [])
        for match in matches:
            files.update(dict.fromkeys(_files(Path(match))))
    if not files:
        raise DataError(f"{' '.join(patterns)}: must be folders with results/{RESULT} in them, got none; train first")
    return [read_training(file) for file in files]


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place] if place.suffix == ".json" else []
    near = [place / "results" / RESULT, place / RESULT]
    return next(([file] for file in near if file.is_file()), sorted(place.glob(f"**/{RESULT}")))


def read_training(file: Path, *, model: str | None = None, seed: str | None = None) -> Trained:
    """Return the training of a `training_results.json`, with the scores of its examples where they lie beside it.

    Args:
        file: The result.
        model: What it counts as; None takes the folder's name before "_seed", else the name of the checkpoint.
        seed: None takes the result's own, else the folder's.

    Raises:
        DataError: The file cannot be read, or is not such a result.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: must be a readable JSON file, got: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("best_metrics") or {}, dict):
        raise DataError(f"{file}: must hold an object with best_metrics; is it a training's result?")
    said = content.get("config")
    config: dict[str, Any] = said if isinstance(said, dict) else {}
    folder = file.parent.parent if file.parent.name == "results" else file.parent
    named = _FOLDER.fullmatch(folder.name)
    own = content.get("seed")
    checkpoint = _inner(config, "model", "name")
    best = _short(content.get("best_metrics") or {})
    folds = best.get("fold")
    return Trained(
        model=model or (named["model"] if named else Path(str(checkpoint or folder.name)).name),
        seed=seed or (str(own) if own is not None else named["seed"] if named else folder.name),
        where=relative(file),
        best=best,
        counted=f"mean over {folds:.0f} folds" if isinstance(folds, int | float) else BEST_EVALUATION,
        last=_short(content.get("last_metrics") or content.get("best_metrics") or {}),
        state=str(content.get("state", "finished")),
        config=config,
        facts={name: content[name] for name in _FACTS if content.get(name) is not None},
        examples=read_examples(file.with_name(EXAMPLES)),
    )


def _short(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {short_name(str(name)): value for name, value in metrics.items()}


def _inner(config: Any, section: str, name: str) -> Any:
    inner = config.get(section) if isinstance(config, Mapping) else None
    return inner.get(name) if isinstance(inner, Mapping) else None


# -- a recorded sweep -------------------------------------------------------------------------------------------------


def sweep_groups(
    runs: Sequence[RunRecord], by: str, metric: Metric | None, name: str
) -> tuple[list[Trained], list[str]]:
    """Return the runs of a sweep grouped by a parameter, and what must be known of them.

    Args:
        runs: Of the sweep.
        by: The parameter, with or without its dots.
        metric: The sweep's own, whose value a run has by the sweep's ranking; None without one.
        name: The score to compare.

    Raises:
        SweepKitError: No run has the parameter.
    """
    flat = [flattened(run.params) for run in runs]
    known = list(dict.fromkeys(key for row in flat for key in row))
    column = next((key for key in known if key == by or key.rpartition(".")[2] == by), None)
    if column is None:
        raise SweepKitError(f"--by: must be a parameter of the sweep ({', '.join(known) or 'it has none'}), got {by!r}")
    others = [key for key in known if key != column and len({repr(row.get(key)) for row in flat}) > 1]
    repeated: Counter[tuple[str, str]] = Counter()
    trained = []
    for run, row in zip(runs, flat, strict=True):
        if column not in row and not run.state.done:
            continue  # a trial that was only asked for, or waits: it belongs to no group yet
        label = short(row.get(column))
        rest = _rest(row, others)
        repeated[label, rest] += 1
        again = f" #{repeated[label, rest]}" if repeated[label, rest] > 1 else ""
        trained.append(_of_record(run, label, rest + again, metric, name))
    notes = []
    if free := [key for key in others if key.rpartition(".")[2] != "seed"]:
        notes.append(f"inside the groups {', '.join(free)} vary, too: the spread is not that of seeds alone")
    return trained, notes


def _rest(row: Mapping[str, Any], others: Sequence[str]) -> str:
    """Return what tells the runs of a group apart: the seed alone where only that varies."""
    if len(others) == 1 and others[0].rpartition(".")[2] == "seed":
        return short(row.get(others[0]))
    return ", ".join(f"{key}={short(row[key])}" for key in others if key in row) or "run"


def _of_record(run: RunRecord, model: str, seed: str, metric: Metric | None, name: str) -> Trained:
    best = _short(counted_metrics(run, metric))
    value = value_of(run, metric) if metric is not None and short_name(metric.name) == short_name(name) else None
    if value is not None:
        best[short_name(name)] = value
    state = "finished" if run.state is RunState.FINISHED else run.state.value
    reason = run.reason if run.state is not RunState.FINISHED else ""
    if run.state is RunState.STOPPED:  # it had a smaller budget than the others
        state, reason = "stopped early", run.reason
    facts = {"duration_s": run.outcome["duration_s"]} if "duration_s" in run.outcome else {}
    return Trained(
        model=model,
        seed=seed,
        where=f"run {run.run_id}",
        best=best,
        counted=_counted(run, metric),
        last=_short(run.last_metrics),
        state=state,
        reason=reason,
        facts=facts,
    )


def _counted(run: RunRecord, metric: Metric | None) -> str:
    """Return what a run's value is of its evaluations, in words."""
    if run.mean_over:
        return f"mean over {how_many(len(run.history), run.mean_over)}"
    rule = run.value_rule or (metric.value if metric is not None else BEST)
    several = mean_of_last(rule)
    if several and several > 1:
        return f"mean of the last {several} evaluations"
    return f"{rule} evaluation"


# -- a table ----------------------------------------------------------------------------------------------------------


def csv_groups(
    file: Path, by: str, metric: str, seed_column: str | None, notes: list[str] | None = None
) -> list[Trained]:
    """Return the rows of a table grouped by a column. Rows that did not finish are kept with their state.

    Args:
        file: As `text.table_files.read_table` takes it.
        by: The column of the groups, as `analysis.columns.column_of` finds it; so is that of the scores.
        metric: The column of the scores; a score that is missing counts as not finite.
        seed_column: The column that tells the rows of a group apart; None takes "seed" where there is one, else the
            number of the row in its group.
        notes: Takes a sentence for how numbers were read, and for the columns that were taken.

    Raises:
        DataError: The file cannot be read, has no row, lacks a column, or a score is no number.
    """
    table = read_table(file)
    if table.empty:
        raise DataError(f"{file}: must have a header and at least one row, got none")
    heads = list(table.columns)
    group, score, said = _column(file, heads, by), _column(file, heads, metric), notes if notes is not None else []
    asked = _column(file, heads, seed_column) if seed_column else next((h for h in heads if bare(h) == "seed"), None)
    scores, sentence = column_values(score, list(table[score]), table.attrs.get(DELIMITER, ""))
    scores = without_words(scores)  # such a score counts as not finite
    require_numbers(score, scores, str(file))
    states, inferred = run_states({name: list(table[name]) for name in heads}, scores, str(file))
    said += filter(None, [*table.attrs.get(READ_AS, ()), sentence, inferred])
    at_state = state_column(heads) or "none"
    said.append(f"columns: groups {group}, score {score}, seeds {asked or 'by row'}, states {at_state}")
    counts: Counter[tuple[str, str]] = Counter()
    trained = []
    for row, (label, value) in enumerate(zip(_labels(list(table[group])), scores, strict=True), 1):
        if not label and not states[row - 1].done:
            continue  # a trial that was only asked for, or waits: it belongs to no group yet
        name = label or "(empty)"
        seed = "" if asked is None or is_empty(table[asked].iloc[row - 1]) else str(table[asked].iloc[row - 1])
        counts[name, seed] += 1
        again = str(counts[name, seed]) if not seed else seed if seed_column else f"{seed} #{counts[name, seed]}"
        one = {short_name(metric): math.nan if value is None else float(value)}
        trained.append(
            Trained(
                model=name,
                seed=again if not seed or counts[name, seed] > 1 else seed,
                where=f"line {row + 1}",
                best=one,
                last=one,
                state="stopped early" if states[row - 1] is RunState.STOPPED else states[row - 1].value,
            )
        )
    return trained


def _labels(cells: Sequence[Any]) -> list[str]:
    """Return the names of groups, "" where a cell is empty; whole numbers are written as such, 8.0 as 8.

    >>> _labels(["8.0", "16.0", ""]), _labels(["t5", "1.0"])
    (['8', '16', ''], ['t5', '1.0'])
    """
    names = ["" if is_empty(cell) else short(cell) for cell in cells]
    if all(re.fullmatch(r"-?\d+(\.0+)?", name) for name in names if name):  # a column with gaps is one of floats
        return [name.partition(".")[0] for name in names]
    return names


def _column(file: Path, heads: Sequence[str], name: str) -> str:
    """Return the column that a name means. Raises DataError when it means none, or several."""
    found = column_of(heads, name)
    if found is None:
        raise DataError(f"{file}: must have the column {name!r}, got {', '.join(heads)}")
    return found


def goal_of(metric: str, file: Path, notes: list[str]) -> str:
    """Return which way a table's column is better: as the `sweep.yaml` beside a runs.csv of ours says, else its name.

    Raises:
        DataError: Neither says it.
    """
    own = metric_beside(file)
    if own is not None and metric in ("value", own.name):
        return own.goal.value
    found = direction_of(metric)
    if found is None:
        raise DataError(f"{file}: --goal must say whether {metric} is to maximize or to minimize, got none")
    notes.append(f"{metric} is to {found.value}, by its name; --goal says otherwise")
    return found.value


def tables_and_results(patterns: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the tables among patterns, wild cards expanded, and the patterns of results: folders and .json files."""
    named = [pattern for pattern in patterns if is_table(pattern) and not pattern.lower().endswith(".json")]
    files = [Path(file) for pattern in named for file in sorted(glob.glob(os.path.expanduser(pattern))) or [pattern]]
    return files, [pattern for pattern in patterns if pattern not in named]


_MODEL_COLUMNS = ("model", "model.name", "model_name", "architecture", "모델")


def model_groups(files: Sequence[Path], metric: str, notes: list[str]) -> list[Trained]:
    """Return the rows of tables grouped by the column that names their model.

    Args:
        files: As `text.table_files.read_table` takes them.
        metric: The column of the scores.
        notes: Takes a sentence for everything that was inferred.

    Raises:
        DataError: One cannot be read, or names no models; says what to do.
    """
    found = []
    for file in files:
        heads = list(read_table(file).columns)
        by = next((name for name in _MODEL_COLUMNS if column_of(heads, name) is not None), None)
        if by is None:
            other = typed("ttest", "--csv", file, "--by", "COLUMN", "--metric", metric)
            raise DataError(
                f"{file}: must have a column of models ({', '.join(_MODEL_COLUMNS)}), got {', '.join(heads)}; "
                f"to compare by another column: {other}"
            )
        found += csv_groups(file, by, metric, None, notes)
    return found
