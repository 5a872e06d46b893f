"""The table of all runs for a report: sorted by a click on a column's name, filtered by words and state.

Plain HTML and a little JavaScript; without that it is a table, best run first.
"""

import html

from sweepkit.analysis.program_versions import VERSION, several_versions
from sweepkit.analysis.summary import span
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.runs import RunState
from sweepkit.reports.resources import memory_words, peak_memory_mb
from sweepkit.reports.table import short

_MOST_ROWS = 500  # a report is to open at once; the live page has all of any sweep

TABLE_CSS = """\
.tools { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; margin-bottom: 0.5rem; }
.tools input, .tools select { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.3rem 0.5rem; min-width: 0; max-width: 100%; }
.tools input { flex: 1 1 14rem; }
.runs { overflow: auto; max-height: 80vh; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; }
.runs table { border-collapse: collapse; font-size: 0.85rem; width: 100%; }
.runs th { position: sticky; top: 0; background: var(--panel); text-align: left; vertical-align: bottom;
  border-bottom: 1px solid var(--line); }
.runs th button { all: unset; cursor: pointer; padding: 0.35rem 0.6rem; display: block; max-width: 13rem;
  white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; font-weight: 600; }
.runs th button:focus-visible { outline: 2px solid var(--finished); }
.runs th[aria-sort="ascending"] button::after { content: " ▲"; }
.runs th[aria-sort="descending"] button::after { content: " ▼"; }
.runs td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--grid); vertical-align: top; white-space: nowrap;
  font-variant-numeric: tabular-nums; max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
.runs td.reason { max-width: 26rem; }
.runs tbody tr { cursor: pointer; }
.runs tr.open td { white-space: normal; overflow-wrap: anywhere; }
.runs tr.open td.reason { min-width: 16rem; }
.runs td.none { color: var(--muted); }
.finished { color: var(--finished); } .stopped { color: var(--stopped); } .failed { color: var(--failed); }
.diverged { color: var(--diverged); } .running { color: var(--running); } .pending { color: var(--muted); }
"""

TABLE_JS = """\
(() => {
  const table = document.querySelector(".runs table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const words = document.getElementById("words"), state = document.getElementById("state");
  const shown = document.getElementById("shown");
  const text = rows.map((row) => row.textContent.toLowerCase());
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      const here = !state.value || row.dataset.state === state.value;
      const fits = here && wanted.every((word) => text[index].includes(word));
      row.hidden = !fits;
      count += fits;
    });
    shown.textContent = `${count} of ${rows.length} runs`;
  };
  words.addEventListener("input", filter);
  state.addEventListener("change", filter);
  const key = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? String(a).localeCompare(String(b)) : x - y;
  };
  const sort = (head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    table.tHead.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = [...rows].sort((a, b) => {
      const x = key(a, column), y = key(b, column), order = compare(x, y);
      return x === "" || y === "" ? order : down ? -order : order;
    });
    body.append(...sorted);
  };
  table.tHead.querySelectorAll("th").forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => sort(head, column)));
  // A click on a row unfolds what is cut; one that ends a selection of text is none.
  body.addEventListener("click", (event) => {
    if (String(getSelection())) return;
    event.target.closest("tr").classList.toggle("open");
  });
  filter();
})();
"""


def table_html(table: RunTable) -> str:
    """Return the table of all runs, best first, those without a value last; "" without runs."""
    if not table.rows:
        return ""
    rows = table.best_first()[:_MOST_ROWS]
    columns = table.varying()
    changed = several_versions([(row.number, row.facts) for row in rows])
    memory = any(peak_memory_mb(row.facts) is not None for row in rows)
    names = [
        "#",
        "run",
        "name",
        "state",
        *(m.name for m in table.metrics),
        *(c.name for c in columns),
        "time",
        *(["peak MiB"] if memory else []),
        "attempts",
        *(["program"] if changed else []),
        "reason",
    ]
    head = "".join(
        f'<th scope="col"><button type="button" title="{html.escape(name)}">{html.escape(name)}</button></th>'
        for name in names
    )
    lines = "".join(
        _line(row, table, [column.name for column in columns], changed=changed, memory=memory) for row in rows
    )
    present = [state for state in RunState if any(row.state is state for row in table.rows)]
    choices = "".join(f'<option value="{state.value}">{state.value}</option>' for state in present)
    hint = '<p class="note">A click on a name sorts, one on a row unfolds it.</p>'
    if len(table.rows) > len(rows):
        hint += f'<p class="note">The first {len(rows):,} of {len(table.rows):,} runs; runs.csv has all of them.</p>'
    return (
        '<div class="tools"><input id="words" type="search" placeholder="filter: words that a row must have" '
        'aria-label="filter"><select id="state" aria-label="state"><option value="">every state</option>'
        f'{choices}</select><span id="shown" class="note"></span></div>'
        f'<div class="runs" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
        f"{hint}"
    )


def _line(row: Row, table: RunTable, names: list[str], *, changed: bool, memory: bool) -> str:
    cells = [
        _cell(str(row.number), row.number),
        _cell(row.run_id),
        _cell(row.name),
        f'<td class="{row.state.value}">{row.state.value}</td>',
    ]
    for index in range(len(table.metrics)):
        value = row.objective(index)
        cells.append(_cell("" if value is None else f"{value:.5g}", value))
    for name in names:
        if name in row.params:
            held = row.params[name]
            cells.append(_cell(short(held), None if isinstance(held, str) else held))
        else:
            cells.append('<td class="none" data-v="">n/a</td>')
    cells.append(_cell("" if row.duration_s is None else span(row.duration_s), row.duration_s))
    if memory:
        peak = peak_memory_mb(row.facts)
        cells.append(_cell("" if peak is None else f"{peak:.0f}", peak))
    cells.append(_cell(str(row.attempts), row.attempts))
    if changed:
        cells.append(_cell(str(row.facts.get(VERSION, ""))))
    # "exit code 0" says nothing
    reason = memory_words(row.facts) if row.state is RunState.FINISHED else row.reason
    escaped = html.escape(reason)
    cells.append(f'<td class="reason" title="{escaped}">{escaped}</td>' if reason else '<td class="reason"></td>')
    return f'<tr data-state="{row.state.value}">{"".join(cells)}</tr>'


def _cell(text: str, value: float | None = None) -> str:
    """Return a cell; `value` is what it is sorted by, its text without one."""
    escaped = html.escape(text)
    title = f' title="{escaped}"' if len(text) > 40 else ""
    order = "" if value is None else f' data-v="{value!r}"'
    return f"<td{order}{title}>{escaped}</td>"
