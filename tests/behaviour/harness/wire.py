"""A strict reader of HTTP/1.x, used at both ends. What RFC 9112 does not allow raises Malformed."""

import re
import select
import socket
import threading
import time
from dataclasses import dataclass, field

from .waiting import PATIENCE

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[01])")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})")
MAX_LINE = 256 * 1024


class Malformed(Exception):
    """The peer sent what HTTP/1.1 does not allow."""


class Truncated(Exception):
    """The peer ended the connection inside a message."""


class Closed(Exception):
    """The peer ended the connection where a message would have begun."""


class Reset(Exception):
    """The peer reset the connection."""


class Fields(list):
    """(name, value) pairs of text in the order of the wire; look-up ignores the case of letters."""

    def all(self, name):
        return [value for key, value in self if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The value of a field that may stand once; twice is Malformed."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} stands {len(values)} times: {values}")
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name))

    def names(self):
        return [name.lower() for name, _ in self]


@dataclass
class Message:
    version: str = ""
    fields: Fields = field(default_factory=Fields)
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    framing: str = "none"   # none | length | chunked | close
    raw: bytes = b""


@dataclass
class Request(Message):
    method: str = ""
    target: str = ""
    connection: object = None
    whole: bool = False
    answered: bool = False


@dataclass
class Response(Message):
    status: int = 0
    reason: str = ""
    interim: list = field(default_factory=list)

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def error(self):
        """The error word of Proxy-Status, None for a response that the origin made."""
        found = re.search(r"; *error=([a-z_]+)", self.fields.get("Proxy-Status") or "")
        return found and found.group(1)


class Wire:
    """A connected socket: exact bytes out, strict messages in. Everything that came stands in `received`."""

    def __init__(self, sock, patience=PATIENCE):
        self.sock = sock
        self.patience = patience
        self.received = bytearray()
        self._taken = 0
        self._was_reset = False
        sock.settimeout(patience)

    # Bytes

    def send(self, *pieces):
        for piece in pieces:
            self.sock.sendall(piece)

    def send_slowly(self, data, pause=0.001, step=1):
        """In small pieces, each in a packet of its own."""
        self.send_pieces([data[at:at + step] for at in range(0, len(data), step)], pause)

    def send_pieces(self, pieces, pause=0.001):
        """Each in a packet of its own, with a pause between two, in which the peer reads the first."""
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index, piece in enumerate(pieces):
            if index:
                time.sleep(pause)
            self.send(piece)

    def send_until_blocked(self, data, seconds=0.4):
        """Sends until nothing on the way takes more for so long; how much was taken."""
        poller = select.poll()
        poller.register(self.sock, select.POLLOUT)
        taken = 0
        while taken < len(data) and poller.poll(seconds * 1000):
            try:
                taken += self.sock.send(data[taken:taken + (1 << 18)])
            except BlockingIOError:
                pass
        return taken

    def fill(self):
        """Receives something more; False at the end of the stream."""
        if self._was_reset:
            raise Reset("seen before")
        try:
            data = self.sock.recv(65536)
        except ConnectionError as error:
            raise Reset(str(error)) from None
        except TimeoutError:
            raise AssertionError(f"nothing came for {self.patience:g} s; so far "
                                 f"{bytes(self.received[-400:])!r}") from None
        self.received += data
        return bool(data)

    def left(self):
        """Bytes that came and no message was made of."""
        return bytes(self.received[self._taken:])

    def exactly(self, count):
        while len(self.received) - self._taken < count:
            if not self.fill():
                raise Truncated(f"{count - len(self.left())} bytes short of {count}")
        return self._take(count)

    def until(self, mark):
        """Bytes up to and with mark."""
        at = self._taken
        while True:
            found = self.received.find(mark, at)
            if found >= 0:
                return self._take(found + len(mark) - self._taken)
            at = max(self._taken, len(self.received) - len(mark) + 1)
            if not self.fill():
                raise Truncated(f"no {mark!r} after {self.left()[-200:]!r}")

    def rest(self):
        """Everything up to the end of the stream."""
        while self.fill():
            pass
        return self._take(len(self.received) - self._taken)

    def how_it_ends(self):
        """Everything up to the end of the connection, and what that was: "fin" or "reset"."""
        try:
            return self.rest(), "fin"
        except Reset:
            return self._take(len(self.left())), "reset"

    def talk_on(self):
        """Sends in a thread for as long as somebody takes it."""
        def run():
            try:
                while True:
                    self.sock.sendall(b"u" * 20000)
            except OSError:
                pass
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _take(self, count):
        start, self._taken = self._taken, self._taken + count
        return bytes(self.received[start:self._taken])

    def closed_by_peer(self, patience=0.0):
        """Whether an end or a reset has come (within `patience` seconds), without waiting for data."""
        end = time.monotonic() + patience
        while True:
            self.sock.settimeout(max(end - time.monotonic(), 0.0))
            try:
                data = self.sock.recv(65536)
            except (TimeoutError, BlockingIOError):
                return False
            except ConnectionError:
                self._was_reset = True      # the kernel tells of it once only
                return True
            finally:
                self.sock.settimeout(self.patience)
            if not data:
                return True
            self.received += data

    # Messages

    def line(self):
        line = self.until(b"\n")
        if len(line) > MAX_LINE:
            raise Malformed("endless line")
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Malformed(f"a line that does not end in CRLF alone: {line[:200]!r}")
        return line[:-2]

    def read_fields(self):
        fields = Fields()
        while line := self.line():
            match = FIELD.fullmatch(line)
            if not match:
                raise Malformed(f"not a field: {line[:200]!r}")
            fields.append((match[1].decode(), match[2].decode("latin-1")))
        return fields

    def _first_line(self, pattern, what):
        if not self.left() and not self.fill():
            raise Closed(f"closed instead of a {what}")
        line = self.line()
        match = pattern.fullmatch(line)
        if not match:
            raise Malformed(f"not a {what}: {line[:200]!r}")
        return [part.decode("latin-1") for part in match.groups()]

    def read_request_head(self):
        start = self._taken
        method, target, version = self._first_line(REQUEST_LINE, "request")
        request = Request(version=version, method=method, target=target)
        request.fields = self.read_fields()
        request.raw = bytes(self.received[start:self._taken])
        return request

    def read_request(self):
        request = self.read_request_head()
        self.read_body(request)
        return request

    def read_response_head(self):
        """One head, which may be of an interim response."""
        start = self._taken
        version, status, reason = self._first_line(STATUS_LINE, "response")
        response = Response(version=version, status=int(status), reason=reason)
        response.fields = self.read_fields()
        response.raw = bytes(self.received[start:self._taken])
        return response

    def read_response(self, method="GET"):
        interim = []
        while True:
            response = self.read_response_head()
            if response.status == 101 or response.status >= 200:
                break
            for name in ("Content-Length", "Transfer-Encoding"):
                if name in response.fields:
                    raise Malformed(f"{name} in a {response.status}")
            interim.append(response)
        response.interim = interim
        self.read_body(response, method)
        return response

    def read_body(self, message, method=None):
        """Reads what follows the head. `method` is that of the request which a response answers."""
        start = self._taken
        message.framing = _framing(message, method)
        if message.framing == "length":
            message.body = self.exactly(int(message.fields.get("Content-Length")))
        elif message.framing == "chunked":
            message.body = b"".join(self.chunks())
            message.trailers = self.read_fields()
        elif message.framing == "close":
            message.body = self.rest()
        message.raw += bytes(self.received[start:self._taken])
        return message

    def chunks(self):
        """Each chunk's data as it comes; the trailers are left to the caller."""
        while True:
            line = self.line()
            match = CHUNK_LINE.fullmatch(line)
            if not match:
                raise Malformed(f"not a chunk's size: {line[:200]!r}")
            size = int(match[1], 16)
            if not size:
                return
            data = self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Malformed("no CRLF behind a chunk")
            yield data


def _framing(message, method):
    length = message.fields.get("Content-Length")
    coding = message.fields.get("Transfer-Encoding")
    if length is not None and not re.fullmatch("[0-9]{1,18}", length):
        raise Malformed(f"Content-Length: {length!r}")
    if coding is not None and coding != "chunked":
        raise Malformed(f"Transfer-Encoding: {coding!r}")
    if coding is not None and length is not None:
        raise Malformed("both Content-Length and Transfer-Encoding")
    if coding is not None and message.version != "HTTP/1.1":
        raise Malformed(f"Transfer-Encoding in {message.version}")
    if isinstance(message, Response):
        if message.status in (204, 304) or message.status < 200 or method == "HEAD":
            if message.status == 204 and (length is not None or coding is not None):
                raise Malformed("framing in a 204")
            return "none"
        if length is None and coding is None:
            return "close"
    return "chunked" if coding is not None else "length" if length is not None else "none"
