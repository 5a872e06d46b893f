"""The contract, on SQLite and on PostgreSQL."""

import itertools

import pytest
from store_contract import StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture
    def fresh_url(self, tmp_path):
        numbers = itertools.count()
        return lambda: f"sqlite:///{tmp_path}/저장소 {next(numbers)}/sweepkit.db"

    @pytest.fixture
    def url(self, fresh_url):
        return fresh_url()


@pytest.mark.postgres
class TestPostgres(StoreContract):
    @pytest.fixture
    def fresh_url(self, postgres):
        return postgres.new_database

    @pytest.fixture
    def url(self, fresh_url):
        return fresh_url()
