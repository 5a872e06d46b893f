"""Which commands can be forked, by every name that the interpreter of this environment has, and why others cannot."""

import os
import shutil
import subprocess
import sys
import venv

import pytest

from sweepkit.agents.warm_command import command_start, is_this_python

SCRIPT = "import sys\nprint(sys.argv)\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with programs; `start(argv)` reads a command there, PATH being our environment's and a folder tools."""
    bin_folder = os.path.dirname(sys.executable)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "train").write_text(SCRIPT)

    def script(name, shebang, mode=0o755, body=SCRIPT):
        (tmp_path / name).write_text(f"{shebang}\n{body}")
        (tmp_path / name).chmod(mode)

    def start(*argv, path=f"{bin_folder}:{tools}:/usr/bin:/bin"):
        names = {"PY": sys.executable, "BIN": bin_folder}
        argv = tuple(names.get(word, word.replace("BIN/", f"{bin_folder}/")) for word in argv)
        return command_start(argv, env={"PATH": path}, cwd=str(tmp_path))

    start.script, start.folder, start.tools = script, tmp_path, tools
    return start


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("/usr/bin/env", "PY", "train.py", "--a=1"), ("train.py", None, ("--a=1",))),
        (("env", "PY", "train.py"), ("train.py", None, ())),
        (("PY", "-u", "train.py", "-u"), ("train.py", None, ("-u",))),
        (("PY", "train"), ("train", None, ())),
        (("PY", "./train.py"), ("./train.py", None, ())),
        (("PY", "-m", "tool", "x"), (None, "tool", ("x",))),
        (("PY", "-u", "-m", "tool"), (None, "tool", ())),
        (("python", "train.py"), ("train.py", None, ())),
        (("/usr/bin/env", "python", "train.py"), ("train.py", None, ())),
        (("BIN/python", "train.py"), ("train.py", None, ())),
        (("/usr/bin/env", "WANDB_MODE=offline", "CUDA_VISIBLE_DEVICES=0", "PY", "train.py"), ("train.py", None, ())),
    ],
)
def test_every_name_of_this_interpreter_can_be_forked(place, argv, expected):
    start = place(*argv)
    assert (start.fresh, start.missing) == ("", "")
    assert (start.warm.script, start.warm.module, start.warm.args) == expected


@pytest.mark.parametrize(
    "shebang",
    [
        "#!/usr/bin/env python",
        "#! /usr/bin/env python",
        "#!/usr/bin/env -S python -u",
        f"#!{sys.executable}",
        f"#!{sys.executable} -u",
        f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''",
        f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''",
    ],
)
def test_a_script_whose_first_line_names_this_interpreter_can_be_forked(place, shebang):
    place.script("run.me", shebang)
    for argv in (("./run.me", "a"), (str(place.folder / "run.me"), "a"), ("/usr/bin/env", "./run.me", "a")):
        start = place(*argv)
        assert (start.fresh, start.missing) == ("", "")
        assert (start.warm.script, start.warm.args) == (argv[-2], ("a",))
        if "env -S" not in shebang:
            printed = subprocess.run(argv, cwd=place.folder, capture_output=True, text=True, check=True).stdout
            assert printed == f"{[start.warm.script, 'a']}\n"


def test_launchers_that_are_scripts_of_this_environment_can_be_forked(place):
    # As torchrun, accelerate and deepspeed are; by a name that no environment has on its PATH.
    place.script("tools/launch_like_torchrun", f"#!{sys.executable}")
    start = place("/usr/bin/env", "launch_like_torchrun", "--nproc_per_node=2", "train.py")
    assert start.warm.script == str(place.tools / "launch_like_torchrun")
    assert start.warm.args == ("--nproc_per_node=2", "train.py")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (("PY", "-O", "train.py"), "-O"),
        (("PY", "-X", "utf8", "train.py"), "-X"),
        (("PY", "-c", "pass"), "-c"),
        (("PY", "."), "folder"),
        (("PY", "-"), "-"),
        (("bash", "-c", "true"), "bash"),
        (("/usr/bin/env", "-i", "PY", "train.py"), "-i"),
        (("nice", "PY", "train.py"), "nice"),
    ],
)
def test_what_a_fork_cannot_honour_is_named(place, argv, word):
    start = place(*argv)
    assert start.warm is None and start.missing == "" and word in start.fresh


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ((), "no program"),
        (("/usr/bin/env",), "no program"),
        (("PY",), "no program"),
        (("PY", "missing.py"), "missing.py"),
        (("PY", "--lr=0.1"), "--lr"),
        (("torchrun-of-nobody",), "PATH"),
        (("train.py",), "./train.py"),
        (("./train.py",), "chmod"),
        (("./none",), "no file"),
    ],
)
def test_what_this_host_cannot_start_is_named(place, argv, word):
    start = place(*argv)
    assert start.warm is None and word in (start.missing or start.fresh)


def test_a_program_of_the_environment_that_is_not_on_path_is_pointed_to(place):
    name = os.path.basename(sys.executable)
    start = place(name, "train.py", path="/nowhere")
    assert start.warm is None and sys.executable in start.missing


def test_a_shell_script_given_to_python_is_noticed(place):
    place.script("run.sh", "#!/bin/bash", body="echo\n")
    start = place("PY", "run.sh")
    assert start.warm is None and "/bin/bash" in start.missing


def test_a_script_of_another_interpreter_or_of_none_is_executed(place):
    place.script("other.py", f"#!{place.folder}/none/python")
    assert "none/python" in place("./other.py").missing
    place.script("run.sh", "#!/bin/bash")
    assert place("./run.sh").missing == "" and "run.sh" in place("./run.sh").fresh


def test_another_environment_of_the_same_python_is_another_interpreter(place):
    venv.create(place.folder / "venv", symlinks=True, with_pip=False)
    other = place.folder / "venv" / "bin" / "python"
    assert not is_this_python(str(other)) and is_this_python(sys.executable)
    place.script("run.me", f"#!{other}")
    for start in (
        place(str(other), "train.py"),
        place("./run.me"),
        place("python", "train.py", path=str(other.parent)),
    ):
        assert start.warm.python == str(other) and start.fresh == ""


def test_what_is_only_called_python_is_executed_and_it_is_said(place):
    (place.folder / "bin").mkdir()
    place.script("bin/python2.7", "#!/bin/sh", body="exit 1\n")
    start = place("./bin/python2.7", "train.py")
    assert start.warm is None and "bin/python2.7" in start.fresh


def test_another_name_in_the_same_folder_is_the_same_interpreter(tmp_path):
    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    folder = tmp_path / "venv" / "bin"
    shutil.copy(os.path.realpath(sys.executable), folder / "odd")
    code = (
        "import sys; from sweepkit.agents.warm_command import is_this_python as t; print([t(a) for a in sys.argv[1:]])"
    )
    asked = [folder / "python", folder / "python3", folder / "odd", sys.executable]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    said = subprocess.run([folder / "python3", "-c", code, *asked], env=env, capture_output=True, text=True, check=True)
    assert said.stdout == "[True, True, False, False]\n"
