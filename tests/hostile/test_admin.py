"""Clients of the admin API that mean harm, or are merely many, cost the proxy nothing, and the API itself only moments."""
import resource
import time

import pytest
from behaviour.harness import wait_until
from behaviour.harness.client import request
from behaviour.harness.wire import Closed, Reset, Truncated

from .swarm import Swarm, connected

ASK = request("GET", "/agents", "localhost")
UPSTREAMS = {f"upstream-{n}-with-a-name-that-is-rather-long": {"match": f"h{n}.test"} for n in range(1000)}


def admin(carpool):
    return "127.0.0.1", carpool.admin_port


def every(seconds, step):
    """A step that does something that often, and nothing in between."""
    last = 0.0

    def maybe():
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            step()
    return maybe


@pytest.mark.parametrize("greeting", [b"", b"GET /agents HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_silent_and_trickling_clients(stage, ordinary, greeting):
    """120 connections that are idle or send a byte every two seconds: 64 at most are kept, none for longer than 10 s; a
    client of the proxy notices nothing, the operator is served"""
    carpool = stage.carpool()
    client = ordinary(carpool)
    before = carpool.descriptors()
    with Swarm(admin(carpool), 120, greeting) as swarm:
        trickle = every(2, lambda: swarm.send(b"y" if greeting else b""))
        client.goes_on(lambda: (trickle(), swarm.poll()))
        wait_until(lambda: carpool.admin("/healthz").status == 200, "the operator is served")
        swarm.poll()
        assert len(swarm) <= 64
        while len(swarm):
            trickle()
            swarm.poll(0.1)
        assert set(swarm.statuses()) <= {503, None}, swarm.statuses()
    wait_until(lambda: carpool.descriptors() <= before + 2, lambda: f"{carpool.descriptors()} descriptors, {before} before")


def test_clients_that_do_not_read(stage, ordinary):
    """answers of megabytes for clients that take none of it: what is kept for them is bounded, and ends"""
    carpool = stage.carpool({"upstreams": UPSTREAMS})
    client = ordinary(carpool)
    memory = carpool.resident()
    with Swarm(admin(carpool), 60, ASK, receive_buffer=4096) as swarm:
        client.goes_on()
        assert carpool.sanitized or carpool.resident() - memory < 160 * 1024 * 1024
        assert carpool.get("http://127.0.0.1:1/").status == 502
        wait_until(lambda: carpool.admin("/healthz").status == 200, "the operator is served")
        swarm.wait_ended()


def test_floods(stage, ordinary):
    """endless requests, endless empty lines, endless content, and connections that come and go"""
    carpool = stage.carpool()
    client = ordinary(carpool)
    for start, more in ((b"GET /", b"a" * 65536), (b"", b"\r\n" * 30000), (b"", request("GET", "/healthz", "localhost") * 500),
                        (b"POST /reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 5000)):
        def step(start=start, more=more):
            with Swarm(admin(carpool), 20, start) as swarm:
                swarm.send(more)
                swarm.poll()
        client.goes_on(step)
    wait_until(lambda: carpool.admin("/healthz").status == 200, "the operator is served")


def shorten_memory(carpool, left):
    """So many bytes of address space are left to it."""
    with open(f"/proc/{carpool.pid}/status", encoding="ascii") as file:
        size = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmSize:"))
    resource.prlimit(carpool.pid, resource.RLIMIT_AS, (size + left, resource.RLIM_INFINITY))


def is_served(carpool, origin):
    try:
        return carpool.get(origin.url("/")).status == 200
    except (Closed, Reset, Truncated, OSError):     # there may be no memory for this one
        return False


@pytest.mark.parametrize("path, upstreams", [("/metrics", {}), ("/agents", {}), ("/", {}), ("/agents", UPSTREAMS), ("/config", UPSTREAMS)])
def test_short_memory(stage, path, upstreams):
    """no memory is left for answers to clients that do not read: the process lives, the proxy serves, and so does the admin
    API when they are gone"""
    origin = stage.origin()
    carpool = stage.carpool({"log": {"level": "error"}, "upstreams": upstreams}, env={"MALLOC_ARENA_MAX": "1"})
    if carpool.sanitized:
        pytest.skip("a sanitizer takes all address space for itself")
    assert carpool.get(origin.url("/")).status == 200
    shorten_memory(carpool, 1024 * 1024)
    held, served = [], 0
    data = request("GET", path, "localhost", [("X", "y" * 8000)])
    for _ in range(800):
        sock = connected(admin(carpool), receive_buffer=4096)
        held.append(sock)
        try:
            sock.settimeout(1)
            sock.send(data)
        except OSError:
            pass
        if len(held) % 20 == 0:     # with what there is: the admin API alone may not use up all of it
            assert carpool.running
            served += is_served(carpool, origin)
    assert served > 0
    for sock in held:
        sock.close()
    wait_until(lambda: carpool.admin("/healthz").status == 200, "the admin API is back")
    assert carpool.get(origin.url("/")).status == 200
