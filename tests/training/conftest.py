"""Checkpoints of every family, made once a session."""

import warnings

import pytest
import tiny_models


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return a function from a family to the folder of its checkpoint, which no test changes."""
    made = {}

    def folder(family):
        if family not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's and transformers' own, at import
                made[family] = tiny_models.make(family, tmp_path_factory.mktemp("models") / family)
        return made[family]

    return folder


@pytest.fixture
def library_warnings(monkeypatch, tmp_path_factory):
    """Let torch and transformers warn, and keep tokenized data out of the checkout, once for all, as for a sweep."""
    monkeypatch.setenv("SWEEPKIT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
