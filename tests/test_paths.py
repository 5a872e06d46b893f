"""Where results and the database are when nobody names them: one place decides, and says what goes before what."""

from pathlib import Path

import pytest

from sweepkit.paths import CONFIG_DIR, ROOT_DIR, database, default_output_dir
from sweepkit.runner.find_sweep import locate


def test_results_are_in_the_project_of_the_working_directory_and_of_a_checkout_in_it(tmp_path):
    assert default_output_dir({}, ROOT_DIR / "code") == default_output_dir({}, ROOT_DIR) == ROOT_DIR / "outputs"
    assert default_output_dir({}, tmp_path) == tmp_path / "outputs"
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert default_output_dir({}, tmp_path / "deep" / "er") == tmp_path / "outputs"


def test_results_of_a_yaml_are_in_its_project_and_of_one_that_comes_with_us_where_it_is_called(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (there / "sweeps").mkdir(parents=True)
    assert default_output_dir({}, here, there / "sweeps") == there / "sweeps" / "outputs"
    (there / ".git").touch()  # that of a worktree is a file
    assert default_output_dir({}, here, there / "sweeps") == there / "outputs"
    assert default_output_dir({}, here, CONFIG_DIR / "sweep") == here / "outputs"


@pytest.mark.parametrize(("named", "meant"), [("mine", "/here/mine"), ("/abs", "/abs"), ("../x", "/x")])
def test_a_variable_names_the_output_folder_from_where_it_is_called(named, meant):
    assert default_output_dir({"SWEEPKIT_OUTPUT_DIR": named}, Path("/here")) == Path(meant)


def test_the_option_goes_before_the_variable_and_that_before_the_output_folder():
    environ = {"SWEEPKIT_STORAGE": "postgresql://u@h/d"}
    assert database("r.db", Path("/out"), environ) == "r.db"
    assert database(None, Path("/out"), environ) == "postgresql://u@h/d"
    assert database(None, Path("/out"), {}) == "/out/sweepkit.db"


def test_a_folder_that_is_named_brings_its_own_database(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPKIT_STORAGE", "/elsewhere.db")
    (tmp_path / "sweep_s").mkdir()
    assert locate("s", output_dir=tmp_path, storage=None)[0] == "/elsewhere.db"
    (tmp_path / "sweepkit.db").touch()
    own = str(tmp_path / "sweepkit.db")
    assert locate(str(tmp_path), output_dir=Path("x"), storage=None) == (own, tmp_path, None)
    assert locate(str(tmp_path / "sweep_s"), output_dir=Path("x"), storage=None) == (own, tmp_path, "sweep_s")
    assert locate(str(tmp_path / "sweep_s"), output_dir=Path("x"), storage="r.db")[0] == "r.db"
