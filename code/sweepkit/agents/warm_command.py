"""Which commands can run in a fork of a warm interpreter, and why the others cannot.

A command that starts a Python interpreter on a script or a module can be forked: the interpreter by any of its names, a
script whose first line names it (`./train.py`, and so `torchrun`, `accelerate`, `deepspeed`, which are such scripts).
The interpreter may be another one than ours, of an environment of its own: a fork server needs nothing but its standard
library. Everything else is executed as it stands, and the reason is said.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from sweepkit.paths import python

_PYTHON = re.compile(r"python[0-9.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# What installers write for an interpreter whose path has blanks or is too long for the kernel.
_EXEC_LINE = re.compile(r"'''exec' \"?(?P<python>/[^\"]+?)\"? \"\$0\" \"\$@\"")
_LONGEST_HEAD = 4096  # bytes that are read of a program
_NO_SERVER = "no Python of version 3.9 or later that could be forked"
_CAN_SERVE = "import sys, ctypes, resource; sys.exit(not (sys.version_info >= (3, 9) and sys.platform == 'linux'))"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmProgram:
    """A Python program that can be run in a fork.

    Args:
        script: The script as its interpreter would be given it, or None for a module.
        module: Name for `python -m`, or None.
        args: What follows it on the command line.
        python: The interpreter, absolute; "" for the one that runs us.
        argv: The interpreter's own command line, as `sys.orig_argv` has it.
    """

    script: str | None
    module: str | None
    args: tuple[str, ...]
    python: str = ""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStart:
    """How a command is started.

    Args:
        warm: How to run it in a fork; None for a fresh process.
        env: Variables that the command itself sets for its program, when it can be forked.
        fresh: Why it needs a fresh process, in words; "" when it can be forked.
        missing: What of it this host does not have or cannot execute, in words; "" when nothing is known to be wrong.
        interpreter: The Python that runs it, absolute; "" when it is none, or one that only the command itself knows.
    """

    warm: WarmProgram | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    fresh: str = ""
    missing: str = ""
    interpreter: str = ""


def command_start(argv: Sequence[str], *, env: Mapping[str, str], cwd: str) -> CommandStart:
    """Return how a command is started.

    Args:
        argv: The command; its first word is looked up on PATH.
        env: The environment that it is given; only PATH is read.
        cwd: The folder that it is started in, absolute.
    """
    words, assigned = list(argv), dict[str, str]()
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
        while words and _ASSIGNMENT.match(words[0]):
            name, _, assigned[name] = words.pop(0).partition("=")
        if words and words[0].startswith("-"):
            return CommandStart(fresh=f"env is given {words[0]}, which only a fresh process can honour")
    if not words:
        return CommandStart(fresh="the command starts no program", missing="the command starts no program")
    started = _of_program(words, env, cwd)
    return CommandStart(
        warm=started.warm,
        env=assigned if started.warm is not None else {},
        fresh=started.fresh,
        missing=started.missing,
        interpreter=started.interpreter,
    )


def _of_program(words: list[str], env: Mapping[str, str], cwd: str) -> CommandStart:
    """Return how a command without `env` is started: a Python interpreter, a Python script, or anything else."""
    name = words[0]
    found = _executable(name, env=env, cwd=cwd)
    if found is None:
        said = _why_missing(name, cwd)
        return CommandStart(fresh=said, missing=said)
    if is_this_python(found):
        return replace(_of_python(words, cwd), interpreter=found)
    if _PYTHON.fullmatch(os.path.basename(name)):
        if _can_serve(found):
            return replace(_of_python(words, cwd, found), interpreter=found)
        return CommandStart(fresh=f"{_shown(name, found)} is {_NO_SERVER}", interpreter=found)
    interpreter = _shebang(found)
    if not interpreter or not _PYTHON.fullmatch(os.path.basename(interpreter[0])):
        return CommandStart(fresh=f"{name} is not a Python program")
    reached = _executable(interpreter[0], env=env, cwd=cwd)
    if reached is None:
        said = f"the first line of {found} names {interpreter[0]}, which this host does not have"
        return CommandStart(fresh=said, missing=said)
    if not is_this_python(reached) and not _can_serve(reached):
        return CommandStart(fresh=f"{_shown(name, found)} runs with {reached}, {_NO_SERVER}", interpreter=reached)
    script = name if "/" in name else found
    foreign = "" if is_this_python(reached) else reached
    return replace(_of_python([*interpreter, script, *words[1:]], cwd, foreign), interpreter=reached)


def _of_python(words: list[str], cwd: str, interpreter: str = "") -> CommandStart:
    """Return how the command line of an interpreter is started; "" is the one that runs us."""
    argv, words = tuple(words), words[1:]
    while words and words[0] == "-u":  # a fork is unbuffered anyway
        words = words[1:]
    if not words:
        return CommandStart(fresh="python is given no program", missing="python is given no program")
    first = words[0]
    if first == "-m" and len(words) > 1:
        return CommandStart(
            warm=WarmProgram(script=None, module=words[1], args=tuple(words[2:]), python=interpreter, argv=argv)
        )
    if first.startswith("-"):
        return CommandStart(fresh=f"python is given {first}, which only a fresh process can honour")
    file = os.path.join(cwd, first)
    if not os.path.exists(file):
        said = f"python is given {first}, which is no file"
        return CommandStart(fresh=said, missing=said)
    head = _head(file)
    if head is None or head.startswith(b"PK\x03\x04") or b"\0" in head:
        return CommandStart(fresh=f"{first} is a folder or an archive")
    shell = _shebang(file)
    if shell and not any("python" in word for word in shell) and "python" not in _second_line(head):
        said = f"python is to run {first}, but its first line says that {shell[0]} shall"
        return CommandStart(fresh=said, missing=said)
    return CommandStart(
        warm=WarmProgram(script=first, module=None, args=tuple(words[1:]), python=interpreter, argv=argv)
    )


def _executable(name: str, *, env: Mapping[str, str], cwd: str) -> str | None:
    """Return the absolute path of what a command's first word would execute, None when there is nothing.

    Links are not followed: a virtual environment's interpreter is a link, and its folder says which environment it is.
    """
    if "/" not in name:
        return shutil.which(name, path=env.get("PATH", os.defpath))
    path = os.path.abspath(os.path.join(cwd, name))
    return path if os.path.isfile(path) and os.access(path, os.X_OK) else None


@cache
def _can_serve(path: str) -> bool:
    """Return whether another interpreter than ours can run a fork server: asked of it once, by starting it."""
    try:
        return subprocess.run([path, "-c", _CAN_SERVE], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def is_this_python(path: str) -> bool:
    """Return whether an executable is the interpreter that runs us, in the same environment, by whatever name."""
    return os.path.abspath(path) == os.path.abspath(python()) or _environment(path) == _environment(python())


def _environment(path: str) -> tuple[str, str]:
    """Return what makes an interpreter's environment: its binary, and the virtual environment's folder or ""."""
    folder = Path(os.path.abspath(path)).parent
    homes = [home for home in (folder, folder.parent) if (home / "pyvenv.cfg").is_file()]
    return os.path.realpath(path), os.path.realpath(homes[0]) if homes else ""


def _shebang(file: str) -> list[str]:
    """Return the words that a script's first line puts before its path, without `env`; [] for any other file."""
    head = _head(file)
    if head is None or not head.startswith(b"#!"):
        return []
    first = head.splitlines()[0][2:].decode("utf-8", "replace").strip()
    if first == "/bin/sh" and (trampoline := _EXEC_LINE.match(_second_line(head))):
        return [trampoline["python"]]
    interpreter, _, option = first.partition(" ")  # the kernel hands all that follows over as one argument
    option = option.strip()
    if os.path.basename(interpreter) != "env":
        return [interpreter, *([option] if option else [])]
    return option.removeprefix("-S").split() if option.startswith("-S") else [option]


def _second_line(head: bytes) -> str:
    lines = head.splitlines()
    return lines[1].decode("utf-8", "replace") if len(lines) > 1 else ""


def _head(file: str) -> bytes | None:
    """Return the first bytes of a file, None when it cannot be read as one."""
    try:
        with open(file, "rb") as opened:
            return opened.read(_LONGEST_HEAD)
    except OSError:
        return None


def _shown(name: str, found: str) -> str:
    return name if name == found else f"{name} ({found})"


def _why_missing(name: str, cwd: str) -> str:
    """Return why a command's first word executes nothing."""
    if "/" not in name:
        if os.path.isfile(os.path.join(cwd, name)):
            return f"{name} is not on PATH; write ./{name}, or put ${{interpreter}} before it"
        beside = os.path.join(os.path.dirname(python()), name)
        return f"{name} is not on PATH" + (f"; {beside} is" * os.path.isfile(beside))
    path = os.path.join(cwd, name)
    if os.path.isfile(path):
        return f"{name} is not executable; put ${{interpreter}} before it, or make it so (chmod +x)"
    return f"{name} is no file"
