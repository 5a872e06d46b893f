"""What keeps runs of one machine apart."""

import os
import socket
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents import isolation
from sweepkit.agents.isolation import (
    PORTS_OF_SLOT,
    free_port,
    isolating_environment,
    ports,
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
