"""Text of users and programs as a terminal may show it: what would steer the terminal is written out."""

import re
import sys
from typing import Any, TextIO

_BARS = "▁▂▃▄▅▆▇█"
# C0 and C1 controls but the line's end and the tab; Unicode's own line ends; marks that turn a line round.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return a text with its control characters written out: names, reasons and values are not to steer a terminal.

    JSON stays JSON, and says the same: what it writes out itself does not come here, the others are written its way.

    >>> printable("b\x1b[31mred\u2028\x9b")
    'b\\x1b[31mred\\u2028\\u009b'
    """
    return _STEERING.sub(lambda found: _written_out(found[0]), text)


def _written_out(mark: str) -> str:
    return f"\\x{ord(mark):02x}" if ord(mark) < 0x20 else f"\\u{ord(mark):04x}"


def say(text: Any = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """Print one thing for the user, `printable`, with its line's end in one piece: whatever a command says goes here.

    Args:
        text: Its text is printed.
        file: Where to; None for stdout.
        flush: Do not keep it back, be it into a pipe.

    >>> say({"state": "finished"})
    {'state': 'finished'}
    """
    stream = sys.stdout if file is None else file
    stream.write(f"{printable(str(text))}\n")
    if flush:
        stream.flush()


def bar(value: float, low: float, high: float) -> str:
    """Return a finite value in [low, high] as one of eight bars, the greater the higher; a middle one for low == high.

    >>> bar(1.0, 1.0, 3.0) + bar(2.0, 1.0, 3.0) + bar(3.0, 1.0, 3.0)
    '▁▅█'
    """
    span = high / 2 - low / 2  # halves: the difference of two floats may overflow
    share = 0.5 if span == 0 else (value / 2 - low / 2) / span
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]
