"""Warm is fresh: files, streams, tracebacks, warnings and whatever a program says."""

import pytest
from parity import params, row

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
STREAM = "[s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines, s.name, s.mode, s.isatty(), s.fileno(), s.closed, type(s.buffer).__name__, type(s).__name__]"

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
        "import os, sys\nfor i in range(3):\n    print('out', i)\n    print('err', i, file=sys.stderr)\n    os.write(1, b'raw\\n')\nsys.stdout.write('partial')\nsys.stderr.write('partial')\n",
    ),
    row(
        "open descriptors",
        "import os\nobserve(fds={fd: os.path.basename(os.readlink(f'/proc/self/fd/{fd}')).partition('-')[0] for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')}, inherited=[fd for fd in range(3, 200) if _open(fd)])".replace(
            "import os\n",
            "import os\ndef _open(fd):\n    try:\n        os.fstat(fd)\n        return True\n    except OSError:\n        return False\n",
        ),
    ),
    row("the next descriptor's number", "import os\nobserve(fd=os.open('program.py', os.O_RDONLY))"),
    row(
        "descriptors that a child inherits",
        "import subprocess\nobserve(fds=subprocess.run('ls /proc/self/fd', shell=True, close_fds=False, capture_output=True, text=True).stdout.split())",
    ),
    row(
        "descriptor flags of the streams",
        "import fcntl, os\nobserve(flags=[[fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)] for fd in range(3)])",
    ),
    row(
        "a csv.writer on a file never closed (c04)",
        "import csv\nfile = open('history.csv', 'w', newline='')\nwriter = csv.writer(file)\nwriter.writerow(['step', 'loss'])\nwriter.writerow([1, 0.5])\n",
    ),
    row(
        "a file never closed in a function's default",
        "def log(text, file=open('log.txt', 'w')):\n    file.write(text)\nlog('one')\n",
    ),
    row(
        "a file never closed in a reference cycle",
        "class Logger:\n    def __init__(self):\n        self.me = self\n        self.file = open('log.txt', 'w')\nlogger = Logger()\nlogger.file.write('one')\n",
    ),
    row(
        "a file never closed in a local module",
        "import part\npart.FILE.write('one')\n",
        files={"part.py": "FILE = open('log.txt', 'w')\n"},
    ),
    row(
        "a file never closed, then an exception",
        "file = open('log.txt', 'w')\nfile.write('one')\nraise ValueError('no')\n",
    ),
    row(
        "a file never closed, then sys.exit",
        "import sys\nfile = open('log.txt', 'w')\nfile.write('one')\nsys.exit(4)\n",
    ),
    row(
        "a file never closed that a thread wrote",
        "import threading\nfile = open('log.txt', 'w')\nthreading.Thread(target=file.write, args=('one',)).start()\n",
    ),
    row(
        "a file held by a daemon thread",
        "import threading\nready = threading.Event()\ndef work():\n    file = open('log.txt', 'w')\n    file.write('one')\n    ready.set()\n    threading.Event().wait()\nthreading.Thread(target=work, daemon=True).start()\nready.wait()\n",
        may_differ={"files": "what a daemon thread holds at the end is flushed, not lost"},
    ),
    row(
        "a gzip file never closed (c04)",
        "import gzip\nfile = gzip.open('log.gz', 'wt')\nfile.write('one\\n' * 100)\n",
        may_differ={"files": "a gzip file holds the time"},
    ),
    row(
        "what a gzip file never closed holds",
        "import gzip, atexit, os\nfile = gzip.open('log.gz', 'wb', mtime=0) if False else gzip.GzipFile('log.gz', 'wb', mtime=0)\nfile.write(b'one\\n' * 100)\n",
    ),
    row(
        "a zip file never closed",
        "import zipfile\nfile = zipfile.ZipFile('a.zip', 'w')\nfile.writestr(zipfile.ZipInfo('x'), 'one')\n",
    ),
    row(
        "an sqlite connection never committed",
        "import sqlite3\ndb = sqlite3.connect('a.db')\ndb.execute('create table t (x)')\ndb.execute('insert into t values (1)')\n",
    ),
    row("a shelve never closed", "import shelve, dbm.dumb\ndb = shelve.Shelf(dbm.dumb.open('a'))\ndb['x'] = 1\n"),
    row("a Tee on stdout (c04)", TEE),
    row("stdout replaced by a StringIO", "import io, sys\nsys.stdout = io.StringIO()\nprint('lost')\n"),
    row(
        "stdout replaced by a file",
        "import sys\nsys.stdout = open('out.txt', 'w')\nprint('kept')\nsys.stderr = open('err.txt', 'w')\nprint('kept too', file=sys.stderr)\n",
    ),
    row(
        "stdout replaced by a buffered writer on its descriptor",
        "import io, os, sys\nsys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), 'wb'))\nprint('kept')\n",
    ),
    row(
        "a buffered stderr",
        "import io, sys\nsys.stderr = io.TextIOWrapper(sys.stderr.buffer)\nprint('kept', file=sys.stderr)\nraise ValueError('no')\n",
    ),
    row("stdout closed", "import sys\nprint('before')\nsys.stdout.close()\n"),
    row("stdout None", "import sys\nsys.stdout = None\nprint('nothing')\n"),
    row("the descriptor of stdout closed", "import os\nprint('before')\nos.close(1)\nprint('after')\n"),
    row(
        "stdout into /dev/full",
        "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('lost')\n",
        attempt_env={"PYTHONUNBUFFERED": ""},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "stdout into a pipe that nobody reads",
        "import os\nr, w = os.pipe()\nos.dup2(w, 1)\nos.close(w)\nos.close(r)\nprint('lost')\n",
        attempt_env={"PYTHONUNBUFFERED": ""},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "a broken pipe while it writes",
        "import os\nr, w = os.pipe()\nos.dup2(w, 1)\nos.close(w)\nos.close(r)\nprint('lost', flush=True)\n",
    ),
    row(
        "a BrokenPipeError of a child's input",
        "import subprocess\np = subprocess.Popen(['true'], stdin=subprocess.PIPE)\np.wait()\np.stdin.write(b'x' * 100000)\np.stdin.flush()\n",
    ),
    row(
        "contextlib.redirect_stdout",
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as out:\n    print('x')\nprint(repr(out.getvalue()))\n",
    ),
    row("input() with no input", "print('name?')\ninput()\n"),
    row("breakpoint() with no input", "x = 1\nbreakpoint()\nprint('after')\n"),
    row("a lone surrogate in print", "print('\\udcff')\n"),
    row(
        "getpass, os.get_terminal_size, os.ttyname",
        "import os, shutil\nobserve(size=shutil.get_terminal_size())\ntry:\n    os.get_terminal_size()\nexcept OSError as error:\n    print(error)\ntry:\n    os.ttyname(0)\nexcept OSError as error:\n    print(error)\ntry:\n    open('/dev/tty')\nexcept OSError as error:\n    print(error)\n",
    ),
    row(
        "a traceback through functions and a local module",
        "import part\ndef f():\n    part.g()\nf()\n",
        files={"part.py": "def g():\n    return {}['missing']\n"},
    ),
    row(
        "chained exceptions and notes",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    new = ValueError('no')\n    new.add_note('a note')\n    raise new from error\n",
    ),
    row("an exception group", "raise ExceptionGroup('several', [ValueError('a'), TypeError('b')])\n"),
    row("an exception in an import", "import part\n", files={"part.py": "raise RuntimeError('broken')\n"}),
    row("a RecursionError", "def f():\n    return f()\nf()\n"),
    row(
        "how deep a program may recurse",
        "import sys\ndepth = 0\ndef f():\n    global depth\n    depth += 1\n    f()\ntry:\n    f()\nexcept RecursionError:\n    pass\nobserve(depth=depth, limit=sys.getrecursionlimit(), frames=sys._getframe().f_back is None)\n",
    ),
    row(
        "the frames below the program",
        "import sys, traceback, inspect\nobserve(stack=[frame.name for frame in traceback.extract_stack()], outer=len(inspect.stack()), back=sys._getframe().f_back)\n",
    ),
    row(
        "traceback.print_stack and warnings with a deep stacklevel",
        "import traceback, warnings\ndef f():\n    traceback.print_stack()\n    warnings.warn('deep', stacklevel=9)\nf()\n",
    ),
    row("a syntax error", "x = 1\ndef broken(:\n    pass\n"),
    row("a syntax error with Hangul before it", "값 = '한국어' 또\n"),
    row("an indentation error", "if True:\nx = 1\n"),
    row("a tab error", "if True:\n        x = 1\n\ty = 2\n"),
    row("a null byte in the source", b"x = 1\n\x00\n"),
    row("a source that is not UTF-8", b"x = '\xff\xfe'\n"),
    row("an unknown cookie", b"# -*- coding: klingon -*-\nx = 1\n"),
    row("a syntax error in a local module", "import part\n", files={"part.py": "def broken(:\n"}),
    row("an unclosed bracket at the end", "x = (1,\n"),
    row("a syntax warning", "x = 1\nprint(x is 1)\nprint('\\d')\n"),
    row("return outside a function", "return 1\n"),
    row("future annotations", "from __future__ import annotations\nx: undefined = 1\nprint(__annotations__)\n"),
    row(
        "an unused server's future flags",
        "import ast\ndef f(x: 'no' = 1): ...\nprint(f.__annotations__)\nprint(eval('1 / 2'), compile('x: y', 'a', 'exec').co_flags)\n",
    ),
    row(
        "linecache and inspect.getsource of __main__",
        "import inspect, linecache\ndef f():\n    return 1\nclass A:\n    x = 1\nobserve(line=linecache.getline(__file__, 8), f=inspect.getsource(f), a=inspect.getsource(A), file=inspect.getsourcefile(A), module=inspect.getmodule(f).__name__, mine=inspect.getfile(inspect.currentframe()))\n",
    ),
    row(
        "a custom sys.excepthook",
        "import sys\ndef hook(kind, value, trace):\n    print('hook', kind.__name__, value, trace.tb_lineno, trace.tb_next)\nsys.excepthook = hook\nraise ValueError('no')\n",
    ),
    row(
        "a sys.excepthook that raises",
        "import sys\ndef hook(*_):\n    raise TypeError('worse')\nsys.excepthook = hook\nraise ValueError('no')\n",
    ),
    row(
        "the hooks of sys",
        "import sys, threading\nobserve(a=[sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, sys.breakpointhook is sys.__breakpointhook__, sys.unraisablehook is sys.__unraisablehook__, threading.excepthook is threading.__excepthook__, sys.gettrace(), sys.getprofile()])\n",
    ),
    row(
        "sys.last_value and sys.exc_info",
        "import sys, atexit\nobserve(info=sys.exc_info(), last=hasattr(sys, 'last_value'))\natexit.register(lambda: print(hasattr(sys, 'last_value'), sys.last_value, sys.last_traceback.tb_frame.f_code.co_name))\nraise ValueError('no')\n",
    ),
    row(
        "an exception in a thread",
        "import threading\nthread = threading.Thread(target=lambda: 1 / 0, name='worker')\nthread.start()\nthread.join()\nprint('after')\n",
    ),
    row(
        "an exception in __del__",
        "class A:\n    def __del__(self):\n        raise ValueError('no')\nA()\nprint('after')\n",
    ),
    row(
        "warnings shown once, with their lines",
        "import warnings\ndef f():\n    warnings.warn('again')\nfor _ in range(3):\n    f()\nwarnings.warn('x', DeprecationWarning)\nimport part\n",
        files={"part.py": "import warnings\nwarnings.warn('module', DeprecationWarning)\nwarnings.warn('user')\n"},
    ),
    row("ResourceWarning, asked for", "import warnings\nwarnings.simplefilter('always')\nopen('program.py')\n"),
    row(
        "logging with nothing set up",
        "import logging\nlogging.warning('a')\nlogging.getLogger('x').info('b')\nlogging.getLogger('x').error('c')\nobserve(root=repr(logging.root), handlers=[repr(h) for h in logging.root.handlers], names=sorted(logging.root.manager.loggerDict), last=repr(logging.lastResort), raises=logging.raiseExceptions)\n",
    ),
    row(
        "logging to a file through a MemoryHandler",
        "import logging, logging.handlers\ntarget = logging.FileHandler('a.log')\nlogging.getLogger('x').addHandler(logging.handlers.MemoryHandler(100, target=target))\nlogging.getLogger('x').warning('kept')\n",
    ),
    row(
        "logging.basicConfig, then stderr replaced",
        "import logging, sys, io\nlogging.basicConfig(level=logging.INFO)\nlogging.info('to stderr')\nsys.stderr = io.StringIO()\nlogging.info('to the old one')\nlogging.captureWarnings(True)\nimport warnings\nwarnings.warn('captured')\n",
    ),
    row(
        "a logger's exception in atexit",
        "import atexit, logging\natexit.register(logging.warning, 'the end')\nlogging.basicConfig(filename='a.log', format='%(levelname)s %(name)s %(module)s %(lineno)d %(processName)s %(threadName)s %(message)s')\nlogging.error('x')\n",
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
