"""optuna-dashboard beside a monitor: a mirror of the sweeps kept up to date, and the dashboard's process on it."""

import contextlib
import importlib.util
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from sweepkit.errors import SweepKitError
from sweepkit.model.space import Space
from sweepkit.paths import python
from sweepkit.store.mirror import sync_mirror
from sweepkit.store.watch import Watch, sqlite_url

_PORT = 8080
_EVERY_S = 2.0
_START_S = 60.0
_GRACE_S = 5.0
# Not `-m optuna_dashboard`, which its releases do not all have.
_START = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
Shown = Callable[[], Sequence[tuple[str, Space | None]]]


class Dashboard:
    """A mirror in `file` of what `sweeps` returns (id and space of each), and optuna-dashboard on it on loopback.

    A context manager. The mirror is derived data: it can be deleted at any time, and what goes wrong with it while
    the monitor runs stands in `problem`.

    Raises:
        SweepKitError: optuna-dashboard is not installed, its port is taken, or it does not start.
    """

    def __init__(self, store: Watch, file: Path, sweeps: Shown, *, port: int | None) -> None:
        for package, name in (("optuna", "optuna"), ("optuna_dashboard", "optuna-dashboard")):
            if importlib.util.find_spec(package) is None:
                raise SweepKitError(
                    f"--optuna-dashboard: needs the package {name}, got none; install it: pip install {name}, "
                    "or take --web"
                )
        self.problem = ""
        self._store = store
        self._file = file
        self._sweeps = sweeps
        self._port = free_port(port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="mirror", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where the dashboard is."""
        return f"http://127.0.0.1:{self._port}/dashboard/"

    def __enter__(self) -> "Dashboard":
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._sync()
        try:
            self._start()
        except BaseException:
            self._end_process()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._end_process()

    @property
    def _storage(self) -> str:
        return sqlite_url(self._file)

    def _sync(self) -> None:
        for sweep_id, space in self._sweeps():
            sync_mirror(self._store, sweep_id, self._storage, space)

    def _keep(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self._sync()
                self.problem = ""
            except Exception as error:  # the record or the mirror is away: shown, and tried again
                self.problem = f"the dashboard is behind: {error}"
            if self._process is not None and self._process.poll() is not None:
                self.problem = f"the dashboard ended with exit code {self._process.returncode}: see {self._log}"

    @property
    def _log(self) -> Path:
        return self._file.with_suffix(".log")

    def _start(self) -> None:
        """Start the dashboard and wait until it answers."""
        options = ["--host", "127.0.0.1", "--port", str(self._port), "--quiet"]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python(), "-c", _START, self._storage, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours: the dashboard ends after us, not with us
            )
        deadline = time.monotonic() + _START_S
        while not _answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
                raise SweepKitError(
                    f"--optuna-dashboard: must answer at {self.url}, got: {tail or 'no answer'}; see {self._log}"
                )
            time.sleep(0.1)

    def _end_process(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: no proxy knows it
    with contextlib.suppress(OSError, urllib.error.URLError), opener.open(url, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def free_port(wanted: int | None) -> int:
    """Return a free port of 127.0.0.1: the wanted one; without a wish 8080, else any.

    Raises:
        SweepKitError: The wanted one is taken.
    """
    for port in (_PORT, 0) if wanted is None else (wanted,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise SweepKitError(f"--port: must be a free port of this machine, got {wanted}; name another, or 0 for any")
