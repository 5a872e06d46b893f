"""Rules keep what they know of a history: they say what they would if they read all of it again, at a steady cost."""

import dataclasses
import math
import random
from itertools import groupby

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.columns import RunViews
from sweepkit.model.course import Course, course_of
from sweepkit.model.metric import Goal
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.make import rule_of
from sweepkit.stopping.steps import numbers, quantile
from sweepkit.sweep_config.sweep import EarlyTerminate

VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.0, 2.5, 3.0, -1.0, math.nan, math.inf, -math.inf])
NUMBERS = st.one_of(st.integers(0, 4).map(float), st.floats(-3, 3))
STATES = st.sampled_from([RunState.RUNNING, RunState.RUNNING, RunState.RUNNING, *RunState])


# -- what each rule says, in the words of its docstring ---------------------------------------------------------------


def patience(rule, sign, run, runs):
    history = [sign * value for value in run.history if math.isfinite(value)]
    best, since = math.inf, 0
    for value in history:
        best, since = (value, 0) if value < best - rule.min_delta or best == math.inf else (best, since + 1)
    return since >= rule.patience and len(history) > rule.n_warmup_reports


def patient(rule, sign, run, runs):
    values = [sign * value for value in run.history]
    before, newest = numbers(values[: -rule.patience - 1]), numbers(values[-rule.patience - 1 :])
    return bool(before and newest) and min(before) + rule.min_delta < min(newest)


def percentile(rule, sign, run, runs):
    reports = len(run.history)
    done = [other.history for other in runs if other.state is RunState.FINISHED]
    if len(done) < max(1, rule.n_startup_runs) or not reports:
        return False
    own = numbers(sign * value for value in run.history)
    if not own:
        return True
    limit = quantile(
        numbers(sign * history[reports - 1] for history in done if len(history) >= reports), rule.percentile
    )
    return min(own) > limit


def wilcoxon(rule, sign, run, runs):
    own = [sign * value for value in run.history]
    done = [[sign * value for value in other.history] for other in runs if other.state is RunState.FINISHED]
    means = [(mean(values), values) for values in done if values and not math.isnan(mean(values))]
    if not own or not means:
        return False
    best = min(means, key=lambda pair: pair[0])[1]
    count = min(len(own), len(best))
    if count < 2 or not all(map(math.isfinite, own + best)) or mean(own) <= mean(best):
        return False
    return p_greater([mine - other for mine, other in zip(own, best, strict=False)]) < rule.p_threshold


def mean(values):
    total = values[0]
    for value in values[1:]:
        total += value
    return total / len(values)


def p_greater(differences):
    """Return the p-value by ranking all differences, and going through all signs up to 13 of them."""
    ordered = sorted(differences, key=abs)
    above, ways, ties, begin = 0.0, {0.0: 1}, 0, 0
    for size, group in groupby(ordered, key=abs):
        alike = list(group)
        rank = begin + (1 + len(alike)) / 2
        for value in alike:
            above += rank * (0.5 if size == 0 else value > 0)
            low, high = (rank / 2, rank / 2) if size == 0 else (0.0, rank)
            longer = {}
            for total, count in ways.items():
                longer[total + low] = longer.get(total + low, 0) + count
                longer[total + high] = longer.get(total + high, 0) + count
            ways = longer
        ties += len(alike) ** 3 - len(alike)
        begin += len(alike)
    count = len(differences)
    if count > (13 if ties or 0 in differences else 50):
        variance = (count * (count + 1) * (2 * count + 1) - ties / 2) / 24
        return 0.5 * math.erfc((above - count * (count + 1) / 4) / math.sqrt(2 * variance))
    return sum(many for total, many in ways.items() if total >= above) / 2**count


RULES = (
    (patience, EarlyTerminate(type="patience", patience=2, min_delta=0.5, n_warmup_reports=3)),
    (patience, EarlyTerminate(type="patience", patience=3)),
    (patient, EarlyTerminate(type="patient", patience=1, min_delta=0.5)),
    (patient, EarlyTerminate(type="patient", patience=0)),
    (percentile, EarlyTerminate(type="percentile", percentile=40.0, n_startup_runs=2)),
    (wilcoxon, EarlyTerminate(type="wilcoxon", p_threshold=0.3)),
)


class Telling:
    """Tells a rule what happens, and asks it after each report; its runs' histories grow as an agent's do."""

    def __init__(self, plainly, wanted, goal):
        self.plainly, self.wanted, self.goal = plainly, wanted, goal
        self.rule, self.runs = rule_of(wanted, goal, "s"), RunViews()
        self.views = {}

    def happens(self, number, state, values, anew):
        before = self.views.get(number) or RunView(number=number, run_id="", params={}, state=state, history=Course())
        history = Course(values) if anew else course_of(before.history).extended(values)
        view = dataclasses.replace(before, state=state, history=history)
        self.views[number] = view
        self.runs.put(view)
        if history:
            plain = [
                dataclasses.replace(self.views[key], history=tuple(self.views[key].history))
                for key in sorted(self.views)
            ]
            mine = next(one for one in plain if one.number == number)
            said = self.rule.decide(view, self.runs)
            # Of the same values read at once it says the same, to the word.
            assert repr(said) == repr(rule_of(self.wanted, self.goal, "s").decide(mine, plain))
            assert said.stop == self.plainly(self.wanted, self.goal.sign, mine, plain), said.reason


@pytest.mark.parametrize(("plainly", "wanted"), RULES, ids=lambda one: getattr(one, "type", ""))
@settings(max_examples=examples(20))
@given(
    st.sampled_from(list(Goal)),
    st.lists(
        st.tuples(st.integers(0, 4), STATES, st.lists(VALUES | NUMBERS, min_size=1, max_size=3), st.booleans()),
        max_size=20,
    ),
)
def test_it_says_what_it_would_if_it_read_all_again(plainly, wanted, goal, story):
    telling = Telling(plainly, wanted, goal)
    for number, state, values, anew in story:
        telling.happens(number, state, tuple(values), anew and len(values) == 1)


@pytest.mark.parametrize(("plainly", "wanted"), RULES, ids=lambda one: getattr(one, "type", ""))
def test_so_it_does_of_longer_runs_without_nan(plainly, wanted):
    drawn = random.Random(7)
    telling = Telling(plainly, wanted, Goal.MAXIMIZE)
    for number in (3, 1, 2, 0):
        for report in range(60):
            state = RunState.FINISHED if report == 59 else RunState.RUNNING
            value = drawn.choice((drawn.random(), drawn.randint(0, 3), -report)) - number / 4
            telling.happens(number, state, (float(value),), False)


class Counted(float):
    """A number that counts how often any of its kind is compared or reckoned with."""

    looks = 0

    def looked(name):
        def look(self, *others):
            Counted.looks += 1
            return getattr(float, name)(self, *others)

        return look

    __float__, __lt__, __gt__ = looked("__float__"), looked("__lt__"), looked("__gt__")
    __mul__, __rmul__, __sub__ = looked("__mul__"), looked("__rmul__"), looked("__sub__")
    __rsub__, __add__, __radd__ = looked("__rsub__"), looked("__add__"), looked("__radd__")
    __abs__, __neg__ = looked("__abs__"), looked("__neg__")


EVERY = (
    *(wanted for _, wanted in RULES),
    EarlyTerminate(type="patience", patience=10_000),
    EarlyTerminate(type="patient", patience=3, min_delta=1e9),
    EarlyTerminate(type="threshold", upper=1e9),
    EarlyTerminate(type="successive_halving", min_resource=1, reduction_factor=2),
    EarlyTerminate(type="optuna_hyperband", min_resource=1, max_resource=4000, reduction_factor=2),
    EarlyTerminate(type="hyperband", min_iter=1, eta=2.0),
    EarlyTerminate(type="asha", min_iter=1, eta=2.0),
    EarlyTerminate(type="median", n_startup_runs=1),
    EarlyTerminate(type="auto"),
)


@pytest.mark.parametrize("wanted", EVERY, ids=lambda rule: rule.type)
def test_a_report_costs_no_more_for_those_before_it(wanted):
    drawn = random.Random(3)
    rule, runs = rule_of(wanted, Goal.MINIMIZE, "s"), RunViews()
    for number in range(1, 4):
        values = tuple(drawn.random() for _ in range(600))
        runs.put(RunView(number=number, run_id="", params={}, state=RunState.FINISHED, history=values))
    course, looks = Course(), []
    for report in range(600):
        # Near the others, with a NaN now and then; wilcoxon judges none of a run that has one.
        value = math.nan if report % 97 == 5 and wanted.type != "wilcoxon" else drawn.random()
        Counted.looks, course = 0, course.extended((Counted(value),))
        view = RunView(number=0, run_id="", params={}, state=RunState.RUNNING, history=course)
        runs.put(view)
        rule.decide(view, runs)
        looks.append(Counted.looks)
    early, late = sum(looks[50:150]), sum(looks[-100:])
    assert late <= 1.5 * early + 200 and late < 100 * 60
