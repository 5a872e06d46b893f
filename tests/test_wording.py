"""Tests assert on fields; the words that are held stand in one file a room."""

import json
from pathlib import Path

import pytest
from wording import sentences

TESTS = Path(__file__).parent
BOOKS = sorted(TESTS.glob("*/words.json"))


@pytest.mark.slow
def test_few_asserts_hold_a_sentence():
    assert sum(1 for path in TESTS.rglob("test_*.py") for _ in sentences(path)) <= 100


@pytest.mark.parametrize("book", BOOKS, ids=lambda path: path.parent.name)
def test_every_word_of_a_book_is_held_by_a_test(book):
    for stem, words in json.loads(book.read_text(encoding="utf-8")).items():
        text = book.with_name(f"{stem}.py").read_text(encoding="utf-8")
        assert [key for key in words if f'WORDS["{key}"]' not in text] == []
