import copy

import pytest

from sweepkit.sweep_config.change import ChangeKind, compare
from sweepkit.sweep_config.read import from_config, read_sweep_text

BASE = {
    "method": "bayes",
    "name": "s",
    "program": "t.py",
    "description": "d",
    "run_cap": 10,
    "metric": {"name": "loss"},
    "early_terminate": {"type": "hyperband", "min_iter": 3},
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "batch": {"values": [8, 16]},
        "fixed": {"value": 3},
        "layers": {"min": 2, "max": 4},
        "mix": {"values": ["a", "b"], "probabilities": [0.5, 0.5]},
        "q": {"distribution": "q_uniform", "min": 0, "max": 8, "q": 2},
        "opt": {"parameters": {"name": {"values": ["adam", {"k": 1}]}}},
    },
    "sweepkit": {"seed": 1, "retries": 1, "timeout_s": 60, "prior_runs": ["x"]},
}
GRID = {
    "method": "grid",
    "parameters": {
        "a": {"values": [1, 2]},
        "q": {"distribution": "q_uniform", "min": 0, "max": 8, "q": 2},
        "n": {"min": 1, "max": 3},
    },
}


def _changed(base, path, value):
    config = copy.deepcopy(base)
    node = config
    for key in path[:-1]:
        node = node.setdefault(key, {})
    if value is None:
        node.pop(path[-1])
    else:
        node[path[-1]] = value
    return config


def _compare(base, path, value):
    return compare(from_config(base), from_config(_changed(base, path, value)))


def test_the_same_sweep_is_the_same():
    assert compare(from_config(BASE), from_config(copy.deepcopy(BASE))).kind is ChangeKind.SAME
    assert compare(from_config(BASE), from_config(BASE)).lines == ()


def test_layout_comments_and_order_do_not_count():
    one = read_sweep_text("method: random\nparameters:\n  a: {values: [1, 2.0]}\n  b: {value: x}\n", source="one.yaml")
    two = read_sweep_text(
        "# again\nparameters: {b: {value: 'x'}, a: {values: [1.0, 2]}}\n\nmethod: random\n", source="two.yml"
    )
    assert compare(one, two).kind is ChangeKind.SAME


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("parameters", "batch", "values"), [8, 16, 32], "parameters.batch.values: [8, 16] → [8, 16, 32]"),
        (("parameters", "batch", "values"), [32, 16, 8.0], "parameters.batch.values: [8, 16] → [32, 16, 8.0]"),
        (("parameters", "fixed"), {"values": [3, 4]}, "parameters.fixed.values: [3] → [3, 4]"),
        (("parameters", "opt", "parameters", "name", "values"), ["sgd", {"k": 1}, "adam"],
         'parameters.opt.name.values: ["adam", {"k": 1}] → ["sgd", {"k": 1}, "adam"]'),
        (("parameters", "lr", "min"), 1e-5, "parameters.lr.min: 0.0001 → 1e-05"),
        (("parameters", "lr", "max"), 1, "parameters.lr.max: 0.01 → 1"),
        (("parameters", "layers", "max"), 5, "parameters.layers.max: 4 → 5"),
        (("parameters", "q", "min"), -1, "parameters.q.min: 0 → -1"),
        (("run_cap",), 11, "run_cap: 10 → 11"),
        (("run_cap",), None, "run_cap: 10 → (none)"),
        (("description",), "other", "description: d → other"),
        (("description",), None, "description: d → (none)"),
        (("project",), "p", "project: (none) → p"),
        (("image_uri",), "p", "image_uri: (none) → p"),
        (("sweepkit", "retries"), 2, "sweepkit.retries: 1 → 2"),
        (("sweepkit", "timeout_s"), 120, "sweepkit.timeout_s: 60.0 → 120.0"),
        (("sweepkit", "timeout_s"), None, "sweepkit.timeout_s: 60.0 → (none)"),
        (("sweepkit", "prior_runs"), ["y", "x"], 'sweepkit.prior_runs: ["x"] → ["y", "x"]'),
        (("sweepkit", "kill_delay_s"), 3, "sweepkit.kill_delay_s: 30.0 → 3.0"),
        (("sweepkit", "preload"), ["torch"], 'sweepkit.preload: [] → ["torch"]'),
        (("sweepkit", "time_budget_s"), 9, "sweepkit.time_budget_s: (none) → 9.0"),
        (("sweepkit", "min_free_gpu_memory_gb"), 4, "sweepkit.min_free_gpu_memory_gb: (none) → 4.0"),
        (("sweepkit", "runs_per_gpu"), "auto", "sweepkit.runs_per_gpu: (none) → auto"),
        (("sweepkit", "cpus_per_run"), 3, "sweepkit.cpus_per_run: (none) → 3"),
    ],
)  # fmt: skip
def test_what_extends(path, value, line):
    change = _compare(BASE, path, value)
    assert change.lines == (line,)
    assert change.kind is ChangeKind.EXTENDS
    assert change.breaking == ()


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("method",), "random", "method: bayes → random"),
        (("name",), "other", "name: s → other"),
        (("program",), "u.py", "program: t.py → u.py"),
        (
            ("command",),
            ["python", "${args}"],
            'command: ["${env}", "${interpreter}", "${program}", "${args}"] → ["python", "${args}"]',
        ),
        (("metric", "name"), "acc", "metric.name: loss → acc"),
        (("metric", "goal"), "maximize", "metric.goal: minimize → maximize"),
        (("metric", "target"), 0.5, "metric.target: (none) → 0.5"),
        (("early_terminate", "min_iter"), 4, "early_terminate.min_iter: 3 → 4"),
        (("early_terminate",), None, 'early_terminate: {"type": "hyperband", "min_iter": 3'),
        (("parameters", "batch", "values"), [8], "parameters.batch.values: [8, 16] → [8]"),
        (("parameters", "batch", "values"), [8, True, 32], "parameters.batch.values: [8, 16] → [8, true, 32]"),
        (("parameters", "fixed", "value"), 4, "parameters.fixed.value: 3 → 4"),
        (("parameters", "lr", "min"), 1e-3, "parameters.lr.min: 0.0001 → 0.001"),
        (("parameters", "lr", "distribution"), "uniform", 'parameters.lr: {"distribution": "log_uniform_values", '),
        (
            ("parameters", "mix", "probabilities"),
            [0.25, 0.75],
            "parameters.mix.probabilities: [0.5, 0.5] → [0.25, 0.75]",
        ),
        (("parameters", "q", "q"), 4, "parameters.q.q: 2 → 4"),
        (("parameters", "q", "q"), 2.0, "parameters.q.q: 2 → 2.0"),
        (("parameters", "new"), {"value": 1}, 'parameters.new: (none) → {"value": 1}'),
        (("parameters", "fixed"), None, 'parameters.fixed: {"value": 3} → (none)'),
        (("run_cap",), 9, "run_cap: 10 → 9"),
        (("sweepkit", "seed"), 2, "sweepkit.seed: 1 → 2"),
        (("sweepkit", "seed"), None, "sweepkit.seed: 1 → (none)"),
        (("sweepkit", "retries"), 0, "sweepkit.retries: 1 → 0"),
        (("sweepkit", "timeout_s"), 30, "sweepkit.timeout_s: 60.0 → 30.0"),
        (("sweepkit", "prior_runs"), ["y"], 'sweepkit.prior_runs: ["x"] → ["y"]'),
        (("sweepkit", "sampler"), "tpe", "sweepkit.sampler: (none) → tpe"),
        (("sweepkit", "gpus_per_run"), 2, "sweepkit.gpus_per_run: (none) → 2"),
    ],
)
def test_what_differs(path, value, line):
    change = _compare(BASE, path, value)
    assert change.kind is ChangeKind.DIFFERS
    assert len(change.lines) == 1 and change.lines[0].startswith(line)
    assert change.breaking == change.lines


def test_one_breaking_difference_among_extensions_is_named():
    config = _changed(_changed(BASE, ("run_cap",), 20), ("sweepkit", "seed"), 5)
    change = compare(from_config(BASE), from_config(config))
    assert change.kind is ChangeKind.DIFFERS
    assert change.lines == ("run_cap: 10 → 20", "sweepkit.seed: 1 → 5")
    assert change.breaking == ("sweepkit.seed: 1 → 5",)


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        (("parameters", "a", "values"), [0, 1, 2], ChangeKind.EXTENDS),
        (("parameters", "a", "values"), [1, 3], ChangeKind.DIFFERS),
        (("parameters", "n", "max"), 4, ChangeKind.EXTENDS),
        (("parameters", "n", "min"), 2, ChangeKind.DIFFERS),
        (("parameters", "q", "max"), 9, ChangeKind.EXTENDS),
        (("parameters", "q", "min"), -4, ChangeKind.EXTENDS),
        (("parameters", "q", "min"), -1, ChangeKind.DIFFERS),  # -1, 1, 3, … are other points
    ],
)
def test_a_grid_extends_when_its_points_stay(path, value, kind):
    assert _compare(GRID, path, value).kind is kind


def test_our_own_stopping_rule_is_named_where_it_stands():
    base = {"method": "random", "metric": {"name": "a"}, "parameters": {"a": {"value": 1}}}
    old = from_config({**base, "sweepkit": {"early_terminate": {"type": "median"}}})
    new = from_config({**base, "sweepkit": {"early_terminate": {"type": "median", "n_startup_runs": 9}}})
    assert compare(old, new).lines == ("sweepkit.early_terminate.n_startup_runs: 5 → 9",)
    assert compare(old, new).kind is ChangeKind.DIFFERS
    assert compare(old, from_config(base)).kind is ChangeKind.DIFFERS


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (None, 5, ChangeKind.DIFFERS),
        (5, None, ChangeKind.EXTENDS),
        (5, 4, ChangeKind.DIFFERS),
        (4, 5, ChangeKind.EXTENDS),
        (5, 5, ChangeKind.SAME),
    ],
)
def test_a_limit_extends_when_it_becomes_looser(old, new, kind):
    sides = []
    for cap in (old, new):
        config = {"method": "random", "parameters": {"a": {"value": 1}}}
        sides.append(from_config(config if cap is None else {**config, "run_cap": cap}))
    assert compare(*sides).kind is kind


def test_changed_rules_for_failures_are_shown_and_continue_the_sweep():
    config = {"method": "random", "name": "s", "parameters": {"a": {"value": 1}}}
    ruled = from_config({**config, "sweepkit": {"on_failure": [{"match": "x", "do": "retry"}]}})
    change = compare(ruled, from_config(config))
    assert change.lines == ('sweepkit.on_failure: [{"match": "x", "action": "retry", "times": 3}] → []',)
    assert not change.breaking


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (3, [1, 2, 3], ChangeKind.SAME),
        (2, 3, ChangeKind.EXTENDS),
        (2, {"seeds": 2, "stop_worse": False}, ChangeKind.EXTENDS),
        (3, 2, ChangeKind.DIFFERS),
        (3, [4, 5, 6], ChangeKind.DIFFERS),
        (3, None, ChangeKind.DIFFERS),
    ],
)
def test_more_seeds_extend_a_sweep_and_others_make_it_another(before, after, kind):
    base = _changed(BASE, ("sweepkit", "seeds_per_run"), before)
    assert _compare(base, ("sweepkit", "seeds_per_run"), after).kind is kind


def test_naming_a_holdout_extends_a_sweep_and_another_seed_parameter_makes_it_another():
    assert _compare(BASE, ("sweepkit", "holdout"), {"file": "t.csv"}).kind is ChangeKind.EXTENDS
    assert _compare(BASE, ("sweepkit", "seed_parameter"), "rng").kind is ChangeKind.DIFFERS
