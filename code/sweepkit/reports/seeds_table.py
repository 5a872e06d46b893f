"""The table of a sweep whose configurations have several runs: a line for each of them, best mean first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.replicates import SeedRuns, seed_runs
from sweepkit.model.configurations import Configuration
from sweepkit.model.records import RunRecord
from sweepkit.model.seeds import is_seed, seed_of_run, without_seeds
from sweepkit.reports.table import as_rich, parameter_names, short
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.nested_tables import flattened

if TYPE_CHECKING:
    from rich.table import Table

_MOST = 30  # lines of a table in a terminal


def sweep_rich(spec: SweepSpec, runs: Sequence[RunRecord]) -> "tuple[Table, int]":
    """Return the table of a sweep for a terminal, and how many lines it leaves out: of configurations, else of runs."""
    found = seed_runs(spec, runs)
    if found:
        return _seeds_rich(spec, found), max(0, len(found) - _MOST)
    return as_rich(spec, runs, limit=_MOST), max(0, len(runs) - _MOST)


def _seeds_rich(spec: SweepSpec, found: Sequence[SeedRuns]) -> "Table":
    """Return the table for a terminal, at most `_MOST` configurations."""
    from rich.table import Table

    from sweepkit.reports.terminal import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("configuration", justify="right")
    table.add_column("seeds", justify="right", no_wrap=True)
    for metric in spec.objectives:
        table.add_column(f"mean {metric.name}", justify="right", no_wrap=True)
    table.add_column("sd", justify="right", no_wrap=True)
    first, seed = [item.runs[0] for item in found], spec.extensions.seed_parameter
    names = parameter_names(first, lambda name: is_seed(name, seed))
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    seeds = spec.extensions.seeds_per_run
    for item in found[:_MOST]:
        flat = flattened(item.runs[0].params)
        means = [] if item.worth is None else [f"{value:.5g}" for value in item.worth.values]
        counted = 0 if item.worth is None else len(item.worth.runs)
        table.add_row(
            str(item.number),
            f"{counted}/{len(seeds.seeds)}" if seeds is not None else str(counted),
            *(means or [""] * len(spec.objectives)),
            "" if item.sd is None else f"{item.sd:.2g}",
            *(short(flat[name]) if name in flat else "" for name in names),
            "" if item.seconds is None else f"{item.seconds:.1f}",
            plain(item.note),
        )
    return table


def best_in_words(spec: SweepSpec, runs: Sequence[RunRecord], best: Configuration[RunRecord]) -> str:
    """Return what the best configuration is worth, and what that is: a single run, or a mean over its seeds.

    Args:
        spec: The sweep, of one metric.
        runs: All of its runs.
        best: The best of them (`analysis.ranking.best_configuration`).
    """
    assert spec.metric is not None, "of several metrics there is a front"
    if not best.several:
        return f"run {best.first.run_id}, {spec.metric.name} = {best.values[0]:.5g}"
    item = next(item for item in seed_runs(spec, runs) if item.worth == best)
    spread = "" if item.sd is None else f", sd {item.sd:.2g}"
    count = f"{len(best.runs)} seed{'s' if len(best.runs) != 1 else ''}"
    return f"configuration {item.number}, mean {spec.metric.name} = {best.values[0]:.5g} over {count}{spread}"


def best_parameters(spec: SweepSpec, best: Configuration[RunRecord]) -> dict[str, Any]:
    """Return the best configuration as people are shown it: without the seed where it has several."""
    return without_seeds(best.first.params, spec.extensions.seed_parameter) if best.several else dict(best.first.params)


def best_row(spec: SweepSpec, runs: Sequence[RunRecord], best: Configuration[RunRecord]) -> dict[str, Any]:
    """Return what `--json` adds to the best run: its configuration's mean and seeds; {} of runs with one seed each."""
    if not best.several:
        return {}
    item = next(one for one in seed_runs(spec, runs) if one.worth == best)
    name = spec.extensions.seed_parameter
    seeds = [
        {"seed": seed_of_run(run, name), "run_id": run.run_id, "value": values[0]}
        for run, values in zip(best.runs, best.each, strict=True)
    ]
    mean = {"value": best.values[0]} if spec.metric is not None else {}
    return {**mean, "configuration": item.number, "sd": item.sd, "seeds": seeds}
