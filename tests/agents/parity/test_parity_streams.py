"""Warm is fresh: files, streams, tracebacks, warnings and whatever a program says."""

import pytest
from parity import params, row

pytestmark = pytest.mark.slow

TEE = """\
    import sys
    class Tee:
        def __init__(self, *streams):
            self.streams = streams
        def write(self, text):
            for stream in self.streams:
                stream.write(text)
        def flush(self):
            pass
    sys.stdout = Tee(sys.stdout, open("tee.log", "w"))
    print("epoch 1", 0.5)
"""
STREAM = """[
    s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines, s.name, s.mode,
    s.isatty(), s.fileno(), s.closed, type(s.buffer).__name__, type(s).__name__,
]"""


DEPTH = "the frame that calls the program counts, though nobody sees it"

ROWS = [
    row("sys.stdin", f"import sys\ns = sys.stdin\nobserve(a={STREAM}, text=s.read(), original=sys.__stdin__ is s)"),
    row("sys.stdout", f"import sys\ns = sys.stdout\nobserve(a={STREAM}, original=sys.__stdout__ is s)"),
    row("sys.stderr", f"import sys\ns = sys.stderr\nobserve(a={STREAM}, original=sys.__stderr__ is s)"),
    row(
        "sys.stdout without PYTHONUNBUFFERED",
        f"import sys\ns = sys.stdout\nobserve(a={STREAM})",
        attempt_env={"PYTHONUNBUFFERED": ""},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "print and stderr in their order",
        """\
            import os, sys
            for i in range(3):
                print("out", i)
                print("err", i, file=sys.stderr)
                os.write(1, b"raw\\n")
            sys.stdout.write("partial")
            sys.stderr.write("partial")
            """,
    ),
    row(
        "open descriptors",
        """\
        import os
        def target(fd):
            try:
                return os.path.basename(os.readlink(f"/proc/self/fd/{fd}")).partition("-")[0]
            except OSError:  # the listing's own
                return None
        here = {fd: target(fd) for fd in os.listdir("/proc/self/fd")}
        observe(fds={fd: name.rstrip("0123456789") for fd, name in here.items() if name})
        """,
    ),
    row("the next descriptor's number", "import os\nobserve(fd=os.open('program.py', os.O_RDONLY))"),
    row(
        "descriptors that a child inherits",
        """\
            import subprocess
            observe(
                fds=subprocess.run(
                    "ls /proc/self/fd", shell=True, close_fds=False, capture_output=True, text=True
                ).stdout.split()
            )
            """,
    ),
    row(
        "descriptor flags of the streams",
        """\
            import fcntl, os
            observe(flags=[[fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)] for fd in range(3)])
            """,
    ),
    row(
        "a csv.writer on a file never closed (c04)",
        """\
            import csv
            file = open("history.csv", "w", newline="")
            writer = csv.writer(file)
            writer.writerow(["step", "loss"])
            writer.writerow([1, 0.5])
            """,
    ),
    row(
        "a file never closed in a function's default",
        """\
            def log(text, file=open("log.txt", "w")):
                file.write(text)
            log("one")
            """,
    ),
    row(
        "a file never closed in a reference cycle",
        """\
            class Logger:
                def __init__(self):
                    self.me = self
                    self.file = open("log.txt", "w")
            logger = Logger()
            logger.file.write("one")
            """,
    ),
    row(
        "a file never closed in a local module",
        """\
            import part
            part.FILE.write("one")
            """,
        files={"part.py": "FILE = open('log.txt', 'w')\n"},
    ),
    row(
        "a file never closed, then an exception",
        """\
            file = open("log.txt", "w")
            file.write("one")
            raise ValueError("no")
            """,
    ),
    row(
        "a file never closed, then sys.exit",
        """\
            import sys
            file = open("log.txt", "w")
            file.write("one")
            sys.exit(4)
            """,
    ),
    row(
        "a file never closed that a thread wrote",
        """\
            import threading
            file = open("log.txt", "w")
            threading.Thread(target=file.write, args=("one",)).start()
            """,
    ),
    row(
        "a file held by a daemon thread",
        """\
            import threading
            ready = threading.Event()
            def work():
                file = open("log.txt", "w")
                file.write("one")
                ready.set()
                threading.Event().wait()
            threading.Thread(target=work, daemon=True).start()
            ready.wait()
            """,
        may_differ={"files": "what a daemon thread holds at the end is flushed, not lost"},
    ),
    row(
        "a gzip file never closed (c04)",
        """\
            import gzip
            file = gzip.open("log.gz", "wt")
            file.write("one\\n" * 100)
            """,
        may_differ={"files": "a gzip file holds the time"},
    ),
    row(
        "what a gzip file never closed holds",
        """\
            import gzip, atexit, os
            file = gzip.open("log.gz", "wb", mtime=0) if False else gzip.GzipFile("log.gz", "wb", mtime=0)
            file.write(b"one\\n" * 100)
            """,
    ),
    row(
        "a zip file never closed",
        """\
            import zipfile
            file = zipfile.ZipFile("a.zip", "w")
            file.writestr(zipfile.ZipInfo("x"), "one")
            """,
    ),
    row(
        "an sqlite connection never committed",
        """\
            import sqlite3
            db = sqlite3.connect("a.db")
            db.execute("create table t (x)")
            db.execute("insert into t values (1)")
            """,
    ),
    row(
        "a shelve never closed",
        """\
            import shelve, dbm.dumb
            db = shelve.Shelf(dbm.dumb.open("a"))
            db["x"] = 1
            """,
    ),
    row("a Tee on stdout (c04)", TEE),
    row(
        "stdout replaced by a StringIO",
        """\
            import io, sys
            sys.stdout = io.StringIO()
            print("lost")
            """,
    ),
    row(
        "stdout replaced by a file",
        """\
            import sys
            sys.stdout = open("out.txt", "w")
            print("kept")
            sys.stderr = open("err.txt", "w")
            print("kept too", file=sys.stderr)
            """,
    ),
    row(
        "stdout replaced by a buffered writer on its descriptor",
        """\
            import io, os, sys
            sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"))
            print("kept")
            """,
    ),
    row(
        "a buffered stderr",
        """\
            import io, sys
            sys.stderr = io.TextIOWrapper(sys.stderr.buffer)
            print("kept", file=sys.stderr)
            raise ValueError("no")
            """,
    ),
    row(
        "stdout closed",
        """\
            import sys
            print("before")
            sys.stdout.close()
            """,
    ),
    row(
        "stdout None",
        """\
            import sys
            sys.stdout = None
            print("nothing")
            """,
    ),
    row(
        "the descriptor of stdout closed",
        """\
            import os
            print("before")
            os.close(1)
            print("after")
            """,
    ),
    row(
        "stdout into /dev/full",
        """\
            import os
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
            print("lost")
            """,
        attempt_env={"PYTHONUNBUFFERED": ""},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "stdout into a pipe that nobody reads",
        """\
            import os
            r, w = os.pipe()
            os.dup2(w, 1)
            os.close(w)
            os.close(r)
            print("lost")
            """,
        attempt_env={"PYTHONUNBUFFERED": ""},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "a broken pipe while it writes",
        """\
            import os
            r, w = os.pipe()
            os.dup2(w, 1)
            os.close(w)
            os.close(r)
            print("lost", flush=True)
            """,
    ),
    row(
        "a BrokenPipeError of a child's input",
        """\
            import subprocess
            p = subprocess.Popen(["true"], stdin=subprocess.PIPE)
            p.wait()
            p.stdin.write(b"x" * 100000)
            p.stdin.flush()
            """,
    ),
    row(
        "contextlib.redirect_stdout",
        """\
            import contextlib, io
            with contextlib.redirect_stdout(io.StringIO()) as out:
                print("x")
            print(repr(out.getvalue()))
            """,
    ),
    row(
        "input() with no input",
        """\
            print("name?")
            input()
            """,
    ),
    row(
        "breakpoint() with no input",
        """\
            x = 1
            breakpoint()
            print("after")
            """,
    ),
    row("a lone surrogate in print", "print('\\udcff')\n"),
    row(
        "getpass, os.get_terminal_size, os.ttyname",
        """\
            import os, shutil
            observe(size=shutil.get_terminal_size())
            try:
                os.get_terminal_size()
            except OSError as error:
                print(error)
            try:
                os.ttyname(0)
            except OSError as error:
                print(error)
            try:
                open("/dev/tty")
            except OSError as error:
                print(error)
            """,
    ),
    row(
        "a traceback through functions and a local module",
        """\
            import part
            def f():
                part.g()
            f()
            """,
        files={
            "part.py": """\
            def g():
                return {}["missing"]
            """
        },
    ),
    row(
        "chained exceptions and notes",
        """\
            try:
                1 / 0
            except ZeroDivisionError as error:
                new = ValueError("no")
                new.add_note("a note")
                raise new from error
            """,
    ),
    row("an exception group", "raise ExceptionGroup('several', [ValueError('a'), TypeError('b')])\n"),
    row("an exception in an import", "import part\n", files={"part.py": "raise RuntimeError('broken')\n"}),
    row(
        "a RecursionError",
        """\
            def f():
                return f()
            f()
            """,
        may_differ={"output": DEPTH},
    ),
    row(
        "how deep a program may recurse",
        """\
            import sys
            depth = 0
            def f():
                global depth
                depth += 1
                f()
            try:
                f()
            except RecursionError:
                pass
            observe(depth=depth, deep=depth > 990, limit=sys.getrecursionlimit(), frames=sys._getframe().f_back is None)
            """,
        may_differ={"depth": DEPTH},
    ),
    row(
        "the frames below the program",
        """\
            import sys, traceback, inspect
            observe(
                stack=[frame.name for frame in traceback.extract_stack()],
                outer=len(inspect.stack()),
                back=sys._getframe().f_back,
            )
            """,
    ),
    row(
        "traceback.print_stack and warnings with a deep stacklevel",
        """\
            import traceback, warnings
            def f():
                traceback.print_stack()
                warnings.warn("deep", stacklevel=9)
            f()
            """,
    ),
    row(
        "a syntax error",
        """\
            x = 1
            def broken(:
                pass
            """,
    ),
    row("a syntax error with Hangul before it", "값 = '한국어' 또\n"),
    row(
        "an indentation error",
        """\
            if True:
            x = 1
            """,
    ),
    row("a tab error", "if True:\n        x = 1\n\ty = 2\n"),
    row("a null byte in the source", b"x = 1\n\x00\n", cold="no text: an archive, as far as one can see"),
    row("a source that is not UTF-8", b"x = '\xff\xfe'\n"),
    row("an unknown cookie", b"# -*- coding: klingon -*-\nx = 1\n"),
    row("a syntax error in a local module", "import part\n", files={"part.py": "def broken(:\n"}),
    row("an unclosed bracket at the end", "x = (1,\n"),
    row(
        "a syntax warning",
        """\
            x = 1
            print(x is 1)
            print("\\d")
            """,
    ),
    row("return outside a function", "return 1\n"),
    row(
        "future annotations",
        """\
            from __future__ import annotations
            x: undefined = 1
            print(__annotations__)
            """,
    ),
    row(
        "an unused server's future flags",
        """\
            import ast
            def f(x: "no" = 1): ...
            print(f.__annotations__)
            print(eval("1 / 2"), compile("x: y", "a", "exec").co_flags)
            """,
    ),
    row(
        "linecache and inspect.getsource of __main__",
        """\
            import inspect, linecache
            def f():
                return 1
            class A:
                x = 1
            observe(
                line=linecache.getline(__file__, 8),
                f=inspect.getsource(f),
                a=inspect.getsource(A),
                file=inspect.getsourcefile(A),
                module=inspect.getmodule(f).__name__,
                mine=inspect.getfile(inspect.currentframe()),
            )
            """,
    ),
    row(
        "a custom sys.excepthook",
        """\
            import sys
            def hook(kind, value, trace):
                print("hook", kind.__name__, value, trace.tb_lineno, trace.tb_next)
            sys.excepthook = hook
            raise ValueError("no")
            """,
    ),
    row(
        "a sys.excepthook that raises",
        """\
            import sys
            def hook(*_):
                raise TypeError("worse")
            sys.excepthook = hook
            raise ValueError("no")
            """,
    ),
    row(
        "the hooks of sys",
        """\
            import sys, threading
            observe(
                a=[
                    sys.excepthook is sys.__excepthook__,
                    sys.displayhook is sys.__displayhook__,
                    sys.breakpointhook is sys.__breakpointhook__,
                    sys.unraisablehook is sys.__unraisablehook__,
                    threading.excepthook is threading.__excepthook__,
                    sys.gettrace(),
                    sys.getprofile(),
                ]
            )
            """,
    ),
    row(
        "sys.last_value and sys.exc_info",
        """\
            import sys, atexit
            observe(info=sys.exc_info(), last=hasattr(sys, "last_value"))
            atexit.register(
                lambda: print(
                    hasattr(sys, "last_value"), sys.last_value, sys.last_traceback.tb_frame.f_code.co_name
                )
            )
            raise ValueError("no")
            """,
    ),
    row(
        "an exception in a thread",
        """\
            import threading
            thread = threading.Thread(target=lambda: 1 / 0, name="worker")
            thread.start()
            thread.join()
            print("after")
            """,
    ),
    row(
        "an exception in __del__",
        """\
            class A:
                def __del__(self):
                    raise ValueError("no")
            A()
            print("after")
            """,
    ),
    row(
        "warnings shown once, with their lines",
        """\
            import warnings
            def f():
                warnings.warn("again")
            for _ in range(3):
                f()
            warnings.warn("x", DeprecationWarning)
            import part
            """,
        files={
            "part.py": """\
            import warnings
            warnings.warn("module", DeprecationWarning)
            warnings.warn("user")
            """
        },
    ),
    row(
        "ResourceWarning, asked for",
        """\
            import warnings
            warnings.simplefilter("always")
            open("program.py")
            """,
    ),
    row(
        "a file left open, with warnings as errors",
        """\
            import warnings
            warnings.simplefilter("error")
            left = open("left.txt", "w")
            left.write("text " * 9)
            """,
    ),
    row(
        "logging with nothing set up",
        """\
            import logging
            logging.warning("a")
            logging.getLogger("x").info("b")
            logging.getLogger("x").error("c")
            observe(
                root=repr(logging.root),
                handlers=[repr(h) for h in logging.root.handlers],
                names=sorted(logging.root.manager.loggerDict),
                last=repr(logging.lastResort),
                raises=logging.raiseExceptions,
            )
            """,
    ),
    row(
        "logging to a file through a MemoryHandler",
        """\
            import logging, logging.handlers
            target = logging.FileHandler("a.log")
            logging.getLogger("x").addHandler(logging.handlers.MemoryHandler(100, target=target))
            logging.getLogger("x").warning("kept")
            """,
    ),
    row(
        "logging.basicConfig, then stderr replaced",
        """\
            import logging, sys, io
            logging.basicConfig(level=logging.INFO)
            logging.info("to stderr")
            sys.stderr = io.StringIO()
            logging.info("to the old one")
            logging.captureWarnings(True)
            import warnings
            warnings.warn("captured")
            """,
    ),
    row(
        "a logger's exception in atexit",
        """\
            import atexit, logging
            atexit.register(logging.warning, "the end")
            logging.basicConfig(
                filename="a.log",
                format="%(levelname)s %(name)s %(module)s %(lineno)d %(processName)s %(threadName)s %(message)s",
            )
            logging.error("x")
            """,
        may_differ={"files": "an exit handler finds the frame that calls it"},
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
