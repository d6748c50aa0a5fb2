"""Handshakes never stall the loop, count into timeouts.connect, and go to the next address; real servers of TLS."""

import os
import shutil
import subprocess

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.tls import https_key, secure, tls_origin


def mute(connection):
    """Accepts and never says a word."""
    while connection.fill():
        pass


def test_connect_timeout_counts_tls(stage):
    """connect: DNS + TCP + TLS of a new socket -> 504"""
    origin = stage.origin(serve=mute)
    carpool = stage.carpool(secure(timeouts={"connect": "1s"}))
    response = carpool.get(origin.url("/"))
    assert (response.status, response.error) == (504, "connection_timeout")
    assert "TLS" in response.text and "timeouts.connect" in response.text
    assert carpool.retired_of_agent("api") == {"connect-timeout": 1}
    origin.connections[0].wait_ended()


def test_a_mute_server_holds_nobody_up(stage):
    dead, good = stage.origin(serve=mute), tls_origin(stage)
    carpool = stage.carpool(secure())
    waiting = [carpool.ask(dead.url("/")) for _ in range(20)]
    for _ in range(10):
        assert carpool.get(good.url("/")).status == 200
    carpool.wait_row(https_key(dead), "api", connecting=20)
    for client in waiting:
        client.close()


def test_a_burst_of_100_handshakes(stage):
    """a burst of 100 new TLS sockets does not stall requests on other sockets"""
    origin, plain = tls_origin(stage, manual=True), stage.origin()
    carpool = stage.carpool(secure({"sessionReuse": False}, match="api.test", address=[origin.authority]))
    client = carpool.client()
    assert client.get(plain.url("/")).status == 200
    burst = [carpool.ask(f"http://api.test/{number}") for number in range(100)]
    beside = 0
    while origin.accepted < 100:
        assert client.get(plain.url("/")).status == 200
        beside += 1
    assert beside >= 5      # answered between handshakes
    for asked in [origin.take() for _ in burst]:
        asked.connection.reply()
    assert [each.response().status for each in burst] == [200] * 100
    assert origin.tls.full == 100 and plain.accepted == 1


# address: lists


def listed(stage, *addresses, match="api.test", **tls):
    return stage.carpool(secure(tls, match=match, address=list(addresses)))


def test_addresses_take_turns_and_names_stay(stage):
    """`address:` lists with TLS: SNI and checks by host, not by address"""
    pair = certificates().leaf("DNS:api.test")
    one, two = (tls_origin(stage, pair=pair, manual=True) for _ in range(2))
    carpool = listed(stage, one.authority, two.authority)
    clients = [carpool.ask(f"http://api.test/{number}") for number in range(4)]
    for asked in [origin.take() for origin in (one, two) * 2]:
        asked.connection.reply()
    assert [client.response().status for client in clients] == [200] * 4
    assert {hello.server_name for origin in (one, two) for hello in origin.tls.hellos} == {"api.test"}


def test_the_next_address_where_one_refuses(stage):
    """next address on connect failure"""
    origin = tls_origin(stage, pair=certificates().leaf("DNS:api.test"))
    with stage.ports.refused() as sock:
        carpool = listed(stage, f"127.0.0.1:{sock.getsockname()[1]}", origin.authority)
        for _ in range(3):
            assert carpool.get("http://api.test/").status == 200
    assert origin.accepted == 1


def test_the_next_address_where_one_hangs_up(stage):
    """A server that is stopping accepts and closes: the handshake goes on elsewhere."""
    gone = stage.origin(serve=lambda connection: connection.close())
    origin = tls_origin(stage)
    assert listed(stage, gone.authority, origin.authority).get("http://api.test/").status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_next_address_where_one_has_a_wrong_certificate(stage, method):
    """A failure to connect tries the host's next address: one of several servers may be set up wrongly."""
    wrong, right = (tls_origin(stage, pair=certificates().leaf(f"DNS:{name}.test")) for name in ("other", "api"))
    carpool = stage.carpool(secure(match="api.test", address=[wrong.authority, right.authority], keepAlive=False))
    for _ in range(4):
        assert carpool.get("http://api.test/", method=method, body=b"x").status == 200
    wait_until(lambda: len(wrong.tls.hellos) == 1, "one connection to the server with the wrong certificate")
    assert (len(wrong.requests), len(right.requests)) == (0, 4)
    assert carpool.retired_of_agent("api") == {"keepAlive-off": 4}


def test_a_certificate_that_is_wrong_everywhere_is_one_failure(stage):
    wrong = [tls_origin(stage, pair=certificates().leaf("DNS:other.test")) for _ in range(2)]
    carpool = listed(stage, *(origin.authority for origin in wrong))
    assert carpool.get("http://api.test/").error == "tls_certificate_error"
    assert [len(origin.tls.hellos) for origin in wrong] == [1, 1]
    assert carpool.retired_of_agent("api") == {"connect-failed": 1}


def test_an_address_is_not_what_is_checked(stage):
    origin = tls_origin(stage, pair=certificates().leaf("IP:127.0.0.1"))
    assert listed(stage, origin.authority).get("http://api.test/").error == "tls_certificate_error"


def test_a_unix_address(stage):
    origin = tls_origin(stage, path=stage.path("origin.sock"))
    carpool = listed(stage, f"unix:{origin.path}")
    for _ in range(2):
        assert carpool.get("http://api.test/").status == 200
    assert origin.accepted == 1


# Real servers


@pytest.mark.parametrize("options, words", [
    (["-tls1_2"], ["TLSv1.2", "Reused"]), (["-tls1_3"], ["TLSv1.3", "Reused"]),
    (["-tls1_2", "-no_ticket"], ["TLSv1.2", "Reused"]), (["-tls1_2", "-no_ticket", "-no_cache"], ["TLSv1.2", "New"]),
    (["-tls1_3", "-num_tickets", "0"], ["TLSv1.3", "New"]), (["-Verify", "1"], ["TLSv1.3", "Reused"])],
    ids=["1.2", "1.3", "1.2-ids", "1.2-none", "1.3-none", "client-certificate"])
def test_openssl_s_server(stage, run, options, words):
    """1.2 only, 1.3 only, client certificates required, tickets off"""
    pair, port = certificates().local, stage.ports.take()
    client = certificates().leaf(common_name="a client")
    run(port, "openssl", "s_server", "-www", "-accept", f"127.0.0.1:{port}", "-cert", pair.cert, "-key", pair.key, "-CAfile",
        certificates().ca.pem, *options)
    carpool = stage.carpool(secure({"cert": client.cert, "key": client.key}))
    texts = [carpool.get(f"http://127.0.0.1:{port}/").text for _ in range(3)]
    assert "New, " in texts[0] and words[0] in texts[0]
    assert all(f"{words[1]}, " in text for text in texts[1:])


NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; {user}
events {{ }}
http {{
    log_format seen '$connection $ssl_session_reused $ssl_protocol $ssl_client_verify';
    access_log {dir}/access.log seen;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s;
    keepalive_requests 100000; ssl_session_cache shared:s:1m;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert}; ssl_certificate_key {key}; ssl_client_certificate {ca}; ssl_verify_client on;
        ssl_protocols {protocol};
        location / {{ return 200 "ok"; }}
    }}
}}
"""


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nginx_sees_one_handshake(stage, run, protocol, method):
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        pytest.skip("nginx is not installed")
    pair, port, home = certificates().local, stage.ports.take(), stage.directory
    client = certificates().leaf(common_name="a client")
    run(port, program, "-p", home, "-e", stage.path("error.log"), "-c", stage.write("nginx.conf", NGINX.format(
        dir=home, port=port, cert=pair.cert, key=pair.key, ca=certificates().ca.pem, protocol=protocol,
        user="user root;" if os.getuid() == 0 else "")))
    carpool = stage.carpool(secure({"cert": client.cert, "key": client.key}))
    for _ in range(200):
        assert carpool.get(f"http://127.0.0.1:{port}/", method=method, body=b"b" if method == "POST" else b"").text == "ok"

    def seen():
        with open(stage.path("access.log"), encoding="ascii") as file:
            return file.read().split("\n")[:-1]       # the last line may be half there
    wait_until(lambda: len(seen()) == 200, "nginx has logged all")
    assert len(set(seen())) == 1 and seen()[0].endswith(f". {protocol} SUCCESS"), set(seen())


def test_curl(stage):
    """curl as the client: http:// through the proxy, and https:// by CONNECT beside it."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    origin = tls_origin(stage)
    carpool = stage.carpool(secure(extra={"access": {"connectPorts": [origin.port]}}))
    for scheme, count in (("http", 5), ("https", 2)):
        for _ in range(count):
            done = subprocess.run(["curl", "-sS", "--cacert", certificates().ca.pem, "-x", f"http://127.0.0.1:{carpool.port}",
                                   "-d", "body", f"{scheme}://{origin.authority}/"], capture_output=True, timeout=180, check=False)
            assert done.stdout == b"body", done.stderr
    assert origin.accepted == 1 + 2     # a socket that is shared, and a tunnel each
