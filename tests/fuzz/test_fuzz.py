"""Thousands of broken inputs: each is read or refused with a message, soon, and nothing is written.

    pytest -m heavy tests/fuzz                         20,000 inputs
    SWEEPKIT_FUZZ=500 pytest -m heavy tests/fuzz       fewer; SWEEPKIT_FUZZ_SEED=N for other dice

Everything runs in this process: a traceback is an exception that is not ours (`SweepKitError`).
"""

import json
import os
import random
import time

import pytest
from fuzzing import mutated_bytes, mutated_text

from sweepkit.analysis.importance import ForestEffort, importances
from sweepkit.errors import SweepKitError
from sweepkit.model.records import Report, RunRecord
from sweepkit.model.runs import RunState
from sweepkit.search.make import make_engine
from sweepkit.sources.options import SourceOptions
from sweepkit.sources.table_sources import load
from sweepkit.stopping.make import make_rule
from sweepkit.store.open import open_store
from sweepkit.store.restore import RestoredRun
from sweepkit.store.watch import open_watch
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.tracking.reports import ReportTail
from sweepkit.upkeep.sweep_files import read_folder

COUNT = int(os.environ.get("SWEEPKIT_FUZZ", "20000"))
SEED = int(os.environ.get("SWEEPKIT_FUZZ_SEED", "1"))
LONGEST_CPU_S = 10.0
pytestmark = [pytest.mark.slow, pytest.mark.heavy, pytest.mark.timeout(7200)]

SWEEPS = (
    """\
program: train.py
method: bayes
metric: {name: eval/loss, goal: minimize, target: 0.1}
run_cap: 20
parameters:
  lr: {distribution: log_uniform_values, min: 1.0e-6, max: 1.0e-2}
  layers: {values: [1, 2, 4]}
  drop: {distribution: q_uniform, min: 0, max: 0.5, q: 0.1}
  optimizer: {parameters: {name: {values: [adam, sgd]}, momentum: {min: 0.0, max: 0.9}}}
early_terminate: {type: hyperband, min_iter: 3, eta: 3}
command: [${env}, ${interpreter}, ${program}, ${args}]
""",
    """\
program: train.py
method: grid
metrics: [{name: a, goal: minimize}, {name: b, goal: maximize}]
parameters:
  x: {min: 0, max: 5}
  y: {value: {deep: [1, 2]}}
  z: {values: [a, 1, null, true]}
sweepkit:
  retries: 2
  seeds_per_run: {seeds: [1, 2], stop_worse: false}
  conditions: {z: {when: {x: {min: 2, max: 3}}}}
  on_failure: [{match: "CUDA.*", action: retry, times: 2}]
""",
)


def inputs(share):
    """Yield the dice of each input of a kind that gets a share of all."""
    for index in range(max(1, int(COUNT * share))):
        yield random.Random(f"{SEED}-{index}")


def soon(work, said):
    """Do some work that must end soon, whether it succeeds or is refused."""
    began = time.process_time()
    try:
        work()
    except SweepKitError as error:
        assert str(error).strip(), said
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\nfor {said!r}"[:4000]) from error
    took = time.process_time() - began
    assert took < LONGEST_CPU_S, f"{took:.1f} CPU s for {said!r}"[:4000]


def test_mutated_sweeps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for dice in inputs(0.5):
        text = mutated_text(dice.choice(SWEEPS), dice)

        def work(text=text):
            spec = read_sweep_text(text, source="s.yaml", directory="", default_name="s")
            make_rule(spec)
            make_engine(spec, seed=0, sampler=None if spec.method == "grid" else "random").ask(0)

        soon(work, text)
    assert list(tmp_path.iterdir()) == [], "something was written"


TABLE = "number,run_id,state,loss,lr,layers,opt\n" + "".join(
    f"{n},r{n},finished,{1 / (n + 1)},{10 ** -(n % 5)},{n % 3},{'ab'[n % 2]}\n" for n in range(30)
)


def test_mutated_tables(tmp_path):
    options = SourceOptions(output_dir=tmp_path / "out", sweep=str(tmp_path / "t.csv"), metric="loss", goal="minimize")
    for dice in inputs(0.15):
        content = mutated_text(TABLE, dice).encode("utf-8", "replace")
        file = tmp_path / "t.csv"
        file.write_bytes(content)

        def work():
            importances(load(options).table, effort=ForestEffort(trees=2, refit_trees=2, subsamples=10))

        soon(work, content)
    assert [item.name for item in tmp_path.iterdir()] == ["t.csv"], "something was written"


REPORTS = "".join(json.dumps({"loss": n / 7, "_step": n, "_time": 1.7e9 + n, "text": "x"}) + "\n" for n in range(9))


def test_mutated_report_files(tmp_path):
    file = tmp_path / "r.jsonl"
    for dice in inputs(0.2):
        content = mutated_bytes(mutated_text(REPORTS, dice).encode("utf-8", "replace"), dice)
        file.write_bytes(content)
        soon(lambda: ReportTail(file).read(final=True), content)
    assert [item.name for item in tmp_path.iterdir()] == ["r.jsonl"], "something was written"


def a_record(file):
    with open_store(file) as store:
        sweep, _ = store.create_sweep("s", text=SWEEPS[0], seed=1, metric="eval/loss", goal="minimize")
        runs = [
            RestoredRun(
                run=RunRecord(
                    run_id=f"run{n:05}",
                    sweep_id=sweep.sweep_id,
                    number=n,
                    params={"lr": 0.1, "layers": n},
                    state=RunState.FINISHED,
                    attempts=1,
                    outcome={"duration_s": 1.0},
                ),
                reports=tuple(Report(seq=i, values={"eval/loss": 1 / (i + 1)}) for i in range(5)),
            )
            for n in range(20)
        ]
        store.restore(sweep, runs)
        store.checkpoint()


def test_mutated_databases(tmp_path):
    from sweepkit.monitor.follow import Follower

    whole = tmp_path / "whole.db"
    a_record(whole)
    content = whole.read_bytes()
    file = tmp_path / "broken.db"
    for dice in inputs(0.1):
        broken = mutated_bytes(content, dice)
        file.write_bytes(broken)

        def work(broken=broken):
            watch = open_watch(file)
            try:
                for sweep in watch.sweeps():
                    Follower(watch, sweep.sweep_id).snapshot()
                watch.damaged_cells()
            finally:
                watch.close()
            assert file.read_bytes() == broken, "a reader wrote"

        soon(work, "a database")


def test_mutated_result_files(tmp_path):
    folder = tmp_path / "sweep_s"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(SWEEPS[0], encoding="utf-8")
    whole = {
        "run_id": "r",
        "number": 0,
        "sweep_params": {"lr": 1, "layers": 2},
        "state": "finished",
        "reason": "exit code 0",
        "best_metrics": {"eval/loss": 0.5},
        "last_metrics": {"eval/loss": 0.5},
        "attempts": 1,
        "started_at": 1.0,
    }
    for dice in inputs(0.05):
        content = mutated_text(json.dumps(whole, indent=2), dice)
        (folder / "run_r_result.json").write_text(content, encoding="utf-8", errors="replace")
        soon(lambda: read_folder(folder), content)
    assert len(list(folder.iterdir())) == 2, "something was written"
