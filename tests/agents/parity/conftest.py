"""The fork server that the rows of a file share."""

import pytest
from parity import Benches


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    made = Benches(tmp_path_factory.mktemp("rows"))
    yield made
    made.close()
