"""The PostgreSQL of the session, for every test of the store."""

from postgres import postgres  # noqa: F401 - a fixture
