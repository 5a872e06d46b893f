"""`sweepkit doctor`: what holds here, where it comes from, and what to do about what is wrong."""

import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import Empty

from sweepkit.called import place_words, typed
from sweepkit.environ import OUTPUT_DIR_ENV
from sweepkit.errors import SweepKitError, TrackingError
from sweepkit.extras import lacking
from sweepkit.housekeeping.find import SweepPlace
from sweepkit.housekeeping.sizes import in_words
from sweepkit.paths import INSTALLED, ROOT_DIR, default_output_dir, output_setting, python, storage_setting
from sweepkit.project import MARKERS, project_root
from sweepkit.version import VERSION

_LEAST_FREE = 1_000_000_000  # bytes: below that runs end by a full disk
_LITTLE_FREE = 10_000_000_000
_LEAST_SHM = 1_000_000_000  # bytes: DataLoader workers share tensors there
_LEAST_FILES = 1024
_LARGEST_SKEW_S = 5.0
_FORK_WAIT_S = 60.0
# File systems of several machines: SQLite's locks do not hold on them.
_SHARED = ("nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "gpfs", "glusterfs", "fuse.sshfs", "9p")


class Health(StrEnum):
    """How a part is: as it should be, worth knowing, or in the way of sweeps."""

    GOOD = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one part.

    Args:
        part: Which.
        health: How it is.
        text: What was found.
        remedy: What to do; "" where nothing needs to be done.
    """

    part: str
    health: Health
    text: str
    remedy: str = ""


def findings(place: SweepPlace, environ: Mapping[str, str], *, asked: bool) -> Iterator[Finding]:
    """Yield what is found of each part; nothing is made or changed, but for a file that comes and goes.

    Args:
        place: Where sweeps would be.
        environ: The environment.
        asked: The output folder was named on the command line.
    """
    yield _versions()
    yield _project(Path.cwd())
    yield _output(place, environ, asked)
    parts: tuple[Callable[[], Finding], ...] = (
        lambda: _disk(place.output_dir),
        lambda: _database(place, environ),
        lambda: _gpus(environ),
        _machine,
        _limits,
        _forks,
        lambda: _wandb(environ),
        _extras,
    )
    for part in parts:
        yield part()


def _good(part: str, text: str) -> Finding:
    return Finding(part=part, health=Health.GOOD, text=text)


def _note(part: str, text: str, remedy: str = "") -> Finding:
    return Finding(part=part, health=Health.NOTE, text=text, remedy=remedy)


def _wrong(part: str, text: str, remedy: str) -> Finding:
    return Finding(part=part, health=Health.WRONG, text=text, remedy=remedy)


def _versions() -> Finding:
    where = "installed in" if INSTALLED else "from the checkout"
    place = Path(sys.prefix) if INSTALLED else ROOT_DIR
    return _good("sweepkit", f"{VERSION}, {where} {place}; Python {platform.python_version()} at {sys.executable}")


def _project(folder: Path) -> Finding:
    root = project_root(folder)
    if found := [name for name in MARKERS if (root / name).exists()]:
        return _good("project", f"{root} (it has {' and '.join(found)})")
    remedy = "an empty sweepkit.toml in your project's folder makes all folders below it one project"
    return _note("project", f"{root}: the working directory, nothing above it marks a project", remedy)


def _output(place: SweepPlace, environ: Mapping[str, str], asked: bool) -> Finding:
    folder = Path(os.path.abspath(place.output_dir))
    source = "--output-dir" if asked else output_setting(environ).source
    nearest = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        remedy = f"change its permissions, or name another folder by --output-dir or {OUTPUT_DIR_ENV}"
        return _wrong("output folder", f"{folder} ({source}) takes no files: {error.strerror}", remedy)
    there = "" if folder.is_dir() else "; it will be made"
    kind = _file_system(nearest)
    if kind in _SHARED:
        remedy = "name a database in PostgreSQL by --storage where several machines work on one sweep"
        return _note("output folder", f"{folder} ({source}) is on {kind}: SQLite's locks may not hold there", remedy)
    return _good("output folder", f"{folder} ({source}){there}")


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _file_system(folder: Path) -> str:
    """Return the kind of the file system that a folder is on, "" where it cannot be said."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    above = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above)[1] if above else ""


def _disk(output_dir: Path) -> Finding:
    free = shutil.disk_usage(_existing(Path(os.path.abspath(output_dir)))).free
    text = f"{in_words(free)} free"
    remedy = f"{typed('clean', '--keep-best', '3', *place_words(output_dir))} takes old checkpoints away"
    if free < _LEAST_FREE:
        return _wrong("disk", text, f"free some space: {remedy}")
    if free < _LITTLE_FREE:
        return _note("disk", text, remedy)
    return _good("disk", text)


def _database(place: SweepPlace, environ: Mapping[str, str]) -> Finding:
    setting = storage_setting(place.storage, place.output_dir, environ)
    storage, source = setting.value, setting.source
    path = storage.removeprefix("sqlite:///")
    if "://" not in path and not Path(path).exists():
        return _good("database", f"{path} ({source}); it will be made")
    from sweepkit.store.watch import open_watch

    try:
        with open_watch(storage) as store:
            before = time.time()
            skew = store.now() - (before + time.time()) / 2
            sweeps, label = store.sweeps(), store.label
    except SweepKitError as error:
        return _wrong("database", f"{source}: {error}", "mend it, or name another one by --storage")
    text = f"{label.removeprefix('store ')} ({source}): {len(sweeps)} sweep{'' if len(sweeps) == 1 else 's'}"
    if abs(skew) > _LARGEST_SKEW_S:
        remedy = "set this host's clock (NTP): times in tables and reports are the database's"
        return _note("database", f"{text}; its clock is {skew:+.0f} s from this host's", remedy)
    return _good("database", f"{text}; its clock is this host's within {abs(skew):.1f} s")


def _gpus(environ: Mapping[str, str]) -> Finding:
    from sweepkit.agents.gpu_memory import open_nvml
    from sweepkit.agents.slots import visible_gpus

    gpus = visible_gpus(environ)
    if not gpus:
        restricted = environ.get("CUDA_VISIBLE_DEVICES")
        if restricted is not None:
            remedy = "unset it, or name GPUs there, if runs shall use some"
            return _note("GPUs", f"none: CUDA_VISIBLE_DEVICES is {restricted!r}", remedy)
        if shutil.which("nvidia-smi") is not None:
            return _wrong("GPUs", "nvidia-smi is there and lists none", "run nvidia-smi and mend the driver")
        return _good("GPUs", "none; runs use CPU cores")
    nvml = open_nvml()
    texts = []
    for gpu in gpus:
        memory = None if nvml is None else nvml.read(gpu)
        texts.append(
            gpu if memory is None else f"{gpu} ({memory.free / 2**30:.0f} of {memory.total / 2**30:.0f} GiB free)"
        )
    text = f"{len(gpus)}: {', '.join(texts)}"
    return _good("GPUs", text) if nvml else _note("GPUs", text, "pip install nvidia-ml-py: runs then wait for memory")


def _machine() -> Finding:
    import psutil  # type: ignore[import-untyped,unused-ignore]

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _good("machine", f"{cores} cores, {in_words(memory.available)} of {in_words(memory.total)} memory available")


def _limits() -> Finding:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < _LEAST_FILES:
        return _note(
            "limits", f"{files} open files a process", f"ulimit -n {_LEAST_FILES * 4} before a sweep of many workers"
        )
    shared = Path("/dev/shm")
    room = shutil.disk_usage(shared).total if shared.is_dir() else None
    if room is not None and room < _LEAST_SHM:
        remedy = "give the container more: docker run --shm-size=8g, in Kubernetes an emptyDir of medium Memory"
        return _note("limits", f"/dev/shm holds {in_words(room)}: DataLoader workers may end by a bus error", remedy)
    shown = "no limit of" if files == resource.RLIM_INFINITY else str(files)
    return _good("limits", f"{shown} open files" + ("" if room is None else f", {in_words(room)} of shared memory"))


def _forks() -> Finding:
    """Start a program of one line as a sweep would, and see whether it was forked from a warm process."""
    from sweepkit.agents.launcher import AttemptSpec, Exited, LocalLauncher, NotStarted, Started
    from sweepkit.agents.warm_command import command_start

    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sweepkit-doctor-") as name:
        folder = Path(name)
        program = folder / "program.py"
        program.write_text("print('ok')\n")
        argv = (python(), str(program))
        launcher = LocalLauncher(log=folder / "server.log", notify=said.append)
        began = time.monotonic()
        warm, end = False, None
        try:
            queue = launcher.submit(
                AttemptSpec(
                    attempt_id="doctor-1",
                    argv=argv,
                    env=dict(os.environ),
                    cwd=name,
                    log=folder / "log",
                    exit_file=folder / "exit.json",
                    warm=command_start(argv, env=os.environ, cwd=name).warm,
                )
            )
            while not isinstance(end, Exited | NotStarted):
                event = queue.get(timeout=_FORK_WAIT_S)
                warm = event.warm if isinstance(event, Started) else warm
                end = event
        except Empty:
            return _wrong(
                "starts", f"no program started within {_FORK_WAIT_S:.0f} s", "sweepkit run --cold may do better"
            )
        finally:
            launcher.close()
        took = time.monotonic() - began
    if not isinstance(end, Exited) or end.status != 0:
        got = end.reason if isinstance(end, NotStarted) else f"exit code {end.status}"
        return _wrong("starts", f"a program of one line did not run: {got}", "run it by hand with this interpreter")
    if not warm:
        why = "; ".join(said) or "forking is not safe here"
        return _note("starts", f"programs start in fresh processes: {why}", "runs work, each begins with its imports")
    return _good("starts", f"programs are forked from a warm process; the first took {took:.2f} s")


def _wandb(environ: Mapping[str, str]) -> Finding:
    from sweepkit.tracking.wandb_run import wandb_installed

    if not wandb_installed():
        return _note("W&B", "the package is not installed", "pip install wandb, if programs log to it")
    import importlib.metadata

    from sweepkit.wandb.access import has_key, require_wandb

    server = environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    version = importlib.metadata.version("wandb")
    try:
        require_wandb(f"{version} records programs")
        known = has_key(server, keep=False)
    except TrackingError as error:
        return _note("W&B", str(error), "pip install -U wandb, for --wandb online and --backend wandb")
    except Exception as error:  # noqa: BLE001 - its client raises what it likes, a key that is malformed among them
        return _note(
            "W&B", f"{version}; the key of {server} cannot be used: {type(error).__name__}", "wandb login --relogin"
        )
    if known:
        return _good("W&B", f"{version}, with a key of {server}")
    return _good(
        "W&B", f"{version}, no key of {server}: runs are recorded offline; `wandb login` is for --wandb online"
    )


def _extras() -> Finding:
    missing = lacking()
    if not missing:
        return _good("extras", "all installed")
    listed = "; ".join(f"{name} ({what})" for name, what in missing.items())
    return _good("extras", f"not installed: {listed}; pip install 'sweepkit[NAME]'")


def is_default(folder: Path) -> bool:
    """Say whether an output folder is the one that is taken when nobody names one."""
    return Path(os.path.abspath(folder)) == default_output_dir()
