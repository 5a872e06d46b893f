"""How long a run took: one rule for the engine, the results, the monitor and the page."""

import pytest

from sweepkit.agents.run_cache import view_of
from sweepkit.analysis.progress import row_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState


def record(state=RunState.FINISHED, outcome=(), started_at=10.0, ended_at=13.0):
    return RunRecord(
        run_id="a",
        sweep_id="s",
        number=0,
        params={},
        state=state,
        outcome=dict(outcome),
        started_at=started_at,
        ended_at=ended_at,
    )


@pytest.mark.parametrize(
    ("run", "took"),
    [
        (record(outcome={"duration_s": 2.5}), 2.5),  # what was measured where it ran counts
        (record(), 3.0),
        (record(ended_at=9.0), 0.0),  # the clock was set back
        (record(started_at=None), None),
        (record(outcome={"duration_s": "?"}), 3.0),
        (record(RunState.FAILED), 3.0),
        (record(RunState.PENDING, outcome={"duration_s": 2.5}), None),  # to be tried again
    ],
)
def test_how_long_a_run_took_is_said_alike_everywhere(run, took):
    assert run.duration_s == row_of(run, None).duration_s == took
    assert view_of(run).seconds == (took if run.state is RunState.FINISHED else None)
