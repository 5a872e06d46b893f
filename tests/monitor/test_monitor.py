"""monitor_sweep.py as a user runs it: the real script beside real sweeps."""

import contextlib
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest
import warm
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper, in_this_process
from waiting import wait_until

from sweepkit.cli.monitor_sweep import main
from sweepkit.paths import CODE_DIR
from sweepkit.store.base import Attempt
from sweepkit.store.open import open_store

WORDS = words_of(__file__)

MONITOR = CODE_DIR / "monitor_sweep.py"
GRID = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [3, 1, 2]}}
early_terminate: {{type: hyperband, min_iter: 2}}
"""
ENDLESS = {"PAUSE": "600", "STEPS": "3"}  # the first report comes at once, the second after the test
FAILING = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [1, 2]}}
  mode: {{values: [good, fail]}}
"""


class Monitor(Sweeper):
    """A folder with sweeps, and the monitor in it."""

    def watch_command(self, *options):
        where = [] if {"--output-dir", "--storage", "--wandb"} & set(options) else ["--output-dir", "out"]
        return [sys.executable, str(MONITOR), *options, *where]

    def watch(self, *options, timeout=100):
        return warm.run(self.watch_command(*options), timeout=timeout, cwd=self.folder, env=self.env)

    def watching(self, *options):
        return warm.WarmPopen(
            self.watch_command(*options),
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def asked(self, *options):
        """Do as `watch` in this process: a second of imports less."""
        return in_this_process(main, self.watch_command(*options)[2:], self.folder)

    def look(self, *options):
        """Return the object of --once --json."""
        done = self.asked(*options, "--once", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def monitor(tmp_path):
    made = Monitor(tmp_path)
    made.write(GRID)
    return made


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The output folder of a finished sweep, to be copied."""
    made = Monitor(tmp_path_factory.mktemp("swept"))
    made.write(GRID)
    assert made.ran().returncode == 0
    return made.folder / "out"


@pytest.fixture
def finished(monitor, swept):
    """A folder with a sweep that is over."""
    shutil.copytree(swept, monitor.folder / "out")
    return monitor


@pytest.fixture
def endless(monitor):
    """A sweep whose first run has reported once and goes on for ten minutes."""
    monitor.env |= ENDLESS
    process = monitor.start(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def has_reported():
        assert process.poll() is None, process.stderr.read()
        if not (monitor.folder / "out" / "sweepkit.db").exists():
            return False
        done = monitor.asked("s", "--once", "--json")
        return done.returncode == 0 and any(run["reports"] for run in json.loads(done.stdout)["sweeps"][0]["running"])

    try:
        wait_until(has_reported, "its first report")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def files(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_a_running_sweep_is_shown_with_its_run(monitor, endless):
    said = monitor.look("s")
    (sweep,) = said["sweeps"]
    assert (sweep["name"], sweep["state"], sweep["total"], sweep["done"]) == ("s", "running", 3, 0)
    assert sweep["counts"]["running"] == 1 and sweep["stalled"] is None and not sweep["ended"]
    (run,) = sweep["running"]
    assert (run["params"], run["reports"], run["step"], run["value"]) == ({"x": 3}, 1, 0, 3.0)
    assert run["attempt"] == 1 and run["device"] and not run["lease_over"]
    assert 0 <= run["age_s"] <= run["duration_s"] + 1
    assert run["margin"] is None and WORDS["the-first-band"] in run["verdict"]
    assert run["memory_mb"] > 1 and run["cpu_percent"] >= 0
    assert sweep["eta_s"] is None and sweep["best"] is None

    lines = monitor.watch("--once").stdout.splitlines()  # the only sweep needs no name
    assert lines[0].startswith("s  running  0/3 done")
    assert any("n/a" in line and "x=3" in line for line in lines)

    not_yet = monitor.asked("s", "--once", "--until", "done")
    assert not_yet.returncode == 1

    # Ctrl-C, while waiting and without
    for until, code in ((["--until", "done", "--until", "stalled"], 130), ([], 0)):
        process = monitor.watching("s", "--json", "--refresh-interval", "600", *until)
        assert json.loads(process.stdout.readline())["sweeps"]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
        assert (process.returncode, rest, errors) == (code, "", "")


def test_without_a_name_the_sweep_that_runs_is_watched_else_the_newest(monitor):
    assert monitor.ran("--count", "1").returncode == 0
    (left,) = monitor.look()["sweeps"]
    assert left["idle"].startswith("--count 1 reached") and left["stalled"] is None
    with open_store(monitor.folder / "out" / "sweepkit.db") as store:
        store.create_sweep("newer", text=GRID, seed=0, metric="loss", goal="minimize")
        assert monitor.look()["sweeps"][0]["name"] == "newer"
        old = store.sweep("s")
        store.add_and_claim(old.sweep_id, 1, {"x": 1}, agent_id="a", host="h", lease_s=60)
        assert monitor.look()["sweeps"][0]["name"] == "s"


@pytest.mark.slow
def test_until_done_ends_with_the_sweep_and_shows_every_refresh(monitor):
    monitor.hold()
    sweep = monitor.start(stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: monitor.journal() or sweep.poll() is not None, "its first run to start")
        watch = monitor.watching("out/sweep_s", "--until", "done", "--json", "--refresh-interval", "0.1")
        first = watch.stdout.readline()
        monitor.release(1, 2, 3)
        out, errors = watch.communicate(timeout=60)
    finally:
        monitor.release(1, 2, 3)
        assert sweep.wait(60) == 0
    assert (watch.returncode, errors) == (0, "")
    said = [json.loads(line) for line in [first, *out.splitlines()]]
    counts = [item["sweeps"][0]["done"] for item in said]
    assert counts == sorted(counts) and counts[-1] == 3
    last = said[-1]["sweeps"][0]
    assert last["state"] == "finished" and last["ended"] and last["running"] == []
    assert last["best"]["params"] == {"x": 1} and last["best"]["value"] == pytest.approx(0.81)
    assert any(item["sweeps"][0]["running"] for item in said)
    assert monitor.watch("s").returncode == 0  # a sweep that has ended needs no Ctrl-C


def test_watching_a_finished_sweep_changes_nothing(finished):
    before = files(finished.folder / "out")
    done = finished.watch("s")
    assert done.returncode == 0
    assert "3/3 done" in done.stdout and "best run" in done.stdout
    finished.look("--all")
    assert files(finished.folder / "out") == before


@pytest.mark.slow
def test_a_terminal_gets_the_picture_within_its_columns(finished):
    main, terminal = pty.openpty()
    finished.env |= {"COLUMNS": "60", "LINES": "24", "TERM": "xterm"}
    process = subprocess.Popen(
        finished.watch_command("s"), cwd=finished.folder, env=finished.env, stdout=terminal, stderr=subprocess.PIPE
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # Linux: the other end was closed
        while data := os.read(main, 65536):
            shown += data
    os.close(main)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    lines = plain.replace("\r", "\n").splitlines()
    assert any(line.startswith("s  finished  3/3 done") for line in lines)
    assert any("█" * 60 == line for line in lines)
    assert max(map(len, lines)) == 60
    assert b"\x1b[?25h" in shown  # the cursor is back


def test_a_record_that_goes_away_is_waited_for(monitor):
    assert monitor.ran("--count", "1").returncode == 0
    file, aside = monitor.folder / "out" / "sweepkit.db", monitor.folder / "aside.db"
    process = monitor.watching("s", "--json", "--refresh-interval", "0.05", "--until", "done")
    try:
        assert json.loads(process.stdout.readline())["notes"] == []
        file.rename(aside)
        notes = []
        while not notes:
            notes = json.loads(process.stdout.readline())["notes"]
        assert WORDS["the-database-cannot"] in notes[0]
        aside.rename(file)
        while notes:
            notes = json.loads(process.stdout.readline())["notes"]
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.slow
def test_until_failed_and_done_have_codes_of_their_own(monitor):
    monitor.write(FAILING)
    assert monitor.ran().returncode == 0
    failed = monitor.watch("s", "--until", "failed")
    assert failed.returncode == 3
    assert WORDS["failed-the-last"] in failed.stderr and "실패: x=2" in failed.stderr
    assert "last failures" in failed.stdout
    assert monitor.asked("s", "--until", "done").returncode == 0
    monitor.write(FAILING.replace("[good, fail]", "[fail]"), "all.yaml")
    monitor.ran(sweep="all.yaml")
    vain = monitor.asked("all", "--until", "done")
    assert vain.returncode == 3 and "none of its 2 runs finished well" in vain.stderr


def test_a_sweep_whose_runner_was_killed_is_stalled(monitor, endless):
    os.kill(endless.pid, signal.SIGKILL)
    endless.wait()
    # The lease is over: by the clock of the record, as if a minute had passed.
    with open_store(monitor.folder / "out" / "sweepkit.db") as store:
        sweep = store.sweep("s")
        (live,) = store.live_attempts(sweep.sweep_id)
        run = store.runs(sweep.sweep_id)[0]
        attempt = Attempt(
            attempt_id=live.attempt_id, token=live.token, run=run, ordinal=1, lease_until=live.lease_until
        )
        assert store.renew([attempt], lease_s=-1) == []
    done = monitor.watch("s", "--until", "stalled", "--until", "done")
    assert done.returncode == 4
    assert WORDS["the-lease-of"] in done.stderr
    assert monitor.look("s")["sweeps"][0]["running"][0]["lease_over"]


def test_all_shows_every_sweep(finished):
    finished.write(GRID.replace("[3, 1, 2]", "[7]"), "요약.yaml")
    assert finished.ran(sweep="요약.yaml").returncode == 0
    said = finished.look("--all")
    assert {item["name"]: item["done"] for item in said["sweeps"]} == {"s": 3, "요약": 1}
    assert finished.asked("--all", "--until", "done").returncode == 0
    (newest,) = finished.look()["sweeps"]  # without a name, as nothing runs
    assert newest["name"] == "요약"
    assert finished.look("요약")["sweeps"][0]["name"] == "요약"
    assert finished.look("out/sweep_요약", "--output-dir", "elsewhere")["sweeps"][0]["name"] == "요약"
    assert len(finished.look("--all", "--storage", "out/sweepkit.db")["sweeps"]) == 2
    assert sorted(path.name for path in finished.folder.iterdir()) == ["journal", "out", "s.yaml", "요약.yaml"]


def test_a_wrong_name_gets_the_nearest_ones(monitor):
    with open_store(monitor.folder / "out" / "sweepkit.db") as store:
        store.create_sweep("first_sweep", text=GRID, seed=0, metric="loss", goal="minimize")
    done = monitor.asked("frist_sweep", "--once")
    assert done.returncode == 2
    assert WORDS["sweep'-did-you"] in done.stderr
    assert monitor.look("first_sweep.yaml")["sweeps"][0]["name"] == "first_sweep"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["s"], "a record must be there to be watched, got no such file"),
        (["--all", "--storage", "sqlite:///no/where.db"], "got no such file"),
        (["../"], "must be a sweep's folder (sweep_NAME) or one that holds sweepkit.db"),
        (["--storage", "mysql://host/db"], "got the scheme 'mysql'"),
        (["--storage", "postgresql://user:secret@127.0.0.1:1/db"], "check that the server runs"),
        (["s", "--all"], "NAME and --all exclude each other"),
        (["--web", "--once"], "--web and --once exclude each other"),
        (["s", "--port", "80"], "give --web, too"),
        (["s", "--refresh-interval", "0"], "must be seconds between 0.05 and 86400"),
        (["s", "--until", "never"], "invalid choice"),
        (["--wandb", "project/id"], "must be ENTITY/PROJECT/ID or the URL of the sweep's page"),
        (["--wandb", "https://wandb.ai/team/project/runs/id"], "must be ENTITY/PROJECT/ID or the URL"),
        (["--wandb", ""], "must be ENTITY/PROJECT/ID or the URL"),
        (["--wandb", "e/p/i", "s"], "NAME and --wandb exclude each other"),
        (["--wandb", "e/p/i", "--web"], "--web and --wandb exclude each other"),
        (["--wandb", "e/p/i", "--storage", "x.db"], "--wandb and --storage exclude each other"),
        (["--wandb", "e/p/i", "--output-dir", "x"], "--wandb and --output-dir exclude each other"),
        (
            ["--wandb", "e/p/i", "--refresh-interval", "0.5"],
            "must be at least 2, got 0.5: W&B's server counts requests",
        ),
    ],
)
def test_wrong_input_is_one_message_and_makes_nothing(tmp_path, options, words):
    monitor = Monitor(tmp_path)
    done = monitor.asked(*options)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr and "secret" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_the_page_beside_the_monitor_shows_a_run_that_comes_later(monitor):
    assert monitor.ran("--count", "1").returncode == 0
    process = monitor.watching("s", "--web", "--port", "0", "--json", "--refresh-interval", "0.5")
    try:
        notes = []
        while not any(note.startswith("page: ") for note in notes):
            notes = json.loads(process.stdout.readline())["notes"]
        base, _, rest = next(note for note in notes if note.startswith("page: ")).removeprefix("page: ").partition("#")
        assert rest.startswith("/sweep/s?token=") and "<html" in fetch(base)
        assert monitor.ran().returncode == 0
        rows = f"{base}api/sweeps/s/-/rows"
        wait_until(lambda: len(json.loads(fetch(rows))["rows"]) == 3, "the new runs to show")
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "")


@pytest.mark.slow
def test_the_dashboard_shows_a_run_that_comes_later(monitor):
    assert monitor.ran("--count", "1").returncode == 0
    process = monitor.watching("s", "--optuna-dashboard", "--port", "0", "--json", "--refresh-interval", "0.5")
    try:
        notes = []
        while not any(note.startswith("dashboard: ") for note in notes):
            notes = json.loads(process.stdout.readline())["notes"]
        url = next(note for note in notes if note.startswith("dashboard: ")).removeprefix("dashboard: ")
        base = url.removesuffix("/dashboard/")
        assert "<html" in fetch(url)
        (study,) = json.loads(fetch(f"{base}/api/studies"))["study_summaries"]
        assert study["study_name"] == "s"

        def trials():
            return json.loads(fetch(f"{base}/api/studies/{study['study_id']}?after=0"))["trials"]

        assert len(trials()) == 1
        assert monitor.ran().returncode == 0
        wait_until(lambda: len(trials()) == 3, "the new runs to show")
        assert [trial["number"] for trial in trials()] == [0, 1, 2]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "")
    with pytest.raises(OSError):  # the dashboard ended with us
        fetch(url)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_sweep_on_a_server_is_watched_by_its_url(monitor, postgres_database):
    assert monitor.ran("--storage", postgres_database).returncode == 0
    (sweep,) = monitor.look("s", "--storage", postgres_database)["sweeps"]
    assert (sweep["done"], sweep["best"]["params"]) == (3, {"x": 1})
    assert monitor.asked("s", "--until", "done", "--storage", postgres_database).returncode == 0
