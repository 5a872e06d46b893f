"""`import sweepkit`: a sweep of a function, run and looked at from Python."""

import contextlib
import os
import subprocess
import sys

import pandas as pd
import pytest

import sweepkit
from sweepkit.errors import ConflictError, SpecError
from sweepkit.model.identity import SweepIdentity
from sweepkit.model.records import SweepState
from sweepkit.paths import CODE_DIR
from sweepkit.store.open import open_store

CONFIG = {
    "method": "random",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"x": {"min": 0.0, "max": 1.0}, "opt": {"parameters": {"name": {"values": ["a", "b"]}}}},
    "run_cap": 4,
    "sweepkit": {"seed": 3},
}


def make_train(factor=2.0):
    def train(config):
        import sweepkit

        for epoch in range(3):
            sweepkit.report(
                {"loss": factor * config["x"] + epoch, "width": len(config["opt"]["name"])}, step=10 * epoch
            )

    return train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def done(folder):
    sweep = sweepkit.sweep(CONFIG, function=make_train(), output_dir=folder)
    assert (sweep.state, sweep.best, sweep.name) == ("new", None, "train")
    assert sweep.run(count=3, workers=2) is sweep
    return sweep


def test_the_import_is_light_and_its_names_are_there():
    code = (
        "import sys, time; began = time.perf_counter(); import sweepkit; took = time.perf_counter() - began\n"
        "print(sorted({'numpy', 'pandas', 'optuna', 'sqlalchemy', 'cloudpickle', 'logging'} & set(sys.modules)))\n"
        "names = (*sweepkit.__all__, 'open')\n"
        "print([name for name in names if not hasattr(sweepkit, name)], sweepkit.report({'a': 1}))\n"
        "import sweepkit.confirm.options, sweepkit.compare.options\n"
        "print(callable(sweepkit.confirm), callable(sweepkit.compare), sweepkit.should_stop())"
    )
    env = {"PYTHONPATH": str(CODE_DIR), "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=env)
    assert ran.stdout.splitlines() == ["[]", "[] None", "True True False"], ran.stderr
    with pytest.raises(AttributeError):
        _ = sweepkit.nothing_of_that_name


@pytest.mark.slow
def test_what_it_came_to(done):
    runs = done.runs()
    assert list(runs["number"]) == [0, 1, 2] and set(runs["state"]) == {"finished"}
    assert {"params.x", "params.opt.name", "best.loss", "last.loss", "reason", "duration_s"} <= set(runs.columns)
    assert all(runs["value"] == 2 * runs["params.x"])
    assert isinstance(runs["ended_at"].dtype, pd.DatetimeTZDtype) and (runs["ended_at"] >= runs["started_at"]).all()
    history = done.history()
    assert len(history) == 3 * 3 * 2 and set(history["metric"]) == {"loss", "width"}
    assert list(history[history["number"] == 0]["step"].unique()) == [0, 10, 20]
    best = done.best
    assert best.value == runs["value"].min() and best.params["x"] == runs.set_index("number")["params.x"][best.number]
    assert (done.state, best.runs) == ("running", 1)
    assert done.folder.name in done.report().parent.name and done.report().stat().st_size > 1000
    assert "train" in done._repr_html_() and "train" in repr(done)


@pytest.mark.parametrize("kind", ["history", "curves", "parallel", "importance", "slices", "pareto"])
def test_figures(done, kind):
    figure = done.figure(kind)
    text = figure.to_json()
    assert figure.layout.title.text or len(figure.layout.annotations) and '"--' not in text
    if kind == "curves":
        assert len(figure.data) == 3 and list(figure.data[0].x) == [0, 10, 20]


def test_a_figure_that_there_is_not(done):
    with pytest.raises(sweepkit.SweepKitError, match="'parallel'"):
        done.figure("paralel")


@pytest.mark.slow
def test_going_on_opening_and_listing(done, folder):
    again = sweepkit.sweep(CONFIG, function=make_train(), output_dir=folder).run()
    assert len(again.runs()) == 4 and again.state == "finished"
    opened = sweepkit.open("train", output_dir=folder)
    assert opened.best == again.best and len(opened.run().runs()) == 4
    listed = sweepkit.list_sweeps(output_dir=folder)
    assert listed.set_index("name")["runs"]["train"] == 4
    with pytest.raises(sweepkit.SweepKitError, match="'train'"):
        sweepkit.open("trian", output_dir=folder)


def test_a_sweep_that_ended_can_be_stopped_and_one_that_was_renamed_is_found(tmp_path):
    text = "program: p.py\nmethod: grid\nparameters: {x: {values: [1]}}\n"
    (tmp_path / "s.yaml").write_text(text)
    identity = SweepIdentity(name="s", folder=os.path.realpath(tmp_path)).plain()
    with open_store(tmp_path / "sweepkit.db") as store:
        sweep, _ = store.create_sweep("t", text=text, seed=0, metric=None, goal=None, meta={"identity": identity})
        store.update_sweep(sweep.sweep_id, state=SweepState.FINISHED, reason="complete")
    with contextlib.chdir(tmp_path):
        swept = sweepkit.sweep("s.yaml", output_dir=tmp_path)
        assert swept.state == "finished"
        swept.stop()
        assert (swept.name, swept.state) == ("t", "finished")


@pytest.mark.slow
def test_another_function_is_another_sweep(done, folder):
    other = sweepkit.sweep({**CONFIG, "run_cap": 1}, function=make_train(3.0), output_dir=folder)
    with pytest.raises(ConflictError, match="fresh=True"):
        other.run()
    assert other.run(fresh=True).name != "train" and len(other.runs()) == 1
    assert other.runs()["value"][0] == 3 * other.runs()["params.x"][0]
    mine = sweepkit.sweep({**CONFIG, "run_cap": 1}, function=make_train(3.0), name="mine", output_dir=folder)
    assert mine.run(count=1).name == "mine"


def test_a_yaml_and_a_program(folder, tmp_path):
    (tmp_path / "train.py").write_text(
        "import argparse, sweepkit\np = argparse.ArgumentParser(); p.add_argument('--x', type=float)\n"
        "sweepkit.report({'loss': p.parse_args().x})\n"
    )
    file = tmp_path / "byfile.yaml"
    file.write_text(
        "program: train.py\nmethod: grid\nmetric: {name: loss, goal: minimize}\nparameters: {x: {values: [2, 1e-1]}}\n"
    )
    sweep = sweepkit.sweep(file, output_dir=folder).run()
    assert (sweep.name, sweep.best.value, len(sweep.runs())) == ("byfile", 0.1, 2)
    with pytest.raises(SpecError, match="program"):
        sweepkit.sweep(file, function=make_train(), output_dir=folder)
    with pytest.raises(SpecError, match="method"):
        sweepkit.sweep({"parameters": {"x": {"value": 1}}}, function=make_train())


def test_before_it_has_run(tmp_path):
    sweep = sweepkit.sweep(CONFIG, function=make_train(), output_dir=tmp_path)
    for look in (sweep.runs, sweep.history, sweep.report, sweep.figure, sweep.stop):
        with pytest.raises(sweepkit.SweepKitError, match="run"):
            look()
    with pytest.raises(sweepkit.SweepKitError, match="count"):
        sweep.run(count=0)
    assert not any(tmp_path.iterdir())
