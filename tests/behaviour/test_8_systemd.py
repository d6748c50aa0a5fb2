"""Section 8: what systemd sees and gives. The test plays systemd."""

import os
import signal
import socket
import stat
import time

import pytest

from .harness import run, wait_until
from .harness.daemon import NotStarted
from .harness.load import Busy
from .harness.systemd import Manager, Socket, passing


def passed(stage, name=None):
    return Socket(("127.0.0.1", stage.ports.take()), name)


def refuses(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("name", [None, "proxy", "carpoold.socket"])
def test_a_passed_socket_replaces_listen(stage, name):
    """FileDescriptorName `proxy` (or none: systemd then says the unit's name)"""
    origin = stage.origin()
    sock = passed(stage, name)
    carpool = stage.carpool(**passing(sock))
    assert carpool.get(origin.url("/")).status == 200
    assert refuses(carpool.port)


def test_an_admin_socket_replaces_its_listen(stage):
    """`admin` says whose `listen` it replaces"""
    proxy, admin = passed(stage, "proxy"), passed(stage, "admin")
    carpool = stage.carpool({"admin": {"listen": "off"}}, **passing(proxy, admin))
    carpool.admin_port = admin.address[1]
    wait_until(lambda: carpool.admin("/healthz").status == 200, "the admin API answers")
    assert "default" in carpool.agents()


def test_several_admin_sockets_are_all_served(stage):
    """Several admin sockets are all served, behind a reload too; each is refused to clients of the proxy"""
    proxy, one, other = passed(stage, "proxy"), passed(stage, "admin"), passed(stage, "admin")
    carpool = stage.carpool({"admin": {"listen": "off"}}, **passing(proxy, one, other))
    for _ in range(2):
        for sock in (one, other):
            carpool.admin_port = sock.address[1]
            wait_until(lambda: carpool.admin("/healthz").status == 200, "the admin API answers")
            refused = carpool.get("http://127.0.0.1:%d/healthz" % sock.address[1])
            assert (refused.status, refused.error) == (502, "proxy_loop_detected")
        assert carpool.admin("/reload", "POST").status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_run_names_the_passed_socket(stage, host):
    """`carpoolctl run`: the proxy it names is a listener that is open, passed sockets included, a wildcard as loopback"""
    origin, proxy, admin = stage.origin(), Socket((host, stage.ports.take()), "proxy"), passed(stage, "admin")
    arguments = {**passing(proxy, admin), "listen": ("::1" if ":" in host else "127.0.0.1", proxy.address[1])}
    carpool = stage.carpool({"admin": {"listen": "off"}, "access": {"clients": ["127.0.0.0/8", "::1", "192.0.2.1"]}}, **arguments)
    script = f"import urllib.request; print(urllib.request.urlopen('{origin.url('/through')}').headers['Via'])"
    wait_until(lambda: run("-s", "127.0.0.1:%d" % admin.address[1], "version", program="CARPOOLCTL").returncode == 0, "the admin API answers")
    done = run("-s", "127.0.0.1:%d" % admin.address[1], "run", "--", "/usr/bin/env", "python3", "-c", script, program="CARPOOLCTL")
    assert done.returncode == 0 and "carpool-" in done.stdout, done
    assert refuses(carpool.port)


def test_an_upstream_socket_replaces_its_listen(stage):
    """`upstream.NAME` says whose `listen` it replaces; unix sockets are passed as well"""
    origin = stage.origin()
    proxy, gateway = passed(stage, "proxy"), Socket(stage.path("gateway.sock"), "upstream.api")
    port = stage.ports.take()
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority],
                                                   "listen": [f"127.0.0.1:{port}"]}}},
                            **passing(proxy, gateway))
    assert carpool.client(gateway.address).get("/x", host="whatever").status == 200
    assert carpool.row("http://api.test:80", "api")["requestsTotal"] == 1
    assert refuses(port)


def test_all_admin_sockets_are_served(stage):
    """Several admin sockets are all served"""
    origin = stage.origin()
    proxy, one, two = passed(stage, "proxy"), passed(stage, "admin"), Socket(stage.path("admin.sock"), "admin")
    carpool = stage.carpool({"admin": {"listen": "off"}}, **passing(proxy, one, two))
    carpool.admin_port = one.address[1]
    for _ in range(2):
        for address in (one.address, two.address):
            with carpool.client(address) as client:
                assert client.get("/healthz", host="localhost").status == 200
        assert carpool.admin("/reload", "POST").status == 200
    refused = carpool.get(f"http://127.0.0.1:{one.address[1]}/version")
    assert refused.status == 502 and refused.error == "proxy_loop_detected"
    assert carpool.get(origin.url("/")).status == 200


def test_a_socket_of_an_upstream_without_listen(stage):
    """one for an upstream without `listen` serves it"""
    origin = stage.origin()
    proxy, gateway = passed(stage, "proxy"), passed(stage, "upstream.api")
    carpool = stage.carpool({"log": {"level": "warn"}, "upstreams": {"api": {"match": "api.test", "address": [origin.authority]}}},
                            **passing(proxy, gateway))
    assert carpool.client(gateway.address).get("/x", host="127.0.0.1").status == 200
    assert carpool.row("http://api.test:80", "api")["requestsTotal"] == 1
    assert not carpool.stderr


@pytest.mark.parametrize("upstreams, words", [({}, "has no such upstream"), ({"api": {"match": "*.test"}}, "which host is it for?")])
def test_a_socket_that_nobody_can_use_is_warned_about(stage, upstreams, words):
    """one for an upstream that is not configured is a warning at the start"""
    origin = stage.origin()
    proxy, gateway = passed(stage, "proxy"), passed(stage, "upstream.api")
    carpool = stage.carpool({"log": {"level": "warn"}, "upstreams": upstreams}, **passing(proxy, gateway))
    assert "level=warn" in carpool.stderr and "upstream=api" in carpool.stderr and words in carpool.stderr
    answer = carpool.client(gateway.address).get("/x", host="127.0.0.1")
    assert answer.status == 503 and "upstream 'api'" in answer.text
    # A reload may bring it.
    carpool.write({**carpool.config, "upstreams": {"api": {"match": "api.test", "address": [origin.authority]}}})
    assert carpool.admin("/reload", "POST").status == 200
    assert carpool.client(gateway.address).get("/x", host="127.0.0.1").status == 200


def test_names_that_are_too_few_are_an_error(stage):
    """what cannot be told apart is served to nobody, and said"""
    proxy, admin = passed(stage, "proxy"), passed(stage, "admin")
    how = passing(proxy, admin)
    how["env"]["LISTEN_FDNAMES"] = "proxy"
    how["listen"] = None
    carpool = stage.carpool(**how)
    assert "the sockets that were passed are not used" in carpool.stderr and "LISTEN_FDNAMES" in carpool.stderr


def test_exposure_is_checked_for_passed_sockets(stage):
    """the exposure checks hold for it too"""
    sock = Socket(("0.0.0.0", stage.ports.take()), "proxy")
    with pytest.raises(NotStarted, match="exit status 1"):
        stage.carpool(**{**passing(sock), "listen": ("127.0.0.1", sock.address[1])})


def reload_by(path):
    return run("--server", f"unix:{path}", "reload", program="CARPOOLCTL")


@pytest.mark.parametrize("with_socket_unit", [False, True])
def test_systemctl_reload_has_a_way_in_of_its_own(stage, with_socket_unit):
    """reload: whatever admin.listen says, and beside a socket of systemd's that stands for it"""
    path = stage.path("control.sock")
    sockets = [passed(stage, "proxy"), passed(stage, "admin")]
    how = passing(*sockets) if with_socket_unit else {}
    how["env"] = {**how.get("env", {}), "CARPOOL_CONTROL_SOCKET": path}
    carpool = stage.carpool({"admin": {"listen": "off"}}, **how)
    wait_until(lambda: os.path.exists(path) and os.stat(path).st_mode & 0o777 == 0o600, "the control socket is there, for its owner alone")
    for port in (carpool.admin_port, stage.ports.take()):
        carpool.write({**carpool.config, "admin": {"listen": f"127.0.0.1:{port}"}})
        done = reload_by(path)
        assert done.returncode == 0, done.stderr
        assert refuses(port) == with_socket_unit
    carpool.write("nonsense: true\n")
    done = reload_by(path)
    assert done.returncode == 1 and "unknown key 'nonsense'" in done.stderr
    assert stat.S_ISSOCK(os.stat(path).st_mode)


@pytest.mark.parametrize("path, why", [("control.sock", "must be an absolute path"), ("/nowhere/control.sock", "No such file")])
def test_a_control_socket_that_cannot_be(stage, path, why):
    """it does not start, and says which variable is to blame"""
    with pytest.raises(NotStarted, match=f"CARPOOL_CONTROL_SOCKET: .*{why}"):
        stage.carpool(env={"CARPOOL_CONTROL_SOCKET": path})


def test_it_says_when_it_is_ready(stage):
    """Type=notify: READY when it serves, STATUS with live figures"""
    manager = Manager(stage.directory)
    stage.carpool(env={"NOTIFY_SOCKET": manager.path})
    assert manager.wait("READY")["READY"] == "1"
    assert "active" in manager.wait("STATUS")["STATUS"]


@pytest.mark.parametrize("good", [True, False])
def test_it_says_when_it_reloads(stage, good):
    """RELOADING with MONOTONIC_USEC, then READY, whether the file was good or not"""
    manager = Manager(stage.directory)
    carpool = stage.carpool(env={"NOTIFY_SOCKET": manager.path})
    manager.wait("READY")
    if not good:
        carpool.write("nonsense: true\n")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    carpool.signal(signal.SIGHUP)
    said = manager.wait("RELOADING")
    assert before <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.wait("READY")["READY"] == "1"
    said = manager.wait("STATUS")["STATUS"]
    assert ("the last reload failed: " in said and "nonsense" in said) != good


def test_it_asks_for_the_time_a_stop_takes(stage):
    """STOPPING, and EXTEND_TIMEOUT_USEC while draining"""
    manager = Manager(stage.directory)
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "20s"}, env={"NOTIFY_SOCKET": manager.path})
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    said = manager.wait("STOPPING")
    assert int(said["EXTEND_TIMEOUT_USEC"]) >= 20_000_000
    asked.connection.reply()
    assert client.response().status == 200
    assert carpool.wait() == 0


def test_it_asks_for_the_time_of_a_delay_too(stage):
    """EXTEND_TIMEOUT_USEC while draining: shutdownDelay comes before"""
    manager = Manager(stage.directory)
    carpool = stage.carpool({"shutdownTimeout": "20s", "shutdownDelay": "30s"}, env={"NOTIFY_SOCKET": manager.path})
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    assert int(manager.wait("STOPPING")["EXTEND_TIMEOUT_USEC"]) >= 50_000_000
    carpool.signal(signal.SIGTERM)
    assert carpool.wait() == 0


def test_it_asks_again_where_a_stop_has_no_limit(stage):
    """`shutdownTimeout: off`: the unit's own limit does not cut what still runs"""
    manager = Manager(stage.directory)
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "off"}, env={"NOTIFY_SOCKET": manager.path})
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    for _ in range(3):
        assert int(manager.wait("STOPPING")["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
    asked.connection.reply()
    assert client.response().status == 200
    assert carpool.wait() == 0


def test_the_watchdog_is_fed_from_the_loop(stage):
    """watchdog: often enough while the loop turns, never while it does not"""
    manager = Manager(stage.directory)
    carpool = stage.carpool(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
    manager.wait("WATCHDOG")
    manager.heard.clear()
    manager.listen(2)
    fed = sum("WATCHDOG" in message for message in manager.heard)
    assert 4 <= fed <= 40, fed
    carpool.signal(signal.SIGSTOP)
    manager.listen(0.2)
    manager.heard.clear()
    manager.listen(1)
    carpool.signal(signal.SIGCONT)
    assert not any("WATCHDOG" in message for message in manager.heard)


def test_a_restart_under_load_loses_no_request(stage):
    """activation: a restart loses no connection"""
    origin = stage.origin()
    sock = passed(stage, "proxy")
    first = stage.carpool(**passing(sock))
    with Busy(sock.address, [origin.url("/")]) as busy:
        for _ in range(3):
            busy.goes_on(50)
            first.signal(signal.SIGTERM)
            first.ends_itself()
            assert first.wait() == 0
            first = stage.carpool(**passing(sock))


def test_fifty_reloads_under_load_fail_no_request(stage):
    """Reload swaps the configuration atomically: limits up and down, an upstream that comes and goes, bad files"""
    origin = stage.origin()
    carpool = stage.carpool()
    with Busy(carpool.address, [origin.url("/")]) as busy:
        for number in range(50):
            config = {**carpool.config, "defaults": {"maxSockets": 1 + number % 4 * 3}}
            if number % 3 == 0:
                config["upstreams"] = {"extra": {"match": f"x{number}.test"}}
            if number % 10 == 9:
                config["nonsense"] = True
            carpool.write(config)
            answer = carpool.admin("/reload", "POST")
            assert answer.status == (400 if number % 10 == 9 else 200), answer
            busy.goes_on(5)
    assert carpool.row(origin)["requestsTotal"] == busy.load.statuses[200]
