import json

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.sweep_config.command import MACROS, arguments_json, build_command, command_warnings, needs_json_file

WORDS = words_of(__file__)

OPT = "{'name': 'adam', 'wd': 1e-05}"  # Python's repr, as W&B has it
PARAMS = {"lr": 0.1, "flag": True, "off": False, "nothing": None, "opt": {"name": "adam", "wd": 1e-5}, "l": [1, "a"]}


def _build(command, params=PARAMS, env=None):
    return build_command(
        command, program="train.py", params=params, interpreter="/venv/python", env=env or {}, json_file="/tmp/c.json"
    )


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("${env}", ["/usr/bin/env"]),
        ("${interpreter}", ["/venv/python"]),
        ("${program}", ["train.py"]),
        ("${args}", ["--lr=0.1", "--flag=True", "--off=False", "--nothing=None", f"--opt={OPT}", "--l=[1, 'a']"]),
        ("${args_no_boolean_flags}", ["--lr=0.1", "--flag", "--nothing=None", f"--opt={OPT}", "--l=[1, 'a']"]),
        ("${args_no_hyphens}", ["lr=0.1", "flag=True", "off=False", "nothing=None", f"opt={OPT}", "l=[1, 'a']"]),
        ("${args_json}", [json.dumps(PARAMS)]),
        ("${args_json_file}", ["/tmp/c.json"]),
        (
            "${args_no_equals}",
            ["--lr", "0.1", "--flag", "True", "--off", "False", "--nothing", "None", "--opt", OPT, "--l", "[1, 'a']"],
        ),
        (
            "${args_append_hydra}",
            ["+lr=0.1", "+flag=True", "+off=False", "+nothing=None", f"+opt={OPT}", "+l=[1, 'a']"],
        ),
        (
            "${args_override_hydra}",
            ["++lr=0.1", "++flag=True", "++off=False", "++nothing=None", f"++opt={OPT}", "++l=[1, 'a']"],
        ),
    ],
)
def test_every_macro(macro, expected):
    assert list(_build([macro])) == expected
    assert macro[2:-1] in MACROS
    assert list(_build(["a", macro, "b"])) == ["a", *expected, "b"]
    assert list(_build([f"x{macro}"])) == [f"x{macro}"]  # only a whole item is a macro


def test_environment_variables_are_replaced_inside_items():
    env = {"HOME": "/root", "A_1": "x", "EMPTY": ""}
    command = ["${envvar:HOME}/d", "${envvar:A_1}${envvar:EMPTY}-${envvar:UNSET}", "${envvar:HOME}", "a=${envvar:home}"]
    assert _build(command, env=env) == ("/root/d", "x-UNSET", "/root", "a=${envvar:home}")


def test_custom_macros_of_parameters_d18():
    command = [
        "--batch_size=${lr}",
        "${opt.name}",
        "${opt}",
        "--a=${lr}/${opt.wd}",
        "${flag}",
        "${lr}-${flag}",
        "--x=${none}",
    ]
    expected = (
        "--batch_size=0.1",
        "adam",
        "{'name': 'adam', 'wd': 1e-05}",
        "--a=0.1/1e-05",
        "True",
        "0.1-True",
        "--x=${none}",
    )
    assert _build(command) == expected


def test_a_value_is_not_expanded_again():
    assert _build(["--x=${a}"], params={"a": "${b}", "b": "${a}"}) == ("--x=${b}",)


def test_a_name_with_dots_wins_over_a_nested_one():
    assert _build(["x=${a.b}"], params={"a": {"b": 1}, "a.b": 2}) == ("x=2",)


def test_a_parameter_named_like_a_macro_does_not_hide_it():
    assert _build(["${program}", "x=${program}"], params={"program": 3}) == ("train.py", "x=3")


@pytest.mark.parametrize("item", ["${agrs}", "${args_dict}", "${}", "${envvar:home}", "${a} and ${b}"])
def test_unknown_whole_items_are_dropped_and_told_d19_d20(item):
    assert _build(["a", item, "b"]) == ("a", "b")
    said = command_warnings(["a", item, "b"], list(PARAMS))
    assert said and all(index == 1 and "is dropped" in sentence for index, sentence in said)


def test_warnings_name_the_nearest_and_stay_silent_when_all_is_well():
    assert command_warnings(["${env}", "${program}", "--lr=${lr}", "${envvar:X}", "${lr}", "$HOME"], ["lr"]) == []
    [(index, sentence)] = command_warnings(["--a=${lrr}"], ["lr"])
    assert index == 0 and sentence == WORDS["is-neither-a"]


def test_needs_json_file():
    assert needs_json_file(["python", "${args_json_file}"])
    assert not needs_json_file(["python", "x${args_json_file}", "${args_json}"])
    assert json.loads(arguments_json(PARAMS)) == PARAMS


def _wandb_command(monkeypatch, command, params):
    """Build the command with wandb's own two functions and its agent's replacement loop (`_command_run`)."""
    from wandb.sdk.launch.sweeps import utils

    items = utils.create_sweep_command(list(command))
    variables = utils.create_sweep_command_args({"args": {name: {"value": value} for name, value in params.items()}})
    variables |= {"interpreter": ["/venv/python"], "program": ["train.py"], "args_json_file": ["/tmp/c.json"]}
    variables["env"] = ["/usr/bin/env"]
    built = []
    for item in map(str, items):
        if item.startswith("${") and item.endswith("}"):
            built += variables.get(item[2:-1]) or []
        else:
            built.append(item)
    return tuple(built)


# Names of parameters are in capitals, so that no macro of ours (D18) can be meant; ${args_dict} is D20.
pieces = st.sampled_from(
    [
        *(f"${{{name}}}" for name in MACROS),
        "${nope}",
        "${envvar:HOME}",
        "${envvar:NOT_SET}",
        "${envvar:a}",
        "--x=",
        "$",
        "{",
        "}",
        " ",
        "é",
    ]
)
items = st.lists(pieces, min_size=1, max_size=3).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None)
@given(
    command=st.lists(items, min_size=1, max_size=5),
    params=st.dictionaries(st.sampled_from(["A", "B_1", "C.D"]), values, max_size=3),
)
def test_commands_equal_wandbs_own(command, params):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/home/me")
        patch.delenv("NOT_SET", raising=False)
        expected = _wandb_command(patch, command, params)
    assert _build(command, params, env={"HOME": "/home/me"}) == expected


def test_wandbs_replacement_loop_is_still_the_one_we_copied_the_meaning_of():
    import inspect

    from wandb.wandb_agent import Agent

    source = inspect.getsource(Agent._command_run)
    for line in (
        'sweep_vars["interpreter"] = ["python"]',  # D17: ours is the interpreter that runs us
        'c.startswith("${") and c.endswith("}")',
        "replace_list or []",
    ):
        assert line in source
