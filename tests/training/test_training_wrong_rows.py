"""Every wrong row of a data file is told with its place; what is cut is counted; a prompt may begin with a brace."""

import json

import pytest

from sweepkit.errors import DataError, SpecError
from sweepkit.training.command import parse_parameters
from sweepkit.training.data import Columns, read

COLUMNS = Columns(dialogue="dialogue", references=("summary",))


def said(path):
    with pytest.raises(DataError) as refused:
        list(read(path, COLUMNS))
    return str(refused.value).splitlines()


def test_every_wrong_row_of_a_csv_is_told(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("dialogue,summary\na,b\nc\nd,e,f\ng,h\n,i\nj,\n", encoding="utf-8")
    lines = said(file)
    assert [line.split(": ")[0].rpartition(":")[2] for line in lines] == ["3", "4", "6", "7"]


def test_every_wrong_row_of_json_lines_is_told(tmp_path):
    file = tmp_path / "d.jsonl"
    rows = ['{"dialogue": "a", "summary": "b"}', "{", '{"dialogue": 3, "summary": "b"}', '{"dialogue": "a"}', "[1]"]
    file.write_text("\n".join(rows), encoding="utf-8")
    assert [line.split(": ")[0].rpartition(":")[2] for line in said(file)] == ["2", "3", "4", "5"]


def test_very_many_wrong_rows_are_told_in_part(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("dialogue,summary\n" + "a,b,c\n" * 80, encoding="utf-8")
    lines = said(file)
    assert len(lines) == 51 and "30 more" in lines[-1]


@pytest.mark.parametrize("prompt", ["{dialogue}\n요약: ", "{dialogue}", '{"a": "{dialogue}"}', "요약 {dialogue}"])
def test_a_text_that_begins_with_a_brace_is_a_text(prompt):
    assert parse_parameters([f"--tokenizer.prompt={prompt}"]) == {"tokenizer.prompt": prompt}


def test_a_group_of_parameters_is_a_dictionary_all_the_same():
    assert parse_parameters(["--training={'seed': 3}"]) == {"training.seed": 3}


def test_what_is_cut_is_counted(tmp_path):
    from sweepkit.training.config.training import TrainingConfig, apply
    from sweepkit.training.dataset import load, lost
    from sweepkit.training.models.loading import load as load_models

    file = tmp_path / "d.jsonl"
    rows = [
        {"dialogue": "안녕하세요 " * (200 if at == 0 else 1) + str(at), "summary": "네 알겠습니다"} for at in range(6)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    changes = {"train_file": str(file), "val_file": str(file), "allow_small_val": True, "encoder_max_len": 32}
    config = apply(TrainingConfig(), {**changes, "decoder_max_len": 64})
    train, val = load(config, load_models(config).tokenizer, prompt=None, cache_dir=tmp_path / "cache")
    found = lost(config, train, val, 32)
    assert found["train"]["dialogues"]["cut"] == 1 and found["train"]["dialogues"]["longest"] > 200
    assert "summaries" not in found["train"] and len(found["sentences"]) == 2
    assert lost(config, train.select([1, 2]), val.select([3]), 32) == {}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"length_penalty": 2.0}, "generation.length_penalty"),
        ({"lr_scheduler_type": "constant", "warmup_ratio": 0.3}, "training.warmup_ratio"),
        ({"early_stopping_threshold": 0.1}, "training.early_stopping_threshold"),
    ],
)
def test_a_field_that_changes_nothing_is_refused_alone_and_told_in_a_sweep(changes, field):
    from sweepkit.training.command import _unused
    from sweepkit.training.config.training import TrainingConfig, apply

    config = apply(TrainingConfig(), changes)
    with pytest.raises(SpecError, match=field):
        _unused(config, changes, {})
    assert _unused(config, changes, {"SWEEPKIT_RUN_DIR": "x"})[0].startswith(field)
    assert len(_unused(config, {}, {})) == 1, "of a file: told"


def test_no_configuration_of_ours_has_a_field_that_changes_nothing():
    from sweepkit.paths import CONFIG_DIR
    from sweepkit.training.config.training import read_training_config
    from sweepkit.training.config.unused import unused_fields

    files = [*CONFIG_DIR.glob("*.yaml"), *CONFIG_DIR.glob("models/*.yaml")]
    assert {file.name: unused_fields(read_training_config(file)) for file in files} == {file.name: [] for file in files}
