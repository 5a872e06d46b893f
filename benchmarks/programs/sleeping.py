"""A run that only sleeps: SLEEP_S seconds between its first and its last line.

With BENCHMARK_JOURNAL it notes there, by one appended line, when it began and ended, its slot's GPU, and the MiB of
memory that are its own (not shared with the process that it was forked from).
"""

import os
import time

started = time.time()


def private_mib() -> float:
    """Return the memory that only this process holds, in MiB."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def main() -> None:
    """Sleep, and note it."""
    time.sleep(float(os.environ.get("SLEEP_S", "2")) - (time.time() - started))
    line = f"{started} {time.time()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')} {private_mib():.2f}\n"
    journal = os.open(os.environ["BENCHMARK_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(journal, line.encode())
    os.close(journal)


if __name__ == "__main__":
    main()
