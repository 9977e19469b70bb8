"""Waiting for events, never for luck: a condition is looked at until it holds or a deadline passes."""
import os
import time

# Generous, because the suite may share its processors with a build; nothing waits this long when all is well.
DEADLINE = float(os.environ.get("POSTERN_TEST_DEADLINE", 30))


def until(condition, what, timeout=DEADLINE, every=0.02):
    """Returns the first true value of condition(); fails with `what` (text, or a function giving it)."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:.0f} s in vain for {what() if callable(what) else what}")
        time.sleep(every)
