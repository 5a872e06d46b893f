"""How a call ended a sweep: the object that `--json` prints last, and the same for people."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.analysis.program_versions import versions_sentence
from sweepkit.analysis.ranking import best_configuration, front_volume
from sweepkit.analysis.replicates import seed_notice
from sweepkit.model.audit import AUDIT
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import BEST
from sweepkit.model.objectives import has_result
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.reports.files import relative
from sweepkit.reports.next_steps import NextSteps
from sweepkit.reports.progress import configuration
from sweepkit.reports.seeds_table import best_in_words, best_parameters, best_row, sweep_rich
from sweepkit.reports.table import front_lines, front_rows, rows, values_row
from sweepkit.reports.terminal import make_console, print_table
from sweepkit.sweep_config.sweep import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepEnd:
    """A sweep at the end of a call.

    Args:
        name: Its name in the database.
        spec: The sweep.
        paths: Its files.
        runs: All of its runs.
        complete: Nothing is left to run.
        reason: Why the call ended.
        steps: How to go on with it.
        best_file: The best configuration, or those of the front; None without one.
        report: The report; None without one.
    """

    name: str
    spec: SweepSpec
    paths: SweepPaths
    runs: Sequence[RunRecord]
    complete: bool
    reason: str
    steps: NextSteps
    best_file: Path | None = None
    report: Path | None = None

    def plain(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "event": "sweep_ended",
            "sweep": self.name,
            "complete": self.steps.whole,
            "reason": self.reason,
            "counts": dict(Counter(run.state.value for run in self.runs)),
            "best": self._best_row(),
            **self._front(),
            "runs": rows(self.spec, self.runs),
            "directory": str(self.paths.root),
            "report": None if self.report is None else str(self.report),
            "next": self.steps.lines(),
        }

    def best(self) -> Configuration[RunRecord] | None:
        """Return the best configuration; None before any run has a value."""
        return best_configuration(self.runs, self.spec.objectives, seed_parameter=self.spec.extensions.seed_parameter)

    def _best_row(self) -> dict[str, Any] | None:
        best = self.best()
        if best is None:
            return None
        values = {**values_row(best.first, self.spec), **best_row(self.spec, self.runs, best)}
        return {"run_id": best.first.run_id, **values, "params": dict(best.first.params)}

    def _front(self) -> dict[str, Any]:
        """Return the front of a sweep with several objectives and its hypervolume; {} of any other."""
        metrics, seed = self.spec.metrics, self.spec.extensions.seed_parameter
        if not metrics:
            return {}
        volume, reference = front_volume(self.runs, metrics, seed_parameter=seed)
        return {"front": front_rows(self.spec, self.runs), "hypervolume": volume, "reference": reference}


def show_end(end: SweepEnd) -> None:
    """Print the table of runs, the best one, and where the files are."""
    console = make_console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=False)
    console.print()
    table, left = sweep_rich(end.spec, end.runs)
    print_table(console, table)
    if left:
        console.print(f"… and {left} more in {relative(end.paths.table)}")
    if notice := seed_notice(end.spec, end.runs):
        console.print(f"warning: {notice}", style="yellow")
    best = end.best()
    said = [(run.number, run.outcome) for run in end.runs]
    if notice := versions_sentence(said, best=None if best is None else best.first.number):
        console.print(f"warning: {notice}", style="yellow")
    for line in _looks_lines(end):
        console.print(f"warning: {line}", style="yellow")
    for line in _audit_lines(end):
        console.print(line)
    console.print()
    for line in _best_lines(end):
        console.print(line, style="bold green")
    for line in _places(end):
        console.print(line, soft_wrap=True)  # a command that is cut in two lines cannot be pasted


def _looks_lines(end: SweepEnd) -> list[str]:
    """Return the warning of unequal numbers of reports, where the best one counts; most sweeps need no table for it."""
    metric = end.spec.metric
    counts = {len(run.history) for run in end.runs if run.state is RunState.FINISHED}
    if metric is None or metric.value != BEST or len(counts) < 2:
        return []
    from sweepkit.analysis.looks import looks_sentences
    from sweepkit.analysis.table import from_runs

    return looks_sentences(from_runs(end.spec, end.runs))


def _audit_lines(end: SweepEnd) -> list[str]:
    """Return what the audit of the stopping rule found; most sweeps have none, and need no numpy at their end."""
    if not any(AUDIT in run.outcome for run in end.runs):
        return []
    from sweepkit.analysis.stopping_audit import audit_sentences
    from sweepkit.analysis.table import from_runs

    return audit_sentences(from_runs(end.spec, end.runs))


def _best_lines(end: SweepEnd) -> list[str]:
    spec = end.spec
    if spec.metrics:
        return front_lines(spec, end.runs)
    best = end.best() if spec.metric is not None else None
    if best is None:
        return []
    words, params = best_in_words(spec, end.runs, best), best_parameters(spec, best)
    return [f"best: {words}", f"      {configuration(params)}"]


def _places(end: SweepEnd) -> list[str]:
    """Return how it ended, where its files are, and how to go on."""
    lines = [
        _ended_line(end),
        f"files: {relative(end.paths.root)}/ (runs.csv, run_*_result.json, logs/)",
    ]
    if end.best_file is not None:
        what = "configurations of the front" if end.spec.metrics else "best configuration"
        lines.append(f"{what}: {relative(end.best_file)}")
    if end.report is not None:
        lines.append(f"report: {relative(end.report)}")
    return [*lines, *end.steps.lines()]


def _ended_line(end: SweepEnd) -> str:
    """Return how the sweep ended, in one line: a sweep with runs that failed is not called complete."""
    state = "complete" if end.steps.whole else "ended" if end.complete else "not complete"
    line = f"{end.name}: {state}, {end.reason}"
    if end.steps.failed and end.complete:
        line += f"; {end.steps.failed} of {len(end.runs)} runs failed"
    if end.complete and end.spec.objectives and not has_result(end.runs, end.spec.objectives):
        line += f"; no run has a value of {', '.join(metric.name for metric in end.spec.objectives)}"
    return line
