import pytest

from sweepkit.confirm.sweep_text import confirming_text, own_seed_path, passes, passes_all
from sweepkit.sweep_config.read import read_sweep_text

SWEEP = """\
name: 첫 번째
program: train.py
method: bayes
metric: {name: acc, goal: maximize, target: 0.9}
parameters:
  lr: {min: 1e-5, max: 1e-2}
  training:
    parameters:
      epochs: {values: [1, 2]}
early_terminate: {type: hyperband, min_iter: 3}
run_cap: 40
description: mine
sweepkit: {seed: 1, sampler: tpe, retries: 2, seeds_per_run: 3, prior_runs: [old], holdout: {split: test}}
"""


def made(text=SWEEP, **changes):
    values = {"name": "x-confirm", "description": "again", "runs": 15, "values": {("training", "seed"): [7, 8]}}
    return read_sweep_text(confirming_text(read_sweep_text(text), **{**values, **changes}))


def test_what_concerns_the_search_goes_and_what_concerns_a_run_stays():
    spec = made()
    assert (spec.name, spec.description, spec.run_cap, spec.program) == ("x-confirm", "again", 15, "train.py")
    assert spec.early_terminate is None and spec.metric.target is None and spec.metric.goal == "maximize"
    ours = spec.extensions
    assert (ours.seed, ours.sampler, ours.seeds_per_run, ours.prior_runs) == (None, None, None, ())
    assert ours.retries == 2 and ours.holdout == {"split": "test"}
    assert "첫 번째" in spec.text


def test_a_further_parameter_stands_where_its_path_says():
    names = {parameter.name: parameter.distribution.values for parameter in made().space.parameters}
    assert names["training.seed"] == (7, 8) and names["training.epochs"] == (1, 2)
    flat = {parameter.path for parameter in made(values={("data.file",): ["t.csv"]}).space.parameters}
    assert ("data.file",) in flat


def test_it_is_a_sweep_for_every_method():
    grid = (
        SWEEP.replace("bayes", "grid")
        .replace("{min: 1e-5, max: 1e-2}", "{values: [1e-5]}")
        .replace("sampler: tpe, ", "")
    )
    assert made(grid).method == "grid"
    assert made(made().text, name="y").name == "y"  # and of itself


@pytest.mark.parametrize(
    ("command", "all_", "seed"),
    [
        ("", True, True),
        ("command: [python, '${program}', '${args_no_equals}']", True, True),
        ("command: [python, '${program}', '--s=${seed}']", False, True),
        ("command: [python, '${program}']", False, False),
    ],
)
def test_whether_a_parameter_reaches_the_program(command, all_, seed):
    spec = read_sweep_text(f"program: t.py\nmethod: random\nparameters: {{seed: {{values: [1, 2]}}}}\n{command}\n")
    assert (passes_all(spec), passes(spec, ("seed",))) == (all_, seed)


def test_the_seed_of_a_space():
    space = read_sweep_text(
        "program: t.py\nmethod: random\nparameters: {s: {values: [1]}, init: {values: [2]}}\n"
    ).space
    assert own_seed_path(space, ("init",), [("s",)]) == ("init",)
    assert own_seed_path(space, ("seed",), [("s",)]) == ("s",)
    assert own_seed_path(space, None, []) is None
