"""`sweepkit.sampler`: a name, or a mapping of a name and options that are checked where they are written."""

import pytest
from snapshots import words_of

from sweepkit.cli.options import _SAMPLERS
from sweepkit.errors import SpecError
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.sweep_config.sampler import NEED_A_METRIC, OPTIONS, SAMPLERS
from sweepkit.sweep_config.sweep import Sampler

WORDS = words_of(__file__)

HEAD = """\
method: random
program: p.py
metric: {name: loss}
parameters: {x: {min: 0.0, max: 1.0}}
sweepkit:
"""


def read(sampler, head=HEAD):
    return read_sweep_text(f"{head}  sampler: {sampler}\n", source="s.yaml").extensions.sampler


def refused(sampler, head=HEAD):
    with pytest.raises(SpecError) as caught:
        read(sampler, head)
    return str(caught.value)


def good_value(option):
    if option.choices:
        return option.choices[-1]
    return {"boolean": True, "integer": max(2, option.at_least or 0), "number": 0.25}[option.kind]


def bad_value(option):
    if option.choices:
        return "other"
    return {"boolean": '"no"', "integer": (option.at_least or 0) - 1, "number": -0.5}[option.kind]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_name_alone_is_a_sampler_without_options(name):
    assert read(name) == read(f"{{name: {name}}}") == Sampler(name=name)


WALK = [(name, key, option) for name, options in OPTIONS.items() for key, option in options.items()]


@pytest.mark.parametrize(("name", "key", "option"), WALK, ids=[f"{name}-{key}" for name, key, _ in WALK])
def test_every_option_is_read_checked_and_has_a_meaning(name, key, option):
    value = good_value(option)
    text = str(value).lower() if isinstance(value, bool) else value
    assert read(f"{{name: {name}, {key}: {text}}}") == Sampler(name=name, options={key: value})
    assert read(f"{{name: {name}, {key}: null}}") == Sampler(name=name)
    assert f"s.yaml:6: sweepkit.sampler.{key}: must be " in refused(f"{{name: {name}, {key}: {bad_value(option)}}}")
    assert option.meaning


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ("tpee", "s.yaml:6: sweepkit.sampler: must be one of tpe, gp, cmaes"),
        ("7", "must be a name or a mapping with a name"),
        ("{multivariate: true}", "a sampler needs a name"),
        ("{name: tpe, multivariat: true}", "multivariat is not an option of sampler tpe, got true; did you mean multi"),
        ("{name: random, seed: 1}", "seed is not an option of sampler random, got 1; random has no options"),
        ("{name: gp, group: true}", "group is not an option of sampler gp"),
        ("{name: tpe, group: true, multivariate: false}", "group needs multivariate"),
        ("{name: cmaes, lr_adapt: true, with_margin: true}", "lr_adapt and with_margin cannot both be true"),
        ("{name: cmaes, sigma0: 0}", "must be above 0"),
        ("{name: nsga, mutation_prob: 1.5}", "must be at most 1"),
        ("{name: nsga, variant: true}", "must be one of 2, 3"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(sampler, said):
    assert said in refused(sampler)


def test_what_a_sampler_needs_is_checked():
    plain = HEAD.replace("metric: {name: loss}\n", "")
    for name in SAMPLERS:
        if name in NEED_A_METRIC:
            assert f"sampler {name} needs a metric" in refused(name, plain)
        else:
            assert read(name, plain) == Sampler(name=name)
    several = HEAD.replace("method: random", "method: custom\nscheduler: {engine: optuna}")
    several = several.replace("metric: {name: loss}", "metrics: [{name: a}, {name: b}]")
    assert WORDS["sampler-cmaes-optimizes"] in refused("cmaes", several)
    assert read("nsga", several) == Sampler(name="nsga")
    grid = HEAD.replace("method: random", "method: grid").replace("{min: 0.0, max: 1.0}", "{values: [1, 2]}")
    assert read("grid", grid) == Sampler(name="grid")
    assert WORDS["a-grid-has"] in refused("qmc", grid)


def test_the_command_line_knows_the_same_names():
    assert _SAMPLERS == SAMPLERS
