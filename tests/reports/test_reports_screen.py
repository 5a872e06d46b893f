"""The live display as a terminal shows it: nothing that was printed above it is lost, whoever prints and refreshes."""

import io
import sys
import threading

import pyte
import pytest
from rich.text import Text

from sweepkit.reports.cells import Cells, as_text, folded
from sweepkit.reports.terminal import make_console, make_live

PRINTS, THREADS = 40, 3


class Emulated(io.StringIO):
    """A terminal of so many columns that keeps what scrolls out of it."""

    def __init__(self, columns):
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, 24, history=10_000)
        self.screen.set_mode(pyte.modes.LNM)
        self._stream = pyte.Stream(self.screen)

    def write(self, text):
        self._stream.feed(text)
        return len(text)

    def lines(self):
        gone = ["".join(line[at].data for at in range(self.screen.columns)) for line in self.screen.history.top]
        return [line.rstrip() for line in [*gone, *self.screen.display]]


@pytest.mark.parametrize("columns", [80, 200])
def test_nothing_that_is_printed_above_the_display_is_lost(columns):
    terminal = Emulated(columns)
    console = make_console(file=terminal, force_terminal=True, color_system=None, width=columns, height=24)
    height = iter(range(10**9))
    live = make_live(
        console, refresh_per_second=1000, get_renderable=lambda: "\n".join(["foot"] * (1 + next(height) % 4))
    )
    done = threading.Event()

    def refresh():
        while not done.is_set():
            live.refresh()

    def tell(thread):
        for at in range(PRINTS):
            console.print(Text(f"<{thread}.{at} " + "가나다 " * 25 + f"{thread}.{at}>"))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads meet in the midst of what they do
    try:
        with live:
            threads = [threading.Thread(target=tell, args=(thread,)) for thread in range(THREADS)]
            refreshing = threading.Thread(target=refresh)
            for item in (refreshing, *threads):
                item.start()
            for item in threads:
                item.join()
            done.set()
            refreshing.join()
    finally:
        sys.setswitchinterval(before)
    said = "".join(line for line in terminal.lines() if line != "foot").replace(" ", "")
    assert said.count("가나다") == 25 * PRINTS * THREADS
    for thread in range(THREADS):
        for at in range(PRINTS):
            assert f"<{thread}.{at}" in said and f"{thread}.{at}>" in said


@pytest.mark.parametrize("width", [80, 200])
def test_columns_below_a_row_keep_their_indent_with_wide_characters(width):
    heads = ("run", *(f"이름이 긴 매개변수 {at}" for at in range(12)))
    table = Cells(caption="", heads=heads, rows=(("0", *("값이 긴 모델" for _ in heads[1:])),))
    terminal = Emulated(width)
    terminal.write(as_text(table, width=width))
    below = [line for line in terminal.lines() if line][2:]
    assert below and all(line.startswith("    ") and line[4] != " " for line in below)


def test_a_paragraph_is_folded_by_cells_and_words_stay_whole_where_they_shall():
    assert folded("가나다라", 4) == ["가나다라"]
    assert folded("", 10, first="- ") == []
    lines = folded("한국어 대화 요약 모델을 견준다 " * 9, 40, first="* ", then="  ")
    wide = [sum(2 if ord(mark) > 0x1100 else 1 for mark in line) for line in lines]
    assert max(wide) <= 40 and min(wide[:-1]) > 30 and all(line.startswith("  ") for line in lines[1:])
