"""Rows of a space as the Gaussian process has them."""

import numpy as np

from sweepkit.search.coding import codings, fixed_values
from sweepkit.search.gp_space import GpSpace


def gp_space(space):
    return GpSpace(space, codings(space), fixed_values(space))


def draws(space, n, seed=0):
    """Return rows drawn from a `GpSpace`, shape (n, p)."""
    return space.draws(np.random.default_rng(seed).random((n, space.width)))
