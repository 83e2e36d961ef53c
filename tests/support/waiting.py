"""Waiting for a condition, never for a span of time."""

import time

POLL_SECONDS = 0.02


def wait_until(condition, deadline=60.0, what="the condition"):
    """Returns the condition's first true value; fails when the deadline (seconds) passes without one."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"{what} did not come about within {deadline:g} s (last value: {value!r})")
        time.sleep(POLL_SECONDS)
