"""Which of W&B's packages talk to a server: old ones record programs, and that is all."""

import pytest

from sweepkit.errors import TrackingError
from sweepkit.wandb import access


@pytest.mark.parametrize("version", ["0.19.0", "0.27.2", "0.9"])
def test_an_old_client_is_told_before_it_is_asked(version, monkeypatch):
    monkeypatch.setattr(access.importlib.metadata, "version", lambda _: version)
    with pytest.raises(TrackingError, match=f"got {version}; pip install -U wandb"):
        access.require_wandb("--push")


@pytest.mark.parametrize("version", ["0.28.0", "0.31.1rc1", "1.0"])
def test_a_new_client_is_taken(version, monkeypatch):
    monkeypatch.setattr(access.importlib.metadata, "version", lambda _: version)
    assert access.require_wandb("--push").__name__ == "wandb"
