"""Section 4.13: a unix listener that takes origin-form and goes by Host."""

import os
import shutil
import subprocess

import pytest

from .harness.client import request


def by_host(stage, origin, query="?form=host", **more):
    """A daemon that listens at a unix socket, too; (daemon, the socket's path)."""
    path = stage.path("app.sock")
    port = stage.ports.take()
    carpool = stage.carpool({"listen": [f"127.0.0.1:{port}", f"unix:{path}{query}"], "upstreams": {
        "api": {"match": "api.test", "address": [origin.authority]}}, **more})
    return carpool, path


@pytest.mark.parametrize("host, sent, key", [
    ("api.test", "api.test", "http://api.test:80"), ("API.test:80", "api.test", "http://api.test:80"),
    ("api.test:8080", "api.test:8080", "http://api.test:8080")])
def test_host_says_where_to(stage, host, sent, key):
    """A listener `unix:/path?form=host` takes origin-form from any client and routes it by its Host"""
    origin = stage.origin()
    carpool, path = by_host(stage, origin)
    client = carpool.client(path)
    for target in ("/v1/x?y=z", "/v1#fragment"):
        assert client.ask(target, host=host).response().status == 200
    assert origin.targets == ["/v1/x?y=z", "/v1"] and origin.accepted == 1
    assert origin.requests[0].fields.all("Host") == [sent]
    assert carpool.row(key, "api")["requestsTotal"] == 2


def test_hosts_that_no_upstream_matches(stage):
    """routes it by its Host: as any URL is routed"""
    origin = stage.origin()
    carpool, path = by_host(stage, origin)
    assert carpool.client(path).ask("/x", host=origin.authority).response().status == 200
    assert carpool.row(origin)["requestsTotal"] == 1


def test_options_of_a_server(stage):
    """origin-form: OPTIONS * is the server's (RFC 9112, 3.2.4)"""
    origin = stage.origin()
    carpool, path = by_host(stage, origin)
    assert carpool.client(path).ask("*", method="OPTIONS", host="api.test").response().status == 200
    assert origin.targets == ["*"]
    assert carpool.client(path).ask("*", host="api.test").response().status == 400


def test_absolute_form_and_connect_as_ever(stage):
    """takes origin-form: beside what a proxy takes"""
    origin = stage.origin()
    carpool, path = by_host(stage, origin)
    assert carpool.client(path).get("http://api.test/x").status == 200
    assert origin.targets == ["/x"]
    assert carpool.client(path).raw(request("CONNECT", "api.test:25"), "CONNECT").status == 403


@pytest.mark.parametrize("data", [b"GET /x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.1\r\nHost:\r\n\r\n"])
def test_without_a_host(stage, data):
    """routes it by its Host: 400 where there is none"""
    carpool, path = by_host(stage, stage.origin())
    response = carpool.client(path).raw(data)
    assert response.status == 400 and "Host" in response.text


def test_its_own_listener_is_no_target(stage):
    """a target that is one of Carpool's own listeners [...] 502, `proxy_loop_detected`"""
    carpool, path = by_host(stage, stage.origin())
    response = carpool.client(path).ask("/", host=f"127.0.0.1:{carpool.admin_port}").response()
    assert response.status == 502 and response.error == "proxy_loop_detected"


@pytest.mark.parametrize("query", ["", "?mode=0660"])
def test_elsewhere_the_400_says_what_the_client_could_do(stage, query):
    """elsewhere the 400 of origin-form names what this client could do"""
    carpool, path = by_host(stage, stage.origin(), query)
    response = carpool.client(path).ask("/x", host="api.test").response()
    assert response.status == 400 and response.error == "http_request_error"
    assert "?form=host" in response.text and path in response.text and "-x http://localhost" in response.text


def test_tcp_listeners_are_as_before(stage):
    """Origin-form requests get 400: on TCP, whoever else listens"""
    carpool, _ = by_host(stage, stage.origin())
    response = carpool.raw(request("GET", "/", host="api.test"))
    assert response.status == 400 and f"http_proxy=http://127.0.0.1:{carpool.address[1]}/" in response.text


def test_the_mode_beside_it(stage):
    """unix:/path?mode=0660: both, in any order; --print-config says both"""
    for query in ("?mode=0600&form=host", "?form=host&mode=0600"):
        path = stage.path("app.sock")
        carpool, path = by_host(stage, stage.origin(), query)
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert f"unix:{path}?mode=0600&form=host" in carpool.admin("/config").text
        carpool.signal(15)
        carpool.wait()
        carpool.ends_itself()


@pytest.mark.parametrize("where, value, words", [
    ("listen", "unix:/tmp/x.sock?form=Host", "form=host"), ("listen", "unix:/tmp/x.sock?form=host&x", "form=host"),
    ("listen", "127.0.0.1:1?form=host", "unix:/path"), ("admin", "unix:/tmp/x.sock?form=host", "top-level"),
    ("upstream", "unix:/tmp/x.sock?form=host", "top-level")])
def test_where_it_may_stand(stage, where, value, words):
    """A listener `unix:/path?form=host`: no other"""
    config = {"listen": {"listen": [value]}, "admin": {"admin": {"listen": value}},
              "upstream": {"upstreams": {"a": {"host": "a.test", "listen": [value]}}}}[where]
    done = stage.check(config)
    assert done.returncode == 1 and words in done.stderr


def test_a_reload_switches_it(stage):
    """All but workers and name apply live"""
    origin = stage.origin()
    carpool, path = by_host(stage, origin, "")
    client = carpool.client(path)
    assert client.ask("/x", host="api.test").response().status == 400
    config = {**carpool.config, "listen": [carpool.config["listen"][0], f"unix:{path}?form=host"]}
    carpool.reload(config)
    assert carpool.client(path).ask("/x", host="api.test").response().status == 200


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_curl(stage):
    """(`curl --unix-socket`, ...), and what the 400 advises"""
    origin = stage.origin()
    _, path = by_host(stage, origin)
    for more in ([], ["-x", "http://localhost"]):
        done = subprocess.run(["curl", "-sS", "--unix-socket", path, *more, "http://api.test/curl"], capture_output=True,
                              check=False, timeout=20, env={"PATH": os.environ["PATH"]})
        assert done.returncode == 0 and done.stdout == b"ok", done
    assert origin.targets == ["/curl", "/curl"] and origin.accepted == 1


@pytest.mark.skipif(not shutil.which("node"), reason="node is missing")
def test_node(stage):
    """(..., Node's `socketPath`), and what the 400 advises"""
    origin = stage.origin()
    _, path = by_host(stage, origin)
    script = """
        const http = require("http");
        const ask = options => new Promise((done, fail) => http.get({socketPath: process.argv[1], host: "api.test", ...options},
            answer => { answer.resume(); answer.on("end", () => done(answer.statusCode)); }).on("error", fail));
        (async () => console.log(await ask({path: "/node"}), await ask({path: "http://api.test/node"})))();"""
    done = subprocess.run(["node", "-e", script, path], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.split() == ["200", "200"], done
    assert origin.targets == ["/node", "/node"] and origin.requests[0].fields.get("Host") == "api.test"
