"""Warm is fresh: what is random differs from run to run, what is seeded does not."""

import pytest
from parity import params, row

pytestmark = pytest.mark.slow

HASH = "the forks of one server have its hash seed: give PYTHONHASHSEED, or start cold, where it matters"

ROWS = [
    row(
        "random, unseeded",
        """\
            import random
            observe(
                a=random.random(),
                b=random.getrandbits(64),
                c=random.SystemRandom().random(),
                d=random.sample(range(10**9), 2),
                e=random.Random().random(),
            )
            """,
        draws=("a", "b", "c", "d", "e"),
    ),
    row(
        "random at two at once",
        """\
            import random, uuid, secrets
            observe(a=random.random(), b=str(uuid.uuid4()), c=secrets.token_hex())
            """,
        draws=("a", "b", "c"),
        together=True,
    ),
    row(
        "random, seeded",
        """\
            import random
            random.seed(42)
            observe(a=random.random(), b=random.gauss(0, 1), c=random.gauss(0, 1))
            random.seed("words")
            observe(d=random.random())
            """,
    ),
    row(
        "random's second gauss",
        """\
            import random
            random.gauss(0, 1)
            observe(a=random.gauss_next if hasattr(random, "x") else random._inst.gauss_next)
            """,
        draws=("a",),
    ),
    row(
        "random's state at first",
        """\
            import random
            observe(position=random.getstate()[1][-1], version=random.getstate()[0], gauss=random.getstate()[2])
            """,
    ),
    row(
        "uuid, secrets, os.urandom",
        """\
            import os, secrets, uuid
            observe(
                a=str(uuid.uuid1()),
                b=str(uuid.uuid4()),
                c=secrets.token_hex(),
                d=os.urandom(8).hex(),
                e=secrets.randbelow(10**12),
            )
            """,
        draws=("a", "b", "c", "d", "e"),
    ),
    row(
        "ssl and hashlib",
        """\
            import hashlib, ssl
            observe(a=ssl.RAND_bytes(8).hex(), b=hashlib.sha256(b"x").hexdigest())
            """,
        draws=("a",),
    ),
    row(
        "names of temporary files",
        """\
            import os, tempfile
            f = tempfile.mkdtemp()
            observe(a=os.path.basename(f), b=next(tempfile._get_candidate_names()))
            os.rmdir(f)
            """,
        draws=("a", "b"),
    ),
    row(
        "the hash of a text (c01)",
        "observe(a=hash('a text'), b=hash(b'bytes'))\n",
        draws=("a", "b"),
        may_differ={"a": HASH, "b": HASH},
    ),
    row(
        "the order of a set of texts",
        """\
            observe(n=len({"a", "b"}))
            observe(a=list(map(str, {f"name{i}" for i in range(64)})))
            """,
        draws=("a",),
        may_differ={"a": HASH},
    ),
    row(
        "numpy legacy, unseeded",
        """\
            import numpy
            observe(
                a=numpy.random.rand(),
                b=numpy.random.randint(10**9),
                c=numpy.random.RandomState().rand(),
                d=float(numpy.random.default_rng().random()),
            )
            """,
        draws=("a", "b", "c", "d"),
    ),
    row(
        "numpy, seeded",
        """\
            import numpy
            numpy.random.seed(42)
            observe(
                a=numpy.random.rand(),
                b=numpy.random.randn(),
                c=float(numpy.random.default_rng(3).random()),
                d=numpy.random.RandomState(1).rand(),
            )
            """,
    ),
    row(
        "numpy's state at first",
        """\
            import numpy
            s = numpy.random.get_state()
            observe(name=s[0], position=s[2], gauss=s[3:])
            """,
    ),
    row(
        "numpy generators made by an installed package",
        """\
            import lib
            observe(a=float(lib.RNG.random()), b=lib.STATE.rand(), c=float(lib.SEEDED.random()))
            """,
        installed={
            "lib.py": """\
            import numpy
            RNG = numpy.random.default_rng()
            STATE = numpy.random.RandomState()
            SEEDED = numpy.random.default_rng(7)
            """
        },
        draws=("a", "b"),
    ),
    row(
        "a generator seeded with the time by an installed package",
        """\
            import lib
            observe(a=lib.RNG.random())
            """,
        installed={
            "lib.py": """\
            import random, time
            RNG = random.Random(time.time_ns())
            """
        },
        draws=("a",),
        may_differ={"a": "a seed made of the time is not seen"},
    ),
    row(
        "a run's name made by an installed package",
        """\
            import lib
            observe(a=lib.NAME)
            """,
        installed={
            "lib.py": """\
            import os, time
            NAME = f"{time.time_ns()}_{os.getpid()}"
            """
        },
        draws=("a",),
    ),
    row(
        "shuffled words drawn by an installed package",
        """\
            import lib
            observe(a=lib.WORDS)
            """,
        installed={
            "lib.py": """\
            import random
            WORDS = random.sample(range(10**9), 5)
            """
        },
        draws=("a",),
    ),
    row(
        "numbers that an installed package drew from numpy's own stream",
        """\
            import lib, numpy
            observe(a=lib.A, b=numpy.random.rand())
            """,
        installed={
            "lib.py": """\
            import numpy
            numpy.random.seed(0)
            A = numpy.random.rand()
            """
        },
    ),
    row(
        "random in threads and in forked children",
        """\
            import os, random, sys
            sys.stdout.flush()
            r, w = os.pipe()
            if os.fork() == 0:
                os.write(w, str(random.random()).encode())
                os._exit(0)
            os.wait()
            observe(a=os.read(r, 99).decode(), b=random.random())
            """,
        draws=("a", "b"),
    ),
    row(
        "id() and addresses",
        "observe(a=id(object()))\n",
        may_differ={"a": "an address; forks of one process have the same ones"},
    ),
    row(
        "multiprocessing's random names",
        """\
            import multiprocessing.process as p, tempfile
            from multiprocessing import synchronize
            observe(
                a=next(
                    synchronize.SemLock._rand
                    if hasattr(synchronize.SemLock, "_rand")
                    else tempfile._RandomNameSequence()
                )
            )
            """,
        draws=("a",),
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
