"""`sweepkit.conditions` and `sweepkit.search_space` in YAML: what is read, refused and told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SpecError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.space import Clause
from sweepkit.sweep_config.change import ChangeKind, compare
from sweepkit.sweep_config.command import build_command, optional_names
from sweepkit.sweep_config.conditions import can_hold
from sweepkit.sweep_config.read import from_config, read_sweep_text

WORDS = words_of(__file__)

HEAD = """\
method: random
program: t.py
metric: {name: loss}
parameters:
  optimizer: {values: [adamw, sgd, lion]}
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}
  step: {distribution: q_uniform, min: 0.1, max: 0.9, q: 0.1}
  layers: {min: 1, max: 8}
  lora:
    parameters:
      enabled: {values: [true, false]}
      r: {values: [4, 8]}
      alpha: {min: 1.0, max: 64.0}
  betas: {values: [[0.9, 0.99], [0.8, 0.9]]}
sweepkit:
  conditions:
"""


def read(conditions, head=HEAD):
    return read_sweep_text(head + "".join(f"    {line}\n" for line in conditions.splitlines()), source="s.yaml")


def paths(space, flat):
    return {".".join(path) for path in space.active({tuple(name.split(".")): v for name, v in flat.items()})}


def test_conditions_become_part_of_the_space():
    spec = read("lora.r: {when: {lora.enabled: true, layers: {min: 2, max: 4}}}\nlora.alpha: {when: {lora.r: 8}}")
    assert [".".join(c.path) for c in spec.space.conditions] == ["lora.r", "lora.alpha"]
    always = {"optimizer", "lr", "step", "layers", "lora.enabled", "betas"}
    on = {"lora.enabled": True, "layers": 4, "lora.r": 8}
    assert paths(spec.space, on) == always | {"lora.r", "lora.alpha"}
    assert paths(spec.space, {**on, "lora.r": 4}) == always | {"lora.r"}
    assert paths(spec.space, {**on, "layers": 5}) == always
    assert paths(spec.space, {**on, "lora.enabled": 1}) == always  # true is not 1
    assert paths(spec.space, {}) == always
    assert "sweepkit" not in spec.wandb_config
    assert any("W&B itself would vary the inactive parameters" in sentence for sentence in spec.warnings)


def test_parents_come_first_whatever_the_order_of_the_yaml():
    spec = read("lr: {when: {layers: [1]}}\nlayers: {when: {step: {max: 0.3}}}\nstep: {when: {optimizer: sgd}}")
    assert [c.path for c in spec.space.conditions] == [("step",), ("layers",), ("lr",)]
    (clause,) = next(c for c in spec.space.conditions if c.path == ("layers",)).clauses
    assert clause.holds(3 * 0.1) and not clause.holds(0.4)  # 0.3 is drawn as 0.30000000000000004


def test_in_a_grid_the_points_are_counted_from_min():
    head = HEAD.replace("method: random", "method: grid").replace(
        "  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}\n", ""
    )
    head = head.replace("min: 0.1, max: 0.9, q: 0.1", "min: 0.05, max: 0.9, q: 0.1").replace(
        "alpha: {min: 1.0, max: 64.0}", "alpha: {values: [1]}"
    )
    spec = read("lora.r: {when: {step: [0.15, 0.35]}}\nlora.alpha: {when: {step: {max: 0.35}}}", head)
    step = next(p.distribution for p in spec.space.parameters if p.path == ("step",))
    for condition in spec.space.conditions:
        held = [value for value in step.grid_values() if condition.clauses[0].holds(value)]
        assert held == pytest.approx([0.15, 0.35] if condition.path == ("lora", "r") else [0.05, 0.15, 0.25, 0.35])
    with pytest.raises(SpecError, match=WORDS["step-never-has"]):
        read("lora.r: {when: {step: 0.2}}", head)


def test_a_list_can_be_one_value():
    spec = read("lr: {when: {betas: [0.9, 0.99]}}\nstep: {when: {betas: [[0.8, 0.9]]}}")
    assert [c.clauses[0].choices for c in spec.space.conditions] == [([0.9, 0.99],), ([0.8, 0.9],)]


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ("- lr", "s.yaml:16: sweepkit.conditions: must be a mapping"),
        ("learning: {when: {layers: 1}}", "s.yaml:17: sweepkit.conditions.learning: learning is not a parameter"),
        ("lora.rr: {when: {layers: 1}}", "did you mean lora.r?"),
        ("lora: {when: {layers: 1}}", "lora is no parameter but a group of them; name lora.alpha or lora.enabled"),
        ("lr: {when: {layer: 1}}", "conditions.lr.when.layer: layer is not a parameter of this sweep; did you mean"),
        ("lr: {layers: 1}", "layers is not a key of a condition"),
        ("lr: true", "a condition must be a mapping with `when`, got true"),
        ("lr: {when: {}}", "when must be a mapping of other parameters to their values"),
        ("lr: {when: [layers]}", "when must be a mapping of other parameters to their values"),
        ("lr: {when: {optimizer: adam}}", 'optimizer never has this value, got "adam"; its values are "adamw", "sgd"'),
        ("lr: {when: {optimizer: [sgd, adam]}}", "sweepkit.conditions.lr.when.optimizer[1]: optimizer never has"),
        ("lr: {when: {optimizer: []}}", "at least one value is needed"),
        ("lr: {when: {layers: 9}}", "layers never has this value, got 9; it goes from 1 to 8"),
        ("lr: {when: {lora.enabled: 1}}", "lora.enabled never has this value, got 1; its values are true, false"),
        ("step: {when: {lr: 1e-3}}", "lr is continuous: it hits one value practically never"),
        ("step: {when: {lr: {min: 0.2}}}", "lr never has a value in this range"),
        ("step: {when: {lr: {max: 1e-5}}}", "lr never has a value in this range"),
        ("lr: {when: {step: {min: 0.31, max: 0.39}}}", "step never has a value in this range"),
        ("lr: {when: {layers: {min: 3, max: 2}}}", "min must not be above max"),
        ("lr: {when: {layers: {}}}", "a range needs min or max"),
        ("lr: {when: {layers: {least: 3, min: 1}}}", "least is not a key of a range"),
        ("lr: {when: {layers: {min: x}}}", "must be a number"),
        ("lr: {when: {lr: {max: 1e-3}}}", "a condition must not depend on itself, as in lr → lr"),
        ("lr: {when: {step: 0.1}}\nstep: {when: {layers: 1}}\nlayers: {when: {lr: {max: 0.1}}}", "in lr → step → "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(conditions, said):
    with pytest.raises(SpecError) as caught:
        read(conditions)
    assert said in str(caught.value)
    assert str(caught.value).startswith(("s.yaml:16", "s.yaml:17"))


def test_all_problems_are_told_at_once():
    with pytest.raises(SpecError) as caught:
        read("lr: {when: {a: 1, layers: 99}}\nb: {when: {optimizer: x}}")
    assert len(caught.value.problems) == 4


def test_a_refused_parameter_is_not_told_twice():
    with pytest.raises(SpecError) as caught:
        read("lr: {when: {layers: 1}}", HEAD.replace("{min: 1, max: 8}", "{min: 8, max: 1}"))
    assert len(caught.value.problems) == 1


def test_a_name_that_two_parameters_have_is_refused():
    head = HEAD.replace("  betas:", "  lora.r: {values: [1]}\n  betas:")
    with pytest.raises(SpecError, match=WORDS["parameters-have-the"]):
        read("lora.r: {when: {layers: 1}}", head)


def test_bayes_searches_conditional_spaces_itself():
    head = HEAD.replace("method: random", "method: bayes")
    assert not any("TPE searches instead" in item for item in read("lr: {when: {layers: 1}}", head).warnings)


def test_other_conditions_are_another_search():
    old, new = read("lr: {when: {layers: 1}}"), read("lr: {when: {layers: [1, 2]}}")
    change = compare(old, new)
    assert change.kind is ChangeKind.DIFFERS
    assert change.lines == ('sweepkit.conditions.lr: {"when": {"layers": [1]}} → {"when": {"layers": [1, 2]}}',)
    assert compare(old, read("lr: {when: {layers: 1}}")).kind is ChangeKind.SAME
    assert compare(old, read("{}")).kind is ChangeKind.DIFFERS
    wider = read("lr: {when: {layers: 1}}", HEAD.replace("[adamw, sgd, lion]", "[adamw, sgd, lion, x]"))
    assert compare(old, wider).kind is ChangeKind.EXTENDS


RANGES = st.builds(
    lambda low, high: Clause(path=("p",), low=low, high=high),
    st.none() | st.integers(-20, 20) | st.floats(-20, 20),
    st.none() | st.integers(-20, 20) | st.floats(-20, 20),
)


@given(st.integers(-10, 10), st.integers(1, 12), st.sampled_from([1, 2, 0.5, 3]), RANGES)
def test_a_range_is_possible_when_one_value_is_in_it(low, span, q, clause):
    whole = Distribution(kind=Kind.INT_UNIFORM, min=low, max=low + span)
    stepped = Distribution(kind=Kind.Q_UNIFORM, min=low, max=low + span, q=q)
    listed = Distribution(kind=Kind.CATEGORICAL, values=(low, "x", low + span))
    for d in (whole, stepped, listed):
        assert can_hold(d, clause) == any(clause.holds(d.support_value(i)) for i in range(d.support_size()))


# -- the command of a run ---------------------------------------------------------------------------------------------


def command(items, params, optional):
    made = {"program": "t.py", "interpreter": "python", "env": {}, "json_file": "p.json"}
    return build_command(items, params=params, optional=optional, **made)


def test_an_item_that_names_an_inactive_parameter_is_left_out():
    items = ["${program}", "--lr=${lr}", "--rank=${lora.r}", "${lora.r}", "${args}", "--x=${nothing}"]
    space = read("lora.r: {when: {layers: 1}}").space
    optional = optional_names(space, by_function=False)
    assert command(items, {"lr": 1}, optional) == ("t.py", "--lr=1", "--lr=1", "--x=${nothing}")
    both = command(items, {"lr": 1, "lora": {"r": 4}}, optional)
    assert both == ("t.py", "--lr=1", "--rank=4", "4", "--lr=1", "--lora={'r': 4}", "--x=${nothing}")


def test_with_a_function_any_name_may_be_missing():
    items = ["${program}", "--lr=${lr}", "--rank=${r}"]
    assert command(items, {"lr": 1}, optional_names(from_space(), by_function=True)) == ("t.py", "--lr=1")


def test_an_option_that_would_stay_alone_is_told():
    head = HEAD.replace("program: t.py", 'program: t.py\ncommand: ["${program}", "--lr", "${lr}", "--s", "${step}"]')
    (sentence,) = [item for item in read("lr: {when: {layers: 1}}", head).warnings if "--lr" in item]
    assert "write --lr=${lr} as one item" in sentence


# -- search_space: module:function ------------------------------------------------------------------------------------

FUNCTION = {"method": "bayes", "program": "t.py", "metric": {"name": "loss"}, "sweepkit": {"search_space": "m.n:space"}}


def from_space(**changes):
    return from_config({**FUNCTION, **changes}).space


def test_a_function_stands_in_for_the_parameters():
    spec = from_config(FUNCTION)
    assert spec.extensions.search_space == "m.n:space" and spec.space.parameters == ()
    assert len(from_space(parameters={"a": {"value": 1}, "b": {"values": [2]}}).parameters) == 2
    assert any("this sweep runs here only" in item for item in spec.warnings)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sweepkit": {"search_space": "module"}}, "must name a function of a Python module, as module:function"),
        ({"sweepkit": {"search_space": "m.py:f"}, "parameters": {"a": {"values": [1, 2]}}}, "a varies; write value:"),
        ({"sweepkit": {"search_space": "a/b:f"}}, 'got "a/b:f"; my_space:space is'),
        ({"sweepkit": {"search_space": 3}}, "must be a string"),
        ({"method": "grid"}, "a grid cannot enumerate a function; use method: bayes or random"),
        ({"sweepkit": {"search_space": "m:f", "conditions": {}}}, "conditions and search_space cannot both be given"),
    ],
)
def test_what_does_not_go_with_a_function_is_refused(changes, said):
    with pytest.raises(SpecError) as caught:
        from_config({**FUNCTION, **changes})
    assert said in str(caught.value)
