"""The result file of a run, and what is the same in all of them: versions, commit, host."""

import contextlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweepkit.agents.identity import host_name
from sweepkit.agents.package_query import version_of
from sweepkit.environ import CARRY_FILES_ENV
from sweepkit.files import last_bytes, write_atomically
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import counted_metrics
from sweepkit.model.records import RunRecord
from sweepkit.paths import SweepPaths
from sweepkit.text.json_text import json_text
from sweepkit.text.nested_tables import flattened
from sweepkit.version import VERSION

# Kinds of files that the record carries from hosts that share no folder; a log's is followed by its attempt.
RESULT_FILE, LOG_FILE = "result", "log"
_KEPT_LOG_BYTES = 256 << 10
_LOG_TAIL_BYTES = 16_384
_SEARCHED_BYTES = 1 << 20  # of a log, for the traceback of an exception with a long message
_TRACEBACK = b"Traceback (most recent call last):"
_PACKAGES = ("torch", "transformers", "peft", "wandb", "optuna", "numpy")


def describe_surroundings(folder: str) -> dict[str, Any]:
    """Return the versions, commit, host and code that every result of an agent carries.

    Args:
        folder: Where the program lies; its git commit is recorded, None outside a repository. A copy that the record
            brought is in none, whatever its cache lies in, and named by its digest.
    """
    versions = {"python": sys.version.split()[0], "sweepkit": VERSION}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = version_of(package)
    code = os.environ.get(CARRY_FILES_ENV) or None
    commit = None if code else _commit(folder)
    return {"package_versions": versions, "git_commit": commit, "code_hash": code, "host": host_name()}


def _commit(folder: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", folder or ".", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def log_tail(path: Path, start: int = 0) -> str:
    """Return the last 16 KiB of a log, of what was written after byte `start`; "" when there is none.

    When an exception's message is longer than that, its traceback's end and the message's beginning stand before it.
    """
    tail = last_bytes(path, _LOG_TAIL_BYTES, start=start)
    if len(tail) == _LOG_TAIL_BYTES and _TRACEBACK not in tail:
        tail = _beginning_of_exception(last_bytes(path, _SEARCHED_BYTES, start=start)) + tail
    return tail.decode("utf-8", "replace")


def carried_files(paths: SweepPaths, run: RunRecord, attempt_id: str) -> dict[str, bytes]:
    """Return what the record carries of a run that is done, packed, by name: its result, the end of its log."""
    found = {RESULT_FILE: paths.result(run.run_id).read_bytes()}
    log = paths.log(attempt_id)
    if log.exists():
        found[f"{LOG_FILE} {attempt_id}"] = last_bytes(log, _KEPT_LOG_BYTES)
    return {name: packed(data) for name, data in found.items()}


def attempts_in(result: Path) -> int:
    """Return how many attempts a run had by its result file; 0 without one. A run tried again has a newer file."""
    try:
        return int(json.loads(result.read_bytes())["attempts"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0


def packed(data: bytes) -> bytes:
    """Return a file as the record carries it."""
    return zlib.compress(data)


def unpacked(data: bytes) -> bytes:
    """Return a file as it was before `packed`."""
    return zlib.decompress(data)


def _beginning_of_exception(log: bytes) -> bytes:
    """Return the last lines of the last traceback in a log, and the first of its exception's message; b"" without."""
    at = log.rfind(_TRACEBACK)
    raised = None if at < 0 else re.search(rb"\n(?=[^\s])", log[at:])
    if raised is None:
        return b""
    end = at + raised.start()
    frames = log[max(at, end - 2048) : end]
    frames = frames if frames.startswith(_TRACEBACK) else _TRACEBACK + b"\n" + frames.partition(b"\n")[2]
    return frames + log[end : end + 2048].rpartition(b"\n")[0] + b"\n[...]\n"


def _with_bare_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics by their logged names, and by bare ones where one is meant: that of eval/, else the only one.

    >>> _with_bare_names({"eval/rouge1_f1": 0.4, "train/loss": 2.0, "eval/loss": 1.0})
    {'rouge1_f1': 0.4, 'loss': 1.0, 'eval/rouge1_f1': 0.4, 'train/loss': 2.0, 'eval/loss': 1.0}
    """
    meant: dict[str, list[str]] = {}
    for name in metrics:
        meant.setdefault(name.rpartition("/")[2], []).append(name)
    found = {
        bare: metrics[next((name for name in names if name == f"eval/{bare}"), names[0])]
        for bare, names in meant.items()
        if len(names) == 1 or f"eval/{bare}" in names
    }
    return {**found, **metrics}


# Keys of a result that say a value again, for whoever makes a table of results as they are.
AGAIN = ("sweep_params.", "best_metrics.")


def _flat(params: Mapping[str, Any], best: Mapping[str, float]) -> dict[str, Any]:
    """Return parameters and best metrics once more, each under a key of its own."""
    return {**flattened(params, AGAIN[0]), **{f"{AGAIN[1]}{name}": value for name, value in best.items()}}


def write_result(
    paths: SweepPaths, run: RunRecord, *, seed: int, surroundings: Mapping[str, Any], metric: Metric | None = None
) -> None:
    """Write `run_<id>_result.json` in one step: the whole file or none."""
    best = _with_bare_names(counted_metrics(run, metric))
    result = {
        "run_id": run.run_id,
        "number": run.number,
        "name": run.name,
        "sweep_params": run.params,
        "state": run.state.value,
        "reason": run.reason,
        "best_metrics": best,
        "last_metrics": _with_bare_names(run.last_metrics),
        "logged_metrics": sorted({*run.best_metrics, *run.last_metrics}),
        "summary": run.summary,
        "history_file": _history_file(paths, run),
        "attempts": run.attempts,
        "failures": run.failures,
        "sweep_seed": seed,
        "proposal": run.proposal,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        **surroundings,
        **run.outcome,
        **_flat(run.params, best),
    }
    write_atomically(paths.result(run.run_id), json_text(result, indent=2) + "\n")


def _history_file(paths: SweepPaths, run: RunRecord) -> str | None:
    """Return the file in which the last attempt reported metrics: its reports, else its W&B run; None without either.

    Relative to the sweep's folder.
    """
    attempt_id = f"{run.run_id}-{run.attempts}"
    history = paths.reports(attempt_id)
    logged = paths.wandb_dir(run.run_id, attempt_id).glob("wandb/*run-*/run-*.wandb")
    found = history if history.exists() else max(logged, default=None)
    return None if found is None else os.path.relpath(found, paths.root)
