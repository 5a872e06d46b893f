"""A command `sweepkit` for the scripts of a shell, each call of it forked warm by the process of the test.

    with warm_tool(folder / "bin" / "sweepkit"):
        subprocess.run(["bash", "-c", "sweepkit run"], env={**os.environ, "PATH": f"{folder}/bin:…"})

The command is a small client: it hands its words, folder, environment and files over, passes SIGTERM on and ends as the
call does.
"""

import contextlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

from sweeping import PROGRAMS
from warm import WarmPopen

_MOST_BYTES = 1 << 20
_CLIENT = """\
#!{python} -ISs
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({path!r})
asked = {{"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}}
socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
pid = int(server.recv(64))
signal.signal(signal.SIGTERM, lambda number, _: os.kill(pid, number))
os._exit(int(server.recv(64) or 1))
"""


@contextlib.contextmanager
def warm_tool(command: Path):
    """Make `command` and answer its calls until the context ends."""
    path = str(command.with_suffix(".socket"))
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(_CLIENT.format(python=sys.executable, path=path), encoding="utf-8")
    command.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen()
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)  # wakes who accepts


def _serve(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(client,), daemon=True).start()


def _answer(client: socket.socket) -> None:
    with client:
        text, files, _, _ = socket.recv_fds(client, _MOST_BYTES, 3)
        asked = json.loads(text)
        stdin, stdout, stderr = files
        process = WarmPopen(
            [sys.executable, str(PROGRAMS / "tool.py"), *asked["argv"]],
            cwd=asked["cwd"],
            env={**asked["env"], "PYTHONWARNINGS": "default"},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        for file in files:
            os.close(file)
        client.send(str(process.pid).encode())
        client.send(str(process.wait() % 256).encode())
