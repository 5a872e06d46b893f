"""Inputs that would never end are refused before anything is made, or read as quickly as others."""

import json
import time

import pytest

from sweepkit.errors import SpecError, SweepKitError
from sweepkit.model.distributions import MOST_GRID_VALUES
from sweepkit.model.numbers import is_finite
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text import yaml
from sweepkit.text.yaml import parse

HEAD = "program: p.py\nmetric: {name: loss, goal: minimize}\n"


def read(text):
    return read_sweep_text(HEAD + text, source="s.yaml", directory="", default_name="s")


def cpu_s(work):
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("more", ["", "sweepkit: {conditions: {b: {when: {a: 0}}}}\n"])
def test_a_grid_is_counted_without_being_made(more):
    text = "method: grid\nparameters: {a: {distribution: q_uniform, min: 0, max: 1e9, q: 1e-9}, b: {values: [1, 2]}}\n"
    with pytest.raises(SweepKitError, match="a"):
        make_engine(read(text + more), seed=0)


def test_a_grid_of_whole_numbers_is_never_listed():
    engine = make_engine(read("method: grid\nparameters: {a: {min: 0, max: 1000000000000}}\n"), seed=0)
    assert engine.total() == 10**12 + 1 > MOST_GRID_VALUES


def test_thousands_of_values_are_coded_at_once():
    spec = read(f"method: bayes\nparameters: {{a: {{values: {json.dumps(list(range(2000)))}}}}}\n")
    assert cpu_s(lambda: make_engine(spec, seed=0, sampler="tpe").ask(0)) < 10


@pytest.mark.parametrize(
    ("text", "most"),
    [
        pytest.param("a: [" + "1, " * 30_000 + "1]", 3_000, id="flow"),
        pytest.param("a:\n" + "- 1\n" * 20_000, 3_000, id="block"),
        pytest.param("a: [" + "1, " * 300_000 + "1]", None, id="flow-whole", marks=pytest.mark.heavy),
        pytest.param("a:\n" + "- 1\n" * 200_000, None, id="block-whole", marks=pytest.mark.heavy),
        pytest.param("a: '" + "x" * 10_000_001 + "'", None, id="long"),
    ],
)
def test_a_text_that_would_take_minutes_is_refused(text, most, monkeypatch):
    if most is not None:  # the length of what is read before it is refused is all that the number changes
        monkeypatch.setattr(yaml, "_MAX_VALUES", most)

    def refused():
        with pytest.raises(SpecError, match="at most"):
            parse(text)

    refused()


def test_an_integer_beyond_every_float_is_no_number():
    assert not is_finite(10**400) and not is_finite(-(10**400)) and is_finite(10**300)


def test_numbers_beyond_a_models_range_are_at_its_ends():
    import numpy as np

    from sweepkit.analysis.encoding import as_float32

    x = as_float32(np.array([[1e300, -1e300, 0.5]]))
    assert x.dtype == np.float32 and np.isfinite(x).all() and x[0, 2] == 0.5
