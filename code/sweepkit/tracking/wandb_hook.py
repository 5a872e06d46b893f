"""What W&B's client is given inside a run's processes, whatever the script does to its environment.

A script may delete WANDB_* from the environment of its folds, give `wandb.init` a `dir` of its own, start one run for
each rank, or call `wandb.sweep` and `wandb.agent` itself. From outside none of that can be put right, so four functions
of the client are wrapped once it is imported: `init` stays offline and notes where it writes, `login` asks for no key,
`sweep` and `agent` belong to the sweep that runs already. Nothing else is touched, and without W&B nothing happens.

How it gets there: a fork of the fork server calls `install`; a fresh interpreter finds `startup/sitecustomize.py` by
PYTHONPATH (`wandb_env` sets it), so that programs of other environments and their children have it too. Where that is
impossible (`python -E`, an emptied environment) a run has what W&B's own variables say.

It runs in the program's own interpreter, so it imports the standard library only and takes any Python from 3.9 on.

Notes are lines of JSON, appended whole by any process of the attempt: `{"pid", "rank", "time", "file"}`
before an `init` with a `file` of None, and after it with the path; "" when nobody knows it. A script may remove the
folder that it gave W&B once its run is finished, so what is outside of WANDB_DIR is kept there as well (`kept_at`).
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

NOTES_ENV = "SWEEPKIT_WANDB_NOTES"
_Function = Callable[..., Any]
_MODES = ("offline", "disabled")
_ANSWERED = ("dryrun", *_MODES)  # modes of a script that need no network
_installed: list[str] = []  # the notes' file, the mode and the folder (WANDB_DIR) of the run, once there are any


def install(notes: str | None = None, mode: str | None = None, directory: str | None = None) -> Any:
    """Wrap the client's functions now, or when the client is imported; return who sees to that. Nothing outside a run.

    Args:
        notes: The notes' file; None for the environment's.
        mode: WANDB_MODE as the run was given it; None for the environment's.
        directory: WANDB_DIR as the run was given it; None for the environment's.
    """
    notes = os.environ.get(NOTES_ENV) if notes is None else notes
    if not notes:
        return None
    mode = os.environ.get("WANDB_MODE") if mode is None else mode
    directory = os.environ.get("WANDB_DIR", "") if directory is None else directory
    _installed[:] = [notes, mode if mode in _MODES else "offline", directory]
    module = sys.modules.get("wandb")
    if module is not None:
        _wrap(module)
        return None
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    return finder


class _Finder:
    """Finds W&B's package as everybody else does, and has it wrapped once it is loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the real spec of `wandb`; None of any other module."""
        if name != "wandb":
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec: Any) -> None:
        execute = getattr(spec.loader, "exec_module", None)
        if execute is None:  # a folder of that name, not the package
            return

        def exec_module(module: Any) -> None:
            del spec.loader.exec_module
            execute(module)
            _wrap(module)

        spec.loader.exec_module = exec_module


def _wrap(module: Any) -> None:
    for name, make in (("init", _init), ("login", _login), ("sweep", _sweep), ("agent", _agent)):
        real = getattr(module, name, None)
        if real is None or hasattr(real, "_sweepkit"):
            continue
        wrapped: Any = functools.wraps(real)(make(module, real))
        wrapped._sweepkit = True
        for holder in (module, getattr(module, "sdk", None)):
            if getattr(holder, name, None) is real:
                setattr(holder, name, wrapped)


def _init(module: Any, real: _Function) -> _Function:
    def init(*args: Any, **kwargs: Any) -> Any:
        _stay_offline(module, kwargs)
        note = {"pid": os.getpid(), "rank": _rank(), "time": time.time(), "file": None}
        if _note(note):
            _write_elsewhere(module)
        held: list[tuple[int, str]] = []
        atexit.register(_copy_all, held)  # before the client's handler: so at the exit after that
        run = None
        try:
            run = real(*args, **kwargs)
            return run
        finally:
            if run is not None:
                file = _file_of(run)
                _note({**note, "file": file})
                held.extend(filter(None, [_keep(file)]))

    return init


def _login(_: Any, real: _Function) -> _Function:
    def login(*args: Any, **kwargs: Any) -> bool:
        return True  # no key is needed offline; the real one would check it over the network, and keep it

    return login


def _sweep(_: Any, real: _Function) -> _Function:
    def sweep(sweep: Any = None, *args: Any, **kwargs: Any) -> str:
        own = sweep() if callable(sweep) else sweep
        names = own.get("parameters", {}) if isinstance(own, dict) else {}
        _say("wandb.sweep(): the sweep that runs already is used; this call's own configuration is not")
        missing = sorted(str(name) for name in set(names) - set(_parameters()))
        if missing:
            _say(
                "wandb.sweep(): the parameters "
                + ", ".join(missing)
                + " are not in the YAML of the sweep; add them there"
            )
        return os.environ.get("WANDB_SWEEP_ID") or "sweepkit"

    return sweep


def _agent(module: Any, real: _Function) -> _Function:
    def agent(sweep_id: Any = None, function: _Function | None = None, *args: Any, **kwargs: Any) -> None:
        if function is None:
            raise SystemExit(
                "sweepkit: wandb.agent() without a function cannot run inside a sweep; name the program that it would "
                "start as `program` of the sweep's YAML"
            )
        function()
        if getattr(module, "run", None) is not None:
            module.finish()
        # What follows is for the end of a sweep (the best run, the next sweep), and this was one run of it.
        _say("wandb.agent(): its function has returned, so this run ends here")
        raise SystemExit(0)

    return agent


def _stay_offline(module: Any, kwargs: dict[str, Any]) -> None:
    """Let the client stay offline: by its variable, which a script may have deleted, and by what it is called with."""
    mode = _installed[1]
    if os.environ.get("WANDB_MODE") not in _ANSWERED:
        os.environ["WANDB_MODE"] = mode
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    settings = kwargs.get("settings")
    if kwargs.get("mode") not in (None, *_ANSWERED):
        kwargs["mode"] = mode
    elif isinstance(settings, dict):
        if settings.get("mode") not in (None, *_ANSWERED):
            kwargs["settings"] = {**settings, "mode": mode}
    elif getattr(settings, "mode", None) not in (None, *_ANSWERED) and "mode" in _given(settings):
        kwargs["mode"] = mode
    try:  # what the client read before, or was told by `wandb.setup`
        if kwargs.get("mode") is None and module.sdk.wandb_setup.singleton().settings.mode not in _ANSWERED:
            kwargs["mode"] = mode
    except Exception:  # another version of the client
        pass


def _given(settings: Any) -> Any:
    """Return the names that a Settings object was given; all of them where it does not tell."""
    return getattr(settings, "model_fields_set", ("mode",))


def _write_elsewhere(module: Any) -> None:
    """Keep this process's files apart: another one of the same run may begin in the same second."""
    try:
        module.sdk.wandb_setup.singleton().settings.x_sync_dir_suffix = str(os.getpid())
    except Exception:  # another version of the client: its folders have random parts or collide as they always did
        pass


def kept_at(directory: str, file: str) -> str:
    """Return where in WANDB_DIR a run's file is kept that W&B's client writes elsewhere.

    Example:
        >>> kept_at("/out", "/tmp/a/wandb/offline-run-1-x/run-x.wandb")
        '/out/wandb/offline-run-1-x/run-x.wandb'
    """
    folder, name = os.path.split(file)
    return os.path.join(directory, "wandb", os.path.basename(folder), name)


def _keep(file: str | None) -> tuple[int, str] | None:
    """Keep a run's file that lies outside of WANDB_DIR, by a link; return what must be copied in the end instead.

    Returns:
        Its descriptor and where it is to be, when that is another disk.
    """
    directory = os.path.abspath(_installed[2]) if _installed[2] else ""
    if not file or not directory or file.startswith(os.path.join(directory, "")):
        return None
    kept = kept_at(directory, file)
    try:
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        try:
            os.link(file, kept)
        except OSError:
            return os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)), kept
    except OSError:  # no room, or the client has not made it
        pass
    return None


def _copy_all(held: list[tuple[int, str]]) -> None:
    for one in held:
        _copy(*one)


def _copy(descriptor: int, kept: str) -> None:
    """Copy a file that the script may have removed."""
    try:
        with open(descriptor, "rb") as file, open(kept, "wb") as copy:
            shutil.copyfileobj(file, copy)
    except OSError:  # no room, or the program has closed every descriptor
        pass


def _file_of(run: Any) -> str | None:
    try:
        if getattr(run, "disabled", False):
            return None
        return os.path.abspath(str(run.settings.sync_file))
    except Exception:
        return ""  # it writes somewhere


def _rank() -> int:
    """Return the rank of this process, 0 outside a distributed program."""
    distributed = sys.modules.get("torch.distributed")
    try:
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank())
        if int(os.environ.get("WORLD_SIZE") or 1) > 1:
            return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)
    except Exception:
        pass
    return 0


def _note(note: dict[str, Any]) -> bool:
    """Append a note; return whether another process had noted something before."""
    line = (json.dumps(note) + "\n").encode()
    try:
        descriptor = os.open(_installed[0], os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            os.write(descriptor, line)
            with open(_installed[0], "rb") as file:
                lines = file.read().splitlines()
        finally:
            os.close(descriptor)
        return any(json.loads(known)["pid"] != note["pid"] for known in lines)
    except (OSError, ValueError):
        return False


def _parameters() -> list[str]:
    """Return the names of this run's parameters, as W&B's parameter file has them: JSON strings before a colon."""
    try:
        with open(os.environ["WANDB_SWEEP_PARAM_PATH"], encoding="utf-8") as file:
            return [json.JSONDecoder().raw_decode(line)[0] for line in file if line.startswith('"')]
    except (KeyError, OSError, ValueError):
        return []


def _say(text: str) -> None:
    sys.stderr.write("sweepkit: " + text + "\n")
