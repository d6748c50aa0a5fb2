"""Clients that are slow, endless, countless or rude cost only themselves."""
import random

from behaviour.harness import wait_until
from behaviour.harness.client import request
from behaviour.harness.origin import answer

from .swarm import Swarm, connected, reset


def send(sock, data):
    """Sends what the connection takes, if it stands yet."""
    try:
        sock.send(data)
    except OSError:
        pass


def settled(carpool, before, spare=2):
    wait_until(lambda: carpool.descriptors() <= before + spare,
               lambda: f"descriptors back to {before} (now {carpool.descriptors()})")


def closed(carpool, reason):
    """How many clients were closed for this reason, by /metrics."""
    for line in carpool.admin("/metrics").text.splitlines():
        if line.startswith("carpool_client_connections_closed_total{") and f'"{reason}"' in line:
            return int(float(line.split()[-1]))
    return 0


def test_five_thousand_slowloris(stage, ordinary):
    """heads that come a byte at a time: cheap in memory, answered 408 at headersTimeout"""
    carpool = stage.carpool({"server": {"headersTimeout": "10s"}})
    client = ordinary(carpool)
    before, memory = carpool.descriptors(), carpool.resident()
    with Swarm(carpool.address, 5000, b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-A: ") as swarm:
        client.goes_on(lambda: swarm.send(b"b", 2000))
        most = carpool.resident() - memory
        assert carpool.sanitized or most < 5000 * 24 * 1024, "more than 24 KiB a client that waits"
        swarm.wait_ended()
        assert set(swarm.statuses()) <= {408, None} and swarm.statuses()[408] > 4000, swarm.statuses()
    settled(carpool, before)
    if not carpool.sanitized:
        wait_until(lambda: carpool.resident() - memory < most * 2 / 3,
                   lambda: f"memory: {memory} before, {most} more with the clients, {carpool.resident() - memory} without")


def test_silent_clients(stage, ordinary):
    """not one byte since they connected: closed without an answer"""
    carpool = stage.carpool({"server": {"headersTimeout": "4s"}})
    client = ordinary(carpool)
    with Swarm(carpool.address, 2000) as swarm:
        client.goes_on(swarm.poll, 1)
        swarm.wait_ended()
        assert swarm.statuses() == {None: 2000}


def test_slow_readers(stage, ordinary):
    """a client that takes no byte of a large body is cut; meanwhile it costs its buffers, not the body"""
    size = 8 << 20
    origin = stage.origin(lambda r: answer(b"x" * size))
    stage.allow_origin_failures = True
    carpool = stage.carpool({"server": {"timeout": "4s"}})
    client = ordinary(carpool)
    memory = carpool.resident()
    with Swarm(carpool.address, 60, request("GET", origin.url("/")), receive_buffer=4096) as swarm:
        origin.wait_requests(60)
        client.goes_on()
        if not carpool.sanitized:
            assert carpool.resident() - memory < 60 * (256 << 10), "bodies are held in memory"
        wait_until(lambda: closed(carpool, "timeout") >= 60, lambda: f"cut clients: {closed(carpool, 'timeout')}")
        carpool.wait_row(origin, sockets=0)
        swarm.forget(5)     # what the kernel holds for the others takes long through so small a window
        swarm.wait_ended()
        assert all(len(got) < size for got in swarm.answers.values()), "a cut response looks whole"


def test_slow_request_bodies(stage, ordinary):
    """bodies that come a byte at a time end in 408 at requestTimeout and give their sockets back"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"requestTimeout": "2s"}, "defaults": {"maxSockets": 100}})
    client = ordinary(carpool)
    head = request("POST", origin.url("/"), fields=[("Content-Length", 1 << 20)])
    with Swarm(carpool.address, 200, head) as swarm:
        client.goes_on(lambda: (swarm.send(b"b", 100), swarm.poll(0.005)))
        swarm.wait_ended()
        assert set(swarm.statuses()) <= {408, None} and swarm.statuses()[408] > 150, swarm.statuses()
    carpool.wait_row(origin, sockets=0, requests=0)
    assert carpool.get(origin.url("/after")).status == 200
    assert origin.max_open <= 100


def flood(carpool, data, wanted, rounds=20):
    """A step that has some connections send this, and reads what it comes to."""
    seen = set()

    def step():
        with Swarm(carpool.address, rounds) as swarm:
            for sock in swarm.members.values():
                send(sock, data)
            swarm.wait_ended()
            seen.update(swarm.statuses())
    step.seen = seen
    step.wanted = wanted
    return step


def held_back(step):
    assert step.seen <= step.wanted | {None} and step.seen & step.wanted, step.seen


def test_header_flood(stage, ordinary):
    """more fields, or larger ones, than allowed: 431, again and again"""
    carpool = stage.carpool()
    client = ordinary(carpool)
    many = request("GET", "http://127.0.0.1:1/", fields=[("A", "b")] * 2000)
    step = flood(carpool, many, {431})
    client.goes_on(step, 1)
    held_back(step)
    step = flood(carpool, request("GET", "http://127.0.0.1:1/", fields=[("A", "b" * 100000)]), {431})
    client.goes_on(step, 1)
    held_back(step)


def test_endless_head(stage, ordinary):
    """a line, a head and empty lines before it that never end"""
    carpool = stage.carpool()
    client = ordinary(carpool)
    for start, more, status in ((b"GET /", b"a" * 65536, 414), (b"GET http://x/ HTTP/1.1\r\nA: ", b"b" * 65536, 431),
                                (b"", b"\r\n" * 30000, 400)):
        with Swarm(carpool.address, 50, start) as swarm:
            client.goes_on(lambda s=swarm, m=more: (s.send(m), s.poll()), 0.6)
            swarm.wait_ended()
            assert set(swarm.statuses()) <= {status, None}, swarm.statuses()


def test_endless_chunk_extensions_and_trailers(stage, ordinary):
    """beyond 16 KiB of extensions, or 8 KiB of trailers, a request is refused and its socket closed"""
    origin = stage.origin()
    stage.allow_origin_failures = True
    carpool = stage.carpool()
    client = ordinary(carpool)
    head = request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")])
    for start, more in ((b"1;a=", b"b" * 8192), (b"0\r\n", b"X: " + b"y" * 800 + b"\r\n"),
                        (b"", b"1;a=b\r\nx\r\n" * 500)):
        with Swarm(carpool.address, 30, head + start) as swarm:
            client.goes_on(lambda s=swarm, m=more: (s.send(m), s.poll()), 0.6)
            swarm.wait_ended()
            assert set(swarm.statuses()) <= {400, None}, swarm.statuses()
    carpool.wait_row(origin, sockets=0, requests=0)
    assert not [r for r in origin.requests if r.whole and r.method == "POST"]


def test_tiny_chunks(stage, ordinary):
    """uploads of one byte a chunk are passed on, and nobody else waits for them"""
    origin = stage.origin(lambda r: answer(str(len(r.body)).encode()))
    carpool = stage.carpool()
    client = ordinary(carpool)
    head = request("POST", origin.url("/"), fields=[("Transfer-Encoding", "chunked")])
    with Swarm(carpool.address, 10, head) as swarm:
        client.goes_on(lambda: swarm.send(b"1\r\nx\r\n", 10), 1)


def test_pipelines_that_nobody_reads(stage, ordinary):
    """thousands of pipelined requests whose answers are not taken: reading stops, memory stays"""
    origin = stage.origin(lambda r: answer(b"x" * 10000))
    stage.allow_origin_failures = True
    carpool = stage.carpool({"server": {"timeout": "3s"}})
    client = ordinary(carpool)
    memory = carpool.resident()
    with Swarm(carpool.address, 30, receive_buffer=4096) as swarm:
        many = request("GET", origin.url("/")) * 200
        client.goes_on(lambda: swarm.send(many), 1.5)
        if not carpool.sanitized:
            assert carpool.resident() - memory < 16 << 20
        wait_until(lambda: closed(carpool, "timeout") >= 30, lambda: f"cut: {closed(carpool, 'timeout')}")


def test_churn(stage, ordinary):
    """connections that say nothing, or go away behind half a request"""
    carpool = stage.carpool()
    client = ordinary(carpool)
    before = carpool.descriptors()

    def step():
        for data in (b"", b"GET ht", b"\r\n", b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n") * 25:
            with connected(carpool.address) as sock:
                send(sock, data)
    client.goes_on(step)
    settled(carpool, before)


def test_reset_storm(stage, ordinary):
    """resets at any moment of a request: no answer goes astray, no place stays taken"""
    origin = stage.origin()
    stage.allow_origin_failures = True
    carpool = stage.pooled(maxSockets=20)
    client = ordinary(carpool)
    dice = random.Random(5)
    data = request("POST", origin.url("/storm"), body=b"b" * 3000)

    def step():
        socks = [connected(carpool.address) for _ in range(20)]
        for sock in socks:
            send(sock, data[:dice.randrange(1, len(data) + 2000)])
        for sock in socks:
            reset(sock)
        row = carpool.row(origin)
        assert row["connecting"] + row["sockets"] + row["freeSockets"] <= 20
    client.goes_on(step)
    carpool.wait_row(origin, sockets=0, requests=0, connecting=0)
    for n in range(50):
        assert carpool.get(origin.url(f"/{n}")).fields.get("X-Target") == f"/{n}"
    row = carpool.row(origin)
    closed_ones = sum(row["retiredTotal"].values()) - sum(row["retiredTotal"].get(w, 0) for w in ("connect-failed", "connect-timeout"))
    assert row["socketsOpened"] == closed_ones + row["sockets"] + row["freeSockets"]


def test_half_open_tunnels(stage, ordinary):
    """tunnels that are opened and left alone take their own upstream's places only"""
    origin = stage.origin(serve=lambda connection: connection.fill())
    stage.allow_origin_failures = True
    carpool = stage.carpool({"access": {"connectPorts": [origin.port]},
                             "defaults": {"maxSockets": 50, "timeouts": {"pending": "1s", "tunnel": "8s"}}})
    client = ordinary(carpool)
    with Swarm(carpool.address, 200, request("CONNECT", origin.authority)) as swarm:
        client.goes_on(swarm.poll)
        swarm.wait_ended()
        assert swarm.statuses() == {200: 50, 503: 150}, swarm.statuses()


def test_too_many_clients(stage):
    """over maxConnections: 503 and Connection: close, at once, and room again when some are gone"""
    carpool = stage.carpool({"server": {"maxConnections": 100}})
    origin = stage.origin()
    with Swarm(carpool.address, 100):
        for _ in range(200):
            response = carpool.get(origin.url("/"))
            assert response.status == 503 and response.fields.get("Connection") == "close"
    wait_until(lambda: carpool.get(origin.url("/")).status == 200, "room again")


def test_admin_is_no_way_in(stage, ordinary):
    """an admin listener under attack harms nobody, and answers again behind it"""
    carpool = stage.carpool()
    client = ordinary(carpool)
    address = ("127.0.0.1", carpool.admin_port)
    with Swarm(address, 300, b"GET /agents HTTP/1.1\r\nA: ") as swarm:
        client.goes_on(lambda: (swarm.send(b"b" * 100), swarm.poll()), 1)
    wait_until(lambda: carpool.admin("/healthz").status == 200, "an answer of admin")
