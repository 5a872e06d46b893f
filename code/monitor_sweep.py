"""Watch a sweep: counts, best so far, running runs, time left, failures. Reads the record only.

python monitor_sweep.py first_sweep
python monitor_sweep.py --all --storage postgresql://user@host/sweeps
"""

from sweepkit.cli.monitor_sweep import main

if __name__ == "__main__":
    raise SystemExit(main())
