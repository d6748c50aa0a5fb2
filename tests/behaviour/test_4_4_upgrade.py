"""Section 4.4: Upgrade is passed on and, after 101, the socket leaves the agent's pool."""

import json
import os
import shutil
import subprocess
import time

import pytest

from .harness import PATIENCE, wait_until
from .harness.client import request
from .harness.daemon import environment
from .harness.origin import answer
from .harness.tls import https_key, secure, tls_origin

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "chat/1")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n"


def switching(behind=b""):
    """A script: one request, 101 with these bytes behind it in one write, then an echo."""
    def serve(connection):
        connection.read_request()
        connection.send(SWITCH + behind)
        connection.send(b"")
        while connection.left() or connection.fill():
            connection.send(connection.exactly(len(connection.left())))
    return serve


@pytest.fixture(params=["plain", "tls"])
def site(request, stage):
    """make(script or respond=...) -> origin, its key; go(origin) -> a daemon in front of it."""
    class Site:
        @staticmethod
        def origin(respond=None, **how):
            if request.param == "tls":
                origin = tls_origin(stage, respond, **how)
                return origin, https_key(origin)
            origin = stage.origin(respond, **how)
            return origin, origin.key

        @staticmethod
        def carpool(**upstream):
            if request.param == "tls":
                return stage.carpool(secure(**upstream))
            return stage.carpool({"upstreams": {"api": {"match": "127.0.0.1", **upstream}}})
    return Site


def switch(carpool, origin, early=b""):
    client = carpool.client()
    client.send(request("GET", origin.url("/"), fields=UPGRADE))
    head = client.read_response_head()
    assert head.status == 101
    client.send(early)
    return client, head


def test_hands_both_sides_over(site):
    origin, key = site.origin(serve=switching())
    carpool = site.carpool()
    client, head = switch(carpool, origin)
    assert head.fields.get("Upgrade") == "chat/1" and head.fields.get("Connection").lower() == "upgrade"
    assert origin.requests[0].fields.get("Upgrade") == "chat/1"
    for word in (b"one", b"two" * 30000):
        client.send(word)
        assert client.exactly(len(word)) == word
    row = carpool.row(key, "api")
    assert (row["sockets"], row["freeSockets"]) == (1, 0)
    client.fin()
    client.expect_end()
    wait_until(lambda: carpool.retired(key, "api") == {"upgraded": 1}, "it counts as upgraded")


def test_bytes_behind_the_101(site):
    """`101` hands both sides over with bytes already read"""
    origin, _ = site.origin(serve=switching(b"behind" * 5000))
    client, _ = switch(site.carpool(), origin)
    assert client.exactly(30000) == b"behind" * 5000


def test_the_content_before_the_tunnel_counts(stage):
    """`bytesIn`, `bytesOut` (bodies): of the request that asked for it, too"""
    log, origin = stage.path("access.log"), stage.origin(serve=switching())
    client = stage.carpool({"accessLog": {"path": log}}).client()
    client.send(request("POST", origin.url("/"), fields=[*UPGRADE, ("Content-Length", 3)]) + b"abc")
    assert client.read_response_head().status == 101
    client.send(b"hello")
    assert client.exactly(5) == b"hello"
    client.close()
    assert " bytesIn=8 bytesOut=5 " in wait_until(lambda: open(log).read(), "a line")


def test_no_byte_before_the_101(site):
    """No byte is tunnelled before the 101"""
    gate = []

    def serve(connection):
        connection.read_request()
        wait_until(lambda: gate, "the test lets go")
        assert not connection.closed_by_peer() and not connection.left()
        connection.send(SWITCH)
        connection.send(connection.exactly(5))
    origin, _ = site.origin(serve=serve)
    carpool = site.carpool()
    client = carpool.client()
    client.send(request("GET", origin.url("/"), fields=UPGRADE) + b"early")
    origin.wait_requests(1)
    gate.append(True)
    assert client.read_response_head().status == 101
    assert client.exactly(5) == b"early"


def test_still_counts_against_the_limits(site):
    origin, key = site.origin(serve=switching())
    carpool = site.carpool(maxSockets=1)
    client, _ = switch(carpool, origin)
    waiting = carpool.client()
    waiting.send(request("GET", origin.url("/"), fields=UPGRADE))
    carpool.wait_row(key, "api", sockets=1, requests=1)
    client.close()
    assert waiting.read_response_head().status == 101


def test_a_refused_upgrade_is_an_ordinary_response(site):
    origin, key = site.origin(lambda request: answer(b"no", "400 Bad Request" if request.target == "/bad" else "200 OK"))
    carpool = site.carpool()
    client = carpool.client()
    for path, status in (("/", 200), ("/bad", 400), ("/", 200)):
        response = client.get(origin.url(path), fields=UPGRADE)
        assert (response.status, response.text) == (status, "no")
    assert origin.accepted == 1 and carpool.row(key, "api")["reusedTotal"] == 2


def test_h2c_is_dropped(site):
    """`h2c` is dropped with `HTTP2-Settings` and the request forwarded without it"""
    origin, _ = site.origin()
    response = site.carpool().get(origin.url("/"), fields=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                                                           ("HTTP2-Settings", "AAMAAABkAAQAAP__")])
    assert response.status == 200
    assert "Upgrade" not in origin.requests[0].fields and "HTTP2-Settings" not in origin.requests[0].fields


def test_upgrade_in_several_lines_is_one_list(site):
    """WebSocket and any other token is passed on, `h2c` is not (RFC 9110 5.3: lines of one name are one list)"""
    long = "p" * 100
    origin, _ = site.origin(serve=switching())
    client = site.carpool().client()
    client.send(request("GET", origin.url("/"), fields=[("Connection", "Upgrade"), ("Upgrade", "h2c"), ("Upgrade", long),
                                                        ("Upgrade", "H2C, chat/1")]))
    assert client.read_response_head().status == 101
    client.send(b"hello")
    assert client.exactly(5) == b"hello"
    assert origin.requests[0].fields.all("Upgrade") == [long, "chat/1"]


@pytest.mark.parametrize("fields, reply", [
    ((), SWITCH),
    (UPGRADE, SWITCH.replace(b"Upgrade: chat/1", b"Upgrade: other")),
    (UPGRADE, SWITCH.replace(b"Upgrade: chat/1\r\n", b"")),
    (UPGRADE, SWITCH.replace(b"Upgrade: chat/1\r\n", b"Upgrade: chat/1\r\nUpgrade: other\r\n")),
    (UPGRADE, SWITCH.replace(b"Upgrade: chat/1", b"Upgrade: " + b", ".join([b"chat/1"] * 9))),
    (UPGRADE, SWITCH.replace(b"Connection: Upgrade\r\n", b"")),
    ([("Upgrade", "chat/1")], SWITCH)], ids=["unasked", "another", "unnamed", "one-more", "too-many", "no-connection", "not-hop-by-hop"])
def test_a_101_that_was_not_asked_for(site, fields, reply):
    """A 101 that was not asked for is a malformed response."""
    origin, key = site.origin(lambda request: reply)
    carpool = site.carpool()
    response = carpool.get(origin.url("/"), fields=fields)
    assert (response.status, response.error) == (502, "http_protocol_error")
    carpool.wait_retired(key, "protocol-error", agent="api")


def test_the_last_words_of_an_origin_that_listens_no_more(site):
    """What one side has sent is delivered though the other side has gone"""
    words = b"w" * 20000

    def serve(connection):
        connection.read_request()
        connection.send(SWITCH)
        while len(connection.left()) < 300000:
            connection.fill()
        connection.send(words)
        connection.reset()
    origin, key = site.origin(serve=serve)
    carpool = site.carpool()
    client, _ = switch(carpool, origin)
    thread = client.talk_on()
    assert client.how_it_ends() in ((words, "reset"), (words, "fin"))    # by fin when the sender met the reset
    client.reset()
    thread.join(PATIENCE)
    carpool.wait_row(key, "api", sockets=0)


def test_the_tunnel_timeout_holds(site):
    origin, _ = site.origin(serve=switching())
    start = time.monotonic()
    client, _ = switch(site.carpool(timeouts={"tunnel": "3s", "socket": "1500ms"}), origin)
    assert client.closed_by_peer(PATIENCE)
    assert time.monotonic() - start > 2.9
    origin.connections[0].wait_ended()


def test_other_requests_go_on(site):
    def serve(connection):
        while "Upgrade" not in connection.read_request().fields:
            connection.send(answer(b"plain"))
        connection.send(SWITCH)
    origin, _ = site.origin(serve=serve)
    carpool = site.carpool()
    for _ in range(3):
        switch(carpool, origin)
        assert carpool.get(origin.url("/")).text == "plain"


# WebSocket with real clients

WS_FOLDER = "/usr/share/nodejs"
SERVER = """
const {WebSocketServer} = require('ws');
const {readFileSync} = require('fs');
const {tls, port, cert, key} = JSON.parse(process.argv[2]);
const server = tls ? require('https').createServer({cert: readFileSync(cert), key: readFileSync(key)})
                   : require('http').createServer();
new WebSocketServer({server}).on('connection', socket => {
    socket.send('hello');
    socket.on('message', (data, binary) => socket.send(data, {binary}));
});
server.listen(port, '127.0.0.1', () => console.log('listening'));
"""
CLIENT = """
const WebSocket = require('ws');
const http = require('http');
const {proxy, target} = JSON.parse(process.argv[2]);
class Proxied extends http.Agent {      // absolute-form, as a client with a proxy setting asks
    addRequest(request, options) {
        request.path = target;
        super.addRequest(request, {...options, host: '127.0.0.1', port: proxy});
    }
}
const socket = new WebSocket(target.replace('http', 'ws'), {agent: new Proxied()});
const big = Buffer.alloc(2000000, 7);
const got = [];
socket.on('error', error => { console.error(error); process.exit(1); });
socket.on('message', (data, binary) => {
    got.push(binary ? [data.length, data.equals(big)] : data.toString());
    if (got.length === 1) { socket.send('text'); socket.send(big); socket.ping(); }
    if (got.length === 3) socket.close(1000, 'done');
});
socket.on('close', (code, reason) => console.log(JSON.stringify({got, code, reason: reason.toString()})));
"""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_websocket_of_node(stage, tls):
    """WebSocket works through plain and TLS upstreams with a real client"""
    from .harness.certificates import certificates  # pylint: disable=import-outside-toplevel
    if not shutil.which("node") or not os.path.isdir(f"{WS_FOLDER}/ws"):
        pytest.skip("needs node and its module ws (Debian: nodejs, node-ws)")
    env = environment({"NODE_PATH": WS_FOLDER})
    pair, port = certificates().local, stage.ports.take()
    words = json.dumps({"tls": tls, "port": port, "cert": pair.cert, "key": pair.key})
    with subprocess.Popen(["node", stage.write("server.js", SERVER), words], env=env, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout.readline() == b"listening\n"
            carpool = stage.carpool(secure() if tls else {"upstreams": {"api": {"match": "127.0.0.1"}}})
            words = json.dumps({"proxy": carpool.port, "target": f"http://127.0.0.1:{port}/chat"})
            done = subprocess.run(["node", stage.write("client.js", CLIENT), words], env=env, capture_output=True, timeout=180,
                                  check=False)
            assert done.returncode == 0, done.stderr.decode()
            assert json.loads(done.stdout) == {"got": ["hello", "text", [2000000, True]], "code": 1000, "reason": "done"}
            key = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            wait_until(lambda: carpool.retired(key, "api") == {"upgraded": 1}, "it counts as upgraded")
        finally:
            server.kill()
