"""docs/deploy.md: its exit codes are ours, and its files are what systemd, Kubernetes, SLURM and Docker take."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import kubernetes_validate
import pytest
import warm
from sweeping import Sweeper
from waiting import wait_until
from warm_tool import warm_tool

from sweepkit.cli.commands import COMMANDS
from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR, ROOT_DIR
from sweepkit.runner import exit_codes
from sweepkit.store.open import open_store
from sweepkit.text.yaml import parse

TEXT = (ROOT_DIR / "docs" / "deploy.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```\w+ (\S+)\n(.*?)```", TEXT, re.DOTALL))
PREEMPTED = 75
PROGRAM = """\
import json, os, pathlib, time
pathlib.Path("began").touch()
while pathlib.Path("wait").exists(): time.sleep(0.05)
open(os.environ["SWEEPKIT_REPORT_FILE"], "a").write(json.dumps({"a": 1}) + "\\n")
"""
SWEEP = "program: train.py\nmethod: grid\nmetric: {name: a}\nparameters: {x: {value: 1}}\n"


def asked(words):
    """Return what a command line of ours asks for; it exits where one of the words is none."""
    command, *rest = words
    return COMMANDS[command].parser().parse_args(rest)


def test_the_table_has_every_exit_code():
    said = {row.split("|")[1].strip() for row in TEXT.splitlines() if re.match(r"\| \d+ \|", row)}
    ours = {0, 2, exit_codes.GIVEN_UP, exit_codes.NO_RESULT, exit_codes.INTERRUPTED}
    assert said == {str(code) for code in ours}


def test_there_is_a_file_for_each():
    assert set(FILES) == {"sweep.service", "job.yaml", "agents.yaml", "job.sh", "Dockerfile"}


def test_the_unit_is_one_and_starts_no_sweep_again_that_somebody_must_look_at(tmp_path):
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    unit.optionxform = str
    unit.read_string(FILES["sweep.service"])
    service = unit["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/sweepkit") and asked(words).preempted_exit_code == 0
    assert service["RestartPreventExitStatus"].split() == ["1", "2", str(exit_codes.NO_RESULT)]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: the unit is read, and not verified by systemd")
    file = tmp_path / "sweep.service"
    file.write_text(FILES["sweep.service"].replace(program, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_job_ends_by_the_codes_and_is_begun_again_by_the_one_of_preemption():
    job = parse(FILES["job.yaml"]).data
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][0] == "sweepkit" and pod["restartPolicy"] == "Never"  # as podFailurePolicy asks
    assert asked(container["command"][1:]).preempted_exit_code == PREEMPTED
    actions = {
        code: rule["action"]
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", [])
    }
    assert actions == {1: "FailJob", 2: "FailJob", exit_codes.NO_RESULT: "FailJob", PREEMPTED: "Ignore"}
    assert {item["name"] for item in pod["volumes"]} == {item["name"] for item in container["volumeMounts"]}


MANIFESTS = [FILES["job.yaml"], *FILES["agents.yaml"].split("---\n")]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda text: re.search(r"kind: (\w+)", text)[1])
def test_the_manifests_are_what_kubernetes_takes(manifest):
    kubernetes_validate.validate(parse(manifest).data, "1.30", strict=True)


def test_the_pods_of_a_cluster_find_their_database_and_its_password():
    service, database, job = (parse(text).data for text in FILES["agents.yaml"].split("---\n"))
    pod = database["spec"]["template"]
    labels, selected = pod["metadata"]["labels"], database["spec"]["selector"]["matchLabels"]
    assert labels == selected == service["spec"]["selector"]
    given = {item["name"]: item for item in pod["spec"]["containers"][0]["env"]}
    (agent,) = job["spec"]["template"]["spec"]["containers"]
    told = {item["name"]: item for item in agent["env"]}
    user, name = given["POSTGRES_USER"]["value"], given["POSTGRES_DB"]["value"]
    assert told["SWEEPKIT_STORAGE"]["value"] == f"postgresql://{user}@{service['metadata']['name']}/{name}"
    assert told["PGPASSWORD"]["valueFrom"] == given["POSTGRES_PASSWORD"]["valueFrom"]
    first = parse(FILES["job.yaml"]).data["spec"]
    assert job["spec"]["podFailurePolicy"]["rules"] == first["podFailurePolicy"]["rules"]
    assert (
        agent["command"] == first["template"]["spec"]["containers"][0]["command"] and "completions" not in job["spec"]
    )


@pytest.mark.slow
def test_two_pods_at_once_make_each_run_once(tmp_path, postgres):
    _, _, job = (parse(text).data for text in FILES["agents.yaml"].split("---\n"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    pod = Sweeper(tmp_path)
    pod.write(SWEEP.replace("value: 1", "values: [1, 2, 3, 4]"), "my.yaml")
    pod.write(PROGRAM, "train.py")
    places = {"SWEEPKIT_OUTPUT_DIR": str(tmp_path / "results"), "SWEEPKIT_STORAGE": postgres.new_database()}
    env = {**pod.env, **places, "PYTHONPATH": str(CODE_DIR)}
    command = [sys.executable, "-m", *container["command"]]
    pods = [warm.WarmPopen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in pods] == [0, 0]
    with open_store(places["SWEEPKIT_STORAGE"]) as store:
        runs = store.runs(store.sweep("my").sweep_id)
    assert sorted(run.params["x"] for run in runs) == [1, 2, 3, 4]
    assert {(run.state, run.attempts) for run in runs} == {(RunState.FINISHED, 1)}


def test_the_image_hands_signals_to_the_runner():
    lines = [line.partition(" ") for line in FILES["Dockerfile"].splitlines() if line and not line.startswith("#")]
    given = {word: rest for word, _, rest in lines}
    assert json.loads(given["ENTRYPOINT"]) == ["sweepkit"]
    assert asked(json.loads(given["CMD"])).preempted_exit_code == PREEMPTED


@pytest.fixture
def submitted(tmp_path):
    """A project with the SLURM script, and what the script finds on a node; `scontrol` notes what it was asked."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (bin_dir / "scontrol").chmod(0o755)
    project = Sweeper(tmp_path)
    project.write(FILES["job.sh"], "job.sh")
    project.write(SWEEP, "my.yaml")
    project.write(PROGRAM, "train.py")
    project.env |= {
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "PYTHONPATH": str(CODE_DIR),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "7",
        "SWEEPKIT_OUTPUT_DIR": str(tmp_path / "out"),
    }
    with warm_tool(bin_dir / "sweepkit"):
        yield project


@pytest.mark.slow
def test_the_batch_script_is_queued_again_when_it_is_preempted_and_goes_on(submitted):
    folder = submitted.folder
    (folder / "wait").touch()
    job = subprocess.Popen(["bash", "job.sh"], cwd=folder, env=submitted.env, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: (folder / "began").exists() or job.poll() is not None, "its run to begin")
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == PREEMPTED
    finally:
        job.kill()
    assert (folder / "asked").read_text() == "requeue 7\n"
    (folder / "wait").unlink()
    done = subprocess.run(["bash", "job.sh"], cwd=folder, env=submitted.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "asked").read_text() == "requeue 7\n"  # a sweep with a result is not
