"""Section 9.9: 5.10 holds too. Peers that are gone without FIN or RST, under streams and without."""


import pytest

from .harness import stays, wait_until
from .harness.h2 import h2_origin
from .test_5_10_dead_paths import FIRST, SECOND, network  # noqa: F401 pylint: disable=unused-import
from .test_9_http2 import Held

# pylint: disable=redefined-outer-name
KEY = "http://u.test:80"


def two(stage, network, respond=None, interval="off", **upstream):  # noqa: F811
    """A daemon, and an upstream with two addresses that speak HTTP/2: the one that its free connection leads to, and the other."""
    def where(stream):
        return stream.peer.origin.host.encode() if stream.target != "/hold" else respond(stream)
    with network.far():
        origins = [h2_origin(stage, where, tls=False, where={"host": FIRST})]
        origins.append(h2_origin(stage, where, tls=False, where={"host": SECOND, "port": origins[0].port}))
    carpool = stage.carpool({"upstreams": {"u": {"match": "u.test", "address": [o.authority for o in origins], "h2Options": {
        "useH2c": True, "pingInterval": interval}, **upstream}}})
    used = carpool.get("http://u.test/warm").body.decode()
    carpool.wait_row(KEY, "u", freeSockets=1)
    return carpool, *sorted(origins, key=lambda origin: origin.host != used)


@pytest.mark.parametrize("method, fields", [("GET", ()), ("PUT", ()), ("POST", [("Idempotency-Key", "1")])])
def test_repeated_soon(stage, network, method, fields):  # noqa: F811
    """5.10: where nothing of it was acknowledged after 1 s and two retransmissions it is repeated, whatever `ack` says"""
    carpool, dead, other = two(stage, network, timeouts={"ack": "off", "socket": "5m"})
    network.lose(dead.host)
    response = carpool.get("http://u.test/x", method=method, body=b"x" if method != "GET" else b"", fields=fields)
    assert response.status == 200 and response.body == other.host.encode()
    assert [request.target for request in other.requests] == ["/x"]
    row = carpool.row(KEY, "u")
    assert row["reusedSocketErrors"] == {"ETIMEDOUT": 1} and row["retiredTotal"] == {"error": 1} and row["retriesTotal"] == 1


def test_others_go_elsewhere(stage, network):  # noqa: F811
    """what may not be repeated waits for `ack`; nothing new begins there meanwhile"""
    carpool, dead, other = two(stage, network, timeouts={"ack": "8s", "socket": "5m"})
    network.lose(dead.host)
    post = carpool.ask("http://u.test/post", method="POST", body=b"once")
    carpool.wait_row(KEY, "u", draining=1)
    assert carpool.get("http://u.test/x").body == other.host.encode()
    response = post.response("POST")
    assert response.status == 504 and response.error == "connection_timeout"
    assert [request.target for request in other.requests] == ["/x"]
    assert carpool.retired(KEY, "u") == {"error": 1}


def test_what_was_acknowledged_is_not_repeated(stage, network):  # noqa: F811
    """a request that reached the origin waits for its answer, though a later one on the same connection did not"""
    held = Held()
    carpool, dead, other = two(stage, network, held, timeouts={"ack": "off", "socket": "5m"})
    first = carpool.ask("http://u.test/hold")
    held.wait(1)
    network.lose(dead.host)
    assert carpool.get("http://u.test/x").body == other.host.encode()
    assert [request.target for request in other.requests] == ["/x"]
    network.mend(dead.host)
    held.let_go()
    assert first.response().status == 200
    assert [request.target for request in other.requests] == ["/x"]


def test_a_post_is_not_sent_into_the_void(stage, network):  # noqa: F811
    """a request that is sent once only asks a connection that was silent by PING first, and goes elsewhere where none comes back"""
    held = Held()
    carpool, dead, other = two(stage, network, held, interval="10ms", timeouts={"ack": "off", "free": "off"}, keepAliveMsecs="1m")
    first = carpool.ask("http://u.test/hold")
    wait_until(lambda: any("agent_ping_seconds_count" in line and not line.endswith(" 0")
                           for line in carpool.admin("/metrics").text.split("\n")), "it answers PINGs")
    held.wait(1)
    held.let_go()
    assert first.response().status == 200
    network.lose(dead.host)
    stays(lambda: carpool.running, "nothing can come: it is silent for a third of pingInterval at least", 0.05)
    response = carpool.get("http://u.test/x", method="POST", body=b"once")
    assert response.status == 200 and response.body == other.host.encode()
    network.mend(dead.host)
    assert carpool.get("http://u.test/y").status == 200
    assert "/x" not in [request.target for request in dead.requests]
    assert carpool.row(KEY, "u")["errors"] == {}


def test_free_ones_are_dead(stage, network):  # noqa: F811
    """5.10: three probes in a row without answer retire free ones, `dead`"""
    carpool, dead, _ = two(stage, network, timeouts={"free": "off"})
    network.lose(dead.host)
    carpool.wait_retired(KEY, "dead", agent="u")
    assert carpool.get("http://u.test/x").status == 200
