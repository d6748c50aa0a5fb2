"""Waiting for something to become true, for as long as a loaded machine may need."""

import time

PATIENCE = 30.0
"""Seconds after which what has not happened will not happen. Only failing tests wait that long."""


def wait_until(predicate, what, patience=PATIENCE):
    """Polls until predicate() is truthy and returns its value; fails with `what` otherwise."""
    end = time.monotonic() + patience
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not so after {patience:g} s: {what() if callable(what) else what}")
        time.sleep(0.005)


def stays(predicate, what, seconds=0.2):
    """Holds predicate() to be true for that long. A slow machine makes this see less, never fail."""
    end = time.monotonic() + seconds
    while True:
        assert predicate(), f"no longer so: {what() if callable(what) else what}"
        if time.monotonic() > end:
            return
        time.sleep(0.005)
