"""A sweep with several objectives through the runner: files, table, mirror, divergence, target, resuming, prior."""

import csv
import json

import pytest
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.analysis.pareto import front
from sweepkit.model.metric import Goal

pytestmark = pytest.mark.slow

WORDS = words_of(__file__)

GOALS = (Goal.MINIMIZE, Goal.MAXIMIZE)
TWO = """\
    program: {program}
    method: custom
    scheduler: {{engine: optuna}}
    metrics:
      - {{name: cost, goal: minimize{target}}}
      - {{name: gain, goal: maximize}}
    parameters:
      x: {{min: 0.0, max: 1.0}}
      mode: {{values: [{modes}]}}
    run_cap: {cap}
    sweepkit: {{seed: 1, sampler: {sampler}{more}}}
"""


@pytest.fixture
def sweeper(tmp_path):
    return Sweeper(tmp_path)


def write(sweeper, name="s.yaml", **fields):
    given = {"target": "", "modes": "good", "cap": 10, "sampler": "tpe", "more": "", **fields}
    return sweeper.write(TWO.format(program=PROGRAMS / "two_metrics.py", **given), name)


def table(sweeper, sweep="s"):
    with open(sweeper.folder / "out" / f"sweep_{sweep}" / "runs.csv", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_sweep_of_two_metrics_leaves_its_front(sweeper):
    import optuna

    write(sweeper, sampler="{name: nsga, population_size: 4}", modes="good, apart, summary", cap=14)
    half = sweeper.summary("--count", "6", "--optuna-storage", "sqlite:///out/o.db")
    assert not half["complete"] and len(half["runs"]) == 6
    summary = sweeper.summary("--optuna-storage", "sqlite:///out/o.db")  # continues, with the generations of before
    rows = table(sweeper)
    points = [(float(row["objective.cost"]), float(row["objective.gain"])) for row in rows]
    for row, (cost, gain) in zip(rows, points, strict=True):
        x = float(row["params.x"])
        assert (cost, gain) == pytest.approx((x, x**2))  # the last report's, whatever way they were told
    members = {rows[i]["run_id"] for i in front(points, GOALS)}
    assert {row["run_id"] for row in rows if row["front"] == "true"} == members
    assert [row["front"] for row in rows] == sorted((row["front"] for row in rows), reverse=True)
    assert {item["run_id"] for item in summary["front"]} == members and summary["hypervolume"] > 0
    assert set(summary["front"][0]["values"]) == {"cost", "gain"}
    files = sorted((sweeper.folder / "out/sweep_s/best_configs").iterdir())
    assert [file.name for file in files] == sorted(f"run_{run_id}.yaml" for run_id in members)
    assert files[0].read_text(encoding="utf-8").startswith(WORDS["on-the-front"])
    assert not (sweeper.folder / "out/sweep_s/best_config.yaml").exists()
    results = sweeper.results()
    assert max(result["proposal"]["generation"] for result in results) == 3
    assert all(set(result["objectives"]) == {"cost", "gain"} for result in results)
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{sweeper.folder}/out/o.db")
    numbers = {int(row["number"]): row["run_id"] for row in rows}
    assert {numbers[trial.number] for trial in study.best_trials} == members
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["cost", "gain"]
    shown = sweeper.call()
    assert f"front: {len(members)} run" in shown.stdout and WORDS["configurations-of-the"] in shown.stdout


def test_a_run_that_diverges_on_the_second_metric_is_ended_and_never_on_the_front(sweeper):
    write(sweeper, modes="good, nan", cap=8)
    summary = sweeper.summary()
    states = {row["params.mode"]: row["state"] for row in summary["runs"]}
    assert states == {"good": "finished", "nan": "diverged"}
    assert all(item["params"]["mode"] == "good" for item in summary["front"])
    reason = next(row["reason"] for row in summary["runs"] if row["state"] == "diverged")
    assert "nan" in reason


def test_a_target_of_one_metric_ends_the_sweep(sweeper):
    write(sweeper, target=", target: 0.9", cap=50)
    summary = sweeper.summary()
    assert summary["complete"] and "target 0.9 reached: cost is" in summary["reason"]
    assert len(summary["runs"]) < 50


def test_a_metric_that_is_never_logged_is_told(sweeper):
    write(sweeper, cap=1)
    text = (sweeper.folder / "s.yaml").read_text(encoding="utf-8").replace("name: gain", "name: gains")
    sweeper.write(text)
    done = sweeper.call()
    assert WORDS["gains'-was-never"] in done.stdout and "did you mean 'gain'" in done.stdout
    assert "front:" not in done.stdout


def test_earlier_runs_of_two_metrics_teach(sweeper):
    write(sweeper, cap=12)
    sweeper.summary()
    write(sweeper, "t.yaml", cap=1, more=", prior_runs: [s, out/sweep_s/runs.csv]")
    summary = sweeper.summary(sweep="t.yaml")
    proposal = json.loads(next((sweeper.folder / "out/sweep_t").glob("run_*.json")).read_text())["proposal"]
    assert proposal["observed"] == 24 and proposal["sampler"] == "tpe" and summary["complete"]


def test_the_time_that_a_run_takes_is_an_objective_by_wandbs_name_for_it(sweeper):
    sweeper.write(
        TWO.replace("name: gain, goal: maximize", "name: _runtime, goal: minimize").format(
            program=PROGRAMS / "two_metrics.py", target="", modes="good", cap=3, sampler="random", more=""
        )
    )
    summary = sweeper.summary()
    assert summary["complete"] and len(summary["front"]) >= 1
    took = {result["run_id"]: result["duration_s"] for result in sweeper.results()}
    rows = table(sweeper)
    assert len(rows) == 3
    assert all(float(row["objective._runtime"]) == took[row["run_id"]] > 0 for row in rows)
