"""CSV in and out: one set of rules."""

import csv
import io
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.text.csv_text import csv_text, read_csv, read_rows

WORDS = words_of(__file__)

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def read(tmp_path, text):
    file = tmp_path / "t.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(file)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("seed,name\n01,null\n1e3,\n", [{"seed": "01", "name": "null"}, {"seed": "1e3", "name": ""}]),
        ("\ufeff온도,b\n0.1,NaN\n", [{"온도": "0.1", "b": "NaN"}]),
        ("a,b\n1\n2,3,4,5\n\n6,7\n", [{"a": "1", "b": ""}, {"a": "2", "b": "3"}, {"a": "6", "b": "7"}]),
        ("a,b\n1,2,3\n", [{"a": "1", "b": "2"}]),
        ('a,b\r\n"x\ny, ""z""",2\r\n', [{"a": 'x\ny, "z"', "b": "2"}]),
        ("a,b\n", []),
        ("", []),
    ],
)
def test_cells_are_text_as_they_are_written(tmp_path, text, rows):
    assert read(tmp_path, text).to_dict("records") == rows


@pytest.mark.parametrize("text", ["온도\n1\n".encode("cp949"), 'a,b\n"x,2\n'])
def test_what_is_no_table_in_utf_8_is_refused_with_its_name(tmp_path, text):
    with pytest.raises(DataError, match=WORDS["csv-must-be"]):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no\.csv"):
        read_csv(tmp_path / "no.csv")


@pytest.mark.parametrize("raw", [False, True])
def test_a_metric_s_name_with_nul_makes_no_binary_file(raw):
    assert csv_text([{"a\0b": "c\0", "d": 1}], raw=raw) == "a\\0b,d\nc\\0,1\n"


@given(st.lists(st.fixed_dictionaries({"a": CELLS, "b": CELLS.filter(bool)}), min_size=1, max_size=5))
def test_text_comes_back_as_it_was_written(rows):
    text = csv_text(rows, raw=True)
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == rows
    found = pd.read_csv(io.StringIO(text), dtype=str, na_filter=False)
    assert found.to_dict("records") == rows


def test_pandas_reads_the_types_that_are_written():
    rows = [{"lr": 1e-5, "n": 3, "on": True, "tags": ["가"]}, {"lr": None, "n": 4, "on": False}]
    found = pd.read_csv(io.StringIO(csv_text(rows)))
    assert [dtype.kind for dtype in found.dtypes] == ["f", "i", "b", "O"]
    assert found["tags"][0] == '["가"]' and found["tags"].isna()[1] and found["lr"].isna()[1]


def test_a_runner_writes_its_table_without_pandas():
    probe = "import sys; import sweepkit.reports.table; print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|'/C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "-",
        "=",
        "'quoted",
        "plain",
        "-1e-5",
        "'=x",
        "'-1",
        "''@",
        "\n=1",
        "＝1+1",
        "＠x",
    ],
)
def test_what_a_spreadsheet_takes_for_a_formula_is_quoted_and_read_as_it_was(tmp_path, text):
    written = csv_text([{"x": text, "n": -0.5, text or "y": 1}])
    assert all(cell[:1] not in "=+@＝＠\n" for row in csv.reader(io.StringIO(written)) for cell in row if cell)
    (tmp_path / "t.csv").write_text(written, encoding="utf-8")
    table = read_csv(tmp_path / "t.csv")
    assert (table["x"][0], table["n"][0], list(table.columns)) == (text, "-0.5", ["x", "n", text])
    assert read_rows(tmp_path / "t.csv") == [{"x": text, "n": "-0.5", text: "1"}]
    assert csv_text([{"x": text}], raw=True).splitlines()[0] == "x"
