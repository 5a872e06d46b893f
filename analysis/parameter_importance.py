"""What mattered in a sweep: the share of the metric's variance that hangs on each parameter, and how sure that is.

python analysis/parameter_importance.py first_sweep
python analysis/parameter_importance.py trials.csv --metric value --goal minimize
"""

from sweepkit.cli.parameter_importance import main

if __name__ == "__main__":
    raise SystemExit(main())
