"""Every call that can fail is made to fail, one after the other, in a daemon that goes on running: what is under way may be
answered with an error or cut, and everything behind it works."""
import errno
import itertools
import itertools
import json
import os
import pwd
import signal
import socket

import pytest
from behaviour.harness.certificates import certificates
from behaviour.harness.names import NameServer, can_replace_files
from behaviour.harness.waiting import wait_until
from faulty import Daemon, calls, goes_on, is_sane, need_shim, origin, origin_of_http2, request, talk, talk_inside

# function, errno, how many calls in a row fail
PLAIN = [
    ("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("socket", errno.EMFILE, 1), ("socket", errno.ENOBUFS, 4),
    ("connect", errno.EADDRNOTAVAIL, 1), ("accept4", errno.EMFILE, 1), ("accept4", errno.ENFILE, 5),
    ("accept4", errno.ECONNABORTED, 1), ("recv", errno.ECONNRESET, 1), ("recv", errno.ENOMEM, 1), ("recv", errno.EAGAIN, 1),
    ("recv", errno.EINTR, 2), ("send", errno.EPIPE, 1), ("send", errno.ENOBUFS, 1), ("send", errno.EINTR, 2),
    ("epoll_ctl", errno.ENOMEM, 1), ("epoll_ctl", errno.ENOSPC, 2), ("epoll_wait", errno.EINTR, 2),
    ("setsockopt", errno.ENOPROTOOPT, 1), ("getsockopt", errno.ENOBUFS, 1),
    ("splice", errno.ENOMEM, 1), ("splice", errno.EINVAL, 1), ("splice", errno.ECONNRESET, 1),
]
TLS = [
    ("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("SSL_new", 0, 1), ("BIO_new", 0, 1), ("SSL_set_session", 0, 1),
    ("SSL_do_handshake", 0, 1), ("SSL_read_ex", 0, 1), ("SSL_write_ex", 0, 1), ("SSL_peek_ex", 0, 1),
    ("recv", errno.ECONNRESET, 1), ("recv", errno.EINTR, 2), ("send", errno.EPIPE, 1), ("send", errno.EINTR, 2),
    ("epoll_ctl", errno.ENOMEM, 1), ("epoll_wait", errno.EINTR, 2),
]
# Inside CONNECT: plain HTTP and TLS, for a host that has no certificate yet.
INSIDE = [
    ("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("recv", errno.ECONNRESET, 1), ("recv", errno.EINTR, 2),
    ("send", errno.EPIPE, 1), ("SSL_new", 0, 1), ("BIO_new", 0, 1), ("SSL_do_handshake", 0, 1), ("SSL_read_ex", 0, 1),
    ("SSL_write_ex", 0, 1), ("epoll_ctl", errno.ENOMEM, 1),
]
# A request may come by one loop and be another's.
TWO_LOOPS = [("malloc", errno.ENOMEM, 1), ("socket", errno.EMFILE, 1), ("recv", errno.ECONNRESET, 1), ("send", errno.EPIPE, 1),
        ("epoll_ctl", errno.ENOMEM, 1), ("epoll_wait", errno.EINTR, 2)]
NAMES = [("malloc", errno.ENOMEM, 1), ("socket", errno.EMFILE, 1), ("socket", errno.ENOBUFS, 3),
         ("connect", errno.ENETUNREACH, 1), ("send", errno.EPERM, 1), ("recvfrom", errno.ECONNREFUSED, 1), ("epoll_ctl", errno.ENOMEM, 1)]
# The admin API is on the proxy's own loop: nothing that fails there may reach the proxy.
ADMIN = [("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("accept4", errno.EMFILE, 1), ("accept4", errno.ECONNABORTED, 1),
         ("recv", errno.ECONNRESET, 1), ("recv", errno.EINTR, 2), ("send", errno.EPIPE, 1), ("send", errno.ENOBUFS, 1),
         ("epoll_ctl", errno.ENOMEM, 1), ("epoll_wait", errno.EINTR, 2)]
# Who is at the other end is asked by a netlink socket, and the name of a user by a thread.
CALLERS = [("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("socket", errno.EAFNOSUPPORT, 1), ("send", errno.ENOBUFS, 1),
           ("recv", errno.ENOBUFS, 1), ("recv", errno.EINTR, 2), ("getsockopt", errno.ENOBUFS, 1), ("netlink answer", errno.ENOENT, 1),
           ("netlink answer", errno.EINVAL, 3)]
# HTTP/2 to the origin: libnghttp2's own memory is among that of malloc.
HTTP2 = [("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("recv", errno.ECONNRESET, 1), ("recv", errno.EINTR, 2),
         ("send", errno.EPIPE, 1), ("send", errno.ENOBUFS, 1), ("send", errno.EINTR, 2), ("epoll_ctl", errno.ENOSPC, 1),
         ("setsockopt", errno.ENOPROTOOPT, 1)]
HTTP2_TLS = [("malloc", errno.ENOMEM, 1), ("SSL_do_handshake", 0, 1), ("SSL_read_ex", 0, 1), ("SSL_write_ex", 0, 1),
             ("recv", errno.ECONNRESET, 1), ("send", errno.EPIPE, 1)]
# How content is handed on is not the scenario's choice.
RARE = {"splice"}


@pytest.fixture(scope="module")
def plain():
    with origin() as address:
        yield address


@pytest.fixture(scope="module")
def secure():
    with origin(tls=True) as address:
        yield address


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, plain, secure):
    need_shim()
    d = Daemon(str(tmp_path_factory.mktemp("faults")), secure, tunnels_to=plain).started()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def two_loops(tmp_path_factory):
    need_shim()
    d = Daemon(str(tmp_path_factory.mktemp("two-loops")), workers=2).started()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def porter(tmp_path_factory):
    """Tells callers apart."""
    need_shim()
    d = Daemon(str(tmp_path_factory.mktemp("porter")), more="callers: user\n").started()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def asker(tmp_path_factory):
    """Asks a name server for each connection: what that says is good for 0 s."""
    need_shim()
    if not can_replace_files():
        pytest.skip("needs root and unshare(1) for a resolv.conf of its own")
    server = NameServer(os.getpid(), {f"api-{number}.test": ["127.0.0.1"] for number in range(10000)}, ttl=0)
    d = Daemon(str(tmp_path_factory.mktemp("asker")), name_server=server).started()
    d.numbers = itertools.count()
    yield d
    d.stop()
    server.close()


def talk_plain(daemon, target):
    """Fresh and reused sockets, both framings, an upload, a large download, requests in a row, a tunnel, failures, TLS that
    fails."""
    url = f"http://{target}"
    inside = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return [
        talk(daemon, request("GET", url + "/a")),
        talk(daemon, request("POST", url + "/b", b"hello")),
        talk(daemon, request("PUT", url + "/c", b"y" * 100000)),
        talk(daemon, request("GET", url + "/large")),
        talk(daemon, request("GET", url + "/close")),
        talk(daemon, f"POST {url}/d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode()),
        talk(daemon, request("GET", url + "/e").replace(b"Connection: close\r\n", b"") + request("GET", url + "/f")),
        talk(daemon, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + inside),
        talk(daemon, request("GET", f"https://{target}/tls")),
        talk(daemon, b"nonsense\r\n\r\n"),
    ]


def talk_tls(daemon, target):
    """A full handshake, a socket that is used again, one that resumes, content both ways.

    This origin hangs up without close_notify, which spoils the newest ticket: of two new sockets in a row one resumes."""
    url = f"http://{target}"
    return [
        talk(daemon, request("GET", url + "/close")),
        talk(daemon, request("GET", url + "/a")),
        talk(daemon, request("POST", url + "/b", b"hello")),
        talk(daemon, request("PUT", url + "/c", b"y" * 100000)),
        talk(daemon, request("GET", url + "/large")),
        talk(daemon, request("GET", url + "/close")),
        talk(daemon, request("GET", url + "/close")),
    ]


def talk_admin(daemon, _target):
    """All routes, large answers and small ones, requests in a row, what is refused, a client that does not read."""
    ask = "{} {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n".format
    close = "Connection: close\r\n"
    with daemon.connect(daemon.admin) as unread:
        unread.sendall(ask("GET", "/agents", "").encode())
        return [talk(daemon, text.encode(), daemon.admin) for text in (
            *(ask("GET", path, close) for path in ("/", "/healthz", "/metrics", "/agents", "/agents/default", "/config", "/version")),
            ask("GET", "/readyz", "") + ask("POST", "/agents/default/drain", "") + ask("HEAD", "/metrics", close),
            ask("POST", "/reload", close + "Expect: 100-continue\r\nContent-Length: 3\r\n") + "a=b",
            ask("GET", "/healthz", "Origin: http://evil.example\r\n"), "nonsense\r\n\r\n")]


def talk_names(daemon, target):
    """Names that were not asked for before: a failure is kept for a moment."""
    port, number = target.rpartition(":")[2], next(daemon.numbers)
    names = [f"api-{number}.test", f"no-{number}.test", f"api-{number}.test"]
    return [talk(daemon, request("GET", f"http://{name}:{port}/close")) for name in names]


def sweep(daemon, scenario, target, function, error, times):
    ever = 0
    for nth in calls():
        # Where the machine stood still, time limits end much before it is begun: the first one comes in the end.
        for _ in range(1 if ever or function in RARE else 10):
            daemon.page.arm(function, error, times, nth)
            answers = scenario(daemon, target)
            fired = daemon.page.disarm()
            assert all(is_sane(answer) for answer in answers), answers
            goes_on(daemon, target, f"call {nth}")
            if fired:
                break
        ever += fired
        if not fired:
            break
    assert ever > 0 or function in RARE, f"no call of {function} was made to fail"


def names(faults):
    return [f"{f}-{errno.errorcode.get(e, 'error')}-{t}" for f, e, t in faults]


@pytest.mark.parametrize("function, error, times", PLAIN, ids=names(PLAIN))
def test_goes_on_behind_a_failed_call(daemon, plain, function, error, times):
    sweep(daemon, talk_plain, plain, function, error, times)


@pytest.mark.parametrize("function, error, times", TLS, ids=names(TLS))
def test_goes_on_behind_a_failed_call_under_tls(daemon, secure, function, error, times):
    sweep(daemon, talk_tls, secure, function, error, times)


@pytest.mark.parametrize("function, error, times", ADMIN, ids=names(ADMIN))
def test_goes_on_behind_a_failed_call_of_the_admin_api(daemon, plain, function, error, times):
    sweep(daemon, talk_admin, plain, function, error, times)
    assert b" 200 OK" in talk(daemon, b"GET /healthz HTTP/1.0\r\n\r\n", daemon.admin)


@pytest.mark.parametrize("function, error, times", TWO_LOOPS, ids=names(TWO_LOOPS))
def test_goes_on_behind_a_failed_call_with_two_loops(two_loops, plain, function, error, times):
    sweep(two_loops, talk_plain, plain, function, error, times)


@pytest.mark.parametrize("function, error, times", NAMES, ids=names(NAMES))
def test_goes_on_behind_a_failed_call_of_a_lookup(asker, plain, function, error, times):
    sweep(asker, talk_names, plain, function, error, times)
    goes_on(asker, f"api-{next(asker.numbers)}.test:{plain.rpartition(':')[2]}", "all of them, for names, too")


@pytest.fixture(scope="module")
def host(tmp_path_factory, secure):
    need_shim()
    d = Daemon(str(tmp_path_factory.mktemp("host")), stands_for=secure).started()
    yield d
    d.stop()


def multiplexer(folder, server, how):
    need_shim()
    d = Daemon(str(folder), more=f"upstreams:\n  h2: {{match: '{server.authority}', {how}}}\n").started()
    d.server = server
    yield d
    assert server.peers, "it was HTTP/2"
    d.stop()


@pytest.fixture(scope="module")
def in_the_clear(tmp_path_factory):
    with origin_of_http2() as server:
        yield from multiplexer(tmp_path_factory.mktemp("clear"), server, "h2Options: {useH2c: true}")


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory):
    with origin_of_http2(tls=True) as server:
        yield from multiplexer(tmp_path_factory.mktemp("tls"), server, f"allowH2: true, tls: {{ca: {certificates().ca.pem}}}")


def talk_streams(daemon, target):
    """Streams of all kinds on one connection, and what makes another one necessary."""
    url = f"http://{target}"
    return [
        talk(daemon, request("GET", url + "/a")),
        talk(daemon, request("POST", url + "/b", b"hello", "Cookie: a=1\r\nCookie: b=2\r\n")),
        talk(daemon, request("PUT", url + "/c", b"y" * 100000)),
        talk(daemon, request("GET", url + "/large")),
        talk(daemon, request("POST", url + "/refused", b"hello")),
        talk(daemon, request("GET", url + "/reset")),
        talk(daemon, f"POST {url}/trailers HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n".encode()),
        talk(daemon, request("POST", url + "/goaway", b"hello")),
        talk(daemon, request("GET", url + "/d")),
    ]


@pytest.mark.parametrize("function, error, times", HTTP2, ids=names(HTTP2))
def test_goes_on_behind_a_failed_call_over_http_2(in_the_clear, function, error, times):
    sweep(in_the_clear, talk_streams, in_the_clear.server.authority, function, error, times)


@pytest.mark.parametrize("function, error, times", HTTP2_TLS, ids=names(HTTP2_TLS))
def test_goes_on_behind_a_failed_call_over_http_2_and_tls(over_tls, function, error, times):
    sweep(over_tls, talk_streams, over_tls.server.authority, function, error, times)


fresh = itertools.count()


def talk_connect(daemon, target):
    """Requests in a row in a CONNECT, one in TLS for a new host and one for it again, half a handshake, and what is neither."""
    asked = f"GET /a HTTP/1.1\r\nHost: {target}\r\n\r\nGET /b HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"
    name = f"h{next(fresh)}.inside.test:443"
    inside = f"POST /c HTTP/1.1\r\nHost: {name}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    connect = "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n".format
    return [
        talk(daemon, (connect(target) + asked).encode()),
        talk_inside(daemon, name, inside.encode(), daemon.ca),
        talk_inside(daemon, name, inside.encode(), daemon.ca),
        talk(daemon, connect(name).encode() + b"\x16\x03\x01\x00\x05\x01\x00\x00\x01x"),
        talk(daemon, connect(name).encode() + b"neither"),
    ]


@pytest.mark.parametrize("function, error, times", INSIDE, ids=names(INSIDE))
def test_goes_on_behind_a_failed_call_inside_connect(host, plain, function, error, times):
    sweep(host, talk_connect, plain, function, error, times)
    assert b" 200 OK" in talk_connect(host, plain)[1]


def callers(daemon):
    """Requests by caller."""
    body = talk(daemon, b"GET /callers HTTP/1.0\r\n\r\n", daemon.admin).partition(b"\r\n\r\n")[2]
    return {row["caller"]: row["requests"] for row in json.loads(body)["callers"]}


def talk_short(daemon, target):
    return [talk(daemon, request("GET", f"http://{target}/{word}")) for word in ("a", "b", "close")]


@pytest.mark.parametrize("function, error, times", CALLERS, ids=names(CALLERS))
def test_goes_on_behind_a_failed_call_about_a_caller(porter, plain, function, error, times):
    sweep(porter, talk_short, plain, function, error, times)
    name = pwd.getpwuid(os.geteuid()).pw_name
    before = callers(porter).get(name, 0)
    assert all(b" 200 OK" in answer for answer in talk_short(porter, plain))
    assert callers(porter)[name] == before + 3


def test_a_kernel_that_does_not_tell_who_called(porter, plain):
    """The caller is `-` then, and nothing else changes."""
    before = callers(porter).get("-", 0)
    porter.page.arm("netlink answer", errno.ENOENT, 1000, 1)
    try:
        assert all(b" 200 OK" in answer for answer in talk_short(porter, plain))
    finally:
        assert porter.page.disarm() == 3
    assert callers(porter)["-"] == before + 3


def send_without_reading(s, data):
    s.setblocking(False)
    try:
        while True:
            s.send(data)
    except BlockingIOError:
        pass


def test_goes_on_behind_a_client_that_takes_no_answers_and_cannot_be_watched(daemon, plain):
    """Its requests are there when it is accepted, and its answers are too large to be sent at once: when the loop is to tell
    of it for the first time, an answer waits."""
    fields = "".join(f"X-{i}: {'y' * 3500}\r\n" for i in range(4))
    trace = f"TRACE http://{plain}/ HTTP/1.1\r\nHost: {plain}\r\nMax-Forwards: 0\r\n{fields}\r\n".encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            client.connect(daemon.path)
            send_without_reading(client, trace)
            daemon.page.arm("epoll_ctl", errno.ENOSPC, 4, 1)     # the first may be the last client's, to forget it
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        wait_until(lambda: daemon.page.fired() or daemon.dead(), "the loop is asked to watch it")
        daemon.page.disarm()
        goes_on(daemon, plain, "a client that could not be watched")
