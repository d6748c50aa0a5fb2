"""Section 5.9: resolving names, several addresses."""

import socket
import time

import pytest

from .harness import stays, wait_until
from .harness.client import request
from .harness.names import A, AAAA, NXDOMAIN, REFUSED, SERVFAIL, Late, by_family


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
    stays(lambda: first.connections[0].is_open, "the socket is kept", 1.2)
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
    stays(lambda: silent.accepted == 0, "the loser is closed: the kernel would repeat the attempt after a second", 1.5)
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
    carpool.wait_row("http://a.test:80", "a", connecting=1, requests=1)
    stays(lambda: carpool.row("http://a.test:80", "a")["connecting"] == 1, "both addresses race by now in one place", 0.4)


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


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this host has no ::1")


def both_origins(stage, **how):
    """Servers on 127.0.0.2 and ::1 with one port."""
    port = stage.ports.take()
    return [stage.origin(host=host, port=port, **how) for host in ("127.0.0.2", "::1")]


@pytest.mark.parametrize("unanswered", ["silent", SERVFAIL, REFUSED, NXDOMAIN, []])
def test_one_familys_answer_will_do(stage, unanswered):
    """when one family's answer is there and the other's is not, connecting begins after 50 ms: a server that drops
    AAAA, or fails there, costs no more, with CONNECT either"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"a.test": by_family(["127.0.0.2"], unanswered)})
    carpool = stage.carpool({"defaults": {"keepAlive": False, "timeouts": {"connect": "4s"}},
                             "access": {"connectPorts": [origin.port]}}, prefix=stage.asking(server))
    for _ in range(2):      # name servers are given up after 5 s and 10 s
        assert carpool.get(f"http://a.test:{origin.port}/").status == 200
    client = carpool.client()
    client.send(request("CONNECT", f"a.test:{origin.port}"))
    assert client.read_response_head().status == 200
    assert server.asked("a.test", A) and server.asked("a.test", AAAA)


@needs_ipv6
def test_ipv6_alone_will_do(stage):
    """when one family's answer is there and the other's is not: in both directions"""
    _, v6 = both_origins(stage)
    server = stage.names({"a.test": by_family("silent", ["::1"])})
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "4s"}}}, prefix=stage.asking(server))
    assert carpool.get(f"http://a.test:{v6.port}/").status == 200
    assert v6.accepted == 1


@needs_ipv6
def test_a_late_answer_joins_the_race(stage):
    """and what comes later joins the race"""
    v4, v6 = both_origins(stage, backlog=0)
    v4.stall()
    late = Late(["::1"])
    server = stage.names({"a.test": by_family(["127.0.0.2"], late)})
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "60s"}}}, prefix=stage.asking(server))
    client = carpool.ask(f"http://a.test:{v6.port}/")
    wait_until(lambda: late.held, "the question has been put")
    stays(lambda: not client.answered(), "the race goes on without it", 0.3)
    late.let_go()
    assert client.response().status == 200
    assert (v4.accepted, v6.accepted) == (0, 1)


@needs_ipv6
def test_both_answers_are_waited_for_a_moment(stage):
    """when one family's answer is there and the other's is not, connecting begins after 50 ms: where both are there,
    IPv6 goes first"""
    v4, v6 = both_origins(stage)
    server = stage.names({"a.test": by_family(["127.0.0.2"], ["::1"])})
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    for _ in range(5):
        assert carpool.get(f"http://a.test:{v6.port}/").status == 200
    assert v6.accepted >= 4 and v4.accepted <= 1     # one may have been late


@pytest.mark.parametrize("family, a, aaaa", [(4, ["127.0.0.2"], "silent"), (6, "silent", ["::1"])])
def test_a_family_asks_for_itself_alone(stage, family, a, aaaa):
    """family: any | 4 | 6"""
    if family == 6 and not has_ipv6():
        pytest.skip("this host has no ::1")
    v4, v6 = both_origins(stage) if family == 6 else (stage.origin(host="127.0.0.2"), None)
    server = stage.names({"a.test": by_family(a, aaaa)})
    carpool = stage.carpool({"defaults": {"family": family}}, prefix=stage.asking(server))
    assert carpool.get(f"http://a.test:{(v6 or v4).port}/").status == 200
    assert not server.asked("a.test", A if family == 6 else AAAA)


def test_both_families_are_about_one_host(stage):
    """Names are resolved [...]: a name that the search list makes several of has the addresses of one of them"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"db.one.test": ["127.0.0.2"], "db.two.test": ["127.0.0.3", "::1"]})
    server.search = "one.test two.test"
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    for _ in range(5):
        assert carpool.get(f"http://db:{origin.port}/").status == 200
    assert server.asked("db.one.test") and not server.asked("db.two.test")


def test_what_a_family_lacks_is_remembered(stage):
    """answers are kept for their TTL: that there is no AAAA, as long as the A that came with it"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"a.test": ["127.0.0.2"]})
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    url = f"http://a.test:{origin.port}/"
    assert carpool.get(url).status == 200
    before = server.asked("a.test")
    stays(lambda: server.asked("a.test") == before, "nobody asks", 1.1)     # as long as a failure by itself is kept
    assert carpool.get(url).status == 200
    assert server.asked("a.test") == before


@pytest.mark.parametrize("trouble", [SERVFAIL, REFUSED])
def test_an_expired_answer_is_used_on(stage, trouble):
    """an answer past its TTL is used on for so long while the name servers fail (SERVFAIL, REFUSED [...]), not when they
    say that there is none"""
    first, second = two_origins(stage)
    server = stage.names({"a.test": ["127.0.0.2"]}, ttl=0)
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    url = f"http://a.test:{first.port}/"
    assert carpool.get(url).status == 200
    server.names["a.test"] = trouble
    for _ in range(3):
        assert carpool.get(url).status == 200
    wait_until(lambda: "the name servers fail" in carpool.stderr, "it is logged")
    server.names["a.test"] = ["127.0.0.3"]
    wait_until(lambda: carpool.get(url).status == 200 and second.accepted, "a new answer is followed")
    server.names["a.test"] = NXDOMAIN
    wait_until(lambda: carpool.get(url).error == "dns_error", "that there is no such name is believed")


def test_silent_servers_are_waited_for_once(stage):
    """or no word for 2 s"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"a.test": ["127.0.0.2"]}, ttl=0)
    carpool = stage.carpool({"defaults": {"keepAlive": False, "timeouts": {"connect": "1500ms"}}}, prefix=stage.asking(server))
    url = f"http://a.test:{origin.port}/"
    assert carpool.get(url).status == 200
    server.names["a.test"] = "silent"
    assert carpool.get(url).error == "dns_timeout"      # it waited for less than 2 s
    wait_until(lambda: carpool.get(url).status == 200, "the expired answer is used")
    assert [carpool.get(url).status for _ in range(5)] == [200] * 5


def test_expired_answers_may_be_refused(stage):
    """dns.staleIfError: 0 or off; a reload applies it"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"a.test": ["127.0.0.2"]}, ttl=0)
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    url = f"http://a.test:{origin.port}/"
    assert carpool.get(url).status == 200
    server.names["a.test"] = SERVFAIL
    assert carpool.get(url).status == 200
    carpool.write({**carpool.config, "dns": {"staleIfError": "off"}})
    assert carpool.admin("/reload", "POST").status == 200
    wait_until(lambda: carpool.get(url).status != 200, "what was used on is used no more")
    response = carpool.get(url)
    assert response.error == "dns_error" and b"the DNS servers of /etc/resolv.conf refuse or fail" in response.body


def test_the_hosts_file_answers_for_both_families(stage):
    """/etc/hosts comes first: a name that has an IPv4 address there has no IPv6 address of the DNS"""
    origin = stage.origin(host="127.0.0.2")
    server = stage.names({"a.test": ["127.0.0.3", "::1"]})
    carpool = stage.carpool(prefix=stage.asking(server, "127.0.0.1 localhost\n127.0.0.2 a.test\n"))
    assert carpool.get(f"http://a.test:{origin.port}/").status == 200
    assert not server.asked("a.test")


def test_a_name_that_nsswitch_alone_knows(stage):
    """name does not resolve: 502 dns_error. What other programs find by mDNS or an nss module, Carpool does not"""
    server = stage.names({})
    carpool = stage.carpool(prefix=stage.asking(server))
    response = carpool.get("http://printer.local/")
    assert response.error == "dns_error"
    assert b"cannot resolve printer.local: no such name (Carpool asks DNS and /etc/hosts only)" in response.body


def test_dnsmasq(stage):
    """Names are resolved [...], new sockets follow a changed answer, an expired one is used on while the name servers
    fail: with a name server that people run"""
    first, second = two_origins(stage)
    server = stage.dnsmasq("--host-record=a.test,127.0.0.2", "--local-ttl=1", "--local=/test/")
    carpool = stage.carpool({"defaults": {"keepAlive": False}}, prefix=stage.asking(server))
    url = f"http://a.test:{first.port}/"
    assert carpool.get(url).status == 200
    assert carpool.get("http://b.test/").error == "dns_error"
    server.close()
    wait_until(lambda: carpool.get(url).status == 200 and "the name servers fail" in carpool.stderr,
               "the answer has expired and is used on")
    server.start("--host-record=a.test,127.0.0.3", "--local-ttl=1", "--local=/test/")
    wait_until(lambda: carpool.get(url).status == 200 and second.accepted, "the changed answer is followed")
