"""A warm start is a start: what a script sees and how it ends are the same as by an interpreter of its own."""

import json
import os
import signal
import subprocess
import sys

import pytest
from warm import WarmPopen, run

LOOK = """\
import json, os, signal, sys, warnings
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "path": sys.path[0],
    "name": __name__, "file": __file__, "main": sys.modules["__main__"].__file__, "paths": sys.path,
    "pipe": str(signal.getsignal(signal.SIGPIPE)), "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "leads": os.getsid(0) == os.getpid(), "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "terminal": sys.stdout.isatty(), "filters": len(warnings.filters), "read": sys.stdin.read(),
    "files": [fd for fd in range(3, 1024) if os.path.exists(f"/proc/self/fd/{fd}")],
}))
"""
ENDS = {"raise SystemExit(3)": 3, "raise SystemExit('words')": 1, "1 / 0": 1, "import os; os.kill(os.getpid(), 9)": -9}


def seen(popen, script, folder, *arguments):
    env = {**os.environ, "PYTHONWARNINGS": "default", "한": "글"}
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    command = [sys.executable, str(script), "--a", "나", *arguments]
    with popen(command, cwd=folder, env=env, start_new_session=True, **piped) as process:
        said = json.loads(process.communicate("input")[0])
    assert process.returncode == 0
    return said


@pytest.mark.parametrize("arguments", [(), ("--wandb",)], ids=["plain", "speaks with others"])
def test_a_script_sees_the_same_warm_and_cold(tmp_path, arguments):
    script = tmp_path / "look.py"
    script.write_text(LOOK, encoding="utf-8")
    warm, cold = (seen(popen, script, tmp_path, *arguments) for popen in (WarmPopen, subprocess.Popen))
    for said in (warm, cold):
        said.pop("filters")  # what is imported adds its own
    assert warm == cold


@pytest.mark.parametrize(("text", "code"), ENDS.items())
def test_a_script_ends_the_same_warm_and_cold(tmp_path, text, code):
    (tmp_path / "end.py").write_text(f"import atexit\natexit.register(print, 'bye')\n{text}\n")
    command = [sys.executable, str(tmp_path / "end.py")]
    warm = run(command, timeout=60, cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": "default"})
    cold = subprocess.run(command, capture_output=True, text=True)
    assert (warm.returncode, warm.stdout) == (cold.returncode, cold.stdout) == (code, "" if code == -9 else "bye\n")
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_a_signal_and_a_timeout_reach_the_process(tmp_path):
    (tmp_path / "wait.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, str(tmp_path / "wait.py")]
    env = {**os.environ, "PYTHONWARNINGS": "default"}
    with WarmPopen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "on\n" and process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
    with pytest.raises(subprocess.TimeoutExpired):
        run(command, timeout=0.5, env=env)


@pytest.mark.parametrize("changes", [{"PYTHONPATH": "."}, {"LC_ALL": "C"}, {"TZ": "Asia/Seoul"}])
def test_what_an_interpreter_reads_when_it_starts_is_started_cold(tmp_path, changes):
    (tmp_path / "parent.py").write_text("import os\nprint(os.getppid())\n")
    env = {**os.environ, "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(tmp_path / "parent.py")]
    warm = run(command, timeout=60, cwd=tmp_path, env=env)
    cold = run(command, timeout=60, cwd=tmp_path, env={**env, **changes})
    assert int(warm.stdout) != int(cold.stdout) == os.getpid()


@pytest.mark.parametrize("asks", [{"preexec_fn": os.getpid}, {"process_group": 0}, {"umask": 0o77}])
def test_what_a_fork_does_not_give_is_started_cold(tmp_path, asks):
    (tmp_path / "parent.py").write_text("import os\nprint(os.getppid())\n")
    env = {**os.environ, "PYTHONWARNINGS": "default"}
    assert int(run([sys.executable, str(tmp_path / "parent.py")], timeout=60, env=env, **asks).stdout) == os.getpid()
