"""`sweepkit init`, `doctor`, `schema` and `completion`, as a user calls them."""

import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from sweeping import Sweeper, in_this_process

from sweepkit.cli import app
from sweepkit.cli.commands import COMMANDS
from sweepkit.housekeeping import doctor
from sweepkit.housekeeping.draft import draft
from sweepkit.housekeeping.find import SweepPlace
from sweepkit.model.records import Report
from sweepkit.model.runs import RunState
from sweepkit.paths import ROOT_DIR
from sweepkit.store.open import open_store
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text.yaml import parse

PROGRAM = """\
import argparse, json, os
p = argparse.ArgumentParser()
p.add_argument("--learning-rate", type=float, default=3e-4)
p.add_argument("--batch_size", "-b", type=int, default=16)
p.add_argument("--dropout", type=float, default=0.1)
p.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
p.add_argument("--epochs", type=int, default=5)
p.add_argument("--seed", type=int, default=0)
p.add_argument("--output-dir", default="out")
p.add_argument("--fast", action="store_true")
a = p.parse_args()
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"train/loss": 1.0, "val/loss": a.learning_rate}) + "\\n")
"""


def ask(folder, *words, rc=0):
    done = in_this_process(app.main, words, folder)
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stdout if rc == 0 else done.stdout + done.stderr


def test_init_proposes_what_the_program_names(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    assert "sweep.yaml" in ask(tmp_path, "init", "train.py")
    text = (tmp_path / "sweep.yaml").read_text()
    spec = read_sweep_text(text)
    assert (spec.program, spec.metric.name, spec.metric.goal) == ("train.py", "val/loss", "minimize")
    drawn = {item.name: item.distribution for item in spec.space.parameters}
    assert set(drawn) == {"learning-rate", "batch_size", "dropout", "optimizer", "epochs"}
    assert drawn["learning-rate"].kind == "log_uniform_values" and drawn["learning-rate"].contains(3e-4)
    assert drawn["batch_size"].values == (8, 16, 32) and drawn["optimizer"].values == ("adam", "sgd")
    assert drawn["epochs"].values == (5,)


def test_what_init_writes_runs_as_it_is(tmp_path):
    sweeper = Sweeper(tmp_path)
    sweeper.write(PROGRAM, "train.py")
    ask(tmp_path, "init", "train.py", "--file", "s.yaml", "--name", "처음")
    done = sweeper.summary("--count", "1")
    assert done["sweep"] == "처음" and done["counts"] == {"finished": 1}


@pytest.mark.parametrize("source", ["", "def broken(:\n", "print('nothing to see')\n", "x = '\\0'\n"])
def test_a_program_that_tells_nothing_gives_a_yaml_to_fill_in(source):
    spec = read_sweep_text(draft("a b.py", source))
    assert spec.program == "a b.py" and spec.space.parameters


def test_options_without_a_default_get_a_range_to_look_at():
    source = 'add_argument("--lr", type=float)\nadd_argument("--k", type=int)\nadd_argument("--tag")\n'
    spec = read_sweep_text(draft("p.py", source))
    drawn = {item.name: item.distribution.kind for item in spec.space.parameters}
    assert drawn == {"lr": "log_uniform_values", "k": "int_uniform"}


def test_the_examples_of_the_repository_give_valid_sweeps():
    for program in sorted((ROOT_DIR / "examples").rglob("*.py")):
        read_sweep_text(draft(program.name, program.read_text(encoding="utf-8")))


@pytest.mark.parametrize("words", [("nothing.py",), ("--from", "nothing"), ("p.py", "--from", "s")])
def test_init_refuses_what_is_not_there(words, tmp_path):
    (tmp_path / "p.py").write_text("")
    try:
        done = in_this_process(app.main, ["init", *words, "--output-dir", "out"], tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr
    finally:
        assert [path.name for path in tmp_path.iterdir()] == ["p.py"]


def test_init_overwrites_nothing(tmp_path):
    (tmp_path / "sweep.yaml").write_text("mine")
    assert "--file" in ask(tmp_path, "init", rc=2) and (tmp_path / "sweep.yaml").read_text() == "mine"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A grid and a search that have run."""
    sweeper = Sweeper(tmp_path_factory.mktemp("old"))
    sweeper.write(
        "import json, os, sys\n"
        "given = dict(word[2:].split('=') for word in sys.argv[1:])\n"
        "loss = abs(float(given['lr']) - 0.01) + (given['kind'] == 'b')\n"
        "open(os.environ['SWEEPKIT_REPORT_FILE'], 'a').write(json.dumps({'loss': loss}) + '\\n')\n",
        "p.py",
    )
    space = "program: p.py\nmetric: {name: loss}\nparameters:\n  kind: {values: [a, b]}\n"
    sweeper.write(f"{space}  lr: {{values: [0.0001, 0.001, 0.01, 0.1]}}\nmethod: grid\n", "grid.yaml")
    sweeper.write(
        f"{space}  lr: {{min: 0.0, max: 1.0}}\nmethod: bayes\nrun_cap: 6\nsweepkit: {{seed: 1, sampler: random}}\n",
        "bayes.yaml",
    )
    for name in ("grid.yaml", "bayes.yaml"):
        done = sweeper.ran(sweep=name)
        assert done.returncode == 0, done.stderr
    return sweeper.folder


@pytest.fixture
def old(made, tmp_path):
    shutil.copytree(made, tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.slow
def test_a_sweep_around_the_best_of_a_search(old):
    ask(old, "init", "--from", "bayes", "--output-dir", "out")
    before, after = (read_sweep_text((old / name).read_text()) for name in ("bayes.yaml", "bayes-next.yaml"))
    assert (after.name, after.method, after.run_cap, after.metric) == ("bayes-next", "bayes", 6, before.metric)
    assert after.extensions.prior_runs == ("bayes",) and after.extensions.seed is None
    was, now = (spec.space.parameters[-1].distribution for spec in (before, after))
    assert was.min <= now.min < now.max <= was.max and now.max - now.min < was.max - was.min
    assert Sweeper(old).summary("--count", "1", sweep="bayes-next.yaml")["counts"] == {"finished": 1}


def finish(store, sweep, number, params, *, loss):
    """Record a run that finished with one report."""
    attempt = store.add_and_claim(sweep.sweep_id, number, params, agent_id="a", host="h", lease_s=60)
    said = Report(seq=1, values={"loss": loss}, step=1, time=1e9)
    store.report(attempt, [said], metric="loss", goal="minimize")
    store.finish(attempt, RunState.FINISHED, reason="exit code 0")


CONDITIONS = """\
method: {method}
metric: {{name: loss}}
parameters:
  kind: {{values: [a, b]}}
  a1: {{values: [1, 2, 3, 4]}}
  b1: {{values: [1, 2, 3, 4]}}
  b2: {{values: [1, 2]}}
sweepkit:
  conditions:
    a1: {{when: {{kind: a}}}}
    b1: {{when: {{kind: b}}}}
    b2: {{when: {{kind: b, b1: {{max: 2}}}}}}
"""


@pytest.mark.parametrize("method", ["grid", "bayes"])
def test_a_sweep_around_the_best_of_one_with_conditions_keeps_those_that_still_ask(method, tmp_path):
    text = CONDITIONS.format(method=method)
    with open_store(tmp_path / "sweepkit.db") as store:
        sweep, _ = store.create_sweep("s", text=text, seed=0, metric="loss", goal="minimize")
        for number, params in enumerate(({"kind": "b", "b1": 3}, {"kind": "b", "b1": 2, "b2": 1})):
            finish(store, sweep, number, params, loss=number)
    ask(tmp_path, "init", "--from", "s", "--output-dir", ".")
    spec = read_sweep_text((tmp_path / "s-next.yaml").read_text())
    drawn = {item.name: item.distribution for item in spec.space.parameters}
    if method == "grid":  # between the neighbours of the best; a choice without an order stays
        assert set(drawn) == {"kind", "a1", "b1", "b2"} and (drawn["b1"].min, drawn["b1"].max) == (2, 4)
        assert len(spec.space.conditions) == 3
    else:
        assert set(drawn) == {"kind", "b1", "b2"}
        assert (drawn["kind"].values, drawn["b1"].values) == (("b",), (2, 3))
        (left,) = spec.space.conditions
        assert (left.path, [clause.path for clause in left.clauses]) == (("b2",), [("b1",)])


def test_a_sweep_around_the_best_of_one_with_a_space_function_says_what_stays(tmp_path):
    text = "method: random\nmetric: {name: loss}\nsweepkit: {search_space: 'space:draw'}\n"
    with open_store(tmp_path / "sweepkit.db") as store:
        sweep, _ = store.create_sweep("s", text=text, seed=0, metric="loss", goal="minimize")
        finish(store, sweep, 0, {"x": 1}, loss=1)
    ask(tmp_path, "init", "--from", "s", "--output-dir", ".")
    assert "space:draw" in (tmp_path / "s-next.yaml").read_text().split("name:")[0]


def test_a_sweep_around_the_best_of_a_grid_lies_between_its_neighbours(old):
    ask(old, "init", "--from", "grid", "--name", "finer", "--file", "sub.yaml", "--output-dir", "out")
    spec = read_sweep_text((old / "sub.yaml").read_text())
    lr = next(item.distribution for item in spec.space.parameters if item.name == "lr")
    assert (spec.name, spec.method, lr.kind, lr.min, lr.max) == ("finer", "bayes", "log_uniform_values", 0.001, 0.1)


def test_the_new_sweep_finds_the_old_ones_program_from_its_own_folder(old, made):
    (old / "new").mkdir()
    ask(old / "new", "init", "--from", "bayes", "--output-dir", "../out")
    text = (old / "new" / "bayes-next.yaml").read_text()
    assert (old / "new" / read_sweep_text(text).program).resolve() == (made / "p.py").resolve()


# -- doctor -----------------------------------------------------------------------------------------------------------
def examined(folder, *words, rc=0):
    done = in_this_process(app.main, ["doctor", "--json", *words], folder)
    assert done.returncode == rc, done.stdout + done.stderr
    return {item["part"]: item for item in map(json.loads, done.stdout.splitlines())}


def test_doctor_says_what_holds_and_from_where_and_leaves_nothing(tmp_path, monkeypatch):
    found = examined(tmp_path, "--output-dir", "out")
    assert {item["health"] for item in found.values()} <= {"ok", "note"}
    assert "--output-dir" in found["output folder"]["text"] and str(tmp_path / "out") in found["output folder"]["text"]
    assert "forked" in found["starts"]["text"] and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor, "_forks", lambda: doctor._good("starts", ""))
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("SWEEPKIT_STORAGE", str(tmp_path / "r.db"))
    found = examined(tmp_path)
    assert "SWEEPKIT_OUTPUT_DIR" in found["output folder"]["text"] and "mine" in found["output folder"]["text"]
    assert "SWEEPKIT_STORAGE" in found["database"]["text"] and "r.db" in found["database"]["text"]


def test_doctor_opens_the_database_that_is_there(tmp_path):
    (tmp_path / "out").mkdir()
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        store.create_sweep("s", text="method: random", seed=1, metric=None, goal=None)
    finding = doctor._database(SweepPlace(output_dir=tmp_path / "out"), {})
    assert finding.health == "ok" and "1 sweep" in finding.text
    (tmp_path / "out" / "sweepkit.db").write_bytes(b"no database at all" * 100)
    assert doctor._database(SweepPlace(output_dir=tmp_path / "out"), {}).health == "wrong"


def test_doctor_ends_with_1_where_something_is_in_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_forks", lambda: doctor._good("starts", ""))
    file = tmp_path / "broken.db"
    file.write_bytes(b"x" * 1000)
    found = examined(tmp_path, "--storage", str(file), rc=1)
    assert found["database"]["health"] == "wrong" and found["database"]["remedy"]


def test_doctor_tells_a_folder_that_takes_no_files():
    finding = doctor._output(SweepPlace(output_dir=Path("/proc/none")), {}, True)  # root may write anywhere else
    assert finding.health == "wrong" and "--output-dir" in finding.remedy


def test_doctor_tells_little_room_and_few_files(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    for free, health in ((10, "wrong"), (5_000_000_000, "note"), (10**12, "ok")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert doctor._disk(tmp_path).health == health
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (256, 256))
    assert doctor._limits().health == "note" and "ulimit" in doctor._limits().remedy


def test_doctor_tells_hidden_gpus():
    finding = doctor._gpus({"CUDA_VISIBLE_DEVICES": ""})
    assert finding.health == "note" and "CUDA_VISIBLE_DEVICES" in finding.text


# -- schema and completion --------------------------------------------------------------------------------------------
def test_schema_is_json_that_marks_a_mistake(tmp_path):
    schema = json.loads(ask(tmp_path, "schema"))
    text = "method: random\nparameters: {x: {min: 0.0, maxx: 1.0}}\n"
    assert list(jsonschema.Draft7Validator(schema).iter_errors(parse(text).data))


def test_completion_of_bash_completes_commands_options_and_choices(tmp_path):
    script = tmp_path / "complete.sh"
    script.write_text(ask(tmp_path, "completion", "bash"), encoding="utf-8")

    def completed(line):
        words = line.split(" ")
        array = " ".join(f"'{word}'" for word in words)
        probe = (
            f"source {script}; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; "
            f"COMP_POINT=${{#COMP_LINE}}; _shtab_sweepkit sweepkit '{words[-1]}' '{words[-2]}'; "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, timeout=60)
        return set(done.stdout.split())

    assert completed("sweepkit pa") == {"parallel", "pause"}
    assert "--keep-best" in completed("sweepkit clean --k")
    assert completed("sweepkit run --sampler cm") == {"cmaes"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_completion_of_the_other_shells_names_every_command(shell, tmp_path):
    text = ask(tmp_path, "completion", shell)
    assert [name for name in COMMANDS if name not in text] == []
