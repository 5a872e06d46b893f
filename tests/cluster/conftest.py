"""A folder with a sweep in it, and an agent to place."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from sweeping import Sweeper

from sweepkit.cluster.engine import AgentJob


@pytest.fixture
def sweeper(tmp_path):
    return Sweeper(tmp_path)


@pytest.fixture
def open_path():
    """Give a folder that another account reaches, under which a server of root's runs.

    Not pytest's own: the next session of this user closes their parent to everybody else, a running server's too.
    """
    with tempfile.TemporaryDirectory(prefix="sweepkit-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


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
