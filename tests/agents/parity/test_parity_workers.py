"""Warm is fresh: child processes of every kind, and the classes of `__main__` that travel to them."""

import pytest
from parity import params, row

pytestmark = pytest.mark.slow

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
        default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        return model.x + 1, __name__, [sys.path[0], sys.flags.utf8_mode, default]
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
        """\
            import multiprocessing
            multiprocessing.set_start_method("spawn")
            p = multiprocessing.Process(target=print, args=("x",))
            p.start()
            p.join()
            print(p.exitcode)
            """,
    ),
    row(
        "a spawned process of a script with Hangul in its path",
        """\
            import multiprocessing
            def work():
                print(__name__, __file__)
            if __name__ == "__main__":
                multiprocessing.set_start_method("spawn")
                p = multiprocessing.Process(target=work)
                p.start()
                p.join()
            """,
        script="내 실험/학습.py",
    ),
    row(
        "what spawn tells its child",
        """\
            import multiprocessing.spawn as s
            d = s.get_preparation_data("x")
            d.pop("authkey")
            observe(**{k: v for k, v in d.items()})
            """,
    ),
    row(
        "a queue, a pipe, a lock, shared values",
        """\
            import multiprocessing as m
            def work(q, c, v):
                with v.get_lock():
                    v.value += 1
                q.put(1)
                c.send("x")
            if __name__ == "__main__":
                q, (a, b), v = m.Queue(), m.Pipe(), m.Value("i", 0)
                p = m.Process(target=work, args=(q, b, v))
                p.start()
                print(q.get(), a.recv(), v.value)
                p.join()
                print(p.exitcode, p.name, p.daemon)
            """,
    ),
    row(
        "a manager",
        """\
            import multiprocessing as m
            if __name__ == "__main__":
                with m.Manager() as manager:
                    d = manager.dict(a=1)
                    print(d)
            """,
    ),
    row(
        "the authkey differs",
        """\
            import multiprocessing as m
            observe(key=bytes(m.current_process().authkey).hex(), kind=type(m.current_process()).__name__)
            """,
        draws=("key",),
    ),
    row(
        "random numbers of forked children",
        """\
            import multiprocessing as m, random
            def draw(_):
                return random.random()
            if __name__ == "__main__":
                random.seed(1)
                with m.Pool(1) as pool:
                    observe(drawn=pool.map(draw, range(2)))
            """,
        draws=("drawn",),
    ),
    row(
        "a child that outlives the call",
        """\
            import subprocess
            p = subprocess.Popen(["sh", "-c", "sleep 0.1; echo done > left.txt"])
            print(p.wait())
            """,
    ),
    row(
        "a shell's view",
        """\
            import subprocess
            print(
                subprocess.run(
                    "trap; ulimit -a | grep -v ^locks; umask; echo $0 $# $-", shell=True, capture_output=True, text=True
                ).stdout
            )
            """,
    ),
    row(
        "SIGPIPE in a shell's pipeline",
        """\
            import os, subprocess
            print(
                subprocess.run(
                    ["bash", "-c", "yes | head -1; echo ${PIPESTATUS[@]}"], capture_output=True, text=True
                ).stdout,
                flush=True,
            )
            os.system("bash -c 'yes 2>/dev/null | head -1; echo ${PIPESTATUS[@]}'")
            """,
    ),
    row(
        "subprocess.run of itself",
        """\
            import subprocess, sys
            if len(sys.argv) > 1:
                print("child", sys.argv, __name__)
            else:
                print(subprocess.run([sys.executable, __file__, "x"], capture_output=True, text=True).stdout)
            """,
    ),
    row(
        "os.posix_spawn, os.popen, asyncio's subprocess",
        """\
            import asyncio, os
            print(os.popen("echo popen").read())
            pid = os.posix_spawnp("true", ["true"], os.environ)
            print(os.waitpid(pid, 0)[1])
            async def main():
                p = await asyncio.create_subprocess_exec("echo", "x", stdout=-1)
                return await p.communicate()
            print(asyncio.run(main()))
            """,
    ),
    row(
        "preexec_fn and start_new_session",
        """\
            import os, subprocess
            print(
                subprocess.run(
                    ["sh", "-c", "ps -o sid= -p $$ >/dev/null 2>&1; echo ok"],
                    preexec_fn=os.setpgrp,
                    start_new_session=False,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            """,
    ),
    row(
        "a pool as a global, used at exit",
        """\
            import atexit, concurrent.futures as f
            def square(x):
                return x * x
            if __name__ == "__main__":
                pool = f.ProcessPoolExecutor(1)
                print(pool.submit(square, 3).result())
            """,
    ),
    row(
        "a pickle of __main__'s class, written and read",
        """\
            import pickle
            class Model:
                def __init__(self):
                    self.x = 1
            pickle.dump(Model(), open("m.pkl", "wb"))
            print(pickle.load(open("m.pkl", "rb")).x, Model.__module__, Model.__qualname__, pickle.dumps(Model))
            """,
    ),
    row(
        "copyreg, ABC caches, singledispatch, enums",
        """\
            import abc, collections.abc, copyreg, enum, functools
            class A(abc.ABC):
                pass
            A.register(int)
            @functools.singledispatch
            def f(x):
                return "any"
            @f.register
            def _(x: int):
                return "int"
            class E(enum.Enum):
                A = 1
            observe(
                a=[isinstance(1, A), f(1), f(""), repr(E.A), E.__module__, len(copyreg.dispatch_table) >= 0]
            )
            """,
    ),
    row(
        "joblib's processes",
        """\
            import joblib
            def work(x):
                return x * 2
            if __name__ == "__main__":
                print(joblib.Parallel(2)(joblib.delayed(work)(i) for i in range(3)))
            """,
        slow=True,
    ),
    row(
        "subprocesses of a run that was killed by itself",
        """\
            import os, signal, subprocess
            p = subprocess.Popen(["sleep", "0.01"])
            p.wait()
            os.kill(os.getpid(), signal.SIGKILL)
            """,
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
