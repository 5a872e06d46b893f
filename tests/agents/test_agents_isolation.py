"""What keeps runs of one machine apart."""

import os
import socket
import subprocess
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents import isolation
from sweepkit.agents.isolation import (
    PORTS_OF_SLOT,
    free_port,
    give_back_temp_dir,
    isolating_environment,
    ports,
    remove_spares,
    remove_temp_dir,
    temp_dir,
)


@pytest.fixture(autouse=True)
def _tmp(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@given(st.integers(1, 4_194_304), st.integers(0, 200), st.integers(0, 200))
def test_slots_of_an_agent_share_no_port_and_all_are_below_those_of_clients(pid, one, other):
    first, second = ports(one, pid), ports(other, pid)
    assert len(first) == PORTS_OF_SLOT
    assert 1024 < first.start and first.stop <= 32_768
    assert one == other or not set(first) & set(second)


def test_a_port_in_use_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(range(port, port + 1)) is None
        assert free_port(range(port, min(port + 50, 65536))) != port


def test_a_port_is_chosen_without_opening_a_socket(monkeypatch):
    monkeypatch.delattr(socket, "socket")
    assert free_port(range(20_000, 20_100)) in range(20_000, 20_100)


def test_the_temporary_folder_is_private_short_and_removed_with_what_is_in_it(tmp_path):
    env = isolating_environment("abcdefgh-12", 3, cache=tmp_path / "cache", inherited={})
    folder = temp_dir("abcdefgh-12")
    assert env["TMPDIR"] == str(folder) and folder.stat().st_mode & 0o777 == 0o700
    assert len(folder.name) < 40
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    remove_temp_dir("abcdefgh-12")
    assert not folder.exists()
    remove_temp_dir("abcdefgh-12")


def test_a_folder_that_is_as_it_was_made_is_the_next_attempts(tmp_path):
    inodes = []
    for attempt in ("a-1", "b-1", "c-1"):
        isolating_environment(attempt, 0, cache=tmp_path / "cache", inherited={})
        made = temp_dir(attempt).stat()
        assert made.st_mode & 0o7777 == 0o700 and not list(temp_dir(attempt).iterdir())
        inodes.append(made.st_ino)
        give_back_temp_dir(attempt)
        assert not temp_dir(attempt).exists()
    assert len(set(inodes)) == 1
    assert len(list(tmp_path.iterdir())) == 1
    remove_spares()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "file").touch(),
        lambda folder: folder.chmod(0o755),
        lambda folder: folder.rmdir(),
        lambda folder: (folder.rmdir(), folder.touch(), folder.unlink(), folder.symlink_to("/")),
    ],
    ids=["file", "mode", "removed", "link"],
)
def test_a_folder_that_an_attempt_changed_is_nobody_elses(tmp_path, change):
    isolating_environment("a-1", 0, cache=tmp_path / "cache", inherited={})
    change(temp_dir("a-1"))
    give_back_temp_dir("a-1")
    isolating_environment("b-1", 0, cache=tmp_path / "cache", inherited={})
    assert temp_dir("b-1").stat().st_mode & 0o7777 == 0o700 and not list(temp_dir("b-1").iterdir())
    remove_temp_dir("b-1")
    assert [path.name for path in tmp_path.iterdir() if not path.is_symlink()] == []


def test_a_kept_folder_that_somebody_removed_or_that_lies_elsewhere_is_not_missed(tmp_path, monkeypatch):
    for attempt in ("a-1", "b-1"):
        isolating_environment(attempt, 0, cache=tmp_path / "cache", inherited={})
    for attempt in ("a-1", "b-1"):
        give_back_temp_dir(attempt)
    next(tmp_path.iterdir()).rmdir()
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    for attempt in ("c-1", "d-1"):
        isolating_environment(attempt, 0, cache=tmp_path / "cache", inherited={})
        assert temp_dir(attempt).is_dir()
        remove_temp_dir(attempt)
    assert not list(tmp_path.iterdir())


def test_what_an_agent_kept_that_was_killed_is_removed_by_the_next_one(tmp_path):
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    prefix = f"sweepkit-{os.getuid()}-spare-"
    for name in (f"{prefix}{ended.pid}-1", f"{prefix}{os.getpid()}-1", f"{prefix}{ended.pid}-2"):
        (tmp_path / name).mkdir()
    (tmp_path / f"{prefix}{ended.pid}-2" / "not ours").touch()
    remove_spares()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [f"{prefix}{os.getpid()}-1", f"{prefix}{ended.pid}-2"]
    )


def test_what_the_user_set_is_kept_but_for_the_temporary_folder(tmp_path):
    own = {"TMPDIR": "/x", "MASTER_PORT": "1", "MASTER_ADDR": "h", "TRITON_CACHE_DIR": "/t"}
    env = isolating_environment("a-1", 0, cache=tmp_path, inherited=own)
    assert not own.keys() & (env.keys() - {"TMPDIR"}) and env["TMPDIR"] != "/x"
    assert int(env["PET_MASTER_PORT"]) in ports(0, os.getpid())
    assert env["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))
    remove_temp_dir("a-1")


def test_runs_that_begin_within_two_seconds_share_one_look_at_the_ports(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(isolation, "_listened_on", lambda: looks.append(1) or frozenset())
    now = [100.0]
    monkeypatch.setattr(isolation.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(isolation, "_snapshot", isolation._Snapshot())
    for moment, expected in ((100.0, 1), (101.9, 1), (102.0, 2), (103.0, 2), (110.0, 3)):
        now[0] = moment
        isolating_environment("a-1", 0, cache=tmp_path, inherited={})
        assert len(looks) == expected
    remove_temp_dir("a-1")
