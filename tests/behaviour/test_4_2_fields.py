"""Section 4.2: which fields pass, which stay on their hop, and which Carpool adds."""

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import pytest

from .harness import Fields, wait_until
from .harness.origin import answer


def forwarded(stage, fields, config=None, **how):
    origin = stage.origin()
    carpool = stage.carpool(config)
    assert carpool.get(origin.url("/"), fields=fields, **how).status == 200
    return origin.requests[0].fields


def returned(stage, fields, config=None, **how):
    origin = stage.origin(lambda _: answer(fields=fields))
    return stage.carpool(config).get(origin.url("/"), **how).fields


HOP_BY_HOP = [("Keep-Alive", "timeout=7"), ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic eDp5"),
              ("TE", "gzip"), ("Upgrade", "websocket")]


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=lambda field: field[0])
def test_hop_by_hop_fields_of_a_request(stage, field):
    """hop-by-hop fields (`Connection` and what it names, `Keep-Alive`, `Proxy-Connection`, `TE` but for
    trailers, `Transfer-Encoding`, `Upgrade` unless switching, `Proxy-Authorization`, `Proxy-Authenticate`…)
    stay on their hop"""
    got = forwarded(stage, [field, ("X-After", "1")])
    assert field[0] not in got and got.get("X-After") == "1"


@pytest.mark.parametrize("field", [("Keep-Alive", "timeout=77, max=3"), ("Proxy-Connection", "keep-alive"),
                                   ("Proxy-Authenticate", "Basic realm=x"), ("Upgrade", "h2c"),
                                   ("Proxy-Authentication-Info", "x")], ids=lambda field: field[0])
def test_hop_by_hop_fields_of_a_response(stage, field):
    """hop-by-hop fields [...] stay on their hop"""
    got = returned(stage, [field, ("X-After", "1")])
    assert field[1] not in got.all(field[0]) and got.get("X-After") == "1"


@pytest.mark.parametrize("connection", [["X-One, x-TWO"], ["X-One", "X-Two"], [" , X-One ,,\tX-Two,"],
                                        ["close, X-One, X-Two"]])
def test_what_connection_names_in_a_request(stage, connection):
    """`Connection` and what it names [...] stay on their hop"""
    got = forwarded(stage, [("X-One", "1")] + [("Connection", value) for value in connection] +
                    [("X-Two", "2"), ("X-Three", "3")])
    assert "X-One" not in got and "X-Two" not in got and got.get("X-Three") == "3"
    assert got.get("Connection") == "keep-alive"


def test_what_connection_names_in_a_response(stage):
    """`Connection` and what it names [...] stay on their hop"""
    got = returned(stage, [("X-One", "1"), ("Connection", "x-one"), ("X-Two", "2")])
    assert "X-One" not in got and got.get("X-Two") == "2"


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Authorization", "Cookie", "Via", "Content-Type"])
def test_connection_cannot_take_away_what_matters(stage, name):
    """framing is generated anew and is never ambiguous: naming an end-to-end field does not unframe a
    message"""
    origin = stage.origin()
    carpool = stage.carpool()
    response = carpool.get(origin.url("/"), method="POST", body=b"abc", fields=[("Via", "1.1 other"), ("Connection", name)])
    assert response.status in (200, 400)
    for got in origin.requests:
        assert got.body == b"abc" and got.fields.get("Host") == origin.authority
        assert via(got.fields)[0] == "1.1 other" and len(via(got.fields)) == 2


@pytest.mark.parametrize("value", ["trailers", "Trailers", "gzip, trailers", "deflate;q=0.5, trailers"])
def test_te_passes_for_trailers(stage, value):
    """`TE` but for trailers"""
    got = forwarded(stage, [("TE", value), ("Connection", "TE")])
    assert got.get("TE") == "trailers"
    assert "te" in [word.strip().lower() for word in got.get("Connection").split(",")]


def test_other_fields_pass_as_they_are(stage):
    """RFC 9110 [...]: an intermediary forwards what it does not know, in order, doubled, with its case"""
    fields = [("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("Cookie", "a=b; c=d"), ("Accept", "*/*;q=0.1"),
              ("X-Latin", "\xe9\xff"), ("X-Empty", ""), ("X-Spaces", "a  b\tc"), ("User-Agent", "t/1"),
              ("Authorization", "Bearer x"), ("Cache-Control", "no-cache"), ("Range", "bytes=0-1"),
              ("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "1.2.3.4"), ("Expect-CT", "x")]
    added = ("host", "via", "connection")
    assert [each for each in forwarded(stage, fields) if each[0].lower() not in added] == fields
    fields = [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("Server", "s"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
              ("X-Latin", "\xe9\xff"), ("X-Empty", ""), ("ETag", '"x"'), ("Age", "3"), ("Vary", "*")]
    added = ("via", "connection", "content-length", "keep-alive")
    assert [each for each in returned(stage, fields) if each[0].lower() not in added] == fields


def test_a_date_that_is_missing_is_added(stage):
    """RFC 9110 [...] holds for an intermediary: it appends the Date that a response lacks (6.6.1), no other"""
    (date,) = returned(stage, []).all("Date")
    assert abs((parsedate_to_datetime(date) - datetime.now(timezone.utc)).total_seconds()) < 3600
    assert returned(stage, [("date", "Mon, 01 Jan 2024 00:00:00 GMT")]).all("Date") == ["Mon, 01 Jan 2024 00:00:00 GMT"]


def test_no_forwarded(stage):
    """No `Forwarded` or `X-Forwarded-For` is added."""
    got = forwarded(stage, [])
    assert sorted(got.names()) == ["connection", "host", "via"]


def test_requests_carry_keep_alive(stage):
    """Requests carry `Connection: keep-alive` (it makes some servers send their hint), or `close` on a
    socket's last exchange."""
    origin = stage.origin()
    carpool = stage.pooled(maxRequestsPerSocket=3)
    for _ in range(4):
        carpool.get(origin.url("/"), fields=[("Connection", "close")])
    assert [got.fields.get("Connection") for got in origin.requests] == ["keep-alive", "keep-alive", "close",
                                                                         "keep-alive"]


def test_close_where_nothing_is_pooled(stage):
    """or `close` on a socket's last exchange"""
    origin = stage.origin()
    stage.pooled(keepAlive=False).get(origin.url("/"))
    assert origin.requests[0].fields.get("Connection") == "close"


PSEUDONYM = r"carpool-[0-9a-f]{8}"


def test_via_both_ways(stage):
    """`Via` is appended both ways with the received version and this instance's own name (`Via: 1.1
    carpool-5f3a91c2` [...]"""
    origin = stage.origin()
    response = stage.carpool().get(origin.url("/"))
    assert re.fullmatch("1.1 " + PSEUDONYM, origin.requests[0].fields.get("Via"))
    assert response.fields.get("Via") == origin.requests[0].fields.get("Via")


def via(fields):
    """The members of Via over all its lines."""
    return [member.strip() for value in Fields(fields).all("Via") for member in value.split(",")]


def test_via_is_appended(stage):
    """`Via` is appended both ways"""
    origin = stage.origin(lambda _: answer(fields=[("Via", "1.1 b"), ("Via", "1.0 c")]))
    response = stage.carpool({"name": "me"}).get(origin.url("/"), fields=[("Via", "1.0 a, 1.1 z")])
    assert via(origin.requests[0].fields) == ["1.0 a", "1.1 z", "1.1 me"]
    assert via(response.fields) == ["1.1 b", "1.0 c", "1.1 me"]


def test_no_via(stage):
    """via: false: no Via is added to this agent's requests and responses"""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    origin = stage.origin(lambda asked: interim + answer(fields=[("Via", "1.1 b")] if asked.target == "/has" else []))
    quiet = {"match": "quiet.test", "address": [origin.authority], "via": False}
    carpool = stage.carpool({"name": "me", "upstreams": {"quiet": quiet, "loud": {**quiet, "match": "loud.test", "via": True}}})
    response = carpool.get("http://quiet.test/")
    assert via(origin.requests[0].fields) == via(response.fields) == via(response.interim[0].fields) == []
    response = carpool.get("http://quiet.test/has", fields=[("Via", "1.1 a")])
    assert via(origin.requests[1].fields) == ["1.1 a"] and via(response.fields) == ["1.1 b"]
    response = carpool.get("http://loud.test/")
    assert via(origin.requests[2].fields) == via(response.fields) == via(response.interim[0].fields) == ["1.1 me"]


def test_no_via_when_protocols_are_switched(stage):
    """via: false: no Via is added to this agent's requests and responses: a 101 is one"""
    origin = stage.origin(lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    carpool = stage.pooled(via=False)
    response = carpool.get(origin.url("/"), fields=[("Upgrade", "x"), ("Connection", "upgrade")])
    assert response.status == 101 and via(response.fields) == via(origin.requests[0].fields) == []


def test_via_of_1_0_peers(stage):
    """`1.0` from an HTTP/1.0 peer"""
    origin = stage.origin(lambda _: answer(version="1.0"))
    response = stage.carpool({"name": "me"}).get(origin.url("/"), version="1.0")
    assert via(origin.requests[0].fields) == ["1.0 me"] and via(response.fields) == ["1.0 me"]


def test_the_name_of_an_instance(stage):
    """the part after the dash is random at start, or the option `name:` sets the whole"""
    origin = stage.origin()
    names = {stage.carpool().get(origin.url("/")).fields.get("Via") for _ in range(2)}
    assert len(names) == 2
    assert stage.carpool({"name": "edge-7"}).get(origin.url("/")).fields.get("Via") == "1.1 edge-7"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_zero(stage, method):
    """`Max-Forwards` [...] are right: at 0 Carpool itself answers (RFC 9110, 7.6.2)"""
    origin = stage.origin()
    carpool = stage.carpool()
    response = carpool.get(origin.url("/"), method=method, fields=[("Max-Forwards", 0)])
    assert response.status in (200, 204, 405, 501) and origin.accepted == 0
    assert response.fields.get("Proxy-Status").startswith("carpool") and response.error is None


@pytest.mark.parametrize("target, logged", [("/a?b", "http://127.0.0.1/a?b"), ("http://a.test:80/a", "http://a.test/a")])
def test_a_trace_is_logged_by_its_url(stage, target, logged):
    """at 0 [...] TRACE with the request's head as `message/http`; `target` of the access log is an absolute URI"""
    log, port = stage.path("access.log"), stage.ports.take()
    carpool = stage.carpool({"accessLog": {"path": log},
                             "upstreams": {"a": {"match": "a.test", "listen": [f"127.0.0.1:{port}"]}}})
    sent = f"TRACE {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {'x' * 9000}\r\nMax-Forwards: 0\r\n\r\n"
    response = carpool.client(("127.0.0.1", port)).raw(sent.encode())
    assert response.status == 200 and response.text == sent
    assert f" target={logged} " in wait_until(lambda: open(log).read(), "a line")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_counts_down(stage, method):
    """`Max-Forwards` [...] are right"""
    origin = stage.origin()
    stage.carpool().get(origin.url("/"), method=method, fields=[("Max-Forwards", 5)])
    assert origin.requests[0].fields.get("Max-Forwards") == "4"


def test_max_forwards_of_other_methods(stage):
    """`Max-Forwards` [...] are right: it means nothing in a GET"""
    assert forwarded(stage, [("Max-Forwards", 0)]).get("Max-Forwards") in ("0", None)


@pytest.mark.parametrize("name, written", [("edge", "edge"), ("e-7._~", "e-7._~"), ("7-edge", '"7-edge"'), ("_edge", '"_edge"')])
def test_proxy_status_of_own_answers(stage, name, written):
    """`Proxy-Status` (RFC 9209, with this instance's name) explains every response that Carpool made
    itself: a name that begins with a letter is a token, any other a string (RFC 8941, 3.3)"""
    closed = stage.ports.refused()
    carpool = stage.carpool({"name": name})
    response = carpool.get(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert response.fields.get("Proxy-Status").startswith(f"{written}; error=connection_refused; ")


def test_no_proxy_status_on_the_responses_of_others(stage):
    """`Proxy-Status` [...] explains every response that Carpool made itself: and no other"""
    origin = stage.origin(lambda _: answer(b"bad", "502 Bad Gateway"))
    assert "Proxy-Status" not in stage.carpool().get(origin.url("/")).fields


def test_upgrade_to_h2c_is_dropped(stage):
    """`h2c` is dropped with `HTTP2-Settings` and the request forwarded without it"""
    got = forwarded(stage, [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")])
    assert "Upgrade" not in got and "HTTP2-Settings" not in got and got.get("Connection") == "keep-alive"


def test_upgrade_to_h2c_or_another_protocol(stage):
    """`h2c` is dropped with `HTTP2-Settings` and the request forwarded without it: the others go on"""
    got = forwarded(stage, [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c, foo/2,bar"), ("HTTP2-Settings", "AA")])
    assert got.all("Upgrade") == ["foo/2, bar"] and "HTTP2-Settings" not in got and got.get("Connection") == "Upgrade"


def test_nothing_is_written_where_a_name_is_not_a_token(stage):
    """name: this instance in Via: what cannot stand there is an error"""
    done = stage.check("name: 'a b'\n")
    assert done.returncode == 1 and "checked.yaml:1:7: error: " in done.stderr
