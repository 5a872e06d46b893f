import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from sweepkit.errors import DataError
from sweepkit.paths import DATA_DIR
from sweepkit.training import cache
from sweepkit.training.cache import Recipe, TokenizedPairs, folder_for, tokenized
from sweepkit.training.text import normalize

RECIPE = Recipe(
    dialogue_column="dialogue", summary_column="summary", encoder_max_len=128, decoder_max_len=48, normalize_text=True
)
DEV = DATA_DIR / "dev.csv"


@pytest.fixture(scope="module")
def tokenizer():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, at import
        from sweepkit.training.checkpoints import load_tokenizer

        return load_tokenizer(str(DATA_DIR / "checkpoints" / "bart-tiny-ko"))


def test_holds_what_the_tokenizer_gives_and_the_references(tokenizer, tmp_path):
    from sweepkit.training.data import read_pairs

    data = TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path))
    pairs = read_pairs(DEV, "dialogue", "summary")
    assert len(data) == len(pairs) == 100
    for position in (0, 41, 99):
        item = data[position]
        assert item["input_ids"] == tokenizer(normalize(pairs[position].dialogue))["input_ids"]
        assert item["attention_mask"] == [1] * len(item["input_ids"])
        assert item["labels"][-1] == tokenizer.eos_token_id
        assert tokenizer.decode(item["labels"], skip_special_tokens=True) == pairs[position].summary
        assert data.references()[position] == pairs[position].summary
    assert data[-1] == data[99]
    assert data[:2] == [data[0], data[1]]
    with pytest.raises(IndexError):
        data[100]


def test_a_limit_takes_the_first_rows(tokenizer, tmp_path):
    folder = tokenized(DEV, tokenizer, RECIPE, tmp_path)
    limited = TokenizedPairs(folder, 7)
    assert (len(limited), len(limited.references()), len(list(limited))) == (7, 7, 7)
    assert len(TokenizedPairs(folder, 7000)) == 100


def test_long_texts_are_cut_and_still_end(tokenizer, tmp_path):
    data = TokenizedPairs(tokenized(DEV, tokenizer, replace(RECIPE, encoder_max_len=16, decoder_max_len=8), tmp_path))
    assert max(len(item["input_ids"]) for item in data) == 16
    assert max(len(item["labels"]) for item in data) == 8
    assert all(item["input_ids"][-1] == item["labels"][-1] == tokenizer.eos_token_id for item in data)


def test_is_made_once_and_anew_when_anything_that_matters_changes(tokenizer, tmp_path, monkeypatch):
    file = tmp_path / "data.csv"
    file.write_bytes(DEV.read_bytes())
    folder = tokenized(file, tokenizer, RECIPE, tmp_path)
    monkeypatch.setattr(cache, "_build", lambda *_: pytest.fail("it was there already"))
    assert tokenized(file, tokenizer, RECIPE, tmp_path) == folder
    others = {
        folder_for(file, tokenizer, changed, tmp_path)
        for changed in (
            replace(RECIPE, encoder_max_len=127),
            replace(RECIPE, decoder_max_len=47),
            replace(RECIPE, normalize_text=False),
            replace(RECIPE, summary_column="topic"),
        )
    }
    file.write_bytes(DEV.read_bytes() + b'x,"a","b",c\n')
    others.add(folder_for(file, tokenizer, RECIPE, tmp_path))
    assert len(others | {folder}) == 6


def test_a_bad_file_leaves_nothing_behind(tokenizer, tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text("dialogue,summary\n가,\n", encoding="utf-8")
    with pytest.raises(DataError, match="bad.csv:2: summary must not be empty"):
        tokenized(file, tokenizer, RECIPE, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_an_interrupted_build_leaves_nothing_behind(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(np, "cumsum", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tokenized(DEV, tokenizer, RECIPE, tmp_path)
    monkeypatch.undo()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path))) == 100


def _race(barrier, built, tokenizer, directory):
    real = cache._build

    def counting(*arguments):
        built.put("built")
        real(*arguments)

    cache._build = counting
    barrier.wait()
    built.put(str(tokenized(DEV, tokenizer, RECIPE, directory)))


def test_two_processes_that_build_at_once_produce_one(tokenizer, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, built = context.Barrier(2), context.Queue()
    racers = [context.Process(target=_race, args=(barrier, built, tokenizer, tmp_path)) for _ in range(2)]
    for racer in racers:
        racer.start()
    said = [built.get(timeout=60) for _ in range(3)]
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    assert said.count("built") == 1
    (folder,) = {path for path in said if path != "built"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.rsplit("/", 1)[1]]
    assert len(TokenizedPairs(folder_for(DEV, tokenizer, RECIPE, tmp_path))) == 100
