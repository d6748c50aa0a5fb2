"""Section 4.3: bodies stream, and memory stays bounded."""

import hashlib
import threading
import time

import pytest

from .harness import Client, PATIENCE, stays, wait_until
from .harness.client import request

BIG = 48 << 20


def pattern(size):
    """Bytes in which a lost or doubled piece shows."""
    block = b"".join(b"%07d\n" % number for number in range(1 << 13))
    return (block * (size // len(block) + 1))[:size]


def test_a_request_streams(stage):
    """Bodies stream in both directions at once with bounded memory"""
    def serve(connection):
        head = connection.read_request_head()
        connection.note(head)
        assert connection.exactly(5) == b"first"
        half.set()
        assert connection.exactly(6) == b"second"
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    half = threading.Event()
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 11)]) + b"first")
    assert half.wait(PATIENCE), "the first half reaches the origin before the second is sent"
    client.send(b"second")
    assert client.response().status == 200


def test_a_chunked_request_streams(stage):
    """Bodies stream in both directions at once"""
    def serve(connection):
        connection.note(connection.read_request_head())
        chunks = connection.chunks()
        assert next(chunks) == b"first"
        half.set()
        assert b"".join(chunks) == b"second"
        connection.read_fields()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    half = threading.Event()
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) + b"5\r\nfirst\r\n")
    assert half.wait(PATIENCE), "the first half reaches the origin before the second is sent"
    client.send(b"6\r\nsecond\r\n0\r\n\r\n")
    assert client.response().status == 200


def test_a_response_streams(stage):
    """Bodies stream in both directions at once"""
    origin = stage.origin(manual=True)
    client = stage.carpool().ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst")
    client.read_response_head()
    assert client.exactly(5) == b"first"
    connection.send(b"second")
    assert client.exactly(6) == b"second"


def test_the_head_of_a_response_does_not_wait_for_its_body(stage):
    """Bodies stream [...] Nothing is buffered whole."""
    origin = stage.origin(manual=True)
    client = stage.carpool().ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.read_response_head().status == 200
    connection.send(b"0\r\n\r\n")


def test_a_slow_reader_slows_the_origin(stage):
    """a slow reader slows the writer, whatever the size"""
    body = pattern(BIG)
    origin = stage.origin(manual=True)
    carpool = stage.carpool()
    carpool.get("http://127.0.0.1:1/")
    before = carpool.resident()
    client = carpool.client(receive_buffer=32768)
    client.ask(origin.url("/"))
    connection = origin.take().connection
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
    taken = connection.send_until_blocked(body)
    assert taken < BIG, "the origin could send all though nobody read"
    assert carpool.resident() - before < 4 << 20 or carpool.sanitized
    client.read_response_head()
    rest = threading.Thread(target=lambda: connection.send(body[taken:]))
    rest.start()
    digest = hashlib.md5()
    for at in range(0, BIG, 1 << 20):
        digest.update(client.exactly(min(1 << 20, BIG - at)))
    rest.join()
    assert digest.digest() == hashlib.md5(body).digest()


def test_a_slow_origin_slows_the_client(stage):
    """a slow reader slows the writer, whatever the size"""
    body = pattern(BIG)
    go = threading.Event()

    def serve(connection):
        head = connection.read_request_head()
        connection.note(head)
        go.wait(PATIENCE)
        connection.read_body(head)
        digest = hashlib.md5(head.body).hexdigest().encode()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + digest)
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    carpool.get("http://127.0.0.1:1/")
    before = carpool.resident()
    client = carpool.client()
    client.send(request("PUT", origin.url("/"), fields=[("Content-Length", BIG)]))
    taken = client.send_until_blocked(body)
    assert taken < BIG, "the client could send all though nobody read"
    assert carpool.resident() - before < 4 << 20 or carpool.sanitized
    go.set()
    client.send(memoryview(body)[taken:])
    assert client.response().body == hashlib.md5(body).hexdigest().encode()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_response_that_a_reset_cuts_is_not_complete(stage, version):
    """a response without a length ends with its connection, and a reset is no such end, though the upload met it first"""
    go = threading.Event()

    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        go.wait(PATIENCE)
        connection.reset()
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), version=version, fields=[("Content-Length", BIG)]))
    assert client.read_response_head().status == 200
    client.send_until_blocked(pattern(BIG))
    go.set()
    content, end = client.how_it_ends()
    assert (content, end) == ((b"4\r\npart\r\n", end) if version == "1.1" else (b"part", "reset"))


def test_a_slow_reader_delays_nobody_else(stage):
    """a slow reader slows the writer: its own alone"""
    origin = stage.origin(lambda asked: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG + b"x" * BIG
                          if asked.target == "/big" else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    carpool = stage.carpool()
    for _ in range(3):
        carpool.client(receive_buffer=4096).ask(origin.url("/big"))
    origin.wait_requests(3)
    start = time.monotonic()
    for _ in range(30):
        assert carpool.get(origin.url("/")).status == 200
    assert time.monotonic() - start < 20
    assert origin.accepted == 4


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 16384, 65535, 65536, 65537, 1000003])
def test_bodies_arrive_whole(stage, size):
    """Bodies stream in both directions: every size, framed by length and by chunks"""
    origin = stage.origin(lambda asked: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(asked.body) + asked.body
                          if asked.framing != "chunked" else
                          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                          b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces(asked.body)) +
                          b"0\r\n\r\n")
    body = pattern(size)
    client = stage.carpool().client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", size)]) + body)
    assert client.response().body == body
    client.send(request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")]) +
                b"".join(b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces(body)) + b"000\r\n\r\n")
    assert client.response().body == body
    assert origin.accepted == 1


def pieces(body):
    """Chunks of uneven sizes."""
    at, size = 0, 1
    while at < len(body):
        yield body[at:at + size]
        at, size = at + size, size * 3 % 8191 + 1


def test_both_directions_at_once(stage):
    """Bodies stream in both directions at once: many bodies cross without holding each other up"""
    origin = stage.origin()
    carpool = stage.carpool()
    body = pattern(3 << 20)
    wrong = []

    def upload():
        with Client(carpool.address) as client:
            sender = threading.Thread(target=lambda: client.send(request("PUT", origin.url("/"), body=body)))
            sender.start()
            if client.read_response("PUT").body != body:
                wrong.append(1)
            sender.join()
    threads = [threading.Thread(target=upload) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * PATIENCE)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_memory_does_not_grow_with_bodies(stage):
    """with bounded memory [...] Nothing is buffered whole."""
    origin = stage.origin()
    carpool = stage.carpool()
    if carpool.sanitized:
        pytest.skip("a sanitizer's memory figures mean nothing")
    body = pattern(8 << 20)
    carpool.get(origin.url("/"), method="POST", body=body[:1 << 20])
    before = carpool.resident()
    for _ in range(3):
        assert carpool.get(origin.url("/"), method="POST", body=body).body == body
    wait_until(lambda: carpool.resident() - before < 2 << 20, "memory is back")


def test_a_reader_that_stalls_between_small_pieces(stage):
    """a slow reader slows the writer, whatever the size: and the writer goes on when the reader does. The pieces
    are small, so that each read empties the socket, and more of them come while the reader is blocked."""
    piece, count = b"0123456789abcdef" * 1024, 512

    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * count))
        connection.send_pieces([piece] * count, .0005)
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client(receive_buffer=65536)
    client.ask(origin.url("/"))
    stays(lambda: carpool.running, "most of the pieces are on their way, and nobody reads", 1)
    assert client.response().body == piece * count
