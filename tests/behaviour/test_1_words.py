"""Section 1: what the words mean, seen at the origin."""


from .harness import stays, wait_until


def test_two_names_are_two_origins(stage):
    """origin: scheme + host + port [...]: the key that decides whether a socket fits a request. `localhost`
    and `127.0.0.1` are two origins"""
    origin = stage.origin()
    carpool = stage.carpool()
    by_name = f"http://localhost:{origin.port}"
    for _ in range(2):
        assert carpool.get(origin.url("/")).status == 200
        assert carpool.get(by_name + "/").status == 200
    assert origin.accepted == 2
    assert [len(each.requests) for each in origin.connections] == [2, 2]
    carpool.wait_row(origin.key, freeSockets=1, requestsTotal=2)
    carpool.wait_row(by_name, freeSockets=1, requestsTotal=2)


def test_two_ports_are_two_origins(stage):
    """origin: scheme + host + port"""
    first, second = stage.origin(), stage.origin()
    carpool = stage.carpool()
    for origin in (first, second, first, second):
        assert carpool.get(origin.url("/")).status == 200
    assert (first.accepted, second.accepted) == (1, 1)


def test_a_host_is_compared_without_case(stage):
    """origin: scheme + host + port: hosts and schemes know no case (RFC 3986)"""
    origin = stage.origin()
    carpool = stage.carpool()
    for url in ("http://localhost", "HTTP://LocalHost", "http://LOCALHOST"):
        assert carpool.get(f"{url}:{origin.port}/").status == 200
    assert origin.accepted == 1
    carpool.wait_row(f"http://localhost:{origin.port}", requestsTotal=3)


def test_an_agent_owns_its_sockets(stage):
    """agent: the pool policy of one upstream entry, and the sockets it owns"""
    origin = stage.origin()
    first, second = stage.ports.take(), stage.ports.take()
    carpool = stage.carpool({"upstreams": {
        "one": {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{first}"]},
        "two": {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{second}"]}}})
    for port in (first, second, first, second):
        with carpool.client(("127.0.0.1", port)) as client:
            assert client.get("/", host="localhost").status == 200
    assert origin.accepted == 2
    for agent in ("one", "two"):
        carpool.wait_row("http://api.test:80", agent, freeSockets=1, requestsTotal=2, socketsOpened=1)


def test_the_local_address_is_part_of_the_key(stage):
    """origin: scheme + host + port (+ localAddress, family, TLS identity)"""
    origin = stage.origin()
    ports = {name: stage.ports.take() for name in ("one", "two")}
    sources = {"one": "127.0.0.7", "two": "127.0.0.8"}
    carpool = stage.carpool({"upstreams": {
        name: {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{port}"],
               "localAddress": sources[name]} for name, port in ports.items()}})
    for port in ports.values():
        with carpool.client(("127.0.0.1", port)) as client:
            assert client.get("/", host="localhost").status == 200
    assert [each.peer[0] for each in origin.connections] == ["127.0.0.7", "127.0.0.8"]


def test_a_socket_is_connecting_active_or_free(stage):
    """socket: one connection from an agent to an origin: connecting, active (carrying an exchange) or free
    (idle, reusable)"""
    origin = stage.origin(manual=True, backlog=0)
    carpool = stage.carpool()
    client = carpool.ask(origin.url("/"))
    request = origin.take()
    carpool.wait_row(origin, connecting=0, sockets=1, freeSockets=0)
    request.connection.reply()
    client.response()
    carpool.wait_row(origin, connecting=0, sockets=0, freeSockets=1)
    active = carpool.ask(origin.url("/"))
    request = origin.take()
    origin.stall()
    carpool.ask(origin.url("/"))
    carpool.wait_row(origin, connecting=1, sockets=1, freeSockets=0)
    request.connection.reply()
    active.response()


def test_connecting_and_pending_requests(stage):
    """With k sockets connecting, the k oldest of an origin are *connecting*, the rest are *pending* (a limit
    holds them). Only pending ones count in `requests`"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(maxSockets=2)
    for _ in range(5):
        carpool.ask(origin.url("/"))
    carpool.wait_row(origin, connecting=2, requests=3, sockets=0)


def test_only_pending_requests_fill_the_queue(stage):
    """Only pending ones count in [...] `maxPendingRequests`"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(maxSockets=2, maxPendingRequests=1)
    waiting = [carpool.ask(origin.url("/")) for _ in range(2)]
    carpool.wait_row(origin, connecting=2, requests=0)
    waiting.append(carpool.ask(origin.url("/")))
    carpool.wait_row(origin, connecting=2, requests=1)
    refused = carpool.get(origin.url("/"))
    assert refused.status == 503 and refused.error == "connection_limit_reached"
    assert not any(client.answered() for client in waiting)


def test_only_pending_requests_run_into_the_pending_timeout(stage):
    """Only pending ones count in [...] `timeouts.pending`"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.pooled(maxSockets=1, timeouts={"pending": "300ms", "connect": "20s"})
    connecting = carpool.ask(origin.url("/"))
    carpool.wait_row(origin, connecting=1)
    pending = carpool.ask(origin.url("/")).response()
    assert pending.status == 503 and pending.error == "connection_limit_reached"
    assert not connecting.closed_by_peer(0.3) and not connecting.answered()
    carpool.wait_row(origin, connecting=1, requests=0)


def test_an_exchange_ends_with_the_final_response(stage):
    """exchange: one request and its final response: an interim one does not end it"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    first = carpool.ask(origin.url("/1"))
    request = origin.take()
    second = carpool.ask(origin.url("/2"))
    carpool.wait_row(origin, requests=1, sockets=1)
    request.connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    wait_until(first.answered, "the interim response reaches the client")
    stays(lambda: origin.idle() and carpool.row(origin)["requests"] == 1, "the second request waits")
    request.connection.reply(b"one")
    assert first.response().text == "one"
    origin.take().connection.reply(b"two")
    assert second.response().text == "two"
    assert origin.accepted == 1
