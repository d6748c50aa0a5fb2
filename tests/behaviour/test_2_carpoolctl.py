"""Section 2: carpoolctl, the control tool."""

import json

import pytest

from .harness import run, wait_until
from .harness.daemon import binary


@pytest.fixture(autouse=True)
def program():
    binary("CARPOOLCTL")


def ctl(carpool, *words):
    return run("-s", f"127.0.0.1:{carpool.admin_port}", *words, program="CARPOOLCTL")


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


def test_status_is_a_table(stage):
    """`status` prints the pools as a table"""
    _, carpool, _, _ = busy(stage)
    done = ctl(carpool, "status")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "api.test" in line)
    assert line.split()[0] == "api"
    assert [word for word in line.split() if word.isdigit()][:4] == ["1", "0", "0", "2"]


@pytest.mark.parametrize("verb, path", [("agents", "/agents"), ("config", "/config"), ("version", "/version")])
def test_json_is_what_the_admin_api_said(stage, verb, path):
    """`--json` prints what the admin API said"""
    carpool = stage.carpool()
    done = ctl(carpool, "--json", verb)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == json.loads(carpool.admin(path).body).keys()


def test_agents_and_config_and_version(stage):
    """`carpoolctl [...] status|top|agents|drain NAME|pause NAME|resume NAME|reload|config|version`"""
    _, carpool, _, _ = busy(stage)
    for verb, word in (("agents", "api"), ("config", "maxSockets"), ("version", "0.")):
        done = ctl(carpool, verb)
        assert done.returncode == 0 and word in done.stdout, (verb, done)


def test_pause_and_resume(stage):
    """`carpoolctl pause NAME` holds every new request, `resume NAME` lets them go"""
    origin = stage.origin()
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "address": [origin.authority]}}})
    assert ctl(carpool, "pause", "api").returncode == 0
    client = carpool.ask("http://api.test/")
    carpool.wait_row("http://api.test:80", "api", requests=1)
    assert origin.accepted == 0
    assert ctl(carpool, "resume", "api").returncode == 0
    assert client.response().status == 200


def test_drain(stage):
    """`carpoolctl drain NAME`: closes free sockets now"""
    origin = stage.origin()
    carpool = stage.carpool()
    carpool.get(origin.url("/"))
    carpool.wait_row(origin, freeSockets=1)
    assert ctl(carpool, "drain", "default").returncode == 0
    origin.connections[0].wait_ended("fin")
    assert carpool.retired(origin) == {"drained": 1}
    assert carpool.get(origin.url("/")).status == 200 and origin.accepted == 2


def test_drain_waits_for_active_sockets(stage):
    """`drain` closes free sockets now and active ones when they finish, and later requests open new ones"""
    origin, carpool, clients, asked = busy(stage)
    assert ctl(carpool, "drain", "api").returncode == 0
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
    wait_until(lambda: "added" in carpool.agents(), "the new agent is there")
    carpool.write("nonsense: 1\n")
    done = ctl(carpool, "reload")
    assert done.returncode == 1 and "nonsense" in done.stderr + done.stdout


def test_run_sets_the_proxy(stage):
    """`run` starts a command with `http_proxy` set; its exit status is the command's"""
    origin = stage.origin()
    carpool = stage.carpool()
    script = ("import os,urllib.request;"
              f"print(urllib.request.urlopen('{origin.url('/through')}').headers['Via']); os._exit(7)")
    done = ctl(carpool, "run", "--", "/usr/bin/env", "python3", "-u", "-c", script)
    assert done.returncode == 7, done.stderr
    assert "carpool-" in done.stdout and origin.targets == ["/through"]


@pytest.mark.parametrize("words", [["no-such-verb"], [], ["drain"], ["--no-such-option", "status"],
                                   ["status", "stray"]], ids=" ".join)
def test_wrong_usage(words):
    """Exit status: [...] 2 wrong usage"""
    done = run(*words, program="CARPOOLCTL")
    assert done.returncode == 2 and done.stderr


@pytest.mark.parametrize("words", [["drain", "nobody"], ["pause", "nobody"]], ids=" ".join)
def test_an_agent_that_is_not_there(stage, words):
    """`carpoolctl drain NAME`: a name that no agent has is told of"""
    done = ctl(stage.carpool(), *words)
    assert done.returncode == 1 and "no such agent" in done.stderr


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
