"""What a program will import, read from its source."""

import sys

import pytest

from sweepkit.agents.preload import is_local, modules_of_program


@pytest.fixture
def found(tmp_path):
    """Write files, return what the first of them is found to import."""

    def find(**sources):
        for name, source in sources.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
        if (tmp_path / "package").is_dir():
            (tmp_path / "package" / "__init__.py").touch()
        return modules_of_program(str(tmp_path / f"{next(iter(sources))}.py"), None, [p for p in sys.path if p])

    return find


def test_installed_modules_are_found_at_every_depth_of_the_source(found):
    source = """
import json
from hypothesis import given, strategies as st
def f():
    import decimal
    if True:
        from xml.dom import minidom
"""
    names = found(main=source)
    assert names == ["json", "hypothesis:given", "hypothesis:strategies", "decimal", "xml.dom:minidom"]


def test_neighbours_are_followed_but_not_preloaded(found):
    names = found(
        main="import helper\nimport package.part\nfrom package import other",
        helper="import csv",
        package__part="from . import other\nimport bisect",
        package__other="import heapq",
    )
    assert set(names) == {"csv", "bisect", "heapq"}


def test_what_only_type_checkers_import_is_left_out(found):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import decimal\nelse:\n    import fractions"
    assert "decimal" not in found(main=source)


@pytest.mark.parametrize("source", ["def broken(:", "\0", "import nothing_like_this_exists", ""])
def test_a_source_that_cannot_be_read_gives_nothing(found, source):
    assert found(main=source) == []


def test_a_cycle_of_neighbours_ends(found):
    assert found(main="import left", left="import right", right="import left, calendar") == ["calendar"]


def test_sweepkits_own_modules_count_as_changing_unless_asked_otherwise(tmp_path):
    import sweepkit.errors

    assert is_local(sweepkit.errors.__file__)
    assert not is_local(sweepkit.errors.__file__, besides_sweepkit=True)
    assert is_local(str(tmp_path / "x.py"))
    assert not is_local(pytest.__file__)
