"""The sweep that tests of clusters run: journal.py once for each of some numbers; and how such a test is set apart."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sweeping import PROGRAMS

from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR
from sweepkit.store.open import open_store

APART = ("unshare", "-n", "-p", "-m", "-f", "--mount-proc", "--kill-child")  # network, processes and mounts of its own
WEIGHTS = f"""\
import os, pathlib, random, runpy, sys
number = int(sys.argv[1].partition("=")[2])
folder = pathlib.Path(os.environ["SWEEPKIT_RUN_DIR"], "best_model")
folder.mkdir(parents=True, exist_ok=True)
(folder / "weights.bin").write_bytes(random.Random(number).randbytes(18 << 20))
sys.argv[0] = {str(PROGRAMS / "journal.py")!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def journal_sweep(numbers, *, program=PROGRAMS / "journal.py", more=""):
    """Return the YAML of a grid over numbers; `more` is appended."""
    return f"""\
program: {program}
method: grid
metric: {{name: loss, goal: minimize}}
parameters: {{number: {{values: {list(numbers)}}}}}
{more}"""


def check_each_once(said, lines, storage, logs, *, numbers, code=0, stood_still=False):
    """Check that each number was run to its end, never twice at once; return the runs, and how often each ended.

    A process that stands still with its node is there while its run is made elsewhere: `stood_still` says so. It must
    not come to its end when it goes on.

    Args:
        said: What the acts printed: `status` of the call, the `keepers` and `runs_left`, the faults that `acted`.
        lines: The journal, split.
        storage: The record, with the sweep "s".
        logs: Printed where something does not hold.
        numbers: All that the sweep has, ascending.
        code: Of the call.
    """
    assert said["status"] == code and said["keepers"] == said["runs_left"] == [], (said, logs)
    old = [_first_of(line[1], lines) for line in lines if line[0] == "overlap"]
    assert stood_still or not old, logs
    assert not [line for line in lines if line[0] == "end" and line[2] in old], (lines, logs)
    with open_store(storage) as store:
        runs = store.runs(store.sweep("s").sweep_id)
    assert Counter(run.state for run in runs) == {RunState.FINISHED: len(numbers)}, logs
    ends = Counter(int(line[1]) for line in lines if line[0] == "end")
    assert sorted(ends) == numbers, logs
    note_figures(recovery(said["acted"], lines), len(numbers))
    return runs, ends


def _first_of(number, lines):
    """Return the process that began a number first."""
    return next(line[2] for line in lines if line[0] == "start" and line[1] == number)


def recovery(acted, lines):
    """Return of each fault its name, how many runs it interrupted, and the seconds until the last began again.

    What begins again does so because of the last fault before.

    Args:
        acted: The faults: `act` and `at`, of the journal's clock.
        lines: The journal, split.
    """
    again = {fault["at"]: [] for fault in acted}
    started = set()
    for _, number, _, moment in (line for line in lines if line[0] == "start"):
        at = max((at for at in again if at < float(moment)), default=None)
        if number in started and at is not None:
            again[at].append(float(moment) - at)
        started.add(number)
    faults = [
        {
            "act": fault["act"],
            "interrupted": len(again[fault["at"]]),
            "again_s": round(max(again[fault["at"]], default=0.0), 1),
        }
        for fault in acted
    ]
    return {"faults": faults, "attempts": sum(line[0] == "start" for line in lines)}


def note_figures(figures, configurations):
    """Append the figures to the file that CLUSTER_FIGURES names, for docs/cluster.md."""
    if file := os.environ.get("CLUSTER_FIGURES"):
        with open(file, "a") as taken:
            taken.write(json.dumps({"configurations": configurations, **figures}) + "\n")


def may_be_apart():
    """Return whether this user may have namespaces."""
    return os.geteuid() == 0 and subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0


def run_apart(folder, command, *, storage, duration, timeout_s, **env):
    """Run a command in namespaces of its own, with the journal's variables; return what it printed and its code."""
    (folder / "locks").mkdir()
    (folder / "cache").mkdir()
    given = {
        "PYTHONPATH": str(CODE_DIR),
        "SWEEPKIT_STORAGE": storage,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "JOURNAL": str(folder / "journal"),
        "JOURNAL_LOCKS": str(folder / "locks"),
        "DURATION": duration,
        **env,
    }
    return subprocess.run(
        ["timeout", "-s", "KILL", str(timeout_s), *APART, *command],
        cwd=folder,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def check_contract(folder, cluster, **env):
    """Run the contract of engines within a cluster that the command `cluster` starts; fail unless all of it holds."""
    contract = Path(__file__).parents[1] / "cluster" / "test_cluster_contract.py"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--basetemp={folder / 'inner'}"]
    command += [f"--rootdir={contract.parents[2]}", f"--config-file={contract.parents[2] / 'pyproject.toml'}"]
    done = run_apart(folder, [*cluster, *command, str(contract)], storage="", duration="0", timeout_s=400, **env)
    assert done.returncode == 0 and "skipped" not in done.stdout, f"{done.stdout}\n{done.stderr}"
