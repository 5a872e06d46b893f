"""Reading `sweepkit.wandb`: how each run appears in W&B."""

import pytest

from sweepkit.errors import SpecError
from sweepkit.sweep_config.change import compare
from sweepkit.sweep_config.read import from_config, read_sweep_text
from sweepkit.sweep_config.sweep import WandbNaming

CONFIG = {"method": "random", "parameters": {"a": {"value": 1}}}
HEAD = "method: random\nparameters: {a: {value: 1}}\nsweepkit:\n  wandb: "


def read(node):
    return from_config({**CONFIG, "sweepkit": {"wandb": node}}).extensions.wandb


def test_all_of_it_is_read_and_none_of_it_goes_to_wandb():
    node = {
        "group": "optuna_search",
        "name": "trial_{number:03d}",
        "job_type": "search",
        "tags": ["a", "한글"],
        "mode": "offline",
    }
    spec = from_config({**CONFIG, "sweepkit": {"wandb": node}})
    assert spec.extensions.wandb == WandbNaming(**{**node, "tags": ("a", "한글")})
    assert spec.wandb_config == CONFIG
    assert read({}) == WandbNaming() and from_config(CONFIG).extensions.wandb is None
    assert read({"mode": "disabled"}).mode == "disabled"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optuna_search", "must be a mapping"),
        ("{grup: x}", "did you mean group?"),
        ("{name: 'trial_{nummer}'}", "may use {number}, {run_id}, {sweep} only"),
        ("{group: 'g_{number}'}", "may use {sweep} only"),
        ("{name: 'trial_{number'}", "must be a template"),
        ("{name: 'trial_{}'}", "may use"),
        ("{name: '{number:x y}'}", "must be a template"),
        ("{name: '{number.real}'}", "may use"),
        ("{name: ' '}", "1 to 128 characters"),
        ("{name: 7}", "must be a string"),
        ("{tags: a}", "must be a list of strings"),
        ("{tags: ['a,b']}", "must not be empty or hold a comma"),
        ("{mode: off}", "must be one of online, offline, disabled"),
    ],
)
def test_wrong_ones_are_told_with_file_and_line(text, said):
    with pytest.raises(SpecError) as caught:
        read_sweep_text(HEAD + text, source="my.yaml")
    assert said in str(caught.value) and "my.yaml:4: sweepkit.wandb" in str(caught.value)


def test_another_name_continues_the_sweep():
    def spec(**node):
        return from_config({**CONFIG, "name": "s", "sweepkit": {"wandb": node} if node else {}})

    changed = compare(spec(name="a"), spec(name="b", tags=["t"]))
    assert changed.lines == ('sweepkit.wandb: {"name": "a", "tags": []} → {"name": "b", "tags": ["t"]}',)
    assert not changed.breaking
    assert compare(spec(), spec(name="b")).lines and not compare(spec(name="a"), spec(name="a")).lines
