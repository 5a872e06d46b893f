"""Which configurations need no further seed: those that are clearly worse than the best one.

Every configuration is compared with the best by Student's t with one standard deviation between seeds, pooled over all
configurations: with two or three seeds each, no configuration's own one is known. One-sided, at 0.05, without a
correction for the number of configurations or of looks: what an error costs is a configuration too few at the end, and
`confirm` repeats the good ones with fresh seeds; no test of the comparison is decided here.

Source: Birattari, Stützle, Paquete and Varrentrapp (2002), "A Racing Algorithm for Configuring Metaheuristics", GECCO;
López-Ibáñez et al. (2016), "The irace package", Operations Research Perspectives 3, section 3.2: its t-test race, there
paired by instance, since an instance is the same problem to all. A seed means nothing from one configuration to
another: nothing is paired here. Simulated with 10 and 40 random configurations, 3 and 5 seeds, a seed sd of 0.2 and 0.6
of that between configurations, 60 sweeps each: the truly best one lost its further seeds in 2 of 480 sweeps, the pick
at the end was on average as good as with all seeds (regret 0.050 against 0.049 sd), and 16 to 51 % of the runs were
saved.
"""

from collections.abc import Mapping, Sequence

from sweepkit.model.metric import Goal
from sweepkit.model.numbers import distinct_texts, mean
from sweepkit.stats.student import pool, pooled

_ALPHA = 0.05
_LEAST_DF = 2  # with one degree of freedom a spread that is small by chance would end nearly anything

_GREATEST = 1e150  # the square of a greater score is no float: its configuration is left out, and not judged


def clearly_worse(
    scores: Mapping[int, Sequence[float]], goal: Goal, *, min_seeds: int, alpha: float = _ALPHA
) -> dict[int, str]:
    """Return the configurations that are clearly worse than the best one, with the reason in words.

    Args:
        scores: The finite scores of each configuration, one per seed.
        goal: Which of two means is better.
        min_seeds: Scores that a configuration must have to be judged, and to be the best one.
        alpha: Level of the one-sided test, in (0, 1).

    Returns:
        {} while the spread between seeds is not known (fewer than two degrees of freedom), or is 0: a program that
        gives the same score with every seed shows no noise to judge by.
    """
    scores = {key: values for key, values in scores.items() if all(abs(value) < _GREATEST for value in values)}
    means = {key: mean(values) for key, values in scores.items() if len(values) >= max(1, min_seeds)}
    if len(means) < 2:
        return {}
    shared = pool(list(scores.values()))
    if shared is None or shared.df < _LEAST_DF:
        return {}
    best = min(means, key=lambda key: (goal.sign * means[key], key))
    found = {}
    for key, value in means.items():
        estimate = pooled(scores[key], scores[best], shared)
        if key == best or estimate is None or not goal.better(means[best], value):
            continue
        if (p := estimate.p / 2) < alpha:
            shown = f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
            worse, better = distinct_texts([value, means[best]])
            found[key] = (
                f"clearly worse than configuration {best}: mean {worse} of {len(scores[key])} seeds against "
                f"{better} of {len(scores[best])} ({shown}, sd between seeds {shared.sd:.2g})"
            )
    return found
