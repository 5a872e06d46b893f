import csv
import json

import pyarrow
import pytest
from depth import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.training.data import Columns, Example, locate, read

WORDS = words_of(__file__)

HEADER = "fname,dialogue,summary,topic\n"
COLUMNS = Columns(dialogue="dialogue", references=("summary",))
SEVERAL = Columns(dialogue="dialogue", references=("summary1", "summary2"))
OTHERS = "name others with data.dialogue_column, data.summary_column or data.reference_columns"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def message(path, columns=COLUMNS, delimiter=None):
    """Return what is said of a bad file, without its folder."""
    with pytest.raises(DataError) as caught:
        list(read(path, columns, delimiter))
    assert all(str(path.parent) in line for line in str(caught.value).splitlines()[1:])  # each row's place
    return str(caught.value).replace(f"{path.parent}/", "")


def test_reads_examples_in_order_with_line_breaks_and_commas_inside_quotes(tmp_path):
    file = write(tmp_path / "a.csv", HEADER + 'a,"#Person1#: 네,\n#Person2#: ""좋아""",요약,x\nb,둘,요약 둘,y\n')
    wanted = [Example('#Person1#: 네,\n#Person2#: "좋아"', ("요약",)), Example("둘", ("요약 둘",))]
    assert list(read(file, COLUMNS)) == wanted


def test_other_columns_a_byte_order_mark_empty_lines_and_line_separators_are_fine(tmp_path):
    content = b"\xef\xbb\xbf" + "text,target\r\n가\u2028나,다\r\n\r\n라,마\r\n".encode()
    columns = Columns(dialogue="text", references=("target",))
    wanted = [Example("가\u2028나", ("다",)), Example("라", ("마",))]
    assert list(read(write(tmp_path / "a.csv", content), columns)) == wanted
    assert list(read(write(tmp_path / "a.csv", content.replace(b"\r\n", b"\r")), columns)) == wanted  # old Macs


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a"])
def test_the_delimiter_is_found_in_the_header_whatever_the_texts_hold(tmp_path, mark, name):
    file = write(tmp_path / name, mark.join(["fname", "dialogue", "summary"]) + "\n" + f'x{mark}",;\t|"{mark}"||||"\n')
    assert list(read(file, COLUMNS)) == [Example(",;\t|", ("||||",))]


def test_a_delimiter_given_goes_before_what_the_header_looks_like(tmp_path):
    file = write(tmp_path / "a.csv", "dialogue^summary\na,b^c\n")
    assert list(read(file, COLUMNS, "^")) == [Example("a,b", ("c",))]
    assert message(file) == (
        "a.csv:1: must have the columns 'dialogue' and 'summary', got 'dialogue^summary'; "
        f"did you mean dialogue^summary?; {OTHERS}"
    )
    assert "did you mean" in message(file, COLUMNS, ";")
    assert "; data.delimiter is ';'; name others" in message(file, COLUMNS, ";")
    tabs = write(tmp_path / "b.csv", "dialogue\tsummary\na\tb\n")
    assert list(read(tabs, COLUMNS, "\\t")) == list(read(tabs, COLUMNS, "\t")) == [Example("a", ("b",))]
    for bad in ("", ",,", '"', "\n"):
        rule = "data.delimiter: must be one character, no quote and no line break"
        assert message(file, COLUMNS, bad) == f"{rule}, got {bad!r}"


def test_several_references(tmp_path):
    content = "fname,dialogue,summary1,summary2,topic\na,가,나,다,라\n"
    assert list(read(write(tmp_path / "a.csv", content), SEVERAL)) == [Example("가", ("나", "다"))]
    lines = '{"dialogue": "가", "summary1": "나", "summary2": "다"}\n'
    assert list(read(write(tmp_path / "a.jsonl", lines), SEVERAL)) == [Example("가", ("나", "다"))]


KOREAN = (HEADER + "a,b,c,d\n").encode() + "e,대화,요약,f\n".encode("cp949")
ICONV = "convert it: iconv -f {} -t utf-8 a.csv > utf8_a.csv"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a.csv: must begin with a header of column names, got an empty file"),
        ("\ufeff\n\n", "a.csv: must begin with a header of column names, got an empty file"),
        (HEADER, "a.csv: must have at least one row below its header, got none"),
        (
            "fname,dialog,summary\na,b,c\n",
            "a.csv:1: must have the columns 'dialogue' and 'summary', got 'fname', 'dialog', 'summary'; "
            f"did you mean dialog?; {OTHERS}",
        ),
        (
            "가나다" * 20 + ",b\n" + "c,d\n",
            f"a.csv:1: must have the columns 'dialogue' and 'summary', got '{'가나다' * 13}…', 'b'; {OTHERS}",
        ),
        (
            "dialogue,summary,summary\na,b,c\n",
            "a.csv:1: must name each column once, got 'summary' 2 times; rename or remove one",
        ),
        (HEADER + "a,b,c,d\ne,f\n", "a.csv:3: must have 4 fields as the header does, got 2; fill the row up"),
        (
            HEADER + "a,네, 좋아,c,d\n",
            "a.csv:2: must have 4 fields as the header does, got 5; put texts with ',' in double quotes",
        ),
        (HEADER + 'a,"b\nb",c,d\ne,f, ,g\n', "a.csv:4: summary must not be empty; fill it or remove the row"),
        (
            HEADER + "a,,c,d\na,b,c,d\n,,,\n,,,\n",
            "a.csv:2: dialogue must not be empty; fill it or remove the row (2 more rows are like it: 4, 5)",
        ),
        (
            HEADER + "a,b,,d\n\na,b,\t,d\n",
            "a.csv: summary must not be empty, got 2 rows without a text in it; "
            "fill them, or name another column in the configuration's data section",
        ),
        (
            HEADER + 'a,b,c,d\na,"b,c,d\n',
            "a.csv:3: must be a CSV file, this record is broken in line 3: unexpected end of data; "
            "is a quote not closed, or not doubled within a quoted text?",
        ),
        (KOREAN, f"a.csv:3: must be UTF-8, got byte 0xb4; if it is a Korean Windows file, {ICONV.format('cp949')}"),
        (HEADER.encode() + b"a,b,\xea\xb0", "a.csv:2: must be UTF-8, got byte 0xea; if it is a Korean Windows file, "),
        (("대화".encode("utf-16")), f"a.csv:1: must be UTF-8, got UTF-16; {ICONV.format('utf-16')}"),
        (("대화".encode("utf-32")), f"a.csv:1: must be UTF-8, got UTF-32; {ICONV.format('utf-32')}"),
        (
            "d,\n대화".encode("utf-16-le"),
            f"a.csv:1: must be text, got a NUL byte; if it is UTF-16, {ICONV.format('utf-16le')}",
        ),
        (HEADER + "a,b,c\0c,d\n", "a.csv:2: must be text, got a NUL byte; if it is UTF-16, "),
        (b"PAR1....", "a.csv:1: must be text, got a Parquet file; let its name end with .parquet"),
        (b"PK\x03\x04....", "a.csv:1: must be text, got a zip archive or an Excel workbook; save it as CSV UTF-8"),
        (b"\x1f\x8b....", "a.csv:1: must be text, got a gzip archive; unpack it: gunzip a.csv"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_told_with_its_row(tmp_path, content, said):
    got = message(write(tmp_path / "a.csv", content))
    got = got.splitlines()[0]  # what is wrong with other rows comes after it
    assert got == said if not said.endswith(" ") else got.startswith(said)


def test_the_row_of_a_bad_byte_is_right_beyond_what_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("sweepkit.training.readers._CHUNK_BYTES", 7)
    lines = [f"파일{number},대화 {number},요약,x\n".encode() for number in range(50)]
    good = write(tmp_path / "a.csv", HEADER.encode() + b"".join(lines))
    assert len(list(read(good, COLUMNS))) == 50
    lines[33] = "파일,대화,요약,x\n".encode("cp949")
    assert message(write(good, HEADER.encode() + b"".join(lines))).startswith("a.csv:35: must be UTF-8, got byte 0xc6;")
    lines[33] = b"a,b,c\0,d\n"
    assert message(write(good, HEADER.encode() + b"".join(lines))).startswith(WORDS["must-be-text"])


GOOD_LINE = '{"dialogue": "가", "summary": "나"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a.jsonl: must have at least one row, got none"),
        (GOOD_LINE + "\n[1, 2]\n", "a.jsonl:3: must be one JSON object a line, got an array; write e.g. "),
        (GOOD_LINE + "7\n", "a.jsonl:2: must be one JSON object a line, got a number; write e.g. "),
        ("null\n", "a.jsonl:1: must be one JSON object a line, got null; write e.g. "),
        (
            '"text"\n',
            'a.jsonl:1: must be one JSON object a line, got a text; write e.g. {"dialogue": "…", "summary": "…"}',
        ),
        (
            GOOD_LINE + '{"dialogue": \n',
            "a.jsonl:2: must be one JSON object a line, got: Expecting value at column 13",
        ),
        ("[" * 100_000, "a.jsonl:1: must be one JSON object a line, got: maximum recursion depth exceeded "),
        ('{"a": ' + "1" * 5000 + "}", "a.jsonl:1: must be one JSON object a line, got: Exceeds the limit "),
        (
            '{"dialogue": "가", "summery": "나"}\n',
            "a.jsonl:1: must have the columns 'dialogue' and 'summary', got 'dialogue', 'summery'; "
            f"did you mean summery?; {OTHERS}",
        ),
        ("{}\n", f"a.jsonl:1: must have the columns 'dialogue' and 'summary', got none; {OTHERS}"),
        (
            '{"dialogue": "가", "summary": "나", "summary": "다"}\n',
            "a.jsonl:1: must name each column once, got 'summary' 2 times; rename or remove one",
        ),
        (GOOD_LINE + '{"dialogue": 3, "summary": "나"}', "a.jsonl:2: dialogue must be a text, got a number"),
        ('{"dialogue": "가", "summary": null}', "a.jsonl:1: summary must be a text, got null"),
        ('{"dialogue": "가", "summary": true}', "a.jsonl:1: summary must be a text, got a truth value"),
        ('{"dialogue": ["가"], "summary": "나"}', "a.jsonl:1: dialogue must be a text, got a list or an object"),
        ('{"dialogue": {"a": 1}, "summary": "나"}', "a.jsonl:1: dialogue must be a text, got a list or an object"),
        (
            GOOD_LINE + '{"dialogue": "\\u0000가", "summary": "나"}',
            "a.jsonl:2: dialogue must be text, got a NUL character; remove it",
        ),
        (
            '{"dialogue": "\\ud83d", "summary": "나"}',
            "a.jsonl:1: dialogue must be Unicode text, got half of a surrogate pair; remove it",
        ),
        (
            GOOD_LINE + '{"dialogue": "가", "summary": ""}',
            "a.jsonl:2: summary must not be empty; fill it or remove the row",
        ),
        (GOOD_LINE.encode("cp949"), "a.jsonl:1: must be UTF-8, got byte 0xb0; if it is a Korean Windows file, "),
    ],
)
def test_what_is_wrong_with_json_lines_is_told_with_their_row(tmp_path, content, said):
    got = message(write(tmp_path / "a.jsonl", content))
    got = got.splitlines()[0]  # what is wrong with other rows comes after it
    assert got == said if not said.endswith(" ") else got.startswith(said)


def table(path, *, kind=None, **columns):
    arrays = [pyarrow.array(values, kind) for values in columns.values()]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, names=list(columns)), path)
    return path


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"dialogue": [], "summary": []},
            "a.parquet: column 'dialogue' must hold texts, got null; store it as strings",
        ),
        (
            {"dialogue": ["가"], "summary": [3]},
            "a.parquet: column 'summary' must hold texts, got int64; store it as strings",
        ),
        (
            {"text": ["가"], "summary": ["나"]},
            f"a.parquet: must have the columns 'dialogue' and 'summary', got 'text', 'summary'; {OTHERS}",
        ),
        ({"dialogue": ["가", "나"], "summary": ["다", None]}, "a.parquet: row 2: summary must be a text, got null"),
        (
            {"dialogue": ["가", "나", " "], "summary": ["다", "라", "마"]},
            "a.parquet: row 3: dialogue must not be empty; fill it or remove the row",
        ),
        (
            {"dialogue": ["가", "나"], "summary": ["", "\n"]},
            "a.parquet: summary must not be empty, got 2 rows without a text in it; "
            "fill them, or name another column in the configuration's data section",
        ),
    ],
)
def test_what_is_wrong_with_a_parquet_file_is_told_with_its_row(tmp_path, columns, said):
    assert message(table(tmp_path / "a.parquet", **columns)) == said


def test_files_that_are_no_parquet_are_told(tmp_path):
    file = write(tmp_path / "a.parquet", "")
    assert message(file) == WORDS["parquet-must-be"]
    assert message(write(file, HEADER)).startswith(WORDS["parquet-must-be-a"])
    table(file, dialogue=["가" * 1000], summary=["나"])
    assert message(write(file, file.read_bytes()[:-20])).startswith(WORDS["parquet-must-be-a-parquet"])
    none = table(file, kind=pyarrow.string(), dialogue=[], summary=[])
    assert message(none) == WORDS["parquet-must-have"]
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names=["dialogue", "summary", "summary"])
    parquet.write_table(twice, file)
    assert message(file) == WORDS["parquet-must-name"]


def test_parquet_texts_that_are_no_utf8_are_told_with_their_row_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sweepkit.training.readers._BATCH_ROWS", 2)
    good = pyarrow.array(["가", "나", "다", "라"])
    bad = pyarrow.array(["a", "b", "c", "대화".encode("cp949")], pyarrow.binary()).view(pyarrow.string())
    parquet.write_table(pyarrow.Table.from_arrays([good, bad], names=["dialogue", "summary"]), tmp_path / "a.parquet")
    assert message(tmp_path / "a.parquet") == (WORDS["summary-must-be"])


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_file_that_is_not_there_any_more_is_told(tmp_path, name):
    assert message(tmp_path / name) == f"{name}: must be a file that can be read, got: No such file or directory"


def test_a_missing_or_empty_reference_is_told_with_its_row(tmp_path):
    content = "dialogue,summary1,summary2\n가,나,다\n라,마,\n"
    assert message(write(tmp_path / "a.csv", content), SEVERAL) == (WORDS["must-not-be"])
    assert message(write(tmp_path / "a.csv", HEADER), SEVERAL) == (
        "a.csv:1: must have the columns 'dialogue', 'summary1' and 'summary2', got 'fname', 'dialogue', 'summary', "
        f"'topic'; did you mean summary?; {OTHERS}"
    )
    lines = '{"dialogue": "가", "summary1": "나", "summary2": "다"}\n{"dialogue": "가", "summary1": "나"}\n'
    assert message(write(tmp_path / "a.jsonl", lines), SEVERAL).startswith(WORDS["must-have-the"])


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(str.strip)
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)
PROPERTY = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@PROPERTY
@given(rows=ROWS, mark=st.sampled_from([",", ";", "\t", "|"]), end=st.sampled_from(["\r\n", "\n"]), bom=st.booleans())
def test_what_the_csv_writer_writes_is_read_back(tmp_path, rows, mark, end, bom):
    file = tmp_path / "a.csv"
    with file.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as out:
        # With "\n" for a line end it leaves a lone "\r" unquoted (Python 3.11), which no reader could know from an end.
        quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
        writer = csv.writer(out, delimiter=mark, lineterminator=end, quoting=quoting)
        writer.writerow(["fname", "dialogue", "summary"])
        writer.writerows(("x", *row) for row in rows)
    assert list(read(file, COLUMNS)) == [Example(dialogue, (summary,)) for dialogue, summary in rows]


@PROPERTY
@given(rows=ROWS, ascii_only=st.booleans())
def test_what_the_json_writer_writes_is_read_back(tmp_path, rows, ascii_only):
    lines = [json.dumps({"summary": s, "dialogue": d}, ensure_ascii=ascii_only) for d, s in rows]
    file = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert list(read(file, COLUMNS)) == [Example(dialogue, (summary,)) for dialogue, summary in rows]


@PROPERTY
@given(
    rows=ROWS,
    kind=st.sampled_from(
        [pyarrow.string(), pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())]
    ),
)
def test_what_the_parquet_writer_writes_is_read_back(tmp_path, rows, kind):
    dialogues, summaries = zip(*rows, strict=True)
    file = table(tmp_path / "a.parquet", kind=kind, topic=dialogues, summary=summaries, dialogue=dialogues)
    assert list(read(file, COLUMNS)) == [Example(dialogue, (summary,)) for dialogue, summary in rows]


@PROPERTY
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.jsonl", "a.parquet"]))
def test_no_content_makes_another_error(tmp_path, content, name):
    file = write(tmp_path / name, content)
    try:
        list(read(file, COLUMNS))
    except DataError as error:
        assert str(file) in str(error)


def test_files_are_found_as_written_or_below_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("data/train.csv", "data.train_file").name == "train.csv"
    (tmp_path / "mine.csv").write_text("x")
    assert locate("mine.csv", "data.train_file").read_text() == "x"
    rule = r"data.val_file: must be a CSV file, JSON lines \(.jsonl\) or Parquet \(.parquet\)"
    for none in ("none.csv", "", "x" * 300):
        with pytest.raises(DataError, match=f"^{rule}, got '{none}', which does not exist here or below "):
            locate(none, "data.val_file")
