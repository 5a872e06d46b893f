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
    """What was counted.

    Args:
        runs: Finished by the record.
        attempts: Made in all.
        repeated: Runs of more than one attempt.
        repeated_after_end: Attempts that were seen to end well and followed by another one.
        lost: Configurations that no finished run has.
        double: Attempts that began while another one of their run was at work.
        unseen_ends: Processes killed between their last line and the moment when their end was seen.
    """

    runs: int
    attempts: int
    repeated: int
    repeated_after_end: int
    lost: int
    double: int
    unseen_ends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is judged: the journal of the program, the record, the sweep's folder."""

    journal: list[Line]
    records: list[RunRecord]
    attempts: dict[str, list[AttemptRecord]]
    folder: Path

    @classmethod
    def read(cls, sweeper: Sweeper, storage: str | Path) -> "Evidence":
        with open_store(storage) as store:
            sweep = store.sweep("s")
            assert sweep is not None
            records = store.runs(sweep.sweep_id)
            attempts = {record.run_id: store.attempts(record.run_id) for record in records}
            assert store.live_attempts(sweep.sweep_id) == []
        folder = next(sweeper.folder.glob("**/sweep_s"))
        return cls(journal=sweeper.journal(), records=records, attempts=attempts, folder=folder)

    def count(self, runs: int) -> Verdict:
        """Count what became of that many configurations."""
        finished = {record.params["number"] for record in self.records if record.state is RunState.FINISHED}
        ends = Counter(number for word, number, _, _ in self.journal if word == "end")
        return Verdict(
            runs=len(finished),
            attempts=sum(record.attempts for record in self.records),
            repeated=sum(record.attempts > 1 for record in self.records),
            repeated_after_end=sum(
                _exit_status(self.folder / "logs" / f"{record.run_id}-{ordinal}.exit.json") == 0
                for record in self.records
                for ordinal in range(1, record.attempts)
            ),
            lost=len(set(range(runs)) - finished),
            double=sum(word == "overlap" for word, _, _, _ in self.journal),
            unseen_ends=sum(ends.values()) - len(ends),
        )


def judge(evidence: Evidence, storage: str | Path, runs: int, *, mended: bool = False) -> None:
    """Fail unless every configuration finished exactly once and the record says just what the journal says.

    Args:
        evidence: What is judged.
        storage: The record.
        runs: How many configurations there are.
        mended: The record was damaged, and made again from files, which do not tell of attempts before the last one.
    """
    records = evidence.records
    numbers = [record.params["number"] for record in records]
    assert sorted(numbers) == list(range(runs)), "a configuration was lost"
    assert [record.number for record in records] == list(range(runs))
    assert mended or numbers == list(range(runs))
    assert Counter(record.state for record in records) == {RunState.FINISHED: runs}
    for record in records:
        _judge_run(record, evidence, mended=mended)
    _judge_files(records, evidence.folder)
    if isinstance(storage, Path):
        with sqlite3.connect(storage) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()


def _judge_run(record: RunRecord, evidence: Evidence, *, mended: bool) -> None:
    number, attempts, logs = record.params["number"], evidence.attempts[record.run_id], evidence.folder / "logs"
    mine = [line for line in evidence.journal if line[1] == number]
    starts = [pid for word, _, pid, _ in mine if word == "start"]
    ends = [pid for word, _, pid, _ in mine if word == "end"]
    finished = [made for made in attempts if made.outcome.get("exit_code") == 0]
    said = (
        number,
        mine,
        record.history,
        [(made.attempt_id, made.state, made.pid, made.reason, made.outcome) for made in attempts],
    )
    assert len(finished) == 1, said
    (finishing,) = finished
    assert finishing is attempts[-1] and finishing.state is AttemptState.DONE, said
    # Nothing of the run happened after its end, and that end is the process's that the record names.
    assert mine[-1][0] == "end", said
    assert finishing.pid in (None, mine[-1][2]), said
    assert len(starts) <= len(attempts) == record.attempts, said
    pids = {made.pid for made in attempts}
    assert mended or pids >= set(starts) or None in pids, said
    # A process that was seen to end well is never repeated. One that was killed after its last line, before the fork
    # server had seen its end, is: nobody can know.
    for ordinal in range(1, record.attempts):
        assert _exit_status(logs / f"{record.run_id}-{ordinal}.exit.json") != 0, said
    assert len(set(ends)) == len(ends) and set(ends[:-1]).isdisjoint({finishing.pid}), said
    assert record.history == tuple(number + 1 / (step + 1) for step in range(4)), said
    assert record.best_metrics["loss"] == number + 0.25, said


def _exit_status(file: Path) -> int | None:
    end = read_end(file)
    return None if end is None else int(end["status"])


def _judge_files(records: list[RunRecord], folder: Path) -> None:
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
