"""One HTML file that shows a whole sweep: words first, then figures, the table, what was stopped, failures, methods.

No network is needed to read it. Used for `optuna_study_report.html` and, with another title, for a sweep's
`report.html`.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev

from sweepkit.analysis.importance_result import Importance
from sweepkit.analysis.lead import lead
from sweepkit.analysis.lead_words import called, label_of
from sweepkit.analysis.summary import Reasons, reasons, saved, summary
from sweepkit.analysis.table import Row, RunTable
from sweepkit.files import write_atomically
from sweepkit.model.configurations import Configuration
from sweepkit.model.runs import ENDED_BADLY, RunState
from sweepkit.reports.figures.base import MOST_MARKS, Drawn, number
from sweepkit.reports.figures.page import document, figure_html, scripts
from sweepkit.reports.figures.slices import slices
from sweepkit.reports.figures.study import reading_order, study_figures
from sweepkit.reports.result_table import shown_params
from sweepkit.reports.run_table import TABLE_CSS, TABLE_JS, table_html
from sweepkit.reports.table import short

CONFIRMATION = "confirmation"  # the section right after the best configuration
_TOP = 5
_LISTED = 20

_CSS = """\
.lead { font-size: 1.05rem; max-width: 80ch; }
.lead p { margin: 0.3rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 0.8rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 0.4rem 0.8rem;
  min-width: 6rem; }
.tiles b { display: block; font-size: 1.25rem; }
.tiles span { color: var(--muted); font-size: 0.85rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 0.9rem; font-size: 0.9rem; }
a { color: var(--finished); }
.box { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 0.9rem;
  overflow-x: auto; }
.box + .box { margin-top: 0.6rem; }
.pairs { border-collapse: collapse; }
.pairs th, .pairs td { text-align: left; padding: 0.15rem 0.8rem 0.15rem 0; vertical-align: top; font-weight: normal; }
.pairs th { color: var(--muted); overflow-wrap: anywhere; min-width: 7rem; }
.ranks { border-collapse: collapse; } .ranks th, .ranks td { text-align: left; padding: 0.15rem 1rem 0.15rem 0;
  vertical-align: top; font-weight: normal; font-variant-numeric: tabular-nums; }
.ranks th { color: var(--muted); } .ranks td, .ranks th { white-space: nowrap; }
.worth td:nth-child(4) { white-space: normal; min-width: 7rem; }
@media (max-width: 480px) { .worth td:nth-child(n) { white-space: normal; padding-right: 0.6rem; } }
.pairs td { font-variant-numeric: tabular-nums; }
details > summary { cursor: pointer; color: var(--muted); }
.note { color: var(--muted); font-size: 0.9rem; max-width: 80ch; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A further part of a report, e.g. the confirmation of the best runs.

    Args:
        anchor: Letters only; where links point to.
        title: Plain text.
        body: HTML, escaped by whoever made it.
    """

    anchor: str
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """What a report says beside the runs.

    Args:
        title: Its heading.
        importance: Of the first metric, None leaves it out.
        methods: Sentences on how the sweep was run.
        environment: Versions, host, commit: name → value.
        sections: Further parts, after the figures; a confirmation comes before them.
        confirmed: What is known of runs that were confirmed, by run id; the others are unconfirmed.
        others: Of several metrics the runs by each further one, for its learning curves.
    """

    title: str = "Optuna study"
    importance: Importance | None = None
    methods: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    confirmed: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[RunTable] = ()


def study_report(table: RunTable, context: ReportContext) -> str:
    """Return the report as HTML."""
    pictured = len(table.ranked()) > 1  # one run is a point in every picture
    small = slices(table, order=reading_order(context.importance)) if pictured else []
    drawn = study_figures(table, context.importance, context.others) if pictured else []
    figures = [figure for figure in drawn if figure.data or figure.name == "param_importances"]
    early = [section for section in context.sections if section.anchor == CONFIRMATION]
    sections = [
        _best(table, context.confirmed),
        *early,
        *([_figures(figures, table)] if figures else []),
        *([_slices(small)] if small else []),
        *(section for section in context.sections if section not in early),
        _stopped(table),
        _failures(table),
        Section(anchor="runs", title="All runs", body=table_html(table)),
        _methods(context),
    ]
    shown = [section for section in sections if section.body]
    links = "".join(f'<a href="#{section.anchor}">{html.escape(section.title)}</a>' for section in shown)
    lead = _paragraphs(summary(table, confirmed=bool(context.confirmed)))
    body = [
        f"<header><h1>{html.escape(_heading(table, context))}</h1>{_tiles(table)}",
        f'<div class="lead">{lead}</div><nav>{links}</nav></header>',
        *(f'<section id="{s.anchor}"><h2>{html.escape(s.title)}</h2>{s.body}</section>' for s in shown),
    ]
    tail = scripts([*figures, *small], packed=len(table.rows) > MOST_MARKS) + f"\n<script>{TABLE_JS}</script>"
    return document(_heading(table, context), "\n".join(body), css=_CSS + TABLE_CSS, tail=tail)


def write_study_report(path: Path, table: RunTable, context: ReportContext) -> Path:
    """Write the report in one step: the whole file or none. Its folder is made when it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, study_report(table, context))
    return path


def _heading(table: RunTable, context: ReportContext) -> str:
    return f"{context.title}: {table.name}" if table.name else context.title


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def _tiles(table: RunTable) -> str:
    """Return the numbers that are looked for first."""
    tiles = [("runs", str(len(table.rows)))]
    found = lead(table)
    if found is not None:
        mean = "mean " if len(found.first.runs) > 1 else ""
        tiles.insert(0, (f"best {mean}{found.metric.name}", number(found.first.value)))
    for state in RunState:
        count = sum(row.state is state for row in table.rows)
        if count:
            tiles.append((state.value, str(count)))
    items = "".join(f"<li><b>{html.escape(value)}</b><span>{html.escape(name)}</span></li>" for name, value in tiles)
    return f'<ul class="tiles">{items}</ul>'


def _best(table: RunTable, confirmed: Mapping[str, str]) -> Section:
    """Return the best configuration, and the five best with what each is worth: a single look."""
    ranked = table.configurations()
    if not ranked or table.metric is None:
        return Section(anchor="best", title="Best configuration", body="")
    best = ranked[0]
    values = [(name, short(value)) for name, value in shown_params(best, table).items()]
    body = [f'<div class="box">{_pairs(values)}</div>']
    if len(ranked) > 1:
        heads = ("rank", "run", "value", "")
        head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
        rows = "".join(_rank_row(rank, item, label_of(item, confirmed)) for rank, item in enumerate(ranked[:_TOP], 1))
        body.append(f'<div class="box"><table class="ranks worth"><tr>{head}</tr>{rows}</table></div>')
    by = f" by {table.metric.name} alone" if len(table.metrics) > 1 else ""
    by += " by the sweep's own runs" if confirmed else ""
    return Section(anchor="best", title=f"Best configuration{by}", body="".join(body))


def _rank_row(rank: int, item: Configuration[Row], worth: str) -> str:
    """Return a configuration's line: its runs, its value, what that is worth."""
    value = number(item.value)
    if len(item.runs) > 1:
        value += f" ± {stdev(item.scores):.2g}"
        worth = f"mean ± sd of {len(item.runs)} seeds, {worth}"
    if item.stopped:
        worth += ", stopped early"
    cells = (str(rank), called(item).removeprefix("run "), value, worth)
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _figures(figures: Sequence[Drawn], table: RunTable) -> Section:
    body = "".join(figure_html(drawn, heading="h3") for drawn in figures)
    if len(table.rows) > MOST_MARKS:
        sampled = f"at most {MOST_MARKS:,} marks or lines of a kind: the extremes and every n-th of the others"
        text = f"Of the {len(table.rows):,} runs the pictures show {sampled}. Curves and numbers are of all runs."
        body = f'<p class="note">{text}</p>{body}'
    return Section(anchor="figures", title="Figures", body=body)


def _slices(figures: Sequence[Drawn]) -> Section:
    note = (
        '<p class="note">Each parameter against the metric. Red: the best tenth; diamonds: stopped early; '
        "shaded: where the "
        "best tenth lies; dotted: running median; crosses at the foot: runs without a value.</p>"
    )
    cards = "".join(figure_html(drawn, heading="h3") for drawn in figures)
    return Section(anchor="parameters", title="Parameters", body=f'{note}<div class="grid">{cards}</div>')


def _stopped(table: RunTable) -> Section:
    groups = reasons(table, [RunState.STOPPED])
    if not groups:
        return Section(anchor="stopped", title="Stopped early", body="")
    text = saved(table)
    lead = f"<p>{html.escape(text)}</p>" if text else ""
    return Section(anchor="stopped", title="Stopped early, and why", body=lead + _grouped(groups))


def _failures(table: RunTable) -> Section:
    groups = reasons(table, ENDED_BADLY)
    if not groups:
        return Section(anchor="failures", title="Failures", body="")
    return Section(anchor="failures", title="Failures", body=_grouped(groups))


def _grouped(groups: Sequence[Reasons]) -> str:
    """Return each reason with its runs, which unfold."""
    found = []
    for group in groups:
        rows = group.rows[:_LISTED]
        items = "".join(
            f"<tr><th>run {row.number} ({html.escape(row.run_id)})</th><td>{html.escape(row.reason)}</td></tr>"
            for row in rows
        )
        more = len(group.rows) - len(rows)
        rest = f'<p class="note">and {more} more; the table has all</p>' if more else ""
        count = f"{len(group.rows)} run{'' if len(group.rows) == 1 else 's'}"
        found.append(
            f'<div class="box"><details><summary><b>{count}</b>: {html.escape(group.reason)}</summary>'
            f'<table class="pairs">{items}</table>{rest}</details></div>'
        )
    return "".join(found)


def _methods(context: ReportContext) -> Section:
    body = _paragraphs(context.methods)
    if context.environment:
        body += f'<div class="box">{_pairs(list(context.environment.items()))}</div>'
    return Section(anchor="methods", title="Methods and environment", body=body)


def _pairs(values: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a table of two columns."""
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in values)
    return f'<table class="pairs">{rows}</table>'
