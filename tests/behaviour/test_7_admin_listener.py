"""Section 7 and 8: the admin API as a server: its requests, its connections, and what a reload does to them."""

import json
import os
import time

import pytest

from .harness import wait_until
from .harness.client import Client, chunked, request
from .harness.daemon import open_files

LIMIT = 10      # seconds for a request


def admin_client(carpool, **how):
    return carpool.client(("127.0.0.1", carpool.admin_port), **how)


def post(path):
    return request("POST", path, "localhost")


def large(count=2500):
    """A configuration whose /agents is a megabyte or two."""
    return {f"upstream-{n}-with-a-name-that-is-rather-long": {"match": f"h{n}.test"} for n in range(count)}


def reloaded(carpool, **admin):
    carpool.write({**carpool.config, "admin": {**carpool.config["admin"], **admin}})
    return carpool.admin("/reload", "POST")


def test_one_agent(stage):
    """`GET /agents/NAME`: what /agents says of it"""
    carpool = stage.carpool({"upstreams": {"pay.ments": {"match": "p.test", "maxSockets": 7}}})
    response = carpool.admin("/agents/pay%2Ements")
    assert response.status == 200 and response.fields.get("content-type") == "application/json"
    one, of_all = json.loads(response.body), carpool.agents()["pay.ments"]
    one.pop("lastHour"), of_all.pop("lastHour")  # goes on with the time
    assert one == of_all
    response = carpool.admin("/agents/nobody")
    assert response.status == 404 and "no such agent" in json.loads(response.body)["error"]


def test_listeners(stage):
    """`GET /listeners`: where connections are taken now, and what for"""
    path, port = stage.path("proxy.sock"), stage.ports.take()
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "listen": [f"127.0.0.1:{port}"]}}})
    carpool.write({**carpool.config, "listen": [f"127.0.0.1:{carpool.port}", f"unix:{path}"]})
    assert carpool.admin("/reload", "POST").status == 200
    rows = json.loads(carpool.admin("/listeners").body)["listeners"]
    assert sorted(rows, key=lambda row: (row["for"], row["address"])) == [
        {"address": f"127.0.0.1:{carpool.admin_port}", "for": "admin", "passed": False},
        {"address": f"127.0.0.1:{carpool.port}", "for": "proxy", "passed": False},
        {"address": f"unix:{path}", "for": "proxy", "passed": False},
        {"address": f"127.0.0.1:{port}", "for": "upstream", "upstream": "api", "passed": False}]


def test_requests_in_a_row(stage):
    """several requests on one connection, also sent ahead; HEAD has no body"""
    carpool = stage.carpool()
    client = admin_client(carpool)
    assert client.get("/healthz", host="localhost").status == 200
    length = client.get("/version", host="localhost").fields.get("content-length")
    head = client.get("/version", method="HEAD", host="localhost")
    assert (head.status, head.body, head.fields.get("content-length")) == (200, b"", length)
    client.send(post("/agents/default/pause") + post("/agents/default/resume") + request("GET", "/readyz", "localhost"))
    answers = [json.loads(client.read_response().body) for _ in range(3)]
    assert [answer.get("paused") for answer in answers] == [True, False, None] and answers[2] == {"status": "ready"}
    assert client.get("/healthz", host="localhost", fields=[("Connection", "close")]).status == 200
    client.expect_end()


@pytest.mark.parametrize("how", [
    {"body": b"a=b"}, {"body": b"x" * 16384}, {"body": chunked(b"abc", b"d"), "fields": [("Transfer-Encoding", "chunked")]}])
def test_content_is_read_and_not_used(stage, how):
    """small POST: what `curl -d` sends harms nothing, and the next request is read behind it"""
    client = admin_client(stage.carpool())
    for _ in range(2):
        assert client.get("/reload", method="POST", host="localhost", **how).status == 200


def test_content_that_waits_for_100(stage):
    """Expect: 100-continue"""
    client = admin_client(stage.carpool())
    client.ask("/reload", method="POST", host="localhost", fields=[("Expect", "100-continue"), ("Content-Length", "3")])
    wait_until(client.answered, "100 (Continue)")
    client.send(b"a=b")
    response = client.response()
    assert response.status == 200 and [interim.status for interim in response.interim] == [100]


def test_http_1_0(stage):
    """HTTP/1.0: no Host is needed; the connection ends unless keep-alive is asked for"""
    carpool = stage.carpool()
    client = admin_client(carpool)
    response = client.get("/healthz", version="1.0", fields=[("Connection", "keep-alive")])
    assert (response.status, response.fields.get("connection")) == (200, "keep-alive")
    assert client.get("/healthz", version="1.0").status == 200
    client.expect_end()


@pytest.mark.parametrize("status, data", [
    (400, b"nonsense\r\n\r\n"), (400, b"GET /healthz HTTP/1.1\r\n\r\n"),
    (400, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
    (400, b"GET localhost HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    (400, b"POST /reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    (403, b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    (413, b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16385\r\n\r\n"),
    (414, b"GET /" + b"x" * 20000), (431, b"GET / HTTP/1.1\r\nX: " + b"x" * 20000),
    (501, b"POST /reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")])
def test_refusals_say_why_and_end(stage, status, data):
    """a bad request is answered by a sentence, and its connection ends without a reset over the answer"""
    client = admin_client(stage.carpool())
    response = client.raw(data + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (response.status, response.fields.get("connection")) == (status, "close")
    assert json.loads(response.body)["error"]
    client.expect_end()


def test_an_answer_of_megabytes(stage):
    """a large answer leaves as its client takes it, whole, and holds nobody up meanwhile"""
    carpool = stage.carpool({"upstreams": large()})
    origin = stage.origin()
    slow = admin_client(carpool, receive_buffer=4096)
    slow.ask("/agents", host="localhost")
    wait_until(slow.answered, "the answer begins")
    assert carpool.get(origin.url("/")).status == 200
    assert carpool.admin("/healthz").status == 200
    response = slow.response()
    assert len(response.body) > 1_000_000
    assert len(json.loads(response.body)["agents"]) == 2501
    assert slow.get("/healthz", host="localhost").status == 200


def silent(carpool):
    yield admin_client(carpool), b""
    yield admin_client(carpool), b"GET /healthz HT"
    yield admin_client(carpool), b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na"
    kept = admin_client(carpool)
    assert kept.get("/healthz", host="localhost").status == 200
    yield kept, b""


def test_ten_seconds_for_a_request(stage):
    """ends one that has not said its request within 10 s, however it keeps itself busy; one that takes nothing of its
    answer, too"""
    carpool = stage.carpool({"upstreams": large()})
    before = time.monotonic()
    trickle = admin_client(carpool)
    stuck = admin_client(carpool, receive_buffer=4096)
    stuck.ask("/agents", host="localhost")
    idle = list(silent(carpool))
    for client, data in idle:
        client.send(data)

    def trickled_away():
        try:
            trickle.send(b"G")
        except OSError:
            return True
        return trickle.closed_by_peer()
    wait_until(trickled_away, "the one that trickles is ended")
    for client, _ in idle:
        client.expect_end()
    assert time.monotonic() - before >= LIMIT
    wait_until(lambda: admin_connections(carpool) == 0, "the one that takes nothing is ended")


def admin_connections(carpool):
    """Established connections to the admin listener that the daemon has, by /proc."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    mine = {row[9] for row in rows if row[1].endswith(f":{carpool.admin_port:04X}") and row[3] != "0A"}
    return sum(what.startswith("socket:[") and what[8:-1] in mine for what in open_files(carpool.pid))


def test_sixty_four_connections(stage):
    """takes at most 64 connections; those who say nothing make way for who asks, so that the API is there for its operator"""
    carpool = stage.carpool()
    clients = [admin_client(carpool) for _ in range(150)]
    most = 0

    def served():
        nonlocal most
        most = max(most, admin_connections(carpool))
        return carpool.admin("/healthz").status == 200
    wait_until(served, "who asks is served")
    assert most <= 64
    assert sum(not client.closed_by_peer() for client in clients) <= 64
    refused = [client.left() for client in clients if client.answered()]
    assert all(text.startswith(b"HTTP/1.1 503 ") and b"in use" in text for text in refused)


def test_off_ends_open_connections(stage):
    """admin.listen off holds for open admin connections at once: nothing is commanded by them any more"""
    carpool = stage.carpool()
    kept, half = admin_client(carpool), admin_client(carpool)
    assert kept.get("/healthz", host="localhost").status == 200
    half.send(post("/agents/default/pause")[:-2])
    assert carpool.admin("/healthz").status == 200      # who came later is answered: both are taken
    carpool.write({**carpool.config, "admin": {"listen": "off"}})
    asks = admin_client(carpool)
    response = asks.get("/reload", method="POST", host="localhost")     # by the listener that goes
    assert (response.status, response.fields.get("connection")) == (200, "close")
    asks.expect_end()
    kept.expect_end()
    half.expect_end()
    assert carpool.get(stage.origin().url("/")).status == 200


def test_a_moved_listener_ends_its_connections(stage):
    """admin.listen moved: the connections of the old address end, its next ones come to the new one"""
    carpool = stage.carpool()
    kept, port = admin_client(carpool), stage.ports.take()
    assert kept.get("/healthz", host="localhost").status == 200
    assert reloaded(carpool, listen=f"127.0.0.1:{port}").status == 200
    kept.expect_end()
    carpool.admin_port = port
    assert carpool.admin("/healthz").status == 200
    same = admin_client(carpool)
    assert same.get("/healthz", host="localhost").status == 200
    assert carpool.admin("/reload", "POST").status == 200
    assert same.get("/healthz", host="localhost").status == 200     # nothing about its listener has changed


def test_narrowed_clients_hold_for_open_connections(stage):
    """admin.clients narrowed holds for open admin connections at once"""
    carpool = stage.carpool()
    kept = admin_client(carpool)
    assert kept.get("/healthz", host="localhost").status == 200
    assert reloaded(carpool, clients=["192.0.2.0/24"]).status == 200
    response = kept.get("/agents/default/pause", method="POST", host="localhost")
    assert response.status == 403 and "admin.clients" in response.text
    kept.expect_end()


def test_a_unix_admin_listener(stage):
    """admin.listen may be a unix socket: its mode says who may ask, Host does not"""
    path = stage.path("admin.sock")
    carpool = stage.carpool({"admin": {"listen": f"unix:{path}"}})
    with Client(path) as client:
        assert client.get("/healthz", host="whatever").status == 200
        assert client.get("/healthz", host="whatever", fields=[("Origin", "http://evil.example")]).status == 403
    assert os.stat(path).st_mode & 0o777 == 0o600
    carpool.ends_itself()
    carpool.signal(15)
    assert carpool.wait() == 0 and not os.path.exists(path)
