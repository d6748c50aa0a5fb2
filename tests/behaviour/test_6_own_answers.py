"""Section 6: what Carpool answers itself, row by row, with the shape that all these answers have."""

import re
import signal
import time

import pytest

from .harness import Closed, Reset, Truncated, wait_until
from .harness.client import request
from .harness.names import without_network
from .harness.origin import answer


def expect(response, status, error, *words):
    """One of Carpool's own answers; its body is one line that holds these words."""
    assert (response.status, response.error) == (status, error), (response.status, response.error, response.text)
    assert response.text.endswith("\n") and response.text.count("\n") == 1, "not one line"
    assert response.fields.get("Content-Length") == str(len(response.body))
    assert response.fields.get("Content-Type", "").startswith("text/plain")
    assert len(response.fields.all("Date")) == (error != "proxy_internal_response")
    assert "Retry-After" not in response.fields or status == 503
    for word in words:
        assert word in response.text, (word, response.text)
    return response


def test_malformed_request(stage):
    """malformed request, ambiguous framing, bad target | 400 | http_request_error"""
    carpool = stage.carpool()
    expect(carpool.raw(b"nonsense\r\n\r\n"), 400, "http_request_error")
    expect(carpool.raw(b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
           400, "http_request_error", "Content-Length")
    expect(carpool.raw(request("GET", "http://a.test:99999/")), 400, "http_request_error")


def test_client_too_slow(stage):
    """client too slow (not one byte since it connected: closed without an answer) | 408 |
    http_request_error"""
    carpool = stage.carpool({"server": {"headersTimeout": "1s"}})
    client = carpool.client()
    silent = carpool.client()
    client.send(b"GET")
    expect(client.response(), 408, "http_request_error", "headersTimeout")
    silent.expect_end()


def test_request_line_or_head_too_large(stage):
    """request line or head too large | 414, 431 | http_request_error"""
    carpool = stage.carpool({"server": {"maxHeaderSize": "1KiB", "maxHeadersCount": 20}})
    expect(carpool.raw(b"GET http://a.test/" + b"x" * 2000), 414, "http_request_error", "maxHeaderSize")
    expect(carpool.raw(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX: " + b"x" * 2000), 431, "http_request_error",
           "maxHeaderSize")
    expect(carpool.raw(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" + b"X: y\r\n" * 20 + b"\r\n"), 431,
           "http_request_error", "maxHeadersCount")


def test_proxy_loop(stage):
    """proxy loop | 502 | proxy_loop_detected"""
    carpool = stage.carpool()
    expect(carpool.get(f"http://127.0.0.1:{carpool.port}/"), 502, "proxy_loop_detected")


def test_denied_by_access(stage):
    """denied by `access` | 403 | http_request_denied"""
    carpool = stage.carpool({"access": {"unmatched": "deny"}})
    expect(carpool.get("http://a.test/"), 403, "http_request_denied", "a.test", "access.unmatched")
    expect(stage.carpool().raw(request("CONNECT", "a.test:25"), "CONNECT"), 403, "http_request_denied", "access.connectPorts")
    carpool = stage.carpool({"access": {"clients": ["127.0.0.1"]}})
    for target in ("http://a.test/", "/", "ftp://a.test/", f"http://127.0.0.1:{carpool.port}/"):
        client = carpool.client(source="127.0.0.2")
        expect(client.get(target), 403, "http_request_denied", "access.clients")
        client.expect_end()


def test_denied_address(stage):
    """denied address | 502 | destination_ip_prohibited"""
    expect(stage.carpool().get("http://169.254.169.254/latest"), 502, "destination_ip_prohibited", "169.254.169.254",
           "access.denyAddresses")


def test_a_name_that_does_not_resolve(stage):
    """name does not resolve [...] | 502 | dns_error"""
    server = stage.names({"broken.test": 2})
    carpool = stage.carpool(prefix=stage.asking(server))
    expect(carpool.get("http://missing.test/"), 502, "dns_error", "missing.test", "default")
    expect(carpool.get("http://broken.test/"), 502, "dns_error", "broken.test", "/etc/resolv.conf")
    server.names["empty.test"] = []
    expect(carpool.get("http://empty.test/"), 502, "dns_error", "empty.test")
    assert carpool.retired_of_agent() == {"connect-failed": 3}


def test_a_resolver_that_does_not_answer(stage):
    """resolver does not answer | 504 | dns_timeout"""
    server = stage.names({"silent.test": "silent"})
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "1s"}}}, prefix=stage.asking(server))
    expect(carpool.get("http://silent.test/"), 504, "dns_timeout", "silent.test", "timeouts.connect", "/etc/resolv.conf")


def test_refused(stage):
    """refused | 502 | connection_refused"""
    closed = stage.ports.refused()
    port = closed.getsockname()[1]
    carpool = stage.carpool()
    expect(carpool.get(f"http://127.0.0.1:{port}/"), 502, "connection_refused", f"127.0.0.1:{port}", "default")


def test_unreachable(stage):
    """unreachable | 502 | destination_ip_unroutable"""
    prefix = without_network()
    if not prefix:
        pytest.skip("needs unshare -n for a place without network")
    path = stage.path("carpool.sock")
    carpool = stage.carpool({"listen": [f"unix:{path}"], "admin": {"listen": "off"}}, prefix=prefix)
    expect(carpool.get("http://192.0.2.1/"), 502, "destination_ip_unroutable", "192.0.2.1", "a route to it")


def test_connect_timeout(stage):
    """connect timeout | 504 | connection_timeout"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(timeouts={"connect": "300ms"})
    expect(carpool.get(origin.url("/")), 504, "connection_timeout", origin.authority, "timeouts.connect")


@pytest.mark.parametrize("how", ["close", "reset", "fin"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
                                  b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["nothing", "a-bit", "no-end", "interim"])
def test_closed_before_a_whole_response_head(stage, how, sent):
    """socket closed before a whole response head | 502 | connection_terminated"""
    def respond(asked):
        asked.connection.send(sent)
        wait_until(lambda: not asked.connection.unsent(), "it is in Carpool's kernel")
        getattr(asked.connection, how)()
    origin = stage.origin(respond)
    expect(stage.carpool().get(origin.url("/")), 502, "connection_terminated", origin.authority, "default")


def test_malformed_response(stage):
    """malformed response [...] | 502 | http_protocol_error"""
    origin = stage.origin(lambda _: b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n")
    expect(stage.carpool().get(origin.url("/")), 502, "http_protocol_error", origin.authority)


def test_a_response_head_that_is_too_large(stage):
    """its head too large | 502 | http_response_header_section_size"""
    origin = stage.origin(lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000 + b"\r\n\r\n")
    carpool = stage.carpool()
    expect(carpool.get(origin.url("/")), 502, "http_response_header_section_size", origin.authority, "maxHeaderSize")
    origin.connections[0].wait_ended()


def test_an_endless_response_head(stage):
    """its head too large | 502 | http_response_header_section_size"""
    def respond(asked):
        asked.connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            asked.connection.send(b"X: y\r\n" * 100)
    origin = stage.origin(respond)
    expect(stage.carpool().get(origin.url("/")), 502, "http_response_header_section_size")


def test_socket_timeout(stage):
    """socket or request timeout before the response head | 504 | connection_read_timeout"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(timeouts={"socket": "200ms"})
    expect(carpool.get(origin.url("/")), 504, "connection_read_timeout", origin.authority, "timeouts.socket")


def test_request_timeout(stage):
    """socket or request timeout before the response head | 504 | [...] http_response_timeout"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(timeouts={"request": "200ms"})
    expect(carpool.get(origin.url("/")), 504, "http_response_timeout", origin.authority, "timeouts.request")


def test_request_timeout_in_the_queue(stage):
    """socket or request timeout before the response head | 504 | [...]: the text says where the time went"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, timeouts={"request": "300ms"})
    running = carpool.ask(origin.url("/"))
    origin.take()
    response = carpool.get(origin.url("/"))
    expect(response, 504, "http_response_timeout", origin.authority, "timeouts.request")
    assert re.search(r", of which the request waited 0\.[23] s for a connection(: the only|: none became free|; carpoolctl explain)", response.text)
    assert "waited" not in running.response().text


@pytest.mark.parametrize("held_ms", [200, 700])
def test_request_timeout_after_the_queue(stage, held_ms):
    """socket or request timeout before the response head | 504 | [...]: a wait that made it late is named, and whether it was
    most of the time"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, timeouts={"request": "1s"})
    running = carpool.ask(origin.url("/"))
    asked = origin.take()
    second = carpool.ask(origin.url("/"))
    carpool.wait_row(origin.key, requests=1)
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > held_ms / 1000, "time that counts")
    asked.connection.reply()
    origin.take()
    assert running.response().status == 200
    response = second.response()
    expect(response, 504, "http_response_timeout", origin.authority, "within 1s (timeouts.request), of which the request waited 0.",
           "carpoolctl explain")
    assert ("the service is slow, or the limit too short" in response.text) == (held_ms < 500)


def test_pending_timeout(stage):
    """pending timeout; queue full; agent paused too long | 503 + `Retry-After: 1` |
    connection_limit_reached"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, timeouts={"pending": "200ms"})
    carpool.ask(origin.url("/"))
    origin.take()
    response = expect(carpool.get(origin.url("/")), 503, "connection_limit_reached", origin.authority, "maxSockets")
    assert response.fields.get("Retry-After") == "1"


def test_queue_full(stage):
    """pending timeout; queue full; agent paused too long | 503 + `Retry-After: 1` |
    connection_limit_reached"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, maxPendingRequests=0)
    carpool.ask(origin.url("/"))
    origin.take()
    response = expect(carpool.get(origin.url("/")), 503, "connection_limit_reached", origin.authority,
                      "maxPendingRequests")
    assert response.fields.get("Retry-After") == "1"


def test_paused_too_long(stage):
    """pending timeout; queue full; agent paused too long | 503 + `Retry-After: 1` |
    connection_limit_reached"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": [origin.authority],
                                                 "timeouts": {"pending": "200ms"}}}})
    assert carpool.admin("/agents/a/pause", "POST").status in (200, 204)
    response = expect(carpool.get("http://a.test/"), 503, "connection_limit_reached", "a", "paused")
    assert response.fields.get("Retry-After") == "1" and origin.accepted == 0
    assert carpool.admin("/agents/a/resume", "POST").status in (200, 204)
    assert carpool.get("http://a.test/").status == 200


def test_too_many_clients(stage):
    """too many clients, stopping | 503 + Connection: close | proxy_internal_response"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"maxConnections": 1}})
    first = carpool.client()
    assert first.get(origin.url("/")).status == 200
    response = expect(carpool.get(origin.url("/")), 503, "proxy_internal_response", "maxConnections")
    assert response.fields.get("Connection") == "close"
    assert first.get(origin.url("/")).status == 200


def test_stopping(stage):
    """too many clients, stopping | 503 + Connection: close | proxy_internal_response: to what comes behind a
    running exchange, if it is answered at all"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "10s"})
    carpool.ends_itself()
    idle = carpool.ask(origin.url("/"))
    origin.take().connection.reply()
    idle.response()
    client = carpool.ask(origin.url("/1"))
    asked = origin.take()
    carpool.signal(signal.SIGTERM)
    idle.expect_end()
    client.ask(origin.url("/2"))
    asked.connection.reply()
    first = client.response()
    assert first.status == 200
    try:
        second = expect(client.response(), 503, "proxy_internal_response")
        assert second.fields.get("Connection") == "close"
    except (Closed, Reset):
        assert first.fields.get("Connection") == "close"
    assert origin.targets == ["/", "/1"]
    assert carpool.wait() == 0


@pytest.mark.parametrize("data, status", [
    (b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    (b"CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    (b"CONNECT http://a.test:443/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    (b"CONNECT u@a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    (b"CONNECT a.test:0443x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    (b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 3\r\n\r\nabc", 400),
    (b"GET http://a.test/ HTTP/2.0\r\nHost: a.test\r\n\r\n", 505),
    (b"GET http://a.test/ HTTP/4.1\r\nHost: a.test\r\n\r\n", 505)])
def test_shapes_that_are_refused(stage, data, status):
    """unknown transfer coding; CONNECT refused by shape; HTTP major version not 1 | 501; 400; 505 |
    http_request_error"""
    client = stage.carpool().client()
    expect(client.raw(data), status, "http_request_error")
    client.expect_end()


def test_the_body_names_agent_origin_and_cause(stage):
    """The body is one line of text that names the agent, the origin, the cause and what to look at."""
    closed = stage.ports.refused()
    where = f"127.0.0.1:{closed.getsockname()[1]}"
    carpool = stage.carpool({"upstreams": {"payments": {"match": "pay.test:8080", "address": [where]}}})
    expect(carpool.get("http://pay.test:8080/"), 502, "connection_refused", "payments", "pay.test:8080", "refused")


def test_an_own_answer_keeps_the_connection(stage):
    """What Carpool answers itself: where the request was well-formed and whole, the client's connection goes on"""
    closed = stage.ports.refused()
    origin = stage.origin()
    client = stage.carpool().client()
    url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    for _ in range(3):
        response = client.get(url)
        assert response.status == 502 and response.fields.get("Connection") != "close"
    assert client.get(origin.url("/")).status == 200


def test_an_own_answer_to_a_body(stage):
    """What Carpool answers itself: the body of that request is never taken for another one"""
    closed = stage.ports.refused()
    origin = stage.origin()
    client = stage.carpool().client()
    smuggled = request("GET", origin.url("/smuggled"))
    client.send(request("POST", f"http://127.0.0.1:{closed.getsockname()[1]}/", body=smuggled))
    response = client.response()
    assert response.status == 502
    if response.fields.get("Connection") == "close":
        client.expect_end()
    else:
        assert client.get(origin.url("/next")).status == 200
    assert "/smuggled" not in origin.targets


def test_an_own_answer_to_head(stage):
    """What Carpool answers itself: without a body to HEAD"""
    closed = stage.ports.refused()
    origin = stage.origin()
    client = stage.carpool().client()
    assert client.get(f"http://127.0.0.1:{closed.getsockname()[1]}/", method="HEAD").status == 502
    assert client.get(origin.url("/")).text == "ok"


def test_an_own_answer_holds_nothing_of_the_wire_unescaped(stage):
    """The body is one line of text: whatever the names hold"""
    response = stage.carpool().raw(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX\x1b[31m: <script>\r\n\r\n")
    expect(response, 400, "http_request_error")
    assert re.fullmatch(r"[\x20-\x7e]*\n", response.text)


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50,
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 50,
    "between-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n",
    "last-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n0\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n0\r\nX: y\r\n",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\nzz\r\n",
}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("case", CUT)
def test_a_failure_after_the_head_cuts(stage, case, how, version):
    """Once a response head went out, a failure cuts the client's connection so that it sees an incomplete
    message, never a short one that looks whole."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"), version=version)
    connection = origin.take().connection
    connection.send(CUT[case])
    wait_until(lambda: client.closed_by_peer() or b"\r\n\r\n" in client.left(), "the head went out")
    getattr(connection, how)()
    with pytest.raises((Truncated, Reset)):
        client.response()
        client.fill()
    assert carpool.get(f"http://127.0.0.1:{carpool.port}/").status == 502, "it still serves"


def test_a_whole_close_delimited_response_ends_in_order(stage):
    """never a short one that looks whole: nor a whole one that looks cut"""
    def respond(asked):
        asked.connection.send(b"HTTP/1.0 200 OK\r\n\r\nwhole")
        asked.connection.close()
    origin = stage.origin(respond)
    carpool = stage.carpool()
    assert carpool.get(origin.url("/"), version="1.0").text == "whole"
    assert carpool.get(origin.url("/")).text == "whole"


def test_a_reset_cuts_a_close_delimited_response(stage):
    """Once a response head went out, a failure cuts the client's connection so that it sees an incomplete
    message"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    for version in ("1.1", "1.0"):
        client = carpool.ask(origin.url("/"), version=version)
        connection = origin.take().connection
        connection.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        wait_until(lambda: client.closed_by_peer() or b"part" in client.left(), "the part went out")
        connection.reset()
        with pytest.raises((Truncated, Reset)):
            client.response()


def test_origins_that_vanish_at_any_byte(stage):
    """Bad input [...] costs nobody else anything: clients and origins that vanish at any byte"""
    whole = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n")

    def respond(asked):
        asked.connection.send(whole[:int(asked.target[1:])])
        if int(asked.target[1:]) < len(whole):
            asked.connection.close()
    origin = stage.origin(respond)
    carpool = stage.carpool()
    for size in range(len(whole) + 1):
        client = carpool.ask(origin.url(f"/{size}"), method="POST")
        try:
            response = client.response()
            assert response.status == (200 if size == len(whole) else 502)
        except (Truncated, Reset):
            assert 25 < size < len(whole)
        client.close()
    assert origin.accepted == len(whole) + 1


def test_clients_that_vanish_at_any_byte(stage):
    """Bad input [...] costs nobody else anything: clients and origins that vanish at any byte"""
    origin = stage.origin(lambda asked: answer(asked.body))
    carpool = stage.carpool()
    whole = request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n0\r\n\r\n"
    for how in ("reset", "close"):
        for size in range(0, len(whole)):
            client = carpool.client()
            client.send(whole[:size])
            getattr(client, how)()
    assert carpool.client().raw(whole).body == b"abc"
    assert [got.body for got in origin.requests] == [b"abc"]
    wait_until(lambda: origin.open <= 1, "nothing is left of the others")
