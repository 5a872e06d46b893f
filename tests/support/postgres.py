"""A real PostgreSQL for the tests: its own data folder, its own port on loopback, gone at the end.

The server refuses to run as root, so root starts it as `postgres` or `nobody`. Without server programs the tests that
ask for it are skipped, unless SWEEPKIT_REQUIRE_POSTGRES=1 says that this must not happen.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa


class PostgresServer:
    """A running server; every call of `new_database` gives the URL of an empty UTF-8 database.

    Making and removing the three hundred files of one costs 0.07 s of CPU, so what `take_back` has emptied is given
    again, by another name: whatever process a test left behind does not find it.
    """

    def __init__(self, folder: Path, bin_dir: Path, user: str | None, listen: str = "127.0.0.1") -> None:
        self.folder = folder
        self.bin_dir = bin_dir
        self.user = user
        self.listen = listen
        self.port = _free_port()
        self._given: list[str] = []
        self._empty: list[str] = []

    def command(self, program: str, *args: str) -> None:
        argv = [str(self.bin_dir / program), *args]
        if self.user is not None:
            argv = ["runuser", "-u", self.user, "--", *argv]
        # The server keeps our pipes open, so its output goes to a file.
        with (self.folder / "commands.log").open("a") as log:
            subprocess.run(argv, check=True, stdout=log, stderr=log, cwd=self.folder, timeout=60)

    def make(self) -> None:
        data = str(self.folder / "data")
        self.command("initdb", "-D", data, "-U", "sweepkit", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        if self.listen == "*":
            with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")

    def start(self) -> None:
        data = str(self.folder / "data")
        options = (
            f"-c listen_addresses={self.listen} -p {self.port} -c unix_socket_directories={self.folder} "
            "-c fsync=off -c autovacuum=off -c max_connections=200"
        )
        log = str(self.folder / "server.log")
        self.command("pg_ctl", "-D", data, "-w", "-t", "30", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self.command("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def url(self, database: str, user: str = "sweepkit") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        url = sa.make_url(self.url(database)).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(statement)
        finally:
            engine.dispose()

    def new_database(self, options: str = "") -> str:
        if self._empty and not options:
            name = self._empty.pop()
        else:
            name = _new_name()
            self.execute(f"CREATE DATABASE {name} {options}")
        if not options:
            self._given.append(name)
        return self.url(name)

    def take_back(self) -> None:
        """Empty the databases given since the last call, to be given again; one that somebody holds is left alone."""
        given, self._given = self._given, []
        if not given:
            return
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.url("postgres"), autocommit=True) as server:
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY(%s)"
            server.execute(ended, [given])
            for name in given:
                with contextlib.suppress(psycopg.Error):
                    fresh = _new_name()
                    server.execute(f"ALTER DATABASE {name} RENAME TO {fresh}")
                    with psycopg.connect(self.url(fresh)) as database:
                        database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
                    self._empty.append(fresh)


def _new_name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bin_dir() -> Path | None:
    # /usr/lib first: a distribution's wrappers on PATH may belong to another version than `postgres` does.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for program in filter(None, [shutil.which("pg_ctl"), shutil.which("postgres")]):
        folders.append(Path(program).resolve().parent)
    for folder in folders:
        if all((folder / program).exists() for program in ("initdb", "pg_ctl", "postgres")):
            return folder
    return None


def _server_user() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    return "nobody"


def missing(reason: str) -> None:
    """Skip, or fail where PostgreSQL is required."""
    message = f"PostgreSQL is NOT tested: {reason}"
    if os.environ.get("SWEEPKIT_REQUIRE_POSTGRES") == "1":
        pytest.fail(message + " (SWEEPKIT_REQUIRE_POSTGRES=1)")
    pytest.skip(message)


@pytest.fixture(scope="session")
def postgres_server():
    """A `PostgresServer`, started once a session."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres(postgres_server):
    """The session's `PostgresServer`; the databases that a test was given go back to it."""
    yield postgres_server
    postgres_server.take_back()


@contextlib.contextmanager
def running_server(listen="127.0.0.1"):
    """Make and start a `PostgresServer`, and remove it; skips where there are no server programs."""
    bin_dir = _bin_dir()
    if bin_dir is None:
        missing("no initdb, pg_ctl and postgres on PATH or under /usr/lib/postgresql; install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="sweepkit-pg-"))
    user = _server_user()
    if user is not None:
        shutil.chown(folder, user)
    server = PostgresServer(folder, bin_dir, user, listen)
    try:
        try:
            server.make()
            server.start()
        except (OSError, subprocess.SubprocessError) as error:
            log = folder / "commands.log"
            missing(f"it does not start: {error}; {log.read_text()[-500:] if log.exists() else ''}")
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
