"""The emptiest program a sweep can run: reads its one parameter, reports one metric, ends.

    python benchmarks/programs/empty.py --x=0.5

The metric goes to the file that SWEEPKIT_REPORT_FILE names, else to stdout. With BENCHMARK_JOURNAL it notes there when
it began and ended and as which process, by one appended line: the benchmark's only clock, the same for every peer. It
imports next to nothing, so that what is measured is the peer and not the program.
"""

import os
import sys
import time

started = time.time()


def main() -> None:
    """Report `loss` = (x - 0.3)²."""
    x = next(float(argument.partition("=")[2]) for argument in sys.argv[1:] if argument.startswith("--x="))
    line = f'{{"loss": {(x - 0.3) ** 2}}}\n'
    report_file = os.environ.get("SWEEPKIT_REPORT_FILE")
    if report_file:
        append(report_file, line)
    else:
        sys.stdout.write(line)
    journal = os.environ.get("BENCHMARK_JOURNAL")
    if journal:
        append(journal, f"{started} {time.time()} {os.getpid()} {x}\n")


def append(path: str, line: str) -> None:
    """Append a line by one write, which other processes cannot cut."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)


if __name__ == "__main__":
    main()
