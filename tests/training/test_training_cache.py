import csv
import errno
import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.paths import DATA_DIR
from sweepkit.training import cache
from sweepkit.training.cache import Recipe, folder_for, tokenized, tokenizer_sha256
from sweepkit.training.data import Columns, read
from sweepkit.training.text import normalize
from sweepkit.training.tokens import CONTENT_NAME, TokenizedPairs, Writer, is_whole

WORDS = words_of(__file__)

COLUMNS = Columns(dialogue="dialogue", references=("summary",))
RECIPE = Recipe(columns=COLUMNS, encoder_max_len=128, decoder_max_len=48, normalize_text=True)
DEV = DATA_DIR / "dev.csv"


@pytest.fixture(scope="module")
def tokenizer():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, at import
        from sweepkit.training.checkpoints import load_tokenizer

        return load_tokenizer(str(DATA_DIR / "checkpoints" / "bart-tiny-ko"))


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """The validation data in each format, by suffix."""
    import pyarrow
    from pyarrow import parquet

    folder = tmp_path_factory.mktemp("formats")
    with DEV.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "dev.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "dev.parquet")
    return {".csv": DEV, ".jsonl": folder / "dev.jsonl", ".parquet": folder / "dev.parquet"}


def test_holds_what_the_tokenizer_gives_and_the_texts(tokenizer, tmp_path):
    data = TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path))
    examples = list(read(DEV, COLUMNS))
    assert len(data) == len(examples) == 100
    for position in (0, 41, 99):
        item, example = data[position], examples[position]
        assert item["input_ids"] == tokenizer(normalize(example.dialogue))["input_ids"]
        assert item["attention_mask"] == [1] * len(item["input_ids"])
        assert item["labels"][-1] == tokenizer.eos_token_id
        assert tokenizer.decode(item["labels"], skip_special_tokens=True) == example.references[0]
        assert data.references()[position] == [example.references[0]]
        assert data.sources()[position] == normalize(example.dialogue)
    assert data[-1] == data[99]
    assert data[:2] == [data[0], data[1]]
    with pytest.raises(IndexError):
        data[100]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_every_format_gives_the_same_items(tokenizer, formats, tmp_path, suffix):
    wanted = TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path))
    got = TokenizedPairs(tokenized(formats[suffix], tokenizer, RECIPE, tmp_path))
    assert got.folder != wanted.folder
    assert list(got) == list(wanted)
    assert (got.sources(), got.references()) == (wanted.sources(), wanted.references())
    assert got.keys().tolist() == wanted.keys().tolist()


def test_how_many_rows_are_tokenized_at_once_changes_nothing(tokenizer, tmp_path, monkeypatch):
    wanted = list(TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path / "a")))
    monkeypatch.setattr(cache, "_ROWS_AT_ONCE", 7)
    assert list(TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path / "b"))) == wanted


def test_a_selection_has_its_rows_texts_and_keys_in_its_order(tokenizer, tmp_path):
    data = TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path))
    limited = data.first(7)
    assert (len(limited), len(limited.references()), len(list(limited))) == (7, 7, 7)
    assert len(data.first(7000)) == len(data.first(None)) == 100
    some = data.select([5, 3, 80])
    assert list(some) == [data[5], data[3], data[80]]
    assert some.first(2).sources() == [data.sources()[5], data.sources()[3]]
    assert some.select([2, 0]).references() == [data.references()[80], data.references()[5]]
    assert some.keys().tolist() == [int(data.keys()[row]) for row in (5, 3, 80)]


def test_long_texts_are_cut_and_still_end(tokenizer, tmp_path):
    data = TokenizedPairs(tokenized(DEV, tokenizer, replace(RECIPE, encoder_max_len=16, decoder_max_len=8), tmp_path))
    assert max(len(item["input_ids"]) for item in data) == 16
    assert max(len(item["labels"]) for item in data) == 8
    assert all(item["input_ids"][-1] == item["labels"][-1] == tokenizer.eos_token_id for item in data)


@pytest.mark.parametrize("prompt", ["<s>{dialogue}</s>", "{dialogue}\n요약: ", "{dialogue}"])
def test_a_prompt_is_whole_around_a_cut_dialogue(tokenizer, tmp_path, prompt):
    def plain(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    recipe = replace(RECIPE, prompt=prompt, encoder_max_len=20)
    data = TokenizedPairs(tokenized(DEV, tokenizer, recipe, tmp_path))
    head, tail = prompt.split("{dialogue}")
    for item, example in zip(data, read(DEV, COLUMNS), strict=True):
        assert item["input_ids"] == plain(head) + plain(normalize(example.dialogue))[:20] + plain(tail)
        assert item["labels"] == [*plain(example.references[0])[:47], tokenizer.eos_token_id]
        assert len(item["attention_mask"]) == len(item["input_ids"])


def test_several_references_are_kept_and_the_first_makes_the_labels(tokenizer, tmp_path):
    file = tmp_path / "several.csv"
    file.write_text("dialogue,a,b\n안녕하세요,“하나”,예약  한다\n반가워요,ㅋㅋㅋㅋㅋ,여행\n", encoding="utf-8")
    recipe = replace(RECIPE, columns=Columns(dialogue="dialogue", references=("b", "a")))
    data = TokenizedPairs(tokenized(file, tokenizer, recipe, tmp_path))
    assert data.references() == [["예약 한다", '"하나"'], ["여행", "ㅋㅋ"]]
    assert [tokenizer.decode(item["labels"], skip_special_tokens=True) for item in data] == ["예약 한다", "여행"]
    raw = TokenizedPairs(tokenized(file, tokenizer, replace(recipe, normalize_text=False), tmp_path))
    assert raw.references() == [["예약  한다", "“하나”"], ["여행", "ㅋㅋㅋㅋㅋ"]]
    assert raw.keys().tolist() == data.keys().tolist()


class Silent:
    """A tokenizer that may be looked at but not used."""

    def __init__(self, tokenizer):
        self.backend_tokenizer, self.eos_token_id = tokenizer.backend_tokenizer, tokenizer.eos_token_id

    def __call__(self, *_, **__):
        pytest.fail("tokenized again")


def test_is_made_once_and_then_neither_tokenized_nor_read(tokenizer, tmp_path, monkeypatch):
    silent = type(tokenizer.__class__.__name__, (Silent,), {})(tokenizer)
    folder = tokenized(DEV, tokenizer, RECIPE, tmp_path)
    monkeypatch.setattr(cache, "read", lambda *_: pytest.fail("read again"))
    assert tokenized(DEV, silent, RECIPE, tmp_path) == folder


def test_is_made_anew_when_anything_that_matters_changes(tokenizer, tmp_path):
    file = tmp_path / "data.csv"
    file.write_bytes(DEV.read_bytes())
    folders = [
        folder_for(file, tokenizer, changed, tmp_path)
        for changed in (
            RECIPE,
            replace(RECIPE, encoder_max_len=127),
            replace(RECIPE, decoder_max_len=47),
            replace(RECIPE, normalize_text=False),
            replace(RECIPE, delimiter=","),
            replace(RECIPE, prompt="{dialogue}"),
            replace(RECIPE, prompt="{dialogue} "),
            replace(RECIPE, columns=replace(COLUMNS, references=("topic",))),
            replace(RECIPE, columns=replace(COLUMNS, references=("summary", "topic"))),
            replace(RECIPE, columns=replace(COLUMNS, dialogue="fname")),
        )
    ]
    folders.append(folder_for(file.rename(tmp_path / "data.jsonl"), tokenizer, RECIPE, tmp_path))
    file.write_bytes(DEV.read_bytes() + b'x,"a","b",c\n')
    folders.append(folder_for(file, tokenizer, RECIPE, tmp_path))
    assert len(set(folders)) == len(folders) == 12
    file.write_bytes(DEV.read_bytes())
    assert folder_for(file.rename(tmp_path / "other.csv"), tokenizer, RECIPE, tmp_path) == folders[0]


def test_a_tokenizer_is_known_by_what_it_does_not_by_what_it_did_last(tokenizer):
    before = tokenizer_sha256(tokenizer)
    tokenizer(["안녕"], truncation=True, max_length=9, padding=True)
    assert tokenizer_sha256(tokenizer) == before
    slow = {"get_vocab": lambda: {"a": 0}, "eos_token_id": 0}
    hashes = {
        tokenizer_sha256(SimpleNamespace(**{**slow, **changed}))
        for changed in (
            {},
            {"get_vocab": lambda: {"a": 1}},
            {"eos_token_id": 1},
            {"truncation_side": "left"},
            {"init_kwargs": {"lower": True}},
        )
    }
    assert len(hashes | {before}) == 6


def test_a_bad_file_is_told_before_anything_is_tokenized_and_leaves_nothing_behind(tokenizer, tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text("dialogue,summary\n" + "가,나\n" * 2000 + "가,\n", encoding="utf-8")
    with pytest.raises(DataError, match=WORDS["summary-must-not"]):
        tokenized(file, Silent(tokenizer), RECIPE, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_interrupted_build_leaves_nothing_behind(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(Writer, "_finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tokenized(DEV, tokenizer, RECIPE, tmp_path)
    monkeypatch.undo()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(TokenizedPairs(tokenized(DEV, tokenizer, RECIPE, tmp_path))) == 100


def test_what_a_killed_builder_left_is_cleared_away_by_the_next(tokenizer, tmp_path):
    folder = folder_for(DEV, tokenizer, RECIPE, tmp_path)
    left = tmp_path / f"{folder.name}.abcdefgh"
    left.mkdir()
    (left / "inputs.bin").write_bytes(b"half")
    tokenized(DEV, tokenizer, RECIPE, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


def _truncate(folder):
    os.truncate(folder / "inputs.bin", 100)


def _empty(folder):
    os.truncate(folder / "keys.bin", 0)


def _lose(folder):
    (folder / "labels.ends.bin").unlink()


def _lose_content(folder):
    (folder / CONTENT_NAME).unlink()


def _break_content(folder):
    (folder / CONTENT_NAME).write_text('{"rows": 100')


def _hollow_content(folder):
    (folder / CONTENT_NAME).write_text('{"rows": 100, "references": 1, "sizes": {}}')


def _hollow(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("damage", [_truncate, _empty, _lose, _lose_content, _break_content, _hollow_content, _hollow])
def test_a_damaged_folder_is_made_anew(tokenizer, tmp_path, damage):
    folder = tokenized(DEV, tokenizer, RECIPE, tmp_path)
    wanted = list(TokenizedPairs(folder))
    damage(folder)
    assert not is_whole(folder)
    assert tokenized(DEV, tokenizer, RECIPE, tmp_path) == folder
    assert is_whole(folder)
    assert list(TokenizedPairs(folder)) == wanted


def test_a_cache_that_cannot_be_written_is_told_with_what_to_do(tokenizer, tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("")
    hint = "free space, make the folder writable, or name another one in the environment's SWEEPKIT_CACHE_DIR"
    with pytest.raises(DataError) as caught:
        tokenized(DEV, tokenizer, RECIPE, tmp_path / "blocked" / "cache")
    rule = "tokenized data must be written here, got"
    assert str(caught.value) == f"{tmp_path / 'blocked' / 'cache'}: {rule}: Not a directory; {hint}"

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Writer, "add", full)
    with pytest.raises(DataError) as caught:
        tokenized(DEV, tokenizer, RECIPE, tmp_path / "cache")
    assert str(caught.value) == f"{tmp_path / 'cache'}: {rule}: No space left on device; {hint}"
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_file_that_changes_while_it_is_tokenized_is_told_and_not_kept(tokenizer, tmp_path, monkeypatch):
    file = tmp_path / "data.csv"
    file.write_bytes(DEV.read_bytes())
    real = Writer.add

    def meanwhile(writer, *row):
        file.write_bytes(DEV.read_bytes() + b"a,b,c,d\n")
        real(writer, *row)

    monkeypatch.setattr(Writer, "add", meanwhile)
    with pytest.raises(DataError) as caught:
        tokenized(file, tokenizer, RECIPE, tmp_path / "cache")
    assert str(caught.value) == f"{file}: must stay as it is while it is read, but it changed; start again"
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_tokenizer_without_an_end_is_told(tokenizer, tmp_path):
    endless = type("Endless", (Silent,), {"__call__": lambda self, texts, **options: tokenizer(texts, **options)})
    without = endless(tokenizer)
    without.eos_token_id = None
    with pytest.raises(DataError) as caught:
        tokenized(DEV, without, RECIPE, tmp_path)
    assert str(caught.value) == WORDS["name-the-checkpoint's"]


def _race(barrier, built, tokenizer, file, directory):
    real = cache._build

    def counting(*arguments):
        built.put("built")
        real(*arguments)

    cache._build = counting
    barrier.wait()
    built.put(str(tokenized(file, tokenizer, RECIPE, directory)))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_two_processes_that_build_at_once_produce_one(tokenizer, formats, tmp_path, suffix):
    file = formats[suffix]
    context = multiprocessing.get_context("fork")
    barrier, built = context.Barrier(2), context.Queue()
    racers = [context.Process(target=_race, args=(barrier, built, tokenizer, file, tmp_path)) for _ in range(2)]
    for racer in racers:
        racer.start()
    said = [built.get(timeout=60) for _ in range(3)]
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    assert said.count("built") == 1
    (folder,) = {path for path in said if path != "built"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.rsplit("/", 1)[1]]
    assert len(TokenizedPairs(folder_for(file, tokenizer, RECIPE, tmp_path))) == 100
