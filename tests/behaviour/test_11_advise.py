"""Section 11.3: what to change, as JSON, as YAML to paste, and as a patch."""

import json
import os
import shutil
import subprocess

import pytest

from .harness import run
from .harness.origin import answer
from .test_2_carpoolctl import ctl, program, shown  # pylint: disable=unused-import

PAY = "http://pay.test:80"


def bursts(stage, text=None):
    """A daemon whose maxFreeSockets is too small for bursts of three."""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"pay": {"match": "pay.test", "address": [origin.authority],
                                                   "maxFreeSockets": 1}}})
    for _ in range(4):
        clients = [carpool.ask("http://pay.test/") for _ in range(3)]
        asked = [origin.take() for _ in clients]
        for one in asked:
            one.connection.reply()
        assert [client.response().status for client in clients] == [200] * 3
        carpool.wait_row(PAY, "pay", sockets=0)
    if text is not None:
        carpool.write(text.format(address=origin.authority))
    return carpool


def test_json(stage):
    """GET /advice (JSON, a list of {agent, origin, option, now, suggested, why})"""
    carpool = bursts(stage)
    [advice] = json.loads(carpool.admin("/advice").body)
    why = advice.pop("why")
    assert advice == {"agent": "pay", "origin": PAY, "option": "maxFreeSockets", "now": 1, "suggested": 3}
    assert "connections (free-full) replaced ones" in why
    assert json.loads(shown(carpool, "--json", "advise"))[0]["option"] == "maxFreeSockets"


def test_yaml_to_paste(stage):
    """the same as YAML to paste, the why as comments"""
    text = shown(bursts(stage), "advise")
    assert all(len(line) <= 80 for line in text.split("\n"))
    assert [line for line in text.split("\n") if "#" not in line] == ["upstreams:", "  pay:", ""]
    assert "    maxFreeSockets: 3 # now 1\n" in text and "# http://pay.test:80: 6 of 9 connections" in text
    pasted = stage.write("pasted.yaml", text.replace("  pay:\n", "  pay:\n    match: pay.test\n"))
    assert run("-t", "-c", pasted).returncode == 0


def test_the_agent_default(stage):
    """the agent `default` under `defaults:`; keep-alive at the service where it closes each time: a comment"""
    origin = stage.origin(lambda asked: answer(fields=[("Connection", "close")] if "close" in asked.target else []))
    carpool = stage.carpool({"defaults": {"maxRequestsPerSocket": 2}})
    for _ in range(10):
        assert carpool.get(f"http://{origin.authority}/").status == 200
    text = shown(carpool, "advise")
    assert "defaults:\n" in text and "  maxRequestsPerSocket: 20 # now 2\n" in text
    assert run("-t", "-c", stage.write("pasted.yaml", text)).returncode == 0


def test_at_the_service(stage):
    """`keepAlive at the service` with now: "close", suggested: "keep-alive" is a comment"""
    origin = stage.origin(lambda _: answer(fields=[("Connection", "close")]))
    carpool = stage.carpool()
    for _ in range(5):
        assert carpool.get(f"http://{origin.authority}/").status == 200
    [advice] = json.loads(carpool.admin("/advice").body)
    assert (advice["option"], advice["now"], advice["suggested"]) == ("keepAlive at the service", "close", "keep-alive")
    text = shown(carpool, "advise")
    assert "it closes the connection each time" in " ".join(text.replace("#", "").split())
    assert all(line.startswith("#") for line in text.splitlines())


def test_nothing_to_change(stage):
    """"nothing to change" when there is none"""
    origin = stage.origin()
    carpool = stage.carpool()
    for _ in range(5):
        assert carpool.get(f"http://{origin.authority}/").status == 200
    assert carpool.admin("/advice").body == b"[]\n"
    assert shown(carpool, "advise") == "nothing to change\n"
    for option in ("--patch", "-p", "--write", "-W"):
        done = ctl(carpool, "advise", option, carpool.file)
        assert (done.returncode, done.stdout) == (0, "") and "nothing to change" in done.stderr


FILES = {
    "lines": "# mine\nupstreams:\n  pay:\n    match: pay.test   # the host\n    address: [\"{address}\"]\n",
    "replaced": "upstreams:\n  pay:\n    match: pay.test\n    maxFreeSockets: 1 # why not\n    address: [\"{address}\"]\n",
    "braces": "upstreams:\n  pay: {{match: pay.test, address: [\"{address}\"]}}\n",
    "without an end": "upstreams:\n  pay: {{match: pay.test}}",
    "letters": "name: \"\u00fc\"\nupstreams: {{\"\u00e4\": {{match: a.test}}, pay: {{match: pay.test}}}}\n",
}


@pytest.mark.parametrize("shape", FILES)
def test_a_patch(stage, shape):
    """`advise --write FILE` merges nothing by itself but prints a patch of that file, which keeps all else as it stands"""
    if not shutil.which("patch"):
        pytest.skip("patch is missing")
    carpool = bursts(stage)
    file = stage.write("mine.yaml", FILES[shape].format(address="127.0.0.1:1"))
    before = open(file, encoding="utf-8").read()
    patch = shown(carpool, "advise", "--patch", file)
    assert open(file, encoding="utf-8").read() == before    # nothing was merged
    done = subprocess.run(["patch", "-p0", os.path.basename(file)], input=patch, text=True, cwd=os.path.dirname(file),
                          capture_output=True, check=False)
    assert done.returncode == 0, (done, patch)
    after = open(file, encoding="utf-8").read()
    assert "maxFreeSockets: 3" in after and "maxFreeSockets: 1" not in after
    if shape != "letters":      # whose name is none
        assert run("-t", "-c", file).returncode == 0
    assert all(line in after for line in before.splitlines() if "#" in line and "maxFree" not in line)


def test_what_cannot_be_patched(stage):
    """a file without that upstream, that is no YAML, is a directory, or is not there: exit 1 and why; another command: exit 2"""
    carpool = bursts(stage)
    files = (stage.write("other.yaml", "upstreams: {other: {match: a.test}}\n"), stage.write("torn.yaml", "a: [\n"),
             stage.path("missing.yaml"), stage.path("."))
    for file, said in zip(files, ("has no upstream 'pay'", "line 2", "cannot read", "Is a directory")):
        done = ctl(carpool, "advise", "--patch", file)
        assert (done.returncode, done.stdout) == (1, "") and said in done.stderr, done
    done = ctl(carpool, "status", "--write", "x")
    assert done.returncode == 2 and "advise" in done.stderr
