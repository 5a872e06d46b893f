"""What the hook does to a client of W&B that only notes what it is told, in interpreters of its own."""

import json
import os
import subprocess
import sys

import pytest

from sweepkit.tracking.wandb_env import hook_environment

# As much of the client as the hook touches. It says in which mode it is, as the real one finds out.
CLIENT = """
import os
run = None
class _Settings:
    mode = os.environ.get("WANDB_MODE", "online")
    sync_file = "run-x.wandb"
class Settings:
    def __init__(self, **given):
        self.model_fields_set = set(given)
        self.mode = given.get("mode", "online")
class sdk:
    class wandb_setup:
        @staticmethod
        def singleton():
            class found:
                settings = _Settings
            _Settings.mode = os.environ.get("WANDB_MODE", "online")
            return found
class _Run:
    settings = _Settings
def init(project=None, mode=None, settings=None):
    global run
    run = _Run()
    run.disabled = "disabled" in (mode, getattr(settings, "mode", None))
    print("init", mode or (settings.mode if settings and settings.model_fields_set else os.environ.get("WANDB_MODE")))
    return run
def finish():
    global run
    run = None
    print("finish")
def login(key=None):
    raise SystemExit("asked for a key")
def sweep(config):
    raise SystemExit("went online")
agent = sweep
"""


@pytest.fixture
def run(tmp_path):
    """Return what runs a program under the hook: its lines, and its notes."""
    site = tmp_path / "site"
    (site / "wandb").mkdir(parents=True)
    (site / "wandb" / "__init__.py").write_text(CLIENT)

    def run(text, *options, **env):
        notes = tmp_path / "notes"
        notes.unlink(missing_ok=True)
        own = hook_environment(notes, {"PYTHONPATH": str(site)})
        kept = {"PATH": os.environ["PATH"], "WANDB_MODE": "offline", **own, **env}
        command = [sys.executable, *options, "-c", text]
        done = subprocess.run(command, env=kept, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        lines = notes.read_text().splitlines() if notes.exists() else []
        return done.stdout.splitlines() or done.stderr.splitlines()[-1:], [json.loads(line) for line in lines]

    return run


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("wandb.init()", "offline"),
        ("del os.environ['WANDB_MODE']; wandb.init()", "offline"),
        ("os.environ['WANDB_MODE'] = 'online'; wandb.init()", "offline"),
        ("os.environ['WANDB_MODE'] = 'disabled'; wandb.init()", "disabled"),
        ("wandb.init('p', mode='online')", "offline"),
        ("wandb.init(mode='disabled')", "disabled"),
        ("wandb.init(settings=wandb.Settings(mode='shared'))", "offline"),
        ("wandb.init(settings=wandb.Settings(mode='disabled'))", "disabled"),
        ("wandb.init(settings=wandb.Settings())", "offline"),
        ("import multiprocessing as m; m.set_start_method('fork'); os.environ.pop('WANDB_MODE'); "
         "p = m.Process(target=wandb.init); p.start(); p.join()", "offline"),
        ("import subprocess as s; os.environ.pop('WANDB_MODE'); "
         "print(s.run([sys.executable, '-c', 'import wandb; wandb.init()'], stdout=-1, text=True).stdout, end='')",
         "offline"),
    ],
)  # fmt: skip
def test_a_run_stays_offline_whatever_the_script_does(run, text, mode):
    assert run(f"import os, sys, wandb; {text}")[0] == [f"init {mode}"]


def test_a_sweep_without_records_stays_so(run):
    assert run("import wandb; wandb.init(mode='online')", WANDB_MODE="disabled")[0] == ["init disabled"]


def test_it_is_noted_who_writes_where(run, tmp_path):
    _, notes = run("import wandb; wandb.init()")
    assert [note["file"] for note in notes] == [None, str(tmp_path / "run-x.wandb")]
    assert notes[0]["pid"] == notes[1]["pid"] and notes[0]["time"] == notes[1]["time"] and notes[0]["rank"] == 0
    assert [note["file"] for note in run("import wandb; wandb.init(mode='disabled')")[1]] == [None, None]
    _, notes = run("import wandb; wandb.init()", RANK="2", WORLD_SIZE="4")
    assert {note["rank"] for note in notes} == {2}
    assert run("import wandb; wandb.init()", RANK="2", WORLD_SIZE="1")[1][0]["rank"] == 0


def test_nobody_is_asked_for_a_key(run):
    assert run("import wandb; print(wandb.login(key='k'))")[0] == ["True"]


def test_a_script_that_makes_its_own_sweep_runs_its_function_once(run):
    text = "import wandb; wandb.agent(wandb.sweep({'parameters': {'lr': 1}}), function=wandb.init, count=5)"
    assert run(text)[0] == ["init offline", "finish"]
    once = "from wandb import agent; [agent('x', lambda: print('once')) for _ in range(3)]; print('best of the sweep')"
    assert run(once)[0] == ["once"]
    assert run("import wandb; print(wandb.sweep(dict))", WANDB_SWEEP_ID="abc")[0] == ["abc"]
    (said,), _ = run("import wandb; wandb.agent('x')")
    assert "`program` of the sweep's YAML" in said


def test_the_environments_own_sitecustomize_runs_first_and_nothing_of_ours_stays(run, tmp_path):
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys; sys.mine = 'wandb' in sys.modules\n")
    text = "import sys, wandb; print(sys.mine, 'site' in sys.modules['sitecustomize'].__file__); print(sys.path)"
    lines, _ = run(text)
    assert lines[0] == "False True" and "tracking" not in lines[1]
    (tmp_path / "site" / "sitecustomize.py").write_text("import nothing_of_that_name\n")
    assert run("import wandb; wandb.init()")[0] == ["init offline"]
    (tmp_path / "site" / "sitecustomize.py").unlink()
    own = subprocess.run([sys.executable, "-c", "import sitecustomize"], stderr=subprocess.DEVNULL).returncode == 0
    assert run("import sys, wandb; print('sitecustomize' in sys.modules)")[0] == [str(own)]  # Debian has one


def test_outside_a_run_and_without_the_client_nothing_happens(run):
    assert run("import wandb; print(wandb.init.__module__, hasattr(wandb.init, '_sweepkit'))", SWEEPKIT_WANDB_NOTES="")[
        0
    ] == ["wandb False"]
    assert run("import sys; print('wandb' in sys.modules)")[0] == ["False"]
    assert run("import importlib.util as u; print(u.find_spec('wandb') is None)", PYTHONPATH="")[0]


def test_the_wrapped_functions_look_as_they_did(run):
    text = "import inspect, wandb; print(inspect.signature(wandb.init), wandb.__spec__.name, wandb.__file__[-17:])"
    assert run(text)[0] == ["(project=None, mode=None, settings=None) wandb wandb/__init__.py"]
