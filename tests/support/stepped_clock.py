"""A wall clock that can be set, for the processes of one sweep: the machine's own stays as it is.

    clock = SteppedClock.make(folder)       # None where there is no C compiler
    env |= clock.environment
    clock.set(3600.0)                       # an hour ahead, in every process that was started so, at once

A library that is loaded before the C library (LD_PRELOAD) adds an offset to the real-time clock, as Python and SQLite
ask for it; the monotonic clock, file times and the kernel's own waiting stay, as they do when a clock is set.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;  /* nanoseconds, in a file that all processes share */

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("STEPPED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *shared = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) offset = shared;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (failed || !offset || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + *offset;
    at->tv_sec = ns / 1000000000;
    at->tv_nsec = ns % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (!at || clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class SteppedClock:
    """The clock of the processes that have `environment`. Made by `make`."""

    def __init__(self, library: Path, offset: Path) -> None:
        self._offset = offset
        self.environment = {"LD_PRELOAD": os.fspath(library), "STEPPED_CLOCK": os.fspath(offset)}
        self.set(0.0)

    @classmethod
    def make(cls, folder: Path) -> "SteppedClock | None":
        """Compile the library into a folder; None where that cannot be done."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        library = folder / "stepped_clock.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", os.fspath(library)]
        done = subprocess.run(command, input=_SOURCE, text=True, capture_output=True)
        return cls(library, folder / "clock_offset") if done.returncode == 0 else None

    def set(self, offset_s: float) -> None:
        """Let it be so many seconds ahead of the machine's."""
        data = struct.pack("=q", int(offset_s * 1e9))
        if not self._offset.exists():
            self._offset.write_bytes(data)
            return
        with self._offset.open("r+b", buffering=0) as file:  # in place: it is mapped
            file.write(data)
