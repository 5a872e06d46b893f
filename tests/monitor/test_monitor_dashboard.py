"""What stands before a dashboard: its packages and its port. The real one is in test_monitor.py."""

import importlib.util
import socket

import pytest

from sweepkit.errors import SweepKitError
from sweepkit.monitor.dashboard import Dashboard, free_port
from sweepkit.store.open import open_store
from sweepkit.store.watch import open_watch


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_refused_and_a_free_one_found(taken, monkeypatch):
    with pytest.raises(SweepKitError, match=f"--port: must be a free port of this machine, got {taken}"):
        free_port(taken)
    monkeypatch.setattr("sweepkit.monitor.dashboard._PORT", taken)
    found = free_port(None)
    assert found not in (0, taken)
    assert free_port(found) == found


@pytest.mark.parametrize(("package", "name"), [("optuna", "optuna"), ("optuna_dashboard", "optuna-dashboard")])
def test_a_missing_package_is_named_and_nothing_made(tmp_path, monkeypatch, package, name):
    open_store(tmp_path / "a.db").close()
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == package else real(wanted))
    with open_watch(tmp_path / "a.db") as watch:
        with pytest.raises(SweepKitError, match=f"needs the package {name}, got none; install it: pip install {name}"):
            Dashboard(watch, tmp_path / "mirror.db", list, port=None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]
