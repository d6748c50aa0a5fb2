"""Section 4.2: responses: what they may not be, and the framings of both protocol versions."""

import pytest

from .harness import Reset, Truncated, wait_until
from .harness.client import chunked, request
from .harness.origin import answer

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"

MALFORMED = {
    "length-and-coding": OK + TWO + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "lengths-that-differ": OK + TWO + b"Content-Length: 3\r\n\r\nok!",
    "length-plus": OK + b"Content-Length: +2\r\n\r\nok",
    "length-overflow": OK + b"Content-Length: 18446744073709551618\r\n\r\nok",
    "coding-unknown": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked-twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked-not-last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "coding-in-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare-lf-after-field": OK + b"X: a\n" + TWO + b"\r\nok",
    "bare-cr": OK + b"X: a\rb\r\n" + TWO + b"\r\nok",
    "obs-fold": OK + b"X: a\r\n b\r\n" + TWO + b"\r\nok",
    "space-before-colon": OK + b"Content-Length : 2\r\n\r\nok",
    "no-colon": OK + b"X\r\n" + TWO + b"\r\nok",
    "nul": OK + b"X: \0\r\n" + TWO + b"\r\nok",
    "control": OK + b"X: \x1b[0m\r\n" + TWO + b"\r\nok",
    "empty-name": OK + b": x\r\n" + TWO + b"\r\nok",
    "version-2": b"HTTP/2 200 OK\r\n" + TWO + b"\r\nok",
    "version-lower-case": b"http/1.1 200 OK\r\n" + TWO + b"\r\nok",
    "status-two-digits": b"HTTP/1.1 20 OK\r\n" + TWO + b"\r\nok",
    "status-four-digits": b"HTTP/1.1 2000 OK\r\n" + TWO + b"\r\nok",
    "status-letters": b"HTTP/1.1 2OO OK\r\n" + TWO + b"\r\nok",
    "status-zero": b"HTTP/1.1 000 OK\r\n" + TWO + b"\r\nok",
    "reason-control": b"HTTP/1.1 200 O\x01K\r\n" + TWO + b"\r\nok",
    "http-0.9": b"<html>hello</html>\r\n\r\n",
    "garbage": bytes(range(256)) + b"\r\n\r\n",
    "another-protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "unasked-101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_responses_that_are_refused(stage, name):
    """in a response: 502 and the socket closed [...] A 101 that was not asked for is a malformed response."""
    origin = stage.origin(lambda asked: MALFORMED[name] if asked.target == "/bad" else answer())
    carpool = stage.carpool()
    assert carpool.get(origin.url("/good")).status == 200
    response = carpool.get(origin.url("/bad"))
    assert response.status == 502 and response.error == "http_protocol_error"
    origin.connections[0].wait_ended()
    assert carpool.get(origin.url("/good")).status == 200
    assert origin.accepted == 2 and origin.targets == ["/good", "/bad", "/good"]
    assert carpool.retired(origin) == {"protocol-error": 1}


CHUNKS = {
    "size": b"zz\r\nabc\r\n0\r\n\r\n", "size-bare-lf": b"3\nabc\r\n0\r\n\r\n", "no-end": b"3\r\nabcd\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\nabc", "trailer": b"3\r\nabc\r\n0\r\nX\r\n\r\n", "extension": b"3;\x01\r\nabc\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_that_are_refused(stage, name):
    """Once a response head went out, a failure cuts the client's connection"""
    origin = stage.origin(lambda _: OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS[name])
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    try:
        response = client.response()
        assert response.status == 502 and response.error == "http_protocol_error"
    except (Truncated, Reset):
        pass
    origin.connections[0].wait_ended()
    assert carpool.retired(origin) == {"protocol-error": 1}


@pytest.mark.parametrize("count, status", [(16, 200), (17, 502)])
def test_the_limit_of_interim_responses(stage, count, status):
    """16 interim responses"""
    origin = stage.origin(lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * count + answer())
    response = stage.carpool().get(origin.url("/"))
    assert response.status == status
    assert len(response.interim) == 16 or status == 502 and len(response.interim) <= 16


@pytest.mark.parametrize("size, fine", [(7, True), (9, False)])
def test_the_limit_of_trailers(stage, size, fine):
    """limits of 8 KiB of trailers"""
    trailers = [(f"X-{number}", "y" * 1000) for number in range(size)]
    origin = stage.origin(lambda _: OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", trailers=trailers))
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"), fields=[("TE", "trailers"), ("Connection", "TE")])
    if fine:
        assert len(client.response().trailers) == size
    else:
        with pytest.raises((Truncated, Reset)):
            client.response()
        (error,) = carpool.agents()["default"]["recentErrors"]
        assert "trailers are longer than 8 KiB" in error["text"]


def test_trailers_pass_both_ways(stage):
    """trailers [...] are right"""
    origin = stage.origin(lambda asked: OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
                          chunked(asked.body, trailers=[("X-Sum", asked.trailers.get("X-Sum"))]))
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"),
                                                        ("TE", "trailers"), ("Connection", "TE")]) +
                chunked(b"abc", trailers=[("X-Sum", "12")]))
    response = client.response()
    assert response.body == b"abc" and response.trailers.get("X-Sum") == "12"


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "Connection"])
def test_trailers_that_would_be_framing(stage, name):
    """trailers [...] are right: a trailer never becomes framing or routing (RFC 9110, 6.5.1)"""
    origin = stage.origin(lambda _: answer())
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) +
                chunked(b"abc", trailers=[(name, "5")]))
    response = client.response()
    assert response.status in (200, 400)
    assert all(name not in got.trailers for got in origin.requests)


def test_interim_responses_pass(stage):
    """1xx [...] are right"""
    origin = stage.origin(lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"final"))
    response = stage.carpool().get(origin.url("/"))
    assert [each.status for each in response.interim] == [103] and response.text == "final"
    assert response.interim[0].fields.get("Link") == "</a>"


def test_interim_responses_are_not_for_http_1_0(stage):
    """1xx [...], HTTP/1.0 on either side [...] are right (RFC 9110, 15.2)"""
    origin = stage.origin(lambda _: b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"final"))
    response = stage.carpool().get(origin.url("/"), version="1.0")
    assert not response.interim and response.text == "final"


def continuing(first):
    def serve(connection):
        while True:
            head = connection.read_request_head()
            connection.note(head)
            connection.send(first)
            connection.read_body(head)
            connection.origin.arrived(head)
            connection.send(answer(head.body))
    return serve


def test_expect_100_continue(stage):
    """`Expect: 100-continue` [...] are right: it and the 100 pass, the body follows"""
    origin = stage.origin(serve=continuing(b"HTTP/1.1 100 Continue\r\n\r\n"))
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("PUT", origin.url("/"), fields=[("Expect", "100-continue"), ("Content-Length", 3)]))
    assert client.read_response_head().status == 100
    assert not origin.requests
    client.send(b"abc")
    assert client.response().body == b"abc"
    assert origin.requests[0].fields.get("Expect") == "100-continue"
    assert carpool.get(origin.url("/")).status == 200 and origin.accepted == 1


def test_expect_answered_by_a_final_response(stage):
    """`Expect: 100-continue` [...] are right: a final answer in its place reaches the client, without the
    body"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(answer(b"no", "417 Expectation Failed"))
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    client.send(request("PUT", origin.url("/"), fields=[("Expect", "100-continue"), ("Content-Length", 3)]))
    response = client.response()
    assert response.status == 417 and not response.interim
    assert origin.connections[0].requests[0].fields.get("Expect") == "100-continue"


def test_head(stage):
    """HEAD [...] are right: no body, whatever Content-Length says, and the socket is kept"""
    origin = stage.origin(lambda asked: answer(b"", fields=[("Content-Length", 5000)], length=False)
                          if asked.method == "HEAD" else answer())
    carpool = stage.carpool()
    client = carpool.client()
    head = client.get(origin.url("/"), method="HEAD")
    assert head.fields.get("Content-Length") == "5000" and head.body == b""
    assert client.get(origin.url("/")).text == "ok"
    assert origin.accepted == 1


def test_head_of_something_chunked(stage):
    """HEAD [...] are right"""
    origin = stage.origin(lambda _: OK + b"Transfer-Encoding: chunked\r\n\r\n")
    client = stage.carpool().client()
    for _ in range(2):
        assert client.get(origin.url("/"), method="HEAD").status == 200
    assert origin.accepted == 1


@pytest.mark.parametrize("response, length", [
    (b"HTTP/1.1 204 No Content\r\n\r\n", None), (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", "100"),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", None), (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None)])
def test_responses_without_a_body(stage, response, length):
    """204, 304 [...] are right"""
    origin = stage.origin(lambda _: response)
    client = stage.carpool().client()
    for _ in range(2):
        got = client.get(origin.url("/"))
        assert got.status == int(response[9:12]) and got.body == b""
        assert got.fields.get("Content-Length") == length
    assert origin.accepted == 1


def test_a_response_that_ends_with_the_connection(stage):
    """close-delimited responses are right: the client gets self-delimiting framing and keeps its
    connection"""
    def respond(asked):
        asked.connection.send(OK + b"\r\n" + b"z" * 100000)
        asked.connection.close()
    origin = stage.origin(respond)
    carpool = stage.carpool()
    client = carpool.client()
    for _ in range(2):
        response = client.get(origin.url("/"))
        assert response.framing == "chunked" and response.body == b"z" * 100000
    assert carpool.retired(origin) == {"close-delimited": 2}


def test_a_close_delimited_response_streams(stage):
    """Bodies stream in both directions at once"""
    origin = stage.origin(manual=True)
    client = stage.carpool().ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(OK + b"\r\nfirst")
    head = client.read_response_head()
    assert head.fields.get("Transfer-Encoding") == "chunked"
    chunks = client.chunks()
    assert next(chunks) == b"first"
    connection.send(b"second")
    assert next(chunks) == b"second"
    connection.close()
    assert list(chunks) == []


def test_a_1_0_client_of_a_chunked_response(stage):
    """HTTP/1.0 on either side [...] are right: no chunks for a 1.0 client"""
    origin = stage.origin(lambda _: OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"def"))
    carpool = stage.carpool()
    for _ in range(2):
        response = carpool.get(origin.url("/"), version="1.0")
        assert response.body == b"abcdef" and response.framing == "close"
    assert origin.accepted == 1


@pytest.mark.parametrize("fields, kept", [
    ([], False), ([("Connection", "keep-alive")], True), ([("Connection", "Keep-Alive, X")], True),
    ([("Connection", "close, keep-alive")], False), ([("Proxy-Connection", "keep-alive")], False)])
def test_a_1_0_client_and_keep_alive(stage, fields, kept):
    """A 1.0 client's explicit `Connection: keep-alive` is honoured, a 1.0 origin's too, nothing less."""
    origin = stage.origin()
    client = stage.carpool().client()
    response = client.get(origin.url("/"), version="1.0", fields=fields)
    said = (response.fields.get("Connection") or "").lower()
    if kept:
        assert said == "keep-alive"
        assert client.get(origin.url("/"), version="1.0").status == 200
    else:
        assert said != "keep-alive"
        client.expect_end()
    assert origin.accepted == 1


@pytest.mark.parametrize("fields, kept", [([], False), ([("Connection", "keep-alive")], True),
                                          ([("Connection", "Keep-Alive")], True), ([("Connection", "x")], False)])
def test_a_1_0_origin_and_keep_alive(stage, fields, kept):
    """A 1.0 client's explicit `Connection: keep-alive` is honoured, a 1.0 origin's too, nothing less."""
    origin = stage.origin(lambda _: answer(b"ok", fields=fields, version="1.0"))
    carpool = stage.carpool()
    for _ in range(2):
        response = carpool.get(origin.url("/"))
        assert response.text == "ok" and response.version == "HTTP/1.1"
    assert origin.accepted == (1 if kept else 2)
    assert carpool.retired(origin) == ({} if kept else {"connection-close": 2})


def test_the_reason_phrase_and_unknown_statuses(stage):
    """Absolute-form requests are forwarded: what the origin says comes back as it is"""
    for line, reason in (("299 Quite Fine", "Quite Fine"), ("599 ", ""), ("200 \xe9t\xe9", "\xe9t\xe9")):
        origin = stage.origin(lambda _, line=line: f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
        response = stage.carpool().get(origin.url("/"))
        assert response.status == int(line[:3]) and response.reason == reason


@pytest.mark.parametrize("status", [600, 783, 999])
def test_statuses_of_unknown_classes(stage, status):
    """Any three-digit status of 200 and more is passed on as it came; 600 and more is framed as 5xx are (RFC 9110 15)"""
    origin = stage.origin(lambda _: f"HTTP/1.1 {status} Odd\r\nContent-Length: 3\r\n\r\nodd".encode())
    carpool = stage.carpool()
    for _ in range(2):
        response = carpool.get(origin.url("/"))
        assert (response.status, response.reason, response.body) == (status, "Odd", b"odd")
    assert origin.accepted == 1
    assert f'carpool_client_requests_total{{status="{status}"}} 2' in carpool.admin("/metrics").text


def test_a_response_byte_by_byte(stage):
    """trailers, 1xx [...] are right, however the bytes are cut"""
    data = (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Transfer-Encoding: chunked\r\nX: y\r\n\r\n" +
            chunked(b"abc", b"defg", trailers=[("X-T", "u")]))
    origin = stage.origin(lambda asked: asked.connection.send_slowly(data, pause=0.0003))
    carpool = stage.carpool()
    client = carpool.client()
    for _ in range(2):
        assert client.get(origin.url("/"), fields=[("TE", "trailers"), ("Connection", "TE")]).body == b"abcdefg"
    assert origin.accepted == 1


def test_a_request_byte_by_byte(stage):
    """trailers, 1xx [...] are right, however the bytes are cut"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send_slowly(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) +
                       chunked(b"abc", b"defg", trailers=[("X-T", "u")]), pause=0.0003)
    assert client.response().body == b"abcdefg"


def test_an_interim_response_does_not_wait(stage):
    """1xx [...] are right: passed on as it comes"""
    origin = stage.origin(manual=True)
    client = stage.carpool().ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
    wait_until(client.answered, "the 102 arrives")
    connection.reply()
    assert [each.status for each in client.response().interim] == [102]
