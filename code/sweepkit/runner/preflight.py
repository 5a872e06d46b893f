"""What the first finished run tells about mistakes that no check of the YAML can find."""

import difflib
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from sweepkit.model.objectives import OUTCOME, RUNTIME
from sweepkit.model.records import RunRecord
from sweepkit.reports.table import dotted
from sweepkit.sweep_config.sweep import SweepSpec


def first_run_warnings(spec: SweepSpec, run: RunRecord, messages: Mapping[str, Any], program: str) -> list[str]:
    """Return one sentence for a metric that was never logged and for each parameter that nothing read.

    Args:
        spec: The sweep.
        run: A run that ended.
        messages: What the program told besides metrics; `_sweepkit_read` lists the parameters that it used.
        program: The program's file; without `_sweepkit_read` a parameter counts as unread when no source file beside
            the program holds its name, so that programs that read by a computed name are not suspected wrongly often.
    """
    warnings = []
    names = sorted(run.last_metrics)
    told_vector = run.outcome.get(OUTCOME, {})
    for metric in spec.objectives:
        if run.history or run.summary is not None or (spec.metrics and metric.name in {*names, *told_vector, RUNTIME}):
            continue
        near = difflib.get_close_matches(metric.name, names, n=1, cutoff=0.5)
        told = f"it logged {', '.join(names)}" if names else "it logged nothing"
        hint = f"; did you mean {near[0]!r}?" if near else ""
        warnings.append(f"metric {metric.name!r} was never logged by run {run.run_id}: {told}{hint}")
    unread = _unread(run, messages, program)
    if unread:
        warnings.append(f"the program never read {', '.join(unread)}: every value of it gives the same run")
    return warnings


def _unread(run: RunRecord, messages: Mapping[str, Any], program: str) -> list[str]:
    """Return the swept parameters that the program did not use, as far as that can be known."""
    told = messages.get("_sweepkit_read")
    flat = dotted(run.params)
    if isinstance(told, list):
        read = set(told)
        return [name for name in flat if name not in read]
    if not program.endswith(".py"):
        return []
    text = sources_of(program)
    if "**" in text and "vars(" in text:
        return []  # it passes all of its arguments on: nothing can be said
    return [name for name in flat if not re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", text)]


def sources_of(program: str | Path) -> str:
    """Return the text of the program and of the modules beside it (64 files at most)."""
    program = Path(program)
    beside = (file for file in sorted(program.parent.glob("*.py")) if file.is_file())  # a named pipe would never end
    files = [program, *islice(beside, 63)]
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in dict.fromkeys(files))
