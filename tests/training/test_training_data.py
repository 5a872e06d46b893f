import pytest

from sweepkit.errors import DataError
from sweepkit.training.data import Pair, locate, read_pairs

HEADER = "fname,dialogue,summary,topic\n"


def read(tmp_path, content, columns=("dialogue", "summary")):
    path = tmp_path / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_pairs(path, *columns)


def test_reads_pairs_in_order_with_line_breaks_and_commas_inside_quotes(tmp_path):
    pairs = read(tmp_path, HEADER + 'a,"#Person1#: 네,\n#Person2#: ""좋아""",요약,x\nb,둘,요약 둘,y\n')
    assert pairs == [Pair('#Person1#: 네,\n#Person2#: "좋아"', "요약"), Pair("둘", "요약 둘")]


def test_other_columns_a_byte_order_mark_empty_lines_and_line_separators_are_fine(tmp_path):
    content = b"\xef\xbb\xbf" + "text,target\r\n가\u2028나,다\r\n\r\n라,마\r\n".encode()
    assert read(tmp_path, content, ("text", "target")) == [Pair("가\u2028나", "다"), Pair("라", "마")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data.csv: must begin with a header of column names, got an empty file"),
        (HEADER, "data.csv: must have at least one row below its header, got none"),
        ("fname,text,summary\na,b,c\n", "data.csv:1: must have the columns 'dialogue' and 'summary', got 'fname'"),
        ("fname;dialogue;summary\na;b;c\n", "they look separated by ';', write commas"),
        (HEADER + "a,b,c,d\ne,f\n", "data.csv:3: must have 4 fields as the header does, got 2"),
        (HEADER + 'a,"b\nb",c,d\ne,f, ,g\n', "data.csv:4: summary must not be empty"),
        (HEADER + "a,,c,d\n", "data.csv:2: dialogue must not be empty"),
        (HEADER + 'a,"b,c,d\n', "data.csv:2: must be a CSV file"),
        (
            (HEADER + "a,b,c,d\n").encode() + "e,대화,요약,f\n".encode("cp949"),
            "data.csv:3: must be UTF-8, got byte 0xb4",
        ),
        ("대화".encode("utf-16"), "data.csv:1: must be UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_row(tmp_path, content, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_are_found_as_written_or_below_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("data/train.csv", "data.train_file").name == "train.csv"
    (tmp_path / "mine.csv").write_text("x")
    assert locate("mine.csv", "data.train_file").read_text() == "x"
    with pytest.raises(DataError, match="data.val_file: must be a CSV file, got 'none.csv'"):
        locate("none.csv", "data.val_file")
