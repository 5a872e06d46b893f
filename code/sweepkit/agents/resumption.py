"""How a run goes on after an attempt that was marked as preempting, as W&B resumes one: what it had logged stays.

At W&B a run whose process calls `run.mark_preempting()` and then ends badly is queued again; the next process sees
`wandb.run.resumed`, loads its checkpoint, and its rows follow those that are there. Offline, W&B's client cannot
resume: each attempt writes a file of its own that begins at step 0. So it is done here: the mark is read from the
earlier attempt's file, the client learns it from WANDB_RESUMED, and the earlier rows come first.

Source: W&B's documentation, "Resume preemptible Sweeps runs"; the client's `Run.mark_preempting` and `Run.resumed`.
"""

from collections.abc import Sequence
from dataclasses import replace

from sweepkit.agents.prepare import Workplace, wandb_tail
from sweepkit.model.records import Attempt, Report


def preempted_attempt(place: Workplace, attempt: Attempt) -> str | None:
    """Return the id of the attempt that this one resumes, None when it begins anew.

    It is the last earlier one that began a W&B run, if that run was marked as preempting.
    """
    run_id = attempt.run.run_id
    for ordinal in range(attempt.ordinal - 1, 0, -1):
        earlier = f"{run_id}-{ordinal}"
        tail = wandb_tail(place, attempt.run, earlier)
        tail.read(final=True)
        if tail.run is not None:
            return earlier if tail.preempting else None
    return None


class Resumption:
    """Puts what earlier attempts logged before what this one logs, with steps that go on.

    W&B's client counts on from the last step when it resumes; offline it begins at 0 again, so steps that begin at 0
    are shifted. Steps that the program sets itself, from its checkpoint, stay; those that are there already are
    dropped, as W&B drops them.

    Args:
        earlier: The reports of the attempt that is resumed, those that it took over itself included.
    """

    def __init__(self, earlier: Sequence[Report]) -> None:
        self._earlier = list(earlier)
        self._next = 1 + max((report.step for report in earlier if report.step is not None), default=-1)
        self._shift: int | None = None

    def follow(self, fresh: Sequence[Report]) -> list[Report]:
        """Return newly logged reports as they stand in the run; the earlier ones come before the first of them.

        >>> rows = [Report(seq=n, values={"loss": 3.0 - n}, step=n, time=0.0) for n in range(2)]
        >>> [(row.step, row.values["loss"]) for row in Resumption(rows).follow(rows)]
        [(0, 3.0), (1, 2.0), (2, 3.0), (3, 2.0)]
        """
        reports, self._earlier = self._earlier, []
        for report in fresh:
            if report.step is None:
                reports.append(report)
                continue
            if self._shift is None:
                self._shift = self._next if report.step == 0 else 0
            step = report.step + self._shift
            if step >= self._next:
                reports.append(replace(report, step=step))
        return reports
