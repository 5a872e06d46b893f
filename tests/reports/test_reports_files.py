import json

import pytest

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import CONFIG_DIR, SweepPaths
from sweepkit.reports.files import write_best_config
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text.yaml import parse
from sweepkit.training.config.training import read_training_config

SWEEP = """
program: trainer.py
method: grid
metric: {name: eval/loss, goal: minimize}
parameters: {learning_rate: {values: [0.1]}}
"""


@pytest.fixture
def paths(tmp_path):
    paths = SweepPaths(tmp_path, "mine")
    paths.logs.mkdir(parents=True)
    return paths


def written(paths):
    spec = read_sweep_text(SWEEP, source="s.yaml", directory="", default_name="s")
    best = RunRecord(
        run_id="ab12", sweep_id="s", number=0, params={"learning_rate": 0.1}, state=RunState.STOPPED,
        history=(0.5, 0.25), attempts=2, outcome={"seed": 7},
    )  # fmt: skip
    return read_training_config(write_best_config(paths, spec, [best], base_config=CONFIG_DIR / "quick_test.yaml"))


def test_what_is_known_without_the_runs_files(paths):
    config = written(paths)
    section = config.reproduces
    assert (section.sweep, section.run_id, section.metric, section.value) == ("mine", "ab12", "eval/loss", 0.25)
    assert (section.state, section.seed, section.step) == ("stopped", 7, None)
    assert (section.device, section.threads, section.versions, section.data) == (None, None, (), ())
    assert (config.training.seed, config.training.learning_rate) == (7, 0.1)


@pytest.mark.parametrize("name", ["surroundings.json", "training_results.json"])
def test_what_the_runs_files_add(paths, name):
    results = paths.run_dir("ab12") / "results"
    results.mkdir(parents=True)
    content = {"device": "cpu", "threads": 2, "versions": {"torch": "2.0"}, "data": {"data.train_file": "ff"}}
    (results / name).write_text(json.dumps(content), encoding="utf-8")
    rows = [{"eval/loss": 0.5, "_step": 4}, {"eval/loss": 0.25, "_step": 8}, {"eval/loss": 0.25, "_step": 9}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    paths.reports("ab12-2").write_text(lines + '{"eval/loss": 0.', encoding="utf-8")  # stopped within a line
    section = written(paths).reproduces
    assert (section.step, section.device, section.threads) == (8, "cpu", 2)
    assert (section.versions, section.data) == (("torch 2.0",), ("data.train_file ff",))


def test_broken_files_of_a_run_are_as_none(paths):
    results = paths.run_dir("ab12") / "results"
    results.mkdir(parents=True)
    (results / "surroundings.json").write_text("[1", encoding="utf-8")
    paths.reports("ab12-2").write_text("x}\n", encoding="utf-8")
    section = written(paths).reproduces
    assert (section.value, section.step, section.device) == (0.25, None, None)


def test_the_configuration_of_a_metric_of_any_name_is_yaml(paths):
    text = SWEEP.replace("eval/loss", '"a\\x1b\\nb: 1"')
    spec = read_sweep_text(text, source="s.yaml", directory="", default_name="s")
    best = RunRecord(
        run_id="ab12", sweep_id="s", number=0, params={"x": "\x1b"}, state=RunState.FINISHED, history=(1.0, 2.0)
    )  # fmt: skip
    file = write_best_config(paths, spec, [best], base_config=None)
    assert parse(file.read_text(encoding="utf-8")).data == {"x": "\x1b"}
