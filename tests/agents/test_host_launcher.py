"""Programs of an interpreter of their own: an environment that has nothing of ours starts warm as well."""

import json
import venv

import pytest
from launching import Bench

from sweepkit.agents.launcher import HostLauncher

PORTRAIT = """\
    import json, sys
    import mine
    print(json.dumps({
        "prefix": sys.prefix, "executable": sys.executable, "ready": [*sys.meta_path[0].modules], "value": mine.VALUE,
        "ours": [name for name in sys.modules if "sweepkit" in name],
        "path": [entry for entry in sys.path if "sweepkit" in entry or "code" in entry],
    }))
"""


@pytest.fixture
def bench(tmp_path):
    notes = []
    launcher = HostLauncher(log=tmp_path / "forkserver.log", notify=notes.append)
    launcher.notes = notes
    yield Bench(tmp_path, launcher)
    launcher.close()


def test_another_environments_interpreter_is_forked_with_its_own_packages(bench):
    home = bench.folder / "venv"
    venv.create(home, symlinks=True, with_pip=False)
    (next(home.glob("lib/python3*/site-packages")) / "mine.py").write_text("VALUE = 7\n")
    program = bench.write(PORTRAIT)
    argv = (str(home / "bin" / "python"), str(program))
    for _ in range(2):
        started, exited, out = bench.run(program, argv=argv)
        assert started.warm and exited.status == 0
        seen = json.loads(out)
        assert seen["prefix"] == str(home) and seen["executable"] == argv[0]
        assert seen["value"] == 7 and seen["ours"] == [] and seen["path"] == []


def test_both_interpreters_run_side_by_side_and_are_signalled_apart(bench):
    home = bench.folder / "venv"
    venv.create(home, symlinks=True, with_pip=False)
    program = bench.write("import sys, time; print(sys.prefix, flush=True); time.sleep(60)")
    theirs, queue, log = bench.submit(program, argv=(str(home / "bin" / "python"), str(program)))
    ours, other, _ = bench.submit(program)
    assert bench.next_of(queue).warm and bench.next_of(other).warm
    assert bench.launcher.signal(theirs, 9) and bench.next_of(queue).status == -9
    assert bench.launcher.signal(ours, 15) and bench.next_of(other).status == -15
    assert not bench.launcher.signal("nobody-1", 9)
