"""Run a command in which a socket that could leave the machine ends the process that opens it, with SIGSYS.

    python no_network.py COMMAND…

A seccomp filter, which every descendant inherits and none can take off, so that it holds for programs in any language:
socket() is allowed for AF_UNIX (how a process talks to its own service, W&B's client to its wandb-core) and AF_NETLINK
(how a process asks the kernel for the machine's interfaces); both end at this kernel. Everything else kills, loopback
included. What the kernel refuses nobody can swallow, as a raised exception could be.
"""

import ctypes
import os
import platform
import runpy
import socket
import struct
import sys

_SYSCALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # AUDIT_ARCH_…, socket()
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _filter():
    """Return the BPF program: offsets 0, 4 and 16 are the call's number, the architecture, the first argument."""
    architecture, number = _SYSCALLS[platform.machine()]
    steps = [
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 0, 6, architecture),
        (_LOAD, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, 16),
        (_JUMP_IF_EQUAL, 2, 0, socket.AF_UNIX),
        (_JUMP_IF_EQUAL, 1, 0, socket.AF_NETLINK),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def forbid():
    """Put the filter on this process and all that it starts from now on. Raises OSError where the kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    text = _filter()
    program = _Program(len(text) // 8, text)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run_here(argv):
    """Run a script of this interpreter in this process, as `python script` would."""
    sys.argv = argv
    sys.path[0] = os.path.dirname(os.path.abspath(argv[0]))
    runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    forbid()
    # Where it was forked off a process that has made a runner's imports (support/warm.py) it goes on in that.
    if "sweepkit" in sys.modules and sys.argv[1] == sys.executable and sys.argv[2].endswith(".py"):
        run_here(sys.argv[2:])
    else:
        os.execvp(sys.argv[1], sys.argv[1:])
