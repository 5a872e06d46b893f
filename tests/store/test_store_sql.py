"""The contract, on SQLite and on PostgreSQL."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from store_contract import AGENT, METRIC, StoreContract, check_invariants, claim_new, new_sweep, reports
from waiting import wait_until

from sweepkit.errors import FencedError, StoreError
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store
from sweepkit.store.turns import key_of


class TestSqlite(StoreContract):
    @pytest.fixture
    def fresh_url(self, tmp_path):
        numbers = itertools.count()
        return lambda: f"sqlite:///{tmp_path}/저장소 {next(numbers)}/sweepkit.db"

    @pytest.fixture
    def url(self, fresh_url):
        return fresh_url()


def _end_turns(url):
    """End the sessions that hold a turn, and wait until they have."""
    kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with psycopg.connect(url) as connection:
        connection.execute(kill)


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
            with open_store(url) as mine, mine.turn(sweep) as turn:
                number = len(mine.runs(sweep))
                return turn is not None and mine.add_and_claim(sweep, number, {"by": index}, **AGENT) is not None

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(propose, range(12))) == [True] * 12

    def test_who_has_the_turn_adds_runs_for_those_that_wait_and_each_claims_one(self, store, url):
        sweep = new_sweep(store)

        def claimed(_):
            with open_store(url) as mine, mine.turn(sweep) as turn:
                return turn.claim(**AGENT).run.number

        with ThreadPoolExecutor(3) as pool:
            with store.turn(sweep) as turn:
                numbers = [pool.submit(claimed, index) for index in range(3)]
                wait_until(lambda: turn.waiting() == 3, "three to wait")
                assert turn.claim(**AGENT) is None  # and holds no lock of the sweep from now on
                for number in range(3):
                    store.add_run(sweep, number, {})
            assert sorted(number.result(30) for number in numbers) == [0, 1, 2]
        assert store.counts(sweep) == {RunState.RUNNING: 3}
        with store.turn(sweep) as turn:
            assert turn.waiting() == 0

    def test_where_all_seats_are_taken_a_turn_is_not_waited_for(self, store, url):
        sweep = new_sweep(store)
        key = key_of(sweep)
        with psycopg.connect(url) as others:
            others.execute(
                "SELECT pg_advisory_xact_lock(seat) FROM generate_series(%s, %s) AS seat", (key + 1, key + 32)
            )
            with store.turn(sweep) as turn:
                assert turn is None
        with store.turn(sweep) as turn:
            assert turn is not None

    def test_a_damaged_run_is_set_aside_and_the_next_one_is_claimed(self, store, url):
        sweep = new_sweep(store)
        for number in range(2):
            store.add_run(sweep, number, {})
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE runs SET params = '{' WHERE number = 0")
        assert store.claim(sweep, **AGENT) is None
        assert store.claim(sweep, **AGENT).run.number == 1
        damaged, _ = store.runs(sweep)
        assert damaged.state is RunState.FAILED and store.attempts(damaged.run_id) == []

    def test_a_claim_whose_turn_is_lost_is_an_error_and_nobodys(self, store, url):
        sweep = new_sweep(store)
        store.add_run(sweep, 0, {})
        with pytest.raises(StoreError), store.turn(sweep) as turn:
            assert turn.claim(**AGENT) is not None
            _end_turns(url)
        assert store.counts(sweep) == {RunState.PENDING: 1}
        check_invariants(store, sweep)

    def test_a_turn_that_does_not_come_is_said_and_one_whose_session_ends_is_given_back(self, store, url, monkeypatch):
        monkeypatch.setattr("sweepkit.store.turns._PATIENCE_S", 1)
        sweep = new_sweep(store)
        with open_store(url) as other, other.turn(sweep) as theirs, store.turn(sweep) as ours:
            assert theirs is not None and ours is None
        with store.turn(sweep) as ours:
            assert ours is not None
            _end_turns(url)
            with open_store(url) as other, other.turn(sweep) as theirs:
                assert theirs is not None

    @pytest.mark.parametrize("how", ["lost", "another report"])
    def test_a_report_that_waited_for_the_sweeps_lock_sees_what_happened_meanwhile(self, store, url, how):
        """It is one statement, begun before the run changed: what it writes is fenced by the run as it is then."""
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, reports(3.0), **METRIC)
        with (
            psycopg.connect(url) as holder,
            psycopg.connect(url, autocommit=True) as looker,
            ThreadPoolExecutor(1) as pool,
        ):
            holder.execute("UPDATE sweeps SET change = change + 1")
            waits = pool.submit(store.report, attempt, reports(2.0, start=1), **METRIC)
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            wait_until(lambda: looker.execute(waiting).fetchone()[0] == 1, "the report to wait")
            if how == "lost":
                holder.execute("UPDATE runs SET token = NULL, state = 'pending'")
            else:
                holder.execute("UPDATE runs SET next_seq = 2")
                holder.execute("INSERT INTO reports SELECT attempt_id, 1, metrics, step, reported_at FROM reports")
            holder.commit()
            if how == "lost":
                with pytest.raises(FencedError):
                    waits.result()
            else:
                waits.result()  # report 1 is there already: the first one counts
        assert [report.values["loss"] for report in store.reports(attempt.run.run_id)] == [3.0] * (1 + (how != "lost"))
