"""The 18 distributions of a W&B sweep parameter, as values. No clock, no files, no randomness.

Field meanings are W&B's (`sweeps` 0.3.0, config schema): see `Distribution`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The name of a distribution, as W&B spells it."""

    CONSTANT = "constant"
    CATEGORICAL = "categorical"
    CATEGORICAL_W_PROBABILITIES = "categorical_w_probabilities"
    INT_UNIFORM = "int_uniform"
    UNIFORM = "uniform"
    Q_UNIFORM = "q_uniform"
    LOG_UNIFORM = "log_uniform"
    LOG_UNIFORM_VALUES = "log_uniform_values"
    Q_LOG_UNIFORM = "q_log_uniform"
    Q_LOG_UNIFORM_VALUES = "q_log_uniform_values"
    INV_LOG_UNIFORM = "inv_log_uniform"
    INV_LOG_UNIFORM_VALUES = "inv_log_uniform_values"
    NORMAL = "normal"
    Q_NORMAL = "q_normal"
    LOG_NORMAL = "log_normal"
    Q_LOG_NORMAL = "q_log_normal"
    BETA = "beta"
    Q_BETA = "q_beta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One distribution with the fields that its kind uses; the others stay None or empty.

    Args:
        kind: Which distribution.
        values: The choices; one element for `constant`. Any YAML value, lists and dicts too.
        probabilities: As long as `values`, summing to 1; only `categorical_w_probabilities`.
        min: Lower bound. For `log_uniform`, `q_log_uniform`, `inv_log_uniform` it is an exponent, base e.
        max: Upper bound, inclusive; same units as `min`.
        q: Step of the `q_*` kinds; W&B's default is the float 1.0. An int `q` gives int values.
        mu: Mean of the (log-)normal kinds, 0 by default there.
        sigma: Standard deviation of those, 1 by default there, >= 0.
        a: First shape of the beta kinds, > 0.
        b: Second shape of the beta kinds, > 0.
    """

    kind: Kind
    values: tuple[Any, ...] = ()
    probabilities: tuple[float, ...] | None = None
    min: float | int | None = None
    max: float | int | None = None
    q: float | int | None = None
    mu: float | None = None
    sigma: float | None = None
    a: float | None = None
    b: float | None = None
