"""Section 4.1: targets, Host, and which requests are for a forward proxy at all."""

import pytest

from .harness.client import request


def seen(stage, target, method="GET", **how):
    """The request as the origin gets it; {} in target stands for its authority."""
    origin = stage.origin()
    carpool = stage.carpool()
    with carpool.client() as client:
        client.ask(target.format(origin.authority), method=method, **how)
        assert client.response().status == 200
    return origin, origin.requests[0]


def test_absolute_form_becomes_origin_form(stage):
    """Absolute-form `http://` requests are forwarded in origin-form over a socket of the origin's agent"""
    origin, got = seen(stage, "http://{}/a/b?c=d&e=%20f")
    assert got.raw.startswith(b"GET /a/b?c=d&e=%20f HTTP/1.1\r\n")
    assert got.fields.get("Host") == origin.authority


@pytest.mark.parametrize("target, path", [
    ("http://{}", "/"), ("http://{}?x=1", "/?x=1"), ("http://{}/", "/"), ("http://{}//a", "//a"),
    ("http://{}/../a/./b", "/../a/./b"), ("http://{}/%2e%2E/", "/%2e%2E/"), ("HTTP://{}/x", "/x"),
    ("http://{}/?", "/?"), ("http://{}/;a=b,c:@!$&'()*+", "/;a=b,c:@!$&'()*+"), ("http://{}/http://x/", "/http://x/")])
def test_the_path_is_left_as_it_is(stage, target, path):
    """forwarded in origin-form: the path as the app wrote it, `/` where there is none (RFC 9112, 3.2.1)"""
    assert seen(stage, target)[1].target == path


def test_options_of_a_server(stage):
    """origin-form: OPTIONS without a path is OPTIONS * (RFC 9112, 3.2.4)"""
    assert seen(stage, "http://{}", method="OPTIONS")[1].target == "*"


def test_options_of_a_path(stage):
    """origin-form: OPTIONS with a path keeps it"""
    assert seen(stage, "http://{}/", method="OPTIONS")[1].target == "/"


@pytest.mark.parametrize("host", ["elsewhere.test", "elsewhere.test:99", ""])
def test_host_is_rewritten_from_the_target(stage, host):
    """`Host` is rewritten from the target."""
    origin, got = seen(stage, "http://{}/", host=host)
    assert got.fields.all("Host") == [origin.authority]


def test_host_comes_first(stage):
    """`Host` is rewritten from the target: as the first field (RFC 9110, 7.2)"""
    assert seen(stage, "http://{}/", fields=[("A", "b")])[1].fields.names()[0] == "host"


@pytest.mark.parametrize("target", ["http://a.test/x", "http://a.test:80/x"])
def test_host_has_no_default_port(stage, target):
    """`Host` has the port unless it is the scheme's default."""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": [origin.authority]}}})
    assert carpool.get(target).status == 200
    assert origin.requests[0].fields.get("Host") == "a.test"


def test_the_default_port_is_one_origin(stage):
    """over a socket of the origin's agent: http://a.test and http://a.test:80 are one origin"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"a": {"match": "a.test", "address": [origin.authority]}}})
    for target in ("http://a.test/", "http://a.test:80/", "http://A.test:/"):
        assert carpool.get(target).status == 200
    assert origin.accepted == 1


@pytest.mark.parametrize("target, path", [
    ("http://{}/a#b", "/a"), ("http://{}/#", "/"), ("http://{}/a?b#c?d#e", "/a?b"), ("http://{}?#x", "/?"),
    ("http://{}/caf\xc3\xa9", "/caf%C3%A9"), ("http://{}/?q=\xff&\x80", "/?q=%FF&%80"),
    ("http://{}/%c3%a9\xc3\xa9", "/%c3%a9%C3%A9")])
def test_what_can_mean_one_thing_only_is_mended(stage, target, path):
    """a fragment behind path or query is dropped (RFC 9110 7.1), bytes of 0x80 and above in path and query are
    percent-encoded"""
    assert seen(stage, target)[1].target == path


def test_a_long_path_of_utf8(stage):
    """percent-encoded: three bytes for one, whatever the size of the head that came"""
    assert seen(stage, "http://{}/" + "\xe2\x82\xac" * 1200)[1].target == "/" + "%E2%82%AC" * 1200


WRONG = [
    (b"GET http://a.test/b c HTTP/1.1", "a space in the target"),
    (b"GET http://a.test/b\tc HTTP/1.1", "a tab in the target"),
    (b"GET http://a.test/\x01 HTTP/1.1", "byte 0x01 in the target"),
    (b"GET http://m\xfcller.test/ HTTP/1.1", "byte 0xfc, not ASCII, in the host"),
    (b"GET http://a.test#b HTTP/1.1", "a fragment (#) right after the host"),
    (b"GET http://a.test/", "no HTTP version"),
    (b"GET http://u:p@a.test/ HTTP/1.1", "a user name or password before the host"),
    (b"\x16\x03\x01\x02\x00", "the client spoke TLS to the proxy")]


@pytest.mark.parametrize("line, words", WRONG, ids=[words for _, words in WRONG])
def test_each_400_names_what_is_wrong(stage, line, words):
    """each 400 names what is wrong in the user's words ("a space in the target", "byte 0xfc in the host"), and the
    log has the line, escaped"""
    carpool = stage.carpool()
    client = carpool.client()
    response = client.raw(line + b"\r\nHost: a.test\r\n\r\n")
    assert response.status == 400 and response.error == "http_request_error"
    assert response.text.startswith(words) and response.text.isascii() and response.text.count("\n") == 1
    client.expect_end()
    logged = [entry for entry in carpool.stderr.splitlines() if "request failed" in entry]
    assert len(logged) == 1 and words in logged[0]
    assert "a.test" in logged[0] or line.startswith(b"\x16") or "ller.test" in logged[0]
    assert all(32 <= ord(c) < 127 for c in logged[0])


@pytest.mark.parametrize("query, shown", [("keep", True), ("strip", False)])
def test_the_query_in_the_log(stage, query, shown):
    """accessLog: query: keep | strip: a line that is quoted in the error log keeps to it, too"""
    carpool = stage.carpool({"accessLog": {"query": query}})
    assert carpool.raw(b"GET http://a.test/x?key=secret b HTTP/1.1\r\nHost: a.test\r\n\r\n").status == 400
    assert ("secret" in carpool.stderr) == shown and "/x" in carpool.stderr


@pytest.mark.parametrize("line", ["GET http://user:secret@a.test/ HTTP/1.1", "GET http://user:se@cret@a.test/b c HTTP/1.1"])
def test_no_password_is_quoted(stage, line):
    """the log has the line, escaped: but no password"""
    carpool = stage.carpool()
    response = carpool.raw(line.encode() + b"\r\nHost: a.test\r\n\r\n")
    assert response.status == 400 and "http://***@a.test/" in response.text and "http://***@a.test/" in carpool.stderr
    assert "cret" not in response.text + carpool.stderr + response.fields.get("Proxy-Status")


@pytest.mark.parametrize("line, target", [("GET /x?y", "http://a.test/x?y"), ("GET http://a.test/x?y", "http://a.test/x?y")])
def test_a_400_that_is_not_about_the_line_logs_its_target(stage, line, target):
    """each 400 names what is wrong in the user's words [...], and the log has the line"""
    carpool = stage.carpool()
    assert carpool.raw(f"{line} HTTP/1.1\r\nHost: a.test\r\nContent-Length: x\r\n\r\n".encode()).status == 400
    assert f" target={target} " in carpool.stderr


def test_what_comes_by_the_wrong_way_is_named(stage):
    """each 400 names what is wrong: fields by their names, never by their values"""
    carpool = stage.carpool()
    response = carpool.raw(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nAuthorization : secret\r\n\r\n")
    assert response.status == 400 and "Authorization" in response.text and "secret" not in response.text
    assert "secret" not in carpool.stderr


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH", "X!#$%&'*+-.^_`|~9",
                                    "get"])
def test_every_method_is_forwarded(stage, method):
    """Absolute-form `http://` requests are forwarded: whatever the method, which knows case (RFC 9110,
    9.1)"""
    assert seen(stage, "http://{}/", method=method)[1].method == method


@pytest.mark.parametrize("target", ["/", "/index.html", "/http://a.test/"])
def test_origin_form_says_how_to_point_an_app_here(stage, target):
    """Origin-form requests get 400 with a body that says how to point an app here."""
    carpool = stage.carpool()
    response = carpool.raw(request("GET", target, host="a.test"))
    assert response.status == 400 and response.error == "http_request_error"
    assert "http_proxy" in response.text and str(carpool.port) in response.text
    assert response.text.count("\n") == 1 and response.text.endswith("\n")


@pytest.mark.parametrize("target", [
    "ftp://a.test/", "http:///x", "http://", "http:a.test", "//a.test/", "a.test", "a.test:80", "*", "http://:80/",
    "http://a.test:99999/", "http://a.test:0/", "http://a.test:x/", "http://a.test:-1/",
    "http://u@a.test/", "http://u:p@a.test/", "http://@a.test/", "http://[::1/", "http://::1/", "http://[a.test]/",
    "http://[fe80::1%25lo]/", "http://a.test#fragment", "http://a b.test/", "http://m\xfc.test/", "http://a.test\\@b.test/",
    "http://a.test/a b", "http://a.te<st/", "http://a.test\t/", "http://a.test/\x7f", "http://a.test/\x01",
    "http://a..test/", "http://.a.test/", "http://a.test%00/", "http://0x7f.1.test:8o/"])
def test_bad_targets(stage, target):
    """malformed request, ambiguous framing, bad target: 400, http_request_error"""
    carpool = stage.carpool()
    client = carpool.client()
    response = client.raw(b"GET " + target.encode("latin-1") + b" HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert response.status == 400 and response.error == "http_request_error"
    client.expect_end()
    assert not carpool.agents().get("default", {}).get("origins")


def test_an_asterisk_to_carpool_itself(stage):
    """Origin-form requests get 400: so does a target that names no origin at all"""
    assert stage.carpool().raw(request("OPTIONS", "*", host="a.test")).status == 400


@pytest.mark.parametrize("spelling", ["127.0.0.1", "LOCALHOST", "localhost"])
def test_spellings_of_a_host_that_work(stage, spelling):
    """Absolute-form `http://` requests are forwarded"""
    origin = stage.origin()
    carpool = stage.carpool()
    assert carpool.get(f"http://{spelling}:{origin.port}/").status == 200


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1."])
def test_odd_spellings_of_an_address(stage, spelling):
    """RFC 9110 and 9112 hold [...] in their strict reading: what looks like an address and is none reaches
    nobody"""
    origin = stage.origin()
    carpool = stage.carpool()
    assert carpool.get(f"http://{spelling}:{origin.port}/").status in (400, 502, 504)
    assert origin.accepted == 0
