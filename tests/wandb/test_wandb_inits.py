"""Scripts that call `wandb.init` in the ways that users report: several times, in several processes, cleaned of
WANDB_*, with a folder of their own, or from their own sweep. In one sweep, where nobody may open a socket to anywhere.
"""

import json
import sys

import pytest
import warm
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.tracking.wandb_file import WandbTail

WORDS = words_of(__file__)
pytestmark = pytest.mark.slow
NO_NETWORK = PROGRAMS.parent / "no_network.py"
SCRIPT = r"""
import multiprocessing, os, subprocess, sys, wandb

def fold(number):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    with wandb.init(group="folds", name=f"fold-{number}", dir=".") as run:
        run.log({"loss": 100.0 + number})

def folds_elsewhere():
    with wandb.init() as run:
        for number in range(2):
            process = multiprocessing.get_context("spawn" if number else "fork").Process(target=fold, args=(number,))
            process.start()
            process.join()
            assert process.exitcode == 0
        run.log({"loss": 1.0})

def folds_here():
    for number in range(2):
        run = wandb.init(reinit=True, name=f"fold-{number}")
        for epoch in range(3):
            run.log({"loss": 3.0 + number + 0.1 * epoch})
        run.finish(exit_code=1 if number == 0 else 0)

def ranks():
    os.environ.update(RANK="0", WORLD_SIZE="2")
    first = subprocess.Popen([sys.executable, __file__, "--way=rank"])
    os.environ["RANK"] = "1"
    rank()
    assert first.wait() == 0

def rank():
    with wandb.init() as run:
        run.log({"loss": 10.0 + int(os.environ["RANK"])})

def folder():
    os.environ["WANDB_SILENT"] = "true"
    print("x" * 100_000, flush=True)
    sink = os.open("sink.txt", os.O_CREAT | os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    with wandb.init(dir="mine") as run:
        run.log({"loss": 2.0})

def named():
    run = wandb.init()
    path = os.path.join("ckpt", run.sweep_id, run.name)
    os.makedirs(path)
    run.log({"loss": float(len(os.listdir("ckpt")))})

def own_sweep():
    assert wandb.login(key="k" * 40)
    def train():
        with wandb.init(mode="online", project="mine", name="own") as run:
            run.log({"loss": 4.0 if run.config.way == "own_sweep" else -1.0})
    wandb.agent(wandb.sweep({"method": "random", "parameters": {"lr": {"min": 0, "max": 1}}}), train, count=9)

if __name__ == "__main__":
    os.makedirs("mine", exist_ok=True)
    globals()[sys.argv[1].partition("=")[2]]()
"""
SWEEP = """
program: p.py
method: grid
metric: {name: loss}
parameters: {way: {values: [folds_elsewhere, folds_here, ranks, folder, named, own_sweep]}}
"""


@pytest.fixture(scope="module", params=["warm", pytest.param("cold", marks=pytest.mark.heavy)])
def swept(request, tmp_path_factory):
    """Return the results by way, what the runner said, and where it ran."""
    folder = tmp_path_factory.mktemp(request.param)
    sweeper = Sweeper(folder)
    (folder / "p.py").write_text(SCRIPT, encoding="utf-8")
    sweeper.write(SWEEP)
    options = ["--json", *(["--cold"] if request.param == "cold" else [])]
    command = [sys.executable, str(NO_NETWORK), *sweeper.command(*options)]
    done = warm.run(command, timeout=600, cwd=folder, env=sweeper.env)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return {result["sweep_params"]["way"]: result for result in sweeper.results()}, events, folder


def test_the_value_of_each_is_that_of_the_run_that_counts(swept):
    found = {
        way: (result["state"], result["best_metrics"].get("loss"), result["last_metrics"].get("loss"))
        for way, result in swept[0].items()
    }
    assert found == {
        "folds_elsewhere": ("finished", 1.0, 1.0),  # the folds are runs of their own
        "folds_here": ("finished", 4.0, 4.2),  # each begins a new history: the better ones before are void
        "ranks": ("finished", 10.0, 10.0),
        "folder": ("finished", 2.0, 2.0),
        "named": ("finished", 1.0, 1.0),
        "own_sweep": ("finished", 4.0, 4.0),
    }
    assert swept[0]["folds_here"]["reports"] == 3


def test_the_file_that_a_result_names_holds_the_rows_that_count(swept, tmp_path):
    results, _, folder = swept
    last = {"folder": 2.0, "folds_elsewhere": 1.0, "folds_here": 4.2, "ranks": 10.0, "named": 1.0, "own_sweep": 4.0}
    for way, value in last.items():
        file = folder / "out" / "sweep_s" / results[way]["history_file"]
        notes = tmp_path / way
        notes.write_text(json.dumps({"pid": 1, "rank": 0, "time": 0.0, "file": str(file)}) + "\n")
        assert WandbTail(tmp_path, notes=notes).read()[-1].values["loss"] == value


def test_a_run_is_called_what_its_program_calls_it(swept):
    results, _, _ = swept
    assert (results["folds_here"]["name"], results["own_sweep"]["name"]) == ("fold-1", "own")
    assert results["named"]["name"].endswith(f"-{results['named']['number']}")


def test_that_processes_wrote_one_run_is_told_once(swept):
    notices = [event["text"] for event in swept[1] if event["event"] == "notice"]
    assert notices.count(WORDS["several-processes-wrote"]) == 1
