"""Section 3: minFreeSockets, sockets that are kept warm."""

import time

from .harness import stays, wait_until
from .harness.certificates import certificates
from .harness.tls import tls_origin


def warm(carpool, origin, count, agent="default"):
    """Waits until that many sockets, or more, are free."""
    wait_until(lambda: carpool.row(origin, agent)["freeSockets"] >= count,
               lambda: f"{count} free ones: {carpool.row(origin, agent)}")


def test_warm_from_the_first_request(stage):
    """minFreeSockets: 0 # kept warm, per origin: [...] from the first request"""
    origin = stage.origin()
    carpool = stage.pooled(minFreeSockets=3)
    assert origin.accepted == 0
    assert carpool.get(origin.url("/")).status == 200
    warm(carpool, origin, 3)
    origin.wait_accepted(3)     # the one that served the request may be beside them
    stays(lambda: 3 <= origin.accepted <= 4, lambda: f"{origin.accepted} connections")
    row = carpool.row(origin)
    assert row["connecting"] == 0 and row["freeSockets"] == origin.accepted


def test_warm_from_the_start(stage):
    """from start where the upstream names one exact host"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": [origin.authority],
                                                 "minFreeSockets": 2}}})
    origin.wait_accepted(2)
    warm(carpool, "http://a.test:80", 2, "a")
    assert carpool.get("http://a.test/").status == 200
    warm(carpool, "http://a.test:80", 2, "a")
    assert origin.accepted <= 3


def test_warm_from_the_start_over_tls(stage):
    """from start where the upstream names one exact host: what is asked for with port 443 is https"""
    origin = tls_origin(stage)
    carpool = stage.carpool({"upstreams": {"a": {"match": "api.test:443", "address": [origin.authority], "minFreeSockets": 2}}},
                            env={"SSL_CERT_FILE": certificates().ca.pem})
    warm(carpool, "https://api.test:443", 2, "a")
    assert carpool.get("https://api.test/").status == 200
    assert carpool.row("https://api.test:443", "a")["retiredTotal"] == {}


def test_kept_warm_while_others_are_active(stage):
    """kept warm, per origin: free ones beside those that are active"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(minFreeSockets=2)
    clients = [carpool.ask(origin.url("/")) for _ in range(2)]
    requests = [origin.take() for _ in range(2)]
    carpool.wait_row(origin, sockets=2, freeSockets=2)
    for request in requests:
        request.connection.reply()
    assert [client.response().status for client in clients] == [200, 200]


def test_within_max_sockets(stage):
    """maxSockets: 100 # connecting + active + free, per origin: spares too"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(minFreeSockets=5, maxSockets=2)
    client = carpool.ask(origin.url("/"))
    request = origin.take()
    carpool.wait_row(origin, sockets=1, freeSockets=1)
    origin.wait_accepted(2)
    stays(lambda: origin.accepted == 2, lambda: f"{origin.accepted} connections")
    request.connection.reply()
    assert client.response().status == 200


def test_within_max_free_sockets(stage):
    """maxFreeSockets [...] free, per origin: no spare is opened only to be closed"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"api": {"match": origin.authority, "minFreeSockets": 3, "maxFreeSockets": 1}}})
    carpool.wait_row(origin, "api", freeSockets=1)
    origin.wait_accepted(1)
    stays(lambda: origin.accepted == 1, lambda: f"{origin.accepted} connections")
    assert carpool.retired(origin, "api") == {}


def test_spares_age_and_are_replaced(stage):
    """They age out by `free` like others and are replaced"""
    origin = stage.origin()
    carpool = stage.pooled(minFreeSockets=1, timeouts={"free": "300ms"})
    carpool.get(origin.url("/"))
    origin.wait_accepted(3)
    assert carpool.retired(origin).get("free-timeout", 0) >= 1
    warm(carpool, origin, 1)


def test_replacing_backs_off(stage):
    """with a back-off of 1 s to 30 s where that fails"""
    origin = stage.origin()
    carpool = stage.pooled(minFreeSockets=1)
    carpool.get(origin.url("/"))
    warm(carpool, origin, 1)
    origin.stop_listening()
    gone = time.monotonic()
    origin.close_connections()
    carpool.wait_retired(origin, "connect-failed", 2)
    assert time.monotonic() - gone > 0.95, "it hammers"
    carpool.wait_retired(origin, "connect-failed", 3)
    assert time.monotonic() - gone > 2.8, "the second pause is as short as the first"
