import json
import shutil
import warnings

import pytest
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.paths import DATA_DIR
from sweepkit.training.checkpoints import METADATA_NAME, VOCABULARY_KEY, load_tokenizer, resolve, vocabulary_sha256

WORDS = words_of(__file__)

TINY = DATA_DIR / "checkpoints" / "bart-tiny-ko"


@pytest.fixture(autouse=True)
def _library_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and transformers' own, at import
        yield


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(TINY, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_the_committed_tokenizer_is_the_checkpoints_own():
    tokenizer = load_tokenizer(str(TINY))
    record = json.loads((TINY / METADATA_NAME).read_text(encoding="utf-8"))
    assert record[VOCABULARY_KEY] == vocabulary_sha256(tokenizer.get_vocab())
    assert sum(file.stat().st_size for file in TINY.iterdir()) < 1_300_000


def test_a_changed_tokenizer_under_kept_weights_is_refused(copy):
    content = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    one, other = sorted(vocabulary, key=vocabulary.get)[100:102]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (copy / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(DataError, match=WORDS["must-be-the"]):
        load_tokenizer(str(copy))
    (copy / METADATA_NAME).unlink()
    assert len(load_tokenizer(str(copy))) == 1000, "a checkpoint without a record is the user's own business"


def test_speakers_survive_decoding_and_particles_stay_attached():
    tokenizer = load_tokenizer(str(TINY))
    text = "#Person1#은 3시에 #Person2#와 서울역에서 만난다."
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.batch_decode([ids], skip_special_tokens=True) == [text]
    assert tokenizer.convert_tokens_to_ids("#Person1#") in ids
    assert tokenizer.unk_token_id not in ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id


def test_the_hash_depends_on_ids_not_on_order():
    assert vocabulary_sha256({"a": 0, "b": 1}) == vocabulary_sha256({"b": 1, "a": 0})
    assert vocabulary_sha256({"a": 0, "b": 1}) != vocabulary_sha256({"a": 1, "b": 0})


def test_folders_are_found_as_written_or_below_the_root(copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    assert resolve("data/checkpoints/bart-tiny-ko") == str(TINY)
    assert resolve("tiny") == "tiny"
    assert resolve(str(copy)) == str(copy)
    assert resolve("digit82/kobart-summarization") == "digit82/kobart-summarization"
    for wrong in ("data/checkpoints/none", "./none", str(copy.parent)):
        with pytest.raises(DataError, match=WORDS["must-be-a"]):
            resolve(wrong)


def test_a_hub_name_without_cache_and_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError) as caught:
        load_tokenizer("sweepkit-test/there-is-no-such-model")
    assert WORDS["neither-a-folder"] in str(caught.value)
    assert "HF_HUB_OFFLINE is set" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_checkpoint_is_named(copy):
    from sweepkit.training.checkpoints import load_model

    (copy / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_model(str(copy), lambda config: {})


def test_fields_of_the_model_are_set_or_refused():
    from sweepkit.training.checkpoints import load_model

    model = load_model(str(TINY), lambda config: {"dropout": 0.25})
    assert model.config.dropout == 0.25
    assert {module.dropout for module in model.modules() if hasattr(module, "dropout")} >= {0.25}
    assert {str(parameter.dtype) for parameter in model.parameters()} == {"torch.float32"}
    with pytest.raises(DataError, match=WORDS["a-bart-model"]):
        load_model(str(TINY), lambda config: {"dropuot": 0.25})
