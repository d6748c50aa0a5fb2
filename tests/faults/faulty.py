"""A daemon whose calls can be made to fail (shim.c), an origin for it, and what is asked of both."""
import contextlib
import mmap
import os
import shutil
import socket
import ssl
import struct
import subprocess

import pytest
from behaviour.harness.certificates import certificates
from behaviour.harness.evidence import inquest
from behaviour.harness.h2 import INTERNAL_ERROR, REFUSED_STREAM, h2_origin
from behaviour.harness.names import with_files
from behaviour.harness.origin import Origins, answer
from behaviour.harness.ports import Ports
from behaviour.harness.tls import tls_origin
from behaviour.harness.waiting import PATIENCE, wait_until

CARPOOLD = os.environ.get("CARPOOLD", "")
SHIM = os.environ.get("FAULT_SHIM", "")
PAGE = struct.Struct("32siiii")


def respond(request):
    """What came, or something, as long as the target says."""
    body = request.body or (b"x" * 200000 if request.target == "/large" else b"ok")
    if request.target != "/close" and request.fields.get("Connection") != "close":
        return answer(body)
    request.connection.send(answer(body, fields=[("Connection", "close")]))
    request.connection.close()


@contextlib.contextmanager
def origin(tls=False):
    """Its host:port."""
    server = tls_origin(Origins(), respond) if tls else Origins().origin(respond)
    with server:
        yield server.authority


def answer_stream(stream):
    """Each way in which an HTTP/2 origin ends a stream, by its path; what it did not process it serves when it comes again."""
    came_before = sum(each.target == stream.target for each in stream.connection.requests) > 1
    if stream.target == "/refused" and not came_before:
        stream.rst(REFUSED_STREAM)
    elif stream.target == "/reset":
        stream.rst(INTERNAL_ERROR)
    elif stream.target == "/large":
        stream.head(200, [("content-length", 200000)])
        stream.within_window(b"x" * 200000)
    elif stream.target == "/trailers":
        stream.head(103, [("link", "</a>")])
        stream.head(200)
        stream.data(b"some")
        stream.end_with([("x-sum", "1")])
    else:
        stream.answer(stream.body or b"ok")
        if stream.target == "/goaway":
            stream.peer.goaway(stream.number)


@contextlib.contextmanager
def origin_of_http2(tls=False):
    with h2_origin(Origins(), answer_stream, tls=tls) as server:
        yield server


class Page:
    """What the shim is told, and how often it did it."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(4096))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def arm(self, function, error, times, nth):
        PAGE.pack_into(self.map, 0, b"", error, times, nth, 0)
        self.map[:len(function)] = function.encode()

    def fired(self):
        return PAGE.unpack_from(self.map)[4]

    def disarm(self):
        fired = self.fired()
        PAGE.pack_into(self.map, 0, b"", 0, 0, 0, 0)
        return fired


def make_ca(folder, host):
    """The path of its certificate."""
    subprocess.run([os.environ["CARPOOLCTL"], "ca", "create", "--for", host, "--out", folder], check=True, capture_output=True)
    return os.path.join(folder, "ca.pem")


class Daemon:
    """Speaks TLS to the upstream `secure`, when there is one. `armed`: what fails from the start on. `stands_for`: a TLS origin, to
    whose hosts below inside.test it answers TLS inside CONNECT."""

    def __init__(self, folder, secure=None, level="error", armed=None, workers=1,
                 name_server=None, tunnels_to="127.0.0.1:443", stands_for=None, more=""):
        self.ports = Ports()
        self.port, self.admin = self.ports.take(), self.ports.take()
        self.page = Page(os.path.join(folder, "page"))
        self.path = os.path.join(folder, "socket")
        self.config = config = os.path.join(folder, "carpool.yaml")
        with open(config, "w", encoding="ascii") as f:
            f.write(f"listen: [127.0.0.1:{self.port}, 'unix:{self.path}']\nadmin: {{listen: '127.0.0.1:{self.admin}'}}\nlog: {{level: {level}}}\nworkers: {workers}\n"
                    f"access: {{connectPorts: [{tunnels_to.rpartition(':')[2]}]}}\n"
                    "server: {keepAliveTimeout: 1s, keepAliveTimeoutBuffer: 0}\ndefaults: {maxSockets: 3, timeouts: {connect: 1s, socket: 1s, free: 1s}}\n")
            f.write(more)
            if secure:
                f.write(f"upstreams:\n  secure: {{match: '{secure}', tls: {{ca: {certificates().ca.pem}}}}}\n")
            if stands_for:
                self.ca = make_ca(folder, "inside.test")
                f.write(f"connectTls: {{cert: {self.ca}, key: {self.ca[:-4]}-key.pem}}\nupstreams:\n  inside: {{match: '*.inside.test', "
                        f"connect: pool, address: ['{stands_for}'], tls: {{ca: {certificates().ca.pem}, servername: localhost}}}}\n"
                        "  plain: {match: '127.0.0.1', connect: pool}\n")
        self.log = open(os.path.join(folder, "stderr"), "w+b")
        if armed:
            self.page.arm(*armed)
        prefix = with_files(folder, {"/etc/resolv.conf": name_server.resolv_conf}) if name_server else []
        self.process = subprocess.Popen([*prefix, CARPOOLD, "-c", config], stdin=subprocess.DEVNULL, stderr=self.log,
                                        env=dict(os.environ, LD_PRELOAD=SHIM, FAULT_PAGE=self.page.path))

    def answers(self):
        return bool(talk(self, b"nonsense\r\n\r\n"))

    def started(self):
        wait_until(self.answers, lambda: f"carpoold listens: {self.stderr()[-2000:]}")
        return self

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), 6)

    def dead(self):
        status = self.process.poll()
        if status is not None:
            inquest(status, self.stderr())
        return status is not None

    def stderr(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self):
        self.page.disarm()
        self.process.terminate()
        status = self.process.wait(PATIENCE + 5)
        inquest(status, self.stderr())
        assert status == 0, self.stderr()[-2000:]
        self.log.close()


def need_shim():
    if not SHIM or not os.path.exists(SHIM):
        pytest.skip("the shim is not built (sanitizer builds have an allocator of their own)")
    assert shutil.which(CARPOOLD), "CARPOOLD is not set"


def talk(daemon, data, port=None):
    """One connection: what came back until its end, or None when it was refused."""
    try:
        with daemon.connect(port) as s:
            s.sendall(data)
            got = b""
            while piece := s.recv(65536):
                got += piece
            return got
    except OSError:
        return None


def talk_inside(daemon, target, data, ca):
    """The same in TLS inside a CONNECT."""
    try:
        with daemon.connect() as s:
            s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            if s.recv(39, socket.MSG_WAITALL)[:12] != b"HTTP/1.1 200":
                return None
            context = ssl.create_default_context(cafile=ca)
            with context.wrap_socket(s, server_hostname=target.partition(":")[0]) as inside:
                inside.sendall(data)
                got = b""
                while piece := inside.recv(65536):
                    got += piece
                return got
    except OSError:
        return None


def request(method, target, body=b"", fields=""):
    host = target.split("/")[2]
    return (f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)


def calls():
    """1, 2, 3...: each of the first calls, and of many, as in a handshake, one in a dozen."""
    nth = 1
    while True:
        yield nth
        nth += 1 + nth // 12


def is_sane(answer):
    """None at all, cut, or one that Carpool or the origin made."""
    return not answer or answer.startswith(b"HTTP/1.1 ")


def works(daemon, target):
    answer = talk(daemon, request("GET", f"http://{target}/after"))
    return bool(answer) and answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nok")


def goes_on(daemon, target, what):
    """Holds the daemon to it: it lives and serves."""
    assert not daemon.dead(), f"died at {what} with {daemon.process.returncode}: {daemon.stderr()[-2000:]}"
    wait_until(lambda: works(daemon, target), lambda: f"it serves behind {what}: {daemon.stderr()[-2000:]}")
