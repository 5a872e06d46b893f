"""sweepkit: Weights & Biases sweeps on your own machines, with no account and no network.

This package knows nothing about the working directory: every path comes from `sweepkit.paths`.
"""

from sweepkit.version import VERSION as __version__

__all__ = ["__version__"]
