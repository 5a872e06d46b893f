"""The contract, on SQLite and on PostgreSQL."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from store_contract import AGENT, StoreContract, new_sweep

from sweepkit.store.open import open_store


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

    def test_of_many_that_take_turns_each_adds_a_run_at_its_first_try(self, store, url):
        sweep = new_sweep(store)

        def propose(index):
            with open_store(url) as mine, mine.turn(sweep) as is_ours:
                return is_ours and mine.add_and_claim(sweep, len(mine.runs(sweep)), {"by": index}, **AGENT) is not None

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(propose, range(12))) == [True] * 12

    def test_a_turn_that_does_not_come_is_said_and_one_whose_session_ends_is_given_back(self, store, url, monkeypatch):
        monkeypatch.setattr("sweepkit.store.session._PATIENCE_FOR_TURN_S", 1)
        sweep = new_sweep(store)
        with open_store(url) as other, other.turn(sweep) as theirs, store.turn(sweep) as ours:
            assert theirs and not ours
        with store.turn(sweep) as ours:
            assert ours
            kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            with psycopg.connect(url) as connection:
                connection.execute(kill)
            with open_store(url) as other, other.turn(sweep) as theirs:
                assert theirs
