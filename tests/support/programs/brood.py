"""A run with children of every kind that all journal, until it is over: the judge of what lives beside what.

Appends `<attempt> <who> <pid>` to the file named by JOURNAL, one atomic write each, in the order in which it happened.
The first attempt of a run goes on for ever, or until a file of its parameter `number` is in the folder GATES; a later
one ends after a few lines.
"""

import multiprocessing
import os
import sys
import time

PERIOD_S = 0.02
attempt, journal = os.environ["SWEEPKIT_ATTEMPT_ID"], os.environ["JOURNAL"]
BEAT = """
import os, sys, time
while True:
    with open(sys.argv[1], "ab", buffering=0) as file:
        file.write(f"{sys.argv[2]} {sys.argv[3]} {os.getpid()}\\n".encode())
    time.sleep(float(sys.argv[4]))
"""


def note(who):
    with open(journal, "ab", buffering=0) as file:
        file.write(f"{attempt} {who} {os.getpid()}\n".encode())


def beat(who, times=sys.maxsize, gate=""):
    for _ in range(times):
        if gate and os.path.exists(gate):
            return
        note(who)
        time.sleep(PERIOD_S)


def daemon(who, then):
    """Leave the family as a daemon does, and forget whose it was."""
    if (pid := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            os.environ.clear()
            then(who)
        os._exit(0)
    os.waitpid(pid, 0)


def executed(who):
    os.execve(sys.executable, [sys.executable, "-c", BEAT, journal, attempt, who, str(PERIOD_S)], {})


if __name__ == "__main__":
    multiprocessing.get_context("fork").Process(target=beat, args=("pool",)).start()
    daemon("daemon", beat)
    daemon("executed", executed)
    first = attempt.endswith("-1")
    gate = os.path.join(os.environ.get("GATES", ""), sys.argv[1].rpartition("=")[2])
    beat("program", times=sys.maxsize if first else 50, gate=gate)
    os._exit(0)
