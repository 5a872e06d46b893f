"""sweepkit: Weights & Biases sweeps on your own machines, with no account and no network.

This package knows nothing about the working directory: every path comes from `sweepkit.paths`.
"""

__version__ = "0.1.0"
