"""Section 7: the admin API, the metrics, the diagnosis and the access log."""

import json
import os
import re
import signal

import pytest

from .harness import wait_until
from .harness.client import connect, request
from .harness.origin import answer


def series(carpool):
    """{(name, frozenset of labels): value}"""
    response = carpool.admin("/metrics")
    assert response.status == 200
    out = {}
    for line in response.body.decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r'([a-z_]+)(?:\{(.*)\})? (\S+)', line).groups()
            out[name, frozenset(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', labels or ""))] = float(value)
    return out


def total(figures, name, **labels):
    return sum(value for (key, have), value in figures.items() if key == name and set(labels.items()) <= have)


def test_agents_row(stage):
    """`/agents` gives per agent its limits and totals, and per origin Node's three groups"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"payments": {"match": "p.test", "address": [origin.authority],
                                                        "maxSockets": 20, "maxTotalSockets": "Infinity"}}})
    for _ in range(3):
        assert carpool.get("http://p.test/").status == 200
    row = carpool.wait_row("http://p.test:80", "payments", freeSockets=1)
    wanted = {"sockets": 0, "connecting": 0, "requests": 0, "maxSockets": 20, "requestsTotal": 3, "socketsOpened": 1,
              "reusedTotal": 2, "retiredTotal": {}, "reusedSocketErrors": {}, "retriesTotal": 0}
    assert {key: row[key] for key in wanted} == wanted
    agent = carpool.agents()["payments"]
    assert agent["maxTotalSockets"] is None and agent["paused"] is False and agent["requestsTotal"] == 3
    assert json.loads(carpool.admin("/agents/payments").body)["origins"] == agent["origins"]


def test_counters_add_up(stage):
    """requests = reused + first uses; opened = retired less failed connects + open; the metrics say the same"""
    refused = stage.ports.refused()
    origin = stage.origin(lambda request: answer(fields=[("Connection", "close")]) if "close" in request.target
                          else answer())
    carpool = stage.pooled(maxSockets=3)
    for number in range(30):
        carpool.get(origin.url("/close" if number % 5 == 0 else "/"))
    carpool.get(f"http://127.0.0.1:{refused.getsockname()[1]}/")
    row = carpool.wait_row(origin, sockets=0)
    assert row["socketsOpened"] + row["reusedTotal"] == row["requestsTotal"] == 30
    assert row["socketsOpened"] == sum(row["retiredTotal"].values()) + row["freeSockets"]
    figures = series(carpool)
    assert total(figures, "carpool_agent_requests_total", reused="true") == row["reusedTotal"]
    assert total(figures, "carpool_agent_requests_total", reused="false") == row["socketsOpened"]
    assert total(figures, "carpool_agent_sockets_retired_total", reason="connect-failed") == 1
    assert total(figures, "carpool_client_requests_total", status="502") == 1
    assert total(figures, "carpool_client_connections_total") == sum(
        total(figures, name) for name in ("carpool_client_connections", "carpool_client_connections_closed_total"))
    refused.close()


def test_labels_are_bounded(stage):
    """origins that no upstream names exactly, by host and port or by host at the scheme's default port, share the
    label `*`"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"wild": {"match": ["*.test", "exact.test"], "address": [origin.authority]}}})
    for host in ("a.test", "b.test", "c.test", "exact.test", "exact.test:81", "exact.test."):
        assert carpool.get(f"http://{host}/").status == 200
    figures = series(carpool)
    origins = {dict(labels)["origin"] for (name, labels) in figures if name == "carpool_agent_sockets_opened_total"
               and dict(labels)["agent"] == "wild"}
    assert origins == {"*", "http://exact.test:80"}
    assert total(figures, "carpool_agent_sockets_opened_total", agent="wild", origin="*") == 5


def ask_for_many(carpool, hosts, status):
    """One request each, over one connection."""
    client = carpool.client()
    for number in range(hosts):
        assert client.get(f"http://h{number}.test/").status == status


def test_what_clients_make_up_is_forgotten(stage):
    """8: at most 1,000 empty origins an agent are remembered, oldest forgotten first"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"wild": {"match": ["*.test", "exact.test"], "address": [origin.authority],
                                                    "keepAlive": False}}})
    assert carpool.get("http://exact.test/").status == 200
    ask_for_many(carpool, 1010, 200)
    names = [row["origin"] for row in carpool.agents()["wild"]["origins"]]
    assert "http://exact.test:80" in names and "http://h1009.test:80" in names
    assert "http://h0.test:80" not in names and len(names) <= 1002
    assert carpool.row("*", "wild")["requestsTotal"] >= 10


def test_what_never_had_a_socket_is_not_remembered(stage):
    """8: and those that never had a socket not at all"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"wild": {"match": "*.test",
                                                    "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    ask_for_many(carpool, 300, 502)
    assert len(carpool.agents()["wild"]["origins"]) <= 101
    wait_until(lambda: [row["origin"] for row in carpool.agents()["wild"]["origins"]] == ["*"], "all are forgotten")
    assert carpool.retired_of_agent("wild") == {"connect-failed": 300}
    refused.close()


def test_histograms_are_cumulative(stage):
    """histograms `agent_pending_seconds`, `agent_connect_seconds`, `agent_request_seconds`"""
    origin = stage.origin()
    carpool = stage.carpool()
    for _ in range(5):
        carpool.get(origin.url("/"))
    carpool.wait_row(origin, sockets=0)
    figures = series(carpool)
    for name, count in (("request", 5), ("pending", 5), ("connect", 1)):
        buckets = sorted((float(dict(labels)["le"].replace("+Inf", "inf")), value) for (key, labels), value
                         in figures.items() if key == f"carpool_agent_{name}_seconds_bucket")
        values = [value for _, value in buckets]
        assert values == sorted(values) and values[-1] == count == total(figures, f"carpool_agent_{name}_seconds_count")


@pytest.mark.parametrize("field", [("Host", "evil.example"), ("Host", "127.0.0.1.evil.example:1"),
                                   ("Origin", "http://evil.example"), ("Origin", "null")])
def test_foreign_pages_are_refused(stage, field):
    """refuses a foreign `Host` or `Origin`"""
    carpool = stage.carpool()
    for method, path in (("GET", "/agents"), ("POST", "/agents/default/pause"), ("GET", "/")):
        assert carpool.admin(path, method, [field]).status == 403
    assert carpool.agents()["default"]["paused"] is False


def test_a_named_host_is_not_foreign(stage):
    """admin.hosts: names accepted in Host beside IP literals and localhost"""
    carpool = stage.carpool()
    carpool.write({**carpool.config, "admin": {**carpool.config["admin"], "hosts": ["carpool.lan"]}})
    assert carpool.admin("/healthz", fields=[("Host", "carpool.lan")]).status == 403
    assert carpool.admin("/reload", "POST").status == 200
    assert carpool.admin("/healthz", fields=[("Host", "carpool.lan:99")]).status == 200


def test_get_changes_nothing(stage):
    """POST `/reload`, `/agents/NAME/drain|pause|resume`"""
    carpool = stage.carpool()
    for path in ("/reload", "/agents/default/pause", "/agents/default/drain", "/agents/default/resume"):
        response = carpool.admin(path)
        assert (response.status, response.fields.get("allow")) == (405, "POST")
    assert carpool.admin("/agents", "POST").fields.get("allow") == "GET, HEAD"


def test_bad_requests_harm_nothing(stage):
    """one bad request never harms the proxy"""
    origin = stage.origin()
    carpool = stage.carpool()
    for data in (b"\0" * 5000, b"A" * 100000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"\x16\x03\x01",
                 b"POST /reload HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 99999999999\r\n\r\n",
                 b"GET /agents/%00%ff/.. HTTP/1.1\r\nHost: ::1\r\n\r\n", b"GET /agents HT"):
        with connect(("127.0.0.1", carpool.admin_port)) as sock:
            try:
                sock.sendall(data)
            except OSError:
                pass
    assert carpool.get(origin.url("/")).status == 200
    assert carpool.admin("/healthz").status == 200


def test_the_page_needs_nothing_from_elsewhere(stage):
    """`GET /` the live page: self-contained, by its own policy too, and no name in it is markup"""
    carpool = stage.carpool({"upstreams": {"<script>x": {"match": "x.test"}}})
    response = carpool.admin("/")
    policy = response.fields.get("content-security-policy")
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "unsafe" not in policy
    assert not re.findall(rb"src=|url\(|@import|https?://|href=.(?!(metrics|agents|config)\W)", response.body)
    assert b"<script>x" not in response.body


def test_config_masks_what_the_environment_gave(stage):
    """`/config`: env-substituted values are masked"""
    carpool = stage.carpool({"upstreams": {"a": {"match": "${SECRET_HOST}.test"}}}, env={"SECRET_HOST": "s3cret"})
    body = carpool.admin("/config").body
    assert b"s3cret" not in body and json.loads(body)["upstreams"]["a"]


def test_diagnosis_of_a_small_pool(stage):
    """`diagnosis`: sentences, empty when all is well"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority],
                                                   "maxSockets": 1}}})
    assert carpool.agents()["api"]["diagnosis"] == []
    clients = [carpool.ask("http://api.test/") for _ in range(3)]
    asked = origin.take()
    said = wait_until(lambda: carpool.agents()["api"]["diagnosis"], "a sentence")
    assert re.fullmatch(r"api: 2 requests waiting, the only connection busy \(maxSockets\) for \S+ s: raise maxSockets, "
                        "or find out why the service is slow", said[0])
    asked.connection.reply()
    for _ in clients[1:]:
        origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 3
    wait_until(lambda: not carpool.agents()["api"]["diagnosis"], "silence")


def test_diagnosis_of_refusals(stage):
    """queue full: 3 requests waiting (maxPendingRequests), both connections busy (maxSockets)"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority],
                                                   "maxSockets": 1, "maxPendingRequests": 0}}})
    client = carpool.ask("http://api.test/")
    asked = origin.take()
    for _ in range(4):
        assert carpool.get("http://api.test/").status == 503
    assert carpool.agents()["api"]["diagnosis"] == [
        "api: in the last 1 to 2 minutes, 4 of 5 requests refused while the only connection was busy (maxSockets), because there is no queue "
        "(maxPendingRequests is 0): raise maxSockets, or find out why the service is slow"]
    daemon = json.loads(carpool.admin("/agents").text)["daemon"]
    wait_until(lambda: json.loads(carpool.admin("/agents").text)["daemon"]["refusedPerSecond"] > 0, lambda: daemon)
    saved = carpool.row("http://api.test:80", "api")["saved"]
    assert saved["connections"] == 0        # a refused request saves nothing
    asked.connection.reply()
    assert client.response().status == 200


def test_diagnosis_of_refusals_while_connecting(stage):
    """a host that cannot be reached: no connection is busy, and more of them would not help"""
    origin = stage.origin(backlog=0)
    origin.stall()
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority], "maxSockets": 1,
                                                   "maxPendingRequests": 0, "timeouts": {"connect": "60s"}}}})
    client = carpool.ask("http://api.test/")
    carpool.wait_row("http://api.test:80", "api", connecting=1)
    refused = carpool.get("http://api.test/")
    assert refused.status == 503 and "no queue (maxPendingRequests is 0), the only connection being opened (maxSockets)" in refused.text
    assert carpool.agents()["api"]["diagnosis"] == [
        "api: in the last 1 to 2 minutes, 1 of 2 requests refused while the only connection was being opened (maxSockets), because there is "
        "no queue (maxPendingRequests is 0): find out why connecting fails or takes so long"]
    client.close()
    origin.resume()


def test_diagnosis_of_requests_whose_time_ran_out_in_the_queue(stage):
    """what never came as far as the service failed, too: it is a problem, and the limit is named"""
    origin = stage.origin(manual=True)
    origin_of_tunnel = stage.origin(serve=lambda connection: connection.fill())
    carpool = stage.carpool({"access": {"connectPorts": [origin_of_tunnel.port]},
                             "upstreams": {"api": {"match": "127.0.0.1", "maxTotalSockets": 1, "timeouts": {"request": "300ms"}}}})
    with carpool.client() as client:    # its tunnel has the only place for as long as it likes
        client.send(request("CONNECT", origin_of_tunnel.authority))
        assert client.read_response_head().status == 200
        for _ in range(3):
            assert carpool.get(origin.url("/")).status == 504
        assert carpool.agents()["api"]["diagnosis"] == [
            f"api {origin.key}: in the last 1 to 2 minutes, 3 of 3 requests ran into timeouts.request, all of them after waiting for most of that time "
            "while the only connection was busy (maxTotalSockets): raise maxTotalSockets, or find out why the service is slow"]


def test_diagnosis_of_failed_connects(stage):
    """cannot connect to 127.0.0.1:18080: connection refused (5 of the last 8 attempts)"""
    refused = stage.ports.refused()
    address = f"127.0.0.1:{refused.getsockname()[1]}"
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [address]}}})
    for _ in range(4):
        assert carpool.get("http://api.test/").status == 502
    failed = re.search(r"\(at (\d\d:\d\d:\d\d) UTC", carpool.agents()["api"]["diagnosis"][0])[1]
    assert carpool.agents()["api"]["diagnosis"] == [
        f"api: cannot connect to {address}: connection refused (at {failed} UTC, the latest of 4 failures in 4 attempts of the last 1 to 2 minutes); is the service "
        "running and listening there?"]
    refused.listen()
    asked = carpool.ask("http://api.test/")
    with refused.accept()[0] as connection:
        connection.recv(9999)
        connection.sendall(answer())
        assert asked.response().status == 200
        # It is back: nobody is sent to look whether it runs.
        assert carpool.agents()["api"]["diagnosis"] == [
            "api: connections can be opened again, but 4 of 5 attempts failed in the last 1 to 2 minutes, the last one at "
            f"{failed} UTC: cannot connect to {address}: connection refused; details: carpoolctl errors api"]
    refused.close()


def test_diagnosis_of_a_parent_proxy_that_is_not_there(stage):
    """what to look at: the parent proxy, where it is that which refuses"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"far": {"match": "far.test", "proxy": f"http://127.0.0.1:{refused.getsockname()[1]}"}}})
    for _ in range(3):
        assert carpool.get("http://far.test/").status == 502
    sentence, = carpool.agents()["far"]["diagnosis"]
    assert sentence.startswith("far: cannot connect to the parent proxy ") and sentence.endswith("; is that proxy running and listening there?")
    refused.close()


def test_refusals_of_a_paused_agent(stage):
    """the answer, and the diagnosis, name the pause and no limit; afterwards nothing is said of it"""
    address = {"address": [stage.origin().authority]}
    carpool = stage.carpool({"upstreams": {"full": {"match": "full.test", "maxPendingRequests": 1, **address},
                                           "late": {"match": "late.test", "timeouts": {"pending": "200ms"}, **address}}})
    for name in ("full", "late"):
        assert carpool.get(f"http://{name}.test/").status == 200
        carpool.admin(f"/agents/{name}/pause", "POST")
        assert carpool.agents()[name]["diagnosis"] == [f"{name}: paused: 0 waiting; to go on: carpoolctl resume {name}"]
    waiting = carpool.ask("http://full.test/")
    carpool.wait_row("http://full.test:80", "full", requests=1)
    refused, late = carpool.get("http://full.test/"), carpool.get("http://late.test/")
    assert refused.error == late.error == "connection_limit_reached"
    assert ("queue full: 1 request waiting (maxPendingRequests), the agent is paused; to go on: carpoolctl resume full"
            in refused.text)
    assert "waited 200ms for a connection (timeouts.pending): the agent is paused; to go on: carpoolctl resume late" in late.text
    agents = carpool.agents()
    assert agents["full"]["diagnosis"] == ["full: paused: 1 waiting, 1 refused; to go on: carpoolctl resume full"]
    assert agents["late"]["diagnosis"] == ["late: paused: 0 waiting, 1 refused; to go on: carpoolctl resume late"]
    for name in ("full", "late"):
        carpool.admin(f"/agents/{name}/resume", "POST")
        assert carpool.agents()[name]["diagnosis"] == []
    assert waiting.response().status == 200


def test_diagnosis_of_no_reuse(stage):
    """billing: no reuse: the origin answers Connection: close"""
    origin = stage.origin(lambda request: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool()
    for _ in range(5):
        carpool.get(origin.url("/"))
    sentence = ("default: no connection is used again, because the origin answers with Connection: close (or with HTTP/1.0): "
                "switch keep-alive on there")
    wait_until(lambda: carpool.agents()["default"]["diagnosis"] == [sentence],
               lambda: carpool.agents()["default"]["diagnosis"])


def test_recent_errors(stage):
    """`recentErrors` (the last 20: time, origin, error, text)"""
    refused = stage.ports.refused()
    port = refused.getsockname()[1]
    carpool = stage.carpool()
    for _ in range(25):
        assert carpool.get(f"http://127.0.0.1:{port}/").status == 502
    errors = carpool.agents()["default"]["recentErrors"]
    assert len(errors) == 20
    assert errors[-1]["origin"] == f"http://127.0.0.1:{port}" and errors[-1]["error"] == "connection_refused"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", errors[-1]["time"]) and errors[-1]["text"]
    refused.close()


def log_lines(path, count):
    def read():
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")[:-1]     # the last one may be half there
        return lines if len(lines) >= count else None
    return wait_until(read, f"{count} lines")


def test_what_a_removed_agent_counted_stays_in_the_sums(stage):
    """`requestsPerSecond`, `failedLately`: a reload that removes an upstream takes nothing back"""
    origin = stage.origin(lambda _: b"SSH-2.0-x\r\n\r\n")
    carpool = stage.carpool({"upstreams": {"old": {"match": "old.test", "address": [origin.authority]}}})
    for _ in range(3):
        assert carpool.get("http://old.test/").status == 502
    assert json.loads(carpool.admin("/agents").text)["daemon"]["failedLately"] == 3
    carpool.reload({"upstreams": {}})
    assert json.loads(carpool.admin("/agents").text)["daemon"]["failedLately"] == 3


def test_usr1_reopens_the_access_log(stage):
    """SIGUSR1 reopen log files; one line an exchange"""
    origin = stage.origin()
    path = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": path, "format": "json"}})
    carpool.get(origin.url("/before"))
    log_lines(path, 1)
    old = stage.path("access.log.1")
    os.rename(path, old)
    carpool.signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(path), "a new file")
    carpool.get(origin.url("/after"))
    assert json.loads(log_lines(path, 1)[0])["target"] == origin.url("/after")
    assert json.loads(log_lines(old, 1)[0])["target"] == origin.url("/before")


@pytest.mark.parametrize("query, shown", [("keep", "/x?key=secret"), ("strip", "/x")])
def test_the_query_in_the_access_log(stage, query, shown):
    """accessLog: query: keep | strip: the query of `target`"""
    origin = stage.origin()
    path = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": path, "format": "json", "query": query}})
    assert carpool.get(origin.url("/x?key=secret")).status == 200
    assert json.loads(log_lines(path, 1)[0])["target"] == origin.url(shown)
    assert origin.targets == ["/x?key=secret"]


@pytest.mark.parametrize("query", ["keep", "strip"])
@pytest.mark.parametrize("target, status", [("http://256.1.1.1/x?key=secret", 400), ("http://b.test/x?key=secret", 403)])
def test_the_log_has_targets_of_what_is_refused_first(stage, target, status, query):
    """SECURITY.md: the whole target of a request that is refused before its origin is known, else the origin; `query: strip`"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"access": {"unmatched": "deny"}, "accessLog": {"query": query},
                             "upstreams": {"a": {"match": "a.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    assert carpool.get("http://a.test/x?key=secret").status == 502
    assert " target=http://a.test:80 " in carpool.stderr and "secret" not in carpool.stderr
    assert carpool.get(target).status == status
    logged = target if query == "keep" else target.partition("?")[0]
    assert re.search(f' target="?{re.escape(logged)}"? ', carpool.stderr)
    refused.close()


@pytest.mark.parametrize("length", [9000, 16000])
def test_a_long_target_is_logged_whole(stage, length):
    """`target` (absolute URI): of any length that server.maxHeaderSize lets pass"""
    origin = stage.origin()
    path = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": path, "format": "json"}})
    target = "/" + "x" * length + "?end"
    assert carpool.get(origin.url(target)).status == 200
    assert json.loads(log_lines(path, 1)[0])["target"] == origin.url(target)


REFUSED = {
    "unmatched": ({"access": {"unmatched": "deny"}}, "GET", "http://A.test:80/x?y", (), 403, "http://a.test/x?y"),
    "unmatched tunnel": ({"access": {"unmatched": "deny"}}, "CONNECT", "a.test:443", (), 403, "tunnel://a.test:443"),
    "port": ({}, "CONNECT", "[2001:DB8::1]:22", (), 403, "tunnel://[2001:db8::1]:22"),
    "foreign client": ({"access": {"clients": ["192.0.2.1/32"]}}, "PUT", "https://a.test/", (), 403, "https://a.test/"),
    "loop": ({"name": "edge"}, "GET", "http://a.test:81/", [("Via", "1.1 edge")], 502, "http://a.test:81/"),
    "no proxy setting": ({}, "GET", "/x?y", (), 400, "http://h.test/x?y"),
    "bad target": ({}, "GET", "ftp://a.test/", (), 400, "ftp://a.test/"),
    "password": ({}, "GET", "http://user:secret@a.test/x", (), 400, "http://***@a.test/x"),
    "password of a tunnel": ({}, "CONNECT", "user:secret@a.test:443", (), 400, "***@a.test:443"),
    "stripped": ({"access": {"unmatched": "deny"}, "accessLog": {"query": "strip"}}, "GET", "http://a.test/?key=secret", (), 403,
                 "http://a.test/"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_was_refused_is_logged_as_what_it_was(stage, case):
    """What was read and then refused (403, loops) has its method and target; operators make allow lists from it"""
    config, method, target, fields, status, shown = REFUSED[case]
    path = stage.path("access.log")
    config = {**config, "accessLog": {**config.get("accessLog", {}), "path": path, "format": "json"}}
    response = stage.carpool(config).raw(request(method, target, host="h.test", fields=fields), method)
    assert response.status == status
    line = json.loads(log_lines(path, 1)[-1])
    assert (line["method"], line["target"], line["status"], line["error"]) == (method, shown, status, response.error)


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_can_be_forged(stage, form):
    """nothing unescaped from the wire"""
    path = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": path, "format": form}})
    carpool.raw(b"GET http://h.test/\"\xff HTTP/1.1\r\nHost: h.test\r\n\r\n")
    carpool.raw(b"GET /x\x0bstatus=200 HTTP/1.1\r\nHost: h.test\r\n\r\n")
    with open(path, "rb") as file:
        wait_until(lambda: file.seek(0) == 0 and file.read().count(b"\n") == 2, "two lines")
        file.seek(0)
        for line in file.read().decode("ascii").splitlines():
            assert line.isprintable()
            if form == "json":
                assert json.loads(line)["status"] in (400, 502)
