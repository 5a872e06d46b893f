"""Run the real sweep_runner.py in a process of its own, and read what it left."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from sweepkit.paths import CODE_DIR

PROGRAMS = Path(__file__).parent / "programs"
RUNNER = CODE_DIR / "sweep_runner.py"


class Sweeper:
    """A folder with a sweep in it. `call` runs the runner to its end, `start` lets it run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self.env = {**inherited, "PYTHONWARNINGS": "default", "COLUMNS": "200", "JOURNAL": str(folder / "journal")}
        self.options: list[str] = []

    def write(self, text, name="s.yaml"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def command(self, *options, sweep="s.yaml"):
        output = [] if "--output-dir" in options else ["--output-dir", "out"]
        return [sys.executable, str(RUNNER), "--sweep-config", sweep, *output, *self.options, *options]

    def call(self, *options, sweep="s.yaml", timeout=120):
        return subprocess.run(
            self.command(*options, sweep=sweep),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )

    def start(self, *options, sweep="s.yaml", **popen):
        return subprocess.Popen(self.command(*options, sweep=sweep), cwd=self.folder, env=self.env, **popen)

    def results(self, sweep="s"):
        files = sorted((self.folder / "out" / f"sweep_{sweep}").glob("run_*_result.json"))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    def summary(self, *options, **kwargs):
        """Run with --json; return the final object. Fails unless the exit code is `rc` (0)."""
        rc = kwargs.pop("rc", 0)
        done = self.call("--json", *options, **kwargs)
        assert done.returncode == rc, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def journal(self):
        """Return the journal as (word, number, pid, time) tuples."""
        path = self.folder / "journal"
        if not path.exists():
            return []
        rows = (line.split() for line in path.read_text().splitlines())
        return [(word, int(number), int(pid), float(time)) for word, number, pid, time in rows]
