"""Warm is fresh: how a program ends, and what runs then."""

import pytest
from parity import params, row


def _exit(code):
    return row(f"sys.exit({code})", f"import sys\nprint('before')\nsys.exit({code})\n")


def _killed(number):
    return row(
        f"killed by {number}",
        f"import os, signal\nprint('before')\nopen('left.txt', 'w').write('x')\nos.kill(os.getpid(), signal.{number})\nsignal.pause()\n",
    )


ROWS = [
    *map(
        _exit,
        [
            "",
            "0",
            "3",
            "256",
            "-1",
            "255",
            "2**40",
            "'words'",
            "None",
            "True",
            "False",
            "1.5",
            "(1, 2)",
            "[]",
            "b'x'",
            "'한국어'",
            "Exception('odd')",
        ],
    ),
    *map(
        _killed,
        ["SIGTERM", "SIGINT", "SIGKILL", "SIGSEGV", "SIGABRT", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGQUIT", "SIGXCPU"],
    ),
    row(
        "SIGPIPE and SIGXFSZ of itself are ignored",
        "import os, signal\nos.kill(os.getpid(), signal.SIGPIPE)\nos.kill(os.getpid(), signal.SIGXFSZ)\nprint('after')\n",
    ),
    row("raise SystemExit of a subclass", "class Stop(SystemExit):\n    pass\nraise Stop(5)\n"),
    row(
        "SystemExit whose text raises",
        "import sys\nclass Odd:\n    def __str__(self):\n        raise ValueError('no')\nsys.exit(Odd())\n",
    ),
    row("quit() and its kind", "quit(3)\n"),
    row("exit with words from a function", "def main():\n    raise SystemExit('bad news')\nmain()\n"),
    row(
        "os._exit",
        "import os, atexit\natexit.register(print, 'never')\nfile = open('lost.txt', 'w')\nfile.write('x')\nos._exit(9)\n",
    ),
    row("os.abort", "import os\nos.abort()\n"),
    row("KeyboardInterrupt raised", "print('before')\nraise KeyboardInterrupt\n"),
    row(
        "KeyboardInterrupt with words",
        "import atexit\natexit.register(print, 'bye')\nraise KeyboardInterrupt('stop')\n",
    ),
    row(
        "KeyboardInterrupt caught",
        "try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    print('caught')\n",
    ),
    row(
        "KeyboardInterrupt turned into sys.exit",
        "import sys\ntry:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    sys.exit(130)\n",
    ),
    row(
        "KeyboardInterrupt in a local module's import", "import part\n", files={"part.py": "raise KeyboardInterrupt\n"}
    ),
    row(
        "SIGINT in time.sleep",
        "import os, signal, threading, time\nthreading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()\ntime.sleep(60)\n",
    ),
    row(
        "a SIGINT handler of its own",
        "import os, signal, sys\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(7))\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n",
    ),
    row(
        "a SIGTERM handler of its own",
        "import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: (print('saving'), sys.exit(0)))\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n",
    ),
    row(
        "SIGINT set to its default",
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nos.kill(os.getpid(), signal.SIGINT)\nprint('after')\n",
    ),
    row(
        "SIGALRM while it waits at its end",
        "import signal, threading\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\nthreading.Thread(target=threading.Event().wait).start()\n",
    ),
    row("an uncaught exception", "raise ValueError('no')\n"),
    row("an exception that is no Exception", "class Odd(BaseException):\n    pass\nraise Odd('x')\n"),
    row("a GeneratorExit", "raise GeneratorExit\n"),
    row("MemoryError", "raise MemoryError('out of memory')\n"),
    row("sys.exit in an import", "import part\n", files={"part.py": "import sys\nsys.exit(6)\n"}),
    row(
        "sys.exit in a thread",
        "import sys, threading\nthread = threading.Thread(target=sys.exit, args=(5,))\nthread.start()\nthread.join()\nprint('after')\n",
    ),
    row(
        "sys.exit in an atexit handler",
        "import atexit, sys\natexit.register(print, 'last')\natexit.register(sys.exit, 5)\n",
    ),
    row(
        "sys.exit in a forked child",
        "import os, sys, atexit\natexit.register(print, 'handler')\nif os.fork() == 0:\n    sys.exit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))\n",
    ),
    row(
        "the end of a forked child",
        "import os\nfile = open('a.txt', 'w')\nfile.write('x')\nif os.fork() == 0:\n    file.write('child')\nelse:\n    print(os.waitstatus_to_exitcode(os.wait()[1]))\n",
    ),
    row(
        "an exception in a forked child",
        "import os\nif os.fork() == 0:\n    raise ValueError('child')\nprint(os.waitstatus_to_exitcode(os.wait()[1]))\n",
    ),
    row(
        "atexit handlers in their order",
        "import atexit\nfor i in range(3):\n    atexit.register(print, i)\natexit.register(print, 'k', sep='', end='!\\n')\natexit.unregister(len)\n",
    ),
    row("the number of atexit handlers", "import atexit\nobserve(n=atexit._ncallbacks())\n"),
    row(
        "the number of atexit handlers after imports",
        "import logging, threading, concurrent.futures, multiprocessing, weakref, tempfile, multiprocessing.util, asyncio, concurrent.futures.thread\nimport atexit\nobserve(n=atexit._ncallbacks(), t=len(threading._threading_atexits))\n",
    ),
    row(
        "atexit handlers that register more",
        "import atexit\ndef first():\n    print('first')\n    atexit.register(print, 'second')\natexit.register(print, 'zero')\natexit.register(first)\n",
    ),
    row("atexit after an exception", "import atexit\natexit.register(print, 'bye')\nraise ValueError('no')\n"),
    row(
        "an exception in an atexit handler",
        "import atexit\ndef broken():\n    raise ValueError('no')\natexit.register(print, 'bye')\natexit.register(broken)\n",
    ),
    row(
        "atexit._run_exitfuncs and _clear",
        "import atexit\natexit.register(print, 'one')\natexit._run_exitfuncs()\natexit.register(print, 'two')\natexit._clear()\n",
    ),
    row(
        "atexit registered by a thread",
        "import atexit, threading\nthreading.Thread(target=atexit.register, args=(print, 'thread')).start()\n",
    ),
    row(
        "an atexit handler that imports, forks and starts a child",
        "import atexit, os, subprocess\ndef last():\n    import colorsys\n    print(colorsys.__name__)\n    subprocess.run(['echo', 'child'])\n    if os.fork() == 0:\n        os._exit(0)\n    os.wait()\natexit.register(last)\n",
    ),
    row(
        "an atexit handler that starts a thread",
        "import atexit, threading\ndef last():\n    try:\n        thread = threading.Thread(target=print, args=('thread',))\n        thread.start()\n        thread.join()\n    except RuntimeError as error:\n        print(error)\natexit.register(last)\n",
    ),
    row(
        "threads are joined before atexit handlers",
        "import atexit, threading, time\natexit.register(print, 'handler')\nthreading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\nprint('main')\n",
    ),
    row(
        "a daemon thread at the end",
        "import threading, time\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\nprint('main')\n",
    ),
    row(
        "a daemon thread that prints at the end",
        "import threading\ngo = threading.Event()\ndef work():\n    while True:\n        go.set()\nthreading.Thread(target=work, daemon=True).start()\ngo.wait()\nprint('main')\n",
    ),
    row(
        "sys.exit while a thread still works",
        "import sys, threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\nsys.exit(3)\n",
    ),
    row(
        "KeyboardInterrupt while a thread still works",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\nraise KeyboardInterrupt\n",
    ),
    row(
        "concurrent.futures never shut down",
        "import concurrent.futures, time\npool = concurrent.futures.ThreadPoolExecutor(2)\nfor i in range(4):\n    pool.submit(lambda i=i: (time.sleep(0.02), open(f'{i}.txt', 'w').close()))\nprint('main')\n",
    ),
    row(
        "concurrent.futures used in atexit",
        "import atexit, concurrent.futures\ndef last():\n    try:\n        concurrent.futures.ThreadPoolExecutor(1).submit(print, 'x')\n    except RuntimeError as error:\n        print(error)\natexit.register(last)\n",
    ),
    row(
        "threading._register_atexit",
        "import atexit, threading\natexit.register(print, 'atexit')\nthreading._register_atexit(print, 'threading')\n",
    ),
    row(
        "__del__ of globals",
        "import os\nclass A:\n    def __init__(self, name):\n        self.name = name\n    def __del__(self, write=os.write):\n        write(1, f'del {self.name}\\n'.encode())\na = A('a')\nb = A('b')\n_private = A('private')\nkeep = [A('list')]\n",
    ),
    row(
        "__del__ of a cycle among globals",
        "import os\nclass A:\n    def __del__(self, write=os.write):\n        write(1, b'del\\n')\na, b = A(), A()\na.b, b.a = b, a\n",
    ),
    row(
        "__del__ of a global of a local module",
        "import part\nprint('main')\n",
        files={
            "part.py": "import os\nclass A:\n    def __del__(self, write=os.write):\n        write(1, b'del in part\\n')\nA_ = A()\n"
        },
    ),
    row(
        "__del__ that uses builtins and modules",
        "import os, sys\nclass A:\n    def __del__(self):\n        os.write(1, f'{sys.is_finalizing()} {sys.meta_path is None} {os is None}\\n'.encode())\na = A()\n",
    ),
    row(
        "__del__ after sys.exit and after an exception",
        "import os\nclass A:\n    def __del__(self, write=os.write):\n        write(1, b'del\\n')\ndef main():\n    local = A()\n    raise ValueError('no')\na = A()\nmain()\n",
    ),
    row(
        "a generator's finally at the end",
        "import os\ndef numbers(write=os.write):\n    try:\n        yield 1\n    finally:\n        write(1, b'finally\\n')\ng = numbers()\nnext(g)\n",
    ),
    row(
        "a context manager left open",
        "import contextlib, os\n@contextlib.contextmanager\ndef managed(write=os.write):\n    try:\n        yield\n    finally:\n        write(1, b'left\\n')\nm = managed()\nm.__enter__()\n",
    ),
    row(
        "weakref.finalize at the end",
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'finalized')\nquiet = weakref.finalize(a, print, 'never')\nquiet.atexit = False\n",
    ),
    row(
        "weakref callbacks at the end",
        "import os, weakref\nclass A: pass\na = A()\nr = weakref.ref(a, lambda _, write=os.write: write(1, b'gone\\n'))\n",
    ),
    row(
        "a TemporaryDirectory never cleaned up",
        "import tempfile, os\nfolder = tempfile.TemporaryDirectory()\nopen(os.path.join(folder.name, 'x'), 'w').close()\n",
    ),
    row(
        "a NamedTemporaryFile never closed",
        "import tempfile\nfile = tempfile.NamedTemporaryFile('w', prefix='mine')\nfile.write('x')\nobserve(where=tempfile.gettempdir(), dir=tempfile.tempdir)\n",
    ),
    row(
        "mkdtemp and TMPDIR",
        "import tempfile, os\nfolder = tempfile.mkdtemp()\nobserve(parent=os.path.dirname(folder), left=os.environ['TMPDIR'])\nos.rmdir(folder)\n",
    ),
    row(
        "TMPDIR set by the program before tempfile",
        "import os\nos.environ['TMPDIR'] = os.getcwd()\nimport tempfile\nobserve(where=tempfile.gettempdir())\n",
    ),
    row(
        "a multiprocessing process not joined",
        "import multiprocessing, time\ndef work():\n    time.sleep(0.1)\n    open('done.txt', 'w').close()\nif __name__ == '__main__':\n    multiprocessing.Process(target=work).start()\n    print('main')\n",
    ),
    row(
        "a daemonic multiprocessing process",
        "import multiprocessing, time\ndef work(ready):\n    ready.set()\n    time.sleep(100)\nif __name__ == '__main__':\n    ready = multiprocessing.Event()\n    multiprocessing.Process(target=work, args=(ready,), daemon=True).start()\n    ready.wait()\n",
    ),
    row(
        "a multiprocessing pool never closed",
        "import multiprocessing\nif __name__ == '__main__':\n    pool = multiprocessing.Pool(2)\n    print(pool.map(abs, [-1, 2]))\n",
    ),
    row(
        "no resource tracker before the program needs one",
        "from multiprocessing import resource_tracker\nt = resource_tracker._resource_tracker\nobserve(fd=t._fd, pid=t._pid)\n",
    ),
    row(
        "an exit while the resource tracker runs",
        "from multiprocessing import shared_memory, resource_tracker\nmemory = shared_memory.SharedMemory(create=True, size=10)\nmemory.close()\nmemory.unlink()\n",
    ),
    row(
        "asyncio.run",
        "import asyncio, contextvars\nasync def main():\n    await asyncio.sleep(0)\n    return len(contextvars.copy_context())\nobserve(n=asyncio.run(main()), context=len(contextvars.copy_context()))\n",
    ),
    row(
        "an asyncio loop left open",
        "import asyncio\nloop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\nasync def work():\n    await asyncio.sleep(100)\nloop.create_task(work())\nloop.run_until_complete(asyncio.sleep(0))\n",
    ),
    row(
        "asyncio and Ctrl-C",
        "import asyncio, os, signal\nasync def main():\n    os.kill(os.getpid(), signal.SIGINT)\n    await asyncio.sleep(100)\nasyncio.run(main())\n",
    ),
    row(
        "asyncio.run in threads and executors",
        "import asyncio, threading\nasync def main():\n    return await asyncio.get_running_loop().run_in_executor(None, threading.get_ident) != threading.get_ident()\nobserve(other=asyncio.run(main()))\n",
    ),
    row(
        "os.register_at_fork of the program",
        "import os\nos.register_at_fork(before=lambda: print('before'), after_in_child=lambda: print('child'), after_in_parent=lambda: print('parent'))\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\n",
    ),
    row(
        "os.execv of itself",
        "import os, sys\nprint('round', len(sys.argv))\nif len(sys.argv) < 3:\n    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], 'again'])\n",
        args=("x",),
    ),
    row("os.execv of another program", "import os\nos.execvp('echo', ['echo', 'other'])\n"),
    row(
        "a profiler left on",
        "import cProfile, atexit\nprofile = cProfile.Profile()\nprofile.enable()\nsum(range(10))\nprofile.disable()\nimport pstats\nobserve(n=pstats.Stats(profile).total_calls)\n",
    ),
    row(
        "sys.settrace sees the program's lines",
        "import sys\nlines = []\ndef trace(frame, event, arg):\n    lines.append((event, frame.f_lineno - frame.f_code.co_firstlineno))\n    return trace\nsys.settrace(trace)\ndef f():\n    x = 1\n    return x\nf()\nsys.settrace(None)\nobserve(lines=lines)\n",
    ),
    row(
        "sys.setprofile left on to the end",
        "import sys\nseen = []\nsys.setprofile(lambda frame, event, arg: seen.append(event))\nlen([])\n",
    ),
    row(
        "faulthandler of the program",
        "import faulthandler, os, signal\nobserve(on=faulthandler.is_enabled())\nfaulthandler.enable()\ndef f():\n    os.kill(os.getpid(), signal.SIGSEGV)\nf()\n",
    ),
    row(
        "faulthandler.dump_traceback",
        "import faulthandler, threading\ndef f():\n    faulthandler.dump_traceback(all_threads=True)\nf()\n",
    ),
    row(
        "tracemalloc of the program",
        "import tracemalloc\nobserve(on=tracemalloc.is_tracing())\ntracemalloc.start()\nx = [0] * 1000\nobserve(traced=tracemalloc.get_object_traceback(x)[0].lineno)\n",
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
