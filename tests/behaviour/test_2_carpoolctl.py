"""Section 2: carpoolctl, the control tool."""

import json
import re
import signal

import pytest

from .harness import run, wait_until
from .harness.daemon import binary
from .harness.origin import answer


@pytest.fixture(autouse=True)
def program():
    binary("CARPOOLCTL")


def ctl(carpool, *words, env=None):
    return run("-s", f"127.0.0.1:{carpool.admin_port}", *words, program="CARPOOLCTL", env=env)


def busy(stage):
    """A daemon with an upstream `api`: one socket active, two requests pending."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority],
                                                   "maxSockets": 1}}})
    clients = [carpool.ask("http://api.test/")]
    asked = origin.take()
    clients += [carpool.ask("http://api.test/") for _ in range(2)]
    carpool.wait_row("http://api.test:80", "api", sockets=1, requests=2)
    return origin, carpool, clients, asked


def rows(text, first="AGENT"):
    """The table that begins with this title: a dictionary a row, by title. Figures stand under the end of their title."""
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    titles = [(match.group(), match.start(), match.end()) for match in re.finditer(r"\S+(?: \S+)?", lines[start])]
    out = []
    for line in lines[start + 1:]:
        if not line:
            break
        cells = [(match.group(), match.start(), match.end()) for match in re.finditer(r"\S+(?: \S+)*", line)]
        out.append({title: next((cell for cell, left, right in cells if left < end and right > begin), "")
                    for title, begin, end in titles})
    return out


def shown(carpool, *words):
    done = ctl(carpool, *words)
    assert done.returncode == 0, done
    return done.stdout


def test_status_is_a_table(stage):
    """the pools as a table (AGENT, ORIGIN without default ports, ACTIVE as `2/20`, ... RETIRED under `--wide`)"""
    _, carpool, _, _ = busy(stage)
    row = next(row for row in rows(shown(carpool, "status")) if row["AGENT"] == "api")
    assert list(row) == ["AGENT", "ORIGIN", "ACTIVE", "CONNECTING", "FREE", "WAITING", "WAITED", "REQUESTS", "REUSE",
                         "OPENED", "REFUSED", "ERRORS"]
    assert row["ORIGIN"] == "http://api.test" and row["ACTIVE"] == "1/1" and row["WAITING"] == "2"
    assert re.fullmatch(r"[\d.]+(ms|s)", row["WAITED"]) and row["REQUESTS"] == "3"
    wide = next(row for row in rows(shown(carpool, "status", "--wide")) if row["AGENT"] == "api")
    assert wide["RETIRED"] == "0"


def test_status_begins_with_one_line(stage):
    """`status` begins with one line (problems, requests/s, active, waiting, errors/s, uptime, last reload)"""
    carpool = stage.carpool()
    assert re.match(r"no problems; now [\d.]+ requests/s, 0 active, 0 waiting, [\d.]+ errors/s; up \d+ s, "
                    r"no reload since\n\nAGENT", shown(carpool, "status"))
    assert carpool.admin("/reload", "POST").status == 200
    assert re.match(r"no problems; now .*; up \d+ s, last reload \d+ m?s ago\n", shown(carpool, "status"))
    carpool.write("nonsense: 1\n")
    assert carpool.admin("/reload", "POST").status == 400
    assert re.match(r"1 problem; now .*; up \d+ s, last reload FAILED \d+ s ago\nthe last reload failed, so the previous configuration "
                    r"stays in force: ", shown(carpool, "status"))
    _, carpool, _, _ = busy(stage)
    wait_until(lambda: carpool.agents()["api"]["diagnosis"], "it is a problem")
    assert re.match(r"1 problem; now [\d.]+ requests/s, 1 active, 2 waiting, .*\napi: 2 requests waiting, the only connection "
                    r"busy \(maxSockets\) for \S+ s: .*\n\nAGENT", shown(carpool, "status"))


def test_what_fails_is_said_first(stage):
    """an agent whose requests all fail is a problem, whatever they fail with, and is said before what costs only connections"""
    broken = stage.origin(lambda _: b"SSH-2.0-x\r\n\r\n")
    closing = stage.origin(lambda _: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool({"upstreams": {"closing": {"match": "closing.test", "address": [closing.authority]},
                                           "broken": {"match": "broken.test", "address": [broken.authority]}}})
    for _ in range(5):
        assert carpool.get("http://closing.test/").status == 200
        assert carpool.get("http://broken.test/").status == 502
    sentence = "broken: in the last 1 to 2 minutes, 5 of 5 requests failed because the origin's response was malformed; details: carpoolctl errors broken"
    assert carpool.agents()["broken"]["diagnosis"] == [sentence]
    wait_until(lambda: carpool.agents()["closing"]["diagnosis"], "no reuse is a problem")
    lines = shown(carpool, "status").splitlines()
    assert lines[0].startswith("2 problems; now ") and lines[1] == sentence and lines[2].startswith("closing: no connection is used again, because ")
    assert [line.split()[0] for line in lines[5:7]] == ["broken", "closing"]


def failing(stage, hosts=("pay", "pay", "pay", "bill", "bill")):
    """A daemon whose upstreams `pay` and `bill` refuse connections, three and two of each."""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {name: {"match": f"{name}.test", "address": [
        f"127.0.0.1:{refused.getsockname()[1]}"]} for name in ("pay", "bill")}})
    for host in hosts:
        assert carpool.get(f"http://{host}.test/").status == 502
    return carpool, refused


def test_failures_of_several_kinds_are_one_problem(stage):
    """an agent whose requests all fail is a problem, whatever they fail with: two of one kind and two of another"""
    def odd(asked):
        return b"SSH-2.0-x\r\n\r\n" if asked.target == "/malformed" else b""
    broken = stage.origin(odd)
    carpool = stage.carpool({"upstreams": {"broken": {"match": "broken.test", "address": [broken.authority],
                                                      "timeouts": {"request": "200ms"}}}})
    for path, status in (("malformed", 502), ("silent", 504)) * 2:
        assert carpool.get(f"http://broken.test/{path}").status == status
    assert carpool.agents()["broken"]["diagnosis"] == [
        "broken: in the last 1 to 2 minutes, 4 of 4 requests failed: 2 because the origin's response was malformed, "
        "2 because timeouts.request ran out; details: carpoolctl errors broken"]


def test_a_stop_is_a_problem(stage):
    """one line: a daemon that takes no new connections is not well"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "45s"})
    carpool.ends_itself()
    running = carpool.ask(origin.url("/"))
    asked = origin.take()
    carpool.signal(signal.SIGTERM)
    wait_until(lambda: "stopping: running requests finish" in carpool.stderr, "it stops")
    assert re.match(r"1 problem; now .*\ncarpoold is stopping: it takes no new connections, and requests under way finish "
                    r"\(shutdownTimeout: 45s\)\n", shown(carpool, "status"))
    assert shown(carpool, "pause", "default").endswith(". To go on: carpoolctl resume default\n"
                                                       "But carpoold is stopping: see carpoolctl status\n")
    asked.connection.reply()
    assert running.response().status == 200
    assert carpool.wait() == 0


def test_failed_connects_are_errors(stage):
    """REFUSED by limits, ERRORS all others; failed connects stand in `retiredTotal` alone"""
    carpool, refused = failing(stage)
    row = next(row for row in rows(shown(carpool, "status", "-w")) if row["AGENT"] == "pay")
    assert [row[title] for title in ("OPENED", "REFUSED", "ERRORS", "RETIRED")] == ["0", "0", "3", "0"]
    refused.close()


def test_errors(stage):
    """`errors [NAME]`: how often, and the recent ones, like ones together"""
    assert shown(stage.carpool(), "errors") == "no errors since the start\n"
    carpool, refused = failing(stage)
    everywhere = shown(carpool, "errors")
    assert [(row["AGENT"], row["ERROR"], row["SINCE START"]) for row in rows(everywhere)] == [
        ("pay", "connection_refused", "3"), ("bill", "connection_refused", "2")]
    recent = rows(everywhere, "TIME")
    assert sorted((row["TIMES"], row["AGENT"], row["ORIGIN"]) for row in recent) == [
        ("x2", "bill", "http://bill.test"), ("x3", "pay", "http://pay.test")]
    assert "connection_refused: cannot connect to 127.0.0.1" in everywhere
    assert "pay.test" not in shown(carpool, "errors", "bill")
    refused.close()


def test_more_errors_than_are_kept(stage):
    """`recentErrors` (the last 20): a full list is no total"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"pay": {"match": "pay.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    for number in range(1, 22):
        assert carpool.get("http://pay.test/").status == 502
        if number == 20:
            assert [row["TIMES"] for row in rows(shown(carpool, "errors"), "TIME")] == ["x20"]
            assert "(at most 20 per agent):" in shown(carpool, "errors")
    assert [row["TIMES"] for row in rows(shown(carpool, "errors"), "TIME")] == ["x20+"]
    assert "(at most 20 per agent; a plus: so many or more):" in shown(carpool, "errors")
    refused.close()


def test_all_errors_of_a_kind_beside_more_than_are_kept_of_another(stage):
    """`recentErrors` (the last 20): what is there whole is a total"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"pay": {"match": "pay.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"],
                                                   "timeouts": {"pending": "1ms"}}}})
    for _ in range(20):
        assert carpool.get("http://pay.test/").status == 502
    carpool.admin("/agents/pay/pause", "POST")
    for _ in range(2):
        assert carpool.get("http://pay.test/").status == 503
    assert [row["TIMES"] for row in rows(shown(carpool, "errors"), "TIME")] == ["x2", "x18+"]
    refused.close()


def test_too_few_failures_for_a_problem(stage):
    """one line: failures are said there, though they are too few to be judged"""
    carpool, refused = failing(stage, ("bill",))
    assert re.match(r"no problems, but 1 request failed in the last two minutes \(carpoolctl errors\); now ", shown(carpool, "status"))
    refused.close()


def test_failures_of_agents_that_a_reload_removed(stage):
    """one line: it does not send the reader to a list without them"""
    carpool, refused = failing(stage, ("pay", "pay"))
    carpool.reload({"upstreams": {}})
    assert shown(carpool, "errors") == "no errors since the start\n"
    assert "2 requests failed in the last two minutes, of agents that a reload removed; now " in shown(carpool, "status")
    assert carpool.get(f"http://127.0.0.1:{refused.getsockname()[1]}/").status == 502
    assert ("3 requests failed in the last two minutes, some of agents that a reload removed "
            "(the others: carpoolctl errors); now ") in " ".join(shown(carpool, "status").split())
    refused.close()


def test_the_origin_with_the_problem_comes_first(stage):
    """the pools as a table, the worst first: of an agent's origins, too; what bounds the connections of one"""
    broken, fine = stage.origin(lambda _: b"SSH-2.0-x\r\n\r\n"), stage.origin()
    carpool = stage.carpool({"upstreams": {"wild": {"match": "127.0.0.1", "maxTotalSockets": 3}, "quiet": {"match": "quiet.test"}}})
    for origin, status in ((fine, 200), (fine, 200), (broken, 502), (broken, 502), (broken, 502)):
        assert carpool.get(origin.url("/")).status == status
    row = carpool.row(broken, "wild")
    assert (row["problems"], row["failedLately"]) == (1, 3)
    table = rows(shown(carpool, "status"))
    assert [row["ORIGIN"] for row in table] == [f"http://{broken.authority}", f"http://{fine.authority}", "-", "-"]
    assert table[0]["ACTIVE"] == "0/3"


def test_an_agent_says_how_many_origins_are_full(stage):
    """a row an agent: the limit of all, and whether that of one is reached"""
    held, fine = stage.origin(manual=True), stage.origin()
    carpool = stage.carpool({"upstreams": {"wild": {"match": "127.0.0.1", "maxSockets": 1}}})
    assert carpool.get(fine.url("/")).status == 200
    client = carpool.ask(held.url("/"))
    asked = held.take()
    assert rows(shown(carpool, "agents"))[0]["ACTIVE"] == "1/1000, 1 full"
    asked.connection.reply()
    assert client.response().status == 200


def test_errors_of_forgotten_origins(stage):
    """the agent's row `*`: what it is"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"wild": {"match": "*.test",
                                                    "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    assert carpool.get("http://made.up.test/").status == 502
    wait_until(lambda: [row["origin"] for row in carpool.agents()["wild"]["origins"]] == ["*"], "it is forgotten")
    said = shown(carpool, "errors")
    assert [(row["ORIGIN"], row["SINCE START"]) for row in rows(said)] == [("*", "1")]
    assert "\n\n*: all origins that are no longer listed: " in said and "\n\nlatest errors" in said
    for words in (["status"], ["agents", "wild"]):
        assert shown(carpool, *words).count("\n\n*: all origins that are no longer listed: ") == 1
    assert "no longer listed" not in shown(carpool, "agents")
    refused.close()


def test_one_agent(stage):
    """`agents NAME` shows one agent and its recent errors"""
    carpool, refused = failing(stage)
    assert [row["AGENT"] for row in rows(shown(carpool, "agents"))] == ["pay", "bill", "default"]
    text = shown(carpool, "agents", "pay")
    assert re.match(r"pay: maxSockets 100, maxTotalSockets 1000, .*\ntimeouts: connect 10s, pending 30s, socket 1m, request off, "
                    r"free 30s\n\ncannot connect to 127\.0\.0\.1:\d+: .*\n\nORIGIN ", text)
    assert "bill" not in text and "AGENT" not in text
    assert rows(text, "ORIGIN")[0]["ORIGIN"] == "http://pay.test" and "connection_refused" in text
    quiet = shown(carpool, "agents", "default")
    assert re.search(r"free 30s\n\nORIGIN ", quiet)
    assert json.loads(shown(carpool, "--json", "agents", "pay"))["name"] == "pay"
    refused.close()


@pytest.mark.parametrize("verb, path", [("agents", "/agents"), ("config", "/config"), ("version", "/version")])
def test_json_is_what_the_admin_api_said(stage, verb, path):
    """`--json` prints what the admin API said"""
    carpool = stage.carpool()
    done = ctl(carpool, "--json", verb)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == json.loads(carpool.admin(path).body).keys()


def test_version(stage):
    """`version`"""
    assert re.fullmatch(r"carpoolctl 0\.\S+\ncarpoold 0\.\S+ \(carpool-[0-9a-f]{8}\)\n", shown(stage.carpool(), "version"))


def test_config_is_yaml(stage):
    """`config` prints YAML that reads back to the same"""
    carpool = stage.carpool({"upstreams": {"a b: c": {"match": ["*.odd.test", "x.test:8443"], "maxSockets": 7},
                                           "off": {"match": "off.test", "timeouts": {"request": "2s"}}}})
    copy = stage.write("copy.yaml", shown(carpool, "config"))
    printed = run("--print-config", "-c", copy)
    assert printed.returncode == 0 and printed.stdout == run("--print-config", "-c", carpool.file).stdout


def test_a_pause_ends_by_the_shortest_limit(stage):
    """`carpoolctl pause NAME`: how long new ones wait, what they get then, and what the answer says"""
    upstreams = {name: {"match": f"{name}.test", "address": [stage.origin().authority], "timeouts": timeouts}
                 for name, timeouts in (("slow", {"request": "300ms"}), ("same", {"request": "1h", "pending": "200ms"}),
                                        ("off", {"pending": "off"}))}
    carpool = stage.carpool({"upstreams": upstreams})
    assert "new ones wait for at most 300ms, then they get 504 (timeouts.request). To" in shown(carpool, "pause", "slow")
    assert "new ones wait for at most 200ms, then they get 503 (timeouts.pending). To" in shown(carpool, "pause", "same")
    assert "new ones wait. To go on" in shown(carpool, "pause", "off")
    for name, status in (("slow", 504), ("same", 503)):
        response = carpool.get(f"http://{name}.test/")
        assert response.status == status
        assert " for a connection" in response.text
        assert f": the agent is paused; to go on: carpoolctl resume {name}" in response.text


def test_pause_and_resume(stage):
    """`carpoolctl pause NAME` holds every new request, `resume NAME` lets them go"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority]}}})
    assert shown(carpool, "pause", "api") == ("api is paused: 0 running requests will finish; new ones wait for at most 30s, then "
                                              "they get 503 (timeouts.pending). To go on: carpoolctl resume api\n")
    client = carpool.ask("http://api.test/")
    carpool.wait_row("http://api.test:80", "api", requests=1)
    assert origin.accepted == 0
    assert shown(carpool, "pause", "api") == "api was paused already: 1 request waits\n"
    assert shown(carpool, "resume", "api") == "api is resumed: 1 waiting request goes on\n"
    assert client.response().status == 200
    assert shown(carpool, "resume", "api") == "api was not paused\n"


def test_drain(stage):
    """`carpoolctl drain NAME`: closes free sockets now"""
    origin = stage.origin()
    carpool = stage.carpool()
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    assert shown(carpool, "drain", "default") == (
        "default is drained: 1 free connection was closed now, 0 in use will close with their requests\n")
    origin.connections[0].wait_ended("fin")
    assert carpool.retired(origin) == {"drained": 1}
    assert carpool.get(origin.url("/")).status == 200 and origin.accepted == 2


def test_drain_waits_for_active_sockets(stage):
    """`drain` closes free sockets now and active ones when they finish, and later requests open new ones"""
    origin, carpool, clients, asked = busy(stage)
    assert shown(carpool, "drain", "api") == (
        "api is drained: 0 free connections were closed now, 1 in use will close with its request\n")
    assert not asked.connection.ended
    asked.connection.reply(b"finished")
    assert clients[0].response().text == "finished"
    asked.connection.wait_ended("fin")
    again = origin.take()
    assert again.connection.number == 1
    again.connection.reply()
    origin.take().connection.reply()
    assert [client.response().status for client in clients[1:]] == [200, 200]
    assert carpool.retired("http://api.test:80", "api") == {"drained": 1}


def test_reload(stage):
    """`carpoolctl reload`"""
    carpool = stage.carpool()
    carpool.write({**carpool.config, "upstreams": {"added": {"match": "added.test"}}})
    done = ctl(carpool, "reload")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"reloaded {carpool.file}\n"
    wait_until(lambda: "added" in carpool.agents(), "the new agent is there")
    carpool.write("nonsense: 1\n")
    done = ctl(carpool, "reload")
    assert done.returncode == 1 and "nonsense" in done.stderr
    assert done.stderr.endswith("the reload failed: the old configuration stays in force\n")


def test_a_reload_says_what_the_check_would(stage):
    """warnings, and what needs a restart, for who types it"""
    carpool = stage.carpool()
    carpool.write({**carpool.config, "name": "another", "defaults": {"timeouts": {"pending": 2}}})
    reloaded, warning, restart = ctl(carpool, "reload").stdout.splitlines()
    assert reloaded == f"reloaded {carpool.file}" and restart == "keeps its old value until a restart: name"
    assert ": warning: " in warning and "timeouts.pending" in warning


def test_the_proxy_is_no_admin_listener(stage):
    """the likeliest wrong address"""
    done = run("-s", f"127.0.0.1:{stage.carpool().port}", "status", program="CARPOOLCTL")
    assert done.returncode == 1 and "is not Carpool's admin listener" in done.stderr and "127.0.0.1:3129 by default" in done.stderr


@pytest.mark.parametrize("body", [b"welcome", b"{}", b"[]", b'{"status": "ok"}'])
@pytest.mark.parametrize("words", [["drain", "api"], ["pause", "api"], ["resume", "api"], ["reload"], ["status"]])
def test_a_server_that_welcomes_everything(stage, words, body):
    """exit 1: what is no answer of carpoold's has done nothing"""
    def welcome(request):
        request.connection.send(answer(body, fields=[("Connection", "close")]))
        request.connection.close()
    server = stage.origin(welcome)
    done = run("-s", server.authority, *words, program="CARPOOLCTL")
    assert (done.returncode, done.stdout) == (1, "") and "the answer to /" in done.stderr, done


def test_run_sets_the_proxy(stage):
    """`run` starts a command with `http_proxy` set; its exit status is the command's"""
    origin = stage.origin()
    carpool = stage.carpool()
    script = ("import os,urllib.request;"
              f"print(urllib.request.urlopen('{origin.url('/through')}').headers['Via']); os._exit(7)")
    done = ctl(carpool, "run", "--", "/usr/bin/env", "python3", "-u", "-c", script, env={"no_proxy": "elsewhere.test"})
    assert done.returncode == 7, done.stderr
    assert "carpool-" in done.stdout and origin.targets == ["/through"]


@pytest.mark.parametrize("given, wanted", [({}, "localhost,127.0.0.1,::1,169.254.169.254"),
                                           ({"no_proxy": "db.internal"}, "db.internal"),
                                           ({"NO_PROXY": "db.internal"}, "db.internal"),
                                           ({"no_proxy": "a", "NO_PROXY": "b"}, "a"), ({"no_proxy": ""}, "")])
def test_run_sets_what_goes_direct(stage, given, wanted):
    """`run` sets [...] `no_proxy` (what was set, else `localhost,127.0.0.1,::1,169.254.169.254`)"""
    done = ctl(stage.carpool(), "run", "--", "sh", "-c", 'printf "%s;%s" "$no_proxy" "$NO_PROXY"',
               env={"no_proxy": None, **given})
    assert done.stdout == f"{wanted};{wanted}", done.stderr


@pytest.mark.parametrize("words", [["no-such-verb"], [], ["drain"], ["--no-such-option", "status"],
                                   ["status", "stray"], ["-s", "nowhere", "status"], ["-s", "unix:", "status"],
                                   ["-s", "127.0.0.1:65536", "status"], ["-s", "[::1]:0", "status"]], ids=" ".join)
def test_wrong_usage(words):
    """Exit status: [...] 2 wrong usage"""
    done = run(*words, program="CARPOOLCTL")
    assert done.returncode == 2 and done.stderr
    assert "/carpoolctl" not in done.stderr


@pytest.mark.parametrize("words", [["drain", "somebdy"], ["errors", "somebdy"], ["agents", "somebdy"]], ids=" ".join)
def test_an_agent_that_is_not_there(stage, words):
    """unknown agents and commands are answered with those that there are, or the likely one"""
    done = ctl(stage.carpool({"upstreams": {"somebody": {"match": "x.test"}}}), *words)
    assert done.returncode == 1
    assert done.stderr == ("carpoolctl: there is no agent 'somebdy', did you mean 'somebody'? "
                           "There are: default, somebody\n")
    assert not done.stdout


@pytest.mark.parametrize("command", ["drain", "errors", "agents", "explain"])
def test_an_agent_that_a_reload_removed(stage, command):
    """unknown agents are answered with those that there are: one that ends with its requests is none of them"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"gone": {"match": "gone.test", "address": [origin.authority]}}})
    asked = carpool.ask("http://gone.test/")
    request = origin.take()
    carpool.reload({"upstreams": {}})
    done = ctl(carpool, command, "gone")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("carpoolctl: a reload removed the agent 'gone': its last requests and connections end by "
                           "themselves\n")
    assert ctl(carpool, command, "gon").stderr == "carpoolctl: there is no agent 'gon'. There are: default\n"
    request.connection.reply()
    assert asked.response().status == 200


@pytest.mark.parametrize("words", [["drain", "nobody"], ["agents", "nobody"], ["explain", "nobody"]], ids=" ".join)
def test_an_agent_that_is_not_there_in_json(stage, words):
    """`--json` prints what the admin API said"""
    done = ctl(stage.carpool(), "--json", *words)
    assert done.returncode == 1 and done.stderr.startswith("carpoolctl: there is no agent 'nobody'.")
    assert list(json.loads(done.stdout)) == ["error"]


def test_behind_two_dashes_are_words(stage):
    """`--` ends the options, before the command and behind it"""
    carpool = stage.carpool({"upstreams": {"--json": {"match": "x.test"}}})
    assert shown(carpool, "--", "status").startswith("no problems")
    assert shown(carpool, "drain", "--", "default") == shown(carpool, "drain", "default")
    assert shown(carpool, "drain", "--", "--json").startswith("--json: ")
    assert shown(carpool, "--", "drain", "--json").startswith("--json: ")
    done = ctl(carpool, "drain", "--", "default", "--json")
    assert done.returncode == 2 and "one name" in done.stderr


def test_a_command_that_is_not_there():
    """unknown agents and commands are answered with those that there are, or the likely one"""
    done = run("stauts", program="CARPOOLCTL")
    assert done.returncode == 2 and "unknown command 'stauts', did you mean 'status'?" in done.stderr
    assert " errors, " in done.stderr and done.stderr.endswith(" run, help\n")


@pytest.mark.parametrize("words", [["drain", "-h"], ["-h"], ["help"], ["run", "--help"]], ids=" ".join)
def test_help(words):
    """-h behind a command says what it does"""
    done = run(*words, program="CARPOOLCTL")
    assert done.returncode == 0 and done.stdout.startswith("Usage: carpoolctl")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_on_a_command():
    """`help COMMAND` says what `COMMAND --help` does; one that is none is wrong usage"""
    for words in (["drain"], ["advise"], ["run"], ["ca", "create"], ["ca", "show"]):
        done = run("help", *words, program="CARPOOLCTL")
        assert done.returncode == 0 and done.stdout == run(*words, "--help", program="CARPOOLCTL").stdout
        assert re.match(rf"Usage: carpoolctl (\[.*\] )?{' '.join(words)}\b", done.stdout), done.stdout
        assert re.match(r"[A-Z].*\.\n$", done.stdout.partition("\n")[2]), done.stdout
    both = run("help", "ca", program="CARPOOLCTL")
    assert both.returncode == 0 and both.stdout == "\n".join(
        run("help", "ca", word, program="CARPOOLCTL").stdout for word in ("create", "show"))
    assert both.stdout == run("ca", "-h", program="CARPOOLCTL").stdout
    done = run("ca", "--for", "a.test", program="CARPOOLCTL")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "carpoolctl: 'ca' is no command by itself. There are: ca create, ca show (carpoolctl help ca)\n"
    done = run("help", "nope", program="CARPOOLCTL")
    assert done.returncode == 2 and "unknown command 'nope'" in done.stderr and not done.stdout


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "HTTP://localhost:{}/agents"])
def test_a_url_is_an_address(stage, form):
    """ADMIN_ADDRESS may be a URL"""
    carpool = stage.carpool()
    done = run("-s", form.format(carpool.admin_port), "version", program="CARPOOLCTL")
    assert done.returncode == 0, done.stderr


def test_nobody_is_there(stage):
    """`carpoolctl -s ADMIN_ADDRESS`: a daemon that does not answer is told of"""
    closed = stage.ports.refused()
    where = f"127.0.0.1:{closed.getsockname()[1]}"
    done = run("-s", where, "status", program="CARPOOLCTL")
    assert done.returncode == 1 and where in done.stderr


def test_over_a_unix_socket(stage):
    """`carpoolctl -s ADMIN_ADDRESS`: unix:/path too"""
    path = stage.path("admin.sock")
    stage.carpool({"admin": {"listen": f"unix:{path}"}})
    done = run("-s", f"unix:{path}", "version", program="CARPOOLCTL")
    assert done.returncode == 0, done.stderr
