"""Run functions in many processes at once, all let go at the same moment; and kill one at a random moment."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

# Fork: a hundred children cost no imports. The children open stores of their own, as other processes would.
_context = multiprocessing.get_context("fork")


def at_once(n: int, work: Callable[[int], Any]) -> list[Any]:
    """Return `[work(0), …, work(n - 1)]`, each run in a process of its own, started together."""
    gate = _context.Barrier(n)
    pipes = [_context.Pipe(duplex=False) for _ in range(n)]

    def child(index: int) -> None:
        try:
            gate.wait(30)
            pipes[index][1].send((True, work(index)))
        except BaseException:
            pipes[index][1].send((False, traceback.format_exc()))

    children = [_context.Process(target=child, args=(index,)) for index in range(n)]
    for process in children:
        process.start()
    try:
        results = [pipe[0].recv() if pipe[0].poll(60) else (False, "no answer in 60 s") for pipe in pipes]
    finally:
        for process in children:
            process.join(10)
            process.kill()
    for ok, value in results:
        assert ok, value
    return [value for _, value in results]


class Victim:
    """A process that runs `work(tick)` until it is killed; `tick()` tells the parent that a step is done."""

    def __init__(self, work: Callable[[Callable[[], None]], None]) -> None:
        self._ticks, sender = _context.Pipe(duplex=False)
        self._process = _context.Process(target=work, args=(lambda: sender.send(None),))
        self._process.start()
        sender.close()

    def kill_after(self, ticks: int, then_s: float) -> None:
        """Wait for that many steps, then `then_s` seconds more at most, and kill -9."""
        for _ in range(ticks):
            assert self._ticks.poll(30), "the victim stands still"
            self._ticks.recv()
        self._process.join(then_s)
        assert self._process.is_alive(), "the victim ended by itself"
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        self._ticks.close()
