"""The check for the day with a GPU runs to its end without one: its CUDA rows are skipped aloud, the rest is real."""

import json
import os
import subprocess
import sys

import pytest

from sweepkit.paths import ROOT_DIR

SCRIPT = ROOT_DIR / "tests" / "gpu" / "run.sh"


def check(folder, *options, timeout_s):
    output = folder / "check.json"
    env = {**os.environ, "PYTHON": sys.executable}
    if "--rehearse" not in options:
        env["CUDA_VISIBLE_DEVICES"] = ""
    words = ["sh", str(SCRIPT), "--output", str(output), *options]
    found = subprocess.run(words, env=env, capture_output=True, text=True, timeout=timeout_s)
    rows = {item["name"]: item for item in json.loads(output.read_text())["rows"]}
    assert found.returncode == 0, found.stdout + found.stderr
    return rows, found.stdout


@pytest.mark.slow
def test_without_a_gpu_its_rows_are_skipped_and_the_rest_is_real(tmp_path):
    rows, printed = check(tmp_path, "--rows", "leak,packing", timeout_s=110)
    assert rows["packing, simulated"]["status"] == "passed" and rows["packing, simulated"]["facts"]["gain"] >= 1.5
    for name in ("leak: 50 runs", "packing: runs_per_gpu auto"):
        assert rows[name]["status"] == "skipped" and rows[name]["reason"]
    assert len(printed.splitlines()) == len(rows) + 1


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_the_whole_of_it_runs_to_its_end(tmp_path):
    rows, _ = check(tmp_path, timeout_s=590)
    passed = {name for name, item in rows.items() if item["status"] == "passed"}
    assert passed == {"environment", "packing, simulated", "warm equals fresh, CPU"}
    assert all(item["status"] in ("passed", "skipped") for item in rows.values())


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_rows_themselves_are_right_with_a_gpu_on_paper(tmp_path):
    names = "CUDA,devices,out of memory,leak,two workers,foreign,hanging,torchrun,DataLoader,packing: runs"
    rows, _ = check(tmp_path, "--rehearse", "--budget-s", "1700", "--rows", names, timeout_s=1790)
    assert len(rows) == 10 and {item["status"] for item in rows.values()} == {"passed"}
    assert rows["out of memory, for real"]["facts"]["events"] == [1, 0]
    assert max(rows["packing: runs_per_gpu auto"]["facts"]["most_at_once"]) > 1
