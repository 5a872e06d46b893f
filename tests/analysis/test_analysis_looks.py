"""Runs that reported unequally often: more looks, a better best by luck alone; nothing is concluded from that."""

from dataclasses import replace

import numpy as np
import pytest
from depth import half

from sweepkit.analysis.importance import ForestEffort, importances
from sweepkit.analysis.importance_result import Verdict
from sweepkit.analysis.looks import looks_sentences, unequal_looks
from sweepkit.analysis.summary import saved, summary
from sweepkit.analysis.table import from_runs
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.sweep_config.sweep import Method, SweepSpec


def noise(seed, rule="best", epochs=(2, 5, 10, 20, 40)):
    """Return 60 random runs of a metric that is noise at each epoch."""
    rng = np.random.default_rng(seed)
    metric = Metric(name="acc", goal=Goal.MAXIMIZE, value=rule)
    runs = []
    for number in range(60):
        length = int(rng.choice(epochs))
        runs.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="s",
                number=number,
                params={"epochs": length, "lr": float(10 ** rng.uniform(-5, -1)), "dropout": float(rng.uniform())},
                state=RunState.FINISHED,
                history=tuple(float(value) for value in 0.5 + 0.01 * rng.normal(size=length)),
            )
        )
    spec = SweepSpec(name="noise", method=Method.RANDOM, space=Space(parameters=()), metric=metric)
    return from_runs(spec, runs)


@pytest.mark.slow
def test_more_looks_are_told_and_not_called_an_effect():
    quick = ForestEffort(trees=half(60), refit_trees=half(30), subsamples=half(12))
    clear = 0
    for seed in range(3):
        table = noise(seed)
        found = unequal_looks(table)
        assert (found.fewest, found.most) == (2, 40)
        best = table.configurations()[0].first
        assert best.reports > best.at or best.value == best.last
        said = looks_sentences(table)
        assert len(said) == 1 and said[0] in summary(table)
        result = importances(table, effort=quick)
        clear += sum(share.verdict is Verdict.CLEAR for share in result.shares)
        assert "2 to 40 reports" in result.sentences[-1]
    assert clear == 0


def test_equal_looks_and_last_values_need_no_warning():
    assert unequal_looks(noise(1, rule="last")) is None
    assert unequal_looks(noise(1, epochs=(5,))) is None and looks_sentences(noise(1, epochs=(5,))) == []
    table = noise(2, rule="last")
    assert all(row.value == row.last and row.at == row.reports for row in table.rows)
    assert unequal_looks(replace(table, metrics=())) is None


def test_what_stopping_saved_goes_by_each_runs_own_pace():
    def ran(number, state, reports, seconds):
        return RunRecord(
            run_id=f"r{number}",
            sweep_id="s",
            number=number,
            params={"size": number},
            state=state,
            history=tuple(0.1 * k for k in range(reports)),
            outcome={"duration_s": seconds},
        )

    done = [ran(k, RunState.FINISHED, 10, 10.0) for k in range(3)]
    done.append(ran(3, RunState.FINISHED, 10, 500.0))  # one slow first run is no measure
    slow = [ran(4, RunState.STOPPED, 2, 40.0)]  # eight more reports at 20 s each
    spec = SweepSpec(
        name="s", method=Method.RANDOM, space=Space(parameters=()), metric=Metric(name="acc", goal=Goal.MAXIMIZE)
    )
    assert "saved about 2.7 min" in saved(from_runs(spec, [*done, *slow]))
