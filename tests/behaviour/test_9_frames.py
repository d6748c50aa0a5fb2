"""Section 9.4, 9.6, 9.10: frames that break RFC 9113, after the list of a well-known conformance suite for clients. What the RFC calls
an error of the connection ends it, what it calls one of a stream costs that, and what is to be ignored is."""

import struct

import pytest

from .harness import wait_until
from .harness.h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, PADDED,
                         PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE)
from .test_9_http2 import begin

COMPRESSION_ERROR = 9
HEAD = b"\x88\x00\x01x\x011"       # :status 200, x: 1
UNKNOWN = 0x42


def word(number):
    return struct.pack(">I", number)


def setting(name, value):
    return struct.pack(">HI", name, value)


# What the origin says when a request is complete: (name, RFC 9113 section, frames), a frame being (type, flags, stream, payload).
# Stream 0 is the connection's and None the request's. Each may be answered by one of several errors: what an implementation notices
# first is its own choice.
CONNECTION = [
    ("DATA of a size that was not allowed", "4.2", [(HEADERS, END_HEADERS, None, HEAD), (DATA, END_STREAM, None, b"x" * 16385)]),
    ("HEADERS of a size that was not allowed", "4.2", [(HEADERS, END_HEADERS, None, HEAD * 3000)]),
    ("a field block that is none", "4.3", [(HEADERS, END_HEADERS, None, b"\xff\xff\xff\xff\xff\xff\xff\xff")]),
    ("an index beyond the table", "4.3", [(HEADERS, END_HEADERS, None, b"\xfe")]),
    ("PING within a field block", "4.3", [(HEADERS, 0, None, HEAD), (PING, 0, 0, b"12345678"), (CONTINUATION, END_HEADERS, None, b"")]),
    ("an unknown frame within a field block", "5.5", [(HEADERS, 0, None, HEAD), (UNKNOWN, 0, 0, b""), (CONTINUATION, END_HEADERS, None, b"")]),
    ("CONTINUATION of another stream", "6.10", [(HEADERS, 0, None, HEAD), (CONTINUATION, END_HEADERS, 99, b"")]),
    ("DATA of an idle stream", "5.1", [(DATA, 0, 99, b"x")]),
    ("RST_STREAM of an idle stream", "5.1", [(RST_STREAM, 0, 99, word(8))]),
    ("WINDOW_UPDATE of an idle stream", "5.1", [(WINDOW_UPDATE, 0, 99, word(1))]),
    ("HEADERS of an idle stream", "5.1", [(HEADERS, END_HEADERS | END_STREAM, 99, HEAD)]),
    ("HEADERS of a stream of its own", "5.1.1", [(HEADERS, END_HEADERS | END_STREAM, 2, HEAD)]),
    ("DATA of stream 0", "6.1", [(DATA, 0, 0, b"x")]),
    ("DATA with more padding than itself", "6.1", [(HEADERS, END_HEADERS, None, HEAD), (DATA, PADDED | END_STREAM, None, b"\x05abc")]),
    ("DATA before HEADERS", "8.1", [(DATA, END_STREAM, None, b"x")]),
    ("HEADERS of stream 0", "6.2", [(HEADERS, END_HEADERS, 0, HEAD)]),
    ("HEADERS with more padding than itself", "6.2", [(HEADERS, END_HEADERS | PADDED, None, b"\x40" + HEAD)]),
    ("PRIORITY of stream 0", "6.3", [(PRIORITY, 0, 0, b"\0\0\0\0\1")]),
    ("RST_STREAM of stream 0", "6.4", [(RST_STREAM, 0, 0, word(8))]),
    ("RST_STREAM of another size", "6.4", [(RST_STREAM, 0, None, b"\0\0\0")]),
    ("SETTINGS of a stream", "6.5", [(SETTINGS, 0, 1, b"")]),
    ("SETTINGS of another size", "6.5", [(SETTINGS, 0, 0, b"\0\3\0")]),
    ("an acknowledgement with settings", "6.5", [(SETTINGS, ACK, 0, setting(3, 1))]),
    ("ENABLE_PUSH 2", "6.5.2", [(SETTINGS, 0, 0, setting(2, 2))]),
    ("ENABLE_PUSH of a server", "6.5.2", [(SETTINGS, 0, 0, setting(2, 1))]),
    ("INITIAL_WINDOW_SIZE 2^31", "6.5.2", [(SETTINGS, 0, 0, setting(4, 2 ** 31))]),
    ("MAX_FRAME_SIZE below 2^14", "6.5.2", [(SETTINGS, 0, 0, setting(5, 16383))]),
    ("MAX_FRAME_SIZE above 2^24 - 1", "6.5.2", [(SETTINGS, 0, 0, setting(5, 2 ** 24))]),
    ("PUSH_PROMISE", "6.6", [(PUSH_PROMISE, END_HEADERS, None, word(2) + HEAD)]),
    ("PING of a stream", "6.7", [(PING, 0, 1, b"12345678")]),
    ("PING of another size", "6.7", [(PING, 0, 0, b"1234567")]),
    ("GOAWAY of a stream", "6.8", [(GOAWAY, 0, 1, word(0) + word(0))]),
    ("WINDOW_UPDATE 0 of the connection", "6.9", [(WINDOW_UPDATE, 0, 0, word(0))]),
    ("WINDOW_UPDATE 0 of the stream", "6.9", [(WINDOW_UPDATE, 0, None, word(0))]),
    ("WINDOW_UPDATE of another size", "6.9", [(WINDOW_UPDATE, 0, 0, b"\0\0\1")]),
    ("a window of the connection above 2^31 - 1", "6.9.1", [(WINDOW_UPDATE, 0, 0, word(2 ** 31 - 1))] * 2),
    ("CONTINUATION of stream 0", "6.10", [(CONTINUATION, END_HEADERS, 0, b"")]),
    ("CONTINUATION of nothing", "6.10", [(CONTINUATION, END_HEADERS, None, HEAD)]),
    ("CONTINUATION behind a whole head", "6.10", [(HEADERS, END_HEADERS, None, HEAD), (CONTINUATION, END_HEADERS, None, b"")]),
]
STREAM = [
    ("a window of the stream above 2^31 - 1", "6.9.1", [(WINDOW_UPDATE, 0, None, word(2 ** 31 - 1))] * 2),
    ("a second head that ends nothing", "8.1", [(HEADERS, END_HEADERS, None, HEAD), (HEADERS, END_HEADERS, None, b"\x00\x01x\x011")]),
    ("a name in upper case", "8.2.1", [(HEADERS, END_HEADERS, None, b"\x88\x00\x01X\x011")]),
    ("no :status", "8.3.2", [(HEADERS, END_HEADERS | END_STREAM, None, b"\x00\x01x\x011")]),
    ("a pseudo field behind a field", "8.3", [(HEADERS, END_HEADERS | END_STREAM, None, b"\x00\x01x\x011\x88")]),
    ("an unknown pseudo field", "8.3", [(HEADERS, END_HEADERS | END_STREAM, None, b"\x88\x00\x02:x\x011")]),
    ("a pseudo field in trailers", "8.1", [(HEADERS, END_HEADERS, None, HEAD), (HEADERS, END_HEADERS | END_STREAM, None, b"\x88")]),
    ("connection", "8.2.2", [(HEADERS, END_HEADERS | END_STREAM, None, b"\x88\x00\x0aconnection\x05close")]),
]
IGNORED = [
    ("an unknown frame", "5.5", [(UNKNOWN, 0xff, 0, b"x" * 8), (UNKNOWN, 0xff, None, b"x" * 8)]),
    ("unknown flags", "4.1", [(PING, 0xfe, 0, b"12345678")]),
    ("an unknown setting", "6.5.2", [(SETTINGS, 0, 0, setting(0xff, 1))]),
    ("PRIORITY", "5.3.2", [(PRIORITY, 0, None, b"\0\0\0\0\1"), (PRIORITY, 0, 99, b"\0\0\0\0\1")]),
    ("an acknowledgement of no PING", "6.7", [(PING, ACK, 0, b"nobody's")]),
    ("a reserved bit", "4.1", [(WINDOW_UPDATE, 0, 0, word(2 ** 31 + 1))]),
]


def ids(rows):
    return [f"{row[1]} {row[0]}" for row in rows]


def say(stream, frames):
    with stream.peer.together():
        for kind, flags, number, payload in frames:
            stream.peer.send(kind, flags, stream.number if number is None else number, payload)


def site(stage, frames, behind=False):
    """An origin that says them to the request for /bad; behind: answers, then."""
    def respond(stream):
        if stream.target != "/bad":
            return b"ok"
        say(stream, frames)
        return b"ok" if behind else None
    return begin(stage, "clear", respond)


def goaway_of(peer):
    frames = [frame for frame in peer.frames if frame[0] == GOAWAY]
    return struct.unpack(">I", frames[0][3][4:8])[0] if frames else None


@pytest.mark.parametrize("name, section, frames", CONNECTION, ids=ids(CONNECTION))
def test_an_error_of_the_connection(stage, name, section, frames):
    """9.4: 502; GOAWAY says why, and the next request has another connection"""
    origin, carpool, key = site(stage, frames)
    response = carpool.get(origin.url("/bad"), method="POST", body=b"once")
    if response.status == 200:      # its head went out before what followed it was seen
        raise AssertionError(f"{name} passed (RFC 9113 {section})")
    assert response.status == 502 and "http_protocol_error" in response.fields.get("Proxy-Status"), name
    carpool.wait_retired(key, "protocol-error", agent="api")
    wait_until(lambda: goaway_of(origin.peers[0]) is not None, "GOAWAY")
    assert goaway_of(origin.peers[0]) in (PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED)
    assert carpool.get(origin.url("/next")).body == b"ok"
    assert origin.accepted == 2 and sum(each.target == "/bad" for each in origin.requests) == 1


@pytest.mark.parametrize("name, section, frames", STREAM, ids=ids(STREAM))
def test_an_error_of_the_stream(stage, name, section, frames):
    """9.4, 9.6: 502 and RST_STREAM; the connection goes on"""
    origin, carpool, key = site(stage, frames)
    response = carpool.get(origin.url("/bad"), method="POST", body=b"once")
    assert response.status == 502 and "http_protocol_error" in response.fields.get("Proxy-Status"), f"{name} (RFC 9113 {section})"
    bad = origin.requests[0]
    bad.wait_for(lambda: bad.reset in (PROTOCOL_ERROR, FLOW_CONTROL_ERROR))
    assert carpool.get(origin.url("/next")).body == b"ok"
    assert origin.accepted == 1 and carpool.retired(key, "api") == {}


@pytest.mark.parametrize("name, section, frames", IGNORED, ids=ids(IGNORED))
def test_what_is_ignored(stage, name, section, frames):
    """9.10: but floods"""
    origin, carpool, _ = site(stage, frames, behind=True)
    assert carpool.get(origin.url("/bad")).body == b"ok", f"{name} (RFC 9113 {section})"
    assert carpool.get(origin.url("/next")).body == b"ok"
    assert origin.accepted == 1


def test_settings_and_pings_are_acknowledged(stage):
    """RFC 9113 6.5.3, 6.7: SETTINGS without content, PING with its own"""
    origin, carpool, _ = site(stage, [(SETTINGS, 0, 0, setting(3, 50)), (PING, 0, 0, b"echo it!")], behind=True)
    assert carpool.get(origin.url("/bad")).body == b"ok"
    frames = origin.peers[0].frames
    wait_until(lambda: (PING, ACK, 0, b"echo it!") in frames, "the PING comes back")
    assert frames.count((SETTINGS, ACK, 0, b"")) == 2
