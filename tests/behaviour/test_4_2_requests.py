"""Section 4.2: what a request may not be. Each is refused before a byte reaches the origin."""

import pytest

from .harness import Closed, Reset, wait_until
from .harness.client import chunked, request

HEAD = b"POST http://{}/ HTTP/1.1\r\nHost: {}\r\n"
GET = b"GET http://{}/ HTTP/1.1\r\nHost: {}\r\n"
SIX = b"Content-Length: 6\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_CHUNKS = b"\r\n0\r\n\r\n"

# name: (bytes, status)
HEADS = {
    "length-and-coding": (HEAD + SIX + CHUNKED + NO_CHUNKS, 400),
    "coding-and-length": (HEAD + CHUNKED + SIX + NO_CHUNKS, 400),
    "coding-and-length-zero": (HEAD + CHUNKED + b"Content-Length: 0\r\n" + NO_CHUNKS, 400),
    "coding-gzip": (HEAD + b"Transfer-Encoding: gzip\r\n" + NO_CHUNKS, 501),
    "coding-gzip-chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n" + NO_CHUNKS, 501),
    "coding-identity": (HEAD + b"Transfer-Encoding: identity\r\n" + NO_CHUNKS, 501),
    "coding-xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n" + NO_CHUNKS, 501),
    "coding-quoted": (HEAD + b'Transfer-Encoding: "chunked"\r\n' + NO_CHUNKS, (400, 501)),
    "coding-with-parameter": (HEAD + b"Transfer-Encoding: chunked;q=1\r\n" + NO_CHUNKS, (400, 501)),
    "coding-empty": (HEAD + b"Transfer-Encoding:\r\n" + NO_CHUNKS, (400, 501)),
    "chunked-twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n" + NO_CHUNKS, 400),
    "chunked-twice-in-two-fields": (HEAD + CHUNKED + CHUNKED + NO_CHUNKS, 400),
    "other-coding-behind": (HEAD + b"Transfer-Encoding: chunked, gzip\r\n" + NO_CHUNKS, 501),
    "coding-in-1.0": (b"POST http://{}/ HTTP/1.0\r\nHost: {}\r\n" + CHUNKED + NO_CHUNKS, 400),
    "lengths-that-differ": (HEAD + SIX + b"Content-Length: 7\r\n\r\nabcdef", 400),
    "length-list-that-differs": (HEAD + b"Content-Length: 6, 7\r\n\r\nabcdef", 400),
    "length-plus": (HEAD + b"Content-Length: +6\r\n\r\nabcdef", 400),
    "length-minus": (HEAD + b"Content-Length: -6\r\n\r\nabcdef", 400),
    "length-hex": (HEAD + b"Content-Length: 0x6\r\n\r\nabcdef", 400),
    "length-empty": (HEAD + b"Content-Length:\r\n\r\n", 400),
    "length-words": (HEAD + b"Content-Length: 6 6\r\n\r\nabcdef", 400),
    "length-overflow": (HEAD + b"Content-Length: 18446744073709551622\r\n\r\nabcdef", 400),
    "bare-cr-in-value": (GET + b"X: a\rb\r\n\r\n", 400),
    "bare-cr-in-line": (b"GET http://{}/\r HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
    "bare-lf": (b"GET http://{}/ HTTP/1.1\nHost: {}\r\n\r\n", 400),
    "bare-lf-after-field": (GET + b"X: a\n\r\n", 400),
    "bare-lf-at-the-end": (GET + b"\n", 400),
    "obs-fold": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "obs-fold-tab": (GET + b"X: a\r\n\tb\r\n\r\n", 400),
    "fold-of-the-first-field": (b"GET http://{}/ HTTP/1.1\r\n X: a\r\nHost: {}\r\n\r\n", 400),
    "space-before-colon": (GET + b"X : a\r\n\r\n", 400),
    "tab-before-colon": (HEAD + b"Content-Length\t: 6\r\n\r\nabcdef", 400),
    "host-missing": (b"GET http://{}/ HTTP/1.1\r\nX: a\r\n\r\n", 400),
    "host-doubled": (GET + b"Host: {}\r\n\r\n", 400),
    "host-with-path": (b"GET http://{}/ HTTP/1.1\r\nHost: {}/x\r\n\r\n", 400),
    "host-with-userinfo": (b"GET http://{}/ HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "host-list": (b"GET http://{}/ HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "userinfo": (b"GET http://user:word@{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
    "nul-in-value": (GET + b"X: a\0b\r\n\r\n", 400),
    "control-in-value": (GET + b"X: a\x01b\r\n\r\n", 400),
    "delete-in-value": (GET + b"X: a\x7fb\r\n\r\n", 400),
    "vertical-tab": (GET + b"X: a\x0bb\r\n\r\n", 400),
    "control-in-name": (GET + b"X\x01: a\r\n\r\n", 400),
    "eight-bit-name": (GET + b"X\xe9: a\r\n\r\n", 400),
    "empty-name": (GET + b": a\r\n\r\n", 400),
    "no-colon": (GET + b"Xa\r\n\r\n", 400),
    "bracketed-name": (GET + b"(X): a\r\n\r\n", 400),
    "method-with-at": (b"G@T http://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
    "two-spaces": (b"GET  http://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
    "tab-for-space": (b"GET\thttp://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
    "space-first": (b" GET http://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
    "space-last": (b"GET http://{}/ HTTP/1.1 \r\nHost: {}\r\n\r\n", 400),
    "no-version": (b"GET http://{}/\r\n\r\n", 400),
    "lower-case-version": (b"GET http://{}/ http/1.1\r\nHost: {}\r\n\r\n", 400),
    "odd-version": (b"GET http://{}/ HTTP/1.10\r\nHost: {}\r\n\r\n", 400),
    "one-digit-version": (b"GET http://{}/ HTTP/1\r\nHost: {}\r\n\r\n", 400),
    "version-2": (b"GET http://{}/ HTTP/2.0\r\nHost: {}\r\n\r\n", 505),
    "version-3": (b"GET http://{}/ HTTP/3.0\r\nHost: {}\r\n\r\n", 505),
    "http2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "expectation": (HEAD + b"Content-Length: \xb9\r\n\r\n", 400),
}


@pytest.mark.parametrize("how", ["whole", "bytes"])
@pytest.mark.parametrize("name", HEADS)
def test_heads_that_are_refused(stage, name, how):
    """RFC 9110 and 9112 hold for an intermediary, in their strict reading, since sockets are shared (both
    Content-Length and Transfer-Encoding: 400 and close; a coding other than exactly `chunked` [...]: 501;
    `chunked` twice or not last: 400; bare CR, bare LF as a line end, obs-fold, space before a colon, a Host
    missing (in HTTP/1.1) or doubled, userinfo in the target, a control character: 400 and close)"""
    origin = stage.origin()
    carpool = stage.carpool()
    data, wanted = HEADS[name]
    data = data.replace(b"{}", origin.authority.encode())
    client = carpool.client()
    try:
        (client.send if how == "whole" else lambda raw: client.send_slowly(raw, pause=0))(data)
    except ConnectionError:
        assert how == "bytes"      # refused before the last byte was sent
    response = client.response()
    assert response.status in (wanted if isinstance(wanted, tuple) else (wanted,))
    assert response.error == "http_request_error"
    assert response.fields.get("Connection") == "close"
    client.expect_end()
    assert origin.accepted == 0
    assert carpool.get(origin.url("/")).status == 200


@pytest.mark.parametrize("lines", [SIX + SIX, b"Content-Length: 6, 6\r\n"], ids=["twice", "list"])
def test_the_same_length_twice(stage, lines):
    """framing [...] is never ambiguous: refused, or made one (RFC 9110, 8.6)"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(HEAD.replace(b"{}", origin.authority.encode()) + lines + b"\r\nabcdef")
    if client.response("POST").status == 200:
        assert origin.requests[0].fields.all("Content-Length") == ["6"]
        assert origin.requests[0].body == b"abcdef"
    else:
        assert origin.accepted == 0


BODIES = {
    "size-missing": b"\r\nabc\r\n0\r\n\r\n",
    "size-not-hexadecimal": b"g\r\nabc\r\n0\r\n\r\n",
    "size-0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size-plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "size-minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "size-space-first": b" 3\r\nabc\r\n0\r\n\r\n",
    "size-overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "size-bare-lf": b"3\nabc\r\n0\r\n\r\n",
    "size-bare-cr": b"3\rabc\r\n0\r\n\r\n",
    "extension-bare-lf": b"3;a\nabc\r\n0\r\n\r\n",
    "extension-control": b"3;a=\x01\r\nabc\r\n0\r\n\r\n",
    "extension-bare-cr": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "data-too-long": b"3\r\nabcd\r\n0\r\n\r\n",
    "data-without-end": b"3\r\nabc0\r\n\r\n",
    "data-bare-lf": b"3\r\nabc\n0\r\n\r\n",
    "last-bare-lf": b"3\r\nabc\r\n0\n\r\n",
    "trailer-without-colon": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
    "trailer-fold": b"3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailer-control": b"3\r\nabc\r\n0\r\nX: a\x00\r\n\r\n",
    "trailer-space-before-colon": b"3\r\nabc\r\n0\r\nX : a\r\n\r\n",
    "trailer-bare-lf": b"3\r\nabc\r\n0\r\nX: a\n\r\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_chunks_that_are_refused(stage, name):
    """RFC 9110 and 9112 hold for an intermediary, in their strict reading [...]: 400 and close"""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) + BODIES[name])
    response = client.response()
    assert response.status == 400 and response.error == "http_request_error"
    client.expect_end()
    assert not origin.requests, "a whole request reached the origin"
    assert carpool.get(origin.url("/")).status == 200
    assert all(len(connection.requests) <= 1 for connection in origin.connections)


@pytest.mark.parametrize("size, fine", [(7 << 10, True), (9 << 10, False)])
def test_the_limit_of_trailers(stage, size, fine):
    """limits of 8 KiB of trailers"""
    origin = stage.origin()
    carpool = stage.carpool()
    fields = [(f"X-{number}", "y" * 1000) for number in range(size >> 10)]
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked"), ("TE", "trailers")]) +
                chunked(b"abc", trailers=fields))
    response = client.response()
    assert response.status == (200 if fine else 400) and ("trailers are longer than 8 KiB" in response.text) != fine
    assert len(origin.requests) == fine


@pytest.mark.parametrize("count, fine", [(15, True), (17, False)])
def test_the_limit_of_chunk_extensions(stage, count, fine):
    """16 KiB of chunk extensions a message"""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    extended = b"".join(b"1;%s\r\nx\r\n" % (b"e" * 1000) for _ in range(count)) + b"0\r\n\r\n"
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) + extended)
    response = client.response()
    assert response.status == (200 if fine else 400) and ("extensions are longer than 16 KiB" in response.text) != fine
    assert [len(each.body) for each in origin.requests] == ([count] if fine else [])
    if fine:
        assert b"eee" not in origin.connections[0].received


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED"])
def test_coding_names_know_no_case(stage, coding):
    """Coding names are case-insensitive."""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", coding)]) + chunked(b"abc", b"def"))
    assert client.response().body == b"abcdef"
    assert origin.requests[0].framing == "chunked"


@pytest.mark.parametrize("fields, body", [
    ([("Content-Length", 3)], b"abc"), ([("Content-Length", "003")], b"abc"), ([("Content-Length", 0)], b""), ([], b""),
    ([("Transfer-Encoding", "chunked")], chunked(b"ab", b"c"))])
def test_framing_is_generated_anew(stage, fields, body):
    """framing is generated anew and is never ambiguous"""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    for _ in range(2):
        client.send(request("POST", origin.url("/"), fields=fields) + body)
        assert client.response().status == 200
    assert origin.accepted == 1
    for got in origin.requests:
        assert got.body == (b"abc" if body else b"")
        lines = got.fields.all("Content-Length") + got.fields.all("Transfer-Encoding")
        assert len(lines) <= 1 and (lines or not body)
        assert lines in ([], ["3"], ["0"], ["chunked"])


def test_a_chunk_extension_stays_on_its_hop(stage):
    """framing is generated anew"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) +
                b'3;a="b;c";d\r\nabc\r\n0;last\r\n\r\n')
    assert client.response().body == b"abc"
    assert b"last" not in origin.connections[0].received and b'"b' not in origin.connections[0].received


def test_an_empty_line_before_a_request(stage):
    """RFC 9112, 2.2: an empty line before the request line is ignored"""
    origin = stage.origin()
    client = stage.carpool().client()
    for _ in range(2):
        client.send(b"\r\n" + request("GET", origin.url("/")))
        assert client.response().status == 200
    assert len(origin.requests) == 2


def test_a_request_of_http_1_0_needs_no_host(stage):
    """a Host missing (in HTTP/1.1)"""
    origin = stage.origin()
    client = stage.carpool().client()
    assert client.get(origin.url("/"), version="1.0").status == 200
    assert origin.requests[0].fields.get("Host") == origin.authority


@pytest.mark.parametrize("cut", [10, 40, 70])
def test_a_head_that_ends_midway(stage, cut):
    """Bad input [...] costs nobody else anything: clients [...] that vanish at any byte"""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("GET", origin.url("/"), fields=[("X", "y" * 60)])[:cut])
    client.fin()
    try:
        assert client.response().status == 400
    except (Closed, Reset):
        pass
    assert origin.accepted == 0


def test_a_body_that_ends_midway(stage):
    """Bad input [...]: a short body never becomes a whole request"""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 10)]) + b"12345")
    origin.wait_accepted(1)
    client.fin()
    origin.connections[0].wait_ended()
    wait_until(lambda: origin.connections[0].truncated, "the origin sees a cut request")
    assert not origin.requests
    try:
        assert client.response().status >= 400
    except (Closed, Reset):
        pass
