"""The fork server with real processes: what comes back, what is left over, what an attempt sees."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from launching import Bench, alive
from snapshots import words_of
from waiting import WAIT_S, wait_until

from sweepkit.agents.exit_file import read_end, reserve, write_end
from sweepkit.agents.launcher import AttemptSpec, Exited, LocalLauncher, Started, kill_leftovers
from sweepkit.errors import LaunchError
from sweepkit.paths import CODE_DIR

pytestmark = pytest.mark.slow

WORDS = words_of(__file__)


@pytest.fixture
def launcher(tmp_path):
    notes = []
    made = LocalLauncher(log=tmp_path / "forkserver.log", notify=notes.append)
    made.notes = notes
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path, launcher):
    return Bench(tmp_path, launcher)


SELF_PORTRAIT = """\
    import __main__, json, os, sys
    import neighbour
    print(json.dumps({
        "argv": sys.argv, "name": __name__, "file": __file__, "cwd": os.getcwd(), "path0": sys.path[0],
        "main": __main__.__dict__ is globals(), "env": os.environ.get("MARK"), "stdin": sys.stdin.read(),
        "leader": os.getpgid(0) == os.getpid(), "neighbour": neighbour.VALUE, "utf8": "한국어",
    }, ensure_ascii=False))
"""


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_program_sees_the_same_world_warm_and_cold(bench, warm):
    bench.write("VALUE = 7", "neighbour.py")
    program = bench.write(SELF_PORTRAIT)
    started, exited, out = bench.run(program, "--lr=0.1", "a b", warm=warm, env={"MARK": "값", "PYTHONUTF8": "1"})
    assert started.warm is warm
    assert exited.status == 0
    assert json.loads(out) == {
        "argv": [str(program), "--lr=0.1", "a b"],
        "name": "__main__",
        "file": str(program),
        "cwd": str(bench.folder),
        "path0": str(bench.folder),
        "main": True,
        "env": "값",
        "stdin": "",
        "leader": True,
        "neighbour": 7,
        "utf8": "한국어",
    }


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize(
    ("source", "status", "output"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('bad news')", 1, "bad news\n"),
        ("raise SystemExit", 0, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, ""),
        ("import os; os._exit(9)", 9, ""),
        ("import atexit; atexit.register(print, 'bye')", 0, "bye\n"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(.05), print('late'))).start()",
            0,
            "late\n",
        ),
        ("print('no newline', end='')", 0, "no newline"),
    ],
)
def test_exit_codes_and_the_last_words_are_those_of_an_interpreter(bench, warm, source, status, output):
    _, exited, out = bench.run(bench.write(source), warm=warm)
    assert (exited.status, out) == (status, output)


def test_a_traceback_shows_the_programs_frames_only(bench):
    program = bench.write("def f():\n    raise ValueError('nope')\nf()\n")
    texts = []
    for warm in (True, False):
        _, exited, out = bench.run(program, warm=warm)
        assert exited.status == 1
        texts.append(out)
    assert texts[0] == texts[1]
    assert "forkserver" not in texts[0]


def test_a_module_can_be_run_warm(bench):
    bench.write("import sys; print(__name__, sys.argv[1:])", "tool.py")
    started, exited, out = bench.run(None, argv=(sys.executable, "-m", "tool", "x"), warm=True)
    assert (started.warm, exited.status, out) == (True, 0, "__main__ ['x']\n")


def test_two_forks_draw_different_random_numbers_where_a_program_does_not_seed(bench):
    program = bench.write("import random, numpy; print(random.random(), numpy.random.rand())")
    outs = [bench.run(program)[2].split() for _ in range(2)]
    assert outs[0][0] != outs[1][0]
    assert outs[0][1] != outs[1][1]


def test_an_edited_program_and_its_neighbours_are_seen_by_the_next_run(bench):
    program = bench.write("import neighbour; print(neighbour.VALUE)")
    bench.write("VALUE = 1", "neighbour.py")
    assert bench.run(program)[2] == "1\n"
    bench.write("VALUE = 'changed'", "neighbour.py")
    started, _, out = bench.run(program)
    assert (started.warm, out) == (True, "changed\n")
    bench.write("print('new')")
    assert bench.run(program)[2] == "new\n"


def test_what_a_run_imports_dynamically_is_warm_for_the_next(bench):
    program = bench.write(
        """\
        import importlib, sys
        print("_pydecimal" in sys.modules, "_pydecimal" in sys.meta_path[0].modules)
        importlib.import_module("_pyd" + "ecimal")
        """
    )
    assert bench.run(program)[2] == "False False\n"
    assert bench.run(program)[2] == "False True\n"  # ready to be imported, and not there before it is


def test_threads_started_by_an_import_are_started_in_each_run_and_it_is_said(bench, tmp_path):
    # An installed package is imitated by a folder on PYTHONPATH named like one.
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "busybody.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='busy').start()\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(package))
        other = LocalLauncher(log=tmp_path / "fs.log", notify=bench.launcher.notes.append)
    try:
        bench.launcher = other
        started, exited, out = bench.run(
            bench.write("import busybody, threading; print(*sorted(each.name for each in threading.enumerate()))"),
            env={"PYTHONPATH": str(package)},
        )
    finally:
        other.close()
    assert (started.warm, exited.status, out) == (True, 0, "MainThread busy\n")
    assert any("busybody" in note for note in other._notify.__self__)


def test_the_thread_of_arrows_allocator_survives_a_fork_and_does_not_cost_the_warm_start(bench):
    program = bench.write(
        "import os, pyarrow\n"
        "print(pyarrow.array(range(100000)).take(pyarrow.array([7]))[0].as_py(), 'jemalloc_bg_thd' in [\n"
        "    open(f'/proc/{os.getppid()}/task/{task}/comm').read().strip()\n"
        "    for task in os.listdir(f'/proc/{os.getppid()}/task')])\n"
    )
    bench.run(program)
    started, exited, out = bench.run(program)
    assert (started.warm, exited.status, out.split()[0]) == (True, 0, "7"), bench.launcher.notes
    # Without that thread in the fork server the test would show nothing.
    assert out.split()[-1] == "True"


UNSAFE = {
    "nativebody": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nthread = ctypes.c_ulong()\n"
        "libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)\n"
        "libc.pthread_setname_np(thread, b'whirring')\n",
        "started native threads (whirring)",
    ),
    # What CUDA's driver leaves open once a library has counted the GPUs.
    "countsgpus": ("import os\nheld = os.open(os.path.dirname(__file__) + '/nvidia-uvm', os.O_RDONLY)\n", "CUDA"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_an_import_leaves_that_a_fork_would_break_is_named(bench, tmp_path, name):
    source, said = UNSAFE[name]
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "nvidia-uvm").touch()
    (package / f"{name}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(package))
        other = LocalLauncher(log=tmp_path / "fs.log", notify=bench.launcher.notes.append)
    try:
        notes, bench.launcher = bench.launcher.notes, other
        program = bench.write(f"import {name}; print('ok')")
        started, exited, out = bench.run(program, env={"PYTHONPATH": str(package)})
    finally:
        other.close()
    assert (started.warm, exited.status, out) == (False, 0, "ok\n")
    assert any(said in note for note in notes)


LITTER = """\
    import subprocess, sys
    subprocess.Popen(["sleep", "1000"])
    subprocess.Popen(["setsid", "sleep", "1000"])
    daemon = "import os,time\\nif os.fork() == 0:\\n os.setsid()\\n time.sleep(1000)"
    subprocess.Popen([sys.executable, "-c", daemon]).wait()
    print("littered", flush=True)
    if "stay" in sys.argv:
        import time; time.sleep(1000)
"""


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_an_ended_attempt_leaves_no_process(bench, warm):
    attempt, queue, _ = bench.submit(bench.write(LITTER), warm=warm)
    assert isinstance(bench.next_of(queue), Started)
    assert bench.next_of(queue).status == 0
    wait_until(lambda: not alive(attempt), "the attempt's children to be gone")


def test_signals_reach_the_whole_group(bench):
    attempt, queue, log = bench.submit(bench.write(LITTER), "stay")
    bench.next_of(queue)
    wait_until(lambda: "littered" in log.read_text(), "the program to litter")
    bench.launcher.signal(attempt, signal.SIGTERM)
    assert bench.next_of(queue).status == -signal.SIGTERM
    wait_until(lambda: not alive(attempt), "the attempt's children to be gone")


def test_a_killed_fork_server_takes_its_attempts_along_and_is_replaced(bench):
    attempt, queue, log = bench.submit(bench.write(LITTER), "stay")
    bench.next_of(queue)
    wait_until(lambda: "littered" in log.read_text(), "the program to litter")
    bench.launcher._server.process.kill()
    assert bench.next_of(queue).status is None
    wait_until(lambda: not alive(attempt), "the attempt's processes to be gone")
    _, exited, out = bench.run(bench.write("print('again')"))
    assert (exited.status, out) == (0, "again\n")


AGENT = """\
    import os, sys, time
    sys.path.insert(0, {code!r})
    from pathlib import Path
    from sweepkit.agents.launcher import *
    from sweepkit.agents.warm_command import command_start
    folder = Path({folder!r})
    launcher = LocalLauncher(log=folder / "fs.log")
    for name, warm in (({one!r}, True), ({two!r}, False)):
        argv = (sys.executable, {program!r}, "stay")
        queue = launcher.submit(AttemptSpec(attempt_id=name, argv=argv, env=dict(os.environ, SWEEPKIT_ATTEMPT_ID=name),
            cwd=str(folder), log=folder / (name + ".log"), exit_file=folder / (name + ".exit"),
            warm=command_start(argv, env=os.environ, cwd=os.getcwd()).warm if warm else None))
        queue.get()
    print("up", flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_no_process_survives_its_agent_whatever_killed_it(bench, tmp_path, number):
    program = bench.write(LITTER)
    one, two = f"{bench.prefix}one-1", f"{bench.prefix}two-1"
    text = AGENT.format(code=str(CODE_DIR), folder=str(tmp_path), program=str(program), one=one, two=two)
    agent = bench.write(text, "agent.py")
    with subprocess.Popen([sys.executable, str(agent)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        for name in (one, two):
            wait_until(lambda name=name: "littered" in (tmp_path / f"{name}.log").read_text(), "littering")
        process.send_signal(number)
        process.wait()
    wait_until(lambda: not alive(one) and not alive(two), "everything to be gone")


def test_leftovers_of_a_crash_are_found_by_their_environment(tmp_path):
    lost = f"lost{os.getpid()}"  # they are looked for on the whole host
    with subprocess.Popen(
        ["sleep", "1000"], env={**os.environ, "SWEEPKIT_ATTEMPT_ID": f"{lost}-1"}, start_new_session=True
    ) as process:
        wait_until(lambda: alive(f"{lost}-1"), "the process to be up")
        assert kill_leftovers(f"{lost}-2") == 0
        assert kill_leftovers(f"{lost}-1") == 1
        assert process.wait() == -signal.SIGKILL


def test_an_end_that_the_fork_server_saw_but_could_not_tell_any_more_is_not_lost(bench, launcher):
    gate = bench.folder / "gate"
    waiting = bench.write(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n", "third.py")
    _, queue, _ = bench.submit(waiting)
    pid = bench.next_of(queue).pid
    server = psutil.Process(pid).ppid()
    os.kill(server, signal.SIGSTOP)
    gate.touch()
    deadline = time.monotonic() + WAIT_S
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(server, signal.SIGTERM)
    os.kill(server, signal.SIGCONT)
    assert bench.next_of(queue).status == 0


def test_why_a_command_is_not_forked_is_told_once(bench):
    for _ in range(2):
        log = bench.folder / "log"
        spec = AttemptSpec(
            attempt_id="a-1",
            argv=("true",),
            env={},
            cwd="/",
            log=log,
            exit_file=log.with_suffix(".exit"),
            fresh="because",
        )
        queue = bench.launcher.submit(spec)
        assert isinstance(bench.next_of(queue), Started) and isinstance(bench.next_of(queue), Exited)
    assert [note for note in bench.launcher.notes if "because" in note] == bench.launcher.notes[:1]


ENDS = {  # how a program ends, and its status
    "returns": ("", 0),
    "exits": ("sys.exit(3)", 3),
    "leaves at once": ("os._exit(4)", 4),
    "crashes": ("os.kill(os.getpid(), 11)", -11),
}


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_an_end_that_a_frozen_fork_server_never_saw_is_known_after_its_kill(bench, warm):
    gate = bench.folder / "gate"
    queues = {}
    for how, (end, _) in ENDS.items():
        waits = f"import os, sys, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n{end}\n"
        queues[how] = bench.submit(bench.write(waits, f"{how}.py"), warm=warm)
    pids = [bench.next_of(queue).pid for _, queue, _ in queues.values()]
    server = psutil.Process(pids[0]).ppid()
    os.kill(server, signal.SIGSTOP)
    gate.touch()
    files = [bench.folder / f"{attempt}.exit.json" for attempt, _, _ in queues.values()]
    wait_until(lambda: all(read_end(file) is not None for file in files), "the ends to be written")
    os.kill(server, signal.SIGKILL)
    ends = {how: bench.next_of(queue).status for how, (_, queue, _) in queues.items()}
    assert ends == {how: status for how, (_, status) in ENDS.items()}


def test_a_fork_of_a_program_that_ends_as_a_program_does_is_not_the_attempts_end(bench):
    program = bench.write("""\
        import os, sys, time
        if os.fork() == 0:
            sys.exit(7)
        os.wait()
        print("gone", flush=True)
        time.sleep(60)
        """)
    attempt, queue, log = bench.submit(program)
    bench.next_of(queue)
    wait_until(lambda: "gone" in log.read_text(), "the fork to be gone")
    assert read_end(bench.folder / f"{attempt}.exit.json") is None
    bench.launcher._server.process.kill()
    assert bench.next_of(queue).status is None


def test_the_room_for_an_end_is_taken_before_an_attempt_begins(tmp_path):
    file = tmp_path / "exit.json"
    reserve(file)
    assert read_end(file) is None
    before = file.stat()
    assert write_end(file, {"status": 0, "reason": "x" * 3000}) and write_end(file, {"status": 1})
    after = file.stat()
    assert read_end(file) == {"status": 1}
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)


def test_a_folder_of_logs_that_was_removed_is_named(tmp_path, launcher):
    bench = Bench(tmp_path / "removed", launcher)
    with pytest.raises(LaunchError, match="removed"):
        bench.submit(tmp_path / "program.py")


def test_descriptors_beyond_1024_are_no_obstacle(tmp_path):
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(open(os.devnull, "rb"))
        launcher = LocalLauncher(log=tmp_path / "forkserver.log")
        stack.callback(launcher.close)
        bench = Bench(tmp_path, launcher)
        launcher.notes = []
        assert bench.run(bench.write("import sys; sys.exit(3)"))[1].status == 3
        assert launcher.notes == []


def test_a_fork_server_that_cannot_start_ends_the_call_with_what_it_said(tmp_path):
    launcher = LocalLauncher(log=tmp_path / "forkserver.log", env={"PYTHONHOME": str(tmp_path / "none")})
    bench = Bench(tmp_path, launcher)
    try:
        _, queue, _ = bench.submit(bench.write("pass"))
    except LaunchError as error:  # the servers were quicker to die than we to ask
        reason = str(error)
    else:
        reason = queue.get(timeout=WAIT_S).reason
    assert WORDS["must-start-to"] in reason and "Python" in reason
    with pytest.raises(LaunchError, match="must start"):
        bench.submit(bench.write("pass"))
    launcher.close()


def test_a_module_that_kills_the_fork_server_costs_the_warm_start_only(tmp_path):
    (tmp_path / "breaks.py").write_text("import os, sys\nif sys.argv == ['-c']: os._exit(9)\n")
    notes = []
    launcher = LocalLauncher(
        log=tmp_path / "forkserver.log", preload=("breaks",), env={"PYTHONPATH": str(tmp_path)}, notify=notes.append
    )
    bench = Bench(tmp_path, launcher)
    try:
        started, exited, out = bench.run(bench.write("import breaks; print('ran')"))
    finally:
        launcher.close()
    assert not started.warm and exited.status == 0 and out == "ran\n"
    assert any("fresh process" in note and "while it imported" in note for note in notes)
