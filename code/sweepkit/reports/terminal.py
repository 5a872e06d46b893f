"""The terminal that tables and pictures are drawn on: text in them cannot steer it."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sweepkit.reports.cells import Cells, as_text
from sweepkit.text.shown import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text


def make_console(**settings: Any) -> "Console":
    """Return a console of rich that takes text as it is: no markup, control characters written out.

    A value may well be `[/INST]`, which rich would take for the end of a style. See `rich.console.Console`.
    """
    from rich.console import Console
    from rich.segment import Segment

    class TerminalConsole(Console):
        def __init__(self, **given: Any) -> None:
            self.whole = threading.RLock()
            super().__init__(**given)

        def print(self, *objects: Any, **options: Any) -> None:
            with self.whole:
                super().print(*objects, **options)

        def render_str(self, text: str, **options: Any) -> "Text":
            return super().render_str(printable(text), **options)  # written out before it is measured

        def render(self, *arguments: Any, **options: Any) -> "Iterable[Segment]":
            for segment in super().render(*arguments, **options):
                shown = segment.text if segment.control else printable(segment.text)
                # The same object where nothing changes: it nearly never does, and each segment passes here often.
                yield segment if shown == segment.text else Segment(shown, segment.style)

    # In a notebook rich would make an output of its own of every line.
    return TerminalConsole(**{"force_jupyter": False, "markup": False, "emoji": False, **settings})


def plain(text: str, **look: Any) -> "Text":
    """Return a text of rich, `printable` before it is measured; `look` is `rich.text.Text`'s."""
    from rich.text import Text

    return Text(printable(text), **look)


def make_live(console: "Console", **settings: Any) -> "Live":
    """Return a display of rich at the foot of a console of `make_console`, above which any thread may print.

    Rich erases as many lines as it drew last, and asks for their number before it draws what is printed: a refresh in
    between changes it, and lines above the display were lost. Here one of both waits for the other.
    """
    from rich.live import Live

    live = Live(console=console, **settings)
    live._lock = console.whole  # type: ignore[attr-defined]  # one lock, which its thread takes, too, before it draws
    return live


# What is looked at last: where a table is too wide, these stand behind the parameters, in this order.
_LAST = ("name", "seconds", "peak MiB", "at report", "last", "note", "reason")
_SENTENCES = ("note", "reason")  # may be folded, where so many columns are left for them
_LEAST = 24


def print_table(console: "Console", table: "Table") -> None:
    """Print a table of runs so that no cell is cut or folded, but for its sentences.

    Columns that do not fit stand below their row, each with its name; empty ones are left out.
    """
    wide = {str(column.header): max(map(_cell_width, (column.header, *column.cells))) for column in table.columns}
    sentence = sum(width for name, width in wide.items() if name in _SENTENCES)
    room = console.width - (sum(wide.values()) - sentence + 2 * (len(wide) - 1))
    if room >= min(sentence, _LEAST):
        for column in table.columns:
            column.no_wrap = str(column.header) not in _SENTENCES
        console.print(table)
        return
    columns = sorted(table.columns, key=lambda column: _place(str(column.header)))
    cells = Cells(
        caption="",
        heads=tuple(str(column.header) for column in columns),
        rows=tuple(zip(*([str(cell) for cell in column.cells] for column in columns), strict=True)),
        left=tuple(place for place, column in enumerate(columns) if column.justify == "left"),
    )
    console.print(as_text(cells, width=console.width), highlight=False)


def _cell_width(cell: Any) -> int:
    from rich.cells import cell_len

    return cell_len(printable(str(cell)))


def _place(head: str) -> int:
    return _LAST.index(head) if head in _LAST else -1
