"""What is said where TLS is the trouble, though nothing is wrong with a certificate: plain HTTP to a TLS port, renegotiation."""

import shutil
import subprocess

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.origin import answer
from .harness.parents import scripted
from .harness.tls import secure

SPEAKS_TLS = "the origin speaks TLS on this port: set tls: true"


@pytest.mark.parametrize("data", [b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x03"], ids=["alert", "cut"])
@pytest.mark.parametrize("ends", [True, False])
def test_http_to_a_tls_port(stage, data, ends):
    """6: malformed response; the text says what to look at"""
    def respond(asked):
        asked.connection.send(data)
        if ends:
            asked.connection.close()
    response = stage.carpool().get(stage.origin(respond).url("/"))
    assert (response.status, response.error) == (502, "http_protocol_error") and SPEAKS_TLS in response.text


def test_http_to_gnutls(stage, run):
    program = shutil.which("gnutls-serv")
    if not program:
        pytest.skip("gnutls-serv is not installed")
    pair, port = certificates().local, stage.ports.take()
    run(port, program, "--port", str(port), "--x509certfile", pair.cert, "--x509keyfile", pair.key, "--http", "--quiet")
    response = stage.carpool().get(f"http://127.0.0.1:{port}/")
    assert (response.status, response.error) == (502, "http_protocol_error") and SPEAKS_TLS in response.text
    assert stage.carpool(secure()).get(f"http://127.0.0.1:{port}/").status == 200


@pytest.mark.parametrize("set_option", [False, True])
def test_a_server_without_secure_renegotiation(stage, run, set_option):
    """OpenSSL 3 refuses one that does not know RFC 5746; the text names the option that lets it pass"""
    program = shutil.which("gnutls-serv")
    if not program:
        pytest.skip("gnutls-serv is not installed")
    pair, port = certificates().local, stage.ports.take()
    run(port, program, "--port", str(port), "--x509certfile", pair.cert, "--x509keyfile", pair.key, "--http", "--quiet",
        "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION")
    response = stage.carpool(secure({"legacyServerConnect": set_option})).get(f"http://127.0.0.1:{port}/")
    if set_option:
        assert response.status == 200
    else:
        assert (response.status, response.error) == (502, "tls_protocol_error")
        assert "update it, or set tls.legacyServerConnect: true" in response.text


def test_http_to_a_tls_port_that_only_hangs_up(stage):
    """502 connection_terminated; the text says what to look at"""
    origin = stage.origin(lambda asked: asked.connection.close())
    carpool = stage.carpool({"upstreams": {"api": {"match": "127.0.0.1:%d" % origin.port}}})
    assert "TLS" not in carpool.get(origin.url("/")).text
    parent = scripted(stage, respond=lambda asked: asked.connection.close())
    carpool = stage.pooled(proxy=parent.url(""))
    response = carpool.get("http://a.test:443/")
    assert response.error == "connection_terminated" and "if it speaks TLS on this port: set tls: true" in response.text


def test_who_answers_without_tls_does_not_speak_it(stage):
    """the text does not ask for tls: true where a response came without it"""
    closing = answer(fields=[("Connection", "close")])
    origin = stage.origin(lambda asked: closing if asked.method == "GET" else asked.connection.reset())
    carpool = stage.carpool()
    assert "if it speaks TLS" in carpool.get(origin.url("/"), method="POST", body=b"x").text
    assert carpool.get(origin.url("/")).status == 200
    response = carpool.get(origin.url("/"), method="POST", body=b"x")
    assert response.error == "connection_terminated" and "TLS" not in response.text


def test_a_server_that_wants_renegotiation(stage):
    """tls_protocol_error: no renegotiation is offered; the text says what to look at"""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    pair, port = certificates().local, stage.ports.take()
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2", "-cert", pair.cert, "-key",
                               pair.key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: b"ACCEPT" in server.stdout.readline(), "s_server listens")
        client = stage.carpool(secure()).ask(f"http://127.0.0.1:{port}/")
        wait_until(lambda: b"GET / HTTP/1.1" in server.stdout.readline(), "it has the request")
        server.stdin.write(b"R\n")     # asks for a client certificate
        server.stdin.flush()
        response = client.response()
    finally:
        server.kill()
        server.wait()
    assert (response.status, response.error) == (502, "tls_protocol_error")
    assert "the server wants to renegotiate TLS" in response.text and "client certificate" in response.text
