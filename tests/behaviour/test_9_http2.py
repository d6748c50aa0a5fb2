"""Section 9: HTTP/2 to the origin. The origin is harness/h2.py's, frame by frame."""

import contextlib
import threading

import pytest

from .harness import Reset, Truncated, stays, wait_until
from .harness.client import chunked, request
from .harness.h2 import (CANCEL, DATA, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, HTTP_1_1_REQUIRED, INTERNAL_ERROR, LAST_STREAM, PING,
                         PROTOCOL_ERROR, RST_STREAM, h2_origin)
from .harness.parents import scripted
from .harness.tls import https_key, secure


def over_tls(**upstream):
    return secure(allowH2=True, **upstream)


def in_the_clear(**upstream):
    return {"upstreams": {"api": {"match": "127.0.0.1", "h2Options": {"useH2c": True}, **upstream}}}


@pytest.fixture(params=["tls", "clear"])
def transport(request):
    return request.param


def begin(stage, transport, respond=None, words=None, **upstream):
    """An origin, its daemon, and its name in /agents."""
    origin = h2_origin(stage, respond, tls=transport == "tls", **(words or {}))
    carpool = stage.carpool(over_tls(**upstream) if transport == "tls" else in_the_clear(**upstream))
    return origin, carpool, https_key(origin) if transport == "tls" else origin.key


class Held:
    """Requests for /hold* wait until they are let go."""

    def __init__(self):
        self.streams = []

    def __call__(self, stream):
        if not stream.target.startswith("/hold"):
            return stream.body or b"ok"
        self.streams.append(stream)
        return None

    def wait(self, count):
        wait_until(lambda: len(self.streams) >= count, lambda: f"{count} held requests (now {len(self.streams)})")

    def let_go(self):
        streams, self.streams = self.streams, []
        for stream in streams:
            stream.answer()


# 9.1

def test_many_clients_share_a_connection(stage, transport):
    """9.1, 9.3: what short-lived clients ask for, POST included, goes over one connection."""
    origin, carpool, key = begin(stage, transport)
    for number in range(20):
        response = carpool.get(origin.url(f"/{number}"), method="POST" if number % 2 else "GET", body=b"%d" % number if number % 2 else b"")
        assert (response.status, response.body) == (200, b"%d" % number if number % 2 else b"ok")
    assert origin.accepted == 1
    row = carpool.row(key, "api")
    assert (row["protocol"], row["socketsOpened"], row["reusedTotal"], row["streams"]) == ("h2", 1, 19, 0)


def test_an_origin_may_choose_http_1_1(stage):
    """9.1: TLS origins are offered h2, http/1.1 by ALPN"""
    origin = h2_origin(stage, protocols=("http/1.1",))
    carpool = stage.carpool(over_tls())
    assert carpool.get(origin.url()).status == 200
    assert origin.tls.hellos[0].protocols == ["h2", "http/1.1"]
    assert not origin.peers
    assert carpool.row(https_key(origin), "api")["protocol"] == "http/1.1"


def test_through_a_parent(stage):
    """4.10: TLS origins by CONNECT through it, then as usual"""
    origin = h2_origin(stage)
    parent = scripted(stage)
    carpool = stage.carpool(over_tls(proxy=f"http://127.0.0.1:{parent.port}"))
    for method in ("GET", "POST", "HEAD"):
        assert carpool.get(origin.url(), method=method).status == 200
    assert (origin.accepted, len(origin.peers), parent.accepted) == (1, 1, 1)


def test_nothing_is_offered_without_allow_h2(stage):
    """9.1: where allowH2 is true"""
    origin = h2_origin(stage)
    carpool = stage.carpool(secure(allowH2=False))
    assert carpool.get(origin.url()).status == 200
    assert origin.tls.hellos[0].protocols == ["http/1.1"]


@pytest.mark.parametrize("how", ["stream", "goaway"])
def test_http_1_1_required(stage, how):
    """9.1: what an origin refused with HTTP_1_1_REQUIRED (remembered 10 min) goes over HTTP/1.1"""
    def refuse(stream):
        if how == "stream":
            stream.rst(HTTP_1_1_REQUIRED)
        else:
            stream.peer.goaway(0, HTTP_1_1_REQUIRED)
    origin = h2_origin(stage, refuse)
    carpool = stage.carpool(over_tls())
    for _ in range(3):
        assert carpool.get(origin.url("/x"), method="POST", body=b"once").body == b"once"
    assert len(origin.peers) == 1 and origin.tls.hellos[-1].protocols == ["http/1.1"]


@pytest.mark.parametrize("when", ["before any request", "with the answer"])
def test_http_1_1_required_of_none_that_was_refused(stage, when):
    """9.1: what an origin refused with HTTP_1_1_REQUIRED, by a GOAWAY too, goes over HTTP/1.1"""
    def opened(peer):
        with peer.together():
            peer.setting()
            if when == "before any request":
                peer.goaway(LAST_STREAM, HTTP_1_1_REQUIRED)

    def respond(stream):
        stream.answer(stream.body)
        stream.peer.goaway(stream.number, HTTP_1_1_REQUIRED)
    origin = h2_origin(stage, respond, opened=opened)
    carpool = stage.carpool(over_tls())
    for number in range(3):
        assert carpool.get(origin.url("/x"), method="POST", body=b"once").body == b"once"
        if number == 0:
            carpool.wait_row(https_key(origin), "api", draining=0)
    assert len(origin.peers) == 1 and carpool.row(https_key(origin), "api")["protocol"] == "http/1.1"


def test_http_1_1_required_while_others_connect(stage):
    """9.1: connections that are being opened then are none that requests are refused on, one after the other"""
    said = threading.Event()

    def opened(peer):
        if len(origin.peers) > 1:
            assert said.wait(20)
        peer.setting(max_concurrent_streams=1)

    def refuse(stream):
        wait_until(lambda: len(origin.peers) >= 5 or said.is_set(), "the others connect")
        stream.rst(HTTP_1_1_REQUIRED)
        said.set()
    origin = h2_origin(stage, refuse, opened=opened)
    carpool = stage.carpool(over_tls())
    clients = [carpool.ask(origin.url(f"/{number}"), method="POST", body=b"once") for number in range(5)]
    assert [client.response().body for client in clients] == [b"once"] * 5


# 9.2

def test_limits_hold_for_exchanges(stage, transport):
    """9.2: maxSockets bounds the connections of an origin and its exchanges in flight"""
    held = Held()
    origin, carpool, key = begin(stage, transport, held, maxSockets=3)
    clients = [carpool.ask(origin.url(f"/hold{number}")) for number in range(5)]
    carpool.wait_row(key, "api", streams=3, requests=2)
    assert origin.accepted == 1
    held.wait(3)
    held.let_go()
    held.wait(2)
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 5


def test_an_origins_limit_opens_another_connection(stage, transport):
    """9.2: one socket carries at most the lower of maxConcurrentStreams and the origin's SETTINGS"""
    held = Held()
    origin, carpool, key = begin(stage, transport, held, {"max_concurrent_streams": 2}, maxSockets=6)
    clients = [carpool.ask(origin.url(f"/hold{number}")) for number in range(6)]
    held.wait(6)
    row = carpool.row(key, "api")
    assert (row["streams"], row["maxStreams"], row["sockets"]) == (6, 6, 3)
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 6


def test_a_further_connection_goes_to_an_entry_that_has_none(stage):
    """9.2: A further socket goes to an `address` entry that has none"""
    held = Held()
    origins = [h2_origin(stage, held, tls=False, max_concurrent_streams=1) for _ in range(3)]
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "h2Options": {"useH2c": True}, "address": [
        origin.authority for origin in origins]}}})
    clients = [carpool.ask("http://api.test/hold") for _ in range(3)]
    held.wait(3)
    assert [origin.accepted for origin in origins] == [1, 1, 1]
    ended = next(stream for stream in held.streams if stream.peer.origin is origins[1])
    held.streams = [stream for stream in held.streams if stream is not ended]
    ended.peer.goaway(ended.number)
    ended.answer()
    carpool.wait_retired("http://api.test:80", "goaway", agent="api")
    clients.append(carpool.ask("http://api.test/hold"))
    held.wait(3)
    assert [origin.accepted for origin in origins] == [1, 2, 1]
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 4


# 9.3

def test_a_cold_burst_is_one_handshake(stage):
    """9.3: 100 requests to a cold h2 origin: 1 TCP connection, 1 handshake"""
    held = Held()
    origin = h2_origin(stage, held)
    carpool = stage.carpool(over_tls())
    clients = [carpool.ask(origin.url(f"/hold{number}")) for number in range(100)]
    held.wait(100)
    assert (origin.accepted, len(origin.tls.hellos)) == (1, 1)
    held.let_go()
    assert [client.response().status for client in clients] == [200] * 100


def test_the_others_connect_when_it_is_http_1_1(stage):
    """9.3: http/1.1: the others connect at that instant"""
    origin = h2_origin(stage, protocols=("http/1.1",), respond_h1=lambda request: None)
    carpool = stage.carpool(over_tls())
    clients = [carpool.ask(origin.url(f"/{number}")) for number in range(10)]
    origin.wait_requests(10)
    assert origin.accepted == 10
    del clients


def test_settings_must_come(stage, transport):
    """9.3: timeouts.connect includes the origin's first SETTINGS"""
    origin, carpool, key = begin(stage, transport, words={"opened": lambda peer: None, "acks": False}, timeouts={"connect": "300ms"})
    response = carpool.get(origin.url())
    assert response.status == 504 and "connection_timeout" in response.fields.get("Proxy-Status")
    assert carpool.retired(key, "api") == {"connect-timeout": 1}


def test_an_origin_that_takes_none(stage, transport):
    """9.3: SETTINGS_MAX_CONCURRENT_STREAMS 0 for a second: another connection is tried, and where that is no help, pending ends it"""
    def opened(peer):
        peer.setting(max_concurrent_streams=0 if peer.connection.number == 0 else 1)
    origin, carpool, key = begin(stage, transport, words={"opened": opened})
    assert carpool.get(origin.url()).status == 200 and origin.accepted == 2
    origin, carpool, key = begin(stage, transport, words={"max_concurrent_streams": 0}, timeouts={"pending": "2500ms"})
    response = carpool.get(origin.url())
    assert response.status == 503 and "connection_limit_reached" in response.fields.get("Proxy-Status")
    assert b"SETTINGS_MAX_CONCURRENT_STREAMS" in response.body
    row = carpool.row(key, "api")
    assert (row["freeSockets"], row["maxStreams"], row["connecting"]) == (2, 0, 0)


def test_text_is_no_http_2(stage):
    """9.1: prior knowledge; what answers in HTTP/1.1 is told apart"""
    origin = stage.origin(serve=lambda c: (c.exactly(24), c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    carpool = stage.carpool(in_the_clear())
    response = carpool.get(origin.url())
    assert response.status == 502 and "http_protocol_error" in response.fields.get("Proxy-Status")
    assert b"useH2c" in response.body


def test_text_behind_alpn_is_no_http_2(stage):
    """9.1, and 6: the text names what to look at"""
    def opened(peer):
        peer.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    origin, carpool, _ = begin(stage, "tls", words={"opened": opened})
    response = carpool.get(origin.url())
    assert response.status == 502 and "http_protocol_error" in response.fields.get("Proxy-Status")
    assert b"allowH2: false" in response.body and b"useH2c" not in response.body


# 9.4

def test_a_request_is_translated(stage, transport):
    """9.4: :authority from the target and no Host; names lower-cased; connection fields dropped, te: trailers kept"""
    origin, carpool, _ = begin(stage, transport)
    carpool.get(origin.url("/p?q=1"), fields=[("X-One", "1"), ("Connection", "X-Hop, TE"), ("X-Hop", "1"), ("TE", "trailers"),
                                              ("Keep-Alive", "5"), ("Cookie", "a=1"), ("Cookie", "b=2")])
    got = origin.requests[0]
    assert got.pseudo == {":method": "GET", ":scheme": "https" if transport == "tls" else "http",
                          ":authority": origin.authority, ":path": "/p?q=1"}
    assert got.fields.get("x-one") == "1" and got.fields.get("te") == "trailers"
    assert got.fields.get("cookie") == "a=1; b=2"
    assert not {"host", "connection", "x-hop", "keep-alive"} & set(got.fields.names())
    assert all(name == name.lower() for name, _ in got.fields)


def test_content_and_trailers_both_ways(stage, transport):
    """9.4: request and response trailers; without Content-Length: chunked; Via: 2.0 on responses"""
    def respond(stream):
        stream.head(200, [("trailer", "x-sum")])
        stream.data(stream.body)
        stream.end_with([("x-sum", "2")])
    origin, carpool, _ = begin(stage, transport, respond)
    client = carpool.client()
    client.send(request("POST", origin.url(), fields=[("Transfer-Encoding", "chunked")]) + chunked(b"some", b"thing", trailers=[("X-Up", "1")]))
    response = client.response("POST")
    assert (response.body, response.framing, response.trailers.get("x-sum")) == (b"something", "chunked", "2")
    assert response.fields.get("Via").startswith("2.0 ")
    assert origin.requests[0].trailers.get("x-up") == "1"


@pytest.mark.parametrize("count, size, fine", [(8, 1000, True), (9, 1000, False), (300, 10, True)])
def test_the_limits_of_trailers_are_those_of_http_1_1(stage, count, size, fine):
    """9.4: the same strict checks as an HTTP/1.1 one (4.2): limits of 8 KiB of trailers; maxHeadersCount is a head's"""
    def respond(stream):
        if stream.target == "/next":
            return b"ok"
        stream.head()
        stream.data(b"some")
        return stream.end_with([(f"x-{number}", "y" * size) for number in range(count)])
    origin, carpool, key = begin(stage, "clear", respond)
    client = carpool.ask(origin.url())
    if fine:
        assert len(client.response().trailers) == count
    else:
        with contextlib.suppress(Truncated, Reset):     # the head may have gone out, and then it is a cut
            assert client.response().status == 502
        wait_until(lambda: carpool.row(key, "api")["errors"] == {"http_protocol_error": 1}, "it is counted")
    assert carpool.get(origin.url("/next")).status == 200 and origin.accepted == 1


@pytest.mark.parametrize("limit", [0, 10])
def test_connections_that_end_at_once(stage, limit):
    """9.5: what was not processed is repeated at most 3 times: not for as long as the origin takes connections and ends them"""
    def opened(peer):
        with peer.together():
            peer.setting(max_concurrent_streams=limit)
            peer.goaway(0)
    origin, carpool, key = begin(stage, "clear", words={"opened": opened, "acks": False})
    clients = [carpool.ask(origin.url(f"/{number}")) for number in range(3)]
    for client in clients:
        response = client.response()
        assert response.status == 502 and "connection_terminated" in response.fields.get("Proxy-Status")
    assert 4 <= origin.accepted <= 6
    origin.script._opened = None    # pylint: disable=protected-access
    assert carpool.get(origin.url("/well")).status == 200
    assert carpool.row(key, "api")["requests"] == 0


def test_large_content(stage, transport):
    """9.4, 9.8: more than any window, both ways"""
    body = bytes(range(256)) * 8192     # 2 MiB

    def respond(stream):
        stream.head(200, [("content-length", len(stream.body))])
        stream.within_window(stream.body)
    origin, carpool, _ = begin(stage, transport, respond)
    assert carpool.get(origin.url(), method="POST", body=body).body == body


@pytest.mark.parametrize("name, head", [
    ("upper case", [("X-Upper", "1")]), ("a line break", [("x", "a\nb")]), ("connection", [("connection", "close")]),
    ("transfer-encoding", [("transfer-encoding", "chunked")]), ("two lengths", [("content-length", "1"), ("content-length", "2")]),
    ("a pseudo field", [(":path", "/")]), ("a short length", [("content-length", "1")])])
def test_what_breaks_the_rules_costs_its_stream(stage, name, head):
    """9.4: 502 [...] and RST_STREAM, while the other streams go on"""
    held = Held()

    def respond(stream):
        if stream.target != "/bad":
            return held(stream)
        with stream.peer.together():    # else the head may be passed on before its content is seen
            stream.head(200, head)
            stream.data(b"body", end=True)
    origin, carpool, key = begin(stage, "clear", respond)
    other = carpool.ask(origin.url("/hold"))
    held.wait(1)
    response = carpool.get(origin.url("/bad"))
    assert response.status == 502 and "http_protocol_error; next-protocol=h2" in response.fields.get("Proxy-Status"), name
    bad = [each for each in origin.requests if each.target == "/bad"][0]
    bad.wait_for(lambda: bad.reset == PROTOCOL_ERROR)
    held.let_go()
    assert other.response().status == 200 and origin.accepted == 1
    assert carpool.retired(key, "api") == {}


def test_an_aborted_upload_is_no_end(stage, transport):
    """9.4: no END_STREAM but at the request's true end (an aborted upload is RST_STREAM CANCEL)"""
    origin, carpool, _ = begin(stage, transport)
    client = carpool.client()
    client.send(request("POST", origin.url(), fields=[("Content-Length", "100")]) + b"half")
    wait_until(lambda: origin.connections and origin.connections[0].requests, "the request is there")
    stream = origin.connections[0].requests[0]
    stream.wait_for(lambda: stream.body == b"half")
    client.close()
    stream.wait_for(lambda: stream.reset == CANCEL)
    assert not stream.whole
    assert carpool.get(origin.url("/next")).status == 200 and origin.accepted == 1


# 9.6, 9.7

@pytest.mark.parametrize("code, status, error", [
    (PROTOCOL_ERROR, 502, "http_protocol_error"), (INTERNAL_ERROR, 502, "http_response_incomplete"),
    (CANCEL, 502, "http_response_incomplete"), (ENHANCE_YOUR_CALM, 503, "destination_unavailable")])
def test_a_reset_before_the_response(stage, code, status, error):
    """9.6"""
    origin, carpool, _ = begin(stage, "clear", lambda stream: stream.rst(code) if stream.target == "/bad" else b"ok")
    response = carpool.get(origin.url("/bad"))
    assert response.status == status and error in response.fields.get("Proxy-Status")
    assert carpool.get(origin.url("/good")).status == 200 and origin.accepted == 1


def test_no_error_after_a_whole_response(stage, transport):
    """9.6: NO_ERROR behind a complete response: a complete response"""
    def began(stream):
        stream.head(413, [("content-length", "3")])
        stream.data(b"too", end=True)
        stream.rst(0)
    origin, carpool, _ = begin(stage, transport, words={"began": began})
    client = carpool.client()
    client.send(request("POST", origin.url(), fields=[("Content-Length", "100")]) + b"half")
    response = client.response("POST")
    assert (response.status, response.body) == (413, b"too")


def test_timeouts_cost_a_stream(stage, transport):
    """9.7: timeouts.socket and timeouts.request cost a stream (RST_STREAM CANCEL), never the socket"""
    held = Held()
    origin, carpool, _ = begin(stage, transport, held, timeouts={"socket": "300ms"})
    response = carpool.get(origin.url("/hold"))
    assert response.status == 504 and "connection_read_timeout" in response.fields.get("Proxy-Status")
    stream = held.streams[0]
    stream.wait_for(lambda: stream.reset == CANCEL)
    assert carpool.get(origin.url("/next")).status == 200 and origin.accepted == 1


# 9.8

def test_a_stuck_client_is_not_felt(stage, transport):
    """9.8: One slow client never slows another"""
    body = b"x" * (8 << 20)

    def respond(stream):
        stream.head(200, [("content-length", len(body))])
        stream.within_window(body)
    origin, carpool, _ = begin(stage, transport, respond)
    stuck = [carpool.client(receive_buffer=4096) for _ in range(5)]
    for client in stuck:
        client.send(request("GET", origin.url("/stuck")))
    origin.wait_requests(5)
    assert carpool.get(origin.url("/quick")).body == body
    assert origin.accepted == 1
    for client in stuck:
        client.close()


# 9.9, 9.10

def test_silence_is_asked_about(stage, transport):
    """9.9: where the origin ever answered one it is retired (ping-timeout), 504 or 5.6 for what ran on it"""
    held = Held()
    origin, carpool, key = begin(stage, transport, held, h2Options={"useH2c": transport == "clear", "pingInterval": "100ms", "pingTimeout": "2s"})
    client = carpool.ask(origin.url("/hold"), method="POST", body=b"x")
    held.wait(1)
    wait_until(lambda: any("agent_ping_seconds_count" in line and line.endswith(" 1")
                           for line in carpool.admin("/metrics").text.split("\n")), "a PING is answered")
    origin.script.pings = False
    response = client.response()
    assert response.status == 504 and "connection_read_timeout" in response.fields.get("Proxy-Status")
    carpool.wait_retired(key, "ping-timeout", agent="api")


def test_a_post_waits_behind_a_ping(stage, transport):
    """what is sent once only is not sent into silence: the connection is asked first, and the content follows"""
    held = Held()
    origin, carpool, _ = begin(stage, transport, lambda stream: b"%d" % len(stream.body) if stream.target == "/post" else held(stream),
                               h2Options={"useH2c": transport == "clear", "pingInterval": "30ms"})
    client = carpool.ask(origin.url("/hold"))
    held.wait(1)
    peer = origin.peers[0]
    wait_until(lambda: any("agent_ping_seconds_count" in line and not line.endswith(" 0")
                           for line in carpool.admin("/metrics").text.split("\n")), "it answers PINGs")
    held.let_go()
    assert client.response().status == 200
    body = bytes(range(256)) * 1200
    for framing in ({"body": body}, {"fields": [("Transfer-Encoding", "chunked")], "body": chunked(body[:200000], body[200000:])}):
        stays(lambda: peer.connection.is_open, "it is idle", 0.1)     # longer than a third of pingInterval
        del peer.frames[:]
        assert carpool.get(origin.url("/post"), method="POST", **framing).body == b"%d" % len(body)
        kinds = [kind for kind, _, _, _ in peer.frames if kind in (PING, HEADERS)]
        assert kinds[:2] == [PING, HEADERS]
    assert origin.accepted == 1


@pytest.mark.parametrize("frame", [(PING, 0, 0, b"12345678"), (4, 0, 0, b""), (2, 0, 3, b"\0\0\0\0\1"), (99, 0, 0, b"x" * 100),
                                   (DATA, 0, 1, b"")])
def test_a_flood_ends_the_connection(stage, frame):
    """9.10: GOAWAY ENHANCE_YOUR_CALM, reason flood"""
    def respond(stream):
        if stream.target != "/flood":
            return b"ok"
        stream.head(200)
        piece = len(frame[3]).to_bytes(3, "big") + bytes(frame[:2]) + (stream.number if frame[2] else 0).to_bytes(4, "big") + frame[3]
        try:
            for _ in range(1000):
                stream.peer.raw(piece * 500)
        except Exception:       # it has had enough
            pass
    origin, carpool, key = begin(stage, "clear", respond)
    client = carpool.ask(origin.url("/flood"))
    client.rest()
    carpool.wait_retired(key, "flood", agent="api")
    goaway = [each for each in origin.peers[0].frames if each[0] == GOAWAY]
    assert not goaway or goaway[-1][3][7] == ENHANCE_YOUR_CALM
    assert carpool.get(origin.url("/next")).status == 200


def test_reload_switches_it(stage):
    """9.3: A reload that changes allowH2 holds for new requests at once; running streams finish"""
    held = Held()
    origin = h2_origin(stage, held)
    carpool = stage.carpool(over_tls())
    client = carpool.ask(origin.url("/hold"))
    held.wait(1)
    carpool.reload(secure(allowH2=False))
    assert carpool.get(origin.url("/next")).status == 200
    assert len(origin.peers) == 1 and origin.tls.hellos[-1].protocols == ["http/1.1"]
    held.let_go()
    assert client.response().status == 200


def test_a_stop_is_said(stage, transport):
    """8: running requests finish; an HTTP/2 origin is told by GOAWAY"""
    held = Held()
    origin, carpool, _ = begin(stage, transport, held)
    client = carpool.ask(origin.url("/hold"))
    held.wait(1)
    peer = origin.peers[0]
    carpool.ends_itself()
    carpool.signal(15)
    held.let_go()
    assert client.response().status == 200
    carpool.wait()
    wait_until(lambda: peer.connection.ended, "the connection ends")
    assert peer.count(GOAWAY) == 1 and peer.count(RST_STREAM) == 0 and peer.count(HEADERS) == 1
