"""Sections 3 and 6: which certificates are believed, and what is said of those that are not."""

import re
import resource

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.tls import V12, V13, secure, server_context, tls_origin

BAD = {     # the origin's certificate, options of tls, what the answer must say
    "wrong-host": (lambda c: c.leaf("DNS:other.test"), {}, ["other.test", "mismatch", "tls.servername"]),
    "wrong-ip": (lambda c: c.leaf("IP:127.0.0.2"), {}, ["127.0.0.2", "mismatch", "tls.servername"]),
    "ip-as-a-name": (lambda c: c.leaf("DNS:127.0.0.1"), {}, ["mismatch"]),
    "no-names-but-a-common-name": (lambda c: c.leaf(common_name="127.0.0.1"), {}, ["mismatch"]),
    "expired": (lambda c: c.expired, {}, ["expired leaf", "expired", "clock"]),
    "not-yet-valid": (lambda c: c.not_yet_valid, {}, ["early leaf", "not yet valid", "clock"]),
    "self-signed": (lambda c: c.self_signed, {}, ["signs itself", "self-signed", "tls.ca"]),
    "unknown-ca": (lambda c: c.other_ca.leaf("IP:127.0.0.1"), {}, ["leaf of tests", "issuer", "tls.ca"]),
    "no-intermediate": (lambda c: c.intermediate.leaf("IP:127.0.0.1", with_chain=False), {},
                        ["issuer CN=Intermediate of tests", "whole chain", "tls.ca"]),
    "wrong-servername": (lambda c: c.local, {"servername": "elsewhere.example"}, ["mismatch", "tls.servername"]),
}


@pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])
@pytest.mark.parametrize("case", BAD)
def test_is_refused(stage, case, versions):
    """6: TLS: protocol; certificate; alert | 502 | tls_certificate_error. The body is one line of text that names
    the agent, the origin, the cause and what to look at."""
    make, options, words = BAD[case]
    origin = tls_origin(stage, pair=make(certificates()), versions=versions)
    carpool = stage.carpool(secure(options))
    response = carpool.get(origin.url("/"), method="POST", body=b"secret")
    assert (response.status, response.error) == (502, "tls_certificate_error")
    assert response.text.count("\n") <= 1
    recent = carpool.agents()["api"]["recentErrors"]
    for told in (response.text, carpool.stderr, recent[-1]["text"]):
        assert all(word in told for word in words), told
    assert "api" in response.text and origin.authority in response.text
    assert recent[-1]["error"] == "tls_certificate_error"
    assert not origin.requests and carpool.retired_of_agent("api") == {"connect-failed": 1}


def test_the_system_store_is_the_default(stage):
    """tls: true: verification is on, against the system's store"""
    origin = tls_origin(stage)
    response = stage.carpool(secure(trusted=False)).get(origin.url("/"))
    assert response.error == "tls_certificate_error" and "tls.ca" in response.text


@pytest.mark.parametrize("reload", [False, True], ids=["", "reload"])
def test_a_system_store_that_could_not_be_read(stage, reload):
    """A daemon without a free descriptor cannot open it. Once it has one, it trusts what the store holds."""
    def with_no_descriptor_left(sock):      # the connection is there, the certificate not shown yet
        resource.prlimit(carpool.pid, resource.RLIMIT_NOFILE, (3, most))
        return origin.tls(sock)
    origin = tls_origin(stage)
    origin.wrap = with_no_descriptor_left
    configuration = secure(trusted=False)
    carpool = stage.carpool(configuration, env={"SSL_CERT_FILE": certificates().ca.pem, "SSL_CERT_DIR": "/nonexistent"})
    enough, most = resource.prlimit(carpool.pid, resource.RLIMIT_NOFILE)
    response = carpool.get(origin.url("/"))
    assert (response.status, response.error) == (502, "tls_certificate_error")
    assert "SSL_CERT_FILE" in response.text and "could not be read" in response.text
    resource.prlimit(carpool.pid, resource.RLIMIT_NOFILE, (enough, most))
    origin.wrap = origin.tls
    if reload:
        carpool.reload(configuration)
    assert carpool.get(origin.url("/")).status == 200


GOOD = {
    "ip": (lambda c: c.leaf("IP:127.0.0.1"), {}),
    "name-and-ip": (lambda c: c.local, {}),
    "chain-with-intermediate": (lambda c: c.intermediate.leaf("IP:127.0.0.1"), {}),
    "servername": (lambda c: c.leaf("DNS:inner.example"), {"servername": "inner.example"}),
    "servername-ip": (lambda c: c.leaf("IP:10.9.8.7"), {"servername": "10.9.8.7"}),
    "wildcard": (lambda c: c.leaf("DNS:*.in.example"), {"servername": "a.in.example"}),
}


@pytest.mark.parametrize("case", GOOD)
def test_is_believed(stage, case):
    make, options = GOOD[case]
    origin = tls_origin(stage, pair=make(certificates()))
    assert stage.carpool(secure(options)).get(origin.url("/")).status == 200


@pytest.mark.parametrize("name, fits", [("a.w.test", True), ("b.a.w.test", False), ("w.test", False)])
def test_a_wildcard_stands_for_one_label(stage, name, fits):
    origin = tls_origin(stage, pair=certificates().leaf("DNS:*.w.test"))
    carpool = stage.carpool(secure(match="*", address=[origin.authority]))
    assert (carpool.get(f"http://{name}/").status == 200) == fits


def test_ipv6_address_as_san(stage):
    """IP addresses checked as IP SANs"""
    origin = tls_origin(stage, host="::1")
    assert stage.carpool(secure(match="[::1]")).get(origin.url("/")).status == 200
    assert origin.tls.hellos[0].server_name is None


@pytest.mark.parametrize("options, url, sent", [({}, "http://api.test/", "api.test"), ({}, "http://API.test/", "api.test"),
                                                ({}, "http://api.test./", "api.test"),
                                                ({"servername": "localhost"}, "http://api.test/", "localhost"),
                                                ({"servername": "127.0.0.1"}, "http://api.test/", None)])
def test_sni(stage, options, url, sent):
    """servername (SNI and the name that is checked, host by default [...], no SNI for IP addresses)"""
    origin = tls_origin(stage)
    carpool = stage.carpool(secure(options, match="*", address=[origin.authority]))
    assert carpool.get(url).status == 200
    assert origin.tls.hellos[0].server_name == sent
    assert origin.requests[0].fields.get("Host").startswith("api.test")


def test_no_sni_for_an_address(stage):
    origin = tls_origin(stage)
    assert stage.carpool(secure()).get(origin.url("/")).status == 200
    assert origin.tls.hellos[0].server_name is None and 0 not in origin.tls.hellos[0].extensions


# rejectUnauthorized: false


@pytest.mark.parametrize("pair", ["expired", "self_signed", "local"])
def test_reject_unauthorized_false(stage, pair):
    """a warning at start and in `/agents`"""
    origin = tls_origin(stage, pair=getattr(certificates(), pair))
    carpool = stage.carpool(secure({"rejectUnauthorized": False}, trusted=False))
    for _ in range(3):
        assert carpool.get(origin.url("/")).status == 200
    assert origin.accepted == 1
    assert re.search(r"carpool\.yaml:\d+:\d+: warning: upstreams\.api: tls\.rejectUnauthorized is false", carpool.stderr)
    assert any("tls.rejectUnauthorized is false" in sentence for sentence in carpool.agents()["api"]["diagnosis"])


def test_no_warning_where_all_is_well(stage):
    origin = tls_origin(stage)
    carpool = stage.carpool(secure())
    assert carpool.get(origin.url("/")).status == 200
    assert ": warning: " not in carpool.stderr and not carpool.agents()["api"]["diagnosis"]


# mTLS


@pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])
def test_client_certificate(stage, versions):
    """cert + key (mTLS)"""
    pair = certificates().leaf(common_name="a client")
    origin = tls_origin(stage, versions=versions, client_ca=certificates().ca)
    carpool = stage.carpool(secure({"cert": pair.cert, "key": pair.key}))
    for number in range(10):
        assert carpool.get(origin.url(f"/{number}"), method="POST", body=b"x").status == 200
    assert origin.tls.full == 1 == origin.accepted and origin.tls.sockets[0].client_certificate


def test_client_certificate_with_its_chain(stage):
    pair = certificates().intermediate.leaf(common_name="a client below an intermediate")
    origin = tls_origin(stage, client_ca=certificates().ca)
    assert stage.carpool(secure({"cert": pair.cert, "key": pair.key})).get(origin.url("/")).status == 200


@pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_without_the_client_certificate(stage, versions, method, protocol):
    """6: tls_alert_received: what option would mend it"""
    origin = tls_origin(stage, versions=versions, client_ca=certificates().ca, protocols=(protocol,))
    carpool = stage.carpool(secure(allowH2=True))
    response = carpool.get(origin.url("/"), method=method, body=b"x" if method == "POST" else b"")
    assert (response.status, response.error) == (502, "tls_alert_received")
    assert "tls.cert" in response.text and "tls.key" in response.text and "unknown" not in response.text
    assert "tls.cert" in carpool.stderr


@pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])
def test_a_client_certificate_of_a_stranger(stage, versions):
    pair = certificates().other_ca.leaf(common_name="a stranger")
    origin = tls_origin(stage, versions=versions, client_ca=certificates().ca)
    response = stage.carpool(secure({"cert": pair.cert, "key": pair.key})).get(origin.url("/"))
    assert (response.status, response.error) == (502, "tls_alert_received") and "tls.cert" in response.text


# Versions and ciphers


def test_min_version_is_1_2_by_default(stage):
    context = server_context(versions=(V12, V13))
    origin = tls_origin(stage, context=context)
    carpool = stage.carpool(secure())
    assert carpool.get(origin.url("/")).status == 200
    assert origin.tls.sockets[0].version == "TLSv1.3"
    old = tls_origin(stage, versions=(V12,))
    assert carpool.get(old.url("/")).status == 200 and old.tls.sockets[0].version == "TLSv1.2"


def test_min_version(stage):
    """minVersion"""
    origin = tls_origin(stage, versions=(V12,))
    response = stage.carpool(secure({"minVersion": "TLSv1.3"})).get(origin.url("/"))
    assert response.status == 502 and response.error in ("tls_alert_received", "tls_protocol_error")
    assert "tls.minVersion" in response.text


@pytest.mark.parametrize("ciphers, version, chosen", [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256")])
def test_ciphers(stage, ciphers, version, chosen):
    origin = tls_origin(stage)
    assert stage.carpool(secure({"ciphers": ciphers})).get(origin.url("/")).status == 200
    assert (origin.tls.sockets[0].version, origin.tls.sockets[0].cipher) == (version, chosen)


def test_no_common_cipher(stage):
    origin = tls_origin(stage, versions=(V12,), ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    response = stage.carpool(secure({"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"})).get(origin.url("/"))
    assert response.status == 502 and response.error == "tls_alert_received" and "tls.ciphers" in response.text


# What is no TLS, or ends too soon


def test_a_plain_server(stage):
    """6: tls_protocol_error"""
    def serve(connection):
        connection.exactly(5)
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()
    origin = stage.origin(serve=serve)
    carpool = stage.carpool(secure())
    response = carpool.get(origin.url("/"))
    assert (response.status, response.error) == (502, "tls_protocol_error") and "does it speak TLS on this port?" in response.text
    assert carpool.retired_of_agent("api") == {"connect-failed": 1}


def test_a_server_that_hangs_up(stage):
    def serve(connection):
        connection.exactly(5)
        connection.close()
    origin = stage.origin(serve=serve)
    response = stage.carpool(secure()).get(origin.url("/"))
    assert (response.status, response.error) == (502, "connection_terminated")
    assert "does it speak TLS on this port?" in response.text


def test_failures_of_one_host_leave_others_alone(stage):
    bad = tls_origin(stage, pair=certificates().expired)
    good = tls_origin(stage)
    carpool = stage.carpool(secure())
    for _ in range(5):
        assert carpool.get(bad.url("/")).status == 502
        assert carpool.get(good.url("/")).status == 200
    assert good.accepted == 1
    wait_until(lambda: carpool.retired_of_agent("api") == {"connect-failed": 5}, "each failure counted")
