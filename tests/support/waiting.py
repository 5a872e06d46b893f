"""Wait for a condition; whoever waits for a moment instead has a test that a busy machine makes fail."""

import time

WAIT_S = 60  # how long a condition may take on a machine that is busy with other things


def wait_until(condition, what, timeout_s=WAIT_S):
    """Return when `condition()` holds; fail with `what` was waited for when it does not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for: {what}"
        time.sleep(0.005)


def heard(process, text):
    """Read what a process says as far as a line with `text`; fail when it ends without one."""
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying {text!r}")
