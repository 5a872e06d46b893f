"""The words that tests hold, in one file a room: a change of wording changes `tests/<room>/words.json` alone.

    WORDS = words_of(__file__)
    assert WORDS["must-be-a"] in text

Keys are the first words of a sentence, as many as tell it from the others of its file.
"""

import json
from pathlib import Path


def words_of(file: str) -> dict[str, str]:
    """Return the words that a test file holds, by key."""
    path = Path(file)
    return json.loads(path.with_name("words.json").read_text(encoding="utf-8"))[path.stem]
