import json
import shutil

import pytest
import tiny_models
from in_process import config_for
from snapshots import words_of
from tiny_models import CAUSAL, FAMILIES, SEQ2SEQ

from sweepkit.errors import DataError
from sweepkit.training.checkpoints import METADATA_NAME, load_model, load_tokenizer, vocabulary_sha256

WORDS = words_of(__file__)

pytestmark = pytest.mark.usefixtures("library_warnings")


@pytest.fixture
def load():
    from sweepkit.training.models.loading import load

    return load


@pytest.fixture
def copy(tiny, tmp_path):
    def of(family):
        return shutil.copytree(tiny(family), tmp_path / family)

    return of


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_loaded_by_its_kind(tiny, load, family):
    loaded = load(config_for(tiny(family)))
    assert loaded.kind == ("encoder-decoder" if family in SEQ2SEQ else "decoder-only")
    assert loaded.model.config.model_type == family == loaded.facts["architecture"]
    assert loaded.facts["parameters"] == loaded.facts["trainable_parameters"]
    assert loaded.prompt == (None if family in SEQ2SEQ else "{dialogue}\n요약: ")
    assert {str(part.dtype) for part in loaded.model.parameters()} == {"torch.float32"}


def test_a_model_that_writes_nothing_is_refused(tiny, load):
    with pytest.raises(DataError, match=WORDS["must-be-a"]):
        load(config_for(tiny("bert")))


DROPOUT_FIELDS = {
    "bart": ["dropout"],
    "t5": ["dropout_rate"],
    "mt5": ["dropout_rate"],
    "gpt2": ["resid_pdrop", "embd_pdrop"],
}


@pytest.mark.parametrize("family", DROPOUT_FIELDS)
def test_the_dropout_reaches_every_module(tiny, load, family):
    import torch

    model = load(config_for(tiny(family), model__dropout_rate=0.37)).model
    assert [getattr(model.config, field) for field in DROPOUT_FIELDS[family]] == [0.37] * len(DROPOUT_FIELDS[family])
    modules = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    own = {name: rate for name, rate in modules.items() if "attn_dropout" not in name}
    functional = [module.dropout for module in model.modules() if isinstance(getattr(module, "dropout", None), float)]
    assert set(own.values()) <= {0.37}
    assert own or 0.37 in functional, "something draws with it"


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_dropout_that_a_family_has_not_is_refused(tiny, load, family):
    with pytest.raises(DataError, match=rf"a {family} model has no dropout but the attention's, got 0.2"):
        load(config_for(tiny(family), model__dropout_rate=0.2))


@pytest.mark.parametrize("family", ["bart", "gpt2", "llama", "qwen2"])
def test_attention_dropout_reaches_the_attention(tiny, load, family):
    model = load(config_for(tiny(family), model__attention_dropout=0.43)).model
    found = {
        "bart": lambda: [module.dropout for name, module in model.named_modules() if name.endswith("attn")],
        "gpt2": lambda: [module.attn_dropout.p for module in model.modules() if hasattr(module, "attn_dropout")],
    }.get(family, lambda: [module.attention_dropout for name, module in model.named_modules() if name.endswith("attn")])
    assert found() and set(found()) == {0.43}


@pytest.mark.parametrize("family", ["t5", "mt5"])
def test_attention_dropout_of_t5_is_refused_with_the_reason(tiny, load, family):
    with pytest.raises(DataError, match=WORDS["rate-is-the"]):
        load(config_for(tiny(family), model__attention_dropout=0.1))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_layers_are_kept_as_the_checkpoint_has_them(tiny, load, family):
    import torch

    changes = {"model__decoder_layers": 1} | ({"model__encoder_layers": 1} if family in SEQ2SEQ else {})
    whole = load(config_for(tiny(family))).model.state_dict()
    small = load(config_for(tiny(family), **changes)).model
    kept = small.state_dict()
    assert set(kept) < set(whole)
    assert all(torch.equal(kept[name], whole[name]) for name in kept)
    dropped = {name.rpartition("layers.")[2].partition(".")[0] for name in set(whole) - set(kept) if "layers." in name}
    assert "0" not in dropped
    assert small(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.isfinite()


@pytest.mark.parametrize(("family", "there"), [("bart", 2), ("t5", 2), ("gpt2", 3), ("qwen2", 3)])
def test_more_layers_than_there_are_are_refused(tiny, load, family, there):
    with pytest.raises(DataError, match=f"model.decoder_layers: must be at most the {there} that the checkpoint has"):
        load(config_for(tiny(family), model__decoder_layers=4))


def test_a_decoder_only_model_has_no_encoder_layers(tiny, load):
    with pytest.raises(DataError, match=WORDS["model-has-no"]):
        load(config_for(tiny("gpt2"), model__encoder_layers=1))


def test_a_checkpoint_that_lacks_weights_is_refused(copy):
    from safetensors.torch import load_file, save_file

    folder = copy("gpt2")
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=WORDS["are-missing-and"]):
        load_model(str(folder), lambda config: {})
    tiny_models.edit_json(folder / "config.json", vocab_size=1200)
    with pytest.raises(DataError, match="cannot be loaded"):
        load_model(str(folder), lambda config: {})


# Speaker tags


def test_the_embedded_tokenizer_has_all_tags_already(tiny, load):
    loaded = load(config_for(tiny("bart")))
    assert vocabulary_sha256(loaded.tokenizer.get_vocab()) == vocabulary_sha256(
        load_tokenizer(str(tiny("bart"))).get_vocab()
    )
    assert loaded.model.get_input_embeddings().weight.shape[0] == 1000


@pytest.mark.parametrize("family", ["bart", "t5", "gpt2", "llama"])
def test_a_missing_tag_becomes_one_ordinary_token_with_a_mean_embedding(tiny, load, family):
    import torch

    before = load(config_for(tiny(family))).model.get_input_embeddings().weight
    state = torch.random.get_rng_state()
    loaded = load(config_for(tiny(family), tokenizer__speaker_tags=("#Person1#", "#Doctor#", "#Nurse#")))
    assert torch.equal(torch.random.get_rng_state(), state), "the training's random stream is untouched"
    tokenizer, model = loaded.tokenizer, loaded.model
    text = "#Doctor#가 #Person1#에게 말한다."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids.count(1000) == 1
    assert "#Doctor#" in tokenizer.decode(ids, skip_special_tokens=True)
    rows = model.get_input_embeddings().weight
    assert rows.shape[0] == 1002 == model.config.vocab_size
    assert torch.equal(rows[:1000], before)
    assert torch.equal(rows[1000], before.mean(dim=0))
    assert torch.equal(rows[1001], before.mean(dim=0))
    assert model.get_output_embeddings().weight.shape[0] == 1002
    assert model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.isfinite()


def test_a_tag_that_is_special_in_the_tokenizer_is_refused(copy, load):
    folder = copy("bart")
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token in content["added_tokens"]:
        token["special"] |= token["content"] == "#Person1#"
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tiny_models.edit_json(folder / "tokenizer_config.json", extra_special_tokens=["#Person1#"])
    with pytest.raises(DataError, match=WORDS["must-be-an"]):
        load(config_for(folder))


def test_a_tokenizer_larger_than_the_model_is_refused_before_tags_hide_it(copy, load):
    folder = copy("gpt2")
    tokenizer = load_tokenizer(str(folder))
    tokenizer.add_tokens(["#Extra#"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(DataError, match=WORDS["must-fit-the"]):
        load(config_for(folder, tokenizer__speaker_tags=("#New#",)))


def test_the_vocabulary_is_checked_before_tags_are_added(copy, load):
    folder = copy("bart")
    load(config_for(folder, tokenizer__speaker_tags=("#New#",)))
    tiny_models.edit_json(folder / METADATA_NAME, **{"vocabulary.sha256": "0" * 64})
    with pytest.raises(DataError, match=WORDS["must-be-the"]):
        load(config_for(folder, tokenizer__speaker_tags=("#New#",)))


# Tokenizers that do not say what they are


def test_kogpt2s_kind_of_tokenizer_is_read_as_its_file_tells(copy, load):
    folder = copy("gpt2")
    wanted = load_tokenizer(str(folder))
    (folder / "tokenizer_config.json").unlink()
    tiny_models.edit_json(folder / "config.json", bos_token_id=2, eos_token_id=2, pad_token_id=1)
    tokenizer = load_tokenizer(str(folder))
    named = {
        role: getattr(tokenizer, role) for role in ("bos_token", "eos_token", "unk_token", "pad_token", "mask_token")
    }
    assert named == {
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    text = "#Person1#: 안녕하세요. 3시에 만나요."
    assert tokenizer(text)["input_ids"] == wanted(text)["input_ids"], "a GPT2Tokenizer loses syllables here"
    assert len(tokenizer) == 1000
    assert load(config_for(folder)).tokenizer.pad_token_id == 1


def test_a_default_id_of_the_models_class_is_no_token(copy):
    folder = copy("gpt2")
    (folder / "tokenizer_config.json").unlink()
    tiny_models.edit_json(folder / "config.json", bos_token_id=500, eos_token_id=50256, pad_token_id=None)
    tokenizer = load_tokenizer(str(folder))
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")


@pytest.mark.parametrize(("own", "padding"), [(None, 2), (700, 700)])
def test_without_a_padding_the_models_own_or_the_end_is_it(copy, load, own, padding):
    folder = copy("gpt2")
    tiny_models.edit_json(folder / "tokenizer_config.json", pad_token=None)
    tiny_models.edit_json(folder / "config.json", pad_token_id=own)
    loaded = load(config_for(folder))
    assert loaded.tokenizer.eos_token_id == 2
    assert loaded.tokenizer.pad_token_id == loaded.model.config.pad_token_id == padding


def test_a_tokenizer_without_an_end_is_refused(copy, load):
    folder = copy("gpt2")
    content = (folder / "tokenizer.json").read_text(encoding="utf-8").replace('"</s>"', '"<other>"')
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    tiny_models.edit_json(folder / "tokenizer_config.json", eos_token=None)
    with pytest.raises(DataError, match=WORDS["must-have-an"]):
        load(config_for(folder))


# Prompt and lengths


def test_the_prompt_is_the_configurations_else_the_checkpoints(copy, load):
    folder = copy("gpt2")
    (folder / METADATA_NAME).write_text('{"prompt": "<s>{dialogue}<mask>"}', encoding="utf-8")
    assert load(config_for(folder)).prompt == "<s>{dialogue}<mask>"
    assert load(config_for(folder, tokenizer__prompt="{dialogue} =>")).prompt == "{dialogue} =>"
    (folder / METADATA_NAME).write_text('{"prompt": "no place"}', encoding="utf-8")
    with pytest.raises(DataError, match=WORDS["prompt-must-be"]):
        load(config_for(folder))


@pytest.mark.parametrize("family", CAUSAL)
def test_prompt_and_summary_share_the_positions_of_a_decoder(tiny, load, family):
    prompt = {"tokenizer__prompt": "<s>{dialogue}<mask>", "tokenizer__decoder_max_len": 24}
    load(config_for(tiny(family), tokenizer__encoder_max_len=230, **prompt))
    with pytest.raises(DataError, match=WORDS["must-be-together"]):
        load(config_for(tiny(family), tokenizer__encoder_max_len=231, **prompt))


def test_an_encoder_has_positions_of_its_own_and_t5_no_end(tiny, load):
    load(config_for(tiny("bart"), tokenizer__encoder_max_len=256, tokenizer__decoder_max_len=256))
    with pytest.raises(DataError, match=WORDS["len-must-be"]):
        load(config_for(tiny("bart"), tokenizer__encoder_max_len=257))
    load(config_for(tiny("t5"), tokenizer__encoder_max_len=4096))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_is_its_file_whatever_the_model_beside_it(tiny, family):
    text = "#Person1#: 안녕하세요. 3시에 만나요.\n요약: "
    assert load_tokenizer(str(tiny(family)))(text)["input_ids"] == load_tokenizer(str(tiny("bart")))(text)["input_ids"]
