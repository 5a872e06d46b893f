"""`--notify`: a web hook or a command hears how a sweep ended; what goes wrong there never fails the sweep."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sweeping import PROGRAMS, Sweeper

from sweepkit.runner.notify import notify

GRID = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{values: [3, 1]}}}}
"""
TOLD = {"text": "s: complete", "sweep": "s"}


@pytest.fixture
def hook():
    """Serve a web hook on loopback; yield its address and what it was told. A path of digits is the answer's code."""
    heard = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(int(self.path.strip("/") or 204))
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", heard
    server.shutdown()
    server.server_close()


def test_a_sweep_that_ends_tells_a_hook_its_best_run_once(hook, tmp_path):
    address, heard = hook
    sweeper = Sweeper(tmp_path)
    sweeper.write(GRID)
    done = sweeper.call("--notify", address)
    assert (done.returncode, done.stderr) == (0, "")
    (said,) = heard
    assert (said["sweep"], said["complete"], said["counts"]) == ("s", True, {"finished": 2})
    assert said["best"]["params"] == {"x": 1} and said["text"].startswith("s: complete, ")


def test_a_hook_that_fails_or_is_not_there_is_a_warning_that_hides_its_secret(hook):
    address, _ = hook
    assert "500" in notify(f"{address}500", TOLD)
    wrong = notify("http://127.0.0.1:1/secret", TOLD)
    assert wrong.startswith("--notify: 127.0.0.1 ") and "secret" not in wrong


def test_a_command_reads_it_and_what_it_says_when_it_fails_is_the_warning(tmp_path):
    assert notify(f"cat > {tmp_path}/told; echo $SWEEPKIT_TEXT > {tmp_path}/text", TOLD) == ""
    assert json.loads((tmp_path / "told").read_text()) == TOLD
    assert (tmp_path / "text").read_text() == "s: complete\n"
    assert notify("echo no mail here >&2; exit 3", TOLD).endswith("exit code 3: no mail here")


def test_a_notification_that_fails_leaves_the_sweeps_exit_code(tmp_path):
    sweeper = Sweeper(tmp_path)
    sweeper.write(GRID)
    done = sweeper.call("--notify", "exit 9")
    assert done.returncode == 0 and done.stderr.startswith("warning: --notify")
