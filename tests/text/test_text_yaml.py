import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SpecError
from sweepkit.text.yaml import Document, decode, dotted, load, parse

WORDS = words_of(__file__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5), ("1E5", 1e5), ("-1.5e+3", -1500.0), (".5", 0.5), (".5e3", 500.0), ("1.", 1.0), ("+2", 2),
        ("0o17", 15), ("0x1F", 31), ("017", 17), ("1_000", 1000), ("1_000.5", 1000.5), ("!!float 1e-5", 1e-5),
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
    with pytest.raises(SpecError, match="at most 200000 values"):
        parse("\n".join(lines))


@pytest.mark.parametrize("text", ["a: " + "[" * 101 + "]" * 101, "[" * 5000, "a: " + "{a: " * 3000])
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


@settings(max_examples=400, deadline=None)
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


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_json_is_yaml(value):
    import json

    assert load(json.dumps(value)).data == value
