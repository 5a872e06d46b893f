"""The YAML of a recorded sweep is read whatever this version thinks of it; a sweep that is run is judged."""

import random

import pytest
from bad_sweeps import BAD_SWEEPS
from fuzzing import mutated_text
from hypothesis import given
from hypothesis import strategies as st
from watching_support import record

from sweepkit.errors import SpecError
from sweepkit.sweep_config.read import read_accepted, read_recorded, read_sweep_text
from sweepkit.sweep_config.sweep import Method

GOOD = """\
method: bayes
program: train.py
metric: {name: loss, goal: minimize}
parameters:
  lr: {min: 0.0001, max: 0.1, distribution: log_uniform_values}
  batch: {values: [8, 16]}
early_terminate: {type: hyperband, min_iter: 3}
sweepkit: {retries: 1, value: last}
"""


@pytest.mark.parametrize("text", [row[1] for row in BAD_SWEEPS], ids=[row[0] for row in BAD_SWEEPS])
def test_what_is_refused_now_is_left_out_and_said(text):
    with pytest.raises(SpecError) as refused:
        read_sweep_text(text, source="s")
    assert list(read_accepted(text, source="s").refused) == [str(problem) for problem in refused.value.problems]


def test_the_rest_of_it_is_as_it_was():
    found = read_accepted(GOOD + "warp: 9\n")
    assert (found.method, len(found.refused)) == (Method.BAYES, 1)
    wanted = read_sweep_text(GOOD)
    assert (found.space, found.metric, found.extensions) == (wanted.space, wanted.metric, wanted.extensions)
    assert read_accepted(GOOD).refused == wanted.refused == ()


@given(st.integers(0, 2**32))
def test_no_text_at_all_keeps_a_sweep_from_being_read(seed):
    dice = random.Random(seed)
    text = mutated_text(GOOD, dice)
    found = read_recorded(record(text=text, metric="loss", goal="minimize"))
    assert found.text == text
    try:
        read_sweep_text(text)
    except SpecError:
        assert found.refused
    else:
        assert not found.refused


def test_the_metric_of_the_record_counts_where_the_text_has_none():
    found = read_recorded(record(text="\tnothing", metric="acc", goal="maximize", meta={"value": "last"}))
    assert (found.metric.name, found.metric.goal.value, found.metric.value) == ("acc", "maximize", "last")
