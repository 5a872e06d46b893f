"""Warm is fresh: local modules, and installed packages that do something when they are imported."""

import pytest
from parity import params, row


def _import_of(name, package, program, **more):
    """A row whose program imports an installed package, `lib`, that does something when it is imported."""
    return row(f"an installed package {name}", program, installed={"lib.py": package}, **more)


ARGPARSE = """\
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.5)
    args = parser.parse_args()
"""
ROWS = [
    # Local files
    row(
        "local modules",
        "import sys\nbefore = [n for n in sys.modules if n.startswith(('part', 'pack'))]\nimport part, pack.deep\nobserve(before=before, after=[n for n in sys.modules if n.startswith(('part', 'pack'))], files=[part.__file__, pack.deep.__file__, pack.__path__[0], part.__cached__], spec=[part.__spec__.name, part.__spec__.origin], loader=type(part.__loader__).__name__)\n",
        files={"part.py": "x = 1\n", "pack/__init__.py": "", "pack/deep.py": ""},
    ),
    row(
        "a local module edited between runs",
        "import part\nprint(part.VALUE)\n",
        files={"part.py": "VALUE = 1\n"},
        edits={"part.py": "VALUE = 'changed'\n"},
    ),
    row(
        "a local module edited, of the same length",
        "import part\nprint(part.VALUE)\n",
        files={"part.py": "VALUE = 1\n"},
        edits={"part.py": "VALUE = 2\n"},
    ),
    row("the program edited between runs", "print('old')\n", edits={"program.py": "print('new', __file__[-10:])\n"}),
    row(
        "an import added between runs",
        "import part\n",
        files={"part.py": "print('old')\n"},
        edits={"part.py": "import colorsys, wave\nprint('new', wave.__name__)\n"},
    ),
    row(
        "a local module that becomes a package",
        "import part\nprint(part.__file__[-12:])\n",
        files={"part.py": ""},
        edits={"part/__init__.py": ""},
    ),
    row(
        "an import that begins to fail",
        "import part\nprint('fine')\n",
        files={"part.py": ""},
        edits={"part.py": "raise ImportError('gone')\n"},
    ),
    row(
        "a stale .pyc beside its source",
        "import part, os\nprint(part.VALUE)\n",
        files={"part.py": "VALUE = 1\n", "__pycache__/part.cpython-311.pyc": b"\xa7\r\r\n" + b"\0" * 60},
    ),
    row(
        "a .pyc without its source",
        "import os, py_compile, sys\nopen('gone.py', 'w').write('VALUE = 8\\n')\npy_compile.compile('gone.py', cfile='gone.pyc')\nos.remove('gone.py')\nimport gone\nprint(gone.VALUE, gone.__file__[-8:])\n",
    ),
    row(
        "importlib.reload of local and standard modules",
        "import importlib, part, json\nold = json.loads\npart.VALUE = 2\nimportlib.reload(part)\nimportlib.reload(json)\nprint(part.VALUE, json.loads is old)\n",
        files={"part.py": "VALUE = 1\n"},
    ),
    row(
        "importlib.resources and pkgutil",
        "import importlib.resources, pkgutil\nprint(importlib.resources.files('pack').joinpath('data.txt').read_text(), pkgutil.get_data('pack', 'data.txt'), [m.name for m in pkgutil.iter_modules(['.'])])\n",
        files={"pack/__init__.py": "", "pack/data.txt": "words"},
    ),
    row(
        "entry points and versions",
        "import importlib.metadata as m\nobserve(n=m.version('numpy'), points=sorted(e.name for e in m.entry_points(group='console_scripts'))[:20], mine=m.version('lib'))\n",
        installed={"lib.py": "", "lib-3.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: lib\nVersion: 3.2\n"},
    ),
    row(
        "import by path and exec_module",
        "import importlib.util\nspec = importlib.util.spec_from_file_location('named', 'part.py')\nm = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(m)\nprint(m.VALUE, m.__name__)\n",
        files={"part.py": "VALUE = 1\n"},
    ),
    row(
        "runpy.run_path and run_module",
        "import runpy\nprint(runpy.run_path('part.py')['VALUE'], runpy.run_module('part')['__name__'])\n",
        files={"part.py": "VALUE = __name__\n"},
    ),
    row(
        "exec of another script",
        "exec(compile(open('part.py').read(), 'part.py', 'exec'))\n",
        files={"part.py": "print(__name__, __file__[-10:])\n"},
    ),
    row(
        "train.py that is from pkg.train import main (c28)",
        "from pkg.train import main\nif __name__ == '__main__':\n    main()\n",
        files={"pkg/__init__.py": "", "pkg/train.py": "import sys\ndef main():\n    print(sys.argv[1:], __name__)\n"},
        args=("--lr=1",),
    ),
    row(
        "a local module named like one of the standard library",
        "import statistics, queue\nprint(statistics.__file__[-13:], getattr(queue, 'VALUE', None))\n",
        files={"statistics.py": "", "queue.py": "VALUE = 'mine'\n"},
    ),
    row(
        "a local module named like one the server uses",
        "import types, argparse, dataclasses\nprint(getattr(dataclasses, 'VALUE', None), getattr(argparse, 'VALUE', None))\n",
        files={"dataclasses.py": "VALUE = 'mine'\n", "argparse.py": "VALUE = 'mine'\n"},
    ),
    row(
        "a local module named random",
        "import random\nprint(getattr(random, 'VALUE', None))\n",
        files={"random.py": "VALUE = 'mine'\n"},
    ),
    row(
        "a local module named like an installed one",
        "import lib\nprint(lib.VALUE)\n",
        files={"lib.py": "VALUE = 'mine'\n"},
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "a local module that appears between runs and hides an installed one",
        "import lib\nprint(lib.VALUE)\n",
        installed={"lib.py": "VALUE = 'installed'\n"},
        edits={"lib.py": "VALUE = 'mine'\n"},
    ),
    row(
        "sys.path.insert of a patched library (c12)",
        "import sys\nsys.path.insert(0, 'third_party')\nimport lib\nimport lib.part\nprint(lib.VALUE, lib.part.VALUE)\n",
        files={"third_party/lib/__init__.py": "VALUE = 'patched'\n", "third_party/lib/part.py": "VALUE = 'patched'\n"},
        installed={"lib/__init__.py": "VALUE = 'installed'\n", "lib/part.py": "VALUE = 'installed'\n"},
    ),
    row(
        "sys.path.insert in a local module (c12)",
        "import paths\nimport lib\nprint(lib.VALUE)\n",
        files={
            "paths.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'third_party'))\n",
            "third_party/lib.py": "VALUE = 'patched'\n",
        },
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "sys.path.insert by an argument (c12)",
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport lib\nprint(lib.VALUE)\n",
        args=("third_party",),
        files={"third_party/lib.py": "VALUE = 'patched'\n"},
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "sys.path = … and os.chdir with a relative entry",
        "import os, sys\nsys.path = ['lib', *sys.path]\nos.chdir('sub')\nimport inner\nprint(inner.VALUE)\n",
        files={"sub/lib/inner.py": "VALUE = 1\n", "lib/inner.py": "VALUE = 2\n"},
    ),
    row(
        "sys.path.remove of the script's folder",
        "import sys\nsys.path.pop(0)\ntry:\n    import part\nexcept ImportError as error:\n    print(error)\n",
        files={"part.py": ""},
    ),
    row(
        "sys.modules['x'] = None and a stand-in",
        "import sys\nsys.modules['wave'] = None\nsys.modules['lib'] = type(sys)('lib')\nsys.modules['lib'].VALUE = 'stand-in'\ntry:\n    import wave\nexcept ImportError as error:\n    print(error)\nimport lib\nprint(lib.VALUE)\n",
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "a meta path finder of the program's",
        "import sys\nclass Finder:\n    def find_spec(self, name, path, target=None):\n        if name == 'lib':\n            print('asked')\nsys.meta_path.insert(0, Finder())\nimport lib\n",
        installed={"lib.py": ""},
    ),
    row(
        "builtins.__import__ replaced",
        "import builtins\nold = builtins.__import__\nseen = []\ndef new(name, *args, **more):\n    seen.append(name)\n    return old(name, *args, **more)\nbuiltins.__import__ = new\nimport lib, colorsys\nbuiltins.__import__ = old\nprint(seen)\n",
        installed={"lib.py": "import part_of_lib\n", "part_of_lib.py": ""},
    ),
    row(
        "a module under an import lock in a thread",
        "import threading\nout = []\nthread = threading.Thread(target=lambda: out.append(__import__('lib').VALUE))\nthread.start()\nthread.join()\nprint(out)\n",
        installed={"lib.py": "VALUE = 1\n"},
    ),
    row(
        "importing a module that imports __main__",
        "VALUE = 5\nimport lib\n",
        installed={"lib.py": "import __main__\nprint(getattr(__main__, 'VALUE', None), __main__.__file__[-10:])\n"},
    ),
    row(
        "an installed package edited between runs",
        "import lib\nprint(lib.VALUE)\n",
        installed={"lib.py": "VALUE = 1\n"},
        edits={"../../site-packages/lib.py": "VALUE = 'changed'\n"},
    ),
    row(
        "an optional package that is not installed",
        "try:\n    import not_there\nexcept ImportError:\n    not_there = None\nprint(not_there)\n",
    ),
    # What installed packages do when they are imported
    _import_of("that parses sys.argv", ARGPARSE, "from lib import args\nprint(args.lr)\n", args=("--lr=0.1",)),
    _import_of(
        "that reads sys.argv by index",
        "import sys\nNAME = sys.argv[1] if len(sys.argv) > 1 else 'none'\n",
        "import lib\nprint(lib.NAME)\n",
        args=("first",),
    ),
    _import_of(
        "that reads the attempt's environment",
        "import os\nLR = os.environ.get('LR', 'default')\n",
        "import lib\nprint(lib.LR)\n",
        attempt_env={"LR": "0.1"},
    ),
    _import_of(
        "that copies the environment",
        "import os\nALL = dict(os.environ)\n",
        "import lib, os\nprint(lib.ALL == dict(os.environ))\n",
    ),
    _import_of(
        "that reads the environment by os.getenv and environb",
        "import os\nA, B, C = os.getenv('LR'), os.environb.get(b'LR'), 'LR' in os.environ\n",
        "import lib\nprint(lib.A, lib.B, lib.C)\n",
        attempt_env={"LR": "0.1"},
    ),
    _import_of(
        "that reads a variable which the program sets above (c03)",
        "import os\nHOME = os.environ.get('HF_HOME', 'default')\n",
        "import os\nos.environ['HF_HOME'] = '/tmp/my_hf_home'\nimport lib\nprint(lib.HOME)\n",
    ),
    _import_of(
        "that reads a variable which the program sets by an argument (c03)",
        "import os\nGPU = os.environ.get('GPU', 'default')\n",
        "import os, sys\nos.environ['GPU'] = sys.argv[1]\nimport lib\nprint(lib.GPU)\n",
        args=("3",),
    ),
    _import_of(
        "that reads a variable set by os.putenv, update, setdefault",
        "import os, subprocess\nA, B = os.environ.get('A'), os.environ.get('B')\nC = subprocess.run('echo $C', shell=True, capture_output=True, text=True).stdout\n",
        "import os\nos.environ.update(A='1')\nos.environ.setdefault('B', '2')\nos.putenv('C', '3')\nimport lib\nprint(lib.A, lib.B, lib.C)\n",
    ),
    _import_of(
        "that reads a variable which a local module sets (c03)",
        "import os\nA = os.environ.get('A')\n",
        "import settings\nimport lib\nprint(lib.A)\n",
        files={"settings.py": "import os\nos.environ['A'] = 'set'\n"},
    ),
    _import_of(
        "that reads a variable which the program deletes",
        "import os\nA = os.environ.get('A')\n",
        "import os\nos.environ.pop('A', None)\nimport lib\nprint(lib.A)\n",
        env={"A": "agent"},
    ),
    _import_of(
        "that reads the working directory",
        "import os\nfrom pathlib import Path\nCWD = os.getcwd()\nROOT = Path('data').resolve()\n",
        "import lib\nprint(lib.CWD, lib.ROOT)\n",
        cwd="run",
    ),
    _import_of(
        "that reads the working directory after os.chdir",
        "import os\nCWD = os.getcwd()\n",
        "import os\nos.chdir('sub')\nimport lib\nprint(lib.CWD)\n",
        files={"sub/x": ""},
    ),
    _import_of(
        "that reads a file of the working directory",
        "from pathlib import Path\nTEXT = Path('settings.txt').read_text()\n",
        "import lib\nprint(lib.TEXT)\n",
        files={"settings.txt": "one"},
        edits={"settings.txt": "two"},
    ),
    _import_of(
        "that reads a file by its absolute path which changes",
        "import os\nTEXT = open(os.environ['SETTINGS']).read()\n",
        "import lib\nprint(lib.TEXT)\n",
        files={"settings.txt": "one"},
        env={"SETTINGS": "{folder}/settings.txt"},
        edits={"settings.txt": "two"},
    ),
    _import_of("that writes a file", "open('imported.txt', 'a').write('x')\n", "import lib\n"),
    _import_of(
        "that appends to a log of the working directory",
        "import logging\nlogging.basicConfig(filename='lib.log', level='INFO', format='%(message)s')\nlogging.info('imported')\n",
        "import lib, logging\nlogging.info('used')\n",
    ),
    _import_of(
        "that opens a file and keeps it",
        "FILE = open('kept.txt', 'w')\nFILE.write('import;')\n",
        "import lib\nlib.FILE.write('used')\n",
    ),
    _import_of(
        "that prints", "import sys\nprint('welcome')\nprint('to lib', file=sys.stderr)\n", "import lib\nprint('main')\n"
    ),
    _import_of(
        "that warns",
        "import warnings\nwarnings.warn('lib is old', DeprecationWarning, stacklevel=2)\nwarnings.warn('lib is slow')\n",
        "import lib\nimport lib\n",
    ),
    _import_of(
        "that filters warnings",
        "import warnings\nwarnings.filterwarnings('ignore', 'noise')\nwarnings.simplefilter('always', ResourceWarning)\n",
        "import warnings\nwarnings.warn('noise before')\nimport lib\nwarnings.warn('noise after')\nobserve(filters=[repr(f) for f in warnings.filters])\n",
    ),
    _import_of(
        "that fails",
        "raise RuntimeError('no driver')\n",
        "try:\n    import lib\nexcept RuntimeError as error:\n    print(error)\nimport sys\nprint('lib' in sys.modules)\n",
    ),
    _import_of(
        "that fails without a variable",
        "import os\nif 'LICENSE' not in os.environ:\n    raise ImportError('no license')\n",
        "import lib\nprint('fine')\n",
        attempt_env={"LICENSE": "1"},
    ),
    _import_of("that exits", "import sys\nsys.exit(4)\n", "import lib\n"),
    _import_of(
        "with exit handlers",
        "import atexit\nSTATE = ['imported']\natexit.register(lambda: print('bye', STATE))\n",
        "import lib\nlib.STATE.append('used')\n",
    ),
    _import_of(
        "with exit handlers that is never imported",
        "import atexit\natexit.register(print, 'bye from lib')\n",
        "import sys\nif len(sys.argv) > 5:\n    import lib\n",
    ),
    _import_of(
        "with a temporary folder removed at exit (c50)",
        "import atexit, os, shutil, tempfile\nFOLDER = tempfile.mkdtemp()\natexit.register(shutil.rmtree, FOLDER)\n",
        "import lib, os\nopen(os.path.join(lib.FOLDER, 'x'), 'w').close()\nobserve(mine=lib.FOLDER.startswith(os.environ['TMPDIR']), listed=os.listdir(lib.FOLDER))\n",
    ),
    _import_of(
        "with a TemporaryDirectory (c50)",
        "import tempfile\nFOLDER = tempfile.TemporaryDirectory()\n",
        "import lib, os\nopen(os.path.join(lib.FOLDER.name, 'x'), 'w').close()\nobserve(mine=lib.FOLDER.name.startswith(os.environ['TMPDIR']), listed=os.listdir(lib.FOLDER.name))\n",
        together=True,
    ),
    _import_of(
        "with a weakref.finalize",
        "import weakref\nclass A: pass\nOBJECT = A()\nweakref.finalize(OBJECT, print, 'finalized')\n",
        "import lib\nprint('main')\n",
    ),
    _import_of(
        "with an object that has __del__",
        "import os\nclass A:\n    def __del__(self, write=os.write):\n        write(1, b'del of lib\\n')\nOBJECT = A()\n",
        "import lib\nprint('main')\n",
    ),
    _import_of(
        "that starts a thread",
        "import threading\nJOBS = []\nSTOP = threading.Event()\nTHREAD = threading.Thread(target=STOP.wait, daemon=True, name='lib')\nTHREAD.start()\n",
        "import lib, threading\nobserve(alive=lib.THREAD.is_alive(), names=[t.name for t in threading.enumerate()])\n",
    ),
    _import_of(
        "that starts a child",
        "import subprocess\nCHILD = subprocess.Popen(['sleep', '30'])\n",
        "import lib\nobserve(running=lib.CHILD.poll())\nlib.CHILD.kill()\nprint(lib.CHILD.wait())\n",
    ),
    _import_of(
        "that starts a pool lazily",
        "import concurrent.futures\nPOOL = concurrent.futures.ThreadPoolExecutor(2)\n",
        "import lib\nprint(lib.POOL.submit(abs, -1).result())\n",
    ),
    _import_of(
        "that sets signal handlers",
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('lib saw SIGTERM'))\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)\n",
        "import lib, os, signal\nobserve(a=repr(signal.getsignal(signal.SIGUSR1)))\nos.kill(os.getpid(), signal.SIGTERM)\nprint('after')\n",
    ),
    _import_of(
        "that replaces sys.stdout",
        "import sys\nclass Loud:\n    def __init__(self, stream):\n        self.stream = stream\n    def write(self, text):\n        self.stream.write(text.upper())\n    def flush(self):\n        self.stream.flush()\nsys.stdout = Loud(sys.stdout)\n",
        "print('before')\nimport lib\nprint('after')\n",
    ),
    _import_of(
        "that keeps sys.stdout and sys.stderr",
        "import logging, sys\nOUT, ERR = sys.stdout, sys.stderr\nHANDLER = logging.StreamHandler(sys.stdout)\nlogging.getLogger('lib').addHandler(HANDLER)\n",
        "import lib, logging, sys\nlib.OUT.write('out\\n')\nlogging.getLogger('lib').warning('logged')\nobserve(same=[lib.OUT is sys.stdout, lib.ERR is sys.stderr])\n",
    ),
    _import_of(
        "that adds logging handlers and levels",
        "import logging\nlogging.getLogger('lib').addHandler(logging.NullHandler())\nlogging.getLogger('lib').setLevel('DEBUG')\nlogging.addLevelName(15, 'FINE')\n",
        "import logging\nbefore = [repr(logging.getLogger('lib')), logging.getLevelName(15)]\nimport lib\nobserve(before=before, after=[repr(logging.getLogger('lib')), logging.getLevelName(15), [repr(h) for h in logging.getLogger('lib').handlers]])\n",
    ),
    _import_of(
        "that sets the environment",
        "import os\nos.environ['FROM_LIB'] = '1'\nos.environ.setdefault('MAYBE', 'lib')\n",
        "import os\nprint(os.environ.get('FROM_LIB'))\nimport lib\nprint(os.environ['FROM_LIB'], os.environ['MAYBE'])\n",
    ),
    _import_of(
        "that sets the environment, over the program's own",
        "import os\nos.environ.setdefault('MAYBE', 'lib')\n",
        "import os\nos.environ['MAYBE'] = 'program'\nimport lib\nprint(os.environ['MAYBE'])\n",
    ),
    _import_of(
        "that changes sys.path",
        "import sys\nsys.path.append('/opt/lib')\nsys.path.insert(0, '/opt/first')\n",
        "import sys\nbefore = list(sys.path)\nimport lib\nobserve(before=before, after=sys.path)\n",
    ),
    _import_of(
        "that changes directory, umask, locale",
        "import locale, os\nos.chdir('/')\nos.umask(0o077)\n",
        "import os\nbefore = os.getcwd()\nimport lib\nobserve(before=before, after=os.getcwd(), mask=os.umask(0))\n",
    ),
    _import_of(
        "that sets sys.excepthook",
        "import sys\nsys.excepthook = lambda kind, value, trace: print('lib hook', value)\n",
        "import lib\nraise ValueError('no')\n",
    ),
    _import_of(
        "that sets sys.excepthook and is imported too late",
        "import sys\nsys.excepthook = lambda kind, value, trace: print('lib hook', value)\n",
        "import sys\nif len(sys.argv) > 9:\n    import lib\nraise ValueError('no')\n",
    ),
    _import_of(
        "that changes limits of the interpreter",
        "import gc, sys\nsys.setrecursionlimit(3000)\ngc.disable()\nsys.setswitchinterval(0.1)\n",
        "import gc, sys\nbefore = [sys.getrecursionlimit(), gc.isenabled(), sys.getswitchinterval()]\nimport lib\nobserve(before=before, after=[sys.getrecursionlimit(), gc.isenabled(), sys.getswitchinterval()])\n",
    ),
    _import_of(
        "that changes the builtins",
        "import builtins\nbuiltins.profile = lambda f: f\n",
        "try:\n    profile\nexcept NameError as error:\n    print(error)\nimport lib\nprint(profile(1))\n",
    ),
    _import_of(
        "that patches the standard library",
        "import json\nold = json.dumps\njson.dumps = lambda x: 'patched ' + old(x)\n",
        "import json\nprint(json.dumps(1))\nimport lib\nprint(json.dumps(1))\n",
    ),
    _import_of(
        "that sets the start method",
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n",
        "import multiprocessing\nbefore = multiprocessing.get_start_method(True)\nimport lib\nobserve(before=before, after=multiprocessing.get_start_method(True))\n",
    ),
    _import_of("that counts", "COUNT = 0\n", "import lib\nlib.COUNT += 1\nprint(lib.COUNT)\n"),
    _import_of(
        "that remembers pid and time",
        "import os, time\nPID, NOW = os.getpid(), time.time()\n",
        "import lib, os, time\nimport pathlib\nobserve(pid=lib.PID == os.getpid(), since=lib.NOW >= pathlib.Path(os.environ['TMPDIR']).stat().st_ctime - 0.02)\n",
    ),
    _import_of(
        "that draws at import",
        "import random, secrets, uuid\nrng = random.Random()\nA = random.random()\nB = secrets.token_hex()\nC = str(uuid.uuid4())\n",
        "import lib\nobserve(a=lib.A, b=lib.B, c=lib.C, d=lib.rng.random())\n",
        draws=("a", "b", "c", "d"),
    ),
    _import_of(
        "that draws with a seed at import",
        "import random\nrandom.seed(5)\nA = random.random()\nRNG = random.Random(3)\n",
        "import lib, random\nobserve(a=lib.A, b=random.random(), c=lib.RNG.random())\n",
    ),
    _import_of(
        "that looks who imports it",
        "import inspect, sys\nCALLER = [f.filename.rpartition('/')[2] for f in inspect.stack() if 'importlib' not in f.filename]\nMAIN = sys.modules['__main__'].__file__\n",
        "import lib\nprint(lib.CALLER, lib.MAIN)\n",
    ),
    _import_of(
        "that looks which modules are there",
        "import sys\nHAS = [n for n in ('colorsys', 'wave', 'ensurepip') if n in sys.modules]\n",
        "import colorsys\nimport lib\nimport wave\nprint(lib.HAS)\n",
    ),
    _import_of(
        "whose order of imports counts",
        "ORDER = []\n",
        "import first\nimport second\nimport lib\nprint(lib.ORDER)\n",
        files={
            "first.py": "import lib\nlib.ORDER.append('first')\n",
            "second.py": "import lib\nlib.ORDER.append('second')\n",
        },
    ),
    _import_of(
        "that a plugin variable names",
        "import importlib, os\nPLUGIN = importlib.import_module(os.environ.get('PLUGIN', 'json')).__name__\n",
        "import lib\nprint(lib.PLUGIN)\n",
        attempt_env={"PLUGIN": "csv"},
    ),
    _import_of(
        "that imports a local module",
        "import settings\nVALUE = settings.VALUE\n",
        "import lib\nprint(lib.VALUE)\n",
        files={"settings.py": "VALUE = 1\n"},
        edits={"settings.py": "VALUE = 'changed'\n"},
    ),
    _import_of(
        "with a lock that it holds for ever",
        "import threading\nLOCK = threading.RLock()\nLOCK.acquire()\n",
        "import lib\nprint(lib.LOCK.acquire(blocking=False))\n",
    ),
    _import_of(
        "that opens a socket",
        "import socket\nA, B = socket.socketpair()\n",
        "import lib\nlib.A.send(b'x')\nprint(lib.B.recv(1))\n",
        together=True,
    ),
    _import_of(
        "that listens on a port",
        "import socket\nS = socket.socket()\nS.bind(('127.0.0.1', 0))\nS.listen()\n",
        "import lib, os\nobserve(owner=len([f for f in os.listdir('/proc/self/fd')]))\n",
    ),
    _import_of(
        "that locks a file",
        "import fcntl, os\nFILE = open(os.path.join(os.environ['HOME'], 'lock'), 'w')\nfcntl.flock(FILE, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "import lib\nprint('mine')\n",
    ),
    _import_of(
        "that asks whether stdout is a terminal or a file",
        "import os, sys\nWHERE = os.path.basename(os.readlink('/proc/self/fd/1')).partition('.')[2]\nTTY = sys.stdout.isatty()\n",
        "import lib\nprint(lib.WHERE, lib.TTY)\n",
    ),
    _import_of(
        "that registers fork handlers",
        "import os\nSTATE = []\nos.register_at_fork(after_in_child=lambda: STATE.append('forked'))\n",
        "import lib, os\nprint(lib.STATE)\nif os.fork() == 0:\n    print(lib.STATE)\n    os._exit(0)\nos.wait()\n",
    ),
    _import_of(
        "that fills caches",
        "import functools\n@functools.cache\ndef f():\n    import os\n    return os.getcwd(), os.environ.get('LR')\nf()\n",
        "import lib\nprint(lib.f())\n",
        attempt_env={"LR": "1"},
    ),
    _import_of(
        "that traces memory",
        "import tracemalloc\ntracemalloc.start()\n",
        "import tracemalloc\nprint(tracemalloc.is_tracing())\nimport lib\nprint(tracemalloc.is_tracing())\n",
    ),
    row(
        "sitecustomize that reads the command line",
        "import sys\nprint(sys.from_site)\n",
        installed={"sitecustomize.py": "import os, sys\nsys.from_site = [sys.orig_argv[-1], os.environ.get('LR')]\n"},
        args=("--lr=1",),
        attempt_env={"LR": "2"},
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
