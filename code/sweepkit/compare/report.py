"""From trainings to a report, and the report to terminal and files; shared by the two scripts that compare."""

import dataclasses
import importlib.metadata
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweepkit.analysis.budget import budgets
from sweepkit.analysis.trained import Trained, group, lower_is_better, uneven_seeds
from sweepkit.compare.options import StatisticsOptions
from sweepkit.compare.text import (
    ComparisonReport,
    comparison_json,
    comparison_latex,
    comparison_markdown,
    comparison_plain,
    comparison_text,
)
from sweepkit.files import write_atomically
from sweepkit.model.runs import ENDED_WELL
from sweepkit.reports.files import relative
from sweepkit.stats.comparison import ComparisonSettings, DecidingTest, compare
from sweepkit.text.json_text import json_text
from sweepkit.text.shown import say
from sweepkit.version import VERSION


def make_report(
    trainings: Sequence[Trained],
    options: StatisticsOptions,
    *,
    metric: str,
    notes: Sequence[str] = (),
    sweeps: Mapping[str, int] | None = None,
    noun: str = "model",
) -> ComparisonReport:
    """Return the comparison of the trainings.

    Args:
        trainings: Of any models.
        options: How they are compared.
        metric: The score.
        notes: What must be known beside.
        sweeps: Runs of the sweeps that the configurations come from; None says nothing of budgets.
        noun: What is compared.

    Raises:
        SweepKitError: The trainings cannot be grouped, or not be paired as asked.
    """
    grouped = group(trainings, metric, last=options.evaluation == "last")
    lower = lower_is_better(metric) if options.goal is None else options.goal == "minimize"
    settings = ComparisonSettings(
        alpha=options.alpha, margin=options.rope, higher_is_better=not lower, paired=options.paired
    )
    comparison = compare(grouped.groups, settings)
    done = [item for item in trainings if item.state in ENDED_WELL]
    warnings = [f"{text}: the scores do not mean the same thing, no pair is tested" for text in grouped.mismatches]
    if warnings:
        comparison = dataclasses.replace(comparison, pairs=(), method=DecidingTest.NONE)
    return ComparisonReport(
        metric=grouped.metric,
        context=_context(done, options),
        comparison=comparison,
        budgets=() if sweeps is None else tuple(budgets(trainings, sweeps)),
        warnings=(*warnings, *uneven_seeds(done)),
        notes=(*notes, *grouped.notes),
        versions=_versions(),
        runs=tuple(_run(item) for item in trainings),
        noun=noun,
    )


def _context(done: Sequence[Trained], options: StatisticsOptions) -> tuple[str, ...]:
    """Return what is the same of all trainings, as far as known."""
    parts = []
    for name, text in (("val_rows", "dev {} examples"), ("rouge_tokenizer", "tokenizer {}")):
        values = {str(item.facts[name]) for item in done if name in item.facts}
        if len(values) == 1:
            parts.append(text.format(values.pop()))
    if any(item.best is not item.last for item in done):  # a row of a CSV is one number, not one of several
        counted = {"last evaluation" if options.evaluation == "last" else item.counted for item in done}
        parts.append(f"{' or '.join(sorted(counted))} of each run")
    return tuple(parts)


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "scipy")}
    return {"python": sys.version.split()[0], "sweepkit": VERSION, **versions}


def _run(item: Trained) -> dict[str, object]:
    return {
        "model": item.model,
        "seed": item.seed,
        "state": item.state,
        "file": item.where,
        "best_metrics": dict(item.best),
        "duration_s": item.facts.get("duration_s"),
    }


def write_files(report: ComparisonReport, stem: Path) -> list[Path]:
    """Write the report as `<stem>.json`, `.md` and `.tex`, each in one step; return their paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, text in (
        (".json", comparison_json(report)),
        (".md", comparison_markdown(report)),
        (".tex", comparison_latex(report)),
    ):
        file = stem.with_name(stem.name + suffix)
        write_atomically(file, text)
        written.append(file)
    return written


def show(report: ComparisonReport, written: Sequence[Path], *, as_json: bool) -> None:
    """Print the report, and where it was written."""
    if as_json:
        say(json_text({"event": "comparison", **comparison_plain(report)}))
        return
    say(comparison_text(report, width=_terminal_width()))
    if written:
        say(f"\nfiles: {', '.join(relative(file) for file in written)}")


def _terminal_width() -> int:
    """Return the columns to write in: the terminal's, from 60 to 160; 100 where there is none."""
    return min(160, max(60, shutil.get_terminal_size((100, 24)).columns))
