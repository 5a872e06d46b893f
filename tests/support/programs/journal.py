"""A short run that journals its own execution: the judge of every test of crashes and races.

Appends `start <number> <pid> <time>` and `end …` to the file named by JOURNAL, one atomic write each (the time is the
monotonic clock's, which is the same for all processes of the host and is never set); in between it
reports a few values of `loss`. Takes about DURATION seconds. With JOURNAL_LOCKS, a folder, it holds a lock of its
number there for as long as its process lives, and notes `overlap` when another process holds it: two at the same time.
With GATES, a folder, it goes on after two of its reports when a file of its number is there.
"""

import fcntl
import json
import os
import sys
import time

# A sleep is over when a process that stood still goes on, work is not: frozen in a small part it has most of it left.
PARTS = 10

arguments = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
number = int(arguments["number"])


def note(word):
    line = f"{word} {number} {os.getpid()} {time.monotonic():.6f}\n".encode()
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(journal, line)
    os.close(journal)


note("start")
if locks := os.environ.get("JOURNAL_LOCKS"):
    lock = open(os.path.join(locks, str(number)), "w")  # stays open: the kernel lets go when the process is gone
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("overlap")
gates = os.environ.get("GATES")
for step in range(4):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "ab", buffering=0) as reports:
        reports.write(json.dumps({"loss": number + 1 / (step + 1), "_step": step}).encode() + b"\n")
    while step == 1 and gates and not os.path.exists(os.path.join(gates, str(number))):
        time.sleep(0.005)
    for _ in range(PARTS):
        time.sleep(float(os.environ.get("DURATION", "0.08")) / 4 / PARTS)
note("end")
