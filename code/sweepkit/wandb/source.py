"""A sweep on a W&B server as the table that the analysis scripts read: `wandb:ENTITY/PROJECT/ID` or its page's URL."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweepkit.errors import DataError, SpecError, TrackingError
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.analysis.table import RunTable
    from sweepkit.model.records import RunRecord
    from sweepkit.model.space import Parameter
    from sweepkit.sweep_config.sweep import SweepSpec
    from sweepkit.wandb.reader import FetchedSweep

_PREFIX = "wandb:"
_SHOWN = 20  # names of metrics in a message
_PLACE = "parameter"  # under this name a parameter is read whose own name our YAML refuses


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbTable:
    """What the analysis needs of a W&B sweep.

    Args:
        sweep: As it was read from the server.
        table: Its runs.
        spec: Its YAML; None where it is one that W&B takes and this toolkit does not.
    """

    sweep: "FetchedSweep"
    table: "RunTable"
    spec: "SweepSpec | None"

    @property
    def runs(self) -> "Sequence[RunRecord]":
        """Return its runs as records."""
        return self.sweep.runs


def is_wandb(text: str) -> bool:
    """Return whether a source names a W&B sweep: by its prefix or as a URL.

    >>> is_wandb("wandb:team/project/ab12"), is_wandb("https://wandb.ai/team/p/sweeps/ab12"), is_wandb("first_sweep")
    (True, True, False)
    """
    return text.startswith((_PREFIX, "https://", "http://"))


def read_wandb(text: str, *, metric: str | None = None, goal: str | None = None) -> WandbTable:
    """Return a sweep of a W&B server as a table. What should be known of it goes to stderr.

    Args:
        text: `wandb:` and entity/project/id, or the URL of the sweep's page.
        metric: What to analyse instead of what the sweep optimizes: any name that its runs logged.
        goal: Its direction, "minimize" or "maximize"; a metric of the sweep has its own.

    Raises:
        TrackingError: There is no such sweep, or the server cannot be read.
        DataError: No run logged that metric.
    """
    from sweepkit.analysis.table import from_runs
    from sweepkit.wandb.reader import fetch_sweep

    if sys.stderr.isatty():
        say(f"reading {text.removeprefix(_PREFIX)} from W&B …", file=sys.stderr)
    sweep = fetch_sweep(text.removeprefix(_PREFIX), metric=metric, goal=goal)
    if metric is not None:
        check_metric(sweep, metric)
    spec, refused = spec_of(sweep)
    for note in _notes(sweep, refused):
        say(f"note: {note}", file=sys.stderr)
    shown = _with_metric(spec, sweep, chosen=metric is not None or goal is not None)
    return WandbTable(sweep=sweep, table=from_runs(shown, sweep.runs), spec=None if refused else shown)


def spec_of(sweep: "FetchedSweep") -> "tuple[SweepSpec, str]":
    """Return a sweep's YAML as ours, and what of it is refused, "" when nothing is: W&B only warns of such things.

    Of a YAML that cannot be read whole the method, the metric and every parameter that can be read by itself count.
    """
    from sweepkit.model.space import Space
    from sweepkit.sweep_config.read import from_config
    from sweepkit.sweep_config.sweep import Method, SweepSpec

    try:
        return replace(from_config(sweep.config, default_name=sweep.sweep_id), name=sweep.record.name), ""
    except SpecError as error:
        refused = str(error.problems[0])
    method = sweep.config.get("method")
    tree = sweep.config.get("parameters")
    found = _parameters(tree) if isinstance(tree, Mapping) else []
    return (
        SweepSpec(
            name=sweep.record.name,
            method=Method(method) if method in tuple(Method) else Method.CUSTOM,
            space=Space(parameters=tuple(sorted(found, key=lambda parameter: parameter.path))),
            text=sweep.record.text,
        ),
        refused,
    )


def _parameters(tree: Mapping[str, Any]) -> "list[Parameter]":
    """Return the parameters of a tree that can be read one by one, whatever their names are."""
    from sweepkit.sweep_config.read import from_config

    found: list[Parameter] = []
    for name, given in tree.items():
        inner = given.get("parameters") if isinstance(given, Mapping) else None
        if isinstance(inner, Mapping):
            found += [replace(item, path=(str(name), *item.path)) for item in _parameters(inner)]
            continue
        try:
            spec = from_config({"method": "random", "program": "-", "parameters": {_PLACE: given}})
        except SpecError:
            continue  # its column then is made of what the runs have
        found += [replace(item, path=(str(name), *item.path[1:])) for item in spec.space.parameters]
    return found


def _with_metric(spec: "SweepSpec", sweep: "FetchedSweep", *, chosen: bool) -> "SweepSpec":
    """Return the sweep with the metric whose history its runs carry."""
    from sweepkit.model.metric import Goal, Metric

    if sweep.record.metric is None or not (chosen or (spec.metric is None and not spec.metrics)):
        return spec
    metric = Metric(name=sweep.record.metric, goal=Goal(sweep.record.goal or Goal.MINIMIZE))
    others = tuple(other for other in spec.metrics if other.name != metric.name)
    kept = (metric, *others) if len(others) < len(spec.metrics) and others else ()
    return replace(spec, metric=metric, metrics=kept)


def check_metric(sweep: "FetchedSweep", metric: str) -> None:
    """Refuse a metric that no run logged, when runs logged others.

    Raises:
        DataError: It is such a metric.
    """
    known = sorted({name for run in sweep.runs for name in run.last_metrics})
    if known and metric not in known:
        from sweepkit.sweep_config.fields import suggestion

        more = ", …" if len(known) > _SHOWN else ""
        hint = suggestion(metric, known) or f"they logged {', '.join(known[:_SHOWN])}{more}"
        raise DataError(f"--metric: must be a name that runs of {sweep.path} logged, got {metric!r}; {hint}")


def _notes(sweep: "FetchedSweep", refused: str) -> list[str]:
    notes = []
    if refused:
        notes.append(
            f"W&B took this sweep's YAML with a warning, this toolkit would refuse it ({refused}): a parameter that "
            "cannot be read has the bounds that its runs show"
        )
    ended = [run for run in sweep.runs if run.state.done]
    without = [run for run in ended if not run.history and run.summary is None]
    metric = sweep.record.metric
    if metric is not None and without:
        notes.append(f"{len(without)} of {len(ended)} runs that ended never logged {metric}: they have no value, not 0")
    return notes


def check_options(*, storage: str | None) -> None:
    """Refuse what makes no sense for a W&B sweep.

    Raises:
        TrackingError: Such an option was given.
    """
    if storage is not None:
        raise TrackingError(
            "--storage: is for a sweep of our own record, got a W&B sweep, which is read from its server; leave it out"
        )
