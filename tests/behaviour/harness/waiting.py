"""Waiting for something to become true, for as long as a loaded machine may need."""

import time

PATIENCE = 30.0
"""Seconds after which what has not happened will not happen. Only failing tests wait that long."""


def soon(predicate, patience=PATIENCE):
    """Polls until predicate() is truthy and returns its value; when it does not become so, its last one."""
    end = time.monotonic() + patience
    while not (value := predicate()) and time.monotonic() < end:
        time.sleep(0.005)
    return value


def wait_until(predicate, what, patience=PATIENCE):
    """The same, and fails with `what` when it does not become so."""
    value = soon(predicate, patience)
    if not value:
        raise AssertionError(f"still not so after {patience:g} s: {what() if callable(what) else what}")
    return value


def stays(predicate, what, seconds=0.2):
    """Holds predicate() to be true for that long, for what must not come or takes its time. A slow machine makes this see
    less, never fail."""
    end = time.monotonic() + seconds
    while True:
        assert predicate(), f"no longer so: {what() if callable(what) else what}"
        if time.monotonic() > end:
            return
        time.sleep(0.005)
