"""Curves as text: a braille canvas, eight dots a character, for terminals of any width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a character, by row and column


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve.

    Args:
        values: At 1, 2, …; what is not finite is a gap.
        style: What whoever prints takes for a colour; later lines are drawn over earlier ones.
    """

    values: Sequence[float]
    style: str = ""


Span = tuple[str, str]  # text and its style


def plotted(lines: Sequence[Line], *, width: int, height: int) -> list[list[Span]]:
    """Return curves as lines of spans: a left scale with the ends' values, `height` lines, and one for the x axis.

    Args:
        lines: The curves.
        width: Characters, at least 20.
        height: Lines of the canvas, at least 2.

    Returns:
        height + 1 lines; [] where there is nothing to draw.

    Example:
        >>> for line in plotted([Line(values=[1.0, 2.0, 3.0, 4.0])], width=20, height=2):
        ...     print("".join(text for text, _ in line).rstrip())
        4 ┤        ⢀⣀⡠⠤⠔⠒⠒⠊⠉
        1 ┤⣀⡠⠤⠤⠔⠒⠊⠉⠁
           1               4
    """
    finite = sorted(value for line in lines for value in line.values if math.isfinite(value))
    longest = max((len(line.values) for line in lines), default=0)
    if not finite:
        return []
    # One run that blew up does not flatten the others: the scale ends where the bulk does.
    low, high = finite[0], finite[-1]
    bulk = finite[int(0.97 * (len(finite) - 1))]
    if high / 4 - low / 4 > bulk - low > 0:  # quarters: the difference of two floats may overflow
        high = bulk + 0.2 * (bulk - low)
    scale = [f"{high:.4g}", f"{low:.4g}"]
    left = max(map(len, scale))
    columns = max(4, width - left - 2)
    cells: dict[tuple[int, int], tuple[int, str]] = {}
    for line in lines:
        _draw(cells, line, longest, (low, high), (2 * columns, 4 * height))
    found = []
    for row in range(height):
        head = scale[0] if row == 0 else scale[1] if row == height - 1 else ""
        found.append([(f"{head:>{left}} ┤", "dim"), *_spans(cells, row, columns)])
    ends = f"{1:<{max(1, columns - len(str(longest)))}}{longest}"
    return [*found, [(" " * (left + 2) + ends, "dim")]]


def _draw(
    cells: dict[tuple[int, int], tuple[int, str]],
    line: Line,
    longest: int,
    ends: tuple[float, float],
    size: tuple[int, int],
) -> None:
    """Set the dots of a curve; between two values a straight line."""
    (low, high), (wide, tall) = ends, size
    span = (high / 2 - low / 2) or 1.0  # halves: the difference of two floats may overflow
    before: tuple[int, int] | None = None
    for at, value in enumerate(line.values):
        if not math.isfinite(value):
            before = None
            continue
        x = round(at * (wide - 1) / max(1, longest - 1))
        y = round((1 - (min(max(value, low), high) / 2 - low / 2) / span) * (tall - 1))
        for px, py in _between(before or (x, y), (x, y)):
            key = (py // 4, px // 2)
            dots = cells[key][0] if key in cells and cells[key][1] == line.style else 0
            cells[key] = (dots | _DOTS[py % 4][px % 2], line.style)
        before = (x, y)


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * at / steps), round(start[1] + (end[1] - start[1]) * at / steps))
        for at in range(steps + 1)
    ]


def _spans(cells: dict[tuple[int, int], tuple[int, str]], row: int, columns: int) -> list[Span]:
    """Return a row's characters, neighbours of one style together."""
    found: list[Span] = []
    for column in range(columns):
        dots, style = cells.get((row, column), (0, ""))
        char = chr(0x2800 + dots) if dots else " "
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + char, style)
        else:
            found.append((char, style))
    return found
