"""The versions of the packages that a program imports, in the environment that runs it: no runner's, but the run's."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path

from sweepkit.agents import package_query
from sweepkit.agents.warm_command import is_this_python

# Asked for whatever the program imports by name: what it trains with may be imported by its packages.
_USUAL = ("torch", "transformers", "peft", "wandb", "optuna", "numpy")
_WAIT_S = 30.0


class PackageVersions:
    """Asks each interpreter once, beside its first run. Any thread may use it.

    Args:
        imported: Returns the first parts of the names that the program imports from packages.
        cwd: Where the program is started.
    """

    def __init__(self, imported: Callable[[], Iterable[str]], cwd: str) -> None:
        self._imported = imported
        self._cwd = cwd
        self._lock = threading.Lock()
        self._asked: dict[str, Future[Mapping[str, str]]] = {}

    def ask(self, interpreter: str) -> None:
        """Begin to ask an interpreter (absolute path), unless it has been asked before."""
        with self._lock:
            if interpreter in self._asked:
                return
            answer = self._asked[interpreter] = Future()
        threading.Thread(target=self._refresh, args=(interpreter, answer), name="packages", daemon=True).start()

    def of(self, interpreter: str) -> Mapping[str, str]:
        """Return package → version, "python" among them, of an interpreter that was asked; {} when it says nothing."""
        return self._asked[interpreter].result()

    def _refresh(self, interpreter: str, answer: "Future[Mapping[str, str]]") -> None:
        try:
            modules = sorted({*_USUAL, *self._imported()} - sys.stdlib_module_names)
            ours = is_this_python(interpreter)
            answer.set_result(package_query.versions_of(modules) if ours else self._queried(interpreter, modules))
        except Exception:  # noqa: BLE001 - a package with broken metadata fails no run
            answer.set_result({})

    def _queried(self, interpreter: str, modules: list[str]) -> Mapping[str, str]:
        """Ask another interpreter than ours, by a process of its own."""
        query = Path(package_query.__file__).read_text(encoding="utf-8")
        command = [interpreter, "-c", query, json.dumps(modules)]
        done = subprocess.run(command, cwd=self._cwd, capture_output=True, text=True, timeout=_WAIT_S, check=True)
        answer = json.loads(done.stdout.splitlines()[-1])
        return {str(name): str(version) for name, version in answer.items()}
