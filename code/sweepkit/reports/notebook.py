"""Progress in a notebook: one output of the cell that is kept up to date in place, in the terminal's own look."""

import io
import sys
import threading
from collections import deque
from typing import Any

from sweepkit.reports.progress import RichView, Screen
from sweepkit.reports.terminal import make_console

_EVERY_S = 0.5
_LINES = 8  # ended runs and notices above the running ones; all of them are in runs() and in the logs
_WIDTH = 120
_PRE = '<pre style="line-height:1.3;margin:0;white-space:pre;overflow-x:auto">{code}</pre>'


def make_screen(*, json: bool) -> Screen | None:
    """Return where progress is shown in place: a terminal, a notebook's cell; None for plain lines, and for JSON."""
    if json:
        return None
    if _in_notebook():
        return _NotebookScreen()
    return Screen() if sys.stdout.isatty() else None


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


class _Lines:
    """Takes the place of a terminal's console: keeps the newest lines."""

    width = _WIDTH

    def __init__(self) -> None:
        self.newest: deque[tuple[str, str]] = deque(maxlen=_LINES)

    def print(self, text: str, *, style: str = "", **_: object) -> None:
        """Add a line."""
        self.newest.append((text, style))


class _NotebookScreen(Screen):
    """The output of the cell that runs a sweep."""

    def __init__(self) -> None:
        self.console: Any = _Lines()
        self.views: list[RichView] = []
        self._handle: Any = None
        self._closed = threading.Event()

    def show(self, view: RichView) -> None:
        """Add a sweep."""
        self.views.append(view)
        if self._handle is None:
            from IPython import display

            show: Any = display.display  # it has no types
            self._handle = show(self._output(), raw=True, display_id=True)
            threading.Thread(target=self._keep, name="notebook", daemon=True).start()

    def hide(self, view: RichView) -> None:
        """Leave a sweep's last state in the cell once all of them are over."""
        view.closed = True
        if all(other.closed for other in self.views):
            self._closed.set()
            self._handle.update(self._output(), raw=True)

    def _keep(self) -> None:
        while not self._closed.wait(_EVERY_S):
            self._handle.update(self._output(), raw=True)

    def _output(self) -> dict[str, str]:
        """Return what the cell shows, as HTML and as text."""
        look: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor", "width": _WIDTH}
        console = make_console(file=io.StringIO(), record=True, **look)
        for text, style in list(self.console.newest):
            console.print(text, style=style, highlight=False)
        console.print(self.render())
        html = console.export_html(inline_styles=True, code_format=_PRE, clear=False)
        return {"text/html": html, "text/plain": console.export_text()}
