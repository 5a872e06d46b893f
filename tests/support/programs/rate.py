"""A training of a moment: eval/loss is best at learning_rate 1e-3 and batch_size 16; journals each start and end."""

import json
import math
import os
import sys
import time

arguments = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
rate, batch = float(arguments["learning_rate"]), float(arguments.get("batch_size", 8))
loss = abs(math.log10(rate) + 3) + abs(batch - 16) / 100 + float(arguments.get("seed", 42)) / 10_000


def note(word):
    line = f"{word} {os.environ['WANDB_RUN_ID']} {json.dumps(arguments)}\n".encode()
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(journal, line)
    os.close(journal)


note("start")
if "SILENT" not in os.environ:
    reports = open(os.environ["SWEEPKIT_REPORT_FILE"], "ab", buffering=0)
    reports.write(json.dumps({"eval/loss": loss, "_step": 0}).encode() + b"\n")
time.sleep(float(os.environ.get("DURATION", "0")))
note("end")
