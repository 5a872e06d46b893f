"""The PostgreSQL of the session, and an empty database of it."""

import pytest
from postgres import postgres  # noqa: F401 - a fixture


@pytest.fixture
def postgres_database(postgres):  # noqa: F811 - the fixture
    """The URL of a new, empty database."""
    return postgres.new_database()
