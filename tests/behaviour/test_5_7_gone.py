"""Section 5.7: clients that go away, and what becomes of the socket that served them."""

import signal

import pytest

from .harness import wait_until
from .harness.client import request
from .harness.origin import answer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def half_a_response(head):
    """Sends this much of a response, and no more unless the test does."""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(head)
        while connection.fill():
            pass
    return serve


def leave_in_the_middle(carpool, origin):
    client = carpool.client().ask(origin.url("/stream"))
    wait_until(client.answered, "the response has begun")
    client.reset()


@pytest.mark.parametrize("head", [CHUNKED + b"3\r\nabc\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"],
                         ids=["chunks", "length"])
def test_a_place_comes_back_though_the_rest_never_comes(stage, head):
    """one that goes away [...] mid-response costs the socket, unless `drainLimit` lets it be saved: for at most 1 s"""
    origin = stage.origin(serve=half_a_response(head))
    carpool = stage.pooled(maxSockets=1, timeouts={"socket": 0})
    leave_in_the_middle(carpool, origin)
    carpool.wait_retired(origin, "client-aborted")
    origin.connections[0].wait_ended()


def test_a_stream_that_trickles_for_nobody_is_ended(stage):
    """unless `drainLimit` lets it be saved: for at most 1 s; a heartbeat does not buy more"""
    origin = stage.origin(serve=half_a_response(CHUNKED + b"3\r\nabc\r\n"))
    carpool = stage.pooled(maxSockets=1)
    leave_in_the_middle(carpool, origin)
    connection = origin.connections[0]

    def ended():
        try:
            connection.send_some(b"1\r\n.\r\n")
        except OSError:     # reset, or closed since by the origin's own thread
            return True
        return connection.ended
    wait_until(ended, "Carpool lets go of the stream")
    carpool.wait_retired(origin, "client-aborted")


def test_a_stop_does_not_wait_for_what_nobody_reads(stage):
    """unless `drainLimit` lets it be saved: [...] not at a stop"""
    origin = stage.origin(serve=half_a_response(CHUNKED + b"3\r\nabc\r\n"))
    carpool = stage.carpool({"shutdownTimeout": "1h", "defaults": {"timeouts": {"socket": 0}}})
    leave_in_the_middle(carpool, origin)
    carpool.ends_itself()
    carpool.signal(signal.SIGTERM)
    assert carpool.wait() == 0


def test_a_socket_whose_rest_is_there_is_saved(stage):
    """drainLimit: client went away mid-response: read on up to this much to save the socket"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    client = carpool.client().ask(origin.url("/stream"))
    origin.wait_requests(1)
    origin.connections[0].send(CHUNKED + b"3\r\nabc\r\n")
    wait_until(client.answered, "the response has begun")
    carpool.signal(signal.SIGSTOP)
    try:
        client.reset()
        origin.connections[0].reply_raw(b"3\r\ndef\r\n0\r\n\r\n")
    finally:
        carpool.signal(signal.SIGCONT)
    carpool.wait_row(origin, freeSockets=1)


@pytest.mark.parametrize("size", [100, 20_000, 100_000])
def test_a_waiting_request_whose_client_reset_is_never_sent(stage, size):
    """A client that goes away (4.8) while pending leaves the queue at once and its request is never sent; however much
    of its body fills the buffers"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    first = carpool.client().ask(origin.url("/1"))
    origin.wait_requests(1)
    second = carpool.client()
    second.send(request("POST", origin.url("/2"), fields=[("Content-Length", str(size))]))
    carpool.wait_row(origin, requests=1)
    second.send(b"x" * size)
    second.reset()
    carpool.wait_row(origin, requests=0)
    origin.connections[0].reply(b"one")
    assert first.response().body == b"one"
    third = carpool.client().ask(origin.url("/3"))
    origin.wait_requests(2)
    origin.connections[-1].reply(b"three")
    assert third.response().body == b"three" and origin.targets == ["/1", "/3"]


def test_a_spare_that_was_closed_is_not_the_apps_trouble(stage):
    """an end of file, a reset or a broken pipe on a *reused* socket (here: one that idled in the pool, a spare of
    `minFreeSockets` too)"""
    def respond(asked):
        if asked.connection is origin.connections[0]:
            asked.connection.close()
        return answer(b"ok")
    origin = stage.origin(respond)
    carpool = stage.carpool({"upstreams": {"warm": {"match": origin.authority, "minFreeSockets": 1}}})
    carpool.wait_row(origin, agent="warm", freeSockets=1)
    assert carpool.get(origin.url("/first-on-a-spare")).status == 200
    assert carpool.row(origin, agent="warm")["retriesTotal"] == 1
