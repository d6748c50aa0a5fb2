"""Section 11.1: why connections were opened."""

import pytest

from .harness.client import request
from .harness.h2 import LAST_STREAM
from .harness.origin import answer
from .test_7_watching import series
from .test_9_http2 import Held, begin


def opened_for(carpool, origin, agent="default"):
    """By reason; the sum is that of the connections."""
    row = carpool.row(origin, agent)
    assert sum(row["openedFor"].values()) == row["socketsOpened"], row
    return row["openedFor"]


def at_once(carpool, origin, count):
    """So many requests at the same time; then all their connections are free, closed or gone."""
    clients = [carpool.ask(origin.url("/")) for _ in range(count)]
    for asked in [origin.take() for _ in clients]:
        asked.connection.reply()
    assert [client.response().status for client in clients] == [200] * count
    carpool.wait_row(origin, sockets=0)


def test_first_and_concurrency(stage):
    """`first` (the origin never had one), `concurrency` (more requests at once than ever before)"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxFreeSockets=1)
    at_once(carpool, origin, 1)
    assert opened_for(carpool, origin) == {"first": 1}
    at_once(carpool, origin, 3)
    assert opened_for(carpool, origin) == {"first": 1, "concurrency": 2}
    at_once(carpool, origin, 4)
    assert opened_for(carpool, origin) == {"first": 1, "concurrency": 3, "free-full": 2}


CLOSES = {"connection-close": answer(fields=[("Connection", "close")]), "close-delimited": answer(length=False),
          "protocol-error": b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n"}


@pytest.mark.parametrize("reason", CLOSES)
def test_replacing(stage, reason):
    """else the retirement reason (5.4) of the socket that would have served"""
    def respond(asked):
        asked.connection.send(CLOSES[reason])
        if reason == "close-delimited":
            asked.connection.close()
    origin = stage.origin(respond)
    carpool = stage.pooled()
    for _ in range(3):
        carpool.get(origin.url("/"))
        carpool.wait_row(origin, sockets=0)
    assert opened_for(carpool, origin) == {"first": 1, reason: 2}


def test_closed_while_free(stage):
    """the retirement reason of the socket that would have served: peer-closed, drained"""
    origin = stage.origin()
    carpool = stage.pooled()
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    origin.connections[0].close()
    carpool.wait_row(origin, freeSockets=0)
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    assert carpool.admin("/agents/default/drain", "POST").status == 200
    carpool.wait_row(origin, freeSockets=0)
    carpool.get(origin.url("/"))
    assert opened_for(carpool, origin) == {"first": 1, "peer-closed": 1, "drained": 1}


def test_retry(stage):
    """`retry` (5.6's own connection)"""
    def respond(asked):
        if asked.target == "/stale" and len(asked.connection.requests) > 1:
            asked.connection.close()
        return answer()
    origin = stage.origin(respond)
    carpool = stage.pooled(retries=1)
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    assert carpool.get(origin.url("/stale")).status == 200
    assert opened_for(carpool, origin) == {"first": 1, "retry": 1}


def test_warm(stage):
    """`warm` (`minFreeSockets`, before all others), and what replaces one that aged is warm, too"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"u": {"match": "u.test", "address": [origin.authority], "minFreeSockets": 2,
                                                 "timeouts": {"free": "300ms"}}}})
    origin.wait_accepted(5)
    reasons = opened_for(carpool, "http://u.test:80", "u")
    assert set(reasons) == {"warm"} and reasons["warm"] >= 4


@pytest.mark.parametrize("reason", ["goaway", "max-requests"])
def test_replacing_one_that_still_carries_some(stage, reason):
    """the retirement reason of the socket that would have served: over HTTP/2 it takes no more long before it ends"""
    held = Held()
    origin, carpool, key = begin(stage, "clear", held, **({} if reason == "goaway" else {"maxRequestsPerSocket": 1}))
    old = carpool.ask(origin.url("/hold"))
    held.wait(1)
    if reason == "goaway":
        origin.peers[0].goaway(LAST_STREAM)
    carpool.wait_row(key, "api", draining=1)
    assert carpool.get(origin.url("/next")).status == 200
    assert carpool.row(key, "api")["openedFor"] == {"first": 1, reason: 1}
    held.let_go()
    assert old.response().status == 200
    carpool.wait_retired(key, reason, agent="api")
    assert carpool.row(key, "api")["openedFor"] == {"first": 1, reason: 1}


def test_told_everywhere(stage):
    """counted in `openedFor` of `/agents` and in `carpool_agent_sockets_opened_for_total{reason}`; it survives a reload"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxFreeSockets=1)
    at_once(carpool, origin, 2)
    carpool.reload({"defaults": {"maxFreeSockets": 2}})
    at_once(carpool, origin, 2)
    wanted = {"first": 1, "concurrency": 1, "free-full": 1}
    assert opened_for(carpool, origin) == wanted
    assert carpool.agents()["default"]["openedFor"] == wanted
    told = {dict(labels)["reason"]: value for (name, labels), value in series(carpool).items()
            if name == "carpool_agent_sockets_opened_for_total"}
    assert told == wanted


def test_tunnels(stage):
    """a tunnel's connection replaces the tunnel before it: `upgraded`"""
    def serve(connection):
        while connection.fill():
            pass
        connection.close()
    origin = stage.origin(serve=serve)
    carpool = stage.carpool({"access": {"connectPorts": [origin.port]}})
    for done in (1, 2):
        client = carpool.client()
        client.send(request("CONNECT", origin.authority, origin.authority))
        assert client.read_response_head().status == 200
        client.close()
        carpool.wait_retired(f"tunnel://{origin.authority}", "upgraded", done)
    assert opened_for(carpool, f"tunnel://{origin.authority}") == {"first": 1, "upgraded": 1}
