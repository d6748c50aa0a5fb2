"""Section 9.5: what an HTTP/2 origin says it has not processed is repeated, and nothing else."""

import signal
import threading

import pytest

from .harness.h2 import REFUSED_STREAM
from .test_9_http2 import Held, begin, transport  # noqa: F401  (a fixture is among them)


def test_goaway_loses_nothing(stage, transport):
    """9.5: a stream above the last id of a GOAWAY is repeated, POST too"""
    held = Held()
    origin, carpool, key = begin(stage, transport, held)
    clients = [carpool.ask(origin.url(f"/hold{number}"), method="POST", body=b"x") for number in range(6)]
    held.wait(6)
    first = sorted(held.streams, key=lambda stream: stream.number)
    held.streams = first[:3]
    first[0].peer.goaway(first[2].number)
    held.wait(6)
    assert [stream.target for stream in held.streams[3:]] == [stream.target for stream in first[3:]]
    assert carpool.row(key, "api")["draining"] == 1
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 6
    carpool.wait_retired(key, "goaway", agent="api")
    assert origin.accepted == 2


def test_goaway_every_few_requests(stage, transport):
    """9.5: An origin that sends GOAWAY every N requests costs no error, for any method."""
    def respond(stream):
        if stream.number == 5:
            stream.peer.goaway(5)
        return stream.body
    origin, carpool, _ = begin(stage, transport, respond)
    answers = []

    def ask(first):
        for number in range(first, first + 25):
            answers.append(carpool.get(origin.url(f"/{number}"), method="POST", body=b"%d" % number).body == b"%d" % number)
    threads = [threading.Thread(target=ask, args=(100 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 100
    assert origin.accepted >= 30


@pytest.mark.parametrize("ends", [False, True], ids=["stays", "ends"])
def test_goaway_before_any_answer(stage, transport, ends):
    """9.5: no error either where each connection takes one request, says GOAWAY at once, and answers behind it; nor where
    its end is there before Carpool has read that"""
    held = Held()
    origin, carpool, _ = begin(stage, transport, held)
    clients = [carpool.ask(origin.url(f"/hold{number}"), method="POST", body=b"x") for number in range(6)]
    for left in range(6, 0, -1):
        held.wait(left)
        first = min(held.streams, key=lambda stream: stream.number)
        held.streams = []
        if ends:
            carpool.signal(signal.SIGSTOP)
        first.peer.goaway(first.number)
        first.answer()
        if ends:
            first.peer.connection.close()
            carpool.signal(signal.SIGCONT)
    assert [client.response().status for client in clients] == [200] * 6
    assert origin.accepted == 6


def test_refused_streams_are_repeated(stage, transport):
    """9.5: at most 3 times; then 503 destination_unavailable"""
    origin, carpool, key = begin(stage, transport, lambda stream: stream.rst(REFUSED_STREAM))
    response = carpool.get(origin.url(), method="POST", body=b"x")
    assert response.status == 503 and "destination_unavailable" in response.fields.get("Proxy-Status")
    assert response.fields.get("Retry-After") == "1"
    assert len(origin.requests) == 4
    metrics = carpool.admin("/metrics").text
    assert 'agent_unprocessed_total{agent="api",origin="*"} 3' in metrics or 'agent_unprocessed_total{agent="api"' in metrics
    assert carpool.row(key, "api")["retriesTotal"] == 0


def test_what_is_too_large_to_keep_is_not_repeated(stage):
    """9.5: beyond replayLimit 502 http_response_incomplete"""
    origin, carpool, _ = begin(stage, "clear", lambda stream: stream.rst(REFUSED_STREAM), replayLimit=10)
    response = carpool.get(origin.url(), method="POST", body=b"x" * 100)
    assert response.status == 502 and "http_response_incomplete" in response.fields.get("Proxy-Status")
    assert b"replayLimit" in response.body


def test_a_connection_that_dies(stage, transport):
    """9.5: 5.6 for each (idempotent, no response byte; reused is a socket that has answered a stream)"""
    def respond(stream):
        if stream.target == "/die" and len([each for each in origin.requests if each.target == "/die"]) == 1:
            stream.connection.close()
        return b"ok"
    origin, carpool, _ = begin(stage, transport, respond)
    assert carpool.get(origin.url("/warm")).status == 200
    assert carpool.get(origin.url("/die")).status == 200
    origin.requests.clear()
    response = carpool.get(origin.url("/die"), method="POST", body=b"x")
    assert response.status == 502 and "connection_terminated" in response.fields.get("Proxy-Status")
