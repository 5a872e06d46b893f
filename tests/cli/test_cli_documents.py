"""The commands of README and docs: each is one that its program takes, and README's own project does what it says.

Executed wholly, as they are written: docs/projects.md (test_cli_projects_doc.py), docs/deploy.md's files
(test_deploy.py), docs/python_api.md (test_api_docs.py), README's first sweep (test_runner_first_sweep.py), and here
README's own project. The others name what a reader has (`my.yaml`, a W&B path, a database on another host, SLURM) or
train for minutes: their words are read by the very parsers that would act on them, and the files that they name are
looked up.
"""

import os
import re
import shlex
import subprocess
import sys

import pytest

from sweepkit.cli import (
    advanced_analysis,
    analyze_sweep,
    comparison_options,
    db,
    ensemble,
    monitor_sweep,
    optimize_options,
    parallel_sweep_runner,
    parameter_importance,
    sweep_runner,
    trainer,
)
from sweepkit.cli.commands import COMMANDS
from sweepkit.paths import CODE_DIR, CONFIG_DIR, ROOT_DIR
from sweepkit.sweep_config.read import find_sweep
from sweepkit.training.config.files import find_training_config

PAGES = [ROOT_DIR / "README.md", *sorted((ROOT_DIR / "docs").glob("*.md"))]
SCRIPTS = {  # what reads the words of each script
    "sweep_runner.py": lambda words: sweep_runner.parse(words, output_dir=None),
    "parallel_sweep_runner.py": lambda words: parallel_sweep_runner.parse_parallel(words, output_dir=None),
    "compare_models.py": lambda words: comparison_options.parse_compare(words, output_dir=None),
    "seed_ttest.py": lambda words: comparison_options.parse_ttest(words, output_dir=None),
    "optimize.py": lambda words: optimize_options.parse(words, output_dir=None),
    **{
        f"{name}.py": lambda words, command=command: command.parser().parse_args(words)
        for name, command in {
            "trainer": trainer.COMMAND,
            "monitor_sweep": monitor_sweep.COMMAND,
            "db": db.COMMAND,
            "analyze_sweep": analyze_sweep.COMMAND,
            "parameter_importance": parameter_importance.COMMAND,
            "advanced_analysis": advanced_analysis.COMMAND,
            "ensemble": ensemble.COMMAND,
        }.items()
    },
}
READERS_OWN = ("my", "mine", "sweep", "a_sweep", "b_sweep", "../outputs")  # what a reader has, and we have not


def commands(page):
    """Yield every command of ours in a page: the words of each line, without its comment, by `&&` and parentheses."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            yield from _parted(line)


def _parted(line):
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    found = []
    for word in [*words, "&&"]:
        if word in ("&&", "&", ">", ";", "|"):
            yield [item.strip("()") for item in found]
            found = []
        else:
            found.append(word)


SHOWN = [
    (f"{page.name}: {' '.join(words)}", words)
    for page in PAGES
    for words in commands(page)
    if words and (words[0] == "sweepkit" or (words[0] == "python" and words[1:] and words[1].endswith(".py")))
]


def test_there_are_commands_to_look_at():
    assert len(SHOWN) > 80 and {"README.md", "running.md", "analysis.md"} <= {
        stated.partition(":")[0] for stated, _ in SHOWN
    }


@pytest.mark.parametrize("words", [words for _, words in SHOWN], ids=[stated for stated, _ in SHOWN])
def test_each_command_of_the_documents_is_taken_by_its_program(words, monkeypatch, tmp_path):
    (tmp_path / "sweep.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    if words[0] == "sweepkit":
        given = COMMANDS[words[1]].parser().parse_args(words[2:])
    else:
        script = os.path.basename(words[1])
        assert (ROOT_DIR / "code" / script).is_file() or (ROOT_DIR / "analysis" / script).is_file()
        given = SCRIPTS[script](words[2:])
    assert given is not None
    for option, place in (("--sweep-config", find_sweep), ("--single-parallel", find_sweep), ("--config", None)):
        named = words[words.index(option) + 1] if option in words else "my"
        if named.startswith(READERS_OWN) or "optimize.py" in words[1]:
            continue
        found = place(named, cwd=CODE_DIR, config_dir=CONFIG_DIR) if place else find_training_config(named)
        assert found is not None and found.is_file(), named


PROGRAM = """\
import argparse

import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--batch_size", type=int, default=16)
arguments = parser.parse_args()
with wandb.init(config=vars(arguments)) as run:
    for epoch in range(1, 4):
        run.log({"val/loss": (arguments.lr - 0.01) ** 2 + 1 / epoch})
"""
# Not executed here: what installs (test_install.py does), and where the reader's project is.
LEFT_OUT = ("pip install .", "cd my_project")


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_the_own_project_of_readme_does_what_it_says(tmp_path):
    text = (ROOT_DIR / "README.md").read_text(encoding="utf-8")
    block = next(
        part for part in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "my_project" in part
    )
    command = tmp_path / "bin" / "sweepkit"
    command.parent.mkdir()
    start = f"import sys; sys.path.insert(0, {str(CODE_DIR)!r}); from sweepkit.cli.app import main; sys.exit(main())"
    command.write_text(f"#!{sys.executable}\n{start}\n")
    command.chmod(0o755)
    project = tmp_path / "my_project"
    project.mkdir()
    (project / "train.py").write_text(PROGRAM)
    env = {**os.environ, "PATH": os.pathsep.join([str(command.parent), os.environ["PATH"]])}
    said = ""
    for line in block.splitlines():
        if line.startswith(LEFT_OUT):
            continue
        done = subprocess.run(["bash", "-c", line], cwd=project, env=env, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, (line, done.stdout[-2000:], done.stderr)
        said += done.stdout
    assert (project / "sweep.yaml").is_file() and "best:" in said
    results = project / "outputs" / "sweep_sweep"
    assert all(
        (results / name).exists() for name in ("report.html", "runs.csv", "best_config.yaml", "sweep.yaml", "logs")
    )
