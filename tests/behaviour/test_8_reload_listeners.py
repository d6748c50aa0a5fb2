"""Section 8: a reload swaps listeners too, and nobody who comes meanwhile is lost."""

import json
import os
import signal
import socket
import threading

import pytest

from .harness import Client, wait_until
from .harness.client import request
from .harness.wire import Closed, Reset, Truncated
from .test_8_reload import Reload, asks, connects, gateway, hangs_up, reloads


class Knocking:
    """Connects without a pause, and counts who was answered, cut, and not even let in."""

    def __init__(self, address, target, host):
        self.address, self.data = address, request("GET", target, host, [("Connection", "close")])
        self.answered = self.cut = self.refused = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            try:
                with Client(self.address) as client:
                    client.raw(self.data)
                self.answered += 1
            except (Reset, Closed, Truncated):
                self.cut += 1
            except (ConnectionError, FileNotFoundError):
                self.refused += 1

    def stop(self):
        self.over.set()
        self.thread.join(60)


def moves(stage, origin):
    """Name: the configuration before, behind it, where it listens in both, and what is asked there in the end."""
    a, b = stage.ports.take(), stage.ports.take()
    path = stage.path("moving.sock")
    at = f"127.0.0.1:{a}"
    other = [f"127.0.0.1:{b}"]
    proxy = {"listen": [at]}
    gate = {"listen": other, "upstreams": gateway(origin, [at])}
    admin = {"listen": other, "admin": {"listen": at}}
    whole = {"access": {"clients": ["127.0.0.0/8"], "unmatched": "allow"}}
    renamed = {"listen": other, "upstreams": gateway(origin, [at], "renamed")}
    unix = {"listen": [*other, f"unix:{path}"]}
    unix_gate = {"listen": other, "upstreams": gateway(origin, [f"unix:{path}?mode=0600"])}
    here, url = ("127.0.0.1", a), origin.url("/")
    return {
        "proxy to gateway": (proxy, gate, here, "/"), "gateway to proxy": (gate, proxy, here, url),
        "proxy to admin": (proxy, admin, here, "/healthz"), "admin to proxy": (admin, proxy, here, url),
        "gateway to admin": (gate, admin, here, "/healthz"), "admin to gateway": (admin, gate, here, "/"),
        "to another name": (gate, renamed, here, "/"),
        "to the wildcard": ({**proxy, **whole}, {"listen": [f"0.0.0.0:{a}"], **whole}, here, url),
        "from the wildcard": ({"listen": [f"0.0.0.0:{a}"], **whole}, {**proxy, **whole}, here, url),
        "path to gateway": (unix, unix_gate, path, "/"), "path to proxy": (unix_gate, unix, path, url),
    }


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("move", ["proxy to gateway", "gateway to proxy", "proxy to admin", "admin to proxy", "gateway to admin",
                                  "admin to gateway", "to another name", "to the wildcard", "from the wildcard",
                                  "path to gateway", "path to proxy"])
def test_an_address_moves_without_a_gap(stage, move, workers):
    """an address may move between roles and names, or to a wildcard of its port, without a gap"""
    origin = stage.origin()
    before, behind, address, target = moves(stage, origin)[move]
    # With another admin listener for what begins or ends at the moving one.
    spare = f"127.0.0.1:{stage.ports.take()}"
    carpool = stage.carpool({"workers": workers, "admin": {"listen": spare}, **before}, listen=address)
    knocking = Knocking(address, target, "127.0.0.1")
    try:
        wait_until(lambda: knocking.answered > 20, "somebody is answered")
        said = hangs_up(carpool, {"workers": workers, "admin": {"listen": spare}, **behind}, "configuration reloaded")
        already = knocking.answered
        wait_until(lambda: knocking.answered > already + 20, "somebody is answered behind the reload")
    finally:
        knocking.stop()
    assert asks(address, target) == 200, said
    assert knocking.refused == 0
    # Connections of an admin listener that moves are ended, see below.
    assert knocking.cut == 0 or move.startswith("admin")


def test_two_gateways_swap_their_addresses(stage):
    first, second = stage.origin(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"), stage.origin()
    a, b = (f"127.0.0.1:{stage.ports.take()}" for _ in range(2))
    carpool = stage.carpool({"upstreams": {**gateway(first, a, "one"), **gateway(second, b, "two")}})
    assert reloads(carpool, {**carpool.config, "upstreams": {**gateway(first, b, "one"), **gateway(second, a, "two")}}).status == 200
    with carpool.client(("127.0.0.1", int(b.split(":")[1]))) as client:
        assert client.get("/", host="127.0.0.1").text == "1"


def test_the_mode_of_a_path_is_set(stage):
    """a unix listener's mode is set"""
    origin = stage.origin()
    paths = {name: stage.path(name + ".sock") for name in ("proxy", "api", "admin")}

    def config(proxy, api, admin):
        return {"listen": [f"127.0.0.1:{port}", f"unix:{paths['proxy']}{proxy}"],
                "upstreams": gateway(origin, f"unix:{paths['api']}{api}"), "admin": {"listen": f"unix:{paths['admin']}{admin}"}}

    def modes():
        return [os.stat(path).st_mode & 0o777 for path in paths.values()]
    port = stage.ports.take()
    carpool = stage.carpool(config("", "", ""))
    assert modes() == [0o666, 0o666, 0o600]
    hangs_up(carpool, config("?mode=0600", "?mode=0660", "?mode=0640"), "configuration reloaded")
    assert modes() == [0o600, 0o660, 0o640]
    hangs_up(carpool, config("", "", ""), "configuration reloaded")
    assert modes() == [0o666, 0o666, 0o600]
    assert asks(paths["proxy"], origin.url("/")) == asks(paths["api"]) == asks(paths["admin"], "/healthz") == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_a_path_that_is_gone_is_made_anew(stage, workers):
    """its file made anew if it is gone"""
    origin = stage.origin()
    path = stage.path("gone.sock")
    carpool = stage.carpool({"workers": workers, "listen": [f"127.0.0.1:{stage.ports.take()}", f"unix:{path}"]})
    os.unlink(path)
    assert reloads(carpool, carpool.config).status == 200
    assert asks(path, origin.url("/")) == 200
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    assert carpool.wait() == 0
    assert not os.path.exists(path)


def test_a_path_that_another_process_has_now(stage):
    path = stage.path("lost.sock")
    carpool = stage.carpool({"listen": [f"127.0.0.1:{stage.ports.take()}", f"unix:{path}"]})
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen(1)
        answer = reloads(carpool, carpool.config)
        assert answer.status == 400 and "in use by a running process" in answer.text
        os.unlink(path)


def test_a_listener_that_comes_is_no_warning(stage):
    """Reload swaps [...] listeners too: what opens is not reported"""
    origin = stage.origin()
    carpool = stage.carpool()
    at, path = f"127.0.0.1:{stage.ports.take()}", stage.path("new.sock")
    answer = reloads(carpool, {**carpool.config, "listen": [at, f"unix:{path}"],
                               "upstreams": gateway(origin, [f"127.0.0.1:{stage.ports.take()}"])})
    assert answer.status == 200 and json.loads(answer.text)["warnings"] == []


def test_who_waits_at_a_listener_that_goes_is_served(stage):
    """Reload swaps [...] listeners too: a connection that the kernel has taken is not lost"""
    origin = stage.origin()
    port = stage.ports.take()
    carpool = stage.carpool({"listen": [f"127.0.0.1:{port}"], "workers": 1})
    # Both are there when it looks: a connection, and the wish to close what it came by.
    carpool.signal(signal.SIGSTOP)
    carpool.write({**carpool.config, "listen": [f"127.0.0.1:{stage.ports.take()}"]})
    reload = Reload(carpool)
    clients = [carpool.ask(origin.url("/")) for _ in range(5)]
    carpool.signal(signal.SIGCONT)
    assert [client.response().status for client in clients] == [200] * 5
    assert reload.wait() == 200
    assert not connects(("127.0.0.1", port))
