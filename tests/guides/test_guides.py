"""The guides' blocks as they are (blocks.json, with the line of each), and what docs/guides.md says becomes of them."""

import argparse
import ast
import json
import re
import runpy
import shlex
import sys
import types
from pathlib import Path

import pytest

from sweepkit.cli.optimize_options import parse as parse_optimize
from sweepkit.cli.sweep_runner import parse as parse_sweep_runner
from sweepkit.errors import SpecError
from sweepkit.paths import ROOT_DIR
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.studies.yaml.optuna_config import read_optuna_text
from sweepkit.training.config.training import apply_preset, read_training_config

BLOCKS = json.loads(Path(__file__).with_name("blocks.json").read_text(encoding="utf-8"))
TABLE = ROOT_DIR / "docs" / "guides.md"
HEADINGS = ("optuna", "tuning", "yaml", "perceiver", "sweeps")  # the tables' order
EXAMPLES = ROOT_DIR / "examples" / "guides"
# What a verdict claims of a block: it runs, it cannot and says what to write, or there is nothing to run.
RUNS, CANNOT, NOTHING = ("runs",), ("sketch", "guide's slip"), ("output", "file name")


def text_of(guide, line):
    return next(block["text"] for block in BLOCKS if (block["guide"], block["line"]) == (guide, line))


def verdicts():
    """The rows of the tables: (guide, line) → (verdict, note)."""
    found = {}
    for guide, section in zip(HEADINGS, TABLE.read_text(encoding="utf-8").split("\n## ")[1:6], strict=True):
        for line, verdict, note in re.findall(r"^\| (\d+) \| `.*?` \| ([^|]+?) \| (.*) \|$", section, re.MULTILINE):
            found[(guide, int(line))] = (verdict, note.strip())
    return found


VERDICTS = verdicts()


def blocks(guide, language, verdict=RUNS):
    return [
        block["line"]
        for block in BLOCKS
        if (block["guide"], block["language"]) == (guide, language)
        and VERDICTS.get((guide, block["line"]), ("", ""))[0] in verdict
    ]


@pytest.fixture
def guides_folder(monkeypatch):
    """Be where the guides' scripts are, with their `src` importable."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [name for name in sys.modules if name == "src" or name.startswith("src.")]:
        del sys.modules[name]


def test_every_block_has_its_row_and_no_row_is_of_another():
    assert VERDICTS.keys() == {(block["guide"], block["line"]) for block in BLOCKS}
    assert {verdict for verdict, _ in VERDICTS.values()} == {*RUNS, *CANNOT, *NOTHING}


def test_what_cannot_run_says_what_to_write():
    silent = [key for key, (verdict, note) in VERDICTS.items() if verdict in CANNOT and not note]
    assert silent == []


# -- YAML


@pytest.mark.parametrize("line", blocks("yaml", "yaml"))
def test_a_block_of_a_study_is_read_as_one(line):
    config = read_optuna_text(text_of("yaml", line))
    assert config.parameters
    images = re.search(r"img_size|drop_path|mixup|folds", text_of("yaml", line))
    assert config.task == ("image_classification" if images else "summarization")


def test_a_search_of_images_can_be_told_by_the_option_too():
    text = text_of("yaml", 194)
    key = read_optuna_text(f"base_config: perceiver\n{text}")
    option = read_optuna_text(text, base_config="perceiver")
    assert (key.task, key.base_config, key.parameters) == (option.task, option.base_config, option.parameters)


@pytest.mark.parametrize("line", blocks("tuning", "yaml"))
def test_a_flat_preset_is_a_configuration_and_a_preset(tmp_path, line):
    file = tmp_path / "preset.yaml"
    file.write_text(text_of("tuning", line), encoding="utf-8")
    alone = read_training_config(file)
    laid = apply_preset(read_training_config(ROOT_DIR / "config" / "models" / "optimal_kobart.yaml"), file)
    assert alone.training.fp16 and laid.training.num_train_epochs == alone.training.num_train_epochs
    assert laid.model.name == "digit82/kobart-summarization"


@pytest.mark.parametrize(("line", "said"), [(28, "training.save_steps"), (500, ""), (613, "")])
def test_a_block_of_a_training_is_a_configuration(tmp_path, line, said):
    file = tmp_path / "config.yaml"
    file.write_text(text_of("sweeps", line), encoding="utf-8")
    notes = []
    read_training_config(file, notes)
    assert [note for note in notes if said not in note] == [] and len(notes) == bool(said)


@pytest.mark.parametrize("model", ["kobart", "kogpt2", "t5"])
def test_the_models_of_the_comparison_are_configurations(tmp_path, model):
    texts = re.split(r"(?m)^(?=# config/models/)", text_of("sweeps", 131))
    file = tmp_path / "model.yaml"
    file.write_text(next(text for text in texts if f"optimal_{model}.yaml" in text), encoding="utf-8")
    config = read_training_config(file)
    shipped = read_training_config(ROOT_DIR / "config" / "models" / f"optimal_{model}.yaml")
    assert config.model.name == shipped.model.name
    for field in ("learning_rate", "per_device_train_batch_size"):
        assert getattr(config.training, field) == getattr(shipped.training, field)


@pytest.mark.parametrize("line", [40, 252])
def test_a_sweep_without_a_program_is_one_of_our_trainer(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    Path("pasted.yaml").write_text(text_of("sweeps", line), encoding="utf-8")
    plan = make_plan(RunOptions(output_dir=tmp_path / "outputs"), "pasted.yaml")
    assert plan.trains and plan.spec.metric.name == "eval/rouge_combined_f1"


def test_the_shipped_search_has_the_guides_space():
    import ruamel.yaml

    load = ruamel.yaml.YAML(typ="safe").load
    guide = load(text_of("sweeps", 252))
    shipped = load(ROOT_DIR / "config" / "sweep" / "advanced_bayesian_sweep.yaml")
    for key in ("parameters", "metric", "early_terminate", "method"):
        assert shipped[key] == guide[key]
    assert shipped["sweepkit"]["base_config"] == "models/optimal_kobart"


def test_a_sweep_in_a_python_listing_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("memory.yaml").write_text(text_of("sweeps", 507), encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        make_plan(RunOptions(output_dir=tmp_path), "memory.yaml")
    assert {problem.key for problem in refused.value.problems} == {"method"} or "method" in str(refused.value)


# -- commands


def commands(guide, line):
    """The python commands of a listing, each as words."""
    text = text_of(guide, line).replace("\\\n", " ")
    found = [
        shlex.split(row, comments=True) for row in text.splitlines() if re.match(r"(\w+=\S+ )*python \S+\.py", row)
    ]
    return [[word for word in row if word != "&" and not re.match(r"[A-Z_]+=", word)] for row in found]


@pytest.mark.parametrize(("guide", "line"), [("optuna", 499), ("yaml", 589), ("yaml", 624), ("optuna", 524)])
def test_a_command_of_the_guides_projects_has_its_script_and_options(guides_folder, monkeypatch, guide, line):
    for _, script, *options in commands(guide, line):
        assert Path(script).is_file()
        if script.endswith(("optuna_tuner.py", "optuna_optimize.py")):
            asked = parse_optimize(options, output_dir=Path("outputs"))
            assert Path(asked.config).is_file()
        elif script.endswith("scripts/optimize.py"):
            given = {}
            parser = argparse.ArgumentParser
            monkeypatch.setattr(parser, "parse_args", lambda self, g=given, o=options: parse_known(self, o, g))
            with pytest.raises(LookupError):
                runpy.run_path(script, run_name="__main__")
            assert given["experiment"] == "baseline_kobart"


def parse_known(parser, options, given):
    given.update(vars(parser.parse_known_args(options)[0]))
    raise LookupError("parsed")


def test_the_commands_of_the_sweeps_are_taken(monkeypatch, tmp_path):
    from sweepkit.cli.parallel_sweep_runner import parse_parallel

    monkeypatch.chdir(ROOT_DIR / "code")
    (_, script, *options) = commands("sweeps", 64)[0]
    assert script == "sweep_runner.py" and parse_sweep_runner(options, output_dir=tmp_path).run.count == 8
    (_, script, *options) = commands("sweeps", 319)[0]
    assert script == "parallel_sweep_runner.py"
    assert parse_parallel is None or parse_parallel(options, output_dir=tmp_path)


# -- Python


def namespace():
    """What the guides' listings take for granted."""
    import optuna

    trial = optuna.create_study().ask()
    training = types.SimpleNamespace()
    config = types.SimpleNamespace(
        model={"hidden_dropout_prob": 0.1}, training=training, logging=types.SimpleNamespace(use_wandb=True)
    )
    return {"trial": trial, "params": {}, "config": config, "optuna": optuna}


@pytest.mark.parametrize("line", [107, 126, 143, 162, 179])
def test_the_parameters_of_the_guide_are_those_of_our_space(line):
    from sweepkit.model.distributions import Kind
    from sweepkit.studies.yaml.guide_space import guide_parameters, space_of

    names = namespace()
    exec(compile(text_of("optuna", line), f"optuna:{line}", "exec"), names)
    ours = {item.name: item.distribution for item in space_of(guide_parameters("mine/model")).parameters}
    for name, drawn in names["trial"].distributions.items():
        distribution = ours[name]
        if distribution.kind is Kind.CATEGORICAL:
            assert drawn.choices == distribution.values
        else:
            assert (drawn.low, drawn.high) == (distribution.min, distribution.max)


@pytest.mark.parametrize(
    ("guide", "line"),
    [("optuna", 197), ("optuna", 212), ("optuna", 664), ("tuning", 44), ("tuning", 63), ("tuning", 85), ("tuning", 98)]
    + [("tuning", 109), ("tuning", 159), ("perceiver", 30)],
)
def test_a_listing_that_stands_alone_runs(guide, line):
    exec(compile(text_of(guide, line), f"{guide}:{line}", "exec"), namespace())


def test_the_space_of_the_tuning_guide_is_one_of_ours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("guide_space.py").write_text(text_of("tuning", 175), encoding="utf-8")
    Path("space.yaml").write_text(
        "method: random\nprogram: trainer.py\nmetric: {name: eval/loss, goal: minimize}\nrun_cap: 3\n"
        'sweepkit: {search_space: "guide_space:optuna_hp_space"}\n',
        encoding="utf-8",
    )
    plan = make_plan(RunOptions(output_dir=tmp_path), "space.yaml")
    assert plan.trains and plan.function is not None


def test_the_optimizer_has_every_method_of_the_guide():
    from sweepkit.studies.optimizer import OptunaOptimizer

    wanted = re.findall(r"def (\w+)\(", text_of("optuna", 40))
    assert [name for name in wanted if not callable(getattr(OptunaOptimizer, name, None))] == []


def test_the_analysis_of_the_first_sweep_reads_our_results(tmp_path, monkeypatch, capsys):
    from sweepkit.agents.results import write_result
    from sweepkit.model.records import RunRecord
    from sweepkit.model.runs import RunState
    from sweepkit.paths import SweepPaths

    paths = SweepPaths(tmp_path / "outputs", "first_sweep")
    for number, rate in enumerate((1e-5, 5e-5)):
        run = RunRecord(
            run_id=f"r{number}",
            sweep_id="s",
            number=number,
            params={"learning_rate": rate, "per_device_train_batch_size": 8},
            state=RunState.FINISHED,
            best_metrics={"eval/rouge_combined_f1": rate * 1e4, "eval/loss": 1.0, "train/loss": 2.0},
        )
        paths.root.mkdir(parents=True, exist_ok=True)
        write_result(paths, run, seed=1, surroundings={})
    monkeypatch.chdir(tmp_path)
    exec(compile(text_of("sweeps", 72), "sweeps:72", "exec"), {})
    printed = capsys.readouterr().out
    assert "Learning Rate: 5e-05" in printed and "Batch Size: 8" in printed and "F1: 0.5000" in printed


@pytest.mark.filterwarnings("ignore:suggest_loguniform:FutureWarning")
def test_the_perceiver_of_the_tutorial_trains(guides_folder):
    import torch
    from src.models import PerceiverMNIST
    from torch import nn, optim

    loader = [(torch.rand(4, 1, 28, 28), torch.randint(0, 10, (4,)))]
    names = {"torch": torch, "nn": nn, "optim": optim, "PerceiverMNIST": PerceiverMNIST, "trainloader": loader}
    exec(compile(text_of("perceiver", 30).replace('"cuda"', '"cpu"'), "perceiver:30", "exec"), names)
    study = text_of("perceiver", 71).replace("n_trials=30", "n_trials=1")
    exec(compile(study, "perceiver:71", "exec"), names)
    assert set(names["study"].best_params) == {"depth", "latent_dim", "num_latents", "learning_rate"}


@pytest.mark.heavy
def test_the_basic_use_runs_from_config_to_figures(guides_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", str(tmp_path / "outputs"))
    monkeypatch.setenv("SWEEPKIT_CACHE_DIR", str(tmp_path / "cache"))
    text = text_of("optuna", 278).replace("baseline_kobart", "tiny").replace("n_trials=50", "n_trials=2")
    names = {}
    exec(compile(text, "optuna:278", "exec"), names)
    monkeypatch.chdir(tmp_path)
    for line in (332, 376):
        exec(compile(text_of("optuna", line), f"optuna:{line}", "exec"), names)
    left = {file.name for folder in ("optuna_results", "optuna_plots") for file in Path("outputs", folder).iterdir()}
    wanted = set(re.findall(r"[\w_]+\.(?:json|csv|html)", text_of("optuna", 332) + text_of("optuna", 376)))
    assert wanted <= left
    best = json.loads(Path("outputs/optuna_results/best_params.json").read_text(encoding="utf-8"))
    assert json.loads(text_of("optuna", 343)).keys() <= best.keys()
    reload = text_of("optuna", 390).partition("# 최종 학습")[0]
    exec(compile(reload, "optuna:390", "exec"), names)
    assert names["config"].lora.r == names["best_params"]["lora_r"]


@pytest.mark.parametrize("line", [line for line in blocks("sweeps", "python", CANNOT) if line not in (507, 546)])
def test_a_listing_with_a_slip_is_python_all_the_same(line):
    ast.parse(text_of("sweeps", line))


def test_steps_of_optuna_are_drawn_alike_and_kept_in_the_mirror():
    from collections import Counter

    from sweepkit.store.mirror import optuna_distribution
    from sweepkit.studies.yaml.optuna_sweep import space_of

    text = "search_space: {latent_dim: {type: int, low: 64, high: 256, step: 64}}\nbase_config: perceiver\n"
    (parameter,) = space_of(read_optuna_text(text)).parameters
    drawn = Counter(parameter.distribution.ppf((place + 0.5) / 300) for place in range(300))
    assert drawn == {64: 75, 128: 75, 192: 75, 256: 75}
    shown = optuna_distribution(parameter.distribution)
    assert (shown.low, shown.high, shown.step) == (64, 256, 64)
