import dataclasses
from pathlib import Path

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SpecError
from sweepkit.paths import CONFIG_DIR, find_config
from sweepkit.training.config.training import (
    TASKS,
    TrainingConfig,
    apply,
    apply_preset,
    as_dict,
    field_paths,
    flatten,
    from_mapping,
    read_training_config,
    route,
    to_yaml,
    unknown_parameters,
)

WORDS = words_of(__file__)

CONFIG_FILES = sorted(CONFIG_DIR.glob("*.yaml"))
SWEEP_FILES = sorted((CONFIG_DIR / "sweep").glob("*.yaml"))


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(call, *args, **kwargs) -> list[str]:
    with pytest.raises(SpecError) as caught:
        call(*args, **kwargs)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_every_committed_configuration_reads_and_survives_writing(path, tmp_path):
    config = read_training_config(path)
    assert read_training_config(write(tmp_path, to_yaml(config))) == config


def test_the_base_configuration_states_every_field():
    from ruamel.yaml import YAML

    document = YAML(typ="safe", pure=True).load((CONFIG_DIR / "base_config.yaml").read_text(encoding="utf-8"))
    assert document.pop("task") == TrainingConfig.task
    stated = {f"{section}.{name}" for section, fields in document.items() for name in fields}
    assert stated == {path for path in field_paths() if not path.startswith("reproduces.")}  # a sweep writes those


@pytest.mark.parametrize("path", SWEEP_FILES, ids=lambda path: path.stem)
def test_every_parameter_of_a_committed_sweep_is_a_field(path):
    from ruamel.yaml import YAML

    sweep = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    assert sweep["program"] == "trainer.py"
    base = read_training_config(find_config(sweep.get("sweepkit", {}).get("base_config", "base_config")))
    assert unknown_parameters(list(sweep["parameters"]), type(base)) == []
    for name, parameter in sweep["parameters"].items():
        for value in parameter.get("values", [parameter.get("min", parameter.get("value")), parameter.get("max")]):
            apply(base, {} if value is None else {name: value})


@pytest.mark.parametrize("path", field_paths())
def test_every_field_is_routed_and_set(path):
    section, name = path.split(".")
    assert route(path) == path
    default = getattr(getattr(TrainingConfig(), section), name)
    changed = apply(TrainingConfig(), {path: default})
    assert changed == TrainingConfig()
    if section not in ("wandb", "output", "reproduces") and path != "model.name":
        assert route(f"lora_{name}" if section == "lora" else name) == path


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("learning_rate", 1e-4, "training.learning_rate", 1e-4),
        ("learning_rate", 1, "training.learning_rate", 1.0),
        ("num_beams", 4, "generation.num_beams", 4),
        ("num_beams", 4.0, "generation.num_beams", 4),
        ("encoder_max_len", 64, "tokenizer.encoder_max_len", 64),
        ("dropout_rate", 0.2, "model.dropout_rate", 0.2),
        ("dropout_rate", None, "model.dropout_rate", None),
        ("max_train_samples", 10, "data.max_train_samples", 10),
        ("training.fp16", True, "training.fp16", True),
        ("model.name", "some/model", "model.name", "some/model"),
        ("lora_r", 4, "lora.r", 4),
        ("lora_alpha", 4, "lora.alpha", 4.0),
        ("batch_size", 4, "training.per_device_train_batch_size", 4),
        ("num_epochs", 4, "training.num_train_epochs", 4.0),
        ("scheduler_type", "cosine", "training.lr_scheduler_type", "cosine"),
        ("hidden_dropout", 0.2, "model.dropout_rate", 0.2),
        ("use_lora", True, "lora.enabled", True),
        ("speaker_tags", ["#A#"], "tokenizer.speaker_tags", ("#A#",)),
    ],
)
def test_apply_puts_the_value_in_its_place(name, value, path, expected):
    section, field = path.split(".")
    config = apply(TrainingConfig(), {name: value})
    got = getattr(getattr(config, section), field)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "3", 3.0),
        ("num_beams", "4", 4),
        ("num_beams", "4.0", 4),
        ("fp16", "True", True),
        ("fp16", "false", False),
        ("dropout_rate", "None", None),
        ("max_val_samples", "null", None),
        ("lr_scheduler_type", "cosine", "cosine"),
        ("output.directory", "outputs/7", "outputs/7"),
        ("train_file", "none", "none"),
        ("val_file", "none", None),
        ("reference_columns", "summary1, summary2", ("summary1", "summary2")),
        ("reference_columns", '["a,b"]', ("a,b",)),
        ("reference_columns", "", ()),
    ],
)
def test_text_from_a_command_line_becomes_the_fields_type(name, text, expected):
    section, field = route(name).split(".")
    got = getattr(getattr(apply(TrainingConfig(), {name: text}, from_text=True), section), field)
    assert got == expected
    assert type(got) is type(expected)


def test_all_problems_of_a_command_are_told_at_once():
    said = problems(apply, TrainingConfig(), {"lerning_rate": "1", "num_beams": "x", "fp16": "maybe"}, from_text=True)
    assert said == [
        WORDS["rate-must-be"],
        WORDS["beams-must-be"],
        WORDS["must-be-true"],
    ]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("learning_rate", 0, "must be above 0"),
        ("learning_rate", float("nan"), "must be a finite number"),
        ("learning_rate", True, "must be a number"),
        ("learning_rate", "1e-4", "write 1e-4 without quotes"),
        ("per_device_train_batch_size", 0, "must be at least 1"),
        ("per_device_train_batch_size", 1.5, "must be a whole number"),
        ("per_device_train_batch_size", True, "must be a whole number"),
        ("warmup_ratio", 1.0, "must be below 1"),
        ("dropout_rate", -0.1, "must be at least 0"),
        ("seed", 2**32, "must be at most 4294967295"),
        ("fp16", 1, "must be true or false"),
        ("lr_scheduler_type", "linaer", "did you mean linear?"),
        ("optim", "adamw_hf", "use adamw_torch"),
        ("eval_steps", 2.5, "must be whole when above 1"),
        ("max_steps", 0, "must be -1 (use epochs) or at least 1"),
        ("rouge_tokenizer", "mecap", "did you mean mecab?"),
        ("prompt", "요약: ", "must have {dialogue} in it"),
        ("speaker_tags", ["#A#", 1], "must be a string, got 1"),
        ("speaker_tags", "#A#", "must be a list of strings"),
        ("optim", "adamw_apex_fused", "use adamw_torch_fused"),
    ],
)
def test_wrong_values_are_refused_with_the_rule(name, value, rule):
    (said,) = problems(apply, TrainingConfig(), {name: value})
    assert rule in said
    assert said.startswith(route(name))


def test_names_that_transformers_gave_up_are_told_with_what_to_write(tmp_path):
    said = problems(read_training_config, write(tmp_path, "training:\n  evaluation_strategy: epoch\n  no_cuda: true\n"))
    assert [line.split("; ")[1] for line in said] == [
        WORDS["gave-that-name"],
        WORDS["gave-that-name-up"],
    ]
    (said,) = problems(apply, TrainingConfig(), {"no_cuda": True})
    assert "write use_cpu" in said


def test_an_unknown_task_is_told_with_the_nearest(tmp_path):
    (said,) = problems(read_training_config, write(tmp_path, "model: {}\ntask: sumarization\n"))
    rule = f"must be one of {', '.join(TASKS)}, got 'sumarization'; did you mean summarization?"
    assert said.endswith(f"config.yaml:2: task: {rule}")
    (said,) = problems(read_training_config, write(tmp_path, "task: [1]\n"))
    assert WORDS["must-be-one"] in said


def test_a_preset_lies_over_a_configuration(tmp_path):
    config = apply(TrainingConfig(), {"learning_rate": 1.0, "num_beams": 4})
    path = write(tmp_path, "training: {num_train_epochs: 5}\ngeneration: {num_beams: 2}\n")
    assert apply_preset(config, path) == apply(config, {"num_train_epochs": 5, "num_beams": 2})
    (said,) = problems(apply_preset, config, write(tmp_path, "training:\n  num_train_epoch: 5\n"))
    assert WORDS["epoch-is-not"] in said
    (said,) = problems(apply_preset, apply(config, {"fp16": True}), write(tmp_path, "training:\n  bf16: true\n"))
    assert WORDS["must-be-false"] in said


def test_values_that_contradict_each_other_are_refused():
    assert WORDS["must-be-false-when"] in problems(apply, TrainingConfig(), {"fp16": True, "bf16": True})[0]


def test_bad_files_tell_every_problem_with_file_line_and_key(tmp_path):
    path = write(
        tmp_path,
        "model:\n  nane: x\ntraining:\n  learning_rate: '1e-5'\n  seed: -1\nlearning_rate: 1e-5\n"
        "generations:\n  num_beams: 2\n"
        "data: 3\n",
    )
    assert problems(read_training_config, path) == [
        f"{path}:2: model.nane: is not a field; did you mean model.name?",
        f"{path}:4: training.learning_rate: must be a number, got '1e-5'; write 1e-5 without quotes",
        f"{path}:5: training.seed: must be at least 0, got -1",
        f"{path}:6: learning_rate: is not a section; it belongs under training:",
        f"{path}:7: generations: is not a section; did you mean generation?",
        f"{path}:9: data: must hold fields, got 3",
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("training: {", "not valid YAML"),
        ("training:\n  seed: 1\n  seed: 2\n", ":3: training.seed: a key stands once in a mapping"),
        ("- 1\n", "must be a mapping of keys to values, got a list"),
        ("training:\n\tseed: 1\n", ":2: not valid YAML: a tab cannot indent"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, text, rule):
    (said,) = problems(read_training_config, write(tmp_path, text))
    assert rule in said
    assert "config.yaml" in said


def test_what_yaml_and_what_the_configuration_refuse_is_told_together(tmp_path):
    text = "a.b: 1\ntraining:\n  seed: .inf\n  num_epochs: 3\n  seed: 1\nwandb: {enabled: on}\n"
    assert [said.split("config.yaml:")[1] for said in problems(read_training_config, write(tmp_path, text))] == [
        WORDS["b-is-not"],
        WORDS["seed-a-number"],
        WORDS["seed-a-key"],
        WORDS["enabled-must-be"],
    ]


def test_files_that_cannot_be_read_are_refused(tmp_path):
    assert WORDS["must-be-a"] in problems(read_training_config, tmp_path / "none.yaml")[0]
    (tmp_path / "latin.yaml").write_bytes("model:\n  name: 한국어\n".encode("cp949"))
    assert "must be UTF-8" in problems(read_training_config, tmp_path / "latin.yaml")[0]


def test_yaml_is_1_2_and_an_empty_file_is_all_defaults(tmp_path):
    assert read_training_config(write(tmp_path, "training:\n  learning_rate: 1e-5\n")).training.learning_rate == 1e-5
    assert read_training_config(write(tmp_path, "")) == TrainingConfig()
    assert read_training_config(write(tmp_path, "# all as it is\n---\n")) == TrainingConfig()
    assert read_training_config(write(tmp_path, "training:\n")) == TrainingConfig()


@settings(max_examples=examples(50), deadline=None)
@given(
    rate=st.floats(min_value=1e-300, max_value=1e300),
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    dropout=st.none() | st.floats(min_value=0, max_value=0.99),
    beams=st.integers(1, 10**6),
)
def test_any_configuration_survives_writing_and_reading(tmp_path_factory, rate, name, dropout, beams):
    config = apply(
        TrainingConfig(), {"learning_rate": rate, "model.name": name, "dropout_rate": dropout, "num_beams": beams}
    )
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8", newline="")
    assert read_training_config(path) == config
    assert from_mapping(as_dict(config)) == config


def test_written_numbers_are_numbers_for_yaml_1_1_too():
    import yaml

    config = apply(TrainingConfig(), {"learning_rate": 1e-5})
    assert yaml.safe_load(to_yaml(config))["training"]["learning_rate"] == 1e-5


def test_nested_parameters_become_dotted_names():
    assert flatten({"training": {"seed": 1}, "a": {"b": {"c": 2}}}) == {"training.seed": 1, "a.b.c": 2}


def test_reading_needs_no_heavy_library():
    import subprocess
    import sys

    program = (
        "import sys\n"
        "from sweepkit.training.config.training import read_training_config\n"
        "from sweepkit.paths import BASE_CONFIG\n"
        "read_training_config(BASE_CONFIG)\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'pandas', 'wandb') if name in sys.modules])"
    )
    code = CONFIG_DIR.parent / "code"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=code, check=True)
    assert done.stdout.strip() == "[]"


def test_sections_are_frozen_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().training.seed = 1


def test_a_number_of_the_command_line_is_not_told_to_lose_quotes_it_never_had():
    with pytest.raises(SpecError) as raised:
        apply(TrainingConfig(), {"learning_rate": "-1"}, from_text=True)
    assert str(raised.value) == WORDS["rate-must-be-above"]


def test_what_scores_can_be_computed_with_is_what_the_scorer_knows():
    from sweepkit.metrics.rouge import ROUGE_ENGINES
    from sweepkit.metrics.tokenizers import TOKENIZERS
    from sweepkit.training.config.training_sections import MetricsSection

    choices = {item.name: item.metadata.get("choices") for item in dataclasses.fields(MetricsSection)}
    assert set(choices["rouge"]) == set(ROUGE_ENGINES) and set(choices["rouge_tokenizer"]) == set(TOKENIZERS)
