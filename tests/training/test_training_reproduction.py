import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.training.config.reproduces_section import ReproducesSection
from sweepkit.training.config.reproduction import compare, differences, digest, expectation, section_of
from sweepkit.training.config.training import (
    TrainingConfig,
    apply,
    as_dict,
    from_mapping,
    read_training_config,
    to_yaml,
)

WORDS = words_of(__file__)

SURROUNDINGS = {
    "device": "cpu",
    "processor": "a processor, AVX2",
    "threads": 2,
    "versions": {"torch": "2.13.0", "numpy": "2.4.0"},
    "data": {"data.train_file": "00ff"},
}
KNOWN = ReproducesSection(run_id="ab12", metric="eval/loss", value=0.1 + 0.2, step=10)


def test_a_configuration_says_nothing_unless_a_sweep_wrote_it():
    assert "reproduces" not in to_yaml(TrainingConfig())
    assert "reproduces" not in as_dict(TrainingConfig())
    assert section_of(TrainingConfig()) is None
    assert section_of(apply(TrainingConfig(), {"reproduces.value": 1.0})) is None
    assert section_of(apply(TrainingConfig(), {"reproduces.value": 1.0, "reproduces.metric": "m"})).value == 1.0


@pytest.mark.slow
@given(value=st.floats(allow_nan=False, allow_infinity=False), name=st.text(min_size=1, max_size=9))
def test_what_is_written_is_read_back_to_the_last_bit(tmp_path_factory, value, name):
    section = expectation(TrainingConfig(), SURROUNDINGS, metric=name, value=value, run_id="1e5", step=3)
    config = TrainingConfig(reproduces=section)
    file = tmp_path_factory.mktemp("written") / "best.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert read_training_config(file) == config
    assert from_mapping(as_dict(config)) == config
    assert differences(section, config, SURROUNDINGS, None) == ()


def test_what_changes_nothing_about_the_result_is_no_difference():
    config = apply(TrainingConfig(), {"output.directory": "x", "wandb.enabled": True, "save_model": True})
    assert digest(config) == digest(TrainingConfig())
    assert digest(apply(config, {"seed": 1})) != digest(config)
    section = expectation(TrainingConfig(), SURROUNDINGS)
    assert differences(section, config, SURROUNDINGS, TrainingConfig()) == ()


def test_what_is_not_known_is_no_difference():
    section = expectation(TrainingConfig(), {})
    assert (section.device, section.versions, section.data) == (None, (), ())
    assert differences(section, TrainingConfig(), SURROUNDINGS, None) == ()
    assert differences(ReproducesSection(), TrainingConfig(), SURROUNDINGS, None) == ()


def test_each_difference_is_named():
    section = expectation(TrainingConfig(), SURROUNDINGS)
    now = {
        "device": "cuda:0 NVIDIA H200",
        "processor": "another, AVX512",
        "threads": 1,
        "versions": {"torch": "2.14.0"},
        "data": {"data.train_file": "ff00"},
    }
    config = apply(TrainingConfig(), {"learning_rate": 0.5})
    assert differences(section, config, now, TrainingConfig()) == (
        WORDS["rate-set-by"],
        "device cpu → cuda:0 NVIDIA H200",
        WORDS["processor-a-processor"],
        "threads 2 → 1",
        "torch 2.13.0 → 2.14.0",
        "numpy 2.4.0 → none",
        WORDS["file-has-other"],
    )
    assert differences(section, config, SURROUNDINGS, config) == (WORDS["the-settings-in"],)


@pytest.mark.parametrize(
    ("rows", "step", "reproduced", "got"),
    [
        ([(5, 0.9), (10, 0.1 + 0.2), (15, 0.1)], 10, True, 0.1 + 0.2),
        ([(5, 0.9), (10, 0.3), (15, 0.1 + 0.2)], 10, False, 0.3),
        ([(5, 0.9), (10, 0.3), (15, 0.1 + 0.2)], None, True, 0.1 + 0.2),
        ([(5, 0.9), (9, 0.1 + 0.2)], 10, False, 0.1 + 0.2),
        ([(10, math.nan)], 10, False, None),
        ([], None, False, None),
    ],
)
def test_only_the_same_value_in_the_same_evaluation_counts(rows, step, reproduced, got):
    section = ReproducesSection(run_id="ab12", metric="eval/loss", value=0.1 + 0.2, step=step)
    found = compare(section, [(at, {"eval/loss": value, "epoch": 1.0}) for at, value in rows], ["torch 1 → 2"])
    assert (found.reproduced, found.got, found.expected) == (reproduced, got, 0.1 + 0.2)
    assert found.as_dict()["differs"] == ["torch 1 → 2"]
    assert ("torch 1 → 2" in found.line) and ("0.30000000000000004" in found.line)
    assert found.line.startswith("reproduced: " if reproduced else "not reproduced: ")


def test_without_a_known_difference_it_says_so():
    found = compare(KNOWN, [(10, {"eval/accuracy": 1.0})], [])
    assert found.line == (WORDS["not-reproduced-no"])
    on_gpu = ReproducesSection(run_id="ab12", metric="eval/loss", value=1.0, device="cuda:0 NVIDIA H200")
    assert compare(on_gpu, [(1, {"eval/loss": 2.0})], []).line.endswith(WORDS["some-sums-are"])
