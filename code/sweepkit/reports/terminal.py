"""The terminal that tables and pictures are drawn on: text in them cannot steer it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sweepkit.text.shown import printable

if TYPE_CHECKING:
    from rich.console import Console


def make_console(**settings: Any) -> "Console":
    """Return a console of rich that writes the control characters of what it shows out; see `rich.console.Console`."""
    from rich.console import Console
    from rich.segment import Segment

    class TerminalConsole(Console):
        def render(self, *arguments: Any, **options: Any) -> "Iterable[Segment]":
            for segment in super().render(*arguments, **options):
                shown = segment.text if segment.control else printable(segment.text)
                # The same object where nothing changes: it nearly never does, and each segment passes here often.
                yield segment if shown == segment.text else Segment(shown, segment.style)

    # In a notebook rich would make an output of its own of every line.
    return TerminalConsole(**{"force_jupyter": False, **settings})
