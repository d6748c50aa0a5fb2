"""Sections 4.8 and 4.9: what a client's FIN, reset and words about its own connection mean; short-lived clients."""

import pytest

from .harness import wait_until
from .harness.client import request


def test_a_half_close_still_gets_its_response(stage):
    """A FIN behind a complete request is a half-close: the client still gets the response."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    client.fin()
    asked = origin.take()
    assert not client.closed_by_peer(0.1)
    asked.connection.reply(b"still here")
    assert client.response().text == "still here"
    client.expect_end()
    carpool.wait_row(origin, freeSockets=1)


def test_a_half_close_behind_a_body(stage):
    """A FIN behind a complete request is a half-close"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), body=b"x" * 100000))
    client.fin()
    assert client.response().body == b"x" * 100000


def test_a_half_close_behind_pipelined_requests(stage):
    """A FIN behind a complete request is a half-close"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(b"".join(request("GET", origin.url(f"/{number}")) for number in range(5)))
    client.fin()
    assert [client.response("GET").fields.get("X-Target") for _ in range(5)] == [f"/{n}" for n in range(5)]
    client.expect_end()


def waiting(stage, half_close):
    """A daemon in which one request is active and another pends."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"server": {"halfClose": half_close}, "defaults": {"maxSockets": 1}})
    active = carpool.ask(origin.url("/active"))
    asked = origin.take()
    pending = carpool.ask(origin.url("/pending"))
    carpool.wait_row(origin, requests=1)
    return origin, carpool, active, asked, pending


def test_a_pending_request_is_dropped_by_a_fin(stage):
    """Only a request that waits for a limit is dropped by it, unless `halfClose` is on."""
    origin, carpool, active, asked, pending = waiting(stage, False)
    pending.fin()
    carpool.wait_row(origin, requests=0)
    asked.connection.reply()
    assert active.response().status == 200
    carpool.wait_row(origin, freeSockets=1, sockets=0)
    assert origin.targets == ["/active"]


def test_half_close_keeps_a_pending_request(stage):
    """halfClose: false # true: a client that sent FIN stays in the queue too"""
    origin, _, active, asked, pending = waiting(stage, True)
    pending.fin()
    assert not pending.closed_by_peer(0.2)
    asked.connection.reply()
    assert active.response().status == 200
    origin.take().connection.reply(b"patience")
    assert pending.response().text == "patience"


def test_a_closed_unix_socket_does_not_wait(stage):
    """halfClose: a client that sent FIN stays in the queue too; one that has closed is not half a connection, which a unix
    socket tells"""
    origin, path = stage.origin(manual=True), stage.path("carpool.sock")
    carpool = stage.carpool({"listen": [f"127.0.0.1:{stage.ports.take()}", f"unix:{path}"], "server": {"halfClose": True},
                             "defaults": {"maxSockets": 1}})
    active = carpool.ask(origin.url("/active"))
    asked = origin.take()
    half, closed = (carpool.client(path).ask(origin.url(f"/{name}")) for name in ("half", "closed"))
    carpool.wait_row(origin, requests=2)
    half.fin()
    closed.close()
    carpool.wait_row(origin, requests=1)
    asked.connection.reply()
    origin.take().connection.reply(b"patience")
    assert (active.response().status, half.response().text) == (200, "patience")
    carpool.wait_row(origin, freeSockets=1, sockets=0)
    assert origin.targets == ["/active", "/half"]


@pytest.mark.parametrize("half_close", [False, True])
def test_a_fin_that_came_with_the_request(stage, half_close):
    """Only a request that waits for a limit is dropped by it: however early the FIN came"""
    origin, carpool, active, asked, pending = waiting(stage, half_close)
    late = carpool.client()
    late.send(request("GET", origin.url("/late")))
    late.fin()
    if half_close:
        carpool.wait_row(origin, requests=2)
    else:
        assert late.closed_by_peer(10)
        carpool.wait_row(origin, requests=1)
    asked.connection.reply()
    origin.take().connection.reply()
    assert active.response().status == pending.response().status == 200
    if half_close:
        origin.take().connection.reply()
        assert late.response().status == 200
    assert ("/late" in origin.targets) == half_close


def test_a_connecting_request_is_not_dropped_by_a_fin(stage):
    """Only a request that waits for a limit is dropped by it"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    carpool.wait_row(origin, connecting=1)
    client.fin()
    assert not client.closed_by_peer(0.2)
    origin.resume()
    assert client.response().status == 200


@pytest.mark.parametrize("half_close", [False, True])
def test_a_reset_means_gone(stage, half_close):
    """A reset or a failed write means that the client is gone."""
    origin, carpool, active, asked, pending = waiting(stage, half_close)
    pending.reset()
    carpool.wait_row(origin, requests=0)
    active.reset()
    asked.connection.wait_ended()
    carpool.wait_row(origin, sockets=0, freeSockets=0)
    assert carpool.retired(origin) == {"client-aborted": 1}
    assert origin.targets == ["/active"]


def test_a_reset_behind_a_fin_means_gone(stage):
    """A FIN behind a complete request is a half-close ... A reset ... means that the client is gone."""
    origin, carpool, active, asked, pending = waiting(stage, True)
    pending.fin()
    active.fin()
    assert not pending.closed_by_peer(0.1) and not active.closed_by_peer(0.1)
    pending.reset()
    carpool.wait_row(origin, requests=0)
    active.reset()
    asked.connection.wait_ended()
    assert carpool.retired(origin) == {"client-aborted": 1}
    assert origin.targets == ["/active"] and carpool.row(origin)["clientAborts"] == 2


OWN_WORDS = {
    "close": {"fields": [("Connection", "close")]},
    "http-1.0": {"version": "1.0"},
    "http-1.0-close": {"version": "1.0", "fields": [("Connection", "close")]},
    "proxy-connection": {"fields": [("Proxy-Connection", "close")]},
    "close-among-others": {"fields": [("Connection", "X-Y, close")]},
}


@pytest.mark.parametrize("words", OWN_WORDS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_client_says_of_its_own_connection(stage, words, method):
    """What a client says about its own connection (`Connection: close`, HTTP/1.0, `Proxy-Connection`) never
    decides whether the upstream socket is kept."""
    origin = stage.origin()
    carpool = stage.carpool()
    for _ in range(3):
        response = carpool.get(origin.url("/"), method=method, body=b"x" if method == "POST" else b"",
                               **OWN_WORDS[words])
        assert response.status == 200
    assert origin.accepted == 1
    assert [got.fields.get("Connection") for got in origin.requests] == ["keep-alive"] * 3
    assert {got.version for got in origin.requests} == {"HTTP/1.1"}


def test_a_client_that_asked_for_close_gets_it(stage):
    """What a client says about its own connection: holds there"""
    origin = stage.origin()
    client = stage.carpool().client()
    response = client.get(origin.url("/"), fields=[("Connection", "close")])
    assert response.fields.get("Connection") == "close"
    client.expect_end()


def test_short_lived_connections_share(stage):
    """A request made of short-lived connections is the normal case: pooling is on by default for the first
    request of a connection and for every method, POST included."""
    origin = stage.origin()
    carpool = stage.carpool()
    for number in range(60):
        method = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "X-OWN")[number % 8]
        body = b"body" if method in ("POST", "PUT", "PATCH") else b""
        assert carpool.get(origin.url(f"/{number}"), method=method, body=body).status == 200
    assert origin.accepted == 1
    row = carpool.row(origin)
    assert (row["requestsTotal"], row["socketsOpened"], row["reusedTotal"]) == (60, 1, 59)


def test_a_socket_is_free_as_soon_as_its_response_is_read(stage):
    """A request made of short-lived connections is the normal case: the next one, however quick, finds the
    socket"""
    origin = stage.origin()
    carpool = stage.carpool()
    for number in range(300):
        with carpool.client() as client:
            client.send(request("POST", origin.url("/"), body=b"x", fields=[("Connection", "close")]))
            assert client.response("POST").status == 200
        carpool.clients.clear()
        assert origin.accepted == 1, f"a new connection for request {number}"


def test_a_client_that_closes_without_waiting(stage):
    """A reset or a failed write means that the client is gone: nobody else notices"""
    origin = stage.origin()
    carpool = stage.carpool()
    for _ in range(20):
        carpool.ask(origin.url("/")).close()
    assert carpool.get(origin.url("/")).status == 200
    wait_until(lambda: carpool.row(origin)["sockets"] == 0, "nothing is active")
