"""`python -m sweepkit` is the command `sweepkit`."""

from sweepkit.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main(None))
