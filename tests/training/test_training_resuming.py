"""A training that is preempted and goes on ends as one that was not: every report, to the last bit."""

from types import SimpleNamespace

import pytest
from in_process import config_for
from snapshots import words_of

from sweepkit.training.preemption import Preempted, Preemption

WORDS = words_of(__file__)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("library_warnings")]


class Reporter:
    """Keeps what is reported."""

    def __init__(self):
        self.rows, self.messages = [], []

    def report(self, values, step=None):
        self.rows.append((step, dict(values)))

    def message(self, **message):
        self.messages.append(message)


def attempt(config, folder, *, cut=None, key="a", monkeypatch=None):
    """Train until `cut` ("step" or "batch" of evaluation, and its number) or to the end."""
    from sweepkit.training.tasks import summarization
    from sweepkit.training.tasks.base import Listeners
    from sweepkit.training.usage import RecordedConfig

    lines, reporter = [], Reporter()
    preemption = Preemption(marker=folder / "m", folder=folder / "kept", key={"settings": key}, say=lines.append)
    counts = {"training_step": 0, "prediction_step": 0}
    real = summarization.FittingSummarizer

    class Counting(real):
        def count(self, name):
            counts[name] += 1
            if cut == (name, counts[name]):
                preemption.requested = True

        def training_step(self, *args, **kwargs):
            self.count("training_step")
            return super().training_step(*args, **kwargs)

        def prediction_step(self, *args, **kwargs):
            self.count("prediction_step")
            return super().prediction_step(*args, **kwargs)

    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    listeners = Listeners(say=lines.append, used=list, reporter=reporter, preemption=preemption)
    outcome = None
    summarization.FittingSummarizer = Counting
    try:
        outcome = summarization.train(RecordedConfig(config), output, listeners)
    except Preempted:
        pass
    finally:
        summarization.FittingSummarizer = real
    return SimpleNamespace(outcome=outcome, rows=reporter.rows, lines=lines, counts=counts, preemption=preemption)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "output" / "results").glob("*"))}


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Return a function that preempts at each of some cuts, an attempt each, and compares the last with the whole.

    What becomes of a configuration that nothing preempts is seen once.
    """
    undisturbed = {}

    def check(config, folder, *cuts):
        if config not in undisturbed:
            beside = tmp_path_factory.mktemp("whole")
            undisturbed[config] = beside, attempt(config, beside)
        beside, whole = undisturbed[config]
        for cut in cuts:
            done = attempt(config, folder, cut=cut)
            assert done.outcome is None, f"not preempted at {cut}"
            assert [path.name[:5] for path in (folder / "kept").iterdir()] == ["step-"]
        last = attempt(config, folder)
        assert last.outcome is not None
        assert last.outcome.facts["resumed_at"] > 0
        assert last.counts["training_step"] < whole.counts["training_step"]
        assert last.rows == whole.rows
        assert last.outcome.history == whole.outcome.history
        assert last.outcome.steps == whole.outcome.steps
        assert last.outcome.facts.get("examples") == whole.outcome.facts.get("examples")
        assert last.outcome.facts.get("stopped_early") == whole.outcome.facts.get("stopped_early")
        assert files(folder) == files(beside)
        return SimpleNamespace(whole=whole, last=last)

    return check


@pytest.mark.parametrize("family", ["bart", pytest.param("t5", marks=pytest.mark.heavy), "gpt2"])
def test_within_an_epoch_and_within_an_evaluation(tiny, tmp_path, check, family):
    # 16 dialogues, 4 steps an epoch; dropout is on, so every step hangs on the random stream.
    config = config_for(tiny(family), max_steps=7, eval_steps=2.0, dropout_rate=0.2, per_device_eval_batch_size=3)
    check(config, tmp_path, ("training_step", 1), ("prediction_step", 2), ("training_step", 2))


@pytest.mark.parametrize(
    "cut", [("training_step", 4), ("training_step", 8), ("prediction_step", 1), ("prediction_step", 4)]
)
def test_at_an_epochs_end_and_at_the_very_end(tiny, tmp_path, check, cut):
    config = config_for(
        tiny("bart"), max_steps=-1, num_train_epochs=2.0, eval_strategy="epoch", per_device_eval_batch_size=3
    )
    got = check(config, tmp_path, cut)
    assert got.last.outcome.steps == 8


def test_accumulated_batches_and_another_optimizer(tiny, tmp_path, check):
    config = config_for(
        tiny("t5"),
        max_steps=5,
        eval_steps=3.0,
        gradient_accumulation_steps=3,
        per_device_train_batch_size=2,
        optim="adafactor",
        lr_scheduler_type="cosine",
    )
    check(config, tmp_path, ("training_step", 5), ("training_step", 1))


def test_adapters(tiny, tmp_path, check):
    check(config_for(tiny("bart"), max_steps=5, lora__enabled=True, lora__r=2), tmp_path, ("training_step", 3))


def test_what_was_done_about_a_full_memory_is_done_on(tiny, tmp_path, check, monkeypatch):
    from memory_bound import Memory

    Memory(most_at_once=2).install(monkeypatch.setattr)
    config = config_for(tiny("bart"), max_steps=5, dropout_rate=0.2, per_device_eval_batch_size=3)
    got = check(config, tmp_path, ("training_step", 3))
    done, undisturbed = (one.outcome.facts["out_of_memory"] for one in (got.last, got.whole))
    assert done == undisturbed and done["events"] > 0


def test_a_checkpoint_that_cannot_be_loaded_is_removed_and_the_next_attempt_begins_anew(tiny, tmp_path):
    config = config_for(tiny("bart"))
    assert attempt(config, tmp_path, cut=("training_step", 1)).outcome is None
    (weights,) = (tmp_path / "kept").glob("step-1/checkpoint-1/model.safetensors")
    weights.write_bytes(bytes(weights.stat().st_size))  # whole by its size
    with pytest.raises(Exception, match="header"):
        attempt(config, tmp_path)
    assert not (tmp_path / "kept").exists()
    assert "resumed_at" not in attempt(config, tmp_path).outcome.facts


def test_a_checkpoint_of_other_settings_changes_nothing(tiny, tmp_path):
    config = config_for(tiny("bart"))
    assert attempt(config, tmp_path, cut=("training_step", 1)).outcome is None
    done = attempt(config, tmp_path, key="b")
    assert any(WORDS["it-was-made"] in line for line in done.lines)
    assert "resumed_at" not in done.outcome.facts and done.rows[0][0] == 2
