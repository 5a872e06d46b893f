"""A validation that is preempted goes on with the fold that was under way, and ends as one that was not."""

import json
import warnings
from types import SimpleNamespace

import pytest

from sweepkit.training.config.training import ImageConfig, apply
from sweepkit.training.preemption import Preempted, Preemption
from sweepkit.training.usage import RecordedConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # transformers' own, at import
    from sweepkit.training.tasks.base import Listeners, task

SMALL = {"max_samples": 200, "batch_size": 32, "epochs": 2, "folds": 3}


class Reporter:
    """Keeps what is reported, and asks for preemption with the row of that number."""

    def __init__(self, preemption, at):
        self.rows, self._preemption, self._at = [], preemption, at

    def report(self, values, step=None):
        self.rows.append((step, dict(values)))
        if len(self.rows) == self._at:
            self._preemption.requested = True

    def message(self, **message):
        pass


def attempt(folder, at=None, **params):
    config, lines = apply(ImageConfig(), {**SMALL, **params}), []
    folder.mkdir(exist_ok=True)
    preemption = Preemption(marker=folder / "m", folder=folder / "kept", key={}, say=lines.append)
    reporter = Reporter(preemption, at)
    listeners = Listeners(say=lines.append, used=list, reporter=reporter, preemption=preemption)
    outcome = None
    try:
        outcome = task("image_classification")(RecordedConfig(config), folder, listeners)
    except Preempted:
        pass
    return SimpleNamespace(outcome=outcome, rows=reporter.rows, lines=lines)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What comes of it when nothing preempts it."""
    return attempt(tmp_path_factory.mktemp("whole"))


# Each fold reports two epochs and itself: the 4th row is the 2nd fold's first epoch, the 6th the 2nd fold.
@pytest.mark.slow
@pytest.mark.parametrize(("at", "step"), [(4, 10), (6, 20)])
def test_it_goes_on_with_the_next_fold_and_ends_alike(whole, tmp_path, at, step):
    assert attempt(tmp_path / "cut", at).outcome is None
    assert json.loads((tmp_path / "cut" / "kept" / f"step-{step}" / "state.json").read_text())["files"] == {}
    last = attempt(tmp_path / "cut")
    assert last.lines[0] == f"resuming from the checkpoint at step {step}"
    assert last.rows == whole.rows
    assert last.outcome.history == whole.outcome.history
    assert last.outcome.files == whole.outcome.files
    assert last.outcome.steps == whole.outcome.steps
    assert last.outcome.facts == {**whole.outcome.facts, "resumed_at": step}
