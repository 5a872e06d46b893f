"""Print the parity table: each row's program fresh and warm, what differs, and the reasons of the exceptions.

python tools/parity_table.py                      # every row that is not slow
python tools/parity_table.py --all --only torch   # rows whose name holds a word, slow ones too
python tools/parity_table.py --markdown           # the table of docs/warm.md
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity import Outcome

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "agents" / "parity"
SUPPORT = ROOT / "tests" / "support"


def outcomes(modules: list[ModuleType], only: str, every: bool) -> Iterator[tuple[ModuleType, Outcome, float]]:
    """Yield the outcome of each row that is asked for, with its table and its duration in seconds."""
    from parity import Benches

    for module in modules:
        with tempfile.TemporaryDirectory() as folder:
            benches = Benches(Path(folder))
            try:
                for row in module.ROWS:
                    if only in row.name and (every or not row.slow):
                        began = time.perf_counter()
                        yield module, benches.hold(row), time.perf_counter() - began
            finally:
                benches.close()


def in_words(outcome: Outcome) -> str:
    """Return a row of the table of docs/warm.md."""
    row = outcome.row
    reasons = [*row.may_differ.items(), *([("warm start", row.cold)] if row.cold else [])]
    equal = "no: " + ", ".join(key for key, _, _ in outcome.differences) if outcome.differences else "yes"
    exceptions = "; ".join(f"{key}: {reason}" for key, reason in reasons)
    return f"| {row.name.replace('|', '/')} | {equal} | {outcome.ways[-1]} | {exceptions} |"


def main() -> int:
    """Print the table; return 1 when a row differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="rows whose name holds this")
    options.add_argument("--table", default="", help="the tables whose name holds this: command, ending, ...")
    options.add_argument("--all", action="store_true", help="slow rows too")
    options.add_argument("--markdown", action="store_true", help="a table for the documentation")
    given = options.parse_args()
    sys.path[:0] = [str(ROOT / "code"), str(SUPPORT), str(TESTS)]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; the rows would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    files = sorted(file for file in TESTS.glob("test_parity_*.py") if given.table in file.stem)
    tables = [module for file in files if hasattr(module := importlib.import_module(file.stem), "ROWS")]
    failed = total = 0
    table = None
    for module, outcome, seconds in outcomes(tables, given.only, given.all):
        if given.markdown and module is not table:
            table = module
            head = (module.__doc__ or "").removeprefix("Warm is fresh: ").rstrip(".")
            print(f"\n### {head.capitalize()}\n\n| row | warm = fresh | ran | exceptions |\n|---|---|---|---|")
        total += 1
        failed += bool(outcome.differences)
        print(in_words(outcome) if given.markdown else f"{outcome} [{seconds:.2f} s]", flush=True)
    print(f"\n{total} rows, {failed} differ")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
