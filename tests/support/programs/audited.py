"""Report a loss of `x`: the runs of FINISHING make six reports, one that is ended early makes one and waits for that.

Those of AUDITED wait after the first report until the record says that they are audited: what an agent does between
two reports of a program takes as long as it takes.
"""

import json
import os
import sqlite3
import sys
import time
from contextlib import closing

x = int(next(word for word in sys.argv[1:] if word.startswith("--x=")).partition("=")[2])


def report(value):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a", encoding="utf-8") as file:
        file.write(json.dumps({"loss": value}) + "\n")


def is_reported():
    with closing(sqlite3.connect(f"file:{os.environ['RECORD']}?mode=ro", uri=True)) as record:
        asked = "SELECT proposal FROM runs WHERE run_id = ?"
        (proposal,) = record.execute(asked, [os.environ["WANDB_RUN_ID"]]).fetchone()
    return "audit" in proposal


report(x)
if str(x) not in os.environ["FINISHING"].split(","):
    time.sleep(600)
while str(x) in os.environ["AUDITED"].split(",") and not is_reported():
    time.sleep(0.02)
for _ in range(5):
    report(x / 2 if str(x) == os.environ.get("LATE") else x)
