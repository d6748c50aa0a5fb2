"""Section 9, by what hurt users of others' HTTP/2: each test is a report of one of them, told the other way round."""

import pytest

from .harness import wait_until
from .harness.client import request
from .harness.h2 import (CANCEL, INADEQUATE_SECURITY, LAST_STREAM, NO_ERROR, h2_origin)
from .harness.relay import Relay
from .harness.tls import https_key, secure
from .test_9_http2 import Held, begin, in_the_clear, over_tls


@pytest.fixture(params=["tls", "clear"])
def transport(request):     # pylint: disable=redefined-outer-name
    return request.param


def targets(streams):
    return sorted(stream.target for stream in streams)


# Limits

def test_settings_that_come_late(stage, transport):
    """9.3: nothing is sent before the origin's SETTINGS, and then as much as they allow"""
    held, peers = Held(), []
    origin, carpool, _ = begin(stage, transport, held, {"opened": peers.append, "acks": False}, maxSockets=30)
    clients = [carpool.ask(origin.url(f"/hold{number}")) for number in range(30)]
    for connection in range(3):
        wait_until(lambda at=connection: len(peers) > at, "a connection")
        peers[connection].setting(max_concurrent_streams=10)
    held.wait(30)
    assert {len(peer.streams) for peer in peers} == {10}
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 30


def test_no_streams_at_all(stage):
    """5.3: MAX_CONCURRENT_STREAMS 0: requests wait, and timeouts.pending ends that"""
    origin, carpool, key = begin(stage, "clear", words={"max_concurrent_streams": 0}, timeouts={"pending": "300ms"})
    response = carpool.get(origin.url())
    assert response.status in (503, 504)
    origin.peers[0].setting(max_concurrent_streams=1)
    carpool.wait_row(key, "api", maxStreams=1)
    assert carpool.get(origin.url("/next")).status == 200


def test_a_lower_limit_and_a_goaway(stage):
    """9.2, 9.5: what runs goes on; others are served elsewhere, beside it"""
    held = Held()
    origin, carpool, _ = begin(stage, "clear", held, maxSockets=100)
    first = [carpool.ask(origin.url(f"/hold{number}")) for number in range(50)]
    held.wait(50)
    peer = origin.peers[0]
    peer.setting(max_concurrent_streams=2)
    peer.goaway(LAST_STREAM)
    peer.goaway(max(peer.streams))
    carpool.wait_row(origin.key, "api", draining=1)
    assert [carpool.get(origin.url(f"/{number}")).status for number in range(10)] == [200] * 10
    assert peer.count(1) == 50
    held.let_go()
    assert [client.response().status for client in first] == [200] * 50


# GOAWAY

def test_a_goaway_that_processed_nothing(stage, transport):
    """9.5: 40 requests in flight, POST among them: each is carried out once, on another connection"""
    held = Held()
    origin, carpool, _ = begin(stage, transport, held, maxSockets=50)
    clients = [carpool.ask(origin.url(f"/hold{number}"), method="POST" if number % 2 else "GET", body=b"x" if number % 2 else b"")
               for number in range(40)]
    held.wait(40)
    first, held.streams = held.streams, []
    first[0].peer.goaway(0)
    held.wait(40)
    assert targets(held.streams) == targets(first) and origin.accepted == 2
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 40


def test_a_goaway_that_leaves_the_connection_open(stage, transport):
    """9.5: No new stream after a GOAWAY, whatever its last id"""
    origin, carpool, key = begin(stage, transport)
    assert carpool.get(origin.url("/one")).status == 200
    origin.peers[0].goaway(LAST_STREAM)
    wait_until(lambda: "carpool_agent_goaways_total{" in carpool.admin("/metrics").text, "it is seen")
    assert carpool.get(origin.url("/two")).status == 200
    assert origin.accepted == 2 and origin.peers[0].count(1) == 1
    carpool.wait_retired(key, "goaway", agent="api")


def test_an_inadequate_connection(stage):
    """9.6: GOAWAY INADEQUATE_SECURITY: 502 tls_protocol_error, which names the option"""
    origin = h2_origin(stage, lambda stream: stream.peer.goaway(0, INADEQUATE_SECURITY))
    carpool = stage.carpool(over_tls())
    response = carpool.get(origin.url())
    assert response.status == 502 and "tls_protocol_error" in response.fields.get("Proxy-Status")
    assert b"ciphers" in response.body


# One does not wait for another

def test_an_upload_that_is_not_taken(stage, transport):
    """9.8: an origin that gives one upload no window; others go on, and timeouts.socket ends it as a blocked write"""
    origin, carpool, key = begin(stage, transport, words={"initial_window_size": 0}, timeouts={"socket": "1s"})
    client = carpool.ask(origin.url("/upload"), method="POST", body=b"x" * 1000)
    wait_until(lambda: origin.peers and origin.peers[0].streams, "its head came")
    assert [carpool.get(origin.url(f"/{number}")).status for number in range(10)] == [200] * 10
    response = client.response()
    assert response.status == 504 and "timeout" in response.fields.get("Proxy-Status")
    stream = origin.peers[0].streams[1]
    stream.wait_for(lambda: stream.reset == CANCEL)
    assert origin.accepted == 1 and carpool.retired(key, "api") == {}


def test_ninety_nine_stuck_readers(stage):
    """9.8: the bytes that they leave untaken are those of their windows; one that reads gets all of its own. Memory is bounded by
    64 KiB for each, and by 32 MiB by which the windows of all may have grown while the kernel took what came."""
    body = b"x" * (8 << 20)
    most = 99 * (64 << 10) + (32 << 20) + (16 << 20)     # and what else there is

    def respond(stream):
        mine = body if stream.target == "/stuck" else body[:1 << 20]
        stream.head(200, [("content-length", len(mine))])
        stream.within_window(mine)
    origin, carpool, _ = begin(stage, "clear", respond, maxSockets=200)
    assert len(carpool.get(origin.url("/alone")).body) == 1 << 20
    before = carpool.resident()
    stuck = [carpool.client(receive_buffer=4096) for _ in range(99)]
    for client in stuck:
        client.send(request("GET", origin.url("/stuck")))
    origin.wait_requests(100)
    assert [len(carpool.get(origin.url("/quick")).body) for _ in range(3)] == [1 << 20] * 3
    assert origin.accepted == 1
    waiting = [stream for stream in origin.peers[0].streams.values() if stream.target == "/stuck"]
    wait_until(lambda: all(stream.window <= 0 for stream in waiting), "each has what its window holds, and no more")
    if not carpool.sanitized:
        assert carpool.resident() - before < most
    for client in stuck:
        client.close()


def test_the_first_client_leaves_before_the_settings(stage, transport):
    """9.3: a connection that is being opened is nobody's own"""
    peers = []
    origin, carpool, key = begin(stage, transport, words={"opened": peers.append, "acks": False})
    first = carpool.ask(origin.url("/first"))
    wait_until(lambda: peers, "the preface")
    second = carpool.ask(origin.url("/second"))
    first.reset()
    carpool.wait_row(key, "api", clientAborts=1)
    peers[0].setting()
    assert second.response().status == 200
    assert origin.accepted == 1 and targets(origin.requests) == ["/second"]


# Messages

def test_expect_and_a_final_answer(stage, transport):
    """9.4: Expect: 100-continue, which is refused: the answer, and no content"""
    def began(stream):
        stream.head(417, [("content-length", 0)], end=True)
        stream.rst(NO_ERROR)
    origin, carpool, _ = begin(stage, transport, words={"began": began})
    client = carpool.client()
    client.send(request("POST", origin.url(), fields=[("Content-Length", "4"), ("Expect", "100-continue")]))
    assert client.read_response("POST").status == 417
    assert origin.peers[0].streams[1].body == b""
    assert carpool.get(origin.url("/next")).status == 417 and origin.accepted == 1


def test_expect_and_a_continue(stage, transport):
    """9.4: 100 goes to the client, the content then to the origin"""
    origin, carpool, _ = begin(stage, transport, words={"began": lambda stream: stream.head(100)})
    client = carpool.client()
    client.send(request("POST", origin.url(), fields=[("Content-Length", "4"), ("Expect", "100-continue")]))
    assert client.read_response_head().status == 100
    client.send(b"body")
    assert client.read_response("POST").body == b"body"


def test_responses_without_content(stage, transport):
    """9.4: 204, 304, HEAD: no content, and the connection is used again"""
    def respond(stream):
        status = {"/204": 204, "/304": 304}.get(stream.target, 200)
        stream.head(status, [("content-length", "5")] if stream.method == "HEAD" or status == 304 else [], end=True)
    origin, carpool, _ = begin(stage, transport, respond)
    client = carpool.client()
    for method, path, status in (("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200), ("GET", "/none", 200)) * 2:
        response = client.get(origin.url(path), method=method)
        assert (response.status, response.body) == (status, b"")
    assert origin.accepted == 1


def test_a_head_that_is_too_large(stage):
    """9.10: costs the stream: 502 http_response_header_section_size"""
    def respond(stream):
        if stream.target != "/large":
            return b"ok"
        return stream.head(200, [(f"x-{number}", "y" * 400) for number in range(30)], end=True)
    origin = h2_origin(stage, respond, tls=False)
    carpool = stage.carpool({**in_the_clear(), "server": {"maxHeaderSize": "8KiB"}})
    response = carpool.get(origin.url("/large"))
    assert response.status == 502 and "http_response_header_section_size" in response.fields.get("Proxy-Status")
    assert carpool.get(origin.url("/next")).status == 200 and origin.accepted == 1


# HTTP/1.1 beside it

def test_upgrade_beside_http_2(stage):
    """9.1: Upgrade goes over HTTP/1.1 sockets of the same agent, made with ALPN http/1.1"""
    def respond_h1(asked):
        asked.connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhello")
    origin = h2_origin(stage, respond_h1=respond_h1)
    carpool = stage.carpool(over_tls())
    for _ in range(2):
        assert carpool.get(origin.url("/plain")).status == 200
        client = carpool.client()
        client.send(request("GET", origin.url("/chat"), fields=[("Connection", "Upgrade"), ("Upgrade", "chat")]))
        assert client.read_response_head().status == 101
        assert client.exactly(5) == b"hello"
        client.close()
    assert len(origin.peers) == 1
    assert [hello.protocols for hello in origin.tls.hellos] == [["h2", "http/1.1"], ["http/1.1"], ["http/1.1"]]


def test_ntlm_beside_http_2(stage):
    """9.1: NTLM goes over HTTP/1.1"""
    origin = h2_origin(stage)
    carpool = stage.carpool(over_tls())
    assert carpool.get(origin.url("/plain")).status == 200
    client = carpool.client()
    assert client.get(origin.url("/named"), fields=[("Authorization", "NTLM abc")]).status == 200
    assert len(origin.peers) == 1 and targets(origin.peers[0].connection.requests) == ["/plain"]
    assert origin.tls.hellos[-1].protocols == ["http/1.1"]


# Several addresses; a path that is dead

def test_two_addresses_share(stage):
    """9.2: A further socket goes to an address entry that has none"""
    held = Held()
    origins = [h2_origin(stage, held, tls=False, max_concurrent_streams=3) for _ in range(2)]
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [each.authority for each in origins],
                                                   "h2Options": {"useH2c": True}, "maxSockets": 20}}})
    clients = [carpool.ask(f"http://api.test/hold{number}") for number in range(6)]
    held.wait(6)
    assert [each.accepted for each in origins] == [1, 1]
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 6


def test_a_black_hole(stage):
    """9.9: good answers again within pingInterval and pingTimeout, and no request is left on the dead connection"""
    origin = h2_origin(stage, tls=False)
    carpool = stage.carpool({"upstreams": {"api": {"match": "127.0.0.1", "h2Options": {
        "useH2c": True, "pingInterval": "300ms", "pingTimeout": "300ms"}}}})
    with Relay(origin.port) as relay:
        url = f"http://{relay.authority}"
        assert carpool.get(url + "/one").status == 200
        origin.script._respond = lambda stream: None    # pylint: disable=protected-access
        waiting = carpool.ask(url + "/waits")
        wait_until(lambda: [line for line in carpool.admin("/metrics").text.split("\n")
                            if line.startswith("carpool_agent_ping_seconds_count{") and not line.endswith(" 0")], "a PING is answered")
        origin.script._respond = None                   # pylint: disable=protected-access
        relay.swallow()
        assert waiting.response().status == 200         # repeated on another connection
        assert carpool.get(url + "/two").status == 200
        assert carpool.retired(url, "api") == {"ping-timeout": 1} and origin.accepted == 2
