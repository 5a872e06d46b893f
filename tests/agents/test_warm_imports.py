"""What an import relied on in the fork server must hold in the run: else that run is a fresh process, the next is warm.

An installed package is imitated by a folder named like one on PYTHONPATH.
"""

import os
import textwrap

import pytest
from launching import Bench
from waiting import wait_until

from sweepkit.agents.launcher import LocalLauncher

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path):
    notes = []
    launcher = LocalLauncher(log=tmp_path / "forkserver.log", notify=notes.append)
    launcher.notes = notes
    yield Bench(tmp_path, launcher)
    launcher.close()


@pytest.fixture
def install(bench):
    """Return a function that installs a module; the environment under which programs find it comes back."""
    folder = bench.folder / "site-packages"
    folder.mkdir()

    def put(name, source):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return {"PYTHONPATH": str(folder)}

    return put


def outputs(bench, program, env, *, runs=4, arguments=lambda number: (f"--lr={number}",)):
    """Run a program several times; return what each printed of its own, and how many were forked with all imports."""
    printed, warm = [], 0
    for number in range(runs):
        started, exited, out = bench.run(program, *arguments(number), env=env)
        lines = [line for line in out.splitlines() if not line.startswith("sweepkit: begun again")]
        assert exited.status == 0, out
        warm += started.warm and len(lines) == len(out.splitlines())
        printed.append("\n".join(lines))
    return printed, warm


def test_an_installed_package_that_reads_the_command_line_sees_each_runs(bench, install):
    install("pkg/__init__.py", "")
    env = install("pkg/config.py", "import sys\nARGS = sys.argv[1:]\n")
    install("pkg/train.py", "from pkg.config import ARGS\nprint(ARGS)\n")
    printed, warm = outputs(bench, bench.write("import pkg.train"), env)
    assert printed == [f"['--lr={number}']" for number in range(4)]
    assert warm == 4  # known before the first fork: what reads it is left to the runs


def test_an_installed_package_that_draws_at_import_draws_anew(bench, install):
    env = install("stamp.py", "import uuid\nNAME = uuid.uuid4().hex\n")
    printed, warm = outputs(bench, bench.write("import stamp; print(stamp.NAME)"), env)
    assert len(set(printed)) == 4 and warm == 4


def test_a_variable_that_the_program_sets_before_its_import_counts(bench, install):
    env = install("home.py", "import os\nHOME = os.environ.get('MY_HOME')\n")
    program = bench.write("import os\nos.environ['MY_HOME'] = '/data' + str(1)\nimport home; print(home.HOME)")
    printed, warm = outputs(bench, program, env)
    assert printed == ["/data1"] * 4
    assert warm == 3  # the first one taught it


def test_a_variable_that_the_script_shows_to_be_set_costs_no_fresh_process(bench, install):
    env = install("home.py", "import os\nHOME = os.environ.get('MY_HOME')\n")
    program = bench.write("import os\nos.environ['MY_HOME'] = '/data'\nimport home; print(home.HOME)")
    assert outputs(bench, program, env) == (["/data"] * 4, 4)


def test_a_variable_that_differs_from_run_to_run_is_read_by_each(bench, install):
    env = install("device.py", "import os\nDEVICE = os.environ.get('MY_DEVICE')\n")
    source = "import os, sys\nos.environ['MY_DEVICE'] = sys.argv[1]\nimport device; print(device.DEVICE)"
    printed, warm = outputs(bench, bench.write(source), env)
    assert printed == [f"--lr={number}" for number in range(4)]
    assert warm == 2  # two taught that it changes; then the module is left to the runs


def test_a_copy_of_ones_own_goes_before_the_installed_one(bench, install):
    env = install("patched.py", "WHOSE = 'installed'\n")
    (bench.folder / "third_party").mkdir()
    (bench.folder / "third_party" / "patched.py").write_text("WHOSE = 'mine'\n")
    program = bench.write("import sys; sys.path.insert(0, 'third_' + 'party')\nimport patched; print(patched.WHOSE)")
    printed, warm = outputs(bench, program, env)
    assert printed == ["mine"] * 4 and warm == 3


def test_a_folder_that_is_no_package_hides_nothing(bench, install):
    env = install("library/__init__.py", "NAME = 'installed'\n")
    (bench.folder / "library").mkdir()  # as W&B's own folder `wandb` beside a script
    assert outputs(bench, bench.write("import library; print(library.NAME)"), env) == (["installed"] * 4, 4)


def test_a_module_that_the_program_put_in_the_place_of_another_stays(bench, install):
    install("inner.py", "WHOSE = 'installed'\n")
    env = install("outer.py", "import inner\nWHOSE = inner.WHOSE\n")
    source = """\
        import sys, types
        stub = types.ModuleType('inner'); stub.WHOSE = 'mine'
        sys.modules['inner'] = stub
        import outer; print(outer.WHOSE)
    """
    printed, _ = outputs(bench, bench.write(source), env)
    assert printed == ["mine"] * 4


def test_a_temporary_folder_made_at_import_is_each_runs_own(bench, install):
    env = install(
        "media.py",
        "import atexit, tempfile\nFOLDER = tempfile.TemporaryDirectory('media')\natexit.register(FOLDER.cleanup)\n",
    )
    source = "import media, os; print(media.FOLDER.name, os.path.isdir(media.FOLDER.name))"
    printed, warm = outputs(bench, bench.write(source), env)
    assert warm == 4 and len(set(printed)) == 4
    for line in printed:
        folder, there = line.split()
        assert there == "True" and not os.path.exists(folder)


def test_exit_handlers_of_imports_run_in_the_run_that_imports(bench, install):
    env = install("closing.py", "import atexit\natexit.register(print, 'closed')\n")
    assert outputs(bench, bench.write("import closing; print('ran')"), env)[0] == ["ran\nclosed"] * 4
    assert outputs(bench, bench.write("if False:\n    import closing\nprint('ran')", "other.py"), env)[0] == ["ran"] * 4


def test_modules_are_not_there_before_they_are_imported(bench, install):
    install("whole/part.py", "")
    env = install("whole/__init__.py", "")
    source = """\
        import sys
        print([name for name in ("whole", "whole.part") if name in sys.modules])
        import whole
        print(hasattr(whole, "part"))
        import whole.part
        print(hasattr(whole, "part"), whole.part.__spec__.name, type(whole.__spec__.loader).__name__)
    """
    printed, warm = outputs(bench, bench.write(source), env)
    assert printed == ["[]\nFalse\nTrue whole.part SourceFileLoader"] * 4 and warm == 4


def test_what_a_compiled_module_imports_comes_with_who_loads_it_and_with_nobody_else(bench, install):
    """Python seems to import it from `importlib._bootstrap`, which many modules import."""
    env = install("alone.py", "import importlib._bootstrap\n")
    program = bench.write("""
        import sys
        import alone
        print("xml.etree.ElementPath" in sys.modules)
        import _elementtree
        print("xml.etree.ElementPath" in sys.modules)
    """)
    assert outputs(bench, program, env) == (["False\nTrue"] * 4, 4)


def test_unseeded_generators_made_at_import_differ_from_run_to_run(bench, install):
    env = install("rng.py", "import random\nRNG = random.Random()\nFIXED = random.Random(3)\n")
    source = "import random, rng; print(random.random(), rng.RNG.random(), rng.FIXED.random())"
    printed, _ = outputs(bench, bench.write(source), env)
    columns = list(zip(*(line.split() for line in printed), strict=True))
    assert [len(set(column)) for column in columns] == [4, 4, 1]


def test_a_package_that_is_installed_anew_between_two_runs_is_the_new_one(bench, install):
    env = install("library/__init__.py", "VERSION = 1\n")
    program = bench.write("import library; print(library.VERSION)")
    assert bench.run(program, env=env)[2] == "1\n"
    install("library/__init__.py", "VERSION = 2222\n")
    install("library-2.dist-info", "as an installer leaves beside it")
    started, _, out = bench.run(program, env=env)
    assert started.warm and out == "2222\n"


def test_asking_whether_a_module_is_there_imports_nothing(bench, install):
    install("space/inner/part.py", "")
    env = install("space/inner/__init__.py", "from space.inner import part\nNAME = 'inner'\n")
    source = """\
        import importlib.util, sys
        print(importlib.util.find_spec("space.inner").origin.endswith("inner/__init__.py"))
        print("space.inner" in sys.modules, "space.inner.part" in sys.modules)
        import space.inner
        print(space.inner.NAME, space.inner.part is sys.modules["space.inner.part"])
    """
    assert outputs(bench, bench.write(source), env) == (["True\nFalse False\ninner True"] * 4, 4)


def test_modules_that_an_import_puts_there_itself_come_with_it(bench, install):
    env = install(
        "native.py",  # as a C extension does: `native.part` is imported, and `native` is no package
        "import sys, types\nsys.modules['native.part'] = part = types.ModuleType('native.part')\npart.VALUE = 7\n",
    )
    source = "import sys; print('native.part' in sys.modules)\nimport native\nimport native.part as p; print(p.VALUE)"
    assert outputs(bench, bench.write(source), env) == (["False\n7"] * 4, 4)


def test_what_was_worked_out_for_imports_stays_from_fork_to_fork(bench, install):
    env = install("library.py", "")
    source = "import sys; print('library' in sys.meta_path[0]._groups); import library"
    assert outputs(bench, bench.write(source), env) == (["True"] * 4, 4)


@pytest.fixture
def two_servers(bench, install):
    """Return what runs on: an attempt of a server that was replaced, and one of the server that came after it."""
    env = install("library/__init__.py", "")
    program = bench.write("import library, time; print('on', flush=True); time.sleep(600)")
    _, older, log = bench.submit(program, env=env)
    assert bench.next_of(older).warm
    wait_until(lambda: "on" in log.read_text(), "the first attempt to run")
    replaced = bench.launcher._server.process
    install("library-2.dist-info", "as an installer leaves beside it")
    attempt, newer, _ = bench.submit(program, env=env)
    assert bench.next_of(newer).warm and bench.launcher._server.process is not replaced
    return replaced, older, attempt, newer


def test_a_replaced_server_that_is_killed_takes_its_own_attempts_along_and_no_others(bench, two_servers):
    replaced, older, attempt, _ = two_servers
    replaced.kill()
    assert bench.next_of(older).status is None
    assert bench.launcher.signal(attempt, 0)  # it still runs


def test_the_attempts_of_a_replaced_server_outlive_the_next_ones_death(bench, two_servers):
    replaced, older, _, newer = two_servers
    bench.launcher._server.process.kill()
    assert bench.next_of(newer).status is None
    assert replaced.poll() is None and older.empty()


def test_a_later_import_may_make_a_temporary_folder_when_the_first_runs_is_gone(bench, install):
    install("early.py", "import tempfile\nFOLDER = tempfile.TemporaryDirectory()\n")
    env = install("later.py", "import tempfile\nFOLDER = tempfile.TemporaryDirectory()\n")
    source = """\
        import importlib, sys, early
        print("later" in sys.meta_path[0].modules)
        importlib.import_module("la" + "ter")
    """
    program, ready = bench.write(source), []
    for number in range(2):
        folder = bench.folder / f"temporary{number}"  # each run has one of its own, which ends with it
        folder.mkdir()
        _, exited, out = bench.run(program, env={**env, "TMPDIR": str(folder)})
        folder.rename(bench.folder / f"gone{number}")  # at once: the server may just be importing
        assert exited.status == 0
        ready.append(out)
    assert ready == ["False\n", "True\n"]


def test_what_a_program_wrote_before_an_import_that_does_not_hold_is_written_once(bench, install):
    env = install("home.py", "import os\nHOME = os.environ.get('MY_HOME')\n")
    program = bench.write(
        "import os, sys\n"
        "with open('lines.txt', 'a') as file:\n    file.write('begun\\n')\n"
        "os.environ['MY_HOME'] = os.path.join('/', 'data')\n"
        "import home; print(home.HOME)"
    )
    printed, warm = outputs(bench, program, env)
    assert printed == ["/data"] * 4 and warm >= 2
    assert (bench.folder / "lines.txt").read_text() == "begun\n" * 4


def test_a_variable_that_differs_from_run_to_run_is_not_taken_for_fixed(bench, install):
    env = install("home.py", "import os\nHOME = os.environ.get('MY_HOME')\n")
    program = bench.write(
        "import os, sys\n"
        "with open('lines.txt', 'a') as file:\n    file.write('begun\\n')\n"
        "os.environ['MY_HOME'] = sys.argv[1]\n"
        "import home; print(home.HOME)"
    )
    printed, warm = outputs(bench, program, env)
    assert printed == [f"--lr={number}" for number in range(4)] and warm >= 2
    assert (bench.folder / "lines.txt").read_text() == "begun\n" * 4


def test_a_folder_that_a_program_makes_before_such_an_import_is_made_once(bench, install):
    env = install("home.py", "import os\nHOME = os.environ.get('MY_HOME')\n")
    program = bench.write(
        "import os, sys\nos.mkdir('run' + sys.argv[1])\n"
        "os.environ['MY_HOME'] = sys.argv[1]\nimport home; print(home.HOME)"
    )
    printed, warm = outputs(bench, program, env)
    assert printed == [f"--lr={number}" for number in range(4)] and warm >= 2


def test_a_package_that_leaves_a_thread_is_left_to_the_runs_and_the_others_are_not(bench, install):
    install("ready.py", "print('imported')\n")
    env = install(
        "busy.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    program = bench.write("import ready, busy, threading\nprint(threading.active_count())")
    printed, warm = outputs(bench, program, env)
    assert printed == ["imported\n2"] * 4 and warm == 4


@pytest.fixture
def teach(bench):
    """Return a function that submits a program that teaches, waits for something, and lets it end; its output comes."""

    def run(source, env, until, what):
        head = "import os, sys\nos.environ['MY_HOME'] = '/da' + 'ta'\n"
        tail = "\nimport pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n    asks()\n"
        program = bench.write(head + "asks = lambda: None\n" + textwrap.dedent(source) + tail)
        _, queue, log = bench.submit(program, env=env)
        assert not bench.next_of(queue).warm
        wait_until(lambda: until(bench), what)
        assert queue.empty()  # it still runs
        (bench.folder / "go").touch()
        assert bench.next_of(queue).status == 0
        return program, log.read_text(encoding="utf-8")

    return run


def warm_ups(bench):
    return [note for note in bench.launcher.notes if note.startswith("warm after")]


def test_the_imports_are_made_beside_the_first_run_that_teaches(bench, install, teach):
    env = install("library.py", "")
    program, _ = teach("import library", env, warm_ups, "the next server to be warm")
    started, _, out = bench.run(program, env=env)
    assert started.warm and out == ""
    assert len(warm_ups(bench)) == 1


def test_what_the_first_run_teaches_is_learned_while_it_runs(bench, install, teach):
    install("library.py", "")
    env = install("home.py", "import os\nHOME = os.environ.get('MY_HOME')\n")
    program, first = teach(
        "import home; print(home.HOME); import library",
        env,
        lambda bench: len(warm_ups(bench)) == 2,
        "a server that imports with the variable",
    )
    started, _, out = bench.run(program, env=env)
    assert started.warm and first == out == "/data\n"


def test_what_the_first_run_loads_without_an_import_statement_is_imported_while_it_runs(bench, install, teach):
    env = install("later.py", "print('later is imported')\n")
    source = """\
        import importlib, importlib.util
        importlib.import_module("la" + "ter")
        asks = lambda: importlib.util.find_spec("no_such_module")
    """

    def imported(bench):
        return "later is imported" in (bench.folder / "forkserver.log").read_text(encoding="utf-8")

    program, first = teach(source, env, imported, "the next server to import it")
    started, _, out = bench.run(program, env=env)
    assert started.warm and first == out == "later is imported\n"


def test_a_server_that_is_killed_while_it_imports_beside_the_first_run_is_made_anew(bench, install, teach):
    env = install("library.py", "")

    killed = []

    def kill(bench):
        if not killed and bench.launcher._beside is not None:
            killed.append(bench.launcher._beside.process)
            killed[0].kill()
        return killed and bench.launcher._beside is None

    program, _ = teach("import library", env, kill, "the next server to be killed")
    started, _, out = bench.run(program, env=env)
    assert started.warm and out == ""


def test_a_package_that_sets_a_context_variable_of_its_own_is_shared(bench, install):
    env = install("library.py", "import contextvars\nSEEN = contextvars.ContextVar('seen')\nSEEN.set(1)\n")
    program = bench.write("import sys; print('library' in sys.meta_path[0].modules); import library")
    assert outputs(bench, program, env, runs=2) == (["True"] * 2, 2)
