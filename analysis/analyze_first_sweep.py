"""What came out of the first sweep: the result table, the best configuration, best against second best, report.html.

python code/sweep_runner.py --sweep-config first_sweep
python analysis/analyze_first_sweep.py
"""

from sweepkit.cli.analyze_sweep import main_first

if __name__ == "__main__":
    raise SystemExit(main_first())
