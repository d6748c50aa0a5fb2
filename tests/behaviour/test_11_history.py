"""Section 11: the daemon itself remembers the last hour."""

import json

import pytest

from .harness import wait_until

PAY = "http://pay.test:80"


def history(carpool, agent=None):
    answer = carpool.admin(f"/agents/{agent}/history" if agent else "/history")
    assert answer.status == 200
    return json.loads(answer.body)


def running(minutes):
    return minutes[-1]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_running_minute(stage, workers):
    """the last hour, a minute a slot per agent; several workers: merged as the other figures are"""
    origin = stage.origin()
    carpool = stage.carpool({"workers": workers,
                             "upstreams": {"pay": {"match": ["pay.test", "bill.test"], "address": [origin.authority]}}})
    for _ in range(3):
        assert carpool.get("http://pay.test/").status == 200
    assert carpool.get("http://bill.test/").status == 200

    def pay():
        return next(agent for agent in history(carpool)["agents"] if agent["name"] == "pay")
    wait_until(lambda: running(pay()["minutes"]).get("requests") == 4, "all requests are in it")
    minute = running(pay()["minutes"])
    assert minute["socketsOpened"] == 2 and minute["openedFor"] == {"first": 2} and minute["reused"] == 2
    wait_until(lambda: len(history(carpool, "pay")["origins"]) == 2, "its origins were looked at")
    one = history(carpool, "pay")
    assert one["name"] == "pay"
    assert {row["origin"]: running(row["minutes"])["requests"] for row in one["origins"]} == {PAY: 3, "http://bill.test:80": 1}
    hour = carpool.agents()["pay"]["lastHour"]
    assert hour["requests"] == 4 and hour["openedFor"] == {"first": 2} and hour["ms"] > 0


def test_what_limits_held(stage):
    """what waited, and for what"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"pay": {"match": "pay.test", "address": [origin.authority], "maxSockets": 1,
                                                   "maxPendingRequests": 1}}})
    first = carpool.ask("http://pay.test/")
    asked = origin.take()
    second = carpool.ask("http://pay.test/")
    carpool.wait_row(PAY, "pay", requests=1)
    assert carpool.get("http://pay.test/").status == 503
    asked.connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in (first, second)] == [200, 200]
    wait_until(lambda: carpool.agents()["pay"]["lastHour"].get("requests") == 3, "all requests are in it")
    hour = carpool.agents()["pay"]["lastHour"]
    assert hour["held"] == {"maxSockets": 2} and hour["refused"] == 1 and hour["waited"] == 1


def test_unknown_agents(stage):
    """an agent that is not there"""
    assert stage.carpool().admin("/agents/nobody/history").status == 404
