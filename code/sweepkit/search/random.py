"""Random search: independent draws from the distributions, without repeats where the space is finite."""

import hashlib
import random
from collections.abc import Callable, Hashable
from typing import Any

from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.model.space import Space
from sweepkit.search.points import FinitePoints, SeenPoints, flat_key, nested, support_points

_DRAWS = 32  # of a finite space before the point is picked among the unseen ones instead
_MOST_DRAWS = 1000  # of an infinite space some of whose branches are finite


class RandomEngine:
    """Draw each parameter from its distribution, with a generator of its own for every `(seed, number)`.

    In a finite space a draw that was already told is drawn again. After 32 vain draws the point is picked uniformly
    among the unseen ones: with the sorted numbers of the seen points the k-th unseen one is found by bisection, so
    the last point of 10**6 costs as much as the first and no space is ever enumerated. The probabilities of the
    distributions therefore hold for the draws; what they left over is taken with equal ones.

    With conditions every parameter is drawn and the inactive ones are left out, so a parameter's draws do not depend on
    which others are active. What counts as a repeat is the active configuration. An infinite space may have finite
    branches (one optimizer without any setting): there, too, a repeat is drawn again.

    Args:
        space: Any space.
        seed: Seed of the search, >= 0.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._points: FinitePoints | None = support_points(space)
        self._seen = SeenPoints()
        self._seen_keys: set[Hashable] = set()

    def tell(self, run: RunView) -> None:
        """Take the run's point out of a finite space, in any state."""
        if self._points is None:
            if self._space.conditions:
                self._seen_keys.add(flat_key(self._space, run.params))
        else:
            index = self._points.index(run.params)
            if index is not None:
                self._seen.add(index)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose the draw of run `number`."""
        generator = random.Random(derived_seed(self._seed, number))
        reason = f"random draw {number} of seed {self._seed}"
        if self._points is None:
            params = draw_new(self._space, generator, lambda found: flat_key(self._space, found) not in self._seen_keys)
            return Proposal(params=params, reason=reason)
        if len(self._seen) >= self._points.total:
            return Exhausted(reason=f"all {self._points.total} configurations have been proposed")
        for _ in range(_DRAWS):
            params = draw(self._space, generator)
            if (index := self._points.index(params)) is not None and index not in self._seen:
                return Proposal(params=params, reason=reason)
        params = pick_unseen(self._points, self._seen, generator)
        return Proposal(params=params, reason=f"{reason}, one of the few left of {self._points.total}")

    def total(self) -> int | None:
        """Return the number of distinct configurations, None when infinitely many."""
        return None if self._points is None else self._points.total


def draw(space: Space, generator: random.Random) -> dict[str, Any]:
    """Return an independent draw of every active parameter, nested; one uniform number is used for each, active or not.

    So what a parameter gets does not depend on which others are active.
    """
    flat = {parameter.path: parameter.distribution.ppf(generator.random()) for parameter in space.parameters}
    return nested(space, space.prune(flat))


def draw_new(space: Space, generator: random.Random, is_new: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return a draw of an infinite space, with conditions one that is new: its finite branches may be used up.

    After 1000 vain draws the last one is returned, a repeat: what is left has almost no probability.
    """
    for _ in range(_MOST_DRAWS if space.conditions else 1):
        params = draw(space, generator)
        if is_new(params):
            break
    return params


def pick_unseen(points: FinitePoints, seen: SeenPoints, generator: random.Random) -> dict[str, object]:
    """Return a point that is not in `seen`, each with the same chance; there must be one."""
    return points.params(seen.unseen(generator.randrange(points.total - len(seen))))


def derived_seed(seed: int, number: int, attempt: int = 0) -> int:
    """Return a seed in [0, 2**32) of its own for each `(seed, number, attempt)`, the same on every machine."""
    text = f"{seed}:{number}:{attempt}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
