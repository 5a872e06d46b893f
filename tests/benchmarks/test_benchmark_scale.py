"""What a run costs among many: the benchmark's own parts, on few."""

import importlib
import json
import sys

import pytest

from sweepkit import paths

BENCHMARKS = paths.ROOT_DIR / "benchmarks"


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module("scale")
    for name in ("scale", "measuring"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_further_runs_of_each_engine_are_made_and_tabled(tmp_path, scale):
    options = ["--sizes", "12", "30", "--runs", "4", "--quiet-s", "0", "--output", str(tmp_path)]
    assert scale.main(options) == 0
    data = json.loads((tmp_path / "scale.json").read_text(encoding="utf-8"))
    assert [(cost["engine"], cost["size"]) for cost in data["costs"]] == [
        (engine, size) for engine in scale.ENGINES for size in (12, 30)
    ]
    assert all(cost["run_s"] > 0 and cost["opening_s"] > 0 for cost in data["costs"])
    text = (tmp_path / "scale.md").read_text(encoding="utf-8")
    assert all(f"| {engine} |" in text for engine in scale.ENGINES)
