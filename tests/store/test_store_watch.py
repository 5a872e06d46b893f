"""A record opened for watching: what a look tells, and that nothing at all is written."""

import hashlib
import signal
import sqlite3
import subprocess
import sys

import pytest
from snapshots import words_of

from sweepkit.errors import StoreError
from sweepkit.model.records import Report
from sweepkit.model.runs import RunState
from sweepkit.store import schema
from sweepkit.store.open import open_store
from sweepkit.store.watch import open_watch

WORDS = words_of(__file__)


def fill(store):
    """Return a sweep with a finished, a running, a pending and a failed run, and the running one's attempt."""
    sweep, _ = store.create_sweep("요약", text="a: 1", seed=1, metric="m", goal="minimize")
    key = {"agent_id": "agent", "host": "node7", "lease_s": 60.0}
    ended = store.add_and_claim(sweep.sweep_id, 0, {"x": 1}, **key)
    store.report(ended, [Report(seq=0, values={"m": 2.0}, time=5.0)], metric="m", goal="minimize")
    store.finish(ended, RunState.FINISHED, reason="done")
    live = store.add_and_claim(sweep.sweep_id, 1, {"x": 2}, **key)
    store.started(live, pid=123, device="gpu 3")
    return sweep, live


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    if request.param == "sqlite":
        return str(tmp_path / "한글 ?#%.db")
    return request.getfixturevalue("postgres").new_database()


def test_a_look_tells_what_changed_since_the_one_before(url):
    with open_store(url) as store, open_watch(url) as watch:
        sweep, live = fill(store)
        first = watch.poll(sweep.sweep_id)
        assert [run.number for run in first.changed] == [0, 1]
        assert first.sweep == sweep and first.idle_since is None
        (attempt,) = first.live
        assert (attempt.run_id, attempt.ordinal, attempt.host) == (live.run.run_id, 1, "node7")
        assert (attempt.pid, attempt.device, attempt.expired) == (123, "gpu 3", False)
        assert (attempt.reports, attempt.step, attempt.last_report_at) == (0, None, None)
        assert abs(store.now() - first.now) < 5
        assert watch.poll(sweep.sweep_id, first.change).changed == []

        rows = [Report(seq=n, values={"m": 1.0 + n}, step=10 * n, time=100.0 + n) for n in range(3)]
        store.report(live, rows, metric="m", goal="minimize")
        second = watch.poll(sweep.sweep_id, first.change)
        assert [run.history for run in second.changed] == [(1.0, 2.0, 3.0)]
        (attempt,) = second.live
        assert (attempt.reports, attempt.step) == (3, 20)
        assert (attempt.first_report_at, attempt.last_report_at) == (100.0, 102.0)

        store.finish(live, RunState.FAILED, reason="no")
        third = watch.poll(sweep.sweep_id, second.change)
        assert [run.state for run in third.changed] == [RunState.FAILED]
        assert third.live == [] and third.idle_since == pytest.approx(third.changed[0].ended_at)
        assert watch.poll("no-such-id") is None


def test_a_lease_that_ran_out_is_told(url):
    with open_store(url) as store, open_watch(url) as watch:
        sweep, live = fill(store)
        store.renew([live], lease_s=-1.0)
        assert [attempt.expired for attempt in watch.poll(sweep.sweep_id).live] == [True]


def test_a_long_history_comes_whole(url):
    with open_store(url) as store, open_watch(url) as watch:
        sweep, live = fill(store)
        rows = [Report(seq=n, values={"m": n + 0.123456789}) for n in range(3000)]
        store.report(live, rows, metric="m", goal="minimize")
        assert len(watch.poll(sweep.sweep_id).changed[1].history) == 3000


def test_every_write_is_refused(url):
    with open_store(url) as store, open_watch(url) as watch:
        sweep, live = fill(store)
        before = store.runs(sweep.sweep_id)
        for write in (
            lambda: watch.update_sweep(sweep.sweep_id, reason="x"),
            lambda: watch.add_run(sweep.sweep_id, 2, {}),
            lambda: watch.finish(live, RunState.FINISHED, reason="x"),
            lambda: watch.renew([live], lease_s=1),
            lambda: watch.create_sweep("t", text="", seed=1, metric=None, goal=None),
        ):
            with pytest.raises(StoreError):
                write()
        assert store.runs(sweep.sweep_id) == before and len(store.sweeps()) == 1


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_file_that_nobody_has_open_is_left_as_it_is(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        sweep, _ = fill(store)
    before = digest(tmp_path)
    assert set(before) == {"a.db"}
    with open_watch(tmp_path / "a.db") as watch:
        assert len(watch.poll(sweep.sweep_id).changed) == 2
        assert digest(tmp_path) == before
        with open_store(tmp_path / "a.db") as store:  # somebody comes later: seen at the next look
            store.add_run(sweep.sweep_id, 2, {"x": 3})
            assert len(watch.poll(sweep.sweep_id).changed) == 3
        assert len(watch.poll(sweep.sweep_id).changed) == 3


def test_a_read_only_folder_can_be_watched(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        sweep, _ = fill(store)
    (tmp_path / "a.db").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with open_watch(tmp_path / "a.db") as watch:
            assert len(watch.poll(sweep.sweep_id).changed) == 2
    finally:
        tmp_path.chmod(0o755)


def test_a_missing_record_is_told_and_nothing_is_made(tmp_path):
    for wanted in (tmp_path / "no.db", f"sqlite:///{tmp_path}/deep/no.db"):
        with pytest.raises(StoreError, match=WORDS["no-such-file"]):
            open_watch(wanted)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_record_is_told_and_left_alone(tmp_path):
    (tmp_path / "text.db").write_text("this is no database, but it is long enough to be looked at" * 40)
    sqlite3.connect(tmp_path / "empty.db").close()
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    before = digest(tmp_path)
    for name, words in (("text.db", "not a database"), ("empty.db", "without one"), ("other.db", "without one")):
        with pytest.raises(StoreError, match=words):
            open_watch(tmp_path / name)
    assert digest(tmp_path) == before


def test_a_record_of_another_sweepkit_is_told_and_not_migrated(tmp_path, monkeypatch):
    open_store(tmp_path / "a.db").close()
    before = digest(tmp_path)
    with monkeypatch.context() as patch:
        later = schema.Migration("m999_later", lambda connection: None)
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
        with pytest.raises(StoreError, match=WORDS["later-an-older"]):
            open_watch(tmp_path / "a.db")
    assert digest(tmp_path) == before
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("INSERT INTO migrations VALUES ('m999_future', 0)")
    connection.close()
    with pytest.raises(StoreError, match="newer sweepkit"):
        open_watch(tmp_path / "a.db")


@pytest.mark.postgres
def test_an_empty_database_is_told_and_stays_empty(postgres):
    database = postgres.new_database()
    with pytest.raises(StoreError, match=WORDS["a-database-without"]):
        open_watch(database)
    with open_store(database) as store:
        assert store.sweeps() == []


@pytest.mark.parametrize("text", ["mysql://host/db", "postgresql+asyncpg://host/db"])
def test_another_database_is_refused(text):
    with pytest.raises(StoreError, match="--storage"):
        open_watch(text)


def test_what_a_killed_writer_left_in_the_log_is_read_and_stays_there(tmp_path):
    program = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from test_store_watch import fill
from sweepkit.store.open import open_store
print(fill(open_store({str(tmp_path / "a.db")!r}))[0].sweep_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = digest(tmp_path)
    assert {"a.db", "a.db-wal"} <= set(before)
    with open_watch(tmp_path / "a.db") as watch:
        look = watch.poll(done.stdout.strip())
        assert [run.state for run in look.changed] == [RunState.FINISHED, RunState.RUNNING]
    after = digest(tmp_path)
    assert {name: after[name] for name in ("a.db", "a.db-wal")} == {name: before[name] for name in ("a.db", "a.db-wal")}


def test_a_schema_whose_text_is_damaged_is_told_as_damage(tmp_path):
    """Found by tests/fuzz: sqlite3 cannot decode its own message on it."""
    path = tmp_path / "s.db"
    with open_store(path) as store:
        store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        store.checkpoint()
    content = path.read_bytes()
    for word in (b"CREATE TABLE migrations", b"CREATE TABLE runs"):
        assert word in content
        content = content.replace(word, b"CREATE TABLE \xa0" + word[14:])
    path.write_bytes(content)
    with pytest.raises(StoreError, match="malformed"):
        open_watch(path)
