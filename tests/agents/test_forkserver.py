"""What the fork server does without asking the shelf, where all but a bare interpreter's modules lie."""

import os
import sys

from sweepkit.agents.forkserver import reaped


class _Nobody:
    """A finder of no module."""

    def __init__(self):
        self.asked = []

    def find_spec(self, name, path=None, target=None):
        self.asked.append(name)


def test_a_child_is_reaped_without_an_import(monkeypatch):
    finder = _Nobody()
    monkeypatch.setattr(sys, "meta_path", [finder])
    monkeypatch.delitem(sys.modules, "resource")
    if (pid := os.fork()) == 0:
        os._exit(3)
    status, usage = reaped(pid)
    assert (os.waitstatus_to_exitcode(status), usage.ru_maxrss > 0) == (3, True)
    assert finder.asked == [] and "resource" not in sys.modules
