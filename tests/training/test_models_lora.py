import json

import pytest
import tiny_models
from in_process import config_for, train
from snapshots import words_of
from tiny_models import FAMILIES

from sweepkit.errors import DataError

WORDS = words_of(__file__)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("library_warnings")]

LOSS_ONLY = {"training__predict_with_generate": False, "training__eval_steps": 2.0}
LOOK = {**LOSS_ONLY, "training__max_steps": 1, "training__learning_rate": 1e-30}  # evaluates what was loaded
# What a family's trainings show, one of its own make shows first: mT5 is T5 with a gate, Qwen2 is Llama with biases.
TRAINED = [pytest.param(family, marks=[pytest.mark.heavy] if family in ("mt5", "qwen2") else []) for family in FAMILIES]
ATTENTION = {
    "bart": ["q_proj", "v_proj"],
    "t5": ["q", "v"],
    "mt5": ["q", "v"],
    "gpt2": ["c_attn"],
    "llama": ["q_proj", "v_proj"],
    "qwen2": ["q_proj", "v_proj"],
}
ALL = {
    "bart": ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"],
    "t5": ["k", "o", "q", "v", "wi", "wo"],
    "mt5": ["k", "o", "q", "v", "wi_0", "wi_1", "wo"],
    "gpt2": ["c_attn", "c_fc", "c_proj"],
    "llama": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
    "qwen2": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
}


@pytest.fixture
def load():
    from sweepkit.training.models.loading import load

    return load


def plain(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_targets_are_found_for_each_family(tiny, load, family):
    for wanted, expected in (("attention", ATTENTION[family]), ("all-linear", ALL[family])):
        loaded = load(config_for(tiny(family), lora__enabled=True, lora__target_modules=wanted))
        assert loaded.facts["lora_targets"] == expected
        with_adapter = {name.split(".lora_A")[0] for name, _ in loaded.model.named_modules() if name.endswith("lora_A")}
        assert {name.rpartition(".")[2] for name in with_adapter} == set(expected)
        trained = [name for name, part in loaded.model.named_parameters() if part.requires_grad]
        assert trained and all("lora_" in name for name in trained)
        assert 0 < loaded.facts["trainable_parameters"] < loaded.facts["parameters"]


def test_rank_scale_and_dropout_reach_the_adapters(tiny, load):
    changes = {"lora__r": 3, "lora__alpha": 12.0, "lora__dropout": 0.25, "lora__target_modules": "v_proj, q_proj"}
    loaded = load(config_for(tiny("bart"), lora__enabled=True, **changes))
    layer = loaded.model.base_model.model.model.encoder.layers[0].self_attn.q_proj
    assert layer.lora_A["default"].weight.shape == (3, 64)
    assert layer.scaling["default"] == 4.0
    assert layer.lora_dropout["default"].p == 0.25
    assert loaded.facts["lora_targets"] == ["q_proj", "v_proj"]
    modules = 2 * (2 + 2 * 2)  # two projections in 2 encoder layers, and in both attentions of 2 decoder layers
    assert loaded.facts["trainable_parameters"] == modules * 3 * (64 + 64)


@pytest.mark.parametrize("wanted", ["c_attn", "q_proj,nothing", ","])
def test_unknown_targets_are_refused_with_those_there_are(tiny, load, wanted):
    with pytest.raises(DataError, match=WORDS["modules-of-this"]):
        load(config_for(tiny("bart"), lora__enabled=True, lora__target_modules=wanted))


def test_gpt2_adapters_are_transposed_as_its_weights_are(tiny, load):
    loaded = load(config_for(tiny("gpt2"), lora__enabled=True))
    assert loaded.model.peft_config["default"].fan_in_fan_out
    assert not load(config_for(tiny("bart"), lora__enabled=True)).model.peft_config["default"].fan_in_fan_out


@pytest.mark.parametrize("family", TRAINED)
def test_only_adapters_move_and_a_merged_model_is_an_ordinary_checkpoint(tiny, load, tmp_path, family):
    import torch

    before = plain(load(config_for(tiny(family))).model)
    changes = {"lora__enabled": True, "training__save_model": True, "training__learning_rate": 0.05, **LOSS_ONLY}
    done = train(config_for(tiny(family), **changes), tmp_path)
    folder = tmp_path / "model"
    assert not (folder / "adapter_config.json").exists()
    after = plain(load(config_for(folder)).model)
    moved = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert moved == set(ATTENTION[family])
    again = train(config_for(folder, **LOOK), tmp_path / "again")
    last, first = done.outcome.history[-1].metrics, again.outcome.history[-1].metrics
    assert first["loss"] == pytest.approx(last["loss"], rel=1e-5)
    if family not in tiny_models.SEQ2SEQ:
        assert json.loads((folder / "sweepkit.json").read_text(encoding="utf-8"))["prompt"] == "{dialogue}\n요약: "


@pytest.mark.parametrize("family", TRAINED)
def test_saved_adapters_load_by_their_folder_and_can_be_trained_on(tiny, tmp_path, family):
    changes = {"lora__enabled": True, "lora__merge": False, "training__save_model": True, "lora__r": 2}
    changes |= {"training__learning_rate": 0.05, "tokenizer__speaker_tags": ("#Person1#", "#New#"), **LOSS_ONLY}
    done = train(config_for(tiny(family), **changes, model__decoder_layers=1), tmp_path)
    folder = tmp_path / "model"
    adapters = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert adapters["base_model_name_or_path"] == str(tiny(family))
    assert not (folder / "model.safetensors").exists()
    again = train(config_for(folder, **LOOK), tmp_path / "again")
    last, first = done.outcome.history[-1].metrics, again.outcome.history[-1].metrics
    assert first["loss"] == pytest.approx(last["loss"], rel=1e-5)
    assert again.outcome.facts["trainable_parameters"] == again.outcome.facts["parameters"]
    further = train(config_for(folder, **changes), tmp_path / "further")
    assert further.outcome.history[-1].metrics["loss"] < last["loss"]
    third = train(
        config_for(tmp_path / "further" / "model", **LOOK),
        tmp_path / "third",
    )
    expected = further.outcome.history[-1].metrics["loss"]
    assert third.outcome.history[-1].metrics["loss"] == pytest.approx(expected, rel=1e-5), "adapters on adapters"


@pytest.mark.parametrize("family", ["bart", "gpt2", "llama"])
def test_embeddings_of_new_tokens_are_trained_with_the_adapters(tiny, load, tmp_path, family):
    import torch

    changes = {"tokenizer__speaker_tags": ("#Person1#", "요약"), "lora__enabled": True, "training__save_model": True}
    train(config_for(tiny(family), **changes, **LOSS_ONLY, training__learning_rate=0.05), tmp_path)
    before = load(config_for(tiny(family))).model.get_input_embeddings().weight
    after = load(config_for(tmp_path / "model")).model.get_input_embeddings().weight
    assert after.shape[0] == 1001
    assert torch.equal(after[:1000], before), "rows of known tokens stay"
    assert not torch.equal(after[1000], before.mean(dim=0)), "where they began"


def test_adapters_that_do_not_fit_are_told(tiny, load, tmp_path):
    changes = {"lora__enabled": True, "lora__merge": False, "training__save_model": True, "training__max_steps": 1}
    train(config_for(tiny("bart"), **changes), tmp_path)
    folder = tmp_path / "model"
    tiny_models.edit_json(folder / "adapter_config.json", base_model_name_or_path=str(tiny("gpt2")))
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=WORDS["do-not-fit"]):
        load(config_for(folder))
    tiny_models.edit_json(folder / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(DataError, match=WORDS["must-name-the"]):
        load(config_for(folder))
    tiny_models.edit_json(folder / "adapter_config.json", base_model_name_or_path="./nowhere")
    with pytest.raises(DataError, match=WORDS["must-be-a"]):
        load(config_for(folder))


@pytest.mark.parametrize("family", TRAINED)
def test_gradients_pass_checkpointed_layers_with_frozen_embeddings(tiny, tmp_path, family):
    changes = {"lora__enabled": True, "training__learning_rate": 0.05, **LOSS_ONLY}
    losses = []
    for on in (False, True):
        done = train(config_for(tiny(family), **changes, training__gradient_checkpointing=on), tmp_path)
        losses.append([item.metrics["loss"] for item in done.outcome.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4), "recomputing changes memory, not results"
    assert losses[1][1] != losses[1][0]
