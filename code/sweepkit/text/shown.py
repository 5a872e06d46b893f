"""Text of users and programs as a terminal may show it: what would steer the terminal is written out."""

import re

_BARS = "▁▂▃▄▅▆▇█"
# C0 and C1 controls but the line's end and the tab; Unicode's own line ends; marks that turn a line round.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return a text with its control characters written out: names, reasons and values are not to steer a terminal.

    >>> printable("b\x1b[31mred\u2028")
    'b\\x1b[31mred\\u2028'
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def bar(value: float, low: float, high: float) -> str:
    """Return a finite value in [low, high] as one of eight bars, the greater the higher; a middle one for low == high.

    >>> bar(1.0, 1.0, 3.0) + bar(2.0, 1.0, 3.0) + bar(3.0, 1.0, 3.0)
    '▁▅█'
    """
    span = high / 2 - low / 2  # halves: the difference of two floats may overflow
    share = 0.5 if span == 0 else (value / 2 - low / 2) / span
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]
