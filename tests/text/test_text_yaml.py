import datetime
import math

import pytest
import yaml
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SpecError
from sweepkit.text.yaml import Document, decode, dotted, load, parse
from sweepkit.text.yaml11 import NoValue, read_yaml11

WORDS = words_of(__file__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5), ("1E5", 1e5), ("-1.5e+3", -1500.0), (".5", 0.5), (".5e3", 500.0), ("1.", 1.0), ("+2", 2),
        ("0o17", "0o17"), ("0x1F", 31), ("017", 17), ("1_000", 1000), ("1_000.5", 1000.5), ("!!float 1e-5", 1e-5),
        ("!!float 3", 3.0), ('!!float "3"', 3.0), ('!!int "3"', 3), ("!!str 3", "3"), ("'1e-5'", "1e-5"),
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("on", "on"), ("yes", "yes"), ("no", "no"), ("off", "off"), ("y", "y"), ("=", "="), ("12:30", "12:30"),
        ("0b11", "0b11"), ("1e", "1e"), ("e5", "e5"), ("1.2.3", "1.2.3"), ("_1", "_1"), ("한국어", "한국어"),
        ("tRuE", "tRuE"), ("- x", None),
    ],
)  # fmt: skip
def test_yaml_1_2_scalars(text, expected):
    if text == "- x":
        assert load("a:\n- x\n").data == {"a": ["x"]}
        return
    value = load(f"a: {text}\n").data["a"]
    assert value == expected and type(value) is type(expected)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_as_python_writes_them_come_back(value):
    read = load(f"a: {value!r}\nb: {value:e}\n").data
    assert read["a"] == value and isinstance(read["a"], float)
    assert math.isclose(read["b"], value, rel_tol=1e-5)


@given(st.integers())
def test_ints_come_back(value):
    read = load(f"a: {value}\n").data["a"]
    assert read == value and type(read) is int


def test_lines_of_every_path():
    document = load("# c\na: 1\nb:\n  - 1\n  - x: 2\n    y:\n      3\nc: {d: 1,\n  e: 2}\n")
    assert document.lines[("a",)] == 2
    assert document.lines[("b",)] == 3
    assert document.lines[("b", 0)] == 4
    assert document.lines[("b", 1, "x")] == 5
    assert document.lines[("b", 1, "y")] == 6
    assert document.lines[("c", "e")] == 9
    assert document.line(("b", 1, "missing", 3)) == 5
    assert document.line(()) == 2
    assert Document(data={}).line(("a",)) is None


def test_anchors_and_merge_keys():
    text = "base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\n"
    text += "x: {<<: *base, b: 9}\ny: {<<: [*base, *other]}\nz: *base\n"
    data = load(text).data
    assert data["x"] == {"a": 1, "b": 9}
    assert data["y"] == {"a": 1, "b": 2, "c": 4}
    assert data["z"] == {"a": 1, "b": 2}
    data["z"]["a"] = 7
    assert data["base"]["a"] == 1  # an alias is a copy, so that nothing is shared by surprise


def test_a_redefined_anchor_counts_from_there():
    assert load("a: &x 1\nb: *x\nc: &x 2\nd: *x\n").data == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_expansion_of_aliases_is_bounded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(SpecError, match="at most 50000 values"):
        parse("\n".join(lines))


LONG = ("[" + "x, " * 1800 + "x, ]]", "{" + "".join(f"k{place}: x, " for place in range(1800)) + "]")


@pytest.mark.parametrize("values", LONG, ids=["list", "mapping"])
def test_a_long_list_is_refused_without_reading_its_end(values, monkeypatch):
    monkeypatch.setattr("sweepkit.text.yaml._MAX_VALUES", 500)
    with pytest.raises(SpecError, match="at most 500 values"):  # and not the bracket
        parse(f"a: {values}")


@pytest.mark.parametrize("text", ["a: " + "[" * 101 + "]" * 101, "[" * 1500, "a: " + "{a: " * 1000])
def test_depth_is_bounded(text):
    with pytest.raises(SpecError, match=WORDS["nesting-goes-deeper"]):
        parse(text)


def test_deep_but_legal():
    value = load("a: " + "[" * 60 + "]" * 60).data["a"]
    for _ in range(59):
        value = value[0]
    assert value == []


def test_every_duplicate_is_told_and_the_first_kept_d13():
    document = parse("a: 1\nb: {c: 1, c: 2}\na: 3\n'a': 4\n", where="f")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [(problem.line, problem.key) for problem in document.problems] == [(2, "b.c"), (3, "a"), (4, "a")]
    with pytest.raises(SpecError) as caught:
        load("a: 1\na: 2\n", where="f")
    assert str(caught.value) == WORDS["a-a-key"]


def test_bad_bytes_tell_their_line():
    with pytest.raises(SpecError, match=WORDS["the-file-must"]):
        decode(b"a: 1\nb: 2\nc: \xff\n", where="f")
    assert decode(b"\xef\xbb\xbfa: 1") == "a: 1"


def test_dotted():
    assert dotted(()) == ""
    assert dotted(("parameters", "a.b", "values", 0, "x")) == "parameters.a.b.values[0].x"


yaml_soup = st.lists(
    st.sampled_from(
        list("ab1:-,[]{}&*!|>'\"%@`#?<~. \n\t") + ["<<", ": ", "- ", "\n  ", "&a ", "*a", "!!int ", "---\n", "..."]
    ),
    max_size=25,
).map("".join)


@settings(max_examples=examples(400), deadline=None)
@given(yaml_soup | st.text(max_size=30))
def test_no_text_breaks_the_reader(text):
    try:
        document = parse(text, where="f")
    except SpecError as error:
        assert all(problem.rule and problem.where == "f" for problem in error.problems)
    else:
        assert isinstance(document.data, dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(150), deadline=None)
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_json_is_yaml(value):
    import json

    assert load(json.dumps(value)).data == value


def pyyaml(text):
    """Return what W&B's reader makes of a plain scalar; NoValue for a date or an error."""
    try:
        value = yaml.safe_load(f"a: {text}\n")["a"]
    except (ValueError, yaml.YAMLError):
        return NoValue("an error")
    return NoValue("a date") if isinstance(value, datetime.date) else value


def same(one, other):
    return type(one) is type(other) and (one == other or one != one != other != other)


WRITTEN = st.one_of(
    st.text("0123456789", min_size=1, max_size=6),
    st.text("01278_", min_size=1, max_size=7),
    st.text("019abfxob_-+", min_size=1, max_size=6),
    st.text("0159.eE+-_", min_size=1, max_size=9),
    st.text("0159:._", min_size=1, max_size=9),
    st.from_regex(r"[-+]?(0[box]?)?[0-9_]{1,4}(\.[0-9_]{0,3})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,2})?Z?)?", fullmatch=True
    ),
    st.sampled_from(
        "yes Yes yES no NO on On off OFF y n true True null Null ~ .inf -.Inf +.INF .nan .NaN = < - a".split()
    ),
).filter(lambda text: not text.startswith(("-", "?", ":")) or (len(text) > 1 and text[1] not in " :"))


@settings(max_examples=examples(500), deadline=None)
@given(WRITTEN)
def test_our_reader_and_wandbs_agree_on_a_scalar_or_the_difference_is_known(text):
    try:
        loaded = yaml.compose(f"a: {text}\n").value[0][1]
    except yaml.YAMLError:
        return
    if getattr(loaded, "style", "?") is not None or loaded.value != text:
        return  # not one plain scalar
    theirs, ours = pyyaml(text), parse(f"a: {text}\n")
    said = read_yaml11(text)
    # A date that no calendar has is an error at W&B, and refused here like any date.
    assert same(said, theirs) or said == NoValue("a date")
    if ours.bad:
        assert isinstance(theirs, NoValue) or not math.isfinite(theirs)
    elif ("a",) in ours.yaml11:
        assert not same(ours.data["a"], theirs) and same(ours.yaml11["a",], said)
    else:
        assert same(ours.data["a"], theirs)


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ("1e-3", "1e-3"), ("1e5", "1e5"), ("-.5", "-.5"), ("1.5e3", "1.5e3"), ("010", 8), ("yes", True), ("Off", False),
        ("12:30:45", 45045), ("1:30.5", 90.5), ("0b11", 3),
    ],
)  # fmt: skip
def test_what_wandb_reads_otherwise_is_known_by_its_path_d1(text, theirs):
    document = parse(f"a: [x, {text}]\nb: '{text}'\nc: !!str {text}\n")
    assert document.yaml11 == {("a", 1): theirs} and document.yaml12 == {}


@pytest.mark.parametrize(
    ("text", "number"),
    [("08", 8), ("0o17", 15), ("-09", -9), ("08_15", None), ("081125_38", None), ("1_0e5", None), ("2024-1-1", None)],
)
def test_what_begins_with_a_zero_and_is_no_number_to_wandb_is_a_string_here(text, number):
    document = parse(f"a: {text}\n")
    assert (document.data, document.problems) == ({"a": text}, ())
    assert document.yaml12 == ({} if number is None else {("a",): number})


@pytest.mark.parametrize(("text", "value"), [("!!int 08", 8), ("!!int 0o17", 15), ("!!float 08", 8.0), ("-0x1_F", -31)])
def test_a_tag_says_that_it_is_a_number(text, value):
    assert same(load(f"a: {text}\n").data["a"], value)
