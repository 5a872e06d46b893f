"""The configurations in config/models: those of real checkpoints are complete, those of embedded ones train."""

import dataclasses

import pytest
from in_process import train
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.paths import CONFIG_DIR
from sweepkit.training.config.training import TrainingConfig, apply, read_training_config

WORDS = words_of(__file__)

pytestmark = pytest.mark.usefixtures("library_warnings")

FILES = {file.stem: file for file in sorted((CONFIG_DIR / "models").glob("*.yaml"))}
REAL = {
    "optimal_kobart": "digit82/kobart-summarization",
    "optimal_kogpt2": "skt/kogpt2-base-v2",
    "optimal_t5": "KETI-AIR/ke-t5-base",
}
TINY = {
    f"tiny_{family}{suffix}": (family, bool(suffix)) for family in ("bart", "t5", "gpt2") for suffix in ("", "_lora")
}


def test_there_is_one_of_each():
    assert {*REAL, *TINY} <= set(FILES)


@pytest.mark.parametrize("name", REAL)
def test_a_real_model_is_named_and_its_absence_is_one_sentence(name, tmp_path):
    config = read_training_config(FILES[name])
    assert config.model.name == REAL[name]
    assert config.data.min_val_samples == 500
    assert not config.data.allow_small_val
    assert (config.tokenizer.encoder_max_len, config.tokenizer.decoder_max_len) == (512, 128)
    with pytest.raises(DataError, match=WORDS["neither-a-folder"]):
        train(config, tmp_path)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.heavy
def test_an_embedded_model_trains_in_seconds(name, tmp_path):
    family, lora = TINY[name]
    config = read_training_config(FILES[name])
    assert isinstance(config, TrainingConfig)
    assert config.data.allow_small_val
    few = {"max_train_samples": 64, "max_val_samples": 8, "max_steps": 8, "eval_steps": 4.0, "use_cpu": True}
    done = train(apply(config, few, from_text=False), tmp_path)
    assert done.outcome.facts["architecture"] == family
    facts = done.outcome.facts
    assert (facts["trainable_parameters"] < facts["parameters"]) is lora is ("lora_targets" in facts)
    losses = [item.metrics["loss"] for item in done.outcome.history]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    unread = {field.name for field in dataclasses.fields(config.lora)} if not lora else set()
    assert not {f"lora.{field}" for field in unread - {"enabled"}} & set(done.read)
