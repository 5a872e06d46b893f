"""What the first run of a program shows: in which circumstances it imports what.

A program that changes its environment, `sys.path`, its working directory or `sys.modules` before it imports could be
forked with modules that were imported in other circumstances. The fork would notice and begin again as a fresh process;
but by then it may have written a line, which it would write twice. So the first run of such a program is forked from a
server that has imported nothing: it is a fresh process in all but name, and says in which circumstances it asks for
its modules. Meanwhile another fork server imports beside it, compares, and leaves to the runs what does not hold; it
takes over when the first run has ended.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

_NAMES_AT_ONCE = 40  # of modules in a message: a pipe takes 4096 bytes in one piece

# Audit events of what a process must not do twice, beside writing files.
_ACTS = (
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.kill", "os.fork"),
    *("os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen", "shutil.", "socket.connect"),
)


class Circumstances(NamedTuple):
    """In which circumstances a process imports.

    Attributes:
        env: The whole environment.
        cwd: The working directory, "" when it is gone.
        path: `sys.path`.
        loaded: Modules that are there, by name; they may be stand-ins of the program's.
        main: The namespace of `__main__`.
    """

    env: dict[str, str]
    cwd: str
    path: list[str]
    loaded: dict[str, Any]
    main: dict[str, Any]


def here() -> Circumstances:
    """Return the circumstances of this process."""
    main = getattr(sys.modules.get("__main__"), "__dict__", {})
    return Circumstances(dict(_environment()), _cwd(), sys.path, sys.modules, main)


def _environment() -> Iterator[tuple[str, str]]:
    """Yield the variables of this process: not through `os.environ`, which decodes each when it is asked for."""
    for name, value in list(os.environ._data.items()):  # type: ignore[attr-defined]
        yield os.fsdecode(name), os.fsdecode(value)


def _cwd() -> str:
    with contextlib.suppress(OSError):
        return os.getcwd()
    return ""


class Lesson(NamedTuple):
    """Modules that a run asked for in the same circumstances: a message.

    Attributes:
        modules: Their names.
        env: Variables that were others by then than when the run began, or with which a server imports because the
            program's source sets them somewhere; None: not set.
        cwd: The working directory.
        path: `sys.path`.
        placed: Modules in whose place the run had put something of its own.
        acted: The run may have done something by then that it must not do twice.
    """

    modules: list[str]
    env: dict[str, str | None]
    cwd: str
    path: list[str]
    placed: list[str]
    acted: bool

    def circumstances(self, env: dict[str, str], main: dict[str, Any]) -> Circumstances:
        """Return the circumstances, given the environment in which runs begin, and the namespace of `__main__`."""
        merged = {**env, **self.env}
        whole = {name: value for name, value in merged.items() if value is not None}
        return Circumstances(whole, self.cwd, self.path, dict.fromkeys(self.placed), main)


class Learner:
    """In a fork that teaches: hears of each module that is asked for, and says in which circumstances.

    Args:
        hand_over: Called with each `Lesson`.
        asked: Variables with which a server imports because the program's source sets them somewhere.
    """

    def __init__(self, hand_over: Callable[[Lesson], object], asked: Iterable[str] = ()) -> None:
        self._hand_over, self._asked = hand_over, tuple(asked)
        self._env = dict(os.environ)
        self._acted = False
        self._once: set[str] = set()
        self._anew: set[str] = set()  # what was asked for more than once: it was taken out of `sys.modules`
        sys.addaudithook(self._hear)
        self._lesson: Lesson | None = None
        self._pid = os.getpid()

    def asked(self, name: str) -> None:
        """Hear that a module is asked for that is not there yet."""
        if "." in name or os.getpid() != self._pid:
            return
        (self._anew if name in self._once else self._once).add(name)
        lesson = self._now()
        last = self._lesson
        if last is None or last[1:] != lesson[1:] or len(last.modules) >= _NAMES_AT_ONCE:
            if last is not None:
                self.say()
            self._lesson = lesson
            lesson.modules.append(name)
            self._hand_over(lesson)  # at once: the run may be killed, and who imports beside it wants to know
        elif name not in last.modules:
            last.modules.append(name)
            if lesson.acted:  # who has acted cannot begin again: this is needed though the run ends by `os._exit`
                self._hand_over(lesson._replace(modules=[name]))

    def say(self) -> None:
        """Report what was not reported yet; that nothing was asked for, too."""
        if os.getpid() == self._pid:
            self._hand_over(self._lesson or self._now())

    def _now(self) -> Lesson:
        env, began = os.environ, self._env
        changed = {key: env.get(key) for key in {*env, *began} if env.get(key) != began.get(key)}
        changed.update((key, env.get(key)) for key in self._asked)
        tops = [(name, module) for name, module in list(sys.modules.items()) if "." not in name]
        placed = [name for name, module in tops if name in self._anew or is_placed(name, module)]
        return Lesson([], changed, _cwd(), list(sys.path), sorted(placed), self._acted)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear what this process does (`sys.addaudithook`)."""
        if self._acted:
            return
        if event == "open":
            path, _, flags = arguments
            if flags & os.O_ACCMODE and not str(path).endswith(".pyc") and not str(path).startswith("/proc/"):
                self._act()
        elif event.startswith(_ACTS):
            self._act()

    def _act(self) -> None:
        """Say what was asked for before the first act: from here on its end may be one at which nothing is said."""
        self._acted = True
        if self._lesson is not None:
            with contextlib.suppress(Exception):  # in a hook, where it would be the program's
                self.say()


def is_placed(name: str, module: Any) -> bool:
    """Return whether a module got its place in `sys.modules` otherwise than by an import of that name."""
    spec = getattr(module, "__spec__", None)
    return name not in ("__main__", "__mp_main__") and (spec is None or getattr(spec, "name", None) != name)
