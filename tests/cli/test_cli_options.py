"""Command lines as values: what is given is there, what is not has the default of the value."""

import dataclasses
from pathlib import Path

import pytest

from sweepkit.cli.comparison_options import parse_compare, parse_ttest
from sweepkit.cli.options import RunnerCommand
from sweepkit.cli.parallel_sweep_runner import parse_parallel
from sweepkit.cli.sweep_runner import parse
from sweepkit.confirm.options import ConfirmOptions
from sweepkit.runner.options import RunOptions, SlotOptions

OUT = Path("out")


def test_what_is_not_given_has_the_default_of_the_value():
    plain = RunnerCommand(run=RunOptions(output_dir=OUT), sweep="s")
    assert parse(["--sweep-config", "s"], output_dir=OUT) == plain
    assert parse_parallel(["--single-parallel", "s"], output_dir=OUT) == plain


def test_the_command_lines_take_every_run_option():
    given = [
        *("--base-config", "b.yaml", "--count", "3", "--output-dir", "d", "--storage", "r.db", "--seed", "0"),
        *("--optuna-storage", "o.db", "--wandb", "online", "--wandb-wait", "2.5", "--sampler", "tpe"),
        *("--dry-run", "--fresh", "--retry-failed", "--cold", "--json", "-v"),
        *("--preempted-exit-code", "75", "--notify", "mail me"),
    ]
    run = parse(["--sweep-config", "s", *given], output_dir=OUT).run
    assert run == RunOptions(
        output_dir=Path("d"),
        storage="r.db",
        base_config=Path("b.yaml"),
        count=3,
        optuna_storage="o.db",
        wandb="online",
        wandb_wait=2.5,
        sampler="tpe",
        seed=0,
        dry_run=True,
        fresh=True,
        retry_failed=True,
        cold=True,
        json=True,
        verbose=True,
        preempted_exit_code=75,
        notify="mail me",
    )
    default = RunOptions(output_dir=OUT)
    assert all(getattr(run, item.name) != getattr(default, item.name) for item in dataclasses.fields(RunOptions))


def test_the_parallel_runner_takes_slots_and_pace():
    given = ["--num-workers", "2", "--gpus", "0,1", "--gpus-per-run", "0", "--cpus-per-run", "3", "--runs-per-gpu", "2"]
    pace = ["--runs-per-worker", "5", "--stagger", "1", "--delay", "0.5"]
    command = parse_parallel(["--sweeps", "a", "b", *given, *pace], output_dir=OUT)
    assert command.sweeps == ("a", "b") and command.sweep is None
    assert command.slots == SlotOptions(num_workers=2, gpus=("0", "1"), gpus_per_run=0, cpus_per_run=3, runs_per_gpu=2)
    assert (command.runs_per_worker, command.stagger, command.delay) == (5, 1.0, 0.5)
    assert parse_parallel(["--join", "j"], output_dir=OUT).join == "j"
    assert parse_parallel(["--join", "j"], output_dir=OUT).slots.runs_per_gpu is None
    auto = parse_parallel(["--join", "j", "--runs-per-gpu", "auto"], output_dir=OUT)
    assert auto.slots.runs_per_gpu == "auto"


@pytest.mark.parametrize("word", ["pause", "resume", "stop", "cancel", "push"])
def test_what_is_asked_of_a_sweep_elsewhere(word):
    command = parse([f"--{word}", "s"], output_dir=OUT)
    assert (command.control, command.name, command.sweep) == (word, "s", None)


def test_a_confirmation():
    given = ["--budget", "9", "--seeds-from", "0", "--rope", "0.5", "--holdout", "a=1", "b=2", "--again"]
    asked = ConfirmOptions(sweep="s", budget=9, seeds_from=0, rope=0.5, holdout=("a=1", "b=2"), again=True)
    for read in (parse, parse_parallel):
        assert read(["--confirm", "s", *given], output_dir=OUT).confirm == asked
        assert read(["--confirm", "s"], output_dir=OUT).confirm == ConfirmOptions(sweep="s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep-config", "s", "--seeds-from", "0"], "--seeds-from: needs --confirm NAME"),
        (["--sweep-config", "s", "--no-holdout"], "--no-holdout: needs --confirm NAME"),
        (["--sweep-config", "s", "--budget", "3"], "--budget: needs --confirm NAME"),
        (["--confirm", "s", "--sampler", "tpe"], "leave --sampler out"),
        (["--confirm", "s", "--base-config", "b"], "leave --base-config out"),
        (["--confirm", "s", "--backend", "wandb"], "--backend must be local, got wandb"),
        (["--wandb-sweep", "a/b/c", "--backend", "local"], "--backend must be wandb, got local"),
    ],
)
def test_options_that_do_not_go_together(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(words, output_dir=OUT)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_who_leads():
    assert parse(["--wandb-sweep", "a/b/c"], output_dir=OUT).backend == "wandb"
    assert parse(["--sweep-config", "s", "--backend", "wandb"], output_dir=OUT).backend == "wandb"


def test_a_comparison():
    command = parse_compare(
        ["--models", "a", "b", "--set", "x=1", "--goal", "minimize", "--num-workers", "2", "--json"], output_dir=OUT
    )
    assert (command.comparison.models, command.comparison.seeds) == (("a", "b"), ())
    assert command.comparison.assignments == ("x=1",) and command.comparison.statistics.goal == "minimize"
    assert command.run == RunOptions(output_dir=OUT, json=True) and command.slots == SlotOptions(num_workers=2)
    assert command.analyze_only is None
    assert parse_compare(["--analyze-only"], output_dir=OUT).analyze_only == ()
    assert parse_compare(["--analyze-only", "p", "--seeds", "1"], output_dir=OUT).comparison.seeds == (1,)


def test_a_t_test():
    command = parse_ttest(["--csv", "c.csv", "--by", "m", "--metric", "x", "--paired"], output_dir=OUT)
    assert (command.csv, command.by, command.statistics.metric) == (Path("c.csv"), "m", "x")
    assert command.statistics.paired and command.sweep is None and command.results == ()
