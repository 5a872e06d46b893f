import csv
import importlib.util
import re
import sys

import pytest

from sweepkit.paths import DATA_DIR


@pytest.fixture(scope="module")
def corpus():
    spec = importlib.util.spec_from_file_location("make_corpus", DATA_DIR / "make_corpus.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_corpus"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_corpus"]


def rows(name):
    with (DATA_DIR / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_committed_files_are_what_the_script_makes(corpus, capsys):
    assert corpus.main(["--check"]) == 0
    assert "DIFFERS" not in capsys.readouterr().out


def test_check_notices_a_changed_file(corpus, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(corpus, "HERE", tmp_path)
    assert corpus.main([]) == 0
    (tmp_path / "dev.csv").write_bytes((tmp_path / "dev.csv").read_bytes().replace(b"dev_7,", b"dev_77,"))
    assert corpus.main(["--check"]) == 1
    assert "dev.csv: DIFFERS" in capsys.readouterr().out


def test_nothing_of_a_split_stands_in_another():
    splits = [rows(f"{name}.csv") for name in ("train", "dev", "test")]
    assert [len(split) for split in splits] == [600, 100, 200]
    for column in ("dialogue", "summary", "fname"):
        assert len({row[column] for split in splits for row in split}) == 900
    assert all(len({row["topic"] for row in split}) == 12 for split in splits)


def test_pre_training_text_holds_no_dialogue_of_the_corpus_beside_its_summary(corpus):
    seen = {row["dialogue"] for row in rows("train.csv") + rows("dev.csv") + rows("test.csv")}
    dice = corpus.Dice(77)
    assert not seen & {corpus.example(dice)[0] for _ in range(4000)}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("#Person1#(은/는) #Person2#(은/는)", "#Person1#은 #Person2#는"),
        ("#Person1#(과/와) #Person2#(과/와)", "#Person1#과 #Person2#와"),
        ("민수(이/가) 지영(이/가)", "민수가 지영이"),
        ("서울(으로/로) 부산(으로/로) 제주(으로/로)", "서울로 부산으로 제주로"),
        ("#Person1#(으로/로)", "#Person1#로"),
        ("민수(이라/라)는 지영(이라/라)는", "민수라는 지영이라는"),
        ("시계(이에요/예요). 책(이에요/예요).", "시계예요. 책이에요."),
        ("10(을/를) 3(을/를) 9(을/를)", "10을 3을 9를"),
    ],
)
def test_particles_follow_the_sound_before_them(corpus, template, text):
    assert corpus.particles(template) == text


def test_no_template_is_left_over_and_speakers_are_tagged():
    for row in rows("train.csv") + rows("dev.csv") + rows("test.csv"):
        assert not re.search(r"[(){}]", row["dialogue"] + row["summary"])
        assert all(re.match(r"#Person[12]#: \S", line) for line in row["dialogue"].split("\n"))
        assert re.search(r"#Person[12]#", row["summary"])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(corpus):
    splits = (("a", 20), ("b", 5))
    assert corpus.corpus(splits, 1) == corpus.corpus(splits, 1)
    assert corpus.corpus(splits, 1)["a"] != corpus.corpus(splits, 2)["a"]


def test_a_corrected_place_is_the_one_in_the_summary():
    corrected = re.compile(r"아, (\S+) 말고 (\S+?)(?:으로|로) 할게요")
    found = [(row, corrected.search(row["dialogue"])) for row in rows("train.csv") if row["topic"] == "약속"]
    found = [(row, match) for row, match in found if match]
    assert len(found) >= 5
    for row, match in found:
        assert match[2] in row["summary"]
        assert match[1] not in row["summary"]
