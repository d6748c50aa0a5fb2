"""Section 4.10: `proxy`, a parent proxy."""

import base64
import re

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.client import request
from .harness.origin import answer
from .harness.parents import (ESTABLISHED, PASSWORD, USER, Privoxy, Squid, Tinyproxy, connects, scripted, tunnel)
from .harness.tls import https_key, secure, tls_origin

CREDENTIALS = "user:p%40ss%3aword"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def through(parent, credentials=CREDENTIALS):
    return f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{parent.port}"


# Plain http


@pytest.mark.parametrize("method, body", [("GET", b""), ("POST", b"content")])
def test_plain_requests_name_their_origin(stage, method, body):
    """plain http origins are asked in absolute-form over sockets to the parent, pooled per origin key as ever;
    `user:password` as Proxy-Authorization Basic"""
    parent = scripted(stage)
    carpool = stage.pooled(proxy=through(parent))
    for number in range(5):
        for host in ("a.test", "b.test:8080"):
            response = carpool.get(f"http://{host}/{number}?x=y", method=method, body=body,
                                   fields=[("Proxy-Authorization", "Basic bWluZQ=="), ("X-A", "b")])
            assert response.status == 200
    assert parent.targets == [f"http://{host}/{n}?x=y" for n in range(5) for host in ("a.test", "b.test:8080")]
    assert parent.accepted == 2
    for asked in parent.requests:
        assert asked.fields.get("Host") == asked.target.split("/")[2]
        assert asked.fields.all("Proxy-Authorization") == [BASIC]
        assert asked.fields.get("X-A") == "b" and asked.body == body and asked.method == method
    assert carpool.row("http://a.test:80")["reusedTotal"] == 4


def test_without_credentials(stage):
    """http://[user:password@]host:port"""
    parent = scripted(stage)
    carpool = stage.pooled(proxy=through(parent, ""))
    assert carpool.get("http://a.test/", fields=[("Proxy-Authorization", "Basic bWluZQ==")]).status == 200
    assert parent.requests[0].fields.get("Proxy-Authorization") is None


def test_options_for_the_whole_server(stage):
    """asked in absolute-form: OPTIONS without a path has none (RFC 9112 3.2.4)"""
    parent = scripted(stage)
    carpool = stage.pooled(proxy=through(parent))
    carpool.get("http://a.test", method="OPTIONS")
    carpool.get("http://a.test/", method="OPTIONS")
    assert parent.targets == ["http://a.test", "http://a.test/"]


def test_a_stale_socket_to_the_parent(stage):
    """5.6 as ever: the same request is sent again"""
    left = [1]

    def respond(asked):
        if len(asked.connection.requests) > 1 and left.pop():
            asked.connection.close()
        return answer()
    parent = scripted(stage, respond=respond)
    carpool = stage.pooled(proxy=through(parent))
    assert carpool.get("http://a.test/warm").status == 200
    assert carpool.get("http://a.test/x", method="PUT", body=b"body").status == 200
    first, second = parent.requests[1:]
    assert first.raw == second.raw and first.target == "http://a.test/x" and second.body == b"body"


def test_an_upstream_that_is_the_exception(stage):
    """an upstream of its own with `proxy: ""` is the exception"""
    parent, origin = scripted(stage), stage.origin()
    carpool = stage.carpool({"defaults": {"proxy": through(parent)},
                             "upstreams": {"near": {"match": "127.0.0.1", "proxy": ""}}})
    assert carpool.get(origin.url("/near")).status == 200
    assert carpool.get("http://far.test/").status == 200
    assert (origin.targets, parent.targets) == (["/near"], ["http://far.test/"])


def test_a_parent_for_one_upstream(stage):
    """proxy, of an upstream: reach this agent's origins through that proxy"""
    parent, origin = scripted(stage), stage.origin()
    carpool = stage.carpool({"upstreams": {"far": {"match": "far.test", "proxy": through(parent)}}})
    assert carpool.get("http://far.test/").status == 200
    assert carpool.get(origin.url("/near")).status == 200
    assert (origin.targets, parent.targets) == (["/near"], ["http://far.test/"])


# TLS and tunnels


def test_tls_origins_by_connect(stage):
    """TLS origins and tunnels by CONNECT through it, then as usual"""
    parent, origin = scripted(stage), tls_origin(stage)
    carpool = stage.carpool(secure(proxy=through(parent)))
    for number in range(20):
        assert carpool.get(origin.url(f"/{number}")).status == 200
    assert connects(parent) == [origin.authority] and parent.accepted == 1
    asked, = parent.requests
    assert asked.fields == [("Host", origin.authority), ("Proxy-Authorization", BASIC)]
    assert origin.accepted == 1 and origin.targets == [f"/{number}" for number in range(20)]
    assert all(got.fields.get("Proxy-Authorization") is None for got in origin.requests)
    assert carpool.row(https_key(origin), "api")["reusedTotal"] == 19


def test_the_origins_certificate_is_what_counts(stage):
    """then as usual: the origin's certificate is verified, and messages name whom they are about"""
    parent, origin = scripted(stage), tls_origin(stage, pair=certificates().self_signed)
    carpool = stage.carpool(secure(proxy=through(parent)))
    response = carpool.get(origin.url())
    assert response.error == "tls_certificate_error"
    assert f"{origin.authority}, through the parent proxy 127.0.0.1:{parent.port}" in response.text


def test_a_wrong_certificate_is_as_wrong_at_the_parents_next_address(stage):
    """A failure to connect tries the host's next address: a parent's addresses all lead to the same origin"""
    parent, origin = scripted(stage), tls_origin(stage, pair=certificates().self_signed)
    try:
        other = scripted(stage, host="::1", port=parent.port)
    except OSError:
        pytest.skip("this machine has no IPv6, or the port is taken there")
    carpool = stage.carpool(secure(proxy=f"http://parent.localhost:{parent.port}"))
    assert carpool.get(origin.url()).error == "tls_certificate_error"
    assert connects(parent) + connects(other) == [origin.authority]


def test_tunnels_by_connect(stage):
    """TLS origins and tunnels by CONNECT through it: what comes right behind the parent's answer is the tunnel's"""
    origin = stage.origin(serve=lambda connection: connection.send(connection.until(b"\n")))

    def connect(asked):
        tunnel(asked.connection, "127.0.0.1", origin.port, ESTABLISHED + b"220 hello\r\n")
    parent = scripted(stage, connect)
    carpool = stage.carpool({"defaults": {"proxy": through(parent)}, "access": {"connectPorts": [25]}})
    client = carpool.client()
    client.send(request("CONNECT", "mail.test:25"))
    assert client.read_response_head().status == 200
    assert client.line() == b"220 hello"
    client.send(b"QUIT\r\n")
    assert client.line() == b"QUIT"
    assert connects(parent) == ["mail.test:25"]


# Refusals


@pytest.mark.parametrize("status, advice", [("407 Proxy Authentication Required", "set user and password in `proxy`"),
                                            ("403 Forbidden", "does not allow"), ("502 Bad Gateway", ""), ("302 Found", "")])
def test_a_refused_connect(stage, status, advice):
    """407 and other refusals of the parent's CONNECT are 502 `proxy_internal_error` with its status in the text"""
    parent = scripted(stage, lambda asked: answer(b"<html>no</html>", status))
    carpool = stage.carpool({**secure(proxy=through(parent)), "access": {"connectPorts": [8443]}})
    response = carpool.get("http://127.0.0.1:8443/")
    assert (response.status, response.error) == (502, "proxy_internal_error")
    assert f"refused CONNECT 127.0.0.1:8443: {status}" in response.text and advice in response.text
    response = carpool.raw(request("CONNECT", "127.0.0.1:8443"))
    assert (response.status, response.error) == (502, "proxy_internal_error")
    assert status[:3] in response.text


def test_a_plain_request_without_the_right_credentials(stage):
    """407 [...] 502 `proxy_internal_error` with its status in the text: it is Carpool that is asked, not the client"""
    parent = scripted(stage, respond=lambda asked: answer(b"no", "407 Proxy Authentication Required",
                                                          [("Proxy-Authenticate", "Basic realm=x")]))
    carpool = stage.pooled(proxy=through(parent))
    response = carpool.get("http://a.test/")
    assert (response.status, response.error) == (502, "proxy_internal_error")
    assert "407; set user and password in `proxy`" in response.text
    assert response.fields.get("Proxy-Authenticate") is None


def test_other_answers_of_a_parent_are_passed_on(stage):
    """plain http origins are asked over sockets to the parent: what it says of an origin is an answer"""
    parent = scripted(stage, respond=lambda asked: answer(b"cannot reach it", "504 Gateway Timeout"))
    response = stage.pooled(proxy=through(parent)).get("http://a.test/")
    assert (response.status, response.body, response.error) == (504, b"cannot reach it", None)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\nX: y\n\n",
                                  b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000], ids=["none", "half", "ssh", "lf", "endless"])
def test_a_parent_that_makes_no_sense(stage, data):
    """byte-strict, bounded: whatever it says instead of an answer to CONNECT ends the attempt"""
    def connect(asked):
        asked.connection.send(data)
        asked.connection.close()
    carpool = stage.carpool(secure(proxy=through(scripted(stage, connect))))
    response = carpool.get("http://127.0.0.1:8443/")
    assert response.status == 502 and response.error in ("proxy_internal_error", "connection_terminated")
    assert "the parent proxy 127.0.0.1:" in response.text


def test_a_parent_that_says_nothing(stage):
    """timeouts.connect: DNS + TCP + TLS of a new socket, and the parent's word"""
    parent = scripted(stage, lambda asked: asked.connection.rest() and None)
    carpool = stage.carpool(secure(proxy=through(parent), timeouts={"connect": "300ms"}))
    response = carpool.get("http://127.0.0.1:8443/")
    assert (response.status, response.error) == (504, "connection_timeout")
    assert f"asked CONNECT of the parent proxy 127.0.0.1:{parent.port}: no answer within 300ms" in response.text


def test_a_parent_that_is_down(stage):
    """refused: 502 connection_refused; the text says who refused"""
    refused = stage.ports.refused()
    port = refused.getsockname()[1]
    response = stage.pooled(proxy=f"http://127.0.0.1:{port}").get("http://a.test/")
    assert (response.status, response.error) == (502, "connection_refused")
    assert f"the parent proxy 127.0.0.1:{port}: connection refused" in response.text
    refused.close()


def test_the_parent_itself_may_be_denied(stage):
    """never connect there: what the configuration names is the operator's word; an address that a client asks a parent for is
    not"""
    parent = scripted(stage)
    carpool = stage.carpool({"defaults": {"proxy": through(parent)}, "access": {"denyAddresses": ["127.0.0.0/8", "10.0.0.0/8"]}})
    assert carpool.get("http://a.test/").status == 200
    assert carpool.get("http://10.0.0.1/").error == "destination_ip_prohibited"
    assert parent.targets == ["http://a.test/"]


def test_a_parent_that_is_carpool_itself(stage):
    """4.6: a target that is one of Carpool's own listeners"""
    port = stage.ports.take()
    carpool = stage.carpool({"defaults": {"proxy": f"http://127.0.0.1:{port}"}, "listen": [f"127.0.0.1:{port}"]},
                            listen=("127.0.0.1", port))
    assert carpool.get("http://a.test/").error == "proxy_loop_detected"


# Secrets


def test_the_password_stays_secret(stage):
    """`user:password` [...] masked in `/config` and never logged"""
    left = [b"", b""]

    def connect(asked):
        if left:
            left.pop()
            return answer(b"", "407 Proxy Authentication Required")
        tunnel(asked.connection, "127.0.0.1", origin.port)
        return None
    origin, parent = tls_origin(stage), scripted(stage, connect)
    log = stage.path("access.log")
    config = secure(proxy=through(parent))
    carpool = stage.carpool({**config, "log": {"level": "debug"}, "accessLog": {"path": log}})
    texts = [carpool.get(origin.url()).text, carpool.raw(request("CONNECT", "127.0.0.1:443")).text]
    assert carpool.get(origin.url()).status == 200
    for path in ("/config", "/agents", "/metrics", "/agents/api"):
        texts.append(carpool.admin(path).text)
    assert f'"proxy": "http://***@127.0.0.1:{parent.port}"' in texts[2]
    carpool.write({**carpool.config, "defaults": {"proxy": "https://user:p%40ss@px.test"}})
    texts.append(carpool.admin("/reload", "POST").text)
    with open(log, encoding="utf-8") as file:
        texts.append(file.read())
    for secret in ("p%40ss", "p@ss", BASIC.split()[1]):
        assert not any(secret in text for text in [*texts, carpool.stderr, carpool.stdout])


# Reload


def test_a_reload_with_another_parent(stage):
    """reload: sockets are retired where what they depend on changed; a request that waits meanwhile is asked as the new way
    wants it"""
    parent, origin = scripted(stage), stage.origin()
    held = stage.origin(manual=True)        # the first parent
    server = {"match": "127.0.0.1", "maxSockets": 1}
    carpool = stage.carpool({"upstreams": {"api": {**server, "proxy": through(held)}}})

    def reload(proxy):
        carpool.write({**carpool.config, "upstreams": {"api": {**server, "proxy": proxy}}})
        assert carpool.admin("/reload", "POST").status == 200
    first = carpool.ask(origin.url("/first"))
    asked = held.take()
    second = carpool.ask(origin.url("/second"), method="PUT", body=b"b")
    carpool.wait_row(origin, "api", requests=1)
    reload("")
    asked.connection.reply()
    assert first.response().status == 200 and second.response().status == 200
    assert held.targets == [origin.url("/first")] and origin.targets == ["/second"]
    asked.connection.wait_ended()
    carpool.wait_row(origin, "api", freeSockets=1)
    reload(through(parent))
    assert carpool.get(origin.url("/third")).status == 200
    assert parent.targets == [origin.url("/third")]
    carpool.wait_retired(origin, "drained", 2, "api")


# Real ones


def test_carpool_as_parent(stage):
    """two Carpools in a row are no loop; TLS goes through both"""
    origin, plain = tls_origin(stage), stage.origin()
    parent = stage.carpool({"access": {"connectPorts": [origin.port]}})
    carpool = stage.carpool(secure(proxy=f"http://127.0.0.1:{parent.port}", match="127.0.0.1:%d" % origin.port,
                                   extra={"defaults": {"proxy": f"http://127.0.0.1:{parent.port}"}}))
    for _ in range(10):
        assert carpool.get(origin.url()).status == 200
        assert carpool.get(plain.url()).status == 200
    assert origin.accepted == 1 and plain.accepted == 1
    assert len(plain.requests[0].fields.all("Via")) == 2


def real(stage, kind):
    if not kind.is_there():
        pytest.skip(f"{kind.name} is not installed")
    parent = kind(stage.ports)
    stage.servers.append(parent)
    return parent


def test_squid(stage):
    """a parent proxy adds no connection (200 one-shot https requests through Squid as parent: 1 CONNECT)"""
    origin, plain = tls_origin(stage), stage.origin()
    parent = real(stage, Squid)
    carpool = stage.carpool(secure(proxy=through(parent), match=f"127.0.0.1:{origin.port}",
                                   extra={"defaults": {"proxy": through(parent)}}))
    for _ in range(200):
        assert carpool.get(origin.url(), method="POST", body=b"x").status == 200
    assert (origin.accepted, origin.tls.full) == (1, 1)
    for _ in range(20):
        assert carpool.get(plain.url("/x?y")).status == 200
    row = carpool.row(plain)
    assert (row["socketsOpened"], row["requestsTotal"]) == (1, 20)
    carpool.signal(15)
    carpool.ends_itself()
    assert carpool.wait() == 0          # Squid tells of a tunnel when it ends
    wait_until(lambda: "CONNECT" in parent.log(), "the tunnel is in Squid's log")
    assert len(re.findall(r"TCP_TUNNEL/200 .* CONNECT ", parent.log())) == 1


def test_squid_without_the_password(stage):
    """407 and other refusals [...] are 502 `proxy_internal_error` with its status in the text"""
    parent, origin = real(stage, Squid), stage.origin()
    carpool = stage.carpool(secure(proxy=through(parent, "user:wrong"), match="api.test",
                                   extra={"defaults": {"proxy": through(parent, "")}}))
    for url in ("http://api.test/", origin.url()):
        response = carpool.get(url)
        assert (response.status, response.error) == (502, "proxy_internal_error") and "407" in response.text
    assert not origin.requests


@pytest.mark.parametrize("kind, credentials", [(Tinyproxy, "user:secret"), (Privoxy, "")], ids=["tinyproxy", "privoxy"])
def test_other_parents(stage, kind, credentials):
    """a parent: many networks let nothing out but their own proxy"""
    origin, plain = tls_origin(stage), stage.origin()
    parent = real(stage, kind)
    carpool = stage.carpool(secure(proxy=through(parent, credentials), match=f"127.0.0.1:{origin.port}",
                                   extra={"defaults": {"proxy": through(parent, credentials)}}))
    for method, body in [("GET", b""), ("POST", b"x" * 5000)] * 5:
        for each in (origin, plain):
            response = carpool.get(each.url("/x?y"), method=method, body=body)
            assert (response.status, response.body) == (200, body or b"ok")
    assert origin.accepted == 1
    assert [got.target for got in plain.requests] == ["/x?y"] * 10
