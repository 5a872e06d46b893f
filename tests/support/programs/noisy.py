"""A run whose `loss` is x plus a noise of its seed; it says in the journal which seed SEED has."""

import json
import os
import random
import sys
import time

arguments = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
x, seed = float(arguments["x"]), os.environ["SEED"]
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(f"start {x:g} {seed} {arguments.get('seed')}\n")
time.sleep(float(os.environ.get("PAUSE", "0")))
loss = x + random.Random(f"{x:g} {seed}").gauss(0, 0.05)
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as reports:
    reports.write(json.dumps({"loss": loss}) + "\n")
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(f"end {x:g} {seed}\n")
