"""Ctrl-C and SIGTERM are passed on, tier by tier, and only while something runs."""

import os
import signal

import pytest

from sweepkit.runner.interrupts import Interrupts


class Target:
    def __init__(self):
        self.interrupt_level = 0

    def interrupt(self):
        self.interrupt_level = min(3, self.interrupt_level + 1)
        return self.interrupt_level


@pytest.mark.parametrize(
    ("signals", "level", "preempted"),
    [
        ([], 0, False),
        ([signal.SIGINT], 1, False),
        ([signal.SIGINT] * 4, 3, False),
        ([signal.SIGTERM], 2, True),  # it does not wait for the runs
        ([signal.SIGINT, signal.SIGTERM], 2, False),
        ([signal.SIGTERM, signal.SIGINT], 3, True),
    ],
)
def test_each_signal_asks_for_the_next_tier(signals, level, preempted):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    target, interrupts = Target(), Interrupts()
    with interrupts.passed_to(target):
        for number in signals:
            os.kill(os.getpid(), number)
    assert (target.interrupt_level, interrupts.preempted) == (level, preempted)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
