"""Section 10.1: plain HTTP inside CONNECT is pooled like any other; what the client says first decides."""

import json
import signal
import ssl
import time

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.client import request
from .harness.tls import tls_origin

OTHERS = [b"SSH-2.0-x\r\n", b"GET\r\n\r\n", b"get / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"EHLO a.test\r\n", b"\r\nGET / HTTP/1.1\r\n",
          b"\x16\x03\x01\x00\x05\x02abcd", b"\0\0\0\0", b"GET * HTTP/1.1\r\n"]


def config(stage, origin, connect="pool", ports=(), match="*.web.test", **more):
    upstream = {"match": match, "connect": connect, "address": [origin.authority], **more.pop("upstream", {})}
    return {"access": {"connectPorts": list(ports)}, "upstreams": {"p": upstream},
            "accessLog": {"path": stage.path("access.log"), "format": "json"}, **more}


def entries(stage):
    with open(stage.path("access.log"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def wait_entries(stage, count):
    wait_until(lambda: len(entries(stage)) >= count, lambda: f"{count} lines: {entries(stage)}")
    return entries(stage)


def dial(carpool, target="a.web.test:80", early=b""):
    client = carpool.client()
    client.send(request("CONNECT", target) + early)
    assert client.read_response_head().status == 200
    return client


def inner(path="/", host="a.web.test", method="GET", fields=(), body=b""):
    return request(method, path, host, fields, body)


def refused_inside(carpool, data, status, error="http_request_error"):
    client = dial(carpool)
    response = client.raw(data)
    assert (response.status, response.error) == (status, error), response.text
    client.expect_end()
    return response


def test_one_shot_clients_share(stage):
    """served request by request: pooled, limited, answered like absolute-form"""
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin, connect="tunnel"))
    for number in range(6):
        with dial(carpool) as client:
            assert client.raw(inner(f"/{number}", method="POST" if number % 2 else "GET", body=b"x" * (number % 2))).status == 200
        carpool.wait_row("http://a.web.test:80", "p", sockets=0, freeSockets=1)
    assert carpool.get("http://a.web.test/direct").status == 200
    carpool.wait_row("http://a.web.test:80", "p", requestsTotal=7, socketsOpened=1, reusedTotal=6)
    assert origin.accepted == 1


def test_it_is_logged_like_absolute_form(stage):
    """A CONNECT whose inside is served leaves no access log line and no count of its own"""
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin))
    with dial(carpool, "a.web.test:8080") as client:
        client.raw(inner("/one", "a.web.test:8080"))
        client.raw(inner("/two", "a.web.test:8080"))
    lines = wait_entries(stage, 2)
    assert [(line["method"], line["target"], line["status"], line["agent"]) for line in lines] == [
        ("GET", "http://a.web.test:8080/one", 200, "p"), ("GET", "http://a.web.test:8080/two", 200, "p")]
    metrics = carpool.admin("/metrics").text
    assert 'carpool_client_requests_total{status="200"} 2\n' in metrics


def test_early_bytes_and_pieces(stage):
    """recognised byte by byte, with bytes that came with the CONNECT"""
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin))
    whole = inner("/e")
    for cut in (1, 3, 4, 5, 20, len(whole)):
        with dial(carpool, early=whole[:cut]) as client:
            client.send_slowly(whole[cut:])
            assert client.response().status == 200
    assert origin.targets == ["/e"] * 6


def test_pipelined(stage):
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin))
    client = dial(carpool, early=inner("/1") + inner("/2", method="POST", body=b"two") + inner("/3"))
    assert [client.read_response().status for _ in range(3)] == [200, 200, 200]
    assert origin.targets == ["/1", "/2", "/3"]


@pytest.mark.parametrize("target, host", [("http://a.web.test/x", "a.web.test"), ("HTTP://A.web.TEST:80/x", "A.WEB.test:80"),
                                          ("/x", "A.web.test:80"), ("http://a.web.test/x", "a.web.test:80")])
def test_the_same_authority(stage, target, host):
    """absolute-form for the same is taken"""
    origin = stage.origin()
    client = dial(stage.carpool(config(stage, origin)))
    assert client.raw(request("GET", target, host)).status == 200
    assert origin.targets == ["/x"]


@pytest.mark.parametrize("target, host", [("http://b.web.test/", "b.web.test"), ("/", "b.web.test"), ("/", "a.web.test:81"),
                                          ("http://a.web.test/", "b.web.test"), ("https://a.web.test/", "a.web.test"),
                                          ("http://a.web.test:81/", "a.web.test"), ("/", "")])
def test_another_authority(stage, target, host):
    """another authority there or in Host: 400"""
    origin = stage.origin()
    refused_inside(stage.carpool(config(stage, origin)), request("GET", target, host), 400)
    assert origin.accepted == 0


def test_a_connect_inside(stage):
    """Nested CONNECT: 400 and close"""
    origin = stage.origin()
    response = refused_inside(stage.carpool(config(stage, origin, ports=[443])), request("CONNECT", "a.web.test:443"), 400)
    assert "CONNECT inside" in response.text and origin.accepted == 0


@pytest.mark.parametrize("data, status", [
    (b"GET / HTTP/1.1\r\nHost: a.web.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/2.0\r\nHost: a.web.test\r\n\r\n", 505),
    (b"POST / HTTP/1.1\r\nHost: a.web.test\r\nTransfer-Encoding: gzip\r\n\r\n", 501)])
def test_the_same_strictness(stage, data, status):
    """requests inside pass the same door as all others"""
    origin = stage.origin()
    refused_inside(stage.carpool(config(stage, origin)), data, status)
    assert origin.accepted == 0


def test_the_same_loop_protection(stage):
    origin = stage.origin()
    carpool = stage.carpool({"name": "me", **config(stage, origin)})
    refused_inside(carpool, inner(fields=[("Via", "1.1 me")]), 502, "proxy_loop_detected")


def test_upgrade(stage):
    """Upgrade works as in 4.4"""
    def serve(connection):
        assert connection.read_request().fields.get("upgrade") == "x"
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        connection.send(connection.exactly(4)[::-1])

    client = dial(stage.carpool(config(stage, stage.origin(serve=serve))))
    client.send(inner(fields=[("Connection", "upgrade"), ("Upgrade", "x")]) + b"")
    assert client.read_response_head().status == 101
    client.send(b"abcd")
    assert client.exactly(4) == b"dcba"


@pytest.mark.parametrize("connect, target", [("tunnel", "a.web.test:80"), ("pool", "a.web.test:80"), ("pool", "a.web.test:7777")])
@pytest.mark.parametrize("data", OTHERS[:5])
def test_no_http_where_only_http_may_pass(stage, connect, target, data):
    """closed, logged, access log error `http_request_denied` (status 200)"""
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin, connect=connect))
    client = dial(carpool, target)
    client.send(data)
    client.expect_end()
    line = wait_entries(stage, 1)[0]
    assert (line["method"], line["target"], line["status"], line["error"]) == ("CONNECT", f"tunnel://{target}", 200,
                                                                             "http_request_denied")
    assert origin.accepted == 0 and "is not HTTP" in carpool.stderr


@pytest.mark.parametrize("connect, port", [("tunnel", 80), ("pool", 80), ("pool", 443)])
@pytest.mark.parametrize("data", OTHERS)
def test_anything_else_is_a_tunnel(stage, connect, port, data):
    """anything else is a tunnel where connectPorts allows the port"""
    def serve(connection):
        connection.send(connection.exactly(len(data))[::-1])

    origin = stage.origin(serve=serve)
    carpool = stage.carpool(config(stage, origin, connect=connect, ports=[port]))
    client = dial(carpool, f"a.web.test:{port}", early=data[:2])
    client.send(data[2:])
    assert client.exactly(len(data)) == data[::-1]
    client.fin()
    client.expect_end()
    line = wait_entries(stage, 1)[0]
    assert (line["method"], line["target"], line["status"]) == ("CONNECT", f"tunnel://a.web.test:{port}", 200)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("taken", [{"access": {"connectPorts": []}}, {"access": {"connectPorts": [22], "clients": ["10.0.0.0/8"]}},
                                   {"access": {"connectPorts": [22], "unmatched": "deny"}, "upstreams": {}},
                                   {"defaults": {"connect": "deny"}}, {"callers": "unit", "defaults": {"allow": ["x.service"]}}])
def test_a_right_that_a_reload_takes_away_before_the_tunnel(stage, taken, workers):
    """whether it may have its tunnel is asked when it needs one: a reload may have come since its CONNECT"""
    origin = stage.origin(manual=True)
    entry = {"match": "a.web.test", "address": [origin.authority]}
    carpool = stage.carpool({"access": {"connectPorts": [22]}, "defaults": {"connect": "pool"}, "upstreams": {"p": entry},
                             "workers": workers, "accessLog": {"path": stage.path("access.log"), "format": "json"}})
    client = dial(carpool, "a.web.test:22", early=b"S")     # of anything
    carpool.reload(taken)
    client.send(b"SH-2.0-x\r\n")
    client.expect_end()
    line = wait_entries(stage, 1)[0]
    assert (line["method"], line["target"], line["status"], line["error"]) == ("CONNECT", "tunnel://a.web.test:22", 200,
                                                                             "http_request_denied")
    assert origin.accepted == 0


def test_a_server_that_speaks_first(stage):
    """A client that says nothing for 300 ms where a tunnel is allowed gets its tunnel"""
    def serve(connection):
        connection.send(b"220 hello\r\n")
        connection.send(connection.exactly(3))

    carpool = stage.carpool(config(stage, stage.origin(serve=serve), ports=[25]))
    began = time.monotonic()
    client = dial(carpool, "a.web.test:25")
    assert client.exactly(11) == b"220 hello\r\n" and time.monotonic() - began > 0.29
    client.send(b"GET")
    assert client.exactly(3) == b"GET"


def test_silence_where_no_tunnel_may_be(stage):
    """elsewhere `headersTimeout` ends it (closed without an answer, 408 behind half a request line)"""
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin, server={"headersTimeout": "600ms"}))
    dial(carpool).expect_end()
    for half in (b"GE", b"GET /half"):
        client = dial(carpool, early=half)
        response = client.response()
        assert (response.status, response.error) == (408, "http_request_error")
        client.expect_end()
    assert origin.accepted == 0


def test_a_tunnel_that_cannot_be_made(stage):
    """a tunnel that then cannot be made ends the client's connection with its error in the access log"""
    origin = stage.origin()
    origin.stop_listening()
    carpool = stage.carpool(config(stage, origin, ports=[80]))
    client = dial(carpool)
    client.send(b"SSH-2.0-x\r\n")
    client.expect_end()
    line = wait_entries(stage, 1)[0]
    assert (line["target"], line["status"], line["error"]) == ("tunnel://a.web.test:80", 200, "connection_refused")


def test_nothing_is_connected_for_a_connect(stage):
    """no connection is made before the 200, nor for a client that asks for nothing"""
    origin = stage.origin()
    carpool = stage.carpool(config(stage, origin))
    clients = [dial(carpool) for _ in range(5)]
    assert clients[0].raw(inner("/")).status == 200
    for client in clients[1:]:
        client.close()
    assert origin.accepted == 1


def test_deny(stage):
    """`deny`: 403"""
    carpool = stage.carpool(config(stage, stage.origin(), connect="deny", ports=[80, 443]))
    for port in (80, 443):
        response = carpool.raw(request("CONNECT", f"a.web.test:{port}"), "CONNECT-REFUSED")
        assert (response.status, response.error) == (403, "http_request_denied") and "connect is deny" in response.text


def test_denied_addresses_and_own_listeners_are_refused_before(stage):
    """denied addresses that are literals and own listeners are refused before the 200"""
    carpool = stage.carpool({"defaults": {"connect": "pool"}})
    for target, error in (("169.254.169.254:80", "destination_ip_prohibited"), ("[::ffff:169.254.1.1]:80", "destination_ip_prohibited"),
                          (f"127.0.0.1:{carpool.port}", "proxy_loop_detected"), (f"localhost:{carpool.admin_port}", "proxy_loop_detected")):
        response = carpool.raw(request("CONNECT", target), "CONNECT-REFUSED")
        assert (response.status, response.error) == (502, error), target


def test_tls_without_a_ca_is_a_tunnel(stage):
    """a ClientHello is answered by Carpool where `connectTls` may sign; anything else is a tunnel"""
    origin = tls_origin(stage)
    carpool = stage.carpool({"defaults": {"connect": "pool"}, "access": {"connectPorts": [origin.port]}})
    client = dial(carpool, origin.authority)
    context = ssl.create_default_context(cafile=certificates().ca.pem)
    with context.wrap_socket(client.sock, server_hostname="localhost") as inside:
        inside.sendall(inner("/", origin.authority))
        assert inside.recv(12) == b"HTTP/1.1 200"


def test_two_loops(stage):
    """the tunnel, and the requests, go to where their origin lives"""
    origin = stage.origin(serve=lambda connection: connection.send(connection.exactly(4)[::-1]))
    web = stage.origin()
    carpool = stage.carpool({"workers": 2, "access": {"connectPorts": [81]},
                             "upstreams": {"t": {"match": "*.t.test", "connect": "pool", "address": [origin.authority]},
                                           "w": {"match": "*.web.test", "connect": "pool", "address": [web.authority]}}})
    for number in range(8):
        with dial(carpool, f"a{number}.t.test:81", early=b"xyz!") as client:
            assert client.exactly(4) == b"!zyx"
        with dial(carpool, f"a{number}.web.test:80") as client:
            assert client.raw(inner("/", f"a{number}.web.test")).status == 200


def test_a_stop_ends_them(stage):
    carpool = stage.carpool({"defaults": {"connect": "pool"}})
    carpool.ends_itself()
    client = dial(carpool)
    carpool.signal(signal.SIGTERM)
    client.expect_end()
    assert carpool.wait() == 0
