import json
import math
import warnings
from types import SimpleNamespace

import pytest

from sweepkit.text.json_text import finite
from sweepkit.tracking.reports import ReportWriter
from sweepkit.training.results import Evaluation, best_of, write_json

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # transformers' own, at import
    from sweepkit.training.callbacks import ReportingCallback, evaluation_scores

ARGS = SimpleNamespace(eval_strategy="steps")


class Tracker:
    def __init__(self):
        self.rows = []

    def log(self, values, step=None):
        self.rows.append((dict(values), step))


@pytest.fixture
def said(tmp_path):
    read, lines = ["learning_rate"], []
    file = tmp_path / "reports.jsonl"
    telling = ReportingCallback(
        say=lines.append,
        used=lambda: list(read),
        reporter=ReportWriter.from_env({"SWEEPKIT_REPORT_FILE": str(file)}),
        tracker=Tracker(),
    )
    return SimpleNamespace(telling=telling, read=read, lines=lines, file=file)


def reports(said):
    return [json.loads(line) for line in said.file.read_text(encoding="utf-8").splitlines()]


def evaluate(telling, step, **metrics):
    state = SimpleNamespace(global_step=step, max_steps=10, epoch=step / 5)
    control = SimpleNamespace(should_training_stop=False)
    telling.on_evaluate(ARGS, state, control, metrics={f"eval_{name}": value for name, value in metrics.items()})
    return control


def test_an_evaluation_is_reported_logged_and_said(said):
    said.telling.on_log(ARGS, None, None, logs={"loss": 2.5, "learning_rate": 1e-3})
    said.telling.on_log(ARGS, None, None, logs={"eval_loss": 1.5})
    evaluate(said.telling, 5, loss=1.5, rouge1_f1=0.5, runtime=9.9)
    message, row = reports(said)
    assert message == {"_sweepkit_read": ["learning_rate"]}
    assert row.pop("_time") > 0
    expected = {"eval/loss": 1.5, "eval/rouge1_f1": 0.5, "train/loss": 2.5, "train/learning_rate": 1e-3, "epoch": 1.0}
    assert row == expected | {"_step": 5}
    assert said.telling._tracker.rows == [(expected, 5)]
    assert said.lines == ["step 5/10  train/loss 2.5000  eval/loss 1.5000  R1 0.5000"]
    assert said.telling.history == [Evaluation(step=5, epoch=1.0, metrics={"loss": 1.5, "rouge1_f1": 0.5})]


def test_used_parameters_are_told_when_they_are_news(said):
    evaluate(said.telling, 1, loss=1.0)
    evaluate(said.telling, 2, loss=1.0)
    said.read.append("num_beams")
    evaluate(said.telling, 3, loss=1.0)
    messages = [row["_sweepkit_read"] for row in reports(said) if "_sweepkit_read" in row]
    assert messages == [["learning_rate"], ["learning_rate", "num_beams"]]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_makes_every_score_nan_and_ends_the_training(said, loss):
    assert not evaluate(said.telling, 1, loss=1.0, rouge1_f1=0.2).should_training_stop
    assert evaluate(said.telling, 2, loss=loss, rouge1_f1=0.2).should_training_stop
    assert said.telling.diverged
    assert math.isnan(reports(said)[-1]["eval/rouge1_f1"])
    assert not math.isfinite(reports(said)[-1]["eval/loss"])


def test_the_first_step_is_told_once(said):
    for _ in range(3):
        said.telling.on_step_begin(ARGS, None, None)
    (message,) = reports(said)
    assert message == {"_sweepkit_first_step": said.telling.first_step_at}


@pytest.mark.parametrize(
    ("strategy", "step", "due"), [("steps", 9, False), ("steps", 10, True), ("no", 10, True), ("epoch", 10, False)]
)
def test_the_last_step_is_evaluated_and_the_loss_logged_with_it(said, strategy, step, due):
    control = SimpleNamespace(should_evaluate=False, should_log=False)
    state = SimpleNamespace(global_step=step, max_steps=10)
    said.telling.on_step_end(SimpleNamespace(eval_strategy=strategy), state, control)
    assert (control.should_evaluate, control.should_log) == (due, due)


def test_scores_without_generation_are_the_loss_alone():
    assert evaluation_scores({"eval_loss": 2.0, "eval_runtime": 1.0, "epoch": 1.0}) == {"loss": 2.0}


def test_the_best_is_the_highest_rouge_else_the_lowest_loss():
    def history(*metrics):
        return [Evaluation(step=step, epoch=0.0, metrics=values) for step, values in enumerate(metrics)]

    scored = history(
        {"loss": 3, "rouge_combined_f1": 0.2},
        {"loss": 1, "rouge_combined_f1": 0.5},
        {"loss": 0, "rouge_combined_f1": 0.5},
    )
    assert best_of(scored, "rouge_combined_f1").step == 1
    assert best_of(history({"loss": 3.0}, {"loss": 1.0}, {"loss": math.nan}), "rouge_combined_f1").step == 1
    assert best_of(history({"loss": math.nan, "rouge_combined_f1": math.nan}), "rouge_combined_f1") is None
    assert best_of([], "macro_f1") is None


def test_result_files_are_strict_json_and_appear_in_one_step(tmp_path):
    file = tmp_path / "results" / "result.json"
    write_json(file, {"a": math.nan, "b": [1.5, -math.inf], "한": "글"})
    assert json.loads(file.read_text(encoding="utf-8")) == {"a": None, "b": [1.5, None], "한": "글"}
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert [path.name for path in file.parent.iterdir()] == ["result.json"]
    assert json.loads(file.read_text(encoding="utf-8"))["한"] == "글"
    assert finite({"x": (1, math.inf)}) == {"x": [1, None]}
