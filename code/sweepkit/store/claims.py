"""Make an attempt of a run that waits: the transaction, for whoever runs it.

On PostgreSQL it is one statement, so that the lock of the sweep's row, for which all that write of it wait, is held for
one way to the server and not for four.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sweepkit.model.runs import RunState
from sweepkit.store import records, writes
from sweepkit.store import statements as q
from sweepkit.store.base import Attempt, RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an agent asks for, of which sweep's runs; see `base.ClaimTerms`."""

    sweep_id: str
    agent_id: str
    host: str
    lease_s: float
    exclude: Collection[str] = ()
    gpus: Sequence[str] = ()

    def made(self, connection: sa.Connection) -> Attempt | None:
        """Make an attempt of the first pending run; None where it is set aside, for its record is damaged.

        Raises:
            Undo: None is pending, or the sweep is not RUNNING: nothing is to be kept of the transaction.
        """
        change, now = writes.bump(connection, self.sweep_id, q.BUMP_RUNNING)
        key = {"b_sweep": self.sweep_id, **({"b_except": sorted(self.exclude)} if self.exclude else {})}
        found = connection.execute(q.CLAIMABLE_EXCEPT if self.exclude else q.CLAIMABLE, key).first()
        if found is None:
            raise writes.Undo
        ordinal = found.attempts + 1
        token = records.new_token()
        claimed = {
            "attempts": ordinal,
            "attempt_id": f"{found.run_id}-{ordinal}",
            "token": token,
            "reason": writes.claimed_reason(ordinal, records.clean(self.host)),
            "change": change,
        }
        run = records.run_record(connection.execute(q.CLAIM, {"b_run": found.run_id, **claimed}).one())
        if _set_aside(connection, run, found.attempts):
            return None
        return writes.insert_attempt(connection, run, token, self._who(), (now, self.lease_s), gpus=self.gpus)

    def made_at_once(self, connection: sa.Connection) -> Attempt | None:
        """Do as `made`, by one statement; PostgreSQL's alone."""
        token, who = records.new_token(), self._who()
        values = {
            "b_sweep": self.sweep_id,
            "b_except": sorted(self.exclude),
            "b_token": token,
            "b_reason": writes.claimed_reason(q.ORDINAL, who["host"]),
            "b_outcome": writes.claimed_for(self.gpus),
            "b_lease": self.lease_s,
            **{f"b_{name}": value for name, value in who.items()},
        }
        row = connection.execute(q.CLAIM_AT_ONCE, values).first()
        if row is None:
            raise writes.Undo
        run = records.run_record(row)
        if _set_aside(connection, run, row.attempts - 1):
            connection.execute(q.FORGET_ATTEMPT, {"b_attempt": row.attempt_id})
            return None
        return writes.live_attempt(run, token, (row.now, self.lease_s))

    def _who(self) -> dict[str, str]:
        return {"agent_id": records.clean(self.agent_id), "host": records.clean(self.host)}


def _set_aside(connection: sa.Connection, run: RunRecord, attempts: int) -> bool:
    """Set a run aside that was just claimed if a cell of it is damaged: nobody can know what it was to be run with."""
    if run.state is RunState.RUNNING:
        return False
    connection.execute(q.SET_ASIDE, {"b_run": run.run_id, "reason": run.reason, "attempts": attempts})
    return True
