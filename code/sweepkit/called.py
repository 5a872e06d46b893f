"""What to type next: the command `sweepkit` to who calls that, a script of the checkout to who calls those.

Every line that names a command is made here, so that it works when it is pasted where it was printed.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweepkit.paths import INSTALLED, ROOT_DIR, database, default_output_dir

# The scripts that are doors to the sub-commands, with the option that says so.
_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "run": ("code/sweep_runner.py", "--sweep-config"),
    "resume": ("code/sweep_runner.py", "--resume"),
    "push": ("code/sweep_runner.py", "--push"),
    "confirm": ("code/sweep_runner.py", "--confirm"),
    "agent": ("code/parallel_sweep_runner.py", "--join"),
    "train": ("code/trainer.py",),
    "db": ("code/db.py",),
    "analyze": ("analysis/analyze_sweep.py",),
}


_DOORS = (ROOT_DIR / "code", ROOT_DIR / "analysis")
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def typed(command: str, *words: str | Path, by: str | None = None) -> str:
    """Return a command line.

    Args:
        command: A sub-command's name.
        words: Its arguments.
        by: How this process was called; None takes `sys.argv[0]`.

    >>> typed("confirm", "my sweep", by="/usr/bin/sweepkit")
    "sweepkit confirm 'my sweep'"
    """
    caller = Path(sys.argv[0] if by is None else by)
    arguments = [str(word) for word in words]
    if INSTALLED or _is_sweepkit(caller) or command not in _SCRIPTS:
        return _line([*(_sweepkit(caller) if by is None else ["sweepkit"]), command, *arguments])
    script, *option = _SCRIPTS[command]
    return _line([_python(), _near(str(ROOT_DIR / script)), *option, *arguments])


def again(*more: str, without: Sequence[str] = ()) -> str | None:
    """Return the command line of this process, to be pasted where it was typed.

    Args:
        more: Options that are added where they are not there.
        without: Options without a value that are left out, however they were abbreviated.

    Returns:
        None when nothing of ours was called from a shell (a notebook, a script that imports us), or when the line
        would show a password.
    """
    caller, given = Path(sys.argv[0]), sys.argv[1:]
    if any(_PASSWORD.search(word) for word in given):
        return None
    if _is_sweepkit(caller):
        door = _sweepkit(caller)
    elif caller.suffix == ".py" and caller.absolute().parent.resolve() in _DOORS:
        door = [_interpreter(), _near(sys.argv[0])]
    else:
        return None
    left = [word for word in given if not any(_means(word, option) for option in without)]
    return _line([*door, *left, *(option for option in more if option not in left)])


def continuing() -> str | None:
    """Return the command line that goes on with what this process began: `--fresh` would begin yet another."""
    return again(without=("--fresh", "--retry-failed"))


def place_words(output_dir: Path, storage: str | None = None) -> list[str]:
    """Return the options by which a command finds what is there, [] where it looks by itself."""
    words = []
    if Path(os.path.abspath(output_dir)) != default_output_dir():
        words += ["--output-dir", _near(os.path.abspath(output_dir))]
    if storage and storage != database(None, output_dir) and not _PASSWORD.search(storage):
        words += ["--storage", storage]
    return words


def _is_sweepkit(caller: Path) -> bool:
    return caller.name == "sweepkit" or caller.parts[-2:] == ("sweepkit", "__main__.py")


def _sweepkit(caller: Path) -> list[str]:
    """Return the words that call the command `sweepkit` as this process was called, or as it is found."""
    if caller.name == "__main__.py":
        return [_interpreter(), "-m", "sweepkit"]
    found = shutil.which("sweepkit")
    if caller.name != "sweepkit" or (found is not None and Path(found).resolve() == caller.resolve()):
        return ["sweepkit"]
    return [_near(str(caller))]


def _python() -> str:
    """Return what runs our scripts: `python`, which goes on in the checkout's environment, else this interpreter."""
    return "python" if (ROOT_DIR / ".venv" / "bin" / "python").exists() else _interpreter()


def _interpreter() -> str:
    """Return the interpreter of this process as it was typed."""
    typed_word = sys.orig_argv[0]
    return _near(typed_word if Path(typed_word).name.startswith("python") else sys.executable)


def _near(file: str) -> str:
    """Return the shorter way to a file from here; a bare word, which the shell looks up, stays."""
    return min(file, os.path.relpath(file), key=len) if os.path.isabs(file) else file


def _means(word: str, option: str) -> bool:
    """Return whether a word is an option, whole or abbreviated as argparse takes it."""
    return len(word) > len("--x") and option.startswith(word.replace("_", "-"))


def _line(words: Sequence[str]) -> str:
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Return a word as a shell takes it; letters of any script need no quotes."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
