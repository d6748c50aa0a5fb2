"""Calls that fail while carpoold starts or reads its configuration anew: it says what is wrong and ends, or goes on as before;
it never dies otherwise."""
import errno
import json
import re
import signal

import pytest
from behaviour.harness.waiting import wait_until
from faulty import Daemon, calls, goes_on, need_shim, origin, request, talk, works

START = [
    ("malloc but OpenSSL's", errno.ENOMEM, 1), ("socket", errno.EMFILE, 1), ("bind", errno.EADDRINUSE, 1), ("listen", errno.EADDRINUSE, 1),
    ("setsockopt", errno.ENOPROTOOPT, 1), ("epoll_create1", errno.EMFILE, 2), ("epoll_ctl", errno.ENOSPC, 1),
    ("timerfd_create", errno.EMFILE, 1), ("eventfd", errno.EMFILE, 1), ("pipe2", errno.EMFILE, 1), ("getrandom", errno.EINTR, 1),
    ("getrandom", errno.ENOSYS, 1), ("read of a file", errno.EIO, 1), ("read of a file", errno.EINTR, 1), ("SSL_CTX_new", 0, 1),
]
RELOAD = [("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("read of a file", errno.EIO, 1),
          ("read of a file", errno.EINTR, 1), ("epoll_ctl", errno.ENOSPC, 1)]
RELOADED = re.compile("configuration reloaded|reload failed")
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


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, secure):
    need_shim()
    d = Daemon(str(tmp_path_factory.mktemp("reload")), secure, level="info").started()
    yield d
    d.stop()


def reload(daemon):
    """By a signal, so that no call of the admin API is made to fail. Whether the log says that it went well."""
    before = len(daemon.stderr())
    daemon.process.send_signal(signal.SIGHUP)
    said = wait_until(lambda: daemon.dead() or RELOADED.search(daemon.stderr(), before), "a line about the reload in the log")
    return said is not True and said.group(0) == "configuration reloaded"


@pytest.mark.parametrize("function, error, times", RELOAD, ids=ids(RELOAD))
def test_reload_is_whole_or_not_at_all(daemon, secure, function, error, times):
    ever = 0
    for nth in calls():
        daemon.page.arm(function, error, times, nth)
        reload(daemon)
        fired = daemon.page.disarm()
        goes_on(daemon, secure, f"call {nth}")
        assert reload(daemon), f"behind call {nth}: {daemon.stderr()[-2000:]}"
        ever += fired
        if not fired:
            break
    assert ever > 0 or function == "epoll_ctl", f"no call of {function} was made to fail"
    shown = talk(daemon, b"GET /agents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", daemon.admin)
    agents = json.loads(shown.partition(b"\r\n\r\n")[2])["agents"]
    assert sorted(agent["name"] for agent in agents) == ["default", "secure"]
