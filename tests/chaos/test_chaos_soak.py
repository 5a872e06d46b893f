"""Real sweeps under a tormentor: whatever dies, every configuration finishes exactly once, and the record is right.

    pytest -m soak tests/chaos                        8 s of torment on SQLite, as CI does
    SWEEPKIT_SOAK_S=600 pytest -m soak tests/chaos    longer; SWEEPKIT_SOAK_SEED=N for other dice, SWEEPKIT_SOAK_RUNS=N

From five minutes on, runners are frozen for longer than a lease, too, the disk is full for two minutes at a time, and
the file of the record is removed, damaged, and mended by `db repair`. The clock of the sweep's processes is set, an
hour at most, where a C compiler is there to make it one of their own (`stepped_clock`).

A run that is killed from outside is tried again three times and then recorded as FAILED (`scheduling/outcome.py`): such
a run is not lost, but the tormentor kills more often than that. So the last call of the runner, which nobody torments,
is with --retry-failed; how many runs it takes up is printed.
"""

import os
import random
import sys
import time
from pathlib import Path

import psutil
import pytest
from postgres import running_server
from soak_judge import Evidence, judge, table
from stepped_clock import SteppedClock
from sweeping import PROGRAMS
from tormentor import Runners, Tormentor

from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

SOAK_S = float(os.environ.get("SWEEPKIT_SOAK_S", "8"))
SEED = int(os.environ.get("SWEEPKIT_SOAK_SEED", "4"))
LEAST_KILLS = 4
RUNS = int(os.environ.get("SWEEPKIT_SOAK_RUNS", max(40, int(5 * SOAK_S))))
DISK_MIB = 48 + RUNS // 16  # a run leaves eight files of a block each, and its rows
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


def orphans(folder):
    """Return how many processes of a sweep are left over, of which all runners have ended: they have 20 s to end."""
    deadline = time.monotonic() + 20
    while (left := strays(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(left)


def soak(sweeper, capsys, *, storage, server=None, disk=None):
    """Torment a sweep, let it end in peace, count, judge."""
    sweeper.write(SWEEP)
    (sweeper.folder / "locks").mkdir()
    clock = SteppedClock.make(sweeper.folder) if PATIENT else None  # with it every start is a cold one
    sweeper.env |= {"DURATION": "0.5", "JOURNAL_LOCKS": str(sweeper.folder / "locks")}
    sweeper.env |= clock.environment if clock is not None else {}
    place = () if disk is None else ("--output-dir", str(disk / "out"))
    options = ("--storage", str(storage), *(place or ("--output-dir", "out")))
    runners = Runners(sweeper, options=("--num-workers", "4"), storage=options)
    record = storage if isinstance(storage, Path) else None
    tormentor = Tormentor(
        runners, random.Random(SEED), server=server, disk=disk, record=record, clock=clock, patient=PATIENT
    )
    began = time.monotonic()
    tormentor.torment(SOAK_S, least_kills=LEAST_KILLS)
    runners.end()
    left_over = orphans(sweeper.folder)
    tormented_s = time.monotonic() - began
    with open_store(storage) as store:
        failed = [run.reason for run in store.runs(store.sweep("s").sweep_id) if run.state is RunState.FAILED]
    assert all("killed by" in reason or "lost" in reason for reason in failed), failed
    ended = sum(line[0] == "end" for line in sweeper.journal())
    peace = time.monotonic()
    last = sweeper.parallel("--single-parallel", "s.yaml", *options, "--num-workers", "4", "--retry-failed", "--json")
    done = sweeper.ended(last, timeout=120 + RUNS)["s"]
    peace_s = time.monotonic() - peace
    left_over += orphans(sweeper.folder)
    evidence = Evidence.read(sweeper, storage)
    counted = evidence.count(RUNS)
    with capsys.disabled():
        print(
            f"\nseed {SEED}: {len(tormentor.acts)} acts in {tormented_s:.0f} s, {tormentor.kills} of them kills; "
            f"{runners.starts} runners started; {ended} runs ended meanwhile, the rest in {peace_s:.0f} s of peace; "
            f"{len(failed)} runs had been given up, killed four times\n"
            f"{counted.runs} of {RUNS} runs finished, in {counted.attempts} attempts; {counted.repeated} repeated, "
            f"{counted.repeated_after_end} of them after an end that was seen ({counted.unseen_ends} killed between "
            f"their last line and their exit), {counted.lost} lost, {counted.double} at the same time, "
            f"{left_over} orphans"
            f"{'' if disk else '; the disk was NOT filled: none can be mounted here'}"
            f"{'' if clock or not PATIENT else '; the clock was NOT set: no C compiler is here'}\n"
            + table(tormentor.acts, sweeper.journal()),
            file=sys.stderr,  # which reaches the terminal from a worker of pytest-xdist, too
        )
    assert (done["complete"], done["counts"]) == (True, {"finished": RUNS})
    assert (counted.repeated_after_end, counted.lost, counted.double, left_over) == (0, 0, 0, 0)
    judge(evidence, storage, RUNS, mended=tormentor.mended)
    assert tormentor.kills >= LEAST_KILLS and counted.repeated >= 1, "nothing was tormented"


def test_a_sweep_survives_a_tormentor_on_sqlite(sweeper, disk, capsys):
    folder = disk or sweeper.folder
    soak(sweeper, capsys, storage=folder / "record.db", disk=disk)


@pytest.mark.heavy
@pytest.mark.postgres
def test_a_sweep_survives_a_tormentor_on_postgresql(sweeper, disk, capsys):
    with running_server() as server:
        soak(sweeper, capsys, storage=server.new_database(), server=server, disk=disk)
