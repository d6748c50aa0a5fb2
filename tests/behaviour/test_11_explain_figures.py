"""Section 11.4: the figures of carpoolctl explain fit each other, and carpoolctl status."""

import json
import re
import time

import pytest

from .harness import wait_until
from .harness.client import request
from .harness.h2 import h2_origin
from .harness.origin import answer
from .test_11_explain import PAY, explained, one_waits, upstream
from .test_2_carpoolctl import program  # pylint: disable=unused-import


def test_requests_that_no_connection_carried(stage):
    """requests and connections: those that were not sent are told, so that the figures divide"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    for _ in range(3):
        assert carpool.get("http://pay.test/").status == 200
    refused = stage.ports.refused()
    carpool.reload({"upstreams": {"pay": {"match": "pay.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    for _ in range(2):
        assert carpool.get("http://pay.test/").status == 502
    refused.close()
    assert ("5 requests (2 not sent) opened 1 connection, 3.0 requests each. Direct clients would have opened 3."
            in explained(carpool, "pay"))


def test_what_a_pause_held(stage):
    """what waited and for what: a pause, too"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin))
    carpool.admin("/agents/pay/pause", "POST")
    client = carpool.ask("http://pay.test/")
    carpool.wait_row(PAY, "pay", requests=1)
    carpool.admin("/agents/pay/resume", "POST")
    assert client.response().status == 200
    text = explained(carpool, "pay")
    assert re.search(r"1 of 1 request found the agent paused and waited \S+ m?s\. ", text), text
    assert "No request waited" not in text


def test_a_pause_while_a_limit_holds(stage):
    """what waited and for what: how much of that was in a pause"""
    carpool, origin, clients, asked = one_waits(stage)
    carpool.admin("/agents/pay/pause", "POST")
    time.sleep(.02)                      # of a pause, which no event ends
    carpool.admin("/agents/pay/resume", "POST")
    asked.connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200, 200]
    text = explained(carpool, "pay")
    assert re.search(r"1 of 2 requests found all connections busy \(maxSockets is 1\) and waited \S+ m?s, "
                     r"\S+ m?s of that while the agent was paused\.", text), text


def test_a_limit_and_a_pause(stage):
    """what waited and for what: how many for each, and what became of all"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool(upstream(origin, maxSockets=1, maxPendingRequests=1))
    clients = [carpool.ask("http://pay.test/")]
    asked = origin.take()
    clients.append(carpool.ask("http://pay.test/"))
    carpool.wait_row(PAY, "pay", requests=1)
    assert carpool.get("http://pay.test/").status == 503
    asked.connection.reply()
    origin.take().connection.reply()
    carpool.wait_row(PAY, "pay", freeSockets=1)
    carpool.admin("/agents/pay/pause", "POST")
    clients.append(carpool.ask("http://pay.test/"))
    carpool.wait_row(PAY, "pay", requests=1)
    carpool.admin("/agents/pay/resume", "POST")
    origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 3
    text = explained(carpool, "pay")
    assert ("Of 4 requests 2 found all connections busy (maxSockets is 1) and 1 found the agent paused. "
            "Of these 3, 2 waited, ") in text
    assert re.search(r" on average(, \S+ m?s of that while the agent was paused)?, and 1 was refused at once\.", text), text


def test_requests_over_http2(stage):
    """over HTTP/2 maxSockets limits requests under way, not only connections"""
    held = []
    origin = h2_origin(stage, lambda stream: held.append(stream) if stream.target == "/hold" else b"ok", tls=False)
    carpool = stage.carpool({"upstreams": {"api": {"match": "127.0.0.1", "h2Options": {"useH2c": True}, "maxSockets": 2}}})
    assert carpool.get(origin.url("/")).status == 200
    clients = [carpool.ask(origin.url("/hold")) for _ in range(3)]
    carpool.wait_row(origin.key, "api", requests=1)
    for number in range(1, 4):
        wait_until(lambda: held, f"request {number}")
        held.pop(0).answer()
    assert [client.response().status for client in clients] == [200] * 3
    assert "1 of 4 requests found 2 requests under way (maxSockets is 2) and waited " in explained(carpool, "api")


@pytest.mark.parametrize("limits", [["maxSockets"], ["maxSockets", "maxTotalSockets"]])
def test_waits_of_clients_that_left(stage, limits):
    """what is needed follows from requests that were served; those that waited in vain take nothing off it. Of two limits
    that hold, both are to be raised"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool(upstream(origin, **{limit: 1 for limit in limits}))
    client = carpool.ask("http://pay.test/")
    asked = origin.take()
    others = [carpool.ask("http://pay.test/") for _ in range(3)]
    carpool.wait_row(PAY, "pay", requests=3)
    waited_from = time.monotonic()
    wait_until(lambda: time.monotonic() - waited_from > 0.5, "time that counts")
    for other in others:
        other.close()
    carpool.wait_row(PAY, "pay", requests=0)
    asked.connection.reply()
    assert client.response().status == 200
    carpool.wait_row(PAY, "pay", freeSockets=1)
    text = explained(carpool, "pay")
    assert "3 of 4 requests found all connections busy" in text and f"raise {' and '.join(limits)} to " in text, text
    advice = [entry["option"] for entry in json.loads(carpool.admin("/advice").body)]
    assert sorted(advice) == limits, advice


def test_a_burst_between_two_looks(stage):
    """what waited: the most at a time is that of the moment at which the last of them came, looked at or not"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool(upstream(origin, maxSockets=1))
    clients = [carpool.ask("http://pay.test/")]
    asked = origin.take()
    clients += [carpool.ask("http://pay.test/") for _ in range(5)]
    carpool.wait_row(PAY, "pay", requests=5)
    asked.connection.reply()
    for _ in range(5):
        origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 6
    assert "t one moment 6 were running or waiting" in explained(carpool, "pay")


def test_tunnels_need_connections_while_they_are_open(stage):
    """what waited: a connection is needed for as long as its tunnel is open, not only until it is"""
    origin = stage.origin(serve=lambda connection: connection.fill())
    carpool = stage.carpool({"access": {"connectPorts": [origin.port]}, "defaults": {"maxSockets": 1, "maxPendingRequests": 1}})
    clients = [carpool.client() for _ in range(2)]
    clients[0].send(request("CONNECT", origin.authority))
    assert clients[0].read_response_head().status == 200
    clients[1].send(request("CONNECT", origin.authority))
    carpool.wait_row(f"tunnel://{origin.authority}", requests=1)
    for _ in range(2):
        assert carpool.raw(request("CONNECT", origin.authority), "CONNECT-REFUSED").status == 503
    assert "Since none got a connection" not in explained(carpool)
    wait_until(lambda: "requests per second times seconds per request came to " in explained(carpool), lambda: explained(carpool))
    assert re.search(r": raise maxSockets to \d+\.", explained(carpool))


def test_requests_that_timed_out_need_no_connections(stage):
    """what waited: more connections would not help where the service lets requests time out; it is named instead"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool(upstream(origin, maxSockets=1, timeouts={"socket": "2s"}))
    clients = [carpool.ask("http://pay.test/")]
    origin.take()
    clients.append(carpool.ask("http://pay.test/"))
    carpool.wait_row(PAY, "pay", requests=1)
    assert [client.response().status for client in clients] == [504, 504]
    text = explained(carpool, "pay")
    assert "1 of 2 requests found all connections busy" in text and "aise maxSockets" not in text, text
    assert ("2 of 2 requests timed out and kept connections busy until then (carpoolctl errors pay): find out why the "
            "service is slow.") in text, text
    assert json.loads(carpool.admin("/advice").body) == []


def test_waits_for_an_earlier_limit(stage):
    """what waited for a limit that a reload has raised: told without the present one, and nothing is advised"""
    carpool, origin, clients, asked = one_waits(stage)
    asked.connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200, 200]
    assert "(maxSockets is 1)" in explained(carpool, "pay")
    carpool.reload(upstream(origin, maxSockets=20))
    text = explained(carpool, "pay")
    assert "1 of 2 requests found all connections busy (maxSockets) and waited " in text, text
    assert ". None has waited for a limit since a reload changed them. " in text and "aise maxSockets" not in text, text


def test_no_sum_of_peaks(stage):
    """of an agent with several origins: no number of connections that there never were at a time"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"pay": {"match": "*.pay.test", "address": [origin.authority]}}})
    for host in ("a", "b"):
        clients = [carpool.ask(f"http://{host}.pay.test/") for _ in range(2)]
        for asked in [origin.take() for _ in clients]:
            asked.connection.reply()
        assert [client.response().status for client in clients] == [200, 200]
    agent, _, origins = explained(carpool, "pay").partition(" pay http://")
    assert "2 concurrency: more connections were in use at the same time than ever before. " in agent
    assert origins.count("than ever before, up to 2. ") == 2


@pytest.mark.parametrize("fields", [[("Keep-Alive", "timeout=5")], []])
def test_idle_ones_of_several_origins(stage, fields):
    """what idles and for how long: of several origins, some may be closed sooner"""
    origin = stage.origin(lambda _: answer(fields=fields))
    other = stage.origin()
    carpool = stage.carpool({"upstreams": {"pay": {"match": "127.0.0.1"}}})
    assert carpool.get(origin.url()).status == carpool.get(other.url()).status == 200
    carpool.wait_row(origin.key, "pay", freeSockets=1)
    carpool.wait_row(other.key, "pay", freeSockets=1)
    agent = explained(carpool, "pay").partition(" pay http://")[0]
    assert "One that has been idle for 30 s is closed (timeouts.free)" in agent
    assert (", or sooner where the service closes it sooner." in agent) == bool(fields)


def test_spares_in_vain(stage):
    """spares that the service closes before a request comes: what to change"""
    origin = stage.origin()
    carpool = stage.carpool(upstream(origin, minFreeSockets=2))
    for round_ in range(1, 4):
        carpool.wait_row(PAY, "pay", freeSockets=2, socketsOpened=2 * round_)
        origin.wait_open(2)
        origin.close_connections()
    carpool.wait_row(PAY, "pay", freeSockets=2, socketsOpened=8)
    assert carpool.get("http://pay.test/").status == 200
    carpool.wait_row(PAY, "pay", freeSockets=3, socketsOpened=9)    # one of them is used
    assert re.search(r"- 9 warm: 2 are kept spare \(minFreeSockets\)\. 6 connections were closed unused: lower minFreeSockets, "
                     r"or raise the time for which idle ones are kept \(at the service: ", explained(carpool, "pay"))


def test_an_upstream_that_comes_back(stage):
    """an upstream that one reload removes and another brings back begins anew, its last hour with its counters"""
    origin = stage.origin()
    config = upstream(origin)
    carpool = stage.carpool(config)
    for _ in range(5):
        assert carpool.get("http://pay.test/").status == 200
    carpool.agents()
    carpool.reload({"upstreams": {}})
    carpool.reload(config)
    for _ in range(2):
        assert carpool.get("http://pay.test/").status == 200
    agent = carpool.agents()["pay"]
    assert agent["requestsTotal"] == agent["lastHour"]["requests"] == 2
    text = explained(carpool, "pay")
    assert re.search(r"Since the reload that added it, \S+ m?s ago, 2 requests opened 1 connection, 2\.0 requests each", text), text
    assert "Saved since the reload that added it: 1 connection, " in text
