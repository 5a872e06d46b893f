import math

import pytest

from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import Field, chosen, whole
from sweepkit.text.yaml import Document, parse

SECTION = {
    "name": Field(),
    "kinds": Field(kind="strings", fault=lambda item: "" if item else "must not be empty"),
    "on": Field(kind="boolean"),
    "count": whole(1),
    "share": Field(kind="float", above=0, at_most=1, hint="0.5 is a half"),
    "goal": chosen(("minimize", "maximize")),
    "room": Field(kind="integer", at_least=1, words=("auto",)),
    "other": Field(kind="any"),
}


def test_a_section_gives_each_value_in_its_type():
    check = Checker(Document(data={}))
    given = {"name": "a", "kinds": ["x"], "on": False, "count": 2.0, "share": 1, "room": "auto", "other": [1]}
    found = check.section(given, (), SECTION, "a section")
    assert found == {**given, "kinds": ("x",), "count": 2} and not check.problems()
    assert type(found["count"]) is int and type(found["share"]) is float


def test_all_that_is_wrong_is_refused_at_once_with_line_key_value_and_remedy():
    text = "s:\n  name: 3\n  kinds: [a, '', 4]\n  on: 'yes'\n  count: 0\n  share: 2\n  goal: minimise\n  nmae: x\n"
    document = parse(text, where="a.yaml")
    check = Checker(document, where="a.yaml")
    found = check.section(document.data["s"], ("s",), SECTION, "a section")
    assert found == {"kinds": ("a", "")}
    said = {(p.line, p.key): (p.got, p.hint) for p in check.problems()}
    assert said == {
        (2, "s.name"): ("3", 'write "3"'),
        (3, "s.kinds[1]"): ('""', ""),
        (3, "s.kinds[2]"): ("4", ""),
        (4, "s.on"): ('"yes"', "YAML 1.2 writes true and false only"),
        (5, "s.count"): ("0", ""),
        (6, "s.share"): ("2", "0.5 is a half"),
        (7, "s.goal"): ('"minimise"', "did you mean minimize?"),
        (8, "s.nmae"): ('"x"', "did you mean name?"),
    }


@pytest.mark.parametrize("null_is_default", [True, False])
def test_a_null_is_the_default_where_the_section_says_so(null_is_default):
    check = Checker(Document(data={}))
    assert check.section({"name": None}, (), SECTION, "a section", null_is_default=null_is_default) == {}
    assert bool(check.problems()) is not null_is_default


@pytest.mark.parametrize("value", [math.inf, math.nan, 10**400, True, "1", None])
@pytest.mark.parametrize("kind", ["integer", "number", "float"])
def test_what_is_no_number_that_a_float_holds_is_none(kind, value):
    assert Field(kind=kind).misfits(value)


def test_null_fits_only_what_is_optional():
    assert not Field(kind="integer", optional=True).misfits(None)
    assert Field(kind="integer").misfits(None)
