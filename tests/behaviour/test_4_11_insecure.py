"""Section 4.11: insecureHTTPParser, for an origin that one does not own."""

import pytest

from .harness import Truncated, wait_until
from .harness.origin import answer

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"

# What comes, and the fields that the client gets of it beside Carpool's own and the framing.
REPAIRED = {
    "bare-lf": (b"HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nok", [("X", "a")]),
    "one-bare-lf": (OK + b"X: a\n" + TWO + b"\r\nok", [("X", "a")]),
    "end-of-lf": (OK + b"X: a\r\n" + TWO + b"\nok", [("X", "a")]),
    "obs-fold": (OK + b"X: a\r\n b\r\n\tc\r\n" + TWO + b"\r\nok", [("X", "a b c")]),
    "space-before-colon": (OK + b"X : a\r\n" + TWO + b"\r\nok", [("X", "a")]),
    "space-before-the-length's-colon": (OK + b"Content-Length : 2\r\n\r\nok", []),
    "no-fields": (OK + b"X\r\nBad Name: a\r\n: b\r\nY: c\r\n" + TWO + b"\r\nok", [("Y", "c")]),
    "doubled-length": (OK + TWO + TWO + b"\r\nok", []),
    "doubled-length-list": (OK + b"Content-Length: 2, 2\r\n\r\nok", []),
    "doubled-chunked": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", []),
    "doubled-chunked-list": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", []),
    "control": (OK + b"X: \x1b[0m\x7f.\r\n" + TWO + b"\r\nok", [("X", "[0m .")]),
    "bare-cr": (OK + b"X: a\rb\r\n" + TWO + b"\r\nok", [("X", "a b")]),
    "nul": (OK + b"X: a\0b\r\n" + TWO + b"\r\nok", [("X", "a b")]),
    "until-the-end": (b"HTTP/1.0 200 OK\nX: a\n\nok", [("X", "a")]),
}

REFUSED = {
    "two-lengths": OK + b"X : a\r\n" + TWO + b"Content-Length: 3\r\n\r\nok",
    "length-and-coding": OK + b"Content-Length: 2\nTransfer-Encoding: chunked\n\n2\r\nok\r\n0\r\n\r\n",
    "length-and-spaced-coding": OK + TWO + b"Transfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "folded-length": OK + b"Content-Length: 2\r\n 0\r\n\r\nok",
    "folded-coding": OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "control-in-length": OK + b"Content-Length: 2\x01\r\n\r\nok",
    "length-in-no-field": OK + b"X Content-Length: 2\r\n\r\nok",
    "unknown-coding": OK + b"Transfer-Encoding: gzip, gzip\n\nok",
    "blank-line": OK + b"X: a\r\n \r\n" + TWO + b"\r\nok",
    "cr-line": OK + b"X: a\r\n\r\r\n" + TWO + b"\r\nok",
    "fold-first": OK + b" X: a\r\n" + TWO + b"\r\nok",
    "status-letters": b"HTTP/1.1 2OO OK\n\nok",
    "version-2": b"HTTP/2 200 OK\n\nok",
    "broken-chunk": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\nzz\r\nok",
}


def lenient(stage, bad, **more):
    """An origin that answers /bad so, anything else well; and a daemon that repairs."""
    def respond(asked):
        if asked.target == "/bad":
            asked.connection.send(bad)
            return None
        return answer()
    origin = stage.origin(respond)
    return origin, stage.pooled(insecureHTTPParser=True, **more)


@pytest.mark.parametrize("name", REPAIRED)
def test_what_is_repaired(stage, name):
    """bare LF as a line end, obs-fold, space before a colon, field lines that are no fields (left out), a doubled
    identical Content-Length or `chunked`, control characters in values (as a space) are repaired; [...] a socket that
    needed a repair is never used again (`protocol-error`)"""
    bad, fields = REPAIRED[name]
    origin, carpool = lenient(stage, bad)
    if name == "until-the-end":
        origin.respond = lambda asked: (asked.connection.send(bad), asked.connection.close())[0] if asked.target == "/bad" else answer()
    assert carpool.get(origin.url("/good")).status == 200
    response = carpool.get(origin.url("/bad"))
    assert (response.status, response.body, response.error) == (200, b"ok", None)
    own = {"via", "date", "connection", "keep-alive", "content-length", "transfer-encoding"}
    assert [(each, value) for each, value in response.fields if each.lower() not in own] == fields
    assert carpool.get(origin.url("/good")).status == 200
    assert origin.accepted == 2 and carpool.retired(origin) == {"protocol-error": 1}
    assert carpool.row(origin)["responsesRepaired"] == 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not(stage, name):
    """framing that remains ambiguous is refused all the same"""
    origin, carpool = lenient(stage, REFUSED[name])
    if name == "broken-chunk":
        with pytest.raises(Truncated):
            carpool.get(origin.url("/bad"))
    else:
        response = carpool.get(origin.url("/bad"))
        assert response.status == 502 and response.error == "http_protocol_error"
    assert carpool.get(origin.url("/good")).status == 200
    assert origin.accepted == 2 and carpool.retired(origin) == {"protocol-error": 1}


def test_off_by_default(stage):
    """insecureHTTPParser: false; and the answer says what it would do"""
    origin = stage.origin(lambda _: REPAIRED["obs-fold"][0])
    response = stage.carpool().get(origin.url("/"))
    assert response.status == 502 and "X" in response.text and "insecureHTTPParser" in response.text


@pytest.mark.parametrize("cut", [3, 4096])
def test_however_it_comes(stage, cut):
    """so nothing of it reaches another client: whatever pieces it comes in"""
    data = b"HTTP/1.1 103 Early Hints\nLink : x\n\n" + b"HTTP/1.1 200 OK\nX: " + b"y" * 5000 + b"\nContent-Length: 2\n\nok"
    origin = stage.origin(lambda asked: asked.connection.send_slowly(data, pause=0.0001, step=cut))
    response = stage.pooled(insecureHTTPParser=True).get(origin.url("/"))
    assert (response.status, response.body, response.fields.get("X")) == (200, b"ok", "y" * 5000)
    assert [interim.status for interim in response.interim] == [103] and response.interim[0].fields.get("Link") == "x"


def test_bytes_behind_it_reach_nobody(stage):
    """so nothing of it reaches another client"""
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
    origin, carpool = lenient(stage, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok" + extra)
    client = carpool.client()
    assert client.get(origin.url("/bad")).body == b"ok"
    assert client.get(origin.url("/good")).body == b"ok"
    assert origin.accepted == 2


def test_good_responses_cost_nothing(stage):
    """a socket that needed a repair: others are used again"""
    origin, carpool = lenient(stage, b"")
    for _ in range(3):
        assert carpool.get(origin.url("/good")).status == 200
    assert origin.accepted == 1 and carpool.row(origin)["responsesRepaired"] == 0


def test_it_is_counted_and_told(stage):
    """Counted, and said in the diagnosis."""
    origin, carpool = lenient(stage, REPAIRED["obs-fold"][0].replace(b"200 OK\r\n", b"200 OK\n"))
    for _ in range(2):
        assert carpool.get(origin.url("/bad")).status == 200
    (said,) = wait_until(lambda: carpool.agents()["default"]["diagnosis"], "a sentence")
    assert "insecureHTTPParser repaired 2" in said and "LF alone" in said and "next line" in said
    assert 'carpool_agent_responses_repaired_total{agent="default",origin="*"} 2' in carpool.admin("/metrics").text


def test_requests_are_never_repaired(stage):
    """in this agent's responses"""
    origin, carpool = lenient(stage, b"")
    data = f"GET {origin.url('/')} HTTP/1.1\nHost: x\n\n".encode()
    assert carpool.raw(data).status == 400
    assert origin.accepted == 0
