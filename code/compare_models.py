"""Train models with several seeds each and say which is better, and how sure that is.

python compare_models.py --models kobart kogpt2 t5 --seeds 42 123 456
python compare_models.py --analyze-only 'outputs/*_seed*'
"""

from sweepkit.cli.compare_models import main

if __name__ == "__main__":
    raise SystemExit(main())
