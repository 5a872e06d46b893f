"""A pruner of one's own sees the sweep as one study that goes on, whatever happens to its runs."""

import dataclasses

import optuna
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.columns import RunViews
from sweepkit.model.course import Course, course_of
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.search.pruner_rule import PrunerRule

LOSS = Metric(name="loss", goal=Goal.MINIMIZE)
STATES = st.sampled_from([RunState.RUNNING, RunState.RUNNING, RunState.RUNNING, *RunState])


class Seeing(optuna.pruners.BasePruner):
    """A pruner that keeps what it was shown."""

    def prune(self, study, trial):
        self.direction = study.direction.name
        self.shown = [
            (one.number, one.state.name, one.value, dict(one.intermediate_values))
            for one in study.get_trials(deepcopy=False)
        ]
        self.own = trial.number, dict(trial.intermediate_values)
        return False


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), STATES, st.integers(0, 2), st.booleans()), max_size=15))
def test_it_is_shown_what_it_would_be_if_all_were_read_again(story):
    seeing, anew_seeing = Seeing(), Seeing()
    rule, runs, views = PrunerRule(seeing, LOSS), RunViews(), {}
    for at, (number, state, count, anew) in enumerate(story):
        fresh = RunView(number=number, run_id="", params={}, state=state, history=Course())
        before = views.get(number, fresh)
        values = tuple(float(10 * at + place) for place in range(count))
        history = Course(values) if anew else course_of(before.history).extended(values)
        view = views[number] = dataclasses.replace(before, state=state, history=history)
        runs.put(view)
        if at % 3 == 2:  # several changed since it was asked last
            continue
        rule.decide(view, runs)
        PrunerRule(anew_seeing, LOSS).decide(view, list(runs))
        assert seeing.__dict__ == anew_seeing.__dict__
        assert seeing.direction == "MINIMIZE" and seeing.own[1] == dict(enumerate(history))


def reporting(pruner, runs, reports):
    """Let runs report in turn; yield each one's number, the number of its report and the verdict."""
    rule, views, courses = PrunerRule(pruner, LOSS), RunViews(), [Course()] * runs
    for report in range(reports):
        for number in range(runs):
            courses[number] = courses[number].extended((float(number),))
            view = RunView(number=number, run_id="", params={}, state=RunState.RUNNING, history=courses[number])
            views.put(view)
            yield number, report, rule.decide(view, views).stop


@pytest.mark.parametrize(
    "pruner",
    [
        optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        optuna.pruners.HyperbandPruner(min_resource=1, max_resource=4, reduction_factor=2),
    ],
    ids=lambda pruner: type(pruner).__name__,
)
def test_what_a_pruner_notes_on_its_trials_stays(pruner):
    stopped = {number for number, _, stop in reporting(pruner, 8, 4) if stop}
    assert stopped and 0 not in stopped


def test_a_report_makes_no_trial_again(monkeypatch):
    made, create = [], optuna.trial.create_trial
    monkeypatch.setattr(optuna.trial, "create_trial", lambda **given: made.append(given) or create(**given))
    assert len(list(reporting(Seeing(), 3, 20))) == 60 and len(made) == 3
