"""Section 6: "The body is one line of text that names the agent, the origin, the cause and what to look at." A table of what
is said: whatever the client is told, the log and /agents say, too."""

import pytest

from .harness import wait_until
from .harness.client import request
from .harness.origin import answer

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"


class Scene:
    """A daemon with what the rows need: an origin at {origin}, none at {dead}, a gateway for billing, a unix listener."""

    def __init__(self, stage, response):
        self.origin = stage.origin(lambda asked: answer() if asked.target == "/warm" else self.respond(asked))
        self.response = response
        gateway, proxy, self.dead = stage.ports.take(), stage.ports.take(), stage.ports.refused()
        self.path = stage.path("proxy.sock")
        self.carpool = stage.carpool({
            "listen": [f"127.0.0.1:{proxy}", f"unix:{self.path}"],
            "server": {"maxHeaderSize": "1KiB", "maxHeadersCount": 9},
            "defaults": {"replayLimit": "1KiB", "timeouts": {"socket": "60s" if response else "1s"}},
            "upstreams": {"billing": {"host": "billing.test", "address": [self.origin.authority],
                                      "listen": [f"127.0.0.1:{gateway}"]}}})
        self.names = {"origin": self.origin.authority, "gateway": f"127.0.0.1:{gateway}", "port": gateway, "path": self.path,
                      "admin": f"127.0.0.1:{self.carpool.admin_port}", "proxy": f"127.0.0.1:{proxy}",
                      "dead": "127.0.0.1:{}".format(self.dead.getsockname()[1])}
        self.gateway = ("127.0.0.1", gateway)

    def respond(self, asked):
        """What the row says; None: nothing at all; an exception's name: the connection ends so."""
        if self.response in ("close", "reset"):
            getattr(asked.connection, self.response)()
            return None
        return self.response

    def fill(self, text):
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def warm(self):
        assert self.carpool.get(self.origin.url("/warm")).status == 200
        self.carpool.wait_row(self.origin, freeSockets=1)


class Row:
    def __init__(self, name, ask, status, *words, response=None, to=None, warm=False, method="GET"):
        self.name, self.ask, self.status, self.words = name, ask, status, words
        self.response, self.to, self.warm, self.method = response, to, warm, method


def get(target, method="GET", **how):
    """A request as a function of its scene."""
    return lambda scene: request(method, scene.fill(target), host="localhost", **how)


def raw(data):
    return lambda scene: scene.fill(data.decode("latin-1")).encode("latin-1")


def bad(name, response, *words):
    return Row(name, get("http://{origin}/bad"), 502, "malformed response", *words, response=response)


ROWS = [
    Row("space-in-target", raw(b"GET http://{origin}/a b HTTP/1.1\r\n\r\n"), 400, "a space in the target", "%20",
        "http://{origin}/a b"),
    Row("byte-in-host", raw(b"GET http://m\xfcller.test/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "byte 0xfc, not ASCII, in the host",
        r"m\xfcller.test"),
    Row("control-in-target", raw(b"GET http://{origin}/\x01 HTTP/1.1\r\n\r\n"), 400, "byte 0x01 in the target", r"\x01"),
    Row("no-version", raw(b"GET http://{origin}/\r\n\r\n"), 400, "no HTTP version after the target"),
    Row("tls-to-the-proxy", raw(b"\x16\x03\x01\x02\x00\x01"), 400, "the client spoke TLS to the proxy", "http://"),
    Row("bad-host-field", raw(b"GET http://{origin}/ HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, "a space in the Host field"),
    Row("space-before-colon", raw(b"GET http://{origin}/ HTTP/1.1\r\nHost: x\r\nX-Early : v\r\n\r\n"), 400, "a space",
        "X-Early", "its colon"),
    Row("two-lengths", raw(b"POST http://{origin}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400,
        "Content-Length is not one number: 1 and 2"),
    Row("unknown-coding", raw(b"POST http://{origin}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"), 501,
        "other than chunked: gzip"),
    Row("long-line", raw(b"GET http://{origin}/" + b"x" * 1100), 414, "the first line is longer than 1024 bytes",
        "(server.maxHeaderSize)"),
    Row("large-head", raw(b"GET http://{origin}/ HTTP/1.1\r\nX: " + b"x" * 1100), 431, "the head is longer than 1024 bytes",
        "(server.maxHeaderSize)"),
    Row("many-fields", raw(b"GET http://{origin}/ HTTP/1.1\r\n" + b"X: y\r\n" * 12 + b"\r\n"), 431, "it has 12 fields",
        "server.maxHeadersCount is 9"),
    Row("version-2", raw(b"GET http://{origin}/ HTTP/2.0\r\n\r\n"), 505, "HTTP/2.0", "HTTP/1.1"),
    Row("origin-form", get("/x"), 400, "this is an HTTP proxy", "http_proxy=http://{proxy}/"),
    Row("origin-form-at-a-unix-listener", get("/x"), 400, "unix:{path}", "?form=host", "-x http://localhost", to="unix"),
    Row("connect-to-a-port", get("plain.test:8080", "CONNECT"), 403, "CONNECT to plain.test:8080 (agent default)", "access.connectPorts",
        "connect: pool", method="CONNECT"),
    Row("connect-without-a-port", get("plain.test", "CONNECT"), 400, "the port is missing", "host:port", method="CONNECT"),
    Row("connect-to-a-gateway", get("billing.test:443", "CONNECT"), 403, "gateway of upstream 'billing'", "base URL",
        to="gateway", method="CONNECT"),
    Row("page-at-a-gateway", get("/x", fields=[("Origin", "https://evil.test")]), 403, "a web page of another site", "billing",
        to="gateway"),
    Row("gateway-by-the-proxy", get("http://{gateway}/x"), 502, "that is Carpool's own listener for billing",
        "set no_proxy=127.0.0.1"),
    Row("admin-by-the-proxy", get("http://{admin}/agents"), 502, "that is Carpool's own admin listener", "set no_proxy=127.0.0.1"),
    Row("proxy-by-the-proxy", get("http://{proxy}/"), 502, "is a listener of this Carpool itself"),
    Row("nothing-listens", get("http://{dead}/"), 502,
        "cannot connect to {dead}: connection refused; is the service running and listening there?\n"),
    bad("response-field-name", OK + b"X-Good: 1\r\nBad Name: v\r\n" + TWO + b"\r\nok", 'a space in the field name "Bad Name"',
        "insecureHTTPParser: true"),
    bad("response-control", OK + b"X-Ctl: a\x01b\r\n" + TWO + b"\r\nok", "byte 0x01 in the value of the field X-Ctl"),
    bad("response-fold", OK + b"X-Fold: a\r\n b\r\n" + TWO + b"\r\nok", "the field X-Fold goes on in the next line"),
    bad("response-bare-lf", OK + b"X-Lf: a\n" + TWO + b"\r\nok", "the field X-Lf ends with LF alone"),
    bad("response-status", b"HTTP/1.1 2OO Fine\r\n\r\n", '"HTTP/1.1 2OO Fine"'),
    bad("response-lengths", OK + TWO + b"Content-Length: 3\r\n\r\nok", "Content-Length is not one number: 2 and 3"),
    Row("response-of-tls", get("http://{origin}/bad"), 502, "the origin speaks TLS on this port: set tls: true",
        response=b"\x15\x03\x01\x00\x02\x02\x46"),
    bad("response-of-ssh", b"SSH-2.0-x\r\n", "it does not begin with HTTP/1: SSH-2.0-x"),
    Row("response-head-size", get("http://{origin}/bad"), 502, "response's head is too large", "the head is longer than 1024 bytes",
        "(server.maxHeaderSize)", response=OK + b"X: " + b"x" * 1100),
    Row("response-head-count", get("http://{origin}/bad"), 502, "it has 10 fields", "server.maxHeadersCount is 9",
        response=OK + b"X: y\r\n" * 10 + b"\r\n"),
    Row("put-over-the-limit", get("http://{origin}/x", "PUT", body=b"x" * 2000), 502, "the connection before it answered",
        "the connection was reused", "replayLimit", response="close", warm=True),
    Row("post", get("http://{origin}/x", "POST", body=b"x"), 502, "the connection was reused", "sent once only", "Idempotency-Key",
        response="close", warm=True),
    Row("post-on-a-new-connection", get("http://{origin}/x", "POST", body=b"x"), 502,
        "closed the connection before it answered; the service's log may say why\n", response="close"),
    Row("reset-on-a-new-connection", get("http://{origin}/x"), 502, "ended the connection before it answered",
        "if it speaks TLS on this port: set tls: true", response="reset"),
    Row("get-timed-out", get("http://{origin}/x"), 504, "no byte came or went for 1s (timeouts.socket)",
        "on a connection that had been idle for", "timeouts.free", warm=True),
    Row("content-that-does-not-come", raw(b"PUT http://{origin}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"), 504,
        "no byte came or went for 1s (timeouts.socket): the client has not sent all of its content", warm=True),
    Row("get-timed-out-on-a-new-connection", get("http://{origin}/x"), 504,
        "no byte came or went for 1s (timeouts.socket): the service is slow"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_is_said(stage, row):
    """The body is one line of text that names the agent, the origin, the cause and what to look at; the log says it, and
    `recentErrors` of /agents where it was an origin's"""
    scene = Scene(stage, row.response)
    if row.warm:
        scene.warm()
    client = scene.carpool.client({"unix": scene.path, "gateway": scene.gateway}.get(row.to))
    response = client.raw(row.ask(scene), row.method)
    assert response.status == row.status, response
    body = response.text
    assert body.isascii() and body.endswith("\n") and body.count("\n") == 1
    for word in row.words:
        assert scene.fill(word) in body, (scene.fill(word), body)
    (logged,) = wait_until(lambda: [line for line in scene.carpool.stderr.splitlines() if "request failed" in line], "a line")
    detail = body.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
    assert f'detail="{detail}"' in logged
    assert response.status != 403 or " target=- " not in logged
    recent = [entry for agent in scene.carpool.agents().values() for entry in agent["recentErrors"]]
    if "origin http" not in body:
        assert recent == []
    else:
        (entry,) = recent
        assert body == f"agent default, origin {entry['origin']}: {entry['text']}\n"
        assert entry["error"] == response.error


def test_the_address_is_named(stage):
    """Where a name leads to several addresses, the text says which of them failed"""
    def hang_up(asked):
        asked.connection.close()
    origins = [stage.origin(hang_up), stage.origin(hang_up)]
    carpool = stage.carpool({"upstreams": {"two": {"match": "two.test", "address": [o.authority for o in origins]}}})
    named = {carpool.get("http://two.test/").text.rpartition(" (connected to ")[2] for _ in range(8)}
    assert named and named <= {f"{o.authority})\n" for o in origins}, named
    asked = {f"{o.authority})\n" for o in origins if o.requests}
    assert named == asked
