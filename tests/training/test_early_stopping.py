import math
import warnings
from types import SimpleNamespace

import pytest
from in_process import config_for, train
from snapshots import words_of

from sweepkit.errors import DataError

WORDS = words_of(__file__)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # transformers' own, at import
    from sweepkit.training.callbacks import EarlyStopping


class Rule:
    def __init__(self, patience=2, threshold=0.0, steps=100):
        self.lines, self.step, self.steps = [], 0, steps
        self.callback = EarlyStopping(
            patience=patience, threshold=threshold, metric="rouge_combined_f1", say=self.lines.append
        )

    def tell(self, **metrics):
        """Whether the training is ended by an evaluation with these metrics."""
        self.step += 10
        control = SimpleNamespace(should_training_stop=False)
        state = SimpleNamespace(global_step=self.step, max_steps=self.steps)
        named = {f"eval_{name}": value for name, value in metrics.items()}
        self.callback.on_evaluate(None, state, control, metrics=named)
        return control.should_training_stop

    def until(self, values, name="rouge_combined_f1"):
        """Return the 1-based evaluation that ends it, None when none does."""
        return next((at for at, value in enumerate(values, 1) if self.tell(loss=1.0, **{name: value})), None)


@pytest.mark.parametrize(
    ("patience", "threshold", "values", "ends"),
    [
        (1, 0.0, [0.1, 0.2, 0.2], 3),  # equal is not better
        (2, 0.0, [0.1, 0.2, 0.1, 0.15], 4),
        (2, 0.0, [0.1, 0.2, 0.1, 0.21, 0.1, 0.1], 6),  # the count begins again
        (2, 0.05, [0.1, 0.14, 0.15], 3),  # better, but by no more than the threshold
        (2, 0.05, [0.1, 0.14, 0.151, 0.15], None),
        (3, 0.0, [0.3, 0.2, 0.1], None),
        (1, 0.0, [0.1, 0.2, 0.3, 0.4], None),
    ],
)
def test_it_ends_after_so_many_evaluations_without_a_better_one(patience, threshold, values, ends):
    assert Rule(patience, threshold).until(values) == ends


def test_without_rouge_the_loss_decides_and_falls():
    rule = Rule(2)
    assert [rule.tell(loss=loss) for loss in (2.0, 1.0, 1.5, 1.0)] == [False, False, False, True]
    assert rule.callback.stopped["metric"] == "loss"
    assert rule.callback.stopped["best"] == 1.0
    assert rule.callback.stopped["best_step"] == 20


def test_what_ended_it_is_said_and_kept():
    rule = Rule(2, 0.01)
    assert rule.until([0.3, 0.305, 0.2]) == 3
    assert rule.lines == [WORDS["stopped-early-at"]]
    assert rule.callback.stopped == {
        "step": 30,
        "of_steps": 100,
        "metric": "rouge_combined_f1",
        "best": 0.3,
        "best_step": 10,
        "patience": 2,
        "threshold": 0.01,
    }


def test_the_last_step_is_an_end_and_not_an_early_one():
    rule = Rule(1, steps=30)
    assert rule.until([0.3, 0.4, 0.1]) is None
    assert rule.callback.stopped is None
    assert not rule.lines


def test_a_loss_that_is_not_finite_is_left_to_the_one_who_tells_it():
    rule = Rule(1)
    assert not rule.tell(loss=math.nan, rouge_combined_f1=0.3)
    assert not rule.tell(loss=1.0, rouge_combined_f1=0.3)
    assert rule.tell(loss=1.0, rouge_combined_f1=0.3)


# In a training. The rate is so small that nothing gets better: the second evaluation equals the first.
STILL = {"training__learning_rate": 1e-30, "training__early_stopping_patience": 2, "training__max_steps": -1}


@pytest.mark.slow
@pytest.mark.usefixtures("library_warnings")
@pytest.mark.parametrize(
    ("strategy", "steps", "ends", "evaluated"),
    [("steps", 2.0, 6, [2, 4, 6]), ("epoch", 2.0, 12, [4, 8, 12]), ("steps", 0.05, 3, [1, 2, 3])],
)
def test_a_training_ends_early_by_steps_and_by_epochs(tiny, tmp_path, strategy, steps, ends, evaluated):
    changes = {"training__num_train_epochs": 5.0, "training__eval_strategy": strategy, "training__eval_steps": steps}
    changes["training__predict_with_generate"] = False
    done = train(config_for(tiny("t5"), **STILL, **changes), tmp_path)
    assert [item.step for item in done.outcome.history] == evaluated
    assert done.outcome.steps == ends
    said = done.outcome.facts["stopped_early"]
    assert (said["step"], said["of_steps"], said["metric"], said["best_step"]) == (ends, 20, "loss", evaluated[0])
    assert done.lines[-1].startswith(f"stopped early at step {ends}/20: loss did not better")


@pytest.mark.usefixtures("library_warnings")
def test_with_one_evaluation_at_the_end_patience_is_refused(tiny, tmp_path):
    with pytest.raises(DataError, match=WORDS["patience-must-be"]):
        train(config_for(tiny("t5"), **STILL, training__eval_strategy="no"), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("library_warnings")
def test_without_patience_nothing_ends_early(tiny, tmp_path):
    done = train(config_for(tiny("t5"), **{**STILL, "training__early_stopping_patience": None}), tmp_path)
    assert "stopped_early" not in done.outcome.facts
    assert "training.early_stopping_threshold" not in done.read
