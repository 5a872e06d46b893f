"""The report of more runs than a page can hold says what it shows of them, and stays small."""

import base64
import gzip
import random
import re
from dataclasses import replace

import pytest

from sweepkit.analysis import importance
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.history import expected_best
from sweepkit.analysis.importance import ForestEffort, importances
from sweepkit.model.metric import Goal
from sweepkit.reports.figures.base import MOST_MARKS, Drawn, sampled
from sweepkit.reports.figures.page import plotly_js, scripts
from sweepkit.reports.study_report import ReportContext, study_report


def table(count):
    drawn = random.Random(0)
    rows = [{"x": drawn.random(), "y": drawn.choice("abc"), "loss": drawn.random()} for _ in range(count)]
    return from_rows(rows, metric="loss", goal=Goal.MINIMIZE, parameters=["x", "y"], name="many")


def test_the_marks_that_are_drawn_hold_the_extremes_and_are_spread():
    values = [float((n * 7919) % 5003) for n in range(5003)]
    shown = sampled(values)
    assert len(shown) <= MOST_MARKS and shown == sorted(set(shown))
    assert {values.index(min(values)), values.index(max(values))} <= set(shown)
    assert max(b - a for a, b in zip(shown, shown[1:], strict=False)) <= 5003 // MOST_MARKS + 3
    assert sampled([None, "a", 1.0]) == [0, 1, 2]


def test_importance_is_of_a_sample_and_says_so(monkeypatch):
    monkeypatch.setattr(importance, "_MOST_CONFIGURATIONS", 40)
    found = importances(table(90), effort=ForestEffort(trees=3, refit_trees=2, subsamples=10))
    assert (found.n, found.runs) == (40, 40)
    assert "40 of the 90" in found.sentences[-1]
    again = importances(table(90), effort=ForestEffort(trees=3, refit_trees=2, subsamples=10))
    assert again == found


@pytest.mark.slow
def test_a_page_of_many_runs_is_small_and_says_what_it_shows():
    page = study_report(table(5000), ReportContext(title="Sweep"))
    assert len(page.encode()) < 2_000_000
    assert "500 of 5,000" in page and f"{MOST_MARKS:,}" in page
    assert 'id="plotly"' not in page and plotly_js() not in page


@pytest.mark.slow
def test_a_page_holds_plotly_where_a_figure_has_three_axes():
    flat = Drawn(name="flat", title="", caption="", data=({"type": "scatter", "x": [1], "y": [2]},), layout={})
    solid = replace(flat, name="solid", data=({"type": "scatter3d", "x": [1], "y": [2], "z": [3]},))
    assert plotly_js() in scripts([flat, solid]) and plotly_js() not in scripts([flat])
    packed = re.search(r'<script type="text/plain" id="plotly">([^<]*)</script>', scripts([flat, solid], packed=True))
    assert gzip.decompress(base64.b64decode(packed.group(1))).decode() == plotly_js()


def test_the_expected_best_of_many_runs_needs_no_huge_numbers():
    curve = expected_best([float(n) for n in range(20_000)], Goal.MAXIMIZE)
    for k in (1, 2, 10, 1000):  # the mean of the largest of k out of 0 … n - 1 is k (n + 1) / (k + 1) - 1
        assert curve[k - 1] == pytest.approx(k * 20_001 / (k + 1) - 1, rel=1e-9)
