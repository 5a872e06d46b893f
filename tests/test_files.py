"""Files put in place in one step, and locks between processes of one host."""

import subprocess
import sys

import pytest

from sweepkit.files import hold, locked, replacing, replacing_folder, write_atomically
from sweepkit.paths import CODE_DIR

HOLDER = """
import sys, time
from pathlib import Path
from sweepkit.files import hold
file = hold(Path(sys.argv[1]))
assert file is not None
print("held", flush=True)
time.sleep(600)
"""
WAITER = """
import sys
from pathlib import Path
from sweepkit.files import locked
with locked(Path(sys.argv[1])):
    pass
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], cwd=CODE_DIR, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize(("content", "found"), [("글\n", "글\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_a_file_is_put_in_place_whole(content, found, fsync, tmp_path):
    write_atomically(tmp_path / "f", "before")
    write_atomically(tmp_path / "f", content, fsync=fsync)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [found]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "absent" / "f") as new:
        new.write_text("text")
    assert caught.value.filename == str(tmp_path / "absent" / "f")


@pytest.mark.parametrize("put", [replacing, replacing_folder])
def test_what_fails_on_the_way_leaves_nothing(put, tmp_path):
    with pytest.raises(KeyError), put(tmp_path / "f") as aside:
        (aside / "inner" if aside.is_dir() else aside).write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_put_in_place_whole_and_open_to_the_team(tmp_path):
    with replacing_folder(tmp_path / "f") as building:
        (building / "inner").write_text("all")
        assert not (tmp_path / "f").exists()
    assert (tmp_path / "f" / "inner").read_text() == "all" and (tmp_path / "f").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_held_file_is_refused_until_its_holder_is_killed(holder, tmp_path):
    assert hold(tmp_path / "lock") is None
    holder.kill()
    holder.wait()
    with hold(tmp_path / "lock") as file:
        assert file.read() == ""


def test_who_waits_for_a_lock_gets_it_when_its_holder_is_killed(holder, tmp_path):
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            WAITER,
            str(tmp_path / "lock"),
        ],
        cwd=CODE_DIR,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1.0)
    holder.kill()
    assert waiting.wait(30) == 0


def test_a_lock_keeps_the_content_and_no_program_inherits_it(tmp_path):
    (tmp_path / "lock").write_text("sending\n")
    file = hold(tmp_path / "lock")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file.seek(0)
    assert file.read() == "sending\n"
    file.close()
    with locked(tmp_path / "lock"):
        assert hold(tmp_path / "lock") is None
    child.communicate(b"\n")


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "missing" / "lock"):
        pass
