"""Warm is fresh: child processes of every kind, and the classes of `__main__` that travel to them."""

import pytest
from parity import params, row

POOL = """\
    import multiprocessing, os, sys
    from dataclasses import dataclass

    @dataclass
    class Job:
        number: int

    def work(job):
        return Job(job.number * 2), __name__, type(job).__module__, os.getcwd(), os.environ.get("LR"), sys.argv

    SETTINGS = {{"read": "at import"}}
    if __name__ == "__main__":
        SETTINGS["read"] = "changed"
        with multiprocessing.get_context("{method}").Pool(2) as pool:
            for found in pool.map(work, [Job(1), Job(2)]):
                print(found, isinstance(found[0], Job))
"""
EXECUTOR = """\
    import concurrent.futures, multiprocessing, os, random, signal, sys
    class Model:
        def __init__(self, x):
            self.x = x
    def work(model):
        return model.x + 1, __name__, [sys.path[0], sys.flags.utf8_mode, signal.getsignal(signal.SIGINT) is signal.default_int_handler]
    def fail(_):
        raise ValueError("in the child")
    if __name__ == "__main__":
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("{method}")) as pool:
            print(list(pool.map(work, [Model(1), Model(2)])))
            try:
                list(pool.map(fail, [1]))
            except ValueError as error:
                print("caught", error)
"""


def _pools(method, **more):
    return [
        row(
            f"a {method} pool with classes of __main__",
            POOL.format(method=method),
            attempt_env={"LR": "1"},
            args=("x",),
            **more,
        ),
        row(f"a {method} ProcessPoolExecutor", EXECUTOR.format(method=method), **more),
        row(
            f"a {method} pool under -m",
            POOL.format(method=method),
            script="pkg/train.py",
            command=("{python}", "-m", "pkg.train"),
            files={"pkg/__init__.py": ""},
            **more,
        ),
    ]


ROWS = [
    *_pools("fork"),
    *_pools("spawn"),
    *_pools("forkserver"),
    row(
        "a spawned process of a script without a main guard",
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\np = multiprocessing.Process(target=print, args=('x',))\np.start()\np.join()\nprint(p.exitcode)\n",
    ),
    row(
        "a spawned process of a script with Hangul in its path",
        "import multiprocessing\ndef work():\n    print(__name__, __file__)\nif __name__ == '__main__':\n    multiprocessing.set_start_method('spawn')\n    p = multiprocessing.Process(target=work)\n    p.start()\n    p.join()\n",
        script="내 실험/학습.py",
    ),
    row(
        "what spawn tells its child",
        "import multiprocessing.spawn as s\nd = s.get_preparation_data('x')\nd.pop('authkey')\nobserve(**{k: v for k, v in d.items()})\n",
    ),
    row(
        "a queue, a pipe, a lock, shared values",
        "import multiprocessing as m\ndef work(q, c, v):\n    with v.get_lock():\n        v.value += 1\n    q.put(1)\n    c.send('x')\nif __name__ == '__main__':\n    q, (a, b), v = m.Queue(), m.Pipe(), m.Value('i', 0)\n    p = m.Process(target=work, args=(q, b, v))\n    p.start()\n    print(q.get(), a.recv(), v.value)\n    p.join()\n    print(p.exitcode, p.name, p.daemon)\n",
    ),
    row(
        "a manager",
        "import multiprocessing as m\nif __name__ == '__main__':\n    with m.Manager() as manager:\n        d = manager.dict(a=1)\n        print(d)\n",
    ),
    row(
        "the authkey differs",
        "import multiprocessing as m\nobserve(key=bytes(m.current_process().authkey).hex(), kind=type(m.current_process()).__name__)\n",
        draws=("key",),
    ),
    row(
        "random numbers of forked children",
        "import multiprocessing as m, random\ndef draw(_):\n    return random.random()\nif __name__ == '__main__':\n    random.seed(1)\n    with m.Pool(1) as pool:\n        observe(drawn=pool.map(draw, range(2)))\n",
        draws=("drawn",),
    ),
    row(
        "a child that outlives the call",
        "import subprocess\np = subprocess.Popen(['sh', '-c', 'sleep 0.1; echo done > left.txt'])\nprint(p.wait())\n",
    ),
    row(
        "a shell's view",
        "import subprocess\nprint(subprocess.run('trap; ulimit -a; umask; echo $0 $# $-', shell=True, capture_output=True, text=True).stdout)\n",
    ),
    row(
        "SIGPIPE in a shell's pipeline",
        "import os, subprocess\nprint(subprocess.run(['bash', '-c', 'yes | head -1; echo ${PIPESTATUS[@]}'], capture_output=True, text=True).stdout, flush=True)\nos.system(\"bash -c 'yes 2>/dev/null | head -1; echo ${PIPESTATUS[@]}'\")\n",
    ),
    row(
        "subprocess.run of itself",
        "import subprocess, sys\nif len(sys.argv) > 1:\n    print('child', sys.argv, __name__)\nelse:\n    print(subprocess.run([sys.executable, __file__, 'x'], capture_output=True, text=True).stdout)\n",
    ),
    row(
        "os.posix_spawn, os.popen, asyncio's subprocess",
        "import asyncio, os\nprint(os.popen('echo popen').read())\npid = os.posix_spawnp('true', ['true'], os.environ)\nprint(os.waitpid(pid, 0)[1])\nasync def main():\n    p = await asyncio.create_subprocess_exec('echo', 'x', stdout=-1)\n    return await p.communicate()\nprint(asyncio.run(main()))\n",
    ),
    row(
        "preexec_fn and start_new_session",
        "import os, subprocess\nprint(subprocess.run(['sh', '-c', 'ps -o sid= -p $$ >/dev/null 2>&1; echo ok'], preexec_fn=os.setpgrp, start_new_session=False, capture_output=True, text=True).stdout)\n",
    ),
    row(
        "a pool as a global, used at exit",
        "import atexit, concurrent.futures as f\ndef square(x):\n    return x * x\nif __name__ == '__main__':\n    pool = f.ProcessPoolExecutor(1)\n    print(pool.submit(square, 3).result())\n",
    ),
    row(
        "a pickle of __main__'s class, written and read",
        "import pickle\nclass Model:\n    def __init__(self):\n        self.x = 1\npickle.dump(Model(), open('m.pkl', 'wb'))\nprint(pickle.load(open('m.pkl', 'rb')).x, Model.__module__, Model.__qualname__, pickle.dumps(Model))\n",
    ),
    row(
        "copyreg, ABC caches, singledispatch, enums",
        "import abc, collections.abc, copyreg, enum, functools\nclass A(abc.ABC): pass\nA.register(int)\n@functools.singledispatch\ndef f(x):\n    return 'any'\n@f.register\ndef _(x: int):\n    return 'int'\nclass E(enum.Enum):\n    A = 1\nobserve(a=[isinstance(1, A), f(1), f(''), repr(E.A), E.__module__, len(copyreg.dispatch_table) >= 0])\n",
    ),
    row(
        "joblib's processes",
        "import joblib\ndef work(x):\n    return x * 2\nif __name__ == '__main__':\n    print(joblib.Parallel(2)(joblib.delayed(work)(i) for i in range(3)))\n",
        slow=True,
    ),
    row(
        "subprocesses of a run that was killed by itself",
        "import os, signal, subprocess\np = subprocess.Popen(['sleep', '0.01'])\np.wait()\nos.kill(os.getpid(), signal.SIGKILL)\n",
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
