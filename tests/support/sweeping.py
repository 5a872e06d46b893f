"""Run the real runners in processes of their own, and read what they left."""

import contextlib
import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import warm

from sweepkit.cli import sweep_runner
from sweepkit.paths import CODE_DIR

PROGRAMS = Path(__file__).parent / "programs"
RUNNER = CODE_DIR / "sweep_runner.py"
PARALLEL = CODE_DIR / "parallel_sweep_runner.py"


def in_this_process(main, argv, folder):
    """Return what an entry script does there when it neither runs anything nor waits: half a second of imports less."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as stop:
            code = stop.code
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _environment(variables):
    """Have exactly these variables for a while."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Sweeper:
    """A folder with a sweep in it. `call` runs the runner to its end, `start` lets it run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self.env = {**inherited, "PYTHONWARNINGS": "default", "COLUMNS": "200", "JOURNAL": str(folder / "journal")}
        self.env["WANDB_X_SAVE_REQUIREMENTS"] = "false"  # a list of all that is installed, 0.1 s of CPU at each init
        self.options: list[str] = []
        self.forks = False  # whether `summary` runs the script itself
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, text, name="s.yaml"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def command(self, *options, sweep="s.yaml"):
        output = [] if "--output-dir" in options else ["--output-dir", "out"]
        return [sys.executable, str(RUNNER), "--sweep-config", sweep, *output, *self.options, *options]

    def parallel(self, *options, **popen):
        """Start parallel_sweep_runner.py with exactly these options, and an output folder."""
        output = [] if "--output-dir" in options else ["--output-dir", "out"]
        command = [sys.executable, str(PARALLEL), *output, *self.options, *options]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8", **popen}
        process = warm.WarmPopen(command, **{"cwd": self.folder, "env": self.env, **piped})
        self.processes.append(process)
        return process

    def finished(self, process, *, rc=0, timeout=120):
        """Wait for a runner that was started; return its output. Fails unless the exit code is `rc`."""
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
            self.processes.remove(process)
        assert process.returncode == rc, (out or "") + (err or "")
        return out if rc != 2 else err

    def ended(self, process, *, rc=0, timeout=120):
        """Wait for a runner that was started with --json; return its final objects by the sweep's name."""
        events = [json.loads(line) for line in self.finished(process, rc=rc, timeout=timeout).splitlines()]
        return {event["sweep"]: event for event in events if event["event"] == "sweep_ended"}

    def control(self, *options, really=False):
        """Control a sweep that runs, from this process: at once; or by the script itself, as from another terminal."""
        argv = ["--output-dir", "out", *self.options, *options]
        if not really:
            return in_this_process(sweep_runner.main, argv, self.folder)
        command = [sys.executable, str(RUNNER), *argv]
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, encoding="utf-8", timeout=60
        )

    def call(self, *options, sweep="s.yaml", timeout=120, cold=False):
        """Run the runner to its end, forked off warm; `cold` by an interpreter of its own, as a user does."""
        command = self.command(*options, sweep=sweep)
        if not cold:
            return warm.run(command, timeout=timeout, cwd=self.folder, env=self.env)
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )

    def asked(self, *options, sweep="s.yaml"):
        """Do as `call` in this process; for what is refused or shown before anything runs."""
        return in_this_process(sweep_runner.main, self.command(*options, sweep=sweep)[2:], self.folder)

    def start(self, *options, sweep="s.yaml", **popen):
        return warm.WarmPopen(self.command(*options, sweep=sweep), cwd=self.folder, env=self.env, **popen)

    def hold(self):
        """Let the runs of journal.py and loss.py stand in the middle until they are released."""
        gates = self.folder / "gates"
        gates.mkdir(exist_ok=True)
        self.env["GATES"] = str(gates)

    def release(self, *numbers):
        """Let runs of these numbers (journal.py) or values of x (loss.py) go on, now or when they come there."""
        for number in numbers:
            Path(self.env["GATES"], f"{number:g}").touch()

    def results(self, sweep="s"):
        files = sorted((self.folder / "out" / f"sweep_{sweep}").glob("run_*_result.json"))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    def ran(self, *options, sweep="s.yaml"):
        """Do as `call` in this process: see `summary`."""
        return self.here(self.command(*options, sweep=sweep))

    def here(self, command):
        """Do in this process what the script would in its own."""
        with _environment(self.env):
            return in_this_process(sweep_runner.main, command[2:], self.folder)

    def summary(self, *options, rc=0, sweep="s.yaml", timeout=None):
        """Run with --json; return the final object. Fails unless the exit code is `rc`.

        In this process, unless a time is given: the runner's part costs half of that of a fork, which copies what it
        touches and works its statements out anew.
        """
        if self.forks or timeout is not None:
            done = self.call("--json", *options, sweep=sweep, timeout=timeout or 120)
        else:
            done = self.ran("--json", *options, sweep=sweep)
        assert done.returncode == rc, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def journal(self):
        """Return the journal as (word, number, pid, time) tuples."""
        path = self.folder / "journal"
        if not path.exists():
            return []
        rows = (line.split() for line in path.read_text().splitlines())
        return [(word, int(number), int(pid), float(time)) for word, number, pid, time in rows]
