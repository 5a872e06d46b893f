"""`sweep_runner.py`: read a sweep, make or continue its record, run one worker, show the result."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.app.guard import guarded
from sweepkit.app.options import parse
from sweepkit.paths import OUTPUT_DIR

if TYPE_CHECKING:
    from sweepkit.app.plan import Plan


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv, output_dir=OUTPUT_DIR)
    from sweepkit.app.plan import make_plan

    plan = make_plan(options)
    if options.dry_run:
        return _dry_run(options, plan)
    from sweepkit.app.session import Session

    with Session(options, plan, workers=1) as session:
        return session.run()


def _dry_run(options: Namespace, plan: "Plan") -> int:
    from sweepkit.app.dry_run import dry_run, dry_run_text

    report = dry_run(plan, workers=1, sampler=options.sampler, seed=options.seed)
    if options.json:
        sys.stdout.write(json.dumps(report.plain(), ensure_ascii=False) + "\n")
    else:
        print(dry_run_text(report))
    return 0
