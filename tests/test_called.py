"""The commands that we tell: they work when they are pasted where they are printed."""

import shlex
import sys

import pytest

from sweepkit import called
from sweepkit.called import again, continuing, place_words, typed
from sweepkit.paths import ROOT_DIR, default_output_dir


@pytest.fixture
def typed_as(monkeypatch):
    """Let this process be one that was called so."""

    def be(*words, interpreter="python"):
        monkeypatch.setattr(sys, "argv", list(words))
        monkeypatch.setattr(sys, "orig_argv", [interpreter, *words])

    return be


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT_DIR)


def test_a_script_of_ours_is_told_as_it_was_typed_and_names_are_quoted(typed_as, in_root):
    typed_as("code/sweep_runner.py", "--sweep-config", "my sweep.yaml", interpreter=".venv/bin/python")
    said = again("--retry-failed")
    assert said == ".venv/bin/python code/sweep_runner.py --sweep-config 'my sweep.yaml' --retry-failed"
    assert shlex.split(said)[3] == "my sweep.yaml"


@pytest.mark.parametrize("fresh", ["--fresh", "--fre"])
def test_what_goes_on_leaves_out_what_would_begin_another(typed_as, in_root, fresh):
    typed_as("code/sweep_runner.py", "--sweep-config", "s", fresh, "--retry_failed", "--count", "3")
    assert continuing() == "python code/sweep_runner.py --sweep-config s --count 3"


def test_the_command_and_the_module_are_told_as_they_were_called(typed_as, in_root, tmp_path, monkeypatch):
    typed_as("/usr/bin/sweepkit", "run", "s.yaml", interpreter="/usr/bin/python3")
    monkeypatch.setattr(called.shutil, "which", lambda _: "/usr/bin/sweepkit")
    assert again() == "sweepkit run s.yaml"
    monkeypatch.setattr(called.shutil, "which", lambda _: None)
    assert again() == "/usr/bin/sweepkit run s.yaml"
    typed_as("/lib/sweepkit/__main__.py", "run", "s.yaml", interpreter="python3.11")
    assert again() == "python3.11 -m sweepkit run s.yaml"
    assert typed("confirm", "a b") == "python3.11 -m sweepkit confirm 'a b'"


def test_who_imports_us_has_no_command_to_paste_and_no_line_shows_a_password(typed_as):
    typed_as("my_script.py", "x")
    assert again() is None
    typed_as("code/sweep_runner.py", "--storage", "postgresql://me:secret@host/db")
    assert again() is None


def test_what_is_elsewhere_is_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place_words(default_output_dir()) == []
    assert place_words(tmp_path / "out", "sweeps.db") == ["--output-dir", "out", "--storage", "sweeps.db"]
    assert place_words(default_output_dir(), "postgresql://me:secret@host/db") == []
