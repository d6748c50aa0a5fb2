"""Section 7: the live page in a real browser, where there is one."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import types

import pytest

from .harness import wait_until
from .harness.origin import answer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is missing")


class Page(html.parser.HTMLParser):
    """What stands on the page: `texts` by id, `cells` of each table's rows, `before` the first table, and `classes` of cells."""

    LEAVES = {"br", "hr", "img", "input", "link", "meta", "line", "path"}

    def __init__(self, source):
        super().__init__()
        self.source, self.open, self.texts, self.tables, self.before, self.classes, self.links = source, [], {}, [], "", {}, []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        hidden = "hidden" in attrs or tag in ("script", "style", "noscript") or any(entry[2] for entry in self.open)
        if tag == "a":
            self.links.append(attrs["href"])
        if tag == "table" and not hidden:
            self.tables.append([])
        if tag == "tr" and not hidden:
            self.tables[-1].append([])
        if tag in ("td", "th") and not hidden:
            self.tables[-1][-1].append("")
        if tag not in self.LEAVES:
            self.open.append((tag, attrs.get("id"), hidden, attrs.get("class", "")))

    def handle_endtag(self, tag):
        while tag not in self.LEAVES and self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self.open or self.open[-1][2]:
            return
        for _, name, _, _ in self.open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data
        if not self.tables:
            self.before += data
        for tag, _, _, classes in self.open:
            if tag in ("td", "th"):
                self.tables[-1][-1][-1] += data.replace("\u200b", "").replace("\u2060", "")
                self.classes[data] = classes

    def rows(self, table=0):
        """The rows as dictionaries by their head's titles."""
        head, *rest = self.tables[table]
        return [dict(zip(head, row)) for row in rest]


@pytest.fixture
def browse(stage):
    """Opens the page of a daemon as a browser would some seconds later."""
    def look(carpool, fragment="", width=1280):
        done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
                               f"--user-data-dir={stage.path('browser')}", "--virtual-time-budget=4000", f"--window-size={width},900",
                               f"http://127.0.0.1:{carpool.admin_port}/#{fragment}"],
                              capture_output=True, text=True, timeout=180, check=False, env={"HOME": stage.directory, "TZ": "Asia/Tokyo"})
        assert "Content Security Policy" not in done.stderr, done.stderr[-1000:]
        return Page(done.stdout)
    return look


def test_a_quiet_daemon(stage, browse):
    """one line of state; agents without traffic as a row; header with uptime, last reload, links"""
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "maxSockets": 7}}})
    page = browse(carpool)
    assert page.texts["line"] == "no problems; now 0 active, 0 waiting; last 10 s: 0 requests/s, 0 errors/s"
    assert {row["agent"]: row["active"] for row in page.rows()} == {"api": "0/7", "default": "0/100"}
    assert page.texts["uptime"].startswith("up ") and page.texts["reload"] == "no reload since"
    assert "saved" not in page.texts["retired"] and page.links == ["metrics", "agents", "config"]
    # Of a few seconds, a plot shows no whole minute.
    ends = [[int(part) for part in text.split(":")] for text in re.findall(r"<span>(\d\d:\d\d:\d\d)</span>", page.source)]
    hours, minutes, seconds = [newest - oldest for oldest, newest in zip(ends[0], ends[2])]
    assert (3600 * hours + 60 * minutes + seconds) % 86400 == 14, ends
    assert page.texts["scope"] == "no requests yet" and "errors since the start: none" in page.texts["errors"]


def test_names_are_text_and_waiting_is_amber(stage, browse):
    """its own policy lets its script run, and names are text, not markup; amber for waiting"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"<b id=x>api": {"match": "api.test", "address": [origin.authority],
                                                           "maxSockets": 1, "timeouts": {
                                                               "pending": "off", "socket": "off"}}}})
    clients = [carpool.ask("http://api.test/") for _ in range(3)]
    asked = origin.take()
    wait_until(lambda: carpool.agents()["<b id=x>api"]["diagnosis"], "it is a problem")
    page = browse(carpool)
    asked.connection.reply()
    for _ in clients[1:]:
        origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 3
    row = page.rows()[0]
    assert (row["agent"], row["active"], row["waiting"]) == ("<b id=x>api", "1/1", "2")
    assert page.classes["2"] == "waits" and "x" not in page.texts
    assert page.texts["name"] == "<b id=x>api" and page.texts["scope"] == "http://api.test"
    # Five plots, each with values and times at its axes, and the limit as a line.
    assert page.source.count('<div class="plot">') == 5 and page.source.count('class="limit"') == 1
    assert page.source.count('<div class="times">') == 5 and "maxSockets 1" in page.texts["plots"]
    assert "p50" in page.texts["plots"] and "p99" in page.texts["plots"]


@pytest.mark.skipif(not shutil.which("node"), reason="node is missing")
def test_what_a_forgotten_origin_counted_is_no_rate():
    """requests per second, of the row of origins that were forgotten, too"""
    with open(os.path.join(os.path.dirname(__file__), "../../lib/admin/page_history.js"), encoding="utf-8") as file:
        script = file.read()
    script += """
    const row = n => ({sockets: 0, connecting: 0, freeSockets: 0, requests: 0, requestsTotal: n, reusedTotal: 0, socketsOpened: 0,
                       errors: {dns_error: n}, latency: {request: {buckets: [n, 0], recentMaxMs: 1}}, openedFor: {first: n}});
    const agent = origins => ({name: "a", origins: Object.keys(origins).map(origin => ({origin}))});
    [{"*": 10, x: 800}, {"*": 10, x: 802}, {"*": 812}, {"*": 813}].forEach((origins, second) => {
        for (const [origin, n] of Object.entries(origins)) remember(keyOf("a", origin), row(n), 1000 * second);
        handOver([agent(origins)]);
    });
    const star = histories.get(keyOf("a", "*"));
    console.log(JSON.stringify([rateAt(star, 3, "requests"), star[0].openedFor.first, star[0].latency.request.buckets]));
    """
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [1 / 3, 812, [812, 0]]


def test_trouble_comes_first(stage, browse):
    """one line of state with all problems, then one table over all agents, worst first; like errors grouped"""
    refused = stage.ports.refused()
    address = f"127.0.0.1:{refused.getsockname()[1]}"
    origin = stage.origin()
    carpool = stage.carpool({"defaults": {"timeouts": {"free": "1h"}},
                             "upstreams": {"fine": {"match": "fine.test", "address": [origin.authority]},
                                           "gone": {"match": "gone.test", "address": [address]}}})
    assert carpool.get("http://fine.test/").status == 200
    for _ in range(4):
        assert carpool.get("http://gone.test/").status == 502
    carpool.write("nonsense: 1\n")
    assert carpool.admin("/reload", "POST").status == 400
    page = browse(carpool)
    assert page.texts["line"].startswith("2 problems; now ") and "last reload failed" in page.texts["reload"]
    assert "the last reload failed" in page.before
    assert re.search(rf"gone cannot connect to {address}: connection refused \(at [\d:]{{8}} UTC, the latest of 4 failures in 4 attempts of the "
                     r"last 1 to 2 minutes\); is the ", page.before)
    assert [row["agent"] for row in page.rows()] == ["gone", "fine", "default"]
    assert page.texts["name"] == "gone"         # the worst is chosen
    # It has no connection, and yet it is not dim, as one without traffic is.
    assert re.findall(r'<tr class="([^"]*)" tabindex="0" data-title="(\w+)"', page.source) == [
        ("pick picked", "gone"), ("pick", "fine"), ("pick idle", "default")]
    errors = next(table for table in page.tables if ["when (UTC)", "origin", "what"] in table)
    last = carpool.agents()["gone"]["recentErrors"][-1]["time"]
    assert errors[-1][:2] == ["x4, last " + last[11:19], "http://gone.test"]
    assert "errors since the start: 4 connection_refused" in page.texts["errors"]
    refused.close()


def test_failures_are_said_before_waste(stage, browse):
    """problems in the order of the table, the worst first"""
    broken = stage.origin(lambda _: b"SSH-2.0-x\r\n\r\n")
    closing = stage.origin(lambda _: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool({"upstreams": {"closing": {"match": "closing.test", "address": [closing.authority]},
                                           "broken": {"match": "broken.test", "address": [broken.authority]}}})
    for _ in range(5):
        assert carpool.get("http://closing.test/").status == 200
        assert carpool.get("http://broken.test/").status == 502
    wait_until(lambda: carpool.agents()["closing"]["diagnosis"], "no reuse is a problem")
    page = browse(carpool)
    assert [row["agent"] for row in page.rows()] == ["broken", "closing", "default"]
    assert page.before.index("requests failed because the origin's response was malformed") < page.before.index(
        "no connection is used again")


@pytest.mark.parametrize("mode", ["off", "user"])
def test_callers(stage, browse, mode):
    """who uses Carpool, where it can tell"""
    origin = stage.origin()
    carpool = stage.carpool({"callers": mode, "upstreams": {"api": {"match": "api.test", "address": [origin.authority]}}})
    for _ in range(3):
        assert carpool.get("http://api.test/").status == 200
    page = browse(carpool)
    rows = [row for table in page.tables for row in table if row[-1:] == ["api 3"]]
    if mode == "off":
        assert "callers" not in page.texts and not rows
        return
    [row] = rows
    assert row[2:6] == ["0", "0", "3", "0"] and page.texts["callers"].startswith("callers")


def test_many_origins(stage, browse):
    """limits as reference lines with several origins too; what is chosen stands in the address"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"many": {"match": "*.test", "address": [origin.authority], "maxTotalSockets": 40},
                                           "quiet": {"match": "quiet.example"}}})
    for number in range(30):
        assert carpool.get(f"http://h{number}.test/").status == 200
    page = browse(carpool)
    assert page.texts["scope"] == "30 origins, each up to maxSockets 100"
    assert len(page.rows(1)) == 25 and "25 of 30 origins" in page.texts["origins"]
    assert page.source.count('class="limit"') == 1 and "maxTotalSockets 40" in page.texts["plots"]
    page = browse(carpool, "agent=many&origin=http%3A%2F%2Fh7.test%3A80")
    assert page.texts["scope"] == "http://h7.test" and "maxTotalSockets 40" in page.texts["plots"]
    page = browse(carpool, "agent=quiet")
    assert page.texts["name"] == "quiet" and len(page.tables) >= 1


@pytest.mark.parametrize("view", ["hour", "live"])
def test_why_connections_were_opened(stage, browse, view):
    """the page shows an hour, what opened connections, stacked by reason, and what was saved"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority]}}})
    for number in range(9):
        assert carpool.get("http://api.test/").status == 200
        if number % 3 == 2:
            carpool.wait_row("http://api.test:80", "api", freeSockets=1)
            carpool.admin("/agents/api/drain", "POST")
            carpool.wait_row("http://api.test:80", "api", freeSockets=0)
    page = browse(carpool, f"agent=api&view={view}")
    table = next(table for table in page.tables if any(row[:2] == ["after drained", "2"] for row in table))
    assert [row[:2] for row in table] == [["after drained", "2"], ["first", "1"]]
    assert "saved since the start: 6 connections, " in page.texts["retired"]
    assert "connections opened: 3" in page.texts["retired"] and "closed: 3" in page.texts["retired"]
    plots = page.texts["plots"]
    if view == "live":
        assert "connections opened per second, why" in plots
        return
    assert "connections opened per minute, why" in plots and "drained 2" in plots and "first 1" in plots
    # One minute only, and it is seen: a step, not a point.
    assert 'class="area reason0"' in page.source and 'class="area reason1"' in page.source
    # Peaks of a minute did not come together, so they are not stacked.
    assert 'class="line free"' in page.source and 'class="area free"' not in page.source


def through(stage, carpool, respond):
    """A server in place of that admin listener: what it is asked for, and how that was answered, go to `respond`."""
    def pass_on(asked):
        asked.connection.send(answer(respond(asked.target, carpool.admin(asked.target).body), fields=[("Connection", "close")]))
        asked.connection.close()
    return types.SimpleNamespace(admin_port=stage.origin(pass_on).port)


def test_all_figures_are_of_one_moment_and_one_window(stage, browse):
    """however briefly the page is open, its rows add up to its first line, and callers are of the moment that agents are of"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"callers": "user", "upstreams": {"api": {"match": "api.test", "address": [origin.authority], "maxSockets": 1,
                                                                     "maxPendingRequests": 0}}})
    client = carpool.ask("http://api.test/")
    asked = origin.take()
    for _ in range(30):
        assert carpool.get("http://api.test/").status == 503
    live, targets = carpool.admin("/live").body, set()
    asked.connection.reply()
    assert client.response().status == 200

    def respond(target, body):
        targets.add(target)
        return live if target == "/live" else body
    page = browse(through(stage, carpool, respond))
    said = re.search(r"now 1 active, 0 waiting; last 10 s: ([\d.]+) requests/s, 0 errors/s, ([\d.]+) refused/s", page.texts["line"])
    row = next(row for row in page.rows() if row["agent"] == "api")
    assert (row["requests/s"], row["refused/s"], row["errors/s"]) == (*said.groups(), "0") and float(said[2]) > 0
    assert row["active"] == "1/1"
    (caller,) = [cells for table in page.tables for cells in table if cells[-1:] == ["api 31"]]
    assert caller[2:6] == ["1", "0", "31", "30"]
    assert not targets & {"/agents", "/callers"}


MEASURE = b"""<script>setInterval(() => { document.body.dataset.cut = [...document.querySelectorAll(".wide")]
    .filter(n => n.scrollWidth > n.clientWidth).map(n => n.textContent.slice(0, 20)).join() || "nothing"; }, 100)</script>"""


@pytest.mark.parametrize("width", [500, 660, 800, 1040, 1200])
def test_no_table_is_cut_off(stage, browse, width):
    """tables fit the window: columns are left out, and long names are wrapped"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"notifications-and-mail": {"match": "*.test", "address": [origin.authority]}}})
    for name in ("a", "a-very-long-host-name-of-a-service.in-a-region.of-a-cloud"):
        assert carpool.get(f"http://{name}.test/").status == 200
    wide = through(stage, carpool, lambda target, body: body + MEASURE if target == "/" else body)
    page = browse(wide, "agent=notifications-and-mail", width=width)
    assert len([table for table in page.tables if table and table[0][:1] in (["agent"], ["origin"])]) == 2
    assert re.search(r'data-cut="([^"]*)"', page.source)[1] == "nothing"


def test_a_daemon_that_is_gone(stage, browse):
    """what to do when it does not answer"""
    carpool = stage.carpool()
    page = browse(through(stage, carpool, lambda target, body: body if target == "/" else b"no JSON"))
    assert page.texts["line"] == "carpoold does not answer. Is it running? systemctl status carpoold, journalctl -u carpoold"


def test_the_hour_of_an_origin(stage, browse):
    """what is chosen stands in the address"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"api": {"match": "*.test", "address": [origin.authority]}}})
    for name in ("a", "b", "b", "b"):
        assert carpool.get(f"http://{name}.test/").status == 200
    wait_until(lambda: len(json.loads(carpool.admin("/agents/api/history").body)["origins"]) == 2, "its origins are known")
    page = browse(carpool, "agent=api&origin=http%3A%2F%2Fb.test%3A80&view=hour")
    assert page.texts["scope"] == "http://b.test" and "first 1" in page.texts["plots"]
    assert "reuse " in page.texts["plots"]


def test_a_new_daemon_is_shown_live(stage, browse):
    """the page opens with an hour, but for a daemon that has none yet"""
    carpool = stage.carpool()
    page = browse(carpool)
    assert '<button id="live" type="button" class="picked">' in page.source
    page = browse(carpool, "view=hour")
    assert '<button id="hour" type="button" class="picked">' in page.source
