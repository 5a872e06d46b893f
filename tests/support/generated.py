"""Little programs put together at random: what they import, change, draw and leave open, how they end.

Each is a list of pieces, which are lines of Python. A piece that observes writes into `trace.txt` at once, so that what
is done twice shows; what must differ from run to run goes through `observe`.
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from parity import Row

# Installed modules: what they do when they are imported. Each has a VALUE.
INSTALLED = {
    "p_plain": "VALUE = 1\n",
    "p_env": "import os\nVALUE = os.environ.get('P_MODE'), os.getenv('P_HOME', 'none')\n",
    "p_env_has": "import os\nVALUE = 'P_MODE' in os.environ\n",
    "p_env_all": "import os\nVALUE = sorted(k for k in os.environ if k.startswith('P_'))\n",
    "p_env_default": "import os\nVALUE = os.environ.setdefault('P_HOME', '/default')\n",
    "p_env_set": "import os\nos.environ['P_SET'] = 'by package'\nVALUE = 2\n",
    "p_argv": "import sys\nVALUE = sys.argv[1:]\n",
    "p_argparse": """\
        import argparse
        _parser = argparse.ArgumentParser()
        _parser.add_argument("--lr", type=float, default=0.5)
        VALUE = vars(_parser.parse_known_args()[0])
        """,
    "p_cwd": "import os\nVALUE = os.path.basename(os.getcwd())\n",
    "p_here": "import pathlib\nVALUE = pathlib.Path('.').resolve().name\n",
    "p_main": "import sys\nVALUE = getattr(sys.modules['__main__'], '__file__', 'none')[-10:]\n",
    "p_path": "import sys\nVALUE = sys.path[0][-9:]\n",
    "p_path_add": "import sys\nsys.path.append('/p_path_add')\nVALUE = 3\n",
    "p_atexit": "import atexit\natexit.register(print, 'p_atexit ends')\nVALUE = 4\n",
    "p_temp": "import tempfile, os\n_folder = tempfile.TemporaryDirectory()\nVALUE = os.path.isdir(_folder.name)\n",
    "p_filter": "import warnings\nwarnings.filterwarnings('ignore', message='w1')\nVALUE = 5\n",
    "p_warns": "import warnings\nwarnings.warn('p_warns is old', DeprecationWarning, stacklevel=2)\nVALUE = 6\n",
    "p_logging": "import logging\nlogging.basicConfig(level='INFO')\nlogging.getLogger('p').info('hi')\nVALUE = 7\n",
    "p_prints": "print('p_prints speaks')\nVALUE = 8\n",
    "p_reads": "VALUE = open('note.txt').read() if __import__('os').path.exists('note.txt') else 'no note'\n",
    "p_writes": "with open('written.txt', 'a') as f:\n    f.write('x')\nVALUE = 9\n",
    "p_makes": "import os\nos.makedirs('cache', exist_ok=True)\nVALUE = 10\n",
    "p_thread": "import threading\n_t = threading.Thread(target=int, daemon=True)\n_t.start()\n_t.join()\nVALUE = 11\n",
    "p_pool": """\
        from concurrent.futures import ThreadPoolExecutor
        _pool = ThreadPoolExecutor(1)
        VALUE = _pool.submit(int, 12).result()
        """,
    "p_signal": "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('usr1 of p'))\nVALUE = 13\n",
    "p_fails": "VALUE = 1\nraise ImportError('p_fails cannot')\n",
    "p_fails_by_env": "import os\nif os.environ.get('P_MODE') != 'on':\n    raise ImportError('P_MODE')\nVALUE = 14\n",
    "p_pid": "import os\nVALUE = os.getpid() == int(os.readlink('/proc/self'))\n",
    "p_lazy": "def __getattr__(name):\n    import p_env\n    return {'VALUE': p_env.VALUE}[name]\n",
    "p_other": "import p_env, p_argv\nVALUE = p_env.VALUE, p_argv.VALUE\n",
    "p_optional": "try:\n    import p_fails_by_env\n    VALUE = 15\nexcept ImportError as e:\n    VALUE = str(e)\n",
    "p_looks": "try:\n    from local_one import VALUE\nexcept ImportError as e:\n    VALUE = str(e)\n",
    "p_registry": "ITEMS = []\nVALUE = 16\n",
    "p_registers": "import p_registry\np_registry.ITEMS.append('p_registers')\nVALUE = len(p_registry.ITEMS)\n",
    "p_copies": "from p_plain import VALUE\n",
    "p_hook": "import sys\n_o = sys.excepthook\nsys.excepthook = lambda *a: (print('hooked'), _o(*a))\nVALUE = 18\n",
    "p_secret": "import secrets\nDRAWN = secrets.token_hex(8)\nVALUE = 25\n",
    "p_numpy_drew": "import numpy\nRNG = numpy.random.default_rng()\nDRAWN = RNG.random()\nVALUE = 26\n",
    "p_numpy_old": "import numpy\nDRAWN = numpy.random.rand()\nVALUE = 27\n",
    "p_locale": "import locale\nVALUE = locale.setlocale(locale.LC_ALL)\n",
    "p_umask": "import os\n_m = os.umask(0o27)\nVALUE = 19\n",
    "p_limit": "import sys\nsys.setrecursionlimit(1234)\nVALUE = 20\n",
    "p_child": "import subprocess\nVALUE = subprocess.run(['pwd'], capture_output=True, text=True).stdout[-5:]\n",
    "p_finds": "import importlib.util\nVALUE = importlib.util.find_spec('local_one') is not None\n",
    "p_random": "import random\nVALUE = 21\nDRAWN = random.random()\n",
    "p_own_random": "import random\nGENERATOR = random.Random()\nDRAWN = GENERATOR.random()\nVALUE = 22\n",
    "p_uuid": "import uuid\nDRAWN = uuid.uuid4().hex\nVALUE = 23\n",
    "p_seeds": "import random\nrandom.seed(5)\nVALUE = random.random()\nrandom.seed()\n",
    "p_numpy": "import numpy\nRNG = numpy.random.default_rng()\nVALUE = 24\nDRAWN = None\n",
    "p_pkg/__init__": "from . import inner\nVALUE = inner.VALUE\n",
    "p_pkg/inner": "import os\nVALUE = os.environ.get('P_MODE', 'unset')\n",
    "p_pkg/later": "import os, sys\nVALUE = os.environ.get('P_MODE', 'unset'), len(sys.argv)\n",
}
NAMES = sorted(
    {name.partition("/")[0] for name in INSTALLED}
    | {"p_pkg.later", "p_pkg.inner"}
    | {"json", "colorsys", "uuid", "decimal", "csv", "zipfile", "asyncio", "xml.dom", "unittest"}
)
LOCAL = {
    "local_one.py": "import os\nVALUE = os.environ.get('P_MODE', 'unset')\n",
    "local_two.py": "import p_env, p_plain\nVALUE = p_env.VALUE, p_plain.VALUE\n",
    "local_pkg/__init__.py": "from .part import VALUE\n",
    "local_pkg/part.py": "import p_argv, sys\nVALUE = p_argv.VALUE, __name__\n",
    "third/p_plain.py": "VALUE = 'third'\n",
    "third/p_pkg/__init__.py": "VALUE = 'third package'\n",
    "third/p_pkg/later.py": "VALUE = 'third later'\n",
    "third/p_pkg/inner.py": "VALUE = 'third inner'\n",
    "note.txt": "a note",
    "sub/note.txt": "another note",
}
DRAWS = ("p_random", "p_own_random", "p_uuid", "p_secret", "p_numpy_drew", "p_numpy_old")

_HEAD = """\
import os, sys
def trace(*words):
    with open(TRACE, "a") as file:
        print(*words, file=file)
TRACE = os.path.abspath("trace.txt")
"""
# What a program can see of its process at any point of its life.
_STATE = """\
def state():
    import gc, locale, logging, signal, threading, warnings
    trace("path", sys.path, sys.argv, os.path.basename(os.getcwd()))
    trace("warnings", [(f[0], f[2].__name__) for f in warnings.filters], sys.warnoptions)
    trace("logging", logging.root.level, logging.root.handlers)
    trace("threads", [t.name for t in threading.enumerate() if t.daemon], gc.isenabled(), gc.get_threshold())
    trace("signals", [(s.name, str(signal.getsignal(s)).split(" at ")[0]) for s in signal.Signals if s.value < 32])
    trace("fds", sorted(os.listdir("/proc/self/fd")), sys.getrecursionlimit(), oct(os.umask(os.umask(0))))
    trace("env", list(os.environ.items()))
    trace("modules", sorted(sys.modules))
    trace("main", sorted(vars(sys.modules["__main__"])), __name__, sys.flags, locale.getlocale())
"""


def _imports(name: str) -> list[str]:
    """Return pieces that import a module and look at its VALUE, in every form that programs use."""
    value = f"trace({name!r}, getattr(sys.modules.get({name!r}), 'VALUE', None))"
    head, _, tail = name.rpartition(".")
    forms = [
        f"import {name}\n{value}",
        f"try:\n    import {name}\n    {value}\nexcept ImportError as error:\n    trace('no', {name!r}, error)",
        f"import importlib\nimportlib.import_module({name!r})\n{value}",
        f"def use_{name.replace('.', '_')}():\n    import {name}\n    {value}\nuse_{name.replace('.', '_')}()",
    ]
    if name.startswith(("p_", "local_")):
        forms.append(
            f"from {name} import VALUE as v_{name.replace('.', '_')}\ntrace({name!r}, v_{name.replace('.', '_')})"
        )
        forms.append(f"from {name} import *\ntrace('star', sorted(k for k in globals() if k.isupper()))")
    if head:
        forms.append(f"from {head} import {tail}\n{value}")
    if name in DRAWS:
        forms.append(f"import {name}\nobserve(draw_{name}=str({name}.DRAWN))")
    return forms


IMPORTED = [*NAMES, "local_one", "local_two", "local_pkg", "local_pkg.part"]
ENVIRONMENT = [
    "os.environ['P_MODE'] = 'on'",
    "os.environ['P_MODE'] = 'o' + 'n'",
    "os.environ['P_MODE'] = 'of' + 'f'",
    "os.environ['P_HOME'] = os.path.join('/', 'home')",
    "os.environ.update(P_MODE='updated', P_HOME='x')",
    "os.environ.pop('P_MODE', None)",
    "os.environ.pop('P_GIVEN', None)",
    "os.environ.setdefault('P_MODE', 'default')",
    "os.putenv('P_MODE', 'put')",
    "if 'P_GIVEN' in os.environ:\n    del os.environ['P_GIVEN']",
    "os.environ['PYTHONHASHSEED'] = '0'",
    "os.environ['TMPDIR'] = os.path.abspath('sub')",
    "os.environ['P_MODE'] = sys.argv[-1]",
    "if len(sys.argv) > 1:\n    os.environ['P_MODE'] = 'has arguments'",
]
PLACE = [
    "sys.path.insert(0, 'third')",
    "sys.path.insert(0, os.path.abspath('third'))",
    "sys.path.append('third')",
    "sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), 'third')]",
    "sys.path.pop(0)",
    "sys.path.remove(next(p for p in sys.path if p.endswith('site-packages')))",
    "os.chdir('sub') if os.path.isdir('sub') else None",
    "os.chdir(os.path.dirname(os.path.abspath(__file__)))",
    "os.mkdir('made')",
    "os.rename('note.txt', 'renamed.txt')",
    "os.makedirs('made/deep', exist_ok=True)\nos.chdir('made')",
    "sys.argv[1:] = ['--lr', '9']",
    "sys.argv.append('--more')",
    "sys.modules['p_plain'] = type(sys)('p_plain')",
    "sys.modules['p_pkg'] = None",
    "sys.modules.pop('p_env', None)",
    "import p_registry\np_registry.VALUE = 'set by the program'",  # not p_plain: who copies it, see docs/warm.md
    "import builtins\nbuiltins.print_ = print",
]
LEFT_OPEN = [
    "left_text = open('left.txt', 'w')\nleft_text.write('text ' * 9)",
    "left_more = open('more.txt', 'a')\nleft_more.write('line\\n')",
    "import csv\nleft_csv = csv.writer(open('left.csv', 'w'))\nleft_csv.writerow([1, 'b'])",
    "import gzip\nleft_zip = gzip.GzipFile('left.gz', 'wb', mtime=0)\nleft_zip.write(b'zipped')",
    "left_bytes = open('left.bin', 'wb', buffering=4096)\nleft_bytes.write(b'123')",
    "import tempfile\nleft_temp = tempfile.NamedTemporaryFile('w')\nleft_temp.write('t')",
    "import tempfile\nleft_folder = tempfile.TemporaryDirectory()",
    "import zipfile\nleft_archive = zipfile.ZipFile('left.zip', 'w')",
    "import io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=False)\nprint('held back')",
    "import p_registry\np_registry.file = open('shared.txt', 'w')\np_registry.file.write('kept by a package')",
]
HANDLERS = [
    "import atexit\natexit.register(print, 'ends')",
    "import atexit\natexit.register(trace, 'at the end', 1)",
    "import atexit\natexit.register(lambda: 1 / 0)",
    "import atexit\natexit.register(lambda: atexit.register(print, 'later still'))",
    "import weakref\nclass Held: pass\nheld = Held()\nweakref.finalize(held, print, 'finalized')",
    "class Dies:\n    def __del__(self):\n        print('died', trace is not None)\ndies = Dies()",
    "import warnings\nwarnings.simplefilter('error')",
    "import warnings\nwarnings.warn('w1')\nwarnings.warn('w2', DeprecationWarning)",
    "import logging\nlogging.basicConfig(level='DEBUG')\nlogging.debug('debugged')",
    "import logging\nlogging.getLogger().addHandler(logging.FileHandler('log.txt'))\nlogging.error('an error')",
    "import logging\nlogging.getLogger('p').warning('of p')\nlogging.captureWarnings(True)",
    "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('usr1'))\nos.kill(os.getpid(), signal.SIGUSR1)",
    "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))",
    "import faulthandler\nfaulthandler.enable()",
    "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
    # At the end: what it leaves in `__main__` (a warning's registry) must not depend on who is faster.
    "import threading\nmain = threading.main_thread()\n"
    "threading.Thread(target=lambda: (main.join(), open('thread.txt', 'a').write('late'))).start()",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t')\nt.start()\nt.join()",
    "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\ntrace(list(pool.map(abs, [-1])))",
    "import gc\ngc.disable()",
    "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 400))",
]
DRAWN = [
    "import random\nobserve(draw_a=random.random())",
    "import random\nrandom.seed(7)\ntrace('seeded', random.random(), random.sample(range(99), 3))",
    "import random\ntrace('own', random.Random(3).random())\nobserve(draw_b=random.Random().random())",
    "import uuid\nobserve(draw_c=str(uuid.uuid4()))",
    "import secrets\nobserve(draw_d=secrets.token_hex(8))",
    "import tempfile\nobserve(draw_e=os.path.basename(tempfile.mktemp()))",
    "import numpy\nobserve(draw_f=numpy.random.rand())",
    "import numpy\nnumpy.random.seed(1)\ntrace('numpy', numpy.random.rand(), numpy.random.default_rng(2).random())",
    "import numpy\nobserve(draw_g=numpy.random.default_rng().random())",
    "import p_numpy\nobserve(draw_h=p_numpy.RNG.random())",
]
# What seeds a generator that all share, and the draws from that.
SHARED = {
    "\nrandom.seed(7)": ("draw_a=", "draw_p_random="),
    "numpy.random.seed(1)": ("draw_f=", "draw_p_numpy_old="),
}
PROCESSES = [
    "import subprocess\nprint(subprocess.run(['sh', '-c', 'echo $P_MODE $P_GIVEN'], capture_output=True).stdout)",
    "import subprocess\nsubprocess.run([sys.executable, '-c', 'import os; print(os.environ.get(\"P_MODE\"))'])",
    "if (child := os.fork()) == 0:\n    print('child', flush=True)\n    os._exit(3)\ntrace(os.waitpid(child, 0)[1])",
    "if (child := os.fork()) == 0:\n    sys.exit(4)\ntrace(os.waitpid(child, 0)[1])",
    "os.system('echo shell $P_MODE')",
]
STATES = [_STATE + "state()", "state() if 'state' in globals() else None"]
ENDS = [
    "",
    "",
    "",
    "sys.exit(3)",
    "sys.exit('words')",
    "sys.exit([1])",
    "raise ValueError('wrong')",
    "raise KeyboardInterrupt",
    "os._exit(7)",
    "os.kill(os.getpid(), 15)",
    "raise SystemExit",
    "def deep(n):\n    return deep(n - 1) if n else 1 / 0\ndeep(3)",
    "import p_fails",
    "this is no Python",
    "os.execv(sys.executable, [sys.executable, '-c', 'print(\"replaced\")'])",
    "print('x' * 70000)",
    "os.close(1)\nprint('nobody hears')",
    "sys.stdout.close()",
]
POOLS = [ENVIRONMENT, ENVIRONMENT, PLACE, LEFT_OPEN, HANDLERS, DRAWN, STATES, PROCESSES]
COMMANDS = [("{python}", "{program}"), ("{python}", "program.py"), ("{python}", "-m", "program")]
Choose = Callable[[Sequence[Any]], Any]


def _piece(choose: Choose) -> str:
    pool = choose([*POOLS, *[None] * 5])
    return choose(_imports(choose(IMPORTED)) if pool is None else pool)


def make_row(choose: Choose) -> Row:
    """Return a program with its arguments and its environment, as a row of the parity suite.

    Args:
        choose: Returns one of the things that it is given.
    """
    pieces = dict.fromkeys(_piece(choose) for _ in range(choose(range(1, 10))))
    for seed, drawn in SHARED.items():
        if any(seed in piece for piece in pieces):  # what is drawn after it is the same in every run
            pieces = {piece: None for piece in pieces if not any(name in piece for name in drawn)}
    end = choose(ENDS)
    if ("kill" in end or "_exit" in end or "execv" in end) and any(
        "temp" in piece for piece in pieces
    ):  # a temporary file stays, whose name is random
        end = ""
    body = "\n".join([*pieces, _STATE + "state()", end]) + "\n"
    if choose([False, True]) and "import *" not in body:
        inner = body.replace("\n", "\n    ").rstrip(" ")
        body = f"def main():\n    {inner}\nif __name__ == '__main__':\n    main()\n"
    program = _HEAD + body
    return Row(
        name="a generated program",
        program=program,
        command=choose(COMMANDS),
        args=choose([(), ("--lr", "0.1"), ("on",)]),
        files=LOCAL,
        installed={f"{name}.py": textwrap.dedent(text) for name, text in INSTALLED.items()},
        attempt_env=choose([{}, {"P_GIVEN": "yes"}, {"P_MODE": "given"}]),
        draws=tuple(sorted(set(_names_of_draws(program)))),
    )


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Draw a program, its arguments and its environment."""
    return make_row(lambda things: draw(st.sampled_from(things)))


def _names_of_draws(program: str) -> list[str]:
    return [part.partition("=")[0] for part in program.split("observe(")[1:]]
