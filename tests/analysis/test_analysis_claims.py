"""docs/claims.md has a row for each sentence that concludes something: the sentences are read from the code."""

import ast
import re

import pytest

from sweepkit import paths

PACKAGE = paths.ROOT_DIR / "code" / "sweepkit"
SPOKEN = (
    "analysis/lead_words.py",
    "analysis/importance_words.py",
    "analysis/importance.py",
    "analysis/budget.py",
    "analysis/failures.py",
    "analysis/looks.py",
    "analysis/summary.py",
    "analysis/stopping_audit.py",
    "stats/sentences.py",
    "stats/comparison.py",
    "stats/race.py",
    "stats/seed_race.py",
    "reports/confirmation.py",
    "reports/holdout.py",
    "reports/figures/slices.py",
    "reports/figures/history.py",
    "reports/figures/static.py",  # the titles of the matrix: analysis/association.py has numbers alone
    "reports/methods.py",
)
# What tells a conclusion from a heading, an error or a count.
CONCLUDES = re.compile(
    r"\b(clear(ly)?|beyond what|explains?|better (than|only|value)|(by|be) luck|chance of|conclusion|equal within|"
    r"told apart|interact|contradicts|flattered|undersold|is confirmed|false-stop|saved about|cannot be|lie at|"
    r"predicted|predicts nothing|predict|noise reaches|from noise|cheapest other|expect less|Unconfirmed|luck of|"
    r"optimism|sds|chance|no pair|not tested|can be tested|not corrected|share there|runs with|attributes|"
    r"times (cheaper|as long))\b"
)


def sentences_of(file):
    """Return the sentences of a module, each placeholder an ellipsis."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
    skipped = {id(body[0].value) for body in bodies if isinstance(body[0], ast.Expr)}  # docstrings
    skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            found.append(node.value)
    return found


def claimed(sentence, phrases):
    """Return whether a phrase, its parts between ellipses in their order, is in a sentence."""
    return any(re.search(".*".join(map(re.escape, re.split(r" ?… ?", phrase))), sentence) for phrase in phrases)


def phrases_of(text):
    return [phrase for phrase in re.findall(r'"([^"\n]+)"', text) if " " in phrase]


@pytest.mark.parametrize("name", SPOKEN)
def test_each_sentence_that_concludes_something_has_a_row(name):
    phrases = phrases_of((paths.ROOT_DIR / "docs" / "claims.md").read_text(encoding="utf-8"))
    spoken = [item for item in sentences_of(PACKAGE / name) if CONCLUDES.search(item) and "must have" not in item]
    missing = [item for item in spoken if not claimed(item, phrases)]
    assert spoken and not missing, "add a row to docs/claims.md: " + "; ".join(missing)


def test_a_sentence_without_a_row_is_missed():
    assert not claimed("this is better than … by a mile", phrases_of('| "a is worse than b" | x |'))
    assert claimed("take … the best of … with a chance of …", phrases_of('| "the best of … with a chance of" |'))
