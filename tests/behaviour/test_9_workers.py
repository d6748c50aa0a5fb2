"""Section 9.3: With several workers an origin lives in one of them as ever; and what a reload and a stop do to its streams there."""

import signal
import threading

from .harness import wait_until
from .harness.h2 import GOAWAY, HEADERS, RST_STREAM, h2_origin
from .test_9_http2 import Held
from .test_workers import UNLIMITED, handovers

ORIGINS = 6


def config(use=True, **upstream):
    """Two loops, over which the origins are spread."""
    return {"workers": 2, "upstreams": {"api": {"match": "127.0.0.1", "h2Options": {"useH2c": use}, **UNLIMITED, **upstream}}}


def begin(stage, respond, **upstream):
    origins = [h2_origin(stage, respond, tls=False) for _ in range(ORIGINS)]
    return origins, stage.carpool(config(**upstream))


def hold(carpool, origins, held, count):
    clients = [carpool.ask(origin.url(f"/hold{number}"), method="POST", body=b"x") for number in range(count) for origin in origins]
    held.wait(len(clients))
    return clients


def test_each_origin_has_one_connection(stage):
    """whichever loop takes a client in, and nothing is lost where an origin says GOAWAY every few requests"""
    def respond(stream):
        if stream.peer.origin is restless and stream.number == 9:
            stream.peer.goaway(9)
        return stream.body or b"ok"
    origins, carpool = begin(stage, respond)
    restless, wrong = origins[0], []

    def ask(first):
        for number in range(first, first + 60):
            origin, body = origins[number % ORIGINS], b"%d" % number
            response = carpool.get(origin.url(f"/{number}"), method="POST", body=body)
            if (response.status, response.body) != (200, body):
                wrong.append((number, response.status, response.body))
    threads = [threading.Thread(target=ask, args=(60 * each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and handovers(carpool) > 0
    assert [origin.accepted for origin in origins[1:]] == [1] * (ORIGINS - 1)
    taken = [request.target for origin in origins for request in origin.requests if origin is not restless or request.number <= 9]
    assert len(taken) == len(set(taken)) == 480
    for origin in origins[1:]:
        row = carpool.row(origin.key, "api")
        assert (row["socketsOpened"], row["reusedTotal"], row["requestsTotal"]) == (1, 79, 80)


def test_limits_hold_over_all_loops(stage):
    """9.2: maxSockets bounds its exchanges in flight"""
    held = Held()
    origins, carpool = begin(stage, held, maxSockets=2)
    clients = [carpool.ask(origin.url("/hold")) for _ in range(5) for origin in origins]
    for origin in origins:
        carpool.wait_row(origin.key, "api", streams=2, requests=3)
    assert carpool.agents()["api"]["streams"] == 2 * ORIGINS
    for left in (2, 2, 1):
        held.wait(left * ORIGINS)
        held.let_go()
    assert [client.response().status for client in clients] == [200] * len(clients)
    assert [origin.accepted for origin in origins] == [1] * ORIGINS


def test_a_reload_drains(stage):
    """A reload that changes `allowH2` or `useH2c` holds for new requests at once; running streams finish"""
    held = Held()
    origins, carpool = begin(stage, held)
    clients = hold(carpool, origins, held, 2)
    carpool.reload(config(use=False))
    for origin in origins:
        carpool.wait_row(origin.key, "api", draining=1, streams=2, maxStreams=0)
    held.let_go()
    assert [client.response("POST").status for client in clients] == [200] * len(clients)
    for origin in origins:
        carpool.wait_retired(origin.key, "drained", agent="api")
    carpool.reload(config())
    for origin in origins:
        assert carpool.get(origin.url("/again")).status == 200
    assert [len(origin.peers) for origin in origins] == [2] * ORIGINS


def test_a_stop_finishes_streams(stage):
    """8: running requests finish, in all loops; each origin is told by GOAWAY"""
    held = Held()
    origins, carpool = begin(stage, held)
    clients = hold(carpool, origins, held, 3)
    peers = [origin.peers[0] for origin in origins]
    carpool.ends_itself()
    carpool.signal(signal.SIGTERM)
    wait_until(lambda: carpool.admin("/readyz").status == 503, "it stops")
    held.let_go()
    assert [client.response("POST").status for client in clients] == [200] * len(clients)
    assert carpool.wait() == 0
    for peer in peers:
        wait_until(lambda peer=peer: peer.connection.ended, "the connection ends")
        assert (peer.count(GOAWAY), peer.count(RST_STREAM), peer.count(HEADERS)) == (1, 0, 3)
