"""Section 8: a reload takes the whole file, or nothing of it and says why."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from .harness import PATIENCE, Client, wait_until
from .harness.certificates import certificates, openssl
from .harness.client import request
from .harness.daemon import open_files
from .harness.tls import secure, tls_origin
from .harness.wire import Closed, Reset, Truncated


def connects(address):
    try:
        Client(address).close()
        return True
    except (ConnectionError, FileNotFoundError):
        return False


def asks(address, target="/", host=None):
    """The status of one request, None where nobody listens."""
    try:
        with Client(address) as client:
            return client.get(target, host=host or "127.0.0.1").status
    except (ConnectionError, FileNotFoundError):
        return None


def reloads(carpool, config, port=None):
    """Reloads this configuration by POST; the answer."""
    carpool.write(config)
    with Client(("127.0.0.1", port or carpool.admin_port)) as client:
        return client.raw(request("POST", "/reload", "127.0.0.1"), "POST")


def hangs_up(carpool, config=None, outcome="reload failed"):
    """Reloads this configuration, or what stands in the file, by SIGHUP, until the log says how it went."""
    before = len(carpool.stderr)
    if config is not None:
        carpool.write(config)
    carpool.signal(signal.SIGHUP)
    wait_until(lambda: outcome in carpool.stderr[before:], lambda: f"{outcome} in {carpool.stderr[before:]}")
    return carpool.stderr[before:]


def gateway(origin, listen, name="api"):
    return {name: {"match": f"{name}.test", "address": [origin.authority], "listen": listen}}


# Whole, or not at all


def bad_suite(stage):
    return {"match": "bad.test", "tls": {"ciphers": "TLS_AES_128_GCM_SHA265:ECDHE-RSA-AES128-GCM-SHA256"}}


def bad_version(stage):
    return {"match": "bad.test", "tls": {"ciphers": "ECDHE-RSA-AES128-GCM-SHA256", "minVersion": "TLSv1.3"}}


def weak_chain(stage):
    leaf = certificates().leaf(common_name="strong enough")
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "30", "-subj", "/CN=weak", "-keyout",
            stage.path("weak.key"), "-out", stage.path("weak.pem"))
    with open(stage.path("weak.pem"), encoding="ascii") as file:
        return {"match": "bad.test", "tls": {"cert": stage.write("chain.pem", leaf.text() + file.read()), "key": leaf.key}}


def taken_port(stage):
    sock = socket.create_server(("127.0.0.1", stage.ports.take()))
    stage.kept = sock
    return {"match": "bad.test", "listen": "127.0.0.1:%d" % sock.getsockname()[1]}


def missing_folder(stage):
    return {"match": "bad.test", "listen": f"unix:{stage.path('nowhere')}/bad.sock"}


BAD = {"suite": (bad_suite, "TLS_AES_128_GCM_SHA265"), "version": (bad_version, "minVersion"),
       "chain": (weak_chain, "chain.pem"), "port": (taken_port, "another process"), "folder": (missing_folder, "nowhere")}


class Doors:
    """A daemon with a proxy listener, a gateway, an admin listener and a unix path, which a bad file would move."""

    def __init__(self, stage, workers):
        self.stage = stage
        self.origin = stage.origin()
        self.old = {"proxy": stage.ports.take(), "gateway": stage.ports.take()}
        self.new = {"proxy": stage.ports.take(), "gateway": stage.ports.take(), "admin": stage.ports.take()}
        self.path = stage.path("proxy.sock")
        self.carpool = stage.carpool({"workers": workers, **self.config(self.old, "0666")})
        self.old["admin"] = self.carpool.admin_port

    def config(self, ports, mode):
        return {"listen": [f"127.0.0.1:{ports['proxy']}", f"unix:{self.path}?mode={mode}"],
                "upstreams": gateway(self.origin, f"127.0.0.1:{ports['gateway']}")}

    def moved(self, bad):
        """All of them elsewhere, and something that cannot be."""
        config = {**self.carpool.config, **self.config(self.new, "0600"), "admin": {"listen": f"127.0.0.1:{self.new['admin']}"}}
        return {**config, "upstreams": {**config["upstreams"], "bad": bad}}

    def are_where_they_were(self):
        for address in (("127.0.0.1", self.old["proxy"]), self.path):
            assert asks(address, self.origin.url("/")) == 200
        assert asks(("127.0.0.1", self.old["gateway"])) == 200
        assert asks(("127.0.0.1", self.old["admin"]), "/healthz") == 200
        assert not any(connects(("127.0.0.1", port)) for port in self.new.values())
        assert os.stat(self.path).st_mode & 0o777 == 0o666
        assert json.loads(self.carpool.admin("/config").body)["upstreams"].keys() == {"api"}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("bad", BAD)
def test_a_refused_reload_changes_nothing(stage, bad, workers):
    """Reload swaps the configuration atomically (listeners too) or keeps the old one and says why"""
    doors = Doors(stage, workers)
    make, words = BAD[bad]
    answer = reloads(doors.carpool, doors.moved(make(stage)))
    assert answer.status == 400 and words in json.loads(answer.body)["error"], answer
    doors.are_where_they_were()
    assert reloads(doors.carpool, doors.carpool.config).status == 200
    doors.are_where_they_were()


@pytest.mark.parametrize("bad", BAD)
def test_the_log_says_why_too(stage, bad):
    """[...] says why, in the log too"""
    doors = Doors(stage, 1)
    make, words = BAD[bad]
    said = hangs_up(doors.carpool, {**doors.moved(make(stage)), "log": {"level": "error"}})
    assert words in said.split("reload failed")[1], said
    doors.are_where_they_were()
    assert "\ncarpool_config_last_reload_success 0\n" in doors.carpool.admin("/metrics").text
    remembered = json.loads(doors.carpool.admin("/agents").body)["daemon"]["reload"]
    assert not remembered["ok"] and words in remembered["error"]


@pytest.mark.parametrize("bad", BAD)
def test_the_check_refuses_what_a_start_refuses(stage, bad):
    """-t checks all that a start would"""
    upstream = BAD[bad][0](stage)
    done = stage.check({"admin": {"listen": "off"}, "listen": [f"127.0.0.1:{stage.ports.take()}"], "upstreams": {"bad": upstream}})
    if bad == "port":       # who listens there may be the very daemon that is to read the file
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and "checked.yaml:" in done.stderr and BAD[bad][1] in done.stderr, done.stderr


def test_the_check_looks_at_the_access_log(stage):
    """-t checks all that a start would: [...] the access log's file"""
    def checked(path, **how):
        return stage.check({"listen": [f"127.0.0.1:{stage.ports.take()}"], "admin": {"listen": "off"}, "accessLog": {"path": path}}, **how)
    path = stage.path("access.log")
    assert checked(path).returncode == 0
    assert not os.path.exists(path)     # who checks may be another user than who writes
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(stage.path("log.sock"))
        for path, words in ((stage.path("nowhere/access.log"), "nowhere does not exist"), (stage.directory, "it is a directory"),
                            (stage.path("log.sock"), "write -")):
            done = checked(path)
            assert done.returncode == 1 and "checked.yaml:5:3: error: accessLog.path: " in done.stderr and words in done.stderr, done.stderr


def test_an_access_log_that_cannot_be_opened(stage):
    doors = Doors(stage, 1)
    answer = reloads(doors.carpool, {**doors.carpool.config, "accessLog": {"path": stage.path("nowhere/access.log")}})
    assert answer.status == 400 and "nowhere" in answer.text
    doors.are_where_they_were()


# The file itself


@pytest.mark.parametrize("text", ["", "# soon\n", "{}\n"])
def test_an_empty_file_is_no_configuration(stage, text):
    """a file that is empty, or has no key where the running one has some, is refused"""
    carpool = stage.carpool({"access": {"unmatched": "deny"}})
    with open(carpool.file, "w", encoding="ascii") as file:
        file.write(text)
    assert "sets no option" in hangs_up(carpool)
    assert carpool.get("http://a.test/").status == 403


def test_a_fifo_is_not_waited_for(stage):
    """it waits for no file (a FIFO or pipe is refused)"""
    carpool = stage.carpool({"access": {"unmatched": "deny"}})
    os.remove(carpool.file)
    os.mkfifo(carpool.file)
    assert "a regular file" in hangs_up(carpool)
    assert carpool.get("http://a.test/").status == 403


def test_a_fifo_as_a_certificate_is_not_waited_for(stage):
    carpool = stage.carpool()
    os.mkfifo(stage.path("ca.pem"))
    answer = reloads(carpool, {**carpool.config, "upstreams": {"a": {"match": "a.test", "tls": {"ca": stage.path("ca.pem")}}}})
    assert answer.status == 400 and "a regular file" in answer.text


# What stays


@pytest.mark.parametrize("http2, encrypted", [({"allowH2": True}, False), ({"h2Options": {"useH2c": True}}, True)],
                         ids=["allowH2 in the clear", "useH2c over TLS"])
def test_a_change_of_http2_leaves_what_it_does_not_concern(stage, http2, encrypted):
    """Sockets are retired only where their origin key, `address` or the contents of a TLS file changed"""
    origin = tls_origin(stage) if encrypted else stage.origin()
    upstreams = secure()["upstreams"] if encrypted else {"api": {"match": "127.0.0.1"}}
    carpool = stage.carpool({"upstreams": upstreams})
    assert carpool.get(origin.url("/before")).status == 200
    carpool.reload({"upstreams": {"api": {**upstreams["api"], **http2}}})
    assert carpool.get(origin.url("/after")).status == 200
    assert origin.accepted == 1 and carpool.retired_of_agent("api") == {}


# While it reads


def slow_to_read(stage, count=30):
    """Upstreams whose files take a good part of a second to read."""
    text = certificates().ca.pem
    with open(text, encoding="ascii") as file:
        text = file.read()
    files = [stage.write(f"ca-{number}.pem", text * 400 + "\n" * number) for number in range(count)]
    return {f"u{number}": {"match": f"u{number}.test", "tls": {"ca": file}} for number, file in enumerate(files)}


class Reload(threading.Thread):
    """POST /reload, from a thread of its own. What takes a good part of a second takes far longer with sanitizers on a busy machine."""
    patience = 4 * PATIENCE

    def __init__(self, carpool):
        super().__init__()
        self.client = Client(("127.0.0.1", carpool.admin_port), patience=self.patience)
        self.client.send(request("POST", "/reload", "127.0.0.1"))
        self.start()

    def run(self):
        try:
            self.status = self.client.read_response("POST").status
        except (Reset, Closed, Truncated):
            self.status = None

    def wait(self):
        self.join(2 * self.patience)
        self.client.close()
        return self.status


def test_clients_are_served_while_a_reload_reads(stage):
    """Reload [...] stalls nobody: what takes long is done beside the loops"""
    origin = stage.origin()
    carpool = stage.carpool({"workers": 1})
    carpool.write({**carpool.config, "upstreams": slow_to_read(stage)})
    reload = Reload(carpool)
    served = 0
    while reload.is_alive():
        assert carpool.get(origin.url("/")).status == 200
        served += 1
    assert reload.wait() == 200
    assert served > 1
    assert "u29" in carpool.agents()


def test_a_reload_that_is_asked_for_while_one_reads(stage):
    """The one that was asked for last reads what is there then."""
    carpool = stage.carpool()
    carpool.write({**carpool.config, "upstreams": slow_to_read(stage)})
    first = Reload(carpool)
    carpool.write({**carpool.config, "upstreams": {"newest": {"match": "newest.test"}}})
    others = [Reload(carpool) for _ in range(3)]
    assert [reload.wait() for reload in (first, *others)] == [200] * 4
    assert carpool.agents().keys() == {"default", "newest"}


def test_a_stop_while_a_reload_reads(stage):
    carpool = stage.carpool()
    carpool.write({**carpool.config, "upstreams": slow_to_read(stage)})
    reload = Reload(carpool)
    carpool.signal(signal.SIGTERM)
    carpool.ends_itself()
    assert carpool.wait() == 0
    assert reload.wait() in (None, 200, 400)


# Listeners


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_is_denied_now_is_asked_no_more(stage, host, workers):
    """`access` is asked for each request: over a connection that is open already, too"""
    origin = stage.origin()
    carpool = stage.carpool({"workers": workers, "access": {"unmatched": "allow"}})
    url = f"http://{host}:{origin.port}/"
    with carpool.client() as client:
        assert client.get(url).status == 200
        hangs_up(carpool, {**carpool.config, "access": {"denyAddresses": ["127.0.0.0/8", "::1/128"]}}, "configuration reloaded")
        answer = client.get(url)
        assert answer.status == 502 and "destination_ip_prohibited" in answer.fields.get("Proxy-Status")
        hangs_up(carpool, {**carpool.config, "access": {"denyAddresses": []}}, "configuration reloaded")
        assert client.get(url).status == 200
    assert origin.accepted == 2


# The admin API


def kept(port):
    """A connection to the admin API that stays."""
    client = Client(("127.0.0.1", port))
    assert client.get("/healthz", host="127.0.0.1").status == 200
    return client


@pytest.mark.parametrize("how", ["off", "moved"])
def test_open_admin_connections_end_with_their_listener(stage, how):
    """`admin.listen` off, moved [...] holds for open admin connections at once"""
    carpool = stage.carpool()
    clients = [kept(carpool.admin_port) for _ in range(3)]
    listen = "off" if how == "off" else f"127.0.0.1:{stage.ports.take()}"
    hangs_up(carpool, {**carpool.config, "admin": {"listen": listen}}, "configuration reloaded")
    for client in clients:
        client.expect_end()
        client.close()
    assert not connects(("127.0.0.1", carpool.admin_port))


def test_open_admin_connections_obey_the_new_clients(stage):
    """`admin.clients` narrowed holds for open admin connections at once"""
    carpool = stage.carpool()
    with kept(carpool.admin_port) as client:
        admin = {**carpool.config["admin"], "clients": ["192.0.2.0/24"]}
        hangs_up(carpool, {**carpool.config, "admin": admin}, "configuration reloaded")
        assert client.ask("/agents/default/pause", method="POST", host="127.0.0.1").response().status == 403


def test_a_reload_that_moves_the_admin_listener_is_answered(stage):
    carpool = stage.carpool()
    new = stage.ports.take()
    assert reloads(carpool, {**carpool.config, "admin": {"listen": f"127.0.0.1:{new}"}}).status == 200
    assert asks(("127.0.0.1", new), "/healthz") == 200
    assert not connects(("127.0.0.1", carpool.admin_port))


# What needs a restart


def test_workers_and_name_take_a_restart(stage):
    """All but `workers` and `name` apply live."""
    carpool = stage.carpool({"workers": 1, "name": "first"})

    def shown():
        config = json.loads(carpool.admin("/config").body)
        return config["workers"], config["name"], json.loads(carpool.admin("/agents").body)["daemon"]["restartNeeded"]
    said = hangs_up(carpool, {**carpool.config, "workers": 2, "name": "second"}, "option=name")
    assert "needs a restart" in said and "option=workers" in said
    assert shown() == (1, "first", ["workers", "name"])
    assert "needs a restart" not in hangs_up(carpool, carpool.config, "configuration reloaded")
    assert shown() == (1, "first", [])


def test_the_listeners_are_in_the_log(stage):
    origin = stage.origin()
    gate = stage.ports.take()
    carpool = stage.carpool({"upstreams": gateway(origin, f"127.0.0.1:{gate}")})
    lines = [line.split('msg="')[1] for line in carpool.stderr.splitlines() if 'msg="listening' in line]
    assert sorted(lines) == sorted([f'listening" address=127.0.0.1:{carpool.port}',
                                    f'listening for the admin API" address=127.0.0.1:{carpool.admin_port}',
                                    f'listening" address=127.0.0.1:{gate} upstream=api'])
    hangs_up(carpool, {**carpool.config, "upstreams": {"api": {"match": "api.test"}}}, "configuration reloaded")
    assert f'msg="no longer listening" address=127.0.0.1:{gate} upstream=api' in carpool.stderr


# Signals while it starts


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts(stage, number):
    """Signals: [...] from the moment the configuration is read, so none of them harms a start (TERM and INT then exit 0)"""
    # A start may read a pipe: this one ends when the test says so.
    port, pipe, errors = stage.ports.take(), stage.path("carpool.yaml"), stage.path("errors")
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDWR), "w", encoding="ascii") as file, open(errors, "wb") as err:
        with subprocess.Popen([os.environ["CARPOOLD"], "-c", pipe], stderr=err, stdin=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: os.path.realpath(pipe) in open_files(process.pid), "it reads its configuration")
                process.send_signal(number)
                file.write(f"listen: 127.0.0.1:{port}\nadmin: {{listen: off}}\n")
                file.close()
                if number in (signal.SIGHUP, signal.SIGUSR1):
                    wait_until(lambda: connects(("127.0.0.1", port)), "it serves")
                if number == signal.SIGHUP:
                    wait_until(lambda: "reload failed" in open(errors, encoding="utf-8").read(), "the pipe is no file to reload")
                if number in (signal.SIGHUP, signal.SIGUSR1):
                    process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0, open(errors, encoding="utf-8").read()
            finally:
                process.kill()
