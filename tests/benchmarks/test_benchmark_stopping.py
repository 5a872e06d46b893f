"""Stopping rules behind an engine: the engine learns what the rule let each run reach."""

import importlib
import sys

import numpy as np
import pytest

from sweepkit import paths
from sweepkit.model.columns import RunViews
from sweepkit.model.runs import RunState, RunView


@pytest.fixture
def stopping(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(paths.ROOT_DIR / "benchmarks"), *sys.path])
    yield importlib.import_module("stopping")
    for name in ("stopping", "measuring"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("engine", ["tpe", "bayes"])
def test_an_engine_is_told_every_run(stopping, engine):
    points = np.random.default_rng(0).random((40, 8))

    def proposed(best):
        """Return which rows are asked for after thirty runs, of which those near a place are the best."""
        views, proposer = RunViews(), stopping.Proposer(engine, points, 0)
        for number in range(30):
            values = np.random.default_rng(number).random(8)
            params = {f"x{place}": float(value) for place, value in enumerate(values)}
            loss = float(((values - best) ** 2).sum())
            views.put(
                RunView(number=number, run_id=str(number), params=params, state=RunState.FINISHED, history=(loss,))
            )
        return np.mean([points[proposer.next(views)] for _ in range(3)])

    assert proposed(0.9) > proposed(0.1)
