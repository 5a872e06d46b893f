"""A function as a program: what it is handed, what it returns, what tells two of them apart."""

import functools
import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest
import warm
from waiting import killed_after

import sweepkit
from sweepkit.errors import SweepKitError
from sweepkit.functions.arguments import Handing, call_with, handing_of
from sweepkit.functions.calling import conclude
from sweepkit.functions.content import content_digest
from sweepkit.functions.packing import pack
from sweepkit.paths import CODE_DIR
from sweepkit.tracking import inside

ENV = {**os.environ, "PYTHONWARNINGS": "default"}  # of a script that is forked warm


def none():
    return "none"


def config(config):
    return config


def names(lr, epochs=3):
    return lr, epochs


def anything(**given):
    return given


def wandb_style(config=None):
    return config


def both(config, **more):
    return config


@pytest.mark.parametrize(
    "function, parameters, handing, got",
    [
        (none, {"lr"}, Handing.NOTHING, "none"),
        (config, {"lr"}, Handing.CONFIG, {"lr": 1, "b": 2}),
        (names, {"lr", "b"}, Handing.NAMES, (1, 3)),
        (anything, {"lr"}, Handing.NAMES, {"lr": 1, "b": 2}),
        (wandb_style, {"lr"}, Handing.NOTHING, None),
        (both, {"lr"}, Handing.CONFIG, {"lr": 1, "b": 2}),
        (lambda lr: lr, {"lr"}, Handing.NAMES, 1),
        (functools.partial(names, 5), {"epochs"}, Handing.NAMES, None),
        (dict, {"lr"}, Handing.CONFIG, {"lr": 1, "b": 2}),
        (config, None, Handing.CONFIG, {"lr": 1, "b": 2}),
    ],
)
def test_what_a_function_is_handed(function, parameters, handing, got):
    assert handing_of(function, parameters) is handing
    if got is not None or function is wandb_style:
        assert call_with(function, handing, {"lr": 1, "b": 2}) == got


def test_an_argument_that_the_sweep_has_not():
    with pytest.raises(SweepKitError, match="rate"):
        handing_of(lambda rate, size: 0, {"lr"})


@pytest.fixture
def reports(tmp_path, monkeypatch):
    file = tmp_path / "reports.jsonl"
    monkeypatch.setenv("SWEEPKIT_REPORT_FILE", str(file))
    monkeypatch.setattr(inside, "_state", {"reported": False, "listens": False, "asked": False})
    monkeypatch.setattr(inside, "_writers", {})

    def read():
        rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [{key: value for key, value in row.items() if key != "_time"} for row in rows]

    yield read
    for writer in inside._writers.values():
        writer.close()


@pytest.mark.parametrize(
    "returned, metrics, written",
    [
        (0.5, ["loss"], [{"loss": 0.5}]),
        (0.5, [], [{"value": 0.5}]),
        ({"loss": 1, "acc": 0.5}, ["loss"], [{"loss": 1.0, "acc": 0.5}]),
        ((1, 2), ["a", "b"], [{"a": 1.0, "b": 2.0}]),
        (None, ["loss"], []),
        ({"loss": 1, "file": "x"}, ["loss"], [{"_sweepkit_facts": {"returned": {"file": "x"}}}, {"loss": 1.0}]),
    ],
)
def test_what_is_returned_is_reported(reports, returned, metrics, written):
    conclude(returned, metrics)
    assert reports() == written


def test_what_is_returned_beside_reports_of_its_own(reports):
    sweepkit.report({"loss": 3.0}, step=1)
    conclude(0.5, ["loss"])
    assert reports() == [{"loss": 3.0, "_step": 1}]


def test_what_is_returned_beside_a_run_of_wandb_is_its_summary(reports, tmp_path, monkeypatch):
    notes = tmp_path / "notes"
    notes.write_text('{"file": null}\n{"file": "run.wandb"}\n')
    monkeypatch.setenv("SWEEPKIT_WANDB_NOTES", str(notes))
    conclude(0.5, ["loss"])
    assert reports() == [{"_sweepkit_summary": {"loss": 0.5}}]


def variant(text):
    around = {"__name__": "somewhere"}
    exec(textwrap.dedent(text), around)
    return around["f"]


BASE = "K = 2\ndef g(x): return x + K\ndef f(x): return g(x)\n"


def test_content_is_what_a_function_does():
    digest = content_digest(variant(BASE))
    assert len(digest) == 12 and digest == content_digest(variant(BASE))
    changed = (
        BASE.replace("K = 2", "K = 3"),
        BASE.replace("x + K", "x - K"),
        BASE.replace("return g(x)", "return g(x) + 1"),
        BASE.replace("f(x)", "f(x=1)"),
        "class C:\n    def go(self): return 1\ndef f(x): return C().go()",
        "class C:\n    def go(self): return 2\ndef f(x): return C().go()",
        "T = {'a': [1, 2]}\ndef f(x): return T",
        "T = {'a': [1, 3]}\ndef f(x): return T",
    )
    assert len({digest, *(content_digest(variant(text)) for text in changed)}) == len(changed) + 1


def test_content_is_the_same_in_every_process():
    code = (
        "from sweepkit.functions.content import content_digest\nimport numpy\n"
        "S, A, O = {'a', 'b', 'c'}, numpy.arange(3), object()\n"
        "def inner(): return S, A, O\ndef f(x): return inner()\nprint(content_digest(f))"
    )
    env = {**os.environ, "PYTHONPATH": str(CODE_DIR)}
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**env, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_what_cannot_be_handed_over(tmp_path):
    lock = threading.Lock()

    def train(x):
        return lock

    with pytest.raises(SweepKitError, match="train"):
        pack(train, {}, sweep="s", output_dir=tmp_path)


def test_the_script_names_what_is_to_be_imported(tmp_path):
    def train(x):
        import json.decoder

        return pickle, json.decoder, np_like()

    def np_like():
        from xml import dom

        return dom

    text = pack(train, {}, sweep="s", output_dir=tmp_path).program.read_text()
    assert {"import json.decoder", "import pickle", "import xml"} <= {line.strip() for line in text.splitlines()}


SCRIPT = """
import sweepkit

SCALE = 10
print("script runs")

class Model:
    def score(self, x):
        return SCALE * x

def train(x):
    if x > 2:
        raise RuntimeError("too much")
    return Model().score(x)

sweep = sweepkit.sweep(
    {"method": "grid", "metric": {"name": "v", "goal": "maximize"}, "parameters": {"x": {"values": [1, 2, 3]}}},
    function=train, output_dir="out",
)
sweep.run(workers=2)
print(sorted(sweep.runs()["value"].dropna()), list(sweep.runs()["state"]), sweep.best.params)
"""


@pytest.mark.slow
def test_a_plain_script_without_a_guard_runs_itself_once(tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT)
    ran = warm.run([sys.executable, "mine.py"], cwd=tmp_path, env=ENV, timeout=100)
    lines = ran.stdout.splitlines()
    assert lines.count("script runs") == 1, ran.stderr
    assert lines[-1] == "[10.0, 20.0] ['finished', 'finished', 'failed'] {'x': 2}"
    log = next(
        path for path in (tmp_path / "out" / "sweep_train" / "logs").glob("*.log") if "too much" in path.read_text()
    )
    assert "mine.py" in log.read_text() and "train" in log.read_text()


@pytest.mark.slow
def test_should_stop_lets_a_run_end_itself(tmp_path):
    def train(x):
        import time

        import sweepkit

        for step in range(2000):
            sweepkit.report({"loss": x + step}, step=step)
            if sweepkit.should_stop():
                sweepkit.report({"left": step}, step=step)
                return
            time.sleep(0.005)

    config = {
        "method": "grid",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"values": [0.0, 5.0]}},
        "sweepkit": {"early_terminate": {"type": "threshold", "upper": 8.0}, "kill_delay_s": 60},
    }
    sweep = sweepkit.sweep(config, function=train, output_dir=tmp_path).run()
    assert list(sweep.runs()["state"]) == ["stopped", "stopped"]
    assert (sweep.runs()["last.left"] >= 0).all()


@pytest.mark.slow
def test_functions_of_modules_beside_the_script_and_a_sweep_that_runs_as_its_module_is_imported(tmp_path):
    folder = tmp_path / "beside"
    folder.mkdir()
    config = '{"method": "grid", "metric": {"name": "v", "goal": "maximize"}, "parameters": {"x": {"values": [1, 2]}}}'
    sweep = f"sweepkit.sweep({config}, function=train, name=__name__.strip('_'), output_dir='out').run()\n"
    (folder / "lib.py").write_text("def train(x):\n    return 3 * x\n")
    (folder / "at_import.py").write_text("import sweepkit\nK = 5\ndef train(x):\n    return K * x\nsweep = " + sweep)
    script = "import at_import, sweepkit\nfrom lib import train\nmine = " + sweep
    (folder / "main.py").write_text(script + "print([list(s.runs()['value']) for s in (at_import.sweep, mine)])\n")
    ran = warm.run([sys.executable, "beside/main.py"], cwd=tmp_path, env=ENV, timeout=100)
    assert ran.stdout.splitlines()[-1:] == ["[[5.0, 10.0], [3.0, 6.0]]"], ran.stderr


@pytest.mark.slow
def test_a_call_that_fails_is_tried_again_with_its_record(tmp_path):
    def train(x):
        import os
        import pathlib

        mark = pathlib.Path(os.environ["SWEEPKIT_RUN_DIR"]) / "seen"
        if x == 2 and not mark.exists():
            mark.touch()
            raise RuntimeError("once")
        return x

    config = {
        "method": "grid",
        "metric": {"name": "v", "goal": "maximize"},
        "parameters": {"x": {"values": [1, 2]}},
        "sweepkit": {"retries": 1},
    }
    sweep = sweepkit.sweep(config, function=train, output_dir=tmp_path).run()
    assert list(sweep.runs()["attempts"]) == [1, 2] and sweep.best.value == 2


KILLED = """
import os, sys, time
import sweepkit

sys.stdout.reconfigure(line_buffering=True)

def train(x):
    if x == 3 and os.environ.get("WAIT"):
        time.sleep(100)
    return x

sweepkit.sweep(
    {"method": "grid", "metric": {"name": "v", "goal": "maximize"}, "parameters": {"x": {"values": [1, 2, 3, 4]}}},
    function=train, output_dir="out",
).run()
"""


@pytest.mark.slow
def test_a_killed_script_goes_on(tmp_path):
    (tmp_path / "mine.py").write_text(KILLED)
    command = [sys.executable, "mine.py"]
    killed_after("run   1", command, start=warm.WarmPopen, cwd=tmp_path, env={**ENV, "WAIT": "1"})
    before = sweepkit.open("train", output_dir=tmp_path / "out").runs()
    again = warm.run(command, cwd=tmp_path, env=ENV, timeout=100)
    after = sweepkit.open("train", output_dir=tmp_path / "out").runs()
    assert again.returncode == 0 and list(after["value"]) == [1, 2, 3, 4]
    assert list(after["run_id"][:2]) == list(before["run_id"][:2]) and list(after["attempts"][:2]) == [1, 1]
