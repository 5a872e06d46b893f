"""docs/wandb_differences.md and the tests name each other: no row without a test, no test of a missing row."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "wandb_differences.md"
ROWS = re.findall(r"^\| (D\d+) \| (.*) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
WITHOUT_A_TEST: dict[str, str] = {}  # row → why no test can show it
NAMED = {
    f"D{number}"
    for path in TESTS.rglob("*.py")
    if path != Path(__file__)
    # In a text or comment as D7, in the name of a test as _d7.
    for pair in re.findall(r"\bD(\d{1,2})\b|(?<=_)d(\d{1,2})(?=[_(])", path.read_text(encoding="utf-8"))
    for number in pair
    if number
}


def test_rows_are_numbered_without_gaps_and_complete():
    assert [row for row, _ in ROWS] == [f"D{number}" for number in range(1, len(ROWS) + 1)]
    for row, cells in ROWS:
        assert len(re.split(r" \| ", cells)) == 4 and all(cells.split(" | ")), row


def test_every_row_that_a_test_names_is_there():
    assert NAMED - {row for row, _ in ROWS} == set()


@pytest.mark.parametrize("row", [row for row, _ in ROWS])
def test_every_row_is_named_by_a_test(row):
    assert (row in NAMED) != (row in WITHOUT_A_TEST)
