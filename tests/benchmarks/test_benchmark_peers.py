import importlib.util
import json
import os
import subprocess
import sys

import pytest
from snapshots import words_of

from sweepkit import paths
from sweepkit.environ import REPORT_FILE_ENV
from sweepkit.tracking.reports import ReportTail

WORDS = words_of(__file__)

BENCHMARKS = paths.ROOT_DIR / "benchmarks"


@pytest.fixture
def peers(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmark_peers", BENCHMARKS / "peers.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "benchmark_peers", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    return module


def test_the_empty_program_reports_prints_and_keeps_its_journal(tmp_path, peers):
    command = [sys.executable, peers.EMPTY_PROGRAM, "--x=0.5"]
    env = os.environ | {peers.JOURNAL_ENV: str(tmp_path / "journal")}
    printed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["loss"] == pytest.approx(0.04)
    env |= {REPORT_FILE_ENV: str(tmp_path / "reports")}
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout == ""
    (report,) = ReportTail(tmp_path / "reports").read()
    assert report.values["loss"] == pytest.approx(0.04)
    assert len((tmp_path / "journal").read_text().splitlines()) == 2


def test_the_marginal_time_of_a_peer_that_waits_between_its_runs(tmp_path, peers):
    journal = tmp_path / "journal"
    # Two workers in step, 5 s apart, as `wandb agent` does it: 2.5 s a run whatever their number.
    rows = [f"{100 + 5 * turn} {100.5 + 5 * turn} {10 * turn + worker} 0" for turn in range(3) for worker in range(2)]
    journal.write_text("\n".join(reversed(rows)) + "\n")
    found = peers.timing("p", journal, runs=6, workers=2, launched_at=93.0)
    assert (found.runs, found.workers, found.seconds_per_run, found.startup_s) == (6, 2, 2.5, 7.0)


@pytest.mark.parametrize("rows", ["", "1 2 7 0\n", "1 2 7 0\n1 2 7 0\n1 2 8 0\n", "1 2 7 0\n" * 4])
def test_a_peer_that_lost_or_repeated_a_run_or_shared_a_process_has_no_timing(tmp_path, peers, rows):
    (tmp_path / "journal").write_text(rows)
    with pytest.raises(RuntimeError, match=WORDS["isolated-runs-were"]):
        peers.timing("p", tmp_path / "journal", runs=3, workers=2, launched_at=0.0)


@pytest.mark.slow
@pytest.mark.heavy
def test_optuna_and_wandb_are_measured(peers):
    for peer in (peers.optuna_ask_tell, peers.wandb_agent):
        found = peer(4)
        assert (found.runs, found.workers) == (4, 2)
        assert found.seconds_per_run > 0 and found.startup_s > 0
