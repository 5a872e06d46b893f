"""`--notify`: words at the end of a sweep, to a web hook or a command. What goes wrong there never fails the sweep."""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sweepkit.text.json_text import json_text

_HOOK_S = 10.0
_COMMAND_S = 60.0


def notify(target: str, event: Mapping[str, Any]) -> str:
    """Notify somebody how a sweep ended.

    Args:
        target: A web hook (http://…, https://…), which is posted `event` as JSON; else a command of the shell, which
            reads it from its stdin and finds the words in SWEEPKIT_TEXT.
        event: What happened; `text` has it in words, as chats show it.

    Returns:
        What went wrong, "" when nothing did. It names no path of a hook: that is often a secret.
    """
    body = json_text(dict(event))
    if urlsplit(target).scheme in ("http", "https"):
        return _post(target, body)
    return _call(target, body, str(event["text"]))


def _post(url: str, body: str) -> str:
    where = f"--notify: {urlsplit(url).hostname}"
    request = urllib.request.Request(
        url, data=body.encode(), headers={"Content-Type": "application/json", "User-Agent": "sweepkit"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_HOOK_S):
            return ""
    except urllib.error.HTTPError as error:
        return f"{where} answered {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"{where} was not reached: {getattr(error, 'reason', error)}"


def _call(command: str, body: str, text: str) -> str:
    try:
        done = subprocess.run(
            command,
            shell=True,  # it is the user's own line
            input=body,
            env={**os.environ, "SWEEPKIT_TEXT": text},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"--notify: the command was ended after {_COMMAND_S:.0f} s"
    except OSError as error:
        return f"--notify: the command could not be started: {error.strerror or error}"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return f"--notify: the command ended with exit code {done.returncode}: {last}" if done.returncode else ""
