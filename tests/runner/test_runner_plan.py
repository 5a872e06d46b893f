"""Plans of YAML files that cannot be read."""

import pytest

from sweepkit.errors import NoDocumentError, SpecError
from sweepkit.runner import plan
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan


def refused(folder, monkeypatch, text, error):
    """Return the problems of a sweep, and how often its text was read once more for what its program lacks."""
    again = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(plan, "parse", lambda text: again.append(text) or parse(text))
    (folder / "s.yaml").write_text(text)
    with pytest.raises(error) as raised:
        make_plan(RunOptions(output_dir=folder / "out"), "s.yaml")
    return raised.value.problems, len(again)


parse = plan.parse


def test_a_file_that_is_no_document_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr("sweepkit.text.yaml._MAX_VALUES", 50)
    many = "program: none.py\nmethod: grid\nparameters: {x: {values: [" + ", ".join(["1"] * 2_000) + "]}}\n"
    for text in (many, "method: [grid\n", "- a list\n"):
        problems, again = refused(tmp_path, monkeypatch, text, NoDocumentError)
        assert len(problems) == 1 and again == 0


def test_of_one_that_can_be_read_the_program_is_looked_at_too(tmp_path, monkeypatch):
    text = "program: none.py\nmethod: grid\nparameters: {x: {values: []}}\n"
    problems, again = refused(tmp_path, monkeypatch, text, SpecError)
    assert len(problems) == 2 and again == 1
