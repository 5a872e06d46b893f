"""What came out of a sweep: the result table, the best configuration, best against second best, and report.html.

python analysis/analyze_sweep.py first_sweep
python analysis/analyze_sweep.py 'optuna:sqlite:///study.db#mine' --json
"""

from sweepkit.cli.analyze_sweep import main

if __name__ == "__main__":
    raise SystemExit(main())
