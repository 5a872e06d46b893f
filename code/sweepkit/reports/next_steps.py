"""How to go on after a call: lines that are the next step, and work when they are pasted where they are printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sweepkit.model.objectives import has_result
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState, none_worked
from sweepkit.sweep_config.sweep import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSteps:
    """What a user can do with a sweep after a call of it.

    Args:
        name: The sweep's, as recorded.
        spec: The sweep.
        runs: All of its runs.
        complete: Nothing is left to propose, and no run waits.
        command: The call's command line without `--fresh` and `--retry-failed`; None when there is none to paste.
        fresh: The call began the sweep by `--fresh`.
        joined: The call worked along on a sweep that others run.
        retries: The command can be given `--retry-failed`.
    """

    name: str
    spec: SweepSpec
    runs: Sequence[RunRecord]
    complete: bool
    command: str | None = None
    fresh: bool = False
    joined: bool = False
    retries: bool = True

    @property
    def failed(self) -> int:
        """Return how many runs failed."""
        return sum(run.state is RunState.FAILED for run in self.runs)

    @property
    def whole(self) -> bool:
        """Return whether the sweep has nothing left to do: no run to make, and none that failed to make again."""
        return self.complete and not self.failed

    def lines(self) -> list[str]:
        """Return one line for each step, with its command."""
        if self.joined:
            return [] if self.complete else ["others may go on"]
        failed = f"the {self.failed} failed run{'' if self.failed == 1 else 's'}"
        if none_worked(run.state for run in self.runs):
            return [self._line(f"once it is mended, the same command tries {failed} again")]
        goes_on = f"without --fresh {self.name} continues" if self.fresh else "the same command continues"
        lines = [] if self.complete else [self._line(goes_on)]
        if self.failed and self.retries:
            lines.append(self._line(f"to run {failed} again", "--retry-failed"))
        if self.complete and self.spec.metric is not None and not has_result(self.runs, self.spec.objectives):
            lines.append(self._line(f"to start anew once {self.spec.metric.name} is logged", "--fresh"))
        return lines

    def _line(self, words: str, *options: str) -> str:
        """Return a step in words, and by which command."""
        if self.command is not None:
            return f"{words}: {' '.join([self.command, *options])}"
        return f"{words}: add {' '.join(options)}" if options else words
