"""What an ended attempt means for its run, its slot and the sweep: a table. Pure.

| how it ended | the run becomes | where next | counts against `retries` |
|---|---|---|---|
| a stopping rule ended it | STOPPED, or DIVERGED | | no |
| the agent ended it (Ctrl-C twice, SIGTERM), and it does not say that its work was done | PENDING | anywhere | no |
| exit code 0, but its newest metric value is NaN or infinite | DIVERGED | | no |
| exit code 0, but its W&B run was finished with another | as an error of the program | | yes |
| exit code 0 | FINISHED | | no |
| timeout | FAILED: it would last as long again | | yes |
| diverged, as the program says | DIVERGED | | no |
| disk full, by its log or by the disk | PENDING, and the sweep is paused with the reason | anywhere | no |
| out of memory beside others that were packed on its GPU | PENDING | a GPU to itself | no |
| lost GPU | PENDING, and its slot is quarantined; FAILED after _INFRASTRUCTURE_RETRIES | elsewhere | no |
| one of the three below, its W&B run marked as preempting | PENDING; FAILED after PREEMPTIONS | anywhere | no |
| killed from outside, or lost | PENDING after a pause; FAILED after _INFRASTRUCTURE_RETRIES | anywhere | no |
| out of memory | PENDING once when another slot may have more; else FAILED | elsewhere, after a pause | yes |
| program error | PENDING while retries are left and it is not the last one again; else FAILED | anywhere | yes |

The engine is told DIVERGED and FAILED runs as worst. The rules of a sweep's `sweepkit.on_failure` go before the
lower half of the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweepkit.model.runs import Decision, RunState
from sweepkit.scheduling.failures import Failure, FailureKind, classify, failure_reason, last_exception
from sweepkit.sweep_config.sweep import FailureAction, FailureRule

__all__ = ["Ending", "AttemptOutcome", "PastFailure", "failure_reason", "hopeless", "judge"]

_INFRASTRUCTURE_RETRIES = 3
PREEMPTIONS = 20  # W&B resumes without end; a program that marks every run and always fails would never end
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Args:
        status: Exit code >= 0, minus the signal's number, or None when nobody saw it end.
        verdict: The stopping rule's decision that ended it, if one did.
        interrupted: The agent was asked to end, and ended it.
        timeout_s: The time limit that it passed, in seconds, or None.
        newest: The newest value of the metric, or None.
        log_tail: The last lines of its log.
        elsewhere: There is another slot that it could have had.
        disk_full: The disk of its files has no room, or had none while it ran and its log is empty.
        run_status: What its W&B run was finished with, None when there is none or it was not finished.
        preempting: Its W&B run was marked as preempting.
        beside: The packing had put others on its GPU while it ran.
    """

    status: int | None
    verdict: Decision | None = None
    interrupted: bool = False
    timeout_s: float | None = None
    newest: float | None = None
    log_tail: str = ""
    elsewhere: bool = False
    disk_full: bool = False
    run_status: int | None = None
    preempting: bool = False
    beside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFailure:
    """What the record keeps of an earlier attempt's failure: its class (a FailureKind's value) and its signature."""

    kind: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """What happens next.

    Args:
        state: The run's new state; PENDING means another attempt.
        reason: Why, in words.
        failure: Count the attempt against the retries.
        failed: What went wrong, None when nothing did.
        elsewhere: The next attempt shall be on another slot, if there is one.
        pause_s: Seconds until the next attempt may begin, >= 0.
        quarantine: The slot shall get no further run.
        pause_sweep: The sweep shall be paused: whatever else is tried would fail as well.
    """

    state: RunState
    reason: str
    failure: bool = False
    failed: Failure | None = None
    elsewhere: bool = False
    pause_s: float = 0.0
    quarantine: bool = False
    pause_sweep: bool = False


def judge(
    ending: Ending, *, past: Sequence[PastFailure] = (), retries: int = 0, rules: Sequence[FailureRule] = ()
) -> AttemptOutcome:
    """Decide what an ended attempt means.

    Args:
        ending: How it ended.
        past: How the run's earlier attempts failed, first to last; those that did not fail are left out.
        retries: Further attempts that a run gets after errors of its own.
        rules: The sweep's own, first match wins.

    Returns:
        The outcome; see the table of this module.
    """
    settled = _settled(ending)
    if settled is not None:
        return settled
    failed = _failure(ending)
    if ending.disk_full and failed.kind is FailureKind.PROGRAM:
        failed = replace(failed, kind=FailureKind.DISK_FULL, reason=f"the disk is full; {failed.reason}")
    if ending.beside and failed.kind is FailureKind.OUT_OF_MEMORY:  # our fault: before any rule of the sweep
        return _crowded_out(failed)
    if ending.status is not None:
        for rule in rules:
            if rule.matches(f"{failed.reason}\n{ending.log_tail}"):
                return _by_rule(rule, failed, past)
    return _by_kind(failed, ending, past, retries)


def _failure(ending: Ending) -> Failure:
    """Return what went wrong, by the process's own status or, when that is 0, by its W&B run's."""
    if ending.status != 0:
        return classify(ending.status, ending.log_tail)
    status = ending.run_status or 1
    error = last_exception(ending.log_tail)[0]
    reason = f"its W&B run was finished with exit code {status}{': ' if error else ''}{error[:300]}"
    return replace(classify(status, ending.log_tail), reason=reason)


def _settled(ending: Ending) -> AttemptOutcome | None:
    """Return the outcome of the table's upper half, None for a failure."""
    if ending.verdict is not None and ending.verdict.stop:
        state = RunState.DIVERGED if ending.verdict.diverged else RunState.STOPPED
        return AttemptOutcome(state=state, reason=ending.verdict.reason)
    if ending.timeout_s is not None:
        reason = f"timeout: still running after {ending.timeout_s:g} s"
        failed = Failure(kind=FailureKind.TIMEOUT, reason=reason, signature="timeout")
        return AttemptOutcome(state=RunState.FAILED, reason=reason, failure=True, failed=failed)
    if ending.interrupted:
        # Even with exit code 0: a program that ends politely on SIGTERM has not done its work.
        return AttemptOutcome(state=RunState.PENDING, reason="interrupted with its agent")
    if ending.status == 0 and ending.run_status:
        return None
    if ending.status == 0 and ending.newest is not None and not math.isfinite(ending.newest):
        return AttemptOutcome(state=RunState.DIVERGED, reason=f"diverged: its newest metric value is {ending.newest}")
    if ending.status == 0:
        return AttemptOutcome(state=RunState.FINISHED, reason="exit code 0")
    return None


def _by_kind(failed: Failure, ending: Ending, past: Sequence[PastFailure], retries: int) -> AttemptOutcome:
    """Return the outcome of the table's lower half."""
    if failed.kind is FailureKind.DIVERGED:
        return AttemptOutcome(state=RunState.DIVERGED, reason=failed.reason, failed=failed)
    if failed.kind is FailureKind.DISK_FULL:
        return AttemptOutcome(state=RunState.PENDING, reason=failed.reason, failed=failed, pause_sweep=True)
    if ending.preempting:
        return _resumed(failed, past)
    before = sum(item.kind == failed.kind for item in past)
    if failed.kind in (FailureKind.LOST_GPU, FailureKind.KILLED):
        lost_gpu = failed.kind is FailureKind.LOST_GPU
        again = _again(failed, before, _INFRASTRUCTURE_RETRIES, counts=False)
        waits = replace(again, pause_s=0.0 if before == 0 else _pause_s(before), elsewhere=lost_gpu)
        return replace(waits if again.state is RunState.PENDING else again, quarantine=lost_gpu)
    if failed.kind is FailureKind.OUT_OF_MEMORY:
        again = _again(failed, before, 1 if ending.elsewhere else 0, counts=True)
        return replace(again, elsewhere=True, pause_s=_pause_s(before)) if again.state is RunState.PENDING else again
    own = [item for item in past if item.kind in (FailureKind.PROGRAM, FailureKind.OUT_OF_MEMORY)]
    if own and own[-1].signature == failed.signature and len(own) < retries:
        reason = f"{failed.reason}; the same error twice, not tried again"
        return AttemptOutcome(state=RunState.FAILED, reason=reason, failure=True, failed=failed)
    return _again(failed, len(own), retries, counts=True)


def _crowded_out(failed: Failure) -> AttemptOutcome:
    """Return that a run is tried again alone: what it found was the memory that its packing had left."""
    reason = f"{failed.reason}; beside others on its GPU, so it is tried again alone"
    failed = replace(failed, kind=FailureKind.CROWDED_OUT, reason=reason, signature="crowded out")
    return AttemptOutcome(state=RunState.PENDING, reason=reason, failed=failed)


def _resumed(failed: Failure, past: Sequence[PastFailure]) -> AttemptOutcome:
    """Return what W&B does with a run that was marked as preempting and ended badly: it is resumed."""
    failed = replace(failed, kind=FailureKind.PREEMPTED, reason=f"preempted: {failed.reason}")
    before = sum(item.kind == FailureKind.PREEMPTED for item in past)
    again = _again(failed, before, PREEMPTIONS, counts=False)
    return replace(again, pause_s=_pause_s(before)) if before and again.state is RunState.PENDING else again


def _again(failed: Failure, before: int, allowed: int, *, counts: bool) -> AttemptOutcome:
    """Return another attempt while fewer than `allowed` were had, else the end of the run."""
    if before < allowed:
        reason = f"{failed.reason}; retry {before + 1} of {allowed}"
        return AttemptOutcome(state=RunState.PENDING, reason=reason, failure=counts, failed=failed)
    reason = f"{failed.reason}; {before + 1} times" if before and not counts else failed.reason
    return AttemptOutcome(state=RunState.FAILED, reason=reason, failure=True, failed=failed)


def _pause_s(before: int) -> float:
    """Return the seconds before another attempt: 2, 4, 8, … up to a minute."""
    return min(_LONGEST_PAUSE_S, 2.0 * 2.0 ** min(before, 10))


def _by_rule(rule: FailureRule, failed: Failure, past: Sequence[PastFailure]) -> AttemptOutcome:
    """Return the outcome that a rule of the sweep asks for."""
    signature = f"rule {rule.match}"
    before = sum(item.signature == signature for item in past)
    failed = replace(failed, signature=signature)
    action = rule.action
    if action is FailureAction.DIVERGED:
        return AttemptOutcome(state=RunState.DIVERGED, reason=failed.reason, failed=failed)
    if action is FailureAction.PAUSE_SWEEP:
        return AttemptOutcome(state=RunState.PENDING, reason=failed.reason, failed=failed, pause_sweep=True)
    if action is FailureAction.FAIL:
        return AttemptOutcome(state=RunState.FAILED, reason=failed.reason, failure=True, failed=failed)
    again = _again(failed, before, rule.times, counts=False)
    quarantine = action is FailureAction.QUARANTINE
    if again.state is not RunState.PENDING:
        return replace(again, quarantine=quarantine)
    elsewhere = action in (FailureAction.ELSEWHERE, FailureAction.QUARANTINE)
    return replace(again, elsewhere=elsewhere, quarantine=quarantine, pause_s=_pause_s(before) if before else 0.0)


def misnamed(
    metrics: Sequence[str], valued: Sequence[bool], reported: Sequence[str], *, limit: int, learns: bool
) -> str:
    """Return why a sweep shall end because its first runs finished without a value of its metric; "" to go on.

    Args:
        metrics: What the sweep optimizes.
        valued: Of each run that finished, whether it has a value.
        reported: The names that the last one reported.
        limit: So many runs must have finished; 0 never ends.
        learns: The engine learns from values. One that does not goes on where a program reports nothing at all.

    >>> misnamed(["acc"], [False, False], ["eval_acc"], limit=2, learns=False)
    'the first 2 runs finished without a value of acc; they report eval_acc: name one under metric:'
    """
    if not metrics or not limit or len(valued) < limit or any(valued) or not (learns or reported):
        return ""
    said = f"they report {', '.join(reported)}: name one under metric:" if reported else "they report nothing"
    return f"the first {len(valued)} runs finished without a value of {', '.join(metrics)}; {said}"


def hopeless(ended: list[RunState], *, limit: int) -> bool:
    """Return whether a sweep should end because nothing works: the first `limit` ended runs all failed.

    W&B's agent has the same guard (WANDB_AGENT_MAX_INITIAL_FAILURES, 5 there too). `limit` 0 disables it.
    """
    return limit > 0 and len(ended) >= limit and all(state is RunState.FAILED for state in ended)
