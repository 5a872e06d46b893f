"""Wait for a condition; whoever waits for a moment instead has a test that a busy machine makes fail."""

import os
import signal
import subprocess
import time

WAIT_S = 60  # how long a condition may take on a machine that is busy with other things


LONGEST_PAUSE_S = 0.05


def wait_until(condition, what, timeout_s=WAIT_S, every_s=0.005):
    """Return when `condition()` holds; fail with `what` was waited for when it does not.

    The longer it takes the more seldom it is asked, which costs a tenth of the time waited at most: to ask may mean to
    read a record or a page, and those that are waited for need the cores.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < timeout_s, f"waited {timeout_s} s for: {what}"
        time.sleep(max(every_s, min(LONGEST_PAUSE_S, waited / 10)))


def heard(process, text):
    """Read what a process says as far as a line with `text`; fail when it ends without one."""
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying {text!r}")


def killed_after(text, command, *, start=subprocess.Popen, **popen):
    """Run a command until it says a line that begins with `text`; then kill -9 it and all that it has started."""
    process = start(command, stdout=subprocess.PIPE, text=True, start_new_session=True, **popen)
    try:
        for line in process.stdout:
            if line.startswith(text):
                return
        raise AssertionError(f"it ended without saying {text!r}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
