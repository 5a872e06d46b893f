"""What the cells of a foreign table mean: numbers in the formats of spreadsheets, and states of runs. Pure.

A column is read by one format. What cannot be read is said with its row and column, and never taken for a run's state.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.errors import DataError
from sweepkit.model.numbers import is_finite
from sweepkit.model.runs import CUT_SHORT, RunState

_EMPTY = ("", "nan", "na", "n/a", "#n/a", "-", "--", "—", "<na>", "nat")  # not "none": optimizers are called so
_PERCENT = re.compile(r"([+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*%")
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")  # 0,45
_DOTS_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")  # 1.234,5
_DOTS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")  # 1.200 where the comma is a decimal one
_COMMAS_DOT = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")  # 1,234.5
_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")  # 1,200: a group of thousands, or 1.2
_SECONDS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([\d.]+)\s*(ms|sec|s|min|m|h|d)\b")
_CLOCK = re.compile(r"(?:(\d+) days? )?(\d+):(\d{2}):(\d{2}(?:\.\d+)?)")

# Words of other tools for what we call otherwise.
_STATES: Mapping[str, RunState] = {
    **dict.fromkeys(("complete", "completed", "success", "succeeded", "done", "ok", "terminated"), RunState.FINISHED),
    **dict.fromkeys(("완료", "성공", "종료", "정상", "정상종료", "완료됨", "종료됨", "완료함"), RunState.FINISHED),
    **dict.fromkeys(("pruned", "early_stopped", "early stopped", "stopped early", "중단", "중단됨"), RunState.STOPPED),
    **dict.fromkeys(("중지", "중지됨", "조기종료", "조기중단", "가지치기"), RunState.STOPPED),
    **dict.fromkeys(("fail", "crashed", "crash", "error", "errored", "killed", "실패", "오류"), RunState.FAILED),
    **dict.fromkeys(("실패함", "에러", "취소", "취소됨"), RunState.FAILED),
    **dict.fromkeys(("canceled", "cancelled", "aborted", "timeout", "oom"), RunState.FAILED),
    **dict.fromkeys(("waiting", "preempted", "preempting", "queued", "scheduled", "paused"), RunState.PENDING),
    **dict.fromkeys(("대기", "대기중", "예정", "not started", "todo"), RunState.PENDING),
    **dict.fromkeys(("active", "in_progress", "in progress", "ongoing"), RunState.RUNNING),
    **dict.fromkeys(("실행중", "진행중", "학습중", "진행"), RunState.RUNNING),
}


def is_empty(value: Any) -> bool:
    """Return whether a cell says that there is no value."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _EMPTY)


def column_values(name: str, cells: Sequence[Any], delimiter: str = "") -> tuple[list[Any], str]:
    """Return the values of a column, None where a cell is empty, and how they were read where that must be said.

    Texts that all read as numbers in one format are numbers: plain ones, percent (41.2% is 0.412), a decimal comma, or
    groups of thousands. A column that has others among them stays as it is written, so that who needs numbers of it can
    name the cell.

    Args:
        name: For what is said.
        cells: As the file has them.
        delimiter: What stood between the cells of the file: in a file of semicolons a comma is a decimal one.

    >>> column_values("score", ["41.2%", "39.5%", ""])
    ([0.412, 0.395, None], 'score: percent is read as a share, 41.2% as 0.412')
    """
    plain = [None if is_empty(cell) else _plain(cell) for cell in cells]
    texts = [value for value in plain if isinstance(value, str) and not _says_failed(value)]
    if not texts or any(value is not None and not isinstance(value, str | int | float) for value in plain):
        return plain, ""
    if any(isinstance(value, bool) for value in plain):
        return plain, ""
    for reads in (_percent, _decimal_comma, _thousands):
        said = reads(name, texts, delimiter)
        if said is not None:
            if reads is _percent and any(is_finite(value) and value for value in plain):
                return plain, ""  # 41.2% beside 39.5: nobody knows what the second is
            number, sentence = said
            if reads is _decimal_comma:  # then a dot is none: 1.200 beside 1.234,5
                plain = [cell.strip() if _is_grouped(cell) else value for cell, value in zip(cells, plain, strict=True)]
            read = [number(item) if isinstance(item, str) and not _says_failed(item) else item for item in plain]
            return read, sentence
    return plain, ""


def _is_grouped(cell: Any) -> bool:
    return isinstance(cell, str) and _DOTS.fullmatch(cell.strip()) is not None


def _plain(cell: Any) -> Any:
    """Return a cell as the value that it stands for where that is beyond doubt; other text as it is."""
    if hasattr(cell, "tolist"):  # numpy's
        cell = cell.tolist()
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = json.loads(text)
        return value if not isinstance(value, float) or math.isfinite(value) else float(text)
    except ValueError:
        pass
    try:
        return float(text)  # .5 and 1. are numbers, and no JSON; so is inf
    except ValueError:
        return cell


def _percent(name: str, texts: Sequence[str], delimiter: str) -> Any:
    found = [_PERCENT.fullmatch(text.strip()) for text in texts]
    if not all(found):
        return None
    bare = [match[1] for match in found if match]
    read = _number_reader(bare, delimiter)
    if read is None:
        return None

    def number(text: str) -> float:
        match = _PERCENT.fullmatch(text.strip())
        assert match is not None
        return round(float(read(match[1])) / 100, 12)

    return number, f"{name}: percent is read as a share, {texts[0].strip()} as {number(texts[0]):g}"


def _number_reader(texts: Sequence[str], delimiter: str) -> Any:
    """Return a function from such a text to its number, None when the texts have no one format."""
    if all("," not in text for text in texts):
        return float
    for reads in (_decimal_comma, _thousands):
        said = reads("", texts, delimiter)
        if said is not None:
            return said[0]
    return None


def _decimal_comma(name: str, texts: Sequence[str], delimiter: str) -> Any:
    trimmed = [text.strip() for text in texts]
    fits = all(_COMMA.fullmatch(text) or _DOTS_COMMA.fullmatch(text) for text in trimmed)
    certain = delimiter == ";" or any("," in text and not _GROUPS.fullmatch(text) for text in trimmed)
    if not fits or not certain:
        return None

    def number(text: str) -> float:
        return float(text.strip().replace(".", "").replace(",", "."))

    return number, f"{name}: the comma is read as a decimal one, {trimmed[0]} as {number(trimmed[0]):g}"


def _thousands(name: str, texts: Sequence[str], delimiter: str) -> Any:
    trimmed = [text.strip() for text in texts]
    if delimiter == ";" or not all(_COMMAS_DOT.fullmatch(text) for text in trimmed):
        return None

    def number(text: str) -> float | int:
        bare = text.strip().replace(",", "")
        return float(bare) if "." in bare else int(bare)

    return number, f"{name}: the comma is read as one of thousands, {trimmed[0]} as {number(trimmed[0])}"


def without_words(values: Sequence[Any]) -> list[Any]:
    """Return scores with None where a word in a number's place says that the run came to none ("crashed").

    >>> without_words([0.4, "crashed", "0.4?"])
    [0.4, None, '0.4?']
    """
    return [None if _says_failed(value) else value for value in values]


def _says_failed(value: Any) -> bool:
    """Return whether a cell is a word for a run that ended badly or was ended."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return word in CUT_SHORT or _STATES.get(word, RunState.FINISHED).cut_short


def require_numbers(name: str, values: Sequence[Any], where: str) -> None:
    """Refuse a column of scores with a cell that is no number.

    Raises:
        DataError: Names the cell that reads as none in any format, else the first that is not in plain digits like the
            others; its row is counted from 1.
    """
    wrong = [
        (row, value)
        for row, value in enumerate(values, 1)
        if value is not None
        and not is_finite(value)
        and not isinstance(value, float)  # infinities are none that counts
    ]
    if wrong:
        row, value = next((item for item in wrong if isinstance(column_values("", [item[1]])[0][0], str)), wrong[0])
        hint = "write it as 0.41, 41% or 0,41 like the others, or leave it empty"
        raise DataError(f"{where}: column {name} must hold numbers, got {value!r} in row {row}; {hint}")


def seconds(value: Any) -> float | None:
    """Return a duration in seconds, None when it is none.

    >>> seconds(3), seconds("1.2min"), seconds("0 days 00:01:30"), seconds("red")
    (3.0, 72.0, 90.0, None)
    """
    if is_finite(value):
        return float(value)
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    text = str(value or "").strip()
    if clock := _CLOCK.match(text):
        days, hours, minutes, rest = (float(part or 0) for part in clock.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + rest
    parts = _DURATION.findall(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def state_of(word: Any, where: str = "") -> RunState:
    """Return the state that another tool's word means; without a word a run has finished.

    Args:
        word: The cell; None where there is none.
        where: For the message: column and row.

    Raises:
        DataError: No tool known here has such a word.
    """
    if is_empty(word):
        return RunState.FINISHED
    if isinstance(word, bool):  # Ray's `done`
        return RunState.FINISHED if word else RunState.RUNNING
    text = str(word).strip().lower().rpartition(".")[2]  # Optuna's enum prints as TrialState.COMPLETE
    try:
        return _STATES.get(text) or _STATES.get("".join(text.split())) or RunState(text)  # Korean spaces are free
    except ValueError:
        known = ", ".join([state.value for state in RunState] + ["complete", "pruned", "crashed"])
        raise DataError(f"{where}: must be a run's state ({known}, …), got {word!r}; rename it") from None


_STATE_COLUMNS = ("state", "status", "trial_status", "done", "상태")  # the last but one is Ray's


def state_column(headers: Sequence[str]) -> str | None:
    """Return the column that says how runs ended, None where there is none.

    >>> state_column(["lr", "Status"]), state_column(["done", "trial_status"]), state_column(["lr"])
    ('Status', 'trial_status', None)
    """
    lower = {name.lower(): name for name in reversed(headers)}
    return next((lower[name] for name in _STATE_COLUMNS if name in lower), None)


def _row_state(word: Any, score: Any, where: str) -> RunState:
    """Return how a run ended: as its cell of states says, else by a word in the place of its score.

    Args:
        word: The cell of `state_column`; None without such a column.
        score: The cell of the metric, as the file has it.
        where: For the message: the file and the row.

    Raises:
        DataError: No tool known here has such a word.
    """
    if is_empty(word):
        return RunState.FAILED if _says_failed(score) else RunState.FINISHED
    return state_of(word, f"{where}, its state")


def run_states(columns: Mapping[str, Sequence[Any]], scores: Sequence[Any], where: str) -> tuple[list[RunState], str]:
    """Return how each run of a table ended, and a sentence where that was inferred. The one rule of all readers.

    Args:
        columns: All of the table's.
        scores: The cells of the metric, as the file has them.
        where: For the message: the file.

    Raises:
        DataError: No tool known here has such a word.
    """
    at = state_column(list(columns))
    words = [None] * len(scores) if at is None else [_plain(cell) for cell in columns[at]]
    states = [
        _row_state(word, score, f"{where}: row {row}")
        for row, (word, score) in enumerate(zip(words, scores, strict=True), 1)
    ]
    steps = _ray_steps(columns)
    cut = [row for row, state in enumerate(states) if steps and state is RunState.FINISHED and steps[row] < max(steps)]
    for row in cut:
        states[row] = RunState.STOPPED
    said = f"{_STEPS}: {len(cut)} of {len(states)} runs ended before the {max(steps):g} of the longest" if cut else ""
    return states, f"{said}; they are taken as stopped early, for Ray's table does not say it" if said else ""


_STEPS = "training_iteration"


def _ray_steps(columns: Mapping[str, Sequence[Any]]) -> list[float]:
    """Return the length of each run of Ray's `get_dataframe`, whose `done` is true for a run that a scheduler ended.

    () where it is no such table, or where a parameter is what sets the length.
    """
    if _STEPS not in columns or "done" not in columns:
        return []
    steps = [_plain(cell) for cell in columns[_STEPS]]
    if not all(map(is_finite, steps)):
        return []
    sets_it = any(
        key.startswith("config/") and [_plain(cell) for cell in cells] == steps for key, cells in columns.items()
    )
    return [] if sets_it else steps
