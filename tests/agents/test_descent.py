"""What is an attempt's: each process of it can be told from outside; none outlives it, whoever is killed or frozen."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from launching import Bench
from waiting import wait_until
from warm import WarmPopen

from sweepkit.agents import descent
from sweepkit.agents.launcher import LocalLauncher, Started, await_fork_server, kill_leftovers, written_end
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.paths import CODE_DIR

pytestmark = pytest.mark.slow

# Ways to leave one's parent. Each child writes its number to a file of its name and sleeps; the program waits for all.
BROOD = """\
    import json, multiprocessing, os, subprocess, sys, time
    os.chdir(os.environ["BROOD"])

    def settle(name):
        with open(name + ".tmp", "w") as file:
            file.write(str(os.getpid()))
        os.rename(name + ".tmp", name)
        while True:
            time.sleep(60)

    SETTLE = "import os, sys, time; n = sys.argv[1]; open(n + '.tmp', 'w').write(str(os.getpid())); " \\
        "os.rename(n + '.tmp', n); time.sleep(6000)"

    def forked(name):
        if os.fork() == 0:
            settle(name)

    def daemon(name, then):
        if (pid := os.fork()) == 0:
            os.setsid()
            if os.fork() == 0:
                os.environ.clear()
                then(name)
            os._exit(0)
        os.waitpid(pid, 0)

    def executed_with_nothing(name):
        os.execve(sys.executable, [sys.executable, "-c", SETTLE, name], {})

    if __name__ == "__main__":
        multiprocessing.get_context("fork").Process(target=settle, args=("pool",)).start()
        forked("forked")
        subprocess.Popen([sys.executable, "-c", SETTLE, "popen"])
        subprocess.Popen([sys.executable, "-c", SETTLE, "session"], start_new_session=True)
        daemon("daemon", settle)
        daemon("clean", executed_with_nothing)
        names = ["pool", "forked", "popen", "session", "daemon", "clean"]
        while not all(map(os.path.exists, names)):
            time.sleep(0.005)
        open("brooded", "w").close()
        while not os.path.exists("end"):
            time.sleep(0.005)
        os._exit(0)
"""
WAYS = ["pool", "forked", "popen", "session", "daemon", "clean"]
kinds = pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])


class Brood:
    """An attempt with children of every kind."""

    def __init__(self, bench, name, *, warm, **options):
        self.folder = bench.folder / name
        self.folder.mkdir()
        program = bench.write(BROOD, "brood.py")
        self.attempt, self.queue, self.log = bench.submit(
            program, warm=warm, env={"BROOD": str(self.folder)}, **options
        )
        started = bench.next_of(self.queue)
        assert isinstance(started, Started) and started.warm is warm, self.log.read_text()
        self.pid = started.pid
        self.brooded()

    def brooded(self):
        wait_until((self.folder / "brooded").exists, f"the children of {self.folder}")
        self.pids = [int((self.folder / way).read_text()) for way in WAYS]

    def end(self):
        (self.folder / "end").touch()

    def living(self):
        return [way for way, pid in zip(WAYS, self.pids, strict=True) if psutil.pid_exists(pid) and runs(pid)]


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def bench(tmp_path):
    launcher = LocalLauncher(log=tmp_path / "forkserver.log")
    launcher.notes = []
    launcher._notify = launcher.notes.append
    yield Bench(tmp_path, launcher)
    launcher.close()


@kinds
def test_every_process_of_an_attempt_is_found_from_outside(bench, warm):
    one, other = (Brood(bench, name, warm=warm) for name in ("one", "other"))
    for brood in (one, other):
        assert sorted(descent.family(brood.attempt, ATTEMPT_ENV)) == sorted([brood.pid, *brood.pids])


@kinds
def test_an_attempt_takes_its_daemons_along_when_it_ends_and_no_others(bench, warm):
    one, other = (Brood(bench, name, warm=warm) for name in ("one", "other"))
    one.end()
    assert bench.next_of(one.queue).status == 0
    assert (one.living(), other.living()) == ([], WAYS)  # at once: the end is told when nothing is left
    other.end()
    assert bench.next_of(other.queue).status == 0
    assert other.living() == []


def test_a_fork_shows_its_own_environment_and_the_c_library_sees_it_too(bench):
    program = bench.write(
        """\
        import ctypes, json, os
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_char_p
        shown = dict(word.split("=", 1) for word in open("/proc/self/environ").read().split("\\0") if word)
        os.environ["SET_HERE"] = "1"
        print(json.dumps([shown, dict(os.environ), {k: libc.getenv(k.encode()).decode() for k in os.environ}]))
        """
    )
    env = {"OF_ITS_OWN": "값", "LONG": "x" * 3000}
    _, _, out = bench.run(program, env=env)
    shown, seen, by_c = json.loads(out)
    assert seen.pop("SET_HERE") == by_c.pop("SET_HERE") == "1"
    assert shown == seen == by_c
    assert shown["OF_ITS_OWN"] == "값" and shown[ATTEMPT_ENV] == f"{bench.prefix}1-1"


def test_an_environment_that_does_not_fit_shows_the_attempt_all_the_same(bench):
    program = bench.write("import os; print(open('/proc/self/environ', 'rb').read().split(b'\\0')[0].decode())")
    _, _, out = bench.run(program, env={"LONG": "x" * 30_000})
    assert out == f"{ATTEMPT_ENV}={bench.prefix}1-1\n"


# -- somebody is killed -----------------------------------------------------------------------------------------------

AGENT = """\
    import os, resource, sys, time
    if {unmarked}:
        resource.setrlimit(10, (100, 100))  # no mark is that small
    sys.path.insert(0, {code!r})
    sys.path.insert(0, {support!r})
    from pathlib import Path
    from launching import Bench
    from sweepkit.agents.launcher import LocalLauncher
    folder = Path({folder!r})
    launcher = LocalLauncher(log=folder / "forkserver.log", owner={owner!r})
    launcher.notes = []
    bench = Bench(folder, launcher)
    for name in ("one", "other"):
        (folder / name).mkdir()
        attempt, queue, log = bench.submit(folder / "brood.py", warm={warm}, env={{"BROOD": str(folder / name)}})
        print(attempt, bench.next_of(queue).pid, flush=True)
    time.sleep(1000)
"""


class OtherAgent:
    """An agent in a process of its own, with two broods; and its fork server, and that one's undertaker."""

    def __init__(self, folder, *, warm, unmarked=False):
        self.bench = Bench(folder, None)
        self.bench.write(BROOD, "brood.py")
        self.owner = f"test|{os.getpid()}|{folder}"
        source = AGENT.format(
            code=str(CODE_DIR), support=os.path.dirname(sys.modules["launching"].__file__), folder=str(folder),
            owner=self.owner, warm=warm, unmarked=unmarked,
        )  # fmt: skip
        path = self.bench.write(source, "agent.py")
        env = {**os.environ, "PYTHONWARNINGS": "default"}
        self.process = WarmPopen([sys.executable, str(path)], env=env, stdout=subprocess.PIPE)
        self.broods = []
        for name in ("one", "other"):
            brood = Brood.__new__(Brood)
            brood.folder = folder / name
            brood.attempt, pid = self.process.stdout.readline().decode().split()
            brood.pid = int(pid)
            brood.brooded()
            self.broods.append(brood)
        self.server = psutil.Process(self.broods[0].pid).parent()
        self.undertaker = self.server.parent()
        assert self.undertaker.ppid() == self.process.pid

    def kill(self, *pids):
        for pid in pids:  # none of them can do anything between
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def living(self):
        return [way for brood in self.broods for way in brood.living()] + [
            "program" for brood in self.broods if runs(brood.pid)
        ]

    def close(self):
        self.process.kill()
        self.process.communicate()
        for brood in self.broods:
            for pid in (brood.pid, *brood.pids):
                descent.send(pid, signal.SIGKILL)


@pytest.fixture
def other_agent(tmp_path):
    made = []

    def make(**options):
        made.append(OtherAgent(tmp_path, **options))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@kinds
@pytest.mark.parametrize(
    "victims",
    [["process"], ["server"], ["undertaker"], ["process", "server"], ["process", "undertaker"]],
    ids="+".join,
)
def test_nothing_outlives_whoever_of_them_is_killed(other_agent, warm, victims):
    agent = other_agent(warm=warm)
    agent.kill(*(getattr(agent, victim).pid for victim in victims))
    wait_until(lambda: not agent.living(), "everything to be gone")
    wait_until(lambda: not runs(agent.server.pid) and not runs(agent.undertaker.pid), "the servers to be gone")


@kinds
def test_what_is_left_when_all_are_killed_is_ended_before_a_run_begins_again(other_agent, warm):
    agent = other_agent(warm=warm)
    agent.kill(agent.process.pid, agent.undertaker.pid, agent.server.pid)
    agent.process.wait()
    wait_until(lambda: not any(runs(brood.pid) for brood in agent.broods), "the programs to die with their parent")
    wait_until(lambda: not runs(agent.server.pid) and not runs(agent.undertaker.pid), "the servers to be gone")
    assert len(agent.living()) == 2 * len(WAYS)  # nobody is there to end these
    assert descent.bearers(agent.owner, descent.OWNER_ENV) == []  # so that nobody waits for a fork server
    await_fork_server(agent.owner)
    for brood in agent.broods:
        assert kill_leftovers(brood.attempt) == len(WAYS)
        assert brood.living() == []


@pytest.mark.parametrize("killed", [["process"], ["process", "undertaker"]], ids="+".join)
def test_a_frozen_fork_server_of_a_dead_agent_tells_what_it_saw_and_ends(other_agent, killed):
    agent = other_agent(warm=True)
    os.kill(agent.server.pid, signal.SIGSTOP)
    servers = [agent.undertaker.pid, agent.server.pid]
    assert sorted(descent.bearers(agent.owner, descent.OWNER_ENV)) == sorted(servers)  # and no attempt: none is thawed
    one, _ = agent.broods
    one.end()
    wait_until(lambda: not runs(one.pid), "a program to end")
    agent.kill(*(getattr(agent, victim).pid for victim in killed))
    agent.process.wait()
    await_fork_server(agent.owner)
    assert agent.living() == [] and not runs(agent.server.pid) and not runs(agent.undertaker.pid)
    assert written_end(agent.bench.folder / f"{one.attempt}.exit.json").status == 0


@kinds
def test_without_the_mark_nothing_outlives_its_attempt_either(other_agent, warm):
    agent = other_agent(warm=warm, unmarked=True)
    one, other = agent.broods
    assert descent._borne_by(one.pid) == 100
    one.end()
    wait_until(lambda: set(one.living()) <= {"clean"}, "all to be gone that can be told from the other's")
    assert other.living() == WAYS
    other.end()
    wait_until(lambda: not agent.living(), "everything to be gone")


# -- somebody is silent -----------------------------------------------------------------------------------------------


BEATS = """\
    import multiprocessing, os, time

    def beat(name):
        while True:
            with open(name, "a") as file:
                file.write(".")
            time.sleep(0.01)

    if __name__ == "__main__":
        multiprocessing.get_context("fork").Process(target=beat, args=("child",)).start()
        beat("parent")
"""


def stands_still(bench, pid):
    """Return whether the program and its child are frozen."""
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    return len(family) == 2 and all(process.status() == psutil.STATUS_STOPPED for process in family)


def beats(bench):
    return [
        len((bench.folder / name).read_text()) if (bench.folder / name).exists() else 0 for name in ("parent", "child")
    ]


@kinds
def test_an_attempt_stands_still_when_its_lease_is_over_and_goes_on_when_it_is_renewed(bench, warm):
    attempt, queue, _ = bench.submit(bench.write(BEATS), warm=warm, lease_end=time.monotonic() + 600)
    pid = bench.next_of(queue).pid
    wait_until(lambda: all(beats(bench)), "both to beat")
    bench.launcher.renew({attempt: time.monotonic(), "unknown-1": 0.0})
    wait_until(lambda: stands_still(bench, pid), "both to stand still")
    before = beats(bench)
    wait_until(lambda: sum(attempt in note for note in bench.launcher.notes) == 1, "the agent to say so")
    bench.launcher.renew({attempt: time.monotonic() + 600})
    wait_until(lambda: all(now > then for now, then in zip(beats(bench), before, strict=True)), "both to go on")
    bench.launcher.renew({attempt: time.monotonic()})
    wait_until(lambda: stands_still(bench, pid), "both to stand still")
    assert kill_leftovers(attempt) == 2  # as the agent does that takes the run over
    assert bench.next_of(queue).status == -signal.SIGKILL


def test_a_lease_that_nobody_renews_ends(bench):
    bench.run(bench.write("print('the server is there')"))  # a lease that is over when it has started starts nothing
    _, queue, _ = bench.submit(bench.write(BEATS), lease_end=time.monotonic() + 3)
    pid = bench.next_of(queue).pid
    wait_until(lambda: stands_still(bench, pid), "it to stand still by itself")


def test_an_attempt_that_was_asked_for_too_long_ago_is_not_started(bench):
    _, queue, log = bench.submit(bench.write("print('ran')"), lease_end=time.monotonic() - 1)
    assert bench.next_of(queue).status is None
    assert log.read_text() == ""


def test_a_start_that_waited_for_an_import_goes_by_the_newest_lease(tmp_path, monkeypatch):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "lingers.py").write_text(
        "import os, time\nos.mkdir('importing')\nwhile not os.path.exists('imported'): time.sleep(0.005)\n"
    )
    env = {"PYTHONPATH": str(tmp_path / "slow"), "PYTHONDONTWRITEBYTECODE": "1"}
    monkeypatch.chdir(tmp_path)
    launcher = LocalLauncher(log=tmp_path / "forkserver.log", preload=("lingers",), env=env)
    launcher.notes = []
    bench = Bench(tmp_path, launcher)
    try:
        attempt, queue, _ = bench.submit(bench.write("print('ran')"), lease_end=time.monotonic() + 0.2)
        wait_until((tmp_path / "importing").exists, "the import to begin")
        wait_until(lambda: time.monotonic() > launcher._pending[attempt].lease_end, "the first lease to be over")
        launcher.renew({attempt: time.monotonic() + 600})
        (tmp_path / "imported").touch()
        assert isinstance(bench.next_of(queue), Started) and bench.next_of(queue).status == 0
    finally:
        launcher.close()


def test_a_frozen_server_does_not_freeze_who_renews(bench):
    _, queue, _ = bench.submit(bench.write(BEATS))
    server = psutil.Process(bench.next_of(queue).pid).ppid()
    os.kill(server, signal.SIGSTOP)
    for _ in range(20):
        bench.launcher.renew({"x" * 20_000: 0.0})
    os.kill(server, signal.SIGCONT)


def test_a_number_that_is_another_process_by_now_is_not_signalled(bench):
    attempt, queue, _ = bench.submit(bench.write("import time; time.sleep(600)"))
    bench.next_of(queue)
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as innocent:
        pid, start = bench.launcher._pids[attempt]
        bench.launcher._pids[attempt] = (innocent.pid, str(int(start) - 1))
        assert bench.launcher.signal(attempt, signal.SIGKILL) is False
        bench.launcher._pids[attempt] = (pid, start)
        assert innocent.poll() is None
        innocent.kill()
    assert bench.launcher.signal(attempt, signal.SIGKILL) is True
    assert bench.next_of(queue).status == -signal.SIGKILL


def test_a_sweep_within_a_run_is_of_the_runs_family(bench):
    program = bench.write(
        f"""\
        import subprocess, sys, time
        sys.path.insert(0, {str(CODE_DIR)!r})
        from sweepkit.agents import descent
        child = "import time; time.sleep(600)"
        descent.mark("an inner run", subprocess.Popen([sys.executable, "-c", child], env={{}}).pid)
        print("up", flush=True)
        time.sleep(600)
        """
    )
    attempt, queue, log = bench.submit(program)
    bench.next_of(queue)
    wait_until(lambda: "up" in log.read_text(), "the inner run to begin")
    assert len(descent.bearers(attempt, ATTEMPT_ENV)) == 1
    assert kill_leftovers(attempt) == 2


@pytest.mark.parametrize(
    ("program", "heard"),
    [
        ("", False),
        ("import signal; signal.signal(15, lambda *_: None)", True),
        ("import signal; signal.signal(15, signal.SIG_IGN)", True),  # a child of it may hear it
        ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15])", True),
    ],
)
def test_a_process_hears_a_signal_that_would_not_just_end_it(program, heard):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{program}\nprint('ready', flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        process.stdout.readline()
        assert descent.hears(process.pid, signal.SIGTERM) is heard
        process.stdin.write(b"\n")
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not descent.hears(process.pid, signal.SIGTERM)  # it has ended
