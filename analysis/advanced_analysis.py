"""The figures of a sweep, its five best runs, correlations, and where the time went.

python analysis/advanced_analysis.py first_sweep
python analysis/advanced_analysis.py wandb_export.csv --metric eval/rougeL --parameters lr batch_size
"""

from sweepkit.cli.advanced_analysis import main

if __name__ == "__main__":
    raise SystemExit(main())
