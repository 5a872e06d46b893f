import re

import pytest
from bad_optuna import BAD_OPTUNA
from snapshots import words_of

from sweepkit.errors import SpecError
from sweepkit.model.metric import Goal
from sweepkit.paths import CONFIG_DIR
from sweepkit.studies.yaml.optuna_config import find_optuna_config, read_optuna_config, read_optuna_text
from sweepkit.studies.yaml.optuna_space import OLD_TYPES, TYPES
from sweepkit.studies.yaml.optuna_sweep import full_parameters, sweep_dict
from sweepkit.studies.yaml.optuna_values import Objective, PhaseKind, SearchParameter

WORDS = words_of(__file__)

SPACE = "search_space:\n  learning_rate: {type: loguniform, low: 1e-4, high: 1e-2}\n"


def read(text, **origin):
    return read_optuna_text(text, source="study.yaml", **origin)


def problems(text):
    with pytest.raises(SpecError) as caught:
        read(text)
    return caught.value.problems


def test_the_table_of_bad_files_has_no_row_twice():
    assert len({row[0] for row in BAD_OPTUNA}) == len(BAD_OPTUNA) >= 40


@pytest.mark.parametrize(("text", "said", "line"), [row[1:] for row in BAD_OPTUNA], ids=[row[0] for row in BAD_OPTUNA])
def test_what_is_wrong_is_told_with_its_line(text, said, line):
    found = [problem for problem in problems(text) if said in str(problem)]
    assert found, [str(problem) for problem in problems(text)]
    assert {problem.line for problem in found} == {line}
    assert all(str(problem).startswith(f"study.yaml:{line}: ") for problem in found)


def test_all_problems_are_told_at_once_those_of_the_sweeps_reader_too():
    text = "optuna: {n_trials: 0}\npruning: {type: medan}\nsearch_space:\n  lr: {type: uniform, low: 2, high: 1}\n"
    assert [problem.line for problem in problems(text)] == [1, 2, 4]


def test_a_training_configuration_that_is_wrong_is_told_with_the_rest(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("training: {num_train_epochs: -1}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read(f"base_config: base.yaml\noptuna: {{n_trials: 0}}\n{SPACE}", directory=str(tmp_path))
    text = str(caught.value)
    assert f"{base}:1: training.num_train_epochs: must be above 0" in text
    assert "study.yaml:2: optuna.n_trials" in text


def test_defaults_are_those_of_the_guide():
    config = read(SPACE, default_name="mine")
    assert config.study_name == "mine"
    assert config.objectives == (Objective(metric="eval/rougeL_f1", goal=Goal.MAXIMIZE),)
    assert (config.sampler, config.pruning, config.phases, config.notes) == ({"name": "tpe"}, {}, (), ())


def test_the_metric_of_images_is_another_and_eval_may_be_left_out():
    images = read(f"base_config: perceiver\n{SPACE}")
    assert images.objectives[0].metric == "eval/macro_f1"
    loss = read(f"base_config: perceiver\noptuna: {{metric: loss}}\n{SPACE}")
    assert loss.objectives == (Objective(metric="eval/loss", goal=Goal.MINIMIZE),)
    (note,) = read(f"optuna: {{metric: loss, direction: maximize}}\n{SPACE}").notes
    assert WORDS["minimize-makes-a"] in note


@pytest.mark.parametrize("word", [*TYPES, *OLD_TYPES])
def test_every_word_for_a_type_is_read_and_those_of_old_with_a_note(word):
    today, log = OLD_TYPES.get(word, (word, word == "loguniform"))
    keys = {"categorical": "choices: [4, 8]", "discrete_uniform": "low: 4, high: 8, step: 2"}
    config = read(f"search_space:\n  lora_alpha: {{type: {word}, {keys.get(today, 'low: 4, high: 8')}}}\n")
    (parameter,) = config.parameters
    kind = today if today in ("int", "categorical") else "float"
    assert (parameter.kind, parameter.log) == (kind, log)
    assert bool(config.notes) == (word in OLD_TYPES)


def test_keys_of_old_are_read_with_a_note_that_has_their_line():
    config = read("search_space:\n  warmup_ratio:\n    type: uniform\n    min: 0.0\n    max: 0.5\n    q: 0.1\n")
    assert config.parameters == (SearchParameter(name="warmup_ratio", kind="float", low=0.0, high=0.5, step=0.1),)
    assert [re.match(r"study.yaml:(\d)", note)[1] for note in config.notes] == ["4", "5", "6"]


def test_groups_are_headings_or_sections():
    config = read(
        "search_space:\n"
        "  training: {learning_rate: {type: uniform, low: 0.1, high: 1}}\n"
        "  advanced_params: {num_beams: {type: int, low: 1, high: 3}, lora: {r: {type: int, low: 1, high: 9}}}\n"
        "  other_params: {enabled: false, top_p: {type: uniform, low: 0.1, high: 1}}\n"
    )
    assert [parameter.name for parameter in config.parameters] == ["training.learning_rate", "num_beams", "lora.r"]
    assert WORDS["the-group-is"] in config.notes[0]


def test_pruners_of_optuna_become_stopping_rules():
    def rule(words):
        from sweepkit.studies.yaml.optuna_sections import read_pruning
        from sweepkit.sweep_config.checker import Checker
        from sweepkit.text.yaml import parse

        document = parse(f"pruning: {words}\n")
        return read_pruning(Checker(document), document.data, several=False)

    assert rule("{n_startup_trials: 3, n_warmup_steps: 2}") == {
        "type": "percentile",  # Optuna's median; the sweep's rule of that name is Vizier's
        "percentile": 50,
        "n_startup_runs": 3,
        "n_warmup_reports": 2,
        "called": "median",
    }
    assert rule("{patience: 2, n_startup_trials: 3}") == {
        "type": "patient",
        "patience": 2,
        "rule": {"type": "percentile", "percentile": 50, "n_startup_runs": 3, "called": "median"},
    }
    assert rule("{type: patience, patience: 2}") == {"type": "patience", "patience": 2}
    assert rule("{type: hyperband, max_resource: 9}") == {"type": "optuna_hyperband", "max_resource": 9}
    assert rule("{type: none}") == rule("{enabled: false, type: median}") == {}


def test_quick_validation_becomes_the_trainers_own_fields():
    words = "quick_validation: {epochs: 1, batch_size_override: 8, max_train_samples: 100, folds: 1}\n"
    text = read(words + SPACE)
    assert text.quick == {
        "training.num_train_epochs": 1,
        "training.per_device_train_batch_size": 8,
        "data.max_train_samples": 100,
    }
    images = read("base_config: image_classification\nquick_validation: {epochs: 1, folds: 2}\n" + SPACE)
    assert images.quick == {
        "quick_validation.enabled": True,
        "quick_validation.epochs": 1,
        "quick_validation.folds": 2,
    }
    assert full_parameters(images, {"lr": 1, **images.quick}) == {"lr": 1}
    assert read("quick_validation: {enabled: false, epochs: 1}\n" + SPACE).quick == {}


def test_wandb_groups_and_names_each_run_only_when_it_is_on():
    assert sweep_dict(read("wandb: {enabled: false, project: p}\n" + SPACE)).get("project") is None
    from sweepkit.studies.yaml.optuna_sections import read_wandb
    from sweepkit.sweep_config.checker import Checker
    from sweepkit.text.yaml import parse

    document = parse("wandb: {enabled: true, project: p}\n")
    read_on = read_wandb(Checker(document), document.data)
    assert read_on["wandb"] == {"group": "optuna_search", "name": "trial_{number}"}
    assert read_on["tracked"] == {"wandb.enabled": True, "wandb.project": "p"}


def test_phases_are_read_with_their_kinds_and_shares():
    config = read(
        "optuna: {n_trials: 30}\nsearch_space:\n  learning_rate: {type: uniform, low: 0.1, high: 1}\n"
        "  num_beams: {type: int, low: 1, high: 3}\n"
        "phases:\n  - {name: stage1, parameters: [num_beams], n_trials: 4}\n  - {name: rest, parameters: rest}\n"
        "  - focus\n  - {name: confirm, seeds: [7, 8], top: 1}\n"
    )
    assert [phase.kind for phase in config.phases] == [PhaseKind.STAGE, PhaseKind.STAGE, PhaseKind.FOCUS, "confirm"]
    assert [phase.n_trials for phase in config.phases[:3]] == [4, 8, 8]
    assert config.phases[1].parameters == ("learning_rate",)
    assert config.phases[3].seeds == (7, 8)


def test_a_base_configuration_beside_the_file_goes_before_one_of_the_checkout(tmp_path):
    (tmp_path / "perceiver").write_text("training: {seed: 7}\n", encoding="utf-8")
    config = read(f"base_config: perceiver\n{SPACE}", directory=str(tmp_path))
    assert (config.task, config.base_config, config.base_seed) == ("summarization", str(tmp_path / "perceiver"), 7)
    assert read(f"base_config: perceiver\n{SPACE}").base_config == "perceiver"


def test_configurations_are_found_by_name_and_files_that_are_not_there_told(tmp_path):
    assert find_optuna_config("prototype") == CONFIG_DIR / "optuna" / "prototype.yaml"
    assert find_optuna_config("no_such_study") is None
    with pytest.raises(SpecError, match=WORDS["the-file-cannot"]):
        read_optuna_config(tmp_path / "none.yaml")
