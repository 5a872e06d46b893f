"""A fork ends as an interpreter does, without tearing down what belongs to all forks.

CPython's own finalization (`Py_FinalizeEx`, `finalize_modules` in Python/pylifecycle.c) joins threads, runs exit
handlers, flushes the streams, and then takes apart every module: so files are flushed, generators closed and `__del__`
called. In a fork of a server that has imported torch that takes 0.4 s of CPU, most of it for modules and C++ objects
that are the server's. Here the same steps are done for the modules that this process loaded itself.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the standard library has no stub of it
import atexit
import builtins
import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import threading
import types
import weakref
from collections.abc import Callable, Collection, Iterator
from typing import Any, NoReturn

# What `builtins` holds at an interpreter's end: what it began with, before `io` and `site` added these.
_BUILTINS: dict[str, Any] = {}
_ADDED = ("open", "copyright", "credits", "exit", "help", "license", "quit")
# What of `sys` is None by then.
_SYS: tuple[str, ...] = ("path", "argv", "ps1", "ps2", "last_type", "last_value", "last_traceback")
_SYS += ("path_hooks", "path_importer_cache", "meta_path", "__interactivehook__")
_SYS += ("last_exc",) if sys.version_info >= (3, 12) else ()
# Where CPython says that something is that no line of Python does: file and line.
_NOBODY = ("<sys>", 0) if sys.version_info >= (3, 13) else ("sys", 1)
# Compiled in the server: the compiler would touch as much memory in each fork as a short program does.
_ANY_CALL: types.CodeType = (
    compile("lambda function, *arguments: function(*arguments)", _NOBODY[0], "eval")
    .co_consts[0]
    .replace(co_firstlineno=_NOBODY[1])
)
_fflush = ctypes.CDLL(None).fflush
# What all files are, in C: to ask whether a class is one of `io.IOBase` goes through Python, for each object there is.
_FILE: type = io.IOBase.__base__  # type: ignore[assignment]


def leave(
    status: int,
    shared: Collection[int],
    *,
    on_exit: Callable[[], None] = lambda: None,
    ended: Callable[[int], None] = lambda _: None,
    by_signal: int = 0,
) -> NoReturn:
    """End this process: threads, exit handlers, streams, modules, in the interpreter's order.

    Args:
        status: Its exit code; 120 when standard output cannot be flushed.
        shared: `id`s of the modules that stay as they are.
        on_exit: Called when the exit handlers have run.
        ended: Called when nothing is left to do, with the exit code, or minus the signal's number.
        by_signal: End by this signal instead, as an interpreter does by SIGINT when nobody caught KeyboardInterrupt.
    """
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _without_our_frames
    _quietly(threading._shutdown)  # type: ignore[attr-defined]  # joins threads that are no daemons
    _quietly(atexit._run_exitfuncs)
    _quietly(on_exit)
    sys.is_finalizing = lambda: True
    sys.unraisablehook = _of_main_thread(sys.unraisablehook)
    threading.excepthook = lambda _: None  # a daemon thread that still runs: CPython would stop it here
    flushed = _flush_streams()
    _forget_handlers()
    if gc.isenabled():
        _of_nobody()(gc.collect)  # while all modules are there
    _flush_files()  # before cycles are broken up: a text file whose descriptor goes first would lose what it holds
    _take_apart(shared)
    _close_files()
    flushed = flushed and _flush_streams()
    _fflush(None)
    status = status if flushed or status else 120
    with contextlib.suppress(BaseException):
        ended(-by_signal if by_signal else status)
    if by_signal:
        signal.signal(by_signal, signal.SIG_DFL)
        os.kill(os.getpid(), by_signal)
    os._exit(status)


def remember_builtins() -> None:
    """Remember what `builtins` holds before the program's first line, for its end.

    Before the fork, where it can be: a fork would copy the pages of all of them.
    """
    _BUILTINS.clear()
    _BUILTINS.update((name, value) for name, value in vars(builtins).items() if name not in _ADDED)


def _forget_handlers() -> None:
    """Take back the program's signal handlers (`_PySignal_Fini`): what they hold ends with the rest."""
    for number in range(1, signal.NSIG):
        if callable(_signal.getsignal(number)):  # which makes no enumeration's member of each
            with contextlib.suppress(OSError, ValueError):
                _signal.signal(number, _signal.SIG_DFL)


def report(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Say what an uncaught exception says: by the program's hook, and when that fails, in the interpreter's words."""
    try:
        hook = sys.excepthook
    except AttributeError:
        hook = sys.__excepthook__
    try:
        hook(kind, error, trace)
    except BaseException as worse:
        stream = sys.stderr
        with contextlib.suppress(BaseException):
            worse = worse.with_traceback(worse.__traceback__ and worse.__traceback__.tb_next)
            worse.__context__ = None if worse.__context__ is error else worse.__context__
            stream.write("Error in sys.excepthook:\n")
            sys.__excepthook__(type(worse), worse, worse.__traceback__)
            stream.write("\nOriginal exception was:\n")
            sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _without_our_frames(unraisable: sys.UnraisableHookArgs) -> None:
    """Say what cannot be raised without the frames of this module that a fresh process has no counterpart of."""
    trace = unraisable.exc_traceback
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, _NOBODY[0]):
        trace = trace.tb_next
    kind: Any = type(unraisable)  # it has no name
    value = unraisable.exc_value and unraisable.exc_value.with_traceback(trace)
    sys.__unraisablehook__(kind((unraisable.exc_type, value, trace, unraisable.err_msg, unraisable.object)))


def _of_main_thread(hook: Callable[[Any], object]) -> Callable[[Any], None]:
    """Return a hook that hears of the main thread alone: CPython would have stopped the others by then."""

    def said(unraisable: Any) -> None:
        if threading.get_ident() == main:
            hook(unraisable)

    main = threading.get_ident()
    return said


def exit_status(code: object) -> int:
    """Return the exit code for what `SystemExit` carries; print it when it is neither None nor a number."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    with contextlib.suppress(BaseException):
        sys.stderr.write(str(code))
    with contextlib.suppress(BaseException):
        sys.stderr.write("\n")
    return 1


def _quietly(step: object) -> None:
    try:
        step()  # type: ignore[operator]
    except BaseException:
        with contextlib.suppress(BaseException):
            sys.excepthook(*sys.exc_info())


def _flush_streams() -> bool:
    """Flush standard output and error; return whether that worked. A closed or missing stream is no failure."""
    well = True
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        if stream is None or getattr(stream, "closed", False):
            continue
        try:
            stream.flush()
        except BaseException as error:
            if name == "stdout":
                well = False
                _unraisable(error, stream)
    return well


def _unraisable(error: BaseException, source: object) -> None:
    """Say what cannot be raised any more, in the interpreter's words."""
    with contextlib.suppress(BaseException):
        print(f"Exception ignored in: {source!r}", file=sys.__stderr__)
        sys.__excepthook__(type(error), error.with_traceback(None), None)


def _of_nobody() -> Callable[..., Any]:
    """Return what calls a function as if no line of Python did: what warns then names `sys`, as at an end."""
    # Not its namespace itself: C asks it for `__builtins__`, to import `warnings` by.
    registry = vars(sys).setdefault("__warningregistry__", {})
    names = {"__name__": "sys", "__builtins__": builtins, "__warningregistry__": registry}
    return types.FunctionType(_ANY_CALL, names)


def _take_apart(shared: Collection[int]) -> None:
    """Clear the modules that this process loaded, last first, when nothing else holds them."""
    call = _of_nobody()
    for name in ("stdin", "stdout", "stderr"):
        call(setattr, sys, name, getattr(sys, f"__{name}__"))
    for name in _SYS:
        call(setattr, sys, name, None)
    modules, names = sys.modules, vars(builtins)
    all_names = dict(names)
    kept = {name: module for name, module in modules.items() if _is_kept(name, module, shared)}
    alive = [weakref.ref(module) for name, module in modules.items() if name not in kept]
    for name in list(modules):
        call(modules.__setitem__, name, None)
    modules.clear()
    names.clear()
    names.update(_BUILTINS)
    call(gc.collect)
    for reference in reversed(alive):
        module = reference()
        if module is not None:
            _clear(module, call)
            del module
    call(gc.collect)
    modules.update(kept)  # what is left to be done here is ours
    names.update(all_names)


def _is_kept(name: str, module: object, shared: Collection[int]) -> bool:
    return id(module) in shared or not isinstance(module, types.ModuleType) or name in ("sys", "builtins")


def _clear(module: types.ModuleType, call: Callable[..., Any]) -> None:
    """Set a module's names to None: those that begin with one underscore first (`_PyModule_ClearDict`)."""
    names = module.__dict__
    for name in list(names):
        if name.startswith("_") and not name.startswith("__"):
            call(names.__setitem__, name, None)
    for name in list(names):
        if name != "__builtins__":
            call(names.__setitem__, name, None)


def _close_files() -> None:
    """Close what is still open for writing: it hangs on a module that all forks share, and an interpreter closes it."""
    for item in _written_files():
        with contextlib.suppress(BaseException):
            item.close()


def _flush_files() -> None:
    for item in _written_files():
        if isinstance(item, (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)):  # a compressed one ends a block
            with contextlib.suppress(BaseException):
                item.flush()


def _written_files() -> Iterator[io.IOBase]:
    """Yield the files that are open for writing, but for the standard streams, text before what is beneath it."""
    # By its type: asked for `__class__`, objects of libraries warn of themselves.
    left = [item for item in gc.get_objects() if issubclass(type(item), _FILE)]
    standard = {sys.__stdin__, sys.__stdout__, sys.__stderr__}
    standard |= {getattr(stream, "buffer", None) for stream in standard}
    standard |= {getattr(stream, "raw", None) for stream in standard}
    for kind in (io.TextIOBase, io.IOBase):
        for item in left:
            if isinstance(item, kind) and not any(item is stream for stream in standard):
                with contextlib.suppress(BaseException):
                    if not item.closed and item.writable():
                        yield item
