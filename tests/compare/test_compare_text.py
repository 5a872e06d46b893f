"""A comparison as text, Markdown, LaTeX and JSON."""

import json
import re
import shutil
import subprocess

import pytest
from rich.cells import cell_len

from sweepkit.compare.text import (
    ComparisonReport,
    comparison_json,
    comparison_latex,
    comparison_markdown,
    comparison_text,
)
from sweepkit.reports.cells import Cells, as_latex, as_markdown, as_text, latex_packages
from sweepkit.stats.comparison import compare
from sweepkit.stats.groups import groups_of

TABLE = Cells(
    caption="t", heads=("model", "n", "말"), rows=(("코바트", "3", "a|b"), ("t5", "10", "c_d & 5 %")), left=(0, 2)
)


def report_of(scores, **changes):
    return ComparisonReport(
        metric="rouge1_f1", context=("dev 499 examples",), comparison=compare(groups_of(scores)), **changes
    )


def test_columns_stand_under_each_other_in_cells_of_the_terminal():
    lines = as_text(TABLE, width=80).splitlines()
    assert lines == ["model    n  말", "코바트   3  a|b", "t5      10  c_d & 5 %"]
    assert {cell_len(line[: line.index(sign)]) for line, sign in zip(lines, ("말", "a", "c"), strict=True)} == {12}


def test_what_does_not_fit_stands_below_its_row_with_its_name():
    assert as_text(TABLE, width=15).splitlines() == [
        "model    n",
        "코바트   3",
        "    말 a|b",
        "t5      10",
        "    말 c_d & 5 %",
    ]


def test_marks_of_markdown_and_latex_are_escaped():
    assert "a\\|b" in as_markdown(TABLE)
    assert r"c\_d \& 5 \%" in as_latex(TABLE)


def test_signs_are_single_and_a_wide_table_fits_the_page():
    table = Cells(caption="t", heads=tuple("abcdefgh"), rows=((">= .005", *"1234567"),))
    text = as_latex(table)
    assert r"$\geq$ .005" in text and "$=" not in text
    assert text.index("resizebox") < text.index(r"\begin{tabular}") and r"\end{tabular}}" in text


def test_latex_is_for_booktabs():
    assert as_latex(TABLE).splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{t}",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"model & n & 말 \\",
        r"\midrule",
        r"코바트 & 3 & a\textbar{}b \\",
        r"t5 & 10 & c\_d \& 5 \% \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


# Names that users give, of which each has broken a document; and words of our own.
NASTY = (
    *(
        "a|b",
        "5 % & #1 {x} ~^\\",
        "$x$_1",
        "[a]",
        "*",
        "a\nb\n\nc",
        "--lr",
        "<<x>>",
        ">= 3 <= 4",
        "'q' \"r\" `s`",
        "",
        "%",
    ),
    *("± × ² ³ … – — − ≈ ≠ ∞ → ← · µ °", "α β λ Δ", "코바트 요약", "要約モデル", "ünïcödé ß", "\\input{x}", "\\"),
)


def nasty_tables():
    yield Cells(caption="[%] \n\n & #", heads=("model", "n"), rows=tuple((name, "[1, 2]") for name in NASTY))
    yield Cells(caption="turned", heads=("n", "[model]"), rows=tuple(("[1, 2]", name) for name in NASTY), left=(1,))
    yield Cells(caption="wide", heads=NASTY, rows=(NASTY, NASTY[::-1]))
    yield Cells(caption="broad", heads=("a", "b"), rows=(("long name " * 12, "long value " * 12),))
    yield Cells(caption="long", heads=("a", "b"), rows=tuple((str(row), "1") for row in range(120)))


def test_latex_has_as_many_cells_as_the_table_and_no_mark_that_means_something():
    for table in nasty_tables():
        text = as_latex(table)
        body = text.partition("\\toprule\n")[2].partition("\n\\bottomrule")[0].replace("\\midrule\n", "")
        rows = body.split(" \\\\\n")
        assert len(rows) == 1 + len(table.rows)
        for row in rows:
            plain = re.sub(r"\\[\\&%$#_{}]", "", row.removesuffix(r" \\"))
            assert plain.count("&") == len(table.heads) - 1
            assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
            assert not set("%#~^_") & set(plain) and not re.match(r"\s*[\[*]", plain)
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_says_what_a_document_must_load():
    plain, korean = comparison_latex(report_of({"a": [1, 2]})), comparison_latex(report_of({"코바트": [1, 2]}))
    assert plain.startswith("% \\usepackage{booktabs,graphicx}\n\\begin{table}")
    assert korean.startswith("% \\usepackage{booktabs,graphicx,kotex}\n\\begin{table}")


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (texlive-latex-base, texlive-lang-korean)")
def test_latex_compiles_and_fits_a_page(tmp_path):
    scores = {name: [0.5 + 0.1 * place, 0.501 + 0.1 * place] for place, name in enumerate(filter(str.strip, NASTY))}
    said = comparison_latex(report_of(scores, warnings=("a_b: 3 ≥ 2 & 4 | 5 %",)))
    for number, text in enumerate([said, *map(as_latex, nasty_tables())]):
        document = "\\documentclass{article}\n" + latex_packages(text)[2:]
        file = tmp_path / f"d{number}.tex"
        file.write_text(document + "\n\\begin{document}\n" + text + "\n\\end{document}\n", encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file.name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        log = file.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        assert done.returncode == 0, log[-800:]
        assert not (found := re.findall("Overfull.*|Missing character.*|Float too large.*", log)), found


@pytest.mark.parametrize("width", [60, 100, 160])
def test_no_line_is_wider_than_the_terminal_and_no_p_is_zero(width):
    scores = {"a_model_of_long_name": [0.5, 0.501, 0.499], "b": [0.1, 0.101, 0.102], "c": [0.3, 0.301, 0.302]}
    text = comparison_text(report_of(scores), width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "<.001" in text and ".0000" not in text


def test_nothing_to_compare_is_a_report_too():
    for scores in ({}, {"a": []}, {"a": [0.5]}, {"a": [0.5], "b": [0.6]}):
        report = report_of(scores, warnings=("careful",))
        assert "warning: careful" in comparison_text(report)
        assert "note: " in comparison_text(report)
        assert "**Warning:** careful" in comparison_markdown(report)
        assert comparison_latex(report).count(r"\begin{table}") == (2 if len(scores) > 1 else 1)
        assert json.loads(comparison_json(report))["comparable"] is False


def test_json_keeps_full_precision():
    scores = {"a": [1 / 3, 0.35, 0.36], "b": [0.1, 0.2, 0.3]}
    said = json.loads(comparison_json(report_of(scores)))
    assert said["models"][0]["min"] == 1 / 3
    assert said["pairs"][0]["p"] == compare(groups_of(scores)).pairs[0].estimate.p
