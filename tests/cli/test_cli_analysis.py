"""The analysis scripts: a CSV of another tool in, words and files out; wrong input is one message and exit code 2."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sweepkit.analysis import importance
from sweepkit.cli import advanced_analysis, parameter_importance
from sweepkit.paths import CODE_DIR, ROOT_DIR

SCRIPTS = ("parameter_importance.py", "advanced_analysis.py", "analyze_sweep.py", "analyze_first_sweep.py")


@pytest.fixture
def trials(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["number,value,state,params_lr,params_kind"]
    for number in range(40):
        lr = float(10 ** rng.uniform(-5, -1))
        lines.append(f"{number},{-((np.log10(lr) + 3) ** 2)},COMPLETE,{lr},{'ab'[number % 2]}")
    file = tmp_path / "trials.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.slow
def test_importance_of_a_table(trials, tmp_path, capsys, monkeypatch):
    few = importance.ForestEffort(trees=50, refit_trees=20, subsamples=10)  # what all of them find, analysis/ tests
    monkeypatch.setattr(importance, "_effort_of", lambda _: few)
    assert parameter_importance.main([str(trials), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "clear" in said and "noise floor" in said
    result = json.loads((tmp_path / "out" / "importance.json").read_text(encoding="utf-8"))
    assert result["shares"][0]["name"] == "lr" and result["n"] == 40
    assert (tmp_path / "out" / "param_importances.html").exists()


@pytest.mark.slow
def test_figures_of_a_table(trials, tmp_path, capsys):
    lines = trials.read_text(encoding="utf-8").splitlines()
    trials.write_text("\n".join(lines[:16]) + "\n", encoding="utf-8")  # too few for a forest, which another test grows
    assert advanced_analysis.main([str(trials), "--output-dir", str(tmp_path), "--goal", "maximize"]) == 0
    said = capsys.readouterr().out
    assert "1. run" in said and "5. run" in said and said.count("unconfirmed") == 5 and "Too few runs: 15" in said
    names = {path.name for path in (tmp_path / "analysis_trials" / "analysis").iterdir()}
    assert {"sweep_analysis.png", "correlation_matrix.png", "report.html", "slice.html"} <= names
    assert {"advanced_sweep_analysis.png", "parameter_correlations.png"} <= names  # the guides' names


@pytest.mark.parametrize("main", [parameter_importance.main, advanced_analysis.main])
def test_wrong_input_is_a_message_and_exit_code_2(main, tmp_path, capsys):
    (tmp_path / "empty.csv").write_text("a,b\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for arguments in (
        [str(tmp_path / "absent.csv")],
        [str(tmp_path / "empty.csv")],
        [str(tmp_path / "bytes.csv")],
        ["no_such_sweep", "--output-dir", str(tmp_path)],
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes.csv", "empty.csv"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_nothing_heavy(script):
    probe = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: code = stop.code\n"
        "print(code, sorted({'numpy', 'sklearn', 'plotly', 'matplotlib', 'optuna', 'sqlalchemy', 'scipy'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=ROOT_DIR / "analysis",
        env=os.environ | {"PYTHONPATH": str(CODE_DIR)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.strip() == "0 []" and "usage:" in done.stdout
