"""Make drawn pages of ten kinds of documents, a folder of PNG files for each: something to try image models on.

    python data/make_pages.py ../pages                      600 pages of 64×64 pixels in ../pages/letter/0.png, …
    python data/make_pages.py ../pages --count 2000 --size 128 --seed 7

    cd code
    python trainer.py --config image_classification --set data.source=../../pages --set data.img_size=32

Letter, form, invoice, receipt, newspaper, chart, slide, idcard, memo, handwritten: what tells them apart is layout, as
in a sheet of thumbnails; nothing can be read. Margins, ink, skew, stamps and noise differ from page to page. They are
easy: a small ConvNeXt (patch 4) reaches a macro F1 of about .98 at 32×32 pixels in three epochs of 400 pages.

Pages are drawn four times as large and averaged. Only `random.random()` decides, whose sequence Python guarantees.
"""

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

OVERSAMPLING = 4


class Page:
    """A white page in coordinates from 0 to 1, x to the right and y down, and the chance that draws on it.

    Args:
        size: Pixels along both sides of the finished page.
        seed: Equal seeds draw equal pages.
    """

    def __init__(self, size: int, seed: str) -> None:
        self.random = random.Random(seed).random
        self._side = size * OVERSAMPLING
        self._paper = np.ones((self._side, self._side))
        self._ink = self.between(0.6, 1.0)

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly from low to high."""
        return low + (high - low) * self.random()

    def box(self, x: float, y: float, width: float, height: float, ink: float = 1.0) -> None:
        """Fill a rectangle; at least one drawn pixel wide and high."""
        left, top = (max(0, round(value * self._side)) for value in (x, y))
        right, bottom = round((x + width) * self._side), round((y + height) * self._side)
        self._paper[top : max(top + 1, bottom), left : max(left + 1, right)] = 1.0 - ink * self._ink

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """Draw the outline of a rectangle."""
        for dx, dy, w, h in (
            (0, 0, width, 0.008),
            (0, height, width, 0.008),
            (0, 0, 0.008, height),
            (width, 0, 0.008, height),
        ):
            self.box(x + dx, y + dy, w, h)

    def words(self, x: float, y: float, width: float, height: float = 0.014) -> None:
        """Write one line of words from x to at most x + width."""
        end = x + width
        while x < end - 0.02:
            word = min(self.between(0.03, 0.12), end - x)
            self.box(x, y, word, height, self.between(0.7, 1.0))
            x += word + 0.018

    def text(self, x: float, y: float, width: float, lines: int, gap: float = 0.04) -> float:
        """Write a paragraph, its last line shorter; return the y below it."""
        for line in range(lines):
            self.words(x, y, width * (self.between(0.2, 0.8) if line == lines - 1 else 1.0))
            y += gap
        return y

    def scrawl(self, x: float, y: float, width: float) -> None:
        """Write one line by hand: a wave that wanders."""
        steps = int(width * self._side)
        phase, pace, height = self.between(0, 6), self.between(60, 130), self.between(0.008, 0.018)
        for step in range(steps):
            at = step / self._side
            if int(at * 9 + phase) % 5:
                self.box(x + at, y + height * np.sin(phase + pace * at) + 0.01 * np.sin(9 * at), 0.006, 0.008)

    def finished(self) -> npt.NDArray[np.uint8]:
        """Return the page as a scanner sees it: sheared a little, shrunk, noisy."""
        skew = self.between(-0.04, 0.04)
        rows = [np.roll(row, round(skew * (at - self._side / 2))) for at, row in enumerate(self._paper)]
        side = self._side // OVERSAMPLING
        small = np.stack(rows).reshape(side, OVERSAMPLING, side, OVERSAMPLING).mean(axis=(1, 3))
        noise = np.array([self.random() for _ in range(side * side)]).reshape(side, side) - 0.5
        return np.rint(255 * np.clip(small + self.between(0.02, 0.2) * noise, 0, 1)).astype(np.uint8)


def letter(page: Page) -> None:
    """Address, date at the right, paragraphs, a signature."""
    x = page.between(0.1, 0.16)
    page.text(x, page.between(0.08, 0.12), 0.3, 3)
    page.words(0.66, 0.22, 0.22)
    y = 0.32
    for _ in range(2 + (page.random() < 0.7)):
        y = page.text(x, y, 0.86 - x, 4) + 0.03
    page.scrawl(0.6, min(y + 0.04, 0.92), 0.25)


def form(page: Page) -> None:
    """A title, then labels with empty boxes."""
    page.box(0.3, 0.07, 0.4, 0.03)
    y = page.between(0.16, 0.2)
    while y < 0.88:
        page.words(0.08, y + 0.02, 0.2)
        page.frame(page.between(0.32, 0.36), y, page.between(0.4, 0.55), 0.055)
        y += page.between(0.09, 0.11)


def invoice(page: Page) -> None:
    """A mark, an address, a table with columns, a sum below."""
    page.box(0.08, 0.06, page.between(0.12, 0.2), 0.08, 0.7)
    page.text(0.6, 0.07, 0.3, 3)
    top, rows = page.between(0.3, 0.36), 5 + int(page.random() * 4)
    page.box(0.08, top, 0.84, 0.035, 0.8)
    for row in range(1, rows + 1):
        page.words(0.1, top + 0.055 * row, 0.35)
        page.words(0.62, top + 0.055 * row, 0.08)
        page.words(0.8, top + 0.055 * row, 0.1)
    page.box(0.6, top + 0.055 * (rows + 1), 0.32, 0.008)
    page.box(0.76, top + 0.055 * (rows + 1) + 0.03, 0.16, 0.025)


def receipt(page: Page) -> None:
    """A narrow strip of items and prices, a bar code."""
    x, width = page.between(0.28, 0.34), page.between(0.3, 0.36)
    page.frame(x - 0.04, 0.02, width + 0.08, 0.95)
    page.words(x + 0.06, 0.07, width - 0.12, 0.025)
    for row in range(10 + int(page.random() * 6)):
        page.words(x, 0.15 + 0.04 * row, width * 0.55)
        page.words(x + width * 0.78, 0.15 + 0.04 * row, width * 0.22)
    bar = x
    while bar < x + width:
        page.box(bar, 0.86, page.between(0.004, 0.014), 0.07)
        bar += page.between(0.016, 0.026)


def newspaper(page: Page) -> None:
    """A headline over columns of close text, a picture."""
    page.box(0.05, 0.04, 0.9, page.between(0.05, 0.09))
    columns = 3 + int(page.random() * 2)
    pictured = int(page.random() * columns)
    for column in range(columns):
        x, y = 0.05 + column * 0.9 / columns, 0.17
        if column == pictured:
            page.box(x, y, 0.82 / columns, 0.2, 0.5)
            y += 0.23
        page.text(x, y, 0.82 / columns, int((0.95 - y) / 0.025), 0.025)


def chart(page: Page) -> None:
    """Axes with bars."""
    page.words(0.3, 0.07, 0.4, 0.022)
    page.box(0.12, 0.15, 0.01, 0.72)
    page.box(0.12, 0.86, 0.78, 0.01)
    bars = 4 + int(page.random() * 5)
    for bar in range(bars):
        height = page.between(0.1, 0.66)
        page.box(0.16 + bar * 0.74 / bars, 0.86 - height, 0.48 / bars, height, page.between(0.4, 0.9))


def slide(page: Page) -> None:
    """A wide page: a thick title, a few points with large dots."""
    top = page.between(0.2, 0.24)
    page.frame(0.03, top, 0.93, 0.55)
    page.box(0.09, top + 0.05, page.between(0.4, 0.7), 0.05)
    for point in range(3 + int(page.random() * 2)):
        y = top + 0.18 + point * 0.085
        page.box(0.1, y, 0.025, 0.025)
        page.words(0.16, y, page.between(0.35, 0.7), 0.025)


def idcard(page: Page) -> None:
    """A small card: a portrait and some lines."""
    x, y = page.between(0.1, 0.2), page.between(0.25, 0.35)
    page.frame(x, y, 0.62, 0.38)
    page.box(x + 0.04, y + 0.08, 0.18, 0.24, page.between(0.4, 0.7))
    page.box(x + 0.04, y + 0.025, 0.54, 0.03, 0.9)
    page.text(x + 0.27, y + 0.1, 0.3, 5, 0.048)


def memo(page: Page) -> None:
    """A heading with four fields, a rule, a short text."""
    page.box(0.1, page.between(0.06, 0.1), 0.24, 0.04)
    for row in range(4):
        page.words(0.1, 0.17 + 0.045 * row, 0.08)
        page.words(0.24, 0.17 + 0.045 * row, page.between(0.2, 0.4))
    page.box(0.1, 0.37, 0.8, 0.01)
    y = page.text(0.1, 0.43, 0.78, 4)
    if page.random() < 0.5:
        page.text(0.1, y + 0.03, 0.78, 3)


def handwritten(page: Page) -> None:
    """Lines by hand over most of the page."""
    y = page.between(0.08, 0.16)
    while y < 0.9:
        page.scrawl(page.between(0.06, 0.12), y, page.between(0.6, 0.84))
        y += page.between(0.065, 0.085)


KINDS: tuple[Callable[[Page], None], ...] = (
    letter, form, invoice, receipt, newspaper, chart, slide, idcard, memo, handwritten
)  # fmt: skip


def draw(kind: int, number: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return one page of the kind at a position of KINDS: shape (size, size), 0 is black."""
    page = Page(size, f"{seed} {kind} {number}")
    KINDS[kind](page)
    if page.random() < 0.15:  # a stamp
        page.box(page.between(0.1, 0.8), page.between(0.1, 0.8), 0.12, 0.07, 0.4)
    return page.finished()


def main(argv: list[str] | None = None) -> int:
    """Write the pages; return the exit code."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the folders of the kinds are made")
    parser.add_argument("--count", type=int, default=600, help="pages in all, the kinds in turn (default: 600)")
    parser.add_argument("--size", type=int, default=64, help="pixels along both sides, 16 and more (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="another draws other pages (default: 0)")
    options = parser.parse_args(argv)
    if options.size < 16 or options.count < 1:
        parser.error(f"--size must be at least 16 and --count at least 1, got {options.size} and {options.count}")
    for page in range(options.count):
        number, kind = divmod(page, len(KINDS))
        path = options.folder / KINDS[kind].__name__ / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(kind, number, options.size, options.seed)).save(path)
    print(f"{options.folder}: {options.count} pages of {min(options.count, len(KINDS))} kinds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
