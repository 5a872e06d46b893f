"""Warm is fresh: what the command line makes of the interpreter, and `__main__`."""

import zipfile
from io import BytesIO

import pytest
from parity import DUMP, params, row

pytestmark = pytest.mark.slow


def _zipped(**files):
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    return data.getvalue()


MAIN = """\
    import sys
    main = sys.modules["__main__"]
    observe(
        name=__name__, package=__package__, file=globals().get("__file__"), doc=__doc__,
        cached=repr(globals().get("__cached__", "missing")), loader=type(__loader__).__name__,
        loader_name=getattr(__loader__, "name", None), loader_path=getattr(__loader__, "path", None),
        spec=__spec__ and [__spec__.name, __spec__.origin, __spec__.cached, __spec__.parent],
        builtins=type(__builtins__).__name__, annotations=globals().get("__annotations__"),
        names=[name for name in globals() if name.startswith("__")], itself=main.__dict__ is globals(),
        argv=sys.argv, path=sys.path[:2], main_repr=repr(main), class_module=type("X", (), {}).__module__,
    )
"""
FLAGS = "import sys\nobserve(flags=sys.flags, options=sys._xoptions, warn=sys.warnoptions, path=sys.path)\n"
WARNINGS = """\
    import sys, warnings
    def old():
        warnings.warn("old", DeprecationWarning, stacklevel=2)
    observe(filters=[repr(one) for one in warnings.filters], options=sys.warnoptions)
    old(); old()
    warnings.warn("user")
    warnings.warn("later", FutureWarning)
    open("program.py")
"""


def _option(*options, program=FLAGS):
    cold = "" if options == ("-u",) else "the interpreter takes this option when it starts"
    return row(
        f"options {' '.join(options)}",
        program,
        command=("{python}", *options, "{program}"),
        args=("--lr=1",),
        cold=cold,
    )


def _variable(name, value, program=FLAGS, **more):
    return row(f"variable {name}={value}", program, env={name: value}, **more)


ROWS = [
    row("sys.argv", "import sys\nobserve(argv=sys.argv)", args=("--lr=0.1", "a b", "", "한국어", "--", "-u", "\udcff")),
    row("sys.orig_argv", "import sys\nobserve(argv=sys.orig_argv)", args=("--lr=0.1", "a b")),
    row(
        "/proc/self/cmdline",
        "observe(words=open('/proc/self/cmdline').read().split(chr(0)))",
        args=("--lr=0.1",),
        may_differ={"words": "a fork shows the command line of its fork server, as every fork does"},
    ),
    row(
        "/proc/self/comm and exe",
        """\
            import os
            observe(a=open("/proc/self/comm").read(), b=os.readlink("/proc/self/exe"))
            """,
    ),
    row("sys.flags, sys._xoptions, sys.warnoptions", FLAGS),
    row("sys.path in its order", "import sys\nobserve(path=sys.path)"),
    row(
        "sys.executable, prefixes, platform",
        """\
            import sys
            observe(
                a=[
                    sys.executable,
                    sys.prefix,
                    sys.exec_prefix,
                    sys.base_prefix,
                    sys._base_executable,
                    sys.platlibdir,
                    sys.pycache_prefix,
                    sys.dont_write_bytecode,
                ]
            )
            """,
    ),
    row(
        "os.environ in its order",
        "import os\nobserve(environ=list(os.environ.items()), n=len(os.environ))",
        attempt_env={"LR": "값", "EMPTY": "", "Z=": "x"} and {"LR": "값", "EMPTY": ""},
    ),
    row(
        "/proc/self/environ",
        """\
            import os
            found = open("/proc/self/environ", "rb").read().split(b"\\0")
            observe(
                missing=sorted(map(str, {k + b"=" + v for k, v in os.environb.items()}.difference(found))),
                more=sorted(
                    map(
                        str,
                        {f for f in found if b"=" in f}.difference(
                            k + b"=" + v for k, v in os.environb.items()
                        ),
                    )
                ),
            )
            """,
        attempt_env={"LR": "값" * 50},
    ),
    row(
        "the environment of a child",
        """\
            import subprocess
            observe(child=subprocess.run(["env"], capture_output=True, text=True).stdout.splitlines())
            """,
        attempt_env={"LR": "1"},
    ),
    row(
        "os.environ changed before a child",
        """\
            import os, subprocess
            os.environ["ADDED"] = "1"
            del os.environ["LANG"]
            observe(
                child=sorted(subprocess.run(["env"], capture_output=True, text=True).stdout.splitlines()),
                c=os.system('test "$ADDED" = 1'),
            )
            """,
    ),
    row("__main__ of a script", MAIN),
    row(
        "__doc__ and __annotations__ of a script",
        '''\
            """Words."""
            lr: float = 0.1
            import __main__
            print(__doc__, __annotations__, __main__.__doc__, list(globals()))
            ''',
    ),
    row("globals of an empty-handed script", "print(sorted(globals()), dir())\n"),
    row("__main__ of a module", MAIN, script="tool.py", command=("{python}", "-m", "tool"), args=("x",)),
    row(
        "-m package.module with relative imports (c06)",
        "from . import part\nfrom .part import VALUE\n" + MAIN.replace("    ", ""),
        script="pkg/train.py",
        command=("{python}", "-m", "pkg.train"),
        args=("--lr=0.1",),
        files={"pkg/__init__.py": "STATE = []\n", "pkg/part.py": "VALUE = 7\n"},
    ),
    row(
        "-m package with __main__",
        MAIN,
        script="pkg/__main__.py",
        command=("{python}", "-m", "pkg"),
        files={"pkg/__init__.py": ""},
    ),
    row("-m of a namespace package's module", MAIN, script="space/train.py", command=("{python}", "-m", "space.train")),
    row(
        "-m where the package imports the module: RuntimeWarning",
        "print('running', __name__)\n",
        script="pkg/train.py",
        command=("{python}", "-m", "pkg.train"),
        files={"pkg/__init__.py": "from pkg import train\n"},
    ),
    row(
        "-m where the package's import fails",
        "print('never')\n",
        script="pkg/train.py",
        command=("{python}", "-m", "pkg.train"),
        files={"pkg/__init__.py": "raise RuntimeError('broken package')\n"},
    ),
    row("-m of a module that does not exist", "print('never')\n", command=("{python}", "-m", "nothing.here")),
    row("-m of a module with a syntax error", "def broken(:\n", script="tool.py", command=("{python}", "-m", "tool")),
    row(
        "-m with a traceback",
        """\
            def f():
                raise ValueError("no")
            f()
            """,
        script="tool.py",
        command=("{python}", "-m", "tool"),
    ),
    row(
        "-m of the standard library",
        "x = 1\n",
        command=("{python}", "-m", "json.tool", "{folder}/data.json"),
        files={"data.json": '{"a": 1}'},
    ),
    row(
        "-m with pickling of __main__ and its spec",
        """\
            import pickle, sys
            class Model:
                pass
            observe(
                back=type(pickle.loads(pickle.dumps(Model()))) is Model,
                module=Model.__module__,
                names=sorted(n for n in sys.modules if n.startswith("pkg")),
            )
            """,
        script="pkg/train.py",
        command=("{python}", "-m", "pkg.train"),
        files={"pkg/__init__.py": ""},
    ),
    row(
        "a folder as the script",
        MAIN,
        script="app/__main__.py",
        command=("{python}", "{folder}/app"),
        args=("x",),
        files={"app/part.py": "x = 1\n"},
        cold="a command of another form than `python [-u] script.py` or `python -m module`",
    ),
    row(
        "a zip file as the script",
        "x = 1\n",
        command=("{python}", "{folder}/app.pyz"),
        args=("x",),
        files={
            "app.pyz": _zipped(__main__="import part, sys\nprint(part.x, sys.argv[1:], __name__)\n", part="x = 5\n")
        },
        cold="a command of another form than `python [-u] script.py` or `python -m module`",
    ),
    row(
        "a script by a symbolic link",
        """\
            import sys, os, neighbour
            observe(file=__file__, path=sys.path[0], argv=sys.argv, value=neighbour.VALUE)
            """,
        script="real/program.py",
        command=("{python}", "{folder}/link.py"),
        files={"link.py": "->real/program.py", "real/neighbour.py": "VALUE = 3\n"},
    ),
    row("a relative script", MAIN, command=("{python}", "program.py"), args=("x",)),
    row(
        "a relative script in a folder",
        MAIN,
        script="src/program.py",
        command=("{python}", "./src/program.py"),
        files={"src/part.py": "x = 1\n"},
    ),
    row("a relative script above the working directory", MAIN, cwd="run", command=("{python}", "../program.py")),
    row(
        "a script that is not there",
        "x = 1\n",
        command=("{python}", "{folder}/missing.py"),
        cold="a command of another form than `python [-u] script.py` or `python -m module`",
    ),
    row(
        "a script without a suffix",
        MAIN,
        script="train",
        command=("{python}", "{folder}/train"),
    ),
    row(
        "a script with Hangul in its path",
        """\
            import sys, 이웃
            observe(file=__file__, path=sys.path[0], value=이웃.값)
            raise ValueError("한국어")
            """,
        script="내 실험/학습.py",
        files={"내 실험/이웃.py": "값 = 3\n"},
    ),
    row("a script with a byte order mark", "\ufeffimport sys\nprint('한국어', sys.argv[1:])\n".encode()),
    row(
        "a script in EUC-KR with its cookie",
        "# -*- coding: euc-kr -*-\nprint('한국어')\nraise ValueError('오류')\n".encode("euc-kr"),
    ),
    row("a script with CR LF", b"import sys\r\nx = '''a\r\nb'''\r\nprint(repr(x))\r\nraise ValueError('no')\r\n"),
    row(
        "a script that imports itself",
        """\
            import program, sys
            observe(name=__name__, other=program.__name__) if __name__ == "__main__" else print(
                "again", __name__
            )
            print(program is sys.modules["__main__"])
            """,
    ),
    row(
        "python -c",
        "x = 1\n",
        command=("{python}", "-c", "import sys; print(sys.argv, __name__, sys.path[0])"),
        args=("x",),
        cold="a command of another form than `python [-u] script.py` or `python -m module`",
    ),
    row(
        "python - with no input",
        "x = 1\n",
        command=("{python}", "-"),
        cold="a command of another form than `python [-u] script.py` or `python -m module`",
    ),
    row("/usr/bin/env python", FLAGS, command=("/usr/bin/env", "{python}", "{program}"), args=("--lr=1",)),
    row(
        "/usr/bin/env with variables",
        "import os, sys\nobserve(a=os.environ.get('LR'), path=sys.flags)",
        command=("/usr/bin/env", "LR=1", "PYTHONOPTIMIZE=1", "{python}", "{program}"),
        cold="a command of another form than `python [-u] script.py` or `python -m module`",
    ),
    _option("-u"),
    _option("-O"),
    _option(
        "-OO",
        program='''\
            """Words."""
            assert False
            def f():
                """More."""
            print(__doc__, f.__doc__, __debug__)
            ''',
    ),
    _option("-B"),
    _option("-s"),
    _option("-P"),
    _option("-I"),
    _option("-E"),
    _option("-b"),
    _option("-W", "error", program=WARNINGS),
    _option("-W", "ignore::DeprecationWarning", program=WARNINGS),
    _option("-X", "dev"),
    _option("-X", "utf8=0"),
    _option("-Xfrozen_modules=off"),
    row("the warnings of a plain script", WARNINGS),
    _variable("PYTHONWARNINGS", "error::FutureWarning", WARNINGS),
    _variable(
        "PYTHONHASHSEED",
        "0",
        """\
            import sys
            observe(
                hash=hash("sweep"), order=list({"a", "b", "c", "d", "e"}), flag=sys.flags.hash_randomization
            )
            """,
    ),
    _variable("PYTHONHASHSEED", "77", "observe(hash=hash('sweep'), order=list({'a', 'b', 'c', 'd', 'e'}))"),
    _variable("PYTHONOPTIMIZE", "1", FLAGS),
    _variable("PYTHONDONTWRITEBYTECODE", "1", FLAGS + "import part\n", files={"part.py": "x = 1\n"}),
    _variable(
        "PYTHONPYCACHEPREFIX",
        "{folder}/../pycache",
        """\
            import part, sys
            observe(prefix=sys.pycache_prefix, cached=part.__cached__)
            """,
        files={"part.py": "x = 1\n"},
    ),
    _variable(
        "PYTHONFAULTHANDLER",
        "1",
        """\
            import faulthandler
            observe(on=faulthandler.is_enabled())
            import os, signal
            os.kill(os.getpid(), signal.SIGSEGV)
            """,
        may_differ={"output": DUMP},
    ),
    _variable(
        "PYTHONTRACEMALLOC",
        "3",
        """\
            import tracemalloc, sys
            observe(on=tracemalloc.is_tracing(), n=tracemalloc.get_traceback_limit(), x=sys._xoptions)
            """,
    ),
    _variable(
        "PYTHONDEVMODE",
        "1",
        FLAGS + "import gc, warnings\nobserve(filters=[repr(one) for one in warnings.filters])\nopen('program.py')\n",
    ),
    _variable(
        "PYTHONSAFEPATH",
        "1",
        FLAGS + "try:\n    import part\nexcept ImportError as error:\n    print(error)\n",
        files={"part.py": ""},
    ),
    _variable("PYTHONINSPECT", "1", "print(1)\n"),
    _variable("PYTHONSTARTUP", "{folder}/startup.py", "print(1)\n", files={"startup.py": "print('started')\n"}),
    _variable(
        "PYTHONBREAKPOINT",
        "0",
        """\
            breakpoint()
            print("passed")
            """,
    ),
    _variable(
        "PYTHONBREAKPOINT",
        "part.stop",
        """\
            breakpoint(1)
            print("passed")
            """,
        files={
            "part.py": """\
            def stop(x):
                print("stopped", x)
            """
        },
    ),
    _variable(
        "PYTHONINTMAXSTRDIGITS",
        "700",
        """\
            import sys
            observe(n=sys.get_int_max_str_digits(), flags=sys.flags)
            """,
    ),
    _variable(
        "PYTHONMALLOC",
        "malloc",
        """\
            import sys
            observe(blocks=sys.getallocatedblocks() == 0, flags=sys.flags)
            """,
    ),
    _variable(
        "PYTHONASYNCIODEBUG",
        "1",
        """\
            import asyncio
            async def main():
                return asyncio.get_running_loop().get_debug()
            observe(debug=asyncio.run(main()))
            """,
    ),
    _variable(
        "PYTHONNOUSERSITE",
        "1",
        """\
            import site, sys
            observe(on=site.ENABLE_USER_SITE, flags=sys.flags)
            """,
    ),
    _variable("PYTHONVERBOSE", "0", FLAGS),
    _variable(
        "PYTHONPATH",
        "{folder}/lib:/nowhere::relative",
        "import extra, sys\nobserve(path=sys.path, value=extra.VALUE)",
        files={"lib/extra.py": "VALUE = 5\n"},
    ),
    _variable("PYTHONHOME", "", FLAGS),
    _variable("PYTHONPLATLIBDIR", "lib", FLAGS),
    _variable("PYTHONWARNDEFAULTENCODING", "1", FLAGS + "open('program.py').close()\n"),
    _variable(
        "PYTHONIOENCODING",
        "utf-8:replace",
        """\
            import sys
            observe(a=[sys.stdout.encoding, sys.stdout.errors, sys.stdin.errors, sys.stderr.errors])
            """,
    ),
    row(
        "PYTHONUTF8=0 of the attempt",
        """\
            import sys, locale
            observe(
                flags=sys.flags,
                a=[sys.stdout.encoding, locale.getpreferredencoding(False), sys.getfilesystemencoding()],
            )
            """,
        attempt_env={"PYTHONUTF8": "0", "LC_ALL": "C"},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "PYTHONUNBUFFERED empty in the attempt",
        """\
            import sys, os
            observe(flags=sys.flags.unbuffered, a=[sys.stdout.line_buffering, sys.stdout.write_through])
            print("one")
            os.write(1, b"two\\n")
            print("three", file=sys.stderr)
            """,
        attempt_env={"PYTHONUNBUFFERED": ""},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "a PYTHON variable of the attempt alone",
        WARNINGS,
        attempt_env={"PYTHONWARNINGS": "error::FutureWarning"},
        cold="the interpreter reads this variable when it starts",
    ),
    row(
        "a hash seed of the attempt alone",
        "observe(hash=hash('sweep'))",
        attempt_env={"PYTHONHASHSEED": "5"},
        cold="the interpreter reads this variable when it starts",
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
