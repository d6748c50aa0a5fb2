"""Sections 3, 4.1 and 4.7: TLS to the upstream is shared by short-lived clients, whatever way they came in."""

import ssl

import pytest

from .harness import PATIENCE
from .harness.certificates import certificates
from .harness.client import request
from .harness.tls import V12, V13, https_key, secure, server_context, tls_origin


def content(path):
    with open(path, encoding="ascii") as file:
        return file.read()


@pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_200_one_shot_requests_make_1_handshake(stage, method, versions):
    """4.9: A request made of short-lived connections is the normal case: pooling is on by default for the first
    request of a connection and for every method, POST included."""
    origin = tls_origin(stage, versions=versions)
    carpool = stage.carpool(secure())
    for number in range(200):
        body = b"%d" % number if method == "POST" else b""
        response = carpool.get(origin.url(f"/{number}"), method=method, body=body)
        assert (response.status, response.body) == (200, body or b"ok")
    assert (origin.accepted, origin.tls.full, origin.tls.resumed, len(origin.tls.hellos)) == (1, 1, 0, 1)
    row = carpool.row(https_key(origin), "api")
    assert (row["socketsOpened"], row["reusedTotal"], row["requestsTotal"]) == (1, 199, 200)
    assert row["tlsHandshakes"] == {"full": 1, "resumed": 0}


@pytest.mark.parametrize("says, error", [(b"220 hello\r\n", "http_protocol_error"), (b"", "connection_terminated")],
                         ids=["data", "close_notify"])
def test_what_came_with_the_handshake_is_the_requests(stage, says, error):
    """8: never spins: an origin that says something, or closes, with its last message of the handshake is asked once"""
    def serve(connection):
        connection.sock.settimeout(PATIENCE)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = server_context(versions=(V12,)).wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sock.sendall(outgoing.read())
                incoming.write(connection.sock.recv(65536))
        try:
            tls.write(says) if says else tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        connection.sock.sendall(outgoing.read())
        while connection.sock.recv(65536):
            pass
    origin = stage.origin(serve=serve)
    response = stage.carpool(secure()).get(f"https://{origin.authority}/")
    assert (response.status, response.error, origin.accepted) == (502, error, 1)


def test_http_leaves_as_https(stage):
    """tls: true [...] connect by TLS though the app said http://; default port 443. With `tls: true`, port 80
    becomes 443 (and `Host` then has no port) and any other is kept."""
    origin = tls_origin(stage)
    carpool = stage.carpool(secure(match=["api.test", "api.test:8080"], address=[origin.authority]))
    for url in ("http://api.test/a", "http://api.test:80/b", "http://api.test:8080/c"):
        assert carpool.get(url).status == 200
    assert [got.fields.get("Host") for got in origin.requests] == ["api.test", "api.test", "api.test:8080"]
    assert carpool.row("https://api.test:443", "api")["requestsTotal"] == 2
    assert carpool.row("https://api.test:8080", "api")["requestsTotal"] == 1
    assert origin.accepted == 2     # two origins


def test_absolute_form_https_needs_no_upstream(stage):
    """4.1: `https://` ones likewise over TLS. The system's store is what is trusted then."""
    origin = tls_origin(stage)
    carpool = stage.carpool(env={"SSL_CERT_FILE": certificates().ca.pem, "SSL_CERT_DIR": "/nonexistent"})
    for method in ("GET", "POST", "GET"):
        assert carpool.get(f"https://{origin.authority}/x", method=method, body=b"").status == 200
    assert origin.accepted == 1 and origin.targets == ["/x"] * 3
    assert origin.requests[0].fields.get("Host") == origin.authority
    assert carpool.row(https_key(origin))["reusedTotal"] == 2


def test_the_systems_store_is_read_when_tls_is_first_needed(stage):
    """A start does without it; what it holds then is what counts, and a reload reads it again."""
    origin = tls_origin(stage)
    store = stage.write("store.pem", content(certificates().other_ca.pem))
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, env={"SSL_CERT_FILE": store, "SSL_CERT_DIR": "/nonexistent"})
    stage.write("store.pem", content(certificates().ca.pem))
    assert carpool.get(f"https://{origin.authority}/").status == 200
    stage.write("store.pem", content(certificates().other_ca.pem) * 2)
    carpool.reload({})
    assert carpool.get(f"https://{origin.authority}/").error == "tls_certificate_error"


def test_absolute_form_https_of_an_upstream_without_tls(stage):
    """4.1: over a socket of the origin's agent"""
    origin = tls_origin(stage)
    carpool = stage.carpool({"upstreams": {"api": {"match": "127.0.0.1", "maxSockets": 1}}},
                            env={"SSL_CERT_FILE": certificates().ca.pem})
    for _ in range(2):
        assert carpool.get(f"https://{origin.authority}/").status == 200
    row = carpool.row(https_key(origin), "api")
    assert (row["socketsOpened"], row["reusedTotal"], row["maxSockets"]) == (1, 1, 1)


def test_both_schemes_are_one_origin(stage):
    """With `tls: true`, http and https of one host and port are one origin, and share sockets."""
    origin = tls_origin(stage)
    carpool = stage.carpool(secure())
    assert carpool.get(origin.url("/a")).status == 200
    assert carpool.get(f"https://{origin.authority}/b").status == 200
    assert origin.accepted == 1


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_own_listener(stage, way):
    """4.7: An upstream's own `listen` takes origin-form requests from apps that have a base URL but no proxy setting"""
    origin = tls_origin(stage)
    port, path = stage.ports.take(), stage.path("api.sock")
    carpool = stage.carpool(secure(match="api.test", address=[origin.authority],
                                   listen=[f"127.0.0.1:{port}" if way == "tcp" else f"unix:{path}"]))
    for number in range(3):
        with carpool.client(path if way == "unix" else ("127.0.0.1", port)) as client:
            client.send(request("POST", f"/v1/{number}", host="localhost:9001", body=b"b"))
            assert client.response("POST").body == b"b"
    assert origin.accepted == 1 and {got.fields.get("Host") for got in origin.requests} == {"api.test"}
    assert origin.tls.hellos[0].server_name == "api.test"


def test_alpn(stage):
    """ALPN `http/1.1` is offered, and nothing else."""
    origin = tls_origin(stage, protocols=("h2", "http/1.1"))
    assert stage.carpool(secure()).get(origin.url("/")).status == 200
    assert origin.tls.hellos[0].protocols == ["http/1.1"] and origin.tls.sockets[0].alpn == "http/1.1"


def test_a_server_without_alpn_is_fine(stage):
    origin = tls_origin(stage, protocols=())
    assert stage.carpool(secure()).get(origin.url("/")).status == 200


def test_two_identities_never_share_sockets(stage):
    """1: scheme + host + port (+ localAddress, family, TLS identity): the key that decides whether a socket fits"""
    one, two = (certificates().leaf(common_name=name) for name in ("client one", "client two"))
    origin = tls_origin(stage, client_ca=certificates().ca)
    ca = certificates().ca.pem
    entry = lambda pair, port: {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{port}"],  # noqa: E731
                                "tls": {"ca": ca, "cert": pair.cert, "key": pair.key}}
    ports = stage.ports.take(), stage.ports.take()
    carpool = stage.carpool({"upstreams": {"one": entry(one, ports[0]), "two": entry(two, ports[1])}})
    for port in ports * 5:
        with carpool.client(("127.0.0.1", port)) as client:
            assert client.ask("/", host="localhost").response().status == 200
    assert origin.accepted == 2 and origin.tls.full == 2
    assert [len(connection.requests) for connection in origin.connections] == [5, 5]
    assert len({made.client_certificate for made in origin.tls.sockets}) == 2


def test_concurrent_requests_use_a_socket_each(stage):
    """5.1: opens one if `maxSockets` and `maxTotalSockets` allow, else becomes pending"""
    origin = tls_origin(stage, manual=True)
    carpool = stage.carpool(secure(maxSockets=3))
    clients = [carpool.ask(origin.url(f"/{number}")) for number in range(8)]
    carpool.wait_row(https_key(origin), "api", sockets=3, requests=5)
    for _ in clients:
        origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 8
    assert origin.accepted == 3 == origin.max_open
