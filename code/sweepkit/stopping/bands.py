"""The reports at which hyperband and asha look: W&B's bands.

Source: `sweeps` 0.3.0, `hyperband_stopping.py`.
"""

from itertools import islice
from math import isinf

from sweepkit.errors import SweepKitError
from sweepkit.sweep_config.sweep import EarlyTerminate

_MAX_BANDS = 100  # W&B's


def bands_up_to(rule: EarlyTerminate, longest: int) -> list[int]:
    """Return the bands that a run of `longest` reports has reached, ascending; W&B's duplicates are kept.

    With `max_iter` and `s` they are `max_iter` / eta, / eta**2, … cut to integers, at most `s` and none below 1
    (`max_iter` itself is no band). Otherwise `min_iter`, * eta, * eta**2, …; a `max_iter` without `s` ends these.
    """
    if rule.max_iter is not None and rule.s is not None:
        return [band for band in _counted_down(rule.max_iter, int(rule.s), rule.eta) if band <= longest]
    assert rule.min_iter is not None, "check_bands comes first"
    bands: list[int] = []
    band: float = rule.min_iter
    last = longest if rule.max_iter is None else min(longest, rule.max_iter)
    while len(bands) < _MAX_BANDS and band < last + 1:
        bands.append(int(band))
        band *= rule.eta
    return bands


def check_bands(rule: EarlyTerminate) -> None:
    """Refuse settings that give no band.

    Raises:
        SweepKitError: `min_iter`, or `max_iter` and `s`, are missing; eta is not above 1; or no band is >= 1.
    """
    if not rule.eta > 1:
        raise SweepKitError(f"early_terminate.eta: must be above 1, got {rule.eta}")
    if rule.max_iter is not None and rule.s is not None:
        if not _counted_down(rule.max_iter, int(rule.s), rule.eta):
            raise SweepKitError(
                f"early_terminate: no band is left with max_iter={rule.max_iter}, s={rule.s}, eta={rule.eta:g}; "
                "raise max_iter or s, or lower eta"
            )
    elif rule.min_iter is None:
        raise SweepKitError(
            f"early_terminate: {rule.type} needs min_iter, or max_iter and s, "
            f"got max_iter={rule.max_iter} and s={rule.s}"
        )
    elif rule.min_iter < 1:
        raise SweepKitError(f"early_terminate.min_iter: must be at least 1, got {rule.min_iter}")


def next_band(rule: EarlyTerminate, reports: int) -> int | None:
    """Return the first band after `reports`, None when there is none."""
    if rule.max_iter is not None and rule.s is not None:
        later = (band for band in _counted_down(rule.max_iter, int(rule.s), rule.eta) if band > reports)
        return next(islice(later, 1), None)
    assert rule.min_iter is not None, "check_bands comes first"
    band: float = rule.min_iter
    for _ in range(_MAX_BANDS):
        if isinf(band) or (rule.max_iter is not None and band >= rule.max_iter + 1):
            return None
        if int(band) > reports:
            return int(band)
        band *= rule.eta
    return None


def _counted_down(max_iter: int, s: int, eta: float) -> list[int]:
    bands: list[int] = []
    band: float = max_iter
    for _ in range(s):
        band /= eta
        if band < 1:
            break
        bands.append(int(band))
    return sorted(bands)
