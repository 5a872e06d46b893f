"""A folder with a sweep in it."""

import pytest
from sweeping import Sweeper


@pytest.fixture
def sweeper(tmp_path):
    return Sweeper(tmp_path)


@pytest.fixture
def storage(postgres):
    """A database that is reached by its socket's file, from within a network namespace too."""
    name = postgres.new_database().rpartition("/")[2]
    return f"postgresql://sweepkit@/{name}?host={postgres.folder}&port={postgres.port}"
