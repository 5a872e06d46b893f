import csv
import json
from dataclasses import replace

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.paths import DATA_DIR
from sweepkit.training import cache, dataset
from sweepkit.training.config.training import TrainingConfig, apply
from sweepkit.training.data import Columns, read
from sweepkit.training.dataset import load, split
from sweepkit.training.text import normalize
from sweepkit.training.usage import RecordedConfig

WORDS = words_of(__file__)

TRAIN, DEV = DATA_DIR / "train.csv", DATA_DIR / "dev.csv"
SMALL = {"data.allow_small_val": True}


@pytest.fixture(scope="module")
def tokenizer():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, at import
        from sweepkit.training.checkpoints import load_tokenizer

        return load_tokenizer(str(DATA_DIR / "checkpoints" / "bart-tiny-ko"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The cache: our 700 dialogues are tokenized once, other files have other names in it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def loaded(tokenizer, kept):
    """A function from settings of the configuration to what `load` returns, and what it said."""
    said = []

    def call(prompt=None, config=None, **values):
        settings = {name.replace("__", "."): value for name, value in values.items()}
        config = apply(config or TrainingConfig(), settings)
        return load(config, tokenizer, prompt=prompt, cache_dir=kept, say=said.append)

    call.said = said
    return call


@pytest.fixture
def refused(loaded):
    def call(*arguments, **values):
        with pytest.raises(DataError) as caught:
            loaded(*arguments, **values)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return call


def rows_of(path, count, *, dialogue=lambda number: f"대화 {number}"):
    """Write a file of so many rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["fname", "dialogue", "summary", "topic"])
        writer.writerows((f"f{number}", dialogue(number), f"요약 {number}", "t") for number in range(count))
    return str(path)


def dialogues(path):
    return [normalize(row.dialogue) for row in read(path, Columns(dialogue="dialogue", references=("summary",)))]


def test_the_embedded_data_load_in_order_and_say_nothing(loaded, tokenizer):
    train, val = loaded(data__allow_small_val=True, data__max_val_samples=64)
    assert (len(train), len(val)) == (600, 64)
    assert (train.sources(), val.sources()) == (dialogues(TRAIN), dialogues(DEV)[:64])
    assert train[17]["input_ids"] == tokenizer(train.sources()[17])["input_ids"]
    assert loaded.said == []


def test_limits_take_the_first_rows(loaded):
    train, val = loaded(data__allow_small_val=True, data__max_train_samples=3, data__max_val_samples=2)
    assert (train.sources(), val.sources()) == (dialogues(TRAIN)[:3], dialogues(DEV)[:2])
    assert (len(train.references()), len(val.references())) == (3, 2)


def test_a_split_divides_the_training_file_by_seed(loaded):
    train, val = loaded(data__val_file=None, data__allow_small_val=True)
    every = dialogues(TRAIN)
    assert (len(train), len(val)) == (540, 60)
    assert sorted(train.sources() + val.sources()) == sorted(every)
    for side in (train, val):
        places = [every.index(source) for source in side.sources()]
        assert places == sorted(places)
    assert loaded.said == [WORDS["csv-split-off"]]
    again = loaded(data__val_file=None, data__allow_small_val=True)
    other = loaded(data__val_file=None, data__allow_small_val=True, training__seed=43)
    assert again[1].sources() == val.sources() != other[1].sources()
    assert train.folder == val.folder == other[0].folder  # tokenized once for all seeds


@pytest.mark.parametrize(
    ("rows", "settings", "sizes"),
    [
        (20, {"data__min_val_samples": 5}, (15, 5)),
        (20, {"data__min_val_samples": 19}, (1, 19)),
        (60, {"data__min_val_samples": 5}, (54, 6)),
        (60, {"data__min_val_samples": 5, "data__val_sample_ratio": 0.25}, (45, 15)),
        (60, {"data__min_val_samples": 5, "data__val_sample_ratio": 0.999}, (1, 59)),
        (60, {"data__allow_small_val": True}, (54, 6)),
        (2000, {"data__allow_small_val": True, "data__val_sample_ratio": 0.01}, (1980, 20)),
        (3, {"data__allow_small_val": True}, (2, 1)),
        (2, {"data__allow_small_val": True, "data__val_sample_ratio": 0.9}, (1, 1)),
        (60, {"data__min_val_samples": 5, "data__max_train_samples": 7, "data__max_val_samples": 5}, (7, 5)),
    ],
)
def test_the_sizes_of_a_split(loaded, tmp_path, rows, settings, sizes):
    train, val = loaded(data__train_file=rows_of(tmp_path / "a.csv", rows), data__val_file=None, **settings)
    assert (len(train), len(val)) == sizes


def test_equal_dialogues_stay_on_one_side_of_a_split(loaded, tmp_path):
    file = rows_of(tmp_path / "a.csv", 90, dialogue=lambda number: f"대화{' ' * (1 + number // 30)}{number % 30}")
    train, val = loaded(data__train_file=file, data__val_file=None, data__min_val_samples=9)
    assert len(val) == 9
    assert not set(train.sources()) & set(val.sources())
    assert len(loaded.said) == 1  # nothing leaks


NOISE = (
    "(sd about 0.2 from dialogue to dialogue) has a standard error of {}, so smaller differences between runs are noise"
)


def test_too_few_validation_dialogues_are_refused_with_the_reason(refused, loaded, tmp_path):
    few = rows_of(tmp_path / "few.csv", 50)
    assert refused(data__val_file=few) == (
        "data.min_val_samples: must be 500 validation dialogues at least, got 50; over 50 the mean ROUGE "
        f"{NOISE.format('0.028')}; add validation rows, or accept it with data.allow_small_val: true"
    )
    assert refused(data__max_val_samples=64, data__min_val_samples=80) == (
        "data.min_val_samples: must be 80 validation dialogues at least, got 64; over 64 the mean ROUGE "
        f"{NOISE.format('0.025')}; raise data.max_val_samples (there are 100), "
        "or accept it with data.allow_small_val: true"
    )
    assert WORDS["add-validation-rows"] in refused(data__max_val_samples=64, data__min_val_samples=101)
    assert len(loaded(data__min_val_samples=100)[1]) == 100
    assert len(loaded(data__val_file=few, data__allow_small_val=True)[1]) == 50


def test_a_training_file_too_small_to_split_is_refused(refused, loaded, tmp_path):
    file = rows_of(tmp_path / "a.csv", 500)
    assert refused(data__train_file=file, data__val_file=None) == (
        f"{file}: must have more rows than data.min_val_samples (500) to be split into training and validation data, "
        f"got 500; over 50 the mean ROUGE {NOISE.format('0.028')}; add more rows, name a data.val_file, "
        "or set data.allow_small_val: true"
    )
    assert len(loaded(data__train_file=file, data__val_file=None, data__min_val_samples=499)[0]) == 1
    one = rows_of(tmp_path / "one.csv", 1)
    assert refused(data__train_file=one, data__val_file=None, data__allow_small_val=True) == (
        f"{one}: must have at least 2 rows to be split, got 1; add more or name a data.val_file"
    )
    assert refused(data__train_file=one, data__allow_small_val=True) == (
        f"{one}: must have at least 2 rows to train on, got 1; add more"
    )
    same = rows_of(tmp_path / "same.csv", 7, dialogue=lambda number: "대화")
    assert refused(data__train_file=same, data__val_file=None, data__allow_small_val=True) == (
        f"{same}: must have at least 2 different dialogues to be split, got one in all 7 rows; "
        "equal dialogues stay on one side"
    )


def test_validation_dialogues_that_are_trained_on_are_told_once(loaded, tmp_path):
    file = rows_of(tmp_path / "a.csv", 30)
    val = rows_of(tmp_path / "b.csv", 40, dialogue=lambda number: f"대화  {number + 10} ")
    loaded(data__train_file=file, data__val_file=val, data__allow_small_val=True)
    assert loaded.said == [WORDS["validation-dialogues-are"]]
    loaded(data__train_file=file, data__val_file=val, data__allow_small_val=True, data__max_train_samples=10)
    assert len(loaded.said) == 1  # those that are used do not meet


def test_several_references_belong_to_the_validation_data(loaded, tokenizer, tmp_path):
    val_file = tmp_path / "val.jsonl"
    row = {"dialogue": "안녕하세요", "summary1": "예약 한다", "summary2": "여행", "summary3": "호텔"}
    val_file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    columns = ("summary1", "summary2", "summary3")
    values = {"data__val_file": str(val_file), "data__reference_columns": list(columns), "data__allow_small_val": True}
    train, val = loaded(**values)
    assert val.references() == [["예약 한다", "여행", "호텔"]]
    assert tokenizer.decode(val[0]["labels"], skip_special_tokens=True) == "예약 한다"
    assert {len(several) for several in train.references()} == {1}


def test_a_split_takes_its_references_from_the_training_file(loaded, tmp_path):
    file = tmp_path / "a.csv"
    lines = [f"대화 {number},예약 {number},여행 {number}" for number in range(20)]
    file.write_text("\n".join(["dialogue,summary,other", *lines]), encoding="utf-8")
    columns = ["other", "summary"]
    train, val = loaded(
        data__train_file=str(file), data__val_file=None, data__reference_columns=columns, data__min_val_samples=4
    )
    numbers = [source.split()[1] for source in val.sources()]
    assert val.references() == [[f"여행 {number}", f"예약 {number}"] for number in numbers]
    assert train.references() == [[f"예약 {source.split()[1]}"] for source in train.sources()]
    assert (len(train), len(val)) == (16, 4)
    assert not set(train.sources()) & set(val.sources())


@pytest.mark.parametrize(
    ("columns", "got"),
    [(["summary1", "summary1"], "'dialogue', 'summary1', 'summary1'"), (["dialogue"], "'dialogue', 'dialogue'")],
)
def test_one_column_for_two_things_is_refused(refused, columns, got):
    assert refused(data__reference_columns=columns) == f"data: the columns used must differ from each other, got {got}"


def test_a_prompt_is_given_to_both(loaded, refused, tokenizer):
    train, val = loaded("{dialogue}\n요약: ", data__allow_small_val=True)
    tail = tokenizer("\n요약: ", add_special_tokens=False)["input_ids"]
    for side in (train, val):
        assert all(item["input_ids"][-len(tail) :] == tail for item in side)
        assert "요약" not in side.sources()[0]
    for prompt in ("", "요약", "{dialogue}{dialogue}"):
        assert refused(prompt) == f"tokenizer.prompt: must have {{dialogue}} in it once, got {prompt!r}"


class Forbidden:
    """A tokenizer that may be looked at but not used; the cache knows tokenizers by their class's name."""

    def __init__(self, tokenizer):
        self.backend_tokenizer, self.eos_token_id = tokenizer.backend_tokenizer, tokenizer.eos_token_id

    def __call__(self, *_, **__):
        pytest.fail("tokenized again")


@pytest.mark.parametrize("val_file", ["data/dev.csv", None])
def test_a_run_after_the_first_neither_tokenizes_nor_reads_texts(tokenizer, tmp_path, monkeypatch, val_file):
    config = apply(TrainingConfig(), {"data.val_file": val_file, **SMALL})
    first = load(config, tokenizer, prompt=None, cache_dir=tmp_path)
    monkeypatch.setattr(cache, "read", lambda *_: pytest.fail("read again"))
    looked = type(type(tokenizer).__name__, (Forbidden,), {})(tokenizer)
    second = load(replace(config), looked, prompt=None, cache_dir=tmp_path)
    for before, after in zip(first, second, strict=True):
        assert list(before) == list(after)
        assert before.references() == after.references()


def test_tokenized_data_that_cannot_be_read_are_told(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "tokenized", lambda *_, **__: tmp_path / "tokens-1")
    assert refused() == (
        f"{tmp_path / 'tokens-1'}: tokenized data must be files that can be read, got: No such file or directory; "
        "remove the folder, and it is made anew"
    )


def test_fields_without_effect_are_not_read(tokenizer, tmp_path):
    def fields(**values):
        config = apply(TrainingConfig(), {name.replace("__", "."): value for name, value in values.items()})
        recorded = RecordedConfig(config)
        load(recorded.config, tokenizer, prompt=None, cache_dir=tmp_path)
        return recorded.read

    own = fields(data__min_val_samples=100)
    assert "data.val_sample_ratio" not in own
    assert "data.allow_small_val" not in own
    assert "data.delimiter" in own
    assert {"data.val_sample_ratio", "training.seed"} <= fields(data__val_file=None, data__min_val_samples=100)


def test_the_split_of_a_seed_stays_the_same_for_ever():
    # random.Random(42).random() begins .64 .03 .28 .22 .74 .68 .89 .09 .42 .03 .22 .51: the four smallest are taken.
    assert split(range(12), 4, seed=42)[1] == [1, 7, 9, 10]
    # Neither of two groups of six fits into four; the one that is drawn first is taken.
    assert split([0, 1] * 6, 4, seed=42) == (list(range(0, 12, 2)), list(range(1, 12, 2)))


KEYS = st.lists(st.integers(0, 8) | st.integers(), min_size=2, max_size=30)


@settings(max_examples=examples(150), deadline=None)
@given(keys=KEYS, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_split_is_a_partition_that_keeps_order_and_equal_keys_together(keys, seed, data):
    size = data.draw(st.integers(1, len(keys) - 1))
    train, val = split(keys, size, seed)
    assert sorted(train + val) == list(range(len(keys)))
    assert train == sorted(train)
    assert val == sorted(val)
    assert not {keys[row] for row in train} & {keys[row] for row in val}
    assert train
    assert bool(val) == (len(set(keys)) > 1)
    assert split(keys, size, seed) == (train, val)
    if len(set(keys)) == len(keys):
        assert len(val) == size


def test_every_row_has_its_chance_in_a_split():
    drawn = [row for seed in range(300) for row in split(range(10), 3, seed)[1]]
    assert all(50 < drawn.count(row) < 130 for row in range(10))  # 90 expected, sd 8
