"""Every call that can fail is made to fail, one after the other, in a daemon that goes on running: what is under way may be
answered with an error or cut, and everything behind it works."""
import errno
import http.server
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

CARPOOLD = os.environ.get("CARPOOLD", "")
SHIM = os.environ.get("FAULT_SHIM", "")
PAGE = struct.Struct("32siiii")

# function, errno, how many calls in a row fail
FAULTS = [
    ("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("socket", errno.EMFILE, 1), ("socket", errno.ENOBUFS, 4),
    ("connect", errno.EADDRNOTAVAIL, 1), ("accept4", errno.EMFILE, 1), ("accept4", errno.ENFILE, 5),
    ("accept4", errno.ECONNABORTED, 1), ("recv", errno.ECONNRESET, 1), ("recv", errno.ENOMEM, 1), ("recv", errno.EAGAIN, 1),
    ("recv", errno.EINTR, 2), ("send", errno.EPIPE, 1), ("send", errno.ENOBUFS, 1), ("send", errno.EINTR, 2),
    ("epoll_ctl", errno.ENOMEM, 1), ("epoll_ctl", errno.ENOSPC, 2), ("setsockopt", errno.ENOPROTOOPT, 1),
    ("SSL_new", errno.ENOMEM, 1), ("SSL_do_handshake", errno.EIO, 1),
]
MOST = 60   # calls of one function in one scenario, at the most; the sweep ends where nothing fires any more


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(n) or (b"x" * 200000 if self.path == "/large" else b"ok")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/close":
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    def __init__(self, folder):
        self.port = free_port()
        self.page_path = os.path.join(folder, "page")
        with open(self.page_path, "wb") as f:
            f.write(bytes(4096))
        with open(self.page_path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        config = os.path.join(folder, "carpool.yaml")
        with open(config, "w", encoding="ascii") as f:
            f.write(f"listen: [127.0.0.1:{self.port}]\nadmin: {{listen: off}}\nlog: {{level: error}}\n"
                    "defaults: {maxSockets: 3, timeouts: {connect: 3s, socket: 5s, free: 1s}}\n")
        self.log = open(os.path.join(folder, "stderr"), "w+b")
        self.process = subprocess.Popen([CARPOOLD, "-c", config], stderr=self.log,
                                        env=dict(os.environ, LD_PRELOAD=SHIM, FAULT_PAGE=self.page_path))
        end = time.monotonic() + 10
        while time.monotonic() < end and not self.listens():
            time.sleep(.02)

    def listens(self):
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 6)

    def arm(self, function, error, times, nth):
        PAGE.pack_into(self.page, 0, function.encode(), error, times, 0, 0)
        PAGE.pack_into(self.page, 0, function.encode(), error, times, nth, 0)

    def disarm(self):
        fired = PAGE.unpack_from(self.page)[4]
        PAGE.pack_into(self.page, 0, b"", 0, 0, 0, 0)
        return fired

    def stderr(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    if not SHIM or not os.path.exists(SHIM):
        pytest.skip("the shim is not built (sanitizer builds have an allocator of their own)")
    assert shutil.which(CARPOOLD), "CARPOOLD is not set"
    d = Daemon(str(tmp_path_factory.mktemp("faults")))
    yield d
    d.disarm()
    d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(35) == 0, d.stderr()


def talk(daemon, octets):
    """One connection: what came back until its end, or None when it was refused."""
    try:
        with daemon.connect() as s:
            s.sendall(octets)
            got = b""
            while piece := s.recv(65536):
                got += piece
            return got
    except OSError:
        return None


def request(method, target, body=b"", fields=""):
    host = target.split("/")[2]
    return (f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)


def scenario(daemon, origin):
    """Fresh and reused sockets, both framings, an upload, a large download, failures, a tunnel that is refused, TLS that fails."""
    url = f"http://{origin}"
    answers = [
        talk(daemon, request("GET", url + "/a")),
        talk(daemon, request("POST", url + "/b", b"hello")),
        talk(daemon, request("PUT", url + "/c", b"y" * 100000)),
        talk(daemon, request("GET", url + "/large")),
        talk(daemon, request("GET", url + "/close")),
        talk(daemon, f"POST {url}/d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode()),
        talk(daemon, request("GET", f"https://{origin}/tls")),
        talk(daemon, b"nonsense\r\n\r\n"),
    ]
    for answer in answers:
        assert answer is None or answer == b"" or answer.startswith(b"HTTP/1.1 "), answer[:200]


def works(daemon, origin):
    answer = talk(daemon, request("GET", f"http://{origin}/after"))
    return bool(answer) and answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("function, error, times", FAULTS, ids=[f"{f}-{errno.errorcode[e]}-{t}" for f, e, t in FAULTS])
def test_goes_on_behind_a_failed_call(daemon, origin, function, error, times):
    ever = 0
    for nth in range(1, MOST):
        daemon.arm(function, error, times, nth)
        scenario(daemon, origin)
        fired = daemon.disarm()
        assert daemon.process.poll() is None, f"died at call {nth}: {daemon.stderr()[-2000:]}"
        end = time.monotonic() + 5
        while not works(daemon, origin):
            assert time.monotonic() < end, f"no service behind the failure of call {nth}: {daemon.stderr()[-2000:]}"
        ever += fired
        if not fired:
            break
    assert ever > 0, f"no call of {function} was made to fail"
