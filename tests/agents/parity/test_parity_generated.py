"""Warm is fresh: programs put together at random, each with a fork server of its own."""

import re

import pytest
from generated import rows
from hypothesis import HealthCheck, Phase, given, settings
from parity import Benches

MANY = 300
_QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def differences(row, folder):
    """Return in what the warm runs of a row differ from a fresh process; "drawn twice" counts when both drew."""
    found = Benches(folder).hold(row).differences
    found = [item for item in found if item[0] != "way" and not item[1] == item[2] == "(nothing)"]
    found = [item for item in found if not (item[0] == "files" and "gc.disable()" in row.program and _kept(*item[1:]))]
    return [item for item in found if not (item[0] == "output" and _told(item[1]) == _told(item[2]))]


def _kept(fresh, warm):
    """Return whether warm runs only kept more of files: without collections, CPython may close one before its flush."""
    return fresh.keys() == warm.keys() and all(text.startswith(fresh[name]) for name, text in warm.items())


def _told(output):
    """Return an output in which a file that was left open is named alike: its text or its bytes, a made-up name."""
    output = re.sub(r"unclosed file <_io\.\w+ name='([^']*)'[^>]*>", r"unclosed file \1", output)
    return re.sub(r"/tmp\w{8}\b", "/tmp_", output)


@pytest.mark.slow
@pytest.mark.timeout(600)
@given(row=rows())
@settings(max_examples=4, phases=[Phase.generate], **_QUIET)
def test_a_generated_program_runs_warm_as_fresh(tmp_path_factory, row):
    assert not (found := differences(row, tmp_path_factory.getbasetemp())), f"{row.program}\n{found}"


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@given(row=rows())
@settings(max_examples=MANY, **_QUIET)
def test_many_generated_programs_run_warm_as_fresh(tmp_path_factory, row):
    assert not (found := differences(row, tmp_path_factory.getbasetemp())), f"{row.program}\n{found}"
