"""Too many hosts, too few descriptors."""
import time

from behaviour.harness import wait_until
from behaviour.harness.client import request

from .swarm import Swarm

HOSTS = 2000


def limited(descriptors):
    return ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]


def test_thousands_of_hosts(stage, ordinary):
    """sockets stay under maxTotalSockets and memory is bounded, however many names are asked for"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"many": {"match": "*.many.test", "address": [origin.authority],
                                                    "maxTotalSockets": 50, "maxFreeSockets": 1}}})
    client = ordinary(carpool)
    memory, before = carpool.resident(), carpool.descriptors()
    numbers = iter(range(HOSTS))

    def step():
        for n in (next(numbers, None) for _ in range(20)):
            if n is not None:
                assert carpool.get(f"http://h{n}.many.test/{n}").fields.get("X-Target") == f"/{n}"
    client.goes_on(step, 2)
    for n in numbers:
        assert carpool.get(f"http://h{n}.many.test/{n}").status == 200
    assert carpool.descriptors() <= before + 60
    assert carpool.sanitized or carpool.resident() - memory < HOSTS * 4096
    metrics = carpool.admin("/metrics").text
    assert metrics.count("\n") < 2000, "a metric for each host"
    wait_until(lambda: carpool.admin("/agents").status == 200, "the table")


def test_no_descriptor_left(stage):
    """more clients than descriptors: the daemon does not spin, those who have a connection are served, and so are new
    ones when some are gone"""
    origin = stage.origin()
    carpool = stage.carpool(prefix=limited(64))
    kept = carpool.client()
    assert kept.get(origin.url("/before")).status == 200
    with Swarm(carpool.address, 300) as swarm:
        time.sleep(0.3)
        spent, start = carpool.cpu_seconds(), time.monotonic()
        while time.monotonic() - start < 1:
            swarm.poll(0.02)
        waited = time.monotonic() - start
        spent = carpool.cpu_seconds() - spent
        assert spent < 0.3 * waited * (3 if carpool.sanitized else 1), f"{spent:.2f} s of processor time in {waited:.2f} s"
        assert kept.get(origin.url("/meanwhile")).status in (200, 503)
    wait_until(lambda: carpool.get(origin.url("/after")).status == 200, "service again")


def test_free_sockets_make_way(stage):
    """free sockets are a comfort: when descriptors run short they go, before a client is turned away or a connect fails"""
    idle, other = stage.origin(), stage.origin()
    carpool = stage.carpool(prefix=limited(64))
    with Swarm(carpool.address, 20, request("GET", idle.url("/"))) as swarm:
        swarm.wait_answered()
    carpool.wait_row(idle, sockets=0)
    free = carpool.row(idle)["freeSockets"]
    assert free > 10
    with Swarm(carpool.address, 42):
        for n in range(5):
            assert carpool.get(other.url(f"/{n}")).status == 200
    assert carpool.retired(idle)["evicted"] > 3 and carpool.row(other)["retiredTotal"].get("connect-failed", 0) == 0


def test_free_sockets_make_way_for_names(stage):
    """a name is asked for by a descriptor, too, and one of the hosts file is read by one: free sockets go, before a name
    that exists is said not to"""
    idle, other = stage.origin(), stage.origin()
    server = stage.names({f"h{n}.test": ["127.0.0.1"] for n in range(3)})
    asking = stage.asking(server, "127.0.0.1 localhost written.test\n")
    carpool = stage.carpool(prefix=[*limited(64), *asking])
    with Swarm(carpool.address, 20, request("GET", idle.url("/"))) as swarm:
        swarm.wait_answered()
    carpool.wait_row(idle, sockets=0)
    assert carpool.row(idle)["freeSockets"] > 10
    with Swarm(carpool.address, 42):
        for name in ("h0.test", "h1.test", "written.test", "h2.test"):
            assert carpool.get(f"http://{name}:{other.port}/").status == 200
    assert carpool.retired(idle)["evicted"] > 3
