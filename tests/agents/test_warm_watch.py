"""What is noted of imports while they are watched; in an interpreter of its own, whose `open` and lists it replaces."""

import json
import subprocess
import sys

import pytest

WATCHED = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
from sweepkit.agents.warm.watch import ImportWatch

for name in ("linecache", "tokenize"):  # as where nothing that a server needs has brought them
    sys.modules.pop(name, None)
watch = ImportWatch()
watch.start()
try:
    importlib.import_module("reader")
finally:
    watch.stop()
print(json.dumps({name: list(seen.files) for name, seen in watch.of.items() if seen.files}))
"""


@pytest.fixture
def files_read(tmp_path):
    """Return a function that imports a module of that source under the watch; the files that each module read come."""

    def run(source):
        (tmp_path / "data").write_text("1\n2\n", encoding="utf-8")
        (tmp_path / "reader.py").write_text(f"DATA = {str(tmp_path / 'data')!r}\n{source}\n", encoding="utf-8")
        command = [sys.executable, "-c", WATCHED, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


def test_an_import_relies_on_a_file_that_it_opens_and_on_none_whose_lines_are_shown(files_read, tmp_path):
    """The lines of our own modules are: each import has them among its frames, and torch's asks for all of these."""
    assert files_read("open(DATA).close()") == {"reader": [str(tmp_path / "data")]}
    shows = "import linecache, traceback\nlinecache.getlines(DATA)\ntraceback.format_stack()"
    assert files_read(shows) == {}
