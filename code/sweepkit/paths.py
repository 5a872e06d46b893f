"""Where our own files and those of a sweep live. Nothing else builds such a path.

Our own files are configurations, embedded data and the programs that sweeps name (trainer.py). In a checkout they stand
in config/, data/ and code/; an installed package brings them in its folder `bundled`, in the same order.
"""

import contextlib
import hashlib
import importlib.resources
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sweepkit.environ import CACHE_DIR_ENV, OUTPUT_DIR_ENV, STORAGE_ENV
from sweepkit.project import Setting, project_root, project_settings

CODE_DIR = Path(__file__).resolve().parent.parent  # what must be on the path of whoever imports this package
_BUNDLED = Path(str(importlib.resources.files(__package__))) / "bundled"
INSTALLED = _BUNDLED.is_dir()  # as a package, not as a checkout that is worked in
ROOT_DIR = _BUNDLED if INSTALLED else CODE_DIR.parent
CONFIG_DIR = ROOT_DIR / "config"
DATA_DIR = ROOT_DIR / "data"
PROGRAM_DIR = ROOT_DIR / "code"
BASE_CONFIG = CONFIG_DIR / "base_config.yaml"
STORE_NAME = "sweepkit.db"
FUNCTIONS_FOLDER = "functions"  # in an output folder: the programs that functions were packed as
WANDB_SWEEPS_FOLDER = "wandb_sweeps"  # in an output folder: what wandb.sweep was given, a file for each id
_LONGEST_SLUG = 200


def output_setting(
    environ: Mapping[str, str] = os.environ, cwd: Path | None = None, sweep: Path | None = None
) -> Setting:
    """Return where results go and are looked for when nobody names a folder, and who says so: decided here alone.

    Args:
        environ: `SWEEPKIT_OUTPUT_DIR` names it, from `cwd`.
        cwd: Where the command was called; None asks the process.
        sweep: The folder of the sweep's YAML, whose project is meant; None, and a sweep that comes with us, means the
            project of `cwd`.

    Returns:
        An absolute folder: the one that is named, else that of the project's settings, else its `outputs/`.

    Raises:
        SpecError: The project's settings cannot be read.
    """
    here = Path.cwd() if cwd is None else cwd
    if named := environ.get(OUTPUT_DIR_ENV):
        return Setting(value=os.path.abspath(here / Path(named).expanduser()), source=OUTPUT_DIR_ENV)
    start = _home_of(sweep, here)
    return project_settings(start).get(
        "output_dir", Setting(value=str(project_root(start) / "outputs"), source="default: the project's outputs/")
    )


def _home_of(sweep: Path | None, cwd: Path) -> Path:
    """Return the folder whose project a sweep belongs to: its YAML's, but `cwd` for one that comes with us.

    Args:
        sweep: The folder of its YAML; None without one.
        cwd: Where the command was called.
    """
    return cwd if sweep is None or comes_with_us(sweep) else sweep


def comes_with_us(folder: Path) -> bool:
    """Return whether a folder is one of our own configurations."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(CONFIG_DIR))


def default_output_dir(
    environ: Mapping[str, str] = os.environ, cwd: Path | None = None, sweep: Path | None = None
) -> Path:
    """Return the folder of `output_setting`."""
    return Path(output_setting(environ, cwd, sweep).value)


def storage_setting(
    named: str | None, folder: Path, environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> Setting:
    """Return the database of sweeps, URL or path, and who says so: decided here alone.

    Args:
        named: What --storage says.
        folder: The output folder, which has a database of its own.
        environ: `SWEEPKIT_STORAGE` names it where --storage does not.
        home: A folder of the project whose settings name it where neither does; None for the working directory.

    Raises:
        SpecError: The project's settings cannot be read.
    """
    if named:
        return Setting(value=named, source="--storage")
    if said := environ.get(STORAGE_ENV):
        return Setting(value=said, source=STORAGE_ENV)
    usual = Setting(value=str(Path(os.path.abspath(folder)) / STORE_NAME), source="default: in the output folder")
    return project_settings(Path.cwd() if home is None else home).get("storage", usual)


def database(named: str | None, folder: Path, environ: Mapping[str, str] = os.environ, home: Path | None = None) -> str:
    """Return the database of `storage_setting`."""
    return storage_setting(named, folder, environ, home).value


def places_of(named: Sequence[str], output_dir: Path | None, storage: str | None) -> tuple[Path, str | None]:
    """Return where results of sweeps go and are looked for, and the database as `database` takes it.

    Args:
        named: What names the sweeps: a YAML file's project is meant, when it is one; any other word is none's.
        output_dir: The folder that somebody named; None for that of the project.
        storage: The database that somebody named, None for the usual one.

    Returns:
        The folder; the database, None for the one that `database` finds from here.
    """
    here = Path.cwd()
    folders = {file.parent for word in named if (file := _yaml(word)) is not None}
    sweep = next(iter(folders)) if len(folders) == 1 else None
    folder = default_output_dir(sweep=sweep) if output_dir is None else output_dir
    home = _home_of(sweep, here)
    if storage or project_root(home) == project_root(here):
        return folder, storage
    return folder, database(None, folder, home=home)


def _yaml(word: str) -> Path | None:
    """Return the YAML file that a word names, as a sweep is found by its name; None for any other word."""
    files = (Path(word + end).absolute() for end in ("", ".yaml", ".yml"))
    try:
        return next((file for file in files if file.suffix in (".yaml", ".yml") and file.is_file()), None)
    except (OSError, ValueError):  # a URL, or a name too long for the file system
        return None


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return where tokenized data are kept: under the sweep's output folder in a sweep, else under outputs/."""
    return Path(environ.get(CACHE_DIR_ENV) or default_output_dir(environ) / "cache")


def first_there(paths: Iterable[Path], is_it: Callable[[Path], bool] = Path.is_file) -> Path | None:
    """Return the first path at which something is that is meant, a file by default; None without one."""
    for path in paths:
        with contextlib.suppress(OSError):  # a name too long for the file system is a miss too
            if is_it(path):
                return path
    return None


def as_written_or_ours(name: str, is_it: Callable[[Path], bool] = Path.is_file) -> Path | None:
    """Return what a path in a training configuration means: as written, else below the checkout's root; None for none.

    Args:
        name: The path as the user wrote it.
        is_it: Whether what is there is meant.
    """
    return first_there((Path(name).expanduser(), ROOT_DIR / name), is_it)


def find_config(name: str, *, folder: Path = CONFIG_DIR) -> Path | None:
    """Return a configuration's file: as written, else below `folder`, with or without its suffix; None without one.

    >>> find_config("quick_test") == CONFIG_DIR / "quick_test.yaml"
    True
    """
    return first_there((Path(name).expanduser(), folder / name, folder / f"{name}.yaml", ROOT_DIR / name))


def slug(name: str) -> str:
    """Return `name` as one safe file name: letters of any script, digits, `.`, `_`, `-`; at most 200 bytes of UTF-8.

    A longer one is cut and ends with a digest of the whole, so that two long names stay apart.

    >>> slug("first sweep/1")
    'first-sweep-1'
    """
    cleaned = re.sub(r"[^\w.-]+", "-", name, flags=re.UNICODE).strip("-.") or "sweep"
    data = cleaned.encode()
    if len(data) <= _LONGEST_SLUG:  # file systems take 255 bytes; prefixes and suffixes need some of them
        return cleaned
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{data[: _LONGEST_SLUG - 9].decode('utf-8', 'ignore')}-{digest}"


class SweepPaths:
    """Every file name of one sweep, under `output_dir/sweep_<name>/`."""

    def __init__(self, output_dir: Path, name: str) -> None:
        self.root = output_dir / f"sweep_{slug(name)}"
        self.cache = output_dir / "cache"  # shared by the sweeps of that folder
        self.logs = self.root / "logs"
        self.runs = self.root / "runs"
        self.spec = self.root / "sweep.yaml"
        self.identity = self.root / "sweep.json"  # what the record alone knows of it, for a record made anew
        self.table = self.root / "runs.csv"
        self.best_config = self.root / "best_config.yaml"
        self.wandb = self.root / "wandb"  # what is sent to a W&B server: one folder per run, what was sent, W&B's logs
        self.wandb_sent = self.wandb / "sent.json"
        self.wandb_lock = self.wandb / "lock"  # held by the process that sends
        self.confirmation = self.root / "confirmation.json"
        self.confirmed_config = self.root / "confirmed_config.yaml"
        self.best_configs = self.root / "best_configs"  # with several objectives: one for each run of the front

    def result(self, run_id: str) -> Path:
        """Return the result file of a run."""
        return self.root / f"run_{run_id}_result.json"

    def run_dir(self, run_id: str) -> Path:
        """Return the folder that a run's program may write to; shared by its attempts."""
        return self.runs / run_id

    def checkpoint(self, run_id: str) -> Path:
        """Return the folder in which a preempted attempt of a run leaves what its next one goes on from."""
        return self.run_dir(run_id) / "preempted"

    def preempt_file(self, attempt_id: str) -> Path:
        """Return the file that exists once an attempt is being released."""
        return self.logs / f"{attempt_id}.preempt"

    def log(self, attempt_id: str) -> Path:
        """Return the file that takes an attempt's stdout and stderr."""
        return self.logs / f"{attempt_id}.log"

    def reports(self, attempt_id: str) -> Path:
        """Return the JSON-lines file that an attempt reports to."""
        return self.logs / f"{attempt_id}.reports.jsonl"

    def wandb_notes(self, attempt_id: str) -> Path:
        """Return the JSON-lines file in which an attempt's processes note where W&B's client writes."""
        return self.logs / f"{attempt_id}.wandb.jsonl"

    def exit_file(self, attempt_id: str) -> Path:
        """Return the file in which the fork server writes how an attempt ended."""
        return self.logs / f"{attempt_id}.exit.json"

    def wandb_dir(self, run_id: str, attempt_id: str) -> Path:
        """Return the folder (WANDB_DIR) in which an attempt's W&B makes its own `wandb` folder."""
        return self.run_dir(run_id) / attempt_id

    def wandb_push(self, run_id: str) -> Path:
        """Return the folder of what is sent of a run; named as W&B's client expects that of an offline run."""
        return self.wandb / f"offline-run-{run_id}"

    def parameters(self, attempt_id: str) -> Path:
        """Return the W&B parameter file (WANDB_SWEEP_PARAM_PATH) of an attempt."""
        return self.logs / f"{attempt_id}.params.yaml"


def python() -> str:
    """Return the interpreter that children run with: the one that runs us."""
    return sys.executable
