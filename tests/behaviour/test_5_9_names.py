"""Section 5.9: resolving names, several addresses."""

import time

import pytest

from .harness import wait_until


def two_origins(stage, **how):
    """Servers on 127.0.0.2 and 127.0.0.3 with one port."""
    port = stage.ports.take()
    return [stage.origin(host=host, port=port, **how) for host in ("127.0.0.2", "127.0.0.3")]


def test_names_are_resolved(stage):
    """Names are resolved [...], answers are kept for their TTL"""
    origin = stage.origin()
    server = stage.names({"a.test": ["127.0.0.1"]})
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    for _ in range(10):
        assert carpool.get(f"http://a.test:{origin.port}/").status == 200
    assert origin.accepted == 10
    assert 1 <= server.asked("a.test") <= 2      # A, and AAAA at most


def test_the_ttl_ends(stage):
    """answers are kept for their TTL, and new sockets follow a changed answer"""
    first, second = two_origins(stage)
    server = stage.names({"a.test": ["127.0.0.2"]}, ttl=1)
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    url = f"http://a.test:{first.port}/"
    assert carpool.get(url).status == 200
    server.names["a.test"] = ["127.0.0.3"]
    wait_until(lambda: carpool.get(url).status == 200 and second.accepted, "the changed answer is followed")
    before = first.accepted
    for _ in range(3):
        assert carpool.get(url).status == 200
    assert first.accepted == before


def test_open_sockets_outlive_the_answer(stage):
    """new sockets follow a changed answer: those that are open stay in use"""
    first, second = two_origins(stage)
    server = stage.names({"a.test": ["127.0.0.2"]}, ttl=1)
    carpool = stage.carpool(prefix=stage.asking(server))
    url = f"http://a.test:{first.port}/"
    assert carpool.get(url).status == 200
    server.names["a.test"] = ["127.0.0.3"]
    time.sleep(1.2)
    assert carpool.get(url).status == 200
    assert (first.accepted, second.accepted) == (1, 0)


def test_etc_hosts(stage):
    """Names are resolved [...]: /etc/hosts comes first"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"a.test": ["127.0.0.3"]})
    carpool = stage.carpool(prefix=stage.asking(server, "127.0.0.1 localhost\n127.0.0.2 a.test b.test\n"))
    for name in ("a.test", "b.test", "A.Test"):
        assert carpool.get(f"http://{name}:{origin.port}/").status == 200
    assert not server.asked("a.test")


def test_a_silent_server_blocks_nobody(stage):
    """Names are resolved without blocking"""
    origin = stage.origin()
    server = stage.names({"silent.test": "silent", "a.test": ["127.0.0.1"]})
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "5s"}}}, prefix=stage.asking(server))
    silent = [carpool.ask("http://silent.test/") for _ in range(5)]
    wait_until(lambda: server.asked("silent.test"), "the question has been put")
    for _ in range(20):
        assert carpool.get(f"http://a.test:{origin.port}/").status == 200
    assert not any(client.answered() for client in silent)
    for client in silent:
        response = client.response()
        assert response.status == 504 and response.error in ("dns_timeout", "connection_timeout")


def test_many_requests_ask_once(stage):
    """answers are kept for their TTL: requests that wait for the same answer ask once"""
    origin = stage.origin()
    server = stage.names({"a.test": ["127.0.0.1"]})
    carpool = stage.carpool(prefix=stage.asking(server))
    clients = [carpool.ask(f"http://a.test:{origin.port}/") for _ in range(10)]
    assert [client.response().status for client in clients] == [200] * 10
    assert server.asked("a.test") <= 4


def test_addresses_are_raced(stage):
    """several addresses, those of `address` too, are raced 250 ms apart as in RFC 8305"""
    silent, good = two_origins(stage, backlog=0)
    silent.stall()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": [silent.authority, good.authority]}}})
    start = time.monotonic()
    assert carpool.get("http://a.test/").status == 200
    assert 0.2 < time.monotonic() - start < 8      # timeouts.connect is 10 s


def test_addresses_of_a_name_are_raced(stage):
    """several addresses [...] are raced 250 ms apart as in RFC 8305"""
    silent, good = two_origins(stage, backlog=0)
    silent.stall()
    server = stage.names({"a.test": ["127.0.0.2", "127.0.0.3"]})
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    for _ in range(2):
        start = time.monotonic()
        assert carpool.get(f"http://a.test:{good.port}/").status == 200
        assert time.monotonic() - start < 8
    assert good.accepted == 2


def test_losers_are_closed_at_once(stage):
    """at most one established connection, however many addresses it races (losers are closed at once)"""
    silent, good = two_origins(stage, backlog=0)
    silent.stall()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": [silent.authority, good.authority]}}})
    assert carpool.get("http://a.test/").status == 200
    silent.resume()
    time.sleep(1.5)     # the kernel would repeat the attempt after a second
    assert silent.accepted == 0
    carpool.wait_row("http://a.test:80", "a", freeSockets=1, socketsOpened=1)


def test_a_race_is_one_place(stage):
    """A connecting socket is one place under the limits [...], however many addresses it races"""
    silent = two_origins(stage, backlog=0)
    for origin in silent:
        origin.stall()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "maxSockets": 1,
                                                 "address": [origin.authority for origin in silent]}}})
    for _ in range(2):
        carpool.ask("http://a.test/")
    time.sleep(0.4)
    carpool.wait_row("http://a.test:80", "a", connecting=1, requests=1)


def test_new_sockets_rotate(stage):
    """New sockets rotate over the entries of `address`"""
    first, second = two_origins(stage)
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "keepAlive": False,
                                                 "address": [first.authority, second.authority]}}})
    for _ in range(10):
        assert carpool.get("http://a.test/").status == 200
    assert (first.accepted, second.accepted) == (5, 5)


def test_new_sockets_rotate_over_a_names_addresses(stage):
    """New sockets rotate over [...] a name's addresses of one family"""
    first, second = two_origins(stage)
    server = stage.names({"a.test": ["127.0.0.2", "127.0.0.3"]})
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    for _ in range(10):
        assert carpool.get(f"http://a.test:{first.port}/").status == 200
    assert (first.accepted, second.accepted) == (5, 5)


def test_an_address_that_refused_is_tried_last(stage):
    """one that failed to connect is tried last for 10 s: it is not knocked at while another answers"""
    first, second = two_origins(stage)
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "keepAlive": False,
                                                 "address": [first.authority, second.authority]}}})
    first.stop_listening()
    for _ in range(4):
        assert carpool.get("http://a.test/").status == 200
    first.listen()
    for _ in range(6):
        assert carpool.get("http://a.test/").status == 200
    assert (first.accepted, second.accepted) == (0, 10)


@pytest.mark.parametrize("code", [3, 2])
def test_failures_are_not_kept_for_long(stage, code):
    """answers are kept for their TTL: a name that did not resolve is asked for again"""
    origin = stage.origin()
    server = stage.names({"a.test": code})
    carpool = stage.carpool(prefix=stage.asking(server))
    url = f"http://a.test:{origin.port}/"
    assert carpool.get(url).error == "dns_error"
    server.names["a.test"] = ["127.0.0.1"]
    wait_until(lambda: carpool.get(url).status == 200, "the name resolves now")


def test_a_denied_address_among_others(stage):
    """checked on the very address each attempt connects to"""
    first, second = two_origins(stage)
    server = stage.names({"a.test": ["127.0.0.2", "127.0.0.3"]})
    carpool = stage.carpool({"access": {"denyAddresses": ["127.0.0.2"]}, "defaults": {"keepAlive": False}},
                            prefix=stage.asking(server))
    for _ in range(4):
        assert carpool.get(f"http://a.test:{first.port}/").status == 200
    assert (first.accepted, second.accepted) == (0, 4)
