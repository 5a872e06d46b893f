"""A small program run fresh and warm: what it observes must be the same.

A row is a program that writes down what it observes: `observe(name=value)` (one line of JSON a call, in the file that
PARITY_OUT names), what it prints, its exit status, the files that it leaves. It runs once as a fresh process under the
command line itself, and warm as the runs of one fork server through the real launcher, one after another or two at
once. Whatever differs fails, but for what the row lists in `may_differ` with the reason, and for its `draws`, which
must differ each time.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from unittest import mock

import pytest

from sweepkit.agents import launcher as launching
from sweepkit.agents.launcher import AttemptSpec, Event, Exited, LocalLauncher, NotStarted, Started
from sweepkit.agents.warm_command import command_start
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.paths import python

OUT_ENV = "PARITY_OUT"
WAIT_S = 90  # a server that imports torch takes its time on a busy machine
_HUNG = f"still ran after {WAIT_S} s"
_OBSERVE = f"""\
def observe(_out=__import__("os").environ[{OUT_ENV!r}], **facts):
    import json
    with open(_out, "a") as file:
        file.write(json.dumps(facts, default=repr) + "\\n")
"""
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
# The one line that a run may say more than a fresh process: that it became one.
_AGAIN = re.compile(r"^sweepkit: begun again in a fresh process: .*\n")
_NUMBERS = itertools.count(1)
DUMP = "faulthandler shows the frame that calls the program"  # why an output may differ


@dataclass(frozen=True, kw_only=True)
class Row:
    """A program and what is around it.

    Args:
        name: What is compared, in words.
        program: Its source; `observe(…)` is defined for it if it is used.
        args: Its arguments.
        command: The whole command instead; "{python}", "{program}" (its absolute path) and "{folder}" are filled in;
            "{folder}" in `env` too.
        script: The program's file, relative to the folder of the row.
        cwd: Its working directory, relative to that folder.
        files: Further files of the folder: name to content; a "->name" is a symbolic link.
        installed: Files below a folder named site-packages on PYTHONPATH: packages that are installed.
        env: Variables of the agent, and so of the attempt too.
        attempt_env: Variables of the attempt alone.
        edits: Files written after the first warm run; the later ones are compared with a second fresh process.
        draws: Observations that must differ from run to run, fresh or warm.
        may_differ: Observations ("status", "output", "files" too) that may differ, each with the reason.
        together: Two warm runs at once instead of one after another.
        slow: It is left out of a quick run.
        cold: Why none of its runs is a fork.
        folder: Rows with the same one run in the same folder, each made anew: what libraries read there is the same.
        apart: It wants a fork server of its own: what that learns would count for the rows after it.
    """

    name: str
    program: str | bytes
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ("{python}", "{program}")
    script: str = "program.py"
    cwd: str = "."
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    attempt_env: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, str] = field(default_factory=dict)
    draws: tuple[str, ...] = ()
    may_differ: Mapping[str, str] = field(default_factory=dict)
    together: bool = False
    slow: bool = False
    cold: str = ""
    folder: str = ""
    apart: bool = False

    @property
    def alone(self) -> bool:
        """Whether its agent must be one of its own."""
        return bool(self.apart or self.env or self.installed)


def row(name: str, program: str | bytes, **options: object) -> Row:
    """Return a row, its sources without the indentation of the table that they stand in."""
    for key in ("files", "installed", "edits"):
        if key in options:
            options[key] = {file: _dedent(text) for file, text in options[key].items()}
    return Row(name=name, program=_dedent(program), **options)


def _dedent(text: str | bytes) -> str | bytes:
    return textwrap.dedent(text) if isinstance(text, str) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one process showed: its facts (exit status, output and files too), and how it ran: see Outcome."""

    facts: dict[str, object]
    way: str

    def __getitem__(self, key: str) -> object:
        return self.facts.get(key, "(nothing)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """In what the runs of a row differ: (observation, fresh, warm).

    Its `ways` are how the runs came to be: "warm", "begun again" (a fork that executed the command in its own place),
    "fresh process".
    """

    row: Row
    ways: list[str]
    differences: list[tuple[str, object, object]]

    def __str__(self) -> str:
        lines = [f"{key}: fresh {_short(fresh)} | warm {_short(warm)}" for key, fresh, warm in self.differences]
        return "\n".join([f"{self.row.name} ({', '.join(self.ways)})", *lines])


def _short(value: object, longest: int = 700) -> str:
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest // 2]} … {text[-longest // 2 :]}"


class Bench:
    """Runs rows in a folder of its own, all warm runs through one fork server.

    Args:
        root: The folder.
        env: Variables of the agent beside the few that every row has.
        preload: Modules that the fork server imports at once.
    """

    def __init__(self, root: Path, *, env: Mapping[str, str] | None = None, preload: tuple[str, ...] = ()) -> None:
        self.root, self.notes, self.count = root, [], 0
        (root / "home").mkdir(exist_ok=True)
        (root / "tmp").mkdir(exist_ok=True)
        (root / "agent").mkdir(exist_ok=True)
        self.env = {
            "HOME": str(root / "home"),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TMPDIR": str(root / "tmp"),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "WANDB_MODE": "offline",
            "WANDB_ERROR_REPORTING": "false",
            **(env or {}),
        }
        with mock.patch.dict(os.environ, self.env, clear=True), contextlib.chdir(root / "agent"):
            self.launcher = LocalLauncher(log=root / "forkserver.log", preload=preload, notify=self.notes.append)

    def close(self) -> None:
        """End the fork server."""
        self.launcher.close()

    def hold(self, row: Row) -> Outcome:
        """Run a row and return in what its warm runs differ from the fresh process."""
        with mock.patch.object(launching, "_LESSONS", sys.maxsize):  # meant for one program, and here are hundreds
            return self._hold(row)

    def _hold(self, row: Row) -> Outcome:
        self.count += 1
        root = self.root / (row.folder or f"row{self.count}")
        shutil.rmtree(root, ignore_errors=True)
        place = _Place(root, row, self.env)
        fresh = [place.fresh()]
        pairs, draws = [], list(fresh)
        if row.together:
            place.restore()
            started = [place.submit(self.launcher) for _ in range(2)]
            draws += (seen := [place.ended(self.launcher, one) for one in started])
            pairs = [(fresh[0], one) for one in seen]
        while len(pairs) < 3 and sum(one.way == "warm" for _, one in pairs) < 2:
            if row.edits and len(pairs) == 1:
                place.write(row.edits)
                fresh.append(place.fresh())
            place.restore()
            draws.append(place.ended(self.launcher, place.submit(self.launcher)))
            pairs.append((fresh[-1], draws[-1]))
        return Outcome(
            row=row,
            ways=[one.way for _, one in pairs],
            differences=[*_differences(row, pairs), *_repeated(row, draws), *_never_warm(row, pairs), *self._strays()],
        )

    def _strays(self) -> list[tuple[str, object, object]]:
        """Return what the fork server wrote into the agent's folder, which it is started in."""
        left = sorted(str(path.relative_to(self.root)) for path in (self.root / "agent").rglob("*"))
        return [("files of the agent's folder", [], left)] if left else []


def _differences(row: Row, pairs: Iterable[tuple[Seen, Seen]]) -> list[tuple[str, object, object]]:
    found = {}
    for fresh, warm in pairs:
        for key in sorted(fresh.facts.keys() | warm.facts.keys()):
            if key not in row.may_differ and key not in row.draws and fresh[key] != warm[key]:
                found.setdefault(key, (key, fresh[key], warm[key]))
    return list(found.values())


def _never_warm(row: Row, pairs: Iterable[tuple[Seen, Seen]]) -> list[tuple[str, object, object]]:
    ways = {one.way for _, one in pairs}
    return [] if bool(row.cold) == ("warm" not in ways) else [("way", row.cold or "warm is expected", ways)]


def _repeated(row: Row, draws: list[Seen]) -> list[tuple[str, object, object]]:
    return [
        (f"{key} drawn twice", one[key], other[key])
        for key in row.draws
        if key not in row.may_differ
        for one, other in itertools.combinations(draws, 2)
        if one[key] == other[key] or "(nothing)" in (one[key], other[key])
    ]


class _Place:
    """A row's folder: its files, written anew before each process, and what a process leaves there."""

    def __init__(self, root: Path, row: Row, env: Mapping[str, str]) -> None:
        self.root, self.row, self.env = root, row, env
        self.folder = root / "work"
        self.cwd = self.folder / row.cwd
        self.initial: dict[Path, str | bytes] = {}
        self.cwd.mkdir(parents=True)
        self.write({row.script: self._main(), **row.files})

    def _main(self) -> str | bytes:
        """Return the program, with `observe` before it where it is used."""
        source = self.row.program
        if isinstance(source, str) and "observe(" in source:
            return _OBSERVE + source
        return source

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files, as an editor would."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self.initial[path] = content
            _put(path, content)

    def restore(self) -> None:
        """Make the folder what it was before a process ran in it."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path not in self.initial and not path.is_dir():
                path.unlink()
            elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()) and path != self.cwd:
                path.rmdir()
        for path, content in self.initial.items():
            if not path.exists() or (not path.is_symlink() and path.is_file() and path.read_bytes() != _bytes(content)):
                path.parent.mkdir(parents=True, exist_ok=True)
                _put(path, content)

    def attempt(self) -> tuple[str, Path]:
        """Return a new attempt's id and the file of its observations."""
        attempt = f"parity{next(_NUMBERS):06d}-1"
        Path(self.temp(attempt)).mkdir()
        return attempt, self.root / f"{attempt}.jsonl"

    def temp(self, attempt: str) -> str:
        """Return the attempt's temporary folder."""
        return str(self.root / f"tmp_{attempt}")

    def environment(self, attempt: str, out: Path) -> dict[str, str]:
        """Return the whole environment of an attempt, like agents/prepare.py."""
        return {
            **self.env,
            "TMPDIR": self.temp(attempt),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            ATTEMPT_ENV: attempt,
            OUT_ENV: str(out),
            **self.row.attempt_env,
        }

    def argv(self) -> tuple[str, ...]:
        """Return the command of the row."""
        filled = {"python": python(), "program": str(self.folder / self.row.script), "folder": str(self.folder)}
        return tuple(word.format(**filled) for word in self.row.command) + self.row.args

    def fresh(self) -> Seen:
        """Run the command as a fresh process and return what it showed."""
        self.restore()
        attempt, out = self.attempt()
        log = self.root / f"{attempt}.log"
        with open(log, "ab") as stream:
            process = subprocess.Popen(
                self.argv(),
                env=self.environment(attempt, out),
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,  # as W&B's agent starts a run
            )
        try:
            status: int | str = process.wait(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            status = _HUNG
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return self._seen(attempt, log, status, "fresh process")

    def submit(self, launcher: LocalLauncher) -> tuple[str, Path, "SimpleQueue[Event]"]:
        """Start the command as the agent does."""
        attempt, out = self.attempt()
        argv, log, env = self.argv(), self.root / f"{attempt}.log", self.environment(attempt, out)
        start = command_start(argv, env=env, cwd=str(self.cwd))
        spec = AttemptSpec(
            attempt_id=attempt,
            argv=argv,
            env={**env, **start.env},
            cwd=str(self.cwd),
            log=log,
            exit_file=self.root / f"{attempt}.exit.json",
            warm=start.warm,
        )
        return attempt, log, launcher.submit(spec)

    def ended(self, launcher: LocalLauncher, submitted: tuple[str, Path, "SimpleQueue[Event]"]) -> Seen:
        """Wait for the end of an attempt and return what it showed."""
        attempt, log, queue = submitted
        status: int | str | None = _HUNG
        way = "nothing"
        with contextlib.suppress(Empty):
            started = queue.get(timeout=WAIT_S)
            if isinstance(started, NotStarted):
                return self._seen(attempt, log, started.reason, way)
            way = "warm" if isinstance(started, Started) and started.warm else "fresh process"
            ended = queue.get(timeout=WAIT_S) if isinstance(started, Started) else started
            status = ended.status if isinstance(ended, Exited) else f"ended by {ended}"
        if status == _HUNG and launcher.signal(attempt, signal.SIGKILL):
            with contextlib.suppress(Empty):
                queue.get(timeout=WAIT_S)
        return self._seen(attempt, log, status, way)

    def _seen(self, attempt: str, log: Path, status: int | str | None, way: str) -> Seen:
        facts: dict[str, object] = {}
        out = self.root / f"{attempt}.jsonl"
        for line in out.read_text().splitlines() if out.exists() else ():
            facts |= json.loads(line)
        said, again = _AGAIN.subn("", log.read_bytes().decode("utf-8", "backslashreplace"), count=1)
        facts |= {"status": status, "output": said, "files": {}}
        for folder in (self.folder, Path(self.temp(attempt))):
            facts["files"] |= {str(path.relative_to(self.root)): _content(path) for path in self._new(folder)}
        shutil.rmtree(self.temp(attempt), ignore_errors=True)
        # The attempt's id is in its temporary folder's name, its variables and its file of observations.
        # Where an object lies in memory differs between any two processes.
        text = _ADDRESS.sub("0xADDRESS", json.dumps(facts).replace(attempt, "ATTEMPT"))
        return Seen(facts=json.loads(text), way="begun again" if again else way)

    def _new(self, folder: Path) -> list[Path]:
        return [path for path in sorted(folder.rglob("*")) if path not in self.initial and not path.is_dir()]


def _put(path: Path, content: str | bytes) -> None:
    if isinstance(content, str) and content.startswith("->"):
        path.symlink_to(content[2:])
    else:
        path.write_bytes(_bytes(content))


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _content(path: Path) -> str:
    if path.suffix == ".pyc" or not path.is_file():  # a pipe or a socket is there or not
        return ""
    return path.read_bytes()[:20_000].decode("utf-8", "backslashreplace")


def params(rows: Iterable[Row]) -> list:
    """Return pytest's parameters for rows, each by its name.

    Every eighth of the quick ones is in the normal run; all of them take three minutes, with `-m heavy`.
    """
    return [
        pytest.param(row, id=row.name, marks=[pytest.mark.heavy] * (row.slow or number % 8 != 0))
        for number, row in enumerate(rows)
    ]


class Benches:
    """One bench for all rows that want nothing of their agent, one for each row that does.

    Args:
        root: A folder for all of them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shared: Bench | None = None

    def hold(self, row: Row) -> Outcome:
        """Run a row and return in what its warm runs differ from the fresh process."""
        if not row.alone:
            self._shared = self._shared or Bench(self.root)
            return self._shared.hold(row)
        with tempfile.TemporaryDirectory(prefix="parity") as folder:
            root = Path(folder)
            env = {name: value.replace("{folder}", f"{root}/row1/work") for name, value in row.env.items()}
            if row.installed:
                site = root / "site-packages"
                for name, content in row.installed.items():
                    (site / name).parent.mkdir(parents=True, exist_ok=True)
                    (site / name).write_text(content)
                env["PYTHONPATH"] = os.pathsep.join([str(site), *([env["PYTHONPATH"]] if "PYTHONPATH" in env else [])])
            bench = Bench(root, env=env)
            try:
                return bench.hold(row)
            finally:
                bench.close()

    def close(self) -> None:
        """End the fork server."""
        if self._shared is not None:
            self._shared.close()
