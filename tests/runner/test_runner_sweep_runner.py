"""sweep_runner.py as a user runs it: the real script in its own process, with programs that are not ours."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
import warm
from bad_sweeps import BAD_SWEEPS
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper
from waiting import wait_until

from sweepkit.paths import CODE_DIR

WORDS = words_of(__file__)

GRID = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [3, 1, 2]}}
"""
TRAINER_TYPO = """\
program: trainer.py
method: bayes
metric: {name: l}
parameters: {learning_rat: {value: 1}}
"""


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.write(GRID)
    return made


def xs(results):
    return sorted(result["sweep_params"]["x"] for result in results)


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A sweep by an interpreter of its own that tells what it imports, and how it ended."""
    sweeper = Sweeper(tmp_path_factory.mktemp("cold"))
    sweeper.write(GRID)
    sweeper.env["PYTHONPROFILEIMPORTTIME"] = "1"
    return sweeper, sweeper.call(cold=True)


@pytest.mark.slow
def test_a_grid_leaves_table_best_configuration_and_results(cold):
    sweeper, done = cold
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("import time:")] == []
    out = sweeper.folder / "out" / "sweep_s"
    results = sweeper.results()
    assert xs(results) == [1, 2, 3]
    for result in results:
        x = result["sweep_params"]["x"]
        assert result["best_metrics"]["loss"] == pytest.approx(x * 0.81)
        assert result["last_metrics"] == {"loss": pytest.approx(x * 0.81), "step_squared": 4}
        assert (result["state"], result["attempts"], result["exit_code"]) == ("finished", 1, 0)
        assert result["device"] and result["host"] and result["peak_memory_mb"] > 1
        assert result["package_versions"]["python"] == sys.version.split()[0]
        assert (out / result["history_file"]).exists()
    assert (out / "runs.csv").read_text().splitlines()[1].startswith("1,")
    assert "x: 1" in (out / "best_config.yaml").read_text()
    assert (out / "sweep.yaml").read_text() == GRID
    assert (sweeper.folder / "out" / "sweepkit.db").exists()
    assert sorted(path.name for path in sweeper.folder.iterdir()) == ["journal", "out", "s.yaml"]
    assert "best: run" in done.stdout and "3/3 done" in done.stdout


@pytest.mark.slow
def test_no_heavy_library_is_loaded_for_a_small_sweep(cold):
    """Each takes longer to load than such a sweep to run."""
    loaded = {line.rpartition("|")[2].strip() for line in cold[1].stderr.splitlines()}
    assert "sweepkit.reports.study_report" in loaded  # the report is among what it made
    assert not loaded & {"scipy", "pandas", "optuna", "torch", "sklearn", "matplotlib", "wandb"}


def test_json_tells_every_event_and_ends_with_the_summary(sweeper):
    done = sweeper.call("--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("run_started") == kinds.count("run_ended") == 3
    assert kinds.count("report") == 9
    assert events[-1]["event"] == "sweep_ended"
    assert events[-1]["best"]["params"] == {"x": 1}
    assert [row["value"] for row in events[-1]["runs"]] == sorted(row["value"] for row in events[-1]["runs"])


def test_dry_run_shows_and_writes_nothing(sweeper):
    before = sorted(sweeper.folder.rglob("*"))
    done = sweeper.asked("--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert plan["runs"] == 3
    assert plan["first"] == [{"x": 3}, {"x": 1}, {"x": 2}]
    assert [command[-1] for command in plan["commands"]] == ["--x=3", "--x=1", "--x=2"]
    assert plan["slots"][0]["cpus"] >= 1
    assert set(plan) == {"runs", "left", "certain", "seed", "first", "commands", "slots"}
    assert sorted(sweeper.folder.rglob("*")) == before
    assert "estimate: none" in sweeper.asked("--dry-run").stdout
    assert sweeper.call("--count", "1").returncode == 0
    assert WORDS["as-measured-so"] in sweeper.asked("--dry-run").stdout


def test_an_unbounded_sweep_is_null_in_a_dry_run(sweeper):
    sweeper.write("method: random\nprogram: s.py\nparameters: {x: {min: 0.0, max: 1.0}}\nsweepkit: {seed: 1}\n")
    sweeper.write("", "s.py")
    plan = json.loads(sweeper.asked("--dry-run", "--json").stdout)
    assert plan["runs"] is None
    assert len(plan["first"]) == 100


@pytest.mark.parametrize(("name", "text", "message", "line"), BAD_SWEEPS, ids=[row[0] for row in BAD_SWEEPS])
def test_every_kind_of_bad_sweep_is_refused_with_its_line_and_nothing_written_d16(sweeper, name, text, message, line):
    sweeper.write(text, "bad.yaml")
    before = sorted(sweeper.folder.rglob("*"))
    done = sweeper.asked(sweep="bad.yaml")
    assert done.returncode == 2
    assert message in done.stderr
    assert f"bad.yaml:{line}:" in done.stderr if line else "bad.yaml" in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert sorted(sweeper.folder.rglob("*")) == before


@pytest.mark.parametrize(
    "row", [BAD_SWEEPS[0], pytest.param(BAD_SWEEPS[-1], marks=pytest.mark.heavy)], ids=lambda row: row[0]
)
def test_a_bad_sweep_is_refused_by_the_real_script(sweeper, row):
    sweeper.write(row[1], "bad.yaml")
    before = sorted(sweeper.folder.rglob("*"))
    done, said = sweeper.call(sweep="bad.yaml"), sweeper.asked(sweep="bad.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said.stderr)
    assert sorted(sweeper.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (GRID.replace("loss.py", "lost.py"), [], "did you mean 'loss.py'?"),
        (GRID.replace("program:", "description:"), [], "add `program: trainer.py`"),
        (GRID, ["--sampler", "tpe"], "grid"),
        (
            TRAINER_TYPO,
            [],
            "learning_rate",
        ),
        (GRID, ["--storage", "mysql://x"], "mysql"),
        (GRID, ["--base-config", "none.yaml"], None),
        (GRID.replace("parameters:", "sweepkit: {prior_runs: [nothing]}\nparameters:"), [], "prior_runs"),
    ],
)
def test_other_mistakes_are_told_before_anything_runs(sweeper, text, options, message):
    sweeper.write(text)
    if message is None:  # an unused option is no mistake
        assert sweeper.call(*options).returncode == 0
        return
    done = sweeper.asked(*options)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert sweeper.results() == []


def test_a_sweep_file_that_is_not_there_names_the_nearest(sweeper):
    done = sweeper.asked(sweep="first_swep")
    assert done.returncode == 2
    assert "first_sweep" in done.stderr


def test_wrong_options_are_exit_code_2(sweeper):
    assert sweeper.call("--count", "0").returncode == 2
    assert sweeper.asked("--sampler", "magic").returncode == 2


def test_the_program_is_looked_up_beside_the_yaml_then_in_the_working_directory(sweeper):
    (sweeper.folder / "sub").mkdir()
    sweeper.write("method: grid\nprogram: p.py\nparameters: {x: {value: 1}}\n", "sub/s.yaml")
    sweeper.write("print('from cwd')", "p.py")
    command = json.loads(sweeper.asked("--dry-run", "--json", sweep="sub/s.yaml").stdout)["commands"][0]
    assert command[2] == str(sweeper.folder / "p.py")
    sweeper.write("print('beside')", "sub/p.py")
    command = json.loads(sweeper.asked("--dry-run", "--json", sweep="sub/s.yaml").stdout)["commands"][0]
    assert command[2] == str(sweeper.folder / "sub" / "p.py")


# -- continuing --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_count_limits_a_call_and_the_same_command_continues(sweeper):
    first = sweeper.summary("--count", "2")
    assert (first["complete"], first["counts"]) == (False, {"finished": 2})
    ids = {result["run_id"] for result in sweeper.results()}
    second = sweeper.summary()
    assert (second["complete"], second["counts"]) == (True, {"finished": 3})
    assert ids < {result["run_id"] for result in sweeper.results()}
    third = sweeper.summary()
    assert (third["complete"], third["counts"]) == (True, {"finished": 3})


def test_a_count_that_just_finishes_the_sweep_finishes_it(sweeper):
    done = sweeper.summary("--count", "3")
    assert (done["complete"], done["reason"]) == (True, WORDS["runs-of-the"])


@pytest.mark.slow
def test_a_grid_with_more_values_continues(sweeper):
    sweeper.summary()
    sweeper.write(GRID.replace("[3, 1, 2]", "[0, 3, 1, 2, 4]"))
    done = sweeper.summary()
    assert done["counts"] == {"finished": 5}
    assert xs(sweeper.results()) == [0, 1, 2, 3, 4]


def test_any_other_change_is_refused_with_the_difference(sweeper):
    sweeper.summary()
    sweeper.write(GRID.replace("minimize", "maximize"))
    done = sweeper.asked()
    assert done.returncode == 2
    assert "minimize" in done.stderr and "maximize" in done.stderr and "--fresh" in done.stderr
    assert len(sweeper.results()) == 3


@pytest.mark.slow
def test_fresh_starts_anew_keeps_the_old_and_is_continued_by_the_plain_command(sweeper):
    sweeper.summary()
    fresh = sweeper.summary("--fresh", "--count", "1")
    assert fresh["sweep"] == "s-2"
    again = sweeper.summary()
    assert (again["sweep"], again["counts"]) == ("s-2", {"finished": 3})
    assert len(sweeper.results("s")) == len(sweeper.results("s-2")) == 3


def test_another_seed_than_the_recorded_one_is_refused(sweeper):
    sweeper.write(GRID.replace("method: grid", "method: random\nrun_cap: 2"))
    sweeper.summary("--seed", "1")
    assert sweeper.summary("--seed", "1")["complete"]
    done = sweeper.asked("--seed", "2")
    assert done.returncode == 2 and "--seed: 1 → 2" in done.stderr


@pytest.mark.slow
def test_same_seed_same_proposals_d28(sweeper):
    text = GRID.replace("method: grid", "method: random\nrun_cap: 6").replace(
        "{values: [3, 1, 2]}", "{min: 0.0, max: 1.0}"
    )
    sweeper.write(text)
    first = sweeper.summary("--seed", "5")
    second = sweeper.summary("--seed", "5", "--fresh")
    other = sweeper.summary("--seed", "6", "--fresh")
    order = [
        [row["params.x"] for row in sorted(summary["runs"], key=lambda row: row["number"])]
        for summary in (first, second, other)
    ]
    assert order[0] == order[1] != order[2]


@pytest.mark.slow
def test_two_first_starts_at_once_share_the_sweep(sweeper):
    sweeper.env["PAUSE"] = "0.05"
    sweeper.write(GRID.replace("[3, 1, 2]", str(list(range(12)))))
    both = [sweeper.start("--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    assert xs(sweeper.results()) == list(range(12))
    journal = sweeper.journal()
    assert len(journal) == 12, "a run was executed twice"


# -- how runs end ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_failures_have_their_last_line_as_reason_and_are_retried_on_demand_d26(sweeper):
    sweeper.env["FLAG"] = str(sweeper.folder / "flag")
    sweeper.write(GRID.replace("  x:", "  mode: {values: [good, fail-once]}\n  x:"))
    done = sweeper.summary()
    assert done["counts"] == {"finished": 5, "failed": 1}
    (failed,) = [result for result in sweeper.results() if result["state"] == "failed"]
    assert failed["reason"] == "RuntimeError: 실패: x=3.0 (exit code 1)"
    assert sweeper.summary("--retry-failed")["counts"] == {"finished": 6}


BROKEN = """\
    import os, sys
    x = float(sys.argv[1].split("=")[1])
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        file.write('{"loss": 1}\\n')
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"start {x:g} {os.getpid()} 0\\n")
    if x > 2 or os.path.exists("broken"):
        raise %s
"""


@pytest.mark.slow
def test_the_same_error_twice_is_not_tried_a_third_time_and_the_log_is_kept(sweeper):
    sweeper.write(BROKEN % "ValueError(f'at {os.getpid()}')", "broken.py")
    sweeper.write(GRID.replace(str(PROGRAMS / "loss.py"), "broken.py") + "sweepkit: {retries: 5}\n")
    done = sweeper.summary()
    assert done["counts"] == {"finished": 2, "failed": 1}
    assert [x for _, x, _, _ in sweeper.journal()].count(3) == 2
    (failed,) = [result for result in sweeper.results() if result["state"] == "failed"]
    assert WORDS["the-same-error"] in failed["reason"]
    assert failed["failed"]["kind"] == "program error"
    assert "raise ValueError" in failed["log_tail"]
    done = sweeper.summary("--retry-failed")  # a new start: two attempts more
    assert [x for _, x, _, _ in sweeper.journal()].count(3) == 4


@pytest.mark.slow
def test_a_full_disk_pauses_the_sweep_and_the_same_command_goes_on(sweeper):
    sweeper.write(BROKEN % "OSError(28, 'No space left on device')", "broken.py")
    sweeper.write(GRID.replace(str(PROGRAMS / "loss.py"), "broken.py").replace("[3, 1, 2]", "[1, 2]"))
    (sweeper.folder / "broken").touch()
    done = sweeper.summary(rc=1)
    assert (done["complete"], done["counts"]) == (False, {"pending": 1})
    assert WORDS["no-space-left"] in done["reason"]
    (sweeper.folder / "broken").unlink()
    done = sweeper.summary()
    assert (done["complete"], done["counts"]) == (True, {"finished": 2})


def test_a_rule_of_the_yaml_decides_what_a_failure_means(sweeper):
    sweeper.write(BROKEN % "SystemExit('the licence server is away')", "broken.py")
    sweeper.write(
        GRID.replace(str(PROGRAMS / "loss.py"), "broken.py")
        + "sweepkit: {on_failure: [{match: licence server, do: diverged}]}\n"
    )
    assert sweeper.summary()["counts"] == {"finished": 2, "diverged": 1}


def test_a_sweep_of_which_everything_fails_after_a_while_is_given_up(sweeper):
    sweeper.write(BROKEN % "ValueError('at last')", "broken.py")
    values = [1, *range(3, 60)]
    sweeper.write(GRID.replace(str(PROGRAMS / "loss.py"), "broken.py").replace("[3, 1, 2]", str(values)))
    done = sweeper.call()
    assert done.returncode == 1
    assert len(sweeper.journal()) == 11
    assert WORDS["runs-all-failed"] in done.stdout
    assert done.stdout.count("raise ValueError") == 1


def test_retries_of_the_yaml_are_made_by_themselves(sweeper):
    sweeper.env["FLAG"] = str(sweeper.folder / "flag")
    sweeper.write(GRID.replace("  x:", "  mode: {value: fail-once}\n  x:") + "sweepkit: {retries: 2}\n")
    assert sweeper.summary()["counts"] == {"finished": 3}
    assert sorted(result["attempts"] for result in sweeper.results()) == [1, 1, 2]


def test_a_sweep_in_which_nothing_works_is_given_up(sweeper):
    sweeper.write(
        GRID.replace("  x: {values: [3, 1, 2]}", f"  mode: {{value: fail}}\n  x: {{values: {list(range(50))}}}")
    )
    done = sweeper.summary(rc=1)
    assert done["counts"] == {"failed": 5}
    assert "all failed" in done["reason"] and "실패" in done["reason"]


def test_a_diverging_run_is_ended_within_two_reports_d34(sweeper):
    sweeper.hold()  # after the second report, for ever
    sweeper.env |= {"HOLD_AT": "1", "STEPS": "50"}
    sweeper.write(GRID.replace("  x: {values: [3, 1, 2]}", "  mode: {value: nan}"))
    done = sweeper.summary(rc=3)
    assert done["counts"] == {"diverged": 1}
    (result,) = sweeper.results()
    assert result["reports"] == 2


def test_hyperband_stops_the_worse_runs_as_they_report_d30(sweeper):
    sweeper.hold()  # after the third report, the worse ones for ever
    sweeper.release(1)
    sweeper.env["STEPS"] = "8"
    sweeper.write(
        GRID.replace("parameters:", "early_terminate: {type: hyperband, min_iter: 3}\nparameters:").replace(
            "[3, 1, 2]", "[1, 2, 3, 4]"
        )
    )
    done = sweeper.summary()
    assert done["counts"] == {"finished": 1, "stopped": 3}
    stopped = [result for result in sweeper.results() if result["state"] == "stopped"]
    assert all(result["reports"] == 3 and "hyperband" in result["reason"] for result in stopped)
    assert done["best"]["params"] == {"x": 1}


def test_a_run_over_its_time_is_ended_even_if_it_ignores_sigterm(sweeper):
    sweeper.env |= {"PAUSE": "1000"}
    sweeper.write(
        GRID.replace("  x: {values: [3, 1, 2]}", "  mode: {value: stubborn}")
        + "sweepkit: {timeout_s: 0.5, kill_delay_s: 0.2}\n"
    )
    done = sweeper.summary(rc=3)
    assert done["counts"] == {"failed": 1}
    assert done["runs"][0]["reason"] == WORDS["timeout-still-running"]


def test_the_target_ends_the_sweep(sweeper):
    sweeper.write(GRID.replace("goal: minimize", "goal: minimize, target: 0.9"))
    done = sweeper.summary()
    assert (done["complete"], done["counts"]) == (True, {"finished": 2})
    assert "target 0.9 reached" in done["reason"]
    again = sweeper.summary()
    assert (again["complete"], again["counts"]) == (True, {"finished": 2})


@pytest.mark.slow
def test_run_cap_holds(sweeper):
    sweeper.write(GRID + "run_cap: 2\n")
    assert sweeper.summary()["counts"] == {"finished": 2}
    sweeper.write(GRID + "run_cap: 3\n")
    assert sweeper.summary()["counts"] == {"finished": 3}


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


def interrupted(sweeper, times, then=lambda: None):
    """Start a slow sweep, interrupt it `times` times, do `then`, return its output once it has ended."""
    process = sweeper.start(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    wait_until(sweeper.journal, "the first run to start")
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole foreground group gets it
        line = ""
        while "running runs" not in line and "killing" not in line:
            line = process.stdout.readline()
            assert line, "the runner ended early"
    then()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    return out


@pytest.mark.slow
def test_ctrl_c_waits_for_the_run_and_the_sweep_resumes(sweeper):
    sweeper.hold()
    out = interrupted(sweeper, 1, lambda: sweeper.release(3))
    assert WORDS["the-same-command"] in out
    assert [result["state"] for result in sweeper.results()] == ["finished"]
    sweeper.release(1, 2)
    assert sweeper.summary()["counts"] == {"finished": 3}
    assert len(sweeper.journal()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("times", "mode"), [(2, "good"), (3, "stubborn")])
def test_ctrl_c_again_ends_the_run_which_is_run_again_later(sweeper, times, mode):
    sweeper.env |= {"PAUSE": "1000"}
    sweeper.write(GRID.replace("  x:", f"  mode: {{value: {mode}}}\n  x:"))
    interrupted(sweeper, times)
    assert sweeper.results() == []
    pids = {pid for _, _, pid, _ in sweeper.journal()}
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the run to be gone")
    sweeper.env["PAUSE"] = "0"
    assert sweeper.summary()["counts"] == {"finished": 3}


AT_ONCE = """\
    import signal, sys
    from sweepkit.cli.sweep_runner import main
    from sweepkit.reports import progress

    write = progress._write_line

    def write_and_press(text):
        write(text)
        if "waiting for the running runs" in text:
            signal.raise_signal(signal.SIGINT)  # within the view's own lock

    progress._write_line = write_and_press
    sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_while_the_answer_to_ctrl_c_is_printed_does_not_hang(sweeper):
    sweeper.env |= {"PAUSE": "1000", "PYTHONPATH": str(CODE_DIR)}
    driver = sweeper.write(AT_ONCE, "driver.py")
    command = [sys.executable, str(driver), "--sweep-config", "s.yaml", "--output-dir", "out"]
    with warm.WarmPopen(
        command, cwd=sweeper.folder, env=sweeper.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_until(sweeper.journal, "the first run to start")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, out
    assert WORDS["ending-the-running"] in out


@pytest.mark.slow
def test_sigterm_ends_the_runs_and_gives_them_back(sweeper):
    sweeper.env |= {"PAUSE": "1000"}
    process = sweeper.start(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(sweeper.journal, "the first run to start")
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out  # a preemption is no failure
    assert WORDS["the-same-command"] in out
    sweeper.env["PAUSE"] = "0"
    assert sweeper.summary()["counts"] == {"finished": 3}


# -- programs that are not ours ----------------------------------------------------------------------------------------


def test_a_program_that_is_not_python_reports_by_the_file(sweeper):
    sweeper.write('echo "{\\"loss\\": $1}" >> "$SWEEPKIT_REPORT_FILE"\n', "p.sh")
    sweeper.write(
        "program: p.sh\nmethod: grid\nmetric: {name: loss}\nparameters: {x: {values: [3, 1]}}\n"
        'command: [sh, "${program}", "${x}"]\n'
    )
    done = sweeper.summary()
    assert done["best"]["params"] == {"x": 1}
    assert done["best"]["value"] == 1


WANDB_SCRIPT = """\
    import wandb
    run = wandb.init()
    for step in range(4):
        wandb.log({"val": {"loss": wandb.config.opt["lr"] * (4 - step)}, "name": wandb.config.name})
"""


@pytest.mark.slow
def test_an_unmodified_wandb_script_runs_offline_and_its_metric_is_read(sweeper):
    sweeper.write(WANDB_SCRIPT, "w.py")
    sweeper.write(
        "program: w.py\nmethod: grid\nmetric: {name: val.loss, goal: minimize}\n"
        'command: ["${interpreter}", "${program}"]\n'
        "parameters:\n  name: {value: 한국어}\n  opt: {parameters: {lr: {values: [1e-2, 1e-3]}}}\n"
    )
    done = sweeper.summary()
    assert done["counts"] == {"finished": 2}, [r["reason"] for r in done["runs"]]
    assert done["best"]["params"] == {"name": "한국어", "opt": {"lr": 0.001}}
    assert done["best"]["value"] == pytest.approx(0.001)
    assert [result["reports"] for result in sweeper.results()] == [4, 4]


def test_mistakes_that_only_a_run_shows_are_told_after_the_first_one(sweeper):
    sweeper.write(GRID.replace("name: loss", "name: los").replace("  x:", "  dropuot: {value: 1}\n  x:"))
    out = sweeper.call().stdout
    assert WORDS["los'-was-never"] in out and "did you mean 'loss'?" in out
    assert WORDS["the-program-never"] in out
    assert WORDS["the-program-never-read"] not in out and out.count("never logged") == 1


@pytest.mark.slow
def test_warm_and_cold_runs_give_the_same_results(sweeper):
    warm = sweeper.summary()
    cold = sweeper.summary("--fresh", "--cold")

    def table(summary):
        own = ("run_id", "name", "duration_s", "peak_memory_mb")
        return [{k: v for k, v in row.items() if k not in own} for row in summary["runs"]]

    assert table(warm) == table(cold)
    assert {result["warm"] for result in sweeper.results("s")} == {True}
    assert {result["warm"] for result in sweeper.results("s-2")} == {False}


@pytest.mark.slow
def test_prior_runs_are_told_to_the_engine(sweeper):
    sweeper.summary()
    sweeper.write(
        GRID.replace(
            "method: grid",
            "method: bayes\nname: second\nrun_cap: 2\n"
            "sweepkit: {seed: 1, sampler: tpe, prior_runs: [s, out/sweep_s/runs.csv]}",
        ).replace("{values: [3, 1, 2]}", "{min: 0.0, max: 4.0}")
    )
    assert sweeper.summary()["counts"] == {"finished": 2}


def test_a_prior_run_that_is_none_is_refused_before_anything_is_recorded(sweeper):
    sweeper.write(GRID + "sweepkit: {prior_runs: [nowhere.csv]}\n")
    done = sweeper.call()
    assert done.returncode == 2 and WORDS["must-be-a"] in done.stderr and "'nowhere.csv'" in done.stderr
    sweeper.write(GRID.replace("minimize", "maximize"))  # another search, yet no sweep stands in its way
    assert sweeper.summary()["counts"] == {"finished": 3}
