"""Sections 10.2, 10.3, 10.6: TLS inside CONNECT, answered with a certificate of connectTls."""

import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess

import pytest

from .harness import run, wait_until
from .harness.certificates import certificates
from .harness.client import request
from .harness.tls import RecordSocket, tls_origin

HOST, TARGET = "a.pool.test", "a.pool.test:8443"


def make_ca(stage, *hosts, out="ca", days="30"):
    """The paths of a CA's certificate and key."""
    folder = stage.path(out)
    done = run("ca", "create", *(word for host in hosts for word in ("--for", host)), "--out", folder, "--days", days,
               program="CARPOOLCTL")
    assert done.returncode == 0, done.stderr
    return os.path.join(folder, "ca.pem"), os.path.join(folder, "ca-key.pem")


class Setting:
    """A daemon that stands for *.pool.test, whose hosts are one TLS origin."""

    def __init__(self, stage, *, hosts=("pool.test",), upstream=None, carpool=True, **more):
        self.stage = stage
        self.ca, self.key = make_ca(stage, *hosts)
        self.origin = tls_origin(stage, pair=certificates().leaf("DNS:*.pool.test", "IP:127.0.0.1"))
        self.config = {"connectTls": {"cert": self.ca, "key": self.key},
                       "accessLog": {"path": stage.path("access.log"), "format": "json"},
                       "upstreams": {"p": {"match": "*.pool.test", "connect": "pool", "address": [self.origin.authority],
                                           "tls": {"ca": certificates().ca.pem}, **(upstream or {})}}, **more}
        if carpool:
            self.carpool = stage.carpool(self.config)

    def dial(self, target=TARGET, early=b""):
        client = self.carpool.client()
        client.send(request("CONNECT", target) + early)
        assert client.read_response_head().status == 200
        return client

    def trust(self, ca=None, versions=None, protocols=None):
        context = ssl.create_default_context(cafile=ca or self.ca)
        if versions:
            context.minimum_version, context.maximum_version = versions
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def secure(self, context=None, target=TARGET, name=None, session=None, early=b""):
        """A client whose handshake is done."""
        client = self.dial(target, early)
        name = name or target.rpartition(":")[0].strip("[]")
        client.sock = (context or self.trust()).wrap_socket(client.sock, server_hostname=name, session=session)
        return client

    def get(self, path="/", target=TARGET, **how):
        with self.secure(target=target, **how) as client:
            return client.raw(request("GET", path, target))

    def take_ca_away(self):
        del self.carpool.config["connectTls"]
        self.carpool.reload({})

    def handshakes(self, result):
        text = self.carpool.admin("/metrics").text
        return int(next(line.split()[-1] for line in text.splitlines()
                        if line.startswith(f'carpool_connect_tls_handshakes_total{{result="{result}"}}')))

    def wait_handshakes(self, result, count):
        wait_until(lambda: self.handshakes(result) == count, lambda: f"{result}: {self.handshakes(result)}")

    def wait_logged(self, words):
        def log():
            with open(self.stage.path("access.log"), encoding="utf-8") as file:
                return file.read()

        wait_until(lambda: words in log(), lambda: f"{words}: {log()}")


def hello(name=HOST, protocols=None, version=None):
    """The bytes of a ClientHello."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(protocols)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def alert(client):
    """The description of the fatal alert that comes next, behind which the connection ends."""
    assert client.exactly(5)[:1] == b"\x15"
    level, description = client.exactly(2)
    assert level == 2
    client.expect_end()
    return description


def shown(client):
    return client.sock.getpeercert(binary_form=True)


def test_one_shot_clients_share(stage):
    """served like `GET https://host:port/…`: one connection and one handshake at the origin, POST too"""
    setting = Setting(stage)
    for number in range(6):
        method = "POST" if number % 2 else "GET"
        with setting.secure() as client:
            assert client.raw(request(method, f"/{number}", TARGET, body=b"x" * (number % 2))).status == 200
        setting.carpool.wait_row("https://a.pool.test:8443", "p", sockets=0, freeSockets=1)
    assert (setting.origin.accepted, setting.origin.tls.full) == (1, 1)
    assert setting.handshakes("ok") == 6
    setting.wait_logged("https://a.pool.test:8443/5")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_two_hundred_one_shot_curls(stage):
    """200 one-shot `https://` requests of curl through CONNECT: 1 connection and 1 handshake at the origin, GET and POST"""
    setting = Setting(stage)
    curl = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "--noproxy", "", "-x", f"http://127.0.0.1:{setting.carpool.port}",
            "--cacert", setting.ca]
    for number in range(200):
        more = ["-d", f"n={number}"] if number % 2 else []
        done = subprocess.run([*curl, *more, f"https://{TARGET}/{number}"], capture_output=True, text=True, check=False)
        assert done.stdout == "200", done.stderr
        setting.carpool.wait_row("https://a.pool.test:8443", "p", sockets=0)
    assert (setting.origin.accepted, setting.origin.tls.full, setting.handshakes("ok")) == (1, 1, 200)


def test_the_certificate_is_kept(stage):
    """issued on first use, kept in memory, for the host whatever the port"""
    setting = Setting(stage)
    certificate = [shown(setting.secure(target=target)) for target in
                   (TARGET, TARGET, "A.pool.test:9443", "b.pool.test:8443")]
    assert certificate[0] == certificate[1] == certificate[2] != certificate[3]


def test_an_address(stage):
    """IP hosts get an IP SAN"""
    setting = Setting(stage, hosts=("127.0.0.1",), upstream={"match": "127.0.0.1"})
    assert setting.get(target="127.0.0.1:8443").status == 200


@pytest.mark.parametrize("hosts, target", [(("pool.test",), "127.0.0.1"), (("b.pool.test",), "a.pool.test")])
def test_a_host_that_the_ca_may_not_sign_for_stays_a_tunnel(stage, hosts, target):
    """(an IP host where the CA names no addresses is one)"""
    setting = Setting(stage, hosts=hosts, upstream={"match": [target]}, access={"connectPorts": [8443]})
    context = setting.trust(certificates().ca.pem)
    with setting.secure(context, f"{target}:8443") as client:
        assert client.raw(request("GET", "/", target)).status == 200
    assert setting.handshakes("ok") == 0


def test_what_is_set_already_is_not_advised(stage):
    """the log and `carpoolctl explain` of a tunnel say what keeps it from being pooled"""
    setting = Setting(stage, hosts=("b.pool.test",), access={"connectPorts": [8443]})
    causes = ["the CA of connectTls may not sign for this host (it does not name it, or has expired)",
              "needs a CA in connectTls", "set connect: pool"]

    def check(cause, explained):
        context = setting.trust(certificates().ca.pem)
        for _ in range(2):
            with setting.secure(context) as client:
                assert client.raw(request("GET", "/", TARGET)).status == 200
            setting.carpool.wait_row(f"tunnel://{TARGET}", "p", sockets=0)
        wait_until(lambda: cause in setting.carpool.stderr, lambda: setting.carpool.stderr)
        assert [said for said in causes if said in setting.carpool.stderr] == causes[:causes.index(cause) + 1]
        wait_until(lambda: explained in " ".join(setting.carpool.admin("/explain").text.split()),
                   lambda: setting.carpool.admin("/explain").text)

    check(causes[0], f"as {causes[0]}; with a new CA that names it")
    setting.take_ca_away()
    check(causes[1], "each tunnel needs its own; with a CA in connectTls")
    setting.carpool.reload({"upstreams": {"p": {**setting.config["upstreams"]["p"], "connect": "tunnel"}}})
    check(causes[2], "each tunnel needs its own; with connect: pool")


def test_another_name_in_sni(stage):
    """An SNI that names another host than CONNECT did is refused (`unrecognized_name`); none is fine"""
    setting = Setting(stage)
    client = setting.dial()
    client.send(hello("b.pool.test"))
    assert alert(client) == 112
    context = setting.trust()
    context.check_hostname = False
    for name in ("A.POOL.test", None):
        client = setting.dial()
        client.sock = context.wrap_socket(client.sock, server_hostname=name)
        assert client.raw(request("GET", "/", TARGET)).status == 200
    setting.wait_handshakes("failed", 1)


def test_protocols(stage):
    """ALPN `http/1.1` alone (a client that offers only others gets `no_application_protocol`), TLS 1.2 at least"""
    setting = Setting(stage)
    assert setting.secure(setting.trust(protocols=["h2", "http/1.1"])).sock.selected_alpn_protocol() == "http/1.1"
    client = setting.dial()
    client.send(hello(protocols=["h2"]))
    assert alert(client) == 120
    client = setting.dial()
    old = bytearray(hello(version=ssl.TLSVersion.TLSv1_2))
    old[9:11] = b"\x03\x02"      # the version of the message: TLS 1.1
    client.send(bytes(old))
    assert alert(client) == 70


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets(stage, version):
    """tickets on (good for their host alone, and for all workers)"""
    setting = Setting(stage, workers=2)
    context = setting.trust(versions=(version, version))
    client = setting.secure(context)
    assert client.raw(request("GET", "/", TARGET)).status == 200
    session = client.sock.session
    for _ in range(4):
        again = setting.secure(context, session=session)
        assert again.sock.session_reused and again.raw(request("GET", "/", TARGET)).status == 200
    other = setting.secure(context, target="b.pool.test:8443", session=session)
    assert not other.sock.session_reused


def test_a_hello_in_pieces(stage):
    setting = Setting(stage)
    whole = hello()
    for cut in (1, 5, 6, 50, len(whole)):
        client = setting.dial(early=whole[:cut])
        client.send_slowly(whole[cut:])
        assert client.exactly(1) == b"\x16"


def test_a_hello_that_is_too_large(stage):
    setting = Setting(stage)
    client = setting.dial()
    client.send(b"\x16\x03\x01\x40\x00\x01\x00\x80\x00" + b"x" * 100)
    assert alert(client) == 50
    setting.wait_handshakes("failed", 1)


@pytest.mark.parametrize("what", ["hello", "handshake"])
def test_half_a_handshake(stage, what):
    """`headersTimeout` ends an unfinished handshake, too"""
    setting = Setting(stage, server={"headersTimeout": "500ms"})
    client = setting.dial()
    client.send(hello()[:None if what == "handshake" else 60])
    client.rest()
    setting.wait_handshakes("failed", 1)


def test_a_stop_in_the_handshake(stage):
    """who ends its handshake after a stop began, and asks nothing, does not hold it up"""
    setting = Setting(stage, shutdownTimeout="30s")
    carpool = setting.carpool
    carpool.ends_itself()
    client = setting.dial()
    carpool.signal(signal.SIGTERM)
    wait_until(lambda: "stopping: running" in carpool.stderr, lambda: carpool.stderr)
    try:
        client.sock = setting.trust().wrap_socket(client.sock, server_hostname=HOST)
    except OSError:
        pass        # it came too late
    assert carpool.wait(60) == 0
    assert "shutdownTimeout is over" not in carpool.stderr


def test_part_of_a_request_at_a_stop(stage):
    """Who has begun a request is not idle: it is answered, and not cut like the one who is"""
    setting = Setting(stage)
    client = setting.dial()
    client.sock = RecordSocket(client.sock, setting.trust(), HOST)
    client.send(client.sock.record(request("GET", "/", TARGET)))
    assert client.read_response().status == 200
    second = client.sock.record(request("GET", "/", TARGET))
    client.send(second[:20])
    with setting.carpool.client() as idle:
        assert idle.get(f"https://{TARGET}/").status == 200
        setting.carpool.ends_itself()
        setting.carpool.signal(signal.SIGTERM)
        idle.expect_end()
    client.send(second[20:])
    assert client.read_response().status == 503


def test_garbage_behind_the_hello(stage):
    setting = Setting(stage)
    client = setting.dial()
    client.send(hello() + b"garbage garbage garbage")
    client.rest()
    setting.wait_handshakes("failed", 1)


@pytest.mark.parametrize("path, host", [("/", "b.pool.test:8443"), ("/", HOST), ("https://b.pool.test:8443/", "b.pool.test:8443"),
                                        ("http://a.pool.test:8443/", TARGET)])
def test_another_authority(stage, path, host):
    """another authority in target or Host: 421 (`http_request_error`)"""
    setting = Setting(stage)
    with setting.secure() as client:
        response = client.raw(request("GET", path, host))
        assert (response.status, response.error) == (421, "http_request_error")
    assert setting.origin.accepted == 0


def test_a_client_that_does_not_trust_it(stage):
    """counted, logged at most once a minute an agent with what to do, and said in the diagnosis"""
    setting = Setting(stage)
    for _ in range(3):
        with pytest.raises(ssl.SSLCertVerificationError):
            setting.secure(setting.trust(certificates().ca.pem))
    setting.wait_handshakes("untrusted", 3)
    assert setting.carpool.stderr.count("does not trust Carpool's CA") == 1
    diagnosis = setting.carpool.agents()["p"]["diagnosis"]
    assert any(sentence.startswith("p: 3 clients do not trust Carpool's CA: make them trust "
                                   f"http://127.0.0.1:{setting.carpool.admin_port}/ca.pem (") for sentence in diagnosis), diagnosis
    with setting.secure() as client:
        assert client.raw(request("GET", "/", TARGET)).status == 200
    setting.config["upstreams"]["p"]["connect"] = "tunnel"
    setting.carpool.reload(setting.config)
    assert not any("do not trust" in sentence for sentence in setting.carpool.agents()["p"]["diagnosis"])


def test_the_origins_certificate_fails(stage):
    """The answer of section 6 for an origin whose certificate fails is a 502 inside the client's TLS"""
    setting = Setting(stage, upstream={"tls": True})
    response = setting.get()
    assert (response.status, response.error) == (502, "tls_certificate_error")


def test_no_renegotiation(stage):
    setting = Setting(stage)
    context = setting.trust(versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))
    client = setting.secure(context)
    assert client.sock.version() == "TLSv1.2"
    # A record of type handshake that cannot be decrypted: whatever it asks, the connection ends
    os.write(client.sock.fileno(), b"\x16\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        client.raw(request("GET", "/", TARGET))


def test_a_client_that_wants_to_renegotiate(stage):
    """it is told no, and nobody else notices"""
    setting = Setting(stage)
    words = ["openssl", "s_client", "-proxy", f"127.0.0.1:{setting.carpool.port}", "-connect", TARGET, "-servername", HOST, "-CAfile",
             setting.ca, "-tls1_2"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as process:
        os.set_blocking(process.stdout.fileno(), False)
        said = bytearray()

        def told_no():
            said.extend(process.stdout.read() or b"")
            return b"no renegotiation" in said

        setting.wait_handshakes("ok", 1)
        process.stdin.write(b"R\n")
        wait_until(told_no, lambda: bytes(said[-3000:]))
        process.kill()
    assert setting.get().status == 200


def test_a_client_that_is_lost_in_the_handshake(stage):
    setting = Setting(stage)
    client = setting.dial()
    client.send(hello())
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    setting.wait_handshakes("failed", 1)


def test_reload(stage):
    """reload of CA and policy without dropping clients"""
    setting = Setting(stage)
    first = setting.secure()
    setting.carpool.reload(setting.config)
    assert shown(setting.secure()) == shown(first)      # the same files: nothing is made anew
    new, key = make_ca(stage, "pool.test", out="new")
    setting.carpool.reload({**setting.config, "connectTls": {"cert": new, "key": key}})
    with pytest.raises(ssl.SSLCertVerificationError):
        setting.secure()
    assert setting.get(context=setting.trust(new)).status == 200
    assert first.raw(request("GET", "/", TARGET)).status == 200
    setting.take_ca_away()
    assert first.raw(request("GET", "/", TARGET)).status == 200


def test_a_ca_that_ends_soon(stage):
    """A CA that ends within 30 days is in the diagnosis and in `carpool_connect_tls_ca_not_after_seconds`"""
    setting = Setting(stage, carpool=False)
    setting.config["connectTls"] = dict(zip(("cert", "key"), make_ca(stage, "pool.test", out="short", days="9")))
    carpool = stage.carpool(setting.config)
    diagnosis = carpool.agents()["p"]["diagnosis"]
    assert any(re.search(r"short/ca.pem expires 20.* \([89] days\)", sentence) for sentence in diagnosis), diagnosis
    assert carpool.agents()["default"]["diagnosis"] == []
    assert "carpool_connect_tls_ca_not_after_seconds 1" in carpool.admin("/metrics").text


def test_a_ca_that_ends_soon_and_that_no_upstream_needs(stage):
    """A CA that ends within 30 days is in the diagnosis"""
    pair = dict(zip(("cert", "key"), make_ca(stage, "pool.test", out="short", days="9")))
    carpool = stage.carpool({"connectTls": pair, "upstreams": {"api": {"match": "api.test"}}})
    assert "short/ca.pem expires" in "".join(carpool.agents()["default"]["diagnosis"])
    assert carpool.agents()["api"]["diagnosis"] == []


def test_the_ca_is_served(stage):
    """`GET /ca.pem` is the CA alone, `/ca-bundle.pem` the system's store with it"""
    setting = Setting(stage)
    with open(setting.ca, encoding="ascii") as file:
        own = file.read()
    assert setting.carpool.admin("/ca.pem").text == own
    bundle = setting.carpool.admin("/ca-bundle.pem").text
    assert own in bundle and "PRIVATE" not in bundle
    assert stage.carpool().admin("/ca.pem").status == 404


def test_two_loops(stage):
    """a client of one loop whose host lives in another"""
    setting = Setting(stage, workers=2)
    for number in range(8):
        assert setting.get(target=f"a{number}.pool.test:8443").status == 200
    assert setting.handshakes("ok") == 8


@pytest.mark.parametrize("after", ["another", "none"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_ca_while_hands_are_shaken(stage, version, after):
    """reload of CA without dropping clients: a handshake that has begun ends as it began, with a ticket"""
    setting = Setting(stage)
    client = setting.dial()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = setting.trust(versions=(version, version)).wrap_bio(incoming, outgoing, server_hostname=HOST)

    def shake():
        while True:
            try:
                tls.do_handshake()
                client.send(outgoing.read())
                return
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
            yield
            incoming.write(client.sock.recv(65536))

    steps = shake()
    next(steps)
    client.sock.recv(1, socket.MSG_PEEK)        # the handshake has begun
    if after == "another":
        setting.carpool.reload({"connectTls": dict(zip(("cert", "key"), make_ca(stage, "pool.test", out="another")))})
    else:
        setting.take_ca_away()
    for _ in steps:
        pass
    tls.write(request("GET", "/", TARGET))
    client.send(outgoing.read())
    received = b""
    while b"\r\n\r\n" not in received:
        incoming.write(client.sock.recv(65536))
        try:
            received += tls.read(65536)
        except ssl.SSLWantReadError:
            pass
    assert received.startswith(b"HTTP/1.1 200")
    assert tls.session.has_ticket
    setting.wait_handshakes("ok", 1)


def test_no_ca_any_more_when_the_hello_is_whole(stage):
    """reload of CA: nobody can answer one who was told 200 before; its next CONNECT opens a tunnel"""
    setting = Setting(stage, access={"connectPorts": [8443]})
    first = hello()
    client = setting.dial(early=first[:100])
    setting.take_ca_away()
    client.send(first[100:])
    client.expect_end()
    setting.wait_handshakes("failed", 1)
    assert setting.get(context=setting.trust(certificates().ca.pem)).status == 200
