"""Warm is fresh: local modules, and installed packages that do something when they are imported."""

import pytest
from parity import params, row

pytestmark = pytest.mark.slow


def _import_of(name, package, program, **more):
    """A row whose program imports an installed package, `lib`, that does something when it is imported."""
    installed = {"lib.py": package, **more.pop("more", {})}
    return row(f"an installed package {name}", program, installed=installed, **more)


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
        """\
            import sys
            before = [n for n in sys.modules if n.startswith(("part", "pack"))]
            import part, pack.deep
            observe(
                before=before,
                after=[n for n in sys.modules if n.startswith(("part", "pack"))],
                files=[part.__file__, pack.deep.__file__, pack.__path__[0], part.__cached__],
                spec=[part.__spec__.name, part.__spec__.origin],
                loader=type(part.__loader__).__name__,
            )
            """,
        files={"part.py": "x = 1\n", "pack/__init__.py": "", "pack/deep.py": ""},
    ),
    row(
        "a local module edited between runs",
        """\
            import part
            print(part.VALUE)
            """,
        files={"part.py": "VALUE = 1\n"},
        edits={"part.py": "VALUE = 'changed'\n"},
    ),
    row(
        "a local module edited, of the same length",
        """\
            import part
            print(part.VALUE)
            """,
        files={"part.py": "VALUE = 1\n"},
        edits={"part.py": "VALUE = 2\n"},
    ),
    row("the program edited between runs", "print('old')\n", edits={"program.py": "print('new', __file__[-10:])\n"}),
    row(
        "an import added between runs",
        "import part\n",
        files={"part.py": "print('old')\n"},
        edits={
            "part.py": """\
            import colorsys, wave
            print("new", wave.__name__)
            """
        },
    ),
    row(
        "a local module that becomes a package",
        """\
            import part
            print(part.__file__[-12:])
            """,
        files={"part.py": ""},
        edits={"part/__init__.py": ""},
    ),
    row(
        "an import that begins to fail",
        """\
            import part
            print("fine")
            """,
        files={"part.py": ""},
        edits={"part.py": "raise ImportError('gone')\n"},
    ),
    row(
        "a stale .pyc beside its source",
        """\
            import part, os
            print(part.VALUE)
            """,
        files={"part.py": "VALUE = 1\n", "__pycache__/part.cpython-311.pyc": b"\xa7\r\r\n" + b"\0" * 60},
    ),
    row(
        "a .pyc without its source",
        """\
            import os, py_compile, sys
            open("gone.py", "w").write("VALUE = 8\\n")
            py_compile.compile("gone.py", cfile="gone.pyc")
            os.remove("gone.py")
            import gone
            print(gone.VALUE, gone.__file__[-8:])
            """,
    ),
    row(
        "importlib.reload of local and standard modules",
        """\
            import importlib, part, json
            old = json.loads
            part.VALUE = 2
            importlib.reload(part)
            importlib.reload(json)
            print(part.VALUE, json.loads is old)
            """,
        files={"part.py": "VALUE = 1\n"},
    ),
    row(
        "importlib.resources and pkgutil",
        """\
            import importlib.resources, pkgutil
            print(
                importlib.resources.files("pack").joinpath("data.txt").read_text(),
                pkgutil.get_data("pack", "data.txt"),
                [m.name for m in pkgutil.iter_modules(["."])],
            )
            """,
        files={"pack/__init__.py": "", "pack/data.txt": "words"},
    ),
    row(
        "entry points and versions",
        """\
            import importlib.metadata as m
            observe(
                n=m.version("numpy"),
                points=sorted(e.name for e in m.entry_points(group="console_scripts"))[:20],
                mine=m.version("lib"),
            )
            """,
        installed={
            "lib.py": "",
            "lib-3.2.dist-info/METADATA": """\
            Metadata-Version: 2.1
            Name: lib
            Version: 3.2
            """,
        },
    ),
    row(
        "import by path and exec_module",
        """\
            import importlib.util
            spec = importlib.util.spec_from_file_location("named", "part.py")
            m = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(m)
            print(m.VALUE, m.__name__)
            """,
        files={"part.py": "VALUE = 1\n"},
    ),
    row(
        "runpy.run_path and run_module",
        """\
            import runpy
            print(runpy.run_path("part.py")["VALUE"], runpy.run_module("part")["__name__"])
            """,
        files={"part.py": "VALUE = __name__\n"},
    ),
    row(
        "exec of another script",
        "exec(compile(open('part.py').read(), 'part.py', 'exec'))\n",
        files={"part.py": "print(__name__, __file__[-10:])\n"},
    ),
    row(
        "train.py that is from pkg.train import main (c28)",
        """\
            from pkg.train import main
            if __name__ == "__main__":
                main()
            """,
        files={
            "pkg/__init__.py": "",
            "pkg/train.py": """\
            import sys
            def main():
                print(sys.argv[1:], __name__)
            """,
        },
        args=("--lr=1",),
    ),
    row(
        "a local module named like one of the standard library",
        """\
            import statistics, queue
            print(statistics.__file__[-13:], getattr(queue, "VALUE", None))
            """,
        files={"statistics.py": "", "queue.py": "VALUE = 'mine'\n"},
        apart=True,
    ),
    row(
        "a local module named like one the server uses",
        """\
            import types, argparse, dataclasses
            print(getattr(dataclasses, "VALUE", None), getattr(argparse, "VALUE", None))
            """,
        files={"dataclasses.py": "VALUE = 'mine'\n", "argparse.py": "VALUE = 'mine'\n"},
        apart=True,
    ),
    row(
        "a local module named random",
        """\
            import random
            print(getattr(random, "VALUE", None))
            """,
        files={"random.py": "VALUE = 'mine'\n"},
        apart=True,
    ),
    row(
        "a local module named like an installed one",
        """\
            import lib
            print(lib.VALUE)
            """,
        files={"lib.py": "VALUE = 'mine'\n"},
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "a local module that appears between runs and hides an installed one",
        """\
            import lib
            print(lib.VALUE)
            """,
        installed={"lib.py": "VALUE = 'installed'\n"},
        edits={"lib.py": "VALUE = 'mine'\n"},
    ),
    row(
        "sys.path.insert of a patched library (c12)",
        """\
            import sys
            sys.path.insert(0, "third_party")
            import lib
            import lib.part
            print(lib.VALUE, lib.part.VALUE)
            """,
        files={"third_party/lib/__init__.py": "VALUE = 'patched'\n", "third_party/lib/part.py": "VALUE = 'patched'\n"},
        installed={"lib/__init__.py": "VALUE = 'installed'\n", "lib/part.py": "VALUE = 'installed'\n"},
    ),
    row(
        "sys.path.insert in a local module (c12)",
        """\
            import paths
            import lib
            print(lib.VALUE)
            """,
        files={
            "paths.py": """\
            import os, sys
            sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "third_party"))
            """,
            "third_party/lib.py": "VALUE = 'patched'\n",
        },
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "sys.path.insert by an argument (c12)",
        """\
            import sys
            sys.path.insert(0, sys.argv[1])
            import lib
            print(lib.VALUE)
            """,
        args=("third_party",),
        files={"third_party/lib.py": "VALUE = 'patched'\n"},
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "sys.path = … and os.chdir with a relative entry",
        """\
            import os, sys
            sys.path = ["lib", *sys.path]
            os.chdir("sub")
            import inner
            print(inner.VALUE)
            """,
        files={"sub/lib/inner.py": "VALUE = 1\n", "lib/inner.py": "VALUE = 2\n"},
    ),
    row(
        "sys.path.remove of the script's folder",
        """\
            import sys
            sys.path.pop(0)
            try:
                import part
            except ImportError as error:
                print(error)
            """,
        files={"part.py": ""},
    ),
    row(
        "sys.modules['x'] = None and a stand-in",
        """\
            import sys
            sys.modules["wave"] = None
            sys.modules["lib"] = type(sys)("lib")
            sys.modules["lib"].VALUE = "stand-in"
            try:
                import wave
            except ImportError as error:
                print(error)
            import lib
            print(lib.VALUE)
            """,
        installed={"lib.py": "VALUE = 'installed'\n"},
    ),
    row(
        "a meta path finder of the program's",
        """\
            import sys
            class Finder:
                def find_spec(self, name, path, target=None):
                    if name == "lib":
                        print("asked")
            sys.meta_path.insert(0, Finder())
            import lib
            """,
        installed={"lib.py": ""},
    ),
    row(
        "builtins.__import__ replaced",
        """\
            import builtins
            old = builtins.__import__
            seen = []
            def new(name, *args, **more):
                seen.append(name)
                return old(name, *args, **more)
            builtins.__import__ = new
            import lib, colorsys
            builtins.__import__ = old
            print(seen)
            """,
        installed={"lib.py": "import part_of_lib\n", "part_of_lib.py": ""},
        may_differ={"output": "what an imported package imports was imported once for all runs"},
    ),
    row(
        "a module under an import lock in a thread",
        """\
            import threading
            out = []
            thread = threading.Thread(target=lambda: out.append(__import__("lib").VALUE))
            thread.start()
            thread.join()
            print(out)
            """,
        installed={"lib.py": "VALUE = 1\n"},
    ),
    row(
        "importing a module that imports __main__",
        """\
            VALUE = 5
            import lib
            """,
        installed={
            "lib.py": """\
            import __main__
            print(getattr(__main__, "VALUE", None), __main__.__file__[-10:])
            """
        },
    ),
    row(
        "an installed package edited between runs",
        """\
            import lib
            print(lib.VALUE)
            """,
        installed={"lib.py": "VALUE = 1\n"},
        edits={"../../site-packages/lib.py": "VALUE = 'changed'\n"},
        may_differ={"output": "a package edited in place is seen by the next sweep"},
    ),
    row(
        "an optional package that is not installed",
        """\
            try:
                import not_there
            except ImportError:
                not_there = None
            print(not_there)
            """,
    ),
    # What installed packages do when they are imported
    row(
        "an installed package that acts before and after its module does",
        """\
            import lib, os
            observe(order=os.environ["ORDER"])
            """,
        installed={
            "lib/__init__.py": """\
                import atexit, os, warnings
                os.environ["ORDER"] = "package"
                atexit.register(print, "package, registered first")
                warnings.simplefilter("ignore", ImportWarning)
                warnings.simplefilter("always", UserWarning)
                from lib import part
                os.environ["ORDER"] += ", package"
                atexit.register(print, "package, registered last")
                """,
            "lib/part.py": """\
                import atexit, os, warnings
                os.environ["ORDER"] += ", part"
                atexit.register(print, "part")
                warnings.warn("not to be seen", ImportWarning)
                warnings.warn("to be seen", UserWarning)
                """,
        },
    ),
    _import_of(
        "that is reloaded, and imported anew",
        "import os\nCOUNT = globals().get('COUNT', 0) + 1\nPID = os.getpid\n",
        """\
            import importlib, sys, lib
            first = lib
            again = importlib.reload(lib)
            counts = [lib.COUNT, again is first]
            del sys.modules["lib"]
            import lib
            observe(counts=counts, anew=[lib.COUNT, lib is first], spec=repr(lib.__spec__)[:30], cached=lib.__cached__)
            """,
    ),
    _import_of(
        "that the program patches, as a test does",
        "def work():\n    return 'real'\n",
        """\
            from unittest import mock
            with mock.patch("lib.work", return_value="mine"):
                import lib
                print(lib.work())
            print(lib.work())
            lib.work = lambda: "left"
            import subprocess, sys
            command = [sys.executable, "-c", "import lib; print(lib.work())"]
            print(subprocess.run(command, capture_output=True, text=True))
            """,
    ),
    _import_of(
        "whose classes go through pools of all kinds",
        """\
            import dataclasses
            @dataclasses.dataclass
            class Point:
                x: int
            def twice(point):
                return Point(2 * point.x)
            """,
        """\
            import dataclasses, multiprocessing, lib
            @dataclasses.dataclass
            class Mine(lib.Point):
                pass
            if __name__ == "__main__":
                for method in ("fork", "spawn", "forkserver"):
                    with multiprocessing.get_context(method).Pool(1) as pool:
                        print(method, pool.map(lib.twice, [lib.Point(2), Mine(3)]), pool.map(type, [Mine(1)]))
            """,
    ),
    _import_of(
        "that is run as a module",
        "import sys\nprint(__name__, sys.argv[1:], 'lib' in sys.modules)\n",
        """\
            import runpy
            runpy.run_module("lib", run_name="__main__", alter_sys=True)
            import lib
            runpy.run_module("lib", run_name="other")
            """,
    ),
    row(
        "site.addsitedir with a .pth that imports",
        """\
            import site, sys
            site.addsitedir("third")
            import patched
            observe(path=[p for p in sys.path if "third" in p], value=patched.VALUE, pth="marker" in sys.modules)
            """,
        files={
            "third/mine.pth": "import marker\ndeeper\n",
            "third/marker.py": "",
            "third/deeper/patched.py": "VALUE = 'mine'\n",
        },
    ),
    row(
        "logging by dictConfig and fileConfig",
        """\
            import logging, logging.config, lib
            logging.getLogger("mine").warning("before")
            logging.config.dictConfig(
                {"version": 1, "disable_existing_loggers": False, "root": {"level": "INFO", "handlers": ["out"]},
                 "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}}
            )
            logging.getLogger("lib").info("after")
            lib.say()
            """,
        installed={"lib.py": "import logging\nLOG = logging.getLogger(__name__)\ndef say():\n    LOG.info('said')\n"},
    ),
    row(
        "sys.stdout.reconfigure in a local module",
        """\
            import sys, part, subprocess
            print("한국어", sys.stdout.encoding, sys.stdout.line_buffering, sys.stdout.errors)
            subprocess.run(["echo", "child"])
            print("after")
            """,
        files={
            "part.py": "import sys\nsys.stdout.reconfigure(encoding='ascii', errors='replace', line_buffering=True)\n"
        },
    ),
    row(
        "a program that executes itself again with another environment",
        """\
            import os, sys, lib
            same = os.getpid() == int(os.environ.get("FIRST", os.getpid()))
            print(os.environ.get("ROUND"), lib.ROUND, same, flush=True)
            if "ROUND" not in os.environ:
                os.environ.update(ROUND="2", FIRST=str(os.getpid()), PYTHONHASHSEED="3")
                os.execv(sys.executable, [sys.executable, *sys.argv])
            """,
        installed={"lib.py": "import os\nROUND = os.environ.get('ROUND')\n"},
    ),
    row(
        "a program that forks, and the child is the one that goes on",
        """\
            import atexit, os, sys, lib
            atexit.register(print, "ends", flush=True)
            if (pid := os.fork()):
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            with open("child.txt", "w") as file:
                print(lib.VALUE, os.getppid() != 1, file=file)
            sys.exit(4)
            """,
        installed={"lib.py": "VALUE = 1\n"},
    ),
    row(
        "a daemon by two forks",
        """\
            import os, sys, time
            read, write = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    with open("daemon.txt", "w") as file:
                        print(os.getsid(0) != os.getpid(), sorted(os.listdir("/proc/self/fd")), file=file)
                    os.write(write, b"x")
                os._exit(0)
            os.wait()
            print(os.read(read, 1))
            """,
    ),
    _import_of(
        "that parses sys.argv",
        ARGPARSE,
        """\
            from lib import args
            print(args.lr)
            """,
        args=("--lr=0.1",),
    ),
    _import_of(
        "that reads sys.argv by index",
        """\
            import sys
            NAME = sys.argv[1] if len(sys.argv) > 1 else "none"
            """,
        """\
            import lib
            print(lib.NAME)
            """,
        args=("first",),
    ),
    _import_of(
        "that reads the attempt's environment",
        """\
            import os
            LR = os.environ.get("LR", "default")
            """,
        """\
            import lib
            print(lib.LR)
            """,
        attempt_env={"LR": "0.1"},
    ),
    _import_of(
        "that copies the environment",
        """\
            import os
            ALL = dict(os.environ)
            """,
        """\
            import lib, os
            print(lib.ALL == dict(os.environ))
            """,
    ),
    _import_of(
        "that reads the environment by os.getenv and environb",
        """\
            import os
            A, B, C = os.getenv("LR"), os.environb.get(b"LR"), "LR" in os.environ
            """,
        """\
            import lib
            print(lib.A, lib.B, lib.C)
            """,
        attempt_env={"LR": "0.1"},
    ),
    _import_of(
        "that reads a variable which the program sets above (c03)",
        """\
            import os
            HOME = os.environ.get("HF_HOME", "default")
            """,
        """\
            import os
            os.environ["HF_HOME"] = "/tmp/my_hf_home"
            import lib
            print(lib.HOME)
            """,
    ),
    _import_of(
        "that reads a variable which the program sets by an argument (c03)",
        """\
            import os
            GPU = os.environ.get("GPU", "default")
            """,
        """\
            import os, sys
            os.environ["GPU"] = sys.argv[1]
            import lib
            print(lib.GPU)
            """,
        args=("3",),
    ),
    _import_of(
        "that reads a variable set by os.putenv, update, setdefault",
        """\
            import os, subprocess
            A, B = os.environ.get("A"), os.environ.get("B")
            C = subprocess.run("echo $C", shell=True, capture_output=True, text=True).stdout
            """,
        """\
            import os
            os.environ.update(A="1")
            os.environ.setdefault("B", "2")
            os.putenv("C", "3")
            import lib
            print(lib.A, lib.B, lib.C)
            """,
        may_differ={"output": "os.putenv beside os.environ is not seen"},
    ),
    _import_of(
        "that reads a variable which a local module sets (c03)",
        """\
            import os
            A = os.environ.get("A")
            """,
        """\
            import settings
            import lib
            print(lib.A)
            """,
        files={
            "settings.py": """\
            import os
            os.environ["A"] = "set"
            """
        },
    ),
    _import_of(
        "that reads a variable which the program deletes",
        """\
            import os
            A = os.environ.get("A")
            """,
        """\
            import os
            os.environ.pop("A", None)
            import lib
            print(lib.A)
            """,
        env={"A": "agent"},
    ),
    _import_of(
        "that reads the working directory",
        """\
            import os
            from pathlib import Path
            CWD = os.getcwd()
            ROOT = Path("data").resolve()
            """,
        """\
            import lib
            print(lib.CWD, lib.ROOT)
            """,
        cwd="run",
    ),
    _import_of(
        "that reads the working directory after os.chdir",
        """\
            import os
            CWD = os.getcwd()
            """,
        """\
            import os
            os.chdir("sub")
            import lib
            print(lib.CWD)
            """,
        files={"sub/x": ""},
    ),
    _import_of(
        "that reads a file of the working directory",
        """\
            from pathlib import Path
            TEXT = Path("settings.txt").read_text()
            """,
        """\
            import lib
            print(lib.TEXT)
            """,
        files={"settings.txt": "one"},
        edits={"settings.txt": "two"},
    ),
    _import_of(
        "that reads a file by its absolute path which changes",
        """\
            import os
            TEXT = open(os.environ["SETTINGS"]).read()
            """,
        """\
            import lib
            print(lib.TEXT)
            """,
        files={"settings.txt": "one"},
        env={"SETTINGS": "{folder}/settings.txt"},
        edits={"settings.txt": "two"},
    ),
    _import_of("that writes a file", "open('imported.txt', 'a').write('x')\n", "import lib\n"),
    _import_of(
        "that appends to a log of the working directory",
        """\
            import logging
            logging.basicConfig(filename="lib.log", level="INFO", format="%(message)s")
            logging.info("imported")
            """,
        """\
            import lib, logging
            logging.info("used")
            """,
    ),
    _import_of(
        "that opens a file and keeps it",
        """\
            FILE = open("kept.txt", "w")
            FILE.write("import;")
            """,
        """\
            import lib
            lib.FILE.write("used")
            """,
    ),
    _import_of(
        "that prints",
        """\
            import sys
            print("welcome")
            print("to lib", file=sys.stderr)
            """,
        """\
            import lib
            print("main")
            """,
    ),
    _import_of(
        "that warns",
        """\
            import warnings
            warnings.warn("lib is old", DeprecationWarning, stacklevel=2)
            warnings.warn("lib is slow")
            """,
        """\
            import lib
            import lib
            """,
        may_differ={"output": "a deprecation is shown to __main__, not to a fork server"},
    ),
    _import_of(
        "that filters warnings",
        """\
            import warnings
            warnings.filterwarnings("ignore", "noise")
            warnings.simplefilter("always", ResourceWarning)
            """,
        """\
            import warnings
            warnings.warn("noise before")
            import lib
            warnings.warn("noise after")
            observe(filters=[repr(f) for f in warnings.filters])
            """,
    ),
    _import_of(
        "that fails",
        "raise RuntimeError('no driver')\n",
        """\
            try:
                import lib
            except RuntimeError as error:
                print(error)
            import sys
            print("lib" in sys.modules)
            """,
    ),
    _import_of(
        "that fails without a variable",
        """\
            import os
            if "LICENSE" not in os.environ:
                raise ImportError("no license")
            """,
        """\
            import lib
            print("fine")
            """,
        attempt_env={"LICENSE": "1"},
    ),
    _import_of(
        "that exits",
        """\
            import sys
            sys.exit(4)
            """,
        "import lib\n",
    ),
    _import_of(
        "with exit handlers",
        """\
            import atexit
            STATE = ["imported"]
            atexit.register(lambda: print("bye", STATE))
            """,
        """\
            import lib
            lib.STATE.append("used")
            """,
    ),
    _import_of(
        "with exit handlers that is never imported",
        """\
            import atexit
            atexit.register(print, "bye from lib")
            """,
        """\
            import sys
            if len(sys.argv) > 5:
                import lib
            """,
    ),
    _import_of(
        "with a temporary folder removed at exit (c50)",
        """\
            import atexit, os, shutil, tempfile
            FOLDER = tempfile.mkdtemp()
            atexit.register(shutil.rmtree, FOLDER)
            """,
        """\
            import lib, os
            open(os.path.join(lib.FOLDER, "x"), "w").close()
            observe(mine=lib.FOLDER.startswith(os.environ["TMPDIR"]), listed=os.listdir(lib.FOLDER))
            """,
    ),
    _import_of(
        "with a TemporaryDirectory (c50)",
        """\
            import tempfile
            FOLDER = tempfile.TemporaryDirectory()
            """,
        """\
            import lib, os
            open(os.path.join(lib.FOLDER.name, "x"), "w").close()
            observe(mine=lib.FOLDER.name.startswith(os.environ["TMPDIR"]), listed=os.listdir(lib.FOLDER.name))
            """,
        together=True,
    ),
    _import_of(
        "with a weakref.finalize",
        """\
            import weakref
            class A:
                pass
            OBJECT = A()
            weakref.finalize(OBJECT, print, "finalized")
            """,
        """\
            import lib
            print("main")
            """,
    ),
    _import_of(
        "that loads another one lazily by importlib.util, which warns",
        """\
            import importlib.util, sys
            spec = importlib.util.find_spec("inner")
            spec.loader = importlib.util.LazyLoader(spec.loader)
            inner = sys.modules["inner"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(inner)
            VALUE = inner.VALUE
            """,
        """\
            import sys
            print("inner" in sys.modules)
            import lib
            print(lib.VALUE, "inner" in sys.modules)
            """,
        more={"inner.py": "import warnings as w\nw.warn('w')\nw.simplefilter('ignore', BytesWarning)\nVALUE = 1\n"},
    ),
    _import_of(
        "that asks a package for a module which that imports only then (numpy.random)",
        "import numpy\nRNG = numpy.random.default_rng(3)\n",
        """\
            import sys, numpy
            print("numpy.random" in sys.modules, "random" in vars(numpy))
            if "not now" in sys.argv:
                import lib
            import other, last
            print("numpy.random" in sys.modules, "random" in vars(numpy), other.RNG.random())
            numpy.random.seed(1)
            print(numpy.random.rand())
            """,
        more={"other.py": "import third, numpy\nRNG = numpy.random.default_rng(4)\n", "third.py": "", "last.py": ""},
    ),
    _import_of(
        "that filters warnings at the end of the list, and moves a filter that is there",
        """\
            import warnings
            warnings.simplefilter("always", ResourceWarning, append=True)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("error", "x")
            """,
        """\
            import warnings
            warnings.simplefilter("default", BytesWarning)
            import lib
            print(*warnings.filters, sep="\\n")
            """,
    ),
    _import_of(
        "that prints, where standard output was replaced",
        """\
            import sys
            print("lib speaks")
            print("lib complains", file=sys.stderr)
            """,
        """\
            import contextlib, io, sys
            sys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=False)
            print("held back")
            with contextlib.redirect_stdout(io.StringIO()) as said:
                import lib
            print(repr(said.getvalue()))
            """,
    ),
    _import_of(
        "with an object that has __del__",
        """\
            import os
            class A:
                def __del__(self, write=os.write):
                    write(1, b"del of lib\\n")
            OBJECT = A()
            """,
        """\
            import lib
            print("main")
            """,
        may_differ={"output": "packages that were imported for all runs are not taken apart"},
    ),
    _import_of(
        "that starts a thread",
        """\
            import threading
            JOBS = []
            STOP = threading.Event()
            THREAD = threading.Thread(target=STOP.wait, daemon=True, name="lib")
            THREAD.start()
            """,
        """\
            import lib, threading
            observe(alive=lib.THREAD.is_alive(), names=[t.name for t in threading.enumerate()])
            """,
    ),
    _import_of(
        "that starts a child",
        """\
            import subprocess
            CHILD = subprocess.Popen(["sleep", "30"])
            """,
        """\
            import lib
            observe(running=lib.CHILD.poll())
            lib.CHILD.kill()
            print(lib.CHILD.wait())
            """,
    ),
    _import_of(
        "that starts a pool lazily",
        """\
            import concurrent.futures
            POOL = concurrent.futures.ThreadPoolExecutor(2)
            """,
        """\
            import lib
            print(lib.POOL.submit(abs, -1).result())
            """,
    ),
    _import_of(
        "that sets signal handlers",
        """\
            import signal
            signal.signal(signal.SIGTERM, lambda *_: print("lib saw SIGTERM"))
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            """,
        """\
            import lib, os, signal
            observe(a=repr(signal.getsignal(signal.SIGUSR1)))
            os.kill(os.getpid(), signal.SIGTERM)
            print("after")
            """,
    ),
    _import_of(
        "that replaces sys.stdout",
        """\
            import sys
            class Loud:
                def __init__(self, stream):
                    self.stream = stream
                def write(self, text):
                    self.stream.write(text.upper())
                def flush(self):
                    self.stream.flush()
            sys.stdout = Loud(sys.stdout)
            """,
        """\
            print("before")
            import lib
            print("after")
            """,
    ),
    _import_of(
        "that keeps sys.stdout and sys.stderr",
        """\
            import logging, sys
            OUT, ERR = sys.stdout, sys.stderr
            HANDLER = logging.StreamHandler(sys.stdout)
            logging.getLogger("lib").addHandler(HANDLER)
            """,
        """\
            import lib, logging, sys
            lib.OUT.write("out\\n")
            logging.getLogger("lib").warning("logged")
            observe(same=[lib.OUT is sys.stdout, lib.ERR is sys.stderr])
            """,
    ),
    _import_of(
        "that adds logging handlers and levels",
        """\
            import logging
            logging.getLogger("lib").addHandler(logging.NullHandler())
            logging.getLogger("lib").setLevel("DEBUG")
            logging.addLevelName(15, "FINE")
            """,
        """\
            import logging
            before = [repr(logging.getLogger("lib")), logging.getLevelName(15)]
            import lib
            observe(
                before=before,
                after=[
                    repr(logging.getLogger("lib")),
                    logging.getLevelName(15),
                    [repr(h) for h in logging.getLogger("lib").handlers],
                ],
            )
            """,
    ),
    _import_of(
        "that sets the environment",
        """\
            import os
            os.environ["FROM_LIB"] = "1"
            os.environ.setdefault("MAYBE", "lib")
            """,
        """\
            import os
            print(os.environ.get("FROM_LIB"))
            import lib
            print(os.environ["FROM_LIB"], os.environ["MAYBE"])
            """,
    ),
    _import_of(
        "that sets the environment, over the program's own",
        """\
            import os
            os.environ.setdefault("MAYBE", "lib")
            """,
        """\
            import os
            os.environ["MAYBE"] = "program"
            import lib
            print(os.environ["MAYBE"])
            """,
    ),
    _import_of(
        "that changes sys.path",
        """\
            import sys
            sys.path.append("/opt/lib")
            sys.path.insert(0, "/opt/first")
            """,
        """\
            import sys
            before = list(sys.path)
            import lib
            observe(before=before, after=sys.path)
            """,
    ),
    _import_of(
        "that changes directory, umask, locale",
        """\
            import locale, os
            os.chdir("/")
            os.umask(0o077)
            """,
        """\
            import os
            before = os.getcwd()
            import lib
            observe(before=before, after=os.getcwd(), mask=os.umask(0))
            """,
    ),
    _import_of(
        "that sets sys.excepthook",
        """\
            import sys
            sys.excepthook = lambda kind, value, trace: print("lib hook", value)
            """,
        """\
            import lib
            raise ValueError("no")
            """,
    ),
    _import_of(
        "that sets sys.excepthook and is imported too late",
        """\
            import sys
            sys.excepthook = lambda kind, value, trace: print("lib hook", value)
            """,
        """\
            import sys
            if len(sys.argv) > 9:
                import lib
            raise ValueError("no")
            """,
    ),
    _import_of(
        "that changes limits of the interpreter",
        """\
            import gc, sys
            sys.setrecursionlimit(3000)
            gc.disable()
            sys.setswitchinterval(0.1)
            """,
        """\
            import gc, sys
            before = [sys.getrecursionlimit(), gc.isenabled(), sys.getswitchinterval()]
            import lib
            observe(before=before, after=[sys.getrecursionlimit(), gc.isenabled(), sys.getswitchinterval()])
            """,
    ),
    _import_of(
        "that changes the builtins",
        """\
            import builtins
            builtins.profile = lambda f: f
            """,
        """\
            try:
                profile
            except NameError as error:
                print(error)
            import lib
            print(profile(1))
            """,
    ),
    _import_of(
        "that patches the standard library",
        """\
            import json
            old = json.dumps
            json.dumps = lambda x: "patched " + old(x)
            """,
        """\
            import json
            print(json.dumps(1))
            import lib
            print(json.dumps(1))
            """,
        may_differ={"output": "it has done so for all runs"},
    ),
    _import_of(
        "that sets the start method",
        """\
            import multiprocessing
            multiprocessing.set_start_method("spawn")
            """,
        """\
            import multiprocessing
            before = multiprocessing.get_start_method(True)
            import lib
            observe(before=before, after=multiprocessing.get_start_method(True))
            """,
    ),
    _import_of(
        "that counts",
        "COUNT = 0\n",
        """\
            import lib
            lib.COUNT += 1
            print(lib.COUNT)
            """,
    ),
    _import_of(
        "that remembers pid and time",
        """\
            import os, time
            PID, NOW = os.getpid(), time.time()
            """,
        """\
            import lib, os, time
            import pathlib
            observe(
                pid=lib.PID == os.getpid(),
                since=lib.NOW >= pathlib.Path(os.environ["TMPDIR"]).stat().st_ctime - 0.02,
            )
            """,
    ),
    _import_of(
        "that draws at import",
        """\
            import random, secrets, uuid
            rng = random.Random()
            A = random.random()
            B = secrets.token_hex()
            C = str(uuid.uuid4())
            """,
        """\
            import lib
            observe(a=lib.A, b=lib.B, c=lib.C, d=lib.rng.random())
            """,
        draws=("a", "b", "c", "d"),
    ),
    _import_of(
        "that draws with a seed at import",
        """\
            import random
            random.seed(5)
            A = random.random()
            RNG = random.Random(3)
            """,
        """\
            import lib, random
            observe(a=lib.A, b=random.random(), c=lib.RNG.random())
            """,
    ),
    _import_of(
        "that looks who imports it",
        """\
            import inspect, sys
            CALLER = [f.filename.rpartition("/")[2] for f in inspect.stack() if "importlib" not in f.filename]
            MAIN = sys.modules["__main__"].__file__
            """,
        """\
            import lib
            print(lib.CALLER, lib.MAIN)
            """,
        may_differ={"output": "one frame of the fork server lies below the program's"},
    ),
    _import_of(
        "that looks which modules are there",
        """\
            import sys
            HAS = [n for n in ("colorsys", "wave", "ensurepip") if n in sys.modules]
            """,
        """\
            import colorsys
            import lib
            import wave
            print(lib.HAS)
            """,
    ),
    _import_of(
        "whose order of imports counts",
        "ORDER = []\n",
        """\
            import first
            import second
            import lib
            print(lib.ORDER)
            """,
        files={
            "first.py": """\
            import lib
            lib.ORDER.append("first")
            """,
            "second.py": """\
            import lib
            lib.ORDER.append("second")
            """,
        },
    ),
    _import_of(
        "that a plugin variable names",
        """\
            import importlib, os
            PLUGIN = importlib.import_module(os.environ.get("PLUGIN", "json")).__name__
            """,
        """\
            import lib
            print(lib.PLUGIN)
            """,
        attempt_env={"PLUGIN": "csv"},
    ),
    _import_of(
        "that imports a local module",
        """\
            import settings
            VALUE = settings.VALUE
            """,
        """\
            import lib
            print(lib.VALUE)
            """,
        files={"settings.py": "VALUE = 1\n"},
        edits={"settings.py": "VALUE = 'changed'\n"},
    ),
    _import_of(
        "with a lock that it holds for ever",
        """\
            import threading
            LOCK = threading.RLock()
            LOCK.acquire()
            """,
        """\
            import lib
            print(lib.LOCK.acquire(blocking=False))
            """,
    ),
    _import_of(
        "that opens a socket",
        """\
            import socket
            A, B = socket.socketpair()
            """,
        """\
            import lib
            lib.A.send(b"x")
            print(lib.B.recv(1))
            """,
        together=True,
    ),
    _import_of(
        "that listens on a port",
        """\
            import socket
            S = socket.socket()
            S.bind(("127.0.0.1", 0))
            S.listen()
            """,
        """\
            import lib, os
            observe(owner=len([f for f in os.listdir("/proc/self/fd")]))
            """,
    ),
    _import_of(
        "that locks a file",
        """\
            import fcntl, os
            FILE = open(os.path.join(os.environ["HOME"], "lock"), "w")
            fcntl.flock(FILE, fcntl.LOCK_EX | fcntl.LOCK_NB)
            """,
        """\
            import lib
            print("mine")
            """,
    ),
    _import_of(
        "that asks whether stdout is a terminal or a file",
        """\
            import os, sys
            WHERE = os.path.basename(os.readlink("/proc/self/fd/1")).partition(".")[2]
            TTY = sys.stdout.isatty()
            """,
        """\
            import lib
            print(lib.WHERE, lib.TTY)
            """,
    ),
    _import_of(
        "that registers fork handlers",
        """\
            import os
            STATE = []
            os.register_at_fork(after_in_child=lambda: STATE.append("forked"))
            """,
        """\
            import lib, os
            print(lib.STATE)
            if os.fork() == 0:
                print(lib.STATE)
                os._exit(0)
            os.wait()
            """,
    ),
    _import_of(
        "that fills caches",
        """\
            import functools
            @functools.cache
            def f():
                import os
                return os.getcwd(), os.environ.get("LR")
            f()
            """,
        """\
            import lib
            print(lib.f())
            """,
        attempt_env={"LR": "1"},
    ),
    _import_of(
        "that traces memory",
        """\
            import tracemalloc
            tracemalloc.start()
            """,
        """\
            import tracemalloc
            print(tracemalloc.is_tracing())
            import lib
            print(tracemalloc.is_tracing())
            """,
    ),
    row(
        "sitecustomize that reads the command line",
        """\
            import sys
            print(sys.from_site)
            """,
        installed={
            "sitecustomize.py": """\
            import os, sys
            sys.from_site = [sys.orig_argv[-1], os.environ.get("LR")]
            """
        },
        args=("--lr=1",),
        attempt_env={"LR": "2"},
        may_differ={"output": "it is read before anything of the server is"},
    ),
    _import_of(
        "that warns in the name of who imports it",
        "import warnings\nwarnings.warn('old', DeprecationWarning, stacklevel=2)\n",
        "import lib\nobserve(registry=sorted(map(str, globals().get('__warningregistry__', {}))))\n",
    ),
    _import_of(
        "that warns, and the program makes an error of it",
        "import warnings\nwarnings.warn('old', UserWarning)\n",
        "import warnings\nwarnings.simplefilter('error')\ntry:\n    import lib\nexcept UserWarning:\n    print(1)\n",
    ),
    _import_of("that looks at sys.path", "import sys\nFIRST = sys.path[0]\n", "import lib\nobserve(first=lib.FIRST)\n"),
    _import_of(
        "that looks at the program",
        "import __main__\nFILE = getattr(__main__, '__file__', None)\n",
        "import lib\nobserve(file=lib.FILE)\n",
    ),
    _import_of(
        "with a __getattr__ that knows no missing names",
        "def __getattr__(name):\n    return {'VALUE': 1}[name]\n",
        "import lib\nobserve(value=lib.VALUE)\n",
    ),
    _import_of(
        "that looks for a module of the program",
        "try:\n    import settings\n    VALUE = settings.VALUE\nexcept ImportError:\n    VALUE = None\n",
        "import lib\nobserve(value=lib.VALUE)\n",
        files={"settings.py": "VALUE = 3\n"},
    ),
    _import_of(
        "whose own import failed by a variable",
        "try:\n    import lib_inner\n    VALUE = 1\nexcept ImportError:\n    VALUE = 0\n",
        "import os\nopen('a.txt', 'a').write('x')\nos.environ['ON'] = str(1)\nimport lib\nobserve(value=lib.VALUE)\n",
        more={"lib_inner.py": "import os\nif 'ON' not in os.environ:\n    raise ImportError\n"},
    ),
    _import_of(
        "that draws from a generator of its own",
        "import random, secrets\nG = random.Random()\nA = G.random()\nB = secrets.token_hex(4)\n",
        "import lib\nobserve(a=lib.A, b=lib.B, c=lib.G.random())\n",
        draws=("a", "b", "c"),
    ),
    _import_of(
        "that sets a variable which the next one reads",
        "import os\nos.environ['BY_LIB'] = 'set'\n",
        "import lib_reader, lib\nobserve(value=lib_reader.VALUE)\n",
        more={"lib_reader.py": "import os\nVALUE = os.environ.get('BY_LIB')\n"},
    ),
    _import_of(
        "that reads a file which the program has renamed",
        "import os\nVALUE = os.path.exists('note.txt') and open('note.txt').read()\n",
        "import os\nos.rename('note.txt', 'renamed.txt')\nimport lib\nprint(lib.VALUE)\n",
        files={"note.txt": "a note"},
    ),
    _import_of(
        "that reads what each run has for itself, after the program did something",
        "import os\nVALUE = os.environ['TMPDIR']\n",
        "open('a.txt', 'a').write('x')\nimport lib, numpy\nobserve(value=lib.VALUE)\n",
    ),
    _import_of(
        "that reads a file which was changed between two runs, after the program did something",
        "import os\nVALUE = os.stat(os.environ['FILE']).st_size\nVALUE = open(os.environ['FILE']).read()\n",
        "open('a.txt', 'a').write('x')\nimport lib, numpy\nobserve(value=lib.VALUE)\n",
        env={"FILE": "{folder}/../home.txt"},
        files={"../home.txt": "before"},
        edits={"../home.txt": "after"},
    ),
    _import_of(
        "that imports what the program imports once more before",
        "import colorsys\n",
        """\
            open("a.txt", "a").write("x")
            import sys, colorsys
            first = sys.modules.pop("colorsys")
            import colorsys
            import lib
            observe(new=first is not colorsys, same=lib.colorsys is colorsys)
            """,
    ),
    *(
        _import_of(
            f"that warns of the line that imports it, by {statement}, {'in a package' * (line == 'import outer')}",
            "import warnings\nwarnings.warn('lib is old', DeprecationWarning, stacklevel=2)\n",
            f"import importlib, warnings\nwarnings.simplefilter('always')\n{line}\n",
            more={"outer.py": f"import importlib\n\n{statement}\n"},
        )
        for statement in ("import lib", "importlib.import_module('lib')")
        for line in (statement, "import outer")
    ),
    *(
        _import_of(
            f"that changes classes and functions of the standard library, {when}",
            """\
            import functools, inspect, json, logging
            def default(self, item):
                return f"by lib: {item}"
            json.JSONEncoder.default = default
            logging.Logger.shout = lambda self, text: print(text.upper())
            real = inspect.getfile
            inspect.getfile = functools.wraps(real)(lambda thing: real(thing))
            """,
            f"""\
            import inspect, json, logging
            def now():
                try:
                    text = json.dumps([object])
                except TypeError as error:
                    text = str(error)
                return text, hasattr(logging.Logger, "shout"), inspect.getfile.__code__.co_name
            observe(before=now())
            {statement}
            observe(after=now())
            """,
        )
        for when, statement in (("imported in the end", "import lib"), ("never imported", "def f(): import lib"))
    ),
    row(
        "a package that has something else under the name of a module of its own which is imported later",
        """\
            import lib
            print(lib.part, lib.value())
            if len(str(lib.part)) > 99:
                import lib.part
            """,
        installed={
            "lib/__init__.py": "part = 'a text'\ndef value():\n    return str(part)[:8]\n",
            "lib/part.py": "",
        },
    ),
    row(
        "a compiled package that imports what another one had imported in the server",
        """\
            import sys
            def unused():
                import secrets
            import numpy.random
            observe(modules=sorted(sys.modules), spec=str(type(sys.modules["secrets"].__spec__)))
            """,
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
