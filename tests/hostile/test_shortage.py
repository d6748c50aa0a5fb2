"""Too many hosts, too few descriptors."""
import time

from behaviour.harness import wait_until
from behaviour.harness.client import request
from behaviour.harness.origin import answer

from .ordinary import QuickOrigin
from .swarm import Swarm

HOSTS = 10000
REMEMBERED = 1100   # empty ones: 1,000, and those of the last moment


def limited(descriptors):
    return ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]


def after_a_while(asked):
    """So that requests that come together need a socket each, however quick the machine is."""
    asked.connection.silent(0.5)
    return answer()


def test_ten_thousand_hosts(stage, ordinary):
    """sockets stay under maxTotalSockets and memory is bounded, however many names are asked for; when their agent goes,
    they are forgotten (those of one that stays after a minute: make soak looks at that), and memory returns"""
    with QuickOrigin() as origin:
        carpool = stage.carpool({"log": {"level": "warn"}, "upstreams": {
            "many": {"match": "*.many.test", "address": [f"127.0.0.1:{origin.port}"], "maxTotalSockets": 50,
                     "maxFreeSockets": 1}}})
        client = ordinary(carpool)
        memory, before = carpool.resident(), carpool.descriptors()
        starts = iter(range(0, HOSTS, 200))

        def ask(start):
            with Swarm(carpool.address, 200, lambda n: request("GET", f"http://h{start + n}.many.test/")) as swarm:
                swarm.wait_answered()
                assert swarm.statuses() == {200: 200}, swarm.statuses()

        def step():
            start = next(starts, None)
            if start is not None:
                ask(start)
        client.goes_on(step)
        for start in starts:
            ask(start)
        wait_until(lambda: carpool.descriptors() <= before + 60, lambda: f"descriptors: {carpool.descriptors()}, {before} before")
        remembered = len(carpool.agents()["many"]["origins"])
        assert remembered <= REMEMBERED, f"{remembered} origins"
        most = carpool.resident() - memory
        assert carpool.sanitized or most < HOSTS * 4096, f"{most} bytes"
        assert carpool.admin("/metrics").text.count("\n") < 2000, "a metric for each host"
        carpool.write({**carpool.config, "upstreams": {}})
        assert carpool.admin("/reload", "POST").status == 200
        wait_until(lambda: "many" not in carpool.agents(), "the agent is gone")
        if not carpool.sanitized:
            wait_until(lambda: carpool.resident() - memory < most * 2 / 3,
                       lambda: f"memory: {memory} before, {most} more with the hosts, {carpool.resident() - memory} without")


def test_no_descriptor_left(stage):
    """more clients than descriptors: the daemon does not spin, those who have a connection are served, and so are new
    ones when some are gone"""
    origin = stage.origin()
    carpool = stage.carpool(prefix=limited(64))
    kept = carpool.client()
    assert kept.get(origin.url("/before")).status == 200
    with Swarm(carpool.address, 300) as swarm:
        swarm.poll(0.3)
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
    idle, other = stage.origin(after_a_while), stage.origin()
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
    idle, other = stage.origin(after_a_while), stage.origin()
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
