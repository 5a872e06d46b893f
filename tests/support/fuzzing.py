"""Mutations of texts and bytes, by seeded dice: what disks, editors, and people do to files."""

import random

_TOKENS = [
    "{", "}", "[", "]", ":", ",", "-", "&a", "*a", "!!set", "!!python/object", "<<: *a", "null", "~", "true", ".nan",
    "1e999", "-1", "0", "10" * 200, "1_000", "0x1F", "''", '"', "'", "\t", "\n", "\r", "\x00", "\ufeff", "\u2028",
    "é", "가", "🙂", "\ud800", "%YAML 1.1", "---", "...", "min", "max", "values", "q_uniform", "method: grid", "1e9",
    "1e-9", "parameters", "distribution", "# ", "=cmd", "NaN", "Infinity", "[]", "{}", "0.5",
]  # fmt: skip


def mutated_text(text: str, dice: random.Random) -> str:
    """Return a text after one to six changes: tokens put in, pieces cut, doubled, moved, characters changed."""
    for _ in range(dice.randint(1, 6)):
        at, to = sorted((dice.randint(0, len(text)), dice.randint(0, len(text))))
        to = min(to, at + dice.choice([1, 3, 10, 200]))
        kind = dice.randrange(6)
        if kind <= 1:
            text = text[:at] + dice.choice(_TOKENS) + text[at:]
        elif kind == 2:
            text = text[:at] + text[to:]
        elif kind == 3:
            text = text[:to] + text[at:to] * dice.choice([1, 2, 50]) + text[to:]
        elif kind == 4:
            text = text[:at] + dice.choice(_TOKENS) + text[to:]
        else:
            lines = text.splitlines(keepends=True)
            dice.shuffle(lines)
            text = "".join(lines) if dice.random() < 0.2 else text
    return text[:200_000]


def mutated_bytes(content: bytes, dice: random.Random) -> bytes:
    """Return bytes after one to four changes: bits turned, pages zeroed or torn, the end cut, a piece doubled."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not data:
            break
        at = dice.randrange(len(data))
        kind = dice.randrange(5)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            length = dice.choice([1, 64, 512, 4096])
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif kind == 2:
            data[at : at + 512] = dice.randbytes(len(data[at : at + 512]))
        elif kind == 3:
            del data[at:]
        else:
            data[at:at] = data[at : at + 200]
    return bytes(data)
