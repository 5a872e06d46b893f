"""Run a W&B sweep on this machine: no account, no network.

python sweep_runner.py --sweep-config first_sweep
python sweep_runner.py --sweep-config config/sweep/first_sweep.yaml --dry-run
"""

from sweepkit.cli.sweep_runner import main

if __name__ == "__main__":
    raise SystemExit(main())
