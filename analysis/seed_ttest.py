"""t tests between groups of runs: of a sweep by a parameter, of result folders by model, of a CSV by a column.

python analysis/seed_ttest.py --sweep first_sweep --by learning_rate
python analysis/seed_ttest.py --results 'outputs/*_seed*'
"""

from sweepkit.cli.seed_ttest import main

if __name__ == "__main__":
    raise SystemExit(main())
