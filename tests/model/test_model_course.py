"""The history of a run that still reports: it reads like a tuple, and a report costs no more for those before it."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.run_cache import RunCache
from sweepkit.model.course import Course
from sweepkit.model.metric import Goal
from sweepkit.model.objectives import value_in
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.histories import finite, values_at
from sweepkit.store.open import open_store

PARTS = st.lists(st.lists(st.floats(), max_size=4).map(tuple), max_size=8)


class Counted(float):
    """A value that counts how often any of its kind is asked whether it is finite, or compared."""

    looks = 0

    def __float__(self):
        Counted.looks += 1
        return super().__float__()

    def __lt__(self, other):
        Counted.looks += 1
        return super().__lt__(other)

    def __gt__(self, other):
        Counted.looks += 1
        return super().__gt__(other)


def same(values, others):
    """Return whether two sequences hold the same numbers, NaN like NaN."""
    return list(map(repr, values)) == list(map(repr, others))


@given(PARTS, st.integers(-9, 9), st.slices(12))
def test_every_course_of_a_run_stays_what_it_was(parts, place, cut):
    course, whole, seen = Course(), (), []
    for part in parts:
        course, whole = course.extended(part), whole + part
        seen.append((course, whole))
    for course, whole in seen:  # the older ones too, though the newest went on with their values
        assert same(course, whole) and len(course) == len(whole) and same(course[cut], whole[cut])
        if -len(whole) <= place < len(whole):
            assert same([course[place]], [whole[place]])
        else:
            with pytest.raises(IndexError):
                course[place]
        assert same(finite(course), [value for value in whole if math.isfinite(value)])
        if some := [value for value in whole if math.isfinite(value)]:
            assert [value_in(finite(course), goal) for goal in Goal] == [min(some), max(some)]
        column = [RunView(number=0, run_id="", params={}, state=RunState.RUNNING, history=one) for one in seen[-1]]
        for report in (1, 2, 5):
            assert list(values_at(column[:1], report).values) == list(values_at(column[1:], report).values)


@given(PARTS, PARTS)
def test_two_that_go_on_from_one_do_not_mix(ones, others):
    start = Course((1.0, math.nan, 2.0))
    one = other = start
    for part in ones:
        one = one.extended(part)
    for part in others:
        other = other.extended(part)
    assert same(one, (*start, *sum(ones, ()))) and same(other, (*start, *sum(others, ())))
    assert same(pickle.loads(pickle.dumps(one)), one)


def test_it_equals_the_tuple_of_its_values():
    course = Course((1.0,)).extended((2.0,))
    assert course == (1.0, 2.0) == course and course == Course((1.0, 2.0)) and hash(course) == hash((1.0, 2.0))
    assert course not in ((1.0,), [1.0, 2.0]) and not Course()


def test_each_value_is_looked_at_a_few_times_however_many_reports_there_are():
    looks = {}
    for count in (500, 5000):
        Counted.looks, course = 0, Course()
        for index in range(count):
            course = course.extended((Counted(1 / (index + 1)) if index % 7 else math.nan,))
            values = finite(course)
            if values:
                value_in(values, Goal.MINIMIZE)
        looks[count] = Counted.looks / count
    assert looks[5000] <= looks[500] + 0.1 and looks[5000] < 8


def test_a_run_cache_copies_no_history_at_a_report(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        sweep, _ = store.create_sweep("s", text="", seed=0, metric="m", goal="minimize")
        attempt = store.add_and_claim(sweep.sweep_id, 0, {"x": 0}, agent_id="a", host="h", lease_s=60)
        cache = RunCache(store, sweep.sweep_id)
        cache.begin(attempt.run)
        shared = {id(cache.extend(0, (float(index),), (0.5,)).history._shared) for index in range(300)}
        cache.refresh()  # the record is behind: what its own run reported stays
        shared.add(id(cache.extend(0, (9.0,), (0.5,)).history._shared))
        assert len(shared) == 1
        assert cache.views()[0].history == (*map(float, range(300)), 9.0)
        assert len(cache.views()[0].instances) == 301
