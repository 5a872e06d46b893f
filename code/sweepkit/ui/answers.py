"""What the page asks for, and the answers: JSON of one sweep, files to keep, an endless stream of changes."""

import base64
import json
import shlex
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import stdev
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.export import as_text, write
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import ENDED_WELL
from sweepkit.paths import python
from sweepkit.reports.cells import Cells, as_latex, latex_packages
from sweepkit.reports.figures.page import plot_of
from sweepkit.reports.table import short
from sweepkit.sweep_config.command import build_command
from sweepkit.sweep_config.read import read_recorded
from sweepkit.text.json_text import finite, picked, read_object
from sweepkit.text.nested_tables import flattened
from sweepkit.ui.hub import Hub
from sweepkit.ui.live_sweep import LiveSweep

LOOK_EVERY_S = 0.4  # so that a report is seen within a second of its being recorded
_LOG_BYTES = 64 * 1024
_BEAT_EVERY = 30  # looks without a change: then a comment, so that a browser that left is noticed


def _answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON; NaN and infinities as null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=finite)
    except ValueError:
        text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, {"cache-control": "no-store"}, "application/json")


class Answers:
    """The answers of one database's page."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def _of(self, request: Request, work: Callable[[LiveSweep], Any]) -> Response:
        """Answer with what `work` says of the sweep in the path; a thread does it, the loop goes on."""
        name = request.path_params["name"]
        try:
            return _answer(await anyio.to_thread.run_sync(lambda: work(self._hub.sweep(name))))
        except SweepKitError as error:
            return _answer({"error": str(error)}, 404 if "got no such name" in str(error) else 422)

    async def sweeps(self, _: Request) -> Response:
        """Return a line for each sweep."""
        found = await anyio.to_thread.run_sync(self._hub.sweeps)
        return _answer({"sweeps": found, "label": self._hub.label})

    async def sweep(self, request: Request) -> Response:
        """Return a sweep's page but its runs and figures."""
        return await self._of(request, lambda live: live.overview())

    async def rows(self, request: Request) -> Response:
        """Return a sweep's runs as rows, those changed after `since`."""
        since = int(request.query_params.get("since", 0) or 0)
        how = request.query_params.get("how", "best")
        of = _aggregations(request.query_params.getlist("of"))
        return await self._of(request, lambda live: live.rows(since, how, _metric_of(request), of))

    async def figure(self, request: Request) -> Response:
        """Return a figure: of all runs, or of those whose numbers stand in `runs` (as `run_numbers` reads them)."""
        kind = request.path_params["kind"]
        wanted: dict[str, Any] = {}
        runs: frozenset[int] | None = None
        if named := request.query_params.get("runs"):
            runs = run_numbers(named)
        wanted |= {"metric": _metric_of(request), "how": request.query_params.get("how", "best")}
        if "parameter" in request.query_params:
            wanted["parameter"] = request.query_params["parameter"]
        if "x" in request.query_params and "y" in request.query_params:
            wanted["pair"] = (request.query_params["x"], request.query_params["y"])

        def made(live: LiveSweep) -> Mapping[str, Any]:
            drawn = live.figure(kind, runs=runs, **wanted)
            return {
                **plot_of(drawn),
                "title": drawn.title,
                "caption": drawn.caption,
                **picked(drawn, "height", "min_width"),
            }

        return await self._of(request, made)

    async def run(self, request: Request) -> Response:
        """Return a run: its configuration, attempts, files, environment, the command that repeats it."""
        return await self._of(request, lambda live: self._run(live, request.path_params["run"], _metric_of(request)))

    def _run(self, live: LiveSweep, run_id: str, metric: str | None) -> dict[str, Any]:
        run = live.run(run_id)
        folder = live.paths.run_dir(run_id)
        result = live.paths.result(run_id)
        known = read_object(result) or {}
        return {
            "id": run.run_id,
            "number": run.number,
            "name": run.name,
            "state": run.state.value,
            "reason": run.reason,
            "params": flattened(run.params),
            "best_metrics": dict(run.best_metrics),
            "last_metrics": dict(run.last_metrics),
            "proposal": dict(run.proposal),
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "duration_s": run.outcome.get("duration_s"),
            "attempts": self._hub.attempts(run_id),
            "environment": {
                key: known.get(key)
                for key in ("host", "device", "git_commit", "code_hash", "package_versions", "peak_memory_mb")
            },
            "files": _files(folder),
            "folder": str(folder),
            "command": self._command(live, run),
            "best": None if (best := live.best_number(metric)) == run.number else best,
            "metric": None if (chosen := live.view(metric).metric) is None else chosen.name,
            "known": live.metrics(),
        }

    def _command(self, live: LiveSweep, run: RunRecord) -> str:
        sweep = live.found.sweep
        spec = read_recorded(sweep)
        argv = build_command(
            spec.command,
            program=str(sweep.meta.get("program") or spec.program or ""),
            params=run.params,
            interpreter=python(),
            env={},
            json_file="parameters.json",
            optional=None,
        )
        return shlex.join(argv)

    async def log(self, request: Request) -> Response:
        """Return the log of an attempt from a byte on, at most 64 KiB of it; without `from` its end."""

        def read(live: LiveSweep) -> dict[str, Any]:
            run_id, attempt = request.path_params["run"], request.path_params["attempt"]
            if attempt not in {item["attempt_id"] for item in self._hub.attempts(run_id)}:
                raise SweepKitError(f"log: must be of an attempt of run {run_id}, got {attempt!r}")
            given = request.query_params.get("from", "")
            return log_part(live.paths.log(attempt), int(given) if given.isdecimal() else None)

        return await self._of(request, read)

    async def export(self, request: Request) -> Response:
        """Return the rows that are shown as a file: CSV or Parquet."""
        given = await request.json()
        form = "parquet" if given.get("format") == "parquet" else "csv"
        columns, rows = list(map(str, given.get("columns", ()))), given.get("rows", ())
        table = [dict(zip(columns, row, strict=False)) for row in rows]
        name = f"{request.path_params['name']}.{form}"
        try:
            content = await anyio.to_thread.run_sync(partial(_as_file, table, form))
        except SweepKitError as error:
            return _answer({"error": str(error)}, 422)
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/vnd.apache.parquet"
        quoted = name.encode("ascii", "replace").decode().replace('"', "'")
        return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{quoted}"'})

    async def pivot(self, request: Request) -> Response:
        """Return a table of means over runs by up to two parameters: cells, LaTeX, CSV."""
        given = request.query_params
        how = given.get("how", "best")
        return await self._of(
            request,
            lambda live: _pivot(live, given.get("rows", ""), given.get("columns", ""), given.get("metric", ""), how),
        )

    async def act(self, request: Request) -> Response:
        """Do an action, and say what was done."""
        given = await request.json()
        name, action = request.path_params["name"], str(given.get("action", ""))
        try:
            done = await anyio.to_thread.run_sync(lambda: self._hub.act(name, action, given))
        except SweepKitError as error:
            return _answer({"error": str(error)}, 409)
        return _answer({"done": action, **done})

    async def events(self, request: Request) -> Response:
        """Return a stream of what changed: of one sweep, or of all."""
        name = request.query_params.get("sweep")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._changes(request, name), media_type="text/event-stream", headers=headers)

    async def _changes(self, request: Request, name: str | None) -> AsyncIterator[str]:
        before, quiet = "", 0
        while not self._hub.closing and not await request.is_disconnected():
            try:
                now = await anyio.to_thread.run_sync(lambda: self._state(name))
            except SweepKitError as error:
                now = json.dumps({"error": str(error)}, ensure_ascii=False)
            if now != before:
                yield f"event: change\ndata: {now}\n\n"
                before, quiet = now, 0
            elif (quiet := quiet + 1) % _BEAT_EVERY == 0:
                yield ": still here\n\n"
            await anyio.sleep(LOOK_EVERY_S)

    def _state(self, name: str | None) -> str:
        """Return what says whether anything changed."""
        if name is None:
            lines = [
                {key: line.get(key) for key in ("name", "state", "done", "best", "archived", "workers", "counts")}
                for line in self._hub.sweeps()
            ]
            return json.dumps(lines, ensure_ascii=False)
        live = self._hub.sweep(name)
        item = live.snapshot
        said = {"change": live.change, "ended_runs": live.ended[:2], "state": item.state.value, "workers": item.workers}
        return json.dumps({**said, "race": live.race_change()})


def _metric_of(request: Request) -> str | None:
    """Return which of several metrics is asked for, None for the first."""
    return request.query_params.get("metric") or None


def _aggregations(given: Sequence[str]) -> dict[str, str]:
    """Return what stands for the reports of each metric that is named so: "min:train/loss"."""
    found = (item.partition(":") for item in given)
    return {name: how for how, _, name in found if name}


def run_numbers(text: str) -> frozenset[int]:
    """Return the numbers of runs that a query names: with commas, or after "~" in base64 as a bit for each.

    >>> sorted(run_numbers("3,5")), sorted(run_numbers("~KA==")), sorted(run_numbers("~?"))
    ([3, 5], [3, 5], [])
    """
    if not text.startswith("~"):
        return frozenset(int(part) for part in text.split(",") if part.isdecimal())
    try:
        held = base64.urlsafe_b64decode(text[1:])
    except ValueError:
        return frozenset()
    return frozenset(8 * at + bit for at, byte in enumerate(held) for bit in range(8) if byte >> bit & 1)


def log_part(file: Path, start: int | None) -> dict[str, Any]:
    """Return a part of a log as text, where it begins and where the next one does; whole lines when they are short."""
    try:
        with file.open("rb") as held:
            size = held.seek(0, 2)
            at = max(0, size - _LOG_BYTES) if start is None else min(start, size)
            held.seek(at)
            data = held.read(_LOG_BYTES)
    except OSError:
        return {"text": "", "from": 0, "next": 0, "size": 0}
    if start is None and at and b"\n" in data:  # of its end, from a line's beginning on
        cut = data.index(b"\n") + 1
        at, data = at + cut, data[cut:]
    return {"text": data.decode("utf-8", "replace"), "from": at, "next": at + len(data), "size": size}


def _pivot(live: LiveSweep, down: str, across: str, metric: str, how: str = "best") -> dict[str, Any]:
    """Return mean ± standard deviation of a metric over runs, by the values of one or two parameters.

    Args:
        live: The sweep.
        down: A parameter, whose values are the rows.
        across: Likewise of the columns; "" makes one column.
        metric: Its name; "" the sweep's own.
        how: As for `LiveSweep.rows`.

    Raises:
        SweepKitError: A parameter or the metric is not the sweep's.
    """
    said = live.rows(0, how, metric or None)
    known = [item["name"] for item in said["params"]]
    for name in filter(None, (down or "?", across)):
        if name not in known:
            raise SweepKitError(f"table: must be by parameters of the sweep, got {name!r}; it has {', '.join(known)}")
    held: dict[tuple[str, str], list[float]] = {}
    for row in said["rows"]:
        value = row["value"]
        if row["state"] in ENDED_WELL and value is not None and down in row["params"]:
            key = (short(row["params"][down]), short(row["params"].get(across, "")) if across else "")
            held.setdefault(key, []).append(float(value))
    ups = _ordered({up for up, _ in held})
    sides = _ordered({side for _, side in held})
    texts = [[_mean_text(held.get((up, side), [])) for side in sides] for up in ups]
    name = metric or said["metric"] or ""
    heads = (down, *((f"{across}={side}" if across else name) for side in sides))
    cells = Cells(
        caption=f"{name}: mean ± standard deviation over runs",
        heads=heads,
        rows=tuple((up, *line) for up, line in zip(ups, texts, strict=True)),
        left=(0,),
    )
    table = [dict(zip(heads, line, strict=True)) for line in cells.rows]
    text = as_latex(cells)
    shown = f"{latex_packages(text)}\n{text}"
    return {"heads": heads, "rows": cells.rows, "latex": shown, "csv": as_text(table, "csv")}


def _mean_text(values: list[float]) -> str:
    if not values:
        return "–"
    mean = sum(values) / len(values)
    return f"{mean:.4g} ± {stdev(values):.2g} (n {len(values)})" if len(values) > 1 else f"{mean:.4g} (n 1)"


def _ordered(names: set[str]) -> list[str]:
    """Return values in the order of their numbers where they are numbers."""
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def _files(folder: Path, most: int = 200) -> list[dict[str, Any]]:
    """Return the files of a run's folder with their sizes."""
    found = []
    for file in sorted(folder.rglob("*"))[:most] if folder.is_dir() else ():
        if file.is_file():
            stat = file.stat()
            at = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat(timespec="seconds")
            found.append({"name": str(file.relative_to(folder)), "bytes": stat.st_size, "at": at})
    return found


def _as_file(table: list[dict[str, Any]], form: str) -> bytes:
    if form == "csv":
        return as_text(table, "csv").encode("utf-8-sig")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.parquet"
        write(table, form, file)
        return file.read_bytes()
