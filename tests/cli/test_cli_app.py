"""`sweepkit`: every command has one definition with the script that is its other door, and helps with mistakes."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from snapshots import words_of
from sweeping import in_this_process

from sweepkit.cli import app, parallel_sweep_runner, sweep_runner
from sweepkit.cli.commands import COMMANDS
from sweepkit.cli.options import RunnerCommand
from sweepkit.cli.overview import SUMMARIES
from sweepkit.cli.parallel_sweep_runner import parse_parallel
from sweepkit.cli.parsing import Parser
from sweepkit.cli.setup_commands import _tree
from sweepkit.cli.sweep_runner import parse
from sweepkit.paths import CODE_DIR, ROOT_DIR, default_output_dir
from sweepkit.runner.options import RunOptions

WORDS = words_of(__file__)
NAMES = sorted(COMMANDS)
OUT = default_output_dir()


@pytest.fixture
def asked(monkeypatch):
    """What a sub-command asks of the runners, in place of running it."""
    seen = []
    monkeypatch.setattr(sweep_runner, "run_one", lambda command: seen.append(command) or 0)
    monkeypatch.setattr(parallel_sweep_runner, "run_parallel", lambda command: seen.append(command) or 0)

    def ask(line):
        assert app.main(line.split()) == 0
        return seen[-1]

    return ask


def test_the_overview_names_every_command_on_one_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert app.main([]) == 0
    shown = capsys.readouterr().out
    said = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    assert said == set(NAMES)
    assert len(shown.splitlines()) <= 50 and max(map(len, shown.splitlines())) <= 80
    for same in (["--help"], ["-h"], ["help"]):
        app.main(same)
        assert capsys.readouterr().out == shown


def test_the_overview_and_the_commands_are_the_same():
    assert list(SUMMARIES) == list(COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_help_names_the_command_as_it_was_called(name, capsys):
    with pytest.raises(SystemExit) as stop:
        app.main([name, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and shown.startswith(f"usage: sweepkit {name} ")
    assert "python " not in shown and "{call}" not in shown
    app.main(["help", name])
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_screen(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = COMMANDS[name].parser().format_help().splitlines()
    assert len(lines) <= 45, "\n".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_in_the_whole_help_and_in_the_completion(name, capsys):
    parser = COMMANDS[name].parser()
    known = {word for action in parser._actions if action.help != "==SUPPRESS==" for word in action.option_strings}
    if "--help-all" in known:
        with pytest.raises(SystemExit) as stop:
            app.main([name, "--help-all"])
        whole = capsys.readouterr().out
        assert stop.value.code == 0 and len(whole.splitlines()) > len(parser.format_help().splitlines())
    else:
        whole = parser.format_help()
    words = set(re.findall(r"--?[\w-]+", whole))
    assert known <= words
    assert known - {"--help-all"} <= {word for action in completed(name)._actions for word in action.option_strings}


def completed(name):
    (below,) = [action for action in _tree(COMMANDS.values())._actions if action.choices and name in action.choices]
    return below.choices[name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--replay-stopping", "s"], "sweepkit analyze"),
        (["list", "--figures"], "sweepkit report"),
        (["run", "--cuont", "3"], "--count"),
    ],
)
def test_an_option_of_another_command_is_told_where_it_is(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        app.main(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", NAMES)
def test_storage_is_the_database_in_every_command(name):
    actions = {word: action for action in COMMANDS[name].parser()._actions for word in action.option_strings}
    if "--storage" in actions:
        assert actions["--storage"].help == WORDS["the-database-a"]


def test_help_is_answered_without_heavy_imports():
    heavy = {"optuna", "wandb", "torch", "sqlalchemy", "pandas", "numpy", "scipy", "rich", "ruamel"}
    probe = (
        "import sys; from sweepkit.cli.app import main\n"
        f"code = main(['--help']); print(code, sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=CODE_DIR, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "0 []"


def test_it_is_a_module_too_and_tells_its_version():
    done = subprocess.run(
        [sys.executable, "-m", "sweepkit", "--version"], cwd=CODE_DIR, capture_output=True, text=True, timeout=60
    )
    version = (CODE_DIR / "sweepkit" / "version.py").read_text().split('"')[-2]
    assert done.stdout == f"sweepkit {version}\n"


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("rnu my.yaml", "sweepkit run"),
        ("analyse x", "sweepkit analyze"),
        ("run my.yaml --cuont 3", "--count"),
        ("run my.yaml --sampler tpee", "tpe"),
        ("watch --untill done", "--until"),
        ("optimize --n_trails 3", "--n-trials"),
        ("pause x --storge y", "--storage"),
    ],
)
def test_a_mistyped_word_is_told_with_the_nearest_one(line, near, capsys):
    code = None
    try:
        code = app.main(line.split())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert f"did you mean {near}?" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["run s.yaml --runs-per-gpu 2", "run s.yaml --replay-stopping"])
def test_an_option_of_other_commands_is_told_with_those(line, capsys):
    """Also one that many have: a similar word of this command would be a wrong guess."""
    with pytest.raises(SystemExit):
        app.main(line.split())
    err = capsys.readouterr().err
    assert "option of sweepkit" in err and "did you mean" not in err


@pytest.mark.parametrize("action", ["start", "stop", "status"])
def test_the_projects_own_database_takes_no_other_ones_url(action, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        app.main(["db", action, "--storage", "postgresql://user@host/other"])
    assert refused.value.code == 2 and not list(tmp_path.iterdir())


def test_the_scripts_tell_the_nearest_option_as_well(capsys):
    with pytest.raises(SystemExit):
        parse(["--sweep-confg", "s"], output_dir=OUT)
    assert "did you mean --sweep-config?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("run s --count 3 --seed 0 --dry-run", "--sweep-config s --count 3 --seed 0 --dry-run"),
        ("run --wandb-sweep a/b/c", "--wandb-sweep a/b/c"),
        ("pause s --storage r.db", "--pause s --storage r.db"),
        ("resume s", "--resume s"),
        ("stop s --json", "--stop s --json"),
        ("cancel s", "--cancel s"),
        ("push s --wandb-wait 3", "--push s --wandb-wait 3"),
    ],
)
def test_a_command_of_one_worker_means_what_its_script_means(line, script, asked):
    assert asked(line) == parse(script.split(), output_dir=OUT)


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("parallel s --num-workers 2 --fresh --delay 1", "--single-parallel s --num-workers 2 --fresh --delay 1"),
        ("parallel a b --gpus 0,1", "--sweeps a b --gpus 0,1"),
        ("agent s --storage postgresql://u@h/d", "--join s --storage postgresql://u@h/d"),
        ("agent a/b/c --num-workers 2", "--wandb-sweep a/b/c --num-workers 2"),
        ("agent https://wandb.ai/a/b/sweeps/c", "--wandb-sweep https://wandb.ai/a/b/sweeps/c"),
        ("confirm s --budget 3 --rope 0.1", "--confirm s --budget 3 --rope 0.1"),
        ("confirm s --fresh --num-workers 2", "--confirm s --fresh --num-workers 2"),
        ("retry first_sweep --count 2", "--single-parallel first_sweep --retry-failed --count 2"),
    ],
)
def test_a_command_of_all_slots_means_what_its_script_means(line, script, asked):
    assert asked(line) == parse_parallel(script.split(), output_dir=OUT)


def test_a_sweep_that_has_no_yaml_here_is_retried_by_its_name(asked):
    expected = RunnerCommand(run=RunOptions(output_dir=OUT, retry_failed=True), recorded="nothing_here")
    assert asked("retry nothing_here") == expected


def test_run_takes_the_yaml_that_is_here(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        app.main(["run"])
    assert stop.value.code == 2 and "sweep.yaml" in capsys.readouterr().err
    (tmp_path / "sweep.yaml").write_text("")
    assert asked("run").sweep == asked("parallel").sweep == "sweep.yaml"


def test_retry_runs_the_failed_runs_of_a_recorded_sweep(tmp_path):
    program = tmp_path / "p.py"
    program.write_text("raise ValueError('typo')\n")
    sweep = {
        "program": "p.py",
        "method": "grid",
        "metric": {"name": "x", "goal": "maximize"},
        "parameters": {"x": {"values": [1, 2]}},
    }
    (tmp_path / "s.yaml").write_text(json.dumps(sweep))
    there = ["--output-dir", "out", "--json"]
    failed = in_this_process(app.main, ["parallel", "s.yaml", "--num-workers", "1", *there], tmp_path)
    assert json.loads(failed.stdout.splitlines()[-1])["counts"] == {"failed": 2}
    program.write_text(
        "import json, os, sys\nx = int(sys.argv[1].split('=')[1])\n"
        "open(os.environ['SWEEPKIT_REPORT_FILE'], 'a').write(json.dumps({'x': x}) + '\\n')\n"
    )
    (tmp_path / "s.yaml").unlink()
    again = in_this_process(app.main, ["retry", "s", "--num-workers", "1", *there], tmp_path)
    assert json.loads(again.stdout.splitlines()[-1])["counts"] == {"finished": 2}


def test_a_script_that_is_called_as_a_module_or_a_command_tells_commands():
    from sweepkit.called import typed

    assert typed("push", "s", by="/usr/bin/sweepkit") == "sweepkit push s"
    assert typed("push", "s", by="/x/sweepkit/__main__.py") == "sweepkit push s"
    script = typed("train", "--config", Path("a b.yaml"), by="trainer.py")
    assert script.startswith("python ") and script.endswith("code/trainer.py --config 'a b.yaml'")
    assert (ROOT_DIR / "code" / "trainer.py").samefile(script.split()[1])


def test_the_extras_are_those_of_pyproject():
    from sweepkit.extras import _EXTRAS

    project = tomllib.loads((ROOT_DIR / "pyproject.toml").read_text())["project"]
    assert set(_EXTRAS) == set(project["optional-dependencies"])


def test_what_an_extra_lacks_is_one_line(monkeypatch, capsys):
    from sweepkit.cli.guard import guarded

    @guarded
    def main(argv):
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")  # what the import system raises

    assert main([]) == 2
    said = capsys.readouterr().err
    assert "pip install 'sweepkit[train]'" in said and len(said.splitlines()) == 1


def test_what_is_no_extra_of_ours_keeps_its_traceback():
    from sweepkit.cli.guard import guarded

    @guarded
    def main(argv):
        import not_a_module_of_anybody  # noqa: F401

    with pytest.raises(ModuleNotFoundError):
        main([])


def test_an_option_may_be_written_with_underscores():
    parser = Parser()
    parser.add_argument("--n-trials", type=int)
    assert parser.parse_args(["--n_trials=5"]).n_trials == 5


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_help_is_no_value_of_a_command_line(name):
    assert not any(action.dest == "help_all" for action in COMMANDS[name].parser()._actions)
