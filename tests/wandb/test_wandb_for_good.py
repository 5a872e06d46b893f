"""One operation of W&B's protocol fails for good: the sending ends within its patience, and tells what is not there."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import warm
from sweeping import Sweeper
from test_wandb_online import EAGER, SWEEP
from wandb_backend import ENTITY, PROJECT, WandbBackend
from wandb_faults import Fault

PROGRAM = """
import pathlib, sys, wandb
run = wandb.init()
for i in range(3):
    run.log({"loss": 1 / (i + 1)})
file = pathlib.Path(run.dir, "kept.txt")
file.write_text("kept")
run.save(str(file), base_path=run.dir, policy="end")
model = wandb.Artifact("model", type="model")
model.add_file(str(file))
run.log_artifact(model)
"""
FAULTS = {
    "500": {"status": 500},
    "429": {"status": 429},
    "403": {"status": 403},
    "reset": {"drop": "before"},
    "not JSON": {"status": 200, "body": b"<html>a proxy's own page</html>"},
    "another shape": {"status": 200, "body": b'{"data": [3]}'},
    "null": {"status": 200, "body": b'{"data": null}'},
    "empty": {"status": 200, "body": b""},
    "truncated": {"status": 200, "body": b'{"data": {"up'},
    "refused in a 200": {"status": 200, "body": b'{"errors": [{"message": "it is refused"}]}'},
}
OPERATIONS = [
    "Viewer",
    "RunResumeStatus",
    "UpsertBucket",
    "file_stream",
    "CreateRunFiles",
    "/upload/",
    "CreateArtifact",
]
PATIENCE_S = 6
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A sweep of one run that logged rows, a file and an artifact, offline."""
    sweeper = Sweeper(tmp_path_factory.mktemp("recorded"))
    sweeper.write(SWEEP % 1)
    sweeper.write(PROGRAM, "p.py")
    sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "1"))
    return sweeper.folder / "out"


class Uploaded:
    """One sending of that sweep to a server; `end` is what it told last."""

    def __init__(self, out, backend, home):
        home.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        process = warm.WarmPopen(
            [sys.executable, "-m", "sweepkit.wandb.upload_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**inherited, **backend.environment(home), **EAGER, "PYTHONWARNINGS": "default"},
            encoding="utf-8",
        )
        sweeps = [{"name": "스윕", "entity": ENTITY, "project": PROJECT}]
        job = {"storage": str(out / "sweepkit.db"), "output_dir": str(out), "sweeps": sweeps, "live": False}
        process.stdin.write(f"{json.dumps(job)}\n{json.dumps({'finish': PATIENCE_S})}\n")
        process.stdin.flush()
        limit = threading.Timer(300, process.kill)  # a loaded machine; without a patience it would be hours
        limit.start()
        self.events = [json.loads(line) for line in process.stdout]
        limit.cancel()
        process.communicate()
        self.end = self.events[-1]
        assert self.end["event"] == "end", f"it did not end by itself: {self.events}"

    @property
    def unsent(self):
        return len(self.end["sweeps"]["스윕"]["unsent"])


def whole(backend):
    """Return whether the server has all of the run."""
    (run,) = backend.runs.values()
    losses = [row["loss"] for row in run.history]
    return (losses, run.state, run.config, run.content.get("kept.txt"), run.artifacts, run.conflicts) == (
        [1, 1 / 2, 1 / 3],
        "finished",
        {"x": 1, "opt": {"lr": 1e-5}},
        b"kept",
        {"model"},
        [],
    )


def tried(recorded, folder, operation, fault):
    """Send while an operation fails, then again when it does not."""
    folder.mkdir()
    out = shutil.copytree(recorded, folder / "out")
    with WandbBackend() as backend:
        backend.faults.add(Fault(path=operation, **FAULTS[fault]))
        first = Uploaded(out, backend, folder / "home")
        here = bool(backend.runs) and whole(backend)
        backend.faults.clear()
        second = Uploaded(out, backend, folder / "home")
        then = whole(backend), second.unsent, second.end["reason"]
    return first.unsent, here, first.end["reason"], then


def test_an_artifact_that_is_refused_inside_of_an_answer_200_is_told_as_not_sent_and_tried_again(recorded, tmp_path):
    out = shutil.copytree(recorded, tmp_path / "out")
    with WandbBackend() as backend:
        backend.faults.add(Fault(path="CreateArtifact", **FAULTS["refused in a 200"]))
        first = Uploaded(out, backend, tmp_path / "home")
        assert first.unsent == 1 and first.end["reason"] and not whole(backend)
        backend.faults.clear()
        second = Uploaded(out, backend, tmp_path / "home")
        assert (second.unsent, second.end["reason"], whole(backend)) == (0, "", True)
        (run,) = backend.runs.values()
        assert run.program == str(recorded.parent / "p.py")  # at W&B, too, it is the user's


# A storage's answer to an upload is its status alone.
READ = [word for word, fault in FAULTS.items() if fault.get("status") == 200]


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_operation_that_fails_for_good_ends_the_sending_and_is_told(recorded, tmp_path, fault):
    operations = [name for name in OPERATIONS if not (name == "/upload/" and fault in READ)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda name: tried(recorded, tmp_path / name.strip("/"), name, fault), operations))
    for operation, (unsent, here, reason, _) in zip(operations, found, strict=True):
        print(f"| {operation} | {fault} | {'all' if here else 'not all'} | {unsent} | {reason} |")
    for operation, (unsent, here, reason, then) in zip(operations, found, strict=True):
        assert here != bool(unsent) == bool(reason), operation
        assert then == (True, 0, ""), operation
