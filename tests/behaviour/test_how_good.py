"""The promises in figures: exact limits under load, no stale error, nothing delivered twice, nothing left behind."""

import random
from collections import Counter

import pytest

from .harness import stays, wait_until
from .harness.client import request
from .harness.load import Load
from .harness.origin import answer

MANY = 10_000


def test_ten_thousand_requests_over_ten_sockets(stage):
    """10,000 requests through 50 parallel clients with `maxSockets: 10`: exactly 10 upstream connections at
    most at any time, no error, no descriptor left, no memory growth."""
    origin = stage.origin()
    carpool = stage.pooled(maxSockets=10)
    Load().run(carpool.address, [request("GET", origin.url("/warm"))] * 200, 50)
    origin.close_connections()
    carpool.wait_row(origin, freeSockets=0, sockets=0)
    before, memory = carpool.descriptors(), carpool.resident()
    accepted = origin.accepted
    load = Load().run(carpool.address, [request("GET", origin.url(f"/{n}")) for n in range(MANY)], 50)
    assert load.statuses == {200: MANY} and not load.failures
    assert origin.max_open <= 10
    assert origin.accepted - accepted <= 10, "sockets were not reused"
    assert Counter(got.target for got in origin.requests if got.target != "/warm") == {f"/{n}": 1 for n in range(MANY)}
    row = carpool.row(origin)
    assert row["requestsTotal"] == MANY + 200
    assert row["socketsOpened"] + row["reusedTotal"] == row["requestsTotal"]
    origin.close_connections()
    wait_until(lambda: carpool.descriptors() <= before, lambda: f"{before} descriptors (now {carpool.descriptors()})")
    if not carpool.sanitized:
        assert carpool.resident() - memory < 1 << 20


def test_two_hundred_one_shot_requests_share_one_socket(stage):
    """Measured on 200 one-shot requests: [...] Carpool must open as few as concurrency demands, by default,
    for every method"""
    origin = stage.origin()
    carpool = stage.carpool()
    requests = [request(("GET", "POST")[n % 2], origin.url(f"/{n}"), body=b"x" * (n % 2)) for n in range(200)]
    load = Load().run(carpool.address, requests, 1)
    assert load.statuses == {200: 200} and not load.failures
    assert origin.accepted == 1


def nasty(rng):
    """Answers every request on a fresh connection; closes idle ones, early and late, at the worst moments."""
    def respond(asked):
        connection = asked.connection
        if len(connection.requests) > 1 and rng.random() < 0.1:
            connection.reset() if rng.random() < 0.5 else connection.close()    # stale: read, never answered
        connection.send(answer(asked.target.encode()))
        fate = rng.random()
        if fate < 0.15:
            connection.close()          # races with the next use
        elif fate < 0.25:
            connection.silent(rng.random() * 0.001)
            connection.close()
        elif fate < 0.3:
            connection.reset()
        return None
    return respond


def test_an_origin_that_closes_idle_sockets_at_the_moment_of_reuse(stage):
    """An origin that closes idle sockets at the very moment they are reused: no client-visible error for
    idempotent methods over 10,000 requests"""
    origin = stage.origin(nasty(random.Random(5)))
    carpool = stage.carpool()
    methods = ["GET", "PUT", "DELETE"]
    requests = [request(methods[n % 3], origin.url(f"/{n}"), body=b"x" * 100 if n % 3 == 1 else b"") for n in range(MANY)]
    load = Load().run(carpool.address, requests, 8, keep_bodies=True)
    assert not load.failures
    assert load.statuses == {200: MANY}
    bodies = Counter(body.rpartition(b"\r\n\r\n")[2] for body in load.bodies)
    assert bodies == {b"/%d" % n: 1 for n in range(MANY)}, "a response went astray"
    row = carpool.row(origin)
    assert row["retriesTotal"] > 100, "the race hardly took place"
    assert row["requestsTotal"] == MANY


def test_a_post_is_never_delivered_twice(stage):
    """a POST is never delivered twice"""
    origin = stage.origin(nasty(random.Random(6)))
    carpool = stage.pooled(retries=5)
    requests = [request("POST", origin.url(f"/{n}"), body=b"n=%d" % n) for n in range(3000)]
    load = Load().run(carpool.address, requests, 8, keep_bodies=True)
    assert not load.failures
    assert set(load.statuses) == {200, 502}, "the race did not take place"
    delivered = Counter(request.target for connection in origin.connections for request in connection.requests)
    assert max(delivered.values()) == 1
    assert len(delivered) > 2500
    answered = Counter(body.rpartition(b"\r\n\r\n")[2] for body in load.bodies if b" 200 " in body[:13])
    assert max(answered.values()) == 1 and set(answered) <= {target.encode() for target in delivered}


def test_many_origins_leave_nothing_behind(stage):
    """no descriptor left: of hundreds of connections that all ended"""
    origin = stage.origin(lambda _: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool()
    Load().run(carpool.address, [request("GET", origin.url("/"))] * 20, 10)
    wait_until(lambda: carpool.row(origin)["sockets"] == 0, "all sockets are gone")
    before = carpool.descriptors()
    load = Load().run(carpool.address, [request("GET", origin.url("/"))] * 500, 25)
    assert load.statuses == {200: 500} and origin.accepted == 520
    wait_until(lambda: carpool.descriptors() <= before, lambda: f"{before} descriptors (now {carpool.descriptors()})")


def test_an_idle_daemon_does_not_spin(stage):
    """never spins: idle sockets and clients, half-closed ones too, cost no time"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"server": {"halfClose": True}, "defaults": {"maxSockets": 2}})
    clients = [carpool.ask(origin.url("/")) for _ in range(6)]
    for _ in range(2):
        origin.take()
    for client in clients:
        client.fin()
    carpool.wait_row(origin, sockets=2, requests=4)
    origin.connections[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
    before = carpool.cpu_seconds()
    stays(lambda: carpool.cpu_seconds() - before < 0.2, "it spins", 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_limits_hold_for_the_whole_process(stage, workers):
    """workers: 1 # event loops, each a thread [...]. Limits hold for the whole process"""
    origin = stage.origin()
    carpool = stage.carpool({"workers": workers, "defaults": {"maxSockets": 3}})
    load = Load().run(carpool.address, [request("GET", origin.url("/"))] * 1000, 30)
    assert load.statuses == {200: 1000} and not load.failures
    assert origin.max_open <= 3 and origin.accepted <= 3
