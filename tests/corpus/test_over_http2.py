"""The cases of responses/ that have a meaning over HTTP/2: a response that HTTP/1.1 has whole comes as HEADERS, DATA and trailers,
and must reach the client as the same message; a head that is at fault comes with its names and values byte by byte, and must not
reach it as anything but strict HTTP."""
import socket

import pytest

from behaviour.harness.daemon import Daemon
from behaviour.harness.h2 import END_HEADERS, END_STREAM, HEADERS, h2_origin
from behaviour.harness.origin import Origins
from behaviour.harness.ports import Ports

from . import strict
from .case import all_cases
from .judge import VIA

CLEAN = b"the clean answer"
# Fields that a hop of HTTP/1.1 has for itself: a gateway leaves them out.
OF_HTTP_1 = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}


# What makes a request one for HTTP/1.1.
FOR_HTTP_1 = (b"connect ", b"\nupgrade:", b" ntlm", b" negotiate")


def asked(case):
    """The method of its request; None: it is none that has an answer over HTTP/2."""
    if case.when != "reply" or any(word in case.request.lower() for word in FOR_HTTP_1):
        return None
    return case.request.split(b" ", 1)[0].decode("latin-1")


def message_of(case):
    """The response as HTTP/1.1 has it, when that is a whole one and nothing follows it."""
    try:
        message, end = strict.response(case.raw, 0, asked(case), "eof" in case.flags)
    except (strict.Malformed, strict.Incomplete):
        return None
    fits = end == len(case.raw) and message.status != 101 and case.expect == ["forward"]
    return message if fits and len(message.body) < 60000 else None


def pairs_of(case):
    """Its head as it stands: (name, value) of each line, and what follows; None where it is not a list of fields."""
    head, end, rest = case.raw.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    if not end or not line.startswith(b"HTTP/1.1 ") or not all(b":" in each for each in lines) or len(case.raw) > 16000:
        return None
    fields = [each.split(b":", 1) for each in lines]
    return [(b":status", line[9:12])] + [(name, value[1:] if value[:1] == b" " else value) for name, value in fields], rest


CASES = [case for case in all_cases("responses") if asked(case)]
WHOLE = [case for case in CASES if message_of(case)]
FAULTY = [case for case in CASES if case.expect == ["refuse"] and "eof" not in case.flags and pairs_of(case)]


def say_pairs(stream, pairs, end):
    with stream.peer.one:
        block = stream.peer.encoder.encode(pairs, huffman=False)
    stream.peer.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream.number, block)


def say_message(stream, message):
    for status in message.interim:
        stream.head(status)
    fields = [(name.lower(), value) for name, value in message.fields if name.lower() not in OF_HTTP_1]
    body = b"" if stream.method == "HEAD" or message.status in (204, 304) else message.body
    say_pairs(stream, [(b":status", str(message.status).encode()), *fields], not body and not message.trailers)
    if body:
        stream.data(body, end=not message.trailers)
    if message.trailers:
        say_pairs(stream, [(name.lower(), value) for name, value in message.trailers], True)


def say_faults(stream, pairs, rest):
    say_pairs(stream, pairs, not rest)
    if rest:
        stream.data(rest, end=True)


class Site:
    def __init__(self, folder):
        self.says = None
        self.origin = h2_origin(Origins(), self.respond, tls=False)
        self.carpool = Daemon({"name": VIA, "upstreams": {"api": {"match": "127.0.0.1", "h2Options": {"useH2c": True}}}}, Ports(), folder)

    def respond(self, stream):
        if stream.target == "/clean":
            return CLEAN
        with stream.peer.together():
            self.says(stream)
        return None

    def ask(self, says, request):
        """All that a client gets until its connection ends."""
        self.says = says
        request = request.replace(b"{ORIGIN}", self.origin.authority.encode()).replace(b"{HOST}", b"127.0.0.1")
        with socket.create_connection(("127.0.0.1", self.carpool.port), 30) as client:
            client.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            got = b""
            while piece := client.recv(65536):
                got += piece
        return got

    def is_sound(self):
        return self.carpool.running and self.carpool.get(self.origin.url("/clean")).body == CLEAN


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(str(tmp_path_factory.mktemp("over-http2")))
    yield site
    site.carpool.finish()
    site.origin.close()


def test_many_cases_have_a_meaning():
    assert len(WHOLE) >= 60 and len(FAULTY) >= 60


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_a_whole_response(case, site):
    message = message_of(case)
    got = site.ask(lambda stream: say_message(stream, message), case.request)
    client, end = strict.response(got, 0, asked(case), eof=True)
    assert (client.status, client.body, end) == (message.status, message.body, len(got)), f"{case.why}: {got[:500]!r}"
    assert b"POISON" not in got and client.get("transfer-encoding") in (None, b"chunked")
    assert site.is_sound()


@pytest.mark.parametrize("case", FAULTY, ids=lambda case: case.name)
def test_a_head_at_fault(case, site):
    """Refused; or passed on, where HTTP/2 has no such fault, as strict HTTP: framed anew, so that nothing follows it."""
    pairs, rest = pairs_of(case)
    got = site.ask(lambda stream: say_faults(stream, pairs, rest), case.request)
    client, end = strict.response(got, 0, asked(case), eof=True)
    assert end == len(got) and b"POISON" not in got, f"{case.why}: {got[:500]!r}"
    assert client.status == 502 or client.framing in ("length", "chunked", "none"), f"{case.why}: {got[:500]!r}"
    assert site.is_sound()
