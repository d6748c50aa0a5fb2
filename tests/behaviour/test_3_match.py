"""Section 3: which upstream a request belongs to, and where its sockets go."""


import pytest

from .harness import wait_until


def agent_of(carpool, url):
    """Which agent took this request (all addresses refuse)."""
    response = carpool.get(url)
    assert response.status == 502, response
    busy = [name for name in carpool.agents() if carpool.retired_of_agent(name).get("connect-failed")]
    return busy, response.text


def matching(stage, **patterns):
    """A daemon whose upstreams all lead to a port that refuses; their names stand in the answers."""
    closed = stage.ports.refused()
    stage.keep = closed
    where = f"127.0.0.1:{closed.getsockname()[1]}"
    return stage.carpool({"upstreams": {name: {"match": match, "address": [where]}
                                        for name, match in patterns.items()}})


@pytest.mark.parametrize("url, agent", [
    ("http://a.test/", "exact"), ("http://A.TEST/", "exact"), ("http://a.test:80/", "exact"),
    ("http://a.test:8443/", "exact-port"),
    ("http://x.a.test/", "suffix"), ("http://x.y.a.test/", "suffix"), ("http://x.b.a.test/", "longer"),
    ("http://x.a.test:8443/", "suffix-port"), ("http://x.b.a.test:8443/", "longer"),
    ("http://b.a.test/", "suffix"), ("http://elsewhere.test/", "star"), ("http://xa.test/", "star"),
    ("http://elsewhere.test:81/", "star")])
def test_the_most_specific_entry_wins(stage, url, agent):
    """The most specific entry wins: exact host before the longest suffix before `*`, with a port before
    without."""
    carpool = matching(stage, **{"star": "*", "suffix": "*.a.test", "longer": "*.b.a.test", "exact": "a.test",
                                 "exact-port": "a.test:8443", "suffix-port": "*.a.test:8443"})
    busy, text = agent_of(carpool, url)
    assert busy == [agent] and agent in text


@pytest.mark.parametrize("url, agent", [("http://a.test/", "web"), ("http://a.test:80/", "web"),
                                        ("http://a.test:81/", "star")])
def test_the_port_that_a_url_does_not_name(stage, url, agent):
    """It is the URL that is matched, as the app wrote it (port 80 or 443 by scheme when it names none)."""
    carpool = matching(stage, web="a.test:80", star="*")
    assert agent_of(carpool, url)[0] == [agent]


def test_an_address_replaces_the_host(stage):
    """address: connect there instead of resolving the host; host:port or unix:/path"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"a": {"match": "nowhere.invalid", "address": [origin.authority]}}})
    assert carpool.get("http://nowhere.invalid/x").status == 200
    assert origin.requests[0].fields.get("Host") == "nowhere.invalid"


def test_an_address_may_be_a_unix_socket(stage):
    """address: [...] host:port or unix:/path"""
    path = stage.path("origin.sock")
    origin = stage.origin(path=path)
    carpool = stage.carpool({"upstreams": {"a": {"match": "nowhere.invalid", "address": [f"unix:{path}"]}}})
    for _ in range(2):
        assert carpool.get("http://nowhere.invalid/x").status == 200
    assert origin.accepted == 1


def test_denied_addresses_do_not_bind_the_operator(stage):
    """What `address` names is the operator's word: `denyAddresses` does not apply to it."""
    origin = stage.origin()
    carpool = stage.carpool({"access": {"denyAddresses": ["127.0.0.0/8"]},
                             "upstreams": {"a": {"match": "a.test", "address": [origin.authority]}}})
    assert carpool.get("http://a.test/").status == 200
    assert carpool.get(origin.url("/")).error == "destination_ip_prohibited"


def test_the_file_replaces_the_denied_addresses(stage):
    """`access.denyAddresses` given in the file replaces the default list."""
    closed = stage.ports.refused()
    target = f"http://127.0.0.9:{closed.getsockname()[1]}/"
    carpool = stage.carpool({"access": {"denyAddresses": ["127.0.0.9"]}})
    assert carpool.get(target).error == "destination_ip_prohibited"
    assert stage.carpool().get(target).error == "connection_refused"


@pytest.mark.parametrize("host", ["[::ffff:127.0.0.9]", "[64:ff9b::127.0.0.9]", "[2002:7f00:9::]"])
def test_denied_addresses_in_disguise(stage, host):
    """never connect there: [...] IPv4-mapped, NAT64 and 6to4 forms unwrapped first"""
    carpool = stage.carpool({"access": {"denyAddresses": ["127.0.0.9"]}})
    response = carpool.get(f"http://{host}:{stage.ports.take()}/")
    assert response.status == 502 and response.error == "destination_ip_prohibited"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]",
                                  "255.255.255.255"])
def test_addresses_denied_by_default(stage, host):
    """denyAddresses: [169.254.0.0/16, "fe80::/10", 0.0.0.0/8, "::/128", 224.0.0.0/4, "ff00::/8",
    255.255.255.255/32]"""
    response = stage.carpool().get(f"http://{host}/")
    assert response.status == 502 and response.error == "destination_ip_prohibited"


def test_unmatched_hosts_may_be_denied(stage):
    """unmatched: allow # hosts that no upstream matches: allow (agent "default") | deny (403)"""
    origin = stage.origin()
    carpool = stage.carpool({"access": {"unmatched": "deny"},
                             "upstreams": {"a": {"match": "a.test", "address": [origin.authority]}}})
    response = carpool.get(origin.url("/"))
    assert response.status == 403 and response.error == "http_request_denied"
    assert carpool.get("http://a.test/").status == 200
    assert origin.accepted == 1


def test_clients_are_checked(stage):
    """clients: [...] who may use the TCP listeners; others get 403"""
    origin = stage.origin()
    carpool = stage.carpool({"access": {"clients": ["127.0.0.4/31"]}})
    for source, status in (("127.0.0.4", 200), ("127.0.0.5", 200), ("127.0.0.6", 403), ("127.0.0.1", 403)):
        client = carpool.client(source=source)
        response = client.get(origin.url("/"))
        assert (source, response.status) == (source, status)
        if status == 403:
            assert response.error == "http_request_denied"
    assert len(origin.requests) == 2


def test_clients_are_checked_for_each_request(stage):
    """`access` is asked for each request"""
    origin = stage.origin()
    carpool = stage.carpool({"access": {"clients": ["127.0.0.0/8"]}})
    mine, other = carpool.client(source="127.0.0.2"), carpool.client(source="127.0.0.3")
    assert [client.get(origin.url("/")).status for client in (mine, other)] == [200, 200]
    carpool.reload({"access": {"clients": ["127.0.0.3"]}})
    assert mine.get(origin.url("/denied")).status == 403
    mine.expect_end()
    assert other.get(origin.url("/")).status == 200
    assert "/denied" not in origin.targets


def test_clients_of_a_unix_socket_are_not_checked(stage):
    """clients: [...] who may use the TCP listeners"""
    origin = stage.origin()
    path = stage.path("carpool.sock")
    carpool = stage.carpool({"listen": [f"unix:{path}"], "access": {"clients": ["10.0.0.0/8"]}})
    assert carpool.get(origin.url("/")).status == 200


@pytest.mark.parametrize("family, key", [(4, "127.0.0.1"), (6, "::1")])
def test_the_family_of_addresses(stage, family, key):
    """family: any # any | 4 | 6"""
    port = stage.ports.take()
    stage.origin(host="127.0.0.1", port=port)
    try:
        stage.origin(host="::1", port=port)
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = stage.names({"both.test": ["127.0.0.1", "::1"]})
    carpool = stage.carpool({"defaults": {"family": family}}, prefix=stage.asking(server))
    assert carpool.get(f"http://both.test:{port}/").status == 200
    assert [origin.host for origin in stage.origins if origin.accepted] == [key]


def test_the_local_address(stage):
    """localAddress: "" # bind outgoing sockets to it"""
    origin = stage.origin()
    carpool = stage.pooled(localAddress="127.0.0.77")
    assert carpool.get(origin.url("/")).status == 200
    assert origin.connections[0].peer[0] == "127.0.0.77"


def test_sockets_have_tcp_keepalive(stage):
    """keepAliveMsecs: 1s # TCP keep-alive probe delay on sockets"""
    origin = stage.origin()
    carpool = stage.pooled(keepAliveMsecs="100s", timeouts={"free": "off"})
    assert carpool.get(origin.url("/")).status == 200
    port = origin.connections[0].peer[1]

    def timer():
        with open("/proc/net/tcp", encoding="ascii") as file:
            for line in file.read().splitlines()[1:]:
                words = line.split()
                if words[1].endswith(f":{port:04X}") and words[3] == "01":
                    return words[5]
        return None
    kind, ticks = wait_until(lambda: timer() and timer().startswith("02") and timer(), "a keep-alive timer").split(":")
    assert kind == "02" and 50 * 100 < int(ticks, 16) <= 100 * 100
