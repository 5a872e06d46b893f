"""Sweeps on a W&B server read by the real client: whole, again and again, and when the server does not answer."""

import json
import os
import sys
from pathlib import Path

import pytest
import warm
from snapshots import words_of
from wandb_backend import API_KEY, ENTITY, PROJECT

from sweepkit.errors import TrackingError
from sweepkit.paths import CODE_DIR
from sweepkit.wandb.access import describe_error
from sweepkit.wandb.agent_silence import _WRITTEN_S
from sweepkit.wandb.client import client_errors, sweep_path

WORDS = words_of(__file__)

# In the child both sides run: the server in a thread, the client in front of it.
PREPARE = (
    f"""
import json, os, sys
from pathlib import Path
sys.path[:0] = [{str(CODE_DIR)!r}, {str(Path(__file__).parents[1] / "support")!r}]
"""
    + """
from wandb_backend import ENTITY, PROJECT, BackendRun, WandbBackend
from sweepkit.errors import SweepKitError

CONFIG = {
    "method": "random", "name": "요약 탐색", "metric": {"name": "손실/val", "goal": "minimize"}, "program": "train.py",
    "parameters": {"x": {"values": list(range(1000))}, "opt": {"parameters": {"lr": {"min": 1e-5, "max": 0.1}}}},
    "settings": {"added": "by the client"}, "controller": None,
}

def add(backend, sweep_id, name, state, values, x, **fields):
    rows = [{"손실/val": v, "acc": 1 - v if isinstance(v, float) else 0.5} for v in values]
    rows = [row | {"_step": 2 * n, "_timestamp": 1767225600.0 + n} for n, row in enumerate(rows)]
    summary = {"손실/val": values[-1], "_runtime": 10.0 * len(values)} if values else {}
    config = {"x": x, "opt": {"lr": 0.01, "eps": 1e-8}, "epochs": 3}
    run = BackendRun(name, PROJECT, sweep_id, state=state, config=config, history=rows, summary=summary)
    for field, value in fields.items():
        setattr(run, field, value)
    backend.runs[name] = run
    return run

def connected(backend):
    os.environ.update(backend.environment(os.getcwd()))
    sweep_id = backend.add_sweep(CONFIG)
    backend.sweeps[sweep_id].state = "RUNNING"
    return sweep_id, f"{ENTITY}/{PROJECT}/{sweep_id}"
"""
)


def child(tmp_path, code, timeout=100, **variables):
    """Run code after PREPARE in a process of its own and return what its last line tells as JSON, and its output."""
    script = tmp_path / "child.py"
    script.write_text(PREPARE + code, encoding="utf-8")
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(script), "--wandb"]  # which is why it is forked off what has the client
    done = warm.run(command, env=os.environ | home | variables, cwd=tmp_path, timeout=timeout)
    assert done.returncode == 0, done.stderr
    assert API_KEY not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "team/summaries/ab12cd34",
        "team/summaries/sweeps/ab12cd34",
        " /team/summaries/ab12cd34/ ",
        "https://wandb.ai/team/summaries/sweeps/ab12cd34",
        "https://wandb.ai/team/summaries/sweeps/ab12cd34?nw=nwuser&panel=1",
        "https://forge.example.com/wandb/team/summaries/sweeps/ab12cd34/",
    ],
)
def test_every_spelling_of_a_path(text):
    assert sweep_path(text) == "team/summaries/ab12cd34"


def test_a_project_with_a_blank_and_other_letters():
    assert sweep_path("team/내 프로젝트/ab") == "team/내 프로젝트/ab"
    assert sweep_path("https://wandb.ai/team/%EB%82%B4%20%ED%94%84/sweeps/ab") == "team/내 프/ab"


@pytest.mark.parametrize(
    "text", ["", "project/id", "a/b/c/d", "https://wandb.ai/a/b/runs/c", "https://wandb.ai/a/b", "a//c"]
)
def test_a_path_of_another_form_is_refused(text):
    with pytest.raises(TrackingError, match=WORDS["id-or-the"]):
        sweep_path(text)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("giving up after 5 attempt(s) while retrying: HTTP 429: slow down", "must have requests left"),
        ("giving up after 5 attempt(s) while retrying: HTTP 500: oops", "check the network"),
        ("Failed to verify credentials with http://h: HTTP 401: no", "must accept your key, got: HTTP 401: no"),
        ("permission denied for " + "k" * 40, r"got: permission denied for \(a key\); set WANDB_API_KEY"),
        ("Could not find sweep <Sweep a/b/c>", "check the path"),
        ("x" * 10 + " y" * 1000, " …; check the network"),
        ("", "got: RuntimeError"),
    ],
)
def test_what_the_client_raises_becomes_a_sentence_without_the_key(words, line):
    with pytest.raises(TrackingError, match=line) as caught, client_errors("a/b/c"):
        raise RuntimeError(words)
    assert "wandb a/b/c: " in str(caught.value) and "k" * 40 not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("key", "shown"), [("local-secret", "got (a key) and (a key)"), (None, "got local-secret and (a key)")]
)
def test_no_message_repeats_the_users_key_or_what_could_be_one(key, shown, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    assert describe_error(ValueError("got local-secret\n and " + "k" * 40)) == shown


FETCH = """
with WandbBackend() as backend:
    sweep_id, path = connected(backend)
    long = [1 + 1 / (n + 1) for n in range(2500)]
    long[1203] = 0.25  # a sample of 500 rows would miss it
    add(backend, sweep_id, "z-first", "finished", long, 0, exit_code=0)
    add(backend, sweep_id, "crashed", "crashed", [], 1)
    add(backend, sweep_id, "failed", "failed", [9.0, 9.5], 2, exit_code=1)
    add(backend, sweep_id, "stopped", "failed", [8.0], 3, exit_code=255, stopped=True)
    add(backend, sweep_id, "killed", "killed", [7.0, 8.0], 4)
    add(backend, sweep_id, "preempted", "preempted", [6.0], 5)
    add(backend, sweep_id, "running", "running", [5.0], 6)
    add(backend, sweep_id, "pending", "pending", [], 7)
    add(backend, sweep_id, "nan", "finished", ["NaN", 3.0, "Infinity"], 8)
    add(backend, "another", "foreign", "finished", [0.0], 9)
    for n in range(511):  # pages; without rows there is nothing to scan
        add(backend, sweep_id, f"more{n:03d}", "finished", [], n, summary={"acc": 0.5})
    add(backend, sweep_id, "early", "finished", [2.0], 10, created_at="2025-12-31T23:59:59.500000Z")
    from sweepkit.wandb.source import read_wandb
    from sweepkit.wandb.reader import fetch_sweep
    found = read_wandb("wandb:" + path)
    once = dict(backend.operations)
    sweep, table = found.sweep, found.table
    page = f"{backend.url}/{ENTITY}/{PROJECT}/sweeps/{sweep_id}"
    small = page.replace(sweep_id, backend.add_sweep(CONFIG))
    add(backend, small.rpartition("/")[2], "one", "finished", [8.0, 9.0], 3)
    acc = fetch_sweep(small, metric="acc", goal="maximize")
    try:
        fetch_sweep(small, metric="acc")
    except SweepKitError as error:
        alone = str(error)
    record = sweep.record
    runs = {r.run_id: [r.number, r.state, r.params, len(r.history), r.summary, r.outcome.get("exit_code")]
            for r in sweep.runs}
    best = {r.run_id: r.best_metrics for r in sweep.runs}
    rows = {row.run_id: [row.number, row.value, row.params, row.duration_s, row.metrics] for row in table.rows}
    print(json.dumps({
        "runs": runs, "numbers": [r.number for r in sweep.runs], "names": len({r.run_id for r in sweep.runs}),
        "best": best["z-first"], "nan": repr(next(r.history for r in sweep.runs if r.run_id == "nan")),
        "sweep": [sweep.path, record.name, record.state, record.metric, record.goal, record.meta.get("total")],
        "config": sweep.config, "text": json.loads(record.text),
        "rows": {name: rows[name] for name in ("z-first", "failed", "crashed", "more007", "early")},
        "columns": [[c.name, c.numeric, c.low, c.high] for c in table.columns], "ranked": table.ranked()[0].run_id,
        "acc": [acc.record.metric, acc.record.goal, [r.history for r in acc.runs]], "alone": alone,
        "service": "WANDB_SERVICE" in os.environ,
        "once": once, "unknown": dict(backend.unknown), "left": sorted(str(p) for p in Path().rglob("*") if p.is_dir()),
    }))
"""


@pytest.mark.slow
def test_a_sweep_is_read_whole_with_more_runs_than_a_page_and_more_rows_than_a_sample(tmp_path):
    line, said = child(tmp_path, FETCH)
    runs = line["runs"]
    assert line["numbers"] == list(range(521)) and line["names"] == 521 and "foreign" not in runs
    params = {"x": 0, "opt": {"lr": 0.01}}  # not what the script put into its configuration beside them
    assert runs["early"] == [0, "finished", params | {"x": 10}, 1, 2.0, None]
    assert runs["z-first"] == [1, "finished", params, 2500, pytest.approx(1.0004), 0]
    assert runs["crashed"] == [2, "failed", params | {"x": 1}, 0, None, None]
    assert runs["failed"] == [3, "failed", params | {"x": 2}, 2, 9.5, 1]
    assert runs["stopped"] == [4, "stopped", params | {"x": 3}, 1, 8.0, 255]
    states = {name: runs[name][1] for name in ("killed", "preempted", "running", "pending", "nan")}
    assert list(states.values()) == ["stopped", "pending", "running", "pending", "finished"]
    assert line["best"] == {"손실/val": 0.25, "acc": 0.75} and line["nan"] == "(nan, 3.0, inf)"
    path = f"{ENTITY}/{PROJECT}/sweep000"
    assert line["sweep"] == [path, "요약 탐색", "running", "손실/val", "minimize", None]
    assert line["config"] == line["text"] and "settings" not in line["config"] and "controller" not in line["config"]
    # The table: no row has a value that it did not log.
    assert line["rows"]["z-first"][:4] == [1, 0.25, {"x": 0, "opt.lr": 0.01}, 25000.0]
    assert line["rows"]["failed"][:2] == [3, 9.0] and line["rows"]["early"][:2] == [0, 2.0]
    assert line["rows"]["crashed"][1] is None and line["rows"]["crashed"][4] == {}
    assert line["rows"]["more007"][1] is None and line["rows"]["more007"][4] == {"acc": 0.5}
    assert line["columns"] == [["opt.lr", True, 1e-5, 0.1], ["x", True, 0.0, 999.0]]
    assert said.startswith("note: 512 of") and said.count("\n") == 1  # the client itself says nothing
    assert line["ranked"] == "z-first" and WORDS["runs-that-ended"] in said
    assert line["acc"] == ["acc", "maximize", [[-7.0, -8.0]]] and "give --goal" in line["alone"]
    # Six pages, five history pages of the long run, one of each other that has rows; nothing is left on disk.
    assert line["once"]["Runs"] == 6 and line["once"]["HistoryPage"] == 5 + 7 and line["unknown"] == {}
    assert not line["service"]  # what is started later has a service process of its own
    assert not [folder for folder in line["left"] if ENTITY in folder]


FAULTS = """
import urllib.request
with WandbBackend() as backend:
    sweep_id, path = connected(backend)
    from sweepkit.wandb.reader import fetch_sweep
    def told(*args):
        try:
            return fetch_sweep(*args).path
        except SweepKitError as error:
            return str(error)
    found = {"other host": told("https://wandb.ai/team/p/sweeps/ab"), "none": told(f"{ENTITY}/{PROJECT}/nowhere")}
    real, answer = backend.graphql, None
    def broken(query, variables):
        if "sweep(" in query:
            return answer
        return real(query, variables)
    backend.graphql = broken
    answer = {"errors": [{"message": "permission denied"}]}
    found["forbidden"] = told(path)
    answer = None  # no GraphQL at all
    found["nonsense"] = told(path)
found["away"] = told(path)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_what_is_wrong_is_told_in_a_sentence_with_what_to_do(tmp_path):
    line, _ = child(tmp_path, FAULTS, WANDB_X_GRAPHQL_RETRY_MAX="1")
    assert WORDS["url-to-that"] in line["other host"]
    assert f"{ENTITY}/{PROJECT}/nowhere" in line["none"] and "check the path" in line["none"]
    assert WORDS["permission-denied-set"] in line["forbidden"]
    assert "check the" in line["nonsense"]
    assert "connection refused" in line["away"] and WORDS["check-the-network"] in line["away"]


@pytest.mark.slow
def test_without_a_key_it_ends_with_a_message_and_asks_nobody(tmp_path):
    code = """
from sweepkit.wandb.reader import fetch_sweep
try:
    fetch_sweep("team/p/ab")
except SweepKitError as error:
    print(json.dumps(str(error)))
"""
    line, _ = child(tmp_path, code, WANDB_BASE_URL="http://127.0.0.1:9")
    assert WORDS["needs-a-key"] in line and "run `wandb login` once" in line
    assert not (tmp_path / "netrc").exists()


WATCH = """
with WandbBackend() as backend:
    sweep_id, path = connected(backend)
    for n in range(40):
        add(backend, sweep_id, f"done{n:02d}", "finished", [n + 1.0, n + 0.5], n)
    going = add(backend, sweep_id, "going", "running", [4.0, 2.0], 40)
    from sweepkit.wandb.client import connect
    from sweepkit.wandb.reader import WandbWatch
    clock = iter(range(10**6))
    watch = WandbWatch(connect(path), budget_s=0.5, clock=lambda: float(next(clock)))
    told, since = [], 0
    def look():
        global since
        before = backend.operations["HistoryPage"]
        try:
            seen = watch.poll("", since)
        except SweepKitError as error:
            told.append(["error", str(error)])
            return
        since = seen.change
        told.append([
            {r.run_id: [r.number, r.state, r.history] for r in seen.changed} if len(told) > 1 else len(seen.changed),
            [[a.run_id, a.reports, a.step] for a in seen.live],
            watch.unread, watch.vanished, backend.operations["HistoryPage"] - before,
        ])
    look()  # the budget is spent after the first reading
    look()  # the rest
    look()  # nothing new
    going.history.append({"손실/val": 1.0, "_step": 4, "_timestamp": 1767225604.0})
    going.summary = going.summary | {"손실/val": 1.0}
    look()
    real = backend.graphql
    backend.graphql = lambda query, _: {"errors": [{"message": "HTTP 500: oops"}]}
    look()
    backend.graphql = real
    going.state = "finished"
    look()
    del going.history[1:]  # rewound, and gone on from there
    going.history.append({"손실/val": 9.0, "_step": 1})
    del going.history[0]
    look()
    del backend.runs["done00"]
    look()
    print(json.dumps(told))
"""


@pytest.mark.slow
def test_a_sweep_that_goes_on_is_read_at_the_cost_of_what_changed(tmp_path):
    (first, second, third, fourth, fifth, sixth, seventh, eighth), _ = child(tmp_path, WATCH)
    assert first == [41, [["going", 2, 2]], 9, False, 32]  # the running one is read first
    assert second == [9, [["going", 2, 2]], 0, False, 9]
    assert third == [{}, [["going", 2, 2]], 0, False, 0]
    assert fourth == [{"going": [40, "running", [4.0, 2.0, 1.0]]}, [["going", 3, 4]], 0, False, 1]
    assert fifth[0] == "error" and "oops" in fifth[1]
    assert sixth == [{"going": [40, "finished", [4.0, 2.0, 1.0]]}, [], 0, False, 0]
    assert seventh == [{"going": [40, "finished", [9.0]]}, [], 0, False, 1]
    assert eighth[3] and [run[0] for run in eighth[0].values()] == list(range(40)) and eighth[4] == 0


SCHEMA = """
import inspect, re
from wandb.apis.public import runs, sweeps
from sweepkit.wandb.client import _query_with_ends
own = inspect.getsource(sweeps._sweep_with_runs)
asked_of_a_run = re.search(r"runs {\\s*edges {\\s*node {([^{}]*)", own).group(1).split()
query = _query_with_ends(runs._create_runs_query(lazy=False))
fragment = re.search(r"fragment \\w+ on (\\w+) {(.*)}", query, re.DOTALL)
top = re.sub(r"{[^{}]*}", "", fragment.group(2)).split()
print(json.dumps({
    "of": fragment.group(1), "known": [name in asked_of_a_run for name in ("stopped", "exitcode")],
    "asked": [top.count(name) for name in ("historyLineCount", "stopped", "exitcode")],
}))
"""


@pytest.mark.slow
def test_how_a_run_ended_is_asked_in_the_words_that_the_client_asks_of_a_run_itself(tmp_path):
    line, _ = child(tmp_path, SCHEMA)
    assert line == {"of": "Run", "known": [True, True], "asked": [1, 1, 1]}


@pytest.mark.slow
def test_a_stuck_run_is_ended_only_when_the_client_has_written_what_it_logged(tmp_path):
    line, _ = child(tmp_path, "import wandb\nprint(json.dumps(wandb.Settings().x_transaction_log_flush_interval))\n")
    assert 0 < line < _WRITTEN_S
