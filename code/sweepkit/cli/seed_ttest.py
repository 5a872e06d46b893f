"""`seed_ttest.py`: t tests between groups of runs of a sweep, of result folders, or of a CSV."""

from collections.abc import Sequence
from dataclasses import replace

from sweepkit.cli.comparison_options import parse_ttest
from sweepkit.cli.guard import guarded
from sweepkit.compare.options import TTestOptions


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return test(parse_ttest(argv, output_dir=None))


def test(options: TTestOptions) -> int:
    """Compare groups of runs; return the exit code."""
    from sweepkit.compare.report import make_report, show, write_files
    from sweepkit.sources.ttest_groups import read_groups

    trainings, metric, goal, notes = read_groups(options)
    statistics = replace(options.statistics, goal=goal)
    report = make_report(trainings, statistics, metric=metric, notes=notes, noun=options.by or "model")
    written = [] if options.save is None else write_files(report, options.save)
    show(report, written, as_json=options.json)
    return 0
