"""What to type next: the command `sweepkit` to who calls that, a script of the checkout to who calls those.

Every line that tells a command is made here, so that it works when it is pasted where it was printed.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from sweepkit.paths import INSTALLED, ROOT_DIR

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
    ours = caller.name == "sweepkit" or caller.parts[-2:] == ("sweepkit", "__main__.py")
    arguments = [_quoted(str(word)) for word in words]
    if INSTALLED or ours or command not in _SCRIPTS:
        return " ".join(["sweepkit", command, *arguments])
    script, *option = _SCRIPTS[command]
    file = str(ROOT_DIR / script)
    return " ".join(["python", _quoted(min(file, os.path.relpath(file), key=len)), *option, *arguments])


def _quoted(word: str) -> str:
    """Return a word as a shell takes it; letters of any script need no quotes."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
