"""A sweep at W&B: made from a configuration, asked for its state, and told to pause, go on, stop or cancel.

Everything goes through W&B's own client, with the key that it finds in its own places (environment, netrc). The client
is imported late and only here; what it prints is taken in and comes back as warnings or as the text of an error.
"""

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.wandb.client import sweep_path

_COMMANDS = ("pause", "resume", "stop", "cancel")
_STATE_TIMEOUT_S = 120
_LOCATION = ("WANDB_ENTITY", "WANDB_PROJECT")
# YAML 1.2 reads these as floats; PyYAML, with which W&B's client writes the configuration, takes them for text.
_FLOAT_1_2 = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPath:
    """Where a sweep is at W&B. `str()` gives `entity/project/id`, which `wandb agent` takes."""

    entity: str
    project: str
    sweep_id: str

    def __str__(self) -> str:
        """Return entity/project/id."""
        return f"{self.entity}/{self.project}/{self.sweep_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSweep:
    """A sweep that was just made.

    Args:
        path: Where it is.
        url: Its page, "" when the client does not know it.
        warnings: What the server said of its configuration, one sentence each.
    """

    path: SweepPath
    url: str
    warnings: tuple[str, ...]


def parse_sweep_path(text: str, *, entity: str | None = None, project: str | None = None) -> SweepPath:
    """Return the sweep that a user means: `ENTITY/PROJECT/ID`, shorter forms with the rest given, or its page's URL.

    >>> str(parse_sweep_path("https://wandb.ai/team/qa/sweeps/ab12cd34?x=1"))
    'team/qa/ab12cd34'
    >>> str(parse_sweep_path("ab12cd34", entity="team", project="qa"))
    'team/qa/ab12cd34'

    Args:
        text: What was given.
        entity: Taken for one that is left out; None means it must be there.
        project: Likewise.

    Raises:
        TrackingError: It names no sweep, or leaves out what is not known.
    """
    parts = text.strip().split("/")
    known = [entity, project][: 3 - len(parts)] if len(parts) < 3 else []
    whole = sweep_path("/".join([*(part or "" for part in known), *parts])).split("/")
    return SweepPath(entity=whole[0], project=whole[1], sweep_id=whole[2])


def check_login() -> None:
    """Make sure that the server takes the user's key, without ever asking for one at the terminal.

    Raises:
        TrackingError: wandb is not installed, it is told to work offline, there is no key, or the server refuses it.
    """
    mode = os.environ.get("WANDB_MODE", "online")
    if mode not in ("online", "run", "shared"):
        raise TrackingError(
            f"--backend wandb: W&B's server leads the sweep, so WANDB_MODE must be online, got {mode!r}; unset it"
        )
    client = _client()
    host = os.environ.get("WANDB_BASE_URL") or "W&B"
    with _heard() as said:
        try:
            found = client.login(prompt=False, verify=True)
        except Exception as error:  # W&B's own errors, requests', ValueError: which one changes with the version
            raise TrackingError(
                f"--backend wandb: {host} must take your key, got: {_shown(error)}; "
                "run `wandb login`, or set WANDB_API_KEY"
            ) from None
    if not found:
        told = f" ({' '.join(said.getvalue().split())})" if said.getvalue().strip() else ""
        raise TrackingError(
            f"--backend wandb: a key for {host} is needed, got none{told}; run `wandb login`, or set WANDB_API_KEY, "
            "or leave --backend wandb out: the sweep then runs here, with no account"
        )


def create_sweep(config: Mapping[str, Any], *, entity: str | None, project: str | None) -> CreatedSweep:
    """Make a sweep at W&B; `check_login` has been called.

    Args:
        config: W&B's keys only.
        entity: None for the user's default.
        project: None for the name that W&B's command line would choose: that of the repository.

    Raises:
        TrackingError: The server refuses it or does not answer.
    """
    client = _client()
    with _heard() as said, _location_kept(), _strings_stay_strings():
        try:
            chosen = project or client.util.auto_project_name(config.get("program"))
            sweep_id = client.sweep(dict(config), entity=entity, project=chosen)
        except Exception as error:
            raise TrackingError(
                f"--backend wandb: the server must take the sweep, got: {_shown(error)}; "
                "check its configuration, entity and project"
            ) from None
        # The client keeps here what the server answered.
        found = {name: os.environ.get(name) for name in _LOCATION}
    path = SweepPath(
        entity=found["WANDB_ENTITY"] or entity or "", project=found["WANDB_PROJECT"] or chosen or "", sweep_id=sweep_id
    )
    lines = said.getvalue().splitlines()
    url = next((line.partition(": ")[2].strip() for line in lines if line.startswith("Sweep URL")), "")
    return CreatedSweep(path=path, url=url, warnings=_violations(lines))


def set_sweep_state(path: SweepPath, command: str) -> None:
    """Tell W&B to pause, resume, stop or cancel a sweep, for all of its agents.

    It is `wandb sweep --COMMAND`, in a process of its own.

    Raises:
        TrackingError: The server refuses; its reason is told.
    """
    if command not in _COMMANDS:
        raise ValueError(f"command must be one of {_COMMANDS}, got {command!r}")
    _client()
    call = [sys.executable, "-m", "wandb", "sweep", f"--{command}", str(path)]
    try:
        done = subprocess.run(
            call, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_STATE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TrackingError(f"{path}: W&B did not answer within {_STATE_TIMEOUT_S} s; try --{command} again") from None
    if done.returncode:
        lines = [line.removeprefix("wandb: ERROR ").strip() for line in (done.stderr + done.stdout).splitlines()]
        got = next((line for line in reversed(lines) if line), f"exit code {done.returncode}")
        raise TrackingError(f"{path}: W&B must take --{command}, got: {_without_key(got)}")


def _shown(error: BaseException) -> str:
    """Return an error of the client on one line, never with the key."""
    return _without_key(" ".join(str(error).split()) or type(error).__name__)


def _without_key(text: str) -> str:
    """Return a text in which the key of the environment, if it occurs, is hidden."""
    key = os.environ.get("WANDB_API_KEY")
    return text.replace(key, "***") if key else text


def _client() -> Any:
    """Return the package; a folder named wandb/ is none. Raises TrackingError."""
    spec = importlib.util.find_spec("wandb")
    if spec is None or spec.origin is None:
        raise TrackingError("--backend wandb: needs the package wandb, got none; install it: pip install wandb")
    import wandb  # late: half a second

    return wandb


def _violations(lines: list[str]) -> tuple[str, ...]:
    """Return what the client printed of the server's doubts: `Violation 1. …`."""
    found = (re.search(r"Violation \d+\. (.+)", line) for line in lines)
    return tuple(f"W&B says of the configuration: {match[1].strip()}" for match in found if match)


@contextlib.contextmanager
def _heard() -> Iterator[io.StringIO]:
    """Take in what the client prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


@contextlib.contextmanager
def _location_kept() -> Iterator[None]:
    """Undo what the client does to this process's environment."""
    before = {name: os.environ.get(name) for name in _LOCATION}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _strings_stay_strings() -> Iterator[None]:
    """Let the client write the text "1e5" in quotes: without them a reader of YAML 1.2 takes it for a number."""
    import yaml  # type: ignore[import-untyped]  # W&B's own

    dumper: Any = yaml.Dumper
    had_own = "yaml_implicit_resolvers" in dumper.__dict__
    before = dumper.yaml_implicit_resolvers
    dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT_1_2, list("-+.0123456789"))
    try:
        yield
    finally:
        if had_own:
            dumper.yaml_implicit_resolvers = before
        else:
            del dumper.yaml_implicit_resolvers
