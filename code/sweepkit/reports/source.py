"""Runs to report on, and where they came from."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.text.json_text import read_object

if TYPE_CHECKING:
    from sweepkit.analysis.table import RunTable
    from sweepkit.model.records import Report, RunRecord, SweepRecord
    from sweepkit.sweep_config.sweep import SweepSpec


ReadReports = Callable[[Sequence[str]], "Mapping[str, Sequence[Report]]"]  # by run ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table and where it came from.

    Args:
        table: The runs.
        folder: Where files about it belong; it may not be there yet.
        spec: The sweep, None for a CSV file and for a W&B sweep whose YAML is none of ours.
        sweep: Its record, None for a CSV file, a W&B sweep and an Optuna study.
        runs: Its runs as recorded, () for a CSV file.
        notes: What was inferred of a table that is not ours: which columns are what, which way is better.
        reports: Reads what the last attempts of some runs reported; None where only the metric's values are known.
    """

    table: "RunTable"
    folder: Path
    spec: "SweepSpec | None" = None
    sweep: "SweepRecord | None" = None
    runs: "Sequence[RunRecord]" = ()
    reports: "ReadReports | None" = None
    notes: tuple[str, ...] = ()

    def print_notes(self, *, json: bool = False) -> None:
        """Print the notes: on stderr where stdout is for machines."""
        for note in self.notes:
            (sys.stderr if json else sys.stdout).write(f"note: {note}\n")


def environment_of(source: Source) -> dict[str, str]:
    """Return what the newest result file says of versions, commit, host and device; {} when there is none here."""
    for run in sorted(source.runs, key=lambda run: -(run.ended_at or 0.0)):
        result = read_object(source.folder / f"run_{run.run_id}_result.json")
        if result is None:
            continue
        beside = {key: result[key] for key in ("git_commit", "code_hash", "host", "device") if result.get(key)}
        return {name: str(value) for name, value in {**(result.get("package_versions") or {}), **beside}.items()}
    return {}
