"""Section 4.12: an app that says http:// for a service that says https://."""

import http.cookiejar
import urllib.request

import pytest

from .harness.origin import answer
from .harness.tls import secure, tls_origin


def redirecting(stage, *fields, status=302):
    """A TLS origin that answers /go with these fields, and anything else with ok."""
    return tls_origin(stage, lambda asked: answer(status=status, fields=fields) if asked.target == "/go" else answer(b"ok"))


def fields_of(stage, fields, url="http://api.test/go", **upstream):
    """What a client of the proxy gets of these."""
    origin = redirecting(stage, *fields)
    upstream = {"match": ["api.test", "api.test:8443"], "address": [origin.authority], "rewriteScheme": True, **upstream}
    return stage.carpool(secure(**upstream)).get(url).fields


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("url, sent, got", [
    ("http://api.test/go", "https://api.test/a?b#c", "http://api.test/a?b#c"),
    ("http://api.test:443/go", "https://api.test/a", "http://api.test:443/a"),
    ("http://api.test:8443/go", "https://api.test:8443/a", "http://api.test:8443/a"),
    ("http://api.test/go", "https://api.test:8443/a", "https://api.test:8443/a"),
    ("http://api.test/go", "https://other.test/a", "https://other.test/a"),
    ("http://api.test/go", "/a", "/a")])
def test_own_urls(stage, name, url, sent, got):
    """gets Location, Content-Location and Refresh that name that https origin as `http://` with its port"""
    assert fields_of(stage, [(name, sent)], url).get(name) == got


@pytest.mark.parametrize("sent, kept", [
    ("a=b;secure;HttpOnly", "a=b;HttpOnly"), ("a=b; SECURE", "a=b"), ("a=b; Secure=1; Path=/", "a=b; Path=/"),
    ("Secure; Path=/", "Secure; Path=/"), ("a=Secure; Securely; Path=/", "a=Secure; Securely; Path=/")])
def test_what_secure_is_in_a_cookie(stage, sent, kept):
    """and Set-Cookie without `Secure`: an attribute of that name, whatever its value (RFC 6265 5.2.5)"""
    assert fields_of(stage, [("Set-Cookie", sent)]).get("Set-Cookie") == kept


def test_refresh_and_cookies(stage):
    """and Set-Cookie without `Secure`: each of them"""
    fields = fields_of(stage, [("Refresh", "0; url=https://api.test/a"), ("Set-Cookie", "a=b; Secure; HttpOnly"),
                               ("Set-Cookie", "c=d; Path=/; secure")])
    assert fields.get("Refresh") == "0; url=http://api.test/a"
    assert fields.all("Set-Cookie") == ["a=b; HttpOnly", "c=d; Path=/"]


def test_off_by_default(stage):
    """rewriteScheme: false"""
    sent = [("Location", "https://api.test/a"), ("Set-Cookie", "a=b; Secure")]
    fields = fields_of(stage, sent, rewriteScheme=False)
    assert fields.get("Location") == "https://api.test/a" and fields.get("Set-Cookie") == "a=b; Secure"


def test_an_app_that_says_https_keeps_it(stage):
    """an app that says `http://` for a `tls` upstream: not one that says https://"""
    fields = fields_of(stage, [("Location", "https://api.test/a"), ("Set-Cookie", "a=b; Secure")], "https://api.test/go")
    assert fields.get("Location") == "https://api.test/a" and fields.get("Set-Cookie") == "a=b; Secure"


def test_plain_upstreams_are_left_alone(stage):
    """rewriteScheme: true, with tls: without it, nothing is rewritten, and a warning says so"""
    origin = stage.origin(lambda _: answer(fields=[("Location", "https://api.test/a"), ("Set-Cookie", "a=b; Secure")]))
    upstream = {"match": "api.test", "address": [origin.authority], "rewriteScheme": True}
    fields = stage.carpool({"upstreams": {"api": upstream}}).get("http://api.test/").fields
    assert fields.get("Location") == "https://api.test/a" and fields.get("Set-Cookie") == "a=b; Secure"
    done = stage.check({"upstreams": {"api": upstream}})
    assert done.returncode == 0 and "rewriteScheme" in done.stderr and "warning" in done.stderr


def gateway(stage, *fields):
    origin = redirecting(stage, *fields)
    port = stage.ports.take()
    carpool = stage.carpool(secure(match="api.test", address=[origin.authority], rewriteScheme=True,
                                   listen=[f"127.0.0.1:{port}"]))
    return origin, carpool, ("127.0.0.1", port)


@pytest.mark.parametrize("sent, got", [
    ("https://api.test/a?b", "/a?b"), ("https://api.test", "/"), ("https://api.test//evil.test/", "/.//evil.test/"),
    ("https://other.test/a", "https://other.test/a")])
def test_a_gateway_gets_paths(stage, sent, got):
    """(of a gateway: relative)"""
    _, carpool, address = gateway(stage, ("Location", sent), ("Set-Cookie", "a=b; Secure"))
    fields = carpool.client(address).ask("/go", host="127.0.0.1").response().fields
    assert fields.get("Location") == got and fields.get("Set-Cookie") == "a=b"


def test_a_real_client_follows(stage):
    """an app [...] (or uses its gateway): Python's urllib follows the redirect and brings the cookie along"""
    origin, _, address = gateway(stage, ("Location", "https://api.test/next"), ("Set-Cookie", "session=1; Secure; Path=/"))
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    with opener.open(f"http://127.0.0.1:{address[1]}/go", timeout=20) as response:
        assert response.read() == b"ok"
    assert origin.targets == ["/go", "/next"] and origin.requests[1].fields.get("Cookie") == "session=1"
    assert origin.accepted == 1


def test_a_real_client_of_the_proxy_follows(stage):
    """an app that says `http://` for a `tls` upstream"""
    origin = redirecting(stage, ("Location", "https://api.test/next"), ("Set-Cookie", "session=1; Secure; Path=/"))
    carpool = stage.carpool(secure(match="api.test", address=[origin.authority], rewriteScheme=True))
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(netscape=True))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{carpool.port}"}),
                                         urllib.request.HTTPCookieProcessor(jar))
    with opener.open("http://api.test/go", timeout=20) as response:
        assert response.read() == b"ok"
    assert origin.targets == ["/go", "/next"] and origin.requests[1].fields.get("Cookie") == "session=1"
