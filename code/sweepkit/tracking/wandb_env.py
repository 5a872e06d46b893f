"""How an unmodified W&B script gets its parameters: an environment and a parameter file, as `wandb agent` gives them.

`wandb.init()` reads WANDB_SWEEP_PARAM_PATH, takes the parameters into `wandb.config` and locks them there. It works
offline and without any server. WANDB_SWEEP_ID is our own id of the sweep, so that scripts which build a path of it run
as under W&B's agent. No server knows it: `wandb sync` of such a folder fails (wandb/wandb#8115), while `--push` sends
files of its own, without it. `sweepkit.wandb.sweep_id: false` leaves it out.

Knows nothing of processes: who starts one merges this environment over its own, without FOREIGN_VARIABLES.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweepkit.environ import ASKED_ENV
from sweepkit.errors import TrackingError
from sweepkit.files import write_atomically
from sweepkit.tracking.run_card import RunCard
from sweepkit.tracking.wandb_hook import NOTES_ENV

# What must not reach a run from the environment of the agent: each ties the run to another run, sweep or service.
FOREIGN_VARIABLES = frozenset(
    {
        "WANDB_SWEEP_ID",
        "WANDB_SWEEP_PARAM_PATH",
        "WANDB_RUN_ID",
        "WANDB_RUN_GROUP",
        "WANDB_RESUME",
        "WANDB_RESUME_FROM",
        "WANDB_RESUMED",
        "WANDB_FORK_FROM",
        "WANDB_SERVICE",
    }
)
_STARTUP = os.fspath(Path(__file__).with_name("startup"))
FLUSH_INTERVAL_S = 0.1  # W&B's own is 15 s: too late to stop a run by; 0.1 s costs one small write per logged row


def wandb_environment(
    card: RunCard,
    *,
    param_path: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    mode: str | None = None,
) -> dict[str, str]:
    """Return the variables that make `wandb.init()` of an unmodified script join this sweep.

    Args:
        card: How the run appears.
        param_path: The file of `write_parameters`.
        directory: Where W&B makes its `wandb` folder. When it cannot, W&B silently takes the temporary folder
            instead, where no WandbTail searches.
        mode: "disabled" makes `wandb.init()` record nothing; "offline" has our trainer record its run whatever its
            configuration says; None leaves that to the programs.
    """
    variables = {
        "WANDB_MODE": "disabled" if mode == "disabled" else "offline",
        "WANDB_SWEEP_PARAM_PATH": os.fspath(param_path),
        "WANDB_RUN_ID": card.run_id,
        "WANDB_RUN_GROUP": card.group,
        "WANDB_DIR": os.fspath(directory),
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": str(FLUSH_INTERVAL_S),
        "WANDB_ERROR_REPORTING": "false",  # W&B reports its own errors over the network even when offline
    }
    optional = {
        # Of what a sweep's agent does by WANDB_SWEEP_ID this is the half that leaves no trace in the run's record.
        "WANDB_LAUNCH": "true" if card.project and not card.sweep_id else "",
        "WANDB_SWEEP_ID": card.sweep_id,
        "WANDB_PROJECT": card.project,
        "WANDB_ENTITY": card.entity,
        "WANDB_NAME": card.name,
        "WANDB_JOB_TYPE": card.job_type,
        "WANDB_TAGS": ",".join(card.tags),
        ASKED_ENV: "offline" if mode == "offline" else "",
    }
    return variables | {key: value for key, value in optional.items() if value}


def hook_environment(notes: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which every Python process of an attempt installs `wandb_hook`.

    Args:
        notes: The file in which they note where W&B's client writes.
        environ: The attempt's environment so far; its own PYTHONPATH follows ours.
    """
    path = os.pathsep.join(filter(None, (_STARTUP, environ.get("PYTHONPATH"))))
    return {NOTES_ENV: os.fspath(notes), "PYTHONPATH": path}


def write_parameters(path: str | os.PathLike[str], params: Mapping[str, Any], *, comment: str = "") -> None:
    """Write a run's parameters as W&B's agent does (`wandb_version: 1`, then `name: {value: …}`), in one step.

    Args:
        path: The file; replaced as a whole, so a reader sees all of it or none.
        params: Nested parameters: None, booleans, numbers (NaN and infinities too), strings, lists and mappings.
        comment: One line that nobody but a reader sees.

    Raises:
        TrackingError: A parameter has no YAML form, or the file cannot be written.
    """
    text = (f"# {comment}\n" if comment else "") + parameters_text(params)
    try:
        write_atomically(Path(path), text)
    except OSError as error:
        rule = f"{os.fspath(path)}: the parameters of a run must be written to a file"
        raise TrackingError(f"{rule}, got {error.strerror}") from error


def parameters_text(params: Mapping[str, Any]) -> str:
    """Return the text of a W&B parameter file: YAML 1.1, as W&B reads it, with every value in JSON's flow style.

    >>> print(parameters_text({"lr": 1e-05, "opt": {"name": "adam"}, "warmup": None}), end="")
    wandb_version: 1
    "lr": {"value": 1.0e-05}
    "opt": {"value": {"name": "adam"}}
    "warmup": {"value": null}

    Raises:
        TrackingError: A parameter has no YAML form.
    """
    lines = ["wandb_version: 1\n"]
    for name, value in params.items():
        if name == "wandb_version":
            raise TrackingError("wandb_version: a parameter must not have W&B's own name; rename it")
        lines.append(f'{_string(name)}: {{"value": {_emit(value, name)}}}\n')
    return "".join(lines)


# What PyYAML refuses to see in the raw (controls, surrogates, byte order marks) or folds into a space (line breaks).
_UNSAFE = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def _string(value: str) -> str:
    # JSON's own escapes are YAML's, but its surrogate pairs are not: so the text stays raw where YAML allows it.
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(value, ensure_ascii=False))


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = float.__repr__(value)
    # YAML 1.1 takes 1e-05 for a string: the dot is what makes it a number.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _emit(value: Any, where: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(str(value))
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict | Mapping):  # dict first: the abstract class is slow to ask
        inner = (f"{_key(key, where)}: {_emit(item, f'{where}.{key}')}" for key, item in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_emit(item, f"{where}[{index}]") for index, item in enumerate(value)) + "]"
    rule = f"{where}: a parameter must be made of null, booleans, numbers, strings, lists and mappings"
    raise TrackingError(f"{rule}, got {value!r} ({type(value).__name__})")


def _key(key: Any, where: str) -> str:
    if key is None or isinstance(key, str | bool | int | float):
        return _emit(key, where)
    raise TrackingError(f"{where}: a key must be a string, a number, a boolean or null, got {key!r}")
