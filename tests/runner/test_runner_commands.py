"""Commands as W&B's users write them: what is refused with the form that works, and what is told before a sweep."""

import json
import sys

import pytest

from sweepkit.agents.slots import make_slots
from sweepkit.errors import SpecError
from sweepkit.runner.dry_run import dry_run, dry_run_text
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan

MODULE = ["${env}", "${interpreter}", "-m", "${program}", "${args}"]
SLOTS = make_slots(1, gpus=(), gpus_per_run=None, cpus_per_run=None)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Plan a sweep in a project that has a script and a package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pkg" / "deep").mkdir(parents=True)
    for name in ("main.py", "pkg/__init__.py", "pkg/train.py", "pkg/deep/__main__.py", "run.sh"):
        (tmp_path / name).write_text("lr = 1\n")

    def plan(folder=".", **config):
        config = {"method": "random", "parameters": {"lr": {"values": [0.1, 0.2]}}, **config}
        (tmp_path / folder / "s.yaml").write_text(json.dumps(config), encoding="utf-8")
        return make_plan(RunOptions(output_dir=tmp_path / "out"), f"{folder}/s.yaml")

    plan.folder = tmp_path
    return plan


def problem_of(project, **config):
    with pytest.raises(SpecError) as error:
        project(**config)
    assert len(error.value.problems) == 1
    return error.value.problems[0]


@pytest.mark.parametrize(
    "command",
    [
        ["${args_no_boolean_flags}"],
        ["${args}"],
        ["${env}"],
        ["${env}", "${args_no_hyphens}"],
        ["${env}", "WANDB_MODE=offline"],
        ["${interpreter}"],
        ["python"],
        ["/usr/bin/python3", "-u"],
        ["${env}", "${interpreter}", "${args}"],
        ["${interpreter}", "-m"],
        ["${interpreter}", "-u", "${args_json}"],
        ["--lr=${lr}"],
    ],
)
def test_a_command_that_starts_no_program_is_refused_with_one_that_does(project, command):
    problem = problem_of(project, program="main.py", command=command)
    assert problem.key.startswith("command[") and '"${program}"' in problem.hint


@pytest.mark.parametrize(
    "command",
    [
        ["bash", "run.sh", "${args}"],
        ["${program}", "${args}"],
        ["${interpreter}", "-c", "pass"],
        ["${interpreter}", "-W", "ignore", "${program}"],
        ["env", "-u", "HOME", "${interpreter}", "${program}"],
        ["${lr}"],
        ["torchrun", "${program}", "${args}"],
        ["${interpreter}", "-um", "pkg.train"],
    ],
)
def test_a_command_that_may_start_one_is_left_alone(project, command):
    project(program="main.py", command=command)


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        ("torchrun --nproc_per_node=4 main.py", 'command: [torchrun, --nproc_per_node=4, main.py, "${args}"]'),
        ("python main.py", 'command: [python, main.py, "${args}"]'),
        ("main.py --epochs 3", 'command: ["${interpreter}", main.py, --epochs, 3, "${args}"]'),
        ("accelerate launch main.py", 'command: [accelerate, launch, main.py, "${args}"]'),
        ("pkg.train", 'command: ["${env}", "${interpreter}", -m, "${program}", "${args}"]'),
        ("man.py", "'main.py'"),
    ],
)
def test_a_program_that_is_no_file_points_to_the_form_that_works(project, program, hint):
    problem = problem_of(project, program=program)
    assert problem.key == "program" and hint in problem.hint


@pytest.mark.parametrize("macro", ["args_no_hyphens", "args", "args_json", "env", "interpreter"])
def test_a_macro_as_a_key_points_to_the_command(project, macro):
    problem = problem_of(project, program="main.py", **{macro: True})
    assert problem.key == macro and f'"${{{macro}}}"' in problem.hint


@pytest.mark.parametrize("program", ["pkg.train", "pkg.deep", "json.tool"])
def test_a_module_is_a_program_for_minus_m(project, program):
    plan = project(program=program, command=MODULE)
    report = dry_run(plan, slots=SLOTS)
    assert report.commands[0][:4] == ("/usr/bin/env", sys.executable, "-m", program)
    assert (report.fresh, report.warnings) == ("", ())


def test_the_source_of_a_module_is_what_it_runs(project):
    assert [file.rpartition("/")[2] for file in project(program="pkg.deep", command=MODULE).source().trees] == [
        "__main__.py"
    ]
    assert "lr" in project(program="pkg.train", command=MODULE).source().text


@pytest.mark.parametrize(
    ("program", "hint"),
    [("pkg/train.py", "pkg.train"), ("pkg.trian", "none of that name"), ("main.py", "main"), ("a-b", "-m")],
)
def test_what_is_no_module_is_refused(project, program, hint):
    problem = problem_of(project, program=program, command=MODULE)
    assert problem.key == "program" and hint in problem.hint


def test_a_module_beside_the_yaml_alone_is_run_from_there(project):
    (project.folder / "sub" / "own").mkdir(parents=True)
    (project.folder / "sub" / "own" / "train.py").touch()
    problem = problem_of(project, folder="sub", program="own.train", command=MODULE)
    assert str(project.folder / "sub") in problem.hint


def test_the_dry_run_tells_why_runs_are_fresh_processes(project):
    command = ["bash", "run.sh", "${args}"]
    report = dry_run(project(command=command), slots=SLOTS)
    assert "bash" in report.fresh and report.plain()["fresh"] == report.fresh
    assert report.fresh in dry_run_text(report)
    warm = dry_run(project(program="main.py"), slots=SLOTS)
    assert warm.fresh == "" and "fresh" not in warm.plain()


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["a-program-of-nobody", "${args}"], "a-program-of-nobody"),
        (["./main.py", "${args}"], "chmod"),
        (["main.py", "${args}"], "PATH"),
        (["${interpreter}", "mian.py"], "mian.py"),
    ],
)
def test_the_dry_run_warns_of_what_this_host_cannot_start(project, command, word):
    report = dry_run(project(command=command), slots=SLOTS)
    assert len(report.warnings) == 1 and word in report.warnings[0]
