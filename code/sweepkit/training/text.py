"""Korean text made uniform before it is tokenized or scored. Knows no tokenizer, no model and no file."""

import re
import unicodedata

_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂", '"') | dict.fromkeys("‘’‚‛`´＇", "'"))
_REPEATED = re.compile(r"(\D)\1{3,}")
_SPACE = re.compile(r"\s+")


def normalize(text: str) -> str:
    r"""Return the text composed (NFC), quotes made plain, long repetitions cut to two, white space folded to a blank.

    Digits are not cut: 10000 stays 10000.

    >>> normalize('정말 ㅋㅋㅋㅋㅋㅋ  “좋아”\n10000원')
    '정말 ㅋㅋ "좋아" 10000원'
    """
    plain = unicodedata.normalize("NFC", text).translate(_QUOTES)
    return _SPACE.sub(" ", _REPEATED.sub(r"\1\1", plain)).strip()
