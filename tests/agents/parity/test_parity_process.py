"""Warm is fresh: the process, its limits and signals, and the state of the interpreter that a program finds."""

import pytest
from parity import params, row

ROWS = [
    row(
        "working directory",
        "import os\nfrom pathlib import Path\nobserve(cwd=os.getcwd(), pwd=os.environ.get('PWD'), path=str(Path.cwd()), link=os.readlink('/proc/self/cwd'))\n",
        cwd="run",
    ),
    row("umask", "import os\nobserve(mask=os.umask(0o022))\n"),
    row(
        "modes of new files",
        "import os\nopen('a', 'w').close()\nos.mkdir('b')\nobserve(a=oct(os.stat('a').st_mode), b=oct(os.stat('b').st_mode))\nos.rmdir('b')\n",
    ),
    row(
        "locale",
        "import locale, sys\nobserve(a=[locale.setlocale(locale.LC_ALL), locale.getlocale(), locale.getpreferredencoding(), locale.getencoding(), sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.getdefaultencoding(), locale.localeconv()['decimal_point']])\n",
    ),
    row(
        "time zone",
        "import os, time\nobserve(a=time.tzname, b=time.timezone, c=time.localtime(0)[:6])\n",
        attempt_env={"TZ": "Asia/Seoul"},
        cold="the C library reads this variable when it starts",
    ),
    row(
        "resource limits",
        "import resource\nobserve(limits={name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT_')})\n",
    ),
    row(
        "oom_score_adj, nice, affinity, scheduler",
        "import os\nobserve(a=[open('/proc/self/oom_score_adj').read(), os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0), os.cpu_count()], slack=open('/proc/self/timerslack_ns').read() if os.path.exists('/proc/self/timerslack_ns') else '')\n",
    ),
    row(
        "process group and session",
        "import os\nobserve(a=[os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid(), os.getppid() > 0, os.getpid() == int(os.readlink('/proc/self'))])\n",
    ),
    row(
        "children",
        "import os, subprocess\nobserve(children=open(f'/proc/self/task/{os.getpid()}/children').read())\ntry:\n    os.wait()\nexcept ChildProcessError as error:\n    print(error)\n",
    ),
    row(
        "children as psutil sees them",
        "import psutil\np = psutil.Process()\nobserve(children=p.children(), threads=p.num_threads(), name=p.name(), files=p.open_files() and 1, terminal=p.terminal(), user=p.username(), recent=abs(p.create_time() - __import__('time').time()) < 60)\n",
    ),
    row(
        "ids and capabilities",
        "import os\nobserve(a=[os.getresuid(), os.getresgid(), os.getgroups()], status=[line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp', 'Uid', 'Gid', 'Threads', 'Umask', 'Name', 'CoreDumping', 'THP'))])\n",
    ),
    row(
        "signal masks in /proc",
        "observe(status=[line for line in open('/proc/self/status') if line.startswith(('Sig', 'Shd'))])\n",
    ),
    row(
        "signal handlers",
        "import signal\nobserve(handlers={s.name: repr(signal.getsignal(s)) for s in signal.valid_signals() if isinstance(s, signal.Signals)}, mask=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), pending=sorted(signal.sigpending()))\n",
    ),
    row(
        "signal handlers of a child",
        "import subprocess\nobserve(status=[line for line in subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True).stdout.splitlines() if line.startswith(('SigIgn', 'SigBlk', 'SigCgt'))])\n",
    ),
    row(
        "timers and wakeup descriptor",
        "import signal\nobserve(a=[signal.getitimer(signal.ITIMER_REAL), signal.getitimer(signal.ITIMER_VIRTUAL), signal.alarm(0), signal.set_wakeup_fd(-1)])\n",
    ),
    row(
        "signals wake select and sleep",
        "import os, signal, select, time\nr, w = os.pipe()\nos.set_blocking(w, False)\nsignal.set_wakeup_fd(w)\nsignal.signal(signal.SIGUSR1, lambda *_: print('handled'))\nos.kill(os.getpid(), signal.SIGUSR1)\nprint(select.select([r], [], [], 5)[0] == [r])\n",
    ),
    row(
        "a child's end: SIGCHLD",
        "import os, signal, subprocess\nsignal.signal(signal.SIGCHLD, lambda *_: print('child ended'))\nsubprocess.run(['true'])\nprint(os.system('exit 3'))\n",
    ),
    row(
        "PR_SET_PDEATHSIG",
        "import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nobserve(signal=n.value)\n",
        may_differ={"signal": "an attempt, warm or cold, dies with its fork server, so that none outlives its agent"},
    ),
    row(
        "PR_GET_CHILD_SUBREAPER",
        "import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(37, ctypes.byref(n))\nobserve(value=n.value)\n",
    ),
    row(
        "PR_GET_DUMPABLE, NAME, KEEPCAPS, THP",
        "import ctypes\nlibc = ctypes.CDLL(None)\nname = ctypes.create_string_buffer(16)\nlibc.prctl(16, name)\nobserve(a=[libc.prctl(3), libc.prctl(7), libc.prctl(42, 0, 0, 0, 0), name.value.decode()])\n",
    ),
    row(
        "processor time near zero",
        "import os, resource, time\nu, c = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)\nobserve(a=[time.process_time() < 2, u.ru_utime + u.ru_stime < 2, c.ru_utime + c.ru_stime, c.ru_maxrss, sum(os.times()[2:4]), time.thread_time() < 2])\n",
    ),
    row(
        "largest memory of the process",
        "import resource\nr = resource.getrusage(resource.RUSAGE_SELF)\nobserve(megabytes=r.ru_maxrss // 1024, small=r.ru_maxrss < 2**20)\n",
        may_differ={
            "megabytes": "a fork shares the pages of its fork server: the number is of the same kind, not the same"
        },
    ),
    row(
        "the main thread",
        "import threading, os, _thread\nt = threading.main_thread()\nobserve(a=[t is threading.current_thread(), t.name, t.daemon, t.ident == threading.get_ident(), t.native_id == os.getpid(), threading.get_native_id() == os.getpid(), threading.active_count(), [x.name for x in threading.enumerate()], len(os.listdir('/proc/self/task')), _thread._count(), threading.stack_size(), type(t).__name__])\n",
    ),
    row(
        "names of new threads",
        "import threading\nobserve(a=[threading.Thread().name, threading.Thread().name, threading.Thread(target=print).name, threading.Timer(1, print).name])\n",
    ),
    row(
        "names of new processes and pools",
        "import multiprocessing, concurrent.futures, threading\np = concurrent.futures.ThreadPoolExecutor(1)\nobserve(a=[multiprocessing.Process().name, multiprocessing.Process().name, multiprocessing.current_process().name, repr(multiprocessing.parent_process()), multiprocessing.get_start_method(True), multiprocessing.active_children(), p.submit(lambda: threading.current_thread().name).result()])\n",
    ),
    row(
        "asyncio's task names",
        "import asyncio\nasync def main():\n    return [asyncio.current_task().get_name(), asyncio.create_task(asyncio.sleep(0)).get_name()]\nobserve(names=asyncio.run(main()))\n",
    ),
    row(
        "garbage collection",
        "import gc\nobserve(a=[gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), gc.callbacks, gc.garbage, gc.get_debug()])\n",
    ),
    row(
        "garbage collection sees what came before",
        "import gc\nobserve(many=len(gc.get_objects()) > 1000, collections=gc.get_stats()[2]['collections'] < 20)\n",
    ),
    row(
        "interpreter limits and switches",
        "import sys\nobserve(a=[sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), sys.dont_write_bytecode, sys.get_coroutine_origin_tracking_depth(), sys.get_asyncgen_hooks(), sys.getdlopenflags(), sys.is_finalizing(), sys.activate_stack_trampoline if hasattr(sys, 'x') else 0])\n",
    ),
    row(
        "the import system",
        "import sys, os\nobserve(meta=[str(getattr(f, '__name__', type(f).__name__)) for f in sys.meta_path], hooks=[getattr(h, '__name__', type(h).__name__) for h in sys.path_hooks], local=[p for p in sys.path_importer_cache if 'work' in p and 'site' not in p and '/code' not in p])\n",
    ),
    row(
        "sys.modules before the program's imports",
        "import sys\nnames = sorted(sys.modules)\nobserve(names=names, ours=[n for n in names if n.startswith('sweepkit')])\n",
        may_differ={"names": "what is imported once for all runs is there before the statement that imports it"},
    ),
    row(
        "sys.modules after everything was imported",
        "import json, csv, sys, subprocess\nobserve(ours=[n for n in sys.modules if n.startswith('sweepkit')], main=sys.modules['__main__'].__dict__ is globals())\n",
    ),
    row(
        "the builtins",
        "import builtins, sys\nobserve(names=sorted(vars(builtins)), displays=sys.displayhook(None), under=hasattr(builtins, '_'))\n",
    ),
    row(
        "audit hooks see the program's imports",
        "import sys\nseen = []\nsys.addaudithook(lambda name, args: seen.append(args[0]) if name == 'import' else None)\nimport part, colorsys\nobserve(seen=[n for n in seen if n in ('part', 'colorsys')])\n",
        files={"part.py": ""},
        may_differ={"seen": "a module that is already imported makes no import event"},
    ),
    row(
        "contextvars and decimal's context",
        "import contextvars, decimal\nobserve(n=len(contextvars.copy_context()), context=repr(decimal.getcontext()))\n",
    ),
    row(
        "codecs, mimetypes, sqlite",
        "import codecs, mimetypes\nobserve(a=mimetypes.inited, b=codecs.lookup('euc-kr').name, c=mimetypes.guess_type('a.json'))\n",
    ),
    row(
        "hash of None, of numbers, of types",
        "observe(a=[hash(1), hash(2.5), hash((1, 2)), hash(True), hash(10**30)])\n",
    ),
    row(
        "time goes on",
        "import time\nobserve(a=[time.monotonic() > 0, time.perf_counter() > 0, abs(time.time() - __import__('os').stat(__file__).st_mtime) < 600])\n",
    ),
    row(
        "sys.flags and environ in a child interpreter",
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import os, sys; print(sys.flags, sys.argv, sys.path[0] == \"\", sorted(k for k in os.environ))'], capture_output=True, text=True).stdout)\n",
    ),
    row(
        "subprocess._args_from_interpreter_flags",
        "import subprocess\nobserve(a=subprocess._args_from_interpreter_flags(), spawn=__import__('multiprocessing.spawn').spawn.get_command_line())\n",
    ),
    row(
        "sockets and their default timeout",
        "import socket\ns = socket.socket()\nobserve(a=[socket.getdefaulttimeout(), s.gettimeout(), s.get_inheritable(), s.fileno()])\n",
    ),
    row(
        "file locks are its own",
        "import fcntl\nfile = open('lock', 'w')\nfcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\nfcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\nprint('locked')\n",
    ),
    row(
        "an own process group and session",
        "import os\ntry:\n    os.setsid()\nexcept PermissionError as error:\n    print(error)\nos.setpgid(0, 0) if False else None\nif os.fork() == 0:\n    os.setsid()\n    os._exit(0)\nprint(os.wait()[1])\n",
    ),
    row(
        "os.nice, setrlimit, umask and chdir stay in the run",
        "import os, resource, signal, sys, locale, gc\nobserve(a=[os.nice(0), os.getcwd(), resource.getrlimit(resource.RLIMIT_NOFILE), sys.getrecursionlimit(), gc.isenabled(), signal.getsignal(signal.SIGUSR1).name])\nos.nice(1)\nos.umask(0o077)\nos.chdir('/')\nsys.setrecursionlimit(500)\ngc.disable()\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\nos.environ['LEFT'] = '1'\nsys.path.append('/left')\n",
    ),
    row(
        "cgroup and namespaces",
        "import os\nobserve(cgroup=open('/proc/self/cgroup').read(), ns={n: os.readlink(f'/proc/self/ns/{n}') for n in os.listdir('/proc/self/ns')})\n",
    ),
    row(
        "memory maps hold no other program's files",
        "import os\nobserve(ours=[line.split()[-1] for line in open('/proc/self/maps') if 'parity' in line])\n",
    ),
    row(
        "two runs at once see the same",
        "import os, sys, json\nobserve(argv=sys.argv, cwd=os.getcwd(), path=sys.path, modules=[m for m in sys.modules if m == 'part'])\nimport part\nobserve(value=part.VALUE)\n",
        files={"part.py": "VALUE = 1\n"},
        together=True,
        args=("x",),
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
