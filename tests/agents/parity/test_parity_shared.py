"""Warm is fresh: installed packages that change at their import what all of a process shares."""

import pytest
from parity import params, row

pytestmark = pytest.mark.slow

_SEES = """\
import {modules}
def look():
    return {look}
before = look()
import lib
observe(before=before, after=look())
"""


def _changes(name, package, look, modules="sys"):
    """A row whose program looks at something before and after it imports a package that changes it."""
    program = _SEES.format(modules=modules, look=look)
    return row(f"an installed package that changes {name}", program, installed={"lib.py": package})


ROWS = (
    _changes(
        "decimal's context",
        "import decimal\ndecimal.getcontext().prec = 5\n",
        "decimal.getcontext().prec, str(decimal.Decimal(1) / 3)",
        "decimal",
    ),
    _changes(
        "a context variable",
        "import decimal\ndecimal.setcontext(decimal.ExtendedContext)\n",
        "str(decimal.getcontext())",
        "decimal",
    ),
    _changes(
        "the timeout of sockets",
        "import socket\nsocket.setdefaulttimeout(7)\n",
        "socket.getdefaulttimeout()",
        "socket",
    ),
    _changes(
        "faulthandler", "import faulthandler\nfaulthandler.enable()\n", "faulthandler.is_enabled()", "faulthandler"
    ),
    _changes(
        "asyncio's policy",
        "import asyncio\nclass Mine(asyncio.DefaultEventLoopPolicy): pass\nasyncio.set_event_loop_policy(Mine())\n",
        "type(asyncio.get_event_loop_policy()).__name__",
        "asyncio",
    ),
    row(
        "an installed package that changes the codecs",
        """\
            import codecs
            def look():
                try:
                    return b"\\xff".decode("ascii", "mine")
                except LookupError:
                    return "not known"
            before = look()
            import lib
            observe(before=before, after=look())
            """,
        installed={"lib.py": "import codecs\ncodecs.register_error('mine', lambda error: ('?', error.end))\n"},
    ),
    _changes("csv's limit", "import csv\ncsv.field_size_limit(77)\n", "csv.field_size_limit()", "csv"),
    _changes(
        "csv's dialects",
        "import csv\ncsv.register_dialect('mine', delimiter=';')\n",
        "sorted(csv.list_dialects())",
        "csv",
    ),
    _changes(
        "the pickling of a class",
        "import copyreg\ncopyreg.pickle(complex, lambda c: (complex, (0, 0)))\n",
        "pickle.loads(pickle.dumps(1 + 2j))",
        "pickle",
    ),
    _changes(
        "the stack of threads",
        "import threading\nthreading.stack_size(1 << 20)\n",
        "threading.stack_size()",
        "threading",
    ),
    _changes(
        "hooks of asynchronous generators",
        "import sys\nsys.set_asyncgen_hooks(firstiter=print)\n",
        "sys.get_asyncgen_hooks().firstiter is not None",
    ),
    _changes(
        "the largest integer in text",
        "import sys\nsys.set_int_max_str_digits(5000)\n",
        "sys.get_int_max_str_digits()",
    ),
    _changes(
        "a limit of the process",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))\n",
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0]",
        "resource",
    ),
    _changes(
        "the niceness",
        "import os\nos.nice(1)\n",
        "os.nice(0)",
        "os",
    ),
    _changes(
        "a timer",
        "import signal\nsignal.setitimer(signal.ITIMER_VIRTUAL, 500)\n",
        "signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0",
        "signal",
    ),
    _changes(
        "types of files",
        "import mimetypes\nmimetypes.add_type('text/mine', '.mine')\n",
        "mimetypes.guess_type('a.mine')",
        "mimetypes",
    ),
    _changes(
        "how sqlite adapts",
        "import sqlite3\nsqlite3.register_adapter(complex, str)\n",
        "(complex, sqlite3.PrepareProtocol) in sqlite3.adapters",
        "sqlite3",
    ),
    _changes(
        "names of XML",
        "import xml.etree.ElementTree as e\ne.register_namespace('mine', 'http://mine')\n",
        "'http://mine' in xml.etree.ElementTree._namespace_map",
        "xml.etree.ElementTree",
    ),
    _changes(
        "the trace of threads",
        "import threading\nthreading.settrace(lambda *_: None)\n",
        "threading._trace_hook is not None",
        "threading",
    ),
    _changes(
        "locale by the C library alone",
        "import locale\nlocale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')\n",
        "locale.setlocale(locale.LC_NUMERIC)",
        "locale",
    ),
    row(
        "an installed package that seeds torch at its import",
        "import lib, torch\nobserve(drawn=torch.rand(2).tolist())\n",
        installed={"lib.py": "import torch\ntorch.manual_seed(0)\n"},
        slow=True,
    ),
    row(
        "an installed package that draws from torch at its import",
        "import lib, torch\nobserve(drawn=lib.DRAWN)\n",
        installed={"lib.py": "import torch\nDRAWN = torch.rand(2).tolist()\n"},
        slow=True,
        draws=("drawn",),
    ),
)


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
