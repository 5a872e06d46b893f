"""Opening a store: what works, and what each failure says."""

import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
import store_contract as contract
from processes import at_once
from snapshots import words_of

from sweepkit.errors import StoreError
from sweepkit.paths import CODE_DIR
from sweepkit.store import open as opening
from sweepkit.store import schema
from sweepkit.store import url as urls
from sweepkit.store.backup import copy_beside
from sweepkit.store.file_guard import damage_of
from sweepkit.store.mirror_read import read_study
from sweepkit.store.open import open_store, switch_to_wal
from sweepkit.store.session import explain, file_lock
from sweepkit.store.watch import open_watch

WORDS = words_of(__file__)


def pragma(path, name):
    with sqlite3.connect(path) as connection:
        value = connection.execute(f"PRAGMA {name}").fetchone()[0]
    connection.close()
    return value


@pytest.mark.parametrize("form", ["path", "text", "url", "relative"])
def test_a_path_and_a_url_name_the_same_file(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "깊은 곳" / "sweepkit.db"
    given = {
        "path": path,
        "text": str(path),
        "url": f"sqlite:///{path}",
        "relative": "sqlite:///깊은 곳/sweepkit.db",
    }[form]
    with open_store(given) as store:
        contract.new_sweep(store)
    with open_store(path) as store:
        assert store.sweep("first") is not None
        assert "sweepkit.db" in store.label
    assert pragma(path, "journal_mode") == "wal"


def test_connections_have_the_settings_that_were_measured(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        read = store._session.read
        values = [read(lambda c, name=name: c.exec_driver_sql(f"PRAGMA {name}").scalar()) for name in PRAGMAS]
    assert dict(zip(PRAGMAS, values, strict=True)) == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30000}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:geheim@host/db", "mysql"),
        ("postgresql+psycopg2://me:geheim@host/db", "psycopg2"),
        ("postgresql://me:geheim@127.0.0.1:1/db", "server runs"),
        ("postgresql://127.0.0.1:1/db?user=me&password=geheim", "server runs"),
        ("postgresql://me:geheim@host:port/db", "cannot be read"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "name a file"),
        ("sqlite:relative.db", "cannot be read"),
        ("/proc/sweepkit.db", "mend its permissions"),
        ("/proc/none/sweepkit.db", "another --storage"),
    ],
)
def test_each_failure_says_what_to_do_and_no_password(url, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=words) as caught:
        open_store(url)
    assert "geheim" not in str(caught.value) and ";" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setattr(urls.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"pip install \"sweepkit\[cluster\]\"") as caught:
        open_store("postgresql://me:geheim@host/db")
    assert "geheim" not in str(caught.value)


def test_an_echoed_password_is_hidden():
    assert "***" in explain(ValueError("no login with geheim"), "store x", ("geheim",))


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("나의 메모\n" * 200)
    with pytest.raises(StoreError, match=r"notes\.txt.*not a database.*name another"):
        open_store(path)
    assert path.read_text() == "나의 메모\n" * 200


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        open_store(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("runs",)]
    connection.close()


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(StoreError, match="folder"):
        open_store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=WORDS["folder-must-be"]):
        open_store(tmp_path / "file" / "sweepkit.db")


OPEN = "import sys; sys.path.insert(0, {code!r}); from sweepkit.store.open import open_store; "
AS_NOBODY = OPEN + "import os; os.geteuid() or os.setuid(65534); store = open_store({path!r}); {then}"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_read_only_place_says_so(what):
    """As another user than root, whom no permission stops; so in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="sweepkit-ro-"))
    path = folder / "sweepkit.db"
    if what == "file":
        open_store(path).close()
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    folder.chmod(0o555)
    try:
        then = "store.create_sweep('a', text='', seed=0, metric=None, goal=None)"
        program = AS_NOBODY.format(code=str(CODE_DIR), path=str(path), then=then)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        message = done.stderr.strip().splitlines()[-1]
        assert message.startswith("sweepkit.errors.StoreError") and str(path) in message
        assert "permissions" in message or WORDS["you-may-write"] in message
    finally:
        folder.chmod(0o755)
        for name in folder.iterdir():
            name.unlink()
        folder.rmdir()


def test_a_file_system_without_wal_is_named(tmp_path):
    # SQLite's dot-file VFS has no shared memory, as a network file system has none.
    connection = sqlite3.connect(f"file:{tmp_path}/a.db?vfs=unix-dotfile", uri=True, isolation_level=None)
    with pytest.raises(StoreError, match=WORDS["local-disk-or"]):
        switch_to_wal(connection, "store a.db")
    connection.close()


def test_the_switch_to_wal_waits_for_a_lock_that_goes(tmp_path, monkeypatch):
    # timeout=0: as where SQLite does not call its busy handler.
    first, second = (sqlite3.connect(tmp_path / "a.db", timeout=0, isolation_level=None) for _ in range(2))
    first.execute("CREATE TABLE t (a)")
    first.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(opening.time, "sleep", lambda seconds: first.in_transaction and first.execute("COMMIT"))
    switch_to_wal(second, "store a.db")
    assert second.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    first.close()
    second.close()


def test_a_lock_that_stays_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_S", 0.05)
    with open_store(tmp_path / "a.db") as store:
        holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            contract.new_sweep(store)
        assert store.sweeps() == []  # readers go on
        holder.execute("ROLLBACK")
        holder.close()
        contract.new_sweep(store)


def test_a_process_has_one_lock_a_file(tmp_path):
    path = str(tmp_path / "a.db")
    assert file_lock(path) is file_lock(path) is not file_lock(path + "x")
    assert at_once(1, lambda _: file_lock(path).acquire(blocking=False)) == [True]
    assert file_lock(path).acquire(blocking=False)  # given back after the fork
    file_lock(path).release()


def test_a_record_that_is_opened_twice_here_keeps_its_log_from_another_process(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as first:
        contract.new_sweep(first)
        with open_store(path):  # as the mirror does, while the sweep runs
            code = f"from sweepkit.store.open import open_store; open_store({str(path)!r}).close()"
            subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(CODE_DIR)}, timeout=60)
            assert Path(f"{path}-wal").exists()
            contract.new_sweep(first, "second")
    with open_store(path) as store:
        assert {sweep.name for sweep in store.sweeps()} == {"first", "second"}


@pytest.mark.parametrize("look", ["study", "watch", "damage", "copy"])
def test_looking_at_an_open_record_lets_go_of_none_of_its_locks(tmp_path, look):
    path = tmp_path / "a.db"
    acts = {
        "study": lambda: pytest.raises(StoreError, read_study, str(path)),  # which is not in it
        "watch": lambda: open_watch(path).close(),
        "damage": lambda: damage_of(str(path)),
        "copy": lambda: copy_beside(path),
    }
    with open_store(path) as store:
        contract.new_sweep(store)
        acts[look]()
        # Whoever closes a file as the last one removes its log, unless another process has a lock on it.
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('select * from sweeps'); c.close()"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
        contract.new_sweep(store, "second")
        assert len(store.sweeps()) == 2


@pytest.mark.slow
def test_a_fork_beside_a_writing_thread_can_write(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        sweep = contract.new_sweep(store)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                store.update_sweep(sweep, reason="thread")

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(5):
                at_once(2, lambda index: store.update_sweep(sweep, meta={str(index): 1}).sweep_id)
        finally:
            stop.set()
            thread.join()
        assert store.sweep("first").meta == {"0": 1, "1": 1}


# --- schema -----------------------------------------------------------------------------------------------------------
def rough(kind):
    return type(kind.as_generic()).__name__.replace("Double", "Float")


def described(engine):
    """Tables, columns (name, rough type, nullable), keys and indexes as the database has them."""
    inspector = sa.inspect(engine)
    return {
        table: (
            [(c["name"], rough(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted((k["constrained_columns"], k["referred_table"]) for k in inspector.get_foreign_keys(table)),
            sorted((i["name"], i["column_names"], bool(i["unique"])) for i in inspector.get_indexes(table)
                   if "duplicates_constraint" not in i),
            sorted(u["column_names"] for u in inspector.get_unique_constraints(table)),
        )
        for table in sorted(inspector.get_table_names())
    }  # fmt: skip


def compare_schemas(store, core_url):
    core = sa.create_engine(core_url)
    schema.METADATA.create_all(core)
    try:
        made = described(store._session._engine)
        assert set(made) == {"sweeps", "runs", "attempts", "reports", "history_chunks", "migrations"}
        assert made == described(core)
    finally:
        core.dispose()


def test_migrations_make_what_the_tables_say_on_sqlite(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        compare_schemas(store, f"sqlite:///{tmp_path}/core.db")


@pytest.mark.postgres
def test_migrations_make_what_the_tables_say_on_postgresql(postgres):
    with open_store(postgres.new_database()) as store:
        compare_schemas(store, postgres.new_database().replace("postgresql:", "postgresql+psycopg:"))


def both_urls(tmp_path, request):
    return tmp_path / "a.db" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_url(request, tmp_path):
    return both_urls(tmp_path, request)


def test_a_newer_store_is_refused_and_not_touched(any_url):
    with open_store(any_url) as store:
        store._session.write(
            lambda c: c.execute(schema.MIGRATIONS_TABLE.insert().values(name="m999_future", applied_at=0.0))
        )
    with pytest.raises(StoreError, match=WORDS["newer-sweepkit-got"]):
        open_store(any_url)


def test_a_migration_is_applied_once_and_recorded(any_url, monkeypatch):
    with open_store(any_url) as store:
        sweep = contract.new_sweep(store)
        (first,) = store._session.read(schema.applied)
    applied = []

    def m002(connection):
        applied.append(1)
        connection.exec_driver_sql("ALTER TABLE sweeps ADD COLUMN colour TEXT")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, schema.Migration("m002_colour", m002)))
    for _ in range(2):
        with open_store(any_url) as store:
            assert store._session.read(schema.applied) == [first, "m002_colour"] == ["m001_initial", "m002_colour"]
            assert store.sweep("first").sweep_id == sweep
    assert applied == [1]


def test_a_migration_that_fails_leaves_nothing(any_url, monkeypatch):
    def broken(connection):
        connection.exec_driver_sql("CREATE TABLE half (a TEXT)")
        connection.exec_driver_sql("CREATE TABLE half (a TEXT)")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, schema.Migration("m002_broken", broken)))
        with pytest.raises(StoreError, match="already exists"):
            open_store(any_url)
    with open_store(any_url) as store:
        assert store._session.read(schema.applied) == ["m001_initial"]
        assert not store._session.read(lambda c: sa.inspect(c).has_table("half"))


# --- PostgreSQL -------------------------------------------------------------------------------------------------------
@pytest.mark.postgres
def test_a_database_that_is_not_there_is_named(postgres):
    with pytest.raises(StoreError, match="createdb"):
        open_store(postgres.url("nobody_made_me"))


@pytest.mark.postgres
def test_a_database_in_another_encoding_is_refused(postgres):
    url = postgres.new_database("ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match="UTF8, got LATIN1"):
        open_store(url)


@pytest.mark.postgres
def test_a_session_that_the_server_ended_costs_no_call(postgres):
    url = postgres.new_database()
    with open_store(url) as store:
        sweep = contract.new_sweep(store)
        name = url.rsplit("/", 1)[1]
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        assert store.add_run(sweep, 0, {}) is not None


@pytest.mark.postgres
def test_a_deadlock_is_tried_again(postgres):
    with open_store(postgres.new_database()) as store:
        ids = [contract.new_sweep(store, name) for name in "ab"]
        both_hold = threading.Barrier(2)
        tries = []

        def cross(first, second):
            def work(connection):
                tries.append(first)
                for sweep_id in (first, second):
                    text = sa.text("UPDATE sweeps SET n_runs = n_runs + 1 WHERE sweep_id = :id")
                    connection.execute(text, {"id": sweep_id})
                    if len(tries) <= 2 and sweep_id == first:
                        both_hold.wait(30)

            store._session.write(work)

        threads = [threading.Thread(target=cross, args=pair) for pair in (ids, ids[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = store._session.read(lambda c: list(c.scalars(sa.text("SELECT n_runs FROM sweeps"))))
        # At least one was the victim; the server may well choose both.
        assert counts == [2, 2] and len(tries) >= 3


@pytest.mark.parametrize("password", ["S3cr:t@pw", "a@S3cr:t", "S3cr/t@pw"])
def test_a_password_with_an_at_sign_is_hidden_as_a_whole_and_the_remedy_named(password):
    with pytest.raises(StoreError, match="%40") as caught:
        open_store(f"postgresql://me:{password}@127.0.0.1/db")
    for part in ("S3cr", "pw", "me:"):
        assert part not in str(caught.value)


def test_a_record_whose_list_of_migrations_is_gone_is_known_by_its_tables(any_url):
    with open_store(any_url) as store:
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        store._session.write(lambda connection: connection.execute(schema.MIGRATIONS_TABLE.delete()))
    with open_store(any_url) as store:
        assert store.sweep("s").sweep_id == sweep


def test_a_damaged_record_is_told_from_a_file_of_another_kind(tmp_path):
    path = tmp_path / "record.db"
    open_store(path).close()
    with path.open("r+b") as file:
        file.write(bytes(4096))
    with pytest.raises(StoreError, match=r"db\.py repair"):
        open_store(path)
