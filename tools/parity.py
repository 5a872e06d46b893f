"""Print the parity table: each row's program fresh and warm, what differs, and the reasons of the exceptions.

    python tools/parity.py                 # every row that is not slow
    python tools/parity.py --all --only torch   # rows whose name holds a word, slow ones too
    python tools/parity.py --markdown      # the table of docs/warm.md
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "agents" / "parity"
sys.path[:0] = [str(ROOT / "code"), str(ROOT / "tests" / "support"), str(TESTS)]


def outcomes(only: str, every: bool) -> Iterator["object"]:
    """Yield the outcome of each row that is asked for."""
    for file in sorted(TESTS.glob("test_parity_*.py")):
        module = importlib.import_module(file.stem)
        rows = [row for row in getattr(module, "ROWS", ()) if only in row.name and (every or not row.slow)]
        yield from getattr(module, "held", _alone)(rows)


def _alone(rows: list) -> Iterator["object"]:
    from parity import hold_alone

    return map(hold_alone, rows)


def main() -> int:
    """Print the table; return 1 when a row differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="rows whose name holds this")
    options.add_argument("--all", action="store_true", help="slow rows too")
    options.add_argument("--markdown", action="store_true", help="a table for the documentation")
    given = options.parse_args()
    failed = total = 0
    for outcome in outcomes(given.only, given.all):
        total += 1
        failed += bool(outcome.differences)
        print(outcome, flush=True)
    print(f"{total} rows, {failed} differ")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
