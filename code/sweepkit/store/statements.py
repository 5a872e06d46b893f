"""Every statement of the record, built once: SQLAlchemy caches the compiled text by the statement object.

Parameters of an UPDATE's conditions begin with `b_`, so that they never meet a column's own name.
"""

import sqlalchemy as sa
from sqlalchemy import bindparam as b

from sweepkit.model.runs import RunState
from sweepkit.store.base import AttemptState, SweepState
from sweepkit.store.cells import LAST_MOMENT
from sweepkit.store.schema import ATTEMPTS, HISTORY_CHUNKS, REPORTS, RUNS, SWEEPS, db_now

NOW = sa.select(db_now().label("now"))

# --- sweeps ---------------------------------------------------------------------------------------------------------
SWEEP_BY_NAME = sa.select(SWEEPS).where(SWEEPS.c.name == b("b_name"))
SWEEP_EXISTS = sa.select(SWEEPS.c.sweep_id).where(SWEEPS.c.sweep_id == b("b_sweep"))
SWEEP_LOCKED = sa.select(SWEEPS).where(SWEEPS.c.sweep_id == b("b_sweep")).with_for_update()
ALL_SWEEPS = sa.select(SWEEPS).order_by(SWEEPS.c.family, SWEEPS.c.generation, SWEEPS.c.created_at, SWEEPS.c.name)
FAMILY = ALL_SWEEPS.where(SWEEPS.c.family == b("b_family"))
INSERT_SWEEP = sa.insert(SWEEPS).values(
    created_at=db_now(), state=SweepState.RUNNING.value, reason="", n_runs=0, change=0
)
UPDATE_SWEEP = (
    sa.update(SWEEPS)
    .where(SWEEPS.c.sweep_id == b("b_sweep"))
    .values(yaml=b("yaml"), state=b("state"), reason=b("reason"), meta=b("meta"))
    .returning(SWEEPS)
)
RENAME_SWEEP = (
    sa.update(SWEEPS)
    .where(SWEEPS.c.sweep_id == b("b_sweep"))
    .values(name=b("b_name"), family=b("b_name"), generation=1, yaml=b("yaml"))
    .returning(SWEEPS)
)
# What is recorded of a sweep, from the leaves to the root.
_of_the_sweep = sa.select(ATTEMPTS.c.attempt_id).where(ATTEMPTS.c.sweep_id == b("b_sweep"))
REMOVALS = (
    sa.delete(REPORTS).where(REPORTS.c.attempt_id.in_(_of_the_sweep)),
    sa.delete(HISTORY_CHUNKS).where(HISTORY_CHUNKS.c.attempt_id.in_(_of_the_sweep)),
    *(sa.delete(table).where(table.c.sweep_id == b("b_sweep")) for table in (ATTEMPTS, RUNS, SWEEPS)),
)

_bumped = (SWEEPS.c.change, db_now().label("now"))
# Locks the sweep's row, hands out the next change number and reads the clock: the first statement of each write.
BUMP = sa.update(SWEEPS).where(SWEEPS.c.sweep_id == b("b_sweep")).values(change=SWEEPS.c.change + 1).returning(*_bumped)
_running = SWEEPS.c.state == SweepState.RUNNING.value
BUMP_RUNNING = BUMP.where(_running)
_add = BUMP_RUNNING.where(SWEEPS.c.n_runs == b("b_number")).values(n_runs=SWEEPS.c.n_runs + 1)
BUMP_ADD = _add
BUMP_ADD_CAPPED = _add.where(SWEEPS.c.n_runs < b("b_cap"))

# --- runs -----------------------------------------------------------------------------------------------------------
_pending = RunState.PENDING.value
INSERT_RUN = sa.insert(RUNS)
_first_pending = (
    sa.select(RUNS.c.run_id)
    .where(RUNS.c.sweep_id == b("b_sweep"), RUNS.c.state == _pending)
    .order_by(RUNS.c.number)
    .limit(1)
)
ANY_PENDING = _first_pending
CLAIMABLE = sa.select(RUNS.c.run_id, RUNS.c.attempts).where(RUNS.c.run_id == _first_pending.scalar_subquery())
CLAIMABLE_EXCEPT = sa.select(RUNS.c.run_id, RUNS.c.attempts).where(
    RUNS.c.run_id == _first_pending.where(RUNS.c.run_id.not_in(b("b_except", expanding=True))).scalar_subquery()
)
_begun = sa.update(RUNS).values(
    state=RunState.RUNNING.value,
    history="",
    n_chunks=0,
    next_seq=0,
    summary=None,
    best_metrics="{}",
    last_metrics="{}",
    started_at=None,
    ended_at=None,
)
CLAIM = (
    _begun.where(RUNS.c.run_id == b("b_run"))
    .values(
        reason=b("reason"),
        attempts=b("attempts"),
        attempt_id=b("attempt_id"),
        token=b("token"),
        change=b("change"),
    )
    .returning(RUNS)
)
SET_ASIDE = (
    sa.update(RUNS)
    .where(RUNS.c.run_id == b("b_run"))
    .values(state=RunState.FAILED.value, reason=b("reason"), attempts=b("attempts"), attempt_id=None, token=None)
)
# The fence: `token` is NULL unless an attempt is live, so no old token ever matches.
_fenced = sa.and_(RUNS.c.run_id == b("b_run"), RUNS.c.attempt_id == b("b_attempt"), RUNS.c.token == b("b_token"))
FENCED_RUN = sa.select(
    RUNS.c.history, RUNS.c.n_chunks, RUNS.c.next_seq, RUNS.c.best_metrics, RUNS.c.last_metrics
).where(_fenced)
SUGGESTED_RUN = sa.update(RUNS).where(_fenced).values(params=b("params"), proposal=b("proposal"), change=b("change"))
STARTED_RUN = sa.update(RUNS).where(_fenced).values(started_at=b("started_at"), change=b("change"))
REPORTED_RUN = (
    sa.update(RUNS)
    .where(RUNS.c.run_id == b("b_run"))
    .values(
        history=b("history"),
        n_chunks=b("n_chunks"),
        next_seq=b("next_seq"),
        best_metrics=b("best_metrics"),
        last_metrics=b("last_metrics"),
        change=b("change"),
    )
)
FINISHED_RUN = (
    sa.update(RUNS)
    .where(_fenced)
    .values(
        state=b("state"),
        reason=b("reason"),
        outcome=b("outcome"),
        summary=b("summary"),
        failures=RUNS.c.failures + b("b_failed", type_=sa.BigInteger),
        ended_at=b("ended_at"),
        change=b("change"),
        token=None,
    )
    .returning(RUNS)
)
GIVE_BACK_RUN = sa.update(RUNS).where(_fenced).values(state=_pending, reason="", change=b("change"), token=None)
RETRY_RUNS = (
    sa.update(RUNS)
    .where(RUNS.c.sweep_id == b("b_sweep"), RUNS.c.state.in_(b("b_states", expanding=True)))
    .values(state=_pending, reason="", failures=0, ended_at=None, change=b("change"))
    .returning(RUNS)
)
RUNS_SINCE = (
    sa.select(RUNS).where(RUNS.c.sweep_id == b("b_sweep"), RUNS.c.change > b("b_since")).order_by(RUNS.c.number)
)
COUNTS = sa.select(RUNS.c.state, sa.func.count()).where(RUNS.c.sweep_id == b("b_sweep")).group_by(RUNS.c.state)
LAST_ATTEMPT = sa.select(RUNS.c.attempt_id).where(RUNS.c.run_id == b("b_run"))

# --- attempts -------------------------------------------------------------------------------------------------------
_live = AttemptState.LIVE.value
INSERT_ATTEMPT = sa.insert(ATTEMPTS).values(device="", state=_live, reason="")
STARTED_ATTEMPT = (
    sa.update(ATTEMPTS)
    .where(ATTEMPTS.c.attempt_id == b("b_attempt"))
    .values(pid=b("pid"), device=b("device"), started_at=b("started_at"))
)
END_ATTEMPT = (
    sa.update(ATTEMPTS)
    .where(ATTEMPTS.c.attempt_id == b("b_attempt"))
    .values(state=b("state"), reason=b("reason"), outcome=b("outcome"), ended_at=b("ended_at"))
)
RENEW = (
    sa.update(ATTEMPTS)
    .where(ATTEMPTS.c.attempt_id == b("b_attempt"), ATTEMPTS.c.token == b("b_token"), ATTEMPTS.c.state == _live)
    .values(lease_until=db_now() + b("b_lease", type_=sa.Double))
)
# SQLite keeps a text in a column of numbers, and holds it for larger than each of them: as a number it is 0, and over.
_lease_end = ATTEMPTS.c.lease_until + 0.0
EXPIRED = sa.or_(_lease_end <= db_now(), _lease_end > LAST_MOMENT).label("expired")
LIVE_ATTEMPTS = (
    sa.select(ATTEMPTS, EXPIRED)
    .where(ATTEMPTS.c.sweep_id == b("b_sweep"), ATTEMPTS.c.state == sa.literal_column(f"'{_live}'"))
    .order_by(ATTEMPTS.c.claimed_at, ATTEMPTS.c.attempt_id)
)
LIVE_ATTEMPT = sa.select(ATTEMPTS.c.sweep_id, ATTEMPTS.c.run_id).where(
    ATTEMPTS.c.attempt_id == b("b_attempt"), ATTEMPTS.c.token == b("b_token"), ATTEMPTS.c.state == _live
)
GPU_ATTEMPTS = (
    sa.select(
        RUNS,
        ATTEMPTS.c.attempt_id.label("live_id"),
        ATTEMPTS.c.outcome.label("claimed_for"),
        ATTEMPTS.c.claimed_at,
    )
    .join(ATTEMPTS, ATTEMPTS.c.run_id == RUNS.c.run_id)
    .where(
        ATTEMPTS.c.host == b("b_host"),
        ATTEMPTS.c.state == sa.literal_column(f"'{_live}'"),
        ATTEMPTS.c.outcome != "{}",
        sa.not_(EXPIRED.element),
    )
    .order_by(ATTEMPTS.c.claimed_at, ATTEMPTS.c.attempt_id)
)
ATTEMPTS_OF_RUN = sa.select(ATTEMPTS).where(ATTEMPTS.c.run_id == b("b_run")).order_by(ATTEMPTS.c.ordinal)

# --- claim, as one statement of PostgreSQL --------------------------------------------------------------------------
# What the transaction of `claims` does in four, during which the sweep's row is locked. A run is looked for when that
# lock is held, as it stood when the statement began; FOR UPDATE passes over one that is not pending any more. A
# parameter with the name of a column would be written into it.
ORDINAL = "{ordinal}"  # in `reason`: the attempt's
_waits = sa.and_(
    RUNS.c.sweep_id == b("b_sweep"), RUNS.c.state == _pending, RUNS.c.run_id.not_in(b("b_except", expanding=True))
)
_bump = BUMP_RUNNING.where(sa.exists(sa.select(RUNS.c.run_id).where(_waits))).cte("bumped")
_found = (
    sa.select(RUNS.c.run_id, (RUNS.c.attempts + 1).label("ordinal"))
    .where(_waits, sa.exists(sa.select(_bump.c.change)))
    .order_by(RUNS.c.number)
    .limit(1)
    .with_for_update()
    .cte("found")
)
_now = sa.select(_bump.c.now).scalar_subquery()
_ordinal = sa.cast(_found.c.ordinal, sa.Text)
_claimed = (
    _begun.where(RUNS.c.run_id == _found.c.run_id)
    .values(
        reason=sa.func.replace(b("b_reason", type_=sa.Text), ORDINAL, _ordinal),
        attempts=_found.c.ordinal,
        token=b("b_token"),
        attempt_id=_found.c.run_id + sa.literal("-") + _ordinal,
        change=sa.select(_bump.c.change).scalar_subquery(),
    )
    .returning(RUNS)
    .cte("claimed")
)
_attempt = {
    "attempt_id": _claimed.c.attempt_id,
    "run_id": _claimed.c.run_id,
    "sweep_id": _claimed.c.sweep_id,
    "ordinal": _claimed.c.attempts,
    "token": _claimed.c.token,
    "agent_id": b("b_agent_id", type_=sa.Text),
    "host": b("b_host", type_=sa.Text),
    "device": sa.literal(""),
    "state": sa.literal(_live),
    "reason": sa.literal(""),
    "outcome": b("b_outcome", type_=sa.Text),
    "claimed_at": _now,
    "lease_until": _now + b("b_lease", type_=sa.Double),
}
_inserted = sa.insert(ATTEMPTS).from_select(list(_attempt), sa.select(*_attempt.values())).cte("inserted")
CLAIM_AT_ONCE = sa.select(_claimed, _now.label("now")).add_cte(_inserted)
FORGET_ATTEMPT = sa.delete(ATTEMPTS).where(ATTEMPTS.c.attempt_id == b("b_attempt"))

# --- reports --------------------------------------------------------------------------------------------------------
INSERT_REPORT = sa.insert(REPORTS)
INSERT_CHUNK = sa.insert(HISTORY_CHUNKS)
DROP_CHUNKS = sa.delete(HISTORY_CHUNKS).where(HISTORY_CHUNKS.c.attempt_id == b("b_attempt"))
DROP_REPORTS = sa.delete(REPORTS).where(REPORTS.c.attempt_id == b("b_attempt"))
KNOWN_SEQS = sa.select(REPORTS.c.seq).where(
    REPORTS.c.attempt_id == b("b_attempt"), REPORTS.c.seq.in_(b("b_seqs", expanding=True))
)
REPORTS_OF = sa.select(REPORTS).where(REPORTS.c.attempt_id == b("b_attempt")).order_by(REPORTS.c.seq)
CHUNKS_OF = (
    sa.select(HISTORY_CHUNKS.c.history)
    .where(HISTORY_CHUNKS.c.attempt_id == b("b_attempt"))
    .order_by(HISTORY_CHUNKS.c.position)
)
