"""Section 9.11: what an operator sees of HTTP/2, in carpoolctl and on the page."""

import threading
import time

import pytest

from .harness import PATIENCE, wait_until
from .harness.h2 import INTERNAL_ERROR, LAST_STREAM, h2_origin
from .harness.origin import echo
from .harness.tls import https_key, secure
from .test_2_carpoolctl import ctl, program, rows, shown  # noqa: F401 pylint: disable=unused-import
from .test_2_top import row_of, watching  # noqa: F401 pylint: disable=unused-import
from .test_7_page import CHROMIUM, browse  # noqa: F401 pylint: disable=unused-import
from .test_9_http2 import Held, begin, in_the_clear, over_tls, transport  # noqa: F401 pylint: disable=unused-import


def busy(stage):
    """A daemon whose upstream `api` has two streams on a connection that drains and one on another, and had one reset."""
    held = Held()
    origin = h2_origin(stage, lambda stream: stream.rst(INTERNAL_ERROR) if stream.target == "/bad" else held(stream))
    carpool = stage.carpool(secure(allowH2=True, maxSockets=7, h2Options={"maxConcurrentStreams": 5}))
    assert carpool.get(origin.url("/bad")).status == 502
    clients = [carpool.ask(origin.url("/hold")) for _ in range(2)]
    held.wait(2)
    origin.peers[0].goaway(LAST_STREAM)
    carpool.wait_row(https_key(origin), "api", draining=1)
    clients.append(carpool.ask(origin.url("/hold")))
    held.wait(3)
    return carpool, origin, held, clients


def finish(held, clients):
    held.let_go()
    assert [client.response().status for client in clients] == [200] * len(clients)


def test_it_is_seen(stage, transport):
    """9.11: metrics and access log"""
    def respond(stream):
        return stream.rst(INTERNAL_ERROR) if stream.target == "/bad" else b"ok"
    log = stage.path("access.log")
    origin = h2_origin(stage, respond, tls=transport == "tls")
    config = over_tls() if transport == "tls" else in_the_clear()
    carpool = stage.carpool({**config, "accessLog": {"path": log}})
    assert carpool.get(origin.url()).status == 200
    assert carpool.get(origin.url("/bad")).status == 502
    origin.peers[0].goaway(LAST_STREAM)
    wait_until(lambda: 'carpool_agent_goaways_total{' in carpool.admin("/metrics").text, "the GOAWAY is counted")
    metrics = carpool.admin("/metrics").text
    assert 'by="origin",code="INTERNAL_ERROR"} 1' in metrics and 'code="NO_ERROR"} 1' in metrics
    wait_until(lambda: open(log).read().count("protocol=h2") == 2, "two lines")
    if transport == "tls":      # plain HTTP has no choice, and its lines say nothing of it
        plain = stage.origin()
        assert carpool.get(f"http://localhost:{plain.port}/plain").status == 200
        wait_until(lambda: "/plain " in open(log).read(), "a third line")
        assert open(log).read().count("protocol=") == 2


def test_the_admin_api(stage):
    """9.11: streams, maxStreams and draining of origins, and summed of agents; GOAWAYs and resets, by code"""
    carpool, origin, held, clients = busy(stage)
    agent = carpool.agents()["api"]
    for row in (agent, carpool.row(https_key(origin), "api")):
        assert [row[key] for key in ("sockets", "streams", "maxStreams", "draining")] == [1, 3, 5, 1]
        assert row["goaways"] == {"NO_ERROR": 1} and row["unprocessedTotal"] == 0
        assert row["streamsReset"] == {"origin": {"INTERNAL_ERROR": 1}, "carpool": {}}
    finish(held, clients)


def test_one_that_has_grown_too_old_is_draining(stage):
    """9.11: draining (sockets that take none, not in `sockets`), maxStreams (over sockets that take new streams)"""
    held = Held()
    origin, carpool, key = begin(stage, "clear", held, maxSocketAge="300ms")
    old = carpool.ask(origin.url("/hold"))
    held.wait(1)
    wait_until(lambda: carpool.get(origin.url("/next")).status == 200 and origin.accepted == 2, "another takes its place")
    row = carpool.row(key, "api")
    assert (row["sockets"], row["freeSockets"], row["draining"], row["streams"], row["maxStreams"]) == (0, 1, 1, 1, 100)
    held.let_go()
    assert old.response().status == 200
    carpool.wait_retired(key, "max-age", agent="api")


@pytest.mark.parametrize("option, reason", [({"maxSocketAge": "1ms"}, "max-age"), ({"maxRequestsPerSocket": 1}, "max-requests")])
def test_one_that_takes_none_after_a_reload_is_draining(stage, option, reason):
    """limits and timeouts apply in place, also to what runs; draining (sockets that take none, not in `sockets`)"""
    held = Held()
    origin, carpool, key = begin(stage, "clear", held)
    client = carpool.ask(origin.url("/hold"))
    held.wait(1)
    upstream = carpool.config["upstreams"]["api"]
    carpool.reload({"upstreams": {"api": {**upstream, **option}}})
    carpool.wait_row(key, "api", sockets=0, draining=1, streams=1, maxStreams=0)
    held.let_go()
    assert client.response().status == 200
    carpool.wait_retired(key, reason, agent="api")


def test_one_that_carries_its_last_requests_is_draining(stage):
    """9.2, 9.11: maxRequestsPerSocket counts streams, and ends a socket for new ones"""
    held = Held()
    origin, carpool, key = begin(stage, "clear", held, maxRequestsPerSocket=2)
    clients = [carpool.ask(origin.url("/hold"))]
    held.wait(1)
    assert [carpool.row(key, "api")[name] for name in ("sockets", "maxStreams", "draining")] == [1, 100, 0]
    clients.append(carpool.ask(origin.url("/hold")))
    held.wait(2)
    carpool.wait_row(key, "api", sockets=0, draining=1, streams=2, maxStreams=0)
    assert carpool.get(origin.url("/next")).status == 200 and origin.accepted == 2
    finish(held, clients)
    carpool.wait_retired(key, "max-requests", agent="api")


def test_one_request_a_connection(stage):
    """9.11: maxStreams is the lower of the limits; with keepAlive: false a socket carries one"""
    held = Held()
    origin, carpool, key = begin(stage, "clear", held, keepAlive=False)
    clients = [carpool.ask(origin.url("/hold")) for _ in range(2)]
    held.wait(2)
    carpool.wait_row(key, "api", sockets=2, draining=0, streams=2, maxStreams=2)
    finish(held, clients)


def test_status(stage):
    """a column STREAMS beside ACTIVE; what ends connections under --wide"""
    carpool, _, held, clients = busy(stage)
    row = rows(shown(carpool, "status"))[0]
    assert list(row)[2:4] == ["ACTIVE", "STREAMS"] and (row["AGENT"], row["ACTIVE"], row["STREAMS"]) == ("api", "1/7", "3/5")
    assert rows(shown(carpool, "status"))[1]["STREAMS"] == "-"
    wide = rows(shown(carpool, "status", "--wide"))[0]
    assert (wide["PROTOCOL"], wide["DRAINING"], wide["GOAWAYS"]) == ("h2", "1", "1")
    finish(held, clients)


def test_agents(stage):
    """one agent: its streams, and what was reset or sent away, by whom and why"""
    carpool, _, held, clients = busy(stage)
    assert rows(shown(carpool, "agents"))[0]["STREAMS"] == "3/5"
    text = shown(carpool, "agents", "api")
    assert rows(text, "ORIGIN")[0]["STREAMS"] == "3/5"
    assert {row["HTTP/2"]: row["COUNT"] for row in rows(text, "COUNT")} == {
        "GOAWAY from the origin: NO_ERROR": "1", "stream reset by the origin: INTERNAL_ERROR": "1"}
    assert "Now 1 connection is in use with 3 requests over HTTP/2" in " ".join(shown(carpool, "explain", "api").split())
    finish(held, clients)


def test_pause_counts_requests(stage):
    """running exchanges finish: a connection has several, and one that drains has some"""
    carpool, _, held, clients = busy(stage)
    assert shown(carpool, "pause", "api").startswith("api is paused: 3 running requests will finish; ")
    finish(held, clients)


def test_nothing_is_said_where_nobody_speaks_it(stage):
    """where all speak HTTP/1.1, no column is wasted"""
    origin = stage.origin()
    carpool = stage.carpool()
    assert carpool.get(origin.url()).status == 200
    for words in (["status", "--wide"], ["agents"], ["agents", "default"]):
        text = ctl(carpool, *words).stdout
        assert "STREAMS" not in text and "PROTOCOL" not in text and "HTTP/2" not in text


def test_top(stage, watching):  # noqa: F811 pylint: disable=redefined-outer-name
    """top: a column STREAMS, at 80 columns too"""
    carpool, _, held, clients = busy(stage)
    lines = watching(carpool).see(lambda lines: row_of(lines, "api"))
    head = next(line for line in lines if line.startswith("AGENT"))
    assert head.split() == ["AGENT", "ORIGIN", "ACTIVE", "STREAMS", "FREE", "WAITING", "REQ/S", "ERR/S"]
    assert row_of(lines, "api").split()[2:4] == ["1/7", "3/5"] and max(map(len, lines)) <= 80
    finish(held, clients)


@pytest.mark.skipif(not CHROMIUM, reason="chromium is missing")
def test_the_page(stage, browse):  # noqa: F811 pylint: disable=redefined-outer-name
    """the page: the same"""
    carpool, _, held, clients = busy(stage)
    page = browse(carpool, "agent=api")
    assert {row["agent"]: row["streams"] for row in page.rows()} == {"api": "3/5", "default": "-"}
    text = page.texts["retired"]
    assert "HTTP/2: 3 of 5 streams in use, 1 connection draining" in text
    assert "GOAWAY from the origin: NO_ERROR" in text and "stream reset by the origin: INTERNAL_ERROR" in text
    finish(held, clients)
    wait_until(lambda: carpool.agents()["api"]["streams"] == 0, "they end")


def test_a_limit_of_streams_is_named(stage):
    """9.11: The diagnosis knows: a limit of streams that holds requests"""
    origin = h2_origin(stage, max_concurrent_streams=0)
    carpool = stage.carpool(secure(allowH2=True))
    client = carpool.ask(origin.url())
    carpool.wait_row(https_key(origin), "api", requests=1)

    def says(text):
        return any(text in sentence for sentence in carpool.agents()["api"]["diagnosis"])
    wait_until(lambda: says("1 request waiting, the origin takes 0 at a time on each of its HTTP/2 connections"), "it is said")
    carpool.wait_row(https_key(origin), "api", freeSockets=2)
    for peer in origin.peers:
        peer.setting(max_concurrent_streams=1)
    assert client.response().status == 200


def test_a_limit_of_streams_is_named_when_nobody_waits_any_more(stage):
    """... for the requests that it refused, too, those that waited for the first connection among them"""
    origin = h2_origin(stage, max_concurrent_streams=0)
    carpool = stage.carpool(secure(allowH2=True, timeouts={"pending": "300ms"}))
    clients = [carpool.ask(origin.url()) for _ in range(3)]
    assert [client.response().error for client in clients] == ["connection_limit_reached"] * 3
    agent = carpool.agents()["api"]
    assert any("3 of 3 requests refused while the origin takes 0 at a time on each of its HTTP/2 connections" in sentence
               for sentence in agent["diagnosis"]), agent["diagnosis"]
    assert agent["lastHour"]["held"] == {"streams": 3}
    assert "3 of 3 requests found all HTTP/2 connections full" in " ".join(shown(carpool, "explain", "api").split())


def test_a_first_connection_that_was_not_enough(stage):
    """11.4: what waited, and for what: those that waited for the first connection to learn its protocol were held by
    maxSockets as soon as it was HTTP/1.1"""
    begun, go_on = [], threading.Event()

    def serve(request):
        begun.append(request)
        go_on.wait(PATIENCE)
        return echo(request)
    origin = h2_origin(stage, protocols=("http/1.1",), respond_h1=serve)
    carpool = stage.carpool(secure(allowH2=True, maxSockets=2))
    clients = [carpool.ask(origin.url()) for _ in range(5)]
    carpool.wait_row(https_key(origin), "api", requests=3)
    wait_until(lambda: len(begun) == 2, "two run")
    time.sleep(0.01)    # what a request waits for a moment is not counted
    go_on.set()
    assert [client.response().status for client in clients] == [200] * 5
    assert carpool.agents()["api"]["lastHour"]["held"] == {"maxSockets": 3}


def test_max_sockets_is_named(stage):
    """... and what maxSockets holds, though one connection carries it"""
    held = Held()
    origin = h2_origin(stage, held)
    carpool = stage.carpool(secure(allowH2=True, maxSockets=2, maxPendingRequests=1))
    clients = [carpool.ask(origin.url("/hold")) for _ in range(3)]
    carpool.wait_row(https_key(origin), "api", requests=1, streams=2)
    assert b"2 in flight over HTTP/2 (maxSockets)" in carpool.get(origin.url()).body
    wait_until(lambda: any("2 in flight over HTTP/2 (maxSockets" in sentence
                           for sentence in carpool.agents()["api"]["diagnosis"]), "it is said")
    held.wait(2)
    held.let_go()
    held.wait(1)
    finish(held, clients)
