"""Warm is fresh: how a program ends, and what runs then."""

import pytest
from parity import DUMP, params, row

pytestmark = pytest.mark.slow


def _exit(code):
    return row(f"sys.exit({code})", f"import sys\nprint('before')\nsys.exit({code})\n")


def _killed(number):
    program = f"""\
        import os, signal
        print("before")
        open("left.txt", "w").write("x")
        os.kill(os.getpid(), signal.{number})
        signal.pause()
        """
    return row(f"killed by {number}", program)


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
        """\
            import os, signal
            os.kill(os.getpid(), signal.SIGPIPE)
            os.kill(os.getpid(), signal.SIGXFSZ)
            print("after")
            """,
    ),
    row(
        "raise SystemExit of a subclass",
        """\
            class Stop(SystemExit):
                pass
            raise Stop(5)
            """,
    ),
    row(
        "SystemExit whose text raises",
        """\
            import sys
            class Odd:
                def __str__(self):
                    raise ValueError("no")
            sys.exit(Odd())
            """,
    ),
    row("quit() and its kind", "quit(3)\n"),
    row(
        "exit with words from a function",
        """\
            def main():
                raise SystemExit("bad news")
            main()
            """,
    ),
    row(
        "os._exit",
        """\
            import os, atexit
            atexit.register(print, "never")
            file = open("lost.txt", "w")
            file.write("x")
            os._exit(9)
            """,
    ),
    row(
        "os.abort",
        """\
            import os
            os.abort()
            """,
    ),
    row(
        "KeyboardInterrupt raised",
        """\
            print("before")
            raise KeyboardInterrupt
            """,
    ),
    row(
        "KeyboardInterrupt with words",
        """\
            import atexit
            atexit.register(print, "bye")
            raise KeyboardInterrupt("stop")
            """,
    ),
    row(
        "KeyboardInterrupt caught",
        """\
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                print("caught")
            """,
    ),
    row(
        "KeyboardInterrupt turned into sys.exit",
        """\
            import sys
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                sys.exit(130)
            """,
    ),
    row(
        "KeyboardInterrupt in a local module's import", "import part\n", files={"part.py": "raise KeyboardInterrupt\n"}
    ),
    row(
        "SIGINT in time.sleep",
        """\
            import os, signal, threading, time
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(60)
            """,
    ),
    row(
        "a SIGINT handler of its own",
        """\
            import os, signal, sys
            signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
            """,
    ),
    row(
        "a SIGTERM handler of its own",
        """\
            import os, signal, sys
            signal.signal(signal.SIGTERM, lambda *_: (print("saving"), sys.exit(0)))
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
            """,
    ),
    row(
        "SIGINT set to its default",
        """\
            import os, signal
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
            print("after")
            """,
    ),
    row(
        "SIGALRM while it waits at its end",
        """\
            import signal, threading
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            threading.Thread(target=threading.Event().wait).start()
            """,
    ),
    row("an uncaught exception", "raise ValueError('no')\n"),
    row(
        "an exception that is no Exception",
        """\
            class Odd(BaseException):
                pass
            raise Odd("x")
            """,
    ),
    row("a GeneratorExit", "raise GeneratorExit\n"),
    row("MemoryError", "raise MemoryError('out of memory')\n"),
    row(
        "sys.exit in an import",
        "import part\n",
        files={
            "part.py": """\
            import sys
            sys.exit(6)
            """
        },
    ),
    row(
        "sys.exit in a thread",
        """\
            import sys, threading
            thread = threading.Thread(target=sys.exit, args=(5,))
            thread.start()
            thread.join()
            print("after")
            """,
    ),
    row(
        "sys.exit in an atexit handler",
        """\
            import atexit, sys
            atexit.register(print, "last")
            atexit.register(sys.exit, 5)
            """,
    ),
    row(
        "sys.exit in a forked child",
        """\
            import os, sys, atexit
            atexit.register(print, "handler")
            if os.fork() == 0:
                sys.exit(3)
            print(os.waitstatus_to_exitcode(os.wait()[1]))
            """,
    ),
    row(
        "the end of a forked child",
        """\
            import os
            file = open("a.txt", "w")
            file.write("x")
            if os.fork() == 0:
                file.write("child")
            else:
                print(os.waitstatus_to_exitcode(os.wait()[1]))
            """,
    ),
    row(
        "an exception in a forked child",
        """\
            import os
            if os.fork() == 0:
                raise ValueError("child")
            print(os.waitstatus_to_exitcode(os.wait()[1]))
            """,
    ),
    row(
        "atexit handlers in their order",
        """\
            import atexit
            for i in range(3):
                atexit.register(print, i)
            atexit.register(print, "k", sep="", end="!\\n")
            atexit.unregister(len)
            """,
    ),
    row(
        "the number of atexit handlers",
        """\
            import atexit
            observe(n=atexit._ncallbacks())
            """,
    ),
    row(
        "the number of atexit handlers after imports",
        """\
            import logging, threading, concurrent.futures, multiprocessing, weakref, tempfile
            import multiprocessing.util, asyncio, concurrent.futures.thread
            import atexit
            observe(n=atexit._ncallbacks(), t=len(threading._threading_atexits))
            """,
    ),
    row(
        "atexit handlers that register more",
        """\
            import atexit
            def first():
                print("first")
                atexit.register(print, "second")
            atexit.register(print, "zero")
            atexit.register(first)
            """,
    ),
    row(
        "atexit after an exception",
        """\
            import atexit
            atexit.register(print, "bye")
            raise ValueError("no")
            """,
    ),
    row(
        "an exception in an atexit handler",
        """\
            import atexit
            def broken():
                raise ValueError("no")
            atexit.register(print, "bye")
            atexit.register(broken)
            """,
    ),
    row(
        "atexit._run_exitfuncs and _clear",
        """\
            import atexit
            atexit.register(print, "one")
            atexit._run_exitfuncs()
            atexit.register(print, "two")
            atexit._clear()
            """,
    ),
    row(
        "atexit registered by a thread",
        """\
            import atexit, threading
            threading.Thread(target=atexit.register, args=(print, "thread")).start()
            """,
    ),
    row(
        "an atexit handler that imports, forks and starts a child",
        """\
            import atexit, os, subprocess
            def last():
                import colorsys
                print(colorsys.__name__)
                subprocess.run(["echo", "child"])
                if os.fork() == 0:
                    os._exit(0)
                os.wait()
            atexit.register(last)
            """,
    ),
    row(
        "an atexit handler that starts a thread",
        """\
            import atexit, threading
            def last():
                try:
                    thread = threading.Thread(target=print, args=("thread",))
                    thread.start()
                    thread.join()
                except RuntimeError as error:
                    print(error)
            atexit.register(last)
            """,
    ),
    row(
        "threads are joined before atexit handlers",
        """\
            import atexit, threading, time
            atexit.register(print, "handler")
            threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
            print("main")
            """,
    ),
    row(
        "a daemon thread at the end",
        """\
            import threading, time
            stop = threading.Event()
            threading.Thread(target=stop.wait, daemon=True).start()
            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
            print("main")
            """,
    ),
    row(
        "a daemon thread that prints at the end",
        """\
            import threading
            go = threading.Event()
            def work():
                while True:
                    go.set()
            threading.Thread(target=work, daemon=True).start()
            go.wait()
            print("main")
            """,
    ),
    row(
        "sys.exit while a thread still works",
        """\
            import sys, threading, time
            threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
            sys.exit(3)
            """,
    ),
    row(
        "KeyboardInterrupt while a thread still works",
        """\
            import threading, time
            threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
            raise KeyboardInterrupt
            """,
    ),
    row(
        "concurrent.futures never shut down",
        """\
            import concurrent.futures, time
            pool = concurrent.futures.ThreadPoolExecutor(2)
            for i in range(4):
                pool.submit(lambda i=i: (time.sleep(0.02), open(f"{i}.txt", "w").close()))
            print("main")
            """,
    ),
    row(
        "concurrent.futures used in atexit",
        """\
            import atexit, concurrent.futures
            def last():
                try:
                    concurrent.futures.ThreadPoolExecutor(1).submit(print, "x")
                except RuntimeError as error:
                    print(error)
            atexit.register(last)
            """,
    ),
    row(
        "threading._register_atexit",
        """\
            import atexit, threading
            atexit.register(print, "atexit")
            threading._register_atexit(print, "threading")
            """,
    ),
    row(
        "__del__ of globals",
        """\
            import os
            class A:
                def __init__(self, name):
                    self.name = name
                def __del__(self, write=os.write):
                    write(1, f"del {self.name}\\n".encode())
            a = A("a")
            b = A("b")
            _private = A("private")
            keep = [A("list")]
            """,
    ),
    row(
        "__del__ of a cycle among globals",
        """\
            import os
            class A:
                def __del__(self, write=os.write):
                    write(1, b"del\\n")
            a, b = A(), A()
            a.b, b.a = b, a
            """,
    ),
    row(
        "__del__ of a global of a local module",
        """\
            import part
            print("main")
            """,
        files={
            "part.py": """\
            import os
            class A:
                def __del__(self, write=os.write):
                    write(1, b"del in part\\n")
            A_ = A()
            """
        },
    ),
    row(
        "__del__ that uses builtins and modules",
        """\
            import builtins, os, sys
            builtins.mine = print
            builtins.abs = print
            class A:
                def __del__(self):
                    names = ["path", "argv", "meta_path", "path_hooks", "path_importer_cache", "last_type"]
                    said = [sys.is_finalizing(), len(sys.modules), os is None, abs is print, sorted(vars(builtins))]
                    os.write(1, f"{said} {[getattr(sys, name, 0) is None for name in names]}\\n".encode())
            a = A()
            """,
    ),
    row(
        "__del__ of garbage, of a global and of what a package holds, each importing and opening",
        """\
            import colorsys, os
            class A:
                def __init__(self, name):
                    self.name = name
                def __del__(self):
                    for deed in (lambda: __import__("json"), lambda: __import__("sys"), lambda: open(os.devnull)):
                        try:
                            os.write(1, f"{self.name} {type(deed()).__name__}\\n".encode())
                        except BaseException as error:
                            os.write(1, f"{self.name} {error!r}\\n".encode())
                    import colorsys
            garbage = A("garbage")
            garbage.itself = garbage
            del garbage
            held = A("global")
            cycle = A("cycle")
            cycle.itself = cycle
            """,
    ),
    row(
        "__del__ that raises at the end, and what standard output's end makes of it",
        """\
            import sys
            class A:
                def __del__(self):
                    print("died")
            a = A()
            b = [A()]
            sys.stdout.close()
            """,
    ),
    row(
        "sys.is_finalizing in exit handlers and after them",
        """\
            import atexit, os, sys, threading
            class A:
                def __del__(self, ask=sys.is_finalizing, write=os.write):
                    write(1, f"{sys.is_finalizing()}\\n".encode())
            atexit.register(lambda: print(sys.is_finalizing(), len(sys.modules) > 9))
            a = A()
            """,
    ),
    row(
        "a file left open, with a warning for it",
        """\
            import warnings
            warnings.simplefilter("always")
            def function():
                pass
            first = open("first.txt", "w")
            first.write("1" * 9)
            """,
    ),
    row(
        "a file left open in a cycle, with a warning for it",
        """\
            import warnings
            warnings.simplefilter("always")
            class Holder:
                pass
            holder = Holder()
            holder.me, holder.file = holder, open("held.bin", "wb")
            holder.file.write(b"2" * 9)
            """,
    ),
    row(
        "__del__ after sys.exit and after an exception",
        """\
            import os
            class A:
                def __del__(self, write=os.write):
                    write(1, b"del\\n")
            def main():
                local = A()
                raise ValueError("no")
            a = A()
            main()
            """,
    ),
    row(
        "a generator's finally at the end",
        """\
            import os
            def numbers(write=os.write):
                try:
                    yield 1
                finally:
                    write(1, b"finally\\n")
            g = numbers()
            next(g)
            """,
    ),
    row(
        "a context manager left open",
        """\
            import contextlib, os
            @contextlib.contextmanager
            def managed(write=os.write):
                try:
                    yield
                finally:
                    write(1, b"left\\n")
            m = managed()
            m.__enter__()
            """,
    ),
    row(
        "weakref.finalize at the end",
        """\
            import weakref
            class A:
                pass
            a = A()
            weakref.finalize(a, print, "finalized")
            quiet = weakref.finalize(a, print, "never")
            quiet.atexit = False
            """,
    ),
    row(
        "weakref callbacks at the end",
        """\
            import os, weakref
            class A:
                pass
            a = A()
            r = weakref.ref(a, lambda _, write=os.write: write(1, b"gone\\n"))
            """,
    ),
    row(
        "a TemporaryDirectory never cleaned up",
        """\
            import tempfile, os
            folder = tempfile.TemporaryDirectory()
            open(os.path.join(folder.name, "x"), "w").close()
            """,
    ),
    row(
        "a NamedTemporaryFile never closed",
        """\
            import tempfile
            file = tempfile.NamedTemporaryFile("w", prefix="mine")
            file.write("x")
            observe(where=tempfile.gettempdir(), dir=tempfile.tempdir)
            """,
    ),
    row(
        "mkdtemp and TMPDIR",
        """\
            import tempfile, os
            folder = tempfile.mkdtemp()
            observe(parent=os.path.dirname(folder), left=os.environ["TMPDIR"])
            os.rmdir(folder)
            """,
    ),
    row(
        "TMPDIR set by the program before tempfile",
        """\
            import os
            os.environ["TMPDIR"] = os.getcwd()
            import tempfile
            observe(where=tempfile.gettempdir())
            """,
    ),
    row(
        "a multiprocessing process not joined",
        """\
            import multiprocessing, time
            def work():
                time.sleep(0.1)
                open("done.txt", "w").close()
            if __name__ == "__main__":
                multiprocessing.Process(target=work).start()
                print("main")
            """,
    ),
    row(
        "a daemonic multiprocessing process",
        """\
            import multiprocessing, time
            def work(ready):
                ready.set()
                time.sleep(100)
            if __name__ == "__main__":
                ready = multiprocessing.Event()
                multiprocessing.Process(target=work, args=(ready,), daemon=True).start()
                ready.wait()
            """,
    ),
    row(
        "a multiprocessing pool never closed",
        """\
            import multiprocessing
            if __name__ == "__main__":
                pool = multiprocessing.Pool(2)
                print(pool.map(abs, [-1, 2]))
            """,
    ),
    row(
        "no resource tracker before the program needs one",
        """\
            from multiprocessing import resource_tracker
            t = resource_tracker._resource_tracker
            observe(fd=t._fd, pid=t._pid)
            """,
    ),
    row(
        "an exit while the resource tracker runs",
        """\
            from multiprocessing import shared_memory, resource_tracker
            memory = shared_memory.SharedMemory(create=True, size=10)
            memory.close()
            memory.unlink()
            """,
    ),
    row(
        "asyncio.run",
        """\
            import asyncio, contextvars
            async def main():
                await asyncio.sleep(0)
                return len(contextvars.copy_context())
            observe(n=asyncio.run(main()), context=len(contextvars.copy_context()))
            """,
    ),
    row(
        "an asyncio loop left open",
        """\
            import asyncio
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            async def work():
                await asyncio.sleep(100)
            loop.create_task(work())
            loop.run_until_complete(asyncio.sleep(0))
            """,
    ),
    row(
        "asyncio and Ctrl-C",
        """\
            import asyncio, os, signal
            async def main():
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(100)
            asyncio.run(main())
            """,
    ),
    row(
        "asyncio.run in threads and executors",
        """\
            import asyncio, threading
            async def main():
                return (
                    await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)
                    != threading.get_ident()
                )
            observe(other=asyncio.run(main()))
            """,
    ),
    row(
        "os.register_at_fork of the program",
        """\
            import os
            os.register_at_fork(
                before=lambda: print("before"),
                after_in_child=lambda: print("child"),
                after_in_parent=lambda: (os.wait(), print("parent")),
            )
            if os.fork() == 0:
                os._exit(0)
            """,
    ),
    row(
        "os.execv of itself",
        """\
            import os, sys
            print("round", len(sys.argv))
            if len(sys.argv) < 3:
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "again"])
            """,
        args=("x",),
    ),
    row(
        "os.execv of another program",
        """\
            import os
            os.execvp("echo", ["echo", "other"])
            """,
    ),
    row(
        "a profiler left on",
        """\
            import cProfile, atexit
            profile = cProfile.Profile()
            profile.enable()
            sum(range(10))
            profile.disable()
            import pstats
            observe(n=pstats.Stats(profile).total_calls)
            """,
    ),
    row(
        "sys.settrace sees the program's lines",
        """\
            import sys
            lines = []
            def trace(frame, event, arg):
                lines.append((event, frame.f_lineno - frame.f_code.co_firstlineno))
                return trace
            sys.settrace(trace)
            def f():
                x = 1
                return x
            f()
            sys.settrace(None)
            observe(lines=lines)
            """,
    ),
    row(
        "sys.setprofile left on to the end",
        """\
            import sys
            seen = []
            sys.setprofile(lambda frame, event, arg: seen.append(event))
            len([])
            """,
    ),
    row(
        "faulthandler of the program",
        """\
            import faulthandler, os, signal
            observe(on=faulthandler.is_enabled())
            faulthandler.enable()
            def f():
                os.kill(os.getpid(), signal.SIGSEGV)
            f()
            """,
        may_differ={"output": DUMP},
    ),
    row(
        "faulthandler.dump_traceback",
        """\
            import faulthandler, threading
            def f():
                faulthandler.dump_traceback(all_threads=True)
            f()
            """,
        may_differ={"output": DUMP},
    ),
    row(
        "tracemalloc of the program",
        """\
            import tracemalloc
            observe(on=tracemalloc.is_tracing())
            tracemalloc.start()
            x = [0] * 1000
            observe(traced=tracemalloc.get_object_traceback(x)[0].lineno)
            """,
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
