import errno
import json
import math
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.errors import TrackingError
from sweepkit.tracking.run_card import RunCard
from sweepkit.tracking.wandb_env import (
    FOREIGN_VARIABLES,
    hook_environment,
    parameters_text,
    wandb_environment,
    write_parameters,
)
from sweepkit.tracking.wandb_file import WandbTail
from sweepkit.tracking.wandb_hook import kept_at

# What any W&B user writes; it knows nothing of us. It waits for a byte on stdin so that the test may look between.
SCRIPT = """
import sys, wandb
run = wandb.init(config={"lr": 123.0, "mine": "kept"})
sys.stdout.write(__import__("json").dumps({"config": dict(run.config), "id": run.id, "sweep": run.sweep_id}) + "\\n")
sys.stdout.flush()
for step in range(3):
    wandb.log({"eval": {"loss": 1.0 / (step + 1)}, "정확도": step, "note": "text"})
wandb.log({"eval": {"loss": float("nan")}})
sys.stdin.readline()
wandb.log({"eval": {"loss": 0.25}, "last": True})
run.summary["best"] = 7
sys.exit(3)
"""

PARAMS = {
    "lr": 1e-05,
    "big": 1e16,
    "n": 3,
    "flag": False,
    "nothing": None,
    "요약": "안녕: '세계' \"#\" \u2028 끝 😀",
    "opt": {"name": "adam", "betas": [0.9, 0.999], "deep": {"wd": 1e-08}},
}


def environment(directory, project=""):
    param_path = directory / "params.yaml"
    write_parameters(param_path, PARAMS)
    base = {key: value for key, value in os.environ.items() if key not in FOREIGN_VARIABLES}
    card = RunCard(run_id="run7", group="첫 스윕", project=project)
    ours = wandb_environment(card, param_path=param_path, directory=directory)
    return base | ours


def wait_for(look, reader, seconds=60):
    """Look again and again, as the agent does, until there is something or the script has ended."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end and reader.is_alive():
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_an_unmodified_script_gets_its_parameters_and_is_read_while_it_runs(tmp_path):
    tail = WandbTail(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment(tmp_path, project="proj"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        said = json.loads(process.stdout.readline())
        reports, done = [], threading.Thread(target=process.wait)
        done.start()
        wait_for(lambda: reports.extend(tail.read()) or len(reports) >= 4, done)
        assert process.poll() is None and tail.exit_code is None, "the rows were read only after the script had ended"
        process.stdin.write("\n")
        process.stdin.close()
        done.join(60)
        reports += tail.read()
    assert said["config"] == {**PARAMS, "mine": "kept"} and said["id"] == "run7" and said["sweep"] is None
    assert [r.seq for r in reports] == [0, 1, 2, 3, 4] == [r.step for r in reports]
    losses = [r.values["eval.loss"] for r in reports]
    assert losses[:3] == [1.0, 0.5, 1 / 3] and math.isnan(losses[3]) and losses[4] == 0.25
    assert reports[1].values["정확도"] == 1 and reports[4].values["last"] == 1
    assert all(0 <= time.time() - r.time < 120 for r in reports)
    assert process.returncode == 3 == tail.exit_code
    assert tail.summary["best"] == 7 and tail.problems == []
    assert (tail.run.run_id, tail.run.group, tail.run.project, tail.run.sweep_id) == ("run7", "첫 스윕", "proj", "")
    assert tail.run.config == {**PARAMS, "mine": "kept"}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["run.finish(); folder.cleanup()", "pass"], ids=["finished", "at-exit"])
def test_what_a_script_logged_into_a_folder_that_it_removes_is_read(tmp_path, end):
    script = "import tempfile, wandb; folder = tempfile.TemporaryDirectory(); "
    script += f"run = wandb.init(dir=folder.name); run.log({{'loss': 0.5}}); {end}"
    env, notes = environment(tmp_path), tmp_path / "notes"
    command = [sys.executable, "-c", script]
    subprocess.run(command, env={**env, **hook_environment(notes, env)}, check=True, capture_output=True, timeout=120)
    tail = WandbTail(tmp_path, notes=notes)
    assert [report.values for report in tail.read()] == [{"loss": 0.5}] and tail.exit_code == 0
    file = json.loads(notes.read_text().splitlines()[-1])["file"]
    assert not Path(file).exists() and tail.path == kept_at(str(tmp_path), file)


def test_the_environment_has_only_what_was_asked(tmp_path):
    found = wandb_environment(RunCard(run_id="r", group="g"), param_path=tmp_path / "p", directory=tmp_path)
    assert found["WANDB_MODE"] == "offline" and "WANDB_SWEEP_ID" not in found and "WANDB_PROJECT" not in found
    assert "WANDB_SWEEP_ID" in FOREIGN_VARIABLES
    # Without it W&B keeps rows back for 15 s, which no other test would see.
    assert 0 < float(found["WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL"]) <= 0.2
    card = RunCard(run_id="r", group="g", project="p", entity="e", name="n")
    assert found["WANDB_ERROR_REPORTING"] == "false"
    found = wandb_environment(card, param_path="p", directory="d")
    assert (found["WANDB_PROJECT"], found["WANDB_ENTITY"], found["WANDB_NAME"]) == ("p", "e", "n")
    assert all(isinstance(value, str) for value in found.values())


def test_without_a_sweeps_id_a_script_s_own_project_and_id_give_way_only_to_a_project_of_the_sweep_d36(tmp_path):
    card, asked = RunCard(run_id="r", group="g"), {"param_path": tmp_path / "p", "directory": tmp_path}
    assert "WANDB_LAUNCH" not in wandb_environment(card, **asked)
    assert wandb_environment(replace(card, project="p"), **asked)["WANDB_LAUNCH"] == "true"


def test_a_sweeps_id_makes_runs_what_they_are_under_wandbs_agent(tmp_path):
    found = wandb_environment(RunCard(run_id="r", sweep_id="s1"), param_path=tmp_path / "p", directory=tmp_path)
    assert found["WANDB_SWEEP_ID"] == "s1" and "WANDB_LAUNCH" not in found


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), leaf, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.text(max_size=12).filter(lambda name: name != "wandb_version"), VALUES, max_size=4))
def test_wandbs_yaml_reader_gives_back_every_value_and_type(params):
    loaded = yaml.safe_load(parameters_text(params))
    assert loaded.pop("wandb_version") == 1
    assert repr({name: entry["value"] for name, entry in loaded.items()}) == repr(params)


@pytest.mark.parametrize("text", ["\u2028a\u2029b\x85c\x7f\x80\ufeff\ufffe", "\ud800", "😀", "\t\r\n\0", "a\\u0041"])
def test_text_that_yaml_would_fold_or_refuse_survives(text):
    assert yaml.safe_load(parameters_text({text: text}))[text] == {"value": text}


@pytest.mark.parametrize("value", [1e-5, 1e16, 1.5e300, -1e-300, 0.1, 5e-324, math.inf, -math.inf, -0.0])
def test_floats_stay_floats(value):
    assert repr(yaml.safe_load(parameters_text({"x": value}))["x"]["value"]) == repr(value)


def test_not_a_number_and_tuples_and_subclasses():
    class Level(int):
        def __repr__(self):
            return "Level"

    class Name(str):
        pass

    class Ratio(float):
        def __repr__(self):
            return "Ratio"

    loaded = yaml.safe_load(
        parameters_text({"a": math.nan, "b": (1, 2), "c": Level(4), "d": Name("n"), "e": Ratio(0.5)})
    )
    assert math.isnan(loaded["a"]["value"])
    assert [loaded[key]["value"] for key in "bcde"] == [[1, 2], 4, "n", 0.5]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"opt": {"x": [object()]}}, r"opt\.x\[0\]: a parameter must"),
        ({"s": {1, 2}}, "s: a parameter must"),
        ({"k": {(1, 2): 3}}, "k: a key must"),
        ({"wandb_version": 2}, "wandb_version: a parameter must not"),
    ],
)
def test_what_has_no_yaml_form_is_refused_by_its_path(tmp_path, params, message):
    with pytest.raises(TrackingError, match=message):
        write_parameters(tmp_path / "p.yaml", params)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "p.yaml"
    write_parameters(path, {"a": 1})
    with path.open() as reader:
        write_parameters(path, {"a": 2, "long": "x" * 10_000})
        assert yaml.safe_load(reader)["a"]["value"] == 1
    assert yaml.safe_load(path.read_text())["a"]["value"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.yaml"]
    with pytest.raises(TrackingError, match="must be written"):
        write_parameters(tmp_path / "missing" / "p.yaml", {})


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def write_half(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(TrackingError, match=r"p\.yaml: .*No space left"):
        write_parameters(tmp_path / "p.yaml", {"a": 1})
    assert list(tmp_path.iterdir()) == []
