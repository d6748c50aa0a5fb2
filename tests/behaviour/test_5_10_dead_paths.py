"""Section 5.10: peers that are gone without FIN or RST, and those that only seem to be."""


import pytest

from .harness import stays, wait_until
from .harness.client import request
from .harness.network import Network
from .harness.origin import answer

FIRST, SECOND = Network.far_addresses


@pytest.fixture
def network():
    network = Network()
    yield network
    network.close()


def where(asked):
    return answer(asked.connection.origin.host.encode())


def two(stage, network, **defaults):
    """A daemon, and an upstream with two addresses: the one that its free connection leads to, and the other."""
    with network.far():
        origins = [stage.origin(where, host=FIRST)]
        origins.append(stage.origin(where, host=SECOND, port=origins[0].port))
    carpool = stage.carpool({"upstreams": {"u": {"match": "u.test", "address": [o.authority for o in origins]}},
                             "defaults": defaults})
    used = carpool.get("http://u.test/warm").body.decode()
    carpool.wait_row("http://u.test:80", "u", freeSockets=1)
    return carpool, *sorted(origins, key=lambda origin: origin.host != used)


@pytest.mark.parametrize("method, fields", [("GET", ()), ("PUT", ()), ("POST", [("Idempotency-Key", "1")])])
@pytest.mark.parametrize("ack", ["10s", "off"])
def test_repeated_soon(network, stage, method, fields, ack):
    """An idempotent request on a reused socket is repeated sooner: where nothing of it was acknowledged after 1 s and
    two retransmissions, 5.6 takes it as stale then (ETIMEDOUT), whatever `ack` says."""
    carpool, dead, other = two(stage, network, timeouts={"ack": ack, "socket": "5m"})
    network.lose(dead.host)
    response = carpool.get("http://u.test/x", method=method, body=b"x" if method != "GET" else b"", fields=fields)
    assert response.status == 200 and response.body == other.host.encode()
    assert other.targets == ["/x"] and "/x" not in dead.targets
    row = carpool.row("http://u.test:80", "u")
    assert row["reusedSocketErrors"] == {"ETIMEDOUT": 1} and row["retiredTotal"] == {"error": 1}
    assert row["retriesTotal"] == 1 and "code=ETIMEDOUT" in carpool.stderr


def test_never_sent_twice(network, stage):
    """otherwise 504 `connection_timeout`, retired as `error`"""
    carpool, dead, other = two(stage, network, timeouts={"ack": "1s", "socket": "5m"})
    network.lose(dead.host)
    response = carpool.get("http://u.test/x", method="POST", body=b"once")
    assert response.status == 504 and response.error == "connection_timeout"
    assert "Idempotency-Key" in response.text and "acknowledged" in response.text
    assert other.targets == []
    assert carpool.retired("http://u.test:80", "u") == {"error": 1}


def test_a_response_is_cut(network, stage):
    """behind a response head it is a cut"""
    def respond(asked):
        asked.connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    with network.far():
        origin = stage.origin(respond, host=FIRST)
    carpool = stage.pooled(timeouts={"ack": "1s", "socket": "5m"})
    client = carpool.ask(origin.url("/"))
    assert client.read_response_head().status == 200
    network.lose(FIRST)
    wait_until(client.closed_by_peer, "the client is cut")
    carpool.wait_retired(origin, "error")
    assert sum(carpool.row(origin)["errors"].values()) == 1


def test_a_tunnel_ends(network, stage):
    """tunnels end, too"""
    def serve(connection):
        connection.send(b"hello")
    with network.far():
        origin = stage.origin(serve=serve, host=FIRST)
    carpool = stage.carpool({"access": {"connectPorts": [origin.port]},
                             "defaults": {"timeouts": {"ack": "1s"}}})
    client = carpool.client()
    client.send(request("CONNECT", origin.authority, origin.authority))
    assert client.read_response_head().status == 200
    assert client.exactly(5) == b"hello"
    network.lose(FIRST)
    client.send(b"anybody?")
    wait_until(client.closed_by_peer, "the tunnel ends")


def test_free_ones_are_dead(network, stage):
    """Free sockets are probed by TCP keep-alive every `keepAliveMsecs`; three in a row without answer retire them,
    `dead`."""
    carpool, dead, _ = two(stage, network, timeouts={"free": "off"})
    network.lose(dead.host)
    carpool.wait_retired("http://u.test:80", "dead", agent="u")
    assert carpool.get("http://u.test/x").status == 200
    assert carpool.row("http://u.test:80", "u")["openedFor"] == {"first": 1, "dead": 1}


def test_siblings_are_doubted(network, stage):
    """Free sockets of the same origin and address that are older than that are not used until the peer acknowledged a
    keep-alive probe."""
    with network.far():
        origin = stage.origin(host=FIRST, manual=True)
    carpool = stage.pooled(keepAliveMsecs="5m", timeouts={"free": "off", "ack": "off", "socket": "5m"})
    clients = [carpool.ask(origin.url("/")) for _ in range(3)]
    for asked in [origin.take() for _ in clients]:
        asked.connection.reply()
    carpool.wait_row(origin, freeSockets=3)
    network.lose(FIRST)
    lost = carpool.ask(origin.url("/lost"), method="POST", body=b"x")
    wait_until(lambda: "free connections are not used" in carpool.stderr, "it is seen")
    late = carpool.ask(origin.url("/late"), method="POST", body=b"x")
    carpool.wait_row(origin, connecting=1)      # though two are free
    network.mend(FIRST)
    for _ in range(2):
        origin.take().connection.reply()
    assert [client.response().status for client in (lost, late)] == [200, 200]


# What is not dead

def patient(stage, network, respond, **timeouts):
    with network.far():
        origin = stage.origin(respond, host=FIRST)
    carpool = stage.pooled(timeouts={"socket": "5m", **timeouts})
    assert carpool.get(origin.url("/warm")).status == 200
    carpool.wait_row(origin, freeSockets=1)
    return carpool, origin


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slow_origin(network, stage, method):
    """a slow origin acknowledges: nobody is dead"""
    def respond(asked):
        assert asked.target != "/slow" or asked.connection.silent(3)
        return answer()
    carpool, origin = patient(stage, network, respond, ack="500ms")
    assert carpool.get(origin.url("/slow"), method=method, body=b"x" if method == "POST" else b"").status == 200
    assert origin.targets == ["/warm", "/slow"] and origin.accepted == 1


def test_a_closed_window(network, stage):
    """it is measured (TCP_INFO), since TCP_USER_TIMEOUT would also end a peer whose window is closed"""
    read = []

    def serve(connection):
        while True:
            asked = connection.read_request_head()
            connection.note(asked)
            if asked.target == "/large":
                stays(lambda: connection.is_open, "Carpool waits for one that reads nothing", 4)
                read.append(connection.number)
            connection.read_body(asked)
            connection.send(answer())
    with network.far():
        origin = stage.origin(serve=serve, host=FIRST)
    carpool = stage.pooled(timeouts={"ack": "1s", "socket": "5m"})
    carpool.get(origin.url("/warm"))
    carpool.wait_row(origin, freeSockets=1)
    body = bytes(16 << 20)
    assert carpool.get(origin.url("/large"), method="PUT", body=body).status == 200
    assert read == [0] and origin.accepted == 1


def test_a_short_outage(network, stage):
    """what was not acknowledged for a moment is sent again by the kernel, once it can be"""
    carpool, origin = patient(stage, network, None, ack="5m")
    network.lose(FIRST)
    asked = carpool.ask(origin.url("/x"), method="POST", body=b"once")
    stays(lambda: not asked.answered(), "it waits for the path", 2)
    network.mend(FIRST)
    assert asked.response().status == 200
    assert origin.targets == ["/warm", "/x"] and origin.accepted == 1


def test_connecting_is_another_matter(network, stage):
    """it bounds neither connecting"""
    with network.far():
        origin = stage.origin(host=FIRST)
    carpool = stage.pooled(timeouts={"ack": "500ms", "connect": "5m"})
    network.lose(FIRST)
    asked = carpool.ask(origin.url("/"))
    stays(lambda: not asked.answered(), "it waits for the path", 2)
    network.mend(FIRST)
    assert asked.response().status == 200


@pytest.mark.parametrize("value, why", [("499ms", "at least 500ms"), ("400d", "at most")])
def test_values(stage, value, why):
    """`timeouts.ack` (10s; 500ms and more; off)"""
    refused = stage.check({"defaults": {"timeouts": {"ack": value}}})
    assert refused.returncode == 1 and "defaults.timeouts.ack" in refused.stderr and why in refused.stderr
    for good in ("500ms", "off", "0"):
        assert stage.check({"defaults": {"timeouts": {"ack": good}}}).returncode == 0
