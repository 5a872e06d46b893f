"""analyze_sweep.py, report.html at the end of a sweep, and an Optuna storage as the source of every analysis script."""

import json
import re
from types import SimpleNamespace

import optuna
import pytest
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.cli import advanced_analysis, analyze_sweep, parameter_importance, seed_ttest
from sweepkit.paths import SweepPaths
from sweepkit.runner import sweep_report

WORDS = words_of(__file__)

SWEEP = f"""\
name: 첫 스윕
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [3, 1, 2]}}
  mode: {{values: [good, fail]}}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of six runs, three of which fail, and the last line of its --json."""
    sweeper = Sweeper(tmp_path_factory.mktemp("swept"))
    sweeper.write(SWEEP)
    return SimpleNamespace(folder=sweeper.folder / "out", said=sweeper.summary("--cold", "--seed", "7"))


@pytest.mark.slow
def test_a_sweep_ends_with_its_report(swept):
    report = swept.folder / "sweep_첫-스윕" / "report.html"
    assert swept.said["report"] == str(report)
    text = re.sub(r"<script>.*?</script>", "", report.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "<h1>Sweep: 첫 스윕</h1>" in text and "실패: x=3.0" in text
    for sentence in (
        "Search space of 2 parameters: mode in {good, fail}; x in {3, 1, 2}.",
        "Engine: grid (method grid), seed 7; optimized: loss (minimized).",
        "Budget: a grid of 6 points; used: 6 runs (3 finished, 3 failed)",
        "Stopping: no rule. Runs whose metric diverges are ended at once: 0.",
        "Seeds: one run for each of 3 configurations.",
        "Test: none.",
        "Versions: python 3.",
        "Unconfirmed: no configuration finished with two seeds",
    ):
        assert sentence in text, sentence
    assert not re.findall(r'(?:src|href)="(?!#)', text)  # nothing is fetched


def test_the_table_beside_a_record_is_judged_as_the_record(swept):
    from sweepkit.sources.options import SourceOptions
    from sweepkit.sources.table_sources import load

    record = load(SourceOptions(output_dir=swept.folder, sweep="첫 스윕")).table
    beside = load(SourceOptions(output_dir=swept.folder, sweep=f"{swept.folder}/sweep_첫-스윕/runs.csv")).table
    assert (beside.method, beside.metrics) == (record.method, record.metrics) and record.method == "grid"
    assert [row.params for row in beside.ranked()] == [row.params for row in record.ranked()]


def test_the_best_against_the_second_in_words_and_json(swept, tmp_path, capsys):
    asked = ["첫 스윕", "--output-dir", str(swept.folder)]
    assert analyze_sweep.main([*asked, "--no-report", "--limit", "2"]) == 0
    said = capsys.readouterr().out
    assert "best configuration: run" in said and "loss = 0.81" in said and "and 4 more; --limit 0" in said
    assert WORDS["best-against-second"] in said and "x (1 against 2) alone" in said
    assert "--confirm '첫 스윕'" in said and WORDS["without-a-value"] in said
    assert "report:" not in said
    assert analyze_sweep.main([*asked, "--json", "--output", str(tmp_path / "here")]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["best"]["params"] == {"mode": "good", "x": 1} and plain["second"]["params"]["x"] == 2
    assert plain["comparison"]["sureness"] == "unconfirmed" and plain["comparison"]["lead_by_luck_95"] is None
    assert plain["counts"] == {"finished": 3, "failed": 3} and len(plain["runs"]) == 6
    assert plain["report"] == str(tmp_path / "here" / "report.html")
    assert "Learning curves" in (tmp_path / "here" / "report.html").read_text(encoding="utf-8")


def test_the_first_sweep_must_have_been_run(swept, tmp_path, capsys):
    assert analyze_sweep.main_first(["--output-dir", str(tmp_path)]) == 2
    assert "--sweep-config first_sweep" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert analyze_sweep.main_first(["--output-dir", str(swept.folder)]) == 2
    assert "'first_sweep'" in capsys.readouterr().err


def test_a_report_that_fails_is_a_warning(tmp_path, capsys, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("도형")

    monkeypatch.setattr(sweep_report, "write_sweep_report", broken)
    paths = SweepPaths(tmp_path, "s")
    run = SimpleNamespace(number=0)
    assert sweep_report.report_at_end(paths, None, SimpleNamespace(name="s"), [run]) is None
    said = capsys.readouterr()
    assert said.err.startswith(WORDS["html-could-not"]) and said.out == ""
    assert WORDS["py-s-tries"] in said.err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("finished", "each_s", "cheap"), [(19, 0.01, True), (40, 0.01, False), (40, 60.0, True), (5000, 0.25, True)]
)
def test_importance_at_the_end_only_where_it_costs_little(finished, each_s, cheap):
    rows = [SimpleNamespace(duration_s=each_s)] * finished
    table = SimpleNamespace(metrics=("loss",), rows=rows, finished=lambda: rows)
    assert sweep_report.affordable(table) is cheap


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The source of an Optuna study of 12 trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path_factory.mktemp("study") / "study.db"
    made = optuna.storages.RDBStorage(f"sqlite:///{file}")
    sampler = optuna.samplers.RandomSampler(seed=0)
    found = optuna.create_study(storage=made, study_name="mine", direction="maximize", sampler=sampler)
    found.optimize(lambda t: t.suggest_float("lr", 0, 1) + len(t.suggest_categorical("kind", ["a", "bb"])), n_trials=12)
    made.remove_session()
    made.engine.dispose()
    return SimpleNamespace(url=f"sqlite:///{file}", best=found.best_value)


@pytest.mark.slow
def test_every_script_reads_a_study(study, tmp_path, capsys):
    out = ["--output-dir", str(tmp_path)]
    assert analyze_sweep.main([f"optuna:{study.url}#mine", "--json", *out]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["best"]["value"] == study.best and plain["sweep"] == "mine" and plain["metrics"]["value"] == "maximize"
    assert (tmp_path / "analysis_mine" / "report.html").is_file()
    assert parameter_importance.main(["--optuna-storage", study.url, "--study", "mine", *out]) == 0
    assert "Too few runs: 12" in capsys.readouterr().out
    assert advanced_analysis.main([f"optuna:{study.url}", *out]) == 0
    assert "1. run" in capsys.readouterr().out
    assert seed_ttest.main(["--sweep", f"optuna:{study.url}", "--by", "kind"]) == 0
    assert "a - bb" in capsys.readouterr().out.replace("bb - a", "a - bb")


def test_a_study_named_by_halves_is_refused(study, capsys):
    for options, words in (
        (["--study", "mine"], "names a study of --optuna-storage"),
        (["x", "--optuna-storage", study.url], "is in place of a sweep"),
        ([f"optuna:{study.url}#other"], "it has: mine"),
        ([f"optuna:{study.url}", "--parameters", "lr"], "is for a CSV file"),
        ([f"optuna:{study.url}", "--metric", "f1"], "it has value"),
    ):
        assert analyze_sweep.main([*options, "--no-report"]) == 2
        assert words in capsys.readouterr().err
