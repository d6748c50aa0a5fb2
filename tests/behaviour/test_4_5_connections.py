"""Section 4.5: pipelining, and how connections end without losing an answer."""

import socket
import statistics
import threading
import time

import pytest

from .harness import Reset, wait_until
from .harness.client import chunked, request
from .harness.origin import answer


def test_pipelined_requests_are_answered_in_order(stage):
    """Pipelined client requests are answered in order."""
    slow, quick = stage.origin(manual=True), stage.origin()
    client = stage.carpool().client()
    client.send(request("GET", slow.url("/1")) + request("GET", quick.url("/2")) + request("GET", slow.url("/3")))
    slow.take().connection.reply(b"one")
    assert client.response().text == "one"
    assert client.response().fields.get("X-Target") == "/2"
    slow.take().connection.reply(b"three")
    assert client.response().text == "three"


def test_pipelined_bodies(stage):
    """Pipelined client requests are answered in order: with bodies between them"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/1"), body=b"abc") +
                request("POST", origin.url("/2"), fields=[("Transfer-Encoding", "chunked")]) + chunked(b"de", b"f") +
                request("HEAD", origin.url("/3")) + request("GET", origin.url("/4")))
    assert client.response("POST").body == b"abc"
    assert client.response("POST").body == b"def"
    assert client.response("HEAD").fields.get("X-Target") == "/3"
    assert client.response("GET").fields.get("X-Target") == "/4"
    assert origin.targets == ["/1", "/2", "/3", "/4"] and origin.accepted == 1


def test_many_pipelined_requests(stage):
    """Pipelined client requests are answered in order."""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(b"".join(request("GET", origin.url(f"/{number}")) for number in range(200)))
    assert [client.response("GET").fields.get("X-Target") for _ in range(200)] == [f"/{n}" for n in range(200)]
    assert origin.accepted == 1


def test_own_answers_keep_their_place(stage):
    """Pipelined client requests are answered in order: those that Carpool answers itself too"""
    origin = stage.origin(manual=True)
    closed = stage.ports.refused()
    client = stage.carpool().client()
    client.send(request("GET", origin.url("/1")) + request("GET", f"http://127.0.0.1:{closed.getsockname()[1]}/"))
    asked = origin.take()
    assert not client.answered()
    asked.connection.reply(b"one")
    assert client.response("GET").text == "one"
    assert client.response("GET").error == "connection_refused"


def test_nothing_after_close_is_served(stage):
    """Pipelined client requests [...]: what follows a request that says close is no request (RFC 9112,
    9.6)"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.send(request("GET", origin.url("/1"), fields=[("Connection", "close")]) + request("GET", origin.url("/2")))
    assert client.response("GET").fields.get("Connection") == "close"
    client.expect_end()
    assert origin.targets == ["/1"]


def test_an_answer_is_not_lost_to_bytes_that_came_late(stage):
    """After a last response [...] the answer is not lost: nor when the client has sent something behind its last
    request (old ones send an empty line behind a body) that Carpool has not read when it closes."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    for behind in (b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 5000):
        client = carpool.client()
        client.send(request("POST", origin.url("/"), fields=[("Connection", "close")], body=b"hello"))
        asked = origin.take()
        client.send(behind)
        asked.connection.reply(b"y" * 3000)
        assert client.response("POST").body == b"y" * 3000
        client.close()


def test_an_answer_is_not_lost_to_a_reset(stage):
    """After a last response with request bytes still coming, Carpool shuts down writing, discards what comes
    for up to 1 s or 64 KiB, then closes, so that the answer is not lost to a reset."""
    carpool = stage.carpool()
    for _ in range(10):
        client, start = carpool.client(), time.monotonic()
        try:
            client.send(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX : bad\r\n\r\n")
            client.send_pieces([b"x" * 2000] * 15, 0.002)   # a reset would make this fail, or throw the answer away
            assert client.response().status == 400
            client.expect_end()
            return
        except (ConnectionError, Reset):
            # Once the second is over it is right to reset; then the machine was too slow for a look.
            assert time.monotonic() - start > 0.9
    pytest.fail("ten times it took a second to send 30 KB")


def test_discarding_ends_with_time(stage):
    """discards what comes for up to 1 s [...], then closes"""
    client = stage.carpool().client()
    client.send(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX : bad\r\n\r\n" + b"x" * 100)
    assert client.response().status == 400
    client.expect_end()

    def reset():
        try:
            client.send(b"x")
        except OSError:
            return True
        return False
    wait_until(reset, "the connection is closed for good", 10)


def test_discarding_ends_with_bytes(stage):
    """discards what comes for up to [...] 64 KiB, then closes"""
    carpool = stage.carpool()
    client = carpool.client()
    client.send(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX : bad\r\n\r\n")
    assert client.response().status == 400
    sent = 0
    with pytest.raises(ConnectionError):
        while sent < 64 << 20:
            client.send(b"x" * 65536)
            sent += 65536
    assert sent < 64 << 20


def test_an_early_response_is_relayed(stage):
    """a final response before the request's end is relayed, stops the upload and retires the socket
    (`early-response`)"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.exactly(100)
        connection.send(answer(b"enough", "413 Content Too Large"))
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 10000)]) + b"x" * 100)
    response = client.response()
    assert response.status == 413 and response.text == "enough"
    origin.connections[0].wait_ended()
    assert carpool.retired(origin) == {"early-response": 1}
    assert not origin.connections[0].left()
    client.close()
    wait_until(lambda: 'closed_total{reason="connection-close"} 1\n' in carpool.admin("/metrics").text, "the client did no wrong")


def test_an_early_response_does_not_wait_for_the_client(stage):
    """a final response before the request's end is relayed, stops the upload"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(answer(b"no", "401 Unauthorized"))
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 64 << 20)]))
    sender = threading.Thread(target=lambda: _send_all(client, 64 << 20), daemon=True)
    sender.start()
    assert client.response().status == 401
    origin.connections[0].wait_ended()
    sender.join(15)
    assert not sender.is_alive()
    assert len(origin.connections[0].received) < 32 << 20


def _send_all(client, size):
    try:
        for _ in range(0, size, 1 << 20):
            client.send(b"x" * (1 << 20))
    except OSError:
        pass


def test_an_early_response_after_the_upload(stage):
    """unless the upload had ended"""
    def serve(connection):
        while True:
            head = connection.read_request_head()
            connection.note(head)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            connection.read_body(head)
            connection.origin.arrived(head)
            connection.send(b"def")
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client()
    for _ in range(3):
        client.send(request("POST", origin.url("/"), body=b"123"))
        assert client.response("POST").body == b"abcdef"
    assert origin.accepted == 1 and carpool.retired(origin) == {}


def test_the_client_of_an_early_response_goes_on(stage):
    """a final response before the request's end is relayed: what comes of the body is never taken for a
    request"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(answer(b"no", "403 Forbidden"))
    origin, other = stage.origin(serve=serve), stage.origin()
    client = stage.carpool().client()
    smuggled = request("GET", other.url("/smuggled"))
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", len(smuggled))]))
    assert client.response().status == 403
    try:
        client.send(smuggled + request("GET", other.url("/real")))
        while not client.closed_by_peer(0.1) and not other.requests:
            pass
    except ConnectionError:
        pass
    assert "/smuggled" not in other.targets


def test_what_an_origin_said_before_it_closed(stage):
    """A failed write to an origin still reads what it sent"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(answer(b"too much", "413 Content Too Large", [("Connection", "close")]))
        wait_until(lambda: not connection.unsent(), "it is in Carpool's kernel")
        connection.close()      # with unread bytes: a reset
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    for _ in range(5):
        client = carpool.client()
        client.send(request("POST", origin.url("/"), fields=[("Content-Length", 8 << 20)]))
        sender = threading.Thread(target=lambda client=client: _send_all(client, 8 << 20), daemon=True)
        sender.start()
        response = client.response()
        assert response.status == 413 and response.text == "too much"
        sender.join(15)
        assert not sender.is_alive()


def test_a_fin_inside_the_upload(stage):
    """A failed write to an origin still reads what it sent [...]; with nothing sent it is a failure"""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.close()
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 100)]) + b"x" * 10)
    response = client.response()
    assert response.status == 502 and response.error == "connection_terminated"


def test_who_still_takes_a_response_is_not_idle(stage):
    """keepAliveTimeout: idle after a response, which has not ended while Carpool's kernel holds some of it"""
    content = b"x" * 100_000
    origin = stage.origin(lambda _: answer(content))
    carpool = stage.carpool({"server": {"keepAliveTimeout": "300ms", "keepAliveTimeoutBuffer": 0}})
    slow = carpool.client(receive_buffer=4096)
    slow.ask(origin.url("/"))
    wait_until(lambda: 'client_connections{state="idle"} 1\n' in carpool.admin("/metrics").text,
               "the whole response is in the kernel")
    for _ in range(2):
        other = carpool.client()
        assert other.get(origin.url("/")).status == 200
        other.expect_end()
    assert slow.response().body == content
    assert slow.get(origin.url("/")).body == content
    slow.expect_end()


def test_a_head_is_acknowledged_though_its_content_comes_apart(stage):
    """a service with Nagle's algorithm sends the second of two small parts when the first is acknowledged, which is not put off"""
    def serve(connection):
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        while True:
            target = connection.read_request().target
            head, _, content = answer(b"content").rpartition(b"\r\n\r\n")
            parts = [head + b"\r\n\r\n", content]
            connection.send(*(parts if target == "/apart" else [b"".join(parts)]))
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()

    def took(target):
        before = time.monotonic()
        assert client.get(origin.url(target)).body == b"content"
        return time.monotonic() - before
    assert_about_as_fast(took, "/apart", "/together")


def assert_about_as_fast(took, one, other):
    times = [(took(one), took(other)) for _ in range(25)]
    medians = [statistics.median(column) for column in zip(*times)]
    assert medians[0] < 20 * medians[1], times


@pytest.mark.parametrize("at", ["within the head", "behind the head"])
def test_a_part_of_a_request_is_acknowledged(stage, at):
    """the same with a client that writes in two small parts"""
    origin = stage.origin()
    client = stage.carpool().client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    message = request("POST", origin.url(), body=b"body")
    ends = {"within the head": 20, "behind the head": len(message) - 4, "together": len(message)}

    def took(cut):
        before = time.monotonic()
        for part in filter(None, (message[:ends[cut]], message[ends[cut]:])):
            client.send(part)
        assert client.response().body == b"body"
        return time.monotonic() - before
    assert_about_as_fast(took, at, "together")
