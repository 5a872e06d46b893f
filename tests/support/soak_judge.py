"""What a sweep that was tormented must have come to: its program's journal, its record and its files must agree."""

import json
import sqlite3
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sweeping import Sweeper
from tormentor import Act

from sweepkit.agents.exit_file import read_end
from sweepkit.model.records import AttemptRecord, AttemptState, RunRecord
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

Line = tuple[str, int, int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge saw beside that all is well.

    Args:
        attempts: Made in all.
        repeated: Runs of more than one attempt; none of them had finished before.
        unseen_ends: Processes killed between their last line and the moment when their end was seen.
    """

    attempts: int
    repeated: int
    unseen_ends: int


def judge(sweeper: Sweeper, storage: str | Path, runs: int) -> Verdict:
    """Fail unless every configuration finished exactly once and the record says just what the journal says."""
    journal = sweeper.journal()
    assert [line for line in journal if line[0] == "overlap"] == [], "two attempts of a run at the same time"
    with open_store(storage) as store:
        sweep = store.sweep("s")
        assert sweep is not None
        records = store.runs(sweep.sweep_id)
        attempts = {record.number: store.attempts(record.run_id) for record in records}
        assert store.live_attempts(sweep.sweep_id) == []
    assert [record.params["number"] for record in records] == list(range(runs)), "a configuration was lost"
    assert [record.number for record in records] == list(range(runs))
    assert Counter(record.state for record in records) == {RunState.FINISHED: runs}
    logs = next(sweeper.folder.glob("**/sweep_s/logs"))
    unseen = sum(_judge_run(record, attempts[record.number], journal, logs) for record in records)
    _judge_files(sweeper, records, logs.parent)
    if isinstance(storage, Path):
        with sqlite3.connect(storage) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
    return Verdict(
        attempts=sum(len(made) for made in attempts.values()),
        repeated=sum(len(made) > 1 for made in attempts.values()),
        unseen_ends=unseen,
    )


def _judge_run(record: RunRecord, attempts: list[AttemptRecord], journal: list[Line], logs: Path) -> int:
    """Judge one run; return how many of its processes ended their work without anybody seeing it."""
    number = record.number
    mine = [line for line in journal if line[1] == number]
    starts = [pid for word, _, pid, _ in mine if word == "start"]
    ends = [pid for word, _, pid, _ in mine if word == "end"]
    finished = [made for made in attempts if made.outcome.get("exit_code") == 0]
    told = (
        number,
        mine,
        record.history,
        [(made.attempt_id, made.state, made.pid, made.reason, made.outcome) for made in attempts],
    )
    assert len(finished) == 1, told
    (finishing,) = finished
    assert finishing is attempts[-1] and finishing.state is AttemptState.DONE, told
    # Nothing of the run happened after its end, and that end is the process's that the record names.
    assert mine[-1][0] == "end", told
    assert finishing.pid in (None, mine[-1][2]), told
    assert len(starts) <= len(attempts) == record.attempts, told
    assert {made.pid for made in attempts if made.pid} >= set(starts) or None in {made.pid for made in attempts}, told
    # A process that was seen to end well is never repeated. One that was killed after its last line, before the fork
    # server had seen its end, is: nobody can know.
    for made in attempts[:-1]:
        assert _exit_status(logs / f"{made.attempt_id}.exit.json") != 0, told
    assert len(set(ends)) == len(ends) and set(ends[:-1]).isdisjoint({finishing.pid}), told
    assert record.history == tuple(number + 1 / (step + 1) for step in range(4)), told
    assert record.best_metrics["loss"] == number + 0.25, told
    return len(ends) - 1


def _exit_status(file: Path) -> int | None:
    end = read_end(file)
    return None if end is None else int(end["status"])


def _judge_files(sweeper: Sweeper, records: list[RunRecord], folder: Path) -> None:
    results = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("run_*_result.json")]
    found = {result["run_id"]: (result["sweep_params"], result["state"], result["attempts"]) for result in results}
    assert found == {record.run_id: (record.params, "finished", record.attempts) for record in records}
    assert list(folder.glob(".*.tmp")) == []


def recovery(acts: list[Act], journal: list[Line]) -> dict[str, list[float]]:
    """Return, for each kind of act, the seconds from the end of each act to the next end of a run."""
    ends = sorted(at for word, _, _, at in journal if word == "end")
    seconds: dict[str, list[float]] = {}
    for act in acts:
        after = next((at for at in ends if at > act.over_at), None)
        if after is not None:
            seconds.setdefault(act.what, []).append(after - act.over_at)
    return seconds


def table(acts: list[Act], journal: list[Line]) -> str:
    """Return one line for each kind of act: how often, and the seconds to recover."""
    counts, seconds = Counter(act.what for act in acts), recovery(acts, journal)
    lines = []
    for what, count in sorted(counts.items()):
        took = seconds.get(what, [])
        text = f"median {statistics.median(took):.1f}, most {max(took):.1f}" if took else "-"
        lines.append(f"  {what:<40} {count:>4}   s to the next end of a run: {text}")
    return "\n".join(lines)
