"""The project's own PostgreSQL: started, found again, stopped, refused where it cannot be."""

import json
import os
import stat

import pytest
from postgres import missing

from sweepkit.cluster import postgres
from sweepkit.cluster.postgres import PostgresError, ProjectPostgres
from sweepkit.store.open import open_store


@pytest.fixture
def server(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):  # another account than root runs it then
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    try:
        postgres._bin_dir()
    except PostgresError as error:
        missing(str(error))
    made = ProjectPostgres(tmp_path / "postgres")
    yield made
    made.stop()


@pytest.mark.slow
def test_it_is_made_once_and_what_is_recorded_there_stays(server):
    assert not server.running()
    server.start()
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
    assert json.loads(capsys.readouterr().out) == {"action": "status", "running": False, "storage": None}
    assert main(["db", "stop", "--output-dir", str(tmp_path)]) == 0
