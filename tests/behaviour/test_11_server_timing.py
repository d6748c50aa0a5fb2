"""Section 11.6: Server-Timing says what a request waited for."""

import re
import time

from .harness import stays
from .harness.origin import answer
from .harness.tls import secure, tls_origin

ON = {"server": {"serverTiming": True}}
PAY = "http://pay.test:80"


def daemon(stage, origin, server=True, **options):
    return stage.carpool({"server": {"serverTiming": server},
                          "upstreams": {"pay": {"match": "pay.test", "address": [origin.authority], **options}}})


def timing(response):
    """(wait, connect, reason, origin) of Carpool's field, which is the last one."""
    value = response.fields.all("Server-Timing")[-1]
    found = re.fullmatch(r'carpool-wait;dur=(\d+\.\d), carpool-connect;dur=(\d+(?:\.\d)?);desc="([\w-]+)", '
                         r"carpool-origin;dur=(\d+\.\d)", value)
    assert found, value
    return float(found[1]), float(found[2]), found[3], float(found[4])


def test_off_by_default_and_live_at_a_reload(stage):
    """server.serverTiming: false; true adds it; a reload switches it"""
    origin = stage.origin()
    carpool = daemon(stage, origin, server=False)
    assert carpool.get("http://pay.test/").fields.all("Server-Timing") == []
    carpool.config["server"]["serverTiming"] = True
    carpool.reload(carpool.config)
    timing(carpool.get("http://pay.test/"))


def test_a_new_connection_has_its_reason(stage):
    """`desc` is the reason of 1 for a new socket, `reused` (with `dur=0`) otherwise"""
    origin = stage.origin()
    carpool = daemon(stage, origin)
    assert timing(carpool.get("http://pay.test/"))[2] == "first"
    response = carpool.get("http://pay.test/")
    assert timing(response)[1:3] == (0, "reused") and "carpool-connect;dur=0;" in response.fields.get("Server-Timing")
    carpool.admin("/agents/pay/drain", "POST")
    carpool.wait_row(PAY, "pay", freeSockets=0)
    assert timing(carpool.get("http://pay.test/"))[2] == "drained"


def test_a_spare_was_not_waited_for(stage):
    """what one request waited for: not the connect of a spare that was there before it"""
    origin = stage.origin()
    carpool = daemon(stage, origin, minFreeSockets=1)
    carpool.wait_row(PAY, "pay", freeSockets=1)
    assert timing(carpool.get("http://pay.test/"))[:3] == (0, 0, "warm")


def test_no_limit_no_wait(stage):
    """carpool-wait: for a limit; what precedes the first handshake is part of the connection"""
    origin = tls_origin(stage)
    carpool = stage.carpool({**secure(), **ON})
    wait, connect, reason, _ = timing(carpool.get(f"https://{origin.authority}/"))
    assert (wait, reason) == (0, "first") and connect > 0


def test_waiting_for_a_limit_and_for_the_origin(stage):
    """carpool-wait: for a limit; carpool-origin: until its response began"""
    origin = stage.origin(manual=True)
    carpool = daemon(stage, origin, maxSockets=1)
    first = carpool.ask("http://pay.test/")
    asked = origin.take()
    second = carpool.ask("http://pay.test/")
    carpool.wait_row(PAY, "pay", requests=1)
    began = time.monotonic()
    stays(origin.idle, "the second one waits", 0.05)
    least = (time.monotonic() - began) * 1e3
    asked.connection.reply()
    assert timing(first.response())[3] >= least - 1
    asked = origin.take()
    asked.connection.reply()
    wait, connect, reason, _ = timing(second.response())
    assert wait >= least - 1 and (connect, reason) == (0, "reused")


def test_the_origins_own_stays(stage):
    """a field of that name from the origin stays"""
    origin = stage.origin(lambda _: answer(fields=[("Server-Timing", "db;dur=53")]))
    response = daemon(stage, origin).get("http://pay.test/")
    timing(response)
    assert response.fields.all("Server-Timing")[0] == "db;dur=53"


def test_own_answers_carry_none(stage):
    """Own answers carry none; neither do interim responses"""
    refused = stage.ports.refused()
    carpool = stage.carpool({**ON, "upstreams": {"pay": {
        "match": "pay.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    response = carpool.get("http://pay.test/")
    assert response.status == 502 and response.fields.all("Server-Timing") == []
    refused.close()
