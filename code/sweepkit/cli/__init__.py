"""The command lines: argparse and `main`, nothing else."""
