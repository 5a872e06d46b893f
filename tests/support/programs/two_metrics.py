"""A run with two metrics, cost = x and gain = x squared at its end; `mode` says in which way they are told."""

import json
import os
import sys

arguments = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
x, mode = float(arguments["x"]), arguments["mode"]


def report(**values):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "ab", buffering=0) as reports:
        reports.write(json.dumps(values).encode() + b"\n")


for left in (3, 2, 1, 0):
    if mode == "summary":
        report(cost=x + left)
    elif mode == "apart":
        report(cost=x + left, _step=left)
        report(gain=x**2 - left)
    else:
        report(cost=x + left, gain=float("nan") if mode == "nan" else x**2 - left)
if mode == "summary":
    report(_sweepkit_summary={"gain": x**2})
