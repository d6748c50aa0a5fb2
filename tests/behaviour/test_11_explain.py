"""Section 11.4: carpoolctl explain tells why a pool opens connections, and what to change."""

import json
import re

import pytest

from .harness import stays
from .harness.origin import answer
from .test_2_carpoolctl import ctl, program, shown  # pylint: disable=unused-import

PAY = "http://pay.test:80"


def upstream(origin, **options):
    return {"upstreams": {"pay": {"match": "pay.test", "address": [origin.authority], **options}}}


def explained(carpool, *words):
    """What it prints, as one line a paragraph or item; each line of it has 80 columns at most."""
    text = shown(carpool, "explain", *words)
    assert all(len(line) <= 80 for line in text.split("\n"))
    return " ".join(text.split())


def one_waits(stage):
    """A daemon of which maxSockets: 1 holds the second of two clients, the origin, which answers by hand, these clients, and the
    request of the first one."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool(upstream(origin, maxSockets=1))
    clients = [carpool.ask("http://pay.test/")]
    asked = origin.take()
    clients.append(carpool.ask("http://pay.test/"))
    carpool.wait_row(PAY, "pay", requests=1)
    return carpool, origin, clients, asked


def test_requests_connections_and_why(stage):
    """requests and connections, why the connections were opened in order of weight, what was saved, direct clients"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    for number in range(10):
        assert carpool.get("http://pay.test/").status == 200
        if number in (3, 6):
            carpool.wait_row(PAY, "pay", freeSockets=1)
            carpool.admin("/agents/pay/drain", "POST")
            carpool.wait_row(PAY, "pay", freeSockets=0)
    text = explained(carpool, "pay")
    assert text.startswith("pay http://pay.test Since the start, ")
    assert "10 requests opened 3 connections, 3.3 requests each. Direct clients would have opened 10." in text
    assert ("Why they were opened: - 2 drained: earlier ones were drained, by carpoolctl drain or a reload. "
            "- 1 first: there was none yet.") in text
    assert "No request waited for a limit, and none failed." in text
    assert "Now 0 connections are in use, 1 has been idle for " in text and "Saved since the start: 7 connections, " in text


def test_what_to_change_at_the_service(stage):
    """a service that says Connection: close each time: the reason by its word, and what to change"""
    origin = stage.origin(lambda _: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool(upstream(origin))
    for _ in range(5):
        assert carpool.get("http://pay.test/").status == 200
    assert ("- 4 connection-close: the service ends each connection with its response (Connection: close, or HTTP/1.0). "
            "Switch keep-alive on there"
            in explained(carpool, "pay"))


def test_what_waited(stage):
    """what waited and for what"""
    carpool, origin, clients, asked = one_waits(stage)
    asked.connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200, 200]
    assert "1 of 2 requests found all connections busy (maxSockets is 1) and waited " in explained(carpool, "pay")
    carpool.admin("/agents/pay/pause", "POST")
    text = explained(carpool, "pay")
    assert "The agent is paused, and 0 requests wait: carpoolctl resume pay." in text
    assert "1 of 2 requests found all connections busy (maxSockets is 1) and waited " in text


def test_what_was_learned(stage):
    """what Carpool learned"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    for _ in range(20):     # three in a row at like ages, on a machine that may stand still meanwhile
        assert carpool.get("http://pay.test/").status == 200
        if carpool.row(PAY, "pay").get("learnedFreeTimeoutMs"):
            break
        carpool.wait_row(PAY, "pay", freeSockets=1)
        stays(lambda: origin.connections[-1].is_open, "it is idle", 0.6)
        origin.connections[-1].close()
        carpool.wait_row(PAY, "pay", freeSockets=0)
    assert re.search(r"Learned: the service closes a used connection that was idle for \S+ (ms|s), so Carpool closes it after ",
                     explained(carpool, "pay"))


def test_what_failed(stage):
    """what failed"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"pay": {"match": "pay.test",
                                                   "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    assert carpool.get("http://pay.test/").status == 502
    refused.close()
    assert "1 request failed since the start: 1 connection_refused. The latest: carpoolctl errors pay." in explained(carpool)


@pytest.mark.parametrize("count, more", [(12, "2 more origins"), (11, "1 more origin")])
def test_many_origins(stage, count, more):
    """for each origin; of thousands, the busiest"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"pay": {"match": "*.pay.test", "address": [origin.authority],
                                                   "maxTotalSockets": 2}}})
    for number in range(count):
        for _ in range(2 if number == 7 else 1):
            assert carpool.get(f"http://h{number}.pay.test/").status == 200
    text = explained(carpool, "pay")
    assert text.startswith("pay Since the start, ") and f"{count + 1} requests opened {count} connections" in text
    assert text.index("pay http://h7.pay.test") < text.index("pay http://h0.pay.test")
    assert text.endswith(f"... and {more}: carpoolctl status lists all.")


def test_one_agent_or_all(stage):
    """explain [AGENT]; without traffic, too"""
    carpool = stage.carpool({"upstreams": {"one": {"match": "one.test"}, "two": {"match": "two.test"}}})
    assert "one No request since the start" in explained(carpool) and "two No request" in explained(carpool)
    assert "two" not in explained(carpool, "one")


def test_unknown_agents(stage):
    """An unknown agent: exit 1"""
    done = ctl(stage.carpool({"upstreams": {"payments": {"match": "pay.test"}}}), "explain", "paymets")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "carpoolctl: there is no agent 'paymets', did you mean 'payments'? There are: default, payments\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_json(stage, workers):
    """--json prints what the admin API said"""
    carpool = stage.carpool({"workers": workers, "upstreams": {"pay": {"match": "pay.test"}}})
    said = json.loads(shown(carpool, "--json", "explain", "pay"))
    assert [(agent["name"], agent["origins"], agent["more"]) for agent in said["agents"]] == [("pay", [], 0)]
