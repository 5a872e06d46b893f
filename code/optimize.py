"""Search for the best training configuration with Optuna's samplers: no account, no network.

python optimize.py
python optimize.py --experiment tiny_t5 --n_trials 20 --n-jobs 2
"""

from sweepkit.cli.optimize import main

if __name__ == "__main__":
    raise SystemExit(main())
