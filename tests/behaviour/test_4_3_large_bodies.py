"""Section 4.3, where bodies are large: Carpool may hand them on without looking at them, and all that holds for small
ones holds for these. Every test leaves bytes on their way at the worst moment and looks where they come out."""

import functools
import threading

import pytest

from .harness import stays, wait_until
from .harness.client import request

SIZE = 8 << 20


@functools.lru_cache(maxsize=64)
def body(mark, size=SIZE):
    """No two marks share a block, so that a piece of another body shows."""
    block = b"".join(b"%s%07d\n" % (mark, number) for number in range(4096))
    return (block * (size // len(block) + 1))[:size]


def by_target(asked):
    content = body(asked.target.rsplit("/", 1)[1].encode())
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content


def stalled(stage, carpool, origin, target):
    """A client that asked for a large body and reads no more than its beginning; everything on the way is full."""
    client = carpool.client(receive_buffer=16384)
    before = len(origin.targets)
    client.ask(origin.url(target))
    wait_until(lambda: len(origin.targets) > before, "the request arrives")
    client.read_response_head()
    client.exactly(200000)
    return client


@pytest.mark.parametrize("how", ["close", "reset"])
def test_what_a_client_did_not_take_goes_to_nobody_else(stage, how):
    """Bodies stream [...] to the client that asked for them, to no other"""
    origin = stage.origin(by_target)
    carpool = stage.carpool({"defaults": {"drainLimit": 0}})
    for number in range(2):
        clients = [stalled(stage, carpool, origin, f"/{letter}{number}") for letter in "abc"]
        for client in clients:
            getattr(client, how)()
        for letter in "xyz":
            answer = carpool.get(origin.url(f"/{letter}{number}"))
            assert answer.body == body(f"{letter}{number}".encode())
    stage.allow_origin_failures = True


def test_a_socket_that_is_drained_gives_the_next_its_own(stage):
    """drainLimit: [...] read on up to this much to save the socket: behind a transfer that was stuck"""
    origin = stage.origin(by_target)
    carpool = stage.carpool({"defaults": {"drainLimit": "64MiB", "maxSockets": 1}})
    for number in range(3):
        stalled(stage, carpool, origin, f"/a{number}").reset()
        assert carpool.get(origin.url(f"/b{number}")).body == body(b"b%d" % number)
    assert origin.accepted == 1


def test_what_came_before_an_early_end_arrives(stage):
    """An origin that ends too early: the client has every byte that came, and sees that there are not all"""
    content = body(b"q")
    part = SIZE // 2 + 12345

    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE, content[:part])
        connection.close()
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    client = carpool.client(receive_buffer=65536)
    client.ask(origin.url("/"))
    client.read_response_head()
    assert client.exactly(100000) == content[:100000]
    assert client.rest() == content[100000:part]
    carpool.wait_retired(origin, "error")


def unsent(port, to):
    """Bytes that the kernel holds on this port of 127.0.0.1 for that one."""
    with open("/proc/net/tcp", encoding="ascii") as lines:
        for _, here, there, _, queues, *_ in (line.split() for line in list(lines)[1:]):
            if int(here.split(":")[1], 16) == port and int(there.split(":")[1], 16) == to:
                return int(queues.split(":")[0], 16)
    return 0


def test_what_the_kernel_holds_for_a_client_that_does_not_read_is_bounded(stage):
    """Memory is bounded, the kernel's too: a client that does not read stops the origin"""
    origin = stage.origin(by_target)
    carpool = stage.carpool()
    client = stalled(stage, carpool, origin, "/h")
    port = client.sock.getsockname()[1]
    wait_until(lambda: unsent(carpool.port, port) > 1 << 19, "the kernel holds some")
    stays(lambda: unsent(carpool.port, port) < 3 << 20, "it takes no more", 0.3)


def test_what_comes_slowly_behind_what_came_fast_arrives(stage):
    """Bodies stream: a byte that the origin sends is not kept until more comes, however much came before it"""
    content, fast = body(b"s"), SIZE // 2
    may_go_on = threading.Semaphore(0)

    def serve(connection):
        while connection.read_request_head():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE, content[:fast])
            for at in range(fast, fast + 3):
                may_go_on.acquire()
                connection.send(content[at:at + 1])
            connection.send(content[fast + 3:])
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    for _ in range(2):
        client.ask(origin.url("/"))
        client.read_response_head()
        assert client.exactly(fast) == content[:fast]
        for at in range(fast, fast + 3):
            may_go_on.release()
            assert client.exactly(1) == content[at:at + 1]
        assert client.exactly(SIZE - fast - 3) == content[fast + 3:]


def test_what_a_client_sends_slowly_behind_what_it_sent_fast_arrives(stage):
    """Bodies stream: the same for a request's"""
    content, fast = body(b"v"), SIZE // 2
    arrived = threading.Semaphore(0)

    def serve(connection):
        while connection.read_request_head():
            for count in (fast, 1, 1, 1, SIZE - fast - 3):
                connection.exactly(count)
                arrived.release()
            connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    origin = stage.origin(serve=serve)
    client = stage.carpool().client()
    for _ in range(2):
        client.send(request("POST", origin.url("/"), fields=[("Content-Length", str(SIZE))]), content[:fast])
        assert arrived.acquire(timeout=60)
        for at in range(fast, fast + 3):
            client.send(content[at:at + 1])
            assert arrived.acquire(timeout=60)
        client.send(content[fast + 3:])
        assert client.response("POST").status == 204


def test_one_connection_carries_one_after_the_other(stage):
    """keep-alive: what stands behind a large body is not taken with it"""
    origin = stage.origin(by_target)
    client = stage.carpool().client()
    client.send(b"".join(request("GET", origin.url(f"/k{number}")) for number in range(3)))
    for number in range(3):
        assert client.response("GET").body == body(b"k%d" % number)
    assert origin.accepted == 1


def test_requests_behind_a_large_body_are_requests(stage):
    """keep-alive: what stands behind a request's large body is not taken with it"""
    content = body(b"u")
    origin = stage.origin(lambda asked: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" +
                          (b"whole" if asked.body == content else b"wrong" if asked.method == "POST" else b"small"))
    client = stage.carpool().client()
    messages = request("POST", origin.url("/"), body=content) + request("GET", origin.url("/"))
    sender = threading.Thread(target=lambda: client.send(messages * 2))
    sender.start()
    assert [client.response("POST").body for _ in range(4)] == [b"whole", b"small"] * 2
    sender.join()
    assert origin.accepted == 1


def test_an_upload_that_the_origin_stops_goes_to_nobody_else(stage):
    """A response before the request's end: the rest of the upload is not wanted, and nobody gets it"""
    content = body(b"r")

    def serve(connection):
        while True:
            head = connection.read_request_head()
            connection.note(head)
            if head.target == "/refused":
                connection.exactly(300000)
                connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
                connection.gone.wait(0.05)
                connection.close()
            connection.read_body(head)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + (b"whole" if head.body == content else b"wrong"))
    origin = stage.origin(serve=serve)
    carpool = stage.carpool()
    for _ in range(2):
        client = carpool.client()

        def send_all(client=client):
            try:
                client.send(request("POST", origin.url("/refused"), body=content))
            except OSError:
                pass
        sender = threading.Thread(target=send_all)
        sender.start()
        assert client.response("POST").status == 413
        client.close()
        sender.join()
        taken = carpool.get(origin.url("/taken"), method="POST", body=content)
        # If the kernel took all of the upload, the connection is used again, and the origin may close it meanwhile.
        assert taken.body == b"whole" or taken.status == 502 and "Idempotency-Key" in taken.text
    stage.allow_origin_failures = True


def test_over_unix_sockets(stage):
    """unix: listeners and upstreams carry large bodies as TCP does"""
    path, socket_path = stage.path("in.sock"), stage.path("out.sock")
    origin = stage.origin(lambda asked: by_target(asked) if asked.method == "GET" else
                          b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(asked.body) + asked.body, path=socket_path)
    carpool = stage.carpool({"listen": [f"unix:{path}"],
                             "upstreams": {"u": {"match": "u.test", "address": [f"unix:{socket_path}"]}}})
    client = carpool.client(path)
    assert client.get("http://u.test/v1").body == body(b"v1")
    content = body(b"w", 3 << 20)
    sender = threading.Thread(target=lambda: client.send(request("POST", "http://u.test/", body=content)))
    sender.start()
    assert client.response("POST").body == content
    sender.join()


def test_both_ways_at_once_and_many(stage):
    """Many large bodies at a time: each client has its own, whichever way it goes"""
    origin = stage.origin(by_target)
    carpool = stage.carpool()
    wrong = []

    def ask(letter):
        with carpool.client() as client:
            for number in range(2):
                if client.get(origin.url(f"/{letter}{number}")).body != body(f"{letter}{number}".encode()):
                    wrong.append(letter)
    threads = [threading.Thread(target=ask, args=(letter,)) for letter in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_descriptors_come_back(stage):
    """What large bodies need besides the two connections is bounded, and most of it is given back"""
    origin = stage.origin(by_target)
    carpool = stage.carpool()
    assert carpool.get(origin.url("/a")).body == body(b"a")
    before = carpool.descriptors()
    clients = [stalled(stage, carpool, origin, f"/s{number}") for number in range(12)]
    for client in clients:
        client.reset()
    wait_until(lambda: carpool.descriptors() <= before + 20, "the transfers are gone")
    stage.allow_origin_failures = True
