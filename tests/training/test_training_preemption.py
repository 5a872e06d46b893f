"""What SIGTERM does to a training with an agent, and what counts as its checkpoint. In forks, for they die of it."""

import json
import math
import os
import signal
import traceback

import pytest
from snapshots import words_of

from sweepkit.training.preemption import EXIT_CODE, Preempted, Preemption

WORDS = words_of(__file__)

KEY = {"settings": "a", "data": {"train": "1"}}


@pytest.fixture
def make(tmp_path):
    def make(key=KEY, said=None):
        say = (lambda line: None) if said is None else said.append
        return Preemption(marker=tmp_path / "marker", folder=tmp_path / "kept", key=key, say=say)

    return make


def in_fork(work):
    """Return how a process ends that does `work`: its exit code, or minus a signal. Code 99 is an error in it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def terminated(preemption, *before):
    """Return how a process ends that gets SIGTERM after these calls; 1 when it was asked to save, 0 when not."""

    def work():
        preemption.install()
        for call in before:
            call()
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(int(preemption.requested))

    return in_fork(work)


def test_without_the_agents_file_it_dies_at_once(make):
    preemption = make()
    assert terminated(preemption, preemption.begin) == -signal.SIGTERM
    assert terminated(preemption, preemption.begin, preemption.finish) == -signal.SIGTERM


def test_with_it_a_training_is_asked_to_save_once_it_has_begun_and_until_it_is_over(make, tmp_path):
    (tmp_path / "marker").touch()
    preemption = make()
    assert terminated(preemption) == -signal.SIGTERM
    assert terminated(preemption, preemption.begin) == 1
    assert terminated(preemption, preemption.begin, preemption.finish) == 0


def test_outside_a_sweep_nothing_answers():
    assert Preemption.from_env({}, key=KEY, say=print) is None
    assert Preemption.from_env({"SWEEPKIT_PREEMPT_FILE": "m"}, key=KEY, say=print) is None
    both = {"SWEEPKIT_PREEMPT_FILE": "m", "SWEEPKIT_CHECKPOINT_DIR": "c"}
    assert Preemption.from_env(both, key=KEY, say=print) is not None
    assert EXIT_CODE == 143


def saved(preemption, step, state, text="weights"):
    with pytest.raises(Preempted):
        preemption.save(step, state, lambda folder: (folder / "weights").write_text(text))


def test_the_newest_state_comes_back_to_the_last_bit(make, tmp_path):
    assert make().find() is None
    saved(make(), 5, {"loss": 0.3})
    saved(make(), 10, {"loss": 0.1 + 0.2, "worst": math.inf, "none": math.nan})
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-10"]
    said = []
    found = make(said=said).find()
    assert (found.state["loss"], found.state["worst"]) == (0.1 + 0.2, math.inf)
    assert math.isnan(found.state["none"])
    assert (found.folder / "weights").read_text() == "weights"
    assert said == [WORDS["resuming-from-the"]]
    make().discard()
    assert make().find() is None and not (tmp_path / "kept").exists()
    make().discard()  # nothing there


@pytest.mark.parametrize(
    ("key", "name"),
    [({**KEY, "settings": "b"}, "settings"), ({**KEY, "data": {}}, "data"), ({**KEY, "versions": 1}, "versions")],
)
def test_a_checkpoint_of_something_else_is_not_used(make, key, name):
    saved(make(), 5, {})
    said = []
    assert make(key, said).find() is None
    assert f"it was made with other {name}; training from the beginning" in said[0]
    assert make().find() is not None


def test_half_a_checkpoint_is_not_used(make, tmp_path):
    saved(make(), 5, {})
    folder = tmp_path / "kept" / "step-5"
    state = (folder / "state.json").read_text()
    said = []
    for harm in (
        lambda: (folder / "weights").write_text("weight"),
        lambda: (folder / "weights").unlink(),
        lambda: (folder / "state.json").write_text(state[:-5]),
        lambda: (folder / "state.json").write_text(json.dumps([])),
        lambda: (folder / "state.json").write_text("{}"),
        lambda: (folder / "state.json").unlink(),
    ):
        harm()
        assert make(said=said).find() is None
    assert len(said) == 6 and WORDS["its-files-are"] in said[0]


def test_a_part_that_a_kill_left_is_never_found_and_cleared_by_the_next(make, tmp_path):
    (tmp_path / "kept" / ".part-1").mkdir(parents=True)
    assert make().find() is None
    saved(make(), 5, {})
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-5"]


def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_half(make, tmp_path):
    saved(make(), 5, {})

    def full(folder):
        (folder / "weights").write_text("wei")
        raise OSError(28, "No space left on device")

    said = tmp_path / "said"
    preemption = Preemption(marker=tmp_path / "m", folder=tmp_path / "kept", key=KEY, say=said.write_text)
    assert in_fork(lambda: preemption.save(9, {}, full)) == -signal.SIGTERM
    assert WORDS["no-checkpoint-could"] in said.read_text()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-5"]
    assert make().find() is not None
