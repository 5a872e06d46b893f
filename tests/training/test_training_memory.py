"""A full memory answered: the same gradients, schedule, data and metrics as with room, in less of it."""

import gc
import json

import numpy as np
import pytest
import torch
from memory_bound import FULL, Memory
from snapshots import words_of
from sweeping import in_this_process
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    ConvNextConfig,
    ConvNextForImageClassification,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from sweepkit.cli.trainer import main
from sweepkit.environ import CACHE_DIR_ENV, RUN_DIR_ENV
from sweepkit.paths import CODE_DIR, CONFIG_DIR
from sweepkit.training import fits
from sweepkit.training.config.training import apply, read_training_config
from sweepkit.training.memory import IGNORED, OutOfMemory, is_out_of_memory, row_count, split, unless_full
from sweepkit.training.tasks.base import Listeners
from sweepkit.training.tasks.summarization import train
from sweepkit.training.usage import RecordedConfig

WORDS = words_of(__file__)

VOCABULARY = 40


@pytest.fixture(scope="module", autouse=True)
def _as_in_a_training():
    """As in a training: one thread, and what the imported libraries made is left out of collections.

    To the end, as there (`environment.prepare` freezes once): each later training would search the libraries, 0.2 s.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that share a core with something else take ten times as long
    gc.freeze()
    yield
    torch.set_num_threads(threads)


class Fitting(OutOfMemory, Trainer):
    pass


class FittingSeq2Seq(OutOfMemory, Seq2SeqTrainer):
    pass


class Watching(TrainerCallback):
    """Keeps the gradients and rates of every optimizer step."""

    def __init__(self):
        self.gradients, self.rates = [], []

    def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **rest):
        self.gradients.append({name: value.grad.clone() for name, value in model.named_parameters()})
        self.rates.append(optimizer.param_groups[0]["lr"])


def bart():
    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=VOCABULARY, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32, dropout=0.0,
            init_std=0.1,
        )
    )  # fmt: skip


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=32, embd_pdrop=0.0,
                   resid_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2)
    )  # fmt: skip


def convnext():
    return ConvNextForImageClassification(
        ConvNextConfig(num_channels=1, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, num_labels=5, patch_size=2)
    )


def texts(rows, *, causal=False, seed=0):
    """Examples whose labels differ in number, one to twelve of them."""
    draw = torch.Generator().manual_seed(seed)
    items = []
    for _ in range(rows):
        ids = torch.randint(3, VOCABULARY, (12,), generator=draw)
        labels = ids.clone() if causal else torch.randint(3, VOCABULARY, (12,), generator=draw)
        labels[int(torch.randint(2, 13, (), generator=draw)) :] = IGNORED
        items.append({"input_ids": ids, "attention_mask": torch.ones(12, dtype=torch.long), "labels": labels})
        if not causal:
            items[-1]["decoder_input_ids"] = torch.cat([torch.tensor([2]), labels[:-1].clamp(min=1)])
    return items


def images(rows):
    draw = torch.Generator().manual_seed(1)
    return [
        {
            "pixel_values": torch.randn((1, 8, 8), generator=draw),
            "labels": torch.randint(0, 5, (), generator=draw),
        }
        for _ in range(rows)
    ]


KINDS = {
    "bart": (bart, lambda rows: texts(rows)),
    "gpt2": (gpt2, lambda rows: texts(rows, causal=True)),
    "convnext": (convnext, images),
}


def trained(tmp_path, kind, *, most=None, adapt=True, rows=24, **arguments):
    """Train a small model of a kind; return the trainer, with `watching`, `said` and `memory`."""
    torch.manual_seed(5)
    make, data = KINDS[kind]
    settings = {
        "per_device_train_batch_size": 8, "max_steps": 3, "learning_rate": 1e-2, "optim": "sgd", "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "max_grad_norm": 0.0, **arguments,
    }  # fmt: skip
    memory, said, watching = Memory(most), [], Watching()
    model = make()
    trainer = Fitting(
        model=model,
        args=TrainingArguments(output_dir=str(tmp_path), dataloader_pin_memory=False, **settings),
        train_dataset=data(rows),
        callbacks=[watching],
        say=said.append,
        adapt=adapt,
    )
    trainer.watching, trainer.said, trainer.memory = watching, said, memory
    with pytest.MonkeyPatch.context() as patch:
        memory.install(patch.setattr)
        trainer.train()
    return trainer


def assert_same_steps(one, other, rtol=1e-5):
    assert len(one.watching.gradients) == len(other.watching.gradients) > 0
    assert one.watching.rates == other.watching.rates
    for ours, theirs in zip(one.watching.gradients, other.watching.gradients, strict=True):
        assert ours.keys() == theirs.keys()
        for name, gradient in ours.items():
            # Rounding is relative to the terms that are added up, not to a sum that may be all but zero.
            torch.testing.assert_close(gradient, theirs[name], rtol=rtol, atol=1e-6, msg=lambda text, n=name: n + text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("steps", "smoothing"), [(1, 0.2), (2, 0.0)])
def test_a_cut_step_has_the_gradients_of_the_whole_one(tmp_path, kind, smoothing, steps):
    settings = {"gradient_accumulation_steps": steps, "label_smoothing_factor": smoothing, "rows": 24 * steps}
    roomy = trained(tmp_path, kind, **settings)
    tight = trained(tmp_path, kind, most=roomy.memory.peak // 3, **settings)
    assert roomy.out_of_memory() is None and roomy.said == []
    assert tight.out_of_memory()["events"] == tight.memory.refused >= 2
    assert tight.out_of_memory()["per_device_train_batch_size"] == 2
    assert tight.out_of_memory()["gradient_accumulation_steps"] == 4 * steps
    assert_same_steps(roomy, tight)
    assert roomy.state.log_history[-1]["train_loss"] == pytest.approx(tight.state.log_history[-1]["train_loss"])


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_micro_batches_weigh_by_their_labels(tmp_path, kind):
    """Also without any shortage: 2 × 4 is 8, whatever the model does with the number of labels."""
    whole = trained(tmp_path, kind)
    accumulated = trained(tmp_path, kind, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    assert_same_steps(whole, accumulated)


def test_a_later_micro_batch_that_is_too_big_begins_the_step_over(tmp_path, monkeypatch):
    roomy = trained(tmp_path, "bart", gradient_accumulation_steps=3, rows=72)
    seen = []
    computed = Trainer.compute_loss

    def full_once(trainer, model, inputs, *args, **kwargs):
        seen.append(len(inputs["labels"]))
        loss = computed(trainer, model, inputs, *args, **kwargs)
        if len(seen) == 3:
            sum(item.sum() for item in model.parameters()).backward()  # gradients of a pass that breaks off
            raise torch.OutOfMemoryError(FULL)
        return loss

    monkeypatch.setattr(Trainer, "compute_loss", full_once)
    tight = trained(tmp_path, "bart", gradient_accumulation_steps=3, rows=72)
    assert seen[:9] == [8, 8, 8, 4, 4, 4, 4, 4, 4]
    assert seen[9:] == [4] * 12
    assert_same_steps(roomy, tight)


def test_what_does_not_fit_is_freed_before_the_step_is_tried_again(tmp_path, monkeypatch):
    live = []
    answer = OutOfMemory._make_room
    memories = []
    monkeypatch.setattr(
        Memory, "install", lambda self, patch, install=Memory.install: (memories.append(self), install(self, patch))
    )
    monkeypatch.setattr(
        OutOfMemory, "_make_room", lambda self, *given: (live.append(memories[-1].live), answer(self, *given))
    )
    peak = trained(tmp_path, "bart").memory.peak
    trained(tmp_path, "bart", most=peak // 3)
    assert live == [0, 0]


@pytest.mark.slow
def test_at_one_example_activations_are_computed_again(tmp_path):
    one = trained(tmp_path, "bart", per_device_train_batch_size=1, gradient_accumulation_steps=8)
    tight = trained(tmp_path, "bart", most=int(one.memory.peak * 0.7))
    assert tight.out_of_memory() == {
        "events": 4,
        "from": 8,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "gradient_checkpointing": True,
        "per_device_eval_batch_size": 8,
    }
    assert tight.said == [
        WORDS["out-of-memory"],
        WORDS["out-of-memory-at"],
        WORDS["out-of-memory-at-step"],
        WORDS["out-of-memory-at-step-3"],
    ]
    assert_same_steps(trained(tmp_path, "bart"), tight)


def test_at_last_it_fails_with_what_was_tried_and_what_to_do(tmp_path):
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trained(tmp_path, "bart", most=10)
    assert str(caught.value).startswith(FULL + WORDS["sweepkit-not-even"])
    assert "shorten tokenizer.encoder_max_len" in str(caught.value)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch, pytest.raises(torch.OutOfMemoryError, match=WORDS["and-the-model"]):
        patch.setattr(BartForConditionalGeneration, "supports_gradient_checkpointing", False)
        trained(tmp_path, "bart", most=10)


def test_fail_fails_at_once_and_says_so(tmp_path):
    with pytest.raises(torch.OutOfMemoryError, match=FULL) as caught:
        trained(tmp_path, "bart", most=10, adapt=False)
    assert "training.on_out_of_memory is fail" in caught.value.__notes__[0]


def test_on_several_devices_it_fails_with_a_hint(tmp_path, monkeypatch):
    begun = OutOfMemory.__init__

    def one_of_two(self, *args, **kwargs):
        begun(self, *args, **kwargs)
        self._alone = False  # as with two processes, which a test cannot have quickly

    monkeypatch.setattr(OutOfMemory, "__init__", one_of_two)
    with pytest.raises(torch.OutOfMemoryError, match=FULL) as caught:
        trained(tmp_path, "bart", most=10)
    assert WORDS["set-a-smaller"] in caught.value.__notes__[0]


def test_a_full_memory_in_the_optimizer_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError(FULL)))
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trained(tmp_path, "bart")
    assert WORDS["smaller-batches-do"] in caught.value.__notes__[0]


def test_other_errors_are_left_alone(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Trainer, "compute_loss", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
        trained(tmp_path, "bart")
    assert not getattr(caught.value, "__notes__", [])


@pytest.mark.slow
def test_data_order_does_not_hang_on_what_dropout_draws(tmp_path, monkeypatch):
    """Two epochs: the second is shuffled after the first has drawn other numbers."""
    orders = []
    computed = Trainer.compute_loss

    def noted(trainer, model, inputs, *args, **kwargs):
        orders[-1] += inputs["input_ids"][:, 0].tolist()
        torch.rand(len(inputs["labels"]))  # as dropout does
        return computed(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(Trainer, "compute_loss", noted)
    for most in (None, 1):
        orders.append([])
        torch.manual_seed(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Fitting, "_most", property(lambda self, most=most: most, lambda self, value: None), raising=False
            )
            trained(tmp_path, "bart", max_steps=6)
    assert orders[0] == orders[1] and len(orders[0]) == 48


@pytest.mark.parametrize("generate", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_an_evaluation_in_parts_gives_what_the_whole_gives(tmp_path, generate, smoothing):
    def total(predictions):
        return float(np.where(predictions == IGNORED, 0, predictions).sum())

    def evaluated(most):
        torch.manual_seed(5)
        said, memory, model = [], Memory(most_at_once=most), bart()
        model.generation_config = GenerationConfig(
            max_new_tokens=6, decoder_start_token_id=2, pad_token_id=0, eos_token_id=2, bos_token_id=1
        )
        trainer = FittingSeq2Seq(
            model=model,
            args=Seq2SeqTrainingArguments(
                output_dir=str(tmp_path), per_device_eval_batch_size=6, predict_with_generate=generate, use_cpu=True,
                label_smoothing_factor=smoothing, report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
            ),
            eval_dataset=texts(14),
            compute_metrics=lambda given: {"sum": total(given.predictions if generate else given.predictions[0])},
            say=said.append,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            memory.install(patch.setattr)
            return trainer.evaluate(), said, trainer

    whole, quiet, _ = evaluated(None)
    parts, said, trainer = evaluated(2)
    assert quiet == [] and said == [
        WORDS["out-of-memory-in"],
        WORDS["out-of-memory-in-the"],
    ]
    assert trainer.out_of_memory()["per_device_eval_batch_size"] == 2
    assert parts["eval_loss"] == pytest.approx(whole["eval_loss"], rel=1e-5)
    assert parts["eval_sum"] == pytest.approx(whole["eval_sum"], rel=1e-4)
    with pytest.raises(torch.OutOfMemoryError, match=WORDS["not-even-one"]):
        evaluated(0)


def test_a_batch_is_cut_in_order_and_what_has_no_rows_is_kept():
    batch = {"a": torch.arange(5), "b": torch.arange(10).reshape(5, 2), "scale": torch.tensor(2.0), "text": "x"}
    assert row_count(batch) == 5
    parts = list(split(batch, 2))
    assert [part["a"].tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert torch.equal(torch.cat([part["b"] for part in parts]), batch["b"])
    assert all(part["text"] == "x" and part["scale"] == 2.0 for part in parts)
    assert [part["a"].tolist() for part in split(batch, None)] == [[0, 1, 2, 3, 4]]
    assert row_count({}) == 0


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("anything"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("The size of tensor a (85) must match b (32)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_a_full_memory(error, full):
    assert is_out_of_memory(error) is full


def test_a_real_allocation_that_cannot_be_had_is_recognized():
    made, failure = unless_full(torch.empty, 2**50)
    assert made is None and "can't allocate memory" in failure


def quick(**changes):
    config = read_training_config(CONFIG_DIR / "quick_test.yaml")
    small = {"max_train_samples": 40, "max_val_samples": 12, "dropout_rate": 0.0, "eval_steps": 0.5}
    return RecordedConfig(apply(config, {**small, **changes}))


@pytest.mark.slow
def test_a_training_under_a_bound_comes_to_the_same(tmp_path, monkeypatch):
    said = []
    listeners = Listeners(say=said.append, used=list)
    memory = Memory()
    memory.install(monkeypatch.setattr)
    roomy = train(quick(), tmp_path, listeners)
    assert roomy.facts["out_of_memory"] is None
    memory.most, memory.most_at_once = memory.peak // 3, 5
    tight = train(quick(), tmp_path, listeners)
    assert tight.facts["out_of_memory"] == {
        "events": 4,
        "from": 8,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "gradient_checkpointing": False,
        "per_device_eval_batch_size": 3,
    }
    assert tight.steps == roomy.steps
    for ours, theirs in zip(tight.history, roomy.history, strict=True):
        assert (ours.step, ours.epoch) == (theirs.step, theirs.epoch)
        assert ours.metrics["loss"] == pytest.approx(theirs.metrics["loss"], rel=1e-4)
        assert ours.metrics["rouge_combined_f1"] == pytest.approx(theirs.metrics["rouge_combined_f1"], abs=0.01)
    with pytest.raises(torch.OutOfMemoryError):
        train(quick(on_out_of_memory="fail"), tmp_path, listeners)


@pytest.mark.slow
def test_a_later_run_of_a_sweep_begins_with_what_fits(tmp_path, monkeypatch):
    listeners = Listeners(say=lambda _: None, used=list)
    memory = Memory()
    memory.install(monkeypatch.setattr)
    monkeypatch.setenv(CACHE_DIR_ENV, str(tmp_path / "cache"))

    def answer(run, **changes):
        monkeypatch.setenv(RUN_DIR_ENV, str(tmp_path / run))
        memory.refused = 0
        config = quick(max_steps=2, eval_strategy="no", decoder_max_len=12, **changes)
        found = train(config, tmp_path, listeners).facts["out_of_memory"]
        return found and (memory.refused, found["per_device_train_batch_size"], found.get("learned_from"))

    assert answer("s/a") is None
    memory.most = memory.peak // 3
    assert answer("s/b") == (2, 2, None)
    assert answer("s/c", learning_rate=1e-4) == (0, 2, "b")


def test_what_fits_holds_for_the_same_model_and_as_little_memory(tmp_path, monkeypatch):
    there = 1000
    monkeypatch.setattr(fits, "_memory_bytes", lambda: there)

    def of(run, **changes):
        environ = {CACHE_DIR_ENV: str(tmp_path / "cache"), RUN_DIR_ENV: str(tmp_path / run)}
        return fits.fits_of(quick(**changes).raw, environ, device="gpu")

    of("s/a").note(8, 4)
    known = of("s/b", learning_rate=1e-4, dropout_rate=0.3).known(8)
    assert (known.fits, known.run) == (4, "a")
    assert of("s/b").known(7) is None  # nobody tried
    assert of("s/b", encoder_max_len=24).known(8) is None
    assert of("other/b").known(8) is None
    there = 500
    assert of("s/b").known(8).fits == 4
    there = 2000
    assert of("s/b").known(8) is None  # there is more now: it is tried
    there = 1000
    next((tmp_path / "cache" / "memory").iterdir()).write_text("{")
    assert of("s/b").known(8) is None
    assert fits.fits_of(quick().raw, {}, device="gpu") is None  # one training, no sweep


@pytest.mark.slow
def test_the_result_file_says_what_was_done(tmp_path, monkeypatch):
    Memory(4_000_000, most_at_once=5).install(monkeypatch.setattr)
    options = ["--max_train_samples=40", "--max_val_samples=12", "--max_steps=2", "--decoder_max_len=12"]
    argv = ["--config=quick_test", *options, "--output-dir", str(tmp_path)]
    done = in_this_process(main, argv, CODE_DIR)
    assert done.returncode == 0, done.stderr
    assert WORDS["out-of-memory-at-step-11"] in done.stdout
    result = json.loads((tmp_path / "results" / "training_results.json").read_text(encoding="utf-8"))
    assert result["out_of_memory"]["events"] >= 3
    assert result["out_of_memory"]["per_device_train_batch_size"] < 8
    assert result["out_of_memory"]["per_device_eval_batch_size"] == 3
    assert result["config"]["training"]["per_device_train_batch_size"] == 8
    assert result["steps"] == 2
