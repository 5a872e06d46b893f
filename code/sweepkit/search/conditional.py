"""The distinct configurations of a finite space with conditions, counted and numbered without listing them.

A configuration is a tuple of positions on the axes in which every inactive parameter stands at position 0: so there is
exactly one tuple for each set of active values, and it is the one of the full product that comes first. The tuples in
lexicographic order, the last axis fastest, are W&B's grid with every repeated configuration left out.

Positions of an axis that no condition can tell apart form a class; how many ways there are to fill the axes that are
still open depends on the classes of the filled ones only, and only on those that an open condition asks for. These
numbers are computed once (dynamic programming from the last axis to the first) and kept. Rank and unrank then cost one
step for each axis and run of equal positions, whatever the number of configurations. Parameters that no chain of
conditions connects are counted apart and multiplied, so many small families cost no more than one.

A single family so entangled that more than 20,000 combinations must be told apart is refused (`TooEntangled`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from sweepkit.errors import SweepKitError
from sweepkit.model.space import Condition, Path
from sweepkit.search.axes import Axis, axis_length

_MOST_STATES = 20_000


class TooEntangled(SweepKitError):
    """One family of conditions has more combinations than are counted."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Neighbouring positions of one axis, [start, stop), that no condition tells apart.

    Args:
        start, stop: The positions.
        first: They are position 0, where an inactive parameter stands.
        holds: Of each clause that asks for this axis, whether it holds here, in the family's order.
    """

    start: int
    stop: int
    first: bool
    holds: tuple[bool, ...]


# What is known of a filled axis: it stands at position 0, and which clauses hold.
_Class = tuple[bool, tuple[bool, ...]]


class _Family:
    """Axes that conditions connect, or one axis alone, in the order of the space.

    Args:
        axes: The axes.
        conditions: Those of its parameters, parents first.
    """

    def __init__(self, axes: Mapping[Path, Axis], conditions: Sequence[Condition]) -> None:
        self.paths = tuple(axes)
        place = {path: index for index, path in enumerate(self.paths)}
        # A condition as the places of its parents and the number of the clause among those that ask for the parent.
        self._rules: list[tuple[int, list[tuple[int, int]]]] = []
        clauses: dict[Path, list[list[tuple[int, int]]]] = {path: [] for path in self.paths}
        for condition in conditions:
            parents = []
            for clause in condition.clauses:
                parents.append((place[clause.path], len(clauses[clause.path])))
                clauses[clause.path].append(axes[clause.path].where(clause))
            self._rules.append((place[condition.path], parents))
        self.stretches = tuple(_stretches(axis_length(axes[path]), clauses[path]) for path in self.paths)
        self._needed = self._needed_until()
        self._counts: dict[tuple[int, tuple[_Class | None, ...]], int] = {}
        self._checks: dict[int, list[tuple[int, list[int]]]] = {}
        for child, (until, rules) in self._closures().items():
            self._checks.setdefault(until, []).append((child, rules))

    def _closures(self) -> dict[int, tuple[int, list[int]]]:
        """Return by child the last place among it and all of its ancestors, and the rules that decide it, in order."""
        found: dict[int, tuple[int, list[int]]] = {}
        for number, (child, parents) in enumerate(self._rules):
            until, rules = child, []
            for parent, _ in parents:
                above, above_rules = found.get(parent, (parent, []))
                until = max(until, above)
                rules += [rule for rule in above_rules if rule not in rules]
            found[child] = (until, [*rules, number])
        return found

    def _needed_until(self) -> list[int]:
        """Return for each place the last place at which a rule that looks at it is decided; -1 when none does."""
        needed = [-1] * len(self.paths)
        for child, (until, rules) in self._closures().items():
            for number in rules:
                for parent, _ in self._rules[number][1]:
                    needed[parent] = max(needed[parent], until)
            needed[child] = max(needed[child], until)
        return needed

    def count(self, place: int, state: tuple[_Class | None, ...]) -> int:
        """Return in how many ways the axes from `place` on can be filled.

        Args:
            place: The first open axis.
            state: Of each filled axis its class, None where no open rule asks for it.
        """
        if place == len(self.paths):
            return 1
        key = (place, state)
        known = self._counts.get(key)
        if known is not None:
            return known
        if len(self._counts) >= _MOST_STATES:
            names = ", ".join(".".join(path) for path in self.paths[:8])
            raise TooEntangled(
                f"sweepkit.conditions: at most {_MOST_STATES} combinations of connected parameters are counted, "
                f"got more ({names}, …); use fewer conditions between them, or an unbounded parameter"
            )
        total = 0
        sizes: dict[_Class, int] = {}
        for stretch in self.stretches[place]:
            kind = (stretch.first, stretch.holds)
            sizes[kind] = sizes.get(kind, 0) + stretch.stop - stretch.start
        for kind, size in sizes.items():
            after = self.fill(state, kind)
            if after is not None:
                total += size * self.count(place + 1, after)
        self._counts[key] = total
        return total

    def fill(self, state: tuple[_Class | None, ...], kind: _Class) -> tuple[_Class | None, ...] | None:
        """Return the state with the next axis filled; None when an inactive parameter would not stand at position 0."""
        place = len(state)
        filled = (*state, kind)
        for child, rules in self._checks.get(place, ()):
            own = filled[child]
            if own is not None and not own[0] and not self._is_active(filled, child, rules):
                return None
        return tuple(item if self._needed[index] > place else None for index, item in enumerate(filled))

    def _is_active(self, filled: tuple[_Class | None, ...], child: int, rules: Sequence[int]) -> bool:
        active: dict[int, bool] = {}
        for number in rules:
            target, parents = self._rules[number]
            active[target] = all(
                active.get(parent, True) and (known := filled[parent]) is not None and known[1][clause]
                for parent, clause in parents
            )
        return active[child]


def _stretches(length: int, clauses: Sequence[list[tuple[int, int]]]) -> tuple[_Stretch, ...]:
    """Cut [0, length) where a clause begins or ends to hold, and behind position 0."""
    cuts = {0, min(1, length), length}
    for intervals in clauses:
        cuts.update(border for interval in intervals for border in interval)
    borders = sorted(cuts)
    return tuple(
        _Stretch(start, stop, start == 0, tuple(any(a <= start < b for a, b in intervals) for intervals in clauses))
        for start, stop in zip(borders, borders[1:], strict=False)
    )


class ActiveOrder:
    """Numbers the distinct configurations of axes with conditions.

    Args:
        axes: One for each parameter that varies or that a condition names, in the order of the space; the last counts
            fastest.
        conditions: Over these axes, parents first.

    Raises:
        TooEntangled: More combinations than are counted.
    """

    def __init__(self, axes: Mapping[Path, Axis], conditions: Sequence[Condition]) -> None:
        self._paths = tuple(axes)
        self._families: list[_Family] = []
        self._family_of: dict[Path, int] = {}
        for members, rules in _components(self._paths, conditions):
            family = _Family({path: axes[path] for path in members}, rules)
            self._family_of.update(dict.fromkeys(members, len(self._families)))
            self._families.append(family)
        self.total = prod(family.count(0, ()) for family in self._families)

    def rank(self, positions: Mapping[Path, int]) -> int:
        """Return the number of a configuration.

        Args:
            positions: By path; 0 for each inactive parameter.
        """
        number = 0
        states, left = self._start()
        for path in self._paths:
            index = self._family_of[path]
            family, state = self._families[index], states[index]
            others = prod(count for other, count in enumerate(left) if other != index)
            position, passed = positions[path], 0
            for stretch in family.stretches[len(state)]:
                after = family.fill(state, (stretch.first, stretch.holds))
                ways = 0 if after is None else family.count(len(state) + 1, after)
                passed += max(min(stretch.stop, position) - stretch.start, 0) * ways
                if after is not None and stretch.start <= position < stretch.stop:
                    states[index], left[index] = after, ways
            number += passed * others
        return number

    def unrank(self, number: int) -> dict[Path, int]:
        """Return the positions of configuration `number` in [0, total), 0 for each inactive parameter."""
        positions: dict[Path, int] = {}
        states, left = self._start()
        for path in self._paths:
            index = self._family_of[path]
            family, state = self._families[index], states[index]
            others = prod(count for other, count in enumerate(left) if other != index)
            for stretch in family.stretches[len(state)]:
                after = family.fill(state, (stretch.first, stretch.holds))
                ways = 0 if after is None else family.count(len(state) + 1, after)
                inside = (stretch.stop - stretch.start) * ways * others
                if after is not None and number < inside:
                    steps, number = divmod(number, ways * others)
                    positions[path] = stretch.start + steps
                    states[index], left[index] = after, ways
                    break
                number -= inside
        return positions

    def _start(self) -> tuple[list[tuple[_Class | None, ...]], list[int]]:
        """Return each family's empty state, and in how many ways it can be filled."""
        return [() for _ in self._families], [family.count(0, ()) for family in self._families]


def _components(
    paths: Sequence[Path], conditions: Sequence[Condition]
) -> list[tuple[tuple[Path, ...], tuple[Condition, ...]]]:
    """Return the groups of paths that conditions connect, each in order, with their conditions."""
    leader = {path: path for path in paths}

    def find(path: Path) -> Path:
        while leader[path] != path:
            path = leader[path]
        return path

    for condition in conditions:
        for clause in condition.clauses:
            leader[find(clause.path)] = find(condition.path)
    members: dict[Path, list[Path]] = {}
    for path in paths:
        members.setdefault(find(path), []).append(path)
    return [
        (tuple(group), tuple(condition for condition in conditions if find(condition.path) == root))
        for root, group in members.items()
    ]
