"""Ctrl-C and SIGTERM of a call, passed on to what makes its runs."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Protocol


class Interruptible(Protocol):
    """What ends in three tiers: a pool of workers, or the agents of a sweep at W&B."""

    interrupt_level: int

    def interrupt(self) -> int:
        """Ask for the next tier: 1 waits for the running runs, 2 ends them, 3 kills them."""
        ...


class Interrupts:
    """The signals of one call.

    Attributes:
        preempted: SIGTERM came first: whoever runs this machine wants it back.
    """

    def __init__(self) -> None:
        self.preempted = False

    @contextlib.contextmanager
    def passed_to(self, target: Interruptible) -> Iterator[None]:
        """Have each signal ask `target` for its next tier while the block runs; a SIGTERM skips the first one."""

        def on_signal(number: int, _: FrameType | None) -> None:
            if number == signal.SIGTERM and target.interrupt_level < 1:
                self.preempted = True
                target.interrupt()  # SIGTERM does not wait for the runs
            target.interrupt()

        # Python lets the main thread alone take signals; a sweep that runs in another one is ended by `sweepkit stop`.
        ours = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        previous = {number: signal.signal(number, on_signal) for number in ours}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
