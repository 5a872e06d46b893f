"""A run that reports `loss` = x * factor ** step for STEPS steps, every PAUSE seconds; behaves as `mode` says.

With GATES, a folder, it goes on after its report HOLD_AT, its third, when a file named by its x is there.
"""

import json
import os
import signal
import sys
import time

arguments = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
x = float(arguments.get("x", 1))
mode = arguments.get("mode", "good")
pause_s = float(os.environ.get("PAUSE", "0"))
hold_at = int(os.environ.get("HOLD_AT", "2"))
if "JOURNAL" in os.environ:
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"start {x:g} {os.getpid()} {time.time()}\n")


def report(step, value):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "ab", buffering=0) as reports:
        reports.write(json.dumps({"loss": value, "step_squared": step**2, "_step": step}).encode() + b"\n")


if mode == "fail" or (mode == "fail-once" and not os.path.exists(os.environ["FLAG"])):
    open(os.environ.get("FLAG", os.devnull), "w").close()
    raise RuntimeError(f"실패: x={x}")
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for step in range(int(os.environ.get("STEPS", "3"))):
    report(step, float("nan") if mode == "nan" else x * 0.9**step)
    time.sleep(pause_s)
    while step == hold_at and "GATES" in os.environ and not os.path.exists(f"{os.environ['GATES']}/{x:g}"):
        time.sleep(0.005)
