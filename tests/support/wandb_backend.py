"""A W&B server small enough to read: what the real client of W&B 0.31 asks of one, served on loopback and recorded.

    with WandbBackend() as backend:
        env = os.environ | backend.environment(folder)
        subprocess.run(["wandb", "agent", "--count", "2", sweep_id], env=env)
        backend.runs["…"].history

Faults (`backend.faults`, see `wandb_faults`) make answers fail, come late or break; `backend.keys` are the good keys.
A file stream is taken line by line: a line that is sent again is counted (`BackendRun.resent`), and one that
differs from what stands there, or leaves a gap, is kept in `BackendRun.conflicts`, so that no double sending hides.

It serves `wandb.sweep`, `wandb.agent(function)`, the `wandb agent` command, runs that log online, `wandb sync`, and
`wandb.Api().sweep(path).runs`. It speaks plain HTTP on 127.0.0.1, keeps everything in memory, and
answers an operation it does not know with a GraphQL error, recorded in `unknown`.
"""

import base64
import contextlib
import gzip
import itertools
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from wandb_faults import Fault, Faults

ENTITY = "tester"
PROJECT = "loopback"
API_KEY = "0123456789" * 4
CREATED_AT = "2026-01-01T00:00:00Z"


@dataclass
class BackendRun:
    """One run as it arrived. `history` is in order of arrival; `config` is W&B's `{name: {"value": …}}` made plain."""

    name: str
    project: str = PROJECT
    sweep: str | None = None
    group: str | None = None
    state: str = "pending"
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    files: set[str] = field(default_factory=set)
    artifacts: set[str] = field(default_factory=set)
    upserts: int = 0
    created_at: str = CREATED_AT
    stopped: bool = False
    name_shown: str = ""
    job_type: str | None = None
    program: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    resent: int = 0
    conflicts: list[str] = field(default_factory=list)
    console: dict[int, str] = field(default_factory=dict)
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)

    def take_rows(self, offset: int, rows: list[dict[str, Any]]) -> None:
        """Take history rows whose first one stands at `offset`."""
        for at, row in enumerate(rows, offset):
            if at == len(self.history):
                self.history.append(row)
            elif at > len(self.history):
                self.conflicts.append(f"row {at} came when there were {len(self.history)}")
            else:
                self.resent += 1
                if not _same_row(self.history[at], row):
                    self.conflicts.append(f"row {at} was {self.history[at]}, came again as {row}")


@dataclass
class BackendSweep:
    """One sweep as it was asked for. `sweep_id` is what users see; W&B's API calls it `name`."""

    sweep_id: str
    text: str
    config: dict[str, Any]
    project: str
    state: str = "PENDING"
    controller: str | None = None
    scheduler: str | None = None
    proposals: Iterator[dict[str, Any]] = field(default_factory=lambda: iter(()))

    @property
    def internal_id(self) -> str:
        """Return the id that mutations take."""
        return base64.b64encode(f"Sweep:{self.sweep_id}".encode()).decode()


def _operation(query: str) -> str:
    """Return the name of a GraphQL operation, "" for one without."""
    match = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
    return match.group(1) if match else ""


def _same_row(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two rows are the same to W&B: `_runtime` is what the sender counts, not what was logged."""
    return {**one, "_runtime": 0} == {**other, "_runtime": 0}


def grid(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the product of `values` and `value` in W&B's order (by name); a range gives its `min` only."""
    parameters = dict(sorted(config.get("parameters", {}).items()))
    choices = [p.get("values", [p["value"] if "value" in p else p.get("min")]) for p in parameters.values()]
    for point in itertools.product(*choices):
        yield dict(zip(parameters, point, strict=True))


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a W&B configuration without its `{"value": …}` and without W&B's own keys."""
    items = {key: value.get("value") if isinstance(value, dict) else value for key, value in config.items()}
    return {key: value for key, value in items.items() if key not in ("_wandb", "wandb_version")}


class WandbBackend:
    """The server; a context manager that runs it in a thread.

    Args:
        propose: From a sweep's configuration, the parameters of its runs in order; the sweep ends when they do.

    Attributes:
        runs: By name, in order of creation.
        sweeps: By id.
        operations: How often each GraphQL operation was asked.
        requests: How often each HTTP endpoint was.
        unknown: Operations that were answered with an error.
        commands: Commands for agents, by agent id; each is sent once, before any run (`{"type": "stop", …}`).
        faults: What goes wrong.
        keys: The API keys that are accepted; None accepts every one.

    `port` 0 takes a free one; a server that comes back listens where it did.
    """

    def __init__(
        self, propose: Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]] = grid, *, port: int = 0
    ) -> None:
        self.runs: dict[str, BackendRun] = {}
        self.sweeps: dict[str, BackendSweep] = {}
        self.agents: dict[str, str] = {}
        self.operations: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.commands: dict[str, list[dict[str, Any]]] = {}
        self.faults = Faults()
        self.keys: set[str] | None = None
        self._propose = propose
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Return the base URL that clients take as WANDB_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, folder: Path | str) -> dict[str, str]:
        """Return the variables that point a client here and keep all its files under `folder`, which must exist."""
        directory = str(folder)
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": API_KEY,
            "WANDB_ENTITY": ENTITY,
            "WANDB_PROJECT": PROJECT,
            "WANDB_MODE": "online",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DIR": directory,
            "WANDB_CONFIG_DIR": directory,
            "WANDB_CACHE_DIR": directory,
            "WANDB_DATA_DIR": directory,
            "NETRC": f"{directory}/netrc",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def __enter__(self) -> "WandbBackend":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add_sweep(self, config: Mapping[str, Any], project: str = PROJECT) -> str:
        """Make a sweep as `wandb sweep` does and return its id."""
        with self._lock:
            sweep_id = f"sweep{len(self.sweeps):03d}"
            text = yaml.safe_dump(dict(config))
            sweep = BackendSweep(sweep_id, text, dict(config), project, proposals=self._propose(config))
            self.sweeps[sweep_id] = sweep
            return sweep_id

    # Requests

    def graphql(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one GraphQL request: `{"data": …}` or `{"errors": …}`."""
        operation = _operation(query)
        with self._lock:
            self.operations[operation] += 1
            answer = getattr(self, f"_op_{operation}", None)
            if answer is None:
                self.unknown[operation] += 1
                return {"errors": [{"message": f"{operation} is not served here"}]}
            return {"data": answer(variables)}

    def file_stream(self, name: str, body: Mapping[str, Any]) -> None:
        """Take one POST of a run's file stream: history and summary lines, and its end."""
        with self._lock:
            self.requests["file_stream"] += 1
            run = self.runs.setdefault(name, BackendRun(name))
            for file, chunk in (body.get("files") or {}).items():
                lines = chunk.get("content", [])
                if file == "wandb-history.jsonl":
                    run.take_rows(chunk.get("offset", 0), [json.loads(line) for line in lines])
                elif file == "output.log":
                    run.console.update(enumerate(lines, chunk.get("offset", 0)))
                elif file == "wandb-events.jsonl":
                    run.events.update(enumerate(map(json.loads, lines), chunk.get("offset", 0)))
                elif file == "wandb-summary.json" and lines:
                    run.summary = json.loads(lines[-1])
            if body.get("complete"):
                run.exit_code = body.get("exitcode")
                run.state = {0: "finished", 255: "killed"}.get(run.exit_code, "failed")

    # Operations, by W&B's names

    def _op_Viewer(self, _: Mapping[str, Any]) -> dict[str, Any]:
        viewer = {"id": "VXNlcjox", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": viewer | {"admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []}}}

    def _op_UpsertSweep(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._sweep(variables.get("id")) if variables.get("id") else None
        if sweep is None:
            config = yaml.safe_load(variables["config"])
            sweep = self.sweeps[self.add_sweep(config, variables.get("projectName") or PROJECT)]
        for name in ("state", "controller", "scheduler"):
            if variables.get(name):
                setattr(sweep, name, variables[name])
        found = {"id": sweep.internal_id, "name": sweep.sweep_id, "project": _project(sweep.project)}
        return {"upsertSweep": {"sweep": found, "configValidationWarnings": []}}

    def _op_CreateAgent(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        agent_id = f"agent{len(self.agents)}"
        self.agents[agent_id] = variables["sweep"].rpartition("/")[2]
        return {"createAgent": {"agent": {"id": agent_id}}}

    def _op_Heartbeat(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        agent_id = variables["id"]
        commands = self.commands.pop(agent_id, [])
        if not commands and not json.loads(variables.get("runState") or "{}"):
            commands = [self._next_run(self.sweeps[self.agents[agent_id]])]
        return {"agentHeartbeat": {"agent": {"id": agent_id}, "commands": json.dumps(commands)}}

    def _next_run(self, sweep: BackendSweep) -> dict[str, Any]:
        """Return the command for an idle agent: the sweep's next run, or the end."""
        runs = sum(run.sweep == sweep.sweep_id for run in self.runs.values())
        params = None
        if sweep.state in ("PENDING", "RUNNING") and runs < sweep.config.get("run_cap", float("inf")):
            params = next(sweep.proposals, None)
        if params is None:
            sweep.state = "FINISHED" if sweep.state in ("PENDING", "RUNNING") else sweep.state
            return {"type": "exit"}
        sweep.state = "RUNNING"
        run = BackendRun(f"run{len(self.runs):05d}", sweep.project, sweep.sweep_id, config=params)
        self.runs[run.name] = run
        args = {key: {"value": value} for key, value in params.items()}
        return {"type": "run", "run_id": run.name, "program": sweep.config.get("program"), "args": args}

    def _op_SweepWithRuns(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._sweep(variables["sweep"])
        if sweep is None:
            return {"project": {"sweep": None}}
        runs = [{"node": self._node(run)} for run in self.runs.values() if run.sweep == sweep.sweep_id]
        return {"project": {"sweep": _sweep_node(sweep) | {"runs": {"edges": runs}}}}

    def _op_GetSweep(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._sweep(variables["name"])
        return {"project": {"sweep": _sweep_node(sweep) if sweep else None}}

    def _op_GetSweepState(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._sweep(variables["sweep"])
        return {"project": {"sweep": {"state": sweep.state} if sweep else None}}

    def _op_Runs(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        wanted = dict(_conditions(json.loads(variables.get("filters") or "{}")))
        sweep = self._sweep(wanted["sweep"]) if "sweep" in wanted else None
        runs = list(self.runs.values())
        if "sweep" in wanted:
            runs = [run for run in runs if sweep is not None and run.sweep == sweep.sweep_id]
        if "group" in wanted:
            runs = [run for run in runs if run.group == wanted["group"]]
        start = int(variables.get("cursor") or 0)
        end = start + int(variables.get("perPage") or 50)
        edges = [{"node": self._node(run), "cursor": str(i + 1)} for i, run in list(enumerate(runs))[start:end]]
        page = {"endCursor": str(min(end, len(runs))), "hasNextPage": end < len(runs)}
        found = {"edges": edges, "pageInfo": page}
        return {"project": {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": found}}

    def _op_RunHistoryKeys(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the first of the three queries of `scan_history`: up to which step there are rows."""
        steps = [row.get("_step", n) for n, row in enumerate(self.runs[variables["name"]].history)]
        keys = {"lastStep": max(steps), "keys": {}, "sets": []} if steps else None
        return {"project": {"run": {"historyKeys": keys}}}

    def _op_RunParquetHistory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}

    def _op_HistoryPage(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        low, high = variables["minStep"], variables["maxStep"]
        rows = [{"_step": n, **row} for n, row in enumerate(self.runs[variables["run"]].history)]
        page = [json.dumps(row) for row in rows if low <= row["_step"] < high][: variables["pageSize"]]
        return {"project": {"run": {"history": page}}}

    def _op_UpsertBucket(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        inserted = name not in self.runs or self.runs[name].upserts == 0
        run = self.runs.setdefault(name, BackendRun(name))
        run.upserts += 1
        run.state = "running" if run.exit_code is None else run.state
        run.project = variables.get("project") or run.project
        run.group = variables.get("groupName") or run.group
        run.sweep = variables.get("sweep") or run.sweep
        run.name_shown = variables.get("displayName") or run.name_shown
        run.job_type = variables.get("jobType") or run.job_type
        run.program = variables.get("program") or run.program
        run.tags = variables.get("tags") or run.tags
        run.notes = variables.get("notes") or run.notes
        if variables.get("config"):
            run.config = plain(json.loads(variables["config"]))
        bucket = {"id": f"id-{name}", "name": name, "displayName": name, "description": None, "config": "{}"}
        bucket |= {"sweepName": run.sweep, "project": _project(run.project), **_line_counts(run)}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _op_RunResumeStatus(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        counts = {} if run is None else _line_counts(run)
        bucket = None if run is None else {"id": f"id-{run.name}", "name": run.name, **counts}
        return {"model": {"id": "UHJvamVjdDox", "name": variables["project"], "bucket": bucket}}

    def _op_RunStopped(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        return {"model": {"id": "UHJvamVjdDox", "bucket": run and {"id": f"id-{run.name}", "stopped": run.stopped}}}

    def _op_CreateArtifact(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Take an artifact as one whose files are there already: none is asked for."""
        given = variables["input"]
        self.runs[given["runName"]].artifacts.add(given["artifactCollectionName"])
        sequence = {"id": "QXJ0aWZhY3Q6MQ==", "name": "s", "latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": "QXJ0", "state": "COMMITTED", "artifactSequence": sequence}}}

    def _op_CreateRunFiles(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        name = variables["run"]
        files = [{"name": file, "uploadUrl": f"{self.url}/upload/{name}/{file}"} for file in variables["files"]]
        self.runs.setdefault(name, BackendRun(name)).files.update(variables["files"])
        return {"createRunFiles": {"runID": f"id-{name}", "uploadHeaders": [], "files": files}}

    def _sweep(self, key: str | None) -> BackendSweep | None:
        """Return a sweep by its id, its internal id or its path."""
        name = (key or "").rpartition("/")[2]
        return next((s for s in self.sweeps.values() if key == s.internal_id or name == s.sweep_id), None)

    def _node(self, run: BackendRun) -> dict[str, Any]:
        config = json.dumps({key: {"value": value} for key, value in run.config.items()})
        node = {"id": f"id-{run.name}", "name": run.name, "displayName": run.name, "sweepName": run.sweep}
        node |= {"state": run.state, "group": run.group, "config": config, "summaryMetrics": json.dumps(run.summary)}
        node |= {"projectId": 1, "tags": run.tags, "jobType": run.job_type, "commit": None, "readOnly": False}
        node |= {"createdAt": run.created_at, "heartbeatAt": CREATED_AT, "description": None, "systemMetrics": "{}"}
        node |= {"historyLineCount": len(run.history), "user": {"name": ENTITY, "username": ENTITY}}
        node |= {"notes": run.notes, "historyKeys": None, "exitcode": run.exit_code, "shouldStop": False}
        node |= {"failed": run.state == "failed", "stopped": run.stopped, "running": run.state == "running"}
        return node | {"sampledHistory": [run.history]}


def _line_counts(run: BackendRun) -> dict[str, int]:
    counts = {"historyLineCount": len(run.history), "eventsLineCount": len(run.events)}
    return counts | {"logLineCount": len(run.console)}


def _project(name: str) -> dict[str, Any]:
    return {"id": "UHJvamVjdDox", "name": name, "entity": {"id": "RW50aXR5OjE=", "name": ENTITY}}


def _sweep_node(sweep: BackendSweep) -> dict[str, Any]:
    node = {"__typename": "Sweep", "id": sweep.internal_id, "name": sweep.sweep_id, "state": sweep.state}
    node |= {"displayName": sweep.config.get("name"), "method": sweep.config.get("method"), "config": sweep.text}
    node |= {"description": sweep.config.get("description"), "bestLoss": None, "earlyStopJobRunning": False}
    node |= {"controller": sweep.controller, "scheduler": sweep.scheduler, "runCount": 0, "runCountExpected": None}
    return node | {"createdAt": CREATED_AT, "updatedAt": CREATED_AT, "heartbeatAt": CREATED_AT}


def _conditions(filters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in filters.items():
        if key == "$and":
            for inner in value:
                yield from _conditions(inner)
        else:
            yield key, value


def _handler(backend: WandbBackend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # the client keeps its connections

        def do_POST(self) -> None:
            body = self._body()
            request = json.loads(body) if self.path.startswith("/graphql") else {}
            fault = backend.faults.meet(f"{self.path} {_operation(request.get('query', ''))}".rstrip())
            if self._broken(fault):
                return
            if request:
                answer = backend.graphql(request["query"], request.get("variables") or {})
            elif match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                backend.file_stream(match.group(1), json.loads(body))
                answer = {"exitcode": None, "limits": {}}
            else:
                answer = self._other()
            self._answer(answer, cut=fault is not None and fault.drop == "after")

        def do_PUT(self) -> None:
            body = self._body()
            fault = backend.faults.meet(self.path)
            if self._broken(fault):
                return
            if match := re.fullmatch(r"/upload/([^/]+)/(.+)", self.path):
                backend.runs[match.group(1)].content[match.group(2)] = body
            self._answer(self._other(), cut=fault is not None and fault.drop == "after")

        def do_GET(self) -> None:
            self._answer(self._other())

        def _other(self) -> dict[str, Any]:
            """Uploads, telemetry and health checks: taken, counted, answered with nothing."""
            backend.requests[f"{self.command} /{self.path.split('/')[1]}"] += 1
            return {}

        def _broken(self, fault: Fault | None) -> bool:
            """Answer a request that a fault or a wrong key keeps from being done; False when neither does."""
            if fault is not None and fault.drop == "before":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return True
            status, headers = (fault.status, fault.headers) if fault is not None else (0, ())
            if not status and not self.path.startswith("/upload/") and not self._key_is_good():
                status = 401
            if status:
                body = fault.body if fault is not None else None
                self._answer({"errors": [{"message": f"status {status}"}]}, status=status, headers=headers, body=body)
            return bool(status)

        def _key_is_good(self) -> bool:
            if backend.keys is None:
                return True
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            with contextlib.suppress(ValueError):
                return base64.b64decode(given).decode().partition(":")[2] in backend.keys
            return False

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") == "chunked":
                data = b"".join(iter(self._chunk, b""))
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

        def _chunk(self) -> bytes:
            size = int(self.rfile.readline().split(b";")[0], 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            return data

        def _answer(
            self,
            value: Any,
            *,
            status: int = 200,
            headers: tuple[tuple[str, str], ...] = (),
            cut: bool = False,
            body: bytes | None = None,
        ) -> None:
            data = json.dumps(value).encode() if body is None else body
            self.send_response(status)
            for name, text in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that was killed in the middle of a request
                super().handle()

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests read what was recorded."""

    return Handler
