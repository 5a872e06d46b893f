"""Warm is fresh: the process, its limits and signals, and the state of the interpreter that a program finds."""

import pytest
from parity import params, row

pytestmark = pytest.mark.slow

FROZEN = "what was imported for all runs is frozen, so that its pages stay shared"

ROWS = [
    row(
        "working directory",
        """\
            import os
            from pathlib import Path
            observe(
                cwd=os.getcwd(),
                pwd=os.environ.get("PWD"),
                path=str(Path.cwd()),
                link=os.readlink("/proc/self/cwd"),
            )
            """,
        cwd="run",
    ),
    row(
        "umask",
        """\
            import os
            observe(mask=os.umask(0o022))
            """,
    ),
    row(
        "modes of new files",
        """\
            import os
            open("a", "w").close()
            os.mkdir("b")
            observe(a=oct(os.stat("a").st_mode), b=oct(os.stat("b").st_mode))
            os.rmdir("b")
            """,
    ),
    row(
        "locale",
        """\
            import locale, sys
            observe(
                a=[
                    locale.setlocale(locale.LC_ALL),
                    locale.getlocale(),
                    locale.getpreferredencoding(),
                    locale.getencoding(),
                    sys.getfilesystemencoding(),
                    sys.getfilesystemencodeerrors(),
                    sys.getdefaultencoding(),
                    locale.localeconv()["decimal_point"],
                ]
            )
            """,
    ),
    row(
        "time zone",
        """\
            import os, time
            observe(a=time.tzname, b=time.timezone, c=time.localtime(0)[:6])
            """,
        attempt_env={"TZ": "Asia/Seoul"},
        cold="the C library reads this variable when it starts",
    ),
    row(
        "resource limits",
        """\
            import resource
            observe(
                limits={
                    name: resource.getrlimit(getattr(resource, name))
                    for name in dir(resource)
                    if name.startswith("RLIMIT_")
                }
            )
            """,
    ),
    row(
        "oom_score_adj, nice, affinity, scheduler",
        """\
            import os
            observe(
                a=[
                    open("/proc/self/oom_score_adj").read(),
                    os.getpriority(os.PRIO_PROCESS, 0),
                    sorted(os.sched_getaffinity(0)),
                    os.sched_getscheduler(0),
                    os.cpu_count(),
                ],
                slack=open("/proc/self/timerslack_ns").read()
                if os.path.exists("/proc/self/timerslack_ns")
                else "",
            )
            """,
    ),
    row(
        "process group and session",
        """\
            import os
            observe(
                a=[
                    os.getpgid(0) == os.getpid(),
                    os.getsid(0) == os.getpid(),
                    os.getppid() > 0,
                    os.getpid() == int(os.readlink("/proc/self")),
                ]
            )
            """,
    ),
    row(
        "children",
        """\
            import os, subprocess
            observe(children=open(f"/proc/self/task/{os.getpid()}/children").read())
            try:
                os.wait()
            except ChildProcessError as error:
                print(error)
            """,
    ),
    row(
        "children as psutil sees them",
        """\
            import psutil
            p = psutil.Process()
            observe(
                children=p.children(),
                threads=p.num_threads(),
                name=p.name(),
                files=p.open_files() and 1,
                terminal=p.terminal(),
                user=p.username(),
                recent=abs(p.create_time() - __import__("time").time()) < 60,
            )
            """,
    ),
    row(
        "ids and capabilities",
        """\
            import os
            observe(
                a=[os.getresuid(), os.getresgid(), os.getgroups()],
                status=[
                    line
                    for line in open("/proc/self/status")
                    if line.startswith(
                        (
                            "Cap",
                            "NoNewPrivs",
                            "Seccomp",
                            "Uid",
                            "Gid",
                            "Threads",
                            "Umask",
                            "Name",
                            "CoreDumping",
                            "THP",
                        )
                    )
                ],
            )
            """,
    ),
    row(
        "signal masks in /proc",
        """\
            observe(status=[line for line in open("/proc/self/status") if line.startswith(("Sig", "Shd"))])
            """,
    ),
    row(
        "signal handlers",
        """\
            import signal
            observe(
                handlers={
                    s.name: repr(signal.getsignal(s))
                    for s in signal.valid_signals()
                    if isinstance(s, signal.Signals)
                },
                mask=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
                pending=sorted(signal.sigpending()),
            )
            """,
    ),
    row(
        "signal handlers of a child",
        """\
            import subprocess
            observe(
                status=[
                    line
                    for line in subprocess.run(
                        ["cat", "/proc/self/status"], capture_output=True, text=True
                    ).stdout.splitlines()
                    if line.startswith(("SigIgn", "SigBlk", "SigCgt"))
                ]
            )
            """,
    ),
    row(
        "timers and wakeup descriptor",
        """\
            import signal
            observe(
                a=[
                    signal.getitimer(signal.ITIMER_REAL),
                    signal.getitimer(signal.ITIMER_VIRTUAL),
                    signal.alarm(0),
                    signal.set_wakeup_fd(-1),
                ]
            )
            """,
    ),
    row(
        "signals wake select and sleep",
        """\
            import os, signal, select, time
            r, w = os.pipe()
            os.set_blocking(w, False)
            signal.set_wakeup_fd(w)
            signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
            os.kill(os.getpid(), signal.SIGUSR1)
            print(select.select([r], [], [], 5)[0] == [r])
            """,
    ),
    row(
        "a child's end: SIGCHLD",
        """\
            import os, signal, subprocess
            signal.signal(signal.SIGCHLD, lambda *_: print("child ended"))
            subprocess.run(["true"])
            print(os.system("exit 3"))
            """,
    ),
    row(
        "PR_SET_PDEATHSIG",
        """\
            import ctypes
            n = ctypes.c_int()
            ctypes.CDLL(None).prctl(2, ctypes.byref(n))
            observe(signal=n.value)
            """,
        may_differ={"signal": "an attempt, warm or cold, dies with its fork server, so that none outlives its agent"},
    ),
    row(
        "PR_GET_CHILD_SUBREAPER",
        """\
            import ctypes
            n = ctypes.c_int()
            ctypes.CDLL(None).prctl(37, ctypes.byref(n))
            observe(value=n.value)
            """,
    ),
    row(
        "PR_GET_DUMPABLE, NAME, KEEPCAPS, THP",
        """\
            import ctypes
            libc = ctypes.CDLL(None)
            name = ctypes.create_string_buffer(16)
            libc.prctl(16, name)
            observe(a=[libc.prctl(3), libc.prctl(7), libc.prctl(42, 0, 0, 0, 0), name.value.decode()])
            """,
    ),
    row(
        "processor time near zero",
        """\
            import os, resource, time
            u, c = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
            observe(
                a=[
                    time.process_time() < 2,
                    u.ru_utime + u.ru_stime < 2,
                    c.ru_utime + c.ru_stime,
                    c.ru_maxrss,
                    sum(os.times()[2:4]),
                    time.thread_time() < 2,
                ]
            )
            """,
    ),
    row(
        "largest memory of the process",
        """\
            import resource
            r = resource.getrusage(resource.RUSAGE_SELF)
            observe(megabytes=r.ru_maxrss // 1024, small=r.ru_maxrss < 2**20)
            """,
        may_differ={
            "megabytes": "a fork shares the pages of its fork server: the number is of the same kind, not the same"
        },
    ),
    row(
        "the main thread",
        """\
            import threading, os, _thread
            t = threading.main_thread()
            observe(
                a=[
                    t is threading.current_thread(),
                    t.name,
                    t.daemon,
                    t.ident == threading.get_ident(),
                    t.native_id == os.getpid(),
                    threading.get_native_id() == os.getpid(),
                    threading.active_count(),
                    [x.name for x in threading.enumerate()],
                    len(os.listdir("/proc/self/task")),
                    _thread._count(),
                    threading.stack_size(),
                    type(t).__name__,
                ]
            )
            """,
    ),
    row(
        "names of new threads",
        """\
            import threading
            observe(
                a=[
                    threading.Thread().name,
                    threading.Thread().name,
                    threading.Thread(target=print).name,
                    threading.Timer(1, print).name,
                ]
            )
            """,
    ),
    row(
        "names of new processes and pools",
        """\
            import multiprocessing, concurrent.futures, threading
            p = concurrent.futures.ThreadPoolExecutor(1)
            observe(
                a=[
                    multiprocessing.Process().name,
                    multiprocessing.Process().name,
                    multiprocessing.current_process().name,
                    repr(multiprocessing.parent_process()),
                    multiprocessing.get_start_method(True),
                    multiprocessing.active_children(),
                    p.submit(lambda: threading.current_thread().name).result(),
                ]
            )
            """,
    ),
    row(
        "asyncio's task names",
        """\
            import asyncio
            async def main():
                return [asyncio.current_task().get_name(), asyncio.create_task(asyncio.sleep(0)).get_name()]
            observe(names=asyncio.run(main()))
            """,
    ),
    row(
        "garbage collection",
        """\
            import gc
            observe(
                frozen=gc.get_freeze_count(),
                a=[
                    gc.isenabled(),
                    gc.get_threshold(),
                    gc.callbacks,
                    gc.garbage,
                    gc.get_debug(),
                ]
            )
            """,
        may_differ={"frozen": FROZEN},
    ),
    row(
        "garbage collection sees what came before",
        """\
            import gc
            observe(many=len(gc.get_objects()) > 1000, collections=gc.get_stats()[2]["collections"] < 20)
            """,
        may_differ={"many": FROZEN},
    ),
    row(
        "interpreter limits and switches",
        """\
            import sys
            observe(
                a=[
                    sys.getrecursionlimit(),
                    sys.getswitchinterval(),
                    sys.get_int_max_str_digits(),
                    sys.dont_write_bytecode,
                    sys.get_coroutine_origin_tracking_depth(),
                    sys.get_asyncgen_hooks(),
                    sys.getdlopenflags(),
                    sys.is_finalizing(),
                    sys.activate_stack_trampoline if hasattr(sys, "x") else 0,
                ]
            )
            """,
    ),
    row(
        "the import system",
        """\
            import sys, os
            observe(
                meta=[str(getattr(f, "__name__", type(f).__name__)) for f in sys.meta_path],
                hooks=[getattr(h, "__name__", type(h).__name__) for h in sys.path_hooks],
                local=[
                    p for p in sys.path_importer_cache if "work" in p and "site" not in p and "/code" not in p
                ],
            )
            """,
        may_differ={"meta": "the first finder hands over what was imported for all runs"},
    ),
    row(
        "sys.modules before the program's imports",
        """\
            import sys
            names = sorted(sys.modules)
            observe(names=names, ours=[n for n in names if n.startswith("sweepkit")])
            """,
        may_differ={"names": "what is imported once for all runs is there before the statement that imports it"},
    ),
    row(
        "sys.modules after everything was imported",
        """\
            import json, csv, sys, subprocess
            observe(
                ours=[n for n in sys.modules if n.startswith("sweepkit")],
                main=sys.modules["__main__"].__dict__ is globals(),
            )
            """,
    ),
    row(
        "the builtins",
        """\
            import builtins, sys
            observe(names=sorted(vars(builtins)), displays=sys.displayhook(None), under=hasattr(builtins, "_"))
            """,
    ),
    row(
        "audit hooks see the program's imports",
        """\
            import sys
            seen = []
            sys.addaudithook(lambda name, args: seen.append(args[0]) if name == "import" else None)
            import part, colorsys
            observe(seen=[n for n in seen if n in ("part", "colorsys")])
            """,
        files={"part.py": ""},
        may_differ={"seen": "a module that is already imported makes no import event"},
    ),
    row(
        "contextvars and decimal's context",
        """\
            import contextvars, decimal
            observe(n=len(contextvars.copy_context()), context=repr(decimal.getcontext()))
            """,
    ),
    row(
        "codecs, mimetypes, sqlite",
        """\
            import codecs, mimetypes
            observe(a=mimetypes.inited, b=codecs.lookup("euc-kr").name, c=mimetypes.guess_type("a.json"))
            """,
    ),
    row(
        "hash of None, of numbers, of types",
        """\
            observe(a=[hash(1), hash(2.5), hash((1, 2)), hash(True), hash(10**30)])
            """,
    ),
    row(
        "time goes on",
        """\
            import time
            observe(
                a=[
                    time.monotonic() > 0,
                    time.perf_counter() > 0,
                    abs(time.time() - __import__("os").stat(__file__).st_mtime) < 600,
                ]
            )
            """,
    ),
    row(
        "sys.flags and environ in a child interpreter",
        """\
            import subprocess, sys
            print(
                subprocess.run(
                    [
                        sys.executable,
                        "-c",
                        'import os, sys; print(sys.flags, sys.argv, sys.path[0] == "", sorted(k for k in os.environ))',
                    ],
                    capture_output=True,
                    text=True,
                ).stdout
            )
            """,
    ),
    row(
        "subprocess._args_from_interpreter_flags",
        """\
            import subprocess
            observe(
                a=subprocess._args_from_interpreter_flags(),
                spawn=__import__("multiprocessing.spawn").spawn.get_command_line(),
            )
            """,
    ),
    row(
        "sockets and their default timeout",
        """\
            import socket
            s = socket.socket()
            observe(a=[socket.getdefaulttimeout(), s.gettimeout(), s.get_inheritable(), s.fileno()])
            """,
    ),
    row(
        "file locks are its own",
        """\
            import fcntl
            file = open("lock", "w")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("locked")
            """,
    ),
    row(
        "an own process group and session",
        """\
            import os
            try:
                os.setsid()
            except PermissionError as error:
                print(error)
            os.setpgid(0, 0) if False else None
            if os.fork() == 0:
                os.setsid()
                os._exit(0)
            print(os.wait()[1])
            """,
    ),
    row(
        "os.nice, setrlimit, umask and chdir stay in the run",
        """\
            import os, resource, signal, sys, locale, gc
            observe(
                a=[
                    os.nice(0),
                    os.getcwd(),
                    resource.getrlimit(resource.RLIMIT_NOFILE),
                    sys.getrecursionlimit(),
                    gc.isenabled(),
                    signal.getsignal(signal.SIGUSR1).name,
                ]
            )
            os.nice(1)
            os.umask(0o077)
            os.chdir("/")
            sys.setrecursionlimit(500)
            gc.disable()
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            os.environ["LEFT"] = "1"
            sys.path.append("/left")
            """,
    ),
    row(
        "cgroup and namespaces",
        """\
            import os
            observe(
                cgroup=open("/proc/self/cgroup").read(),
                ns={n: os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")},
            )
            """,
    ),
    row(
        "memory maps hold no other program's files",
        """\
            import os
            observe(ours=[line.split()[-1] for line in open("/proc/self/maps") if "parity" in line])
            """,
    ),
    row(
        "two runs at once see the same",
        """\
            import os, sys, json
            observe(
                argv=sys.argv, cwd=os.getcwd(), path=sys.path, modules=[m for m in sys.modules if m == "part"]
            )
            import part
            observe(value=part.VALUE)
            """,
        files={"part.py": "VALUE = 1\n"},
        together=True,
        args=("x",),
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
