"""Calls that fail while carpoold starts: it says what is wrong and ends, or goes on; it never dies otherwise."""
import errno

import pytest
from behaviour.harness.waiting import wait_until
from faulty import Daemon, calls, need_shim, origin, request, talk, works

START = [
    ("malloc but OpenSSL's", errno.ENOMEM, 1), ("socket", errno.EMFILE, 1), ("bind", errno.EADDRINUSE, 1), ("listen", errno.EADDRINUSE, 1),
    ("setsockopt", errno.ENOPROTOOPT, 1), ("epoll_create1", errno.EMFILE, 2), ("epoll_ctl", errno.ENOSPC, 1),
    ("timerfd_create", errno.EMFILE, 1), ("eventfd", errno.EMFILE, 1), ("pipe2", errno.EMFILE, 1), ("getrandom", errno.EINTR, 1),
    ("getrandom", errno.ENOSYS, 1), ("read of a file", errno.EIO, 1), ("read of a file", errno.EINTR, 1), ("SSL_CTX_new", 0, 1),
]
# What libevent makes of the kernel is its own choice.
RARE = {"timerfd_create", "eventfd", "pipe2", "epoll_create1", "getrandom"}


@pytest.fixture(scope="module")
def secure():
    with origin(tls=True) as address:
        yield address


# With a second loop
TWO_LOOPS = [("pthread_create", errno.EAGAIN, 1), ("eventfd", errno.EMFILE, 1), ("epoll_create1", errno.EMFILE, 2),
        ("bind", errno.EADDRINUSE, 1)]


def ids(faults):
    return [f"{f}-{errno.errorcode.get(e, 'error')}-{t}" for f, e, t in faults]


@pytest.mark.parametrize("function, error, times", START, ids=ids(START))
def test_starts_or_says_why_not(tmp_path, secure, function, error, times):
    sweep_starts(tmp_path, secure, 1, function, error, times)


@pytest.mark.parametrize("function, error, times", TWO_LOOPS, ids=ids(TWO_LOOPS))
def test_starts_with_all_its_workers_or_says_why_not(tmp_path, secure, function, error, times):
    sweep_starts(tmp_path, secure, 2, function, error, times)


def sweep_starts(tmp_path, secure, workers, function, error, times):
    need_shim()
    ever = 0
    for nth in calls():
        d = Daemon(str(tmp_path), secure, armed=(function, error, times, nth), workers=workers)
        wait_until(lambda: d.dead() or d.answers(), lambda: f"call {nth}: neither up nor gone: {d.stderr()[-2000:]}")
        talk(d, request("GET", f"http://{secure}/large"))
        fired = d.page.disarm()
        wait_until(lambda: d.dead() or works(d, secure), lambda: f"call {nth}: neither gone nor at work: {d.stderr()[-2000:]}")
        if d.dead():
            assert d.process.returncode == 1, f"call {nth}: {d.process.returncode}: {d.stderr()[-2000:]}"
            assert d.stderr().strip(), f"call {nth}: it ended without a word"
        else:
            d.stop()
        ever += fired
        if not fired:
            break
    assert ever > 0 or function in RARE, f"no call of {function} was made to fail"
