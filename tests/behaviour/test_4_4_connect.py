"""Section 4.4: CONNECT opens a tunnel by the matching upstream's limits, queue, timeouts and `address`."""

import select

import pytest

from .harness import PATIENCE, soon, stays, wait_until
from .harness.client import request
from .harness.tls import secure, tls_origin


def echo_bytes(connection):
    """Sends back what comes; a FIN is answered by one."""
    while connection.fill():
        connection.send(connection.exactly(len(connection.left())))


def silent(connection):
    while connection.fill():
        pass


def echo_origin(stage, serve=echo_bytes, **how):
    return stage.origin(serve=serve, **how)


def config(origin, extra=None, **defaults):
    return {"access": {"connectPorts": [origin.port], **(extra or {})}, "defaults": defaults}


def tunnel(carpool, origin, early=b""):
    """A client whose tunnel is open."""
    client = carpool.client()
    client.send(request("CONNECT", origin.authority) + early)
    head = client.read_response_head()
    assert head.status == 200
    return client


def key(origin):
    return f"tunnel://{origin.authority}"


def refusal(carpool, target, status, error):
    client = carpool.client()
    response = client.raw(request("CONNECT", target), "CONNECT-REFUSED")
    assert (response.status, response.error) == (status, error), response.text
    client.expect_end()     # a refused CONNECT closes the client's connection
    return response


def test_the_answer_has_no_framing(stage):
    """`200` with no framing fields"""
    origin = echo_origin(stage)
    client = stage.carpool(config(origin)).client()
    client.send(request("CONNECT", origin.authority))
    head = client.read_response_head()
    assert head.status == 200
    assert not {"content-length", "transfer-encoding", "connection", "keep-alive"} & set(head.fields.names())
    client.send(b"hello")
    assert client.exactly(5) == b"hello"


@pytest.mark.parametrize("target", ["127.0.0.1:22", "127.0.0.1:81", "[::1]:25"])
def test_ports(stage, target):
    """ports CONNECT may reach; others 403"""
    response = refusal(stage.carpool(), target, 403, "http_request_denied")
    assert "access.connectPorts" in response.text


@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "http://127.0.0.1:443/", "/", "*"])
def test_a_malformed_target(stage, target):
    refusal(stage.carpool(), target, 400, "http_request_error")


def test_denied_addresses(stage):
    """addresses by `denyAddresses` after resolution"""
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin, {"denyAddresses": ["127.0.0.0/8", "::1/128"]}))
    refusal(carpool, origin.authority, 502, "destination_ip_prohibited")
    refusal(carpool, f"localhost:{origin.port}", 502, "destination_ip_prohibited")
    refusal(carpool, f"[::ffff:127.0.0.1]:{origin.port}", 502, "destination_ip_prohibited")
    assert origin.accepted == 0


def test_refused(stage):
    with stage.ports.refused() as sock:
        port = sock.getsockname()[1]
        refusal(stage.carpool({"access": {"connectPorts": [port]}}), f"127.0.0.1:{port}", 502, "connection_refused")


def test_early_bytes(stage):
    """bytes sent early by the client are passed on"""
    origin = echo_origin(stage)
    client = tunnel(stage.carpool(config(origin)), origin, b"early bird")
    assert client.exactly(10) == b"early bird"


def test_early_bytes_of_a_refused_tunnel_are_no_request(stage):
    carpool = stage.carpool()
    client = carpool.client()
    client.send(request("CONNECT", "127.0.0.1:22") + request("GET", "http://127.0.0.1:1/"))
    assert client.read_response("GET").status == 403
    client.expect_end()


def test_a_server_that_speaks_first(stage):
    def serve(connection):
        connection.send(b"220 hello\r\n")
        echo_bytes(connection)
    origin = echo_origin(stage, serve)
    assert tunnel(stage.carpool(config(origin)), origin).exactly(11) == b"220 hello\r\n"


@pytest.mark.parametrize("first", ["client", "origin"])
def test_half_close(stage, first):
    """half-close each way"""
    def serve(connection):
        silent(connection)
        if first == "client":
            connection.send(b"later")
    origin = echo_origin(stage, serve)
    carpool = stage.carpool(config(origin))
    client = tunnel(carpool, origin)
    origin.wait_accepted(1)
    connection = origin.connections[0]
    if first == "client":
        client.fin()
        connection.wait_ended("fin")
        assert client.exactly(5) == b"later"
        client.expect_end()
    else:
        connection.fin()
        assert not client.fill()
        client.send(b"later")
        wait_until(lambda: connection.left() == b"later", "the bytes behind the half-close arrive")
        client.fin()
        connection.wait_ended("fin")
    wait_until(lambda: carpool.retired(key(origin)) == {"upgraded": 1}, "a closed tunnel counts as `upgraded`")
    assert carpool.row(key(origin))["sockets"] == 0


def test_a_reset_of_the_client_ends_it(stage):
    origin = echo_origin(stage, silent)
    carpool = stage.carpool(config(origin))
    client = tunnel(carpool, origin)
    origin.wait_accepted(1)
    client.reset()
    origin.connections[0].wait_ended()
    carpool.wait_row(key(origin), sockets=0)


@pytest.mark.parametrize("how", ["reset", "fin and reset"])
def test_the_last_words_of_an_origin_that_listens_no_more(stage, how):
    """What one side has sent is delivered though the other side has gone"""
    words = b"w" * 20000

    def serve(connection):
        while len(connection.received) < 300000:
            connection.fill()
        connection.send(words)
        if how != "reset":
            connection.fin()
        connection.close()      # with bytes that were never read
    origin = echo_origin(stage, serve)
    carpool = stage.carpool(config(origin))
    for _ in range(5):
        client = tunnel(carpool, origin)
        thread = client.talk_on()
        assert client.how_it_ends()[0] == words
        client.reset()
        thread.join(PATIENCE)
    carpool.wait_row(key(origin), sockets=0)


def test_the_last_words_of_a_client_that_listens_no_more(stage):
    words, heard = b"w" * 20000, []

    def serve(connection):
        thread = connection.talk_on()
        heard.append(connection.how_it_ends())
        thread.join(PATIENCE)
    origin = echo_origin(stage, serve)
    stage.allow_origin_failures = True
    carpool = stage.carpool(config(origin))
    for number in range(5):
        client = tunnel(carpool, origin)
        client.exactly(300000)
        client.send(words)
        client.close()          # with bytes that were never read
        wait_until(lambda number=number: len(heard) > number, "the origin sees the end")
        assert heard[number][0] == words


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_an_end_of_the_origin_is_passed_on_as_what_it_is(stage, how):
    """a reset goes on as a reset, not as an end"""
    origin = echo_origin(stage, silent)
    client = tunnel(stage.carpool(config(origin)), origin)
    origin.wait_accepted(1)
    connection = origin.connections[0]
    connection.send(b"words")
    assert client.exactly(5) == b"words"    # a reset would throw away what is on the way
    connection.reset() if how == "reset" else connection.close()
    assert client.how_it_ends() == (b"", how)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_an_end_of_the_client_is_passed_on_as_what_it_is(stage, how):
    origin = echo_origin(stage, silent)
    client = tunnel(stage.carpool(config(origin)), origin)
    origin.wait_accepted(1)
    connection = origin.connections[0]
    client.send(b"words")
    wait_until(lambda: connection.left() == b"words", "the words arrive")
    client.reset() if how == "reset" else client.close()
    connection.wait_ended(how)


def was_reset(client):
    """As the kernel knows it; nothing is read."""
    poller = select.poll()
    poller.register(client.sock, 0)
    return bool(poller.poll(0))


def test_a_reset_waits_for_a_slow_reader(stage):
    """behind all that was sent, though the reader takes its time"""
    body = b"d" * (2 << 20)
    gone = []

    def serve(connection):
        connection.fill()
        connection.send(body)
        gone.append(True)
        wait_until(lambda: len(gone) > 1, "the test lets go")
        connection.reset()
    origin = echo_origin(stage, serve)
    carpool = stage.carpool(config(origin))
    client = carpool.client(receive_buffer=65536)
    client.send(request("CONNECT", origin.authority))
    assert client.read_response_head().status == 200
    client.send(b"x")
    wait_until(lambda: gone, "all is in the origin's kernel")
    taken = 0
    # What has not left the origin's kernel is dropped at a reset.
    while not soon(lambda: not origin.connections[0].unsent(), 0.3):
        taken += len(client.exactly(1 << 16))
    gone.append(True)
    carpool.wait_row(key(origin), sockets=0)
    stays(lambda: not was_reset(client), "a hasty reset would overtake what was sent")
    assert taken < len(body)
    assert client.how_it_ends() == (body[taken:], "reset")


def test_idle_timeout(stage):
    """tunnel: no byte either way"""
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin, timeouts={"tunnel": "2s"}))
    client = tunnel(carpool, origin)
    for _ in range(5):      # bytes keep it alive
        assert not client.closed_by_peer(0.5)
        client.send(b".")
        assert client.exactly(1) == b"."
    client.expect_end()
    origin.connections[0].wait_ended()


def test_other_timeouts_do_not_hold(stage):
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin, timeouts={"socket": "1s", "request": "1s", "free": "1s"}))
    client = tunnel(carpool, origin)
    assert not client.closed_by_peer(1.5)
    client.send(b"x")
    assert client.exactly(1) == b"x"


def test_request_bounds_its_making(stage):
    """by the matching upstream's limits, queue, timeouts; request: head received to last response byte, waiting included -> 504"""
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin, maxSockets=1, timeouts={"request": "300ms"}))
    first, second = tunnel(carpool, origin), carpool.client()
    second.send(request("CONNECT", origin.authority))
    response = second.response("CONNECT")
    assert response.status == 504 and "http_response_timeout" in response.fields.get("Proxy-Status")
    assert b"timeouts.request" in response.body
    second.expect_end()
    first.send(b"x")
    assert first.exactly(1) == b"x"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_back_pressure(stage, direction):
    """a slow reader slows the writer, whatever the size"""
    gate = []

    def serve(connection):
        if direction == "down":
            connection.send(b"d" * (64 << 20))
        else:
            wait_until(lambda: gate, "the test lets go", 30)
            silent(connection)
    origin = echo_origin(stage, serve)
    stage.allow_origin_failures = True
    carpool = stage.carpool(config(origin))
    client = tunnel(carpool, origin)
    before = carpool.resident()
    if direction == "up":
        assert client.send_until_blocked(bytes(64 << 20), 0.5) < 64 << 20
    stays(lambda: carpool.sanitized or carpool.resident() - before < 4 << 20, "memory is bounded", 0.5)
    gate.append(True)


def test_limits_and_queue(stage):
    """counted per agent as tunnels under `maxSockets`/`maxTotalSockets` with queueing like any request"""
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin, maxSockets=1, maxPendingRequests=1))
    first = tunnel(carpool, origin)
    second = carpool.client()
    second.send(request("CONNECT", origin.authority))
    carpool.wait_row(key(origin), sockets=1, requests=1)
    assert not second.answered()
    refusal(carpool, origin.authority, 503, "connection_limit_reached")
    first.close()
    assert second.read_response_head().status == 200
    second.send(b"mine")
    assert second.exactly(4) == b"mine"
    row = carpool.row(key(origin))
    assert (row["sockets"], row["socketsOpened"], row["reusedTotal"], row["maxSockets"]) == (1, 2, 0, 1)


def test_pending_timeout(stage):
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin, maxSockets=1, timeouts={"pending": "200ms"}))
    assert tunnel(carpool, origin)
    refusal(carpool, origin.authority, 503, "connection_limit_reached")


def test_tunnels_take_places_of_max_total_sockets(stage):
    origin, plain = echo_origin(stage), stage.origin()
    carpool = stage.carpool(config(origin, maxTotalSockets=1))
    client = tunnel(carpool, origin)
    waiting = carpool.ask(plain.url("/"))
    carpool.wait_row(plain, requests=1)
    client.close()
    assert waiting.response().status == 200


def test_tunnels_are_never_shared(stage):
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin))
    for number in range(3):
        client = tunnel(carpool, origin)
        origin.wait_accepted(number + 1)
        client.close()
    row = carpool.wait_row(key(origin), sockets=0, freeSockets=0)
    assert (row["requestsTotal"], row["socketsOpened"], row["reusedTotal"]) == (3, 3, 0)
    assert origin.accepted == 3


def test_address_but_not_tls(stage):
    """by the matching upstream's [...] `address` (not its `tls`)"""
    origin = echo_origin(stage)
    carpool = stage.carpool(secure(match="api.test", address=[origin.authority]))
    client = carpool.client()
    client.send(request("CONNECT", "api.test:443"))
    assert client.read_response_head().status == 200
    client.send(b"plain")
    assert client.exactly(5) == b"plain"
    assert carpool.row("tunnel://api.test:443", "api")["sockets"] == 1


def test_the_info_line(stage):
    """A tunnel says once at info level that it cannot be pooled and which option would"""
    origin = echo_origin(stage)
    carpool = stage.carpool(config(origin))
    client = tunnel(carpool, origin)
    client.send(b"x")
    assert client.exactly(1) == b"x"
    lines = [line for line in carpool.stderr.splitlines() if "cannot be pooled" in line]
    assert len(lines) == 1 and "level=info" in lines[0]
    assert "tls: true" in lines[0] and "http://" in lines[0] and key(origin) in lines[0]


def test_a_stop_cuts_idle_tunnels(stage):
    """8: idle tunnels are cut at once"""
    origin = echo_origin(stage)
    carpool = stage.carpool({**config(origin), "shutdownTimeout": "30s"})
    client = tunnel(carpool, origin)
    carpool.ends_itself()
    carpool.process.terminate()
    assert carpool.wait() == 0
    assert client.closed_by_peer(PATIENCE)


def test_a_dozen_megabytes_of_tls_through_a_tunnel(stage):
    """What apps do with it: TLS from end to end."""
    import ssl     # pylint: disable=import-outside-toplevel
    from .harness.certificates import certificates      # pylint: disable=import-outside-toplevel
    body = bytes(range(256)) * 4096 * 12
    origin = tls_origin(stage)
    client = tunnel(stage.carpool(config(origin)), origin)
    context = ssl.create_default_context(cafile=certificates().ca.pem)
    with context.wrap_socket(client.sock, server_hostname="127.0.0.1") as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        sock.sendall(body)
        got = b""
        while len(got) < len(body):
            got += sock.recv(1 << 16)
        assert got.partition(b"\r\n\r\n")[2] == body[:len(got.partition(b"\r\n\r\n")[2])]
