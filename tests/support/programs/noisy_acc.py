"""A program whose score depends on `x` and, a little, on its seed; it reports `acc` three times, the best last.

Appends `x seed split` to the file named by JOURNAL. The seed is the argument's, else that of the variable SEED. With
`--split=test` it scores other data. `x` above 8 fails with seeds that are odd.
"""

import json
import os
import random
import sys
import time

arguments = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
x, split = float(arguments["x"]), arguments.get("split", "dev")
seed = int(arguments.get("seed", os.environ.get("SEED", "0")))
line = f"{x} {seed} {split}\n".encode()
journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
os.write(journal, line)
os.close(journal)
if x > 8 and seed % 2:
    sys.exit("odd")
luck = random.Random(f"{x} {seed} {split}").gauss(0, 0.01)
for step, part in enumerate((0.5, 0.75, 1.0)):
    value = part * (1 - 0.02 * (x - 3) ** 2) + luck - (0.1 if split == "test" else 0.0)
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "ab", buffering=0) as reports:
        reports.write(json.dumps({"acc": value, "_step": step}).encode() + b"\n")
time.sleep(float(os.environ.get("DURATION", "0")))
