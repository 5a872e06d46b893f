import csv
import importlib.util
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import warnings

import pytest
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.metrics.rouge import mean_rouge, rouge_pairs
from sweepkit.paths import CODE_DIR, DATA_DIR
from sweepkit.training.checkpoints import METADATA_NAME, VOCABULARY_KEY, load_tokenizer, vocabulary_sha256
from sweepkit.training.text import normalize

WORDS = words_of(__file__)

FAMILIES = ("bart", "t5", "gpt2")
DIALOGUE = "#Person1#: 내일 오후 3시에 만날래요? #Person2#: 좋아요. 시청에서 봐요."
SUMMARY = "#Person1#과 #Person2#는 내일 오후 3시에 시청에서 만나기로 한다."


def committed(family):
    return DATA_DIR / "checkpoints" / f"{family}-tiny-ko"


def record_of(folder):
    return json.loads((folder / METADATA_NAME).read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _library_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and transformers' own, at import
        yield


@pytest.fixture(scope="module")
def pretraining():
    spec = importlib.util.spec_from_file_location("pretraining", DATA_DIR / "pretraining.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pretraining"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["pretraining"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    command = [sys.executable, str(DATA_DIR / "make_checkpoint.py"), "--output", str(folder), "--steps", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=250, env={**os.environ, "PYTHONPATH": str(CODE_DIR)}
    )
    assert done.returncode == 0, done.stderr
    return folder


def loaded(family):
    """Return (tokenizer, model) as a user loads them."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    automatic = AutoModelForCausalLM if family == "gpt2" else AutoModelForSeq2SeqLM
    folder = committed(family)
    return AutoTokenizer.from_pretrained(folder), automatic.from_pretrained(folder).eval()


def framed(tokenizer, text):
    """Return the ids of a text as its model wants it: by the record's prompt, or as the tokenizer marks it itself."""
    prompt = record_of(committed("gpt2"))["prompt"] if tokenizer.sep_token else None
    return tokenizer(prompt.format(dialogue=text) if prompt else text)["input_ids"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.heavy
def test_the_script_makes_the_committed_tokenizer_and_a_checkpoint_of_that_form(made, family):
    new, kept = made / f"{family}-tiny-ko", committed(family)
    assert {path.name for path in new.iterdir()} == {path.name for path in kept.iterdir()}
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        assert (new / name).read_bytes() == (kept / name).read_bytes(), name
    same = (VOCABULARY_KEY, "parameters", "prompt")
    assert [record_of(new).get(key) for key in same] == [record_of(kept).get(key) for key in same]
    assert record_of(new)["steps"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_committed_checkpoint_loads_and_generates_without_a_network(family, monkeypatch):
    import torch

    def refuse(*_):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    tokenizer, model = loaded(family)
    record = record_of(committed(family))
    assert record[VOCABULARY_KEY] == vocabulary_sha256(tokenizer.get_vocab())
    assert record["parameters"] == model.num_parameters()
    assert model.config.vocab_size == len(tokenizer) == 1000
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in model.parameters())
    # All were trained to write their input whole: texts they never saw come back nearly so, and they end.
    with (DATA_DIR / "dev.csv").open(encoding="utf-8", newline="") as file:
        texts = [normalize(row["summary"]) for row in itertools.islice(csv.DictReader(file), 8)]
    written = []
    for text in texts:
        ids = torch.tensor([framed(tokenizer, text)])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
        new = out[0, ids.shape[1] :] if family == "gpt2" else out[0]
        assert int(new[-1]) == tokenizer.eos_token_id
        written.append(tokenizer.decode(new, skip_special_tokens=True))
    assert mean_rouge(rouge_pairs(written, texts)).rouge1_f1 > 0.6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_configuration_names_the_ids_of_the_tokenizer(family):
    tokenizer, model = loaded(family)
    for settings in (model.config, model.generation_config):
        assert settings.eos_token_id == tokenizer.eos_token_id
        assert settings.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.unk_token_id not in (None, tokenizer.pad_token_id, tokenizer.eos_token_id)
    if family == "t5":  # as T5 itself: padding 0, end 1, and the decoder starts with padding
        assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)
        assert model.config.decoder_start_token_id == 0
        assert tokenizer.bos_token is None
    else:
        assert model.config.bos_token_id == tokenizer.bos_token_id is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_speakers_survive_decoding_and_particles_stay_attached(family):
    tokenizer = load_tokenizer(str(committed(family)))
    ids = tokenizer(SUMMARY)["input_ids"]
    assert tokenizer.batch_decode([ids], skip_special_tokens=True) == [SUMMARY]
    assert tokenizer.convert_tokens_to_ids("#Person1#") in ids
    assert tokenizer.unk_token_id not in ids
    marks = {"bart": ["<s>", "</s>"], "t5": ["</s>"], "gpt2": []}[family]
    assert [token for token in tokenizer.convert_ids_to_tokens(ids) if token in tokenizer.all_special_tokens] == marks


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_tokenizer_under_kept_weights_is_refused(family, tmp_path):
    copy = shutil.copytree(committed(family), tmp_path / family)
    assert len(load_tokenizer(str(copy))) == 1000
    content = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    one, other = sorted(vocabulary, key=vocabulary.get)[100:102]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (copy / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(DataError, match=WORDS["must-be-the"]):
        load_tokenizer(str(copy))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_of_another_family_is_refused(family, tmp_path):
    other = FAMILIES[FAMILIES.index(family) - 1]
    copy = shutil.copytree(committed(family), tmp_path / family)
    shutil.copy(committed(other) / "tokenizer.json", copy / "tokenizer.json")
    with pytest.raises(DataError, match=WORDS["must-be-the"]):
        load_tokenizer(str(copy))


@pytest.mark.parametrize("family", FAMILIES)
def test_committed_files_are_small(family):
    assert max(path.stat().st_size for path in committed(family).iterdir()) <= 1_300_000


def test_the_prompt_is_made_of_special_tokens_around_the_dialogue():
    tokenizer = load_tokenizer(str(committed("gpt2")))
    assert record_of(committed("gpt2"))["prompt"] == "<s>{dialogue}<sep>"
    alone = tokenizer(DIALOGUE, add_special_tokens=False)["input_ids"]
    assert framed(tokenizer, DIALOGUE) == [tokenizer.bos_token_id, *alone, tokenizer.sep_token_id]
    assert tokenizer.decode(framed(tokenizer, DIALOGUE), skip_special_tokens=True) == DIALOGUE
    assert "prompt" not in record_of(committed("t5"))


def test_corruption_hides_about_a_third_and_keeps_the_order(pretraining):
    ids = list(range(10, 5010))
    damaged = pretraining.corrupt(ids, 4, random.Random(1))
    kept = [token for token in damaged if token != 4]
    assert kept == sorted(kept)
    assert 0.2 < 1 - len(kept) / len(ids) < 0.35
    assert damaged.count(4) > 300


def test_scattered_words_are_words_of_the_summary_and_dialogues_keep_their_utterances(pretraining):
    dice = random.Random(2)
    seen = [pretraining.scattered_words(SUMMARY, dice) for _ in range(200)]
    assert all(set(text.split()) <= set(SUMMARY.split()) for text in seen)
    assert 60 < seen.count(SUMMARY) < 140
    assert any(text.split() != sorted(text.split(), key=SUMMARY.split().index) for text in seen)
    lines = ["#Person1#: 네.", "#Person2#: 좋아요.", "#Person1#: 그래요."]
    for _ in range(50):
        text = pretraining.scattered_words("\n".join(lines), dice)
        assert len(text) == len(" ".join(lines)) and all(line in text for line in lines)


def test_a_causal_batch_is_prompt_and_continuation_with_the_loss_on_the_continuation(pretraining):
    batch = pretraining.batch_of([([5, 6, 7], [8, 1]), ([5], [9, 1])], 2, causal=True)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 1], [5, 9, 1, 2, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, -100, -100, 8, 1], [-100, 9, 1, -100, -100]]
    cut = pretraining.batch_of([([5, 6, 7], [8, 1])], 2, causal=True, positions=4)
    assert cut["input_ids"].shape == cut["labels"].shape == (1, 4)


def test_an_encoder_decoder_batch_keeps_source_and_target_apart(pretraining):
    batch = pretraining.batch_of([([5, 6, 7], [8, 1]), ([5], [9, 8, 7, 1])], 0, causal=False)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch["labels"].tolist() == [[8, 1, -100, -100], [9, 8, 7, 1]]
