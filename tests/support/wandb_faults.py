"""What goes wrong between a client and a W&B server, for the loopback backend: answers that fail, come late or break.

    backend.faults.add(Fault(path="file_stream", status=500, times=4))
    backend.faults.add(Fault(drop="after", times=1))      # taken, but the client never hears of it

A fault with neither `times` nor `active` lasts until it is removed.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Args:
        path: Regular expression; searched in the request's path, to which the name of a GraphQL operation is added.
        status: HTTP status of the answer, nothing is done; 0: the request is answered as ever.
        headers: Of that answer (`Retry-After`).
        body: The answer's, for a status; with 200 an answer that cannot be read, or that says no in its own words.
        delay_s: Wait before doing anything.
        drop: "before" breaks the connection and does nothing; "after" does what was asked and breaks it in the middle
            of the answer, so that a client must send once more what has arrived.
        times: How many requests it hits; None: all of them.
        active: Asked at each request, beside `times`.
    """

    path: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    delay_s: float = 0.0
    drop: str = ""
    times: int | None = None
    active: Callable[[], bool] | None = None

    @property
    def name(self) -> str:
        """Return what it is called in counts."""
        return str(self.status) if self.status else f"drop {self.drop}" if self.drop else "slow"


class Faults:
    """The faults that wait for requests.

    Attributes:
        hits: How many requests were hit, by the fault's name.
        met: Of the faults given by `one_each` the one of each run, by the run's id.
    """

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self._waiting: list[Fault] = []
        self._of_runs: list[Fault] = []
        self.met: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Let things go wrong from now on."""
        with self._lock:
            self._waiting.extend(faults)

    def one_each(self, *faults: Fault) -> None:
        """Give each run a fault of its own, in the order in which their file streams begin; later runs get none."""
        with self._lock:
            self._of_runs.extend(faults)

    def _meet_own(self, path: str) -> None:
        """Give a run that is seen for the first time its own fault."""
        stream = re.search(r"/([^/]+)/file_stream", path)
        if stream and self._of_runs and stream.group(1) not in self.met:
            fault = self._of_runs.pop(0)
            fault.path = re.escape(stream.group())
            self.met[stream.group(1)] = fault
            self._waiting.append(fault)

    def clear(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._waiting.clear()

    def meet(self, path: str) -> Fault | None:
        """Return what hits a request, after having slept when that is slow."""
        with self._lock:
            self._meet_own(path)
            fault = next((item for item in self._waiting if _hits(item, path)), None)
            if fault is None:
                return None
            self.hits[fault.name] += 1
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self._waiting.remove(fault)
        if fault.delay_s:
            time.sleep(fault.delay_s)
        return fault


def _hits(fault: Fault, path: str) -> bool:
    return bool(re.search(fault.path, path)) and (fault.active is None or fault.active())
