"""A strict reading of HTTP/1.1 (RFC 9112) that shares nothing with Carpool: all that leaves it must pass here."""
import re

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") (/[!-~]*|\*) HTTP/(1\.1)")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9][0-9]) ([\t -~\x80-\xff]*)")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
SINGLE = {b"host", b"content-length", b"transfer-encoding"}
NO_TRAILER = {b"host", b"content-length", b"transfer-encoding", b"connection", b"trailer", b"te", b"via"}


class Malformed(Exception):
    """The bytes break the grammar."""


class Incomplete(Exception):
    """So far so good, but more must follow."""


class Message:
    def __init__(self):
        self.method = self.target = self.status = self.version = None
        self.fields, self.trailers, self.body, self.framing = [], [], b"", "none"
        self.interim = []

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower().encode()]

    def get(self, name):
        values = self.all(name)
        return b", ".join(values) if values else None

    def tokens(self, name):
        return [token.strip().lower() for token in (self.get(name) or b"").split(b",") if token.strip()]


def line(data, at):
    """The line at `at` without its CRLF, and where the next one begins."""
    end = data.find(b"\n", at)
    if end < 0:
        if re.search(rb"\r(?!\Z)", data[at:]):
            raise Malformed(f"bare CR in {data[at:at + 80]!r}")
        raise Incomplete
    text = data[at:end]
    if not text.endswith(b"\r"):
        raise Malformed(f"bare LF behind {text[-80:]!r}")
    if b"\r" in text[:-1]:
        raise Malformed(f"bare CR in {text[:80]!r}")
    return text[:-1], end + 1


def fields(data, at, allowed=lambda name: True):
    out = []
    while True:
        text, at = line(data, at)
        if not text:
            return out, at
        match = FIELD.fullmatch(text)
        if not match:
            raise Malformed(f"field line {text[:80]!r}")
        if not allowed(match[1].lower()):
            raise Malformed(f"{match[1]!r} as a trailer")
        out.append((match[1], match[2]))


def framing(message):
    """'none', 'chunked', or the length; what is ambiguous is malformed (RFC 9112 6.3)."""
    for name in SINGLE:
        if len([key for key, _ in message.fields if key.lower() == name]) > 1:
            raise Malformed(f"{name!r} twice")
    coding, length = message.get("transfer-encoding"), message.get("content-length")
    if coding is not None and length is not None:
        raise Malformed("both Content-Length and Transfer-Encoding")
    if coding is not None:
        if coding != b"chunked":
            raise Malformed(f"Transfer-Encoding {coding!r}")
        return "chunked"
    if length is not None:
        if not re.fullmatch(rb"0|[1-9][0-9]{0,18}", length):
            raise Malformed(f"Content-Length {length!r}")
        return int(length)
    return "none"


def request_head(data, at=0):
    text, next_at = line(data, at)
    match = REQUEST_LINE.fullmatch(text)
    if not match:
        raise Malformed(f"request line {text[:120]!r}")
    message = Message()
    message.method, message.target = match[1].decode(), match[2].decode()
    message.version = "HTTP/" + match[3].decode()
    if message.target == "*" and message.method != "OPTIONS":
        raise Malformed("asterisk-form without OPTIONS")
    message.fields, next_at = fields(data, next_at)
    if len(message.all("host")) != 1:
        raise Malformed(f"Host: {message.all('host')}")
    message.framing = framing(message)
    return message, next_at


def chunked(data, at):
    body = bytearray()
    while True:
        text, at = line(data, at)
        if not CHUNK_SIZE.fullmatch(text):
            raise Malformed(f"chunk size line {text[:80]!r}")
        size = int(text, 16)
        if size == 0:
            break
        if len(data) < at + size + 2:
            if len(data) > at + size and data[at + size] != 13:
                raise Malformed("no CRLF behind chunk data")
            raise Incomplete
        body += data[at:at + size]
        if data[at + size:at + size + 2] != b"\r\n":
            raise Malformed("no CRLF behind chunk data")
        at += size + 2
    trailers, at = fields(data, at, lambda name: name not in NO_TRAILER)
    return bytes(body), trailers, at


def body(message, data, at):
    """Takes the message's body; returns where the next message begins."""
    if message.framing == "chunked":
        message.body, message.trailers, at = chunked(data, at)
    elif message.framing != "none":
        end = at + message.framing
        if len(data) < end:
            raise Incomplete
        message.body, at = data[at:end], end
    return at


def request(data, at=0):
    message, at = request_head(data, at)
    return message, body(message, data, at)


def response_head(data, at):
    text, at = line(data, at)
    match = STATUS_LINE.fullmatch(text)
    if not match:
        raise Malformed(f"status line {text[:120]!r}")
    message = Message()
    message.version, message.status = "HTTP/" + match[1].decode(), int(match[2])
    message.fields, at = fields(data, at)
    return message, at


def response(data, at=0, method="GET", eof=False):
    """The final response at `at`, its interim ones in `.interim`; close-delimited ones want `eof`."""
    interim = []
    while True:
        message, at = response_head(data, at)
        if message.status >= 200 or message.status == 101:
            break
        if message.get("content-length") is not None or message.get("transfer-encoding") is not None:
            raise Malformed(f"a {message.status} with framing")
        interim.append(message.status)
    message.interim = interim
    if message.status == 204 and message.get("content-length") is not None:
        raise Malformed("a 204 with Content-Length")
    if message.status in (101, 204) and message.get("transfer-encoding") is not None:
        raise Malformed(f"a {message.status} with Transfer-Encoding")
    message.framing = framing(message)
    if method == "HEAD" or message.status in (101, 204, 304) or (method == "CONNECT" and message.status < 300):
        return message, at
    if message.framing == "none":
        if not eof:
            raise Incomplete
        message.framing = "close"
        message.body = data[at:]
        return message, len(data)
    return message, body(message, data, at)


def requests(data):
    """All complete requests in `data`."""
    out, at = [], 0
    while at < len(data):
        try:
            message, at = request(data, at)
        except Incomplete:
            break
        out.append(message)
    return out
