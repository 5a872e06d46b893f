"""Plain values as YAML text that readers of YAML 1.2 and of 1.1 (W&B's) understand alike."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sweepkit.text.shown import printable

_LONGEST_LINE = 100
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_RESERVED = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")  # not texts to every reader of YAML


def scalar(value: Any) -> str:
    """Return one value as YAML; floats keep a point, so that YAML 1.1 readers too see numbers.

    >>> scalar(1e-05), scalar(True), scalar("on")
    ('1.0e-05', 'true', '"on"')
    """
    if isinstance(value, float):
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa
    # JSON leaves some characters as they are that YAML does not allow.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in text)


def yaml_text(data: Mapping[str, Any], *, head: str = "") -> str:
    """Return a mapping as YAML: mappings as blocks, those that are short and flat on one line, lists in brackets.

    Args:
        data: Values that JSON has; keys are strings.
        head: Lines of a comment that the text opens with.

    >>> print(yaml_text({"lr": {"min": 1e-05, "max": 1.0}, "seed": 1}, head="why"), end="")
    # why
    lr: {min: 1.0e-05, max: 1.0}
    seed: 1
    """
    return comment(head) + "\n".join(_block(data, "")) + "\n"


def comment(text: str) -> str:
    r"""Return a text as lines of a comment: all of its lines, and no character that YAML does not allow.

    >>> comment("of metric a\x1b\nb: 1")
    '# of metric a\\x1b\n# b: 1\n'
    """
    return "".join(f"# {printable(line)}".rstrip() + "\n" for line in text.splitlines())


def _block(data: Mapping[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, value in data.items():
        name = f"{indent}{_word(key)}:"
        flow = f"{name} {_flow(value)}"
        if isinstance(value, Mapping) and value and (len(flow) > _LONGEST_LINE or not _is_small(value, indent)):
            lines += [name, *_block(value, indent + "  ")]
        else:
            lines.append(flow)
    return lines


def _is_small(value: Mapping[str, Any], indent: str) -> bool:
    """Return whether a mapping is flat, and at the top of at most two entries."""
    return not any(isinstance(item, Mapping) for item in value.values()) and (bool(indent) or len(value) <= 2)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_word(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _word(value) if isinstance(value, str) else scalar(value)


def _word(text: str) -> str:
    """Return a text as it is where it is plainly a word (a name, a path), else quoted."""
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return scalar(text)
