"""What the first finished run shows of mistakes that no check of the YAML can find."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from sweepkit.model.objectives import OUTCOME, RUNTIME
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.runner.program_source import ProgramSource
from sweepkit.runner.unread import unread
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.nested_tables import flattened


def first_run_warnings(
    spec: SweepSpec, run: RunRecord, messages: Mapping[str, Any], source: Callable[[], ProgramSource]
) -> list[str]:
    """Return one sentence for a metric that was never logged and for each parameter that nothing read.

    Args:
        spec: The sweep.
        run: A run that ended.
        messages: What the program reported besides metrics; `_sweepkit_read` lists the parameters that it used.
        source: Reads the program's source; without `_sweepkit_read` it shows which parameters nothing can have read.
    """
    warnings = []
    names = sorted(run.last_metrics)
    told_vector = run.outcome.get(OUTCOME, {})
    for metric in spec.objectives:
        # A rule of ours stops by the metric alone; what else was stopped was pruned before it had a value.
        if (
            run.history
            or run.summary is not None
            or run.state is RunState.STOPPED
            or (spec.metrics and metric.name in {*names, *told_vector, RUNTIME})
        ):
            continue
        near = difflib.get_close_matches(metric.name, names, n=1, cutoff=0.5)
        said = f"it logged {', '.join(names)}" if names else "it logged nothing"
        hint = f"; did you mean {near[0]!r}?" if near else ""
        warnings.append(f"metric {metric.name!r} was never logged by run {run.run_id}: {said}{hint}")
    used, parameters = messages.get("_sweepkit_read"), flattened(run.params)
    if isinstance(used, list):
        left = [name for name in parameters if name not in used]
    else:
        left = unread(parameters, source(), spec.command)
    if left:
        warnings.append(f"the program never read {', '.join(left)}: every value of it gives the same run")
    return warnings
