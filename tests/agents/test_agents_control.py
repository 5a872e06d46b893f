"""What may be asked of a sweep in which state, and which sweep is meant."""

import pytest

from sweepkit.agents.control import CANCELLED, PAUSED, STOPPED, SweepCommand, ask, find_sweep_record
from sweepkit.errors import ConflictError, StoreError
from sweepkit.model.records import SweepState
from sweepkit.store.open import open_store

S = SweepState


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "s.db") as made:
        yield made


def make(store, name="s", family="s", generation=1):
    return store.create_sweep(name, text="", seed=0, metric=None, goal=None, family=family, generation=generation)[0]


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        (SweepCommand.PAUSE, S.RUNNING, (S.PAUSED, PAUSED)),
        (SweepCommand.RESUME, S.PAUSED, (S.RUNNING, "")),
        (SweepCommand.STOP, S.RUNNING, (S.FINISHED, STOPPED)),
        (SweepCommand.STOP, S.PAUSED, (S.FINISHED, STOPPED)),
        (SweepCommand.CANCEL, S.RUNNING, (S.CANCELLED, CANCELLED)),
        (SweepCommand.CANCEL, S.PAUSED, (S.CANCELLED, CANCELLED)),
    ],
)
def test_a_command_is_the_sweeps_state_in_the_record(store, command, before, after):
    sweep = make(store)
    store.update_sweep(sweep.sweep_id, state=before)
    assert ask(store, "s", command).sweep_id == sweep.sweep_id
    found = store.sweep("s")
    assert (found.state, found.reason) == after
    claimed = store.add_and_claim(sweep.sweep_id, 0, {}, agent_id="a", host="h", lease_s=60)
    assert (claimed is not None) == (after[0] is S.RUNNING)


@pytest.mark.parametrize(
    ("command", "state"),
    [
        (SweepCommand.PAUSE, S.PAUSED),
        (SweepCommand.PAUSE, S.FINISHED),
        (SweepCommand.RESUME, S.RUNNING),
        (SweepCommand.RESUME, S.CANCELLED),
        (SweepCommand.STOP, S.FINISHED),
        (SweepCommand.CANCEL, S.CANCELLED),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(store, command, state):
    sweep = make(store)
    store.update_sweep(sweep.sweep_id, state=state, reason="because")
    with pytest.raises(ConflictError, match=rf"--{command} needs one that is .*, got {state} \(because\)"):
        ask(store, "s", command)
    assert (store.sweep("s").state, store.sweep("s").reason) == (state, "because")


def test_a_name_means_the_very_sweep_and_only_where_there_is_none_the_newest_of_its_family(store):
    first = make(store)
    make(store, "s-2", "s", 2)
    assert find_sweep_record(store, "s").name == "s"
    assert find_sweep_record(store, "s-2").name == "s-2"
    with pytest.raises(StoreError, match="did you mean 's-2'"):
        find_sweep_record(store, "s-3")
    store.update_sweep(first.sweep_id, state=S.FINISHED)
    with pytest.raises(ConflictError, match="s-2"):  # what is steered is meant to be the newest: it is named
        ask(store, "s", SweepCommand.PAUSE)
    store.remove_sweep(first.sweep_id)
    assert find_sweep_record(store, "s").name == "s-2"
