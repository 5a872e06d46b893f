"""What a call that runs sweeps leaves with: whether there is a result. docs/deploy.md has the table."""

from sweepkit.agents.agent import Finish

GIVEN_UP = 1
NO_RESULT = 3
INTERRUPTED = 130  # as a shell says it of Ctrl-C


def exit_code(finish: Finish, *, has_result: bool) -> int:
    """Return the exit code of a sweep that ended: 0 with a result, 3 without one, 1 given up.

    Args:
        finish: How its work ended.
        has_result: A run that ended well has a value of the metric.

    >>> exit_code(Finish(complete=True, reason="all runs are made"), has_result=False)
    3
    """
    if finish.given_up:
        return GIVEN_UP
    return 0 if has_result else NO_RESULT
