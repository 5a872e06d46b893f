"""From a claimed run to files, environment and command."""

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sweepkit.agents.isolation import temp_dir
from sweepkit.agents.prepare import Workplace, name_of_run, prepare, resolve_program, seed_of_attempt
from sweepkit.agents.slots import Slot
from sweepkit.agents.warm_command import WarmProgram
from sweepkit.environ import BASE_CONFIG_ENV
from sweepkit.model.records import Attempt, RunRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.sweep_config.read import from_config
from sweepkit.tracking.run_card import RunCard
from sweepkit.tracking.wandb_env import FOREIGN_VARIABLES, hook_environment, wandb_environment

PARAMS = {"lr": 1e-05, "opt": {"name": "아담"}}
ATTEMPT = Attempt(
    attempt_id="abc-2",
    token="t",
    run=RunRecord(run_id="abc", sweep_id="s", number=0, params=PARAMS, state=RunState.RUNNING),
    ordinal=2,
    lease_until=0.0,
)
SLOT = Slot(index=0, gpus=("1",), cpus=3)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a workplace; keyword arguments replace its inherited environment, base_config or the sweep's keys."""

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def make(inherited=None, base_config=None, **config):
        parameters = {"lr": {"value": 1e-5}, "opt": {"parameters": {"name": {"value": "아담"}}}}
        spec = from_config(
            {"name": "my sweep", "method": "grid", "program": "p.py", "parameters": parameters, **config}
        )
        paths = SweepPaths(tmp_path, "my sweep")
        paths.logs.mkdir(parents=True, exist_ok=True)
        program = tmp_path / "p.py"
        program.touch()
        return Workplace(
            spec=spec,
            paths=paths,
            program=str(program),
            cwd=str(tmp_path),
            base_config=base_config,
            inherited={"PATH": os.environ["PATH"]} if inherited is None else inherited,
        )

    return make


def test_the_command_is_run_by_our_own_interpreter_d17(place):
    workplace = place()
    attempt = prepare(workplace, ATTEMPT, SLOT)
    arguments = ("--lr=1e-05", "--opt={'name': '아담'}")
    assert attempt.argv == ("/usr/bin/env", sys.executable, workplace.program, *arguments)
    assert attempt.attempt_id == "abc-2" and attempt.cwd == workplace.cwd
    argv = (sys.executable, workplace.program, *arguments)
    assert attempt.warm == WarmProgram(script=workplace.program, module=None, args=arguments, argv=argv)
    assert attempt.fresh == ""
    other = prepare(place(command=["bash", "${program}"]), ATTEMPT, SLOT)
    assert other.warm is None and "bash" in other.fresh


def test_what_the_command_itself_sets_reaches_a_fork_too(place):
    command = ["${env}", "CUDA_VISIBLE_DEVICES=5", "${interpreter}", "${program}"]
    attempt = prepare(place(command=command), ATTEMPT, SLOT)
    assert attempt.warm is not None and attempt.env["CUDA_VISIBLE_DEVICES"] == "5"


def test_a_run_gets_wandbs_contract_ours_and_its_slots(place):
    workplace = place(project="요약", entity="team")
    paths = workplace.paths
    env = prepare(workplace, ATTEMPT, SLOT).env
    contract = wandb_environment(
        RunCard(run_id="abc", group="my-sweep", project="요약", entity="team", name=ATTEMPT.run.name, sweep_id="s"),
        param_path=paths.parameters("abc-2"),
        directory=paths.wandb_dir("abc", "abc-2"),
    )
    assert env.pop("MASTER_PORT") == env.pop("PET_MASTER_PORT")
    assert env == {
        "PATH": os.environ["PATH"],
        **contract,
        **hook_environment(paths.wandb_notes("abc-2"), {}),
        "TMPDIR": str(temp_dir("abc-2")),
        "TORCHINDUCTOR_CACHE_DIR": str(paths.cache / "compiled" / "slot0-1" / "inductor"),
        "TRITON_CACHE_DIR": str(paths.cache / "compiled" / "slot0-1" / "triton"),
        "MASTER_ADDR": "127.0.0.1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "1",
        "SWEEPKIT_ATTEMPT_ID": "abc-2",
        "SWEEPKIT_REPORT_FILE": str(paths.reports("abc-2")),
        "SWEEPKIT_CACHE_DIR": str(paths.cache),
        "SWEEPKIT_RUN_DIR": str(paths.run_dir("abc")),
        "SWEEPKIT_PREEMPT_FILE": str(paths.preempt_file("abc-2")),
        "SWEEPKIT_CHECKPOINT_DIR": str(paths.checkpoint("abc")),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def test_the_folders_and_files_that_it_names_are_there(place):
    workplace = place()
    attempt = prepare(workplace, ATTEMPT, SLOT)
    assert Path(attempt.env["WANDB_DIR"]).is_dir() and Path(attempt.env["SWEEPKIT_RUN_DIR"]).is_dir()
    said = yaml.safe_load(Path(attempt.env["WANDB_SWEEP_PARAM_PATH"]).read_text(encoding="utf-8"))
    assert said == {"wandb_version": 1, "lr": {"value": 1e-05}, "opt": {"value": {"name": "아담"}}}
    assert attempt.log == workplace.paths.log("abc-2")
    assert attempt.exit_file == workplace.paths.exit_file("abc-2")


def test_nothing_of_another_run_leaks_in(place):
    leftovers = {"SWEEPKIT_ATTEMPT_ID": "x-1", "SWEEPKIT_REPORT_FILE": "/x", "SWEEPKIT_ANYTHING": "x"}
    leftovers |= {BASE_CONFIG_ENV: "/x.yaml"} | dict.fromkeys(FOREIGN_VARIABLES, "x")
    kept = {"WANDB_API_KEY": "k", "WANDB_PROJECT": "mine", "HOME": "/h", "OMP_NUM_THREADS": "8", "SEED": "3"}
    env = prepare(place(leftovers | kept), ATTEMPT, SLOT).env
    assert "x" not in env.values() and "x-1" not in env.values() and "SWEEPKIT_ANYTHING" not in env
    assert BASE_CONFIG_ENV not in env and env["WANDB_SWEEP_ID"] == "s"
    assert kept.items() <= env.items()
    assert "MKL_NUM_THREADS" not in env  # MKL follows OMP's
    assert prepare(place(base_config="/b.yaml"), ATTEMPT, SLOT).env[BASE_CONFIG_ENV] == "/b.yaml"


def test_a_resumed_attempt_is_told_so_and_nobody_else_is(place):
    inherited = {"PATH": os.environ["PATH"], "WANDB_RESUMED": "true", "WANDB_PROJECT": "theirs"}
    env = prepare(place(inherited), ATTEMPT, SLOT).env
    assert "WANDB_RESUMED" not in env
    assert (env["WANDB_PROJECT"], env["WANDB_SWEEP_ID"]) == ("theirs", "s")
    assert prepare(place(inherited, project="ours"), ATTEMPT, SLOT, resumed=True).env["WANDB_RESUMED"] == "true"
    assert prepare(place(inherited, project="ours"), ATTEMPT, SLOT).env["WANDB_PROJECT"] == "ours"


def test_a_json_file_is_written_when_the_command_wants_one(place):
    file = prepare(place(), ATTEMPT, SLOT).env["SWEEPKIT_RUN_DIR"] + "/parameters.json"
    assert not os.path.exists(file)
    attempt = prepare(place(command=["${program}", "${args_json_file}"]), ATTEMPT, SLOT)
    assert attempt.argv == (attempt.cwd + "/p.py", file)
    assert json.loads(Path(file).read_text(encoding="utf-8")) == PARAMS


def test_variables_of_the_commands_are_those_of_the_run(place):
    workplace = place({"HOME": "/h"}, command=["${envvar:HOME}/${envvar:WANDB_RUN_ID}", "${envvar:OMP_NUM_THREADS}"])
    assert prepare(workplace, ATTEMPT, SLOT).argv == ("/h/abc", "3")


def test_a_program_is_looked_up_beside_the_yaml_in_the_working_directory_in_code(tmp_path):
    folders = [tmp_path / name for name in ("yaml", "cwd", "code")]
    beside, cwd, code = folders

    def found(program="sub/p.py", directory=None):
        config = {"method": "grid", "parameters": {"x": {"value": 1}}}
        spec = from_config({**config, **({"program": program} if program else {})}, directory=directory or str(beside))
        return resolve_program(spec, cwd=cwd, code_dir=code)

    assert found() is None
    for folder in reversed(folders):
        (folder / "sub" / "p.py").mkdir(parents=True)  # a folder of that name is no program
        assert found() != folder / "sub" / "p.py"
        (folder / "sub" / "p.py").rmdir()
        (folder / "sub" / "p.py").touch()
        assert found() == folder / "sub" / "p.py"
    assert found("../code/sub/p.py") == code / "sub" / "p.py"
    assert found(str(cwd / "sub" / "p.py")) == cwd / "sub" / "p.py"
    assert found(program=None) is None


def test_a_run_has_no_sweep_id_where_the_yaml_says_so(place):
    env = prepare(place(sweepkit={"wandb": {"sweep_id": False}}, project="p"), ATTEMPT, SLOT).env
    assert "WANDB_SWEEP_ID" not in env and env["WANDB_LAUNCH"] == "true"


def test_a_run_keeps_the_name_that_its_program_gave_it(place):
    run = replace(ATTEMPT.run, outcome={"name": "bert"})
    workplace = place(sweepkit={"wandb": {"name": "trial_{number}"}})
    assert prepare(workplace, replace(ATTEMPT, run=run), SLOT).env["WANDB_NAME"] == "bert"
    assert name_of_run(workplace, ATTEMPT.run) == "trial_0"


def test_a_run_has_the_name_in_wandb_that_the_yaml_asks_for(place):
    def wandb_of(**naming):
        env = prepare(place(sweepkit={"wandb": naming} if naming else {}), ATTEMPT, SLOT).env
        names = ("WANDB_RUN_GROUP", "WANDB_NAME", "WANDB_JOB_TYPE", "WANDB_TAGS", "WANDB_MODE", "SWEEPKIT_WANDB")
        return [env.get(name) for name in names]

    group = place().paths.root.name.removeprefix("sweep_")
    assert wandb_of() == [group, ATTEMPT.run.name, None, None, "offline", None]
    asked = wandb_of(
        group="optuna_search", name="trial_{number}", job_type="search", tags=["a", "한글"], mode="offline"
    )
    assert asked == ["optuna_search", "trial_0", "search", "a,한글", "offline", "offline"]
    asked = wandb_of(group="of {sweep}", name="{sweep}/{run_id}/{number:03d}", mode="disabled")
    assert asked == [f"of {group}", f"{group}/abc/000", None, None, "disabled", None]


@pytest.mark.parametrize(
    ("params", "proposal", "name", "seed"),
    [
        ({"seed": 7}, {}, "seed", "7"),
        ({"training": {"seed": 8.0}}, {}, "training.seed", "8"),
        ({"training.seed": 9}, {}, "training.seed", "9"),
        ({"seed": 7}, {}, "other", "3"),
        ({"seed": "x"}, {}, "seed", "3"),
        ({"seed": 7}, {}, None, "3"),
        ({"lr": 1}, {"run_seed": 5, "configuration": 0}, None, "5"),
        ({"lr": 1}, {"seed": 5, "sampler": "tpe"}, "seed", "3"),
    ],
)
def test_a_run_that_has_a_seed_gets_it_in_its_environment_too(place, params, proposal, name, seed):
    workplace = place(inherited={"SEED": "3"}, sweepkit={"seed_parameter": name})
    attempt = replace(ATTEMPT, run=replace(ATTEMPT.run, params=params, proposal=proposal))
    assert prepare(workplace, attempt, SLOT).env["SEED"] == seed
    assert seed_of_attempt(workplace, attempt) == int(seed)


def test_without_any_seed_none_is_made_up(place):
    assert "SEED" not in prepare(place(), ATTEMPT, SLOT).env and seed_of_attempt(place(), ATTEMPT) is None
    assert seed_of_attempt(place(inherited={"SEED": "seven"}), ATTEMPT) is None
