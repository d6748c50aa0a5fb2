"""Section 4.7: an upstream's own listener, for apps that have a base URL but no proxy setting."""

import pytest

from .harness.client import request


def gateway(stage, origin, extra=None, **upstream):
    """A daemon with one upstream that listens; (daemon, its address)."""
    port = stage.ports.take()
    settings = {"address": [origin.authority], "listen": [f"127.0.0.1:{port}"], **upstream}
    carpool = stage.carpool({**(extra or {}), "upstreams": {"api": settings}})
    return carpool, ("127.0.0.1", port)


@pytest.mark.parametrize("named", [{"host": "api.test"}, {"match": "api.test"},
                                   {"match": ["api.test", "*.api.test"]}])
def test_origin_form_is_taken(stage, named):
    """An upstream's own `listen` takes origin-form requests [...]: they go to its `host`, or to the one exact
    host that its `match` must then name, with `Host` set to it"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, **named)
    client = carpool.client(address)
    for path in ("/v1/x?y=z", "/"):
        assert client.ask(path, host="127.0.0.1:9001").response().status == 200
    assert origin.targets == ["/v1/x?y=z", "/"] and origin.accepted == 1
    assert all(got.fields.all("Host") == ["api.test"] for got in origin.requests)
    assert carpool.row("http://api.test:80", "api")["requestsTotal"] == 2


@pytest.mark.parametrize("host, sent, key", [("api.test", "api.test", "http://api.test:80"),
                                             ("api.test:8080", "api.test:8080", "http://api.test:8080")])
def test_the_port_in_host(stage, host, sent, key):
    """`Host` has the port unless it is the scheme's default."""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, match=host)
    assert carpool.client(address).ask("/", host="127.0.0.1").response().status == 200
    assert origin.requests[0].fields.get("Host") == sent
    assert carpool.row(key, "api")["requestsTotal"] == 1


def test_over_a_unix_socket(stage):
    """listen: [127.0.0.1:9001, "unix:/run/carpool/payments.sock"]"""
    origin = stage.origin()
    path = stage.path("api.sock")
    carpool, address = gateway(stage, origin, host="api.test", listen=[f"unix:{path}"])
    assert carpool.client(path).ask("/", host="localhost").response().status == 200
    assert origin.requests[0].fields.get("Host") == "api.test" and address


def test_absolute_form_for_that_host(stage):
    """absolute-form is taken there for that host alone"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, host="api.test")
    assert carpool.client(address).get("http://api.test/x").status == 200
    assert origin.targets == ["/x"]


@pytest.mark.parametrize("target", ["http://other.test/", "http://x.api.test/"])
def test_absolute_form_for_another_host(stage, target):
    """absolute-form is taken there for that host alone"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, host="api.test")
    response = carpool.client(address).get(target)
    assert response.status == 403 and response.error == "http_request_denied"
    assert origin.accepted == 0


def test_connect_is_refused(stage):
    """and CONNECT not at all (403)"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, host="api.test")
    response = carpool.client(address).raw(request("CONNECT", "api.test:443"), "CONNECT")
    assert response.status == 403 and response.error == "http_request_denied"
    assert origin.accepted == 0


def test_two_policies_for_one_service(stage):
    """several may name the same host, so that two apps get two policies for one service"""
    origin = stage.origin(manual=True)
    ports = stage.ports.take(), stage.ports.take()
    carpool = stage.carpool({"upstreams": {
        "narrow": {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{ports[0]}"],
                   "maxSockets": 1},
        "wide": {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{ports[1]}"],
                 "maxSockets": 2}}})
    clients = [carpool.client(("127.0.0.1", port)).ask("/", host="127.0.0.1") for port in ports for _ in range(2)]
    for _ in range(3):
        origin.take()
    carpool.wait_row("http://api.test:80", "narrow", sockets=1, requests=1)
    carpool.wait_row("http://api.test:80", "wide", sockets=2, requests=0)
    for connection in origin.connections:
        connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 4


def test_the_common_listener_is_still_for_absolute_form(stage):
    """Origin-form requests get 400 [...]: an upstream with a listener changes nothing there"""
    origin = stage.origin()
    carpool, _ = gateway(stage, origin, match="api.test")
    assert carpool.raw(request("GET", "/", host="api.test")).status == 400
    assert carpool.get("http://api.test/").status == 200


def test_a_gateway_checks_its_clients(stage):
    """clients: [...] who may use the TCP listeners; others get 403"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, extra={"access": {"clients": ["127.0.0.1"]}}, host="api.test")
    assert carpool.client(address, source="127.0.0.2").ask("/", host="127.0.0.1").response().status == 403
    assert carpool.client(address).ask("/", host="127.0.0.1").response().status == 200


def test_a_gateway_checks_its_clients_for_each_request(stage):
    """`access` is asked for each request"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, extra={"access": {"clients": ["127.0.0.0/8"]}}, host="api.test")
    client = carpool.client(address, source="127.0.0.2")
    assert client.ask("/", host="127.0.0.1").response().status == 200
    carpool.reload({"access": {"clients": ["127.0.0.1"]}})
    assert client.ask("/denied", host="127.0.0.1").response().status == 403
    assert origin.targets == ["/"]


def test_a_request_without_a_host_is_still_malformed(stage):
    """a Host missing (in HTTP/1.1) or doubled [...] 400 and close"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, host="api.test")
    assert carpool.client(address).raw(b"GET / HTTP/1.1\r\n\r\n").status == 400
    assert carpool.client(address).raw(b"GET / HTTP/1.0\r\n\r\n").status == 200


FOREIGN = [
    ("another name in Host (DNS rebinding)", {"host": "evil.test:{}"}, ()),
    ("a page elsewhere", {}, [("Origin", "https://evil.test")]),
    ("a sandboxed frame or a file", {}, [("Origin", "null")]),
    ("a page at another port of this host", {}, [("Origin", "http://127.0.0.1:1")]),
    ("an image or a script of a page elsewhere", {}, [("Sec-Fetch-Site", "cross-site")])]
UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
PREFLIGHT = [("Access-Control-Request-Method", "DELETE")]


@pytest.mark.parametrize("what, host, fields", FOREIGN, ids=[case[0] for case in FOREIGN])
@pytest.mark.parametrize("method, more", [("GET", ()), ("POST", ()), ("OPTIONS", PREFLIGHT), ("GET", UPGRADE)],
                         ids=["GET", "POST", "preflight", "WebSocket"])
def test_pages_are_refused(stage, what, host, fields, method, more):
    """On TCP it serves apps, not pages of a browser: Host must be an IP literal, `localhost`, the upstream's host or a
    name of its `hosts`, and a foreign `Origin` (`null` too) or `Sec-Fetch-Site: cross-site` gets 403
    `http_request_denied`."""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, host="api.test")
    name = host.get("host", "127.0.0.1:{}").format(address[1])
    response = carpool.client(address).ask("/", method=method, host=name, fields=[*fields, *more]).response()
    assert response.status == 403 and response.error == "http_request_denied", what
    assert "api" in response.text and response.text.count("\n") == 1
    assert origin.accepted == 0


@pytest.mark.parametrize("host, fields", [
    ("127.0.0.1:{}", ()), ("localhost:{}", ()), ("[::1]:{}", ()), ("api.test", ()), ("pay.local:{}", ()),
    ("127.0.0.1:{}", [("Origin", "http://127.0.0.1:{}"), ("Sec-Fetch-Site", "same-origin")]),
    ("pay.local:{}", [("Origin", "http://pay.local:{}")])])
def test_apps_are_served(stage, host, fields):
    """Host must be an IP literal, `localhost`, the upstream's host or a name of its `hosts`"""
    origin = stage.origin()
    carpool, address = gateway(stage, origin, host="api.test", hosts=["pay.local"])
    fields = [(name, value.format(address[1])) for name, value in fields]
    assert carpool.client(address).ask("/", host=host.format(address[1]), fields=fields).response().status == 200


def test_unix_listeners_take_any(stage):
    """Unix listeners take any."""
    origin = stage.origin()
    path = stage.path("api.sock")
    carpool, _ = gateway(stage, origin, host="api.test", listen=[f"unix:{path}"])
    fields = [("Origin", "https://evil.test"), ("Sec-Fetch-Site", "cross-site")]
    assert carpool.client(path).ask("/", host="evil.test", fields=fields).response().status == 200


def test_hosts_without_a_listener(stage):
    """An upstream with `listen` may name [...] `hosts`"""
    done = stage.check({"upstreams": {"api": {"match": "api.test", "hosts": ["pay.local"]}}})
    assert done.returncode == 1 and "hosts" in done.stderr and "listen" in done.stderr
