"""Sections 5.4 and 5.5: which sockets are kept, why the others are retired, and how free ones are watched."""

import signal
import time

import pytest

from .harness import stays
from .harness.client import request
from .harness.origin import answer

OK = b"HTTP/1.1 200 OK\r\n"


def chunked_with(tail):
    return OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + tail


# reason: (defaults, response)
RETIRED = {
    "keepAlive-off": ({"keepAlive": False}, answer()),
    "connection-close": ({}, answer(fields=[("Connection", "close")])),
    "connection-close-in-a-list": ({}, answer(fields=[("Connection", "X-Foo, Close")])),
    "connection-close-1.0": ({}, answer(version="1.0")),
    "free-full": ({"maxFreeSockets": 0}, answer()),
    "max-requests": ({"maxRequestsPerSocket": 1}, answer()),
    "keepalive-hint": ({}, answer(fields=[("Keep-Alive", "timeout=1")])),
    "keepalive-hint-zero": ({"agentKeepAliveTimeoutBuffer": 0}, answer(fields=[("Keep-Alive", "timeout=0")])),
    "unexpected-data": ({}, answer() + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
    "unexpected-data-one-byte": ({}, answer() + b"x"),
    "unexpected-data-chunked": ({}, chunked_with(b"\r\n")),
    "unexpected-data-204": ({}, b"HTTP/1.1 204 No Content\r\n\r\nbody"),
}


@pytest.mark.parametrize("case", RETIRED)
def test_what_is_not_kept(stage, case):
    """A socket becomes free only after request and response are both complete, neither end of the upstream
    connection asked for close [...], framing was self-delimiting, and no byte is left over. Anything else
    retires it. Every retirement has one of these reasons"""
    settings, response = RETIRED[case]
    origin = stage.origin(lambda _: response)
    carpool = stage.pooled(**settings)
    client = carpool.client()
    for _ in range(2):
        assert client.get(origin.url("/")).status in (200, 204)
    origin.connections[0].wait_ended()
    assert origin.accepted == 2
    assert [len(each.requests) for each in origin.connections] == [1, 1]
    reason = next(word for word in ("keepAlive-off", "connection-close", "free-full", "max-requests", "keepalive-hint",
                                    "unexpected-data") if case.startswith(word))
    carpool.wait_retired(origin, reason, 2)
    assert set(carpool.retired(origin)) == {reason}


def test_close_delimited(stage):
    """framing was self-delimiting: `close-delimited`"""
    def respond(asked):
        asked.connection.send(OK + b"\r\nto the end")
        asked.connection.close()
    origin = stage.origin(respond)
    carpool = stage.carpool()
    assert carpool.get(origin.url("/")).text == "to the end"
    carpool.wait_retired(origin, "close-delimited")


def test_the_reason_is_logged(stage):
    """Every retirement has one of these reasons, the same word in log, metrics and admin API"""
    origin = stage.origin(lambda _: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool({"log": {"level": "debug"}})
    carpool.get(origin.url("/"))
    carpool.wait_retired(origin, "connection-close")
    assert "connection-close" in carpool.stderr
    metrics = carpool.admin("/metrics").text
    lines = [line for line in metrics.splitlines() if 'reason="connection-close"' in line and "sockets_retired" in line]
    assert lines and lines[0].endswith(" 1")


KEPT = {
    "length": answer(), "length-zero": answer(b""), "chunked": chunked_with(b""),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n", "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "error-status": answer(b"broken", "500 Internal Server Error"), "404": answer(b"", "404 Not Found"),
    "keep-alive": answer(fields=[("Connection", "keep-alive"), ("Keep-Alive", "timeout=60, max=100")]),
    "1.0-keep-alive": answer(fields=[("Connection", "keep-alive")], version="1.0"),
    "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_kept(stage, case):
    """A socket becomes free [...] after request and response are both complete"""
    origin = stage.origin(lambda _: KEPT[case])
    carpool = stage.carpool()
    for _ in range(3):
        carpool.get(origin.url("/"))
    assert origin.accepted == 1 and carpool.retired(origin) == {}


def test_a_response_before_the_request_is_complete(stage):
    """A socket becomes free only after request and response are both complete"""
    def serve(connection):
        while True:
            head = connection.read_request_head()
            connection.note(head)
            connection.send(answer())
            connection.read_body(head)
            connection.origin.arrived(head)
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 10)]) + b"12345")
    assert client.response("POST").status == 200
    assert carpool.get(origin.url("/next")).status == 200
    origin.connections[0].wait_ended()
    assert origin.accepted == 2 and len(origin.connections[0].requests) == 1
    carpool.wait_retired(origin, "early-response")


def test_a_left_over_byte_never_reaches_another_client(stage):
    """and no byte is left over: a late one neither"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    first = carpool.ask(origin.url("/1"))
    connection = origin.take().connection
    connection.send(answer(b"one"))
    assert first.response().text == "one"
    connection.send(answer(b"poison"))
    connection.finish()
    second = carpool.ask(origin.url("/2"))
    asked = origin.take()
    assert asked.connection is not connection
    asked.connection.reply(b"two")
    assert second.response().text == "two"
    assert carpool.retired(origin) == {"unexpected-data": 1}


def test_max_age(stage):
    """maxSocketAge: 10m # retired when it next becomes free"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSocketAge="300ms")
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    stays(lambda: not client.answered() and asked.connection.is_open, "too old by now, but active", 0.5)
    asked.connection.reply()
    assert client.response().status == 200
    asked.connection.wait_ended("fin")
    carpool.wait_retired(origin, "max-age")


def test_max_free_sockets(stage):
    """maxFreeSockets: 256 # free, per origin"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxFreeSockets=2)
    clients = [carpool.ask(origin.url("/")) for _ in range(5)]
    for _ in range(5):
        origin.take()
    for connection in origin.connections:
        connection.reply()
    for client in clients:
        client.response()
    carpool.wait_row(origin, freeSockets=2, sockets=0)
    assert carpool.retired(origin) == {"free-full": 3}
    origin.wait_open(2)


@pytest.mark.parametrize("scheduling", ["lifo", "fifo", None])
def test_scheduling(stage, scheduling):
    """scheduling: lifo # lifo | fifo: which free socket is taken"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(**({"scheduling": scheduling} if scheduling else {}))
    clients = [carpool.ask(origin.url("/")) for _ in range(3)]
    for _ in range(3):
        origin.take()
    for number in (1, 0, 2):        # freed in this order
        origin.connections[number].reply()
        carpool.wait_row(origin, freeSockets=[1, 0, 2].index(number) + 1)
    used = []
    for _ in range(3):
        clients.append(carpool.ask(origin.url("/")))
        used.append(origin.take().connection.number)
    assert used == ([1, 0, 2] if scheduling == "fifo" else [2, 0, 1])


def test_max_requests_per_socket(stage):
    """maxRequestsPerSocket: 0 # exchanges a socket may carry"""
    origin = stage.origin()
    carpool = stage.pooled(maxRequestsPerSocket=3)
    for _ in range(7):
        assert carpool.get(origin.url("/")).status == 200
    assert [len(each.requests) for each in origin.connections] == [3, 3, 1]
    assert carpool.retired(origin) == {"max-requests": 2}


# 5.5


@pytest.mark.parametrize("how", ["close", "fin", "reset"])
def test_a_free_socket_whose_peer_closes(stage, how):
    """A free socket is watched: when its peer closes [...], it leaves the pool at once"""
    origin = stage.origin()
    carpool = stage.carpool()
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    getattr(origin.connections[0], how)()
    carpool.wait_row(origin, freeSockets=0)
    assert carpool.retired(origin) == {"peer-closed": 1}
    assert carpool.get(origin.url("/"), method="POST", body=b"x").status == 200
    assert origin.accepted == 2 and len(origin.requests) == 2


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_end_that_came_with_the_response(stage, how):
    """A free socket is watched: [...] leaves the pool at once, also when what ended it came before the response was read"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    carpool.signal(signal.SIGSTOP)
    asked.connection.reply()
    getattr(asked.connection, how)()
    carpool.signal(signal.SIGCONT)
    assert client.response().status == 200
    carpool.wait_row(origin, freeSockets=0, sockets=0)
    assert carpool.retired(origin) == {"peer-closed": 1}


@pytest.mark.parametrize("data", [b"x", b"\r\n", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_a_free_socket_whose_peer_speaks(stage, data):
    """or sends application data, it leaves the pool at once"""
    origin = stage.origin()
    carpool = stage.carpool()
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    origin.connections[0].send(data)
    carpool.wait_row(origin, freeSockets=0)
    assert carpool.retired(origin) == {"unexpected-data": 1}
    assert carpool.get(origin.url("/")).text == "ok"
    assert origin.accepted == 2


def hinted(stage, hint, **settings):
    origin = stage.origin(lambda _: answer(fields=[("Connection", "keep-alive"), ("Keep-Alive", hint)]))
    return origin, stage.pooled(**settings)


@pytest.mark.parametrize("hint", ["timeout=9", "timeout=9, max=100", "max=100,timeout=9", "Timeout=9", "MAX=5 , TIMEOUT=9",
                                  "x=y, timeout=9"])
def test_a_hint_shortens_the_stay(stage, hint):
    """`Keep-Alive: timeout=N, max=M` from the origin shortens its stay (N minus the buffer; [...]; parameters
    in any order and case)"""
    origin, carpool = hinted(stage, hint, agentKeepAliveTimeoutBuffer="8s")
    since = time.monotonic()
    carpool.get(origin.url("/"))
    origin.connections[0].wait_ended("fin")
    assert 0.95 < time.monotonic() - since < 8
    assert carpool.retired(origin) == {"keepalive-hint": 1}


def test_the_buffer_of_a_hint(stage):
    """agentKeepAliveTimeoutBuffer: 1s # taken off an origin's Keep-Alive: timeout=N hint"""
    origin, carpool = hinted(stage, "timeout=2")
    since = time.monotonic()
    carpool.get(origin.url("/"))
    origin.connections[0].wait_ended("fin")
    assert time.monotonic() - since > 0.95
    assert carpool.retired(origin) == {"keepalive-hint": 1}


def test_a_hint_holds_without_a_limit_of_our_own(stage):
    """and it holds whatever `timeouts.free` says"""
    origin, carpool = hinted(stage, "timeout=1", agentKeepAliveTimeoutBuffer="700ms", timeouts={"free": "off"})
    carpool.get(origin.url("/"))
    origin.connections[0].wait_ended("fin")
    assert carpool.retired(origin) == {"keepalive-hint": 1}


def test_a_hint_does_not_lengthen_the_stay(stage):
    """shortens its stay"""
    origin, carpool = hinted(stage, "timeout=60", timeouts={"free": "300ms"})
    carpool.get(origin.url("/"))
    origin.connections[0].wait_ended("fin")
    assert carpool.retired(origin) == {"free-timeout": 1}


@pytest.mark.parametrize("hint", ["timeout", "timeout=", "timeout=x", "timeout=-5", "5", "timeout=99999999999999999999", "max=x",
                                  '"timeout=1"', ""])
def test_a_hint_that_is_none(stage, hint):
    """`Keep-Alive: timeout=N`: what is no number changes nothing"""
    origin, carpool = hinted(stage, hint)
    for _ in range(3):
        assert carpool.get(origin.url("/")).status == 200
    assert origin.accepted == 1


def test_a_hint_of_max(stage):
    """`Keep-Alive: timeout=N, max=M`: M more requests at most"""
    left = [2, 1, 0]
    origin = stage.origin(lambda asked: answer(fields=[("Keep-Alive", f"max={left[len(asked.connection.requests) - 1]}")]))
    carpool = stage.carpool()
    for _ in range(4):
        assert carpool.get(origin.url("/")).status == 200
    assert [len(each.requests) for each in origin.connections] == [3, 1]


def test_a_hint_bounds_idle_time_only(stage):
    """It bounds idle time only, never a running exchange"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(agentKeepAliveTimeoutBuffer="500ms")
    first = carpool.ask(origin.url("/"))
    origin.take().connection.reply(fields=[("Keep-Alive", "timeout=1")])
    assert first.response().status == 200
    second = carpool.ask(origin.url("/"))
    asked = origin.take()
    assert not second.closed_by_peer(0.9)
    asked.connection.reply()
    assert second.response().status == 200 and origin.accepted == 1


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_closed_socket_is_seen_before_a_post_is_written(stage, how):
    """What the kernel has reported of free sockets is looked at before anything else in a loop turn; [...]
    and a request that could not be repeated (5.6) is preceded by a non-blocking look. [...] an end of file
    found so retires the socket before a byte of the request is written."""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    for number in range(60):
        assert client.get(origin.url("/")).status == 200
        connection = origin.connections[-1]
        getattr(connection, how)()      # the end is in Carpool's receive buffer before the POST is
        response = client.get(origin.url("/post"), method="POST", body=b"once")
        assert response.status == 200, f"after {number} rounds"
        assert connection.requests[-1].method == "GET"
    assert origin.targets.count("/post") == 60 and origin.accepted == 61


def test_unread_data_is_seen_before_a_post_is_written(stage):
    """An unread byte [...] found so retires the socket before a byte of the request is written."""
    origin = stage.origin()
    carpool = stage.carpool()
    client = carpool.client()
    for _ in range(40):
        assert client.get(origin.url("/")).status == 200
        connection = origin.connections[-1]
        connection.send(b"HTTP/1.1 500 Poison\r\nContent-Length: 0\r\n\r\n")
        assert client.get(origin.url("/"), method="POST", body=b"x").status == 200
        assert connection is not origin.connections[-1]


def test_a_hand_off_needs_an_empty_socket(stage):
    """a hand-off needs the last read to have emptied the socket"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    first = carpool.ask(origin.url("/1"))
    asked = origin.take()
    second = carpool.ask(origin.url("/2"))
    carpool.wait_row(origin, requests=1)
    asked.connection.reply_raw(answer(b"one") + answer(b"poison"))
    assert first.response().text == "one"
    again = origin.take()
    assert again.connection is not asked.connection
    again.connection.reply(b"two")
    assert second.response().text == "two"
