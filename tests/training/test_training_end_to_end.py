"""trainer.py as its users run it, with real torch, transformers and data; heavy ones in processes of its own."""

import json
import math
import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
from sweeping import in_this_process

from sweepkit.cli.trainer import main
from sweepkit.paths import CODE_DIR, DATA_DIR
from sweepkit.training.config.training import from_mapping

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # seconds alone, minutes on a busy machine

# Imports what a sweep preloads, then forks one training per line of arguments, as a warm agent does.
FORKED = """
import json, os, runpy, sys
import sweepkit.training.preload
import torch, threading
assert threading.active_count() == 1
status = 0
for number, line in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if child == 0:
        os.environ.update(line["environ"])
        sys.argv = ["trainer.py", *line["argv"]]
        try:
            runpy.run_path("trainer.py", run_name="__main__")
        except SystemExit as ending:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(ending.code)
    status = max(status, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
raise SystemExit(status)
"""
TINY_RUN = ["--config", "quick_test", "--max_train_samples=40", "--max_val_samples=10", "--eval_steps=0.5"]


def environment(**changes):
    return {**os.environ, "PYTHONWARNINGS": "default", **changes}


def fresh(*argv, cwd=CODE_DIR, **environ):
    command = [sys.executable, str(CODE_DIR / "trainer.py"), *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment(**environ), timeout=350)


def forked(*lines):
    text = json.dumps([{"argv": list(map(str, argv)), "environ": environ} for argv, environ in lines])
    command = [sys.executable, "-c", FORKED]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=CODE_DIR, env=environment(), timeout=350
    )


def result(directory):
    return json.loads((directory / "results" / "training_results.json").read_text(encoding="utf-8"))


def reported(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    argv = ["--config", "quick_test", "--learning_rate=0.005", "--num_beams=1", "--length_penalty=2.0"]
    argv += ["--lr_scheduler_type=constant", "--warmup_ratio=0.2"]
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patched.setenv("SWEEPKIT_REPORT_FILE", str(folder / "reports.jsonl"))
        patched.setenv("SWEEPKIT_RUN_DIR", str(folder / "run"))
        patched.setenv("SEED", "3")
        done = in_this_process(main, argv, CODE_DIR)  # a process of its own imports for 5 s; the heavy test has one
    return SimpleNamespace(done=done, folder=folder, run=folder / "run", argv=argv)


def test_quick_test_trains_and_learns(quick):
    assert quick.done.returncode == 0, quick.done.stderr
    got = result(quick.run)
    assert got["state"] == "finished"
    assert (got["train_rows"], got["val_rows"], got["steps"]) == (100, 50, 13)
    assert [item["step"] for item in got["history"]] == [4, 8, 12, 13]
    assert got["best_metrics"]["rouge_combined_f1"] > 0.3, "the base checkpoint alone scores 0.15"
    assert got["last_metrics"] == got["history"][-1]
    best = max(got["history"], key=lambda item: item["rouge_combined_f1"])
    assert got["best_metrics"] == best
    mean = (best["rouge1_f1"] + best["rouge2_f1"] + best["rougeL_f1"]) / 3
    assert best["rouge_combined_f1"] == pytest.approx(mean)
    assert got["seed"] == 3
    assert from_mapping(got["config"]).training.learning_rate == 0.005
    assert got["rouge_tokenizer"] == "unicode 1"
    assert got["examples"] == {"file": "examples.jsonl", "step": best["step"]}
    assert got["peak_memory_bytes"]["cpu"] > 100e6
    assert {"python", "torch", "transformers", "sweepkit"} <= set(got["versions"])
    assert got["device"]
    assert not list((quick.run / "results").glob("*.json.*"))
    assert not (quick.run / "model").exists()


def test_the_console_is_one_line_an_evaluation_and_one_at_the_end(quick):
    lines = quick.done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["step", f"{step}/13"] for step in (4, 8, 12, 13)]
    assert lines[-1].startswith("trained in ")
    said = [line.partition(":")[0] for line in quick.done.stderr.splitlines()]
    assert said == ["generation.length_penalty", "training.warmup_ratio"]  # they change nothing here


def test_every_evaluation_is_reported_and_so_is_what_was_used(quick):
    rows = reported(quick.folder / "reports.jsonl")
    metrics = [row for row in rows if "eval/rouge_combined_f1" in row]
    history = result(quick.run)["history"]
    assert [row["_step"] for row in metrics] == [4, 8, 12, 13]
    assert [row["eval/rouge_combined_f1"] for row in metrics] == [item["rouge_combined_f1"] for item in history]
    assert {"eval/loss", "eval/rouge1_f1", "eval/rouge2_f1", "eval/rougeL_f1", "train/loss"} <= set(metrics[0])
    assert rows[0]["_sweepkit_facts"]["architecture"] == "bart"
    assert "_sweepkit_first_step" in rows[1]
    used = [row["_sweepkit_read"] for row in rows if "_sweepkit_read" in row]
    # One beam has no length penalty, a constant rate no warm-up.
    assert used == [["learning_rate", "num_beams", "lr_scheduler_type"]]


@pytest.mark.heavy
def test_forked_runs_equal_fresh_ones_bit_for_bit_and_seeds_differ(quick, tmp_path):
    alone = fresh(*quick.argv, SWEEPKIT_RUN_DIR=str(tmp_path / "fresh"), SEED="3")
    assert (alone.returncode, alone.stderr) == (0, quick.done.stderr)
    assert result(tmp_path / "fresh")["history"] == result(quick.run)["history"]
    lines = [
        (quick.argv, {"SWEEPKIT_RUN_DIR": str(tmp_path / name), "SEED": seed})
        for name, seed in (("same", "3"), ("again", "3"), ("other", "4"))
    ]
    done = forked(*lines)
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "same")["history"] == result(quick.run)["history"]
    assert result(tmp_path / "again")["history"] == result(quick.run)["history"]
    assert result(tmp_path / "other")["history"] != result(quick.run)["history"]


@pytest.mark.heavy
def test_settings_reach_what_they_name(tmp_path):
    changes = {
        "plain": [],
        "smooth": ["--label_smoothing_factor=0.3", "--max_steps=1", "--learning_rate=1e-12"],
        "rough": ["--max_steps=1", "--learning_rate=1e-12"],
        "loss": ["--predict_with_generate=false", "--num_beams=2"],
        "epochs": ["--eval_strategy=epoch", "--num_train_epochs=2", "--save_model=true"],
        "beams": ["--num_beams=3", "--length_penalty=-5", "--no_repeat_ngram_size=2"],
        "dropout": ["--dropout_rate=0.5"],
        "seed": ["--seed=5"],
        "diverging": ["--learning_rate=1e30", "--max_grad_norm=0"],
        "characters": ["--rouge_tokenizer=character"],
        "kept": [f"--model.name={tmp_path / 'epochs' / 'model'}", "--max_steps=1", "--learning_rate=1e-12"],
    }
    lines = [
        ([*TINY_RUN, *argv, "--output-dir", tmp_path / name], {"SWEEPKIT_REPORT_FILE": str(tmp_path / f"{name}.jsonl")})
        for name, argv in changes.items()
    ]
    done = forked(*lines)
    assert done.returncode == 0, done.stderr
    got = {name: result(tmp_path / name) for name in changes}
    last = {name: item["last_metrics"] for name, item in got.items()}
    # The evaluation loss is without smoothing, so an all but untrained model has the same with and without.
    assert last["smooth"]["loss"] == pytest.approx(last["rough"]["loss"], rel=1e-6)
    assert set(last["loss"]) == {"loss", "step", "epoch"}
    read = [row["_sweepkit_read"] for row in reported(tmp_path / "loss.jsonl") if "_sweepkit_read" in row]
    assert "num_beams" not in read[-1]
    assert [item["epoch"] for item in got["epochs"]["history"]] == [1.0, 2.0]
    assert (tmp_path / "epochs" / "model" / "model.safetensors").is_file()
    assert last["kept"]["loss"] == pytest.approx(last["epochs"]["loss"], rel=1e-6)
    for name in ("dropout", "seed"):
        assert last[name]["loss"] != last["plain"]["loss"]
    assert last["beams"]["loss"] == last["plain"]["loss"]
    assert last["beams"]["rouge_combined_f1"] != last["plain"]["rouge_combined_f1"]
    assert last["characters"]["loss"] == last["plain"]["loss"]
    assert last["characters"]["rouge1_f1"] > last["plain"]["rouge1_f1"]
    assert got["diverging"]["state"] == "diverged"
    rows = [row for row in reported(tmp_path / "diverging.jsonl") if "eval/loss" in row]
    assert math.isnan(rows[-1]["eval/rouge_combined_f1"])
    assert last["diverging"]["rouge_combined_f1"] is None


def test_what_the_user_can_mend_is_one_line_and_exit_code_2(tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("dialogue,abstract\n가,나\n", encoding="utf-8")
    blocked = tmp_path / "file"
    blocked.write_text("")
    cases = [
        (["--train-data", bad], "bad.csv:1: must have the columns 'dialogue' and 'summary'"),
        (["--val-data", tmp_path / "none.csv"], "data.val_file: must be a CSV file"),
        (["--model.name=sweepkit-test/none"], "neither a folder nor in the local cache"),
        (["--encoder_max_len=300"], "tokenizer.encoder_max_len: must be at most the 256 positions"),
        (["--output-dir", blocked], "must be a folder that can be written"),
    ]
    for argv, message in cases:
        out = [] if "--output-dir" in argv else ["--output-dir", tmp_path / "out"]
        done = in_this_process(main, [*map(str, [*TINY_RUN, *out, *argv])], CODE_DIR)
        assert message in done.stderr, argv
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert (done.returncode, done.stdout) == (2, "")


def test_works_from_any_folder_with_files_named_from_there(tmp_path):
    (tmp_path / "mine.csv").write_bytes((DATA_DIR / "dev.csv").read_bytes())
    argv = [*TINY_RUN, "--train-data", "mine.csv", "--output-dir", "out"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = in_this_process(main, argv, tmp_path)
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "out")["train_rows"] == 40
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", "out", "outputs"}
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["cache"]  # of the project
