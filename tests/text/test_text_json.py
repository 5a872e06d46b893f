"""JSON that others read, and JSON files that may be damaged."""

import pytest

from sweepkit.text.json_text import read_object


@pytest.mark.parametrize(
    ("content", "found"), [(b'{"a": 1}', {"a": 1}), (b"[1]", None), (b"null", None), (b'{"a"', None), (b"\xff", None)]
)
def test_only_a_whole_object_is_read_from_a_file(tmp_path, content, found):
    file = tmp_path / "a.json"
    assert read_object(file) is None
    file.write_bytes(content)
    assert read_object(file) == found
