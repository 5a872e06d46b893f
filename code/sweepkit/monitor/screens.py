"""Where the pictures of a monitor go: a terminal, a pipe or log, JSON lines."""

import sys
import time
from typing import Protocol

from sweepkit.monitor.render import Picture, as_rich, as_text, at_clock, headline, plain
from sweepkit.reports.terminal import make_console, make_live
from sweepkit.text.json_text import json_text
from sweepkit.text.shown import say


class PictureScreen(Protocol):
    """Where pictures go. A context manager."""

    def __enter__(self) -> "PictureScreen": ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, picture: Picture) -> None:
        """Show a picture in place of the one before."""
        ...


class _Json:
    """One object a line."""

    def __enter__(self) -> "_Json":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def show(self, picture: Picture) -> None:
        """Print it."""
        say(json_text(plain(picture)), flush=True)


class _Plain:
    """For pipes and logs: the whole picture at first and at last, in between a line whenever something changed."""

    def __init__(self) -> None:
        self._headlines: dict[str, str] = {}
        self._last: Picture | None = None
        self._whole: Picture | None = None

    def __enter__(self) -> "_Plain":
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None and self._last is not self._whole:
            self._print(self._last)

    def show(self, picture: Picture) -> None:
        """Print what is new in it."""
        headlines = {item.name: headline(item) for item in picture.sweeps}
        if self._last is None:
            self._print(picture)
        else:
            new = [line for name, line in headlines.items() if self._headlines.get(name) != line]
            for line in [*new, *(note for note in picture.notes if note not in self._last.notes)]:
                say(f"{at_clock(time.time())}  {line}", flush=True)
        self._headlines, self._last = headlines, picture

    def _print(self, picture: Picture) -> None:
        self._whole = picture
        say(as_text(picture), flush=True)


class _Terminal:
    """A terminal: the picture is redrawn in place, the last one stays."""

    def __init__(self) -> None:
        self._console = make_console(highlight=False)
        self._live = make_live(self._console, auto_refresh=False, vertical_overflow="ellipsis")

    def __enter__(self) -> "_Terminal":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, picture: Picture) -> None:
        """Draw it, as wide and high as the terminal is now."""
        size = self._console.size
        self._live.update(as_rich(picture, width=size.width, height=size.height), refresh=True)


def make_screen(*, as_json: bool) -> PictureScreen:
    """Return the screen for this process's stdout."""
    if as_json:
        return _Json()
    return _Terminal() if sys.stdout.isatty() else _Plain()
