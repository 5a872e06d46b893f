"""One table, three forms: terminal text, Markdown, LaTeX.

Markdown is written here: pandas leaves it to another package, which does not escape the bar.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells

from sweepkit.text.shown import printable

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "|": r"\textbar{}",  # in the usual font encoding a bar alone is a dash
    "\N{MINUS SIGN}": r"$-$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "←": r"$\gets$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "…": r"\dots{}",
    "Δ": r"$\Delta$",
    **{
        mark: rf"$\{name}$"
        for mark, name in zip(
            "αβγδεζηθικλμνξπρστφχψω",
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi "
            "omega".split(),
            strict=True,
        )
    },
}
_SCRIPTS = ("HANGUL", "CJK", "HIRAGANA", "KATAKANA")  # what the package kotex has fonts for
_WIDE = 6  # columns; a wider table is made to fit the page
_LONG = 40  # rows, likewise
_BROAD = 64  # characters in a row, likewise
_FIT = r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
_FIT_HEIGHT = r"\resizebox*{!}{\ifdim\totalheight>.9\textheight .9\textheight\else\totalheight\fi}{%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A table of text.

    Args:
        caption: What it shows.
        heads: The columns' names.
        rows: As many cells each.
        left: The columns that are words, aligned left; the others are numbers.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)


def as_text(table: Cells, *, width: int) -> str:
    """Return a table for a terminal of `width` columns; the columns that do not fit stand below their row, with names.

    Empty ones are left out there. Widths count cells: a Hangul syllable takes two.
    """
    whole = [tuple(map(_on_one_line, row)) for row in (table.heads, *table.rows)]
    wide = [max(cell_len(row[place]) for row in whole) for place in range(len(table.heads))]
    shown = len(wide)
    while shown > 1 and sum(wide[:shown]) + 2 * (shown - 1) > width:
        shown -= 1
    lines = []
    for number, row in enumerate(whole):
        lines.append(_line(row[:shown], wide[:shown], table.left))
        below = ", ".join(f"{head} {cell}" for head, cell in zip(whole[0][shown:], row[shown:], strict=True) if cell)
        if below and number:
            lines += folded(below, max(width, 20), first="    ", then="    ", breaks=True)
    return "\n".join(lines)


def _on_one_line(cell: str) -> str:
    """Return a cell as a terminal shows it: what would end its line or steer is written out before it is measured."""
    return printable(cell).replace("\n", "\\n").replace("\t", "\\t")


def folded(text: str, width: int, *, first: str = "", then: str = "", breaks: bool = False) -> list[str]:
    """Return a paragraph as lines of at most `width` cells, of which a Hangul syllable takes two.

    Args:
        text: It; between words it is broken.
        width: Cells of a line, >= 2 more than the indents have.
        first: What the first line begins with.
        then: Likewise every further one.
        breaks: Break words that are wider than a line, too.

    >>> folded("하나 둘 셋", 7, then="  ")
    ['하나 둘', '  셋']
    >>> folded("가나다라", 4, first="  ", then="  ", breaks=True)
    ['  가', '  나', '  다', '  라']
    """
    lines: list[str] = []
    line, bare = first, True
    room = width - max(cell_len(first), cell_len(then))
    for found in re.findall(r"\s*\S+", text):
        if not bare and cell_len(line) + cell_len(found) > width:
            lines.append(line)
            line, bare = then, True
        word = found.lstrip() if bare and lines else found
        parts = chop_cells(word, room) if breaks and cell_len(line) + cell_len(word) > width else [word]
        for part in parts[:-1]:
            lines.append(line + part)
            line = then
        line, bare = line + parts[-1], False
    return lines if bare else [*lines, line]


def _line(row: Sequence[str], wide: Sequence[int], left: Sequence[int]) -> str:
    cells = []
    for place, (cell, width) in enumerate(zip(row, wide, strict=True)):
        room = " " * (width - cell_len(cell))
        cells.append(cell + room if place in left else room + cell)
    return "  ".join(cells).rstrip()


def as_markdown(table: Cells) -> str:
    """Return a table as GitHub's Markdown."""
    rule = [":--" if place in table.left else "--:" for place in range(len(table.heads))]
    rows = [table.heads, tuple(rule), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def as_latex(table: Cells) -> str:
    """Return a table as LaTeX, one that is wide or long made to fit the page; `latex_packages` says what it needs."""
    columns = "".join("l" if place in table.left else "r" for place in range(len(table.heads)))
    heads, *rows = [" & ".join(map(_latex_cell, row)) + r" \\" for row in (table.heads, *table.rows)]
    body = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        heads,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    broad = sum(max(map(cell_len, column)) for column in zip(table.heads, *table.rows, strict=True)) > _BROAD
    if len(table.heads) > _WIDE or broad:
        body = [_FIT, *body[:-1], body[-1] + "}"]
    if len(table.rows) > _LONG:
        body = [_FIT_HEIGHT, *body[:-1], body[-1] + "}"]
    return "\n".join([r"\begin{table}", r"\centering", rf"\caption{{{latex(table.caption)}}}", *body, r"\end{table}"])


def _latex_cell(text: str) -> str:
    """Return a cell; one that begins with a bracket or an asterisk would be an option of the line end before it."""
    return f"{{}}{latex(text)}" if text.lstrip()[:1] in ("[", "*") else latex(text)


def latex_packages(text: str) -> str:
    r"""Return the comment that says what a document must load for LaTeX of ours.

    >>> latex_packages("코바트")
    '% \\usepackage{booktabs,graphicx,kotex}'
    """
    eastern = any(unicodedata.name(mark, "").startswith(_SCRIPTS) for mark in text if not mark.isascii())
    return r"% \usepackage{booktabs,graphicx" + (",kotex}" if eastern else "}")


def latex(text: str) -> str:
    r"""Return text with the marks that LaTeX gives a meaning escaped.

    >>> latex("tiny_bart ±.005")
    'tiny\\_bart $\\pm$.005'
    """
    whole = " ".join(text.split()).replace(">=", "≥").replace("<=", "≤")
    return "".join(_LATEX.get(mark, mark) for mark in whole)
