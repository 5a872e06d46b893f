"""The grid: every combination once, in W&B's order, whatever became of the runs.

Source: `sweeps` 0.3.0, `grid_search.py`: parameters sorted by name, the last one fastest, 1 and 1.0 one point.
"""

from sweepkit.errors import SweepKitError
from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.model.space import Path, Space
from sweepkit.search.axes import Axis
from sweepkit.search.points import FinitePoints, grid_axis, support_points


class GridEngine:
    """Propose the first point of the grid that no told run has, by content and not by number.

    So a grid whose lists grow goes on without a repeat, and the number of a run need not be its point's.
    A run that lacks one of the parameters that vary blocks nothing.

    Args:
        space: Only categorical (without probabilities), constant, int_uniform and q_uniform parameters.
        any_finite: Take every parameter that has finitely many values, as `sweepkit.sampler: grid` does; what method
            grid takes is W&B's business.

    Raises:
        SweepKitError: A parameter cannot be gridded.
    """

    def __init__(self, space: Space, *, any_finite: bool = False) -> None:
        if any_finite:
            self._points = _all_points(space)
        else:
            self._points = FinitePoints(space, _wandb_axes(space))
        self._blocked: set[int] = set()
        self._cursor = 0

    def tell(self, run: RunView) -> None:
        """Block the run's point, in any state."""
        index = self._points.index(run.params)
        if index is not None:
            self._blocked.add(index)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose the first point that is not blocked; `number` does not matter."""
        while self._cursor in self._blocked:
            self._cursor += 1
        if self._cursor >= self._points.total:
            return Exhausted(reason=f"all {self._points.total} points of the grid have been proposed")
        return Proposal(
            params=self._points.params(self._cursor),
            reason=f"grid point {self._cursor + 1} of {self._points.total}",
            info={"point": self._cursor, "points": self._points.total},
        )

    def total(self) -> int:
        """Return the number of distinct points."""
        return self._points.total


def _wandb_axes(space: Space) -> dict[Path, Axis]:
    """Return the axes of a grid as W&B has it; raises SweepKitError for a parameter that has none there."""
    axes: dict[Path, Axis] = {}
    for parameter in space.parameters:
        try:
            axis = grid_axis(parameter.distribution)
        except OverflowError as error:
            raise SweepKitError(f"parameters.{parameter.name}: {error}") from None
        except ValueError:
            raise SweepKitError(
                f"parameters.{parameter.name}: method grid needs values, a value, integer bounds or q_uniform, "
                f"got {parameter.distribution.kind}; list its values or use method random or bayes"
            ) from None
        if axis is not None:
            axes[parameter.path] = axis
    return axes


def _all_points(space: Space) -> FinitePoints:
    """Return all points of a finite space; raises SweepKitError for a parameter that has infinitely many values."""
    points = support_points(space)
    if points is None:
        endless = next(item for item in space.parameters if item.distribution.support_size() is None)
        raise SweepKitError(
            f"parameters.{endless.name}: sampler grid needs finitely many values, got {endless.distribution.kind}; "
            "list its values, give it a step (q_uniform, …), or use another sampler"
        )
    return points
