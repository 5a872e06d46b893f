"""The pure part of the record: JSON text, odd numbers, the fold of reports."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.errors import StoreError
from sweepkit.store import records
from sweepkit.store.base import Report

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
NUMBERS = st.floats() | st.integers() | st.booleans()
ROWS = st.lists(st.dictionaries(st.sampled_from(["m", "정확도", "x"]), NUMBERS, max_size=3), max_size=8)


@given(JSON)
def test_json_comes_back_as_it_was_and_any_database_takes_it(value):
    text = records.dump(value, "x")
    assert "\0" not in text
    text.encode()
    assert repr(records.load(text)) == repr(value)


def test_korean_stays_readable_and_tuples_become_lists():
    assert records.dump({"이름": ("가", 1)}, "x") == '{"이름":["가",1]}'


@given(st.text(st.characters()))
def test_cleaned_text_can_be_stored(text):
    cleaned = records.clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert records.clean(cleaned) == cleaned


@given(st.lists(st.floats(), max_size=5), st.lists(st.floats(), max_size=5))
def test_history_text_is_appended_to_with_a_comma(old, new):
    text = ",".join(filter(None, (records.tail_text(old), records.tail_text(new))))
    assert repr(records.tail_values(text)) == repr((*old, *new))


@given(st.integers(-(10**400), 10**400))
def test_every_integer_becomes_a_number_that_json_and_float_take(value):
    number = records.number(value)
    assert json.loads(records.dump(number, "x")) == number
    assert float(number) == value or abs(value) >= 2**53


@given(ROWS, st.integers(0, 8), st.sampled_from(["minimize", "maximize", None]))
def test_reports_folded_in_two_parts_are_as_in_one(rows, cut, goal):
    rows = [records.plain_report(Report(seq=seq, values=values)) for seq, values in enumerate(rows)]
    empty = records.FoldedReports(history=(), best={}, last={})
    whole = records.fold(empty, rows, metric="m", goal=goal)
    half = records.fold(empty, rows[:cut], metric="m", goal=goal)
    assert repr(records.fold(half, rows[cut:], metric="m", goal=goal)) == repr(whole)
    values = [float(row.values["m"]) for row in rows if "m" in row.values]
    assert repr(whole.history) == repr(tuple(values))
    finite = [value for value in values if math.isfinite(value)]
    best = (max if goal == "maximize" else min)(finite, default=None)
    assert whole.best.get("m") == best or float(whole.best["m"]) == best


def test_a_tie_keeps_the_first_report_as_the_best():
    rows = [Report(seq=0, values={"m": 1.0, "at": 0}), Report(seq=1, values={"m": 1.0, "at": 1})]
    fold = records.fold(records.FoldedReports(history=(), best={}, last={}), rows, metric="m", goal="minimize")
    assert (fold.best["at"], fold.last["at"]) == (0, 1)


@pytest.mark.parametrize("value", [{1, 2}, {"a": b"x"}, {("a",): 1}, 1j])
def test_what_json_has_no_form_for_is_named(value):
    with pytest.raises(StoreError, match=r"run 3: params.*convert it"):
        records.dump(value, "run 3: params")


def test_ids_are_eight_letters_and_digits_and_differ():
    ids = {records.new_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(len(one) == 8 and set(one) <= set(records.ALPHABET) for one in ids)
    assert len({records.new_token() for _ in range(50)}) == 50
