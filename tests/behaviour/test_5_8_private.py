"""Section 5.8: authentication of connections."""

import pytest

from .harness.origin import answer


def challenging(stage, *values, status="401 Unauthorized"):
    """An origin that challenges every request so."""
    def respond(asked):
        return answer(asked.target.encode(), status, [("WWW-Authenticate", value) for value in values])
    return stage.origin(respond), stage.carpool()


PRIVATE = [["NTLM"], ["Negotiate"], ["ntlm"], ["NEGOTIATE"], ["Basic realm=\"a\"", "NTLM"], ["Basic realm=\"a\", NTLM"],
           ["Negotiate oYG2MIGzoAMKAQChCwYJ=="], ["NTLM TlRMTVNTUAACAAAA"],
           ["Digest realm=\"a, b\", nonce=\"c\", Negotiate"], ["Negotiate, NTLM"], ["Basic realm=\"a\\\"\", NTLM"]]
SHARED = [["Basic realm=\"NTLM\""], ["Basic realm=\"x, NTLM\""], ["Bearer error=\"Negotiate\""], ["XNTLM"],
          ["NTLMX"], ["Basic NTLM=\"x\""], ["Digest realm=\"a\\\", NTLM, \\\"\""], ["Basic realm=NTLM"]]


@pytest.mark.parametrize("values", PRIVATE, ids=" & ".join)
def test_a_challenge_makes_a_socket_private(stage, values):
    """`NTLM` or `Negotiate`, offered in a challenge (`WWW-Authenticate`, parsed, not searched for) [...],
    makes the socket private to that client: never shared, closed with it, reason `private`"""
    origin, carpool = challenging(stage, *values)
    mine, other = carpool.client(), carpool.client()
    assert mine.get(origin.url("/")).status == 401
    assert other.get(origin.url("/")).status == 401
    assert mine.get(origin.url("/again")).status == 401
    assert origin.accepted == 2
    assert [got.target for got in origin.connections[0].requests] == ["/", "/again"]
    mine.close()
    origin.connections[0].wait_ended()
    assert origin.connections[1].is_open
    carpool.wait_retired(origin, "private")
    assert carpool.retired(origin) == {"private": 1}


@pytest.mark.parametrize("values", SHARED, ids=" & ".join)
def test_a_challenge_is_parsed(stage, values):
    """(`WWW-Authenticate`, parsed, not searched for)"""
    origin, carpool = challenging(stage, *values)
    for _ in range(3):
        assert carpool.get(origin.url("/")).status == 401
    assert origin.accepted == 1


@pytest.mark.parametrize("value", ["NTLM TlRMTVNTUAABAAAA", "Negotiate YIIB", "negotiate YIIB"])
def test_a_requests_authorization_makes_a_socket_private(stage, value):
    """or used in a request's `Authorization`"""
    origin = stage.origin()
    carpool = stage.carpool()
    mine = carpool.client()
    assert mine.get(origin.url("/"), fields=[("Authorization", value)]).status == 200
    assert carpool.get(origin.url("/other")).status == 200
    assert mine.get(origin.url("/again")).status == 200
    assert [got.target for got in origin.connections[0].requests] == ["/", "/again"]
    assert origin.accepted == 2


@pytest.mark.parametrize("value", ["Basic TlRMTQ==", "Bearer NTLM", "Digest username=\"Negotiate\""])
def test_other_schemes_share(stage, value):
    """`NTLM` or `Negotiate` [...]: others do not"""
    origin = stage.origin()
    carpool = stage.carpool()
    for _ in range(2):
        assert carpool.get(origin.url("/"), fields=[("Authorization", value)]).status == 200
    assert origin.accepted == 1


def test_a_private_socket_counts_as_active(stage):
    """between its requests it counts as active"""
    origin, carpool = challenging(stage, "NTLM")
    client = carpool.client()
    client.get(origin.url("/"))
    carpool.wait_row(origin, sockets=1, freeSockets=0)
    client.close()
    carpool.wait_row(origin, sockets=0, freeSockets=0)


def test_a_private_socket_holds_its_place(stage):
    """between its requests it counts as active: under the limits"""
    origin = stage.origin(lambda _: answer(fields=[("WWW-Authenticate", "NTLM")]))
    carpool = stage.pooled(maxSockets=1)
    mine = carpool.client()
    mine.get(origin.url("/"))
    waiting = carpool.ask(origin.url("/waiting"))
    carpool.wait_row(origin, sockets=1, requests=1)
    assert mine.get(origin.url("/mine")).status == 200
    mine.close()
    assert waiting.response().status == 200
    assert [got.target for got in origin.requests] == ["/", "/mine", "/waiting"]


def test_a_short_lived_clients_socket_is_closed_with_it(stage):
    """never shared, closed with it"""
    origin, carpool = challenging(stage, "Negotiate")
    for number in range(3):
        assert carpool.get(origin.url("/")).status == 401
        origin.wait_accepted(number + 1)
        origin.connections[number].wait_ended()
    assert origin.accepted == 3
    carpool.wait_retired(origin, "private", 3)


def test_a_client_may_have_one_for_each_origin(stage):
    """private to that client: [...] closed with it, and not with its next request to another service"""
    def respond(asked):
        return answer(asked.target.encode(), fields=[("WWW-Authenticate", "NTLM")])
    origins = [stage.origin(respond) for _ in range(3)]
    carpool = stage.carpool()
    client = carpool.client()
    for target in ("/", "/again", "/more"):
        for origin in origins:
            assert client.get(origin.url(target)).status == 200
    assert [origin.accepted for origin in origins] == [1, 1, 1]
    origins[1].connections[0].close()       # the one in the middle of the list
    carpool.wait_retired(origins[1], "peer-closed")
    assert [client.get(origin.url("/more")).status for origin in origins] == [200, 200, 200]
    assert [origin.accepted for origin in origins] == [1, 2, 1]
    client.close()
    for origin in origins:
        carpool.wait_retired(origin, "private")


@pytest.mark.parametrize("how, reason", [("close", "peer-closed"), ("reset", "peer-closed"), ("talk", "unexpected-data")])
def test_a_private_socket_is_watched_between_its_requests(stage, how, reason):
    """5.5 holds for it as for a free one: when its peer closes or sends application data, it leaves at once, and its
    place serves who waits"""
    origin = stage.origin(lambda _: answer(fields=[("WWW-Authenticate", "NTLM")]))
    carpool = stage.pooled(maxSockets=1)
    mine = carpool.client()
    mine.get(origin.url("/"))
    waiting = carpool.ask(origin.url("/waiting"))
    carpool.wait_row(origin, sockets=1, requests=1)
    connection = origin.connections[0]
    if how == "talk":
        connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    else:
        getattr(connection, how)()
    assert waiting.response().status == 200
    assert mine.get(origin.url("/mine")).status == 200
    assert [got.target for got in origin.requests] == ["/", "/waiting", "/mine"]
    assert origin.accepted == 3
    assert carpool.retired(origin)[reason] == 1


def logged_in(stage):
    """An origin that binds each connection to its client, and a client that has one."""
    origin = stage.origin(lambda asked: answer(asked.target.encode(), fields=[("WWW-Authenticate", "NTLM")]))
    carpool = stage.carpool()
    mine = carpool.client()
    assert mine.get(origin.url("/login")).status == 200
    return origin, carpool, mine


def test_a_pause_holds_private_sockets(stage):
    """`pause` holds every new request of the agent as pending [...]; private sockets (5.8) are no exception"""
    origin, carpool, mine = logged_in(stage)
    assert carpool.admin("/agents/default/pause", "POST").status == 200
    mine.ask(origin.url("/held"))
    carpool.wait_row(origin, sockets=1, requests=1)
    assert carpool.admin("/agents/default/resume", "POST").status == 200
    assert mine.response().text == "/held"
    assert [got.target for got in origin.connections[0].requests] == ["/login", "/held"]
    carpool.wait_row(origin, sockets=1, requests=0, requestsTotal=2, socketsOpened=1, reusedTotal=1)


def test_a_drain_ends_private_sockets(stage):
    """private sockets (5.8) are no exception, and `drain` ends an idle one with its next exchange at the latest"""
    origin, carpool, mine = logged_in(stage)
    assert carpool.admin("/agents/default/drain", "POST").status == 200
    assert mine.get(origin.url("/next")).status == 200
    origin.connections[0].wait_ended()
    assert carpool.retired(origin) == {"drained": 1}
