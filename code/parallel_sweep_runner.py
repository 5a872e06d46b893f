"""Run W&B sweeps on all GPUs of this machine: no account, no network.

python parallel_sweep_runner.py --single-parallel first_sweep
python parallel_sweep_runner.py --sweeps a_sweep b_sweep --gpus 0,1,3
python parallel_sweep_runner.py --join first_sweep --storage postgresql://user@host/sweeps
"""

from sweepkit.cli.parallel_sweep_runner import main

if __name__ == "__main__":
    raise SystemExit(main())
