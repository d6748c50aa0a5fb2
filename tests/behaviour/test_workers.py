"""`workers: N`: several event loops, one pool. Limits, order and reuse hold for all of them together."""

import itertools
import os
import re
import resource
import shutil
import signal
import threading

import pytest

from .harness import PATIENCE, wait_until
from .harness.arena import Arena
from .harness.client import Client, chunked, request
from .harness.daemon import NotStarted
from .harness.load import Busy, Load
from .harness.origin import answer
from .harness.systemd import Socket, passing

UNLIMITED = {"maxTotalSockets": "Infinity"}     # the origins of such an agent are spread over the loops


def handovers(carpool):
    """How often a client went from one loop to another."""
    return sum(map(int, re.findall(r"^carpool_worker_handovers_total\{.*\} (\d+)", carpool.admin("/metrics").text, re.M)))


def workers(carpool):
    return int(re.search(r"^carpool_workers (\d+)", carpool.admin("/metrics").text, re.M)[1])


@pytest.fixture
def quota():
    """The folder of a cgroup that may use one processor's time, of either version."""
    for base, limits in (("/sys/fs/cgroup", {"cpu.max": "100000 100000"}),
                         ("/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"})):
        folder = f"{base}/carpool-test-{os.getpid()}"
        try:
            os.mkdir(folder)
        except OSError:
            continue
        try:
            for name, value in limits.items():
                with open(f"{folder}/{name}", "r+", encoding="ascii") as file:
                    file.write(value)
        except OSError:
            os.rmdir(folder)
            continue
        break
    else:
        pytest.skip("no cgroup with a quota can be made here (it takes root)")
    yield folder
    wait_until(lambda: _removed(folder), "the cgroup is empty")


def _removed(folder):
    try:
        os.rmdir(folder)
        return True
    except OSError:
        return False


def one_host_each(stage, count, **how):
    """Origins behind upstreams that name one host each, which live in the loops in turn: ({name: Origin}, upstreams)."""
    origins = {f"u{number}": stage.origin(**how) for number in range(count)}
    return origins, {name: {"match": f"{name}.test", "address": [origin.authority]} for name, origin in origins.items()}


def with_loops(stage, count, config=None, **defaults):
    return stage.carpool({"workers": count, **(config or {}), "defaults": {**UNLIMITED, **defaults}})


@pytest.fixture
def descriptors():
    """As many as the system lets us have; how many clients that makes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield 5000 if before[1] == resource.RLIM_INFINITY else min(5000, before[1] - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Limits


def test_limits_hold_for_all_loops_together(stage, descriptors):
    """maxSockets per origin and maxTotalSockets per agent, counted by the origin, with 8 loops and 5,000 clients at once"""
    with Arena() as arena:
        spread = [arena.origin(stage.ports.take()) for _ in range(4)]
        total = arena.origin(stage.ports.take())
        carpool = with_loops(stage, 8, {"upstreams": {"total": {
            "match": "*.total.test", "address": [total.authority], "maxTotalSockets": 9, "maxSockets": 3,
            "maxPendingRequests": 10000}}}, maxSockets=7, maxPendingRequests=10000,
                       timeouts={"pending": "off", "free": "off"})
        urls = [f"http://{origin.authority}/" for origin in spread] + [f"http://h{n}.total.test/" for n in range(6)]
        asked = [request("GET", url) for url in itertools.islice(itertools.cycle(urls), descriptors)]
        arena.crowd(carpool.address, asked)
        assert arena.outcomes == {200: len(asked)}
        assert [origin.most for origin in spread] == [7] * 4 == [origin.accepted for origin in spread]
        assert total.most <= 9 and max(total.most_of.values()) <= 3, (total.most, total.most_of)
        assert sum(origin.requests for origin in [*spread, total]) == len(asked)
        agents = carpool.agents()
        assert sum(row["requestsTotal"] for name in agents for row in agents[name]["origins"]) == len(asked)
        for origin in spread:
            assert carpool.row(origin)["socketsOpened"] == 7
        assert f'carpool_client_requests_total{{status="200"}} {len(asked)}' in carpool.admin("/metrics").text
        assert handovers(carpool) > 0


def test_the_queue_is_one(stage):
    """maxPendingRequests and first come, first served, whichever loop took the connection"""
    origin = stage.origin(manual=True)
    carpool = with_loops(stage, 8, maxSockets=2, maxPendingRequests=40)
    clients = [carpool.ask(origin.url(f"/held{number}")) for number in range(2)]
    held = [origin.take() for _ in range(2)]
    for number in range(40):
        clients.append(carpool.ask(origin.url(f"/{number}")))
        carpool.wait_row(origin, requests=number + 1)
    late = [carpool.ask(origin.url("/late")) for _ in range(60)]
    assert [client.response().status for client in late] == [503] * 60
    for number in range(40):
        asked = held.pop(0)
        asked.connection.reply()
        held.append(origin.take())
        assert held[-1].target == f"/{number}"
    for asked in held:
        asked.connection.reply()
    assert [client.response().status for client in clients] == [200] * 42
    assert origin.accepted == 2
    assert handovers(carpool) > 0


def test_max_connections_is_of_the_process(stage):
    """server.maxConnections counts the clients of all loops"""
    origin = stage.origin(manual=True)
    carpool = with_loops(stage, 4, {"server": {"maxConnections": 30}})
    first = [carpool.ask(origin.url("/")) for _ in range(30)]
    asked = [origin.take() for _ in range(30)]
    late = [carpool.client() for _ in range(40)]
    for client in late:
        assert client.response("GET").status == 503
    for each in asked:
        each.connection.reply()
    assert [client.response().status for client in first] == [200] * 30
    assert origin.accepted == 30


def test_an_idle_socket_is_used_before_another_is_opened(stage):
    """wherever the client came in, whatever it asks"""
    origin = stage.origin()
    carpool = with_loops(stage, 8)
    asked = itertools.islice(itertools.cycle(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]), 100)
    for method in asked:
        body = b"body" if method in ("POST", "PUT", "PATCH") else b""
        assert carpool.get(origin.url("/"), method=method, body=body).status == 200
    assert origin.accepted == 1
    assert carpool.row(origin)["requestsTotal"] == 100
    assert handovers(carpool) > 0


# Clients that go to and fro


def between(stage, **server):
    """A client, and two origins that live in different loops: each request goes to the other one."""
    origins, upstreams = one_host_each(stage, 2)
    carpool = stage.carpool({"workers": 4, "upstreams": upstreams, "server": server})
    return carpool, carpool.client(), list(origins.values())


def alternating(count, method="GET", **how):
    return [request(method, f"http://u{number % 2}.test/{number}", **how) for number in range(count)]


def expect_echoes(client, count, body=None):
    for number in range(count):
        response = client.response("GET")
        assert response.status == 200 and response.fields.get("X-Target") == f"/{number}"
        assert body is None or response.body == body


def finish_between(carpool, origins, times):
    """Each of `times` requests was in another loop than the one before, on one socket an origin."""
    assert [origin.accepted for origin in origins] == [1, 1]
    assert handovers(carpool) >= times - 1
    assert carpool.row("http://u0.test:80", "u0")["requestsTotal"] == (times + 1) // 2


def test_to_and_fro(stage):
    """a client may ask for any origin on its connection, wherever that lives"""
    carpool, client, origins = between(stage)
    for data in alternating(40):
        client.send(data)
    expect_echoes(client, 40)
    for number, body in enumerate([b"x", b"y" * 100_000]):
        response = client.get(f"http://u{number}.test/big", method="PUT", body=body)
        assert response.status == 200 and response.body == body
    finish_between(carpool, origins, 42)


@pytest.mark.parametrize("body", [b"short", b"long" * 5000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_pipelined_with_bodies(stage, body, framing):
    """what came behind a head goes along with it"""
    carpool, client, origins = between(stage)
    how = {"body": body} if framing == "length" else {
        "fields": [("Transfer-Encoding", "chunked")], "body": chunked(body[:3], body[3:])}
    data = b"".join(alternating(20, "PUT", **how))
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    expect_echoes(client, 20, body)
    sender.join()
    client.fin()
    client.expect_end()
    finish_between(carpool, origins, 20)


def test_half_closed_behind_pipelined_requests(stage):
    """A FIN behind a complete request is a half-close: the client still gets the response."""
    carpool, client, origins = between(stage)
    client.send(b"".join(alternating(20)))
    client.fin()
    expect_echoes(client, 20)
    client.expect_end()
    finish_between(carpool, origins, 20)


def test_slow_and_large_heads(stage):
    """heads that come byte by byte, and ones that are larger than a buffer"""
    carpool, client, origins = between(stage, maxHeaderSize="64KiB")
    for data in alternating(4):
        client.send_slowly(data)
    for data in alternating(4, fields=[("X-Large", "x" * 50_000)]):
        client.send_slowly(data, step=9000)
    expect_echoes(client, 4)
    expect_echoes(client, 4)
    finish_between(carpool, origins, 8)


def test_bodies_that_come_later(stage):
    """a head, and its body when it likes: in the same packet in part, behind 100 Continue, or slowly"""
    carpool, client, origins = between(stage)
    for number, data in enumerate(alternating(6, "PUT", body=b"0123456789")):
        client.send(data[:-10 + number])
        client.send_slowly(data[-10 + number:])
    expect_echoes(client, 6, b"0123456789")
    finish_between(carpool, origins, 6)


def test_expectations_go_along(stage):
    """Expect: 100-continue"""
    def serve(connection):
        while True:
            asked = connection.read_request_head()
            connection.note(asked)
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.read_body(asked)
            connection.send(answer(asked.body))
    _, upstreams = one_host_each(stage, 2, serve=serve)
    carpool = stage.carpool({"workers": 4, "upstreams": upstreams})
    client = carpool.client()
    for number in range(6):
        client.send(request("PUT", f"http://u{number % 2}.test/", fields=[("Expect", "100-continue"), ("Content-Length", 4)]))
        assert client.read_response_head().status == 100
        client.send(b"body")
        assert client.response("PUT").body == b"body"
    assert handovers(carpool) >= 5


def test_a_tunnel_begins_where_its_origin_lives(stage):
    """CONNECT behind a request for another loop, with bytes right behind its head"""
    def echo(connection):
        while connection.fill():
            connection.send(connection.exactly(len(connection.left())))
    far = stage.origin(serve=echo)
    origins, upstreams = one_host_each(stage, 1)
    upstreams["far"] = {"match": "far.test", "address": [far.authority]}
    carpool = stage.carpool({"workers": 4, "upstreams": upstreams, "access": {"connectPorts": [443]}})
    client = carpool.client()
    client.send(request("GET", "http://u0.test/") + request("CONNECT", "far.test:443") + b"early")
    assert client.response("GET").status == 200
    assert client.read_response_head().status == 200
    assert client.exactly(5) == b"early"
    client.send(b"late")
    assert client.exactly(4) == b"late"
    assert handovers(carpool) >= 1 and origins["u0"].accepted == far.accepted == 1


def test_clients_that_leave_on_the_way(stage):
    """resets between a head and its arrival: nothing is lost, and nothing is left over"""
    origins, upstreams = one_host_each(stage, 3)
    carpool = stage.carpool({"workers": 4, "upstreams": upstreams})
    for number in range(150):
        client = Client(carpool.address)
        client.send(request("GET", f"http://u{number % 3}.test/") * (1 + number % 2))
        (client.reset if number % 5 else client.close)()
    for name in origins:
        assert carpool.get(f"http://{name}.test/").status == 200
        carpool.wait_row(f"http://{name}.test:80", name, requests=0, sockets=0)
    wait_until(lambda: carpool.no_client_is_left(), "no client is left")


# One process


def test_operators_see_one_process(stage):
    """reload, pause, resume and drain under load lose nothing"""
    origins, upstreams = one_host_each(stage, 3)
    free = stage.origin()
    carpool = with_loops(stage, 4, {"upstreams": upstreams})
    urls = [f"http://{name}.test/" for name in upstreams] + [free.url("/")]
    with Busy(carpool.address, urls) as busy:
        for number in range(10):
            carpool.write({**carpool.config, "defaults": {**UNLIMITED, "maxSockets": 1 + number % 3}, "upstreams": {
                **upstreams, **({} if number % 2 else {"extra": {"match": "*.extra.test"}})}})
            assert carpool.admin("/reload", "POST").status == 200
            for name in ("default", "u1"):
                for what in ("pause", "resume", "drain"):
                    assert carpool.admin(f"/agents/{name}/{what}", "POST").status == 200
            busy.goes_on()
    assert sum(carpool.row(f"http://{name}.test:80", name)["requestsTotal"] for name in upstreams) + \
        carpool.row(free)["requestsTotal"] == busy.load.statuses[200]
    assert handovers(carpool) > 0


def test_a_pause_holds_every_loop(stage):
    """requests become pending, whichever loop their origin lives in"""
    origins = [stage.origin() for _ in range(6)]
    carpool = with_loops(stage, 4)
    assert carpool.admin("/agents/default/pause", "POST").status == 200
    clients = [carpool.ask(origin.url("/")) for origin in origins]
    wait_until(lambda: sum(row["requests"] for row in carpool.agents()["default"]["origins"]) == 6, "all are pending")
    assert carpool.admin("/agents/default/resume", "POST").status == 200
    assert [client.response().status for client in clients] == [200] * 6


def test_restarts_under_load_lose_nothing(stage):
    """graceful stop: a socket of systemd's stays open, and what was begun is finished by every loop"""
    origins, upstreams = one_host_each(stage, 3)
    sock = Socket(("127.0.0.1", stage.ports.take()), "proxy")
    config = {"workers": 4, "upstreams": upstreams}
    first = stage.carpool(config, **passing(sock))
    with Busy(sock.address, [f"http://{name}.test/" for name in upstreams]) as busy:
        for _ in range(3):
            busy.goes_on(50)
            assert handovers(first) > 0
            first.signal(signal.SIGTERM)
            first.ends_itself()
            assert first.wait() == 0
            first = stage.carpool(config, **passing(sock))
        busy.goes_on()


def test_what_runs_anywhere_is_finished(stage):
    """SIGTERM: running exchanges finish in every loop, and then Carpool ends"""
    origins, upstreams = one_host_each(stage, 4, manual=True)
    carpool = stage.carpool({"workers": 4, "upstreams": upstreams, "shutdownTimeout": "60s"})
    clients = [carpool.ask(f"http://{name}.test/") for name in upstreams]
    asked = [origin.take() for origin in origins.values()]
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    wait_until(lambda: "stopping" in carpool.stderr, "it stops")
    for each in asked:
        each.connection.reply(b"whole")
    for client in clients:
        assert client.response().text == "whole"
        client.expect_end()
    assert carpool.wait() == 0


def test_a_total_that_comes_and_goes(stage):
    """maxTotalSockets by a reload: the agent's origins go to one loop, and are spread again, and no idle socket is left"""
    with Arena() as arena:
        origin = arena.origin(stage.ports.take())
        hosts = [request("GET", f"http://h{number}.many.test/") for number in range(8)]
        many = {"match": "*.many.test", "address": [origin.authority]}

        def config(**limits):
            return {"workers": 4, "upstreams": {"many": {**many, "maxSockets": 2, **limits}}}
        carpool = stage.carpool(config(**UNLIMITED))

        def reload(**limits):
            carpool.write({**carpool.config, **config(**limits)})
            assert carpool.admin("/reload", "POST").status == 200
        arena.crowd(carpool.address, hosts * 5)
        reload(maxTotalSockets=3)
        arena.crowd(carpool.address, hosts)     # by now the origin knows of all that was closed
        origin.most = 0
        arena.crowd(carpool.address, hosts * 20)
        assert 0 < origin.most <= 3
        reload(**UNLIMITED)
        origin.most_of.clear()
        arena.crowd(carpool.address, hosts * 20)
        assert max(origin.most_of.values()) <= 2, origin.most_of
        assert set(arena.outcomes) == {200}
        rows = carpool.agents()["many"]["origins"]
        assert sum(row["requestsTotal"] for row in rows) == sum(arena.outcomes.values())
        assert len([row["origin"] for row in rows if row["freeSockets"]]) == len(hosts)
        assert handovers(carpool) > 0


# Ways in


def test_auto_is_one_a_core(stage):
    """auto: one a core that this process may use (affinity, cgroup cpu.max)"""
    cores = os.sched_getaffinity(0)
    assert 1 <= workers(stage.carpool({"workers": "auto"})) <= len(cores)       # a quota may hold for this test
    if shutil.which("taskset"):
        one = stage.carpool({"workers": "auto"}, prefix=["taskset", "-c", str(min(cores))])
        assert workers(one) == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor alone")
def test_auto_follows_a_quota(quota, stage):
    """auto: one a core that this process may use (affinity, cgroup cpu.max)"""
    carpool = stage.carpool({"workers": "auto"}, prefix=["sh", "-c", f'echo $$ >{quota}/cgroup.procs && exec "$@"', "sh"])
    assert workers(carpool) == 1


def test_a_unix_path_is_for_all_loops(stage):
    """listen: unix:PATH"""
    origin = stage.origin()
    path = stage.path("proxy.sock")
    carpool = with_loops(stage, 4, {"listen": [f"unix:{path}"]})
    for _ in range(50):
        assert carpool.get(origin.url("/")).status == 200
    clients = [carpool.ask(origin.url("/")) for _ in range(50)]
    assert [client.response().status for client in clients] == [200] * 50
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    assert carpool.wait() == 0
    assert not os.path.exists(path)


def test_passed_sockets_are_for_all_loops(stage):
    """sockets that systemd passes: the proxy's and a gateway's"""
    origins, upstreams = one_host_each(stage, 1)
    upstreams["u0"]["listen"] = [f"127.0.0.1:{stage.ports.take()}"]     # replaced
    proxy, gateway = Socket(("127.0.0.1", stage.ports.take()), "proxy"), Socket(stage.path("u0.sock"), "upstream.u0")
    carpool = stage.carpool({"workers": 4, "upstreams": upstreams}, **passing(proxy, gateway))
    clients = [carpool.ask("http://u0.test/") for _ in range(40)]
    clients += [carpool.client(gateway.address).ask("/", host="u0.test") for _ in range(40)]
    assert [client.response().status for client in clients] == [200] * 80
    assert carpool.row("http://u0.test:80", "u0")["requestsTotal"] == 80
    assert origins["u0"].failures == []


@pytest.mark.parametrize("count", [1, 4])
def test_an_address_is_for_one_process(stage, count):
    """a second Carpool gets `in use`, though loops share a port"""
    first = with_loops(stage, 4)
    with pytest.raises(NotStarted, match="in use|another process listens"):
        stage.carpool({"workers": count, "listen": [f"127.0.0.1:{first.port}"]})


@pytest.mark.parametrize("count", [1, 4])
def test_descriptors_run_short(stage, count):
    """a client is worth more than a free socket, in whichever loop that is"""
    origins, upstreams = one_host_each(stage, 3)
    config = {"workers": count, "upstreams": upstreams}
    idle = stage.carpool(config)
    room = idle.descriptors() + idle.pipes() + 52
    carpool = stage.carpool(config, prefix=["sh", "-c", f'ulimit -n {room}; exec "$@"', "sh"])
    gate = threading.Event()


    def respond(_):
        gate.wait(PATIENCE)
        return answer(b"ok")
    for origin in origins.values():
        origin.respond = respond
    crowd = [carpool.ask(f"http://u{number % 3}.test/") for number in range(24)]
    wait_until(lambda: sum(origin.accepted for origin in origins.values()) == 24, "each has its socket")
    gate.set()
    assert [client.response().status for client in crowd] == [200] * 24
    for client in crowd:
        client.close()
    wait_until(lambda: carpool.no_client_is_left(), "the crowd is gone")
    clients = [carpool.client() for _ in range(40)]
    for number, client in enumerate(clients):
        assert client.get(f"http://u{number % 3}.test/").status == 200, number
    for client in clients:
        client.close()      # or no descriptor would be left for the admin API
    evicted = sum(carpool.retired(f"http://{name}.test:80", name).get("evicted", 0) for name in upstreams)
    assert 10 <= evicted <= 24, evicted
