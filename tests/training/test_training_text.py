import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.training.text import normalize


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("ㅋㅋㅋㅋㅋ", "ㅋㅋ"),
        ("ㅋㅋㅋ", "ㅋㅋㅋ"),
        ("정말!!!!!", "정말!!"),
        ("100000원", "100000원"),
        ("“네” ‘응’", "\"네\" '응'"),
        ("„네‟ «네» ＂네＂", '"네" "네" "네"'),
        ("‚응‛ `응´ ＇응＇", "'응' '응' '응'"),
        ("「책」 『책』", "「책」 『책』"),
        (" 하나\n\t둘  셋 ", "하나 둘 셋"),
        (unicodedata.normalize("NFD", "한국어"), "한국어"),
    ],
)
def test_known_cases(raw, clean):
    assert normalize(raw) == clean


@given(st.text())
def test_is_stable_and_leaves_single_blanks_only(text):
    once = normalize(text)
    assert normalize(once) == once
    assert "  " not in once
    assert once == once.strip()
