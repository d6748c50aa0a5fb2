"""Origins that are silent, slow, endless, early or rude cost only those who ask them."""
import itertools
import threading

from behaviour.harness import Client, wait_until
from behaviour.harness.client import request
from behaviour.harness.origin import answer
from behaviour.harness.wire import Closed, Malformed, Reset, Truncated

from .swarm import Swarm

OK = answer(b"ok")


def endless(*pieces):
    """The life of a connection that sends the first piece and then the rest for ever, behind each request's head."""
    def serve(connection):
        connection.note(connection.read_request_head())
        connection.send(pieces[0])
        for piece in itertools.cycle(pieces[1:]):
            connection.send(piece)
    return serve


def outcome(carpool, url):
    """What a client gets: the status, and whether the message was whole."""
    with Client(carpool.address) as client:
        try:
            return client.get(url).status, True
        except (Truncated, Closed, Reset, Malformed):
            head = bytes(client.received[9:12])
            return int(head) if head else None, False


def hostile(stage, serve, config=None):
    stage.allow_origin_failures = True
    return stage.origin(serve=serve), stage.carpool(config or {})


def ask_all_the_while(carpool, ordinary, url, expected):
    """Asks this again and again beside the ordinary client; every outcome must be an expected one."""
    client, seen = ordinary(carpool), set()
    client.goes_on(lambda: seen.add(outcome(carpool, url)), 1)
    assert seen and seen <= expected, seen


def test_interim_flood(stage, ordinary):
    """interim responses without end: 502 behind the sixteenth"""
    origin, carpool = hostile(stage, endless(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5,
                                             b"HTTP/1.1 102 Processing\r\n\r\n" * 10))
    ask_all_the_while(carpool, ordinary, origin.url(), {(103, False), (502, True)})
    with Client(carpool.address) as client:
        response = client.ask(origin.url()).response()
        assert response.status == 502 and response.error == "http_protocol_error" and len(response.interim) <= 16


def test_endless_head(stage, ordinary):
    """a response head without end"""
    for pieces in ((b"HTTP/1.1 200 OK\r\n", b"A: " + b"b" * 1000 + b"\r\n"), (b"HTTP/1.1 200 ", b"x" * 4096)):
        origin, carpool = hostile(stage, endless(*pieces))
        ask_all_the_while(carpool, ordinary, origin.url(), {(502, True)})
        carpool.wait_row(origin, sockets=0)


def test_endless_chunk_extensions_and_trailers(stage, ordinary):
    """framing without end: the response is cut, the socket closed"""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for pieces in ((head + b"1;a=", b"b" * 8192), (head + b"0\r\n", b"X: " + b"y" * 800 + b"\r\n"),
                   (head, b"1;a=b\r\nx\r\n" * 100)):
        origin, carpool = hostile(stage, endless(*pieces))
        ask_all_the_while(carpool, ordinary, origin.url(), {(200, False), (502, True)})
        carpool.wait_row(origin, sockets=0)


def test_silence(stage, ordinary):
    """an origin that accepts and never answers holds its own places only: 504, or 503 in the queue"""
    over = threading.Event()
    origin, carpool = hostile(stage, lambda connection: connection.fill() and over.wait(60),
                              {"defaults": {"maxSockets": 20, "timeouts": {"socket": "6s", "pending": "1s"}}})
    client = ordinary(carpool)
    with Swarm(carpool.address, 200, request("GET", origin.url())) as swarm:
        client.goes_on(swarm.poll)
        swarm.wait_answered()
        assert swarm.statuses() == {503: 180, 504: 20}, swarm.statuses()
    assert carpool.retired(origin).get("socket-timeout") == 20
    over.set()


def test_trickle(stage, ordinary):
    """an origin that sends a byte now and then never is silent: timeouts.request ends it, and the client sees it cut"""
    def serve(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        connection.send_slowly(b"x" * 1000, 0.3)
    origin, carpool = hostile(stage, serve, {"defaults": {"timeouts": {"socket": "3s", "request": "5s"}}})
    client = ordinary(carpool)
    with Swarm(carpool.address, 50, request("GET", origin.url())) as swarm:
        client.goes_on(swarm.poll)
        swarm.wait_ended()
        assert swarm.statuses() == {200: 50}
        assert all(got.count(b"x") < 100 for got in swarm.answers.values())
    assert carpool.retired(origin).get("request-timeout") == 50


def test_answers_before_the_request(stage, ordinary):
    """an origin that answers unasked, at once and behind each answer, can only mislead those who ask it: what comes with
    an answer, or while nothing was asked, retires the socket and reaches nobody"""
    def serve(connection):
        connection.send(answer(b"early"))
        for _ in range(3):
            connection.read_request()
            connection.send(OK + answer(b"poison"))
    origin, carpool = hostile(stage, serve)
    client, seen = ordinary(carpool), set()

    def step():
        with Client(carpool.address) as asker:
            for _ in range(3):
                response = asker.get(origin.url())
                seen.add((response.status, response.body if response.status == 200 else b""))
    client.goes_on(step, 1)
    # The early answer may come first on a new connection, and is then what that origin says to its first request.
    assert seen <= {(200, b"ok"), (200, b"early"), (502, b"")}, seen
    carpool.wait_row(origin, sockets=0)
    assert carpool.retired(origin).get("unexpected-data")


def test_rude_ends(stage, ordinary):
    """resets and ends at accept, before an answer, inside a head and inside a body"""
    def serve(connection):
        ends = (connection.close, connection.reset)[connection.number // 4 % 2]
        if connection.number % 4 == 0:
            ends()
        connection.read_request()
        connection.send((b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")[connection.number % 4 - 1])
        ends()
    origin, carpool = hostile(stage, serve)
    ask_all_the_while(carpool, ordinary, origin.url(), {(502, True), (200, False), (None, False)})
    carpool.wait_row(origin, sockets=0, requests=0)


def test_flood_of_tiny_chunks(stage, ordinary):
    """bodies of one byte a chunk from many origins' sockets at once"""
    origin, carpool = hostile(stage, endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                             b"1\r\nx\r\n" * 2000))
    client, memory = ordinary(carpool), carpool.resident()
    with Swarm(carpool.address, 4, request("GET", origin.url())) as swarm:
        def step():
            swarm.poll(0.01)
            for got in swarm.answers.values():
                del got[100:]
        client.goes_on(step)
    carpool.wait_row(origin, sockets=0)
    assert carpool.sanitized or carpool.resident() - memory < 8 << 20


def test_origin_that_takes_nothing(stage, ordinary):
    """uploads to an origin that reads nothing: bounded memory, timeouts.socket ends them"""
    over = threading.Event()
    origin, carpool = hostile(stage, lambda connection: over.wait(60),
                              {"defaults": {"timeouts": {"socket": "2s"}}})
    client, memory = ordinary(carpool), carpool.resident()
    head = request("PUT", origin.url(), fields=[("Content-Length", 1 << 30)])
    with Swarm(carpool.address, 50, head) as swarm:
        more = b"u" * 65536
        client.goes_on(lambda: (swarm.send(more), swarm.poll(0.01)), 1)
        assert carpool.sanitized or carpool.resident() - memory < 50 * (256 << 10)
        wait_until(lambda: carpool.retired(origin).get("socket-timeout", 0) == 50, lambda: carpool.row(origin))
    over.set()
