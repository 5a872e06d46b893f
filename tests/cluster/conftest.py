"""A folder with a sweep in it."""

import pytest
from sweeping import Sweeper


@pytest.fixture
def sweeper(tmp_path):
    return Sweeper(tmp_path)
