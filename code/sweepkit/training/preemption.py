"""What a training does when its machine is taken away: it saves where it stands, and its run's next attempt goes on.

SIGTERM means two things. An agent that gives a run back (its machine is wanted, Ctrl-C twice) writes the file named by
SWEEPKIT_PREEMPT_FILE first: then what was done is saved under SWEEPKIT_CHECKPOINT_DIR and the process ends with
`EXIT_CODE`. Without that file the run is over (a stopping rule, a time limit) and dies at once, as it would by default.

A checkpoint is a folder `step-<n>` that is put in place in one step, after everything in it is on the disk. Its
`state.json` lists the size of each file, so that half a one, wherever it comes from, is never taken for a whole one.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from sweepkit.environ import CHECKPOINT_DIR_ENV, PREEMPT_FILE_ENV

EXIT_CODE = 128 + signal.SIGTERM  # 143: as a shell tells of a process that SIGTERM ended
_STATE_NAME = "state.json"
_STEP, _PART = "step-", ".part-"


class Preempted(Exception):
    """The training ends here, and where it stands is saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint: its folder and the state that was given with it."""

    folder: Path
    state: Mapping[str, Any]


class Preemption:
    """Answers SIGTERM for one training and keeps its checkpoint.

    Args:
        marker: The file that makes SIGTERM mean preemption.
        folder: Where checkpoints go; nothing else is in it.
        key: What a result hangs on (settings, data, versions). A checkpoint with another key is not taken.
        say: Prints one line for the user.

    Attributes:
        requested: The training shall save and end as soon as it can.
    """

    def __init__(self, *, marker: Path, folder: Path, key: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self.requested = False
        self._marker, self._folder, self._say = marker, folder, say
        self._key = json.loads(json.dumps(dict(key)))
        self._can_save = False
        self._over = False

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str], *, key: Mapping[str, Any], say: Callable[[str], None]
    ) -> "Preemption | None":
        """Return what answers the agent of this process; None without one, which leaves SIGTERM as it is."""
        marker, folder = environ.get(PREEMPT_FILE_ENV), environ.get(CHECKPOINT_DIR_ENV)
        return cls(marker=Path(marker), folder=Path(folder), key=key, say=say) if marker and folder else None

    # -- the signal ---------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Answer SIGTERM from now until the process ends. Main thread only."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._marker.exists():
            _die()
        if self._over:
            return  # all but the result file is done: the agent takes the finished run
        if not self._can_save:
            _die()  # nothing new to save; an earlier checkpoint stays
        self.requested = True

    def begin(self) -> None:
        """Say that from now on there is something worth saving."""
        self._can_save = True

    def finish(self) -> None:
        """Say that the training is over: what is left is writing its result, which preemption does not end."""
        self._over = True

    # -- the checkpoint -----------------------------------------------------------------------------------------------

    def find(self) -> Saved | None:
        """Return the newest whole checkpoint of this very training; say so when one is there that will not do."""
        found = sorted(self._folder.glob(f"{_STEP}[0-9]*"), key=lambda path: int(path.name.removeprefix(_STEP)))
        for folder in reversed(found):
            try:
                content = json.loads((folder / _STATE_NAME).read_text(encoding="utf-8"))
                wrong = _fault(folder, content, self._key)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                wrong = f"it cannot be read: {error}"
            if not wrong:
                self._say(f"resuming from the checkpoint at step {folder.name.removeprefix(_STEP)}")
                return Saved(folder=folder, state=content["state"])
            self._say(f"the checkpoint {folder} is not used, {wrong}; training from the beginning")
        return None

    def save(
        self, step: int, state: Mapping[str, Any], write: Callable[[Path], None] = lambda folder: None
    ) -> NoReturn:
        """Save where the training stands and end it.

        Args:
            step: Optimizer steps done, the checkpoint's name.
            state: JSON values; NaN and infinities are kept.
            write: Writes further files into the folder that it is given.

        Raises:
            Preempted: It is saved. When it cannot be (a full disk), the process dies of SIGTERM instead and leaves no
                half checkpoint; an earlier one stays.
        """
        part = self._folder / f"{_PART}{os.getpid()}"
        target = self._folder / f"{_STEP}{step}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove(f"{_PART}*")
            part.mkdir()
            write(part)
            content = {"key": self._key, "state": state, "files": _sizes(part)}
            (part / _STATE_NAME).write_text(json.dumps(content), encoding="utf-8")
            _sync(part)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(part, target)
            _sync_folder(self._folder)
        except Exception as error:  # torch, safetensors and the system each have their own for a full disk
            shutil.rmtree(part, ignore_errors=True)
            self._say(f"preempted, but no checkpoint could be written: {type(error).__name__}: {error}")
            _die()
        self._remove(f"{_STEP}*", but=target)
        self._say(f"preempted: saved at step {step}; the run's next attempt goes on from there")
        raise Preempted(step)

    def discard(self) -> None:
        """Remove every checkpoint."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _remove(self, pattern: str, but: Path | None = None) -> None:
        for path in self._folder.glob(pattern):
            if path != but:
                shutil.rmtree(path, ignore_errors=True)


def _die() -> NoReturn:
    """End this process as SIGTERM does by default."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.kill(os.getpid(), signal.SIGTERM)
    raise SystemExit(EXIT_CODE)  # not reached


def _fault(folder: Path, content: Mapping[str, Any], key: Mapping[str, Any]) -> str:
    """Return what keeps a checkpoint from being used, "" when nothing does."""
    changed = [name for name in key if key[name] != content["key"].get(name)]
    if changed:
        return f"it was made with other {', '.join(changed)}"
    bad = [name for name, size in content["files"].items() if _size(folder / name) != size]
    return f"its files are not whole: {', '.join(bad)}" if bad else ""


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of each file, by its path from `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _sync(folder: Path) -> None:
    """Put files and names on the disk: the machine may be gone in a moment."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
