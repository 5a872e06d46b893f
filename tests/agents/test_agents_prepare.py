"""From a claimed run to its files, environment and command."""

import json
import os
import sys
from pathlib import Path

import pytest

from sweepkit.agents.prepare import Workplace, prepare, resolve_program
from sweepkit.agents.slots import Slot
from sweepkit.paths import SweepPaths
from sweepkit.spec.read import read_sweep_text
from sweepkit.spec.records import Attempt, RunRecord
from sweepkit.spec.runs import RunState
from sweepkit.spec.yaml import load

PARAMS = {"lr": 1e-05, "opt": {"name": "아담"}}


@pytest.fixture
def ready(tmp_path):
    def make(command="", **inherited):
        spec = read_sweep_text(
            f"program: p.py\nproject: 요약\nmethod: grid\n{command}\nparameters: {{lr: {{value: 1e-5}}}}\n"
        )
        paths = SweepPaths(tmp_path / "out", "스윕")
        paths.logs.mkdir(parents=True)
        program = tmp_path / "p.py"
        program.write_text("")
        place = Workplace(
            spec=spec, paths=paths, program=str(program), cwd="/", base_config="/base.yaml",
            inherited={"PATH": os.environ["PATH"], **inherited},
        )  # fmt: skip
        run = RunRecord(run_id="abc12345", sweep_id="s", number=0, params=PARAMS, state=RunState.RUNNING, attempts=2)
        attempt = Attempt(attempt_id="abc12345-2", token="t", run=run, ordinal=2, lease_until=0.0)
        return prepare(place, attempt, Slot(index=0, gpus=("1",), cpus=1)), paths

    return make


def test_the_environment_is_wandbs_contract_ours_and_the_slots(ready):
    leftovers = {"WANDB_SWEEP_ID": "x", "WANDB_RUN_ID": "y", "SWEEPKIT_REPORT_FILE": "z", "SWEEPKIT_OWNER": "o"}
    spec, paths = ready(**leftovers, KEPT="값", CUDA_VISIBLE_DEVICES="0,1")
    env = spec.env
    assert env["KEPT"] == "값"
    assert env["WANDB_MODE"] == "offline" and env["WANDB_RUN_ID"] == "abc12345" and env["WANDB_PROJECT"] == "요약"
    assert env["WANDB_RUN_GROUP"] == "스윕" and "WANDB_SWEEP_ID" not in env and "SWEEPKIT_OWNER" not in env
    assert Path(env["WANDB_DIR"]).is_dir()
    written = load(Path(env["WANDB_SWEEP_PARAM_PATH"]).read_text(encoding="utf-8")).data
    assert written == {"wandb_version": 1, **{name: {"value": value} for name, value in PARAMS.items()}}
    assert env["SWEEPKIT_REPORT_FILE"] == str(paths.reports("abc12345-2"))
    assert env["SWEEPKIT_ATTEMPT_ID"] == "abc12345-2" and env["SWEEPKIT_BASE_CONFIG"] == "/base.yaml"
    assert env["CUDA_VISIBLE_DEVICES"] == "1" and env["OMP_NUM_THREADS"] == "1"


def test_the_command_is_run_by_this_interpreter_warm_and_in_the_users_directory(ready):
    spec, paths = ready()
    assert spec.argv[:2] == ("/usr/bin/env", sys.executable)
    assert spec.argv[3:] == ("--lr=1e-05", "--opt={'name': '아담'}")
    assert spec.warm is not None and spec.warm.args == spec.argv[3:]
    assert spec.cwd == "/" and spec.log == paths.log("abc12345-2")


def test_a_json_file_is_written_when_the_command_asks_for_it(ready):
    spec, _ = ready('command: ["${program}", "${args_json_file}"]')
    assert json.loads(Path(spec.argv[1]).read_text()) == PARAMS
    assert spec.warm is None


def test_a_program_is_looked_up_beside_the_yaml_then_in_cwd_then_in_code(tmp_path):
    places = {name: tmp_path / name for name in ("yaml", "cwd", "code")}
    for place in places.values():
        place.mkdir()
    spec = read_sweep_text("program: p.py\nmethod: grid\nparameters: {a: {value: 1}}", directory=str(places["yaml"]))

    def look():
        return resolve_program(spec, cwd=places["cwd"], code_dir=places["code"])

    assert look() is None
    for name in ("code", "cwd", "yaml"):
        (places[name] / "p.py").touch()
        assert look() == places[name] / "p.py"
