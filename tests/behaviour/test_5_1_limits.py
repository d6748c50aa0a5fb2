"""Sections 5.1 to 5.3: limits, the queue, hand-off and room under maxTotalSockets."""

import json
import time

import pytest

from .harness import stays, wait_until
from .harness.origin import answer


def held(stage, count, origin, carpool, path="/held"):
    """`count` requests that are active at a manual origin: (clients, requests)."""
    clients = [carpool.ask(origin.url(f"{path}{number}")) for number in range(count)]
    return clients, [origin.take() for _ in range(count)]


def queue(carpool, origin, *paths):
    """Clients whose requests pend in this order."""
    clients = []
    already = carpool.row(origin)["requests"]
    for number, path in enumerate(paths):
        clients.append(carpool.ask(origin.url(path)))
        carpool.wait_row(origin, requests=already + number + 1)
    return clients


def test_a_free_socket_is_taken(stage):
    """A request takes a free socket of its origin"""
    origin = stage.origin()
    carpool = stage.carpool()
    for _ in range(10):
        assert carpool.get(origin.url("/")).status == 200
    assert origin.accepted == 1


def test_else_one_is_opened(stage):
    """else opens one if `maxSockets` and `maxTotalSockets` allow"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    clients, requests = held(stage, 7, origin, carpool)
    assert origin.accepted == 7
    for request in requests:
        request.connection.reply()
    assert [client.response().status for client in clients] == [200] * 7
    carpool.wait_row(origin, freeSockets=7, socketsOpened=7, reusedTotal=0)


def test_concurrency_opens_no_more_than_it_needs(stage):
    """A request takes a free socket of its origin, else opens one: waves of 5 need 5"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    for _ in range(4):
        clients, requests = held(stage, 5, origin, carpool)
        for request in requests:
            request.connection.reply()
        for client in clients:
            client.response()
        carpool.wait_row(origin, freeSockets=5)
    assert origin.accepted == 5


@pytest.mark.parametrize("limit", ["maxSockets", "maxTotalSockets"])
def test_else_it_becomes_pending(stage, limit):
    """else becomes pending"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(**{limit: 2})
    clients, requests = held(stage, 2, origin, carpool)
    clients += queue(carpool, origin, "/third")
    assert origin.accepted == 2 and origin.idle()
    requests[1].connection.reply()
    third = origin.take()
    assert third.target == "/third" and third.connection is requests[1].connection
    third.connection.reply()
    requests[0].connection.reply()
    assert [client.response().status for client in clients] == [200] * 3
    assert origin.accepted == 2


def test_first_come_first_served(stage):
    """Waiting requests are served first come, first served."""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    _, (request,) = held(stage, 1, origin, carpool)
    paths = [f"/{number}" for number in range(8)]
    queue(carpool, origin, *paths)
    for path in paths:
        request.connection.reply()
        request = origin.take()
        assert request.target == path
    request.connection.reply()
    assert origin.accepted == 1


def test_the_queue_has_a_limit(stage):
    """maxPendingRequests: 1024 # per origin; the next one gets 503 at once"""
    first, second = stage.origin(manual=True), stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, maxPendingRequests=2)
    for origin in (first, second):
        held(stage, 1, origin, carpool)
        queue(carpool, origin, "/1", "/2")
    start = time.monotonic()
    response = carpool.get(first.url("/3"))
    assert response.status == 503 and response.error == "connection_limit_reached"
    assert response.fields.get("Retry-After") == "1"
    assert time.monotonic() - start < 20      # timeouts.pending is 30 s
    carpool.wait_row(first, requests=2)


def test_no_queue_at_all(stage):
    """`maxPendingRequests` (no queue: 503 at once)"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, maxPendingRequests=0)
    clients, (request,) = held(stage, 1, origin, carpool)
    assert carpool.get(origin.url("/")).status == 503
    request.connection.reply()
    assert clients[0].response().status == 200


@pytest.mark.parametrize("limits", [{"maxSockets": "Infinity"}, {"maxSockets": 0}])
def test_no_limit(stage, limits):
    """`Infinity` or `0` lifts a count limit"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(**limits)
    _, requests = held(stage, 110, origin, carpool)
    assert origin.accepted == 110
    for request in requests:
        request.connection.reply()


def test_the_default_limit(stage):
    """maxSockets: 100 # connecting + active + free, per origin"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    _, requests = held(stage, 100, origin, carpool)
    queue(carpool, origin, "/pending")
    assert origin.accepted == 100
    for request in requests:
        request.connection.reply()


# 5.2


def test_a_hand_off_never_meets_the_free_list(stage):
    """When a socket finishes its exchange and a request of its origin is pending, it goes straight there and
    never through the free list"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, maxFreeSockets=0)
    _, (request,) = held(stage, 1, origin, carpool)
    queue(carpool, origin, "/1", "/2")
    for _ in range(2):
        request.connection.reply()
        request = origin.take()
    request.connection.reply()
    request.connection.wait_ended("fin")
    assert origin.accepted == 1
    assert carpool.retired(origin) == {"free-full": 1}
    assert carpool.row(origin)["reusedTotal"] == 2


CHECKS = {
    "max-requests": ({"maxRequestsPerSocket": 1}, []),
    "keepalive-hint": ({}, [("Keep-Alive", "timeout=1")]),
    "connection-close": ({}, [("Connection", "close")]),
    "max-age": ({"maxSocketAge": "50ms"}, []),
}


@pytest.mark.parametrize("reason", CHECKS)
def test_a_hand_off_passes_the_same_checks(stage, reason):
    """it passes the same checks (age, request count, hint) as one that is pooled"""
    settings, fields = CHECKS[reason]
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, **settings)
    clients, (request,) = held(stage, 1, origin, carpool)
    clients += queue(carpool, origin, "/1")
    stays(origin.idle, "the second one waits", 0.1)
    request.connection.reply(fields=fields)
    second = origin.take()
    assert second.connection is not request.connection
    request.connection.wait_ended("fin")
    second.connection.reply()
    assert [client.response().status for client in clients] == [200, 200]
    assert carpool.retired(origin)[reason] >= 1


def test_a_released_socket_beats_a_connecting_one(stage):
    """Whichever socket is ready first, new or released, serves the oldest waiting request."""
    origin = stage.origin(manual=True, backlog=0)
    carpool = stage.carpool()
    first, (request,) = held(stage, 1, origin, carpool)
    origin.stall()
    second = carpool.ask(origin.url("/second"))
    carpool.wait_row(origin, connecting=1, sockets=1)
    third = carpool.ask(origin.url("/third"))
    carpool.wait_row(origin, connecting=2, sockets=1)
    for path, client in (("/second", first[0]), ("/third", second)):
        request.connection.reply()
        assert client.response().status == 200
        again = origin.take()
        assert again.target == path and again.connection is request.connection
    request.connection.reply()
    assert third.response().status == 200


def test_a_connected_socket_beats_a_busy_one(stage):
    """Whichever socket is ready first, new or released, serves the oldest waiting request."""
    origin = stage.origin(manual=True, backlog=0)
    carpool = stage.carpool()
    held(stage, 1, origin, carpool)
    origin.stall()
    clients = [carpool.ask(origin.url(f"/{number}")) for number in range(1)]
    carpool.wait_row(origin, connecting=1)
    origin.resume()
    request = origin.take()
    assert request.target == "/0" and request.connection.number == 1
    request.connection.reply()
    assert clients[0].response().status == 200


def test_a_connection_without_a_waiter_is_kept(stage):
    """Whichever socket is ready first [...]: one that is ready too late for its request becomes free"""
    origin = stage.origin(manual=True, backlog=0)
    carpool = stage.carpool()
    clients, (request,) = held(stage, 1, origin, carpool)
    origin.stall()
    clients.append(carpool.ask(origin.url("/second")))
    carpool.wait_row(origin, connecting=1)
    request.connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200, 200]
    origin.resume()
    carpool.wait_row(origin, connecting=0, freeSockets=2)
    origin.wait_accepted(2)
    assert origin.accepted == 2


def test_a_failing_connection_takes_the_oldest_request_with_it(stage):
    """when it fails, the oldest connecting request gets the error"""
    origin = stage.origin(backlog=0)
    origin.stall()
    path = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": path, "format": "json"},
                             "defaults": {"timeouts": {"connect": "2s"}}})
    clients = []
    for number in range(2):
        clients.append(carpool.ask(origin.url(f"/{number}")))
        carpool.wait_row(origin, connecting=number + 1)
        stays(lambda: carpool.running, "the next attempt begins later", 0.3)
    assert [client.response().status for client in clients] == [504, 504]

    def lines():
        with open(path, encoding="utf-8") as file:
            return file.read().split("\n")[:-1]
    wait_until(lambda: len(lines()) == 2, "both are in the log")
    assert [json.loads(line)["target"] for line in lines()] == [origin.url("/0"), origin.url("/1")]


def test_a_failed_connection_frees_its_place(stage):
    """A socket that fails to connect or is destroyed frees its place for the next pending request at once."""
    closed = stage.ports.refused()
    carpool = stage.pooled(maxSockets=1)
    url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    start = time.monotonic()
    clients = [carpool.ask(url) for _ in range(5)]
    assert [client.response().status for client in clients] == [502] * 5
    assert time.monotonic() - start < 20      # timeouts.pending is 30 s


def test_a_timed_out_connection_frees_its_place(stage):
    """A socket that fails to connect [...] frees its place for the next pending request at once."""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(maxSockets=1, timeouts={"connect": "2s"})
    first = carpool.ask(origin.url("/1"))
    carpool.wait_row(origin, connecting=1)
    second = carpool.ask(origin.url("/2"))
    carpool.wait_row(origin, connecting=1, requests=1)
    assert first.response().status == 504
    carpool.wait_row(origin, connecting=1, requests=0)
    assert second.response().status == 504


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_destroyed_socket_frees_its_place(stage, how):
    """A socket that [...] is destroyed frees its place for the next pending request at once."""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    clients, (request,) = held(stage, 1, origin, carpool)
    clients += queue(carpool, origin, "/1")
    getattr(request.connection, how)()
    second = origin.take()
    assert second.connection.number == 1
    second.connection.reply()
    assert [client.response().status for client in clients] == [502, 200]


def test_a_client_that_leaves_frees_its_place(stage):
    """A socket that [...] is destroyed frees its place for the next pending request at once."""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    clients, _ = held(stage, 1, origin, carpool)
    pending = queue(carpool, origin, "/1")
    clients[0].reset()
    second = origin.take()
    assert second.connection.number == 1
    second.connection.reply()
    assert pending[0].response().status == 200


# 5.3


def test_a_free_socket_of_another_origin_makes_room(stage):
    """Under `maxTotalSockets`, a free socket of another origin (the least recently used) is closed to make
    room."""
    one, two, three = (stage.origin() for _ in range(3))
    carpool = stage.pooled(maxTotalSockets=2)
    for origin in (one, two, one):      # two is the least recently used now
        assert carpool.get(origin.url("/")).status == 200
    assert carpool.get(three.url("/")).status == 200
    two.connections[0].wait_ended("fin")
    assert one.connections[0].is_open and three.connections[0].is_open
    carpool.wait_retired(two, "evicted")
    assert carpool.get(one.url("/")).status == 200 and one.accepted == 1


def test_the_total_is_of_one_agent(stage):
    """maxTotalSockets: 1000 # over all origins of this agent"""
    one, two = stage.origin(), stage.origin()
    carpool = stage.carpool({"defaults": {"maxTotalSockets": 1},
                             "upstreams": {"a": {"match": "a.test", "address": [one.authority]}}})
    for _ in range(2):
        assert carpool.get("http://a.test/").status == carpool.get(two.url("/")).status == 200
    assert (one.accepted, two.accepted) == (1, 1)


def contest(stage):
    """Total of 1: a request of `mine` is active."""
    mine, other = stage.origin(manual=True), stage.origin(manual=True)
    carpool = stage.pooled(maxTotalSockets=1)
    _, (request,) = held(stage, 1, mine, carpool)
    return mine, other, carpool, request


def test_its_own_origin_comes_first(stage):
    """When a socket is released under that cap, it serves its own origin's oldest pending request"""
    mine, other, carpool, request = contest(stage)
    queue(carpool, mine, "/mine")
    queue(carpool, other, "/other")
    request.connection.reply()
    again = mine.take()
    assert again.connection is request.connection and other.accepted == 0
    again.connection.reply()
    other.take().connection.reply()
    assert mine.accepted == other.accepted == 1


def test_another_origin_is_not_starved(stage):
    """unless the oldest of another origin that is below its own `maxSockets` has waited 100 ms longer: then
    the socket is closed and its place goes there, so no origin starves"""
    mine, other, carpool, request = contest(stage)
    queue(carpool, other, "/other")
    stays(lambda: not other.accepted, "it waits", 0.2)
    queue(carpool, mine, "/mine")
    request.connection.reply()
    served = other.take()
    request.connection.wait_ended("fin")
    assert mine.idle() and mine.accepted == 1
    assert carpool.retired(mine) == {"evicted": 1}
    served.connection.reply()
    mine.take().connection.reply()
    assert mine.accepted == 2


def test_a_busy_origin_does_not_starve_another(stage):
    """so no origin starves"""
    def take_a_while(asked):
        asked.connection.silent(0.01)
        return answer()
    mine = stage.origin(take_a_while)
    other = stage.origin()
    carpool = stage.pooled(maxTotalSockets=1)
    stream = [carpool.ask(mine.url("/")) for _ in range(4)]
    waiting = carpool.ask(other.url("/"))
    for _ in range(400):
        client = stream.pop(0)
        assert client.response().status == 200
        client.close()
        if waiting.answered():
            break
        stream.append(carpool.ask(mine.url("/")))
    assert waiting.response().status == 200


def test_active_sockets_are_not_closed_to_make_room(stage):
    """a free socket of another origin [...] is closed to make room: an active one never"""
    one, two = stage.origin(manual=True), stage.origin()
    carpool = stage.pooled(maxTotalSockets=2)
    clients, requests = held(stage, 2, one, carpool)
    waiting = queue(carpool, two, "/")
    for request in requests:
        request.connection.reply()
    assert [client.response().status for client in clients + waiting] == [200] * 3
    wait_until(lambda: one.open + two.open <= 2, "at most two sockets")
