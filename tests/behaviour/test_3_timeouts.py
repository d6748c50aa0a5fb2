"""Section 3: the time limits of an agent, each by what the client and the origin see of it."""

import socket
import threading
import time

import pytest

from .harness import PATIENCE, Closed, Reset, Truncated, stays
from .harness.client import request
from .harness.origin import answer


def cut(client):
    """Asserts that the response ends before it is whole."""
    with pytest.raises((Truncated, Reset, Closed)):
        client.response()


def test_connect(stage):
    """connect: 10s # DNS + TCP + TLS of a new socket -> 504"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(timeouts={"connect": "300ms"})
    start = time.monotonic()
    response = carpool.get(origin.url("/"))
    assert response.status == 504 and response.error == "connection_timeout"
    assert time.monotonic() - start > 0.25
    assert carpool.retired_of_agent() == {"connect-timeout": 1}
    assert carpool.row(origin)["socketsOpened"] == 0


def test_connect_by_a_reload(stage):
    """8: limits and timeouts apply in place, also to what [...] connects"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(timeouts={"connect": "off"})
    client = carpool.ask(origin.url("/"))
    carpool.wait_row(origin, connecting=1)
    carpool.reload({"defaults": {"timeouts": {"connect": "50ms"}}})
    response = client.response()
    assert response.status == 504 and response.error == "connection_timeout"
    assert "within 50ms (timeouts.connect)" in response.text


def test_pending(stage):
    """pending: 30s # waiting for a socket -> 503"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, timeouts={"pending": "300ms"})
    active = carpool.ask(origin.url("/"))
    asked = origin.take()
    start = time.monotonic()
    waiting = carpool.ask(origin.url("/")).response()
    assert waiting.status == 503 and waiting.error == "connection_limit_reached"
    assert waiting.fields.get("Retry-After") == "1"
    assert time.monotonic() - start > 0.25
    asked.connection.reply()
    assert active.response().status == 200
    assert len(origin.requests) == 1


def test_socket_before_the_response(stage):
    """socket: 60s # no byte moved either way on an active socket -> 504"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(timeouts={"socket": "300ms"})
    start = time.monotonic()
    client = carpool.ask(origin.url("/"))
    origin.take()
    response = client.response()
    assert response.status == 504 and response.error == "connection_read_timeout"
    assert time.monotonic() - start > 0.25
    origin.connections[0].wait_ended()
    assert carpool.retired(origin) == {"socket-timeout": 1}
    assert len(origin.requests) == 1


def test_socket_inside_the_response(stage):
    """socket: [...] or a cut response"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(timeouts={"socket": "1500ms"})
    client = carpool.ask(origin.url("/"))
    origin.take().connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    cut(client)
    assert client.received.endswith(b"12345")
    carpool.wait_retired(origin, "socket-timeout")


def test_socket_is_put_off_by_every_byte(stage):
    """socket: [...] no byte moved either way"""
    def respond(asked):
        asked.connection.send_slowly(answer(b"x" * 20), pause=0.04)
    origin = stage.origin(respond)
    carpool = stage.pooled(timeouts={"socket": "2s"})
    start = time.monotonic()
    assert carpool.get(origin.url("/")).body == b"x" * 20
    assert time.monotonic() - start > 2


def test_socket_is_put_off_by_bytes_of_the_request(stage):
    """socket: [...] no byte moved either way"""
    origin = stage.origin()
    carpool = stage.pooled(timeouts={"socket": "2s"})
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 20)]))
    client.send_slowly(b"y" * 20, pause=0.12)
    assert client.response().body == b"y" * 20


def test_socket_while_the_origin_does_not_read(stage):
    """socket or request timeout before the response head: 504 [...] (or connection_write_timeout)"""
    def serve(connection):
        connection.note(connection.read_request_head())
        answered.wait(PATIENCE)
    answered = threading.Event()
    origin = stage.origin(serve=serve)
    carpool = stage.pooled(timeouts={"socket": "300ms"})
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 256 << 20)]))
    sender = threading.Thread(target=send_for_ever, args=(client,))
    sender.start()
    response = client.response()
    answered.set()
    assert response.status == 504 and response.error == "connection_write_timeout"
    sender.join()
    assert len(origin.connections[0].received) < 32 << 20


def send_for_ever(client):
    """Keeps every buffer on the way full, until the connection is closed."""
    try:
        while True:
            client.send(b"z" * (1 << 20))
    except OSError:
        pass


def test_request_before_the_response(stage):
    """request: off # head received to last response byte, waiting included -> 504"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(timeouts={"request": "300ms"})
    client = carpool.ask(origin.url("/"))
    origin.take()
    response = client.response()
    assert response.status == 504 and response.error == "http_response_timeout"
    origin.connections[0].wait_ended()
    assert carpool.retired(origin) == {"request-timeout": 1}


def test_request_inside_the_response(stage):
    """request: [...] or a cut response: bytes do not put it off"""
    def respond(asked):
        asked.connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
        asked.connection.send_slowly(b"x" * 2000, pause=0.01)
    origin = stage.origin(respond)
    carpool = stage.pooled(timeouts={"request": "1500ms"})
    client = carpool.ask(origin.url("/"))
    cut(client)
    assert b"200 OK" in client.received
    carpool.wait_retired(origin, "request-timeout")


def test_request_includes_the_wait_for_a_socket(stage):
    """request: [...] waiting included -> 504"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {
        "slow": {"match": "slow.test", "maxSockets": 1, "address": [origin.authority],
                 "timeouts": {"request": "500ms"}}}})
    first = carpool.ask("http://slow.test/1")
    origin.take()
    second = carpool.ask("http://slow.test/2").response()
    assert second.status == 504 and second.error == "http_response_timeout"
    assert first.response().status == 504


def test_request_is_off_by_default(stage):
    """request: off"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    assert not client.closed_by_peer(0.5)
    asked.connection.reply()
    assert client.response().status == 200


def test_free(stage):
    """free: 30s # idle in the pool"""
    origin = stage.origin()
    carpool = stage.pooled(timeouts={"free": "500ms"})
    for _ in range(3):
        in_use = time.monotonic()
        carpool.get(origin.url("/"))
    origin.connections[0].wait_ended("fin")
    assert time.monotonic() - in_use > 0.45
    assert origin.accepted == 1 and carpool.retired(origin) == {"free-timeout": 1}


def test_free_begins_anew_with_each_use(stage):
    """free: [...] idle in the pool"""
    origin = stage.origin()
    carpool = stage.pooled(timeouts={"free": "2500ms"})
    stays(lambda: carpool.get(origin.url("/")).status == 200, "it serves", 3)
    assert origin.accepted == 1


@pytest.mark.parametrize("name", ["free", "socket", "request", "pending", "connect", "tunnel"])
def test_each_may_be_off(stage, name):
    """`0` or `off` switches a time limit off"""
    origin = stage.origin()
    carpool = stage.pooled(timeouts={name: "off"})
    for _ in range(2):
        assert carpool.get(origin.url("/")).status == 200
    assert origin.accepted == 1


def test_pending_may_be_off(stage):
    """`0` or `off` switches a time limit off: waiting without one"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1, timeouts={"pending": 0, "socket": 0})
    first = carpool.ask(origin.url("/"))
    asked = origin.take()
    second = carpool.ask(origin.url("/"))
    assert not second.closed_by_peer(0.4)
    asked.connection.reply()
    origin.take().connection.reply()
    assert first.response().status == second.response().status == 200


def take_slowly(socks, seconds):
    """Each takes 20 kB now and then, from what its kernel has."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sock in socks:
            sock.settimeout(seconds)
            assert sock.recv(20000), "the connection has ended"
        time.sleep(0.05)


def test_who_takes_little_is_not_silent(stage):
    """server.timeout: a client that takes no byte of what is ready for it is cut; timeouts.socket, timeouts.tunnel: no byte either
    way. The kernel has megabytes for them, and long nothing to say."""
    data = b"x" * 20_000_000
    flood = stage.origin(lambda request: answer(data))
    spring = stage.origin(serve=lambda connection: connection.send(data))
    sink = socket.socket()
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sink.bind(("127.0.0.1", stage.ports.take()))
    sink.listen()
    carpool = stage.carpool({"server": {"timeout": "2s"}, "access": {"connectPorts": [spring.port]},
                             "defaults": {"timeouts": {"socket": "2s", "tunnel": "2s"}}})
    upload = carpool.client()
    upload.send(request("POST", f"http://127.0.0.1:{sink.getsockname()[1]}/", fields=[("Content-Length", len(data))]))
    with sink, sink.accept()[0] as taker:
        upload.send_until_blocked(data)
        download = carpool.client(receive_buffer=65536).ask(flood.url("/"))
        tunnel = carpool.client(receive_buffer=65536)
        tunnel.send(request("CONNECT", spring.authority))
        take_slowly([taker, download.sock, tunnel.sock], 5)
        assert not upload.answered()
        metrics = carpool.admin("/metrics").text
        assert 'carpool_client_connections_closed_total{reason="timeout"} 0\n' in metrics and "carpool_tunnels 1\n" in metrics
