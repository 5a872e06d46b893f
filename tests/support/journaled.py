"""The sweep that tests of clusters run: journal.py once for each of some numbers; and how such a test is set apart."""

import os
import subprocess

from sweeping import PROGRAMS

from sweepkit.paths import CODE_DIR

APART = ("unshare", "-n", "-p", "-f", "--mount-proc", "--kill-child")  # network and processes of its own
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
