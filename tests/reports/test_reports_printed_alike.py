"""Two numbers that a sentence calls different look different in it."""

import re

import pytest

from sweepkit.analysis.association import Association, Associations
from sweepkit.analysis.lead import Lead, Sureness
from sweepkit.analysis.lead_words import lead_sentences
from sweepkit.analysis.table import Row
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.reports.figures.static import _correlations_title, _decimals
from sweepkit.stats.comparison import ComparisonSettings, compare
from sweepkit.stats.groups import groups_of
from sweepkit.stats.seed_race import clearly_worse
from sweepkit.stats.sentences import pair_sentence
from sweepkit.stopping.make import rule_of
from sweepkit.sweep_config.sweep import EarlyTerminate

NUMBER = re.compile(r"(?<![\w.])-?\d*\.\d+(?:e-?\d+)?")


def numbers(text):
    return [float(found) for found in NUMBER.findall(text)]


@pytest.mark.parametrize("value", [0.499996, 0.500004])
def test_a_value_beyond_a_threshold_is_seen_beyond_it(value):
    rule = rule_of(EarlyTerminate(type="threshold", lower=0.5, upper=0.500001), Goal.MAXIMIZE, "")
    run = RunView(number=0, run_id="0", params={}, state=RunState.RUNNING, history=(value,))
    decision = rule.decide(run, [run])
    shown, lower, upper = numbers(decision.reason)
    assert decision.stop and not lower <= shown <= upper


def test_a_seed_race_shows_two_means_that_differ():
    scores = {0: [0.9000001, 0.9000002, 0.9000003], 1: [0.9000041, 0.9000042, 0.9000043]}
    (why,) = clearly_worse(scores, Goal.MAXIMIZE, min_seeds=2).values()
    worse, better = numbers(why)[:2]
    assert worse < better


def test_a_lead_beyond_luck_is_the_larger_number():
    row = Row(number=0, run_id="a", state=RunState.FINISHED, params={}, value=0.7, objectives=(0.7,))
    first, second = (Configuration(runs=(row,), each=((v,),), values=(v,)) for v in (0.7, 0.69519))
    found = Lead(
        metric=Metric(name="m", goal=Goal.MAXIMIZE),
        first=first,
        second=second,
        configurations=3,
        difference=0.00481,
        differs={},
        sd=(0.0028, 15),
        luck=0.004799,
        sureness=Sureness.BEYOND,
    )
    head, noise = lead_sentences(found)[:2]
    assert numbers(head)[-2] > numbers(noise)[-1]


def test_a_cell_beyond_chance_is_beyond_the_line_as_printed():
    cell = Association(a="lr", b="acc", kind="spearman", value=0.4531, n=40, shown=True)
    found = Associations(names=("lr", "acc"), cells=(cell,), n=40, line=0.4528)
    line = numbers(_correlations_title(found))[0]
    assert round(cell.value, _decimals(found)) > line


def test_what_is_better_is_better_by_more_than_nothing():
    noise = {"c": [0.1, 0.9, 0.5], "d": [0.2, 0.8, 0.4]}
    scores = {"a": [0.5, 0.500001], "b": [0.50001, 0.500011]}
    found = compare(groups_of(scores), ComparisonSettings(margin=0))
    sentences = [pair_sentence(pair, found) for pair in found.pairs]
    sentences += [pair_sentence(pair, found) for pair in compare(groups_of(noise), ComparisonSettings(margin=0)).pairs]
    assert all(numbers(sentence)[0] > 0 for sentence in sentences)
