"""A sweep at W&B: made from a configuration, asked for its state, and paused, resumed, stopped or cancelled.

Everything goes through W&B's own client, with the key that it finds in its own places (environment, netrc). The client
is imported late and only here; what it prints is taken in and comes back as warnings or as the text of an error.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.wandb.access import Access, ask_access, describe_error, environment_kept, require_wandb, without_keys

_COMMANDS = ("pause", "resume", "stop", "cancel")
_STATE_TIMEOUT_S = 120
_LOCATION = ("WANDB_ENTITY", "WANDB_PROJECT")
_OPTION = "--backend wandb"
_LOGIN_S = 30.0
# YAML 1.2 reads these as floats; PyYAML, with which W&B's client writes the configuration, takes them for text.
_FLOAT_1_2 = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSweep:
    """A sweep that was just made.

    Args:
        path: Where it is: entity/project/id, which `wandb agent` takes.
        url: Its page, "" when the client does not know it.
        warnings: What the server warned of in its configuration, one sentence each.
    """

    path: str
    url: str
    warnings: tuple[str, ...]


def check_login() -> None:
    """Make sure that the server takes the user's key, without ever asking for one at the terminal.

    Raises:
        TrackingError: wandb is not installed, it is set to work offline, there is no key, or the server refuses it.
    """
    mode = os.environ.get("WANDB_MODE", "online")
    if mode not in ("online", "run", "shared"):
        raise TrackingError(
            f"{_OPTION}: W&B's server leads the sweep, so WANDB_MODE must be online, got {mode!r}; unset it"
        )
    require_wandb(_OPTION)
    from wandb.sdk import wandb_setup

    with _captured_output():
        answer = ask_access(wandb_setup.singleton().settings, timeout_s=_LOGIN_S)
    if answer.access is not Access.GRANTED:
        without = f", or leave {_OPTION} out: the sweep then runs here, with no account"
        raise TrackingError(f"{_OPTION}: {answer.text}{without if answer.access is Access.NO_KEY else ''}")


def create_sweep(config: Mapping[str, Any], *, entity: str | None, project: str | None) -> CreatedSweep:
    """Make a sweep at W&B; `check_login` has been called.

    Args:
        config: W&B's keys only.
        entity: None for the user's default.
        project: None for the name that W&B's command line would choose: that of the repository.

    Raises:
        TrackingError: The server refuses it or does not answer.
    """
    client = require_wandb(_OPTION)
    with _captured_output() as printed, environment_kept(*_LOCATION), _strings_stay_strings():
        try:
            chosen = project or client.util.auto_project_name(config.get("program"))
            sweep_id = client.sweep(dict(config), entity=entity, project=chosen)
        except Exception as error:
            raise TrackingError(
                f"{_OPTION}: the server must take the sweep, got: {describe_error(error)}; "
                "check its configuration, entity and project"
            ) from None
        # The client keeps here what the server answered.
        found = {name: os.environ.get(name) for name in _LOCATION}
    path = f"{found['WANDB_ENTITY'] or entity or ''}/{found['WANDB_PROJECT'] or chosen or ''}/{sweep_id}"
    lines = printed.getvalue().splitlines()
    url = next((line.partition(": ")[2].strip() for line in lines if line.startswith("Sweep URL")), "")
    return CreatedSweep(path=path, url=url, warnings=_violations(lines))


def set_sweep_state(path: str, command: str) -> None:
    """Ask W&B to pause, resume, stop or cancel a sweep, for all of its agents.

    It is `wandb sweep --COMMAND`, in a process of its own.

    Raises:
        TrackingError: The server refuses; its reason is given.
    """
    if command not in _COMMANDS:
        raise ValueError(f"command must be one of {_COMMANDS}, got {command!r}")
    require_wandb(f"--{command}")
    call = [sys.executable, "-m", "wandb", "sweep", f"--{command}", path]
    try:
        done = subprocess.run(
            call, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_STATE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TrackingError(f"{path}: W&B did not answer within {_STATE_TIMEOUT_S} s; try --{command} again") from None
    if done.returncode:
        lines = [line.removeprefix("wandb: ERROR ").strip() for line in (done.stderr + done.stdout).splitlines()]
        got = next((line for line in reversed(lines) if line), f"exit code {done.returncode}")
        raise TrackingError(f"{path}: W&B must take --{command}, got: {without_keys(got)}")


def _violations(lines: list[str]) -> tuple[str, ...]:
    """Return what the client printed of the server's doubts: `Violation 1. …`."""
    found = (re.search(r"Violation \d+\. (.+)", line) for line in lines)
    return tuple(f"W&B says of the configuration: {match[1].strip()}" for match in found if match)


@contextlib.contextmanager
def _captured_output() -> Iterator[io.StringIO]:
    """Take in what the client prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed


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
