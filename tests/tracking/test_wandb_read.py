"""A W&B sweep read by the real client from the loopback backend, as the values that a monitor takes."""

import json
import os
import subprocess
import sys

import pytest
from wandb_backend import ENTITY, PROJECT, BackendRun, WandbBackend

from sweepkit.errors import TrackingError
from sweepkit.paths import CODE_DIR
from sweepkit.tracking.wandb_read import open_wandb_sweep

CONFIG = {
    "method": "grid",
    "name": "요약",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"x": {"values": [1, 2, 3, 4, 5]}},
    "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2},
}
CREATED_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z, the backend's only time


class HistoryBackend(WandbBackend):
    """The backend with the query that the public API makes for one metric's history."""

    def _op_RunSampledHistory(self, variables):
        (spec,) = map(json.loads, variables["specs"])
        rows = [row for row in self.runs[variables["name"]].history if all(key in row for key in spec["keys"])]
        picked = [{key: row[key] for key in spec["keys"]} for row in rows[: spec["samples"]]]
        return {"project": {"run": {"sampledHistory": [picked]}}}

    def add_run(self, sweep_id, name, state, values, x):
        history = [{"loss": v, "_step": n, "_timestamp": CREATED_AT + 10 * n} for n, v in enumerate(values)]
        summary = {"loss": values[-1], "_step": len(values) - 1, "_runtime": 10.0 * len(values)} if values else {}
        if values:
            summary["_timestamp"] = history[-1]["_timestamp"]
        run = BackendRun(name, PROJECT, sweep_id, state=state, config={"x": x}, history=history, summary=summary)
        self.runs[name] = run
        return run


def sweep_of(backend):
    sweep_id = backend.add_sweep(CONFIG)
    backend.sweeps[sweep_id].state = "RUNNING"
    for name, state, values, x in (
        ("run-a", "finished", [3.0, 1.0], 1),
        ("run-b", "failed", [9.0, 9.5], 2),
        ("run-c", "running", [4.0, 2.0, 2.5], 3),
        ("run-d", "killed", [8.0, 7.0], 4),
    ):
        backend.add_run(sweep_id, name, state, values, x)
    return f"{ENTITY}/{PROJECT}/{sweep_id}"


READ = """
import json, sys
from sweepkit.tracking.wandb_read import open_wandb_sweep
sweep = open_wandb_sweep(sys.argv[1])
first = sweep.look("", 0)
again = sweep.look("", first.change)
import urllib.request
urllib.request.urlopen(sys.argv[2])  # the test lets a run go on
third = sweep.look("", again.change)
runs = [[r.number, r.run_id, r.state, r.params, r.history, r.summary, r.outcome] for r in first.changed]
live = [[a.run_id, a.reports, a.step, a.last_report_at, a.expired] for a in first.live]
print(json.dumps({
    "name": first.sweep.name, "state": first.sweep.state, "metric": [first.sweep.metric, first.sweep.goal],
    "runs": runs, "live": live, "again": len(again.changed), "third": [[r.number, r.history] for r in third.changed],
}))
"""


@pytest.mark.slow
def test_the_runs_of_a_sweep_come_with_state_configuration_and_history(tmp_path):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    with HistoryBackend() as backend:
        path = sweep_of(backend)

        class Signal(BaseHTTPRequestHandler):
            def do_GET(self):
                run = backend.runs["run-c"]
                run.history.append({"loss": 0.5, "_step": 3, "_timestamp": CREATED_AT + 30})
                run.summary = run.summary | {"loss": 0.5, "_step": 3}
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Signal)
        Thread(target=server.handle_request, daemon=True).start()
        env = os.environ | backend.environment(tmp_path) | {"PYTHONPATH": str(CODE_DIR)}
        command = [sys.executable, "-c", READ, path, f"http://127.0.0.1:{server.server_address[1]}"]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100)
        server.server_close()
        assert done.returncode == 0, done.stderr
        operations = backend.operations
    told = json.loads(done.stdout)
    assert (told["name"], told["state"], told["metric"]) == ("요약", "running", ["loss", "minimize"])
    assert told["runs"] == [
        [0, "run-a", "finished", {"x": 1}, [3.0, 1.0], 1.0, {"duration_s": 20.0}],
        [1, "run-b", "failed", {"x": 2}, [9.0, 9.5], 9.5, {"duration_s": 20.0}],
        [2, "run-c", "running", {"x": 3}, [4.0, 2.0, 2.5], 2.5, {}],
        [3, "run-d", "stopped", {"x": 4}, [8.0, 7.0], 7.0, {"duration_s": 20.0}],
    ]
    assert told["live"] == [["run-c", 3, 2, CREATED_AT + 20, False]]
    assert told["again"] == 0
    assert told["third"] == [[2, [4.0, 2.0, 2.5, 0.5]]]
    assert operations["RunSampledHistory"] == 5  # of the run that went on once more, of the others never again


@pytest.mark.slow
def test_the_monitor_shows_a_sweep_of_the_server(tmp_path):
    with HistoryBackend() as backend:
        path = sweep_of(backend)
        env = os.environ | backend.environment(tmp_path)
        command = [sys.executable, str(CODE_DIR / "monitor_sweep.py"), "--once"]

        def call(*options):
            done = subprocess.run(
                [*command, *options], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100
            )
            return done

        done = call("--wandb", path, "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        (sweep,) = json.loads(done.stdout)["sweeps"]
        assert (sweep["total"], sweep["done"]) == (5, 3)
        assert sweep["best"]["run_id"] == "run-a" and sweep["best"]["value"] == 1.0
        assert sweep["running"][0]["margin"] == 5.0  # hyperband at report 2: 2.0 against 7.0, the third best of four
        assert sweep["failures"][0]["run_id"] == "run-b"
        gone = call("--wandb", f"{ENTITY}/{PROJECT}/nowhere")
        assert gone.returncode == 2 and "Traceback" not in gone.stderr
        assert "nowhere" in gone.stderr and "check the path" in gone.stderr


def test_a_path_of_another_form_is_refused():
    with pytest.raises(TrackingError, match="must be ENTITY/PROJECT/ID"):
        open_wandb_sweep("project/id")
