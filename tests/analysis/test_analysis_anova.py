"""The Gaussian process of importance: its shares are those of its own mean, and it says which runs it looked at."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sweepkit.analysis import anova as module
from sweepkit.analysis.anova import _covariance, _part, _totals, anova
from sweepkit.analysis.encoding import encode
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.importance import importances


def rows_of(points, value):
    return [
        {f"params.{name}": item for name, item in point.items()} | {"value": value(point), "number": number}
        for number, point in enumerate(points)
    ]


def drawn(n, seed):
    """Return n points at random, of three numbers and one category."""
    rng = np.random.default_rng(seed)
    return [{**{name: float(rng.uniform()) for name in "abc"}, "kind": str(rng.choice(list("xyz")))} for _ in range(n)]


def test_shares_are_the_total_indices_of_the_mean_over_the_whole_range():
    axes = {"a": [0.1, 0.4, 0.9, 1.3], "b": [1.0, 2.0, 3.0], "kind": ["x", "y"]}
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    rng = np.random.default_rng(2)
    design = encode(from_rows(rows_of(points, lambda point: float(rng.normal()))), averaged=False)
    found = [_part(design, group, np.arange(design.n)) for group in design.groups]
    kernels, spreads = np.array([kernel for kernel, _ in found]), np.array([spread for _, spread in found])
    apart, weights, alpha = 0.7, np.array([0.5, 0.2, 0.9]), rng.normal(size=design.n)
    shares = _totals(alpha, apart * weights, spreads)
    covariance = _covariance(np.log([1e-6, apart, *weights]), kernels)
    noise = covariance[0, 0] - 1 - (np.prod(1 + apart * weights * kernels[:, 0, 0]) - 1) / apart
    mean = (covariance - noise * np.eye(design.n)) @ alpha
    grid = mean.reshape([len(axis) for axis in axes.values()])
    brute = [float(np.mean(grid.var(axis=at)) / grid.var()) for at in range(grid.ndim)]
    assert [group.name for group in design.groups] == list(axes)
    assert shares == pytest.approx(brute, rel=1e-6)


def test_main_effects_interactions_and_a_parity_of_three_are_seen():
    def shares(value, points):
        found = anova(encode(from_rows(rows_of(points, value)), averaged=False), judge=False)
        return dict(zip(points[0], found.shares, strict=True))

    noise = np.random.default_rng(4)
    apart = shares(lambda p: 2 * p["a"] + (p["kind"] == "x") + 0.1 * noise.normal(), drawn(60, 1))
    assert apart["a"] + apart["kind"] == pytest.approx(1.0, abs=0.05) and max(apart["b"], apart["c"]) < 0.05
    both = shares(lambda p: float((p["a"] > 0.5) == (p["kind"] == "x")) + 0.1 * noise.normal(), drawn(80, 2))
    assert min(both["a"], both["kind"]) > 0.4 > 4 * max(both["b"], both["c"])
    bits = [dict(zip("abcd", bit, strict=True)) for bit in itertools.product([False, True], repeat=4)] * 4
    parity = shares(lambda p: float(p["a"] ^ p["b"] ^ p["c"]) + 0.1 * noise.normal(), bits)
    assert min(parity["a"], parity["b"], parity["c"]) > 0.8 > 8 * parity["d"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_what_is_said_names_the_runs_that_were_looked_at(monkeypatch, seeds):
    monkeypatch.setattr(module, "_MOST", 40)
    points = [point for point in drawn(60, 3) for _ in range(seeds)]
    noise = np.random.default_rng(5)
    table = replace(from_rows(rows_of(points, lambda p: p["a"] + 0.1 * noise.normal())), method="bayes")
    result = importances(table)
    assert (result.estimator, result.n, result.runs, result.looked) == ("anova", 60, 60 * seeds, 40)
    assert result.basis == f"40 of {60 * seeds} runs" and result.basis in result.sentences[0]
    with_seeds = importances(replace(table, method=""), estimator="eps_squared").sentences  # it does average
    assert not set(result.sentences) & set(with_seeds)


def test_the_process_chooses_of_all_runs_and_not_of_the_forests_sample(monkeypatch):
    monkeypatch.setattr("sweepkit.analysis.importance._MOST_CONFIGURATIONS", 50)
    noise = np.random.default_rng(6)
    table = from_rows(rows_of(drawn(70, 7), lambda p: p["a"] + 0.1 * noise.normal()))
    found = importances(replace(table, method="tpe"))
    assert (found.n, found.looked, found.basis) == (70, None, "70 configurations")
    assert found.basis in found.sentences[0]
    sampled = importances(table, estimator="eps_squared").sentences[-1]  # of a sample, and says so
    assert sampled not in found.sentences
