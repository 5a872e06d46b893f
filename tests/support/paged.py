"""A recorded sweep with everything that could break a page: Hangul, markup, formulas, failures, running runs."""

import math

from sweepkit.confirm.plan import Setup, confirmation_name
from sweepkit.model.ranked import RankedConfiguration
from sweepkit.model.records import Report
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

SCRIPT = "<script>alert(1)</script>"
FORMULA = "=HYPERLINK(1)"
NAME = "한국어 대화 요약/kobart"
YAML = f"""\
name: "{NAME}"
program: train.py
method: random
run_cap: 40
metric: {{name: eval/rougeL, goal: maximize}}
early_terminate: {{type: hyperband, min_iter: 2, eta: 2}}
parameters:
  lr: {{distribution: log_uniform_values, min: 1.0e-6, max: 1.0e-2}}
  model: {{values: [kobart, "{SCRIPT}", "{FORMULA}", 한국어-바트-{"가" * 80}]}}
  seed: {{values: [1, 2, 3]}}
"""
MODELS = ("kobart", SCRIPT, FORMULA, "한국어-바트-" + "가" * 80)


def record_sweep(folder, *, name=NAME, ended=12, failed=2, running=2, text=YAML, storage=None):
    """Write a sweep into FOLDER/sweepkit.db, or into the database of a URL; return its id."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_store(storage or folder / "sweepkit.db") as store:
        sweep, _ = store.create_sweep(
            name,
            text=text.replace(NAME, name),
            seed=1,
            metric="eval/rougeL",
            goal="maximize",
            meta={"program": "train.py"},
        )
        for number in range(ended + failed + running):
            params = {"lr": 10.0 ** -(2 + number // 3 % 4), "model": MODELS[number // 3 % 4], "seed": 1 + number % 3}
            attempt = store.add_and_claim(sweep.sweep_id, number, params, agent_id="a|b|c|1", host="h", lease_s=3600)
            store.started(attempt, pid=1, device="gpu 0")
            if number >= ended + running:
                store.finish(attempt, RunState.FAILED, reason=f"RuntimeError: {SCRIPT} (exit code 1)", failure=True)
                continue
            reports = [report(number, at) for at in range(2 if number % 4 == 3 else 6)]
            store.report(attempt, reports, metric="eval/rougeL", goal="maximize")
            if number < ended:
                state = RunState.STOPPED if number % 4 == 3 else RunState.FINISHED
                reason = "hyperband: 0.1 at report 2 is worse than 0.2" if number % 4 == 3 else "exit code 0"
                store.finish(attempt, state, reason=reason, outcome={"duration_s": 5.0, "device": "gpu 0"})
        return sweep.sweep_id


SEVERAL = """\
name: several
program: train.py
method: custom
scheduler: {engine: optuna}
metrics:
- {name: quality, goal: maximize}
- {name: latency_ms, goal: minimize}
parameters:
  lr: {distribution: log_uniform_values, min: 1.0e-6, max: 1.0e-2}
  layers: {min: 2, max: 12}
"""


def record_several(folder, *, runs=8):
    """Write a sweep of two metrics: run n has n + 2 layers, quality and latency grow with them, the last one goes on.

    Runs 1 and 5 are beaten by others of the same latency or less.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = [{"name": "quality", "goal": "maximize"}, {"name": "latency_ms", "goal": "minimize"}]
    with open_store(folder / "sweepkit.db") as store:
        sweep, _ = store.create_sweep(
            "several", text=SEVERAL, seed=1, metric=None, goal=None, meta={"program": "train.py", "metrics": metrics}
        )
        for number in range(runs):
            params = {"lr": 10.0 ** -(2 + number % 4), "layers": number + 2}
            attempt = store.add_and_claim(sweep.sweep_id, number, params, agent_id="a|b|c|1", host="h", lease_s=3600)
            store.started(attempt, pid=1, device="gpu 0")
            last = {"quality": 0.1 if number in (1, 5) else 0.2 + 0.01 * number, "latency_ms": 10.0 * (number + 2)}
            values = [{**last, "quality": last["quality"] * (at + 1) / 4, "loss": 2.0 - at / 4} for at in range(4)]
            reports = [Report(seq=at, values=value, step=100 * at, time=1e9 + at) for at, value in enumerate(values)]
            store.report(attempt, reports, metric=None, goal=None)
            if number < runs - 1:
                outcome = {"duration_s": 5.0, "objectives": last}
                store.finish(attempt, RunState.FINISHED, reason="exit code 0", outcome=outcome)
        return sweep.sweep_id


def record_race(folder, *, done=3):
    """Write the beginning of a race of `--confirm` beside the sweep: `done` runs of four have ended, one goes on."""
    with open_store(folder / "sweepkit.db") as store:
        sweep = store.sweep(NAME)
        candidates = tuple(
            RankedConfiguration(
                run_id=run.run_id,
                number=run.number,
                params={"lr": run.params["lr"], "model": run.params["model"]},
                sweep_rank=rank,
                by_model=False,
                scores=(0.3,),
                sweep_score=0.3,
            )
            for rank, run in enumerate(store.runs(sweep.sweep_id)[:2], 1)
        )
        setup = Setup(
            sweep=NAME,
            metric="eval/rougeL",
            goal="maximize",
            candidates=candidates,
            everyone=((0.3,), (0.3,), (0.2,)),
            configurations=3,
            budget=4,
            rounds=((2, 2),),
            seeds=(1001, 1002),
            seed_path=("seed",),
        )
        race, _ = store.create_sweep(
            confirmation_name(NAME),
            text=YAML,
            seed=1,
            metric="eval/rougeL",
            goal="maximize",
            meta={"confirmation": setup.plain()},
        )
        for number, (candidate, repeat) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)][: done + 1]):
            params = {**candidates[candidate].params, "seed": setup.seeds[repeat]}
            pair = {"candidate": candidate, "repeat": repeat}
            attempt = store.add_and_claim(
                race.sweep_id,
                number,
                params,
                agent_id="a|b|c|1",
                host="h",
                lease_s=3600,
                proposal={"info": pair, **pair},
            )
            store.started(attempt, pid=1, device="gpu 0")
            if number < done:
                store.report(attempt, [report(number, 1)], metric="eval/rougeL", goal="maximize")
                store.finish(attempt, RunState.FINISHED, reason="exit code 0", outcome={"duration_s": 5.0})
        return race


def report(number, at):
    """Return one report of a run."""
    value = (0.3 + 0.01 * (number % 5)) * (1 - math.exp(-at - 1))
    values = {"eval/rougeL": value, "train/loss": 2.0 - 0.1 * at, "nothing": float("nan")}
    return Report(seq=at, values=values, step=100 * at, time=1e9 + number + at)
