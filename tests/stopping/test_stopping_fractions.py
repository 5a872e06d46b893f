"""Runs of unequal length: each is spread as the docstring says, at the cost of what a report adds."""

import dataclasses
import math
from fractions import Fraction
from statistics import median

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.columns import RunViews
from sweepkit.model.course import Course, course_of
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.fractions import EqualFractions

STATES = st.sampled_from([RunState.RUNNING, RunState.RUNNING, RunState.FINISHED, RunState.FAILED])


class Shown:
    """A rule that keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def decide(self, run, runs):
        self.shown.append((tuple(run.history), {one.number: tuple(one.history) for one in runs}))
        return Decision(stop=False, reason="x")


def spread(history, whole, longest, first):
    """Return a history as the docstring of `EqualFractions` has it: evenly from report to report, over `longest`."""
    values = []
    for place in range(1, min(longest, longest * len(history) // whole) + 1):
        report = Fraction(max(place, first) * whole, longest)
        below = min(max(int(report), 1), len(history))
        part = float(max(report - below, 0))
        last = part == 0 or below == len(history)
        values.append(history[below - 1] if last else history[below - 1] * (1 - part) + history[below] * part)
    return tuple(values)


def expected(run, runs):
    """Return what a rule is shown of a run and of all; [] before one has finished."""
    each = [len(one.history) / one.params["n"] for one in runs if one.state is RunState.FINISHED and one.history]
    if not each:
        return []
    unit, lengths = median(each), [one.params["n"] for one in runs]
    whole = {one.number: max(1, round(unit * one.params["n"])) for one in runs}
    longest, shortest = max(1, round(unit * max(lengths))), max(1, round(unit * min(lengths)))
    first = math.ceil(longest / shortest)
    seen = {one.number: spread(tuple(one.history), whole[one.number], longest, first) for one in runs}
    before = min(longest, longest * (len(run.history) - 1) // whole[run.number])
    mine = seen[run.number]
    return [(mine[:place], seen) for place in range(max(before + 1, first), len(mine) + 1)]


@settings(max_examples=examples(40))
@given(
    st.lists(st.integers(1, 6), min_size=5, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), STATES, st.integers(1, 3), st.booleans()), max_size=25),
)
def test_a_rule_is_shown_what_it_would_be_if_all_were_read_again(lengths, story):
    rule, runs, views = EqualFractions(Shown(), ("n",)), RunViews(), {}
    for at, (number, state, count, anew) in enumerate(story):
        fresh = RunView(number=number, run_id="", params={"n": lengths[number]}, state=state, history=Course())
        before = views.get(number, fresh)
        values = tuple(float(10 * at + place) for place in range(count))
        history = Course(values) if anew else course_of(before.history).extended(values)
        view = views[number] = dataclasses.replace(before, state=state, history=history)
        runs.put(view)
        rule._rule.shown.clear()
        rule.decide(view, runs)
        assert rule._rule.shown == expected(view, [views[key] for key in sorted(views)])
        plain = EqualFractions(Shown(), ("n",))
        plain.decide(view, list(runs))
        assert plain._rule.shown == rule._rule.shown


class Counted(float):
    """A number that counts how often it is reckoned with."""

    looks = 0

    def __mul__(self, other):
        Counted.looks += 1
        return float(self) * other


class Silent:
    """A rule that looks at nothing."""

    def decide(self, run, runs):
        return Decision(stop=False, reason="x")


@pytest.mark.parametrize("length", [7, 20])
def test_a_report_costs_no_more_for_those_before_it(length):
    rule, runs, course, looks = EqualFractions(Silent(), ("n",)), RunViews(), Course(), []
    ended = RunView(number=1, run_id="", params={"n": 20}, state=RunState.FINISHED, history=Course((0.5,) * 1200))
    runs.put(ended)
    for report in range(400):
        Counted.looks, course = 0, course.extended((Counted(report),))
        view = RunView(number=0, run_id="", params={"n": length}, state=RunState.RUNNING, history=course)
        runs.put(view)
        rule.decide(view, runs)
        looks.append(Counted.looks)
    assert max(looks[10:]) <= 6
