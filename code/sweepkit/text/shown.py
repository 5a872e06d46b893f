"""Text of users and programs as a terminal may show it: what would steer the terminal is written out."""

import re

# C0 and C1 controls but the line's end and the tab; Unicode's own line ends; marks that turn a line round.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return a text with its control characters written out: names, reasons and values are not to steer a terminal.

    >>> printable("b\x1b[31mred\u2028")
    'b\\x1b[31mred\\u2028'
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
