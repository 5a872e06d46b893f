"""`sweepkit list`: every sweep of a database, the newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sweepkit.agents.control import noted
from sweepkit.analysis.short_rows import best_counts, snapshot_of
from sweepkit.housekeeping.find import Recorded, SweepPlace, opened, recorded
from sweepkit.housekeeping.labels import note_of, tags_of
from sweepkit.housekeeping.sizes import folder_bytes, in_words
from sweepkit.model.identity import identity_in
from sweepkit.reports.cells import Cells, as_text

_HEADS = ("sweep", "state", "runs", "running", "failed", "metric", "best", "run", "began")


def listed(
    place: SweepPlace, *, sizes: bool = False, tags: Sequence[str] = (), archived: bool = True
) -> list[dict[str, Any]]:
    """Return what is known of every sweep.

    Args:
        place: Where sweeps are.
        archived: Those in the archive, too.
        tags: Only of those that have all of these.
        sizes: Also how many bytes each one's folder takes, which looks at every file.

    Raises:
        SweepKitError: There is no database.
    """
    with opened(place) as (watch, output_dir, _):
        sweeps = sorted(watch.sweeps(), key=lambda sweep: sweep.created_at, reverse=True)
        found = [recorded(watch, sweep, output_dir, in_short=best_counts(sweep)) for sweep in sweeps]
    shown = [item for item in found if archived or not noted(item.sweep, "archived")]
    return [_plain(item, sizes) for item in shown if set(tags) <= set(tags_of(item))]


def _plain(found: Recorded, sizes: bool) -> dict[str, Any]:
    item = snapshot_of(found.poll, found.spec)
    best, metric = item.first, item.ranked_by
    shown = None
    if best is not None:
        shown = {"run_id": best.run_id, "value": best.value, "seeds": best.seeds, "params": dict(best.params)}
    return {
        "name": found.sweep.name,
        "project": identity.folder if (identity := identity_in(found.sweep)) is not None else "",
        "state": found.sweep.state.value,
        "standing": item.standing,
        "idle": bool(item.idle),
        "reason": found.sweep.reason,
        "tags": tags_of(found),
        "note": note_of(found),
        "archived": bool(noted(found.sweep, "archived")),
        "created_at": found.sweep.created_at,
        "runs": sum(item.counts.values()),
        "done": item.done,
        "total": item.total,
        "running": item.workers,
        "failed": item.failed,
        "counts": {state.value: number for state, number in item.counts.items()},
        "metric": None if metric is None else metric.name,
        "goal": None if metric is None else metric.goal.value,
        "best": shown,
        "folder": str(found.paths.root),
        **({"bytes": folder_bytes(found.paths.root)} if sizes else {}),
    }


def listed_text(rows: list[dict[str, Any]], *, width: int) -> str:
    """Return the sweeps as a table for a terminal of `width` columns."""
    if not rows:
        return "no sweeps"
    sized, tagged = "bytes" in rows[0], any(row["tags"] for row in rows)
    projects = _distinct_texts([row["project"] for row in rows])
    cells = [
        (
            row["name"],
            row["standing"] + (", archived" if row["archived"] else ""),
            str(row["runs"]) if row["total"] in (None, row["runs"]) else f"{row['runs']} of {row['total']}",
            str(row["running"] or ""),
            str(row["failed"] or ""),
            row["metric"] or "",
            "" if row["best"] is None or row["best"]["value"] is None else f"{row['best']['value']:.5g}",
            "" if row["best"] is None else row["best"]["run_id"],
            datetime.fromtimestamp(row["created_at"]).strftime("%Y-%m-%d %H:%M"),
            *([projects[row["project"]]] if projects else []),
            *([", ".join(row["tags"])] if tagged else []),
            *([in_words(row["bytes"])] if sized else []),
        )
        for row in rows
    ]
    heads = (*_HEADS, *(["project"] if projects else []), *(["tags"] if tagged else []), *(["size"] if sized else []))
    left = (0, 1, 5, 7, 8, *[place for place, head in enumerate(heads) if head in ("project", "tags")])
    return as_text(Cells(caption="sweeps", heads=heads, rows=tuple(cells), left=left), width=width)


def _distinct_texts(folders: Sequence[str]) -> dict[str, str]:
    """Return what to call each of several projects: the least of its path's end that no other has; {} of a single one.

    >>> _distinct_texts(["/home/a/exp", "/home/b/exp", "/home/b/exp"])
    {'/home/a/exp': 'a/exp', '/home/b/exp': 'b/exp'}
    """
    different = dict.fromkeys(folders)
    if len(different) < 2:
        return {}
    ends = {folder: folder.strip("/").split("/") for folder in different}
    for parts in range(1, max(map(len, ends.values())) + 1):
        shown = {folder: "/".join(words[-parts:]) for folder, words in ends.items()}
        if len(set(shown.values())) == len(shown):
            return shown
    return {folder: folder for folder in ends}
