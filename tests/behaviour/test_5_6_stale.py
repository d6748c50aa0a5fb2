"""Section 5.6: stale sockets and what is repeated; 5.7: clients that go away."""

import time

import pytest

from .harness import Reset, stays, wait_until
from .harness.client import chunked, request
from .harness.origin import answer

IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
OTHERS = ["POST", "PATCH", "PROPFIND", "X-OWN"]


def stale(stage, how="close", times=1, after=b"", **settings):
    """An origin that treats the first `times` requests on reused connections as a stale one would: it closes
    when they have come. Returns it and a daemon with one free socket."""
    left = [times]

    def respond(asked):
        if len(asked.connection.requests) > 1 and left[0]:
            left[0] -= 1
            asked.connection.send(after)
            getattr(asked.connection, how)()
        return answer(b"" if asked.method == "HEAD" else b"ok", length=asked.method != "HEAD")
    origin = stage.origin(respond)
    carpool = stage.pooled(**settings)
    assert carpool.get(origin.url("/warm")).status == 200
    carpool.wait_row(origin, freeSockets=1)
    return origin, carpool


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", IDEMPOTENT)
def test_an_idempotent_request_is_repeated(stage, method, how):
    """An end of file, a reset or a broken pipe on a *reused* socket before any response byte [...] is
    repeated when that is safe: idempotent methods (GET, HEAD, OPTIONS, TRACE, PUT, DELETE)"""
    origin, carpool = stale(stage, how)
    body = b"body" if method == "PUT" else b""
    response = carpool.get(origin.url("/x"), method=method, body=body)
    assert response.status == 200
    assert origin.targets == ["/warm", "/x", "/x"] and origin.accepted == 2
    assert [got.body for got in origin.requests[1:]] == [body, body]
    row = carpool.row(origin)
    assert row["retriesTotal"] == 1 and row["requestsTotal"] == 2
    assert sum(row["reusedSocketErrors"].values()) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("body", [b"once", b""], ids=["body", "empty"])
@pytest.mark.parametrize("method", OTHERS)
def test_another_request_is_never_repeated(stage, method, body, how):
    """A non-idempotent request of which any byte was handed to the kernel is never repeated"""
    origin, carpool = stale(stage, how)
    response = carpool.get(origin.url("/x"), method=method, body=body)
    assert response.status == 502 and response.error == "connection_terminated"
    assert origin.targets == ["/warm", "/x"]
    assert carpool.row(origin)["retriesTotal"] == 0


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method, key", [("POST", "Idempotency-Key"), ("PATCH", "Idempotency-Key"),
                                         ("POST", "x-idempotency-key")])
def test_an_idempotency_key_makes_it_idempotent(stage, method, key, how):
    """A POST or PATCH with `Idempotency-Key` or `X-Idempotency-Key` counts as idempotent here"""
    origin, carpool = stale(stage, how)
    response = carpool.get(origin.url("/x"), method=method, body=b"once", fields=[(key, "8e03978e")])
    assert response.status == 200
    assert [got.raw for got in origin.requests[1:]] == [origin.requests[1].raw] * 2
    assert origin.requests[1].body == b"once" and carpool.row(origin)["retriesTotal"] == 1


@pytest.mark.parametrize("method, key", [("POST", ("Idempotency-Key", "")), ("POST", ("X-Idempotency", "1")),
                                         ("PROPFIND", ("Idempotency-Key", "1"))])
def test_what_is_no_idempotency_key(stage, method, key):
    """A POST or PATCH with `Idempotency-Key` or `X-Idempotency-Key`: no other method, and no empty key"""
    origin, carpool = stale(stage)
    assert carpool.get(origin.url("/x"), method=method, body=b"once", fields=[key]).error == "connection_terminated"
    assert origin.targets == ["/warm", "/x"]


def test_a_reset_is_named(stage):
    """`reusedSocketErrors":{"ECONNRESET":1}`: a failure on a reused socket is counted by its code and
    logged"""
    origin, carpool = stale(stage, "reset")
    assert carpool.get(origin.url("/x")).status == 200
    assert carpool.row(origin)["reusedSocketErrors"] == {"ECONNRESET": 1}
    wait_until(lambda: "code=ECONNRESET" in carpool.stderr, "it is logged")
    line = next(line for line in carpool.stderr.splitlines() if "code=ECONNRESET" in line)
    for word in (f"target={origin.authority}", "reused=true", "socketAgeMs=", "idleMs=", "method=GET"):
        assert word in line


def test_the_same_bytes_are_sent_again(stage):
    """whose request can be sent again from memory: the repeat is the same request"""
    origin, carpool = stale(stage)
    body = bytes(range(256)) * 100
    assert carpool.get(origin.url("/x?y"), method="PUT", body=body, fields=[("X-A", "1"), ("Cookie", "b")]).status == 200
    first, second = origin.requests[1:]
    assert first.raw == second.raw and first.body == body


def test_a_chunked_body_is_sent_again(stage):
    """whose request can be sent again from memory (`replayLimit`)"""
    origin, carpool = stale(stage)
    client = carpool.client()
    client.send(request("PUT", origin.url("/x"), fields=[("Transfer-Encoding", "chunked")]) + chunked(b"abc", b"def"))
    assert client.response("PUT").status == 200
    assert [got.body for got in origin.requests[1:]] == [b"abcdef"] * 2


@pytest.mark.parametrize("size, status", [(60 << 10, 200), (100 << 10, 502)])
def test_the_replay_limit(stage, size, status):
    """replayLimit: 64KiB # request bodies up to this are kept until the response begins"""
    origin, carpool = stale(stage)
    assert carpool.get(origin.url("/x"), method="PUT", body=b"x" * size).status == status
    assert [len(got.body) for got in origin.requests[1:]] == ([size] * 2 if status == 200 else [size])


def test_the_replay_limit_of_chunks(stage):
    """replayLimit: 64KiB # request bodies up to this are kept: chunked ones by what has come"""
    origin, carpool = stale(stage)
    client = carpool.client()
    client.send(request("PUT", origin.url("/x"), fields=[("Transfer-Encoding", "chunked")]) +
                chunked(*[b"x" * 5000] * 20))
    assert client.response("PUT").status == 502
    assert [len(got.body) for got in origin.requests[1:]] == [100000]


@pytest.mark.parametrize("body, status", [(b"", 200), (b"x", 502)])
def test_no_replay_of_bodies(stage, body, status):
    """`replayLimit` where 0 is a meaning of its own: no body is kept"""
    origin, carpool = stale(stage, replayLimit=0)
    assert carpool.get(origin.url("/x"), method="PUT", body=body).status == status


def test_no_retries(stage):
    """retries: 1 # for failures that are safe to repeat; 0: none"""
    origin, carpool = stale(stage, retries=0)
    response = carpool.get(origin.url("/x"))
    assert response.status == 502 and response.error == "connection_terminated"
    assert origin.targets == ["/warm", "/x"]


def test_a_fresh_socket_is_no_stale_one(stage):
    """on a *reused* socket"""
    origin = stage.origin(lambda asked: asked.connection.close())
    carpool = stage.carpool()
    response = carpool.get(origin.url("/"))
    assert response.status == 502 and response.error == "connection_terminated"
    assert origin.targets == ["/"]


@pytest.mark.parametrize("bytes_before", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_nothing_is_repeated_after_a_response_byte(stage, bytes_before):
    """and nothing is after a response byte"""
    origin, carpool = stale(stage, after=bytes_before)
    response = carpool.get(origin.url("/x"))
    assert response.status == 502 and response.error == "connection_terminated"
    assert origin.targets == ["/warm", "/x"]


def test_a_timeout_is_never_repeated(stage):
    """before any response byte (never a timeout)"""
    origin = stage.origin(lambda asked: answer() if asked.target == "/warm" else None)
    carpool = stage.pooled(timeouts={"socket": "300ms"}, retries=3)
    carpool.get(origin.url("/warm"))
    assert carpool.get(origin.url("/x")).status == 504
    stays(lambda: origin.targets == ["/warm", "/x"], "the request went out once")


def test_a_restart_of_the_origin_costs_no_error(stage):
    """the last one that `retries` allows takes the failed socket's place with a new connection, so that a
    restart of the origin, which makes every free socket stale, costs no error"""
    old = [True]

    def respond(asked):
        if old[0] is False and asked.connection.number < 8:
            asked.connection.close()
        if old[0]:
            asked.connection.hold(asked)
            return None
        return answer()
    origin = stage.origin(respond)
    carpool = stage.carpool()
    clients = [carpool.ask(origin.url("/")) for _ in range(8)]
    origin.wait_requests(8)
    for connection in origin.connections:
        connection.reply()
    for client in clients:
        client.response()
    carpool.wait_row(origin, freeSockets=8)
    old[0] = False
    clients = [carpool.ask(origin.url(f"/{number}")) for number in range(8)]
    assert [client.response().status for client in clients] == [200] * 8


def test_one_after_another_costs_no_error_either(stage):
    """so that a restart of the origin, which makes every free socket stale, costs no error"""
    fresh = [0]

    def respond(asked):
        if asked.target == "/warm":
            asked.connection.hold(asked)
            return None
        if asked.connection.number < 5:
            asked.connection.reset()
        fresh[0] += 1
        return answer()
    origin = stage.origin(respond)
    carpool = stage.carpool()
    clients = [carpool.ask(origin.url("/warm")) for _ in range(5)]
    origin.wait_requests(5)
    for connection in origin.connections:
        connection.reply()
    for client in clients:
        client.response()
    carpool.wait_row(origin, freeSockets=5)
    for number in range(10):
        assert carpool.get(origin.url(f"/{number}")).status == 200
    assert fresh[0] == 10


@pytest.mark.parametrize("retries", [1, 2, 3])
def test_how_often(stage, retries):
    """A repeat goes to the head of the queue; the last one that `retries` allows takes the failed socket's
    place with a new connection"""
    def respond(asked):
        if asked.target == "/warm":
            asked.connection.hold(asked)
            return None
        if asked.connection.number < 6:
            asked.connection.close()
        return answer()
    origin = stage.origin(respond)
    carpool = stage.pooled(retries=retries)
    clients = [carpool.ask(origin.url("/warm")) for _ in range(6)]
    origin.wait_requests(6)
    for connection in origin.connections:
        connection.reply()
    for client in clients:
        client.response()
    carpool.wait_row(origin, freeSockets=6)
    assert carpool.get(origin.url("/x")).status == 200
    assert origin.targets.count("/x") == 1 + retries
    assert carpool.row(origin)["retriesTotal"] == retries
    assert origin.requests[-1].connection.number == 6


def test_a_repeat_goes_to_the_head_of_the_queue(stage):
    """A repeat goes to the head of the queue"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    warm = carpool.ask(origin.url("/warm"))
    origin.take().connection.reply()
    warm.response()
    carpool.wait_row(origin, freeSockets=1)
    clients = [carpool.ask(origin.url("/first"))]
    asked = origin.take()
    for number, path in enumerate(("/second", "/third")):
        clients.append(carpool.ask(origin.url(path)))
        carpool.wait_row(origin, requests=number + 1)
    asked.connection.close()
    for path in ("/first", "/second", "/third"):
        asked = origin.take()
        assert asked.target == path
        asked.connection.reply()
    assert [client.response().status for client in clients] == [200] * 3
    assert origin.accepted == 2


def test_a_repeat_goes_to_the_head_of_a_paused_queue(stage):
    """A repeat goes to the head of the queue"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, retries=2)
    warm = carpool.ask(origin.url("/warm"))
    origin.take().connection.reply()
    warm.response()
    carpool.wait_row(origin, freeSockets=1)
    clients = [carpool.ask(origin.url("/first"))]
    asked = origin.take()
    assert carpool.admin("/agents/default/pause", "POST").status in (200, 204)
    clients.append(carpool.ask(origin.url("/second")))
    carpool.wait_row(origin, requests=1)
    asked.connection.close()
    carpool.wait_row(origin, requests=2)
    assert carpool.admin("/agents/default/resume", "POST").status in (200, 204)
    for path in ("/first", "/second"):
        asked = origin.take()
        assert asked.target == path
        asked.connection.reply()
    assert [client.response().status for client in clients] == [200] * 2


def test_a_restart_in_which_nobody_listens(stage):
    """the last one [...] takes the failed socket's place with a new connection: if that is refused, so is the
    request"""
    origin, carpool = stale(stage)
    origin.stop_listening()
    response = carpool.get(origin.url("/x"))
    assert response.status == 502 and response.error in ("connection_refused", "connection_terminated")


def test_the_next_address_is_tried(stage):
    """A failure to connect tries the host's next address within `timeouts.connect`."""
    origin = stage.origin()
    closed = [stage.ports.refused() for _ in range(2)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in closed] + [origin.authority]
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": addresses}}})
    for method in ("GET", "POST"):
        for _ in range(3):
            response = carpool.get("http://a.test/", method=method, fields=[("Connection", "close")])
            assert response.status == 200
    assert origin.accepted == 1


def test_no_address_is_left(stage):
    """A failure to connect tries the host's next address: when all fail it is one failure"""
    closed = [stage.ports.refused() for _ in range(3)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in closed]
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": addresses}}})
    response = carpool.get("http://a.test/")
    assert response.status == 502 and response.error == "connection_refused"
    assert carpool.retired("http://a.test:80", "a") == {"connect-failed": 1}


def test_all_addresses_share_one_timeout(stage):
    """tries the host's next address within `timeouts.connect`"""
    silent = [stage.origin(backlog=0) for _ in range(3)]
    for origin in silent:
        origin.stall()
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "4s"}}, "upstreams": {
        "a": {"match": "a.test", "address": [origin.authority for origin in silent]}}})
    start = time.monotonic()
    assert carpool.get("http://a.test/").error == "connection_timeout"
    assert 3.9 < time.monotonic() - start < 10


# 5.7


def test_a_client_that_leaves_the_queue(stage):
    """A client that goes away (4.8) while pending leaves the queue at once and its request is never sent"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    first = carpool.ask(origin.url("/first"))
    asked = origin.take()
    waiting = []
    for number, path in enumerate(("/gone", "/stays")):
        waiting.append(carpool.ask(origin.url(path)))
        carpool.wait_row(origin, requests=number + 1)
    waiting[0].reset()
    carpool.wait_row(origin, requests=1)
    asked.connection.reply()
    assert first.response().status == 200
    asked = origin.take()
    assert asked.target == "/stays"
    asked.connection.reply()
    assert waiting[1].response().status == 200
    assert origin.targets == ["/first", "/stays"]


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_its_request(stage, how):
    """one that goes away mid-request [...] costs the socket"""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 1000)]) + b"x" * 500)
    origin.wait_accepted(1)
    wait_until(lambda: origin.connections[0].left().endswith(b"xxxxx"), "the first half is there")
    getattr(client, how)()
    origin.connections[0].wait_ended()
    wait_until(lambda: origin.connections[0].truncated, "the origin sees a cut request")
    assert not origin.requests
    carpool.wait_retired(origin, "client-aborted")


def leaving(stage, rest, **settings):
    """A client resets when it has the head and a part of its response; `rest` bytes are still to come."""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(**settings)
    client = carpool.ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (10 + rest) + b"x" * 10)
    client.read_response_head()
    client.exactly(10)
    client.reset()
    return origin, carpool, connection


@pytest.mark.parametrize("settings, rest", [({}, 60 << 10), ({"drainLimit": "1KiB"}, 1000)])
def test_a_short_rest_saves_the_socket(stage, settings, rest):
    """drainLimit: 64KiB # client went away mid-response: read on up to this much to save the socket"""
    origin, carpool, connection = leaving(stage, rest, **settings)
    wait_until(carpool.no_client_is_left, "Carpool has seen it leave")
    connection.send(b"y" * rest)
    connection.finish()
    carpool.wait_row(origin, freeSockets=1, sockets=0)
    client = carpool.ask(origin.url("/again"))
    asked = origin.take()
    assert asked.connection is connection
    connection.reply(b"clean")
    assert client.response().text == "clean"


@pytest.mark.parametrize("settings, rest", [({}, 100 << 10), ({"drainLimit": "1KiB"}, 2000), ({"drainLimit": 0}, 10)])
def test_a_long_rest_costs_the_socket(stage, settings, rest):
    """else close it: at once, where the length is known"""
    origin, carpool, connection = leaving(stage, rest, **settings)
    connection.wait_ended()
    assert carpool.retired(origin) == {"client-aborted": 1}


def test_a_chunked_rest_saves_the_socket_too(stage):
    """drainLimit: [...] read on up to this much to save the socket"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    client.read_response_head()
    client.reset()
    wait_until(carpool.no_client_is_left, "Carpool has seen it leave")
    connection.send(b"3\r\ndef\r\n0\r\n\r\n")
    connection.finish()
    carpool.wait_row(origin, freeSockets=1)
    assert carpool.retired(origin) == {}


def test_a_chunked_rest_may_be_too_long(stage):
    """drainLimit: [...] else close it: where no length is known, after that much"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    client.read_response_head()
    client.reset()
    wait_until(carpool.no_client_is_left, "Carpool has seen it leave")
    try:
        for _ in range(1000):
            connection.send(b"1000\r\n" + b"y" * 4096 + b"\r\n")
    except Reset:
        pass
    connection.wait_ended()
    assert carpool.retired(origin) == {"client-aborted": 1}


def test_a_client_that_leaves_before_the_response(stage):
    """one that goes away mid-request or mid-response costs the socket: before it too, since nobody knows its
    size"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"), method="POST", body=b"x")
    asked = origin.take()
    client.reset()
    asked.connection.wait_ended()
    assert carpool.retired(origin) == {"client-aborted": 1}
    assert len(origin.requests) == 1
