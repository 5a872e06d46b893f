"""Whether W&B's package is here, the user has a key, and a server takes it; errors of its client without any key.

The key is found by W&B's client in its own places (WANDB_API_KEY, netrc) and never leaves it. Nobody is ever asked for
one at a terminal: who needs one ends with a message.
"""

import contextlib
import importlib.metadata
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.tracking.wandb_run import wandb_installed

_REFUSED = (401, 403)
_OLDEST = (0, 28)  # the parts of its client that are used here are not all in older ones
_STATUS = re.compile(r"\bHTTP (\d{3})\b")
_KEY = re.compile(r"[A-Za-z0-9_-]{40,}")


class Access(StrEnum):
    """What came of asking a server who we are."""

    GRANTED = "granted"
    NO_KEY = "no key"
    REFUSED = "refused"
    AWAY = "away"  # no answer, or one that says nothing of the key


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessAnswer:
    """What a server answered: `entity` when access is granted, else a text for the user."""

    access: Access
    server: str
    entity: str = ""
    text: str = ""


def require_wandb(what: str) -> Any:
    """Return W&B's package, imported now: half a second.

    Args:
        what: What needs it, as the user knows it.

    Raises:
        TrackingError: It is not installed, or too old.
    """
    if not wandb_installed():
        raise TrackingError(f"{what}: needs the package wandb, got none; install it: pip install wandb")
    version = importlib.metadata.version("wandb")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise TrackingError(
            f"{what}: needs wandb {oldest} or newer to talk to a server, got {version}; pip install -U wandb"
        )
    import wandb

    return wandb


def has_key(server: str, *, keep: bool) -> bool:
    """Return whether W&B's client finds a key for a server.

    Args:
        server: Its URL.
        keep: The key is that of this process from now on.

    Raises:
        wandb.errors.AuthenticationError: It is malformed.
    """
    from wandb.sdk.lib import wbauth

    found = wbauth.authenticate_session(
        host=server, source="sweepkit", no_offline=True, prompt=False, update_session=keep
    )
    return found is not None


def no_key_text(server: str) -> str:
    """Return the text for a user who has no key for a server."""
    return f"needs a key of {server}, got none in WANDB_API_KEY or netrc; set WANDB_API_KEY or run `wandb login` once"


def ask_access(settings: Any, *, timeout_s: float) -> AccessAnswer:
    """Ask a server whose key it is that W&B's client finds.

    Args:
        settings: Those of W&B's client.
        timeout_s: Seconds that the server may take.
    """
    from wandb.apis.public.service_api import ServiceApi
    from wandb.errors import AuthenticationError

    server = str(settings.base_url)
    try:
        if not has_key(server, keep=True):
            return AccessAnswer(access=Access.NO_KEY, server=server, text=no_key_text(server))
    except AuthenticationError as error:
        return _refusal(server, f"the key is malformed: {error}")
    try:
        found = ServiceApi(settings, timeout=timeout_s).authenticate()
    except Exception as error:  # W&B's own, and whatever its service meets
        got = describe_error(error)
        status = http_status(error, got)
        if status in _REFUSED:
            return _refusal(server, f"answer {status}: {got}")
        got = f"answer {status}: {got}" if status else f"no answer in {timeout_s:g} s"
        return AccessAnswer(access=Access.AWAY, server=server, text=f"{server} must answer, got: {got}")
    return AccessAnswer(access=Access.GRANTED, server=server, entity=str(found.default_entity))


def _refusal(server: str, got: str) -> AccessAnswer:
    text = f"{server} must accept the API key, got: {got}; set WANDB_API_KEY, or `wandb login` again"
    return AccessAnswer(access=Access.REFUSED, server=server, text=without_keys(text))


def describe_error(error: BaseException) -> str:
    """Return what an error of the client says, on one line and without any key."""
    return without_keys(" ".join(str(error).split()) or type(error).__name__)


def without_keys(text: str) -> str:
    """Return a text without the user's key and what else could be one: 40 letters, digits, "-" and "_" in a row.

    >>> without_keys("no such key: " + 40 * "a")
    'no such key: (a key)'
    """
    key = os.environ.get("WANDB_API_KEY")
    return _KEY.sub("(a key)", text.replace(key, "(a key)") if key else text)


def http_status(error: BaseException | None, text: str) -> int | None:
    """Return the HTTP status behind an error of the client, which may stand in its words only; None without one."""
    while error is not None:
        response = getattr(error, "response", None)
        status = getattr(response, "http_status", None) or getattr(response, "status_code", None)
        if status:
            return int(status)
        error = error.__cause__ or error.__context__
    match = _STATUS.search(text)
    return int(match.group(1)) if match else None


@contextlib.contextmanager
def environment_kept(*names: str) -> Iterator[None]:
    """Undo what the client does to these variables of this process's environment."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
