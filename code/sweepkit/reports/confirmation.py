"""What came of a confirmation: as text, as `confirmation.json` in the sweep's folder, as a section of the report."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.files import write_atomically
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many, mean
from sweepkit.model.ranked import ConfirmationRun, RankedConfiguration
from sweepkit.reports.cells import Cells, as_text
from sweepkit.reports.holdout import HoldoutResult, holdout_from_plain, holdout_lines
from sweepkit.reports.table import short
from sweepkit.stats.words import chance_text, difference_text, digits_for
from sweepkit.text.json_text import json_text
from sweepkit.text.nested_tables import flattened

if TYPE_CHECKING:
    from sweepkit.reports.study_report import Section

FILE = "confirmation.json"
_CHEAPER = 1.1  # a ratio of training times that is worth a word
_LEAST_S = 1.0  # shorter runs are mostly start-up: their times say nothing of what training costs
_HEADS = ("rank", "run", "sweep", "fresh", "95 % interval", "seeds", "optimism", "P(best)", "s/run", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A confirmation as it stands.

    Args:
        sweep, confirmation: Names of the sweep and of the sweep that confirms it.
        metric, goal: What is compared.
        configurations: How many the sweep tried that have a value.
        budget: Runs at most.
        rounds: How many go on, with how many seeds each.
        seeds: The fresh ones.
        seed_parameter: The parameter that has them; None: the environment's SEED alone.
        rope: Closer than this counts as equal; None: nothing does.
        model: What named candidates, in words; "".
        runs: Done so far.
        members: Best first.
        spread, df: Standard deviation between seeds, and its degrees of freedom; None where nothing tells it.
        fallback: The spread is made of sweep and fresh scores together, which makes it too large.
        end: Why the race is over; None while it goes on.
        equal: Runs that are left and equal, when it ended by the rope.
        holdout: What the hold-out set showed; None when it was not opened, for the reason in `no_holdout`.
        best_of_reports: A run's value is the best of its reports.
    """

    sweep: str
    confirmation: str
    metric: str
    goal: str
    configurations: int
    budget: int
    rounds: tuple[tuple[int, int], ...]
    seeds: tuple[int, ...]
    seed_parameter: str | None
    rope: float | None
    model: str
    runs: int
    members: tuple[RankedConfiguration, ...]
    spread: float | None
    df: int | None
    fallback: bool
    end: str | None
    equal: tuple[str, ...]
    holdout: HoldoutResult | None
    no_holdout: str
    best_of_reports: bool = False

    @property
    def seed_ignored(self) -> bool:
        """Return whether every configuration gave one value whatever its seed; of one fresh run each, the sweep's."""
        fresh = [([run.value for run in item.fresh if run.value is not None], item.scores) for item in self.members]
        many = [values if len(values) > 1 else [*values, *scores] for values, scores in fresh if values]
        return any(len(values) > 1 for values in many) and all(len(set(values)) == 1 for values in many)

    @property
    def finished(self) -> bool:
        """Return whether the race is over."""
        return self.end is not None

    @property
    def winner(self) -> str | None:
        """Return the run whose configuration to take: the first, or of equal ones the cheapest; None without one."""
        valued = [item for item in self.members if item.mean is not None]
        if not valued:
            return None
        equal = [item for item in valued if item.run_id in self.equal]
        return (_cheapest(equal) or valued[0]).run_id if equal else valued[0].run_id

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        tied = [item for item in self.members if item.tied]
        cheap = _cheapest(tied)
        found = asdict(self)
        for member, item in zip(found["members"], self.members, strict=True):
            member["stopped"] = item.stopped
        if self.holdout is not None:
            for entry, look in zip(found["holdout"]["looks"], self.holdout.looks, strict=True):
                entry["mean"] = look.mean
        return {
            **found,
            "finished": self.finished,
            "winner": self.winner,
            "seed_ignored": self.seed_ignored,
            "tied": [item.run_id for item in tied],
            "cheapest": cheap.run_id if cheap else None,
            "verdict": verdict(self),
        }


def _cheapest(members: Sequence[RankedConfiguration]) -> RankedConfiguration | None:
    """Return the one whose runs take the least time; None when no time is known."""
    timed = [item for item in members if item.duration_s is not None and item.duration_s >= _LEAST_S]
    return min(timed, key=lambda item: item.duration_s or 0.0) if timed else None


# -- words ------------------------------------------------------------------------------------------------------------


def verdict(race: Confirmation) -> list[str]:
    """Return what is to be known, most important first."""
    winner = next((item for item in race.members if item.run_id == race.winner), None)
    if winner is None:
        return ["nothing is confirmed: no run with a fresh seed has a value; look at its logs"]
    digits = digits_for(race.spread)
    lines = [*_unseeded(race), _take(race, winner), *_looks_lines(race, winner, digits)]
    tied = [item for item in race.members if item.tied]
    if len(tied) > 1:
        names = ", ".join(item.name for item in tied)
        lines.append(f"{len(tied)} configurations cannot be told apart: {names}{_cheaper(tied, winner)}")
    lines += _optimism_lines(winner, digits)
    lines += holdout_lines(race, digits)
    return lines + _cautions(race)


def _unseeded(race: Confirmation) -> list[str]:
    """Return what goes before everything else: a program that ignores its seed is confirmed in nothing."""
    if not race.seed_ignored:
        return []
    by = f"parameter {race.seed_parameter} and " if race.seed_parameter else ""
    return [
        "nothing is confirmed: every seed gave the same value, so the program does not use it (it gets it by "
        f"{by}the variable SEED)"
    ]


def _looks_lines(race: Confirmation, winner: RankedConfiguration, digits: int) -> list[str]:
    """Return the warning where fresh runs were looked at unequally often, with who is best at equal looks."""
    runs = [run for item in race.members for run in item.fresh if run.value is not None and run.last is not None]
    counts = {run.reports for run in runs}
    if not race.best_of_reports or len(counts) < 2 or all(run.value == run.last for run in runs):
        return []
    means = {item.run_id: mean(values) for item in race.members if (values := _last_values(item))}
    at_last = Goal(race.goal).best(list(means.values()))
    names = {item.run_id: item.name for item in race.members}
    first = next(run_id for run_id, value in means.items() if value == at_last)
    which = "it is the best there, too" if first == winner.run_id else f"{names[first]} is the best"
    return [
        f"fresh runs made {min(counts)} to {max(counts)} reports and the best of each counts, so more looks make a "
        f"better value by luck alone: at equal looks, by the last report of each, {which} with a mean of "
        f"{at_last:.{digits}f}"
    ]


def _last_values(item: RankedConfiguration) -> list[float]:
    return [run.last for run in item.fresh if run.value is not None and run.last is not None]


def _optimism_lines(winner: RankedConfiguration, digits: int) -> list[str]:
    """Return what fresh seeds say beside the sweep's score."""
    if winner.optimism is None or winner.mean is None:
        return []
    interval = _interval(winner, digits)
    head = (
        f"the sweep's score was {winner.sweep_score:.{digits}f}, fresh seeds say {winner.mean:.{digits}f}"
        f"{' ' + interval if interval else ''}"
    )
    if f"{abs(winner.optimism):.{digits}f}" == f"{0:.{digits}f}":
        return [f"{head}: the same"]
    if winner.low is not None and winner.high is not None and winner.low <= winner.sweep_score <= winner.high:
        return [f"{head}: the sweep's lies within that interval"]
    how = "flattered it" if winner.optimism > 0 else "underestimated it"
    return [f"{head}: the sweep {how} by {difference_text(abs(winner.optimism), digits, sign=False)}"]


def _take(race: Confirmation, winner: RankedConfiguration) -> str:
    chance = (
        ""
        if winner.chance is None
        else f", on this validation set the best of {len(race.members)} with a chance of {chance_text(winner.chance)}"
    )
    if len(race.members) == 1:
        chance = ", the only configuration"
    if race.equal:
        cheapest = _cheapest([item for item in race.members if item.run_id in race.equal])
        which = "it is the cheapest of them" if cheapest is winner else "it is the first of them"
        return f"take {winner.name}: {len(race.equal)} are equal within ±{race.rope:g}, {which}"
    word = "take" if race.finished else "so far"
    return f"{word} {winner.name}{chance}"


def _cheaper(tied: Sequence[RankedConfiguration], winner: RankedConfiguration) -> str:
    """Return which of the tied configurations trains faster than the winner, when it is worth a word."""
    found = _cheapest(tied)
    if found is None or found is winner or not found.duration_s or winner.duration_s is None:
        return ""
    ratio = winner.duration_s / found.duration_s
    return f"; {found.name} is {ratio:.1f} times cheaper to train" if ratio >= _CHEAPER else ""


def _cautions(race: Confirmation) -> list[str]:
    lines = []
    if race.holdout is None and race.finished:
        lines.append(
            "fresh seeds take the luck of the seed out, not that of the data that the sweep chose by: "
            "that part of the optimism stays"
        )
    if race.fallback and race.spread is not None:
        lines.append("no configuration had two fresh seeds: the spread is that between sweep and fresh runs, too large")
    lost = [f"{item.name}: {item.lost}" for item in race.members if item.lost]
    if lost:
        lines.append(f"fresh runs without a value: {', '.join(lost)}; such a configuration ranks behind the others")
    return lines


def _interval(item: RankedConfiguration, digits: int) -> str:
    if item.low is None or item.high is None or item.low == item.high:  # a seed that is ignored tells nothing
        return ""
    return f"[{item.low:.{digits}f}, {item.high:.{digits}f}]"


def headline(race: Confirmation) -> str:
    """Return what was done in one line."""
    rounds = ", ".join(f"{keep} x {each}" for keep, each in race.rounds)
    ended = race.end or "not complete"
    return (
        f"{race.sweep}: {len(race.members)} of {race.configurations} configurations again with fresh seeds, "
        f"{race.runs} of at most {sum(keep * each for keep, each in race.rounds)} runs ({rounds}); {ended}"
    )


def cells_of(race: Confirmation) -> Cells:
    """Return the table, best first."""
    digits = digits_for(race.spread)
    rows = []
    for rank, item in enumerate(race.members, 1):
        marks = [
            *(["tied"] if item.tied and sum(one.tied for one in race.members) > 1 else []),
            *(["by model"] if item.by_model else []),
            *(["stopped early in the sweep"] if item.stopped else []),
        ]
        rows.append(
            (
                str(rank),
                f"{item.number} ({item.run_id})",
                f"{item.sweep_score:.{digits}f}",
                "-" if item.mean is None else f"{item.mean:.{digits}f}",
                _interval(item, digits) or "-",
                str(sum(run.value is not None for run in item.fresh)),
                "-" if item.optimism is None else difference_text(item.optimism, digits),
                "-" if item.chance is None else chance_text(item.chance),
                "-" if item.duration_s is None else f"{item.duration_s:.3g}",
                ", ".join(marks),
            )
        )
    return Cells(caption=f"Confirmation of {race.sweep}", heads=_HEADS, rows=tuple(rows), left=(0, 1, 9))


def confirmation_text(race: Confirmation, *, width: int = 120) -> str:
    """Return a confirmation for a terminal."""
    lines = [headline(race), "", as_text(cells_of(race), width=width), ""]
    winner = next((item for item in race.members if item.run_id == race.winner), None)
    lines += verdict(race)
    if winner is not None:
        chosen = {name: value for name, value in flattened(winner.params).items() if name != race.seed_parameter}
        lines.append("  " + "  ".join(f"{name}={short(value)}" for name, value in chosen.items()))
    return "\n".join(lines)


# -- files ------------------------------------------------------------------------------------------------------------


def write_confirmation(folder: Path, race: Confirmation) -> Path:
    """Write `confirmation.json` into a sweep's folder; return its path."""
    file = folder / FILE
    write_atomically(file, json_text({"schema": 1, **race.plain()}, indent=2) + "\n")
    return file


def read_confirmation(folder: Path) -> dict[str, Any] | None:
    """Return what a sweep's folder holds of its confirmation; None when there is none that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return found if found["schema"] == 1 and isinstance(found["members"], list) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def labels_of(folder: Path) -> dict[str, str]:
    """Return for each run that was confirmed what a table says of it; every other one is unconfirmed.

    Args:
        folder: The sweep's.
    """
    found = read_confirmation(folder)
    if found is None:
        return {}
    digits = digits_for(found["spread"])
    if found.get("seed_ignored"):
        return {item["run_id"]: "the same with every seed" for item in found["members"] if item["mean"] is not None}
    return {
        item["run_id"]: f"confirmed {item['mean']:.{digits}f}, {how_many(_valued(item), 'fresh seed')}"
        for item in found["members"]
        if item["mean"] is not None
    }


def _valued(member: Mapping[str, Any]) -> int:
    """Return how many fresh runs of a configuration have a value."""
    return sum(run["value"] is not None for run in member["fresh"])


def section_of(folder: Path) -> "Section | None":
    """Return a sweep's confirmation as a part of its report; None when it has none.

    Args:
        folder: The sweep's.
    """
    from sweepkit.reports.study_report import CONFIRMATION, Section

    found = read_confirmation(folder)
    if found is None:
        return None
    race = from_plain(found)
    table = cells_of(race)
    heads = "".join(f"<th>{html.escape(item)}</th>" for item in table.heads)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    words = "".join(f"<p>{html.escape(line)}</p>" for line in verdict(race))
    body = (
        f'<div class="lead">{words}</div><div class="box"><table class="ranks"><tr>{heads}</tr>{rows}</table></div>'
        f'<p class="note">{html.escape(headline(race))}</p>'
    )
    return Section(anchor=CONFIRMATION, title="Confirmation with fresh seeds", body=body)


def _member(found: Mapping[str, Any]) -> RankedConfiguration:
    """Return a configuration as `Confirmation.plain` has it."""
    kept = {name: value for name, value in found.items() if name != "stopped"}
    # Files of older versions have no scores, only whether there were any.
    scores = found.get("scores", () if found["stopped"] else (found["sweep_score"],))
    fresh = tuple(ConfirmationRun(**run) for run in found["fresh"])
    return RankedConfiguration(**{**kept, "scores": tuple(scores), "fresh": fresh, "alike": tuple(found["alike"])})


def from_plain(found: Mapping[str, Any]) -> Confirmation:
    """Return the confirmation that `Confirmation.plain` described."""
    names = Confirmation.__dataclass_fields__
    kept = {name: value for name, value in found.items() if name in names}
    members = tuple(map(_member, found["members"]))
    holdout = None
    if found["holdout"] is not None:
        holdout = holdout_from_plain(found["holdout"])
    tuples = {"rounds": tuple(tuple(item) for item in found["rounds"]), "seeds": tuple(found["seeds"])}
    return Confirmation(**{**kept, **tuples, "equal": tuple(found["equal"]), "members": members, "holdout": holdout})
