"""What came out of a sweep, for the analysis scripts: as lines for a terminal, as values for JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.failures import failure_sentences
from sweepkit.analysis.lead import Lead
from sweepkit.analysis.lead_words import called, label_of, lead_sentences, verdict
from sweepkit.analysis.looks import looks_sentences
from sweepkit.analysis.ranking import front_of
from sweepkit.analysis.stopping_audit import audit_of
from sweepkit.analysis.summary import counted, reasons, saved, versions_of
from sweepkit.analysis.table import Row, RunTable
from sweepkit.called import place_words, typed
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import Metric
from sweepkit.model.runs import ENDED_BADLY, RunState
from sweepkit.paths import SweepPaths
from sweepkit.reports.confirmation import confirmation_text, from_plain, labels_of, read_confirmation
from sweepkit.reports.files import relative
from sweepkit.reports.result_table import best_lines, result_table
from sweepkit.reports.source import Source
from sweepkit.reports.stopping_replay import replay_plain
from sweepkit.reports.table import short
from sweepkit.reports.terminal import make_console, print_table
from sweepkit.text.json_text import picked

if TYPE_CHECKING:
    from rich.table import Table


def analysis_text(source: Source, found: Lead | None, *, limit: int | None, width: int | None = None) -> str:
    """Return what came out of a sweep for a terminal: its table, its best configuration, what was saved and failed.

    Args:
        source: The sweep.
        found: Its best against its second best; None when no run has a value.
        limit: Rows of the table; None shows all.
        width: Columns of a terminal that shows colours; None writes lines of up to 200 columns without any.
    """
    table = source.table
    lines = [f"{table.name}: {counted(table)}" if table.name else counted(table)]
    if table.rows:
        lines.append(_drawn(result_table(table, limit=limit), width))
        if limit is not None and len(table.rows) > limit:
            lines.append(f"… and {len(table.rows) - limit} more; --limit 0 shows all")
    lines += ["", *_conclusion(source, found), *filter(None, [saved(table), versions_of(table)])]
    for group in reasons(table, ENDED_BADLY):
        lines.append(f"{len(group.rows)} without a value: {group.reason}")
    lines += failure_sentences(table)
    return "\n".join(lines)


def _drawn(table: "Table", width: int | None) -> str:
    console = make_console(width=width or 200, force_terminal=width is not None, highlight=False)
    with console.capture() as drawn:
        print_table(console, table)
    return drawn.get().rstrip("\n")


def _conclusion(source: Source, found: Lead | None) -> list[str]:
    """Return the best configuration and how it stands against the second."""
    metric = source.table.metric
    if metric is None:
        return ["The sweep names no metric: its runs cannot be ranked."]
    if found is None:
        return [f"No run has a value of {metric.name}: there is no best configuration."]
    seeds = len(found.first.runs)
    mean, over = ("mean ", f" over {seeds} seeds") if seeds > 1 else ("", "")
    lines = [f"best configuration: {called(found.first)}, {mean}{metric.name} = {found.first.value:.5g}{over}"]
    lines += [*best_lines(found.first, source.table), *_how_to_train(source)]
    if len(source.table.metrics) > 1:
        lines.append(f"Several objectives: this compares by {metric.name} alone; {_front(source.table)}.")
    confirmed = [] if source.sweep is None else _confirmed(source)
    by = ", by the sweep's own runs" if confirmed else ""
    lines += [
        "",
        f"best against second best{by}: {verdict(found)}",
        *lead_sentences(found, confirmed=bool(confirmed)),
        *looks_sentences(source.table),
        *confirmed,
    ]
    asks = source.spec is not None and source.spec.confirmable
    if source.sweep is not None and not source.sweep.confirms and found.second is not None and not confirmed and asks:
        command = typed("confirm", source.table.name, *place_words(source.folder.parent))
        lines.append(f"Fresh seeds decide it: {command}")
    return [*lines, ""]


def _confirmed(source: Source) -> list[str]:
    """Return what the confirmation of the best runs found, [] when there was none."""
    found = read_confirmation(source.folder)
    return [] if found is None else ["", confirmation_text(from_plain(found))]


def _how_to_train(source: Source) -> list[str]:
    """Return the command that trains with the best configuration, where a file of it is there."""
    if source.sweep is None:
        return []
    file = SweepPaths(source.folder.parent, source.sweep.name).best_config
    if not file.is_file():
        return []
    trains = source.spec is not None and Path(source.spec.program or "").name == "trainer.py"
    return [f"train it: {typed('train', '--config', relative(file))}" if trains else f"file: {relative(file)}"]


def _front(table: RunTable) -> str:
    """Return how many runs no other one beats."""
    count = len(_front_rows(table))
    return f"{count} run{' is' if count == 1 else 's are'} beaten by no other on all of them"


def _front_rows(table: RunTable) -> list[Row]:
    """Return the rows of the table that no other one beats on all objectives; the best on the first one leads."""
    return [item.first for item in front_of(table.configurations(), table.metrics, lambda row: row.number)]


def top_lines(source: Source, most: int) -> list[str]:
    """Return the best configurations, a line each, with what its confirmation said, or that it has none."""
    confirmed = labels_of(source.folder)
    columns = causes(source.table)
    lines = []
    for rank, item in enumerate(source.table.configurations()[:most], 1):
        params = item.first.params
        shown = "  ".join(f"{c.name}={short(params[c.name])}" for c in columns if c.name in params)
        seeds = f"  mean of {len(item.runs)} seeds" if len(item.runs) > 1 else ""
        lines.append(f"{rank}. {called(item)}  {item.value:.5g}{seeds}  {label_of(item, confirmed)}  {shown}")
    return lines


def analysis_plain(source: Source, found: Lead | None, report: Path | None) -> dict[str, Any]:
    """Return the analysis as values for JSON."""
    table = source.table
    shown: dict[str, Any] = {
        "sweep": table.name,
        "metrics": {metric.name: metric.goal.value for metric in table.metrics},
        "counts": {state.value: n for state in RunState if (n := sum(row.state is state for row in table.rows))},
        "best": None if found is None else _contender(found.first),
        "second": None if found is None or found.second is None else _contender(found.second),
        "comparison": None,
        "failures": failure_sentences(table),
        "stopping_audit": _audit(table),
        "confirmation": read_confirmation(source.folder),
        "runs": [_run(row, table.metrics) for row in table.best_first()],
        "report": None if report is None else str(report),
    }
    if found is not None:
        shown["comparison"] = {
            "verdict": verdict(found),
            "sureness": found.sureness.value,
            "difference": found.difference,
            "differs": {name: list(pair) for name, pair in found.differs.items()},
            "configurations": found.configurations,
            "seed_sd": None if found.sd is None else found.sd[0],
            "seed_sd_df": None if found.sd is None else found.sd[1],
            "lead_by_luck_95": found.luck,
            "sentences": [*lead_sentences(found), *looks_sentences(table)],
        }
    if len(table.metrics) > 1:
        shown["front"] = [row.run_id for row in _front_rows(table)]
    return shown


def _audit(table: RunTable) -> dict[str, Any] | None:
    """Return what an audit of the stopping rule found, None without one."""
    found = audit_of(table)
    if found is None:
        return None
    others = replay_plain(found.others)
    return {**picked(found, "audited", "stops", "false", "rate", "low", "high", "regret"), "replayed": others}


def _contender(item: Configuration[Row]) -> dict[str, Any]:
    return {
        "value": item.value,
        "values": list(item.scores),
        **picked(item.first, "params"),
        "run_ids": [row.run_id for row in item.runs],
        "numbers": [row.number for row in item.runs],
        "stopped_early": item.stopped,
    }


def _run(row: Row, metrics: Sequence[Metric]) -> dict[str, Any]:
    return {
        **picked(row, "number", "run_id", "state", "value"),
        **(picked(row, "objectives") if len(metrics) > 1 else {}),
        **picked(row, "at", "reports", "last", "params", "duration_s", "attempts", "reason"),
    }
