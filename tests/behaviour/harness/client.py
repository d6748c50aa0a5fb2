"""A client that sends exactly the bytes it is told and reads strictly."""

import socket
import struct

from .waiting import PATIENCE
from .wire import Wire


def connect(address, source=None, receive_buffer=None, patience=PATIENCE):
    """A connected socket; address is (host, port) or the path of a unix socket."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        sock.settimeout(patience)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def request(method, target, host=None, fields=(), body=b"", version="1.1"):
    """The bytes of a request. A body gets a Content-Length unless the fields frame it."""
    lines = [f"{method} {target} HTTP/{version}"]
    names = [name.lower() for name, _ in fields]
    if host is None:
        host = target.split("/")[2].partition("?")[0] if "://" in target else target
    if "host" not in names and version != "1.0":
        lines.append(f"Host: {host}")
    if body and "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(*pieces, trailers=()):
    """A chunked body."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return out + b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"


class Client(Wire):
    """One connection to Carpool. Requests are sent and responses read in separate steps."""

    def __init__(self, address, source=None, receive_buffer=None, patience=PATIENCE):
        super().__init__(connect(address, source, receive_buffer, patience), patience)
        self._methods = []

    def ask(self, target, method="GET", fields=(), body=b"", version="1.1", host=None):
        """Sends a request and does not wait for the answer."""
        self._methods.append(method)
        self.send(request(method, target, host, fields, body, version))
        return self

    def response(self, method=None):
        """The answer to the oldest request that has none."""
        if self._methods:
            method = method or self._methods.pop(0)
        return self.read_response(method or "GET")

    def get(self, target, **how):
        return self.ask(target, **how).response()

    def raw(self, data, method="GET"):
        """Sends these bytes and reads an answer."""
        self.send(data)
        return self.read_response(method)

    def fin(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def expect_end(self):
        """Asserts that Carpool closes now, in order and without another byte."""
        if self.left() or self.fill():
            raise AssertionError(f"bytes where the end was due: {self.left()[:300]!r}")

    def answered(self):
        """Whether a byte of an answer has come."""
        self.closed_by_peer()
        return bool(self.left())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
