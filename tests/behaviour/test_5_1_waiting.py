"""Section 5.1: what waits in the queue keeps its head and little else, and is served whole whatever happens meanwhile."""

import pytest

from .harness.client import chunked

LONG = [(f"X-Long-{number}", str(number) * 150) for number in range(15)]    # 2 to 3 KiB in all
BODY = b"0123456789" * 200


def crowded(stage, workers=1, **defaults):
    """An origin whose only socket is taken, and by whom: (origin, daemon, client, request)."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"workers": workers, "defaults": {"maxSockets": 1, **defaults}})
    first = carpool.ask(origin.url("/first"))
    return origin, carpool, first, origin.take()


def wait(carpool, origin, client, *args, **how):
    """The client's request joins the queue."""
    pending = carpool.row(origin)["requests"]
    client.ask(*args, **how)
    carpool.wait_row(origin, requests=pending + 1)
    return client


def is_whole(request, path, body=b""):
    assert (request.target, request.body) == (path, body)
    assert [field for field in request.fields if field[0].startswith("X-Long")] == LONG


@pytest.mark.parametrize("workers", [1, 2])
def test_what_waits_is_sent_whole(stage, workers):
    """else becomes pending: heads of any size, with content that came along, or none"""
    origin, carpool, first, running = crowded(stage, workers)
    bodies = [b"", b"short", BODY, b""]
    clients = [wait(carpool, origin, carpool.client(), origin.url(f"/{number}"), method="PUT", fields=LONG, body=body)
               for number, body in enumerate(bodies)]
    for number, body in enumerate(bodies):
        running.connection.reply()
        running = origin.take()
        is_whole(running, f"/{number}", body)
    running.connection.reply()
    assert [client.response().status for client in (first, *clients)] == [200] * 5
    assert origin.accepted == 1


def test_chunks_wait_with_their_request(stage):
    """else becomes pending: chunked content, of which the rest comes later"""
    origin, carpool, first, running = crowded(stage)
    content = chunked(b"some", b"more")
    client = wait(carpool, origin, carpool.client(), origin.url("/1"), method="POST",
                  fields=[("Transfer-Encoding", "chunked"), *LONG], body=content[:7])
    running.connection.reply()
    client.send(content[7:])
    is_whole(request := origin.take(), "/1", b"somemore")
    request.connection.reply()
    assert client.response().status == first.response().status == 200


def test_the_next_request_waits_behind_it(stage):
    """else becomes pending: pipelined requests, one of which is there in part only"""
    origin, carpool, first, running = crowded(stage)
    client = wait(carpool, origin, carpool.client(), origin.url("/1"), fields=LONG)
    client.ask(origin.url("/2"), method="PUT", fields=LONG, body=BODY)
    head = f"GET {origin.url('/3')} HTTP/1.1\r\nHost: {origin.authority}\r\nX-Late: ".encode()
    client.send(head)
    for path, body in (("/1", b""), ("/2", BODY)):
        running.connection.reply()
        is_whole(running := origin.take(), path, body)
    running.connection.reply()
    client.send(b"yes\r\n\r\n")
    running = origin.take()
    assert running.target == "/3" and running.fields.get("X-Late") == "yes"
    running.connection.reply()
    assert [client.response("GET").status for _ in range(3)] == [200] * 3
    assert first.response().status == 200


def test_pipelined_behind_it_in_one_packet(stage):
    """else becomes pending: what came with it in one read"""
    origin, carpool, first, running = crowded(stage)
    pending = carpool.row(origin)["requests"]
    client = carpool.client()
    client.send(b"".join(f"GET {origin.url(f'/{number}')} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n".encode()
                         for number in range(20)))
    carpool.wait_row(origin, requests=pending + 1)
    for number in range(20):
        running.connection.reply(str(number).encode())
        running = origin.take()
        assert running.target == f"/{number}"
    running.connection.reply(b"20")
    assert first.response().body == b"0"
    assert [client.response("GET").body for _ in range(20)] == [str(number + 1).encode() for number in range(20)]


def test_what_waited_is_repeated(stage):
    """repeated when that is safe: a request that waited, whose socket proves stale, waits again and is whole"""
    origin, carpool, first, running = crowded(stage)
    clients = [wait(carpool, origin, carpool.client(), origin.url(f"/{number}"), method="PUT", fields=LONG, body=BODY)
               for number in range(2)]
    running.connection.reply()
    assert first.response().status == 200
    is_whole(running := origin.take(), "/0", BODY)
    running.connection.close()
    for path in ("/0", "/1"):
        is_whole(running := origin.take(), path, BODY)
        running.connection.reply()
    assert [client.response().status for client in clients] == [200, 200]
    assert carpool.row(origin)["retriesTotal"] == 1


def test_a_reload_lowers_the_limit_of_heads(stage):
    """maxHeaderSize: a request that was read under a higher one waits on and is served"""
    origin = stage.origin(manual=True)
    config = {"defaults": {"maxSockets": 1}, "server": {"maxHeaderSize": "64KiB"}}
    carpool = stage.carpool(config)
    first = carpool.ask(origin.url("/first"))
    running = origin.take()
    large = [(name, value * 10) for name, value in LONG]
    client = wait(carpool, origin, carpool.client(), origin.url("/1"), fields=large)
    client.send(f"GET {origin.url('/2')} HTTP/1.1\r\nHost: {origin.authority}\r\n".encode())
    config["server"]["maxHeaderSize"] = "1KiB"
    carpool.reload(config)
    running.connection.reply()
    running = origin.take()
    assert running.target == "/1" and [field for field in running.fields if field in large] == large
    running.connection.reply()
    assert first.response().status == client.response().status == 200
    client.send(b"\r\n")
    running = origin.take()
    assert running.target == "/2"
    running.connection.reply()
    assert client.response("GET").status == 200


@pytest.mark.parametrize("leaves", ["close", "reset"])
def test_who_leaves_the_queue_is_forgotten(stage, leaves):
    """a client that goes away takes its waiting request along"""
    origin, carpool, first, running = crowded(stage)
    leaving = wait(carpool, origin, carpool.client(), origin.url("/1"), method="PUT", fields=LONG, body=BODY)
    staying = wait(carpool, origin, carpool.client(), origin.url("/2"), fields=LONG)
    getattr(leaving, leaves)()
    carpool.wait_row(origin, requests=1)
    running.connection.reply()
    is_whole(running := origin.take(), "/2")
    running.connection.reply()
    assert first.response().status == staying.response().status == 200


def test_what_waits_takes_little_memory(stage):
    """bounded memory: a request that waits holds its head, not a buffer"""
    origin, carpool, _, _ = crowded(stage, maxPendingRequests="Infinity")
    if carpool.sanitized:
        pytest.skip("a sanitizer's memory figures mean nothing")
    count, clients = 1500, []

    def join(number):
        for _ in range(number):
            clients.append(carpool.ask(origin.url("/")))
        carpool.wait_row(origin, requests=len(clients))
    carpool.wait_row(origin, requests=0)
    join(100)
    before = carpool.resident()
    join(count)
    grown = (carpool.resident() - before) / count
    assert grown < 1500, f"{grown:.0f} bytes a client that waits"
