"""Every parameter of the guides reaches the place it names: what is built differs, and how."""

import dataclasses
import gc
from collections import ChainMap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from in_process import config_for, train
from snapshots import words_of

from sweepkit.errors import DataError, SpecError
from sweepkit.training.config.training import TrainingConfig, from_mapping
from sweepkit.training.config.training_schema import schema_of
from sweepkit.training.config.training_sections import OPTIMIZERS, OPTIMIZERS_OF_BITSANDBYTES, SCHEDULES

WORDS = words_of(__file__)

pytestmark = pytest.mark.usefixtures("library_warnings")

# Sections that decide nothing that is built here; each has tests of its own.
OTHER_SECTIONS = ("reproduces", "data", "metrics", "wandb", "output")
# What it does shows only where memory is full (tests of the answer to that), or on a GPU (it is refused on a CPU).
ELSEWHERE = {"training.on_out_of_memory", "training.fp16"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One parameter: a value, what is seen of it, and what the rest must be for it to matter."""

    path: str
    value: Any
    sees: Callable[[Any], Any]
    expected: Any
    family: str = "bart"
    given: dict[str, Any] = dataclasses.field(default_factory=dict)

    def changes(self, tiny):
        """What it sets; T5 is known by the folder of its checkpoint only when tests run."""
        return {self.path.replace(".", "__"): str(tiny("t5")) if self.path == "model.name" else self.value}


def layer(done):
    """The first encoder layer of BART, below adapters too."""
    model = done.trainer.model
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    return plain.model.encoder.layers[0]


def adapter(done):
    return layer(done).self_attn.q_proj


def group(done):
    return done.trainer.optimizer.param_groups[0]


def rates(done, steps=10):
    """The factor of the learning rate at each step."""
    schedule = done.trainer.lr_scheduler.lr_lambdas[0]
    return [round(schedule(step), 4) for step in range(steps)]


def generates(name):
    return lambda done: getattr(done.trainer.model.generation_config, name)


def widest(done, name):
    return max(len(item[name]) for item in done.trainer.train_dataset[:])


def saved(done):
    return sorted(file.name for file in (Path(done.trainer.args.output_dir) / "model").glob("*model*"))


def tags(done):
    return done.trainer.model.get_input_embeddings().weight.shape[0]


LORA = {"lora__enabled": True}
TEN = {  # ten steps of one dialogue, evaluated at the end
    "training__max_steps": -1,
    "training__num_train_epochs": 2.5,
    "data__max_train_samples": 4,
    "training__per_device_train_batch_size": 1,
    "training__eval_strategy": "no",
}
STOPPABLE = {**TEN, "training__eval_strategy": "steps"}  # evaluated at each second of them
SCORED = {"training__predict_with_generate": True}

ROWS = [
    Row("model.name", "T5", lambda done: done.outcome.facts["architecture"], "t5"),
    Row("model.dropout_rate", 0.25, lambda done: layer(done).dropout, 0.25),
    Row("model.attention_dropout", 0.35, lambda done: layer(done).self_attn.dropout, 0.35),
    Row("model.encoder_layers", 1, lambda done: len(done.trainer.model.model.encoder.layers), 1),
    Row("model.decoder_layers", 1, lambda done: len(done.trainer.model.model.decoder.layers), 1),
    Row("lora.enabled", True, lambda done: done.outcome.facts["trainable_parameters"], 12288),
    Row("lora.r", 2, lambda done: adapter(done).lora_A["default"].weight.shape[0], 2, given=LORA),
    Row("lora.alpha", 3.0, lambda done: adapter(done).scaling["default"], 1.5, given=LORA),  # by the rank above
    Row("lora.dropout", 0.5, lambda done: getattr(adapter(done).lora_dropout["default"], "p", 0.0), 0.5, given=LORA),
    Row("lora.target_modules", "fc1", lambda done: done.outcome.facts["lora_targets"], ["fc1"], given=LORA),
    Row(
        "lora.merge",
        False,
        saved,
        ["adapter_model.safetensors"],
        given={**LORA, "training__save_model": True, "training__max_steps": 1},
    ),
    Row("tokenizer.encoder_max_len", 40, lambda done: widest(done, "input_ids"), 40),
    Row("tokenizer.decoder_max_len", 12, lambda done: widest(done, "labels"), 12),
    Row("tokenizer.speaker_tags", ("#Person1#", "#New#"), tags, 1001),
    Row(
        "tokenizer.prompt",
        "요약: {dialogue}",
        lambda done: len({tuple(item["input_ids"][:3]) for item in done.trainer.train_dataset[:]}),
        1,
        family="gpt2",
    ),
    Row(
        "tokenizer.prefix",
        "요약: ",
        lambda done: len({tuple(item["input_ids"][:3]) for item in done.trainer.train_dataset[:]}),
        1,
        family="t5",
    ),
    Row(
        "tokenizer.padding_side",
        "left",
        lambda done: done.trainer.data_collator(done.trainer.train_dataset[:4])["attention_mask"][:, -1].min().item(),
        1,
    ),
    Row("training.learning_rate", 0.002, lambda done: group(done)["initial_lr"], 0.002),
    Row(
        "training.per_device_train_batch_size", 8, lambda done: done.trainer.get_train_dataloader().total_batch_size, 8
    ),
    Row("training.per_device_eval_batch_size", 2, lambda done: done.trainer.get_eval_dataloader().total_batch_size, 2),
    Row("training.gradient_accumulation_steps", 2, lambda done: done.outcome.steps, 5, given=TEN),
    Row("training.num_train_epochs", 0.5, lambda done: done.outcome.steps, 2, given=TEN),
    Row("training.max_steps", 2, lambda done: done.outcome.steps, 2),
    Row("training.warmup_ratio", 0.4, lambda done: rates(done, 5), [0, 0.25, 0.5, 0.75, 1], given=TEN),
    Row("training.weight_decay", 0.3, lambda done: group(done)["weight_decay"], 0.3),
    Row(
        "training.max_grad_norm",
        1e-9,
        lambda done: done.moved < 1e-6,
        True,
        given={"training__optim": "sgd", "training__weight_decay": 0.0},
    ),
    Row("training.lr_scheduler_type", "constant", rates, [1] * 10, given=TEN),
    Row(
        "training.label_smoothing_factor",
        0.2,
        lambda done: getattr(done.trainer.label_smoother, "epsilon", None),
        0.2,
    ),
    Row("training.optim", "adafactor", lambda done: type(done.trainer.optimizer.optimizer).__name__, "Adafactor"),
    Row("training.bf16", True, lambda done: done.trainer.accelerator.mixed_precision, "bf16"),
    Row("training.gradient_checkpointing", True, lambda done: done.trainer.model.is_gradient_checkpointing, True),
    Row("training.eval_strategy", "no", lambda done: [item.step for item in done.outcome.history], [3]),
    Row("training.eval_steps", 1.0, lambda done: [item.step for item in done.outcome.history], [1, 2, 3]),
    Row(
        "training.early_stopping_patience",
        1,
        lambda done: done.outcome.steps,
        4,
        given={"training__learning_rate": 1e-30, **STOPPABLE},
    ),
    Row(
        "training.early_stopping_threshold",
        100.0,
        lambda done: done.outcome.steps,
        4,
        given={"training__early_stopping_patience": 1, **STOPPABLE},
    ),
    Row("training.predict_with_generate", True, lambda done: "rougeL_f1" in done.outcome.history[-1].metrics, True),
    Row("training.save_model", True, saved, ["model.safetensors"], given={"training__max_steps": 1}),
    Row("training.use_cpu", True, lambda done: done.trainer.args.device.type, "cpu"),
    Row("training.seed", 7, lambda done: done.outcome.history[-1].metrics["loss"], None),
    Row("generation.num_beams", 3, generates("num_beams"), 3, given=SCORED),
    Row("generation.length_penalty", 2.0, generates("length_penalty"), 2.0, given=SCORED),
    Row("generation.no_repeat_ngram_size", 2, generates("no_repeat_ngram_size"), 2, given=SCORED),
    Row("generation.temperature", 0.5, generates("temperature"), 0.5, given=SCORED),
    Row("generation.top_p", 0.5, generates("top_p"), 0.5, given=SCORED),
    Row("generation.repetition_penalty", 1.5, generates("repetition_penalty"), 1.5, given=SCORED),
    Row("generation.min_length", 5, generates("min_new_tokens"), 5, given=SCORED),
]
# What a device decides: without a GPU both values of it look the same.
SAME_HERE = {"training.use_cpu"}
# These change what others look at, or are seen by all that is trained. Each of the rest looks at a place of its own and
# is trained together with the rest of its family and needs.
ALONE = {
    "model.name",
    "lora.enabled",
    "lora.target_modules",
    "training.gradient_accumulation_steps",
    "training.num_train_epochs",
    "training.max_steps",
    "training.warmup_ratio",
    "training.lr_scheduler_type",
    "training.optim",
    "training.bf16",
    "training.eval_strategy",
    "training.seed",
}


def test_every_parameter_has_its_row():
    wanted = {path for path in schema_of(TrainingConfig).known if path.split(".")[0] not in OTHER_SECTIONS}
    assert {row.path for row in ROWS} == wanted - ELSEWHERE


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    """Return a function from a family and changes to what they built; the same ones are built once."""
    import torch

    known, unmoved = {}, {}

    def build(family, changes):
        key = (family, tuple(sorted((name, repr(value)) for name, value in changes.items())))
        if key not in known:
            quick = {"training__predict_with_generate": False, "data__max_val_samples": 3}
            config = config_for(tiny(family), **{**quick, **changes})
            if family not in unmoved:
                unmoved[family] = torch.nn.utils.parameters_to_vector(_weights(tiny(family)))
            done = train(config, tmp_path_factory.mktemp("built"))
            before, after = unmoved[family], torch.nn.utils.parameters_to_vector(done.trainer.model.parameters())
            done.moved = (after - before).abs().max().item() if after.shape == before.shape else None
            known[key] = done
            gc.collect()
            gc.freeze()  # it stays to the end: no collection, and each training has one, walks through all built before
        return known[key]

    return build


def _weights(folder):
    from sweepkit.training.checkpoints import load_model

    return load_model(str(folder), lambda config: {}).parameters()


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_a_parameter_reaches_the_place_it_names(built, tiny, row):
    without = row.sees(built(row.family, row.given))
    together = [other for other in ROWS if (other.family, other.given) == (row.family, row.given)]
    changes = [one.changes(tiny) for one in together if one == row or not {one.path, row.path} & ALONE]
    changed = built(row.family, dict(ChainMap(*changes, row.given)))
    got = row.sees(changed)
    assert row.path in changed.read
    if row.expected is not None:
        assert got == row.expected
    if row.path not in SAME_HERE:
        assert got != without


@pytest.mark.slow
@pytest.mark.parametrize("optim", [name for name in OPTIMIZERS if name not in OPTIMIZERS_OF_BITSANDBYTES])
def test_every_optimizer_trains(built, optim):
    done = built("t5", {"training__optim": optim, "training__learning_rate": 0.01})
    made = type(done.trainer.optimizer.optimizer).__name__
    assert made.lower() == {"adamw_torch": "adamw", "adamw_torch_fused": "adamw"}.get(optim, optim)
    assert bool(group(done).get("fused")) == (optim == "adamw_torch_fused")
    losses = [item.metrics["loss"] for item in done.outcome.history]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("optim", OPTIMIZERS_OF_BITSANDBYTES)
def test_optimizers_of_a_missing_package_are_refused_by_its_name(tiny, tmp_path, optim):
    if find_spec("bitsandbytes") is not None:
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(DataError, match=f"training.optim: {optim} needs bitsandbytes"):
        train(config_for(tiny("t5"), training__optim=optim), tmp_path)


@pytest.mark.parametrize(("old", "now"), [("adamw_hf", "adamw_torch"), ("adamw_apex_fused", "adamw_torch_fused")])
def test_optimizers_that_transformers_dropped_name_their_successor(old, now):
    with pytest.raises(SpecError, match=f"transformers 5 dropped {old}, use {now}"):
        from_mapping({"training": {"optim": old}})


@pytest.mark.slow
def test_every_schedule_is_another(tmp_path):
    import torch
    from transformers import Trainer

    from sweepkit.training.arguments import training_arguments

    factors = {}
    for name in SCHEDULES:
        config = config_for("any", training__lr_scheduler_type=name, training__eval_strategy="no")
        trainer = Trainer(torch.nn.Linear(1, 1), training_arguments(config, tmp_path))
        trainer.create_optimizer_and_scheduler(num_training_steps=10)
        factors[name] = tuple(rates(SimpleNamespace(trainer=trainer), 11))
    assert len(set(factors.values())) == len(SCHEDULES)
    restarts = factors["cosine_with_restarts"]
    assert any(later > earlier for earlier, later in zip(restarts[2:], restarts[3:], strict=False)), "it restarts"
    assert all(values[1] == 1 for name, values in factors.items()), "one step of warm-up, or none"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bart", "t5", "gpt2", "llama", "qwen2"])
def test_half_precision_trains_each_family_on_a_cpu(built, family):
    done = built(family, {"training__bf16": True})
    losses = [item.metrics["loss"] for item in done.outcome.history]
    assert losses[1] < losses[0]


def test_fp16_is_refused_on_a_cpu(tiny, tmp_path):
    with pytest.raises(DataError, match="training.fp16"):
        train(config_for(tiny("t5"), training__fp16=True), tmp_path)


@pytest.mark.slow
def test_a_prompt_reaches_an_encoder_within_its_length(built):
    changes = {"tokenizer__prompt": "summarize: {dialogue} end", "tokenizer__encoder_max_len": 40}
    whole = built("t5", changes).trainer.train_dataset[:]
    tokenizer = built("t5", changes).trainer.processing_class
    assert max(len(item["input_ids"]) for item in whole) == 40
    assert len({tuple(item["input_ids"][-3:]) for item in whole}) == 1 or tokenizer is None


def test_prompts_of_a_decoder_only_model_are_not_padded_at_the_right(tiny, tmp_path):
    with pytest.raises(DataError, match="tokenizer.padding_side"):
        train(config_for(tiny("gpt2"), tokenizer__padding_side="right"), tmp_path)


def test_bfloat16_that_a_gpu_has_not_is_refused(tiny, tmp_path, monkeypatch):
    import torch

    from sweepkit.training.arguments import training_arguments

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old Card")
    with pytest.raises(DataError, match=WORDS["old-card-computes"]):
        training_arguments(config_for(tiny("t5"), training__bf16=True, training__use_cpu=False), tmp_path)


def test_a_cpu_is_used_where_it_is_wanted_though_there_is_a_gpu(tiny, tmp_path, monkeypatch):
    import torch

    from sweepkit.training.arguments import training_arguments

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = config_for(tiny("t5"), training__use_cpu=True)
    assert training_arguments(config, tmp_path).use_cpu
