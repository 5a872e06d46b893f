"""Between the record's rows and its values: JSON text, ids, and the fold of reports. Pure but for random ids."""

import json
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweepkit.called import typed
from sweepkit.errors import StoreError
from sweepkit.model.metric import Goal
from sweepkit.model.runs import RunState
from sweepkit.store.base import AttemptRecord, AttemptState, Report, RunRecord, SweepRecord, SweepState
from sweepkit.store.cells import (
    ATTEMPT_CELLS,
    RUN_CELLS,
    SWEEP_CELLS,
    UNREADABLE,
    DamagedCell,
    damaged_in,
    load,
    mapping,
    moment,
    moment_or_none,
    summary_value,
    tail_values,
    whole,
    words,
)

SET_ASIDE = "set aside"  # how the reason of a run begins of which a cell is damaged
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_INT64 = 2**63
# The history text that a run's row may hold. A report rewrites the row, so this bounds the cost of a report; the older
# values move to rows of their own (`history_chunks`), so 10,000 reports cost 10,000 small writes and not their square.
TAIL_CHARS = 4096

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=True, separators=(",", ":"))


def new_id() -> str:
    """Return a random id: 8 characters of [a-z0-9]."""
    number = secrets.randbelow(36**8)
    digits = []
    for _ in range(8):
        number, digit = divmod(number, 36)
        digits.append(ALPHABET[digit])
    return "".join(digits)


def new_token() -> str:
    """Return a random secret of 128 bits, in hex."""
    return secrets.token_hex(16)


def dump(value: Any, what: str) -> str:
    """Return `value` as JSON text: NaN allowed, non-ASCII as it is.

    Args:
        value: Numbers, strings, None, lists and mappings of these; tuples become lists, keys become strings.
        what: Names the value in the message.

    Raises:
        StoreError: `value` holds something that JSON has no form for.
    """
    if not value and isinstance(value, Mapping):
        return "{}"
    try:
        text = _encode.encode(value if isinstance(value, dict | list) else _plain(value))
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{what}: must be JSON (numbers, text, lists, mappings), got {value!r} ({error}); convert it"
        ) from None
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no database takes; JSON can escape it
        return json.dumps(json.loads(text), ensure_ascii=True, allow_nan=True, separators=(",", ":"))
    return text


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def clean(text: str) -> str:
    r"""Return `text` as every database takes it: no NUL, a lone surrogate written out as `\udc80`."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def number(value: Any) -> int | float:
    """Return a reported value as a plain number: bool as 0/1, integers beyond 64 bits as float.

    >>> number(True), number(2**70), number(10**400)
    (1, 1.1805916207174113e+21, inf)
    """
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return int(value)
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return float(value)


def tail_text(values: Sequence[float]) -> str:
    """Return history values as text that is appended to with a comma.

    >>> tail_text([1.0, float("nan")])
    '1.0,NaN'
    """
    return _encode.encode(list(values))[1:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedReports:
    """What reports add to a run's row: new history values, and the best and newest metrics after them."""

    history: tuple[float, ...]
    best: Mapping[str, float]
    last: Mapping[str, float]


def fold(before: FoldedReports, reports: Iterable[Report], *, metric: str | None, goal: str | None) -> FoldedReports:
    """Return `before` with `reports` (in order of seq) added.

    Args:
        before: Its `history` is kept in front.
        reports: Their values are plain numbers already (`plain_report`).
        metric: The metric's name; None adds no history and no best.
        goal: "minimize" or "maximize"; None counts as W&B's default, minimize.
    """
    history = list(before.history)
    best, last = before.best, dict(before.last)
    direction = Goal(goal) if goal else Goal.MINIMIZE
    for report in reports:
        last.update(report.values)
        if metric is None or metric not in report.values:
            continue
        value = float(report.values[metric])
        history.append(value)
        if math.isfinite(value) and (metric not in best or direction.better(value, best[metric])):
            best = report.values
    return FoldedReports(history=tuple(history), best=best, last=last)


def plain_report(report: Report) -> Report:
    """Return the report as it is recorded.

    Values become plain numbers; a step beyond 64 bits becomes None, a time that is not finite 0.

    Raises:
        StoreError: A value is no number, or `seq` is negative.
    """
    if report.seq < 0:
        raise StoreError(f"report: seq must be 0 or more, got {report.seq}; count from 0 in each attempt")
    try:
        values = {str(name): number(value) for name, value in report.values.items()}
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"report {report.seq}: values must be numbers, got {dict(report.values)!r} ({error}); drop the others"
        ) from None
    step = report.step if report.step is not None and -_INT64 <= report.step < _INT64 else None
    return Report(seq=report.seq, values=values, step=step, time=report.time if math.isfinite(report.time) else 0.0)


def sweep_record(row: Any) -> SweepRecord:
    """Return a row of `sweeps` as a value.

    Raises:
        StoreError: One of its cells is damaged.
    """
    if damaged := damaged_in(row, "sweeps", "sweep_id", SWEEP_CELLS):
        raise StoreError(f"sweep {row.name}: {damaged[0]}; run `{typed('db', 'repair')}`")
    return SweepRecord(
        sweep_id=row.sweep_id,
        name=row.name,
        family=row.family,
        generation=row.generation,
        text=row.yaml,
        seed=int(row.seed),
        state=SweepState(row.state),
        reason=row.reason,
        created_at=row.created_at,
        metric=row.metric,
        goal=row.goal,
        meta=load(row.meta),
    )


def run_record(row: Any, older_history: str = "") -> RunRecord:
    """Return a row of `runs` as a value; `older_history` is the text of its chunks, joined with commas.

    A run of which a cell is damaged is set aside: it counts as failed, its reason says which cell, and what can be read
    of it is there.
    """
    history = ",".join(filter(None, (older_history, row.history)))
    cells: dict[str, Any]
    try:
        cells = {
            "params": mapping(row.params),
            "state": RunState(row.state),
            "history": tail_values(history),
            "summary": summary_value(row.summary),
            "best_metrics": mapping(row.best_metrics),
            "last_metrics": mapping(row.last_metrics),
            "proposal": mapping(row.proposal),
            "outcome": mapping(row.outcome),
            "number": whole(row.number),
            "attempts": whole(row.attempts),
            "failures": whole(row.failures),
            "created_at": moment(row.created_at),
            "started_at": moment_or_none(row.started_at),
            "ended_at": moment_or_none(row.ended_at),
            "change": whole(row.change),
        }
        reason = words(row.reason)
    except UNREADABLE:
        cells, reason = _set_aside(row, older_history)
    return RunRecord(
        run_id=row.run_id,
        sweep_id=row.sweep_id,
        reason=reason,
        **cells,
    )


_NOTHING: Mapping[str, Any] = {  # in the place of what cannot be read; else {}
    "history": (),
    "summary": None,
    "number": -1,
    "attempts": 0,
    "failures": 0,
    "created_at": 0.0,
    "started_at": None,
    "ended_at": None,
    "change": 0,
}


def _set_aside(row: Any, older_history: str) -> tuple[dict[str, Any], str]:
    """Return the readable cells of a run with a damaged one, as a failed run, and the reason that says which it is."""
    damaged = damaged_in(row, "runs", "run_id", RUN_CELLS)
    unread = {cell.column for cell in damaged}
    if not damaged:
        damaged = [DamagedCell(table="history_chunks", row=row.attempt_id, column="history", what="no numbers")]
        unread = {"history"}
    cells = {
        column: _NOTHING.get(column, {}) if column in unread else read(getattr(row, column))
        for column, read in RUN_CELLS.items()
        if column != "reason"
    }
    said = "; ".join(map(str, damaged))
    return {**cells, "state": RunState.FAILED}, f"{SET_ASIDE}: {said}; `{typed('db', 'repair')}` mends what it can"


def attempt_record(row: Any) -> AttemptRecord:
    """Return a row of `attempts` as a value, without its token; a damaged cell stands in its reason."""
    cells, damaged = attempt_cells(row)
    reason = "; ".join(filter(None, [cells.pop("reason"), *map(str, damaged)]))
    return AttemptRecord(attempt_id=row.attempt_id, reason=reason, **cells)


_NO_ATTEMPT: Mapping[str, Any] = {  # in the place of what cannot be read
    "state": AttemptState.DONE,
    "outcome": {},
    "ordinal": 0,
    "reason": "",
    "agent_id": "",
    "host": "",
    "pid": None,
    "device": "",
    "claimed_at": 0.0,
    "started_at": None,
    "ended_at": None,
    "lease_until": 0.0,
}


def attempt_cells(row: Any) -> tuple[dict[str, Any], list[DamagedCell]]:
    """Return the cells of a row of `attempts`, and which of them are damaged."""
    damaged = damaged_in(row, "attempts", "attempt_id", ATTEMPT_CELLS)
    unread = {cell.column for cell in damaged}
    return {
        column: _NO_ATTEMPT[column] if column in unread else read(getattr(row, column))
        for column, read in ATTEMPT_CELLS.items()
    }, damaged
