"""The chance of each configuration to be the best, where seeds were repeated, by the model of the race. Pure."""

from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.configurations import Configuration
from sweepkit.stats.race import Race, Round

_MOST = 12  # configurations that are distinguished; the others lie behind them


def chances(table: RunTable) -> list[tuple[Configuration[Row], float]]:
    """Return the best configurations with their chance to be the best of them, best first.

    Returns:
        [] where nobody can know: there is one configuration, or none was run with two seeds.

    Example:
        >>> [f"{chance:.0%}" for _, chance in chances(table)]                   # doctest: +SKIP
        ['71%', '24%', '5%']
    """
    found = table.configurations()
    if table.metric is None or len(found) < 2 or all(len(item.runs) < 2 for item in found):
        return []
    sign = -table.metric.goal.sign  # the race takes the greater for the better
    shown = found[:_MOST]
    everyone = tuple(tuple(sign * score for score in item.scores) for item in found)
    most = max(len(item.runs) for item in shown)
    race = Race(sweep=tuple(() for _ in shown), rounds=(Round(keep=len(shown), each=most),), everyone=everyone)
    scores = {(at, k): score for at in range(len(shown)) for k, score in enumerate(everyone[at])}
    places = race.standing(scores).places
    return [(shown[place.candidate], place.chance) for place in places if place.chance is not None]
