"""The best configurations of a sweep predict together, against the single best, on the hold-out set.

python analysis/ensemble.py first_sweep
python analysis/ensemble.py image_sweep --top 5
"""

from sweepkit.cli.ensemble import main

if __name__ == "__main__":
    raise SystemExit(main())
