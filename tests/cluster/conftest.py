"""A folder with a sweep in it, and an agent to place."""

import sys

import pytest
from sweeping import Sweeper

from sweepkit.cluster.engine import AgentJob


@pytest.fixture
def sweeper(tmp_path):
    return Sweeper(tmp_path)


@pytest.fixture
def storage(postgres):
    """A database that is reached by its socket's file, from within a network namespace too."""
    name = postgres.new_database().rpartition("/")[2]
    return f"postgresql://sweepkit@/{name}?host={postgres.folder}&port={postgres.port}"


@pytest.fixture
def job(tmp_path):
    def make(number=0, program="import time; time.sleep(600)", **options):
        return AgentJob(
            name=f"sweepkit-s-{number}",
            argv=(sys.executable, "-c", program),
            log=tmp_path / f"agent-{number}.log",
            cwd=tmp_path,
            **options,
        )

    return make
