"""What is imported before a fork, read from real files."""

import ast
import subprocess
import sys

import pytest

from sweepkit.agents.warm import preload
from sweepkit.agents.warm.known import imported_later
from sweepkit.agents.warm.preload import is_local, is_to_teach, modules_of_program


@pytest.fixture
def scan(tmp_path):
    """Write files, then return what is found for main.py (or for the module of that name)."""

    def run(module=None, **files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/').replace('/init', '/__init__')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        script = None if module else str(tmp_path / "main.py")
        return modules_of_program(script, module, [*sys.path])

    return run


def test_imports_are_found_wherever_they_stand_each_once_in_order(scan):
    text = (
        "import json, xml.dom\nfrom csv import reader\nimport json\n"
        "def f():\n    import wave\n    class C:\n        try:\n            import tarfile\n"
        "        except ImportError:\n            import not_there_at_all\n"
        "if True:\n    with open('x') as y:\n        from email import *\n"
    )
    assert scan(main=text) == ["json", "xml.dom", "csv:reader", "wave", "tarfile", "email"]


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING and x"])
def test_what_only_type_checkers_import_is_left_out(scan, test):
    assert scan(main=f"if {test}:\n    import wave\nimport csv\n") == ["csv"]


def test_local_neighbours_are_followed_and_never_preloaded(scan):
    found = scan(
        main="import helper\nfrom pack import part\nfrom pack.deep import thing\n",
        helper="import wave\nimport main\n",  # a cycle
        pack__init="import csv\n",
        pack__part="from . import sibling\nfrom .deep import thing\n",
        pack__sibling="import tarfile\n",
        pack__deep="from ..pack import sibling\nimport zipfile\nthing = 1\n",
    )
    assert sorted(found) == ["csv", "tarfile", "wave", "zipfile"]


@pytest.mark.parametrize("names", [["wandb"], ["csv", "wandb:init", "wandb.sdk:Settings"]])
def test_what_wandb_imports_in_its_first_call_is_imported_with_it_once(names):
    assert imported_later(names) == ["wandb.sdk.launch"]
    assert imported_later(["wandbox", "csv:wandb"]) == []


def test_nothing_runs_while_it_is_read(scan, tmp_path):
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    assert scan(main=f"{trap}import helper\n", helper=f"{trap}import csv\n") == ["csv"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ["def (:", "\0", "import sys, builtins\n", "from __future__ import annotations\n", ""])
def test_a_program_that_tells_nothing_has_nothing_to_preload(scan, text):
    assert scan(main=text) == []


def test_a_program_that_is_no_python_file(tmp_path):
    assert modules_of_program(str(tmp_path / "none.py"), None, []) == []
    (tmp_path / "run.sh").write_text("import json\n")
    assert modules_of_program(str(tmp_path / "run.sh"), None, []) == []
    assert modules_of_program(None, None, []) == []


def test_a_module_is_scanned_like_its_file(scan, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert scan(module="a_program_of_this_test", a_program_of_this_test="import wave\n") == ["wave"]


def test_files_of_python_and_of_packages_are_not_local(tmp_path):
    import json

    assert not is_local(json.__file__) and not is_local(pytest.__file__)
    assert is_local(str(tmp_path / "mine.py"))
    assert is_local(preload.__file__) and not is_local(preload.__file__, besides_sweepkit=True)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "teaches"), [("trainer.py", False), ("mine.py", True)])
def test_our_own_trainer_need_not_teach_and_a_program_around_it_that_changes_the_environment_does(
    tmp_path, script, teaches
):
    from sweepkit.paths import CODE_DIR

    mine = tmp_path / "mine.py"
    mine.write_text("def main():\n    os.environ['A'] = name()\n    import torch, sweepkit.cli.trainer\n")
    trees = []
    path = mine if teaches else CODE_DIR / script
    assert is_to_teach(trees, modules_of_program(str(path), None, [str(CODE_DIR), *sys.path], trees)) is teaches


CHANGES = """\
os.environ.update(A="1")
sys.path.insert(0, "x")
os.environ.pop("A")
sys.modules.pop("a")
os.environ["A"] = f()
del os.environ["A"]
environment = os.environ
os.environ.setdefault("A", "b")
import os as o; o.environ["A"] = "x"
import sys as s; s.path.append("x")
from os import environ as e; e["A"] = "b"
from sys import modules; modules.pop("a")
getattr(os, "environ")["A"] = "b"
sys.path += ["a"]
os.environ |= {"a": "b"}
f(os.environ)
with contextlib.chdir("x"): pass
load_dotenv()
"""
READS = """\
x = os.environ.get("A")
p = os.path.join(a)
subprocess.run(a, env=os.environ)
subprocess.run(a, env=os.environ.copy())
env = {**os.environ, **dict(os.environ, A="1")}
print(os.environ["A"], "A" in os.environ, [k for k in sys.modules])
this = sys.modules[__name__]
model.modules()
from os import path
getattr(sys, "frozen", False)
from os import environ; environ.get("x")
"""


@pytest.mark.parametrize(
    ("line", "teaches"),
    [*((line, True) for line in CHANGES.splitlines()), *((line, False) for line in READS.splitlines())],
)
def test_a_program_teaches_that_may_change_what_its_imports_rely_on(line, teaches):
    assert is_to_teach([ast.parse(f"f()\n{line}\nimport torch\n")], ["torch"]) is teaches


@pytest.mark.parametrize(
    "head",
    [
        "import sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))\nimport torch\nf()\n",
        "ROOT = Path(__file__).resolve().parent\nsys.path.append(str(ROOT))\nimport torch\nf()\n",
        "os.environ['B'] = 'c'\nimport torch\nf()\n",
    ],
)
def test_what_a_program_changes_at_its_head_comes_before_all_else_but_in_another_file_it_may_not(head):
    assert not is_to_teach([ast.parse(head)], ["torch"])
    assert is_to_teach([ast.parse("f()\nimport part\n"), ast.parse(head)], ["torch"])


def test_every_name_found_in_our_trainer_can_be_imported():
    from sweepkit.paths import CODE_DIR

    names = modules_of_program(str(CODE_DIR / "trainer.py"), None, [str(CODE_DIR), *sys.path])
    assert "sweepkit.cli.trainer" in names and any(name.startswith("torch") for name in names)
    probe = (
        "import importlib.util, sys\n"
        "heads = {name.partition(':')[0].partition('.')[0] for name in sys.argv[1:]}\n"
        "print(sorted(head for head in heads if importlib.util.find_spec(head) is None))"
    )
    done = subprocess.run([sys.executable, "-c", probe, *names], cwd=CODE_DIR, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
