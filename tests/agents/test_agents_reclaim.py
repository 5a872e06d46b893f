"""What a second agent makes of attempts whose agent is dead, where a process of theirs does not go."""

from types import SimpleNamespace

import pytest

from sweepkit.agents import descent, reclaim
from sweepkit.agents.identity import agent_identity, host_name
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store


@pytest.fixture
def abandoned(tmp_path):
    """A record with a run of a dead agent of this host, and the context of another agent; what that said in `told`."""
    dead = agent_identity().rpartition("|")[0] + "|1"  # this process's number, which began at another time
    with open_store(tmp_path / "record.db") as store:
        sweep, _ = store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        store.add_and_claim(sweep.sweep_id, 0, {}, agent_id=dead, host=host_name(), lease_s=60)
        said = []
        yield SimpleNamespace(
            store=store,
            sweep=sweep,
            host=host_name(),
            identity=agent_identity(),
            held={},
            runs=SimpleNamespace(most_running=1),
            settings=SimpleNamespace(lease_s=0.0),  # looks every time
            place=SimpleNamespace(paths=SimpleNamespace(exit_file=lambda attempt: tmp_path / attempt)),
            emit=said.append,
            said=said,
        )


def state(context):
    (run,) = context.store.runs(context.sweep.sweep_id)
    return run.state


def test_a_run_is_not_begun_again_beside_a_process_that_does_not_go(abandoned, monkeypatch):
    reclaimer = reclaim.Reclaimer(abandoned, recover=lambda attempt, ended: None)
    monkeypatch.setattr(descent, "kill_family", lambda *_, **__: (1, [99]))
    for _ in range(3):
        reclaimer.reclaim()
    assert (state(abandoned), abandoned.said) == (RunState.RUNNING, [])
    monkeypatch.setattr(descent, "kill_family", lambda *_, **__: (0, []))
    reclaimer.reclaim()
    assert state(abandoned) is RunState.PENDING


def test_a_process_that_is_stuck_for_good_does_not_hold_its_run_up_for_ever(abandoned, monkeypatch):
    monkeypatch.setattr(reclaim, "_STUCK_S", 0.0)
    monkeypatch.setattr(descent, "kill_family", lambda *_, **__: (1, [99]))
    reclaim.Reclaimer(abandoned, recover=lambda attempt, ended: None).reclaim()
    assert state(abandoned) is RunState.PENDING
    assert abandoned.said[0].warning and "99" in abandoned.said[0].text
