"""compare_models.py and seed_ttest.py as a user runs them: real small trainings, a kill, and results that are there."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import warm
from snapshots import words_of

from sweepkit.cli import compare_models, seed_ttest
from sweepkit.model.records import SweepState
from sweepkit.paths import CODE_DIR, CONFIG_DIR
from sweepkit.store.open import open_store

WORDS = words_of(__file__)

SMALL = ["--set=max_steps=2", "--set=max_train_samples=16", "--set=max_val_samples=8", "--set=eval_steps=2"]
SMALL += ["--set=decoder_max_len=16", "--set=per_device_train_batch_size=4"]


def result(folder, model, seed, score, *, examples=None, **changes):
    """Write a training's result as trainer.py does, as far as a comparison reads it."""
    place = folder / f"{model}_seed{seed}" / "results"
    place.mkdir(parents=True)
    content = {
        "state": "finished",
        "seed": seed,
        "best_metrics": {"rouge_combined_f1": score, "loss": 1 - score, "step": 4, "epoch": 1.0},
        "last_metrics": {"rouge_combined_f1": score - 0.01, "loss": 1 - score, "step": 8, "epoch": 2.0},
        "config": {"task": "summarization", "model": {"name": model}, "training": {"seed": seed, "learning_rate": 0.1}},
        "steps": 8,
        "duration_s": 2.0,
        "val_rows": 4,
        "trainable_parameters": 1000,
        "rouge_tokenizer": "unicode 1",
    }
    (place / "training_results.json").write_text(json.dumps(content | changes), encoding="utf-8")
    if examples is not None:
        rows = [
            {"index": n, "references": [f"요약 {n}"], "prediction": "x", "rouge_combined_f1": value}
            for n, value in enumerate(examples)
        ]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (place / "examples.jsonl").write_text(text, encoding="utf-8")
    return place / "training_results.json"


@pytest.fixture
def there(tmp_path, monkeypatch):
    """Results of two models and three seeds each, in `out`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for number, seed in enumerate((42, 123, 456)):
        result(tmp_path / "out", "kobart", seed, 0.48 + 0.004 * number)
        result(tmp_path / "out", "코지피티", seed, 0.45 + 0.004 * number)
    return tmp_path / "out"


def analyzed(capsys, *options, rc=0):
    assert compare_models.main(["--output-dir", "out", "--analyze-only", *options]) == rc
    said = capsys.readouterr()
    return said.err if rc else said.out


# -- results that are there --------------------------------------------------------------------------------------------


def test_the_table_the_pairs_and_the_sentences(there, capsys):
    out = analyzed(capsys)
    assert "n    mean     std     max     min  95% CI (pooled sd 0.0040, df 4)" in out
    assert "kobart    3  0.4840  0.0040  0.4880  0.4800" in out
    assert WORDS["kobart-is-better"] in out
    assert "3 seeds can detect >= " in out
    assert WORDS["tuning-no-configuration"] in out
    assert all(len(line) <= 100 for line in out.splitlines() if not line.startswith("files:"))
    written = json.loads((there / "comparison_kobart-코지피티.json").read_text(encoding="utf-8"))
    assert written["pairs"][0]["conclusion"] == "better" and written["method"]["test"] == "pooled"
    assert [model["std"] for model in written["models"]] == pytest.approx([0.004, 0.004])
    assert "| kobart | 3 | 0.4840 |" in (there / "comparison_kobart-코지피티.md").read_text(encoding="utf-8")
    assert r"\toprule" in (there / "comparison_kobart-코지피티.tex").read_text(encoding="utf-8")


def test_one_json_object_with_every_number(there, capsys):
    said = json.loads(analyzed(capsys, "--json").splitlines()[-1])
    (pair,) = said["pairs"]
    assert {"difference", "p", "p_holm", "ci95", "hedges_g", "welch", "detectable", "seeds_to_decide"} <= set(pair)
    assert sum(pair["chances_above_within_below_rope"]) == pytest.approx(1)
    assert {"scipy", "numpy", "python", "sweepkit"} <= set(said["versions"])
    assert len(said["runs"]) == 6


def test_metric_evaluation_models_and_seeds_choose(there, capsys):
    said = json.loads(analyzed(capsys, "--json", "--metric", "eval/loss").splitlines()[-1])
    assert not said["settings"]["higher_is_better"] and said["models"][0]["name"] == "kobart"
    said = json.loads(analyzed(capsys, "--json", "--evaluation", "last", "--seeds", "42", "123").splitlines()[-1])
    assert said["models"][0]["n"] == 2 and said["models"][0]["max"] == pytest.approx(0.474)
    said = json.loads(analyzed(capsys, "--json", "--models", "kobart").splitlines()[-1])
    assert said["pairs"] == [] and any("only kobart" in note for note in said["notes"])


def test_examples_make_it_a_two_way_test_only_where_they_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        for model, gap in (("a", 0.0), ("b", 0.1)):
            examples = [0.3 + gap, 0.5 + 0.02 * seed + gap, 0.9 - gap, 0.4 + 2 * gap]
            result(tmp_path / "out", model, seed, sum(examples) / 4, examples=examples)
    said = json.loads(analyzed(capsys, "--json").splitlines()[-1])
    assert (said["method"]["test"], said["examples"]) == ("two-way", 4)
    assert said["pairs"][0]["example_error"] > 0
    file = tmp_path / "out" / "b_seed2" / "results" / "examples.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("요약 3", "다른 것"), encoding="utf-8")
    said = json.loads(analyzed(capsys, "--json").splitlines()[-1])
    assert said["method"]["test"] == "pooled"
    assert any("validation examples are not the same" in note for note in said["notes"])
    file.unlink()
    said = json.loads(analyzed(capsys, "--json").splitlines()[-1])
    assert any("b seed 2 has no scores of single examples" in note for note in said["notes"])


def test_scores_of_other_data_are_not_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2, 3):
        result(tmp_path / "out", "a", seed, 0.5 + seed / 1000)
        result(tmp_path / "out", "b", seed, 0.4 + seed / 1000, rouge_tokenizer="kiwi 0.24.1")
    out = analyzed(capsys)
    assert WORDS["warning-the-tokenizer"] in out
    assert "better" not in out


def test_failed_and_diverged_runs_are_left_out_and_told(there, capsys):
    result(there, "kobart", 7, 0.1, state="diverged")
    out = analyzed(capsys)
    assert "note: kobart seed 7: diverged, left out" in out and "kobart    3  0.4840" in out


def test_runs_that_differ_in_more_than_the_seed_are_told(there, capsys):
    changed = {"config": {"model": {"name": "kobart"}, "training": {"seed": 7, "learning_rate": 0.2}}}
    result(there, "kobart", 7, 0.481, **changed)
    assert WORDS["kobart-its-runs"] in " ".join(analyzed(capsys).split())


def test_tuning_budgets_are_counted(there, capsys):
    for file in sorted(there.glob("kobart_seed*/results/training_results.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        content["config"]["reproduces"] = {"sweep": "first"}
        file.write_text(json.dumps(content), encoding="utf-8")
    (there / "sweep_first").mkdir()
    (there / "sweep_first" / "runs.csv").write_text("number\n0\n1\n2\n", encoding="utf-8")
    out = " ".join(analyzed(capsys).split())
    assert WORDS["runs-of-sweep"] in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere*"], "nowhere*: must be folders with results/training_results.json in them"),
        (["--metric", "bleu"], "--metric: must be one of loss, rouge_combined_f1, got 'bleu'"),
        (["--models", "t5"], "--models: must have results in"),
        (["--seeds", "9"], "--seeds: there is no result of these"),
        (["out/*_seed*", "out2/*"], "kobart seed 42: must be trained once, got out/kobart_seed42"),
        (["bad.json"], "bad.json: must be a readable JSON file"),
        (["list.json"], "list.json: must hold an object with best_metrics"),
    ],
)
def test_wrong_input_is_one_message(there, capsys, tmp_path, options, said):
    result(tmp_path / "out2", "kobart", 42, 0.4)
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    err = analyzed(capsys, *options, rc=2)
    assert said in err and "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--models names what is trained"),
        (["--models", "a", "--seeds", "1", "1"], "--seeds: each must be given once"),
        (["--models", "a", "--alpha", "0.7"], "must be a number above 0 and below 0.5"),
        (["--models", "a", "--rope", "-1"], "must be a number of at least 0"),
    ],
)
def test_wrong_options(options, said, capsys):
    with pytest.raises(SystemExit) as stop:
        compare_models.main(options)
    assert stop.value.code == 2 and said in capsys.readouterr().err


# -- what is to be trained ---------------------------------------------------------------------------------------------


def test_names_mean_the_files_of_config_models(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert compare_models.main(["--models", "kobart", "tiny_t5", "--seeds", "1", "2", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["runs"] == 4
    assert said["first"][0] == {"config": "models/optimal_kobart", "seed": 1}
    assert said["commands"][0][-3:] == [str(CODE_DIR / "trainer.py"), "--config=models/optimal_kobart", "--seed=1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["kobrat"], "--models: must be one of convnext_small"),
        (["tiny_t5", "models/tiny_t5"], "each must have a file name of its own, got 'tiny_t5' twice"),
        (["tiny_t5", "vit_small"], "all must be for the same task"),
        (["tiny_t5", "--set", "lerning_rate=1"], "lerning_rate"),
        (["tiny_t5", "--set", "x"], "--set: must be NAME=VALUE"),
        (["tiny_t5", "--preset", "qick"], "did you mean quick?"),
    ],
)
def test_wrong_models_are_one_message(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert compare_models.main(["--output-dir", "out", "--models", *options]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_not_here_is_told_before_anything_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    text = (CONFIG_DIR / "models" / "tiny_t5.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("data/checkpoints/t5-tiny-ko", "./nowhere"), encoding="utf-8")
    assert compare_models.main(["--output-dir", "out", "--models", "mine.yaml", "kobart"]) == 2
    err = capsys.readouterr().err
    assert WORDS["models-mine-its"] in err and "./nowhere" in err
    assert WORDS["models-kobart-its"] in err and "HF_HUB_OFFLINE is set" in err
    assert "tiny_bart, tiny_gpt2, tiny_t5" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.heavy
def test_a_killed_comparison_goes_on_and_comes_to_the_end(tmp_path):
    """Two models, two seeds, two steps each; kill -9 after the first result; nothing is trained twice."""
    command = [sys.executable, str(CODE_DIR / "compare_models.py"), "--models", "tiny_bart", "tiny_t5"]
    command += ["--seeds", "1", "2", "--num-workers", "1", "--output-dir", "out", *SMALL]
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | {"COLUMNS": "100"}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "out").glob("sweep_*/run_*_result.json")):
        assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    with open_store(str(tmp_path / "out" / "sweepkit.db")) as store:
        (sweep,) = store.sweeps()
        runs = store.runs(sweep.sweep_id)
    assert sweep.state is SweepState.FINISHED
    assert sorted((run.params["config"], run.params["seed"]) for run in runs) == [
        (f"models/{model}", seed) for model in ("tiny_bart", "tiny_t5") for seed in (1, 2)
    ]
    assert sum(run.attempts == 1 for run in runs) >= 3  # only what the kill hit is trained again
    files = sorted(path.parent.parent.name for path in (tmp_path / "out").glob("*_seed*/results/training_results.json"))
    assert files == ["tiny_bart_seed1", "tiny_bart_seed2", "tiny_t5_seed1", "tiny_t5_seed2"]
    written = json.loads((tmp_path / "out" / "comparison_tiny_bart-tiny_t5.json").read_text(encoding="utf-8"))
    assert (written["method"]["test"], written["examples"]) == ("two-way", 8)
    assert [model["n"] for model in written["models"]] == [2, 2]
    assert [item["steps"] for item in written["budget"]] == [[2], [2]]
    assert WORDS["test-two-way"] in done.stdout
    again = subprocess.run(
        [*command, "--seeds", "1", "2", "--json"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
    )
    said = json.loads(again.stdout.splitlines()[-1])
    assert again.returncode == 0 and said["models"] == written["models"]


# -- seed_ttest.py -----------------------------------------------------------------------------------------------------


def t_tests(capsys, *options, rc=0):
    assert seed_ttest.main([*options]) == rc
    said = capsys.readouterr()
    return said.err if rc else said.out


def test_groups_of_a_csv(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = ["params.lr,seed,score"] + [f"{lr},{s},{0.5 + lr + s / 1000}" for lr in (0.1, 0.2) for s in (1, 2, 3)]
    (tmp_path / "runs.csv").write_text("\ufeff" + "\n".join([*rows, "0.2,4,crashed"]), encoding="utf-8")
    said = json.loads(t_tests(capsys, "--csv", "runs.csv", "--by", "lr", "--metric", "score", "--json"))
    assert [(model["name"], model["n"], model["left_out"]) for model in said["models"]] == [
        ("0.2", 3, 1),
        ("0.1", 3, 0),
    ]
    assert said["pairs"][0]["conclusion"] == "better" and said["pairs"][0]["difference"] == pytest.approx(0.1)
    out = t_tests(capsys, "--csv", "runs.csv", "--by", "lr", "--metric", "score", "--save", "t/ttest")
    assert "lr   n" in out and WORDS["not-finite-left"] in out
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["ttest.json", "ttest.md", "ttest.tex"]


# How tools write the same six trainings, two of them unfinished beside them.
_SAME = {
    "plain.csv": ("model,seed,state,rouge", "{model},{seed},{state},{score}"),
    "percent.csv": ("rouge,state,seed,model", "{percent}%,{state},{seed},{model}"),
    "comma.csv": ("model;seed;상태;rouge", "{model};{seed};{state};{comma}"),
    "wandb.csv": ("Name,State,model,seed,eval/rouge", "run-{seed},{State},{model},{seed},{score}"),
    "mlflow.csv": ("Run ID,Status,params.model,params.seed,metrics.rouge", "{seed},{STATE},{model},{seed},{score}"),
    "optuna.csv": ("number,values_rouge,params_model,params_seed,state", "{seed},{score},{model},{seed},{STATE}"),
    "ray.tsv": ("trial_status\tconfig/model\tconfig/seed\tRouge", "{STATE}\t{model}\t{seed}\t{score}"),
    "word.csv": ("model,seed,rouge", "{model},{seed},{word}"),
}


def _same_table(file, head, line):
    rows = [head]
    scores = {"kobart": [0.412, 0.409, 0.414], "t5": [0.391, 0.394, 0.389]}
    for model, state, odd in (("kobart", "pruned", 0.151), ("t5", "crashed", 0.02)):
        for seed, score in enumerate([*scores[model], odd], 1):
            is_odd = score == odd
            word = state if is_odd else "finished"
            rows.append(
                line.format(
                    model=model,
                    seed=seed,
                    state=word,
                    State=word.capitalize(),
                    STATE=word.upper(),
                    score=score,
                    percent=round(100 * score, 4),
                    comma=str(score).replace(".", ","),
                    word=word if is_odd else score,
                )
            )
    file.write_text("\n".join(rows), encoding="utf-8")


@pytest.mark.parametrize("name", _SAME)
def test_models_of_a_table_are_compared_as_those_of_a_clean_one(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _same_table(tmp_path / name, *_SAME[name])
    found = json.loads(analyzed(capsys, name, "--metric", "rouge", "--json"))
    groups = {group["name"]: (group["n"], round(group["mean"], 6)) for group in found["models"]}
    assert groups == {"kobart": (3, 0.411667), "t5": (3, 0.391333)}
    assert [(pair["first"], pair["second"], pair["conclusion"]) for pair in found["pairs"]] == [
        ("kobart", "t5", "better")
    ]
    assert any("to maximize" in note for note in found["notes"])
    by_ttest = json.loads(t_tests(capsys, "--csv", name, "--by", "model", "--metric", "rouge", "--json"))
    assert by_ttest["pairs"] == found["pairs"]


def test_a_table_without_models_says_what_compares_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("lr,score\n1,2\n", encoding="utf-8")
    err = analyzed(capsys, "t.csv", "--metric", "score", rc=2)
    assert "must have a column of models" in err and "ttest --csv t.csv --by COLUMN --metric score" in err


def test_groups_of_results_by_model_and_by_a_field(there, capsys):
    out = t_tests(capsys, "--results", "out/*_seed*")
    assert WORDS["kobart-is-better-than"] in out and "Tuning" not in out
    out = t_tests(capsys, "--results", "out/*_seed*", "--by", "learning_rate")
    assert WORDS["has-a-finite"] in out


def test_groups_of_a_recorded_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = "import json, os, sys\nargs = dict(w[2:].split('=') for w in sys.argv[1:])\n"
    program += "row = {'loss': float(args['lr']) + int(args['seed']) / 100}\n"
    program += "open(os.environ['SWEEPKIT_REPORT_FILE'], 'a').write(json.dumps(row) + '\\n')\n"
    (tmp_path / "p.py").write_text(program)
    (tmp_path / "s.yaml").write_text(
        "program: p.py\nmethod: grid\nmetric: {name: loss, goal: minimize}\n"
        "parameters:\n  lr: {values: [0.1, 0.5]}\n  seed: {values: [1, 2, 3]}\n"
    )
    runner = [sys.executable, str(CODE_DIR / "sweep_runner.py"), "--sweep-config", "s.yaml", "--output-dir", "out"]
    done = warm.run(runner, timeout=100, env={**os.environ, "PYTHONWARNINGS": "default"})
    assert done.returncode == 0, done.stdout + done.stderr
    options = ["--sweep", "s", "--output-dir", "out", "--by"]
    said = json.loads(t_tests(capsys, *options, "lr", "--json"))
    assert [(m["name"], m["n"], m["seeds"]) for m in said["models"]] == [
        ("0.1", 3, ["1", "2", "3"]),
        ("0.5", 3, ["1", "2", "3"]),
    ]
    assert said["pairs"][0]["conclusion"] == "better" and not said["settings"]["higher_is_better"]
    said = json.loads(t_tests(capsys, *options, "seed", "--json"))
    assert any("inside the groups lr vary, too" in note for note in said["notes"])
    assert WORDS["by-must-be"] in t_tests(capsys, *options, "x", rc=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--csv", "no.csv", "--by", "a", "--metric", "b"], "no.csv: must be a readable CSV"),
        (["--csv", "empty.csv", "--by", "a", "--metric", "b"], "must have a header and at least one row"),
        (["--csv", "t.csv", "--by", "a", "--metric", "b"], "must have the column 'b', got a, c"),
        (
            ["--csv", "t.csv", "--by", "a", "--metric", "c", "--goal", "maximize", "--seed-column", "a"],
            "1 seed 1: must be trained once",
        ),
        (["--sweep", "x", "--by", "a", "--output-dir", "out"], "must be the record of a sweep"),
    ],
)
def test_wrong_sources_are_one_message(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("a,b\n")
    (tmp_path / "t.csv").write_text("a,c\n1,2\n1,3\n")
    assert said in t_tests(capsys, *options, rc=2)


def test_the_analysis_script_answers_and_refuses():
    script = CODE_DIR.parent / "analysis" / "seed_ttest.py"
    env = os.environ | {"PYTHONPATH": str(CODE_DIR)}
    done = subprocess.run([sys.executable, str(script), "--help"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "usage: seed_ttest.py" in done.stdout
    done = subprocess.run(
        [sys.executable, str(script), "--csv", "x"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and WORDS["by-names-the"] in done.stderr
