"""Functions of the standard library that change what all modules of a process share, and what a fork makes of them.

What a package changes by them at its import, a program must not find changed before it imports that package.
"""

from __future__ import annotations

import contextvars
import faulthandler
import sys
from collections.abc import Callable
from typing import Any

assert faulthandler  # loaded with us: it is built in, and nobody would see it being loaded later

# Registrations: not made in the server, made in the fork that imports the package. By the module that has the function.
REGISTRATIONS: dict[str, tuple[str, ...]] = {
    "copyreg": ("pickle",),
    "csv": ("field_size_limit", "register_dialect", "unregister_dialect"),
    "faulthandler": ("enable", "disable"),
    "mimetypes": ("add_type",),
    "socket": ("setdefaulttimeout",),
    "sqlite3.dbapi2": ("register_adapter", "register_converter"),
    "xml.etree.ElementTree": ("register_namespace",),
}
# What cannot be put off, since the package counts on it at once: it is left to the runs.
EFFECTS: dict[str, tuple[str, ...]] = {
    "asyncio.events": ("set_event_loop_policy",),
    "codecs": ("register", "register_error"),
    "decimal": ("setcontext",),
    "faulthandler": ("register", "dump_traceback_later"),
    "locale": ("setlocale",),
    "os": ("nice", "sched_setaffinity", "sched_setscheduler", "setpriority", "setpgid", "setsid"),
    "resource": ("setrlimit",),
    "signal": ("alarm", "pthread_sigmask", "set_wakeup_fd", "setitimer", "siginterrupt"),
    "sys": ("addaudithook", "set_asyncgen_hooks", "set_coroutine_origin_tracking_depth", "set_int_max_str_digits"),
    "threading": ("setprofile", "settrace", "stack_size"),
}


def only_asks(name: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether a call of such a function changes nothing that others share."""
    if name == "setlocale":
        return len(arguments) < 2 or arguments[1] is None
    if name == "field_size_limit":
        return not arguments
    if name == "pickle":  # how instances of a class of the package's own are pickled
        module = getattr(arguments[0], "__module__", "") if arguments else ""
        return module.partition(".")[0] not in getattr(sys, "stdlib_module_names", ("builtins",))
    return False


def again(module: str, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Callable[[], None]:
    """Return what calls a function in a fork, as it is there by then."""

    def act() -> None:
        getattr(sys.modules[module], name)(*arguments, **named)

    return act


def decimal_state() -> tuple[Any, ...]:
    """Return decimal's context; what else is in the context, packages that set it alone know."""
    for variable, value in contextvars.copy_context().items():
        if variable.name == "decimal_context" and _settings(value) != _default():
            return _settings(value)
    return ("default",)  # not asked for, which would make it: a program may change the default before


def _settings(context: Any) -> tuple[Any, ...]:
    kept = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    return (*(getattr(context, name) for name in kept), tuple(context.traps.values()))


def _default() -> tuple[Any, ...]:
    return _settings(sys.modules["decimal"].DefaultContext)


def torch_state(torch: Any) -> bytes | None:
    """Return the state of torch's random numbers; None while it is not loaded, or not far enough to have tensors."""
    names = getattr(torch, "__dict__", {})
    if "default_generator" not in names or "vmap" not in names:  # one of the last that its body imports
        return None
    return torch.default_generator.get_state().numpy().tobytes()  # type: ignore[no-any-return]
