"""Warm is fresh: what is random differs from run to run, what is seeded does not."""

import pytest
from parity import params, row

ROWS = [
    row(
        "random, unseeded",
        "import random\nobserve(a=random.random(), b=random.getrandbits(64), c=random.SystemRandom().random(), d=random.sample(range(10**9), 2), e=random.Random().random())\n",
        draws=("a", "b", "c", "d", "e"),
    ),
    row(
        "random at two at once",
        "import random, uuid, secrets\nobserve(a=random.random(), b=str(uuid.uuid4()), c=secrets.token_hex())\n",
        draws=("a", "b", "c"),
        together=True,
    ),
    row(
        "random, seeded",
        "import random\nrandom.seed(42)\nobserve(a=random.random(), b=random.gauss(0, 1), c=random.gauss(0, 1))\nrandom.seed('words')\nobserve(d=random.random())\n",
    ),
    row(
        "random's second gauss",
        "import random\nrandom.gauss(0, 1)\nobserve(a=random.gauss_next if hasattr(random, 'x') else random._inst.gauss_next)\n",
        draws=("a",),
    ),
    row(
        "random's state at first",
        "import random\nobserve(position=random.getstate()[1][-1], version=random.getstate()[0], gauss=random.getstate()[2])\n",
    ),
    row(
        "uuid, secrets, os.urandom",
        "import os, secrets, uuid\nobserve(a=str(uuid.uuid1()), b=str(uuid.uuid4()), c=secrets.token_hex(), d=os.urandom(8).hex(), e=secrets.randbelow(10**12))\n",
        draws=("a", "b", "c", "d", "e"),
    ),
    row(
        "ssl and hashlib",
        "import hashlib, ssl\nobserve(a=ssl.RAND_bytes(8).hex(), b=hashlib.sha256(b'x').hexdigest())\n",
        draws=("a",),
    ),
    row(
        "names of temporary files",
        "import os, tempfile\nf = tempfile.mkdtemp()\nobserve(a=os.path.basename(f), b=next(tempfile._get_candidate_names()))\nos.rmdir(f)\n",
        draws=("a", "b"),
    ),
    row("the hash of a text (c01)", "observe(a=hash('a text'), b=hash(b'bytes'))\n", draws=("a", "b")),
    row(
        "the order of a set of texts",
        "observe(n=len({'a', 'b'}))\nobserve(a=list(map(str, {f'name{i}' for i in range(64)})))\n",
        draws=("a",),
    ),
    row(
        "numpy legacy, unseeded",
        "import numpy\nobserve(a=numpy.random.rand(), b=numpy.random.randint(10**9), c=numpy.random.RandomState().rand(), d=float(numpy.random.default_rng().random()))\n",
        draws=("a", "b", "c", "d"),
    ),
    row(
        "numpy, seeded",
        "import numpy\nnumpy.random.seed(42)\nobserve(a=numpy.random.rand(), b=numpy.random.randn(), c=float(numpy.random.default_rng(3).random()), d=numpy.random.RandomState(1).rand())\n",
    ),
    row(
        "numpy's state at first",
        "import numpy\ns = numpy.random.get_state()\nobserve(name=s[0], position=s[2], gauss=s[3:])\n",
    ),
    row(
        "numpy generators made by an installed package",
        "import lib\nobserve(a=float(lib.RNG.random()), b=lib.STATE.rand(), c=float(lib.SEEDED.random()))\n",
        installed={
            "lib.py": "import numpy\nRNG = numpy.random.default_rng()\nSTATE = numpy.random.RandomState()\nSEEDED = numpy.random.default_rng(7)\n"
        },
        draws=("a", "b"),
    ),
    row(
        "a generator seeded with the time by an installed package",
        "import lib\nobserve(a=lib.RNG.random())\n",
        installed={"lib.py": "import random, time\nRNG = random.Random(time.time_ns())\n"},
        draws=("a",),
    ),
    row(
        "a run's name made by an installed package",
        "import lib\nobserve(a=lib.NAME)\n",
        installed={"lib.py": "import os, time\nNAME = f'{time.time_ns()}_{os.getpid()}'\n"},
        draws=("a",),
    ),
    row(
        "shuffled words drawn by an installed package",
        "import lib\nobserve(a=lib.WORDS)\n",
        installed={"lib.py": "import random\nWORDS = random.sample(range(10**9), 5)\n"},
        draws=("a",),
    ),
    row(
        "numbers that an installed package drew from numpy's own stream",
        "import lib, numpy\nobserve(a=lib.A, b=numpy.random.rand())\n",
        installed={"lib.py": "import numpy\nnumpy.random.seed(0)\nA = numpy.random.rand()\n"},
    ),
    row(
        "random in threads and in forked children",
        "import os, random, sys\nsys.stdout.flush()\nr, w = os.pipe()\nif os.fork() == 0:\n    os.write(w, str(random.random()).encode())\n    os._exit(0)\nos.wait()\nobserve(a=os.read(r, 99).decode(), b=random.random())\n",
        draws=("a", "b"),
    ),
    row(
        "id() and addresses",
        "observe(a=id(object()))\n",
        may_differ={"a": "an address; forks of one process have the same ones"},
    ),
    row(
        "multiprocessing's random names",
        "import multiprocessing.process as p, tempfile\nfrom multiprocessing import synchronize\nobserve(a=next(synchronize.SemLock._rand if hasattr(synchronize.SemLock, '_rand') else tempfile._RandomNameSequence()))\n",
        draws=("a",),
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
