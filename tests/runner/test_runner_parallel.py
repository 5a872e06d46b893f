"""parallel_sweep_runner.py as a user runs it: slots, several sweeps, control from elsewhere, agents that join."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import replace

import pytest
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper, in_this_process
from waiting import wait_until

from sweepkit.agents.control import ASKED, stop_run
from sweepkit.agents.environments import keep_environment
from sweepkit.cli import app, parallel_sweep_runner
from sweepkit.model.records import SweepState
from sweepkit.paths import CODE_DIR, find_config
from sweepkit.runner.opening import SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_join_plan, make_plan
from sweepkit.runner.relocation import other_version
from sweepkit.store.open import open_store

pytestmark = pytest.mark.slow

WORDS = words_of(__file__)

SWEEP = """\
program: {program}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  number: {{values: {numbers}}}
"""
SEEN = """\
import json, os, socket, sys, tempfile
number = int(sys.argv[1].split("=")[1])
names = ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MASTER_PORT", "TMPDIR", "TRITON_CACHE_DIR"]
with socket.socket() as port:
    port.bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    seen = {name: os.environ.get(name) for name in names} | {"number": number, "temp": tempfile.gettempdir()}
    tempfile.mkstemp()
    with open("seen", "a") as file:
        file.write(json.dumps(seen) + "\\n")
open(os.environ["SWEEPKIT_REPORT_FILE"], "a").write('{"loss": 1.0}\\n')
"""


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.env["CUDA_VISIBLE_DEVICES"] = ""
    yield made
    for process in made.processes:  # those of a test that failed
        process.kill()
        with contextlib.suppress(ValueError):  # read to its end already
            process.communicate()


def write(sweeper, numbers, name="s.yaml", more="", program=PROGRAMS / "journal.py"):
    sweeper.write(SWEEP.format(program=program, numbers=list(numbers)) + more, name)


def exactly_once(sweeper, runs):
    """Let the journal judge: every configuration was started and ended once."""
    journal = sweeper.journal()
    for word in ("start", "end"):
        assert sorted(number for kind, number, _, _ in journal if kind == word) == list(range(runs)), word


def most_at_once(journal):
    """Return how many runs were under way at the same time, at most."""
    under_way = most = 0
    for word, _, _, _ in sorted(journal, key=lambda entry: entry[3]):
        under_way += 1 if word == "start" else -1
        most = max(most, under_way)
    return most


# -- slots -------------------------------------------------------------------------------------------------------------


def test_each_run_sees_its_own_gpus_temp_names_and_ports_and_leaves_no_temp_file(sweeper, tmp_path):
    sweeper.env |= {"CUDA_VISIBLE_DEVICES": "4,GPU-ab,6,7,9", "TMPDIR": str(tmp_path / "t")}
    (tmp_path / "t").mkdir()
    sweeper.write(SEEN, "seen.py")
    write(sweeper, range(8), program="seen.py")
    done = sweeper.parallel(
        "--single-parallel", "s.yaml", "--gpus", "4,GPU-a,7,9", "--gpus-per-run", "2", "--cpus-per-run", "3", "--json"
    )
    assert sweeper.ended(done)["s"]["counts"] == {"finished": 8}
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert {row["CUDA_VISIBLE_DEVICES"] for row in seen} == {"4,GPU-ab", "7,9"}
    assert {row["OMP_NUM_THREADS"] for row in seen} == {"3"}
    assert len({row["TMPDIR"] for row in seen}) == 8 and all(row["temp"] == row["TMPDIR"] for row in seen)
    caches = {(row["CUDA_VISIBLE_DEVICES"], row["TRITON_CACHE_DIR"]) for row in seen}
    assert len(caches) == 2 and len({cache for _, cache in caches}) == 2
    assert not [path for path in (tmp_path / "t").iterdir() if path.name.startswith("sweepkit-")]
    results = sweeper.results()
    assert {result["device"] for result in results} == {"gpu 4,GPU-ab", "gpu 7,9"}


def test_workers_run_at_once_within_their_limits_and_are_told_that_cores_are_few(sweeper):
    cores = len(os.sched_getaffinity(0))
    write(sweeper, range(10))
    options = ["--num-workers", str(cores + 2), "--runs-per-worker", "2", "--stagger", "0.05"]
    sweeper.env["DURATION"] = "0"
    sweeper.hold()
    process = sweeper.parallel("--single-parallel", "s.yaml", *options)
    wait_until(lambda: len(sweeper.journal()) == min(10, cores + 2), "every worker to have a run")
    sweeper.release(*range(10))
    out = sweeper.finished(process)
    assert f"{cores + 2} workers with 1 core each share the {cores} cores" in out
    made = min(10, 2 * (cores + 2))
    assert len(sweeper.results()) == made
    assert most_at_once(sweeper.journal()) == min(10, cores + 2)
    if made < 10:
        assert "--runs-per-worker 2 reached" in out
    done = sweeper.ended(sweeper.parallel("--single-parallel", "s.yaml", "--json"))["s"]
    assert (done["complete"], done["counts"]) == (True, {"finished": 10})
    exactly_once(sweeper, 10)


def test_a_worker_rests_between_runs_and_the_first_starts_are_spread(sweeper):
    write(sweeper, range(4))
    sweeper.env["DURATION"] = "0"
    options = ["--num-workers", "2", "--stagger", "0.5", "--delay", "1.0"]
    sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", *options))
    journal = sweeper.journal()
    starts = sorted(entry[3] for entry in journal if entry[0] == "start")
    assert starts[2] - starts[0] >= 1.0  # slot 0 rests; slot 1 began later than slot 0
    assert len(starts) == 4


def test_a_dry_run_shows_the_slots_of_a_machine_with_gpus(sweeper):
    sweeper.env["CUDA_VISIBLE_DEVICES"] = "0,1,2"
    write(sweeper, range(3))
    out = sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", "--dry-run", "--runs-per-gpu", "2"))
    shown = "0: gpu 0; 1: gpu 1; 2: gpu 2; 3: gpu 0; 4: gpu 1; 5: gpu 2"
    assert f"slots: {shown}" in out
    assert not (sweeper.folder / "out").exists()


# -- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpus", "0,7"], "--gpus: each must be one of 0, 1, got '7'"),
        (["--gpus", "1,1"], "--gpus: must name each GPU once"),
        (["--num-workers", "3"], "--num-workers: must be at most 2 (2 GPUs, 1 per run, 1 runs on each), got 3"),
        (["--gpus-per-run", "3"], "gpus_per_run: must be at most 2"),
        (["--storage", "postgresql://nobody@127.0.0.1:1/none"], "postgresql://nobody@127.0.0.1:1/none"),
        (["--gpus", "0,,1"], "must be indices or UUIDs"),
        (["--delay", "-1"], "must be a number of seconds"),
        (["--storage", "file/below"], "its folder must be there or be made"),
    ],
)
def test_wrong_options_are_one_message_and_nothing_is_written(sweeper, monkeypatch, options, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    write(sweeper, range(3))
    (sweeper.folder / "file").touch()
    before = sorted(sweeper.folder.rglob("*"))
    argv = ["--output-dir", "out", "--single-parallel", "s.yaml", *options]
    done = in_this_process(parallel_sweep_runner.main, argv, sweeper.folder)
    assert done.returncode == 2 and message in done.stderr
    assert sorted(sweeper.folder.rglob("*")) == before


def test_a_record_of_a_newer_sweepkit_is_left_alone(sweeper):
    import sqlite3

    write(sweeper, range(3))
    store = open_store(sweeper.folder / "new.db")
    store.close()
    with sqlite3.connect(sweeper.folder / "new.db") as database:
        database.execute("INSERT INTO migrations VALUES ('m999_future', 0)")
    database.close()
    err = sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", "--storage", "new.db"), rc=2)
    assert "newer sweepkit" in err and "m999_future" in err
    assert sweeper.results() == [] and sweeper.journal() == []


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 1 MiB; skip where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a disk here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_at_the_start_is_a_message(sweeper, small_disk):
    write(sweeper, range(3))
    with open(small_disk / "filler", "wb") as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(65536))
            filler.flush()
    done = sweeper.parallel("--single-parallel", "s.yaml", "--output-dir", str(small_disk / "out"))
    err = sweeper.finished(done, rc=2)
    assert err.startswith("error: ") and "Traceback" not in err and len(err.splitlines()) == 1
    assert sweeper.journal() == []


def test_a_disk_that_takes_no_writes_is_a_message(sweeper, small_disk):
    write(sweeper, range(3))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    err = sweeper.finished(
        sweeper.parallel("--single-parallel", "s.yaml", "--output-dir", str(small_disk / "out")), rc=2
    )
    assert err.startswith("error: ") and "Traceback" not in err
    assert sweeper.journal() == []


def starts(sweeper):
    """Return the numbers of the runs that have started, in that order."""
    return [number for word, number, _, _ in sweeper.journal() if word == "start"]


# -- several sweeps ----------------------------------------------------------------------------------------------------


def test_sweeps_share_the_workers_fairly_and_each_has_its_own_files(sweeper):
    write(sweeper, range(8), "a.yaml")
    write(sweeper, range(100, 108), "b.yaml")
    write(sweeper, range(200, 204), "c.yaml")
    sweeper.env["DURATION"] = "0"
    sweeper.hold()
    process = sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "c.yaml", "--num-workers", "3", "--json")
    for turn in range(0, 9, 3):
        wait_until(lambda turn=turn: len(starts(sweeper)) == turn + 3, "each worker to have a run")
        three = starts(sweeper)[turn:]
        assert sorted(number // 100 for number in three) == [0, 1, 2], starts(sweeper)
        sweeper.release(*three)
    sweeper.release(*range(8), *range(100, 108), *range(200, 204))
    done = sweeper.ended(process)
    assert {name: item["counts"]["finished"] for name, item in done.items()} == {"a": 8, "b": 8, "c": 4}
    assert all(item["complete"] for item in done.values())
    for name, number in (("a", 0), ("b", 100), ("c", 200)):
        assert len(sweeper.results(name)) == done[name]["counts"]["finished"]
        assert (sweeper.folder / "out" / f"sweep_{name}" / "runs.csv").exists()
        assert done[name]["best"]["params"] == {"number": number}


def test_lines_of_several_sweeps_carry_their_names(sweeper):
    write(sweeper, range(2), "a.yaml")
    write(sweeper, range(2), "b.yaml")
    sweeper.env["DURATION"] = "0"
    out = sweeper.finished(sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "--num-workers", "2"))
    for name in ("a", "b"):
        assert out.count(f"{name}: run ") == 2
        assert f"{name}: complete" in out


def test_a_sweep_that_is_broken_takes_no_slot_from_the_others(sweeper):
    sweeper.write("raise SystemExit('always')", "bad.py")
    write(sweeper, range(30), "a.yaml", program="bad.py")
    write(sweeper, range(12), "b.yaml")
    sweeper.env["DURATION"] = "0"
    done = sweeper.ended(sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "--num-workers", "2", "--json"), rc=1)
    assert done["b"]["counts"] == {"finished": 12}
    assert not done["a"]["complete"] and "all failed" in done["a"]["reason"]


LOST = """\
import os, sys
if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
    sys.exit("RuntimeError: CUDA error: the GPU has fallen off the bus")
open(os.environ["SWEEPKIT_REPORT_FILE"], "a").write('{"loss": 1.0}\\n')
"""


def test_a_gpu_that_one_sweep_lost_is_lost_for_all(sweeper):
    sweeper.env |= {"CUDA_VISIBLE_DEVICES": "0,1", "DURATION": "0.2"}
    sweeper.write(LOST, "lost.py")
    rule = "sweepkit: {on_failure: [{match: fallen off the bus, do: quarantine}]}\n"
    write(sweeper, range(4), "a.yaml", program="lost.py", more=rule)
    write(sweeper, range(6), "b.yaml")
    done = sweeper.ended(sweeper.parallel("--sweeps", "b.yaml", "a.yaml", "--json"))
    assert {name: item["counts"] for name, item in done.items()} == {"a": {"finished": 4}, "b": {"finished": 6}}
    lost_at = min(result["started_at"] for result in sweeper.results("a") if result["attempts"] == 2)
    later = [result for result in sweeper.results("b") if result["started_at"] > lost_at]
    assert {result["device"] for result in [*later, *sweeper.results("a")]} == {"gpu 0"}


def test_the_same_sweep_twice_is_refused(sweeper):
    write(sweeper, range(2), "a.yaml")
    err = sweeper.finished(sweeper.parallel("--sweeps", "a.yaml", "a.yaml"), rc=2)
    assert "got 'a' twice" in err and not (sweeper.folder / "out").exists()


# -- control from another terminal -------------------------------------------------------------------------------------


def started(sweeper, *options):
    """Start a sweep of twelve runs on two workers, which are held, and wait for the first one."""
    write(sweeper, range(12))
    sweeper.env["DURATION"] = "0.5"
    sweeper.hold()
    process = sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "2", "--json", *options)
    wait_until(sweeper.journal, "the first run to start")
    return process


def under_way(sweeper):
    """Return whether the record has runs that are being executed."""
    with open_store(sweeper.folder / "out" / "sweepkit.db") as store:
        return store.live_attempts(store.sweep("s").sweep_id)


def heard(process, words):
    """Read the runner's events up to the notice that has the words."""
    for line in process.stdout:
        if words in json.loads(line).get("text", ""):
            return
    raise AssertionError(f"it never said {words!r}")


def test_a_sweep_is_paused_and_goes_on(sweeper):
    process = started(sweeper)
    done = sweeper.control("--pause", "s")
    assert done.returncode == 0 and done.stdout.startswith("s: paused; "), done.stderr
    heard(process, "s paused by --pause: ")
    sweeper.release(*range(12))
    wait_until(lambda: not under_way(sweeper), "the running runs to end")
    journal = len(sweeper.journal())
    again = sweeper.control("--pause", "s")
    assert again.returncode == 2 and WORDS["needs-one-that"] in again.stderr
    assert len(sweeper.journal()) == journal < 24, "a run started in a paused sweep"
    assert sweeper.control("--resume", "s").returncode == 0
    assert sweeper.ended(process)["s"]["counts"] == {"finished": 12}
    exactly_once(sweeper, 12)


def test_a_stopped_sweep_ends_its_runs_and_its_runner_and_can_be_started_again(sweeper):
    process = started(sweeper)
    assert sweeper.control("--stop", "s").returncode == 0
    sweeper.release(*range(12))
    done = sweeper.ended(process)["s"]
    assert (done["complete"], done["reason"]) == (False, "stopped by --stop")
    assert set(done["counts"]) == {"finished"} and done["counts"]["finished"] < 12
    assert len(sweeper.journal()) == 2 * done["counts"]["finished"]
    err = sweeper.finished(sweeper.parallel("--join", "s"), rc=2)
    assert WORDS["needs-a-sweep"] in err
    sweeper.env["DURATION"] = "0"
    assert sweeper.ended(sweeper.parallel("--single-parallel", "s.yaml", "--json"))["s"]["complete"]
    exactly_once(sweeper, 12)


def test_a_cancelled_sweep_terminates_its_runs_and_gives_them_back(sweeper):
    write(sweeper, range(4))
    sweeper.env["DURATION"] = "1000"
    process = sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "2", "--json")
    wait_until(lambda: len(sweeper.journal()) == 2, "two runs to start")
    assert json.loads(sweeper.control("--cancel", "s", "--json", really=True).stdout)["state"] == "cancelled"
    done = sweeper.ended(process, rc=1)["s"]
    assert (done["complete"], done["counts"]) == (False, {"pending": 2})
    assert done["reason"] == "cancelled by --cancel"
    sweeper.env["DURATION"] = "0"
    assert sweeper.ended(sweeper.parallel("--single-parallel", "s.yaml", "--json"))["s"]["counts"] == {"finished": 4}


def test_a_run_that_is_stopped_by_hand_ends_alone_and_counts_as_stopped(sweeper):
    write(sweeper, range(2))
    sweeper.env["DURATION"] = "1000"
    process = sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "2", "--json")
    wait_until(lambda: len(sweeper.journal()) == 2, "two runs to start")
    record = sweeper.folder / "out" / "sweepkit.db"
    with open_store(record) as store:
        first, second = (live.run_id for live in store.live_attempts(store.sweep("s").sweep_id))
    said = in_this_process(app.main, ["stop", "s", "--run", first, "--output-dir", "out", "--json"], sweeper.folder)
    assert (said.returncode, json.loads(said.stdout)["attempt"]) == (0, f"{first}-1"), said.stderr
    with open_store(record) as store:
        stop_run(store, "s", second, who="minji (page)")
    assert sweeper.ended(process)["s"]["counts"] == {"stopped": 2}
    with open_store(record) as store:
        reasons = {run.run_id: run.reason for run in store.runs(store.sweep("s").sweep_id)}
        assert reasons[second] == "stopped by hand by minji (page)" and reasons[first].startswith("stopped by hand by ")
        assert store.sweep("s").meta[ASKED][1]["who"] == "minji (page)"


def test_one_of_two_sweeps_is_cancelled_and_the_other_goes_on(sweeper):
    write(sweeper, range(4), "a.yaml")
    write(sweeper, range(4, 8), "b.yaml", more="sweepkit: {kill_delay_s: 5}\n")
    sweeper.env["DURATION"] = "0"
    sweeper.hold()
    process = sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "--num-workers", "2", "--json")
    wait_until(lambda: len(sweeper.journal()) >= 2, "two runs to start")
    sweeper.control("--cancel", "a")
    sweeper.release(*range(4, 8))  # and none of the other sweep, which end by being cancelled
    done = sweeper.ended(process, rc=1)
    assert done["b"]["counts"] == {"finished": 4}
    assert not done["a"]["complete"] and done["a"]["reason"] == "cancelled by --cancel"


def test_control_of_what_is_not_there_is_refused_and_makes_no_record(sweeper):
    assert sweeper.control("--stop", "s").returncode == 2
    assert not (sweeper.folder / "out").exists()
    write(sweeper, [1])
    sweeper.env["DURATION"] = "0"
    sweeper.summary()
    done = sweeper.control("--stop", "ss")
    assert done.returncode == 2 and "did you mean 's'?" in done.stderr
    done = sweeper.control("--resume", "s")
    assert done.returncode == 2 and WORDS["needs-one-that-is"] in done.stderr


def test_a_time_budget_starts_no_further_run(sweeper):
    write(sweeper, range(12), more="sweepkit: {time_budget_s: 2.5}\n")
    sweeper.env["DURATION"] = "1.2"
    done = sweeper.ended(sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "1", "--json"))["s"]
    assert (done["complete"], done["reason"]) == (False, WORDS["the-time-budget"])
    assert set(done["counts"]) == {"finished"} and 1 <= done["counts"]["finished"] < 12


# -- several agents ----------------------------------------------------------------------------------------------------


def test_a_second_runner_with_other_options_is_refused_while_the_first_one_lives(sweeper):
    process = started(sweeper)
    err = sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "1"), rc=2)
    assert f"process {process.pid} runs it on this host with other options" in err
    assert "workers: 2 → 1" in err and "--join s" in err
    process.kill()
    process.communicate()
    sweeper.env["DURATION"] = "0"
    sweeper.release(*range(12))
    done = sweeper.parallel("--single-parallel", "s.yaml", "--num-workers", "1", "--json")
    assert sweeper.ended(done)["s"]["counts"] == {"finished": 12}


def join_and_take_away(sweeper, storage, number):
    """Two agents on one sweep of forty runs; one of them is ended by a signal; a third one joins."""
    runs = 40
    write(sweeper, range(runs), more=f"run_cap: {runs}\n")
    sweeper.env["DURATION"] = "0.25" if number else "0"
    sweeper.hold()
    first = sweeper.parallel("--single-parallel", "s.yaml", *storage, "--num-workers", "2", "--json")
    wait_until(lambda: len(sweeper.journal()) == 2, "two runs to start")
    elsewhere = sweeper.folder / "elsewhere"
    elsewhere.mkdir()
    second = sweeper.parallel("--join", "s", *storage, "--num-workers", "2", "--json", cwd=elsewhere)
    for line in second.stdout:
        if json.loads(line)["event"] == "run_started":
            break
    sweeper.release(*range(runs))
    if number is not None:
        first.send_signal(number)
        codes = {signal.SIGINT: 130, signal.SIGTERM: 0, signal.SIGKILL: -9}
        first.communicate(timeout=60)
        assert first.returncode == codes[number]
    else:
        assert sweeper.ended(first)["s"]["counts"] == {"finished": runs}
    done = sweeper.ended(second)["s"]
    assert (done["complete"], done["counts"]) == (True, {"finished": runs})
    ends = sorted(number for word, number, _, _ in sweeper.journal() if word == "end")
    if number in (None, signal.SIGINT):
        exactly_once(sweeper, runs)
    else:  # what was under way was run again, what had ended was not
        assert sorted(set(ends)) == list(range(runs)) and len(ends) <= runs + 2
    return done


@pytest.mark.parametrize(
    "number",
    [*(pytest.param(number, marks=pytest.mark.heavy) for number in (signal.SIGINT, signal.SIGTERM)), signal.SIGKILL],
)
def test_an_agent_joins_and_the_first_one_is_taken_away(sweeper, number):
    join_and_take_away(sweeper, ["--storage", str(sweeper.folder / "record.db")], number)


@pytest.mark.postgres
def test_two_agents_make_each_run_once_on_postgresql(sweeper, postgres_database):
    join_and_take_away(sweeper, ["--storage", postgres_database], None)


BOTH = """\
import json, os, pathlib, time
gpu = os.environ["CUDA_VISIBLE_DEVICES"]
pathlib.Path(f"gpu-{gpu}").touch()
while not all(pathlib.Path(f"gpu-{other}").exists() for other in "01"):
    time.sleep(0.01)
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"loss": int(gpu)}) + "\\n")
"""


def test_two_runners_with_a_gpu_each_work_together(sweeper):
    sweeper.write(BOTH, "both.py")  # no run ends before each GPU has had one
    write(sweeper, range(4), program="both.py")
    processes = []
    for gpu in ("0", "1"):  # as guides start them: the same command, another CUDA_VISIBLE_DEVICES
        sweeper.env["CUDA_VISIBLE_DEVICES"] = gpu
        process = sweeper.start("--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        sweeper.processes.append(process)
        wait_until((sweeper.folder / f"gpu-{gpu}").exists, "its first run")
        processes.append(process)
    endings = [sweeper.ended(process)["s"] for process in processes]
    assert [ending["counts"] for ending in endings] == [{"finished": 4}] * 2
    assert all(ending["complete"] for ending in endings)
    assert {(result["device"], result["attempts"]) for result in sweeper.results()} == {("gpu 0", 1), ("gpu 1", 1)}


def test_two_runners_with_other_options_than_their_gpus_are_still_refused(sweeper):
    sweeper.env["CUDA_VISIBLE_DEVICES"] = "0"
    process = started(sweeper, "--num-workers", "1")
    for gpu, options, said in (("1", ["--cold"], "--cold"), ("0,1", [], "slots")):
        sweeper.env["CUDA_VISIBLE_DEVICES"] = gpu
        err = sweeper.finished(sweeper.parallel("--single-parallel", "s.yaml", *options), rc=2)
        assert said in err, (gpu, err)
    process.kill()
    process.communicate()


def test_a_joining_agent_brings_no_search_of_its_own(sweeper):
    write(sweeper, range(3))
    sweeper.env["DURATION"] = "0"
    assert sweeper.call("--count", "1").returncode == 0
    err = sweeper.finished(sweeper.parallel("--join", "s", "--sampler", "tpe"), rc=2)
    assert WORDS["takes-all-of"] in err
    done = sweeper.ended(sweeper.parallel("--join", "s", "--json"))["s"]
    assert (done["complete"], done["counts"]) == (True, {"finished": 3})


def test_a_base_configuration_that_is_not_on_this_host_comes_from_the_record(sweeper):
    base = find_config("quick_test").read_text(encoding="utf-8")
    sweeper.write(base, "my_base.yaml")
    text = "program: trainer.py\nmethod: grid\nmetric: {name: l}\nparameters: {learning_rate: {values: [1e-3]}}\n"
    sweeper.write(text, "t.yaml")
    options = RunOptions(output_dir=sweeper.folder / "out")
    plan = make_plan(replace(options, base_config=sweeper.folder / "my_base.yaml"), str(sweeper.folder / "t.yaml"))
    meta = plan.meta(None)
    assert meta["base_config_text"] == base
    with open_store(plan.storage) as store:
        record, _ = store.create_sweep(
            "t",
            text=text,
            seed=0,
            metric="l",
            goal="minimize",
            meta={**meta, "code_dir": "/another/checkout", "program": "/another/checkout/trainer.py"},
        )
        assert make_join_plan(options, record).base_config == sweeper.folder / "my_base.yaml"
        (sweeper.folder / "my_base.yaml").write_text("other: 1\n")
        joined = make_join_plan(options, record)
        assert joined.program == str(CODE_DIR / "trainer.py") and joined.trains
        opener = SweepOpener(options, joined, store, slots=())
        opener.check_others()
        opener.take_up(record).write_inputs()
        assert joined.base_config.read_text(encoding="utf-8") == base
        assert joined.base_config.is_relative_to(sweeper.folder / "out")


HELPED = """\
import json, os
import helper
open(os.environ["SWEEPKIT_REPORT_FILE"], "a").write(json.dumps({"loss": helper.LOSS}) + "\\n")
"""


def test_an_agent_whose_program_or_packages_are_others_is_told_before_its_first_run(sweeper, tmp_path, monkeypatch):
    """In another copy of the project it is refused: nothing says that the copy is this sweep's at all."""
    sweeper.write(HELPED, "helped.py")
    sweeper.write("LOSS = 1.0", "helper.py")
    (sweeper.folder / "sweepkit.toml").touch()
    write(sweeper, range(2), program="helped.py")
    assert sweeper.call("--count", "1").returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(sweeper.folder, copy, ignore=shutil.ignore_patterns("out*"))
    (copy / "helper.py").write_text("LOSS = 2.0")
    with open_store(sweeper.folder / "out" / "sweepkit.db") as store:
        (record,) = store.sweeps()
        elsewhere = replace(record, meta={**record.meta, "program": "/gone/from/here/helped.py"})
        refused = other_version(elsewhere, copy)
        assert str(copy / "helped.py") in refused and "helper.py" in refused
        options = RunOptions(output_dir=sweeper.folder / "out")
        monkeypatch.setattr("sweepkit.runner.opening.sqlite_file", lambda storage: None)  # as in PostgreSQL
        keep_environment(store, record.sweep_id)
        opener = SweepOpener(options, make_join_plan(options, record), store, slots=())
        assert len(opener.open().notes) == 1  # how far it is
        (sweeper.folder / "helper.py").write_text("LOSS = 2.0")
        _, program = opener.open().notes
        store.keep_file(record.sweep_id, "environment", b'{"numpy": "0.1"}')
        *_, packages = opener.open().notes
    assert "helper.py" in program and "numpy 0.1" in packages


# -- Ctrl-C and preemption ---------------------------------------------------------------------------------------------


def test_ctrl_c_waits_for_all_sweeps_and_they_resume(sweeper):
    write(sweeper, range(4), "a.yaml")
    write(sweeper, range(4, 8), "b.yaml")
    sweeper.env["DURATION"] = "0.8"
    process = sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "--num-workers", "2", "--json")
    wait_until(lambda: len(sweeper.journal()) >= 2, "two runs to start")
    process.send_signal(signal.SIGINT)
    done = sweeper.ended(process, rc=130)
    assert [item["reason"] for item in done.values()] == ["interrupted"] * 2
    assert all(set(item["counts"]) == {"finished"} for item in done.values())
    sweeper.env["DURATION"] = "0"
    sweeper.ended(sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "--json"))
    exactly_once(sweeper, 8)


def test_sigterm_gives_the_runs_of_all_sweeps_back_and_is_no_failure(sweeper):
    write(sweeper, range(2), "a.yaml")
    write(sweeper, range(2, 4), "b.yaml")
    sweeper.env["DURATION"] = "1000"
    process = sweeper.parallel("--sweeps", "a.yaml", "b.yaml", "--num-workers", "2", "--json")
    wait_until(lambda: len(sweeper.journal()) >= 2, "two runs to start")
    process.terminate()
    done = sweeper.ended(process)
    assert [item["counts"] for item in done.values()] == [{"pending": 1}] * 2
    with open_store(sweeper.folder / "out" / "sweepkit.db") as store:
        assert {store.sweep(name).state for name in ("a", "b")} == {SweepState.RUNNING}


# -- memory of a GPU ---------------------------------------------------------------------------------------------------


PYNVML = """\
import os, types

class NVMLError(Exception):
    pass

def nvmlInit():
    pass

def nvmlDeviceGetHandleByIndex(index):
    return index

def nvmlDeviceGetMemoryInfo(index):
    used = 60 if index == 1 and os.path.exists(os.environ["STRANGER"]) else 2
    return types.SimpleNamespace(free=(80 - used) << 30, total=80 << 30)
"""


def test_a_gpu_that_a_stranger_fills_is_waited_for_while_the_others_work(sweeper):
    (sweeper.folder / "fake").mkdir()
    sweeper.write(PYNVML, "fake/pynvml.py")
    stranger = sweeper.folder / "stranger"
    stranger.touch()
    sweeper.env |= {
        "PYTHONPATH": str(sweeper.folder / "fake"),
        "STRANGER": str(stranger),
        "CUDA_VISIBLE_DEVICES": "0,1",
        "DURATION": "0.2",
    }
    write(sweeper, range(20))
    process = sweeper.parallel("--single-parallel", "s.yaml", "--json")
    heard(process, "slot 1 waits: GPU 1 has 20.0 of 80.0 GiB free, a run needs 64.0")
    wait_until(lambda: len(sweeper.journal()) > 4, "the other GPU to work")
    assert most_at_once(sweeper.journal()) == 1
    stranger.unlink()
    heard(process, "slot 1 (gpu 1) has room now")
    assert sweeper.ended(process)["s"]["counts"] == {"finished": 20}
    assert {result["device"] for result in sweeper.results()} == {"gpu 0", "gpu 1"}
