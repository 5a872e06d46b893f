"""Every error that sweepkit raises for its user.

    SweepKitError              anything a user can mend; printed as its message, exit code 2
    ├── SpecError              problems of a YAML file, all of them at once
    ├── ConflictError          the record already holds something else under that name
    ├── StoreError             the record cannot be opened, read or written
    │   └── RecordLostError    its file was removed, replaced or damaged while it was open
    ├── FencedError            a write came from an attempt that is no longer the run's owner
    ├── LaunchError            an attempt's process cannot be started
    ├── DataError              training data or a checkpoint is missing or malformed
    └── TrackingError          a report file or a W&B record cannot be written or read

A message says where, which rule, what was got and what to do, in this order.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SweepKitError(Exception):
    """The base of all errors a user can mend. `exit_code` is the process's exit status."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in one place of a file.

    Args:
        where: The file as the user named it, or "" when the text came from elsewhere.
        line: 1-based line in that file, or None when there is no line to point to.
        key: Dotted path of the key, "" for the document itself.
        rule: What must hold, in words.
        got: What was found, already formatted; "" when nothing was.
        hint: What to do, or the nearest known key; may be "".
    """

    where: str = ""
    line: int | None = None
    key: str = ""
    rule: str
    got: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """Return `file:line: key: rule, got X; hint`."""
        place = self.where
        if self.line is not None:
            place = f"{place}:{self.line}"
        parts = [part for part in (place, self.key) if part]
        text = ": ".join([*parts, self.rule])
        if self.got:
            text += f", got {self.got}"
        if self.hint:
            text += f"; {self.hint}"
        return text


class SpecError(SweepKitError):
    """Every problem of a file, reported at once, one a line. `problems` holds them as values."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NoDocumentError(SpecError):
    """The text of a file is no document at all: nothing more can be read of it."""


class ConflictError(SweepKitError):
    """The record already holds something else under that name."""


class StoreError(SweepKitError):
    """The record cannot be opened, read or written."""


class RecordLostError(StoreError):
    """The record's file was removed, replaced or damaged while it was open: trying again is no use."""


class FencedError(SweepKitError):
    """A write was refused because its attempt is no longer the owner of the run."""


class LaunchError(SweepKitError):
    """An attempt's process cannot be started."""


class DataError(SweepKitError):
    """Training data or a checkpoint is missing or malformed."""


class TrackingError(SweepKitError):
    """A report file or a W&B record cannot be written or read."""
