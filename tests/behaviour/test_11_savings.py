"""Section 11.5: what reuse saved, in /agents, carpoolctl status and top."""

import re

import pytest

from .harness import stays, wait_until
from .harness.origin import answer
from .test_2_carpoolctl import shown
from .test_2_top import Terminal

PAY = "http://pay.test:80"


def upstream(origin, **options):
    return {"upstreams": {"pay": {"match": "pay.test", "address": [origin.authority], **options}}}


def test_requests_less_connections(stage):
    """per origin `saved: {connections, connectMs}`: requests less connections opened (0 at least)"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    for _ in range(5):
        assert carpool.get("http://pay.test/").status == 200
    saved = carpool.row(PAY, "pay")["saved"]
    connect = carpool.row(PAY, "pay")["latency"]["connect"]
    assert saved == {"connections": 4, "connectMs": saved["connectMs"]}
    assert abs(saved["connectMs"] - 4 * connect["sumMs"]) < 0.1     # one connect: it is the median
    assert carpool.agents()["pay"]["saved"] == saved


def test_nothing_is_saved_by_spares(stage):
    """0 at least"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin, minFreeSockets=3))
    carpool.wait_row(PAY, "pay", freeSockets=3)
    assert carpool.row(PAY, "pay")["saved"] == {"connections": 0, "connectMs": 0}


def test_spares_cost_what_others_saved(stage):
    """status says what direct clients would have opened more, of all origins: what spares opened in vain is taken off"""
    origin = stage.origin()
    config = upstream(origin)
    config["upstreams"]["spare"] = {"match": "spare.test", "address": [origin.authority], "minFreeSockets": 3}
    carpool = stage.carpool(config)
    carpool.wait_row("http://spare.test:80", "spare", freeSockets=3)
    for _ in range(6):
        assert carpool.get("http://pay.test/").status == 200
    assert carpool.agents()["pay"]["saved"]["connections"] == 5
    assert "\nsaved since start: 2 connections, " in shown(carpool, "status")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_takes_nothing_back(stage, workers):
    """saved since start: what a removed upstream saved, too"""
    origin = stage.origin()
    carpool = stage.carpool({"workers": workers, **upstream(origin)})
    for _ in range(3):
        assert carpool.get("http://pay.test/").status == 200
    carpool.reload({"upstreams": {}})
    wait_until(lambda: shown(carpool, "status").count("pay") == 0, "it is gone")
    assert "\nsaved since start: 2 connections, " in shown(carpool, "status")
    stays(lambda: "\nsaved since start: 2 connections, " in shown(carpool, "status"), "it was let go of", 1.5)
    carpool.reload(upstream(origin))
    for _ in range(3):
        assert carpool.get("http://pay.test/").status == 200
    assert "\nsaved since start: 4 connections, " in shown(carpool, "status")
    assert carpool.agents()["pay"]["saved"]["connections"] == 2


def test_explain_and_status_agree(stage):
    """the time of handshakes is the same in both"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    for _ in range(2):
        assert carpool.get("http://pay.test/").status == 200
    status = re.search(r"saved since start: 1 connection, (\S+ ms) of handshakes\n$", shown(carpool, "status"))
    assert status and status[1] != "0 ms"
    assert f"Saved since the start: 1 connection, {status[1]} of handshakes" in shown(carpool, "explain", "pay")


def test_status_tells_why_connections_were_opened(stage):
    """the last hour, and what a connection was opened after"""
    origin = stage.origin(lambda request: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool(upstream(origin))
    for _ in range(3):
        assert carpool.get("http://pay.test/").status == 200
    assert ("last hour: 3 requests opened 3 connections (2 after connection-close, 1 first; carpoolctl explain says why)\n"
            in shown(carpool, "status"))


def test_status_ends_with_it(stage):
    """`carpoolctl status` ends with "saved since start: 9,080 connections, 12 min 31 s of handshakes"; top shows it, too"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    assert shown(carpool, "status").endswith("\nsaved since start: 0 connections, 0 ms of handshakes\n")
    client = carpool.client()
    for _ in range(1002):
        client.ask("http://pay.test/")
        assert client.response().status == 200
    assert re.search(r"\n\nlast hour: 1,002 requests opened 1 connection \(1 first; carpoolctl explain says why\)\n"
                     r"saved since start: 1,001 connections, \S+ (ms|s) of handshakes\n$", shown(carpool, "status"))
    terminal = Terminal(carpool)
    terminal.see(lambda lines: any(line.startswith("saved since start: 1,001 connections, ") for line in lines))
    terminal.press(b"q")
    terminal.end()
