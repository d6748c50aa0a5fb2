"""Section 7: every request is counted once, as what it came to; waiting is measured whatever came of it."""

import json

import pytest

from .harness import wait_until
from .harness.origin import answer
from .harness.wire import Truncated
from .test_7_watching import log_lines, series, total

PAY = "http://pay.test:80"
LIMIT = "connection_limit_reached"


def upstream(authority, **options):
    return {"match": "pay.test", "address": [authority], **options}


def script(request):
    """What the target asks for."""
    connection = request.connection
    if "bad" in request.target:
        connection.send(b"HTTP/9.9 nonsense\r\n\r\n")
        connection.close()
    if "cut" in request.target:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345")
        connection.close()
    if "hold" in request.target:
        connection.hold(request)
        return None
    return answer(status="500 No") if "500" in request.target else answer()


def counted(carpool, agent="pay", origin=PAY):
    """The row of an origin: its errors by word, and whether the metrics say the same."""
    row = carpool.row(origin, agent)
    figures = series(carpool)
    metric = {dict(labels)["error"]: value for (name, labels), value in figures.items()
              if name == "carpool_agent_errors_total" and {("agent", agent), ("origin", origin)} <= labels}
    assert metric == row["errors"]
    assert carpool.agents()[agent]["errors"] == row["errors"]
    return row["errors"]


def occupied(stage, **options):
    """A daemon with one request at the origin, which holds it."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"pay": upstream(origin.authority, maxSockets=1, **options)},
                             "accessLog": {"path": stage.path("access.log"), "format": "json"}})
    first = carpool.ask("http://pay.test/first")
    return carpool, first, origin.take()


@pytest.mark.parametrize("options", [{"maxPendingRequests": 0}, {"timeouts": {"pending": "300ms"}}],
                         ids=["a full queue", "a long wait"])
def test_refusals_by_a_limit_are_errors(stage, options):
    """refusals by a limit are `connection_limit_reached`"""
    carpool, first, asked = occupied(stage, **options)
    for _ in range(2):
        assert carpool.get("http://pay.test/").status == 503
    assert counted(carpool) == {LIMIT: 2}
    asked.connection.reply()
    assert first.response().status == 200


def test_refusals_by_a_pause_are_errors(stage):
    """refusals by a limit are `connection_limit_reached`, of an agent that never opened a socket too"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"pay": upstream(origin.authority, timeouts={"pending": "300ms"})}})
    carpool.admin("/agents/pay/pause", "POST")
    assert carpool.get("http://pay.test/").status == 503
    assert counted(carpool) == {LIMIT: 1} and origin.accepted == 0


def test_own_answers_and_cuts_are_errors(stage):
    """`errors` counts, by Proxy-Status word, what ended otherwise than by the origin's whole response"""
    origin = stage.origin(script)
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {
        "pay": upstream(origin.authority, retries=0),
        "gone": {"match": "gone.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    assert carpool.get("http://pay.test/500").status == 500        # the origin's own answer, whole
    assert carpool.get("http://pay.test/bad").status == 502
    client = carpool.ask("http://pay.test/cut")
    assert client.read_response_head().status == 200
    with pytest.raises(Truncated):
        client.exactly(9)
    assert carpool.get("http://gone.test/").status == 502
    wait_until(lambda: counted(carpool) == {"http_protocol_error": 1, "connection_terminated": 1},
               lambda: counted(carpool))
    assert counted(carpool, "gone", "http://gone.test:80") == {"connection_refused": 1}
    refused.close()


def adds_up(carpool, whole):
    """requestsTotal = whole responses + errors + running and waiting ones + clientAborts."""
    row = carpool.row(PAY, "pay")
    responses = total(series(carpool), "carpool_agent_request_seconds_count", agent="pay")
    under_way = row["sockets"] + row["connecting"] + row["requests"]
    assert responses == whole
    assert row["requestsTotal"] == whole + sum(row["errors"].values()) + under_way + row["clientAborts"], row


def test_requests_add_up(stage):
    """`requestsTotal` = whole responses + `errors` + running and waiting ones + clients that left (`clientAborts`)"""
    origin = stage.origin(script)
    carpool = stage.carpool({"upstreams": {"pay": upstream(origin.authority, maxSockets=2, maxPendingRequests=2)}})
    for target in ("/", "/bad", "/", "/bad", "/"):
        carpool.get("http://pay.test" + target)
    running = [carpool.ask(f"http://pay.test/hold{number}") for number in range(2)]
    carpool.wait_row(PAY, "pay", sockets=2)
    waiting = [carpool.ask(f"http://pay.test/wait{number}") for number in range(2)]
    carpool.wait_row(PAY, "pay", requests=2)
    assert carpool.get("http://pay.test/over").status == 503
    adds_up(carpool, 3)
    waiting[0].reset()
    carpool.wait_row(PAY, "pay", requests=1, clientAborts=1)
    adds_up(carpool, 3)
    running[0].reset()
    assert waiting[1].response().status == 200      # its place went on
    carpool.wait_row(PAY, "pay", sockets=1, requests=0, clientAborts=2)
    adds_up(carpool, 4)
    running[1].reset()
    carpool.wait_row(PAY, "pay", sockets=0, clientAborts=3)
    adds_up(carpool, 4)


def waits(carpool):
    figures = series(carpool)
    return tuple(total(figures, f"carpool_agent_pending_seconds_{what}", agent="pay") for what in ("count", "sum"))


def logged(stage, count):
    return {json.loads(line)["target"].rpartition("/")[2]: json.loads(line)
            for line in log_lines(stage.path("access.log"), count)}


def test_a_wait_in_vain_is_measured(stage):
    """`agent_pending_seconds` (those that gave up waiting too), `pendingMs` whatever came of it"""
    carpool, first, asked = occupied(stage, timeouts={"pending": "400ms"})
    assert carpool.get("http://pay.test/gave-up").status == 503
    count, seconds = waits(carpool)
    # Timers count from the millisecond that has begun.
    assert count == 2 and seconds >= 0.399
    assert carpool.row(PAY, "pay")["waitedMaxMs"] >= 399
    assert logged(stage, 1)["gave-up"]["pendingMs"] >= 399
    asked.connection.reply()
    assert first.response().status == 200
    wait_until(lambda: total(series(carpool), "carpool_agent_request_seconds_count", agent="pay") == 1,
               "the one whole response")


def test_who_leaves_has_waited_who_is_refused_has_not(stage):
    """of every request that was not refused at once, those that gave up waiting too"""
    carpool, first, asked = occupied(stage, maxPendingRequests=1, timeouts={"pending": "off"})
    left = carpool.ask("http://pay.test/left")
    carpool.wait_row(PAY, "pay", requests=1)
    wait_until(lambda: carpool.row(PAY, "pay")["waitedMaxMs"] >= 300, "it has waited")
    assert carpool.get("http://pay.test/refused").status == 503
    assert waits(carpool)[0] == 1
    left.reset()
    carpool.wait_row(PAY, "pay", requests=0, clientAborts=1)
    count, seconds = waits(carpool)
    assert count == 2 and seconds >= 0.3
    lines = logged(stage, 2)
    assert lines["left"]["pendingMs"] >= 300 and lines["refused"]["pendingMs"] == 0
    asked.connection.reply()
    assert first.response().status == 200


def test_estimates_have_an_upper_bound(stage):
    """percentiles never exceed what can be: each histogram tells the largest of its recent values"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"pay": upstream(origin.authority)}})
    for _ in range(5):
        carpool.get("http://pay.test/")
    row = carpool.wait_row(PAY, "pay", sockets=0)
    for latency in row["latency"].values():
        assert latency["sumMs"] / latency["count"] <= latency["recentMaxMs"] <= latency["sumMs"]


def test_clients_refused(stage):
    """`clientsRefused`: by server.maxConnections, counted and logged"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"maxConnections": 1}})
    with carpool.client() as client:
        assert client.get(origin.url("/")).status == 200, "it has the place"
        wait_until(lambda: carpool.get("http://x.test/").status == 503, "one is refused")
        daemon = json.loads(carpool.admin("/agents").body)["daemon"]
        assert daemon["clientsRefused"] >= 1
        assert "client refused: server.maxConnections are connected already" in carpool.stderr


def test_the_daemon_comes_first(stage):
    """The list is preceded by `daemon`"""
    carpool = stage.carpool()
    body = carpool.admin("/agents").body
    answer_ = json.loads(body)
    assert next(iter(answer_)) == "daemon"
    daemon = answer_["daemon"]
    assert daemon["uptimeMs"] >= 0 and daemon["requestsPerSecond"] == 0.0 and daemon["clientsRefused"] == 0
    assert daemon["reload"]["ok"] is True and daemon["reload"]["time"].endswith("Z")
