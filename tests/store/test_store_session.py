"""How a record's transactions share connections."""

import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from sweepkit.store.open import open_store
from sweepkit.store.watch import open_watch


@pytest.fixture
def opened(tmp_path):
    """Return an open record and the list of the connections that were opened since."""
    with open_store(tmp_path / "record.db") as store:
        store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        found = []
        event.listen(store._session._engine, "connect", lambda *_: found.append(1))
        yield store, found


def in_threads(work, count=4):
    errors = []

    def caught():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    for _ in range(count):
        thread = threading.Thread(target=caught)
        thread.start()
        thread.join()
    assert not errors


def test_threads_that_come_one_after_the_other_share_a_connection(opened):
    store, found = opened
    session = store._session
    in_threads(lambda: session.write_quickly(lambda c: c.execute(sa.text("UPDATE sweeps SET change = change + 1"))))
    in_threads(lambda: session.read_quickly(lambda c: c.execute(sa.text("SELECT change FROM sweeps"))))
    assert len(found) <= 1 and len(session._idle) == 1


def test_a_transaction_that_failed_leaves_its_connection_to_the_pool(opened):
    store, _ = opened

    def fails(_):
        raise KeyError

    with pytest.raises(KeyError):
        store._session.write_quickly(fails)
    assert not store._session._idle and store.sweep("s") is not None


def test_a_few_connections_stay_out_of_the_pool_and_all_are_closed_at_the_end(opened):
    store, _ = opened
    session, together = store._session, threading.Barrier(7)
    threads = [threading.Thread(target=session.read_quickly, args=(lambda _: together.wait(30),)) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session._idle) == 4
    store.close()
    assert not session._idle and session._engine.pool.checkedout() == 0


def test_who_only_reads_sees_what_is_written_after_the_first_look(tmp_path):
    path = tmp_path / "record.db"
    with open_store(path) as store:
        sweep, _ = store.create_sweep("s", text="", seed=0, metric=None, goal=None)
    with open_watch(path) as watch:  # nobody has the file open: it is read as one that never changes
        assert watch.runs(sweep.sweep_id) == [] and not watch.counts(sweep.sweep_id)
        with open_store(path) as store:
            store.add_run(sweep.sweep_id, 0, {})
        assert [run.number for run in watch.runs(sweep.sweep_id)] == [0]
        assert sum(watch.counts(sweep.sweep_id).values()) == 1
