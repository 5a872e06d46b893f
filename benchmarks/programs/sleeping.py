"""A run that only sleeps: SLEEP_S seconds between its first and its last line, journaled with their times."""

import os
import time


def note(word: str) -> None:
    """Append a line to the journal, in one write."""
    line = f"{word} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')} {time.time():.6f}\n"
    journal = os.open(os.environ["BENCHMARK_JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(journal, line.encode())
    os.close(journal)


note("start")
time.sleep(float(os.environ.get("SLEEP_S", "2")))
note("end")
