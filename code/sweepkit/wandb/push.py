"""`sweep_runner.py --push NAME`: send a recorded sweep to a W&B server; what is there already is not sent again."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from sweepkit.agents.control import find_sweep_record
from sweepkit.errors import TrackingError
from sweepkit.model.records import SweepRecord
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import open_recorded, storage_of
from sweepkit.sweep_config.read import read_recorded
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.shown import say
from sweepkit.wandb.upload_client import Uploading, stdout_line, target_of


def push(options: RunOptions, name: str) -> int:
    """Send the recorded sweep of a name; return the exit code: 0 all sent, 1 something is left, 130 interrupted.

    Raises:
        SweepKitError: There is no such sweep, no key, the server refuses it or does not answer.
    """
    storage = storage_of(options)
    with open_recorded(storage) as store:
        sweep = find_sweep_record(store, name)
    uploading = Uploading(lambda text: say(text, file=sys.stderr))
    try:
        access = uploading.access("--push")
        if access["access"] != "granted":
            raise TrackingError(f"--push {sweep.name}: {access['text']}; run the same command again later")
        uploading.go(
            storage=storage,
            output_dir=os.path.abspath(options.output_dir),
            sweeps=[{"name": sweep.name, **target_of(_spec(sweep), os.environ)}],
            live=False,
        )
        end = uploading.finish(options.wandb_wait, hurried=lambda: False)
        return _report(options, sweep, end, access["server"])
    finally:
        uploading.close()


def _spec(sweep: SweepRecord) -> SweepSpec:
    return read_recorded(sweep, directory=sweep.meta.get("directory") or "")


def _report(options: RunOptions, sweep: SweepRecord, end: Mapping[str, Any], server: str) -> int:
    """Print what came of it; return the exit code."""
    counts = end["sweeps"].get(sweep.name, {"sent": 0, "unsent": [], "alive": 0})
    left = len(counts["unsent"])
    if options.json:
        stdout_line({"event": "push", "sweep": sweep.name, "server": server, **counts, "reason": end["reason"]})
    else:
        runs = "run is" if counts["sent"] == 1 else "runs are"
        say(f"{sweep.name}: {counts['sent']} {runs} at {server}" + (f", {left} not yet" if left else ""))
        if counts["alive"]:
            say(f"{counts['alive']} still under way; push again when the sweep has ended")
        if end["reason"]:
            say(f"{end['reason']}; the same command goes on where this one stopped")
    return 1 if left > counts["alive"] or end["reason"] else 0
