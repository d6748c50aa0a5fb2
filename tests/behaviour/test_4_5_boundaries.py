"""Sections 4.5 and 8: a client's next request begins exactly where the framing of the last one ended."""

import os
import signal

import pytest

from .harness import wait_until
from .harness.client import chunked, request
from .harness.origin import answer
from .harness.wire import Closed, Reset, Truncated


def statuses_of_all(client):
    """Reads answers until the connection ends: their status and content."""
    got = []
    try:
        while True:
            response = client.read_response()
            got.append((response.status, response.body))
    except (Closed, Reset, Truncated):
        return got


def asks_twice_and_meets_a_reset(stage, second, **config):
    """On one client's connection a GET, and `second` behind it, which is handed to the socket of the first when
    that has been reset and nobody listens any more. Carpool stands still meanwhile, so that it sees no more than what
    is in the kernel. What the client was answered, the origin, and a trap that nobody ever asks."""
    trap = stage.origin()
    origin = stage.origin(manual=True)
    carpool = stage.carpool(config)
    client = carpool.client()
    client.send(request("GET", origin.url("/1")) + second(origin, trap))
    origin.wait_requests(1)
    carpool.signal(signal.SIGSTOP)
    try:
        origin.stop_listening()
        origin.connections[0].reply(b"one")
        origin.connections[0].reset()
    finally:
        carpool.signal(signal.SIGCONT)
    return statuses_of_all(client), origin, trap, carpool


def hidden(trap):
    return request("GET", trap.url("/from-the-body"))


def by_length(method):
    def build(origin, trap):
        body = hidden(trap)
        return request(method, origin.url("/2"), fields=[("Content-Length", str(len(body)))]) + body
    return build


def by_chunks(method):
    def build(origin, trap):
        return request(method, origin.url("/2"), fields=[("Transfer-Encoding", "chunked")]) + chunked(hidden(trap))
    return build


@pytest.mark.parametrize("framed", [by_length, by_chunks], ids=["length", "chunks"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET", "OPTIONS"])
def test_the_body_of_a_request_whose_repeat_fails_is_no_request(stage, method, framed):
    """Behind a repeat that fails, the client's connection goes on only where its request was read to the end"""
    got, origin, trap, _ = asks_twice_and_meets_a_reset(stage, framed(method))
    assert trap.requests == [] and origin.targets[0] == "/1"
    assert [status for status, _ in got] == [200, 502]


@pytest.mark.parametrize("how", [{"defaults": {"retries": 3}}, {"workers": 2}], ids=["retries", "workers"])
def test_no_setting_makes_a_body_a_request(stage, how):
    """A client's next request begins exactly where the framing of the last one ended"""
    got, _, trap, _ = asks_twice_and_meets_a_reset(stage, by_length("PUT"), **how)
    assert trap.requests == []
    assert [status for status, _ in got] == [200, 502]


def test_a_request_behind_one_whose_repeat_failed_is_answered(stage):
    """the client's connection goes on only where its request was read to the end: it does, for one without a body"""
    def build(origin, trap):
        return request("GET", origin.url("/2")) + request("GET", trap.url("/3"), fields=[("Connection", "close")])
    got, _, other, _ = asks_twice_and_meets_a_reset(stage, build)
    assert [status for status, _ in got] == [200, 502, 200]
    assert other.targets == ["/3"]


# A last response is not lost to a reset.

def slow_reader(carpool):
    return carpool.client(receive_buffer=4096)


def all_of(client):
    """The whole response, however slowly it is taken; None where a reset has cut it."""
    try:
        return client.response("GET").body
    except (Reset, Truncated):
        return None


@pytest.mark.parametrize("server, stops", [({"maxRequestsPerSocket": 1}, False), ({}, True)], ids=["last", "stop"])
def test_a_last_response_is_whole_though_another_request_came(stage, server, stops):
    """whatever the reason for the close (a stop and `maxRequestsPerSocket` too), and for bytes that nobody has read"""
    body = os.urandom(300_000)
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"server": server})
    client = slow_reader(carpool)
    client.send(request("GET", origin.url("/1")))
    client._methods.append("GET")
    origin.wait_requests(1)
    client.send(request("GET", origin.url("/2")))
    if stops:
        carpool.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in carpool.stderr, "it stops")
    origin.connections[0].reply(body)
    assert all_of(client) == body
    assert origin.targets == ["/1"]


@pytest.mark.parametrize("most", [0, 1])
def test_an_early_answer_reaches_a_client_that_goes_on_sending(stage, most):
    """After a last response with request bytes still coming, Carpool shuts down writing, discards what comes [...]
    so that the answer is not lost to a reset, whatever the reason for the close"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(answer(b"too large", status="413 Content Too Large"))
        connection.patience = 1
    origin = stage.origin(serve=serve)
    carpool = stage.carpool({"server": {"maxRequestsPerSocket": most}})
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", str(1 << 20))]))
    client.send(b"x" * 1000)
    wait_until(lambda: client.answered(), "the answer is there")
    client.send(b"x" * 10_000)          # within what is discarded
    assert client.read_response("POST").status == 413


# Full duplex.

@pytest.mark.parametrize("size", [3, 200_000])
def test_an_early_response_does_not_stop_the_upload(stage, size):
    """a final response before the request's end is relayed at once, and the upload goes on for as long as the response
    lasts (full duplex: an origin may answer chunk by chunk)"""
    def serve(connection):
        head = connection.read_request_head()
        connection.note(head)
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4):
            piece = connection.exactly(size)
            connection.send(chunked(piece)[:-5])
        connection.send(b"0\r\n\r\n")
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", str(4 * size))]))
    head = None
    for number in range(4):
        client.send(bytes([65 + number]) * size)
        head = head or client.read_response_head()
        echoed = b""
        while len(echoed) < size:
            echoed += client.exactly(int(client.line(), 16))
            assert client.exactly(2) == b"\r\n"
        assert echoed == bytes([65 + number]) * size
    assert head.status == 200


def test_a_response_that_is_complete_ends_the_upload(stage):
    """when the response is complete and the upload is not, the upload stops, the socket is retired
    (`early-response`) and the client's connection closed"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(answer(b"no"))
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", "1000")]) + b"begun")
    assert client.read_response("POST").body == b"no"
    client.expect_end()
    carpool.wait_retired(origin, "early-response")


# What was said of the connection.

@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_1_0_request_with_an_odd_body_is_the_last(stage, method):
    """a 1.0 GET, HEAD or DELETE with a body is answered and then closed"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(request(method, origin.url("/"), version="1.0", body=b"odd",
                        fields=[("Connection", "keep-alive")]))
    assert client.read_response(method).status == 200
    client.expect_end()


def test_connection_close_goes_before_the_end_that_came_with_it(stage):
    """a response with Connection: close retires as `connection-close` though a FIN came with it"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.client().ask(origin.url("/"))
    origin.wait_requests(1)
    carpool.signal(signal.SIGSTOP)
    try:
        origin.connections[0].send(answer(b"ok", fields=[("Connection", "close")]))
        origin.connections[0].fin()
    finally:
        carpool.signal(signal.SIGCONT)
    assert client.response().body == b"ok"
    carpool.wait_retired(origin, "connection-close")
    origin.connections[0].finish()


def test_trace_is_answered_with_the_request(stage):
    """Max-Forwards (at 0: [...] TRACE with the request's head as `message/http`, less its credentials and cookies)"""
    origin = stage.origin()
    client = stage.carpool().client()
    secrets = [("Authorization", "Basic c2VjcmV0"), ("Cookie", "c=secret"), ("Proxy-Authorization", "Basic c2VjcmV0")]
    long = [(f"X-Long-{n}", "v" * 1000) for n in range(12)]
    got = client.get(origin.url("/t"), method="TRACE", fields=[("Max-Forwards", "0"), *secrets, *long])
    assert got.status == 200 and got.fields.get("Content-Type") == "message/http"
    lines = got.body.decode().split("\r\n")
    assert lines[0] == f"TRACE {origin.url('/t')} HTTP/1.1"
    assert all(f"{name}: {value}" in lines for name, value in long)
    assert "ecret" not in got.text and "c2VjcmV0" not in got.text
    assert client.get(origin.url("/next")).status == 200 and origin.targets == ["/next"]


@pytest.mark.parametrize("size", [100, 5_000, 12_000])
def test_an_upgrade_behind_a_large_head(stage, size):
    """`Upgrade` (WebSocket and any other token [...]) is passed on, whatever else the head holds"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        connection.send(connection.exactly(4))
    origin = stage.origin(serve=serve)
    carpool = stage.carpool(env={"MALLOC_PERTURB_": "165"})
    client = carpool.client()
    client.send(request("GET", origin.url("/"), fields=[("Cookie", "c" * size), ("Connection", "upgrade"),
                                                        ("Upgrade", "echo")]))
    assert client.read_response_head().status == 101
    client.send(b"ping")
    assert client.exactly(4) == b"ping"
