"""Real sweeps under a tormentor: whatever dies, every configuration finishes exactly once, and the record is right.

    pytest -m soak tests/chaos                        15 s of torment for each database
    SWEEPKIT_SOAK_S=600 pytest -m soak tests/chaos    longer; SWEEPKIT_SOAK_SEED=N for other dice, SWEEPKIT_SOAK_RUNS=N

From five minutes on, runners are frozen for longer than a lease, too, and the disk is full for two minutes at a time.

A run that is killed from outside is tried again three times and then recorded as FAILED (`scheduling/outcome.py`): such
a run is not lost, but the tormentor kills more often than that. So the last call of the runner, which nobody torments,
is with --retry-failed; how many runs it takes up is printed. The clock is not stepped: it is the machine's.
"""

import os
import random
import sys
import time

import psutil
import pytest
from postgres import running_server
from soak_judge import judge, table
from sweeping import PROGRAMS
from tormentor import Runners, Tormentor

from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

SOAK_S = float(os.environ.get("SWEEPKIT_SOAK_S", "15"))
SEED = int(os.environ.get("SWEEPKIT_SOAK_SEED", "4"))
LEAST_KILLS = 4
RUNS = int(os.environ.get("SWEEPKIT_SOAK_RUNS", max(40, int(5 * SOAK_S))))
PATIENT = SOAK_S >= 300  # then there is time for what lasts longer than a lease
SWEEP = f"""\
program: {PROGRAMS / "journal.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  number: {{values: {list(range(RUNS))}}}
sweepkit: {{kill_delay_s: 5}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(int(3 * SOAK_S) + 240)]


def strays(folder):
    """Return the living processes that belong to a sweep of that folder."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("JOURNAL", "").startswith(str(folder))
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def no_orphans(folder):
    deadline = time.monotonic() + 20
    while left := strays(folder):
        assert time.monotonic() < deadline, f"left over: {left}"
        time.sleep(0.01)


def soak(sweeper, capsys, *, storage, server=None, disk=None):
    """Torment a sweep, let it end in peace, judge."""
    sweeper.write(SWEEP)
    (sweeper.folder / "locks").mkdir()
    sweeper.env |= {"DURATION": "0.5", "JOURNAL_LOCKS": str(sweeper.folder / "locks")}
    place = () if disk is None else ("--output-dir", str(disk / "out"))
    options = ("--storage", str(storage), *place)
    runners = Runners(sweeper, options=("--num-workers", "4"), storage=options)
    tormentor = Tormentor(runners, random.Random(SEED), server=server, disk=disk, patient=PATIENT)
    began = time.monotonic()
    tormentor.torment(SOAK_S, least_kills=LEAST_KILLS)
    runners.end()
    no_orphans(sweeper.folder)
    tormented_s = time.monotonic() - began
    with open_store(storage) as store:
        failed = [run.reason for run in store.runs(store.sweep("s").sweep_id) if run.state is RunState.FAILED]
    assert all("killed by" in reason or "lost" in reason for reason in failed), failed
    ended = sum(line[0] == "end" for line in sweeper.journal())
    peace = time.monotonic()
    last = sweeper.parallel("--single-parallel", "s.yaml", *options, "--num-workers", "4", "--retry-failed", "--json")
    done = sweeper.ended(last, timeout=120 + RUNS)["s"]
    peace_s = time.monotonic() - peace
    assert (done["complete"], done["counts"]) == (True, {"finished": RUNS})
    no_orphans(sweeper.folder)
    verdict = judge(sweeper, storage, RUNS)
    with capsys.disabled():
        print(
            f"\nseed {SEED}: {len(tormentor.acts)} acts in {tormented_s:.0f} s, {tormentor.kills} of them kills; "
            f"{runners.starts} runners started; {ended} runs ended meanwhile, the other {RUNS - ended} in "
            f"{peace_s:.0f} s of peace; {len(failed)} runs had been given up, killed four times\n"
            f"{RUNS} runs finished, in {verdict.attempts} attempts; {verdict.repeated} runs repeated "
            f"(0 finished, 0 lost, 0 at the same time, 0 orphans; {verdict.unseen_ends} killed between their last line "
            "and their exit)"
            f"{'' if disk else '; the disk was NOT filled: none can be mounted here'}\n"
            + table(tormentor.acts, sweeper.journal()),
            file=sys.stderr,  # which reaches the terminal from a worker of pytest-xdist, too
        )
    assert tormentor.kills >= LEAST_KILLS and verdict.repeated >= 1, "nothing was tormented"


def test_a_sweep_survives_a_tormentor_on_sqlite(sweeper, disk, capsys):
    folder = disk or sweeper.folder
    soak(sweeper, capsys, storage=folder / "record.db", disk=disk)


@pytest.mark.postgres
def test_a_sweep_survives_a_tormentor_on_postgresql(sweeper, disk, capsys):
    with running_server() as server:
        soak(sweeper, capsys, storage=server.new_database(), server=server, disk=disk)
